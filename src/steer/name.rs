//! One steered name: its candidates' judgement, and the decision that follows from it.
//!
//! In this order, and the first that applies decides:
//!
//! 1. `only`: what it forbids never answers, whatever follows.
//! 2. A pin: that candidate alone. 3. A freeze: what answers goes on, without what an operator drained.
//! 4. Who answers (`who`), of those that are not drained.
//! 5. Where to: if a candidate that serves would leave since it fell, its clients go only to candidates that passed in
//!    a probe that began no earlier than its failing one. Those that serve already and have not been heard of since
//!    keep their own clients, and get no more until they pass. If none has passed, all stays, and the rule says whose
//!    fault it looks like.
//! 6. `empty`, when nobody can answer.

use std::sync::Arc;
use std::time::Duration;

use super::blame::{Blame, blame};
use super::decision::{Decision, Source};
use super::judge::{CandidateMemory, Judge};
use super::observation::{CandidateKey, Family};
use super::policy::{Candidate, Empty, SteeredName};
use super::reasons::words_of;
use super::shares::{POINTS, Shares, apportion};
use super::time::Time;
use super::transition::Standing;
use super::who::{Choice, Contender, Rank, choose};

/// Longest TTL while a serving candidate is in doubt, in seconds.
const TTL_IN_DOUBT: u32 = 5;
/// The first round is over after twice the longest time limit of a probe, and this.
const FIRST_ROUND_GRACE: Duration = Duration::from_secs(1);

/// The orders in force for one name, each as the reason tells it (`drained by anna: ...`).
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// By candidate; empty where none is drained.
    pub(super) drained: Vec<Option<String>>,
    pub(super) pin: Option<(usize, String)>,
    pub(super) frozen: Option<String>,
}

/// The whole state of one steered name.
#[derive(Clone, Debug)]
pub(super) struct NameState {
    pub(super) rules: Arc<SteeredName>,
    pub(super) judges: Vec<Judge>,
    pub(super) orders: Orders,
    pub(super) decision: Option<Arc<Decision>>,
    /// What is answered, in words, as it was told last.
    answered: Option<String>,
    /// The last shares that were not empty, by the present order of candidates.
    last: Option<Shares>,
    /// The families that the decision leaves out, by candidate.
    pub(super) left_out: Vec<Option<Family>>,
    /// While the first round lasts: candidates not probed yet count as up.
    pub(super) first_round_until: Option<Time>,
    pub(super) usable: bool,
    /// The answer stays for want of a candidate that passes.
    pub(super) waiting: bool,
    /// Who is to gain clients must have passed in a probe that began no earlier: since the fault that made the clients
    /// leave, or at all after a restart. None once the best have, and serve.
    gate: Option<Time>,
    /// What `next_tick` holds of this name.
    pub(super) due: Option<Time>,
}

/// How a decision changed.
#[derive(Debug)]
pub(super) struct Redecided {
    /// What answered, and answers now, where that is not the same.
    pub(super) moved: Option<(String, String)>,
    pub(super) why: String,
    /// Candidates whose memory changed.
    pub(super) remembered: Vec<usize>,
    /// Anything at all is new.
    pub(super) changed: bool,
}

/// What the rules come to, before it is put into words.
struct Answer {
    /// None: the owner's own records.
    shares: Option<Shares>,
    rule: String,
    usable: bool,
    waiting: bool,
}

impl NameState {
    /// A name that was not steered before this start, or not before this moment.
    pub(super) fn new(
        rules: &Arc<SteeredName>,
        mut memory: impl FnMut(&CandidateKey) -> Option<CandidateMemory>,
        last: Option<&[(u32, String)]>,
        now: Time,
    ) -> Self {
        let judge = |candidate: &Candidate| match memory(&key(rules, candidate)) {
            Some(memory) => Judge::restored(&memory, candidate, now),
            None => Judge::new(candidate, now),
        };
        let judges: Vec<Judge> = rules.candidates.iter().map(judge).collect();
        let last = last.and_then(|intervals| shares_of(rules, intervals));
        let longest = rules.candidates.iter().map(|c| c.probe.timeout).max().unwrap_or_default();
        let end = now.after(longest.saturating_mul(2).saturating_add(FIRST_ROUND_GRACE));
        Self {
            rules: Arc::clone(rules),
            left_out: judges.iter().map(|judge| judge.summary.left_out).collect(),
            judges,
            orders: Orders::default(),
            decision: None,
            // After a restart: what was answered before it.
            answered: last.as_ref().map(|shares| words_of(rules, shares)),
            first_round_until: last.is_none().then_some(end),
            gate: last.is_some().then_some(Time(0)),
            last,
            usable: false,
            waiting: false,
            due: None,
        }
    }

    /// The same name under new rules. A candidate keeps its state while its id, target and probe rule stay.
    pub(super) fn adopt(
        self,
        rules: &Arc<SteeredName>,
        mut memory: impl FnMut(&CandidateKey) -> Option<CandidateMemory>,
        now: Time,
    ) -> Self {
        let old = Arc::clone(&self.rules);
        let place = |id: &str| old.candidates.iter().position(|candidate| *candidate.id == *id);
        let mut judges = Vec::with_capacity(rules.candidates.len());
        for candidate in &rules.candidates {
            let known = place(&candidate.id);
            let same = known.filter(|&at| {
                old.candidates[at].target == candidate.target && old.candidates[at].probe == candidate.probe
            });
            judges.push(match (same, known) {
                (Some(at), _) => self.judges[at].clone(),
                (None, Some(at)) => Judge::anew(self.judges[at].summary.standing, candidate, now),
                (None, None) => match memory(&key(rules, candidate)) {
                    Some(memory) => Judge::restored(&memory, candidate, now),
                    None => Judge::new(candidate, now),
                },
            });
        }
        let left_out = rules.candidates.iter().map(|c| place(&c.id).and_then(|at| self.left_out[at])).collect();
        let renumber = |at: u16| {
            let id = &old.candidates.get(usize::from(at))?.id;
            index(rules.candidates.iter().position(|candidate| candidate.id == *id)?)
        };
        let last = self.last.as_ref().map(|shares| shares.renumbered(renumber));
        let same_order = old.candidates.iter().map(|c| &c.id).eq(rules.candidates.iter().map(|c| &c.id));
        let decision = match self.decision {
            Some(decision) if !same_order => {
                let source = match &decision.source {
                    Source::Candidates(shares) => Source::Candidates(shares.renumbered(renumber)),
                    Source::Static => Source::Static,
                };
                Some(Arc::new(Decision { source, reasons: Vec::new(), ..Decision::clone(&decision) }))
            }
            decision => decision,
        };
        Self { rules: Arc::clone(rules), judges, left_out, last, decision, ..self }
    }

    /// The candidates that `rules` do without.
    pub(super) fn gone_with(&self, rules: &SteeredName) -> Vec<CandidateKey> {
        let stays = |id: &str| rules.candidates.iter().any(|candidate| *candidate.id == *id);
        (0..self.judges.len()).filter(|&at| !stays(&self.rules.candidates[at].id)).map(|at| self.key(at)).collect()
    }

    pub(super) fn position(&self, candidate: &str) -> Option<usize> {
        self.rules.candidates.iter().position(|c| *c.id == *candidate)
    }

    pub(super) fn key(&self, at: usize) -> CandidateKey {
        key(&self.rules, &self.rules.candidates[at])
    }

    /// Whether the decision gives this candidate clients.
    pub(super) fn serves(&self, at: usize) -> bool {
        let Some(decision) = &self.decision else { return false };
        decision.reasons.get(at).is_some_and(|reason| reason.share > 0.0)
    }

    /// The last shares that were not empty, by candidate id.
    pub(super) fn last(&self) -> Option<Vec<(u32, String)>> {
        let id = |at: u16| self.rules.candidates.get(usize::from(at)).map(|c| c.id.to_string());
        self.last.as_ref()?.intervals().map(|(end, at)| Some((end, id(at)?))).collect()
    }

    /// Whether the first round has just ended: all have been probed, or had their time.
    pub(super) fn first_round_ends(&mut self, now: Time) -> bool {
        let over = self.first_round_until.is_some_and(|end| end <= now || self.judges.iter().all(|j| j.observed));
        if over {
            self.first_round_until = None;
        }
        over
    }

    /// When time alone changes something.
    pub(super) fn next_due(&self, now: Time) -> Option<Time> {
        self.judges.iter().filter_map(|judge| judge.due(now)).chain(self.first_round_until).min()
    }

    /// Decides anew from all that is known.
    pub(super) fn decide(&mut self, now: Time) -> Redecided {
        let mut remembered = Vec::new();
        let answer = self.answer(&mut remembered);
        self.usable = answer.usable;
        self.waiting = answer.waiting;
        let keeps_families = self.orders.frozen.is_some() && self.decision.is_some();
        if !keeps_families {
            self.left_out = self.judges.iter().map(|judge| judge.summary.left_out).collect();
        }
        let before = self.decision.take();
        let source = answer.shares.map_or(Source::Static, Source::Candidates);
        let to = self.words(&source);
        let from = self.answered.replace(to.clone()).unwrap_or_else(|| "nothing".to_owned());
        if let Source::Candidates(shares) = &source {
            self.last = Some(shares.clone());
        }
        let mut decision = Decision {
            ttl: self.ttl(&source, before.as_deref()),
            reasons: self.reasons(&source),
            source,
            rule: answer.rule.clone(),
            since: now,
        };
        if let Some(before) = before.as_deref().filter(|before| before.source == decision.source) {
            decision.since = before.since;
        }
        let changed = before.as_deref() != Some(&decision);
        self.decision = Some(match before {
            Some(before) if !changed => before,
            _ => Arc::new(decision),
        });
        Redecided { moved: (from != to).then_some((from, to)), why: answer.rule, remembered, changed }
    }

    fn answer(&mut self, remembered: &mut Vec<usize>) -> Answer {
        let allowed: Vec<bool> = self.rules.candidates.iter().map(|c| self.allows(c)).collect();
        let open: Vec<bool> = (0..allowed.len()).map(|i| allowed[i] && self.drained(i).is_none()).collect();
        let contenders: Vec<Contender> = (0..open.len()).map(|i| self.contender(i, open[i])).collect();
        let choice = choose(&contenders);
        let usable = choice.is_some();
        let plain = |shares, rule| Answer { shares: Some(shares), rule, usable, waiting: false };
        if let Some((at, words)) = &self.orders.pin
            && allowed[*at]
            && let Some(at) = index(*at)
        {
            return plain(Shares::whole(at), words.clone());
        }
        if let Some(words) = &self.orders.frozen {
            if matches!(self.decision.as_deref(), Some(Decision { source: Source::Static, .. })) {
                return Answer { shares: None, rule: words.clone(), usable, waiting: false };
            }
            if let Some(shares) = self.kept(&open) {
                return plain(shares, words.clone());
            }
        }
        match choice {
            Some(choice) => self.move_to(&choice, &contenders, &open, remembered),
            None => self.empty(&allowed, &open, remembered),
        }
    }

    /// Someone can answer: may the clients go there?
    fn move_to(&mut self, choice: &Choice, contenders: &[Contender], open: &[bool], noted: &mut Vec<usize>) -> Answer {
        let serving = self.serving();
        let fell =
            |i: usize| serving[i] > 0 && choice.points[i] == 0 && open[i] && contenders[i].rank != Some(Rank::Up);
        let fallen: Vec<usize> = (0..open.len()).filter(|&i| fell(i)).collect();
        let gate = fallen.iter().map(|&i| self.judges[i].run_began().unwrap_or_default()).chain(self.gate).max();
        let passed = |i: usize| gate.is_none_or(|gate| self.judges[i].has_passed_since(gate));
        if (0..open.len()).all(|i| choice.points[i] <= serving[i] || passed(i)) {
            self.gate = None;
            return self.take(&choice.points, self.rule(choice), false);
        }
        self.gate = gate;
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
            return self.take(
                &points,
                format!("{}; only those that passed since the fault began", self.rule(&tried)),
                true,
            );
        }
        match self.kept(open) {
            Some(shares) => {
                let rule = match fallen.is_empty() {
                    true => "the last answer stays until another candidate has passed".to_owned(),
                    false => {
                        let blame = self.blame(&fallen, noted).words(&self.rules.candidates);
                        format!("the last answer stays: no other has passed since the fault began; {blame}")
                    }
                };
                Answer { shares: Some(shares), rule, usable: true, waiting: true }
            }
            None => self.take(&choice.points, self.rule(choice), true),
        }
    }

    /// Nobody can answer.
    fn empty(&mut self, allowed: &[bool], open: &[bool], noted: &mut Vec<usize>) -> Answer {
        // While the owner's own records answer, it is still about those who answered before.
        let held = self.held();
        let fallen: Vec<usize> = (0..open.len()).filter(|&i| held[i] > 0 && open[i]).collect();
        let all_drained = !open.contains(&true);
        let blame = match () {
            () if !allowed.contains(&true) => "`only` forbids all candidates".to_owned(),
            () if all_drained => "all candidates are drained".to_owned(),
            () => self.blame(&fallen, noted).words(&self.rules.candidates),
        };
        let last = || self.kept(open).or_else(|| self.kept(allowed));
        let shares = match self.rules.policy.empty {
            Empty::Static => None,
            Empty::Last => last().or_else(|| self.as_if_up(open)).or_else(|| self.as_if_up(allowed)),
            Empty::Open => self.as_if_up(open).or_else(|| self.as_if_up(allowed)),
        };
        let what = match (self.rules.policy.empty, &shares) {
            (_, None) => "the owner's own records answer",
            (Empty::Last, _) if last().is_some() => "the last answer stays",
            _ => "all answer as if they were up",
        };
        Answer { shares, rule: format!("no candidate is usable, {what}; {blame}"), usable: false, waiting: true }
    }

    fn take(&self, points: &[u32], rule: String, waiting: bool) -> Answer {
        Answer { shares: Shares::build(&widened(points), self.last.as_ref()), rule, usable: true, waiting }
    }

    /// What was answered last, as far as `may` lets it; the clients of the others go to those who stay.
    fn kept(&self, may: &[bool]) -> Option<Shares> {
        let last = self.last.as_ref()?;
        let points = |i: usize| index(i).map_or(0, |at| u64::from(last.points(at)));
        let weights: Vec<u64> = may.iter().enumerate().map(|(i, &may)| if may { points(i) } else { 0 }).collect();
        Shares::build(&weights, Some(last))
    }

    fn as_if_up(&self, may: &[bool]) -> Option<Shares> {
        let up = |i: usize| Contender { rank: may[i].then_some(Rank::Up), ..self.contender(i, true) };
        let contenders: Vec<Contender> = (0..may.len()).map(up).collect();
        Shares::build(&widened(&choose(&contenders)?.points), self.last.as_ref())
    }

    /// Whose fault it looks like. What all noticed alike leaves no clean window behind.
    fn blame(&mut self, fallen: &[usize], noted: &mut Vec<usize>) -> Blame {
        let apart = self.rules.candidates.iter().map(|c| c.probe.every + c.probe.timeout).max().unwrap_or_default();
        let Some(&first) = fallen.iter().max_by_key(|&&i| self.judges[i].run_began()) else { return Blame::NoEvidence };
        let blame = blame(first, &self.judges, apart);
        if let Blame::Origin { settled: true, party, .. } = &blame {
            noted.extend(party.iter().copied().filter(|&i| self.judges[i].absolve(Time(u64::MAX))));
        }
        blame
    }

    /// The points that each candidate holds in the decision in force, or in the one before the restart.
    fn serving(&self) -> Vec<u32> {
        match self.decision.as_deref() {
            Some(Decision { source: Source::Static, .. }) => vec![0; self.judges.len()],
            _ => self.held(),
        }
    }

    /// The points that each candidate held when candidates answered last.
    fn held(&self) -> Vec<u32> {
        let points = |i: usize| Some(self.last.as_ref()?.points(index(i)?));
        (0..self.judges.len()).map(|i| points(i).unwrap_or(0)).collect()
    }

    pub(super) fn allows(&self, candidate: &Candidate) -> bool {
        allows(&self.rules, candidate)
    }

    pub(super) fn drained(&self, at: usize) -> Option<&String> {
        self.orders.drained.get(at)?.as_ref()
    }

    fn contender(&self, at: usize, open: bool) -> Contender {
        let candidate = &self.rules.candidates[at];
        let judge = &self.judges[at];
        let rank = match self.counts_as_up(at) {
            true => Some(Rank::Up),
            false => Rank::of(judge.summary.standing, judge.summary.alone, judge.summary.failing),
        };
        Contender {
            rank: rank.filter(|_| open),
            standby: candidate.standby,
            level: self.level(candidate),
            weight: candidate.weight,
            cap: candidate.max,
        }
    }

    /// Not probed yet in the first round.
    fn counts_as_up(&self, at: usize) -> bool {
        let judge = &self.judges[at];
        self.first_round_until.is_some() && !judge.observed && judge.summary.standing == Standing::Unknown
    }

    pub(super) fn level(&self, candidate: &Candidate) -> usize {
        let prefer = &self.rules.policy.prefer;
        prefer.iter().position(|preference| preference.matches(candidate)).unwrap_or(prefer.len())
    }

    fn ttl(&self, source: &Source, before: Option<&Decision>) -> u32 {
        let ttl = self.rules.policy.ttl;
        if let (Some(_), Some(before)) = (&self.orders.frozen, before) {
            return ttl.min(before.ttl);
        }
        let doubt = match source {
            Source::Static => true,
            Source::Candidates(shares) => shares.intervals().any(|(_, at)| self.in_doubt(usize::from(at))),
        };
        if doubt { ttl.min(TTL_IN_DOUBT) } else { ttl }
    }

    fn in_doubt(&self, at: usize) -> bool {
        let Some(judge) = self.judges.get(at) else { return true };
        let summary = &judge.summary;
        summary.failing || Rank::of(summary.standing, summary.alone, summary.failing) != Some(Rank::Up)
    }
}

/// Whether `only` lets this candidate answer.
pub(super) fn allows(rules: &SteeredName, candidate: &Candidate) -> bool {
    rules.policy.only.as_ref().is_none_or(|only| only.iter().any(|entry| entry.matches(candidate)))
}

fn key(rules: &SteeredName, candidate: &Candidate) -> CandidateKey {
    CandidateKey { name: Arc::clone(&rules.name), candidate: Arc::clone(&candidate.id) }
}

/// A candidate's index in `Shares`; a name that had more candidates than fit would do without the last ones.
pub(super) fn index(at: usize) -> Option<u16> {
    u16::try_from(at).ok().filter(|&at| at < u16::MAX)
}

fn widened(points: &[u32]) -> Vec<u64> {
    points.iter().map(|&points| u64::from(points)).collect()
}

/// Kept intervals under the present candidates; none where no holder is left.
fn shares_of(rules: &SteeredName, intervals: &[(u32, String)]) -> Option<Shares> {
    let place = |id: &str| index(rules.candidates.iter().position(|candidate| *candidate.id == *id)?);
    let holders: Vec<Option<u16>> = intervals.iter().map(|(_, id)| place(id)).collect();
    holders.iter().find_map(|&holder| holder)?;
    let numbered = (0_u16..).zip(intervals).map(|(at, &(end, _))| (end, at));
    let shares = Shares::from_intervals(numbered)?;
    Some(shares.renumbered(|at| holders.get(usize::from(at)).copied().flatten()))
}
