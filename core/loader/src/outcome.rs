//! How a call ended, in safe terms.
//!
//! Made on the lane, from what the library wrote: every text is copied and the library's own freed
//! before anybody else sees the value. Whatever the contract does not allow becomes
//! [`Outcome::Invalid`], never undefined behaviour.

use std::{ops::Deref, slice};

use patchbay_abi as abi;
use patchbay_slab::Message;

use crate::messages;

/// How a call ended. Exactly one is reported for each call that was begun.
#[derive(Debug)]
pub enum Outcome {
    /// Done. A control call may carry a reply, of any bytes.
    Ack(Option<Vec<u8>>),
    /// Again, not before this many nanoseconds. As the library said it: not clamped.
    Retry(u64),
    /// Never again: dead letter, with the reason.
    Failed(String),
    /// Done here; the message goes on to another topic, which is not checked yet.
    Forward {
        /// Where to, as the library said it.
        topic: String,
        /// What goes on.
        message: Message,
    },
    /// The handler returned an error.
    Error {
        /// What kind of error.
        class: ErrorClass,
        /// What it says.
        text: String,
    },
    /// The handler panicked; the panic was caught inside the library.
    Panic(String),
    /// The call was dropped because the source asked for it.
    Cancelled,
    /// The library answered something outside the contract, or ended its loop without an answer.
    Invalid(String),
}

/// What a library says about an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May pass if tried again.
    Transient,
    /// Will not pass.
    Permanent,
    /// The message itself is at fault.
    InvalidData,
}

/// How long a text of one call may be, in bytes. A longer reason is cut off; a longer reply would
/// be another reply, and a longer topic another topic, so those are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextLimit {
    /// For a delivery, whose acknowledgement carries no text.
    Reason(usize),
    /// For a control call.
    Reply(usize),
}

/// A forward as the library wrote it.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) topic: LentText,
    pub(crate) message: Message,
}

/// A text that is still the library's, which gets it back when this is dropped: on the lane, while
/// the library is mapped.
#[derive(Debug)]
pub(crate) struct LentText(abi::Buf);

/// What a library wrote, copied.
struct Text {
    bytes: Vec<u8>,
    /// Its length, when it was longer than the limit.
    cut_from: Option<usize>,
}

// === impl Outcome ===

impl Outcome {
    /// Takes over what a library wrote, and leaves [`abi::Outcome::EMPTY`]: text and message are
    /// owned by the result or given back, whatever the code is.
    ///
    /// # Safety
    /// `raw` was filled by a library that is still mapped, after the call it belongs to was over,
    /// on a thread of that library's generation.
    pub(crate) unsafe fn take(raw: &mut abi::Outcome, limit: TextLimit) -> Outcome {
        let raw_code = raw.code;
        let class = raw.class;
        let delay_ns = raw.delay_ns;
        // SAFETY: the caller vouches that a message, when there is one, comes with a reference.
        let message = unsafe { messages::adopt(raw.message) };
        // SAFETY: passed on.
        let text = unsafe { take_text(&mut raw.text, limit) };
        *raw = abi::Outcome::EMPTY;
        let Some(Text { bytes, cut_from }) = text else {
            return Outcome::Invalid("a text without bytes".to_owned());
        };
        let is_whole = matches!(limit, TextLimit::Reply(_)) && raw_code == abi::outcome::code::ACK
            || raw_code == abi::outcome::code::FORWARD;
        if let (Some(len), true) = (cut_from, is_whole) {
            let max = limit.bytes();
            return Outcome::Invalid(format!("a text of {len} bytes, over the limit of {max}"));
        }
        if raw_code == abi::outcome::code::ACK {
            return Outcome::Ack(Some(bytes).filter(|bytes| !bytes.is_empty()));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        match raw_code {
            abi::outcome::code::RETRY => Outcome::Retry(delay_ns),
            abi::outcome::code::FAILED => Outcome::Failed(text),
            abi::outcome::code::FORWARD => match message {
                Ok(Some(message)) => Outcome::Forward { topic: text, message },
                Ok(None) => Outcome::Invalid("a forward without a message".to_owned()),
                Err(foreign) => Outcome::Invalid(format!("a forward of {foreign}")),
            },
            abi::outcome::code::ERROR => {
                Outcome::Error { class: ErrorClass::from_raw(class), text }
            }
            abi::outcome::code::PANIC => Outcome::Panic(text),
            abi::outcome::code::CANCELLED => Outcome::Cancelled,
            unknown => Outcome::Invalid(format!("an outcome of unknown code {unknown}")),
        }
    }

    /// Whether a call in a slot ended with an acknowledgement and nothing that has to be given back: so
    /// do nearly all.
    #[inline]
    pub(crate) fn is_plain(state: u32, raw: &abi::Outcome) -> bool {
        state == abi::state::READY
            && raw.code == abi::outcome::code::ACK
            && raw.message.is_null()
            && raw.text.ptr.is_null()
            && raw.text.free.is_none()
    }

    /// A call in a slot that ended with a forward which is as it should be: taken over without a copy
    /// of its topic. `None` = anything else, and nothing was touched.
    ///
    /// # Safety
    /// As for [`Outcome::after`]; the result is dropped on this thread, before the library is called
    /// again.
    #[inline]
    pub(crate) unsafe fn forward(
        state: u32,
        raw: &mut abi::Outcome,
        limit: TextLimit,
    ) -> Option<Forward> {
        let is_forward = state == abi::state::READY && raw.code == abi::outcome::code::FORWARD;
        if !is_forward || raw.text.ptr.is_null() || raw.text.len > limit.bytes() {
            return None;
        }
        // SAFETY: the library wrote them there and has not freed them.
        str::from_utf8(unsafe { raw.text.as_str().as_bytes() }).ok()?;
        // SAFETY: the caller vouches that a message, when there is one, comes with a reference.
        let message = unsafe { messages::adopt(raw.message) }.ok()??;
        let text = std::mem::replace(raw, abi::Outcome::EMPTY).text;
        Some(Forward { topic: LentText(text), message })
    }

    /// What a call in a slot left behind, by the state that it returned.
    ///
    /// # Safety
    /// As for [`Outcome::take`]; `state` is what the call returned, and not `PENDING`.
    #[inline]
    pub(crate) unsafe fn after(state: u32, raw: &mut abi::Outcome, limit: TextLimit) -> Outcome {
        if Outcome::is_plain(state, raw) {
            return Outcome::Ack(None);
        }
        // SAFETY: passed on.
        unsafe { Outcome::after_all(state, raw, limit) }
    }

    /// # Safety
    /// As for [`Outcome::after`].
    #[cold]
    pub(crate) unsafe fn after_all(
        state: u32,
        raw: &mut abi::Outcome,
        limit: TextLimit,
    ) -> Outcome {
        // SAFETY: passed on.
        let outcome = unsafe { Outcome::take(raw, limit) };
        match (state, outcome) {
            (abi::state::READY, outcome) | (_, outcome @ Outcome::Invalid(_)) => outcome,
            (abi::state::PANICKED, Outcome::Panic(text) | Outcome::Error { text, .. }) => {
                Outcome::Panic(text)
            }
            (abi::state::PANICKED, _) => Outcome::Panic(String::new()),
            (abi::state::ERROR, error @ Outcome::Error { .. }) => error,
            (abi::state::ERROR, _) => {
                Outcome::Error { class: ErrorClass::Permanent, text: String::new() }
            }
            (unknown, _) => Outcome::Invalid(format!("a call in unknown state {unknown}")),
        }
    }
}

// === impl ErrorClass ===

impl ErrorClass {
    /// A class that this host does not know counts as transient: it costs a few attempts instead
    /// of a message.
    fn from_raw(class: u32) -> ErrorClass {
        match class {
            abi::outcome::class::PERMANENT => ErrorClass::Permanent,
            abi::outcome::class::INVALID_DATA => ErrorClass::InvalidData,
            _ => ErrorClass::Transient,
        }
    }
}

// === impl LentText ===

impl Deref for LentText {
    type Target = str;

    fn deref(&self) -> &str {
        // SAFETY: the library's until the drop, and UTF-8: looked at by `Outcome::forward`.
        unsafe { str::from_utf8_unchecked(self.0.as_str().as_bytes()) }
    }
}

impl Drop for LentText {
    fn drop(&mut self) {
        // SAFETY: filled by a library that is still mapped, on one of its threads.
        unsafe { self.0.release() };
    }
}

// === impl TextLimit ===

impl TextLimit {
    fn bytes(self) -> usize {
        let (TextLimit::Reason(bytes) | TextLimit::Reply(bytes)) = self;
        bytes
    }
}

/// Copies the text of a library and frees the original. `None` for a length without bytes.
///
/// # Safety
/// As for [`Outcome::take`].
unsafe fn take_text(raw: &mut abi::Buf, limit: TextLimit) -> Option<Text> {
    let (ptr, len) = (raw.ptr, raw.len);
    let text = if len == 0 {
        Some(Text { bytes: Vec::new(), cut_from: None })
    } else if ptr.is_null() {
        None
    } else {
        let kept = len.min(limit.bytes());
        // SAFETY: the library wrote `len` bytes there and has not freed them.
        let bytes = unsafe { slice::from_raw_parts(ptr, kept) };
        Some(Text { bytes: bytes.to_vec(), cut_from: (kept < len).then_some(len) })
    };
    // SAFETY: filled by a library that is still mapped, on one of its threads.
    unsafe { raw.release() };
    text
}
