//! How a handle asks: the snapshot at once, the registry by message, and then the snapshot until it
//! shows the outcome.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use patchbay_lifecycle::{Command, CommandError, PluginName, Track};
use ractor::{RpcReplyPort, rpc::CallResult};
use tokio::sync::watch::error::RecvError;

use super::HostHandle;
use crate::{
    actors::{ANSWER, registry::RegistryMsg},
    context::Context,
    error::HostError,
    incarnation::Incarnation,
    show,
    snapshot::Snapshot,
    view::PluginView,
};

// === impl HostHandle ===

impl HostHandle {
    pub(super) fn context(&self) -> &Context {
        &self.shared.context
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.context.snapshot.borrow())
    }

    pub(super) fn is_ready(&self) -> bool {
        if self.snapshot().settled {
            self.shared.was_ready.store(true, SeqCst);
        }
        self.shared.was_ready.load(SeqCst)
    }

    pub(super) fn refuse_when_closing(&self) -> Result<(), HostError> {
        if self.context().is_closing() { Err(HostError::Closing) } else { Ok(()) }
    }

    pub(super) fn track(&self, name: &str) -> Result<Arc<Track>, HostError> {
        let unknown = || HostError::UnknownPlugin { plugin: name.to_owned() };
        let parsed = PluginName::parse(name).map_err(|_| unknown())?;
        self.snapshot().tracks.get(&parsed).cloned().ok_or_else(unknown)
    }

    pub(super) fn serving(&self, track: &Track) -> Option<Arc<Incarnation>> {
        let generation = track.observed.serving?.generation;
        self.context().station(&track.name).incarnation(generation)
    }

    pub(super) fn asked_to(
        &self,
        operation: &'static str,
        track: &Track,
    ) -> Result<Arc<Incarnation>, HostError> {
        self.refuse_when_closing()?;
        self.serving(track).ok_or_else(|| HostError::WrongState {
            plugin: track.name.to_string(),
            operation,
            state: track.state.to_string(),
        })
    }

    /// Gives a command to the registry and waits for its outcome.
    pub(super) async fn command(
        &self,
        name: &str,
        command: Command,
        who: &str,
    ) -> Result<PluginView, HostError> {
        self.refuse_when_closing()?;
        let name = self.track(name)?.name.clone();
        if self.context().station(&name).is_measured() {
            // It may take hours; a transition that only changes over is waited for.
            self.refuse_in_transition(&name)?;
        }
        let (whom, who) = (name.clone(), who.to_owned());
        let ask = |reply: RpcReplyPort<_>| RegistryMsg::Command { name: whom, command, who, reply };
        let asked = self.shared.tree.registry.call(ask, Some(ANSWER)).await;
        let number = answer(asked, command.verb(), ANSWER)?.map_err(|error| match error {
            CommandError::WrongState { state } => HostError::WrongState {
                plugin: name.to_string(),
                operation: command.verb(),
                state: state.to_string(),
            },
            CommandError::Closing => HostError::Closing,
            _ => HostError::UnknownPlugin { plugin: name.to_string() },
        })?;
        let mut track = None;
        self.wait(command.verb(), self.command_limit(), |snapshot| {
            track = snapshot.tracks.get(&name).filter(|track| track.settled >= number).cloned();
            track.is_some()
        })
        .await?;
        let track = track.ok_or(HostError::Closing)?;
        match &track.refusal {
            Some((operation, reason)) if *operation == command.verb() => Err(HostError::Plugin {
                plugin: name.to_string(),
                operation,
                reason: reason.clone(),
            }),
            _ => Ok(show::plugin(self.context(), &track)),
        }
    }

    /// Longest plan of one plugin: whatever is slower has failed by then.
    pub(super) fn command_limit(&self) -> Duration {
        let limits = &self.context().settings.limits;
        let once = limits.load_timeout + limits.init_timeout + limits.call_timeout * 3;
        // What is under way ends first.
        (once + limits.drain_timeout + limits.plugin_shutdown_timeout) * 2
    }

    /// Waits until a snapshot is as wanted.
    pub(super) async fn wait(
        &self,
        operation: &'static str,
        limit: Duration,
        mut accept: impl FnMut(&Snapshot) -> bool + Send,
    ) -> Result<(), HostError> {
        let mut snapshots = self.shared.context.snapshot.subscribe();
        let mut end = self.shared.end.subscribe();
        let found = async {
            loop {
                // Out of the channel before `accept` is asked: it may look at the host itself, and
                // a look inside a look waits for a writer that waits for the outer one.
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                if accept(&snapshot) {
                    return Ok(());
                }
                snapshots.changed().await?;
            }
        };
        tokio::select! {
            // What was waited for counts, even if the host ends at the same moment.
            biased;
            found = tokio::time::timeout(limit, found) => match found {
                Ok(Ok(())) => Ok(()),
                Ok(Err(RecvError { .. })) => Err(HostError::Closing),
                Err(_) => Err(HostError::Timeout { operation, limit }),
            },
            _ = end.wait_for(Option::is_some) => Err(HostError::Closing),
        }
    }
}

pub(super) fn answer<T, M>(
    asked: Result<CallResult<T>, ractor::MessagingErr<M>>,
    operation: &'static str,
    limit: Duration,
) -> Result<T, HostError> {
    match asked {
        Ok(CallResult::Success(value)) => Ok(value),
        Ok(CallResult::Timeout) => Err(HostError::Timeout { operation, limit }),
        Ok(CallResult::SenderError) | Err(_) => Err(HostError::Closing),
    }
}
