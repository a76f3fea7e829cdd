//! Which libraries are mapped, and why.

use std::sync::Arc;

use patchbay_lifecycle::{Generation, PluginName, State, Track};

use crate::{
    context::Context, incarnation::Incarnation, moment, snapshot::Snapshot, station::Station,
    view::GenerationView, watch::prepared::chain,
};

/// Every generation whose library is still mapped, newest first.
pub(crate) fn generations(context: &Context, snapshot: &Snapshot) -> Vec<GenerationView> {
    let mut views = quarantined(context, None);
    for station in context.stations() {
        let track = snapshot.tracks.get(station.name()).map(Arc::as_ref);
        views.extend(of_station(&station, track));
    }
    views.sort_by_key(|view| std::cmp::Reverse(view.generation));
    views
}

/// The same of one plugin.
pub(super) fn of_plugin(
    context: &Context,
    station: &Station,
    track: &Track,
) -> Vec<GenerationView> {
    let mut views = of_station(station, Some(track));
    views.extend(quarantined(context, Some(&track.name)));
    views.sort_by_key(|view| std::cmp::Reverse(view.generation));
    views
}

fn of_station(station: &Station, track: Option<&Track>) -> Vec<GenerationView> {
    let view = |it: Arc<Incarnation>| {
        let generation = it.generation();
        let state = track.and_then(|track| state_of(track, generation)).unwrap_or(State::Loaded);
        let (share, in_flight) = (station.share_of(generation), station.held_by(generation));
        GenerationView {
            plugin: station.name().to_string(),
            generation: generation.0,
            state: state.to_string(),
            serving: state.serves(),
            share,
            in_flight,
            version: it.prepared.facts.version.to_string(),
            digest: it.prepared.facts.library.to_string(),
            loaded_at: moment::text(it.loaded_unix_ns),
            quarantine: None,
            mapped_because: because(station, generation, (state, share, in_flight)),
        }
    };
    station.incarnations().into_iter().map(view).collect()
}

fn state_of(track: &Track, generation: Generation) -> Option<State> {
    let mut all = track.observed.instances();
    all.find(|it| it.generation == generation).map(|it| it.state)
}

/// Why a generation that does not serve is mapped all the same.
fn because(
    station: &Station,
    generation: Generation,
    (state, share, in_flight): (State, u8, u64),
) -> Option<String> {
    if state.serves() {
        return None;
    }
    let transition = station.transition().filter(|_| station.is_in_transition());
    let part = transition.filter(|report| report.generations.contains(&generation));
    let reason = match (part, state) {
        (Some(report), State::Draining) if report.phase == "baking" => format!(
            "transition {} may still be rolled back to it: the new version bakes",
            report.spec.id
        ),
        (Some(report), _) if share > 0 => {
            format!("it is on trial with {share} % in transition {}", report.spec.id)
        }
        (_, State::Draining) if in_flight > 0 => format!("it finishes {in_flight} calls"),
        (Some(report), _) => format!("transition {} is {}", report.spec.id, report.phase),
        (None, State::Draining) => "it takes leave of what it had subscribed".to_owned(),
        (None, State::Stopped) => "its threads are joined, then it is unmapped".to_owned(),
        (None, _) => "it is about to serve".to_owned(),
    };
    Some(reason)
}

fn quarantined(context: &Context, of: Option<&PluginName>) -> Vec<GenerationView> {
    let all = context.loader.quarantined().into_iter();
    let wanted = all.filter(|it| of.is_none_or(|name| it.name == name.as_str()));
    let view = |it: patchbay_loader::QuarantineView| {
        let reason = chain(&it.reason);
        GenerationView {
            plugin: it.name,
            generation: it.generation,
            state: State::Quarantined.to_string(),
            serving: false,
            share: 0,
            in_flight: 0,
            version: it.version,
            digest: it.digest.to_string(),
            loaded_at: String::new(),
            mapped_because: Some(format!("it could not be unmapped: {reason}")),
            quarantine: Some(reason),
        }
    };
    wanted.map(view).collect()
}
