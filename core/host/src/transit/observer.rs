//! What is seen of one generation's calls while a transition wants to know: how long they take, and
//! what they answer. While none does, it is one flag that is read once a hand-out.
//!
//! It sits between a lane and its library, on the lane's own thread. A candidate that only works on
//! copies is *captured* here: whatever it answers, its copy is settled as acknowledged, and the
//! answer goes to the comparison and nowhere else.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::*},
    },
};

use patchbay_lifecycle::transition::Latencies;
use patchbay_loader::Outcome;
use patchbay_slab::Message;

use super::{
    latency::Histogram,
    outputs::{CallId, Comparison, Side},
};

/// Of the calls of a hand-out, the first is timed and every sixteenth after it.
const TIMED_EVERY: u32 = 16;

/// What is seen of one generation.
#[derive(Debug)]
pub(crate) struct Observer {
    /// Anything below is on.
    on: AtomicBool,
    timed: AtomicBool,
    /// Made when the first call is timed: most generations are never part of a transition.
    latency: OnceLock<Histogram>,
    compared: RwLock<Option<Compared>>,
}

/// With what the answers of a generation are compared.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    comparison: Arc<Comparison>,
    side: Side,
    /// Nothing of it leaves: the generation works on copies.
    captured: bool,
}

/// A lane's own part.
#[derive(Debug)]
pub(crate) struct LaneObserver {
    observer: Arc<Observer>,
    timed: bool,
    compared: Option<Compared>,
    beat: u32,
    /// The call that is being timed.
    running: Option<(u64, u64)>,
    calls: HashMap<u64, CallId>,
}

// === impl Observer ===

impl Observer {
    pub(crate) fn new() -> Arc<Observer> {
        Arc::new(Observer {
            on: AtomicBool::new(false),
            timed: AtomicBool::new(false),
            latency: OnceLock::new(),
            compared: RwLock::new(None),
        })
    }

    /// Times calls, or stops to.
    pub(crate) fn time(&self, on: bool) {
        self.timed.store(on, Release);
        self.on.store(on || self.compared().is_some(), Release);
    }

    pub(crate) fn latencies(&self) -> Latencies {
        self.latency.get().map_or_else(Latencies::default, Histogram::read)
    }

    /// Compares what this generation answers.
    pub(crate) fn compare(&self, comparison: Arc<Comparison>, side: Side) {
        let captured = side == Side::Candidate;
        self.set(Some(Compared { comparison, side, captured }));
    }

    /// Compares nothing any more; what the generation sends goes where it says.
    pub(crate) fn release(&self) {
        self.set(None);
    }

    /// With what it is compared that a handler publishes now.
    pub(crate) fn compared_publishes(&self) -> Option<Compared> {
        if self.on.load(Acquire) { self.compared() } else { None }
    }

    fn compared(&self) -> Option<Compared> {
        self.compared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, compared: Option<Compared>) {
        let is_some = compared.is_some();
        *self.compared.write().unwrap_or_else(PoisonError::into_inner) = compared;
        self.on.store(is_some || self.timed.load(Acquire), Release);
    }
}

// === impl Compared ===

impl Compared {
    /// Whether what handlers publish goes nowhere.
    pub(crate) fn captures(&self) -> bool {
        self.captured
    }

    /// A handler publishes a message.
    pub(crate) fn publishes(&self, cause: Option<&Message>, message: &Message) {
        if let Some(cause) = cause {
            self.comparison.publishes(self.side, cause, message);
        }
    }
}

// === impl LaneObserver ===

impl LaneObserver {
    pub(crate) fn new(observer: Arc<Observer>) -> LaneObserver {
        LaneObserver {
            observer,
            timed: false,
            compared: None,
            beat: 0,
            running: None,
            calls: HashMap::new(),
        }
    }

    /// A hand-out begins.
    #[inline]
    pub(crate) fn look(&mut self) {
        if self.observer.on.load(Relaxed) {
            self.timed = self.observer.timed.load(Acquire);
            self.compared = self.observer.compared();
            self.beat = 0;
        } else if self.timed || self.compared.is_some() {
            (self.timed, self.compared) = (false, None);
        }
    }

    /// A call begins.
    #[inline]
    pub(crate) fn begins(
        &mut self,
        token: u64,
        call: impl FnOnce() -> CallId,
        now_ns: impl FnOnce() -> u64,
    ) {
        if self.timed {
            if self.beat.is_multiple_of(TIMED_EVERY) && self.running.is_none() {
                self.running = Some((token, now_ns()));
            }
            self.beat = self.beat.wrapping_add(1);
        }
        if self.compared.is_some() {
            self.calls.insert(token, call());
        }
    }

    /// Whether nobody wants to know how calls end.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none() & self.calls.is_empty()
    }

    /// A call ended. Returns what is to become of its delivery.
    #[inline]
    pub(crate) fn ends(
        &mut self,
        token: u64,
        outcome: Outcome,
        now_ns: impl FnOnce() -> u64,
    ) -> Outcome {
        if let Some((_, began_ns)) = self.running.take_if(|(running, _)| *running == token) {
            let latency = self.observer.latency.get_or_init(Histogram::new);
            latency.add(now_ns().saturating_sub(began_ns));
        }
        if self.calls.is_empty() { outcome } else { self.answers(token, outcome) }
    }

    #[cold]
    fn answers(&mut self, token: u64, outcome: Outcome) -> Outcome {
        let Some(call) = self.calls.remove(&token) else { return outcome };
        let Some(compared) = self.compared.clone().or_else(|| self.observer.compared()) else {
            return outcome;
        };
        compared.comparison.ended(compared.side, call, &outcome);
        if compared.captured { Outcome::Ack(None) } else { outcome }
    }
}
