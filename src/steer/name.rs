//! One steered name: its candidates' judgement, which all its area rules share, and a decision for each of them.
//!
//! A candidate is judged once, whoever asks; who answers (`answering`) is found for each area rule by itself, with its
//! own last answer, so that what happens to the clients of one area moves nobody elsewhere.

use std::sync::Arc;
use std::time::Duration;

use super::answering::Answering;
use super::areas::{AreaRule, AreaRules, PLAIN};
use super::decision::{Decision, KeptShares, LastShares, Source};
use super::judge::{CandidateMemory, Judge};
use super::observation::{CandidateKey, Family};
use super::orders::Orders;
use super::origin::OriginWatch;
use super::policy::{Candidate, SteeredName};
use super::readied::Readied;
use super::reasons::words_of;
use super::shares::Shares;
use super::sharing::Sharing;
use super::time::Time;

/// The first round is over after twice the longest time limit of a probe, and this.
const FIRST_ROUND_GRACE: Duration = Duration::from_secs(1);

/// The whole state of one steered name.
#[derive(Clone, Debug)]
pub(super) struct NameState {
    pub(super) rules: Arc<SteeredName>,
    pub(super) areas: Arc<AreaRules>,
    pub(super) judges: Vec<Judge>,
    pub(super) readied: Readied,
    pub(super) orders: Orders,
    pub(super) origin: OriginWatch,
    /// Whether a fall counts for its provider cannot be told yet.
    pub(super) unblamed: bool,
    /// By number of the area rule; never empty.
    pub(super) answers: Vec<Answered>,
    /// The families that the decisions leave out, by candidate; empty where there are none.
    pub(super) left_out: Vec<Option<Family>>,
    /// While the first round lasts: candidates not probed yet count as up.
    pub(super) first_round_until: Option<Time>,
    /// The same as that of other names whose rules decide alike (`classes`).
    pub(super) alike: u32,
    /// What `next_tick` holds of this name.
    pub(super) due: Option<Time>,
    /// The candidate that is down and has clients by an order alone, with that order's id (`stuck`).
    pub(super) stuck: Option<(u64, CandidateKey)>,
}

/// What the clients of one area rule are answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answered {
    pub(super) decision: Option<Arc<Decision>>,
    /// What is answered, in words, as it was told last.
    pub(super) words: Option<Arc<str>>,
    /// The last shares that were not empty, by the present order of candidates.
    pub(super) last: Option<Shares>,
    pub(super) usable: bool,
    /// The answer stays for want of a candidate that passes.
    pub(super) waiting: bool,
    /// Who is to gain clients must have passed in a probe that began no earlier: since the fault that made the clients
    /// leave, or at all after a restart. None once the best have, and serve.
    pub(super) gate: Option<Time>,
    /// It stays until then for what others are asked.
    pub(super) until: Option<Time>,
    /// It stays since it is the origin's fault, in words.
    pub(super) origin_fault: Option<String>,
    /// Those that ramp and took all of these clients when no other was up, by id: what they carry they keep, so their
    /// ramp is over for these clients.
    pub(super) carried: Vec<Arc<str>>,
}

/// How the decisions of a name changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Redecided {
    /// What answered, and answers now, where that is not the same.
    pub(super) moved: Vec<Moved>,
    /// Candidates whose memory changed.
    pub(super) remembered: Vec<usize>,
    /// Anything at all is new.
    pub(super) changed: bool,
}

/// A changed answer, the same for some area rules; whose clients these are is said in the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: Arc<str>,
    pub(super) to: Arc<str>,
    pub(super) why: Arc<str>,
}

/// The same while the area rules are gone through.
struct Moving {
    numbers: Vec<usize>,
    from: Arc<str>,
    to: Arc<str>,
    why: String,
}

impl NameState {
    /// A name that was not steered before this start, or not before this moment. `pinned`: it was when the server stopped.
    pub(super) fn new(
        rules: &Arc<SteeredName>,
        areas: Arc<AreaRules>,
        mut memory: impl FnMut(&CandidateKey) -> Option<CandidateMemory>,
        last: Option<&LastShares>,
        pinned: bool,
        now: Time,
    ) -> Self {
        let mut readied = Readied::default();
        let judge = |candidate: &Candidate| match memory(&key(rules, candidate)) {
            Some(memory) => {
                readied.restore(&memory, candidate, now);
                Judge::restored(&memory, candidate, now)
            }
            None => Judge::new(candidate, now),
        };
        let judges: Vec<Judge> = rules.candidates.iter().map(judge).collect();
        let mut answers: Vec<Answered> =
            (0..areas.count()).map(|number| Answered::kept(rules, &areas, number, last)).collect();
        // Who was pinned had all of the clients by the operator's word, not for want of others.
        answers.iter_mut().filter(|_| !pinned).for_each(|answered| answered.carry(rules, &judges));
        let longest = rules.candidates.iter().map(|c| c.probe.timeout).max().unwrap_or_default();
        let end = now.after(longest.saturating_mul(2).saturating_add(FIRST_ROUND_GRACE));
        Self {
            rules: Arc::clone(rules),
            areas,
            left_out: judges.iter().map(|judge| judge.summary.left_out).collect(),
            judges,
            readied,
            orders: Orders::default(),
            origin: OriginWatch::default(),
            unblamed: false,
            first_round_until: answers.iter().all(|answered| answered.last.is_none()).then_some(end),
            answers,
            alike: 0,
            due: None,
            stuck: None,
        }
    }

    /// The same name under new rules. A candidate keeps its state while its id, target and probe rule stay.
    pub(super) fn adopt(
        mut self,
        rules: &Arc<SteeredName>,
        areas: Arc<AreaRules>,
        mut memory: impl FnMut(&CandidateKey) -> Option<CandidateMemory>,
        now: Time,
    ) -> Self {
        let old = Arc::clone(&self.rules);
        let place = |id: &str| old.candidates.iter().position(|candidate| *candidate.id == *id);
        let mut readied = std::mem::take(&mut self.readied).under(&old, rules);
        let mut judges = Vec::with_capacity(rules.candidates.len());
        for candidate in &rules.candidates {
            let known = place(&candidate.id);
            let same = known.filter(|&at| {
                old.candidates[at].target == candidate.target && old.candidates[at].probe == candidate.probe
            });
            judges.push(match (same, known) {
                (Some(at), _) if old.candidates[at].provider != candidate.provider => {
                    self.judges[at].at_another_provider()
                }
                (Some(at), _) => self.judges[at].clone(),
                (None, Some(at)) => Judge::anew(self.judges[at].summary.standing, candidate, now),
                (None, None) => match memory(&key(rules, candidate)) {
                    Some(memory) => {
                        readied.restore(&memory, candidate, now);
                        Judge::restored(&memory, candidate, now)
                    }
                    None => Judge::new(candidate, now),
                },
            });
        }
        let left_out = rules
            .candidates
            .iter()
            .map(|c| place(&c.id).and_then(|at| self.left_out.get(at).copied().flatten()))
            .collect();
        // The places are as before, and so are the clients of each.
        let (old_areas, new_areas) = (Arc::clone(&self.areas), Arc::clone(&areas));
        self.under(areas, |number| new_areas.place_of(number).map_or(PLAIN, |place| old_areas.at(place)));
        if !old.candidates.iter().map(|c| &c.id).eq(rules.candidates.iter().map(|c| &c.id)) {
            let renumber = |at: u16| {
                let id = &old.candidates.get(usize::from(at))?.id;
                index(rules.candidates.iter().position(|candidate| candidate.id == *id)?)
            };
            self.answers.iter_mut().for_each(|answered| answered.renumber(renumber));
        }
        if old.policy.origin != rules.policy.origin {
            self.origin = OriginWatch::default();
        }
        Self { rules: Arc::clone(rules), judges, readied, left_out, ..self }
    }

    /// The same policy in other places. The clients of a rule keep what they were answered; those of one that is new
    /// are taken to have been answered what the plain one answered.
    pub(super) fn settle(&mut self, areas: Arc<AreaRules>) {
        self.under(areas, |_| PLAIN);
    }

    /// Takes other area rules, and what is answered under each from the old one that says the same, else from the one
    /// that `otherwise` names.
    fn under(&mut self, areas: Arc<AreaRules>, otherwise: impl Fn(usize) -> usize) {
        let before = |number: usize| {
            let says_the_same = |rule: &AreaRule| self.areas.others().find(|(_, old)| old.terms() == rule.terms());
            let known =
                areas.rule(number).map(|rule| says_the_same(rule).map_or_else(|| otherwise(number), |old| old.0));
            self.answers.get(known.unwrap_or(PLAIN)).cloned()
        };
        self.answers = (0..areas.count()).map(|number| before(number).unwrap_or_default()).collect();
        self.areas = areas;
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

    /// Whether any decision gives this candidate clients.
    pub(super) fn serves(&self, at: usize) -> bool {
        let decisions = self.answers.iter().filter_map(|answered| answered.decision.as_ref());
        decisions.filter_map(|decision| decision.reasons.get(at)).any(|reason| reason.share > 0.0)
    }

    /// Whether some answer stays for want of a candidate that passes.
    pub(super) fn is_waiting(&self) -> bool {
        self.answers.iter().any(|answered| answered.waiting)
    }

    /// The last shares that were not empty. None where there never were any.
    pub(super) fn last(&self) -> Option<LastShares> {
        let id = |at: u16| self.rules.candidates.get(usize::from(at)).map(|c| c.id.to_string());
        let kept = |number: usize| {
            let last = self.answers.get(number)?.last.as_ref()?;
            last.intervals().map(|(end, at)| Some((end, id(at)?))).collect::<Option<KeptShares>>()
        };
        let areas = self.areas.others().filter_map(|(number, rule)| Some((rule.terms().to_string(), kept(number)?)));
        let last = LastShares { plain: kept(PLAIN).unwrap_or_default(), areas: areas.collect() };
        (last != LastShares::default()).then_some(last)
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
        self.judges
            .iter()
            .filter_map(|judge| judge.due(now))
            .chain(self.first_round_until)
            .chain(self.origin.due())
            .chain(self.answers.iter().filter_map(|answered| answered.until).filter(|&until| until > now))
            .chain(self.orders.next)
            .min()
    }

    /// Whether an order may keep it on what is down, or did (`stuck`).
    pub(super) fn may_be_stuck(&self) -> bool {
        self.stuck.is_some() || !self.orders.is_empty()
    }

    /// Decides anew, for each area rule, from all that is known.
    pub(super) fn decide(&mut self, now: Time, sharing: &mut Sharing) -> Arc<Redecided> {
        let Some(mut classes) = sharing.classes.take() else { return Arc::new(self.decide_itself(now, sharing)) };
        let redecided = classes.decide(self, now, |state| state.decide_itself(now, sharing));
        sharing.classes = Some(classes);
        redecided
    }

    /// Decides anew, whatever other names came to.
    pub(super) fn decide_itself(&mut self, now: Time, sharing: &mut Sharing) -> Redecided {
        let (mut redecided, mut moving) = (Redecided::default(), Vec::new());
        let found: Vec<_> = (0..self.answers.len()).map(|number| self.answering(number).answer(now)).collect();
        // What all candidates noticed alike leaves no clean window behind.
        for &at in found.iter().flat_map(|answer| &answer.absolved) {
            if self.judges.get_mut(at).is_some_and(|judge| judge.absolve(Time(u64::MAX))) {
                redecided.remembered.push(at);
            }
        }
        let keeps_families = self.orders.frozen.is_some() && self.answers.iter().all(|known| known.decision.is_some());
        if !keeps_families {
            self.leave_out();
        }
        for (number, answer) in found.into_iter().enumerate() {
            let why = answer.rule.clone();
            let decision = self.answering(number).decision(&answer, now);
            let to: Arc<str> = self.words(&decision.source).into();
            let Some(answered) = self.answers.get_mut(number) else { continue };
            (answered.usable, answered.waiting, answered.gate) = (answer.usable, answer.waiting, answer.gate);
            answered.until = answer.until;
            answered.origin_fault = answer.origin_fault;
            answered.carried = answer.carried;
            redecided.changed |= answered.take(decision, sharing);
            if answered.words.as_ref() != Some(&to) {
                let from = answered.words.replace(Arc::clone(&to)).unwrap_or_else(|| "nothing".into());
                note(&mut moving, number, from, to, why);
            }
        }
        redecided.moved = moving.into_iter().map(|moving| moving.over(&self.areas)).collect();
        redecided
    }

    /// The families that the decisions leave out from now on; nothing is listed where there are none.
    pub(super) fn leave_out(&mut self) {
        self.left_out.clear();
        if self.judges.iter().any(|judge| judge.summary.left_out.is_some()) {
            self.left_out.extend(self.judges.iter().map(|judge| judge.summary.left_out));
        }
    }

    /// One area rule with what its clients are answered.
    fn answering(&self, number: usize) -> Answering<'_> {
        Answering { name: self, answered: &self.answers[number], terms: self.areas.terms(number, &self.rules.policy) }
    }

    /// `bunny 70%, gcore 30%`, or `static`.
    pub(super) fn words(&self, source: &Source) -> String {
        match source {
            Source::Candidates(shares) => words_of(&self.rules, shares),
            Source::Static => "static".to_owned(),
        }
    }
}

impl Answered {
    /// As a restart kept it; what is kept of no rule that says the same is taken to be what the plain one answered.
    fn kept(rules: &SteeredName, areas: &AreaRules, number: usize, last: Option<&LastShares>) -> Self {
        let of_rule = |last: &LastShares| {
            let says = areas.rule(number)?.terms().to_string();
            let kept = last.areas.iter().find(|(known, _)| *known == says)?;
            shares_of(rules, &kept.1)
        };
        let last = last.and_then(|last| of_rule(last).or_else(|| shares_of(rules, &last.plain)));
        Self {
            // After a restart: what was answered before it.
            words: last.as_ref().map(|shares| words_of(rules, shares).into()),
            gate: last.is_some().then_some(Time(0)),
            last,
            ..Self::default()
        }
    }

    /// After a restart: who ramps and held more than its part.
    fn carry(&mut self, rules: &SteeredName, judges: &[Judge]) {
        let Some(last) = &self.last else { return };
        let more = |at: usize| {
            let ramp = judges.get(at)?.summary.ramp?;
            // A point may be one of rounding.
            Some(last.points(index(at)?) > ramp.part() + 1)
        };
        let all = rules.candidates.iter().enumerate();
        self.carried =
            all.filter(|(at, _)| more(*at) == Some(true)).map(|(_, candidate)| candidate.id.clone()).collect();
    }

    /// The candidates have other numbers now.
    fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>) {
        self.last = self.last.as_ref().map(|shares| shares.renumbered(&number));
        if let Some(decision) = &self.decision {
            let source = match &decision.source {
                Source::Candidates(shares) => Source::Candidates(shares.renumbered(&number)),
                Source::Static => Source::Static,
            };
            self.decision = Some(Arc::new(Decision { source, reasons: Vec::new(), ..Decision::clone(decision) }));
        }
    }

    /// Whether anything of the decision is new.
    fn take(&mut self, decision: Decision, sharing: &mut Sharing) -> bool {
        if self.decision.as_deref() == Some(&decision) {
            return false;
        }
        let decision = sharing.shared(decision);
        if let Source::Candidates(shares) = &decision.source {
            self.last = Some(shares.clone());
        }
        self.decision = Some(decision);
        true
    }
}

impl Moving {
    fn over(self, areas: &AreaRules) -> Moved {
        let Self { numbers, from, to, why } = self;
        let why = match areas.whose(&numbers) {
            Some(whose) => format!("for {whose}: {why}"),
            None => why,
        };
        Moved { from, to, why: why.into() }
    }
}

/// Rules whose answers change alike are told together.
fn note(moving: &mut Vec<Moving>, number: usize, from: Arc<str>, to: Arc<str>, why: String) {
    match moving.iter_mut().find(|known| known.from == from && known.to == to && known.why == why) {
        Some(known) => known.numbers.push(number),
        None => moving.push(Moving { numbers: vec![number], from, to, why }),
    }
}

fn key(rules: &SteeredName, candidate: &Candidate) -> CandidateKey {
    CandidateKey { name: Arc::clone(&rules.name), candidate: Arc::clone(&candidate.id) }
}

/// A candidate's index in `Shares`; a name that had more candidates than fit would do without the last ones.
pub(super) fn index(at: usize) -> Option<u16> {
    u16::try_from(at).ok().filter(|&at| at < u16::MAX)
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
