//! A transport that records.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchbay_abi::host::publish as code;
use patchbay_slab::Message as Raw;

use super::transport::{Inlet, MessageTransport, Refused, Then};
use crate::message::{Message, MessageId};

/// Accepts messages and keeps them for the test to look at. It delivers nothing.
#[derive(Debug, Default)]
pub struct MockTransport {
    state: Arc<Mutex<State>>,
}

/// A message that a plugin published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// The message.
    pub message: Message,
    /// The message whose handler published it.
    pub cause: Option<MessageId>,
}

#[derive(Default)]
struct State {
    sent: Vec<Sent>,
    /// How many more are accepted; `None` = any number.
    room: Option<usize>,
    refusal: Option<i32>,
    waiting: Vec<Then>,
    patterns: Vec<Option<String>>,
}

// === impl MockTransport ===

impl MockTransport {
    /// Accepts everything.
    #[must_use]
    pub fn new() -> Self {
        MockTransport::default()
    }

    /// What was published so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.clone()
    }

    /// The messages that were published to a topic so far.
    #[must_use]
    pub fn published(&self, topic: &str) -> Vec<Message> {
        let state = self.lock();
        let sent = state.sent.iter().map(|sent| &sent.message);
        sent.filter(|message| message.topic() == topic).cloned().collect()
    }

    /// From now on so many messages are accepted, and further ones find no room. Who waits for room
    /// tries again.
    pub fn set_room(&self, messages: usize) {
        let mut state = self.lock();
        state.room = Some(messages);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(|then| then());
    }

    /// From now on every message is denied.
    pub fn deny(&self) {
        self.lock().refusal = Some(code::DENIED);
    }

    /// The patterns that the plugin has subscribed to by itself.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        self.lock().patterns.iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Calls `then` when there is room: at once, when it was made meanwhile.
fn wait(state: &Mutex<State>, then: Then) {
    let mut state = lock(state);
    if state.room == Some(0) {
        state.waiting.push(then);
        return;
    }
    drop(state);
    then();
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MessageTransport for MockTransport {
    fn accept(&self, message: &Raw, cause: Option<&Raw>) -> Result<u32, Refused> {
        let mut state = self.lock();
        if let Some(refusal) = state.refusal {
            return Err(Refused::Code(refusal));
        }
        match &mut state.room {
            Some(0) => {
                let shared = self.state.clone();
                return Err(Refused::Full(Box::new(move |then| wait(&shared, then))));
            }
            Some(room) => *room -= 1,
            None => {}
        }
        // SAFETY: a reference was just taken for it.
        let Some(message) = (unsafe { Message::from_raw(message.clone().into_raw()) }) else {
            return Err(Refused::Code(code::INVALID));
        };
        state.sent.push(Sent { message, cause: cause.map(|cause| MessageId(cause.id())) });
        Ok(1)
    }

    fn add_subscription(&self, _owner: &str, pattern: &str, _inlet: Inlet) -> Result<i64, i32> {
        let patterns = &mut self.lock().patterns;
        patterns.push(Some(pattern.to_owned()));
        i64::try_from(patterns.len() - 1).map_err(|_| code::CLOSED)
    }

    fn remove_subscription(&self, subscription: i64) -> bool {
        let at = usize::try_from(subscription).unwrap_or(usize::MAX);
        self.lock().patterns.get_mut(at).is_some_and(|pattern| pattern.take().is_some())
    }
}

// === impl State ===

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("sent", &self.sent)
            .field("room", &self.room)
            .field("waiting", &self.waiting.len())
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}
