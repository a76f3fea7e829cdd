//! The course of single transitions.

use patchbay_lifecycle::transition::{
    Action, AskRefused, Asked, Comparison, Event, HostEnd, OnTimeout, OutcomeKind, Outline, Served,
    Strategy, Terms, verdict::Verdict,
};

use super::{
    samples::{NEW, OLD, facts, gradual, mirror, request, sample, seconds, spec},
    world::{World, refusal},
};

fn with(strategy: Strategy, change: impl FnOnce(&mut Terms)) -> World {
    let mut request = request(strategy);
    change(&mut request.terms);
    World::new(request.admit(&facts(1), &facts(2)).expect("nothing is wrong with it"))
}

fn run_to(world: &mut World, phase: &str) {
    for _ in 0..100 {
        if world.transition.phase() == phase && world.running.is_none() {
            return;
        }
        world.succeed();
    }
    panic!("never {phase}, but {}:\n{}", world.transition.phase(), world.course.join("\n"));
}

fn measure(world: &mut World, stable: (u64, u64), candidate: (u64, u64)) {
    let compared = candidate.0;
    world.tell(Event::Measured {
        stable: sample(OLD, stable.0, stable.1),
        candidate: sample(NEW, candidate.0, candidate.1),
        comparison: Comparison { compared, matched: compared, differences: Vec::new() },
    });
}

fn ask(world: &mut World, asked: Asked) {
    let effects = world.transition.ask(asked, "ada", world.now).expect("it may be asked");
    world.perform(effects);
}

#[test]
fn the_course_of_each_strategy() {
    let course = |strategy: Strategy| {
        let mut world = World::new(spec(strategy));
        for _ in 0..10_000 {
            if world.is_over() {
                break;
            }
            if world.running.is_some() {
                world.succeed();
            } else {
                world.pass(12_000_000_000);
                let attempts = world.now.mono_ns / 100_000_000;
                measure(&mut world, (attempts, 0), (attempts, 0));
            }
        }
        world.check_end();
        assert_eq!(world.outcome().kind, OutcomeKind::Completed);
        let words = world.course.iter().map(|it| {
            let end = it.find(['(', '{']).unwrap_or(it.len());
            it[..end].trim().to_owned()
        });
        words.collect::<Vec<String>>().join(" ")
    };
    let begin = "Record Trial Load Init Check Start";
    let end = "Record Over Dismiss";
    assert_eq!(course(Strategy::Immediate), format!("{begin} Record CutOver Cutover Revoke {end}"));
    assert_eq!(course(Strategy::Graceful), format!("{begin} Record CutOver Cutover Drain {end}"));
    assert_eq!(
        course(gradual(&[5, 50])),
        format!("{begin} SetShare SetShare Record CutOver Cutover Drain {end}")
    );
    assert_eq!(
        course(mirror()),
        format!("{begin} Probe Mirror Mirror Record CutOver Cutover Drain {end}")
    );
}

#[test]
fn a_step_needs_both_its_samples_and_its_time() {
    let mut world = World::new(spec(gradual(&[10, 50])));
    run_to(&mut world, "shifting");
    assert_eq!(world.transition.share(), 10);
    measure(&mut world, (500, 0), (0, 0));
    measure(&mut world, (1_000, 0), (500, 0));
    assert_eq!(world.transition.share(), 10, "samples without time");
    let mut other = World::new(spec(gradual(&[10, 50])));
    run_to(&mut other, "shifting");
    measure(&mut other, (500, 0), (0, 0));
    other.pass(60_000_000_000);
    measure(&mut other, (1_000, 0), (49, 0));
    assert_eq!(other.transition.share(), 10, "time without samples");
    measure(&mut other, (1_000, 0), (50, 0));
    assert_eq!(other.transition.share(), 50);
    other.succeed();
    other.pass(60_000_000_000);
    measure(&mut other, (2_000, 0), (99, 0));
    assert_eq!(other.transition.share(), 50, "the samples of one step are not those of the next");
}

#[test]
fn a_held_share_stays_until_it_is_resumed() {
    let hold = patchbay_lifecycle::transition::Gradual { steps: vec![20, 100], hold: Some(20) };
    let mut world = World::new(spec(Strategy::Gradual(hold)));
    run_to(&mut world, "shifting");
    for hour in 1..5 {
        world.pass(3_600_000_000_000);
        measure(&mut world, (hour * 10_000, 0), (hour * 2_000, 0));
        assert_eq!((world.transition.share(), world.transition.wake_at()), (20, None));
    }
    ask(&mut world, Asked::Resume);
    world.pass(20_000_000_000);
    measure(&mut world, (60_000, 0), (20_000, 0));
    world.finish();
    assert_eq!(world.outcome().kind, OutcomeKind::Completed);
}

#[test]
fn no_data_until_the_deadline_is_a_failure_and_a_verdict_never_changes() {
    for blind in [false, true] {
        let mut world = with(gradual(&[10]), |terms| terms.deadline = seconds(60));
        run_to(&mut world, "shifting");
        world.pass(59_000_000_000);
        if blind {
            world.tell(Event::NotMeasured { reason: "the source is down".into() });
        }
        assert_eq!(world.transition.phase(), "shifting");
        world.pass(1_000_000_000);
        world.tell(Event::Tick);
        let verdict = world.transition.report(world.now).verdict.expect("recorded");
        assert_eq!(verdict.verdict, Verdict::Fail);
        assert!(verdict.reason.starts_with("inconclusive at the deadline"), "{}", verdict.reason);
        // Now the data comes, and all of it is good.
        measure(&mut world, (1_000, 0), (1_000, 0));
        world.finish();
        world.check_end();
        assert_eq!(world.transition.report(world.now).verdict, Some(verdict));
        assert_eq!(world.outcome().cause, "verdict");
        assert_eq!(world.outcome().kind, OutcomeKind::RolledBack);
    }
}

#[test]
fn figures_that_flap_do_not_advance_while_they_are_bad() {
    let mut world = World::new(spec(gradual(&[10])));
    run_to(&mut world, "shifting");
    measure(&mut world, (1, 0), (0, 0));
    for round in 1..20 {
        world.pass(1_000_000_000);
        let attempts = round * 20;
        // Between nothing and a little above the limit, within doubt.
        let errors = if round % 2 == 0 { 0 } else { attempts / 25 };
        if round == 19 {
            measure(&mut world, (attempts * 9, 0), (attempts, 0));
        } else {
            measure(&mut world, (attempts * 9, 0), (attempts, errors.max(1)));
        }
    }
    assert_eq!(world.transition.phase(), "cutting_over", "passed when it was good at last");
}

#[test]
fn a_worse_candidate_is_taken_back_and_nobody_is_cut_over() {
    let mut world = World::new(spec(gradual(&[10, 50])));
    run_to(&mut world, "shifting");
    measure(&mut world, (1_000, 0), (0, 0));
    measure(&mut world, (2_000, 0), (100, 60));
    world.finish();
    world.check_end();
    assert_eq!(world.outcome().cause, "verdict");
    let course = world.course.join(" ");
    assert!(course.contains("SetShare(0)") && !course.contains("Cutover"), "{course}");
}

#[test]
fn a_worse_candidate_is_rolled_back_from_the_bake_as_well() {
    let mut world = with(gradual(&[10]), |terms| terms.min_time = seconds(1));
    run_to(&mut world, "shifting");
    measure(&mut world, (1, 0), (0, 0));
    world.pass(2_000_000_000);
    measure(&mut world, (1_000, 0), (100, 0));
    run_to(&mut world, "baking");
    measure(&mut world, (1_000, 0), (200, 0));
    assert_eq!(world.transition.phase(), "baking");
    measure(&mut world, (1_000, 0), (400, 60));
    assert_eq!(world.transition.phase(), "rolling_back");
    world.finish();
    world.check_end();
    assert_eq!(
        (world.outcome().kind, world.transition.serves()),
        (OutcomeKind::RolledBack, Served::Old)
    );
}

#[test]
fn dead_letters_that_do_not_pass_end_the_transition() {
    for (passed, phase) in [(98, "aborting"), (99, "cutting_over")] {
        let mut world = with(Strategy::Graceful, |terms| terms.require_dlq_pass = Some(99.0));
        while !matches!(world.running, Some((_, Action::Replay))) {
            world.succeed();
        }
        let (ticket, _) = world.running.take().expect("it replays");
        let tried = patchbay_lifecycle::transition::Yield::Tried {
            tried: 100,
            passed,
            differences: Vec::new(),
        };
        world.tell(Event::Ended { ticket, result: Ok(tried) });
        assert_eq!(world.transition.phase(), phase);
    }
}

#[test]
fn a_drain_that_takes_too_long_goes_back_or_takes_away_as_it_was_asked() {
    for (on_timeout, kind) in
        [(OnTimeout::Abort, OutcomeKind::RolledBack), (OnTimeout::Force, OutcomeKind::Completed)]
    {
        let mut world = with(Strategy::Graceful, |terms| terms.on_timeout = on_timeout);
        while world.transition.phase() != "draining" {
            world.succeed();
        }
        world.fail(false);
        world.finish();
        world.check_end();
        assert_eq!(world.outcome().kind, kind);
        let revoked = world.course.iter().any(|it| it == &format!("{:?}", Action::Revoke(OLD)));
        assert_eq!(revoked, on_timeout == OnTimeout::Force);
    }
}

#[test]
fn a_rollback_is_possible_while_the_old_version_drains() {
    let mut world = World::new(spec(Strategy::Graceful));
    while world.transition.phase() != "draining" {
        world.succeed();
    }
    let (late, _) = world.running.clone().expect("it drains");
    ask(&mut world, Asked::Rollback);
    assert!(
        matches!(world.running, Some((_, Action::Record(_)))),
        "at once: the drain is given up"
    );
    let before = world.transition.clone();
    world.tell(Event::Ended { ticket: late, result: Err(refusal("the drain, late")) });
    assert_eq!(before, world.transition, "its late end changes nothing");
    world.finish();
    world.check_end();
    assert_eq!(world.outcome().cause, "operator");
}

#[test]
fn calls_that_were_taken_away_are_told_of_whatever_was_decided_meanwhile() {
    let told = |world: &World| -> Vec<String> {
        let entries = world.transition.report(world.now).entries;
        let texts = entries.into_iter().map(|entry| entry.text);
        texts.filter(|text| text.ends_with("were taken away")).collect()
    };
    let mut world = World::new(spec(Strategy::Immediate));
    while !matches!(world.running, Some((_, Action::Revoke(_)))) {
        world.succeed();
    }
    ask(&mut world, Asked::Rollback);
    world.finish();
    world.check_end();
    assert_eq!(world.outcome().kind, OutcomeKind::RolledBack);
    assert_eq!(told(&world), ["3 calls of the old version were taken away"]);

    // The candidate does not finish in time what it has when it is taken back.
    let mut world = with(Strategy::Graceful, |terms| terms.bake = seconds(60));
    run_to(&mut world, "baking");
    ask(&mut world, Asked::Rollback);
    while !matches!(world.running, Some((_, Action::Drain(NEW, _)))) {
        world.succeed();
    }
    world.fail(false);
    world.finish();
    world.check_end();
    assert_eq!(told(&world), ["3 calls of the candidate were taken away"]);
}

#[test]
fn a_rollback_that_cannot_be_recorded_is_tried_again_until_it_is() {
    let mut world = with(Strategy::Graceful, |terms| terms.bake = seconds(60));
    run_to(&mut world, "baking");
    ask(&mut world, Asked::Rollback);
    for _ in 0..3 {
        world.fail(false);
        assert_eq!(world.transition.serves(), Served::New, "not before it is durable");
        let at = world.transition.wake_at().expect("tried again");
        world.pass(at - world.now.mono_ns);
        world.tell(Event::Tick);
    }
    world.finish();
    world.check_end();
    assert_eq!(world.outcome().kind, OutcomeKind::RolledBack);
}

#[test]
fn what_operators_ask_at_the_wrong_time_is_refused_with_a_remedy() {
    let mut world = with(Strategy::Graceful, |terms| terms.bake = seconds(60));
    let refused = |world: &mut World, asked: Asked| {
        let now = world.now;
        world.transition.ask(asked, "ada", now).expect_err("not now").remedy()
    };
    assert!(refused(&mut world, Asked::Promote).contains("wait until the candidate is started"));
    assert!(refused(&mut world, Asked::Resume).contains("does not wait"));
    run_to(&mut world, "baking");
    assert!(refused(&mut world, Asked::Abort).contains("roll it back"));
    ask(&mut world, Asked::Promote);
    assert!(refused(&mut world, Asked::Rollback).contains("on its way to an end"));
    world.finish();
    let over = world.transition.ask(Asked::Pause, "ada", world.now);
    assert!(matches!(over, Err(AskRefused::Over { .. })), "{over:?}");
}

#[test]
fn a_pause_before_the_cutover_waits_with_everything_ready() {
    let mut world = World::new(spec(Strategy::Immediate));
    ask(&mut world, Asked::Pause);
    run_to(&mut world, "waiting");
    assert!(!world.course.iter().any(|it| it.contains("CutOver")));
    ask(&mut world, Asked::Resume);
    world.finish();
    assert_eq!(world.outcome().kind, OutcomeKind::Completed);
}

#[test]
fn the_second_death_of_the_host_in_a_bake_brings_the_old_version_back() {
    let mut world = with(Strategy::Graceful, |terms| terms.bake = seconds(60));
    run_to(&mut world, "baking");
    let died = HostEnd::Died { names_candidate: false };
    world.restart(died, 20_000_000_000);
    let left = world.transition.report(world.now).bake_left_ms;
    assert_eq!(left, Some(40_000), "what is left of the bake");
    world.succeed();
    world.restart(HostEnd::Orderly, 0);
    assert!(!world.is_over(), "an orderly end is no death");
    world.succeed();
    world.restart(died, 1_000_000_000);
    assert_eq!(world.outcome().cause, "boot_guard");
    world.check_end();

    let mut named = with(Strategy::Graceful, |terms| terms.bake = seconds(60));
    run_to(&mut named, "baking");
    named.restart(HostEnd::Died { names_candidate: true }, 0);
    assert_eq!(named.outcome().cause, "boot_guard", "once is enough when it is named");
}

#[test]
fn a_plan_can_be_read_and_is_the_same_each_time() {
    let mut request = request(gradual(&[5, 50]));
    request.terms.require_dlq_pass = Some(99.0);
    let spec = request.admit(&facts(1), &facts(2)).expect("nothing is wrong with it");
    let plan = Outline::of(&spec);
    assert_eq!(plan, Outline::of(&spec));
    let text = plan.to_string();
    for line in [
        "gradual transition of echo: 1.0.0 (01010101) -> 2.0.0 (02020202)",
        "replay the dead letters into it: 99 % must pass",
        "hand 5 % to it, at least 50 samples [10s at least, 1800s at most]",
        "let the old version finish what it holds [30s at most]",
        "otherwise: rolled back: the old version serves again",
        "bake, with the old version ready [60s]",
    ] {
        assert!(text.contains(line), "`{line}` is missing:\n{text}");
    }
}

#[test]
fn a_record_and_a_report_survive_being_written_down() {
    let mut world = with(gradual(&[10]), |terms| terms.min_time = seconds(1));
    run_to(&mut world, "shifting");
    measure(&mut world, (1_000, 3), (500, 1));
    world.pass(2_000_000_000);
    measure(&mut world, (2_000, 3), (800, 1));
    run_to(&mut world, "baking");
    let record = world.durable.clone().expect("it was recorded");
    let text = serde_json::to_string(&record).expect("it can be written");
    assert_eq!(
        serde_json::from_str::<patchbay_lifecycle::transition::Record>(&text).expect("and read"),
        record
    );
    let report = world.transition.report(world.now);
    let text = serde_json::to_string(&report).expect("it can be written");
    assert_eq!(
        serde_json::from_str::<patchbay_lifecycle::transition::Report>(&text).expect("and read"),
        report
    );
}
