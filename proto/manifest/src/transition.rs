//! How a new version of the plugin takes over, unless the request says otherwise. A word is the
//! strategy with everything else as usual.

use std::{ops::RangeInclusive, time::Duration};

use patchbay_wire::Topic;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    fields::{At, Fields},
    node::Node,
    policy::TransitionStrategy,
    problem::{Problem, ProblemKind, Report, shown},
    quantity::serialize_optional_duration,
};

/// Most probes of a manifest.
pub const PROBES_MAX: usize = 64;
const STEPS_MAX: usize = 100;
const TIME: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 86_400);
const DEADLINE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(30 * 86_400);
const SAMPLES: RangeInclusive<u32> = 1..=1_000_000_000;

/// How a new version takes over. What is absent is as usual for the strategy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransitionManifest {
    /// The strategy.
    pub strategy: TransitionStrategy,
    /// Percentages of `gradual`, rising; the last is 100 in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(range(min = 1, max = 100)))]
    pub steps: Option<Vec<u8>>,
    /// Least samples of the new version at every step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_samples: Option<u32>,
    /// Least time at every step.
    #[serde(
        serialize_with = "serialize_optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub min_time: Option<Duration>,
    /// How long the old version stays ready after the cutover.
    #[serde(
        serialize_with = "serialize_optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub bake: Option<Duration>,
    /// How long the trial may take.
    #[serde(
        serialize_with = "serialize_optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Duration>,
    /// How long the old version may finish what it holds.
    #[serde(
        serialize_with = "serialize_optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub drain_deadline: Option<Duration>,
    /// What happens when that was not enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_drain_timeout: Option<OnDrainTimeout>,
    /// Format of the state that is handed over with `state: export`: versions that name the same
    /// one understand each other's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub state_schema: Option<String>,
    /// Messages that `blue-green` gives to the new version, with what it must do.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 64))]
    pub probes: Vec<ProbeManifest>,
}

/// What happens when the old version is not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDrainTimeout {
    /// Back to the old version.
    Abort,
    /// What it still runs is taken away from it.
    Force,
}

/// A message that a new version must handle well before it serves.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeManifest {
    /// The topic that it seems to come from.
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub topic: Topic,
    /// Its payload: a text as it stands, anything else as JSON.
    #[serde(default)]
    pub payload: Value,
    /// The answer that is expected.
    #[serde(default)]
    pub expect: ProbeAnswer,
    /// With `forward`: the topic to which it must forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub to: Option<Topic>,
}

/// The answer that a probe expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAnswer {
    /// `Acknowledged`.
    #[default]
    Acknowledged,
    /// `RetryLater`.
    RetryLater,
    /// `Failed`.
    Failed,
    /// `Forward`.
    Forward,
}

// === impl TransitionManifest ===

impl TransitionManifest {
    /// A strategy with everything else as usual.
    #[must_use]
    pub fn of(strategy: TransitionStrategy) -> TransitionManifest {
        TransitionManifest {
            strategy,
            steps: None,
            min_samples: None,
            min_time: None,
            bake: None,
            deadline: None,
            drain_deadline: None,
            on_drain_timeout: None,
            state_schema: None,
            probes: Vec::new(),
        }
    }

    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<TransitionManifest> {
        match at.node {
            Node::Object(_) => Self::read_fields(at.fields(report)?),
            _ => TransitionStrategy::read(at, report).map(TransitionManifest::of),
        }
    }

    fn read_fields(mut fields: Fields<'_, '_>) -> Option<TransitionManifest> {
        fields.require("strategy", "graceful");
        let strategy = fields.get("strategy", TransitionStrategy::read);
        let steps = fields.get("steps", read_steps);
        let min_samples = fields.get("min_samples", |at, report| at.count(SAMPLES, report));
        let mut time =
            |key, range| fields.get(key, move |at, report: &mut Report| at.duration(range, report));
        let (min_time, bake) = (time("min_time", TIME), time("bake", TIME));
        let deadline = time("deadline", DEADLINE);
        let drain_deadline = time("drain_deadline", DEADLINE);
        let on_drain_timeout = fields.get("on_drain_timeout", |at, report| {
            at.choice(
                &[(&["abort"], OnDrainTimeout::Abort), (&["force"], OnDrainTimeout::Force)],
                report,
            )
        });
        let state_schema = fields.get("state_schema", |at, report| at.prose(128, report));
        let probes = fields.get("probes", read_probes).unwrap_or_default();
        if steps.is_some() && strategy.is_some_and(|it| it != TransitionStrategy::Gradual) {
            let path = fields.path_of("steps");
            fields.report.warn(path, "has no effect without `strategy: gradual`");
        }
        fields.finish();
        Some(TransitionManifest {
            strategy: strategy?,
            steps,
            min_samples,
            min_time,
            bake,
            deadline,
            drain_deadline,
            on_drain_timeout,
            state_schema,
            probes,
        })
    }
}

fn read_steps(at: At<'_>, report: &mut Report) -> Option<Vec<u8>> {
    let entries = at.clone().list(report)?;
    if entries.is_empty() || entries.len() > STEPS_MAX {
        let problem = format!("{} steps are no way to 100 %", entries.len());
        return at.invalid(problem, "write rising percentages, such as [1, 5, 25, 100]", report);
    }
    let mut steps: Vec<u8> = Vec::new();
    for entry in &entries {
        let step = u8::try_from(entry.count(1..=100, report)?).ok()?;
        if steps.last().is_some_and(|before| *before >= step) {
            let problem = format!("{step} does not come after {}", steps.last()?);
            return entry.invalid(problem, "write percentages that rise", report);
        }
        steps.push(step);
    }
    Some(steps)
}

fn read_probes(at: At<'_>, report: &mut Report) -> Option<Vec<ProbeManifest>> {
    let entries = at.clone().list(report)?;
    if entries.len() > PROBES_MAX {
        let problem = format!("{} probes are too many", entries.len());
        return at.invalid(problem, format!("{PROBES_MAX} are allowed"), report);
    }
    Some(entries.into_iter().filter_map(|entry| ProbeManifest::read(entry, report)).collect())
}

// === impl ProbeManifest ===

impl ProbeManifest {
    /// The bytes of its payload.
    #[must_use]
    pub fn payload_bytes(&self) -> Vec<u8> {
        match &self.payload {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        }
    }

    fn read(at: At<'_>, report: &mut Report) -> Option<ProbeManifest> {
        let mut fields = at.fields(report)?;
        fields.require("topic", "orders.new");
        let topic = fields.get("topic", read_topic);
        let payload = fields.get("payload", |at, _| Some(at.node.to_value())).unwrap_or_default();
        let expect = fields.get("expect", |at, report| {
            at.choice(
                &[
                    (&["acknowledged", "ack"], ProbeAnswer::Acknowledged),
                    (&["retry_later", "retry"], ProbeAnswer::RetryLater),
                    (&["failed"], ProbeAnswer::Failed),
                    (&["forward"], ProbeAnswer::Forward),
                ],
                report,
            )
        });
        let to = fields.get("to", read_topic);
        let expect = expect.unwrap_or_default();
        if to.is_some() && expect != ProbeAnswer::Forward {
            let path = fields.path_of("to");
            let remedy = "write `expect: forward`, or remove it";
            let problem = "means something only to a probe that expects `forward`";
            fields.report.problem(Problem::new(ProblemKind::Conflict, path, problem, remedy));
        }
        fields.finish();
        Some(ProbeManifest { topic: topic?, payload, expect, to })
    }
}

fn read_topic(at: At<'_>, report: &mut Report) -> Option<Topic> {
    let text = at.text(report)?;
    match Topic::parse(text) {
        Ok(topic) => Some(topic),
        Err(error) => {
            let problem = format!("{} is no topic: {error}", shown(text));
            at.invalid(problem, "write the name of one topic, without wildcards", report)
        }
    }
}
