//! The functions that a library gets, over [`Services`].
//!
//! Everything that comes in is checked as far as the contract allows to check it: sizes, UTF-8,
//! that messages and wakers are the host's own. Nothing unwinds out of here.

mod publishing;

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use patchbay_abi::{self as abi, Buf, Draft, Header, Str, TimerRequest, has_field};

use crate::{
    limits::PAIRS_MAX,
    messages::Lent,
    panic_text::panic_text,
    services::{
        LogLevel, LogLine, MessageParts, MetricKind, Refused, Services, SpanBegin, SpanBegun,
        SpanStatus,
    },
    waker,
};

/// What the `host` pointer of a library leads to. Lives until the library is unmapped: a thread
/// that it forgot may still call.
pub(crate) struct HostContext {
    services: Arc<dyn Services>,
    /// False from the moment `destroy` has returned: late calls are refused.
    open: AtomicBool,
}

/// A borrowed list of names and values on the stack.
struct Pairs<'a> {
    list: [(&'a str, &'a str); PAIRS_MAX],
    len: usize,
}

pub(crate) static TABLE: abi::Host = abi::Host {
    size: size_of::<abi::Host>() as u32,
    major: abi::MAJOR,
    minor: abi::MINOR,
    publish: publishing::publish,
    forget,
    message_new,
    message_derive,
    subscribe,
    unsubscribe,
    config_get,
    log,
    metric,
    metric_record,
    span_begin,
    span_end,
    timer,
    timer_fired,
    publish_many: publishing::publish_many,
};

// === impl HostContext ===

impl HostContext {
    pub(crate) fn new(services: Arc<dyn Services>) -> HostContext {
        HostContext { services, open: AtomicBool::new(true) }
    }

    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for HostContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostContext").field("open", &self.open).finish_non_exhaustive()
    }
}

/// Runs one service for a library. `refused` is the answer when the instance is over, or when the
/// host's own code panics.
///
/// # Safety
/// `host` is the pointer to the context that `create` was given, and the library is still mapped.
unsafe fn serve<T>(host: *mut c_void, refused: T, body: impl FnOnce(&dyn Services) -> T) -> T {
    // SAFETY: the context lives as long as the library is mapped; it is only ever shared.
    let context = unsafe { &*host.cast_const().cast::<HostContext>() };
    if !context.open.load(Ordering::Acquire) {
        return refused;
    }
    match catch_unwind(AssertUnwindSafe(|| body(&*context.services))) {
        Ok(answer) => answer,
        Err(payload) => {
            tracing::error!(panic = panic_text(&*payload), "a service of the host panicked");
            refused
        }
    }
}

/// # Safety
/// As for [`serve`].
unsafe extern "C" fn forget(host: *mut c_void, token: u64) {
    // SAFETY: passed on.
    unsafe { serve(host, (), |services| services.forget(token)) }
}

/// # Safety
/// As for [`serve`]; `draft` and what it lends are alive during the call, `payload` is writable.
unsafe extern "C" fn message_new(
    host: *mut c_void,
    draft: *const Draft,
    payload: *mut *mut u8,
) -> *const abi::Message {
    if payload.is_null() {
        return std::ptr::null();
    }
    // SAFETY: passed on.
    let made = unsafe {
        with_parts(draft, |parts| serve(host, None, |services| services.message_new(parts)))
    };
    match made.flatten() {
        None => std::ptr::null(),
        Some(made) => {
            let (message, room) = made.into_raw();
            // SAFETY: not null, and writable by the library's promise.
            unsafe { payload.write(room) };
            message
        }
    }
}

/// # Safety
/// As for [`message_new`]; `base` is null or referenced by the library during the call.
unsafe extern "C" fn message_derive(
    host: *mut c_void,
    base: *const abi::Message,
    draft: *const Draft,
) -> *const abi::Message {
    // SAFETY: passed on.
    let Ok(Some(base)) = (unsafe { Lent::new(base) }) else { return std::ptr::null() };
    // SAFETY: passed on.
    let made = unsafe {
        with_parts(draft, |parts| {
            serve(host, None, |services| services.message_derive(&base, parts))
        })
    };
    made.flatten().map_or(std::ptr::null(), patchbay_slab::Message::into_raw)
}

/// # Safety
/// As for [`serve`]; `pattern` is readable during the call.
unsafe extern "C" fn subscribe(host: *mut c_void, pattern: Str, flags: u32) -> i64 {
    // SAFETY: passed on.
    let Some(pattern) = (unsafe { pattern.as_text() }) else {
        return i64::from(abi::host::publish::INVALID);
    };
    if flags != 0 {
        return i64::from(abi::host::publish::INVALID);
    }
    // SAFETY: passed on.
    match unsafe { serve(host, Err(Refused::Closed), |services| services.subscribe(pattern)) } {
        Ok(subscription) => i64::from(subscription),
        // Positive numbers are subscriptions, so a full table must not answer `FULL`, which is 1.
        Err(Refused::Full { .. }) => i64::from(abi::host::publish::DENIED),
        Err(refused) => i64::from(publishing::code(refused)),
    }
}

/// # Safety
/// As for [`serve`].
unsafe extern "C" fn unsubscribe(host: *mut c_void, subscription: i64) -> i32 {
    let Ok(subscription) = u32::try_from(subscription) else { return -1 };
    // SAFETY: passed on.
    let known = unsafe { serve(host, false, |services| services.unsubscribe(subscription)) };
    if known { 0 } else { -1 }
}

/// # Safety
/// As for [`serve`]; `path` is readable during the call, `out` is writable.
unsafe extern "C" fn config_get(host: *mut c_void, path: Str, out: *mut Buf) -> i32 {
    // SAFETY: passed on.
    let Some(path) = (unsafe { path.as_text() }) else { return -1 };
    // SAFETY: passed on.
    match unsafe { serve(host, None, |services| services.config_get(path)) } {
        Some(value) if !out.is_null() => {
            // SAFETY: not null, and writable by the library's promise.
            unsafe { out.write(lend(value)) };
            0
        }
        _ => -1,
    }
}

/// # Safety
/// As for [`serve`]; all texts are readable during the call.
unsafe extern "C" fn log(
    host: *mut c_void,
    level: u32,
    target: Str,
    file: Str,
    line: u32,
    text: Str,
) {
    let level = match level {
        abi::host::log::ERROR => LogLevel::Error,
        abi::host::log::WARN => LogLevel::Warn,
        abi::host::log::DEBUG => LogLevel::Debug,
        abi::host::log::TRACE => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    // SAFETY: passed on.
    let (target, file, text) = unsafe { (lossy(target), lossy(file), lossy(text)) };
    let line = LogLine { level, target: &target, file: &file, line, text: &text };
    // SAFETY: passed on.
    unsafe { serve(host, (), |services| services.log(&line)) }
}

/// # Safety
/// As for [`serve`]; `name` is readable during the call.
unsafe extern "C" fn metric(host: *mut c_void, kind: u32, name: Str) -> u32 {
    let kind = match kind {
        abi::host::metric::COUNTER => MetricKind::Counter,
        abi::host::metric::HISTOGRAM => MetricKind::Histogram,
        _ => MetricKind::Gauge,
    };
    // SAFETY: passed on.
    let name = unsafe { lossy(name) };
    // SAFETY: passed on.
    unsafe { serve(host, 0, |services| services.metric(kind, &name)) }
}

/// # Safety
/// As for [`serve`]; the attributes and their texts are readable during the call.
unsafe extern "C" fn metric_record(
    host: *mut c_void,
    metric: u32,
    value: f64,
    attributes: *const Header,
    nattributes: u32,
) {
    // SAFETY: passed on. Attributes that cannot be read are left out, the value counts.
    let pairs = unsafe { Pairs::read(attributes, nattributes) }.unwrap_or(Pairs::NONE);
    // SAFETY: passed on.
    unsafe { serve(host, (), |services| services.metric_record(metric, value, pairs.as_slice())) }
}

/// # Safety
/// As for [`metric_record`]; `message` is null or referenced by the library during the call,
/// `context` is null or writable.
unsafe extern "C" fn span_begin(
    host: *mut c_void,
    name: Str,
    message: *const abi::Message,
    parent: u64,
    attributes: *const Header,
    nattributes: u32,
    context: *mut Buf,
) -> u64 {
    // SAFETY: passed on.
    let (name, message, pairs) = unsafe {
        (lossy(name), Lent::new(message).unwrap_or(None), Pairs::read(attributes, nattributes))
    };
    let pairs = pairs.unwrap_or(Pairs::NONE);
    let span = SpanBegin {
        name: &name,
        message: message.as_deref(),
        parent,
        attributes: pairs.as_slice(),
    };
    // SAFETY: passed on.
    let begun = unsafe { serve(host, SpanBegun::default(), |services| services.span_begin(&span)) };
    if !context.is_null() {
        // SAFETY: not null, and writable by the library's promise.
        unsafe { context.write(begun.traceparent.map_or(Buf::EMPTY, lend)) };
    }
    begun.span
}

/// # Safety
/// As for [`serve`]; `text` is readable during the call.
unsafe extern "C" fn span_end(host: *mut c_void, span: u64, status: u32, text: Str) {
    let status = match status {
        1 => SpanStatus::Ok,
        2 => SpanStatus::Error,
        _ => SpanStatus::Unset,
    };
    // SAFETY: passed on.
    let text = unsafe { lossy(text) };
    // SAFETY: passed on.
    unsafe { serve(host, (), |services| services.span_end(span, status, &text)) }
}

/// # Safety
/// As for [`serve`]; `request` is readable during the call, its waker referenced.
unsafe extern "C" fn timer(host: *mut c_void, request: *const TimerRequest) -> u64 {
    // SAFETY: the library's promise about the request; `size` is its first field.
    let known = !request.is_null() && unsafe { has_field!(request, TimerRequest, waker) };
    if !known {
        return 0;
    }
    // SAFETY: readable in full, as just checked.
    let request = unsafe { &*request };
    // SAFETY: null or referenced, by the library's promise.
    let Some(waker) = (unsafe { waker::adopt(request.waker) }) else { return 0 };
    // SAFETY: passed on.
    let token = unsafe { serve(host, None, |services| services.timer(request.delay_ns, waker)) };
    token.map_or(0, std::num::NonZeroU64::get)
}

/// # Safety
/// As for [`serve`].
unsafe extern "C" fn timer_fired(host: *mut c_void, token: u64) -> u32 {
    // SAFETY: passed on. When the instance is over nothing may wait any more.
    u32::from(unsafe { serve(host, true, |services| services.timer_fired(token)) })
}

/// Calls `body` with the parts that a draft describes; `None` when they cannot be read.
///
/// # Safety
/// `draft` is null, or alive during the call with everything that it lends.
unsafe fn with_parts<T>(
    draft: *const Draft,
    body: impl FnOnce(&MessageParts<'_>) -> T,
) -> Option<T> {
    // SAFETY: the library's promise about the draft; `size` is its first field.
    let known = !draft.is_null() && unsafe { has_field!(draft, Draft, expires_ns) };
    if !known {
        return None;
    }
    // SAFETY: readable in full, as just checked.
    let draft = unsafe { &*draft };
    // SAFETY: lent by the library for the length of the call.
    let (topic, key, pairs) = unsafe {
        (draft.topic.as_text()?, draft.key.as_text()?, Pairs::read(draft.headers, draft.nheaders)?)
    };
    Some(body(&MessageParts {
        topic,
        key,
        headers: pairs.as_slice(),
        payload_len: draft.payload_len,
        id: u128::from(draft.id_hi) << 64 | u128::from(draft.id_lo),
        expires_ns: draft.expires_ns,
    }))
}

/// # Safety
/// `text` is readable for `'a`.
unsafe fn lossy<'a>(text: Str) -> std::borrow::Cow<'a, str> {
    // SAFETY: passed on.
    String::from_utf8_lossy(unsafe { text.as_bytes() })
}

/// Gives a text to a library, which gives it back through `free`.
fn lend(text: String) -> Buf {
    let bytes: &'static mut [u8] = Box::leak(text.into_bytes().into_boxed_slice());
    Buf { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.len(), free: Some(free_lent) }
}

/// # Safety
/// The parts are those of a [`Buf`] that [`lend`] made, given back once.
unsafe extern "C" fn free_lent(ptr: *mut u8, _len: usize, cap: usize) {
    // SAFETY: exactly the slice that was leaked.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(ptr, cap)) });
}

// === impl Pairs ===

impl<'a> Pairs<'a> {
    const NONE: Pairs<'a> = Pairs { list: [("", ""); PAIRS_MAX], len: 0 };

    /// `None` when there are too many, or one is not UTF-8.
    ///
    /// # Safety
    /// `count` headers at `first` and their texts are readable for `'a`.
    unsafe fn read(first: *const Header, count: u32) -> Option<Pairs<'a>> {
        let mut pairs = Pairs::NONE;
        let count = count as usize;
        if count > PAIRS_MAX || (count > 0 && first.is_null()) {
            return None;
        }
        for (index, pair) in pairs.list.iter_mut().enumerate().take(count) {
            // SAFETY: inside the list that the library lends.
            let header = unsafe { first.add(index).read() };
            // SAFETY: lent with the list.
            *pair = unsafe { (header.name.as_text()?, header.value.as_text()?) };
        }
        pairs.len = count;
        Some(pairs)
    }

    fn as_slice(&self) -> &[(&'a str, &'a str)] {
        &self.list[..self.len]
    }
}
