//! How the host treats a plugin as a whole: when it starts, what follows a failure, what it may do.

use std::{fmt, ops::RangeInclusive, time::Duration};

use patchbay_wire::TopicPattern;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    fields::At,
    node::Node,
    problem::{Problem, ProblemKind, Report},
    quantity::serialize_duration,
    subscription::read_pattern,
};

const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
/// Most patterns of one permission.
const PATTERNS_MAX: usize = 256;

/// When a plugin starts relative to others: lower numbers first, and they stop last. 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Priority(u8);

/// When a plugin that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Whenever it ended and nobody asked for that.
    #[default]
    Always,
    /// When it ended by a failure.
    OnFailure,
    /// Not at all.
    Never,
}

/// How the health of a plugin is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthManifest {
    /// Time between two questions.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub interval: Duration,
    /// How long the answer may take.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Bad or missing answers in a row after which the plugin counts as failed.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
}

/// Whether the library is taken out of memory at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unload {
    /// Yes, with proof that nothing of it is left; without the proof it stays, and is reported.
    #[default]
    Verify,
    /// No: it stays mapped for as long as the host runs.
    Never,
}

/// What becomes of the plugin's own state when a version takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateManifest {
    /// The old version exports it and the new one imports it; a rollback gives it back.
    Export,
    /// The new version changes it in a way that the old one cannot read: no rollback afterwards.
    ForwardOnly,
}

/// How a new version takes over from an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransitionStrategy {
    /// The old one ends, the new one starts.
    Immediate,
    /// The old one finishes what it holds.
    Graceful,
    /// The new one gets a growing share.
    Gradual,
    /// Both run until the new one is verified.
    BlueGreen,
}

/// Where a plugin may publish and subscribe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Patterns that it may publish to; absent = every topic but the host's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub publish: Option<Vec<TopicPattern>>,
    /// Patterns that it may subscribe to; absent = all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub subscribe: Option<Vec<TopicPattern>>,
}

// === impl Priority ===

impl Priority {
    /// What others stand on: storage, transports.
    pub const INFRASTRUCTURE: Priority = Priority(10);
    /// What decides who may do what.
    pub const SECURITY: Priority = Priority(20);
    /// What changes messages on their way.
    pub const MIDDLEWARE: Priority = Priority(30);
    /// What the whole is for.
    pub const BUSINESS: Priority = Priority(40);

    /// A priority by number, if it is one of 0 to 100.
    #[must_use]
    pub const fn new(number: u8) -> Option<Priority> {
        if number <= 100 { Some(Priority(number)) } else { None }
    }

    /// The number, 0 to 100.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<Priority> {
        match at.node {
            Node::Number(_) => {
                let number = at.count(0..=100, report)?;
                u8::try_from(number).ok().and_then(Priority::new)
            }
            Node::Text(_) => at.choice(
                &[
                    (&["infrastructure"], Priority::INFRASTRUCTURE),
                    (&["security"], Priority::SECURITY),
                    (&["middleware"], Priority::MIDDLEWARE),
                    (&["business"], Priority::BUSINESS),
                ],
                report,
            ),
            _ => at.wrong_type("a number from 0 to 100, or a word such as `business`", report),
        }
    }
}

impl Default for Priority {
    fn default() -> Priority {
        Priority::BUSINESS
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Priority::INFRASTRUCTURE => f.pad("infrastructure"),
            Priority::SECURITY => f.pad("security"),
            Priority::MIDDLEWARE => f.pad("middleware"),
            Priority::BUSINESS => f.pad("business"),
            Priority(number) => fmt::Display::fmt(&number, f),
        }
    }
}

// === impl Restart ===

impl Restart {
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<Restart> {
        at.choice(
            &[
                (&["always", "permanent"], Restart::Always),
                (&["on_failure", "transient"], Restart::OnFailure),
                (&["never", "temporary"], Restart::Never),
            ],
            report,
        )
    }
}

// === impl HealthManifest ===

impl HealthManifest {
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<HealthManifest> {
        let mut fields = at.fields(report)?;
        let defaults = HealthManifest::default();
        let health = HealthManifest {
            interval: fields
                .get("interval", |at, report| at.duration(INTERVAL, report))
                .unwrap_or(defaults.interval),
            timeout: fields
                .get("timeout", |at, report| at.duration(TIMEOUT, report))
                .unwrap_or(defaults.timeout),
            failures: fields
                .get("failures", |at, report| at.count(1..=1000, report))
                .unwrap_or(defaults.failures),
        };
        fields.finish();
        Some(health)
    }
}

impl Default for HealthManifest {
    fn default() -> HealthManifest {
        HealthManifest {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: 3,
        }
    }
}

// === impl Unload, StateManifest, TransitionStrategy ===

impl Unload {
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<Unload> {
        at.choice(&[(&["verify"], Unload::Verify), (&["never"], Unload::Never)], report)
    }
}

impl StateManifest {
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<StateManifest> {
        at.choice(
            &[
                (&["export"], StateManifest::Export),
                (&["forward_only"], StateManifest::ForwardOnly),
            ],
            report,
        )
    }
}

impl TransitionStrategy {
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<TransitionStrategy> {
        at.choice(
            &[
                (&["immediate"], TransitionStrategy::Immediate),
                (&["graceful"], TransitionStrategy::Graceful),
                (&["gradual", "canary"], TransitionStrategy::Gradual),
                (&["blue-green"], TransitionStrategy::BlueGreen),
            ],
            report,
        )
    }
}

// === impl Permissions ===

impl Permissions {
    /// Whether a subscription to a pattern is allowed.
    #[must_use]
    pub fn may_subscribe(&self, wanted: &TopicPattern) -> bool {
        let allowed = self.subscribe.as_deref();
        allowed.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.covers(wanted)))
    }

    /// Whether a publish to a topic is allowed. The host's own topics never are.
    #[must_use]
    pub fn may_publish(&self, topic: &patchbay_wire::Topic) -> bool {
        let allowed = self.publish.as_deref();
        !topic.is_reserved()
            && allowed.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(topic)))
    }

    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<Permissions> {
        let mut fields = at.fields(report)?;
        let publish = fields.get("publish", read_patterns);
        let subscribe = fields.get("subscribe", read_patterns);
        for (index, pattern) in publish.iter().flatten().enumerate() {
            if pattern.as_str().starts_with(patchbay_wire::topic::RESERVED_TOKEN) {
                let path = fields.path_of(&format!("publish[{index}]"));
                fields.report.problem(Problem::new(
                    ProblemKind::Invalid,
                    path,
                    format!("only the host publishes to `{pattern}`"),
                    "remove it; plugins publish below `plugin.NAME`, or to topics of their own",
                ));
            }
        }
        fields.finish();
        Some(Permissions { publish, subscribe })
    }
}

fn read_patterns(at: At<'_>, report: &mut Report) -> Option<Vec<TopicPattern>> {
    let entries = at.clone().list(report)?;
    if entries.len() > PATTERNS_MAX {
        let problem = format!("{} patterns are too many", entries.len());
        return at.invalid(problem, format!("{PATTERNS_MAX} are allowed; use wildcards"), report);
    }
    Some(entries.iter().filter_map(|entry| read_pattern(entry, report)).collect())
}
