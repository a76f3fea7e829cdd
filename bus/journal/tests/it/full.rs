//! A full disk: refused clearly, settled on, resumed by itself.

use std::sync::Arc;

use patchbay_journal::{
    AppendError, Dedup, Journal, JournalConfig, JournalState, Level, Publish, Record, Retry,
    SimStorage, Standing, Target,
};

use crate::{
    common::{NOW, done, end, publish, subscribe},
    crash_states::open,
    model::payload,
};

const SEGMENT: u64 = 4096;

fn fill(journal: &Journal, next: &mut u64) -> u64 {
    let first = *next;
    loop {
        let targets = [Target { sub: 1, id: *next }];
        let bytes = payload(*next);
        match journal.append(&Record::Publish(publish(*next, &targets, &bytes))) {
            Ok(position) => {
                assert_eq!(position.seq, *next, "a refused message has taken a number");
                journal.wait(position.number, Level::Disk).expect("wait");
                *next += 1;
            }
            Err(AppendError::StorageFull { free, reserve }) => {
                assert!(reserve > 0 && free < reserve + 1024, "{free} of {reserve}");
                return *next - first;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_disk_refuses_publishes_takes_settlements_and_goes_on_when_there_is_room() {
    let storage = SimStorage::new();
    storage.limit(6 * SEGMENT);
    let (mut journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    let (mut next, mut settled) = (1, 1);
    for round in 0..20 {
        let accepted = fill(&journal, &mut next);
        assert!(accepted > 10, "round {round}: {accepted} accepted");
        assert!(matches!(journal.health().state, JournalState::Full), "round {round}");
        assert!(journal.wanting(200).wait().is_err());
        // What was accepted is settled, one by one, in what is kept back.
        while settled < next {
            let appended = journal.append(&done(1, &[end(settled, 1)]));
            let position = appended.unwrap_or_else(|error| panic!("settle {settled}: {error}"));
            journal.wait(position.number, Level::Process).expect("wait");
            settled += 1;
            if settled % 8 == 0 {
                journal.tend();
            }
            if round % 4 == 3 && next - settled < 3 {
                break;
            }
        }
        journal.tend();
        let room = journal.wanting(200).wait();
        room.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(matches!(journal.health().state, JournalState::Ready), "round {round}");
        if round % 5 == 4 {
            drop(journal);
            let (again, recovered) = open(&storage.kill());
            assert!(recovered.report.damage.is_empty(), "{:?}", recovered.report);
            let sub = &recovered.subs[0];
            assert_eq!((sub.counters.accepted, sub.counters.done), (next - 1, settled - 1));
            drop(again);
            journal = open(&storage).0;
        }
    }
    assert!(storage.used_bytes() <= 6 * SEGMENT);
}

#[test]
fn a_volume_that_grows_is_used_without_a_restart() {
    let storage = SimStorage::new();
    storage.limit(3 * SEGMENT);
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    let mut next = 1;
    let before = fill(&journal, &mut next);
    storage.limit(12 * SEGMENT);
    journal.tend();
    let after = fill(&journal, &mut next);
    assert!(after > 2 * before, "{before} before, {after} after");
}

#[test]
fn what_is_owed_when_a_journal_is_closed_is_remembered_if_a_segment_can_be_made() {
    let storage = SimStorage::new();
    let (journal, n) = brim(&storage);
    let target = Target { sub: 1, id: n };
    let retry = Record::Retry(Retry { target, at_unix_ns: 1, standing: Standing::default() });
    while journal.health().owed == 0 {
        journal.record(&retry).expect("it is taken");
    }
    journal.record(&done(1, &[end(1, n)])).expect("it is taken");
    // Nobody has looked for room since there is some.
    storage.limit(20 * LARGE);
    journal.close(NOW).expect("it closes");
    let (_, recovered) = open(&storage);
    assert_eq!(recovered.subs[0].counters.done, n);
}

#[test]
fn a_journal_is_full_for_as_long_as_what_it_refused_would_not_fit() {
    let storage = SimStorage::new();
    storage.limit(6 * SEGMENT);
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    let mut next = 1;
    while journal.wanting(SEGMENT / 2).wait().is_ok() {
        let (targets, bytes) = ([Target { sub: 1, id: next }], payload(next));
        journal.append(&Record::Publish(publish(next, &targets, &bytes))).expect("append");
        next += 1;
    }
    assert!(journal.wanting(16).wait().is_ok(), "small ones fit");
    assert!(matches!(journal.health().state, JournalState::Full));
    storage.limit(12 * SEGMENT);
    journal.tend();
    assert!(matches!(journal.health().state, JournalState::Ready));
}

#[test]
fn a_record_that_no_segment_takes_is_refused_and_leaves_nothing() {
    let (journal, _) = open(&SimStorage::new());
    journal.append(&subscribe(1)).expect("append");
    let targets = [Target { sub: 1, id: 1 }];
    let large = vec![7; SEGMENT as usize];
    let refused = journal.append(&Record::Publish(publish(1, &targets, &large)));
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    let large = vec![7; SEGMENT as usize / 2];
    assert!(journal.put("key", &large).is_err());
    let position = journal.append(&Record::Publish(publish(2, &targets, b"small")));
    let position = position.expect("append");
    assert_eq!(position.seq, 1);
    assert_eq!(journal.read(position.place).err().map(|_| ()), Some(()), "not written yet");
    journal.wait(position.number, Level::Process).expect("wait");
    assert_eq!(journal.read(position.place).expect("read").publish().payload, b"small");
}

/// Bytes of a segment of the journals below.
const LARGE: u64 = 32 << 10;

/// A journal on a disk for so many segments, which are as large as its reserve, and a little more.
fn on_disk_for(segments: u64, storage: &SimStorage) -> Arc<Journal> {
    storage.limit(segments * LARGE + 4096);
    let config = JournalConfig {
        segment_bytes: LARGE,
        reserve_bytes: LARGE,
        low_water_bytes: 0,
        threads: false,
        ..JournalConfig::default()
    };
    let (journal, _) = Journal::open(Arc::new(storage.clone()), config, NOW).expect("open");
    journal.append(&subscribe(1)).expect("append");
    journal
}

/// A journal on a disk for five segments, full of messages of which every tenth has a key, with less
/// than half of its reserve left. Returns how many there are.
fn brim(storage: &SimStorage) -> (Arc<Journal>, u64) {
    let journal = on_disk_for(5, storage);
    let mut n = 0;
    loop {
        let (targets, payload) = ([Target { sub: 1, id: n + 1 }], [7; 300]);
        let key = format!("key {n}");
        let dedup = (n % 10 == 0).then_some(Dedup { principal: "p", key: &key, payload_hash: n });
        let publish = Publish { dedup, ..publish(n + 1, &targets, &payload) };
        match journal.append(&Record::Publish(publish)) {
            Ok(_) => n += 1,
            Err(AppendError::StorageFull { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // Retries take from the reserve.
    let target = Target { sub: 1, id: n };
    let retry = Retry { target, at_unix_ns: 1, standing: Standing::default() };
    while journal.health().room > journal.health().reserve * 2 / 5 {
        journal.append(&Record::Retry(retry)).expect("append");
    }
    journal.tend();
    assert!(journal.wanting(300).wait().is_err());
    (journal, n)
}

#[test]
fn keys_that_are_all_a_segment_is_kept_for_do_not_keep_a_full_disk_full() {
    let storage = SimStorage::new();
    let (journal, n) = brim(&storage);
    journal.append(&done(1, &[end(1, n)])).expect("append");
    journal.tend();
    journal.wanting(300).wait().expect("room");
    drop(journal);
    let (_, recovered) = open(&storage.kill());
    assert_eq!(recovered.dedup.len() as u64, n.div_ceil(10), "and are not forgotten");
}

#[test]
fn a_few_that_are_left_do_not_keep_a_full_disk_full() {
    let storage = SimStorage::new();
    let (journal, n) = brim(&storage);
    let ends: Vec<_> = (1..=n).filter(|id| id % 20 != 0).map(|id| end(id, 1)).collect();
    journal.append(&done(1, &ends)).expect("append");
    journal.tend();
    journal.wanting(300).wait().expect("room");
    drop(journal);
    let (_, recovered) = open(&storage.kill());
    let left: u64 = recovered.subs[0].fresh.iter().map(|span| span.count).sum();
    assert_eq!(left + recovered.subs[0].tried.len() as u64, n / 20);
}

#[test]
fn keys_that_are_most_of_what_is_written_leave_their_segments_as_long_as_that_gains_room() {
    let storage = SimStorage::new();
    let journal = on_disk_for(6, &storage);
    let mut n = 0;
    loop {
        let (targets, key) = ([Target { sub: 1, id: n + 1 }], format!("key {n}"));
        let dedup = Some(Dedup { principal: "p", key: &key, payload_hash: n });
        let publish = Publish { dedup, ..publish(n + 1, &targets, b"small") };
        match journal.append(&Record::Publish(publish)) {
            Ok(_) => n += 1,
            Err(AppendError::StorageFull { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        // It is settled at once: nothing but its key is needed any more.
        journal.append(&done(1, &[end(n, 1)])).expect("append");
        journal.tend();
    }
    // Copied only where it gives half a segment back, they are 1,347.
    assert!(n > 1_900, "{n}");
    drop(journal);
    let (_, recovered) = open(&storage.kill());
    assert_eq!(recovered.dedup.len() as u64, n, "and none is forgotten");
}

#[test]
fn what_does_not_fit_is_read_once_and_again_when_less_is_needed() {
    let sim = SimStorage::new();
    let (journal, n) = brim(&sim);
    let ends: Vec<_> = (1..=n).filter(|id| id % 5 < 3).map(|id| end(id, 1)).collect();
    journal.append(&done(1, &ends)).expect("append");
    journal.tend();
    let before = sim.reads();
    (0..50).for_each(|_| journal.tend());
    assert_eq!(sim.reads(), before, "nothing has changed");
    journal.append(&done(1, &[end(3, 1)])).expect("append");
    journal.tend();
    assert!(sim.reads() > before);
}

#[test]
fn what_would_not_fit_is_not_copied_into_the_reserve() {
    let storage = SimStorage::new();
    let (journal, n) = brim(&storage);
    let ends: Vec<_> = (1..=n).filter(|id| id % 5 < 3).map(|id| end(id, 1)).collect();
    journal.append(&done(1, &ends)).expect("append");
    let before = journal.health().room;
    (0..5).for_each(|_| journal.tend());
    assert_eq!(journal.health().room, before);
    assert!(journal.wanting(300).wait().is_err());
    journal.append(&done(1, &[end(1, n)])).expect("append");
    journal.tend();
    journal.wanting(300).wait().expect("room");
}
