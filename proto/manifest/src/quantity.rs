//! Lengths of time and sizes, as people write them.

use std::time::Duration;

use serde::Serializer;

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A text such as `30s`, `1h 30m` or `250ms`; `None` when it is something else or does not fit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    // A length of time has a handful of parts; more is an attempt to make us work.
    if text.len() > 64 {
        return None;
    }
    humantime::parse_duration(text.trim()).ok()
}

/// The text that [`parse_duration`] reads back.
pub(crate) fn show_duration(value: Duration) -> String {
    humantime::format_duration(value).to_string()
}

/// A text such as `64MiB`, `64Mi` or `512 B`; `None` when it is something else or does not fit.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The text that [`parse_bytes`] reads back.
pub(crate) fn show_bytes(value: u64) -> String {
    UNITS
        .iter()
        .find(|(_, factor)| value > 0 && value.is_multiple_of(*factor))
        .map_or_else(|| format!("{value}B"), |(unit, factor)| format!("{}{unit}", value / factor))
}

pub(crate) fn serialize_duration<S: Serializer>(
    value: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_duration(*value))
}

pub(crate) fn serialize_optional_duration<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serialize_duration(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(crate) fn serialize_bytes<S: Serializer>(
    value: &u64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_no_others() {
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("512Mi"), Some(512 << 20));
        assert_eq!(parse_bytes("1 KiB"), Some(1024));
        assert_eq!(parse_bytes("7"), Some(7));
        for wrong in ["64MB", "MiB", "", "-1", "1.5MiB", "99999999999999999999", "17179869184GiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 64 << 20, 3 << 30, u64::MAX] {
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }
        for millis in [1, 100, 1_000, 90_500, 86_400_000] {
            let value = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(value)), Some(value));
        }
    }
}
