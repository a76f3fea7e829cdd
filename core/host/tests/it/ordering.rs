//! Who starts before whom.

use std::{fs, path::Path};

use serde_json::json;

use crate::rig::{LONG, Plan, Plugin};

fn journal(path: &Path, call: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| line.ends_with(call));
    lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_start_by_priority_and_requirement_and_stop_in_reverse() {
    let mut plan = Plan::new();
    let path = plan.file("journal");
    for name in ["a-needy", "b-needed", "c-infra"] {
        plan = plan.config(name, json!({"journal": path}));
    }
    let requires = json!(["b-needed >= 1.0.0"]);
    plan.enable(&Plugin::new("a-needy", "1.0.0").with("requires", requires));
    plan.enable(&Plugin::new("b-needed", "1.0.0"));
    plan.enable(&Plugin::new("c-infra", "1.0.0").with("priority", json!("infrastructure")));
    let rig = plan.start().await;
    assert_eq!(journal(&path, "start"), ["c-infra", "b-needed", "a-needy"]);
    let report = rig.host.shutdown(LONG).await;
    assert!(report.clean, "{report:#?}");
    assert_eq!(journal(&path, "shutdown"), ["a-needy", "b-needed", "c-infra"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_requirements_is_named_and_the_others_run() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("a", "1.0.0").with("requires", json!(["b >= 1.0.0"])));
    plan.enable(&Plugin::new("b", "1.0.0").with("requires", json!(["a >= 1.0.0"])));
    plan.enable(&Plugin::new("c", "1.0.0"));
    let rig = plan.start().await;
    for name in ["a", "b"] {
        let failure = rig.view(name).failure.expect("a failure");
        assert_eq!(failure.kind, "cycle");
        assert!(failure.reason.contains("a -> b"), "{failure:?}");
    }
    assert_eq!(rig.view("c").state, "running");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_requirement_is_named_and_its_arrival_starts_the_plugin() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("needy", "1.0.0").with("requires", json!(["needed >= 2.0.0"])));
    let rig = plan.start().await;
    let failure = rig.view("needy").failure.expect("a failure");
    assert_eq!(failure.kind, "requires");
    assert!(failure.reason.contains("needed"), "{failure:?}");
    rig.enable(&Plugin::new("needed", "2.0.0"));
    rig.state("needy", "running").await;
    rig.end().await;
}
