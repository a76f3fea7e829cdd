//! Damage of every kind: found, listed exactly, never silent, never a panic.

use std::{collections::BTreeSet, sync::Arc};

use patchbay_journal::{
    Damage, DiskStorage, Journal, JournalConfig, Level, OnCorruption, OpenError, Record,
    SimStorage, Storage, Target, Wrong, verify,
};

use crate::{
    common::{NOW, asked, publish, subscribe},
    crash_states::{config, open},
    model::payload,
    workload::Rng,
};

/// Messages in the journal that is damaged.
const MESSAGES: u64 = 200;
/// Records: also a subscription, a start, a stop, and a checkpoint for every segment.
const FLIPS: u64 = 20_000;

/// A journal of 200 messages that was closed in good order.
fn whole() -> SimStorage {
    let storage = SimStorage::new();
    let (journal, _) = open(&storage);
    journal.append(&subscribe(1)).expect("append");
    for mid in 1..=MESSAGES {
        let targets = [Target { sub: 1, id: mid }];
        let bytes = payload(mid);
        let position = journal.append(&Record::Publish(publish(mid, &targets, &bytes)));
        if mid % 16 == 0 {
            journal.wait(position.expect("append").number, Level::Disk).expect("wait");
        }
    }
    journal.close(NOW).expect("close");
    storage
}

/// What is readable, and what is reported.
struct Seen {
    ids: BTreeSet<u64>,
    damage: Vec<Damage>,
    torn: bool,
    orderly: bool,
    lost: u64,
    last_record: u64,
}

fn look(storage: &SimStorage, what: &str) -> Seen {
    let judged = verify(storage).unwrap_or_else(|error| panic!("{what}: {error}"));
    let seen = glance(storage, what, true);
    assert_eq!(judged.report.damage, seen.damage, "{what}: verify and open differ");
    seen
}

/// Without reading the messages, only which there are.
fn glance(storage: &SimStorage, what: &str, read: bool) -> Seen {
    let (journal, recovered) = open(storage);
    let report = recovered.report;
    let mut ids = BTreeSet::new();
    if read {
        read_all(&journal, &mut ids, what);
    } else {
        let spans = recovered.subs.iter().flat_map(|sub| sub.fresh.iter());
        ids.extend(spans.flat_map(|span| span.first..span.first + span.count));
    }
    let sub = recovered.subs.first();
    if let Some(sub) = sub {
        let known = sub.counters.settled() + ids.len() as u64;
        assert_eq!(sub.counters.accepted, known, "{what}: the ledger does not add up");
    }
    Seen {
        ids,
        torn: report.torn_bytes > 0,
        orderly: report.orderly,
        lost: sub.map_or(0, |sub| sub.lost),
        last_record: report.last_record,
        damage: report.damage,
    }
}

fn read_all(journal: &Journal, ids: &mut BTreeSet<u64>, what: &str) {
    let mut backlog = journal.backlog(1, 0);
    loop {
        let some = backlog.next(100, 1 << 20, u64::MAX).expect("read");
        if some.is_empty() {
            return;
        }
        for (id, stored) in some {
            assert_eq!(stored.publish().payload, payload(id), "{what}: message {id}");
            assert!(ids.insert(id), "{what}: {id} twice");
        }
    }
}

/// Messages that the reported ranges of lost messages name, and whether one is open.
fn named(seen: &Seen) -> (BTreeSet<u64>, bool) {
    let mut named = BTreeSet::new();
    let mut open = false;
    for lost in seen.damage.iter().filter_map(|damage| damage.lost) {
        open |= lost.last.is_none();
        if let Some((first, last)) = lost.seqs {
            named.extend(first..=last);
        }
    }
    (named, open)
}

/// Everything that is missing is named, and nothing else is.
fn check(storage: &SimStorage, what: &str) -> Seen {
    judge(look(storage, what), what)
}

fn judge(seen: Seen, what: &str) -> Seen {
    let (named, open) = named(&seen);
    let missing: BTreeSet<u64> = (1..=MESSAGES).filter(|id| !seen.ids.contains(id)).collect();
    assert!(named.is_subset(&missing), "{what}: {named:?} are there");
    let unnamed: Vec<u64> = missing.difference(&named).copied().collect();
    if let Some(first) = unnamed.first() {
        // Only the end of the journal can be missing without its length being known.
        assert!(open || seen.torn || !seen.orderly, "{what}: {unnamed:?} are lost silently");
        assert_eq!(unnamed.len() as u64, MESSAGES - first + 1, "{what}: {unnamed:?}");
    }
    if !missing.is_empty() {
        assert!(!seen.orderly, "{what}: {missing:?} are lost in good order");
    }
    seen
}

fn segments(storage: &SimStorage) -> Vec<String> {
    let mut names = storage.list().expect("list");
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

fn copy(storage: &SimStorage) -> SimStorage {
    storage.kill()
}

fn bytes_of(storage: &SimStorage, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    storage.edit(name, |found| bytes.clone_from(found));
    bytes
}

#[test]
fn a_whole_journal_is_whole() {
    let seen = check(&whole(), "untouched");
    assert_eq!((seen.ids.len() as u64, seen.lost), (MESSAGES, 0));
    assert!(seen.damage.is_empty() && seen.orderly && !seen.torn && seen.last_record > MESSAGES);
}

#[test]
fn a_journal_cut_at_any_byte_of_any_file_says_so() {
    let whole = whole();
    for name in segments(&whole) {
        let length = bytes_of(&whole, &name).len();
        for at in 0..length {
            let cut = copy(&whole);
            cut.edit(&name, |bytes| bytes.truncate(at));
            let what = format!("{name} cut at {at}");
            let seen = match at % 16 {
                0 => check(&cut, &what),
                _ => judge(glance(&cut, &what, false), &what),
            };
            let found = seen.damage.iter().any(|damage| {
                damage.file == name && matches!(damage.what, Wrong::Shortened | Wrong::Head)
            });
            assert!(found, "{name} cut at {at}: {:?}", seen.damage);
        }
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_matters() {
    let whole = whole();
    let mut names = segments(&whole);
    names.push("manifest".to_owned());
    let (seed, flips) = asked(1, FLIPS);
    let mut rng = Rng::new(seed);
    let (mut found, mut harmless) = (0_u64, 0_u64);
    while found < flips {
        let name = &names[rng.below(names.len() as u64) as usize];
        let flipped = copy(&whole);
        let length = bytes_of(&flipped, name).len() as u64;
        let (at, bit) = (rng.below(length) as usize, rng.below(8));
        flipped.edit(name, |bytes| bytes[at] ^= 1 << bit);
        let what = format!("bit {bit} of byte {at} of {name}");
        let seen = match found % 16 {
            0 => check(&flipped, &what),
            _ => judge(glance(&flipped, &what, false), &what),
        };
        if seen.damage.is_empty() && !seen.torn && seen.orderly {
            // Behind the last record of a segment: nothing is there.
            assert_eq!(seen.ids.len() as u64, MESSAGES, "{what}");
            let before = bytes_of(&whole, name);
            assert!(before[at..].iter().all(|&byte| byte == 0), "{what}: not seen");
            harmless += 1;
        } else {
            found += 1;
        }
    }
    assert!(harmless < flips, "{harmless} flips hit nothing");
    println!("chaos flips: seed {seed}, {found} flips found, {harmless} hit nothing");
}

#[test]
fn segments_deleted_duplicated_and_exchanged_are_named() {
    let whole = whole();
    let names = segments(&whole);
    for (at, name) in names.iter().enumerate() {
        let deleted = copy(&whole);
        deleted.remove(name).expect("remove");
        let seen = check(&deleted, &format!("{name} deleted"));
        assert!(seen.damage.iter().any(|damage| {
            damage.what == Wrong::Missing && damage.file == *name && damage.lost.is_some()
        }));
        for other in &names[at + 1..] {
            let (first, second) = (bytes_of(&whole, name), bytes_of(&whole, other));
            let duplicated = copy(&whole);
            duplicated.edit(other, |bytes| bytes.clone_from(&first));
            let seen = check(&duplicated, &format!("{name} over {other}"));
            assert!(
                seen.damage
                    .iter()
                    .any(|damage| { damage.what == Wrong::Misplaced && damage.file == *other })
            );
            let exchanged = copy(&whole);
            exchanged.edit(other, |bytes| bytes.clone_from(&first));
            exchanged.edit(name, |bytes| bytes.clone_from(&second));
            let seen = check(&exchanged, &format!("{name} and {other} exchanged"));
            // Each says which one it is: nothing is lost.
            assert_eq!(seen.ids.len() as u64, MESSAGES);
            assert_eq!(seen.damage.len(), 2);
            assert!(seen.damage.iter().all(|damage| damage.what == Wrong::Misplaced));
        }
    }
}

#[test]
fn a_journal_without_its_manifest_is_damaged_and_not_empty() {
    for edit in [None, Some(7), Some(40)] {
        let storage = whole();
        match edit {
            None => storage.remove("manifest").expect("remove"),
            Some(at) => storage.edit("manifest", |bytes| bytes.truncate(at)),
        }
        let seen = check(&storage, "without a manifest");
        assert_eq!(seen.ids.len() as u64, MESSAGES);
        assert!(seen.damage.iter().any(|damage| damage.what == Wrong::Manifest));
    }
}

#[test]
fn a_manifest_whose_segments_are_gone_is_damage() {
    let storage = whole();
    for name in segments(&storage) {
        storage.remove(&name).expect("remove");
    }
    let seen = look(&storage, "nothing left");
    assert!(seen.damage.iter().all(|damage| damage.what == Wrong::Missing));
    // The mark says how many there were.
    let lost: Vec<_> = seen.damage.iter().filter_map(|damage| damage.lost).collect();
    assert!(lost.iter().all(|lost| lost.first == 1 && lost.last > Some(MESSAGES)), "{lost:?}");
    assert!(!lost.is_empty());
}

#[test]
fn damage_is_refused_where_that_is_asked_for_with_the_same_list() {
    let storage = whole();
    let name = &segments(&storage)[1];
    storage.edit(name, |bytes| bytes[700] ^= 4);
    let refuse = JournalConfig { on_corruption: OnCorruption::Refuse, ..config() };
    let refused = match Journal::open(Arc::new(storage.clone()), refuse, NOW) {
        Err(OpenError::Refused { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    let seen = check(&storage, "quarantined");
    assert_eq!(refused, seen.damage);
    let quarantined = storage
        .list()
        .expect("list")
        .iter()
        .any(|found| found.starts_with("quarantine-") && found.ends_with(name.as_str()));
    assert!(quarantined, "a damaged segment is kept aside");
    // What was found is found again, and nothing more is lost by having gone on.
    let again = check(&storage, "opened again");
    assert_eq!((again.ids, again.damage), (seen.ids, seen.damage));
}

#[test]
fn another_version_and_a_folder_that_cannot_be_written_are_exact_errors() {
    let storage = whole();
    storage.edit("manifest", |bytes| {
        let text = String::from_utf8_lossy(bytes).replace("journal 2", "journal 1");
        let body = text.split("crc ").next().unwrap_or_default();
        *bytes = format!("{body}crc {:08x}\n", crc32c::crc32c(body.as_bytes())).into_bytes();
    });
    match Journal::open(Arc::new(storage), config(), NOW) {
        Err(OpenError::Version { found: 1, known: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("journal");
    std::fs::write(&file, "no folder").expect("write a file");
    match Journal::open(Arc::new(DiskStorage::at(&file)), config(), NOW) {
        Err(OpenError::Io { operation: "make", .. }) => {}
        other => panic!("{other:?}"),
    }
}
