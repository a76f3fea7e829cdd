//! Private copies of libraries: what is really loaded.
//!
//! A loaded file must never change: written in place it crashes the process, replaced under its
//! name the dynamic linker hands out the old code. So each generation gets a copy of its own,
//! under a name that is used once, which nobody else writes to. A folder belongs to one process.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    candidate::{Candidate, Described},
    digest::Digester,
};

/// Why a private copy could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot be made, read or locked.
    #[error("cannot open the library store `{}`", dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process works in the folder.
    #[error("the library store `{}` is in use by another process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The copy cannot be written.
    #[error("cannot copy the library `{}` to `{}`", from.display(), to.display())]
    Copy {
        /// The library.
        from: PathBuf,
        /// The private copy.
        to: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The library was written to after it was inspected.
    #[error("the library `{}` was changed after it was inspected", path.display())]
    Changed {
        /// The library.
        path: PathBuf,
    },
}

/// The folder of private copies.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Held for as long as the store is, or until it is released.
    lock: File,
}

/// A private copy of one library, for one generation. The file is removed with the value.
#[derive(Debug)]
pub struct PrivateCopy {
    path: PathBuf,
    described: Arc<Described>,
    generation: u64,
}

/// Name of the file by which the folder is locked.
const LOCK: &str = ".lock";
/// Owner may read and execute, nobody may write.
const MODE: u32 = 0o500;
/// How much is copied at once, in bytes: little, because a host that starts copies many libraries at
/// the same time, and the allocator keeps what they had.
const PIECE: usize = 32 << 10;

// === impl StoreError ===

impl StoreError {
    /// Whether the same library may be fine a moment later, when it is inspected anew.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Changed { .. })
    }
}

// === impl Store ===

impl Store {
    /// Opens a folder for this process alone, makes it when there is none, and removes what an
    /// earlier process left in it.
    ///
    /// # Errors
    /// [`StoreError`]: the folder cannot be used, or somebody else uses it.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Open { dir: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        // Link map and file have to agree on the name.
        let dir = dir.canonicalize().map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { dir }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "so") {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(Store { dir, lock })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the folder to the next one that opens it, whoever still holds this value. Only for a
    /// store whose copies are all gone: the next one may give the same names to its own.
    ///
    /// # Errors
    /// What the system said; the folder is free when the value is dropped.
    pub fn release(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Copies what was inspected, byte for byte, under a name of its own. The generation tells what
    /// this load leaves behind from what any other does: it is used once in a process, and not 0,
    /// which stands for the host itself.
    ///
    /// # Errors
    /// [`StoreError`]: the copy cannot be written, or the library was changed meanwhile. Nothing
    /// is left behind then.
    ///
    /// # Panics
    /// When the generation is 0.
    pub fn admit(&self, candidate: &Candidate, generation: u64) -> Result<PrivateCopy, StoreError> {
        assert_ne!(generation, 0, "generation 0 is the host");
        let described = candidate.described().clone();
        let name = format!(
            "{}-{}-{}-{generation}.so",
            described.manifest.name,
            described.manifest.version,
            described.digest.short()
        );
        let path = self.dir.join(name);
        let failed = |source| StoreError::Copy {
            from: candidate.path().to_owned(),
            to: path.clone(),
            source,
        };
        let mut file =
            File::options().create_new(true).write(true).mode(0o600).open(&path).map_err(failed)?;
        // From here on the file is ours, and goes with the copy when anything fails.
        let copy = PrivateCopy { path: path.clone(), described, generation };
        let digest = copy_into(candidate, &mut file).map_err(failed)?;
        file.set_permissions(fs::Permissions::from_mode(MODE)).map_err(failed)?;
        if digest != candidate.digest() || candidate.was_changed().map_err(failed)? {
            return Err(StoreError::Changed { path: candidate.path().to_owned() });
        }
        Ok(copy)
    }
}

fn copy_into(candidate: &Candidate, file: &mut File) -> io::Result<crate::Digest> {
    let mut digester = Digester::default();
    let mut piece = vec![0; PIECE.min(candidate.bytes() as usize + 1)];
    let mut offset = 0;
    while offset <= candidate.bytes() {
        let read = candidate.read_at(&mut piece, offset)?;
        if read == 0 {
            break;
        }
        digester.add(&piece[..read]);
        file.write_all(&piece[..read])?;
        offset += read as u64;
    }
    Ok(digester.finish())
}

// === impl PrivateCopy ===

impl PrivateCopy {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The generation that it was made for.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What its author says about it.
    #[must_use]
    pub fn manifest(&self) -> &patchbay_manifest::Manifest {
        &self.described.manifest
    }

    pub(crate) fn described(&self) -> &Arc<Described> {
        &self.described
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // A file that stays is removed when the store is opened the next time.
        let _ = fs::remove_file(&self.path);
    }
}
