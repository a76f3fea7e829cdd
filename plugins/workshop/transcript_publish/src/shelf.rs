//! The folder of the output: which transcript has which files, and which of them are open.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    book::{Book, Written},
    error::OutputError,
    models::PublishedTranscription,
};

/// Longest name of a file without its ending, in bytes; file systems stop at 255.
const STEM_BYTES_MAX: usize = 200;

/// A folder with the books of many transcripts.
///
/// One lock for all: writing a line is short, and two writers of one file would have to wait for
/// each other anyhow.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    open_max: usize,
    segments_max: usize,
    /// Open books, the one used last at the end.
    open: Mutex<Vec<Book>>,
}

// === impl Shelf ===

impl Shelf {
    /// A shelf in that folder with at most `open_max` books open.
    pub(crate) fn new(folder: PathBuf, open_max: usize, segments_max: usize) -> Shelf {
        Shelf { folder, open_max: open_max.max(1), segments_max, open: Mutex::default() }
    }

    /// Makes the folder if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn prepare(&self) -> Result<(), OutputError> {
        fs::create_dir_all(&self.folder).map_err(|source| OutputError::File {
            doing: "make the folder",
            path: self.folder.clone(),
            source,
        })
    }

    /// Writes a segment to the book of its transcript.
    ///
    /// # Errors
    /// As [`Book::open`] and [`Book::write`]. The book is closed then, and opened anew, and with
    /// that repaired, at the next segment.
    pub(crate) fn write(&self, segment: &PublishedTranscription) -> Result<Written, OutputError> {
        let transcript = &segment.reviewed.transcript;
        let mut open = self.open();
        let mut book = match open.iter().position(|book| book.transcript() == transcript) {
            Some(at) => open.remove(at),
            None => Book::open(&self.folder, &stem(transcript)?, transcript, self.segments_max)?,
        };
        let written = book.write(segment)?;
        if open.len() >= self.open_max {
            open.remove(0);
        }
        open.push(book);
        Ok(written)
    }

    /// Closes all books.
    pub(crate) fn close(&self) {
        self.open().clear();
    }

    /// How many books are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open().len()
    }

    /// A panic while a book was out left it closed, so a poisoned lock is as good as any.
    fn open(&self) -> MutexGuard<'_, Vec<Book>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name of a file for a transcript. Different transcripts have different names, and none of them
/// leaves the folder or hides: whatever is not a letter, digit, `-` or `_` of ASCII, or a dot
/// inside the name, becomes `%` and two digits.
fn stem(transcript: &str) -> Result<String, OutputError> {
    let mut stem = String::new();
    for (index, byte) in transcript.bytes().enumerate() {
        let inner_dot = byte == b'.' && index > 0;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || inner_dot {
            stem.push(char::from(byte));
        } else {
            stem.push_str(&format!("%{byte:02X}"));
        }
    }
    if stem.is_empty() {
        stem.push('%');
    }
    if stem.len() > STEM_BYTES_MAX {
        let transcript = transcript.to_owned();
        return Err(OutputError::Name { transcript, limit: STEM_BYTES_MAX });
    }
    Ok(stem)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::SystemTime};

    use super::*;
    use crate::models::ReviewedTranscription;

    fn segment(transcript: &str, sequence: u64) -> PublishedTranscription {
        let reviewed: ReviewedTranscription =
            serde_json::from_str(include_str!("../../samples/messages/reviewed.json")).unwrap();
        let segment = format!("{transcript}#{sequence:05}");
        ReviewedTranscription { transcript: transcript.to_owned(), segment, sequence, ..reviewed }
            .publish(SystemTime::UNIX_EPOCH)
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_transcript_has_files_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("made/by/it"), 4, 100);
        shelf.prepare().unwrap();
        for transcript in ["a", "b"] {
            assert_eq!(shelf.write(&segment(transcript, 1)).unwrap(), Written::New);
        }
        let names = files(&folder.path().join("made/by/it"));
        assert_eq!(names, ["a.jsonl", "a.md", "b.jsonl", "b.md"]);
    }

    #[test]
    fn no_name_leaves_the_folder_or_meets_another() {
        for (transcript, expected) in [
            ("apollo-11_landing.v2", "apollo-11_landing.v2"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            (".hidden", "%2Ehidden"),
            ("a b", "a%20b"),
            ("a%20b", "a%2520b"),
            ("é", "%C3%A9"),
            ("", "%"),
            ("a\0b", "a%00b"),
        ] {
            assert_eq!(stem(transcript).unwrap(), expected);
        }
        assert!(stem(&"x".repeat(201)).unwrap_err().is_of_the_message());
    }

    #[test]
    fn only_so_many_books_are_open_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned(), 2, 100);
        for sequence in 1..=3 {
            for transcript in ["a", "b", "c"] {
                shelf.write(&segment(transcript, sequence)).unwrap();
                assert!(shelf.open_count() <= 2);
            }
        }
        for transcript in ["a", "b", "c"] {
            let text = fs::read_to_string(folder.path().join(format!("{transcript}.jsonl")));
            assert_eq!(text.unwrap().lines().count(), 3);
        }
    }

    #[test]
    fn a_book_is_repaired_after_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned(), 2, 100);
        shelf.write(&segment("a", 1)).unwrap();
        // A folder where the page should be: it cannot be appended to.
        fs::remove_file(folder.path().join("a.md")).unwrap();
        fs::create_dir(folder.path().join("a.md")).unwrap();
        assert!(!shelf.write(&segment("a", 2)).unwrap_err().is_of_the_message());
        fs::remove_dir(folder.path().join("a.md")).unwrap();
        // Its line was written before the error, so it is known, and the page is whole again.
        assert_eq!(shelf.write(&segment("a", 2)).unwrap(), Written::Known);
        let page = fs::read_to_string(folder.path().join("a.md")).unwrap();
        assert_eq!(page.matches("Houston").count(), 2);
    }
}
