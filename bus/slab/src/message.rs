//! A counted reference to an immutable message.

use std::{
    fmt, mem,
    ptr::NonNull,
    slice, str,
    sync::atomic::{Ordering::*, fence},
};

use patchbay_abi as abi;

use crate::{envelope::Envelope, reaper::Reaper};

/// One reference to a message. Cloning counts, dropping sends the envelope home.
pub struct Message(NonNull<Envelope>);

/// The headers of a message in the order of the publisher.
#[derive(Clone, Debug)]
pub struct Headers<'a>(slice::Iter<'a, abi::Header>);

/// References to one message, counted at once and handed out one by one. What is not taken is given
/// back.
#[derive(Debug)]
pub struct FanOut {
    /// One of the references that are left; `None` when there is none.
    message: Option<Message>,
    /// How many are left, all of them counted already.
    left: u32,
}

/// The functions that every message of this host shows to libraries.
pub(crate) static OPS: abi::MessageOps =
    abi::MessageOps { size: size_of::<abi::MessageOps>() as u32, reserved: 0, retain, release };

/// # Safety
/// `message` is a message of this host of which the caller holds a reference.
unsafe extern "C" fn retain(message: *const abi::Message) {
    // SAFETY: the caller's reference keeps the envelope alive during the call.
    let refs = unsafe { &(*message.cast::<Envelope>()).refs };
    refs.fetch_add(1, Relaxed);
}

/// # Safety
/// `message` is a message of this host, and the caller gives up one reference.
unsafe extern "C" fn release(message: *const abi::Message) {
    // SAFETY: passed on.
    drop(unsafe { Message::from_raw(message) });
}

// SAFETY: the envelope is immutable while shared and counted with atomics.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}

// === impl Message ===

impl Message {
    /// Wraps an envelope.
    ///
    /// # Safety
    /// Filled, and the caller hands over one reference.
    pub(crate) unsafe fn from_envelope(envelope: NonNull<Envelope>) -> Message {
        Message(envelope)
    }

    pub(crate) fn envelope(&self) -> NonNull<Envelope> {
        self.0
    }

    fn head(&self) -> &abi::Message {
        // SAFETY: our reference keeps the envelope alive, and its head is immutable while shared.
        unsafe { &(*self.0.as_ptr()).abi }
    }

    /// The 128-bit id.
    #[must_use]
    pub fn id(&self) -> u128 {
        let head = self.head();
        u128::from(head.id_hi) << 64 | u128::from(head.id_lo)
    }

    /// The concrete topic it was published to.
    #[must_use]
    pub fn topic(&self) -> &str {
        // SAFETY: written from a `&str` into memory that lives as long as the envelope.
        unsafe { text(self.head().topic) }
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        // SAFETY: initialised memory of this envelope, or of the base that it holds a reference of.
        unsafe { self.head().payload.as_bytes() }
    }

    /// The ordering key; empty = none.
    #[must_use]
    pub fn key(&self) -> &str {
        // SAFETY: as for `topic`.
        unsafe { text(self.head().key) }
    }

    /// The hash of the ordering key; 0 = none. The same on every host ([`key_hash`](crate::key_hash)).
    #[must_use]
    #[inline]
    pub fn key_hash(&self) -> u64 {
        // SAFETY: immutable while shared.
        unsafe { (*self.0.as_ptr()).key_hash }
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        let head = self.head();
        if head.nheaders == 0 {
            return Headers([].iter());
        }
        // SAFETY: `nheaders` headers were written there, aligned, inside the envelope's region.
        Headers(unsafe { slice::from_raw_parts(head.headers, head.nheaders as usize) }.iter())
    }

    /// The first header of that name, compared without regard to ASCII case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// When it was published, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        self.head().time_ns
    }

    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    #[must_use]
    pub fn expires_ns(&self) -> u64 {
        self.head().expires_ns
    }

    /// How many messages led to this one.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.head().hops
    }

    /// Bytes that count against limits: topic, key, headers and payload.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: immutable while shared.
        unsafe { (*self.0.as_ptr()).size as usize }
    }

    /// The word that [`set_mark`](Message::set_mark) left here; 0 before.
    #[must_use]
    pub fn mark(&self) -> u64 {
        // SAFETY: alive by our reference; the field is atomic.
        unsafe { (*self.0.as_ptr()).mark.load(Relaxed) }
    }

    /// Leaves a word with the message, for all who hold it. It orders nothing.
    pub fn set_mark(&self, mark: u64) {
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).mark.store(mark, Relaxed) };
    }

    /// Whether this is the only reference.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        // SAFETY: alive by our reference.
        unsafe { (*self.0.as_ptr()).refs.load(Acquire) == 1 }
    }

    /// Raises the number of messages that led to this one, if nobody else holds it. Returns whether
    /// it is at least `hops` now.
    #[must_use]
    pub fn raise_hops(&mut self, hops: u32) -> bool {
        if self.hops() >= hops {
            return true;
        }
        let unique = self.is_unique();
        if unique {
            // SAFETY: the only reference is ours and borrowed mutably, so nobody else reads it.
            unsafe { (*self.0.as_ptr()).abi.hops = hops };
        }
        unique
    }

    /// Whether both are of the same publisher's envelopes.
    #[must_use]
    #[inline]
    pub fn is_from_home_of(&self, other: &Message) -> bool {
        // SAFETY: alive by our references; the home of an envelope never changes.
        unsafe { (*self.0.as_ptr()).home == (*other.0.as_ptr()).home }
    }

    /// Brings the message near, for somebody who reads it soon. It waits for nothing.
    #[inline]
    pub fn fetch(&self) {
        Envelope::fetch(self.0.as_ptr());
    }

    /// If it was derived: brings near what it shows of the other one, for somebody who reads it soon.
    /// The message itself should be near.
    #[inline]
    pub fn fetch_derived(&self) {
        // SAFETY: alive by our reference.
        unsafe { Envelope::fetch_derived(self.0.as_ptr()) }
    }

    /// What a library reads. Valid while a reference is held.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const abi::Message {
        self.0.as_ptr().cast_const().cast::<abi::Message>()
    }

    /// Gives the reference to the caller, who has to pass it to [`Message::from_raw`] or to the
    /// message's own `release`.
    #[must_use]
    #[inline]
    pub fn into_raw(self) -> *const abi::Message {
        let raw = self.as_ptr();
        mem::forget(self);
        raw
    }

    /// Takes a reference over.
    ///
    /// # Safety
    /// `message` came from [`Message::into_raw`], [`Message::as_ptr`] or
    /// [`Draft::into_raw`](crate::Draft::into_raw) of this crate, and the caller hands over one
    /// reference that it owns. The payload is not written any more.
    #[must_use]
    #[inline]
    pub unsafe fn from_raw(message: *const abi::Message) -> Message {
        // SAFETY: never null by contract; the head is the first field of its envelope, and the
        // pointer was made from one to the whole envelope.
        Message(unsafe { NonNull::new_unchecked(message.cast_mut().cast::<Envelope>()) })
    }
}

impl Message {
    /// Turns this reference into `n`, with one atomic operation, or none when it is the only one.
    #[must_use]
    #[inline]
    pub fn fan_out(self, n: usize) -> FanOut {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if n > 1 {
            // SAFETY: alive by our own reference.
            let refs = unsafe { &(*self.0.as_ptr()).refs };
            if self.is_unique() {
                // Nobody else can see the count before a reference leaves this thread.
                refs.store(n, Relaxed);
            } else {
                refs.fetch_add(n - 1, Relaxed);
            }
        }
        FanOut { message: Some(self), left: n }
    }
}

impl Clone for Message {
    #[inline]
    fn clone(&self) -> Message {
        // SAFETY: alive by our own reference.
        unsafe { (*self.0.as_ptr()).refs.fetch_add(1, Relaxed) };
        Message(self.0)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: our one reference keeps it alive until it is given up below.
        let refs = unsafe { &(*self.0.as_ptr()).refs };
        // A sole owner is the only one who could raise the count.
        if refs.load(Acquire) != 1 && refs.fetch_sub(1, Release) != 1 {
            return;
        }
        fence(Acquire);
        // SAFETY: the last reference was ours; it counts again, so that it is given up there.
        unsafe {
            refs.store(1, Relaxed);
            Reaper::new().put_raw(self.0.as_ptr());
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &format_args!("{:032x}", self.id()))
            .field("topic", &self.topic())
            .field("key", &self.key())
            .field("hops", &self.hops())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

// === impl FanOut ===

impl Iterator for FanOut {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        self.left = self.left.checked_sub(1)?;
        if self.left == 0 {
            return self.message.take();
        }
        // This reference was counted by `fan_out`, and `left` says that it is not taken.
        self.message.as_ref().map(|message| Message(message.0))
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

// === impl Headers ===

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: written from `&str`s into memory that lives as long as the borrowed message.
        self.0.next().map(|header| unsafe { (text(header.name), text(header.value)) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// # Safety
/// The bytes were copied from a `&str` and live for `'a`.
unsafe fn text<'a>(text: abi::Str) -> &'a str {
    // SAFETY: by contract readable and UTF-8.
    unsafe { str::from_utf8_unchecked(text.as_bytes()) }
}
