//! Settings that a plugin is given while the host runs: on the way there, and where they ended up.

use std::{fs, path::Path};

use patchbay_host::PluginSettings;
use serde_json::{Map, Value};

use super::{Loaded, Origin, load::read};
use crate::failure::Failure;

/// Reads a file with the settings of one plugin.
///
/// # Errors
/// It cannot be read, or says something else.
pub(crate) fn of_plugin(file: &Path) -> Result<PluginSettings, Failure> {
    let read = match read(file)? {
        Value::Null => Value::Object(Map::new()),
        read => read,
    };
    serde_json::from_value(read).map_err(|error| {
        let file = file.display();
        Failure::usage(format!("`{file}` does not hold the settings of a plugin"))
            .because(&error)
            .hint("write `config:`, `worker_pool:` or `subscriptions:`, as below `plugins.NAME`")
    })
}

/// Puts what plugins were given while a host ran on top of what was loaded, for whoever looks.
///
/// # Errors
/// One of the files cannot be read.
pub(crate) fn put_on_top(loaded: &mut Loaded) -> Result<(), Failure> {
    let files = fs::read_dir(&loaded.settings.paths.settings).into_iter().flatten().flatten();
    for file in files.map(|entry| entry.path()) {
        let name = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
        let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
        let given = serde_json::to_value(of_plugin(&file)?).unwrap_or_default();
        let mut path = vec!["plugins".to_owned(), name.to_owned()];
        put(loaded, &mut path, given, &Origin::File(file.clone()));
    }
    if let Ok(plugins) = serde_json::from_value(loaded.document["plugins"].clone()) {
        loaded.settings.plugins = plugins;
    }
    Ok(())
}

/// Objects key by key, everything else as a whole.
fn put(loaded: &mut Loaded, path: &mut Vec<String>, value: Value, origin: &Origin) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key);
                put(loaded, path, value, origin);
                path.pop();
            }
        }
        value => {
            let mut at = &mut loaded.document;
            for key in &*path {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at = &mut at[key.as_str()];
            }
            *at = value;
            loaded.origins.insert(path.join("."), origin.clone());
        }
    }
}
