//! A source of work in miniature: what the host's pool is to the loader.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::fd::RawFd,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    task::{Wake, Waker},
    thread::JoinHandle,
    time::Duration,
};

use patchbay_loader::{
    Begin, Call, ErrorClass, Handed, Instance, LaneEnd, LaneLimits, LaneSource, Next, NextOp, Op,
    Outcome,
};
use patchbay_slab::{Message, Parts, Slab};
use patchbay_testkit::eventually;

use super::SOON;

/// An outcome that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ack(String),
    Retry(u64),
    Failed(String),
    Forward { topic: String, payload: Vec<u8> },
    Error(ErrorClass, String),
    Panic(String),
    Cancelled,
    Invalid(String),
}

/// Messages and control calls for the lanes of one instance, and what became of them.
pub(crate) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    bell: RawFd,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(u64, Message)>,
    begun: BTreeMap<u64, Message>,
    ops: VecDeque<Op>,
    answers: BTreeMap<u64, Vec<Answer>>,
    op_answers: BTreeMap<u64, Answer>,
    suspended: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
    ready: VecDeque<u64>,
    skipped: BTreeSet<u64>,
    alarms: u64,
    next_token: u64,
    closed: bool,
    panics: bool,
}

/// One lane's view of the desk.
struct Seat {
    desk: Arc<Desk>,
    named: VecDeque<(u64, Message)>,
    current: Option<Message>,
    /// Alarms that this lane knows of.
    seen: u64,
}

/// A lane on a thread of its own.
pub(crate) struct Lane(JoinHandle<LaneEnd>);

struct Alarm(Arc<Desk>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.lock().alarms += 1;
        self.0.changed.notify_all();
    }
}

impl Desk {
    pub(crate) fn new() -> Arc<Desk> {
        // SAFETY: `eventfd` has no precondition.
        let bell = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        assert!(bell >= 0, "make an eventfd");
        Arc::new(Desk { state: Mutex::default(), changed: Condvar::new(), bell })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the desk")
    }

    fn ring(&self) {
        self.lock().alarms += 1;
        self.changed.notify_all();
        let one = 1_u64;
        // SAFETY: eight bytes to an eventfd that is open as long as the desk is.
        unsafe { libc::write(self.bell, (&raw const one).cast(), 8) };
    }

    pub(crate) fn post(&self, topic: &str) -> u64 {
        self.post_with(topic, b"payload")
    }

    pub(crate) fn post_with(&self, topic: &str, payload: &[u8]) -> u64 {
        let parts = Parts { topic, id: 7, time_ns: 1, ..Parts::default() };
        let message = Slab::new().message(&parts, payload);
        let token = {
            let mut state = self.lock();
            state.next_token += 1;
            let token = state.next_token;
            state.waiting.push_back((token, message));
            token
        };
        self.ring();
        token
    }

    /// Posts, and waits for the answer.
    pub(crate) fn ask(&self, topic: &str) -> Answer {
        let token = self.post(topic);
        self.answer(token)
    }

    pub(crate) fn answer(&self, token: u64) -> Answer {
        eventually(format_args!("an answer to delivery {token}"), SOON, || {
            self.lock().answers.get(&token).map(|answers| answers[0].clone())
        })
    }

    /// Every answer to one delivery: there must be one.
    pub(crate) fn answers(&self, token: u64) -> Vec<Answer> {
        self.lock().answers.get(&token).cloned().unwrap_or_default()
    }

    pub(crate) fn post_op(&self, which: u32, arg: &str) -> u64 {
        let id = {
            let mut state = self.lock();
            state.next_token += 1;
            let id = state.next_token;
            state.ops.push_back(Op { id, which, arg: arg.as_bytes().to_vec() });
            id
        };
        self.ring();
        id
    }

    pub(crate) fn op_answer(&self, id: u64) -> Answer {
        eventually(format_args!("an answer to control call {id}"), SOON, || {
            self.lock().op_answers.get(&id).cloned()
        })
    }

    pub(crate) fn op(&self, which: u32, arg: &str) -> Answer {
        let id = self.post_op(which, arg);
        self.op_answer(id)
    }

    /// Waits until the call of that delivery is suspended.
    pub(crate) fn suspended(&self, token: u64) {
        eventually(format_args!("delivery {token} to be suspended"), SOON, || {
            self.lock().suspended.contains(&token).then_some(())
        });
    }

    pub(crate) fn cancel(&self, token: u64) {
        self.lock().cancelled.insert(token);
        self.ring();
    }

    /// That delivery is passed over when its turn comes.
    pub(crate) fn skip(&self, token: u64) {
        self.lock().skipped.insert(token);
    }

    pub(crate) fn ready(&self, token: u64) {
        self.lock().ready.push_back(token);
        self.ring();
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ring();
    }

    /// The next question to the desk panics: a fault of the host.
    pub(crate) fn panic_next(&self) {
        self.lock().panics = true;
        self.ring();
    }

    pub(crate) fn lane(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        lane: u32,
        concurrency: u32,
    ) -> Lane {
        let (desk, instance) = (self.clone(), instance.clone());
        Lane(std::thread::spawn(move || {
            let mut seat = Seat { desk, named: VecDeque::new(), current: None, seen: 0 };
            instance.run_lane(lane, &mut seat, LaneLimits { concurrency, batch: 8 })
        }))
    }
}

impl Desk {
    /// Runs lane 0 on the calling thread.
    pub(crate) fn run_here(self: &Arc<Self>, instance: &Instance) {
        let named = VecDeque::new();
        let mut seat = Seat { desk: self.clone(), named, current: None, seen: 0 };
        instance.run_lane(0, &mut seat, LaneLimits { concurrency: 1, batch: 8 });
    }

    /// Whether the call of that delivery has begun and is not over.
    pub(crate) fn begun(&self, token: u64) -> bool {
        self.lock().begun.contains_key(&token)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // SAFETY: ours, and closed once.
        unsafe { libc::close(self.bell) };
    }
}

impl Lane {
    /// Joins the thread for real.
    pub(crate) fn join(self) -> LaneEnd {
        self.0.join().expect("the lane")
    }

    pub(crate) fn try_join(self) -> std::thread::Result<LaneEnd> {
        self.0.join()
    }
}

impl LaneSource for Seat {
    fn next(&mut self, max: usize, tokens: &mut Vec<u64>) -> Next {
        let mut state = self.desk.lock();
        if std::mem::take(&mut state.panics) {
            drop(state);
            panic!("a fault of the host");
        }
        while let Some(unwanted) = self.named.pop_back() {
            state.waiting.push_front(unwanted);
        }
        while self.named.len() < max {
            let Some(next) = state.waiting.pop_front() else { break };
            tokens.push(next.0);
            self.named.push_back(next);
        }
        match (self.named.is_empty(), state.closed) {
            (false, _) => Next::Some,
            (true, false) => Next::Empty,
            (true, true) => Next::Closed,
        }
    }

    fn begin(&mut self, token: u64) -> Begin<'_> {
        let (named, message) = self.named.pop_front().expect("a named delivery");
        assert_eq!(named, token, "deliveries are begun in their order");
        let mut state = self.desk.lock();
        if state.skipped.contains(&token) {
            return Begin::Skip;
        }
        state.begun.insert(token, message.clone());
        drop(state);
        let message = &*self.current.insert(message);
        Begin::Go(Handed { message, id: token, accepted_ns: 1, attempt: 1, subscription: 0 })
    }

    fn suspend(&mut self, token: u64) {
        self.desk.lock().suspended.insert(token);
    }

    fn complete(&mut self, token: u64, outcome: Outcome) {
        let mut state = self.desk.lock();
        state.begun.remove(&token).expect("a delivery is settled once, after it was begun");
        state.answers.entry(token).or_default().push(outcome.into());
    }

    fn next_op(&mut self) -> NextOp {
        let mut state = self.desk.lock();
        match (state.ops.pop_front(), state.closed) {
            (Some(op), _) => NextOp::Some(op),
            (None, false) => NextOp::Empty,
            (None, true) => NextOp::Closed,
        }
    }

    fn op_done(&mut self, id: u64, outcome: Outcome) {
        let before = self.desk.lock().op_answers.insert(id, outcome.into());
        assert!(before.is_none(), "a control call is answered once");
    }

    fn cancelled(&mut self, call: Call) -> bool {
        let (Call::Delivery(id) | Call::Op(id)) = call;
        self.desk.lock().cancelled.contains(&id)
    }

    fn ready(&mut self, max: usize, tokens: &mut Vec<u64>) {
        let mut state = self.desk.lock();
        let count = state.ready.len().min(max);
        tokens.extend(state.ready.drain(..count));
    }

    fn bell(&self) -> RawFd {
        self.desk.bell
    }

    fn alarm(&self) -> Waker {
        Waker::from(Arc::new(Alarm(self.desk.clone())))
    }

    fn wait(&mut self) {
        let mut state = self.desk.lock();
        if !self.named.is_empty() {
            // Back in its old order, for other lanes; this one has no room.
            while let Some(unwanted) = self.named.pop_back() {
                state.waiting.push_front(unwanted);
            }
            self.seen = state.alarms + u64::from(self.seen == state.alarms);
            state.alarms += 1;
            self.desk.changed.notify_all();
        }
        let (state, waited) = self
            .desk
            .changed
            .wait_timeout_while(state, SOON, |state| state.alarms == self.seen)
            .expect("the desk");
        assert!(!waited.timed_out(), "nobody woke the lane");
        self.seen = state.alarms;
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Ack(reply) => {
                Answer::Ack(String::from_utf8_lossy(&reply.unwrap_or_default()).into_owned())
            }
            Outcome::Retry(delay_ns) => Answer::Retry(delay_ns),
            Outcome::Failed(reason) => Answer::Failed(reason),
            Outcome::Forward { topic, message } => {
                Answer::Forward { topic, payload: message.payload().to_vec() }
            }
            Outcome::Error { class, text } => Answer::Error(class, text),
            Outcome::Panic(text) => Answer::Panic(text),
            Outcome::Cancelled => Answer::Cancelled,
            Outcome::Invalid(text) => Answer::Invalid(text),
        }
    }
}

/// Nothing happens for so long that something would have.
pub(crate) fn a_moment() {
    std::thread::sleep(Duration::from_millis(40));
}
