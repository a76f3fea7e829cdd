//! What one plugin counts.
//!
//! Every value goes two ways: into OpenTelemetry's instruments (whoever installed a meter provider
//! exports them), and into rows of our own, which `plugin info` shows without any exporter.
//!
//! Quantiles come from buckets whose bounds grow by 10 %, so they are within 5 % of the truth and
//! need no boundaries chosen beforehand.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use patchbay_loader::MetricKind;

use crate::view::MetricView;

/// Attributes of a value, sorted.
type Attributes = Vec<(String, String)>;

/// Growth of the buckets of a histogram.
const GROWTH: f64 = 1.1;
/// Exponents of the outermost buckets: 1.1^±720 is about 10^±30.
const EXPONENT_MAX: f64 = 720.0;
/// Name of the attribute that marks the row for what found no room.
const OVERFLOW: &str = "otel.metric.overflow";

/// The metrics of one plugin.
#[derive(Debug)]
pub(crate) struct Metrics {
    meter: Meter,
    plugin: KeyValue,
    rows_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<(MetricKind, String), u32>,
    metrics: Vec<Metric>,
    rows: usize,
}

#[derive(Debug)]
struct Metric {
    kind: MetricKind,
    name: String,
    instrument: Instrument,
    rows: BTreeMap<Attributes, Row>,
}

#[derive(Debug)]
enum Instrument {
    Counter(Counter<f64>),
    Gauge(Gauge<f64>),
    Histogram(Histogram<f64>),
}

#[derive(Debug, Default)]
struct Row {
    count: u64,
    sum: f64,
    last: f64,
    min: f64,
    max: f64,
    /// Values by the logarithm of their size: (negative, exponent).
    buckets: BTreeMap<i32, u64>,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(plugin: &str, rows_max: usize) -> Metrics {
        Metrics {
            meter: opentelemetry::global::meter(super::SCOPE),
            plugin: KeyValue::new("patchbay.plugin.name", plugin.to_owned()),
            rows_max: rows_max.max(1),
            table: Mutex::default(),
        }
    }

    /// The number of a metric; 0 when there are too many.
    pub(crate) fn intern(&self, kind: MetricKind, name: &str) -> u32 {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, name.to_owned());
        if let Some(number) = table.numbers.get(&key) {
            return *number;
        }
        if table.metrics.len() >= self.rows_max {
            return 0;
        }
        let instrument = Instrument::new(&self.meter, kind, name);
        let rows = BTreeMap::new();
        table.metrics.push(Metric { kind, name: name.to_owned(), instrument, rows });
        let number = u32::try_from(table.metrics.len()).unwrap_or(0);
        table.numbers.insert(key, number);
        number
    }

    /// Records a value. One that is no number, or a counter's negative one, says nothing and is
    /// left out.
    pub(crate) fn record(&self, number: u32, value: f64, attributes: &[(&str, &str)]) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { metrics, rows, .. } = &mut *table;
        let index = (number as usize).checked_sub(1);
        let Some(metric) = index.and_then(|index| metrics.get_mut(index)) else { return };
        if !value.is_finite() || metric.kind == MetricKind::Counter && value < 0.0 {
            return;
        }
        let mut key: Attributes =
            attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        key.sort_unstable();
        if !metric.rows.contains_key(&key) {
            if *rows >= self.rows_max {
                key = vec![(OVERFLOW.to_owned(), "true".to_owned())];
            }
            *rows += usize::from(!metric.rows.contains_key(&key));
        }
        let mut labels: Vec<KeyValue> =
            key.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone())).collect();
        labels.push(self.plugin.clone());
        metric.rows.entry(key).or_default().record(metric.kind, value);
        metric.instrument.record(value, &labels);
    }

    /// Every row, by name.
    pub(crate) fn view(&self) -> Vec<MetricView> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = table.metrics.iter().flat_map(|metric| {
            metric.rows.iter().map(|(attributes, row)| row.view(metric, attributes))
        });
        let mut views: Vec<MetricView> = rows.collect();
        views.sort_by(|a, b| (&a.name, &a.attributes).cmp(&(&b.name, &b.attributes)));
        views
    }
}

// === impl Instrument ===

impl Instrument {
    fn new(meter: &Meter, kind: MetricKind, name: &str) -> Instrument {
        let name = name.to_owned();
        match kind {
            MetricKind::Counter => Instrument::Counter(meter.f64_counter(name).build()),
            MetricKind::Gauge => Instrument::Gauge(meter.f64_gauge(name).build()),
            MetricKind::Histogram => Instrument::Histogram(meter.f64_histogram(name).build()),
        }
    }

    fn record(&self, value: f64, attributes: &[KeyValue]) {
        match self {
            Instrument::Counter(counter) => counter.add(value, attributes),
            Instrument::Gauge(gauge) => gauge.record(value, attributes),
            Instrument::Histogram(histogram) => histogram.record(value, attributes),
        }
    }
}

// === impl Row ===

impl Row {
    fn record(&mut self, kind: MetricKind, value: f64) {
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        }
        self.count += 1;
        self.sum += value;
        self.last = value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if kind == MetricKind::Histogram {
            *self.buckets.entry(bucket(value)).or_default() += 1;
        }
    }

    /// The value below which that share of all values lies.
    fn quantile(&self, share: f64) -> f64 {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return middle(*bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }

    fn view(&self, metric: &Metric, attributes: &Attributes) -> MetricView {
        let (kind, value) = match metric.kind {
            MetricKind::Counter => ("counter", self.sum),
            MetricKind::Gauge => ("gauge", self.last),
            MetricKind::Histogram => ("histogram", self.sum),
        };
        let of_histogram = |value: f64| (metric.kind == MetricKind::Histogram).then_some(value);
        MetricView {
            name: metric.name.clone(),
            kind: kind.to_owned(),
            attributes: attributes.iter().cloned().collect(),
            value,
            count: self.count,
            min: of_histogram(self.min),
            max: of_histogram(self.max),
            p50: of_histogram(self.quantile(0.5)),
            p99: of_histogram(self.quantile(0.99)),
        }
    }
}

/// The bucket of a value. Buckets are ordered as the values are: negative ones below 0, which has
/// one of its own.
fn bucket(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    let exponent = value.abs().log(GROWTH).floor().clamp(-EXPONENT_MAX, EXPONENT_MAX);
    let rank = (exponent + EXPONENT_MAX) as i32 + 1;
    if value > 0.0 { rank } else { -rank }
}

/// The value in the middle of a bucket.
fn middle(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let exponent = f64::from(bucket.abs() - 1) - EXPONENT_MAX;
    GROWTH.powf(exponent + 0.5).copysign(f64::from(bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_gauges_keep_the_last_and_histograms_know_their_quantiles() {
        let metrics = Metrics::new("echo", 10);
        let counter = metrics.intern(MetricKind::Counter, "seen");
        let gauge = metrics.intern(MetricKind::Gauge, "level");
        let histogram = metrics.intern(MetricKind::Histogram, "took");
        assert_eq!(counter, metrics.intern(MetricKind::Counter, "seen"));
        for i in 1..=1_000 {
            metrics.record(counter, 2.0, &[("kind", "a")]);
            metrics.record(gauge, f64::from(i), &[]);
            metrics.record(histogram, f64::from(i), &[]);
        }
        metrics.record(counter, -1.0, &[("kind", "a")]);
        metrics.record(histogram, f64::NAN, &[]);
        let views = metrics.view();
        let find = |name: &str| views.iter().find(|it| it.name == name).expect("a row");
        assert_eq!(find("seen").value, 2_000.0);
        assert_eq!(find("seen").attributes["kind"], "a");
        assert_eq!(find("level").value, 1_000.0);
        let took = find("took");
        assert_eq!((took.count, took.min, took.max), (1_000, Some(1.0), Some(1_000.0)));
        let (p50, p99) = (took.p50.expect("a median"), took.p99.expect("a 99th"));
        assert!((475.0..=525.0).contains(&p50), "{p50}");
        assert!((940.0..=1_000.0).contains(&p99), "{p99}");
    }

    #[test]
    fn quantiles_are_in_order_across_zero() {
        let metrics = Metrics::new("echo", 10);
        let histogram = metrics.intern(MetricKind::Histogram, "delta");
        for value in [-1_000.0, -1.0, -1.0, 0.0, 5.0] {
            metrics.record(histogram, value, &[]);
        }
        let view = metrics.view().remove(0);
        let p50 = view.p50.expect("a median");
        assert!((-1.05..=-0.95).contains(&p50), "{p50}");
    }

    #[test]
    fn rows_are_bounded_and_what_finds_no_room_is_still_counted() {
        let metrics = Metrics::new("echo", 3);
        let counter = metrics.intern(MetricKind::Counter, "seen");
        for i in 0..100 {
            metrics.record(counter, 1.0, &[("id", &i.to_string())]);
        }
        let views = metrics.view();
        assert_eq!(views.len(), 4, "three rows and the one for the rest");
        assert_eq!(views.iter().map(|view| view.value).sum::<f64>(), 100.0);
    }
}
