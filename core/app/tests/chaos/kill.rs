//! The host is killed at random moments, while 64 publishers are at work.

use std::collections::BTreeSet;

use patchbay_testkit::checker::{Answer, Record, Records, Tag};
use serde_json::json;

use crate::{
    arena::{Arena, Recorder},
    load::{Mix, Publisher, pass, under_load},
    plan::Plan,
};

const MIX: Mix = Mix {
    topics: &["disk.a", "disk.b", "process.a", "memory.a"],
    verbs: &["ack", "ack", "ack", "ack", "slow", "later", "error", "on"],
    // Each is a dead letter, of which every start reads all.
    rarely: "fail",
};

fn arena() -> Arena {
    let queue = json!({"count": 200_000});
    let subscription = |topic: &str| json!({"topic": topic, "concurrency": 2, "queue": queue});
    let all = ["disk.*", "process.*", "memory.*", "recorder.next"].map(subscription);
    let recorder = Recorder {
        name: "recorder",
        subscriptions: json!(all),
        pool: json!({"min_workers": 1, "max_workers": 3}),
    };
    // A second one on the same topics: a message goes to both, or to none.
    let witness = Recorder {
        name: "witness",
        subscriptions: json!([subscription("disk.>"), subscription("process.>")]),
        pool: json!({"min_workers": 1, "max_workers": 2}),
    };
    Arena::new(vec![recorder, witness], &crate::levels())
}

#[test]
fn what_was_accepted_survives_a_kill_at_any_moment() {
    let mut plan = Plan::new("kill", 200);
    let mut arena = arena();
    let mut crew = Publisher::crew(64, plan.seed);
    for _ in 0..plan.rounds {
        arena.start();
        // Nothing that was counted may be missing, nor counted twice.
        arena.ledger();
        let (socket, delay) = (arena.socket(), 20 + plan.dice.below(400));
        under_load(&mut crew, &socket, MIX, || {
            pass(delay);
            arena.kill();
        });
    }
    arena.start();
    arena.drained();
    arena.dead_letters();
    let count = |answer| {
        let all = crew.iter().flat_map(|one| &one.published);
        all.filter(|one| one.answer == answer).count()
    };
    let (accepted, rejected) = (count(Answer::Accepted), count(Answer::Rejected));
    let unknown = count(Answer::Unknown);
    for publisher in crew {
        arena.add(publisher.published);
    }
    let verdict = arena.judge(|_| {});
    plan.reached(&format!(
        "{accepted} accepted, {rejected} rejected, {unknown} unknown: {verdict}"
    ));
    verdict.assert_clean();
    let [one, other] = ["recorder:0", "witness:0"].map(|name| reached(&arena.records, name));
    let apart: Vec<_> = one.symmetric_difference(&other).collect();
    assert!(apart.is_empty(), "came to one of two subscriptions only: {apart:?}");
    assert!(accepted as u64 > plan.rounds, "hardly anything was accepted");
    assert_eq!(arena.stop(), 0);
}

/// Every message that came to a subscription, in its handler or as a dead letter.
fn reached<'a>(records: &'a Records, name: &str) -> BTreeSet<&'a Tag> {
    let tag = |record: &'a Record| match record {
        Record::Began(it) if it.subscription == name => Some(&it.tag),
        Record::Dead(it) if it.subscription == name => Some(&it.tag),
        _ => None,
    };
    records.0.iter().filter_map(tag).collect()
}
