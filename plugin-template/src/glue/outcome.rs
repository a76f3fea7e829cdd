//! What a call says, as it crosses the boundary.

use std::{mem::ManuallyDrop, time::Duration};

use patchbay_abi::{Buf, Outcome, outcome::code};

use crate::{error::PluginError, status::ProcessingStatus};

/// What a control call answers.
#[derive(Debug)]
pub(crate) enum Reply {
    Done,
    Bytes(Vec<u8>),
    Unhealthy(String),
}

/// Something that can be written into an outcome.
pub(crate) trait Answer {
    fn write(self, outcome: &mut Outcome);
}

impl Answer for ProcessingStatus {
    fn write(self, outcome: &mut Outcome) {
        match self {
            ProcessingStatus::Acknowledged => outcome.code = code::ACK,
            ProcessingStatus::RetryLater(delay) => {
                outcome.code = code::RETRY;
                outcome.delay_ns = nanoseconds(delay);
            }
            ProcessingStatus::Failed(reason) => text(outcome, code::FAILED, reason.into_bytes()),
            ProcessingStatus::Forward(topic, message) => {
                outcome.message = message.into_raw();
                text(outcome, code::FORWARD, topic.into_bytes());
            }
        }
    }
}

impl Answer for Reply {
    fn write(self, outcome: &mut Outcome) {
        match self {
            Reply::Done => outcome.code = code::ACK,
            Reply::Bytes(bytes) => text(outcome, code::ACK, bytes),
            Reply::Unhealthy(why) => text(outcome, code::FAILED, why.into_bytes()),
        }
    }
}

impl<A: Answer> Answer for Result<A, PluginError> {
    fn write(self, outcome: &mut Outcome) {
        match self {
            Ok(answer) => answer.write(outcome),
            Err(error) => {
                let (class, reason) = error.into_parts();
                outcome.class = class;
                text(outcome, code::ERROR, reason.into_bytes());
            }
        }
    }
}

/// Writes that the call panicked.
#[cold]
pub(crate) fn panicked(outcome: &mut Outcome, reason: String) {
    text(outcome, code::PANIC, reason.into_bytes());
}

fn nanoseconds(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}

/// Hands the bytes over with the function that frees them.
fn text(outcome: &mut Outcome, code: u32, bytes: Vec<u8>) {
    outcome.code = code;
    if bytes.capacity() == 0 {
        return;
    }
    let mut bytes = ManuallyDrop::new(bytes);
    outcome.text =
        Buf { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: Some(free) };
}

unsafe extern "C" fn free(ptr: *mut u8, len: usize, cap: usize) {
    let _contained = super::panic::contain(|| {
        // SAFETY: the parts of a vector that `text` took apart, given back once.
        drop(unsafe { Vec::from_raw_parts(ptr, len, cap) });
    });
}
