//! The journal as its users see it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::JoinHandle,
};

use crate::{
    commit::{Flights, lock},
    config::JournalConfig,
    damage::Damage,
    error::{AppendError, CommitError, Failed},
    head::{Buffer, Head},
    keeper::{self, Keeper},
    level::Level,
    mark::Marker,
    place::{Moment, Place, Position},
    planted::fault,
    record::Record,
    storage::{Storage, StoredFile},
    weigh::Weighed,
};

/// A durable journal: records in the order of their appends, kept until nothing needs them.
///
/// Dropping it stops its threads; only [`close`](Journal::close) ends it in good order.
#[derive(Debug)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the journal shares with its threads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: JournalConfig,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) id: u128,
    pub(crate) head: Mutex<Head>,
    /// With `head`: room was made, or there will be none.
    pub(crate) room: Condvar,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) marker: Mutex<Marker>,
    pub(crate) writes: Flights,
    pub(crate) syncs: Flights,
    pub(crate) written: AtomicU64,
    /// Where the written records end, as a packed place.
    pub(crate) written_end: AtomicU64,
    pub(crate) synced: AtomicU64,
    /// Up to which record the mark says so, or was meant to.
    pub(crate) marked: AtomicU64,
    pub(crate) appended: AtomicU64,
    pub(crate) failed: OnceLock<Failed>,
    pub(crate) keeper: Keeper,
    /// One at a time makes segments, frees them, and replaces the manifest.
    pub(crate) folder: Mutex<Folder>,
    pub(crate) damage: Vec<Damage>,
    observed_ns: u64,
    opened: Moment,
    pub(crate) life: u64,
    /// Until the journal is closed.
    pub(crate) owned: Mutex<Option<LockHeld>>,
}

/// The writing side of the buffers.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    spare: Buffer,
    /// Files written and not flushed since, oldest first.
    dirty: Vec<(String, Arc<dyn StoredFile>)>,
}

/// What only whoever changes the folder looks at.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Number of the first record of `first`.
    pub(crate) from: u64,
    /// Names of files kept for reuse.
    pub(crate) spares: Vec<String>,
    /// How many segments are kept ready; more after an append had to wait.
    pub(crate) ahead: usize,
    /// The segment that was copied forward last.
    pub(crate) copied: u64,
    /// The segment that was not, for want of room.
    pub(crate) weighed: Option<Weighed>,
}

pub(crate) struct LockHeld(
    #[allow(dead_code, reason = "held, never looked at")] Box<dyn Send + Sync>,
);

/// Told when a level is reached; see [`Journal::when`].
pub trait Reached: Send + Sync {
    /// The record of that number has reached the level, or never will. Called on a thread of the
    /// journal: it must neither wait nor panic.
    fn reached(&self, number: u64, outcome: Result<(), CommitError>);
}

/// What [`Shared::new`] starts from.
pub(crate) struct Opening {
    pub(crate) config: JournalConfig,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) id: u128,
    pub(crate) head: Head,
    pub(crate) folder: Folder,
    pub(crate) marker: Marker,
    /// What the mark said.
    pub(crate) marked: u64,
    pub(crate) damage: Vec<Damage>,
    pub(crate) observed_ns: u64,
    pub(crate) life: u64,
    pub(crate) now: Moment,
    pub(crate) lock: Box<dyn Send + Sync>,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn start(opening: Opening) -> std::io::Result<Arc<Journal>> {
        let shared = Arc::new(Shared::new(opening));
        if shared.config.threads && lock(&shared.head).room() == 0 {
            // So that nobody waits for the first segment.
            shared.tend_folder();
        }
        let threads = if shared.config.threads { keeper::start(&shared)? } else { Vec::new() };
        Ok(Arc::new(Journal { shared, threads: Mutex::new(threads) }))
    }

    /// Appends a record behind all others. Nothing is written yet: see [`wait`](Journal::wait).
    ///
    /// Callers may hold any lock of their own: the journal's is the innermost. It never waits for
    /// room: whoever may wait does so before, outside of locks ([`wanting`](Journal::wanting)).
    ///
    /// # Errors
    /// Then nothing of it will ever be there.
    #[inline]
    pub fn append(&self, record: &Record<'_>) -> Result<Position, AppendError> {
        self.shared.append(record)
    }

    /// Up to which record that level is reached.
    #[must_use]
    #[inline]
    pub fn reached(&self, level: Level) -> u64 {
        match level {
            Level::Memory => self.shared.appended.load(Acquire),
            Level::Process => self.shared.written.load(Acquire),
            Level::Disk => self.shared.synced.load(Acquire),
        }
    }

    /// Waits until that record has reached that level. Does the work itself if nobody is at it.
    ///
    /// # Errors
    /// When the journal fails before. Whether the record is there is known after a restart.
    pub fn wait(&self, number: u64, level: Level) -> Result<(), CommitError> {
        self.shared.wait(number, level)
    }

    /// Waits until that record is written: what precedes every first hand-off (P-14).
    ///
    /// # Errors
    /// As [`wait`](Journal::wait).
    pub fn write_through(&self, number: u64) -> Result<(), CommitError> {
        self.shared.wait(number, Level::Process)
    }

    /// Tells `then` when that record has reached that level, on a thread of the journal. Who asks
    /// for several records may be told once for some of them, with the number of the last.
    pub fn when<R: Reached + 'static>(&self, number: u64, level: Level, then: &Arc<R>) {
        self.shared.keeper.when(number, level, then);
    }

    /// For how long hosts have run with this journal, in nanoseconds: what does not age while no
    /// host runs is measured in it.
    #[must_use]
    pub fn observed(&self, mono_ns: u64) -> u64 {
        self.shared.observed_ns + mono_ns.saturating_sub(self.shared.opened.mono_ns)
    }

    /// What was found damaged when the journal was opened.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.shared.damage
    }

    /// The journal's id, drawn when it was made.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.shared.id
    }

    /// The latest value of a control key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.shared.head).books.control.get(key).cloned()
    }

    /// Sets a control key; an empty value removes it. It is on the device when this returns.
    ///
    /// # Errors
    /// [`CommitError::Refused`] when nothing was written.
    pub fn put(&self, key: &str, value: &[u8]) -> Result<(), CommitError> {
        let refused = |error| match error {
            AppendError::Failed(failed) => CommitError::Failed(failed),
            AppendError::Closed => CommitError::Closed,
            other => CommitError::Refused(other),
        };
        let mut room = self.wanting((key.len() + value.len()) as u64);
        loop {
            match self.append(&Record::Control { key, value }) {
                Ok(position) => return self.wait(position.number, Level::Disk),
                Err(AppendError::StorageFull { .. }) => room.wait().map_err(refused)?,
                Err(error) => return Err(refused(error)),
            }
        }
    }

    /// Does what the journal's threads do, once: writes and flushes what is due, makes and frees
    /// segments, answers [`when`](Journal::when). For journals without threads.
    pub fn tend(&self) {
        self.shared.tend_buffers(true);
        self.shared.tend_folder();
        self.shared.tell();
    }

    pub(crate) fn stop_threads(&self) {
        self.shared.keeper.stop();
        self.shared.room.notify_all();
        for thread in lock(&self.threads).drain(..) {
            // A thread that panicked has said so; there is nothing to add.
            let _ = thread.join();
        }
        self.shared.tell();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

// === impl Shared ===

impl Shared {
    fn new(opening: Opening) -> Shared {
        let last = opening.head.link.number - 1;
        let written_end = opening
            .head
            .used
            .back()
            .map_or(0, |used| Place { segment: used.segment.number, offset: used.end }.pack());
        Shared {
            config: opening.config,
            storage: opening.storage,
            id: opening.id,
            head: Mutex::new(opening.head),
            room: Condvar::new(),
            writer: Mutex::default(),
            marker: Mutex::new(opening.marker),
            marked: AtomicU64::new(opening.marked),
            writes: Flights::default(),
            syncs: Flights::default(),
            written: AtomicU64::new(last),
            written_end: AtomicU64::new(written_end),
            synced: AtomicU64::new(last),
            appended: AtomicU64::new(last),
            failed: OnceLock::new(),
            keeper: Keeper::default(),
            folder: Mutex::new(opening.folder),
            damage: opening.damage,
            // Later than everything of earlier lives.
            observed_ns: opening.observed_ns + 1,
            opened: opening.now,
            life: opening.life,
            owned: Mutex::new(Some(LockHeld(opening.lock))),
        }
    }

    #[inline]
    pub(crate) fn append(&self, record: &Record<'_>) -> Result<Position, AppendError> {
        let mut head = lock(&self.head);
        let position = match self.append_in_turn(&mut head, record) {
            Ok(position) => position,
            Err(refused @ AppendError::StorageFull { .. }) => {
                let (back, position) = self.go_hungry(head, record, refused)?;
                head = back;
                position
            }
            Err(error) => return Err(error),
        };
        self.follow(head, position);
        Ok(position)
    }

    /// Does what follows an append.
    #[inline]
    pub(crate) fn follow(&self, mut head: MutexGuard<'_, Head>, position: Position) {
        self.appended.store(position.number, Release);
        let much = head.buffer.bytes.len() >= self.config.buffer_bytes;
        let idle = std::mem::take(&mut head.idle);
        let low = head.ready.is_empty();
        if low && head.room() < head.reserve + head.reserve / 2 {
            // Segments are filled nearly as fast as they are made: more are kept ready, before
            // anybody has to wait for one.
            head.hungry = true;
        }
        drop(head);
        if much {
            // The buffer does not grow faster than it is written.
            self.flush();
        }
        if idle {
            self.keeper.ring();
        }
        if low {
            self.keeper.ring_folder();
        }
    }

    /// Appends behind what is owed, if anything is.
    #[inline]
    pub(crate) fn append_in_turn(
        &self,
        head: &mut Head,
        record: &Record<'_>,
    ) -> Result<Position, AppendError> {
        if !head.owed.is_empty() && !self.pay(head) {
            return Err(AppendError::StorageFull { free: head.room(), reserve: head.reserve });
        }
        self.try_append(head, record)
    }

    #[inline]
    pub(crate) fn try_append(
        &self,
        head: &mut Head,
        record: &Record<'_>,
    ) -> Result<Position, AppendError> {
        if let Some(failed) = self.failed.get() {
            return Err(failed.clone().into());
        }
        if head.closed {
            return Err(AppendError::Closed);
        }
        if !head.started {
            self.begin(head)?;
        }
        head.append(record, self.synced.load(Relaxed))
    }

    /// The first record of a life.
    pub(crate) fn begin(&self, head: &mut Head) -> Result<Position, AppendError> {
        let (observed_ns, at_unix_ns) = (head.books.observed_ns, self.opened.unix_ns);
        let stay = self.storage.stay();
        let start = Record::Start { life: self.life, stay, at_unix_ns, observed_ns };
        let position = head.append(&start, self.synced.load(Relaxed))?;
        head.started = true;
        Ok(position)
    }

    /// Writes all that was appended. Errors are in `failed` afterwards.
    pub(crate) fn flush(&self) {
        drop(self.flush_with(lock(&self.writer)));
    }

    fn flush_with<'a>(&'a self, mut writer: MutexGuard<'a, Writer>) -> MutexGuard<'a, Writer> {
        if self.failed.get().is_some() {
            return writer;
        }
        let mut buffer = {
            let mut head = lock(&self.head);
            if head.buffer.bytes.is_empty() {
                return writer;
            }
            std::mem::replace(&mut head.buffer, std::mem::take(&mut writer.spare))
        };
        buffer.end_with_zeroes();
        for (at, chunk) in buffer.chunks.iter().enumerate() {
            let end = buffer.chunks.get(at + 1).map_or(buffer.bytes.len(), |next| next.start);
            if let Err(error) = chunk.file.write_at(chunk.offset, &buffer.bytes[chunk.start..end]) {
                self.fail("write", &chunk.name, &error);
                return writer;
            }
            let dirty = &mut writer.dirty;
            if !dirty.last().is_some_and(|(_, file)| Arc::ptr_eq(file, &chunk.file)) {
                dirty.push((chunk.name.clone(), chunk.file.clone()));
            }
        }
        if self.failed.get().is_none() {
            self.written_end.store(buffer.end.pack(), Release);
            self.written.store(buffer.last, Release);
        }
        buffer.clear(4 * self.config.buffer_bytes);
        writer.spare = buffer;
        writer
    }

    pub(crate) fn wait(&self, number: u64, level: Level) -> Result<(), CommitError> {
        if fault("ack-before-write") {
            return Ok(());
        }
        let stop = || self.failed.get().map(|failed| CommitError::Failed(failed.clone()));
        match level {
            Level::Memory => Ok(()),
            Level::Process => self.writes.wait(number, &self.written, stop, |_| self.flush()),
            Level::Disk => self.syncs.wait(number, &self.synced, stop, |flight| {
                self.sync(|number| flight.serves(number));
            }),
        }
    }

    /// Writes and flushes to the device all that was appended; one at a time, as a flight.
    fn sync(&self, known: impl Fn(u64)) {
        let mut writer = self.flush_with(lock(&self.writer));
        if self.failed.get().is_some() {
            return;
        }
        let target = self.written.load(Acquire);
        let dirty = std::mem::take(&mut writer.dirty);
        drop(writer);
        known(target);
        for (name, file) in &dirty {
            if let Err(error) = file.sync_data() {
                if fault("retry-failed-fsync") && file.sync_data().is_ok() {
                    continue;
                }
                self.fail("flush", name, &error);
                return;
            }
        }
        if self.failed.get().is_none() {
            self.synced.store(target, Release);
        }
    }

    /// Ends everything: nobody is told of a success any more.
    #[cold]
    pub(crate) fn fail(&self, operation: &'static str, file: &str, error: &std::io::Error) {
        let file = file.to_owned();
        let _ = self.failed.set(Failed { operation, file, reason: error.to_string() });
        // Under the lock, so that nobody who looked before misses the call.
        drop(lock(&self.head));
        self.room.notify_all();
        self.keeper.ring();
    }
}

impl std::fmt::Debug for LockHeld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockHeld")
    }
}
