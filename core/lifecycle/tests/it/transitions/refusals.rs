//! What is refused before anything starts, and that each refusal names its reason and its remedy.

use std::time::Duration;

use patchbay_lifecycle::transition::{
    AskRefused, Asked, BlueGreen, Gradual, OnTimeout, RefusalKind, Refused, Strategy, VersionFacts,
};
use patchbay_manifest::Permissions;

use super::{
    samples::{facts, gradual, request, spec},
    world::World,
};

fn patterns(text: &[&str]) -> Option<Vec<patchbay_wire::TopicPattern>> {
    Some(text.iter().map(|it| it.parse().expect("a pattern")).collect())
}

fn refused(strategy: Strategy, from: &VersionFacts, to: &VersionFacts) -> Refused {
    let refused = request(strategy).admit(from, to).expect_err("something is wrong with it");
    assert!(!refused.reason.is_empty() && !refused.remedy.is_empty(), "{refused:?}");
    refused
}

fn kind(strategy: Strategy, from: &VersionFacts, to: &VersionFacts) -> RefusalKind {
    refused(strategy, from, to).kind
}

#[test]
fn steps_that_fall_and_shares_of_0_or_101_are_refused() {
    for (steps, expected) in [
        (&[0, 100][..], RefusalKind::Share),
        (&[5, 101], RefusalKind::Share),
        (&[50, 25, 100], RefusalKind::Steps),
        (&[50, 50], RefusalKind::Steps),
        (&[], RefusalKind::Steps),
    ] {
        assert_eq!(kind(gradual(steps), &facts(1), &facts(2)), expected, "{steps:?}");
    }
    let hold = Strategy::Gradual(Gradual { steps: vec![10, 100], hold: Some(20) });
    assert_eq!(kind(hold, &facts(1), &facts(2)), RefusalKind::Share);
}

#[test]
fn the_last_step_is_always_everything() {
    let Strategy::Gradual(given) = spec(gradual(&[30, 60])).strategy else { panic!("gradual") };
    assert_eq!(given.steps, [30, 60, 100]);
    assert_eq!(given.trial(), [30, 60]);
}

#[test]
fn a_deadline_of_zero_and_steps_that_do_not_fit_into_it_are_refused() {
    let with = |change: &dyn Fn(&mut patchbay_lifecycle::transition::Terms)| {
        let mut request = request(gradual(&[50, 100]));
        change(&mut request.terms);
        request.admit(&facts(1), &facts(2)).map_err(|refused| refused.kind)
    };
    let deadline = Err(RefusalKind::Deadline);
    assert_eq!(with(&|it| it.deadline = Duration::ZERO), deadline);
    assert_eq!(with(&|it| it.drain_deadline = Duration::ZERO), deadline);
    assert_eq!(with(&|it| it.bake = Duration::MAX), deadline);
    assert_eq!(with(&|it| it.min_time = it.deadline * 2), deadline);
    let number = Err(RefusalKind::Number);
    assert_eq!(with(&|it| it.require_dlq_pass = Some(101.0)), number);
    assert_eq!(with(&|it| it.require_dlq_pass = Some(f64::NAN)), number);
    assert_eq!(with(&|it| it.rule.error_margin = f64::NAN), number);
    assert!(with(&|it| it.bake = Duration::ZERO).is_ok(), "no bake is possible");
}

#[test]
fn the_version_that_serves_and_the_same_version_with_other_bytes_are_refused() {
    let serving = facts(1);
    assert_eq!(kind(Strategy::Graceful, &serving, &facts(1)), RefusalKind::AlreadyServing);
    let rebuilt = VersionFacts { version: serving.version.clone(), ..facts(2) };
    let expected = RefusalKind::SameVersionOtherBytes;
    assert_eq!(kind(Strategy::Graceful, &serving, &rebuilt), expected);
    let mut forced = request(Strategy::Graceful);
    forced.force = true;
    assert!(forced.clone().admit(&serving, &rebuilt).is_ok());
    assert!(forced.admit(&serving, &facts(1)).is_err(), "what serves cannot be forced");
    let configured = VersionFacts { config: crate::support::digest(9), ..facts(1) };
    let change = request(Strategy::Graceful).admit(&serving, &configured);
    assert!(change.is_ok(), "another configuration is another end: {change:?}");
}

#[test]
fn a_candidate_that_asks_for_more_or_drops_what_waits_is_refused_unless_forced() {
    let had = Permissions { publish: patterns(&["orders.>"]), subscribe: None };
    let serving = VersionFacts { permissions: had.clone(), ..facts(1) };
    for asks in [patterns(&["orders.new", "billing.>"]), None] {
        let asks = Permissions { publish: asks, ..had.clone() };
        let candidate = VersionFacts { permissions: asks, ..facts(2) };
        let expected = RefusalKind::MorePermissions;
        assert_eq!(kind(Strategy::Graceful, &serving, &candidate), expected);
    }
    let less = Permissions { publish: patterns(&["orders.new"]), subscribe: patterns(&["a"]) };
    let candidate = VersionFacts { permissions: less, ..facts(2) };
    assert!(request(Strategy::Graceful).admit(&serving, &candidate).is_ok());

    let waits = |backlog| VersionFacts {
        subscriptions: vec![("orders.>".into(), backlog), ("audit".into(), 0)],
        ..facts(1)
    };
    let deaf = VersionFacts { subscriptions: vec![("audit".into(), 0)], ..facts(2) };
    let refused = refused(Strategy::Graceful, &waits(7), &deaf);
    assert_eq!(refused.kind, RefusalKind::DropsSubscription);
    assert!(refused.reason.contains("7 messages") && refused.reason.contains("orders.>"));
    assert!(request(Strategy::Graceful).admit(&waits(0), &deaf).is_ok());
    let mut forced = request(Strategy::Graceful);
    forced.force = true;
    assert!(forced.admit(&waits(7), &deaf).is_ok());
}

#[test]
fn a_candidate_that_cannot_read_the_state_is_refused_unless_forced() {
    let with = |number, schema: Option<&str>| VersionFacts {
        state_schema: schema.map(str::to_owned),
        ..facts(number)
    };
    let (serving, other) = (with(1, Some("a/1")), with(2, Some("a/2")));
    let refused = refused(Strategy::Graceful, &serving, &other);
    assert_eq!(refused.kind, RefusalKind::StateSchema);
    assert!(refused.reason.contains("a/1") && refused.reason.contains("a/2"), "{refused}");
    let mut forced = request(Strategy::Graceful);
    forced.force = true;
    let clean = forced.admit(&serving, &other).expect("it is forced");
    assert_eq!(clean.state, patchbay_lifecycle::transition::StateRule::Clean);
    for (from, to) in [(Some("a/1"), Some("a/1")), (Some("a/1"), None), (None, Some("a/1"))] {
        assert!(request(Strategy::Graceful).admit(&with(1, from), &with(2, to)).is_ok());
    }
}

#[test]
fn a_mirror_needs_the_manifests_word_and_blue_green_something_to_verify() {
    let blue_green = |probes, mirror| Strategy::BlueGreen(BlueGreen { probes, mirror });
    let unsafe_one = VersionFacts { mirror_safe: false, ..facts(2) };
    let expected = RefusalKind::NotMirrorSafe;
    assert_eq!(kind(blue_green(3, true), &facts(1), &unsafe_one), expected);
    assert_eq!(kind(blue_green(0, false), &facts(1), &facts(2)), RefusalKind::NothingToVerify);
    assert!(request(blue_green(3, false)).admit(&facts(1), &unsafe_one).is_ok());
}

#[test]
fn a_second_transition_is_refused_with_the_running_id_and_a_repetition_gets_it_back() {
    let running = {
        let mut first = request(Strategy::Graceful);
        first.idempotency_key = Some("k".into());
        first.admit(&facts(1), &facts(2)).expect("nothing is wrong with it")
    };
    let mut second = request(Strategy::Immediate);
    let refused = second.beside(&running).expect_err("another one runs");
    assert_eq!(refused.kind, RefusalKind::Running);
    assert!(refused.reason.contains("t-1"), "{refused}");
    second.idempotency_key = Some("k".into());
    assert_eq!(second.beside(&running), Ok("t-1".to_owned()));
}

#[test]
fn a_forward_only_candidate_says_so_beforehand_and_is_not_rolled_back_after_the_cutover() {
    let candidate = VersionFacts { forward_only: true, ..facts(2) };
    let mut request = request(gradual(&[50]));
    request.terms.bake = Duration::from_secs(60);
    let spec = request.admit(&facts(1), &candidate).expect("nothing is wrong with it");
    assert_eq!(spec.terms.on_timeout, OnTimeout::Force, "there is no other way");
    let plan = patchbay_lifecycle::transition::Outline::of(&spec).to_string();
    assert!(plan.contains("rollback is refused after the cutover"), "{plan}");

    let mut world = World::new(spec);
    while world.transition.phase() != "shifting" || world.running.is_some() {
        world.succeed();
    }
    let promoted = world.transition.ask(Asked::Promote, "test", world.now).expect("it may");
    world.perform(promoted);
    while world.transition.phase() != "baking" {
        world.succeed();
    }
    let refused = world.transition.ask(Asked::Rollback, "test", world.now);
    assert_eq!(refused, Err(AskRefused::ForwardOnly));
}
