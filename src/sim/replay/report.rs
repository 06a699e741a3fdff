//! What a replay came to over all seeds: means, the worst, and one seed to look at.
//!
//! Figures of visitors are about names that were hit: those whose visitors would have lost something by doing nothing.
//! Where none was hit in any seed (the vantage was cut off, noise), they are about all.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Replay;
use super::incident::Incident;
use super::outcome::Outcome;
use super::peers::Peer;
use super::world::World;
use crate::steer::home::Home;
use crate::steer::time::Time;

/// The most faults that are shown one by one.
const MAX_SHOWN: usize = 2_000;

/// The whole report.
#[derive(Clone, Debug)]
pub struct Report {
    pub incident: Incident,
    pub seeds: u32,
    /// Over all names.
    pub total: Figures,
    pub names: Vec<NameReport>,
    pub untouched: Vec<Arc<str>>,
    pub against: Vec<Peer>,
    /// By home: seconds of visitors' time, a name and a seed on average.
    pub homes: BTreeMap<Home, f64>,
    /// By provider, then by minute: the part of all visitors, over all seeds and names.
    pub load: BTreeMap<Arc<str>, Vec<f64>>,
    /// The first seed.
    pub shown: Shown,
}

/// One name.
#[derive(Clone, Debug)]
pub struct NameReport {
    pub name: Arc<str>,
    pub figures: Figures,
    pub homes: BTreeMap<Home, f64>,
}

/// Means and the worst over seeds, and names where there are many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// How many there are, and how many of them were hit.
    pub of: usize,
    pub hit: usize,
    /// Seconds lost by a visitor.
    pub errors: Spread,
    pub nothing: Spread,
    pub unavoidable: Spread,
    /// By rule: seconds lost, flips.
    pub against: Vec<(Spread, Spread)>,
    pub flips: Spread,
    /// Flips of names that were not hit.
    pub stray: Spread,
    pub early: Spread,
    pub detected: Spread,
    pub back: Spread,
    /// How many were left and did not come back.
    pub away: usize,
    /// 0 to 1.
    pub first_minutes: Spread,
}

/// Some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub count: usize,
    pub mean: f64,
    pub worst: f64,
}

/// One seed to look at.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// By provider, then by minute: the part of all visitors.
    pub load: BTreeMap<Arc<str>, Vec<f64>>,
    pub flips: Vec<ShownFlip>,
    /// In order of their beginning.
    pub faults: Vec<ShownFault>,
}

/// Something that failed for a time.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownFault {
    /// Seconds since the beginning.
    pub from: f64,
    pub until: f64,
    /// The largest part of requests, 0 to 1.
    pub fails: f64,
    /// `cloudflare: status 500`.
    pub what: String,
}

/// A flip in words.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownFlip {
    /// Seconds since the beginning.
    pub from: f64,
    pub until: f64,
    pub name: Arc<str>,
    pub before: String,
    pub after: String,
}

impl Report {
    /// `played`: by seed, then by name.
    pub(super) fn new(replay: &Replay, played: &[Vec<Outcome>]) -> Self {
        let names = replay.names.iter().enumerate().map(|(number, name)| {
            let of_name: Vec<&Outcome> = played.iter().map(|outcomes| &outcomes[number]).collect();
            NameReport {
                name: Arc::clone(&name.name),
                figures: Figures::new(&of_name),
                homes: homes(replay, of_name.iter().map(|outcome| (number, *outcome))),
            }
        });
        let all: Vec<&Outcome> = played.iter().flatten().collect();
        let numbered = || played.iter().flat_map(|outcomes| outcomes.iter().enumerate());
        Self {
            incident: replay.incident.clone(),
            seeds: replay.seeds,
            total: Figures::new(&all),
            names: names.collect(),
            untouched: replay.untouched.clone(),
            against: replay.against.clone(),
            homes: homes(replay, numbered()),
            load: load(replay, numbered()),
            shown: played.first().map(|first| Shown::new(replay, first)).unwrap_or_default(),
        }
    }

    /// How long visitors were in trouble: from the first fault to the end of the last, in seconds.
    pub fn trouble_seconds(&self) -> f64 {
        let (from, until) = self.incident.trouble();
        until.since(from).as_secs_f64()
    }
}

impl Figures {
    fn new(outcomes: &[&Outcome]) -> Self {
        let hit: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.hit).copied().collect();
        let about = if hit.is_empty() { outcomes } else { &hit };
        let spread = |value: fn(&Outcome) -> f64| Spread::of(about.iter().map(|outcome| value(outcome)));
        let rules = about.first().map_or(0, |outcome| outcome.against.len());
        let against = (0..rules).map(|rule| {
            let lost = about.iter().map(|outcome| outcome.against[rule].lost);
            let flips = about.iter().map(|outcome| outcome.against[rule].flips as f64);
            (Spread::of(lost), Spread::of(flips))
        });
        let missed = outcomes.iter().filter(|outcome| !outcome.hit);
        Self {
            of: outcomes.len(),
            hit: hit.len(),
            errors: spread(|outcome| outcome.lost),
            nothing: spread(|outcome| outcome.nothing),
            unavoidable: spread(|outcome| outcome.unavoidable),
            against: against.collect(),
            flips: spread(|outcome| outcome.flips.len() as f64),
            stray: Spread::of(missed.map(|outcome| outcome.flips.len() as f64)),
            early: spread(|outcome| outcome.early as f64),
            detected: Spread::of(about.iter().filter_map(|outcome| outcome.detected)),
            back: Spread::of(about.iter().filter_map(|outcome| outcome.back)),
            away: about.iter().filter(|outcome| outcome.away).count(),
            first_minutes: Spread::of(about.iter().filter_map(|outcome| outcome.first_minutes)),
        }
    }
}

impl Spread {
    /// All zero where there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut count, mut sum, mut worst) = (0, 0.0, 0.0_f64);
        for value in values {
            (count, sum, worst) = (count + 1, sum + value, worst.max(value));
        }
        Self { count, mean: if count == 0 { 0.0 } else { sum / count as f64 }, worst }
    }
}

impl Shown {
    fn new(replay: &Replay, outcomes: &[Outcome]) -> Self {
        let mut flips: Vec<ShownFlip> = Vec::new();
        for (name, outcome) in replay.names.iter().zip(outcomes) {
            let words = |parts: &[f64]| {
                let serving = name.candidates.iter().zip(parts).filter(|(_, part)| **part > 0.0);
                serving.map(|(one, part)| format!("{} {:.0}%", one.id, part * 100.0)).collect::<Vec<_>>().join(", ")
            };
            let since = |at: Time| at.since(replay.incident.begin).as_secs_f64();
            flips.extend(outcome.flips.iter().map(|flip| ShownFlip {
                from: since(flip.from),
                until: since(flip.until),
                name: Arc::clone(&name.name),
                before: words(&flip.before),
                after: words(&flip.after),
            }));
        }
        flips.sort_by(|a, b| a.from.total_cmp(&b.from).then_with(|| a.name.cmp(&b.name)));
        Self { load: load(replay, outcomes.iter().enumerate()), flips, faults: shown_faults(replay) }
    }
}

/// What failed in the first seed, each thing once.
fn shown_faults(replay: &Replay) -> Vec<ShownFault> {
    let world = World::new(&replay.incident, &replay.names, &replay.preferred, 0);
    let of_candidates = replay.names.iter().zip(&world.candidates).flat_map(|(name, candidates)| {
        name.candidates.iter().zip(candidates).map(|(one, faults)| (one.provider.to_string(), faults))
    });
    let operators = replay.incident.operators.iter().zip(&world.operators);
    let operators = operators.map(|(operator, faults)| (format!("name servers of {operator}"), faults));
    let mut shown: Vec<ShownFault> = Vec::new();
    let mut known = HashSet::new();
    for (who, faults) in of_candidates.chain(operators).chain([("the vantage".to_owned(), &world.vantage)]) {
        for (from, until, fails, why) in faults.spans() {
            let what = format!("{who}: {why}");
            if shown.len() < MAX_SHOWN && known.insert((from, until, what.clone())) {
                let since = |at: Time| at.since(replay.incident.begin).as_secs_f64();
                shown.push(ShownFault { from: since(from), until: since(until), fails, what });
            }
        }
    }
    shown.sort_by(|a, b| a.from.total_cmp(&b.from).then_with(|| a.what.cmp(&b.what)));
    shown
}

/// The part of all visitors by provider and minute.
fn load<'a>(replay: &Replay, outcomes: impl Iterator<Item = (usize, &'a Outcome)>) -> BTreeMap<Arc<str>, Vec<f64>> {
    let mut load: BTreeMap<Arc<str>, Vec<f64>> = BTreeMap::new();
    let mut count = 0_usize;
    for (number, outcome) in outcomes {
        count += 1;
        for (one, minutes) in replay.names[number].candidates.iter().zip(&outcome.load) {
            let sum = load.entry(Arc::clone(&one.provider)).or_insert_with(|| vec![0.0; minutes.len()]);
            sum.iter_mut().zip(minutes).for_each(|(sum, part)| *sum += part);
        }
    }
    load.values_mut().flatten().for_each(|sum| *sum /= count.max(1) as f64);
    load
}

/// Seconds of visitors' time by home.
fn homes<'a>(replay: &Replay, outcomes: impl Iterator<Item = (usize, &'a Outcome)>) -> BTreeMap<Home, f64> {
    let mut homes: BTreeMap<Home, f64> = BTreeMap::new();
    let mut count = 0_usize;
    for (number, outcome) in outcomes {
        count += 1;
        for (one, minutes) in replay.names[number].candidates.iter().zip(&outcome.load) {
            *homes.entry(one.home).or_default() += minutes.iter().sum::<f64>() * 60.0;
        }
    }
    homes.values_mut().for_each(|seconds| *seconds /= count.max(1) as f64);
    homes
}
