//! Transitions through the routes. What they do is shown with real libraries elsewhere.

use patchbay_gateway::GatewayLimits;
use serde_json::json;

use crate::support::Served;

const START: &str = "/api/v1/plugins/nobody/transition";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_answered_with_a_problem_that_says_so() {
    let served = Served::new(GatewayLimits::default()).await;
    assert_eq!(served.ask("GET /api/v1/transitions", "").await.json(), json!([]));
    let wish = r#"{"to":"2.0.0"}"#;
    for (request, body, status, code) in [
        ("GET /api/v1/transitions/t-1".to_owned(), "", 404, "unknown_transition"),
        (format!("GET {START}"), "", 404, "unknown_plugin"),
        (format!("POST {START}"), wish, 404, "unknown_plugin"),
        (format!("POST {START}/plan"), wish, 404, "unknown_plugin"),
        (format!("POST {START}/rollback"), "", 404, "unknown_plugin"),
        (format!("POST {START}"), "", 400, "invalid_request"),
        (format!("POST {START}"), r#"{"to":"2.0.0","stratgy":"x"}"#, 400, "invalid_request"),
    ] {
        let answer = served.ask(&request, body).await;
        assert_eq!(answer.kind, "application/problem+json", "{request}");
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (status, &code.into()), "{request}");
        assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
    }
    served.end().await;
}
