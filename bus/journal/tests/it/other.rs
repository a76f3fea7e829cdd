//! A simulated folder that does something otherwise.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
};

use patchbay_journal::{LockError, SimStorage, Storage, StoredFile};

/// The folder.
#[derive(Debug)]
pub(crate) struct Other {
    sim: SimStorage,
    salted: bool,
    gate: Option<Arc<Gate>>,
}

/// Where whoever makes a segment waits until it is let through.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// How many may pass.
    open: Mutex<u64>,
    changed: Condvar,
}

// === impl Other ===

impl Other {
    /// It draws the same number every time: all its segments have the same salt.
    pub(crate) fn without_salt(sim: &SimStorage) -> Other {
        Other { sim: sim.clone(), salted: false, gate: None }
    }

    /// A segment is made when the gate lets it be.
    pub(crate) fn gated(sim: &SimStorage, gate: &Arc<Gate>) -> Other {
        Other { sim: sim.clone(), salted: true, gate: Some(Arc::clone(gate)) }
    }
}

// === impl Gate ===

impl Gate {
    /// Lets so many more pass.
    pub(crate) fn let_pass(&self, more: u64) {
        *self.open.lock().expect("lock") += more;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().expect("lock");
        let mut open = self.changed.wait_while(open, |open| *open == 0).expect("lock");
        *open -= 1;
    }
}

impl Storage for Other {
    fn make_folder(&self) -> io::Result<()> {
        self.sim.make_folder()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.sim.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        if let Some(gate) = self.gate.as_ref().filter(|_| name == "segment.next") {
            gate.pass();
        }
        self.sim.create(name)
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn StoredFile>> {
        self.sim.open(name, writable)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.sim.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.sim.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.sim.sync_dir()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockError> {
        self.sim.lock(name)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.sim.free_bytes()
    }

    fn random(&self) -> u64 {
        if self.salted { self.sim.random() } else { 0 }
    }

    fn stay(&self) -> u64 {
        self.sim.stay()
    }

    fn place(&self) -> String {
        self.sim.place()
    }
}
