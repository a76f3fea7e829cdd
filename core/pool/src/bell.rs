//! How a lane is told that it should look again.
//!
//! One state word and two ways to wake. A lane that found nothing *announces* that it sleeps and
//! then asks once more; whoever brings something afterwards finds the announcement, takes it back
//! and wakes. So a running lane is never woken, however much arrives, and a sleeping one is woken
//! once per sleep.
//!
//! A handler that waits in [`Feed::wait`](crate::Feed::wait) is unparked. A library's own loop
//! watches a file descriptor instead: the first question for it makes the eventfd, which is written
//! from then on. The library never reads it (it watches for edges), so the counter
//! only rises; it would take 2^64 sleeps to fill it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug, Default)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    /// The lane's thread is parked in [`Bell::wait`], or about to be.
    parked: AtomicBool,
    rings: AtomicU64,
    fd: OnceLock<OwnedFd>,
    thread: OnceLock<Thread>,
}

// === impl Bell ===

impl Bell {
    /// Names the calling thread as the one to wake.
    pub(crate) fn belongs_here(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// The descriptor to watch, made at the first call.
    pub(crate) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(fd) = self.fd.get() {
            return Ok(fd.as_fd());
        }
        let made = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(self.fd.get_or_init(|| made).as_fd())
    }

    /// The lane is about to say "nothing"; to be called before it asks for the last time.
    pub(crate) fn announce(&self) {
        // SeqCst with `ring`: either the ringer sees the announcement, or the lane's last question
        // sees what the ringer brought.
        self.asleep.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Whether the lane has said that it sleeps, and nobody has rung since.
    pub(crate) fn announced(&self) -> bool {
        self.asleep.load(Ordering::Acquire)
    }

    /// Something has changed. Wakes the lane if it sleeps.
    pub(crate) fn ring(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if !self.asleep.load(Ordering::Relaxed) || !self.asleep.swap(false, Ordering::SeqCst) {
            return;
        }
        self.rings.fetch_add(1, Ordering::Relaxed);
        if let Some(fd) = self.fd.get() {
            // A full counter (EAGAIN) is readable as well.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
        if self.parked.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// How often the lane was really woken.
    pub(crate) fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }

    /// Waits until somebody rings, or unparks the thread for a reason of its own. Returns at once
    /// if the announcement is gone already.
    pub(crate) fn wait(&self) {
        // SeqCst with `ring`: either it sees the thread parked, or this sees it has rung.
        self.parked.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.parked.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn readable(bell: &Bell) -> bool {
        let fd = bell.fd.get().expect("a descriptor");
        let mut watched = [PollFd::new(fd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut watched, Some(&now)).expect("poll") == 1
    }

    #[test]
    fn the_descriptor_is_written_only_for_a_lane_that_said_it_sleeps() {
        let bell = Bell::default();
        bell.descriptor().expect("make an eventfd");
        bell.ring();
        assert!(!readable(&bell));
        bell.announce();
        bell.ring();
        bell.ring();
        assert!(readable(&bell));
        assert_eq!(bell.rings(), 1);
    }

    #[test]
    fn the_descriptor_is_not_inherited_and_never_blocks() {
        let bell = Bell::default();
        let fd = bell.descriptor().expect("make an eventfd");
        let inherited = rustix::io::fcntl_getfd(fd).expect("flags of the descriptor");
        assert!(inherited.contains(rustix::io::FdFlags::CLOEXEC));
        let status = rustix::fs::fcntl_getfl(fd).expect("flags of the file");
        assert!(status.contains(rustix::fs::OFlags::NONBLOCK));
    }

    #[test]
    fn a_ring_between_the_announcement_and_the_wait_is_not_lost() {
        let bell = Arc::new(Bell::default());
        let other = Arc::clone(&bell);
        let lane = thread::spawn(move || {
            other.belongs_here();
            for _ in 0..10_000 {
                other.announce();
                while other.announced() {
                    other.wait();
                }
            }
        });
        while !lane.is_finished() {
            bell.ring();
        }
        lane.join().expect("the lane ends");
        assert_eq!(bell.rings(), 10_000);
    }
}
