//! A version that was rolled back, as the fleet remembers it.

use super::*;

#[test]
fn a_version_that_served_for_a_while_and_was_rolled_back_is_not_tried_again_by_itself() {
    let mut world = World::new();
    world.scan(&[("a", wanted(facts(1)))]);
    world.run();
    let old = world.fleet.track(&name("a")).expect("known").observed.serving.expect("it serves");
    world.scan(&[("a", wanted(facts(2)))]);
    while !world.done.iter().any(|(_, step)| matches!(step, Step::Attach { replaces: Some(_), .. }))
    {
        assert!(world.step(&mut |_, _| None), "the new version is attached");
    }
    let new = world.serving("a").map(Generation).expect("it serves");
    let fault = refusal(FailureKind::Stuck, Lasting::Passing);
    let effects = world.fleet.fault(&name("a"), new, &fault, world.now, 0);
    world.take(effects);
    assert!(world.fleet.track(&name("a")).expect("known").failure.is_none(), "not its matter now");
    // The executor takes it back, and says so: first the old one, then why.
    let attach = |generation, replaces| Step::Attach {
        generation,
        replaces: Some(replaces),
        flow: patchbay_lifecycle::Flow::Open,
    };
    let back = attach(old.generation, new);
    let effects = world.fleet.step_ended(&name("a"), back, Ok(()), world.now, 0);
    world.take(effects);
    assert_eq!(world.serving("a"), Some(old.generation.0));
    let why = refusal(FailureKind::Transition, Lasting::Passing);
    let forth = attach(new, old.generation);
    let effects = world.fleet.step_ended(&name("a"), forth, Err(why), world.now, 0);
    world.take(effects);
    world.plans.clear();
    let effects = world.fleet.plan_ended(&name("a"), world.now);
    world.take(effects);
    world.run();
    assert_eq!(world.serving("a"), Some(old.generation.0), "the old one goes on");
    assert_eq!(world.failure("a").0, FailureKind::Transition);
    let track = world.fleet.track(&name("a")).expect("known");
    assert_eq!(track.serving_facts.as_ref(), Some(&facts(1)), "with its own facts");
    assert!(track.observed.leaving.is_empty(), "and the other one is gone");
    world.scan(&[("a", wanted(facts(3)))]);
    world.run();
    assert_ne!(world.serving("a"), Some(old.generation.0), "another one is tried");
}
