//! The end of the host (P-35).

use std::time::Duration;

use patchbay_host::{HostError, PublishError, Room};
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig, message};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_settled_and_publishes_are_refused() {
    let plan = Plan::new();
    let gate = plan.file("gate");
    let plan = plan.config("slow", json!({"gate": gate}));
    plan.enable(&Plugin::new("slow", "1.0.0"));
    let rig = plan.start().await;
    rig.publish("in.slow", "hang").await;
    rig.ledger_until("slow", |it| it.in_flight == 1).await;
    let host = rig.host.clone();
    let ending = tokio::spawn(async move { host.shutdown(LONG).await });
    while rig.host.status().phase != "draining" {
        tokio::task::yield_now().await;
    }
    let refused = rig.host.publish(message("in.slow", "ack"), Room::Now).await;
    assert_eq!(refused, Err(PublishError::Closed));
    assert_eq!(rig.host.pause("slow", "test").await, Err(HostError::Closing));
    std::fs::write(&gate, "").expect("a file");
    let report = ending.await.expect("it ends");
    assert!(report.clean, "{report:#?}");
    assert_eq!((report.left, report.revoked), (0, 0));
    assert!(!report.quarantined);
    assert_eq!(rig.ledger("slow").done, 1);
    let again = rig.host.shutdown(LONG).await;
    assert_eq!(again, report, "whoever asks later hears of the same end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_does_not_delay_the_end_beyond_the_deadline() {
    let plan = Plan::new();
    let gate = plan.file("gate");
    let journal = plan.file("journal");
    let plan =
        plan.config("hung", json!({"gate": gate})).config("good", json!({"journal": journal}));
    plan.enable(&Plugin::new("hung", "1.0.0").with("priority", json!(90)));
    plan.enable(&Plugin::new("good", "1.0.0"));
    let rig = plan.start().await;
    rig.publish("in.hung", "hang").await;
    rig.ledger_until("hung", |it| it.in_flight == 1).await;
    // The call returns after the end of the host only: who waits for it waits for ever.
    let ending = rig.host.shutdown(Duration::from_secs(4));
    let report = tokio::time::timeout(LONG, ending).await;
    // The gate opens whatever follows, so that the thread does not outlive the test for long.
    std::fs::write(&gate, "").expect("a file");
    let report = report.expect("it does not wait for the call");
    assert!(!report.clean && report.quarantined, "{report:#?}");
    assert!(report.unfinished.iter().all(|it| it.plugin == "hung"), "{report:#?}");
    let text = std::fs::read_to_string(&journal).expect("it was written");
    assert!(text.contains("good 1.0.0 shutdown"), "the others shut down: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_messages_are_reported_as_left() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    rig.host.pause("echo", "test").await.expect("it pauses");
    for _ in 0..7 {
        rig.publish("in.echo", "ack").await;
    }
    let report = rig.host.shutdown(LONG).await;
    assert!(report.clean, "{report:#?}");
    assert_eq!(report.left, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_free_for_the_next_host_of_the_same_process() {
    let (first, settings) = {
        let plan = Plan::new();
        plan.enable(&Plugin::new("echo", "1.0.0"));
        let settings = plan.settings.clone();
        (plan.start().await, settings)
    };
    first.publish("in.echo", "ack").await;
    first.ledger_until("echo", |it| it.done == 1).await;
    let report = first.host.shutdown(LONG).await;
    assert!(report.clean && !report.quarantined, "{report:#?}");
    // Whoever still holds the handle of the first one holds nothing else.
    let Rig { home, host: ended } = first;
    let second = Plan { home, settings: settings.clone() }.start().await;
    second.publish("in.echo", "ack").await;
    second.ledger_until("echo", |it| it.done == 1).await;
    assert_eq!(ended.plugins().len(), 1, "it still answers");
    drop(ended);
    let Rig { home, host } = second;
    assert!(host.shutdown(LONG).await.clean);
    drop(host);
    // And one that was dropped leaves nothing behind: neither a file nor whoever holds it.
    let open = || (files_below(home.path()).is_empty()).then_some(());
    eventually("no file of the home is open", LONG, open);
}

/// Files below a folder that this process has open.
fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").expect("a folder").flatten();
    let leads_to = all.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    leads_to.filter(|path| path.starts_with(folder)).collect()
}
