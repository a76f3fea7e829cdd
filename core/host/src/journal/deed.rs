//! Which journal belongs to this data folder: its id, in a file beside the journal's folder.
//!
//! What a journal knows of itself goes with its folder. When that was deleted, or the volume with it
//! is not mounted, this file still says that there was one, and which: nobody takes a hole, or
//! somebody else's messages, for what was promised here (P-10).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use patchbay_journal::{DiskStorage, is_there};

use crate::{error::StartError, records::replace_file, settings::Settings};

/// The file, and the id in it.
#[derive(Debug)]
pub(super) struct Deed {
    file: PathBuf,
    id: Option<u128>,
}

// === impl Deed ===

impl Deed {
    /// Reads the file, if there is one, and refuses when the journal that it names is gone.
    pub(super) fn read(settings: &Settings) -> Result<Deed, StartError> {
        let file = settings.paths.store.with_file_name("journal.id");
        let unreadable =
            |source| StartError::File { operation: "read", path: file.clone(), source };
        let id = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            text => {
                let text = text.map_err(unreadable)?;
                let id = u128::from_str_radix(text.trim(), 16);
                Some(id.map_err(|error| unreadable(io::Error::other(error)))?)
            }
        };
        let deed = Deed { file, id };
        if deed.id.is_some() && !there(&settings.paths.journal)? {
            return Err(StartError::JournalGone {
                path: settings.paths.journal.clone(),
                known: deed.file,
            });
        }
        Ok(deed)
    }

    /// Compares with the journal that was opened; writes the file where there is none. A journal
    /// that is damaged may not know its id any more.
    pub(super) fn compare(
        self,
        journal: &Path,
        id: u128,
        is_damaged: bool,
    ) -> Result<(), StartError> {
        match self.id {
            Some(known) if known == id || is_damaged => Ok(()),
            Some(_) => Err(StartError::OtherJournal { path: journal.to_owned(), known: self.file }),
            None => replace_file(&self.file, format!("{id:032x}\n").as_bytes()).map_err(|source| {
                StartError::File { operation: "write", path: self.file.clone(), source }
            }),
        }
    }
}

fn there(folder: &Path) -> Result<bool, StartError> {
    is_there(&DiskStorage::at(folder))
        .map_err(|source| StartError::Journal { path: folder.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(home: &Path) -> Settings {
        fs::create_dir_all(home.join("data")).expect("a folder");
        Settings::of_home(home)
    }

    #[test]
    fn what_was_known_once_must_be_there_and_be_the_same() {
        let home = tempfile::tempdir().expect("a folder");
        let settings = settings(home.path());
        let journal = &settings.paths.journal;
        let read = || Deed::read(&settings);
        read().expect("nothing is known").compare(journal, 7, false).expect("it is written");
        assert!(matches!(read(), Err(StartError::JournalGone { .. })));
        fs::create_dir_all(journal).expect("a folder");
        assert!(
            matches!(read(), Err(StartError::JournalGone { .. })),
            "an empty folder is no journal"
        );
        fs::write(journal.join("manifest"), "").expect("a file");
        let other = read().expect("it is there").compare(journal, 8, false);
        assert!(matches!(other, Err(StartError::OtherJournal { .. })));
        read().expect("it is there").compare(journal, 7, false).expect("the same");
        read().expect("it is there").compare(journal, 0, true).expect("damaged");
    }

    #[test]
    fn a_file_that_is_no_id_is_told_and_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let settings = settings(home.path());
        let file = home.path().join("data/journal.id");
        fs::write(&file, "mine").expect("a file");
        assert!(matches!(Deed::read(&settings), Err(StartError::File { .. })));
        assert_eq!(fs::read(&file).expect("the file"), b"mine");
    }
}
