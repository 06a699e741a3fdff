//! A history of one name being played, step by step: what may happen to it, and what a bystander would note of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::areas::{AreaRules, Places};
use super::decision::{Decision, Source};
use super::effects::Effects;
use super::fixture::{self, IDS, NAME, START, key, seen, steered};
use super::home::Home;
use super::inquiry::Finding;
use super::observation::{Cause, Family, Outcome};
use super::overrides::{DrainSubject, Order, Override};
use super::policy::{AreaPolicy, Candidate, Empty, JudgementRule, Policy, Preference, ProviderStep, SteeredName};
use super::shares::Shares;
use super::steering::Steering;
use super::time::Time;
use super::transition::Standing;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Probe {
        candidate: usize,
        family: Option<Family>,
        cause: Cause,
        status: Option<u16>,
    },
    Wait(u64),
    Place(Order),
    Release(u64),
    Install {
        weights: Vec<u32>,
    },
    /// Clients are in these places from now on.
    Settle(usize),
    /// What is inquired is answered so from now on.
    Answer(Answers),
}

/// What comes of inquiries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Pass,
    Fail,
    /// Nothing does, ever.
    Silent,
    /// Nothing at once; the test answers.
    Later,
}

/// The areas of each place; the database comes and goes.
fn places(at: usize) -> Arc<Places> {
    let all: [&[&str]; 3] = [&["", "x", "y", "x y"], &["", "y"], &[""]];
    all[at].iter().map(|areas| areas.split_whitespace().map(Arc::from).collect()).collect()
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let family = prop_oneof![6 => Just(Some(Family::V4)), 3 => Just(Some(Family::V6)), 1 => Just(None)];
    let cause = prop_oneof![3 => Just(Cause::Paced), 1 => Just(Cause::Reprobe), 1 => Just(Cause::Sibling)];
    let status = prop_oneof![3 => Just(None), 2 => Just(Some(500)), 1 => Just(Some(404))];
    prop_oneof![
        40 => (0..4_usize, family, cause, status).prop_map(|(candidate, family, cause, status)| {
            // A probe without an address did not resolve.
            let status = if family.is_none() { Some(0) } else { status };
            Step::Probe { candidate, family, cause, status }
        }),
        12 => prop_oneof![4 => 1..20_000_u64, 1 => 20_000..4_000_000_u64].prop_map(Step::Wait),
        1 => order().prop_map(Step::Place),
        1 => (1..8_u64).prop_map(Step::Release),
        1 => prop::collection::vec(0..4_u32, 4).prop_map(|weights| Step::Install { weights }),
        1 => (0..3_usize).prop_map(Step::Settle),
        2 => prop_oneof![2 => Just(Answers::Pass), 1 => Just(Answers::Fail), 1 => Just(Answers::Silent)]
            .prop_map(Step::Answer),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        (0..4_usize).prop_map(|at| Order::Drain(DrainSubject::Provider(IDS[at].into()))),
        (0..4_usize).prop_map(|at| Order::Pin(key(at))),
        Just(Order::Drain(DrainSubject::Glob("*/*a*".to_owned()))),
        Just(Order::Freeze),
    ]
}

/// A `prefer` and an `only` of one area, or none; now and then of homes that the plain ones have too.
fn area() -> impl Strategy<Value = AreaPolicy> {
    let home = |home: &str| Preference::Home(home.parse().unwrap());
    let prefer = prop_oneof![
        Just(vec![home("us")]),
        Just(vec![home("eu"), Preference::Any]),
        Just(vec![Preference::Provider("gcore".into())])
    ];
    let only = prop_oneof![Just(vec![home("eu")]), Just(vec![home("us")]), Just(vec![Preference::Any])];
    (prop::option::of(prefer), prop::option::of(only)).prop_map(|(prefer, only)| AreaPolicy { prefer, only })
}

pub(super) fn name_with_areas() -> impl Strategy<Value = SteeredName> {
    (name(), area(), area()).prop_map(|(mut name, x, y)| {
        name.policy.areas = [("x".to_owned(), x), ("y".to_owned(), y)].into();
        name
    })
}

pub(super) fn name() -> impl Strategy<Value = SteeredName> {
    let ramp = prop_oneof![2 => Just(0), 1 => Just(60), 1 => Just(1_200_u64)];
    let step = prop::option::weighted(0.3, (1..=100_u8, 0..60_u64));
    let candidate = (0..4_u32, prop::option::weighted(0.2, 1..=100_u8), any::<bool>(), 0..3_usize, (ramp, step));
    let only = prop::option::weighted(0.3, Just(vec![Preference::Home(Home::EU)]));
    let empty = prop_oneof![Just(Empty::Last), Just(Empty::Open), Just(Empty::Static)];
    (prop::collection::vec(candidate, 4), only, empty, 1..4_u32).prop_map(|(rows, only, empty, fall)| {
        let candidates = rows.iter().zip(IDS).map(|(&(weight, max, standby, home, (ramp, step)), id)| {
            let plain = fixture::candidate(id, ["si", "us", "eu"][home], fall);
            let ramp = Duration::from_secs(ramp);
            let step = step.map(|(percent, turn)| ProviderStep { percent, turn: Duration::from_secs(turn) });
            let judgement = JudgementRule { ramp, step, ..plain.judgement };
            Candidate { weight, max, standby, judgement, ..plain }
        });
        let mut name = steered(NAME, candidates.collect());
        let prefer = vec![Preference::Home(Home::EU), Preference::Any];
        name.policy = Policy { prefer, only, empty, ..name.policy };
        name
    })
}

/// A probe of pace over IPv4: it passes, or meets a status.
pub(super) fn probe(candidate: usize, status: Option<u16>) -> Step {
    Step::Probe { candidate, family: Some(Family::V4), cause: Cause::Paced, status }
}

/// A run of failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) began: Time,
    /// When the family was seen last.
    seen: Time,
    over: bool,
}

/// A history being played, with what a bystander would note of it.
pub(super) struct World {
    pub(super) rules: SteeredName,
    pub(super) places: Arc<Places>,
    pub(super) steering: Steering,
    pub(super) now: Time,
    next_id: u64,
    /// By candidate: when it passed last.
    pub(super) passed: [Option<Time>; 4],
    /// By candidate and family: its last run of failures.
    pub(super) runs: [BTreeMap<Family, Run>; 4],
    /// By candidate: it did not resolve once, so that the bystander cannot tell the runs of its families apart.
    pub(super) blurred: [bool; 4],
    pub(super) effects: Vec<Effects>,
    /// What comes of inquiries, at once.
    pub(super) answers: Answers,
}

impl World {
    pub(super) fn new(rules: SteeredName) -> Self {
        let (mut steering, places) = (Steering::new(), places(0));
        steering.settle(Arc::clone(&places), START);
        let effects = vec![steering.install(&[Arc::new(rules.clone())], START)];
        let (passed, runs, blurred) = Default::default();
        Self { rules, places, steering, now: START, next_id: 1, passed, runs, blurred, effects, answers: Answers::Pass }
    }

    pub(super) fn play(&mut self, step: &Step) {
        // No two things happen in one moment.
        self.wait(1);
        let doubted = self.is_doubted();
        self.act(step);
        if doubted || self.is_doubted() {
            // Failures count nothing: to the bystander each run begins with the first one when that is over.
            let now = self.now;
            self.runs.iter_mut().flat_map(|runs| runs.values_mut()).for_each(|run| (run.began, run.over) = (now, true));
        }
    }

    fn is_doubted(&self) -> bool {
        !self.steering.vantage().is_empty()
    }

    /// Every candidate passes once, and so does what is inquired then.
    pub(super) fn all_pass(&mut self) {
        (0..4).for_each(|candidate| self.play(&probe(candidate, None)));
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Wait(millis) => self.wait(*millis),
            Step::Probe { candidate, family, cause, status } => {
                self.note(*candidate, *family, status.is_none());
                let observation = seen(*candidate, *family, *cause, *status, self.now);
                self.effects.push(self.steering.observe(&observation, self.now));
                self.answer();
            }
            Step::Place(order) => {
                let (author, reason) = ("anna".to_owned(), "a drill".to_owned());
                let until = Some(self.now.after(Duration::from_secs(600)));
                let order = Override {
                    id: self.next_id,
                    order: order.clone(),
                    author,
                    reason,
                    placed: self.now,
                    until,
                    empty: None,
                };
                self.next_id += 1;
                self.effects.extend(self.steering.place(order, self.now));
            }
            Step::Release(id) => self.effects.extend(self.steering.release(*id, self.now).map(|(_, effects)| effects)),
            Step::Install { weights } => {
                for (candidate, weight) in self.rules.candidates.iter_mut().zip(weights) {
                    candidate.weight = *weight;
                }
                self.effects.push(self.steering.install(&[Arc::new(self.rules.clone())], self.now));
            }
            Step::Settle(at) => {
                self.places = places(*at);
                self.effects.push(self.steering.settle(Arc::clone(&self.places), self.now));
            }
            Step::Answer(answers) => self.answers = *answers,
        }
    }

    /// What is inquired by now is answered.
    fn answer(&mut self) {
        match self.answers {
            Answers::Pass => self.answer_inquiries(true),
            Answers::Fail => self.answer_inquiries(false),
            Answers::Silent => self.effects.iter_mut().for_each(|effects| effects.inquiries.clear()),
            Answers::Later => {}
        }
    }

    pub(super) fn wait(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        while let Some(at) = self.steering.next_tick().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.effects.push(self.steering.tick(self.now));
            assert!(self.steering.next_tick().is_none_or(|next| next > self.now), "a tick does all that is due");
            self.answer();
        }
        self.now = end;
    }

    /// The siblings that the last step asked for.
    pub(super) fn siblings_asked(&self) -> Vec<usize> {
        let probes = self.effects.last().into_iter().flat_map(|effects| &effects.probes);
        let siblings = probes.filter(|wanted| wanted.cause == Cause::Sibling);
        siblings.filter_map(|wanted| (0..4).find(|&at| key(at) == wanted.candidate)).collect()
    }

    /// All that was inquired is found to pass, or to fail.
    pub(super) fn answer_inquiries(&mut self, pass: bool) {
        let all = self.effects.iter_mut().flat_map(|effects| std::mem::take(&mut effects.inquiries));
        for inquiry in all.collect::<Vec<_>>() {
            let Outcome::Fail(fault) = seen(0, Some(Family::V4), Cause::Paced, Some(503), self.now).outcome else {
                return;
            };
            let passed = Outcome::Pass { latency: Duration::from_millis(20) };
            let outcome = if pass { passed } else { Outcome::Fail(fault) };
            let finding = Finding { inquiry, began: self.now, ended: self.now, outcome };
            self.effects.push(self.steering.found(&finding, self.now));
        }
    }

    fn note(&mut self, at: usize, family: Option<Family>, pass: bool) {
        if pass {
            self.passed[at] = Some(self.now);
        }
        self.blurred[at] |= family.is_none();
        if let Some(family) = family {
            let before = self.runs[at].get(&family).copied();
            // After three rounds and a time limit without a probe of it a family may have been forgotten.
            let goes_on = before.filter(|run| !run.over && self.now.since(run.seen) <= Duration::from_secs(33));
            let run = match (before, pass) {
                (None, true) => return,
                (Some(run), true) => Run { seen: self.now, over: true, ..run },
                (_, false) => Run { began: goes_on.map_or(self.now, |run| run.began), seen: self.now, over: false },
            };
            self.runs[at].insert(family, run);
        }
    }

    pub(super) fn areas(&self) -> &AreaRules {
        self.steering.areas(NAME).expect("a name")
    }

    pub(super) fn decision(&self, area: usize) -> &Decision {
        self.steering.decision(NAME, area).expect("a decision at every moment")
    }

    pub(super) fn shares(&self, area: usize) -> Option<&Shares> {
        match &self.decision(area).source {
            Source::Candidates(shares) => Some(shares),
            Source::Static => None,
        }
    }

    pub(super) fn standing(&self, at: usize) -> Standing {
        self.steering.candidate(&key(at)).expect("a candidate").standing
    }

    pub(super) fn allows(&self, area: usize, at: usize) -> bool {
        self.areas().terms(area, &self.rules.policy).allow(&self.rules.candidates[at])
    }

    pub(super) fn orders(&self, is: impl Fn(&Order) -> bool) -> bool {
        self.steering.overrides().any(|order| is(&order.order))
    }

    pub(super) fn is_drained(&self, at: usize) -> bool {
        let candidate = &self.rules.candidates[at];
        self.orders(|order| matches!(order, Order::Drain(_)) && order.concerns(&self.rules, candidate))
    }

    /// What a controller would have stored, taken up by a new one.
    pub(super) fn restarted(&self) -> Steering {
        let memories = (0..4).map(|at| (key(at), self.steering.candidate(&key(at)).unwrap().memory())).collect();
        let last = self.steering.last(NAME).map(|last| (NAME.to_owned(), last)).into_iter().collect();
        let mut steering = Steering::new();
        steering.settle(Arc::clone(&self.places), self.now);
        steering.restore(memories, last, self.steering.overrides().cloned().collect());
        steering.install(&[Arc::new(self.rules.clone())], self.now);
        steering
    }
}
