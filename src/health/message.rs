//! What the controller tells the prober, and what it hears from it.
//!
//! Candidates that ask the same are told of together, both ways: what one change asks of the prober is one command, so
//! that it sees which requests are one, and what one request saw is one report, so that all names move at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
pub use super::check::Plan;
use crate::image::areas::AreaNetwork;
use crate::image::by_area::ForArea;
use crate::image::service::ServiceRecord;
use crate::steer::effects::ProbeWanted;
use crate::steer::inquiry::{Finding, Inquiry};
use crate::steer::observation::{CandidateKey, Family, Observation};
use crate::steer::readiness::Facts;

/// Controller to prober.
#[derive(Clone, Debug)]
pub enum Command {
    /// These are all candidates to probe from now on: new ones start at once, those that are gone stop, those that are
    /// as before keep their pace.
    Plan(Vec<Plan>),
    /// Probe each of these once, out of its pace.
    Probe(Vec<ProbeWanted>),
    /// Ask each of these, for evidence.
    Inquire(Vec<Asked>),
    /// These are all targets of flattened names from now on, whose HTTPS records are looked up; and the networks that those whose DNS tells
    /// clients apart are resolved for.
    Flatten { targets: Vec<Arc<str>>, networks: Arc<[AreaNetwork]> },
}

/// One inquiry of the core, with what it takes to carry it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub inquiry: Inquiry,
    pub question: Question,
}

/// Whom an inquiry asks. Equal ones are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    Origin(Check),
    /// Those of the settings, in one address family.
    Anchors(Family),
}

/// Prober to controller.
#[derive(Clone, Debug)]
pub enum Report {
    /// What one request saw. It is so for each of these candidates; the observation names the first. `facts` is what
    /// else it learnt.
    Observed { candidates: Arc<[CandidateKey]>, observation: Observation, facts: Option<Arc<Facts>> },
    /// What a target name resolves to now, each time that changes or is renewed, for all candidates that ask there alike.
    Resolved { candidates: Arc<[CandidateKey]>, addresses: Vec<IpAddr>, ttl: Duration },
    /// The HTTPS records of a target of flattened names, and how long they hold; none where it has none, or they cannot be looked up.
    /// `honours_subnets`: whether its DNS answers by client subnet (RFC 7871), where that is known.
    Service { target: Arc<str>, records: Vec<ServiceRecord>, ttl: Duration, honours_subnets: Option<bool> },
    /// What works of what the DNS of a target has for the clients of areas, each time that changes: all of it.
    ByArea { target: Arc<str>, areas: Vec<ForArea> },
    /// What came of one question, for each inquiry that asked it. None comes of what could not be asked from here.
    Found(Vec<Finding>),
}

/// The observation of each candidate that one request was sent for.
pub fn of_each(observation: Observation, candidates: &[CandidateKey]) -> impl Iterator<Item = Observation> {
    candidates.iter().map(move |candidate| Observation { candidate: candidate.clone(), ..observation.clone() })
}
