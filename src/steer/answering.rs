//! Who answers the clients of one area rule of a name.
//!
//! In this order, and the first that applies decides:
//!
//! 1. `only`: what it forbids never answers, whatever follows.
//! 2. A pin: that candidate alone. 3. A freeze: what answers goes on, without what an operator drained.
//! 4. Who answers (`who`), of those that are not drained; one that ramps, is being drained or lends clients to a drill
//!    for its `cohorts` alone. One that took all when no other was up keeps what it carries.
//! 5. Where to: if a candidate that serves would leave since it fell, its clients go only to candidates that passed in
//!    a probe that began no earlier than its failing one. Those that serve already and have not been heard of since
//!    keep their own clients, and get no more until they pass. If none has passed, all stays, and the rule says whose
//!    fault it looks like. While the origin itself fails (`origin`), or may have a word on its way, all stays too; and for
//!    a moment while others that could answer are being asked.
//! 6. `empty`, when nobody can answer.
//!
//! Nothing here changes anything: what follows comes back as an `Answer`.

use std::sync::Arc;
use std::time::Duration;

use super::areas::Terms;
use super::blame::{Blame, apart, blame};
use super::cohorts::choose;
use super::decision::{Decision, Source};
use super::listening::{Leaver, listens_until};
use super::name::{Answered, NameState, index};
use super::policy::Empty;
use super::ramp::Ramp;
use super::shares::{POINTS, Shares, apportion};
use super::time::Time;
use super::transition::Standing;
use super::who::{Choice, Contender, Rank};

/// Longest TTL while a serving candidate is in doubt, in seconds.
const TTL_IN_DOUBT: u32 = 5;
/// The origin is back for one: those that serve are asked at once, and have so long to follow.
const FOLLOWS: Duration = Duration::from_secs(5);

/// One area rule of a name, with what its clients are answered until now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answering<'a> {
    pub(super) name: &'a NameState,
    pub(super) answered: &'a Answered,
    pub(super) terms: Terms<'a>,
}

/// What the rules come to, before it is put into words.
#[derive(Debug)]
pub(super) struct Answer {
    /// None: the owner's own records.
    pub(super) shares: Option<Shares>,
    pub(super) rule: String,
    pub(super) usable: bool,
    pub(super) waiting: bool,
    pub(super) gate: Option<Time>,
    /// It stays until then at most.
    pub(super) until: Option<Time>,
    /// Candidates whose fall looked like the origin's fault.
    pub(super) absolved: Vec<usize>,
    /// It stays since it is the origin's fault, in words.
    pub(super) origin_fault: Option<String>,
    /// Those that ramp and carry all for want of others, or did.
    pub(super) carried: Vec<Arc<str>>,
}

impl<'a> Answering<'a> {
    /// Decides anew from all that is known.
    pub(super) fn answer(&self, now: Time) -> Answer {
        let candidates = &self.name.rules.candidates;
        let allowed: Vec<bool> = candidates.iter().map(|c| self.terms.allow(c)).collect();
        let open: Vec<bool> = (0..allowed.len()).map(|i| allowed[i] && self.drained(i).is_none()).collect();
        let contenders: Vec<Contender> = (0..open.len()).map(|i| self.contender(i, open[i])).collect();
        let choice = choose(&contenders);
        let usable = choice.is_some();
        let plain = |shares, rule| Answer { usable, ..self.as_before(shares, rule) };
        let mut not_followed = None;
        if let Some((at, words)) = &self.name.orders.pin {
            match index(*at) {
                Some(pinned) if allowed[*at] => return plain(Some(Shares::whole(pinned)), words.words.clone()),
                _ => not_followed = candidates.get(*at),
            }
        }
        let mut answer = match (&self.name.orders.frozen, choice) {
            (Some(frozen), _) if self.is_static() => plain(None, frozen.words.clone()),
            (frozen, choice) => match (frozen.as_ref().and_then(|frozen| Some((frozen, self.kept(&open)?))), choice) {
                (Some((frozen, shares)), _) => plain(Some(shares), frozen.words.clone()),
                (None, Some(choice)) => self.move_to(&choice, &contenders, &open, now),
                (None, None) => self.empty(&allowed, &open),
            },
        };
        if let Some(pinned) = not_followed {
            answer.rule += &format!("; the pin to {} is not followed: `only` forbids it", pinned.id);
        }
        answer
    }

    /// The answer in words. A decision like the one before began when that did.
    pub(super) fn decision(&self, answer: &Answer, now: Time) -> Decision {
        let source = answer.shares.clone().map_or(Source::Static, Source::Candidates);
        let known = self.answered.decision.as_deref().filter(|known| known.source == source);
        Decision {
            ttl: self.ttl(&source),
            reasons: self.reasons(&source),
            source,
            rule: answer.rule.clone(),
            since: known.map_or(now, |known| known.since),
        }
    }

    fn as_before(&self, shares: Option<Shares>, rule: String) -> Answer {
        Answer {
            shares,
            rule,
            usable: true,
            waiting: false,
            gate: self.answered.gate,
            until: None,
            absolved: Vec::new(),
            origin_fault: None,
            carried: self.carried(None),
        }
    }

    /// Those that ramp and carry, or carried, all of these clients when no other was up. What one had to carry only until
    /// others have passed is not of them.
    fn carried(&self, choice: Option<&Choice>) -> Vec<Arc<str>> {
        let greatest = choice.filter(|choice| choice.hurried).and_then(|choice| {
            let serves = |&i: &usize| choice.points[i] > 0;
            (0..choice.points.len()).filter(serves).map(|i| self.part(i)).max()
        });
        let all = self.name.rules.candidates.iter().enumerate();
        let ramping = all.filter(|&(i, _)| self.name.judges[i].summary.ramp.is_some());
        let carries = |i: usize| {
            choice.is_some_and(|choice| choice.points[i] > 0 && Some(self.part(i)) == greatest) || self.carries(i)
        };
        ramping.filter(|&(i, _)| carries(i)).map(|(_, candidate)| Arc::clone(&candidate.id)).collect()
    }

    /// Whether it took all of these clients while it ramped.
    pub(super) fn carries(&self, at: usize) -> bool {
        self.answered.carried.contains(&self.name.rules.candidates[at].id)
    }

    /// Someone can answer: may the clients go there?
    fn move_to(&self, choice: &Choice, contenders: &[Contender], open: &[bool], now: Time) -> Answer {
        let judges = &self.name.judges;
        let serving = self.serving();
        let fell =
            |i: usize| serving[i] > 0 && choice.points[i] == 0 && open[i] && contenders[i].rank != Some(Rank::Up);
        let fallen: Vec<usize> = (0..open.len()).filter(|&i| fell(i)).collect();
        let gate =
            fallen.iter().map(|&i| judges[i].trouble_began().unwrap_or_default()).chain(self.answered.gate).max();
        if let Some(stays) = self.stays_for_origin(&fallen, gate, open) {
            return stays;
        }
        if let Some(until) = self.listens_until(choice, &fallen, gate).filter(|&until| now < until)
            && let Some(shares) = self.kept(open)
        {
            let rule = "the last answer stays for a moment: others are being asked".to_owned();
            return Answer { gate, waiting: true, until: Some(until), ..self.as_before(Some(shares), rule) };
        }
        let passed = |i: usize| gate.is_none_or(|gate| judges[i].has_passed_since(gate));
        if (0..open.len()).all(|i| choice.points[i] <= serving[i] || passed(i)) {
            let answer = self.take(&choice.points, choice.whole.as_deref(), self.rule(choice));
            return Answer { gate: None, carried: self.carried(Some(choice)), ..answer };
        }
        let tried: Vec<Contender> = contenders
            .iter()
            .enumerate()
            .map(|(i, &contender)| Contender { rank: contender.rank.filter(|_| passed(i)), ..contender })
            .collect();
        let stays: Vec<u32> =
            (0..open.len()).map(|i| if passed(i) { 0 } else { choice.points[i].min(serving[i]) }).collect();
        let free = POINTS - stays.iter().sum::<u32>();
        if let Some(tried) = choose(&tried)
            && let Some(more) = apportion(&widened(&tried.points), free)
        {
            let points: Vec<u32> = stays.iter().zip(more).map(|(stay, more)| stay + more).collect();
            let rule = format!("{}; only those that passed since the fault began", self.rule(&tried));
            return Answer { gate, waiting: true, ..self.take(&points, None, rule) };
        }
        let Some(shares) = self.kept(open) else {
            return Answer {
                gate,
                waiting: true,
                ..self.take(&choice.points, choice.whole.as_deref(), self.rule(choice))
            };
        };
        let (mut absolved, mut origin_fault) = (Vec::new(), None);
        let rule = match fallen.is_empty() {
            true => "the last answer stays until another candidate has passed".to_owned(),
            false => {
                let blame = self.blame(&fallen, &mut absolved);
                origin_fault = blame.origin_fault();
                let blame = blame.words(&self.name.rules.candidates);
                format!("the last answer stays: no other has passed since the fault began; {blame}")
            }
        };
        Answer { gate, waiting: true, absolved, origin_fault, ..self.as_before(Some(shares), rule) }
    }

    /// Until when the clients stay though another passes, for what is being asked: those that all fell with the origin
    /// come back together, and the first to be heard is no better than the one that serves; and others may not have been
    /// heard of yet (`listening`).
    fn listens_until(&self, choice: &Choice, fallen: &[usize], gate: Option<Time>) -> Option<Time> {
        let (judges, gate) = (&self.name.judges, gate?);
        let taking = || (0..choice.points.len()).filter(|&i| choice.points[i] > 0);
        let back = taking().filter(|&i| judges[i].has_passed_since(gate)).map(|i| judges[i].since).min()?;
        let may_follow = |&i: &usize| judges[i].is_absolved() && !judges[i].is_heard_since(back);
        if fallen.iter().any(may_follow) {
            return Some(back.after(FOLLOWS));
        }
        let leavers = fallen.iter().map(|&i| Leaver { fell: judges[i].since, hasty: judges[i].is_hasty() });
        let until = listens_until(leavers, taking().map(|i| judges[i].heard_since(gate)))?;
        // Of each only its last pass is known: one that passes again does not begin the second anew.
        Some(self.answered.until.map_or(until, |known| known.min(until)))
    }

    /// Those who fell did so by the origin's fault, or it may turn out so in a moment: nothing moves.
    fn stays_for_origin(&self, fallen: &[usize], gate: Option<Time>, open: &[bool]) -> Option<Answer> {
        let itself = |&&i: &&usize| self.name.judges[i].outage.is_none();
        fallen.iter().find(itself)?;
        let mut absolved = Vec::new();
        let (words, origin_fault) = match self.blame(fallen, &mut absolved) {
            blame @ Blame::OriginFails { .. } => (blame.words(&self.name.rules.candidates), blame.origin_fault()),
            _ if self.name.origin.is_awaited() => {
                ("a word of the origin, or of those that failed with it, is on its way".to_owned(), None)
            }
            _ => return None,
        };
        let rule = format!("the last answer stays: {words}");
        Some(Answer { gate, waiting: true, absolved, origin_fault, ..self.as_before(Some(self.kept(open)?), rule) })
    }

    /// Nobody can answer.
    fn empty(&self, allowed: &[bool], open: &[bool]) -> Answer {
        let policy = &self.name.rules.policy;
        let mut absolved = Vec::new();
        // While the owner's own records answer, it is still about those who answered before.
        let held = self.held();
        let fallen: Vec<usize> = (0..open.len()).filter(|&i| held[i] > 0 && open[i]).collect();
        let all_drained = !open.contains(&true);
        let mut origin_fault = None;
        let blame = match () {
            () if !allowed.contains(&true) => "`only` forbids all candidates".to_owned(),
            () if all_drained => "all candidates are drained".to_owned(),
            () => {
                let blame = self.blame(&fallen, &mut absolved);
                origin_fault = blame.origin_fault();
                blame.words(&self.name.rules.candidates)
            }
        };
        let last = || self.kept(open).or_else(|| self.kept(allowed));
        let shares = match policy.empty {
            Empty::Static => None,
            Empty::Last => last().or_else(|| self.as_if_up(open)).or_else(|| self.as_if_up(allowed)),
            Empty::Open => self.as_if_up(open).or_else(|| self.as_if_up(allowed)),
        };
        let what = match (policy.empty, &shares) {
            (_, None) => "the owner's own records answer",
            (Empty::Last, _) if last().is_some() => "the last answer stays",
            _ => "all answer as if they were up",
        };
        let rule = format!("no candidate is usable, {what}; {blame}");
        Answer { usable: false, waiting: true, absolved, origin_fault, ..self.as_before(shares, rule) }
    }

    fn take(&self, points: &[u32], whole: Option<&[u32]>, rule: String) -> Answer {
        let whole = whole.map(widened);
        self.as_before(Shares::build_towards(&widened(points), whole.as_deref(), self.answered.last.as_ref()), rule)
    }

    /// What was answered last, as far as `may` lets it; the clients of the others go to those who stay.
    fn kept(&self, may: &[bool]) -> Option<Shares> {
        let last = self.answered.last.as_ref()?;
        let points = |i: usize| index(i).map_or(0, |at| u64::from(last.points(at)));
        let weights: Vec<u64> = may.iter().enumerate().map(|(i, &may)| if may { points(i) } else { 0 }).collect();
        Shares::build(&weights, Some(last))
    }

    fn as_if_up(&self, may: &[bool]) -> Option<Shares> {
        let up = |i: usize| Contender { rank: may[i].then_some(Rank::Up), part: POINTS, ..self.contender(i, true) };
        let contenders: Vec<Contender> = (0..may.len()).map(up).collect();
        Shares::build(&widened(&choose(&contenders)?.points), self.answered.last.as_ref())
    }

    /// Whose fault it looks like. What all noticed alike leaves no clean window behind.
    fn blame(&self, fallen: &[usize], absolved: &mut Vec<usize>) -> Blame {
        let (rules, judges) = (&self.name.rules, &self.name.judges);
        let Some(&first) = fallen.iter().max_by_key(|&&i| judges[i].run_began()) else { return Blame::NoEvidence };
        let blame = blame(first, judges, &self.name.origin, apart(&rules.candidates));
        if let Blame::Origin { settled: true, party, .. } | Blame::OriginFails { party, .. } = &blame {
            absolved.extend(party);
        }
        blame
    }

    /// The points that each candidate holds in the decision in force, or in the one before the restart.
    fn serving(&self) -> Vec<u32> {
        if self.is_static() { vec![0; self.name.judges.len()] } else { self.held() }
    }

    /// Whether the owner's own records answer.
    fn is_static(&self) -> bool {
        matches!(self.answered.decision.as_deref(), Some(Decision { source: Source::Static, .. }))
    }

    /// The points that each candidate held when candidates answered last.
    fn held(&self) -> Vec<u32> {
        let points = |i: usize| Some(self.answered.last.as_ref()?.points(index(i)?));
        (0..self.name.judges.len()).map(|i| points(i).unwrap_or(0)).collect()
    }

    pub(super) fn drained(&self, at: usize) -> Option<&String> {
        self.name.orders.drained.get(at)?.as_ref().map(|drain| &drain.words)
    }

    fn contender(&self, at: usize, open: bool) -> Contender {
        let candidate = &self.name.rules.candidates[at];
        let judge = &self.name.judges[at];
        let rank = match (self.counts_as_up(at), &judge.outage) {
            (true, _) => Some(Rank::Up),
            (false, Some(outage)) => judge.passes_amid(outage).then_some(Rank::Doomed),
            (false, None) => Rank::of(judge.summary.standing, judge.summary.alone, judge.summary.failing),
        };
        Contender {
            rank: rank.filter(|_| open),
            at_risk: self.name.readied.is_used_last(&candidate.id),
            standby: candidate.standby,
            level: self.terms.level(candidate),
            weight: candidate.weight,
            cap: candidate.max,
            part: self.part(at),
        }
    }

    /// How much of its share a candidate may hold, in points of the whole: what its ramp has come to, and what an order
    /// leaves to it. Who carries all for want of others does so beyond its ramp, never beyond an order.
    pub(super) fn part(&self, at: usize) -> u32 {
        let ramp = self.name.judges[at].summary.ramp.filter(|_| !self.carries(at));
        let ordered = self.name.orders.parted(at).map_or(POINTS, |parted| parted.part);
        ramp.as_ref().map_or(POINTS, Ramp::part).min(ordered)
    }

    /// Not probed yet in the first round.
    fn counts_as_up(&self, at: usize) -> bool {
        let judge = &self.name.judges[at];
        self.name.first_round_until.is_some() && !judge.observed && judge.summary.standing == Standing::Unknown
    }

    fn ttl(&self, source: &Source) -> u32 {
        let ttl = self.name.rules.policy.ttl;
        if let (Some(_), Some(before)) = (&self.name.orders.frozen, &self.answered.decision) {
            return ttl.min(before.ttl);
        }
        let doubt = match source {
            Source::Static => true,
            Source::Candidates(shares) => shares.intervals().any(|(_, at)| self.in_doubt(usize::from(at))),
        };
        if doubt { ttl.min(TTL_IN_DOUBT) } else { ttl }
    }

    fn in_doubt(&self, at: usize) -> bool {
        let Some(judge) = self.name.judges.get(at) else { return true };
        let summary = &judge.summary;
        summary.failing
            || judge.outage.is_some()
            || Rank::of(summary.standing, summary.alone, summary.failing) != Some(Rank::Up)
    }
}

fn widened(points: &[u32]) -> Vec<u64> {
    points.iter().map(|&points| u64::from(points)).collect()
}
