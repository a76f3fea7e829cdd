//! From a subscription of the bus to the lanes of a plugin.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use patchbay_bus::{Begin, Fault, FaultClass, Park, Seat, Split, Subscription, Taken, Verdict};

use super::{
    handled::Handled,
    transport::{Incoming, Inlet},
};
use crate::{error::ErrorClass, message::Message};

/// Calls in flight from one subscription.
const IN_FLIGHT_MAX: usize = 16;

/// The only generation of a plugin in a test.
const GENERATION: u64 = 1;

/// A thread that takes deliveries from a subscription, and says there what became of them. Dropped,
/// it hands out no more, waits for what it handed out, and ends.
#[derive(Debug)]
pub(crate) struct Pump {
    subscription: Arc<Subscription>,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What calls that ended leave for the pump.
struct Ended {
    calls: Mutex<Vec<(u64, Handled)>>,
    pump: Thread,
}

// === impl Pump ===

impl Pump {
    pub(crate) fn start(subscription: Arc<Subscription>, inlet: Inlet) -> Self {
        let closed = Arc::new(AtomicBool::new(false));
        let (own, until) = (subscription.clone(), closed.clone());
        let thread = thread::spawn(move || {
            own.set_split(Split::all(GENERATION));
            match own.seat(GENERATION, Arc::new(thread::current())) {
                Ok(seat) => pump(seat, &inlet, &until),
                Err(error) => panic!("cannot take a seat in a test: {error}"),
            }
        });
        Pump { subscription, closed, thread: Some(thread) }
    }

    pub(crate) fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The transport may be dropped last by a call that the pump itself reports.
            if thread.thread().id() != thread::current().id() {
                let _panicked = thread.join();
            }
        }
    }
}

fn pump(mut seat: Seat, inlet: &Inlet, closed: &AtomicBool) {
    let ended = Arc::new(Ended { calls: Mutex::default(), pump: thread::current() });
    let mut running = 0;
    loop {
        for (token, handled) in ended.take() {
            running -= 1;
            seat.finish(token, verdict(handled));
        }
        if closed.load(Ordering::Acquire) {
            seat.settle();
            if running == 0 {
                return;
            }
            thread::park();
            continue;
        }
        if running == IN_FLIGHT_MAX {
            seat.settle();
            thread::park();
            continue;
        }
        match seat.take(IN_FLIGHT_MAX - running, Park::Yes) {
            Taken::Batch(count) => running += hand_out(&mut seat, count, inlet, &ended),
            Taken::Empty { .. } => thread::park(),
            Taken::Closed if running == 0 => return,
            Taken::Closed => thread::park(),
        }
    }
}

/// Begins the calls of a window. How many were begun.
fn hand_out(seat: &mut Seat, count: usize, inlet: &Inlet, ended: &Arc<Ended>) -> usize {
    let mut begun = 0;
    for position in 0..count {
        match seat.begin(position) {
            Begin::Go => {}
            Begin::Skip => continue,
            Begin::Stop => break,
        }
        let token = seat.token(position);
        let delivery = &seat.deliveries()[position];
        let ended = ended.clone();
        let incoming = Incoming {
            message: delivery.message().clone(),
            id: delivery.id(),
            attempt: delivery.attempt(),
            accepted_ns: seat.accepted_unix_ns(delivery),
            subscription: seat.subscription().index(),
            done: Box::new(move |handled| ended.put(token, handled)),
        };
        seat.suspend(position);
        inlet(incoming);
        begun += 1;
    }
    begun
}

/// What the bus is told; `None` = acknowledged.
fn verdict(handled: Handled) -> Option<Verdict> {
    let fault = |class, text| Some(Verdict::Fault(Fault { class, text }));
    match handled {
        Handled::Acknowledged(_) => None,
        Handled::RetryLater(delay) => {
            Some(Verdict::Retry(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
        }
        Handled::Failed(reason) => Some(Verdict::Failed(reason)),
        Handled::Forward(topic, message) => Some(Verdict::Forward { topic, message: raw(message) }),
        Handled::Error(error) => {
            let class = match error.class() {
                ErrorClass::Transient => FaultClass::Transient,
                ErrorClass::Permanent => FaultClass::Permanent,
                ErrorClass::InvalidData => FaultClass::InvalidData,
            };
            fault(class, error.text().to_owned())
        }
        Handled::Panicked(text) => fault(FaultClass::Panic, text),
        Handled::Cancelled => fault(FaultClass::Timeout, "the call was dropped".to_owned()),
        Handled::Unknown(code) => fault(FaultClass::Invalid, format!("outcome code {code}")),
    }
}

fn raw(message: Message) -> patchbay_bus::Message {
    // SAFETY: every message of a test is one of the slab, and the reference goes along.
    unsafe { patchbay_slab::Message::from_raw(message.into_raw()) }
}

// === impl Ended ===

impl Ended {
    fn put(&self, token: u64, handled: Handled) {
        self.lock().push((token, handled));
        self.pump.unpark();
    }

    fn take(&self) -> Vec<(u64, Handled)> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Handled)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
