//! What versions answer to the same messages: recorded on both sides, compared, and kept as a
//! difference where they are not the same.
//!
//! An answer is how the call ended, where a forward went and with what, and everything that was
//! published because of the message. Ids, times and traces are nobody's answer and are left aside.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use patchbay_loader::Outcome;
use patchbay_slab::Message;

use crate::telemetry::logs::tame;

/// Messages of which one side's answer is waited for.
const PENDING_MAX: usize = 8_192;
/// Differences kept for the report.
const DIFFERENCES_MAX: usize = 20;
/// Bytes of a payload that are kept to be shown.
const SHOWN_BYTES: usize = 256;
/// Publishes of one call that are kept.
const EMITTED_MAX: usize = 256;

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Serving,
    Candidate,
}

/// Which call: the message, and the number of the subscription.
pub(crate) type CallId = (u128, u32);

/// How a call ended, as far as two versions can agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `acknowledged`, `retry`, `failed`, `forward`, `error`, `panic` or `invalid`.
    pub(crate) status: &'static str,
    /// Topic of a forward.
    pub(crate) forward: Option<String>,
    /// What was sent: the forwarded message, and everything published.
    emitted: Vec<Emission>,
}

/// A message that was sent because of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Emission {
    topic: String,
    key: Vec<u8>,
    headers: Vec<(String, String)>,
    bytes: usize,
    digest: [u8; 32],
    shown: String,
}

/// Answers that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) message: u128,
    pub(crate) serving: String,
    pub(crate) candidate: String,
}

/// How many calls ended in which way, on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) ended: u64,
    /// Errors, panics, refusals: everything that is neither acknowledged, forwarded nor retried.
    pub(crate) bad: u64,
    pub(crate) retried: u64,
}

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) compared: u64,
    pub(crate) matched: u64,
    pub(crate) candidate: Tally,
    pub(crate) differences: Vec<Difference>,
}

/// Both sides' answers.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    findings: Findings,
    /// Published by calls that have not ended, by the message that caused it; with their own ids.
    emitted: HashMap<(u8, u128), Vec<(u128, Emission)>>,
    /// Answers of one side, in the order they came.
    pending: HashMap<CallId, (Side, Answer)>,
    order: VecDeque<CallId>,
    /// Answers of the candidate to messages that only it is asked, by message.
    asked: HashMap<u128, Option<Answer>>,
}

// === impl Comparison ===

impl Comparison {
    /// The candidate's answer to this message is wanted for itself.
    pub(crate) fn ask(&self, message: u128) {
        self.lock().asked.insert(message, None);
    }

    /// The candidate's answer to a message that was asked for, once it is there.
    pub(crate) fn answer(&self, message: u128) -> Option<Answer> {
        self.lock().asked.get(&message).cloned().flatten()
    }

    /// A handler publishes something because of a message. What finds no room is published again:
    /// that counts once.
    pub(crate) fn publishes(&self, side: Side, cause: &Message, message: &Message) {
        let emission = Emission::of(message.topic(), message);
        let mut state = self.lock();
        if state.emitted.len() < PENDING_MAX {
            let emitted = state.emitted.entry((side as u8, cause.id())).or_default();
            let again = |(id, before): &(u128, Emission)| {
                *id == message.id() && before.topic == emission.topic
            };
            if emitted.len() < EMITTED_MAX && !emitted.iter().any(again) {
                emitted.push((message.id(), emission));
            }
        }
    }

    /// A call ended.
    pub(crate) fn ended(&self, side: Side, call: CallId, outcome: &Outcome) {
        let mut state = self.lock();
        let emitted = state.emitted.remove(&(side as u8, call.0)).unwrap_or_default();
        let emitted = emitted.into_iter().map(|(_, emission)| emission).collect();
        let answer = Answer::of(outcome, emitted);
        if side == Side::Candidate {
            state.findings.candidate.add(answer.status);
            if let Some(asked) = state.asked.get_mut(&call.0) {
                asked.get_or_insert(answer);
                return;
            }
        }
        match state.pending.remove(&call) {
            Some((other, theirs)) if other != side => {
                let (serving, candidate) = match side {
                    Side::Serving => (answer, theirs),
                    Side::Candidate => (theirs, answer),
                };
                state.findings.compare(call.0, &serving, &candidate);
            }
            // A second attempt of the same side: the first one is what counts.
            Some(first) => drop(state.pending.insert(call, first)),
            None => {
                while state.order.len() >= PENDING_MAX {
                    if let Some(oldest) = state.order.pop_front() {
                        state.pending.remove(&oldest);
                    }
                }
                state.pending.insert(call, (side, answer));
                state.order.push_back(call);
            }
        }
    }

    pub(crate) fn findings(&self) -> Findings {
        self.lock().findings.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Findings ===

impl Findings {
    fn compare(&mut self, message: u128, serving: &Answer, candidate: &Answer) {
        self.compared += 1;
        if serving == candidate {
            self.matched += 1;
        } else if self.differences.len() < DIFFERENCES_MAX {
            let (serving, candidate) = (serving.shown(), candidate.shown());
            self.differences.push(Difference { message, serving, candidate });
        }
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, status: &str) {
        self.ended += 1;
        match status {
            "acknowledged" | "forward" => {}
            "retry" => self.retried += 1,
            _ => self.bad += 1,
        }
    }
}

// === impl Answer ===

impl Answer {
    fn of(outcome: &Outcome, mut emitted: Vec<Emission>) -> Answer {
        let mut forward = None;
        let status = match outcome {
            Outcome::Ack(_) => "acknowledged",
            Outcome::Retry(_) => "retry",
            Outcome::Failed(_) => "failed",
            Outcome::Forward { topic, message } => {
                forward = Some(topic.clone());
                emitted.push(Emission::of(topic, message));
                "forward"
            }
            Outcome::Error { .. } => "error",
            Outcome::Panic(_) => "panic",
            Outcome::Cancelled => "cancelled",
            Outcome::Invalid(_) => "invalid",
        };
        Answer { status, forward, emitted }
    }

    /// Whether the call ended well, retries aside.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.status, "acknowledged" | "forward")
    }

    pub(crate) fn shown(&self) -> String {
        let mut text = self.status.to_owned();
        for emission in &self.emitted {
            let Emission { topic, bytes, shown, .. } = emission;
            text.push_str(&format!("; {topic} ({bytes} bytes): {shown}"));
        }
        text
    }
}

// === impl Emission ===

impl Emission {
    fn of(topic: &str, message: &Message) -> Emission {
        let own = patchbay_abi::message::header::OWN_PREFIX.to_ascii_lowercase();
        let is_answer = |name: &str| {
            let name = name.to_ascii_lowercase();
            !name.starts_with(&own) && name != "traceparent" && name != "tracestate"
        };
        let headers = message.headers().filter(|(name, _)| is_answer(name));
        let mut headers: Vec<(String, String)> =
            headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        headers.sort();
        let payload = message.payload();
        let start = &payload[..payload.len().min(SHOWN_BYTES)];
        Emission {
            topic: topic.to_owned(),
            key: message.key().as_bytes().to_vec(),
            headers,
            bytes: payload.len(),
            digest: *patchbay_loader::Digest::of(payload).as_bytes(),
            shown: tame(&String::from_utf8_lossy(start), SHOWN_BYTES),
        }
    }
}
