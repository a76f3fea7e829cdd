//! Every way in which a publish is refused by what the host promises (P-2 to P-21), over the routes:
//! the stated code, whether it is certain that nothing was accepted, and what to do.

use std::{fs, time::Duration};

use patchbay_gateway::GatewayLimits;
use patchbay_host::{Level, Settings};
use patchbay_testkit::Home;
use patchbay_wire::TopicPattern;
use serde_json::{Value, json};

use crate::{
    errors::check,
    support::{LONG, Served, enable_echo},
};

const PUBLISH: &str = "POST /api/v1/messages";

/// A host with small bounds. Its plugin is paused: what is accepted waits.
async fn bounded(change: impl FnOnce(&mut Settings)) -> Served {
    let home = Home::new();
    let subscriptions = json!([
        {"topic": "small.*", "queue": {"count": 1}},
        {"topic": "disk.few", "queue": {"backlog": {"count": 2}}},
        {"topic": "disk.many"},
        {"topic": "disk.buried", "queue": {"backlog": {"count": 2}, "overflow": "dead_letter"}},
        {"topic": "disk.cut", "queue": {"backlog": {"count": 2}, "overflow": "detach"}},
    ]);
    enable_echo(&home, &subscriptions);
    again(home, change).await
}

/// The next host of that home.
async fn again(home: Home, change: impl FnOnce(&mut Settings)) -> Served {
    let mut settings = Settings::of_home(home.path());
    settings.limits.payload_bytes = 20_000;
    settings.durability.push("disk.>", Level::Disk).expect("a rule");
    settings.journal.segment_bytes = 64 << 10;
    settings.journal.reserve_bytes = 64 << 10;
    settings.journal.low_water_bytes = 0;
    // However slow the disk: what is refused is refused for want of room, not of time.
    settings.journal.patience = Duration::from_secs(10);
    settings.reject_unmatched = ["disk.>", "small.>"].map(pattern).into();
    change(&mut settings);
    let served = Served::with(home, settings, GatewayLimits::default()).await;
    assert_eq!(served.ask("POST /api/v1/plugins/echo/pause", "").await.status, 200);
    served
}

fn pattern(text: &str) -> TopicPattern {
    TopicPattern::parse(text).expect("a pattern")
}

fn with_text(topic: &str, bytes: usize) -> String {
    json!({"topic": topic, "text": "x".repeat(bytes)}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_of_a_publish_has_its_code_and_says_what_to_do() {
    let served = bounded(|_| {}).await;
    // What is taken before: the bounds are reached by it.
    for (body, times) in [
        (r#"{"topic":"small.a"}"#, 1),
        (r#"{"topic":"disk.few"}"#, 2),
        (r#"{"topic":"disk.many","text":"1","dedup_key":"k"}"#, 1),
    ] {
        for _ in 0..times {
            assert_eq!(served.ask(PUBLISH, body).await.json()["routed"], 1, "{body}");
        }
    }
    let late = r#"{"topic":"disk.many","expires":"2026-01-01T00:00:00Z","not_before":"2026-01-02T00:00:00Z"}"#;
    let large = with_text("disk.many", 20_001);
    for (body, status, code, words) in [
        (r#"{"topic":"small.a"}"#, 429, "queue_full", ["echo for `small.*`", "more slowly"]),
        (
            r#"{"topic":"disk.few"}"#,
            429,
            "backlog_full",
            ["echo for `disk.few`", "raise its backlog"],
        ),
        (
            r#"{"topic":"disk.many","text":"2","dedup_key":"k"}"#,
            409,
            "dedup_mismatch",
            ["another payload", "new key"],
        ),
        (
            r#"{"topic":"disk.nobody"}"#,
            404,
            "no_match",
            ["no subscription matches", "activate the plugin"],
        ),
        (late, 400, "expired", ["expires before", "later expiry"]),
        (&*large, 413, "too_large", ["at most 20000 are allowed", "reference"]),
        (r#"{"topic":"disk..many"}"#, 400, "invalid_message", ["not valid", "correct"]),
        (r#"{"topic":"disk.*"}"#, 400, "invalid_message", ["not valid", "correct"]),
        (
            r#"{"topic":"disk.many","headers":{"Patchbay-Hops":"0"}}"#,
            400,
            "invalid_message",
            ["`Patchbay-Hops` is the host's", "correct"],
        ),
        (
            r#"{"topic":"disk.many","headers":{"a\nb":"c"}}"#,
            400,
            "invalid_message",
            ["control character", "correct"],
        ),
        (
            r#"{"topic":"$PB.dlq.full"}"#,
            403,
            "reserved_topic",
            ["`$PB.dlq.full`", "start with `$PB`"],
        ),
        (r#"{"topic":"disk.many","level":"tape"}"#, 400, "invalid_request", ["disk", "openapi"]),
        (
            r#"{"topic":"disk.many","dedup_key":""}"#,
            400,
            "invalid_request",
            ["`dedup_key`", "openapi"],
        ),
        (
            r#"{"topic":"disk.many","not_before":"soon"}"#,
            400,
            "invalid_request",
            ["`not_before`", "openapi"],
        ),
    ] {
        let problem = check(&served.ask(PUBLISH, body).await, status, code);
        assert_eq!(problem["rejected"], true, "{problem}");
        let said = format!("{} {}", problem["detail"], problem["hint"]);
        assert!(words.iter().all(|word| said.contains(word)), "{code}: {words:?} in {said}");
        // The same among several.
        let line = format!("{}\n", body.replace('\n', " "));
        let outcome: Value = served.ask(PUBLISH, &line).await.lines().remove(0);
        assert_eq!((&outcome["status"], &outcome["code"]), (&status.into(), &code.into()));
        assert_eq!(outcome["rejected"], true, "{outcome}");
    }
    // Nothing of all that was accepted.
    let ledger = served.ask("GET /api/v1/ledger", "").await.json();
    let accepted: u64 =
        ledger.as_array().expect("rows").iter().filter_map(|row| row["accepted"].as_u64()).sum();
    assert_eq!(accepted, 4, "{ledger}");
    // A repeat under its key is the first one, whatever is full.
    let again = r#"{"topic":"disk.many","text":"1","dedup_key":"k"}"#;
    assert_eq!(served.ask(PUBLISH, again).await.json()["duplicate"], true);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backlog_that_says_so_makes_dead_letters_or_is_cut_off_and_either_is_seen() {
    let served = bounded(|_| {}).await;
    for (topic, routed) in [("disk.buried", [1, 1, 1, 1, 1]), ("disk.cut", [1, 1, 0, 0, 0])] {
        let body = json!({"topic": topic}).to_string();
        for routed in routed {
            assert_eq!(served.ask(PUBLISH, &body).await.json()["routed"], routed, "{topic}");
        }
    }
    let row = |rows: &Value, pattern: &str| {
        let mut rows = rows.as_array().expect("rows").iter();
        let row = rows.find(|row| row["pattern"] == pattern).expect("its row");
        ["accepted", "queued", "dead", "cut_off", "passed"].map(|term| row[term].clone())
    };
    let rows = served.ask("GET /api/v1/ledger", "").await.json();
    assert_eq!(json!(row(&rows, "disk.buried")), json!([5, 2, 3, false, 0]));
    assert_eq!(json!(row(&rows, "disk.cut")), json!([2, 2, 0, true, 3]));
    let letters = served.ask("GET /api/v1/dead-letters", "").await.json().to_string();
    assert!(letters.contains("overflow"), "{letters}");
    // Half of it is worked off: it gets the next one.
    assert_eq!(served.ask("POST /api/v1/plugins/echo/resume", "").await.status, 200);
    let worked_off = |rows: &Value| {
        let mut rows = rows.as_array().expect("rows").iter();
        rows.any(|row| row["pattern"] == "disk.cut" && row["done"] == 2)
    };
    served.until("GET /api/v1/ledger", "", |answer| worked_off(&answer.json())).await;
    assert_eq!(served.ask(PUBLISH, r#"{"topic":"disk.cut"}"#).await.json()["routed"], 1);
    let rows = served.ask("GET /api/v1/ledger", "").await.json();
    assert_eq!(json!(row(&rows, "disk.cut")[3..]), json!([false, 3]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_cut_off_is_told_of_and_let_in_by_its_operator() {
    const ATTACH: &str = "POST /api/v1/plugins/echo/attach";
    let served = bounded(|_| {}).await;
    let mut events = served.host.events();
    let body = r#"{"topic":"disk.cut"}"#;
    for routed in [1, 1, 0] {
        assert_eq!(served.ask(PUBLISH, body).await.json()["routed"], routed);
    }
    let told = |cut_off: bool| json!({"plugin": "echo", "pattern": "disk.cut", "cut_off": cut_off, "passed": 1});
    assert_eq!(heard(&mut events).await, told(true));
    // Others of the plugin are not meant, and were not cut off.
    let other = served.ask(&format!("{ATTACH}?pattern=disk.few"), "").await.json();
    assert_eq!(other, json!({"plugin": "echo", "subscriptions": 0}));
    let attached = served.ask(&format!("{ATTACH}?pattern=disk.cut"), "").await.json();
    assert_eq!(attached, json!({"plugin": "echo", "subscriptions": 1}));
    assert_eq!(heard(&mut events).await, told(false));
    // Twice is once.
    assert_eq!(served.ask(ATTACH, "").await.json()["subscriptions"], 0);
    // There is still no room.
    assert_eq!(served.ask(PUBLISH, body).await.json()["routed"], 0);
    let again = heard(&mut events).await;
    assert_eq!((&again["cut_off"], &again["passed"]), (&json!(true), &json!(2)));
    let nobody = served.ask("POST /api/v1/plugins/nobody/attach", "").await;
    check(&nobody, 404, "unknown_plugin");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_whose_message_is_damaged_is_said_to_be_lost() {
    let served = bounded(|_| {}).await;
    assert_eq!(served.ask("POST /api/v1/plugins/echo/resume", "").await.status, 200);
    for (number, key) in [(1, "taken by nobody"), (2, "kept for good")] {
        let body = json!({"topic": "disk.many", "text": "fail", "key": key}).to_string();
        assert_eq!(served.ask(PUBLISH, &body).await.json()["routed"], 1);
        let letter = format!("GET /api/v1/dead-letters/{number}");
        served.until(&letter, "", |answer| answer.status == 200).await;
    }
    let home = served.end().await;
    for entry in fs::read_dir(home.path().join("data/journal")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("a file");
        let text = b"taken by nobody";
        if let Some(at) = bytes.windows(text.len()).position(|some| some == text) {
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("it is written");
        }
    }
    let served = again(home, |_| {}).await;
    let problem =
        check(&served.ask("GET /api/v1/dead-letters/1", "").await, 410, "unreadable_dead_letter");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("dead letter 1 of `echo`"), "{problem}");
    // Those beside it are whole, and the ledger still knows of both.
    assert_eq!(served.ask("GET /api/v1/dead-letters/2", "").await.status, 200);
    assert_eq!(
        served.ask("GET /api/v1/dead-letters", "").await.json().as_array().map(Vec::len),
        Some(1)
    );
    // It is listed, cannot be sent back, and goes when somebody says so: for good.
    let lost = served.ask("GET /api/v1/dead-letters/unreadable", "").await.json();
    assert_eq!((&lost[0]["number"], &lost[0]["plugin"]), (&1.into(), &"echo".into()), "{lost}");
    assert_eq!(served.ask("GET /api/v1/status", "").await.json()["dead_letters"]["unreadable"], 1);
    let worked = async |verb: &str, body: &str| {
        let begun = served.ask(&format!("POST /api/v1/dead-letters/{verb}"), body).await;
        assert_eq!(begun.status, 202, "{verb} {body}");
        let path =
            format!("GET /api/v1/operations/{}", begun.json()["id"].as_str().expect("an id"));
        served.until(&path, "", |answer| answer.json()["state"] == "done").await.json()
    };
    let refused = worked("redrive", r#"{"select":{"numbers":[1]}}"#).await;
    assert_eq!(refused["refused"], 1, "{refused}");
    let why = refused["problems"][0]["reason"].as_str().expect("a reason");
    assert!(why.contains("dead letter 1 of `echo` cannot be read"), "{why}");
    // Who sends all back means what can be read.
    let plan = r#"{"select":{"all":true},"dry_run":true}"#;
    let plans = ["redrive", "purge"].map(|verb| format!("POST /api/v1/dead-letters/{verb}"));
    for (path, selected) in plans.iter().zip([1, 2]) {
        assert_eq!(served.ask(path, plan).await.json()["selected"], selected, "{path}");
    }
    let purged = worked("purge", r#"{"select":{"class":"unreadable"}}"#).await;
    assert_eq!((&purged["selected"], &purged["done"]), (&1.into(), &1.into()), "{purged}");
    let served = again(served.end().await, |_| {}).await;
    let none = serde_json::json!([]);
    assert_eq!(served.ask("GET /api/v1/dead-letters/unreadable", "").await.json(), none);
    check(&served.ask("GET /api/v1/dead-letters/1", "").await, 404, "unknown_dead_letter");
    served.end().await;
}

/// The next event about who is cut off.
async fn heard(events: &mut patchbay_host::EventTap) -> Value {
    loop {
        let event = tokio::time::timeout(LONG, events.next()).await.expect("in time");
        let event = event.expect("the host runs");
        if event.topic == "$PB.plugin.echo.cut_off" {
            return event.data;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_refuses_with_507_is_not_ready_and_both_pass_by_themselves() {
    let served = bounded(|settings| settings.journal.max_bytes = 512 << 10).await;
    let body = with_text("disk.many", 16_000);
    let refused = served.until(PUBLISH, &body, |answer| answer.status != 200).await;
    let problem = check(&refused, 507, "storage_full");
    assert_eq!(problem["rejected"], true);
    assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("by themselves")));
    let problem = check(&served.ask("GET /readyz", "").await, 503, "not_ready");
    assert!(
        problem["detail"].as_str().is_some_and(|it| it.contains("the journal is full")),
        "{problem}"
    );
    assert_eq!(served.ask("GET /livez", "").await.status, 200);
    assert_eq!(served.ask("GET /api/v1/journal", "").await.json()["state"], "full");
    // What is not durable is taken all the same.
    assert_eq!(served.ask(PUBLISH, r#"{"topic":"small.a"}"#).await.status, 200);
    assert_eq!(served.ask("POST /api/v1/plugins/echo/resume", "").await.status, 200);
    served.until(PUBLISH, &body, |answer| answer.status == 200).await;
    served.until("GET /readyz", "", |answer| answer.status == 200).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_fails_refuses_with_503_and_stays_red_until_a_restart() {
    let served = bounded(|_| {}).await;
    let (journal, away) = {
        let folder = served.home.path().join("data");
        (folder.join("journal"), folder.join("away"))
    };
    // Its next file cannot be made.
    fs::rename(&journal, &away).expect("it is there");
    let body = with_text("disk.many", 16_000);
    let mut accepted = 0;
    let mut answer = served.ask(PUBLISH, &body).await;
    while answer.status == 200 {
        accepted += 1;
        answer = served.ask(PUBLISH, &body).await;
    }
    check(&answer, 503, "journal_failed");
    // From then on it is certain that nothing was accepted.
    let problem = check(&served.ask(PUBLISH, &body).await, 503, "journal_failed");
    assert_eq!(problem["rejected"], true, "{problem}");
    assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("restart the host")));
    let problem = check(&served.ask("GET /readyz", "").await, 503, "not_ready");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains("the journal is failed")));
    assert_eq!(served.ask("GET /livez", "").await.status, 200);
    let status = served.ask("GET /api/v1/status", "").await.json();
    assert_eq!((&status["health"], &status["journal"]), (&"degraded".into(), &"failed".into()));
    // A host that comes after it reads what is really there: everything that was accepted.
    fs::rename(&away, &journal).expect("it is there");
    served.host.shutdown(Duration::from_secs(60)).await;
    let Served { home, host, gateway, .. } = served;
    drop((host, gateway));
    let mut settings = Settings::of_home(home.path());
    settings.durability.push("disk.>", Level::Disk).expect("a rule");
    let served = Served::with(home, settings, GatewayLimits::default()).await;
    served
        .until("GET /api/v1/ledger", "", |answer| {
            let rows = answer.json();
            let mut rows = rows.as_array().expect("rows").iter();
            rows.any(|row| row["pattern"] == "disk.many" && row["done"].as_u64() >= Some(accepted))
        })
        .await;
    assert_eq!(served.ask("GET /readyz", "").await.status, 200);
    served.end().await;
}
