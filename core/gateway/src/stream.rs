//! Answers without an end: server-sent events, or one JSON value a line.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::ACCEPT, header::CONTENT_TYPE},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::gateway::Gateway;

/// One item: the name of its event, and its value.
pub(crate) struct Item<T> {
    pub(crate) event: &'static str,
    pub(crate) value: T,
}

/// Answers with a stream in the form that the caller accepts. The slot is given back when the
/// caller hangs up or the stream ends.
pub(crate) fn respond<T, S>(
    gateway: &Gateway,
    headers: &HeaderMap,
    slot: OwnedSemaphorePermit,
    items: S,
) -> Response
where
    T: Serialize,
    S: Stream<Item = Item<T>> + Send + 'static,
{
    let held = items.map(move |item| {
        let _slot = &slot;
        item
    });
    if wants_lines(headers) {
        let lines = held.map(|item| Ok::<_, Infallible>(line(&item.value)));
        let kind = HeaderValue::from_static("application/x-ndjson");
        return ([(CONTENT_TYPE, kind)], Body::from_stream(lines)).into_response();
    }
    let events = held.map(|item| {
        let text = serde_json::to_string(&item.value).unwrap_or_default();
        Ok::<_, Infallible>(Event::default().event(item.event).data(text))
    });
    let alive = KeepAlive::new().interval(gateway.limits.keep_alive);
    Sse::new(events).keep_alive(alive).into_response()
}

/// One JSON value and the end of its line.
pub(crate) fn line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn wants_lines(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/x-ndjson"))
}
