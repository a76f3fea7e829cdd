//! What the supervisor does about a plugin that fails, hangs or stays busy, and that everybody can
//! see it: with the binary, a running host and a real library.

use patchbay_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{Home, LONG, Up, write};

/// A home on which one plugin runs that does what its messages say.
struct Stage {
    home: Home,
    _up: Up,
}

// === impl Stage ===

impl Stage {
    fn new(manifest: &Value) -> Stage {
        let home = Home::new();
        let path = |name: &str| home.path(name).display().to_string();
        let config = json!({"gate": path("gate"), "needs_for_init": path("needed")});
        let settings = json!({"plugins": {"worker": {"config": config}}});
        write(&home.path("patchbay.yaml"), &settings.to_string());
        write(&home.path("needed"), "");
        let mut manifest = manifest.clone();
        manifest["subscriptions"] = json!([{"topic": "work.>"}]);
        home.link("worker", &home.install("worker", "1.0.0", &manifest));
        let up = home.up();
        Stage { home, _up: up }
    }

    fn publish(&self, payload: &str, count: u32) {
        let path = self.home.path("payload");
        write(&path, payload);
        let (file, count) = (path.display().to_string(), count.to_string());
        let ran = self.home.run(&["publish", "work.it", "--file", &file, "--count", &count]);
        assert_eq!(ran.status, 0, "{ran:?}");
    }

    fn info(&self) -> Value {
        let (status, info) = self.home.http("GET", "/api/v1/plugins/worker", &[], &Value::Null);
        assert_eq!(status, 200, "{info}");
        info
    }

    fn until(&self, what: &str, accept: impl Fn(&Value) -> bool) -> Value {
        eventually(what, LONG, || Some(self.info()).filter(&accept))
    }

    /// What a person reads.
    fn told(&self) -> String {
        let ran = self.home.run(&["plugin", "info", "worker", "-o", "table"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.out
    }
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && text.contains('T'))
}

#[test]
fn a_breaker_that_opened_says_when_and_why_and_when_it_probes() {
    let stage = Stage::new(&json!({}));
    stage.publish("ack", 1);
    let well =
        stage.until("the first is done", |info| info["subscriptions"][0]["ledger"]["done"] == 1);
    let breaker = &well["subscriptions"][0]["breaker"];
    assert_eq!((&breaker["state"], &breaker["opened"]), (&"closed".into(), &0.into()));
    assert_eq!(breaker["reason"], Value::Null);
    // Enough failures open it, and the rest waits for a probe.
    stage.publish("error", 200);
    let info = stage.until("it opens", |info| info["subscriptions"][0]["breaker"]["opened"] != 0);
    let breaker = &info["subscriptions"][0]["breaker"];
    assert!(
        breaker["reason"].as_str().expect("why").contains("attempts failed within 10s"),
        "{breaker}"
    );
    assert!(is_time(&breaker["opened_at"]), "{breaker}");
    assert!(breaker["state"] != "closed" && is_time(&breaker["next_probe_at"]), "{breaker}");
    let told = stage.told();
    assert!(told.contains("breaker of work.> opened") && told.contains("next probe at"), "{told}");
}

#[test]
fn a_call_that_never_ends_is_written_off_with_time_and_lane_until_its_thread_ends() {
    // More than the attempts of one message: however late it is looked at, no instance was given up.
    let pool = json!({"process_timeout": "50ms", "max_workers": 2, "max_abandoned": 16});
    let stage = Stage::new(&json!({"worker_pool": pool}));
    stage.publish("hang", 1);
    let lanes = |info: &Value| info["supervision"]["written_off"].clone();
    let info = stage.until("a lane is written off", |info| lanes(info)[0]["lane"].is_u64());
    let lane = &lanes(&info)[0];
    assert_eq!((&lane["generation"], &lane["returned"]), (&1.into(), &1.into()), "{lane}");
    assert!(is_time(&lane["at"]) && lane["back_at"].is_null(), "{lane}");
    let told = stage.told();
    assert!(told.contains("of generation 1 written off, 1 messages went to others"), "{told}");
    write(&stage.home.path("gate"), "");
    let back = |info: &Value| {
        let lanes = lanes(info);
        lanes.as_array().expect("lanes").iter().all(|lane| is_time(&lane["back_at"]))
    };
    stage.until("its thread ends", back);
    assert!(stage.told().contains("its thread ended at"));
}

#[test]
fn more_hung_threads_than_allowed_restart_the_plugin_and_it_goes_on_telling_why() {
    let pool = json!({"process_timeout": "50ms", "max_workers": 1, "max_abandoned": 1});
    let stage = Stage::new(&json!({"worker_pool": pool}));
    stage.publish("hang", 2);
    let failed = |info: &Value| info["supervision"]["setbacks"][0]["kind"].is_string();
    let info = stage.until("it is stuck", failed);
    let supervision = &info["supervision"];
    let first = supervision["setbacks"].as_array().expect("setbacks").last().expect("one");
    assert_eq!((&first["kind"], &first["decision"]), (&"stuck".into(), &"restart".into()));
    assert!(first["reason"].as_str().expect("why").contains("never returned"), "{first}");
    assert!(is_time(&first["at"]) && first["restart_in_ms"].is_u64(), "{first}");
    assert!(supervision["recent_restarts"].as_u64() >= Some(1), "{supervision}");
    assert_eq!((&supervision["intensity"], &supervision["period_ms"]), (&5.into(), &60_000.into()));
    let told = stage.told();
    assert!(told.contains("stuck: 2 threads hang") && told.contains("of 5 within 1m"), "{told}");
    // The library under the hung thread stays mapped, and says why.
    let kept = |it: &Value| it["state"] == "quarantined" || it["state"] == "draining";
    let old = eventually("the old one is listed", LONG, || {
        let all = stage.home.ok(&["plugin", "generations", "worker"]);
        let all = all.as_array().expect("generations").clone();
        all.into_iter().find(|it| it["generation"] == 1 && kept(it))
    });
    assert!(old["mapped_because"].as_str().is_some_and(|why| !why.is_empty()), "{old}");
    write(&stage.home.path("gate"), "");
}

#[test]
fn a_plugin_that_cannot_start_is_tried_again_with_growing_waits_and_given_up_by_name() {
    let stage = Stage::new(&json!({}));
    std::fs::remove_file(stage.home.path("needed")).expect("a file");
    let asked = stage.home.run(&["plugin", "restart", "worker"]);
    assert_ne!(asked.status, 0, "{asked:?}");
    let given_up = |info: &Value| info["supervision"]["setbacks"][0]["decision"] == "give_up";
    let info = stage.until("it is given up", given_up);
    let setbacks = info["supervision"]["setbacks"].as_array().expect("setbacks").clone();
    let (last, restarts) = setbacks.split_first().expect("some");
    assert_eq!(restarts.len(), 5, "{setbacks:#?}");
    for (back, one) in restarts.iter().rev().enumerate() {
        assert_eq!((&one["kind"], &one["decision"]), (&"init".into(), &"restart".into()));
        let waited = one["restart_in_ms"].as_u64().expect("a wait");
        assert!(waited <= 100 << back, "the {back}th wait is {waited} ms");
    }
    assert!(last["reason"].as_str().expect("why").contains("what init needs"), "{last}");
    assert_eq!(info["supervision"]["recent_restarts"], 5);
    // What serves was not touched by the new instance that could not be made.
    assert_eq!((&info["state"], &info["generation"]), (&"running".into(), &1.into()), "{info}");
    let told = stage.told();
    assert!(told.contains("given up") && told.contains("restarted after"), "{told}");
}

#[test]
fn a_plugin_inside_of_a_long_call_is_not_taken_for_ill() {
    // Long enough for any machine to answer when it is not inside of a call.
    let health = json!({"interval": "100ms", "timeout": "3s", "failures": 1});
    let pool = json!({"process_timeout": "1h", "max_workers": 1});
    let stage = Stage::new(&json!({"worker_pool": pool, "health": health}));
    stage.publish("hang", 1);
    let busy = |info: &Value| {
        info["health"]["detail"].as_str().is_some_and(|it| it.contains("inside of a call"))
    };
    let info = stage.until("it could not be asked", busy);
    assert_eq!((&info["state"], &info["generation"]), (&"running".into(), &1.into()), "{info}");
    assert!(info["health"]["status"] != "unhealthy" && info["health"]["failures"] == 0, "{info}");
    write(&stage.home.path("gate"), "");
    let well = |info: &Value| info["health"]["status"] == "healthy";
    let info = stage.until("it answers again", well);
    assert_eq!((&info["restarts"], &info["generation"]), (&0.into(), &1.into()), "{info}");
}

#[test]
fn a_version_that_finishes_what_it_holds_is_listed_as_draining_with_the_reason() {
    let pool = json!({"process_timeout": "1h", "shutdown_timeout": "1h"});
    let stage = Stage::new(&json!({"worker_pool": pool, "health": {"interval": "1h"}}));
    stage.publish("hang", 1);
    stage.until("it is inside", |info| info["queue"]["in_flight"] == 1);
    let manifest = json!({"subscriptions": [{"topic": "work.>"}], "worker_pool": pool});
    let next = stage.home.install("worker", "2.0.0", &manifest);
    stage.home.link("worker", &next);
    let both = stage.until("the new one serves", |info| info["version"] == "2.0.0");
    let [new, old] = &both["generations"].as_array().expect("generations")[..] else {
        panic!("two are mapped: {both}");
    };
    assert_eq!((&new["share"], &new["mapped_because"]), (&100.into(), &Value::Null), "{new}");
    assert_eq!(
        (&old["state"], &old["share"], &old["in_flight"]),
        (&"draining".into(), &0.into(), &1.into())
    );
    assert_eq!(old["mapped_because"], "it finishes 1 calls");
    let table = stage.home.run(&["plugin", "generations", "worker", "-o", "table"]).out;
    assert!(table.contains("draining") && table.contains("it finishes 1 calls"), "{table}");
    write(&stage.home.path("gate"), "");
    let alone = |info: &Value| info["generations"].as_array().is_some_and(|all| all.len() == 1);
    stage.until("the old one is unmapped", alone);
}
