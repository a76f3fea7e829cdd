//! The two functions that publish.

use std::ffi::c_void;

use patchbay_abi::{
    self as abi, Publish, PublishMany, has_field,
    host::publish::{
        ACCEPTED, CLOSED, DENIED, FULL, HOP_LIMIT, INVALID, MANY_MAX, TOO_LARGE, WAIT,
    },
};

use super::serve;
use crate::{
    lane::current_lane,
    messages::Lent,
    services::{Publish as PublishRequest, PublishMany as ManyRequest, Refused, Wait},
    waker,
};

/// # Safety
/// As for [`serve`]; `request` points to a request that is alive and unshared during the call.
pub(super) unsafe extern "C" fn publish(host: *mut c_void, request: *mut Publish) -> i32 {
    // SAFETY: the library's promise about the request; `size` is its first field.
    let known = !request.is_null() && unsafe { has_field!(request, Publish, reserved) };
    if !known {
        return INVALID;
    }
    // SAFETY: readable in full, as just checked, and unshared.
    let request = unsafe { &mut *request };
    request.token = 0;
    request.routed = 0;
    // SAFETY: both pointers are null or referenced by the library during the call.
    let (message, cause) =
        unsafe { (Lent::new(request.message), Lent::new(request.cause).unwrap_or(None)) };
    let Ok(Some(message)) = message else { return INVALID };
    // SAFETY: the waker is null or referenced by the library during the call.
    let Some(wait) = (unsafe { wait_of(request.flags, request.waker) }) else { return INVALID };
    // SAFETY: passed on.
    let answer = unsafe {
        serve(host, Err(Refused::Closed), |services| {
            services.publish(PublishRequest { message: &message, cause: cause.as_deref(), wait })
        })
    };
    match answer {
        Ok(routed) => {
            request.routed = routed;
            // The library's reference is consumed by an accepted publish.
            drop(message.consume());
            ACCEPTED
        }
        Err(refused) => {
            request.token = token(refused);
            code(refused)
        }
    }
}

/// # Safety
/// As for [`publish`]; the list of messages is readable during the call.
pub(super) unsafe extern "C" fn publish_many(host: *mut c_void, request: *mut PublishMany) -> i32 {
    // SAFETY: the library's promise about the request; `size` is its first field.
    let known = !request.is_null() && unsafe { has_field!(request, PublishMany, token) };
    if !known {
        return INVALID;
    }
    // SAFETY: readable in full, as just checked, and unshared.
    let request = unsafe { &mut *request };
    request.token = 0;
    request.accepted = 0;
    if request.count > MANY_MAX || (request.count > 0 && request.messages.is_null()) {
        return INVALID;
    }
    // SAFETY: null or referenced by the library during the call.
    let cause = unsafe { Lent::new(request.cause) }.unwrap_or(None);
    // SAFETY: the waker is null or referenced by the library during the call.
    let Some(wait) = (unsafe { wait_of(request.flags, request.waker) }) else { return INVALID };
    let count = request.count as usize;
    // Up to the first that is none of this host's: that one stops the batch when its turn comes.
    let messages: Vec<Lent> = (0..count)
        // SAFETY: inside the list; null or referenced by the library during the call.
        .map_while(|at| unsafe { Lent::new(request.messages.add(at).read()) }.ok().flatten())
        .collect();
    // SAFETY: passed on.
    let (accepted, stopped) = unsafe {
        serve(host, (0, Some(Refused::Closed)), |services| {
            let cause = cause.as_deref();
            services.publish_many(ManyRequest { messages: &messages, cause, wait })
        })
    };
    let is_whole = messages.len() == count;
    // A `usize` of at most `MANY_MAX`.
    request.accepted = accepted.min(messages.len()) as u32;
    messages.into_iter().take(accepted).for_each(|message| drop(message.consume()));
    match stopped {
        Some(refused) => {
            request.token = token(refused);
            code(refused)
        }
        None if is_whole => ACCEPTED,
        None => INVALID,
    }
}

/// How the library wants to learn of room; `None` for a waker that is not of this host.
///
/// # Safety
/// `waker` is null or referenced by the library during the call.
unsafe fn wait_of(flags: u32, waker: *const abi::Waker) -> Option<Wait> {
    if flags & WAIT == 0 {
        return Some(Wait::No);
    }
    if waker.is_null() {
        return Some(Wait::Token { lane: current_lane() });
    }
    // SAFETY: not null, and passed on.
    unsafe { waker::adopt(waker) }.map(Wait::Waker)
}

fn token(refused: Refused) -> u64 {
    match refused {
        Refused::Full { token: Some(token) } => token.get(),
        _ => 0,
    }
}

pub(super) fn code(refused: Refused) -> i32 {
    match refused {
        Refused::Full { .. } => FULL,
        Refused::Invalid => INVALID,
        Refused::TooLarge => TOO_LARGE,
        Refused::Closed => CLOSED,
        Refused::Denied => DENIED,
        Refused::HopLimit => HOP_LIMIT,
    }
}
