//! Loading settings, whole or not at all.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use patchbay_gateway::GatewayLimits;
use patchbay_host::{DeadLetterSettings, Durability, JournalSettings, Limits, Paths};
use serde_json::Value;

use super::{
    Loaded, LogForm, LogSettings, Origin, Problem, Settings, environment,
    overlay::{dotted, put, take_apart},
    shape::Shape,
};
use crate::{failure::Failure, home::Home};

/// Bytes that a settings file may have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Loads the settings of a home: defaults, file, environment.
///
/// # Errors
/// Every problem that was found, each with its path.
pub(crate) fn load(
    home: &Home,
    named: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Failure> {
    let mut document = serde_json::to_value(defaults(home))
        .map_err(|error| Failure::failed("cannot write the default settings").because(&error))?;
    let shape = Shape::of_settings(&document);
    let mut problems = Vec::new();
    let mut origins = BTreeMap::new();

    let file = match named {
        Some(file) => Some(file.to_owned()),
        None => Some(home.settings()).filter(|file| file.exists()),
    };
    if let Some(file) = &file {
        let origin = Origin::File(file.clone());
        let layer = read(file)?;
        let given = take_apart(layer, &shape, &origin, &mut problems);
        origins.extend(given.iter().map(|given| (dotted(&given.path), origin.clone())));
        put(&mut document, given, &mut problems);
    }
    let given = environment::given(variables, &shape, &document, &mut problems);
    origins.extend(given.iter().map(|given| (dotted(&given.path), given.origin.clone())));
    put(&mut document, given, &mut problems);

    if problems.is_empty() {
        problems.extend(none_is_too_few(&document, &origins));
    }
    if !problems.is_empty() {
        return Err(refused(file.as_deref(), &problems));
    }
    let mut settings: Settings = serde_json::from_value(document.clone())
        .map_err(|error| Failure::failed("the settings are not valid").because(&error))?;
    let Paths { enabled, libraries, settings: given, store, journal } = &mut settings.paths;
    for path in [enabled, libraries, given, store, journal] {
        *path = home.folder().join(&*path);
    }
    Ok(Loaded { settings, document, origins, file })
}

/// A gateway without room for one request or one message would answer nobody.
fn none_is_too_few(document: &Value, origins: &BTreeMap<String, Origin>) -> Vec<Problem> {
    ["body_bytes", "requests", "batch_messages", "tap_messages"]
        .into_iter()
        .filter(|key| document["gateway"][key] == 0)
        .map(|key| {
            let path = format!("gateway.{key}");
            let origin = origins.get(&path).cloned().unwrap_or(Origin::Default);
            Problem { path, what: "is 0; it must be at least 1".to_owned(), origin }
        })
        .collect()
}

fn defaults(home: &Home) -> Settings {
    let host = patchbay_host::Settings::of_home(home.folder());
    Settings {
        paths: host.paths,
        limits: Limits::default(),
        durability: Durability::default(),
        reject_unmatched: Vec::new(),
        journal: JournalSettings::default(),
        dead_letters: DeadLetterSettings::default(),
        gateway: GatewayLimits::default(),
        // The actor framework names its actor with every line below its level.
        log: LogSettings { format: LogForm::Text, filter: "info,ractor=warn".to_owned() },
        // Below the 30 s of Kubernetes and the 90 s of systemd.
        shutdown_timeout: Duration::from_secs(25),
        plugins: BTreeMap::new(),
    }
}

pub(super) fn read(file: &Path) -> Result<Value, Failure> {
    let cannot = || format!("cannot read the settings file `{}`", file.display());
    let size = fs::metadata(file).map_err(|error| Failure::failed(cannot()).because(&error))?.len();
    if size > FILE_BYTES_MAX {
        let cause = format!("it has {size} bytes, at most {FILE_BYTES_MAX} are allowed");
        return Err(Failure::failed(cannot()).cause(cause));
    }
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::failed(cannot()).cause("it is not UTF-8"),
        _ => Failure::failed(cannot()).because(&error),
    })?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_nodes: 50_000, max_depth: 64 },
    };
    serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        Failure::failed(format!("the settings file `{}` is not valid YAML", file.display()))
            .cause(error.to_string())
    })
}

fn refused(file: Option<&Path>, problems: &[Problem]) -> Failure {
    let message = match file {
        Some(file) => format!("the settings are not valid (file `{}`)", file.display()),
        None => "the settings are not valid".to_owned(),
    };
    let failure = Failure::failed(message);
    let failure =
        problems.iter().fold(failure, |failure, problem| failure.cause(problem.to_string()));
    failure.hint("`patchbay config get` shows every setting with its value")
}

#[cfg(test)]
mod tests;
