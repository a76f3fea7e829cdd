//! A library file that was read and found fit to be loaded.
//!
//! The file is opened once. What is inspected, copied and loaded later is what that descriptor
//! leads to, whatever happens to the path meanwhile.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use patchbay_abi as abi;
use patchbay_manifest::{Format, Manifest, Unload};

use crate::{
    digest::Digest,
    elf::{ElfFacts, ElfFile},
    limits::InspectLimits,
    note::NoteFacts,
    problem::LibraryProblem,
};

/// Why a path does not lead to a library that this host may load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The path leads nowhere, or may not be read.
    #[error("cannot read the library `{}`", path.display())]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not fit.
    #[error("cannot use the library `{}`", path.display())]
    Unfit {
        /// The path as it was given.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: LibraryProblem,
    },
}

/// A library file that is fit to be loaded. No code of it has run.
#[derive(Debug)]
pub struct Candidate {
    file: File,
    stamp: Stamp,
    described: Arc<Described>,
}

/// Everything that the file says.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) path: PathBuf,
    pub(crate) real_path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) note: NoteFacts,
    pub(crate) elf: ElfFacts,
}

/// Tells whether a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    changed: (i64, i64),
}

// === impl InspectError ===

impl InspectError {
    /// Whether the same path may be fine a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            InspectError::Read { .. } => false,
            InspectError::Unfit { problem, .. } => problem.is_transient(),
        }
    }

    /// What is wrong with the file, when it could be read.
    #[must_use]
    pub fn problem(&self) -> Option<&LibraryProblem> {
        match self {
            InspectError::Read { .. } => None,
            InspectError::Unfit { problem, .. } => Some(problem),
        }
    }
}

// === impl Candidate ===

impl Candidate {
    /// Opens and reads a library.
    ///
    /// # Errors
    /// [`InspectError`]: the file cannot be read, or is not fit, and why.
    pub fn inspect(path: &Path, limits: &InspectLimits) -> Result<Candidate, InspectError> {
        let unread = |source| InspectError::Read { path: path.to_owned(), source };
        let unfit = |problem| InspectError::Unfit { path: path.to_owned(), problem };
        let (file, real_path) = open(path).map_err(unread)?;
        let before = file.metadata().map_err(unread)?;
        if !before.is_file() {
            return Err(unfit(LibraryProblem::NotAFile));
        }
        if before.len() > limits.file_bytes_max {
            let (bytes, limit) = (before.len(), limits.file_bytes_max);
            return Err(unfit(LibraryProblem::TooLarge { bytes, limit }));
        }
        let mut data = Vec::with_capacity(before.len() as usize);
        (&file).take(limits.file_bytes_max + 1).read_to_end(&mut data).map_err(unread)?;
        let stamp = Stamp::of(&file.metadata().map_err(unread)?);
        if Stamp::of(&before) != stamp || data.len() as u64 != stamp.bytes {
            return Err(unfit(LibraryProblem::Changed));
        }
        let described = describe(path, real_path, &data, limits).map_err(unfit)?;
        Ok(Candidate { file, stamp, described: Arc::new(described) })
    }

    /// The path that was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.described.path
    }

    /// Where it led: no link on the way.
    #[must_use]
    pub fn real_path(&self) -> &Path {
        &self.described.real_path
    }

    /// Size of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.described.bytes
    }

    /// What the file is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.described.digest
    }

    /// What its author says about it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.described.manifest
    }

    /// What the note says beside the manifest.
    #[must_use]
    pub fn note(&self) -> NoteFacts {
        self.described.note
    }

    /// What the file format says.
    #[must_use]
    pub fn elf(&self) -> &ElfFacts {
        &self.described.elf
    }

    /// Whether it stays mapped once it is loaded, by its own wish.
    #[must_use]
    pub fn stays_mapped(&self) -> bool {
        self.described.stays_mapped()
    }

    pub(crate) fn described(&self) -> &Arc<Described> {
        &self.described
    }

    /// Reads on at `offset`, from the descriptor that was inspected, wherever its name leads now.
    ///
    /// # Errors
    /// What the system said.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    /// Whether the file was written to since it was inspected.
    pub(crate) fn was_changed(&self) -> io::Result<bool> {
        Ok(Stamp::of(&self.file.metadata()?) != self.stamp)
    }
}

// === impl Described ===

impl Described {
    pub(crate) fn stays_mapped(&self) -> bool {
        self.manifest.unload == Unload::Never || self.note.no_unload()
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp { bytes: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// Opens the file, and tells its real path: that of the descriptor, not of a second lookup.
fn open(path: &Path) -> io::Result<(File, PathBuf)> {
    use std::os::{fd::AsRawFd, unix::fs::OpenOptionsExt};

    // Not blocking: a FIFO under that name must not hold up the host.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let real_path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok((file, real_path))
}

fn describe(
    path: &Path,
    real_path: PathBuf,
    data: &[u8],
    limits: &InspectLimits,
) -> Result<Described, LibraryProblem> {
    let elf = ElfFile::parse(data)?;
    let notes = elf.notes(&abi::note::OWNER, abi::note::TYPE)?;
    let (note, manifest) = match notes[..] {
        [] => return Err(LibraryProblem::NoNote),
        [descriptor] => NoteFacts::read(descriptor)?,
        _ => return Err(LibraryProblem::TwoNotes),
    };
    if manifest.len() > limits.manifest_bytes_max {
        return Err(LibraryProblem::Note { what: "its manifest is larger than the limit" });
    }
    let manifest = Manifest::parse(manifest, Format::Detect).map_err(LibraryProblem::Manifest)?;
    if !elf.defines(&manifest.entry_point) {
        return Err(LibraryProblem::NoEntry { symbol: manifest.entry_point });
    }
    let described = Described {
        path: path.to_owned(),
        real_path,
        bytes: data.len() as u64,
        digest: Digest::of(data),
        manifest,
        note,
        elf: elf.into_facts(),
    };
    if let Some(symbol) = described.elf.evades.first() {
        return Err(LibraryProblem::Evades { symbol: symbol.clone() });
    }
    if described.stays_mapped() {
        return Ok(described);
    }
    if described.elf.nodelete {
        return Err(LibraryProblem::NoDelete);
    }
    if let Some(symbol) = described.elf.unique.first() {
        let (symbol, count) = (symbol.clone(), described.elf.unique.len());
        return Err(LibraryProblem::Unique { symbol, count });
    }
    Ok(described)
}
