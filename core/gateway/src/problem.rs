//! Errors as `application/problem+json` (RFC 9457).
//!
//! `code` is stable and for programs, `detail` says what was wrong this time, `hint` what to try.

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use patchbay_host::{HostError, LetterError, PublishError};
use patchbay_wire::api::Problem;

/// An error on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(pub Box<Problem>);

// === impl ApiError ===

impl ApiError {
    /// An error of the interface itself.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &str,
        title: &str,
        detail: impl Into<String>,
        hint: &str,
    ) -> ApiError {
        let mut problem = Problem::new(status.as_u16(), code, title, detail);
        problem.hint = Some(hint.to_owned());
        problem.doc = Some(format!("/openapi.json#/x-problems/{code}"));
        ApiError(Box::new(problem))
    }

    /// The caller's request cannot be understood.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> ApiError {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "the request is not valid",
            detail,
            "`GET /openapi.json` describes every request",
        )
    }

    /// The same, about an offered message: it was certainly not accepted.
    #[must_use]
    pub fn rejected(mut self) -> ApiError {
        self.0.rejected = true;
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&*self.0).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(CONTENT_TYPE, kind)], body).into_response()
    }
}

impl From<HostError> for ApiError {
    fn from(error: HostError) -> ApiError {
        let (status, title) = match &error {
            HostError::UnknownPlugin { .. } => (StatusCode::NOT_FOUND, "no such plugin"),
            HostError::NoOrphan { .. } => (StatusCode::NOT_FOUND, "nothing waits"),
            HostError::WrongState { .. } => (StatusCode::CONFLICT, "not in this state"),
            HostError::Plugin { .. } => (StatusCode::BAD_GATEWAY, "the plugin failed"),
            HostError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
            HostError::Refused { code, .. } => (refused(code), "the transition was refused"),
            HostError::Closing => (StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the host failed"),
        };
        ApiError::new(status, error.code(), title, error.to_string(), error.hint())
    }
}

/// The status of a refusal that is told apart by its code.
fn refused(code: &str) -> StatusCode {
    match code {
        "unknown_version" | "no_transition" => StatusCode::NOT_FOUND,
        "share" | "steps" | "deadline" | "number" | "not_mirror_safe" | "nothing_to_verify" => {
            StatusCode::BAD_REQUEST
        }
        "contract" => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    }
}

impl From<LetterError> for ApiError {
    fn from(error: LetterError) -> ApiError {
        let (status, title) = match &error {
            LetterError::Invalid { .. } => (StatusCode::BAD_REQUEST, "not valid"),
            LetterError::KeyTaken { .. } => (StatusCode::CONFLICT, "the key is taken"),
            LetterError::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "too many operations"),
            LetterError::UnknownOperation { .. } => (StatusCode::NOT_FOUND, "no such operation"),
            LetterError::Closing => (StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the host failed"),
        };
        ApiError::new(status, error.code(), title, error.to_string(), error.hint())
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> ApiError {
        let (status, title) = match &error {
            PublishError::Full { .. } => (StatusCode::TOO_MANY_REQUESTS, "a queue is full"),
            PublishError::BacklogFull { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "a backlog is full")
            }
            PublishError::NoMatch => (StatusCode::NOT_FOUND, "nobody subscribes"),
            PublishError::Expired => (StatusCode::BAD_REQUEST, "it expires too early"),
            PublishError::DedupMismatch { .. } => (StatusCode::CONFLICT, "the dedup key is taken"),
            PublishError::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "no room on disk"),
            PublishError::JournalFailed { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "the journal has failed")
            }
            PublishError::NoJournal { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "there is no journal")
            }
            PublishError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            PublishError::Invalid { .. } => (StatusCode::BAD_REQUEST, "not valid"),
            PublishError::Reserved { .. } => (StatusCode::FORBIDDEN, "the topic is reserved"),
            PublishError::HopLimit { .. } => (StatusCode::CONFLICT, "too many hops"),
            PublishError::NoResponders { .. } => (StatusCode::NOT_FOUND, "nobody answers"),
            PublishError::NoReply { .. } => (StatusCode::GATEWAY_TIMEOUT, "no reply in time"),
            PublishError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the host failed"),
        };
        let api = ApiError::new(status, error.code(), title, error.to_string(), error.hint());
        // What may have been accepted is not called rejected (P-5).
        if error.is_unknown() { api } else { api.rejected() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_publish_that_was_refused_says_so_and_one_without_reply_does_not() {
        let full = ApiError::from(PublishError::Full { subscription: "a, t.>".into() });
        assert_eq!((full.0.status, full.0.rejected), (429, true));
        let silent = ApiError::from(PublishError::NoReply { limit: Duration::from_secs(1) });
        assert_eq!((silent.0.status, silent.0.rejected), (504, false));
        for (error, status, code, rejected) in [
            (PublishError::StorageFull, 507, "storage_full", true),
            (PublishError::JournalFailed { written: false }, 503, "journal_failed", true),
            (PublishError::JournalFailed { written: true }, 503, "journal_failed", false),
            (PublishError::BacklogFull { subscription: "a".into() }, 429, "backlog_full", true),
            (PublishError::DedupMismatch { first: "b".into() }, 409, "dedup_mismatch", true),
            (PublishError::NoMatch, 404, "no_match", true),
            (PublishError::Closed, 503, "closing", true),
        ] {
            let api = ApiError::from(error).0;
            assert_eq!((api.status, &*api.code, api.rejected), (status, code, rejected));
        }
    }

    #[test]
    fn a_problem_carries_code_hint_and_type() {
        let error = ApiError::from(HostError::UnknownPlugin { plugin: "echo".into() });
        assert_eq!(error.0.code, "unknown_plugin");
        assert_eq!(error.0.kind, "urn:patchbay:problem:unknown_plugin");
        assert!(error.0.hint.is_some_and(|hint| hint.contains("plugin list")));
        assert!(error.0.detail.contains("echo"));
    }
}
