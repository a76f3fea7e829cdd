//! The published JSON Schema of the manifest, for editors and other tools.
//!
//! It is made from the types, and knows keys, types and bounds. The reader knows more (topics,
//! lengths of time, values that contradict each other) and is more lenient in spelling (`per-key`
//! for `per_key`, `license` as `licence`).

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    manifest::Manifest, policy::TransitionStrategy, subscription::SubscriptionManifest,
    transition::TransitionManifest,
};

/// A subscription: a topic, or all there is to say about one.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) enum Subscription {
    /// A topic, with `*` for one token and `>` for everything below.
    Topic(#[schemars(length(min = 1, max = 255))] String),
    /// A topic and how its messages are handed over.
    Full(Box<SubscriptionManifest>),
}

/// A strategy, or all there is to say about how a new version takes over.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) enum Transition {
    /// A strategy, with everything else as usual.
    Strategy(TransitionStrategy),
    /// A strategy and its bounds.
    Full(Box<TransitionManifest>),
}

/// A word, or a number from 0 to 100: lower ones start first.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Priority")]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) enum PriorityText {
    /// By number.
    Number(#[schemars(range(min = 0, max = 100))] u8),
    /// By word.
    Word(PriorityWord),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) enum PriorityWord {
    /// 10: what others stand on.
    Infrastructure,
    /// 20: what decides who may do what.
    Security,
    /// 30: what changes messages on their way.
    Middleware,
    /// 40: what the whole is for.
    Business,
}

/// A plugin and the versions of it that will do, such as `redis-diagnostics >= 1.0.0`.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Dependency")]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) enum DependencyText {
    /// In one text.
    Text(String),
    /// In two.
    Full(DependencyFields),
}

#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) struct DependencyFields {
    /// Name of the plugin.
    name: String,
    /// Range of versions, such as `>= 1.0.0`; absent = any.
    version: Option<String>,
}

/// A number of bytes: a number, or a text with a binary unit such as `64MiB`.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "describes a type, never made")]
pub(crate) enum Size {
    /// Bytes.
    Bytes(u64),
    /// With a unit.
    Text(String),
}

/// The JSON Schema (draft 2020-12) of a manifest. `manifest.schema.json` of this crate holds it.
#[must_use]
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Manifest>();
    let mut schema = schema.to_value();
    refuse_null(&mut schema);
    if let Value::Object(root) = &mut schema {
        finish(root);
    }
    schema
}

/// What is optional is left away, never `null`.
fn refuse_null(schema: &mut Value) {
    match schema {
        Value::Array(entries) => entries.iter_mut().for_each(refuse_null),
        Value::Object(entries) => {
            if let Some(Value::Array(types)) = entries.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    entries.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = entries.get_mut("anyOf") {
                choices.retain(|choice| choice != &json!({"type": "null"}));
                if let [Value::Object(only)] = &choices[..] {
                    let only = only.clone();
                    entries.remove("anyOf");
                    entries.extend(only);
                }
            }
            if entries.get("default") == Some(&Value::Null) {
                entries.remove("default");
            }
            entries.values_mut().for_each(refuse_null);
        }
        _ => {}
    }
}

/// What the type of a manifest that was read cannot say about one that is written: which keys may
/// be left away, which have a second spelling, and that there are no others.
fn finish(root: &mut Map<String, Value>) {
    root.insert("title".into(), json!("Patchbay plugin manifest"));
    root.insert("description".into(), json!("What a plugin says about itself."));
    root.insert("required".into(), json!(["name", "version"]));
    root.insert("additionalProperties".into(), json!(false));
    root.insert("patternProperties".into(), json!({"^x-": {"description": "For other tools."}}));
    if let Some(Value::Object(properties)) = root.get_mut("properties") {
        properties.insert("$schema".into(), json!({"type": "string"}));
        for (spelling, other) in
            [("apiVersion", "api_version"), ("license", "licence"), ("requires", "dependencies")]
        {
            if let Some(value) = properties.get(spelling).cloned() {
                properties.insert(other.into(), value);
            }
        }
    }
}
