//! What a library offers.

use core::ffi::c_void;

use crate::{
    host::Host, message::Delivery, outcome::Outcome, source::Source, text::Str, waker::Waker,
};

/// The exported function [`ENTRY_SYMBOL`](crate::ENTRY_SYMBOL). The table it returns is immutable
/// and lives as long as the library is mapped.
pub type PluginEntry = unsafe extern "C" fn() -> *const Plugin;

/// The library's functions.
///
/// Every call is made on a thread that belongs to this generation of the library and is joined
/// before the library is closed. `process`, `op`, `poll` and `cancel` of one slot are called on one
/// thread; different slots may run on different threads at once.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// Size of this struct as the library knows it, in bytes.
    pub size: u32,
    /// Contract version the library was built for.
    pub major: u16,
    /// Additive contract version the library was built for.
    pub minor: u16,
    /// Bits of [`flags`](crate::note::flags), equal to those of the note.
    pub flags: u64,
    /// Name, equal to the manifest's.
    pub name: Str,
    /// Version, equal to the manifest's.
    pub version: Str,
    /// Bytes of memory the host provides for one call in flight.
    pub call_size: u32,
    /// Alignment of that memory: a power of two, at most 64.
    pub call_align: u32,
    /// Makes an instance. Synchronous, no I/O. `config` is a JSON object, valid during the call.
    /// Returns [`state::READY`](crate::state) with `instance` written, or `ERROR` / `PANICKED` with
    /// the reason in `error`.
    pub create: unsafe extern "C" fn(
        host: *const Host,
        context: *mut c_void,
        config: Str,
        instance: *mut *mut c_void,
        error: *mut Outcome,
    ) -> u32,
    /// Begins a control call ([`op`](crate::source::op)) in `slot`; else as `process`. `arg` is
    /// borrowed until the call is over.
    pub op: unsafe extern "C" fn(
        instance: *mut c_void,
        which: u32,
        arg: Str,
        slot: *mut u8,
        waker: *const Waker,
        outcome: *mut Outcome,
    ) -> u32,
    /// Builds the call for one delivery in `slot` and polls it once. `READY`: over, `outcome` is
    /// written, the slot is free again. `PENDING`: poll it when `waker` was woken, or cancel it.
    /// `PANICKED`: over, the text is in `outcome`. The delivery is copied; its message is borrowed
    /// until the call is over.
    pub process: unsafe extern "C" fn(
        instance: *mut c_void,
        delivery: *const Delivery,
        slot: *mut u8,
        waker: *const Waker,
        outcome: *mut Outcome,
    ) -> u32,
    /// Polls a pending call.
    pub poll:
        unsafe extern "C" fn(slot: *mut u8, waker: *const Waker, outcome: *mut Outcome) -> u32,
    /// Drops a pending call.
    pub cancel: unsafe extern "C" fn(slot: *mut u8),
    /// Runs the library's own loop on this thread until the source is closed. Null for a library
    /// that has none. `READY`: the source was closed; `PANICKED`: the loop itself died.
    pub run_lane: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            lane: u32,
            source: *const Source,
            context: *mut c_void,
            concurrency: u32,
            batch: u32,
        ) -> u32,
    >,
    /// Stops runtimes and joins the library's own threads within the time. Returns `READY`, or
    /// `PANICKED`.
    pub quiesce: unsafe extern "C" fn(instance: *mut c_void, timeout_ns: u64) -> u32,
    /// Ends the instance. Returns `READY`, or `PANICKED` when a destructor panicked.
    pub destroy: unsafe extern "C" fn(instance: *mut c_void) -> u32,
}

// SAFETY: immutable, of 'static strings and function pointers of one library.
unsafe impl Sync for Plugin {}
// SAFETY: as above.
unsafe impl Send for Plugin {}
