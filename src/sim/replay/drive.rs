//! Drives the core through a world in simulated time: the prober's own schedule, and probes that take as long as what they
//! meet. Nobody sleeps, and equal seeds give equal answers.
//!
//! ```text
//! Schedule -- due --> a probe meets the world --> in flight --> Steering::observe --> Effects
//!    ^                                                ^                                 |
//!    |   re-probes, siblings                          |   inquiries                     |   decided: an answer from now on
//!    '------------------------------------------------'---------------------------------'
//! ```

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;

use super::answers::{Answer, Answers};
use super::draw::Draw;
use super::faults::Fault as WorldFault;
use super::world::World;
use crate::health::check::Plan;
use crate::health::rotation::Memory;
use crate::health::schedule::{Due, Schedule, Slot, Task};
use crate::steer::areas::PLAIN;
use crate::steer::decision::{Decision, Source};
use crate::steer::effects::Effects;
use crate::steer::inquiry::{Finding, Inquiry};
use crate::steer::observation::{CandidateKey, Cause, Family, Fault, Observation, Outcome, Stage};
use crate::steer::policy::{ProbeRule, SteeredName};
use crate::steer::shares::Shares;
use crate::steer::steering::Steering;
use crate::steer::time::Time;

/// An observation holds for three rounds and one time limit, as the prober's do.
const HOLDS_ROUNDS: u32 = 3;
/// An answer takes between so long ...
const QUICKEST: Duration = Duration::from_millis(50);
/// ... and so much longer: a fresh connection with TLS over one to three round trips of a continent.
const SPREAD: Duration = Duration::from_millis(100);
/// An inquiry without an answer takes so long, as the prober's do.
const INQUIRY_LIMIT: Duration = Duration::from_secs(3);

/// What each name answers from the beginning to the end, in the order of the names.
pub fn drive(world: &World, names: &[Arc<SteeredName>], seed: u64) -> Vec<Answers> {
    let mut drive = Drive::new(world, names, seed);
    drive.run();
    // Installing a name decides it, so each has an answer.
    drive.answers.into_iter().map(|answers| answers.unwrap_or_else(|| Answers::new(nobody(world.begin)))).collect()
}

struct Drive<'a> {
    world: &'a World,
    names: &'a [Arc<SteeredName>],
    places: HashMap<CandidateKey, (usize, usize), FixedState>,
    numbers: HashMap<Arc<str>, usize, FixedState>,
    steering: Steering,
    schedule: Schedule,
    /// What ends when; those of one moment in the order in which they began.
    flying: BTreeMap<(Time, u64), Flight>,
    begun: u64,
    chance: Draw,
    vantage: Arc<str>,
    answers: Vec<Option<Answers>>,
    now: Time,
}

/// What is under way.
enum Flight {
    Seen { candidates: Arc<[CandidateKey]>, observation: Observation },
    Found(Finding),
    Over { slot: Slot, task: Task },
}

impl<'a> Drive<'a> {
    fn new(world: &'a World, names: &'a [Arc<SteeredName>], seed: u64) -> Self {
        let mut places = HashMap::default();
        for (at, name) in names.iter().enumerate() {
            for (number, one) in name.candidates.iter().enumerate() {
                places.insert(key(name, &one.id), (at, number));
            }
        }
        Self {
            world,
            names,
            places,
            numbers: names.iter().enumerate().map(|(at, name)| (Arc::clone(&name.name), at)).collect(),
            steering: Steering::new(),
            schedule: Schedule::new(seed),
            flying: BTreeMap::new(),
            begun: 0,
            chance: Draw::new(seed, "probes"),
            vantage: "replay".into(),
            answers: vec![None; names.len()],
            now: world.begin,
        }
    }

    fn run(&mut self) {
        let effects = self.steering.install(self.names, self.now);
        self.carry_out(effects);
        let plans = self.names.iter().flat_map(|name| {
            name.candidates.iter().map(|one| Plan {
                candidate: key(name, &one.id),
                target: one.target.clone(),
                probe: one.probe.clone(),
            })
        });
        self.schedule.plan(plans.collect(), self.now);
        while let Some(next) = self.next().filter(|&next| next < self.world.end) {
            self.now = self.now.max(next);
            if self.steering.next_tick().is_some_and(|tick| tick <= self.now) {
                let effects = self.steering.tick(self.now);
                self.carry_out(effects);
            }
            while let Some(first) = self.flying.first_entry().filter(|first| first.key().0 <= self.now) {
                let flight = first.remove();
                self.land(flight);
            }
            while let Some(due) = self.schedule.take(self.now) {
                self.begin(&due);
            }
        }
    }

    fn next(&mut self) -> Option<Time> {
        // A tick does all that is due; one that is left for an observation to settle does not stop time.
        let tick = self.steering.next_tick().map(|tick| tick.max(Time(self.now.0 + 1)));
        let landing = self.flying.first_key_value().map(|((at, _), _)| *at);
        tick.into_iter().chain(landing).chain(self.schedule.next_due()).min()
    }

    /// A round begins: one probe to each family.
    fn begin(&mut self, due: &Due) {
        let place = due.candidates.first().and_then(|first| self.places.get(first)).copied();
        let mut over = self.now;
        if let (Some(cause), Some(place)) = (due.task.cause(), place) {
            for &family in &self.world.families {
                let (lasts, outcome) = self.probe(place, &due.check.probe, family);
                let observation = self.observation(due, cause, family, lasts, outcome);
                over = over.max(observation.ended);
                self.fly(observation.ended, Flight::Seen { candidates: Arc::clone(&due.candidates), observation });
            }
        }
        self.fly(over, Flight::Over { slot: due.slot, task: due.task });
    }

    fn probe(&mut self, (name, one): (usize, usize), rule: &ProbeRule, family: Family) -> (Duration, Outcome) {
        let world = self.world;
        let answered = QUICKEST + SPREAD.mul_f64(self.chance.unit());
        let chance = &mut self.chance;
        let met = world
            .vantage
            .meets(self.now, Some(family), chance)
            .or_else(|| world.candidates[name][one].meets(self.now, Some(family), chance));
        match met {
            None => (answered, Outcome::Pass { latency: answered }),
            Some(fault) => (lasts(fault, rule, answered), Outcome::Fail(told(fault))),
        }
    }

    fn observation(&self, due: &Due, cause: Cause, family: Family, lasts: Duration, outcome: Outcome) -> Observation {
        let resolves = !matches!(&outcome, Outcome::Fail(fault) if fault.stage == Stage::Resolve);
        Observation {
            candidate: due.candidates[0].clone(),
            vantage: Arc::clone(&self.vantage),
            cause,
            address: resolves.then(|| address(family)),
            began: self.now,
            ended: self.now.after(lasts),
            holds: due.check.probe.every * HOLDS_ROUNDS + due.check.probe.timeout,
            outcome,
        }
    }

    fn fly(&mut self, ends: Time, flight: Flight) {
        self.begun += 1;
        self.flying.insert((ends, self.begun), flight);
    }

    fn land(&mut self, flight: Flight) {
        match flight {
            Flight::Seen { candidates, mut observation } => {
                for candidate in &*candidates {
                    observation.candidate.clone_from(candidate);
                    let effects = self.steering.observe(&observation, self.now);
                    self.carry_out(effects);
                }
            }
            Flight::Found(finding) => {
                let effects = self.steering.found(&finding, self.now);
                self.carry_out(effects);
            }
            Flight::Over { slot, task } => self.schedule.ended(slot, task, Memory::default(), self.now),
        }
    }

    fn carry_out(&mut self, effects: Effects) {
        for name in effects.decided {
            self.decided(&name);
        }
        for wanted in effects.probes {
            self.schedule.order(&wanted.candidate, wanted.cause, wanted.at, self.now);
        }
        for inquiry in effects.inquiries {
            self.inquire(inquiry);
        }
    }

    fn decided(&mut self, name: &Arc<str>) {
        let (Some(decision), Some(&at)) = (self.steering.decision(name, PLAIN), self.numbers.get(name)) else { return };
        let shares = shares(decision, self.answers[at].as_ref());
        let answer = Answer { at: self.now, shares, ttl: decision.ttl };
        match &mut self.answers[at] {
            Some(answers) => answers.push(answer),
            none => *none = Some(Answers::new(answer)),
        }
    }

    fn inquire(&mut self, inquiry: Inquiry) {
        let (world, now) = (self.world, self.now);
        let answered = QUICKEST + SPREAD.mul_f64(self.chance.unit());
        let chance = &mut self.chance;
        let met = match &inquiry {
            Inquiry::Anchors(family) => world.vantage.meets(now, Some(*family), chance),
            Inquiry::Origin(name) => world
                .vantage
                .meets(now, None, chance)
                .or_else(|| self.numbers.get(name).and_then(|&at| world.origins[at].meets(now, None, chance))),
        };
        let (lasts, outcome) = match met {
            None => (answered, Outcome::Pass { latency: answered }),
            Some(fault) if fault.stage == Stage::Timeout => (INQUIRY_LIMIT, Outcome::Fail(told(fault))),
            Some(fault) => (answered, Outcome::Fail(told(fault))),
        };
        let ended = now.after(lasts);
        self.fly(ended, Flight::Found(Finding { inquiry, began: now, ended, outcome }));
    }
}

fn key(name: &SteeredName, candidate: &Arc<str>) -> CandidateKey {
    CandidateKey { name: Arc::clone(&name.name), candidate: Arc::clone(candidate) }
}

/// How long a probe takes that meets a fault.
fn lasts(fault: &WorldFault, rule: &ProbeRule, answered: Duration) -> Duration {
    match fault.stage {
        Stage::Timeout => rule.timeout,
        Stage::Slow => rule.slow.unwrap_or(rule.timeout).max(answered),
        _ => answered,
    }
}

fn told(fault: &WorldFault) -> Fault {
    Fault { stage: fault.stage, status: fault.status, certificate: None, page: None, reason: fault.reason.to_string() }
}

/// Addresses for documentation (RFC 5737, RFC 3849): one of each family stands for all.
fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// Who answers. The owner's own records equal one of the candidates, and which one no policy says: they count as the last
/// answer.
fn shares(decision: &Decision, before: Option<&Answers>) -> Shares {
    match (&decision.source, before) {
        (Source::Candidates(shares), _) => shares.clone(),
        (Source::Static, Some(before)) => before.last().shares.clone(),
        (Source::Static, None) => Shares::whole(0),
    }
}

fn nobody(at: Time) -> Answer {
    Answer { at, shares: Shares::whole(0), ttl: 30 }
}
