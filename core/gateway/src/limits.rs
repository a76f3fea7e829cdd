//! Bounds of the HTTP interface.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one caller, and all callers together, may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayLimits {
    /// Bytes of one request body.
    pub body_bytes: usize,
    /// Requests that are worked on at once; a further one is refused with 429.
    pub requests: usize,
    /// Messages in one publish of several.
    pub batch_messages: usize,
    /// Event and tap streams that are open at once; a further one is refused with 429.
    pub streams: usize,
    /// Messages that a stream keeps for a reader that is slow; the rest is missed, and counted.
    pub tap_messages: usize,
    /// Period of the comments that keep an idle event stream alive.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// How long to wait for a reply or a state when the caller does not say.
    #[serde(with = "duration")]
    pub wait_default: Duration,
    /// The longest wait that a caller may ask for.
    #[serde(with = "duration")]
    pub wait_max: Duration,
}

// === impl GatewayLimits ===

impl Default for GatewayLimits {
    fn default() -> GatewayLimits {
        GatewayLimits {
            // A payload of 8 MiB, the host's own limit, is 11 MiB in base64.
            body_bytes: 16 << 20,
            requests: 128,
            batch_messages: 10_000,
            streams: 64,
            tap_messages: 1_024,
            keep_alive: Duration::from_secs(15),
            wait_default: Duration::from_secs(5),
            wait_max: Duration::from_secs(300),
        }
    }
}

/// Durations as people write them: `30s`, `5m`. Plain numbers are refused.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a duration with its units.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    /// Reads a duration with its units.
    ///
    /// # Errors
    /// When it is no text, or no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("`{text}` is not a duration such as `30s`: {error}"))
        })
    }
}
