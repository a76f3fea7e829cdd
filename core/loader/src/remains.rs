//! What is left of an instance, on its way out.
//!
//! The steps of the end, in their order: lanes gone → `quiesce` and `destroy` on a thread that is
//! joined → services refused → threads gone → thread-local destructors run → keys deleted and the
//! library closed on a thread that is joined → not in the link map. Each step can be tried again
//! later, and none is done twice.

use std::{
    ffi::c_void,
    thread,
    time::{Duration, Instant},
};

use patchbay_abi::state;
use patchbay_interpose as interpose;

use crate::{
    bounded::{self, Late, Ran},
    host_table::HostContext,
    lanes::Lanes,
    library::Library,
    limits::RetireLimits,
    quarantine::{QuarantineReason, QuarantineView, Step},
    table::Table,
};

/// What is left of an instance. Dropping it leaves everything as it is, mapped and allocated.
#[derive(Debug)]
pub(crate) struct Remains {
    library: Library,
    /// Leaked while the library is mapped: a thread that it forgot may still call.
    host: *mut HostContext,
    lanes: std::sync::Arc<Lanes>,
    /// The instance, until it was destroyed.
    instance: Option<(Table, InstancePtr)>,
    destroy_panicked: bool,
    running: Running,
}

/// A thread of ours that was given up.
#[derive(Debug)]
enum Running {
    Nothing,
    Exit(Late<bool>),
    Close(Late<()>),
}

/// What `create` returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InstancePtr(pub(crate) *mut c_void);

/// First pause between two looks at threads that are about to be gone.
const LOOK_PAUSE: Duration = Duration::from_micros(50);
/// Looks without a pause: a thread that was joined is usually gone within microseconds.
const LOOKS_AT_ONCE: u32 = 200;

// SAFETY: by contract an instance may be used from any thread of its generation.
unsafe impl Send for InstancePtr {}
// SAFETY: as above; several lanes use it at once.
unsafe impl Sync for InstancePtr {}
// SAFETY: the context is shared by atomics and a `Sync` trait object only.
unsafe impl Send for Remains {}

// === impl Remains ===

impl Remains {
    pub(crate) fn new(
        library: Library,
        host: Box<HostContext>,
        lanes: std::sync::Arc<Lanes>,
        instance: Option<(Table, InstancePtr)>,
    ) -> Remains {
        let host = Box::into_raw(host);
        let running = Running::Nothing;
        Remains { library, host, lanes, instance, destroy_panicked: false, running }
    }

    pub(crate) fn view(&self, reason: QuarantineReason) -> QuarantineView {
        let copy = self.library.copy();
        QuarantineView::new(copy.described(), copy.generation(), copy.path().to_owned(), reason)
    }

    /// Goes as far as it can. After `Ok` the library is proven unmapped.
    pub(crate) fn release(&mut self, limits: &RetireLimits) -> Result<(), QuarantineReason> {
        let running = self.lanes.close();
        if running > 0 {
            return Err(QuarantineReason::Lanes { running });
        }
        self.look_at_running()?;
        self.destroy(limits)?;
        // SAFETY: freed by `forget` only, which takes the value.
        unsafe { (*self.host).close() };
        if self.destroy_panicked {
            return Err(QuarantineReason::DestroyPanicked);
        }
        if self.library.described().stays_mapped() {
            return Err(QuarantineReason::UnloadNever);
        }
        interpose::effective().map_err(QuarantineReason::NotEffective)?;
        self.prove(limits.grace)?;
        self.close(limits)?;
        if self.library.is_mapped() {
            // SAFETY: closed, and proven to be used by nobody.
            unsafe { self.library.sweep() };
        }
        if self.library.is_mapped() {
            return Err(QuarantineReason::StillMapped);
        }
        Ok(())
    }

    /// Gives back what had to live as long as the library. Only after [`release`](Self::release).
    pub(crate) fn forget(self) {
        self.library.forget();
        // SAFETY: made by `Box::into_raw`, freed once; no code that knows the address is left.
        drop(unsafe { Box::from_raw(self.host) });
    }

    fn look_at_running(&mut self) -> Result<(), QuarantineReason> {
        match std::mem::replace(&mut self.running, Running::Nothing) {
            Running::Nothing => Ok(()),
            Running::Exit(late) => match late.finish() {
                Ok(panicked) => {
                    self.destroy_panicked = panicked;
                    Ok(())
                }
                Err(late) => {
                    self.running = Running::Exit(late);
                    Err(QuarantineReason::Hung { step: Step::Exit })
                }
            },
            Running::Close(late) => late.finish().map_err(|late| {
                self.running = Running::Close(late);
                QuarantineReason::Hung { step: Step::Close }
            }),
        }
    }

    /// Ends the instance, if that was not done yet.
    fn destroy(&mut self, limits: &RetireLimits) -> Result<(), QuarantineReason> {
        let Some((table, instance)) = self.instance.take() else { return Ok(()) };
        let generation = self.library.copy().generation();
        let quiesce_ns = u64::try_from(limits.quiesce.as_nanos()).unwrap_or(u64::MAX);
        let ran = bounded::run("exit", generation, limits.exit, move || {
            // SAFETY: no lane runs any more and none will; the library is mapped, and this thread
            // is joined before it is closed.
            unsafe { end_instance(&table, instance, quiesce_ns) }
        });
        match ran {
            Ok(Ran::Done(panicked)) => {
                self.destroy_panicked = panicked;
                Ok(())
            }
            Ok(Ran::Late(late)) => {
                self.running = Running::Exit(late);
                Err(QuarantineReason::Hung { step: Step::Exit })
            }
            Err(_no_thread) => {
                self.instance = Some((table, instance));
                Err(QuarantineReason::NoThread)
            }
        }
    }

    /// Waits until nothing of the library is left, but not longer than `grace`. Threads before
    /// destructors: only a thread that the kernel no longer knows has run all of them.
    fn prove(&self, grace: Duration) -> Result<(), QuarantineReason> {
        let until = Instant::now() + grace;
        let mut looks = 0;
        loop {
            let lost = interpose::lost();
            if lost > 0 {
                return Err(QuarantineReason::Lost { lost });
            }
            let found = match self.library.threads() {
                0 => match self.library.destructors() {
                    0 => return Ok(()),
                    count => QuarantineReason::Destructors { count },
                },
                count => QuarantineReason::Threads { count },
            };
            if Instant::now() >= until {
                return Err(found);
            }
            looks += 1;
            if looks < LOOKS_AT_ONCE { thread::yield_now() } else { thread::sleep(LOOK_PAUSE) }
        }
    }

    fn close(&mut self, limits: &RetireLimits) -> Result<(), QuarantineReason> {
        let Some(closer) = self.library.take_closer() else { return Ok(()) };
        let generation = self.library.copy().generation();
        // The library's own destructors run in there: they may hang, and must not leave anything
        // behind on a thread of the host.
        let ran = bounded::run("close", generation, limits.exit, move || {
            // SAFETY: `prove` found nobody, and no caller is left.
            unsafe { closer.close() }
        });
        match ran {
            Ok(Ran::Done(())) => Ok(()),
            Ok(Ran::Late(late)) => {
                self.running = Running::Close(late);
                Err(QuarantineReason::Hung { step: Step::Close })
            }
            // The handle is lost with the closure: it stays mapped, which is always sound.
            Err(_no_thread) => Err(QuarantineReason::NoThread),
        }
    }
}

/// `quiesce`, then `destroy`. Whether the latter did anything but succeed.
///
/// # Safety
/// The instance is used by nobody else and not again; the thread belongs to its generation.
unsafe fn end_instance(table: &Table, instance: InstancePtr, quiesce_ns: u64) -> bool {
    let InstancePtr(instance) = instance;
    // SAFETY: passed on.
    let quiesced = unsafe { (table.quiesce)(instance, quiesce_ns) };
    if quiesced != state::READY {
        // Not fatal by itself: what it did not stop is found by the count of threads.
        tracing::warn!(state = quiesced, "a library did not come to rest");
    }
    // SAFETY: passed on; the last use.
    unsafe { (table.destroy)(instance) != state::READY }
}
