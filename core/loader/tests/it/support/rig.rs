//! A store, a loader and services: everything that an instance needs.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use patchbay_loader::{
    Candidate, InspectError, InspectLimits, Instance, LoadError, LoadLimits, Loader, RetireLimits,
    Retired, Store,
};

use super::{Desk, services::Recorder};

/// Long enough for anything that happens, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Generations are told apart by number in the whole process, so tests must not share one.
static GENERATION: AtomicU64 = AtomicU64::new(1000);

pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) loader: Loader,
    pub(crate) services: Arc<Recorder>,
    pub(crate) limits: LoadLimits,
    /// Removed last.
    _dir: tempfile::TempDir,
}

/// How much code of a file is mapped, in lines of the process's own map. Only code: with
/// `RUST_BACKTRACE=1` the standard library of a library that panics reads its file for symbols,
/// and leaves that mapping behind.
pub(crate) fn mappings(path: &Path) -> usize {
    let path = path.to_str().expect("a path in UTF-8");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("read the map");
    maps.lines().filter(|line| line.contains("r-xp") && line.contains(path)).count()
}

pub(crate) fn inspect(path: &Path) -> Result<Candidate, InspectError> {
    Candidate::inspect(path, &InspectLimits::default())
}

impl Rig {
    pub(crate) fn new() -> Rig {
        let dir = tempfile::tempdir().expect("make a folder");
        let store = Store::open(&dir.path().join("store")).expect("open the store");
        let limits = LoadLimits {
            retire: RetireLimits { grace: Duration::from_secs(5), ..RetireLimits::default() },
            ..LoadLimits::default()
        };
        Rig { store, loader: Loader::new(), services: Arc::default(), limits, _dir: dir }
    }

    pub(crate) fn try_load(&self, library: &Path, config: &str) -> Result<Instance, LoadError> {
        let candidate = inspect(library).expect("a fit library");
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        let copy = self.store.admit(&candidate, generation).expect("a private copy");
        self.loader.load(copy, self.services.clone(), config, &self.limits)
    }

    pub(crate) fn load(&self, library: &Path) -> Arc<Instance> {
        Arc::new(self.try_load(library, "{}").expect("an instance"))
    }

    pub(crate) fn load_with(&self, library: &Path, config: &str) -> Arc<Instance> {
        Arc::new(self.try_load(library, config).expect("an instance"))
    }

    pub(crate) fn retire(&self, instance: &Instance) -> Retired {
        instance.retire(&self.limits.retire)
    }

    /// Retires with a grace that is too short for anything that is left.
    pub(crate) fn retire_at_once(&self, instance: &Instance) -> Retired {
        let grace = Duration::from_millis(20);
        instance.retire(&RetireLimits { grace, ..self.limits.retire })
    }

    /// Loads, asks on one lane, joins it, and retires: the answers do not matter.
    pub(crate) fn use_once(&self, library: &Path, topics: &[&str]) -> (PathBuf, Retired) {
        let instance = self.load(library);
        let desk = Desk::new();
        let lane = desk.lane(&instance, 0, 2);
        for topic in topics {
            desk.ask(topic);
        }
        desk.close();
        lane.join();
        let path = instance.facts().path.clone();
        (path, self.retire(&instance))
    }

    /// Files in the store, but for its lock.
    pub(crate) fn copies(&self) -> usize {
        let entries = std::fs::read_dir(self.store.dir()).expect("read the store");
        entries
            .filter(|entry| {
                let entry = entry.as_ref().expect("an entry");
                entry.path().extension().is_some_and(|extension| extension == "so")
            })
            .count()
    }
}
