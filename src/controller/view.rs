//! What the controller tells of its state: the documents of the JSON API, which the commands read back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::drills::view::{DrillLine, PlannedView};
use crate::steer::observation::{Family, Fault};
use crate::steer::readiness::ReadinessState;
use crate::steer::transition::{Standing, Verdict};

/// The state in short: what `/health`, `/readyz` and the head of `status` need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    pub version: String,
    pub vantage: String,
    pub started: Timestamp,
    pub now: Timestamp,
    pub generation: u64,
    pub serving: Serving,
    /// Whether every candidate has been probed once, or had its time to be.
    pub first_round: FirstRound,
    pub zones: Counts,
    pub names: NameCounts,
    pub candidates: StandingCounts,
    pub overrides_in_force: usize,
    pub frozen: bool,
    /// Overrides that keep clients on what is down, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides_on_down: Vec<String>,
    /// The drill in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillLine>,
    /// Drills that the configuration schedules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned_drills: Vec<PlannedView>,
    pub store: StoreState,
    pub areas: AreasView,
    /// Address families that this vantage has no route for; they are not probed.
    pub families_without_route: Vec<Family>,
    /// Datagrams that the kernel dropped since the start, since a UDP socket's receive buffer was full.
    pub udp_dropped: u64,
    /// TCP connections that are open.
    #[serde(default)]
    pub tcp_connections: u64,
    /// What this vantage is wrong about, so that such failures count nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<DoubtView>,
    /// What needs an operator, one line each, most urgent first.
    pub alerts: Vec<String>,
    pub last_reload: Option<ReloadReport>,
    /// For how many seconds a reload has been running; none while none runs.
    #[serde(default)]
    pub reloading: Option<f64>,
}

/// Failures that count nothing, since the vantage itself is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtView {
    /// `v4` or `v6` (its network in that family), `clock`.
    pub what: String,
    pub since: Timestamp,
    pub evidence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serving {
    Starting,
    Serving,
    Stopping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstRound {
    Pending,
    Done,
}

/// Zones by whether what is served is what the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub serving: usize,
    /// The file has errors; the last good text is served.
    pub stale: usize,
    /// The file has errors and there is no last good text: SERVFAIL.
    pub broken: usize,
}

impl Counts {
    /// Zones whose questions are answered.
    pub fn answering(&self) -> usize {
        self.serving + self.stale
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameCounts {
    pub steered: usize,
    /// Names for which no candidate is usable, for clients in whatever area.
    pub without_usable: usize,
    /// Other names for which none is usable for the clients of some area.
    #[serde(default)]
    pub without_usable_in_area: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingCounts {
    pub up: usize,
    pub impaired: usize,
    pub down: usize,
    pub recovering: usize,
    #[serde(default)]
    pub ramping: usize,
    pub unknown: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum StoreState {
    Ok,
    /// The store did not open and was set aside; a new one is in use.
    SetAside {
        why: String,
        moved_to: String,
    },
    /// Verdicts, overrides and events are kept; the last good texts of some zones are not.
    WithoutTexts {
        why: String,
    },
    /// All is kept but the ledger: what it has in memory is told to the disk as soon as that takes it.
    WithoutLedger {
        why: String,
    },
    /// Nothing is kept: no store could be opened, or it failed while running.
    Gone {
        why: String,
    },
}

/// What is known of clients' places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreasView {
    /// The database of countries that is configured.
    pub database: Option<String>,
    /// The one whose countries are known.
    pub loaded: Option<LoadedDatabase>,
    /// Why what is configured is not in force.
    pub error: Option<String>,
    /// Combinations of areas that clients may be in.
    pub places: usize,
    /// Ranges of addresses that are told apart.
    pub ipv4_ranges: usize,
    pub ipv6_ranges: usize,
    /// Memory that look-ups read in.
    pub octets: usize,
}

/// A database of countries that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedDatabase {
    pub file: String,
    /// What it calls itself: `GeoLite2-Country`.
    pub kind: String,
    pub built: Timestamp,
    /// Networks that it knows the country of.
    pub prefixes: usize,
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderView {
    pub id: String,
    pub name: String,
    pub home: String,
    pub status_page: Option<String>,
    pub candidates: StandingCounts,
    /// Steered names that it serves a share of now, to clients in whatever area.
    pub serving_names: usize,
    /// The id of the override that drains it.
    pub drained_by: Option<u64>,
    /// What is believed of it as a whole. None where no steered name has a candidate of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<ProviderVerdictView>,
}

/// What is believed of a provider as a whole: how many of its candidates fell together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderVerdictView {
    /// `unknown` as long as fewer than 3 of its candidates count.
    pub verdict: Verdict,
    pub since: Timestamp,
    /// Candidates that were up within the last 24 h, and have not fallen by somebody else's fault.
    pub counted: u32,
    /// Those of them that fell within 10 min.
    pub fallen: u32,
    /// Zones that the fallen ones are in.
    pub zones: u32,
    /// `7 of 12 counted candidates fell within 10 min, in 4 zones: status 500`.
    pub evidence: String,
}

/// One steered name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameView {
    /// Presentation format, absolute.
    pub name: String,
    pub zone: String,
    /// `cname`, `addresses`, `flattened`.
    pub shape: String,
    pub ttl: u32,
    /// Why it answers as it does, one line. This, what follows and the candidates' shares are of the plain rule: for clients
    /// in none of `areas`.
    pub rule: String,
    pub since: Timestamp,
    /// Whether the owner's own records answer.
    pub static_answer: bool,
    /// Whether any candidate can be used, by whatever clients: is not down, drained or forbidden.
    pub usable: bool,
    pub candidates: Vec<CandidateView>,
    /// What clients in some areas are answered, by `prefer.<area>` and `only.<area>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<AreaView>,
}

/// What the clients of one area rule of a name are answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaView {
    /// Whose clients: `continent-eu`; `eu27 and country-de` where one area gives `prefer` and the other `only`.
    pub clients: Vec<String>,
    /// What holds for them, as steering records write it: `prefer=bunny,any only=eu`.
    pub terms: String,
    pub ttl: u32,
    /// Why it answers as it does, one line.
    pub rule: String,
    pub since: Timestamp,
    pub static_answer: bool,
    /// Whether any candidate can be used for these clients.
    pub usable: bool,
    /// In the order of the name's candidates.
    pub shares: Vec<AreaShare>,
}

/// What a candidate serves of the clients of one area rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaShare {
    pub id: String,
    /// Of these clients, 0 to 1.
    pub share: f64,
    /// Why it serves or not, one line.
    pub reason: String,
}

/// One candidate of a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateView {
    pub id: String,
    pub provider: String,
    pub home: String,
    /// The target's name, or its addresses separated by commas.
    pub target: String,
    pub verdict: Verdict,
    pub standing: Standing,
    pub since: Timestamp,
    /// Of the clients, 0 to 1.
    pub share: f64,
    /// Why it serves or not, one line.
    pub reason: String,
    pub standby: bool,
    /// When its clean window ends, while it recovers.
    pub clean_until: Option<Timestamp>,
    /// How far its share has grown back, while it ramps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<RampView>,
    pub failures_in_row: u32,
    /// Of the last paced probes: how many failed, of how many.
    pub recent_failures: (u32, u32),
    pub last_pass: Option<Timestamp>,
    pub last_latency_ms: Option<u64>,
    pub last_fault: Option<FaultView>,
    /// What its target name resolves to; its own addresses otherwise.
    pub addresses: Vec<String>,
    /// Of a flattened name: whether the target's DNS honours client subnets (RFC 7871), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub honours_subnets: Option<bool>,
    /// What clients of some areas are answered in their place; addresses that work alone. A family that is missing is that of `addresses`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses_by_area: Vec<AreaAddresses>,
    /// Whether it can be relied on at the moment of need.
    #[serde(default)]
    pub readiness: ReadinessState,
    /// What would break, one line each; empty unless it is at risk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
    /// Since when it has been at risk, over restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_risk_since: Option<Timestamp>,
    /// The certificate that it showed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
}

/// What the DNS of a target has for the clients of an area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaAddresses {
    /// `country-de`.
    pub area: String,
    /// The network that it was asked for.
    pub network: String,
    pub addresses: Vec<String>,
    /// Seconds.
    pub ttl: u32,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The organisation that signed it.
    pub issuer: String,
    /// When it ends, or its chain.
    pub until: Timestamp,
}

/// A share that grows back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampView {
    /// How much of its share the candidate may hold now, in percent; 0 while it waits for its turn by its provider's
    /// `step`.
    pub percent: u8,
    /// Until when, or longer if probes do not pass.
    pub until: Timestamp,
    /// How much then, in percent.
    pub next_percent: u8,
    /// When it has all of it, if nothing delays it.
    pub ends: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultView {
    pub at: Timestamp,
    pub address: Option<String>,
    #[serde(flatten)]
    pub fault: Fault,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneView {
    pub origin: String,
    pub serial: u32,
    pub state: ZoneState,
    pub file: String,
    pub records: usize,
    pub steered_names: usize,
    pub loaded: Option<Timestamp>,
    pub errors: usize,
    pub warnings: usize,
    /// What `check` says of the file, at most the first 20.
    pub diagnostics: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneState {
    Serving,
    Stale,
    Broken,
}

/// What would be answered, and every step why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub name: String,
    #[serde(rename = "type")]
    pub rtype: String,
    pub client: String,
    /// `NOERROR`, `NXDOMAIN`, ...
    pub rcode: String,
    /// The answer section in presentation format, a record a line.
    pub answer: Vec<String>,
    /// From the question to the answer, one line each.
    pub steps: Vec<String>,
    /// The candidate that this client gets.
    pub candidate: Option<String>,
    /// The steered name with all its candidates, if the answer is steered.
    pub steered: Option<NameView>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    pub id: u64,
    pub generation: u64,
    pub at: Timestamp,
    /// `verdict`, `decision`, `provider`, `vantage`, `readiness`, `override`, `drill`.
    pub kind: String,
    pub subject: String,
    pub from: String,
    pub to: String,
    pub why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Some events, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    pub events: Vec<EventView>,
    /// `before` for the next page; none at the end.
    pub next: Option<u64>,
}

/// One override in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverrideView {
    pub id: u64,
    /// `drain`, `pin`, `freeze`, `drill`.
    pub order: String,
    /// What it is about: `bunny`, `www.shop.example./bunny`, a glob, `name:www.shop.example.`, `zone:shop.example.`,
    /// `everything`.
    pub subject: String,
    pub author: String,
    pub reason: String,
    pub placed: Timestamp,
    pub until: Option<Timestamp>,
    /// Names that it touches now.
    pub names: usize,
    /// Whether it is kept over a restart; it is in force either way.
    pub stored: bool,
    /// When a gradual drain has left nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Timestamp>,
    /// How much of its share what is drained gradually may still hold, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_percent: Option<u8>,
    /// Candidates that are down, on which it keeps clients: the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_down: Vec<String>,
    /// All of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub on_down_total: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What an order would move, if it were placed now; of a gradual drain, in the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlastRadius {
    /// `drain`, `pin`, `freeze`, `drill`.
    pub order: String,
    pub subject: String,
    /// Names that it is about.
    pub names: usize,
    /// Answers that would change, by name and area rule.
    pub moves: usize,
    /// Of the names that it is about, over the last minute or two. None where nothing was measured yet.
    pub answers_per_second: Option<f64>,
    /// Those of them that would come from elsewhere.
    pub moved_per_second: Option<f64>,
    /// The time that the rates are of.
    pub measured_seconds: f64,
    /// The first 1,000 moves, those of the most answers first.
    pub of: Vec<MoveView>,
    /// What speaks against it, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One answer that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoveView {
    pub name: String,
    /// Whose, where the name has area rules: `clients in eu27`.
    pub clients: Option<String>,
    /// `bunny 70%, gcore 30%`, or `static`.
    pub from: String,
    pub to: String,
    /// Which rule would decide.
    pub why: String,
    /// Whether any candidate could be used then.
    pub usable: bool,
    /// Of these clients, 0 to 1.
    pub share: f64,
    pub answers_per_second: Option<f64>,
    pub flows: Vec<FlowView>,
}

/// Clients that would go from one candidate to another; `static` is the owner's own records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowView {
    pub from: String,
    pub to: String,
    /// Of the clients, 0 to 1.
    pub share: f64,
    pub answers_per_second: Option<f64>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReloadReport {
    pub at: Timestamp,
    pub generation: u64,
    /// Everything was good and is in force.
    pub ok: bool,
    /// Origins whose content changed, and those that left; the first 100.
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// What is wrong with the zones and with the configuration, a line each; the first 100.
    pub errors: Vec<String>,
    pub warnings: usize,
    /// All of them.
    pub counts: ReloadCounts,
    /// From the order to the first answer from what was read.
    pub seconds: f64,
}

/// How many zones a reload was about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadCounts {
    /// Zone files that were read.
    pub read: usize,
    pub changed: usize,
    pub removed: usize,
    pub errors: usize,
}
