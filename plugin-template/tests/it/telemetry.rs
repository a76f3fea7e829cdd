//! Logs, metrics, spans and settings.

use std::collections::HashMap;

use patchbay_plugin::{
    ConfigError, Level, Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus,
    Runtime, info,
    testing::{MockHost, TestMessage},
};
use serde_json::json;

use crate::acts::{LANE, SLOTS, yield_once};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

struct Traced<const RUNTIME: u8>(PluginContext);

impl<const RUNTIME: u8> PluginProcessor for Traced<RUNTIME> {
    const RUNTIME: Runtime = match RUNTIME {
        SLOTS => Runtime::None,
        _ => Runtime::Lane,
    };

    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Traced(context))
    }

    fn context(&self) -> &PluginContext {
        &self.0
    }

    async fn process(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        let id = message.id().to_string();
        let span = self.0.create_span("outer", [("message_id", id.as_str())]);
        {
            let _guard = span.enter();
            // Held over a suspension, the guard still belongs to this call and to no other.
            yield_once().await;
            let inner = self.0.create_span("inner", ());
            {
                let _guard = inner.enter();
                self.0.publish("from.inner", "1").await?;
            }
            inner.error("no luck");
            self.0.publish("from.outer", "2").await?;
        }
        span.ok();
        self.0.publish("from.none", "3").await?;
        let context = self.0.message_builder().topic("from.named").span(&span);
        context.publish().await?;
        Ok(ProcessingStatus::Acknowledged)
    }
}

async fn a_published_message_carries_the_span_that_is_entered<const RUNTIME: u8>() {
    let host = MockHost::new();
    let plugin = host.run::<Traced<RUNTIME>>().unwrap();
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let message = || TestMessage::new("in").header("traceparent", &traceparent).build();
    let calls: Vec<_> = (0..4).map(|_| plugin.deliver(&message())).collect();
    for call in calls {
        assert!(call.await.is_acknowledged());
    }
    let spans = host.telemetry.spans();
    assert_eq!(spans.len(), 8);
    for span in &spans {
        assert!(span.traceparent.contains(TRACE), "the trace of the message goes on");
    }
    let outer: Vec<_> = spans.iter().filter(|span| span.name == "outer").collect();
    for (at, inner) in spans.iter().filter(|span| span.name == "inner").enumerate() {
        let above = outer.iter().find(|outer| outer.id == inner.parent);
        let above = above.unwrap_or_else(|| panic!("span {} stands below no outer one", inner.id));
        assert_eq!(inner.ended, Some((2, "no luck".to_owned())));
        assert_eq!(above.ended, Some((1, String::new())));
        assert_eq!(above.attributes[0].0, "message_id");
        let carried = |topic| host.published(topic)[at].traceparent().map(str::to_owned);
        assert_eq!(carried("from.none"), None, "the host adds the message's own");
        let spans_of = |name: &str| -> Vec<String> {
            let named = spans.iter().filter(|span| span.name == name);
            named.map(|span| span.traceparent.clone()).collect()
        };
        assert!(spans_of("inner").contains(&carried("from.inner").unwrap()));
        assert!(spans_of("outer").contains(&carried("from.outer").unwrap()));
        assert!(spans_of("outer").contains(&carried("from.named").unwrap()));
    }
}

#[tokio::test]
async fn a_message_published_from_a_slot_carries_the_span_that_is_entered() {
    a_published_message_carries_the_span_that_is_entered::<SLOTS>().await;
}

#[tokio::test]
async fn a_message_published_from_an_own_loop_carries_the_span_that_is_entered() {
    a_published_message_carries_the_span_that_is_entered::<LANE>().await;
}

#[test]
fn metrics_take_attributes_in_every_usual_form() {
    let host = MockHost::new();
    let context = host.context();
    context.record_counter("transcripts_processed", 1, HashMap::new());
    let attributes = HashMap::from([("kind".to_owned(), "raw".to_owned())]);
    context.record_counter("transcripts_processed", 2, attributes);
    context.record_counter("transcripts_processed", 4, [("kind", "raw")]);
    context.record_gauge("depth", 1.5, ());
    context.record_histogram("took", 0.25, &[("kind", "raw")][..]);
    let counter = context.telemetry.counter("transcripts_processed");
    counter.add(8);

    assert_eq!(host.telemetry.counter("transcripts_processed"), 15.0);
    let raw = vec![("kind".to_owned(), "raw".to_owned())];
    assert_eq!(host.telemetry.measured("transcripts_processed")[1].attributes, raw);
    assert_eq!(host.telemetry.measured("depth")[0].value, 1.5);
    assert_eq!(host.telemetry.measured("took")[0].attributes, raw);
}

#[test]
fn a_log_line_says_where_it_comes_from() {
    let host = MockHost::new();
    let context = host.context();
    let count = 3;
    info!(context, "took {count} orders");
    let line = &host.telemetry.logs()[0];
    assert_eq!((line.level, line.text.as_str()), (Level::Info, "took 3 orders"));
    assert!(line.file.ends_with("telemetry.rs") && line.line > 0);
    assert_eq!(line.target, module_path!());
}

#[test]
fn settings_are_read_by_kind() {
    let host = MockHost::with_config(json!({
        "text": "é\n", "whole": -3, "number": 2.5, "flag": true,
        "deep": { "list": [{ "limit": 1 }, { "limit": "x" }] },
    }));
    let config = &host.context().config;
    assert_eq!(config.text("text").unwrap(), "é\n");
    assert_eq!(config.integer("whole"), Ok(-3));
    assert_eq!(config.number("number"), Ok(2.5));
    assert_eq!(config.flag("flag"), Ok(true));
    assert_eq!(config.flag("no.such"), Err(ConfigError::Missing { path: "no.such".to_owned() }));
    assert!(config.integer("text").unwrap_err().to_string().contains("`text`"));
    assert_eq!(config.integer("deep.list.0.limit"), Ok(1));
    assert_eq!(config.get::<Option<u32>>("no.such"), Ok(None));
    assert_eq!(
        config.get::<u64>("no.such").unwrap_err().to_string(),
        "setting `no.such` is missing"
    );

    #[derive(Debug, serde::Deserialize)]
    struct Part {
        #[expect(dead_code, reason = "only its kind matters here")]
        limit: u32,
    }
    let error = config.get::<Vec<Part>>("deep.list").unwrap_err();
    assert!(error.to_string().contains("`deep.list[1].limit`"), "{error}");

    #[derive(Debug, serde::Deserialize)]
    struct All {
        whole: i64,
    }
    assert_eq!(config.load::<All>().unwrap().whole, -3);
    host.config.set_value("deep.added.late", json!(7));
    assert_eq!(config.get("deep.added.late"), Ok(7), "read when it is asked for");
}
