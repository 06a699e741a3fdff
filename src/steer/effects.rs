//! What one step of the core asks of the controller.

use std::sync::Arc;

use super::inquiry::Inquiry;
use super::observation::{CandidateKey, Cause};
use super::time::Time;
use super::transition::Transition;

/// The outcome of one call: what to store, to probe and to publish. Deterministic, and in the order in which it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What changed: to store, log and publish.
    pub transitions: Vec<Transition>,
    /// Probes out of pace.
    pub probes: Vec<ProbeWanted>,
    /// What else to ask, for evidence.
    pub inquiries: Vec<Inquiry>,
    /// Names whose decision changed in any way, be it only the TTL or a reason: to publish. Names that are no longer
    /// steered: to forget.
    pub decided: Vec<Arc<str>>,
    /// Candidates whose memory changed: to store. Those that are gone: to forget.
    pub remembered: Vec<CandidateKey>,
}

/// One probe that the judgement needs now or soon. It should go to each address family that the candidate is probed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeWanted {
    pub candidate: CandidateKey,
    pub cause: Cause,
    /// Not before this time.
    pub at: Time,
}

impl Effects {
    /// Adds what came after.
    pub fn append(&mut self, later: Self) {
        self.transitions.extend(later.transitions);
        self.probes.extend(later.probes);
        self.inquiries.extend(later.inquiries);
        self.decided.extend(later.decided);
        self.remembered.extend(later.remembered);
    }
}
