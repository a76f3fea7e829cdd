//! What can go wrong, by operation.

use std::{fmt, io};

use crate::damage::Damage;

/// Why a journal is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it (P-11).
    #[error(
        "the journal {folder} is in use by process {}: stop it, or give this host another data folder",
        pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
    )]
    Owned {
        /// The folder.
        folder: String,
        /// The process, when it is known.
        pid: Option<u32>,
    },
    /// Another version wrote it.
    #[error(
        "the journal {folder} has format version {found}, this program reads version {known}: \
         use the program that wrote it, or another data folder"
    )]
    Version {
        /// The folder.
        folder: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Damage was found, and the configuration says to refuse (P-10).
    #[error("the journal {folder} is damaged, and on_corruption is refuse: {}", list(damage))]
    Refused {
        /// The folder.
        folder: String,
        /// All of it.
        damage: Vec<Damage>,
    },
    /// The file system is read-only.
    #[error("the journal {folder} is on a read-only file system: {operation}")]
    ReadOnly {
        /// The folder.
        folder: String,
        /// What was tried.
        operation: &'static str,
    },
    /// Files belong to somebody else.
    #[error(
        "no permission in the journal {folder}: {operation} {file}: the folder and all its files \
         must belong to the user that runs the host"
    )]
    Permission {
        /// The folder.
        folder: String,
        /// What was tried.
        operation: &'static str,
        /// With which file.
        file: String,
    },
    /// A setting makes no sense.
    #[error("journal setting {setting}: {reason}")]
    Config {
        /// Which.
        setting: &'static str,
        /// Why.
        reason: String,
    },
    /// Anything else that the file system said.
    #[error("cannot {operation} {file} of the journal {folder}")]
    Io {
        /// The folder.
        folder: String,
        /// What was tried.
        operation: &'static str,
        /// With which file.
        file: String,
        /// What it said.
        source: io::Error,
    },
}

/// Why a record was not appended. Certainly nothing of it will ever be there.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room that this record may use (P-8). Passes by itself.
    #[error("the journal is full: {free} bytes of prepared room are left, {reserve} are kept back")]
    StorageFull {
        /// Prepared room.
        free: u64,
        /// What of it is kept back from publishes.
        reserve: u64,
    },
    /// So much is owed for want of room that no more is kept in memory.
    #[error("{bytes} bytes of records would wait for room in the journal, {most} may")]
    OwesTooMuch {
        /// With this one.
        bytes: usize,
        /// The most.
        most: usize,
    },
    /// The record would not fit into a segment.
    #[error("a record of {bytes} bytes does not fit into the journal, which takes {most}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// The journal has failed (P-7).
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why a level was not reached.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The journal has failed: what is on the device is known after a restart (P-7).
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The journal was closed before.
    #[error("the journal is closed")]
    Closed,
    /// Refused before anything was written.
    #[error("nothing was written")]
    Refused(#[source] AppendError),
}

/// The first error of a write, flush or rename: the journal does nothing more after it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the journal has failed and needs a restart: {operation} {file}: {reason}")]
pub struct Failed {
    /// What was tried.
    pub operation: &'static str,
    /// With which file.
    pub file: String,
    /// What the file system said.
    pub reason: String,
}

/// Why a message cannot be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing that is still needed stands there.
    #[error("no message stands at offset {offset} of segment {segment}")]
    Gone {
        /// Number of the segment.
        segment: u64,
        /// Offset in it.
        offset: u64,
    },
    /// The record there is damaged.
    #[error("the record at offset {offset} of segment {segment} is damaged")]
    Damaged {
        /// Number of the segment.
        segment: u64,
        /// Offset in it.
        offset: u64,
    },
    /// The file system said no.
    #[error("cannot read segment {segment}")]
    Io {
        /// Number of the segment.
        segment: u64,
        /// What it said.
        source: io::Error,
    },
}

struct Listed<'a>(&'a [Damage]);

fn list(damage: &[Damage]) -> impl fmt::Display {
    Listed(damage).to_string()
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, damage) in self.0.iter().enumerate() {
            write!(f, "{}{damage}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

// === impl OpenError ===

impl OpenError {
    pub(crate) fn io(
        folder: &str,
        operation: &'static str,
        file: &str,
        source: io::Error,
    ) -> OpenError {
        let (folder, file) = (folder.to_owned(), file.to_owned());
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { folder, operation },
            io::ErrorKind::PermissionDenied => OpenError::Permission { folder, operation, file },
            _ => OpenError::Io { folder, operation, file, source },
        }
    }
}
