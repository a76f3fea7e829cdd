//! One message for one subscription.

use patchbay_slab::Message;

/// This delivery is what holds its key back.
const HOLDS: u32 = 1 << 31;
/// The desk keeps a history of it.
const TROUBLED: u32 = 1 << 30;
/// Its next attempt comes out of the retry budget.
const BUDGETED: u32 = 1 << 29;
/// A version on trial has failed it: it goes to the other one.
const TRIED: u32 = 1 << 28;
/// The journal has it: what becomes of it is recorded.
const DURABLE: u32 = 1 << 27;
const FLAGS: u32 = HOLDS | TROUBLED | BUDGETED | TRIED | DURABLE;
/// Largest message that a delivery can count.
pub(crate) const SIZE_MAX: usize = !FLAGS as usize;

/// One message for one subscription. Small, and in exactly one container at any time.
#[derive(Clone, Debug)]
pub struct Delivery {
    message: Message,
    id: u64,
    key: u64,
    accepted: u64,
    attempts: u32,
    /// Size of the message, and the flags above.
    size: u32,
}

/// A delivery whose message is in the journal only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bookmark {
    /// Where the message is.
    pub(crate) place: u64,
    pub(crate) id: u64,
    pub(crate) key: u64,
    /// 0 = as the journal says.
    accepted: u64,
    pub(crate) attempts: u32,
    size: u32,
}

// === impl Delivery ===

impl Delivery {
    #[inline]
    pub(crate) fn new(message: Message, id: u64, key: u64, accepted: u64) -> Delivery {
        let size = message.size().min(SIZE_MAX) as u32;
        Delivery { message, id, key, accepted, attempts: 0, size }
    }

    /// The message.
    #[must_use]
    #[inline]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The same for every attempt; gapless in the order of acceptance, per subscription.
    #[must_use]
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Number of this hand-off: 1 for the first.
    #[must_use]
    #[inline]
    pub fn attempt(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// Hash of the ordering key as this subscription sees it; 0 = none.
    #[must_use]
    #[inline]
    pub fn key_hash(&self) -> u64 {
        self.key
    }

    /// When the subscription accepted it, on the monotonic clock.
    #[must_use]
    #[inline]
    pub fn accepted_ns(&self) -> u64 {
        self.accepted
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        (self.size & !FLAGS) as usize
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }

    /// What is handed off once more.
    pub(crate) fn again(&self) -> Delivery {
        let mut again = self.clone();
        again.attempts = self.attempts.saturating_add(1);
        again
    }

    /// Only its place is kept.
    pub(crate) fn to_bookmark(&self) -> Bookmark {
        let Delivery { ref message, id, key, accepted, attempts, size } = *self;
        Bookmark { place: message.mark(), id, key, accepted, attempts, size }
    }

    /// Hand-offs before the next one.
    #[inline]
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the journal has it, and what becomes of it is recorded.
    #[must_use]
    #[inline]
    pub fn is_durable(&self) -> bool {
        self.size & DURABLE != 0
    }

    pub(crate) fn set_durable(&mut self) {
        self.size |= DURABLE;
    }

    /// It holds no key any more.
    pub(crate) fn free(&mut self) {
        self.size &= !HOLDS;
    }

    pub(crate) fn set_key(&mut self, key: u64) {
        self.key = key;
    }

    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.attempts == 0
    }

    pub(crate) fn holds(&self) -> bool {
        self.size & HOLDS != 0
    }

    pub(crate) fn set_holds(&mut self) {
        self.size |= HOLDS;
    }

    pub(crate) fn troubled(&self) -> bool {
        self.size & TROUBLED != 0
    }

    pub(crate) fn set_troubled(&mut self) {
        self.size |= TROUBLED;
    }

    pub(crate) fn tried(&self) -> bool {
        self.size & TRIED != 0
    }

    pub(crate) fn set_tried(&mut self) {
        self.size |= TRIED;
    }

    pub(crate) fn budgeted(&self) -> bool {
        self.size & BUDGETED != 0
    }

    pub(crate) fn set_budgeted(&mut self, on: bool) {
        self.size = if on { self.size | BUDGETED } else { self.size & !BUDGETED };
    }
}

// === impl Bookmark ===

impl Bookmark {
    /// One that was found in the journal.
    pub(crate) fn found(place: u64, id: u64, attempts: u32) -> Bookmark {
        Bookmark { place, id, key: 0, accepted: 0, attempts, size: DURABLE }
    }

    /// With its message, which was accepted at `accepted_ns` as far as the journal knows.
    pub(crate) fn with(self, message: Message, accepted_ns: u64) -> Delivery {
        let Bookmark { place: _, id, key, accepted, attempts, size } = self;
        let bytes = message.size().min(SIZE_MAX) as u32;
        let accepted = if accepted == 0 { accepted_ns } else { accepted };
        Delivery { message, id, key, accepted, attempts, size: size & FLAGS | bytes }
    }

    pub(crate) fn set_holds(&mut self) {
        self.size |= HOLDS;
    }

    pub(crate) fn set_troubled(&mut self) {
        self.size |= TROUBLED;
    }

    pub(crate) fn is_budgeted(&self) -> bool {
        self.size & BUDGETED != 0
    }
}
