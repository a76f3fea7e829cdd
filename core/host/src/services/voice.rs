//! A thread's own publisher for an instance.
//!
//! A publisher belongs to one thread at a time, and a lane belongs to one instance: so each thread
//! keeps the publishers of the instances it speaks for. Their destructor is the host's own code: it
//! does not bind the thread to any library.

use std::{cell::RefCell, sync::Arc};

use patchbay_bus::{Publisher, REPLY_PREFIX};
use patchbay_wire::Topic;

/// Instances that one thread speaks for at most; the oldest makes room.
const VOICES_MAX: usize = 4;
/// Topics that were found allowed and are not judged again; the oldest makes room.
const TOPICS_MAX: usize = 16;

thread_local! {
    static VOICES: RefCell<Vec<(u64, Voice)>> = const { RefCell::new(Vec::new()) };
}

/// A publisher, and what it may publish.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) publisher: Publisher,
    /// A `traceparent`; kept for its room.
    pub(crate) traceparent: String,
    allowed: Vec<Arc<str>>,
}

// === impl Voice ===

impl Voice {
    pub(crate) fn new(publisher: Publisher) -> Voice {
        Voice { publisher, traceparent: String::new(), allowed: Vec::new() }
    }

    /// Whether a topic may be published to. Answering a request always may.
    pub(crate) fn may(&mut self, topic: &str, judge: impl FnOnce(&Topic) -> bool) -> bool {
        if self.allowed.iter().any(|allowed| **allowed == *topic) {
            return true;
        }
        if topic.starts_with(REPLY_PREFIX) {
            return true;
        }
        // A topic that is not valid is refused by the publisher, which says so.
        let Ok(parsed) = Topic::parse(topic) else { return true };
        let may = judge(&parsed);
        if may {
            if self.allowed.len() >= TOPICS_MAX {
                self.allowed.remove(0);
            }
            self.allowed.push(topic.into());
        }
        may
    }
}

/// Speaks with this thread's voice for an instance. Speaking inside of speaking, or at the very end
/// of a thread, gets a voice for just this once.
pub(crate) fn with<T>(
    instance: u64,
    make: impl Fn() -> Voice,
    speak: impl FnOnce(&mut Voice) -> T,
) -> T {
    let taken = VOICES.try_with(|voices| {
        let mut voices = voices.try_borrow_mut().ok()?;
        let at = voices.iter().position(|(owner, _)| *owner == instance)?;
        Some(voices.swap_remove(at).1)
    });
    let mut voice = taken.ok().flatten().unwrap_or_else(make);
    let said = speak(&mut voice);
    // At the end of a thread there is no place left to keep it.
    let _ = VOICES.try_with(|voices| {
        if let Ok(mut voices) = voices.try_borrow_mut() {
            if voices.len() >= VOICES_MAX {
                voices.remove(0);
            }
            voices.push((instance, voice));
        }
    });
    said
}
