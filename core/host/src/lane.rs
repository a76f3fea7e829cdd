//! Between a pool's lane and a library's: the pool's [`Feed`] as the loader's [`LaneSource`].
//!
//! Nothing is kept here and nothing decided; every function is one call of the feed with its words
//! translated. It runs on the lane's own thread, for every delivery, so it allocates nothing but
//! what a reason in words needs.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    task::Waker,
};

use patchbay_abi::source::op as abi_op;
use patchbay_bus::{Clock, Fault, FaultClass, Verdict};
use patchbay_interpose::crash::{Call as Recorded, lane::LaneRecord};
use patchbay_loader::{self as loader, Call, Handed, LaneSource};
use patchbay_pool::{self as pool, Feed, OpOutcome, Token};
use patchbay_slab::Message;

use crate::transit::observer::{LaneObserver, Observer};

/// No descriptor: whoever waits by the feed never asks for it.
const NO_BELL: RawFd = -1;

/// How the calls of a generation are looked at.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) observer: Arc<Observer>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A feed, as a library sees it.
#[derive(Debug)]
pub(crate) struct FeedSource<'a> {
    feed: &'a mut Feed,
    bell: RawFd,
    observer: LaneObserver,
    clock: Arc<dyn Clock>,
    /// Where it says what it is at.
    record: Option<LaneRecord>,
}

// === impl FeedSource ===

impl<'a> FeedSource<'a> {
    /// For a lane on which the host's own loop runs: it waits by the feed, and has no bell.
    pub(crate) fn of_host_loop(
        feed: &'a mut Feed,
        watch: &Watched,
        record: Option<LaneRecord>,
    ) -> FeedSource<'a> {
        FeedSource::new(feed, NO_BELL, watch, record)
    }

    /// For a lane on which the library's own loop runs, which is told by the bell.
    ///
    /// # Errors
    /// The system has no descriptor left for the bell.
    pub(crate) fn of_own_loop(
        feed: &'a mut Feed,
        watch: &Watched,
        record: Option<LaneRecord>,
    ) -> io::Result<FeedSource<'a>> {
        let bell = feed.bell()?.as_raw_fd();
        Ok(FeedSource::new(feed, bell, watch, record))
    }

    fn new(
        feed: &'a mut Feed,
        bell: RawFd,
        watch: &Watched,
        record: Option<LaneRecord>,
    ) -> FeedSource<'a> {
        let observer = LaneObserver::new(Arc::clone(&watch.observer));
        FeedSource { feed, bell, observer, clock: Arc::clone(&watch.clock), record }
    }
}

impl LaneSource for FeedSource<'_> {
    fn next(&mut self, max: usize, tokens: &mut Vec<u64>) -> loader::Next {
        self.observer.look();
        match self.feed.next(max) {
            pool::Next::Batch(batch) => {
                tokens.extend(batch.tokens().map(Token::to_raw));
                loader::Next::Some
            }
            pool::Next::Empty => loader::Next::Empty,
            pool::Next::Closed => loader::Next::Closed,
        }
    }

    #[inline]
    fn begin(&mut self, token: u64) -> loader::Begin<'_> {
        match self.feed.begin(Token::from_raw(token)) {
            pool::Begin::Go(handed) => {
                let call = || (handed.message().id(), handed.subscription());
                self.observer.begins(token, call, || self.clock.now_ns());
                if let Some(record) = &mut self.record {
                    let call = Recorded {
                        subscription: handed.queue(),
                        delivery: handed.id(),
                        attempt: handed.attempt(),
                        is_durable: handed.is_durable(),
                    };
                    record.begin(token, call);
                }
                loader::Begin::Go(Handed {
                    message: handed.message(),
                    id: handed.id(),
                    accepted_ns: handed.accepted_unix_ns(),
                    attempt: handed.attempt(),
                    subscription: handed.subscription(),
                })
            }
            pool::Begin::Skip => loader::Begin::Skip,
            pool::Begin::Stop => loader::Begin::Stop,
        }
    }

    fn suspend(&mut self, token: u64) {
        self.feed.suspend(Token::from_raw(token));
        self.rests(token);
    }

    fn resumes(&mut self, token: u64) {
        if let Some(record) = &mut self.record {
            record.resume(token);
        }
    }

    fn rests(&mut self, token: u64) {
        if let Some(record) = &mut self.record {
            record.suspend(token);
        }
    }

    #[inline]
    fn complete(&mut self, token: u64, outcome: loader::Outcome) {
        let outcome = self.observer.ends(token, outcome, || self.clock.now_ns());
        self.feed.complete(Token::from_raw(token), settled(outcome));
        // Last: what the library answered is looked at until here.
        if let Some(record) = &mut self.record {
            record.end(token);
        }
    }

    #[inline]
    fn acknowledge(&mut self, token: u64) {
        if !self.observer.is_idle() {
            return self.complete(token, loader::Outcome::Ack(None));
        }
        self.feed.acknowledge(Token::from_raw(token));
        if let Some(record) = &mut self.record {
            record.end(token);
        }
    }

    #[inline]
    fn forward(&mut self, token: u64, topic: &str, message: Message) {
        if !self.observer.is_idle() {
            let topic = topic.to_owned();
            return self.complete(token, loader::Outcome::Forward { topic, message });
        }
        self.feed.forward(Token::from_raw(token), topic, message);
        if let Some(record) = &mut self.record {
            record.end(token);
        }
    }

    fn next_op(&mut self) -> loader::NextOp {
        match self.feed.next_op() {
            pool::NextOp::Call(call) => {
                if let Some(record) = &mut self.record {
                    record.begin_control(call.id);
                }
                loader::NextOp::Some(loader::Op {
                    id: call.id,
                    which: which(call.op),
                    arg: call.arg,
                })
            }
            pool::NextOp::Empty => loader::NextOp::Empty,
            pool::NextOp::Closed => loader::NextOp::Closed,
        }
    }

    fn op_done(&mut self, id: u64, outcome: loader::Outcome) {
        self.feed.op_done(id, answered(outcome));
        if let Some(record) = &mut self.record {
            record.end_control();
        }
    }

    fn cancelled(&mut self, call: Call) -> bool {
        match call {
            Call::Delivery(token) => self.feed.cancelled(Token::from_raw(token)),
            Call::Op(id) => self.feed.op_cancelled(id),
        }
    }

    fn ready(&mut self, max: usize, tokens: &mut Vec<u64>) {
        self.feed.ready(max, tokens);
    }

    fn bell(&self) -> RawFd {
        self.bell
    }

    fn alarm(&self) -> Waker {
        self.feed.alarm()
    }

    fn wait(&mut self) {
        self.feed.wait();
    }
}

/// What a delivery's outcome means to the bus.
#[inline]
fn settled(outcome: loader::Outcome) -> pool::Outcome {
    let fault = |class, text| Verdict::Fault(Fault { class, text }).into();
    match outcome {
        loader::Outcome::Ack(_) => pool::Outcome::Ack,
        loader::Outcome::Retry(delay_ns) => Verdict::Retry(delay_ns).into(),
        loader::Outcome::Failed(reason) => Verdict::Failed(reason).into(),
        loader::Outcome::Forward { topic, message } => Verdict::Forward { topic, message }.into(),
        loader::Outcome::Error { class, text } => {
            let class = match class {
                loader::ErrorClass::Transient => FaultClass::Transient,
                loader::ErrorClass::Permanent => FaultClass::Permanent,
                loader::ErrorClass::InvalidData => FaultClass::InvalidData,
            };
            fault(class, text)
        }
        loader::Outcome::Panic(text) => fault(FaultClass::Panic, text),
        loader::Outcome::Cancelled => pool::Outcome::Cancelled,
        loader::Outcome::Invalid(text) => fault(FaultClass::Invalid, text),
    }
}

/// What a control call's outcome means to whoever asked.
fn answered(outcome: loader::Outcome) -> OpOutcome {
    match outcome {
        loader::Outcome::Ack(reply) => OpOutcome::Done(reply),
        loader::Outcome::Failed(reason) => OpOutcome::Failed(reason),
        loader::Outcome::Error { class, text } => {
            let class = match class {
                loader::ErrorClass::Transient => FaultClass::Transient,
                loader::ErrorClass::Permanent => FaultClass::Permanent,
                loader::ErrorClass::InvalidData => FaultClass::InvalidData,
            };
            OpOutcome::Error { class: class.label().to_owned(), text }
        }
        loader::Outcome::Panic(text) => OpOutcome::Panicked(text),
        loader::Outcome::Cancelled => OpOutcome::Cancelled,
        loader::Outcome::Retry(_) | loader::Outcome::Forward { .. } => {
            not_understood("an answer that only a message can be given")
        }
        loader::Outcome::Invalid(text) => not_understood(&text),
    }
}

fn not_understood(text: &str) -> OpOutcome {
    OpOutcome::Error { class: FaultClass::Invalid.label().to_owned(), text: text.to_owned() }
}

/// The contract's number of a control call.
fn which(op: pool::Op) -> u32 {
    match op {
        pool::Op::Init => abi_op::INIT,
        pool::Op::Start => abi_op::START,
        pool::Op::Shutdown => abi_op::SHUTDOWN,
        pool::Op::Health => abi_op::HEALTH,
        pool::Op::Pause => abi_op::PAUSE,
        pool::Op::Resume => abi_op::RESUME,
        pool::Op::Reset => abi_op::RESET,
        pool::Op::Metrics => abi_op::METRICS,
        pool::Op::ExportState => abi_op::EXPORT_STATE,
        pool::Op::ImportState => abi_op::IMPORT_STATE,
        // A later kind that this host does not send.
        _ => 0,
    }
}
