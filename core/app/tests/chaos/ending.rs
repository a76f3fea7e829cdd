//! Ends that are asked for, and calls that do not end.

use patchbay_testkit::{
    checker::{Event, now},
    eventually,
};
use serde_json::json;

use crate::{
    arena::{Arena, LONG, Recorder},
    connection::Connection,
    load::Publisher,
    plan::Plan,
};

fn arena(pool: serde_json::Value, settings: serde_json::Value) -> Arena {
    let subscriptions = json!([{"topic": "disk.*", "concurrency": 1}]);
    let mut all = crate::levels();
    for (name, value) in settings.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    Arena::new(vec![Recorder { name: "recorder", subscriptions, pool }], &all)
}

#[test]
fn a_handler_that_hangs_does_not_hold_up_the_end_and_its_message_comes_again() {
    let plan = Plan::new("ending", 1);
    for _ in 0..plan.rounds {
        let pool = json!({"min_workers": 2, "max_workers": 2});
        let mut arena = arena(pool, json!({"shutdown_timeout": "2s"}));
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        crew[0].publish(&mut connection, "disk.a", "hang");
        arena.until("recorder:0", "in_flight", 1);
        crew[0].publish_many(&mut connection, [("disk.a", "ack"); 200]);
        arena.until("recorder:0", "done", 200);
        drop(connection);
        assert_eq!(arena.stop(), 3, "the deadline was hit: {}", arena.log());
        // What it had begun is handed off again: attempt 2 does not hang.
        arena.start();
        arena.drained();
        arena.dead_letters();
        arena.add(crew.remove(0).published);
        arena.judge(|_| {}).assert_clean();
        assert_eq!(arena.stop(), 0);
    }
    plan.reached("ended with status 3, and the message came again");
}

#[test]
fn an_answer_that_comes_after_its_lease_counts_for_nothing() {
    let plan = Plan::new("late", 1);
    for _ in 0..plan.rounds {
        let pool = json!({"min_workers": 2, "max_workers": 2, "process_timeout": "1s"});
        let mut arena = arena(pool, json!({}));
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        let began = now();
        crew[0].publish(&mut connection, "disk.a", "hang");
        arena.until("recorder:0", "done", 1);
        let subscription = "recorder:0".to_owned();
        arena.open_gate();
        eventually("the late answer to be refused", LONG, || {
            (arena.try_terms("recorder:0")?["stale_settlements"] == 1).then_some(())
        });
        arena.note(Event::LeaseExpiry { subscription }, began);
        crew[0].publish_many(&mut connection, [("disk.a", "ack"); 100]);
        arena.drained();
        arena.dead_letters();
        arena.add(crew.remove(0).published);
        arena.judge(|_| {}).assert_clean();
        // Nor does it count when everything is read back.
        arena.kill();
        arena.start();
        arena.until("recorder:0", "done", 101);
        assert_eq!(arena.stop(), 0);
    }
    plan.reached("refused, and counted once");
}
