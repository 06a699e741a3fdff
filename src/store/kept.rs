//! What is kept: the values, as the rest of the house sees them.

use serde::{Deserialize, Serialize};

use crate::steer::decision::{KeptShares, LastShares};
use crate::steer::drill_report::DrillReport;
use crate::steer::judge::CandidateMemory;
use crate::steer::ledger::KeptLedger;
use crate::steer::observation::CandidateKey;
use crate::steer::overrides::Override;
use crate::steer::time::Time;
use crate::steer::transition::Transition;

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

/// The last non-empty decisions of a name, as far as a restart needs them: the candidates and their points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDecision {
    /// Of the plain area rule: candidate ids with the end (exclusive) of each interval of points; see `steer::shares`.
    pub intervals: KeptShares,
    /// Of the others. Each is kept by what it says (`prefer=eu only=eu`): its number is another one when a zone or the
    /// areas change. Values that were written before there were area rules have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<LastOfArea>,
}

/// The last non-empty decision under one area rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOfArea {
    pub rule: String,
    pub intervals: KeptShares,
}

impl From<LastShares> for LastDecision {
    fn from(last: LastShares) -> Self {
        let areas = last.areas.into_iter().map(|(rule, intervals)| LastOfArea { rule, intervals });
        Self { intervals: last.plain, areas: areas.collect() }
    }
}

impl From<LastDecision> for LastShares {
    fn from(last: LastDecision) -> Self {
        let areas = last.areas.into_iter().map(|area| (area.rule, area.intervals));
        Self { plain: last.intervals, areas: areas.collect() }
    }
}

/// Everything that a start takes up.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub candidates: Vec<(CandidateKey, CandidateMemory)>,
    pub decisions: Vec<(String, LastDecision)>,
    pub overrides: Vec<Override>,
    /// Records of drills, by id.
    pub drills: Vec<DrillReport>,
    /// The generation that was published last: the highest that was written, by itself or in an event.
    pub generation: u64,
    /// The highest id ever given to an override.
    pub last_override: u64,
    /// The highest id ever given to an event.
    pub last_event: u64,
    /// Who answered for how long.
    pub ledger: KeptLedger,
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
    /// What is known of a drill so far.
    Drill(Box<DrillReport>),
    /// One too many.
    ForgetDrill(u64),
    /// The text of a zone, which an earlier version kept here: it stands in a file now (`texts`).
    ForgetZone(String),
    Generation(u64),
}

impl Kept {
    /// The latest time that any of it tells of: the clock must not begin before it.
    pub fn latest(&self) -> Time {
        let candidates = self.candidates.iter().map(|(_, memory)| memory.since);
        let overrides = self.overrides.iter().map(|order| order.placed);
        let runs = self.ledger.runs.iter().map(|run| run.until);
        let drills = self.drills.iter().flat_map(|report| report.ended.or(report.began));
        candidates.chain(overrides).chain(runs).chain(drills).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_without_areas_is_read_and_written_as_before_there_were_any() {
        let text = r#"{"intervals":[[65536,"bunny"]]}"#;
        let decision: LastDecision = serde_json::from_str(text).unwrap();
        assert_eq!(decision.intervals, [(65_536, "bunny".to_owned())]);
        assert_eq!(serde_json::to_string(&decision).unwrap(), text);
    }

    #[test]
    fn the_core_gets_back_what_it_gave() {
        let last = LastShares {
            plain: vec![(65_536, "bunny".to_owned())],
            areas: vec![("prefer=us".to_owned(), vec![(65_536, "fastly".to_owned())])],
        };
        let text = serde_json::to_string(&LastDecision::from(last.clone())).unwrap();
        assert_eq!(LastShares::from(serde_json::from_str::<LastDecision>(&text).unwrap()), last);
    }
}
