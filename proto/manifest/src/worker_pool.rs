//! Settings of the pool of lanes that runs a plugin. The names of the first six are those of the
//! plugin architecture guide.

use std::{ops::RangeInclusive, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    fields::At,
    problem::{Problem, ProblemKind, Report},
    quantity::serialize_duration,
    subscription::QUEUE_COUNT,
};

/// Most lanes of one plugin.
pub const WORKERS_MAX: u32 = 256;
/// Bounds of the longest call.
pub(crate) const CALL_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
const SHUTDOWN: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);
const IDLE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(7 * 86_400);

/// Settings of a worker pool.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerPoolManifest {
    /// Lanes that are kept when nothing is to be done; 0 gives the last thread back too.
    #[schemars(range(min = 0, max = 256))]
    pub min_workers: u32,
    /// Most lanes.
    #[schemars(range(min = 1, max = 256))]
    pub max_workers: u32,
    /// Most messages that wait, per subscription, unless the subscription says otherwise.
    #[schemars(range(min = 1, max = 16777216))]
    pub queue_size: u32,
    /// Whether lanes come and go with the load; else there are always `max_workers`.
    pub adaptive_scaling: bool,
    /// Share of busy lanes, above 0 and up to 1, at which another lane is started.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub scaling_threshold: f64,
    /// How long what is in flight may take after the end was asked for.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub shutdown_timeout: Duration,
    /// Most messages a lane takes at once; absent = as measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub batch: Option<u32>,
    /// How long a lane above `min_workers` waits for work before it ends.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
    /// Longest call.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub process_timeout: Duration,
    /// Most lanes that are written off with a call that never returned; absent = `max_workers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_abandoned: Option<u32>,
}

// === impl WorkerPoolManifest ===

impl WorkerPoolManifest {
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<WorkerPoolManifest> {
        let mut fields = at.fields(report)?;
        let defaults = WorkerPoolManifest::default();
        let mut count =
            |key, range| fields.get(key, move |at, report: &mut Report| at.count(range, report));
        let min = count("min_workers", 0..=WORKERS_MAX);
        let max = count("max_workers", 1..=WORKERS_MAX);
        let queue_size = count("queue_size", QUEUE_COUNT).unwrap_or(defaults.queue_size);
        let batch = count("batch", 1..=1024);
        let max_abandoned = count("max_abandoned", 1..=WORKERS_MAX);
        let mut duration = |key, range, default| {
            let value = fields.get(key, move |at, report: &mut Report| at.duration(range, report));
            value.unwrap_or(default)
        };
        let shutdown_timeout = duration("shutdown_timeout", SHUTDOWN, defaults.shutdown_timeout);
        let idle_timeout = duration("idle_timeout", IDLE, defaults.idle_timeout);
        let process_timeout = duration("process_timeout", CALL_TIMEOUT, defaults.process_timeout);
        let adaptive_scaling = fields.get("adaptive_scaling", |at, report| at.flag(report));
        let scaling_threshold = fields.get("scaling_threshold", |at, report| at.share(report));
        // One given bound moves the default of the other.
        let max_workers = max.unwrap_or_else(|| defaults.max_workers.max(min.unwrap_or(0)));
        let min_workers = min.unwrap_or_else(|| defaults.min_workers.min(max_workers));
        if min_workers > max_workers {
            let path = fields.path_of("min_workers");
            fields.report.problem(Problem::new(
                ProblemKind::Conflict,
                path,
                format!("{min_workers} is greater than `max_workers`, which is {max_workers}"),
                "lower `min_workers` or raise `max_workers`",
            ));
        }
        fields.finish();
        Some(WorkerPoolManifest {
            min_workers,
            max_workers,
            queue_size,
            adaptive_scaling: adaptive_scaling.unwrap_or(defaults.adaptive_scaling),
            scaling_threshold: scaling_threshold.unwrap_or(defaults.scaling_threshold),
            shutdown_timeout,
            batch,
            idle_timeout,
            process_timeout,
            max_abandoned,
        })
    }
}

impl Default for WorkerPoolManifest {
    fn default() -> WorkerPoolManifest {
        WorkerPoolManifest {
            min_workers: 1,
            max_workers: 4,
            queue_size: 1024,
            adaptive_scaling: true,
            scaling_threshold: 0.7,
            shutdown_timeout: Duration::from_secs(5),
            batch: None,
            idle_timeout: Duration::from_secs(30),
            process_timeout: Duration::from_secs(30),
            max_abandoned: None,
        }
    }
}
