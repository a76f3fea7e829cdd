//! What every part of the host may reach. Made once, by [`Host::start`](crate::Host::start).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use patchbay_bus::{Broker, Clock};
use patchbay_interpose::crash::record::CrashRecord;
use patchbay_lifecycle::{Change, Generation, Now, PluginName, State};
use patchbay_loader::{Loader, Store};
use patchbay_pool::Monitor;
use tokio::sync::watch;

use crate::{
    audit::Audit,
    dice::Dice,
    events::EventDesk,
    journal::Record,
    moment,
    reclaim::Reclaim,
    settings::Settings,
    snapshot::Snapshot,
    station::Station,
    telemetry::logs::tame,
    transit::kept::Promises,
    view::{Cause, LogLine, StateChange},
};

/// What every part of the host may reach.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) host_id: String,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: Arc<Dice>,
    pub(crate) broker: Broker,
    pub(crate) loader: Loader,
    pub(crate) store: Store,
    pub(crate) monitor: Monitor,
    pub(crate) record: Record,
    /// What the next host will know of the death of this one; `None` where there was no room for it.
    pub(crate) crash: Option<Arc<CrashRecord>>,
    pub(crate) events: EventDesk,
    pub(crate) audit: Audit,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) promises: Arc<Promises>,
    pub(crate) reclaim: Reclaim,
    /// Whether the end of the host has begun.
    closing: watch::Sender<bool>,
    /// Generations for instances that no plan asked for.
    spare: AtomicU64,
    pub(crate) started_unix_ns: u64,
    stations: RwLock<BTreeMap<PluginName, Arc<Station>>>,
    log_lines: AtomicU64,
    phase: Mutex<Phase>,
    /// What was not finished in time at the host's end: plugin and what was waited for.
    unfinished: Mutex<Vec<(PluginName, String)>>,
}

/// What a context is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) host_id: String,
    pub(crate) settings: Arc<Settings>,
    pub(crate) broker: Broker,
    pub(crate) store: Store,
    pub(crate) monitor: Monitor,
    pub(crate) promises: Arc<Promises>,
    /// The first of the generations for instances that no plan asked for.
    pub(crate) spare: u64,
    pub(crate) record: Record,
    pub(crate) crash: Option<Arc<CrashRecord>>,
}

/// Where the host is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// It ends: nothing takes longer than until then.
    Closing {
        /// Plugins have finished what they hold by then, or it is taken away.
        drain: Instant,
        /// Everything has ended by then.
        end: Instant,
    },
    Stopped,
    /// An actor ended by itself.
    Lost(String),
}

// === impl Context ===

impl Context {
    pub(crate) fn new(parts: Parts) -> Context {
        let clock = Arc::clone(parts.broker.clock());
        Context {
            host_id: parts.host_id,
            settings: parts.settings,
            dice: Arc::new(Dice::new()),
            events: EventDesk::new(&parts.broker),
            audit: Audit::default(),
            broker: parts.broker,
            loader: Loader::new(),
            store: parts.store,
            monitor: parts.monitor,
            record: parts.record,
            crash: parts.crash,
            snapshot: watch::Sender::default(),
            promises: parts.promises,
            reclaim: Reclaim::default(),
            closing: watch::Sender::new(false),
            spare: AtomicU64::new(parts.spare),
            started_unix_ns: clock.unix_ns(),
            clock,
            stations: RwLock::default(),
            log_lines: AtomicU64::new(0),
            phase: Mutex::new(Phase::Running),
            unfinished: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_ns: self.clock.now_ns(), unix_ns: self.clock.unix_ns() }
    }

    /// The name of an actor. The actor framework keeps names for the whole process; ours carry the
    /// host's id.
    pub(crate) fn actor_name(&self, role: &str) -> String {
        format!("patchbay.{}.{role}", self.host_id)
    }

    // --- plugin names ---

    /// Everything of a name; made when there is nothing yet.
    pub(crate) fn station(&self, name: &PluginName) -> Arc<Station> {
        if let Some(station) = self.known_station(name) {
            return station;
        }
        let mut stations = self.stations.write().unwrap_or_else(PoisonError::into_inner);
        let limits = &self.settings.limits;
        let make = || Arc::new(Station::new(name.clone(), limits, Arc::clone(&self.dice)));
        Arc::clone(stations.entry(name.clone()).or_insert_with(make))
    }

    pub(crate) fn known_station(&self, name: &PluginName) -> Option<Arc<Station>> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn stations(&self) -> Vec<Arc<Station>> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    // --- what is told ---

    /// Remembers what changed: in the history and the log of each plugin. Called before the changes
    /// can be seen anywhere else, so whoever hears of one finds it there.
    pub(crate) fn remember(&self, changes: &[Change]) {
        for change in changes {
            let station = self.station(&change.plugin);
            if change.generation.is_none() {
                let level = if change.to == State::Failed { "error" } else { "info" };
                let text = format!("{}: {}", change.to, change.cause.why);
                self.log(&station, LineFrom { level, generation: None, target: "host" }, &text);
            }
            if !told_by_a_generation(change, changes) {
                let from = from_of_the_plugin(change, changes).or(change.from);
                station.remember(seen(change, from));
            }
        }
    }

    /// Tells the world of a change of state that was [remembered](Context::remember).
    pub(crate) fn announce(&self, change: &Change) {
        self.events.state_changed(&seen(change, change.from));
    }

    /// Writes a line into a plugin's log: to `tracing`, to the lines that are kept, and to
    /// `$PB.log.<plugin>`.
    pub(crate) fn log(&self, station: &Station, from: LineFrom<'_>, text: &str) {
        let text = tame(text, self.settings.limits.log_line_bytes);
        let plugin = station.name().as_str();
        let LineFrom { level, generation, target } = from;
        match level {
            "error" => {
                tracing::error!(target: "plugin", plugin, generation, from = target, "{text}")
            }
            "warn" => tracing::warn!(target: "plugin", plugin, generation, from = target, "{text}"),
            "info" => tracing::info!(target: "plugin", plugin, generation, from = target, "{text}"),
            "debug" => {
                tracing::debug!(target: "plugin", plugin, generation, from = target, "{text}")
            }
            _ => tracing::trace!(target: "plugin", plugin, generation, from = target, "{text}"),
        }
        let line = Arc::new(LogLine {
            seq: self.log_lines.fetch_add(1, Relaxed) + 1,
            at: moment::text(self.clock.unix_ns()),
            level: level.to_owned(),
            plugin: plugin.to_owned(),
            generation,
            target: tame(target, 256),
            text,
        });
        self.events.logged(&line);
        station.logs.push(line);
    }

    // --- the end ---

    pub(crate) fn phase(&self) -> Phase {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase(), Phase::Closing { .. } | Phase::Stopped)
    }

    /// Tells when the end of the host begins.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// A number for an instance that no plan asked for.
    pub(crate) fn spare_generation(&self) -> Generation {
        Generation(self.spare.fetch_add(1, Relaxed))
    }

    /// Names a new transition.
    pub(crate) fn transition_id(&self) -> String {
        uuid::Uuid::now_v7().simple().to_string()
    }

    /// Begins the end. False when it has begun already.
    pub(crate) fn begin_closing(&self, drain: Instant, end: Instant) -> bool {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = matches!(*phase, Phase::Running | Phase::Lost(_));
        if begins {
            *phase = Phase::Closing { drain, end };
            self.closing.send_replace(true);
        }
        begins
    }

    pub(crate) fn stopped(&self) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Phase::Stopped;
    }

    /// An actor ended by itself.
    pub(crate) fn lost(&self, actor: &str) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == Phase::Running {
            *phase = Phase::Lost(actor.to_owned());
        }
    }

    /// Notes what a plugin did not finish, if the host is ending.
    pub(crate) fn unfinished(&self, plugin: &PluginName, what: &str) {
        if self.is_closing() {
            let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
            unfinished.push((plugin.clone(), what.to_owned()));
        }
    }

    /// What was noted so far.
    pub(crate) fn all_unfinished(&self) -> Vec<(PluginName, String)> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long a plugin may take to finish what it holds: what is usual, or what is left of the
    /// host's own end.
    pub(crate) fn drain_limit(&self, usual: Duration) -> Duration {
        match self.phase() {
            Phase::Closing { drain, .. } => {
                usual.min(drain.saturating_duration_since(Instant::now()))
            }
            _ => usual,
        }
    }

    /// How long one of a plugin's last steps may take: at the host's own end never more than half
    /// of what is left, so that something is left for the next.
    pub(crate) fn end_limit(&self, usual: Duration) -> Duration {
        match self.phase() {
            Phase::Closing { end, .. } => {
                usual.min(end.saturating_duration_since(Instant::now()) / 2)
            }
            _ => usual,
        }
    }
}

/// Where a log line comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineFrom<'a> {
    pub(crate) level: &'static str,
    pub(crate) generation: Option<u64>,
    pub(crate) target: &'a str,
}

/// Whether a change of a plugin as a whole is what one of its generations just went through: the
/// history has one entry for both, and that one names the generation.
fn told_by_a_generation(change: &Change, all: &[Change]) -> bool {
    change.generation.is_none() && all.iter().any(|it| is_one_entry(it, change))
}

/// Where the plugin as a whole comes from, when it came along with this generation.
fn from_of_the_plugin(change: &Change, all: &[Change]) -> Option<State> {
    all.iter().find(|it| is_one_entry(change, it))?.from
}

fn is_one_entry(of_generation: &Change, of_plugin: &Change) -> bool {
    of_generation.generation.is_some()
        && of_plugin.generation.is_none()
        && (&of_generation.plugin, of_generation.to) == (&of_plugin.plugin, of_plugin.to)
}

fn seen(change: &Change, from: Option<State>) -> StateChange {
    StateChange {
        plugin: change.plugin.to_string(),
        generation: change.generation.map(|generation| generation.0),
        // What is new was only a file before.
        from: from.unwrap_or(State::Discovered).to_string(),
        to: change.to.to_string(),
        cause: Cause {
            who: change.cause.who.clone(),
            why: change.cause.why.clone(),
            at: moment::text(change.at_unix_ns),
        },
    }
}
