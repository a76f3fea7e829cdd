//! The registry: receives what happened, asks the fleet what to do, passes that on.
//!
//! The handler is short: one call of the pure [`Fleet`], then messages to others. It never waits
//! for a plugin.

use std::{collections::HashMap, sync::Arc, time::Duration};

use patchbay_lifecycle::{
    Change, Check, Command, CommandError, Effect, Facts, Fleet, Generation, Now, PluginName,
    Reading, Refusal, RestartLimits, Step,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::task::JoinHandle;

use super::{
    health::HealthMsg,
    plugin::{PluginActor, PluginArgs, PluginMsg},
};
use crate::{context::Context, snapshot::Snapshot};

/// What the registry can be told.
#[derive(Debug)]
pub(crate) enum RegistryMsg {
    /// The folder of links was read. Answers with the number of the reading.
    Scanned { reading: Reading, reply: Option<RpcReplyPort<u64>> },
    /// A step of a plan has ended.
    StepEnded { name: PluginName, step: Step, outcome: Result<(), Refusal> },
    /// A plan has ended.
    PlanEnded { name: PluginName },
    /// A generation is kept ready to serve again.
    Keeps { name: PluginName, generation: Generation, facts: Box<Facts> },
    /// What was asked for is under way, and the plan goes on.
    Underway { name: PluginName },
    /// A serving generation failed by itself.
    Fault { name: PluginName, generation: Generation, refusal: Refusal },
    /// A health check has ended.
    Checked { name: PluginName, generation: Generation, check: Check },
    /// The time that the fleet asked for has come.
    Tick,
    /// An operator asks for something. Answers with the number to wait for.
    Command {
        name: PluginName,
        command: Command,
        who: String,
        reply: RpcReplyPort<Result<u64, CommandError>>,
    },
    /// The host ends.
    Close,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RegistryActor;

/// What the registry is made from.
#[derive(Debug)]
pub(crate) struct RegistryArgs {
    pub(crate) context: Arc<Context>,
    pub(crate) health: ActorRef<HealthMsg>,
    /// Generations are numbered from the one after this.
    pub(crate) latest: Generation,
}

/// State of the registry.
#[derive(Debug)]
pub(crate) struct Registry {
    context: Arc<Context>,
    health: ActorRef<HealthMsg>,
    fleet: Fleet,
    scans: u64,
    plugins: HashMap<PluginName, ActorRef<PluginMsg>>,
    alarm: Option<Alarm>,
}

/// The next [`RegistryMsg::Tick`].
#[derive(Debug)]
struct Alarm {
    mono_ns: u64,
    task: JoinHandle<()>,
}

/// What to answer once the snapshot shows what was done.
enum Answer {
    None,
    Scan(RpcReplyPort<u64>, u64),
    Command(RpcReplyPort<Result<u64, CommandError>>, Result<u64, CommandError>),
}

// === impl RegistryActor ===

impl Actor for RegistryActor {
    type Msg = RegistryMsg;
    type State = Registry;
    type Arguments = RegistryArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<RegistryMsg>,
        args: RegistryArgs,
    ) -> Result<Registry, ActorProcessingErr> {
        Ok(Registry {
            context: args.context,
            health: args.health,
            fleet: Fleet::new(RestartLimits::default(), args.latest),
            scans: 0,
            plugins: HashMap::new(),
            alarm: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RegistryMsg>,
        message: RegistryMsg,
        state: &mut Registry,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.context.now();
        let (effects, answer) = state.apply(message, now);
        state.carry_out(effects, now, &myself).await;
        // Whoever asked finds what was done in the snapshot.
        answer.give();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RegistryMsg>,
        event: SupervisionEvent,
        state: &mut Registry,
    ) -> Result<(), ActorProcessingErr> {
        let (child, why) = match event {
            SupervisionEvent::ActorFailed(child, error) => (child, error.to_string()),
            SupervisionEvent::ActorTerminated(child, _, _) => (child, "it stopped".to_owned()),
            _ => return Ok(()),
        };
        let gone = state.plugins.iter().find(|(_, actor)| actor.get_id() == child.get_id());
        if let Some(name) = gone.map(|(name, _)| name.clone()) {
            tracing::error!(plugin = %name, why, "the actor of a plugin ended");
            state.plugins.remove(&name);
            // Its plan went with it; the next one goes on from where things are.
            let now = state.context.now();
            let effects = state.fleet.plan_ended(&name, now);
            state.carry_out(effects, now, &myself).await;
        }
        Ok(())
    }
}

// === impl Registry ===

impl Registry {
    /// Every decision happens in here, and nothing else does.
    fn apply(&mut self, message: RegistryMsg, now: Now) -> (Vec<Effect>, Answer) {
        let dice = self.context.dice.roll();
        let fleet = &mut self.fleet;
        let effects = match message {
            RegistryMsg::Scanned { reading, reply } => {
                self.scans += 1;
                let effects = fleet.scanned(reading, now);
                let answer = reply.map_or(Answer::None, |port| Answer::Scan(port, self.scans));
                return (effects, answer);
            }
            RegistryMsg::Command { name, command, who, reply } => {
                return match fleet.command(&name, command, &who, now) {
                    Ok((number, effects)) => (effects, Answer::Command(reply, Ok(number))),
                    Err(error) => (Vec::new(), Answer::Command(reply, Err(error))),
                };
            }
            RegistryMsg::StepEnded { name, step, outcome } => {
                fleet.step_ended(&name, step, outcome, now, dice)
            }
            RegistryMsg::PlanEnded { name } => fleet.plan_ended(&name, now),
            RegistryMsg::Keeps { name, generation, facts } => {
                fleet.keeps(&name, generation, *facts);
                Vec::new()
            }
            RegistryMsg::Underway { name } => {
                fleet.underway(&name);
                Vec::new()
            }
            RegistryMsg::Fault { name, generation, refusal } => {
                fleet.fault(&name, generation, &refusal, now, dice)
            }
            RegistryMsg::Checked { name, generation, check } => {
                fleet.checked(&name, generation, check, now, dice)
            }
            RegistryMsg::Tick => {
                self.alarm = None;
                fleet.tick(now)
            }
            RegistryMsg::Close => fleet.close(now),
        };
        (effects, Answer::None)
    }

    /// In this order: whoever hears of a change finds it in the history and in the snapshot.
    async fn carry_out(&mut self, effects: Vec<Effect>, now: Now, myself: &ActorRef<RegistryMsg>) {
        let changes: Vec<Change> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Changed(change) => Some(change.clone()),
                _ => None,
            })
            .collect();
        self.context.remember(&changes);
        self.show();
        self.pass_on(effects, now, myself).await;
    }

    async fn pass_on(&mut self, effects: Vec<Effect>, now: Now, myself: &ActorRef<RegistryMsg>) {
        for effect in effects {
            match effect {
                Effect::Perform { name, plan } => match self.plugin(&name, myself).await {
                    Ok(actor) => tell(&actor, PluginMsg::Perform(plan)),
                    Err(error) => {
                        tracing::error!(plugin = %name, %error, "cannot start a plugin's actor");
                        tell(myself, RegistryMsg::PlanEnded { name });
                    }
                },
                Effect::WatchHealth { name, generation, rule } => {
                    let report_to = myself.clone();
                    tell(&self.health, HealthMsg::Watch { name, generation, rule, report_to });
                }
                Effect::ForgetHealth { name } => tell(&self.health, HealthMsg::Forget { name }),
                Effect::WakeAt { mono_ns } => self.set_alarm(mono_ns, now, myself),
                Effect::Changed(change) => self.context.announce(&change),
            }
        }
    }

    /// The actor of a plugin; started when there is none.
    async fn plugin(
        &mut self,
        name: &PluginName,
        myself: &ActorRef<RegistryMsg>,
    ) -> Result<ActorRef<PluginMsg>, ractor::SpawnErr> {
        if let Some(actor) = self.plugins.get(name) {
            return Ok(actor.clone());
        }
        let args = PluginArgs {
            context: Arc::clone(&self.context),
            station: self.context.station(name),
            registry: myself.clone(),
        };
        let actor_name = self.context.actor_name(&format!("plugin.{name}"));
        let (actor, _) =
            Actor::spawn_linked(Some(actor_name), PluginActor, args, myself.get_cell()).await?;
        self.plugins.insert(name.clone(), actor.clone());
        Ok(actor)
    }

    fn set_alarm(&mut self, mono_ns: u64, now: Now, myself: &ActorRef<RegistryMsg>) {
        if self.alarm.as_ref().is_some_and(|alarm| alarm.mono_ns <= mono_ns) {
            return;
        }
        // A millisecond more: the timer's grain must not make it fire too early.
        let wait = Duration::from_nanos(mono_ns.saturating_sub(now.mono_ns) + 1_000_000);
        let actor = myself.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            tell(&actor, RegistryMsg::Tick);
        });
        if let Some(earlier) = self.alarm.replace(Alarm { mono_ns, task }) {
            earlier.task.abort();
        }
    }

    fn show(&self) {
        self.context.snapshot.send_modify(|snapshot| {
            *snapshot = Arc::new(Snapshot::next(snapshot, &self.fleet, self.scans));
        });
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            alarm.task.abort();
        }
    }
}

// === impl Answer ===

impl Answer {
    fn give(self) {
        // Whoever asked may have gone; what was asked for happens all the same.
        let _ = match self {
            Answer::None => return,
            Answer::Scan(port, number) => port.send(number).is_ok(),
            Answer::Command(port, answer) => port.send(answer).is_ok(),
        };
    }
}

/// Sends a message to an actor that may have ended: then nobody needs it any more.
pub(crate) fn tell<M: ractor::Message>(actor: &ActorRef<M>, message: M) {
    if actor.cast(message).is_err() {
        tracing::debug!(actor = ?actor.get_name(), "a message came after the end of its actor");
    }
}
