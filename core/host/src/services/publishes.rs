//! What a library publishes, one by one or many at once: permitted, captured or traced, and answered
//! without waiting for room.

use std::{collections::VecDeque, fmt::Write, num::NonZeroU64, sync::Arc};

use patchbay_bus::{Outgoing, PublishError, Room, Subscription, Wake};
use patchbay_loader::{Publish, PublishMany, Refused, Wait};
use patchbay_slab::Message;

use super::{Headers, PluginServices, TRACEPARENT, WakeCall, WakeToken, voice::Voice};
use crate::{telemetry::trace::TraceContext, transit::observer::Compared};

/// How often a publish that finds room between being refused and asking to be told is tried.
const TRIES: u32 = 4;

impl PluginServices {
    pub(super) fn publish_one(&self, request: &Publish<'_>) -> Result<u32, Refused> {
        let Publish { message, cause, ref wait } = *request;
        self.with_voice(|voice| {
            if !self.may_publish(voice, message.topic()) {
                return Err(Refused::Denied);
            }
            if let Some(compared) = self.observer.compared_publishes() {
                compared.publishes(cause, message);
                if compared.captures() {
                    // To the library it looks as if somebody had taken it.
                    return Ok(1);
                }
            }
            let traced = self.traced(voice, message, cause);
            let mut outgoing = traced.map_err(|error| refusal(&error))?;
            for _ in 0..TRIES {
                let refused = match voice.publisher.publish_message(outgoing, cause, true) {
                    Ok(published) => return Ok(published.routed),
                    Err(refused) => refused,
                };
                self.go_on(&refused.error, refused.message.size(), wait)?;
                outgoing = refused.message;
            }
            Err(self.try_later(wait))
        })
    }

    pub(super) fn publish_all(&self, request: &PublishMany<'_>) -> (usize, Option<Refused>) {
        let PublishMany { messages, cause, ref wait } = *request;
        self.with_voice(|voice| {
            let compared = self.observer.compared_publishes();
            let captured = compared.as_ref().is_some_and(Compared::captures);
            let mut outgoing = VecDeque::with_capacity(if captured { 0 } else { messages.len() });
            let mut permitted = 0;
            let mut stopped = None;
            for message in messages {
                if !self.may_publish(voice, message.topic()) {
                    stopped = Some(Refused::Denied);
                    break;
                }
                if let Some(compared) = &compared {
                    compared.publishes(cause, message);
                }
                if !captured {
                    match self.traced(voice, message, cause) {
                        Ok(message) => outgoing.push_back(message),
                        Err(error) => {
                            stopped = Some(refusal(&error));
                            break;
                        }
                    }
                }
                permitted += 1;
            }
            if captured {
                return (permitted, stopped);
            }
            let (accepted, refused) = self.hand_over(voice, outgoing, cause, wait);
            (accepted, refused.or(stopped))
        })
    }

    fn hand_over(
        &self,
        voice: &mut Voice,
        mut outgoing: VecDeque<Message>,
        cause: Option<&Message>,
        wait: &Wait,
    ) -> (usize, Option<Refused>) {
        let mut accepted = 0;
        let mut tries = 0;
        while tries < TRIES {
            let (more, stopped) = voice.publisher.publish_messages(&mut outgoing, cause, true);
            accepted += more;
            let Some(error) = stopped else { return (accepted, None) };
            // Each message has as many tries as if it were alone.
            tries = if more > 0 { 1 } else { tries + 1 };
            let size = outgoing.front().map_or(0, Message::size);
            if let Err(refused) = self.go_on(&error, size, wait) {
                return (accepted, Some(refused));
            }
        }
        (accepted, Some(self.try_later(wait)))
    }

    /// What comes after a refusal: another try, as there is room by now, or an answer for the library,
    /// which is told of room later if it wants to be.
    fn go_on(&self, error: &PublishError, size: usize, wait: &Wait) -> Result<(), Refused> {
        match error {
            PublishError::Full { subscription } => self.await_room(subscription, size, wait),
            PublishError::BacklogFull { .. } | PublishError::StorageFull => {
                Err(self.try_later(wait))
            }
            other => Err(refusal(other)),
        }
    }

    /// Nobody tells when the journal has room again, nor those who are too many to be told: who waits
    /// tries again after a while.
    fn try_later(&self, wait: &Wait) -> Refused {
        let Some((wake, token)) = self.promise(wait) else { return Refused::Full { token: None } };
        let broker = &self.context.broker;
        let recheck = self.context.settings.limits.publish_recheck.as_nanos();
        let recheck_ns = u64::try_from(recheck).unwrap_or(u64::MAX);
        let due_ns = broker.clock().now_ns().saturating_add(recheck_ns);
        if broker.wake_at(due_ns, wake).is_some() {
            return Refused::Full { token };
        }
        token.into_iter().for_each(|token| self.lanes.forget(token.get()));
        Refused::Full { token: None }
    }

    fn await_room(
        &self,
        subscription: &Subscription,
        size: usize,
        wait: &Wait,
    ) -> Result<(), Refused> {
        let Some((wake, token)) = self.promise(wait) else {
            return Err(Refused::Full { token: None });
        };
        let room = subscription.when_room(size, wake);
        if room == Room::Registered {
            return Err(Refused::Full { token });
        }
        token.into_iter().for_each(|token| self.lanes.forget(token.get()));
        if room == Room::Refused { Err(self.try_later(wait)) } else { Ok(()) }
    }

    /// How a publisher that found no room is told of it; `None` when it does not want to know.
    fn promise(&self, wait: &Wait) -> Option<(Arc<dyn Wake>, Option<NonZeroU64>)> {
        match wait {
            Wait::No => None,
            Wait::Waker(waker) => Some((Arc::new(WakeCall(waker.clone())), None)),
            Wait::Token { lane } => {
                let token = self.lanes.token(*lane);
                let lanes = Arc::downgrade(&self.lanes);
                Some((Arc::new(WakeToken { lanes, token: token.get() }), Some(token)))
            }
        }
    }

    fn may_publish(&self, voice: &mut Voice, topic: &str) -> bool {
        let permissions = &self.prepared.manifest.permissions;
        voice.may(topic, |topic| permissions.may_publish(topic))
    }

    /// The message as it goes out: part of its cause's trace, or of one of its own.
    fn traced(
        &self,
        voice: &mut Voice,
        message: &Message,
        cause: Option<&Message>,
    ) -> Result<Message, PublishError> {
        if message.header(TRACEPARENT).is_some() {
            return Ok(message.clone());
        }
        let Voice { publisher, traceparent, .. } = voice;
        let context = match cause.and_then(|cause| cause.header(TRACEPARENT)) {
            Some(inherited) => inherited,
            None => {
                traceparent.clear();
                // A text takes whatever is written.
                let _ = write!(traceparent, "{}", TraceContext::root(&self.context.dice));
                traceparent
            }
        };
        let mut headers: Headers<'_> = message.headers().collect();
        headers.push((TRACEPARENT, context));
        let outgoing = Outgoing {
            topic: message.topic(),
            key: message.key(),
            headers: &headers,
            id: Some(message.id()),
            expires_ns: message.expires_ns(),
            cause,
            no_wait: true,
            ..Outgoing::default()
        };
        publisher.derive(message, &outgoing)
    }
}

fn refusal(error: &PublishError) -> Refused {
    match error {
        PublishError::Full { .. }
        | PublishError::BacklogFull { .. }
        | PublishError::StorageFull => Refused::Full { token: None },
        PublishError::TooLarge { .. } => Refused::TooLarge,
        PublishError::HopLimit { .. } => Refused::HopLimit,
        PublishError::Closed | PublishError::JournalFailed { .. } => Refused::Closed,
        _ => Refused::Invalid,
    }
}
