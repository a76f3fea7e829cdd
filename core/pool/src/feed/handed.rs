//! A delivery, as a handler gets it.

use patchbay_bus::Delivery;
use patchbay_slab::Message;

use super::place::Place;

/// A delivery whose call has begun. Lent: a call that is suspended keeps a reference of its own to
/// the message, or relies on the feed, which keeps one until the call is completed.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'a> {
    place: &'a Place,
    index: usize,
}

// === impl Handed ===

impl<'a> Handed<'a> {
    pub(super) fn new(place: &'a Place, index: usize) -> Handed<'a> {
        Handed { place, index }
    }

    fn delivery(&self) -> &'a Delivery {
        &self.place.seat.deliveries()[self.index]
    }

    /// The message.
    pub fn message(&self) -> &'a Message {
        self.delivery().message()
    }

    /// The same for every attempt of one message at one subscription.
    pub fn id(&self) -> u64 {
        self.delivery().id()
    }

    /// 1 for the first hand-off.
    pub fn attempt(&self) -> u32 {
        self.delivery().attempt()
    }

    /// Hash of the ordering key; 0 = none.
    pub fn key_hash(&self) -> u64 {
        self.delivery().key_hash()
    }

    /// When the subscription accepted the message, nanoseconds since the Unix epoch.
    pub fn accepted_unix_ns(&self) -> u64 {
        self.place.seat.accepted_unix_ns(self.delivery())
    }

    /// The subscription, as the bus names it.
    pub fn queue(&self) -> u32 {
        self.place.queue
    }

    /// Whether a journal has the delivery.
    pub fn is_durable(&self) -> bool {
        self.delivery().is_durable()
    }

    /// Number of the subscription within the plugin.
    pub fn subscription(&self) -> u32 {
        self.place.number
    }
}
