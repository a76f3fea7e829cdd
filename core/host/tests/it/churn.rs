//! Versions change without end, under load: by the link, and by every strategy, with everything
//! that operators and bad candidates do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use patchbay_host::{HostHandle, Room, TransitionRequest};
use patchbay_lifecycle::transition::{Asked, OutcomeKind};
use patchbay_testkit::{Home, eventually};
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, assert_balanced, message};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % bound
    }
}

/// How many of a thing are done: `PATCHBAY_CHURN` times as many as usual, if it is set.
fn times(usual: u64) -> u64 {
    let more = std::env::var("PATCHBAY_CHURN").ok().and_then(|text| text.parse::<u64>().ok());
    more.map_or(usual, |more| usual.saturating_mul(more))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_alternating_links_each_run_the_new_code() {
    let mut plan = Plan::new();
    plan.settings.limits.settle = Duration::from_millis(1);
    let versions = ["1.0.0", "2.0.0"].map(|version| Plugin::new("echo", version));
    let places = versions.each_ref().map(|it| plan.home.install(&it.build(), &it.file_name()));
    plan.home.link("echo", &places[0]);
    let rig = plan.start().await;
    let mut out = rig.host.tap("out.*", 100).expect("a valid pattern");
    for round in 1..=times(1_000) {
        let which = (round % 2) as usize;
        rig.home.link("echo", &places[which]);
        rig.host.rescan(LONG).await.expect("it is read");
        let wanted = ["1.0.0", "2.0.0"][which];
        rig.until("echo", |view| view.version.as_deref() == Some(wanted)).await;
        rig.publish("in.echo", "echo").await;
        let next = tokio::time::timeout(LONG, out.next()).await.expect("in time");
        let (message, _) = next.expect("the host runs");
        assert_eq!(message.topic, ["out.1_0_0", "out.2_0_0"][which], "round {round}");
    }
    let rounds = times(1_000);
    let ledger = rig.ledger_until("echo", |it| it.done == rounds).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (rounds, 0, 0));
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the others are unmapped", LONG, one_left);
    rig.end().await;
}

/// Plugins that change at the same time.
const NAMES: [&str; 4] = ["one", "two", "three", "four"];
/// Transitions of each, in one run of the suite.
const EACH: u64 = 500;
/// How candidates behave.
const MANNERS: [&str; 4] = ["", "error", "failed", "retry"];

/// What was published to one plugin.
struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

fn load(host: &HostHandle, name: &'static str) -> Load {
    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (host, until, count) = (host.clone(), stop.clone(), accepted.clone());
    let task = tokio::spawn(async move {
        let topic = format!("in.{name}");
        while !until.load(SeqCst) {
            let mut message = message(&topic, "ack");
            message.key = Some((count.load(SeqCst) % 5_000).to_string());
            host.publish(message, Room::Within(LONG)).await.expect("it is accepted");
            count.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    });
    Load { stop, accepted, task }
}

fn library(home: &Home, name: &'static str, version: &'static str, manner: &'static str) -> String {
    let plugin = Plugin::new(name, version).with("mirror_safe", json!(true)).bad(manner);
    let file = format!("lib{name}-{version}-{manner}.so");
    let place = home.install(&plugin.build(), &file);
    place.to_string_lossy().into_owned()
}

/// One plugin's transitions, one after the other. Returns how many took place, and how many were
/// begun.
async fn change(
    host: HostHandle,
    name: &'static str,
    files: Vec<(bool, String)>,
    seed: u64,
) -> u64 {
    let mut dice = Dice(seed);
    let mut completed = 0;
    for round in 0..times(EACH) {
        let strategy = ["immediate", "graceful", "gradual", "blue-green"][dice.below(4) as usize];
        // Every other one is good.
        let which = dice.below(2) * dice.below(files.len() as u64 - 1) + dice.below(2);
        let (good, file) = &files[which as usize];
        let tried = matches!(strategy, "gradual" | "blue-green");
        let request = TransitionRequest {
            to: file.clone(),
            strategy: Some(strategy.to_owned()),
            steps: Some(vec![20, 100]),
            min_samples: Some(10),
            min_time_ms: Some(5),
            // Nothing bad goes into a bake here: it would be allowed to do badly.
            bake_ms: Some(if tried { dice.below(20) } else { 0 }),
            deadline_ms: Some(5_000),
            force: true,
            ..TransitionRequest::default()
        };
        // A bad one that takes over unmeasured kills messages, as it is entitled to.
        if !tried && !good {
            continue;
        }
        match host.transition_start(name, request, "test").await {
            Ok(_) => {}
            // It serves already.
            Err(patchbay_host::HostError::Refused { .. }) => continue,
            Err(error) => panic!("{name}, round {round}: {error}"),
        }
        let asked = [None, None, Some(Asked::Abort), Some(Asked::Rollback), Some(Asked::Pause)];
        if let Some(asked) = asked[dice.below(5) as usize].clone() {
            tokio::time::sleep(Duration::from_millis(dice.below(15))).await;
            let pauses = asked == Asked::Pause;
            // Too late, or not at this point, is an answer as well.
            let _ = host.transition_ask(name, asked, "test").await;
            if pauses {
                let _ = host.transition_ask(name, Asked::Resume, "test").await;
            }
        }
        let end = tokio::time::Instant::now() + LONG;
        let report = loop {
            let report = host.transition(name).expect("known").expect("one was begun");
            if report.ended_unix_ns.is_some() {
                break report;
            }
            assert!(tokio::time::Instant::now() < end, "{name}: it does not end: {report:#?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let outcome = report.outcome.as_ref().expect("it is over");
        let took_over = outcome.kind == OutcomeKind::Completed;
        assert!(*good || !took_over, "{name}: a bad version took over: {report:#?}");
        let wanted = if took_over { &report.spec.to } else { &report.spec.from };
        let settled = host.wait_for(name, LONG, |view| {
            view.is_some_and(|view| view.digest == Some(wanted.library.to_string()))
        });
        settled.await.expect("what the report says is what serves");
        completed += u64::from(took_over);
    }
    completed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_transitions_of_several_plugins_under_load_lose_nothing() {
    let mut plan = Plan::new();
    plan.settings.limits.settle = Duration::from_millis(1);
    let mut files = Vec::new();
    for name in NAMES {
        let first = library(&plan.home, name, "1.0.0", "");
        plan.home.link(name, first.as_ref());
        let mut own = vec![(true, first)];
        for manner in MANNERS {
            own.push((manner.is_empty(), library(&plan.home, name, "2.0.0", manner)));
        }
        files.push(own);
    }
    let rig = plan.start().await;
    let loads = NAMES.map(|name| load(&rig.host, name));
    let seed = std::env::var("PATCHBAY_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(4);
    let tasks: Vec<_> = NAMES
        .into_iter()
        .zip(files)
        .zip(seed..)
        .map(|((name, files), seed)| tokio::spawn(change(rig.host.clone(), name, files, seed)))
        .collect();
    let mut completed = 0;
    for task in tasks {
        completed += task.await.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
    }
    assert!(completed > 0, "some took place");
    for (name, load) in NAMES.into_iter().zip(loads) {
        load.stop.store(true, SeqCst);
        load.task.await.expect("it ends");
        let accepted = load.accepted.load(SeqCst);
        let ledger = rig.ledger_until(name, |it| it.done == accepted).await;
        assert_balanced(&ledger);
        let found = (ledger.accepted, ledger.dead, ledger.dropped.len());
        assert_eq!(found, (accepted, 0, 0), "seed {seed}: {ledger:#?}");
    }
    let one_each = || (rig.host.generations().len() == NAMES.len()).then_some(());
    eventually("the others are unmapped", LONG, one_each);
    rig.end().await;
}
