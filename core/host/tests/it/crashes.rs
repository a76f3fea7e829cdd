//! The host is killed in the middle of a transition and started again: the promised version serves,
//! once (P-29).
//!
//! The host that dies is a process of its own: this test's program, started again with a task in
//! its environment.

mod given;
mod steps;

use std::{fmt, future::ready, path::PathBuf, process::Command, time::Duration};

use patchbay_host::{Host, HostHandle, Settings, TransitionRequest, view::LedgerView};
use patchbay_lifecycle::transition::{Asked, OutcomeKind, Record, Standing};
use patchbay_testkit::{Home, eventually_async, this_again};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig, message};

/// Where the process that is to die reads its task from.
const TASK: &str = "PATCHBAY_TEST_DIE_IN";
/// The reason of a request after which the process ends as it should.
const ORDERLY: &str = "orderly";
/// What is published for a version to end the process.
const DIES: &str = "die";
/// The same for another plugin.
const DIES_ELSEWHERE: &str = "die elsewhere";
/// For a version that ends the process whatever it is given.
const DIES_OF_ANY: &str = "die of any";
/// Where there is a file of that name, messages outlive the process.
const DURABLE: &str = "durable";
const BY_ITS_OWN_HAND: &str = "crashes::a_process_that_dies_when_it_is_told_to";

#[derive(Serialize, Deserialize)]
struct Task {
    home: PathBuf,
    /// What is published first, each when the one before has begun.
    held: Vec<String>,
    request: Option<TransitionRequest>,
    /// What is asked in which phase, in that order.
    asks: Vec<(String, String)>,
    /// Dead then, …
    phase: String,
    /// … and not before the record says this.
    standing: Option<String>,
}

fn settings(home: &std::path::Path) -> Settings {
    let mut settings = Settings::of_home(home);
    settings.limits.settle = Duration::from_millis(20);
    let config = json!({"gate": home.join("gate"), "door": home.join("door")});
    let own = settings.plugins.entry("echo".to_owned()).or_default();
    own.config = config.as_object().cloned().unwrap_or_default();
    if home.join(DURABLE).exists() {
        settings.durability.push("in.echo", patchbay_host::Level::Process).expect("a rule");
    }
    settings
}

/// Does nothing unless it is started as the process that is to die.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_when_it_is_told_to() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).expect("a task");
    let host = Host::start(settings(&task.home)).await.expect("it starts");
    host.ready(LONG).await.expect("it is ready");
    for payload in &task.held {
        host.publish(message("in.echo", payload), patchbay_host::Room::Now)
            .await
            .expect("accepted");
    }
    let dead = || host.ledger().iter().map(|it| it.dead).sum::<u64>();
    let wanted = task.held.iter().filter(|payload| *payload == "fail").count() as u64;
    patchbay_testkit::eventually("the dead letters", LONG, || (dead() == wanted).then_some(()));
    let orderly = task.request.as_ref().is_some_and(|it| it.why.as_deref() == Some(ORDERLY));
    if let Some(request) = task.request {
        host.transition_start("echo", request, "test").await.expect("it begins");
    }
    let load = tokio::spawn(load(host.clone()));
    let in_phase = async |phase: &str, standing: Option<&str>| {
        let latest = || host.transition("echo").expect("known");
        let what = fmt::from_fn(|f| write!(f, "{phase}, and not {:#?}", latest()));
        let look = || {
            let record = host.transition_record("echo").expect("known");
            let stands = record.is_some_and(|it| standing.is_none_or(|word| stands(&it, word)));
            let is_in = latest().is_some_and(|report| report.phase == phase);
            ready((is_in && stands).then_some(()))
        };
        eventually_async(what, LONG, look).await;
    };
    for (phase, verb) in &task.asks {
        in_phase(phase, None).await;
        let asked = match verb.as_str() {
            "pause" => Asked::Pause,
            "abort" => Asked::Abort,
            "rollback" => Asked::Rollback,
            "open" => {
                std::fs::write(task.home.join("door"), "").expect("a file");
                continue;
            }
            DIES_ELSEWHERE => {
                let message = message("in.other", DIES);
                host.publish(message, patchbay_host::Room::Now).await.expect("accepted");
                continue;
            }
            payload => {
                let message = message("in.echo", payload);
                host.publish(message, patchbay_host::Room::Now).await.expect("accepted");
                continue;
            }
        };
        host.transition_ask("echo", asked, "test").await.expect("it is done");
    }
    in_phase(&task.phase, task.standing.as_deref()).await;
    if orderly {
        load.abort();
        let report = host.shutdown(LONG).await;
        assert!(report.clean, "{report:#?}");
        std::process::exit(0);
    }
    // As sudden as it gets: no destructor runs, nothing is flushed.
    Command::new("kill").args(["-9", &std::process::id().to_string()]).status().expect("kill");
    std::future::pending::<()>().await;
}

/// Messages, until the process dies.
async fn load(host: HostHandle) {
    loop {
        drop(host.publish(message("in.echo", "ack"), patchbay_host::Room::Now).await);
        // Pace, not a wait: it goes on until the process is dead.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether a record stands where that word says.
fn stands(record: &Record, word: &str) -> bool {
    let found = match record.standing {
        Standing::Trial => "trial",
        Standing::CutOver => "cut_over",
        Standing::Restoring { .. } => "restoring",
        Standing::Over { .. } => "over",
    };
    found == word
}

/// Lets a process run until it dies in that phase. The old version holds a call meanwhile that ends
/// when the gate is there.
fn die_in(home: &Home, request: Option<&TransitionRequest>, phase: &str) {
    let held = ["hang", "ack"].map(str::to_owned).to_vec();
    let (request, phase) = (request.cloned(), phase.to_owned());
    die(Task { home: home.path().into(), held, request, asks: vec![], phase, standing: None });
}

fn die(task: Task) {
    let mut command = this_again();
    let text = serde_json::to_string(&task).expect("a task");
    command.args([BY_ITS_OWN_HAND, "--exact", "--nocapture"]).env(TASK, text);
    let output = command.output().expect("it starts");
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    let said = String::from_utf8_lossy(&output.stderr);
    let phase = &task.phase;
    if task.request.is_some_and(|it| it.why.as_deref() == Some(ORDERLY)) {
        assert!(output.status.success(), "it was to end in {phase}: {said}");
        return;
    }
    let dies = task.asks.iter().any(|(_, asked)| asked.starts_with(DIES));
    let by = if dies { 6 } else { 9 };
    assert_eq!(signal, Some(by), "it was to be killed in {phase}: {said}");
}

async fn restarted(home: Home) -> Rig {
    let settings = settings(home.path());
    Plan { home, settings }.start().await
}

fn record(rig: &Rig) -> Record {
    rig.host.transition_record("echo").expect("known").expect("there is one")
}

/// Exactly this version serves, and does what it is for.
async fn serves(rig: &Rig, version: &str) {
    rig.until("echo", |view| view.version.as_deref() == Some(version)).await;
    let serving: Vec<_> = rig.host.generations().into_iter().filter(|it| it.serving).collect();
    assert_eq!(serving.len(), 1, "{serving:#?}");
    let mut out = rig.host.tap("out.*", 10).expect("a valid pattern");
    rig.publish("in.echo", "echo").await;
    let next = tokio::time::timeout(LONG, out.next()).await;
    let Ok(next) = next else {
        panic!("no echo: {:#?}, {:#?}", rig.ledger("echo"), rig.host.transition("echo"))
    };
    let (message, _) = next.expect("the host runs");
    assert_eq!(message.topic, format!("out.{}", version.replace('.', "_")));
}

fn to_two(strategy: &str) -> TransitionRequest {
    TransitionRequest {
        to: "2.0.0".to_owned(),
        strategy: Some(strategy.to_owned()),
        steps: Some(vec![50, 100]),
        // Never enough: it stays in its trial.
        min_samples: Some(1_000_000_000),
        bake_ms: Some(600_000),
        on_timeout: Some("force".to_owned()),
        ..TransitionRequest::default()
    }
}

fn home() -> Home {
    let home = Home::new();
    for version in ["2.0.0", "1.0.0"] {
        let plugin = Plugin::new("echo", version).with("mirror_safe", json!(true));
        let place = home.install(&plugin.build(), &plugin.file_name());
        home.link("echo", &place);
    }
    home
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn before_the_cutover_the_old_version_serves_although_the_link_leads_to_the_new_one() {
    for (strategy, phase) in [("gradual", "shifting"), ("blue-green", "mirroring")] {
        let home = home();
        die_in(&home, Some(&to_two(strategy)), phase);
        let link = std::fs::read_link(home.enabled().join("echo")).expect("a link");
        assert!(link.ends_with("libecho-2.0.0.so"), "{}", link.display());
        // The file of the old version is not needed.
        std::fs::remove_file(home.development().join("libecho-1.0.0.so")).expect("it was there");
        let rig = restarted(home).await;
        serves(&rig, "1.0.0").await;
        let Standing::Over { outcome } = record(&rig).standing else {
            panic!("{:?}", record(&rig))
        };
        assert_eq!((outcome.kind, &*outcome.cause), (OutcomeKind::Aborted, "crash"), "{outcome}");
        // And it may be tried again.
        let request = TransitionRequest { bake_ms: Some(0), ..to_two("immediate") };
        rig.host.transition_start("echo", request, "test").await.expect("it begins");
        serves(&rig, "2.0.0").await;
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_the_cutover_the_new_version_serves_and_its_bake_goes_on() {
    for phase in ["draining", "baking"] {
        let home = home();
        if phase == "baking" {
            std::fs::write(home.path().join("gate"), "").expect("a file");
        }
        die_in(&home, Some(&to_two("graceful")), phase);
        let rig = restarted(home).await;
        serves(&rig, "2.0.0").await;
        let record = record(&rig);
        assert_eq!((record.standing, record.deaths), (Standing::CutOver, 1));
        // Its way back is open: the old version is warm again, or is made so.
        let baking = || rig.host.transition("echo").ok().flatten();
        let begun = || baking().filter(|report| report.phase == "baking");
        patchbay_testkit::eventually("the bake goes on", LONG, begun);
        rig.host.transition_ask("echo", Asked::Rollback, "test").await.expect("it is rolled back");
        serves(&rig, "1.0.0").await;
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_host_that_dies_twice_in_a_bake_starts_with_the_old_version() {
    let home = home();
    std::fs::write(home.path().join("gate"), "").expect("a file");
    die_in(&home, Some(&to_two("immediate")), "baking");
    die_in(&home, None, "baking");
    let rig = restarted(home).await;
    serves(&rig, "1.0.0").await;
    let Standing::Over { outcome } = record(&rig).standing else { panic!("{:?}", record(&rig)) };
    assert_eq!((outcome.kind, &*outcome.cause), (OutcomeKind::RolledBack, "boot_guard"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_candidate_that_ends_the_host_in_its_bake_is_rolled_back_after_one_death() {
    let home = home();
    std::fs::write(home.path().join("gate"), "").expect("a file");
    die(Task {
        home: home.path().into(),
        held: vec![],
        request: Some(to_two("immediate")),
        asks: vec![("baking".to_owned(), DIES.to_owned())],
        // It is dead before.
        phase: "never".to_owned(),
        standing: None,
    });
    let rig = restarted(home).await;
    serves(&rig, "1.0.0").await;
    let record = record(&rig);
    let Standing::Over { outcome } = &record.standing else { panic!("{record:?}") };
    assert_eq!((outcome.kind, &*outcome.cause), (OutcomeKind::RolledBack, "boot_guard"));
    assert_eq!(record.deaths, 1);
    let death = rig.host.journal().recovery.death.expect("it is known");
    assert_eq!(death.cause.as_deref(), Some("SIGABRT"));
    assert_eq!((death.plugin.as_deref(), death.version.as_deref()), (Some("echo"), Some("2.0.0")));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_is_not_charged_with_the_host_that_a_candidate_ended_on_it() {
    for (strategy, phase) in [("immediate", "baking"), ("gradual", "shifting")] {
        let home = Home::new();
        for (version, bad) in [("2.0.0", "abort"), ("1.0.0", "")] {
            let plugin = Plugin::new("echo", version).bad(bad);
            home.link("echo", &home.install(&plugin.build(), &plugin.file_name()));
        }
        for file in ["gate", DURABLE] {
            std::fs::write(home.path().join(file), "").expect("a file");
        }
        die(Task {
            home: home.path().into(),
            held: vec![],
            request: Some(to_two(strategy)),
            // It dies of the first message that the candidate gets.
            asks: vec![(phase.to_owned(), DIES_OF_ANY.to_owned())],
            phase: "never".to_owned(),
            standing: None,
        });
        let rig = restarted(home).await;
        serves(&rig, "1.0.0").await;
        let death = rig.host.journal().recovery.death.expect("it is known");
        assert_eq!(death.version.as_deref(), Some("2.0.0"), "{death:?}");
        assert_eq!((death.suspects, death.message.as_deref()), (Some(1), None), "{strategy}");
        let drained = |row: &LedgerView| row.queued + row.delayed + row.in_flight == 0;
        let row = rig.ledger_until("echo", drained).await;
        assert_eq!(row.done, row.accepted, "{row:?}");
        assert!(rig.host.dead_letters().is_empty());
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_that_ends_the_host_is_not_the_candidate_of_anothers_bake() {
    let home = home();
    let other = Plugin::new("other", "1.0.0");
    home.link("other", &home.install(&other.build(), &other.file_name()));
    std::fs::write(home.path().join("gate"), "").expect("a file");
    die(Task {
        home: home.path().into(),
        held: vec![],
        request: Some(to_two("immediate")),
        asks: vec![("baking".to_owned(), DIES_ELSEWHERE.to_owned())],
        phase: "never".to_owned(),
        standing: None,
    });
    let rig = restarted(home).await;
    rig.until("echo", |view| view.version.as_deref() == Some("2.0.0")).await;
    assert_eq!((record(&rig).standing, record(&rig).deaths), (Standing::CutOver, 1));
    let death = rig.host.journal().recovery.death.expect("it is known");
    assert_eq!(death.plugin.as_deref(), Some("other"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_orderly_end_in_a_bake_is_no_death() {
    let home = home();
    std::fs::write(home.path().join("gate"), "").expect("a file");
    let request = TransitionRequest { why: Some(ORDERLY.to_owned()), ..to_two("immediate") };
    die_in(&home, Some(&request), "baking");
    let rig = restarted(home).await;
    serves(&rig, "2.0.0").await;
    assert_eq!((record(&rig).standing, record(&rig).deaths), (Standing::CutOver, 0));
    rig.end().await;
}
