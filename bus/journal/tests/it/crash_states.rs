//! Power cuts and kills at every change of the folder, recovered and compared with a model.

use std::{sync::Arc, time::Duration};

use patchbay_journal::{Journal, JournalConfig, Level, Op, Recovered, SimStorage};

use crate::{
    common::{NOW, asked},
    model::Model,
    workload::{Rng, Work},
};

/// States in all.
const STATES: u64 = 200_000;
/// Short workloads, each on its own seed.
const WORKLOADS: u64 = 40;
const STEPS: u64 = 60;

pub(crate) fn config() -> JournalConfig {
    JournalConfig {
        segment_bytes: 4096,
        reserve_bytes: 1024,
        low_water_bytes: 0,
        dedup_window: Duration::from_secs(1 << 30),
        threads: false,
        patience: Duration::ZERO,
        ..JournalConfig::default()
    }
}

pub(crate) fn open(storage: &SimStorage) -> (Arc<Journal>, Recovered) {
    Journal::open(Arc::new(storage.clone()), config(), NOW).expect("open")
}

/// What happened up to some change: what had been promised by then.
#[derive(Clone, Copy, Default)]
struct Promised {
    process: u64,
    disk: u64,
}

/// One workload, recorded.
fn record(seed: u64) -> (Work, Vec<Op>) {
    let storage = SimStorage::new();
    storage.record();
    let (journal, _) = open(&storage);
    let mut work = Work::new(journal, storage.clone(), Model::default());
    let mut rng = Rng::new(seed);
    for sub in 1..=1 + rng.below(3) as u32 {
        work.subscribe(sub).expect("subscribe");
    }
    let close = rng.below(4) == 0;
    for _ in 0..STEPS {
        work.step(&mut rng).expect("a step");
    }
    if close {
        work.journal.close(NOW).expect("close");
    }
    let history = storage.history();
    (work, history)
}

fn check(work: &Work, storage: &SimStorage, least: u64, what: &str) -> (Arc<Journal>, Model) {
    let (journal, recovered) = open(storage);
    let report = &recovered.report;
    assert!(report.damage.is_empty(), "{what}: {:?}", report.damage);
    let last = report.last_record;
    assert!(last >= least, "{what}: {last} records survived, {least} were promised");
    let found = Model::of(&journal, &recovered);
    match work.model_at(last) {
        Some(expected) => assert_eq!(&found, expected, "{what}, record {last}"),
        None => assert!(found.subs.is_empty(), "{what}: {found:?}"),
    }
    (journal, found)
}

#[test]
fn every_state_that_a_crash_can_leave_is_a_prefix_with_everything_promised_in_it() {
    let (first, least) = asked(0, STATES);
    let per_workload = least / WORKLOADS + 1;
    let half = |seeds: std::ops::Range<u64>| {
        let mut states = 0;
        for seed in seeds {
            states += crash_everywhere(seed, per_workload);
        }
        states
    };
    let middle = first + WORKLOADS / 2;
    let states = std::thread::scope(|scope| {
        let one = scope.spawn(move || half(first..middle));
        let other = scope.spawn(move || half(middle..first + WORKLOADS));
        one.join().expect("states") + other.join().expect("states")
    });
    assert!(states >= least, "{states} states");
    println!("chaos states: seeds from {first}, {states} states of a crash");
}

fn crash_everywhere(seed: u64, most: u64) -> u64 {
    let (work, history) = record(seed);
    let mut rng = Rng::new(seed ^ 0xC4A5);
    let each = most / history.len() as u64 + 1;
    let replayed = SimStorage::new();
    let mut promised = Promised::default();
    let mut states = 0;
    for (at, op) in history.iter().enumerate() {
        match op {
            Op::Mark(mark) if mark & 1 == 1 => promised.disk = promised.disk.max(mark >> 1),
            Op::Mark(mark) => promised.process = promised.process.max(mark >> 1),
            op => replayed.replay(op),
        }
        let kill = format!("seed {seed}, killed after change {at}");
        check(&work, &replayed.kill(), promised.process.max(promised.disk), &kill);
        states += 1;
        for cut in 1..each {
            let what = format!("seed {seed}, power cut {cut} after change {at}");
            let crashed = replayed.crash(&mut rng);
            let (journal, found) = check(&work, &crashed, promised.disk, &what);
            states += 1;
            if rng.below(8) == 0 {
                go_on(journal, &crashed, found, &mut rng, &what);
            }
        }
    }
    states
}

/// Works on in what was recovered, crashes again, and nothing of before comes back.
fn go_on(journal: Arc<Journal>, storage: &SimStorage, found: Model, rng: &mut Rng, what: &str) {
    let mut work = Work::new(journal, storage.clone(), found.clone());
    work.after.push((0, found));
    if work.model.subs.is_empty() {
        work.subscribe(1).expect("subscribe");
    }
    for _ in 0..6 {
        work.step(rng).expect("a step");
    }
    let last = work.after.last().map_or(0, |after| after.0);
    if last > 0 {
        work.wait(last, Level::Disk).expect("wait");
    }
    let crashed = storage.crash(rng);
    check(&work, &crashed, last, &format!("{what}, and again"));
}
