//! What a call has to say.

use core::ptr;

use crate::{message::Message, text::Buf};

/// How a call ended. Zeroed by the caller ([`Outcome::EMPTY`]), filled by the callee.
#[repr(C)]
#[derive(Debug)]
pub struct Outcome {
    /// One of [`code`].
    pub code: u32,
    /// With [`code::ERROR`]: one of [`class`].
    pub class: u32,
    /// With [`code::RETRY`]: not before this many nanoseconds. The host clamps it.
    pub delay_ns: u64,
    /// With [`code::FORWARD`]: the message to forward; one reference goes to the reader.
    pub message: *const Message,
    /// [`code::FORWARD`]: the topic to forward to. [`code::FAILED`], [`code::ERROR`],
    /// [`code::PANIC`]: the reason. [`code::ACK`] of a control call: its reply.
    pub text: Buf,
    /// Reserved, 0.
    pub reserved: u64,
}

/// Values of [`Outcome::code`].
pub mod code {
    /// Done.
    pub const ACK: u32 = 0;
    /// Again, not before a delay.
    pub const RETRY: u32 = 1;
    /// Never again: dead letter, with the reason.
    pub const FAILED: u32 = 2;
    /// Done here; the message goes on to another topic.
    pub const FORWARD: u32 = 3;
    /// The handler returned an error.
    pub const ERROR: u32 = 4;
    /// The handler panicked.
    pub const PANIC: u32 = 5;
    /// The call was dropped because the host asked for it.
    pub const CANCELLED: u32 = 6;
}

/// Values of [`Outcome::class`].
pub mod class {
    /// May pass if tried again.
    pub const TRANSIENT: u32 = 0;
    /// Will not pass.
    pub const PERMANENT: u32 = 1;
    /// The message itself is at fault.
    pub const INVALID_DATA: u32 = 2;
}

impl Outcome {
    /// What the caller passes in.
    pub const EMPTY: Outcome = Outcome {
        code: code::ACK,
        class: 0,
        delay_ns: 0,
        message: ptr::null(),
        text: Buf::EMPTY,
        reserved: 0,
    };
}

// SAFETY: owns its text and its reference, both of which may be given back on any thread.
unsafe impl Send for Outcome {}
