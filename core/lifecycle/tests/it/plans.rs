//! The planner by itself.

use patchbay_lifecycle::{
    Flow, Generation, Instance, Observed, Queue, State, Step, StepEnd, Target, plan,
};
use proptest::prelude::*;

use crate::support::identity;

fn instance(generation: u64, library: u8, state: State) -> Instance {
    Instance { generation: Generation(generation), identity: identity(library), state }
}

fn arb_observed() -> impl Strategy<Value = Observed> {
    let serving =
        proptest::option::of((0_u8..3, prop_oneof![Just(State::Running), Just(State::Paused)]));
    let candidate = proptest::option::of((
        0_u8..3,
        prop_oneof![Just(State::Loaded), Just(State::Initialized), Just(State::Starting)],
    ));
    let leaving = proptest::collection::vec(
        (0_u8..3, prop_oneof![Just(State::Draining), Just(State::Stopped)]),
        0..3,
    );
    (serving, candidate, leaving, any::<bool>()).prop_map(|(serving, candidate, leaving, queue)| {
        Observed {
            serving: serving.map(|(library, state)| instance(1, library, state)),
            candidate: candidate.map(|(library, state)| instance(2, library, state)),
            leaving: leaving
                .into_iter()
                .enumerate()
                .map(|(i, (library, state))| instance(10 + i as u64, library, state))
                .collect(),
            queue: if queue || serving.is_some() { Queue::Present } else { Queue::Absent },
        }
    })
}

fn arb_target() -> impl Strategy<Value = Target> {
    let flow = || prop_oneof![Just(Flow::Open), Just(Flow::Held)];
    prop_oneof![
        (0_u8..3, flow())
            .prop_map(|(library, flow)| Target::Serve { identity: identity(library), flow }),
        flow().prop_map(|flow| Target::Keep { flow }),
        Just(Target::Halt),
        Just(Target::Gone),
    ]
}

const NEXT: Generation = Generation(100);

proptest! {
    #[test]
    fn a_plan_that_succeeds_leaves_nothing_to_plan(
        observed in arb_observed(), target in arb_target()
    ) {
        let mut world = observed;
        for step in plan(target, &world, NEXT).steps {
            world.apply(step, StepEnd::Done);
        }
        prop_assert!(plan(target, &world, NEXT.next()).is_empty(), "{world:?}");
        prop_assert!(world.candidate.is_none() && world.leaving.is_empty());
        if let Target::Serve { identity, .. } = target {
            prop_assert_eq!(world.serving.map(|it| it.identity), Some(identity));
        }
    }

    #[test]
    fn some_generation_serves_at_every_moment_of_a_replacement(
        observed in arb_observed(), library in 0_u8..3
    ) {
        prop_assume!(observed.serving.is_some());
        let target = Target::Serve { identity: identity(library), flow: Flow::Open };
        let mut world = observed;
        for step in plan(target, &world, NEXT).steps {
            world.apply(step, StepEnd::Done);
            prop_assert!(world.serving.is_some(), "nobody serves after `{step}`");
        }
    }

    #[test]
    fn a_candidate_is_opened_initialised_checked_and_started_before_the_serving_one_is_touched(
        observed in arb_observed(), library in 0_u8..3
    ) {
        prop_assume!(observed.serving.is_some_and(|it| it.identity != identity(library)));
        let target = Target::Serve { identity: identity(library), flow: Flow::Open };
        let steps = plan(target, &observed, NEXT).steps;
        let old = observed.serving.map(|it| it.generation);
        let attach = steps.iter().position(|step| matches!(step, Step::Attach { .. }));
        let touch = steps.iter().position(|step| {
            step.generation() == old && !matches!(step, Step::Attach { .. })
        });
        prop_assert!(attach < touch, "{steps:?}");
    }

    #[test]
    fn a_failed_step_leaves_the_serving_generation_as_it_was(
        observed in arb_observed(), library in 0_u8..3, at in any::<proptest::sample::Index>()
    ) {
        let target = Target::Serve { identity: identity(library), flow: Flow::Open };
        let steps = plan(target, &observed, NEXT).steps;
        let may_fail = |step: &Step| {
            step.may_fail() && !matches!(step, Step::Pause(_) | Step::Resume(_))
        };
        prop_assume!(steps.iter().any(may_fail));
        let failing: Vec<usize> = (0..steps.len()).filter(|i| may_fail(&steps[*i])).collect();
        let failing = *at.get(&failing);
        let mut world = observed;
        for step in &steps[..failing] {
            world.apply(*step, StepEnd::Done);
        }
        let serving = world.serving;
        world.apply(steps[failing], StepEnd::Failed);
        prop_assert_eq!(world.serving, serving);
        // What the failed candidate left behind goes away by the next plan.
        for step in plan(Target::Keep { flow: Flow::Open }, &world, NEXT.next()).steps {
            world.apply(step, StepEnd::Done);
        }
        prop_assert!(world.candidate.is_none() && world.leaving.is_empty());
        prop_assert_eq!(world.serving.map(|it| it.generation), serving.map(|it| it.generation));
    }

    #[test]
    fn a_report_about_a_generation_that_is_gone_changes_nothing(
        observed in arb_observed(), done in any::<bool>()
    ) {
        let end = if done { StepEnd::Done } else { StepEnd::Failed };
        let gone = Generation(77);
        for step in [
            Step::Init(gone), Step::Check(gone), Step::Start(gone), Step::Pause(gone),
            Step::Resume(gone), Step::Detach(gone), Step::Drain(gone), Step::Stop(gone),
            Step::Retire(gone),
            Step::Attach { generation: gone, replaces: None, flow: Flow::Open },
        ] {
            let mut world = observed.clone();
            world.apply(step, end);
            prop_assert_eq!(&world, &observed, "after {}", step);
        }
    }
}

#[test]
fn a_plan_can_be_read() {
    let observed =
        Observed { serving: Some(instance(1, 1, State::Running)), ..Observed::default() };
    let target = Target::Serve { identity: identity(2), flow: Flow::Open };
    assert_eq!(
        plan(target, &observed, Generation(2)).to_string(),
        "1. open 02020202 as generation 2\n\
         2. init generation 2\n\
         3. check generation 2\n\
         4. start generation 2\n\
         5. attach generation 2 in place of 1\n\
         6. drain generation 1\n\
         7. stop generation 1\n\
         8. retire generation 1\n"
    );
}
