//! How the host before this one died, and the record that tells the next how this one does (P-15).
//!
//! What is read is the record's matter, who is accused that of `lifecycle`, and what follows from it
//! for messages the bus's. Here it is put together, and said.

use std::{collections::HashSet, path::Path, sync::Arc};

use patchbay_bus::{Accused, Death};
use patchbay_interpose::crash::{
    Call,
    found::{self, Found, Stamp},
    record::{CrashRecord, Named},
};
use patchbay_journal::{Journal, Target};
use patchbay_lifecycle::{
    Digest, Generation, PluginName,
    blame::{Blame, Fault, Scene, UnderWay, blame},
    transition::{HostEnd, TransitionSpec},
};
use uuid::Uuid;

use crate::view::DeathView;

/// What is known of the end of the host before.
#[derive(Debug, Default)]
pub(crate) struct Inquest {
    /// For the bus.
    pub(crate) death: Death,
    /// Whose code was at fault, if it was a plugin's.
    pub(crate) culprit: Option<Culprit>,
    /// For people.
    pub(crate) view: Option<DeathView>,
}

/// A version whose code ended a host.
#[derive(Clone, Debug)]
pub(crate) struct Culprit {
    plugin: String,
    library: Digest,
    config: Digest,
}

// === impl Culprit ===

impl Culprit {
    fn of(named: &Named) -> Culprit {
        Culprit {
            plugin: named.plugin.clone(),
            library: Digest(named.library),
            config: Digest(named.config),
        }
    }

    /// The plugin that it is a version of.
    pub(crate) fn plugin(&self) -> Option<PluginName> {
        PluginName::parse(&self.plugin).ok()
    }

    /// Whether it is what a transition leads to.
    pub(crate) fn is_candidate(&self, plugin: &PluginName, spec: &TransitionSpec) -> bool {
        self.plugin == plugin.as_str()
            && (self.library, self.config) == (spec.to.library, spec.to.config)
    }
}

/// Reads the record of the host before, once, and has it judged. `is_given_up` tells which version
/// was on trial and is not served again because of this death.
pub(crate) fn inquire(
    path: &Path,
    journal: &Journal,
    is_given_up: impl FnOnce(&Culprit, HostEnd) -> bool,
) -> Inquest {
    let found = match found::take(path, journal.id()) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the crash record names nobody");
            None
        }
    };
    let Some(found) = found else { return Inquest::default() };
    if let Some(doubt) = found.doubt {
        tracing::warn!(%doubt, "the stamp of the crash record names nobody");
    }
    let inquest = judge(&found, journal, is_given_up);
    if let Some(view) = &inquest.view {
        let DeathView { cause, plugin, version, generation, message: mid, suspects, .. } = view;
        let (plugin, version) = (plugin.as_deref(), version.as_deref());
        let mid = mid.as_deref();
        tracing::warn!(
            cause,
            plugin,
            version,
            generation,
            mid,
            suspects,
            "the host before this one died"
        );
    }
    inquest
}

/// Begins the record of this host. Without one it runs as well: then nothing will be known of its
/// death.
pub(crate) fn begin(path: &Path, journal: &Journal) -> Option<Arc<CrashRecord>> {
    let begun = CrashRecord::begin(path, journal.id());
    if let Err(error) = &begun {
        tracing::warn!(%error, path = %path.display(), "there will be no crash record");
    }
    begun.ok()
}

fn judge(
    found: &Found,
    journal: &Journal,
    is_given_up: impl FnOnce(&Culprit, HostEnd) -> bool,
) -> Inquest {
    let blame = blame(&scene(found));
    let stamp = found.stamp;
    let at_fault = stamp.and_then(|stamp| stamp.generation);
    let named = |generation| found.generations.iter().find(|it| it.generation == generation);
    let culprit = at_fault.and_then(named);
    let death = match &blame {
        Blame::Anybody => Death::Silent,
        Blame::These { deliveries, others } => {
            let calls: HashSet<Target> =
                deliveries.iter().map(|&(sub, id)| Target { sub, id }).collect();
            let end = HostEnd::Died { names_candidate: at_fault.is_some() };
            // Without a stamp, the only call that was under way.
            let one = calls.iter().next().filter(|_| blame.is_clear());
            let whose = at_fault.or_else(|| holder(found, *one?)).and_then(named);
            Death::Accused(Accused {
                others: *others,
                how: how(stamp, culprit),
                is_on_trial: one.and(whose).is_some_and(|it| is_given_up(&Culprit::of(it), end)),
                whose: whose.map(|it| (it.generation, it.version.clone())).unwrap_or_default(),
                calls,
            })
        }
    };
    let (message, suspects) = match &death {
        Death::Accused(accused) => {
            let is_charged = blame.is_clear() && !accused.is_on_trial;
            let one = accused.calls.iter().next().filter(|_| is_charged);
            let stored = one.and_then(|target| journal.read_delivery(*target).ok());
            let mid = stored.map(|stored| Uuid::from_u128(stored.publish().mid).to_string());
            (mid, Some(accused.calls.len() as u64))
        }
        Death::Silent => (None, None),
    };
    let view = DeathView {
        cause: stamp.map(cause),
        plugin: culprit.map(|it| it.plugin.clone()),
        version: culprit.map(|it| it.version.clone()),
        generation: at_fault,
        lane: stamp.and_then(|stamp| stamp.lane),
        message,
        suspects,
    };
    Inquest { death, culprit: culprit.map(Culprit::of), view: Some(view) }
}

/// The generation that had the call of a delivery.
fn holder(found: &Found, target: Target) -> Option<u64> {
    let is_its = |call: Call| {
        call.is_durable && (call.subscription, call.delivery) == (target.sub, target.id)
    };
    found.under_way.iter().find(|it| is_its(it.call)).map(|it| it.generation)
}

fn scene(found: &Found) -> Scene {
    let delivery = |call: Call| {
        let id = (call.subscription, call.delivery);
        call.is_durable.then_some(id)
    };
    let under_way = found
        .under_way
        .iter()
        .map(|it| UnderWay { generation: Generation(it.generation), delivery: delivery(it.call) });
    let untold = found.incomplete.iter().map(|it| (*it != 0).then_some(Generation(*it)));
    let fault = found.stamp.map(|stamp| {
        // A thread of another host in this process is nobody's here.
        let is_known = |it: &u64| found.generations.iter().any(|named| named.generation == *it);
        let generation = stamp.generation.filter(is_known).map(Generation);
        let is_call = stamp.call.is_some() || stamp.is_control;
        let call = is_call.then(|| UnderWay {
            generation: generation.unwrap_or_default(),
            delivery: stamp.call.and_then(delivery),
        });
        Fault { generation, call }
    });
    Scene { under_way: under_way.collect(), untold: untold.collect(), fault }
}

/// How a process died, for the history of the message that is charged with it.
fn how(stamp: Option<Stamp>, culprit: Option<&Named>) -> String {
    let Some(stamp) = stamp else {
        return "the process died while this was the only call under way".to_owned();
    };
    let version = culprit.map_or_else(String::new, |it| format!(" of version {}", it.version));
    let cause = cause(stamp);
    match (stamp.call, stamp.generation) {
        (Some(_), _) => format!("the process died by {cause} in this call{version}"),
        (None, Some(_)) => format!(
            "the process died by {cause} on a thread{version}, while this was its only call under way"
        ),
        (None, None) => format!(
            "the process died by {cause} on a thread of the host, while this was the only call under way"
        ),
    }
}

/// The word for what ended a process.
fn cause(stamp: Stamp) -> String {
    stamp.signal.map_or_else(|| "exit()".to_owned(), found::signal_name)
}
