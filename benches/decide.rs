//! What a step of the core costs in which many names are decided, in CPU of this thread: a provider falls, and returns.
//!
//! ```text
//! cargo bench --bench decide [-- CASE [NAMES]]
//! ```
//!
//! Not counted are publishing, storing and logging what follows, which are the controller's. CPU is told, not time: steps are
//! long enough for other work of the machine to come between.
//!
//! Names have two candidates, every third name three. The first is at a provider that falls, the others pass. Probes are spread over
//! time as in life, so that hardly two names have been heard of in one moment.

#[path = "../tests/support/steered.rs"]
mod steered;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cpu_time::ThreadTime;
use pointsman::steer::effects::Effects;
use pointsman::steer::observation::{CandidateKey, Cause, Fault, Observation, Outcome, Stage};
use pointsman::steer::policy::{Shape, SteeredName, Sticky};
use pointsman::steer::steering::Steering;
use pointsman::steer::tally::ProviderState;
use pointsman::steer::time::Time;
use pointsman::steer::transition::{Change, Verdict};

/// When all begin to pass, and when a part of them begins to fail.
const PASSED: u64 = 1_764_892_800_000;
const FELL: u64 = PASSED + 30_000;
/// Probes of one kind are spread over so long, in milliseconds.
const ROUND: u64 = 10_000;
const IDS: [&str; 3] = ["fell", "away", "third"];
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SAMPLES: usize = 15;
const NAMES: usize = 10_000;

/// What is measured, and what must have come of it.
enum Step {
    Observe(Box<Observation>),
    Tick(Time),
    /// Many, one after the other.
    History(Vec<Observation>),
}

struct Case {
    name: &'static str,
    prepare: fn(usize) -> (Steering, Step),
    /// The least of what comes of it, by the number of names.
    least: fn(&Told, usize) -> bool,
}

/// How much came of a step.
#[derive(Default)]
struct Told {
    decided: usize,
    moves: usize,
    probes: usize,
}

const CASES: [Case; 5] = [
    // The observation by which the provider falls: half of its names have fallen, and it is asked how the others are.
    Case { name: "verdict", prepare: verdict, least: |told, names| told.probes >= 2 * names },
    // The others, of which nothing was heard since, leave it half a minute later.
    Case { name: "fall", prepare: fallen, least: |told, names| told.moves == names && told.decided == names },
    // The observation by which 80 % have fallen, four times as many: the others leave at once, be it that they pass; but for
    // those of three candidates, who wait a second for the third to be heard of.
    Case { name: "fall-of-all", prepare: fall_of_all, least: |told, names| told.moves * 2 >= names },
    // Ten minutes after their fall as many pass again, and count no longer; as many that only counted as down are told other reasons.
    Case { name: "return", prepare: returning, least: |told, names| told.decided >= names },
    // All that comes before the verdict: the observations by which candidates fall one by one, each with its decision.
    Case { name: "one-by-one", prepare: one_by_one, least: |told, names| told.moves * 2 >= names },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let names = arguments.get(1).map_or(NAMES, |text| text.parse().expect("a number of names"));
    println!("{:<12} {:>10} {:>10} {:>9} {:>9} {:>9}", "case", "least, ms", "median, ms", "decided", "moves", "probes");
    let asked = |case: &&Case| arguments.first().is_none_or(|name| case.name == name);
    CASES.iter().filter(asked).for_each(|case| measure(case, names));
}

fn measure(case: &Case, names: usize) {
    let (before, step) = (case.prepare)(names);
    let mut told = Told::default();
    let mut samples: Vec<Duration> = (0..SAMPLES)
        .map(|_| {
            let mut steering = before.clone();
            let began = ThreadTime::now();
            let effects = taken(&mut steering, &step);
            let took = began.elapsed();
            told = effects.iter().fold(Told::default(), Told::and);
            assert!((case.least)(&told, names), "{}: {} moves", case.name, told.moves);
            took
        })
        .collect();
    samples.sort_unstable();
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    let (least, median) = (millis(samples[0]), millis(samples[SAMPLES / 2]));
    let Told { decided, moves, probes } = told;
    println!("{:<12} {least:>10.2} {median:>10.2} {decided:>9} {moves:>9} {probes:>9}", case.name);
}

impl Told {
    fn and(mut self, effects: &Effects) -> Self {
        let moves = effects.transitions.iter().filter(|told| matches!(told.change, Change::Decision { .. }));
        self.moves += moves.count();
        self.decided += effects.decided.len();
        self.probes += effects.probes.len();
        self
    }
}

/// The step by itself, for tools that tell functions apart.
#[inline(never)]
fn taken(steering: &mut Steering, step: &Step) -> Vec<Effects> {
    match step {
        Step::Observe(seen) => vec![steering.observe(seen, seen.ended)],
        Step::Tick(at) => vec![steering.tick(*at)],
        Step::History(all) => all.iter().map(|seen| steering.observe(seen, seen.ended)).collect(),
    }
}

fn verdict(names: usize) -> (Steering, Step) {
    let (before, last) = falling(names, 2 * names, is_down);
    (before, Step::Observe(Box::new(last)))
}

fn fall_of_all(names: usize) -> (Steering, Step) {
    let (before, last) = falling(4 * names, 5 * names, has_lost_all);
    (before, Step::Observe(Box::new(last)))
}

fn one_by_one(names: usize) -> (Steering, Step) {
    (passing(2 * names), Step::History(falls(names)))
}

/// So many of all names have begun to fail, and the observation comes by which `reached` holds of the provider. Where the
/// clients of the others would go has passed since the failures began.
fn falling(names: usize, all: usize, reached: impl Fn(&ProviderState) -> bool) -> (Steering, Observation) {
    let (falls, passing) = (falls(names), passing(all));
    let mut ahead = passing.clone();
    let at = falls.iter().position(|seen| {
        play(&mut ahead, seen);
        ahead.provider(IDS[0]).is_some_and(|provider| reached(&provider))
    });
    let (before, last) = falls.split_at(at.expect("it falls"));
    let (mut steering, last) = (passing, last[0].clone());
    before.iter().for_each(|seen| play(&mut steering, seen));
    (names..all).for_each(|name| play(&mut steering, &pass(name, 1, last.ended.0)));
    (steering, last)
}

fn is_down(provider: &ProviderState) -> bool {
    provider.verdict == Verdict::Down
}

fn has_lost_all(provider: &ProviderState) -> bool {
    provider.fallen * 100 >= provider.counted * 80
}

/// The provider fell, half a minute ago when the moment comes that is returned, and nothing is known of so many.
fn fallen(names: usize) -> (Steering, Step) {
    let (mut steering, last) = falling(names, 2 * names, is_down);
    play(&mut steering, &last);
    for name in names..2 * names {
        play(&mut steering, &pass(name, 1, last.ended.0 + 100 + spread(name - names, names) / 10));
    }
    (steering, Step::Tick(Time(last.ended.0 + 30_000)))
}

/// All that fell themselves pass again; ten minutes after the last fall nothing is left of them.
fn returning(names: usize) -> (Steering, Step) {
    let (mut steering, leave) = fallen(names);
    taken(&mut steering, &leave);
    let Step::Tick(at) = leave else { return (steering, leave) };
    for name in 0..names {
        play(&mut steering, &pass(name, 0, at.0 + 60_000 + spread(name, names)));
    }
    (steering, Step::Tick(Time(at.0 + 600_000)))
}

fn passing(names: usize) -> Steering {
    let mut steering = Steering::new();
    // Candidates go by the ids of their providers, which all names share.
    let (ids, facts) = (IDS.map(Arc::from), Arc::default());
    let all: Vec<_> = (0..names).map(|name| Arc::new(rules(name, &ids))).collect();
    steering.install(&all, Time(PASSED - 1_000));
    for (name, rules) in all.iter().enumerate() {
        for candidate in 0..rules.candidates.len() {
            let passed = pass(name, candidate, PASSED + spread(name, names));
            play(&mut steering, &passed);
            steering.readied(&passed.candidate, HERE, &facts, passed.ended);
        }
    }
    steering
}

/// Three failures of each, a second apart, and its sibling passes after the first, in the order of time.
fn falls(names: usize) -> Vec<Observation> {
    let of_name = |name: usize| {
        let began = FELL + spread(name, names);
        let sibling = [pass(name, 1, began + 100)];
        (0..3).map(move |round| failure(name, began + round * 1_000)).chain(sibling)
    };
    let mut falls: Vec<Observation> = (0..names).flat_map(of_name).collect();
    falls.sort_by_key(|seen| seen.ended);
    falls
}

/// Its place in a round, in milliseconds.
fn spread(name: usize, names: usize) -> u64 {
    name as u64 * ROUND / names as u64
}

/// What is due is done before, as the controller does.
fn play(steering: &mut Steering, seen: &Observation) {
    while let Some(at) = steering.next_tick().filter(|&at| at <= seen.ended) {
        steering.tick(at);
    }
    steering.observe(seen, seen.ended);
}

fn rules(name: usize, ids: &[Arc<str>; 3]) -> SteeredName {
    let owner = format!("www{name}.shop.example.");
    let targets = ["a", "b", "c"].map(|target| format!("{target}{name}."));
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let targets = &targets[..2 + usize::from(name.is_multiple_of(3))];
    let mut rules = steered::steered(&owner, "shop.example.", Shape::Cname, Sticky::Yes, targets);
    for (candidate, id) in rules.candidates.iter_mut().zip(ids) {
        (candidate.id, candidate.provider) = (Arc::clone(id), Arc::clone(id));
        candidate.standby = **id != *IDS[0];
        candidate.weight = 1 + u32::from(**id == *IDS[1]);
    }
    rules
}

fn failure(name: usize, at: u64) -> Observation {
    let fault = Fault {
        stage: Stage::Status,
        status: Some(500),
        certificate: None,
        page: None,
        reason: "status 500".to_owned(),
    };
    seen(name, 0, Outcome::Fail(fault), at)
}

fn pass(name: usize, candidate: usize, at: u64) -> Observation {
    seen(name, candidate, Outcome::Pass { latency: Duration::ZERO }, at)
}

fn seen(name: usize, candidate: usize, outcome: Outcome, at: u64) -> Observation {
    Observation {
        candidate: CandidateKey { name: format!("www{name}.shop.example.").into(), candidate: IDS[candidate].into() },
        vantage: "here".into(),
        cause: Cause::Paced,
        address: Some(HERE),
        began: Time(at),
        ended: Time(at),
        holds: Duration::from_secs(30),
        outcome,
    }
}
