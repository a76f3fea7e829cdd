//! Metrics and spans.

use std::{collections::HashMap, hash::BuildHasher, ptr, sync::Arc};

use patchbay_abi::{Header, Str, host::metric};

use crate::{
    host::{HostRef, Link},
    log::Level,
    scope::Scope,
};

/// Logs, metrics and spans of a plugin. A clone is one reference count.
#[derive(Clone, Debug)]
pub struct Telemetry {
    link: Arc<Link>,
}

/// A sum that only grows. Cheap to clone and to use; its name was looked up once.
#[derive(Clone, Debug)]
pub struct Counter {
    link: Arc<Link>,
    id: u32,
}

/// A value that comes and goes.
#[derive(Clone, Debug)]
pub struct Gauge {
    link: Arc<Link>,
    id: u32,
}

/// A distribution of values.
#[derive(Clone, Debug)]
pub struct Histogram {
    link: Arc<Link>,
    id: u32,
}

/// A piece of work, timed and placed in a trace. Ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    core: Arc<SpanCore>,
}

/// While this lives, the span is the one that new spans stand below and published messages carry,
/// within the call that entered it, also across its `await`s.
#[derive(Debug)]
#[must_use = "a span is left when this is dropped"]
pub struct SpanGuard<'a> {
    span: &'a Span,
    /// The call it was entered in, and the span that was entered there; `None` outside a call.
    before: Option<(u64, Option<Arc<SpanCore>>)>,
}

/// Ends the span with its last clone.
#[derive(Debug)]
pub(crate) struct SpanCore {
    link: Arc<Link>,
    id: u64,
    traceparent: Box<str>,
    end: std::sync::Mutex<(u32, String)>,
}

/// Attributes of a metric or a span: `()`, `[("name", "value")]`, or a map of strings.
pub trait Attributes: sealed::Sealed {
    /// Lends them as the boundary wants them.
    #[doc(hidden)]
    fn lend<R>(&self, f: impl FnOnce(&[Header]) -> R) -> R;
}

mod sealed {
    pub trait Sealed {}
}

// === impl Telemetry ===

impl Telemetry {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Telemetry { link }
    }

    /// The counter of that name.
    #[must_use]
    pub fn counter(&self, name: &str) -> Counter {
        Counter { link: self.link.clone(), id: self.link.host.metric(metric::COUNTER, name) }
    }

    /// The gauge of that name.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Gauge {
        Gauge { link: self.link.clone(), id: self.link.host.metric(metric::GAUGE, name) }
    }

    /// The histogram of that name.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Histogram {
        Histogram { link: self.link.clone(), id: self.link.host.metric(metric::HISTOGRAM, name) }
    }

    /// See [`PluginContext::create_span`](crate::PluginContext::create_span).
    #[must_use]
    pub fn create_span(&self, name: &str, attributes: impl Attributes) -> Span {
        let host = self.link.host;
        let (parent, message) = Scope::current(host, |scope| match scope {
            Some(scope) => (scope.span(), scope.message),
            None => (None, ptr::null()),
        });
        self.begin(name, message, parent.map_or(0, |span| span.id), attributes)
    }

    /// Writes a log line.
    pub fn log(&self, level: Level, target: &str, file: &str, line: u32, text: &str) {
        self.link.host.log(level.code(), target, file, line, text);
    }

    fn begin(
        &self,
        name: &str,
        message: *const patchbay_abi::Message,
        parent: u64,
        attributes: impl Attributes,
    ) -> Span {
        let host = self.link.host;
        let (id, context) =
            attributes.lend(|attributes| host.span_begin(name, message, parent, attributes));
        let core = SpanCore {
            link: self.link.clone(),
            id,
            traceparent: String::from_utf8(context).unwrap_or_default().into_boxed_str(),
            end: std::sync::Mutex::default(),
        };
        Span { core: Arc::new(core) }
    }
}

// === impl Counter ===

impl Counter {
    /// Adds.
    pub fn add(&self, value: u64) {
        self.add_with(value, ());
    }

    /// Adds, with attributes.
    pub fn add_with(&self, value: u64, attributes: impl Attributes) {
        record(self.link.host, self.id, value as f64, &attributes);
    }
}

// === impl Gauge ===

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.set_with(value, ());
    }

    /// Sets the value, with attributes.
    pub fn set_with(&self, value: f64, attributes: impl Attributes) {
        record(self.link.host, self.id, value, &attributes);
    }
}

// === impl Histogram ===

impl Histogram {
    /// Adds a value.
    pub fn record(&self, value: f64) {
        self.record_with(value, ());
    }

    /// Adds a value, with attributes.
    pub fn record_with(&self, value: f64, attributes: impl Attributes) {
        record(self.link.host, self.id, value, &attributes);
    }
}

fn record(host: HostRef, id: u32, value: f64, attributes: &impl Attributes) {
    attributes.lend(|attributes| host.record(id, value, attributes));
}

// === impl Span ===

impl Span {
    /// Makes this the span of what follows in this call, until the guard is dropped.
    pub fn enter(&self) -> SpanGuard<'_> {
        let before = Scope::current(self.core.link.host, |scope| {
            let scope = scope?;
            Some((scope.id(), scope.replace_span(Some(self.core.clone()))))
        });
        SpanGuard { span: self, before }
    }

    /// A span below this one, wherever it is begun: also in a task that a handler spawned.
    #[must_use]
    pub fn child(&self, name: &str, attributes: impl Attributes) -> Span {
        let telemetry = Telemetry { link: self.core.link.clone() };
        telemetry.begin(name, ptr::null(), self.core.id, attributes)
    }

    /// The span's W3C `traceparent`, when the host traces.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.core.traceparent()
    }

    /// Says that the work went well.
    pub fn ok(&self) {
        self.end_as(1, String::new());
    }

    /// Says that the work failed, and how.
    pub fn error(&self, text: impl Into<String>) {
        self.end_as(2, text.into());
    }

    fn end_as(&self, status: u32, text: String) {
        *self.core.end.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (status, text);
    }
}

// === impl SpanGuard ===

impl Drop for SpanGuard<'_> {
    fn drop(&mut self) {
        let Some((call, before)) = self.before.take() else { return };
        Scope::current(self.span.core.link.host, |scope| {
            // Dropped elsewhere, it must not touch the span of another call.
            if let Some(scope) = scope.filter(|scope| scope.id() == call) {
                drop(scope.replace_span(before));
            }
        });
    }
}

// === impl SpanCore ===

impl SpanCore {
    pub(crate) fn traceparent(&self) -> Option<&str> {
        Some(&*self.traceparent).filter(|context| !context.is_empty())
    }
}

impl Drop for SpanCore {
    fn drop(&mut self) {
        let end = self.end.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.link.host.span_end(self.id, end.0, &end.1);
    }
}

// === impl Attributes ===

impl sealed::Sealed for () {}

impl Attributes for () {
    fn lend<R>(&self, f: impl FnOnce(&[Header]) -> R) -> R {
        f(&[])
    }
}

impl<const N: usize> sealed::Sealed for [(&str, &str); N] {}

impl<const N: usize> Attributes for [(&str, &str); N] {
    fn lend<R>(&self, f: impl FnOnce(&[Header]) -> R) -> R {
        f(&self.map(|(name, value)| Header { name: Str::new(name), value: Str::new(value) }))
    }
}

impl sealed::Sealed for &[(&str, &str)] {}

impl Attributes for &[(&str, &str)] {
    fn lend<R>(&self, f: impl FnOnce(&[Header]) -> R) -> R {
        let attributes: Vec<_> = self
            .iter()
            .map(|(name, value)| Header { name: Str::new(name), value: Str::new(value) })
            .collect();
        f(&attributes)
    }
}

impl<S: BuildHasher> sealed::Sealed for HashMap<String, String, S> {}

impl<S: BuildHasher> Attributes for HashMap<String, String, S> {
    fn lend<R>(&self, f: impl FnOnce(&[Header]) -> R) -> R {
        let attributes: Vec<_> = self
            .iter()
            .map(|(name, value)| Header { name: Str::new(name), value: Str::new(value) })
            .collect();
        f(&attributes)
    }
}
