//! A host in the test's process: what stands behind its table of functions.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use patchbay_abi::{Draft, host::publish as code, message::header};
use patchbay_slab::{Message, Parts, Slab};
use patchbay_wire::Topic;

use super::{
    config::ConfigManager,
    lane::Lane,
    telemetry::TelemetryContext,
    timers::Timers,
    transport::{Incoming, MessageTransport, Refused},
    waker::HostWaker,
};

/// Largest payload that is accepted, in bytes.
const PAYLOAD_MAX: usize = 16 << 20;

/// A host for one plugin.
#[derive(Debug)]
pub(crate) struct HostCore {
    pub(crate) name: String,
    pub(crate) transport: Arc<dyn MessageTransport>,
    pub(crate) config: Arc<ConfigManager>,
    pub(crate) telemetry: Arc<TelemetryContext>,
    pub(crate) timers: Timers,
    /// Messages are made here, with ids that count up.
    slab: Mutex<(Slab, u128)>,
    tokens: AtomicU64,
    /// Its table ends where that of contract 1.0 did.
    is_of_1_0: AtomicBool,
    /// Publishes that may be tried again, to be reported by any lane.
    ready: Mutex<VecDeque<u64>>,
    lanes: Mutex<Vec<Weak<Lane>>>,
}

/// Timers and publishes draw their tokens from different halves of the numbers.
const PUBLISH_TOKENS: u64 = 1 << 63;

// === impl HostCore ===

impl HostCore {
    pub(crate) fn new(
        name: &str,
        transport: Arc<dyn MessageTransport>,
        config: Arc<ConfigManager>,
        telemetry: Arc<TelemetryContext>,
    ) -> Arc<Self> {
        Arc::new(HostCore {
            name: name.to_owned(),
            transport,
            config,
            telemetry,
            timers: Timers::new(),
            slab: Mutex::new((Slab::new(), 1 << 64)),
            tokens: AtomicU64::new(PUBLISH_TOKENS),
            is_of_1_0: AtomicBool::new(false),
            ready: Mutex::default(),
            lanes: Mutex::default(),
        })
    }

    pub(crate) fn speak_1_0(&self) {
        self.is_of_1_0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_of_1_0(&self) -> bool {
        self.is_of_1_0.load(Ordering::Relaxed)
    }

    /// Lanes to which messages of dynamic subscriptions go, and which hear of tokens.
    pub(crate) fn set_lanes(&self, lanes: &[Arc<Lane>]) {
        *lock(&self.lanes) = lanes.iter().map(Arc::downgrade).collect();
    }

    /// Whoever has the fewest calls gets the next one.
    pub(crate) fn deliver(&self, incoming: Incoming) {
        let lanes: Vec<_> = lock(&self.lanes).iter().filter_map(Weak::upgrade).collect();
        match lanes.iter().min_by_key(|lane| lane.load()) {
            Some(lane) => {
                lane.deliver(incoming);
            }
            None => (incoming.done)(super::handled::Handled::Cancelled),
        }
    }

    /// Publishes. The caller keeps its reference.
    pub(crate) fn publish(
        self: &Arc<Self>,
        message: &Message,
        cause: Option<&Message>,
        wait: Option<Option<Arc<HostWaker>>>,
    ) -> (i32, u32, u64) {
        let when_room = match self.transport.accept(message, cause) {
            Ok(routed) => return (code::ACCEPTED, routed, 0),
            Err(Refused::Code(refusal)) => return (refusal, 0, 0),
            Err(Refused::Full(when_room)) => when_room,
        };
        let mut token = 0;
        match wait {
            None => {}
            Some(Some(waker)) => when_room(Box::new(move || waker.wake())),
            Some(None) => {
                token = self.tokens.fetch_add(1, Ordering::Relaxed);
                let host = Arc::downgrade(self);
                when_room(Box::new(move || {
                    if let Some(host) = host.upgrade() {
                        host.report(token);
                    }
                }));
            }
        }
        (code::FULL, 0, token)
    }

    /// Up to `max` tokens that are ready.
    pub(crate) fn take_ready(&self, max: usize) -> Vec<u64> {
        let mut ready = lock(&self.ready);
        let count = ready.len().min(max);
        ready.drain(..count).collect()
    }

    pub(crate) fn forget(&self, token: u64) {
        if token >= PUBLISH_TOKENS {
            lock(&self.ready).retain(|known| *known != token);
        } else {
            self.timers.forget(token);
        }
    }

    pub(crate) fn timer(&self, delay_ns: u64, waker: Arc<HostWaker>) -> u64 {
        self.timers.start(Duration::from_nanos(delay_ns), waker)
    }

    /// A message with room for a payload; `None` when the draft is not valid.
    pub(crate) fn message(&self, draft: &Draft) -> Option<(*const patchbay_abi::Message, *mut u8)> {
        self.make(draft, |slab, parts| slab.draft(parts).into_raw())
    }

    /// A message with the payload of another.
    pub(crate) fn derive(
        &self,
        base: &Message,
        draft: &Draft,
    ) -> Option<*const patchbay_abi::Message> {
        self.make(draft, |slab, parts| slab.derive(base, parts).into_raw())
    }

    fn make<R>(&self, draft: &Draft, make: impl FnOnce(&mut Slab, &Parts<'_>) -> R) -> Option<R> {
        // SAFETY: the library lends what the draft points to for the call.
        let (topic, key, headers) = unsafe {
            (
                draft.topic.as_text()?,
                draft.key.as_text()?,
                super::table::pairs(draft.headers, draft.nheaders)?,
            )
        };
        Topic::check(topic).ok()?;
        if draft.payload_len > PAYLOAD_MAX
            || !headers.iter().all(|(name, value)| allowed(name, value))
        {
            return None;
        }
        let (slab, last) = &mut *lock(&self.slab);
        let mut id = u128::from(draft.id_hi) << 64 | u128::from(draft.id_lo);
        if id == 0 {
            *last += 1;
            id = *last;
        }
        let since_epoch =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(make(
            slab,
            &Parts {
                topic,
                key,
                headers: &headers,
                payload_len: draft.payload_len,
                id,
                time_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(0),
                expires_ns: draft.expires_ns,
                ..Parts::default()
            },
        ))
    }

    fn report(&self, token: u64) {
        lock(&self.ready).push_back(token);
        for lane in lock(&self.lanes).iter().filter_map(Weak::upgrade) {
            lane.ring();
        }
    }
}

/// A header that a plugin may set.
fn allowed(name: &str, value: &str) -> bool {
    let of_host = name.get(..header::OWN_PREFIX.len()).is_some_and(|start| {
        start.eq_ignore_ascii_case(header::OWN_PREFIX)
            && !crate::transport::OF_REQUESTS.iter().any(|own| name.eq_ignore_ascii_case(own))
    });
    !name.is_empty() && !of_host && !name.chars().chain(value.chars()).any(char::is_control)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
