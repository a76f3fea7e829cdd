//! Settings by environment variables: `PATCHBAY__LIMITS__POLL=2s` sets `limits.poll`.
//!
//! Two underscores stand between the parts of a path, so that names with one stay whole. Case does
//! not matter.

use serde_json::Value;

use super::{
    Origin, Problem,
    overlay::{Given, unknown, with_unit},
    shape::Shape,
};

const PREFIX: &str = "PATCHBAY__";

/// The values that the environment sets, in the order of their names.
pub(super) fn given(
    variables: impl IntoIterator<Item = (String, String)>,
    shape: &Shape,
    document: &Value,
    problems: &mut Vec<Problem>,
) -> Vec<Given> {
    let mut ours: Vec<(String, String)> =
        variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    let mut given = Vec::new();
    for (name, text) in ours {
        let origin = Origin::Environment(name.clone());
        match path_of(&name, shape, document) {
            Ok((path, held)) => {
                let value = with_unit(&path, read(&text, held));
                given.push(Given { path, value, origin });
            }
            Err((path, shape)) => problems.push(unknown(&path, shape, &origin)),
        }
    }
    given
}

type Unknown<'a> = (Vec<String>, &'a Shape);

/// The path that a variable means, and the value that is there by now. A part takes the spelling of
/// a key that is there already.
fn path_of<'a, 'd>(
    name: &str,
    shape: &'a Shape,
    document: &'d Value,
) -> Result<(Vec<String>, Option<&'d Value>), Unknown<'a>> {
    let mut path = Vec::new();
    let (mut at, mut held) = (shape, Some(document));
    for part in name[PREFIX.len()..].split("__") {
        let spelled = held
            .and_then(Value::as_object)
            .and_then(|map| map.keys().find(|key| key.eq_ignore_ascii_case(part)))
            .cloned()
            .unwrap_or_else(|| part.to_ascii_lowercase());
        path.push(spelled);
        let key = &path[path.len() - 1];
        held = held.and_then(|value| value.get(key));
        match at.below(key) {
            Some(below) => at = below,
            None => return Err((path, at)),
        }
    }
    Ok((path, held))
}

/// A text stays a text where a text is; elsewhere it is read as JSON when it can be.
fn read(text: &str, held: Option<&Value>) -> Value {
    match held {
        Some(Value::String(_)) => Value::String(text.to_owned()),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}
