//! A home folder for one test, with the folders that a host works in.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A home folder; gone when dropped.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

// === impl Home ===

impl Home {
    /// Makes `plugins/enabled` and `plugins/libraries/development` in a new folder.
    ///
    /// # Panics
    /// When there is no place for it.
    #[must_use]
    pub fn new() -> Home {
        let folder = tempfile::tempdir().expect("make a home folder");
        let home = Home { folder };
        fs::create_dir_all(home.enabled()).expect("make plugins/enabled");
        fs::create_dir_all(home.development()).expect("make plugins/libraries/development");
        home
    }

    /// Leaves the folder where it is, for whoever looks for the cause of a failure.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the links are.
    #[must_use]
    pub fn enabled(&self) -> PathBuf {
        self.path().join("plugins/enabled")
    }

    /// Where libraries of developers are.
    #[must_use]
    pub fn development(&self) -> PathBuf {
        self.path().join("plugins/libraries/development")
    }

    /// Puts a copy of a built library among the libraries, under that file name, and returns where.
    /// It comes into place as a whole.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn install(&self, built: &Path, file_name: &str) -> PathBuf {
        let place = self.development().join(file_name);
        let half = self.development().join(format!(".{file_name}.half"));
        fs::copy(built, &half).expect("copy a library");
        fs::rename(&half, &place).expect("move the library into place");
        place
    }

    /// Makes the link `name` lead to `target`, atomically, whether or not there is one already.
    ///
    /// # Panics
    /// When the link cannot be made.
    pub fn link(&self, name: &str, target: &Path) {
        let half = self.enabled().join(format!(".{name}.half"));
        symlink(target, &half).expect("make a link");
        fs::rename(&half, self.enabled().join(name)).expect("move the link into place");
    }

    /// Removes the link `name`.
    ///
    /// # Panics
    /// When there is none.
    pub fn unlink(&self, name: &str) {
        fs::remove_file(self.enabled().join(name)).expect("remove a link");
    }
}

impl Default for Home {
    fn default() -> Home {
        Home::new()
    }
}
