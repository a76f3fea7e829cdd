//! An instance that was asked for and cannot be had.

use super::*;

#[test]
fn an_instance_that_cannot_follow_is_given_up_and_the_one_that_serves_goes_on() {
    let mut world = World::new();
    world.scan(&[("a", wanted(facts(1)))]);
    world.run();
    let serving = world.serving("a");
    let asked = world.fleet.command(&name("a"), Command::Restart, "ada", world.now);
    world.take(asked.expect("it runs").1);
    world.run_failing(&mut init_fails("a"));
    keeps_failing(&mut world, 1);
    assert_eq!(world.failure("a").0, FailureKind::RestartsExhausted);
    assert_eq!((world.serving("a"), world.state("a")), (serving, State::Running));
    // One that has failed by itself does not go on for ever: what follows it is given up with it.
    let mut ill = World::new();
    ill.scan(&[("a", wanted(facts(1)))]);
    ill.run();
    let generation = Generation(ill.serving("a").expect("it serves"));
    let died = refusal(FailureKind::Died, Lasting::Passing);
    let effects = ill.fleet.fault(&name("a"), generation, &died, ill.now, 0);
    ill.take(effects);
    keeps_failing(&mut ill, 0);
    assert_eq!(ill.failure("a").0, FailureKind::RestartsExhausted);
    assert_eq!((ill.serving("a"), ill.state("a")), (None, State::Failed));
    let track = ill.fleet.track(&name("a")).expect("known");
    assert_eq!(
        track.setbacks.newest_first().count(),
        6,
        "each is remembered with what was decided"
    );
}

/// It is tried again every second, from that one to the fifth, and never gets through its init.
fn keeps_failing(world: &mut World, first: u64) {
    for second in first..=5 {
        world.now = at(second);
        let effects = world.fleet.tick(world.now);
        world.take(effects);
        world.run_failing(&mut init_fails("a"));
    }
}

#[test]
fn who_turned_ill_while_a_successor_failed_is_replaced_afterwards() {
    let mut world = World::new();
    world.scan(&[("a", wanted(facts(1)))]);
    world.run();
    let old = world.serving("a");
    let generation = Generation(old.expect("it serves"));
    let check = |world: &mut World| {
        let failed = Check::Failed("no".into());
        let effects = world.fleet.checked(&name("a"), generation, failed, world.now, u64::MAX);
        world.take(effects);
    };
    world.scan(&[("a", wanted(facts(2)))]);
    for _ in 0..3 {
        check(&mut world);
    }
    world.run_failing(&mut init_fails("a"));
    world.scan(&[("a", wanted(facts(1)))]);
    world.run();
    assert_eq!(world.serving("a"), old);
    assert!(world.fleet.track(&name("a")).expect("known").failure.is_none());
    check(&mut world);
    assert_eq!(world.failure("a").0, FailureKind::Health);
    // Once is enough.
    let restarts = |world: &World| {
        world.fleet.track(&name("a")).expect("known").setbacks.newest_first().count()
    };
    let told = restarts(&world);
    check(&mut world);
    assert_eq!(restarts(&world), told);
}
