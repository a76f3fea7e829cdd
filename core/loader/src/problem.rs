//! Why a file is no library that this host may load.

use patchbay_manifest::ManifestError;

/// What is wrong with a library file. Found by reading it: no code of it has run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryProblem {
    /// Not a file: a folder, a socket, a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// Larger than the limit.
    #[error("it has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It was written to while it was read; a moment later it may be fine.
    #[error("it was changed while it was read")]
    Changed,
    /// Not an ELF file at all.
    #[error("it is not a library (no ELF file)")]
    NotElf,
    /// An ELF file that ends too early, or is inconsistent.
    #[error("it is cut off or damaged: {what}")]
    Damaged {
        /// What could not be read.
        what: String,
    },
    /// An executable, an object file, a core dump.
    #[error("it is an ELF file, but not a shared library (type {found})")]
    NotShared {
        /// `e_type` of the file.
        found: u16,
    },
    /// A library of another processor, word size or byte order.
    #[error("it is a library for {found}, this host is {host}")]
    Machine {
        /// What the file is for.
        found: String,
        /// What this host is.
        host: String,
    },
    /// No note of ours: not a plugin.
    #[error("it has no plugin note: it was not built as a plugin")]
    NoNote,
    /// More than one note of ours.
    #[error("it has two plugin notes: two plugins were linked into one library")]
    TwoNotes,
    /// A note that is too short, or says that it is longer than it is.
    #[error("its plugin note is damaged: {what}")]
    Note {
        /// What is wrong.
        what: &'static str,
    },
    /// Built for another contract.
    #[error("it was built for contract {found}.x, this host speaks {host}.x")]
    Contract {
        /// Major version of the library.
        found: u16,
        /// Major version of the host.
        host: u16,
    },
    /// It needs features of a newer host.
    #[error("it needs contract features that this host does not know (bits {unknown:#x})")]
    Features {
        /// The bits.
        unknown: u64,
    },
    /// A panic in it would end the process.
    #[error("it was built with panic=abort: a panic in it would end the host")]
    PanicAborts,
    /// The manifest inside the note is not valid.
    #[error("its manifest is not valid")]
    Manifest(#[source] ManifestError),
    /// The entry function is not defined by the library itself.
    #[error("it does not define the entry function `{symbol}`")]
    NoEntry {
        /// Name of the function.
        symbol: String,
    },
    /// It binds to functions that the host cannot watch.
    #[error("it calls `{symbol}`, which leaves traces that the host cannot see")]
    Evades {
        /// The first such function.
        symbol: String,
    },
    /// It can never be unmapped, and does not say so.
    #[error(
        "it is linked with `-z nodelete` and can never be unmapped, but its manifest does not say \
         `unload: never`"
    )]
    NoDelete,
    /// It can never be unmapped, and shares statics with other versions of itself.
    #[error(
        "it defines {count} unique symbols (the first is `{symbol}`) and can never be unmapped, \
         but its manifest does not say `unload: never`; compile with -fno-gnu-unique"
    )]
    Unique {
        /// The first of them.
        symbol: String,
        /// How many there are.
        count: usize,
    },
}

// === impl LibraryProblem ===

impl LibraryProblem {
    /// Whether the same path may be fine a moment later: the file was being written.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, LibraryProblem::Changed | LibraryProblem::Damaged { .. })
    }
}
