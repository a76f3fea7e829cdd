//! What every peer needs: a runtime, somebody who counts, messages that are newly made.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use patchbay_measure::{
    histogram::Histogram,
    meter::{self, Tally, Window},
    source::{Source, age_ns},
    work::Work,
};
use tokio::runtime::{Builder, Runtime};

use crate::Outcome;

/// Messages that may be under way where a queue is not bounded by itself.
const CREDIT: u64 = 4096;

/// One message: made for each publish, shared by all who get it.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) key: u64,
    pub(crate) payload: Bytes,
}

pub(crate) type Shared = Arc<Envelope>;

/// One contender at work.
pub(crate) struct Crew {
    pub(crate) work: Work,
    pub(crate) runtime: Runtime,
    pub(crate) stop: Arc<AtomicBool>,
    ages: Arc<Histogram>,
    tallies: Mutex<Vec<Tally>>,
    /// What went wrong where nobody could be told.
    failure: Arc<Mutex<Option<String>>>,
}

/// A consumer's book.
#[derive(Clone)]
pub(crate) struct Consumer {
    tally: Tally,
    ages: Option<Arc<Histogram>>,
}

// === impl Crew ===

impl Crew {
    pub(crate) fn new(work: Work) -> Outcome<Crew> {
        Ok(Crew {
            work,
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            stop: Arc::new(AtomicBool::new(false)),
            ages: Arc::new(Histogram::new()),
            tallies: Mutex::default(),
            failure: Arc::default(),
        })
    }

    /// A consumer that counts.
    pub(crate) fn consumer(&self) -> Consumer {
        let tally = Tally::default();
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally.clone());
        Consumer { tally, ages: self.work.is_latency().then(|| Arc::clone(&self.ages)) }
    }

    /// What publisher number `n` sends.
    pub(crate) fn source(&self, n: usize) -> Source {
        Source::new(&self.work, n, &self.stop)
    }

    /// Runs a publisher: at a fixed rate on a thread, because it sleeps; else as a task.
    pub(crate) fn publish(&self, publisher: impl Future<Output = ()> + Send + 'static) {
        if self.work.is_latency() {
            let handle = self.runtime.handle().clone();
            thread::spawn(move || handle.block_on(publisher));
        } else {
            self.runtime.spawn(publisher);
        }
    }

    /// For a task that cannot go on.
    #[cfg_attr(not(feature = "servers"), expect(dead_code, reason = "only servers fail late"))]
    pub(crate) fn failure(&self) -> impl Fn(String) + Clone + Send + Sync + 'static {
        let failure = Arc::clone(&self.failure);
        move |text| {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
    }

    /// Works warm, then counts.
    pub(crate) fn measure(&self, length: Duration) -> Outcome<Window> {
        let warm_up = if self.work.is_latency() { Duration::ZERO } else { length / 2 };
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let window = meter::measure(warm_up.min(Duration::from_secs(1)), length, || {
            tallies.iter().map(Tally::get).sum()
        });
        self.stop.store(true, Relaxed);
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => Err(failure.into()),
            None => Ok(window),
        }
    }

    pub(crate) fn ages(&self) -> Arc<Histogram> {
        Arc::clone(&self.ages)
    }
}

// === impl Consumer ===

impl Consumer {
    /// One message is finished.
    #[inline]
    pub(crate) fn finish(&self, payload: &[u8]) {
        std::hint::black_box(payload.last());
        if let (Some(ages), Some(age)) = (&self.ages, age_ns(payload)) {
            ages.add(age);
        }
        self.tally.add(1);
    }

    /// What it has finished.
    pub(crate) fn finished(&self) -> u64 {
        self.tally.get()
    }
}

/// A new message: two allocations, one for the envelope, one for the payload.
#[inline]
pub(crate) fn fresh(source: &mut Source) -> Option<Shared> {
    let next = source.make()?;
    Some(Arc::new(Envelope { key: next.key, payload: Bytes::copy_from_slice(source.payload()) }))
}

/// Waits while too many messages are under way to `consumers`, and lets others run.
pub(crate) async fn pace(sent: u64, publishers: usize, consumers: &[Consumer]) {
    if !sent.is_multiple_of(32) {
        return;
    }
    let sent = sent * publishers as u64;
    loop {
        let least = consumers.iter().map(Consumer::finished).min().unwrap_or(u64::MAX);
        if sent <= least.saturating_add(CREDIT) {
            break;
        }
        tokio::task::yield_now().await;
    }
    tokio::task::consume_budget().await;
}
