//! Worker pools: threads that pull deliveries, call a handler and say how it went.
//!
//! Reading order: [`PoolConfig`] and the two pure judgements, `scale` (how many lanes there should
//! be) and `watch` (which call takes too long) → `bell` and `lane` (what is known of a lane outside
//! its thread) → [`Feed`] (the lane's end) and [`Handler`] (who is called) → `control` (calls to
//! lane 0) → `crew`, `round`, `closing` (what is done to the lanes) → [`Monitor`] (when) →
//! [`WorkerPool`] (for whom).
//!
//! A lane is a thread of exactly one generation of one plugin, named after it, counted, and joined
//! when it goes. Lane 0 comes first and goes last. An idle pool has no thread at all, unless it is
//! told to keep some; the monitor's thread is one for all pools of a host.
//!
//! **Absent on purpose.** No plugin library, no actor, no asynchronous runtime: lanes call a
//! [`Handler`], owners get [`PoolEvent`]s and await plain futures that need no reactor. No retry
//! policy: what an outcome leads to is the bus's to decide.

#![forbid(unsafe_code)]

mod bell;
mod closing;
mod config;
mod control;
mod crew;
mod events;
mod feed;
mod handler;
mod lane;
mod monitor;
mod outcome;
mod pool;
mod ready;
mod round;
mod scale;
mod shared;
mod stats;
mod thread;
mod token;
mod watch;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use self::{
    closing::{AbandonedLane, Closed, DrainReport},
    config::{BATCH_MAX, CONCURRENCY_MAX, PoolConfig, PoolConfigError, WORKERS_MAX},
    control::{Op, OpCall, OpError, OpOutcome, OpReply},
    events::{PoolEvent, PoolEventKind, PoolEvents},
    feed::{Begin, Feed, Handed, Next, NextOp},
    handler::{Handler, from_fn},
    lane::{LaneId, LoopEnd},
    monitor::{Monitor, MonitorStats},
    outcome::Outcome,
    pool::{Intake, PoolSpec, WorkerPool},
    ready::LaneHandle,
    scale::{Decision, Observed, scale},
    shared::Served,
    stats::PoolStats,
    token::{Batch, Token},
    watch::{Action, HandOff, LaneWatch, Seen},
};

/// Locks survive a panic of their holder: what they guard here is changed in steps that leave it
/// usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of a panic. The payload is dropped here, where a panic in its destructor is contained.
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a text".to_owned(),
    };
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(worse);
    }
    text
}
