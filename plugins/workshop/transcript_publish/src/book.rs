//! The two files of one transcript.
//!
//! The JSON lines are the record: a segment is published when its line is in them. They are only
//! appended to. The Markdown follows from them, and is written anew when it cannot be appended to:
//! after a crash, and for a segment that comes out of order.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::OutputError,
    models::{PublishedTranscription, ReviewedTranscription},
    page::Page,
};

/// The open files of one transcript.
#[derive(Debug)]
pub(crate) struct Book {
    transcript: String,
    lines: File,
    lines_path: PathBuf,
    page: Page,
    page_path: PathBuf,
    /// Segments that are in the record.
    segments: HashSet<String>,
    segments_max: usize,
    /// Place of the last paragraph of the page.
    last: (u64, String),
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is in the record now.
    New,
    /// It was in the record before: a redelivery, or a document published once more.
    Known,
}

// === impl Book ===

impl Book {
    /// Opens the files `stem.jsonl` and `stem.md` of the folder, or makes them.
    ///
    /// # Errors
    /// The files cannot be read or written, or the record is not one.
    pub(crate) fn open(
        folder: &Path,
        stem: &str,
        transcript: &str,
        segments_max: usize,
    ) -> Result<Book, OutputError> {
        let lines_path = folder.join(format!("{stem}.jsonl"));
        let mut lines = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&lines_path)
            .map_err(|source| failed("open", &lines_path, source))?;
        let published = read_record(&mut lines, &lines_path)?;
        let mut book = Book {
            transcript: transcript.to_owned(),
            lines,
            lines_path,
            page: Page::default(),
            page_path: folder.join(format!("{stem}.md")),
            segments: published.iter().map(|one| one.reviewed.segment.clone()).collect(),
            segments_max,
            last: (0, String::new()),
        };
        book.write_page(published)?;
        Ok(book)
    }

    /// Name of the transcript.
    pub(crate) fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Adds a segment, unless it is there already.
    ///
    /// # Errors
    /// After an error of the files the book must be opened anew: what is in them is not known.
    pub(crate) fn write(
        &mut self,
        segment: &PublishedTranscription,
    ) -> Result<Written, OutputError> {
        let reviewed = &segment.reviewed;
        if self.segments.contains(&reviewed.segment) {
            return Ok(Written::Known);
        }
        if self.segments.len() >= self.segments_max {
            return Err(OutputError::Full {
                transcript: self.transcript.clone(),
                limit: self.segments_max,
            });
        }
        self.append_line(segment)?;
        self.segments.insert(reviewed.segment.clone());
        if reviewed.place() > (self.last.0, self.last.1.as_str()) {
            self.append_paragraph(reviewed)?;
        } else {
            let published = read_record(&mut self.lines, &self.lines_path)?;
            self.write_page(published)?;
        }
        Ok(Written::New)
    }

    fn append_line(&mut self, segment: &PublishedTranscription) -> Result<(), OutputError> {
        let failed = |source| failed("append to", &self.lines_path, source);
        let mut line = serde_json::to_vec(segment).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        (&self.lines).write_all(&line).map_err(failed)
    }

    fn append_paragraph(&mut self, segment: &ReviewedTranscription) -> Result<(), OutputError> {
        let paragraph = self.page.paragraph(segment);
        let mut file = OpenOptions::new()
            .append(true)
            .open(&self.page_path)
            .map_err(|source| failed("open", &self.page_path, source))?;
        file.write_all(paragraph.as_bytes())
            .map_err(|source| failed("append to", &self.page_path, source))?;
        self.last = (segment.sequence, segment.segment.clone());
        Ok(())
    }

    /// Writes the page from the record, beside the old one, and puts it in its place.
    fn write_page(
        &mut self,
        mut published: Vec<PublishedTranscription>,
    ) -> Result<(), OutputError> {
        published.sort_by(|one, other| one.reviewed.place().cmp(&other.reviewed.place()));
        let mut page = Page::default();
        let mut text = Page::heading(&self.transcript);
        for segment in &published {
            text.push_str(&page.paragraph(&segment.reviewed));
        }
        let beside = self.page_path.with_extension("md.new");
        fs::write(&beside, text).map_err(|source| failed("write", &beside, source))?;
        fs::rename(&beside, &self.page_path)
            .map_err(|source| failed("replace", &self.page_path, source))?;
        self.page = page;
        self.last = published.last().map_or_else(
            || (0, String::new()),
            |segment| (segment.reviewed.sequence, segment.reviewed.segment.clone()),
        );
        Ok(())
    }
}

/// Reads the record, and cuts off the piece of a line that a crash left at its end.
fn read_record(lines: &mut File, path: &Path) -> Result<Vec<PublishedTranscription>, OutputError> {
    let mut bytes = Vec::new();
    lines
        .rewind()
        .and_then(|()| lines.read_to_end(&mut bytes))
        .map_err(|source| failed("read", path, source))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        lines.set_len(whole as u64).map_err(|source| failed("repair", path, source))?;
    }
    bytes[..whole]
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            serde_json::from_slice(line)
                .map_err(|_| OutputError::Foreign { path: path.to_owned(), line: index + 1 })
        })
        .collect()
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> OutputError {
    OutputError::File { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn segment(sequence: u64, text: &str) -> PublishedTranscription {
        let reviewed = ReviewedTranscription {
            transcript: "t".to_owned(),
            segment: format!("t#{sequence:05}"),
            sequence,
            speaker: Some("CC".to_owned()),
            start_ms: Some(sequence * 1_000),
            end_ms: None,
            text: text.to_owned(),
            confidence: None,
            language: None,
            names: Vec::new(),
        };
        reviewed.publish(SystemTime::UNIX_EPOCH)
    }

    fn open(folder: &Path) -> Book {
        Book::open(folder, "t", "t", 100).unwrap()
    }

    fn page(folder: &Path) -> String {
        fs::read_to_string(folder.join("t.md")).unwrap()
    }

    fn lines(folder: &Path) -> usize {
        fs::read_to_string(folder.join("t.jsonl")).unwrap().lines().count()
    }

    #[test]
    fn a_segment_is_one_line_and_one_paragraph() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        assert_eq!(book.write(&segment(1, "one")).unwrap(), Written::New);
        assert_eq!(book.write(&segment(2, "two")).unwrap(), Written::New);
        assert_eq!(lines(folder.path()), 2);
        assert_eq!(page(folder.path()), "# t\n\n00:00:01 **CC:** one\n\n00:00:02 **CC:** two\n");
    }

    #[test]
    fn a_segment_that_comes_again_is_written_once_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        book.write(&segment(1, "one")).unwrap();
        assert_eq!(book.write(&segment(1, "one")).unwrap(), Written::Known);
        drop(book);
        assert_eq!(open(folder.path()).write(&segment(1, "one")).unwrap(), Written::Known);
        assert_eq!(lines(folder.path()), 1);
        assert_eq!(page(folder.path()).matches("one").count(), 1);
    }

    #[test]
    fn the_page_is_sorted_whatever_the_order_of_arrival() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        for sequence in [2, 3, 1, 4] {
            book.write(&segment(sequence, &format!("s{sequence}"))).unwrap();
        }
        let page = page(folder.path());
        let places: Vec<_> = (1..=4).map(|n| page.find(&format!("s{n}")).unwrap()).collect();
        assert!(places.is_sorted(), "{page}");
        assert_eq!(lines(folder.path()), 4);
    }

    #[test]
    fn a_line_torn_by_a_crash_is_cut_off_and_can_be_published_again() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).write(&segment(1, "one")).unwrap();
        let path = folder.path().join("t.jsonl");
        let torn = fs::read_to_string(&path).unwrap() + "{\"transcript\":\"t\",\"seg";
        fs::write(&path, torn).unwrap();
        let mut book = open(folder.path());
        assert_eq!(lines(folder.path()), 1);
        assert_eq!(book.write(&segment(2, "two")).unwrap(), Written::New);
        assert_eq!(lines(folder.path()), 2);
    }

    #[test]
    fn a_page_that_was_lost_is_written_from_the_record() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).write(&segment(1, "one")).unwrap();
        fs::remove_file(folder.path().join("t.md")).unwrap();
        open(folder.path());
        assert!(page(folder.path()).contains("one"));
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.jsonl"), "{\"hello\": 1}\n").unwrap();
        let error = Book::open(folder.path(), "t", "t", 100).unwrap_err();
        assert!(matches!(error, OutputError::Foreign { line: 1, .. }), "{error}");
        assert_eq!(lines(folder.path()), 1);
    }

    #[test]
    fn a_transcript_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::open(folder.path(), "t", "t", 1).unwrap();
        book.write(&segment(1, "one")).unwrap();
        let error = book.write(&segment(2, "two")).unwrap_err();
        assert!(error.is_of_the_message(), "{error}");
        assert_eq!(lines(folder.path()), 1);
    }
}
