//! Libraries that could not be proven free, and the second look at them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use patchbay_interpose::NotEffective;

use crate::{
    bounded::Late, candidate::Described, digest::Digest, limits::RetireLimits, loader::Opened,
    remains::Remains,
};

/// Why a library stays mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineReason {
    /// Lanes still run in it: they were given up, or not joined.
    #[error("{running} of its lanes still run")]
    Lanes {
        /// How many.
        running: usize,
    },
    /// A call into it does not return.
    #[error("its {step} does not return")]
    Hung {
        /// Which.
        step: Step,
    },
    /// The system has no thread to end it on.
    #[error("the system has no thread to end it on")]
    NoThread,
    /// A destructor of the instance panicked: its state is unknown.
    #[error("its destroy panicked")]
    DestroyPanicked,
    /// It asked for it.
    #[error("it is never unloaded, by its own wish")]
    UnloadNever,
    /// The hooks are not in force.
    #[error("nothing can be proven about libraries in this process")]
    NotEffective(#[source] NotEffective),
    /// The hooks have lost count.
    #[error("{lost} traces of libraries could not be written down")]
    Lost {
        /// How many.
        lost: usize,
    },
    /// Threads of it are alive.
    #[error("{count} of its threads are alive")]
    Threads {
        /// How many.
        count: usize,
    },
    /// Destructors of thread-local values are still to run.
    #[error("{count} of its thread-local destructors are still to run")]
    Destructors {
        /// How many.
        count: usize,
    },
    /// Closed, and mapped all the same.
    #[error("it is closed, but the dynamic linker keeps it mapped")]
    StillMapped,
    /// The instance was dropped without being retired.
    #[error("its instance was dropped without being retired")]
    NotRetired,
}

/// A call into a library that may hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// `dlopen`, the handshake and `create`.
    Load,
    /// `quiesce` and `destroy`.
    Exit,
    /// `dlclose`.
    Close,
}

/// One library in quarantine.
#[derive(Clone, Debug)]
pub struct QuarantineView {
    /// Name of the plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the file was.
    pub digest: Digest,
    /// Its generation.
    pub generation: u64,
    /// The private copy that is mapped.
    pub path: PathBuf,
    /// Why it stays.
    pub reason: QuarantineReason,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    view: QuarantineView,
    limits: RetireLimits,
    /// `None` while somebody looks at it.
    held: Option<Held>,
}

/// What is kept of a library, for the second look.
#[derive(Debug)]
pub(crate) enum Held {
    /// A load that was given up.
    Load(Late<Opened>),
    /// An instance, or what is left of it.
    Remains(Box<Remains>),
}

// === impl QuarantineReason ===

impl QuarantineReason {
    /// Whether a later look can find otherwise.
    #[must_use]
    pub fn may_clear(&self) -> bool {
        !matches!(
            self,
            QuarantineReason::DestroyPanicked
                | QuarantineReason::UnloadNever
                | QuarantineReason::NotEffective(_)
                | QuarantineReason::Lost { .. }
        )
    }
}

// === impl Step ===

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Load => "load",
            Step::Exit => "end",
            Step::Close => "close",
        })
    }
}

// === impl QuarantineView ===

impl QuarantineView {
    pub(crate) fn new(
        described: &Arc<Described>,
        generation: u64,
        path: PathBuf,
        reason: QuarantineReason,
    ) -> QuarantineView {
        QuarantineView {
            name: described.manifest.name.to_string(),
            version: described.manifest.version.to_string(),
            digest: described.digest,
            generation,
            path,
            reason,
        }
    }
}

// === impl Quarantine ===

impl Quarantine {
    pub(crate) fn put(&self, view: QuarantineView, limits: RetireLimits, held: Held) {
        tracing::warn!(
            plugin = view.name,
            version = view.version,
            generation = view.generation,
            reason = %view.reason,
            "a library stays mapped"
        );
        self.lock().push(Entry { view, limits, held: Some(held) });
    }

    pub(crate) fn views(&self) -> Vec<QuarantineView> {
        self.lock().iter().map(|entry| entry.view.clone()).collect()
    }

    /// Looks again at everything that may have cleared, and returns what was unmapped.
    pub(crate) fn recheck(&self) -> Vec<QuarantineView> {
        let generations: Vec<u64> = self
            .lock()
            .iter()
            .filter(|entry| entry.view.reason.may_clear())
            .map(|entry| entry.view.generation)
            .collect();
        generations.into_iter().filter_map(|generation| self.look_at(generation)).collect()
    }

    /// Looks again at one library: `Some` when it was unmapped. Not under the lock, because ending
    /// a library takes time; it stays listed meanwhile.
    fn look_at(&self, generation: u64) -> Option<QuarantineView> {
        let (held, limits) = {
            let mut entries = self.lock();
            let entry = entries.iter_mut().find(|entry| entry.view.generation == generation)?;
            (entry.held.take()?, entry.limits)
        };
        let result = held.release(&limits);
        let mut entries = self.lock();
        let index = entries.iter().position(|entry| entry.view.generation == generation)?;
        match result {
            Ok(()) => Some(entries.swap_remove(index).view),
            Err((reason, held)) => {
                entries[index].view.reason = reason;
                entries[index].held = Some(held);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        // A panic elsewhere leaves the list as it is: whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    fn release(self, limits: &RetireLimits) -> Result<(), (QuarantineReason, Held)> {
        let mut remains = match self {
            Held::Remains(remains) => remains,
            Held::Load(late) => match late.finish() {
                Err(late) => {
                    return Err((QuarantineReason::Hung { step: Step::Load }, Held::Load(late)));
                }
                Ok(opened) => match opened.into_remains() {
                    Some(remains) => Box::new(remains),
                    // It never got as far as being mapped.
                    None => return Ok(()),
                },
            },
        };
        match remains.release(limits) {
            Ok(()) => {
                remains.forget();
                Ok(())
            }
            Err(reason) => Err((reason, Held::Remains(remains))),
        }
    }
}
