//! What was on the device is never taken for an unfinished write, and its loss is never silent.

use std::sync::Arc;

use patchbay_journal::{
    Damage, Journal, Level, Record, Recovered, SimStorage, Storage, Target, Wrong, verify,
};

use crate::{
    common::{publish, subscribe},
    crash_states::open,
    model::payload,
};

/// Messages that are on the device.
const MESSAGES: u64 = 6;

/// A journal with messages on the device, and where the last of them stands.
fn accepted(storage: &SimStorage) -> (Arc<Journal>, patchbay_journal::Position) {
    let (journal, _) = open(storage);
    journal.append(&subscribe(1)).expect("append");
    let mut last = None;
    for id in 1..=MESSAGES {
        last = Some(accept(&journal, id));
    }
    (journal, last.expect("a message"))
}

fn accept(journal: &Journal, id: u64) -> patchbay_journal::Position {
    let targets = [Target { sub: 1, id }];
    let position = journal.append(&Record::Publish(publish(id, &targets, &payload(id))));
    let position = position.expect("append");
    journal.wait(position.number, Level::Disk).expect("wait");
    position
}

fn segment_of(position: patchbay_journal::Position) -> String {
    format!("{:08}.seg", position.place.segment)
}

fn judged(storage: &SimStorage, recovered: &Recovered) -> Vec<Damage> {
    let damage = verify(storage).expect("verify").report.damage;
    assert_eq!(damage, recovered.report.damage, "verify and open differ");
    damage
}

#[test]
fn the_last_message_on_the_device_is_damage_when_it_is_gone_and_no_torn_tail() {
    for zeroed in [false, true] {
        let storage = SimStorage::new();
        let (journal, last) = accepted(&storage);
        journal.tend();
        let storage = storage.kill();
        storage.edit(&segment_of(last), |bytes| {
            let at = last.place.offset as usize;
            if zeroed { bytes[at..].fill(0) } else { bytes[at + 40] ^= 1 }
        });
        let before = verify(&storage).expect("verify").report;
        let (journal, recovered) = open(&storage);
        assert_eq!(before.damage, recovered.report.damage);
        let [damage] = &recovered.report.damage[..] else { panic!("{:?}", recovered.report) };
        assert_eq!((damage.what, damage.file.clone()), (Wrong::Record, segment_of(last)));
        assert_eq!(damage.offset, last.place.offset);
        let lost = damage.lost.expect("a lost record");
        assert_eq!((lost.first, lost.last), (last.number, Some(last.number)));
        assert_eq!((recovered.report.torn_bytes, recovered.report.orderly), (0, false));
        assert_eq!(recovered.subs[0].counters.accepted, MESSAGES - 1);
        // Its number is not given away, and what comes after it does not hide it.
        let more = accept(&journal, MESSAGES);
        assert!(more.number > last.number);
        drop(journal);
        let (_, again) = open(&storage);
        let found = judged(&storage, &again);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].lost, Some(lost));
        assert_eq!(again.subs[0].fresh.iter().map(|span| span.count).sum::<u64>(), MESSAGES);
    }
}

/// A journal whose last record no mark vouches for.
fn unmarked() -> (SimStorage, patchbay_journal::Position) {
    let storage = SimStorage::new();
    let (journal, _) = accepted(&storage);
    journal.tend();
    let targets = [Target { sub: 1, id: MESSAGES + 1 }];
    let position = journal.append(&Record::Publish(publish(9, &targets, &payload(9))));
    let position = position.expect("append");
    journal.wait(position.number, Level::Process).expect("wait");
    (storage.kill(), position)
}

#[test]
fn what_the_mark_does_not_vouch_for_is_cut_as_an_unfinished_write() {
    let (storage, position) = unmarked();
    let at = position.place.offset as usize;
    storage.edit(&segment_of(position), |bytes| bytes[at + 40..].fill(0));
    let (_, recovered) = open(&storage);
    assert!(recovered.report.damage.is_empty(), "{:?}", recovered.report.damage);
    assert!(recovered.report.torn_bytes > 0);
    assert_eq!(recovered.subs[0].counters.accepted, MESSAGES);
}

#[test]
fn a_record_that_is_there_to_its_last_byte_is_no_unfinished_write() {
    for byte in [0, 9, 24, 40] {
        let (storage, position) = unmarked();
        let at = position.place.offset as usize;
        storage.edit(&segment_of(position), |bytes| bytes[at + byte] ^= 0x41);
        let (_, recovered) = open(&storage);
        let [damage] = &judged(&storage, &recovered)[..] else { panic!("{:?}", recovered.report) };
        assert_eq!((damage.what, damage.offset), (Wrong::Record, position.place.offset));
        let lost = damage.lost.expect("a lost record");
        assert_eq!((lost.first, lost.last), (position.number, Some(position.number)), "{byte}");
        assert_eq!(recovered.report.torn_bytes, 0);
        assert_eq!(recovered.subs[0].counters.accepted, MESSAGES);
    }
}

#[test]
fn a_folder_in_which_only_the_mark_is_left_is_damage_and_no_new_journal() {
    let storage = SimStorage::new();
    let (journal, last) = accepted(&storage);
    let id = journal.id();
    journal.tend();
    let storage = storage.kill();
    for name in storage.list().expect("list").iter().filter(|name| *name != "synced") {
        storage.remove(name).expect("remove");
    }
    let (journal, recovered) = open(&storage);
    let [damage] = &recovered.report.damage[..] else { panic!("{:?}", recovered.report) };
    assert_eq!(damage.what, Wrong::Manifest);
    let lost = damage.lost.expect("lost records");
    assert_eq!((lost.first, lost.last), (1, Some(last.number)));
    assert_eq!(journal.id(), id);
}

#[test]
fn a_mark_that_is_torn_or_of_another_journal_vouches_for_nothing() {
    let storage = SimStorage::new();
    let (journal, last) = accepted(&storage);
    journal.tend();
    accept(&journal, MESSAGES + 1);
    journal.tend();
    let (torn, whole, other) = (storage.kill(), storage.kill(), SimStorage::new());
    // The second slot is the newer one.
    torn.edit("synced", |bytes| bytes[512 + 5] ^= 1);
    let mut mark = Vec::new();
    whole.edit("synced", |bytes| mark.clone_from(bytes));
    // So that it draws another id.
    other.random();
    let (journal, _) = accepted(&other);
    accept(&journal, MESSAGES + 1);
    assert_ne!(journal.id(), verify(&storage).expect("verify").id);
    drop(journal);
    other.create("synced").expect("create").write_at(0, &mark).expect("write");
    for (storage, is_damage) in [(&torn, false), (&other, false), (&whole, true)] {
        storage.edit(&segment_of(last), |bytes| {
            let end = bytes.iter().rposition(|&byte| byte != 0).expect("a record");
            bytes[end - 9..=end].fill(0);
        });
        let report = open(storage).1.report;
        assert_eq!(!report.damage.is_empty(), is_damage, "{report:?}");
        assert_eq!(report.torn_bytes > 0, !is_damage, "{report:?}");
    }
}
