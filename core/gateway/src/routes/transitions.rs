//! Routes about transitions from one version of a plugin to another.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use patchbay_host::TransitionRequest;
use patchbay_lifecycle::transition::{Asked, Outline, Record, Report, TransitionSpec};
use serde::{Deserialize, Serialize};

use super::{Route, idempotency};
use crate::{
    exchange::{Body, Params},
    gateway::Gateway,
    problem::ApiError,
};

/// Whom a change is put down to: who may open the socket is the local administrator.
const WHO: &str = "operator";
/// Transitions that are listed unless the caller says otherwise.
const LISTED: usize = 50;
/// Most that are listed.
const LISTED_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let asking = |path, asked: Asked| Route { path, methods: &["POST"], answer: ask(asked) };
    vec![
        Route { path: "/api/v1/transitions", methods: &["GET"], answer: get(list) },
        Route { path: "/api/v1/transitions/{id}", methods: &["GET"], answer: get(one) },
        Route {
            path: "/api/v1/plugins/{name}/transition",
            methods: &["GET", "POST"],
            answer: get(status).post(start),
        },
        Route {
            path: "/api/v1/plugins/{name}/transition/plan",
            methods: &["POST"],
            answer: post(plan),
        },
        asking("/api/v1/plugins/{name}/transition/pause", Asked::Pause),
        asking("/api/v1/plugins/{name}/transition/resume", Asked::Resume),
        asking("/api/v1/plugins/{name}/transition/promote", Asked::Promote),
        asking("/api/v1/plugins/{name}/transition/abort", Asked::Abort),
        asking("/api/v1/plugins/{name}/transition/rollback", Asked::Rollback),
    ]
}

/// What a transition would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionPlan {
    /// What would be done, defaults filled in.
    pub spec: TransitionSpec,
    /// Step by step, with what can go wrong.
    pub outline: Outline,
    /// The same for reading.
    pub text: String,
}

/// The latest transition of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionStatus {
    /// The latest one, also of a former life of the host.
    pub report: Option<Report>,
    /// What is durable, also of a former life of the host.
    pub record: Option<Record>,
}

/// Which transitions are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Those of this plugin; absent = of all.
    plugin: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

type Reply<T> = Result<Json<T>, ApiError>;

async fn list(State(gateway): State<Gateway>, Params(query): Params<Query>) -> Reply<Vec<Report>> {
    let all = gateway.host.transition_history(query.plugin.as_deref())?.into_iter();
    let limit = query.limit.unwrap_or(LISTED).min(LISTED_MAX);
    Ok(Json(all.take(limit).map(Arc::unwrap_or_clone).collect()))
}

async fn one(State(gateway): State<Gateway>, Path(id): Path<String>) -> Reply<Report> {
    let mut all = gateway.host.transition_history(None)?.into_iter();
    let found = all.find(|report| report.spec.id == id).map(Arc::unwrap_or_clone);
    found.map(Json).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_transition",
            "no such transition",
            format!("no transition that is remembered has the id `{id}`"),
            "`patchbay transition list` shows them",
        )
    })
}

async fn status(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Reply<TransitionStatus> {
    let latest = gateway.host.transition_history(Some(&name))?.into_iter().next();
    let report = latest.map(Arc::unwrap_or_clone);
    let record = gateway.host.transition_record(&name)?;
    Ok(Json(TransitionStatus { report, record }))
}

async fn plan(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    body: Body,
) -> Reply<TransitionPlan> {
    let request: TransitionRequest = body.json()?;
    let spec = gateway.host.transition_plan(&name, request, WHO).await?;
    let outline = Outline::of(&spec);
    let text = outline.to_string();
    Ok(Json(TransitionPlan { spec, outline, text }))
}

async fn start(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut request: TransitionRequest = body.json()?;
    if let Some(key) = idempotency::key(&headers)? {
        request.idempotency_key = Some(key);
    }
    let report = gateway.host.transition_start(&name, request, WHO).await?;
    let at = format!("/api/v1/transitions/{}", report.spec.id);
    let report = Json(Arc::unwrap_or_clone(report));
    let mut answer = (StatusCode::ACCEPTED, report).into_response();
    if let Ok(at) = HeaderValue::from_str(&at) {
        answer.headers_mut().insert(LOCATION, at);
    }
    Ok(answer)
}

/// Answers with where the transition stands once it was told.
fn ask(asked: Asked) -> MethodRouter<Gateway> {
    post(move |gateway: State<Gateway>, name: Path<String>, headers: HeaderMap| async move {
        let (State(Gateway { host, .. }), Path(name)) = (gateway, name);
        let report = match idempotency::key(&headers)? {
            Some(key) => host.transition_ask_once(&name, asked, WHO, &key).await?,
            None => host.transition_ask(&name, asked, WHO).await?,
        };
        Ok::<_, ApiError>(Json(Arc::unwrap_or_clone(report)))
    })
}
