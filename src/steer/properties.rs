//! What must hold over any history of observations, orders, restarts and time.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::areas::PLAIN;
use super::effects::Effects;
use super::fixture::{self, IDS, NAME, START, key, seen, steered};
use super::observation::{Cause, Family};
use super::overrides::Order;
use super::policy::{AreaPolicy, Empty, Preference, SteeredName};
use super::shares::POINTS;
use super::steering::Steering;
use super::transition::{Change, Standing};
use super::world::{Answers, Step, World, name, name_with_areas, probe, step};

/// Those that serve have so long to follow one that is back from the origin's fault.
const FOLLOWS: Duration = Duration::from_secs(5);
/// Clients stay so long after a pass, for others that are being asked.
const LISTENS: Duration = Duration::from_secs(1);

impl World {
    fn check(&self) -> Result<(), TestCaseError> {
        self.check_only()?;
        (0..self.areas().count()).try_for_each(|area| self.check_area(area))
    }

    /// What the clients of each place get is never what the most specific `only` of its areas forbids.
    fn check_only(&self) -> Result<(), TestCaseError> {
        let policy = &self.rules.policy;
        for (place, areas) in (0_u16..).zip(&*self.places) {
            let own = areas.iter().find_map(|area| policy.areas.get(&**area)?.only.as_ref());
            let Some(only) = own.or(policy.only.as_ref()) else { continue };
            let Some(shares) = self.shares(self.areas().at(place)) else { continue };
            for (at, candidate) in (0_u16..).zip(&self.rules.candidates) {
                let allowed = only.iter().any(|entry| entry.matches(candidate));
                prop_assert!(allowed || shares.points(at) == 0, "{areas:?}: {only:?} is broken by {}", candidate.id);
            }
        }
        Ok(())
    }

    fn check_area(&self, area: usize) -> Result<(), TestCaseError> {
        let decision = self.decision(area);
        prop_assert_eq!(decision.reasons.len(), 4);
        let Some(shares) = self.shares(area) else {
            let forbidden = (0..4).all(|at| !self.allows(area, at));
            prop_assert!(forbidden || self.rules.policy.empty == Empty::Static, "{decision:?}");
            return Ok(());
        };
        prop_assert_eq!((0..4).map(|at| shares.points(at)).sum::<u32>(), POINTS);
        let serving: Vec<usize> = (0..4).filter(|&at| shares.points(at as u16) > 0).collect();
        for &at in &serving {
            prop_assert!(self.allows(area, at), "`only` is broken: {decision:?}");
        }
        if self.orders(|order| matches!(order, Order::Pin(_) | Order::Freeze)) || !self.steering.usable(NAME, area) {
            return Ok(());
        }
        for &at in &serving {
            prop_assert!(!self.is_drained(at), "a drained candidate serves: {decision:?}");
        }
        self.check_down_only_for_want_of_better(area, &serving)
    }

    /// A candidate that is down serves only while no other that can be used has passed since its failures began.
    fn check_down_only_for_want_of_better(&self, area: usize, serving: &[usize]) -> Result<(), TestCaseError> {
        let down = serving.iter().any(|&at| self.standing(at) == Standing::Down);
        if !down || serving.iter().any(|&at| self.blurred[at]) {
            return Ok(());
        }
        // One is back: those that serve are asked, and have 5 s to follow.
        if (0..4).any(|at| self.now.since(self.steering.candidate(&key(at)).expect("a candidate").since) < FOLLOWS) {
            return Ok(());
        }
        let began = serving.iter().flat_map(|&at| self.runs[at].values()).map(|run| run.began).max();
        let usable = |&at: &usize| self.allows(area, at) && !self.is_drained(at) && self.standing(at) != Standing::Down;
        let just_now = |passed| self.now.since(passed) <= LISTENS;
        for at in (0..4).filter(usable) {
            let passed = self.passed[at];
            prop_assert!(
                passed < began || passed.is_some_and(just_now),
                "{} has passed since: {:?}",
                IDS[at],
                self.decision(area)
            );
        }
        Ok(())
    }

    /// Each transition begins where the one before it of the same subject ended.
    fn check_transitions(&self) -> Result<(), TestCaseError> {
        let mut answered: Vec<Arc<str>> = vec!["nothing".into(); self.areas().count()];
        let mut standings = [Standing::Unknown; 4];
        for transition in self.effects.iter().flat_map(|effects| &effects.transitions) {
            match &transition.change {
                Change::Decision { from, to, .. } => {
                    prop_assert_ne!(from, to);
                    for area in self.told_of(&transition.why) {
                        prop_assert_eq!(from, &answered[area]);
                        answered[area] = Arc::clone(to);
                    }
                }
                Change::Verdict { subject, from, to, .. } => {
                    let at = (0..4).find(|&at| key(at) == *subject).expect("a candidate");
                    prop_assert_eq!(*from, std::mem::replace(&mut standings[at], *to));
                    prop_assert_ne!(from, to);
                }
                Change::Override { .. }
                | Change::Provider { .. }
                | Change::Vantage { .. }
                | Change::Readiness { .. }
                | Change::Drill { .. } => {}
            }
        }
        prop_assert_eq!(standings, std::array::from_fn(|at| self.standing(at)));
        Ok(())
    }

    /// The area rules that a transition of a decision tells of.
    fn told_of(&self, why: &str) -> Vec<usize> {
        let count = self.areas().count();
        let sets = (1..1_usize << count).map(|set| (0..count).filter(|at| set >> at & 1 == 1).collect::<Vec<_>>());
        let told =
            |set: &Vec<usize>| self.areas().whose(set).is_some_and(|whose| why.starts_with(&format!("for {whose}: ")));
        sets.into_iter().find(told).unwrap_or_else(|| (0..count).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_history_keeps_the_rules(rules in name(), steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new(rules);
        world.check()?;
        for step in &steps {
            world.play(step);
            world.check()?;
        }
        world.check_transitions()?;
    }

    #[test]
    fn any_history_keeps_the_rules_in_every_area(
        rules in name_with_areas(), steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(rules);
        world.check()?;
        for step in &steps {
            world.play(step);
            world.check()?;
        }
        if !steps.iter().any(|step| matches!(step, Step::Settle(_))) {
            world.check_transitions()?;
        }
    }

    /// A name whose area says in other words what the plain fields say decides as one without areas does.
    #[test]
    fn areas_that_say_the_same_change_nothing(rules in name(), steps in prop::collection::vec(step(), 1..120)) {
        let mut with = rules.clone();
        let prefer = [&rules.policy.prefer[..], &[Preference::Any]].concat();
        with.policy.areas.insert("x".to_owned(), AreaPolicy { prefer: Some(prefer), only: None });
        let (mut one, mut other) = (World::new(rules), World::new(with));
        // New places alone would have the reasons told anew.
        for step in steps.iter().filter(|step| !matches!(step, Step::Settle(_))) {
            one.play(step);
            other.play(step);
            prop_assert_eq!(one.decision(PLAIN), other.decision(PLAIN));
            for (area, _) in other.areas().others() {
                let (decision, plain) = (other.decision(area), other.decision(PLAIN));
                prop_assert_eq!(&decision.source, &plain.source);
                prop_assert_eq!((decision.ttl, &decision.rule, decision.since), (plain.ttl, &plain.rule, plain.since));
            }
        }
        for (one, other) in one.effects.iter().zip(&other.effects) {
            prop_assert_eq!(&one.transitions, &other.transitions);
        }
    }

    #[test]
    fn the_same_history_has_the_same_effects(rules in name(), steps in prop::collection::vec(step(), 1..80)) {
        let (mut one, mut other) = (World::new(rules.clone()), World::new(rules));
        for step in &steps {
            one.play(step);
            other.play(step);
        }
        prop_assert_eq!(one.effects, other.effects);
        prop_assert_eq!(one.steering.decision(NAME, PLAIN), other.steering.decision(NAME, PLAIN));
    }

    #[test]
    fn a_restart_changes_nothing(rules in name_with_areas(), steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new(rules);
        for step in &steps {
            world.play(step);
        }
        let after = world.restarted();
        for at in 0..4 {
            let (before, after) = (world.steering.candidate(&key(at)).unwrap(), after.candidate(&key(at)).unwrap());
            prop_assert_eq!(before.standing, after.standing);
            prop_assert!(before.since == after.since || before.families.is_empty());
            prop_assert_eq!(before.families, after.families);
            prop_assert!(before.clean_until <= after.clean_until);
            prop_assert_eq!(before.ramp.map(|ramp| ramp.percent), after.ramp.map(|ramp| ramp.percent));
        }
        // Without any kept decision a first round begins; what the owner's own records answer is not kept.
        for area in (0..world.areas().count()).filter(|&area| world.shares(area).is_some()) {
            if !world.steering.in_first_round(NAME) {
                prop_assert_eq!(&world.decision(area).source, &after.decision(NAME, area).unwrap().source);
            }
        }
    }

    /// Whatever fails while this machine has no network, and whatever passes first when it is back.
    #[test]
    fn a_vantage_without_network_moves_nothing(
        rules in name(),
        fails in prop::collection::vec((0..4_usize, 0..3_u8, 1..5_000_u64), 1..100),
        back in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut rules = rules;
        // One failure is no time to ask anybody.
        rules.candidates.iter_mut().for_each(|candidate| candidate.judgement.fall = candidate.judgement.fall.max(2));
        let mut world = World::new(rules);
        world.all_pass();
        world.answers = Answers::Later;
        let before = world.decision(PLAIN).source.clone();
        for (candidate, status, wait) in fails {
            world.play(&probe(candidate, Some([500, 502, 404][usize::from(status)])));
            for sibling in world.siblings_asked() {
                world.play(&probe(sibling, Some(504)));
            }
            world.answer_inquiries(false);
            prop_assert_eq!(&world.decision(PLAIN).source, &before);
            world.wait(wait);
            world.answer_inquiries(false);
            prop_assert_eq!(&world.decision(PLAIN).source, &before);
        }
        // Who does not serve may have fallen long before the second provider was heard of.
        let serves = |&at: &usize| world.decision(PLAIN).reasons[at].share > 0.0;
        prop_assert!((0..4).filter(serves).all(|at| world.standing(at) == Standing::Up), "no verdict falls");
        world.wait(5_000);
        world.answer_inquiries(true);
        for candidate in back {
            world.play(&probe(candidate, None));
            prop_assert_eq!(&world.decision(PLAIN).source, &before);
        }
        prop_assert!(world.steering.vantage().is_empty());
    }

    /// An origin that fails when it is asked holds its name, whoever fails or passes.
    #[test]
    fn an_origin_that_fails_moves_nothing(
        rules in name(),
        probes in prop::collection::vec((0..4_usize, any::<bool>(), 1..5_000_u64), 1..100),
    ) {
        let mut rules = rules;
        rules.policy.origin = Some("https://origin.shop.example/".to_owned());
        let mut world = World::new(rules);
        world.all_pass();
        world.answers = Answers::Later;
        let (before, statically) = (world.decision(PLAIN).source.clone(), world.rules.policy.empty == Empty::Static);
        let serving: Vec<usize> = (0..4).filter(|&at| world.decision(PLAIN).reasons[at].share > 0.0).collect();
        for (candidate, fails, wait) in probes {
            // Those that serve fail one and all, as they would; of the others anything may be seen.
            let fails = fails || serving.contains(&candidate);
            world.play(&probe(candidate, fails.then_some(502)));
            world.answer_inquiries(false);
            world.wait(wait);
            world.answer_inquiries(false);
            // Once nobody was left and the owner's own records answered, whoever passes takes over.
            let is_static = |change: &Change| matches!(change, Change::Decision { to, .. } if **to == *"static");
            let lost = statically && world.effects.iter().flat_map(|e| &e.transitions).any(|t| is_static(&t.change));
            prop_assert!(lost || world.decision(PLAIN).source == before || world.shares(PLAIN).is_none(),
                "{:?}", world.decision(PLAIN));
        }
    }

    /// What is counted as candidates change is what counting all of them anew comes to.
    #[test]
    fn accounts_add_up(
        probes in prop::collection::vec((0..6_usize, 0..2_usize, prop::option::weighted(0.4, 0..2_u16), 1..200_000_u64), 1..150),
    ) {
        let mut steering = Steering::new();
        let names: Vec<Arc<SteeredName>> = (0..6).map(|at| {
            let candidates = IDS[..2].iter().map(|id| fixture::candidate(id, "si", 1)).collect();
            let name = steered(&format!("w{at}.example."), candidates);
            Arc::new(SteeredName { zone: format!("z{}.example.", at % 3).into(), ..name })
        }).collect();
        steering.install(&names, START);
        let mut now = START;
        for (name, candidate, status, wait) in probes {
            let mut observation = seen(candidate, Some(Family::V4), Cause::Paced, status.map(|class| 500 + class), now);
            observation.candidate.name = Arc::clone(&names[name].name);
            steering.observe(&observation, now);
            let end = now.after(Duration::from_millis(wait));
            while let Some(at) = steering.next_tick().filter(|&at| at <= end) {
                now = now.max(at);
                steering.tick(now);
                prop_assert!(steering.next_tick().is_none_or(|next| next > now), "a tick does all that is due");
            }
            now = end;
            let mut anew = steering.clone();
            anew.recount(now, &mut Effects::default());
            for id in &IDS[..2] {
                prop_assert_eq!(steering.provider(id), anew.provider(id));
            }
        }
    }

    #[test]
    fn nothing_flips_while_all_fail_alike(
        rules in name(),
        probes in prop::collection::vec((0..4_usize, any::<bool>(), 1..5_000_u64), 1..120),
    ) {
        let mut world = World::new(rules);
        world.all_pass();
        let before = world.decision(PLAIN).source.clone();
        for (candidate, paced, wait) in probes {
            let cause = if paced { Cause::Paced } else { Cause::Reprobe };
            world.play(&Step::Probe { candidate, family: Some(Family::V4), cause, status: Some(502) });
            world.wait(wait);
            let statically = world.shares(PLAIN).is_none() && !world.steering.usable(NAME, PLAIN);
            prop_assert!(statically || world.decision(PLAIN).source == before, "{:?}", world.decision(PLAIN));
        }
    }
}
