//! A message that kills the process, among 10,000 that do not (P-15).

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

const MESSAGES: usize = 10_000;
const WORKERS: u32 = 8;
/// Each of them names it, and is charged.
const DEATHS: u32 = 3;

#[test]
fn a_message_that_kills_the_host_is_stopped_and_no_other_message_with_it() {
    let mut plan = Plan::new("poison", 1);
    for _ in 0..plan.rounds {
        let recorder = Recorder {
            name: "recorder",
            subscriptions: json!([{"topic": "disk.*", "queue": {"count": 20_000}}]),
            pool: json!({"min_workers": WORKERS, "max_workers": WORKERS}),
        };
        let mut arena = Arena::new(vec![recorder], &crate::levels());
        arena.start();
        arena.post("/api/v1/plugins/recorder/pause");
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        let place = plan.dice.below(MESSAGES as u64) as usize;
        let verb = |number| if number == place { "abort" } else { "ack" };
        for batch in 0..10 {
            let numbers = batch * MESSAGES / 10..(batch + 1) * MESSAGES / 10;
            crew[0].publish_many(&mut connection, numbers.map(|number| ("disk.a", verb(number))));
        }
        arena.add(crew.remove(0).published);

        let (mut deaths, mut began) = (0, now());
        // It may die before it answers.
        let resumed = Connection::open(&arena.socket())
            .and_then(|mut connection| connection.post("/api/v1/plugins/recorder/resume", b"{}"));
        drop(resumed);
        loop {
            // Dead, or done with everything.
            let over = |arena: &mut Arena| {
                let row = arena.try_terms("recorder:0");
                row.is_some_and(|row| row["done"].as_u64() == Some(MESSAGES as u64 - 1))
            };
            eventually("its death, or the end of all work", LONG, || {
                (arena.is_dead() || over(&mut arena)).then_some(())
            });
            if !arena.is_dead() {
                break;
            }
            deaths += 1;
            assert!(deaths <= DEATHS, "the host died {deaths} times");
            assert_eq!(arena.died(), 128 + 6, "by SIGABRT");
            arena.note(Event::HostDeath, began);
            began = now();
            // The message may kill it before it says that it is ready.
            arena.try_start();
        }
        assert_eq!(deaths, DEATHS);
        arena.drained();
        let dead = arena.dead_letters();
        assert_eq!(dead.len(), 1, "{dead:?}");
        assert_eq!((dead[0].tag.n as usize, dead[0].cause.as_str()), (place + 1, "poison"));
        arena.judge(|_| {}).assert_clean();
        plan.reached(&format!("message {place} of {MESSAGES} stopped after {deaths} deaths"));
        assert_eq!(arena.stop(), 0);
    }
}
