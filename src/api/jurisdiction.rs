//! `GET /v1/jurisdiction`: who answered for how long, under which law.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::Shared;
use super::ask::{LEDGER_PATIENCE, ask_within};
use super::params::{Params, wrong};
use super::problem::Problem;
use super::span::now;
use super::subject::parse_name;
use crate::controller::jurisdiction::Jurisdiction;
use crate::controller::message::{Request, ServedQuery, StoreError};
use crate::steer::time::Time;

/// How far back a question without `from` goes: what is asked for is mostly the last month.
const BACK: Duration = Duration::from_secs(30 * 86_400);

pub async fn jurisdiction(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Json<Jurisdiction>, Problem> {
    let query = query(&uri, now())?;
    let told = ask_within(LEDGER_PATIENCE, &shared.controller, |reply| Request::Jurisdiction(query, reply)).await?;
    told.map(Json).map_err(|error| {
        Problem::unavailable(match error {
            StoreError::Busy => error.to_string(),
            _ => format!("the ledger cannot be read: {error}"),
        })
    })
}

fn query(uri: &Uri, now: Time) -> Result<ServedQuery, Problem> {
    let params = Params::of(uri, &["from", "to", "name"])?;
    let until = params.moment("to")?.unwrap_or(now);
    let from = params.moment("from")?.unwrap_or(until.before(BACK));
    if from >= until {
        return Err(wrong("from", &"it is not before `to`"));
    }
    let name = params.text("name").map(|name| parse_name(&name).map_err(|error| wrong("name", &error))).transpose()?;
    Ok(ServedQuery { from, until, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServedQuery, String> {
        let uri = format!("/v1/jurisdiction?{text}").parse().expect("a good URI");
        query(&uri, Time(40 * 86_400_000)).map_err(|problem| problem.detail)
    }

    #[test]
    fn the_last_30_days_are_meant_where_nothing_is_said() {
        let (from, until) = (Time(10 * 86_400_000), Time(40 * 86_400_000));
        assert_eq!(read(""), Ok(ServedQuery { from, until, name: None }));
        let query =
            read("from=1970-01-01T00:00:00Z&to=1970-01-03T01:00:00%2B01:00&name=WWW.Shop.example").expect("good");
        assert_eq!((query.from, query.until), (Time(0), Time(2 * 86_400_000)));
        assert_eq!(query.name.as_deref(), Some("www.shop.example."));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (text, part) in [
            ("from=2025-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", "it is not before `to`"),
            ("from=yesterday", "RFC 3339"),
            ("until=2025-01-01T00:00:00Z", "unknown query parameter `until`"),
            ("name=a..b", "`name`"),
        ] {
            let error = read(text).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
