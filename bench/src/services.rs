//! A host that serves nothing: what the loader's benchmarks stand on.

use std::{num::NonZeroU64, task::Waker};

use patchbay_loader::{
    LogLine, MessageParts, MetricKind, Publish, PublishMany, Refused, Services, SpanBegin,
    SpanBegun, SpanStatus,
};
use patchbay_slab::{Draft, Message};

/// Refuses everything, records nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoServices;

impl Services for NoServices {
    fn publish(&self, _: Publish<'_>) -> Result<u32, Refused> {
        Err(Refused::Closed)
    }
    fn publish_many(&self, _: PublishMany<'_>) -> (usize, Option<Refused>) {
        (0, Some(Refused::Closed))
    }
    fn forget(&self, _: u64) {}
    fn message_new(&self, _: &MessageParts<'_>) -> Option<Draft> {
        None
    }
    fn message_derive(&self, _: &Message, _: &MessageParts<'_>) -> Option<Message> {
        None
    }
    fn subscribe(&self, _: &str) -> Result<u32, Refused> {
        Err(Refused::Closed)
    }
    fn unsubscribe(&self, _: u32) -> bool {
        false
    }
    fn config_get(&self, _: &str) -> Option<String> {
        None
    }
    fn log(&self, _: &LogLine<'_>) {}
    fn metric(&self, _: MetricKind, _: &str) -> u32 {
        0
    }
    fn metric_record(&self, _: u32, _: f64, _: &[(&str, &str)]) {}
    fn span_begin(&self, _: &SpanBegin<'_>) -> SpanBegun {
        SpanBegun::default()
    }
    fn span_end(&self, _: u64, _: SpanStatus, _: &str) {}
    fn timer(&self, _: u64, _: Waker) -> Option<NonZeroU64> {
        None
    }
    fn timer_fired(&self, _: u64) -> bool {
        true
    }
}
