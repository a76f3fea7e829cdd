//! Every route, in one list.

mod bus;
mod host;
mod idempotency;
mod journal;
mod letters;
mod plugins;
pub mod transitions;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::MethodRouter,
};

use crate::{gateway::Gateway, problem::ApiError};

/// One path and what it answers.
#[derive(Debug)]
pub struct Route {
    /// Path with `{name}` for a variable part.
    pub path: &'static str,
    /// Methods it answers, upper case.
    pub methods: &'static [&'static str],
    answer: MethodRouter<Gateway>,
}

/// Every route under its own path, aliases not among them.
#[must_use]
pub fn all() -> Vec<Route> {
    let mut routes = host::routes();
    routes.extend(plugins::routes());
    routes.extend(bus::routes());
    routes.extend(letters::routes());
    routes.extend(transitions::routes());
    routes.extend(journal::routes());
    routes
}

/// The paths of older interfaces that answer as a path of `/api/v1` does: (prefix there, prefix
/// here). They cover the routes of plugins.
pub const ALIASES: &[(&str, &str)] =
    &[("/api/plugins", "/api/v1/plugins"), ("/api/v1/admin/plugins", "/api/v1/plugins")];

/// The router over a gateway.
pub fn router(gateway: Gateway) -> Router {
    let mut router = Router::new();
    for route in all() {
        for (alias, prefix) in ALIASES {
            if let Some(rest) = route.path.strip_prefix(prefix) {
                router = router.route(&format!("{alias}{rest}"), route.answer.clone());
            }
        }
        router = router.route(route.path, route.answer);
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gateway.clone(), bounded))
        .with_state(gateway)
}

/// Keeps the number of requests that are worked on within its bound. Whether the process lives is
/// always answered.
async fn bounded(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.uri().path() == "/livez" {
        return Ok(next.run(request).await);
    }
    let _slot = gateway.request_slot()?;
    Ok(next.run(request).await)
}

async fn not_found(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_route",
        "no such route",
        format!("nothing answers at `{}`", request.uri().path()),
        "`GET /openapi.json` lists every route",
    )
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        "the method does not fit",
        format!("`{}` does not answer {}", request.uri().path(), request.method()),
        "`GET /openapi.json` lists the methods of every route",
    )
}
