//! What is counted, as `GET /metrics` tells it.

use std::{collections::BTreeMap, fs};

use patchbay_gateway::GatewayLimits;
use patchbay_host::{Level, Settings};
use patchbay_testkit::Home;
use serde_json::{Value, json};

use crate::support::{Served, enable_echo};

/// Values by name and labels, as they are written.
async fn collected(served: &Served) -> BTreeMap<String, u64> {
    let answer = served.ask("GET /metrics", "").await;
    assert_eq!(answer.kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(answer.body).expect("text");
    let values = text.lines().filter(|line| !line.starts_with('#'));
    let values: Vec<(String, u64)> = values
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect();
    let count = values.len();
    let values: BTreeMap<String, u64> = values.into_iter().collect();
    assert_eq!(values.len(), count, "something is told twice:\n{text}");
    values
}

fn durable(home: &Home) -> Settings {
    let mut settings = Settings::of_home(home.path());
    settings.durability.push("in.>", Level::Disk).expect("a rule");
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_term_of_the_ledger_is_a_metric_of_its_subscription() {
    let home = Home::new();
    enable_echo(&home, &json!([{"topic": "in.echo"}]));
    let settings = durable(&home);
    let served = Served::with(home, settings, GatewayLimits::default()).await;
    for (more, text) in [
        (json!({}), "ack"),
        (json!({}), "fail"),
        (json!({}), "forward"),
        (json!({}), "retry"),
        (json!({"expires": "2026-01-01T00:00:00Z"}), "ack"),
        (json!({"not_before": "2200-01-01T00:00:00Z"}), "ack"),
    ] {
        let mut body = json!({"topic": "in.echo", "text": text, "dedup_key": text.to_owned() + &more.to_string()});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        assert_eq!(served.ask("POST /api/v1/messages", &body.to_string()).await.status, 200);
    }
    let rows = served
        .until("GET /api/v1/ledger", "", |answer| {
            let row = &answer.json()[0];
            row["done"] == 2
                && row["dead"] == 1
                && row["forwarded"] == 1
                && row["dropped"]["expired"] == 1
        })
        .await
        .json();
    let row = &rows[0];
    let metrics = collected(&served).await;
    let labels = r#"messaging_destination_template="in.echo",patchbay_plugin_name="echo""#;
    for (term, name) in [
        ("accepted", "accepted_total"),
        ("queued", "queued"),
        ("delayed", "delayed"),
        ("in_flight", "in_flight"),
        ("done", "done_total"),
        ("forwarded", "forwarded_total"),
        ("dead", "dead_total"),
        ("dead_pending", "dead_pending"),
        ("retried", "retried_total"),
        ("stale_settlements", "stale_settlements_total"),
    ] {
        let told = metrics.get(&format!("patchbay_subscription_{name}{{{labels}}}"));
        assert_eq!(told.copied(), row[term].as_u64(), "{term}: {metrics:#?}");
    }
    assert_eq!((row["accepted"].as_u64(), row["delayed"].as_u64()), (Some(6), Some(1)));
    let dropped = format!("patchbay_subscription_dropped_total{{{labels},reason=\"expired\"}}");
    assert_eq!(metrics.get(&dropped), Some(&1), "{metrics:#?}");
    for (name, value) in [
        ("patchbay_journal_state{state=\"ready\"}", 1),
        ("patchbay_journal_state{state=\"failed\"}", 0),
        ("patchbay_journal_lost_records", 0),
        ("patchbay_dedup_keys", 6),
        ("patchbay_dedup_bound{bound=\"none\"}", 1),
        ("patchbay_dead_letters_count", 1),
        ("patchbay_ready", 1),
    ] {
        assert_eq!(metrics.get(name), Some(&value), "{name}: {metrics:#?}");
    }
    for name in ["size", "free", "reserve", "segments"] {
        assert!(metrics[&format!("patchbay_journal_{name}")] > 0, "{name}");
    }
    assert!(metrics["patchbay_journal_synced_total"] <= metrics["patchbay_journal_written_total"]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_counted_and_listed_and_a_host_that_goes_on_is_ready() {
    let home = Home::new();
    let settings = durable(&home);
    let served = Served::with(home, settings, GatewayLimits::default()).await;
    let home = served.end().await;
    let journal = home.path().join("data/journal");
    let mut gone = 0;
    for entry in fs::read_dir(&journal).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            fs::remove_file(path).expect("it is there");
            gone += 1;
        }
    }
    let settings = durable(&home);
    let served = Served::with(home, settings, GatewayLimits::default()).await;
    let metrics = collected(&served).await;
    assert_eq!(metrics.get("patchbay_journal_state{state=\"degraded\"}"), Some(&1));
    assert_eq!(metrics.get("patchbay_journal_damage{kind=\"missing\"}"), Some(&gone));
    let damage: Value = served.ask("GET /api/v1/journal/damage", "").await.json();
    assert_eq!(damage.as_array().map(Vec::len), Some(gone as usize), "{damage}");
    assert_eq!((&damage[0]["kind"], &damage[0]["first_record"]), (&"missing".into(), &1.into()));
    assert_eq!(served.ask("GET /readyz", "").await.status, 200);
    served.end().await;
}
