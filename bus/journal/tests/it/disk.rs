//! On a real disk.

use std::sync::Arc;

use patchbay_journal::{
    DiskStorage, Journal, JournalConfig, Level, OpenError, Record, Span, Target, verify,
};

use crate::common::{NOW, append, done, end, publish, subscribe};

fn config() -> JournalConfig {
    JournalConfig { segment_bytes: 64 << 10, low_water_bytes: 0, ..JournalConfig::default() }
}

#[test]
fn what_was_accepted_comes_back_and_what_was_settled_does_not() {
    let folder = tempfile::tempdir().expect("make a folder");
    let storage = Arc::new(DiskStorage::at(&folder.path().join("journal")));
    let (journal, recovered) = Journal::open(storage.clone(), config(), NOW).expect("open");
    assert!(recovered.report.orderly);
    journal.append(&subscribe(1)).expect("append");
    let mut last = 0;
    for id in 1..=1000 {
        let targets = [Target { sub: 1, id }];
        let payload = format!("message {id}");
        let publish = publish(id, &targets, payload.as_bytes());
        let position = append(&journal, &Record::Publish(publish));
        assert_eq!(position.seq, id);
        last = position.number;
        if id % 10 == 0 {
            append(&journal, &done(1, &[end(id - 9, 5)]));
        }
    }
    journal.wait(last, Level::Disk).expect("reach the disk");
    assert!(journal.reached(Level::Disk) >= last);
    journal.close(NOW).expect("close");
    drop(journal);

    let judged = verify(&*storage).expect("verify");
    assert!(judged.report.orderly && judged.report.damage.is_empty(), "{judged:?}");
    let (journal, recovered) = Journal::open(storage, config(), NOW).expect("open again");
    assert_eq!(recovered.report, judged.report);
    assert_eq!(recovered.next_seq, 1001);
    let [sub] = &recovered.subs[..] else { panic!("{:?}", recovered.subs) };
    assert_eq!((sub.next_id, sub.counters.accepted, sub.counters.done), (1001, 1000, 500));
    assert_eq!(sub.fresh.len(), 100);
    assert_eq!(sub.fresh[0], Span { first: 6, count: 5 });
    let mut backlog = journal.backlog(1, 0);
    let mut ids = Vec::new();
    loop {
        let some = backlog.next(64, 1 << 20, u64::MAX).expect("read");
        if some.is_empty() {
            break;
        }
        for (id, stored) in some {
            assert_eq!(stored.publish().payload, format!("message {id}").as_bytes());
            ids.push(id);
        }
    }
    let expected: Vec<u64> = (1..=1000).filter(|id| (id - 1) % 10 >= 5).collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_journal_has_one_owner_whose_process_is_named() {
    let folder = tempfile::tempdir().expect("make a folder");
    let storage = Arc::new(DiskStorage::at(folder.path()));
    let (journal, _) = Journal::open(storage.clone(), config(), NOW).expect("open");
    match Journal::open(storage.clone(), config(), NOW) {
        Err(OpenError::Owned { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(journal);
    Journal::open(storage, config(), NOW).expect("open when it is free");
}
