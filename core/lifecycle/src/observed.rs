//! What is: the generations of one plugin, and how steps change them.

use crate::{Flow, Generation, Identity, State, Step};

/// One generation, as far as planning needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its number.
    pub generation: Generation,
    /// What it was made from.
    pub identity: Identity,
    /// Where it stands.
    pub state: State,
}

/// The generations of one plugin.
///
/// At most one serves and at most one is on its way to serve: both are places, not marks in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Who serves: [`State::Running`] or [`State::Paused`].
    pub serving: Option<Instance>,
    /// Who is to serve next: up to [`State::Starting`].
    pub candidate: Option<Instance>,
    /// Who leaves: [`State::Draining`] or [`State::Stopped`], oldest first.
    pub leaving: Vec<Instance>,
    /// Whether deliveries may wait in the name's subscriptions.
    pub queue: Queue,
}

/// Whether the name has subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// No; what is published is not kept for this name.
    #[default]
    Absent,
    /// Yes.
    Present,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// As it should.
    Done,
    /// It did not.
    Failed,
}

// === impl Observed ===

impl Observed {
    /// Applies the end of a step. A report about a generation that is not in the place where the
    /// step would find it is stale and changes nothing.
    pub fn apply(&mut self, step: Step, end: StepEnd) {
        match (step, end) {
            (Step::Open { generation, identity }, StepEnd::Done) => {
                if self.candidate.is_none() {
                    let state = State::Loaded;
                    self.candidate = Some(Instance { generation, identity, state });
                }
            }
            (Step::Open { .. }, StepEnd::Failed) => {}
            (Step::Init(generation), StepEnd::Done) => {
                self.advance(generation, State::Initialized);
            }
            (Step::Check(_), StepEnd::Done) => {}
            (Step::Start(generation), StepEnd::Done) => self.advance(generation, State::Starting),
            (
                Step::Init(generation)
                | Step::Check(generation)
                | Step::Start(generation)
                | Step::Attach { generation, .. },
                StepEnd::Failed,
            )
            | (Step::Detach(generation), _) => self.dismiss(generation),
            (Step::Attach { generation, flow, .. }, StepEnd::Done) => {
                self.cut_over(generation, flow);
            }
            (Step::Pause(generation), _) => self.serve(generation, State::Paused),
            (Step::Resume(generation), StepEnd::Done) => self.serve(generation, State::Running),
            (Step::Resume(_), StepEnd::Failed) => {}
            (Step::Drain(_), _) => {}
            (Step::Stop(generation), _) => {
                for instance in &mut self.leaving {
                    if instance.generation == generation {
                        instance.state = State::Stopped;
                    }
                }
            }
            (Step::Release, _) => self.queue = Queue::Absent,
            (Step::Retire(generation), _) => {
                self.leaving.retain(|instance| instance.generation != generation);
            }
        }
    }

    /// Every generation that is not gone.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.serving.iter().chain(&self.candidate).chain(&self.leaving)
    }

    /// Whether no generation is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.serving.is_none() && self.candidate.is_none() && self.leaving.is_empty()
    }

    fn advance(&mut self, generation: Generation, state: State) {
        if let Some(candidate) = &mut self.candidate
            && candidate.generation == generation
        {
            candidate.state = state;
        }
    }

    fn serve(&mut self, generation: Generation, state: State) {
        if let Some(serving) = &mut self.serving
            && serving.generation == generation
        {
            serving.state = state;
        }
    }

    fn dismiss(&mut self, generation: Generation) {
        for place in [&mut self.candidate, &mut self.serving] {
            if let Some(instance) = place.take_if(|it| it.generation == generation) {
                self.leaving.push(Instance { state: State::Draining, ..instance });
            }
        }
    }

    fn cut_over(&mut self, generation: Generation, flow: Flow) {
        let candidate = self.candidate.take_if(|it| it.generation == generation);
        // One that was kept for the case comes back.
        let kept = || {
            let at = self.leaving.iter().position(|it| it.generation == generation)?;
            (self.leaving[at].state == State::Draining).then(|| self.leaving.remove(at))
        };
        let Some(candidate) = candidate.or_else(kept) else { return };
        if let Some(old) = self.serving.take() {
            self.leaving.push(Instance { state: State::Draining, ..old });
        }
        let state = match flow {
            Flow::Open => State::Running,
            Flow::Held => State::Paused,
        };
        self.serving = Some(Instance { state, ..candidate });
        self.queue = Queue::Present;
    }
}
