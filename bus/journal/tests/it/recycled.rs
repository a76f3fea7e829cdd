//! What an earlier use of a file left behind does not come back: the salt of its segment is
//! another one now.

use std::sync::Arc;

use patchbay_journal::{Journal, Level, Record, RecoveryReport, SimStorage, Storage, Target};

use crate::{
    common::{NOW, done, end, publish, subscribe},
    crash_states::config,
    model::payload,
    other::Other,
};

fn folder(sim: &SimStorage, salted: bool) -> Arc<dyn Storage> {
    if salted { Arc::new(sim.clone()) } else { Arc::new(Other::without_salt(sim)) }
}

/// Publishes written messages until one is in that segment, and so many more.
fn publish_into(journal: &Journal, next: &mut u64, segment: u64, more: u64) {
    let mut left = more;
    while left > 0 {
        let targets = [Target { sub: 1, id: *next }];
        let bytes = payload(*next);
        let position = journal.append(&Record::Publish(publish(*next, &targets, &bytes)));
        let position = position.expect("append");
        journal.wait(position.number, Level::Process).expect("wait");
        *next += 1;
        left -= u64::from(position.place.segment == segment);
    }
}

/// A power cut loses records of the first segment and keeps those behind it, so that the others are
/// cut as a whole. The last is used again, for less than before, and the journal is closed in good
/// order.
fn used_again(salted: bool) -> (RecoveryReport, u64, u64) {
    let sim = SimStorage::new();
    let (journal, _) = Journal::open(folder(&sim, salted), config(), NOW).expect("open");
    journal.append(&subscribe(1)).expect("append");
    let mut next = 1;
    publish_into(&journal, &mut next, 1, 3);
    journal.wait(journal.health().appended, Level::Disk).expect("wait");
    publish_into(&journal, &mut next, 3, 12);
    drop(journal);
    let sim = sim.kill();
    sim.reboot();
    // What of the first segment was not on the device.
    sim.edit("00000001.seg", |bytes| {
        let length = bytes.len();
        bytes[length - 1000..].fill(0);
    });
    let (journal, recovered) = Journal::open(folder(&sim, salted), config(), NOW).expect("open");
    assert!(recovered.report.damage.is_empty() && recovered.report.torn_records > 0);
    let mut next = recovered.subs[0].next_id;
    publish_into(&journal, &mut next, 3, 2);
    journal.close(NOW).expect("close");
    drop(journal);
    let (_, recovered) = Journal::open(folder(&sim, salted), config(), NOW).expect("open");
    (recovered.report.clone(), recovered.subs[0].next_id, next)
}

#[test]
fn records_of_an_earlier_use_of_a_file_are_none_for_the_salt_is_another() {
    let (report, found, expected) = used_again(true);
    assert_eq!(found, expected);
    assert!(report.orderly && report.torn_records == 0 && report.damage.is_empty(), "{report:?}");
    // And it is the salt that does it: the same without one takes them for records of now.
    let (report, ..) = used_again(false);
    assert!(!report.orderly && !report.damage.is_empty(), "{report:?}");
}

#[test]
fn a_segment_that_was_freed_and_used_again_has_only_what_was_written_since() {
    let sim = SimStorage::new();
    let (journal, _) = Journal::open(folder(&sim, true), config(), NOW).expect("open");
    journal.append(&subscribe(1)).expect("append");
    let mut next = 1;
    // The files go round: what is freed is used again.
    for _ in 0..40 {
        let first = next;
        let segment = journal.health().segments;
        while next < first + 10 || journal.health().segments == segment {
            let targets = [Target { sub: 1, id: next }];
            let bytes = payload(next);
            let publish = Record::Publish(publish(next, &targets, &bytes));
            journal.append(&publish).expect("append");
            next += 1;
        }
        let last = journal.append(&done(1, &[end(first, next - first)])).expect("append");
        journal.wait(last.number, Level::Process).expect("wait");
        journal.tend();
    }
    let targets = [Target { sub: 1, id: next }];
    let bytes = payload(next);
    let last = journal.append(&Record::Publish(publish(next, &targets, &bytes))).expect("append");
    journal.wait(last.number, Level::Disk).expect("wait");
    assert!(last.place.segment > 20, "{last:?}");
    let files = sim.list().expect("list");
    assert!(files.iter().filter(|name| name.ends_with(".seg")).count() < 12, "{files:?}");
    let (_, recovered) =
        Journal::open(folder(&sim.kill(), true), config(), NOW).expect("open again");
    let report = &recovered.report;
    assert!(report.damage.is_empty() && report.torn_bytes == 0, "{report:?}");
    assert_eq!((report.last_record, report.live), (last.number, 1));
}
