//! The watcher: sees that the folder of links, or a library behind one, has changed.
//!
//! The kernel's notice only says that it is worth looking; what is there is read anew each time.
//! Notices are coalesced: one message waits at most. A slow poll is the net below, for file systems
//! that give no notice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use patchbay_lifecycle::Reading;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::{task::JoinHandle, time::Instant};

use super::registry::{RegistryMsg, tell};
use crate::{
    context::Context,
    settings::Settings,
    watch::scanner::{Scan, Scanner},
};

/// Changes that come within this time of the first are read together.
const DEBOUNCE: Duration = Duration::from_millis(25);

/// How long the very first reading is held back for libraries that are still being written, so that
/// what was there before the host starts in its order.
const FIRST_READING: Duration = Duration::from_secs(2);

/// What the watcher can be told.
#[derive(Debug)]
pub(crate) enum WatcherMsg {
    /// Something may have changed.
    Touched,
    /// It is time to read again.
    Due,
    /// The folder was read.
    Read(Box<(Scanner, std::io::Result<Scan>)>),
    /// Read now. Answers with the number of a reading in which everything had settled.
    Rescan(RpcReplyPort<u64>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WatcherActor;

/// What the watcher is made from.
#[derive(Debug)]
pub(crate) struct WatcherArgs {
    pub(crate) context: Arc<Context>,
    pub(crate) registry: ActorRef<RegistryMsg>,
}

/// State of the watcher.
#[derive(Debug)]
pub(crate) struct WatcherState {
    context: Arc<Context>,
    registry: ActorRef<RegistryMsg>,
    /// Away while the folder is read.
    scanner: Option<Scanner>,
    /// Whether something changed since the running reading began.
    stale: bool,
    /// Whoever waits for a reading that begins after they asked.
    asked: Vec<RpcReplyPort<u64>>,
    /// Whoever waits for the running reading.
    served: Vec<RpcReplyPort<u64>>,
    /// Set while a notice waits in the mailbox.
    notice: Arc<AtomicBool>,
    due: Option<Due>,
    /// Until when the first reading is held back, on the monotonic clock; `None` once it was told.
    first_until_ns: Option<u64>,
    /// Keeps the watch alive; `None` where the system has none, and the poll does it all.
    _watch: Option<RecommendedWatcher>,
}

/// When the folder is read again. Ended with the value.
#[derive(Debug)]
struct Due {
    at: Instant,
    task: JoinHandle<()>,
}

// === impl WatcherActor ===

impl Actor for WatcherActor {
    type Msg = WatcherMsg;
    type State = WatcherState;
    type Arguments = WatcherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WatcherMsg>,
        args: WatcherArgs,
    ) -> Result<WatcherState, ActorProcessingErr> {
        let WatcherArgs { context, registry } = args;
        let notice = Arc::new(AtomicBool::new(false));
        let watch = watch(&context.settings, &myself, &notice);
        let scanner =
            Some(Scanner::new(Arc::clone(&context.settings), Arc::clone(&context.promises)));
        tell(&myself, WatcherMsg::Due);
        let first_ns = u64::try_from(FIRST_READING.as_nanos()).unwrap_or(u64::MAX);
        let first_until_ns = context.clock.now_ns().saturating_add(first_ns);
        Ok(WatcherState {
            context,
            registry,
            scanner,
            stale: false,
            asked: Vec::new(),
            served: Vec::new(),
            notice,
            due: None,
            first_until_ns: Some(first_until_ns),
            _watch: watch,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<WatcherMsg>,
        message: WatcherMsg,
        state: &mut WatcherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatcherMsg::Touched => {
                state.notice.store(false, SeqCst);
                if state.scanner.is_some() {
                    state.read_in(DEBOUNCE, &myself);
                } else {
                    state.stale = true;
                }
            }
            WatcherMsg::Due => {
                state.due = None;
                state.read(&myself);
            }
            WatcherMsg::Rescan(reply) => {
                state.asked.push(reply);
                state.read(&myself);
            }
            WatcherMsg::Read(read) => {
                let (scanner, scan) = *read;
                state.scanner = Some(scanner);
                state.was_read(scan, &myself);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<WatcherMsg>,
        _event: SupervisionEvent,
        _state: &mut WatcherState,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; the default would stop it if it had.
        Ok(())
    }
}

// === impl WatcherState ===

impl WatcherState {
    /// Begins to read, unless that is going on: then once more afterwards.
    fn read(&mut self, myself: &ActorRef<WatcherMsg>) {
        let Some(mut scanner) = self.scanner.take() else {
            self.stale = true;
            return;
        };
        self.stale = false;
        self.served.append(&mut self.asked);
        let (actor, now) = (myself.clone(), self.context.now());
        tokio::task::spawn_blocking(move || {
            let scan = scanner.scan(now);
            tell(&actor, WatcherMsg::Read(Box::new((scanner, scan))));
        });
    }

    fn was_read(&mut self, scan: std::io::Result<Scan>, myself: &ActorRef<WatcherMsg>) {
        let limits = &self.context.settings.limits;
        let mut next = limits.poll;
        match scan {
            Err(error) => {
                let folder = self.context.settings.paths.enabled.display();
                tracing::error!(%folder, %error, "cannot read the folder of enabled plugins");
            }
            Ok(scan) => {
                for why in &scan.strange {
                    tracing::warn!(why, "an entry of the folder of enabled plugins is ignored");
                }
                for (name, prepared) in scan.prepared {
                    self.context.station(&name).prepare(prepared);
                }
                // Whoever asked for a reading waits for one in which everything had settled.
                let mut replies = if scan.again.is_some() {
                    self.asked.append(&mut self.served);
                    Vec::new()
                } else {
                    std::mem::take(&mut self.served)
                };
                let Scan { seen, unsettled, aside, .. } = scan;
                let reading = Reading { seen, unsettled, aside };
                let waits = |until_ns: u64| self.context.clock.now_ns() < until_ns;
                if reading.unsettled > 0 && self.first_until_ns.is_some_and(waits) {
                    let again = scan.again.unwrap_or(DEBOUNCE);
                    return self.read_in(again.max(Duration::from_millis(1)), myself);
                }
                self.first_until_ns = None;
                for reply in replies.split_off(replies.len().min(1)) {
                    let reading = reading.clone();
                    tell(&self.registry, RegistryMsg::Scanned { reading, reply: Some(reply) });
                }
                tell(&self.registry, RegistryMsg::Scanned { reading, reply: replies.pop() });
                next = scan.again.map_or(next, |again| again.min(next));
            }
        }
        if self.stale {
            next = DEBOUNCE;
        }
        self.read_in(next, myself);
    }

    /// Reads again after this long, or earlier if that was planned: changes that never end must not
    /// put the reading off for ever.
    fn read_in(&mut self, wait: Duration, myself: &ActorRef<WatcherMsg>) {
        let at = Instant::now() + wait;
        if self.due.as_ref().is_some_and(|due| due.at <= at && !due.task.is_finished()) {
            return;
        }
        let actor = myself.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            tell(&actor, WatcherMsg::Due);
        });
        self.due = Some(Due { at, task });
    }
}

// === impl Due ===

impl Drop for Due {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks the kernel for notice of changes.
fn watch(
    settings: &Settings,
    myself: &ActorRef<WatcherMsg>,
    notice: &Arc<AtomicBool>,
) -> Option<RecommendedWatcher> {
    let (actor, notice) = (myself.clone(), Arc::clone(notice));
    let tell_of = move |event: notify::Result<notify::Event>| {
        // Reading a folder is an event as well, and must not lead to reading it again.
        let is_change = event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_)));
        if is_change && !notice.swap(true, SeqCst) {
            tell(&actor, WatcherMsg::Touched);
        }
    };
    let watching = notify::recommended_watcher(tell_of).and_then(|mut watcher| {
        watcher.watch(&settings.paths.enabled, RecursiveMode::NonRecursive)?;
        watcher.watch(&settings.paths.libraries, RecursiveMode::Recursive)?;
        watcher.watch(&settings.paths.settings, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let period = humantime::format_duration(settings.limits.poll);
            tracing::warn!(%error, %period, "no notice of changed links; the folder is polled");
            None
        }
    }
}
