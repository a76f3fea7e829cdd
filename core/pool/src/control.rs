//! Control calls on their way to lane 0 and back.
//!
//! A control call runs where the plugin's own loop runs, because its future may need that loop. The
//! table keeps who asked, until when, and what was said. It knows no thread: the monitor asks it
//! what is due, the lane takes from it and answers into it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::sync::oneshot;

/// What lane 0 can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Acquire what the plugin needs; messages follow only if it succeeds.
    Init,
    /// Messages are about to flow.
    Start,
    /// Release everything; no message follows.
    Shutdown,
    /// Say whether all is well.
    Health,
    /// No messages for a while.
    Pause,
    /// Messages again.
    Resume,
    /// Forget what was learned from messages.
    Reset,
    /// Report what was counted.
    Metrics,
    /// Hand out state for a successor.
    ExportState,
    /// Take over the state of a predecessor.
    ImportState,
}

/// A control call as the lane gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpCall {
    /// Names the call in [`Feed::op_done`](crate::Feed::op_done) and
    /// [`Feed::op_cancelled`](crate::Feed::op_cancelled).
    pub id: u64,
    /// What is asked.
    pub op: Op,
    /// Its argument; empty if it needs none.
    pub arg: Vec<u8>,
}

/// How a control call ended, as the lane says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpOutcome {
    /// Done, with the reply if there is one.
    Done(Option<Vec<u8>>),
    /// The plugin says no (a health call: why it is not well).
    Failed(String),
    /// The plugin's code returned an error.
    Error {
        /// What kind of error, in the plugin's words.
        class: String,
        /// Its text.
        text: String,
    },
    /// The plugin's code panicked.
    Panicked(String),
    /// Dropped because the deadline was over.
    Cancelled,
}

/// The answer to a control call that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpReply {
    /// What the plugin replied, if it did.
    pub bytes: Option<Vec<u8>>,
}

/// Why a control call was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// The plugin says no.
    #[error("{op:?} was refused by the plugin: {text}")]
    Failed {
        /// What was asked.
        op: Op,
        /// The plugin's reason.
        text: String,
    },
    /// The plugin's code returned an error.
    #[error("{op:?} ended with an error ({class}): {text}")]
    Error {
        /// What was asked.
        op: Op,
        /// What kind of error.
        class: String,
        /// Its text.
        text: String,
    },
    /// The plugin's code panicked; its lane goes on.
    #[error("{op:?} panicked: {text}")]
    Panicked {
        /// What was asked.
        op: Op,
        /// The text of the panic.
        text: String,
    },
    /// It was not done within its time, and was dropped on its lane.
    #[error("{op:?} was not done within {limit:?} and was cancelled")]
    TimedOut {
        /// What was asked.
        op: Op,
        /// The time it had.
        limit: Duration,
    },
    /// The lane did not even drop it: something blocks the lane.
    #[error("{op:?} was not done within {limit:?}, and its lane does not answer")]
    Stuck {
        /// What was asked.
        op: Op,
        /// The time it had.
        limit: Duration,
    },
    /// The lane had no moment for it: it was inside of a message's call all the time, which has a
    /// limit of its own.
    #[error("{op:?} was not asked within {limit:?}: its lane was inside of a call all the time")]
    Busy {
        /// What was asked.
        op: Op,
        /// The time it had.
        limit: Duration,
    },
    /// Too many calls wait already.
    #[error("{op:?} was not accepted: {max} control calls wait already")]
    Full {
        /// What was asked.
        op: Op,
        /// How many may wait.
        max: usize,
    },
    /// The pool is closed, or was closed before the call was done.
    #[error("{op:?} was not done: the pool is closed")]
    Closed {
        /// What was asked.
        op: Op,
    },
}

pub(crate) type OpResult = Result<OpReply, OpError>;

/// Every control call that is not over.
#[derive(Debug)]
pub(crate) struct ControlTable {
    waiting: VecDeque<Entry>,
    taken: HashMap<u64, Entry>,
    next_id: u64,
    max: usize,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    call: OpCall,
    limit: Duration,
    due_ns: u64,
    cancelled: bool,
    reply: oneshot::Sender<OpResult>,
}

/// What [`ControlTable::expire`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Calls that the lane is to drop now.
    pub(crate) cancelled: usize,
    /// Calls given up: nobody answered.
    pub(crate) stuck: usize,
}

// === impl OpReply ===

impl OpReply {
    /// What the plugin replied, of a call whose reply is text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

// === impl ControlTable ===

impl ControlTable {
    pub(crate) fn new(max: usize) -> Self {
        ControlTable {
            waiting: VecDeque::new(),
            taken: HashMap::new(),
            next_id: 0,
            max,
            closed: false,
        }
    }

    /// Puts a call at the end of the line. `due_ns` is its deadline on the pool's clock.
    pub(crate) fn ask(
        &mut self,
        op: Op,
        arg: Vec<u8>,
        limit: Duration,
        due_ns: u64,
    ) -> oneshot::Receiver<OpResult> {
        let (reply, answer) = oneshot::channel();
        let refusal = if self.closed {
            Some(OpError::Closed { op })
        } else if self.waiting.len() + self.taken.len() >= self.max {
            Some(OpError::Full { op, max: self.max })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return answer;
        }
        self.next_id += 1;
        let call = OpCall { id: self.next_id, op, arg };
        self.waiting.push_back(Entry { call, limit, due_ns, cancelled: false, reply });
        answer
    }

    /// The next call for the lane. One that nobody waits for any more is left out.
    pub(crate) fn take(&mut self) -> Option<OpCall> {
        loop {
            let entry = self.waiting.pop_front()?;
            if entry.reply.is_closed() {
                continue;
            }
            let call = entry.call.clone();
            self.taken.insert(call.id, entry);
            return Some(call);
        }
    }

    /// The lane's answer. False if nobody waits for it: given up, or never asked.
    pub(crate) fn answer(&mut self, id: u64, outcome: OpOutcome) -> bool {
        let Some(entry) = self.taken.remove(&id) else { return false };
        let op = entry.call.op;
        let result = match outcome {
            OpOutcome::Done(bytes) => Ok(OpReply { bytes }),
            OpOutcome::Failed(text) => Err(OpError::Failed { op, text }),
            OpOutcome::Error { class, text } => Err(OpError::Error { op, class, text }),
            OpOutcome::Panicked(text) => Err(OpError::Panicked { op, text }),
            OpOutcome::Cancelled => Err(OpError::TimedOut { op, limit: entry.limit }),
        };
        entry.reply.send(result).is_ok()
    }

    /// Whether the lane is to drop the call: its time is over, or it was given up.
    pub(crate) fn is_cancelled(&self, id: u64) -> bool {
        self.taken.get(&id).is_none_or(|entry| entry.cancelled)
    }

    /// Cancels what is past its deadline, and gives up what is past the grace as well. A call that
    /// no lane has taken by its deadline is given up at once: the lane had all that time. `busy`:
    /// whether the lane is inside of a message's call.
    pub(crate) fn expire(&mut self, now_ns: u64, grace_ns: u64, busy: bool) -> Expired {
        let mut expired = Expired::default();
        let mut index = 0;
        while let Some(entry) = self.waiting.get(index) {
            if now_ns < entry.due_ns {
                index += 1;
                continue;
            }
            match self.waiting.remove(index) {
                Some(entry) if busy => entry.put_off(),
                Some(entry) => expired.stuck += usize::from(entry.give_up()),
                None => {}
            }
        }
        let late: Vec<u64> =
            self.taken.iter().filter(|t| now_ns >= t.1.due_ns).map(|t| *t.0).collect();
        for id in late {
            let over = |entry: &Entry| now_ns >= entry.due_ns.saturating_add(grace_ns);
            if self.taken.get(&id).is_some_and(over) {
                let entry = self.taken.remove(&id);
                expired.stuck += usize::from(entry.is_some_and(Entry::give_up));
            } else if let Some(entry) = self.taken.get_mut(&id) {
                expired.cancelled += usize::from(!entry.cancelled);
                entry.cancelled = true;
            }
        }
        expired
    }

    /// The lane that had taken calls is gone: what it has not answered is given up.
    pub(crate) fn lane_lost(&mut self) -> usize {
        self.taken.drain().map(|(_, entry)| usize::from(entry.give_up())).sum()
    }

    /// When something is to be done next without a lane's doing.
    pub(crate) fn next_due_ns(&self, grace_ns: u64) -> Option<u64> {
        let waiting = self.waiting.iter().map(|entry| entry.due_ns);
        let taken = self.taken.values().map(|entry| match entry.cancelled {
            false => entry.due_ns,
            true => entry.due_ns.saturating_add(grace_ns),
        });
        waiting.chain(taken).min()
    }

    /// How many calls no lane has taken.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Refuses everything from now on, and answers what waits or runs.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        let taken = self.taken.drain().map(|(_, entry)| entry);
        for entry in self.waiting.drain(..).chain(taken) {
            let op = entry.call.op;
            let _ = entry.reply.send(Err(OpError::Closed { op }));
        }
    }
}

// === impl Entry ===

impl Entry {
    fn give_up(self) -> bool {
        let error = OpError::Stuck { op: self.call.op, limit: self.limit };
        self.reply.send(Err(error)).is_ok()
    }

    fn put_off(self) {
        // Whoever asked may have gone.
        let _ = self.reply.send(Err(OpError::Busy { op: self.call.op, limit: self.limit }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_nanos(100);

    fn ask(table: &mut ControlTable, op: Op) -> oneshot::Receiver<OpResult> {
        table.ask(op, Vec::new(), LIMIT, 100)
    }

    fn answer_of(mut answer: oneshot::Receiver<OpResult>) -> OpResult {
        answer.try_recv().expect("an answer")
    }

    #[test]
    fn calls_are_taken_in_order_and_answered_by_number() {
        let mut table = ControlTable::new(4);
        let (init, health) = (ask(&mut table, Op::Init), ask(&mut table, Op::Health));
        let first = table.take().expect("a call");
        let second = table.take().expect("a call");
        assert_eq!((first.op, second.op, table.take()), (Op::Init, Op::Health, None));
        assert!(table.answer(second.id, OpOutcome::Failed("no database".into())));
        assert!(table.answer(first.id, OpOutcome::Done(Some("ready".into()))));
        assert_eq!(answer_of(init), Ok(OpReply { bytes: Some("ready".into()) }));
        let unwell = answer_of(health).expect_err("not well");
        assert_eq!(unwell.to_string(), "Health was refused by the plugin: no database");
        assert!(!table.answer(first.id, OpOutcome::Cancelled));
    }

    #[test]
    fn a_call_is_cancelled_at_its_deadline_and_given_up_after_the_grace() {
        let mut table = ControlTable::new(4);
        let answer = ask(&mut table, Op::Health);
        let call = table.take().expect("a call");
        assert_eq!(table.next_due_ns(50), Some(100));
        assert_eq!(table.expire(99, 50, false), Expired::default());
        assert!(!table.is_cancelled(call.id));
        assert_eq!(table.expire(100, 50, false), Expired { cancelled: 1, stuck: 0 });
        assert!(table.is_cancelled(call.id));
        assert_eq!(table.next_due_ns(50), Some(150));
        assert_eq!(table.expire(149, 50, false), Expired::default());
        assert_eq!(table.expire(150, 50, false), Expired { cancelled: 0, stuck: 1 });
        assert_eq!(answer_of(answer), Err(OpError::Stuck { op: Op::Health, limit: LIMIT }));
        assert!(table.is_cancelled(call.id), "a lane that comes back late drops it");
    }

    #[test]
    fn a_call_dropped_on_its_lane_timed_out() {
        let mut table = ControlTable::new(4);
        let answer = ask(&mut table, Op::Reset);
        let call = table.take().expect("a call");
        table.expire(100, 50, false);
        table.answer(call.id, OpOutcome::Cancelled);
        assert_eq!(answer_of(answer), Err(OpError::TimedOut { op: Op::Reset, limit: LIMIT }));
    }

    #[test]
    fn a_call_that_no_lane_took_in_time_is_stuck() {
        let mut table = ControlTable::new(4);
        let answer = ask(&mut table, Op::Init);
        assert_eq!(table.expire(100, 50, false), Expired { cancelled: 0, stuck: 1 });
        assert_eq!(answer_of(answer), Err(OpError::Stuck { op: Op::Init, limit: LIMIT }));
        assert_eq!(table.waiting(), 0);
    }

    #[test]
    fn a_call_that_waited_behind_a_message_says_so_and_is_no_failure_of_the_lane() {
        let mut table = ControlTable::new(4);
        let answer = ask(&mut table, Op::Health);
        assert_eq!(table.expire(100, 50, true), Expired::default());
        assert_eq!(answer_of(answer), Err(OpError::Busy { op: Op::Health, limit: LIMIT }));
    }

    #[test]
    fn the_line_is_bounded_and_a_closed_table_answers_everybody() {
        let mut table = ControlTable::new(1);
        let first = ask(&mut table, Op::Init);
        let second = ask(&mut table, Op::Health);
        assert_eq!(answer_of(second), Err(OpError::Full { op: Op::Health, max: 1 }));
        table.close();
        assert_eq!(answer_of(first), Err(OpError::Closed { op: Op::Init }));
        assert_eq!(answer_of(ask(&mut table, Op::Init)), Err(OpError::Closed { op: Op::Init }));
    }

    #[test]
    fn a_call_whose_asker_went_away_is_not_made() {
        let mut table = ControlTable::new(4);
        drop(ask(&mut table, Op::Metrics));
        assert_eq!(table.take(), None);
    }
}
