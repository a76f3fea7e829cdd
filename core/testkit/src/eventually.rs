//! Waiting for a value instead of sleeping.

use std::{
    fmt::Display,
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
/// When `deadline` passes without an answer, naming `what` was waited for. It is put into words only
/// then, so that [`std::fmt::from_fn`] can tell what is there instead.
#[track_caller]
pub fn eventually<T>(
    what: impl Display,
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain for: {what}");
        thread::sleep(INTERVAL);
    }
}

/// The same in a task: `look` may wait, and the thread is free between two looks.
///
/// # Panics
/// When `deadline` passes without an answer.
#[cfg(feature = "tokio")]
pub async fn eventually_async<T, Look: Future<Output = Option<T>>>(
    what: impl Display,
    deadline: Duration,
    mut look: impl FnMut() -> Look,
) -> T {
    let end = tokio::time::Instant::now() + deadline;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < end, "waited {deadline:?} in vain for: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
