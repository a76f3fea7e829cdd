//! One layer of settings onto the one below.

use serde_json::{Map, Value};

use super::{Origin, Problem, Settings, shape::Shape};

/// A value that a layer sets.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Takes a layer apart into single values; unknown keys are problems.
pub(super) fn take_apart(
    layer: Value,
    shape: &Shape,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Vec<Given> {
    let mut given = Vec::new();
    walk(layer, shape, &mut Vec::new(), origin, &mut given, problems);
    given
}

fn walk(
    value: Value,
    shape: &Shape,
    path: &mut Vec<String>,
    origin: &Origin,
    given: &mut Vec<Given>,
    problems: &mut Vec<Problem>,
) {
    let section = matches!(shape, Shape::Section(_) | Shape::Names(_));
    let map = match value {
        Value::Object(map) if section => map,
        // An empty section in a file is nothing said.
        Value::Null if section => return,
        value if section => {
            let what = format!("expected a section, found {}", kind(&value));
            problems.push(Problem { path: dotted(path), what, origin: origin.clone() });
            return;
        }
        value => {
            let value = with_unit(path, value);
            given.push(Given { path: path.clone(), value, origin: origin.clone() });
            return;
        }
    };
    for (key, value) in map {
        path.push(key);
        match shape.below(&path[path.len() - 1]) {
            Some(below) => walk(value, below, path, origin, given, problems),
            None => problems.push(unknown(path, shape, origin)),
        }
        path.pop();
    }
}

/// An unknown key, with the one that was probably meant.
pub(super) fn unknown(path: &[String], shape: &Shape, origin: &Origin) -> Problem {
    let key = path.last().map_or("", String::as_str);
    let what = match shape.suggest(key) {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None => format!("unknown key; known here: {}", shape.keys()),
    };
    Problem { path: dotted(path), what, origin: origin.clone() }
}

/// Puts single values onto a document of valid settings. Each is tried alone first, so that every
/// wrong one is told with its path.
pub(super) fn put(document: &mut Value, given: Vec<Given>, problems: &mut Vec<Problem>) {
    let base = document.clone();
    for Given { path, value, origin } in given {
        let mut trial = base.clone();
        set(&mut trial, &path, value.clone());
        match serde_json::from_value::<Settings>(trial) {
            Ok(_) => set(document, &path, value),
            Err(error) => {
                let what = error.to_string();
                problems.push(Problem { path: dotted(&path), what, origin });
            }
        }
    }
}

fn set(document: &mut Value, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        *document = value;
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    if let Value::Object(map) = document {
        set(map.entry(key.clone()).or_insert(Value::Null), rest, value);
    }
}

/// Sizes may be written with a unit: `8MiB`. Settings of plugins are not touched.
pub(super) fn with_unit(path: &[String], value: Value) -> Value {
    let size = path.last().is_some_and(|key| key.ends_with("_bytes"));
    let ours = path.first().is_some_and(|section| section != "plugins");
    match &value {
        Value::String(text) if size && ours => match bytes(text) {
            Some(bytes) => Value::from(bytes),
            None => value,
        },
        _ => value,
    }
}

fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, unit)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(*unit)
}

pub(super) fn dotted(path: &[String]) -> String {
    path.join(".")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a section",
    }
}
