//! Whole fleets: random events against a simulated executor.

mod given_up;
mod rolled_back;

use std::collections::BTreeMap;

use patchbay_lifecycle::{
    Check, Command, CommandError, Effect, Fleet, Generation, Intent, Lasting, Now, Plan,
    PluginName, Reading, Refusal, RestartLimits, State, Step, failure::FailureKind,
};
use proptest::prelude::*;

use crate::support::{at, facts, name, refusal, requires, wanted};

/// A fleet and the plans that its executor was given.
struct World {
    fleet: Fleet,
    plans: BTreeMap<PluginName, Plan>,
    /// Every step that was performed, in order.
    done: Vec<(PluginName, Step)>,
    now: Now,
}

impl World {
    fn new() -> World {
        World {
            fleet: Fleet::new(RestartLimits::default(), Generation(0)),
            plans: BTreeMap::new(),
            done: Vec::new(),
            now: at(0),
        }
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Perform { name, plan } = effect {
                assert!(!plan.is_empty());
                let other = self.plans.insert(name.clone(), plan);
                assert!(other.is_none(), "{name} was given a second plan");
            }
        }
    }

    fn scan(&mut self, seen: &[(&str, Intent)]) {
        let seen = seen.iter().map(|(text, intent)| (name(text), intent.clone())).collect();
        let effects = self.fleet.scanned(Reading { seen, ..Reading::default() }, self.now);
        self.take(effects);
    }

    /// Performs the first step of the first plan. `fail` says which steps fail.
    fn step(&mut self, fail: &mut dyn FnMut(&PluginName, Step) -> Option<Refusal>) -> bool {
        let Some((name, plan)) = self.plans.iter_mut().next() else { return false };
        let (name, step) = (name.clone(), plan.steps.remove(0));
        let refusal = fail(&name, step);
        let ended = plan.steps.is_empty() || refusal.is_some() && step.may_fail();
        self.done.push((name.clone(), step));
        let outcome = refusal.map_or(Ok(()), Err);
        let effects = self.fleet.step_ended(&name, step, outcome, self.now, 0);
        self.take(effects);
        if ended {
            self.plans.remove(&name);
            let effects = self.fleet.plan_ended(&name, self.now);
            self.take(effects);
        }
        true
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.step(&mut |_, _| None) {
                return;
            }
        }
        panic!("the fleet never comes to rest");
    }

    fn run_failing(&mut self, fail: &mut dyn FnMut(&PluginName, Step) -> Option<Refusal>) {
        for _ in 0..10_000 {
            if !self.step(fail) {
                return;
            }
        }
        panic!("the fleet never comes to rest");
    }

    fn state(&self, text: &str) -> State {
        self.fleet.track(&name(text)).expect("a known plugin").state
    }

    fn failure(&self, text: &str) -> (FailureKind, String) {
        let track = self.fleet.track(&name(text)).expect("a known plugin");
        let failure = track.failure.as_ref().expect("a failure");
        (failure.kind, failure.reason.clone())
    }

    fn serving(&self, text: &str) -> Option<u64> {
        let track = self.fleet.track(&name(text))?;
        track.observed.serving.map(|serving| serving.generation.0)
    }

    fn attached(&self) -> Vec<String> {
        let attach = |(name, step): &(PluginName, Step)| match step {
            Step::Attach { .. } => Some(name.to_string()),
            _ => None,
        };
        self.done.iter().filter_map(attach).collect()
    }
}

fn init_fails(which: &'static str) -> impl FnMut(&PluginName, Step) -> Option<Refusal> {
    move |name, step| {
        let hit = name.as_str() == which && matches!(step, Step::Init(_));
        hit.then(|| refusal(FailureKind::Init, Lasting::Passing))
    }
}

#[test]
fn plugins_start_in_order_and_stop_in_reverse() {
    let mut world = World::new();
    let seen = [
        ("a-late", wanted(requires(facts(1), "b-early", ">=1.0.0"))),
        ("b-early", wanted(facts(1))),
        ("c-infra", wanted(patchbay_lifecycle::Facts { priority: 10, ..facts(1) })),
    ];
    world.scan(&seen);
    world.run();
    assert_eq!(world.attached(), ["c-infra", "b-early", "a-late"]);
    assert!(world.fleet.is_ready());

    world.done.clear();
    let effects = world.fleet.close(world.now);
    world.take(effects);
    world.run();
    let stopped: Vec<&str> = world
        .done
        .iter()
        .filter(|(_, step)| matches!(step, Step::Stop(_)))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(stopped, ["a-late", "b-early", "c-infra"]);
    let first_stop = world.done.iter().position(|(_, step)| matches!(step, Step::Stop(_)));
    let last_drain = world.done.iter().rposition(|(_, step)| matches!(step, Step::Drain(_)));
    assert!(last_drain < first_stop, "everybody is drained before anybody is stopped");
    assert!(world.fleet.is_closed());
}

#[test]
fn a_failing_init_hurts_nobody_and_is_tried_again_until_it_is_given_up() {
    let mut world = World::new();
    world.scan(&[("bad", wanted(facts(1))), ("good", wanted(facts(1)))]);
    world.run_failing(&mut init_fails("bad"));
    assert_eq!((world.state("bad"), world.state("good")), (State::Failed, State::Running));
    assert!(world.fleet.is_ready(), "a failed plugin has been dealt with");
    for second in 1..=5 {
        world.now = at(second);
        let effects = world.fleet.tick(world.now);
        world.take(effects);
        world.run_failing(&mut init_fails("bad"));
    }
    let inits = world.done.iter().filter(|(_, step)| matches!(step, Step::Init(_))).count();
    assert_eq!(inits, 1 + 1 + 5, "one for the good one, one try and five restarts");
    assert_eq!(world.failure("bad").0, FailureKind::RestartsExhausted);
    let restart = world.fleet.command(&name("bad"), Command::Restart, "test", world.now);
    world.take(restart.expect("accepted").1);
    world.run();
    assert_eq!(world.state("bad"), State::Running);
}

#[test]
fn a_failed_candidate_leaves_the_old_version_serving_until_the_link_changes() {
    let mut world = World::new();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    let old = world.serving("echo");
    world.scan(&[("echo", wanted(facts(2)))]);
    world.run_failing(&mut init_fails("echo"));
    assert_eq!((world.state("echo"), world.serving("echo")), (State::Running, old));
    assert_eq!(world.failure("echo").0, FailureKind::Init);
    world.now = at(3_600);
    let effects = world.fleet.tick(world.now);
    assert_eq!(effects, Vec::new(), "it is not tried again by itself");
    world.scan(&[("echo", wanted(facts(3)))]);
    world.run();
    assert_ne!(world.serving("echo"), old);
    assert!(world.fleet.track(&name("echo")).expect("known").failure.is_none());
}

#[test]
fn a_fleet_is_not_ready_while_a_library_is_still_being_written() {
    let mut world = World::new();
    let effects = world.fleet.scanned(Reading { unsettled: 1, ..Reading::default() }, world.now);
    world.take(effects);
    assert!(!world.fleet.is_ready());
    world.scan(&[("echo", wanted(facts(1)))]);
    assert!(!world.fleet.is_ready());
    world.run();
    assert!(world.fleet.is_ready());
}

#[test]
fn a_fleet_is_not_ready_while_a_plugin_waits_for_one_that_came_late() {
    let mut world = World::new();
    let needy = wanted(requires(facts(1), "needed", "*"));
    world.scan(&[("needy", needy.clone())]);
    world.run();
    assert!(world.fleet.is_ready(), "it has failed for lack of the other one");
    world.scan(&[("needy", needy), ("needed", wanted(facts(1)))]);
    while !world.fleet.is_ready() {
        assert!(world.step(&mut |_, _| None), "it comes to rest");
    }
    assert_eq!(world.state("needy"), State::Running);
}

#[test]
fn the_same_bytes_are_nothing_to_do() {
    let mut world = World::new();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    world.done.clear();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    assert_eq!(world.done, Vec::new());
}

#[test]
fn a_missing_requirement_is_named_and_its_arrival_starts_the_plugin() {
    let mut world = World::new();
    let needy = wanted(requires(facts(1), "redis-diagnostics", ">=2.0.0"));
    world.scan(&[("needy", needy.clone())]);
    world.run();
    assert_eq!(world.state("needy"), State::Failed);
    let (kind, reason) = world.failure("needy");
    assert_eq!(kind, FailureKind::Requires);
    assert!(reason.contains("redis-diagnostics") && reason.contains("activate"), "{reason}");

    world.scan(&[("needy", needy.clone()), ("redis-diagnostics", wanted(facts(1)))]);
    world.run();
    let (_, reason) = world.failure("needy");
    assert!(reason.contains("version 1.0.0 serves"), "{reason}");

    world.scan(&[("needy", needy), ("redis-diagnostics", wanted(facts(2)))]);
    world.run();
    assert_eq!(world.state("needy"), State::Running);
}

#[test]
fn a_ring_of_requirements_fails_its_members_and_names_them() {
    let mut world = World::new();
    world.scan(&[
        ("a", wanted(requires(facts(1), "b", "*"))),
        ("b", wanted(requires(facts(1), "a", "*"))),
        ("c", wanted(facts(1))),
    ]);
    world.run();
    let (kind, reason) = world.failure("a");
    assert_eq!(kind, FailureKind::Cycle);
    assert!(reason.contains("a -> b -> a"), "{reason}");
    assert_eq!((world.state("b"), world.state("c")), (State::Failed, State::Running));
}

#[test]
fn paused_stays_paused_across_versions() {
    let mut world = World::new();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    let paused = world.fleet.command(&name("echo"), Command::Pause, "test", world.now);
    world.take(paused.expect("accepted").1);
    world.run();
    assert_eq!(world.state("echo"), State::Paused);
    world.scan(&[("echo", wanted(facts(2)))]);
    world.run();
    assert_eq!(world.state("echo"), State::Paused);
    let resumed = world.fleet.command(&name("echo"), Command::Resume, "test", world.now);
    world.take(resumed.expect("accepted").1);
    world.run();
    assert_eq!(world.state("echo"), State::Running);
}

#[test]
fn commands_to_what_is_not_there_are_refused() {
    let mut world = World::new();
    let unknown = world.fleet.command(&name("nobody"), Command::Pause, "test", world.now);
    assert_eq!(unknown.expect_err("refused"), CommandError::Unknown);
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run_failing(&mut init_fails("echo"));
    let failed = world.fleet.command(&name("echo"), Command::Pause, "test", world.now);
    let state = State::Failed;
    assert_eq!(failed.expect_err("refused"), CommandError::WrongState { state });
}

#[test]
fn an_unhealthy_plugin_is_replaced_by_a_new_instance_and_serves_until_then() {
    let mut world = World::new();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    let old = world.serving("echo");
    let generation = Generation(old.expect("it serves"));
    for _ in 0..2 {
        let check = Check::Failed("no".into());
        let effects = world.fleet.checked(&name("echo"), generation, check, world.now, u64::MAX);
        world.take(effects);
    }
    assert_eq!(world.failure("echo").0, FailureKind::Health);
    assert_eq!(world.serving("echo"), old, "the old one serves during the backoff");
    world.run();
    world.now = at(1);
    let effects = world.fleet.tick(world.now);
    world.take(effects);
    world.run();
    assert!(world.serving("echo") > old);
    assert!(world.fleet.track(&name("echo")).expect("known").failure.is_none());
}

#[test]
fn a_report_about_an_old_generation_changes_nothing() {
    let mut world = World::new();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    let refusal = refusal(FailureKind::Stuck, Lasting::Passing);
    let effects = world.fleet.fault(&name("echo"), Generation(99), &refusal, world.now, 0);
    assert_eq!(effects, Vec::new());
    assert_eq!(world.state("echo"), State::Running);
}

#[test]
fn a_removed_link_ends_the_plugin_and_a_new_one_starts_it_again() {
    let mut world = World::new();
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    world.scan(&[]);
    world.run();
    assert_eq!(world.state("echo"), State::Stopped);
    assert!(world.done.iter().any(|(_, step)| *step == Step::Release));
    world.scan(&[("echo", wanted(facts(1)))]);
    world.run();
    assert_eq!(world.state("echo"), State::Running);
}

#[derive(Clone, Debug)]
enum Event {
    Scan(Vec<Option<u8>>),
    Perform { fails: bool },
    Fault(usize),
    Tick(u64),
    Command(usize, Command),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn arb_event() -> impl Strategy<Value = Event> {
    let command = prop_oneof![Just(Command::Pause), Just(Command::Resume), Just(Command::Restart)];
    prop_oneof![
        2 => proptest::collection::vec(proptest::option::of(1_u8..4), 4).prop_map(Event::Scan),
        12 => any::<bool>().prop_map(|fails| Event::Perform { fails }),
        1 => (0_usize..4).prop_map(Event::Fault),
        1 => (1_u64..40).prop_map(Event::Tick),
        1 => (0_usize..4, command).prop_map(|(who, what)| Event::Command(who, what)),
    ]
}

/// `b` requires `a`; `d` comes early.
fn intent(which: usize, library: u8) -> Intent {
    match which {
        1 => wanted(requires(facts(library), "a", ">=1.0.0")),
        3 => wanted(patchbay_lifecycle::Facts { priority: 10, ..facts(library) }),
        _ => wanted(facts(library)),
    }
}

fn play(world: &mut World, event: &Event, seconds: &mut u64) {
    match event {
        Event::Scan(links) => {
            let seen: Vec<(&str, Intent)> = NAMES
                .iter()
                .enumerate()
                .filter_map(|(i, text)| links[i].map(|library| (*text, intent(i, library))))
                .collect();
            world.scan(&seen);
        }
        Event::Perform { fails } => {
            world.step(&mut |_, step| {
                (*fails && step.may_fail()).then(|| refusal(FailureKind::Init, Lasting::Passing))
            });
        }
        Event::Fault(which) => {
            if let Some(generation) = world.serving(NAMES[*which]) {
                let refusal = refusal(FailureKind::Died, Lasting::Passing);
                let (name, generation) = (name(NAMES[*which]), Generation(generation));
                let effects = world.fleet.fault(&name, generation, &refusal, world.now, 7);
                world.take(effects);
            }
        }
        Event::Tick(more) => {
            *seconds += more;
            world.now = at(*seconds);
            let effects = world.fleet.tick(world.now);
            world.take(effects);
        }
        Event::Command(which, command) => {
            let given = world.fleet.command(&name(NAMES[*which]), *command, "test", world.now);
            if let Ok((_, effects)) = given {
                world.take(effects);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_fleet_comes_to_rest_where_the_links_say(
        events in proptest::collection::vec(arb_event(), 0..80)
    ) {
        let mut world = World::new();
        let mut seconds = 0;
        let mut newest = 0;
        for event in &events {
            play(&mut world, event, &mut seconds);
            for track in world.fleet.tracks() {
                for instance in track.observed.instances() {
                    newest = newest.max(instance.generation.0);
                }
            }
        }
        // An hour of peace: everything succeeds, every bar that may be lifted is.
        for _ in 0..10 {
            world.run();
            seconds += 3_600;
            world.now = at(seconds);
            let effects = world.fleet.tick(world.now);
            world.take(effects);
        }
        world.run();
        prop_assert!(world.fleet.is_ready() || world.fleet.tracks().next().is_none());
        for track in world.fleet.tracks() {
            let settled = track.observed.candidate.is_none() && track.observed.leaving.is_empty();
            prop_assert!(settled, "{track:?}");
            match (&track.intent, &track.failure) {
                (Intent::Absent, _) => prop_assert_eq!(track.state, State::Stopped),
                (_, None) => prop_assert!(track.state.serves(), "{:?}", track),
                (_, Some(failure)) => prop_assert!(
                    track.state.serves() || track.state == State::Failed,
                    "{:?} {:?}", track.state, failure
                ),
            }
        }
        // A restart heals everything that no requirement forbids.
        for text in NAMES {
            if let Ok((_, effects)) =
                world.fleet.command(&name(text), Command::Restart, "test", world.now)
            {
                world.take(effects);
                world.run();
            }
        }
        for track in world.fleet.tracks() {
            let kind = track.failure.as_ref().map(|failure| failure.kind);
            prop_assert!(matches!(kind, None | Some(FailureKind::Requires)), "{track:?}");
        }
        let effects = world.fleet.close(world.now);
        world.take(effects);
        world.run();
        prop_assert!(world.fleet.is_closed());
    }

    #[test]
    fn a_required_plugin_serves_when_the_one_that_requires_it_is_opened(
        events in proptest::collection::vec(arb_event(), 0..80)
    ) {
        let mut world = World::new();
        let mut seconds = 0;
        for event in &events {
            let before: Vec<PluginName> = world.plans.keys().cloned().collect();
            play(&mut world, event, &mut seconds);
            let given = world.plans.get(&name("b")).filter(|_| !before.contains(&name("b")));
            if given.is_some_and(|plan| plan.steps.iter().any(|it| matches!(it, Step::Open { .. })))
            {
                prop_assert!(world.serving("a").is_some(), "b was started without a");
            }
        }
    }
}
