//! Starting the host.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use patchbay_bus::{Broker, BrokerConfig, Clock, DedupPolicy, SystemClock};
use patchbay_lifecycle::Generation;
use patchbay_loader::Store;
use patchbay_pool::Monitor;
use ractor::Actor;
use tokio::sync::{oneshot, watch};

use crate::{
    actors::root::{RootArgs, RootSupervisor},
    audit,
    context::{Context, Parts},
    error::StartError,
    handle::{HostHandle, Shared},
    journal::{self, Opened},
    obituary,
    operations::Operations,
    orphans,
    publishing::Counter,
    reclaim,
    settings::Settings,
    telemetry::measures,
    transit::{self, kept::Promises},
};

/// Generations of the hosts of one process are numbered apart: the hooks of the executable tell
/// libraries by generation.
const GENERATIONS_EACH: u64 = 1 << 20;

/// The host as a thing that can be started.
#[derive(Debug)]
pub struct Host;

// === impl Host ===

impl Host {
    /// Starts the host on the current tokio runtime, which must have more than one thread, and
    /// returns at once: [`HostHandle::ready`] waits for the plugins. Metrics and spans go to the
    /// global providers of the `opentelemetry` crate, logs to `tracing`.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was started by then keeps running.
    pub async fn start(settings: Settings) -> Result<HostHandle, StartError> {
        static HOSTS: AtomicU64 = AtomicU64::new(0);
        settings.check()?;
        let paths = &settings.paths;
        for folder in [&paths.enabled, &paths.libraries, &paths.settings, &paths.store] {
            make_folder(folder)?;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Opened { record, journal, recovered, death, culprit, crash } =
            journal::open(&settings, &*clock)?;
        let store = Store::open(&paths.store).map_err(|source| StartError::Store {
            path: paths.store.clone(),
            source: Box::new(source),
        })?;
        let config = BrokerConfig {
            max_message_bytes: settings.limits.payload_bytes,
            publish_timeout: settings.limits.publish_timeout,
            forward_patience: settings.limits.forward_patience,
            dead_letters: settings.dead_letters.config(),
            durability: settings.durability.rules().to_vec(),
            reject_unmatched: settings.reject_unmatched.clone(),
            dedup: DedupPolicy {
                window: settings.journal.dedup_window,
                max_keys: settings.journal.dedup_keys,
            },
            ..BrokerConfig::default()
        };
        let seed = uuid::Uuid::new_v4().as_u64_pair().1;
        let broker = Broker::open_after(config, clock, (journal, recovered), &death, seed)
            .map_err(|source| StartError::Recovery {
                path: paths.journal.clone(),
                source: Box::new(source),
            })?;
        let thread = |thread| move |source| StartError::Thread { thread, source };
        broker.start_timer().map_err(thread("timer"))?;
        let monitor = Monitor::start(Arc::clone(broker.clock())).map_err(thread("monitor"))?;
        let host_id = uuid::Uuid::now_v7().simple().to_string();
        let settings = Arc::new(settings);
        let first = HOSTS.fetch_add(1, SeqCst) * GENERATIONS_EACH;
        let folder = transit::folder(&settings);
        let promises = Promises::open(&folder, culprit)
            .map_err(|source| StartError::Folder { path: folder, source })?;
        let folder = settings.paths.store.with_file_name("operations");
        let (operations, unfinished) = Operations::open(&folder, broker.clock().unix_ns())
            .map_err(|source| StartError::Folder { path: folder, source })?;
        let parts = Parts {
            host_id,
            settings,
            broker: broker.clone(),
            store,
            monitor,
            record,
            crash,
            promises: Arc::new(promises),
            spare: first + GENERATIONS_EACH / 2,
        };
        let context = Arc::new(Context::new(parts));
        context.audit.begin(&context);
        measures::observe(&context);

        let (ready, tree) = oneshot::channel();
        let latest = Generation(first);
        let args = RootArgs { context: Arc::clone(&context), latest, ready };
        let name = Some(context.actor_name("root"));
        let spawned = Actor::spawn(name, RootSupervisor, args).await;
        let tree = tree.await;
        let (Ok((root, _)), Ok(tree)) = (spawned, tree) else {
            context.monitor.stop();
            broker.stop_timer();
            return Err(StartError::Actors);
        };
        let shared = Shared {
            context,
            tree,
            root,
            counter: Counter::new(broker),
            operations,
            was_ready: AtomicBool::new(false),
            end: watch::Sender::new(None),
        };
        tokio::spawn(orphans::watch(Arc::clone(&shared.context)));
        tokio::spawn(audit::watch(Arc::clone(&shared.context)));
        tokio::spawn(obituary::watch(Arc::clone(&shared.context)));
        tokio::spawn(reclaim::watch(Arc::clone(&shared.context)));
        unfinished.resume(&shared.context);
        Ok(HostHandle::new(Arc::new(shared)))
    }
}

fn make_folder(folder: &Path) -> Result<(), StartError> {
    fs::create_dir_all(folder)
        .map_err(|source| StartError::Folder { path: folder.to_owned(), source })
}
