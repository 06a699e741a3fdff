//! What must hold while candidates come back: who moves, how many, and how fast a provider's load returns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::areas::PLAIN;
use super::decision::Source;
use super::fixture::{IDS, NAME, START, candidate, key, seen, steered};
use super::observation::{Cause, Family, Observation};
use super::policy::{Candidate, Preference, ProviderStep, SteeredName};
use super::ramp::MINUTE;
use super::shares::Shares;
use super::steering::Steering;
use super::time::Time;
use super::transition::Standing;

const V4: Option<Family> = Some(Family::V4);
const EVERY: Duration = Duration::from_secs(10);

/// Names whose candidates are probed every 10 s, and what each probe sees.
struct Round {
    steering: Steering,
    names: Vec<Arc<SteeredName>>,
    now: Time,
}

impl Round {
    fn new(names: Vec<Arc<SteeredName>>) -> Self {
        let mut steering = Steering::new();
        steering.install(&names, START);
        let mut round = Self { steering, names, now: START };
        round.pass(&[]);
        round
    }

    /// One round of probes in which these candidates fail; then time goes on to the next one, tick by tick, each of which
    /// is told.
    fn pass(&mut self, failing: &[usize]) -> Vec<Time> {
        self.round(|_, at| failing.contains(&at))
    }

    /// The same, where which fail differs by name.
    fn round(&mut self, fails: impl Fn(&str, usize) -> bool) -> Vec<Time> {
        for name in self.names.clone() {
            for at in 0..name.candidates.len() {
                let status = fails(&name.name, at).then_some(500);
                let mut observation = seen(at, V4, Cause::Paced, status, self.now);
                observation.candidate.name = Arc::clone(&name.name);
                self.steering.observe(&Observation { ..observation }, self.now);
            }
        }
        let end = self.now.after(EVERY);
        let mut ticks = vec![self.now];
        while let Some(at) = self.steering.next_tick().filter(|&at| at < end) {
            self.now = self.now.max(at);
            self.steering.tick(self.now);
            ticks.push(self.now);
        }
        self.now = end;
        ticks
    }

    fn shares(&self, name: &str) -> Shares {
        match &self.steering.decision(name, PLAIN).expect("a decision").source {
            Source::Candidates(shares) => shares.clone(),
            Source::Static => panic!("candidates answer"),
        }
    }

    fn standing(&self, at: usize) -> Standing {
        self.steering.candidate(&key(at)).expect("a candidate").standing
    }
}

fn ramping(candidate: Candidate, ramp: u64) -> Candidate {
    let mut candidate = candidate;
    candidate.judgement.ramp = Duration::from_secs(ramp);
    candidate
}

/// How many points are held by another after than before, and not by one of `by`.
fn moved_elsewhere(before: &Shares, after: &Shares, by: &[usize]) -> u32 {
    let mut ends: Vec<u32> = before.intervals().chain(after.intervals()).map(|(end, _)| end).collect();
    ends.sort_unstable();
    let (mut start, mut strays) = (0, 0);
    for end in ends {
        let (giver, taker) = (before.pick(u64::from(start)), after.pick(u64::from(start)));
        if giver != taker && !by.contains(&usize::from(taker)) {
            strays += end - start;
        }
        start = end;
    }
    strays
}

fn weights_and_levels() -> impl Strategy<Value = Vec<(u32, bool, Option<u8>)>> {
    prop::collection::vec((1..20_u32, prop::bool::weighted(0.3), prop::option::weighted(0.2, 20..=100_u8)), 4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Clients move to those that come back and to nobody else, never back, and no more of them than the rungs say.
    #[test]
    fn a_ramp_moves_its_cohort_alone(rows in weights_and_levels(), falls in 1..15_u8, later in 0..40_usize, ramp in 100..900_u64) {
        let falls: Vec<usize> = (0..4).filter(|at| falls >> at & 1 == 1).collect();
        let candidates = rows.iter().zip(IDS).map(|(&(weight, second, max), id)| {
            Candidate { weight, max, ..ramping(candidate(id, if second { "us" } else { "si" }, 1), ramp) }
        });
        let mut name = steered(NAME, candidates.collect());
        name.policy.prefer = vec![Preference::Home("eu".parse().unwrap()), Preference::Any];
        let mut round = Round::new(vec![Arc::new(name)]);
        let plain = round.shares(NAME);
        (0..10).for_each(|_| drop(round.pass(&falls)));
        // One of them comes back later than the others.
        (0..later).for_each(|_| drop(round.pass(&falls[..1])));
        let mut rounds = 0;
        while falls.iter().any(|&at| round.standing(at) != Standing::Up) {
            let before = round.shares(NAME);
            let states: Vec<_> = falls.iter().map(|&at| round.steering.candidate(&key(at)).unwrap()).collect();
            round.pass(&[]);
            let after = round.shares(NAME);
            // Rounding may shift a point between any two of those that stay.
            let strays = moved_elsewhere(&before, &after, &falls);
            prop_assert!(strays <= 4, "{strays} points moved between {before:?} and {after:?}");
            for (&at, state) in falls.iter().zip(states) {
                let at = u16::try_from(at).unwrap();
                let alone = falls.len() == 1;
                let shrinks = alone && after.points(at) + 1 < before.points(at);
                prop_assert!(!shrinks, "{} gives clients back: {before:?}, {after:?}", IDS[usize::from(at)]);
                if let Some(ramp) = state.ramp.filter(|_| round.steering.candidate(&key(at.into())).unwrap().ramp == state.ramp) {
                    let decision = round.steering.decision(NAME, PLAIN).unwrap();
                    let all = decision.rule.contains("takes all at once") || decision.reasons[usize::from(at)].reason.contains("took all");
                    prop_assert!(all || after.points(at) <= ramp.part() + 1, "{decision:?}");
                }
            }
            rounds += 1;
            prop_assert!(rounds < 1_000, "it ends");
        }
        // In the end all shares are as they were.
        let after = round.shares(NAME);
        prop_assert!((0..4).all(|at| after.points(at) == plain.points(at)), "{after:?}, {plain:?}");
    }
}

/// A provider falls with all its names and comes back with all of them: no minute brings more of their traffic back than
/// its step, and they come spread over the minute.
#[test]
fn a_provider_comes_back_at_its_step() {
    const NAMES: usize = 60;
    for (step, ramp) in [(10, 1200), (25, 1200), (20, 0), (50, 60)] {
        let names: Vec<Arc<SteeredName>> = (0..NAMES)
            .map(|number| {
                let name = format!("n{number}.shop.example.");
                let mut first = ramping(candidate(IDS[0], "si", 1), ramp);
                first.judgement.step = Some(ProviderStep::of(step, &name, IDS[0]));
                let mut rules = steered(&name, vec![first, candidate(IDS[1], "us", 1)]);
                rules.policy.prefer = vec![Preference::Provider(IDS[0].into()), Preference::Any];
                Arc::new(rules)
            })
            .collect();
        let mut round = Round::new(names.clone());
        (0..10).for_each(|_| drop(round.pass(&[0])));
        let load = |round: &Round| -> f64 {
            names.iter().map(|name| round.shares(&name.name).share(0)).sum::<f64>() / NAMES as f64
        };
        assert!(load(&round) < 1e-9);
        // What it carries, by millisecond; told once a second is enough.
        let mut loads = BTreeMap::from([(round.now, 0.0)]);
        for _ in 0..600 {
            let ended = round.pass(&[]).pop().expect("at least the round itself");
            loads.insert(ended, load(&round));
        }
        assert!((load(&round) - 1.0).abs() < 1e-9, "all is back");
        let rises: Vec<f64> = loads.values().copied().collect();
        // Six rounds of 10 s are a minute.
        let worst = rises.windows(7).map(|seven| seven[6] - seven[0]).fold(0.0, f64::max);
        assert!(worst <= f64::from(step) / 100.0 + 0.001, "{worst} of {step} % and {ramp} s");
        let jump = rises.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
        assert!(jump <= f64::from(step) / 100.0 / 2.0, "{jump} within 10 s: the names do not come all at once");
        assert_eq!(MINUTE, EVERY * 6);
    }
}

/// Those that only counted as down come back as slowly as those that fell: their caches are as cold, and all that returns
/// goes to one provider.
#[test]
fn who_counted_as_down_for_long_ramps_too() {
    let names: Vec<Arc<SteeredName>> = (0..10)
        .map(|number| {
            let first = ramping(candidate(IDS[0], "si", 1), 1200);
            let mut rules = steered(&format!("n{number}.shop.example."), vec![first, candidate(IDS[1], "us", 1)]);
            rules.policy.prefer = vec![Preference::Provider(IDS[0].into()), Preference::Any];
            Arc::new(rules)
        })
        .collect();
    let spared = |name: &str| name.starts_with("n8") || name.starts_with("n9");
    let mut round = Round::new(names);
    let share = |round: &Round| round.shares("n9.shop.example.").share(0);
    (0..180).for_each(|_| drop(round.round(|name, at| at == 0 && !spared(name))));
    assert!(share(&round) == 0.0, "it passes, and counts as down with its provider");
    let mut waits = 0;
    while share(&round) == 0.0 {
        assert!(waits < 6, "it comes back when the others pass");
        round.pass(&[]);
        waits += 1;
    }
    assert!(share(&round) < 0.02, "{}", share(&round));
    (0..29).for_each(|_| drop(round.pass(&[])));
    assert!(share(&round) < 0.06, "{} after five minutes", share(&round));
    (0..100).for_each(|_| drop(round.pass(&[])));
    assert!(share(&round) > 0.999, "{}", share(&round));
}
