//! A host that does what a transition says, and checks at every action that it may.

use std::collections::{BTreeMap, BTreeSet};

use patchbay_lifecycle::{
    Generation, Now, Refusal,
    failure::{FailureKind, Lasting},
    transition::{
        Action, Effect, Event, HostEnd, Outcome, Record, Served, Standing, Ticket, Transition,
        TransitionSpec, Yield, recover,
    },
};

/// How far a generation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Loaded,
    Initialised,
    Checked,
    Started,
}

/// A simulated host with one plugin.
pub(super) struct World {
    pub(super) now: Now,
    pub(super) transition: Transition,
    pub(super) running: Option<(Ticket, Action)>,
    /// What would be found after a crash.
    pub(super) durable: Option<Record>,
    /// To whom hand-offs may begin.
    takers: BTreeSet<Generation>,
    stages: BTreeMap<Generation, Stage>,
    pub(super) old: Generation,
    pub(super) candidate: Generation,
    /// Numbers are never used twice.
    latest: u64,
    /// Outcome of a transition that ended by a crash.
    pub(super) crashed_into: Option<Outcome>,
    /// The fence of the candidate failed: the old version is taken back whatever became of it.
    fence_failed: bool,
    old_failed: bool,
    /// Every action, for whoever reads a failure.
    pub(super) course: Vec<String>,
}

pub(super) fn refusal(reason: &str) -> Refusal {
    Refusal { kind: FailureKind::Init, reason: reason.to_owned(), lasting: Lasting::Passing }
}

// === impl World ===

impl World {
    pub(super) fn new(spec: TransitionSpec) -> World {
        let now = Now { mono_ns: 1_000_000_000, unix_ns: 1_700_000_000_000_000_000 };
        let (old, candidate) = (Generation(1), Generation(2));
        let (transition, effects) = Transition::begin(spec, old, candidate, now);
        let mut world = World {
            now,
            transition,
            running: None,
            durable: None,
            takers: BTreeSet::from([old]),
            stages: BTreeMap::from([(old, Stage::Started)]),
            old,
            candidate,
            latest: 2,
            crashed_into: None,
            fence_failed: false,
            old_failed: false,
            course: Vec::new(),
        };
        world.perform(effects);
        world
    }

    pub(super) fn is_over(&self) -> bool {
        self.crashed_into.is_some() || self.transition.outcome().is_some()
    }

    pub(super) fn outcome(&self) -> &Outcome {
        let ended = self.crashed_into.as_ref().or(self.transition.outcome());
        ended.expect("the transition is over")
    }

    pub(super) fn pass(&mut self, nanoseconds: u64) {
        self.now.mono_ns += nanoseconds;
        self.now.unix_ns += nanoseconds;
    }

    pub(super) fn next_number(&mut self) -> Generation {
        self.latest += 1;
        Generation(self.latest)
    }

    pub(super) fn tell(&mut self, event: Event) {
        if let Event::Faulted { generation, .. } = &event {
            // On the way back there is no other way any more: its supervisor restarts it.
            self.old_failed |= *generation == self.old && self.transition.phase() != "rolling_back";
        }
        let effects = self.transition.step(event, self.now);
        self.perform(effects);
    }

    /// Takes effects and checks that each is allowed.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Perform { ticket, action } => {
                    assert!(self.running.is_none(), "two actions at once: {action:?}");
                    self.course.push(match &action {
                        Action::Record(record) => format!("Record {:?}", record.standing),
                        other => format!("{other:?}"),
                    });
                    self.check(&action);
                    self.running = Some((ticket, action));
                }
                Effect::Forget { ticket } => {
                    let forgotten = self.running.take();
                    assert_eq!(forgotten.map(|(it, _)| it), Some(ticket), "of what runs");
                }
                Effect::Tell(_) => {}
            }
        }
        self.check_serving();
    }

    /// What runs ends well.
    pub(super) fn succeed(&mut self) {
        let Some((ticket, action)) = self.running.take() else { return };
        let brought = self.done(&action);
        self.tell(Event::Ended { ticket, result: Ok(brought) });
    }

    /// What runs ends badly; `unknown` is a record that is durable all the same.
    pub(super) fn fail(&mut self, unknown: bool) {
        let never_fails = matches!(
            self.running,
            Some((
                _,
                Action::Dismiss(_)
                    | Action::Revoke(_)
                    | Action::SetShare(0)
                    | Action::Mirror(false)
            ))
        );
        if never_fails {
            return self.succeed();
        }
        let Some((ticket, action)) = self.running.take() else { return };
        match &action {
            Action::Record(record) if unknown => self.durable = Some((**record).clone()),
            Action::Cutover { to, .. } if *to == self.candidate => self.fence_failed = true,
            _ => {}
        }
        self.course.push("  which failed".to_owned());
        self.tell(Event::Ended { ticket, result: Err(refusal("as the test wants it")) });
    }

    /// Runs to the end, with everything going well.
    pub(super) fn finish(&mut self) {
        for _ in 0..1_000 {
            if self.is_over() {
                return;
            }
            if self.running.is_some() {
                self.succeed();
            } else if let Some(at) = self.transition.wake_at() {
                self.pass(at.saturating_sub(self.now.mono_ns));
                self.tell(Event::Tick);
            } else {
                let asked = patchbay_lifecycle::transition::Asked::Resume;
                let effects = self.transition.ask(asked, "test", self.now).expect("it waits");
                self.perform(effects);
            }
        }
        panic!("it never ends: {:?}\n{}", self.transition.phase(), self.course.join("\n"));
    }

    /// The host dies, or ends, and starts again.
    pub(super) fn restart(&mut self, end: HostEnd, jump_ns: i64) {
        self.course.push(format!("the host restarts: {end:?}"));
        self.now.mono_ns = 5_000_000;
        self.now.unix_ns = self.now.unix_ns.saturating_add_signed(jump_ns);
        self.running = None;
        self.takers.clear();
        self.stages.clear();
        (self.fence_failed, self.old_failed) = (false, false);
        let (old, candidate) = (self.next_number(), self.next_number());
        let Some(found) = self.durable.clone() else {
            // Nothing was recorded, so nothing was begun.
            self.serve_after_restart(old);
            let kind = patchbay_lifecycle::transition::OutcomeKind::Aborted;
            self.crashed_into = Some(Outcome::new(kind, "crash", "before it was recorded"));
            return;
        };
        let recovery = recover(&found, end, self.now);
        check_recovery(&found, end, &recovery.record, recovery.serve);
        let again = recover(&recovery.record, HostEnd::Orderly, self.now);
        assert_eq!(again, recovery, "what was decided stays decided");
        self.durable = Some(recovery.record.clone());
        match recovery.serve {
            Served::Old => self.serve_after_restart(old),
            Served::New => self.serve_after_restart(candidate),
        }
        (self.old, self.candidate) = (old, candidate);
        match &recovery.record.standing {
            Standing::Over { outcome } => self.crashed_into = Some(outcome.clone()),
            Standing::CutOver => {
                let record = &recovery.record;
                let (transition, effects) = Transition::resume(record, old, candidate, self.now);
                assert!(
                    transition.report(self.now).bake_left_ms
                        <= Some(found.bake_left.as_millis() as u64),
                    "a bake is never stretched"
                );
                self.transition = transition;
                self.perform(effects);
            }
            other => panic!("{other:?} is not decided"),
        }
    }

    fn serve_after_restart(&mut self, generation: Generation) {
        self.stages.insert(generation, Stage::Started);
        self.takers.insert(generation);
    }

    /// At the end: who serves is who is said to, the other one is gone.
    pub(super) fn check_end(&self) {
        let outcome = self.outcome();
        if self.crashed_into.is_none() {
            let (serves, gone) = match outcome.kind.serves() {
                Served::New => (self.candidate, self.old),
                Served::Old => (self.old, self.candidate),
            };
            assert_eq!(self.takers, BTreeSet::from([serves]), "{outcome}");
            assert!(!self.stages.contains_key(&gone), "{gone} is still there after {outcome}");
        }
        assert_eq!(self.takers.len(), 1, "one version serves in the end");
    }

    fn stage(&self, generation: Generation) -> Option<Stage> {
        self.stages.get(&generation).copied()
    }

    /// Some version always serves, and whoever gets messages is ready for them.
    fn check_serving(&self) {
        assert!(!self.takers.is_empty(), "nobody serves\n{}", self.course.join("\n"));
        for taker in &self.takers {
            assert_eq!(self.stage(*taker), Some(Stage::Started), "{taker} takes messages");
        }
    }

    /// Whether an action may begin now.
    fn check(&self, action: &Action) {
        let course = || self.course.join("\n");
        let candidate = self.candidate;
        let standing = self.durable.as_ref().map(|record| &record.standing);
        match action {
            Action::Record(record) => {
                let falls_back = matches!(
                    (&record.standing, standing),
                    (Standing::Trial | Standing::CutOver, Some(Standing::Over { .. }))
                        | (Standing::CutOver, None | Some(Standing::Restoring { .. }))
                        | (Standing::Restoring { .. }, None | Some(Standing::Trial))
                );
                assert!(!falls_back, "{:?} after {standing:?}\n{}", record.standing, course());
            }
            Action::Load(generation) | Action::Warm(generation) => {
                assert_eq!(self.stage(*generation), None, "{}", course());
            }
            Action::Init(generation) => {
                assert_eq!(self.stage(*generation), Some(Stage::Loaded));
            }
            Action::Check(generation) => {
                assert_eq!(self.stage(*generation), Some(Stage::Initialised));
            }
            Action::Start(generation) => {
                assert_eq!(self.stage(*generation), Some(Stage::Checked));
            }
            Action::SetShare(0) | Action::Mirror(false) | Action::Revoke(_) => {}
            Action::Replay | Action::Probe | Action::Mirror(true) | Action::SetShare(_) => {
                assert_eq!(self.stage(candidate), Some(Stage::Started), "{}", course());
                assert!(self.takers.contains(&self.old), "a trial after the cutover\n{}", course());
            }
            Action::Cutover { from, to, .. } => {
                assert_eq!(self.stage(*to), Some(Stage::Started), "{}", course());
                let durable = match standing {
                    // P-24: durable before it takes effect, in both directions.
                    Some(Standing::CutOver) => (*from, *to) == (self.old, candidate),
                    Some(Standing::Restoring { .. }) => (*from, *to) == (candidate, self.old),
                    _ => false,
                };
                assert!(durable, "the fence before its record\n{}", course());
                let back_to_failed = *to == self.old && self.old_failed && !self.fence_failed;
                assert!(!back_to_failed, "back to a version that failed\n{}", course());
            }
            Action::Drain(generation, _) => {
                assert!(!self.takers.contains(generation), "who takes is never done");
            }
            Action::HandOver { from, to } => {
                assert!(!self.takers.contains(from), "its state still changes\n{}", course());
                assert_eq!(self.stage(*to), Some(Stage::Started));
            }
            Action::Open(generation) => assert!(self.takers.contains(generation)),
            Action::Dismiss(generation) => {
                assert!(!self.takers.contains(generation), "unloads who serves\n{}", course());
            }
        }
    }

    /// The action has happened.
    fn done(&mut self, action: &Action) -> Yield {
        let (old, candidate) = (self.old, self.candidate);
        match action {
            Action::Record(record) => self.durable = Some((**record).clone()),
            Action::Load(generation) => self.reach(*generation, Stage::Loaded),
            Action::Init(generation) => self.reach(*generation, Stage::Initialised),
            Action::Check(generation) => self.reach(*generation, Stage::Checked),
            Action::Start(generation) | Action::Warm(generation) => {
                self.reach(*generation, Stage::Started);
            }
            Action::SetShare(0) => self.takers = BTreeSet::from([old]),
            Action::SetShare(_) => self.takers = BTreeSet::from([old, candidate]),
            // A cutover that does not open leaves the messages with nobody until it does; they
            // are the candidate's all the same.
            Action::Cutover { to, .. } => self.takers = BTreeSet::from([*to]),
            Action::Dismiss(generation) => {
                self.stages.remove(generation);
            }
            Action::Replay | Action::Probe => {
                return Yield::Tried { tried: 4, passed: 4, differences: Vec::new() };
            }
            Action::Revoke(_) => return Yield::Revoked { calls: 3 },
            Action::Mirror(_) | Action::Drain(..) | Action::HandOver { .. } | Action::Open(_) => {}
        }
        Yield::Done
    }

    fn reach(&mut self, generation: Generation, stage: Stage) {
        self.stages.insert(generation, stage);
    }
}

/// P-29, said once more in other words.
fn check_recovery(found: &Record, end: HostEnd, decided: &Record, serve: Served) {
    let named = end == HostEnd::Died { names_candidate: true };
    let deaths = found.deaths + u32::from(end != HostEnd::Orderly);
    let reversible = found.spec.state != patchbay_lifecycle::transition::StateRule::ForwardOnly;
    let expected = match &found.standing {
        Standing::Trial | Standing::Restoring { .. } => Served::Old,
        Standing::CutOver if reversible && (named || deaths >= 2) => Served::Old,
        Standing::CutOver => Served::New,
        Standing::Over { outcome } => outcome.kind.serves(),
    };
    assert_eq!(serve, expected, "{:?} {end:?}", found.standing);
    let resumed = matches!((&decided.standing, serve), (Standing::CutOver, Served::New));
    let over =
        matches!(&decided.standing, Standing::Over { outcome } if outcome.kind.serves() == serve);
    assert!(resumed || over, "{:?}", decided.standing);
    assert!(decided.bake_left <= found.bake_left, "a bake is never stretched");
}
