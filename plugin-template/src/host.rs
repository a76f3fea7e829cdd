//! The host's services, one safe method each.
//!
//! All `unsafe` calls from the library into the host are in this file. What is absent: policy. A
//! method does what the table's function does, with Rust's types in front.

use std::{any::Any, ffi::c_void, ptr, sync::Arc};

use patchbay_abi::{
    Buf, Draft, Header, Host, Publish, PublishMany, Str, TimerRequest, Waker, has_field,
    host::publish as code,
};

use crate::message::Message;

/// The table and the context that goes with it. Valid until the instance is destroyed, which is
/// after every call ended and every thread of the library that the kit knows of was joined.
///
/// The table of an older host is shorter than [`Host`]: its functions are read one by one, and there is
/// never a reference to the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostRef {
    table: *const Host,
    context: *mut c_void,
}

/// An instance's connection to its host, shared by everything made from its context.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) host: HostRef,
    /// Publishes of an own loop that wait for room.
    #[cfg(feature = "tokio")]
    pub(crate) tokens: crate::own_loop::Tokens,
    /// Keeps a host alive that lives in this process only for a test.
    _keep: Option<Arc<dyn Any + Send + Sync>>,
}

/// What the host said to a publish.
pub(crate) struct PublishAnswer {
    /// One of [`patchbay_abi::host::publish`].
    pub(crate) code: i32,
    pub(crate) routed: u32,
    /// With `FULL`, when it was asked for: what will be reported as ready.
    #[cfg(feature = "tokio")]
    pub(crate) token: u64,
}

// SAFETY: the table is immutable and its functions may be called on any thread, by contract.
unsafe impl Send for HostRef {}
// SAFETY: as above.
unsafe impl Sync for HostRef {}

// === impl Link ===

impl Link {
    pub(crate) fn new(host: HostRef, keep: Option<Arc<dyn Any + Send + Sync>>) -> Arc<Self> {
        Arc::new(Link {
            host,
            #[cfg(feature = "tokio")]
            tokens: crate::own_loop::Tokens::default(),
            _keep: keep,
        })
    }
}

// === impl HostRef ===

impl HostRef {
    /// # Safety
    /// The table and its context follow the contract, and stay valid for as long as anything made
    /// from the value is in use.
    pub(crate) unsafe fn new(table: *const Host, context: *mut c_void) -> Self {
        HostRef { table, context }
    }

    /// Whether both are the same host, seen from the same instance.
    pub(crate) fn is(self, other: HostRef) -> bool {
        ptr::eq(self.table, other.table) && ptr::eq(self.context, other.context)
    }

    /// Whether the table reaches as far as that of 1.0. What came later is asked for where it is used.
    pub(crate) fn is_complete(self) -> bool {
        // SAFETY: the table is valid and begins with its size, by the promise of `new`.
        unsafe { has_field!(self.table, Host, timer_fired) }
    }

    /// The reference in `message` is consumed only when the code is `ACCEPTED`.
    pub(crate) fn publish(
        self,
        message: &Message,
        cause: *const patchbay_abi::Message,
        flags: u32,
        waker: *const Waker,
    ) -> PublishAnswer {
        let mut request = Publish {
            size: size_of::<Publish>() as u32,
            flags,
            message: message.as_raw(),
            cause,
            waker,
            token: 0,
            routed: 0,
            reserved: 0,
        };
        // SAFETY: the pointers are valid for the call: `message` is borrowed, `cause` and `waker`
        // belong to the call that is being polled or are null.
        let code = unsafe { ((*self.table).publish)(self.context, &raw mut request) };
        PublishAnswer {
            code,
            routed: request.routed,
            #[cfg(feature = "tokio")]
            token: request.token,
        }
    }

    /// Publishes at most [`code::MANY_MAX`] messages from the front: how many were accepted, whose
    /// references are consumed, and what the host says of the rest. A host of 1.0 gets them one by one.
    pub(crate) fn publish_many(
        self,
        messages: &[Message],
        cause: *const patchbay_abi::Message,
        flags: u32,
        waker: *const Waker,
    ) -> (usize, PublishAnswer) {
        // SAFETY: the table is valid and begins with its size, by the promise of `new`.
        if !unsafe { has_field!(self.table, Host, publish_many) } {
            return self.publish_each(messages, cause, flags, waker);
        }
        let list: Vec<*const patchbay_abi::Message> =
            messages.iter().map(Message::as_raw).collect();
        let mut request = PublishMany {
            size: size_of::<PublishMany>() as u32,
            flags,
            messages: list.as_ptr(),
            count: list.len() as u32,
            accepted: 0,
            cause,
            waker,
            token: 0,
        };
        // SAFETY: as for `publish`; the list lives as long as the call.
        let code = unsafe { ((*self.table).publish_many)(self.context, &raw mut request) };
        let answer = PublishAnswer {
            code,
            routed: 0,
            #[cfg(feature = "tokio")]
            token: request.token,
        };
        (request.accepted as usize, answer)
    }

    fn publish_each(
        self,
        messages: &[Message],
        cause: *const patchbay_abi::Message,
        flags: u32,
        waker: *const Waker,
    ) -> (usize, PublishAnswer) {
        let mut answer = PublishAnswer {
            code: code::ACCEPTED,
            routed: 0,
            #[cfg(feature = "tokio")]
            token: 0,
        };
        for (accepted, message) in messages.iter().enumerate() {
            answer = self.publish(message, cause, flags, waker);
            if answer.code != code::ACCEPTED {
                return (accepted, answer);
            }
        }
        (messages.len(), answer)
    }

    pub(crate) fn forget(self, token: u64) {
        // SAFETY: a token is a number; a stale one is ignored.
        unsafe { ((*self.table).forget)(self.context, token) }
    }

    /// A message, and the room for its payload, which nobody else sees yet.
    pub(crate) fn message_new(self, draft: &Draft) -> Option<(Message, *mut u8)> {
        let mut room = ptr::null_mut();
        // SAFETY: the draft borrows what the caller holds; the room is written by the host.
        let raw = unsafe { ((*self.table).message_new)(self.context, draft, &raw mut room) };
        // SAFETY: not null means one reference for us.
        unsafe { Message::from_raw(raw) }.map(|message| (message, room))
    }

    pub(crate) fn message_derive(self, base: &Message, draft: &Draft) -> Option<Message> {
        // SAFETY: as for `message_new`; `base` is borrowed.
        let raw = unsafe { ((*self.table).message_derive)(self.context, base.as_raw(), draft) };
        // SAFETY: not null means one reference for us.
        unsafe { Message::from_raw(raw) }
    }

    pub(crate) fn subscribe(self, pattern: &str) -> i64 {
        // SAFETY: the pattern is borrowed for the call.
        unsafe { ((*self.table).subscribe)(self.context, Str::new(pattern), 0) }
    }

    pub(crate) fn unsubscribe(self, subscription: i64) -> i32 {
        // SAFETY: a number; an unknown one is refused.
        unsafe { ((*self.table).unsubscribe)(self.context, subscription) }
    }

    pub(crate) fn config(self, path: &str) -> Option<Vec<u8>> {
        let mut text = Buf::EMPTY;
        // SAFETY: the path is borrowed for the call, and the host fills the buffer.
        let code =
            unsafe { ((*self.table).config_get)(self.context, Str::new(path), &raw mut text) };
        let bytes = take(text);
        (code == 0).then_some(bytes)
    }

    pub(crate) fn log(self, level: u32, target: &str, file: &str, line: u32, text: &str) {
        let (target, file, text) = (Str::new(target), Str::new(file), Str::new(text));
        // SAFETY: borrowed for the call.
        unsafe { ((*self.table).log)(self.context, level, target, file, line, text) }
    }

    pub(crate) fn metric(self, kind: u32, name: &str) -> u32 {
        // SAFETY: borrowed for the call.
        unsafe { ((*self.table).metric)(self.context, kind, Str::new(name)) }
    }

    pub(crate) fn record(self, metric: u32, value: f64, attributes: &[Header]) {
        let (first, count) = (attributes.as_ptr(), attributes.len() as u32);
        // SAFETY: borrowed for the call.
        unsafe { ((*self.table).metric_record)(self.context, metric, value, first, count) }
    }

    /// The span's id and its `traceparent`.
    pub(crate) fn span_begin(
        self,
        name: &str,
        message: *const patchbay_abi::Message,
        parent: u64,
        attributes: &[Header],
    ) -> (u64, Vec<u8>) {
        let mut context = Buf::EMPTY;
        // SAFETY: borrowed for the call; `message` is that of the running call, or null.
        let span = unsafe {
            ((*self.table).span_begin)(
                self.context,
                Str::new(name),
                message,
                parent,
                attributes.as_ptr(),
                attributes.len() as u32,
                &raw mut context,
            )
        };
        (span, take(context))
    }

    pub(crate) fn span_end(self, span: u64, status: u32, text: &str) {
        // SAFETY: borrowed for the call.
        unsafe { ((*self.table).span_end)(self.context, span, status, Str::new(text)) }
    }

    /// # Safety
    /// `waker` is the host's waker of the running call.
    pub(crate) unsafe fn timer(self, delay_ns: u64, waker: *const Waker) -> u64 {
        let request =
            TimerRequest { size: size_of::<TimerRequest>() as u32, flags: 0, delay_ns, waker };
        // SAFETY: borrowed for the call; the waker is valid by the caller's promise.
        unsafe { ((*self.table).timer)(self.context, &raw const request) }
    }

    pub(crate) fn timer_fired(self, token: u64) -> bool {
        // SAFETY: a number.
        unsafe { ((*self.table).timer_fired)(self.context, token) == 1 }
    }
}

/// Copies bytes of the host and gives them back.
fn take(mut buf: Buf) -> Vec<u8> {
    // SAFETY: filled by the host, or still empty.
    let bytes = unsafe { buf.as_str().as_bytes() }.to_vec();
    // SAFETY: released once, and the host is there.
    unsafe { buf.release() };
    bytes
}
