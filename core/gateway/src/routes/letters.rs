//! Routes about dead letters, and about operations on many of them.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use patchbay_host::{
    LetterFilter, LetterJob, LetterWork,
    view::{OperationView, UnreadableView},
};
use serde::Deserialize;

use super::{Route, idempotency};
use crate::{
    exchange::{Body, Params},
    gateway::Gateway,
    message::{DeadLetter, dead_letter},
    problem::ApiError,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { path: "/api/v1/dead-letters", methods: &["GET"], answer: get(list) },
        Route {
            path: "/api/v1/dead-letters/unreadable",
            methods: &["GET"],
            answer: get(unreadable),
        },
        Route { path: "/api/v1/dead-letters/{id}", methods: &["GET"], answer: get(one) },
        Route {
            path: "/api/v1/dead-letters/redrive",
            methods: &["POST"],
            answer: post(async |state, headers, body| {
                work(LetterWork::Redrive, state, headers, body)
            }),
        },
        Route {
            path: "/api/v1/dead-letters/purge",
            methods: &["POST"],
            answer: post(async |state, headers, body| {
                work(LetterWork::Purge, state, headers, body)
            }),
        },
        Route { path: "/api/v1/operations", methods: &["GET"], answer: get(operations) },
        Route { path: "/api/v1/operations/{id}", methods: &["GET"], answer: get(operation) },
        Route { path: "/api/v1/operations/{id}/cancel", methods: &["POST"], answer: post(cancel) },
    ]
}

/// A filter as a query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    plugin: Option<String>,
    topic: Option<String>,
    class: Option<String>,
    since: Option<String>,
    until: Option<String>,
    reason: Option<String>,
    limit: Option<usize>,
}

/// What is to be done to which dead letters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Work {
    /// Which.
    select: LetterFilter,
    /// At most so many a second.
    rate: Option<u32>,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
}

async fn list(
    State(gateway): State<Gateway>,
    Params(query): Params<Query>,
) -> Result<Json<Vec<DeadLetter>>, ApiError> {
    let Query { plugin, topic, class, since, until, reason, limit } = query;
    let filter = LetterFilter {
        plugin,
        topic,
        class,
        since,
        until,
        reason,
        limit,
        ..LetterFilter::default()
    };
    let dead = gateway.host.dead_letters_where(&filter)?.into_iter();
    Ok(Json(dead.map(dead_letter).collect()))
}

async fn unreadable(State(gateway): State<Gateway>) -> Json<Vec<UnreadableView>> {
    Json(gateway.host.unreadable_letters())
}

async fn one(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Json<DeadLetter>, ApiError> {
    // The id of the message is enough unless it died in several subscriptions: then the first.
    let number = id.parse::<u64>().ok();
    let mut dead = gateway.host.dead_letters().into_iter().map(dead_letter);
    dead.find(|dead| Some(dead.number) == number || dead.message.id == id).map(Json).ok_or_else(
        || match number.and_then(|number| gateway.host.unreadable_letter(number)) {
            Some(why) => ApiError::new(
                StatusCode::GONE,
                "unreadable_dead_letter",
                "the dead letter is lost",
                why,
                "GET /api/v1/journal/damage and `patchbay journal verify` list what is damaged; \
                 the message has to be published anew, and `patchbay dlq purge NUMBER` forgets it",
            ),
            None => ApiError::new(
                StatusCode::NOT_FOUND,
                "unknown_dead_letter",
                "no such dead letter",
                format!("no dead letter has the number or message id `{id}`"),
                "`patchbay dlq list` shows the numbers; old ones make room for new ones",
            ),
        },
    )
}

fn work(
    work: LetterWork,
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Work { select: filter, rate, dry_run } = body.json()?;
    let key = idempotency::key(&headers)?;
    let job = LetterJob { work, filter, rate, who: "operator".to_owned(), key };
    if dry_run {
        return Ok(Json(gateway.host.plan_letters(&job)?).into_response());
    }
    let operation = gateway.host.begin_letters(job)?;
    let at = format!("/api/v1/operations/{}", operation.id);
    let mut answer = (StatusCode::ACCEPTED, Json(operation)).into_response();
    if let Ok(at) = HeaderValue::from_str(&at) {
        answer.headers_mut().insert(LOCATION, at);
    }
    Ok(answer)
}

async fn operations(State(gateway): State<Gateway>) -> Json<Vec<OperationView>> {
    Json(gateway.host.operations())
}

async fn operation(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, ApiError> {
    Ok(Json(gateway.host.operation(&id)?))
}

async fn cancel(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, ApiError> {
    Ok(Json(gateway.host.cancel_operation(&id)?))
}
