//! Whose fault it looks like, when a candidate that serves has fallen and no sibling passes.
//!
//! | siblings that were ready when it began to fail | it looks like |
//! | --- | --- |
//! | any other passes, be it drained or forbidden | not the origin's fault |
//! | there are none | nobody can tell |
//! | one has neither passed nor failed since | wait: its probe is on the way |
//! | all fail with the same stage and status class | the origin's fault |
//! | all fail, some in another way | faults of their own |
//!
//! A sibling that was not ready before is no evidence: it would fail whatever the origin does. Candidates notice one
//! fault up to a round apart, so a sibling that fell a little earlier counts as ready.

use std::time::Duration;

use super::judge::Judge;
use super::policy::Candidate;
use super::time::Time;
use super::transition::Standing;

/// Whose fault it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// This one passes, though it may not answer.
    NotOrigin(usize),
    /// No sibling was ready before.
    NoEvidence,
    /// Some sibling has not been heard of since.
    Waiting,
    /// All fail alike. `settled` once all of them are down.
    Origin { reason: String, settled: bool, party: Vec<usize> },
    /// All fail, each in its own way.
    Differs,
}

impl Blame {
    /// What the rule says of it.
    pub(super) fn words(&self, candidates: &[Candidate]) -> String {
        match self {
            Self::NotOrigin(passes) => {
                let id = candidates.get(*passes).map_or("another", |candidate| &*candidate.id);
                format!("not the origin's fault: {id} passes")
            }
            Self::NoEvidence => "cause unknown: no other candidate was up before".to_owned(),
            Self::Waiting => "cause unknown yet: probes of the others are on their way".to_owned(),
            Self::Origin { reason, .. } => format!("looks like the origin's fault: {reason} through all"),
            Self::Differs => "all fail, but not alike".to_owned(),
        }
    }
}

/// Whose fault the fall of one candidate looks like. `apart` is how far apart candidates may notice one fault.
pub(super) fn blame(fallen: usize, judges: &[Judge], apart: Duration) -> Blame {
    let judge = &judges[fallen];
    let (Some(began), Some(seen)) = (judge.run_began(), judge.last_fault.as_ref()) else { return Blame::NoEvidence };
    let others = (0..judges.len()).filter(|&i| i != fallen);
    let passes = |&i: &usize| judges[i].has_passed_since(began) && judges[i].failing_since(began).is_none();
    if let Some(passes) = others.clone().find(passes) {
        return Blame::NotOrigin(passes);
    }
    let since = began.before(apart);
    let siblings: Vec<usize> = others.filter(|&i| was_ready(&judges[i], since, began)).collect();
    if siblings.is_empty() {
        return Blame::NoEvidence;
    }
    let faults: Vec<_> = siblings.iter().map(|&i| judges[i].failing_since(since)).collect();
    if faults.iter().flatten().any(|fault| !fault.is_like(&seen.fault)) {
        return Blame::Differs;
    }
    if faults.contains(&None) {
        return Blame::Waiting;
    }
    let mut party = siblings;
    party.push(fallen);
    let settled = party.iter().all(|&i| judges[i].summary.standing == Standing::Down);
    Blame::Origin { reason: seen.fault.reason.clone(), settled, party }
}

fn was_ready(judge: &Judge, since: Time, began: Time) -> bool {
    judge.was_ready_at(since) || judge.was_ready_at(began)
}
