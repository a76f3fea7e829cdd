//! What other plugins mean for the start of one: requirements, and the start order.

use std::collections::BTreeMap;

use semver::Version;

use crate::{FailureKind, Fleet, Intent, Node, Now, PluginName, Track};

/// What other plugins mean for the start of one.
pub(super) enum Gate {
    Open,
    /// Not yet: somebody who comes first is on the way.
    Wait,
    Shut(FailureKind, String),
}

/// How a plugin that others wait for stands.
enum Standing<'a> {
    Serves(&'a Version),
    OnTheWay,
    Down(String),
}

// === impl Fleet ===

impl Fleet {
    /// Sets and clears the failures that follow from other plugins. Returns whether any changed.
    pub(super) fn derive_failures(&mut self, now: Now) -> bool {
        if self.is_closing() {
            return false;
        }
        let derived: Vec<_> = self
            .tracks
            .values()
            .filter(|track| !track.busy && track.intent.facts().is_some())
            .map(|track| {
                let shut = match self.gate(track) {
                    Gate::Shut(kind, reason) if !track.serves_what_is_wanted() => {
                        Some((kind, reason))
                    }
                    _ => None,
                };
                (track.name.clone(), shut)
            })
            .collect();
        let mut changed = false;
        for (name, shut) in derived {
            if let Some(track) = self.tracks.get_mut(&name) {
                let own = track.failure.as_ref().is_some_and(|it| it.bars.is_some());
                if !own {
                    changed |= track.derive_failure(shut, now);
                }
            }
        }
        changed
    }

    /// Whether a plugin may start.
    pub(super) fn gate(&self, track: &Track) -> Gate {
        if let Some(ring) = self.order.ring(&track.name) {
            let ring: Vec<&str> = ring.iter().map(PluginName::as_str).collect();
            let reason = format!(
                "the requirements go round: {}; remove one of them from a manifest",
                ring.join(" -> ")
            );
            return Gate::Shut(FailureKind::Cycle, reason);
        }
        let requires = track.intent.facts().map(|facts| facts.requires.as_slice());
        for requirement in requires.unwrap_or_default() {
            let wanted = format!("`{} {}`", requirement.name, requirement.versions);
            let Some(other) = self.tracks.get(&requirement.name) else {
                return missing(&wanted, "which is not enabled; activate it");
            };
            match self.standing(other) {
                Standing::Serves(version) if requirement.versions.matches(version) => {}
                Standing::Serves(version) => {
                    let why = format!("but version {version} serves; activate a matching version");
                    return missing(&wanted, &why);
                }
                Standing::OnTheWay => return Gate::Wait,
                Standing::Down(why) => return missing(&wanted, &why),
            }
        }
        let first = track.observed.serving.is_none();
        let before = self.order.before(&track.name).filter_map(|name| self.tracks.get(name));
        if first && before.into_iter().any(|it| matches!(self.standing(it), Standing::OnTheWay)) {
            return Gate::Wait;
        }
        Gate::Open
    }

    fn standing<'a>(&self, track: &'a Track) -> Standing<'a> {
        match (&track.observed.serving, &track.serving_facts, &track.failure) {
            (Some(_), Some(facts), _) => Standing::Serves(&facts.version),
            _ if matches!(track.intent, Intent::Absent) => {
                Standing::Down("which is not enabled; activate it".to_owned())
            }
            (_, _, Some(failure)) if !track.busy => {
                Standing::Down(format!("which failed: {}", failure.reason))
            }
            _ => Standing::OnTheWay,
        }
    }

    /// What the order is worked out from.
    pub(super) fn nodes(&self) -> BTreeMap<PluginName, Node> {
        let node = |track: &Track| {
            let facts = track.intent.facts().or(track.serving_facts.as_ref())?;
            let requires = facts.requires.iter().map(|it| it.name.clone()).collect();
            Some((track.name.clone(), Node { priority: facts.priority, requires }))
        };
        self.tracks.values().filter_map(node).collect()
    }
}

fn missing(wanted: &str, why: &str) -> Gate {
    Gate::Shut(FailureKind::Requires, format!("requires {wanted}, {why}"))
}
