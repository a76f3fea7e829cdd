//! Many trials with drawn messages: how often equal versions pass, and how often worse ones do not.

use std::time::Duration;

use patchbay_lifecycle::transition::{
    Comparison, Event, Latencies, OutcomeKind, Sample, Strategy, TransitionSpec,
};

use super::{
    dice::Dice,
    samples::{NEW, OLD, gradual, mirror, request, sample},
    world::World,
};
use crate::transitions::samples::facts;

const TRIALS: u64 = 300;
/// Messages between two measurements.
const MESSAGES: u64 = 100;

/// A version that fails at so many of its attempts, and takes so long.
#[derive(Clone, Copy)]
struct Behaves {
    errors: f64,
    slow: f64,
}

fn empty(generation: patchbay_lifecycle::Generation) -> Sample {
    Sample { latencies: Some(Latencies::default()), ..sample(generation, 0, 0) }
}

fn draw(sample: &mut Sample, behaves: Behaves, dice: &mut Dice) {
    sample.attempts += 1;
    sample.errors += u64::from(dice.share() < behaves.errors);
    let ns = if dice.share() < 0.02 { 8_000_000.0 } else { 1_000_000.0 + dice.share() * 500_000.0 };
    if let Some(latencies) = &mut sample.latencies {
        latencies.record((ns * behaves.slow) as u64);
    }
}

/// One transition under traffic; how it ends.
fn trial(spec: TransitionSpec, old: Behaves, new: Behaves, dice: &mut Dice) -> OutcomeKind {
    let mut world = World::new(spec);
    let (mut stable, mut candidate) = (empty(OLD), empty(NEW));
    let mut comparison = Comparison::default();
    for _ in 0..100_000 {
        if world.is_over() {
            world.check_end();
            return world.outcome().kind;
        }
        if world.running.is_some() {
            world.succeed();
            continue;
        }
        let Some(every) = world.transition.measures() else { panic!("it waits for nobody") };
        world.pass(u64::try_from(every.as_nanos()).expect("a short time"));
        let mirrors = world.transition.phase() == "mirroring";
        for _ in 0..MESSAGES {
            if mirrors {
                draw(&mut stable, old, dice);
                let before = candidate.errors;
                draw(&mut candidate, new, dice);
                comparison.compared += 1;
                comparison.matched += u64::from(candidate.errors == before);
            } else if dice.below(100) < u64::from(world.transition.share()) {
                draw(&mut candidate, new, dice);
            } else {
                draw(&mut stable, old, dice);
            }
        }
        let comparison = comparison.clone();
        let (stable, candidate) = (stable.clone(), candidate.clone());
        world.tell(Event::Measured { stable, candidate, comparison });
    }
    panic!("the trial never ends");
}

fn promoted(strategy: &Strategy, old: Behaves, new: Behaves, seed: u64) -> f64 {
    let mut dice = Dice::new(seed);
    let completed = (0..TRIALS).filter(|_| {
        let mut request = request(strategy.clone());
        request.terms.bake = Duration::from_secs(20);
        let spec = request.admit(&facts(1), &facts(2)).expect("nothing is wrong with it");
        trial(spec, old, new, &mut dice) == OutcomeKind::Completed
    });
    completed.count() as f64 / TRIALS as f64
}

#[test]
fn equal_versions_are_promoted_in_95_of_100_trials() {
    let strategy = gradual(&[1, 5, 25, 50, 100]);
    for (i, errors) in [0.0, 0.01, 0.05, 0.2].into_iter().enumerate() {
        let same = Behaves { errors, slow: 1.0 };
        let share = promoted(&strategy, same, same, 1_000 + i as u64);
        eprintln!("equal versions with {errors} errors: {share} promoted");
        assert!(share >= 0.95, "{errors}: only {share} promoted");
    }
}

#[test]
fn a_version_that_is_five_points_worse_is_caught_in_99_of_100_trials() {
    let strategy = gradual(&[1, 5, 25, 50, 100]);
    for (i, errors) in [0.0, 0.01, 0.05, 0.2].into_iter().enumerate() {
        let old = Behaves { errors, slow: 1.0 };
        let new = Behaves { errors: errors + 0.05, slow: 1.0 };
        let share = promoted(&strategy, old, new, 2_000 + i as u64);
        eprintln!("five points above {errors} errors: {share} promoted");
        assert!(share <= 0.01, "{errors}: {share} promoted");
    }
}

#[test]
fn a_version_that_takes_three_times_as_long_is_caught_in_99_of_100_trials() {
    let old = Behaves { errors: 0.01, slow: 1.0 };
    let new = Behaves { errors: 0.01, slow: 3.0 };
    let share = promoted(&gradual(&[1, 5, 25, 50, 100]), old, new, 3_000);
    assert!(share <= 0.01, "{share} promoted");
}

#[test]
fn a_mirror_tells_equal_versions_from_worse_ones_as_well() {
    let good = Behaves { errors: 0.0, slow: 1.0 };
    let bad = Behaves { errors: 0.05, slow: 1.0 };
    let share = promoted(&mirror(), good, good, 4_000);
    assert!(share >= 0.95, "only {share} of equal ones promoted");
    let share = promoted(&mirror(), good, bad, 5_000);
    assert!(share <= 0.01, "{share} of worse ones promoted");
}
