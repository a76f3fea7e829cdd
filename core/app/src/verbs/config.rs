//! `patchbay config`.

mod manifests;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::{
    args::ConfigVerb,
    context::Context,
    failure::Failure,
    output::Rows,
    settings::{self, Loaded, Origin},
};

/// One setting.
#[derive(Debug, Serialize)]
struct Setting {
    path: String,
    value: Value,
    /// `default`, the file, or `$VARIABLE`.
    origin: String,
}

#[derive(Debug, Serialize)]
struct Validated {
    valid: bool,
    file: Option<PathBuf>,
    /// Settings that are not the default.
    set: usize,
    /// Plugins whose settings were judged by their own manifest: those that are built.
    judged: Vec<String>,
}

pub(super) fn run(context: &Context, verb: ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Validate { config } => {
            let mut loaded = context.settings(config.as_deref())?;
            settings::put_on_top(&mut loaded)?;
            let host = loaded.settings.host();
            host.check()
                .map_err(|error| Failure::failed("the host cannot start so").because(&error))?;
            let judged = manifests::check(&loaded.settings)?;
            let (file, set) = (loaded.file, loaded.origins.len());
            context.output.show(&Validated { valid: true, file, set, judged }, |validated| {
                let file = validated.file.as_ref().map_or_else(
                    || "there is no settings file, the defaults hold".to_owned(),
                    |file| format!("`{}` is valid", file.display()),
                );
                format!("{file}; {} settings differ from the default", validated.set)
            })
        }
        ConfigVerb::Get { path, config } => {
            let mut loaded = context.settings(config.as_deref())?;
            settings::put_on_top(&mut loaded)?;
            let found = found(&loaded, path.as_deref())?;
            context.output.show(&found, |settings| {
                let mut rows = Rows::new(["SETTING", "VALUE", "FROM"]);
                for Setting { path, value, origin } in settings {
                    let value = match value {
                        Value::String(text) => text.clone(),
                        value => value.to_string(),
                    };
                    rows.row([path.clone(), value, origin.clone()]);
                }
                rows.text("nothing is set here")
            })
        }
    }
}

/// The settings at or below a path.
fn found(loaded: &Loaded, path: Option<&str>) -> Result<Vec<Setting>, Failure> {
    let mut at = &loaded.document;
    for part in path.iter().flat_map(|path| path.split('.')) {
        at = at.get(part).ok_or_else(|| {
            let path = path.unwrap_or_default();
            Failure::usage(format!("there is no setting `{path}`"))
                .cause(format!("nothing is called `{part}` there"))
                .hint("`patchbay config get` shows them all")
        })?;
    }
    let mut found = Vec::new();
    collect(at, path.unwrap_or_default().to_owned(), loaded, &mut found);
    Ok(found)
}

fn collect(value: &Value, path: String, loaded: &Loaded, found: &mut Vec<Setting>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(value, below, loaded, found);
            }
        }
        // An empty section says nothing.
        Value::Object(_) => {}
        value => {
            let origin = origin(loaded, &path).to_string();
            found.push(Setting { path, value: value.clone(), origin });
        }
    }
}

/// Who set a value: a whole section may have been set at once.
fn origin(loaded: &Loaded, path: &str) -> Origin {
    let mut path = path;
    loop {
        if let Some(origin) = loaded.origins.get(path) {
            return origin.clone();
        }
        match path.rsplit_once('.') {
            Some((above, _)) => path = above,
            None => return Origin::Default,
        }
    }
}
