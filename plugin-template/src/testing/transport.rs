//! What carries messages in a test.

use std::{fmt, sync::Arc};

use patchbay_slab::Message;

use super::handled::Handled;

/// What carries the messages of a [`TestHost`](super::TestHost): [`MockTransport`](super::MockTransport)
/// or [`LocalTransport`](super::LocalTransport).
pub trait MessageTransport: fmt::Debug + Send + Sync + 'static {
    /// Accepts a message: for how many subscriptions.
    #[doc(hidden)]
    fn accept(&self, message: &Message, cause: Option<&Message>) -> Result<u32, Refused>;

    /// Adds a subscription of the plugin behind `inlet`: its number, or one of
    /// [`patchbay_abi::host::publish`].
    #[doc(hidden)]
    fn add_subscription(&self, owner: &str, pattern: &str, inlet: Inlet) -> Result<i64, i32>;

    /// Removes a subscription. Whether there was one.
    #[doc(hidden)]
    fn remove_subscription(&self, subscription: i64) -> bool;
}

/// Why a message was not accepted.
pub enum Refused {
    /// There is no room. What is passed to the function is called once, when there may be some.
    Full(Box<dyn FnOnce(Then) + Send>),
    /// One of [`patchbay_abi::host::publish`].
    Code(i32),
}

/// What is done when there is room.
pub(crate) type Then = Box<dyn FnOnce() + Send>;

/// Where messages for a plugin go: its lanes.
pub(crate) type Inlet = Arc<dyn Fn(Incoming) + Send + Sync>;

/// One hand-off.
pub struct Incoming {
    pub(crate) message: Message,
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) accepted_ns: u64,
    pub(crate) subscription: u32,
    pub(crate) done: Box<dyn FnOnce(Handled) + Send>,
}

// === impl Refused ===

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Full(_) => f.write_str("Full"),
            Refused::Code(code) => f.debug_tuple("Code").field(code).finish(),
        }
    }
}

// === impl Incoming ===

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("message", &self.message)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
