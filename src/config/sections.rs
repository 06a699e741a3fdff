//! The sections of the configuration with their defaults; what each key means stands in `deploy/pointsman.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::health::anchors::Anchors;
use crate::steer::home::Home;
use crate::steer::provider::Pace;

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    pub zones: PathBuf,
    pub data: PathBuf,
    /// Empty: the machine's host name.
    pub vantage: String,
    /// How long a stop goes on answering after `/readyz` has turned.
    pub linger: Span,
    /// How long a stop waits for queries in flight.
    pub grace: Span,
}

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsSection {
    pub listen: Vec<SocketAddr>,
    /// 0: one for each core.
    pub threads: usize,
    /// Octets.
    pub receive_buffer: usize,
    pub pin: bool,
    pub nsid: String,
    pub version: String,
    pub id: String,
    pub tcp: TcpSection,
}

/// `[dns.tcp]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpSection {
    pub connections: usize,
    pub per_client: usize,
    pub idle: Span,
}

/// `[probe]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeSection {
    /// Empty: those of the system.
    pub resolvers: Vec<SocketAddr>,
    pub extra_ca: Vec<PathBuf>,
    pub user_agent: String,
    pub headers: BTreeMap<String, String>,
    pub allow_private: bool,
    /// Which port to probe in the place of another.
    #[serde(deserialize_with = "port_map")]
    pub ports: BTreeMap<u16, u16>,
    /// 0: as many as the plans need.
    pub in_flight: usize,
    /// 0: never.
    pub browser_every: u32,
    /// Zero: never.
    pub authoritative_every: Span,
    pub anchors: AnchorsSection,
}

/// `[probe.anchors]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnchorsSection {
    /// Of both families.
    pub tcp: Vec<SocketAddr>,
    /// Host names.
    pub https: Vec<String>,
    pub least: usize,
    pub timeout: Span,
}

/// `[areas]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AreasSection {
    /// Empty: none.
    pub database: PathBuf,
    /// Prefixes, countries and continents, by the name of their set.
    pub sets: BTreeMap<String, Vec<String>>,
}

/// `[provider.ID]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSection {
    pub name: Option<String>,
    pub home: Option<Home>,
    pub targets: Option<Vec<String>>,
    pub status_page: Option<String>,
    /// How fast its load may return.
    #[serde(deserialize_with = "pace")]
    pub step: Option<Pace>,
}

/// `[[drill]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrillSection {
    pub provider: String,
    /// `1%`
    pub share: String,
    /// How long.
    #[serde(rename = "for")]
    pub span: Option<Span>,
    /// When; see [`super::Schedule`].
    pub at: String,
    /// Empty: it says that it was scheduled.
    pub reason: String,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    pub events: u64,
    pub days: u32,
    pub open_limit: Span,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSection {
    pub listen: SocketAddr,
    pub hosts: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    pub level: String,
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Text,
    Json,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            zones: "./zones".into(),
            data: "./data".into(),
            vantage: String::new(),
            linger: Span(Duration::ZERO),
            grace: Span(Duration::from_secs(5)),
        }
    }
}

impl Default for DnsSection {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5300))],
            threads: 0,
            receive_buffer: 4 << 20,
            pin: false,
            nsid: String::new(),
            version: String::new(),
            id: String::new(),
            tcp: TcpSection::default(),
        }
    }
}

impl Default for TcpSection {
    fn default() -> Self {
        Self { connections: 1_000, per_client: 50, idle: Span(Duration::from_secs(10)) }
    }
}

impl Default for ProbeSection {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            extra_ca: Vec::new(),
            user_agent: "pointsman (health check)".to_owned(),
            headers: BTreeMap::new(),
            allow_private: false,
            ports: BTreeMap::new(),
            in_flight: 0,
            authoritative_every: Span(Duration::from_secs(60)),
            anchors: AnchorsSection::default(),
            browser_every: 6,
        }
    }
}

impl Default for AnchorsSection {
    fn default() -> Self {
        let Anchors { tcp, https, least, timeout } = Anchors::default();
        Self { tcp, https, least, timeout: Span(timeout) }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { events: 100_000, days: 90, open_limit: Span(Duration::from_secs(30)) }
    }
}

impl Default for ApiSection {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8053)), hosts: Vec::new() }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// A span of time, written `500ms`, `10s`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: jiff::SignedDuration = text.parse().map_err(|_| {
            serde::de::Error::custom(format!("`{text}` is not a span of time: expected `500ms`, `10s`, `1h30m`"))
        })?;
        Duration::try_from(span)
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is negative: a span of time begins at `0s`")))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#}", jiff::SignedDuration::try_from(self.0).unwrap_or_default()))
    }
}

/// How fast a provider's load may return, written `20%/min`.
fn pace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pace>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Keys of a TOML table are text, ports are numbers.
fn port_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, u16>, D::Error> {
    let texts = BTreeMap::<String, u16>::deserialize(deserializer)?;
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a port: expected 1 to 65535")))
    };
    texts.into_iter().map(|(from, to)| Ok((port(&from)?, to))).collect()
}
