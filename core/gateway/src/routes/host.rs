//! Routes about the host as a whole.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use patchbay_host::view::{GenerationView, HealthView, HostStatus, RescanReport};
use serde::{Deserialize, Serialize};

use super::Route;
use crate::{
    exchange::{Body, Params},
    exposition,
    gateway::{Gateway, StopRequest},
    problem::ApiError,
    stream::{Item, respond},
};

/// The description of this interface.
const OPENAPI: &str = include_str!("../../openapi.json");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { path: "/livez", methods: &["GET"], answer: get(livez) },
        Route { path: "/readyz", methods: &["GET"], answer: get(readyz) },
        Route { path: "/health", methods: &["GET"], answer: get(health) },
        Route { path: "/metrics", methods: &["GET"], answer: get(metrics) },
        Route { path: "/openapi.json", methods: &["GET"], answer: get(openapi) },
        Route { path: "/api/v1/status", methods: &["GET"], answer: get(status) },
        Route { path: "/api/v1/generations", methods: &["GET"], answer: get(generations) },
        Route { path: "/api/v1/rescan", methods: &["POST"], answer: post(rescan) },
        Route { path: "/api/v1/events", methods: &["GET"], answer: get(events) },
        Route { path: "/api/v1/shutdown", methods: &["POST"], answer: post(shutdown) },
    ]
}

/// The host's health with the reasons, in one page.
#[derive(Debug, Serialize)]
struct Health {
    /// `healthy` or `degraded`.
    status: String,
    phase: String,
    ready: bool,
    plugins: BTreeMap<String, PluginHealth>,
}

#[derive(Debug, Serialize)]
struct PluginHealth {
    state: String,
    health: HealthView,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shutdown {
    timeout: Option<String>,
}

#[derive(Debug, Serialize)]
struct Stopping {
    stopping: bool,
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(gateway): State<Gateway>) -> Result<&'static str, ApiError> {
    let status = gateway.host.status();
    if !gateway.host.keeps_what_it_accepts() {
        let journal = gateway.host.journal();
        let why = journal.reason.unwrap_or_default();
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "the host is not ready",
            format!("durable messages are refused, the journal is {}: {why}", journal.state),
            "`patchbay journal status` tells more; a full one recovers by itself, a failed one by a \
             restart",
        ));
    }
    if status.ready && status.phase == "running" {
        return Ok("ok\n");
    }
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "the host is not ready",
        format!("the host is {}, and not every enabled plugin has started or failed", status.phase),
        "`patchbay wait` returns when it is ready",
    ))
}

async fn health(State(gateway): State<Gateway>) -> Json<Health> {
    let HostStatus { health, phase, ready, .. } = gateway.host.status();
    let plugins = gateway.host.plugins().into_iter().map(|plugin| {
        let failure = plugin.failure.map(|failure| failure.reason);
        (plugin.name, PluginHealth { state: plugin.state, health: plugin.health, failure })
    });
    Json(Health { status: health, phase, ready, plugins: plugins.collect() })
}

async fn metrics(State(gateway): State<Gateway>) -> Response {
    let kind = HeaderValue::from_static(exposition::KIND);
    ([(CONTENT_TYPE, kind)], exposition::text(&gateway.host.measures())).into_response()
}

async fn openapi() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], OPENAPI).into_response()
}

async fn status(State(gateway): State<Gateway>) -> Json<HostStatus> {
    Json(gateway.host.status())
}

async fn generations(State(gateway): State<Gateway>) -> Json<Vec<GenerationView>> {
    Json(gateway.host.generations())
}

async fn rescan(
    State(gateway): State<Gateway>,
    Params(wait): Params<Wait>,
) -> Result<Json<RescanReport>, ApiError> {
    let limit = match &wait.timeout {
        Some(text) => gateway.wait(Some(text))?,
        None => gateway.limits.wait_max,
    };
    Ok(Json(gateway.host.rescan(limit).await?))
}

async fn events(State(gateway): State<Gateway>, headers: HeaderMap) -> Result<Response, ApiError> {
    let slot = gateway.stream_slot()?;
    let items = stream::unfold(gateway.host.events(), async |mut tap| {
        let value = tap.next().await?;
        Some((Item { event: "event", value }, tap))
    });
    Ok(respond(&gateway, &headers, slot, items))
}

async fn shutdown(State(gateway): State<Gateway>, body: Body) -> Result<Response, ApiError> {
    let asked: Shutdown = if body.bytes.is_empty() { Shutdown::default() } else { body.json()? };
    let limit = match &asked.timeout {
        Some(text) => Some(gateway.wait(Some(text))?),
        None => None,
    };
    gateway.request_stop(StopRequest { limit });
    Ok((StatusCode::ACCEPTED, Json(Stopping { stopping: true })).into_response())
}
