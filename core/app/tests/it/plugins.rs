//! Plugins of a running host.

use std::{fs, os::unix::fs::symlink};

use crate::support::Home;

#[test]
fn a_plugin_is_activated_replaced_and_deactivated_while_the_host_runs() {
    let home = Home::with_echo();
    let _up = home.up();
    let activated = home.ok(&["plugin", "activate", "echo"]);
    assert_eq!(activated["plugin"]["state"], "running");
    assert_eq!(activated["plugin"]["version"], "1.2.3");
    // Once more changes nothing.
    let again = home.ok(&["plugin", "activate", "echo"]);
    assert_eq!(again["plugin"]["generation"], activated["plugin"]["generation"]);

    home.add_echo("1.3.0");
    home.ok(&["plugin", "build", "echo", "--release"]);
    let replaced = home.ok(&["plugin", "activate", "echo", "production"]);
    assert_eq!(replaced["plugin"]["version"], "1.3.0");

    let gone = home.ok(&["plugin", "deactivate", "echo"]);
    assert_eq!((&gone["host"], &gone["generations"]), (&true.into(), &serde_json::json!([])));
    let stopped = home.ok(&["wait", "--plugin", "echo", "--state", "stopped"]);
    assert_eq!(stopped["enabled"], false);
}

#[test]
fn a_plugin_is_paused_resumed_reset_and_restarted() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    let _up = home.up();
    let first = home.ok(&["plugin", "list"])[0]["generation"].as_u64();
    assert_eq!(home.ok(&["plugin", "pause", "echo"])["state"], "paused");
    home.ok(&["publish", "echo.ack"]);
    home.ledger_says("queued", 1);
    assert_eq!(home.ok(&["plugin", "resume", "echo"])["state"], "running");
    home.ledger_says("done", 1);
    assert_eq!(home.ok(&["plugin", "reset", "echo"])["state"], "running");
    let restarted = home.ok(&["plugin", "restart", "echo"]);
    assert!(restarted["generation"].as_u64() > first, "{restarted}");
    home.run(&["plugin", "pause", "nobody"]).failed(1, &["no plugin `nobody`", "plugin list"]);
}

#[test]
fn a_plugin_is_shown_with_its_metrics_and_its_log() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    let _up = home.up();
    let info = home.ok(&["plugin", "info", "echo"]);
    assert_eq!(info["own_metrics"]["echoes"], 1);
    assert_eq!(info["subscriptions"][0]["pattern"], "echo.*");
    let text = home.run(&["plugin", "info", "echo", "-o", "table"]).out;
    assert!(text.contains("Settles each message") && text.contains("echo.*"), "{text}");
    let log = home.run(&["plugin", "logs", "echo"]);
    assert!(log.lines().iter().any(|line| line["text"] == "made an echo"), "{log:?}");
    let generations = home.ok(&["plugin", "generations", "echo"]);
    assert_eq!(generations[0]["serving"], true);
}

#[test]
fn a_plugin_that_cannot_run_is_shown_with_the_reason_and_hurts_nobody() {
    let home = Home::with_echo();
    home.ok(&["plugin", "activate", "echo"]);
    let library = home.path("plugins/libraries/development/libbroken.so");
    fs::write(&library, "no library").expect("a file");
    symlink(&library, home.path("plugins/enabled/broken")).expect("a link");
    let _up = home.up();
    let plugins = home.ok(&["plugin", "list"]);
    assert_eq!((&plugins[0]["name"], &plugins[0]["state"]), (&"broken".into(), &"failed".into()));
    let reason = plugins[0]["failure"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("ELF"), "{reason}");
    assert_eq!((&plugins[1]["name"], &plugins[1]["state"]), (&"echo".into(), &"running".into()));
    home.run(&["wait", "--plugin", "broken", "--timeout", "1s"]).failed(1, &["failed", "ELF"]);
    home.run(&["plugin", "activate", "broken"]).failed(1, &["cannot activate", "ELF"]);
    assert_eq!(home.ok(&["status"])["health"], "degraded");
}
