//! Long lives: segments are copied forward and freed, and nothing that is needed goes with them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use patchbay_journal::{
    CrashChoice, Dedup, Journal, JournalConfig, Kind, Level, Record, SimStorage, Target, verify,
};

use crate::{
    common::{NOW, done, end, publish, subscribe},
    crash_states::{config, open},
    model::{Model, payload},
    workload::{Rng, Work},
};

#[test]
fn what_is_needed_survives_every_cleaning_and_every_crash_between() {
    let mut freed = 0;
    for seed in 0..24 {
        let mut storage = SimStorage::new();
        let mut rng = Rng::new(seed);
        let mut model = Model::default();
        for life in 0..6 {
            let (journal, recovered) = open(&storage);
            assert!(recovered.report.damage.is_empty(), "{:?}", recovered.report);
            if life > 0 {
                assert_eq!(Model::of(&journal, &recovered), model, "seed {seed}, life {life}");
            }
            let mut work = Work::new(journal, storage.clone(), model);
            for sub in 1..=2 {
                if life == 0 {
                    work.subscribe(sub).expect("subscribe");
                }
            }
            for _ in 0..250 {
                work.step(&mut rng).expect("a step");
            }
            let (last, _) = work.after.last().expect("a record").clone();
            work.wait(last, Level::Disk).expect("wait");
            work.journal.tend();
            model = work.model.clone();
            let crashed = storage.crash(&mut rng);
            drop(work);
            storage = crashed;
        }
        freed += verify(&storage).expect("verify").segments.0 - 1;
    }
    assert!(freed > 100, "only {freed} segments were freed");
}

#[test]
fn one_old_message_does_not_keep_the_segments_behind_it() {
    let storage = SimStorage::new();
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    for id in 1..=2000 {
        let targets = [Target { sub: 1, id }];
        let bytes = payload(id);
        let position = journal.append(&Record::Publish(publish(id, &targets, &bytes)));
        journal.wait(position.expect("append").number, Level::Process).expect("wait");
        if id > 1 {
            journal.append(&done(1, &[end(id, 1)])).expect("append");
        }
        if id % 20 == 0 {
            journal.tend();
        }
    }
    let health = journal.health();
    assert_eq!(health.live, 1);
    assert!(health.segments <= 4, "{health:?}");
    let stored = journal.read_delivery(Target { sub: 1, id: 1 }).expect("read");
    assert_eq!(stored.publish().payload, payload(1));
    let trace = journal.trace(stored.publish().mid).expect("trace");
    assert!(trace.iter().any(|entry| entry.kind == Kind::Moved), "{trace:?}");
    let mut backlog = journal.backlog(1, 0);
    let found = backlog.next(10, 1 << 20, u64::MAX).expect("read");
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
}

/// Nothing survives that was not flushed.
struct Nothing;

impl CrashChoice for Nothing {
    fn choose(&mut self, _below: u64) -> u64 {
        0
    }
}

#[test]
fn a_segment_is_freed_only_when_all_that_frees_it_is_on_the_device() {
    let storage = SimStorage::new();
    storage.limit(4 * 4096);
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    let (mut before, mut last, mut id) = (0, 0, 0);
    // Nobody waits for anything: what is on the device is there because of the segment.
    while verify(&storage.kill()).expect("verify").segments.0 == 1 {
        id += 1;
        let targets = [Target { sub: 1, id }];
        journal.append(&Record::Publish(publish(id, &targets, &payload(id)))).expect("append");
        let settled = journal.append(&done(1, &[end(id, 1)])).expect("append");
        (before, last) = (last, settled.number);
    }
    let (_, recovered) = open(&storage.crash(&mut Nothing));
    let report = &recovered.report;
    assert!(report.damage.is_empty() && report.last_record >= before, "{before}: {report:?}");
    let counters = recovered.subs[0].counters;
    assert!(id > 5 && counters.done + 1 >= counters.accepted && counters.done + 1 >= id);
}

#[test]
fn a_small_disk_frees_its_segments_although_keys_are_remembered() {
    const WINDOW: u64 = 120;
    let storage = SimStorage::new();
    storage.limit(9 * 4096);
    let window = Duration::from_nanos(WINDOW);
    let config = JournalConfig { dedup_window: window, ..config() };
    let open = || Journal::open(Arc::new(storage.clone()), config.clone(), NOW).expect("open");
    let mut mid = 0;
    for life in 0..5 {
        let (journal, recovered) = open();
        if life == 0 {
            journal.append(&subscribe(1)).expect("append");
        }
        let found: BTreeMap<String, u64> =
            recovered.dedup.iter().map(|key| (key.key.clone(), key.seq)).collect();
        for inside in mid.max(WINDOW) - WINDOW + 1..=mid {
            assert_eq!(found.get(&format!("key-{inside}")), Some(&inside), "life {life}");
        }
        assert_eq!(found.len() as u64, mid.min(WINDOW), "none is forgotten late either");
        // Far more than the disk holds: 500 messages are about 20 segments.
        for _ in 0..500 {
            mid += 1;
            let key = format!("key-{mid}");
            let targets = [Target { sub: 1, id: mid }];
            let bytes = payload(mid);
            let dedup = Some(Dedup { principal: "me", key: &key, payload_hash: 1 });
            let message = patchbay_journal::Publish { dedup, ..publish(mid, &targets, &bytes) };
            let appended = journal.append(&Record::Publish(message));
            let position = appended.unwrap_or_else(|error| panic!("message {mid}: {error}"));
            assert_eq!(position.seq, mid);
            let position = journal.append(&done(1, &[end(mid, 1)])).expect("append");
            journal.wait(position.number, Level::Process).expect("wait");
            if mid % 5 == 0 {
                journal.tend();
            }
        }
        journal.close(NOW).expect("close");
    }
    assert!(storage.used_bytes() <= 9 * 4096);
}

#[test]
fn keys_are_remembered_over_restarts_and_cleaning_for_as_long_as_their_window() {
    let storage = SimStorage::new();
    let config =
        JournalConfig { dedup_window: Duration::from_nanos(500), dedup_keys_max: 300, ..config() };
    let reopen = || Journal::open(Arc::new(storage.clone()), config.clone(), NOW).expect("open");
    let mut all = BTreeMap::new();
    let mut mid = 0;
    for life in 0..4 {
        let (journal, recovered) = reopen();
        if life == 0 {
            journal.append(&subscribe(1)).expect("append");
        }
        let found: BTreeMap<String, u64> =
            recovered.dedup.iter().map(|key| (key.key.clone(), key.seq)).collect();
        let inside = all.iter().filter(|(_, (seq, observed))| {
            // Both bounds: the window, and so many of the latest.
            observed + 500 > mid && seq + 300 > mid
        });
        for (key, (seq, _)) in inside {
            assert_eq!(found.get(key), Some(seq), "life {life}: {key}");
        }
        assert!(found.len() <= 300);
        for _ in 0..400 {
            mid += 1;
            let key = format!("key-{mid}");
            let targets = [Target { sub: 1, id: mid }];
            // `observed_ns` of these is their number.
            let dedup = Some(Dedup { principal: "me", key: &key, payload_hash: 1 });
            let message = patchbay_journal::Publish { dedup, ..publish(mid, &targets, b"x") };
            let position = journal.append(&Record::Publish(message)).expect("append");
            all.insert(key.clone(), (position.seq, mid));
            let position = journal.append(&done(1, &[end(mid, 1)])).expect("append");
            journal.wait(position.number, Level::Process).expect("wait");
            if mid % 10 == 0 {
                journal.tend();
            }
        }
        journal.close(NOW).expect("close");
        let kept = verify(&storage).expect("verify").segments;
        assert!(kept.1 - kept.0 < 60, "{kept:?}");
    }
}
