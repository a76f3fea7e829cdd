//! A host that was killed on a machine that ran on: everything that was written is there, flushed or
//! not, so what is not whole among it is damage, and only its end can be an unfinished write (P-10).

use patchbay_journal::{Journal, Level, Position, Record, SimStorage, Target, Wrong, verify};

use crate::{
    common::{done, end, publish, subscribe},
    crash_states::open,
    model::payload,
    workload::Rng,
};

/// Messages that are written, and not flushed.
const MESSAGES: u64 = 60;

fn write(journal: &Journal, id: u64) -> Position {
    let targets = [Target { sub: 1, id }];
    let bytes = payload(id);
    let position = journal.append(&Record::Publish(publish(id, &targets, &bytes)));
    let position = position.expect("append");
    journal.wait(position.number, Level::Process).expect("wait");
    position
}

fn segment_of(position: Position) -> String {
    format!("{:08}.seg", position.place.segment)
}

/// A journal in which nothing was flushed since its first record, after a kill.
fn written() -> (SimStorage, Vec<Position>) {
    let storage = SimStorage::new();
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    let positions = (1..=MESSAGES).map(|id| write(&journal, id)).collect();
    (storage.kill(), positions)
}

fn flip(storage: &SimStorage, position: Position, byte: usize, bit: u64) {
    let at = position.place.offset as usize + byte;
    storage.edit(&segment_of(position), |bytes| bytes[at] ^= 1 << bit);
}

#[test]
fn a_damaged_record_that_nobody_flushed_is_damage_while_others_stand_behind_it() {
    let (whole, positions) = written();
    let mut rng = Rng::new(7);
    let (_, before) = positions.split_last().expect("some");
    for (at, position) in before.iter().enumerate() {
        let storage = whole.kill();
        let length = positions[at + 1].place.offset.saturating_sub(position.place.offset).max(25);
        let (byte, bit) = (rng.below(length) as usize, rng.below(8));
        flip(&storage, *position, byte, bit);
        let what = format!("bit {bit} of byte {byte} of message {}", at + 1);
        let judged = verify(&storage).expect("verify").report;
        let (_, recovered) = open(&storage);
        let report = &recovered.report;
        assert_eq!(judged.damage, report.damage, "{what}: verify and open differ");
        let [damage] = &report.damage[..] else { panic!("{what}: {report:?}") };
        let lost = damage.lost.expect("a lost record");
        assert_eq!((damage.what, lost.first), (Wrong::Record, position.number), "{what}");
        assert_eq!(
            (lost.last, lost.seqs),
            (Some(position.number), Some((position.seq, position.seq)))
        );
        assert_eq!((report.torn_bytes, report.torn_records), (0, 0), "{what}");
        let there: u64 = recovered.subs[0].fresh.iter().map(|span| span.count).sum();
        assert_eq!(there, MESSAGES - 1, "{what}: everything else is delivered");
    }
}

#[test]
fn after_another_start_of_the_machine_the_same_is_what_the_device_had_not_got_to() {
    let (storage, positions) = written();
    let position = positions[20];
    flip(&storage, position, 30, 0);
    storage.reboot();
    let (_, recovered) = open(&storage);
    let report = &recovered.report;
    assert!(report.damage.is_empty(), "{report:?}");
    assert_eq!(report.last_record, position.number - 1, "a prefix is left");
    assert!(report.torn_records > 0, "{report:?}");
}

/// A journal whose growing segment was another one before, after a kill, and its last record.
fn used_again() -> (SimStorage, Position) {
    let storage = SimStorage::new();
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    let (mut next, mut last) = (1, None);
    // The files go round: what is freed is used again.
    while last.is_none_or(|last: Position| last.place.segment < 12) {
        let first = next;
        for _ in 0..10 {
            last = Some(write(&journal, next));
            next += 1;
        }
        journal.append(&done(1, &[end(first, next - first)])).expect("append");
        journal.tend();
    }
    let segment = last.map_or(0, |last| last.place.segment);
    // The first few of a segment: the rest of it is as it was.
    let first = std::iter::repeat_with(|| {
        next += 1;
        write(&journal, next - 1)
    });
    let mut first = first.skip_while(|position| position.place.segment == segment);
    let last = first.nth(1).expect("a record");
    drop(first);
    (storage.kill(), last)
}

#[test]
fn the_last_record_is_damage_where_the_end_of_its_write_stands_before_older_bytes() {
    let (whole, last) = used_again();
    for (reboot, cut) in [(false, false), (true, false), (false, true)] {
        let storage = whole.kill();
        let at = last.place.offset as usize;
        let (mut length, mut has_old) = (0, false);
        storage.edit(&segment_of(last), |bytes| {
            length =
                u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("a length")) as usize;
            has_old = bytes[at + length + 25..].iter().any(|&byte| byte != 0);
            if cut {
                // The write was not finished: behind its start is what stood there before.
                bytes[at + 40..at + length + 25].fill(7);
            } else {
                bytes[at + 30] ^= 1;
            }
        });
        assert!(has_old, "the file has an earlier use behind its last record");
        if reboot {
            storage.reboot();
        }
        let (_, recovered) = open(&storage);
        let report = &recovered.report;
        if reboot || cut {
            assert!(report.damage.is_empty() && report.torn_bytes > 0, "{report:?}");
            continue;
        }
        let [damage] = &report.damage[..] else { panic!("{report:?}") };
        let lost = damage.lost.expect("a lost record");
        assert_eq!((damage.what, damage.offset), (Wrong::Record, last.place.offset));
        assert_eq!((lost.first, lost.last), (last.number, Some(last.number)));
        assert_eq!((report.torn_bytes, length > 40), (0, true));
    }
}
