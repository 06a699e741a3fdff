//! The handlers that read.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::ask::ask;
use super::author::Peer;
use super::health::{self, Status};
use super::params::{Params, Segment, wrong};
use super::problem::Problem;
use super::routes::ROUTES;
use super::subject::{canonical, parse_name};
use super::{Shared, scrape};
use crate::controller::message::{EventFilter, ExplainError, ExplainQuery, Request};
use crate::controller::view::{EventPage, Explanation, NameView, OverrideView, Overview, ProviderView, ZoneView};
use crate::steer::time::Time;

type Api = State<Arc<Shared>>;

/// How many events a page holds where the request does not say, and at most.
const EVENTS: u64 = 100;
const MOST_EVENTS: u64 = 1_000;

const KINDS: [&str; 7] = ["verdict", "decision", "provider", "vantage", "readiness", "override", "drill"];

pub async fn index(uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let routes: Vec<_> =
        ROUTES.iter().map(|(method, path, what)| json!({"method": method, "path": path, "what": what})).collect();
    Ok(document(&json!({"name": "pointsman", "version": env!("CARGO_PKG_VERSION"), "routes": routes})))
}

pub async fn health(State(shared): Api, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let (overview, providers, names) = tokio::try_join!(
        ask(&shared.controller, Request::Overview),
        ask(&shared.controller, Request::Providers),
        ask(&shared.controller, |reply| Request::Names(None, reply)),
    )?;
    let health = health::of(&overview, &providers, &names);
    let status = if health.status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok((status, [(CONTENT_TYPE, health::MEDIA_TYPE)], Json(health)).into_response())
}

/// Asks nothing of the controller but that it is there: a busy one must not get the process killed.
pub async fn livez(State(shared): Api, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    if shared.controller.is_closed() {
        return Err(Problem::unavailable("the controller has stopped: answers do not move any more"));
    }
    Ok(document(&json!({"alive": true})))
}

pub async fn readyz(State(shared): Api, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let overview = ask(&shared.controller, Request::Overview).await?;
    match health::unready(&overview) {
        Some(why) => Err(Problem::unavailable(why)),
        None => Ok(document(&json!({"ready": true, "generation": overview.generation}))),
    }
}

pub async fn status(State(shared): Api, uri: Uri) -> Result<Json<Overview>, Problem> {
    Params::of(&uri, &[])?;
    ask(&shared.controller, Request::Overview).await.map(Json)
}

pub async fn providers(State(shared): Api, uri: Uri) -> Result<Json<Vec<ProviderView>>, Problem> {
    Params::of(&uri, &[])?;
    ask(&shared.controller, Request::Providers).await.map(Json)
}

pub async fn names(State(shared): Api, uri: Uri) -> Result<Json<Vec<NameView>>, Problem> {
    Params::of(&uri, &[])?;
    ask(&shared.controller, |reply| Request::Names(None, reply)).await.map(Json)
}

pub async fn name(State(shared): Api, Segment(name): Segment, uri: Uri) -> Result<Json<NameView>, Problem> {
    Params::of(&uri, &[])?;
    let name = parse_name(&name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let found = ask(&shared.controller, |reply| Request::Names(Some(name.clone()), reply)).await?;
    let missing = || Problem::not_found(format!("`{name}` is not a steered name here"));
    found.into_iter().next().map(Json).ok_or_else(missing)
}

pub async fn zones(State(shared): Api, uri: Uri) -> Result<Json<Vec<ZoneView>>, Problem> {
    Params::of(&uri, &[])?;
    ask(&shared.controller, Request::Zones).await.map(Json)
}

pub async fn events(State(shared): Api, uri: Uri) -> Result<Json<EventPage>, Problem> {
    let query = event_query(&uri)?;
    ask(&shared.controller, |reply| Request::Events(query, reply)).await.map(Json)
}

fn event_query(uri: &Uri) -> Result<EventFilter, Problem> {
    let params = Params::of(uri, &["subject", "kind", "since", "until", "before", "limit"])?;
    let limit = params.number("limit")?.unwrap_or(EVENTS);
    if !(1..=MOST_EVENTS).contains(&limit) {
        return Err(wrong("limit", &"it is 1 to 1000"));
    }
    Ok(EventFilter {
        subject: params.text("subject").map(|subject| event_subject(&subject)),
        kind: params.word("kind", &KINDS)?,
        since: params.moment("since")?,
        until: params.moment("until")?,
        before: params.number("before")?,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    })
}

/// A subject as it is written in events. A word with a dot is a name; what fits nothing is passed on and matches nothing.
fn event_subject(text: &str) -> String {
    let parsed = if text.contains('.') && !text.contains(['/', '*', '?']) { parse_name(text) } else { canonical(text) };
    parsed.unwrap_or_else(|_| text.to_owned())
}

pub async fn explain(State(shared): Api, Extension(peer): Extension<Peer>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["name", "type", "client", "at"])?;
    if let Some(at) = params.moment("at")? {
        return explain_past(&shared, &params, at).await;
    }
    let own = match peer {
        Peer::Tcp { remote, .. } => remote.ip().to_canonical(),
        Peer::Socket { .. } => std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let query = ExplainQuery {
        name: params.required("name")?,
        rtype: params.text("type").map_or_else(|| "A".to_owned(), |rtype| rtype.to_ascii_uppercase()),
        client: params.prefix("client")?.unwrap_or(own.into()),
    };
    let explained = ask(&shared.controller, |reply| Request::Explain(query, reply)).await?;
    explained.map(|explained: Explanation| document(&explained)).map_err(|error| match error {
        ExplainError::NotOurs(_) => Problem::not_found(error.to_string()),
        ExplainError::BadName(_) | ExplainError::BadType(_) => Problem::bad_request(error.to_string()),
    })
}

/// For the past there is no question: events know what a name answered to whom, and not to which type.
async fn explain_past(shared: &Shared, params: &Params, at: Time) -> Result<Response, Problem> {
    if let Some(odd) = ["type", "client"].into_iter().find(|name| params.text(name).is_some()) {
        return Err(wrong(odd, &"of the past only what the name answered is kept; leave it out with `at`"));
    }
    let name = parse_name(&params.required("name")?).map_err(|error| Problem::bad_request(error.to_string()))?;
    let told = ask(&shared.controller, |reply| Request::ExplainPast(name, at, reply)).await?;
    let told = told.map_err(|error| Problem::unavailable(format!("the history cannot be read: {error}")))?;
    Ok(document(&told))
}

pub async fn overrides(State(shared): Api, uri: Uri) -> Result<Json<Vec<OverrideView>>, Problem> {
    Params::of(&uri, &[])?;
    ask(&shared.controller, Request::Overrides).await.map(Json)
}

/// Always answers: a scrape that fails tells less than one that says that the controller is silent.
pub async fn metrics(State(shared): Api, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let mut text = scrape::render(&shared.controller).await;
    text.push_str(&(shared.metrics)());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn document(value: &impl Serialize) -> Response {
    Json(value).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<EventFilter, String> {
        let uri = format!("/v1/events?{text}").parse().expect("a good URI");
        event_query(&uri).map_err(|problem| problem.detail)
    }

    #[test]
    fn filters_of_events_are_read() {
        let all = "subject=WWW.Shop.example&kind=verdict&since=1970-01-01T00:00:01Z&until=1970-01-01T00:00:02Z&before=9&limit=5";
        let expected = EventFilter {
            subject: Some("www.shop.example.".to_owned()),
            kind: Some("verdict".to_owned()),
            since: Some(Time(1_000)),
            until: Some(Time(2_000)),
            before: Some(9),
            limit: 5,
        };
        assert_eq!(query(all), Ok(expected));
        assert_eq!(query(""), Ok(EventFilter { limit: 100, ..EventFilter::default() }));
    }

    #[test]
    fn filters_that_fit_nothing_are_told() {
        for (text, part) in [
            ("limit=0", "it is 1 to 1000"),
            ("limit=1001", "it is 1 to 1000"),
            ("kind=odd", "none of verdict, decision, provider, vantage, readiness, override, drill"),
            ("since=1h", "RFC 3339"),
            ("sort=asc", "unknown query parameter `sort`"),
        ] {
            let error = query(text).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn subjects_of_events_are_written_as_events_do() {
        for (text, subject) in [
            ("bunny", "bunny"),
            ("Shop.example", "shop.example."),
            ("www.shop.example/bunny", "www.shop.example./bunny"),
            ("everything", "everything"),
            ("no such", "no such"),
        ] {
            assert_eq!(event_subject(text), subject);
        }
    }
}
