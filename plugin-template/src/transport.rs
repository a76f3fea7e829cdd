//! Publishing and subscribing.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    ptr,
    sync::Arc,
    task::{Context, Poll},
};

use patchbay_abi::{Draft, Header, Str, host::publish as code, message::header};

use crate::{
    batch::{self, PublishBatch, PublishBatchError},
    error::{ErrorClass, PluginError},
    host::{Link, PublishAnswer},
    message::{Message, MessageId},
    scope::Scope,
};

/// The message bus, from a plugin's side. A clone is one reference count.
#[derive(Clone, Debug)]
pub struct Transport {
    link: Arc<Link>,
}

/// The number of a subscription made while running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(i64);

/// A message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The message's id.
    pub id: MessageId,
    /// How many subscriptions got it. Zero is not an error: nobody listens.
    pub routed: u32,
}

/// Why a message was not published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// A matching subscription has no room; no subscription got the message, which comes back. From
    /// an awaited publish only where nobody could wake it: on a thread of the plugin's own.
    Full(Message),
    /// The message could not be made.
    Refused {
        /// Where it was to go.
        topic: String,
        /// What was wrong, as far as it is known here.
        reason: String,
    },
    /// Topic or header is not valid.
    Invalid {
        /// Where it was to go.
        topic: String,
    },
    /// The message is larger than the host allows.
    TooLarge {
        /// Where it was to go.
        topic: String,
    },
    /// The host is shutting down.
    Closed,
    /// The plugin may not publish there.
    Denied {
        /// Where it was to go.
        topic: String,
    },
    /// The chain of messages that led to this one is longer than the host allows: a loop?
    HopLimit {
        /// Where it was to go.
        topic: String,
    },
    /// [`Transport::reply`] to a message that asks for no reply.
    NoReplyWanted,
    /// A code this version of the kit does not know.
    Unknown(i32),
}

/// Why a subscription was not made or not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Not a topic pattern.
    Invalid(String),
    /// The plugin may not subscribe there.
    Denied(String),
    /// The host is shutting down.
    Closed,
    /// There is no such subscription.
    NotFound,
    /// A code this version of the kit does not know.
    Unknown(i64),
}

/// A publish that waits for room. Nothing happens until it is polled.
///
/// # Errors
/// [`PublishError`].
///
/// # Cancel safety
/// Dropped before it is ready, nothing was published.
#[derive(Debug)]
#[must_use = "nothing is published until this is awaited"]
pub struct Publish {
    link: Arc<Link>,
    /// Taken when the future is ready.
    message: Option<Result<Message, PublishError>>,
    cause: Option<Message>,
    /// In a loop of our own: the host's promise to tell when there is room. 0 = none.
    token: u64,
}

// === impl Transport ===

impl Transport {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Transport { link }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Publishes a message to a topic and waits for room where a subscription is full. The payload
    /// is shared; key and headers go along.
    pub fn publish(&self, topic: impl AsRef<str>, message: &Message) -> Publish {
        Publish::new(self.link.clone(), self.addressed(topic.as_ref(), message), None)
    }

    /// Publishes a message to a topic, now or not at all.
    ///
    /// # Errors
    /// [`PublishError::Full`] when a subscription has no room, and those of [`Publish`].
    pub fn try_publish(
        &self,
        topic: impl AsRef<str>,
        message: &Message,
    ) -> Result<Published, PublishError> {
        publish_now(&self.link, self.addressed(topic.as_ref(), message)?, None)
    }

    /// Publishes a message to the topic it was built for; waits as [`publish`](Transport::publish).
    pub fn send(&self, message: Message) -> Publish {
        Publish::new(self.link.clone(), Ok(message), None)
    }

    /// Publishes a message to the topic it was built for, now or not at all.
    ///
    /// # Errors
    /// As [`try_publish`](Transport::try_publish).
    pub fn try_send(&self, message: Message) -> Result<Published, PublishError> {
        publish_now(&self.link, message, None)
    }

    /// Publishes messages to the topics they were built for, in order, and waits as
    /// [`publish`](Transport::publish). The host takes them many at once: those of one topic that
    /// follow each other cost little more than one.
    pub fn publish_batch(&self, messages: impl IntoIterator<Item = Message>) -> PublishBatch {
        PublishBatch::new(self.link.clone(), messages.into_iter().collect())
    }

    /// The same, now or not at all: how many were published, which is all of them.
    ///
    /// # Errors
    /// [`PublishBatchError`] with [`PublishError::Full`] when a subscription has no room, and those of
    /// [`PublishBatch`].
    pub fn try_publish_batch(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<usize, PublishBatchError> {
        batch::publish_now(&self.link, messages.into_iter().collect())
    }

    /// Answers a message: to the topic it asks for, with what ties the two together.
    pub fn reply(&self, to: &Message, payload: impl AsRef<[u8]>) -> Publish {
        Publish::new(self.link.clone(), self.answer(to, payload.as_ref(), None), Some(to.clone()))
    }

    /// [`reply`](Transport::reply) with a value as JSON.
    #[cfg(feature = "json")]
    pub fn reply_json(&self, to: &Message, value: &(impl serde::Serialize + ?Sized)) -> Publish {
        let answer = match serde_json::to_vec(value) {
            Ok(bytes) => self.answer(to, &bytes, Some("application/json")),
            Err(error) => Err(PublishError::Refused {
                topic: to.reply_to().unwrap_or_default().to_owned(),
                reason: format!("payload has no JSON form: {error}"),
            }),
        };
        Publish::new(self.link.clone(), answer, Some(to.clone()))
    }

    /// Adds a subscription to those of the manifest. Its messages arrive in
    /// [`process_message`](crate::Plugin::process_message).
    ///
    /// # Errors
    /// The pattern is not valid or not allowed.
    pub fn subscribe(&self, pattern: &str) -> Result<SubscriptionId, SubscribeError> {
        let id = self.link.host.subscribe(pattern);
        if id >= 0 {
            return Ok(SubscriptionId(id));
        }
        Err(match i32::try_from(id) {
            Ok(code::INVALID) => SubscribeError::Invalid(pattern.to_owned()),
            Ok(code::DENIED) => SubscribeError::Denied(pattern.to_owned()),
            Ok(code::CLOSED) => SubscribeError::Closed,
            _ => SubscribeError::Unknown(id),
        })
    }

    /// Takes back a subscription made by [`subscribe`](Transport::subscribe).
    ///
    /// # Errors
    /// [`SubscribeError::NotFound`].
    pub fn unsubscribe(&self, subscription: SubscriptionId) -> Result<(), SubscribeError> {
        match self.link.host.unsubscribe(subscription.0) {
            0 => Ok(()),
            _ => Err(SubscribeError::NotFound),
        }
    }

    /// The message itself when it is already addressed so, else one that shares its payload.
    fn addressed(&self, topic: &str, message: &Message) -> Result<Message, PublishError> {
        if message.topic() == topic && message.attempt() == 0 {
            return Ok(message.clone());
        }
        let headers: Vec<Header> = message
            .headers()
            .filter(|(name, _)| !is_of_the_host(name))
            .map(|(name, value)| Header { name: Str::new(name), value: Str::new(value) })
            .collect();
        let draft = draft(topic, Str::from_bytes(message.key_bytes()), &headers, 0);
        self.link.host.message_derive(message, &draft).ok_or_else(|| refused(topic))
    }

    fn answer(
        &self,
        to: &Message,
        payload: &[u8],
        content_type: Option<&str>,
    ) -> Result<Message, PublishError> {
        let topic = to.reply_to().ok_or(PublishError::NoReplyWanted)?;
        let headers: Vec<Header> =
            [(header::CORRELATION_ID, to.correlation_id()), (header::CONTENT_TYPE, content_type)]
                .into_iter()
                .filter_map(|(name, value)| {
                    Some(Header { name: Str::new(name), value: Str::new(value?) })
                })
                .collect();
        let draft = draft(topic, Str::EMPTY, &headers, payload.len());
        let (message, room) = self.link.host.message_new(&draft).ok_or_else(|| refused(topic))?;
        // SAFETY: the host gave room for as many bytes, which nobody else sees yet.
        unsafe { ptr::copy_nonoverlapping(payload.as_ptr(), room, payload.len()) };
        Ok(message)
    }
}

/// The host's own headers that a plugin may set.
pub(crate) const OF_REQUESTS: [&str; 2] = [header::REPLY_TO, header::CORRELATION_ID];

fn is_of_the_host(name: &str) -> bool {
    let own = header::OWN_PREFIX;
    name.get(..own.len()).is_some_and(|start| start.eq_ignore_ascii_case(own))
        && !OF_REQUESTS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn draft(topic: &str, key: Str, headers: &[Header], payload_len: usize) -> Draft {
    Draft {
        size: size_of::<Draft>() as u32,
        flags: 0,
        topic: Str::new(topic),
        key,
        headers: headers.as_ptr(),
        nheaders: headers.len() as u32,
        reserved: 0,
        payload_len,
        id_hi: 0,
        id_lo: 0,
        expires_ns: 0,
    }
}

fn refused(topic: &str) -> PublishError {
    PublishError::Refused {
        topic: topic.to_owned(),
        reason: "the host accepts neither such a topic, nor header, nor size".to_owned(),
    }
}

// === impl Publish ===

impl Publish {
    pub(crate) fn new(
        link: Arc<Link>,
        message: Result<Message, PublishError>,
        cause: Option<Message>,
    ) -> Self {
        Publish { link, message: Some(message), cause, token: 0 }
    }

    fn attempt(&mut self, message: &Message, cx: &Context<'_>) -> Option<PublishAnswer> {
        let host = self.link.host;
        Scope::current(host, |scope| {
            let cause = cause_of(self.cause.as_ref(), scope);
            if let Some(waker) = scope.and_then(|scope| scope.host_waker(cx.waker())) {
                let answer = host.publish(message, cause, code::WAIT, waker);
                return (answer.code != code::FULL).then_some(answer);
            }
            #[cfg(feature = "tokio")]
            if self.link.tokens.is_served() {
                let publish = |flags| host.publish(message, cause, flags, ptr::null());
                return self.link.tokens.publish(&mut self.token, cx.waker(), publish);
            }
            Some(host.publish(message, cause, 0, ptr::null()))
        })
    }
}

impl Future for Publish {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let message = match self.message.take() {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => panic!("a publish was polled after it was ready"),
        };
        match self.attempt(&message, cx) {
            Some(answer) => Poll::Ready(concluded(&answer, message)),
            None => {
                self.message = Some(Ok(message));
                Poll::Pending
            }
        }
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        #[cfg(feature = "tokio")]
        self.link.tokens.forget(self.link.host, self.token);
        #[cfg(not(feature = "tokio"))]
        debug_assert_eq!(self.token, 0, "tokens are for loops of our own");
    }
}

pub(crate) fn publish_now(
    link: &Arc<Link>,
    message: Message,
    cause: Option<&Message>,
) -> Result<Published, PublishError> {
    let answer = Scope::current(link.host, |scope| {
        link.host.publish(&message, cause_of(cause, scope), 0, ptr::null())
    });
    concluded(&answer, message)
}

pub(crate) fn cause_of(
    given: Option<&Message>,
    scope: Option<&Scope>,
) -> *const patchbay_abi::Message {
    match (given, scope) {
        (Some(message), _) => message.as_raw(),
        (None, Some(scope)) => scope.message,
        (None, None) => ptr::null(),
    }
}

fn concluded(answer: &PublishAnswer, message: Message) -> Result<Published, PublishError> {
    if answer.code != code::ACCEPTED {
        return Err(refusal(answer.code, message));
    }
    let id = message.id();
    // The host has taken the reference over.
    let _taken = message.into_raw();
    Ok(Published { id, routed: answer.routed })
}

/// What a code says of a message that was not accepted.
pub(crate) fn refusal(refused: i32, message: Message) -> PublishError {
    let topic = || message.topic().to_owned();
    match refused {
        code::FULL => PublishError::Full(message),
        code::INVALID => PublishError::Invalid { topic: topic() },
        code::TOO_LARGE => PublishError::TooLarge { topic: topic() },
        code::CLOSED => PublishError::Closed,
        code::DENIED => PublishError::Denied { topic: topic() },
        code::HOP_LIMIT => PublishError::HopLimit { topic: topic() },
        other => PublishError::Unknown(other),
    }
}

// === impl PublishError ===

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Full(message) => {
                write!(f, "cannot publish to `{}`: a subscription is full", message.topic())
            }
            PublishError::Refused { topic, reason } => {
                write!(f, "cannot make a message for `{topic}`: {reason}")
            }
            PublishError::Invalid { topic } => {
                write!(f, "cannot publish to `{topic}`: topic or header is not valid")
            }
            PublishError::TooLarge { topic } => {
                write!(f, "cannot publish to `{topic}`: the message is too large")
            }
            PublishError::Closed => f.write_str("cannot publish: the host is shutting down"),
            PublishError::Denied { topic } => {
                write!(f, "cannot publish to `{topic}`: the plugin has no permission")
            }
            PublishError::HopLimit { topic } => {
                write!(f, "cannot publish to `{topic}`: too many messages led to this one")
            }
            PublishError::NoReplyWanted => {
                f.write_str("cannot reply: the message names no topic for a reply")
            }
            PublishError::Unknown(code) => write!(f, "cannot publish: the host answers {code}"),
        }
    }
}

impl std::error::Error for PublishError {}

impl From<PublishError> for PluginError {
    /// Transient where a later attempt may pass, permanent elsewhere.
    fn from(error: PublishError) -> Self {
        PluginError::from_error(class_of(&error), &error)
    }
}

pub(crate) fn class_of(error: &PublishError) -> ErrorClass {
    match error {
        PublishError::Full(_) | PublishError::Closed => ErrorClass::Transient,
        PublishError::NoReplyWanted => ErrorClass::InvalidData,
        _ => ErrorClass::Permanent,
    }
}

// === impl SubscribeError ===

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::Invalid(pattern) => {
                write!(f, "cannot subscribe to `{pattern}`: not a topic pattern")
            }
            SubscribeError::Denied(pattern) => {
                write!(f, "cannot subscribe to `{pattern}`: the plugin has no permission")
            }
            SubscribeError::Closed => f.write_str("cannot subscribe: the host is shutting down"),
            SubscribeError::NotFound => f.write_str("cannot unsubscribe: no such subscription"),
            SubscribeError::Unknown(code) => write!(f, "cannot subscribe: the host answers {code}"),
        }
    }
}

impl std::error::Error for SubscribeError {}

impl From<SubscribeError> for PluginError {
    fn from(error: SubscribeError) -> Self {
        PluginError::from_error(ErrorClass::Permanent, &error)
    }
}
