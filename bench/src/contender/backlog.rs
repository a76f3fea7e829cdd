//! What waits in a journal and not in memory: what a message costs behind many, and how long a
//! start takes that finds them.

use std::{
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use patchbay_bus::{Begin, Level, Outgoing, Park, Taken};
use patchbay_measure::{
    entry::Outcome,
    meter::{self, Window},
    process,
    source::Source,
    work::Work,
};

use super::{
    TOPIC,
    durable::{self, Kept},
};
use crate::home;

/// Messages of one publish.
const BATCH: usize = 256;
const WINDOW: usize = 1024;

/// Fills a queue that nobody empties yet, and then empties it.
pub(super) fn drained(work: &Work, waiting: usize) -> Outcome<Window> {
    let folder = tempfile::tempdir_in(home::place())?;
    let kept = durable::open(folder.path(), Level::Process)?;
    let empty = process::anonymous_bytes();
    let (start, used) = (Instant::now(), meter::cpu_ns());
    fill(&kept, work, waiting)?;
    let filled = start.elapsed();
    let taken = process::anonymous_bytes().saturating_sub(empty);
    let mut seat = kept.subscription.seat(1, Arc::new(thread::current()))?;
    let (mut left, mut last) = (waiting, Instant::now());
    while left > 0 {
        match seat.take(WINDOW, Park::No) {
            Taken::Batch(n) => {
                left -= (0..n).filter(|at| seat.begin(*at) == Begin::Go).count();
                last = Instant::now();
            }
            // More is being read.
            _ if last.elapsed() < home::READY_MAX => thread::yield_now(),
            _ => return Err(format!("{left} of {waiting} messages did not come back").into()),
        }
    }
    seat.take(1, Park::No);
    let took = start.elapsed();
    let each = |part: Duration| part.as_nanos() as f64 / waiting as f64;
    Ok(Window {
        rate: waiting as f64 / took.as_secs_f64(),
        fill_drain_ns: Some([each(filled), each(took - filled)]),
        cpu_ns: (meter::cpu_ns() - used) as f64 / waiting as f64,
        threads: process::threads(),
        anonymous: process::anonymous_bytes(),
        bytes_each: Some(taken as f64 / waiting as f64),
        ..Window::default()
    })
}

/// Opens a journal that holds many unsettled messages, and was not closed in good order.
pub(super) fn recovered(work: &Work, waiting: usize) -> Outcome<Window> {
    let folder = tempfile::tempdir_in(home::place())?;
    // Dropped, and not closed.
    fill(&durable::open(folder.path(), Level::Disk)?, work, waiting)?;
    let (start, used) = (Instant::now(), meter::cpu_ns());
    let kept = durable::open(folder.path(), Level::Disk)?;
    let took = start.elapsed();
    let found = kept.subscription.ledger().queued;
    if found != waiting as u64 {
        return Err(format!("{found} of {waiting} messages were found").into());
    }
    Ok(Window {
        rate: waiting as f64 / took.as_secs_f64(),
        cpu_ns: (meter::cpu_ns() - used) as f64 / waiting as f64,
        threads: process::threads(),
        anonymous: process::anonymous_bytes(),
        took_ms: Some(took.as_secs_f64() * 1e3),
        ..Window::default()
    })
}

fn fill(kept: &Kept, work: &Work, count: usize) -> Outcome<()> {
    let mut source = Source::new(work, 0, &Arc::new(AtomicBool::new(false)));
    let mut publisher = kept.broker.publisher("bench");
    let mut left = count;
    while left > 0 {
        source.make();
        let outgoing = Outgoing { topic: TOPIC, payload: source.payload(), ..Outgoing::default() };
        let batch = [outgoing; BATCH];
        let (accepted, refused) = publisher.publish_batch(&batch[..left.min(BATCH)]);
        if let Some(error) = refused {
            return Err(error.into());
        }
        left -= accepted;
    }
    Ok(())
}
