//! Whatever the bytes, reading a manifest ends well: with a manifest or with an error.

use patchbay_manifest::{Format, Manifest};
use proptest::prelude::*;

use crate::good_input::{FULL, GUIDE};

const FORMATS: [Format; 3] = [Format::Detect, Format::Json, Format::Yaml];

/// Reads, and prints what comes of it.
fn read(bytes: &[u8]) -> usize {
    let text = |result: Result<Manifest, _>| match result {
        Ok(manifest) => manifest.to_value().to_string(),
        Err(error) => ToString::to_string(&error),
    };
    FORMATS.iter().map(|format| text(Manifest::parse(bytes, *format)).len()).sum()
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // Eighths are printed in few digits, which are read back exactly.
        any::<i32>().prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        "[a-z.*>$#0-9 ]{0,12}".prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let key = prop_oneof![
        "[a-z_]{1,12}",
        proptest::sample::select(vec![
            "name",
            "version",
            "topic",
            "order",
            "key",
            "queue",
            "retry",
            "count",
            "bytes",
            "config",
            "timeout",
            "priority",
            "publish",
            "max_age",
            "x-a",
            "licence",
            "license",
            "worker_pool",
        ])
        .prop_map(String::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        read(&bytes);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-{}\\[\\]:,&*!|>'\"%@`#? \n\ta-z0-9.~<=]{0,200}") {
        read(text.as_bytes());
    }

    #[test]
    fn no_change_of_a_good_manifest_makes_the_reader_panic(
        full in any::<bool>(),
        at in any::<proptest::sample::Index>(),
        length in 0..40usize,
        other in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = if full { FULL } else { GUIDE }.as_bytes().to_vec();
        let at = at.index(bytes.len());
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, other);
        read(&bytes);
    }

    #[test]
    fn values_of_any_shape_in_any_place_are_read_or_refused(
        key in proptest::sample::select(vec![
            "subscriptions", "config", "config_schema", "priority", "worker_pool", "requires",
            "capabilities", "permissions", "restart", "health", "unload", "state", "transition",
        ]),
        value in json(),
    ) {
        let mut manifest = serde_json::json!({"name": "a", "version": "1.0.0"});
        manifest[key] = value;
        read(manifest.to_string().as_bytes());
    }

    #[test]
    fn what_is_read_is_printed_and_read_back_the_same(
        topic in "[a-z]{1,4}(\\.[a-z*]{1}){0,3}(\\.>)?",
        count in 1..=1024u32,
        millis in 1..=3_600_000u64,
        kib in 1..=1_000_000u64,
        priority in 0..=100u8,
        config in json(),
    ) {
        let text = serde_json::json!({
            "name": "a",
            "version": "1.0.0",
            "priority": priority,
            "config": {"value": config},
            "subscriptions": [{
                "topic": topic,
                "concurrency": count,
                "queue": {"count": count, "bytes": format!("{kib}KiB")},
                "timeout": format!("{millis}ms"),
            }],
            "worker_pool": {"max_workers": 1 + count % 256, "min_workers": 0, "batch": count},
        });
        let manifest = Manifest::parse(text.to_string().as_bytes(), Format::Detect);
        let manifest = manifest.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let printed = manifest.to_value().to_string();
        let again = Manifest::parse(printed.as_bytes(), Format::Json).expect("what was printed");
        prop_assert_eq!(Manifest { warnings: manifest.warnings.clone(), ..again }, manifest);
    }
}
