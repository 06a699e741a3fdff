//! What the controller tells the prober, and what it hears from it.

use std::net::IpAddr;
use std::time::Duration;

use crate::steer::observation::{CandidateKey, Cause, Observation};
use crate::steer::policy::{ProbeRule, Target};
use crate::steer::time::Time;

/// Controller to prober.
#[derive(Clone, Debug)]
pub enum Command {
    /// These are all candidates to probe from now on: new ones start at once, those that are gone stop, those that are
    /// as before keep their pace.
    Plan(Vec<Plan>),
    /// Probe one of them once, out of its pace, not before `at`.
    Probe { candidate: CandidateKey, cause: Cause, at: Time },
}

/// One candidate to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub candidate: CandidateKey,
    pub target: Target,
    pub probe: ProbeRule,
}

/// Prober to controller.
#[derive(Clone, Debug)]
pub enum Report {
    Observed(Observation),
    /// What a target name resolves to now, each time that changes or is renewed.
    Resolved {
        candidate: CandidateKey,
        addresses: Vec<IpAddr>,
        ttl: Duration,
    },
}
