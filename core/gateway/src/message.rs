//! Messages between the interface and the host.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use patchbay_host::{
    Level, NewMessage,
    view::{DeadLetterView, FailureRecord, Published, SeenMessage},
};
use patchbay_wire::api::{Headers, MessageView, PayloadView, Problem, Publish, instant};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{gateway::parse_duration, problem::ApiError};

/// Headers of an HTTP request that say the same as fields of its body: dedup key, level, not before,
/// expires.
pub(crate) const TERMS: [&str; 4] =
    ["patchbay-dedup-key", "patchbay-level", "patchbay-not-before", "patchbay-expires"];
/// Longest dedup key.
const DEDUP_KEY_MAX: usize = 255;

/// A message as a tap shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// The message.
    pub message: MessageView,
    /// Messages that this reader missed before this one, because it was slow.
    pub missed: u64,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Identifies it: grows from one dead letter to the next.
    pub number: u64,
    /// The message as it was accepted.
    pub message: MessageView,
    /// Plugin that owned the subscription.
    pub plugin: String,
    /// Number of the subscription within the plugin.
    pub subscription: u32,
    /// Version that had its last attempt; empty when it had none.
    pub version: String,
    /// Generation that had it, as the host of that time counted; 0 when it had none.
    pub generation: u64,
    /// Why it died.
    pub reason: String,
    /// Stable word for the reason.
    pub class: String,
    /// Hand-offs.
    pub attempts: u32,
    /// Charged failures.
    pub failures: u32,
    /// How often it was sent back before.
    pub redrives: u32,
    /// When it died, RFC 3339.
    pub at: String,
    /// The latest failures, oldest first.
    pub history: Vec<FailureRecord>,
}

/// What became of one message of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It was accepted.
    Published(Published),
    /// It was not.
    Refused(Problem),
}

/// Puts what the headers of an HTTP request say about a message into the message.
pub(crate) fn take_terms(publish: &mut Publish, headers: &HeaderMap) -> Result<(), ApiError> {
    let fields = [
        (TERMS[0], &mut publish.dedup_key),
        (TERMS[1], &mut publish.level),
        (TERMS[2], &mut publish.not_before),
        (TERMS[3], &mut publish.expires),
    ];
    for (name, field) in fields {
        let Some(value) = headers.get(name) else { continue };
        let text = value.to_str().map_err(|_| {
            ApiError::invalid(format!("the header `{name}` is not printable ASCII")).rejected()
        })?;
        if field.as_ref().is_some_and(|said| said != text) {
            let why = format!("the header `{name}` and the body say different things");
            return Err(ApiError::invalid(why).rejected());
        }
        *field = Some(text.to_owned());
    }
    Ok(())
}

/// Makes the host's form of an offered message.
pub(crate) fn to_host(mut publish: Publish) -> Result<NewMessage, ApiError> {
    let payload = publish.take_payload().map_err(|error| {
        let why = std::error::Error::source(&error).map_or(String::new(), |s| format!(": {s}"));
        ApiError::invalid(format!("{error}{why}")).rejected()
    })?;
    let id = match &publish.id {
        Some(text) => Some(parse_id(text)?),
        None => None,
    };
    let expires_ns = match (&publish.ttl, &publish.expires) {
        (Some(_), Some(_)) => {
            let why = "`ttl` and `expires` say the same; give one of them";
            return Err(ApiError::invalid(why).rejected());
        }
        (Some(text), None) => {
            let ttl = parse_duration(text).map_err(ApiError::rejected)?;
            Some(now_ns().saturating_add(nanoseconds(ttl)))
        }
        (None, Some(text)) => Some(parse_instant("expires", text)?),
        (None, None) => None,
    };
    let not_before_ns = match &publish.not_before {
        Some(text) => Some(parse_instant("not_before", text)?),
        None => None,
    };
    let level = match &publish.level {
        Some(text) => Some(parse_level(text)?),
        None => None,
    };
    if publish.dedup_key.as_ref().is_some_and(|key| !(1..=DEDUP_KEY_MAX).contains(&key.len())) {
        let why = format!("`dedup_key` must have 1 to {DEDUP_KEY_MAX} bytes");
        return Err(ApiError::invalid(why).rejected());
    }
    Ok(NewMessage {
        topic: publish.topic,
        key: publish.key,
        headers: publish.headers.0,
        payload,
        id,
        expires_ns,
        not_before_ns,
        dedup_key: publish.dedup_key,
        level,
    })
}

/// Shows a message.
pub(crate) fn view(seen: SeenMessage) -> MessageView {
    let key = String::from_utf8_lossy(&seen.key).into_owned();
    MessageView {
        id: Uuid::from_u128(seen.id).to_string(),
        topic: seen.topic,
        time: instant(seen.time_ns),
        key: (!key.is_empty()).then_some(key),
        headers: Headers(seen.headers),
        hops: seen.hops,
        expires: (seen.expires_ns != 0).then(|| instant(seen.expires_ns)),
        size: seen.payload.len(),
        payload: PayloadView::of(&seen.payload),
    }
}

/// Shows a dead letter.
pub(crate) fn dead_letter(dead: DeadLetterView) -> DeadLetter {
    DeadLetter {
        number: dead.number,
        message: view(dead.message),
        plugin: dead.plugin,
        subscription: dead.subscription,
        version: dead.version,
        generation: dead.generation,
        reason: dead.reason,
        class: dead.class,
        attempts: dead.attempts,
        failures: dead.failures,
        redrives: dead.redrives,
        at: dead.at,
        history: dead.history,
    }
}

fn parse_id(text: &str) -> Result<u128, ApiError> {
    Uuid::parse_str(text).map(|id| id.as_u128()).map_err(|error| {
        ApiError::invalid(format!("`id` must be a UUID, and `{text}` is none: {error}")).rejected()
    })
}

fn parse_level(text: &str) -> Result<Level, ApiError> {
    text.parse::<Level>().map_err(|error| ApiError::invalid(error.to_string()).rejected())
}

fn parse_instant(field: &str, text: &str) -> Result<u64, ApiError> {
    let wrong = |why: &dyn std::fmt::Display| {
        let why = format!("`{field}` must be a time such as `2026-01-31T12:00:00Z`: {why}");
        ApiError::invalid(why).rejected()
    };
    let at = humantime::parse_rfc3339_weak(text).map_err(|error| wrong(&error))?;
    at.duration_since(UNIX_EPOCH).map(nanoseconds).map_err(|error| wrong(&error))
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanoseconds)
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offered_message_becomes_the_hosts() {
        let text = r#"{"topic":"a.b","data":[1],"key":"k","headers":{"H":"v"},
            "id":"018f3f5c-0000-7000-8000-000000000001","ttl":"1h"}"#;
        let message = to_host(serde_json::from_str(text).expect("a publish")).expect("a message");
        assert_eq!(message.payload, b"[1]");
        assert_eq!(message.headers, [("H".to_owned(), "v".to_owned())]);
        assert_eq!(message.id.map(|id| id as u8), Some(1));
        assert!(message.expires_ns > Some(now_ns()));
    }

    #[test]
    fn a_wrong_id_ttl_or_payload_is_refused_by_name() {
        for (text, word) in [
            (r#"{"topic":"t","id":"7"}"#, "UUID"),
            (r#"{"topic":"t","ttl":"7"}"#, "duration"),
            (r#"{"topic":"t","expires":"soon"}"#, "`expires`"),
            (r#"{"topic":"t","not_before":"soon"}"#, "`not_before`"),
            (r#"{"topic":"t","level":"tape"}"#, "memory, process or disk"),
            (r#"{"topic":"t","dedup_key":""}"#, "`dedup_key`"),
            (r#"{"topic":"t","ttl":"1s","expires":"2026-01-31T12:00:00Z"}"#, "one of them"),
            (r#"{"topic":"t","text":"","base64":""}"#, "one payload"),
        ] {
            let refused = to_host(serde_json::from_str(text).expect("a publish"));
            let error = refused.expect_err("refused");
            assert!(error.0.detail.contains(word), "{}", error.0.detail);
            assert_eq!((error.0.status, error.0.rejected), (400, true));
        }
    }
}
