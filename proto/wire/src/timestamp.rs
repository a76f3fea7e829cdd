//! Points in time on the wall clock.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Nanoseconds since the Unix epoch, from 1970 to 2554; as text RFC 3339 in UTC, with as many
/// digits (0, 3, 6 or 9) as it takes to lose nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

/// A text that is not such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time between 1970 and 2554 such as `2026-01-31T12:00:00.5Z`")]
pub struct TimestampError;

// === impl Timestamp ===

impl Timestamp {
    /// The system's wall clock; the epoch when that stands before it.
    #[must_use]
    pub fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Accepts any offset from UTC, and lower-case `t` and `z`.
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        if text.len() > 64 || !text.is_ascii() {
            return Err(TimestampError);
        }
        let mut plain = text.to_ascii_uppercase();
        let mut west_s: i128 = 0;
        if !plain.ends_with('Z') {
            let at = plain.len().checked_sub(6).ok_or(TimestampError)?;
            west_s = offset_seconds(&plain[at..]).ok_or(TimestampError)?;
            plain.replace_range(at.., "Z");
        }
        let time = humantime::parse_rfc3339(&plain).map_err(|_| TimestampError)?;
        let local_ns = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()).map_err(|_| TimestampError)?,
            Err(before) => {
                -i128::try_from(before.duration().as_nanos()).map_err(|_| TimestampError)?
            }
        };
        u64::try_from(local_ns - west_s * 1_000_000_000).map(Timestamp).map_err(|_| TimestampError)
    }
}

/// `+02:00` as seconds east of UTC.
fn offset_seconds(text: &str) -> Option<i128> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, max: i128| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i128>().ok().filter(|value| digits && *value <= max)
    };
    Some(sign * (number(hours, 23)? * 3_600 + number(minutes, 59)? * 60))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_nanos(self.0);
        match self.0 {
            ns if ns % 1_000_000_000 == 0 => humantime::format_rfc3339_seconds(time).fmt(f),
            ns if ns % 1_000_000 == 0 => humantime::format_rfc3339_millis(time).fmt(f),
            ns if ns % 1_000 == 0 => humantime::format_rfc3339_micros(time).fmt(f),
            _ => humantime::format_rfc3339_nanos(time).fmt(f),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_loses_nothing_and_shows_no_more_than_it_must() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000_000, "1970-01-01T00:00:01.500Z"),
            (1_700_000_000_000_001_000, "2023-11-14T22:13:20.000001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ];
        for (ns, text) in table {
            assert_eq!(Timestamp(ns).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(ns)));
        }
    }

    #[test]
    fn offsets_are_understood_and_nonsense_is_not() {
        let noon: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
        for text in ["2026-01-31T14:00:00+02:00", "2026-01-31t06:30:00.000-05:30"] {
            assert_eq!(text.parse(), Ok(noon), "{text}");
        }
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Timestamp(0)));
        for text in [
            "",
            "Z",
            "now",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-13-31T12:00:00Z",
            "2026-01-31T12:00:00+2:00",
            "2026-01-31T12:00:00+02:60",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2999-01-01T00:00:00Z",
            "2026-01-31T12:00:00é",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }
}
