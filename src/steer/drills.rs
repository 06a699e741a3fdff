//! Drills: a small part of a provider's clients is with the others for a while, and back after.
//!
//! A drill is a part of a share, like that of a gradual drain (`Orders::parted`): the provider keeps all clients but the
//! last cohorts, and those go where they would go without it. It is there to find out on a quiet day whether the others
//! can, so it begins only where they seem to, and ends with the first sign that they cannot:
//!
//! | it does not begin while | it ends at once when |
//! | --- | --- |
//! | another drill is in force | any other override is placed |
//! | a freeze is in force for a name of it | a candidate of a name of it falls, or is impaired |
//! | this vantage is in doubt | this vantage is in doubt |
//! | the provider, or a candidate of it that serves, is not up | a provider is down or impaired as a whole |
//! | a name of it has no other candidate that is up, ready, not drained and not of this provider | |
//!
//! Names that are pinned stay where they are, and are not looked at. Only names where it serves count.

use super::decision::CandidateReason;
use super::effects::Effects;
use super::name::NameState;
use super::orders::{PlaceError, ended};
use super::overrides::{Drill, Order, Override};
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, OverrideState, Standing, Trust, Verdict};

impl Steering {
    /// The drill in force; there is one at most.
    pub fn drill(&self) -> Option<&Override> {
        self.overrides.values().find(|order| matches!(order.order, Order::Drill(_)))
    }

    /// Whether it may begin.
    pub(super) fn check_drill(&self, drill: &Drill) -> Result<(), PlaceError> {
        match self.drill_hindrance(drill) {
            Some(why) => Err(PlaceError::Unsafe(why)),
            None => Ok(()),
        }
    }

    fn drill_hindrance(&self, drill: &Drill) -> Option<String> {
        if let Some(other) = self.drill() {
            return Some(format!("override {} is a drill of {} already", other.id, other.order));
        }
        if let Some(doubt) = self.vantage().first() {
            return Some(format!("this vantage is in doubt ({}): {}", doubt.what.word(), doubt.evidence));
        }
        let whole =
            self.provider(&drill.provider).filter(|state| matches!(state.verdict, Verdict::Impaired | Verdict::Down));
        if let Some(state) = whole {
            return Some(format!("{} is {}: {}", drill.provider, state.verdict, state.evidence));
        }
        let mut names: Vec<&NameState> = self.names.values().filter(|state| state.lends(drill)).collect();
        if names.is_empty() {
            return Some(format!("{} serves no clients that could move", drill.provider));
        }
        names.sort_unstable_by(|a, b| a.rules.name.cmp(&b.rules.name));
        names.into_iter().find_map(|state| state.drill_hindrance(drill))
    }

    /// Ends a drill in which something has gone wrong.
    pub(super) fn watch_drill(&mut self, now: Time, effects: &mut Effects) {
        // Most of the time there are no overrides at all.
        if self.overrides.is_empty() || effects.transitions.is_empty() {
            return;
        }
        let Some(Order::Drill(drill)) = self.drill().map(|order| order.order.clone()) else { return };
        let fault = effects.transitions.iter().find_map(|transition| {
            let what = match &transition.change {
                Change::Verdict { subject, to: to @ (Standing::Down | Standing::Impaired), .. } => {
                    let state = self.names.get(&subject.name)?;
                    let concerned = state.rules.candidates.iter().any(|candidate| candidate.provider == drill.provider);
                    concerned.then(|| format!("{subject} is {to}"))
                }
                Change::Provider { subject, to: to @ (Verdict::Down | Verdict::Impaired), .. } => {
                    Some(format!("provider {subject} is {to}"))
                }
                Change::Vantage { subject, to: Trust::Frozen, .. } => {
                    Some(format!("the vantage is in doubt ({subject})"))
                }
                _ => None,
            }?;
            Some(format!("{what}: {}", transition.why))
        });
        if let Some(why) = fault {
            self.abort_drill(&why, now, effects);
        }
    }

    /// Ends the drill in force, if there is one: its clients are back with this step.
    pub(super) fn abort_drill(&mut self, why: &str, now: Time, effects: &mut Effects) {
        let Some(order) = self.drill().map(|order| order.id).and_then(|id| self.overrides.remove(&id)) else { return };
        let mut transition = ended(&order, OverrideState::Aborted, now);
        transition.why = format!("the drill is ended: {why}").into();
        effects.transitions.push(transition);
        self.reorder(std::slice::from_ref(&order.order), now, effects);
    }
}

impl NameState {
    /// Whether clients of the name would move in the drill.
    fn lends(&self, drill: &Drill) -> bool {
        let own = |at: usize| self.rules.candidates[at].provider == drill.provider;
        self.orders.pin.is_none() && (0..self.judges.len()).any(|at| own(at) && self.serves(at))
    }

    fn drill_hindrance(&self, drill: &Drill) -> Option<String> {
        let name = &self.rules.name;
        if let Some(frozen) = &self.orders.frozen {
            return Some(format!("{name} is frozen (override {})", frozen.id));
        }
        let is_up = |at: usize| self.judges[at].outage.is_none() && self.judges[at].summary.standing == Standing::Up;
        let candidates = &self.rules.candidates;
        let own = |at: usize| candidates[at].provider == drill.provider;
        let serving = (0..candidates.len()).filter(|&at| own(at) && self.serves(at));
        if let Some(at) = serving.into_iter().find(|&at| !is_up(at)) {
            let standing = self.judges[at].summary.standing;
            return Some(format!("{name}/{} is {standing}", candidates[at].id));
        }
        let ready = |at: usize| {
            let drained = self.orders.drained.get(at).is_some_and(Option::is_some);
            !own(at) && is_up(at) && !drained && !self.readied.is_used_last(&candidates[at].id)
        };
        for (number, answered) in self.answers.iter().enumerate() {
            let reasons: &[CandidateReason] = answered.decision.as_ref().map_or(&[], |decision| &decision.reasons);
            let serves = reasons.iter().enumerate().any(|(at, reason)| own(at) && reason.share > 0.0);
            let terms = self.areas.terms(number, &self.rules.policy);
            if serves && !(0..candidates.len()).any(|at| ready(at) && terms.allow(&candidates[at])) {
                let whose = self.areas.whose(&[number]).map(|whose| format!(" for {whose}")).unwrap_or_default();
                return Some(format!("{name} has no other candidate that is up and ready{whose}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::areas::PLAIN;
    use super::super::decision::Source;
    use super::super::fixture::{IDS, NAME, START, at, candidate, key, order, seen, serving, steered};
    use super::super::observation::{Cause, Family};
    use super::super::overrides::DrainSubject;
    use super::super::shares::{POINTS, Shares};
    use super::*;

    fn drill(per_mille: u16) -> Override {
        order(9, Order::Drill(Drill { provider: "bunny".into(), per_mille }), Some(at(600_000)))
    }

    fn shares(steering: &Steering) -> Shares {
        match &steering.decision(NAME, PLAIN).unwrap().source {
            Source::Candidates(shares) => shares.clone(),
            Source::Static => panic!("candidates answer"),
        }
    }

    fn fails(steering: &mut Steering, candidate: usize, millis: u64) -> Effects {
        steering.observe(&seen(candidate, Some(Family::V4), Cause::Paced, Some(500), at(millis)), at(millis))
    }

    #[track_caller]
    fn hindered(steering: &mut Steering) -> String {
        match steering.place(drill(10), at(100)) {
            Err(PlaceError::Unsafe(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn it_is_refused_where_it_would_not_be_safe() {
        let mut steering = serving(1);
        steering.place(order(1, Order::Freeze, None), at(30)).unwrap();
        assert_eq!(hindered(&mut steering), "www.shop.example. is frozen (override 1)");
        let mut steering = serving(1);
        steering.place(drill(10), at(30)).unwrap();
        assert_eq!(hindered(&mut steering), "override 9 is a drill of bunny already");
        let mut steering = serving(1);
        fails(&mut steering, 1, 40);
        steering.place(order(1, Order::Drain(DrainSubject::Provider("fastly".into())), None), at(50)).unwrap();
        assert_eq!(hindered(&mut steering), "www.shop.example. has no other candidate that is up and ready");
        let mut steering = serving(1);
        for (id, other) in [(1, "gcore"), (2, "fastly")] {
            steering.place(order(id, Order::Drain(DrainSubject::Provider(other.into())), None), at(30)).unwrap();
        }
        assert_eq!(hindered(&mut steering), "www.shop.example. has no other candidate that is up and ready");
        let mut steering = serving(1);
        steering.place(order(1, Order::Pin(key(1)), None), at(30)).unwrap();
        assert_eq!(hindered(&mut steering), "bunny serves no clients that could move");
        let mut steering = Steering::new();
        let candidates = IDS[..2].iter().map(|id| candidate(id, "si", 1)).collect();
        steering.install(&[Arc::new(steered(NAME, candidates))], START);
        assert_eq!(hindered(&mut steering), "www.shop.example./bunny is unknown");
    }

    #[test]
    fn a_fault_ends_it_and_the_clients_are_back() {
        for (who, fault) in [(1, "www.shop.example./gcore is down"), (0, "www.shop.example./bunny is down")] {
            let mut steering = serving(1);
            steering.place(drill(100), at(30)).unwrap();
            let effects = fails(&mut steering, who, 40);
            let ends: Vec<_> = effects
                .transitions
                .iter()
                .filter(|t| matches!(t.change, Change::Override { id: 9, to: OverrideState::Aborted, .. }))
                .collect();
            assert_eq!(ends.len(), 1, "{effects:?}");
            assert!(ends[0].why.starts_with(&format!("the drill is ended: {fault}")), "{}", ends[0].why);
            assert!(steering.drill().is_none());
        }
        let mut steering = serving(1);
        let before = shares(&steering);
        steering.place(drill(100), at(30)).unwrap();
        assert_ne!(shares(&steering), before);
        steering.place(order(1, Order::Freeze, None), at(40)).unwrap();
        assert_eq!(shares(&steering), before, "a freeze keeps no drill");
        assert_eq!(steering.overrides().count(), 1);
    }

    proptest! {
        #[test]
        fn it_moves_its_cohort_and_brings_it_back(per_mille in 1..=500_u16) {
            let mut steering = serving(1);
            let before = shares(&steering);
            steering.place(drill(per_mille), at(30)).unwrap();
            let during = shares(&steering);
            let (held, kept) = (before.points(0), during.points(0));
            let exact = f64::from(held) * f64::from(per_mille) / 1000.0;
            prop_assert!((f64::from(held - kept) - exact).abs() <= 2.0, "{kept} of {held}");
            prop_assert_eq!((0..3).map(|at| during.points(at)).sum::<u32>(), POINTS);
            for point in (0..u64::from(POINTS)).step_by(13) {
                let (was, is) = (before.pick(point), during.pick(point));
                prop_assert!(was == is || (was == 0 && is != 0), "nobody else moves");
            }
            while let Some(next) = steering.next_tick().filter(|&next| next <= at(600_000)) {
                steering.tick(next);
            }
            prop_assert!(steering.drill().is_none());
            prop_assert_eq!(shares(&steering), before);
        }
    }
}
