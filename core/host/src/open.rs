//! From a prepared library to a generation that can be asked something. Blocks.

use std::{sync::Arc, time::Duration};

use patchbay_interpose::crash::record::Named;
use patchbay_lifecycle::{FailureKind, Generation, Lasting, Refusal};
use patchbay_loader::{LaneLimits, LoadLimits, LoadProblem, RetireLimits};
use patchbay_manifest::Manifest;
use patchbay_pool::{
    CONCURRENCY_MAX, Intake, PoolConfig, PoolEvent, PoolEventKind, PoolSpec, WORKERS_MAX,
    WorkerPool,
};
use ractor::ActorRef;
use serde_json::Value;

use crate::{
    actors::registry::{RegistryMsg, tell},
    context::{Context, LineFrom},
    executor::refused,
    handler::LibraryHandler,
    incarnation::{Incarnation, Parts, Wishes},
    lane::Watched,
    moment,
    services::{Lanes, PluginServices, ServiceParts},
    station::Station,
    transit::{conductor::Told, observer::Observer},
    view::WrittenOffView,
    watch::prepared::{Prepared, chain},
    wish::Wish,
};

/// How long lanes may take to end once nothing is asked of them any more.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Copies, maps and creates. No message flows yet.
pub(crate) fn open(
    context: &Arc<Context>,
    station: &Arc<Station>,
    registry: &ActorRef<RegistryMsg>,
    generation: Generation,
    prepared: Arc<Prepared>,
) -> Result<Incarnation, Refusal> {
    let manifest = &prepared.manifest;
    let copy = context.store.admit(&prepared.candidate, generation.0).map_err(|error| {
        let lasting = if error.is_transient() { Lasting::Passing } else { Lasting::Permanent };
        refused(FailureKind::Load, lasting, chain(&error))
    })?;
    let wishes = Wish::of(manifest);
    let concurrency = wishes.iter().map(Wish::concurrency).max().unwrap_or(1);
    let wishes = Arc::new(Wishes::new(wishes, context.settings.limits.dynamic_subscriptions));
    let lanes = Arc::new(Lanes::default());
    let observer = Observer::new();
    let services = Arc::new(PluginServices::new(ServiceParts {
        context: Arc::clone(context),
        station: Arc::clone(station),
        generation,
        prepared: Arc::clone(&prepared),
        wishes: Arc::clone(&wishes),
        lanes: Arc::clone(&lanes),
        observer: Arc::clone(&observer),
    }));
    if let Some(crash) = &context.crash {
        let facts = &prepared.facts;
        crash.know(&Named {
            generation: generation.0,
            plugin: station.name().to_string(),
            version: manifest.version.to_string(),
            library: facts.library.0,
            config: facts.config.0,
        });
    }
    let config = Value::Object(prepared.config.clone()).to_string();
    let limits = LoadLimits {
        deadline: context.settings.limits.load_timeout,
        reply_bytes_max: context.settings.limits.state_bytes,
        retire: retire_limits(context),
        ..LoadLimits::default()
    };
    let instance = context.loader.load(copy, services, &config, &limits).map_err(|error| {
        if let Some(crash) = &context.crash {
            crash.forget(generation.0);
        }
        let lasting = match error.problem {
            LoadProblem::Keys { .. }
            | LoadProblem::NoThread(_)
            | LoadProblem::Create { .. }
            | LoadProblem::Deadline { .. } => Lasting::Passing,
            _ => Lasting::Permanent,
        };
        refused(FailureKind::Load, lasting, chain(&error))
    })?;
    let instance = Arc::new(instance);
    let mut pool_config = pool_config(manifest, concurrency);
    if instance.facts().own_loop && !instance.facts().shared_loop {
        // Sockets and timers of such a plugin live in the runtime of the lane that made them.
        pool_config.max_workers = 1;
        pool_config.min_workers = pool_config.min_workers.min(1);
    }
    let (min_workers, max_workers) = (pool_config.min_workers, pool_config.max_workers);
    let limits = LaneLimits { concurrency: pool_config.concurrency, batch: pool_config.batch };
    let crash = context.crash.clone();
    let watched = Watched { observer: Arc::clone(&observer), clock: Arc::clone(&context.clock) };
    let handler =
        Arc::new(LibraryHandler { instance: Arc::clone(&instance), limits, lanes, watched, crash });
    let spec = PoolSpec {
        name: station.name().as_str().into(),
        generation: generation.0,
        handler,
        subscriptions: Vec::new(),
        config: pool_config,
        events: Arc::new(listener(context, station, registry, generation)),
        intake: Intake::Held,
    };
    let pool = WorkerPool::start(spec, &context.monitor).map_err(|error| {
        // Nothing of it runs yet, so it is ended here and now; the outcome shows in quarantine.
        let _ = instance.retire(&retire_limits(context));
        let reason = format!("its worker pool cannot be made: {}", chain(&error));
        refused(FailureKind::Config, Lasting::Permanent, reason)
    })?;
    Ok(Incarnation::new(Parts {
        generation,
        prepared,
        loaded_unix_ns: context.clock.unix_ns(),
        instance,
        pool,
        wishes,
        observer,
        min_workers,
        max_workers,
    }))
}

/// What the end of an instance may take.
pub(crate) fn retire_limits(context: &Context) -> RetireLimits {
    let usual = RetireLimits::default();
    RetireLimits {
        quiesce: context.end_limit(usual.quiesce),
        exit: context.end_limit(usual.exit),
        grace: context.end_limit(usual.grace),
    }
}

fn pool_config(manifest: &Manifest, concurrency: u32) -> PoolConfig {
    let usual = PoolConfig::default();
    let pool = &manifest.worker_pool;
    let max_workers = pool.max_workers.clamp(1, WORKERS_MAX);
    PoolConfig {
        min_workers: if pool.adaptive_scaling { pool.min_workers } else { max_workers }
            .min(max_workers),
        max_workers,
        queue_size: u64::from(pool.queue_size),
        adaptive_scaling: pool.adaptive_scaling,
        scaling_threshold: pool.scaling_threshold,
        // A drain went before; this is for loops that take leave of what they hold.
        shutdown_timeout: CLOSE_TIMEOUT,
        concurrency: concurrency.clamp(1, CONCURRENCY_MAX),
        batch: pool.batch.unwrap_or(usual.batch),
        idle_timeout: pool.idle_timeout,
        process_timeout: longest_call(manifest),
        max_abandoned: pool.max_abandoned.unwrap_or(max_workers).min(WORKERS_MAX),
        ..usual
    }
}

/// The pool has one limit for all calls: nobody's longer one is cut short by it.
pub(crate) fn longest_call(manifest: &Manifest) -> Duration {
    let own = manifest.worker_pool.process_timeout;
    let timeouts = manifest.subscriptions.iter().filter_map(|it| it.timeout);
    timeouts.max().unwrap_or(own).max(own)
}

/// What is done about what a pool tells. Called on the monitor's thread: it only passes on.
fn listener(
    context: &Arc<Context>,
    station: &Arc<Station>,
    registry: &ActorRef<RegistryMsg>,
    generation: Generation,
) -> impl Fn(PoolEvent) + Send + Sync + use<> {
    let (context, station) = (Arc::downgrade(context), Arc::clone(station));
    let registry = registry.clone();
    move |event: PoolEvent| {
        let Some(context) = context.upgrade() else { return };
        let fault = match &event.kind {
            PoolEventKind::Stuck { abandoned } => Some((
                FailureKind::Stuck,
                format!("{abandoned} threads hang in calls that never returned"),
            )),
            PoolEventKind::LoopDied { lane, end, .. } => Some((
                FailureKind::Died,
                format!("the loop of lane {} ended by itself: {end:?}", lane.index),
            )),
            _ => None,
        };
        let now = || moment::text(context.clock.unix_ns());
        match &event.kind {
            PoolEventKind::Abandoned { lane, returned } => station.write_off(WrittenOffView {
                at: now(),
                generation: generation.0,
                lane: lane.index,
                returned: *returned as u64,
                back_at: None,
            }),
            PoolEventKind::CameBack { lane } => station.came_back(generation, lane.index, now()),
            _ => {}
        }
        if let Some(line) = told(&event.kind) {
            let generation = Some(generation.0);
            let from = LineFrom { level: "warn", generation, target: "pool" };
            context.log(&station, from, &line);
        }
        if let Some((kind, reason)) = fault {
            let name = station.name().clone();
            let refusal = refused(kind, Lasting::Passing, reason);
            station.tell_transition(Told::Fault { generation, refusal: refusal.clone() });
            tell(&registry, RegistryMsg::Fault { name, generation, refusal });
        }
    }
}

/// What is worth a line in the plugin's log.
fn told(kind: &PoolEventKind) -> Option<String> {
    Some(match kind {
        PoolEventKind::Overdue { lane } => {
            format!("a call on lane {} takes too long and was told to stop", lane.index)
        }
        PoolEventKind::CallLost { lane } => {
            format!("a call on lane {} did not stop; its message goes to others", lane.index)
        }
        PoolEventKind::Abandoned { lane, returned } => format!(
            "lane {} does not answer and was written off; {returned} messages go to others",
            lane.index
        ),
        PoolEventKind::CameBack { lane } => {
            format!("lane {}, which was written off, has ended after all", lane.index)
        }
        PoolEventKind::Stuck { abandoned } => {
            format!("{abandoned} lanes hang, more than may be replaced")
        }
        PoolEventKind::LoopDied { lane, end, .. } => {
            format!("the loop of lane {} ended by itself: {end:?}", lane.index)
        }
        PoolEventKind::NoThread { lane, error } => format!("lane {lane} has no thread: {error}"),
        PoolEventKind::NoSeat { lane, error } => {
            format!("lane {} has no seat: {error}", lane.index)
        }
        PoolEventKind::ControlStuck { calls } => {
            format!("{calls} control calls were given up: lane 0 does not answer")
        }
        _ => return None,
    })
}
