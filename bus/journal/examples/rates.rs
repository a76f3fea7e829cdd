//! Bare rates of the journal on the disk under a folder, for whoever works on it. The figures that
//! the project stands by are made in `bench/`.
//!
//! `cargo run --release -p patchbay-journal --example rates -- FOLDER [one|flights|recovery|start]`

#![allow(clippy::expect_used, reason = "an example that cannot go on stops")]

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use patchbay_journal::{
    AppendError, DiskStorage, End, Ended, Journal, JournalConfig, Level, List, Moment, Publish,
    Record, Settled, Span, Subscribe, Target,
};

const NOW: Moment = Moment { unix_ns: 1_700_000_000_000_000_000, mono_ns: 1 };
const FOR: Duration = Duration::from_secs(2);
/// Rounds of the raw loop and the journal in turn.
const ROUNDS: u32 = 7;

fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let part = std::env::args().nth(2);
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if wanted("one") {
        one_in_flight(&folder);
    }
    if wanted("flights") {
        flights(&folder);
    }
    if wanted("recovery") {
        recovery(&folder, 1_000_000);
    }
    if wanted("start") {
        start(&folder, 5);
    }
}

/// One in flight at level `disk` beside what the disk gives, round by round.
fn one_in_flight(folder: &Path) {
    let (_folder, journal) = open(folder);
    let path = folder.join("raw");
    let file = File::create(&path).expect("create");
    file.write_all_at(&vec![0; 32 << 20], 0).expect("fill");
    file.sync_data().expect("flush");
    let (payload, mut id, mut count) = ([7; 256], 1, 0);
    let before = journal.health().bytes;
    let position = journal.append(&message(&[Target { sub: 1, id: 1 }], &payload)).expect("append");
    let size = (journal.health().bytes - before) as usize;
    journal.wait(position.number, Level::Disk).expect("wait");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let raw = rate(|| {
            file.write_all_at(&vec![1; size], count * size as u64 % (31 << 20)).expect("write");
            file.sync_data().expect("flush");
            count += 1;
        });
        let ours = rate(|| {
            id += 1;
            let targets = [Target { sub: 1, id }];
            let number = append(&journal, &message(&targets, &payload));
            journal.wait(number, Level::Disk).expect("wait");
        });
        println!("raw write + fdatasync of {size} B: {raw:.0}/s, journal: {ours:.0}/s");
        ratios.push(ours / raw);
    }
    std::fs::remove_file(path).expect("remove");
    ratios.sort_by(f64::total_cmp);
    println!("disk, one in flight, of raw: {:.2} (median of {ROUNDS})", ratios[ratios.len() / 2]);
}

/// How often in a second.
fn rate(mut what: impl FnMut()) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < FOR / 2 {
        what();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn flights(folder: &Path) {
    for (level, threads, flight) in [
        (Level::Disk, 1, 1),
        (Level::Disk, 1, 256),
        (Level::Disk, 64, 1),
        (Level::Disk, 256, 1),
        (Level::Process, 1, 1),
        (Level::Process, 1, 64),
        (Level::Process, 1, 1024),
        (Level::Process, 4, 64),
        (Level::Memory, 1, 1024),
    ] {
        publishes(folder, level, threads, flight);
    }
}

fn open(folder: &Path) -> (tempfile::TempDir, Arc<Journal>) {
    let folder = tempfile::tempdir_in(folder).expect("make a folder");
    let storage = Arc::new(DiskStorage::at(folder.path()));
    let (journal, _) = Journal::open(storage, JournalConfig::default(), NOW).expect("open");
    let subscribe = Subscribe { sub: 1, owner: "bench", pattern: "bench.>" };
    journal.append(&Record::Subscribe(subscribe)).expect("append");
    (folder, journal)
}

/// Appends when there is room.
fn append(journal: &Journal, record: &Record<'_>) -> u64 {
    let mut room = journal.wanting(512);
    loop {
        match journal.append(record) {
            Err(AppendError::StorageFull { .. }) => room.wait().expect("room"),
            done => return done.expect("append").number,
        }
    }
}

fn message<'a>(targets: &'a [Target], payload: &'a [u8]) -> Record<'a> {
    Record::Publish(Publish {
        seq: 0,
        mid: 1 << 100,
        time_ns: NOW.unix_ns,
        expires_ns: 0,
        not_before_ns: 0,
        observed_ns: 1,
        hops: 0,
        level: Level::Disk,
        topic: "bench.orders",
        key: "",
        headers: List::default(),
        payload,
        dedup: None,
        targets: targets.into(),
        letters: List::default(),
    })
}

fn publishes(folder: &Path, level: Level, threads: u64, flight: u64) {
    let (_folder, journal) = open(folder);
    let start = Instant::now();
    let count: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let journal = &journal;
                scope.spawn(move || publish(journal, worker as u32 + 1, level, flight, start))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("join")).sum()
    });
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{level}, {threads} publishers, {flight} in flight, 256 B: {rate:.0}/s");
}

fn publish(journal: &Journal, sub: u32, level: Level, flight: u64, start: Instant) -> u64 {
    if sub > 1 {
        let subscribe = Subscribe { sub, owner: "bench", pattern: "bench.>" };
        journal.append(&Record::Subscribe(subscribe)).expect("append");
    }
    let payload = [7; 256];
    let mut id = 1;
    while start.elapsed() < FOR {
        let first = id;
        let mut last = 0;
        for _ in 0..flight {
            let targets = [Target { sub, id }];
            last = append(journal, &message(&targets, &payload));
            id += 1;
        }
        journal.wait(last, level).expect("wait");
        let ends = [End { span: Span { first, count: flight }, how: Ended::Done }];
        let settled = Settled { sub, at_unix_ns: 1, ends: (&ends).into() };
        append(journal, &Record::Settled(settled));
    }
    id - 1
}

fn recovery(folder: &Path, count: u64) {
    let (folder, journal) = open(folder);
    for id in 1..=count {
        let targets = [Target { sub: 1, id }];
        append(&journal, &message(&targets, &[7; 256]));
    }
    journal.wait(journal.health().appended, Level::Disk).expect("wait");
    drop(journal);
    let storage = Arc::new(DiskStorage::at(folder.path()));
    let start = Instant::now();
    let (_journal, recovered) =
        Journal::open(storage, JournalConfig::default(), NOW).expect("open");
    println!("recovery of {} messages: {:?}", recovered.report.live, start.elapsed());
}

/// Opening what a kill left that came right after the first messages.
fn start(folder: &Path, count: u64) {
    let (folder, journal) = open(folder);
    for id in 1..=count {
        let targets = [Target { sub: 1, id }];
        let position = journal.append(&message(&targets, &[7; 256])).expect("append");
        journal.wait(position.number, Level::Disk).expect("wait");
    }
    // Until the next segment is made ahead.
    while journal.health().ready == 0 {
        thread::yield_now();
    }
    drop(journal);
    for _ in 0..3 {
        let storage = Arc::new(DiskStorage::at(folder.path()));
        let start = Instant::now();
        let (_journal, recovered) =
            Journal::open(storage, JournalConfig::default(), NOW).expect("open");
        println!("start with {} messages: {:?}", recovered.report.live, start.elapsed());
    }
}
