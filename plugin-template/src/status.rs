//! What a handler says about a message, and a plugin about itself.

use std::{fmt::Write, time::Duration};

use crate::message::Message;

/// How a message was dealt with.
///
/// The fifth way is an `Err(`[`PluginError`](crate::PluginError)`)`: charged to the message as a
/// failure, and tried again after the host's backoff unless the manifest says otherwise.
#[derive(Clone, Debug)]
pub enum ProcessingStatus {
    /// Done.
    Acknowledged,
    /// Not now: again, not before this time has passed. The host clamps it to between 10 ms and its
    /// `max_retry_delay`. Not charged as a failure, but counted as an attempt.
    RetryLater(Duration),
    /// Never: to the dead letters at once, with this reason.
    Failed(String),
    /// Done here; the message goes on to another topic. The payload is shared, not copied. The
    /// topic is that of the first field, whatever the message says.
    Forward(String, Message),
}

/// What a plugin says about its own health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `Ok` with a detail (often empty), or `Err` with what is wrong.
    pub(crate) verdict: Result<String, String>,
}

/// Numbers and texts a plugin shows about itself, beside those that the host keeps: a JSON object.
///
/// ```
/// use patchbay_plugin::Metrics;
///
/// let metrics = Metrics::new().with("cached", 12_u64).with_text("model", "base");
/// assert_eq!(metrics.as_json(), r#"{"cached":12,"model":"base"}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    members: String,
}

// === impl Health ===

impl Health {
    /// Healthy.
    #[must_use]
    pub fn healthy() -> Self {
        Health { verdict: Ok(String::new()) }
    }

    /// Healthy, with something to say about it.
    #[must_use]
    pub fn healthy_with(detail: impl Into<String>) -> Self {
        Health { verdict: Ok(detail.into()) }
    }

    /// Not healthy, and why.
    #[must_use]
    pub fn unhealthy(why: impl Into<String>) -> Self {
        Health { verdict: Err(why.into()) }
    }

    /// Whether it is healthy.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.verdict.is_ok()
    }
}

impl From<bool> for Health {
    fn from(healthy: bool) -> Self {
        if healthy { Health::healthy() } else { Health::unhealthy("the health check says no") }
    }
}

// === impl Metrics ===

impl Metrics {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Metrics::default()
    }

    /// Adds a number. One that JSON cannot hold (NaN, infinite) becomes `null`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Number>) -> Self {
        self.name(name);
        self.members.push_str(&value.into().0);
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn with_text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(&mut self.members, value);
        self
    }

    /// The object as JSON.
    #[must_use]
    pub fn as_json(&self) -> String {
        format!("{{{}}}", self.members)
    }

    fn name(&mut self, name: &str) {
        if !self.members.is_empty() {
            self.members.push(',');
        }
        quote(&mut self.members, name);
        self.members.push(':');
    }
}

#[cfg(feature = "json")]
impl From<serde_json::Value> for Metrics {
    /// The members of an object; anything else becomes the member `value`.
    fn from(value: serde_json::Value) -> Self {
        let text = match value {
            serde_json::Value::Object(_) => value.to_string(),
            other => serde_json::json!({ "value": other }).to_string(),
        };
        Metrics { members: text[1..text.len() - 1].to_owned() }
    }
}

/// A number of [`Metrics`].
#[derive(Clone, Debug)]
pub struct Number(String);

macro_rules! whole_number {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Number {
            fn from(value: $kind) -> Self {
                Number(value.to_string())
            }
        }
    )*};
}
whole_number!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number(if value.is_finite() { value.to_string() } else { "null".to_owned() })
    }
}

/// Appends a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing to a string cannot fail.
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_a_json_object_whatever_the_names() {
        let metrics = Metrics::new().with("a\"b", 1_i64).with("nan", f64::NAN).with_text("t", "\n");
        assert_eq!(metrics.as_json(), r#"{"a\"b":1,"nan":null,"t":"\u000a"}"#);
        assert_eq!(Metrics::new().as_json(), "{}");
    }
}
