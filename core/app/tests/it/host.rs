//! A host from its start to its end.

use std::{fs, os::unix::fs::PermissionsExt};

use patchbay_testkit::eventually;

use crate::support::{Home, LONG};

#[test]
fn a_host_says_that_it_is_ready_and_ends_in_an_orderly_way() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let mut up = home.up();
        let socket = home.path("run/patchbay.sock");
        assert_eq!(up.ready, format!("ready {}\n", socket.display()));
        let mode = fs::metadata(&socket).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(home.ok(&["wait"])["ready"], true);
        assert_eq!(home.ok(&["status"])["phase"], "running");
        up.signal(signal);
        assert_eq!(up.ended(), 0, "{}", up.log());
        assert!(!socket.exists());
    }
}

#[test]
fn shutdown_by_command_returns_when_the_host_has_ended() {
    let home = Home::new();
    let mut up = home.up();
    assert_eq!(home.ok(&["shutdown"])["stopped"], true);
    assert_eq!(up.ended(), 0, "{}", up.log());
    home.run(&["status"]).failed(3, &[]);
}

#[test]
fn a_second_host_in_the_same_folder_is_refused_and_named_the_first() {
    let home = Home::new();
    let up = home.up();
    let holder = format!("process {}", up.pid());
    home.run(&["up"]).failed(73, &["a host runs in", &holder, "try:"]);
    assert_eq!(home.ok(&["status"])["phase"], "running");
}

#[test]
fn a_socket_at_which_somebody_else_answers_is_not_taken_away() {
    let home = Home::new();
    fs::create_dir_all(home.path("run")).expect("a folder");
    let socket = home.path("run/patchbay.sock");
    let _other = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    home.run(&["up"]).failed(73, &["is taken", "patchbay.sock"]);
    assert!(socket.exists());
}

#[test]
fn a_killed_host_leaves_nothing_to_clean() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    for _ in 0..2 {
        let mut up = home.up();
        assert_eq!(home.ok(&["plugin", "list"])[0]["state"], "running");
        up.signal("KILL");
        assert_eq!(up.ended(), 128 + 9);
        assert!(home.path("run/patchbay.sock").exists());
    }
    let mut up = home.up();
    up.signal("TERM");
    assert_eq!(up.ended(), 0, "{}", up.log());
}

#[test]
fn what_a_plugin_has_begun_it_may_finish() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    let mut up = home.up();
    home.ok(&["publish", "echo.slow"]);
    home.ledger_says("in_flight", 1);
    up.signal("TERM");
    assert_eq!(up.ended(), 0, "{}", up.log());
    assert!(!up.log().contains("are lost"), "{}", up.log());
}

#[test]
fn a_second_signal_ends_the_host_at_once() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    let mut up = home.up();
    home.ok(&["publish", "echo.hang"]);
    home.ledger_says("in_flight", 1);
    up.signal("TERM");
    eventually("the end to begin", LONG, || up.log().contains("ending").then_some(()));
    up.signal("TERM");
    assert_eq!(up.ended(), 130, "{}", up.log());
}

#[test]
fn a_deadline_that_is_hit_ends_the_host_with_3() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    crate::support::write(&home.path("patchbay.yaml"), "shutdown_timeout: 200ms\n");
    let mut up = home.up();
    home.ok(&["publish", "echo.hang"]);
    home.ledger_says("in_flight", 1);
    up.signal("TERM");
    assert_eq!(up.ended(), 3, "{}", up.log());
    assert!(up.log().contains("deadline"), "{}", up.log());
}

#[test]
fn the_log_is_json_when_asked_for() {
    let home = Home::new();
    let mut up = home.up_with(&["--log-format", "json", "--log", "info", "-o", "json"]);
    let ready: serde_json::Value = serde_json::from_str(&up.ready).expect("JSON");
    assert_eq!(ready["ready"], true);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    let log = up.log();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert!(line["level"].is_string(), "{line}");
    }
    home.run(&["up", "--log", "no=such=thing"]).failed(2, &["what to log"]);
}
