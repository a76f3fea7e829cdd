//! Records out of files of JSON lines.

use std::io::{self, BufRead};

use super::record::{Record, Records};

/// A file of records cannot be judged.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    Io(io::Error),
    /// A line that is not its last one is not a record.
    Line {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

// === impl Records ===

impl Records {
    /// Adds the records of one file. A last line without its end is what a killed writer leaves
    /// behind: it is passed over, and `true` says so.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line of it is not a record.
    pub fn read_lines(&mut self, mut file: impl BufRead) -> Result<bool, ReadError> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if file.read_until(b'\n', &mut line).map_err(ReadError::Io)? == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                return Ok(true);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let record: Record = serde_json::from_slice(&line)
                .map_err(|source| ReadError::Line { number, source })?;
            self.push(record);
        }
        Ok(false)
    }
}

// === impl Record ===

impl Record {
    /// The line that [`Records::read_lines`] reads, with its end. Write it in one call: what was
    /// written survives a `kill -9` of the writer.
    #[must_use]
    pub fn line(&self) -> String {
        // A record holds nothing that has no form in JSON.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Io(_) => f.write_str("cannot read the records"),
            ReadError::Line { number, .. } => write!(f, "line {number} is not a record"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(source) => Some(source),
            ReadError::Line { source, .. } => Some(source),
        }
    }
}
