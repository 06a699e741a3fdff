//! All steered names, candidates and overrides: the whole mutable state of the core, and the steps it takes.
//!
//! Each step takes `now`, changes the state, and says what follows (`Effects`). `now` never runs backwards. A step
//! touches only the name that it is about; `tick` those that are due; an override those that it concerns.
//!
//! A name has a number, its place in the order of `install` (`install.rs`), and inside a step it goes by that: what is due,
//! and the members of a provider's account, are numbers, so that a step of many names looks none up. From outside, and in
//! what is told, it goes by its name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::quality::FixedState;
use indexmap::IndexMap;

use super::areas::{AreaRules, Places};
use super::decision::{Decision, LastShares};
use super::effects::{Effects, ProbeWanted};
use super::inquiry::Inquiry;
use super::judge::{CandidateMemory, CandidateState, Verdict, silence_of};
use super::name::NameState;
use super::observation::{CandidateKey, Cause, Fault, Observation, Outcome};
use super::orders::orders_of;
use super::overrides::Override;
use super::policy::SteeredName;
use super::sharing::{Decisions, Sharing};
use super::stuck::Stuck;
use super::tally::Tallies;
use super::time::Time;
use super::transition::{Change, Standing, Transition};
use super::vantage::{Fall, Vantage, Worth};
use super::waiting::Waiting;

/// The core's whole state.
#[derive(Clone, Debug, Default)]
pub struct Steering {
    /// In the order of `install`; the number of a name is its place here.
    pub(super) names: IndexMap<Arc<str>, NameState, FixedState>,
    pub(super) overrides: BTreeMap<u64, Override>,
    pub(super) tallies: Tallies,
    pub(super) vantage: Vantage,
    /// Failures that wait for what the anchors say.
    pub(super) waiting: Waiting,
    /// What is down and has clients by an override alone, by the override's id.
    pub(super) stuck: Stuck,
    /// What names that were decided by themselves share.
    decisions: Decisions,
    /// Where clients are.
    pub(super) places: Arc<Places>,
    /// When time alone changes something for a name, by its number.
    pub(super) due: BTreeSet<(Time, usize)>,
    /// Kept over the restart and not taken up yet.
    pub(super) memories: HashMap<CandidateKey, CandidateMemory, FixedState>,
    pub(super) last: HashMap<String, LastShares, FixedState>,
    /// The names that were pinned when that was kept.
    pub(super) pinned: BTreeSet<Arc<str>>,
}

impl Steering {
    pub fn new() -> Self {
        Self::default()
    }

    /// A probe has ended. What is about no steered candidate, or no longer holds, changes nothing.
    pub fn observe(&mut self, observation: &Observation, now: Time) -> Effects {
        let mut effects = Effects::default();
        if now > observation.ended.after(observation.holds) {
            return effects;
        }
        let Some((_, _, state)) = self.names.get_full(&observation.candidate.name) else { return effects };
        let Some(at) = state.position(&observation.candidate.candidate) else { return effects };
        if !state.judges[at].is_about(observation) {
            return effects;
        }
        let rules = Arc::clone(&state.rules);
        if self.weigh(observation, &rules, at, now, &mut effects) == Worth::Counts {
            self.judge(observation, now, &mut effects);
        }
        self.watch_drill(now, &mut effects);
        effects
    }

    /// A candidate is judged by what a probe saw, and its name is decided anew.
    pub(super) fn judge(&mut self, observation: &Observation, now: Time, effects: &mut Effects) {
        self.forgive(&observation.candidate);
        let Some((name, _, state)) = self.names.get_full_mut(&observation.candidate.name) else { return };
        let Some(at) = state.position(&observation.candidate.candidate) else { return };
        let rules = Arc::clone(&state.rules);
        let served = state.serves(at);
        let hasty = self.tallies.is_hasty(&rules.candidates[at].provider);
        let verdict = state.judges[at].observe(observation, &rules.candidates[at], hasty, now);
        let passes = matches!(observation.outcome, Outcome::Pass { .. });
        if rules.policy.origin.is_some()
            && ((verdict.first_failure && served) || (passes && state.origin.is_unknown()))
            && state.origin.ask(now)
        {
            effects.inquiries.push(Inquiry::Origin(Arc::clone(&rules.name)));
        }
        if verdict.first_failure && served {
            effects.probes.extend(siblings(state, at, now, |_| true));
        }
        if verdict.revived {
            bound_absolution(state, at, now, effects);
        }
        if verdict.revived && state.is_waiting() {
            effects.probes.extend(siblings(state, at, now, |standing| standing != Standing::Up));
        }
        if let Outcome::Fail(fault) = &observation.outcome {
            let began = state.judges[at].run_began().unwrap_or(now);
            for &before in &verdict.fell {
                let (key, out_of_time) = (state.key(at), fault.is_out_of_time());
                self.vantage.fell(Fall { at: now, began, key, family: before.family, before, out_of_time });
            }
        }
        let tallies = verdict.matters || state.unblamed;
        let decides = verdict.matters | state.is_waiting() | state.first_round_ends(now);
        note(state, at, verdict, now, effects);
        if tallies {
            self.retally(name, now, effects);
        }
        if decides {
            self.redecide_alone(name, now, effects);
        } else {
            self.reschedule(name, now);
        }
    }

    /// Time has come to `now`: windows end, overrides expire, first rounds end.
    pub fn tick(&mut self, now: Time) -> Effects {
        let mut effects = Effects::default();
        let ended = self.end_overrides(now, &mut effects);
        self.reorder(&ended, now, &mut effects);
        while self.due.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, name)) = self.due.pop_first() {
                self.tick_name(name, now, &mut effects);
            }
        }
        self.tick_providers(now, &mut effects);
        self.tick_vantage(now, &mut effects);
        self.watch_drill(now, &mut effects);
        effects
    }

    /// When `tick` has something to do next.
    pub fn next_tick(&self) -> Option<Time> {
        let name = self.due.first().map(|(due, _)| *due);
        let orders = self.overrides.values().filter_map(|order| order.until);
        name.into_iter().chain(orders).chain(self.tallies.next_due()).chain(self.vantage.next_due()).min()
    }

    /// What a name answers under one of its area rules, and why.
    pub fn decision(&self, name: &str, area: usize) -> Option<&Arc<Decision>> {
        self.names.get(name)?.answers.get(area)?.decision.as_ref()
    }

    /// The area rules of a name.
    pub fn areas(&self, name: &str) -> Option<&Arc<AreaRules>> {
        self.names.get(name).map(|state| &state.areas)
    }

    /// The last shares of a name that were not empty, by candidate id: what `restore` wants back.
    pub fn last(&self, name: &str) -> Option<LastShares> {
        self.names.get(name)?.last()
    }

    /// The rules of a name.
    pub fn name(&self, name: &str) -> Option<&Arc<SteeredName>> {
        self.names.get(name).map(|state| &state.rules)
    }

    /// All steered names, in the order of `install`.
    pub fn names(&self) -> impl Iterator<Item = &Arc<SteeredName>> {
        self.names.values().map(|state| &state.rules)
    }

    /// How a candidate stands.
    pub fn candidate(&self, key: &CandidateKey) -> Option<CandidateState> {
        let state = self.names.get(&key.name)?;
        let judged = state.judges[state.position(&key.candidate)?].state();
        Some(judged.with_readiness(state.readied.memory(&key.candidate)))
    }

    /// Whether any candidate can be used under this area rule: is not down, drained or forbidden.
    pub fn usable(&self, name: &str, area: usize) -> bool {
        self.names.get(name).and_then(|state| state.answers.get(area)).is_some_and(|answered| answered.usable)
    }

    /// Whose clients have no candidate that can be used: `clients in eu27`, `any client`. None where all have one.
    pub fn without_usable(&self, name: &str) -> Option<String> {
        let state = self.names.get(name)?;
        let numbers: Vec<usize> = (0..state.answers.len()).filter(|&number| !state.answers[number].usable).collect();
        (!numbers.is_empty()).then(|| state.areas.whose(&numbers).unwrap_or_else(|| "any client".to_owned()))
    }

    /// Whether the first round of probes of a name is still going on.
    pub fn in_first_round(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|state| state.first_round_until.is_some())
    }

    fn tick_name(&mut self, name: usize, now: Time, effects: &mut Effects) {
        let frozen = self.vantage.frozen();
        let Some((_, state)) = self.names.get_index_mut(name) else { return };
        state.due = None;
        let rules = Arc::clone(&state.rules);
        let mut decides = state.first_round_ends(now) || state.is_waiting();
        if state.orders.next.is_some_and(|next| next <= now) {
            state.orders = orders_of(&self.overrides, &rules, now);
            decides = true;
        }
        if state.origin.asks_again(now) {
            effects.inquiries.push(Inquiry::Origin(Arc::clone(&rules.name)));
        }
        let mut tallies = false;
        for (at, candidate) in rules.candidates.iter().enumerate() {
            let verdict = state.judges[at].tick(candidate, frozen, now);
            tallies |= verdict.matters;
            note(state, at, verdict, now, effects);
        }
        decides |= tallies;
        if tallies {
            self.retally(name, now, effects);
        }
        if decides {
            self.redecide_alone(name, now, effects);
        } else {
            self.reschedule(name, now);
        }
    }

    /// As `redecide_at`, where its number is not at hand.
    pub(super) fn redecide(&mut self, name: &str, now: Time, sharing: &mut Sharing, effects: &mut Effects) {
        if let Some(name) = self.names.get_index_of(name) {
            self.redecide_at(name, now, sharing, effects);
        }
    }

    /// The name with this number is decided anew, and no other.
    pub(super) fn redecide_alone(&mut self, name: usize, now: Time, effects: &mut Effects) {
        let mut sharing = Sharing::of_one(std::mem::take(&mut self.decisions));
        self.redecide_at(name, now, &mut sharing, effects);
        self.decisions = sharing.decisions;
    }

    /// The name with this number is decided anew.
    pub(super) fn redecide_at(&mut self, name: usize, now: Time, sharing: &mut Sharing, effects: &mut Effects) {
        let Some((subject, state)) = self.names.get_index_mut(name) else { return };
        state.origin.look(now);
        let redecided = state.decide(now, sharing);
        for moved in &redecided.moved {
            let (from, to) = (Arc::clone(&moved.from), Arc::clone(&moved.to));
            let change = Change::Decision { subject: Arc::clone(subject), from, to };
            effects.transitions.push(Transition { at: now, change, why: Arc::clone(&moved.why) });
        }
        for &at in &redecided.remembered {
            remember(effects, state.key(at));
        }
        if redecided.changed {
            effects.decided.push(Arc::clone(subject));
        }
        if state.may_be_stuck() {
            let subject = Arc::clone(subject);
            self.look_for_stuck(&subject, now, effects);
        }
        self.reschedule(name, now);
    }

    fn reschedule(&mut self, name: usize, now: Time) {
        let Some((_, state)) = self.names.get_index_mut(name) else { return };
        state.origin.look(now);
        // What is due already is for the next tick to do. What a tick did not do waits for an observation, not for time.
        let due = state.next_due(now).filter(|&due| due > now);
        if state.due.is_some_and(|before| before <= now) || state.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut state.due, due) {
            self.due.remove(&(before, name));
        }
        self.due.extend(due.map(|due| (due, name)));
    }
}

/// A candidate that serves has failed, or one that was down passes: how are the others?
pub(super) fn siblings(state: &NameState, at: usize, now: Time, asks: impl Fn(Standing) -> bool) -> Vec<ProbeWanted> {
    let others = (0..state.judges.len()).filter(|&i| i != at && asks(state.judges[i].summary.standing));
    others.map(|i| ProbeWanted { candidate: state.key(i), cause: Cause::Sibling, at: now }).collect()
}

/// The origin is back for one: the others have a few rounds to follow, or their fault is their own.
fn bound_absolution(state: &mut NameState, at: usize, now: Time, effects: &mut Effects) {
    let rules = Arc::clone(&state.rules);
    for (i, candidate) in rules.candidates.iter().enumerate() {
        if i != at && state.judges[i].is_absolved() && state.judges[i].absolve(now.after(silence_of(candidate))) {
            remember(effects, state.key(i));
        }
    }
}

pub(super) fn note(state: &NameState, at: usize, verdict: Verdict, now: Time, effects: &mut Effects) {
    if let Some(mut change) = verdict.change {
        let subject = state.key(at);
        if change.to == Standing::Down && change.fault.as_ref().is_some_and(Fault::is_own_configuration) {
            change.why += "; its own configuration at the provider, which is not counted for it";
        }
        let verdict = Change::Verdict { subject, from: change.from, to: change.to, fault: change.fault };
        effects.transitions.push(Transition { at: now, change: verdict, why: change.why.into() });
    }
    if let Some(at_time) = verdict.reprobe {
        effects.probes.push(ProbeWanted { candidate: state.key(at), cause: Cause::Reprobe, at: at_time });
    }
    if verdict.remember {
        remember(effects, state.key(at));
    }
}

pub(super) fn remember(effects: &mut Effects, key: CandidateKey) {
    // What one step says of a name stands together, so that only its end is to be looked at.
    let mut of_name = effects.remembered.iter().rev().take_while(|before| before.name == key.name);
    if !of_name.any(|before| *before == key) {
        effects.remembered.push(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::{NAME, START, at, key, seen, serving};
    use super::super::observation::{Family, Fault, Outcome, Stage};
    use super::super::policy::Target;
    use super::*;

    const V4: Option<Family> = Some(Family::V4);

    fn failing(candidate: usize, stage: Stage, cause: Cause, began: u64, ended: u64) -> Observation {
        let fault = Fault { stage, status: None, certificate: None, page: None, reason: "it failed".to_owned() };
        let passed = seen(candidate, V4, cause, None, at(began));
        Observation { ended: at(ended), outcome: Outcome::Fail(fault), ..passed }
    }

    #[test]
    fn a_first_failure_asks_all_siblings_at_once_and_looks_again() {
        let mut steering = serving(3);
        let wanted = |candidate, cause, millis| ProbeWanted { candidate: key(candidate), cause, at: at(millis) };
        let effects = steering.observe(&failing(0, Stage::Status, Cause::Paced, 20, 30), at(30));
        let expected = [wanted(1, Cause::Sibling, 30), wanted(2, Cause::Sibling, 30), wanted(0, Cause::Reprobe, 1030)];
        assert_eq!(effects.probes, expected);
        assert_eq!(effects.decided.len(), 1, "the TTL is in doubt");
        let effects = steering.observe(&failing(0, Stage::Status, Cause::Reprobe, 1030, 1040), at(1040));
        assert_eq!(effects.probes, [wanted(0, Cause::Reprobe, 2040)]);
    }

    #[test]
    fn pauses_grow_where_no_server_answered() {
        for (stage, pauses) in [
            (Stage::Status, [1, 1, 1, 1]),
            (Stage::Body, [1, 1, 1, 1]),
            (Stage::Tls, [1, 1, 1, 1]),
            (Stage::Slow, [1, 1, 1, 1]),
            (Stage::Connect, [1, 2, 4, 4]),
            (Stage::Timeout, [1, 2, 4, 4]),
            (Stage::Resolve, [1, 2, 4, 4]),
        ] {
            let mut steering = serving(9);
            let mut now = 20;
            for pause in pauses {
                let effects = steering.observe(&failing(0, stage, Cause::Reprobe, now, now), at(now));
                now += pause * 1000;
                let reprobe = effects.probes.iter().find(|wanted| wanted.cause == Cause::Reprobe).unwrap();
                assert_eq!(reprobe.at, at(now), "{stage:?}");
            }
        }
    }

    #[test]
    fn failures_of_one_moment_are_no_row() {
        let mut steering = serving(2);
        steering.observe(&failing(0, Stage::Timeout, Cause::Paced, 20, 3020), at(3020));
        let effects = steering.observe(&failing(0, Stage::Timeout, Cause::Paced, 20, 3021), at(3021));
        assert_eq!(steering.candidate(&key(0)).unwrap().failures_in_row, 1);
        assert_eq!(effects.probes, [], "the one that was asked for sees to both");
        steering.observe(&failing(0, Stage::Timeout, Cause::Reprobe, 4020, 7020), at(7020));
        assert_eq!(steering.candidate(&key(0)).unwrap().standing, Standing::Down);
    }

    #[test]
    fn what_no_longer_holds_or_is_about_nobody_changes_nothing() {
        let mut steering = serving(1);
        let late = failing(0, Stage::Status, Cause::Paced, 20, 30);
        assert_eq!(steering.observe(&late, at(30_031)), Effects::default());
        let stranger = Observation { candidate: key(3), ..late.clone() };
        assert_eq!(steering.observe(&stranger, at(40)), Effects::default());
        let before_the_start = failing(0, Stage::Status, Cause::Paced, 0, 30);
        let before_the_start = Observation { began: START.before(Duration::from_millis(1)), ..before_the_start };
        assert_eq!(steering.observe(&before_the_start, at(40)), Effects::default());
    }

    #[test]
    fn what_a_restart_kept_of_another_target_is_not_believed() {
        let mut steering = serving(1);
        steering.observe(&failing(0, Stage::Status, Cause::Paced, 20, 30), at(30));
        let memory = steering.candidate(&key(0)).unwrap().memory();
        assert_eq!(memory.standing, Standing::Down);
        for (target, standing) in [("shop.bunny.example.", Standing::Down), ("new.bunny.example.", Standing::Unknown)] {
            let mut rules = SteeredName::clone(steering.name(NAME).unwrap());
            rules.candidates[0].target = Target::Name(target.into());
            let mut next = Steering::new();
            next.restore(vec![(key(0), memory.clone())], Vec::new(), Vec::new());
            let effects = next.install(&[Arc::new(rules)], at(40));
            assert_eq!(next.candidate(&key(0)).unwrap().standing, standing);
            assert_eq!(effects.remembered.len(), usize::from(standing == Standing::Unknown));
        }
    }
}
