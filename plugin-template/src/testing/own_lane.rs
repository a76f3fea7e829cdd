//! A lane that is handed to the plugin's own loop.

use std::{ffi::c_void, sync::Arc};

use patchbay_abi::{Delivery, Op, Outcome, Source, Str};

use super::{
    core::HostCore,
    handled::Handled,
    lane::{CallId, Lane, Next},
};
use crate::glue::panic::contain;

/// What the functions below get as their lane.
#[derive(Debug)]
pub(crate) struct OwnLane {
    pub(crate) lane: Arc<Lane>,
    pub(crate) core: Arc<HostCore>,
    /// Lane 0 only gets control calls.
    pub(crate) takes_control: bool,
}

pub(crate) static SOURCE: Source = Source {
    size: size_of::<Source>() as u32,
    reserved: 0,
    next,
    complete,
    next_op,
    op_done,
    cancelled,
    ready,
    bell,
};

/// # Safety
/// `lane` is an [`OwnLane`] that lives until the loop has returned.
unsafe fn with<R>(lane: *mut c_void, otherwise: R, f: impl FnOnce(&OwnLane) -> R) -> R {
    // SAFETY: by the caller's promise.
    let lane = unsafe { &*lane.cast::<OwnLane>() };
    contain(|| f(lane)).unwrap_or(otherwise)
}

// Every function below is called by the plugin's loop, as the contract says: that is what makes it
// safe to read and write what its arguments point to.

unsafe extern "C" fn next(lane: *mut c_void, out: *mut Delivery, max: u32) -> i32 {
    // SAFETY: see above.
    unsafe {
        with(lane, -1, |own| {
            let mut count = 0;
            while count < max {
                match own.lane.next_delivery() {
                    Next::Some(delivery) => out.add(count as usize).write(delivery),
                    Next::Closed if count == 0 => return -1,
                    _ => break,
                }
                count += 1;
            }
            count as i32
        })
    }
}

unsafe extern "C" fn complete(lane: *mut c_void, token: u64, outcome: *mut Outcome) {
    // SAFETY: see above.
    unsafe {
        with(lane, (), |own| {
            own.lane.complete(CallId::Delivery(token), Handled::read(&mut *outcome));
        });
    }
}

unsafe extern "C" fn next_op(lane: *mut c_void, out: *mut Op) -> i32 {
    // SAFETY: see above.
    unsafe {
        with(lane, -1, |own| {
            if !own.takes_control {
                return -1;
            }
            match own.lane.next_control() {
                Next::Some((id, which, arg)) => {
                    let arg: Str = arg;
                    out.write(Op { size: size_of::<Op>() as u32, which, id, arg });
                    1
                }
                Next::NoneNow => 0,
                Next::Closed => -1,
            }
        })
    }
}

unsafe extern "C" fn op_done(lane: *mut c_void, id: u64, outcome: *mut Outcome) {
    // SAFETY: see above.
    unsafe {
        with(lane, (), |own| {
            own.lane.complete(CallId::Control(id), Handled::read(&mut *outcome));
        });
    }
}

unsafe extern "C" fn cancelled(lane: *mut c_void, id: u64, is_op: u32) -> u32 {
    let id = if is_op == 1 { CallId::Control(id) } else { CallId::Delivery(id) };
    // SAFETY: see above.
    unsafe { with(lane, 0, |own| u32::from(own.lane.is_cancelled(id))) }
}

unsafe extern "C" fn ready(lane: *mut c_void, tokens: *mut u64, max: u32) -> u32 {
    // SAFETY: see above.
    unsafe {
        with(lane, 0, |own| {
            let ready = own.core.take_ready(max as usize);
            for (at, token) in ready.iter().enumerate() {
                tokens.add(at).write(*token);
            }
            ready.len() as u32
        })
    }
}

unsafe extern "C" fn bell(lane: *mut c_void) -> i32 {
    // SAFETY: see above.
    unsafe { with(lane, -1, |own| own.lane.bell()) }
}
