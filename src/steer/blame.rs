//! Whose fault it looks like, when a candidate that serves has fallen and no sibling passes.
//!
//! | siblings that were ready when it began to fail | the origin itself (`origin`) | it looks like |
//! | --- | --- | --- |
//! | none passes, or it has not failed for 10 min before | fails | the origin's fault |
//! | any other passes, be it drained or forbidden | passes, not known, or fails for longer | not the origin's fault |
//! | there are none | passes | not the origin's fault |
//! | there are none | not known | nobody can tell |
//! | one has neither passed nor failed since | passes, or not known | wait: its probe is on the way |
//! | all fail with the same stage and status class | passes | not the origin's fault, as seen from here |
//! | all fail with the same stage and status class | not known | the origin's fault |
//! | all fail, some in another way | passes, or not known | faults of their own |
//!
//! A candidate that counts as down by its provider and has not failed itself is its provider's.
//!
//! A sibling that was not ready before is no evidence: it would fail whatever the origin does. Candidates notice one
//! fault up to a round apart, so a sibling that fell a little earlier counts as ready.

use std::time::Duration;

use super::judge::Judge;
use super::origin::OriginWatch;
use super::policy::Candidate;
use super::time::Time;
use super::transition::Standing;

/// Whose fault it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// It has not failed itself: its provider is down.
    Provider(String),
    /// The origin was asked, and fails itself.
    OriginFails { reason: String, party: Vec<usize> },
    /// All fail alike, or there is no other; but the origin was asked, and passes.
    OriginPasses,
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
            Self::Provider(words) => words.clone(),
            Self::OriginFails { reason, .. } => format!("the origin itself fails: {reason}"),
            Self::OriginPasses => "not the origin's fault: it passes when asked itself".to_owned(),
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

    /// Why it is the origin's fault, if it is.
    pub(super) fn origin_fault(&self) -> Option<String> {
        match self {
            Self::OriginFails { reason, .. } => Some(format!("the origin itself fails: {reason}")),
            Self::Origin { reason, .. } => Some(format!("it looks like the origin's fault: {reason} through all")),
            _ => None,
        }
    }

    /// Whether a fall of this kind counts for its provider. None where it cannot be told yet.
    pub(super) fn counts_for_provider(&self) -> Option<bool> {
        match self {
            Self::OriginFails { .. } | Self::Origin { .. } => Some(false),
            Self::NotOrigin(_) | Self::NoEvidence | Self::OriginPasses | Self::Differs | Self::Provider(_) => {
                Some(true)
            }
            Self::Waiting => None,
        }
    }
}

/// Whose fault the fall of one candidate looks like. `apart` is how far apart candidates may notice one fault.
pub(super) fn blame(fallen: usize, judges: &[Judge], origin: &OriginWatch, apart: Duration) -> Blame {
    let judge = &judges[fallen];
    if let Some(outage) = judge.outage.as_ref().filter(|_| judge.summary.standing != Standing::Down) {
        return Blame::Provider(outage.words.clone());
    }
    let (Some(began), Some(seen)) = (judge.run_began(), judge.last_fault.as_ref()) else { return Blame::NoEvidence };
    let others = (0..judges.len()).filter(|&i| i != fallen);
    let since = began.before(apart);
    let passes = |&i: &usize| judges[i].has_passed_since(began) && judges[i].failing_since(began).is_none();
    let passes = others.clone().find(passes);
    let excuses = passes.is_none() || !origin.failed_long_before(began);
    if let Some(reason) = origin.fails_since(began).filter(|_| excuses) {
        let fell = |&i: &usize| judges[i].summary.standing == Standing::Down && judges[i].run_began() >= Some(since);
        let party = others.filter(fell).chain([fallen]).collect();
        return Blame::OriginFails { reason: reason.to_owned(), party };
    }
    if let Some(passes) = passes {
        return Blame::NotOrigin(passes);
    }
    let siblings: Vec<usize> = others.filter(|&i| was_ready(&judges[i], since, began)).collect();
    if siblings.is_empty() {
        return if origin.passes_since(began) { Blame::OriginPasses } else { Blame::NoEvidence };
    }
    let faults: Vec<_> = siblings.iter().map(|&i| judges[i].failing_since(since)).collect();
    if faults.iter().flatten().any(|fault| !fault.is_like(&seen.fault)) {
        return Blame::Differs;
    }
    if faults.contains(&None) {
        return Blame::Waiting;
    }
    if origin.passes_since(began) {
        return Blame::OriginPasses;
    }
    let mut party = siblings;
    party.push(fallen);
    let settled = party.iter().all(|&i| judges[i].summary.standing == Standing::Down);
    Blame::Origin { reason: seen.fault.reason.clone(), settled, party }
}

/// How far apart the candidates of a name may notice one fault: a round, and the limit of a probe.
pub(super) fn apart(candidates: &[Candidate]) -> Duration {
    candidates.iter().map(|c| c.probe.every.saturating_add(c.probe.timeout)).max().unwrap_or_default()
}

fn was_ready(judge: &Judge, since: Time, began: Time) -> bool {
    judge.was_ready_at(since) || judge.was_ready_at(began)
}
