//! What is asked of a running transition under a key of the caller: twice asked, once done (P-43).

use std::sync::Arc;

use patchbay_lifecycle::{
    PluginName,
    transition::{Asked, Report},
};

use super::HostHandle;
use crate::{
    error::HostError,
    transit::answers::{self, Answer, Turn},
};

// === impl HostHandle ===

impl HostHandle {
    /// Asks something of the running transition of a plugin, like
    /// [`transition_ask`](HostHandle::transition_ask); under the same key it is done once, and the
    /// answer is the same for a day, also in the next life of the host.
    ///
    /// # Errors
    /// What that one refuses; the key is free again then. `key_taken`: it was used for something
    /// else. `outcome_unknown`: the host died while this was done.
    ///
    /// # Cancel safety
    /// What was asked for still happens, and its answer is kept.
    pub async fn transition_ask_once(
        &self,
        name: &str,
        asked: Asked,
        who: &str,
        key: &str,
    ) -> Result<Arc<Report>, HostError> {
        let (host, name) = (self.clone(), name.to_owned());
        let (who, key) = (who.to_owned(), key.to_owned());
        let verb = asked.verb();
        let asking = tokio::spawn(async move { host.ask_in_turn(&name, asked, &who, &key).await });
        asking.await.unwrap_or_else(|panic| {
            let reason = format!("whether {verb} was done is not known: {panic}");
            Err(unknown(reason))
        })
    }

    async fn ask_in_turn(
        &self,
        name: &str,
        asked: Asked,
        who: &str,
        key: &str,
    ) -> Result<Arc<Report>, HostError> {
        self.refuse_when_closing()?;
        let plugin = self.track(name)?.name.clone();
        let mut turn = self.context().promises.answers.turn(&plugin).await;
        let verb = asked.verb();
        let unix_ns = self.context().clock.unix_ns();
        if let Some(before) = turn.find(key, unix_ns) {
            if before.verb != verb {
                return Err(taken(
                    key,
                    &format!("{} of transition `{}`", before.verb, before.transition),
                ));
            }
            return match &before.answer {
                Answer::Done(report) => Ok(Arc::new(Report::clone(report))),
                _ => Err(unknown(format!(
                    "{verb} was asked of transition `{}` with this key, and the host died, or did \
                     not answer in time, before it was known whether it was done",
                    before.transition
                ))),
            };
        }
        if let Some((report, _)) = self.started_with(&plugin, key) {
            return Err(taken(key, &format!("the start of transition `{}`", report.spec.id)));
        }
        let latest = self.context().station(&plugin).transition();
        let of = latest.map(|report| report.spec.id.clone()).unwrap_or_default();
        let word = key.to_owned();
        turn = self.note(turn, &plugin, move |turn| turn.begin(&word, verb, &of, unix_ns)).await?;
        match self.transition_ask(name, asked, who).await {
            Ok(report) => {
                let report = answers::to_keep(&report);
                let said = Answer::Done(report.clone());
                self.note(turn, &plugin, move |turn| turn.end(said)).await?;
                Ok(report.into())
            }
            // It may still be done.
            Err(error @ HostError::Timeout { .. }) => Err(error),
            Err(error) => {
                self.note(turn, &plugin, |turn| turn.end(Answer::Refused)).await?;
                Err(error)
            }
        }
    }

    /// Writes something down. What cannot be written is known in this life of the host: an operator
    /// must be able to go back also while the disk is full.
    async fn note(
        &self,
        mut turn: Turn,
        plugin: &PluginName,
        note: impl FnOnce(&mut Turn) -> std::io::Result<()> + Send + 'static,
    ) -> Result<Turn, HostError> {
        let noting = move || {
            let noted = note(&mut turn);
            (turn, noted)
        };
        match tokio::task::spawn_blocking(noting).await {
            Ok((turn, noted)) => {
                if let Err(error) = noted {
                    tracing::warn!(%plugin, %error, "the key of a request ends with this host");
                }
                Ok(turn)
            }
            Err(panic) => Err(unknown(format!("the key of the request cannot be kept: {panic}"))),
        }
    }
}

/// The key means something else.
pub(super) fn taken(key: &str, what: &str) -> HostError {
    HostError::Refused {
        code: "key_taken",
        reason: format!("the key `{key}` was used for {what}"),
        remedy: "use a new key for a new request".to_owned(),
    }
}

fn unknown(reason: String) -> HostError {
    let remedy = "see where the transition stands; ask under a new key if it is still wanted";
    HostError::Refused { code: "outcome_unknown", reason, remedy: remedy.to_owned() }
}
