//! One `https` or `http` probe: a fresh connection to one address, one GET, and what came back against the rule.
//!
//! One client serves all probes. It keeps no connection and resumes no session, and its name server knows one answer:
//! the address that the probe of the asking task goes to (`phase`). So nothing can leak from one probe into another.
//!
//! What bounds it: the rule's `timeout` over everything; headers of HTTP/1.1 at most 100 fields and about 400 KiB
//! (hyper's read buffer), of HTTP/2 at most 16 KiB; at most `body_limit` octets of the body. The body is read to its end
//! or to that limit, whichever comes first, also where the rule has no marker: an edge that sends good headers and half
//! a page serves nobody. No `Accept-Encoding` is sent and nothing is decompressed: a body that comes compressed is
//! octets like any other.
//!
//! | status is expected, and the body | is |
//! | --- | --- |
//! | comes whole, or there is none (204, 304, a length of 0) | searched for the markers |
//! | is another's (`pages`): a challenge, a block, "unknown domain" | a body fault, even where the status is expected; one with the `body` marker is the owner's |
//! | is longer than `body_limit`, or without end | searched that far, and taken as good beyond: a `not-body` marker there is not seen |
//! | breaks off, or is no valid chunked coding | a body fault |
//! | does not come within `timeout` | a timeout |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::Instant;

use super::body::Search;
use super::fault::{self, Seen, fault, span, timed_out};
use super::guise::{self, Guise};
use super::pages::{self, Recognised};
use super::phase::{self, Phase};
use super::settings::{Settings, StartError};
use super::trust;
use crate::steer::observation::{Fault, Outcome, Stage};
use crate::steer::policy::{ProbeRule, Scheme};
use crate::steer::readiness::{Facts, Page};

/// Headers of HTTP/2 that are taken, in octets.
const MAX_H2_HEADERS: u32 = 16 * 1024;
/// What an HTTP/2 peer may send ahead of what was read, in octets.
const H2_WINDOW: u32 = 64 * 1024;
/// How long the body of a failure is waited for, to name whose page it is.
const NAMING: Duration = Duration::from_millis(300);
/// Letters of a header that are kept.
const MAX_FIELD: usize = 200;
/// ... and so long before the time of the probe is over: it has failed with a status, and does not become a timeout.
const NAMED_BEFORE: Duration = Duration::from_millis(10);
/// Headers that are the probe's own.
const RESERVED: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade"];

/// What all HTTP probes share.
#[derive(Debug)]
pub struct Http {
    client: Client,
    headers: HeaderMap,
    browser_headers: HeaderMap,
    ports: BTreeMap<u16, u16>,
    body_limit: usize,
}

impl Http {
    pub fn new(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            client: client(trust::client_config(settings)?)?,
            headers: headers(settings, &[("user-agent", &settings.user_agent), ("accept", "*/*")])?,
            browser_headers: browser_headers(settings)?,
            ports: settings.ports.clone(),
            body_limit: settings.body_limit,
        })
    }

    /// Asks one address. Ends within `limit`. The facts are those of this request: certificate and page.
    pub async fn probe(&self, rule: &ProbeRule, address: IpAddr, limit: Duration, guise: Guise) -> (Seen, Facts) {
        let began = Instant::now();
        let (url, to) = match self.destination(rule, address) {
            Ok(destination) => destination,
            Err(fault) => return (Seen::fault(fault), Facts::default()),
        };
        let asking = async {
            let mut page = None;
            let seen = match tokio::time::timeout(limit, self.ask(rule, url, guise, began + limit, &mut page)).await {
                Ok(Ok(())) => pass(rule, began.elapsed()),
                Ok(Err(seen)) => seen,
                Err(_) => Seen::fault(timed_out(rule.timeout, phase::phase())),
            };
            (seen, Facts { certificate: phase::certificate(), page, ..Facts::default() })
        };
        phase::on_the_way(to, asking).await
    }

    async fn ask(
        &self,
        rule: &ProbeRule,
        url: Url,
        guise: Guise,
        until: Instant,
        page: &mut Option<Page>,
    ) -> Result<(), Seen> {
        let host = authority(rule).map_err(Seen::fault)?;
        let headers = match guise {
            Guise::Itself => &self.headers,
            Guise::Browser => &self.browser_headers,
        };
        let request = self.client.get(url).headers(headers.clone()).header(reqwest::header::HOST, host);
        let response = request.send().await.map_err(|error| fault::of_http(&error, phase::phase(), 0))?;
        *page = Some(head(&response));
        let (status, known) = (response.status(), pages::in_headers(response.headers()));
        if let Err(failed) = check_status(rule, status) {
            let known = match known {
                None if pages::is_named_by_its_body(status.as_u16()) => self.name(response, until).await,
                known => known,
            };
            return Err(Seen::fault(known.map_or(failed, |known| not_the_customers(Stage::Status, status, &known))));
        }
        if let Some(known) = known {
            return Err(Seen::fault(not_the_customers(Stage::Body, status, &known)));
        }
        phase::reached(Phase::Body);
        self.check_body(rule, response).await
    }

    /// Whose page a failure is, by its body, if that comes soon. It has failed already: nothing here makes it another one.
    async fn name(&self, mut response: Response, until: Instant) -> Option<Recognised> {
        let mut body = Vec::new();
        let reading = async {
            while let Ok(Some(octets)) = response.chunk().await {
                let room = self.body_limit.saturating_sub(body.len());
                body.extend_from_slice(octets.get(..room).unwrap_or(&octets));
                if body.len() >= self.body_limit {
                    break;
                }
            }
        };
        // What came until then may be enough.
        let left = until.saturating_duration_since(Instant::now()).saturating_sub(NAMED_BEFORE);
        let _ = tokio::time::timeout(NAMING.min(left), reading).await;
        pages::in_body(&body, false)
    }

    /// The URL and where to connect. A port that stands in the URL outranks the one of the address, so a default port
    /// that is mapped stands in the address alone: the request then says nothing of it.
    fn destination(&self, rule: &ProbeRule, address: IpAddr) -> Result<(Url, SocketAddr), Fault> {
        let mapped = self.ports.get(&rule.port).copied().unwrap_or(rule.port);
        let scheme = if rule.scheme == Scheme::Https { "https" } else { "http" };
        let text = if rule.port == default_port(rule.scheme) {
            format!("{scheme}://{}{}", rule.host, rule.path)
        } else {
            format!("{scheme}://{}:{mapped}{}", rule.host, rule.path)
        };
        let cannot = |why: &str| fault(Stage::Status, format!("the probe cannot be sent: {text}: {why}"));
        let url = Url::parse(&text).map_err(|error| cannot(&error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        if !host.eq_ignore_ascii_case(&rule.host) {
            return Err(cannot("the host is not a name"));
        }
        if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            // It would be connected to as it stands, not the address of the target.
            return Err(cannot("the host is an address"));
        }
        Ok((url, SocketAddr::new(address, mapped)))
    }

    /// Reads the body as far as it is looked at. Stops early only at a forbidden marker.
    async fn check_body(&self, rule: &ProbeRule, mut response: Response) -> Result<(), Seen> {
        let status = response.status();
        let mut search = Search::new(rule, self.body_limit, may_be_a_challenge(&response));
        while search.has_room() {
            match response.chunk().await {
                Ok(Some(octets)) => search.take(&octets).map_err(Seen::fault)?,
                Ok(None) => break,
                Err(error) => return Err(fault::of_http(&error, Phase::Body, search.seen)),
            }
        }
        if let Some(known) = search.page() {
            return Err(Seen::fault(not_the_customers(Stage::Body, status, &known)));
        }
        search.end().map_err(Seen::fault)
    }
}

/// All was right: a pass, unless it was slow.
pub fn pass(rule: &ProbeRule, latency: Duration) -> Seen {
    match rule.slow {
        Some(slow) if latency > slow => Seen::fault(fault(
            Stage::Slow,
            format!("answered after {} ms, slower than {}", latency.as_millis(), span(slow)),
        )),
        _ => Seen::Outcome(Outcome::Pass { latency }),
    }
}

fn check_status(rule: &ProbeRule, status: StatusCode) -> Result<(), Fault> {
    let code = status.as_u16();
    if rule.expect.iter().any(|(from, to)| (*from..=*to).contains(&code)) {
        return Ok(());
    }
    Err(Fault { status: Some(code), ..fault(Stage::Status, format!("status {code}")) })
}

/// Another's page came.
fn not_the_customers(stage: Stage, status: StatusCode, known: &Recognised) -> Fault {
    let what = &known.what;
    let reason = if stage == Stage::Status { format!("status {}: {what}", status.as_u16()) } else { what.clone() };
    Fault { status: Some(status.as_u16()), page: Some(known.fault), ..fault(stage, reason) }
}

/// What clients would see of the head of an answer.
fn head(response: &Response) -> Page {
    let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let short = |text: &str| text.chars().take(MAX_FIELD).collect::<String>();
    let hsts = text(reqwest::header::STRICT_TRANSPORT_SECURITY).map(|value| {
        let value = short(value).to_ascii_lowercase();
        let mut directives: Vec<&str> = value.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
        directives.sort_unstable();
        directives.join("; ")
    });
    Page { status: response.status().as_u16(), location: text(reqwest::header::LOCATION).map(short), hsts }
}

/// Challenge pages are HTML. Whatever does not say what it is may be.
fn may_be_a_challenge(response: &Response) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    kind.is_none_or(|kind| kind.as_bytes().to_ascii_lowercase().windows(4).any(|part| part == b"html"))
}

/// `Host`: the name alone on the scheme's own port, name and port elsewhere; a mapped port never shows.
fn authority(rule: &ProbeRule) -> Result<HeaderValue, Fault> {
    let text =
        if rule.port == default_port(rule.scheme) { rule.host.clone() } else { format!("{}:{}", rule.host, rule.port) };
    HeaderValue::try_from(text)
        .map_err(|_| fault(Stage::Status, format!("the probe cannot be sent: `{}` is no host", rule.host)))
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https | Scheme::Tcp => 443,
    }
}

/// A browser's headers, which the configuration's do not replace: they are there to be known by.
fn browser_headers(settings: &Settings) -> Result<HeaderMap, StartError> {
    let mut all = headers(settings, &[])?;
    all.extend(headers(&Settings { headers: Vec::new(), ..settings.clone() }, &guise::BROWSER)?);
    Ok(all)
}

fn headers(settings: &Settings, own: &[(&str, &str)]) -> Result<HeaderMap, StartError> {
    let extra = settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut headers = HeaderMap::new();
    for (name, value) in own.iter().copied().chain(extra) {
        let bad = |why| StartError::BadHeader { name: name.to_owned(), why };
        let key = HeaderName::try_from(name).map_err(|_| bad("not a header name"))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(bad("is set by the probe itself"));
        }
        headers.insert(key, HeaderValue::try_from(value).map_err(|_| bad("the value has octets that no header may"))?);
    }
    Ok(headers)
}

/// A client that keeps no connection and connects where the probe of the task goes.
fn client(mut tls: rustls::ClientConfig) -> reqwest::Result<Client> {
    tls.resumption = phase::resumption();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_max_idle_per_host(0)
        .tcp_keepalive(None)
        .tcp_keepalive_interval(None)
        .tcp_keepalive_retries(None)
        .tcp_user_timeout(None)
        .http2_max_header_list_size(MAX_H2_HEADERS)
        .http2_initial_stream_window_size(H2_WINDOW)
        .http2_initial_connection_window_size(H2_WINDOW)
        .tls_backend_preconfigured(tls)
        .dns_resolver(Destination)
        .connector_layer(phase::Watch)
        .build()
}

/// A name server with one answer for every name: where the probe of this task goes.
struct Destination;

impl Resolve for Destination {
    fn resolve(&self, _: Name) -> Resolving {
        let address = phase::destination().ok_or("nothing is probed");
        Box::pin(std::future::ready(address.map(|to| Box::new(std::iter::once(to)) as Addrs).map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn rule(scheme: Scheme, port: u16) -> ProbeRule {
        ProbeRule {
            scheme,
            port,
            path: "/healthz?x=1".to_owned(),
            host: "www.shop.example".to_owned(),
            expect: vec![(200, 204), (301, 301)],
            body: None,
            not_body: None,
            slow: None,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
        }
    }

    fn http(ports: &[(u16, u16)]) -> Http {
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Http {
            client: client(tls).expect("a client"),
            headers: HeaderMap::new(),
            browser_headers: HeaderMap::new(),
            ports: ports.iter().copied().collect(),
            body_limit: 64 * 1024,
        }
    }

    #[test]
    fn a_mapped_port_shows_neither_in_the_url_nor_in_host() {
        let address: IpAddr = "192.0.2.1".parse().expect("an address");
        for (scheme, port, url, host, connects) in [
            (Scheme::Https, 443, "https://www.shop.example/healthz?x=1", "www.shop.example", 34_443),
            (Scheme::Http, 80, "http://www.shop.example/healthz?x=1", "www.shop.example", 80),
            (Scheme::Http, 8080, "http://www.shop.example:8080/healthz?x=1", "www.shop.example:8080", 8080),
            (Scheme::Http, 443, "http://www.shop.example:34443/healthz?x=1", "www.shop.example:443", 34_443),
        ] {
            let rule = rule(scheme, port);
            let (made, to) = http(&[(443, 34_443)]).destination(&rule, address).expect("a destination");
            assert_eq!((made.as_str(), to), (url, SocketAddr::new(address, connects)));
            assert_eq!(authority(&rule).expect("a host"), host);
        }
    }

    #[tokio::test]
    async fn without_a_probe_the_shared_client_connects_nowhere() {
        let error = http(&[]).client.get("http://www.shop.example/").send().await.expect_err("nowhere to go");
        assert!(error.is_connect(), "{error:?}");
        assert_eq!(phase::destination(), None);
    }

    #[test]
    fn a_host_that_is_none_is_a_fault() {
        for host in ["192.0.2.9", "[2001:db8::1]", "a b", "", "0x7f.1", "a@b", "a/b"] {
            let rule = ProbeRule { host: host.to_owned(), ..rule(Scheme::Https, 443) };
            let fault = http(&[]).destination(&rule, IpAddr::from([192, 0, 2, 1])).expect_err(host);
            assert!(fault.reason.starts_with("the probe cannot be sent"), "{}", fault.reason);
        }
    }

    #[test]
    fn expect_is_a_list_of_ranges() {
        let rule = rule(Scheme::Https, 443);
        for (code, passes) in [(199, false), (200, true), (204, true), (205, false), (301, true), (500, false)] {
            let status = StatusCode::from_u16(code).expect("a status");
            let checked = check_status(&rule, status);
            assert_eq!(checked.is_ok(), passes, "{code}");
            if let Err(fault) = checked {
                assert_eq!(
                    (fault.stage, fault.status, fault.reason),
                    (Stage::Status, Some(code), format!("status {code}"))
                );
            }
        }
    }

    #[test]
    fn headers_are_checked() {
        let with = |name: &str, value: &str| {
            let settings = Settings { headers: vec![(name.to_owned(), value.to_owned())], ..Settings::default() };
            headers(&settings, &[("user-agent", &settings.user_agent)])
        };
        assert_eq!(with("User-Agent", "mine").expect("good")["user-agent"], "mine");
        for (name, value) in [("Host", "x"), ("a b", "x"), ("x", "a\nb"), ("Content-Length", "5")] {
            assert!(matches!(with(name, value), Err(StartError::BadHeader { .. })), "{name}");
        }
        let settings = Settings::default();
        let agent = headers(&settings, &[("user-agent", &settings.user_agent)]).expect("good")["user-agent"].clone();
        assert!(agent.to_str().is_ok_and(|agent| agent.ends_with(" (+health check)")), "{agent:?}");
    }
}
