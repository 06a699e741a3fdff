//! What is kept: the values, as the rest of the house sees them.

use serde::{Deserialize, Serialize};

use crate::steer::judge::CandidateMemory;
use crate::steer::observation::CandidateKey;
use crate::steer::overrides::Override;
use crate::steer::time::Time;
use crate::steer::transition::Transition;
use crate::zone::texts::Texts;

/// A transition with its place in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up by one with each, never used again.
    pub id: u64,
    /// The generation that was published with it.
    pub generation: u64,
    #[serde(flatten)]
    pub transition: Transition,
}

/// The last non-empty decision of a name, as far as a restart needs it: the candidates and their points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDecision {
    /// Candidate ids with the end (exclusive) of each interval of points; see `steer::shares`.
    pub intervals: Vec<(u32, String)>,
}

/// Everything that a start takes up.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub candidates: Vec<(CandidateKey, CandidateMemory)>,
    pub decisions: Vec<(String, LastDecision)>,
    pub overrides: Vec<Override>,
    /// Zone texts by origin, lower case, absolute.
    pub zones: Vec<(String, Texts)>,
    /// The generation that was published last: the highest that was written, by itself or in an event.
    pub generation: u64,
    /// The highest id ever given to an override.
    pub last_override: u64,
    /// The highest id ever given to an event.
    pub last_event: u64,
}

/// One change to keep; what stands in one batch is kept whole or not at all.
#[derive(Clone, Debug)]
pub enum Write {
    Candidate(CandidateKey, CandidateMemory),
    /// The name is no longer steered, or the candidate is gone.
    ForgetCandidate(CandidateKey),
    Decision(String, LastDecision),
    ForgetDecision(String),
    Event(Event),
    Override(Override),
    /// Released or expired.
    ForgetOverride(u64),
    Zone(String, Texts),
    ForgetZone(String),
    Generation(u64),
}

impl Kept {
    /// The latest time that any of it tells of: the clock must not begin before it.
    pub fn latest(&self) -> Time {
        let candidates = self.candidates.iter().map(|(_, memory)| memory.since);
        let overrides = self.overrides.iter().map(|order| order.placed);
        candidates.chain(overrides).max().unwrap_or_default()
    }
}
