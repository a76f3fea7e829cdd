//! The memory of one message.

#[cfg(target_arch = "x86_64")]
use std::arch::{
    asm,
    x86_64::{_MM_HINT_T0, _mm_prefetch},
};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ptr::{self, NonNull, addr_of, addr_of_mut},
    slice,
    sync::atomic::{AtomicU32, AtomicU64},
};

use patchbay_abi as abi;

use crate::home::Home;

/// Bytes of topic, key, headers and payload that need no allocation of their own.
pub(crate) const INLINE: usize = 336;
/// Most envelopes that go home in the region of another one.
pub(crate) const BUNDLE: usize = INLINE / size_of::<*mut Envelope>();
/// What the region and the payload inside it are aligned to.
pub(crate) const ALIGN: usize = 8;

/// Lines of an envelope that are written for every message, its region aside.
#[cfg(target_arch = "x86_64")]
const HEAD_LINES: usize = 3;

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
    /// A word of the bus, which may be written while it is shared.
    pub(crate) mark: AtomicU64,
    pub(crate) refs: AtomicU32,
    /// Bytes that count against limits: topic, key, headers, payload.
    pub(crate) size: u32,
    /// The head of the next bundle on its way home.
    pub(crate) next: *mut Envelope,
    pub(crate) home: *const Home,
    /// A region that did not fit `inline`, of `big_len` bytes; null when there is none.
    pub(crate) big: *mut u8,
    /// In the head of a bundle: how many others it holds.
    pub(crate) big_len: usize,
    /// The envelope whose payload this one shows, holding one reference of it; null when its own.
    pub(crate) base: *mut Envelope,
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
        // SAFETY: the layout it was allocated with; nothing inside needs dropping once emptied.
        unsafe { dealloc(envelope.cast::<u8>(), Envelope::LAYOUT) }
    }

    /// The region for `len` bytes: inline, or a box that the envelope owns from now on.
    ///
    /// # Safety
    /// The caller owns the envelope alone, and it was emptied.
    pub(crate) unsafe fn region(envelope: *mut Envelope, len: usize) -> *mut u8 {
        if len <= INLINE {
            // SAFETY: a place inside an envelope that the caller owns; no reference is made.
            return unsafe { addr_of_mut!((*envelope).inline).cast::<u8>() };
        }
        let layout = Envelope::big_layout(len);
        // SAFETY: `len` is above `INLINE`, so not zero.
        let big = unsafe { alloc_zeroed(layout) };
        if big.is_null() {
            handle_alloc_error(layout)
        }
        // SAFETY: the caller owns the envelope alone.
        unsafe {
            addr_of_mut!((*envelope).big).write(big);
            addr_of_mut!((*envelope).big_len).write(len);
        }
        big
    }

    /// Gives up what an envelope owns besides itself, and returns the base whose reference the
    /// caller has to give back now.
    ///
    /// # Safety
    /// The caller owns the envelope alone.
    pub(crate) unsafe fn empty(envelope: *mut Envelope) -> *mut Envelope {
        // SAFETY: owned alone by the caller, so reading and writing its fields races with nobody;
        // `big` and `big_len` were set together by `region` from the allocation freed here.
        unsafe {
            let big = addr_of!((*envelope).big).read();
            if !big.is_null() {
                dealloc(big, Envelope::big_layout(addr_of!((*envelope).big_len).read()));
                addr_of_mut!((*envelope).big).write(ptr::null_mut());
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
        // SAFETY: owned alone; emptied, so there is no box that `big_len` would belong to.
        unsafe {
            addr_of_mut!((*envelope).next).write(next);
            addr_of_mut!((*envelope).big_len).write(0);
        }
    }

    /// Adds an emptied envelope to the bundle of `head`. Only the head is written.
    ///
    /// # Safety
    /// The caller owns both alone, `head` leads a bundle of fewer than [`BUNDLE`] others.
    pub(crate) unsafe fn join(head: *mut Envelope, envelope: *mut Envelope) {
        // SAFETY: owned alone, and the region has room for `BUNDLE` addresses, aligned as they are.
        unsafe {
            let others = addr_of_mut!((*head).big_len);
            Envelope::bundle(head).add(others.read()).write(envelope);
            others.write(others.read() + 1);
        }
    }

    /// The others of a bundle.
    ///
    /// # Safety
    /// The caller owns the bundle, and does not use the slice longer than its head is emptied.
    pub(crate) unsafe fn others<'a>(head: *mut Envelope) -> &'a [*mut Envelope] {
        // SAFETY: `join` wrote that many addresses there.
        unsafe { slice::from_raw_parts(Envelope::bundle(head), addr_of!((*head).big_len).read()) }
    }

    /// # Safety
    /// A live envelope.
    unsafe fn bundle(head: *mut Envelope) -> *mut *mut Envelope {
        const { assert!(align_of::<*mut Envelope>() <= ALIGN) };
        // SAFETY: a place inside the envelope; no reference is made.
        unsafe { addr_of_mut!((*head).inline).cast::<*mut Envelope>() }
    }

    /// Brings what is written of every message near, for somebody who writes it (or only reads it, but
    /// for the line that counts) soon, as far as the machine can be told. It waits for nothing.
    #[inline]
    pub(crate) fn fetch<const TO_WRITE: bool>(envelope: *const Envelope) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..HEAD_LINES {
            let at = envelope.cast::<i8>().wrapping_add(line * 64);
            // SAFETY: hints: they read and write nothing that a program can see, wherever they
            // point. A processor that does not know the first one takes it for nothing.
            unsafe {
                if TO_WRITE || line == HEAD_LINES - 1 {
                    asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags));
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(at);
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = envelope;
    }

    fn big_layout(len: usize) -> Layout {
        match Layout::from_size_align(len, ALIGN) {
            Ok(layout) => layout,
            // Only for lengths near `isize::MAX`, which no address space holds.
            Err(_) => handle_alloc_error(Layout::new::<u8>()),
        }
    }
}
