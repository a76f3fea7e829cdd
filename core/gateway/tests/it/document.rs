//! `openapi.json` says what the router does.

use std::collections::BTreeSet;

use patchbay_gateway::{GatewayLimits, routes};
use serde_json::Value;

use crate::support::Served;

fn document() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).expect("openapi.json is JSON")
}

#[test]
fn every_route_is_documented_and_every_documented_one_exists() {
    let document = document();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let routed: BTreeSet<String> = routes::all()
        .iter()
        .flat_map(|route| {
            route.methods.iter().map(move |method| format!("{method} {}", route.path))
        })
        .collect();
    assert_eq!(documented, routed);
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("a local reference");
                    assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                map.values().for_each(|value| walk(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_routes_answer_is_what_the_document_names() {
    let served = Served::new(GatewayLimits::default()).await;
    let document = document();
    for (path, schema) in [
        ("/api/v1/status", "HostStatus"),
        ("/health", "Health"),
        ("/api/v1/status#/ledger", "LedgerView"),
    ] {
        let (path, pointer) = path.split_once('#').unwrap_or((path, ""));
        let answer = served.ask(&format!("GET {path}"), "").await;
        assert_eq!(answer.status, 200, "{path}");
        let value = answer.json();
        let held = value.pointer(pointer).expect("the part").as_object().expect("an object");
        let said = &document["components"]["schemas"][schema]["properties"];
        let said: BTreeSet<&String> = said.as_object().expect("properties").keys().collect();
        assert_eq!(held.keys().collect::<BTreeSet<_>>(), said, "{schema}");
    }
    assert_eq!(served.ask("GET /openapi.json", "").await.json(), document);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_and_so_do_the_aliases() {
    let served = Served::new(GatewayLimits::default()).await;
    let mut paths: Vec<(String, &str)> = Vec::new();
    for route in routes::all() {
        // These go on as long as the host does.
        if ["/api/v1/events", "/api/v1/taps", "/api/v1/shutdown"].contains(&route.path) {
            continue;
        }
        let path =
            route.path.replace("{name}", "nobody").replace("{id}", "none").replace("{mid}", "none");
        for method in route.methods {
            paths.push((path.clone(), method));
            for (alias, prefix) in routes::ALIASES {
                if let Some(rest) = path.strip_prefix(prefix) {
                    paths.push((format!("{alias}{rest}"), method));
                }
            }
        }
    }
    for (path, method) in paths {
        let answer = served.ask(&format!("{method} {path}"), "").await;
        if answer.status != 200 {
            let problem = answer.json();
            let code = problem["code"].as_str().expect("a code");
            assert!(
                !["unknown_route", "wrong_method"].contains(&code),
                "{method} {path} is answered with {code}"
            );
        }
    }
    served.end().await;
}
