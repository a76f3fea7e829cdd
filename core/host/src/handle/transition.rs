//! Transitions, as they are asked for and looked at.

use std::{sync::Arc, time::Duration};

use patchbay_lifecycle::{
    Command, PluginName,
    transition::{AskRefused, Asked, Record, Report, TransitionSpec},
};
use ractor::RpcReplyPort;
use tokio::sync::oneshot;

use super::{HostHandle, keyed::taken};
use crate::{
    actors::{registry::RegistryMsg, watcher::WatcherMsg},
    error::HostError,
    incarnation::Incarnation,
    transit::{
        conductor::Told,
        history, kept,
        lead::Lead,
        request::{Pending, TransitionRequest},
        wanted::library_of,
    },
    watch::{given, prepared::Prepared},
};

/// How often it is looked whether a transition has begun.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for an answer of a running transition.
const ANSWER: Duration = Duration::from_secs(5);

/// A request that may begin.
struct Judged {
    spec: TransitionSpec,
    pending: Pending,
    library: std::path::PathBuf,
    prepared: Arc<Prepared>,
    serving: Arc<Incarnation>,
}

impl HostHandle {
    /// What a transition would be, or why it is refused; nothing is changed.
    ///
    /// # Errors
    /// [`HostError::Refused`] with the reason and the remedy.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn transition_plan(
        &self,
        name: &str,
        request: TransitionRequest,
        who: &str,
    ) -> Result<TransitionSpec, HostError> {
        let name = self.track(name)?.name.clone();
        Ok(self.judge(&name, request, who).await?.spec)
    }

    /// Begins a transition: judges it, points the link at the new library, and returns when it is
    /// under way. The same idempotency key gives the same transition back.
    ///
    /// # Errors
    /// [`HostError::Refused`]: nothing was changed. Otherwise the link may lead to the new library.
    ///
    /// # Cancel safety
    /// The transition still happens once the link was changed.
    pub async fn transition_start(
        &self,
        name: &str,
        request: TransitionRequest,
        who: &str,
    ) -> Result<Arc<Report>, HostError> {
        self.refuse_when_closing()?;
        let name = self.track(name)?.name.clone();
        let station = self.context().station(&name);
        let asked = history::fingerprint(&request);
        // Whoever comes with the same key meanwhile is told of the same transition.
        let mut _turn = None;
        if let Some(key) = request.idempotency_key.as_deref() {
            let turn = self.context().promises.answers.turn(&name).await;
            if let Some(it) = turn.find(key, self.context().clock.unix_ns()) {
                return Err(taken(key, &format!("{} of transition `{}`", it.verb, it.transition)));
            }
            if let Some(report) = self.asked_before(&name, key, &asked)? {
                return Ok(report);
            }
            _turn = Some(turn);
        }
        self.at_rest(&name).await?;
        let Judged { spec, pending, library, prepared, serving } =
            self.judge(&name, request, who).await?;
        let link = self.context().settings.paths.enabled.join(name.as_str());
        let failed = |reason: String| {
            let remedy =
                "see whether the folders of links and settings may be written to".to_owned();
            HostError::Refused { code: "link", reason, remedy }
        };
        let unset =
            move |error: std::io::Error| failed(format!("cannot set link and settings: {error}"));
        let unkept = |error: std::io::Error| HostError::Refused {
            code: "record",
            reason: format!("the record of the transition cannot be kept: {error}"),
            remedy: "see whether there is room in the data folder".to_owned(),
        };
        let old = Arc::clone(&serving.prepared);
        let given = pending.request.settings.clone();
        let (id, file) = (spec.id.clone(), given::file_of(&self.context().settings, &name));
        let reading = move || {
            let lead = Lead::new(&id, &link, &library, &old)?;
            match given {
                Some(given) => lead.with_settings(file, serde_json::to_string_pretty(&given)?),
                None => Ok(lead),
            }
        };
        let lead = tokio::task::spawn_blocking(reading).await;
        let lead = lead.map_err(|panic| failed(panic.to_string()))?.map_err(unset)?;
        self.context().promises.history.asked(&name, &spec.id, asked);
        // Known before the link is changed: the watcher may see that at once.
        let wanted = (prepared.facts.library, prepared.facts.config);
        station.ask_for(wanted, pending);
        self.context().promises.lift(&name, wanted);
        let (shared, plugin, announced) = (Arc::clone(&self.shared), name.clone(), spec.clone());
        let pointing = move || {
            let context = &shared.context;
            kept::announce(context, &plugin, &serving, &announced, &lead).map_err(unkept)?;
            context.promises.point(&lead).map_err(|error| {
                // The record of what did not begin says so, if that can be written.
                let _ = kept::withdraw(context, &plugin, &error.to_string());
                unset(error)
            })
        };
        let pointed = tokio::task::spawn_blocking(pointing).await;
        pointed.map_err(|panic| failed(panic.to_string()))??;
        self.begin(&name, &spec).await
    }

    /// The transition of a plugin that runs, or ran last in this life of the host.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`].
    pub fn transition(&self, name: &str) -> Result<Option<Arc<Report>>, HostError> {
        let name = self.track(name)?.name.clone();
        Ok(self.context().station(&name).transition())
    }

    /// The transition that was asked for with the same key, today.
    fn asked_before(
        &self,
        name: &PluginName,
        key: &str,
        asked: &str,
    ) -> Result<Option<Arc<Report>>, HostError> {
        let Some((report, before)) = self.started_with(name, key) else { return Ok(None) };
        if before.is_some_and(|before| before != asked) {
            let what =
                format!("transition `{}`, which was asked for in other words", report.spec.id);
            return Err(taken(key, &what));
        }
        Ok(Some(report))
    }

    /// The transition that was asked for with a key, today, and in which words, if that is known.
    pub(super) fn started_with(
        &self,
        name: &PluginName,
        key: &str,
    ) -> Option<(Arc<Report>, Option<String>)> {
        let history = &self.context().promises.history;
        let latest = self.context().station(name).transition();
        match latest.filter(|it| it.spec.idempotency_key.as_deref() == Some(key)) {
            Some(report) => {
                let request = history.request_of(name, &report.spec.id);
                Some((report, request))
            }
            None => history.by_key(name, key, self.context().clock.unix_ns()),
        }
    }

    /// Transitions of a plugin, or of all of them, newest first: those that run, and those that have
    /// ended, also in a former life of the host.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`].
    pub fn transition_history(&self, name: Option<&str>) -> Result<Vec<Arc<Report>>, HostError> {
        let history = &self.context().promises.history;
        let names = match name {
            Some(name) => vec![self.track(name)?.name.clone()],
            None => {
                let mut all = history.names();
                all.extend(self.context().stations().iter().map(|it| it.name().clone()));
                all.sort();
                all.dedup();
                all
            }
        };
        let mut found: Vec<Arc<Report>> = Vec::new();
        for name in names {
            let ended = history.of(&name);
            let latest = self.context().known_station(&name).and_then(|it| it.transition());
            // The latest one knows more than what was kept of it.
            let kept = ended
                .into_iter()
                .filter(|kept| latest.as_ref().is_none_or(|latest| latest.spec.id != kept.spec.id));
            found.extend(latest.iter().cloned().chain(kept));
        }
        found.sort_by_key(|report| std::cmp::Reverse(report.started_unix_ns));
        Ok(found)
    }

    /// What is durable of a plugin's latest transition, also of a former life of the host.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`].
    pub fn transition_record(&self, name: &str) -> Result<Option<Record>, HostError> {
        let name = self.track(name)?.name.clone();
        Ok(self.context().promises.latest(&name, self.context().now()))
    }

    /// The latest transition of every plugin that had one.
    #[must_use]
    pub fn transitions(&self) -> Vec<Arc<Report>> {
        let stations = self.context().stations();
        stations.iter().filter_map(|station| station.transition()).collect()
    }

    /// Asks something of the running transition of a plugin. Returns where it stands then; what
    /// was asked for may take its time.
    ///
    /// # Errors
    /// [`HostError::Refused`] when there is none, or it cannot be done at this point.
    ///
    /// # Cancel safety
    /// What was asked for still happens.
    pub async fn transition_ask(
        &self,
        name: &str,
        asked: Asked,
        who: &str,
    ) -> Result<Arc<Report>, HostError> {
        self.refuse_when_closing()?;
        let name = self.track(name)?.name.clone();
        let station = self.context().station(&name);
        let refused = |code, reason: String, remedy: &str| {
            Err(HostError::Refused { code, reason, remedy: remedy.to_owned() })
        };
        let none = || {
            let reason = format!("no transition of `{name}` runs");
            refused("no_transition", reason, "start one: `patchbay transition start`")
        };
        let (reply, answer) = oneshot::channel();
        let verb = asked.verb();
        if !station.tell_transition(Told::Ask { asked, who: who.to_owned(), reply }) {
            return none();
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                let code = match error {
                    AskRefused::Over { .. } => "no_transition",
                    AskRefused::ForwardOnly => "forward_only",
                    AskRefused::OldIsGone { .. } => "old_is_gone",
                    _ => "wrong_phase",
                };
                return refused(code, error.to_string(), error.remedy());
            }
            Ok(Err(_)) => return none(),
            Err(_) => return Err(HostError::Timeout { operation: verb, limit: ANSWER }),
        }
        station.transition().map_or_else(none, Ok)
    }

    /// There is one transition of a plugin at a time, and nothing else is done to it meanwhile.
    pub(super) fn refuse_in_transition(&self, name: &PluginName) -> Result<(), HostError> {
        let station = self.context().station(name);
        // One whose report has ended is about to be gone: whoever saw that may begin the next.
        let runs = |report: &Arc<Report>| report.ended_unix_ns.is_none();
        match station.transition().filter(runs).filter(|_| station.is_in_transition()) {
            None => Ok(()),
            Some(report) => Err(HostError::Refused {
                code: "transition_running",
                reason: format!("transition `{}` of `{name}` runs", report.spec.id),
                remedy: "wait for its end, or abort it".to_owned(),
            }),
        }
    }

    /// Waits until nothing is done to a plugin. A transition that ended a moment ago still points
    /// its link back and has its version barred: both would hit the one that begins now.
    async fn at_rest(&self, name: &PluginName) -> Result<(), HostError> {
        let limit = self.command_limit();
        let until = tokio::time::Instant::now() + limit;
        loop {
            self.refuse_in_transition(name)?;
            if !self.track(name.as_str())?.busy {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(HostError::Timeout { operation: "transition", limit });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets what failed be tried again, and waits for nothing.
    async fn retry(&self, name: &PluginName, who: &str) -> Result<(), HostError> {
        let (name, who) = (name.clone(), who.to_owned());
        let command = Command::Retry;
        let ask = |reply: RpcReplyPort<_>| RegistryMsg::Command { name, command, who, reply };
        let asked = self.shared.tree.registry.call(ask, Some(ANSWER)).await;
        // Refused because the host ends, or the plugin is gone: then it is seen soon.
        drop(super::answer(asked, "retry", ANSWER)?);
        Ok(())
    }

    async fn judge(
        &self,
        name: &PluginName,
        request: TransitionRequest,
        who: &str,
    ) -> Result<Judged, HostError> {
        let track = self.track(name.as_str())?;
        let refused = |code, reason, remedy: &str| {
            Err(HostError::Refused { code, reason, remedy: remedy.to_owned() })
        };
        let Some(serving) = self.serving(&track) else {
            let reason = format!("nothing serves for `{name}`, which is {}", track.state);
            let remedy = "restart it, or let its link lead to another version; what waits is kept. \
                          `patchbay plugin info` says why";
            return refused("nothing_serves", reason, remedy);
        };
        if track.paused {
            let reason = format!("`{name}` is paused, so nothing could be measured");
            return refused("wrong_state", reason, "resume it first");
        }
        let shared = Arc::clone(&self.shared);
        let (name, who) = (name.clone(), who.to_owned());
        let judging = move || {
            let context = &shared.context;
            let station = context.station(&name);
            let (library, prepared) = library_of(context, &station, &request)?;
            let pending = Pending { id: context.transition_id(), request, who, by_link: false };
            let spec = pending.judge(context, &station, &serving.prepared, &prepared)?;
            Ok(Judged { spec, pending, library, prepared, serving })
        };
        tokio::task::spawn_blocking(judging).await.unwrap_or_else(|panic| {
            let reason = format!("the library could not be judged: {panic}");
            let remedy = "`patchbay plugin check` says what is wrong with it".to_owned();
            Err(HostError::Refused { code: "contract", reason, remedy })
        })
    }

    /// Waits until the transition is under way.
    async fn begin(
        &self,
        name: &PluginName,
        spec: &TransitionSpec,
    ) -> Result<Arc<Report>, HostError> {
        let limit = self.command_limit();
        let station = self.context().station(name);
        // The watch would see the link as well; this is sooner.
        let asked = self.shared.tree.watcher.call(WatcherMsg::Rescan, Some(limit)).await;
        super::answer(asked, "transition", limit)?;
        let begun = || station.transition().filter(|report| report.spec.id == spec.id);
        if begun().is_none() && !station.is_in_transition() {
            // A library that was given up before is named again by a link that did not change.
            self.retry(name, &spec.who).await?;
        }
        let until = tokio::time::Instant::now() + limit;
        loop {
            if let Some(report) = begun() {
                return Ok(report);
            }
            if tokio::time::Instant::now() >= until {
                return Err(HostError::Timeout { operation: "transition", limit });
            }
            let track = self.track(name.as_str())?;
            if let Some(failure) = track.failure.as_ref().filter(|_| !track.busy) {
                return Err(HostError::Refused {
                    code: "contract",
                    reason: failure.reason.clone(),
                    remedy: "`patchbay plugin info` and `plugin logs` tell more".to_owned(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
