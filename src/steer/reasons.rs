//! Decisions in words: what answers, which rule chose it, and why each candidate answers or not.
//!
//! Words change only when something that matters changes, so that a probe like the one before publishes nothing: they
//! tell when a standing began and what it came from, not how many failures there are by now.

use super::answering::Answering;
use super::decision::{CandidateReason, Source};
use super::name::index;
use super::policy::SteeredName;
use super::ramp::Ramp;
use super::shares::{POINTS, Shares};
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
        let (rank, at_risk, standby, level) = choice.group;
        let mut words = match rank {
            Rank::Up if self.name.first_round_until.is_some() => "first round: what was not probed yet counts as up",
            Rank::Up => "up",
            Rank::Unsure => "none is up: recovering or unknown",
            Rank::Poor => "none is up, recovering or unknown: impaired or not ready",
            Rank::Doomed => "none but what passes though its provider is down",
        }
        .to_owned();
        if at_risk {
            words += ", at risk";
        }
        words += ", ";
        words += &self.group_words(standby, level);
        if choice.spilled {
            words += "; above `max` the next levels";
        }
        if choice.exceeded {
            words += "; no room is left: `max` is exceeded";
        }
        words += &self.ramp_words(choice);
        words
    }

    /// Who holds only a part of its share, or more than that for want of others.
    fn ramp_words(&self, choice: &Choice) -> String {
        let ramps = |&i: &usize| choice.points[i] > 0 && self.part(i) < POINTS;
        let ramping: Vec<usize> = (0..choice.points.len()).filter(ramps).collect();
        let greatest = ramping.iter().map(|&i| self.part(i)).max();
        let words = ramping.iter().filter_map(|&i| {
            let id = &self.name.rules.candidates[i].id;
            let hurried = choice.hurried && Some(self.part(i)) == greatest;
            let parted = self.name.orders.parted(i).filter(|parted| parted.part == self.part(i));
            if let Some(parted) = parted {
                let more = if hurried { ", but no other is up: it keeps the rest" } else { "" };
                return Some(format!("; {id} {}{more}", parted.short));
            }
            let ramp = self.name.judges[i].summary.ramp?;
            Some(match hurried {
                true => format!("; no other is up: {id} takes all at once, beyond its ramp"),
                false => format!("; {id} ramps: {} % of its share", ramp.percent),
            })
        });
        words.collect()
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
            words += &why.words;
            words += "; ";
        }
        if let Some(why) = self.drained(at).or(self.name.orders.parted(at).map(|parted| &parted.why.words)) {
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
        if let Some(readiness) = self.name.readied.of(&candidate.id).filter(|readiness| !readiness.risks().is_empty()) {
            words += ", at risk: ";
            words += &readiness.words();
        }
        words
    }

    fn standing_words(&self, at: usize) -> String {
        let judge = &self.name.judges[at];
        let summary = &judge.summary;
        if let Some(outage) = &judge.outage {
            return format!("counts as down: {}", outage.words);
        }
        let last = judge.last_fault.as_ref().map_or("seen before the start", |seen| &seen.fault.reason);
        let fault = judge.fault_of_standing.as_ref().map_or(last, |fault| &fault.reason);
        match (summary.standing, summary.left_out) {
            (Standing::Up, _) if summary.failing => format!("up, but its last probe failed ({last})"),
            (Standing::Up, _) => "up".to_owned(),
            (Standing::Ramping, _) if self.carries(at) => "ramping, but took all when no other was up".to_owned(),
            (Standing::Ramping, _) => match &summary.ramp {
                Some(ramp) => ramp_state(ramp),
                None => "ramping".to_owned(),
            },
            (Standing::Impaired, Some(family)) if summary.alone => {
                format!("up without {family} since {} ({fault})", judge.since)
            }
            (Standing::Impaired, _) => format!("impaired since {} ({fault})", judge.since),
            (Standing::Down, _) => format!("down since {} ({fault})", judge.since),
            (Standing::Recovering, _) => match judge.clean_until() {
                Some(until) => format!("recovering, back at {until} if it stays clean"),
                None => "recovering".to_owned(),
            },
            (Standing::Unknown, _) if summary.failing => format!("has not passed yet ({last})"),
            (Standing::Unknown, _) => "not probed yet".to_owned(),
        }
    }
}

/// `ramping, 25 % of its share until 12:40:00, then 50 %, all of it at 12:48:00`.
fn ramp_state(ramp: &Ramp) -> String {
    let Ramp { percent, until, next, ends, .. } = ramp;
    match (percent, next) {
        (0, _) => format!(
            "ramping, waits for its turn by the provider's `step`: {next} % of its share at {until}, all of it at {ends}"
        ),
        (_, 100) => format!("ramping, {percent} % of its share until {until}, then all of it"),
        _ => format!("ramping, {percent} % of its share until {until}, then {next} %, all of it at {ends}"),
    }
}
