//! Decisions: for one steered name, the candidates that answer, their shares, and the reason for each.

use serde::Serialize;

use super::observation::Family;
use super::shares::Shares;
use super::time::Time;

/// What one steered name answers from now on. Names with equal policies and verdicts may share one.
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
