//! Whose fault it looks like, when a candidate that serves has fallen and no sibling passes.
//!
//! This table is the test's table too. The candidate fell by three answers with status 500, the first of them in a probe that
//! began when *the fault began*; two siblings each
//!
//! - `passes`: it passes since, be it drained or forbidden; `passed`: but then it failed alike;
//! - `alike`: it fell with another status 5xx since; `earlier`: a little earlier, and no more than a round and a limit before;
//!   `failing`: it fails so, and has not fallen yet;
//! - `otherwise`: it fell since, by connections that failed;
//! - `silent`: it was up, and has not been heard of since;
//! - `was down`, or was `never up`: it was so long before.
//!
//! The origin itself (`origin=`) is `unknown`, or `passes` since; or it `fails`, or has failed `for long`, 10 min before and more;
//! or it fails and has `never` passed. *Counts* is whether the fall counts for its provider; `later` is not known yet.
//!
//! | one sibling | another | origin | it looks like | counts |
//! | --- | --- | --- | --- | --- |
//! | alike | alike | fails | the origin's fault: it fails itself | no |
//! | alike | otherwise | fails | the origin's fault: it fails itself | no |
//! | passes | alike | fails | the origin's fault: it fails itself | no |
//! | was down | was down | fails | the origin's fault: it fails itself | no |
//! | alike | alike | for long | the origin's fault: it fails itself | no |
//! | passes | alike | for long | not the origin's fault: a sibling passes | yes |
//! | passes | alike | never | not the origin's fault: a sibling passes | yes |
//! | passes | alike | unknown | not the origin's fault: a sibling passes | yes |
//! | alike | passes | passes | not the origin's fault: a sibling passes | yes |
//! | passes | silent | unknown | not the origin's fault: a sibling passes | yes |
//! | was down | was down | passes | not the origin's fault: it passes | yes |
//! | was down | was down | unknown | nobody can tell | yes |
//! | never up | was down | never | nobody can tell | yes |
//! | silent | alike | unknown | wait for a sibling | later |
//! | silent | alike | passes | wait for a sibling | later |
//! | silent | otherwise | unknown | faults of their own | yes |
//! | alike | alike | passes | not the origin's fault: it passes | yes |
//! | alike | alike | unknown | the origin's fault: all fail alike | no |
//! | alike | alike | never | the origin's fault: all fail alike | no |
//! | alike | was down | unknown | the origin's fault: all fail alike | no |
//! | passed | alike | unknown | the origin's fault: all fail alike | no |
//! | earlier | alike | unknown | the origin's fault: all fail alike | no |
//! | failing | alike | unknown | the origin's fault so far: all fail alike | no |
//! | alike | otherwise | unknown | faults of their own | yes |
//! | alike | otherwise | passes | faults of their own | yes |
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture::{IDS, candidate, seen};
    use super::super::observation::{Cause, Family, Observation, Outcome, Stage};
    use super::super::together::Outage;
    use super::*;

    /// When the fault began.
    const BEGAN: Time = Time(1_764_892_800_000);
    const APART: Duration = Duration::from_secs(13);

    /// So many seconds after the fault began, or before.
    fn second(seconds: i64) -> Time {
        let span = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { BEGAN.before(span) } else { BEGAN.after(span) }
    }

    fn judge(at: usize, story: &[(i64, Option<u16>)]) -> Judge {
        let candidate = candidate(IDS[at], "si", 3);
        let mut judge = Judge::new(&candidate, second(-3_600));
        for &(seconds, status) in story {
            let now = second(seconds);
            let seen = seen(at, Some(Family::V4), Cause::Paced, status, now);
            // Nobody at all answers where a status would be 0.
            let seen = if status == Some(0) { unconnected(seen) } else { seen };
            judge.observe(&seen, &candidate, false, now);
        }
        judge
    }

    fn unconnected(mut seen: Observation) -> Observation {
        if let Outcome::Fail(fault) = &mut seen.outcome {
            (fault.stage, fault.status) = (Stage::Connect, None);
        }
        seen
    }

    fn sibling(at: usize, word: &str) -> Judge {
        let after = |first: i64, status: u16| (0..3).map(move |more| (first + more, Some(status)));
        let up = (-60, None);
        let story: Vec<(i64, Option<u16>)> = match word {
            "passes" => vec![up, (1, None)],
            "passed" => [up, (0, None)].into_iter().chain(after(1, 502)).collect(),
            "alike" => [up].into_iter().chain(after(1, 502)).collect(),
            "earlier" => [up].into_iter().chain(after(-10, 502)).collect(),
            "failing" => vec![up, (1, Some(502))],
            "otherwise" => [up].into_iter().chain(after(1, 0)).collect(),
            "silent" => vec![up],
            "was down" => [(-600, None)].into_iter().chain(after(-300, 502)).chain(after(1, 502)).collect(),
            "never up" => after(-300, 502).collect(),
            other => panic!("no word of the table: {other}"),
        };
        judge(at, &story)
    }

    fn origin(word: &str) -> OriginWatch {
        let fault = seen(0, Some(Family::V4), Cause::Paced, Some(503), BEGAN).outcome;
        let pass = Outcome::Pass { latency: Duration::ZERO };
        let story: &[(i64, &Outcome)] = match word {
            "unknown" => &[(-60, &pass)],
            "passes" => &[(-60, &pass), (1, &pass)],
            "fails" => &[(-700, &pass), (-600, &fault), (1, &fault)],
            "for long" => &[(-700, &pass), (-601, &fault), (1, &fault)],
            "never" => &[(-60, &fault), (1, &fault)],
            other => panic!("no word of the table: {other}"),
        };
        let mut origin = OriginWatch::default();
        for &(seconds, outcome) in story {
            origin.found(second(seconds), second(seconds), outcome);
        }
        origin.look(second(3));
        origin
    }

    fn words(blame: &Blame) -> &'static str {
        match blame {
            Blame::Provider(_) => "its provider's",
            Blame::OriginFails { .. } => "the origin's fault: it fails itself",
            Blame::OriginPasses => "not the origin's fault: it passes",
            Blame::NotOrigin(_) => "not the origin's fault: a sibling passes",
            Blame::NoEvidence => "nobody can tell",
            Blame::Waiting => "wait for a sibling",
            Blame::Origin { settled: true, .. } => "the origin's fault: all fail alike",
            Blame::Origin { settled: false, .. } => "the origin's fault so far: all fail alike",
            Blame::Differs => "faults of their own",
        }
    }

    fn fallen() -> Judge {
        judge(0, &[(-60, None), (0, Some(500)), (1, Some(500)), (2, Some(500))])
    }

    #[test]
    fn the_table_holds_in_both_orders() {
        let rows: Vec<&str> = include_str!("blame.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("one sibling |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 25);
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            for (one, another) in [(cells[0], cells[1]), (cells[1], cells[0])] {
                let judges = [fallen(), sibling(1, one), sibling(2, another)];
                let blame = blame(0, &judges, &origin(cells[2]), APART);
                assert_eq!(words(&blame), cells[3], "{row}: {blame:?}");
                let counts = match blame.counts_for_provider() {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "later",
                };
                assert_eq!(counts, cells[4], "{row}");
            }
        }
    }

    #[test]
    fn who_counts_as_down_is_its_providers() {
        let words = "provider bunny is down (...)".to_owned();
        let outage = Arc::new(Outage { words: words.clone(), began: BEGAN, at: BEGAN, all: true });
        let blamed = |mut judge: Judge| {
            judge.outage = Some(Arc::clone(&outage));
            blame(0, &[judge, sibling(1, "passes"), sibling(2, "alike")], &origin("unknown"), APART)
        };
        assert_eq!(blamed(judge(0, &[(-60, None), (1, None)])), Blame::Provider(words.clone()));
        assert_eq!(blamed(judge(0, &[(-60, None), (0, Some(500))])), Blame::Provider(words));
        assert_eq!(blamed(fallen()), Blame::NotOrigin(1), "it fell itself");
    }
}
