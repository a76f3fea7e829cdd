//! Request and reply. The request carries a topic of its own for the reply; whoever publishes there
//! answers it. That topic leads past all subscriptions, straight to the one who asked.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use dashmap::DashMap;
use patchbay_slab::Message;
use tokio::sync::oneshot;

use crate::{
    broker::{Broker, Inner},
    publisher::{Outgoing, PublishError, Publisher},
    timer::TimerToken,
    wake::Wake,
};

/// First tokens of every topic for a reply.
pub const REPLY_PREFIX: &str = "$PB.reply.";
/// Header that names the topic for the reply.
pub const REPLY_TO: &str = "Patchbay-Reply-To";

/// Requests that wait for their reply, by the last token of their topic.
#[derive(Debug, Default)]
pub(crate) struct Requests(DashMap<Box<str>, oneshot::Sender<Answer>>);

#[derive(Debug)]
enum Answer {
    Reply(Message),
    Timeout,
}

/// A reply that is awaited. Dropping it forgets the request.
#[derive(Debug)]
pub struct Reply {
    receiver: oneshot::Receiver<Answer>,
    topic: Box<str>,
    timer: Option<TimerToken>,
    timeout: Duration,
    broker: Broker,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody subscribes to the topic.
    #[error("nobody answers requests on `{topic}`: no subscription matches it")]
    NoResponders {
        /// The topic asked.
        topic: String,
    },
    /// Nobody replied in time.
    #[error("no reply within {:?}", .0)]
    Timeout(Duration),
    /// Too many requests wait.
    #[error("cannot send another request: {0} wait for their reply")]
    TooMany(usize),
    /// The request could not be published.
    #[error("cannot publish the request")]
    Publish(#[source] PublishError),
    /// The broker was shut down.
    #[error("the bus is closed")]
    Closed,
}

/// The timer must not keep the bus alive.
struct Expire {
    broker: Weak<Inner>,
    topic: Box<str>,
}

// === impl Requests ===

impl Requests {
    /// Gives a message to whoever waits for it on that topic. 1, or 0 when nobody does.
    pub(crate) fn answer(&self, message: Message) -> u32 {
        let token = message.topic().strip_prefix(REPLY_PREFIX).unwrap_or_default();
        let Some(sender) = self.forget(token) else { return 0 };
        u32::from(sender.send(Answer::Reply(message)).is_ok())
    }

    fn forget(&self, token: &str) -> Option<oneshot::Sender<Answer>> {
        self.0.remove(token).map(|(_, sender)| sender)
    }
}

// === impl Broker ===

impl Broker {
    /// Publishes a request and returns the reply to wait for. The header [`REPLY_TO`] is added to
    /// those of `request`. The timeout runs on the broker's timer.
    ///
    /// # Errors
    /// [`RequestError::NoResponders`] at once when no subscription matches, and whatever keeps the
    /// request from being published.
    pub fn request(
        &self,
        publisher: &mut Publisher,
        request: Outgoing<'_>,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        let requests = self.requests();
        let max = self.config().max_requests;
        if requests.0.len() >= max {
            return Err(RequestError::TooMany(max));
        }
        let token: Box<str> = format!("{:032x}", self.words()).into();
        let reply_to = format!("{REPLY_PREFIX}{token}");
        let mut headers = request.headers.to_vec();
        headers.push((REPLY_TO, &reply_to));
        let (sender, receiver) = oneshot::channel();
        requests.0.insert(token.clone(), sender);
        // Forgets the request on every way out.
        let mut reply =
            Reply { receiver, topic: token.clone(), timer: None, timeout, broker: self.clone() };
        let published = publisher.publish(Outgoing { headers: &headers, ..request });
        let routed = match published {
            Ok(published) => published.routed,
            Err(PublishError::NoMatch) => 0,
            Err(error) => return Err(RequestError::Publish(error)),
        };
        if routed == 0 {
            return Err(RequestError::NoResponders { topic: request.topic.to_owned() });
        }
        let due = self.clock().now_ns().saturating_add(crate::clock::nanoseconds(timeout));
        let expire = Expire { broker: self.downgrade(), topic: token };
        reply.timer = self.wake_at(due, Arc::new(expire));
        if reply.timer.is_none() {
            return Err(RequestError::TooMany(max));
        }
        Ok(reply)
    }
}

impl Wake for Expire {
    fn wake(&self) {
        let Some(broker) = self.broker.upgrade() else { return };
        if let Some(sender) = broker.requests.forget(&self.topic) {
            // Nobody listens any more: then nobody has to be told.
            drop(sender.send(Answer::Timeout));
        }
    }
}

// === impl Reply ===

impl Future for Reply {
    type Output = Result<Message, RequestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.receiver).poll(context);
        answer.map(|answer| match answer {
            Ok(Answer::Reply(message)) => Ok(message),
            Ok(Answer::Timeout) => Err(RequestError::Timeout(self.timeout)),
            Err(_) => Err(RequestError::Closed),
        })
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.broker.requests().forget(&self.topic);
        if let Some(timer) = self.timer {
            self.broker.cancel(timer);
        }
    }
}
