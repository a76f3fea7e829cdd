//! A full disk: refused clearly, settled on, resumed by itself.

use patchbay_journal::{AppendError, Journal, JournalState, Level, Record, SimStorage, Target};

use crate::{
    common::{done, end, publish, subscribe},
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
