//! Failures as `application/problem+json` (RFC 9457).
//!
//! `type` is `about:blank`: the status code says the kind of failure, `title` is its phrase (RFC 9457, section 4.2.1),
//! and `detail` says in one line what was wrong and, where there is one, what to do.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

/// The media type of a failure.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One failure: a status and what was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: String,
}

/// The document that a client reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 401 with the challenge that RFC 9110, section 11.6.1 asks for.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    fn document(&self) -> Document {
        Document {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Failure").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        // Four strings and a number always serialize.
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pointsman\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_its_status_twice_and_its_detail_once() {
        let document = Problem::not_found("no such thing").document();
        let text = serde_json::to_string(&document).expect("it serializes");
        assert_eq!(text, r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no such thing"}"#);
    }

    #[test]
    fn a_refused_caller_is_told_how_to_prove_itself() {
        let response = Problem::unauthorized("no token").into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"pointsman\"");
    }
}
