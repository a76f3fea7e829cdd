//! What the host must not forget, whatever happens to it, and is no message: small values by key.
//!
//! Kept as one file a key, replaced as a whole: written beside, flushed, moved into place, and the
//! folder flushed. So a value is the old one or the new one after any crash, and never half of it.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Small values by key. Blocks.
pub(crate) trait Records: Send + Sync + fmt::Debug {
    /// Keeps a value in place of what was there; it is durable when this returns.
    ///
    /// # Errors
    /// What the system said. The old value, or the new one, is there.
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()>;

    /// The value, if there is one.
    ///
    /// # Errors
    /// What the system said.
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>>;

    /// Forgets a value, if there is one.
    ///
    /// # Errors
    /// What the system said.
    fn remove(&self, key: &str) -> io::Result<()>;

    /// Where a value is, for people.
    fn place(&self, key: &str) -> String;
}

/// Values in files of one folder.
#[derive(Debug)]
pub(crate) struct FileRecords {
    folder: PathBuf,
}

// === impl FileRecords ===

impl FileRecords {
    /// Opens a folder; makes it when there is none.
    pub(crate) fn open(folder: &Path) -> io::Result<FileRecords> {
        fs::create_dir_all(folder)?;
        Ok(FileRecords { folder: folder.to_owned() })
    }

    fn file_of(&self, key: &str) -> PathBuf {
        // A key is a kind and a plugin's name, with one slash between.
        self.folder.join(format!("{}.json", key.replace('/', ".")))
    }
}

impl Records for FileRecords {
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        replace_file(&self.file_of(key), value)
    }

    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file_of(key)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, key: &str) -> io::Result<()> {
        match fs::remove_file(self.file_of(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn place(&self, key: &str) -> String {
        self.file_of(key).display().to_string()
    }
}

/// Writes a file as a whole, durably.
pub(crate) fn replace_file(path: &Path, value: &[u8]) -> io::Result<()> {
    let half = path.with_extension("half");
    let mut file = File::create(&half)?;
    file.write_all(value)?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_as_a_whole_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = FileRecords::open(folder.path()).expect("it opens");
        assert_eq!(records.get("transition/echo").expect("it reads"), None);
        for value in [&b"one"[..], b"two, and longer", b""] {
            records.put("transition/echo", value).expect("it is kept");
            let again = FileRecords::open(folder.path()).expect("it opens");
            assert_eq!(again.get("transition/echo").expect("it reads").as_deref(), Some(value));
        }
        assert_eq!(records.get("transition/other").expect("it reads"), None);
    }
}
