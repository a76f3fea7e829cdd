//! The table of functions of a test's host.
//!
//! The context of each function is a pointer to a [`HostCore`] that outlives every use: whatever
//! holds the table holds the core.

use std::{
    ffi::c_void,
    mem::{ManuallyDrop, offset_of},
    sync::Arc,
};

use patchbay_abi::{
    Buf, Draft, Header, Host, MAJOR, MINOR, Message, Publish, PublishMany, Str, TimerRequest,
    Waker,
    host::{log, publish as code},
};
use patchbay_slab::Message as Raw;

use super::{core::HostCore, telemetry::LogLine, waker::HostWaker};
use crate::{glue::panic::contain, host::HostRef, log::Level};

static TABLE: Host = table(size_of::<Host>(), MINOR, publish_many);
/// That of a host of 1.0, which ends before what came later.
static TABLE_OF_1_0: Host = table(offset_of!(Host, publish_many), 0, not_there);

const fn table(
    size: usize,
    minor: u16,
    publish_many: unsafe extern "C" fn(*mut c_void, *mut PublishMany) -> i32,
) -> Host {
    Host {
        size: size as u32,
        major: MAJOR,
        minor,
        publish,
        forget,
        message_new,
        message_derive,
        subscribe,
        unsubscribe,
        config_get,
        log: write_log,
        metric,
        metric_record,
        span_begin,
        span_end,
        timer,
        timer_fired,
        publish_many,
    }
}

/// The table, for as long as the core lives.
pub(crate) fn host_ref(core: &Arc<HostCore>) -> HostRef {
    let context = Arc::as_ptr(core).cast_mut().cast::<c_void>();
    let table = if core.is_of_1_0() { &raw const TABLE_OF_1_0 } else { &raw const TABLE };
    // SAFETY: whoever uses the reference keeps the core: a link holds it, and an instance its link.
    unsafe { HostRef::new(table, context) }
}

/// Runs `f` on the core behind a context; a panic of the test's own host becomes `otherwise`.
///
/// # Safety
/// The context is one of [`host_ref`], whose core is alive.
unsafe fn with<R>(context: *mut c_void, otherwise: R, f: impl FnOnce(&Arc<HostCore>) -> R) -> R {
    // SAFETY: a pointer to a core in an `Arc`, of which no reference is given back here.
    let core = ManuallyDrop::new(unsafe { Arc::from_raw(context.cast::<HostCore>()) });
    contain(|| f(&core)).unwrap_or(otherwise)
}

/// Names and values; `None` when one is no text.
///
/// # Safety
/// `count` headers that are alive for `'a`.
pub(crate) unsafe fn pairs<'a>(
    first: *const Header,
    count: u32,
) -> Option<Vec<(&'a str, &'a str)>> {
    // SAFETY: by the caller's promise.
    let each = (0..count as usize).map(|at| unsafe {
        let header = &*first.add(at);
        Some((header.name.as_text()?, header.value.as_text()?))
    });
    each.collect()
}

/// # Safety
/// As for [`pairs`].
unsafe fn owned_pairs(first: *const Header, count: u32) -> Vec<(String, String)> {
    // SAFETY: passed on.
    let pairs = unsafe { pairs(first, count) }.unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Lends a message that the library holds.
///
/// # Safety
/// Null, or a message of ours, alive as long as the value is used.
unsafe fn lent(message: *const Message) -> Option<ManuallyDrop<Raw>> {
    // SAFETY: the reference is the library's: it is not given back here.
    (!message.is_null()).then(|| ManuallyDrop::new(unsafe { Raw::from_raw(message) }))
}

/// Hands bytes to the library, with the function that frees them.
fn hand_out(text: String, out: &mut Buf) {
    unsafe extern "C" fn free(ptr: *mut u8, len: usize, cap: usize) {
        let _contained = contain(|| {
            // SAFETY: the parts of the text below, given back once.
            drop(unsafe { Vec::from_raw_parts(ptr, len, cap) });
        });
    }
    let mut bytes = ManuallyDrop::new(text.into_bytes());
    *out =
        Buf { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: Some(free) };
}

// Every function below is called by the kit, as the contract says: that is what makes it safe to
// read what its arguments point to.

unsafe extern "C" fn publish(context: *mut c_void, request: *mut Publish) -> i32 {
    // SAFETY: see above.
    unsafe {
        with(context, code::CLOSED, |core| {
            let request = &mut *request;
            let Some(message) = lent(request.message) else { return code::INVALID };
            let cause = lent(request.cause);
            let wait = (request.flags & code::WAIT != 0).then(|| HostWaker::keep(request.waker));
            let (answer, routed, token) = core.publish(&message, cause.as_deref(), wait);
            (request.routed, request.token) = (routed, token);
            if answer == code::ACCEPTED {
                // The reference goes to the host, which has taken its own.
                drop(ManuallyDrop::into_inner(message));
            }
            answer
        })
    }
}

unsafe extern "C" fn publish_many(context: *mut c_void, request: *mut PublishMany) -> i32 {
    // SAFETY: see above.
    unsafe {
        with(context, code::CLOSED, |core| {
            let request = &mut *request;
            (request.accepted, request.token) = (0, 0);
            if request.count > code::MANY_MAX {
                return code::INVALID;
            }
            let cause = lent(request.cause);
            let wait = (request.flags & code::WAIT != 0).then(|| HostWaker::keep(request.waker));
            for at in 0..request.count as usize {
                let Some(message) = lent(request.messages.add(at).read()) else {
                    return code::INVALID;
                };
                let (answer, _, token) = core.publish(&message, cause.as_deref(), wait.clone());
                if answer != code::ACCEPTED {
                    request.token = token;
                    return answer;
                }
                request.accepted += 1;
                // As for one.
                drop(ManuallyDrop::into_inner(message));
            }
            code::ACCEPTED
        })
    }
}

/// What lies behind the end of an older host's table is anything, and nobody's to call.
unsafe extern "C" fn not_there(_: *mut c_void, _: *mut PublishMany) -> i32 {
    code::CLOSED
}

unsafe extern "C" fn forget(context: *mut c_void, token: u64) {
    // SAFETY: see above.
    unsafe { with(context, (), |core| core.forget(token)) }
}

unsafe extern "C" fn message_new(
    context: *mut c_void,
    draft: *const Draft,
    payload: *mut *mut u8,
) -> *const Message {
    // SAFETY: see above.
    unsafe {
        with(context, std::ptr::null(), |core| match core.message(&*draft) {
            Some((message, room)) => {
                payload.write(room);
                message
            }
            None => std::ptr::null(),
        })
    }
}

unsafe extern "C" fn message_derive(
    context: *mut c_void,
    base: *const Message,
    draft: *const Draft,
) -> *const Message {
    // SAFETY: see above.
    unsafe {
        with(context, std::ptr::null(), |core| {
            let derived = lent(base).and_then(|base| core.derive(&base, &*draft));
            derived.unwrap_or(std::ptr::null())
        })
    }
}

unsafe extern "C" fn subscribe(context: *mut c_void, pattern: Str, _flags: u32) -> i64 {
    // SAFETY: see above.
    unsafe {
        with(context, i64::from(code::CLOSED), |core| {
            let Some(pattern) = pattern.as_text() else { return i64::from(code::INVALID) };
            let host = Arc::downgrade(core);
            let inlet = Arc::new(move |incoming| {
                if let Some(host) = host.upgrade() {
                    host.deliver(incoming);
                }
            });
            core.transport.add_subscription(&core.name, pattern, inlet).unwrap_or_else(i64::from)
        })
    }
}

unsafe extern "C" fn unsubscribe(context: *mut c_void, subscription: i64) -> i32 {
    // SAFETY: see above.
    unsafe {
        with(
            context,
            -1,
            |core| {
                if core.transport.remove_subscription(subscription) { 0 } else { -1 }
            },
        )
    }
}

unsafe extern "C" fn config_get(context: *mut c_void, path: Str, out: *mut Buf) -> i32 {
    // SAFETY: see above.
    unsafe {
        with(context, -1, |core| {
            let Some(value) = path.as_text().and_then(|path| core.config.get(path)) else {
                return -1;
            };
            hand_out(value, &mut *out);
            0
        })
    }
}

unsafe extern "C" fn write_log(
    context: *mut c_void,
    level: u32,
    target: Str,
    file: Str,
    line: u32,
    text: Str,
) {
    // SAFETY: see above.
    unsafe {
        with(context, (), |core| {
            let level = match level {
                log::ERROR => Level::Error,
                log::WARN => Level::Warn,
                log::INFO => Level::Info,
                log::DEBUG => Level::Debug,
                _ => Level::Trace,
            };
            let owned = |text: Str| text.as_text().unwrap_or_default().to_owned();
            core.telemetry.log(LogLine {
                level,
                target: owned(target),
                file: owned(file),
                line,
                text: owned(text),
            });
        });
    }
}

unsafe extern "C" fn metric(context: *mut c_void, kind: u32, name: Str) -> u32 {
    // SAFETY: see above.
    unsafe {
        with(context, u32::MAX, |core| {
            core.telemetry.metric(kind, name.as_text().unwrap_or_default())
        })
    }
}

unsafe extern "C" fn metric_record(
    context: *mut c_void,
    metric: u32,
    value: f64,
    attributes: *const Header,
    nattributes: u32,
) {
    // SAFETY: see above.
    unsafe {
        with(context, (), |core| {
            core.telemetry.record(metric, value, owned_pairs(attributes, nattributes));
        });
    }
}

unsafe extern "C" fn span_begin(
    context: *mut c_void,
    name: Str,
    message: *const Message,
    parent: u64,
    attributes: *const Header,
    nattributes: u32,
    out: *mut Buf,
) -> u64 {
    // SAFETY: see above.
    unsafe {
        with(context, 0, |core| {
            let message = lent(message);
            let within = message
                .as_ref()
                .and_then(|message| message.header(patchbay_abi::message::header::TRACEPARENT));
            let name = name.as_text().unwrap_or_default();
            let attributes = owned_pairs(attributes, nattributes);
            let (span, traceparent) = core.telemetry.begin(name, parent, within, attributes);
            if let Some(out) = out.as_mut() {
                hand_out(traceparent, out);
            }
            span
        })
    }
}

unsafe extern "C" fn span_end(context: *mut c_void, span: u64, status: u32, text: Str) {
    // SAFETY: see above.
    unsafe {
        with(context, (), |core| {
            core.telemetry.end(span, status, text.as_text().unwrap_or_default());
        });
    }
}

unsafe extern "C" fn timer(context: *mut c_void, request: *const TimerRequest) -> u64 {
    // SAFETY: see above.
    unsafe {
        with(context, 0, |core| {
            let request = &*request;
            let waker: *const Waker = request.waker;
            HostWaker::keep(waker).map_or(0, |waker| core.timer(request.delay_ns, waker))
        })
    }
}

unsafe extern "C" fn timer_fired(context: *mut c_void, token: u64) -> u32 {
    // SAFETY: see above.
    unsafe { with(context, 0, |core| u32::from(core.timers.fired(token))) }
}
