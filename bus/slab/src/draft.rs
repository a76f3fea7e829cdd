//! A message whose payload is still being written.

use std::{fmt, mem, ptr::NonNull, slice};

use patchbay_abi as abi;

use crate::{envelope::Envelope, message::Message};

/// A message with room for a payload. Owned alone until it is frozen.
pub struct Draft {
    message: Message,
    payload: NonNull<u8>,
    len: usize,
}

// SAFETY: the only reference to an envelope, whose memory may be written on any one thread.
unsafe impl Send for Draft {}
// SAFETY: a shared draft can only be formatted.
unsafe impl Sync for Draft {}

// === impl Draft ===

impl Draft {
    /// # Safety
    /// `envelope` is filled and has one reference, which is handed over; `payload` and `len` are its
    /// own, initialised payload.
    pub(crate) unsafe fn new(
        envelope: NonNull<Envelope>,
        payload: NonNull<u8>,
        len: usize,
    ) -> Draft {
        // SAFETY: passed on.
        Draft { message: unsafe { Message::from_envelope(envelope) }, payload, len }
    }

    /// The room for the payload. Its content is whatever an earlier message of this publisher left.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        // SAFETY: initialised memory inside the envelope (or its box), which nobody else refers to
        // before the draft is frozen: the head stores the address as a raw pointer only.
        unsafe { slice::from_raw_parts_mut(self.payload.as_ptr(), self.len) }
    }

    /// Ends writing.
    #[must_use]
    pub fn freeze(self) -> Message {
        self.message
    }

    /// Gives the message and the room for its payload (never null) to a library, which writes the
    /// payload before it shares the message. Take it back by [`Message::from_raw`].
    #[must_use]
    pub fn into_raw(self) -> (*const abi::Message, *mut u8) {
        let raw = self.message.as_ptr();
        let payload = self.payload.as_ptr();
        mem::forget(self);
        (raw, payload)
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("topic", &self.message.topic())
            .field("room", &self.len)
            .finish()
    }
}
