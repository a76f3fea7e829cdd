//! A mapped library.
//!
//! Dropping the value leaves the library mapped: only [`Library::close`], after a proof, ends it.

use std::{error::Error, ffi::CString, io, mem::ManuallyDrop, os::unix::ffi::OsStrExt, sync::Arc};

use libloading::os::unix::{self as dl, RTLD_LAZY, RTLD_LOCAL, RTLD_NOW};
use patchbay_abi::PluginEntry;
use patchbay_interpose::{self as interpose, Range, destructors, keys, threads};

use crate::{candidate::Described, store::PrivateCopy};

/// A library that was mapped from its private copy.
#[derive(Debug)]
pub(crate) struct Library {
    /// `None` once it was closed. Closing is never left to a destructor.
    handle: Option<ManuallyDrop<dl::Library>>,
    range: Range,
    name: CString,
    copy: PrivateCopy,
}

/// Why a file could not be mapped as a library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The dynamic linker refuses it; its words.
    #[error("{0}")]
    Refused(String),
    /// The link map does not have it although the linker accepted it.
    #[error("it is not in the link map")]
    NotListed,
}

/// Why there is no entry function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryError {
    Missing,
    /// The symbol is found, but in another library.
    Outside,
}

// === impl Library ===

impl Library {
    /// Maps the copy. Its constructors run here.
    ///
    /// # Safety
    /// The calling thread belongs to the library's generation and ends before the library does.
    /// The library is trusted: its constructors may do anything.
    pub(crate) unsafe fn open(copy: PrivateCopy) -> Result<Library, OpenError> {
        let name = CString::new(copy.path().as_os_str().as_bytes())
            .map_err(|error| OpenError::Refused(io::Error::from(error).to_string()))?;
        // Now, not lazily: a missing function must fail the load, and not the first message.
        // SAFETY: the caller answers for the constructors.
        let opened = unsafe { dl::Library::open(Some(copy.path()), RTLD_NOW | RTLD_LOCAL) };
        let handle = opened.map_err(|error| OpenError::Refused(words_of(&error)))?;
        let Some(range) = Range::of(&name) else {
            // Dropping the handle closes it: nothing of the library is in use.
            return Err(OpenError::NotListed);
        };
        let handle = ManuallyDrop::new(handle);
        Ok(Library { handle: Some(handle), range, name, copy })
    }

    /// The entry function. A lookup goes through the libraries that this one needs as well, so
    /// that any name of libc is found: it must lie inside this one.
    pub(crate) fn entry(&self) -> Result<PluginEntry, EntryError> {
        let symbol = &self.described().manifest.entry_point;
        let handle = self.handle.as_ref().ok_or(EntryError::Missing)?;
        // SAFETY: the contract gives functions under this name this type; whether it is one of this
        // library is checked before anybody gets it.
        let entry = unsafe { handle.get::<PluginEntry>(symbol.as_str()) };
        let entry = *entry.map_err(|_| EntryError::Missing)?;
        let found = entry as *const ();
        if !self.range.contains(found.addr()) {
            return Err(EntryError::Outside);
        }
        Ok(entry)
    }

    pub(crate) fn range(&self) -> Range {
        self.range
    }

    pub(crate) fn described(&self) -> &Arc<Described> {
        self.copy.described()
    }

    pub(crate) fn copy(&self) -> &PrivateCopy {
        &self.copy
    }

    /// Threads of the library, or of its generation, that the kernel still knows.
    pub(crate) fn threads(&self) -> usize {
        threads::alive_of_library(self.copy.generation(), self.range)
    }

    /// Destructors of thread-local values of the library that are still to run. To be read when
    /// there are no threads.
    pub(crate) fn destructors(&self) -> usize {
        destructors::pending_in(self.range)
    }

    /// What has to be given to the thread that closes the library.
    pub(crate) fn take_closer(&mut self) -> Option<Closer> {
        let handle = self.handle.take()?;
        Some(Closer { handle, range: self.range })
    }

    /// Whether the library is still in the link map.
    pub(crate) fn is_mapped(&self) -> bool {
        Range::of(&self.name).is_some()
    }

    /// Makes the dynamic linker look again whether a closed library can be unmapped: it only ever
    /// looks when something is closed.
    ///
    /// # Safety
    /// The library is closed; nothing of it is in use.
    pub(crate) unsafe fn sweep(&self) {
        let flags = RTLD_LAZY | RTLD_LOCAL | libc::RTLD_NOLOAD;
        // SAFETY: a library that is still mapped is initialised already, and none is mapped anew.
        // The handle is closed where it is dropped, at once: that is the look.
        drop(unsafe { dl::Library::open(Some(self.copy.path()), flags) });
    }

    /// Gives up what is known about a library that is proven unmapped, and removes its copy.
    pub(crate) fn forget(self) {
        interpose::forget(self.range);
    }
}

/// The end of a library, for the thread that runs its destructors.
pub(crate) struct Closer {
    handle: ManuallyDrop<dl::Library>,
    range: Range,
}

impl Closer {
    /// Deletes the library's keys and closes it. Its destructors run here.
    ///
    /// # Safety
    /// No thread of the library is left, no destructor of a thread-local value is pending, and
    /// nobody will call into it again. The calling thread ends right after.
    pub(crate) unsafe fn close(self) {
        // First: a key whose destructor is unmapped ends the process with the next thread.
        keys::delete_in(self.range);
        destructors::forgo_on_this_thread();
        // `Ok` would be no evidence: it is said of a library that stays mapped as well.
        let _ = ManuallyDrop::into_inner(self.handle).close();
    }
}

/// What the dynamic linker says.
fn words_of(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
