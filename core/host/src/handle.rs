//! The host's face towards the gateway, the command line and tests.
//!
//! A [`HostHandle`] is cheap to clone. Reading takes the registry's latest snapshot and asks no
//! actor; whatever changes something goes to the registry as a message and waits for the outcome.
//!
//! **Absent on purpose.** No HTTP, no JSON, no rights: who may call is the gateway's matter; `who`
//! is only written down.

mod asking;
mod durable;
mod embedding;
mod keyed;
mod letters;
mod transition;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use patchbay_lifecycle::{Check, Command, PluginName};
use patchbay_pool::Op;
use patchbay_wire::TopicPattern;
use ractor::ActorRef;
use tokio::sync::watch;

use self::asking::answer;
use crate::{
    actors::{
        root::{RootMsg, Tree},
        watcher::WatcherMsg,
    },
    context::Context,
    error::{HostError, PublishError},
    letters::LetterFilter,
    moment,
    operations::Operations,
    publishing::{self, Counter, EventTap, MessageTap, NewMessage, Room},
    show,
    view::{
        DeadLetterView, GenerationView, HealthView, HostStatus, LedgerView, LogLine, PluginDetail,
        PluginView, Published, RescanReport, SeenMessage, ShutdownReport, TopicView,
    },
};

/// Longest wait for a plugin's answer about its own metrics.
const METRICS_TIMEOUT: Duration = Duration::from_secs(1);

/// The running host.
#[derive(Clone, Debug)]
pub struct HostHandle {
    shared: Arc<Shared>,
}

/// What all clones of a handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) tree: Tree,
    pub(crate) root: ActorRef<RootMsg>,
    pub(crate) counter: Counter,
    pub(crate) operations: Operations,
    /// Whether every plugin had started or failed once.
    pub(crate) was_ready: AtomicBool,
    /// How the host ended, once it has.
    pub(crate) end: watch::Sender<Option<ShutdownReport>>,
}

// === impl HostHandle ===

impl HostHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> HostHandle {
        HostHandle { shared }
    }

    /// Every known plugin, by name.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginView> {
        let snapshot = self.snapshot();
        snapshot.tracks.values().map(|track| show::plugin(self.context(), track)).collect()
    }

    /// One plugin in one line.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`].
    pub fn plugin(&self, name: &str) -> Result<PluginView, HostError> {
        Ok(show::plugin(self.context(), &*self.track(name)?))
    }

    /// Everything about one plugin; a running one is asked for its own metrics.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn plugin_detail(&self, name: &str) -> Result<PluginDetail, HostError> {
        let track = self.track(name)?;
        let own = match self.serving(&track) {
            // A plugin without a thread is not given one only to be asked.
            Some(incarnation) if incarnation.has_threads() => {
                incarnation.ask(Op::Metrics, METRICS_TIMEOUT).await.ok().and_then(|it| it.text())
            }
            _ => None,
        };
        let own = own.and_then(|text| serde_json::from_str(&text).ok());
        // As it is now, not as it was before the plugin answered.
        Ok(show::detail(self.context(), &*self.track(name)?, own))
    }

    /// Waits until `accept` is true of the plugin, and returns it as it was then. `accept` is also
    /// asked about a name that is not known (yet or any more), with `None`.
    ///
    /// # Errors
    /// [`HostError::Timeout`]; [`HostError::Closing`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_for(
        &self,
        name: &str,
        limit: Duration,
        mut accept: impl FnMut(Option<&PluginView>) -> bool + Send,
    ) -> Result<Option<PluginView>, HostError> {
        let mut found = None;
        self.wait("reach the state", limit, |snapshot| {
            found = PluginName::parse(name)
                .ok()
                .and_then(|name| snapshot.tracks.get(&name))
                .map(|track| show::plugin(self.context(), track));
            accept(found.as_ref())
        })
        .await?;
        Ok(found)
    }

    /// Waits until every enabled plugin has started or failed.
    ///
    /// # Errors
    /// [`HostError::Timeout`]; [`HostError::Closing`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn ready(&self, limit: Duration) -> Result<(), HostError> {
        if !self.is_ready() {
            self.wait("be ready", limit, |snapshot| snapshot.settled).await?;
            self.shared.was_ready.store(true, SeqCst);
        }
        Ok(())
    }

    /// Stops hand-offs to a plugin and tells it; messages stay queued. Paused stays paused across
    /// versions and restarts. Returns when it is paused.
    ///
    /// # Errors
    /// [`HostError`]; hand-offs have stopped all the same when it is the plugin that failed.
    ///
    /// # Cancel safety
    /// The pause still happens.
    pub async fn pause(&self, name: &str, who: &str) -> Result<PluginView, HostError> {
        self.command(name, Command::Pause, who).await
    }

    /// The opposite of [`pause`](HostHandle::pause).
    ///
    /// # Errors
    /// [`HostError`]; it stays paused when it is the plugin that failed.
    ///
    /// # Cancel safety
    /// The resume still happens.
    pub async fn resume(&self, name: &str, who: &str) -> Result<PluginView, HostError> {
        self.command(name, Command::Resume, who).await
    }

    /// Asks a plugin to forget what it learned from messages.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Cancel safety
    /// The reset still happens.
    pub async fn reset(&self, name: &str, who: &str) -> Result<PluginView, HostError> {
        let track = self.track(name)?;
        let incarnation = self.asked_to("reset", &track)?;
        let limit = self.context().settings.limits.call_timeout;
        tracing::info!(plugin = name, who, "reset");
        incarnation.ask(Op::Reset, limit).await.map_err(|error| HostError::Plugin {
            plugin: name.to_owned(),
            operation: "reset",
            reason: error.to_string(),
        })?;
        self.plugin(name)
    }

    /// Replaces the serving generation by a new one of the same library, or tries a failed plugin
    /// again. Returns when the outcome is known.
    ///
    /// # Errors
    /// [`HostError::Plugin`] with the reason when the new generation failed; an old one still
    /// serves then.
    ///
    /// # Cancel safety
    /// The restart still happens.
    pub async fn restart(&self, name: &str, who: &str) -> Result<PluginView, HostError> {
        let view = self.command(name, Command::Restart, who).await?;
        match &self.track(name)?.failure {
            None => Ok(view),
            Some(failure) => Err(HostError::Plugin {
                plugin: name.to_owned(),
                operation: "restart",
                reason: failure.reason.clone(),
            }),
        }
    }

    /// Asks a running plugin for its health now. The answer is not counted by the supervisor.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn health(&self, name: &str) -> Result<HealthView, HostError> {
        let track = self.track(name)?;
        let incarnation = self.asked_to("check", &track)?;
        let check = incarnation.check(incarnation.prepared.facts.health.timeout).await;
        let checked_at = Some(moment::text(self.context().clock.unix_ns()));
        let failures = track.health.failures;
        Ok(match check {
            Check::Passed(detail) => {
                HealthView { status: "healthy".to_owned(), detail, failures, checked_at }
            }
            Check::Failed(why) => HealthView {
                status: "unhealthy".to_owned(),
                detail: Some(why),
                failures,
                checked_at,
            },
            Check::Busy(why) => HealthView {
                status: "unknown".to_owned(),
                detail: Some(why),
                failures,
                checked_at: None,
            },
        })
    }

    /// Reads `plugins/enabled` now and returns when what it says is applied or has failed.
    ///
    /// # Errors
    /// [`HostError::Timeout`]; [`HostError::Closing`].
    ///
    /// # Cancel safety
    /// What was read is still applied.
    pub async fn rescan(&self, limit: Duration) -> Result<RescanReport, HostError> {
        self.refuse_when_closing()?;
        let began = std::time::Instant::now();
        let asked = self.shared.tree.watcher.call(WatcherMsg::Rescan, Some(limit)).await;
        let scan = answer(asked, "rescan", limit)?;
        let left = limit.saturating_sub(began.elapsed());
        self.wait("rescan", left, |snapshot| snapshot.scans >= scan && snapshot.settled).await?;
        Ok(RescanReport { plugins: self.plugins() })
    }

    /// Every generation whose library is still mapped, or is about to be.
    #[must_use]
    pub fn generations(&self) -> Vec<GenerationView> {
        show::generations(self.context(), &self.snapshot())
    }

    /// Publishes one message, and returns when it has its level.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was accepted, unless
    /// [`is_unknown`](PublishError::is_unknown) says that this is not known.
    ///
    /// # Cancel safety
    /// The message was accepted or was not; the caller does not learn which.
    pub async fn publish(
        &self,
        message: NewMessage,
        room: Room,
    ) -> Result<Published, PublishError> {
        self.shared.counter.publish(self.context(), &message, room).await
    }

    /// Publishes messages in order, each on its own: one refusal does not touch the others.
    ///
    /// # Cancel safety
    /// As for [`publish`](HostHandle::publish).
    pub async fn publish_many(
        &self,
        messages: Vec<NewMessage>,
        room: Room,
    ) -> Vec<Result<Published, PublishError>> {
        self.shared.counter.publish_many(self.context(), &messages, room).await
    }

    /// Publishes a message and waits for the reply.
    ///
    /// # Errors
    /// [`PublishError`]; [`PublishError::NoResponders`] at once.
    ///
    /// # Cancel safety
    /// The request may have been accepted; its reply is dropped.
    pub async fn request(
        &self,
        message: NewMessage,
        limit: Duration,
    ) -> Result<SeenMessage, PublishError> {
        let context = self.context();
        let reply = self.shared.counter.request(context, &message, limit)?.await;
        let reply =
            reply.map_err(|error| publishing::request_refused(context, &message.topic, error))?;
        Ok(publishing::seen(&reply))
    }

    /// Shows messages of a pattern as they pass; keeps up to `capacity` for the reader.
    ///
    /// # Errors
    /// [`PublishError::Invalid`] when the pattern is not valid.
    pub fn tap(&self, pattern: &str, capacity: usize) -> Result<MessageTap, PublishError> {
        let pattern = TopicPattern::parse(pattern)
            .map_err(|error| PublishError::Invalid { problem: error.to_string() })?;
        Ok(MessageTap::new(&self.context().broker, pattern, capacity))
    }

    /// The host's events from now on.
    #[must_use]
    pub fn events(&self) -> EventTap {
        EventTap::new(&self.context().broker)
    }

    /// Patterns and their subscribers.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicView> {
        show::topics(self.context())
    }

    /// Where the deliveries of every subscription are (P-1), also of those that were removed.
    #[must_use]
    pub fn ledger(&self) -> Vec<LedgerView> {
        show::ledger(self.context())
    }

    /// Dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetterView> {
        self.dead_letters_where(&LetterFilter::default()).unwrap_or_default()
    }

    /// The host in one page.
    #[must_use]
    pub fn status(&self) -> HostStatus {
        show::status(self.context(), &self.snapshot(), self.is_ready())
    }

    /// The kept log lines of a plugin with a number above `after`, oldest first.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`].
    pub fn logs(&self, name: &str, after: u64) -> Result<Vec<LogLine>, HostError> {
        let track = self.track(name)?;
        Ok(self.context().station(&track.name).logs.after(after))
    }

    /// Ends the host (P-35): refuses publishes, stops hand-offs, waits for what runs, lets every
    /// plugin shut down in reverse start order, closes. Returns at the deadline at the latest, with
    /// what was not finished by then. A second call waits for the same end.
    ///
    /// # Cancel safety
    /// The shutdown goes on.
    pub async fn shutdown(&self, limit: Duration) -> ShutdownReport {
        crate::closing::close(&self.shared, limit).await
    }
}
