//! A folder in memory that knows what would survive a power cut, for tests.
//!
//! A write is on the device when its file was flushed after it; a name, when the folder was. Until
//! then a [`crash`](SimStorage::crash) keeps any part of the writes of each file, torn in the
//! middle too, and the changes of names up to any point, as a journaling file system does.

mod bytes;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use self::bytes::{Bytes, put};
use super::{LockError, Storage, StoredFile};
use crate::commit::lock;

/// `EIO` and `ENOSPC`, as every Unix has them.
const IO_ERROR: i32 = 5;
const NO_SPACE: i32 = 28;

/// A simulated folder. Clones are the same folder.
#[derive(Clone, Debug)]
pub struct SimStorage(Arc<Mutex<Disk>>);

/// One change of the folder, as it is recorded.
#[derive(Clone, Debug)]
pub enum Op {
    /// A file was made or emptied.
    Create(String),
    /// Bytes were written to the file of that number.
    Write(usize, u64, Vec<u8>),
    /// A file was made that long.
    Extend(usize, u64),
    /// A file was flushed.
    Sync(usize),
    /// A file got another name.
    Rename(String, String),
    /// A name was removed.
    Remove(String),
    /// The names were flushed.
    SyncDir,
    /// Something that the test wants to remember, in order with the changes.
    Mark(u64),
}

/// A source of choices: any number below its argument.
pub trait CrashChoice {
    /// Any number below `below`, which is not 0.
    fn choose(&mut self, below: u64) -> u64;
}

#[derive(Debug, Default)]
struct Disk {
    files: Vec<Bytes>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since they were flushed; those of one entry happen together.
    name_changes: Vec<Vec<NameChange>>,
    history: Option<Vec<Op>>,
    /// Changes so far, and which one fails.
    changes: u64,
    reads: u64,
    failing: Option<u64>,
    failed: bool,
    /// Changes after the one that failed.
    after_failure: u64,
    limit: u64,
    locked: bool,
    random: u64,
    stay: u64,
}

/// A name, and the file that it has from now on, if any.
type NameChange = (String, Option<usize>);

#[derive(Debug)]
struct SimFile {
    disk: SimStorage,
    file: usize,
}

struct Unlock(SimStorage);

// === impl SimStorage ===

impl Default for SimStorage {
    fn default() -> SimStorage {
        SimStorage::new()
    }
}

impl SimStorage {
    /// An empty folder on a volume without bounds.
    #[must_use]
    pub fn new() -> SimStorage {
        SimStorage::of(Disk { limit: u64::MAX, stay: 1, ..Disk::default() })
    }

    fn of(disk: Disk) -> SimStorage {
        SimStorage(Arc::new(Mutex::new(disk)))
    }

    /// Records every change from now on.
    pub fn record(&self) {
        lock(&self.0).history = Some(Vec::new());
    }

    /// Remembers something in order with the changes.
    pub fn mark(&self, what: u64) {
        if let Some(history) = &mut lock(&self.0).history {
            history.push(Op::Mark(what));
        }
    }

    /// What was recorded.
    #[must_use]
    pub fn history(&self) -> Vec<Op> {
        lock(&self.0).history.clone().unwrap_or_default()
    }

    /// Makes a recorded change here.
    pub fn replay(&self, op: &Op) {
        let mut disk = lock(&self.0);
        match op.clone() {
            Op::Create(name) => {
                disk.create(name);
            }
            Op::Write(file, offset, bytes) => disk.write(file, offset, bytes),
            Op::Extend(file, length) => disk.write(file, length, Vec::new()),
            Op::Sync(file) => disk.sync(file),
            Op::Rename(from, to) => disk.rename(&from, to),
            Op::Remove(name) => disk.remove(&name),
            Op::SyncDir => disk.sync_dir(),
            Op::Mark(_) => {}
        }
    }

    /// How many changes there were.
    #[must_use]
    pub fn changes(&self) -> u64 {
        lock(&self.0).changes
    }

    /// How often a file was read.
    #[must_use]
    pub fn reads(&self) -> u64 {
        lock(&self.0).reads
    }

    /// Lets the change of that number fail, 1 for the first.
    pub fn fail_at(&self, number: u64) {
        lock(&self.0).failing = Some(number);
    }

    /// Whether a change has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        lock(&self.0).failed
    }

    /// How many changes were tried after the one that failed.
    #[must_use]
    pub fn changes_after_failure(&self) -> u64 {
        lock(&self.0).after_failure
    }

    /// The size of the volume from now on.
    pub fn limit(&self, bytes: u64) {
        lock(&self.0).limit = bytes;
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        lock(&self.0).used()
    }

    /// Changes a file behind everybody's back.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = lock(&self.0);
        let file = *disk.names.get(name).unwrap_or_else(|| panic!("no file {name}"));
        let bytes = &mut disk.files[file];
        edit(&mut bytes.now);
        bytes.durable.clone_from(&bytes.now);
        bytes.unsynced.clear();
    }

    /// The folder as it would be after a power cut now.
    #[must_use]
    pub fn crash(&self, choice: &mut dyn CrashChoice) -> SimStorage {
        let disk = lock(&self.0);
        let mut names = disk.durable_names.clone();
        let kept = choice.choose(disk.name_changes.len() as u64 + 1) as usize;
        for (name, file) in disk.name_changes[..kept].iter().flatten() {
            match file {
                Some(file) => names.insert(name.clone(), *file),
                None => names.remove(name),
            };
        }
        let after = SimStorage::of(disk.copy(&names, |file| file.survive(choice)));
        after.reboot();
        after
    }

    /// The machine starts anew, and what is there now is all there is.
    pub fn reboot(&self) {
        lock(&self.0).stay += 1;
    }

    /// The folder as it is after the death of the process: everything that was written.
    #[must_use]
    pub fn kill(&self) -> SimStorage {
        let disk = lock(&self.0);
        SimStorage::of(disk.copy(&disk.names, |file| file.now.clone()))
    }

    fn change<T>(
        &self,
        op: impl FnOnce() -> Op,
        change: impl FnOnce(&mut Disk, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut disk = lock(&self.0);
        disk.changes += 1;
        disk.after_failure += u64::from(disk.failed);
        let fails = disk.failing == Some(disk.changes);
        disk.failed |= fails;
        let done = change(&mut disk, fails);
        if fails {
            return Err(io::Error::from_raw_os_error(IO_ERROR));
        }
        if done.is_ok()
            && let Some(history) = &mut disk.history
        {
            history.push(op());
        }
        done
    }
}

// === impl Disk ===

impl Disk {
    fn used(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].now.len() as u64).sum()
    }

    /// The named files as they are to be, everything flushed.
    fn copy(
        &self,
        names: &BTreeMap<String, usize>,
        mut bytes: impl FnMut(&Bytes) -> Vec<u8>,
    ) -> Disk {
        let (limit, stay) = (self.limit, self.stay);
        let mut copy = Disk { limit, stay, random: self.random ^ 0x9E37, ..Disk::default() };
        for (name, &file) in names {
            let now = bytes(&self.files[file]);
            copy.names.insert(name.clone(), copy.files.len());
            copy.files.push(Bytes { durable: now.clone(), now, unsynced: Vec::new() });
        }
        copy.durable_names = copy.names.clone();
        copy
    }

    fn create(&mut self, name: String) -> usize {
        let file = self.files.len();
        self.files.push(Bytes::default());
        self.name(name, Some(file));
        file
    }

    fn name(&mut self, name: String, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name.clone(), file),
            None => self.names.remove(&name),
        };
        self.name_changes.push(vec![(name, file)]);
    }

    fn write(&mut self, file: usize, offset: u64, bytes: Vec<u8>) {
        let file = &mut self.files[file];
        put(&mut file.now, offset, &bytes);
        file.unsynced.push((offset, bytes));
    }

    fn sync(&mut self, file: usize) {
        let file = &mut self.files[file];
        for (offset, bytes) in std::mem::take(&mut file.unsynced) {
            put(&mut file.durable, offset, &bytes);
        }
    }

    fn rename(&mut self, from: &str, to: String) {
        let file = self.names.get(from).copied();
        if from == to {
            return;
        }
        self.names.remove(from);
        if let Some(file) = file {
            self.names.insert(to.clone(), file);
        }
        self.name_changes.push(vec![(to, file), (from.to_owned(), None)]);
    }

    fn remove(&mut self, name: &str) {
        self.name(name.to_owned(), None);
    }

    fn sync_dir(&mut self) {
        self.durable_names = self.names.clone();
        self.name_changes.clear();
    }

    /// Whether the volume has room for a file of that length.
    fn has_room(&self, file: usize, length: u64) -> bool {
        let more = length.saturating_sub(self.files[file].now.len() as u64);
        more == 0 || self.used().saturating_add(more) <= self.limit
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Storage for SimStorage {
    fn make_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        let file = self.change(
            || Op::Create(name.to_owned()),
            |disk, fails| if fails { Err(missing()) } else { Ok(disk.create(name.to_owned())) },
        )?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str, _writable: bool) -> io::Result<Arc<dyn StoredFile>> {
        let file = *lock(&self.0).names.get(name).ok_or_else(missing)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(
            || Op::Rename(from.to_owned(), to.to_owned()),
            |disk, fails| {
                if !disk.names.contains_key(from) {
                    return Err(missing());
                }
                if !fails {
                    disk.rename(from, to.to_owned());
                }
                Ok(())
            },
        )
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(
            || Op::Remove(name.to_owned()),
            |disk, fails| {
                if !disk.names.contains_key(name) {
                    return Err(missing());
                }
                if !fails {
                    disk.remove(name);
                }
                Ok(())
            },
        )
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change(
            || Op::SyncDir,
            |disk, fails| {
                if !fails {
                    disk.sync_dir();
                }
                Ok(())
            },
        )
    }

    fn lock(&self, _name: &str) -> Result<Box<dyn Send + Sync>, LockError> {
        let mut disk = lock(&self.0);
        if std::mem::replace(&mut disk.locked, true) {
            return Err(LockError::Held { pid: Some(std::process::id()) });
        }
        Ok(Box::new(Unlock(self.clone())))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = lock(&self.0);
        Ok(disk.limit.saturating_sub(disk.used()))
    }

    fn random(&self) -> u64 {
        let mut disk = lock(&self.0);
        disk.random = disk.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (disk.random ^ disk.random >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word ^ word >> 27
    }

    fn stay(&self) -> u64 {
        lock(&self.0).stay
    }

    fn place(&self) -> String {
        "(simulated)".to_owned()
    }
}

impl Drop for Unlock {
    fn drop(&mut self) {
        lock(&self.0.0).locked = false;
    }
}

// === impl SimFile ===

impl StoredFile for SimFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut disk = lock(&self.disk.0);
        disk.reads += 1;
        let bytes = disk.files[self.file].now.get(offset as usize..).unwrap_or_default();
        let length = bytes.len().min(into.len());
        into[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file;
        self.disk.change(
            || Op::Write(file, offset, bytes.to_vec()),
            |disk, fails| {
                if !disk.has_room(file, offset + bytes.len() as u64) {
                    return Err(io::Error::from_raw_os_error(NO_SPACE));
                }
                // One that fails leaves half of it behind.
                let length = if fails { bytes.len() / 2 } else { bytes.len() };
                disk.write(file, offset, bytes[..length].to_vec());
                Ok(())
            },
        )
    }

    fn allocate(&self, length: u64) -> io::Result<bool> {
        let file = self.file;
        self.disk.change(
            || Op::Extend(file, length),
            |disk, fails| {
                if !disk.has_room(file, length) {
                    return Err(io::Error::from_raw_os_error(NO_SPACE));
                }
                if !fails {
                    disk.write(file, length, Vec::new());
                }
                Ok(true)
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        let file = self.file;
        self.disk.change(
            || Op::Sync(file),
            |disk, fails| {
                if fails {
                    // What could not be written is dropped: flushing again would not bring it back.
                    disk.files[file].unsynced.clear();
                } else {
                    disk.sync(file);
                }
                Ok(())
            },
        )
    }

    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.disk.0).files[self.file].now.len() as u64)
    }
}
