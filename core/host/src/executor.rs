//! The effects of one plugin's plans.
//!
//! Every step is one function: it does what it says, within a limit, and says how it went. What to
//! do about that is not decided here. Code of a library runs on its own threads only; whatever
//! blocks runs on tokio's threads for blocking.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use patchbay_lifecycle::{
    Check, FailureKind, Flow, Generation, Identity, Lasting, Plan, Refusal, Step,
    transition::Record,
};
use patchbay_loader::{QuarantineReason, Retired};
use patchbay_pool::{Op, OpError};
use ractor::ActorRef;

use crate::{
    actors::registry::{RegistryMsg, tell},
    context::{Context, LineFrom},
    incarnation::Incarnation,
    open,
    station::{Flowing, Station},
    transit::{conductor::Shift, library, request},
    watch::prepared::chain,
};

/// How often it is looked whether a queue that nobody wishes any more is empty.
const LOOK: Duration = Duration::from_millis(10);

/// Longest wait for the end of a pool's threads; the pool itself has stricter limits.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Performs steps for one plugin name.
#[derive(Debug)]
pub(crate) struct Executor {
    context: Arc<Context>,
    station: Arc<Station>,
    registry: ActorRef<RegistryMsg>,
}

// === impl Executor ===

impl Executor {
    pub(crate) fn new(
        context: Arc<Context>,
        station: Arc<Station>,
        registry: ActorRef<RegistryMsg>,
    ) -> Executor {
        Executor { context, station, registry }
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn station(&self) -> &Station {
        &self.station
    }

    /// Tells how a step ended.
    pub(crate) fn report(&self, step: Step, outcome: Result<(), Refusal>) {
        let name = self.station.name().clone();
        tell(&self.registry, RegistryMsg::StepEnded { name, step, outcome });
    }

    /// Tells that a generation is kept ready to serve again.
    pub(crate) fn keeps(&self, incarnation: &Incarnation) {
        let name = self.station.name().clone();
        let (generation, facts) = (incarnation.generation(), &incarnation.prepared.facts);
        let facts = Box::new(facts.clone());
        tell(&self.registry, RegistryMsg::Keeps { name, generation, facts });
    }

    /// Tells that what was asked for is under way, and may take its time.
    pub(crate) fn underway(&self) {
        let name = self.station.name().clone();
        tell(&self.registry, RegistryMsg::Underway { name });
    }

    /// The transition that a plan comes to, if something is to take the place of something else
    /// while messages flow. What comes before it in the plan is to be performed first.
    pub(crate) fn shift_of(&self, plan: &Plan) -> Option<(Shift, usize)> {
        let new = plan.steps.iter().find_map(|step| match *step {
            Step::Open { generation, identity } => Some((generation, identity)),
            _ => None,
        })?;
        let old = plan.steps.iter().find_map(|step| match *step {
            Step::Attach { generation, replaces: Some(old), flow: Flow::Open } => {
                (generation == new.0).then_some(old)
            }
            _ => None,
        })?;
        let incarnation = self.station.incarnation(old)?;
        if request::is(&incarnation.prepared, &new.1) {
            return None;
        }
        let facts = &incarnation.prepared.facts;
        let identity = Identity { library: facts.library, config: facts.config, ..new.1 };
        let at = plan.steps.iter().position(|step| matches!(step, Step::Open { .. }))?;
        Some((Shift { old: (old, identity), new }, at))
    }

    /// The bake of a former life of the host that is to go on, now that the plan is performed.
    pub(crate) fn bake_of(&self, plan: &Plan) -> Option<(Record, (Generation, Identity))> {
        let (generation, identity) = plan.steps.iter().find_map(|step| match *step {
            Step::Open { generation, identity } => Some((generation, identity)),
            _ => None,
        })?;
        if self.station.serving() != Some(generation) {
            return None;
        }
        let now = self.context.now();
        let record = self.context.promises.take_bake(self.station.name(), now)?;
        record.spec.to.is(&identity).then_some((record, (generation, identity)))
    }

    /// Performs a step.
    ///
    /// # Errors
    /// What failed, why, and whether it may pass.
    pub(crate) async fn perform(&self, step: Step) -> Result<(), Refusal> {
        match step {
            Step::Open { generation, identity } => self.open(generation, identity).await,
            Step::Init(generation) => self.init(generation).await,
            Step::Check(generation) => self.check(generation).await,
            Step::Start(generation) => self.start(generation).await,
            Step::Attach { generation, flow, .. } => self.attach(generation, flow),
            Step::Pause(generation) => self.pause(generation).await,
            Step::Resume(generation) => self.resume(generation).await,
            Step::Detach(generation) => {
                self.station.detach(generation);
                Ok(())
            }
            Step::Drain(generation) => self.drain(generation).await,
            Step::Stop(generation) => self.stop(generation).await,
            Step::Release => {
                self.release();
                Ok(())
            }
            Step::Retire(generation) => self.retire(generation).await,
        }
    }

    async fn open(&self, generation: Generation, identity: Identity) -> Result<(), Refusal> {
        let kept = || {
            let kept = library::kept(&self.context.settings, self.station.name());
            kept.filter(|kept| request::is(kept, &identity))
        };
        let Some(prepared) = self.station.prepared(&identity).or_else(kept) else {
            let reason = "the library that the link named is not there any more".to_owned();
            return Err(refused(FailureKind::Load, Lasting::Passing, reason));
        };
        let (context, station) = (Arc::clone(&self.context), Arc::clone(&self.station));
        let registry = self.registry.clone();
        let opening = move || open::open(&context, &station, &registry, generation, prepared);
        let opened = tokio::task::spawn_blocking(opening).await;
        self.context.reclaim.note();
        let incarnation = opened.unwrap_or_else(|panic| {
            let reason = format!("loading panicked: {panic}");
            Err(refused(FailureKind::Load, Lasting::Permanent, reason))
        })?;
        let (generation, version) =
            (incarnation.generation().0, &incarnation.prepared.facts.version);
        self.context.broker.name_version(generation, &version.to_string());
        self.station.add(Arc::new(incarnation));
        Ok(())
    }

    async fn init(&self, generation: Generation) -> Result<(), Refusal> {
        let incarnation = self.incarnation(generation)?;
        let limit = self.context.settings.limits.init_timeout;
        self.ask(&incarnation, Op::Init, limit).await.map_err(|e| asked(FailureKind::Init, &e))
    }

    async fn check(&self, generation: Generation) -> Result<(), Refusal> {
        let incarnation = self.incarnation(generation)?;
        match incarnation.check(incarnation.prepared.facts.health.timeout).await {
            Check::Passed(_) => Ok(()),
            Check::Failed(why) | Check::Busy(why) => {
                let reason = format!("its first health check failed: {why}");
                Err(refused(FailureKind::Health, Lasting::Passing, reason))
            }
        }
    }

    async fn start(&self, generation: Generation) -> Result<(), Refusal> {
        let incarnation = self.incarnation(generation)?;
        let limit = self.context.settings.limits.call_timeout;
        self.ask(&incarnation, Op::Start, limit).await.map_err(|e| asked(FailureKind::Start, &e))
    }

    fn attach(&self, generation: Generation, flow: Flow) -> Result<(), Refusal> {
        let incarnation = self.incarnation(generation)?;
        let flowing = match flow {
            Flow::Open => Flowing::Yes,
            Flow::Held => Flowing::Held,
        };
        self.station
            .attach(&self.context.broker, &incarnation, flowing, None)
            .map_err(|error| refused(FailureKind::Start, Lasting::Permanent, chain(&error)))?;
        incarnation.open();
        Ok(())
    }

    async fn pause(&self, generation: Generation) -> Result<(), Refusal> {
        let incarnation = self.incarnation(generation)?;
        self.station.set_flow(generation, Flowing::Held);
        let limit = self.context.settings.limits.call_timeout;
        self.ask(&incarnation, Op::Pause, limit).await.map_err(|e| asked(FailureKind::Start, &e))
    }

    async fn resume(&self, generation: Generation) -> Result<(), Refusal> {
        let incarnation = self.incarnation(generation)?;
        let limit = self.context.settings.limits.call_timeout;
        let resumed = self.ask(&incarnation, Op::Resume, limit).await;
        resumed.map_err(|e| asked(FailureKind::Start, &e))?;
        self.station.set_flow(generation, Flowing::Yes);
        Ok(())
    }

    /// Waits for what the generation holds, and for queues that only it wishes to run empty.
    async fn drain(&self, generation: Generation) -> Result<(), Refusal> {
        let Some(incarnation) = self.station.incarnation(generation) else { return Ok(()) };
        let usual = incarnation.prepared.manifest.worker_pool.shutdown_timeout;
        let usual = usual.min(self.context.settings.limits.drain_timeout);
        let until = Instant::now() + self.context.drain_limit(usual);
        let left = || until.saturating_duration_since(Instant::now());
        while self.station.unfinished() > 0 && !left().is_zero() {
            tokio::time::sleep(LOOK.min(left())).await;
        }
        let dropped = self.station.remove_leaving(&self.context.broker);
        if dropped > 0 {
            let text = format!("{dropped} messages of subscriptions that it has no more: dropped");
            self.warn(Some(generation), &text);
        }
        self.settle(generation, left()).await;
        Ok(())
    }

    /// Waits for the calls that a generation holds; what is not done then is given back.
    pub(crate) async fn settle(&self, generation: Generation, limit: Duration) {
        let Some(incarnation) = self.station.incarnation(generation) else { return };
        if let Some(report) = incarnation.drain(self.context.drain_limit(limit)).await
            && !report.drained
        {
            let text = format!(
                "{} calls were not done after {:?}; their messages are given back",
                report.in_flight, report.took
            );
            self.left_behind(generation, &text);
        }
    }

    /// Lets the plugin release what it has, and joins its threads.
    async fn stop(&self, generation: Generation) -> Result<(), Refusal> {
        let Some(incarnation) = self.station.incarnation(generation) else { return Ok(()) };
        let usual = self.context.settings.limits.plugin_shutdown_timeout;
        let limit = self.context.end_limit(usual);
        if let Err(error) = self.ask(&incarnation, Op::Shutdown, limit).await {
            self.left_behind(generation, &format!("its shutdown failed: {}", chain(&error)));
        }
        // The pool ends in any case; this is only how long its end is waited for.
        let limit = self.context.end_limit(CLOSE_MAX);
        match tokio::time::timeout(limit, incarnation.close()).await {
            Ok(Some(closed)) if !closed.abandoned.is_empty() => {
                let (threads, returned) = (closed.abandoned.len(), closed.returned);
                let text =
                    format!("{threads} threads do not end; {returned} messages go to others");
                self.left_behind(generation, &text);
            }
            Ok(_) => {}
            Err(_) => self.left_behind(generation, "its threads did not end in time"),
        }
        Ok(())
    }

    fn release(&self) {
        let dropped = self.station.release(&self.context.broker);
        if dropped > 0 {
            self.warn(None, &format!("{dropped} queued messages were dropped (unload)"));
        }
    }

    /// Unmaps the library, with proof.
    async fn retire(&self, generation: Generation) -> Result<(), Refusal> {
        let Some(incarnation) = self.station.take(generation) else { return Ok(()) };
        let instance = Arc::clone(incarnation.instance());
        let limits = open::retire_limits(&self.context);
        let retired = tokio::task::spawn_blocking(move || instance.retire(&limits)).await;
        self.context.reclaim.note();
        self.station.spans.forget(generation.0);
        self.context.broker.forget_version(generation.0);
        match retired {
            Ok(Retired::Unmapped | Retired::Before) => {
                if let Some(crash) = &self.context.crash {
                    crash.forget(generation.0);
                }
            }
            // It asked for it.
            Ok(Retired::Quarantined(QuarantineReason::UnloadNever)) => {}
            Ok(Retired::Quarantined(reason)) => {
                let why = chain(&reason);
                self.warn(Some(generation), &format!("its library stays mapped: {why}"));
            }
            Err(panic) => {
                self.warn(Some(generation), &format!("its library stays mapped: {panic}"));
            }
        }
        Ok(())
    }

    fn incarnation(&self, generation: Generation) -> Result<Arc<Incarnation>, Refusal> {
        self.station.incarnation(generation).ok_or_else(|| {
            let reason = format!("generation {generation} is not there any more");
            refused(FailureKind::Died, Lasting::Passing, reason)
        })
    }

    async fn ask(&self, incarnation: &Incarnation, op: Op, limit: Duration) -> Result<(), OpError> {
        incarnation.ask(op, limit).await.map(drop)
    }

    /// Something of a generation was not finished.
    fn left_behind(&self, generation: Generation, text: &str) {
        self.warn(Some(generation), text);
        self.context.unfinished(self.station.name(), text);
    }

    pub(crate) fn warn(&self, generation: Option<Generation>, text: &str) {
        let generation = generation.map(|generation| generation.0);
        let from = LineFrom { level: "warn", generation, target: "host" };
        self.context.log(&self.station, from, text);
    }
}

pub(crate) fn refused(kind: FailureKind, lasting: Lasting, reason: String) -> Refusal {
    Refusal { kind, reason, lasting }
}

/// What a failed control call means. An error that the plugin itself calls permanent is.
fn asked(kind: FailureKind, error: &OpError) -> Refusal {
    let lasting = match error {
        OpError::Error { class, .. } if class == patchbay_bus::FaultClass::Permanent.label() => {
            Lasting::Permanent
        }
        _ => Lasting::Passing,
    };
    refused(kind, lasting, chain(error as &dyn Error))
}
