//! The handlers that change state: overrides and reloads. Each takes an [`Author`] before it looks at anything else.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request as HttpRequest, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::ask::{RELOAD_PATIENCE, ask, ask_within};
use super::author::Author;
use super::params::{Params, Segment};
use super::problem::Problem;
use super::span::{now, parse_moment, parse_span};
use super::subject::{EVERYTHING, canonical, parse_candidate, parse_drain, parse_scope};
use crate::controller::message::{NewOverride, OverrideError, Release, ReleaseWhich, Request};
use crate::controller::view::{OverrideView, ReloadReport};
use crate::steer::overrides::{DrainSubject, Drill, Order};
use crate::steer::time::Time;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// How long a gradual drain may take: below it a step is shorter than a TTL in doubt, above it nobody remembers.
const OVER: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);

/// The body of `POST /v1/overrides`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    pub order: OrderWord,
    /// What it is about (see `api::subject`); a freeze needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub reason: String,
    /// How long it holds: `30m`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// Or when it ends: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How long a drain takes to empty what it is about: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// How much of its share of each name a provider lends to a drill: `1%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// Only tell what it would move.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderWord {
    Drain,
    Pin,
    Freeze,
    Drill,
}

pub async fn place(
    Author(author): Author,
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    Body(asked): Body<OverrideRequest>,
) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let new = new_override(&asked, author, now())?;
    if asked.dry_run {
        let told = ask(&shared.controller, |reply| Request::Rehearse(new, reply)).await?.map_err(refused)?;
        return Ok(Json(told).into_response());
    }
    let placed = ask(&shared.controller, |reply| Request::Place(new, reply)).await?.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(placed)).into_response())
}

pub async fn release(
    Author(author): Author,
    State(shared): State<Arc<Shared>>,
    Segment(which): Segment,
    uri: Uri,
) -> Result<Json<Vec<OverrideView>>, Problem> {
    let params = Params::of(&uri, &["reason"])?;
    let reason = checked_reason(&params.required("reason")?)?;
    let which = match which.parse() {
        Ok(id) => ReleaseWhich::Id(id),
        Err(_) => ReleaseWhich::Subject(canonical(&which).map_err(unfit)?),
    };
    let release = Release { which, author, reason };
    ask(&shared.controller, |reply| Request::Release(release, reply)).await?.map(Json).map_err(refused)
}

/// Always 200 with the report, `ok` or not: what was good is in force.
pub async fn reload(
    Author(author): Author,
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<ReloadReport>, Problem> {
    Params::of(&uri, &[])?;
    tracing::info!(%author, "reload asked for");
    ask_within(RELOAD_PATIENCE, &shared.controller, Request::Reload).await.map(Json)
}

fn new_override(asked: &OverrideRequest, author: String, now: Time) -> Result<NewOverride, Problem> {
    let until = end(asked, now)?;
    let order = match asked.order {
        OrderWord::Drill => drill(asked, until, now)?,
        word if asked.share.is_some() => {
            return Err(Problem::bad_request(format!("`share` is for a drill, not for {word:?}").to_lowercase()));
        }
        word => order(word, asked.subject.as_deref())?,
    };
    let over = asked.over.as_deref().map(|over| gradual(asked.order, over)).transpose()?;
    Ok(NewOverride { order, author, reason: checked_reason(&asked.reason)?, until, over })
}

/// A drill is about a provider, has an end, and is small.
fn drill(asked: &OverrideRequest, until: Option<Time>, now: Time) -> Result<Order, Problem> {
    let subject = asked.subject.as_deref().unwrap_or_default();
    let DrainSubject::Provider(provider) = parse_drain(subject).map_err(unfit)? else {
        return Err(Problem::bad_request("a drill is about a provider"));
    };
    match until {
        None => return Err(Problem::bad_request("a drill has an end: give `for` or `until` (`--for`, `--until`)")),
        Some(until) if until.since(now) > Drill::LONGEST => {
            return Err(Problem::bad_request("a drill lasts at most 24 h"));
        }
        Some(_) => {}
    }
    let per_mille = asked.share.as_deref().and_then(Drill::parse_share);
    let refused = || Problem::bad_request(format!("`share` of a drill is {}", Drill::SHARE_EXPECTED));
    let per_mille = per_mille.ok_or_else(refused)?;
    Ok(Order::Drill(Drill { provider, per_mille }))
}

fn gradual(word: OrderWord, over: &str) -> Result<Duration, Problem> {
    if word != OrderWord::Drain {
        return Err(Problem::bad_request("`over` is for a drain: a pin and a freeze hold at once"));
    }
    let over = parse_span(over).map_err(|error| Problem::bad_request(error.to_string()))?;
    if !OVER.contains(&over) {
        return Err(Problem::bad_request("`over` is from 10 s to 24 h"));
    }
    Ok(over)
}

fn order(word: OrderWord, subject: Option<&str>) -> Result<Order, Problem> {
    let needed = || Problem::bad_request("`subject` is required");
    match (word, subject) {
        (OrderWord::Drain, subject) => parse_drain(subject.ok_or_else(needed)?).map(Order::Drain).map_err(unfit),
        (OrderWord::Pin, subject) => parse_candidate(subject.ok_or_else(needed)?).map(Order::Pin).map_err(unfit),
        // `drill` sees to these.
        (OrderWord::Drill, _) => Err(needed()),
        (OrderWord::Freeze, None | Some(EVERYTHING)) => Ok(Order::Freeze),
        (OrderWord::Freeze, Some(subject)) if subject.contains(['.', ':']) => {
            parse_scope(subject).map(Order::FreezeIn).map_err(unfit)
        }
        (OrderWord::Freeze, Some(_)) => {
            let detail = "a freeze is about a name, a zone, or everything: then leave `subject` out";
            Err(Problem::bad_request(detail))
        }
    }
}

fn end(asked: &OverrideRequest, now: Time) -> Result<Option<Time>, Problem> {
    let bad = |error: super::span::InvalidTime| Problem::bad_request(error.to_string());
    match (&asked.span, &asked.until) {
        (None, None) => Ok(None),
        (Some(span), None) => parse_span(span).map(|span| Some(now.after(span))).map_err(bad),
        (None, Some(moment)) => parse_moment(moment).map(Some).map_err(bad),
        (Some(_), Some(_)) => Err(Problem::bad_request("give `for` or `until`, not both")),
    }
}

/// A reason is one line that says something.
fn checked_reason(reason: &str) -> Result<String, Problem> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Problem::bad_request("`reason` is empty: say why, for those who come after you"));
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err(Problem::bad_request("`reason` is longer than 500 characters"));
    }
    if reason.chars().any(char::is_control) {
        return Err(Problem::bad_request("`reason` is one line, without control characters"));
    }
    Ok(reason.to_owned())
}

#[allow(clippy::needless_pass_by_value)] // Used as a function for `map_err`.
fn unfit(error: super::subject::InvalidSubject) -> Problem {
    Problem::bad_request(error.to_string())
}

#[allow(clippy::needless_pass_by_value)] // Used as a function for `map_err`.
fn refused(error: OverrideError) -> Problem {
    let status = match error {
        OverrideError::NoSuchSubject(_)
        | OverrideError::NoSuchCandidate { .. }
        | OverrideError::NotSteered(_)
        | OverrideError::NoSuchDomain(_)
        | OverrideError::NotInForce(_) => StatusCode::NOT_FOUND,
        OverrideError::Forbidden { .. }
        | OverrideError::TooMany(_)
        | OverrideError::Ambiguous { .. }
        | OverrideError::Unsafe(_) => StatusCode::CONFLICT,
        OverrideError::EndsInThePast | OverrideError::EndsWhileDraining => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.to_string())
}

/// A JSON body, whose faults are problems: 413, 415, 400 for what is no JSON, 422 for what is no such document.
pub struct Body<T>(pub T);

impl<T: serde::de::DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: HttpRequest, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let Json(document) = Json::<T>::from_request(request, shared).await.map_err(|rejection| match rejection {
            JsonRejection::BytesRejection(_) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let limit = shared.limits.body_octets;
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body holds at most {limit} octets"))
            }
            other => Problem::new(other.status(), other.body_text()),
        })?;
        Ok(Self(document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: &str) -> Result<NewOverride, String> {
        let asked: OverrideRequest = serde_json::from_str(body).map_err(|error| error.to_string())?;
        new_override(&asked, "anna".to_owned(), Time(1_000_000)).map_err(|problem| problem.detail)
    }

    #[test]
    fn orders_are_read() {
        let drain =
            new(r#"{"order":"drain","subject":"bunny","reason":" slow \t","for":"30m"}"#).expect("a good drain");
        assert_eq!(drain.order, Order::Drain(DrainSubject::Provider("bunny".into())));
        assert_eq!(drain.reason, "slow");
        assert_eq!(drain.until, Some(Time(1_000_000).after(Duration::from_secs(1_800))));
        let pin = new(r#"{"order":"pin","subject":"*.shop.example/bunny","reason":"x"}"#).expect("a good pin");
        assert!(matches!(pin.order, Order::Pin(key) if key.to_string() == "*.shop.example./bunny"));
        let freeze = new(r#"{"order":"freeze","reason":"x","until":"1970-01-02T00:00:00Z"}"#).expect("a good freeze");
        assert_eq!((freeze.order, freeze.until), (Order::Freeze, Some(Time(86_400_000))));
    }

    #[test]
    fn orders_that_say_too_little_or_too_much_are_refused() {
        let long = format!(r#"{{"order":"freeze","reason":"{}"}}"#, "é".repeat(501));
        for (body, part) in [
            (r#"{"order":"drain","reason":"x"}"#, "`subject` is required"),
            (r#"{"order":"drain","subject":"bunny"}"#, "missing field `reason`"),
            (r#"{"order":"drain","subject":"bunny","reason":"  "}"#, "`reason` is empty"),
            (r#"{"order":"drain","subject":"bunny","reason":"a\nb"}"#, "one line"),
            (&long, "longer than 500"),
            (r#"{"order":"drain","subject":"bunny","reason":"x","why":"y"}"#, "unknown field `why`"),
            (r#"{"order":"stop","subject":"bunny","reason":"x"}"#, "unknown variant `stop`"),
            (r#"{"order":"pin","subject":"bunny","reason":"x"}"#, "write NAME/CANDIDATE"),
            (r#"{"order":"freeze","subject":"bunny","reason":"x"}"#, "leave `subject` out"),
            (r#"{"order":"pin","subject":"a.example/b","reason":"x","over":"10m"}"#, "`over` is for a drain"),
            (r#"{"order":"drill","subject":"bunny","reason":"x","share":"1%"}"#, "a drill has an end"),
            (r#"{"order":"drill","subject":"a.b/c","reason":"x","share":"1%","for":"1h"}"#, "about a provider"),
            (r#"{"order":"drill","subject":"bunny","reason":"x","share":"0%","for":"1h"}"#, "from 0.1 % to 50 %"),
            (r#"{"order":"drill","subject":"bunny","reason":"x","share":"50.1%","for":"1h"}"#, "from 0.1 % to 50 %"),
            (r#"{"order":"drill","subject":"bunny","reason":"x","for":"1h"}"#, "from 0.1 % to 50 %"),
            (r#"{"order":"drain","subject":"bunny","reason":"x","share":"1%"}"#, "`share` is for a drill"),
            (r#"{"order":"drain","subject":"bunny","reason":"x","over":"9s"}"#, "from 10 s to 24 h"),
            (r#"{"order":"drain","subject":"bunny","reason":"x","over":"25h"}"#, "from 10 s to 24 h"),
            (r#"{"order":"freeze","reason":"x","for":"1h","until":"1970-01-02T00:00:00Z"}"#, "not both"),
            (r#"{"order":"freeze","reason":"x","for":"soon"}"#, "not a span"),
            (r#"{"order":"freeze","reason":"x","until":"soon"}"#, "RFC 3339"),
        ] {
            let error = new(body).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
