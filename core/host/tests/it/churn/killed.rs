//! The host is killed at random moments of random transitions, again and again: at every start the
//! promised version serves, once (P-29), and at the end nothing is missing.
//!
//! The host that dies is a process of its own: this test's program, started again with a task in
//! its environment. It writes down what it promises to nobody else: the judge reads files.

use std::{
    fmt,
    fs::{self, File},
    future,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use patchbay_host::{Host, HostHandle};
use patchbay_lifecycle::transition::{OutcomeKind, Record, Standing};
use patchbay_testkit::{
    checker::{Cause, Event},
    eventually, eventually_async, this_again,
};
use serde::{Deserialize, Serialize};

use super::{
    course,
    judge::Judge,
    load::{Load, published},
    scene::{
        Files, GOOD, Level, NAMES, Scene,
        dice::{Dice, seed},
        now, rounds,
    },
};
use crate::rig::LONG;

/// What the process that is to die reads its task from.
const TASK: &str = "PATCHBAY_TEST_LIVE";
const BY_ITS_OWN_HAND: &str = "churn::killed::a_process_that_lives_until_it_is_killed";
/// Deaths in one run of the suite.
const DEATHS: u64 = 24;

#[derive(Serialize, Deserialize)]
struct Task {
    home: PathBuf,
    files: Files,
    seed: u64,
    life: u64,
    /// It ends in good order when everything is settled.
    last: bool,
}

/// Does nothing unless it is started as the process that is to die.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_lives_until_it_is_killed() {
    let Ok(task) = std::env::var(TASK) else { return };
    let Task { home, files, seed, life, last } = serde_json::from_str(&task).expect("a task");
    let promised = NAMES.map(|name| promised(&home, &files, name));
    let host = Host::start(files.settings(&home)).await.expect("it starts");
    host.ready(LONG).await.expect("it is ready");
    for (name, promised) in NAMES.into_iter().zip(promised) {
        serves(&host, name, &promised);
        // What does badly never takes over here.
        let record = host.transition_record(name);
        assert!(GOOD.contains(&promised.as_str()), "{name}: {promised}, {record:#?}");
    }
    fs::write(ready(&files, life), "").expect("a file");
    for name in NAMES {
        // A bake that goes on comes to its end first.
        over(&host, name).await;
    }
    let files = Arc::new(files);
    if last {
        return end(&host, &files, life).await;
    }
    let mut courses = Vec::new();
    for (name, seed) in NAMES.into_iter().zip(seed..) {
        let latest = published(&files, name, name).last_key_value().map_or(0, |(n, _)| *n);
        let _load = Load::start(&host, &files, name, latest);
        let course = course::run(host.clone(), files.clone(), name, seed, course::End::Never);
        courses.push(tokio::spawn(course));
    }
    for course in courses {
        course.await.expect("it goes on until it is killed");
    }
}

/// Waits until no transition of the plugin runs, nor is about to go on.
async fn over(host: &HostHandle, name: &str) {
    let is_open = || {
        let record = host.transition_record(name).expect("known");
        let goes_on = record.is_some_and(|it| !matches!(it.standing, Standing::Over { .. }));
        let report = host.transition(name).expect("known");
        goes_on || report.is_some_and(|it| it.ended_unix_ns.is_none())
    };
    let what = fmt::from_fn(|f| write!(f, "the bake of {name}: {:#?}", host.transition(name)));
    eventually_async(what, LONG, || future::ready((!is_open()).then_some(()))).await;
}

/// Writes the last ledgers down, and ends the host.
async fn end(host: &HostHandle, files: &Files, life: u64) {
    for name in NAMES {
        let own = || host.ledger().into_iter().find(|it| it.plugin == name).expect("a ledger");
        let what = fmt::from_fn(|f| write!(f, "all settled: {:#?}", own()));
        let look = || {
            let own = own();
            future::ready((own.queued + own.delayed + own.in_flight == 0).then_some(own))
        };
        let ledger = eventually_async(what, LONG, look).await;
        files.ledger(name, u32::try_from(life).expect("a small number"), &ledger);
    }
    let report = host.shutdown(LONG).await;
    assert!(report.clean, "{report:#?}");
}

/// The version that must serve after a start, from what is on the disk alone: the rule of P-29 once
/// more, in the test's own words.
fn promised(home: &Path, files: &Files, name: &str) -> String {
    let link = fs::read_link(home.join("plugins/enabled").join(name)).expect("a link");
    let library = files.libraries.iter().find(|it| it.file == link).expect("a library");
    let folder = files.settings(home).paths.store.with_file_name("transitions");
    let Ok(record) = fs::read(folder.join(format!("transition.{name}.json"))) else {
        return library.version.clone();
    };
    let record: Record = serde_json::from_slice(&record).expect("a whole record");
    let died = u32::from(folder.join("alive").exists());
    let new = match &record.standing {
        Standing::Over { outcome } => outcome.kind == OutcomeKind::Completed,
        Standing::Trial | Standing::Restoring { .. } => false,
        Standing::CutOver => record.deaths + died < 2,
    };
    if new { record.spec.to.version } else { record.spec.from.version }
}

/// Exactly that version serves.
fn serves(host: &HostHandle, name: &str, version: &str) {
    let all = host.generations();
    let serving: Vec<_> = all.iter().filter(|it| it.plugin == name && it.serving).collect();
    let versions: Vec<_> = serving.iter().map(|it| it.version.as_str()).collect();
    let record = || host.transition_record(name);
    assert_eq!(versions, [version], "{name}: {:#?}, {all:#?}", record());
}

fn ready(files: &Files, life: u64) -> PathBuf {
    files.folder.join(format!("ready-{life}"))
}

fn begin(home: &Path, files: &Files, seed: u64, life: u64, last: bool) -> Child {
    let task = Task { home: home.to_owned(), files: files.clone(), seed, life, last };
    let said = File::create(files.folder.join("said")).expect("a file");
    let mut command = this_again();
    command.args([BY_ITS_OWN_HAND, "--exact", "--nocapture"]).stdout(Stdio::null()).stderr(said);
    command.env(TASK, serde_json::to_string(&task).expect("a task"));
    command.spawn().expect("it starts")
}

/// Kills it when the test fails in the middle.
struct Life(Child);

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_host_that_is_killed_in_random_transitions_serves_what_it_promised_and_loses_nothing() {
    let (seed, deaths) = (seed(), rounds(DEATHS));
    let levels = NAMES.map(|name| (name, Level::Process));
    let scene = Scene::new(true, &levels);
    let (home, files) = (scene.home, scene.files);
    let said = || fs::read_to_string(files.folder.join("said")).unwrap_or_default();
    let mut dice = Dice(seed);
    let mut early = 0;
    for life in 1..=deaths {
        let mut host = Life(begin(home.path(), &files, seed + life * 10, life, false));
        if dice.percent(20) {
            // Also before it is ready: what it reads at the start must not be lost either. The
            // moment is drawn, here and below: no state is waited for, any may be what it dies in.
            thread::sleep(Duration::from_millis(dice.below(500)));
        } else {
            eventually("the host to be ready", LONG, || {
                let ended = host.0.try_wait().expect("a child");
                assert!(ended.is_none(), "seed {seed}, life {life}: {ended:?}: {}", said());
                ready(&files, life).exists().then_some(())
            });
            thread::sleep(Duration::from_millis(dice.below(900)));
        }
        early += u64::from(!ready(&files, life).exists());
        let t = now();
        host.0.kill().expect("a child");
        let status = host.0.wait().expect("a child");
        assert_eq!(status.signal(), Some(9), "seed {seed}, life {life}: {}", said());
        files.mend();
        files.note(Cause { t, until: now(), event: Event::HostDeath });
    }
    let mut host = Life(begin(home.path(), &files, seed, deaths + 1, true));
    let status = host.0.wait().expect("a child");
    assert!(status.success(), "seed {seed}: {}", said());
    let judged = Judge::read(&files).close();
    let courses = fs::read_to_string(files.courses()).unwrap_or_default().lines().count();
    println!(
        "chaos deaths: seed {seed}, {deaths} rounds, {early} before it was ready, {courses} \
         transitions came to their end\n{judged}"
    );
    judged.assert_clean(home);
}
