//! Messages that outlive the host: restarts and kills.

use patchbay_testkit::eventually;
use serde_json::Value;

use crate::support::{Home, LONG, Up, write};

pub(crate) const SETTINGS: &str = "\
durability:
  - {topics: echo.>, level: disk}
journal: {segment_bytes: 256KiB, reserve_bytes: 64KiB, low_water_bytes: 1MiB}
";

/// A home whose plugin `echo` has durable topics; its plugin is not activated.
pub(crate) fn durable() -> Home {
    let home = Home::with_echo();
    write(&home.path("patchbay.yaml"), SETTINGS);
    home
}

/// A host whose `echo` takes nothing: what is published waits.
pub(crate) fn paused(home: &Home) -> Up {
    home.ok(&["plugin", "activate", "echo"]);
    let up = home.up();
    home.ok(&["plugin", "pause", "echo"]);
    up
}

pub(crate) fn row(home: &Home, name: &str) -> u64 {
    home.ok(&["ledger"])[0][name].as_u64().unwrap_or_default()
}

pub(crate) fn balanced(home: &Home) {
    for of in home.ok(&["ledger"]).as_array().expect("rows") {
        let dropped: u64 = of["dropped"]
            .as_object()
            .map_or(0, |reasons| reasons.values().filter_map(Value::as_u64).sum());
        let term = |name: &str| of[name].as_u64().expect("a number");
        let settled = term("done") + term("forwarded") + term("dead") + dropped;
        let unsettled = term("queued") + term("delayed") + term("in_flight") + term("dead_pending");
        assert_eq!(term("accepted"), settled + unsettled, "{of}");
    }
}

#[test]
fn what_was_accepted_on_disk_is_there_after_a_kill_and_is_handed_out() {
    let home = durable();
    let mut up = paused(&home);
    let published = home.ok(&["publish", "echo.ack", r#"{"n": 1}"#]);
    assert_eq!((&published["level"], &published["routed"]), (&"disk".into(), &1.into()));
    assert!(published["seq"].is_u64(), "{published}");
    let ran = home.run(&["publish", "echo.ack", "--count", "200"]);
    assert_eq!((ran.status, ran.lines().len()), (0, 200), "{}", ran.err);
    assert!(ran.lines().iter().all(|line| line["level"] == "disk"));
    home.ok(&["publish", "echo.ack", "1", "--not-before", "1h"]);
    up.signal("KILL");
    up.ended();

    let _up = home.up();
    let status = home.ok(&["journal", "status"]);
    assert_eq!(status["recovery"]["orderly"], false);
    assert_eq!(status["recovery"]["unsettled"], 202);
    assert_eq!(status["damage"], serde_json::json!([]));
    home.ledger_says("done", 201);
    assert_eq!((row(&home, "accepted"), row(&home, "delayed")), (202, 1));
    balanced(&home);
}

#[test]
fn an_orderly_end_keeps_dead_letters_keys_and_counts_for_the_next_host() {
    let home = durable();
    home.ok(&["plugin", "activate", "echo"]);
    let mut up = home.up();
    let first = home.ok(&["publish", "echo.ack", "1", "--dedup-key", "k"]);
    home.ok(&["publish", "echo.fail", r#"{"n": 1}"#]);
    home.ledger_says("done", 1);
    home.ledger_says("dead", 1);
    let version = home.ok(&["plugin", "info", "echo"])["version"].clone();
    assert!(version.is_string(), "{version}");
    up.signal("TERM");
    assert_eq!(up.ended(), 0);

    let verified = home.ok(&["journal", "verify"]);
    assert_eq!((&verified["whole"], &verified["orderly"]), (&true.into(), &true.into()));
    let _up = home.up();
    assert_eq!((row(&home, "done"), row(&home, "dead")), (1, 1));
    let repeat = home.ok(&["publish", "echo.ack", "1", "--dedup-key", "k"]);
    assert_eq!((&repeat["duplicate"], &repeat["mid"]), (&true.into(), &first["mid"]));
    assert_eq!(repeat["seq"], first["seq"]);
    home.run(&["publish", "echo.ack", "2", "--dedup-key", "k"]).failed(4, &["another payload"]);
    let dead = home.ok(&["dlq", "list"]);
    assert_eq!(dead[0]["reason"], "it was told to");
    // Who it was is known although that host is gone.
    assert_eq!((&dead[0]["version"], &dead[0]["history"][0]["version"]), (&version, &version));
    assert_eq!(dead[0]["history"][0]["plugin"], "echo");
    let mid = dead[0]["message"]["id"].as_str().expect("an id").to_owned();
    let life = home.ok(&["explain", &mid]);
    assert!(life["seq"].is_u64(), "{life}");
    let kinds: Vec<_> = life["records"].as_array().expect("records").iter().collect();
    assert!(kinds.iter().any(|record| record["plugin"] == "echo"), "{life}");
    let number = dead[0]["number"].to_string();
    home.ok(&["dlq", "redrive", &number]);
    eventually("it died again", LONG, || {
        (home.ok(&["dlq", "list"])[0]["redrives"] == 1).then_some(())
    });
    // Who does not know whether it was heard asks again with the key: it is done once.
    let once = ["dlq", "redrive", "--all", "--key", "once"];
    let first = home.ok(&once);
    assert_eq!((&first["state"], &first["done"]), (&"done".into(), &1.into()));
    eventually("it died once more", LONG, || {
        (home.ok(&["dlq", "list"])[0]["redrives"] == 2).then_some(())
    });
    assert_eq!(home.ok(&once)["id"], first["id"]);
    assert_eq!(home.ok(&["dlq", "list"])[0]["redrives"], 2);
    assert_eq!(home.ok(&["dlq", "list", "--unreadable"]), serde_json::json!([]));
    assert_eq!(home.ok(&["dlq", "purge", "--all"])["done"], 1);
    balanced(&home);
}

#[test]
fn who_was_cut_off_for_its_backlog_is_let_in_again_by_its_operator() {
    let home = durable();
    let settings = serde_json::json!({
        "durability": [{"topics": "echo.>", "level": "disk"}],
        "plugins": {"echo": {"subscriptions": {
            "echo.*": {"queue": {"overflow": "detach", "backlog": {"count": 2}}},
        }}},
    });
    write(&home.path("patchbay.yaml"), &settings.to_string());
    let mut up = paused(&home);
    for routed in [1, 1, 0, 0] {
        assert_eq!(home.ok(&["publish", "echo.ack", "1"])["routed"], routed);
    }
    let row = |name: &str| home.ok(&["ledger"])[0][name].clone();
    assert_eq!((row("cut_off"), row("passed")), (true.into(), 2.into()));
    home.run(&["plugin", "attach", "nobody"]).failed(1, &["nobody"]);
    assert_eq!(home.ok(&["plugin", "attach", "echo", "--pattern", "other"])["subscriptions"], 0);
    assert_eq!(row("cut_off"), true);
    assert_eq!(home.ok(&["plugin", "attach", "echo"])["subscriptions"], 1);
    assert_eq!(row("cut_off"), false);
    assert_eq!(home.ok(&["plugin", "attach", "echo"])["subscriptions"], 0);
    home.ok(&["plugin", "resume", "echo"]);
    home.ledger_says("done", 2);
    assert_eq!(home.ok(&["publish", "echo.ack", "1"])["routed"], 1);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
}

#[test]
fn what_waits_for_a_plugin_that_is_gone_is_kept_shown_and_purged_by_name() {
    let home = durable();
    let mut up = paused(&home);
    for _ in 0..3 {
        home.ok(&["publish", "echo.ack", "1"]);
    }
    home.ok(&["plugin", "deactivate", "echo"]);
    let ledger = home.ok(&["ledger"]);
    assert_eq!((&ledger[0]["orphaned"], &ledger[0]["queued"]), (&true.into(), &3.into()));
    // Nobody gets what is published now.
    assert_eq!(home.ok(&["publish", "echo.ack", "1"])["routed"], 0);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);

    let mut up = home.up();
    let ledger = home.ok(&["ledger"]);
    assert_eq!(
        (&ledger[0]["orphaned"], &ledger[0]["queued"]),
        (&true.into(), &3.into()),
        "{ledger}"
    );
    assert!(up.log().contains("no plugin has"), "{}", up.log());
    // It comes back, and gets what waited.
    home.ok(&["plugin", "activate", "echo"]);
    home.ok(&["plugin", "resume", "echo"]);
    home.ledger_says("done", 3);
    home.ok(&["plugin", "pause", "echo"]);
    home.ok(&["publish", "echo.ack", "1"]);
    home.run(&["plugin", "purge", "echo"]).failed(1, &["nothing waits"]);
    home.ok(&["plugin", "deactivate", "echo"]);
    let purged = home.ok(&["plugin", "purge", "echo"]);
    assert_eq!((&purged["subscriptions"], &purged["dropped"]), (&1.into(), &1.into()));
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
}
