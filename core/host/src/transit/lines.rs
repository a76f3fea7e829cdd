//! Values of one plugin, one a line of a file, each flushed before it counts.
//!
//! A line that a death cut short is nobody's. The file is written anew as a whole when most of it is
//! not wanted any more.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::records::replace_file;

/// Lines that may be there beyond twice as many as are wanted.
const SLACK: usize = 64;

/// See the module. Blocks.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    /// How many there are; `None` when the next one would become part of what was cut short.
    lines: Option<usize>,
}

// === impl LineFile ===

impl LineFile {
    /// What former lives left, oldest first; what cannot be read of it is left out.
    pub(super) fn open<T: DeserializeOwned>(path: PathBuf) -> (LineFile, Vec<T>) {
        let text = fs::read(&path).unwrap_or_default();
        let is_whole = text.last().is_none_or(|byte| *byte == b'\n');
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let (mut count, mut values) = (0, Vec::new());
        for line in lines {
            count += 1;
            values.extend(serde_json::from_slice(line));
        }
        (LineFile { path, lines: is_whole.then_some(count) }, values)
    }

    /// Adds the last of the values that are wanted.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn add<T: Serialize>(
        &mut self,
        wanted: impl DoubleEndedIterator<Item = T> + ExactSizeIterator,
    ) -> io::Result<()> {
        let mut wanted = wanted;
        let room = 2 * wanted.len() + SLACK;
        let Some(lines) = self.lines.filter(|lines| *lines < room) else {
            let count = wanted.len();
            let all: io::Result<String> = wanted.map(|value| line(&value)).collect();
            replace_file(&self.path, all?.as_bytes())?;
            self.lines = Some(count);
            return Ok(());
        };
        let Some(last) = wanted.next_back() else { return Ok(()) };
        let last = line(&last)?;
        let is_new = !self.path.exists();
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        // Half a line would take the next one with it.
        self.lines = None;
        file.write_all(last.as_bytes())?;
        file.sync_data()?;
        if let Some(folder) = self.path.parent().filter(|_| is_new) {
            File::open(folder)?.sync_all()?;
        }
        self.lines = Some(lines + 1);
        Ok(())
    }
}

fn line(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}
