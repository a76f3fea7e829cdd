//! Messages from the command line through a plugin and back.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use patchbay_testkit::eventually;

use crate::support::{Home, LONG, Ran, Up};

fn echoing() -> (Home, Up) {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    let up = home.up();
    (home, up)
}

#[test]
fn messages_are_published_one_by_one_by_lines_and_by_count() {
    let (home, _up) = echoing();
    let published =
        home.ok(&["publish", "echo.ack", r#"{"n": 1}"#, "--key", "k", "--header", "a=b"]);
    assert_eq!((&published["routed"], &published["level"]), (&1.into(), &"memory".into()));
    let ran =
        home.run_with(&["publish", "echo.ack", "--lines", "--file", "-"], b"one\n\ntwo\nthree");
    assert_eq!((ran.status, ran.lines().len()), (0, 3), "{ran:?}");
    let ran = home.run(&["publish", "echo.ack", "--count", "2500"]);
    assert_eq!((ran.status, ran.lines().len()), (0, 2500), "{}", ran.err);
    home.ledger_says("done", 1 + 3 + 2500);
    let nobody = home.run(&["publish", "nobody.listens", "1", "-o", "table"]);
    assert!(nobody.status == 0 && nobody.out.contains("nobody subscribes"), "{nobody:?}");
}

#[test]
fn the_four_statuses_are_seen_where_they_lead() {
    let (home, _up) = echoing();
    for topic in ["echo.ack", "echo.again", "echo.forward", "echo.fail"] {
        home.ok(&["publish", topic, r#"{"n": 1}"#]);
    }
    home.ledger_says("done", 2);
    home.ledger_says("forwarded", 1);
    home.ledger_says("dead", 1);
    let dead = home.ok(&["dlq", "list"]);
    assert_eq!(dead[0]["reason"], "it was told to");
    assert_eq!(dead[0]["message"]["data"]["n"], 1);
    let id = dead[0]["message"]["id"].as_str().expect("an id");
    let story = home.run(&["dlq", "show", id, "-o", "table"]);
    assert!(story.out.contains("it was told to") && story.out.contains("echo.fail"), "{story:?}");
    assert_eq!(home.ok(&["dlq", "list", "--plugin", "other"]), serde_json::json!([]));
    home.run(&["dlq", "show", "none"]).failed(1, &["no dead letter"]);
}

#[test]
fn a_message_may_start_later_end_earlier_and_be_repeated() {
    let (home, _up) = echoing();
    let first = home.ok(&["publish", "echo.ack", "1", "--dedup-key", "k"]);
    home.ledger_says("done", 1);
    let repeat = home.ok(&["publish", "echo.ack", "1", "--dedup-key", "k"]);
    assert_eq!((&repeat["duplicate"], &repeat["mid"]), (&true.into(), &first["mid"]));
    home.run(&["publish", "echo.ack", "2", "--dedup-key", "k"]).failed(4, &["another payload"]);
    home.ok(&["publish", "echo.ack", "1", "--not-before", "1h"]);
    home.ledger_says("delayed", 1);
    home.ok(&["publish", "echo.ack", "1", "--expires", "2000-01-01T00:00:00Z"]);
    home.ledger_says("accepted", 3);
    eventually("the expired one is dropped", LONG, || {
        let ledger = home.ok(&["ledger"]);
        (ledger[0]["dropped"]["expired"] == 1).then_some(())
    });
    home.run(&["publish", "echo.ack", "1", "--not-before", "2h", "--expires", "1h"])
        .failed(2, &["expires before"]);
    home.run(&["publish", "echo.ack", "1", "--level", "tape"]).failed(2, &["disk"]);
    home.run(&["publish", "echo.ack", "1", "--expires", "soon"]).failed(2, &["2h"]);
}

#[test]
fn a_message_is_explained_while_something_is_left_of_it() {
    let (home, _up) = echoing();
    let later = home.ok(&["publish", "echo.ack", "1", "--not-before", "1h"]);
    let later = later["mid"].as_str().expect("a mid").to_owned();
    let life = home.ok(&["explain", &later]);
    assert_eq!(
        (&life["topic"], &life["deliveries"][0]["state"]),
        (&"echo.ack".into(), &"delayed".into())
    );
    let failed = home.ok(&["publish", "echo.fail", "1"]);
    let failed = failed["mid"].as_str().expect("a mid").to_owned();
    home.ledger_says("dead", 1);
    let story = home.run(&["explain", &failed, "-o", "table"]);
    for words in ["echo #", "dead letter", "1 attempts", "it was told to", "in memory only"] {
        assert!(story.out.contains(words), "no {words:?} in {story:?}");
    }
    let done = home.ok(&["publish", "echo.ack", "1"]);
    home.ledger_says("done", 1);
    let done = done["mid"].as_str().expect("a mid").to_owned();
    home.run(&["explain", &done]).failed(1, &["nothing of it is left", "leaves no record"]);
    home.run(&["explain", "12"]).failed(2, &["12"]);
}

#[test]
fn dead_letters_are_selected_sent_back_and_deleted() {
    let (home, _up) = echoing();
    for n in 0..3 {
        home.ok(&["publish", "echo.fail", &n.to_string()]);
    }
    home.ledger_says("dead", 3);
    home.run(&["dlq", "redrive"]).failed(2, &["which dead letters", "--all"]);
    home.run(&["dlq", "purge", "--topic", "a..b"]).failed(2, &["a..b"]);
    let none = home.ok(&["dlq", "list", "--until", "1h"]);
    assert_eq!(none, serde_json::json!([]));
    let plan = home.ok(&["dlq", "redrive", "--topic", "echo.>", "--since", "1h", "--dry-run"]);
    assert_eq!(plan["selected"], 3);
    assert_eq!(plan["letters"][0]["would"], "redrive");
    let first = plan["letters"][0]["number"].to_string();
    let ended = home.ok(&["dlq", "redrive", &first]);
    assert_eq!((&ended["state"], &ended["done"]), (&"done".into(), &1.into()));
    home.run(&["dlq", "redrive", &first]).failed(1, &["no dead letter of these numbers"]);
    let back = eventually("the letter is back", LONG, || {
        let dead = home.ok(&["dlq", "list", "--limit", "10"]);
        let dead = dead.as_array().expect("a list").clone();
        dead.into_iter().find(|letter| letter["redrives"] == 1)
    });
    let number = back["number"].to_string();
    let story = home.run(&["dlq", "show", &number, "-o", "table"]);
    assert!(story.out.contains("sent back"), "{story:?}");
    // Its subscription goes: there is nowhere to send it.
    home.ok(&["plugin", "deactivate", "echo"]);
    home.run(&["dlq", "redrive", &number]).failed(4, &["is gone", "purge"]);
    let ended = home.ok(&["dlq", "purge", "--all"]);
    assert_eq!(ended["done"], 3);
    assert_eq!(home.ok(&["dlq", "list"]), serde_json::json!([]));
}

#[test]
fn what_passes_is_seen_by_who_watches() {
    let (home, _up) = echoing();
    let mut command = home.command(&["subscribe", "heard.>", "--count", "2", "--timeout", "30s"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    // It says when it watches.
    let mut watching = [0; 9];
    std::io::Read::read_exact(child.stderr.as_mut().expect("a pipe"), &mut watching).expect("text");
    assert_eq!(&watching, b"watching ");
    home.ok(&["publish", "echo.forward", r#"{"n": 1}"#]);
    home.ok(&["publish", "heard.directly", "\"two\""]);
    let ran = Ran::of(&child.wait_with_output().expect("an end"));
    assert_eq!(ran.status, 0, "{ran:?}");
    let mut topics: Vec<_> = ran.lines().iter().map(|seen| seen["topic"].clone()).collect();
    topics.sort_by_key(ToString::to_string);
    assert_eq!(topics, ["heard.directly", "heard.it"]);
    home.run(&["subscribe", "quiet", "--count", "1", "--timeout", "50ms"])
        .failed(1, &["0 of 1 messages"]);
    assert_eq!(home.run(&["subscribe", "quiet", "--timeout", "50ms"]).status, 0);
}

#[test]
fn who_stops_watching_makes_room_for_others_and_the_end_of_the_host_is_told() {
    let home = Home::with_echo();
    crate::support::write(&home.path("patchbay.yaml"), "gateway: {streams: 1}\n");
    let mut up = home.up();
    let watch = || {
        let mut command = home.command(&["subscribe", "quiet.>"]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary");
        let mut first = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        lines.read_line(&mut first).expect("a line");
        (child, first, lines)
    };
    let (mut child, first, _) = watch();
    assert_eq!(first, "watching quiet.>\n");
    home.run(&["subscribe", "quiet.>"]).failed(4, &["streams are open already"]);
    child.kill().expect("a child");
    child.wait().expect("an end");
    let (mut child, mut lines) = eventually("a free place", LONG, || match watch() {
        (child, first, lines) if first.starts_with("watching") => Some((child, lines)),
        (mut child, ..) => child.wait().map(|_| None).expect("an end"),
    });
    up.signal("TERM");
    assert_eq!(up.ended(), 0, "{}", up.log());
    assert_eq!(child.wait().expect("an end").code(), Some(3));
    let mut rest = String::new();
    lines.read_line(&mut rest).expect("a line");
    assert!(rest.contains("the host ended the stream"), "{rest}");
}

#[test]
fn a_line_is_published_while_more_may_come() {
    let (home, _up) = echoing();
    let mut command = home.command(&["publish", "echo.ack", "--lines", "--file", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary");
    let mut input = child.stdin.take().expect("a pipe");
    for count in 1..=2 {
        input.write_all(b"a line\n").expect("a line");
        home.ledger_says("done", count);
    }
    drop(input);
    assert!(child.wait().expect("an end").success());
}

#[test]
fn a_request_prints_the_reply_and_fails_at_once_when_nobody_answers() {
    let (home, _up) = echoing();
    let ran = home.run(&["request", "echo.ask", r#"{"n": 1.50}"#, "-o", "table"]);
    assert_eq!((ran.status, ran.out.trim()), (0, r#"{"n": 1.50}"#), "{ran:?}");
    assert_eq!(home.ok(&["request", "echo.ask", "[1]"])["data"][0], 1);
    home.run(&["request", "nobody.there", "1"]).failed(1, &["nobody answers", "topic list"]);
    home.run(&["request", "echo.ack", "1", "--timeout", "50ms"]).failed(1, &["no reply"]);
}

#[test]
fn what_the_host_refuses_is_told_and_ends_with_4() {
    let (home, _up) = echoing();
    home.run(&["publish", "$PB.mine", "1"]).failed(4, &["reserved", "try:"]);
    crate::support::write(&home.path("big.json"), &format!("\"{}\"", "x".repeat(9 << 20)));
    let big = home.path("big.json");
    home.run(&["publish", "echo.ack", "--file", big.to_str().expect("a path")])
        .failed(4, &["bytes"]);
    let input = "1\n".repeat(3);
    let ran = home.run_with(&["publish", "$PB.mine", "--lines", "--file", "-"], input.as_bytes());
    ran.failed(4, &["0 messages accepted, 3 refused"]);
}

#[test]
fn topics_and_ledger_show_who_listens() {
    let (home, _up) = echoing();
    let topics = home.ok(&["topic", "list"]);
    assert_eq!(topics[0]["pattern"], "echo.*");
    assert_eq!(topics[0]["subscribers"][0], "echo");
    let table = home.run(&["ledger", "-o", "table"]);
    assert!(table.out.starts_with("PLUGIN") && table.out.contains("RETRIED"), "{table:?}");
    home.run(&["publish", "echo.ack", "1"]);
    eventually("everything to be settled", LONG, || {
        (home.ok(&["topic", "list"])[0]["unsettled"] == 0).then_some(())
    });
}
