//! What is known of one target from the looks so far, and when the next is due: pure, the time is an argument.
//!
//! | a look says | it counts when |
//! | --- | --- |
//! | all servers asked are wrong | servers of that zone have answered well since the start |
//! | ... and nobody said anything at all | ... and, where other zones are known, one of them answered within 2 min, or twice the time between two looks |
//! | a family has no addresses, another has | it had some within the last hour |
//! | nothing (whom to ask is not known), or what does not count | never: for 60 s it is as it was known |
//!
//! A family that has been gone for an hour was taken away on purpose. A restart forgets all of it: for its first look a
//! target is as its servers say.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::look::{Fails, Looked, Resolves, Turn, family};
use crate::steer::time::Time;

/// Between two looks at a target that is in doubt.
const DOUBT_PACE: Duration = Duration::from_secs(1);
/// A family that had addresses no longer ago than this has vanished.
const VANISHED_FOR: Duration = Duration::from_secs(3600);
/// Silence of all servers of a zone counts while another zone's answered no longer ago than this.
const OTHERS_ANSWERED: Duration = Duration::from_secs(120);

/// What was known stays for so long though looks say nothing.
const HOLDS: Duration = Duration::from_secs(60);

/// What rounds are told of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why nobody can resolve it, if so.
    pub fails: Option<String>,
    /// Families that it had addresses of, and no longer has.
    pub vanished: Vec<Vanished>,
    /// What servers said that were of no use, while others answer.
    pub warning: Option<String>,
    /// Whether the last look says anything.
    pub is_known: bool,
}

/// A family that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// One that it had.
    pub address: IpAddr,
    pub reason: String,
}

impl Verdict {
    pub fn is_bad(&self) -> bool {
        self.fails.is_some() || !self.vanished.is_empty()
    }
}

/// What a round is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Look,
    LookAndWait,
    /// One is under way.
    Wait,
}

/// What is known of each zone.
pub type Zones = HashMap<String, Zone>;

/// A zone whose servers have answered well.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    /// When they did last.
    pub answered: Time,
    /// When they were asked last.
    pub asked: Time,
}

/// One target.
#[derive(Debug, Default)]
pub struct Known {
    began: Option<Time>,
    is_under_way: bool,
    looks: usize,
    /// An address of each family, and when it was seen last.
    had: [Option<(IpAddr, Time)>; 2],
    verdict: Verdict,
    /// When a look said something last.
    said: Option<Time>,
}

impl Known {
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    pub fn is_older_than(&self, span: Duration, now: Time) -> bool {
        !self.is_under_way && self.began.is_none_or(|began| now.since(began) >= span)
    }

    /// What a round needs, whose target may just have failed to resolve.
    pub fn need(&self, fails_to_resolve: bool, every: Duration, now: Time) -> Need {
        let is_bad = self.verdict.is_bad();
        if self.is_under_way {
            return if is_bad { Need::Wait } else { Need::Nothing };
        }
        let pace = if is_bad || fails_to_resolve { DOUBT_PACE.min(every) } else { every };
        match (self.is_older_than(pace, now), is_bad) {
            (false, _) => Need::Nothing,
            (true, false) => Need::Look,
            (true, true) => Need::LookAndWait,
        }
    }

    pub fn begins(&mut self, now: Time) {
        self.began = Some(now);
        self.is_under_way = true;
    }

    pub fn ends(&mut self) {
        self.is_under_way = false;
    }

    /// How the next look goes about it.
    pub fn next_turn(&mut self, now: Time) -> Turn {
        self.looks = self.looks.wrapping_add(1);
        let had = self.had.map(|had| is_recent(had, now).is_some());
        Turn { server: self.looks, had, asks_all: self.verdict.is_bad() }
    }

    /// A look has ended, of those that are made `every` so often.
    pub fn take(&mut self, looked: Looked, zones: &mut Zones, every: Duration, now: Time) {
        let said = match looked {
            Looked::Unknown(_) => None,
            Looked::Fails(fails) => fails_that_count(fails, zones, every, now),
            Looked::Resolves(resolves) => Some(self.resolves(resolves, zones, now)),
        };
        match said {
            Some(verdict) => (self.verdict, self.said) = (verdict, Some(now)),
            None if self.said.is_some_and(|said| now.since(said) < HOLDS) => self.verdict.is_known = false,
            None => self.verdict = Verdict::default(),
        }
    }

    fn resolves(&mut self, resolves: Resolves, zones: &mut Zones, now: Time) -> Verdict {
        zones.extend(resolves.zones.into_iter().map(|zone| (zone, Zone { answered: now, asked: now })));
        let mut vanished = Vec::new();
        for (at, found) in resolves.families.into_iter().enumerate() {
            let Some(had) = self.had.get_mut(at) else { continue };
            match found {
                Ok(address) => *had = Some((address, now)),
                Err(words) => {
                    if let Some(address) = is_recent(*had, now) {
                        let reason = format!("its {} addresses are gone: {words}", family(at));
                        vanished.push(Vanished { address, reason });
                    }
                }
            }
        }
        Verdict { fails: None, vanished, warning: resolves.warning, is_known: true }
    }
}

fn is_recent(had: Option<(IpAddr, Time)>, now: Time) -> Option<IpAddr> {
    had.filter(|(_, seen)| now.since(*seen) < VANISHED_FOR).map(|(address, _)| address)
}

fn fails_that_count(fails: Fails, zones: &mut Zones, every: Duration, now: Time) -> Option<Verdict> {
    zones.get_mut(&fails.zone)?.asked = now;
    let counts = !fails.is_silence || others_answer(zones, &fails.zone, every, now);
    counts.then(|| Verdict { fails: Some(fails.reason), is_known: true, ..Verdict::default() })
}

/// Whether it is likely that authoritative servers can be heard from here at all.
fn others_answer(zones: &Zones, silent: &str, every: Duration, now: Time) -> bool {
    let lately = OTHERS_ANSWERED.max(every * 2);
    let mut others = zones.iter().filter(|(zone, _)| *zone != silent).peekable();
    others.peek().is_none() || others.any(|(_, other)| now.since(other.answered) < lately)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn resolves(v4: Option<&str>, v6: Option<&str>) -> Looked {
        let family = |address: Option<&str>| {
            address.map(|text| text.parse().expect("an address")).ok_or("they say nothing of it".to_owned())
        };
        Looked::Resolves(Resolves {
            zone: "cdn.example".to_owned(),
            zones: vec!["cdn.example".to_owned()],
            families: [family(v4), family(v6)],
            warning: None,
        })
    }

    fn fails(is_silence: bool) -> Looked {
        Looked::Fails(Fails { zone: "cdn.example".to_owned(), reason: "SERVFAIL".to_owned(), is_silence })
    }

    fn both() -> Looked {
        resolves(Some("192.0.2.1"), Some("2001:db8::1"))
    }

    #[test]
    fn what_has_never_worked_says_nothing() {
        let (mut known, mut zones) = (Known::default(), Zones::default());
        known.take(fails(false), &mut zones, MINUTE, Time(0));
        assert!(!known.verdict().is_bad() && !known.verdict().is_known);
        known.take(both(), &mut zones, MINUTE, Time(1_000));
        known.take(fails(false), &mut zones, MINUTE, Time(2_000));
        assert_eq!(known.verdict().fails.as_deref(), Some("SERVFAIL"));
        for (now, is_bad) in [(3_000, true), (61_999, true), (62_000, false)] {
            known.take(Looked::Unknown("no NS records".to_owned()), &mut zones, MINUTE, Time(now));
            assert_eq!((known.verdict().is_bad(), known.verdict().is_known), (is_bad, false), "{now}");
        }
        // The zone is known by another target.
        let mut other = Known::default();
        other.take(fails(false), &mut zones, MINUTE, Time(4_000));
        assert!(other.verdict().is_bad());
    }

    #[test]
    fn silence_counts_while_others_are_heard() {
        for (other_answered, every, counts) in [
            (None, MINUTE, true),
            (Some(200_000), MINUTE, true),
            (Some(10_000), MINUTE, false),
            (Some(10_000), 5 * MINUTE, true),
        ] {
            let (mut known, mut zones) = (Known::default(), Zones::default());
            known.take(both(), &mut zones, MINUTE, Time(0));
            let zone = |at| Zone { answered: Time(at), asked: Time(at) };
            zones.extend(other_answered.map(|at| ("other.example".to_owned(), zone(at))));
            known.take(fails(true), &mut zones, every, Time(250_000));
            assert_eq!(known.verdict().is_bad(), counts, "{other_answered:?}");
            known.take(fails(false), &mut zones, MINUTE, Time(250_000));
            assert!(known.verdict().is_bad(), "a code is said by somebody");
        }
    }

    #[test]
    fn a_family_that_vanished_is_gone_for_an_hour() {
        let (mut known, mut zones) = (Known::default(), Zones::default());
        known.take(resolves(Some("192.0.2.1"), None), &mut zones, MINUTE, Time(0));
        assert!(!known.verdict().is_bad(), "it never had any");
        known.take(both(), &mut zones, MINUTE, Time(1_000));
        let gone = || resolves(Some("192.0.2.1"), None);
        for (minutes, expected) in [(1, true), (59, true), (61, false)] {
            let now = Time(1_000).after(MINUTE * minutes);
            assert_eq!(known.next_turn(now).had, [true, expected]);
            known.take(gone(), &mut zones, MINUTE, now);
            assert_eq!(known.verdict().is_bad(), expected, "{minutes}");
            if expected {
                let vanished = &known.verdict().vanished;
                assert_eq!(vanished[0].reason, "its v6 addresses are gone: they say nothing of it");
                assert_eq!((vanished.len(), vanished[0].address), (1, "2001:db8::1".parse().expect("an address")));
            }
        }
    }

    #[test]
    fn the_pace_is_a_minute_and_a_second_in_doubt() {
        let (mut known, mut zones) = (Known::default(), Zones::default());
        assert_eq!(known.need(false, MINUTE, Time(0)), Need::Look);
        known.begins(Time(0));
        assert_eq!(known.need(true, MINUTE, Time(90_000)), Need::Nothing);
        known.take(both(), &mut zones, MINUTE, Time(100));
        known.ends();
        for (fails_to_resolve, now, need) in [
            (false, 59_999, Need::Nothing),
            (false, 60_000, Need::Look),
            (true, 999, Need::Nothing),
            (true, 1_000, Need::Look),
        ] {
            assert_eq!(known.need(fails_to_resolve, MINUTE, Time(now)), need, "{now}");
        }
        known.take(fails(false), &mut zones, MINUTE, Time(60_100));
        assert_eq!(known.need(false, MINUTE, Time(999)), Need::Nothing);
        assert_eq!(known.need(false, MINUTE, Time(61_000)), Need::LookAndWait);
        known.begins(Time(61_000));
        assert_eq!(known.need(false, MINUTE, Time(61_001)), Need::Wait);
    }
}
