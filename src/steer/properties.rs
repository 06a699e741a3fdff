//! What must hold over any history of observations, orders, restarts and time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::areas::{AreaRules, PLAIN, Places};
use super::decision::{Decision, Source};
use super::effects::Effects;
use super::fixture::{self, IDS, NAME, START, key, seen, steered};
use super::home::Home;
use super::inquiry::Finding;
use super::observation::{Cause, Family, Outcome};
use super::overrides::{DrainSubject, Order, Override};
use super::policy::{AreaPolicy, Candidate, Empty, JudgementRule, Policy, Preference, ProviderStep, SteeredName};
use super::shares::{POINTS, Shares};
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, Standing};

/// Those that serve have so long to follow one that is back from the origin's fault.
const FOLLOWS: Duration = Duration::from_secs(5);

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
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
enum Answers {
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

fn step() -> impl Strategy<Value = Step> {
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

fn name_with_areas() -> impl Strategy<Value = SteeredName> {
    (name(), area(), area()).prop_map(|(mut name, x, y)| {
        name.policy.areas = [("x".to_owned(), x), ("y".to_owned(), y)].into();
        name
    })
}

fn name() -> impl Strategy<Value = SteeredName> {
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

/// A run of failures.
#[derive(Clone, Copy, Debug)]
struct Run {
    began: Time,
    /// When the family was seen last.
    seen: Time,
    over: bool,
}

/// A history being played, with what a bystander would note of it.
struct World {
    rules: SteeredName,
    places: Arc<Places>,
    steering: Steering,
    now: Time,
    next_id: u64,
    /// By candidate: when it passed last.
    passed: [Option<Time>; 4],
    /// By candidate and family: its last run of failures.
    runs: [BTreeMap<Family, Run>; 4],
    /// By candidate: it did not resolve once, so that the bystander cannot tell the runs of its families apart.
    blurred: [bool; 4],
    effects: Vec<Effects>,
    /// What comes of inquiries, at once.
    answers: Answers,
}

impl World {
    fn new(rules: SteeredName) -> Self {
        let (mut steering, places) = (Steering::new(), places(0));
        steering.settle(Arc::clone(&places), START);
        let effects = vec![steering.install(&[Arc::new(rules.clone())], START)];
        let (passed, runs, blurred) = Default::default();
        Self { rules, places, steering, now: START, next_id: 1, passed, runs, blurred, effects, answers: Answers::Pass }
    }

    fn play(&mut self, step: &Step) {
        // No two things happen in one moment.
        self.wait(1);
        let doubted = self.is_doubted();
        self.act(step);
        if doubted || self.is_doubted() {
            // Failures count nothing: to the bystander each run begins when that is over.
            let now = self.now;
            self.runs.iter_mut().flat_map(|runs| runs.values_mut()).for_each(|run| run.began = now);
        }
    }

    fn is_doubted(&self) -> bool {
        !self.steering.vantage().is_empty()
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

    fn wait(&mut self, millis: u64) {
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
    fn siblings_asked(&self) -> Vec<usize> {
        let probes = self.effects.last().into_iter().flat_map(|effects| &effects.probes);
        let siblings = probes.filter(|wanted| wanted.cause == Cause::Sibling);
        siblings.filter_map(|wanted| (0..4).find(|&at| key(at) == wanted.candidate)).collect()
    }

    /// All that was inquired is found to pass, or to fail.
    fn answer_inquiries(&mut self, pass: bool) {
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

    fn areas(&self) -> &AreaRules {
        self.steering.areas(NAME).expect("a name")
    }

    fn decision(&self, area: usize) -> &Decision {
        self.steering.decision(NAME, area).expect("a decision at every moment")
    }

    fn shares(&self, area: usize) -> Option<&Shares> {
        match &self.decision(area).source {
            Source::Candidates(shares) => Some(shares),
            Source::Static => None,
        }
    }

    fn standing(&self, at: usize) -> Standing {
        self.steering.candidate(&key(at)).expect("a candidate").standing
    }

    fn allows(&self, area: usize, at: usize) -> bool {
        self.areas().terms(area, &self.rules.policy).allow(&self.rules.candidates[at])
    }

    fn orders(&self, is: impl Fn(&Order) -> bool) -> bool {
        self.steering.overrides().any(|order| is(&order.order))
    }

    fn is_drained(&self, at: usize) -> bool {
        let candidate = &self.rules.candidates[at];
        self.orders(|order| matches!(order, Order::Drain(_)) && order.concerns(&self.rules, candidate))
    }

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
        for at in (0..4).filter(usable) {
            prop_assert!(self.passed[at] < began, "{} has passed since: {:?}", IDS[at], self.decision(area));
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
                | Change::Readiness { .. } => {}
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

    /// What a controller would have stored, taken up by a new one.
    fn restarted(&self) -> Steering {
        let memories = (0..4).map(|at| (key(at), self.steering.candidate(&key(at)).unwrap().memory())).collect();
        let last = self.steering.last(NAME).map(|last| (NAME.to_owned(), last)).into_iter().collect();
        let mut steering = Steering::new();
        steering.settle(Arc::clone(&self.places), self.now);
        steering.restore(memories, last, self.steering.overrides().cloned().collect());
        steering.install(&[Arc::new(self.rules.clone())], self.now);
        steering
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
        world.answers = Answers::Later;
        let probe = |candidate, status| Step::Probe { candidate, family: Some(Family::V4), cause: Cause::Paced, status };
        for candidate in 0..4 {
            world.play(&probe(candidate, None));
            world.answer_inquiries(true);
        }
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
        world.answers = Answers::Later;
        let probe = |candidate, status| Step::Probe { candidate, family: Some(Family::V4), cause: Cause::Paced, status };
        for candidate in 0..4 {
            world.play(&probe(candidate, None));
            world.answer_inquiries(true);
        }
        let (before, statically) = (world.decision(PLAIN).source.clone(), world.rules.policy.empty == Empty::Static);
        let serving: Vec<usize> = (0..4).filter(|&at| world.decision(PLAIN).reasons[at].share > 0.0).collect();
        for (candidate, fails, wait) in probes {
            // Those that serve fail one and all, as they would; of the others anything may be seen.
            let fails = fails || serving.contains(&candidate);
            world.play(&probe(candidate, fails.then_some(502)));
            world.answer_inquiries(false);
            world.wait(wait);
            world.answer_inquiries(false);
            let lost = statically && !world.steering.usable(NAME, PLAIN);
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
            let all: Vec<Arc<str>> = names.iter().map(|name| Arc::clone(&name.name)).collect();
            anew.recount(&all, now, &mut Effects::default());
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
        for candidate in 0..4 {
            world.play(&Step::Probe { candidate, family: Some(Family::V4), cause: Cause::Paced, status: None });
        }
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
