//! Every error is a problem document with a stable code, a hint and a place to read on.

use patchbay_gateway::GatewayLimits;
use serde_json::Value;

use crate::support::{Answer, Served};

pub(crate) fn check(answer: &Answer, status: u16, code: &str) -> Value {
    let problem = answer.json();
    assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
    assert_eq!(answer.kind, "application/problem+json");
    assert_eq!(problem["status"], status);
    assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
    let doc = problem["doc"].as_str().expect("a doc").strip_prefix("/openapi.json#").expect("ours");
    let document: Value = serde_json::from_str(include_str!("../../openapi.json")).expect("JSON");
    assert!(document.pointer(doc).is_some(), "{code} is not explained in openapi.json");
    problem
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_request_is_told_what_was_wrong() {
    let served = Served::new(GatewayLimits::default()).await;
    for (request, body, status, code) in [
        ("GET /nowhere", "", 404, "unknown_route"),
        ("DELETE /api/v1/plugins", "", 405, "wrong_method"),
        ("GET /api/v1/plugins/nobody", "", 404, "unknown_plugin"),
        ("POST /api/v1/plugins/nobody/pause", "", 404, "unknown_plugin"),
        ("GET /api/v1/plugins/nobody/logs", "", 404, "unknown_plugin"),
        ("GET /api/v1/plugins/nobody/generations", "", 404, "unknown_plugin"),
        ("GET /api/v1/plugins/nobody/logs?after=x", "", 400, "invalid_request"),
        ("GET /api/v1/dead-letters/none", "", 404, "unknown_dead_letter"),
        ("GET /api/v1/dead-letters?topic=a..b", "", 400, "invalid_request"),
        ("GET /api/v1/dead-letters?since=soon", "", 400, "invalid_request"),
        ("GET /api/v1/dead-letters?plugins=a", "", 400, "invalid_request"),
        ("POST /api/v1/dead-letters/redrive", r#"{"select":{}}"#, 400, "invalid_request"),
        ("POST /api/v1/dead-letters/purge", r#"{"select":{"limit":1}}"#, 400, "invalid_request"),
        ("POST /api/v1/dead-letters/purge", r#"{"select":{"al":true}}"#, 400, "invalid_request"),
        (
            "POST /api/v1/dead-letters/redrive",
            r#"{"select":{"all":true},"rate":0}"#,
            400,
            "invalid_request",
        ),
        ("GET /api/v1/messages/none", "", 400, "invalid_request"),
        ("GET /api/v1/messages/018f3f5c-0000-7000-8000-000000000001", "", 404, "unknown_message"),
        ("GET /api/v1/operations/none", "", 404, "unknown_operation"),
        ("POST /api/v1/operations/none/cancel", "", 404, "unknown_operation"),
        ("GET /api/v1/taps?pattern=a..b", "", 400, "invalid_request"),
        ("GET /api/v1/taps", "", 400, "invalid_request"),
        ("POST /api/v1/messages", "{", 400, "invalid_request"),
        ("POST /api/v1/messages", r#"{"topic":"a","payload":1}"#, 400, "invalid_request"),
        ("POST /api/v1/messages", r#"{"topic":"a.#"}"#, 400, "invalid_message"),
        ("POST /api/v1/messages", r#"{"topic":"$PB.x"}"#, 403, "reserved_topic"),
        ("POST /api/v1/messages", r#"{"topic":"a","wait":"9"}"#, 400, "invalid_request"),
        ("POST /api/v1/messages", r#"{"topic":"a","wait":"9h"}"#, 400, "invalid_request"),
        ("POST /api/v1/messages", r#"{"topic":"a","level":"tape"}"#, 400, "invalid_request"),
        (
            "POST /api/v1/messages",
            r#"{"topic":"a","expires":"2026-01-01T00:00:00Z","not_before":"2026-01-02T00:00:00Z"}"#,
            400,
            "expired",
        ),
        (
            "POST /api/v1/requests",
            r#"{"message":{"topic":"a","dedup_key":"k"}}"#,
            400,
            "invalid_request",
        ),
        ("POST /api/v1/requests", r#"{"message":{"topic":"a"}}"#, 404, "no_responders"),
        ("POST /api/v1/shutdown", r#"{"timeout":"soon"}"#, 400, "invalid_request"),
        ("POST /api/v1/rescan?timeout=x", "", 400, "invalid_request"),
    ] {
        let problem = check(&served.ask(request, body).await, status, code);
        let offers = request.ends_with("/messages") || request.ends_with("/requests");
        let rejected = problem.get("rejected").is_some_and(|rejected| *rejected == true);
        assert_eq!(rejected, offers, "{request} {body}: {problem}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept() {
    let limits = GatewayLimits {
        body_bytes: 100,
        batch_messages: 2,
        streams: 1,
        ..GatewayLimits::default()
    };
    let served = Served::new(limits).await;
    let long = format!(r#"{{"topic":"a","text":"{}"}}"#, "x".repeat(100));
    check(&served.ask("POST /api/v1/messages", &long).await, 413, "body_too_large");
    let three = "{\"topic\":\"a\"}\n".repeat(3);
    check(&served.ask("POST /api/v1/messages", &three).await, 413, "too_many_messages");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_too_many_is_refused_and_the_next_one_is_not() {
    let served = Served::new(GatewayLimits { requests: 1, ..GatewayLimits::default() }).await;
    // Waits for a plugin that nobody has.
    let waiting = served.ask("GET /api/v1/plugins/nobody?until=running&timeout=60s", "");
    let refused = async {
        loop {
            let answer = served.ask("GET /api/v1/status", "").await;
            if answer.status != 200 {
                assert_eq!(served.ask("GET /livez", "").await.status, 200);
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = waiting => panic!("it waits: {}", answer.status),
        answer = refused => check(&answer, 429, "too_many_requests"),
    };
    assert_eq!(served.ask("GET /api/v1/status", "").await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_has_ended_is_not_ready_and_takes_nothing() {
    let served = Served::new(GatewayLimits::default()).await;
    assert_eq!(served.ask("GET /readyz", "").await.status, 200);
    served.host.shutdown(std::time::Duration::from_secs(5)).await;
    check(&served.ask("GET /readyz", "").await, 503, "not_ready");
    check(&served.ask("POST /api/v1/messages", r#"{"topic":"a"}"#).await, 503, "closing");
    assert_eq!(served.ask("GET /livez", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_the_end_ends_nothing_by_itself() {
    let served = Served::new(GatewayLimits::default()).await;
    let answer = served.ask("POST /api/v1/shutdown", r#"{"timeout":"7s"}"#).await;
    assert_eq!(answer.status, 202);
    let request = served.gateway.stop_requested().await;
    assert_eq!(request.limit, Some(std::time::Duration::from_secs(7)));
    assert_eq!(served.ask("GET /readyz", "").await.status, 200);
    served.end().await;
}
