//! Room is made ahead; an append never waits for it, and whoever may wait is woken when it is there.

use std::{sync::Arc, thread, time::Duration};

use patchbay_journal::{
    AppendError, Journal, JournalConfig, JournalState, Level, Position, Record, SimStorage, Target,
};
use patchbay_testkit::eventually;

use crate::{
    common::{NOW, publish, subscribe},
    crash_states::config,
    model::payload,
    other::{Gate, Other},
};

/// Longer than any test may take: whoever waits for it is found.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A journal with threads of its own that has its first segment and no other.
fn opened(sim: &SimStorage, gate: &Arc<Gate>, patience: Duration) -> Arc<Journal> {
    let config = JournalConfig { threads: true, patience, ..config() };
    gate.let_pass(1);
    let (journal, _) = Journal::open(Arc::new(Other::gated(sim, gate)), config, NOW).expect("open");
    assert!(journal.health().room > 0, "the first segment is there when the journal is open");
    journal
}

fn append(journal: &Journal, id: u64) -> Result<Position, AppendError> {
    let targets = [Target { sub: 1, id }];
    journal.append(&Record::Publish(publish(id, &targets, &payload(id))))
}

/// Publishes until there is no room. Returns how many found some.
fn fill(journal: &Journal) -> u64 {
    journal.append(&subscribe(1)).expect("append");
    for id in 1.. {
        match append(journal, id) {
            Ok(_) => {}
            Err(AppendError::StorageFull { .. }) => return id - 1,
            Err(error) => panic!("{error}"),
        }
    }
    0
}

#[test]
fn an_append_is_refused_at_once_while_a_segment_is_made_and_whoever_waits_gets_it() {
    let (sim, gate) = (SimStorage::new(), Arc::new(Gate::default()));
    let journal = opened(&sim, &gate, FOR_EVER);
    let next = 1 + fill(&journal);
    // Somebody is at it, so the disk is not full.
    assert!(matches!(journal.health().state, JournalState::Ready));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut room = journal.wanting(200);
            room.wait().expect("room");
            append(&journal, next).expect("append")
        });
        let control = scope.spawn(|| journal.put("key", &[7; 1200]));
        gate.let_pass(1000);
        let position = waiting.join().expect("join");
        journal.wait(position.number, Level::Disk).expect("wait");
        control.join().expect("join").expect("put");
    });
    assert_eq!(journal.get("key").map(|value| value.len()), Some(1200));
}

#[test]
fn nobody_waits_for_room_on_a_disk_that_is_full() {
    let (sim, gate) = (SimStorage::new(), Arc::new(Gate::default()));
    sim.limit(4 * 4096);
    let journal = opened(&sim, &gate, FOR_EVER);
    gate.let_pass(1000);
    journal.append(&subscribe(1)).expect("append");
    let mut refused = None;
    for id in 1..1000 {
        let mut room = journal.wanting(200);
        match room.wait() {
            Ok(()) => drop(append(&journal, id).expect("append")),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(AppendError::StorageFull { .. })), "{refused:?}");
}

#[test]
fn patience_ends_although_a_segment_is_still_being_made() {
    let (sim, gate) = (SimStorage::new(), Arc::new(Gate::default()));
    let journal = opened(&sim, &gate, Duration::from_millis(1));
    fill(&journal);
    let refused = journal.wanting(200).wait();
    gate.let_pass(1000);
    assert!(matches!(refused, Err(AppendError::StorageFull { .. })), "{refused:?}");
}

#[test]
fn more_is_kept_ready_when_segments_fill_as_fast_as_they_are_made() {
    let (sim, gate) = (SimStorage::new(), Arc::new(Gate::default()));
    let journal = opened(&sim, &gate, FOR_EVER);
    fill(&journal);
    gate.let_pass(1000);
    journal.wanting(200).wait().expect("room");
    let what = std::fmt::from_fn(|f| write!(f, "two segments ready: {:?}", journal.health()));
    eventually(what, FOR_EVER / 60, || (journal.health().ready >= 2).then_some(()));
}
