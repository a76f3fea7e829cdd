//! The files of a journal, as values: on a disk, or simulated.

mod disk;
#[cfg(feature = "testing")]
mod sim;

use std::{fmt, io, sync::Arc};

pub use disk::DiskStorage;
#[cfg(feature = "testing")]
pub use sim::{CrashChoice, Op, SimStorage};

/// One folder of files. Names are single components.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Makes the folder if it is not there, and its entry durable.
    ///
    /// # Errors
    /// What the file system says.
    fn make_folder(&self) -> io::Result<()>;

    /// Names of the files in the folder; none when there is no folder.
    ///
    /// # Errors
    /// What the file system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file, or empties the one there is.
    ///
    /// # Errors
    /// What the file system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// What the file system says.
    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn StoredFile>>;

    /// Gives a file another name, in place of what had it.
    ///
    /// # Errors
    /// What the file system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the file system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names of the folder durable.
    ///
    /// # Errors
    /// What the file system says.
    fn sync_dir(&self) -> io::Result<()>;

    /// Holds the folder until what is returned is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// [`LockError::Held`] when somebody else has it.
    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockError>;

    /// Free space of the volume.
    ///
    /// # Errors
    /// What the file system says.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Any word.
    fn random(&self) -> u64;

    /// A number that is the same for as long as nothing is lost that was written, flushed or not:
    /// while the machine runs and the folder stays mounted. 0 = nobody knows.
    fn stay(&self) -> u64;

    /// The folder as people know it.
    fn place(&self) -> String;
}

/// One open file.
pub trait StoredFile: Send + Sync + fmt::Debug {
    /// Fills `into` from there, up to the end of the file. Returns how much it was.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of it there.
    ///
    /// # Errors
    /// What the file system says; then any part of it may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reserves the blocks of a file of that length, and says whether it did: else they are there
    /// when they have been written.
    ///
    /// # Errors
    /// What the file system says.
    fn allocate(&self, length: u64) -> io::Result<bool>;

    /// What was written is on the device afterwards.
    ///
    /// # Errors
    /// What the file system says; then nobody knows what is on the device.
    fn sync_data(&self) -> io::Result<()>;

    /// Its length.
    ///
    /// # Errors
    /// What the file system says.
    fn length(&self) -> io::Result<u64>;
}

/// Why a folder cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody holds it.
    #[error("it is held by process {}", pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string()))]
    Held {
        /// Its process id, when it left one.
        pid: Option<u32>,
    },
    /// It cannot be tried.
    #[error(transparent)]
    Io(#[from] io::Error),
}
