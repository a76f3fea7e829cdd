//! One plugin name: what is wanted of it, what is, and what is wrong with it.
//!
//! Every method is a plain function of its arguments; the fleet calls them and turns the answers
//! into effects.

use crate::{
    Cause, Decision, Facts, Failure, FailureKind, Flow, Generation, HealthRecord, Identity, Intent,
    Lasting, Now, Observed, PluginName, Queue, Refusal, RestartLimits, RestartPolicy,
    RestartWindow, Retry, Setbacks, State, Step, Target,
};

/// One plugin name.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The name.
    pub name: PluginName,
    /// What the folder of links says.
    pub intent: Intent,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Its generations.
    pub observed: Observed,
    /// What is wrong, if anything.
    pub failure: Option<Failure>,
    /// Why the link is not followed: what it leads to was given up. Nothing is decided from it.
    pub aside: Option<Failure>,
    /// Checks of the serving generation.
    pub health: HealthRecord,
    /// Restarts so far.
    pub restarts: RestartWindow,
    /// What went wrong before, and what was decided about it.
    pub setbacks: Setbacks,
    /// State shown to the world.
    pub state: State,
    /// Why it is in that state.
    pub cause: Cause,
    /// When it came into that state, nanoseconds since the Unix epoch.
    pub since_unix_ns: u64,
    /// Number of the latest request.
    pub asked: u64,
    /// Number of the latest request whose outcome is known.
    pub settled: u64,
    /// Why the latest pause or resume failed: verb and reason.
    pub refusal: Option<(&'static str, String)>,
    /// Whether a plan runs.
    pub busy: bool,
    /// Facts of what serves.
    pub serving_facts: Option<Facts>,
    /// Facts of what the running plan, or the latest one, was made for.
    planned_facts: Option<Facts>,
    /// Whether what serves has failed by itself.
    pub(crate) ails: bool,
    /// Who served before the latest cutover, and its facts.
    before: Option<(Generation, Facts)>,
    /// Whether the plan that runs replaces what serves by something else: what fails meanwhile is
    /// its matter.
    pub shifting: bool,
    /// Whether the plan that runs may take as long as somebody said.
    pub(crate) underway: bool,
    incarnation: u64,
}

// === impl Intent ===

impl Intent {
    /// The facts of a usable library.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Intent::Wanted(facts) => Some(facts),
            Intent::Absent | Intent::Refused(_) => None,
        }
    }
}

// === impl Track ===

impl Track {
    /// A name that nothing is known of yet.
    #[must_use]
    pub fn new(name: PluginName, now: Now) -> Track {
        Track {
            name,
            intent: Intent::Absent,
            paused: false,
            observed: Observed::default(),
            failure: None,
            aside: None,
            health: HealthRecord::default(),
            restarts: RestartWindow::default(),
            setbacks: Setbacks::default(),
            state: State::Discovered,
            cause: Cause::new("host", "not seen yet"),
            since_unix_ns: now.unix_ns,
            asked: 0,
            settled: 0,
            refusal: None,
            busy: false,
            serving_facts: None,
            planned_facts: None,
            ails: false,
            before: None,
            shifting: false,
            underway: false,
            incarnation: 0,
        }
    }

    /// What the wanted library would be made from.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.intent.facts().map(|facts| Identity {
            library: facts.library,
            config: facts.config,
            incarnation: self.incarnation,
        })
    }

    /// Whether the wanted identity serves already.
    #[must_use]
    pub fn serves_what_is_wanted(&self) -> bool {
        let serving = self.observed.serving.map(|serving| serving.identity);
        serving.is_some() && serving == self.identity()
    }

    /// Whether what serves is the wanted library with the wanted configuration, if not the wanted
    /// instance of it.
    #[must_use]
    pub fn serves_the_same(&self) -> bool {
        let made_from = |it: Identity| (it.library, it.config);
        let serving = self.observed.serving.map(|serving| made_from(serving.identity));
        serving.is_some() && serving == self.identity().map(made_from)
    }

    /// What there is to say about it that is not well.
    #[must_use]
    pub fn trouble(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.aside.as_ref())
    }

    /// The link is not followed, or is. What failed says more than that it was given up.
    pub fn set_aside(&mut self, why: Option<&Refusal>, now: Now) {
        self.aside = why.map(|why| {
            let own = self.failure.as_ref().filter(|failure| failure.bars.is_some());
            let known = self.aside.as_ref().or(own).cloned();
            let failure = known.unwrap_or_else(|| self.standing(why, now));
            Failure { bars: None, retry: None, halts: false, ..failure }
        });
    }

    /// Takes a new statement of the folder of links. Returns whether it says anything new.
    pub fn intend(&mut self, intent: Intent, now: Now) -> bool {
        if self.intent == intent {
            return false;
        }
        let returns_to_serving = match (&intent, &self.serving_facts) {
            (Intent::Wanted(new), Some(serving)) => {
                new.library == serving.library && new.config == serving.config
            }
            _ => false,
        };
        self.failure = match &intent {
            // What serves was not touched by a link that cannot be used, nor is a failure of what
            // serves healed by it.
            Intent::Refused(refusal) => Some(self.standing(refusal, now)),
            Intent::Wanted(_) if returns_to_serving => {
                self.failure.take().filter(|failure| failure.kind == FailureKind::Health)
            }
            Intent::Absent | Intent::Wanted(_) => None,
        };
        if !returns_to_serving {
            self.restarts = RestartWindow::default();
        }
        if matches!(intent, Intent::Absent) {
            self.paused = false;
        }
        self.intent = intent;
        true
    }

    /// A new instance of the same library is wanted; what failed before does not count any more.
    pub fn renew(&mut self, now: Now) {
        self.incarnation += 1;
        self.failure = None;
        self.restarts = RestartWindow::default();
        if let Intent::Refused(refusal) = &self.intent {
            self.failure = Some(self.standing(refusal, now));
        }
    }

    /// Sets or clears a failure that follows from other plugins. Returns whether it changed.
    pub fn derive_failure(&mut self, derived: Option<(FailureKind, String)>, now: Now) -> bool {
        let standing = self.failure.as_ref();
        let is_derived = standing.is_some_and(|failure| is_derived(failure.kind));
        match derived {
            Some((kind, reason)) => {
                if standing.is_some_and(|it| it.kind == kind && it.reason == reason) {
                    return false;
                }
                let refusal = Refusal { kind, reason, lasting: Lasting::Permanent };
                self.failure = Some(self.standing(&refusal, now));
                true
            }
            None if is_derived => {
                self.failure = None;
                true
            }
            None => false,
        }
    }

    /// What is wanted, leaving other plugins aside.
    #[must_use]
    pub fn target(&self) -> Target {
        let flow = if self.paused { Flow::Held } else { Flow::Open };
        if matches!(self.intent, Intent::Absent) {
            return Target::Gone;
        }
        if self.failure.as_ref().is_some_and(|failure| failure.halts) {
            return Target::Halt;
        }
        match self.identity() {
            Some(identity) if !self.is_barred(identity) => Target::Serve { identity, flow },
            _ => Target::Keep { flow },
        }
    }

    /// Something is going to happen, whether or not anybody asked for it.
    pub fn unsettle(&mut self) {
        if self.asked == self.settled {
            self.asked += 1;
        }
    }

    /// A plan for what is wanted now begins. What is wanted may change while it runs.
    pub fn begin(&mut self) {
        self.unsettle();
        self.busy = true;
        self.planned_facts = self.intent.facts().cloned();
    }

    /// Whose facts these are, should it serve again.
    pub(crate) fn keep(&mut self, generation: Generation, facts: Facts) {
        self.before = Some((generation, facts));
    }

    /// The plan has ended.
    pub fn end(&mut self) {
        self.busy = false;
        self.shifting = false;
        self.underway = false;
    }

    /// Takes the end of a step into account.
    pub fn step_ended(
        &mut self,
        step: Step,
        outcome: Result<(), Refusal>,
        limits: &RestartLimits,
        now: Now,
        dice: u64,
    ) {
        // Before the places change: a report about a candidate that is gone is stale.
        let identity = match step {
            Step::Open { identity, .. } => Some(identity),
            // It served, and what served before it came back.
            Step::Attach { generation, .. } => self
                .observed
                .candidate
                .iter()
                .chain(&self.observed.leaving)
                .find(|it| it.generation == generation)
                .map(|it| it.identity),
            _ => self
                .observed
                .candidate
                .filter(|candidate| Some(candidate.generation) == step.generation())
                .map(|candidate| candidate.identity),
        };
        let end = if outcome.is_ok() { crate::StepEnd::Done } else { crate::StepEnd::Failed };
        let served = self.observed.serving.map(|serving| serving.generation);
        self.observed.apply(step, end);
        let serves = self.observed.serving.map(|serving| serving.generation);
        if served != serves {
            self.since_unix_ns = now.unix_ns;
            self.ails = false;
            self.health = HealthRecord::default();
            let returns = self.before.take_if(|(before, _)| Some(*before) == serves);
            let facts = match returns {
                Some((_, facts)) => Some(facts),
                None => serves.and(self.planned_facts.clone()),
            };
            self.before = served.zip(std::mem::replace(&mut self.serving_facts, facts));
            if serves.is_some() {
                self.failure = None;
            }
        }
        match (step, outcome) {
            (Step::Pause(_), Err(refusal)) => self.refusal = Some(("pause", refusal.reason)),
            (Step::Resume(_), Err(refusal)) => {
                self.paused = true;
                self.refusal = Some(("resume", refusal.reason));
            }
            (_, Err(refusal)) if step.may_fail() => {
                // What is not wanted any more may fail as it likes.
                if let Some(identity) = identity.filter(|it| Some(*it) == self.identity()) {
                    self.candidate_failed(identity, &refusal, limits, now, dice);
                }
            }
            _ => {}
        }
    }

    /// The serving generation failed while it served. A report about any other one is stale and
    /// changes nothing; returns whether it was taken into account.
    pub fn fault(
        &mut self,
        generation: Generation,
        refusal: &Refusal,
        limits: &RestartLimits,
        now: Now,
        dice: u64,
    ) -> bool {
        let serving = self.observed.serving;
        let Some(serving) = serving.filter(|serving| serving.generation == generation) else {
            return false;
        };
        if self.shifting || !self.serves_what_is_wanted() || self.failure.is_some() {
            // A successor is on its way, or the failure is being dealt with.
            return false;
        }
        self.ails = true;
        let policy = self.policy();
        let decision = policy.decide(&mut self.restarts, limits, now.mono_ns, dice);
        self.fail(serving.identity, refusal, decision, limits, now);
        if let Decision::RestartAfter(_) = decision {
            // The next try is another incarnation: the serving one stays barred by being it.
            self.incarnation += 1;
            let identity = self.identity();
            if let Some(failure) = &mut self.failure {
                failure.bars = identity;
            }
        }
        true
    }

    /// Lifts the bar of a failure whose time has come. Returns whether it did.
    pub fn lift_bar(&mut self, now: Now) -> bool {
        let Some(failure) = &mut self.failure else { return false };
        let lifted = failure.retry.take_if(|retry| retry.mono_ns <= now.mono_ns).is_some();
        if lifted {
            failure.bars = None;
        }
        lifted
    }

    /// The state to show.
    #[must_use]
    pub fn derive_state(&self) -> State {
        let observed = &self.observed;
        if let Some(instance) = observed.serving.or(observed.candidate) {
            return instance.state;
        }
        if let Some(instance) = observed.leaving.last() {
            return instance.state;
        }
        match (&self.failure, &self.intent) {
            (_, Intent::Absent) => State::Stopped,
            (Some(_), _) => State::Failed,
            (None, _) => State::Discovered,
        }
    }

    /// Whether nothing is left of it but its name.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.intent, Intent::Absent)
            && self.observed.is_empty()
            && self.observed.queue == Queue::Absent
            && !self.busy
    }

    fn is_barred(&self, identity: Identity) -> bool {
        self.failure.as_ref().is_some_and(|failure| {
            is_derived(failure.kind) && !self.serves_what_is_wanted()
                || failure.bars == Some(identity)
        })
    }

    fn policy(&self) -> RestartPolicy {
        let facts = self.serving_facts.as_ref().or(self.intent.facts());
        facts.map(|facts| facts.restart).unwrap_or_default()
    }

    fn candidate_failed(
        &mut self,
        identity: Identity,
        refusal: &Refusal,
        limits: &RestartLimits,
        now: Now,
        dice: u64,
    ) {
        let replaces_another = self.observed.serving.is_some_and(|serving| {
            (serving.identity.library, serving.identity.config)
                != (identity.library, identity.config)
        });
        // Something else serves, so there is no hurry: a change of the link tries again.
        let decision = if replaces_another || refusal.lasting == Lasting::Permanent {
            Decision::LeaveDown
        } else {
            self.policy().decide(&mut self.restarts, limits, now.mono_ns, dice)
        };
        self.fail(identity, refusal, decision, limits, now);
        // What serves and is well goes on, whatever became of the instance that was to follow it.
        let is_well = self.observed.serving.is_some() && !self.ails;
        if (decision == Decision::LeaveDown || is_well)
            && let Some(failure) = &mut self.failure
        {
            failure.halts = false;
        }
    }

    fn fail(
        &mut self,
        identity: Identity,
        refusal: &Refusal,
        decision: Decision,
        limits: &RestartLimits,
        now: Now,
    ) {
        self.setbacks.note(refusal, decision, now.unix_ns);
        let mut failure = Failure { bars: Some(identity), ..self.standing(refusal, now) };
        match decision {
            Decision::RestartAfter(delay) => {
                let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
                failure.retry = Some(Retry {
                    mono_ns: now.mono_ns.saturating_add(delay_ns),
                    unix_ns: now.unix_ns.saturating_add(delay_ns),
                });
            }
            Decision::LeaveDown => failure.halts = true,
            Decision::GiveUp => {
                failure.halts = true;
                failure.kind = FailureKind::RestartsExhausted;
                failure.reason = format!(
                    "given up after {} restarts within {} s; the last failure was: {}",
                    limits.intensity,
                    limits.period.as_secs(),
                    refusal.reason
                );
            }
        }
        self.failure = Some(failure);
    }

    fn standing(&self, refusal: &Refusal, now: Now) -> Failure {
        Failure {
            kind: refusal.kind,
            reason: refusal.reason.clone(),
            at_unix_ns: now.unix_ns,
            bars: None,
            retry: None,
            halts: false,
        }
    }
}

/// Whether a failure of this kind follows from other plugins, and passes with its cause.
fn is_derived(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Requires | FailureKind::Cycle)
}
