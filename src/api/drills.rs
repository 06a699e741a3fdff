//! `GET /v1/drills` and `GET /v1/drills/{id}`: drills as evidence.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::Shared;
use super::ask::ask;
use super::params::{Params, Segment, wrong};
use super::problem::Problem;
use crate::controller::drills::view::{DrillError, DrillFilter, DrillPage, DrillView};
use crate::controller::message::Request;

/// How many records a page holds where the request does not say, and at most.
const RECORDS: u64 = 100;
const MOST_RECORDS: u64 = 1_000;

pub async fn drills(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Json<DrillPage>, Problem> {
    let filter = filter(&uri)?;
    ask(&shared.controller, |reply| Request::Drills(filter, reply)).await.map(Json)
}

pub async fn drill(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Json<DrillView>, Problem> {
    let params = Params::of(&uri, &["client"])?;
    let id = id.parse().map_err(|_| Problem::bad_request(format!("`{id}` is not the id of a drill: a number")))?;
    let client = params.prefix("client")?;
    let told = ask(&shared.controller, |reply| Request::Drill(id, client, reply)).await?;
    told.map(Json).map_err(|error| match error {
        DrillError::NoSuchDrill(_) => Problem::not_found(error.to_string()),
        DrillError::TooWide { .. } => wrong("client", &error),
    })
}

fn filter(uri: &Uri) -> Result<DrillFilter, Problem> {
    let params = Params::of(uri, &["before", "limit"])?;
    let limit = params.number("limit")?.unwrap_or(RECORDS);
    if !(1..=MOST_RECORDS).contains(&limit) {
        return Err(wrong("limit", &"it is 1 to 1000"));
    }
    Ok(DrillFilter { before: params.number("before")?, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_as_those_of_events_are() {
        let read = |text: &str| {
            let uri = format!("/v1/drills?{text}").parse().expect("a good URI");
            filter(&uri).map_err(|problem| problem.detail)
        };
        assert_eq!(read(""), Ok(DrillFilter { before: None, limit: 100 }));
        assert_eq!(read("before=7&limit=2"), Ok(DrillFilter { before: Some(7), limit: 2 }));
        for (text, part) in
            [("limit=0", "1 to 1000"), ("limit=1001", "1 to 1000"), ("kind=x", "unknown query parameter")]
        {
            let error = read(text).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
