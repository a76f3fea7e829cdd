//! What became of a call, as the host sees it.

use std::time::Duration;

use patchbay_abi::{
    Outcome,
    outcome::{class, code},
};

use crate::{error::PluginError, message::Message};

/// How a call ended, read from the outcome that crossed the boundary.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Handled {
    /// [`Acknowledged`](crate::ProcessingStatus::Acknowledged); of a control call, its reply.
    Acknowledged(String),
    /// [`RetryLater`](crate::ProcessingStatus::RetryLater).
    RetryLater(Duration),
    /// [`Failed`](crate::ProcessingStatus::Failed).
    Failed(String),
    /// [`Forward`](crate::ProcessingStatus::Forward).
    Forward(String, Message),
    /// The handler returned an error.
    Error(PluginError),
    /// The handler panicked, with this text.
    Panicked(String),
    /// The call was dropped because the host asked for it.
    Cancelled,
    /// An outcome that makes no sense.
    Unknown(u32),
}

// === impl Handled ===

impl Handled {
    /// Whether the message is dealt with.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Handled::Acknowledged(_))
    }

    /// Reads an outcome and frees what it owns.
    ///
    /// # Safety
    /// The outcome was filled by the library's side, and is not used again.
    pub(crate) unsafe fn read(outcome: &mut Outcome) -> Handled {
        // SAFETY: filled according to the contract.
        let text = unsafe { outcome.text.as_str().as_bytes() };
        let text = String::from_utf8_lossy(text).into_owned();
        // SAFETY: copied above, and freed by the side that made it.
        unsafe { outcome.text.release() };
        // SAFETY: null, or a reference that goes to the reader.
        let message = unsafe { Message::from_raw(outcome.message) };
        match (outcome.code, message) {
            (code::ACK, _) => Handled::Acknowledged(text),
            (code::RETRY, _) => Handled::RetryLater(Duration::from_nanos(outcome.delay_ns)),
            (code::FAILED, _) => Handled::Failed(text),
            (code::FORWARD, Some(message)) => Handled::Forward(text, message),
            (code::ERROR, _) => Handled::Error(match outcome.class {
                class::TRANSIENT => PluginError::transient(text),
                class::INVALID_DATA => PluginError::invalid_data(text),
                _ => PluginError::permanent(text),
            }),
            (code::PANIC, _) => Handled::Panicked(text),
            (code::CANCELLED, _) => Handled::Cancelled,
            (other, _) => Handled::Unknown(other),
        }
    }
}
