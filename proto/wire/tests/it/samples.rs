//! Messages to write and read: the named ones of the golden samples, and any.

use patchbay_wire::{BaseMessage, MessageId, Timestamp, Topic, TraceContext};
use proptest::{collection::vec, option, prelude::*};

/// A message with nothing but what it must have.
pub(crate) fn minimal() -> BaseMessage {
    BaseMessage {
        id: "018f6b1e-7f3a-7c3e-9d2b-0123456789ab".parse().expect("a UUID"),
        timestamp: "2026-01-31T12:00:00Z".parse().expect("a time"),
        ..BaseMessage::new(topic("transcript.raw"), "test", Vec::new())
    }
}

/// A message with everything that it may have.
pub(crate) fn full() -> BaseMessage {
    BaseMessage {
        timestamp: Timestamp(1_769_860_800_123_456_789),
        topic: topic("orders.eu.new"),
        source: "/shops/17?till=3".into(),
        version: "1.0".into(),
        content_type: Some("application/json".into()),
        schema: Some("https://example.org/order.schema.json".into()),
        data: r#"{"order":{"id":17,"total":12.5},"note":"grün"}"#.into(),
        headers: vec![
            ("ce-subject".into(), "order 17".into()),
            ("ce-type".into(), "com.example.order.new".into()),
            (
                "ce-traceparent".into(),
                "00-11111111111111111111111111111111-2222222222222222-01".into(),
            ),
            ("X-Shop".into(), "Köln & Bonn = 100 %".into()),
            ("X-Shop".into(), "second".into()),
        ],
        key: Some("customer 4711".into()),
        correlation_id: Some("c-1".into()),
        reply_to: Some(topic("plugin.shop.replies")),
        expiry: Some(Timestamp(1_769_864_400_000_000_000)),
        hops: 3,
        trace_context: Some(TraceContext {
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            tracestate: Some("congo=t61rcWkgMzE".into()),
            baggage: Some("tenant=7,region=eu".into()),
        }),
        ..minimal()
    }
}

/// The golden samples by name.
pub(crate) fn named() -> Vec<(&'static str, BaseMessage)> {
    let payload = |content_type: Option<&str>, data: &[u8]| BaseMessage {
        content_type: content_type.map(Into::into),
        data: data.to_vec(),
        ..minimal()
    };
    let foreign = BaseMessage {
        id: MessageId::of_foreign("test", "order-17"),
        headers: vec![("ce-id".into(), "order-17".into())],
        ..minimal()
    };
    vec![
        ("minimal", minimal()),
        ("full", full()),
        ("guide", payload(None, br#"{"text":"Hello world"}"#)),
        ("text", payload(Some("text/plain; charset=utf-8"), "Grüße\n".as_bytes())),
        ("bytes", payload(Some("application/octet-stream"), &[0, 159, 146, 150, 255])),
        ("big-number", payload(Some("application/json"), b"[123456789012345678901234567890]")),
        ("null", payload(Some("application/json"), b"null")),
        ("foreign-id", foreign),
    ]
}

pub(crate) fn topic(text: &str) -> Topic {
    Topic::parse(text).expect("a topic")
}

/// Any message that [`BaseMessage::check`] accepts. Headers have names in order and a payload of
/// JSON has no white space, so that every form gives back the very same message.
pub(crate) fn any_message() -> impl Strategy<Value = BaseMessage> {
    let topic = || "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,4}".prop_map(|text| topic(&text));
    let text = || "[^\\x00-\\x1f\\x7f-\\x9f]{1,24}";
    let trace = (text(), option::of(text()), option::of(text())).prop_map(
        |(traceparent, tracestate, baggage)| TraceContext { traceparent, tracestate, baggage },
    );
    let place = (any::<u128>(), any::<u64>(), topic(), text(), "[a-z0-9.]{0,8}", any::<u32>());
    let optional = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(topic()),
        option::of(any::<u64>()),
        option::of(trace),
    );
    (place, optional, payload(), headers()).prop_map(|(place, optional, payload, headers)| {
        let (id, timestamp, topic, source, version, hops) = place;
        let (schema, key, correlation_id, reply_to, expiry, trace_context) = optional;
        BaseMessage {
            id: MessageId(id),
            timestamp: Timestamp(timestamp),
            topic,
            source,
            version,
            content_type: payload.0,
            schema,
            data: payload.1,
            headers,
            key,
            correlation_id,
            reply_to,
            expiry: expiry.map(Timestamp),
            hops,
            trace_context,
        }
    })
}

fn payload() -> impl Strategy<Value = (Option<String>, Vec<u8>)> {
    let content_type = option::of(prop_oneof![
        Just("application/json".to_owned()),
        Just("application/x+json; a=b".to_owned()),
        Just("text/plain".to_owned()),
        "[a-z]{1,8}/[a-z0-9.+-]{1,8}",
    ]);
    let data = prop_oneof![
        vec(any::<u8>(), 0..64),
        any::<String>().prop_map(String::into_bytes),
        "[\\[\\]{}0-9,:\"a-z\\\\]{0,24}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        any::<String>().prop_map(|text| serde_json::json!({"a": [text, null]}).to_string().into()),
    ];
    // A JSON payload with white space comes back without it: that is tested by itself.
    (content_type, data).prop_map(|(content_type, data)| {
        match serde_json::from_slice::<serde_json::Value>(&data) {
            Ok(value) if data.iter().any(u8::is_ascii_whitespace) => {
                (content_type, value.to_string().into_bytes())
            }
            _ => (content_type, data),
        }
    })
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = || "[^\\x00-\\x1f\\x7f-\\x9f]{0,16}";
    let attributes = proptest::collection::btree_map("ce-x[a-z0-9]{1,10}", "[a-z %\"ü]{1,8}", 0..4);
    let others = vec(("[A-Za-z][A-Za-z0-9_-]{0,3}", value()), 0..6);
    (attributes, others).prop_map(|(attributes, mut others)| {
        others.sort_by(|a, b| a.0.cmp(&b.0));
        attributes.into_iter().chain(others).collect()
    })
}
