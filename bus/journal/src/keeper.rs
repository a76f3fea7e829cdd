//! The journal's own threads: one writes and flushes what nobody waits for and answers those who
//! do not block, the other makes and frees segments. Both sleep while there is nothing to do.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering::Acquire},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    commit::lock,
    error::CommitError,
    journal::{Reached, Shared},
    level::Level,
};

/// How often the folder is looked at while the disk is full or segments wait to be freed.
const FOLDER_INTERVAL: Duration = Duration::from_millis(100);

/// Who is rung again so soon after falling asleep lets a batch form first.
const SHORT_SLEEP: Duration = Duration::from_micros(20);

/// How the threads are told.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    bells: Mutex<Bells>,
    tender: Condvar,
    folder: Condvar,
}

#[derive(Default)]
struct Bells {
    stop: bool,
    tender: bool,
    folder: bool,
    whens: Vec<When>,
}

/// Somebody to tell: of the first of these records, and of all that have the level by then.
struct When {
    first: u64,
    last: u64,
    level: Level,
    then: Arc<dyn Reached>,
}

/// What somebody is told.
struct Word {
    number: u64,
    outcome: Result<(), CommitError>,
    then: Arc<dyn Reached>,
}

// === impl Keeper ===

impl Keeper {
    /// Who is listed last and asks again is told of both at once: one entry for a run of records.
    pub(crate) fn when<R: Reached + 'static>(&self, number: u64, level: Level, then: &Arc<R>) {
        let mut bells = lock(&self.bells);
        let listed = bells.whens.last_mut().filter(|when| {
            let (listed, asking) = (Arc::as_ptr(&when.then), Arc::as_ptr(then));
            when.level == level && listed.cast::<()>() == asking.cast::<()>()
        });
        match listed {
            Some(when) => {
                (when.first, when.last) = (when.first.min(number), when.last.max(number));
            }
            None => {
                let then: Arc<dyn Reached> = then.clone();
                bells.whens.push(When { first: number, last: number, level, then });
            }
        }
        self.ring_tender(bells);
    }

    pub(crate) fn ring(&self) {
        self.ring_tender(lock(&self.bells));
    }

    /// Once until it has looked: whoever publishes one message after the other does not call it for
    /// each.
    fn ring_tender(&self, mut bells: MutexGuard<'_, Bells>) {
        if !std::mem::replace(&mut bells.tender, true) {
            drop(bells);
            self.tender.notify_one();
        }
    }

    pub(crate) fn ring_folder(&self) {
        let mut bells = lock(&self.bells);
        if !bells.folder {
            bells.folder = true;
            drop(bells);
            self.folder.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.bells).stop = true;
        self.tender.notify_all();
        self.folder.notify_all();
    }

    /// Sleeps until rung or for so long. False = stop.
    fn sleep(
        &self,
        bell: &Condvar,
        rung: fn(&mut Bells) -> &mut bool,
        most: Option<Duration>,
    ) -> bool {
        let mut bells = lock(&self.bells);
        let end = most.map(|most| Instant::now() + most);
        while !bells.stop && !*rung(&mut bells) {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            bells = wait(bell, bells, left);
        }
        *rung(&mut bells) = false;
        !bells.stop
    }
}

fn wait<'a>(
    bell: &Condvar,
    bells: MutexGuard<'a, Bells>,
    most: Option<Duration>,
) -> MutexGuard<'a, Bells> {
    match most {
        None => bell.wait(bells).unwrap_or_else(PoisonError::into_inner),
        Some(most) => bell.wait_timeout(bells, most).unwrap_or_else(PoisonError::into_inner).0,
    }
}

/// Starts both threads. They end when the keeper is stopped.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let (tender, folder) = (Arc::clone(shared), Arc::clone(shared));
    let first = named("pb-journal").spawn(move || tend(&tender))?;
    let second = named("pb-journal-dir").spawn(move || keep_folder(&folder))?;
    Ok(vec![first, second])
}

fn tend(shared: &Shared) {
    let mut synced_at = Instant::now();
    let mut nothing = false;
    loop {
        let most = (!nothing).then_some(shared.config.flush_interval);
        let asleep = Instant::now();
        if !shared.keeper.sleep(&shared.keeper.tender, |bells| &mut bells.tender, most) {
            return;
        }
        if asleep.elapsed() < SHORT_SLEEP {
            // Else it takes the publisher's processor for the write of one message, each time.
            thread::yield_now();
        }
        let due = synced_at.elapsed() >= shared.config.sync_interval;
        shared.tend_buffers(due);
        if due {
            synced_at = Instant::now();
        }
        shared.tell();
        nothing = shared.rest();
    }
}

fn keep_folder(shared: &Shared) {
    loop {
        let again = shared.tend_folder().then_some(FOLDER_INTERVAL);
        if !shared.keeper.sleep(&shared.keeper.folder, |bells| &mut bells.folder, again) {
            return;
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Writes what nobody waits for; when that is due, flushes it and leaves word of it.
    pub(crate) fn tend_buffers(&self, due: bool) {
        self.flush();
        let written = self.written.load(Acquire);
        if due && written > self.synced.load(Acquire) {
            // Its error is kept in `failed`.
            let _ = self.wait(written, Level::Disk);
        }
        if due {
            self.mark();
        }
    }

    /// Tells those whose level is reached, after doing what brings them there.
    pub(crate) fn tell(&self) {
        let furthest = |bells: &Bells, level| {
            let numbers = bells.whens.iter().filter(|when| when.level == level);
            numbers.map(|when| when.last).max()
        };
        let (process, disk) = {
            let bells = lock(&self.keeper.bells);
            (furthest(&bells, Level::Process), furthest(&bells, Level::Disk))
        };
        for (number, level) in [(process, Level::Process), (disk, Level::Disk)] {
            if let Some(number) = number {
                let outcome = self.wait(number, level);
                self.tell_those(level, outcome);
            }
        }
    }

    fn tell_those(&self, level: Level, outcome: Result<(), CommitError>) {
        let reached = match level {
            Level::Disk => self.synced.load(Acquire),
            _ => self.written.load(Acquire),
        };
        let mut told: Vec<Word> = Vec::new();
        lock(&self.keeper.bells).whens.retain_mut(|when| {
            if when.level > level {
                return true;
            }
            if when.first <= reached {
                let number = when.last.min(reached);
                told.push(Word { number, outcome: Ok(()), then: when.then.clone() });
                when.first = reached + 1;
            }
            let is_left = when.last > reached;
            if is_left && outcome.is_err() {
                let (number, outcome) = (when.last, outcome.clone());
                told.push(Word { number, outcome, then: when.then.clone() });
            }
            is_left && outcome.is_ok()
        });
        for Word { number, outcome, then } in told {
            then.reached(number, outcome);
        }
    }

    /// Whether the keeper may sleep until it is rung: whoever appends next rings it.
    fn rest(&self) -> bool {
        let mut head = lock(&self.head);
        let written = self.written.load(Acquire);
        let synced = self.synced.load(Acquire);
        let marked = self.marked.load(Acquire) >= synced;
        let clean = head.buffer.bytes.is_empty() && written == synced && marked;
        let failed = self.failed.get().is_some();
        head.idle = clean || failed;
        head.idle
    }
}

impl fmt::Debug for Bells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bells").field("stop", &self.stop).field("whens", &self.whens.len()).finish()
    }
}
