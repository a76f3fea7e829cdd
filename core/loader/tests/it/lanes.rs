//! Lanes of a library without a loop of its own: every way in which a call can end.

use patchbay_abi::source::op;
use patchbay_loader::{ErrorClass, LaneEnd, Retired};

use crate::support::{
    Answer, Desk, Rig,
    build::{self, Hostile},
    desk::a_moment,
};

/// Runs the cases on one lane and retires the library.
fn cases(concurrency: u32, cases: &[(&str, Answer)]) {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, concurrency);
    for (topic, expected) in cases {
        assert_eq!(desk.ask(topic), *expected, "{topic}");
    }
    desk.close();
    assert_eq!(lane.join(), LaneEnd::Closed);
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn every_outcome_arrives_as_the_library_said_it() {
    cases(
        1,
        &[
            ("ack", Answer::Ack(text(""))),
            ("ack:done", Answer::Ack(text("done"))),
            ("retry:1500", Answer::Retry(1500)),
            ("retry:18446744073709551615", Answer::Retry(u64::MAX)),
            ("failed:broken", Answer::Failed(text("broken"))),
            (
                "forward:next.topic",
                Answer::Forward { topic: text("next.topic"), payload: b"payload".to_vec() },
            ),
            ("error:0", Answer::Error(ErrorClass::Transient, text("as asked"))),
            ("error:1", Answer::Error(ErrorClass::Permanent, text("as asked"))),
            ("error:2", Answer::Error(ErrorClass::InvalidData, text("as asked"))),
            // A class of a later version.
            ("error:9", Answer::Error(ErrorClass::Transient, text("as asked"))),
        ],
    );
}

#[test]
fn what_the_contract_does_not_know_is_a_fault_and_not_undefined_behaviour() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    for (topic, part) in [
        ("code:77", "unknown code 77"),
        ("code:99", "unknown code 99"),
        ("forwardnothing:x", "without a message"),
        ("forwardforeign:x", "not of this host"),
    ] {
        match desk.ask(topic) {
            Answer::Invalid(said) => assert!(said.contains(part), "{topic}: {said}"),
            other => panic!("{topic}: {other:?}"),
        }
    }
    assert_eq!(desk.ask("ack:fine"), Answer::Ack(text("fine")), "the lane goes on");
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn the_topic_of_a_forward_stays_the_librarys_and_is_given_back() {
    let mut rig = Rig::new();
    rig.limits.reason_bytes_max = 20;
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    let forward =
        |topic: &str| Answer::Forward { topic: text(topic), payload: b"payload".to_vec() };
    for _ in 0..3 {
        assert_eq!(desk.ask("forward:next.topic"), forward("next.topic"));
    }
    // Those that are not as they should be are copied or refused, and given back as well.
    assert_eq!(desk.ask("forwardbinary:x"), forward("a\u{fffd}"));
    assert!(matches!(desk.ask("forward:a.topic.that.is.too.long"), Answer::Invalid(_)));
    assert!(matches!(desk.ask("forwardnothing:x"), Answer::Invalid(_)));
    assert!(matches!(desk.ask("forwardforeign:x"), Answer::Invalid(_)));
    assert_eq!(desk.ask("texts"), Answer::Ack(text("0")));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_reason_that_is_too_long_is_cut_off_and_a_reply_that_is_too_long_refused() {
    let mut rig = Rig::new();
    rig.limits.reason_bytes_max = 100;
    rig.limits.reply_bytes_max = 200;
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.ask("long:150"), Answer::Failed("x".repeat(100)));
    assert_eq!(desk.op(op::HEALTH, "long:150"), Answer::Failed("x".repeat(150)));
    let long = "x".repeat(201);
    let refused = desk.op(op::METRICS, &format!("ack:{long}"));
    assert!(matches!(&refused, Answer::Invalid(text) if text.contains("201 bytes")), "{refused:?}");
    let fits = "x".repeat(200);
    assert_eq!(desk.op(op::METRICS, &format!("ack:{fits}")), Answer::Ack(fits));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_panic_is_an_outcome_and_the_lane_goes_on() {
    cases(
        2,
        &[
            ("panic:on purpose", Answer::Panic(text("on purpose"))),
            ("laterpanic", Answer::Panic(text("after a suspension"))),
            // A payload whose own destructor panics.
            ("bomb", Answer::Panic(text(""))),
            ("ack:still here", Answer::Ack(text("still here"))),
        ],
    );
}

#[test]
fn a_call_that_wakes_itself_is_polled_until_it_is_ready() {
    cases(1, &[("later:1", Answer::Ack(text(""))), ("later:1000", Answer::Ack(text("")))]);
}

#[test]
fn a_call_that_waits_for_a_timer_of_the_host_is_woken_on_its_lane() {
    cases(4, &[("timer:3000000", Answer::Ack(text("")))]);
}

#[test]
fn calls_that_wait_do_not_hold_up_the_others_as_long_as_there_is_a_slot() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 2);
    let waits = desk.post("hang");
    desk.suspended(waits);
    for _ in 0..20 {
        assert_eq!(desk.ask("ack:x"), Answer::Ack(text("x")));
    }
    let second = desk.post("hang");
    desk.suspended(second);
    let third = desk.post("ack:third");
    a_moment();
    assert_eq!(desk.answers(third), [], "both slots are taken");
    desk.cancel(waits);
    assert_eq!(desk.answer(third), Answer::Ack(text("third")));
    assert_eq!(desk.answer(waits), Answer::Cancelled);
    desk.cancel(second);
    assert_eq!(desk.answer(second), Answer::Cancelled);
    assert_eq!(desk.ask("dropped"), Answer::Ack(text("2")), "both were dropped on the lane");
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_destructor_that_panics_when_its_call_is_dropped_stays_inside_the_library() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    let token = desk.post("hangbomb");
    desk.suspended(token);
    desk.cancel(token);
    assert_eq!(desk.answer(token), Answer::Cancelled);
    assert_eq!(desk.ask("dropped"), Answer::Ack(text("1")));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_waker_that_is_used_late_wakes_nobody_elses_call() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.ask("wakelater"), Answer::Ack(text("")));
    // Occupies the same slot when the late wake comes, and for longer than the lane itself.
    let token = desk.post("hang");
    desk.suspended(token);
    a_moment();
    desk.cancel(token);
    assert_eq!(desk.answer(token), Answer::Cancelled);
    assert_eq!(desk.ask("polled"), Answer::Ack(text("1")), "at its beginning only");
    assert_eq!(desk.ask("wakelater"), Answer::Ack(text("")));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_source_that_closes_lets_waiting_calls_end_first() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 4);
    let slow = desk.post("timer:20000000");
    let never = desk.post("hang");
    desk.suspended(never);
    desk.close();
    assert_eq!(desk.answer(slow), Answer::Ack(text("")));
    desk.cancel(never);
    assert_eq!(lane.join(), LaneEnd::Closed);
    assert_eq!(desk.answers(never), [Answer::Cancelled]);
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn control_calls_run_on_lane_0_beside_the_deliveries() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let other = desk.lane(&instance, 1, 1);
    let id = desk.post_op(op::HEALTH, "");
    a_moment();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.op_answer(id), Answer::Ack(text("4")));
    let token = desk.post("hang");
    let second = desk.post("hang");
    desk.suspended(token);
    desk.suspended(second);
    assert_eq!(desk.op(op::INIT, "later:3"), Answer::Ack(text("")));
    assert_eq!(desk.op(op::RESET, "panic:reset"), Answer::Panic(text("reset")));
    assert_eq!(desk.op(op::METRICS, "ack:{\"n\":1}"), Answer::Ack(text("{\"n\":1}")));
    let hangs = desk.post_op(op::HEALTH, "hang");
    assert_eq!(desk.op(op::SHUTDOWN, "failed:no"), Answer::Failed(text("no")));
    desk.cancel(hangs);
    assert_eq!(desk.op_answer(hangs), Answer::Cancelled);
    desk.cancel(token);
    desk.cancel(second);
    desk.close();
    lane.join();
    other.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn more_control_calls_than_slots_wait_their_turn() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    let hanging: Vec<u64> = (0..20).map(|_| desk.post_op(op::HEALTH, "hang")).collect();
    assert_eq!(desk.ask("ack:x"), Answer::Ack(text("x")));
    for id in hanging {
        desk.cancel(id);
        assert_eq!(desk.op_answer(id), Answer::Cancelled);
    }
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_delivery_that_the_source_passes_over_is_not_called() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let (first, second) = (desk.post("ack:first"), desk.post("ack:second"));
    desk.skip(first);
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.answer(second), Answer::Ack(text("second")));
    assert_eq!(desk.answers(first), []);
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn what_a_lane_was_named_and_has_no_slot_for_goes_to_another_lane() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let (first, second) = (desk.post("hang"), desk.post("ack:second"));
    let lane = desk.lane(&instance, 0, 1);
    desk.suspended(first);
    let other = desk.lane(&instance, 1, 1);
    assert_eq!(desk.answer(second), Answer::Ack(text("second")));
    desk.close();
    assert_eq!(other.join(), LaneEnd::Closed);
    desk.cancel(first);
    assert_eq!(lane.join(), LaneEnd::Closed);
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_panic_of_the_source_goes_through_after_the_waiting_calls_were_dropped() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 2);
    let token = desk.post("hang");
    desk.suspended(token);
    desk.panic_next();
    assert!(lane.try_join().is_err());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 2);
    assert_eq!(desk.ask("dropped"), Answer::Ack(text("1")));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_library_of_another_minor_version_of_the_contract_is_run() {
    for minor in [0, 7] {
        let rig = Rig::new();
        let library = build::simple(&[&format!("-DMINOR={minor}")]);
        assert_eq!(crate::support::rig::inspect(&library).unwrap().note().minor, minor);
        let instance = rig.load(&library);
        let desk = Desk::new();
        let lane = desk.lane(&instance, 0, 1);
        assert_eq!(desk.ask("ack"), Answer::Ack(text("")));
        desk.close();
        lane.join();
        assert_eq!(rig.retire(&instance), Retired::Unmapped);
    }
}

#[test]
fn several_lanes_of_a_c_library_settle_everything_once() {
    let rig = Rig::new();
    let instance = rig.load(&build::simple(&[]));
    let desk = Desk::new();
    let tokens: Vec<u64> = (0..2000).map(|_| desk.post("ack")).collect();
    let lanes: Vec<_> = (0..3).map(|lane| desk.lane(&instance, lane, 1)).collect();
    for token in tokens {
        assert_eq!(desk.answer(token), Answer::Ack(text("")));
        assert_eq!(desk.answers(token).len(), 1);
    }
    assert_eq!(desk.op(op::INIT, "hello"), Answer::Ack(text("hello")));
    desk.close();
    lanes.into_iter().for_each(|lane| assert_eq!(lane.join(), LaneEnd::Closed));
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_call_that_returns_an_unknown_state_counts_as_over_and_as_a_fault() {
    let rig = Rig::new();
    let instance = rig.load(&build::simple(&[]));
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    let answer = desk.ask("state");
    assert!(matches!(&answer, Answer::Invalid(said) if said.contains("state 42")), "{answer:?}");
    assert_eq!(desk.ask("ack"), Answer::Ack(text("")));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_retired_instance_runs_no_lane() {
    let rig = Rig::new();
    let instance = rig.load(&build::simple(&[]));
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
    assert_eq!(Desk::new().lane(&instance, 0, 1).join(), LaneEnd::Retired);
    assert_eq!(rig.retire(&instance), Retired::Before);
}
