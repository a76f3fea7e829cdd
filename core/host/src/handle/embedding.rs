//! For a program that has the host inside it: a publisher without the way through a request.

use patchbay_bus::Publisher;

use super::HostHandle;

// === impl HostHandle ===

impl HostHandle {
    /// A publisher of its own for a thread of the program that started the host, on behalf of
    /// `principal`. It is part of the host: it may publish to any topic, and where a queue says
    /// `block` it waits on the calling thread, so never call it on a runtime's.
    #[must_use]
    pub fn publisher(&self, principal: &str) -> Publisher {
        self.context().broker.publisher(principal)
    }
}
