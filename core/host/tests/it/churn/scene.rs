//! What random transitions are made with: plugins that write down every hand-off, in versions that
//! do well and in versions that do badly in every way.

pub(super) mod dice;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use patchbay_bus::Level as BusLevel;
use patchbay_host::{Settings, view::LedgerView};
use patchbay_testkit::{
    Home,
    checker::{LedgerTerms, Record},
    fixture,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) use patchbay_testkit::checker::{Level, now};

/// Plugins that change at the same time. The messages of `three` and `four` are in order by key.
pub(super) const NAMES: [&str; 4] = ["one", "two", "three", "four"];
/// Versions that do as they should.
pub(super) const GOOD: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];
/// How candidates do badly, and how often each is drawn.
pub(super) const MANNERS: [(&str, u64); 10] = [
    ("error", 20),
    ("failed", 20),
    ("retry", 20),
    ("panic", 20),
    ("wrong", 20),
    ("init", 20),
    ("start", 20),
    ("unhealthy", 20),
    ("hang", 6),
    ("init_hang", 2),
];
/// Longest init in these homes: shorter than what `init_hang` takes.
const INIT: Duration = Duration::from_millis(800);

/// How many of a thing are done: as many as `PATCHBAY_CHAOS_ROUNDS` says, or `PATCHBAY_CHURN` times
/// as many as usual.
pub(super) fn rounds(usual: u64) -> u64 {
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    set("PATCHBAY_CHAOS_ROUNDS").unwrap_or_else(|| times(usual))
}

/// As many as usual, or `PATCHBAY_CHURN` times as many.
pub(super) fn times(usual: u64) -> u64 {
    let more = std::env::var("PATCHBAY_CHURN").ok().and_then(|text| text.parse::<u64>().ok());
    more.map_or(usual, |more| usual.saturating_mul(more))
}

/// A home in which every plugin is enabled in its first version.
pub(super) struct Scene {
    pub(super) home: Home,
    pub(super) settings: Settings,
    pub(super) files: Arc<Files>,
}

/// A library that a transition may lead to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Library {
    pub(super) plugin: String,
    pub(super) version: String,
    /// Empty when it does as it should.
    pub(super) manner: String,
    pub(super) file: PathBuf,
}

/// Where everything is written down, and what there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    /// Whether the host is killed: then nothing works on copies, which nobody could tell apart.
    pub(super) mortal: bool,
    pub(super) levels: Vec<(String, Level)>,
    pub(super) libraries: Vec<Library>,
}

// === impl Scene ===

impl Scene {
    /// Messages of plugins that are not named live in memory.
    pub(super) fn new(mortal: bool, levels: &[(&str, Level)]) -> Scene {
        let home = Home::new();
        let mut libraries = Vec::new();
        for name in NAMES {
            for version in GOOD {
                libraries.push(Library::build(&home, name, version, ""));
            }
            for (number, (manner, _)) in MANNERS.into_iter().enumerate() {
                libraries.push(Library::build(&home, name, &format!("9.0.{number}"), manner));
            }
            let first = libraries.iter().find(|it| it.plugin == name);
            home.link(name, &first.expect("it was built").file);
        }
        let folder = home.path().join("written");
        fs::create_dir(&folder).expect("a folder");
        let levels = levels.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
        let files = Files { folder, mortal, levels, libraries };
        Scene { settings: files.settings(home.path()), home, files: Arc::new(files) }
    }
}

// === impl Library ===

impl Library {
    fn build(home: &Home, name: &str, version: &str, manner: &str) -> Library {
        let order = if ["three", "four"].contains(&name) { "per_key" } else { "none" };
        // A call that hangs is written off soon; nobody else's call is.
        let limit = if manner == "hang" { "150ms" } else { "60s" };
        let rest = json!({
            "subscriptions": [
                {"topic": format!("in.{name}"), "order": order, "queue": {"count": 100_000}},
            ],
            "mirror_safe": true,
            "worker_pool": {"min_workers": 1, "max_workers": 3, "process_timeout": limit},
        });
        let rest = format!(",{}", rest.to_string().trim_start_matches('{').trim_end_matches('}'));
        // The last bracket belongs to the pool.
        let rest = rest + "}";
        let quoted = |text: &str| format!("{text:?}");
        let built = fixture::build_c(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/witness.c"),
            &[
                ("NAME", &quoted(name)),
                ("VERSION", &quoted(version)),
                ("REST", &quoted(&rest)),
                ("BAD", &quoted(manner)),
            ],
            Path::new(env!("CARGO_TARGET_TMPDIR")),
        );
        let file = home.install(&built, &format!("lib{name}-{version}.so"));
        let [plugin, version, manner] = [name, version, manner].map(str::to_owned);
        Library { plugin, version, manner, file }
    }

    pub(super) fn is_good(&self) -> bool {
        self.manner.is_empty()
    }
}

// === impl Files ===

impl Files {
    pub(super) fn settings(&self, home: &Path) -> Settings {
        let mut settings = Settings::of_home(home);
        settings.limits.settle = Duration::from_millis(1);
        settings.limits.poll = Duration::from_millis(500);
        settings.limits.quarantine_recheck = Duration::from_millis(100);
        settings.limits.init_timeout = INIT;
        settings.limits.plugin_shutdown_timeout = Duration::from_millis(500);
        for name in NAMES {
            let own = settings.plugins.entry(name.to_owned()).or_default();
            let config = json!({"records": self.witnessed(name)});
            own.config = config.as_object().cloned().unwrap_or_default();
            let level = match self.level(name) {
                Level::Memory => continue,
                Level::Process => BusLevel::Process,
                Level::Disk => BusLevel::Disk,
            };
            settings.durability.push(&format!("in.{name}"), level).expect("a rule");
        }
        settings
    }

    pub(super) fn level(&self, name: &str) -> Level {
        let own = self.levels.iter().find(|(plugin, _)| plugin == name);
        own.map_or(Level::Memory, |(_, level)| *level)
    }

    pub(super) fn of(&self, name: &str) -> Vec<Library> {
        self.libraries.iter().filter(|it| it.plugin == name).cloned().collect()
    }

    /// What a plugin saw.
    pub(super) fn witnessed(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.jsonl"))
    }

    /// What was published to a plugin.
    pub(super) fn published(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.published"))
    }

    /// Courses of transitions that ended.
    pub(super) fn courses(&self) -> PathBuf {
        self.folder.join("courses.jsonl")
    }

    /// When transitions were asked for.
    pub(super) fn begun(&self) -> PathBuf {
        self.folder.join("begun")
    }

    /// A transition of the plugin is about to be asked for.
    pub(super) fn begins(&self, name: &str) {
        Files::append(&self.begun(), &format!("{name} {}\n", now()));
    }

    /// Ledgers, and what happened to the host.
    pub(super) fn records(&self) -> PathBuf {
        self.folder.join("records.jsonl")
    }

    /// Writes a line behind the others, in one piece, so that it is there whoever dies.
    pub(super) fn append(file: &Path, line: &str) {
        let opened = File::options().create(true).append(true).open(file);
        opened.and_then(|mut file| file.write_all(line.as_bytes())).expect("it is written");
    }

    /// Takes away the half of a line that somebody who was killed may have left behind.
    pub(super) fn mend(&self) {
        for entry in fs::read_dir(&self.folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let text = fs::read(&path).expect("a file");
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if whole < text.len() {
                fs::write(&path, &text[..whole]).expect("it is written");
            }
        }
    }

    pub(super) fn note(&self, record: impl Into<Record>) {
        Files::append(&self.records(), &record.into().line());
    }

    /// Writes a ledger down as it is at the end.
    pub(super) fn ledger(&self, name: &str, life: u32, view: &LedgerView) {
        self.note(LedgerTerms {
            subscription: format!("{name}:0"),
            life,
            t: now(),
            accepted: view.accepted,
            queued: view.queued,
            delayed: view.delayed,
            in_flight: view.in_flight,
            done: view.done,
            forwarded: view.forwarded,
            dead: view.dead,
            dead_pending: view.dead_pending,
            dropped: view.dropped.values().sum(),
        });
    }
}
