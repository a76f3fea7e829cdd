//! Lanes of a library with a loop of its own.

use patchbay_abi::source::op;
use patchbay_loader::{LaneEnd, Retired};

use crate::support::{Answer, Desk, Rig, build::Hostile, desk::a_moment};

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn the_library_asks_and_the_host_gets_its_answers() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().own_loop().build());
    assert!(instance.facts().own_loop);
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 4);
    assert_eq!(desk.op(op::INIT, ""), Answer::Ack(text("1")));
    for (topic, expected) in [
        ("ack:done", Answer::Ack(text("done"))),
        ("retry:5", Answer::Retry(5)),
        ("failed:no", Answer::Failed(text("no"))),
        ("panic:inside", Answer::Panic(text("inside"))),
        ("later:3", Answer::Ack(text(""))),
        ("forward:to", Answer::Forward { topic: text("to"), payload: b"payload".to_vec() }),
    ] {
        assert_eq!(desk.ask(topic), expected, "{topic}");
    }
    let token = desk.post("hang");
    desk.suspended(token);
    assert_eq!(desk.ask("ack:meanwhile"), Answer::Ack(text("meanwhile")));
    desk.cancel(token);
    assert_eq!(desk.answer(token), Answer::Cancelled);
    assert_eq!(desk.op(op::SHUTDOWN, "error:1"), desk.ask("error:1"));
    desk.close();
    assert_eq!(lane.join(), LaneEnd::Closed);
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn tokens_of_a_publish_that_waits_are_reported_once() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().own_loop().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.ask("publishwait:full"), Answer::Ack(text("1 0 5")));
    desk.ready(5);
    assert_eq!(desk.ask("ack:x"), Answer::Ack(text("x")));
    desk.close();
    lane.join();
    let lines = rig.services.lines();
    assert_eq!(lines[1..], [text("warn hostile :0 ready 5")]);
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn control_calls_reach_lane_0_only() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().own_loop().build());
    let desk = Desk::new();
    let other = desk.lane(&instance, 1, 1);
    let id = desk.post_op(op::HEALTH, "");
    assert_eq!(desk.ask("ack:x"), Answer::Ack(text("x")));
    a_moment();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.op_answer(id), Answer::Ack(text("4")));
    desk.close();
    assert_eq!((lane.join(), other.join()), (LaneEnd::Closed, LaneEnd::Closed));
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn a_loop_that_lies_about_its_deliveries_settles_none_but_its_own() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().own_loop().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    let waits = desk.post("hang");
    desk.suspended(waits);
    let liar = desk.post("liar");
    assert_eq!(desk.answer(liar), Answer::Ack(text("honest")));
    assert_eq!(desk.answers(liar).len(), 1);
    assert_eq!(desk.answers(waits), []);
    desk.cancel(waits);
    desk.close();
    assert_eq!(lane.join(), LaneEnd::Closed);
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}

#[test]
fn what_a_loop_holds_when_it_dies_is_answered_for_it() {
    for (topic, end) in [("die", LaneEnd::LoopPanicked), ("leave", LaneEnd::LoopLeft)] {
        let rig = Rig::new();
        let instance = rig.load(&Hostile::new().own_loop().build());
        let desk = Desk::new();
        let lane = desk.lane(&instance, 0, 4);
        let waits = desk.post("hang");
        let call = desk.post_op(op::HEALTH, "hang");
        desk.suspended(waits);
        a_moment();
        let last = desk.post(topic);
        assert_eq!(lane.join(), end);
        for answer in [desk.answer(waits), desk.answer(last), desk.op_answer(call)] {
            assert!(matches!(answer, Answer::Invalid(_)), "{answer:?}");
        }
        assert_eq!(desk.answers(waits).len(), 1);
        assert_eq!(rig.retire(&instance), Retired::Unmapped);
    }
}

#[test]
fn a_panic_of_the_source_closes_the_loop_and_goes_through() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().own_loop().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.ask("ack:x"), Answer::Ack(text("x")));
    desk.panic_next();
    assert!(lane.try_join().is_err());
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
}
