//! Links that cannot be used, and libraries that are not what the link says.

use std::os::unix::fs::symlink;

use crate::rig::{LONG, Plan, Plugin, Rig};

async fn failure(rig: &Rig, name: &str) -> (String, String) {
    let view = rig.until(name, |view| view.failure.is_some()).await;
    assert_eq!(view.state, "failed");
    let failure = view.failure.expect("a failure");
    (failure.kind, failure.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_cannot_be_used_names_link_target_and_remedy() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("good", "1.0.0"));
    let enabled = plan.home.enabled();
    std::fs::write(plan.file("outside.so"), "").expect("a file");
    std::fs::write(enabled.join("file"), "").expect("a file");
    for (name, target) in [
        ("dangling", "../libraries/development/none.so"),
        ("looping", "looping"),
        ("outside", "../../outside.so"),
        ("folder", "../libraries/development"),
    ] {
        symlink(target, enabled.join(name)).expect("a link");
    }
    let rig = plan.start().await;
    for (name, target, remedy) in [
        ("dangling", "none.so", "build the library"),
        ("looping", "looping", "the library's own file"),
        ("outside", "outside.so", "copy the library there"),
        ("folder", "development", "link to the library itself"),
        ("file", "libraries", "link to it"),
    ] {
        let (kind, reason) = failure(&rig, name).await;
        assert_eq!(kind, "link");
        for part in [name, target, remedy] {
            assert!(reason.contains(part), "{part:?} in {reason:?}");
        }
    }
    assert_eq!(rig.view("good").state, "running");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_must_have_the_name_of_the_plugin() {
    let plan = Plan::new();
    let plugin = Plugin::new("echo", "1.0.0");
    plan.enable(&plugin);
    let library = plan.home.install(&plugin.build(), "libagain.so");
    plan.home.link("again", &library);
    let rig = plan.start().await;
    let (kind, reason) = failure(&rig, "again").await;
    assert_eq!(kind, "name");
    for part in ["`again`", "libagain.so", "`echo`", "name the link"] {
        assert!(reason.contains(part), "{part:?} in {reason:?}");
    }
    assert_eq!(rig.view("echo").state, "running");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_plugin_is_refused_before_any_of_it_runs() {
    let plan = Plan::new();
    let text = plan.home.development().join("libtext.so");
    std::fs::write(&text, "this is no library").expect("a file");
    plan.home.link("text", &text);
    let rig = plan.start().await;
    let (kind, reason) = failure(&rig, "text").await;
    assert_eq!(kind, "inspect");
    assert!(reason.contains("libtext.so") && reason.contains("no ELF file"), "{reason}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_leaves_the_serving_version_alone() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let before = rig.view("echo").generation;
    std::fs::remove_file(rig.home.development().join("libecho-1.0.0.so")).expect("it was there");
    rig.host.rescan(LONG).await.expect("it is read");
    let view = rig.view("echo");
    assert_eq!((view.state.as_str(), view.generation), ("running", before));
    assert_eq!(view.failure.expect("a failure").kind, "link");
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_is_overwritten_in_place_is_seen_and_the_mapped_code_is_not_touched() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let place = rig.home.development().join("libecho-1.0.0.so");
    let other = std::fs::read(Plugin::new("echo", "2.0.0").build()).expect("it was built");
    std::fs::write(&place, other).expect("overwritten in place");
    rig.until("echo", |view| view.version.as_deref() == Some("2.0.0")).await;
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_fit_its_schema_is_refused_with_the_place() {
    let plan = Plan::new().config("echo", serde_json::json!({"limit": "many"}));
    let schema = serde_json::json!({
        "type": "object", "properties": {"limit": {"type": "integer"}},
    });
    plan.enable(&Plugin::new("echo", "1.0.0").with("config_schema", schema));
    let rig = plan.start().await;
    let (kind, reason) = failure(&rig, "echo").await;
    assert_eq!(kind, "config");
    assert!(reason.contains("/limit"), "{reason}");
    rig.end().await;
}
