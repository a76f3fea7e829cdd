//! What one lane writes.

use std::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::*},
    },
};

use super::{
    Call, L_CALL, L_CONTROL, L_GENERATION, L_NUMBER, L_UNPLACED, LANE_WORDS, record::CrashRecord,
    stamp,
};

/// What one lane writes. It stays on the lane's own thread.
///
/// A call is named by a token: [`begin`](LaneRecord::begin), then perhaps
/// [`suspend`](LaneRecord::suspend) and [`resume`](LaneRecord::resume) in turn, then
/// [`end`](LaneRecord::end).
pub struct LaneRecord {
    record: Arc<CrashRecord>,
    /// `None`: there is no slot for it.
    slot: Option<usize>,
    words: NonNull<[AtomicU64; LANE_WORDS]>,
    /// The call that runs; 0 = none.
    current: u64,
    /// Calls that are under way and do not run, by token.
    waiting: Vec<Waiting>,
    /// Places of the record that are free, and this lane's.
    free: Vec<usize>,
    /// The fault handler finds the lane by its thread.
    _on_its_thread: PhantomData<*const ()>,
}

struct Waiting {
    token: u64,
    call: [u64; 2],
    /// `None`: it found none.
    place: Option<usize>,
}

// === impl LaneRecord ===

impl LaneRecord {
    pub(super) fn new(
        record: Arc<CrashRecord>,
        slot: Option<usize>,
        generation: u64,
        number: u32,
    ) -> LaneRecord {
        // What has no slot writes to words that nobody reads.
        static NOWHERE: [AtomicU64; LANE_WORDS] = [const { AtomicU64::new(0) }; LANE_WORDS];
        let words = match slot {
            Some(slot) => record.lane_words(slot),
            None => &NOWHERE,
        };
        if slot.is_some() {
            words[L_NUMBER].store(number.into(), Relaxed);
            words[L_GENERATION].store(generation, Release);
        }
        let words = NonNull::from(words);
        stamp::enter(Some((record.words(), slot.map_or(0, |slot| slot + 1))));
        LaneRecord {
            record,
            slot,
            words,
            current: 0,
            waiting: Vec::new(),
            free: Vec::new(),
            _on_its_thread: PhantomData,
        }
    }

    #[inline]
    fn words(&self) -> &[AtomicU64; LANE_WORDS] {
        // SAFETY: static, or in the mapping of the record, which is kept alive here.
        unsafe { self.words.as_ref() }
    }

    /// The library is about to be called.
    #[inline]
    pub fn begin(&mut self, token: u64, call: Call) {
        if self.current != 0 {
            self.suspend(self.current);
        }
        self.run(token, call.to_words());
    }

    #[inline]
    fn run(&mut self, token: u64, call: [u64; 2]) {
        self.current = token;
        let words = self.words();
        words[L_CALL].store(call[0], Relaxed);
        // Last: who finds it finds the other.
        words[L_CALL + 1].store(call[1], Release);
    }

    #[inline]
    fn rest(&mut self) {
        self.current = 0;
        self.words()[L_CALL + 1].store(0, Release);
    }

    /// The call does not run any more, and is not over.
    pub fn suspend(&mut self, token: u64) {
        if self.current != token {
            return;
        }
        if !self.waiting.iter().any(|waiting| waiting.token == token) {
            let call = [0, 1].map(|word| self.words()[L_CALL + word].load(Relaxed));
            let place = self.place(call);
            self.waiting.push(Waiting { token, call, place });
        }
        self.rest();
    }

    /// The library is about to be called again for a call that was suspended.
    pub fn resume(&mut self, token: u64) {
        let found = self.waiting.iter().find(|waiting| waiting.token == token);
        if let Some(call) = found.map(|waiting| waiting.call) {
            self.run(token, call);
        }
    }

    /// The call is over.
    #[inline]
    pub fn end(&mut self, token: u64) {
        if self.current == token {
            self.rest();
        }
        if !self.waiting.is_empty() {
            self.leave(token);
        }
    }

    /// A control call begins.
    pub fn begin_control(&mut self, number: u64) {
        self.words()[L_CONTROL].store(number.wrapping_add(1).max(1), Release);
    }

    /// It is over.
    pub fn end_control(&mut self) {
        self.words()[L_CONTROL].store(0, Release);
    }

    /// Where a call stands that does not run.
    fn place(&mut self, call: [u64; 2]) -> Option<usize> {
        let slot = self.slot?;
        if self.free.is_empty() {
            self.free = self.record.places();
        }
        let place = self.free.pop();
        match place {
            Some(place) => {
                let words = self.record.call_words(place);
                words[1].store(call[0], Relaxed);
                words[2].store(call[1], Relaxed);
                words[0].store(slot as u64 + 1, Release);
            }
            None => {
                self.words()[L_UNPLACED].fetch_add(1, Relaxed);
            }
        }
        place
    }

    fn leave(&mut self, token: u64) {
        let found = self.waiting.iter().position(|waiting| waiting.token == token);
        let Some(index) = found else { return };
        match self.waiting.swap_remove(index).place {
            Some(place) => {
                self.record.call_words(place)[0].store(0, Release);
                self.free.push(place);
            }
            None => {
                self.words()[L_UNPLACED].fetch_sub(1, Relaxed);
            }
        }
    }
}

impl Drop for LaneRecord {
    fn drop(&mut self) {
        stamp::enter(None);
        self.rest();
        self.end_control();
        while let Some(waiting) = self.waiting.last() {
            self.leave(waiting.token);
        }
        if self.slot.is_some() {
            self.words()[L_GENERATION].store(0, Release);
        }
        self.record.leave(self.slot, std::mem::take(&mut self.free));
    }
}

impl fmt::Debug for LaneRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneRecord").field("slot", &self.slot).finish_non_exhaustive()
    }
}
