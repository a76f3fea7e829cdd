//! What is not a message is refused with the field and the reason.

use std::error::Error;

use patchbay_wire::BaseMessage;
use serde_json::{Value, json};

use crate::samples::{full, minimal};

/// An error with its causes, as an operator reads it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        assert!(!text.contains(&error.to_string()), "`{error}` is said twice");
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_field_that_is_wrong_is_named() {
    type Change = fn(&mut BaseMessage);
    let table: [(Change, &str); 12] = [
        (|it| it.source.clear(), "`source` is empty; give it a value or leave it away"),
        (|it| it.source = "a\nb".into(), "`source` contains the control character \\u{a}"),
        (|it| it.key = Some(String::new()), "`key` is empty"),
        (|it| it.key = Some("k".repeat(9_000)), "`key` is 9000 bytes long; 8192 are allowed"),
        (|it| it.headers[0].0 = "a b".into(), "`headers` has the name `a b`; 1 to 128 letters"),
        (|it| it.headers[0].0.clear(), "`headers` has the name ``"),
        (|it| it.headers[0].1 = "\r\nX: 1".into(), "`headers` contains the control character"),
        (
            |it| it.headers[0].0 = "Content-Type".into(),
            "`headers` contains `content-type`, which is the field `content_type`",
        ),
        (|it| it.headers[0].0 = "ce-type".into(), "contains `ce-type` twice or empty"),
        (|it| it.headers[0].0 = "ce-id".into(), "a `ce-id` that does not belong to the id"),
        (|it| it.headers = vec![("a".into(), String::new()); 257], "has 257 entries; 256 are"),
        (|it| it.trace_context = Some(Default::default()), "`trace_context` is empty"),
    ];
    for (change, expected) in table {
        let mut message = full();
        change(&mut message);
        let text = message.check().expect_err(expected).to_string();
        assert!(text.contains(expected), "{text}");
        let error = BaseMessage::from_wire(&message.to_wire()).expect_err("not a message");
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

#[test]
fn protobuf_that_is_no_message_is_refused() {
    // No field at all, a short id, an id without a topic, and bytes of no shape.
    let table: [(&[u8], &str); 4] = [
        (&[], "message id is 0 bytes long; a UUID has 16"),
        (&[0x0a, 2, 1, 2], "message id is 2 bytes long"),
        (
            &[0x0a, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "message field `topic` is not a topic: a topic must not be empty",
        ),
        (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], "message is not a patchbay.v1.BaseMessage"),
    ];
    for (bytes, expected) in table {
        let error = BaseMessage::from_wire(bytes).expect_err(expected);
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

#[test]
fn json_that_is_no_message_is_refused() {
    let with = |key: &str, value: Value| {
        let mut message = minimal().to_json();
        message[key] = value;
        message.to_string()
    };
    let table = [
        ("[]".to_owned(), "invalid length"),
        ("{".to_owned(), "EOF"),
        (with("topic", json!("a..b")), "token 2 is empty"),
        (with("topic", json!(1)), "invalid type"),
        (with("id", json!("x")), "message id is not a UUID"),
        (with("timestamp", json!("yesterday")), "not a time between 1970 and 2554"),
        (with("tpic", json!("a")), "unknown field `tpic`"),
        (with("hops", json!(-1)), "invalid value"),
        (with("base64", json!("?")), "message field `base64` cannot be decoded"),
        (with("source", json!("")), "`source` is empty"),
        (
            r#"{"id": "018f6b1e-7f3a-7c3e-9d2b-0123456789ab", "topic": "a"}"#.to_owned(),
            "missing field `timestamp`",
        ),
    ];
    for (text, expected) in table {
        let error = BaseMessage::from_json(text.as_bytes()).expect_err(&text);
        assert!(chain(&error).contains(expected), "{text}: {}", chain(&error));
    }
    let mut both = minimal().to_json();
    both["data"] = json!(null);
    both["text"] = json!("x");
    let error = BaseMessage::from_json(both.to_string().as_bytes()).expect_err("two payloads");
    assert!(error.to_string().contains("more than one of `data`, `text` and `base64`"));
}
