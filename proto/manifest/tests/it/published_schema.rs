//! The JSON Schema that is checked in.

use std::path::Path;

use patchbay_manifest::{Format, Manifest, schema};
use serde_json::{Value, json};

use crate::good_input::{FULL, GUIDE};

/// The file is published; its text is made by the code. `UPDATE_SCHEMA=1` writes it.
#[test]
fn the_published_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifest.schema.json");
    let made = serde_json::to_string_pretty(&schema()).expect("text") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &made).expect("the schema is written");
    }
    let published = std::fs::read_to_string(&path).expect("manifest.schema.json");
    assert!(published == made, "run this test with UPDATE_SCHEMA=1 and commit the file");
}

#[test]
fn the_schema_accepts_what_the_reader_prints() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    for text in [GUIDE, FULL, "{name: a, version: 1.0.0}"] {
        let manifest = Manifest::parse(text.as_bytes(), Format::Yaml).expect("a good manifest");
        let printed = manifest.to_value();
        let errors: Vec<String> = validator
            .iter_errors(&printed)
            .map(|error| format!("{error} in {printed:#}"))
            .collect();
        assert_eq!(errors, [""; 0]);
    }
    let guide: Value = serde_json::from_str(GUIDE).expect("json");
    assert!(validator.is_valid(&guide));
}

#[test]
fn the_schema_refuses_what_it_can_know_to_be_wrong() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let with = |key: &str, value: Value| {
        let mut manifest = json!({"name": "a", "version": "1.0.0"});
        manifest[key] = value;
        manifest
    };
    assert!(validator.is_valid(&with("x-anything", json!(1))));
    let table = [
        ("name", json!("../a")),
        ("version", json!("1.0")),
        ("unknown", json!(1)),
        ("priority", json!(101)),
        ("priority", json!("high")),
        ("entry_point", json!("system")),
        ("apiVersion", json!("patchbay/v2")),
        ("subscriptions", json!([{"order": "none"}])),
        ("subscriptions", json!([{"topic": "a", "ordr": "none"}])),
        ("subscriptions", json!([{"topic": "a", "queue": {"count": 0}}])),
        ("worker_pool", json!({"queue_size": 0})),
        ("worker_pool", json!({"scaling_threshold": 0})),
        ("worker_pool", json!({"process_timeout": 5})),
        ("requires", json!([{"version": "1"}])),
        ("config", json!([])),
        ("description", json!(null)),
        ("state", json!(null)),
    ];
    for (key, value) in table {
        let manifest = with(key, value);
        assert!(!validator.is_valid(&manifest), "{manifest}");
        let text = manifest.to_string();
        assert!(Manifest::parse(text.as_bytes(), Format::Json).is_err(), "{text}");
    }
}

#[test]
fn every_key_of_the_schema_is_known_to_the_reader() {
    let schema = schema();
    for key in schema["properties"].as_object().expect("properties").keys() {
        let text = format!(r#"{{"name": "a", "version": "1.0.0", "{key}": []}}"#);
        let Err(error) = Manifest::parse(text.as_bytes(), Format::Json) else { continue };
        let text = error.to_string();
        assert!(!text.contains("not a known key"), "{key}: {text}");
    }
}
