//! Settings of a test.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

/// A plugin's settings, as the host would have merged them. May change while the plugin runs.
#[derive(Debug, Default)]
pub struct ConfigManager {
    root: Mutex<Map<String, Value>>,
}

// === impl ConfigManager ===

impl ConfigManager {
    /// No settings.
    #[must_use]
    pub fn new() -> Self {
        ConfigManager::default()
    }

    /// These settings: an object; anything else is as good as none.
    #[must_use]
    pub fn from_json(settings: Value) -> Self {
        let root = match settings {
            Value::Object(root) => root,
            _ => Map::new(),
        };
        ConfigManager { root: Mutex::new(root) }
    }

    /// Sets the value at a dotted path; objects on the way are made.
    pub fn set_value(&self, path: &str, value: Value) {
        let mut root = self.lock();
        let mut object = &mut *root;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                object.insert(name.to_owned(), value);
                return;
            }
            let below = object.entry(name).or_insert(Value::Null);
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            let Value::Object(below) = below else { return };
            object = below;
        }
    }

    /// The value at a dotted path as JSON text.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let root = self.lock();
        let mut names = path.split('.');
        let mut value = root.get(names.next()?)?;
        for name in names {
            value = match value {
                Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
                other => other.get(name)?,
            };
        }
        Some(value.to_string())
    }

    /// All settings as JSON text.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(&*self.lock()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Map<String, Value>> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
