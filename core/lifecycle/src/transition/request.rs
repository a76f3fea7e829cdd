//! What is asked for, and what is refused before anything starts: each with reason and remedy.

use std::time::Duration;

use patchbay_manifest::Permissions;
use semver::Version as Semver;
use serde::{Deserialize, Serialize};

use super::strategy::{Gradual, OnTimeout, Strategy, Terms};
use crate::{Digest, Identity, PluginName};

/// Most steps of a gradual transition.
pub const STEPS_MAX: usize = 100;
/// Longest length of time that a transition may be given for anything.
pub const TIME_MAX: Duration = Duration::from_secs(30 * 86_400);

/// One end of a transition: bytes and configuration (P-22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Version in the manifest.
    pub version: String,
    /// The library's bytes.
    pub library: Digest,
    /// The configuration and settings that it gets.
    pub config: Digest,
}

/// What is known of a version before any code of it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionFacts {
    /// Version in the manifest.
    pub version: Semver,
    /// The library's bytes.
    pub library: Digest,
    /// The configuration and settings that it gets.
    pub config: Digest,
    /// Where it may publish and subscribe.
    pub permissions: Permissions,
    /// Its subscriptions, by pattern; with what waits in them where it serves.
    pub subscriptions: Vec<(String, u64)>,
    /// Whether copies of messages may be run through it.
    pub mirror_safe: bool,
    /// Probes that are declared.
    pub probes: u32,
    /// Format of the state that it exports and imports, if it does.
    pub state_schema: Option<String>,
    /// Whether it changes the state in a way that an older version cannot read.
    pub forward_only: bool,
}

/// What becomes of the plugin's own state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateRule {
    /// The new version starts clean.
    #[default]
    Clean,
    /// The old one exports it after the cutover, the new one imports it before messages flow.
    HandOver,
    /// There is no way back after the cutover.
    ForwardOnly,
}

/// A request for a transition.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Identifier of the transition: unique, made by the host.
    pub id: String,
    /// Whose.
    pub plugin: PluginName,
    /// How.
    pub strategy: Strategy,
    /// In which bounds.
    pub terms: Terms,
    /// Whether what is only unwise is done all the same. Pointing a link somewhere counts as force.
    pub force: bool,
    /// The same key means the same transition.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub who: String,
    /// Why.
    pub why: String,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// A transition that may start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionSpec {
    /// Its identifier.
    pub id: String,
    /// Whose.
    pub plugin: String,
    /// What serves.
    pub from: Version,
    /// What is to serve.
    pub to: Version,
    /// How.
    pub strategy: Strategy,
    /// In which bounds.
    pub terms: Terms,
    /// What becomes of the plugin's state.
    pub state: StateRule,
    /// The same key means the same transition.
    pub idempotency_key: Option<String>,
    /// Who asked.
    pub who: String,
    /// Why.
    pub why: String,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// Why a transition was refused before anything started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {remedy}")]
pub struct Refused {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// What is wrong, and where.
    pub reason: String,
    /// What to try.
    pub remedy: String,
}

/// What kind of reason: a stable word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// No library has that version, or there is no such file.
    UnknownVersion,
    /// The library does not fit the contract, or its configuration does not fit.
    Contract,
    /// The library is not below the folder of libraries.
    Outside,
    /// Nothing serves that could be replaced.
    NothingServes,
    /// That version serves already, with that configuration.
    AlreadyServing,
    /// The same version number with other bytes.
    SameVersionOtherBytes,
    /// The candidate asks for more than the serving version has.
    MorePermissions,
    /// The candidate does not listen to something for which messages wait.
    DropsSubscription,
    /// Both versions export and import their state, and the candidate cannot read the other's.
    StateSchema,
    /// Another transition of the plugin runs.
    Running,
    /// Copies of messages must not be run through the candidate.
    NotMirrorSafe,
    /// Blue-green without probes and without mirror.
    NothingToVerify,
    /// A share outside of 1 to 100, or a hold at a share that is no step.
    Share,
    /// Steps that do not rise.
    Steps,
    /// A length of time that is zero or absurd.
    Deadline,
    /// Another number that makes no sense.
    Number,
}

// === impl Version ===

impl Version {
    /// The version that a generation was made from.
    #[must_use]
    pub fn is(&self, identity: &Identity) -> bool {
        (self.library, self.config) == (identity.library, identity.config)
    }
}

// === impl VersionFacts ===

impl VersionFacts {
    /// Its identity.
    #[must_use]
    pub fn version(&self) -> Version {
        Version { version: self.version.to_string(), library: self.library, config: self.config }
    }
}

// === impl Request ===

impl Request {
    /// Another transition of the plugin runs, or ran under the same key. The identifier of that one
    /// when the request is a repetition.
    ///
    /// # Errors
    /// [`RefusalKind::Running`] when it is not.
    pub fn beside(&self, other: &TransitionSpec) -> Result<String, Refused> {
        if self.idempotency_key.is_some() && self.idempotency_key == other.idempotency_key {
            return Ok(other.id.clone());
        }
        Err(refused(
            RefusalKind::Running,
            format!("transition `{}` of `{}` runs", other.id, other.plugin),
            "wait for its end, or abort it",
        ))
    }

    /// Decides whether the transition may start. `serving` and `candidate` are what is known of
    /// the two versions without running any code.
    ///
    /// # Errors
    /// The first reason not to, in the order in which a person would look.
    pub fn admit(
        self,
        serving: &VersionFacts,
        candidate: &VersionFacts,
    ) -> Result<TransitionSpec, Refused> {
        identity(serving, candidate, self.force)?;
        if !self.force {
            permissions(serving, candidate)?;
            subscriptions(serving, candidate)?;
            schemas(serving, candidate)?;
        }
        let strategy = match self.strategy {
            Strategy::Gradual(gradual) => Strategy::Gradual(steps(gradual)?),
            Strategy::BlueGreen(plan) => {
                verification(plan.mirror, plan.probes, candidate)?;
                Strategy::BlueGreen(plan)
            }
            other => other,
        };
        let mut terms = self.terms;
        numbers(&strategy, &terms)?;
        let state = state(serving, candidate);
        if state == StateRule::ForwardOnly {
            // There is no way back, so what the old version still runs is taken away from it.
            terms.on_timeout = OnTimeout::Force;
        }
        Ok(TransitionSpec {
            id: self.id,
            plugin: self.plugin.to_string(),
            from: serving.version(),
            to: candidate.version(),
            strategy,
            terms,
            state,
            idempotency_key: self.idempotency_key,
            who: self.who,
            why: self.why,
            at_unix_ns: self.at_unix_ns,
        })
    }
}

fn identity(serving: &VersionFacts, candidate: &VersionFacts, force: bool) -> Result<(), Refused> {
    let version = &candidate.version;
    if (serving.library, serving.config) == (candidate.library, candidate.config) {
        return Err(refused(
            RefusalKind::AlreadyServing,
            format!("version {version} ({}) serves already", candidate.library.short()),
            "name another version, or `plugin restart` for a new instance of this one",
        ));
    }
    if !force && serving.version == *version && serving.library != candidate.library {
        return Err(refused(
            RefusalKind::SameVersionOtherBytes,
            format!(
                "version {version} serves with the bytes {} and not {}",
                serving.library.short(),
                candidate.library.short()
            ),
            "raise the version in the manifest, or force it",
        ));
    }
    Ok(())
}

fn permissions(serving: &VersionFacts, candidate: &VersionFacts) -> Result<(), Refused> {
    let ends = [
        ("publish", &serving.permissions.publish, &candidate.permissions.publish),
        ("subscribe", &serving.permissions.subscribe, &candidate.permissions.subscribe),
    ];
    for (verb, had, asks) in ends {
        let Some(had) = had else { continue };
        let more = match asks {
            None => Some("everything".to_owned()),
            Some(asks) => asks
                .iter()
                .find(|wanted| !had.iter().any(|pattern| pattern.covers(wanted)))
                .map(|wanted| format!("`{wanted}`")),
        };
        if let Some(more) = more {
            return Err(refused(
                RefusalKind::MorePermissions,
                format!("the candidate asks to {verb} {more}, which the serving version may not"),
                "take it out of the candidate's manifest, or force it to grant it",
            ));
        }
    }
    Ok(())
}

fn subscriptions(serving: &VersionFacts, candidate: &VersionFacts) -> Result<(), Refused> {
    let keeps = |pattern: &String| candidate.subscriptions.iter().any(|(own, _)| own == pattern);
    let waiting = serving.subscriptions.iter().find(|(it, backlog)| *backlog > 0 && !keeps(it));
    match waiting {
        None => Ok(()),
        Some((pattern, backlog)) => Err(refused(
            RefusalKind::DropsSubscription,
            format!(
                "{backlog} messages wait for `{pattern}`, to which the candidate does not listen"
            ),
            "let the serving version finish them, or purge them, or force it: the old version \
             then finishes them before it is unloaded",
        )),
    }
}

fn schemas(serving: &VersionFacts, candidate: &VersionFacts) -> Result<(), Refused> {
    match (&serving.state_schema, &candidate.state_schema) {
        (Some(exports), Some(imports)) if exports != imports => Err(refused(
            RefusalKind::StateSchema,
            format!(
                "the serving version exports state of the schema `{exports}`, and the candidate \
                 imports `{imports}`: the state would be lost"
            ),
            "give the candidate an import of the other schema, or force it: it then starts clean",
        )),
        _ => Ok(()),
    }
}

fn steps(mut gradual: Gradual) -> Result<Gradual, Refused> {
    let wrong = |kind, reason: String, remedy| Err(refused(kind, reason, remedy));
    let remedy = "give rising whole percentages, such as 1,5,25,50,100";
    if gradual.steps.is_empty() || gradual.steps.len() > STEPS_MAX {
        let reason = format!("{} steps are no way to 100 %", gradual.steps.len());
        return wrong(RefusalKind::Steps, reason, remedy);
    }
    if let Some(share) = gradual.steps.iter().find(|share| !(1..=100).contains(*share)) {
        let reason = format!("a share of {share} % is not between 1 and 100");
        return wrong(RefusalKind::Share, reason, remedy);
    }
    if let Some(pair) = gradual.steps.windows(2).find(|pair| pair[0] >= pair[1]) {
        let reason = format!("the steps do not rise: {} % comes before {} %", pair[0], pair[1]);
        return wrong(RefusalKind::Steps, reason, remedy);
    }
    // Whatever the steps, the end is everything.
    if gradual.steps.last() != Some(&100) {
        gradual.steps.push(100);
    }
    match gradual.hold {
        Some(hold) if !gradual.trial().contains(&hold) => {
            let reason = format!("{hold} % is no step at which the share could stay");
            wrong(RefusalKind::Share, reason, "hold at one of the steps below 100")
        }
        _ => Ok(gradual),
    }
}

fn verification(mirror: bool, probes: u32, candidate: &VersionFacts) -> Result<(), Refused> {
    if mirror && !candidate.mirror_safe {
        return Err(refused(
            RefusalKind::NotMirrorSafe,
            "the candidate's manifest does not say `mirror_safe: true`, so its side effects would \
             happen twice"
                .to_owned(),
            "leave the mirror away and rely on probes, or declare it",
        ));
    }
    if !mirror && probes == 0 {
        return Err(refused(
            RefusalKind::NothingToVerify,
            "blue-green has neither probes nor copies of messages to verify the candidate with"
                .to_owned(),
            "declare probes or `mirror_safe: true` in the manifest, or choose another strategy",
        ));
    }
    Ok(())
}

fn numbers(strategy: &Strategy, terms: &Terms) -> Result<(), Refused> {
    let times = [
        ("deadline", terms.deadline, false),
        ("drain deadline", terms.drain_deadline, false),
        ("least time of a step", terms.min_time, true),
        ("bake", terms.bake, true),
    ];
    for (name, time, may_be_zero) in times {
        if time > TIME_MAX || time.is_zero() && !may_be_zero {
            return Err(refused(
                RefusalKind::Deadline,
                format!("a {name} of {time:?} is not possible"),
                "give a length of time such as 30s or 10m, up to 30 days",
            ));
        }
    }
    let steps = match strategy {
        Strategy::Gradual(gradual) => gradual.trial().len(),
        _ => 1,
    };
    let least = u32::try_from(steps).ok().and_then(|steps| terms.min_time.checked_mul(steps));
    if strategy.tries() && least.is_none_or(|least| least > terms.deadline) {
        return Err(refused(
            RefusalKind::Deadline,
            format!(
                "{steps} steps of at least {:?} do not fit into a deadline of {:?}",
                terms.min_time, terms.deadline
            ),
            "raise the deadline or shorten the steps",
        ));
    }
    if let Some(share) = terms.require_dlq_pass.filter(|it| !(0.0..=100.0).contains(it)) {
        return Err(refused(
            RefusalKind::Number,
            format!("{share} % of the dead letters cannot pass"),
            "give a percentage from 0 to 100",
        ));
    }
    let rule = &terms.rule;
    let shares = [rule.error_cap, rule.error_margin, rule.retry_margin, rule.match_threshold];
    let factors = [rule.latency_factor, rule.latency_margin_ns];
    if shares.iter().any(|it| !(0.0..=1.0).contains(it))
        || factors.iter().any(|it| !(it.is_finite() && *it >= 0.0))
    {
        return Err(refused(
            RefusalKind::Number,
            "a limit of the verdict is not a share from 0 to 1, or below zero".to_owned(),
            "give shares such as 0.01, and a latency factor such as 1.5",
        ));
    }
    Ok(())
}

fn state(serving: &VersionFacts, candidate: &VersionFacts) -> StateRule {
    if candidate.forward_only {
        StateRule::ForwardOnly
    } else if candidate.state_schema.is_some() && candidate.state_schema == serving.state_schema {
        StateRule::HandOver
    } else {
        StateRule::Clean
    }
}

fn refused(kind: RefusalKind, reason: String, remedy: &str) -> Refused {
    Refused { kind, reason, remedy: remedy.to_owned() }
}

// === impl RefusalKind ===

impl RefusalKind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalKind::UnknownVersion => "unknown_version",
            RefusalKind::Contract => "contract",
            RefusalKind::Outside => "outside",
            RefusalKind::NothingServes => "nothing_serves",
            RefusalKind::AlreadyServing => "already_serving",
            RefusalKind::SameVersionOtherBytes => "same_version_other_bytes",
            RefusalKind::MorePermissions => "more_permissions",
            RefusalKind::DropsSubscription => "drops_subscription",
            RefusalKind::StateSchema => "state_schema",
            RefusalKind::Running => "transition_running",
            RefusalKind::NotMirrorSafe => "not_mirror_safe",
            RefusalKind::NothingToVerify => "nothing_to_verify",
            RefusalKind::Share => "share",
            RefusalKind::Steps => "steps",
            RefusalKind::Deadline => "deadline",
            RefusalKind::Number => "number",
        }
    }
}
