//! The n-th change of the folder fails, for every n of a workload.

use std::sync::Arc;

use patchbay_journal::{AppendError, CommitError, Journal, JournalState, Level, SimStorage};

use crate::{
    common::{NOW, asked},
    crash_states::{config, open},
    model::Model,
    workload::{Rng, Stopped, Work},
};

const STEPS: u64 = 60;
/// Workloads, each of which fails at every one of its changes in turn.
const SEEDS: u64 = 16;

/// Works until something fails. Returns the number of records known to be on the device, and the
/// work.
fn work_until_failure(seed: u64, storage: &SimStorage) -> Option<Work> {
    let opened = Journal::open(Arc::new(storage.clone()), config(), NOW);
    // A failure on the way there is an error of `open`, which has promised nothing.
    let (journal, _) = opened.ok()?;
    let mut work = Work::new(journal, storage.clone(), Model::default());
    let mut rng = Rng::new(seed);
    let mut stopped = work.subscribe(1).err();
    for _ in 0..STEPS {
        let outcome = work.step(&mut rng);
        if stopped.is_some() {
            // Some steps find nothing to do, and report nothing.
            assert!(outcome.is_err() || work.silent(), "a success after the first failure");
        }
        if let Err(error) = outcome {
            match &error {
                Stopped::Append(AppendError::Failed(_))
                | Stopped::Commit(CommitError::Failed(_)) => {}
                other => panic!("{other:?}"),
            }
            stopped = Some(error);
        }
    }
    Some(work)
}

#[test]
fn after_the_first_error_nothing_is_written_flushed_or_reported_any_more() {
    let (mut tried, mut failed) = (0, 0);
    let (first, seeds) = asked(0, SEEDS);
    for seed in first..first + seeds {
        let calm = SimStorage::new();
        work_until_failure(seed, &calm).expect("work without failures");
        for number in 1..=calm.changes() {
            let storage = SimStorage::new();
            storage.record();
            storage.fail_at(number);
            let Some(work) = work_until_failure(seed, &storage) else { continue };
            tried += 1;
            let JournalState::Failed(_) = work.journal.health().state else {
                panic!("seed {seed}: change {number} failed, and the journal goes on");
            };
            failed += 1;
            assert_eq!(storage.changes_after_failure(), 0, "seed {seed}, change {number}");
            let (disk, process) =
                (work.journal.reached(Level::Disk), work.journal.reached(Level::Process));
            assert!(work.journal.wait(process + 1, Level::Process).is_err());
            assert!(work.journal.wait(disk + 1, Level::Disk).is_err());
            assert!(work.journal.put("key", b"value").is_err());
            assert!(work.journal.close(NOW).is_err() || disk == process);
            assert_eq!(storage.changes_after_failure(), 0, "seed {seed}, change {number}");
            // A restart finds everything that was reported.
            let least = work.reported();
            for mut rng in (0..4).map(Rng::new) {
                let (journal, recovered) = open(&storage.crash(&mut rng));
                let last = recovered.report.last_record;
                assert!(last >= least, "seed {seed}, change {number}: {last} of {least}");
                if let Some(expected) = work.model_at(last) {
                    assert_eq!(&Model::of(&journal, &recovered), expected);
                }
            }
        }
    }
    assert!(tried > 30 * seeds && tried == failed, "{failed} of {tried} failed");
    println!("chaos errors: seeds from {first}, every one of {tried} changes failed");
}
