//! Twenty thousand transitions with whatever may happen, at any time, in any order.
//!
//! `PATCHBAY_SEED` runs one of them, `PATCHBAY_RUNS` another number of them.

use std::{collections::BTreeMap, time::Duration};

use patchbay_lifecycle::{
    Generation,
    transition::{
        Asked, BlueGreen, Comparison, Event, Gradual, HostEnd, OnTimeout, Strategy, Ticket,
        TransitionSpec,
    },
};

use super::{
    dice::Dice,
    samples::{facts, request, sample},
    world::{World, refusal},
};

const RUNS: u64 = 20_000;
const EVENTS: u64 = 80;

/// Says how to repeat a run that fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "seed {seed}; again with: PATCHBAY_SEED={seed} cargo test -p patchbay-lifecycle \
                 --test it transitions::simulation"
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn random_spec(dice: &mut Dice) -> TransitionSpec {
    let strategy = match dice.below(4) {
        0 => Strategy::Immediate,
        1 => Strategy::Graceful,
        2 => {
            let steps = dice.pick(&[&[1, 5, 25, 50, 100][..], &[50], &[30, 60], &[100]]).to_vec();
            let hold = (steps.len() > 1 && dice.chance(200)).then(|| steps[0]);
            Strategy::Gradual(Gradual { steps, hold })
        }
        _ => {
            let mirror = dice.chance(500);
            let probes = if mirror { dice.below(3) as u32 } else { 1 + dice.below(3) as u32 };
            Strategy::BlueGreen(BlueGreen { probes, mirror })
        }
    };
    let mut request = request(strategy);
    let terms = &mut request.terms;
    terms.on_timeout = *dice.pick(&[OnTimeout::Abort, OnTimeout::Force]);
    terms.bake = *dice.pick(&[Duration::ZERO, Duration::from_secs(5), Duration::from_secs(60)]);
    terms.min_time = *dice.pick(&[Duration::ZERO, Duration::from_secs(2)]);
    terms.min_samples = *dice.pick(&[1, 10, 50]);
    terms.deadline = Duration::from_secs(60);
    terms.require_dlq_pass = dice.chance(200).then_some(99.0);
    let (mut from, mut to) = (facts(1), facts(2));
    match dice.below(4) {
        0 => (from.state_schema, to.state_schema) = (Some("a/1".into()), Some("a/1".into())),
        1 => to.forward_only = true,
        _ => {}
    }
    request.admit(&from, &to).expect("nothing is wrong with it")
}

/// One event of any kind.
fn happen(world: &mut World, dice: &mut Dice, counts: &mut Counts) {
    world.pass(dice.below(2_000_000_000));
    match dice.below(100) {
        0..=49 if world.running.is_some() => {
            if dice.chance(60) {
                world.fail(dice.chance(300));
            } else {
                world.succeed();
            }
        }
        0..=59 => {
            // A report about generations of the past changes nothing.
            let stale = dice.chance(100);
            let generation = |own: Generation| if stale { Generation(own.0 + 100) } else { own };
            let (old, new) = (generation(world.old), generation(world.candidate));
            counts.attempts += dice.below(60);
            let bad = if dice.chance(20) { counts.attempts / 2 } else { 0 };
            let compared = counts.attempts;
            let comparison = Comparison { compared, matched: compared, differences: Vec::new() };
            let before = world.transition.clone();
            world.tell(Event::Measured {
                stable: sample(old, counts.attempts * 2, 0),
                candidate: sample(new, counts.attempts, bad),
                comparison,
            });
            assert!(!stale || before == world.transition, "a stale report changed something");
        }
        60..=69 => match world.transition.wake_at() {
            Some(at) if dice.chance(500) => {
                world.pass(at.saturating_sub(world.now.mono_ns));
                world.tell(Event::Tick);
            }
            _ => world.tell(Event::Tick),
        },
        70..=73 => {
            let before = world.transition.clone();
            let ticket = Ticket(dice.below(40) + 1_000);
            world.tell(Event::Ended { ticket, result: Err(refusal("of something given up")) });
            assert_eq!(before, world.transition, "a stale end changed something");
        }
        74..=77 => {
            let generation = *dice.pick(&[world.old, world.candidate, Generation(9_999)]);
            if dice.chance(300) {
                world.tell(Event::Faulted { generation, refusal: refusal("it crashed") });
            }
        }
        78..=79 => world.tell(Event::NotMeasured { reason: "the source is down".into() }),
        80..=92 => ask(world, dice),
        93..=95 => {
            let end = *dice.pick(&[
                HostEnd::Orderly,
                HostEnd::Died { names_candidate: false },
                HostEnd::Died { names_candidate: true },
            ]);
            let jump = dice.below(40_000_000_000) as i64 - 10_000_000_000;
            *counts.crashes.entry(world.transition.phase()).or_default() += 1;
            counts.attempts = 0;
            world.restart(end, jump);
        }
        _ => {}
    }
}

fn ask(world: &mut World, dice: &mut Dice) {
    let asked = match dice.below(20) {
        0..=3 => Asked::Pause,
        4..=9 => Asked::Resume,
        10..=15 => Asked::Promote,
        16 => Asked::Abort,
        _ => Asked::Rollback,
    };
    let before = world.transition.clone();
    match world.transition.ask(asked, "test", world.now) {
        Ok(effects) => world.perform(effects),
        Err(_) => assert_eq!(before, world.transition, "a refused wish changed something"),
    }
}

#[derive(Default)]
struct Counts {
    attempts: u64,
    outcomes: BTreeMap<String, u64>,
    crashes: BTreeMap<&'static str, u64>,
}

fn run(seed: u64, counts: &mut Counts) {
    let replay = Replay(seed);
    let mut dice = Dice::new(seed);
    let mut world = World::new(random_spec(&mut dice));
    counts.attempts = 0;
    for _ in 0..EVENTS {
        if world.is_over() {
            break;
        }
        happen(&mut world, &mut dice, counts);
    }
    world.finish();
    world.check_end();
    let outcome = world.outcome();
    let word = format!("{} {}", outcome.kind.as_str(), outcome.cause);
    *counts.outcomes.entry(word).or_default() += 1;
    drop(replay);
}

#[test]
fn whatever_happens_one_version_serves_and_the_record_comes_before_the_fence() {
    let mut counts = Counts::default();
    if let Some(seed) = number("PATCHBAY_SEED") {
        return run(seed, &mut counts);
    }
    let runs = number("PATCHBAY_RUNS").unwrap_or(RUNS);
    (0..runs).for_each(|seed| run(seed, &mut counts));
    eprintln!("{runs} transitions: {:#?}\nhost restarts: {:#?}", counts.outcomes, counts.crashes);
    if runs < RUNS {
        return;
    }
    // A simulation that does not get somewhere says nothing about it.
    for outcome in [
        "completed done",
        "aborted crash",
        "aborted shutdown",
        "aborted operator",
        "aborted candidate_failed",
        "aborted record",
        "aborted serving_failed",
        "rolled_back verdict",
        "rolled_back operator",
        "rolled_back candidate_failed",
        "rolled_back drain_deadline",
        "rolled_back state",
        "rolled_back boot_guard",
    ] {
        assert!(counts.outcomes.contains_key(outcome), "no transition ended as {outcome}");
    }
    for phase in [
        "loading",
        "initialising",
        "checking",
        "starting",
        "replaying",
        "probing",
        "mirroring",
        "shifting",
        "waiting",
        "cutting_over",
        "draining",
        "handing_over",
        "baking",
        "finalising",
        "aborting",
        "closing",
        "rolling_back",
    ] {
        assert!(counts.crashes.contains_key(phase), "the host never died while {phase}");
    }
}
