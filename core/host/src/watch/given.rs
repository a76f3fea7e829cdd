//! The settings that an operator gives a plugin while the host runs: a file beside the links, named
//! after the plugin. They lie on top of those that the host was started with, key by key.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use patchbay_lifecycle::{FailureKind, Lasting, PluginName, Refusal};
use serde_json::{Map, Value};

use crate::settings::{PluginSettings, Settings};

/// Bytes that the file may have.
const BYTES_MAX: u64 = 1 << 20;

/// The file with the settings of a plugin.
pub(crate) fn file_of(settings: &Settings, name: &PluginName) -> PathBuf {
    settings.paths.settings.join(format!("{name}.json"))
}

/// The settings of a plugin as they are now: those of the host, and what was given since. Blocks.
pub(crate) fn settings_of(
    settings: &Settings,
    name: &PluginName,
) -> Result<PluginSettings, Refusal> {
    let file = file_of(settings, name);
    let refused = |why: String| {
        let file = file.display();
        let reason = format!(
            "the settings in `{file}` cannot be used: {why}; correct them, or remove the file"
        );
        Refusal { kind: FailureKind::Config, reason, lasting: Lasting::Permanent }
    };
    let given = read(&file).map_err(|error| refused(error.to_string()))?;
    let Some(text) = given else { return Ok(below(settings, name)) };
    let given: PluginSettings = serde_json::from_str(&text).map_err(|e| refused(e.to_string()))?;
    on_top(settings, name, &given).map_err(refused)
}

/// The settings of a plugin, if it were given these.
///
/// # Errors
/// Something is among them that cannot be given so.
pub(crate) fn on_top(
    settings: &Settings,
    name: &PluginName,
    given: &PluginSettings,
) -> Result<PluginSettings, String> {
    if given.enabled.is_some() {
        return Err(
            "`enabled` cannot be set so: whether a plugin runs is what its link says".into()
        );
    }
    let mut own = below(settings, name);
    merge(&mut own.config, &given.config);
    merge(&mut own.worker_pool, &given.worker_pool);
    for (pattern, values) in &given.subscriptions {
        merge(own.subscriptions.entry(pattern.clone()).or_default(), values);
    }
    Ok(own)
}

fn below(settings: &Settings, name: &PluginName) -> PluginSettings {
    settings.plugins.get(name.as_str()).cloned().unwrap_or_default()
}

/// Objects key by key, everything else as a whole.
fn merge(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

fn read(file: &Path) -> io::Result<Option<String>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    if opened.take(BYTES_MAX + 1).read_to_string(&mut text)? as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn host(folder: &Path) -> Settings {
        let mut settings = Settings::of_home(folder);
        let own = json!({"config": {"a": 1, "deep": {"x": 1, "y": 1}}, "worker_pool": {"min": 1}});
        let own = serde_json::from_value(own).expect("settings");
        settings.plugins.insert("echo".to_owned(), own);
        settings
    }

    #[test]
    fn what_is_given_lies_on_top_key_by_key_and_goes_with_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (settings, name) = (host(folder.path()), PluginName::parse("echo").expect("a name"));
        let below = settings_of(&settings, &name).expect("no file is no problem");
        assert_eq!(below, settings.plugins["echo"]);
        fs::create_dir_all(&settings.paths.settings).expect("a folder");
        let given = json!({"config": {"deep": {"y": 2}, "b": 2}, "worker_pool": {"max": 3}});
        fs::write(file_of(&settings, &name), given.to_string()).expect("a file");
        let now = settings_of(&settings, &name).expect("it is valid");
        assert_eq!(Value::Object(now.config), json!({"a": 1, "b": 2, "deep": {"x": 1, "y": 2}}));
        assert_eq!(Value::Object(now.worker_pool), json!({"min": 1, "max": 3}));
    }

    #[test]
    fn what_cannot_be_used_names_the_file_and_the_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        let (settings, name) = (host(folder.path()), PluginName::parse("echo").expect("a name"));
        fs::create_dir_all(&settings.paths.settings).expect("a folder");
        for (text, problem) in [
            ("{", "EOF"),
            (r#"{"confg": {}}"#, "confg"),
            (r#"{"enabled": false}"#, "its link says"),
        ] {
            fs::write(file_of(&settings, &name), text).expect("a file");
            let refusal = settings_of(&settings, &name).expect_err("it cannot be used");
            assert!(refusal.reason.contains(problem), "{}", refusal.reason);
            assert!(refusal.reason.contains("echo.json"), "{}", refusal.reason);
            assert_eq!(refusal.kind, FailureKind::Config);
        }
    }
}
