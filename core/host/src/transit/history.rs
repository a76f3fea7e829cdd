//! Transitions that have ended, for whoever asks later, also in another life of the host; and the
//! keys under which they were asked for (P-30).
//!
//! One file a plugin, one line a transition, written and flushed at its end.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use patchbay_lifecycle::{
    PluginName,
    transition::{Comparison, Record, Report, Sample, Standing, VersionReport},
};
use serde::{Deserialize, Serialize};

use super::{lines::LineFile, request::TransitionRequest};

/// Transitions of one plugin that are kept, however old.
const KEPT: usize = 64;
/// Most that are kept of those that are younger than a key lives.
const KEPT_MAX: usize = 512;
/// How long the same key means the same transition.
const KEY_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Name of a plugin's file, around the plugin's name.
const FILE: [&str; 2] = ["history.", ".jsonl"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Histories {
    folder: PathBuf,
    state: Mutex<BTreeMap<PluginName, History>>,
}

/// What is known of one plugin, oldest first.
#[derive(Debug)]
struct History {
    ended: VecDeque<Kept>,
    /// The latest request: id of its transition, and what was asked for.
    asked: Option<(String, String)>,
    file: LineFile,
}

/// One transition.
#[derive(Clone, Debug)]
struct Kept {
    /// What was asked for, as far as that is known.
    request: Option<String>,
    report: Arc<Report>,
}

#[derive(Serialize)]
struct Line<'a> {
    request: &'a Option<String>,
    report: &'a Report,
}

#[derive(Deserialize)]
struct ReadLine {
    request: Option<String>,
    report: Report,
}

/// A request in so few words that two can be compared: what it asks for, whatever its key.
pub(crate) fn fingerprint(request: &TransitionRequest) -> String {
    let bare = TransitionRequest { idempotency_key: None, ..request.clone() };
    let text = serde_json::to_vec(&bare).unwrap_or_default();
    patchbay_loader::Digest::of(&text).to_string()
}

// === impl Histories ===

impl Histories {
    pub(crate) fn open(folder: &Path) -> Histories {
        Histories { folder: folder.to_owned(), state: Mutex::default() }
    }

    /// A transition is about to begin because of a request.
    pub(crate) fn asked(&self, name: &PluginName, id: &str, request: String) {
        self.with(name, |history| history.asked = Some((id.to_owned(), request)));
    }

    /// What was asked for by the request of that transition, if it is the latest one.
    pub(crate) fn request_of(&self, name: &PluginName, id: &str) -> Option<String> {
        self.with(name, |history| {
            let asked = history.asked.as_ref().filter(|(latest, _)| latest == id);
            asked.map(|(_, request)| request.clone())
        })
    }

    /// Keeps a transition that has ended, once. Blocks.
    ///
    /// # Errors
    /// What the system said; it is known in this life of the host.
    pub(crate) fn add(&self, name: &PluginName, report: &Report, unix_ns: u64) -> io::Result<()> {
        let mut state = self.lock();
        let history = state.entry(name.clone()).or_insert_with(|| self.read(name));
        if history.ended.iter().any(|kept| kept.report.spec.id == report.spec.id) {
            return Ok(());
        }
        let asked = history.asked.as_ref().filter(|(id, _)| *id == report.spec.id);
        let kept = Kept {
            request: asked.map(|(_, request)| request.clone()),
            report: Arc::new(without_counts(report)),
        };
        history.ended.push_back(kept);
        history.forget(unix_ns);
        history.file.add(history.ended.iter().map(Kept::line))
    }

    /// A former life of the host ended in the middle of a transition, or right behind its end, and
    /// this is what the record says of it. Blocks.
    pub(super) fn found(&self, name: &PluginName, record: &Record) -> io::Result<()> {
        match report_of(record) {
            Some(report) => self.add(name, &report, record.at_unix_ns),
            None => Ok(()),
        }
    }

    /// What has ended, newest first.
    pub(crate) fn of(&self, name: &PluginName) -> Vec<Arc<Report>> {
        self.with(name, |history| {
            history.ended.iter().rev().map(|kept| Arc::clone(&kept.report)).collect()
        })
    }

    /// The transition that was asked for with this key, and what was asked for, as long as the key
    /// lives.
    pub(crate) fn by_key(
        &self,
        name: &PluginName,
        key: &str,
        unix_ns: u64,
    ) -> Option<(Arc<Report>, Option<String>)> {
        self.with(name, |history| {
            let mut all = history.ended.iter().rev();
            let found = all.find(|kept| {
                let spec = &kept.report.spec;
                spec.idempotency_key.as_deref() == Some(key) && is_young(&kept.report, unix_ns)
            })?;
            Some((Arc::clone(&found.report), found.request.clone()))
        })
    }

    /// The plugins of which there is something.
    pub(crate) fn names(&self) -> Vec<PluginName> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let [before, after] = FILE;
        let name = |entry: fs::DirEntry| {
            let file = entry.file_name().into_string().ok()?;
            let name = file.strip_prefix(before)?.strip_suffix(after)?;
            PluginName::parse(name).ok()
        };
        files.filter_map(name).collect()
    }

    fn with<T>(&self, name: &PluginName, look: impl FnOnce(&mut History) -> T) -> T {
        let mut state = self.lock();
        look(state.entry(name.clone()).or_insert_with(|| self.read(name)))
    }

    /// What former lives left.
    fn read(&self, name: &PluginName) -> History {
        let (file, lines) = LineFile::open::<ReadLine>(self.file_of(name));
        let kept = |ReadLine { request, report }| Kept { request, report: Arc::new(report) };
        History { ended: lines.into_iter().map(kept).collect(), asked: None, file }
    }

    fn file_of(&self, name: &PluginName) -> PathBuf {
        let [before, after] = FILE;
        self.folder.join(format!("{before}{name}{after}"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PluginName, History>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl History ===

impl History {
    /// Drops the oldest ones that are too many.
    fn forget(&mut self, unix_ns: u64) {
        while self.ended.len() > KEPT {
            let young = self.ended.front().is_some_and(|kept| is_young(&kept.report, unix_ns));
            if young && self.ended.len() <= KEPT_MAX {
                return;
            }
            self.ended.pop_front();
        }
    }
}

// === impl Kept ===

impl Kept {
    fn line(&self) -> Line<'_> {
        let Kept { request, report } = self;
        Line { request, report }
    }
}

/// Whether a key under which it was asked for still means it. A clock that was put back makes
/// nothing old.
fn is_young(report: &Report, unix_ns: u64) -> bool {
    lives(report.started_unix_ns, unix_ns)
}

/// Whether a key that was used then still means the same.
pub(super) fn lives(used_unix_ns: u64, unix_ns: u64) -> bool {
    Duration::from_nanos(unix_ns.saturating_sub(used_unix_ns)) < KEY_LIFE
}

/// What a record says of a transition that has ended.
fn report_of(record: &Record) -> Option<Report> {
    let Standing::Over { outcome } = &record.standing else { return None };
    let nothing = VersionReport::of(&Sample::default());
    Some(Report {
        spec: record.spec.clone(),
        generations: [record.old, record.candidate],
        phase: "over".to_owned(),
        share: 0,
        paused: false,
        bake_left_ms: None,
        started_unix_ns: record.spec.at_unix_ns,
        ended_unix_ns: Some(record.at_unix_ns),
        outcome: Some(outcome.clone()),
        verdict: record.verdict.clone(),
        latest: None,
        stable: nothing.clone(),
        candidate: nothing,
        comparison: Comparison::default(),
        entries: Vec::new(),
    })
}

/// What is read again is the result: the percentiles, not what they were counted from.
pub(super) fn without_counts(report: &Report) -> Report {
    let mut report = report.clone();
    for version in [&mut report.stable, &mut report.candidate] {
        version.sample.latencies = None;
    }
    report
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;

    fn name() -> PluginName {
        PluginName::parse("echo").expect("a name")
    }

    /// A transition that was asked for under a key of its number, and ended.
    fn report(number: u64, at: u64) -> Report {
        let version =
            json!({"version": "1.0.0", "library": "0".repeat(64), "config": "0".repeat(64)});
        let spec = json!({
            "id": format!("t{number}"), "plugin": "echo", "from": version, "to": version,
            "strategy": {"kind": "immediate"}, "terms": patchbay_lifecycle::transition::Terms::of(
                &patchbay_lifecycle::transition::Strategy::Immediate),
            "state": "clean", "idempotency_key": format!("k{number}"), "who": "test", "why": "",
            "at_unix_ns": at,
        });
        let record = Record::announced(
            serde_json::from_value(spec).expect("a specification"),
            patchbay_lifecycle::Generation(1),
            None,
            at,
        );
        let outcome = patchbay_lifecycle::transition::Outcome::new(
            patchbay_lifecycle::transition::OutcomeKind::Completed,
            "done",
            "it serves",
        );
        let record = Record { standing: Standing::Over { outcome }, ..record };
        report_of(&record).expect("it has ended")
    }

    #[test]
    fn what_has_ended_is_found_in_the_next_life_with_the_key_it_was_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let histories = Histories::open(folder.path());
        for number in 1..=3 {
            histories.asked(&name(), &format!("t{number}"), format!("request {number}"));
            histories.add(&name(), &report(number, number), number).expect("it is kept");
            histories.add(&name(), &report(number, number), number).expect("it is there");
        }
        let again = Histories::open(folder.path());
        let ids: Vec<_> = again.of(&name()).iter().map(|it| it.spec.id.clone()).collect();
        assert_eq!(ids, ["t3", "t2", "t1"], "newest first, each once");
        assert_eq!(again.names(), [name()]);
        let (found, request) = again.by_key(&name(), "k2", 5).expect("it is known");
        assert_eq!((&*found.spec.id, request.as_deref()), ("t2", Some("request 2")));
        assert!(again.by_key(&name(), "k4", 5).is_none());
        assert!(again.by_key(&name(), "k2", 2 + DAY_NS).is_none(), "a key lives for a day");
    }

    #[test]
    fn a_line_that_a_death_cut_short_takes_nothing_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let histories = Histories::open(folder.path());
        for number in 1..=2 {
            histories.add(&name(), &report(number, number), number).expect("it is kept");
        }
        let file = histories.file_of(&name());
        let text = fs::read(&file).expect("a file");
        fs::write(&file, &text[..text.len() - 9]).expect("it is written");
        let again = Histories::open(folder.path());
        again.add(&name(), &report(3, 3), 3).expect("it is kept");
        let last = Histories::open(folder.path());
        let ids: Vec<_> = last.of(&name()).iter().map(|it| it.spec.id.clone()).collect();
        assert_eq!(ids, ["t3", "t1"]);
    }

    #[test]
    fn what_is_kept_is_bounded_in_memory_and_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let histories = Histories::open(folder.path());
        for number in 0..200 {
            // Each a day after the one before: only their number keeps them.
            histories
                .add(&name(), &report(number, number * DAY_NS), number * DAY_NS)
                .expect("kept");
        }
        assert_eq!(histories.of(&name()).len(), KEPT);
        let lines = fs::read_to_string(histories.file_of(&name())).expect("a file").lines().count();
        assert!(lines <= 3 * KEPT, "{lines} lines");
        assert_eq!(Histories::open(folder.path()).of(&name())[0].spec.id, "t199");
    }
}
