//! The folder that a host lives in.

use std::path::{Path, PathBuf};

/// A home folder; nothing in it needs to exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home(PathBuf);

// === impl Home ===

impl Home {
    /// The folder, as an absolute path: plugins and the host may not change what it means.
    pub(crate) fn new(folder: &Path) -> Home {
        Home(std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The settings file that is read when none is named.
    pub(crate) fn settings(&self) -> PathBuf {
        self.0.join("patchbay.yaml")
    }

    /// The socket on which the host of this home answers.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("run/patchbay.sock")
    }

    /// The file whose lock says that a host has this home.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("data/lock")
    }

    /// Where durable messages are, unless the settings say otherwise.
    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("data/journal")
    }

    /// The file that knows which journal belongs here.
    pub(crate) fn journal_id(&self) -> PathBuf {
        self.0.join("data/journal.id")
    }

    /// Where sources of plugins are.
    pub(crate) fn workshop(&self) -> PathBuf {
        self.0.join("plugins/workshop")
    }
}
