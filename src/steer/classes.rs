//! Names in equal circumstances are decided once: a provider's fall touches thousands of names in one step, and most of
//! them have equal rules and candidates that stand alike.
//!
//! What a decision depends on is compared, not hashed: two names share one where all of this is equal.
//!
//! | what | how it is compared |
//! | --- | --- |
//! | policy, candidates but for targets and probes | a number that names get when they are installed (`Alike`) |
//! | orders in force, area rules | by value; nobody shares where a pin or a freeze is in force |
//! | how each candidate stands | up and not failing, not probed yet in the first round, or held down by its provider |
//! | who has passed since the fault began | for each moment that the answer may wait for; these moments only where it does wait |
//! | what is answered, and was answered last | by value; when that began only where it goes on |
//!
//! A name with a candidate that stands in another way (it fell itself, it ramps, it is at risk) is decided by itself: its reasons
//! tell moments of its own, and whose fault it is hangs on all that was seen of it. Tests that are built
//! without optimization compute what is shared all the same, and compare.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::areas::AreaRules;
use super::judge::Judge;
use super::listening::{Heard, LISTENS};
use super::name::{Answered, NameState, Redecided};
use super::orders::Orders;
use super::policy::{Candidate, SteeredName};
use super::time::Time;
use super::together::Outage;
use super::transition::Standing;

/// Of one sketch, so many classes are told apart; more names than that with equal sketches are decided by themselves.
const MOST_OF_A_SKETCH: usize = 16;
/// Names with more candidates are decided by themselves.
const MOST_CANDIDATES: usize = 64;

/// What names in equal circumstances came to, in one step.
#[derive(Debug, Default)]
pub(super) struct Classes {
    known: HashMap<u64, Vec<Class>, FixedState>,
    /// Of the name that is decided.
    sketch: Vec<u64>,
    gates: Vec<Option<Time>>,
}

#[derive(Debug)]
struct Class {
    sketch: Box<[u64]>,
    /// Since when others must have passed. None where what they came to waits for nobody.
    gates: Option<Box<[Option<Time>]>>,
    orders: Orders,
    areas: Arc<AreaRules>,
    outages: Box<[Option<Arc<Outage>>]>,
    before: Box<[Answered]>,
    /// Under no area rule the same candidates go on as before.
    all_new: bool,
    after: Box<[Answered]>,
    redecided: Arc<Redecided>,
}

impl Classes {
    /// What this name comes to: as one in equal circumstances did, or by itself.
    pub(super) fn decide(
        &mut self,
        state: &mut NameState,
        now: Time,
        by_itself: impl FnOnce(&mut NameState) -> Redecided,
    ) -> Arc<Redecided> {
        self.sketch.clear();
        self.gates.clear();
        if sketch(state, now, &mut self.sketch, &mut self.gates).is_none() {
            return Arc::new(by_itself(state));
        }
        let hash = FixedState::default().hash_one(&self.sketch);
        let known = self.known.entry(hash).or_default();
        if let Some(class) = known.iter().find(|class| *class.sketch == *self.sketch && class.holds(state, &self.gates))
        {
            #[cfg(all(test, debug_assertions))]
            let alone = {
                let mut alone = state.clone();
                (by_itself(&mut alone), alone)
            };
            state.answers.clone_from_slice(&class.after);
            state.leave_out();
            #[cfg(all(test, debug_assertions))]
            {
                assert_eq!(*class.redecided, alone.0);
                assert_eq!((&state.answers, &state.left_out), (&alone.1.answers, &alone.1.left_out));
            }
            return Arc::clone(&class.redecided);
        }
        if known.len() >= MOST_OF_A_SKETCH {
            return Arc::new(by_itself(state));
        }
        let before: Box<[Answered]> = state.answers.clone().into();
        let redecided = Arc::new(by_itself(state));
        let of_its_own = |answered: &Answered| answered.origin_fault.is_some() || !answered.carried.is_empty();
        if redecided.remembered.is_empty() && !state.answers.iter().any(of_its_own) {
            let source = |answered: &Answered| answered.decision.as_ref().map(|decision| decision.source.clone());
            let waits = |answered: &Answered| answered.waiting || answered.gate.is_some() || answered.until.is_some();
            known.push(Class {
                sketch: self.sketch.as_slice().into(),
                gates: state.answers.iter().any(waits).then(|| self.gates.as_slice().into()),
                orders: state.orders.clone(),
                areas: Arc::clone(&state.areas),
                outages: state.judges.iter().map(|judge| judge.outage.clone()).collect(),
                all_new: before.iter().zip(&state.answers).all(|(before, after)| source(before) != source(after)),
                before,
                after: state.answers.as_slice().into(),
                redecided: Arc::clone(&redecided),
            });
        }
        redecided
    }
}

impl Class {
    /// Whether a name with the same sketch and these gates is in these circumstances.
    fn holds(&self, state: &NameState, gates: &[Option<Time>]) -> bool {
        let same_outage = |(known, judge): (&Option<Arc<Outage>>, &Judge)| match (known, &judge.outage) {
            (Some(known), Some(outage)) => Arc::ptr_eq(known, outage) || known == outage,
            (known, outage) => known.is_none() && outage.is_none(),
        };
        self.before.len() == state.answers.len()
            && self.gates.as_ref().is_none_or(|known| **known == *gates)
            && (Arc::ptr_eq(&self.areas, &state.areas) || self.areas == state.areas)
            && self.orders == state.orders
            && self.outages.iter().zip(&state.judges).all(same_outage)
            && self.before.iter().zip(&state.answers).all(|(known, answered)| self.same(known, answered))
    }

    fn same(&self, known: &Answered, answered: &Answered) -> bool {
        let same_decision = match (&known.decision, &answered.decision) {
            (Some(known), Some(decision)) => {
                Arc::ptr_eq(known, decision)
                    || (self.all_new && known.source == decision.source)
                    || **known == **decision
            }
            (known, decision) => known.is_none() && decision.is_none(),
        };
        same_decision && known.words == answered.words && known.last == answered.last
    }
}

/// What a decision depends on, as far as it is numbers, and the moments that it may wait for. None where it depends on more
/// than is compared.
fn sketch(state: &NameState, now: Time, sketch: &mut Vec<u64>, gates: &mut Vec<Option<Time>>) -> Option<()> {
    let NameState { judges, orders, readied, answers, .. } = state;
    let plain = orders.pin.is_none() && orders.frozen.is_none() && judges.len() <= MOST_CANDIDATES;
    let plain = plain && !readied.is_at_risk();
    let of_its_own = |answered: &Answered| answered.origin_fault.is_some() || !answered.carried.is_empty();
    let listens = |answered: &Answered| answered.until.is_some();
    if !plain || answers.iter().any(|answered| of_its_own(answered) || listens(answered)) {
        return None;
    }
    let first_round = state.first_round_until.is_some();
    sketch.extend([u64::from(state.alike), u64::from(first_round), judges.len() as u64]);
    let mut held = 0;
    for judge in judges {
        let summary = &judge.summary;
        let begins = first_round && !judge.observed && summary.standing == Standing::Unknown && !summary.failing;
        let stands = match &judge.outage {
            Some(_) if summary.standing != Standing::Down => 2,
            None if summary.standing == Standing::Up && !summary.failing => 0,
            None if begins => 1,
            _ => return None,
        };
        held += u32::from(stands == 2);
        if summary.ramp.is_some() {
            return None;
        }
        let left_out = summary.left_out.map_or(0, |family| family as u64 + 1);
        sketch.push(stands | (summary.standing as u64) << 8 | left_out << 16);
    }
    // Of two that their providers hold down, the one that failed last is told.
    if held > 1 {
        return None;
    }
    let troubles = judges.iter().filter(|judge| judge.outage.is_some()).map(Judge::trouble_began);
    gates.extend(answers.iter().map(|answered| answered.gate).chain(troubles));
    for gate in &*gates {
        if held > 0 && gate.is_some_and(|gate| may_listen(judges, gate, now)) {
            return None;
        }
        let passed = |judge: &Judge| gate.is_none_or(|gate| judge.has_passed_since(gate));
        let passed = judges.iter().rev().fold(0, |passed_before, judge| passed_before << 1 | u64::from(passed(judge)));
        sketch.extend([u64::from(gate.is_some()), passed]);
    }
    Some(())
}

/// Whether one has passed a moment ago and another was not heard of: then the moment counts (`listening`).
fn may_listen(judges: &[Judge], gate: Time, now: Time) -> bool {
    let others = || judges.iter().filter(|judge| judge.outage.is_none()).map(|judge| judge.heard_since(gate));
    others().any(|heard| matches!(heard, Heard::Passed(at) if now < at.after(LISTENS)))
        && others().any(|heard| heard == Heard::Nothing)
}

/// Numbers for rules that decide alike: equal policies, and candidates that differ in what they are asked and where alone.
#[derive(Default)]
pub(super) struct Alike<'a>(HashMap<u64, Vec<(&'a SteeredName, u32)>, FixedState>, u32);

impl<'a> Alike<'a> {
    pub(super) fn number(&mut self, rules: &'a SteeredName) -> u32 {
        let mut hasher = FixedState::default().build_hasher();
        rules.policy.hash(&mut hasher);
        rules.candidates.iter().for_each(|candidate| (&candidate.id, candidate.weight).hash(&mut hasher));
        let known = self.0.entry(hasher.finish()).or_default();
        if let Some((_, number)) = known.iter().find(|(known, _)| decide_alike(known, rules)) {
            return *number;
        }
        self.1 += 1;
        known.push((rules, self.1));
        self.1
    }
}

fn decide_alike(a: &SteeredName, b: &SteeredName) -> bool {
    let same = |(a, b): (&Candidate, &Candidate)| {
        let Candidate { id, provider, home, target: _, weight, max, standby, probe: _, judgement: _ } = a;
        (id, provider, home, weight, max, standby) == (&b.id, &b.provider, &b.home, &b.weight, &b.max, &b.standby)
    };
    a.policy == b.policy && a.candidates.len() == b.candidates.len() && a.candidates.iter().zip(&b.candidates).all(same)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::areas::{Places, Resolver};
    use super::super::fixture::{START, at, candidate, seen, steered};
    use super::super::observation::{Cause, Family};
    use super::super::orders::Signed;
    use super::super::sharing::Sharing;
    use super::*;

    const NOW: Time = Time(START.0 + 20_000);

    /// A name that answers with the first of two, which has passed as the other one did.
    fn state(name: &str, weights: [u32; 2], alike: &mut Vec<SteeredName>) -> NameState {
        let of = |(id, weight)| Candidate { weight, ..candidate(id, "si", 3) };
        let mut rules = steered(name, ["bunny", "gcore"].into_iter().zip(weights).map(of).collect());
        rules.candidates[0].target = super::super::policy::Target::Name(format!("{name}b-cdn.net.").into());
        let rules = Arc::new(rules);
        let places: Arc<Places> = Arc::default();
        let areas = Resolver::new(&places).resolve(&rules.policy);
        let mut state = NameState::new(&rules, areas, |_| None, None, false, START);
        for (number, judge) in state.judges.iter_mut().enumerate() {
            judge.observe(
                &seen(number, Some(Family::V4), Cause::Paced, None, at(10)),
                &rules.candidates[number],
                false,
                at(10),
            );
        }
        state.first_round_ends(at(10));
        alike.push(SteeredName::clone(&rules));
        state.alike = alike.iter().position(|known| decide_alike(known, &rules)).map_or(0, |at| at as u32);
        state.decide_itself(at(10), &mut Sharing::default());
        state
    }

    #[test]
    fn equal_circumstances_are_one_class() {
        let mut rules = Vec::new();
        let mut states: Vec<NameState> =
            ["a.", "b.", "c.", "d.", "e."].iter().map(|name| state(name, [3, 1], &mut rules)).collect();
        states.push(state("f.", [1, 1], &mut rules));
        let outage = |words: &str| Some(Arc::new(Outage { words: words.to_owned(), began: at(5), at: NOW, all: true }));
        let down = outage("provider bunny is down");
        states.iter_mut().for_each(|state| state.judges[0].outage = down.clone());
        // Each differs in one thing.
        states[2].judges[0].outage = outage("provider bunny is down in another way");
        states[3].orders.drained = vec![None, Some(Signed { id: 1, words: "drained by anna: a trial".to_owned() })];
        let failing = seen(1, Some(Family::V4), Cause::Paced, Some(500), at(15_000));
        let rule = states[4].rules.candidates[1].clone();
        states[4].judges[1].observe(&failing, &rule, false, at(15_000));
        let mut sharing = Sharing::of_many();
        let classes = |sharing: &Sharing| sharing.classes.as_ref().map_or(0, |c| c.known.values().map(Vec::len).sum());
        let mut counts: Vec<usize> = Vec::new();
        for state in &mut states {
            let redecided = state.decide(NOW.after(Duration::from_secs(1)), &mut sharing);
            assert!(redecided.changed);
            counts.push(classes(&sharing));
        }
        assert_eq!(counts, [1, 1, 2, 3, 3, 4]);
        let decision = |at: usize| states[at].answers[0].decision.clone().expect("decided");
        assert!(Arc::ptr_eq(&decision(0), &decision(1)));
        assert!(decision(0).reasons[1].share > 0.99);
    }
}
