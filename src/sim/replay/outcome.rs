//! What one seed came to, name by name.

use std::sync::Arc;
use std::time::Duration;

use super::Replay;
use super::answers::{Answer, Answers, Flip, SETTLED, number};
use super::drive::drive;
use super::faults::Faults;
use super::visitors::{Scene, Visits};
use super::world::World;
use crate::steer::policy::SteeredName;
use crate::steer::time::Time;

/// The first minutes of a ramp.
const FIRST_MINUTES: Duration = Duration::from_secs(5 * 60);

/// One name with one seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Its visitors lose something if nothing is done.
    pub hit: bool,
    /// Seconds lost by a visitor: by the core, by doing nothing, by each of the other rules.
    pub lost: f64,
    pub nothing: f64,
    pub against: Vec<Compared>,
    /// Seconds in which nobody who loses nothing was there: the least that any rule loses.
    pub unavoidable: f64,
    /// Seconds from the fault to the first changed answer.
    pub detected: Option<f64>,
    pub flips: Vec<Flip>,
    /// Flips back to what still failed.
    pub early: usize,
    /// Seconds from the end of the fault to the answer of before, if it was left.
    pub back: Option<f64>,
    /// It was left and never came back.
    pub away: bool,
    /// The part of its clients that a ramp gives back in its first five minutes.
    pub first_minutes: Option<f64>,
    /// By candidate, then by minute: the part of the visitors.
    pub load: Vec<Vec<f64>>,
}

/// What another rule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compared {
    pub lost: f64,
    pub flips: usize,
}

/// Plays one seed.
pub fn play(replay: &Replay, seed: u64) -> Vec<Outcome> {
    let names = &replay.names;
    let world = World::new(&replay.incident, names, &replay.preferred, seed);
    let answers = drive(&world, names, seed);
    let outcome =
        |(number, answers)| One { replay, world: &world, name: &names[number], number, seed }.outcome(&answers);
    answers.into_iter().enumerate().map(outcome).collect()
}

/// One name of one seed.
struct One<'a> {
    replay: &'a Replay,
    world: &'a World,
    name: &'a Arc<SteeredName>,
    number: usize,
    seed: u64,
}

impl One<'_> {
    fn outcome(&self, answers: &Answers) -> Outcome {
        let settled = self.world.begin.after(SETTLED);
        let before = answers.at(settled).0.clone();
        let visits = self.visit(answers, &self.world.operators);
        let first_operator = &self.world.operators[..self.world.operators.len().min(1)];
        let still = Answers::new(Answer { at: self.world.begin, ..before.clone() });
        let nothing = self.visit(&still, first_operator).lost;
        let mut outcome = Outcome {
            hit: nothing > 0.0,
            lost: visits.lost,
            nothing,
            load: visits.load,
            unavoidable: self.unavoidable(),
            against: self.compare(settled),
            flips: answers.flips(settled, self.faults().len()),
            ..Outcome::default()
        };
        self.follow(&mut outcome, answers, &before);
        outcome
    }

    fn faults(&self) -> &[Faults] {
        &self.world.candidates[self.number]
    }

    fn visit(&self, answers: &Answers, operators: &[Faults]) -> Visits {
        let World { begin, end, .. } = *self.world;
        Scene { begin, end, answers, candidates: self.faults(), operators }.visit(self.seed, &self.name.name)
    }

    fn compare(&self, settled: Time) -> Vec<Compared> {
        let compare = |peer: &super::peers::Peer| {
            let answers = peer.answers(self.world, self.name, self.number, self.seed);
            let first_operator = &self.world.operators[..self.world.operators.len().min(1)];
            let lost = self.visit(&answers, first_operator).lost;
            Compared { lost, flips: answers.flips(settled, self.faults().len()).len() }
        };
        self.replay.against.iter().map(compare).collect()
    }

    /// The seconds that are lost wherever one is sent.
    fn unavoidable(&self) -> f64 {
        let (begin, end) = (self.world.begin, self.world.end);
        self.faults().iter().map(|faults| faults.lost(begin, end)).fold(f64::INFINITY, f64::min)
    }

    /// From the fault of those who answered to their return.
    fn follow(&self, outcome: &mut Outcome, answers: &Answers, before: &Answer) {
        let faults = self.faults();
        let fell: Vec<usize> =
            (0..faults.len()).filter(|&at| before.shares.points(number(at)) > 0 && !faults[at].is_empty()).collect();
        let troubles: Vec<(Time, Time)> = fell.iter().filter_map(|&at| faults[at].trouble()).collect();
        let Some(begins) = troubles.iter().map(|(from, _)| *from).min() else { return };
        let ends = troubles.iter().map(|(_, until)| *until).max().unwrap_or(begins);
        outcome.detected =
            outcome.flips.iter().find(|flip| flip.from >= begins).map(|flip| flip.from.since(begins).as_secs_f64());
        outcome.early = outcome
            .flips
            .iter()
            .filter(|flip| flip.from > begins && flip.from < ends && flip.gained(&fell) > 0.0)
            .count();
        let left = outcome.flips.iter().any(|flip| flip.from >= begins && flip.gained(&fell) < 0.0);
        if !left {
            return;
        }
        let returned = outcome.flips.last().filter(|flip| flip.gained(&fell) > 0.0);
        let whole = answers.last().shares == before.shares;
        outcome.away = !whole;
        let Some(returned) = returned else { return };
        outcome.back = whole.then(|| returned.until.since(ends).as_secs_f64());
        let part = |at: Time| {
            let shares = &answers.at(at).0.shares;
            fell.iter().map(|&at| shares.share(number(at))).sum::<f64>()
        };
        let all: f64 = fell.iter().map(|&at| before.shares.share(number(at))).sum();
        let soon = returned.from.after(FIRST_MINUTES);
        outcome.first_minutes = Some(part(Time(soon.0 - 1)) / all);
    }
}
