//! What a publish is about to write is brought near before it is locked: a lane, on another core, has
//! written it last as a rule, and whoever publishes to several waits for all of them at once.

use patchbay_slab::fetch_to_write;

use super::inbox::{Inbox, InboxState};
use crate::delivery::Delivery;

/// What every publish reads and writes of an inbox, from its beginning.
const HOT_BYTES: usize = 96;
/// How many deliveries before it is filled a place is fetched.
const AHEAD: usize = 3;

// === impl Inbox ===

impl Inbox {
    /// Somebody will publish here soon.
    #[inline]
    pub(crate) fn fetch(&self) {
        fetch_to_write::<HOT_BYTES, _>(&self.state);
    }
}

// === impl InboxState ===

impl InboxState {
    /// Puts a delivery behind the others. More will come soon.
    #[inline]
    pub(super) fn put(&mut self, delivery: Delivery) {
        self.buffer.push(delivery);
        if let Some(place) = self.buffer.spare_capacity_mut().get(AHEAD) {
            fetch_to_write::<{ size_of::<Delivery>() }, _>(place);
        }
    }
}
