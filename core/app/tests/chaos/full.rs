//! A disk that is full, and that has room again (P-8).

use std::fs;

use patchbay_testkit::{Enclosure, checker::Answer, eventually, quoted};
use serde_json::json;

use crate::{
    arena::{Arena, LONG, Recorder},
    connection::Connection,
    load::Publisher,
    plan::Plan,
};

#[test]
fn a_full_disk_refuses_what_is_new_and_settles_what_is_old() {
    let mut plan = Plan::new("full", 20);
    let Some(mut enclosure) = Enclosure::open(false) else {
        plan.skipped("a small file system cannot be mounted here, a full disk was not tried");
        return;
    };
    let recorder = Recorder {
        name: "recorder",
        subscriptions: json!([{"topic": "disk.*", "queue": {"count": 200_000}}]),
        pool: json!({"min_workers": 2, "max_workers": 2}),
    };
    let mut settings = crate::levels();
    settings["journal"] = json!({"segment_bytes": "1MiB", "reserve_bytes": "1MiB", "low_water_bytes": "2MiB", "patience": "20ms"});
    let mut arena = Arena::new(vec![recorder], &settings);
    let data = arena.path("data");
    fs::create_dir_all(&data).expect("a folder");
    if !enclosure.run(&format!("mount -t tmpfs -o size=8m tmpfs {}", quoted(&data))) {
        plan.skipped("a small file system cannot be mounted here, a full disk was not tried");
        return;
    }
    arena.through = enclosure.enter();
    arena.start();
    // Keys are remembered for ten minutes, and take room that long: more than there is here.
    let mut crew = Publisher::crew(1, plan.seed);
    let mut crew = vec![crew.remove(0).keyed(None)];
    let mut refused = 0;
    for _ in 0..plan.rounds {
        arena.post("/api/v1/plugins/recorder/pause");
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        let publisher = &mut crew[0];
        let first = publisher.published.len();
        // Until it is full, and a little beyond.
        let mut more = 1 + plan.dice.below(50);
        while more > 0 {
            let padded = "ack ".to_owned() + &"x".repeat(4_000);
            let answer = publisher.publish(&mut connection, "disk.a", &padded).answer;
            more -= u64::from(answer == Answer::Rejected);
            assert_ne!(answer, Answer::Unknown, "a full disk is no reason to know nothing");
        }
        refused += publisher.refused_with(first, 507);
        arena.post("/api/v1/plugins/recorder/resume");
        // What was accepted is settled on the full disk, and then there is room by itself.
        arena.drained();
        eventually("room", LONG, || {
            let answer = crew[0].publish(&mut connection, "disk.a", "ack").answer;
            (answer == Answer::Accepted).then_some(())
        });
        arena.drained();
    }
    arena.dead_letters();
    arena.add(crew.remove(0).published);
    let verdict = arena.judge(|_| {});
    plan.reached(&format!("{refused} refused with 507: {verdict}"));
    verdict.assert_clean();
    assert!(refused >= plan.rounds);
    assert_eq!(arena.stop(), 0);
}
