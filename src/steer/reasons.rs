//! Decisions in words: what answers, which rule chose it, and why each candidate answers or not.
//!
//! Words change only when something that matters changes, so that a probe like the one before publishes nothing: they
//! tell when a standing began and what it came from, not how many failures there are by now.

use super::answering::Answering;
use super::decision::{CandidateReason, Source};
use super::name::index;
use super::policy::SteeredName;
use super::shares::Shares;
use super::transition::Standing;
use super::who::{Choice, Rank};

/// `bunny 70%, gcore 30%`.
pub(super) fn words_of(rules: &SteeredName, shares: &Shares) -> String {
    let mut words = Vec::new();
    for (i, candidate) in rules.candidates.iter().enumerate() {
        let share = index(i).map_or(0.0, |at| shares.share(at));
        if share > 0.0 {
            words.push(format!("{} {:.0}%", candidate.id, share * 100.0));
        }
    }
    words.join(", ")
}

impl Answering<'_> {
    /// Which rule chose those that serve.
    pub(super) fn rule(&self, choice: &Choice) -> String {
        let (rank, standby, level) = choice.group;
        let mut words = match rank {
            Rank::Up if self.name.first_round_until.is_some() => "first round: what was not probed yet counts as up",
            Rank::Up => "up",
            Rank::Unsure => "none is up: recovering or unknown",
            Rank::Poor => "none is up, recovering or unknown: impaired or not ready",
        }
        .to_owned();
        words += ", ";
        words += &self.group_words(standby, level);
        if choice.spilled {
            words += "; above `max` the next levels";
        }
        if choice.exceeded {
            words += "; no room is left: `max` is exceeded";
        }
        words
    }

    fn group_words(&self, standby: bool, level: usize) -> String {
        if standby {
            return "on standby".to_owned();
        }
        match self.terms.prefer.get(level) {
            Some(preference) => format!("level {} ({preference})", level + 1),
            None => "last level".to_owned(),
        }
    }

    /// Why each candidate answers, or not.
    pub(super) fn reasons(&self, source: &Source) -> Vec<CandidateReason> {
        let share = |i: usize| match source {
            Source::Candidates(shares) => index(i).map_or(0.0, |at| shares.share(at)),
            Source::Static => 0.0,
        };
        let reason = |i: usize| CandidateReason {
            share: share(i),
            left_out: self.name.left_out.get(i).copied().flatten(),
            reason: self.reason(i, share(i)),
        };
        (0..self.name.judges.len()).map(reason).collect()
    }

    fn reason(&self, at: usize, share: f64) -> String {
        let candidate = &self.name.rules.candidates[at];
        let mut words = String::new();
        let allowed = self.terms.allow(candidate);
        if let Some((pinned, why)) = &self.name.orders.pin
            && *pinned == at
        {
            words += why;
            words += "; ";
        }
        if let Some(why) = self.drained(at) {
            words += why;
            words += "; ";
        }
        if !allowed {
            words += "forbidden by `only`; ";
        }
        words += &self.standing_words(at);
        words += ", ";
        words += &self.group_words(candidate.standby, self.terms.level(candidate));
        if candidate.max.is_some_and(|max| share > (f64::from(max) + 0.01) / 100.0) {
            words += ", above its `max`";
        }
        words
    }

    fn standing_words(&self, at: usize) -> String {
        let judge = &self.name.judges[at];
        let summary = &judge.summary;
        let last = judge.last_fault.as_ref().map_or("seen before the start", |seen| &seen.fault.reason);
        let fault = judge.fault_of_standing.as_ref().map_or(last, |fault| &fault.reason);
        match (summary.standing, summary.left_out) {
            (Standing::Up, _) if summary.failing => format!("up, but its last probe failed ({last})"),
            (Standing::Up, _) => "up".to_owned(),
            (Standing::Impaired, Some(family)) if summary.alone => {
                format!("up without {family} since {} ({fault})", judge.since)
            }
            (Standing::Impaired, _) => format!("impaired since {} ({fault})", judge.since),
            (Standing::Down, _) => format!("down since {} ({fault})", judge.since),
            (Standing::Recovering, _) => match judge.clean_until() {
                Some(until) => format!("recovering, up at {until} if it stays clean"),
                None => "recovering".to_owned(),
            },
            (Standing::Unknown, _) if summary.failing => format!("has not passed yet ({last})"),
            (Standing::Unknown, _) => "not probed yet".to_owned(),
        }
    }
}
