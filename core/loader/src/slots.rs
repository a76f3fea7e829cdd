//! Memory for the calls in flight on one lane, and what each of them is.
//!
//! The host provides the memory of a call, so that a library needs no heap for it. A lane makes
//! all its slots at once and keeps them until it ends.

use std::{
    alloc::{self, Layout},
    ptr::NonNull,
    sync::Arc,
    task::Waker,
};

use patchbay_abi as abi;
use patchbay_slab::Message;

use crate::{
    lane_source::Call,
    limits::SLOT_BYTES_MAX,
    table::Table,
    waker::{SlotWaker, Woken},
};

/// The slots of one lane. Used by that lane's thread only.
#[derive(Debug)]
pub(crate) struct Slots {
    memory: NonNull<u8>,
    layout: Layout,
    stride: usize,
    slots: Vec<Slot>,
    free: Vec<usize>,
    woken: Arc<Woken>,
}

/// A call that waits, with what the library may still read.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A delivery, whose message stays referenced.
    Delivery(u64, Message),
    /// A control call, whose argument stays where it is.
    Op(u64, Vec<u8>),
}

#[derive(Debug)]
struct Slot {
    waker: Arc<SlotWaker>,
    pending: Option<Pending>,
}

// === impl Slots ===

impl Slots {
    /// How many calls of this library fit the memory that a lane may have.
    pub(crate) fn fitting(table: &Table) -> usize {
        SLOT_BYTES_MAX / Slots::stride(table)
    }

    fn stride(table: &Table) -> usize {
        (table.call_size as usize).max(1).next_multiple_of(table.call_align as usize)
    }

    pub(crate) fn new(table: &Table, count: usize, alarm: Waker) -> Slots {
        let align = table.call_align as usize;
        let stride = Slots::stride(table);
        let layout = Layout::from_size_align(stride * count, align).unwrap_or_else(|_| {
            // Size, alignment and count are bounded by constants whose product fits.
            unreachable!("slots of {stride} bytes x {count}")
        });
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc::alloc(layout) };
        let Some(memory) = NonNull::new(memory) else { alloc::handle_alloc_error(layout) };
        let woken = Arc::new(Woken::new(count, alarm));
        let slots = (0..count)
            .map(|slot| Slot { waker: SlotWaker::new(slot, &woken), pending: None })
            .collect();
        Slots { memory, layout, stride, slots, free: (0..count).rev().collect(), woken }
    }

    /// A free slot, if there is one. It is taken by [`wait`](Slots::wait) only.
    pub(crate) fn spare(&self) -> Option<usize> {
        self.free.last().copied()
    }

    pub(crate) fn woken(&self) -> Arc<Woken> {
        self.woken.clone()
    }

    /// The memory of a slot.
    pub(crate) fn memory(&self, slot: usize) -> *mut u8 {
        assert!(slot < self.slots.len(), "slot {slot} of {}", self.slots.len());
        // SAFETY: inside the allocation, as just checked.
        unsafe { self.memory.as_ptr().add(slot * self.stride) }
    }

    /// The waker of the call in a slot.
    pub(crate) fn waker(&self, slot: usize) -> *const abi::Waker {
        SlotWaker::as_raw(&self.slots[slot].waker)
    }

    /// The call in the spare slot waits.
    pub(crate) fn wait(&mut self, slot: usize, pending: Pending) {
        let taken = self.free.pop();
        debug_assert_eq!(taken, Some(slot), "only the spare slot is taken");
        self.slots[slot].pending = Some(pending);
    }

    /// What waits in a slot.
    pub(crate) fn pending(&self, slot: usize) -> Option<Call> {
        self.slots[slot].pending.as_ref().map(Pending::call)
    }

    /// The waiting call of a slot is over: what it was. The slot is free again.
    pub(crate) fn over(&mut self, slot: usize) -> Option<Pending> {
        let pending = self.slots[slot].pending.take()?;
        self.free.push(slot);
        self.renew(slot);
        Some(pending)
    }

    /// Gives the slot another waker if somebody kept the old one: a late wake must not reach the
    /// next call.
    #[inline]
    pub(crate) fn renew(&mut self, slot: usize) {
        if Arc::strong_count(&self.slots[slot].waker) > 1 {
            self.replace_waker(slot);
        }
    }

    #[cold]
    fn replace_waker(&mut self, slot: usize) {
        let waker = &mut self.slots[slot].waker;
        waker.retire();
        *waker = SlotWaker::new(slot, &self.woken);
    }

    /// How many calls wait.
    pub(crate) fn waiting(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots with a call that waits.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.pending.is_some()).map(|(i, _)| i)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout. A call that still waits has lost its memory, so the
        // loop cancels all of them before.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

// === impl Pending ===

impl Pending {
    pub(crate) fn call(&self) -> Call {
        match self {
            Pending::Delivery(token, _) => Call::Delivery(*token),
            Pending::Op(id, _) => Call::Op(*id),
        }
    }
}
