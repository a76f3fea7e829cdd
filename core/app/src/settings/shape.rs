//! Which keys exist, learned from the defaults.

use patchbay_host::PluginSettings;
use serde_json::Value;

/// What may stand at a place of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// These keys and no others.
    Section(Vec<(String, Shape)>),
    /// Any key; each holds the same.
    Names(Box<Shape>),
    /// One value.
    Leaf,
    /// Anything: it is checked by whom it is meant for.
    Free,
}

// === impl Shape ===

impl Shape {
    /// The shape of the settings, given their defaults.
    pub(super) fn of_settings(defaults: &Value) -> Shape {
        let Shape::Section(mut keys) = Shape::of(defaults) else { return Shape::Free };
        for (key, shape) in &mut keys {
            if key == "plugins" {
                *shape = Shape::Names(Box::new(Shape::of_plugin()));
            }
        }
        Shape::Section(keys)
    }

    fn of_plugin() -> Shape {
        let example = serde_json::to_value(PluginSettings::default()).unwrap_or_default();
        Shape::of(&example)
    }

    /// Objects with keys are sections; empty ones hold what the manifest declares.
    fn of(example: &Value) -> Shape {
        match example {
            Value::Object(map) if map.is_empty() => Shape::Free,
            Value::Object(map) => {
                Shape::Section(map.iter().map(|(key, v)| (key.clone(), Shape::of(v))).collect())
            }
            _ => Shape::Leaf,
        }
    }

    /// What stands below a key. `None`: the key is unknown here.
    pub(super) fn below(&self, key: &str) -> Option<&Shape> {
        match self {
            Shape::Section(keys) => keys.iter().find(|(name, _)| name == key).map(|(_, s)| s),
            Shape::Names(shape) => Some(shape),
            Shape::Free => Some(self),
            Shape::Leaf => None,
        }
    }

    /// The key that was probably meant.
    pub(super) fn suggest(&self, key: &str) -> Option<&str> {
        let Shape::Section(keys) = self else { return None };
        keys.iter()
            .map(|(name, _)| (strsim::normalized_damerau_levenshtein(name, key), name))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, name)| name.as_str())
    }

    /// The keys that exist here, for a message.
    pub(super) fn keys(&self) -> String {
        match self {
            Shape::Section(keys) => {
                let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
                names.join(", ")
            }
            _ => String::new(),
        }
    }
}
