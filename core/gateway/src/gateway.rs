//! What every route shares.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use patchbay_host::HostHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

use crate::{limits::GatewayLimits, problem::ApiError};

/// The state behind the router. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The host that is served.
    pub(crate) host: HostHandle,
    /// Bounds.
    pub(crate) limits: Arc<GatewayLimits>,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    stop: watch::Sender<Option<StopRequest>>,
}

/// Somebody asked the host to end, by `POST /api/v1/shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// How long it may take; absent = as configured.
    pub limit: Option<Duration>,
}

// === impl Gateway ===

impl Gateway {
    /// A gateway to a host.
    #[must_use]
    pub fn new(host: HostHandle, limits: GatewayLimits) -> Gateway {
        let streams = Arc::new(Semaphore::new(limits.streams));
        let requests = Arc::new(Semaphore::new(limits.requests));
        let stop = watch::Sender::new(None);
        Gateway { host, limits: Arc::new(limits), requests, streams, stop }
    }

    /// Waits until somebody asks the host to end. The gateway itself ends nothing: whoever runs
    /// the host does.
    ///
    /// # Cancel safety
    /// Nothing is lost: a later call returns the same request.
    pub async fn stop_requested(&self) -> StopRequest {
        let mut requests = self.stop.subscribe();
        // The sender lives in `self`, so the channel cannot be closed here.
        match requests.wait_for(Option::is_some).await {
            Ok(request) => (*request).unwrap_or(StopRequest { limit: None }),
            Err(_) => StopRequest { limit: None },
        }
    }

    pub(crate) fn request_stop(&self, request: StopRequest) {
        self.stop.send_replace(Some(request));
    }

    /// The right to have one request worked on.
    pub(crate) fn request_slot(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.requests.try_acquire().map_err(|_| {
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests",
                format!("{} requests are worked on already", self.limits.requests),
                "ask again in a moment, or raise `gateway.requests`",
            )
            .rejected()
        })
    }

    /// The right to keep one stream open.
    pub(crate) fn stream_slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_streams",
                "too many streams",
                format!("{} event and tap streams are open already", self.limits.streams),
                "close one of them, or raise `gateway.streams`",
            )
        })
    }

    /// A wait as a caller asked for it, within the limits.
    pub(crate) fn wait(&self, asked: Option<&str>) -> Result<Duration, ApiError> {
        let Some(text) = asked else { return Ok(self.limits.wait_default) };
        let wait = parse_duration(text)?;
        if wait > self.limits.wait_max {
            let most = humantime::format_duration(self.limits.wait_max);
            return Err(ApiError::invalid(format!("`{text}` is longer than the {most} allowed")));
        }
        Ok(wait)
    }
}

/// A duration with a unit, as everywhere.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, ApiError> {
    humantime::parse_duration(text).map_err(|error| {
        ApiError::invalid(format!("`{text}` is not a duration such as `5s` or `250ms`: {error}"))
    })
}
