//! Many publishers, a real disk, the journal's own threads.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use patchbay_journal::{
    CommitError, DiskStorage, Journal, JournalConfig, Level, Reached, Record, Target, verify,
};
use patchbay_testkit::eventually;

use crate::common::{NOW, append, done, end, publish, subscribe};

const PUBLISHERS: u32 = 64;
const EACH: u64 = 60;
/// Far beyond what is usual.
const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> JournalConfig {
    JournalConfig {
        segment_bytes: 256 << 10,
        low_water_bytes: 0,
        buffer_bytes: 16 << 10,
        patience: PATIENCE,
        ..JournalConfig::default()
    }
}

#[test]
fn publishers_that_wait_share_flights_and_each_success_covers_all_before_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let storage = Arc::new(DiskStorage::at(folder.path()));
    let (journal, _) = Journal::open(storage.clone(), config(), NOW).expect("open");
    let successes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for sub in 1..=PUBLISHERS {
            let (journal, successes) = (&journal, &successes);
            scope.spawn(move || {
                append(journal, &subscribe(sub));
                for id in 1..=EACH {
                    let targets = [Target { sub, id }];
                    let level = if id % 3 == 0 { Level::Process } else { Level::Disk };
                    let message = publish(u64::from(sub) * 1000 + id, &targets, &[7; 200]);
                    let position = append(journal, &Record::Publish(message));
                    journal.wait(position.number, level).expect("wait");
                    assert!(journal.reached(level) >= position.number);
                    successes.lock().expect("lock").push((position.number, position.seq));
                    if id % 2 == 0 {
                        append(journal, &done(sub, &[end(id - 1, 2)]));
                    }
                }
            });
        }
    });
    let mut successes = successes.into_inner().expect("lock");
    successes.sort_unstable();
    let seqs: Vec<u64> = successes.iter().map(|(_, seq)| *seq).collect();
    let expected: Vec<u64> = (1..=u64::from(PUBLISHERS) * EACH).collect();
    assert_eq!(seqs, expected, "messages are numbered in the order of their records");
    let last = journal.health().appended;
    journal.wait(last, Level::Disk).expect("wait");
    // As after the death of the process: nothing is closed.
    drop(journal);
    let judged = verify(&*storage).expect("verify");
    assert!(judged.report.damage.is_empty() && judged.report.torn_bytes == 0, "{judged:?}");
    assert!(judged.report.last_record >= last);
    let (_, recovered) = Journal::open(storage, config(), NOW).expect("open");
    for sub in &recovered.subs {
        assert_eq!((sub.counters.accepted, sub.counters.done), (EACH, EACH), "{}", sub.sub);
    }
    assert_eq!(recovered.subs.len(), PUBLISHERS as usize);
}

/// Up to which record it was told.
#[derive(Default)]
struct Told(AtomicU64);

impl Reached for Told {
    fn reached(&self, number: u64, outcome: Result<(), CommitError>) {
        outcome.expect("reach the level");
        let before = self.0.swap(number, SeqCst);
        assert!(before < number, "told of {number} after {before}");
    }
}

#[test]
fn who_does_not_wait_is_told_and_what_nobody_waits_for_reaches_the_disk_too() {
    let folder = tempfile::tempdir().expect("make a folder");
    let storage = Arc::new(DiskStorage::at(folder.path()));
    let (journal, _) = Journal::open(storage, config(), NOW).expect("open");
    journal.append(&subscribe(1)).expect("append");
    let told: [Arc<Told>; 2] = Default::default();
    let mut asked = [0, 0];
    for id in 1..=500 {
        let targets = [Target { sub: 1, id }];
        let message = publish(id, &targets, b"payload");
        let position = append(&journal, &Record::Publish(message));
        // In runs, each longer than the one before, as one entry and as many.
        let one = usize::from(id.ilog2() % 2 == 0);
        journal.when(position.number, [Level::Process, Level::Disk][one], &told[one]);
        asked[one] = position.number;
    }
    for (told, asked) in told.iter().zip(asked) {
        let is_told = || (told.0.load(SeqCst) == asked).then_some(());
        eventually("the last of the records is told of", PATIENCE, is_told);
    }
    let last = journal.append(&done(1, &[end(1, 500)])).expect("append").number;
    let lazy = || (journal.reached(Level::Disk) >= last).then_some(());
    eventually("the lazy settlement reaches the disk", PATIENCE, lazy);
    journal.close(NOW).expect("close");
}
