//! What operators asked of running transitions under keys, and what they were answered: asked again
//! under the same key, the answer is the same and nothing is done twice (P-43).
//!
//! One file a plugin. A line says that something is about to be asked, and another one what came of
//! it; of a host that died in between nobody knows whether it was done, and nobody does it again.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use patchbay_lifecycle::{PluginName, transition::Report};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{history, lines::LineFile};

/// Most that are kept of one plugin; none is kept for longer than a key lives.
const KEPT_MAX: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Answers {
    folder: PathBuf,
    all: Mutex<BTreeMap<PluginName, Arc<AsyncMutex<Asked>>>>,
}

/// What was asked of the transitions of one plugin, oldest first.
#[derive(Debug)]
pub(crate) struct Asked {
    kept: VecDeque<Kept>,
    file: LineFile,
}

/// One thing that was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) key: String,
    pub(crate) verb: String,
    /// The transition of which it was asked.
    pub(crate) transition: String,
    at_unix_ns: u64,
    pub(crate) answer: Answer,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Not known yet, or never.
    Open,
    /// It was refused: the key means nothing any more.
    Refused,
    /// It was done, and this was said.
    Done(Box<Report>),
}

/// The right to ask under a key: one at a time for each plugin.
pub(crate) type Turn = OwnedMutexGuard<Asked>;

// === impl Answers ===

impl Answers {
    pub(super) fn open(folder: &Path) -> Answers {
        Answers { folder: folder.to_owned(), all: Mutex::default() }
    }

    /// Waits until nothing else is asked of that plugin under a key.
    pub(crate) async fn turn(&self, name: &PluginName) -> Turn {
        let asked = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            let read = || {
                let path = self.folder.join(format!("asked.{name}.jsonl"));
                Arc::new(AsyncMutex::new(Asked::read(path)))
            };
            Arc::clone(all.entry(name.clone()).or_insert_with(read))
        };
        asked.lock_owned().await
    }
}

// === impl Asked ===

impl Asked {
    fn read(path: PathBuf) -> Asked {
        let (file, lines) = LineFile::open::<Kept>(path);
        let mut asked = Asked { kept: VecDeque::new(), file };
        for line in lines {
            asked.put(line);
        }
        asked
    }

    /// What was asked under a key, as long as it lives.
    pub(crate) fn find(&self, key: &str, unix_ns: u64) -> Option<&Kept> {
        let mut all = self.kept.iter().rev();
        all.find(|kept| kept.key == key && history::lives(kept.at_unix_ns, unix_ns))
            .filter(|kept| !matches!(kept.answer, Answer::Refused))
    }

    /// Something is about to be asked. Blocks.
    ///
    /// # Errors
    /// What the system said; it is known in this life of the host.
    pub(crate) fn begin(
        &mut self,
        key: &str,
        verb: &str,
        transition: &str,
        unix_ns: u64,
    ) -> io::Result<()> {
        self.put(Kept {
            key: key.to_owned(),
            verb: verb.to_owned(),
            transition: transition.to_owned(),
            at_unix_ns: unix_ns,
            answer: Answer::Open,
        });
        self.keep()
    }

    /// What came of what was begun last. Blocks.
    ///
    /// # Errors
    /// What the system said; it is known in this life of the host.
    pub(crate) fn end(&mut self, answer: Answer) -> io::Result<()> {
        let Some(last) = self.kept.back_mut() else { return Ok(()) };
        last.answer = answer;
        self.keep()
    }

    /// What is said of a key later replaces what was said before.
    fn put(&mut self, kept: Kept) {
        self.kept.retain(|it| it.key != kept.key);
        self.kept.push_back(kept);
        while self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    fn keep(&mut self) -> io::Result<()> {
        self.file.add(self.kept.iter())
    }
}

/// A report as it is said, now and whenever the same is asked again.
pub(crate) fn to_keep(report: &Report) -> Box<Report> {
    Box::new(history::without_counts(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;

    fn read(folder: &tempfile::TempDir) -> Asked {
        Asked::read(folder.path().join("asked.echo.jsonl"))
    }

    #[test]
    fn what_was_asked_under_a_key_is_known_in_the_next_life_until_the_day_is_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut asked = read(&folder);
        asked.begin("one", "promote", "t1", 5).expect("it is kept");
        asked.begin("two", "abort", "t1", 6).expect("it is kept");
        asked.end(Answer::Refused).expect("it is kept");
        let again = read(&folder);
        let one = again.find("one", 7).expect("it is known");
        assert_eq!((&*one.verb, &*one.transition), ("promote", "t1"));
        assert!(matches!(one.answer, Answer::Open), "{one:?}");
        assert!(again.find("two", 7).is_none(), "what was refused may be asked again");
        assert!(again.find("one", 5 + DAY_NS).is_none(), "a key lives for a day");
    }

    #[test]
    fn what_is_kept_is_bounded_in_memory_and_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut asked = read(&folder);
        for number in 0..500 {
            asked.begin(&format!("k{number}"), "pause", "t1", number).expect("it is kept");
        }
        assert!(asked.find("k499", 500).is_some() && asked.find("k0", 500).is_none());
        let text = std::fs::read_to_string(folder.path().join("asked.echo.jsonl")).expect("a file");
        assert!(text.lines().count() <= 3 * KEPT_MAX, "{} lines", text.lines().count());
        assert_eq!(read(&folder).kept.len(), KEPT_MAX);
    }
}
