//! The libraries that are loaded, and the lane source that feeds them.

use std::{
    env, io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::PathBuf,
    task::Waker,
};

use patchbay_loader::{
    Begin, Call, Candidate, Handed, InspectError, InspectLimits, LaneSource, Next, NextOp, Outcome,
};
use patchbay_slab::Message;
use rustix::event::{EventfdFlags, eventfd};

/// Hands one message out again and again, in batches, until `left` is used up. It grants every call
/// and keeps nothing but the last odd outcome.
#[derive(Debug)]
pub struct Repeat {
    message: Message,
    left: u64,
    next_token: u64,
    bell: OwnedFd,
    /// What a call said that was not an acknowledgement.
    pub odd: Option<Outcome>,
}

/// The built library of a bench plugin, beside this executable.
///
/// # Errors
/// What `cargo build` has to be told when it is not there.
pub fn path_of(plugin: &str) -> Result<PathBuf, String> {
    let file = format!("libbench_{plugin}.so");
    let folder = env::current_exe().map_err(|error| format!("no path of my own: {error}"))?;
    let path = folder.with_file_name(&file);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is not built\ntry: cargo build --release -p bench_{plugin}", path.display()))
}

/// Inspects a bench plugin.
///
/// # Errors
/// As [`Candidate::inspect`].
pub fn candidate(path: &std::path::Path) -> Result<Candidate, InspectError> {
    Candidate::inspect(path, &InspectLimits::default())
}

// === impl Repeat ===

impl Repeat {
    /// A source of `count` deliveries of `message`. Its bell is rung once, when they are used up:
    /// until then there is always work.
    ///
    /// # Errors
    /// No eventfd was to be had.
    pub fn new(message: Message, count: u64) -> io::Result<Repeat> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Repeat { message, left: count, next_token: 0, bell, odd: None })
    }
}

impl LaneSource for Repeat {
    fn next(&mut self, max: usize, tokens: &mut Vec<u64>) -> Next {
        if self.left == 0 {
            return Next::Closed;
        }
        let count = self.left.min(max as u64);
        self.left -= count;
        if self.left == 0 {
            // The counter cannot overflow: this is the only write.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
        tokens.extend(self.next_token..self.next_token + count);
        self.next_token += count;
        Next::Some
    }

    fn begin(&mut self, token: u64) -> Begin<'_> {
        Begin::Go(Handed {
            message: &self.message,
            id: token,
            accepted_ns: 0,
            attempt: 1,
            subscription: 0,
        })
    }

    fn suspend(&mut self, _: u64) {}

    fn complete(&mut self, _: u64, outcome: Outcome) {
        if !matches!(outcome, Outcome::Ack(_)) {
            self.odd = Some(outcome);
        }
    }

    fn next_op(&mut self) -> NextOp {
        if self.left == 0 { NextOp::Closed } else { NextOp::Empty }
    }

    fn op_done(&mut self, _: u64, _: Outcome) {}

    fn cancelled(&mut self, _: Call) -> bool {
        false
    }

    fn ready(&mut self, _: usize, _: &mut Vec<u64>) {}

    fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    fn alarm(&self) -> Waker {
        Waker::noop().clone()
    }

    fn wait(&mut self) {}
}
