//! Waiting for a value instead of sleeping.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a look may be apart from the next: short enough not to be felt, long enough to leave
/// the processor to the code under test.
const INTERVAL: Duration = Duration::from_millis(2);

/// Asks `look` until it answers, and returns the answer.
///
/// It waits on a *level*: `look` reads a value, it does not consume an event, so that nothing is
/// missed between two looks.
///
/// # Panics
/// When `deadline` passes without an answer, naming `what` was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain for: {what}");
        thread::sleep(INTERVAL);
    }
}
