//! Routes about the journal, and about what waits in it: for plugins that are gone, or that are cut
//! off because it is too much.

use axum::{
    Json,
    extract::{Path, State},
    routing::{get, post},
};
use patchbay_host::view::{AttachedView, DamageView, JournalView, OrphanView, PurgedView};
use serde::Deserialize;

use super::Route;
use crate::{exchange::Params, gateway::Gateway, problem::ApiError};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { path: "/api/v1/journal", methods: &["GET"], answer: get(journal) },
        Route { path: "/api/v1/journal/damage", methods: &["GET"], answer: get(damage) },
        Route { path: "/api/v1/orphans", methods: &["GET"], answer: get(orphans) },
        Route { path: "/api/v1/orphans/{name}/purge", methods: &["POST"], answer: post(purge) },
        Route { path: "/api/v1/plugins/{name}/attach", methods: &["POST"], answer: post(attach) },
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPattern {
    /// Only the subscription of this pattern.
    pattern: Option<String>,
}

async fn journal(State(gateway): State<Gateway>) -> Json<JournalView> {
    Json(gateway.host.journal())
}

async fn damage(State(gateway): State<Gateway>) -> Json<Vec<DamageView>> {
    Json(gateway.host.damage())
}

async fn orphans(State(gateway): State<Gateway>) -> Json<Vec<OrphanView>> {
    Json(gateway.host.orphans())
}

async fn purge(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Params(query): Params<OfPattern>,
) -> Result<Json<PurgedView>, ApiError> {
    Ok(Json(gateway.host.purge_orphans(&name, query.pattern, "operator").await?))
}

async fn attach(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Params(query): Params<OfPattern>,
) -> Result<Json<AttachedView>, ApiError> {
    Ok(Json(gateway.host.attach(&name, query.pattern, "operator").await?))
}
