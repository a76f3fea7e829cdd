//! What an operation is, and how far it came, in files: so that the next host goes on with it.
//!
//! Two files each: the job with every letter that it means, written once, before the first of them
//! is touched; and the progress, replaced as a whole after every group of letters.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{LetterJob, progress::Progress, selection::Named};
use crate::records::replace_file;

/// Ends the name of a file with a job.
const JOB: &str = ".job.json";
/// Ends the name of a file with progress.
const PROGRESS: &str = ".progress.json";

/// The folder of the files.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
}

/// A job as it was asked for, and what it meant then.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptJob {
    pub(super) id: String,
    pub(super) job: LetterJob,
    pub(super) rate: u32,
    pub(super) letters: Vec<Named>,
}

// === impl Kept ===

impl Kept {
    pub(super) fn open(folder: &Path) -> io::Result<Kept> {
        fs::create_dir_all(folder)?;
        Ok(Kept { folder: folder.to_owned() })
    }

    /// Every operation that earlier hosts kept, oldest first. What cannot be read is told, and left
    /// where it is.
    pub(super) fn all(&self) -> io::Result<Vec<(KeptJob, Progress)>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_suffix(JOB)).map(str::to_owned));
        }
        // The time is in the id.
        ids.sort_unstable();
        let mut all = Vec::new();
        for id in ids {
            let both = self.read(&id, JOB).and_then(|job| Ok((job, self.read(&id, PROGRESS)?)));
            match both {
                Ok(both) => all.push(both),
                Err(error) => {
                    let folder = self.folder.display();
                    tracing::error!(id, %folder, %error, "an operation cannot be read");
                }
            }
        }
        Ok(all)
    }

    /// Keeps an operation that begins: first how far it came, which is nowhere, so that the job is
    /// never found without it.
    pub(super) fn begin(&self, job: &KeptJob, progress: &Progress) -> io::Result<()> {
        self.progress(&job.id, progress)?;
        self.write(&job.id, JOB, job)
    }

    pub(super) fn progress(&self, id: &str, progress: &Progress) -> io::Result<()> {
        self.write(id, PROGRESS, progress)
    }

    /// An operation that nobody remembers any more.
    pub(super) fn forget(&self, id: &str) {
        for ending in [JOB, PROGRESS] {
            // One that stays is found at the next start, and forgotten then.
            let _ = fs::remove_file(self.file(id, ending));
        }
    }

    fn file(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}{ending}"))
    }

    fn read<T: DeserializeOwned>(&self, id: &str, ending: &str) -> io::Result<T> {
        let bytes = fs::read(self.file(id, ending))?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    fn write(&self, id: &str, ending: &str, value: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
        replace_file(&self.file(id, ending), &bytes)
    }
}
