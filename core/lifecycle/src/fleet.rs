//! All plugins of a host: the registry's whole decision making.
//!
//! Every method takes a message of the registry and returns effects; after each, every plugin that
//! has no plan running is planned anew. So an event may come at any time and in any order, and what
//! is wanted is reached from wherever things are.
//!
//! At most one plan runs per plugin; what changes meanwhile is taken into account when it ends
//! (P-30). Different plugins are independent but for the start order.

mod gate;
mod tell;

use std::collections::BTreeMap;

use self::{
    gate::Gate,
    tell::{changes, show, watch},
};
use crate::{
    Cause, Change, Check, Facts, FailureKind, Flow, Generation, HealthRule, Instance, Intent, Now,
    Observed, Order, Plan, PluginName, Refusal, RestartLimits, State, Step, Target, Track, Verdict,
    plan,
};

/// Names remembered, beyond those in use: the oldest that are not enabled any more are forgotten.
pub const NAMES_MAX: usize = 4_096;

/// What the executor is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Perform the steps in order, report each, stop at the first failure of one that may fail, and
    /// report the end.
    Perform {
        /// Whose.
        name: PluginName,
        /// What.
        plan: Plan,
    },
    /// Check this generation from now on.
    WatchHealth {
        /// Whose.
        name: PluginName,
        /// Which.
        generation: Generation,
        /// How.
        rule: HealthRule,
    },
    /// Check no generation of this name any more.
    ForgetHealth {
        /// Whose.
        name: PluginName,
    },
    /// Call [`Fleet::tick`] at this monotonic instant, or after it.
    WakeAt {
        /// Monotonic nanoseconds.
        mono_ns: u64,
    },
    /// Tell the world.
    Changed(Change),
}

/// One reading of the folder of links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What each name in it says now. Names that are not in it any more are absent.
    pub seen: Vec<(PluginName, Intent)>,
    /// Names whose library is still being written: they say what they said before, if anything.
    pub unsettled: usize,
    /// Names whose link leads to what was given up, and why it is not followed: what they say is what
    /// serves instead.
    pub aside: Vec<(PluginName, Refusal)>,
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop hand-offs.
    Pause,
    /// Start them again.
    Resume,
    /// A new instance.
    Restart,
    /// What failed to take over may be tried again.
    Retry,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No such plugin.
    #[error("no plugin of that name is known")]
    Unknown,
    /// Not in this state.
    #[error("the plugin is {state}")]
    WrongState {
        /// The state.
        state: State,
    },
    /// The host is ending.
    #[error("the host is shutting down")]
    Closing,
}

/// All plugins.
#[derive(Debug)]
pub struct Fleet {
    tracks: BTreeMap<PluginName, Track>,
    limits: RestartLimits,
    latest: Generation,
    order: Order,
    phase: Phase,
    /// Names of the latest reading that have not settled.
    unsettled: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The folder of links was not read yet.
    Waiting,
    Running,
    /// The host ends: plugins finish what they hold.
    Draining,
    /// They hold nothing any more, and end one after the other.
    Stopping,
}

// === impl Command ===

impl Command {
    /// The verb.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Command::Pause => "pause",
            Command::Resume => "resume",
            Command::Restart => "restart",
            Command::Retry => "retry",
        }
    }
}

// === impl Fleet ===

impl Fleet {
    /// No plugins. Generations are numbered from the one after `latest`.
    #[must_use]
    pub fn new(limits: RestartLimits, latest: Generation) -> Fleet {
        Fleet {
            tracks: BTreeMap::new(),
            limits,
            latest,
            order: Order::default(),
            phase: Phase::Waiting,
            unsettled: 0,
        }
    }

    /// Every plugin, by name.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values()
    }

    /// One plugin.
    #[must_use]
    pub fn track(&self, name: &PluginName) -> Option<&Track> {
        self.tracks.get(name)
    }

    /// Whether the folder of links was read and every enabled plugin has started or failed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase != Phase::Waiting
            && self.unsettled == 0
            && self.tracks.values().all(|it| it.settled == it.asked)
    }

    /// Whether the host is ending and no generation is left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closing() && self.tracks.values().all(|it| !it.busy && it.observed.is_empty())
    }

    /// Takes a reading of the folder of links.
    pub fn scanned(&mut self, reading: Reading, now: Now) -> Vec<Effect> {
        if self.is_closing() {
            return Vec::new();
        }
        self.phase = Phase::Running;
        self.unsettled = reading.unsettled;
        let seen: BTreeMap<PluginName, Intent> = reading.seen.into_iter().collect();
        for name in seen.keys() {
            self.tracks.entry(name.clone()).or_insert_with(|| Track::new(name.clone(), now));
        }
        let aside: BTreeMap<PluginName, Refusal> = reading.aside.into_iter().collect();
        for (name, track) in &mut self.tracks {
            let intent = seen.get(name).cloned().unwrap_or_default();
            track.set_aside(aside.get(name), now);
            let why = match &intent {
                Intent::Absent => "the link was removed".to_owned(),
                Intent::Refused(refusal) => refusal.reason.clone(),
                Intent::Wanted(facts) => {
                    format!("the link names version {} ({})", facts.version, facts.library.short())
                }
            };
            if track.intend(intent, now) {
                track.asked += 1;
                track.cause = Cause::new("watcher", why);
                if track.underway {
                    // Nobody waits for what is applied after the end of a long course (P-30).
                    track.settled = track.asked;
                }
            }
        }
        self.order = Order::of(&self.nodes());
        self.settle(now)
    }

    /// Takes the end of a step into account. `dice` is any random number.
    pub fn step_ended(
        &mut self,
        name: &PluginName,
        step: Step,
        outcome: Result<(), Refusal>,
        now: Now,
        dice: u64,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let limits = self.limits;
        let Some(track) = self.tracks.get_mut(name) else { return effects };
        let before = track.observed.clone();
        track.step_ended(step, outcome, &limits, now, dice);
        changes(track, &before, now, &mut effects);
        watch(track, &before, &mut effects);
        show(track, now, &mut effects);
        effects
    }

    /// The plan of a plugin has ended, at its last step or at one that failed.
    pub fn plan_ended(&mut self, name: &PluginName, now: Now) -> Vec<Effect> {
        if let Some(track) = self.tracks.get_mut(name) {
            track.end();
        }
        self.settle(now)
    }

    /// What was asked for is under way: whoever waits for the outcome need not wait for the end of
    /// the plan, nor does whoever changes the link meanwhile.
    pub fn underway(&mut self, name: &PluginName) {
        if let Some(track) = self.tracks.get_mut(name) {
            track.underway = track.busy;
            track.settled = track.asked;
        }
    }

    /// A generation is kept ready to serve again; these are its facts.
    pub fn keeps(&mut self, name: &PluginName, generation: Generation, facts: Facts) {
        if let Some(track) = self.tracks.get_mut(name) {
            track.keep(generation, facts);
        }
    }

    /// A serving generation failed: its threads are stuck, or its loop ended by itself.
    pub fn fault(
        &mut self,
        name: &PluginName,
        generation: Generation,
        refusal: &Refusal,
        now: Now,
        dice: u64,
    ) -> Vec<Effect> {
        let limits = self.limits;
        if let Some(track) = self.tracks.get_mut(name)
            && track.fault(generation, refusal, &limits, now, dice)
        {
            track.cause = Cause::new("supervisor", refusal.reason.clone());
        }
        self.settle(now)
    }

    /// Takes a health check into account.
    pub fn checked(
        &mut self,
        name: &PluginName,
        generation: Generation,
        check: Check,
        now: Now,
        dice: u64,
    ) -> Vec<Effect> {
        let Some(track) = self.tracks.get_mut(name) else { return Vec::new() };
        if track.observed.serving.is_none_or(|serving| serving.generation != generation) {
            return Vec::new();
        }
        let failures = track.serving_facts.as_ref().map_or(1, |facts| facts.health.failures);
        let turned = track.health.record(check, failures, now.unix_ns);
        // What could not be followed when it turned, because something else was on its way, is later.
        if !turned && (track.health.verdict != Verdict::Unhealthy || track.ails) {
            return Vec::new();
        }
        let detail = track.health.detail.clone().unwrap_or_default();
        let reason = format!("{} health checks in a row failed: {detail}", track.health.failures);
        let kind = FailureKind::Health;
        let refusal = Refusal { kind, reason, lasting: crate::Lasting::Passing };
        self.fault(name, generation, &refusal, now, dice)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) -> Vec<Effect> {
        for track in self.tracks.values_mut() {
            if track.lift_bar(now) {
                track.asked += 1;
                track.cause = Cause::new("supervisor", "tried again after a failure");
            }
        }
        self.settle(now)
    }

    /// An operator asks for something. Returns the number to wait for in [`Track::settled`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed.
    pub fn command(
        &mut self,
        name: &PluginName,
        command: Command,
        who: &str,
        now: Now,
    ) -> Result<(u64, Vec<Effect>), CommandError> {
        if self.is_closing() {
            return Err(CommandError::Closing);
        }
        let track = self.tracks.get_mut(name).ok_or(CommandError::Unknown)?;
        let refused = CommandError::WrongState { state: track.state };
        if matches!(track.intent, Intent::Absent) {
            return Err(refused);
        }
        match command {
            Command::Pause | Command::Resume => {
                if track.observed.serving.is_none() && !track.busy {
                    return Err(refused);
                }
                track.paused = command == Command::Pause;
            }
            Command::Restart => track.renew(now),
            Command::Retry => track.failure = None,
        }
        track.refusal = None;
        track.asked += 1;
        track.cause = Cause::new(who, format!("{} was asked for", command.verb()));
        let asked = track.asked;
        Ok((asked, self.settle(now)))
    }

    /// The host ends: every plugin is drained at once, and then stopped in reverse order.
    pub fn close(&mut self, now: Now) -> Vec<Effect> {
        self.phase = Phase::Draining;
        for track in self.tracks.values_mut() {
            track.cause = Cause::new("host", "the host is shutting down");
            track.asked += 1;
        }
        self.settle(now)
    }

    /// The plan that would run for a plugin now; `--dry-run`.
    #[must_use]
    pub fn dry_run(&self, name: &PluginName) -> Option<Plan> {
        let track = self.tracks.get(name)?;
        Some(plan(track.target(), &track.observed, self.latest.next()))
    }

    fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Draining | Phase::Stopping)
    }

    /// Plans every plugin that has no plan running.
    fn settle(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        // A failure that follows from others may follow from one that is found in this very round,
        // so rounds go on until nothing changes; each derives at least one, so they end.
        for _ in 0..=self.tracks.len() {
            if !self.derive_failures(now) {
                break;
            }
        }
        if self.phase == Phase::Draining && self.tracks.values().all(is_drained) {
            self.phase = Phase::Stopping;
        }
        let names: Vec<PluginName> = self.tracks.keys().cloned().collect();
        for name in names {
            let steps = self.next_steps(&name);
            let Some(track) = self.tracks.get_mut(&name) else { continue };
            match steps {
                _ if track.busy => {}
                None => track.unsettle(),
                Some(plan) if plan.is_empty() => track.settled = track.asked,
                Some(plan) => {
                    self.latest = latest(&plan).unwrap_or(self.latest);
                    track.begin();
                    track.shifting = plan.replaces() && !track.serves_the_same();
                    effects.push(Effect::Perform { name, plan });
                }
            }
        }
        for track in self.tracks.values_mut() {
            show(track, now, &mut effects);
        }
        self.forget_surplus();
        let retries = self.tracks.values().filter_map(|it| it.failure.as_ref()?.retry);
        if let Some(mono_ns) = retries.map(|retry| retry.mono_ns).min() {
            effects.push(Effect::WakeAt { mono_ns });
        }
        effects
    }

    /// Names that are not enabled any more are remembered, within bounds.
    fn forget_surplus(&mut self) {
        while self.tracks.len() > NAMES_MAX {
            let over = self.tracks.values().filter(|track| track.is_over());
            let oldest = over.min_by_key(|track| track.since_unix_ns);
            let Some(name) = oldest.map(|track| track.name.clone()) else { return };
            self.tracks.remove(&name);
        }
    }

    /// What is to be done for a plugin; `None` when it waits for others.
    fn next_steps(&self, name: &PluginName) -> Option<Plan> {
        let track = self.tracks.get(name)?;
        if self.is_closing() {
            return self.closing_steps(track);
        }
        let target = track.target();
        let starts = matches!(target, Target::Serve { .. }) && !track.serves_what_is_wanted();
        let target = match (starts, self.gate(track)) {
            (true, Gate::Wait) => return None,
            // The failure was derived before; whatever serves is kept.
            (true, Gate::Shut(..)) => {
                let flow = if track.paused { Flow::Held } else { Flow::Open };
                Target::Keep { flow }
            }
            _ => target,
        };
        Some(plan(target, &track.observed, self.latest.next()))
    }

    /// First everybody stops getting messages and finishes what it holds, all at once; then one
    /// after the other stops, last started first.
    fn closing_steps(&self, track: &Track) -> Option<Plan> {
        let Observed { serving, candidate, leaving, .. } = &track.observed;
        let mut steps = Vec::new();
        for Instance { generation, .. } in serving.iter().chain(candidate) {
            steps.extend([Step::Detach(*generation), Step::Drain(*generation)]);
        }
        if steps.is_empty() && !leaving.is_empty() {
            if self.phase == Phase::Draining {
                return None;
            }
            let alive = |it: &&Track| it.busy || !it.observed.is_empty();
            let mut later = self.tracks.values().filter(alive);
            if later.any(|it| it.name != track.name && self.order.waits(&it.name, &track.name)) {
                return None;
            }
            for Instance { generation, state, .. } in leaving {
                if *state == State::Draining {
                    steps.push(Step::Stop(*generation));
                }
                steps.push(Step::Retire(*generation));
            }
        }
        Some(Plan { steps })
    }
}

/// Whether the plugin takes nothing on any more and holds nothing.
fn is_drained(track: &Track) -> bool {
    !track.busy && track.observed.serving.is_none() && track.observed.candidate.is_none()
}

fn latest(plan: &Plan) -> Option<Generation> {
    plan.steps.iter().rev().find_map(|step| match step {
        Step::Open { generation, .. } => Some(*generation),
        _ => None,
    })
}
