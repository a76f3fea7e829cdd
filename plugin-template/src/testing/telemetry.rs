//! What a plugin logged and measured in a test.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::log::Level;

/// Collects logs, metrics and spans.
#[derive(Debug, Default)]
pub struct TelemetryContext {
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    logs: Vec<LogLine>,
    /// Kind and name; the id of a metric is its place here.
    metrics: Vec<(u32, String)>,
    measured: Vec<Measured>,
    spans: Vec<SpanRecord>,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// Who says it, usually a module path.
    pub target: String,
    /// Source file; empty when it was not said.
    pub file: String,
    /// Line of the source file.
    pub line: u32,
    /// What it says.
    pub text: String,
}

/// One recorded value of a metric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// Name of the metric.
    pub name: String,
    /// The value: of a counter, what was added.
    pub value: f64,
    /// Attributes, in the order given.
    pub attributes: Vec<(String, String)>,
}

/// A span.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanRecord {
    /// Its number, from 1.
    pub id: u64,
    /// The span it stands below; 0 = none.
    pub parent: u64,
    /// Its name.
    pub name: String,
    /// Attributes, in the order given.
    pub attributes: Vec<(String, String)>,
    /// Its W3C trace context.
    pub traceparent: String,
    /// 0 = unset, 1 = ok, 2 = error. `None` while it lasts.
    pub ended: Option<(u32, String)>,
}

// === impl TelemetryContext ===

impl TelemetryContext {
    /// Nothing recorded.
    #[must_use]
    pub fn new() -> Self {
        TelemetryContext::default()
    }

    /// All log lines so far.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.lock().logs.clone()
    }

    /// All values of a metric so far, in the order they were recorded.
    #[must_use]
    pub fn measured(&self, name: &str) -> Vec<Measured> {
        self.lock().measured.iter().filter(|point| point.name == name).cloned().collect()
    }

    /// The sum of a counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> f64 {
        self.measured(name).iter().map(|point| point.value).sum()
    }

    /// All spans so far, in the order they were begun.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanRecord> {
        self.lock().spans.clone()
    }

    pub(crate) fn log(&self, line: LogLine) {
        self.lock().logs.push(line);
    }

    pub(crate) fn metric(&self, kind: u32, name: &str) -> u32 {
        let metrics = &mut self.lock().metrics;
        let known = metrics.iter().position(|known| known.0 == kind && known.1 == name);
        let at = known.unwrap_or_else(|| {
            metrics.push((kind, name.to_owned()));
            metrics.len() - 1
        });
        at as u32
    }

    pub(crate) fn record(&self, metric: u32, value: f64, attributes: Vec<(String, String)>) {
        let recorded = &mut *self.lock();
        if let Some((_, name)) = recorded.metrics.get(metric as usize) {
            recorded.measured.push(Measured { name: name.clone(), value, attributes });
        }
    }

    /// Begins a span in the trace of `within`, or in one of its own.
    pub(crate) fn begin(
        &self,
        name: &str,
        parent: u64,
        within: Option<&str>,
        attributes: Vec<(String, String)>,
    ) -> (u64, String) {
        let spans = &mut self.lock().spans;
        let id = spans.len() as u64 + 1;
        let above = spans.iter().find(|span| span.id == parent).map(|span| &*span.traceparent);
        let trace = above.or(within).and_then(|context| context.get(3..35)).map(str::to_owned);
        let trace = trace.unwrap_or_else(|| format!("{id:032x}"));
        let traceparent = format!("00-{trace}-{id:016x}-01");
        spans.push(SpanRecord {
            id,
            parent,
            name: name.to_owned(),
            attributes,
            traceparent: traceparent.clone(),
            ended: None,
        });
        (id, traceparent)
    }

    pub(crate) fn end(&self, span: u64, status: u32, text: &str) {
        if let Some(span) = self.lock().spans.iter_mut().find(|known| known.id == span) {
            span.ended = Some((status, text.to_owned()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
