//! Every way in which a manifest may be wrong gives an error that names place and remedy.

use std::fmt::Write;

use patchbay_manifest::{Format, Manifest, ManifestError, ProblemKind};

fn refuse(text: impl AsRef<[u8]>) -> ManifestError {
    let error = Manifest::parse(text.as_ref(), Format::Detect).expect_err("a bad manifest");
    assert!(!error.problems().is_empty());
    assert!(error.to_string().len() < 8_000, "an error must stay readable");
    error
}

/// The only problem of a manifest that is fine but for these lines of YAML.
fn refuse_lines(lines: &str) -> (ProblemKind, String) {
    let error = refuse(format!("name: a\nversion: 1.0.0\n{lines}"));
    assert_eq!(error.problems().len(), 1, "{error}");
    (error.problems()[0].kind, error.problems()[0].to_string())
}

#[test]
fn each_mistake_is_told_with_place_and_remedy() {
    use ProblemKind::{Conflict, DuplicateKey, Invalid, UnknownKey, WrongType};
    let table = [
        (
            "description: 7",
            WrongType,
            "`description`: a text is expected, and this is the number 7; put it in double quotes",
        ),
        (
            "description:",
            WrongType,
            "`description`: a text is expected, and this is nothing; give it a value, or remove \
             the key",
        ),
        (
            "subscriptions: orders",
            WrongType,
            "`subscriptions`: a list is expected, and this is the text `orders`; write a list",
        ),
        (
            "subscriptions: [{}]",
            ProblemKind::Missing,
            "`subscriptions[0].topic`: is missing; add it, for example `topic: orders.new`",
        ),
        (
            "subscriptions: [[]]",
            WrongType,
            "`subscriptions[0]`: a topic or an object with `topic` is expected, and this is a \
             list; write a topic or an object with `topic`",
        ),
        (
            "worker_pol: {}",
            UnknownKey,
            "`worker_pol`: is not a known key; did you mean `worker_pool`?",
        ),
        (
            "subscriptions: [{topic: a, ordr: none}]",
            UnknownKey,
            "`subscriptions[0].ordr`: is not a known key; did you mean `order`?",
        ),
        (
            "health: {qqqq: 1}",
            UnknownKey,
            "`health.qqqq`: is not a known key; known keys are `interval`, `timeout`, `failures`",
        ),
        (
            "license: MIT\nlicence: MIT",
            DuplicateKey,
            "`licence`: means the same as `license`, and both are there; remove one of them",
        ),
        (
            "priority: [1]",
            WrongType,
            "`priority`: a number from 0 to 100, or a word such as `business` is expected, and \
             this is a list; write a number from 0 to 100, or a word such as `business`",
        ),
        (
            "priority: high",
            Invalid,
            "`priority`: `high` is not known here; write one of `infrastructure`, `security`, \
             `middleware`, `business`",
        ),
        (
            "priority: 101",
            Invalid,
            "`priority`: 101 is out of range; write a whole number from 0 to 100",
        ),
        (
            "entry_point: system",
            Invalid,
            "`entry_point`: `system` is not the entry point of a plugin; write \
             `patchbay_plugin_v1`, or remove the key",
        ),
        (
            "apiVersion: patchbay/v2",
            Invalid,
            "`apiVersion`: `patchbay/v2` is not the version of this format; write `patchbay/v1`, \
             or remove the key",
        ),
        (
            "subscriptions: [a, {topic: a}]",
            Conflict,
            "`subscriptions[1]`: `a` is subscribed to twice; remove one of the entries",
        ),
        (
            "permissions: {subscribe: [b.>]}\nsubscriptions: [a.b]",
            Conflict,
            "`subscriptions[0]`: `permissions.subscribe` does not allow `a.b`; add the topic \
             there, or remove the subscription",
        ),
        (
            "permissions: {publish: [$PB.plugin.x]}",
            Invalid,
            "`permissions.publish[0]`: only the host publishes to `$PB.plugin.x`; remove it; \
             plugins publish below `plugin.NAME`, or to topics of their own",
        ),
        ("requires: [a >= 1]", Conflict, "`requires[0]`: `a` requires itself; remove the entry"),
        (
            "requires: [b >= 1, b < 3]",
            Conflict,
            "`requires[1]`: `b` is required twice; put both ranges into one entry, with a comma \
             between them",
        ),
        (
            "subscriptions: [{topic: a, key: id}]",
            Invalid,
            "`subscriptions[0].key`: `id` does not say where the key is; write `header:NAME`, or \
             `json:/POINTER` such as `json:/order/id`",
        ),
        (
            "mirror_safe: yes",
            WrongType,
            "`mirror_safe`: `true` or `false` is expected, and this is the text `yes`; write `true` or `false`",
        ),
        (
            "transition: {strategy: gradual, steps: [50, 25]}",
            Invalid,
            "`transition.steps[1]`: 25 does not come after 50; write percentages that rise",
        ),
        (
            "transition: {strategy: gradual, steps: [101]}",
            Invalid,
            "`transition.steps[0]`: 101 is out of range; write a whole number from 1 to 100",
        ),
        (
            "transition: {steps: [50]}",
            ProblemKind::Missing,
            "`transition.strategy`: is missing; add it, for example `strategy: graceful`",
        ),
        (
            "transition: {strategy: blue-green, probes: [{topic: a, to: b}]}",
            Conflict,
            "`transition.probes[0].to`: means something only to a probe that expects `forward`; \
             write `expect: forward`, or remove it",
        ),
        (
            "capabilities: [a, a]",
            Invalid,
            "`capabilities[1]`: `a` is there twice; remove one of them",
        ),
        (
            "config: [1]",
            WrongType,
            "`config`: an object is expected, and this is a list; write an object",
        ),
        (
            "config_schema: true",
            WrongType,
            "`config_schema`: an object with a JSON Schema is expected, and this is the truth value true; write an object with a JSON Schema",
        ),
    ];
    for (lines, kind, expected) in table {
        assert_eq!(refuse_lines(lines), (kind, expected.to_owned()), "for {lines:?}");
    }
}

#[test]
fn what_must_be_there_is_missed() {
    let error = refuse("description: nothing else\n");
    let texts: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "`name`: is missing; add it, for example `name: my_plugin`",
            "`version`: is missing; add it, for example `version: 1.0.0`",
        ]
    );
}

#[test]
fn all_mistakes_are_told_at_once_but_not_without_end() {
    let error = refuse("name: ../x\nversion: one\npriority: high\nfoo: 1\n");
    assert_eq!(error.problems().len(), 4, "{error}");
    let many = (0..100).fold(String::from("name: a\nversion: 1.0.0\n"), |mut text, n| {
        writeln!(text, "unknown-{n}: 1").expect("a String takes everything");
        text
    });
    let error = refuse(many);
    assert_eq!(error.problems().len(), 32);
    assert!(error.to_string().ends_with("manifest: 68 more problems"));
}

#[test]
fn a_name_is_never_a_path() {
    for name in ["..", "../../etc", "a/../b", "/etc", "a/b", "a\\\\b", "", "-x", ".x", "a\\u0000"] {
        let error = refuse(format!(r#"{{"name": "{name}", "version": "1.0.0"}}"#));
        let problem = &error.problems()[0];
        assert_eq!(
            (problem.path.as_str(), problem.kind),
            ("name", ProblemKind::Invalid),
            "{error}"
        );
        assert!(problem.remedy.contains("1 to 64 of"), "{error}");
    }
    let error = refuse(format!("name: {}\nversion: 1.0.0", "n".repeat(100_000)));
    assert!(error.to_string().contains("too long"));
}

#[test]
fn topics_of_subscriptions_are_judged_with_their_own_words() {
    let three_hundred = "a.".repeat(299) + "a";
    let table = [
        ("a..b", "topic `a..b`: token 2 is empty; remove the extra dot"),
        ("a.#", "contains `#` at byte 3; use `>` as the last token to match everything below"),
        ("a.+", "contains `+` at byte 3; use `*` to match one token"),
        ("a.\\u0000", "contains `\\0` at byte 3; tokens are made of"),
        ("", "a topic must not be empty; write tokens with dots between them"),
        (">.a", "`>` is token 1 but must be the last; use `*` for one token in the middle"),
        (three_hundred.as_str(), "is 599 bytes long; 255 are allowed"),
    ];
    for (topic, expected) in table {
        let error = refuse(format!(
            r#"{{"name": "a", "version": "1.0.0", "subscriptions": ["x", {{"topic": "{topic}"}}]}}"#
        ));
        let text = error.to_string();
        assert!(text.starts_with("manifest: `subscriptions[1].topic`: "), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn versions_are_semantic() {
    for version in ["1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "latest", "-1.0.0", "1.0.0-"] {
        let error = refuse(format!("name: a\nversion: \"{version}\"\n"));
        let text = error.to_string();
        assert!(
            text.contains("`version`: ") && text.contains("is not a semantic version"),
            "{text}"
        );
        assert!(text.ends_with("such as `1.0.0`"), "{text}");
    }
    let error = refuse("name: a\nversion: 1.0\n");
    assert!(error.to_string().contains("this is the number 1.0; put it in double quotes"));
    let huge = refuse(format!("name: a\nversion: \"1.0.{}\"", "9".repeat(100)));
    assert!(huge.to_string().contains("is not a semantic version"), "{huge}");
    for requires in ["b >= x", "b 1.0 2.0", "b >>1", "b @1"] {
        let (_, text) = refuse_lines(&format!("requires: ['{requires}']"));
        assert!(text.contains("is not a range of versions"), "{text}");
    }
}

#[test]
fn silly_lengths_of_time_are_refused() {
    let table = [
        ("5", "5 has no unit; write for example `\"5s\"` or `\"5ms\"`"),
        ("'0s'", "`0s` is out of range; write something from 1ms to"),
        ("'584942417355y'", "is not a length of time; write a number and a unit"),
        ("'18446744073709551615s'", "out of range"),
        ("'-1s'", "is not a length of time"),
        ("'1,5s'", "is not a length of time"),
        ("forever", "is not a length of time"),
        (".inf", "not YAML"),
        ("1e999", "not YAML"),
        ("'99999999999999999999999s'", "is not a length of time"),
        ("true", "a text with a length of time is expected, and this is the truth value true"),
    ];
    for (value, expected) in table {
        let (_, text) = refuse_lines(&format!("worker_pool: {{process_timeout: {value}}}"));
        assert!(text.contains(expected), "{value}: {text}");
    }
}

#[test]
fn numbers_of_the_pool_and_the_queue_make_sense_or_are_refused() {
    let table = [
        (
            "worker_pool: {min_workers: 9, max_workers: 8}",
            "`worker_pool.min_workers`: 9 is greater than `max_workers`, which is 8; lower \
             `min_workers` or raise `max_workers`",
        ),
        (
            "worker_pool: {queue_size: 0}",
            "`worker_pool.queue_size`: 0 is out of range; write a whole number from 1 to 16777216",
        ),
        (
            "worker_pool: {max_workers: 0}",
            "`worker_pool.max_workers`: 0 is out of range; write a whole number from 1 to 256",
        ),
        (
            "worker_pool: {max_workers: -1}",
            "`worker_pool.max_workers`: -1 is out of range; write a whole number from 1 to 256",
        ),
        (
            "worker_pool: {max_workers: 2.5}",
            "`worker_pool.max_workers`: 2.5 is out of range; write a whole number from 1 to 256",
        ),
        (
            "worker_pool: {max_workers: 18446744073709551616}",
            "`worker_pool.max_workers`: 1.8446744073709552e+19 is out of range; write a whole \
             number from 1 to 256",
        ),
        (
            "worker_pool: {scaling_threshold: 0}",
            "`worker_pool.scaling_threshold`: 0 is out of range; write a number above 0, up to 1, \
             such as 0.7",
        ),
        (
            "subscriptions: [{topic: a, queue: {count: 0}}]",
            "`subscriptions[0].queue.count`: 0 is out of range; write a whole number from 1 to \
             16777216",
        ),
        (
            "subscriptions: [{topic: a, queue: {bytes: 64MB}}]",
            "`subscriptions[0].queue.bytes`: `64MB` is not a size; write a whole number and B, \
             KiB, MiB or GiB, such as `64MiB`",
        ),
        (
            "subscriptions: [{topic: a, queue: {bytes: 1}}]",
            "`subscriptions[0].queue.bytes`: 1 is out of range; write something from 1KiB to 64GiB",
        ),
        (
            "subscriptions: [{topic: a, concurrency: 0}]",
            "`subscriptions[0].concurrency`: 0 is out of range; write a whole number from 1 to 1024",
        ),
        (
            "subscriptions: [{topic: a, retry: {backoff_min: 2s, backoff_max: 1s}}]",
            "`subscriptions[0].retry.backoff_min`: is greater than `backoff_max`; swap them, or \
             raise `backoff_max`",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(refuse_lines(lines).1, expected, "for {lines:?}");
    }
}

#[test]
fn a_key_appears_once_in_json_and_in_yaml() {
    let json = r#"{"name": "a", "version": "1.0.0", "config": {"x": [{"k": 1, "k": 2}]}}"#;
    let yaml = "name: a\nversion: 1.0.0\nconfig:\n  x:\n    - k: 1\n      k: 2\n";
    for text in [json, yaml] {
        let error = refuse(text);
        assert_eq!(
            error.to_string(),
            "manifest: `config.x[0].k`: the key appears twice in one object; remove one of them"
        );
        assert_eq!(error.problems()[0].kind, ProblemKind::DuplicateKey);
    }
    assert!(refuse("name: a\nname: b\nversion: 1.0.0").to_string().contains("`name`: the key"));
}

#[test]
fn nesting_ends_at_a_limit_in_json_and_in_yaml() {
    // A thread of a library's host may have a small stack.
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        for levels in [33, 200, 30_000] {
            let deep = "[".repeat(levels) + &"]".repeat(levels);
            let json = format!(r#"{{"name": "a", "version": "1.0.0", "config": {{"x": {deep}}}}}"#);
            let yaml = format!("name: a\nversion: 1.0.0\nconfig:\n  x: {deep}\n");
            for text in [json, yaml] {
                let error = refuse(text).to_string();
                assert!(levels > 1000 || error.contains("`config.x[0][0][0]"), "{error}");
                assert!(error.contains("more than 32 levels of objects and lists"), "{error}");
            }
        }
        let block = (0..200).fold(String::from("config:\n"), |mut text, level| {
            writeln!(text, "{}k:", " ".repeat(level + 1)).expect("a String takes everything");
            text
        });
        assert!(refuse(block).to_string().contains("more than 32 levels"));
    });
    small.expect("a thread").join().expect("no overflow");
    let deep = "[".repeat(30) + &"]".repeat(30);
    let fine = format!(r#"{{"name": "a", "version": "1.0.0", "config": {{"x": {deep}}}}}"#);
    assert!(Manifest::parse(fine.as_bytes(), Format::Json).is_ok());
}

#[test]
fn aliases_of_yaml_do_not_explode() {
    let mut bomb = String::from("name: a\nversion: 1.0.0\nconfig:\n  l0: &l0 [x, x, x, x, x]\n");
    for level in 1..20 {
        let refs = vec![format!("*l{}", level - 1); 9].join(", ");
        writeln!(bomb, "  l{level}: &l{level} [{refs}]").expect("a String takes everything");
    }
    // Written out, it would not fit into any memory.
    let error = refuse(bomb).to_string();
    assert!(error.contains("not YAML") || error.contains("values"), "{error}");
    let error = refuse("name: a\nversion: 1.0.0\nconfig: &c {x: *c}\n").to_string();
    assert!(error.contains("not YAML"), "{error}");
    let text = "name: a\nversion: 1.0.0\nconfig: {a: &a {x: 1}, b: *a}\n";
    let fine = Manifest::parse(text.as_bytes(), Format::Yaml).expect("an alias is no crime");
    assert_eq!(fine.config["b"]["x"], 1);
    assert!(refuse("name: a\nversion: 1.0.0\nconfig: {<<: {x: 1}}").to_string().contains("YAML"));
}

#[test]
fn size_and_number_of_values_are_bounded() {
    let error = refuse(" ".repeat(256 * 1024 + 1)).to_string();
    assert!(error.contains("262145 bytes long and 262144 are allowed"), "{error}");
    let many = "0,".repeat(16 * 1024) + "0";
    for (open, close) in [("{\"config\": {\"x\": [", "]}}"), ("config: {x: [", "]}")] {
        let error = refuse(format!("{open}{many}{close}")).to_string();
        assert!(error.contains("`config.x[16"), "{error}");
        assert!(error.contains("more than 16384 values"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_manifest_are_told_what_they_are_not() {
    let table: [(&[u8], &str); 9] = [
        (b"", "top level: it is empty; write at least `name` and `version`"),
        (b" \n\t", "it is empty"),
        (b"{\"name\": \"a\xff\"}", "top level: byte 12 is not UTF-8; save the file as UTF-8"),
        (b"{\"name\": ", "top level: not JSON: EOF while parsing a value at line 1 column 9"),
        (b"{\"name\": \"a\",}", "not JSON: trailing comma at line 1 column 14"),
        (b"{} x", "not JSON: trailing characters at line 1 column 4"),
        (b"just words", "top level: an object is expected, and this is the text `just words`"),
        (b"a: [", "not YAML"),
        (b"name: a\n---\nname: b\n", "not YAML"),
    ];
    for (bytes, expected) in table {
        let error = refuse(bytes).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn texts_of_yaml_stay_texts_or_are_errors() {
    let name = |text: &str| Manifest::parse(text.as_bytes(), Format::Yaml);
    for plain in ["n", "y", "no", "on", "off", "yes"] {
        let manifest = name(&format!("name: {plain}\nversion: 1.0.0")).expect("a text");
        assert_eq!(manifest.name.as_str(), plain);
    }
    for (value, shown) in [
        ("true", "the truth value true"),
        ("10", "the number 10"),
        ("010", "the number 10"),
        ("0x10", "the number 16"),
        ("1e3", "the number 1000"),
        ("~", "nothing"),
    ] {
        let error = name(&format!("name: {value}\nversion: 1.0.0")).expect_err("no text");
        assert!(error.to_string().contains(&format!("this is {shown}")), "{error}");
    }
    let quoted = name("name: \"10\"\nversion: '1.0.0'").expect("quoted texts");
    assert_eq!(quoted.name.as_str(), "10");
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let error =
        refuse("{\"name\": \"a\", \"version\": \"1.0.0\", \"description\": \"\\u001b[2J\"}");
    assert!(error.to_string().contains("contains the control character \\u{1b}; remove it"));
    let error = refuse("{\"name\": \"\\u001b[2J\", \"version\": \"1.0.0\", \"\\u001b\": 1}");
    assert!(!error.to_string().contains('\u{1b}'), "{:?}", error.to_string());
}
