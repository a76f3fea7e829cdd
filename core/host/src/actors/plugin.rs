//! The actor of one plugin name: performs its plans, one at a time.

use std::sync::Arc;

use patchbay_lifecycle::{Plan, PluginName, Step};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::JoinHandle;

use super::registry::{RegistryMsg, tell};
use crate::{context::Context, executor::Executor, station::Station, transit::conductor};

/// What a plugin's actor can be told.
#[derive(Debug)]
pub(crate) enum PluginMsg {
    /// Perform these steps, and report.
    Perform(Plan),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PluginActor;

/// What a plugin's actor is made from.
#[derive(Debug)]
pub(crate) struct PluginArgs {
    pub(crate) context: Arc<Context>,
    pub(crate) station: Arc<Station>,
    pub(crate) registry: ActorRef<RegistryMsg>,
}

/// State of a plugin's actor.
#[derive(Debug)]
pub(crate) struct PluginState {
    executor: Arc<Executor>,
    name: PluginName,
    registry: ActorRef<RegistryMsg>,
    /// The plan that runs. Ended with the actor: `post_stop` is not called after a panic.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running(JoinHandle<()>);

// === impl PluginActor ===

impl Actor for PluginActor {
    type Msg = PluginMsg;
    type State = PluginState;
    type Arguments = PluginArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<PluginMsg>,
        args: PluginArgs,
    ) -> Result<PluginState, ActorProcessingErr> {
        let PluginArgs { context, station, registry } = args;
        let name = station.name().clone();
        let executor = Arc::new(Executor::new(context, station, registry.clone()));
        Ok(PluginState { executor, name, registry, running: None })
    }

    async fn handle(
        &self,
        _myself: ActorRef<PluginMsg>,
        message: PluginMsg,
        state: &mut PluginState,
    ) -> Result<(), ActorProcessingErr> {
        let PluginMsg::Perform(plan) = message;
        let executor = Arc::clone(&state.executor);
        let (name, registry) = (state.name.clone(), state.registry.clone());
        let task = tokio::spawn(async move {
            perform(&executor, &name, &registry, plan).await;
        });
        state.running = Some(Running(task));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<PluginMsg>,
        _event: SupervisionEvent,
        _state: &mut PluginState,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; the default would stop it if it had.
        Ok(())
    }
}

/// Performs a plan. Whatever happens, its end is reported.
async fn perform(
    executor: &Arc<Executor>,
    name: &PluginName,
    registry: &ActorRef<RegistryMsg>,
    plan: Plan,
) {
    let reports = Ended { name, registry };
    let shift = executor.shift_of(&plan);
    let steps = shift.map_or(plan.steps.len(), |(_, at)| at);
    let done = perform_steps(executor, &plan.steps[..steps]).await;
    match shift {
        Some((shift, _)) if done => conductor::conduct(executor, shift).await,
        None if done => {
            if let Some((record, new)) = executor.bake_of(&plan) {
                conductor::resume(executor, record, new).await;
            }
        }
        _ => {}
    }
    drop(reports);
}

/// Performs steps in order. False when one failed that may fail: those after it are not performed.
async fn perform_steps(executor: &Executor, steps: &[Step]) -> bool {
    for step in steps.iter().copied() {
        tracing::debug!(%step, "step");
        let outcome = executor.perform(step).await;
        let stops = outcome.is_err() && step.may_fail();
        executor.report(step, outcome);
        if stops {
            return false;
        }
    }
    true
}

/// Reports the end of a plan, also when a step panicked.
struct Ended<'a> {
    name: &'a PluginName,
    registry: &'a ActorRef<RegistryMsg>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        tell(self.registry, RegistryMsg::PlanEnded { name: self.name.clone() });
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
