//! What a manifest may say.

use std::time::Duration;

use patchbay_manifest::{
    Format, KeySource, Manifest, OnDrainTimeout, OnError, Order, Overflow, Priority, ProbeAnswer,
    Restart, StateManifest, TransitionManifest, TransitionStrategy, Unload,
};
use serde_json::json;

/// The example of the plugin architecture guide, word by word.
pub(crate) const GUIDE: &str = r#"{
  "name": "my_plugin",
  "version": "1.0.0",
  "description": "Example plugin for Echo Core",
  "entry_point": "create_plugin",
  "subscriptions": [
    "transcript.raw"
  ],
  "config": {
    "option1": "default_value",
    "option2": 123
  }
}"#;

pub(crate) const FULL: &str = r#"
$schema: https://example.org/manifest.schema.json
apiVersion: patchbay/v1
name: redis-diagnostics
version: 2.1.0-rc.1+build.7
description: Looks after Redis
author: Somebody <somebody@example.org>
licence: MIT OR Apache-2.0
homepage: https://example.org/
entry_point: patchbay_plugin_v1
priority: infrastructure
subscriptions:
  - plain.topic
  - topic: orders.*.new
    key: json:/order/id
    order: per-key
    concurrency: 8
    queue: { count: 500, bytes: 16MiB, overflow: drop_oldest }
    retry:
      max_failures: 3
      max_attempts: 10
      max_age: 1h 30m
      backoff_min: 10ms
      backoff_max: 5s
      on_error: dead-letter
    timeout: 2m
  - topic: audit.>
    order: total
config:
  host: localhost
  answer: n
config_schema:
  type: object
  properties: { host: { type: string }, answer: { type: string } }
  required: [host]
worker_pool:
  min_workers: 2
  max_workers: 8
  queue_size: 100
  adaptive_scaling: true
  scaling_threshold: 0.7
  shutdown_timeout: 5s
  batch: 32
  idle_timeout: 1m
  process_timeout: 10s
  max_abandoned: 3
requires: [vault, "glossary >= 1.2, < 3", {name: other, version: "^0.3"}]
capabilities: [health-check, metrics]
permissions:
  publish: [redis.>]
  subscribe: [plain.topic, orders.>, audit.>]
restart: on-failure
health: { interval: 5s, timeout: 500ms, failures: 2 }
unload: never
state: forward_only
mirror_safe: true
transition:
  strategy: canary
  steps: [5, 50]
  min_samples: 20
  min_time: 2s
  bake: 1m
  deadline: 1h
  drain_deadline: 10s
  on_drain_timeout: force
  state_schema: orders/1
  probes:
    - {topic: orders.new, payload: {id: 1}, expect: forward, to: orders.checked}
    - {topic: orders.new, payload: nonsense, expect: failed}
x-owner: { team: storage }
"#;

fn parse(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes(), Format::Detect).expect("a good manifest")
}

#[test]
fn the_guides_own_example_is_read_as_it_stands() {
    let manifest = parse(GUIDE);
    assert_eq!(manifest.name.as_str(), "my_plugin");
    assert_eq!(manifest.version, semver::Version::new(1, 0, 0));
    assert_eq!(manifest.entry_point, "patchbay_plugin_v1");
    assert_eq!(manifest.subscriptions[0].topic.as_str(), "transcript.raw");
    assert_eq!(manifest.config["option2"], json!(123));
    assert_eq!(manifest.priority, Priority::BUSINESS);
    assert_eq!(manifest.queue_count(&manifest.subscriptions[0]), 1024);
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let manifest = parse(FULL);
    assert_eq!(manifest.warnings, []);
    assert_eq!(manifest.license.as_deref(), Some("MIT OR Apache-2.0"));
    assert_eq!(manifest.priority.number(), 10);
    assert_eq!(manifest.config["answer"], json!("n"), "a text, whatever YAML 1.1 thought");
    let orders = &manifest.subscriptions[1];
    assert_eq!(orders.key, Some(KeySource::Json("/order/id".into())));
    assert_eq!((orders.order, orders.concurrency), (Order::PerKey, 8));
    assert_eq!((manifest.queue_count(orders), orders.queue.bytes), (500, 16 << 20));
    assert_eq!(orders.queue.overflow, Overflow::DropOldest);
    assert_eq!(orders.retry.max_age, Duration::from_secs(5_400));
    assert_eq!(orders.retry.on_error, OnError::DeadLetter);
    assert_eq!(orders.timeout, Some(Duration::from_secs(120)));
    assert_eq!(manifest.subscriptions[2].concurrency, 1, "one call at a time");
    assert_eq!(manifest.worker_pool.max_workers, 8);
    let requires: Vec<String> = manifest.requires.iter().map(ToString::to_string).collect();
    assert_eq!(requires, ["vault *", "glossary >=1.2, <3", "other ^0.3"]);
    assert_eq!(manifest.capabilities, ["health-check", "metrics"]);
    assert_eq!(manifest.restart, Restart::OnFailure);
    assert_eq!(manifest.health.failures, 2);
    assert_eq!(manifest.unload, Unload::Never);
    assert_eq!(manifest.state, Some(StateManifest::ForwardOnly));
    let transition = manifest.transition.as_ref().expect("it was given");
    assert_eq!(transition.strategy, TransitionStrategy::Gradual);
    assert_eq!(transition.steps.as_deref(), Some(&[5, 50][..]));
    assert_eq!(
        (transition.min_samples, transition.bake),
        (Some(20), Some(Duration::from_secs(60)))
    );
    assert_eq!(transition.on_drain_timeout, Some(OnDrainTimeout::Force));
    assert_eq!(transition.state_schema.as_deref(), Some("orders/1"));
    assert_eq!(transition.probes[0].payload_bytes(), br#"{"id":1}"#);
    assert_eq!(transition.probes[1].payload_bytes(), b"nonsense");
    assert_eq!(transition.probes[1].expect, ProbeAnswer::Failed);
    let word = parse("name: a\nversion: 1.0.0\ntransition: blue-green\n");
    let expected = TransitionManifest::of(TransitionStrategy::BlueGreen);
    assert_eq!(word.transition, Some(expected));
    assert_eq!(manifest.extensions["x-owner"]["team"], "storage");
    assert!(manifest.mirror_safe);
}

#[test]
fn what_is_printed_is_read_back() {
    for text in [GUIDE, FULL] {
        let manifest = parse(text);
        let printed = serde_json::to_string_pretty(&manifest).expect("text");
        let again = parse(&printed);
        assert_eq!(Manifest { warnings: manifest.warnings.clone(), ..again }, manifest);
    }
}

#[test]
fn odd_things_are_warned_of_and_accepted() {
    let manifest = parse(
        "{\"name\": \"a\", \"version\": \"1.0.0\", \"subscriptions\": [\"logs.*\", {\"topic\": \
         \"b\", \"order\": \"total\", \"concurrency\": 4, \"key\": \"header:k\"}]}",
    );
    let warnings: Vec<String> = manifest.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "`subscriptions[0]`: `logs.*` matches one level only; write `logs.>` for everything \
             below",
            "`subscriptions[1].concurrency`: has no effect: `order: total` makes one call at a time",
            "`subscriptions[1].key`: has no effect without `order: per_key`",
            "`description`: is missing; say in a sentence what the plugin is for",
            "`license`: is missing; say under which licence the plugin may be used",
        ]
    );
}

#[test]
fn one_bound_of_the_pool_moves_the_other() {
    let pool = |text: &str| parse(&format!("name: a\nversion: 1.0.0\nworker_pool: {text}"));
    assert_eq!(pool("{min_workers: 9}").worker_pool.max_workers, 9);
    assert_eq!(pool("{min_workers: 0}").worker_pool.max_workers, 4);
}

#[test]
fn the_operator_overrides_key_by_key_and_is_told_where_that_fails() {
    let manifest = parse(FULL);
    let pool = json!({"max_workers": 3, "min_workers": 0});
    let subs = [("orders.*.new".to_owned(), json!({"queue": {"count": 7}}))];
    let map = |value: serde_json::Value| value.as_object().expect("object").clone();
    let subs = subs.into_iter().map(|(key, value)| (key, map(value))).collect();
    let changed = manifest.overridden(&map(pool), &subs).expect("good overrides");
    assert_eq!((changed.worker_pool.min_workers, changed.worker_pool.max_workers), (0, 3));
    assert_eq!(changed.worker_pool.queue_size, 100, "not overridden");
    assert_eq!(changed.subscriptions[1].queue.count, Some(7));
    assert_eq!(changed.subscriptions[1].queue.bytes, 16 << 20, "not overridden");

    let error = manifest
        .overridden(&map(json!({"max_worker": 3})), &Default::default())
        .expect_err("a key that does not exist");
    assert_eq!(
        error.to_string(),
        "manifest: `worker_pool.max_worker`: is not a known key; did you mean `max_workers`?"
    );
    let subs = [("orders.new".to_owned(), map(json!({})))].into_iter().collect();
    let error = manifest.overridden(&Default::default(), &subs).expect_err("no such subscription");
    assert!(error.to_string().contains("has no such subscription"), "{error}");
}

#[test]
fn configuration_is_merged_and_judged_by_the_schema() {
    let manifest = parse(FULL);
    let overrides = json!({"host": "db", "more": {"a": 1}});
    let merged = manifest.merge_config(overrides.as_object().expect("object"));
    assert_eq!(json!(merged), json!({"host": "db", "answer": "n", "more": {"a": 1}}));
    assert_eq!(manifest.check_config(&json!(merged)), Ok(()));
    let errors = manifest.check_config(&json!({"answer": 3})).expect_err("wrong twice");
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.contains("\"host\" is a required property")), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("/answer: 3 is not of type")), "{texts:?}");
}

#[test]
fn a_schema_that_is_none_is_reported_as_such() {
    let schema = "name: a\nversion: 1.0.0\nconfig_schema: ";
    let manifest = parse(&format!("{schema}{{type: 7}}"));
    let errors = manifest.check_config(&json!({})).expect_err("no schema");
    assert!(errors[0].to_string().contains("`config_schema` is not a JSON Schema"), "{errors:?}");
    let remote = parse(&format!("{schema}{{$ref: 'https://example.org/schema'}}"));
    assert!(remote.check_config(&json!({})).is_err(), "nothing is fetched");
    let local = parse(&format!("{schema}{{$ref: 'file:///etc/passwd'}}"));
    assert!(local.check_config(&json!({})).is_err(), "nothing is read");
}

#[test]
fn patterns_and_circles_of_a_hostile_schema_do_not_hang_the_check() {
    let check = |schema: serde_json::Value, value: serde_json::Value| {
        let manifest = json!({"name": "a", "version": "1.0.0", "config_schema": schema});
        let manifest = parse(&manifest.to_string());
        manifest.check_config(&value)
    };
    // Would take for ever in an engine that backtracks.
    let text = "a".repeat(50_000) + "!";
    let slow = json!({"properties": {"x": {"pattern": "^(a+)+$"}}});
    assert!(check(slow, json!({"x": text})).is_err());
    // Not a regular expression in linear time: refused, not run.
    assert!(check(json!({"properties": {"x": {"pattern": "(a)\\1"}}}), json!({})).is_err());
    assert!(check(json!({"pattern": "((((a{99}){99}){99}){99})"}), json!({})).is_err());
    // Refer to themselves.
    for schema in [
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"properties": {"x": {"$ref": "#"}}}),
        json!({"$dynamicRef": "#a", "$dynamicAnchor": "a"}),
    ] {
        let _ = check(schema, json!({"x": {"x": {}}}));
    }
}
