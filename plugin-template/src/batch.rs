//! Publishing many messages at once.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    ptr,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use patchbay_abi::{Waker, host::publish as code};

use crate::{
    error::PluginError,
    host::{HostRef, Link, PublishAnswer},
    message::Message,
    scope::Scope,
    transport::{PublishError, cause_of, class_of, refusal},
};

/// Messages that are tried at once after a wait for room: the host looks at each of them.
const FEW: usize = 16;
/// And at most.
const MANY: usize = code::MANY_MAX as usize;

/// A publish of many messages, in order, that waits for room. Nothing happens until it is polled. It
/// tells how many were published: all of them.
///
/// # Errors
/// [`PublishBatchError`]; those before the message that stopped it stay published.
///
/// # Cancel safety
/// Dropped before it is ready, some messages from the front may have been published.
#[derive(Debug)]
#[must_use = "nothing is published until this is awaited"]
pub struct PublishBatch {
    link: Arc<Link>,
    queue: Queue,
    cause: Option<Message>,
    /// In a loop of our own: the host's promise to tell when there is room. 0 = none.
    token: u64,
}

/// Why not all messages of a batch were published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishBatchError {
    /// How many were published, from the front.
    pub accepted: usize,
    /// Why the next one was not; it is in there if it found no room.
    pub error: PublishError,
    /// Those behind it, which were not tried.
    pub rest: Vec<Message>,
}

/// What is still to be published.
#[derive(Debug)]
struct Queue {
    messages: vec::IntoIter<Message>,
    accepted: usize,
    /// How many are tried at once.
    window: usize,
}

// === impl PublishBatch ===

impl PublishBatch {
    pub(crate) fn new(link: Arc<Link>, messages: Vec<Message>) -> Self {
        PublishBatch { link, queue: Queue::new(messages), cause: None, token: 0 }
    }

    /// The message that led to these. Within a handler that is the message it handles; a task that a
    /// handler spawned has to say it.
    pub fn cause(mut self, message: &Message) -> Self {
        self.cause = Some(message.clone());
        self
    }

    /// Publishes what there is room for. `None`: the task is woken when there is more.
    fn attempt(&mut self, cx: &Context<'_>) -> Option<PublishAnswer> {
        let PublishBatch { link, queue, cause, .. } = self;
        let host = link.host;
        Scope::current(host, |scope| {
            let cause = cause_of(cause.as_ref(), scope);
            if let Some(waker) = scope.and_then(|scope| scope.host_waker(cx.waker())) {
                let answer = queue.publish(host, cause, code::WAIT, waker);
                return (answer.code != code::FULL).then_some(answer);
            }
            #[cfg(feature = "tokio")]
            if link.tokens.is_served() {
                let publish = |flags| queue.publish(host, cause, flags, ptr::null());
                return link.tokens.publish(&mut self.token, cx.waker(), publish);
            }
            Some(queue.publish(host, cause, 0, ptr::null()))
        })
    }
}

impl Future for PublishBatch {
    type Output = Result<usize, PublishBatchError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while !self.queue.is_empty() {
            match self.attempt(cx) {
                None => return Poll::Pending,
                Some(answer) => self.queue.go_on(&answer)?,
            }
        }
        Poll::Ready(Ok(self.queue.accepted))
    }
}

impl Drop for PublishBatch {
    fn drop(&mut self) {
        #[cfg(feature = "tokio")]
        self.link.tokens.forget(self.link.host, self.token);
        #[cfg(not(feature = "tokio"))]
        debug_assert_eq!(self.token, 0, "tokens are for loops of our own");
    }
}

pub(crate) fn publish_now(link: &Link, messages: Vec<Message>) -> Result<usize, PublishBatchError> {
    let mut queue = Queue::new(messages);
    Scope::current(link.host, |scope| {
        let cause = cause_of(None, scope);
        while !queue.is_empty() {
            let answer = queue.publish(link.host, cause, 0, ptr::null());
            queue.go_on(&answer)?;
        }
        Ok(queue.accepted)
    })
}

// === impl Queue ===

impl Queue {
    fn new(messages: Vec<Message>) -> Queue {
        Queue { messages: messages.into_iter(), accepted: 0, window: MANY }
    }

    fn is_empty(&self) -> bool {
        self.messages.as_slice().is_empty()
    }

    fn publish(
        &mut self,
        host: HostRef,
        cause: *const patchbay_abi::Message,
        flags: u32,
        waker: *const Waker,
    ) -> PublishAnswer {
        let messages = self.messages.as_slice();
        let messages = &messages[..messages.len().min(self.window)];
        let (accepted, answer) = host.publish_many(messages, cause, flags, waker);
        for message in self.messages.by_ref().take(accepted) {
            // The host has taken the reference over.
            let _taken = message.into_raw();
        }
        self.accepted += accepted;
        self.window = match answer.code {
            code::ACCEPTED => self.window.saturating_mul(2).min(MANY),
            _ => accepted.max(FEW),
        };
        answer
    }

    /// What comes after an answer: the next ones, or the end.
    fn go_on(&mut self, answer: &PublishAnswer) -> Result<(), PublishBatchError> {
        if answer.code == code::ACCEPTED {
            return Ok(());
        }
        let Some(refused) = self.messages.next() else { return Ok(()) };
        let error = refusal(answer.code, refused);
        Err(PublishBatchError {
            accepted: self.accepted,
            error,
            rest: self.messages.by_ref().collect(),
        })
    }
}

// === impl PublishBatchError ===

impl fmt::Display for PublishBatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.accepted + 1 + self.rest.len();
        write!(f, "published {} of {all} messages", self.accepted)
    }
}

impl std::error::Error for PublishBatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<PublishBatchError> for PluginError {
    /// As of the publish that stopped it.
    fn from(error: PublishBatchError) -> Self {
        PluginError::from_error(class_of(&error.error), &error)
    }
}
