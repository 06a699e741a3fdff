//! A check: what is asked of whom. Candidates that ask just the same of the same target share one, so that a thousand
//! names behind one edge cost it one request a round.

use crate::steer::observation::CandidateKey;
use crate::steer::policy::{ProbeRule, Target};

/// Whom to ask, and what. Equal ones are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    pub target: Target,
    pub probe: ProbeRule,
}

/// One candidate to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub candidate: CandidateKey,
    pub target: Target,
    pub probe: ProbeRule,
}

impl Plan {
    /// Who asks, and what.
    pub fn split(self) -> (CandidateKey, Check) {
        (self.candidate, Check { target: self.target, probe: self.probe })
    }
}
