//! Every drop has a line in the audit log: the counts of the lines are those of the ledger (P-1).

use std::collections::BTreeMap;

use patchbay_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{Home, LONG, Up, write};

/// A home whose `echo` has a small queue that drops, and a host in it. `echo.later` is durable.
fn dropping(overflow: &str) -> (Home, Up) {
    let home = Home::with_echo();
    let settings = json!({
        "log": {"format": "json"},
        "limits": {"audit_interval": "20ms"},
        "durability": [{"topics": "echo.later", "level": "disk"}],
        "plugins": {"echo": {"subscriptions": {"echo.*": {"queue": {"count": 4, "overflow": overflow}}}}},
    });
    write(&home.path("patchbay.yaml"), &settings.to_string());
    home.ok(&["plugin", "activate", "echo"]);
    let up = home.up();
    (home, up)
}

/// What the audit log says was dropped, by reason.
fn audited(up: &Up) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in up.log().lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        if line["target"] != "audit" || line["message"] != "deliveries dropped" {
            continue;
        }
        assert_eq!(line["plugin"], "echo", "{line}");
        let reason = line["reason"].as_str().expect("a reason").to_owned();
        *counts.entry(reason).or_default() += line["count"].as_u64().expect("a count");
    }
    counts
}

fn dropped(home: &Home) -> BTreeMap<String, u64> {
    let dropped = home.ok(&["ledger"])[0]["dropped"].clone();
    serde_json::from_value(dropped).expect("counts by reason")
}

fn lines_of(up: &Up, reason: &str, count: u64) {
    eventually(format_args!("{count} lines of {reason}"), LONG, || {
        (audited(up).get(reason) == Some(&count)).then_some(())
    });
}

#[test]
fn what_a_full_queue_and_an_expiry_drop_is_audited_by_reason() {
    for (overflow, reason) in [("drop_oldest", "drop_oldest"), ("drop_newest", "drop_newest")] {
        let (home, mut up) = dropping(overflow);
        home.ok(&["plugin", "pause", "echo"]);
        for _ in 0..3 {
            assert_eq!(home.run(&["publish", "echo.ack", "--count", "5"]).status, 0);
        }
        lines_of(&up, reason, 11);
        home.ok(&["plugin", "resume", "echo"]);
        home.ledger_says("done", 4);
        home.ok(&["publish", "echo.ack", "1", "--expires", "2000-01-01T00:00:00Z"]);
        lines_of(&up, "expired", 1);
        assert_eq!(audited(&up), dropped(&home));
        // The last ones are told at the end.
        home.ok(&["publish", "echo.ack", "1", "--expires", "2000-01-01T00:00:00Z"]);
        home.ledger_says("accepted", 17);
        eventually("it is dropped", LONG, || (dropped(&home)["expired"] == 2).then_some(()));
        let last = dropped(&home);
        up.signal("TERM");
        assert_eq!(up.ended(), 0);
        assert_eq!(audited(&up), last);
    }
}

#[test]
fn what_goes_with_its_plugin_is_audited_and_what_earlier_hosts_dropped_is_told_once_more() {
    let (home, mut up) = dropping("reject");
    home.ok(&["publish", "echo.later", "1", "--expires", "2000-01-01T00:00:00Z"]);
    lines_of(&up, "expired", 1);
    home.ok(&["plugin", "pause", "echo"]);
    for _ in 0..3 {
        home.ok(&["publish", "echo.ack", "1"]);
    }
    home.ok(&["publish", "echo.later", "1"]);
    home.ok(&["plugin", "deactivate", "echo"]);
    lines_of(&up, "unload", 3);
    assert_eq!(audited(&up), dropped(&home));
    up.signal("KILL");
    up.ended();
    let mut up = home.up();
    let before = "deliveries were dropped before this start";
    assert!(up.log().contains(before), "{}", up.log());
    let told = audited(&up);
    let purged = home.ok(&["plugin", "purge", "echo"]);
    assert_eq!(purged["dropped"], 1);
    assert!(up.log().contains("orphans purged"), "{}", up.log());
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    assert_eq!(audited(&up), told, "what was told is not told as new");
}
