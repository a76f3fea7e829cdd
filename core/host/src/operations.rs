//! Operations: work on many dead letters that goes on after it was asked for.
//!
//! An operation is a list of letters and a rate. It has two phases. First the letters that it means
//! are chosen, and [`kept`] on the disk before anything is done or answered. Then it goes through
//! them in small groups, never faster than its rate, on the threads for blocking work, and how far
//! it came is kept after every group; it can be looked at and cancelled. Each letter is one step of
//! the bus that happens whole or not at all. A host that dies in between leaves nothing half done:
//! the next one goes on with the group that was not written down, and what is done of it is not
//! there any more.

mod kept;
mod progress;
mod selection;

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use patchbay_bus::{RedriveError, UnreadableLetter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::selection::{matching, plan};
use self::{
    kept::{Kept, KeptJob},
    progress::{OperationState, Outcome, Progress},
    selection::{Named, selected},
};
use crate::{
    context::Context, error::LetterError, journal::Health, letters::LetterFilter, moment,
    view::OperationView,
};

/// Operations that run at the same time; a further one is refused.
const RUNNING_MAX: usize = 16;
/// Operations that are remembered after their end.
const PAST_MAX: usize = 256;
/// Letters that are worked on before anything else is looked at.
const GROUP_MAX: u32 = 64;
/// Groups a second, for rates that are slower than a full group.
const GROUPS_A_SECOND: u32 = 20;
/// Letters a second, unless the caller says otherwise.
pub(crate) const RATE: u32 = 1_000;
/// The class of letters whose message cannot be read.
pub(crate) const UNREADABLE: &str = "unreadable";
/// The fastest rate.
pub(crate) const RATE_MAX: u32 = 100_000;

/// What is done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LetterWork {
    /// Send each back to its own subscription, with a clean count.
    Redrive,
    /// Delete each for good.
    Purge,
}

/// What a caller asks to be done to dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Debug)]
pub(crate) struct Operations {
    all: Mutex<VecDeque<Arc<Operation>>>,
    kept: Arc<Kept>,
}

#[derive(Debug)]
struct Operation {
    id: String,
    job: LetterJob,
    selected: u64,
    rate: u32,
    kept: Arc<Kept>,
    /// Whether the next host would go on with it.
    is_kept: AtomicBool,
    /// Held while the progress is written: what is written last is the latest.
    writing: Mutex<()>,
    progress: Mutex<Progress>,
}

/// Operations of an earlier host that were not over, with their letters.
#[derive(Debug)]
pub(crate) struct Unfinished(Vec<(Arc<Operation>, Vec<Named>)>);

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

    fn perform(self, context: &Context, named: Named) -> Outcome {
        let number = named.number;
        if named.died_unix_ns == 0
            && let Some(letter) = context.broker.dead_letters().unreadable_one(number)
        {
            return self.perform_unreadable(context, &letter);
        }
        let there = context.broker.dead_letters().get(number);
        if there.is_none_or(|letter| letter.at_unix_ns != named.died_unix_ns) {
            return Outcome::Absent;
        }
        match self {
            LetterWork::Purge => match context.broker.purge(number) {
                Some(letter) => {
                    let (plugin, class) = (&*letter.owner, letter.cause.label());
                    tracing::info!(target: "audit", number, plugin, class, "dead letter purged");
                    Outcome::Done
                }
                None if context.broker.dead_letters().get(number).is_some() => Outcome::Refused(
                    format!("dead letter {number} cannot be deleted: the journal does not take it"),
                ),
                None => Outcome::Absent,
            },
            LetterWork::Redrive => match context.broker.redrive(number) {
                Ok(()) => Outcome::Done,
                Err(RedriveError::Unknown(_)) => Outcome::Absent,
                Err(error) => Outcome::Refused(error.to_string()),
            },
        }
    }

    /// The same with a letter whose message cannot be read.
    fn perform_unreadable(self, context: &Context, letter: &UnreadableLetter) -> Outcome {
        let UnreadableLetter { number, owner, why } = letter;
        match self {
            LetterWork::Redrive => Outcome::Refused(format!(
                "the message of dead letter {number} of `{owner}` cannot be read: {why}"
            )),
            LetterWork::Purge => match context.broker.purge_unreadable(*number) {
                Some(_) => {
                    tracing::info!(target: "audit", number, plugin = &**owner, class = UNREADABLE,
                        "dead letter purged");
                    Outcome::Done
                }
                None => Outcome::Refused(format!(
                    "dead letter {number} cannot be deleted: the journal does not take it"
                )),
            },
        }
    }
}

// === impl Operations ===

impl Operations {
    /// The operations that earlier hosts kept in that folder; [`resume`](Operations::resume) goes on
    /// with those that were not over.
    pub(crate) fn open(folder: &Path, now_unix_ns: u64) -> io::Result<(Operations, Unfinished)> {
        let kept = Arc::new(Kept::open(folder)?);
        let (mut all, mut unfinished) = (VecDeque::new(), Vec::new());
        for (job, mut progress) in kept.all()? {
            match progress.state {
                OperationState::Running | OperationState::Interrupted => {
                    progress.state = OperationState::Running;
                    progress.resumed += 1;
                }
                OperationState::Cancelling => {
                    progress.state = OperationState::Cancelled;
                    progress.ended_unix_ns = Some(now_unix_ns);
                }
                OperationState::Done | OperationState::Cancelled => {}
            }
            let is_over = progress.state != OperationState::Running;
            let (operation, letters) = Operation::new(job, progress, Arc::clone(&kept), true);
            if !is_over {
                unfinished.push((Arc::clone(&operation), letters));
            }
            all.push_back(operation);
        }
        Ok((Operations { all: Mutex::new(all), kept }, Unfinished(unfinished)))
    }

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
        let id = Uuid::now_v7().to_string();
        let letters = selected(context, job.work, &selector);
        let job = KeptJob { id, job, rate, letters };
        let progress = Progress::at(context.clock.unix_ns());
        // The lock is held: whoever comes with the same key is not answered before this is kept.
        let kept = tokio::task::block_in_place(|| self.kept.begin(&job, &progress));
        if let Err(error) = &kept {
            // A purge may be what makes room again.
            let id = &job.id;
            tracing::warn!(id, %error, "the operation ends with this host: it cannot be kept");
        }
        let (operation, letters) =
            Operation::new(job, progress, Arc::clone(&self.kept), kept.is_ok());
        while all.len() >= PAST_MAX {
            let Some(over) = all.iter().position(|it| !it.is_running()) else { break };
            if let Some(over) = all.remove(over) {
                self.kept.forget(&over.id);
            }
        }
        all.push_back(Arc::clone(&operation));
        drop(all);
        let (who, kind) = (&operation.job.who, operation.job.work.verb());
        let (id, count) = (&operation.id, operation.selected);
        tracing::info!(target: "audit", who, kind, id, count, "dead letters selected");
        let view = operation.view();
        tokio::spawn(run(Arc::clone(context), operation, letters));
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
        let ends = progress.state == OperationState::Running;
        if ends {
            progress.state = OperationState::Cancelling;
        }
        drop(progress);
        if ends {
            tokio::task::block_in_place(|| operation.keep());
        }
        Ok(operation.view())
    }

    fn known(&self, id: &str) -> Result<Arc<Operation>, LetterError> {
        let found = self.lock().iter().find(|it| it.id == id).cloned();
        found.ok_or_else(|| LetterError::UnknownOperation { id: id.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Operation>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Unfinished ===

impl Unfinished {
    /// Goes on with each, once every plugin has started or failed: until then subscriptions change
    /// hands.
    pub(crate) fn resume(self, context: &Arc<Context>) {
        for (operation, letters) in self.0 {
            let context = Arc::clone(context);
            tokio::spawn(async move {
                let mut snapshots = context.snapshot.subscribe();
                if snapshots.wait_for(|snapshot| snapshot.settled).await.is_err() {
                    return;
                }
                let (kind, id) = (operation.job.work.verb(), &operation.id);
                let next = operation.lock().next;
                tracing::info!(target: "audit", kind, id, next, "resumed");
                let kept = Arc::clone(&operation);
                let _kept = tokio::task::spawn_blocking(move || kept.keep()).await;
                run(Arc::clone(&context), operation, letters).await;
            });
        }
    }
}

fn rate(asked: Option<u32>) -> Result<u32, LetterError> {
    match asked.unwrap_or(RATE) {
        rate @ 1..=RATE_MAX => Ok(rate),
        rate => Err(LetterError::Invalid {
            problem: format!("a rate of {rate} a second is not between 1 and {RATE_MAX}"),
        }),
    }
}

async fn run(context: Arc<Context>, operation: Arc<Operation>, letters: Vec<Named>) {
    let began = tokio::time::Instant::now();
    let group = (operation.rate / GROUPS_A_SECOND).clamp(1, GROUP_MAX) as usize;
    let from = operation.lock().next.min(letters.len());
    // What is not there any more of the first group was done by the host before, right before its
    // end.
    let mut is_repeat = operation.lock().resumed > 0;
    let mut over = OperationState::Done;
    for (at, letters) in letters[from..].chunks(group).enumerate() {
        // As many letters before this group as whole groups.
        let before = (at * group) as f64 / f64::from(operation.rate);
        tokio::time::sleep_until(began + Duration::from_secs_f64(before)).await;
        if operation.lock().state == OperationState::Cancelling {
            over = OperationState::Cancelled;
            break;
        }
        if !goes_on(&context) {
            over = OperationState::Interrupted;
            break;
        }
        let (context, steps) = (Arc::clone(&context), Arc::clone(&operation));
        let letters = letters.to_vec();
        let worked =
            tokio::task::spawn_blocking(move || steps.work_on(&context, &letters, is_repeat));
        // If its thread panicked or the runtime ends, what was done is counted by the next host.
        if !worked.await.unwrap_or(false) {
            over = OperationState::Interrupted;
            break;
        }
        is_repeat = false;
    }
    operation.end(over, context.clock.unix_ns());
    // One that was interrupted stands where its last whole group ended.
    if over != OperationState::Interrupted {
        let _kept = tokio::task::spawn_blocking(move || operation.keep()).await;
    }
}

/// Whether letters can be worked on: not while the host ends, nor once its journal takes nothing
/// more until a restart.
fn goes_on(context: &Context) -> bool {
    !context.is_closing() && context.record.health().0 != Health::Failed
}

// === impl Operation ===

impl Operation {
    fn new(
        job: KeptJob,
        progress: Progress,
        kept: Arc<Kept>,
        is_kept: bool,
    ) -> (Arc<Operation>, Vec<Named>) {
        let KeptJob { id, job, rate, letters } = job;
        let operation = Operation {
            id,
            job,
            selected: letters.len() as u64,
            rate,
            kept,
            is_kept: AtomicBool::new(is_kept),
            writing: Mutex::default(),
            progress: Mutex::new(progress),
        };
        (Arc::new(operation), letters)
    }

    /// Does what is to be done to a group, and keeps how far that is. False when the host ended in
    /// the middle: what was refused then was not refused by a rule. Blocks.
    fn work_on(&self, context: &Context, letters: &[Named], is_repeat: bool) -> bool {
        for named in letters {
            let outcome = match self.job.work.perform(context, *named) {
                Outcome::Absent if is_repeat && named.is_durable => Outcome::Done,
                outcome => outcome,
            };
            if matches!(outcome, Outcome::Refused(_)) && !goes_on(context) {
                return false;
            }
            self.lock().note(named.number, outcome);
        }
        self.lock().next += letters.len();
        self.keep();
        true
    }

    fn end(&self, state: OperationState, unix_ns: u64) {
        let mut progress = self.lock();
        progress.state = state;
        progress.ended_unix_ns = Some(unix_ns);
        let Progress { done, absent, refused, .. } = *progress;
        let (kind, id, state) = (self.job.work.verb(), &self.id, state.label());
        tracing::info!(target: "audit", kind, id, done, absent, refused, state, "ended");
    }

    /// Writes down how far it came. Blocks.
    fn keep(&self) {
        if !self.is_kept.load(Relaxed) {
            return;
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = self.lock().clone();
        if let Err(error) = self.kept.progress(&self.id, &progress) {
            // The next host does again what is not written down: it has no effect twice.
            tracing::warn!(id = self.id, %error, "how far an operation came cannot be kept");
        }
    }

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
            selected: self.selected,
            done: progress.done,
            absent: progress.absent,
            refused: progress.refused,
            problems: progress.problems,
            rate: self.rate,
            kept: self.is_kept.load(Relaxed),
            resumed: progress.resumed,
            started_at: moment::text(progress.started_unix_ns),
            ended_at: progress.ended_unix_ns.map(moment::text),
        }
    }
}
