//! Dead letters and operations through the routes.

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use patchbay_gateway::{GatewayLimits, router};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::Served;

const REDRIVE: &str = "/api/v1/dead-letters/redrive";

async fn with_key(served: &Served, key: &str, body: &str) -> (u16, Option<String>, Value) {
    let request = Request::post(REDRIVE).header("idempotency-key", key);
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let answer = router(served.gateway.clone()).oneshot(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").map(|it| it.to_str().expect("text").to_owned());
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, location, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_is_accepted_and_can_be_looked_at_until_it_is_over() {
    let served = Served::new(GatewayLimits::default()).await;
    let answer = served.ask(&format!("POST {REDRIVE}"), r#"{"select":{"numbers":[7,8]}}"#).await;
    assert_eq!(answer.status, 202);
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    let over = loop {
        let operation = served.ask(&format!("GET /api/v1/operations/{id}"), "").await.json();
        if operation["state"] != "running" {
            break operation;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(over["state"], "done");
    assert_eq!(
        (&over["selected"], &over["absent"], &over["done"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!(served.ask("GET /api/v1/operations", "").await.json()[0]["id"], id.as_str());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_does_nothing_and_says_what_would_be_done() {
    let served = Served::new(GatewayLimits::default()).await;
    let body = r#"{"select":{"numbers":[7]},"dry_run":true}"#;
    let answer = served.ask("POST /api/v1/dead-letters/purge", body).await;
    assert_eq!(answer.status, 200);
    let plan = answer.json();
    assert_eq!((&plan["kind"], &plan["absent"]), (&"purge".into(), &serde_json::json!([7])));
    assert_eq!(served.ask("GET /api/v1/operations", "").await.json(), serde_json::json!([]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_the_same_operation_and_another_job_under_it_is_refused() {
    let served = Served::new(GatewayLimits::default()).await;
    let job = r#"{"select":{"plugin":"echo"}}"#;
    let (status, location, first) = with_key(&served, "one", job).await;
    assert_eq!(status, 202);
    let id = first["id"].as_str().expect("an id");
    assert_eq!(location, Some(format!("/api/v1/operations/{id}")));
    let (_, _, again) = with_key(&served, "one", job).await;
    assert_eq!(again["id"], first["id"]);
    let (_, _, other) = with_key(&served, "two", job).await;
    assert_ne!(other["id"], first["id"]);
    let (status, _, refused) = with_key(&served, "one", r#"{"select":{"all":true}}"#).await;
    assert_eq!((status, &refused["code"]), (409, &"idempotency_mismatch".into()));
    let (status, _, refused) = with_key(&served, "", job).await;
    assert_eq!((status, &refused["code"]), (400, &"invalid_request".into()));
    served.end().await;
}
