//! Messages through the routes.

use axum::{body::Body, http::Request};
use futures_util::StreamExt;
use patchbay_gateway::{GatewayLimits, Passed, router};
use tower::ServiceExt;

use crate::support::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_wants_is_accepted_by_nobody() {
    let served = Served::new(GatewayLimits::default()).await;
    let answer = served.ask("POST /api/v1/messages", r#"{"topic":"a.b","data":1}"#).await;
    let published = answer.json();
    assert_eq!((answer.status, &published["routed"]), (200, &0.into()), "{published}");
    assert_eq!(published["level"], "memory");
    assert_eq!(published["mid"].as_str().map(str::len), Some(36));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_line_does_not_touch_the_others() {
    let served = Served::new(GatewayLimits::default()).await;
    let body =
        "{\"topic\":\"a\",\"text\":\"1\"}\n\n{\"topic\":\"a..b\"}\nnonsense\n{\"topic\":\"a\"}\n";
    let outcomes = served.ask("POST /api/v1/messages", body).await.lines();
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes[0]["mid"].is_string() && outcomes[3]["mid"].is_string());
    assert_eq!(outcomes[1]["code"], "invalid_message");
    assert_eq!(outcomes[2]["code"], "invalid_request");
    assert!(
        outcomes[2]["detail"].as_str().is_some_and(|d| d.starts_with("line 4:")),
        "{outcomes:?}"
    );
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_shows_messages_in_the_form_that_is_asked_for() {
    let served = Served::new(GatewayLimits { streams: 2, ..GatewayLimits::default() }).await;
    let open = |accept: &'static str| {
        let request = Request::get("/api/v1/taps?pattern=a.%3E").header("accept", accept);
        let request = request.body(Body::empty()).expect("a request");
        router(served.gateway.clone()).oneshot(request)
    };
    let lines = open("application/x-ndjson").await.expect("an answer");
    let events = open("text/event-stream").await.expect("an answer");
    assert_eq!((lines.status().as_u16(), events.status().as_u16()), (200, 200));
    let refused = open("application/x-ndjson").await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 429);

    let message = r#"{"topic":"a.b","base64":"/wA=","key":"k","headers":{"H":["1","2"]}}"#;
    assert_eq!(served.ask("POST /api/v1/messages", message).await.status, 200);
    let mut lines = lines.into_body().into_data_stream();
    let line = lines.next().await.expect("a line").expect("a line");
    let passed: Passed = serde_json::from_slice(&line).expect("a message");
    assert_eq!(passed.missed, 0);
    assert_eq!(passed.message.topic, "a.b");
    assert_eq!(passed.message.payload.to_bytes(), b"\xff\x00");
    assert_eq!(passed.message.key.as_deref(), Some("k"));
    let ours = passed.message.headers.0.iter().filter(|(name, _)| name == "H").count();
    assert_eq!(ours, 2);
    let mut events = events.into_body().into_data_stream();
    let event = events.next().await.expect("an event").expect("an event");
    let event = String::from_utf8_lossy(&event).into_owned();
    assert!(event.starts_with("event: message\ndata: {"), "{event}");

    // A reader that hangs up gives its slot back.
    drop(lines);
    assert_eq!(open("application/x-ndjson").await.expect("an answer").status().as_u16(), 200);
    drop(events);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_under_the_same_key_is_told_what_the_first_was() {
    let served = Served::new(GatewayLimits::default()).await;
    let publish = async |key: &'static str, body: &'static str| {
        let request = Request::post("/api/v1/messages").header("patchbay-dedup-key", key);
        let request = request.body(Body::from(body)).expect("a request");
        let answer = router(served.gateway.clone()).oneshot(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body");
        let value: serde_json::Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        (status, value)
    };
    let (status, first) = publish("one", r#"{"topic":"a","data":1}"#).await;
    assert_eq!((status, &first["duplicate"]), (200, &false.into()), "{first}");
    let (status, repeat) = publish("one", r#"{"topic":"a","data":1,"dedup_key":"one"}"#).await;
    assert_eq!((status, &repeat["duplicate"]), (200, &true.into()), "{repeat}");
    assert_eq!(repeat["mid"], first["mid"]);
    // Another topic or another key is another message.
    for (key, body) in [("one", r#"{"topic":"b","data":1}"#), ("two", r#"{"topic":"a","data":1}"#)]
    {
        let (status, other) = publish(key, body).await;
        assert_eq!((status, &other["duplicate"]), (200, &false.into()), "{other}");
    }
    let (status, refused) = publish("one", r#"{"topic":"a","data":2}"#).await;
    assert_eq!((status, &refused["code"]), (409, &"dedup_mismatch".into()), "{refused}");
    assert_eq!(refused["rejected"], true);
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|it| it.contains(first["mid"].as_str().expect("a mid")))
    );
    let (status, refused) = publish("one", r#"{"topic":"a","dedup_key":"two"}"#).await;
    assert_eq!((status, &refused["code"]), (400, &"invalid_request".into()), "{refused}");
    let (status, refused) = publish("", r#"{"topic":"a"}"#).await;
    assert_eq!((status, &refused["code"]), (400, &"invalid_request".into()), "{refused}");
    served.end().await;
}
