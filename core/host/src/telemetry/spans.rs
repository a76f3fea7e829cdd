//! What one plugin traces.
//!
//! A span is begun with OpenTelemetry's tracer. When somebody installed a tracer provider, its ids
//! are used and it exports the span; when nobody did, the ids are ours, so that a trace holds
//! together in `plugin info` and in message headers all the same.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    global::BoxedSpan,
    trace::{
        Span as _, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, Tracer as _,
    },
};
use patchbay_loader::{SpanBegun, SpanStatus};

use super::trace::TraceContext;
use crate::{dice::Dice, moment, view::SpanView};

/// The spans of one plugin: those that are open, and the latest that ended.
#[derive(Debug)]
pub(crate) struct Spans {
    dice: Arc<Dice>,
    plugin: KeyValue,
    open_max: usize,
    kept_max: usize,
    next: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<u64, Open>,
    kept: VecDeque<SpanView>,
}

#[derive(Debug)]
struct Open {
    context: TraceContext,
    view: SpanView,
    started_ns: u64,
    exported: BoxedSpan,
}

/// A span that is to begin.
#[derive(Debug)]
pub(crate) struct Begin<'a> {
    pub(crate) name: &'a str,
    /// Trace context of the message that is being handled.
    pub(crate) traceparent: Option<&'a str>,
    /// The span above it, 0 = none.
    pub(crate) parent: u64,
    pub(crate) attributes: &'a [(&'a str, &'a str)],
    pub(crate) generation: u64,
    pub(crate) unix_ns: u64,
    pub(crate) mono_ns: u64,
}

// === impl Spans ===

impl Spans {
    pub(crate) fn new(plugin: &str, open_max: usize, kept_max: usize, dice: Arc<Dice>) -> Spans {
        Spans {
            dice,
            plugin: KeyValue::new("patchbay.plugin.name", plugin.to_owned()),
            open_max,
            kept_max: kept_max.max(1),
            next: AtomicU64::new(1),
            table: Mutex::default(),
        }
    }

    /// Begins a span. With too many open, it has an id for messages but is not recorded.
    pub(crate) fn begin(&self, begin: &Begin<'_>) -> SpanBegun {
        let above = self.above(begin);
        let mut exported = self.export(begin, above);
        let theirs = exported.span_context();
        let context = if theirs.is_valid() {
            TraceContext {
                trace: u128::from_be_bytes(theirs.trace_id().to_bytes()),
                span: u64::from_be_bytes(theirs.span_id().to_bytes()),
                sampled: theirs.is_sampled(),
            }
        } else {
            above.map_or_else(|| TraceContext::root(&self.dice), |above| above.child(&self.dice))
        };
        let traceparent = Some(context.to_string());
        let view = SpanView {
            trace_id: format!("{:032x}", context.trace),
            span_id: format!("{:016x}", context.span),
            parent_id: above.map(|above| format!("{:016x}", above.span)),
            name: begin.name.to_owned(),
            generation: begin.generation,
            started_at: moment::text(begin.unix_ns),
            duration_ns: 0,
            status: "unset".to_owned(),
            text: None,
            attributes: begin
                .attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.open.len() >= self.open_max {
            drop(table);
            exported.end();
            return SpanBegun { span: 0, traceparent };
        }
        let span = self.next.fetch_add(1, Relaxed);
        table.open.insert(span, Open { context, view, started_ns: begin.mono_ns, exported });
        SpanBegun { span, traceparent }
    }

    /// Ends a span. One that is not known was not recorded.
    pub(crate) fn end(&self, span: u64, status: SpanStatus, text: &str, mono_ns: u64) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Open { mut view, started_ns, mut exported, .. }) = table.open.remove(&span) else {
            return;
        };
        view.duration_ns = mono_ns.saturating_sub(started_ns);
        view.text = Some(text.to_owned()).filter(|text| !text.is_empty());
        let (word, theirs) = match status {
            SpanStatus::Unset => ("unset", Status::Unset),
            SpanStatus::Ok => ("ok", Status::Ok),
            SpanStatus::Error => ("error", Status::error(text.to_owned())),
        };
        view.status = word.to_owned();
        while table.kept.len() >= self.kept_max {
            table.kept.pop_front();
        }
        table.kept.push_back(view);
        drop(table);
        exported.set_status(theirs);
        exported.end();
    }

    /// Forgets the open spans of a generation that is gone.
    pub(crate) fn forget(&self, generation: u64) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.open.retain(|_, open| open.view.generation != generation);
    }

    /// The latest spans that ended, newest first.
    pub(crate) fn view(&self) -> Vec<SpanView> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.kept.iter().rev().cloned().collect()
    }

    fn above(&self, begin: &Begin<'_>) -> Option<TraceContext> {
        if begin.parent != 0 {
            let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = table.open.get(&begin.parent) {
                return Some(open.context);
            }
        }
        begin.traceparent.and_then(TraceContext::parse)
    }

    fn export(&self, begin: &Begin<'_>, above: Option<TraceContext>) -> BoxedSpan {
        let tracer = opentelemetry::global::tracer(super::SCOPE);
        let mut attributes: Vec<KeyValue> = begin
            .attributes
            .iter()
            .map(|(name, value)| KeyValue::new((*name).to_owned(), (*value).to_owned()))
            .collect();
        attributes.push(self.plugin.clone());
        let builder = tracer
            .span_builder(begin.name.to_owned())
            .with_start_time(SystemTime::UNIX_EPOCH + Duration::from_nanos(begin.unix_ns))
            .with_attributes(attributes);
        let parent = match above {
            None => Context::new(),
            Some(above) => Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from_bytes(above.trace.to_be_bytes()),
                SpanId::from_bytes(above.span.to_be_bytes()),
                if above.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
                true,
                TraceState::default(),
            )),
        };
        builder.start_with_context(&tracer, &parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(open_max: usize) -> Spans {
        Spans::new("echo", open_max, 2, Arc::new(Dice::new()))
    }

    fn begin<'a>(name: &'a str, parent: u64, traceparent: Option<&'a str>) -> Begin<'a> {
        let attributes = &[];
        Begin { name, traceparent, parent, attributes, generation: 1, unix_ns: 0, mono_ns: 10 }
    }

    #[test]
    fn a_span_continues_the_trace_of_its_message_and_its_children_continue_it() {
        let spans = spans(10);
        let message = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let outer = spans.begin(&begin("outer", 0, Some(message)));
        let inner = spans.begin(&begin("inner", outer.span, Some(message)));
        spans.end(inner.span, SpanStatus::Error, "no", 15);
        spans.end(outer.span, SpanStatus::Ok, "", 30);
        let views = spans.view();
        assert_eq!(views[0].name, "outer");
        assert!(views.iter().all(|it| it.trace_id == "0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(views[0].parent_id.as_deref(), Some("b7ad6b7169203331"));
        assert_eq!(views[1].parent_id.as_deref(), Some(views[0].span_id.as_str()));
        assert_eq!((views[1].duration_ns, views[1].status.as_str()), (5, "error"));
    }

    #[test]
    fn open_and_kept_spans_are_bounded() {
        let spans = spans(1);
        let first = spans.begin(&begin("a", 0, None));
        let second = spans.begin(&begin("b", 0, None));
        assert_eq!(second.span, 0);
        assert!(second.traceparent.is_some(), "it still has a place in a trace");
        spans.end(first.span, SpanStatus::Ok, "", 20);
        for _ in 0..5 {
            let span = spans.begin(&begin("c", 0, None));
            spans.end(span.span, SpanStatus::Ok, "", 20);
        }
        assert_eq!(spans.view().len(), 2);
    }
}
