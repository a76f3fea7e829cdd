//! Messages that come back from a library.

use std::{mem::ManuallyDrop, ops::Deref, sync::OnceLock};

use patchbay_abi as abi;
use patchbay_slab::{Message, Parts, Slab};

/// A message that a library holds a reference of, for the length of its call.
#[derive(Debug)]
pub struct Lent(ManuallyDrop<Message>);

/// A pointer that is not a message of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that is not of this host")]
pub(crate) struct Foreign;

/// Whether the message was made by this host: they all share one table of functions.
///
/// # Safety
/// `message` points to a message, of this host or not.
unsafe fn is_ours(message: *const abi::Message) -> bool {
    static OPS: OnceLock<usize> = OnceLock::new();
    let ours = *OPS.get_or_init(|| {
        let sample = Slab::new().message(&Parts::default(), &[]);
        // SAFETY: a live message of this host.
        unsafe { (*sample.as_ptr()).ops }.addr()
    });
    // SAFETY: passed on.
    unsafe { (*message).ops }.addr() == ours
}

/// Takes over a reference that a library gives; `None` for null.
///
/// # Safety
/// `message` is null, or points to a message of which the caller owns a reference.
pub(crate) unsafe fn adopt(message: *const abi::Message) -> Result<Option<Message>, Foreign> {
    if message.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on. One of somebody else is left alone: it is not ours to free.
    if !unsafe { is_ours(message) } {
        return Err(Foreign);
    }
    // SAFETY: of this host, with a reference that is handed over.
    Ok(Some(unsafe { Message::from_raw(message) }))
}

// === impl Lent ===

impl Lent {
    /// Borrows a message that a library holds; `None` for null.
    ///
    /// # Safety
    /// `message` is null, or points to a message that stays referenced for the life of the result.
    pub(crate) unsafe fn new(message: *const abi::Message) -> Result<Option<Lent>, Foreign> {
        // SAFETY: passed on; the reference that `adopt` assumes is never dropped.
        let message = unsafe { adopt(message) }?;
        Ok(message.map(|message| Lent(ManuallyDrop::new(message))))
    }

    /// Takes the reference over that the library gives up.
    pub(crate) fn consume(self) -> Message {
        ManuallyDrop::into_inner(self.0)
    }
}

impl Deref for Lent {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}
