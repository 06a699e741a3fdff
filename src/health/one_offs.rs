//! Requests out of pace that wait for one check, and who asked for them.
//!
//! | a request asked for `at` joins one that waits, of the same kind, | since |
//! | --- | --- |
//! | when both are for the same moment | all who share a failure ask to look again at the same moment |
//! | when both are due | the one that waits has not begun, so it begins after both were asked for |
//!
//! None ever begins before it was asked for. The core needs that: a re-probe counts if it began after the failure before
//! it had ended, a sibling's pass is evidence if its probe began after the fault, and a candidate that has asked for a
//! re-probe takes none that comes earlier for it. So what is under way answers nobody who asks later.
//!
//! What a request saw is told to those who asked for it and to no others. Names far apart ask one shared target at any
//! moment when this machine's own network falters; three such failures within a few milliseconds are no row.

use std::collections::HashSet;

use crate::steer::observation::{CandidateKey, Cause};
use crate::steer::time::Time;

/// Moments that requests of one check wait for as they were asked. Beyond it they are put off to a common ...
const EXACT: usize = 8;
/// ... moment, so many milliseconds apart.
const COARSE: u64 = 100;
/// Moments that requests of one check may wait for; what is asked for beyond is dropped. Pauses of up to 4 s take 40.
pub const MAX_ONE_OFFS: usize = 64;

/// Why a probe is sent out of pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OneOff {
    /// The first of candidates that have joined a check which others had before.
    First,
    Reprobe,
    Sibling,
}

impl OneOff {
    /// What its observations say they are. The first probe is the first of the pace.
    pub fn cause(self) -> Cause {
        match self {
            Self::First => Cause::Paced,
            Self::Reprobe => Cause::Reprobe,
            Self::Sibling => Cause::Sibling,
        }
    }
}

/// Those that wait.
#[derive(Debug, Default)]
pub struct OneOffs(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    kind: OneOff,
    at: Time,
    asked_by: HashSet<CandidateKey>,
}

impl OneOffs {
    /// One is wanted, not before `at`. Returns when to send it, unless one that waits answers this too, or too many wait.
    pub fn ask(&mut self, kind: OneOff, candidate: &CandidateKey, at: Time, now: Time) -> Option<Time> {
        if self.join(kind, candidate, at, now) {
            return None;
        }
        // Those who join a check are asked for once, all together.
        let bounded = kind != OneOff::First;
        let at = if bounded && self.0.len() >= EXACT && at > now {
            Time(at.0.div_ceil(COARSE).saturating_mul(COARSE))
        } else {
            at
        };
        if self.join(kind, candidate, at, now) || (bounded && self.0.len() >= MAX_ONE_OFFS) {
            return None;
        }
        self.0.push(Waiting { kind, at, asked_by: HashSet::from([candidate.clone()]) });
        Some(at)
    }

    fn join(&mut self, kind: OneOff, candidate: &CandidateKey, at: Time, now: Time) -> bool {
        let answers = |one: &&mut Waiting| one.kind == kind && (one.at == at || one.at.max(at) <= now);
        let Some(one) = self.0.iter_mut().find(answers) else { return false };
        one.asked_by.insert(candidate.clone());
        true
    }

    /// Whether one of this kind waits for this moment.
    pub fn wait_for(&self, kind: OneOff, at: Time) -> bool {
        self.0.iter().any(|one| one.kind == kind && one.at == at)
    }

    /// Whether any of this kind waits.
    pub fn any(&self, kind: OneOff) -> bool {
        self.0.iter().any(|one| one.kind == kind)
    }

    /// It begins: who asked for it?
    pub fn take(&mut self, kind: OneOff, at: Time) -> HashSet<CandidateKey> {
        let found = self.0.iter().position(|one| one.kind == kind && one.at == at);
        found.map(|place| self.0.swap_remove(place).asked_by).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: usize) -> CandidateKey {
        CandidateKey { name: format!("n{number}.shop.example.").into(), candidate: "bunny".into() }
    }

    #[test]
    fn what_is_asked_for_the_same_moment_or_is_due_already_is_one_request() {
        for (kind, at, joins) in [
            (OneOff::Sibling, 1_000, true),
            (OneOff::Sibling, 990, true),
            (OneOff::Sibling, 1_001, false),
            (OneOff::Reprobe, 1_000, false),
        ] {
            let mut one_offs = OneOffs::default();
            assert_eq!(one_offs.ask(OneOff::Sibling, &key(1), Time(995), Time(1_000)), Some(Time(995)));
            assert_eq!(one_offs.ask(kind, &key(2), Time(at), Time(1_000)).is_none(), joins, "{kind:?} {at}");
            assert_eq!(one_offs.take(OneOff::Sibling, Time(995)).contains(&key(2)), joins);
            // What has begun answers nobody.
            assert_eq!(one_offs.ask(OneOff::Sibling, &key(3), Time(990), Time(1_000)), Some(Time(990)));
        }
        let mut later = OneOffs::default();
        assert_eq!(later.ask(OneOff::Reprobe, &key(1), Time(2_000), Time(1_000)), Some(Time(2_000)));
        assert_eq!(later.ask(OneOff::Reprobe, &key(2), Time(2_000), Time(1_005)), None);
        assert_eq!(later.ask(OneOff::Reprobe, &key(3), Time(2_003), Time(1_005)), Some(Time(2_003)));
        assert_eq!(later.take(OneOff::Reprobe, Time(2_000)), HashSet::from([key(1), key(2)]));
    }

    proptest! {
        /// Whatever is asked when: nobody is answered by a request from before, nobody waits more than a moment longer,
        /// and what waits is bounded.
        #[test]
        fn nobody_is_answered_by_a_request_from_before(asked in prop::collection::vec((0_u64..50, 0_u64..5_000), 1..300)) {
            let (mut one_offs, mut now, mut due) = (OneOffs::default(), 0, Vec::new());
            let mut wanted = Vec::new();
            for (number, (later, pause)) in asked.into_iter().enumerate() {
                now += later;
                due.sort_unstable();
                while due.first().is_some_and(|&at| at <= now) {
                    let at: u64 = due.remove(0);
                    for who in one_offs.take(OneOff::Reprobe, Time(at)) {
                        let place = wanted.iter().position(|(key, _)| *key == who);
                        let (_, from) = wanted.swap_remove(place.expect("it was asked for"));
                        prop_assert!(from <= at.max(now) && at < from + COARSE, "{from} {at}");
                    }
                }
                wanted.push((key(number), now + pause));
                due.extend(one_offs.ask(OneOff::Reprobe, &key(number), Time(now + pause), Time(now)).map(|at| at.0));
                prop_assert!(one_offs.0.len() <= MAX_ONE_OFFS);
            }
            // The last ones come too: nobody was dropped.
            due.sort_unstable();
            let last: usize = due.into_iter().map(|at| one_offs.take(OneOff::Reprobe, Time(at)).len()).sum();
            prop_assert_eq!(last, wanted.len());
        }
    }
}
