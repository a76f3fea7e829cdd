//! One transition, from the request to its end.
//!
//! At most one action runs whose end is waited for. Its end, what is measured, what fails, what an
//! operator asks and the passing of time are events; each is answered with effects. The order of
//! the effects is the promise: the record of a cutover is durable before the fence (P-24), the
//! candidate is loaded, initialised, checked and started before anything is taken from the old
//! version (P-25), and there is a way back at every point before the end (P-28).
//!
//! The ends of actions that were given up are told apart by their tickets and change nothing.

mod asking;
mod course;
mod leaving;
mod trial;

use std::time::Duration;

use super::{
    event::{Action, Effect, Event, Served, Ticket, Yield},
    record::{FORMAT, Outcome, Record, Standing},
    report::{ENTRIES_MAX, Entry, Report, VersionReport},
    request::TransitionSpec,
    sample::{Comparison, Sample},
    strategy::Strategy,
    verdict::Judgement,
};
use crate::{Generation, Now};

/// Least and greatest time between two measurements.
const MEASURE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// A transition. See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    spec: TransitionSpec,
    old: Generation,
    candidate: Generation,
    phase: Phase,
    /// The latest ticket, and whether its action still runs.
    ticket: Ticket,
    running: bool,
    /// A way out that was decided while an action ran that must not be interrupted.
    turn: Option<Outcome>,
    /// Why it is on its way out, or how it ended.
    outcome: Option<Outcome>,
    /// Since when it waits for an operator, monotonic.
    paused: Option<u64>,
    /// Go on with the next step as soon as possible, whatever is measured.
    hurry: bool,
    /// The cutover is durable.
    cut: bool,
    /// The candidate has had messages that count.
    fenced: bool,
    /// The old version has no instance: it is another life of the host.
    cold: bool,
    /// Why the old version cannot serve any more.
    lost: Option<String>,
    epoch: u64,
    deaths: u32,
    share: u8,
    mirrors: bool,
    step: usize,
    /// Monotonic: when the step began, when the trial must have ended, when the bake ends, when
    /// what failed is tried again.
    since: u64,
    deadline: u64,
    bake_until: Option<u64>,
    again_at: Option<u64>,
    measured: Measured,
    verdict: Option<Judgement>,
    latest: Option<Judgement>,
    entries: Vec<Entry>,
    started_unix_ns: u64,
    ended_unix_ns: Option<u64>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
struct Measured {
    stable: Sample,
    candidate: Sample,
    comparison: Comparison,
    /// The serving version's counts when the trial began.
    origin: Option<Sample>,
    /// The candidate's counts when the step began, or the bake.
    step_base: Sample,
    /// The serving version's counts over the trial, or up to the cutover.
    baseline: Sample,
    /// Why nothing can be counted now.
    blind: Option<String>,
}

/// Where a transition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The beginning is being made durable.
    Noting,
    Loading,
    Initialising,
    Checking,
    Starting,
    Replaying,
    Probing,
    Mirroring,
    Shifting,
    /// Everything is ready for the cutover, and an operator said to wait.
    Waiting,
    /// The mirror ends.
    Unmirroring,
    /// The cutover is being made durable.
    Committing,
    CuttingOver,
    Draining,
    Revoking,
    HandingOver,
    Opening,
    Baking,
    /// The end is being made durable.
    Finalising,
    /// The old version is unloaded.
    Retiring,
    /// The candidate gets nothing any more, before the cutover, …
    Withdrawing,
    /// … and is unloaded.
    Dismissing,
    /// The end is being made durable.
    Closing,
    /// The way back, after the cutover: the old version is started anew, …
    Warming,
    /// … the way back is made durable, …
    Reverting,
    /// … the old version serves, …
    Restoring,
    /// … the candidate finishes what it holds, …
    Receding,
    /// … or it is taken away, …
    Stripping,
    /// … and is unloaded.
    Removing,
    Over,
}

// === impl Transition ===

impl Transition {
    /// A transition that may start: what serves is `old`, and the candidate will be `candidate`.
    /// Returns the first effects with it.
    #[must_use]
    pub fn begin(
        spec: TransitionSpec,
        old: Generation,
        candidate: Generation,
        now: Now,
    ) -> (Transition, Vec<Effect>) {
        let mut it = Transition::new(spec, old, candidate, now);
        let mut effects = Vec::new();
        let TransitionSpec { strategy, plugin, from, to, .. } = &it.spec;
        let text = if from.library == to.library {
            let (version, from, to) = (&from.version, from.config.short(), to.config.short());
            format!("{strategy} transition of {plugin} {version} from configuration {from} to {to}")
        } else {
            let (from, to) = (&from.version, &to.version);
            format!("{strategy} transition of {plugin} from {from} to {to}")
        };
        it.enter(Phase::Noting, text, now, &mut effects);
        it.record(Standing::Trial, now, &mut effects);
        (it, effects)
    }

    /// Goes on with the bake after a start of the host for which [`recover`](super::recover) said
    /// that the new version serves. `candidate` serves already; `old` is a number for an instance
    /// of the old version, which is started first so that the way back is short.
    #[must_use]
    pub fn resume(
        record: &Record,
        old: Generation,
        candidate: Generation,
        now: Now,
    ) -> (Transition, Vec<Effect>) {
        let mut it = Transition::new(record.spec.clone(), old, candidate, now);
        it.started_unix_ns = record.spec.at_unix_ns;
        it.epoch = record.epoch;
        it.deaths = record.deaths;
        it.verdict.clone_from(&record.verdict);
        (it.cut, it.fenced) = (true, true);
        it.cold = true;
        it.share = 100;
        it.bake_until = Some(now.mono_ns.saturating_add(nanoseconds(record.bake_left)));
        let mut effects = Vec::new();
        let text = format!("went on after a restart of the host, {:?} to bake", record.bake_left);
        it.enter(Phase::Baking, text, now, &mut effects);
        if it.way_back().is_ok() && !record.bake_left.is_zero() {
            it.perform(Action::Warm(old), &mut effects);
        } else {
            it.bake(now, &mut effects);
        }
        (it, effects)
    }

    /// Takes an event into account. What belongs to another generation, or to an action that was
    /// given up, changes nothing.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Ended { ticket, result } => {
                if self.running && ticket == self.ticket {
                    self.running = false;
                    if let Ok(Yield::Revoked { calls }) = result {
                        self.tell_taken(calls, now, &mut effects);
                    }
                    self.ended(result, now, &mut effects);
                }
            }
            Event::Measured { stable, candidate, comparison } => {
                if (stable.generation, candidate.generation) == (self.old, self.candidate) {
                    self.measured.blind = None;
                    self.measured.take(stable, candidate, comparison);
                    self.weigh(now, &mut effects);
                }
            }
            Event::NotMeasured { reason } => {
                self.measured.blind = Some(reason);
                self.weigh(now, &mut effects);
            }
            Event::Faulted { generation, refusal } => {
                self.faulted(generation, &refusal, now, &mut effects);
            }
            Event::Tick => self.tick(now, &mut effects),
        }
        effects
    }

    /// When [`Event::Tick`] is to come, monotonic nanoseconds.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let paused = self.paused.is_some();
        match self.phase {
            Phase::Replaying | Phase::Probing if !paused => Some(self.deadline),
            Phase::Shifting | Phase::Mirroring if !paused && !self.running => Some(self.deadline),
            Phase::Baking if !paused && !self.running => self.bake_until,
            Phase::Reverting | Phase::Restoring => self.again_at,
            _ => None,
        }
    }

    /// How often the host is to measure now; `None` = not at all.
    #[must_use]
    pub fn measures(&self) -> Option<Duration> {
        let [least, most] = MEASURE;
        match self.phase {
            Phase::Shifting | Phase::Mirroring => {
                Some((self.spec.terms.min_time / 5).clamp(least, most))
            }
            Phase::Baking => Some((self.spec.terms.bake / 10).clamp(least, most)),
            phase if phase.is_leaving() => None,
            _ => Some(most),
        }
    }

    /// Who serves now, as far as it is certain: the version to which the last fence went.
    #[must_use]
    pub fn serves(&self) -> Served {
        match self.phase {
            Phase::Receding | Phase::Stripping | Phase::Removing => Served::Old,
            Phase::Closing | Phase::Over => {
                self.outcome.as_ref().map_or(Served::New, |outcome| outcome.kind.serves())
            }
            Phase::Noting
            | Phase::Loading
            | Phase::Initialising
            | Phase::Checking
            | Phase::Starting
            | Phase::Replaying
            | Phase::Probing
            | Phase::Mirroring
            | Phase::Shifting
            | Phase::Waiting
            | Phase::Unmirroring
            | Phase::Committing
            | Phase::CuttingOver
            | Phase::Withdrawing
            | Phase::Dismissing => Served::Old,
            _ => Served::New,
        }
    }

    /// What was asked for.
    #[must_use]
    pub fn spec(&self) -> &TransitionSpec {
        &self.spec
    }

    /// Numbers of the old version's and of the candidate's generation.
    #[must_use]
    pub fn generations(&self) -> (Generation, Generation) {
        (self.old, self.candidate)
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref().filter(|_| self.phase == Phase::Over)
    }

    /// The word of the phase.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        self.phase.as_str()
    }

    /// Percentage of the messages that the candidate gets.
    #[must_use]
    pub fn share(&self) -> u8 {
        self.share
    }

    /// Everything there is to say about it.
    #[must_use]
    pub fn report(&self, now: Now) -> Report {
        let bakes = self.phase == Phase::Baking;
        let until = self.paused.unwrap_or(now.mono_ns);
        Report {
            spec: self.spec.clone(),
            generations: [self.old, self.candidate],
            phase: self.phase().to_owned(),
            share: self.share,
            paused: self.paused.is_some(),
            bake_left_ms: self
                .bake_until
                .filter(|_| bakes)
                .map(|end| end.saturating_sub(until) / 1_000_000),
            started_unix_ns: self.started_unix_ns,
            ended_unix_ns: self.ended_unix_ns,
            outcome: self.outcome.clone(),
            verdict: self.verdict.clone(),
            latest: self.latest.clone(),
            stable: VersionReport::of(&self.measured.stable),
            candidate: VersionReport::of(&self.measured.candidate),
            comparison: self.measured.comparison.clone(),
            entries: self.entries.clone(),
        }
    }

    fn new(spec: TransitionSpec, old: Generation, candidate: Generation, now: Now) -> Transition {
        Transition {
            spec,
            old,
            candidate,
            phase: Phase::Noting,
            ticket: Ticket::default(),
            running: false,
            turn: None,
            outcome: None,
            paused: None,
            hurry: false,
            cut: false,
            fenced: false,
            cold: false,
            lost: None,
            epoch: 0,
            deaths: 0,
            share: 0,
            mirrors: false,
            step: 0,
            since: now.mono_ns,
            deadline: u64::MAX,
            bake_until: None,
            again_at: None,
            measured: Measured::default(),
            verdict: None,
            latest: None,
            entries: Vec::new(),
            started_unix_ns: now.unix_ns,
            ended_unix_ns: None,
        }
    }

    fn enter(&mut self, phase: Phase, text: impl Into<String>, now: Now, out: &mut Vec<Effect>) {
        self.phase = phase;
        self.tell(text, now, out);
    }

    fn tell(&mut self, text: impl Into<String>, now: Now, out: &mut Vec<Effect>) {
        let phase = self.phase().to_owned();
        let (at_unix_ns, share) = (now.unix_ns, self.share);
        let entry = Entry { at_unix_ns, phase, share, text: text.into() };
        if self.entries.len() >= ENTRIES_MAX {
            // The beginning says most; what is lost is in the middle.
            self.entries.remove(ENTRIES_MAX / 2);
        }
        self.entries.push(entry.clone());
        out.push(Effect::Tell(entry));
    }

    /// Calls were taken away. Said at once and in every case: whoever sees them repeated looks for it
    /// here, also when the way out had been decided meanwhile.
    fn tell_taken(&mut self, calls: u64, now: Now, out: &mut Vec<Effect>) {
        let whose = if self.phase.is_leaving() { "the candidate" } else { "the old version" };
        self.tell(format!("{calls} calls of {whose} were taken away"), now, out);
    }

    fn perform(&mut self, action: Action, out: &mut Vec<Effect>) {
        debug_assert!(!self.running, "an action is still running");
        self.ticket.0 += 1;
        self.running = true;
        out.push(Effect::Perform { ticket: self.ticket, action });
    }

    /// The end of what runs is not waited for any more.
    fn forget(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.running) {
            out.push(Effect::Forget { ticket: self.ticket });
        }
    }

    fn record(&mut self, standing: Standing, now: Now, out: &mut Vec<Effect>) {
        let left = self.bake_until.map(|until| until.saturating_sub(now.mono_ns));
        let bake_left = left.map_or(self.spec.terms.bake, Duration::from_nanos);
        let record = Record {
            format: FORMAT,
            spec: self.spec.clone(),
            standing,
            old: self.old,
            candidate: self.candidate,
            epoch: self.epoch,
            deaths: self.deaths,
            bake_left,
            at_unix_ns: now.unix_ns,
            verdict: self.verdict.clone(),
            aside: None,
        };
        self.perform(Action::Record(Box::new(record)), out);
    }

    fn is_tried(&self) -> bool {
        matches!(self.spec.strategy, Strategy::Gradual(_) | Strategy::BlueGreen(_))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Phase ===

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Noting | Phase::Loading => "loading",
            Phase::Initialising => "initialising",
            Phase::Checking => "checking",
            Phase::Starting => "starting",
            Phase::Replaying => "replaying",
            Phase::Probing => "probing",
            Phase::Mirroring => "mirroring",
            Phase::Shifting => "shifting",
            Phase::Waiting => "waiting",
            Phase::Unmirroring | Phase::Committing | Phase::CuttingOver => "cutting_over",
            Phase::Draining | Phase::Revoking => "draining",
            Phase::HandingOver | Phase::Opening => "handing_over",
            Phase::Baking => "baking",
            Phase::Finalising | Phase::Retiring => "finalising",
            Phase::Withdrawing | Phase::Dismissing => "aborting",
            Phase::Closing => "closing",
            Phase::Warming
            | Phase::Reverting
            | Phase::Restoring
            | Phase::Receding
            | Phase::Stripping
            | Phase::Removing => "rolling_back",
            Phase::Over => "over",
        }
    }

    /// Whether it is on its way to an end already.
    fn is_leaving(self) -> bool {
        matches!(
            self,
            Phase::Finalising
                | Phase::Retiring
                | Phase::Withdrawing
                | Phase::Dismissing
                | Phase::Closing
                | Phase::Warming
                | Phase::Reverting
                | Phase::Restoring
                | Phase::Receding
                | Phase::Stripping
                | Phase::Removing
                | Phase::Over
        )
    }

    /// Whether an action that runs in it may be given up at any time.
    fn may_be_left(self) -> bool {
        matches!(self, Phase::Replaying | Phase::Probing | Phase::Draining | Phase::Waiting)
    }
}
