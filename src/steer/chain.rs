//! What is told of a provider is a chain: each event begins where the one before ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::effects::Effects;
use super::fixture::{START, candidate, seen, steered};
use super::inquiry::{Finding, Inquiry};
use super::observation::{Cause, Family, Outcome};
use super::policy::SteeredName;
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, Verdict};

const PROVIDERS: [&str; 2] = ["bunny", "gcore"];
const NAMES: usize = 5;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A candidate is probed.
    Probe {
        name: usize,
        at: usize,
        status: Option<u16>,
    },
    Wait(u64),
    /// These names alone are steered from now on, and those after the middle have their first candidate alone.
    Install([bool; NAMES]),
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![Just(None), Just(Some(500))];
    prop_oneof![
        30 => (0..NAMES, 0..2_usize, status).prop_map(|(name, at, status)| Step::Probe { name, at, status }),
        4 => prop_oneof![3 => 1..30_000_u64, 1 => 30_000..1_000_000_u64].prop_map(Step::Wait),
        2 => prop::array::uniform5(any::<bool>()).prop_map(Step::Install),
    ]
}

struct World {
    steering: Steering,
    now: Time,
    /// What was told of each provider last.
    told: BTreeMap<String, Verdict>,
    events: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self { steering: Steering::new(), now: START, told: BTreeMap::new(), events: 0 };
        world.install(&[true; NAMES]).expect("nothing is told");
        world
    }

    fn play(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Probe { name, at, status } => self.probe(*name, *at, *status),
            Step::Wait(span) => self.wait(Duration::from_millis(*span)),
            Step::Install(steered) => self.install(steered),
        }
    }

    fn install(&mut self, installed: &[bool; NAMES]) -> Result<(), TestCaseError> {
        let rules = |(number, _): (usize, &bool)| {
            let candidates = if number > NAMES / 2 { &PROVIDERS[..1] } else { &PROVIDERS };
            let candidates = candidates.iter().map(|id| candidate(id, "si", 1)).collect();
            let rules = steered(&name_of(number), candidates);
            Arc::new(SteeredName { zone: format!("zone{}.example.", number % 2).into(), ..rules })
        };
        let names: Vec<_> = installed.iter().enumerate().filter(|(_, steered)| **steered).map(rules).collect();
        let effects = self.steering.install(&names, self.now);
        self.follow(effects)
    }

    fn probe(&mut self, name: usize, at: usize, status: Option<u16>) -> Result<(), TestCaseError> {
        self.wait(Duration::from_millis(10))?;
        let mut observation = seen(at, Some(Family::V4), Cause::Paced, status, self.now);
        observation.candidate.name = name_of(name).into();
        observation.candidate.candidate = PROVIDERS[at].into();
        let effects = self.steering.observe(&observation, self.now);
        self.follow(effects)
    }

    fn wait(&mut self, span: Duration) -> Result<(), TestCaseError> {
        let end = self.now.after(span);
        while let Some(next) = self.steering.next_tick().filter(|&next| next > self.now && next < end) {
            self.now = next;
            let effects = self.steering.tick(next);
            self.follow(effects)?;
        }
        self.now = end;
        let effects = self.steering.tick(end);
        self.follow(effects)
    }

    /// All anchors always pass.
    fn follow(&mut self, effects: Effects) -> Result<(), TestCaseError> {
        for transition in &effects.transitions {
            let Change::Provider { subject, from, to } = &transition.change else { continue };
            let before = self.told.insert(subject.clone(), *to).unwrap_or(Verdict::Up);
            prop_assert_eq!(before, *from, "{:?}", transition);
            prop_assert_ne!(from, to);
            self.events += 1;
        }
        for inquiry in effects.inquiries {
            let outcome = Outcome::Pass { latency: Duration::ZERO };
            if let Inquiry::Anchors(_) = inquiry {
                let finding = Finding { inquiry, began: self.now, ended: self.now, outcome };
                let effects = self.steering.found(&finding, self.now);
                self.follow(effects)?;
            }
        }
        for id in PROVIDERS {
            let told = self.told.get(id).copied().unwrap_or(Verdict::Up);
            let is = self.steering.provider(id).map_or(Verdict::Unknown, |state| state.verdict);
            prop_assert!(told == is || (told, is) == (Verdict::Up, Verdict::Unknown), "{} told, {} is", told, is);
        }
        Ok(())
    }
}

fn name_of(number: usize) -> String {
    format!("n{number}.example.")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn events_of_a_provider_follow_from_one_another(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in &steps {
            world.play(step)?;
        }
    }
}

/// Down, then too few are left, then enough again: what is told says all of it.
#[test]
fn a_verdict_that_ends_and_begins_again_is_told() {
    let mut world = World::new();
    let mut steps = Vec::new();
    steps.extend((0..NAMES).map(|name| Step::Probe { name, at: 0, status: None }));
    steps.extend((0..NAMES).map(|name| Step::Probe { name, at: 0, status: Some(500) }));
    steps.push(Step::Install([true, true, false, false, false]));
    steps.push(Step::Install([true; NAMES]));
    steps.extend((0..NAMES).map(|name| Step::Probe { name, at: 0, status: None }));
    steps.push(Step::Wait(900_000));
    steps.extend((0..NAMES).map(|name| Step::Probe { name, at: 0, status: None }));
    steps.iter().for_each(|step| world.play(step).expect("a chain"));
    assert!(world.events >= 3, "{} events", world.events);
    assert_eq!(world.told.get("bunny"), Some(&Verdict::Up));
}
