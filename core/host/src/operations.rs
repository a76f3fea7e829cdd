//! Operations: work on many dead letters that goes on after it was asked for.
//!
//! An operation is a list of numbers and a rate. It goes through the list in small groups, never
//! faster than its rate, on the threads for blocking work, and can be looked at and cancelled. Each
//! letter is one step of the bus that happens whole or not at all, so an operation that ends in the
//! middle leaves nothing half done, and doing it again does the rest.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use patchbay_bus::{DeadLetter, RedriveError};
use uuid::Uuid;

use crate::{
    context::Context,
    error::LetterError,
    letters::{LetterFilter, Selector},
    moment,
    view::{LetterProblem, OperationPlan, OperationView, PlannedLetter},
};

/// Operations that run at the same time; a further one is refused.
const RUNNING_MAX: usize = 16;
/// Operations that are remembered after their end.
const PAST_MAX: usize = 256;
/// Refusals that are told one by one.
const PROBLEMS_MAX: usize = 100;
/// Letters that are worked on before anything else is looked at.
const GROUP_MAX: u32 = 64;
/// Groups a second, for rates that are slower than a full group.
const GROUPS_A_SECOND: u32 = 20;
/// Letters a second, unless the caller says otherwise.
pub(crate) const RATE: u32 = 1_000;
/// The fastest rate.
pub(crate) const RATE_MAX: u32 = 100_000;

/// What is done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterWork {
    /// Send each back to its own subscription, with a clean count.
    Redrive,
    /// Delete each for good.
    Purge,
}

/// What a caller asks to be done to dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterJob {
    /// What is done.
    pub work: LetterWork,
    /// To which.
    pub filter: LetterFilter,
    /// At most so many a second; absent = 1,000.
    pub rate: Option<u32>,
    /// Who asks.
    pub who: String,
    /// Word of the caller for this very job: asked again with it, the same operation is answered.
    pub key: Option<String>,
}

/// The operations of a host.
#[derive(Debug, Default)]
pub(crate) struct Operations(Mutex<VecDeque<Arc<Operation>>>);

#[derive(Debug)]
struct Operation {
    id: String,
    job: LetterJob,
    numbers: Vec<u64>,
    rate: u32,
    progress: Mutex<Progress>,
}

#[derive(Clone, Debug)]
struct Progress {
    state: OperationState,
    done: u64,
    absent: u64,
    refused: u64,
    problems: Vec<LetterProblem>,
    started_unix_ns: u64,
    ended_unix_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperationState {
    Running,
    /// It ends before its next group.
    Cancelling,
    Done,
    Cancelled,
    Interrupted,
}

/// What became of one letter.
enum Outcome {
    Done,
    Absent,
    Refused(String),
}

// === impl LetterWork ===

impl LetterWork {
    /// The verb.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            LetterWork::Redrive => "redrive",
            LetterWork::Purge => "purge",
        }
    }

    fn perform(self, context: &Context, number: u64) -> Outcome {
        match self {
            LetterWork::Purge => match context.broker.purge(number) {
                Some(letter) => {
                    let (plugin, class) = (&*letter.owner, letter.cause.label());
                    tracing::info!(target: "audit", number, plugin, class, "dead letter purged");
                    Outcome::Done
                }
                None => Outcome::Absent,
            },
            LetterWork::Redrive => match context.broker.redrive(number) {
                Ok(()) => Outcome::Done,
                Err(RedriveError::Unknown(_)) => Outcome::Absent,
                Err(error) => Outcome::Refused(error.to_string()),
            },
        }
    }
}

// === impl Operations ===

impl Operations {
    /// Begins an operation, or finds the one that the same caller began with the same key.
    pub(crate) fn begin(
        &self,
        context: &Arc<Context>,
        job: LetterJob,
    ) -> Result<OperationView, LetterError> {
        if context.is_closing() {
            return Err(LetterError::Closing);
        }
        let selector = job.filter.selector_of_some()?;
        let rate = rate(job.rate)?;
        let mut all = self.lock();
        if let Some(key) = &job.key
            && let Some(same) = all.iter().find(|it| it.job.key.as_ref() == Some(key))
        {
            if (same.job.work, &same.job.filter) != (job.work, &job.filter) {
                return Err(LetterError::KeyTaken { key: key.clone(), id: same.id.clone() });
            }
            return Ok(same.view());
        }
        if all.iter().filter(|it| it.is_running()).count() >= RUNNING_MAX {
            return Err(LetterError::TooMany { most: RUNNING_MAX });
        }
        let numbers = selected(context, &selector);
        let operation = Arc::new(Operation {
            id: Uuid::now_v7().to_string(),
            numbers,
            rate,
            job,
            progress: Mutex::new(Progress {
                state: OperationState::Running,
                done: 0,
                absent: 0,
                refused: 0,
                problems: Vec::new(),
                started_unix_ns: context.clock.unix_ns(),
                ended_unix_ns: None,
            }),
        });
        while all.len() >= PAST_MAX {
            let Some(over) = all.iter().position(|it| !it.is_running()) else { break };
            all.remove(over);
        }
        all.push_back(Arc::clone(&operation));
        drop(all);
        let (who, kind) = (&operation.job.who, operation.job.work.verb());
        let (id, count) = (&operation.id, operation.numbers.len());
        tracing::info!(target: "audit", who, kind, id, count, "dead letters selected");
        let view = operation.view();
        tokio::spawn(run(Arc::clone(context), operation));
        Ok(view)
    }

    /// Every operation that is remembered, newest first.
    pub(crate) fn all(&self) -> Vec<OperationView> {
        self.lock().iter().rev().map(|it| it.view()).collect()
    }

    pub(crate) fn find(&self, id: &str) -> Result<OperationView, LetterError> {
        self.known(id).map(|it| it.view())
    }

    /// Ends an operation before its next group of letters. One that is over stays as it is.
    pub(crate) fn cancel(&self, id: &str) -> Result<OperationView, LetterError> {
        let operation = self.known(id)?;
        let mut progress = operation.lock();
        if progress.state == OperationState::Running {
            progress.state = OperationState::Cancelling;
        }
        drop(progress);
        Ok(operation.view())
    }

    fn known(&self, id: &str) -> Result<Arc<Operation>, LetterError> {
        let found = self.lock().iter().find(|it| it.id == id).cloned();
        found.ok_or_else(|| LetterError::UnknownOperation { id: id.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Operation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation would do.
pub(crate) fn plan(context: &Context, job: &LetterJob) -> Result<OperationPlan, LetterError> {
    let selector = job.filter.selector_of_some()?;
    rate(job.rate)?;
    let letters = matching(context, &selector);
    let there = |number: &u64| letters.iter().any(|letter| letter.number == *number);
    let absent = selector.numbers().iter().filter(|number| !there(number)).copied().collect();
    let subscriptions = context.broker.subscriptions();
    let planned: Vec<PlannedLetter> = letters
        .iter()
        .map(|letter| {
            let own = subscriptions.iter().find(|it| it.id() == letter.subscription);
            let would = match (job.work, own) {
                (LetterWork::Redrive, None) => "refuse",
                (work, _) => work.verb(),
            };
            PlannedLetter {
                number: letter.number,
                mid: Uuid::from_u128(letter.message.id()).to_string(),
                topic: letter.message.topic().to_owned(),
                plugin: letter.owner.to_string(),
                subscription: own.map(|it| it.spec().pattern.to_string()),
                class: letter.cause.label().to_owned(),
                would: would.to_owned(),
            }
        })
        .collect();
    Ok(OperationPlan {
        kind: job.work.verb().to_owned(),
        selected: planned.len() as u64,
        refused: planned.iter().filter(|it| it.would == "refuse").count() as u64,
        absent,
        letters: planned,
    })
}

/// The letters that a selector means, oldest first.
pub(crate) fn matching(context: &Context, selector: &Selector) -> Vec<Arc<DeadLetter>> {
    let all = context.broker.dead_letters().after(0, usize::MAX).into_iter();
    all.filter(|letter| selector.accepts(letter)).take(selector.limit()).collect()
}

/// What an operation goes through. Numbers that were named are among them though there is no such
/// letter: that is told at the end.
fn selected(context: &Context, selector: &Selector) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        matching(context, selector).iter().map(|letter| letter.number).collect();
    let known = context.broker.dead_letters();
    let absent = selector.numbers().iter().filter(|number| known.get(**number).is_none());
    numbers.extend(absent);
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn rate(asked: Option<u32>) -> Result<u32, LetterError> {
    match asked.unwrap_or(RATE) {
        rate @ 1..=RATE_MAX => Ok(rate),
        rate => Err(LetterError::Invalid {
            problem: format!("a rate of {rate} a second is not between 1 and {RATE_MAX}"),
        }),
    }
}

async fn run(context: Arc<Context>, operation: Arc<Operation>) {
    let began = tokio::time::Instant::now();
    let group = (operation.rate / GROUPS_A_SECOND).clamp(1, GROUP_MAX);
    let mut over = OperationState::Done;
    for (at, numbers) in operation.numbers.chunks(group as usize).enumerate() {
        // As many letters before this group as whole groups.
        let before = at as f64 * f64::from(group) / f64::from(operation.rate);
        tokio::time::sleep_until(began + Duration::from_secs_f64(before)).await;
        if operation.lock().state == OperationState::Cancelling {
            over = OperationState::Cancelled;
            break;
        }
        if context.is_closing() {
            over = OperationState::Interrupted;
            break;
        }
        let (context, work) = (Arc::clone(&context), operation.job.work);
        let (numbers, steps) = (numbers.to_vec(), Arc::clone(&operation));
        let worked = tokio::task::spawn_blocking(move || {
            for number in numbers {
                let outcome = work.perform(&context, number);
                steps.lock().note(number, outcome);
            }
        });
        if worked.await.is_err() {
            // Its thread panicked or the runtime ends: what was done is counted.
            over = OperationState::Interrupted;
            break;
        }
    }
    let mut progress = operation.lock();
    progress.state = over;
    progress.ended_unix_ns = Some(context.clock.unix_ns());
    let (kind, id) = (operation.job.work.verb(), &operation.id);
    let Progress { done, absent, refused, .. } = *progress;
    tracing::info!(target: "audit", kind, id, done, absent, refused, state = over.label(), "ended");
}

// === impl Operation ===

impl Operation {
    fn is_running(&self) -> bool {
        self.lock().ended_unix_ns.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> OperationView {
        let progress = self.lock().clone();
        OperationView {
            id: self.id.clone(),
            kind: self.job.work.verb().to_owned(),
            state: progress.state.label().to_owned(),
            who: self.job.who.clone(),
            selected: self.numbers.len() as u64,
            done: progress.done,
            absent: progress.absent,
            refused: progress.refused,
            problems: progress.problems,
            rate: self.rate,
            started_at: moment::text(progress.started_unix_ns),
            ended_at: progress.ended_unix_ns.map(moment::text),
        }
    }
}

// === impl Progress ===

impl Progress {
    fn note(&mut self, number: u64, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Absent => self.absent += 1,
            Outcome::Refused(reason) => {
                self.refused += 1;
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(LetterProblem { number, reason });
                }
            }
        }
    }
}

// === impl OperationState ===

impl OperationState {
    fn label(self) -> &'static str {
        match self {
            OperationState::Running | OperationState::Cancelling => "running",
            OperationState::Done => "done",
            OperationState::Cancelled => "cancelled",
            OperationState::Interrupted => "interrupted",
        }
    }
}
