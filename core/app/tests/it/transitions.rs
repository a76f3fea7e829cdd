//! `patchbay transition`, with the binary, a running host and real libraries.

use serde_json::Value;

use crate::support::{Home, LONG, Up, write};
use patchbay_testkit::eventually;

/// A host on which version 1.2.3 of `echo` serves, and whose libraries hold 1.3.0 as well.
fn serving() -> (Home, Up) {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    home.add_echo("1.3.0");
    home.ok(&["plugin", "build", "echo", "--release"]);
    let up = home.up();
    (home, up)
}

fn start<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["transition", "start", "echo"], rest].concat()
}

/// Waits until the transition stands as wanted, and returns its report.
fn until(home: &Home, what: &str, accept: impl Fn(&Value) -> bool) -> Value {
    eventually(what, LONG, || {
        let status = home.ok(&["transition", "status", "echo"]);
        Some(status["report"].clone()).filter(&accept)
    })
}

fn version(home: &Home) -> Value {
    home.ok(&["plugin", "list"])[0]["version"].clone()
}

#[test]
fn a_plan_is_printed_and_changes_nothing() {
    let (home, _up) = serving();
    let asked = start(&["--to", "1.3.0", "--strategy", "gradual", "--steps", "5,50", "--dry-run"]);
    let plan = home.ok(&asked);
    assert_eq!(plan["spec"]["to"]["version"], "1.3.0");
    assert_eq!(plan["spec"]["strategy"]["steps"], serde_json::json!([5, 50, 100]));
    let text = home.run(&[&asked[..], &["-o", "table"]].concat()).out;
    assert!(text.contains("hand 5 % to it") && text.contains("otherwise: rolled back"), "{text}");
    assert_eq!(version(&home), "1.2.3");
    assert_eq!(home.ok(&["transition", "list"]), serde_json::json!([]));
    let none = home.run(&["transition", "status", "echo", "-o", "table"]);
    assert!(none.out.contains("had no transition"), "{none:?}");
}

#[test]
fn a_version_is_replaced_and_the_course_is_told() {
    let (home, _up) = serving();
    for _ in 0..20 {
        home.ok(&["publish", "echo.ack"]);
    }
    let ran = home.run(&start(&["--to", "1.3.0", "--why", "a test", "--key", "k", "-o", "table"]));
    assert_eq!(ran.status, 0, "{ran:?}");
    for said in ["records the cutover", "serves", "completed", "1.2.3", "1.3.0", "SAMPLES"] {
        assert!(ran.out.contains(said), "no `{said}` in {}", ran.out);
    }
    assert_eq!(version(&home), "1.3.0");
    home.ledger_says("done", 20);
    let report = until(&home, "the end", |report| !report["ended_unix_ns"].is_null());
    assert_eq!(report["spec"]["why"], "a test");
    assert_eq!(report["outcome"]["kind"], "completed");
    // The same words under the same key are the same transition; without it this version serves
    // already.
    let again = home.ok(&start(&["--to", "1.3.0", "--why", "a test", "--key", "k"]));
    assert_eq!(again["spec"]["id"], report["spec"]["id"]);
    home.run(&start(&["--to", "1.3.0"])).failed(4, &["serves already"]);
    let generations = home.ok(&["plugin", "generations", "echo"]);
    assert_eq!(
        (&generations[0]["version"], &generations[0]["serving"]),
        (&"1.3.0".into(), &true.into())
    );
    let list = home.run(&["transition", "list", "-o", "table"]).out;
    assert!(list.contains("completed (done)") && list.contains("graceful"), "{list}");
}

#[test]
fn a_gradual_transition_is_paused_resumed_promoted_and_rolled_back_by_hand() {
    let (home, _up) = serving();
    let patient =
        ["--strategy", "gradual", "--steps", "50", "--min-time", "1h", "--deadline", "9h"];
    let asked = [&start(&["--to", "1.3.0", "--no-wait", "--bake", "1h"])[..], &patient].concat();
    home.ok(&asked);
    let shifting = |report: &Value| report["phase"] == "shifting" && report["share"] == 50;
    let report = until(&home, "half of it", shifting);
    assert_eq!(report["outcome"], Value::Null);

    let id = report["spec"]["id"].as_str().expect("an id").to_owned();
    home.run(&asked).failed(4, &["runs", &id]);
    assert_eq!(home.ok(&["transition", "pause", "echo"])["paused"], true);
    assert_eq!(home.ok(&["transition", "resume", "echo"])["paused"], false);
    home.run(&["transition", "resume", "echo"]).failed(4, &["does not wait"]);
    // Both versions serve, each its half.
    for _ in 0..40 {
        home.ok(&["publish", "echo.ack"]);
    }
    home.ledger_says("done", 40);

    let promote = ["transition", "promote", "echo", "--key", "p"];
    let promoted = home.ok(&promote);
    until(&home, "the bake", |report| report["phase"] == "baking");
    // Once more under the same key, by both faces: without it the bake would end here.
    assert_eq!(home.ok(&promote), promoted);
    let (path, key) = ("/api/v1/plugins/echo/transition", ("idempotency-key", "p"));
    let at = |verb: &str| format!("{path}/{verb}");
    let again = home.http("POST", &at("promote"), &[key], &Value::Null);
    assert_eq!(again, (200, promoted));
    let (status, other) = home.http("POST", &at("rollback"), &[key], &Value::Null);
    assert_eq!((status, &other["code"]), (409, &"key_taken".into()), "{other}");
    assert_eq!(until(&home, "it", |_| true)["phase"], "baking");
    home.run(&["transition", "abort", "echo"]).failed(4, &["roll it back"]);
    assert_eq!(version(&home), "1.3.0");
    home.ok(&["transition", "rollback", "echo"]);
    let followed = home.run(&["transition", "status", "echo", "--follow", "-o", "table"]);
    followed.failed(1, &["rolled back", "1.2.3 serves"]);
    assert!(followed.out.contains("generation") && followed.out.contains("serves again"));
    assert_eq!(version(&home), "1.2.3");
    home.run(&["transition", "pause", "echo"]).failed(1, &["no transition"]);
}

#[test]
fn a_link_that_is_changed_in_a_transition_waits_for_its_end_and_nobody_else_does() {
    let (home, _up) = serving();
    home.ok(&start(&["--to", "1.3.0", "--no-wait", "--bake", "1h"]));
    let report = until(&home, "the bake", |report| report["phase"] == "baking");
    let id = report["spec"]["id"].as_str().expect("an id");
    let back = home.ok(&["plugin", "activate", "echo"]);
    assert_eq!((&back["transition"], &back["plugin"]["version"]), (&id.into(), &"1.3.0".into()));
    let gone = home.run(&["plugin", "deactivate", "echo", "-o", "table"]);
    assert_eq!(gone.status, 0, "{gone:?}");
    let told = format!("no link any more; transition {id} runs");
    assert!(gone.out.contains(&told), "{}", gone.out);
    assert_eq!(version(&home), "1.3.0");
    home.ok(&["transition", "promote", "echo"]);
    home.ok(&["wait", "--plugin", "echo", "--state", "stopped"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    let (home, _up) = serving();
    let broken = home.path("plugins/libraries/development/libbroken.so");
    write(&broken, "no library");
    let broken = broken.to_str().expect("text");
    let gradual = ["--to", "1.3.0", "--strategy", "gradual"];
    let with = |rest: &[&str]| home.run(&start(&[&gradual[..], rest].concat()));
    with(&["--steps", "0,100"]).failed(2, &["0 %", "between 1 and 100"]);
    with(&["--steps", "101"]).failed(2, &["101 %", "between 1 and 100"]);
    with(&["--steps", "50,25"]).failed(2, &["do not rise"]);
    with(&["--deadline", "0s"]).failed(2, &["deadline"]);
    with(&["--require-dlq-pass", "101%"]).failed(2, &["percentage"]);
    home.run(&start(&["--to", "9.9.9"])).failed(1, &["9.9.9", "build it"]);
    home.run(&start(&["--to", broken])).failed(2, &["ELF"]);
    home.run(&start(&["--to", "1.2.3"])).failed(4, &["serves already"]);
    let mirror = ["--to", "1.3.0", "--strategy", "blue-green", "--mirror", "true"];
    home.run(&start(&mirror)).failed(2, &["mirror_safe"]);
    home.run(&start(&["--to", "1.3.0", "--strategy", "blue-green"])).failed(2, &["probes"]);
    home.run(&["transition", "start", "nobody", "--to", "1.3.0"]).failed(1, &["no plugin"]);
    home.run(&["transition", "rollback", "echo"]).failed(1, &["no transition"]);
    assert_eq!(version(&home), "1.2.3");
    assert_eq!(home.ok(&["transition", "list"]), serde_json::json!([]));
}

#[test]
fn a_transition_and_its_key_outlive_the_host() {
    let (home, mut up) = serving();
    let asked = start(&["--to", "1.3.0", "--key", "k", "--bake", "0s"]);
    let first = home.ok(&asked);
    let id = first["spec"]["id"].as_str().expect("an id").to_owned();
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    let _up = home.up();
    let list = home.ok(&["transition", "list", "echo", "--limit", "5"]);
    assert_eq!((&list[0]["spec"]["id"], &list[1]), (&id.clone().into(), &Value::Null));
    assert_eq!(
        home.ok(&["transition", "status", "echo"])["report"]["outcome"]["kind"],
        "completed"
    );
    let (status, one) = home.http("GET", &format!("/api/v1/transitions/{id}"), &[], &Value::Null);
    assert_eq!((status, &one["spec"]["to"]["version"]), (200, &"1.3.0".into()));
    // The same key means the same transition, by both faces; with other words it is refused.
    assert_eq!(home.ok(&asked)["spec"]["id"], *id);
    let (path, key) = ("/api/v1/plugins/echo/transition", ("idempotency-key", "k"));
    let body = serde_json::json!({"to": "1.3.0", "bake_ms": 0});
    let (status, again) = home.http("POST", path, &[key], &body);
    assert_eq!((status, &again["spec"]["id"]), (202, &id.clone().into()), "{again}");
    let other = home.run(&start(&["--to", "1.3.0", "--key", "k", "--strategy", "immediate"]));
    other.failed(4, &["the key `k`", &id, "new key"]);
    assert_eq!(home.ok(&["transition", "list"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn other_settings_take_over_like_a_version_and_stay_until_they_are_taken_away() {
    let (home, mut up) = serving();
    let file = home.path("given.yaml");
    let path = file.to_str().expect("text").to_owned();
    let given = start(&["--config", &path]);
    write(&file, "confg:\n  tone: warm\n");
    home.run(&given).failed(2, &["given.yaml", "confg", "below `plugins.NAME`"]);
    write(&file, "worker_pool:\n  max_wrokers: 2\n");
    home.run(&given).failed(2, &["max_wrokers"]);
    write(&file, "config:\n  tone: warm\n");
    let plan = home.run(&[&given[..], &["--dry-run", "-o", "table"]].concat()).out;
    assert!(plan.contains("only the configuration changes"), "{plan}");
    let tone = |home: &Home| home.ok(&["plugin", "info", "echo"])["config"]["tone"].clone();
    assert_eq!(tone(&home), Value::Null);
    let ran = home.run(&[&given[..], &["--bake", "0s", "-o", "table"]].concat());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains("1.2.3 from configuration"), "{}", ran.out);
    assert_eq!((version(&home), tone(&home)), ("1.2.3".into(), "warm".into()));
    let list = home.run(&["transition", "list", "-o", "table"]).out;
    assert!(list.contains("1.2.3 (config "), "{list}");
    let says = home.run(&["config", "get", "plugins.echo.config", "-o", "table"]).out;
    assert!(says.contains("plugins.echo.config.tone") && says.contains("echo.json"), "{says}");
    home.run(&given).failed(4, &["serves already"]);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    let _up = home.up();
    assert_eq!(tone(&home), "warm");
    write(&file, "");
    home.ok(&[&given[..], &["--to", "1.3.0", "--bake", "0s"]].concat());
    assert_eq!((version(&home), tone(&home)), ("1.3.0".into(), Value::Null));
}
