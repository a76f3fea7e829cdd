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
    transition::{HostEnd, Record, Served, Standing, recover},
};

use super::records::{FileRecords, Records};
use crate::context::Context;

/// Name of the file that is there while a host runs.
const ALIVE: &str = "alive";

/// What the records promise.
#[derive(Debug)]
pub(crate) struct Promises {
    records: Box<dyn Records>,
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
        super::records::replace_file(&alive, b"")?;
        let lifts = AtomicU64::new(0);
        Ok(Promises { records: Box::new(records), alive, end, lifts, state: Mutex::default() })
    }

    /// The host ends in order.
    pub(crate) fn close(&self) {
        // What cannot be noted counts as a death, which costs a bake at most.
        let _ = std::fs::remove_file(&self.alive);
    }

    /// The version of a plugin that must not be served by itself after the start of the host, if
    /// there is one: it was given up, or the host died before its cutover.
    pub(crate) fn barred(&self, name: &PluginName, now: Now) -> Option<(Digest, Digest)> {
        self.promise(name, now)?.barred
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

    /// Whatever was given up may be tried again.
    pub(crate) fn lift(&self, name: &PluginName) {
        if let Some(promise) = self.lock().get_mut(name) {
            promise.barred = None;
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
        let promise = Promise::of(recovery.record, recovery.serve);
        tracing::info!(plugin = %name, serve = ?recovery.serve, "a transition was not finished");
        self.lock().entry(name.clone()).or_insert(promise.clone());
        Some(promise)
    }

    fn put(&self, name: &PluginName, record: &Record) -> io::Result<()> {
        self.records.put(&key_of(name), &serde_json::to_vec(record)?)?;
        // In this life the plugin's own state bars what was given up.
        let promise = Promise { record: record.clone(), barred: None, bakes: false };
        self.lock().insert(name.clone(), promise);
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
            bakes: record.standing == Standing::CutOver,
            record,
        }
    }
}

fn key_of(name: &PluginName) -> String {
    format!("transition/{name}")
}

/// Makes a record durable. Blocks.
pub(super) fn put(context: &Context, name: &PluginName, record: &Record) -> io::Result<()> {
    context.promises.put(name, record)
}
