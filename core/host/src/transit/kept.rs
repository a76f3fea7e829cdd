//! The records of transitions, and what they mean when a host starts (P-29).

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use patchbay_lifecycle::{
    Digest, Now, PluginName,
    transition::{
        HostEnd, Outcome, OutcomeKind, Record, Served, Standing, TransitionSpec, recover,
    },
};

use super::{answers::Answers, history::Histories, library, request::Link};
use crate::{
    context::Context,
    incarnation::Incarnation,
    records::{self, FileRecords, Records},
};

/// Name of the file that is there while a host runs.
const ALIVE: &str = "alive";

/// What the records promise.
#[derive(Debug)]
pub(crate) struct Promises {
    records: Box<dyn Records>,
    pub(crate) history: Histories,
    pub(crate) answers: Answers,
    alive: std::path::PathBuf,
    end: HostEnd,
    /// Rises when something may be tried again.
    lifts: AtomicU64,
    state: Mutex<BTreeMap<PluginName, Promise>>,
}

/// What is promised of one plugin.
#[derive(Clone, Debug)]
struct Promise {
    record: Record,
    /// The version that must not be served again by itself: bytes and configuration.
    barred: Option<(Digest, Digest)>,
    /// Bytes of which the same is true.
    aside: Option<Digest>,
    /// Its bake goes on once it serves.
    bakes: bool,
}

// === impl Promises ===

impl Promises {
    /// Opens the records in a folder, and notes that a host runs. Blocks.
    pub(crate) fn open(folder: &Path) -> io::Result<Promises> {
        let records = FileRecords::open(folder)?;
        let alive = folder.join(ALIVE);
        let end = if alive.exists() {
            HostEnd::Died { names_candidate: false }
        } else {
            HostEnd::Orderly
        };
        records::replace_file(&alive, b"")?;
        let (records, history) = (Box::new(records), Histories::open(folder));
        let answers = Answers::open(folder);
        let (lifts, state) = (AtomicU64::new(0), Mutex::default());
        Ok(Promises { records, history, answers, alive, end, lifts, state })
    }

    /// The host ends in order.
    pub(crate) fn close(&self) {
        // What cannot be noted counts as a death, which costs a bake at most.
        let _ = std::fs::remove_file(&self.alive);
    }

    /// Whether these bytes with this configuration must not be served by themselves after the start
    /// of the host: they were given up, or the host died before their cutover.
    pub(crate) fn is_barred(&self, name: &PluginName, it: (Digest, Digest), now: Now) -> bool {
        self.promise(name, now)
            .is_some_and(|promise| promise.barred == Some(it) || promise.aside == Some(it.0))
    }

    /// The record of a bake that is to go on, once.
    pub(crate) fn take_bake(&self, name: &PluginName, now: Now) -> Option<Record> {
        self.promise(name, now)?;
        let mut state = self.lock();
        let promise = state.get_mut(name).filter(|promise| promise.bakes)?;
        promise.bakes = false;
        Some(promise.record.clone())
    }

    /// The latest record of a plugin.
    pub(crate) fn latest(&self, name: &PluginName, now: Now) -> Option<Record> {
        self.promise(name, now).map(|promise| promise.record)
    }

    /// This version may be served, also if it was given up: somebody asks for it.
    pub(crate) fn lift(&self, name: &PluginName, asked: (Digest, Digest)) {
        if let Some(promise) = self.lock().get_mut(name) {
            promise.barred = promise.barred.filter(|barred| *barred != asked);
            promise.aside = promise.aside.filter(|aside| *aside != asked.0);
        }
        self.lifts.fetch_add(1, SeqCst);
    }

    /// Changes when something may be tried again.
    pub(crate) fn lifts(&self) -> u64 {
        self.lifts.load(SeqCst)
    }

    fn promise(&self, name: &PluginName, now: Now) -> Option<Promise> {
        if let Some(promise) = self.lock().get(name) {
            return Some(promise.clone());
        }
        // The first look in this life: the former one may have ended in the middle.
        let read = self.records.get(&key_of(name)).ok()??;
        let record: Record = serde_json::from_slice(&read).ok()?;
        let recovery = recover(&record, self.end, now);
        if recovery.record != record {
            let written = serde_json::to_vec(&recovery.record).ok()?;
            if let Err(error) = self.records.put(&key_of(name), &written) {
                tracing::error!(plugin = %name, %error, "the record of a transition is not kept");
            }
        }
        if let Err(error) = self.history.found(name, &recovery.record) {
            tracing::error!(plugin = %name, %error, "the end of a transition is not kept");
        }
        let promise = Promise::of(recovery.record, recovery.serve);
        tracing::info!(plugin = %name, serve = ?recovery.serve, "a transition was not finished");
        self.lock().entry(name.clone()).or_insert(promise.clone());
        Some(promise)
    }

    fn put(&self, name: &PluginName, record: &Record) -> io::Result<()> {
        self.records.put(&key_of(name), &serde_json::to_vec(record)?)?;
        let mut state = self.lock();
        // The link may still lead to what a former life gave up, until it is pointed elsewhere. What
        // is given up in this life is barred by the plugin's own state.
        let before = state.get(name).filter(|_| record.standing == Standing::Trial);
        let (barred, aside) = before.map_or((None, None), |it| (it.barred, it.aside));
        let promise = Promise { record: record.clone(), barred, aside, bakes: false };
        state.insert(name.clone(), promise);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PluginName, Promise>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Promise ===

impl Promise {
    fn of(record: Record, serve: Served) -> Promise {
        let over = matches!(record.standing, Standing::Over { .. } | Standing::Restoring { .. });
        let to = (record.spec.to.library, record.spec.to.config);
        Promise {
            barred: (over && serve == Served::Old).then_some(to),
            aside: record.aside,
            bakes: record.standing == Standing::CutOver,
            record,
        }
    }
}

fn key_of(name: &PluginName) -> String {
    format!("transition/{name}")
}

/// Makes it known to whatever follows that a transition is about to begin, before anything is
/// changed for it: a host that dies on the way serves what serves now (P-29). Blocks.
pub(crate) fn announce(
    context: &Context,
    name: &PluginName,
    serving: &Incarnation,
    spec: &TransitionSpec,
    link: &Link,
) -> io::Result<()> {
    library::keep(context, &serving.prepared)?;
    let (old, aside, at) = (serving.generation(), link.led_aside(), context.clock.unix_ns());
    context.promises.put(name, &Record::announced(spec.clone(), old, aside, at))
}

/// What was announced did not begin. Blocks.
pub(crate) fn withdraw(context: &Context, name: &PluginName, reason: &str) -> io::Result<()> {
    let Some(record) = context.promises.latest(name, context.now()) else { return Ok(()) };
    if record.standing != Standing::Trial {
        return Ok(());
    }
    let outcome = Outcome::new(OutcomeKind::Aborted, "candidate_failed", reason);
    context.promises.put(name, &Record { standing: Standing::Over { outcome }, ..record })
}

/// Makes a record durable. Blocks.
pub(super) fn put(context: &Context, name: &PluginName, record: &Record) -> io::Result<()> {
    context.promises.put(name, record)
}
