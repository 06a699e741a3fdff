//! The routes, and what stands around all of them.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};

use super::problem::Problem;
use super::{Shared, change, drills, host, jurisdiction, read};

/// Methods, path and meaning of every route, as `GET /` tells them.
pub const ROUTES: [(&str, &str, &str); 18] = [
    ("GET", "/health", "the verdict on everything, application/health+json"),
    ("GET", "/livez", "200 while the process and its controller run"),
    ("GET", "/readyz", "200 while it serves and the first round of probes is over"),
    ("GET", "/v1/status", "the state in short"),
    ("GET", "/v1/providers", "providers with what is believed of their candidates"),
    ("GET", "/v1/names", "all steered names with their candidates"),
    ("GET", "/v1/names/{name}", "one steered name"),
    ("GET", "/v1/zones", "zones, and what is wrong with their files"),
    ("GET", "/v1/events", "history, newest first: subject, kind, since, until, before, limit"),
    ("GET", "/v1/explain", "what would be answered, and why: name, type, client; or what was: name, at"),
    ("GET", "/v1/jurisdiction", "seconds and answers by name, provider and home: from, to, name"),
    ("GET", "/v1/drills", "what is scheduled, and records of drills, newest first: before, limit"),
    ("GET", "/v1/drills/{id}", "the record of one drill; whether a client was in it: client"),
    ("GET", "/v1/overrides", "overrides in force"),
    ("POST", "/v1/overrides", "drain, pin, freeze or drill; dry_run tells what it would move"),
    ("DELETE", "/v1/overrides/{id or subject}", "release: reason"),
    ("POST", "/v1/reload", "read configuration and zones again"),
    ("GET", "/metrics", "for Prometheus"),
];

/// The whole API. Requests carry their `Peer` as an extension.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(read::index))
        .route("/health", get(read::health))
        .route("/livez", get(read::livez))
        .route("/readyz", get(read::readyz))
        .route("/v1/status", get(read::status))
        .route("/v1/providers", get(read::providers))
        .route("/v1/names", get(read::names))
        .route("/v1/names/{name}", get(read::name))
        .route("/v1/zones", get(read::zones))
        .route("/v1/events", get(read::events))
        .route("/v1/explain", get(read::explain))
        .route("/v1/jurisdiction", get(jurisdiction::jurisdiction))
        .route("/v1/drills", get(drills::drills))
        .route("/v1/drills/{id}", get(drills::drill))
        .route("/v1/overrides", get(read::overrides).post(change::place))
        // Subjects hold slashes: `www.shop.example./bunny`.
        .route("/v1/overrides/{*which}", delete(change::release))
        .route("/v1/reload", post(change::reload))
        .route("/metrics", get(read::metrics))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(shared.limits.body_octets))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), host::limit_time))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), host::check_host))
        .layer(middleware::from_fn(host::set_fields))
        .layer(middleware::from_fn(count))
        .with_state(shared)
}

async fn no_such_resource(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`; `/` lists what there is", uri.path()))
}

/// axum adds `Allow`.
async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} cannot be used here; `Allow` says what can"))
}

/// Counts and times requests by route, never by path: a scanner must not be able to make series.
async fn count(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("pointsman_api_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("pointsman_api_request_seconds", "route" => route).record(began.elapsed());
    response
}
