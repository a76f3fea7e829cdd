//! Panics stop here.
//!
//! [`contain`] is the only `catch_unwind` of this crate. A panic's payload may panic itself when it
//! is dropped, so that is contained as well. What cannot be contained: a second panic while the
//! first unwinds. It aborts the process.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    ptr,
    sync::{
        Once,
        atomic::{AtomicPtr, Ordering},
    },
};

use crate::{host::HostRef, log::Level, scope::Scope};

/// Runs `f`; a panic becomes its text.
///
/// `f` need not be unwind safe: what a handler leaves half done is its own, and whether the
/// instance goes on after a panic is the host's decision.
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(text_of)
}

#[cold]
fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panicked with something that is no text".to_owned()
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // Who panics while a panic is dropped may do so again: leave it.
        mem::forget(second);
    }
    text
}

/// The host that hears of a panic outside every call: that of the instance made last.
static LISTENER: AtomicPtr<HostRef> = AtomicPtr::new(ptr::null_mut());

/// Sends panics of this library to the host's log, in place of a report on the standard error with
/// a backtrace, for which std would map the library's file once more and never let it go.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(report)));
}

/// From now on `host` hears of panics outside every call, until [`unlisten`]. The pointer is what
/// the listener is known by.
pub(crate) fn listen(host: &HostRef) {
    LISTENER.store(ptr::from_ref(host).cast_mut(), Ordering::Release);
}

/// Takes [`listen`] back, if nobody else listens meanwhile.
pub(crate) fn unlisten(host: &HostRef) {
    let own = ptr::from_ref(host).cast_mut();
    let _other =
        LISTENER.compare_exchange(own, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed);
}

fn report(info: &PanicHookInfo<'_>) {
    let text = info.payload_as_str().unwrap_or("panicked with something that is no text");
    let (file, line) = info.location().map_or(("", 0), |at| (at.file(), at.line()));
    let host = Scope::current_host().or_else(|| {
        // SAFETY: the instance that listens outlives every thread that may panic here; it stops
        // listening before it is destroyed.
        unsafe { LISTENER.load(Ordering::Acquire).as_ref() }.copied()
    });
    match host {
        Some(host) => host.log(Level::Error.code(), "panic", file, line, text),
        None => eprintln!("panic at {file}:{line}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("in the payload"));
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_contained() {
        let text: Result<(), String> = contain(|| std::panic::resume_unwind(Box::new(Bomb)));
        assert_eq!(text, Err("panicked with something that is no text".to_owned()));
        assert_eq!(contain(|| 7), Ok(7));
    }
}
