//! Payloads inside JSON: which bytes can stand there as what they are.

use serde_json::Value;

/// Whether a media type is JSON: `application/json`, `text/json`, or anything that ends in `+json`.
pub(crate) fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
}

/// The value of a JSON payload, if writing the value gives back the payload but for white space.
/// Numbers that do not fit, keys that appear twice and unusual escapes would be changed on the way:
/// such payloads travel as bytes.
pub(crate) fn faithful_json(data: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_vec(&value).ok()?;
    without_white_space(data).eq(written).then_some(value)
}

/// The bytes of a JSON text without white space between its tokens.
fn without_white_space(data: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (mut in_text, mut escaped) = (false, false);
    data.iter().copied().filter(move |&byte| {
        let keep = in_text || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ => {}
        }
        keep
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_would_be_changed_is_not_taken_for_json() {
        for faithful in ["null", " {\"a\": [1, 2.5, \"x \\\" y\"]}\n", "\" a \"", "-0.5", "[]"] {
            let value = faithful_json(faithful.as_bytes());
            assert!(value.is_some(), "{faithful}");
        }
        for other in [
            "",
            "nul",
            "{\"a\":1,\"a\":2}",
            "123456789012345678901234567890",
            "\"\\u0061\"",
            "1e400",
            "1.50",
            "[1,]",
        ] {
            assert_eq!(faithful_json(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn json_types_are_recognised_with_parameters_and_suffixes() {
        for json in ["application/json", "application/JSON; charset=utf-8", "application/x+json"] {
            assert!(is_json_type(json), "{json}");
        }
        for other in ["", "text/plain", "application/json-seq", "json"] {
            assert!(!is_json_type(other), "{other}");
        }
    }
}
