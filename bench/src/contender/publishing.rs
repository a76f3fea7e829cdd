//! The publishers' side, the same with a host and without.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use patchbay_bus::{Outgoing, Publisher};
use patchbay_measure::{
    source::{Next, Source},
    work::Work,
};

/// Threads that publish until they are dropped or told to stop.
#[derive(Debug)]
pub(super) struct Publishers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

// === impl Publishers ===

impl Publishers {
    /// One thread for each publisher of `work`. `topics` holds as many as the work has.
    pub(super) fn start(
        work: &Work,
        topics: &[String],
        mut make: impl FnMut() -> Publisher,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let topics: Arc<[String]> = topics.into();
        let threads = (0..work.publishers).map(|number| {
            let source = Source::new(work, number, &stop);
            let (publisher, work, topics) = (make(), *work, Arc::clone(&topics));
            thread::spawn(move || {
                let keys = (0..=work.keys).map(|key| format!("key-{key}")).collect::<Vec<_>>();
                Voice { publisher, source, topics, keys }.run(work.batch);
            })
        });
        let threads = threads.collect();
        Publishers { stop, threads }
    }

    /// Ends them.
    pub(super) fn stop(self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads {
            // A publisher that panicked has said so.
            drop(thread.join());
        }
    }
}

struct Voice {
    publisher: Publisher,
    source: Source,
    topics: Arc<[String]>,
    keys: Vec<String>,
}

// === impl Voice ===

impl Voice {
    fn run(mut self, batch: usize) {
        let refused = if batch == 1 { self.one_by_one() } else { self.in_batches(batch) };
        if let Err(error) = refused {
            eprintln!("a publish was refused: {error}");
        }
    }

    fn one_by_one(&mut self) -> Result<(), patchbay_bus::PublishError> {
        while let Some(next) = self.source.make() {
            let outgoing = outgoing(&self.topics, &self.keys, next, self.source.payload());
            self.publisher.publish(outgoing)?;
        }
        Ok(())
    }

    fn in_batches(&mut self, batch: usize) -> Result<(), patchbay_bus::PublishError> {
        let mut payloads = vec![self.source.payload().to_vec(); batch];
        let mut nexts = vec![Next { key: 0, topic: 0 }; batch];
        loop {
            for (payload, next) in payloads.iter_mut().zip(&mut nexts) {
                let Some(made) = self.source.make() else { return Ok(()) };
                payload[..8].copy_from_slice(&self.source.payload()[..8]);
                *next = made;
            }
            let all: Vec<Outgoing<'_>> = payloads
                .iter()
                .zip(&nexts)
                .map(|(payload, next)| outgoing(&self.topics, &self.keys, *next, payload))
                .collect();
            if let (_, Some(error)) = self.publisher.publish_batch(&all) {
                return Err(error);
            }
        }
    }
}

fn outgoing<'a>(
    topics: &'a [String],
    keys: &'a [String],
    next: Next,
    payload: &'a [u8],
) -> Outgoing<'a> {
    let key = if next.key == 0 { "" } else { keys[next.key as usize].as_str() };
    Outgoing { topic: &topics[next.topic], key, payload, ..Outgoing::default() }
}
