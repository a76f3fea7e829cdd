//! Request and reply. The request carries a topic of its own for the reply; whoever publishes there
//! answers it. That topic leads past all subscriptions, straight to the one who asked.

use std::{
    fmt::{self, Write},
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use dashmap::DashMap;
use foldhash::fast::FixedState;
use patchbay_slab::Message;
use smallvec::SmallVec;

use crate::{
    broker::{Broker, Inner},
    publisher::{FEW_HEADERS, Outgoing, PublishError, Publisher},
    sync::lock,
    timer::TimerToken,
    wake::Wake,
};

/// First tokens of every topic for a reply.
pub const REPLY_PREFIX: &str = "$PB.reply.";
/// Header that names the topic for the reply.
pub const REPLY_TO: &str = "Patchbay-Reply-To";

/// Hexadecimal digits of the number that follows.
const NUMBER_DIGITS: usize = 32;

/// Requests that wait for their reply, by the number in its topic.
#[derive(Debug, Default)]
pub(crate) struct Requests(DashMap<u128, Arc<Asked>, FixedState>);

/// A request, as the one who asked, the timer and whoever answers share it.
struct Asked {
    number: u128,
    /// The timer must not keep the bus alive.
    broker: Weak<Inner>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// With whoever is to be woken.
    Waits(Option<Waker>),
    Answered(Answer),
    /// Nobody wants an answer, or it has been taken.
    Over,
}

#[derive(Debug)]
enum Answer {
    Reply(Message),
    Timeout,
}

/// A reply that is awaited. Dropping it forgets the request.
#[derive(Debug)]
pub struct Reply {
    asked: Arc<Asked>,
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
}

// === impl Requests ===

impl Requests {
    /// Gives a message to whoever waits for it on that topic. 1, or 0 when nobody does.
    pub(crate) fn answer(&self, message: Message) -> u32 {
        let asked = number_in(message.topic()).and_then(|number| self.forget(number));
        u32::from(asked.is_some_and(|asked| asked.settle(Answer::Reply(message))))
    }

    fn forget(&self, number: u128) -> Option<Arc<Asked>> {
        self.0.remove(&number).map(|(_, asked)| asked)
    }
}

/// Appends the topic for a reply.
fn write_topic(number: u128, text: &mut String) {
    // A text takes whatever is written.
    let _ = write!(text, "{REPLY_PREFIX}{number:0NUMBER_DIGITS$x}");
}

/// What [`write_topic`] has written, and nothing else.
fn number_in(topic: &str) -> Option<u128> {
    let digits = topic.strip_prefix(REPLY_PREFIX)?;
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_number = digits.len() == NUMBER_DIGITS && digits.bytes().all(is_digit);
    if is_number { u128::from_str_radix(digits, 16).ok() } else { None }
}

// === impl Asked ===

impl Asked {
    /// False when nobody wants to know, or somebody was faster.
    fn settle(&self, answer: Answer) -> bool {
        let mut state = lock(&self.state);
        let State::Waits(waker) = &mut *state else { return false };
        let waker = waker.take();
        *state = State::Answered(answer);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Wake for Asked {
    /// Its time is over.
    fn wake(&self) {
        let Some(broker) = self.broker.upgrade() else { return };
        if let Some(asked) = broker.requests.forget(self.number) {
            asked.settle(Answer::Timeout);
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("number", &self.number).field("state", &self.state).finish()
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
        let asked = Arc::new(Asked {
            number: self.words(),
            broker: self.downgrade(),
            state: Mutex::new(State::Waits(None)),
        });
        requests.0.insert(asked.number, Arc::clone(&asked));
        // Forgets the request on every way out.
        let mut reply = Reply { asked, timer: None, timeout, broker: self.clone() };
        let mut reply_to = mem::take(&mut publisher.text);
        reply_to.clear();
        write_topic(reply.asked.number, &mut reply_to);
        let mut headers: SmallVec<[_; FEW_HEADERS]> = SmallVec::from_slice(request.headers);
        headers.push((REPLY_TO, &reply_to));
        let published = publisher.publish(Outgoing { headers: &headers, ..request });
        drop(headers);
        publisher.text = reply_to;
        let routed = match published {
            Ok(published) => published.routed,
            Err(PublishError::NoMatch) => 0,
            Err(error) => return Err(RequestError::Publish(error)),
        };
        if routed == 0 {
            return Err(RequestError::NoResponders { topic: request.topic.to_owned() });
        }
        let due = self.clock().now_ns().saturating_add(crate::clock::nanoseconds(timeout));
        let expires: Arc<dyn Wake> = Arc::<Asked>::clone(&reply.asked);
        reply.timer = self.wake_at(due, expires);
        if reply.timer.is_none() {
            return Err(RequestError::TooMany(max));
        }
        Ok(reply)
    }
}

// === impl Reply ===

impl Future for Reply {
    type Output = Result<Message, RequestError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.asked.state);
        match mem::replace(&mut *state, State::Over) {
            State::Answered(Answer::Reply(message)) => Poll::Ready(Ok(message)),
            State::Answered(Answer::Timeout) => {
                Poll::Ready(Err(RequestError::Timeout(self.timeout)))
            }
            State::Waits(waker) => {
                let known = waker.filter(|waker| waker.will_wake(context.waker()));
                *state = State::Waits(known.or_else(|| Some(context.waker().clone())));
                Poll::Pending
            }
            State::Over => Poll::Pending,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.broker.requests().forget(self.asked.number);
        if let Some(timer) = self.timer {
            self.broker.cancel(timer);
        }
        // Nobody reads an answer that is on its way.
        drop(mem::replace(&mut *lock(&self.asked.state), State::Over));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_the_request_it_was_written_for_and_no_other_text_does() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u128::MAX] {
            let mut topic = String::new();
            write_topic(number, &mut topic);
            assert_eq!(topic, format!("{REPLY_PREFIX}{number:032x}"));
            assert_eq!(number_in(&topic), Some(number));
        }
        let zeros = "0".repeat(NUMBER_DIGITS - 1);
        for text in
            ["", "1", &zeros, &format!("+{zeros}"), &format!("A{zeros}"), &format!("{zeros}01")]
        {
            assert_eq!(number_in(&format!("{REPLY_PREFIX}{text}")), None, "{text}");
        }
        assert_eq!(number_in(&format!("orders.{zeros}0")), None);
    }
}
