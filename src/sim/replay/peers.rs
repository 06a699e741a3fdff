//! The rules of others, as small models: what they would have answered in the same world, with their defaults.
//!
//! | rule | asks every | limit | down after | up after | source |
//! | --- | --- | --- | --- | --- | --- |
//! | gdnsd | 10 s | 5 s | 10 failures, forgotten after 10 passes in a row | 20 passes in a row | `src/plugins/mon.c` of gdnsd 3.8: `DEF_INTERVAL`, `DEF_DOWN_THRESH`, `DEF_OK_THRESH`, `DEF_UP_THRESH`, `gdnsd_mon_state_updater`; gdnsd.config(5), `service_types` |
//! | route53 | 30 s | 4 s | 3 failures in a row | 3 passes in a row | Route 53 API, `HealthCheckConfig`: `RequestInterval` 30, `FailureThreshold` 3; Developer Guide, `dns-failover-determining-health-of-endpoints` |
//! | powerdns | 5 s | 2 s | 1 failure | 1 pass | PowerDNS Authoritative, Lua records, `ifurlup`: `interval` 5, `timeout` 2, `minimumFailures` 1 |
//!
//! Each candidate has its checker; the first level with anyone up answers, by weight, and all where nobody is. The TTL is
//! the name's; gdnsd shortens it to the soonest time at which a state could change. One checker stands for Route 53's many,
//! which agree where a fault is seen from everywhere.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::answers::{Answer, Answers};
use super::draw::Draw;
use super::world::World;
use crate::steer::observation::Stage;
use crate::steer::policy::{Candidate, SteeredName};
use crate::steer::shares::Shares;
use crate::steer::time::Time;

/// An answered check takes so long.
const ANSWERED: Duration = Duration::from_millis(100);
/// gdnsd publishes changes at most once a second.
const GDNSD_PUBLISHES: Duration = Duration::from_secs(1);

/// Whose rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Gdnsd,
    Route53,
    PowerDns,
}

impl Peer {
    pub const ALL: [Self; 3] = [Self::Gdnsd, Self::Route53, Self::PowerDns];

    /// As the command line and documents write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gdnsd => "gdnsd",
            Self::Route53 => "route53",
            Self::PowerDns => "powerdns",
        }
    }

    fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Gdnsd => 10,
            Self::Route53 => 30,
            Self::PowerDns => 5,
        })
    }

    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Gdnsd => 5,
            Self::Route53 => 4,
            Self::PowerDns => 2,
        })
    }

    /// What a name would have answered from the beginning to the end.
    pub fn answers(self, world: &World, name: &SteeredName, number: usize, seed: u64) -> Answers {
        let mut draw = Draw::new(seed, &format!("{self} {}", name.name));
        let mut states = vec![State::new(self); name.candidates.len()];
        let mut due: BinaryHeap<Reverse<(Time, usize)>> = (0..states.len())
            .map(|at| Reverse((world.begin.after(self.interval().mul_f64(draw.unit())), at)))
            .collect();
        let mut answers = Answers::new(self.answer(name, &states, world.begin, None));
        while let Some(Reverse((began, at))) = due.pop().filter(|Reverse((began, _))| *began < world.end) {
            let met = world.vantage.meets(began, None, &mut draw);
            let met = met.or_else(|| world.candidates[number][at].meets(began, None, &mut draw));
            let lasts = if met.is_some_and(|fault| fault.stage == Stage::Timeout) { self.limit() } else { ANSWERED };
            let was = states[at];
            states[at].sees(met.is_none());
            if states[at] != was {
                let published = if self == Self::Gdnsd { GDNSD_PUBLISHES } else { Duration::ZERO };
                let from = began.after(lasts + published).max(answers.last().at);
                answers.push(self.answer(name, &states, from, Some(&answers.last().shares)));
            }
            due.push(Reverse((began.after(self.interval()), at)));
        }
        answers
    }

    fn answer(self, name: &SteeredName, states: &[State], at: Time, before: Option<&Shares>) -> Answer {
        let up: Vec<bool> = states.iter().map(|state| state.up).collect();
        let shares = first_level(name, &up).or_else(|| first_level(name, &vec![true; up.len()]));
        let shares = shares.and_then(|weights| Shares::build(&weights, before)).unwrap_or_else(|| Shares::whole(0));
        let soonest = states.iter().filter_map(State::changes_in).min().unwrap_or(u32::MAX);
        Answer { at, shares, ttl: name.policy.ttl.min(soonest) }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|peer| peer.word() == text);
        known.ok_or_else(|| format!("`{text}` is not a rule: expected `gdnsd`, `route53` or `powerdns`"))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Weights of the first level with anyone who may answer.
fn first_level(name: &SteeredName, may: &[bool]) -> Option<Vec<u64>> {
    let level = |at: usize| level(name, &name.candidates[at]);
    let best = (0..may.len()).filter(|&at| may[at]).filter_map(level).min()?;
    let serves = |at: usize| may[at] && level(at) == Some(best);
    let weighed = (0..may.len()).any(|at| serves(at) && name.candidates[at].weight > 0);
    let weight = |at: usize| match (serves(at), weighed) {
        (false, _) => 0,
        (true, true) => u64::from(name.candidates[at].weight),
        (true, false) => 1,
    };
    Some((0..may.len()).map(weight).collect())
}

/// Standbys last; none where `only` forbids it.
pub(super) fn level(name: &SteeredName, one: &Candidate) -> Option<(bool, usize)> {
    let policy = &name.policy;
    let allowed = policy.only.as_ref().is_none_or(|only| only.iter().any(|entry| entry.matches(one)));
    let level = policy.prefer.iter().position(|entry| entry.matches(one)).unwrap_or(policy.prefer.len());
    allowed.then_some((one.standby, level))
}

/// What a rule remembers of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    peer: Peer,
    up: bool,
    passed: u32,
    failed: u32,
}

impl State {
    fn new(peer: Peer) -> Self {
        Self { peer, up: true, passed: 0, failed: 0 }
    }

    fn sees(&mut self, passes: bool) {
        match self.peer {
            Peer::Gdnsd => self.counts(passes),
            Peer::Route53 => self.in_a_row(passes, 3),
            Peer::PowerDns => self.in_a_row(passes, 1),
        }
    }

    /// So many in a row against what is believed change it.
    fn in_a_row(&mut self, passes: bool, needed: u32) {
        self.failed = if passes == self.up { 0 } else { self.failed + 1 };
        if self.failed == needed {
            (self.up, self.failed) = (passes, 0);
        }
    }

    /// Failures add up until so many passes in a row forget them.
    fn counts(&mut self, passes: bool) {
        match (self.up, passes) {
            (true, false) => {
                (self.failed, self.passed) = (self.failed + 1, 0);
                if self.failed == 10 {
                    (self.up, self.failed) = (false, 0);
                }
            }
            (true, true) if self.failed > 0 => {
                self.passed += 1;
                if self.passed == 10 {
                    (self.failed, self.passed) = (0, 0);
                }
            }
            (true, true) => {}
            (false, true) => {
                self.passed += 1;
                if self.passed == 20 {
                    (self.up, self.passed) = (true, 0);
                }
            }
            (false, false) => self.passed = 0,
        }
    }

    /// gdnsd's TTL: seconds to the soonest change.
    fn changes_in(&self) -> Option<u32> {
        let left = if self.up { 10 - self.failed } else { 20 - self.passed };
        (self.peer == Peer::Gdnsd).then_some(left * 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen (`.` a pass, `x` a failure) and what is believed after each.
    #[test]
    fn rules_believe_what_their_tables_say() {
        let table = [
            (Peer::PowerDns, ".x.xx.", "UdUddU"),
            (Peer::Route53, "xx.xxx..x...", "UUUUUddddddU"),
            (Peer::Gdnsd, "xxxxxxxxxx", "UUUUUUUUUd"),
            (Peer::Gdnsd, "xxxxx.........xxxxx", "UUUUUUUUUUUUUUUUUUd"),
            (Peer::Gdnsd, "xxxxx..........xxxxx", "UUUUUUUUUUUUUUUUUUUU"),
            (
                Peer::Gdnsd,
                "xxxxxxxxxx...................x....................",
                "UUUUUUUUUddddddddddddddddddddddddddddddddddddddddU",
            ),
        ];
        for (peer, seen, believed) in table {
            let mut state = State::new(peer);
            let told: String = seen
                .chars()
                .map(|c| {
                    state.sees(c == '.');
                    if state.up { 'U' } else { 'd' }
                })
                .collect();
            assert_eq!(told, believed, "{peer}: {seen}");
        }
    }

    #[test]
    fn gdnsd_shortens_its_ttl_before_a_change() {
        let mut state = State::new(Peer::Gdnsd);
        assert_eq!(state.changes_in(), Some(100));
        (0..9).for_each(|_| state.sees(false));
        assert_eq!(state.changes_in(), Some(10));
        state.sees(false);
        assert_eq!(state.changes_in(), Some(200));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for peer in Peer::ALL {
            assert_eq!(peer.word().parse(), Ok(peer));
        }
        assert!("bind".parse::<Peer>().is_err());
    }
}
