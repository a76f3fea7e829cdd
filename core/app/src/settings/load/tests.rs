use super::*;

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(yaml: &str) -> Case {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("patchbay.yaml"), yaml).expect("a file");
        Case { folder }
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Loaded, Failure> {
        let variables = variables.iter().map(|(name, v)| ((*name).to_owned(), (*v).to_owned()));
        load(&Home::new(self.folder.path()), None, variables)
    }
}

fn refusal(yaml: &str, variables: &[(&str, &str)]) -> String {
    Case::new(yaml).load(variables).expect_err("refused").text()
}

#[test]
fn nothing_said_gives_the_defaults() {
    for yaml in ["", "# only a comment\n", "limits:\n"] {
        let case = Case::new(yaml);
        let loaded = case.load(&[]).expect("settings");
        assert_eq!(loaded.settings, defaults(&Home::new(case.folder.path())), "{yaml:?}");
        assert!(loaded.origins.is_empty());
    }
}

#[test]
fn the_file_wins_over_defaults_and_the_environment_over_the_file() {
    let case = Case::new(
        "limits: {poll: 2s, plugins: 7}\nplugins:\n  echo:\n    config: {greeting: no, n: 010}\n",
    );
    let loaded = case
        .load(&[
            ("PATCHBAY__LIMITS__POLL", "3s"),
            ("PATCHBAY__PLUGINS__ECHO__CONFIG__N", "12"),
            ("PATCHBAY__LOG__FILTER", "debug"),
            ("PATCHBAY_HOME", "/elsewhere"),
        ])
        .expect("settings");
    let Settings { limits, log, plugins, .. } = loaded.settings;
    assert_eq!((limits.poll, limits.plugins), (Duration::from_secs(3), 7));
    assert_eq!(log.filter, "debug");
    let config = &plugins["echo"].config;
    // YAML 1.2: `no` is a text.
    assert_eq!((config["greeting"].as_str(), config["n"].as_u64()), (Some("no"), Some(12)));
    let origin = |path: &str| loaded.origins.get(path).map(ToString::to_string);
    assert_eq!(origin("limits.poll").as_deref(), Some("$PATCHBAY__LIMITS__POLL"));
    assert!(origin("limits.plugins").is_some_and(|file| file.ends_with("patchbay.yaml")));
    assert_eq!(origin("limits.settle"), None);
}

#[test]
fn sizes_may_have_a_unit() {
    let case = Case::new("limits: {payload_bytes: 3MiB}\n");
    let loaded = case.load(&[("PATCHBAY__GATEWAY__BODY_BYTES", "5 KiB")]).expect("settings");
    assert_eq!(loaded.settings.limits.payload_bytes, 3 << 20);
    assert_eq!(loaded.settings.gateway.body_bytes, 5 << 10);
    assert!(refusal("limits: {payload_bytes: 3MB}\n", &[]).contains("`limits.payload_bytes`"));
}

#[test]
fn levels_of_topics_and_the_journal_are_set_and_checked() {
    let case = Case::new(
        "durability:\n  - {topics: orders.>, level: disk}\n  - {topics: log.>, level: process}\n\
         journal: {segment_bytes: 8MiB, sync_interval: 50ms, on_corruption: refuse}\n",
    );
    let loaded = case.load(&[("PATCHBAY__JOURNAL__RESERVE_BYTES", "1MiB")]).expect("settings");
    let rules = loaded.settings.durability.rules();
    assert_eq!(
        rules.iter().map(|rule| rule.level.label()).collect::<Vec<_>>(),
        ["disk", "process"]
    );
    let journal = &loaded.settings.journal;
    assert_eq!((journal.segment_bytes, journal.reserve_bytes), (8 << 20, 1 << 20));
    assert_eq!(journal.sync_interval, Duration::from_millis(50));
    for (yaml, words) in [
        ("durability: [{topics: a.>, level: tape}]\n", ["`durability`", "rule 1", "`tape`"]),
        ("durability: {orders: disk}\n", ["`durability`", "map", "sequence"]),
        ("durability: [{topics: a.>}]\n", ["`durability`", "rule 1", "`level`"]),
        ("journal: {on_corruption: hope}\n", ["`journal.on_corruption`", "`hope`", "refuse"]),
        ("journal: {segment_size: 1MiB}\n", ["`journal.segment_size`", "unknown", "segment_bytes"]),
        ("journal: {sync_interval: 5}\n", ["`journal.sync_interval`", "expected", "string"]),
    ] {
        let text = refusal(yaml, &[]);
        assert!(words.iter().all(|word| text.contains(word)), "{yaml}: {text}");
    }
}

#[test]
fn the_example_that_ships_is_valid_and_keeps_business_topics_on_disk() {
    let case = Case::new(include_str!("../../../../../patchbay.example.yaml"));
    let settings = case.load(&[]).expect("settings").settings;
    assert!(settings.host().check().is_ok());
    assert!(settings.durability.rules().iter().all(|rule| rule.level.label() == "disk"));
    assert_eq!(settings.journal, JournalSettings::default(), "it says what holds anyway");
    assert_eq!(settings.dead_letters, DeadLetterSettings::default(), "and here");
}

#[test]
fn relative_folders_are_below_the_home() {
    let case = Case::new("paths: {enabled: on}\n");
    let loaded = case.load(&[]).expect("settings");
    assert_eq!(loaded.settings.paths.enabled, case.folder.path().join("on"));
}

#[test]
fn every_unknown_key_is_told_with_its_path_and_the_likely_one() {
    let text = refusal(
        "limits: {pol: 2s, payload_byte: 3}\nplugin: {}\nplugins: {a: {cnfig: {}}}\n",
        &[("PATCHBAY__LIMTS__POLL", "1s")],
    );
    for part in [
        "`limits.pol`: unknown key; did you mean `poll`?",
        "`limits.payload_byte`: unknown key; did you mean `payload_bytes`?",
        "`plugin`: unknown key; did you mean `plugins`?",
        "`plugins.a.cnfig`: unknown key; did you mean `config`?",
        "`limts` ($PATCHBAY__LIMTS__POLL): unknown key; did you mean `limits`?",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn every_wrong_value_is_told_with_its_path() {
    let text = refusal(
        "limits: {poll: 5, plugins: many}\nlog: {format: xml}\ngateway: 3\n",
        &[("PATCHBAY__SHUTDOWN_TIMEOUT", "soon")],
    );
    for part in [
        "`limits.poll`: ",
        "`limits.plugins`: ",
        "`log.format`: ",
        "`gateway`: expected a section, found a number",
        "`shutdown_timeout` ($PATCHBAY__SHUTDOWN_TIMEOUT): `soon` is not a duration",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_gateway_that_answers_nobody_is_refused() {
    let text = refusal("gateway: {requests: 0}\n", &[("PATCHBAY__GATEWAY__BODY_BYTES", "0")]);
    assert!(text.contains("`gateway.requests`: is 0"), "{text}");
    assert!(text.contains("($PATCHBAY__GATEWAY__BODY_BYTES): is 0"), "{text}");
}

#[test]
fn duplicate_keys_nesting_and_broken_yaml_are_refused() {
    assert!(refusal("limits: {}\nlimits: {}\n", &[]).contains("duplicate"));
    let deep =
        format!("plugins: {{a: {{config: {{v: {}1{}}}}}}}", "[".repeat(200), "]".repeat(200));
    assert!(refusal(&deep, &[]).contains("not valid YAML"));
    assert!(refusal("limits: [", &[]).contains("not valid YAML"));
}

#[test]
fn a_named_file_that_is_not_there_is_an_error() {
    let case = Case::new("");
    let missing = case.folder.path().join("other.yaml");
    let failure = load(&Home::new(case.folder.path()), Some(&missing), []).expect_err("refused");
    assert!(failure.text().contains("other.yaml"));
}
