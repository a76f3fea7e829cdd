//! Work on many dead letters, over the end of the host that began it (P-21).

use std::collections::BTreeSet;

use patchbay_testkit::eventually;
use serde_json::Value;

use crate::{
    durable::{balanced, durable},
    support::{Home, LONG, Up},
};

const COUNT: u64 = 60;

/// A home with dead letters in its journal. The plugin is paused: nothing that comes back dies again.
fn with_dead() -> (Home, Up) {
    let home = durable();
    home.ok(&["plugin", "activate", "echo"]);
    let up = home.up();
    let count = COUNT.to_string();
    assert_eq!(home.run(&["publish", "echo.fail", "--count", &count]).status, 0);
    home.ledger_says("dead", COUNT);
    home.ok(&["plugin", "pause", "echo"]);
    (home, up)
}

fn begin(home: &Home, verb: &str) -> String {
    // Twelve seconds for all of them: what is done to it under way takes a part of one.
    let begun = home.ok(&["dlq", verb, "--all", "--rate", "5", "--no-wait"]);
    assert_eq!((&begun["state"], &begun["kept"]), (&"running".into(), &true.into()));
    begun["id"].as_str().expect("an id").to_owned()
}

fn until(home: &Home, id: &str, accept: impl Fn(&Value) -> bool) -> Value {
    eventually("the operation", LONG, || {
        let now = home.ok(&["operation", "show", id]);
        accept(&now).then_some(now)
    })
}

fn done(of: &Value) -> u64 {
    of["done"].as_u64().unwrap_or_default()
}

fn all_came_back_once(home: &Home, id: &str) {
    let ended = until(home, id, |it| it["state"] == "done");
    assert_eq!((done(&ended), &ended["selected"]), (COUNT, &COUNT.into()), "{ended}");
    assert_eq!((&ended["absent"], &ended["refused"]), (&0.into(), &0.into()), "{ended}");
    home.run(&["plugin", "resume", "echo"]);
    // Each dies once more.
    let dead = eventually("all of them", LONG, || {
        let dead = home.ok(&["dlq", "list"]);
        let dead = dead.as_array().expect("a list").clone();
        let again = dead.iter().filter(|it| it["redrives"] == 1).count() as u64;
        (again == COUNT).then_some(dead)
    });
    let messages: BTreeSet<_> = dead.iter().map(|it| it["message"]["id"].to_string()).collect();
    assert_eq!((messages.len() as u64, dead.len() as u64), (COUNT, COUNT));
    balanced(home);
}

#[test]
fn a_redrive_whose_host_was_killed_is_finished_by_the_next_one_and_nothing_comes_back_twice() {
    let (home, mut up) = with_dead();
    let id = begin(&home, "redrive");
    let told = until(&home, &id, |it| done(it) >= 5);
    assert_eq!(told["state"], "running");
    up.signal("KILL");
    up.ended();
    let mut up = home.up();
    let found = home.ok(&["operation", "show", &id]);
    assert!(done(&found) >= done(&told), "{found}");
    let resumed = until(&home, &id, |it| done(it) > done(&found));
    assert_eq!((&resumed["resumed"], &resumed["kind"]), (&1.into(), &"redrive".into()));
    // And once more.
    up.signal("KILL");
    up.ended();
    let _up = home.up();
    all_came_back_once(&home, &id);
    assert_eq!(home.ok(&["operation", "list"])[0]["resumed"], 2);
}

#[test]
fn a_redrive_goes_on_after_an_orderly_end_and_one_that_was_cancelled_does_not() {
    let (home, mut up) = with_dead();
    let id = begin(&home, "redrive");
    until(&home, &id, |it| done(it) >= 3);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    let mut up = home.up();
    all_came_back_once(&home, &id);
    let purge = begin(&home, "purge");
    until(&home, &purge, |it| done(it) >= 3);
    let cancelled = home.ok(&["operation", "cancel", &purge]);
    assert!(done(&cancelled) < COUNT);
    let ended = until(&home, &purge, |it| it["state"] == "cancelled");
    up.signal("KILL");
    up.ended();
    let _up = home.up();
    let after = home.ok(&["operation", "show", &purge]);
    assert_eq!((&after["state"], &after["done"]), (&"cancelled".into(), &ended["done"]));
    let left = home.ok(&["dlq", "list"]).as_array().expect("a list").len() as u64;
    assert_eq!(left, COUNT - done(&ended));
    home.run(&["operation", "show", "none"]).failed(1, &["no operation `none`"]);
    let table = home.run(&["operation", "show", &purge, "-o", "table"]);
    assert!(table.out.contains("cancelled") && table.out.contains("of 60 done"), "{table:?}");
}

#[test]
fn a_redrive_to_a_plugin_that_is_gone_waits_there_for_whoever_comes() {
    let (home, mut up) = with_dead();
    home.ok(&["plugin", "deactivate", "echo"]);
    let plan = home.ok(&["dlq", "redrive", "--all", "--dry-run"]);
    assert_eq!((&plan["selected"], &plan["refused"]), (&COUNT.into(), &0.into()));
    assert_eq!(plan["letters"][0]["subscription"], "echo.*");
    assert_eq!(home.ok(&["dlq", "redrive", "--limit", "10", "--all"])["done"], 10);
    let row = |name: &str| home.ok(&["ledger"])[0][name].as_u64().unwrap_or_default();
    assert_eq!((row("queued"), row("dead")), (10, COUNT));
    balanced(&home);
    // It is on the disk.
    up.signal("KILL");
    up.ended();
    let _up = home.up();
    assert_eq!((row("queued"), home.ok(&["ledger"])[0]["orphaned"].clone()), (10, true.into()));
    assert_eq!(home.ok(&["dlq", "redrive", "--all"])["done"], COUNT - 10);
    home.ok(&["plugin", "activate", "echo"]);
    eventually("all died again", LONG, || {
        let dead = home.ok(&["dlq", "list"]);
        let dead = dead.as_array().expect("a list");
        let again = dead.iter().filter(|it| it["redrives"] == 1).count() as u64;
        (again == COUNT).then_some(())
    });
    balanced(&home);
    // Once it is purged by name, nothing is left to send back to.
    home.ok(&["plugin", "deactivate", "echo"]);
    home.ok(&["plugin", "purge", "echo"]);
    assert_eq!(home.ok(&["dlq", "list"]), serde_json::json!([]));
}
