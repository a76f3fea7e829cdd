//! CloudEvents as others write them.

use patchbay_wire::{BaseMessage, MessageId, Timestamp};
use serde_json::{Value, json};

use crate::{bad_messages::chain, forms::nothing_known, samples::topic};

fn read(event: &Value) -> Result<BaseMessage, String> {
    BaseMessage::from_cloud_event(event.to_string().as_bytes(), &nothing_known(None))
        .map_err(|error| chain(&error))
}

/// The example of the specification.
fn example() -> Value {
    json!({
        "specversion": "1.0",
        "type": "com.example.someevent",
        "source": "/mycontext",
        "subject": null,
        "id": "C234-1234-1234",
        "time": "2018-04-05T17:31:00Z",
        "comexampleextension1": "value",
        "comexampleothervalue": 5,
        "datacontenttype": "application/json",
        "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": true}
    })
}

#[test]
fn the_example_of_the_specification_is_a_message() {
    let message = read(&example()).expect("a message");
    assert_eq!(message.topic.as_str(), "com.example.someevent");
    assert_eq!(message.id, MessageId::of_foreign("/mycontext", "C234-1234-1234"));
    assert_eq!(message.header("ce-id"), Some("C234-1234-1234"));
    assert_eq!(message.header("ce-comexampleothervalue"), Some("5"));
    assert_eq!(message.header("ce-subject"), None, "null is absent");
    assert_eq!(message.data, br#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#);
    assert_eq!(message.timestamp.to_string(), "2018-04-05T17:31:00Z");
    let back = message.to_cloud_event();
    assert_eq!((&back["id"], &back["type"]), (&example()["id"], &example()["type"]));
}

#[test]
fn a_type_that_is_no_topic_needs_a_topic_from_elsewhere() {
    let mut event = example();
    event["type"] = json!("https://example.org/someevent");
    let error = read(&event).expect_err("no topic");
    assert!(
        error.contains("attribute `type` is not a topic: topic `https://example.org"),
        "{error}"
    );
    event["topic"] = json!("orders.new");
    assert_eq!(read(&event).expect("a topic of its own").topic.as_str(), "orders.new");
    let arrived = topic("from.the.transport");
    let bytes = event.to_string();
    let message = BaseMessage::from_cloud_event(bytes.as_bytes(), &nothing_known(Some(&arrived)));
    let message = message.expect("a topic of the transport");
    assert_eq!(message.topic, arrived, "a peer does not choose by an attribute");
    assert_eq!(message.header("ce-type"), Some("https://example.org/someevent"));
}

#[test]
fn the_creators_trace_is_not_the_trace_of_this_hop() {
    let mut event = example();
    event["traceparent"] = json!("00-1-2-01");
    let message = read(&event).expect("a message");
    assert_eq!(message.trace_context, None);
    assert_eq!(message.header("ce-traceparent"), Some("00-1-2-01"));
    assert_eq!(message.to_cloud_event()["traceparent"], "00-1-2-01", "never rewritten");
}

#[test]
fn events_that_are_none_are_refused_with_the_attribute() {
    let table = [
        ("specversion", json!("0.3"), "attribute `specversion` is `0.3`; `1.0` is understood"),
        ("specversion", json!(null), "no attribute `specversion`, which is required"),
        ("id", json!(null), "no attribute `id`, which is required"),
        ("source", json!(null), "no attribute `source`, which is required"),
        ("type", json!(null), "no attribute `type`, which is required"),
        ("source", json!(""), "`source` is empty"),
        ("time", json!("noon"), "attribute `time` not a time between 1970 and 2554"),
        ("hops", json!(-1), "attribute `hops` invalid digit"),
        ("replyto", json!("a..b"), "attribute `replyto` is not a topic"),
        ("nested", json!({}), "attribute `nested` is neither text, whole number nor boolean"),
        ("ratio", json!(1.5), "attribute `ratio` is neither text"),
        ("Upper", json!("x"), "attribute `Upper` is not a name"),
        ("data_base64", json!("AA=="), "both `data` and `data_base64`"),
        ("headers", json!("x"), "attribute `headers` is not of the form"),
    ];
    for (name, value, expected) in table {
        let mut event = example();
        event[name] = value;
        let error = read(&event).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    assert!(read(&json!([])).expect_err("no object").contains("not a JSON object"));
}

#[test]
fn a_plain_payload_becomes_a_message_with_what_the_transport_knows() {
    let topic = topic("sensors.7");
    let headers = [("X-Unit".to_owned(), "°C".to_owned())];
    let message = BaseMessage::from_transport(&headers, vec![0xff], &nothing_known(Some(&topic)));
    let message = message.expect("a message");
    assert_eq!((message.id, message.timestamp), (MessageId(7), Timestamp(7)));
    assert_eq!((message.source.as_str(), message.topic.as_str()), ("/transport", "sensors.7"));
    assert_eq!((message.data.as_slice(), message.header("x-unit")), (&[0xff][..], Some("°C")));
}

#[test]
fn headers_of_binary_mode_are_read_in_any_case_and_decoded() {
    let pairs = [
        ("CE-SpecVersion", "1.0"),
        ("Ce-Id", "1"),
        ("ce-Source", "/caf%C3%A9%20de%20la%20gare"),
        ("ce-type", "a.b"),
        ("ce-datacontenttype", "text/plain"),
        ("ce-partitionkey", "shadowed"),
        ("patchbay-key", "k%20%25"),
        ("PATCHBAY-HOPS", "4"),
        ("TraceParent", "00-1-2-01"),
    ];
    let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let topic = topic("a.b");
    let received = nothing_known(Some(&topic));
    let message = BaseMessage::from_transport(&headers, Vec::new(), &received).expect("a message");
    assert_eq!(message.source, "/café de la gare");
    assert_eq!(message.content_type.as_deref(), Some("text/plain"));
    assert_eq!((message.key.as_deref(), message.hops), (Some("k %"), 4));
    assert_eq!(message.trace_context.expect("a context").traceparent, "00-1-2-01");
    assert_eq!(message.headers, [("ce-id".to_owned(), "1".to_owned())]);
}

#[test]
fn structured_mode_is_recognised_by_its_media_type_and_batches_are_refused() {
    let with_type = |content_type: &str| {
        let headers = [("Content-Type".to_owned(), content_type.to_owned())];
        let payload = example().to_string().into_bytes();
        BaseMessage::from_transport(&headers, payload, &nothing_known(None))
    };
    let message = with_type("application/cloudevents+json; charset=UTF-8").expect("an event");
    assert_eq!(message.source, "/mycontext");
    let error = with_type("application/cloudevents-batch+json").expect_err("a batch");
    assert!(error.to_string().contains("send one event at a time"));
}

#[test]
fn half_an_event_in_headers_is_refused() {
    let topic = topic("a");
    for (name, expected) in [("ce-id", "specversion"), ("ce-specversion", "source")] {
        let headers = [(name.to_owned(), "1.0".to_owned())];
        let read = BaseMessage::from_transport(&headers, Vec::new(), &nothing_known(Some(&topic)));
        let error = read.expect_err("half an event").to_string();
        assert!(error.contains(&format!("no attribute `{expected}`")), "{error}");
    }
    let twice = [("ce-x", "1"), ("CE-X", "2")].map(|(name, value)| (name.into(), value.into()));
    let error = BaseMessage::from_transport(&twice, Vec::new(), &nothing_known(Some(&topic)));
    assert!(error.expect_err("twice").to_string().contains("`x` is there twice"));
}
