//! Routes about messages, topics and where deliveries are.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use patchbay_host::{
    NewMessage, Room,
    view::{LedgerView, MessageLife, TopicView},
};
use patchbay_wire::{
    TopicPattern,
    api::{Publish, Request},
};
use serde::Deserialize;
use uuid::Uuid;

use super::Route;
use crate::{
    exchange::{Body, Params, json},
    gateway::Gateway,
    message::{Outcome, Passed, TERMS, take_terms, to_host, view},
    problem::ApiError,
    stream::{Item, line, respond},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { path: "/api/v1/messages", methods: &["POST"], answer: post(publish) },
        Route { path: "/api/v1/messages/{mid}", methods: &["GET"], answer: get(explain) },
        Route { path: "/api/v1/requests", methods: &["POST"], answer: post(request) },
        Route { path: "/api/v1/taps", methods: &["GET"], answer: get(tap) },
        Route { path: "/api/v1/topics", methods: &["GET"], answer: get(topics) },
        Route { path: "/api/v1/ledger", methods: &["GET"], answer: get(ledger) },
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    /// How long each message of a batch may wait for room.
    wait: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    pattern: String,
}

async fn publish(
    State(gateway): State<Gateway>,
    Params(query): Params<Waiting>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if body.lines {
        if let Some(name) = TERMS.into_iter().find(|name| headers.contains_key(*name)) {
            let why = format!("with several messages, what `{name}` says is a field of each");
            return Err(ApiError::invalid(why).rejected());
        }
        return publish_lines(&gateway, query.wait.as_deref(), &body).await;
    }
    let mut offered: Publish = body.json().map_err(ApiError::rejected)?;
    take_terms(&mut offered, &headers)?;
    let room = room(&gateway, offered.wait.as_deref().or(query.wait.as_deref()))?;
    let message = to_host(offered)?;
    Ok(Json(gateway.host.publish(message, room).await?).into_response())
}

/// One message a line; one outcome a line, in the same order. A line that is refused does not touch
/// the others.
async fn publish_lines(
    gateway: &Gateway,
    wait: Option<&str>,
    body: &Body,
) -> Result<Response, ApiError> {
    let room = room(gateway, wait)?;
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut messages = Vec::new();
    let lines = body.bytes.split(|byte| *byte == b'\n').enumerate();
    for (at, text) in lines.filter(|(_, text)| !text.trim_ascii().is_empty()) {
        if outcomes.len() == gateway.limits.batch_messages {
            return Err(too_many(gateway.limits.batch_messages));
        }
        match read_line(text, at + 1) {
            Ok(message) => {
                messages.push(message);
                outcomes.push(None);
            }
            Err(error) => outcomes.push(Some(Outcome::Refused(*error.0))),
        }
    }
    let mut published = gateway.host.publish_many(messages, room).await.into_iter();
    let mut answer = Vec::new();
    for outcome in outcomes {
        let outcome = outcome.or_else(|| {
            published.next().map(|result| match result {
                Ok(published) => Outcome::Published(published),
                Err(error) => Outcome::Refused(*ApiError::from(error).0),
            })
        });
        answer.extend(line(&outcome));
    }
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(CONTENT_TYPE, kind)], answer).into_response())
}

fn read_line(text: &[u8], number: usize) -> Result<NewMessage, ApiError> {
    let message = json::<Publish>(text).and_then(|offered| match offered.wait {
        Some(_) => Err(ApiError::invalid("`wait` of several messages is a query parameter")),
        None => to_host(offered),
    });
    message.map_err(|mut error| {
        error.0.detail = format!("line {number}: {}", error.0.detail);
        error.rejected()
    })
}

fn too_many(limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_many_messages",
        "too many messages",
        format!("at most {limit} messages are taken at once; none of these was"),
        "send them in several requests, or raise `gateway.batch_messages`",
    )
    .rejected()
}

fn room(gateway: &Gateway, wait: Option<&str>) -> Result<Room, ApiError> {
    match wait {
        None => Ok(Room::Now),
        Some(text) => match gateway.wait(Some(text)).map_err(ApiError::rejected)? {
            Duration::ZERO => Ok(Room::Now),
            wait => Ok(Room::Within(wait)),
        },
    }
}

async fn explain(
    State(gateway): State<Gateway>,
    Path(mid): Path<String>,
) -> Result<Json<MessageLife>, ApiError> {
    let id = Uuid::parse_str(&mid).map_err(|error| {
        ApiError::invalid(format!("the id of a message is a UUID, and `{mid}` is none: {error}"))
    })?;
    // It goes through every queue: not on a thread that others wait for.
    let found = tokio::task::spawn_blocking(move || gateway.host.explain(id.as_u128())).await;
    found.ok().flatten().map(Json).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_message",
            "no such message",
            format!("nothing is known of message `{id}`: it never was, or nothing of it is left"),
            "a message in memory leaves no record once it is settled; level `disk` keeps one longer",
        )
    })
}

async fn request(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: Request = body.json().map_err(ApiError::rejected)?;
    let limit = gateway.wait(asked.timeout.as_deref()).map_err(ApiError::rejected)?;
    let message = to_host(asked.message)?;
    if message.dedup_key.is_some() || message.not_before_ns.is_some() {
        let why = "a request has no `dedup_key` and no `not_before`: somebody waits for its reply";
        return Err(ApiError::invalid(why).rejected());
    }
    let reply = gateway.host.request(message, limit).await?;
    let bytes = HeaderValue::from_static("application/octet-stream");
    if headers.get(ACCEPT) == Some(&bytes) {
        // The payload as it is; in JSON a number may be written otherwise.
        return Ok(([(CONTENT_TYPE, bytes)], reply.payload).into_response());
    }
    Ok(Json(view(reply)).into_response())
}

async fn tap(
    State(gateway): State<Gateway>,
    Params(query): Params<Pattern>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    TopicPattern::parse(&query.pattern).map_err(|e| ApiError::invalid(e.to_string()))?;
    let slot = gateway.stream_slot()?;
    let tap = gateway.host.tap(&query.pattern, gateway.limits.tap_messages)?;
    let items = stream::unfold(tap, async |mut tap| {
        let (message, missed) = tap.next().await?;
        let value = Passed { message: view(message), missed };
        Some((Item { event: "message", value }, tap))
    });
    Ok(respond(&gateway, &headers, slot, items))
}

async fn topics(State(gateway): State<Gateway>) -> Json<Vec<TopicView>> {
    Json(gateway.host.topics())
}

async fn ledger(State(gateway): State<Gateway>) -> Json<Vec<LedgerView>> {
    Json(gateway.host.ledger())
}
