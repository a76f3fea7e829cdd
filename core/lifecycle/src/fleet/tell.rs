//! What the world is told about one plugin.

use crate::{Cause, Change, Effect, Generation, Now, Observed, State, Track};

/// Tells which generations changed their state.
pub(super) fn changes(track: &Track, before: &Observed, now: Now, effects: &mut Vec<Effect>) {
    let state_in = |observed: &Observed, generation: Generation| {
        observed.instances().find(|it| it.generation == generation).map(|it| it.state)
    };
    let mut told = |generation: Generation, from: Option<State>, to: State| {
        effects.push(Effect::Changed(Change {
            plugin: track.name.clone(),
            generation: Some(generation),
            from,
            to,
            cause: track.cause.clone(),
            at_unix_ns: now.unix_ns,
        }));
    };
    for instance in track.observed.instances() {
        let from = state_in(before, instance.generation);
        if from != Some(instance.state) {
            told(instance.generation, from, instance.state);
        }
    }
    for instance in before.instances() {
        if state_in(&track.observed, instance.generation).is_none() {
            told(instance.generation, Some(instance.state), State::Retired);
        }
    }
}

/// Tells whose health is to be checked from now on.
pub(super) fn watch(track: &Track, before: &Observed, effects: &mut Vec<Effect>) {
    let serving = |observed: &Observed| observed.serving.map(|serving| serving.generation);
    if serving(before) == serving(&track.observed) {
        return;
    }
    match (track.observed.serving, &track.serving_facts) {
        (Some(serving), Some(facts)) => effects.push(Effect::WatchHealth {
            name: track.name.clone(),
            generation: serving.generation,
            rule: facts.health,
        }),
        _ => effects.push(Effect::ForgetHealth { name: track.name.clone() }),
    }
}

/// Tells whether the plugin as a whole changed its state.
pub(super) fn show(track: &mut Track, now: Now, effects: &mut Vec<Effect>) {
    let state = track.derive_state();
    if state == track.state {
        return;
    }
    let from = std::mem::replace(&mut track.state, state);
    track.since_unix_ns = now.unix_ns;
    let cause = match (&track.failure, state) {
        (Some(failure), State::Failed) => Cause::new("supervisor", failure.reason.clone()),
        _ => track.cause.clone(),
    };
    track.cause = cause.clone();
    effects.push(Effect::Changed(Change {
        plugin: track.name.clone(),
        generation: None,
        from: Some(from),
        to: state,
        cause,
        at_unix_ns: now.unix_ns,
    }));
}
