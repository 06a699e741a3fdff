//! Policies and candidates: what the steering records of one name say, all defaults filled in.
//!
//! These are plain values. `zone/` makes them from text and has checked them; nothing here can be wrong in a way that
//! the rest of the core would have to look for. One table of all fields stands in `docs/STEERING-RECORDS.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use siphasher::sip::SipHasher13;

use super::home::Home;

/// One steered name with its policy and its candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SteeredName {
    /// The owner: presentation format, lower case, absolute (`www.shop.example.`).
    pub name: Arc<str>,
    /// The origin of its zone, written alike.
    pub zone: Arc<str>,
    pub policy: Policy,
    /// In the order of the zone file; ids are unique. Never empty.
    pub candidates: Vec<Candidate>,
    /// How its answers look.
    pub shape: Shape,
}

/// How the answers of a steered name look (design, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A CNAME to the candidate's target, alone.
    Cname,
    /// The candidate's own addresses as A and AAAA.
    Addresses,
    /// A and AAAA that the targets resolve to; the candidates may mix names and addresses.
    Flattened,
}

/// One level of `prefer`, or one entry of `only`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    Any,
    Home(Home),
    Provider(Arc<str>),
}

impl Preference {
    /// Whether a candidate of this provider and home is meant.
    pub fn matches(&self, candidate: &Candidate) -> bool {
        match self {
            Self::Any => true,
            Self::Home(home) => candidate.home.is_within(*home),
            Self::Provider(id) => candidate.provider == *id,
        }
    }
}

/// As steering records write it: `any`, `eu`, `bunny`.
impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Home(home) => home.fmt(f),
            Self::Provider(id) => f.write_str(id),
        }
    }
}

/// The policy of one steered name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Policy {
    /// Levels, best first.
    pub prefer: Vec<Preference>,
    /// A hard limit: a candidate that no entry matches never answers.
    pub only: Option<Vec<Preference>>,
    /// `prefer.<area>` and `only.<area>` by area, at most [`super::areas::MAX_AREAS`]. What they come to: `areas.rs`.
    pub areas: BTreeMap<String, AreaPolicy>,
    /// TTL of steered answers in seconds.
    pub ttl: u32,
    /// Share by the client's prefix, or draw for each query.
    pub sticky: Sticky,
    pub empty: Empty,
    /// A URL of the origin itself, asked for evidence (`inquiry`).
    pub origin: Option<String>,
}

/// What a policy says for the clients of one area.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct AreaPolicy {
    pub prefer: Option<Vec<Preference>>,
    pub only: Option<Vec<Preference>>,
}

/// How a client comes to its candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// By a keyed hash of its prefix: it keeps its candidate.
    Yes,
    /// By a draw for each query.
    No,
}

/// What answers when no candidate is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    /// What was answered last.
    Last,
    /// As if all candidates were up.
    Open,
    /// The owner's own records.
    Static,
}

/// One provider's way to serve one steered name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Unique under its name; the provider's id where the record gives none.
    pub id: Arc<str>,
    /// The provider's id.
    pub provider: Arc<str>,
    /// The provider's home, or what the record says instead.
    pub home: Home,
    pub target: Target,
    /// Its part of the traffic of its level, 0 to 1,000,000; 0 only while others of the level serve.
    pub weight: u32,
    /// A cap on its share, in percent, 1 to 100.
    pub max: Option<u8>,
    /// Used only when no level has a usable candidate.
    pub standby: bool,
    pub probe: ProbeRule,
    pub judgement: JudgementRule,
}

/// What a candidate answers with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// One name: presentation format, lower case, absolute.
    Name(Arc<str>),
    /// A set of addresses, sorted, without doubles, not empty.
    Addresses(Vec<IpAddr>),
}

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Https,
    Http,
    Tcp,
}

/// What to ask of a candidate, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ProbeRule {
    pub scheme: Scheme,
    pub port: u16,
    /// Path and query, beginning with `/`; empty for `tcp`.
    pub path: String,
    /// The name for SNI and `Host`, without the final dot.
    pub host: String,
    /// Status codes that pass: inclusive ranges.
    pub expect: Vec<(u16, u16)>,
    pub body: Option<String>,
    pub not_body: Option<String>,
    /// A latency above which an answer counts as a failure.
    pub slow: Option<Duration>,
    /// The pace of probes.
    pub every: Duration,
    /// The limit for each.
    pub timeout: Duration,
}

/// When a candidate is believed to be down, and when up again (design, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct JudgementRule {
    /// Failures in a row that make it down.
    pub fall: u32,
    /// ... or this many percent ...
    pub share_percent: u8,
    /// ... of this many last paced probes.
    pub share_of: u16,
    /// The clean window.
    pub clean: Duration,
    /// The time in which its share grows back.
    pub ramp: Duration,
    /// How fast the load of its provider may return.
    pub step: Option<ProviderStep>,
}

/// A provider's `step` as one name has to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ProviderStep {
    /// At most so much of its share comes back within a minute, in percent, 1 to 100.
    pub percent: u8,
    /// How long after its clean window its ramp begins: its place in the minute.
    pub turn: Duration,
}

impl ProviderStep {
    /// For the candidates of a name at a provider: names stand spread over the minute, each at the place that a hash of
    /// it gives, the same over restarts.
    pub fn of(percent: u8, name: &str, provider: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        (name, provider).hash(&mut hasher);
        Self { percent, turn: Duration::from_millis(hasher.finish() % 60_000) }
    }
}
