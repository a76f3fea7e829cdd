//! Short-lived threads that are waited for, but not for ever.
//!
//! Plugin code must run on a thread that ends before the library is closed, and may hang. Such a
//! thread cannot be stopped: it is given up, and asked for again later.

use std::{
    io,
    panic::resume_unwind,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use patchbay_interpose as interpose;

/// What became of the thread.
pub(crate) enum Ran<T> {
    /// It ended in time and is joined: all its destructors have run.
    Done(T),
    /// It still runs.
    Late(Late<T>),
}

/// A thread that did not end in time.
#[derive(Debug)]
pub(crate) struct Late<T>(JoinHandle<T>);

/// Runs `body` on a thread of its own that belongs to a generation.
///
/// # Errors
/// The system has no thread for it.
pub(crate) fn run<T: Send + 'static>(
    name: &str,
    generation: u64,
    limit: Duration,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Ran<T>> {
    let (sender, receiver) = sync_channel(1);
    let thread =
        thread::Builder::new().name(format!("pb-{name}-{generation}")).spawn(move || {
            interpose::enter(generation);
            let result = body();
            // Nobody listens any more when the thread was given up.
            let _ = sender.send(());
            result
        })?;
    match receiver.recv_timeout(limit) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(Ran::Done(join(thread))),
        Err(RecvTimeoutError::Timeout) => Ok(Ran::Late(Late(thread))),
    }
}

/// Joins for real: the end of the body is not the end of the thread's destructors.
fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|payload| resume_unwind(payload))
}

// === impl Late ===

impl<T> Late<T> {
    /// What the thread returned, if it has ended by now.
    pub(crate) fn finish(self) -> Result<T, Late<T>> {
        if self.0.is_finished() { Ok(join(self.0)) } else { Err(self) }
    }
}
