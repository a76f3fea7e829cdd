//! From what somebody wants to a transition that may start, or to the reason why not.

use std::time::Duration;

use patchbay_lifecycle::{
    FailureKind, Identity, Lasting, Refusal,
    transition::{
        BlueGreen, Gradual, OnTimeout, Refused, Request, Strategy, Terms, TransitionSpec,
        VersionFacts,
    },
};
use patchbay_manifest::{OnDrainTimeout, StateManifest, TransitionStrategy};
use serde::{Deserialize, Serialize};

use super::{conductor::Shift, probes, probes::Probe};
use crate::{
    context::Context,
    executor::{Executor, refused},
    settings::PluginSettings,
    station::Station,
    watch::prepared::Prepared,
};

/// A wish for a transition, as an operator states it. What is absent is taken from the manifest of
/// the new version, or is usual.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransitionRequest {
    /// The library: a file below the libraries, or a version number that one of them has. Empty:
    /// the one that serves, with other settings.
    pub to: String,
    /// Settings to run it with from now on, on top of those that the host was started with, in
    /// place of those that were given before.
    pub settings: Option<PluginSettings>,
    /// `immediate`, `graceful`, `gradual` or `blue-green`.
    pub strategy: Option<String>,
    /// Shares of a gradual transition, in percent.
    pub steps: Option<Vec<u8>>,
    /// The share at which it stays until it is resumed.
    pub hold: Option<u8>,
    /// Least samples per step.
    pub min_samples: Option<u64>,
    /// Least time per step, milliseconds.
    pub min_time_ms: Option<u64>,
    /// How long the old version may finish what it holds, milliseconds.
    pub drain_deadline_ms: Option<u64>,
    /// When that is not enough: `abort` or `force`.
    pub on_timeout: Option<String>,
    /// How long the old version stays ready afterwards, milliseconds.
    pub bake_ms: Option<u64>,
    /// How long the trial may take, milliseconds.
    pub deadline_ms: Option<u64>,
    /// Whether copies of messages are run through the candidate (blue-green).
    pub mirror: Option<bool>,
    /// Least share of equal outputs, 0 to 1.
    pub match_threshold: Option<f64>,
    /// Probes beside those of the manifest (blue-green).
    pub probes: Vec<Probe>,
    /// Percentage of the plugin's dead letters that must pass.
    pub require_dlq_pass: Option<f64>,
    /// Whether what is only unwise is done all the same.
    pub force: bool,
    /// The same key means the same transition.
    pub idempotency_key: Option<String>,
    /// Why.
    pub why: Option<String>,
}

/// A request that waits for its library to be seen through the link.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) request: TransitionRequest,
    pub(crate) who: String,
    /// Whether nobody asked for it but the link.
    pub(crate) by_link: bool,
}

// === impl TransitionRequest ===

impl TransitionRequest {
    fn strategy(&self, to: &Prepared) -> Result<Strategy, String> {
        let said = to.manifest.transition.as_ref();
        let declared = match said.map(|it| it.strategy) {
            None | Some(TransitionStrategy::Graceful) => "graceful",
            Some(TransitionStrategy::Immediate) => "immediate",
            Some(TransitionStrategy::Gradual) => "gradual",
            Some(TransitionStrategy::BlueGreen) => "blue-green",
        };
        match self.strategy.as_deref().unwrap_or(declared) {
            "immediate" => Ok(Strategy::Immediate),
            "graceful" => Ok(Strategy::Graceful),
            "gradual" | "canary" => {
                let usual = Gradual::default();
                let said = said.and_then(|it| it.steps.clone());
                let steps = self.steps.clone().or(said).unwrap_or(usual.steps);
                Ok(Strategy::Gradual(Gradual { steps, hold: self.hold }))
            }
            "blue-green" => Ok(Strategy::BlueGreen(BlueGreen {
                probes: self.probes_of(to),
                mirror: self.mirror.unwrap_or(to.manifest.mirror_safe),
            })),
            other => Err(format!(
                "`{other}` is no strategy; choose immediate, graceful, gradual or blue-green"
            )),
        }
    }

    fn probes_of(&self, to: &Prepared) -> u32 {
        let count = probes::of(&to.manifest).len() + self.probes.len();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The request's bounds, else those of the new version's manifest, else the usual ones.
    fn terms(
        &self,
        context: &Context,
        from: &Prepared,
        to: &Prepared,
        strategy: &Strategy,
        by_link: bool,
    ) -> Result<Terms, String> {
        let mut terms = Terms::of(strategy);
        let time = |to: &mut Duration, ms: Option<u64>| {
            if let Some(ms) = ms {
                *to = Duration::from_millis(ms);
            }
        };
        let own = from.manifest.worker_pool.shutdown_timeout;
        terms.drain_deadline = own.min(context.settings.limits.drain_timeout);
        if by_link {
            // Nobody is there to decide: what the link says comes about.
            terms.on_timeout = OnTimeout::Force;
        }
        if let Some(said) = &to.manifest.transition {
            let take = |to: &mut Duration, said: Option<Duration>| *to = said.unwrap_or(*to);
            take(&mut terms.drain_deadline, said.drain_deadline);
            take(&mut terms.min_time, said.min_time);
            take(&mut terms.deadline, said.deadline);
            take(&mut terms.bake, said.bake);
            terms.min_samples = said.min_samples.map_or(terms.min_samples, u64::from);
            terms.on_timeout = match said.on_drain_timeout {
                None => terms.on_timeout,
                Some(OnDrainTimeout::Abort) => OnTimeout::Abort,
                Some(OnDrainTimeout::Force) => OnTimeout::Force,
            };
        }
        time(&mut terms.bake, self.bake_ms);
        time(&mut terms.drain_deadline, self.drain_deadline_ms);
        time(&mut terms.min_time, self.min_time_ms);
        time(&mut terms.deadline, self.deadline_ms);
        if let Some(word) = &self.on_timeout {
            terms.on_timeout = match word.as_str() {
                "abort" => OnTimeout::Abort,
                "force" => OnTimeout::Force,
                other => return Err(format!("`{other}` is neither `abort` nor `force`")),
            };
        }
        terms.min_samples = self.min_samples.unwrap_or(terms.min_samples);
        terms.rule.match_threshold = self.match_threshold.unwrap_or(terms.rule.match_threshold);
        terms.require_dlq_pass = self.require_dlq_pass;
        Ok(terms)
    }
}

// === impl Pending ===

impl Pending {
    fn by_link(context: &Context) -> Pending {
        Pending {
            id: context.transition_id(),
            request: TransitionRequest { force: true, ..TransitionRequest::default() },
            who: "watcher".to_owned(),
            by_link: true,
        }
    }

    /// Judges the wish.
    pub(crate) fn judge(
        &self,
        context: &Context,
        station: &Station,
        from: &Prepared,
        to: &Prepared,
    ) -> Result<TransitionSpec, Refused> {
        let wrong = |reason: String| Refused {
            kind: patchbay_lifecycle::transition::RefusalKind::Number,
            reason,
            remedy: "correct the request".to_owned(),
        };
        let strategy = self.request.strategy(to).map_err(wrong)?;
        let terms =
            self.request.terms(context, from, to, &strategy, self.by_link).map_err(wrong)?;
        let request = Request {
            id: self.id.clone(),
            plugin: station.name().clone(),
            strategy,
            terms,
            force: self.request.force,
            idempotency_key: self.request.idempotency_key.clone(),
            who: self.who.clone(),
            why: self.request.why.clone().unwrap_or_default(),
            at_unix_ns: context.clock.unix_ns(),
        };
        let mut candidate = facts(to, Vec::new());
        candidate.probes = self.request.probes_of(to);
        request.admit(&facts(from, station.backlogs()), &candidate)
    }
}

/// What is known of a version without running any of its code.
fn facts(prepared: &Prepared, backlogs: Vec<(String, u64)>) -> VersionFacts {
    let manifest = &prepared.manifest;
    let declared = manifest.subscriptions.iter().map(|it| it.topic.to_string());
    let waiting = |pattern: &String| {
        backlogs.iter().find(|(own, _)| own == pattern).map_or(0, |(_, waiting)| *waiting)
    };
    let schema = manifest.transition.as_ref().and_then(|it| it.state_schema.clone());
    VersionFacts {
        version: manifest.version.clone(),
        library: prepared.facts.library,
        config: prepared.facts.config,
        permissions: manifest.permissions.clone(),
        subscriptions: declared.map(|it| (it.clone(), waiting(&it))).collect(),
        mirror_safe: manifest.mirror_safe,
        probes: u32::try_from(probes::of(manifest).len()).unwrap_or(u32::MAX),
        state_schema: schema.filter(|_| manifest.state == Some(StateManifest::Export)),
        forward_only: manifest.state == Some(StateManifest::ForwardOnly),
    }
}

/// A transition that may start, and what its request brought with it.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) spec: TransitionSpec,
    pub(super) probes: Vec<Probe>,
}

/// The transition that a plan asks for, if it may start.
pub(super) fn admit(executor: &Executor, shift: Shift) -> Result<Admitted, Refusal> {
    let (context, station) = (executor.context(), executor.station());
    let gone = || {
        let reason = "the library that the link named is not there any more".to_owned();
        refused(FailureKind::Load, Lasting::Passing, reason)
    };
    let to = station.prepared(&shift.new.1).ok_or_else(gone)?;
    let old = station.incarnation(shift.old.0).ok_or_else(gone)?;
    let pending = station.request(&shift.new.1).unwrap_or_else(|| Pending::by_link(context));
    let spec = pending.judge(context, station, &old.prepared, &to).map_err(|refusal| {
        refused(FailureKind::Transition, Lasting::Permanent, refusal.to_string())
    })?;
    Ok(Admitted { spec, probes: pending.request.probes })
}

/// Whether two libraries are one.
pub(crate) fn is(prepared: &Prepared, identity: &Identity) -> bool {
    (prepared.facts.library, prepared.facts.config) == (identity.library, identity.config)
}
