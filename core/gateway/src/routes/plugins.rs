//! Routes about plugins.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use patchbay_host::view::{GenerationView, HealthView, LogLine, PluginDetail, PluginView};
use serde::Deserialize;

use super::Route;
use crate::{exchange::Params, gateway::Gateway, problem::ApiError};

/// Whom a change is put down to: who may open the socket is the local administrator.
const WHO: &str = "operator";

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/v1/plugins/{name}";
    vec![
        Route { path: "/api/v1/plugins", methods: &["GET"], answer: get(list) },
        Route { path, methods: &["GET"], answer: get(info) },
        Route { path: "/api/v1/plugins/{name}/pause", methods: &["POST"], answer: post(pause) },
        Route { path: "/api/v1/plugins/{name}/resume", methods: &["POST"], answer: post(resume) },
        Route { path: "/api/v1/plugins/{name}/reset", methods: &["POST"], answer: post(reset) },
        Route { path: "/api/v1/plugins/{name}/restart", methods: &["POST"], answer: post(restart) },
        Route { path: "/api/v1/plugins/{name}/health", methods: &["GET"], answer: get(health) },
        Route { path: "/api/v1/plugins/{name}/logs", methods: &["GET"], answer: get(logs) },
        Route {
            path: "/api/v1/plugins/{name}/generations",
            methods: &["GET"],
            answer: get(generations),
        },
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Until {
    /// Answer when the plugin is in one of these states, with commas between them; `gone` = it is
    /// not known (any more).
    until: Option<String>,
    timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

type Reply<T> = Result<Json<T>, ApiError>;

async fn list(State(gateway): State<Gateway>) -> Json<Vec<PluginView>> {
    Json(gateway.host.plugins())
}

async fn info(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Params(query): Params<Until>,
) -> Result<Response, ApiError> {
    let Some(states) = query.until else {
        let detail: PluginDetail = gateway.host.plugin_detail(&name).await?;
        return Ok(Json(detail).into_response());
    };
    let limit = gateway.wait(query.timeout.as_deref())?;
    let reached = gateway
        .host
        .wait_for(&name, limit, move |plugin| match plugin {
            Some(plugin) => states.split(',').any(|state| state == plugin.state),
            None => states.split(',').any(|state| state == "gone"),
        })
        .await?;
    Ok(Json(reached).into_response())
}

async fn pause(State(gateway): State<Gateway>, Path(name): Path<String>) -> Reply<PluginView> {
    Ok(Json(gateway.host.pause(&name, WHO).await?))
}

async fn resume(State(gateway): State<Gateway>, Path(name): Path<String>) -> Reply<PluginView> {
    Ok(Json(gateway.host.resume(&name, WHO).await?))
}

async fn reset(State(gateway): State<Gateway>, Path(name): Path<String>) -> Reply<PluginView> {
    Ok(Json(gateway.host.reset(&name, WHO).await?))
}

async fn restart(State(gateway): State<Gateway>, Path(name): Path<String>) -> Reply<PluginView> {
    Ok(Json(gateway.host.restart(&name, WHO).await?))
}

async fn health(State(gateway): State<Gateway>, Path(name): Path<String>) -> Reply<HealthView> {
    Ok(Json(gateway.host.health(&name).await?))
}

async fn logs(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Params(query): Params<After>,
) -> Reply<Vec<LogLine>> {
    Ok(Json(gateway.host.logs(&name, query.after)?))
}

async fn generations(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Reply<Vec<GenerationView>> {
    // Retired generations outlive the name; only a name without any is unknown.
    let all = gateway.host.generations();
    let of_plugin: Vec<_> = all.into_iter().filter(|held| held.plugin == name).collect();
    if of_plugin.is_empty() {
        gateway.host.plugin(&name)?;
    }
    Ok(Json(of_plugin))
}
