//! The envelopes of one publisher.

use std::{
    fmt,
    ptr::{self, NonNull, addr_of_mut},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use patchbay_abi as abi;

use crate::{
    draft::Draft,
    envelope::{ALIGN, Envelope},
    home::Home,
    key,
    message::{Message, OPS},
};

/// How many envelopes are made when none has come home.
const GROWTH: usize = 64;
/// How many messages before it leaves an envelope is fetched.
const AHEAD: usize = 3;

/// What a message consists of, but for its payload. The caller has checked topic, key and headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// Concrete topic.
    pub topic: &'a str,
    /// Ordering key; empty = none.
    pub key: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Room for the payload, in bytes. Not read when a message is derived.
    pub payload_len: usize,
    /// The message id.
    pub id: u128,
    /// When it was published, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    pub expires_ns: u64,
    /// How many messages led to this one.
    pub hops: u32,
}

/// The envelopes of one publisher, used by one thread at a time. Envelopes outlive their slab.
pub struct Slab {
    home: *const Home,
    /// The next to leave is the last.
    ready: Vec<NonNull<Envelope>>,
    /// Bundles that came home and are not opened.
    bundles: *mut Envelope,
    made: usize,
    /// Bytes of an envelope that the last message took: as many will be written of the next.
    written: usize,
}

// SAFETY: all envelopes here are owned, and the home is shared by atomics only.
unsafe impl Send for Slab {}

// === impl Slab ===

impl Slab {
    /// An empty slab; the first message makes the first envelopes.
    #[must_use]
    pub fn new() -> Slab {
        Slab {
            home: Home::create(),
            ready: Vec::new(),
            bundles: ptr::null_mut(),
            made: 0,
            written: 0,
        }
    }

    /// How many envelopes this slab has made so far. It stops growing when as many come home as go
    /// out.
    #[must_use]
    pub fn made(&self) -> usize {
        self.made
    }

    /// Bytes of the regions that stay, or may stay, with its envelopes.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        // SAFETY: the slab keeps its home alive.
        unsafe { &*self.home }.kept()
    }

    /// A message with room for a payload.
    #[must_use]
    pub fn draft(&mut self, parts: &Parts<'_>) -> Draft {
        let envelope = self.take();
        // SAFETY: taken from the free list: owned alone and emptied.
        let payload = unsafe { fill(envelope, parts, parts.payload_len) };
        // SAFETY: just filled, with one reference.
        unsafe { Draft::new(envelope, payload, parts.payload_len) }
    }

    /// A message with that payload; `payload_len` of the parts is not read.
    #[must_use]
    #[inline]
    pub fn message(&mut self, parts: &Parts<'_>, payload: &[u8]) -> Message {
        let envelope = self.take();
        // SAFETY: owned alone and emptied; the room has the length of the payload, and fresh room
        // does not overlap what the caller can borrow. Filled, with one reference.
        unsafe {
            let room = fill(envelope, parts, payload.len());
            self.note(envelope, parts);
            ptr::copy_nonoverlapping(payload.as_ptr(), room.as_ptr(), payload.len());
            Message::from_envelope(envelope)
        }
    }

    /// A message with other parts and the payload of `base`, by reference.
    #[must_use]
    pub fn derive(&mut self, base: &Message, parts: &Parts<'_>) -> Message {
        let envelope = self.take();
        let raw = envelope.as_ptr();
        let shared = base.envelope().as_ptr();
        // SAFETY: owned alone and emptied. The owner of the payload is `base` or, when that is
        // derived itself, its base, which it keeps alive: so there is never a chain. The reference
        // taken here is given back when this envelope is emptied.
        unsafe {
            fill(envelope, parts, 0);
            self.note(envelope, parts);
            let owner = if (*shared).base.is_null() { shared } else { (*shared).base };
            (*owner).refs.fetch_add(1, Relaxed);
            addr_of_mut!((*raw).base).write(owner);
            let payload = (*shared).abi.payload;
            addr_of_mut!((*raw).abi.payload).write(payload);
            (*raw).size = bounded((*raw).size as usize + payload.len);
            Message::from_envelope(envelope)
        }
    }

    /// # Safety
    /// Filled with these parts, and owned alone.
    #[inline]
    unsafe fn note(&mut self, envelope: NonNull<Envelope>, parts: &Parts<'_>) {
        let headers = parts.headers.len() * size_of::<abi::Header>();
        // SAFETY: filled, so it has a size.
        self.written =
            unsafe { Envelope::bytes_with((*envelope.as_ptr()).size as usize + headers) };
    }

    #[inline]
    fn take(&mut self) -> NonNull<Envelope> {
        let Some(envelope) = self.ready.pop() else { return self.refill() };
        // It was another core's: its lines are on their way when it is wanted.
        if let Some(soon) = self.ready.len().checked_sub(AHEAD).and_then(|at| self.ready.get(at)) {
            Envelope::fetch_to_write(soon.as_ptr(), self.written);
        }
        envelope
    }

    #[cold]
    fn refill(&mut self) -> NonNull<Envelope> {
        if self.bundles.is_null() {
            // SAFETY: the slab keeps its home alive.
            self.bundles = unsafe { &*self.home }.take();
        }
        if let Some(head) = NonNull::new(self.bundles) {
            // SAFETY: what came home is ours; the head is not used before its others are copied.
            unsafe {
                self.bundles = (*head.as_ptr()).next;
                let others = Envelope::others(head.as_ptr()).iter();
                self.ready.extend(others.filter_map(|other| NonNull::new(*other)));
            }
            let soon = self.ready.len().saturating_sub(AHEAD);
            self.ready[soon..]
                .iter()
                .for_each(|envelope| Envelope::fetch_to_write(envelope.as_ptr(), self.written));
            Envelope::fetch_to_write(self.bundles, self.written);
            return head;
        }
        for _ in 1..GROWTH {
            self.ready.push(Envelope::allocate(self.home));
        }
        self.made += GROWTH;
        Envelope::allocate(self.home)
    }
}

impl Default for Slab {
    fn default() -> Self {
        Slab::new()
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the last use of the home and of what is here.
        unsafe { Home::close(self.home, self.bundles, &self.ready, self.made) }
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("made", &self.made).finish_non_exhaustive()
    }
}

/// Writes head and region of an envelope and returns the room for a payload of `payload_len` bytes.
///
/// The region holds, in this order: the headers, the payload (both aligned), and the texts.
///
/// # Safety
/// The caller owns the envelope alone, and it was emptied.
#[inline]
unsafe fn fill(envelope: NonNull<Envelope>, parts: &Parts<'_>, payload_len: usize) -> NonNull<u8> {
    let texts = parts.topic.len()
        + parts.key.len()
        + parts.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let headers_len = parts.headers.len() * size_of::<abi::Header>();
    const { assert!(size_of::<abi::Header>().is_multiple_of(ALIGN)) };
    const { assert!(align_of::<abi::Header>() <= ALIGN) };
    let raw = envelope.as_ptr();
    // SAFETY: the region has room for all three parts, is aligned for headers, and is owned alone;
    // each write stays inside: headers first, then the payload, then the texts.
    unsafe {
        let region = Envelope::region(raw, headers_len + payload_len + texts);
        let headers = region.cast::<abi::Header>();
        let payload = region.add(headers_len);
        let mut at = payload.add(payload_len);
        let topic = put(&mut at, parts.topic);
        let key = put(&mut at, parts.key);
        for (i, (name, value)) in parts.headers.iter().enumerate() {
            let name = put(&mut at, name);
            let value = put(&mut at, value);
            headers.add(i).write(abi::Header { name, value });
        }
        addr_of_mut!((*raw).abi).write(abi::Message {
            size: size_of::<abi::Message>() as u32,
            flags: 0,
            ops: &OPS,
            id_hi: (parts.id >> 64) as u64,
            id_lo: parts.id as u64,
            time_ns: parts.time_ns,
            expires_ns: parts.expires_ns,
            topic,
            payload: abi::Str { ptr: payload, len: payload_len },
            key,
            headers,
            nheaders: parts.headers.len() as u32,
            hops: parts.hops,
        });
        addr_of_mut!((*raw).refs).write(AtomicU32::new(1));
        addr_of_mut!((*raw).size).write(bounded(texts + payload_len));
        addr_of_mut!((*raw).key_hash).write(key::hash(parts.key));
        addr_of_mut!((*raw).mark).write(AtomicU64::new(0));
        NonNull::new_unchecked(payload)
    }
}

/// Copies a text to `at` and moves `at` behind it.
///
/// # Safety
/// There is room for it, owned by the caller.
unsafe fn put(at: &mut *mut u8, text: &str) -> abi::Str {
    let start = *at;
    // SAFETY: room by contract; fresh memory does not overlap the text.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
        *at = start.add(text.len());
    }
    abi::Str { ptr: start, len: text.len() }
}

/// A size for limits; what does not fit 32 bits is above every limit.
fn bounded(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
