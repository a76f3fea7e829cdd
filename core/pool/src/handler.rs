//! Who is called with what a lane pulls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use patchbay_bus::{Fault, FaultClass, Verdict};

use crate::{
    config::BATCH_MAX,
    control::OpOutcome,
    feed::{Begin, Feed, Handed, Next, NextOp},
    lane::LaneId,
    outcome::Outcome,
    panic_text,
    watch::HandOff,
};

/// The loop of a lane.
pub trait Handler: Send + Sync + 'static {
    /// Runs on the lane's own thread until the feed is closed, and owns the loop: it asks for
    /// deliveries and control calls, and waits when there are none. Returning earlier, or
    /// panicking, is reported; what the lane then holds goes back, uncharged.
    fn run(&self, lane: LaneId, feed: &mut Feed);

    /// How it begins what it is handed.
    fn hand_off(&self) -> HandOff {
        HandOff::Each
    }
}

/// A handler that is one function, called for one delivery at a time.
#[derive(Debug)]
struct FromFn<F>(F);

/// Makes a handler of a function that answers at once. A panic in it is a fault of the delivery;
/// control calls are answered as done.
pub fn from_fn<F>(handle: F) -> impl Handler
where
    F: Fn(&Handed<'_>) -> Outcome + Send + Sync + 'static,
{
    FromFn(handle)
}

// === impl FromFn ===

impl<F> Handler for FromFn<F>
where
    F: Fn(&Handed<'_>) -> Outcome + Send + Sync + 'static,
{
    fn run(&self, _: LaneId, feed: &mut Feed) {
        loop {
            while let NextOp::Call(call) = feed.next_op() {
                feed.op_done(call.id, OpOutcome::Done(None));
            }
            match feed.next(BATCH_MAX as usize) {
                Next::Batch(batch) => {
                    for token in batch.tokens() {
                        let outcome = match feed.begin(token) {
                            Begin::Go(handed) => self.call(&handed),
                            Begin::Skip => continue,
                            Begin::Stop => break,
                        };
                        feed.complete(token, outcome);
                    }
                }
                Next::Empty => feed.wait(),
                Next::Closed => return,
            }
        }
    }
}

impl<F: Fn(&Handed<'_>) -> Outcome> FromFn<F> {
    fn call(&self, handed: &Handed<'_>) -> Outcome {
        catch_unwind(AssertUnwindSafe(|| (self.0)(handed))).unwrap_or_else(|payload| {
            let fault = Fault { class: FaultClass::Panic, text: panic_text(payload) };
            Outcome::Verdict(Verdict::Fault(fault))
        })
    }
}
