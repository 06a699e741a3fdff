//! What the controller tells the prober, and what it hears from it.
//!
//! Candidates that ask the same are told of together, both ways: what one change asks of the prober is one command, so
//! that it sees which requests are one, and what one request saw is one report, so that all names move at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use super::check::Plan;
use crate::steer::effects::ProbeWanted;
use crate::steer::observation::{CandidateKey, Observation};

/// Controller to prober.
#[derive(Clone, Debug)]
pub enum Command {
    /// These are all candidates to probe from now on: new ones start at once, those that are gone stop, those that are
    /// as before keep their pace.
    Plan(Vec<Plan>),
    /// Probe each of these once, out of its pace.
    Probe(Vec<ProbeWanted>),
}

/// Prober to controller.
#[derive(Clone, Debug)]
pub enum Report {
    /// What one request saw. It is so for each of these candidates; the observation names the first.
    Observed { candidates: Arc<[CandidateKey]>, observation: Observation },
    /// What a target name resolves to now, each time that changes or is renewed, for all candidates that ask there alike.
    Resolved { candidates: Arc<[CandidateKey]>, addresses: Vec<IpAddr>, ttl: Duration },
}

/// The observation of each candidate that one request was sent for.
pub fn of_each(observation: Observation, candidates: &[CandidateKey]) -> impl Iterator<Item = Observation> {
    candidates.iter().map(move |candidate| Observation { candidate: candidate.clone(), ..observation.clone() })
}
