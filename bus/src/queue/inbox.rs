//! Where publishers put deliveries. A lane swaps the whole vector out.
//!
//! Parking needs no fence: a seat sets its parked bit under the lock that the publisher holds when
//! it looks, which it does when the buffer was empty, and wakes one seat. No wake-up can be lost.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use patchbay_journal::Journal;
use patchbay_slab::Message;

use super::{
    beyond::CutOff,
    intake::{Behind, Intake, Sealed},
};
use crate::{
    delivery::Delivery,
    ledger::{DropReason, Dropped},
    spec::{Order, Overflow, QueueLimits, SubscriptionSpec},
    sync::lock,
    wake::{Wake, Wakes},
};

/// Most seats of a subscription: the bits of the parked mask, less one.
pub(crate) const SEATS_MAX: usize = 63;

/// The publishers' side of a subscription.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(super) state: Mutex<InboxState>,
    /// Publishers that wait for room.
    pub(super) room: Condvar,
    pub(super) limits: QueueLimits,
    pub(super) backlog: QueueLimits,
    pub(super) is_ordered: bool,
    pub(super) overflow: Overflow,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) max_waiters: usize,
}

/// What the inbox's lock guards. It moves from core to core: what every publish reads comes first.
#[repr(C)]
pub(crate) struct InboxState {
    pub(super) buffer: Vec<Delivery>,
    buffer_bytes: usize,
    /// The next delivery id; less `base` it is how many were taken over: the ledger's left side.
    pub(super) next_id: u64,
    /// What waits at the desk, as of its holder's last visit.
    desk: Load,
    /// Seats that are asleep, one bit each.
    parked: u64,
    /// No seat would ever look here by itself.
    unattended: bool,
    pub(super) closed: bool,
    /// Somebody else has what lay here: the routes have changed, or are about to.
    moved: bool,
    pub(super) is_ordered: bool,
    /// Publishers asleep: a number, as one that finds room must not silence lanes for another.
    pub(super) blocked: u32,
    later_bytes: usize,
    /// Deliveries whose time has not come, with it.
    later: Vec<(u64, Delivery)>,
    /// What the journal has.
    pub(crate) intake: Intake,
    /// Tokens waiting for room.
    pub(super) waiters: Vec<Arc<dyn Wake>>,
    /// Ids that were given to nobody who counts here.
    base: u64,
    wakes: Vec<Option<Arc<dyn Wake>>>,
    dropped: Dropped,
    /// Deliveries that were dead letters from the start.
    pub(super) buried: u64,
    pub(crate) cut_off: CutOff,
    /// Publishers asleep that could go on beyond what memory holds.
    pub(super) holding_back: u32,
}

/// Deliveries and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// Deliveries of which only the place is kept.
    pub(crate) bookmarks: usize,
}

/// What a visit of the desk's holder found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// The window is what lay in the inbox.
    Direct,
    /// It lies in the stage and has to be sorted.
    Staged,
    /// Something, which was left there.
    Left,
    /// Nothing.
    Empty,
}

/// How the holder of the desk wants to visit.
pub(crate) struct Fetch<'a> {
    /// The visiting seat's bit; 0 when it is no seat that visits.
    pub(crate) seat_bit: u64,
    /// Sleep if nothing is there.
    pub(crate) park: bool,
    /// Leave deliveries that can be handed out where they are: older ones come first.
    pub(crate) leave: bool,
    /// Most deliveries that may go straight to `window`.
    pub(crate) direct: usize,
    /// Empty; receives a direct window.
    pub(crate) window: &'a mut Vec<Delivery>,
    /// Empty; receives what has to be sorted.
    pub(crate) stage: &'a mut Vec<Delivery>,
    /// Receives what may be read back out of the journal; `None` = nothing is recorded.
    pub(crate) behind: &'a mut Option<Behind>,
    /// Receives what has to wait for a time.
    pub(crate) later: &'a mut Vec<(u64, Delivery)>,
    /// Receives those who waited for room.
    pub(crate) freed: &'a mut Wakes,
    /// Receives the seats asleep. While the desk is held none falls asleep, so it is an upper bound.
    pub(crate) parked: &'a mut u64,
}

/// What a publisher has to do after it let go of the inbox.
#[derive(Default)]
pub(crate) struct Nudge {
    pub(crate) wake: Option<Arc<dyn Wake>>,
    /// Nobody attends, or a time has to be watched: tell the desk.
    pub(crate) raise: bool,
}

// === impl Inbox ===

impl Inbox {
    pub(crate) fn new(
        spec: &SubscriptionSpec,
        max_waiters: usize,
        journal: Option<Arc<Journal>>,
    ) -> Inbox {
        let (limits, backlog) = (spec.limits, spec.backlog);
        let state = InboxState {
            buffer: Vec::new(),
            buffer_bytes: 0,
            later: Vec::new(),
            later_bytes: 0,
            intake: Intake::default(),
            is_ordered: spec.order != Order::None,
            next_id: 0,
            base: 0,
            desk: Load::default(),
            parked: 0,
            wakes: Vec::new(),
            blocked: 0,
            waiters: Vec::new(),
            unattended: true,
            closed: false,
            moved: false,
            dropped: Dropped::default(),
            buried: 0,
            cut_off: CutOff::default(),
            holding_back: 0,
        };
        let state = Mutex::new(state);
        let is_ordered = spec.order != Order::None;
        let (room, overflow) = (Condvar::new(), spec.overflow);
        Inbox { state, room, limits, backlog, is_ordered, overflow, journal, max_waiters }
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, InboxState> {
        lock(&self.state)
    }

    pub(crate) fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// Desk holder: says what waits at the desk and takes what is there, straight into the window if
    /// that is allowed, else into the stage. If nothing is there and the seat wants to park, it
    /// counts as asleep; otherwise it counts as awake.
    #[inline]
    pub(crate) fn visit(&self, desk: Load, fetch: Fetch<'_>) -> Visit {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.parked &= !fetch.seat_bit;
        let mut desk = desk;
        if !state.later.is_empty() {
            desk.count += state.later.len();
            desk.bytes += mem::take(&mut state.later_bytes);
            fetch.later.append(&mut state.later);
        }
        if !state.intake.is_empty() {
            let reached = self.reached();
            let moved = state.intake.release(reached, fetch.stage, fetch.later);
            desk.count += moved.count;
            desk.bytes += moved.bytes;
            *fetch.behind = Some(self.behind(state, reached));
        }
        state.desk = desk;
        let visit = match state.buffer.len() {
            n if !fetch.stage.is_empty() => {
                let bytes = mem::take(&mut state.buffer_bytes);
                fetch.stage.append(&mut state.buffer);
                // Two runs in the order of acceptance become one.
                fetch.stage.sort_by_key(Delivery::id);
                state.desk = Load { count: desk.count + n, bytes: desk.bytes + bytes, ..desk };
                Visit::Staged
            }
            0 => {
                if fetch.park {
                    state.parked |= fetch.seat_bit;
                }
                Visit::Empty
            }
            _ if fetch.leave => Visit::Left,
            n if n <= fetch.direct => {
                mem::swap(&mut state.buffer, fetch.window);
                state.buffer_bytes = 0;
                Visit::Direct
            }
            n => {
                mem::swap(&mut state.buffer, fetch.stage);
                let bytes = mem::take(&mut state.buffer_bytes);
                state.desk = Load { count: desk.count + n, bytes: desk.bytes + bytes, ..desk };
                Visit::Staged
            }
        };
        *fetch.parked = state.parked;
        self.announce_room(guard, fetch.freed);
        visit
    }

    /// Desk holder: says what waits at the desk now.
    pub(crate) fn report(&self, desk: Load, freed: &mut Wakes) {
        let mut state = self.lock();
        state.desk = desk;
        self.announce_room(state, freed);
    }

    /// Wakes one parked seat of `mask`, or all of them.
    pub(crate) fn unpark(&self, mask: u64, all: bool, wakes: &mut Wakes) {
        let mut state = self.lock();
        let mut picked = state.parked & mask;
        if !all {
            picked &= picked.wrapping_neg();
        }
        state.parked &= !picked;
        while picked != 0 {
            let seat = picked.trailing_zeros() as usize;
            picked &= picked - 1;
            if let Some(Some(wake)) = state.wakes.get(seat) {
                wakes.push(Arc::clone(wake));
            }
        }
    }

    /// Ends the intake and lets everybody go who waits for room.
    pub(crate) fn close(&self, freed: &mut Wakes) {
        let mut state = self.lock();
        state.closed = true;
        freed.append(&mut state.waiters);
        drop(state);
        self.room.notify_all();
    }
}

// === impl InboxState ===

impl InboxState {
    /// Takes a delivery over. There is room, or nobody asked.
    #[inline]
    pub(crate) fn push(&mut self, message: Message, key: u64, now_ns: u64) -> Nudge {
        let delivery = Delivery::new(message, self.next_id, key, now_ns);
        self.next_id += 1;
        if self.waits_in_line() {
            // Whoever seals the first of them looks here again.
            self.intake.seal(Sealed::in_line(delivery));
            return Nudge::default();
        }
        self.buffer_bytes += delivery.size();
        let fresh = self.buffer.is_empty();
        self.put(delivery);
        if fresh { self.nudge() } else { Nudge::default() }
    }

    /// Takes a delivery over that has to wait until `due_ns`.
    pub(crate) fn push_later(
        &mut self,
        message: Message,
        key: u64,
        now_ns: u64,
        due_ns: u64,
    ) -> Nudge {
        let delivery = Delivery::new(message, self.next_id, key, now_ns);
        self.next_id += 1;
        self.later_bytes += delivery.size();
        self.later.push((due_ns, delivery));
        Nudge { wake: None, raise: self.later.len() == 1 }
    }

    /// Takes out what lies here.
    pub(crate) fn take_buffer(&mut self) -> Vec<Delivery> {
        self.buffer_bytes = 0;
        mem::take(&mut self.buffer)
    }

    /// Takes out what has to wait for a time.
    pub(crate) fn take_later(&mut self) -> Vec<(u64, Delivery)> {
        self.later_bytes = 0;
        mem::take(&mut self.later)
    }

    /// Nothing new comes in.
    pub(crate) fn shut(&mut self) {
        self.closed = true;
    }

    /// Another one takes its place.
    pub(crate) fn move_out(&mut self) {
        (self.closed, self.moved) = (true, true);
    }

    /// Everything that waits here or at the desk.
    #[inline]
    pub(super) fn load(&self) -> Load {
        let sealed = self.intake.in_memory();
        Load {
            count: self.buffer.len() + self.later.len() + sealed.count + self.desk.count,
            bytes: self.buffer_bytes + self.later_bytes + sealed.bytes + self.desk.bytes,
            bookmarks: self.desk.bookmarks,
        }
    }

    /// Shows everything that is here, with when it is due; 0 = now.
    pub(crate) fn each<'a>(&'a self, mut see: impl FnMut(u64, &'a Delivery)) {
        self.buffer.iter().for_each(|delivery| see(0, delivery));
        self.later.iter().for_each(|(due_ns, delivery)| see(*due_ns, delivery));
    }

    /// The buffer was empty and is not any more.
    pub(super) fn nudge(&mut self) -> Nudge {
        if self.parked == 0 {
            return Nudge { wake: None, raise: self.unattended };
        }
        let seat = self.parked.trailing_zeros() as usize;
        self.parked &= self.parked - 1;
        Nudge { wake: self.wakes.get(seat).cloned().flatten(), raise: false }
    }

    /// Takes a delivery over and drops it in the same instant.
    pub(crate) fn drop_newest(&mut self) {
        self.next_id += 1;
        self.dropped.add(DropReason::Newest, 1);
    }

    /// Takes a delivery id over, for a delivery that goes to the desk directly.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(crate) fn is_moved(&self) -> bool {
        self.moved
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The id of the next delivery.
    pub(crate) fn upcoming(&self) -> u64 {
        self.next_id
    }

    /// Starts where an earlier life ended: with that id, after so many deliveries.
    pub(crate) fn resume(&mut self, next_id: u64, accepted: u64) {
        self.next_id = next_id;
        self.base = next_id.wrapping_sub(accepted);
    }

    /// Ids taken so far, by whoever counts here.
    pub(crate) fn taken(&self) -> u64 {
        self.next_id.wrapping_sub(self.base)
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn later(&self) -> usize {
        self.later.len()
    }

    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        self.buffer.first().map(Delivery::accepted_ns)
    }

    pub(crate) fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    pub(crate) fn set_unattended(&mut self, unattended: bool) {
        self.unattended = unattended;
    }

    pub(crate) fn set_wake(&mut self, seat: usize, wake: Option<Arc<dyn Wake>>) {
        if self.wakes.len() <= seat {
            self.wakes.resize(seat + 1, None);
        }
        self.wakes[seat] = wake;
        self.parked &= !(1 << seat);
    }

    /// Clears a seat's bit; returns whether it was set.
    pub(crate) fn clear_parked(&mut self, seat: usize) -> bool {
        let was = self.parked & 1 << seat != 0;
        self.parked &= !(1 << seat);
        was
    }
}

impl std::fmt::Debug for InboxState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboxState")
            .field("next_id", &self.next_id)
            .field("buffer", &self.buffer.len())
            .field("desk", &self.desk)
            .field("parked", &format_args!("{:b}", self.parked))
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
