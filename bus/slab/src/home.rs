//! Where envelopes come back to, and who frees them when their publisher is gone.

use std::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicIsize, AtomicPtr, AtomicUsize, Ordering::*},
};

use crate::envelope::Envelope;

/// Most bytes of regions that stay with the envelopes of one slab, whatever was out at a time.
const KEPT_ALL: usize = 4 << 20;

/// The returned envelopes of one slab. On a line of its own: every lane writes it.
#[repr(align(128))]
pub(crate) struct Home {
    /// Bundles that came back, or [`closed`] once the slab is gone.
    returned: AtomicPtr<Envelope>,
    /// Envelopes still out. Counted only after the slab is gone: the slab adds what is missing,
    /// returners subtract. Zero is reached once, by whoever then frees the home.
    out: AtomicIsize,
    kept: Kept,
}

/// Bytes of the regions of a home's envelopes that may stay with them. On a line of its own: every
/// lane reads it for every larger message, and it is written when a region is made or freed.
#[repr(align(128))]
struct Kept(AtomicUsize);

/// What stands in `returned` when nobody pops any more. Never dereferenced.
fn closed() -> *mut Envelope {
    ptr::without_provenance_mut(1)
}

// === impl Home ===

impl Home {
    /// A home on the heap; freed by [`Home::close`] or by the last [`Home::give_back`] after it.
    pub(crate) fn create() -> *const Home {
        let home = Home {
            returned: AtomicPtr::new(ptr::null_mut()),
            out: AtomicIsize::new(0),
            kept: Kept(AtomicUsize::new(0)),
        };
        Box::into_raw(Box::new(home))
    }

    /// An envelope has a region of so many bytes, which may stay with it.
    pub(crate) fn charge(&self, bytes: usize) {
        self.kept.0.fetch_add(bytes, Relaxed);
    }

    /// It was freed.
    pub(crate) fn refund(&self, bytes: usize) {
        self.kept.0.fetch_sub(bytes, Relaxed);
    }

    /// Bytes of regions that may stay.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept.0.load(Relaxed)
    }

    /// Whether regions are freed that could stay.
    #[inline]
    pub(crate) fn keeps_too_much(&self) -> bool {
        self.kept.0.load(Relaxed) > KEPT_ALL
    }

    /// Everything that came back, as a list of bundles.
    pub(crate) fn take(&self) -> *mut Envelope {
        self.returned.swap(ptr::null_mut(), Acquire)
    }

    /// Brings `count` emptied envelopes home, in bundles whose heads are linked from `first` to
    /// `last`.
    ///
    /// # Safety
    /// `home` is their home, and the caller owns all of them alone.
    pub(crate) unsafe fn give_back(
        home: *const Home,
        first: *mut Envelope,
        last: *mut Envelope,
        count: isize,
    ) {
        // SAFETY: a home lives as long as one of its envelopes is out, and the caller holds some.
        let this = unsafe { &*home };
        let mut head = this.returned.load(Relaxed);
        while head != closed() {
            // SAFETY: the caller owns `last` until the exchange below succeeds.
            unsafe { (*last).next = head };
            match this.returned.compare_exchange_weak(head, first, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
        // SAFETY: the chain is the caller's, ends with `last`, and nobody will pop it.
        unsafe {
            (*last).next = ptr::null_mut();
            free_list(first);
        }
        if this.out.fetch_sub(count, AcqRel) == count {
            // SAFETY: the slab has added what was out (before that the counter is negative), and
            // this was the last of it: nobody else knows the home. It came from `create`.
            drop(unsafe { Box::from_raw(home.cast_mut()) });
        }
    }

    /// Ends the home of a slab that made `made` envelopes and holds some of them: bundles, and
    /// single ones.
    ///
    /// # Safety
    /// Called once, by the owner, who uses neither the home nor any of them afterwards.
    pub(crate) unsafe fn close(
        home: *const Home,
        bundles: *mut Envelope,
        single: &[NonNull<Envelope>],
        made: usize,
    ) {
        // SAFETY: alive until the counter below says otherwise.
        let this = unsafe { &*home };
        let back = this.returned.swap(closed(), AcqRel);
        // SAFETY: both lists are owned by the caller: the one by contract, the other because the
        // swap took it and nobody can push any more.
        let freed = unsafe { free_list(bundles) + free_list(back) } + single.len();
        for envelope in single {
            // SAFETY: owned by the caller, in no list, and emptied.
            unsafe { Envelope::free(envelope.as_ptr()) };
        }
        let missing = (made - freed) as isize;
        if this.out.fetch_add(missing, AcqRel) + missing == 0 {
            // SAFETY: all envelopes are back, so nobody else knows the home. It came from `create`.
            drop(unsafe { Box::from_raw(home.cast_mut()) });
        }
    }
}

/// Frees a list of bundles and counts their envelopes.
///
/// # Safety
/// The caller owns every envelope of the list.
unsafe fn free_list(mut list: *mut Envelope) -> usize {
    let mut count = 0;
    while !list.is_null() {
        // SAFETY: owned by the caller; what the head says is read before it goes.
        unsafe {
            let next = (*list).next;
            let others = Envelope::others(list);
            count += 1 + others.len();
            others.iter().for_each(|other| Envelope::free(*other));
            Envelope::free(list);
            list = next;
        }
    }
    count
}
