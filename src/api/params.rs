//! Query parameters: every one is known, stands once, and is named when it is wrong.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use ipnet::IpNet;

use super::problem::Problem;
use super::span::parse_moment;
use crate::steer::time::Time;

/// The parameters of one request, percent-decoded.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Takes the query of `uri`, which may hold the `known` parameters, each once.
    ///
    /// # Errors
    ///
    /// A 400 that names the parameters that do not belong there.
    pub fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::bad_request("the query is not a list of NAME=VALUE in percent-encoded UTF-8"))?;
        let unknown: Vec<String> = pairs
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if !unknown.is_empty() {
            let takes = if known.is_empty() { "takes none".to_owned() } else { format!("takes {}", known.join(", ")) };
            return Err(Problem::bad_request(format!(
                "unknown query parameter {}; this resource {takes}",
                unknown.join(", ")
            )));
        }
        let twice =
            pairs.iter().enumerate().find(|(at, (name, _))| pairs.iter().take(*at).any(|(other, _)| other == name));
        match twice {
            Some((_, (name, _))) => Err(Problem::bad_request(format!("query parameter `{name}` stands twice"))),
            None => Ok(Self(pairs)),
        }
    }

    /// None where it is absent or empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone())
    }

    pub fn required(&self, name: &str) -> Result<String, Problem> {
        self.text(name).ok_or_else(|| Problem::bad_request(format!("query parameter `{name}` is required")))
    }

    /// A moment in RFC 3339.
    pub fn moment(&self, name: &str) -> Result<Option<Time>, Problem> {
        let parse = |text: String| parse_moment(&text).map_err(|error| wrong(name, &error));
        self.text(name).map(parse).transpose()
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parse = |text: String| text.parse().map_err(|_| wrong(name, &format!("`{text}` is not a whole number")));
        self.text(name).map(parse).transpose()
    }

    /// An address, or a prefix: bits beyond its length do not count.
    pub fn prefix(&self, name: &str) -> Result<Option<IpNet>, Problem> {
        let parse = |text: String| {
            let prefix =
                text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse().map(|net: IpNet| net.trunc()));
            prefix.map_err(|_| wrong(name, &format!("`{text}` is neither an IP address nor a prefix")))
        };
        self.text(name).map(parse).transpose()
    }

    /// One of a few words.
    pub fn word(&self, name: &str, words: &[&str]) -> Result<Option<String>, Problem> {
        match self.text(name) {
            Some(text) if !words.contains(&text.as_str()) => {
                Err(wrong(name, &format!("`{text}` is none of {}", words.join(", "))))
            }
            other => Ok(other),
        }
    }
}

/// The one part of the path that a route leaves open, percent-decoded.
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_request("the path is not percent-encoded UTF-8"))?;
        Ok(Self(text))
    }
}

/// What is wrong with one parameter.
pub fn wrong(name: &str, why: &impl std::fmt::Display) -> Problem {
    Problem::bad_request(format!("query parameter `{name}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, known: &[&str]) -> Result<Params, String> {
        let uri: Uri = format!("/x?{query}").parse().expect("a good URI");
        Params::of(&uri, known).map_err(|problem| problem.detail)
    }

    #[test]
    fn known_parameters_are_decoded() {
        let params =
            of("name=a%20b&limit=10&kind=&client=::1", &["name", "limit", "kind", "client"]).expect("all known");
        assert_eq!(params.text("name").as_deref(), Some("a b"));
        assert_eq!(params.number("limit"), Ok(Some(10)));
        assert_eq!(params.text("kind"), None);
        assert_eq!(params.prefix("client"), Ok(Some(std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST).into())));
        assert!(params.required("kind").is_err());
    }

    #[test]
    fn what_does_not_belong_is_named() {
        assert_eq!(
            of("a=1&b=2&c=3", &["b"]).expect_err("a and c are unknown"),
            "unknown query parameter `a`, `c`; this resource takes b"
        );
        assert_eq!(of("a", &[]).expect_err("none is known"), "unknown query parameter `a`; this resource takes none");
        assert_eq!(of("b=1&b=2", &["b"]).expect_err("twice"), "query parameter `b` stands twice");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_parameter() {
        let params =
            of("limit=ten&client=x&since=today&kind=odd", &["limit", "client", "since", "kind"]).expect("known");
        for (result, text) in [
            (params.number("limit").map(|_| ()), "query parameter `limit`: `ten` is not a whole number"),
            (
                params.prefix("client").map(|_| ()),
                "query parameter `client`: `x` is neither an IP address nor a prefix",
            ),
            (params.word("kind", &["a", "b"]).map(|_| ()), "query parameter `kind`: `odd` is none of a, b"),
        ] {
            assert_eq!(result.expect_err("wrong").detail, text);
        }
        assert!(params.moment("since").is_err());
    }
}
