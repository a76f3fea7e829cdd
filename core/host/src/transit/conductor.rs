//! One transition under way: feeds the pure [`Transition`] with what happens, and has the
//! [`Stage`] do what it says.

use std::{sync::Arc, time::Duration};

use patchbay_lifecycle::{
    FailureKind, Generation, Identity, Lasting, Refusal, Step,
    transition::{
        Action, AskRefused, Asked, Comparison, Effect, Event, OutcomeKind, Record, Sample, Served,
        Ticket, Transition, TransitionSpec, Yield,
    },
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    kept,
    probes::Probe,
    request::{self, Admitted},
    stage::Stage,
};
use crate::executor::{Executor, refused};

/// What may wait to be told to a transition.
const TOLD_MAX: usize = 64;

/// What a running transition is told from outside.
#[derive(Debug)]
pub(crate) enum Told {
    /// A generation of the plugin failed by itself.
    Fault { generation: Generation, refusal: Refusal },
    /// An operator asks for something.
    Ask { asked: Asked, who: String, reply: oneshot::Sender<Result<(), AskRefused>> },
}

/// What is to take the place of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    pub(crate) old: (Generation, Identity),
    pub(crate) new: (Generation, Identity),
}

/// A transition and its hands.
#[derive(Debug)]
struct Conductor {
    stage: Arc<Stage>,
    transition: Transition,
    running: Option<Running>,
    measuring: Option<JoinHandle<(Sample, Sample, Comparison)>>,
    /// Why the latest action failed.
    failed: Option<Refusal>,
    underway: bool,
}

#[derive(Debug)]
struct Running {
    ticket: Ticket,
    /// It only waits for something, so that it can be dropped at any time.
    waits: bool,
    task: JoinHandle<Result<Yield, Refusal>>,
}

/// How it came to its end here.
enum End {
    Over,
    /// The host is closing; the record says what the next one does.
    Interrupted,
}

/// What is left to do when it has come to its end.
struct Ended {
    /// Why the new version does not serve, unless it does.
    failed: Option<Refusal>,
    leads: Leads,
}

/// Where link and settings lead afterwards.
enum Leads {
    /// As they are: the next host decides.
    Open,
    /// Nothing began: back.
    Withdrawn,
    /// To what serves now.
    Settled { spec: Box<TransitionSpec>, back: bool },
}

/// Moves a plugin from one version to another. Everything that happens is reported.
pub(crate) async fn conduct(executor: &Arc<Executor>, shift: Shift) {
    let ended = match request::admit(executor, shift) {
        Ok(Admitted { spec, probes }) => run(executor, shift, spec, probes).await,
        Err(refusal) => Ended { failed: Some(refusal), leads: Leads::Withdrawn },
    };
    settle(executor, shift.new, ended).await;
}

/// Goes on with the bake that the former life of the host began. `new` serves.
pub(crate) async fn resume(executor: &Arc<Executor>, record: Record, new: (Generation, Identity)) {
    let from = &record.spec.from;
    let old = executor.context().spare_generation();
    let identity = Identity { library: from.library, config: from.config, incarnation: 0 };
    let shift = Shift { old: (old, identity), new };
    let stage = Stage::new(Arc::clone(executor), shift, salt(&record.spec), Vec::new());
    let now = executor.context().now();
    let (transition, effects) = Transition::resume(&record, old, new.0, now);
    let ended = Conductor::new(stage, transition).conduct(effects).await;
    settle(executor, new, ended).await;
}

/// What failed is reported before link and settings lead back: else whoever reads them again is told
/// of what serves, and then of a failure of something that nobody wants any more.
async fn settle(executor: &Executor, new: (Generation, Identity), ended: Ended) {
    let Ended { failed, leads } = ended;
    let (generation, identity) = new;
    let reason = failed.as_ref().map(|refusal| refusal.reason.clone()).unwrap_or_default();
    if let Some(refusal) = failed {
        executor.report(Step::Open { generation, identity }, Err(refusal));
    }
    let (context, name) = (Arc::clone(executor.context()), executor.station().name().clone());
    let settling = move || match leads {
        Leads::Open => Ok(()),
        Leads::Withdrawn => kept::withdraw(&context, &name, &reason),
        Leads::Settled { spec, back } => {
            context.promises.ended(&name, &spec, back);
            Ok(())
        }
    };
    let why = match tokio::task::spawn_blocking(settling).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    };
    executor.warn(None, &format!("the end of the transition is not kept: {why}"));
}

async fn run(
    executor: &Arc<Executor>,
    shift: Shift,
    spec: TransitionSpec,
    probes: Vec<Probe>,
) -> Ended {
    let stage = Stage::new(Arc::clone(executor), shift, salt(&spec), probes);
    if let Err(refusal) = stage.keep_old().await {
        return Ended { failed: Some(refusal), leads: Leads::Withdrawn };
    }
    let now = executor.context().now();
    let (transition, effects) = Transition::begin(spec, shift.old.0, shift.new.0, now);
    Conductor::new(stage, transition).conduct(effects).await
}

/// Which keys a candidate gets depends on nothing but the transition.
fn salt(spec: &TransitionSpec) -> u64 {
    patchbay_slab::key_hash(&spec.id)
}

// === impl Conductor ===

impl Conductor {
    fn new(stage: Stage, transition: Transition) -> Conductor {
        Conductor {
            stage: Arc::new(stage),
            transition,
            running: None,
            measuring: None,
            failed: None,
            underway: false,
        }
    }

    async fn conduct(mut self, effects: Vec<Effect>) -> Ended {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let stage = Arc::clone(&self.stage);
        let station = stage.executor.station();
        station.conducted(Some(tell));
        let end = self.until_over(effects, told).await;
        station.conducted(None);
        self.stage.unobserve();
        self.show();
        let (End::Over, Some(outcome)) = (end, self.transition.outcome()) else {
            return Ended { failed: None, leads: Leads::Open };
        };
        self.remember().await;
        let back = outcome.kind.serves() == Served::Old;
        let leads = Leads::Settled { spec: Box::new(self.transition.spec().clone()), back };
        let failed = (outcome.kind != OutcomeKind::Completed).then(|| {
            let candidate = outcome.cause == "candidate_failed";
            let own = self.failed.as_ref().filter(|_| candidate).map(|failed| failed.kind);
            let kind = own.unwrap_or(FailureKind::Transition);
            refused(kind, Lasting::Permanent, outcome.to_string())
        });
        Ended { failed, leads }
    }

    async fn until_over(&mut self, effects: Vec<Effect>, mut told: mpsc::Receiver<Told>) -> End {
        let stage = Arc::clone(&self.stage);
        let context = Arc::clone(stage.executor.context());
        let mut closing = context.closing();
        self.apply(effects);
        while self.transition.outcome().is_none() {
            let now = context.now();
            let tick = self.transition.wake_at().map(|at| at.saturating_sub(now.mono_ns));
            let measure = self.transition.measures().filter(|_| self.measuring.is_none());
            let event = tokio::select! {
                biased;
                () = begun(&mut closing) => {
                    self.interrupt().await;
                    return End::Interrupted;
                }
                Some(told) = told.recv() => self.told(told),
                event = ended(&mut self.running) => Some(event),
                event = measured(&mut self.measuring) => Some(event),
                () = after(tick.map(Duration::from_nanos)) => Some(Event::Tick),
                () = after(measure) => {
                    self.measure();
                    None
                }
            };
            if let Some(event) = event {
                if let Event::Ended { result: Err(refusal), .. } = &event {
                    self.failed.get_or_insert_with(|| refusal.clone());
                }
                let effects = self.transition.step(event, context.now());
                self.apply(effects);
            }
        }
        End::Over
    }

    fn told(&mut self, told: Told) -> Option<Event> {
        match told {
            Told::Fault { generation, refusal } => {
                self.stage.crashed(generation);
                Some(Event::Faulted { generation, refusal })
            }
            Told::Ask { asked, who, reply } => {
                let now = self.stage.executor.context().now();
                let verb = asked.verb();
                let answer = match self.transition.ask(asked, &who, now) {
                    Ok(effects) => {
                        self.stage.log("info", &format!("{verb} was asked for by {who}"));
                        self.apply(effects);
                        Ok(())
                    }
                    Err(refused) => Err(refused),
                };
                // Whoever asked may have gone.
                let _ = reply.send(answer);
                None
            }
        }
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Perform { ticket, action } => {
                    let waits =
                        matches!(action, Action::Drain(..) | Action::Probe | Action::Replay);
                    let stage = Arc::clone(&self.stage);
                    let task = tokio::spawn(async move { stage.perform(action).await });
                    self.running = Some(Running { ticket, waits, task });
                }
                Effect::Forget { ticket } => {
                    let forgotten = self.running.take_if(|running| running.ticket == ticket);
                    if let Some(running) = forgotten.filter(|running| running.waits) {
                        running.task.abort();
                    }
                }
                Effect::Tell(entry) => {
                    self.stage.log("info", &format!("{}: {}", entry.phase, entry.text));
                    let spec = self.transition.spec();
                    self.stage.executor.context().events.transition(spec, &entry);
                }
            }
        }
        self.show();
    }

    /// Whoever looks finds where it stands.
    fn show(&mut self) {
        let executor = &self.stage.executor;
        let report = self.transition.report(executor.context().now());
        executor.station().show_transition(report);
        if !self.underway && takes_its_time(self.transition.phase()) {
            // Whoever waits for the outcome of a request does not wait for the whole course.
            self.underway = true;
            executor.station().measures();
            executor.underway();
        }
    }

    /// It has ended, and may be asked for by its key for a day.
    async fn remember(&self) {
        let executor = &self.stage.executor;
        let context = Arc::clone(executor.context());
        let (name, now) = (executor.station().name().clone(), context.now());
        let report = self.transition.report(now);
        let adding = move || context.promises.history.add(&name, &report, now.unix_ns);
        let why = match tokio::task::spawn_blocking(adding).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        executor.warn(None, &format!("the transition is not kept in the history: {why}"));
    }

    fn measure(&mut self) {
        let stage = Arc::clone(&self.stage);
        stage.observe();
        let (old, new) = self.transition.generations();
        self.measuring = Some(tokio::spawn(async move {
            let (stable, candidate) = (stage.sample(old).await, stage.sample(new).await);
            (stable, candidate, stage.compared())
        }));
    }

    /// The host is closing: what has begun comes to its end, and nothing else begins.
    async fn interrupt(&mut self) {
        if let Some(running) = self.running.take() {
            if running.waits {
                running.task.abort();
            } else {
                let _ = running.task.await;
            }
        }
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        if let Some(measuring) = self.measuring.take() {
            measuring.abort();
        }
    }
}

/// Whether a phase may last for as long as somebody said, and not only as long as it needs.
fn takes_its_time(phase: &str) -> bool {
    matches!(phase, "replaying" | "probing" | "mirroring" | "shifting" | "waiting" | "baking")
}

async fn begun(closing: &mut watch::Receiver<bool>) {
    // Its sender lives as long as the host.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn ended(running: &mut Option<Running>) -> Event {
    let Some(current) = running else { return std::future::pending().await };
    let result = (&mut current.task).await.unwrap_or_else(|panic| {
        let reason = format!("an action of the transition panicked: {panic}");
        Err(refused(FailureKind::Transition, Lasting::Permanent, reason))
    });
    let ticket = current.ticket;
    *running = None;
    Event::Ended { ticket, result }
}

async fn measured(measuring: &mut Option<JoinHandle<(Sample, Sample, Comparison)>>) -> Event {
    let Some(current) = measuring else { return std::future::pending().await };
    let measured = current.await;
    *measuring = None;
    match measured {
        Ok((stable, candidate, comparison)) => Event::Measured { stable, candidate, comparison },
        Err(panic) => Event::NotMeasured { reason: panic.to_string() },
    }
}
