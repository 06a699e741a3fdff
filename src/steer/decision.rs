//! Decisions: for one steered name and one of its area rules, the candidates that answer, their shares, and the reason
//! for each.

use serde::Serialize;

use super::observation::Family;
use super::shares::Shares;
use super::time::Time;

/// What one steered name answers to some clients from now on. Names with equal policies and verdicts may share one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    pub source: Source,
    /// TTL of the answers in seconds.
    pub ttl: u32,
    /// One line: which rule decided.
    pub rule: String,
    /// One entry for each candidate, in the order of the name's candidates.
    pub reasons: Vec<CandidateReason>,
    pub since: Time,
}

/// Where the answers come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Candidates by their shares.
    Candidates(Shares),
    /// The owner's own records.
    Static,
}

/// Why a candidate answers, or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateReason {
    /// Its share of the clients, 0 to 1.
    pub share: f64,
    /// A family that address answers leave out, since it alone is down.
    pub left_out: Option<Family>,
    /// One line: `up, level 1 (eu)`, `down since 08:47:12 (status 500), level 1 (eu)`, `drained by anna: ...`.
    pub reason: String,
}

/// Intervals of points, as they are kept: each one's end (exclusive) and the id of the candidate that holds it.
pub type KeptShares = Vec<(u32, String)>;

/// The last shares of a name that were not empty, as far as a restart needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastShares {
    /// Under the plain rule; empty where there were none.
    pub plain: KeptShares,
    /// Under each other area rule, by what it says (`prefer=eu only=eu`).
    pub areas: Vec<(String, KeptShares)>,
}
