//! What flows where: rings of forwards, slow neighbours, many delays at once.

use std::{collections::HashMap, fs::File, io::BufReader};

use patchbay_testkit::checker::{Record, Records, Status};
use serde_json::json;

use crate::{
    arena::{Arena, Recorder},
    connection::Connection,
    load::Publisher,
    plan::Plan,
};

/// Hand-offs that a message may cause before it is a dead letter (P-19).
const HOPS: usize = 17;
const DELAYED: usize = 100_000;
/// What the verb `wait` asks for.
const DELAY_NS: u64 = 5_000_000_000;

fn recorder(name: &'static str, topics: &[&str], workers: u32) -> Recorder {
    let queue = json!({"count": 200_000});
    let all: Vec<_> = topics.iter().map(|topic| json!({"topic": topic, "queue": queue})).collect();
    let pool = json!({"min_workers": workers, "max_workers": workers});
    Recorder { name, subscriptions: json!(all), pool }
}

#[test]
fn a_ring_of_forwards_ends_as_a_dead_letter() {
    let plan = Plan::new("ring", 1);
    for _ in 0..plan.rounds {
        let ring = recorder("recorder", &["recorder.round"], 1);
        let mut arena = Arena::new(vec![ring], &crate::levels());
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        crew[0].publish_many(&mut connection, [("recorder.round", "round"); 50]);
        arena.until("recorder:0", "dead", 50);
        let dead = arena.dead_letters();
        assert_eq!(dead.len(), 50);
        assert!(dead.iter().all(|letter| letter.cause == "hop_limit"), "{dead:?}");
        let text = std::fs::read_to_string(arena.path("recorder.jsonl")).expect("records");
        let begun = text.lines().filter(|line| line.contains("\"began\"")).count();
        assert_eq!(begun, 50 * HOPS);
        assert_eq!(arena.stop(), 0);
    }
    plan.reached("stopped at the limit of hops");
}

#[test]
fn a_slow_subscriber_holds_up_neither_of_two_fast_ones() {
    const MESSAGES: usize = 2_000;
    let plan = Plan::new("slow", 1);
    for _ in 0..plan.rounds {
        let all = ["fast", "faster", "slow"].map(|name| recorder(name, &["disk.*"], 1));
        let mut arena = Arena::new(all.into(), &crate::levels());
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        crew[0].publish_many(&mut connection, std::iter::repeat_n(("disk.a", "drag"), MESSAGES));
        // The slow one does not end a single call until both are done with everything.
        for fast in ["fast:0", "faster:0"] {
            arena.until(fast, "done", MESSAGES as u64);
        }
        assert_eq!(arena.try_terms("slow:0").expect("a row")["done"], 0);
        arena.open_gate();
        arena.drained();
        arena.dead_letters();
        arena.add(crew.remove(0).published);
        arena.judge(|_| {}).assert_clean();
        assert_eq!(arena.stop(), 0);
    }
    plan.reached("both were done while the slow one had not begun to be");
}

#[test]
fn a_hundred_thousand_equal_delays_pass_a_restart_and_none_is_early() {
    let plan = Plan::new("delays", 1);
    for _ in 0..plan.rounds {
        let waiting = recorder("recorder", &["disk.*"], 2);
        let mut arena = Arena::new(vec![waiting], &crate::levels());
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        for _ in 0..DELAYED / 10_000 {
            crew[0].publish_many(&mut connection, std::iter::repeat_n(("disk.a", "wait"), 10_000));
        }
        arena.add(crew.remove(0).published);
        arena.kill();
        arena.start();
        arena.drained();
        arena.dead_letters();
        let verdict = arena.judge(|_| {});
        verdict.assert_clean();
        let row = arena.try_terms("recorder:0").expect("a row");
        assert_eq!(row["done"], DELAYED);
        assert_eq!(arena.stop(), 0);
        early(&arena);
    }
    plan.reached("delayed, none early");
}

/// No hand-off follows an answer `RetryLater` before its time.
fn early(arena: &Arena) {
    let mut records = Records::default();
    let file = File::open(arena.path("recorder.jsonl")).expect("records");
    records.read_lines(BufReader::new(file)).expect("records");
    let mut due = HashMap::new();
    for record in &records.0 {
        match record {
            Record::Ended(it) if it.status == Status::RetryLater => {
                due.insert(it.delivery, it.t + DELAY_NS);
            }
            Record::Began(it) if it.attempt > 1 => {
                let due = due.get(&it.delivery).copied().unwrap_or_default();
                assert!(it.t >= due, "delivery {} came {} ns early", it.delivery, due - it.t);
            }
            _ => {}
        }
    }
}
