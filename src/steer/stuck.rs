//! Overrides that keep clients on what is down.
//!
//! An operator's word outranks verdicts, so it can be wrong loudly: as long as an order keeps clients on a candidate that
//! is down, it says so, also when that candidate goes down long after the order was placed.
//!
//! | order | it keeps clients on a candidate that is down |
//! | --- | --- |
//! | pin | when that is the one that it pins |
//! | freeze | when that serves by the freeze, and another could |
//! | drain | when that serves for want of others, and what is drained could |
//!
//! Recovering is down too: its window is not over. One event tells when an override begins to do so, and one when it no
//! longer does, for however many names: the candidates are listed by `Steering::stuck`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::areas::Terms;
use super::effects::Effects;
use super::name::NameState;
use super::observation::CandidateKey;
use super::orders::Signed;
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, OverrideState, Transition, Verdict};

/// By override.
pub(super) type Stuck = BTreeMap<u64, BTreeSet<CandidateKey>>;

impl Steering {
    /// What is down and has clients by these overrides alone, by the override's id.
    pub fn stuck(&self) -> impl Iterator<Item = (u64, &BTreeSet<CandidateKey>)> {
        self.stuck.iter().map(|(id, keys)| (*id, keys))
    }

    /// What is down and has clients by this override alone.
    pub fn stuck_by(&self, id: u64) -> Option<&BTreeSet<CandidateKey>> {
        self.stuck.get(&id)
    }

    /// The name was decided: does an order keep it on what is down?
    pub(super) fn look_for_stuck(&mut self, name: &Arc<str>, now: Time, effects: &mut Effects) {
        let Some(state) = self.names.get_mut(name) else { return };
        let found = state.stuck_now();
        if found == state.stuck {
            return;
        }
        let before = std::mem::replace(&mut state.stuck, found.clone());
        let kept = before.as_ref().map(|(id, _)| *id) == found.as_ref().map(|(id, _)| *id);
        if let Some((id, key)) = before {
            let over = self.forget_stuck(id, &key);
            if let Some(order) = self.overrides.get(&id).filter(|_| over && !kept) {
                let subject = order.order.to_string();
                let change = Change::Override { id, subject, from: OverrideState::OnDown, to: OverrideState::InForce };
                let why = "it keeps no clients on what is down any longer".into();
                effects.transitions.push(Transition { at: now, change, why });
            }
        }
        if let Some((id, key)) = found {
            let keys = self.stuck.entry(id).or_default();
            let first = keys.is_empty();
            let why = format!("it keeps clients of {} on {}, which is down", key.name, key.candidate).into();
            keys.insert(key);
            if let Some(order) = self.overrides.get(&id).filter(|_| first && !kept) {
                let subject = order.order.to_string();
                let change = Change::Override { id, subject, from: OverrideState::InForce, to: OverrideState::OnDown };
                effects.transitions.push(Transition { at: now, change, why });
            }
        }
    }

    /// The name is steered no longer.
    pub(super) fn unstick(&mut self, state: &NameState) {
        if let Some((id, key)) = &state.stuck {
            self.forget_stuck(*id, key);
        }
    }

    /// Whether nothing is left of that override.
    fn forget_stuck(&mut self, id: u64, key: &CandidateKey) -> bool {
        let Some(keys) = self.stuck.get_mut(&id) else { return true };
        keys.remove(key);
        let over = keys.is_empty();
        if over {
            self.stuck.remove(&id);
        }
        over
    }
}

impl NameState {
    /// The first candidate that is down and has clients by an order alone, with that order's id.
    pub(super) fn stuck_now(&self) -> Option<(u64, CandidateKey)> {
        if self.orders.is_empty() {
            return None;
        }
        (0..self.answers.len()).find_map(|number| {
            let decision = self.answers[number].decision.as_ref()?;
            let terms = self.areas.terms(number, &self.rules.policy);
            let serves = |at: &usize| decision.reasons.get(*at).is_some_and(|reason| reason.share > 0.0);
            (0..self.judges.len()).filter(serves).filter(|&at| self.is_down(at)).find_map(|at| {
                let order = self.keeping_order(at, terms)?;
                Some((order.id, self.key(at)))
            })
        })
    }

    /// By which order a candidate that is down serves.
    fn keeping_order(&self, at: usize, terms: Terms<'_>) -> Option<&Signed> {
        if let Some((_, pin)) = self.orders.pin.as_ref().filter(|(pinned, _)| *pinned == at) {
            return Some(pin);
        }
        let could = |i: usize| !self.is_down(i) && terms.allow(&self.rules.candidates[i]);
        let drained = |i: usize| self.orders.drained.get(i).and_then(Option::as_ref);
        let frozen = self.orders.frozen.as_ref();
        // Where one that is not drained could, only a freeze keeps the clients; or they wait for it to pass.
        if (0..self.judges.len()).any(|i| could(i) && drained(i).is_none()) {
            return frozen;
        }
        (0..self.judges.len()).filter(|&i| could(i)).find_map(drained)
    }

    fn is_down(&self, at: usize) -> bool {
        let judge = &self.judges[at];
        judge.outage.is_some() || judge.summary.standing.verdict() == Verdict::Down
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, key, order, seen, serving};
    use super::super::observation::{Cause, Family};
    use super::super::overrides::{DrainSubject, Order};
    use super::*;

    fn fails(steering: &mut Steering, candidate: usize, millis: u64) -> Effects {
        steering.observe(&seen(candidate, Some(Family::V4), Cause::Paced, Some(500), at(millis)), at(millis))
    }

    fn states(effects: &Effects) -> Vec<(OverrideState, OverrideState)> {
        let of = |transition: &Transition| match transition.change {
            Change::Override { from, to, .. } => Some((from, to)),
            _ => None,
        };
        effects.transitions.iter().filter_map(of).collect()
    }

    #[test]
    fn the_table_holds() {
        use OverrideState::{InForce, OnDown};
        let provider = |id: &str| Order::Drain(DrainSubject::Provider(id.into()));
        // The orders, who falls after them, and whether one keeps clients there.
        for (orders, falls, stuck) in [
            (vec![], vec![0], None),
            (vec![Order::Pin(key(0))], vec![1], None),
            (vec![Order::Pin(key(0))], vec![0], Some(0)),
            (vec![Order::Freeze], vec![0], Some(0)),
            (vec![provider("bunny")], vec![1], None),
            (vec![provider("bunny"), provider("gcore")], vec![2], Some(2)),
        ] {
            let mut steering = serving(1);
            for (id, order_) in (1..).zip(&orders) {
                steering.place(order(id, order_.clone(), None), at(20)).unwrap();
            }
            let mut told = Vec::new();
            for (at, who) in falls.iter().enumerate() {
                told.extend(states(&fails(&mut steering, *who, 30 + at as u64)));
            }
            let found: Vec<CandidateKey> = steering.stuck().flat_map(|(_, keys)| keys.iter().cloned()).collect();
            assert_eq!(found, stuck.map(key).into_iter().collect::<Vec<_>>(), "{orders:?} {falls:?}");
            assert_eq!(told, stuck.map(|_| (InForce, OnDown)).into_iter().collect::<Vec<_>>(), "{orders:?}");
            for id in (1..).take(orders.len()) {
                steering.release(id, at(50)).unwrap();
            }
            assert_eq!(steering.stuck().count(), 0, "{orders:?}");
        }
    }

    #[test]
    fn it_is_told_at_once_of_what_is_down_already_and_when_it_is_over() {
        use OverrideState::{Absent, InForce, OnDown};
        let mut steering = serving(1);
        fails(&mut steering, 0, 20);
        let effects = steering.place(order(1, Order::Pin(key(0)), None), at(30)).unwrap();
        assert_eq!(states(&effects), [(Absent, InForce), (InForce, OnDown)]);
        let why = effects.transitions.iter().find(|t| matches!(t.change, Change::Override { to: OnDown, .. }));
        assert_eq!(&*why.unwrap().why, "it keeps clients of www.shop.example. on bunny, which is down");
        assert!(steering.stuck_by(1).unwrap().contains(&key(0)));
        // A pin to another, which is placed later, takes it from there.
        let effects = steering.place(order(2, Order::Pin(key(1)), None), at(40)).unwrap();
        assert_eq!(states(&effects), [(Absent, InForce), (OnDown, InForce)]);
        assert_eq!(steering.stuck().count(), 0);
    }
}
