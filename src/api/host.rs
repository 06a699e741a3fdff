//! The guards around every request: `Host` is ours, time is limited, answers carry the fields that browsers heed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::ask::{LEDGER_PATIENCE, RELOAD_PATIENCE};
use super::author::Peer;
use super::problem::Problem;

/// On every answer: no guessing of types, no copies, no frames, no use by other sites.
const FIELDS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Sets [`FIELDS`].
pub async fn set_fields(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// 421 for a `Host` that is not ours (RFC 9110, section 15.5.20). The control socket has no browsers: any will do.
pub async fn check_host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let checked = match request.extensions().get::<Peer>() {
        Some(Peer::Socket { .. }) => Ok(()),
        Some(Peer::Tcp { local, .. }) => check(request.headers(), request.uri(), *local, &shared.hosts),
        None => Err(misdirected()),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// 408 for a request that takes too long; what remains then is the client's own slowness, since the controller has its
/// own, shorter limit.
pub async fn limit_time(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let limit = match request.uri().path() {
        "/v1/reload" => RELOAD_PATIENCE + Duration::from_secs(1),
        "/v1/jurisdiction" => LEDGER_PATIENCE + Duration::from_secs(1),
        _ => shared.limits.request_time,
    };
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("the request was not over after {} s", limit.as_secs_f32());
        let mut response = Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

/// Whether a text can stand in [`super::Settings::hosts`].
pub fn can_be_configured(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

fn check(headers: &HeaderMap, uri: &Uri, local: SocketAddr, hosts: &[String]) -> Result<(), Problem> {
    let mut fields = headers.get_all(header::HOST).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(Problem::bad_request("a request has one `Host` field (RFC 9112, section 3.2)"));
    };
    let named = field.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let ours = named.is_some_and(|named| is_ours(&named, local, hosts));
    // A request line with a whole URL outranks `Host` (RFC 9112, section 3.2.2).
    if ours && uri.authority().is_none_or(|authority| is_ours(authority, local, hosts)) {
        return Ok(());
    }
    Err(misdirected())
}

fn misdirected() -> Problem {
    let detail = "this server does not go by the name in `Host`; the configuration's `[api] hosts` can add it";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
}

fn is_ours(named: &Authority, local: SocketAddr, hosts: &[String]) -> bool {
    if named.as_str().contains('@') {
        return false;
    }
    let host = named.host().trim_end_matches('.');
    let port = named.port_u16().unwrap_or(80);
    let configured = hosts.iter().any(|allowed| match allowed.parse::<Authority>() {
        Ok(allowed) => {
            allowed.host().trim_end_matches('.').eq_ignore_ascii_case(host)
                && allowed.port_u16().is_none_or(|allowed| allowed == port)
        }
        Err(_) => false,
    });
    configured || (port == local.port() && (host.eq_ignore_ascii_case("localhost") || is_own_address(host, local)))
}

/// An address says nothing foreign: only a name can be made to point here.
fn is_own_address(host: &str, local: SocketAddr) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || address == local.ip().to_canonical()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(host: &[&str], uri: &str, local: &str, hosts: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, host.parse().expect("a good field"));
        }
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let uri = uri.parse().expect("a good URI");
        let local = local.parse().expect("a good address");
        check(&headers, &uri, local, &hosts).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn loopback_goes_by_its_own_names_alone() {
        let local = "127.0.0.1:8053";
        for host in ["localhost:8053", "LOCALHOST.:8053", "127.0.0.1:8053", "127.9.9.9:8053", "[::1]:8053"] {
            assert_eq!(status(&[host], "/", local, &[]), 200, "{host}");
        }
        for host in [
            "localhost",
            "localhost:80",
            "evil.example:8053",
            "localhost.evil.example:8053",
            "127.0.0.1.evil.example:8053",
            "a@localhost:8053",
            "10.0.0.1:8053",
            "0.0.0.0:8053",
        ] {
            assert_eq!(status(&[host], "/", local, &[]), 421, "{host}");
        }
    }

    #[test]
    fn other_addresses_and_names_are_configured() {
        let local = "192.0.2.7:80";
        assert_eq!(status(&["192.0.2.7"], "/", local, &[]), 200, "80 is what no port means");
        assert_eq!(status(&["192.0.2.8"], "/", local, &[]), 421);
        assert_eq!(status(&["ops.example:9"], "/", local, &["ops.example"]), 200);
        assert_eq!(status(&["Ops.Example."], "/", local, &["ops.example:80"]), 200);
        assert_eq!(status(&["ops.example:81"], "/", local, &["ops.example:80"]), 421);
        assert_eq!(status(&["[2001:db8::1]:8053"], "/", "[2001:db8::1]:8053", &[]), 200);
    }

    #[test]
    fn a_whole_url_counts_too() {
        let local = "127.0.0.1:8053";
        assert_eq!(status(&["localhost:8053"], "http://localhost:8053/", local, &[]), 200);
        assert_eq!(status(&["localhost:8053"], "http://evil.example:8053/", local, &[]), 421);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_taken_for_ours(text in "[ -~]{1,40}") {
            let _ = can_be_configured(&text);
            if let Ok(named) = text.parse::<Authority>() {
                let ours = is_ours(&named, SocketAddr::from(([192, 0, 2, 1], 65_535)), &[]);
                prop_assert!(!ours, "{text}");
            }
        }
    }

    #[test]
    fn there_is_one_host() {
        assert_eq!(status(&[], "/", "127.0.0.1:8053", &[]), 400);
        assert_eq!(status(&["localhost:8053", "evil.example"], "/", "127.0.0.1:8053", &[]), 400);
    }
}
