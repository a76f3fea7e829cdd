//! The manifest as a whole.

use std::collections::BTreeMap;

use patchbay_wire::TopicPattern;
use schemars::JsonSchema;
use semver::Version;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    fields::{At, Fields},
    name::PluginName,
    node::{self, Format, Node, object_value},
    policy::{HealthManifest, Permissions, Priority, Restart, StateManifest, Unload},
    problem::{ManifestError, Problem, ProblemKind, Report, Warning, shown},
    requires::{Dependency, read_name},
    schema,
    subscription::{SUBSCRIPTIONS_MAX, SubscriptionManifest},
    transition::TransitionManifest,
    worker_pool::WorkerPoolManifest,
};

/// The version of this format.
pub const API_VERSION: &str = "patchbay/v1";
/// The symbol through which the host enters a library.
pub const ENTRY_POINT: &str = "patchbay_plugin_v1";
/// What the plugin architecture guide writes as the entry point; means [`ENTRY_POINT`].
pub(crate) const ENTRY_POINT_OF_THE_GUIDE: &str = "create_plugin";
/// Most capabilities a manifest may name.
const CAPABILITIES_MAX: usize = 256;

/// What a plugin says about itself. Serializes to a form that reads back as the same manifest.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Manifest {
    /// Version of the format: `patchbay/v1`.
    #[serde(rename = "apiVersion")]
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// Name of the plugin.
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"))]
    pub name: PluginName,
    /// Version of the plugin: three numbers, and what semantic versioning allows after them.
    #[schemars(
        with = "String",
        regex(pattern = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)([+-].+)?$")
    )]
    pub version: Version,
    /// What it is for, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub description: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub author: Option<String>,
    /// Under which licence, preferably an SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub license: Option<String>,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub homepage: Option<String>,
    /// The symbol through which the host enters the library. There is only one, so it may be left
    /// away; once read it is [`ENTRY_POINT`], also when the manifest says `create_plugin`.
    #[schemars(
        description = "The symbol through which the host enters the library; may be left away.",
        extend("enum" = [ENTRY_POINT, ENTRY_POINT_OF_THE_GUIDE])
    )]
    pub entry_point: String,
    /// What it listens to, in the order of the manifest.
    #[schemars(with = "Vec<schema::Subscription>", length(max = 256))]
    pub subscriptions: Vec<SubscriptionManifest>,
    /// Default configuration.
    pub config: Map<String, Value>,
    /// JSON Schema that the configuration must satisfy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub config_schema: Option<Value>,
    /// When it starts relative to others.
    #[schemars(with = "schema::PriorityText")]
    pub priority: Priority,
    /// Settings of its worker pool.
    pub worker_pool: WorkerPoolManifest,
    /// Plugins that must be running.
    #[schemars(with = "Vec<schema::DependencyText>", length(max = 128))]
    pub requires: Vec<Dependency>,
    /// What it can do, for those who choose among plugins.
    #[schemars(length(max = 256), inner(regex(pattern = "^[A-Za-z0-9_.:/-]{1,64}$")))]
    pub capabilities: Vec<String>,
    /// Where it may publish and subscribe.
    pub permissions: Permissions,
    /// When it is started again.
    pub restart: Restart,
    /// How its health is asked for.
    pub health: HealthManifest,
    /// Whether the library is taken out of memory at the end.
    pub unload: Unload,
    /// What becomes of its own state when a version takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateManifest>,
    /// Whether copies of messages may be run through it without harm to the world.
    pub mirror_safe: bool,
    /// How a new version takes over, unless the request says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Transition>")]
    pub transition: Option<TransitionManifest>,
    /// Keys that begin with `x-`: for other tools.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
    /// What is odd about it.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
}

/// What a manifest says besides who the plugin is: everything that has a default.
#[derive(Default)]
struct Behaviour {
    subscriptions: Vec<SubscriptionManifest>,
    config: Map<String, Value>,
    config_schema: Option<Value>,
    priority: Priority,
    worker_pool: WorkerPoolManifest,
    capabilities: Vec<String>,
    permissions: Permissions,
    restart: Restart,
    health: HealthManifest,
    unload: Unload,
    state: Option<StateManifest>,
    mirror_safe: bool,
    transition: Option<TransitionManifest>,
}

// === impl Manifest ===

impl Manifest {
    /// Reads a manifest. Never panics, whatever the bytes, and takes bounded time and memory.
    ///
    /// # Errors
    /// [`ManifestError`] with every problem found, each with its place and remedy.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Manifest, ManifestError> {
        Manifest::from_node(&node::parse(bytes, format)?)
    }

    /// The manifest with the operator's values in place of the author's: keys of `worker_pool`, and
    /// for each subscription, named by its pattern, keys of that subscription.
    ///
    /// # Errors
    /// [`ManifestError`] as for [`Manifest::parse`], with the same places; and for a pattern that
    /// no subscription has.
    pub fn overridden(
        &self,
        worker_pool: &Map<String, Value>,
        subscriptions: &BTreeMap<String, Map<String, Value>>,
    ) -> Result<Manifest, ManifestError> {
        let Value::Object(mut manifest) = self.to_value() else { return Ok(self.clone()) };
        if let Some(pool) = manifest.get_mut("worker_pool") {
            overlay(pool, worker_pool);
        }
        for (pattern, values) in subscriptions {
            let at = self.subscriptions.iter().position(|own| own.topic.as_str() == pattern);
            let entry = at.and_then(|at| manifest.get_mut("subscriptions")?.get_mut(at));
            match entry {
                Some(entry) => overlay(entry, values),
                None => {
                    let path = format!("subscriptions.{}", shown(pattern).trim_matches('`'));
                    let problem = format!("`{}` has no such subscription", self.name);
                    let remedy = "write a topic exactly as the manifest does";
                    let kind = ProblemKind::UnknownKey;
                    return Err(Problem::new(kind, path, problem, remedy).into());
                }
            }
        }
        Manifest::from_node(&Node::from_value(&Value::Object(manifest)))
    }

    /// The manifest as JSON, with every default filled in.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Bounds of a subscription's queue in messages: its own, or the pool's.
    #[must_use]
    pub fn queue_count(&self, subscription: &SubscriptionManifest) -> u32 {
        subscription.queue.count.unwrap_or(self.worker_pool.queue_size)
    }

    fn from_node(node: &Node) -> Result<Manifest, ManifestError> {
        let mut report = Report::default();
        let at = At { path: String::new(), node };
        let manifest = at.fields(&mut report).and_then(Manifest::read);
        let (mut manifest, warnings) = report.finish(manifest)?;
        manifest.warnings = warnings;
        Ok(manifest)
    }

    fn read(mut fields: Fields<'_, '_>) -> Option<Manifest> {
        fields.require("name", "my_plugin");
        fields.require("version", "1.0.0");
        // An editor's business.
        fields.get("$schema", |at, report| at.text(report));
        let api_version = fields.get_either(["apiVersion", "api_version"], |at, report| {
            read_fixed(&at, "the version of this format", [API_VERSION; 2], report)
        });
        let name = fields.get("name", |at, report| {
            let text = at.text(report)?;
            read_name(&at, text, report)
        });
        let version = fields.get("version", read_version);
        let description = fields.get("description", |at, report| at.prose(4096, report));
        let author = fields.get("author", |at, report| at.prose(256, report));
        let license = fields.get_either(["license", "licence"], |at, report| at.prose(256, report));
        let homepage = fields.get("homepage", |at, report| at.prose(2048, report));
        let entry_point = fields.get("entry_point", |at, report| {
            let allowed = [ENTRY_POINT, ENTRY_POINT_OF_THE_GUIDE];
            read_fixed(&at, "the entry point of a plugin", allowed, report)
        });
        let requires = fields.get_either(["requires", "dependencies"], |at, report| {
            Dependency::read_list(at, name.as_ref(), report)
        });
        let behaviour = Behaviour::read(&mut fields);
        let manifest = name.zip(version).map(|(name, version)| Manifest {
            api_version: api_version.unwrap_or(API_VERSION).into(),
            name,
            version,
            description,
            author,
            license,
            homepage,
            entry_point: entry_point.unwrap_or(ENTRY_POINT).into(),
            subscriptions: behaviour.subscriptions,
            config: behaviour.config,
            config_schema: behaviour.config_schema,
            priority: behaviour.priority,
            worker_pool: behaviour.worker_pool,
            requires: requires.unwrap_or_default(),
            capabilities: behaviour.capabilities,
            permissions: behaviour.permissions,
            restart: behaviour.restart,
            health: behaviour.health,
            unload: behaviour.unload,
            state: behaviour.state,
            mirror_safe: behaviour.mirror_safe,
            transition: behaviour.transition,
            extensions: fields.foreign(),
            warnings: Vec::new(),
        });
        if let Some(manifest) = &manifest {
            manifest.judge(fields.report);
        }
        fields.finish();
        manifest
    }

    /// What only the whole shows.
    fn judge(&self, report: &mut Report) {
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            if !self.permissions.may_subscribe(&subscription.topic) {
                report.problem(Problem::new(
                    ProblemKind::Conflict,
                    format!("subscriptions[{index}]"),
                    format!("`permissions.subscribe` does not allow `{}`", subscription.topic),
                    "add the topic there, or remove the subscription",
                ));
            }
        }
        if self.description.is_none() {
            report.warn("description", "is missing; say in a sentence what the plugin is for");
        }
        if self.license.is_none() {
            report.warn("license", "is missing; say under which licence the plugin may be used");
        }
        if self.subscriptions.is_empty() {
            report.warn("subscriptions", "is empty: no message will reach the plugin");
        }
    }
}

// === impl Behaviour ===

impl Behaviour {
    fn read(fields: &mut Fields<'_, '_>) -> Behaviour {
        Behaviour {
            subscriptions: fields.get("subscriptions", read_subscriptions).unwrap_or_default(),
            config: fields.get("config", read_object).unwrap_or_default(),
            config_schema: fields.get("config_schema", read_schema),
            priority: fields.get("priority", Priority::read).unwrap_or_default(),
            worker_pool: fields.get("worker_pool", WorkerPoolManifest::read).unwrap_or_default(),
            capabilities: fields.get("capabilities", read_capabilities).unwrap_or_default(),
            permissions: fields.get("permissions", Permissions::read).unwrap_or_default(),
            restart: fields.get("restart", Restart::read).unwrap_or_default(),
            health: fields.get("health", HealthManifest::read).unwrap_or_default(),
            unload: fields.get("unload", Unload::read).unwrap_or_default(),
            state: fields.get("state", StateManifest::read),
            mirror_safe: fields.get("mirror_safe", |at, report| at.flag(report)).unwrap_or(false),
            transition: fields.get("transition", TransitionManifest::read),
        }
    }
}

/// Puts values over those of an object, key by key.
fn overlay(base: &mut Value, values: &Map<String, Value>) {
    if let Value::Object(base) = base {
        for (key, value) in values {
            match (base.get_mut(key), value) {
                (Some(below @ Value::Object(_)), Value::Object(value)) => overlay(below, value),
                _ => {
                    base.insert(key.clone(), value.clone());
                }
            }
        }
    }
}

/// Reads a text that can only be one of two, which mean the same: the first.
fn read_fixed(
    at: &At<'_>,
    what: &str,
    allowed: [&'static str; 2],
    report: &mut Report,
) -> Option<&'static str> {
    let text = at.text(report)?;
    if allowed.contains(&text) {
        return Some(allowed[0]);
    }
    let problem = format!("{} is not {what}", shown(text));
    at.invalid(problem, format!("write `{}`, or remove the key", allowed[0]), report)
}

fn read_version(at: At<'_>, report: &mut Report) -> Option<Version> {
    const REMEDY: &str = "write three numbers with dots between them, such as `1.0.0`";
    let text = at.text(report)?;
    if text.len() > 128 {
        return at.invalid("the version is too long", REMEDY, report);
    }
    match Version::parse(text) {
        Ok(version) => Some(version),
        Err(error) => {
            let problem = format!("{} is not a semantic version: {error}", shown(text));
            at.invalid(problem, REMEDY, report)
        }
    }
}

fn read_subscriptions(at: At<'_>, report: &mut Report) -> Option<Vec<SubscriptionManifest>> {
    let entries = at.clone().list(report)?;
    if entries.len() > SUBSCRIPTIONS_MAX {
        let problem = format!("{} subscriptions are too many", entries.len());
        let remedy = format!("{SUBSCRIPTIONS_MAX} are allowed; use wildcards");
        return at.invalid(problem, remedy, report);
    }
    let mut seen = std::collections::HashSet::<TopicPattern>::new();
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        let path = entry.path.clone();
        let Some(subscription) = SubscriptionManifest::read(entry, report) else { continue };
        if seen.insert(subscription.topic.clone()) {
            found.push(subscription);
        } else {
            let problem = format!("`{}` is subscribed to twice", subscription.topic);
            let kind = ProblemKind::Conflict;
            report.problem(Problem::new(kind, path, problem, "remove one of the entries"));
        }
    }
    Some(found)
}

fn read_object(at: At<'_>, report: &mut Report) -> Option<Map<String, Value>> {
    match at.node {
        Node::Object(entries) => Some(object_value(entries)),
        _ => at.wrong_type("an object", report),
    }
}

fn read_schema(at: At<'_>, report: &mut Report) -> Option<Value> {
    match at.node {
        Node::Object(_) => Some(at.node.to_value()),
        _ => at.wrong_type("an object with a JSON Schema", report),
    }
}

fn read_capabilities(at: At<'_>, report: &mut Report) -> Option<Vec<String>> {
    let entries = at.clone().list(report)?;
    if entries.len() > CAPABILITIES_MAX {
        let problem = format!("{} capabilities are too many", entries.len());
        return at.invalid(problem, format!("{CAPABILITIES_MAX} are allowed"), report);
    }
    let mut found: Vec<String> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(text) = entry.text(report) else { continue };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            let problem = format!("{} is not the name of a capability", shown(text));
            let remedy = "write 1 to 64 letters, digits and `-`, such as `health-check`";
            entry.invalid::<()>(problem, remedy, report);
        } else if found.iter().any(|other| other == text) {
            let problem = format!("`{text}` is there twice");
            entry.invalid::<()>(problem, "remove one of them", report);
        } else {
            found.push(text.to_owned());
        }
    }
    Some(found)
}
