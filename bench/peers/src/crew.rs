//! What every peer needs: a runtime, somebody who counts, messages that are newly made.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use patchbay_measure::{
    entry::Outcome,
    histogram::Histogram,
    meter::{self, Tally, Window},
    source::{Source, age_ns},
    work::Work,
};
use tokio::runtime::{Builder, Runtime};

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
    /// The process that does a part of the work.
    server: OnceLock<u32>,
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
            server: OnceLock::new(),
        })
    }

    /// Goes on only if the contender of that name does this work.
    pub(crate) fn only(&self, name: &str, fits: bool) -> Outcome<()> {
        if fits {
            return Ok(());
        }
        Err(format!("`{name}` does not do `{}`", self.work.name).into())
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
            self.publish_on_thread(publisher);
        } else {
            self.runtime.spawn(publisher);
        }
    }

    /// Runs a publisher on a thread of its own.
    pub(crate) fn publish_on_thread(&self, publisher: impl Future<Output = ()> + Send + 'static) {
        let handle = self.runtime.handle().clone();
        thread::spawn(move || handle.block_on(publisher));
    }

    /// For a task that cannot go on.
    #[cfg_attr(not(feature = "servers"), expect(dead_code, reason = "only servers fail late"))]
    pub(crate) fn failure(&self) -> impl Fn(String) + Clone + Send + Sync + 'static {
        let failure = Arc::clone(&self.failure);
        move |text| {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
    }

    /// Where a server is; its processor time counts from now on.
    #[cfg(feature = "servers")]
    pub(crate) fn address(&self, server: &str) -> Outcome<String> {
        let variable = format!("PATCHBAY_BENCH_{server}");
        let said = |variable: &str| {
            std::env::var(variable)
                .map_err(|_| format!("{variable} is not set\ntry: eval \"$(bench/peers.sh up)\""))
        };
        let process = said(&format!("{variable}_PROCESS"))?.parse()?;
        let _: Result<(), u32> = self.server.set(process);
        Ok(said(&variable)?)
    }

    /// Works warm, then counts.
    pub(crate) fn measure(&self, length: Duration) -> Outcome<Window> {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (warm_up, server) = (meter::warm_up(&self.work, length), self.server.get().copied());
        let finished = || tallies.iter().map(Tally::get).sum();
        let window = meter::measure(warm_up, length, server, finished);
        self.stop.store(true, Relaxed);
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failure.into());
        }
        Ok(if self.work.is_latency() { window.with_latency(&self.ages) } else { window })
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
