//! The table of functions that a library exports.
//!
//! Every function here is one [`contain`], its own or that of the call it makes.

use std::{ffi::c_void, ptr, time::Duration};

use patchbay_abi::{Delivery, Host, MAJOR, MINOR, Outcome, Source, Str, Waker, note, state};

use super::{
    call::{self, Room},
    instance::Instance,
    outcome::{Answer, panicked},
    panic::contain,
};
use crate::{
    context::PluginContext,
    error::PluginError,
    host::{HostRef, Link},
    plugin::Plugin,
    status::ProcessingStatus,
};

/// Name and version of a plugin, from its manifest.
pub trait Identity {
    /// Name.
    const NAME: &'static str;
    /// Version.
    const VERSION: &'static str;
}

/// The table for a plugin type.
#[must_use]
pub const fn table<P: Plugin, I: Identity>() -> patchbay_abi::Plugin {
    let room = Room::of::<P>();
    patchbay_abi::Plugin {
        size: size_of::<patchbay_abi::Plugin>() as u32,
        major: MAJOR,
        minor: MINOR,
        flags: flags(P::RUNTIME.flags()) as u64,
        name: Str::new(I::NAME),
        version: Str::new(I::VERSION),
        call_size: room.size as u32,
        call_align: room.align as u32,
        create: create::<P, I>,
        op: op::<P>,
        process: process::<P>,
        poll,
        cancel,
        run_lane: run_lane_of::<P>(),
        quiesce: quiesce::<P>,
        destroy: destroy::<P>,
    }
}

/// The flags of the table are those of the note, which adds how the library is compiled.
const fn flags(of_runtime: u32) -> u32 {
    of_runtime | if cfg!(panic = "unwind") { note::flags::UNWIND } else { 0 }
}

type RunLane = unsafe extern "C" fn(*mut c_void, u32, *const Source, *mut c_void, u32, u32) -> u32;

const fn run_lane_of<P: Plugin>() -> Option<RunLane> {
    match P::RUNTIME {
        crate::Runtime::None => None,
        #[cfg(feature = "tokio")]
        _ => Some(run_lane::<P>),
    }
}

/// The wrapper around every entry that is no call: contained, and a panic is in the outcome, where there is one.
///
/// # Safety
/// `outcome` is null, or the host's and used by nobody else once `f` has returned or panicked.
unsafe fn entry(outcome: *mut Outcome, f: impl FnOnce() -> u32) -> u32 {
    contain(f).unwrap_or_else(|text| {
        // SAFETY: by the caller's promise.
        if let Some(outcome) = unsafe { outcome.as_mut() } {
            panicked(outcome, text);
        }
        state::PANICKED
    })
}

unsafe extern "C" fn create<P: Plugin, I: Identity>(
    host: *const Host,
    context: *mut c_void,
    config: Str,
    instance: *mut *mut c_void,
    error: *mut Outcome,
) -> u32 {
    // SAFETY: the contract of `create`: the host's table and its context, a JSON text, and room for
    // the results.
    unsafe {
        entry(error, || {
            let host = HostRef::new(host, context);
            let config = config.as_text().unwrap_or("{}");
            match make::<P, I>(host, config) {
                Ok(made) => {
                    instance.write(Box::into_raw(Box::new(made)).cast());
                    state::READY
                }
                Err(reason) => {
                    Err::<ProcessingStatus, _>(reason).write(&mut *error);
                    state::ERROR
                }
            }
        })
    }
}

fn make<P: Plugin, I: Identity>(host: HostRef, config: &str) -> Result<Instance<P>, PluginError> {
    if !host.is_complete() {
        let text = format!("this library needs a host of contract {MAJOR}.0 or later");
        return Err(PluginError::permanent(text));
    }
    let link = Link::new(host, None);
    let plugin = P::new(PluginContext::from_link(&link, I::NAME, I::VERSION, config))?;
    if plugin.name() != I::NAME {
        let (own, given) = (plugin.name(), I::NAME);
        let text = format!("the plugin calls itself `{own}`, its manifest says `{given}`");
        return Err(PluginError::permanent(text));
    }
    Ok(Instance::new(plugin, link))
}

// The three calls below contain themselves, once: what could panic runs within.

unsafe extern "C" fn op<P: Plugin>(
    instance: *mut c_void,
    which: u32,
    arg: Str,
    slot: *mut u8,
    waker: *const Waker,
    outcome: *mut Outcome,
) -> u32 {
    // SAFETY: the contract of `op`, which is what is passed on; an instance outlives its calls.
    unsafe {
        let instance = &*instance.cast::<Instance<P>>();
        call::begin_control(instance, which, arg.as_bytes(), slot, waker, &mut *outcome)
    }
}

unsafe extern "C" fn process<P: Plugin>(
    instance: *mut c_void,
    delivery: *const Delivery,
    slot: *mut u8,
    waker: *const Waker,
    outcome: *mut Outcome,
) -> u32 {
    // SAFETY: the contract of `process`, which is what is passed on; an instance outlives its calls.
    unsafe {
        let instance = &*instance.cast::<Instance<P>>();
        call::begin_process(instance, delivery, slot, waker, &mut *outcome)
    }
}

unsafe extern "C" fn poll(slot: *mut u8, waker: *const Waker, outcome: *mut Outcome) -> u32 {
    // SAFETY: the contract of `poll`, which is what is passed on.
    unsafe { call::poll(slot, waker, &mut *outcome) }
}

unsafe extern "C" fn cancel(slot: *mut u8) {
    // SAFETY: the contract of `cancel`, which is what is passed on.
    unsafe { call::cancel(slot) }
}

#[cfg(feature = "tokio")]
unsafe extern "C" fn run_lane<P: Plugin>(
    instance: *mut c_void,
    lane: u32,
    source: *const Source,
    context: *mut c_void,
    concurrency: u32,
    batch: u32,
) -> u32 {
    // SAFETY: the contract of `run_lane`, which is what is passed on; an instance outlives its lanes.
    unsafe {
        entry(ptr::null_mut(), || {
            let instance = &*instance.cast::<Instance<P>>();
            let source = crate::own_loop::LaneSource::new(source, context);
            crate::own_loop::run(instance, lane, source, concurrency, batch);
            state::READY
        })
    }
}

unsafe extern "C" fn quiesce<P: Plugin>(instance: *mut c_void, timeout_ns: u64) -> u32 {
    // SAFETY: the contract of `quiesce`: a live instance.
    unsafe {
        entry(ptr::null_mut(), || {
            let instance = &*instance.cast::<Instance<P>>();
            instance.quiesce(Duration::from_nanos(timeout_ns));
            state::READY
        })
    }
}

unsafe extern "C" fn destroy<P: Plugin>(instance: *mut c_void) -> u32 {
    // SAFETY: the contract of `destroy`: made by `create`, and given back once.
    unsafe {
        entry(ptr::null_mut(), || {
            drop(Box::from_raw(instance.cast::<Instance<P>>()));
            state::READY
        })
    }
}
