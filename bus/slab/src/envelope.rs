//! The memory of one message.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ptr::{self, NonNull, addr_of, addr_of_mut},
    slice,
    sync::atomic::{AtomicU32, AtomicU64},
};

use patchbay_abi as abi;

use crate::{
    home::Home,
    near::{LINE, to_read, to_write},
};

/// Bytes of topic, key, headers and payload that need no allocation of their own.
pub(crate) const INLINE: usize = 336;
/// Most envelopes that go home in the region of another one.
pub(crate) const BUNDLE: usize = INLINE / size_of::<*mut Envelope>();
/// What the region and the payload inside it are aligned to.
pub(crate) const ALIGN: usize = 8;
/// Regions of their own have a multiple of this size, so that they fit the next message as well.
const STEP: usize = 512;
/// Largest region that stays with its envelope: a message of 4 KiB, with its topic and headers.
const KEPT: usize = 4096 + 2 * STEP;

/// The line that counts and links: the last of those that are written for every message, its region
/// aside.
const COUNTS: usize = 2;
/// Lines of a region with a few headers and their texts, which begins on the one that counts.
const TEXTS: usize = 2;

/// One message: what a library sees, and what the host keeps beside it.
///
/// All fields are written while one owner holds the envelope alone (between leaving and returning to
/// a free list) and only read while it is shared, but for `refs` and `mark`. What readers of the
/// message look at is on the first two lines, what is counted and linked on the third.
#[repr(C, align(64))]
pub(crate) struct Envelope {
    /// Must stay first: a pointer to the envelope is a pointer to this.
    pub(crate) abi: abi::Message,
    pub(crate) key_hash: u64,
    /// The envelope whose payload this one shows, holding one reference of it; null when its own.
    pub(crate) base: *mut Envelope,
    /// A word of the bus, which may be written while it is shared.
    pub(crate) mark: AtomicU64,
    pub(crate) refs: AtomicU32,
    /// Bytes that count against limits: topic, key, headers, payload. In the head of a bundle: how many
    /// others it holds.
    pub(crate) size: u32,
    /// The head of the next bundle on its way home.
    pub(crate) next: *mut Envelope,
    pub(crate) home: *const Home,
    /// A region for what does not fit `inline`, of `big_len` bytes; null when there is none. It stays
    /// for the next message if it is not too large, and goes when that one does not need it.
    pub(crate) big: *mut u8,
    pub(crate) big_len: usize,
    pub(crate) inline: Region,
}

/// Zeroed once when the envelope is made, so that it is initialised memory for ever. In the head of a
/// bundle it holds the addresses of the others.
#[repr(C, align(8))]
pub(crate) struct Region([u8; INLINE]);

// === impl Envelope ===

impl Envelope {
    const LAYOUT: Layout = Layout::new::<Envelope>();

    /// A new envelope of `home`, zeroed but for `home`.
    pub(crate) fn allocate(home: *const Home) -> NonNull<Envelope> {
        // SAFETY: the layout has a size above zero.
        let raw = unsafe { alloc_zeroed(Envelope::LAYOUT) };
        let Some(envelope) = NonNull::new(raw.cast::<Envelope>()) else {
            handle_alloc_error(Envelope::LAYOUT)
        };
        // SAFETY: freshly allocated with the layout of an envelope and owned by nobody else. Zero is
        // a valid value of every other field but `abi`, which is written before anybody reads it.
        unsafe { addr_of_mut!((*envelope.as_ptr()).home).write(home) };
        envelope
    }

    /// Frees an envelope.
    ///
    /// # Safety
    /// It came from [`Envelope::allocate`], the caller owns it alone, and it was emptied.
    pub(crate) unsafe fn free(envelope: *mut Envelope) {
        // SAFETY: owned alone; the layout it was allocated with. Nothing else inside needs dropping.
        unsafe {
            Envelope::drop_big(envelope);
            dealloc(envelope.cast::<u8>(), Envelope::LAYOUT);
        }
    }

    /// The region for `len` bytes: inline, or one that the envelope owns besides.
    ///
    /// # Safety
    /// The caller owns the envelope alone, and it was emptied.
    #[inline]
    pub(crate) unsafe fn region(envelope: *mut Envelope, len: usize) -> *mut u8 {
        // SAFETY: owned alone by the caller.
        let (big, has) = unsafe { ((*envelope).big, (*envelope).big_len) };
        if len <= INLINE && big.is_null() {
            // SAFETY: a place inside an envelope that the caller owns; no reference is made.
            return unsafe { addr_of_mut!((*envelope).inline).cast::<u8>() };
        }
        if len > INLINE && len <= has {
            return big;
        }
        // SAFETY: passed on.
        unsafe { Envelope::other_region(envelope, len) }
    }

    /// The same where there is none yet, or another one.
    ///
    /// # Safety
    /// As for [`Envelope::region`].
    #[cold]
    unsafe fn other_region(envelope: *mut Envelope, len: usize) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { Envelope::drop_big(envelope) };
        if len <= INLINE {
            // SAFETY: as in `region`.
            return unsafe { addr_of_mut!((*envelope).inline).cast::<u8>() };
        }
        let len = len.checked_next_multiple_of(STEP).unwrap_or(len);
        let layout = Envelope::big_layout(len);
        // SAFETY: `len` is above `INLINE`, so not zero.
        let big = unsafe { alloc_zeroed(layout) };
        if big.is_null() {
            handle_alloc_error(layout)
        }
        // SAFETY: the caller owns the envelope alone, whose home lives as long as one is out.
        unsafe {
            addr_of_mut!((*envelope).big).write(big);
            addr_of_mut!((*envelope).big_len).write(len);
            if len <= KEPT {
                (*(*envelope).home).charge(len);
            }
        }
        big
    }

    /// # Safety
    /// The caller owns the envelope alone, and its home lives.
    unsafe fn drop_big(envelope: *mut Envelope) {
        // SAFETY: owned alone by the caller; `big` and `big_len` were set together by `other_region`
        // from the allocation freed here.
        unsafe {
            let (big, len) = ((*envelope).big, (*envelope).big_len);
            if big.is_null() {
                return;
            }
            dealloc(big, Envelope::big_layout(len));
            addr_of_mut!((*envelope).big).write(ptr::null_mut());
            addr_of_mut!((*envelope).big_len).write(0);
            if len <= KEPT {
                (*(*envelope).home).refund(len);
            }
        }
    }

    /// Gives up what an envelope owns and the next message has no use for, and returns the base whose
    /// reference the caller has to give back now.
    ///
    /// # Safety
    /// The caller owns the envelope alone, and its home lives.
    pub(crate) unsafe fn empty(envelope: *mut Envelope) -> *mut Envelope {
        // SAFETY: owned alone by the caller, so reading and writing its fields races with nobody; a home
        // lives as long as one of its envelopes is out.
        unsafe {
            let len = (*envelope).big_len;
            if len > 0 && (len > KEPT || (*(*envelope).home).keeps_too_much()) {
                Envelope::drop_big(envelope);
            }
            let base = addr_of!((*envelope).base).read();
            if !base.is_null() {
                addr_of_mut!((*envelope).base).write(ptr::null_mut());
            }
            base
        }
    }

    /// Starts a bundle with an emptied envelope as its head, before the bundle of `next`.
    ///
    /// # Safety
    /// The caller owns the envelope alone, and it was emptied.
    pub(crate) unsafe fn lead(envelope: *mut Envelope, next: *mut Envelope) {
        // SAFETY: owned alone; emptied, so its size says nothing.
        unsafe {
            addr_of_mut!((*envelope).next).write(next);
            addr_of_mut!((*envelope).size).write(0);
        }
    }

    /// Adds an emptied envelope to the bundle of `head`. Only the head is written.
    ///
    /// # Safety
    /// The caller owns both alone, `head` leads a bundle of fewer than [`BUNDLE`] others.
    pub(crate) unsafe fn join(head: *mut Envelope, envelope: *mut Envelope) {
        // SAFETY: owned alone, and the region has room for `BUNDLE` addresses, aligned as they are.
        unsafe {
            let others = addr_of_mut!((*head).size);
            Envelope::bundle(head).add(others.read() as usize).write(envelope);
            others.write(others.read() + 1);
        }
    }

    /// The others of a bundle.
    ///
    /// # Safety
    /// The caller owns the bundle, and does not use the slice longer than its head is emptied.
    pub(crate) unsafe fn others<'a>(head: *mut Envelope) -> &'a [*mut Envelope] {
        // SAFETY: `join` wrote that many addresses there.
        unsafe {
            let others = addr_of!((*head).size).read() as usize;
            slice::from_raw_parts(Envelope::bundle(head), others)
        }
    }

    /// # Safety
    /// A live envelope.
    unsafe fn bundle(head: *mut Envelope) -> *mut *mut Envelope {
        const { assert!(align_of::<*mut Envelope>() <= ALIGN) };
        // SAFETY: a place inside the envelope; no reference is made.
        unsafe { addr_of_mut!((*head).inline).cast::<*mut Envelope>() }
    }

    /// Brings the head near, for somebody who reads it soon and gives up a reference.
    #[inline]
    pub(crate) fn fetch(envelope: *const Envelope) {
        (0..COUNTS).for_each(|line| to_read(Envelope::line(envelope, line)));
        to_write(Envelope::line(envelope, COUNTS));
    }

    /// If it is derived: brings near what it shows of its own, and of the other one the beginning of
    /// the payload and the line that counts.
    ///
    /// # Safety
    /// A live envelope.
    #[inline]
    pub(crate) unsafe fn fetch_derived(envelope: *const Envelope) {
        // SAFETY: alive; both are only read while it is shared.
        let (base, payload) = unsafe { ((*envelope).base, (*envelope).abi.payload.ptr) };
        if !base.is_null() {
            to_write(Envelope::line(base, COUNTS));
            to_read(payload);
            (1..=TEXTS).for_each(|line| to_read(Envelope::line(envelope, COUNTS + line)));
        }
    }

    /// Brings the first `bytes` near, for somebody who writes them soon.
    #[inline]
    pub(crate) fn fetch_to_write(envelope: *const Envelope, bytes: usize) {
        let lines = bytes.div_ceil(LINE).min(size_of::<Envelope>() / LINE);
        (0..lines).for_each(|line| to_write(Envelope::line(envelope, line)));
    }

    #[inline]
    fn line(envelope: *const Envelope, line: usize) -> *const u8 {
        envelope.cast::<u8>().wrapping_add(line * LINE)
    }

    /// How many bytes a region of `len` ends behind the beginning of its envelope, if it is inline.
    #[inline]
    pub(crate) fn bytes_with(len: usize) -> usize {
        std::mem::offset_of!(Envelope, inline) + len
    }

    fn big_layout(len: usize) -> Layout {
        match Layout::from_size_align(len, ALIGN) {
            Ok(layout) => layout,
            // Only for lengths near `isize::MAX`, which no address space holds.
            Err(_) => handle_alloc_error(Layout::new::<u8>()),
        }
    }
}
