//! A host that dies in a transition to other settings, or to another version and other settings at
//! once: link and settings end at what serves, together.

use patchbay_host::{PluginSettings, TransitionRequest};
use patchbay_lifecycle::transition::Asked;
use serde_json::json;

use super::{Home, die_in, home, restarted, serves, to_two};
use crate::rig::{LONG, Rig};

fn with_settings(to: &str, strategy: &str) -> TransitionRequest {
    let settings = json!({"config": {"says": "new"}});
    let settings: PluginSettings = serde_json::from_value(settings).expect("settings");
    TransitionRequest { to: to.to_owned(), settings: Some(settings), ..to_two(strategy) }
}

/// Link and settings are those of 1.0.0 as the host was started with it, or the new ones.
async fn stands(rig: &Rig, version: &str, is_new: bool) {
    serves(rig, version).await;
    let detail = rig.host.plugin_detail("echo").await.expect("known");
    assert_eq!(detail.config.get("says"), is_new.then(|| json!("new")).as_ref());
    let led = || {
        let link = std::fs::read_link(rig.home.enabled().join("echo")).expect("a link");
        let given = rig.home.path().join("plugins/settings/echo.json").exists();
        let file = format!("libecho-{version}.so");
        (link.ends_with(&file) && given == is_new).then_some(())
    };
    patchbay_testkit::eventually("link and settings lead to what serves", LONG, led);
}

fn open_gate(home: &Home) {
    std::fs::write(home.path().join("gate"), "").expect("a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn before_the_cutover_link_and_settings_are_put_back() {
    for to in ["", "2.0.0"] {
        let home = home();
        die_in(&home, Some(&with_settings(to, "gradual")), "shifting");
        assert!(home.path().join("plugins/settings/echo.json").exists());
        let rig = restarted(home).await;
        stands(&rig, "1.0.0", false).await;
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_the_cutover_they_stay_and_a_rollback_in_the_next_life_puts_them_back() {
    let home = home();
    open_gate(&home);
    die_in(&home, Some(&with_settings("2.0.0", "graceful")), "baking");
    let rig = restarted(home).await;
    stands(&rig, "2.0.0", true).await;
    let baking = || rig.host.transition("echo").ok()?.filter(|it| it.phase == "baking");
    patchbay_testkit::eventually("the bake goes on", LONG, baking);
    rig.host.transition_ask("echo", Asked::Rollback, "test").await.expect("it is rolled back");
    rig.until("echo", |view| view.version.as_deref() == Some("1.0.0")).await;
    stands(&rig, "1.0.0", false).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_two_deaths_in_a_bake_give_up_is_not_led_to_any_more() {
    let home = home();
    open_gate(&home);
    die_in(&home, Some(&with_settings("", "immediate")), "baking");
    die_in(&home, None, "baking");
    let rig = restarted(home).await;
    stands(&rig, "1.0.0", false).await;
    rig.end().await;
}
