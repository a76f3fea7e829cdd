//! Bodies in and out: JSON with errors that a caller can act on.

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{gateway::Gateway, problem::ApiError};

/// A request body within the limit, and whether it holds one value a line.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) lines: bool,
}

/// Query parameters; an unknown or wrong one is refused in words.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

// === impl Body ===

impl Body {
    /// Reads one JSON value.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        json(&self.bytes)
    }
}

impl FromRequest<Gateway> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Body, ApiError> {
        let lines = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-ndjson"));
        let limit = gateway.limits.body_bytes;
        let bytes = to_bytes(request.into_body(), limit).await.map_err(|error| {
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the body is too large",
                format!("cannot read a body of at most {limit} bytes: {error}"),
                "send less at once, or raise `gateway.body_bytes`",
            )
            .rejected()
        })?;
        Ok(Body { bytes, lines })
    }
}

/// Reads one JSON value.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not as described: {error}")))
}

// === impl Params ===

impl<T: DeserializeOwned> FromRequestParts<Gateway> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Gateway) -> Result<Params<T>, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(error) => Err(ApiError::invalid(format!("the query is not valid: {error}"))),
        }
    }
}
