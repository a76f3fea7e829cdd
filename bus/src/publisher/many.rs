//! Publishing many messages at once: in order from the front, up to the first that is refused.

use std::collections::VecDeque;

use patchbay_slab::Message;

use super::{
    Pending, PublishError, Publisher, Refused, Terms,
    admit::{Admission, Patience, Start},
};
use crate::durability::Level;

/// What was submitted and is waited for at the end, once for all of it.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// The last record of each level stands for those before it.
    last: [Option<Pending>; Level::ALL.len()],
    others: Vec<Pending>,
}

impl Publisher {
    /// Publishes messages that exist, from the front, as
    /// [`publish_message`](Publisher::publish_message) does with one. Those of one topic that follow
    /// each other take each queue's lock once and wake at most once, and what is recorded is waited
    /// for together. Returns how many were accepted, and what stopped the next one: it and those
    /// behind it are left in `messages`.
    ///
    /// When the journal fails, which of its messages are there is known after a restart: they are not
    /// counted as accepted, and are not left either.
    pub fn publish_messages(
        &mut self,
        messages: &mut VecDeque<Message>,
        cause: Option<&Message>,
        no_wait: bool,
    ) -> (usize, Option<PublishError>) {
        let mut accepted = 0;
        while let Some(first) = messages.front() {
            let (more, stopped) = match self.level_of(first.topic()) {
                Ok(Level::Memory) => self.publish_alike(messages, cause, no_wait),
                Ok(_) => self.publish_together(messages, cause, no_wait),
                Err(error) => (0, Some(error)),
            };
            accepted += more;
            if stopped.is_some() {
                return (accepted, stopped);
            }
        }
        (accepted, None)
    }

    /// Publishes from the front what is of one topic.
    fn publish_alike(
        &mut self,
        messages: &mut VecDeque<Message>,
        cause: Option<&Message>,
        no_wait: bool,
    ) -> (usize, Option<PublishError>) {
        let Some(first) = messages.front() else { return (0, None) };
        let run = messages.iter().take_while(|message| message.topic() == first.topic()).count();
        let mut stopped = None;
        for _ in 0..run {
            let Some(message) = messages.pop_front() else { break };
            match self.follow(message, cause) {
                Ok(message) => self.ready.push_back(message),
                Err(Refused { error, message }) => {
                    messages.push_front(message);
                    stopped = Some(error);
                    break;
                }
            }
        }
        let Some(first) = self.ready.front() else { return (0, stopped) };
        let made = self.ready.len();
        let result = match self.cache.find(&self.broker, first.topic()) {
            Ok(route) => {
                let admission = Admission {
                    broker: &self.broker,
                    now_ns: self.stamp.now_ns,
                    patience: Patience::of(cause.is_none() && !no_wait),
                    follows: cause.is_some(),
                    start: Start::Now,
                };
                admission.admit(route, &mut self.ready)
            }
            Err(error) => Err(PublishError::Topic(error)),
        };
        let accepted = made - self.ready.len();
        while let Some(left) = self.ready.pop_back() {
            messages.push_front(left);
        }
        (accepted, result.err().or(stopped))
    }

    /// Publishes from the front what is recorded, and waits once for all of it.
    #[cold]
    fn publish_together(
        &mut self,
        messages: &mut VecDeque<Message>,
        cause: Option<&Message>,
        no_wait: bool,
    ) -> (usize, Option<PublishError>) {
        let mut awaited = Awaited::default();
        let mut stopped = None;
        let mut submitted = 0;
        while let Some(first) = messages.front() {
            match self.level_of(first.topic()) {
                Ok(Level::Memory) => break,
                Ok(_) => {}
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
            let Some(message) = messages.pop_front() else { break };
            let terms = Terms { no_wait, ..Terms::default() };
            let followed = self.follow(message, cause);
            match followed.and_then(|message| self.accept(message, terms, cause)) {
                Ok(pending) => {
                    submitted += 1;
                    awaited.add(pending, cause);
                }
                Err(Refused { error, message }) => {
                    messages.push_front(message);
                    stopped = Some(error);
                    break;
                }
            }
        }
        match awaited.wait() {
            Ok(()) => (submitted, stopped),
            Err(error) => (0, Some(error)),
        }
    }
}

// === impl Awaited ===

impl Awaited {
    /// One more. What becomes of a recorded cause is recorded behind it: then nobody waits.
    pub(super) fn add(&mut self, pending: Pending, cause: Option<&Message>) {
        if cause.is_some_and(|cause| cause.mark() != 0) {
            return Pending::release(pending);
        }
        let slot = &mut self.last[pending.promised().level as usize];
        let leads_elsewhere = |before: &Pending| !before.leads_to_the_same_as(&pending);
        if slot.as_ref().is_some_and(leads_elsewhere) {
            self.others.extend(slot.take());
        }
        *slot = Some(pending);
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// That of the journal: which of them are there is known after a restart.
    pub(super) fn wait(self) -> Result<(), PublishError> {
        let Awaited { last, others } = self;
        others
            .into_iter()
            .chain(last.into_iter().flatten())
            .try_for_each(|pending| pending.wait().map(drop))
    }
}
