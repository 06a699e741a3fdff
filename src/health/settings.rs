//! What the configuration says of probing, and why the prober may refuse to start with it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::anchors::Anchors;

/// The `[probe]` section, all defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of this place, written into every observation.
    pub vantage: Arc<str>,
    /// Recursive resolvers that target names are resolved by; none means those of `/etc/resolv.conf`.
    pub resolvers: Vec<SocketAddr>,
    /// PEM files with certificates to trust beside the system's roots.
    pub extra_ca: Vec<PathBuf>,
    pub user_agent: String,
    /// Sent with every HTTP probe. They may replace `User-Agent` and `Accept`, not `Host`.
    pub headers: Vec<(String, String)>,
    /// Probe addresses that are not global unicast too.
    pub allow_private: bool,
    /// A probe of the first port goes to the second one instead; SNI and `Host` stay as they are.
    pub ports: BTreeMap<u16, u16>,
    /// Requests that may be under way at a time; others wait for their turn. None: as the plans need it (`places`).
    pub in_flight: Option<usize>,
    /// Open files that are for all but probes.
    pub other_files: u64,
    pub anchors: Anchors,
    /// How often a target is looked at by its authoritative servers; zero: never.
    pub authoritative_every: Duration,
    /// Each so many-th probe of a check is sent with a browser's headers too; 0: never.
    pub browser_every: u32,
    /// Octets of a body that are read at most.
    pub body_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vantage: "local".into(),
            resolvers: Vec::new(),
            extra_ca: Vec::new(),
            user_agent: concat!("pointsman/", env!("CARGO_PKG_VERSION"), " (+health check)").to_owned(),
            headers: Vec::new(),
            allow_private: false,
            ports: BTreeMap::new(),
            in_flight: None,
            other_files: 1_512,
            anchors: Anchors::default(),
            authoritative_every: Duration::from_secs(60),
            browser_every: 6,
            body_limit: 64 * 1024,
        }
    }
}

/// Why the prober does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("extra_ca {path}: {source}", path = .path.display())]
    ExtraCaUnreadable { path: PathBuf, source: io::Error },
    #[error("extra_ca {path}: {why}", path = .path.display())]
    ExtraCaBad { path: PathBuf, why: String },
    #[error("no root certificates: the system has none ({why}) and extra_ca names none (Debian: ca-certificates)")]
    NoRoots { why: String },
    #[error("header `{name}`: {why}")]
    BadHeader { name: String, why: &'static str },
    #[error("resolvers: {0}")]
    Resolvers(String),
    #[error("in_flight must be at least 1")]
    NothingInFlight,
    #[error("the thread for probes: {0}")]
    Thread(io::Error),
    #[error("the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("the TLS configuration: {0}")]
    Tls(#[from] rustls::Error),
}
