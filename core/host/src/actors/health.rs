//! The health actor: asks serving plugins whether they are well, and looks again at libraries that
//! could not be unmapped.
//!
//! A plugin that has no thread is not asked: a question would cost it one, and there is nothing
//! running that could be ill.

use std::{collections::HashMap, sync::Arc, time::Duration};

use patchbay_lifecycle::{Check, Generation, HealthRule, PluginName};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::JoinHandle;

use super::registry::{RegistryMsg, tell};
use crate::context::{Context, LineFrom};

/// What the health actor can be told.
#[derive(Debug)]
pub(crate) enum HealthMsg {
    /// Check this generation from now on, and no other one of that name.
    Watch {
        name: PluginName,
        generation: Generation,
        rule: HealthRule,
        report_to: ActorRef<RegistryMsg>,
    },
    /// Check no generation of this name any more.
    Forget { name: PluginName },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct HealthActor;

/// State of the health actor.
#[derive(Debug)]
pub(crate) struct HealthState {
    context: Arc<Context>,
    watched: HashMap<PluginName, Task>,
    _rechecks: Task,
}

/// A task of this actor. Ended with the value.
#[derive(Debug)]
struct Task(JoinHandle<()>);

// === impl HealthActor ===

impl Actor for HealthActor {
    type Msg = HealthMsg;
    type State = HealthState;
    type Arguments = Arc<Context>;

    async fn pre_start(
        &self,
        _myself: ActorRef<HealthMsg>,
        context: Arc<Context>,
    ) -> Result<HealthState, ActorProcessingErr> {
        let rechecked = Arc::clone(&context);
        let rechecks = Task(tokio::spawn(async move { recheck_for_ever(&rechecked).await }));
        Ok(HealthState { context, watched: HashMap::new(), _rechecks: rechecks })
    }

    async fn handle(
        &self,
        _myself: ActorRef<HealthMsg>,
        message: HealthMsg,
        state: &mut HealthState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HealthMsg::Watch { name, generation, rule, report_to } => {
                let context = Arc::clone(&state.context);
                let whom = name.clone();
                let task = tokio::spawn(async move {
                    check_for_ever(&context, &whom, generation, rule, &report_to).await;
                });
                state.watched.insert(name, Task(task));
            }
            HealthMsg::Forget { name } => {
                state.watched.remove(&name);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<HealthMsg>,
        _event: SupervisionEvent,
        _state: &mut HealthState,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; the default would stop it if it had.
        Ok(())
    }
}

// === impl Task ===

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn check_for_ever(
    context: &Context,
    name: &PluginName,
    generation: Generation,
    rule: HealthRule,
    report_to: &ActorRef<RegistryMsg>,
) {
    // Plugins that started together are not asked together.
    let spread = rule.interval.mul_f64(f64::from(context.dice.roll() as u32) / f64::from(u32::MAX));
    tokio::time::sleep(spread.max(Duration::from_millis(1))).await;
    loop {
        let Some(incarnation) = context.station(name).incarnation(generation) else { return };
        if incarnation.has_threads() {
            let check: Check = incarnation.check(rule.timeout).await;
            tell(report_to, RegistryMsg::Checked { name: name.clone(), generation, check });
        }
        drop(incarnation);
        tokio::time::sleep(rule.interval).await;
    }
}

/// What kept a library mapped may have gone by itself: a thread that came back, a destructor that
/// ran.
async fn recheck_for_ever(context: &Arc<Context>) {
    loop {
        tokio::time::sleep(context.settings.limits.quarantine_recheck).await;
        if context.loader.quarantined().is_empty() {
            continue;
        }
        let loader = context.loader.clone();
        let Ok(released) = tokio::task::spawn_blocking(move || loader.recheck()).await else {
            continue;
        };
        for view in released {
            let Ok(name) = PluginName::parse(&view.name) else { continue };
            let generation = Some(view.generation);
            let from = LineFrom { level: "info", generation, target: "host" };
            context.log(&context.station(&name), from, "its library is unmapped after all");
        }
    }
}
