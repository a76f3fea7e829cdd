//! What works, and how it fails, without a host.

use crate::support::{Home, Ran, write};

#[test]
fn help_teaches_with_examples_and_costs_nothing() {
    let home = Home::new();
    for (args, said) in [
        (&["--help"][..], "patchbay plugin activate greeter"),
        (&["publish", "--help"], "patchbay publish orders.new"),
        (&["subscribe", "--help"], "patchbay subscribe 'orders.>'"),
        (&["plugin", "new", "--help"], "PATCHBAY_SDK"),
        (&["config", "get", "--help"], "PATCHBAY__LIMITS__POLL"),
        (&["wait", "--help"], "--state running"),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(ran.out.contains(said), "no {said:?} in {ran:?}");
    }
    let empty = std::fs::read_dir(home.path("")).expect("the home").next().is_none();
    assert!(empty, "help wrote into the home folder");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_expected() {
    let home = Home::new();
    for (args, said) in [
        (&["publsh"][..], "publish"),
        (&["publish", "a..b"], "a..b"),
        (&["subscribe", "a.#"], ">"),
        (&["publish", "a", "{", "--key", "k"], "not JSON"),
        (&["publish", "a", "1", "--file", "x"], "--file"),
        (&["publish", "a", "--header", "nothing"], "name=value"),
        (&["request", "a", "--timeout", "5"], "5s"),
        (&["plugin", "activate", "../evil"], "path"),
        (&["plugin", "new", "7up"], "p7up"),
        (&["wait", "--state", "running"], "--plugin"),
        (&["config", "get", "limits.nothing"], "limits.nothing"),
    ] {
        home.run(args).failed(2, &[said]);
    }
}

#[test]
fn without_a_host_the_verbs_that_need_one_end_with_3() {
    let home = Home::new();
    for args in [
        &["status"][..],
        &["publish", "a", "1"],
        &["subscribe", "a"],
        &["request", "a"],
        &["plugin", "list"],
        &["plugin", "info", "a"],
        &["plugin", "pause", "a"],
        &["plugin", "logs", "a"],
        &["plugin", "generations"],
        &["topic", "list"],
        &["ledger"],
        &["dlq", "list"],
        &["shutdown"],
        &["wait", "--timeout", "100ms"],
    ] {
        home.run(args).failed(3, &["error: no host answers", "caused by:", "try: `patchbay up`"]);
    }
}

#[test]
fn settings_are_checked_whole_and_every_problem_is_told_with_its_path() {
    let home = Home::new();
    assert_eq!(home.ok(&["config", "validate"])["file"], serde_json::Value::Null);
    write(&home.path("patchbay.yaml"), "limits:\n  pol: 5s\nlog: {format: xml}\n");
    for args in [&["config", "validate"][..], &["config", "get"], &["up"]] {
        home.run(args)
            .failed(1, &["`limits.pol`: unknown key; did you mean `poll`?", "`log.format`"]);
    }
    let mut command = home.command(&["config", "validate", "--config"]);
    let other = home.path("other.yaml");
    write(&other, "limits: {poll: 5s}\n");
    let ran = Ran::of(&command.arg(&other).output().expect("the binary"));
    assert_eq!((ran.status, &ran.json()["set"]), (0, &1.into()));
    write(&home.path("patchbay.yaml"), "limits: {poll: 0s}\n");
    for args in [&["config", "validate"][..], &["up"]] {
        home.run(args).failed(1, &["limits.poll", "is 0; it must be at least 1"]);
    }
}

#[test]
fn settings_of_a_plugin_are_judged_by_its_manifest() {
    let home = Home::with_echo();
    let yaml = home.path("patchbay.yaml");
    write(&yaml, "plugins: {echo: {worker_pool: {max_workers: 3}}, later: {}}\n");
    assert_eq!(home.ok(&["config", "validate"])["judged"], serde_json::json!(["echo"]));
    write(&yaml, "plugins: {echo: {worker_pool: {max_wokers: 3}}}\n");
    home.run(&["config", "validate"]).failed(1, &["`plugins.echo`", "max_workers"]);
}

#[test]
fn each_setting_tells_where_it_comes_from() {
    let home = Home::new();
    write(&home.path("patchbay.yaml"), "limits: {poll: 7s}\nplugins: {a: {config: {b: [1]}}}\n");
    let mut command = home.command(&["config", "get", "limits"]);
    let ran = Ran::of(&command.env("PATCHBAY__LIMITS__SETTLE", "1s").output().expect("the binary"));
    let settings = ran.json();
    let of = |path: &str| {
        let mut all = settings.as_array().expect("settings").iter();
        all.find(|setting| setting["path"] == path).expect("the setting").clone()
    };
    assert_eq!(of("limits.poll")["value"], "7s");
    assert!(of("limits.poll")["origin"].as_str().is_some_and(|o| o.ends_with("patchbay.yaml")));
    assert_eq!(of("limits.settle")["origin"], "$PATCHBAY__LIMITS__SETTLE");
    assert_eq!(of("limits.plugins")["origin"], "default");
    assert_eq!(home.ok(&["config", "get", "plugins.a.config.b"])[0]["value"][0], 1);
}

#[test]
fn a_table_is_printed_when_asked_for() {
    let home = Home::new();
    let ran = home.run(&["config", "get", "limits.poll", "-o", "table"]);
    assert!(ran.out.starts_with("SETTING"), "{ran:?}");
}

#[test]
fn completions_are_printed_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = home.run(&["completions", shell]);
        assert!(ran.status == 0 && ran.out.contains("patchbay"), "{shell}: {}", ran.err);
    }
}

#[test]
fn a_reader_that_hangs_up_is_no_error() {
    use std::process::Stdio;
    let home = Home::new();
    let mut command = home.command(&["completions", "bash"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    drop(child.stdout.take());
    let ran = Ran::of(&child.wait_with_output().expect("an end"));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
}

#[test]
fn the_doctor_sees_an_empty_home_and_a_broken_link() {
    let home = Home::new();
    let findings = home.ok(&["doctor"]);
    let unloading = &findings[0];
    assert_eq!((&unloading["check"], &unloading["verdict"]), (&"unloading".into(), &"ok".into()));
    std::fs::create_dir_all(home.path("plugins/enabled")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", home.path("plugins/enabled/lost")).expect("a link");
    let ran = home.run(&["doctor"]);
    ran.failed(1, &["1 checks found a problem"]);
    assert!(ran.out.contains("enabled/lost"), "{ran:?}");
}
