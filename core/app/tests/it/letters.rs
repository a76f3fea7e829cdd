//! Dead letters that are full (P-21).

use patchbay_testkit::eventually;
use serde_json::Value;

use crate::{
    durable::{SETTINGS, balanced, durable, row},
    support::{Home, LONG, Up, write},
};

/// More than one window of a lane takes.
const COUNT: u64 = 400;

/// A home with room for so many dead letters, and a host in it.
fn with_room_for(count: u64, when_full: &str) -> (Home, Up) {
    let home = durable();
    let settings = format!(
        "{SETTINGS}limits: {{audit_interval: 20ms}}\n\
         dead_letters: {{max_count: {count}, max_pending: 5, when_full: {when_full}}}\n"
    );
    write(&home.path("patchbay.yaml"), &settings);
    home.ok(&["plugin", "activate", "echo"]);
    let up = home.up();
    (home, up)
}

fn status(home: &Home) -> Value {
    home.ok(&["status"])
}

fn fail(home: &Home, count: u64) {
    let ran = home.run(&["publish", "echo.fail", "--count", &count.to_string()]);
    assert_eq!(ran.status, 0, "{}", ran.err);
}

/// Waits until a pause of hand-offs is seen: something waits, and nothing is with a lane.
fn paused(home: &Home) {
    eventually("the pause", LONG, || {
        let status = status(home);
        let held = status["dead_letters"]["pending"].as_u64() > Some(5);
        let still = status["ledger"]["in_flight"] == 0 && status["ledger"]["delayed"] == 0;
        (held && still).then_some(())
    });
}

#[test]
fn full_dead_letters_hold_what_dies_raise_the_alarm_and_pause_the_queue_until_there_is_room() {
    let (home, mut up) = with_room_for(100, "hold");
    fail(&home, COUNT);
    home.ok(&["publish", "echo.ack", "1"]);
    paused(&home);
    let now = status(&home);
    assert_eq!(now["dead_letters"]["count"], 100, "{now}");
    assert_eq!(
        (&now["health"], &now["dead_letters"]["is_full"]),
        (&"degraded".into(), &true.into())
    );
    assert!(row(&home, "queued") > 0, "it would go on for ever: {now}");
    assert_eq!((row(&home, "dead"), row(&home, "done")), (100, 0));
    balanced(&home);
    eventually("the alarm", LONG, || up.log().contains("the dead letters are full").then_some(()));
    let shown = home.run(&["status", "-o", "table"]);
    assert!(shown.out.contains("100 of at most 100; FULL"), "{shown:?}");
    // What is held is on the disk.
    up.signal("KILL");
    up.ended();
    let up = home.up();
    paused(&home);
    assert_eq!((row(&home, "accepted"), row(&home, "dead")), (COUNT + 1, 100));
    balanced(&home);
    // Room is made, again and again: all of them end, and what stood behind them is handed out.
    eventually("the end of all", LONG, || {
        home.ok(&["dlq", "purge", "--all"]);
        (row(&home, "dead") == COUNT && row(&home, "done") == 1).then_some(())
    });
    let now = status(&home);
    assert_eq!((&now["health"], &now["dead_letters"]["pending"]), (&"healthy".into(), &0.into()));
    eventually("the word of it", LONG, || {
        up.log().contains("the dead letters have room again").then_some(())
    });
    balanced(&home);
}

#[test]
fn where_the_oldest_letter_goes_for_the_newest_it_is_counted_and_audited() {
    let (home, mut up) = with_room_for(3, "drop_oldest");
    fail(&home, 10);
    home.ledger_says("dead", 10);
    let now = status(&home);
    assert_eq!(
        (&now["dead_letters"]["count"], &now["dead_letters"]["overwritten"]),
        (&3.into(), &7.into())
    );
    assert_eq!((&now["health"], &now["dead_letters"]["pending"]), (&"healthy".into(), &0.into()));
    let numbers = |home: &Home| {
        let dead = home.ok(&["dlq", "list"]);
        let dead = dead.as_array().expect("a list").iter();
        dead.map(|it| it["number"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&home), [8, 9, 10]);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    let log = up.log();
    let lines = log.lines().filter(|line| line.contains("dead letters given up"));
    let counts = lines.map(|line| {
        assert!(line.contains("audit") && line.contains("drop_oldest"), "{line}");
        let (_, count) = line.split_once(" count=").expect("a count");
        count.split(' ').next().expect("a word").parse::<u64>().expect("a number")
    });
    assert_eq!(counts.sum::<u64>(), 7, "{log}");
    let _up = home.up();
    assert_eq!(numbers(&home), [8, 9, 10]);
    balanced(&home);
}
