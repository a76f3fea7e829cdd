//! Views of what plugins log, count and trace, and of the host's events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event of `$PB.>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// When, RFC 3339.
    pub at: String,
    /// Topic, such as `$PB.plugin.echo.state`.
    pub topic: String,
    /// What happened.
    pub data: Value,
    /// Events that this reader missed before this one.
    pub missed: u64,
}

/// One line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Number of the line within the host's life; grows.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Plugin that wrote it, or that the host wrote it about.
    pub plugin: String,
    /// Generation that wrote it.
    pub generation: Option<u64>,
    /// Module or category.
    pub target: String,
    /// Text; control characters escaped.
    pub text: String,
}

/// A metric that a plugin recorded, one row per set of attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricView {
    /// Name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Counter: sum. Gauge: last value. Histogram: sum.
    pub value: f64,
    /// How many values were recorded.
    pub count: u64,
    /// Histogram: least value.
    pub min: Option<f64>,
    /// Histogram: greatest value.
    pub max: Option<f64>,
    /// Histogram: median, within 5 %.
    pub p50: Option<f64>,
    /// Histogram: 99th percentile, within 5 %.
    pub p99: Option<f64>,
}

/// What the host counts of itself, at one moment: one row of `GET /metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureView {
    /// Name, with dots.
    pub name: String,
    /// Kind.
    pub kind: MeasureKind,
    /// What it says.
    pub help: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Value.
    pub value: u64,
}

/// What may be done with a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeasureKind {
    /// It only grows while the host lives.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A finished span of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanView {
    /// Trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// Span, 16 hexadecimal digits.
    pub span_id: String,
    /// Parent span; absent for the root of a trace.
    pub parent_id: Option<String>,
    /// Name.
    pub name: String,
    /// Generation that made it.
    pub generation: u64,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took, nanoseconds.
    pub duration_ns: u64,
    /// `unset`, `ok` or `error`.
    pub status: String,
    /// Text of the status.
    pub text: Option<String>,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
}
