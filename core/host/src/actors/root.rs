//! The root: starts the others, and says so when one of them ends.
//!
//! None of its children is started again: the registry's state is the truth about what runs, and a
//! new one would know nothing of it. A child that ends before the host does is a bug; the host goes
//! on serving what it serves, and is neither ready nor healthy any more.

use std::sync::Arc;

use patchbay_lifecycle::Generation;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    health::{HealthActor, HealthMsg},
    registry::{RegistryActor, RegistryArgs, RegistryMsg},
    watcher::{WatcherActor, WatcherArgs, WatcherMsg},
};
use crate::context::Context;

/// What the root can be told: nothing. It ends by being stopped.
#[derive(Debug)]
pub(crate) enum RootMsg {}

/// See the module.
#[derive(Debug)]
pub(crate) struct RootSupervisor;

/// The actors by name.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) registry: ActorRef<RegistryMsg>,
    pub(crate) watcher: ActorRef<WatcherMsg>,
    pub(crate) health: ActorRef<HealthMsg>,
}

/// What the root is made from.
#[derive(Debug)]
pub(crate) struct RootArgs {
    pub(crate) context: Arc<Context>,
    pub(crate) latest: Generation,
    /// Where the tree goes once it stands.
    pub(crate) ready: tokio::sync::oneshot::Sender<Tree>,
}

// === impl RootSupervisor ===

impl Actor for RootSupervisor {
    type Msg = RootMsg;
    type State = Arc<Context>;
    type Arguments = RootArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<RootMsg>,
        args: RootArgs,
    ) -> Result<Arc<Context>, ActorProcessingErr> {
        let RootArgs { context, latest, ready } = args;
        let name = |role: &str| Some(context.actor_name(role));
        let cell = || myself.get_cell();
        let (health, _) =
            Actor::spawn_linked(name("health"), HealthActor, Arc::clone(&context), cell()).await?;
        let registry_args =
            RegistryArgs { context: Arc::clone(&context), health: health.clone(), latest };
        let (registry, _) =
            Actor::spawn_linked(name("registry"), RegistryActor, registry_args, cell()).await?;
        let watcher_args =
            WatcherArgs { context: Arc::clone(&context), registry: registry.clone() };
        let (watcher, _) =
            Actor::spawn_linked(name("watcher"), WatcherActor, watcher_args, cell()).await?;
        // Whoever starts the host may have given up by now; then it drops the root as well.
        let _ = ready.send(Tree { registry, watcher, health });
        Ok(context)
    }

    async fn handle(
        &self,
        _myself: ActorRef<RootMsg>,
        message: RootMsg,
        _state: &mut Arc<Context>,
    ) -> Result<(), ActorProcessingErr> {
        match message {}
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        context: &mut Arc<Context>,
    ) -> Result<(), ActorProcessingErr> {
        let (child, why) = match event {
            SupervisionEvent::ActorFailed(child, error) => (child, error.to_string()),
            SupervisionEvent::ActorTerminated(child, _, why) => (child, why.unwrap_or_default()),
            _ => return Ok(()),
        };
        let name = child.get_name().unwrap_or_default();
        if !context.is_closing() {
            tracing::error!(actor = name, why, "an actor of the host ended");
            context.lost(&name);
        }
        Ok(())
    }
}
