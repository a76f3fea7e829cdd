//! A caller's word for one job: asked twice under it, the job is done once (P-43).

use axum::http::HeaderMap;

use crate::problem::ApiError;

/// The header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest such word.
const KEY_MAX: usize = 255;

/// The word, if there is one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=KEY_MAX).contains(&text.len()));
    match text {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(ApiError::invalid(format!(
            "the header `Idempotency-Key` must have 1 to {KEY_MAX} printable ASCII characters"
        ))),
    }
}
