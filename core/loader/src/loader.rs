//! From a private copy to an instance.

use std::{
    collections::HashSet,
    ffi::c_void,
    path::PathBuf,
    ptr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use patchbay_abi as abi;
use patchbay_interpose::{self as interpose, NotEffective};

use crate::{
    bounded::{self, Ran},
    host_table::{HostContext, TABLE},
    instance::{Instance, InstanceFacts, Parts},
    lanes::Lanes,
    library::{EntryError, Library, OpenError},
    limits::LoadLimits,
    outcome::{Outcome, TextLimit},
    quarantine::{Held, Quarantine, QuarantineReason, QuarantineView, Step},
    remains::{InstancePtr, Remains},
    services::Services,
    store::PrivateCopy,
    table::{Table, TableError},
};

/// Why a library did not become an instance.
#[derive(Debug, thiserror::Error)]
#[error("cannot load plugin `{name}` {version} (generation {generation})")]
pub struct LoadError {
    /// Name of the plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The generation it was to be.
    pub generation: u64,
    /// What went wrong.
    #[source]
    pub problem: LoadProblem,
}

/// What went wrong with a load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadProblem {
    /// Nothing could be proven about it at its end.
    #[error("libraries that are to be unloaded cannot be watched in this process")]
    NotEffective(#[source] NotEffective),
    /// The process has too few `pthread` keys left.
    #[error("{live} pthread keys are in use, no library is loaded from {limit} on")]
    Keys {
        /// In use.
        live: usize,
        /// The limit.
        limit: usize,
    },
    /// Another version with the same unique symbols is mapped, and both would share statics.
    #[error("another library shares its static `{symbol}` with it (a unique symbol)")]
    SharedStatics {
        /// The symbol.
        symbol: String,
    },
    /// The system has no thread for it.
    #[error("there is no thread for it")]
    NoThread(#[source] std::io::Error),
    /// The dynamic linker refuses it.
    #[error("the dynamic linker refuses `{}`: {reason}", path.display())]
    Open {
        /// The private copy.
        path: PathBuf,
        /// The linker's words.
        reason: String,
    },
    /// The entry function is not found, or found in another library.
    #[error("the entry function `{symbol}` is not inside the library")]
    Entry {
        /// Its name.
        symbol: String,
    },
    /// The table of functions cannot be used.
    #[error("its table of functions cannot be used")]
    Table(#[source] TableError),
    /// `create` returned an error.
    #[error("its create failed: {text}")]
    Create {
        /// What it says.
        text: String,
    },
    /// `create` panicked.
    #[error("its create panicked: {text}")]
    CreatePanicked {
        /// The text of the panic.
        text: String,
    },
    /// It took too long. The library is in quarantine until its thread comes back.
    #[error("it did not come up within {limit:?}")]
    Deadline {
        /// The limit.
        limit: Duration,
    },
}

/// Loads libraries, and keeps those that cannot be unloaded. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    quarantine: Arc<Quarantine>,
    /// Unique symbols of the libraries that were mapped: they stay for ever.
    unique: Arc<Mutex<HashSet<String>>>,
}

/// What the thread of a load comes back with.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Everything that has to be undone; `None` when nothing was mapped.
    remains: Option<Remains>,
    result: Result<(Table, InstancePtr), LoadProblem>,
}

/// What the thread of a load starts with.
struct Order {
    copy: PrivateCopy,
    host: Box<HostContext>,
    lanes: Arc<Lanes>,
    config: String,
    reasons: TextLimit,
}

// === impl Loader ===

impl Loader {
    /// A loader with an empty quarantine.
    #[must_use]
    pub fn new() -> Loader {
        Loader::default()
    }

    /// Maps a private copy, checks that it keeps to the contract, and makes an instance with this
    /// configuration (a JSON object). Blocks, at most for the deadline and, if it fails, for the
    /// limits of a retirement.
    ///
    /// # Errors
    /// [`LoadError`]. What was mapped is unmapped again, or in quarantine.
    pub fn load(
        &self,
        copy: PrivateCopy,
        services: Arc<dyn Services>,
        config: &str,
        limits: &LoadLimits,
    ) -> Result<Instance, LoadError> {
        let described = copy.described().clone();
        let generation = copy.generation();
        let path = copy.path().to_owned();
        let failed = |problem| LoadError {
            name: described.manifest.name.to_string(),
            version: described.manifest.version.to_string(),
            generation,
            problem,
        };
        self.admit(&copy, limits).map_err(failed)?;
        let lanes = Arc::new(Lanes::default());
        let order = Order {
            copy,
            host: Box::new(HostContext::new(services)),
            lanes: lanes.clone(),
            config: config.to_owned(),
            reasons: TextLimit::Reason(limits.reason_bytes_max),
        };
        let begin = Instant::now();
        // SAFETY: the library is trusted code that was inspected, and the thread is joined before
        // the library is closed: by `bounded`, or by the quarantine.
        let body = move || unsafe { order.carry_out() };
        let opened = match bounded::run("load", generation, limits.deadline, body) {
            Ok(Ran::Done(opened)) => opened,
            Ok(Ran::Late(late)) => {
                let reason = QuarantineReason::Hung { step: Step::Load };
                let view = QuarantineView::new(&described, generation, path, reason);
                self.quarantine.put(view, limits.retire, Held::Load(late));
                return Err(failed(LoadProblem::Deadline { limit: limits.deadline }));
            }
            Err(source) => return Err(failed(LoadProblem::NoThread(source))),
        };
        let load_time = begin.elapsed();
        let (table, pointer, remains) = match (opened.result, opened.remains) {
            (Ok((table, pointer)), Some(remains)) => (table, pointer, remains),
            (result, remains) => {
                remains.into_iter().for_each(|remains| self.undo(remains, limits));
                let problem = result.err().unwrap_or(LoadProblem::Entry {
                    symbol: described.manifest.entry_point.clone(),
                });
                return Err(failed(problem));
            }
        };
        let facts = InstanceFacts {
            name: described.manifest.name.to_string(),
            version: described.manifest.version.to_string(),
            digest: described.digest,
            generation,
            path,
            own_loop: table.run_lane.is_some(),
            shared_loop: described.note.shared_loop(),
            call_bytes: table.call_size,
            load_time,
        };
        let parts = Parts {
            table,
            pointer,
            facts,
            reason_bytes_max: limits.reason_bytes_max,
            reply_bytes_max: limits.reply_bytes_max,
            lanes,
            remains,
            limits: limits.retire,
        };
        Ok(Instance::new(parts, self.quarantine.clone()))
    }

    /// The libraries that stay mapped. If there is one at the end of the process, end it without
    /// running its exit handlers ([`end_process`](crate::end_process)).
    #[must_use]
    pub fn quarantined(&self) -> Vec<QuarantineView> {
        self.quarantine.views()
    }

    /// Looks again at every library in quarantine, and returns those that are unmapped now. Blocks
    /// for up to the grace of each.
    #[must_use]
    pub fn recheck(&self) -> Vec<QuarantineView> {
        self.quarantine.recheck()
    }

    /// Whether a library may be mapped now.
    fn admit(&self, copy: &PrivateCopy, limits: &LoadLimits) -> Result<(), LoadProblem> {
        let described = copy.described();
        if !described.stays_mapped() {
            interpose::effective().map_err(LoadProblem::NotEffective)?;
        }
        let live = interpose::keys::live();
        if live >= limits.live_keys_max {
            return Err(LoadProblem::Keys { live, limit: limits.live_keys_max });
        }
        let mut mapped = self.unique.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(symbol) = described.elf.unique.iter().find(|symbol| mapped.contains(*symbol)) {
            return Err(LoadProblem::SharedStatics { symbol: symbol.clone() });
        }
        // Also when the load fails later: once it was mapped, it stays.
        mapped.extend(described.elf.unique.iter().cloned());
        Ok(())
    }

    /// Unmaps a library whose load failed.
    fn undo(&self, mut remains: Remains, limits: &LoadLimits) {
        match remains.release(&limits.retire) {
            Ok(()) => remains.forget(),
            Err(reason) => {
                let view = remains.view(reason);
                self.quarantine.put(view, limits.retire, Held::Remains(Box::new(remains)));
            }
        }
    }
}

// === impl Opened ===

impl Opened {
    pub(crate) fn into_remains(self) -> Option<Remains> {
        self.remains
    }
}

// === impl Order ===

impl Order {
    /// `dlopen`, handshake, `create`.
    ///
    /// # Safety
    /// The library is trusted; the calling thread belongs to its generation, and is joined before
    /// the library is closed.
    unsafe fn carry_out(self) -> Opened {
        let path = self.copy.path().to_owned();
        // SAFETY: passed on.
        let library = match unsafe { Library::open(self.copy) } {
            Ok(library) => library,
            Err(error) => {
                let reason = match error {
                    OpenError::Refused(reason) => reason,
                    OpenError::NotListed => error.to_string(),
                };
                return Opened { remains: None, result: Err(LoadProblem::Open { path, reason }) };
            }
        };
        // SAFETY: passed on; the context outlives the library.
        let result = unsafe { bring_up(&library, &self.host, &self.config, self.reasons) };
        let instance = result.as_ref().ok().copied();
        let remains = Remains::new(library, self.host, self.lanes, instance);
        Opened { remains: Some(remains), result }
    }
}

/// Handshake and `create`.
///
/// # Safety
/// As for [`Order::carry_out`]; `host` lives as long as the library is mapped.
unsafe fn bring_up(
    library: &Library,
    host: &HostContext,
    config: &str,
    reasons: TextLimit,
) -> Result<(Table, InstancePtr), LoadProblem> {
    let described = library.described();
    let entry = library.entry().map_err(|error| match error {
        EntryError::Missing | EntryError::Outside => {
            LoadProblem::Entry { symbol: described.manifest.entry_point.clone() }
        }
    })?;
    // SAFETY: a function of the library of the type that the contract gives that name; what it
    // returns is checked before it is used.
    let table =
        unsafe { Table::read(entry(), library.range(), described.note.flags, &described.manifest) }
            .map_err(LoadProblem::Table)?;
    let mut instance = ptr::null_mut();
    let mut raw = abi::Outcome::EMPTY;
    let context = ptr::from_ref(host).cast_mut().cast::<c_void>();
    // SAFETY: table and context live as long as the library is mapped, the rest during the call.
    let state = unsafe {
        (table.create)(
            &raw const TABLE,
            context,
            abi::Str::new(config),
            &raw mut instance,
            &raw mut raw,
        )
    };
    // SAFETY: the call is over, on a thread of the library's generation.
    let outcome = unsafe { Outcome::after(state, &mut raw, reasons) };
    match (state, outcome) {
        (abi::state::READY, _) => Ok((table, InstancePtr(instance))),
        (_, Outcome::Panic(text)) => Err(LoadProblem::CreatePanicked { text }),
        (_, Outcome::Error { text, .. } | Outcome::Invalid(text)) => {
            Err(LoadProblem::Create { text })
        }
        (state, _) => Err(LoadProblem::Create { text: format!("state {state}") }),
    }
}
