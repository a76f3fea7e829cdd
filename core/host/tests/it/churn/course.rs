//! One random transition after the other, and everything that operators do meanwhile.

use std::{collections::BTreeMap, fmt, future::ready, sync::Arc, time::Duration};

use patchbay_host::{Expectation, HostError, HostHandle, Probe, TransitionRequest};
use patchbay_lifecycle::transition::{Asked, Entry, OutcomeKind, Report};
use patchbay_testkit::eventually_async;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    load,
    scene::{Files, GOOD, Library, MANNERS, dice::Dice, now},
};
use crate::rig::LONG;

const STRATEGIES: [&str; 4] = ["immediate", "graceful", "gradual", "blue-green"];
/// How long what was begun may go on before somebody asks for something, milliseconds. Nobody waits
/// for anything there: the moment is drawn, so that over many runs every step is met.
const MOMENT: u64 = 20;

/// When a course ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// After so many transitions.
    After(u64),
    /// With the process.
    Never,
}

/// What is written down of a transition that ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Course {
    pub(super) plugin: String,
    pub(super) strategy: String,
    pub(super) manner: String,
    /// Whether copies of messages went through the candidate.
    pub(super) mirror: bool,
    /// Whether calls were taken from an instance that did not end them.
    pub(super) abandoned: bool,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) outcome: String,
    pub(super) entries: Vec<Entry>,
}

/// How many of everything there were.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) begun: u64,
    counts: BTreeMap<String, u64>,
}

/// Changes one plugin until the end.
pub(super) async fn run(
    host: HostHandle,
    files: Arc<Files>,
    name: &'static str,
    seed: u64,
    end: End,
) -> Tally {
    let mut run = Run {
        libraries: files.of(name),
        dice: Dice(seed),
        tally: Tally::default(),
        host,
        files,
        name,
    };
    while match end {
        End::After(count) => run.tally.begun < count,
        End::Never => true,
    } {
        run.change().await;
    }
    run.tally
}

struct Run {
    host: HostHandle,
    files: Arc<Files>,
    name: &'static str,
    libraries: Vec<Library>,
    dice: Dice,
    tally: Tally,
}

// === impl Run ===

impl Run {
    async fn change(&mut self) {
        let (library, request) = self.draw();
        let (name, host) = (self.name, self.host.clone());
        let strategy = request.strategy.clone().unwrap_or_default();
        let drags = strategy == "graceful" && self.dice.percent(40);
        if drags {
            // What the old version holds for a while, so that it has something to finish.
            load::drag(&host, &self.files, name).await;
        }
        let logged = self.latest_line();
        let mirror = strategy == "blue-green" && request.mirror != Some(false);
        self.files.begins(name);
        let begun = host.transition_start(name, request.clone(), "test").await;
        let id = match begun {
            Ok(report) => report.spec.id.clone(),
            Err(error) => panic!("{name}, {strategy} to {library:?}: {error}"),
        };
        self.tally.begun += 1;
        self.meddle(&library, &request, &id, drags).await;
        let report = self.over(&id).await;
        let outcome = report.outcome.clone().expect("it is over");
        let took_over = outcome.kind == OutcomeKind::Completed;
        let course = &report.entries;
        assert!(library.is_good() || !took_over, "{name}: a bad version took over: {course:#?}");
        let wanted = if took_over { &report.spec.to } else { &report.spec.from };
        let serves = host.wait_for(name, LONG, |view| {
            view.is_some_and(|view| view.digest == Some(wanted.library.to_string()))
        });
        serves.await.expect("what the report says is what serves");
        self.tally.count(format!("{strategy}, {}", outcome.kind.as_str()));
        if !library.is_good() {
            self.tally.count(format!("candidate: {}", library.manner));
        }
        let course = Course {
            plugin: name.to_owned(),
            strategy,
            manner: library.manner,
            mirror,
            abandoned: self.was_abandoned(logged),
            started: report.started_unix_ns,
            ended: report.ended_unix_ns.unwrap_or_default(),
            outcome: format!("{} ({})", outcome.kind.as_str(), outcome.cause),
            entries: report.entries.clone(),
        };
        let line = serde_json::to_string(&course).expect("it has a form") + "\n";
        Files::append(&self.files.courses(), &line);
    }

    /// Where to, and how.
    fn draw(&mut self) -> (Library, TransitionRequest) {
        let serving = self.host.plugin(self.name).expect("known").version.unwrap_or_default();
        let (library, strategy) = if self.dice.percent(60) {
            let others: Vec<&str> = GOOD.into_iter().filter(|it| *it != serving).collect();
            let version = *self.dice.pick(&others);
            let library = self.libraries.iter().find(|it| it.version == version);
            (library.expect("a library"), *self.dice.pick(&STRATEGIES))
        } else {
            let mut manner = self.dice.weighted(&MANNERS);
            if manner == "wrong" && self.files.mortal {
                manner = "error";
            }
            let library = self.libraries.iter().find(|it| it.manner == manner);
            let strategy = match manner {
                // Nobody sees it without a comparison.
                "wrong" => "blue-green",
                // It fails before it gets a message.
                "init" | "init_hang" | "start" | "unhealthy" => *self.dice.pick(&STRATEGIES),
                // Unmeasured, it would kill messages, as it is entitled to.
                _ => *self.dice.pick(&["gradual", "blue-green"]),
            };
            (library.expect("a library"), strategy)
        };
        let library = library.clone();
        let mirror = library.manner == "wrong" || self.dice.percent(70);
        // Nothing bad goes into a bake here: it would be allowed to do badly.
        let bake = if self.dice.percent(50) { 0 } else { self.dice.below(20) };
        let request = TransitionRequest {
            to: library.file.to_string_lossy().into_owned(),
            strategy: Some(strategy.to_owned()),
            steps: Some(vec![50, 100]),
            // Only an echo tells what is wrong from what is right.
            min_samples: Some(if library.manner == "wrong" { 80 } else { 8 }),
            min_time_ms: Some(5),
            bake_ms: Some(bake),
            deadline_ms: Some(5_000),
            mirror: (strategy == "blue-green").then_some(mirror && !self.files.mortal),
            probes: vec![self.probe()],
            force: true,
            idempotency_key: Some(format!("{}-{}", self.name, now())),
            ..TransitionRequest::default()
        };
        (library, request)
    }

    /// Somebody asks for something while it runs.
    async fn meddle(&mut self, to: &Library, request: &TransitionRequest, id: &str, drags: bool) {
        let (name, host) = (self.name, self.host.clone());
        if drags {
            let drains = self.until(id, |report| report.phase == "draining").await;
            if drains.phase == "draining" {
                let asked = host.transition_ask(name, Asked::Rollback, "test").await;
                self.tally.count_if("rolled back in mid-drain", asked.is_ok());
            }
            return;
        }
        if self.dice.percent(50) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(self.dice.below(MOMENT))).await;
        match self.dice.below(5) {
            0 => {
                let asked = host.transition_ask(name, Asked::Abort, "test").await;
                self.tally.count_if("aborted by hand", asked.is_ok());
            }
            1 => {
                let asked = host.transition_ask(name, Asked::Rollback, "test").await;
                self.tally.count_if("rolled back by hand", asked.is_ok());
            }
            2 => {
                let asked = host.transition_ask(name, Asked::Pause, "test").await;
                self.tally.count_if("paused", asked.is_ok());
                // Too late is an answer as well.
                drop(host.transition_ask(name, Asked::Resume, "test").await);
            }
            // What is bad may not be promoted: it would take over, as it was told to.
            3 if to.is_good() => {
                let asked = host.transition_ask(name, Asked::Promote, "test").await;
                self.tally.count_if("promoted", asked.is_ok());
            }
            _ => self.second(request, id).await,
        }
    }

    /// The same request again is the same transition; another one is refused while it runs.
    async fn second(&mut self, request: &TransitionRequest, id: &str) {
        let again = self.host.transition_start(self.name, request.clone(), "test").await;
        assert_eq!(again.expect("the same one").spec.id, id);
        let key = Some(format!("other-{id}"));
        let other = TransitionRequest { idempotency_key: key, ..request.clone() };
        // A dry run of what is refused while this one runs: it changes nothing when it does not.
        match self
            .host
            .transition_start(
                self.name,
                TransitionRequest { to: "none.so".to_owned(), ..other },
                "test",
            )
            .await
        {
            Err(HostError::Refused { code: "transition_running", reason, .. }) => {
                assert!(reason.contains(id), "{reason}");
                self.tally.count("second requests refused".to_owned());
            }
            Err(HostError::Refused { code: "unknown_version", .. }) => {}
            other => panic!("{}: {other:?}", self.name),
        }
    }

    async fn over(&self, id: &str) -> Arc<Report> {
        self.until(id, |_| false).await
    }

    /// The report when it is as wanted, or when it is the last one.
    async fn until(&self, id: &str, accept: impl Fn(&Report) -> bool) -> Arc<Report> {
        let latest = || self.host.transition(self.name).expect("known").expect("one was begun");
        let what =
            fmt::from_fn(|f| write!(f, "{}: a report unlike {:#?}", self.name, latest().entries));
        let look = || {
            let report = latest();
            assert_eq!(report.spec.id, id);
            let found = report.ended_unix_ns.is_some() || accept(&report);
            ready(found.then_some(report))
        };
        eventually_async(what, LONG, look).await
    }

    fn probe(&self) -> Probe {
        Probe {
            topic: format!("in.{}", self.name),
            headers: Vec::new(),
            payload: json!("probe 0 ack"),
            expect: Expectation::default(),
        }
    }

    fn latest_line(&self) -> u64 {
        self.host.logs(self.name, 0).expect("known").last().map_or(0, |line| line.seq)
    }

    /// Whether the host says that calls were given to others because they were not ended.
    fn was_abandoned(&self, since: u64) -> bool {
        let lines = self.host.logs(self.name, since).expect("known");
        lines.iter().any(|line| {
            ["are given back", "go to others"].iter().any(|words| line.text.contains(words))
        })
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.begun += other.begun;
        for (what, count) in &other.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
    }

    fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn count_if(&mut self, what: &str, happened: bool) {
        if happened {
            self.count(what.to_owned());
        }
    }

    /// A run that does not do what it is for shows nothing.
    pub(super) fn assert_everything_happened(&self) {
        let strategies = STRATEGIES.map(|it| format!("{it}, completed"));
        let manners = MANNERS.map(|(manner, _)| format!("candidate: {manner}"));
        let asked = [
            "aborted by hand",
            "rolled back by hand",
            "rolled back in mid-drain",
            "paused",
            "promoted",
            "second requests refused",
        ];
        let wanted = strategies.into_iter().chain(manners).chain(asked.map(str::to_owned));
        let missing: Vec<_> = wanted.filter(|it| !self.counts.contains_key(it)).collect();
        assert!(missing.is_empty(), "it did not happen: {missing:?} in {self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transitions", self.begun)?;
        self.counts.iter().try_for_each(|(what, count)| write!(f, "\n  {what}: {count}"))
    }
}
