//! The host's services in miniature.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex},
    task::Waker,
    time::Duration,
};

use patchbay_loader::{
    LogLevel, LogLine, MessageParts, MetricKind, Publish, PublishMany, Refused, Services,
    SpanBegin, SpanBegun, SpanStatus, Wait,
};
use patchbay_slab::{Draft, Message, Parts, Slab};

/// Remembers what a library asked for.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) published: Mutex<Vec<Message>>,
    pub(crate) fired: Arc<Mutex<Vec<u64>>>,
}

impl Recorder {
    fn note(&self, line: String) {
        self.log.lock().expect("the log").push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().expect("the log").clone()
    }
}

impl Services for Recorder {
    fn publish(&self, request: Publish<'_>) -> Result<u32, Refused> {
        let cause = request.cause.map_or("", Message::topic);
        let wait = match request.wait {
            Wait::No => "no".to_owned(),
            Wait::Waker(_) => "waker".to_owned(),
            Wait::Token { lane } => format!("{lane:?}"),
        };
        self.note(format!("publish {} because of {cause}, wait {wait}", request.message.topic()));
        match request.message.topic() {
            "full" => Err(Refused::Full { token: NonZeroU64::new(5) }),
            "denied" => Err(Refused::Denied),
            "panic" => panic!("a fault of the host"),
            _ => {
                self.published.lock().expect("the messages").push(request.message.clone());
                Ok(3)
            }
        }
    }

    fn publish_many(&self, request: PublishMany<'_>) -> (usize, Option<Refused>) {
        let wait = || match request.wait {
            Wait::No => Wait::No,
            Wait::Waker(ref waker) => Wait::Waker(waker.clone()),
            Wait::Token { lane } => Wait::Token { lane },
        };
        for (accepted, message) in request.messages.iter().enumerate() {
            let one = Publish { message, cause: request.cause, wait: wait() };
            if let Err(refused) = self.publish(one) {
                return (accepted, Some(refused));
            }
        }
        (request.messages.len(), None)
    }

    fn forget(&self, token: u64) {
        self.note(format!("forget {token}"));
    }

    fn message_new(&self, parts: &MessageParts<'_>) -> Option<Draft> {
        if parts.topic == "invalid" {
            return None;
        }
        let parts = Parts {
            topic: parts.topic,
            key: parts.key,
            headers: parts.headers,
            payload_len: parts.payload_len,
            id: parts.id,
            ..Parts::default()
        };
        Some(Slab::new().draft(&parts))
    }

    fn message_derive(&self, base: &Message, parts: &MessageParts<'_>) -> Option<Message> {
        let parts = Parts { topic: parts.topic, headers: parts.headers, ..Parts::default() };
        Some(Slab::new().derive(base, &parts))
    }

    fn subscribe(&self, pattern: &str) -> Result<u32, Refused> {
        if pattern == "denied" { Err(Refused::Denied) } else { Ok(11) }
    }

    fn unsubscribe(&self, subscription: u32) -> bool {
        subscription == 11
    }

    fn config_get(&self, path: &str) -> Option<String> {
        (path == "a.b").then(|| "\"value\"".to_owned())
    }

    fn log(&self, line: &LogLine<'_>) {
        let level = match line.level {
            LogLevel::Warn => "warn",
            _ => "other",
        };
        self.note(format!("{level} {} {}:{} {}", line.target, line.file, line.line, line.text));
    }

    fn metric(&self, kind: MetricKind, name: &str) -> u32 {
        self.note(format!("metric {kind:?} {name}"));
        4
    }

    fn metric_record(&self, metric: u32, value: f64, attributes: &[(&str, &str)]) {
        self.note(format!("record {metric} {value} {attributes:?}"));
    }

    fn span_begin(&self, span: &SpanBegin<'_>) -> SpanBegun {
        let message = span.message.map_or("", Message::topic);
        self.note(format!("span {} of {message} {:?}", span.name, span.attributes));
        SpanBegun { span: 9, traceparent: Some("00-trace-span-01".to_owned()) }
    }

    fn span_end(&self, span: u64, status: SpanStatus, text: &str) {
        self.note(format!("end {span} {status:?} {text}"));
    }

    fn timer(&self, delay_ns: u64, waker: Waker) -> Option<NonZeroU64> {
        let fired = self.fired.clone();
        let token = 40 + fired.lock().expect("the timers").len() as u64;
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_nanos(delay_ns));
            fired.lock().expect("the timers").push(token);
            waker.wake();
        });
        NonZeroU64::new(token)
    }

    fn timer_fired(&self, token: u64) -> bool {
        self.fired.lock().expect("the timers").contains(&token)
    }
}
