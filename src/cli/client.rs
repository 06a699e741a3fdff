//! The API's client: over the control socket, or over a URL with a token.
//!
//! Whoever uses it may have been woken for it: each failure says what was tried and what to try next.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::{BadInput, DEFAULT_DATA, Globals};
use crate::api::problem::Document;

/// Where the unit keeps its data: looked at when no `--data` is given and `./data` has no server.
const UNIT_DATA: &str = "/var/lib/pointsman";
/// For one request, from the connection to the last octet.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where the ledger is read, for which the server has 33 s.
const LEDGER_PATIENCE: Duration = Duration::from_secs(40);
/// The longest answer that is read, in octets.
const LONGEST: usize = 256 * 1024 * 1024;

/// All but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a command finds its server.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which server")]
pub struct ServerArgs {
    /// Ask over the network instead of the control socket in the data folder: `http://127.0.0.1:8053`
    #[arg(long, value_name = "URL", env = "POINTSMAN_API", hide_env_values = true)]
    api: Option<String>,
    /// File with the token for `--api`: the first one in it is used
    #[arg(long, value_name = "FILE", env = "POINTSMAN_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no server answers at {path} (is it running? give --data or --api)")]
    NoServer { path: String },
    #[error(
        "permission denied at {path}: the control socket is for its owner and group (try sudo, or --api with --token-file)"
    )]
    Denied { path: String },
    #[error("{path}: {source}")]
    Socket { path: String, source: io::Error },
    #[error("no answer from {url}: {why} (is the server running? is --api right?)")]
    Unreachable { url: String, why: String },
    #[error("{at} did not answer within {} s", limit.as_secs())]
    Slow { at: String, limit: Duration },
    #[error("{detail}")]
    Refused { status: u16, detail: String },
    #[error("{at} answered with something that is not Pointsman's: {why}")]
    Foreign { at: String, why: String },
    #[error("{}: {source}", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error("{}: no token in it", .0.display())]
    NoToken(PathBuf),
}

impl ClientError {
    /// Whether the request was at fault, and not who asked or who answered.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 404 | 409 | 413 | 422, .. })
    }
}

/// Asks one server.
pub struct Client {
    way: Way,
    runtime: Runtime,
}

enum Way {
    Socket(PathBuf),
    Http { base: String, token: Option<String>, client: reqwest::Client },
}

/// A status and a body.
type Answer = (u16, Bytes);

impl Client {
    pub fn find(server: &ServerArgs, globals: &Globals) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let way = match &server.api {
            Some(url) => Way::http(url, server.token_file.as_deref())?,
            None => Way::Socket(socket(globals)),
        };
        Ok(Self { way, runtime })
    }

    /// The document at a path, as it came.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        self.exchange("GET", path, None)
    }

    /// The document at a path.
    pub fn document<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parse(&self.text(path)?)
    }

    /// Sends a request with or without a JSON body and gives the document that comes back, as it came.
    pub fn exchange(&self, method: &'static str, path: &str, body: Option<String>) -> Result<String, ClientError> {
        let exchange = async {
            let limit = if path.starts_with("/v1/jurisdiction") { LEDGER_PATIENCE } else { PATIENCE };
            let limited = tokio::time::timeout(limit, self.way.exchange(method, path, body));
            limited.await.unwrap_or_else(|_| Err(ClientError::Slow { at: self.way.name(), limit }))
        };
        let (status, body) = self.runtime.block_on(exchange)?;
        let text = String::from_utf8(body.to_vec()).map_err(|error| self.foreign(&error))?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        match serde_json::from_str::<Document>(&text) {
            Ok(problem) => Err(ClientError::Refused { status, detail: problem.detail }),
            Err(_) => Err(self.foreign(&format!("HTTP status {status}"))),
        }
    }

    /// Reads a document.
    pub fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, ClientError> {
        serde_json::from_str(text).map_err(|error| self.foreign(&error))
    }

    fn foreign(&self, why: &dyn std::fmt::Display) -> ClientError {
        ClientError::Foreign { at: self.way.name(), why: why.to_string() }
    }
}

/// One segment of a path, or one value of a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A path with those of the parameters that have a value.
pub fn with_query(path: &str, params: &[(&str, Option<String>)]) -> String {
    let pair =
        |(name, value): &(&str, Option<String>)| value.as_ref().map(|value| format!("{name}={}", encoded(value)));
    let pairs: Vec<String> = params.iter().filter_map(pair).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn socket(globals: &Globals) -> PathBuf {
    let own = globals.data().unwrap_or(Path::new(DEFAULT_DATA)).join("control.sock");
    let of_unit = Path::new(UNIT_DATA).join("control.sock");
    if globals.data().is_none() && !own.exists() && of_unit.exists() { of_unit } else { own }
}

impl Way {
    fn http(url: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let parsed = reqwest::Url::parse(url).ok().filter(|parsed| ["http", "https"].contains(&parsed.scheme()));
        let Some(parsed) = parsed else {
            return Err(
                BadInput(format!("--api `{url}` is not a URL: write `http://HOST:PORT` or `https://HOST`")).into()
            );
        };
        let token = token_file.map(first_token).transpose()?;
        if token.is_some() && parsed.scheme() == "http" && !is_loopback(&parsed) {
            super::print::warning("the token goes over the network in clear text; use https, or an SSH tunnel");
        }
        // The first of them counts; another one that stands already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self::Http { base: url.trim_end_matches('/').to_owned(), token, client })
    }

    fn name(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Http { base, .. } => base.clone(),
        }
    }

    async fn exchange(&self, method: &'static str, path: &str, body: Option<String>) -> Result<Answer, ClientError> {
        match self {
            Self::Socket(socket) => over_socket(socket, method, path, body).await,
            Self::Http { base, token, client } => {
                let url = format!("{base}{path}");
                over_http(client, token.as_deref(), method, &url, body)
                    .await
                    .map_err(|error| ClientError::Unreachable { url: base.clone(), why: innermost(&error) })
            }
        }
    }
}

async fn over_socket(
    socket: &Path,
    method: &'static str,
    path: &str,
    body: Option<String>,
) -> Result<Answer, ClientError> {
    let at = || socket.display().to_string();
    let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoServer { path: at() },
        io::ErrorKind::PermissionDenied => ClientError::Denied { path: at() },
        _ => ClientError::Socket { path: at(), source },
    })?;
    let foreign = |error: &dyn std::fmt::Display| ClientError::Foreign { at: at(), why: error.to_string() };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| foreign(&error))?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::builder().method(method).uri(path).header(HOST, "pointsman");
    let request =
        request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body.unwrap_or_default())));
    let request = request.map_err(|error| foreign(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| foreign(&error))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| foreign(&error))?;
    driver.abort();
    Ok((status, body.to_bytes()))
}

async fn over_http(
    client: &reqwest::Client,
    token: Option<&str>,
    method: &'static str,
    url: &str,
    body: Option<String>,
) -> Result<Answer, anyhow::Error> {
    let mut request = client.request(method.parse()?, url);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    let mut answer = request.send().await?;
    let status = answer.status().as_u16();
    let mut octets = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        anyhow::ensure!(octets.len() + chunk.len() <= LONGEST, "the answer is longer than {LONGEST} octets");
        octets.extend_from_slice(&chunk);
    }
    Ok((status, octets.into()))
}

/// The first token of a token file, without its label.
fn first_token(path: &Path) -> Result<String, ClientError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ClientError::TokenFile { path: path.to_owned(), source })?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| ClientError::NoToken(path.to_owned()))?;
    Ok(line.split_once(':').map_or(line, |(_, token)| token).to_owned())
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What was behind it all: `Connection refused`, not `error sending request`.
fn innermost(error: &anyhow::Error) -> String {
    error.root_cause().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_url_is_encoded() {
        assert_eq!(encoded("www.shop.example./bunny"), "www.shop.example.%2Fbunny");
        let params = [("a", Some("1 & 2".to_owned())), ("b", None), ("c", Some("*".to_owned()))];
        assert_eq!(with_query("/x", &params), "/x?a=1%20%26%202&c=%2A");
        assert_eq!(with_query("/x", &[("b", None)]), "/x");
    }

    #[test]
    fn the_first_token_is_used() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "# ours\n\n anna:secret \nother\n").expect("it can be written");
        assert_eq!(first_token(&path).expect("there is one"), "secret");
        std::fs::write(&path, "# ours\n").expect("it can be written");
        assert!(matches!(first_token(&path), Err(ClientError::NoToken(_))));
        assert!(matches!(first_token(folder.path()), Err(ClientError::TokenFile { .. })));
    }

    #[test]
    fn loopback_is_known_by_its_names() {
        for (url, loopback) in [
            ("http://localhost:1/", true),
            ("http://127.0.0.2/", true),
            ("http://[::1]:8053", true),
            ("http://localhost.example/", false),
            ("http://192.0.2.1/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().expect("a URL")), loopback, "{url}");
        }
    }
}
