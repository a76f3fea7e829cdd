//! A link that somebody set by hand, and whose version was given up: it is left as it is and not
//! followed, and what serves instead is supervised like any other.

use std::{fs, path::PathBuf};

use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig};

/// An instance is made only where the file `init` is, and is well only where `health` is.
fn plugin(version: &'static str) -> Plugin {
    let health = json!({"interval": "100ms", "timeout": "30s", "failures": 1});
    Plugin::new("echo", version).with("health", health)
}

fn file(rig: &Rig, name: &str) -> PathBuf {
    rig.home.path().join(name)
}

fn config(plan: Plan) -> Plan {
    let [init, health] = ["init", "health"].map(|name| plan.file(name));
    plan.config("echo", json!({"needs_for_init": init, "needs_for_health": health}))
}

/// A host on which 1.0.0 serves and the link leads to 2.0.0, which could not take over. Nothing
/// would keep it from doing so now.
async fn given_up() -> Rig {
    let plan = config(Plan::new());
    for name in ["init", "health"] {
        fs::write(plan.file(name), "").expect("a file");
    }
    plan.enable(&plugin("1.0.0"));
    let rig = plan.start().await;
    fs::remove_file(file(&rig, "init")).expect("it was there");
    rig.enable(&plugin("2.0.0"));
    rig.until("echo", |view| view.failure.is_some()).await;
    fs::write(file(&rig, "init"), "").expect("a file");
    stands(&rig, "init", "what init needs is not there").await;
    rig
}

/// Every link was judged anew, and that is what there is to say.
async fn stands(rig: &Rig, kind: &str, reason: &str) {
    rig.host.rescan(LONG).await.expect("it is read");
    let view = rig.view("echo");
    assert_eq!((&*view.state, view.version.as_deref()), ("running", Some("1.0.0")));
    let failure = view.failure.expect("the link is not followed");
    assert_eq!(failure.kind, kind);
    assert!(failure.reason.contains(reason), "{failure:?}");
    let link = fs::read_link(rig.home.enabled().join("echo")).expect("a link");
    assert!(link.ends_with("libecho-2.0.0.so"), "{}", link.display());
}

async fn serves(rig: &Rig, version: &str) {
    let is_well = |view: &patchbay_host::view::PluginView| {
        view.version.as_deref() == Some(version) && view.failure.is_none()
    };
    rig.until("echo", is_well).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_serves_in_place_of_what_was_given_up_has_a_supervisor() {
    let rig = given_up().await;
    let before = rig.view("echo").generation;
    fs::remove_file(file(&rig, "health")).expect("it was there");
    let ill = |view: &patchbay_host::view::PluginView| {
        view.failure.as_ref().is_some_and(|it| it.kind == "health")
    };
    rig.until("echo", ill).await;
    fs::write(file(&rig, "health"), "").expect("a file");
    let renewed = rig.until("echo", |view| view.generation > before && !ill(view)).await;
    assert_eq!(renewed.version.as_deref(), Some("1.0.0"));
    stands(&rig, "init", "what init needs is not there").await;
    let restarted = rig.host.restart("echo", "test").await.expect("it restarts");
    assert_eq!(restarted.version.as_deref(), Some("1.0.0"));
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_given_up_is_tried_again_when_the_link_has_led_elsewhere() {
    let rig = given_up().await;
    rig.enable(&plugin("3.0.0"));
    serves(&rig, "3.0.0").await;
    rig.enable(&plugin("2.0.0"));
    serves(&rig, "2.0.0").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_next_life_of_the_host_says_as_well_that_the_link_is_not_followed() {
    let Rig { home, host } = given_up().await;
    assert!(host.shutdown(LONG).await.clean);
    let settings = Plan::in_home(&home);
    let rig = config(Plan { home, settings }).start().await;
    stands(&rig, "transition", "version 2.0.0, which was given up").await;
    assert_eq!(rig.host.status().health, "degraded");
    rig.enable(&plugin("1.0.0"));
    serves(&rig, "1.0.0").await;
    rig.enable(&plugin("2.0.0"));
    serves(&rig, "2.0.0").await;
    rig.end().await;
}
