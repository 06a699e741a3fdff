//! Which addresses a round probes, and what is remembered of a check from round to round.
//!
//! | round | addresses of each family |
//! | --- | --- |
//! | paced | two, in rotation |
//! | sibling | one, in rotation |
//! | re-probe after connect, timeout | one other than the one that failed, if there is one; families that passed are left alone |
//! | re-probe after anything else | the one that failed |
//! | re-probe after a resolving fault | one, in rotation |
//!
//! The third and fourth line differ since a dead address says little about its neighbours, while a wrong status, body
//! or certificate is the candidate's own and must be seen again where it was seen.

use std::net::IpAddr;
use std::sync::Arc;

use super::guise;
use crate::steer::observation::{Cause, Family, Stage};
use crate::steer::time::Time;

/// Addresses of one family that a paced round probes at most.
pub const PACED_ADDRESSES: usize = 2;

/// What is known of a check beside what it asks.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    known: Option<Known>,
    /// Rounds so far, which is where the rotation stands.
    turn: u32,
    /// By family: how the last round that probed it ended. Outer none: not probed.
    last: [Option<Ending>; 2],
    /// What its bot rules make of probes.
    guises: Option<guise::Known>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    fresh_until: Time,
}

/// How the probes of one family in one round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Passed,
    /// The last address that failed, and how.
    Failed(IpAddr, Stage),
}

impl Memory {
    /// That a name resolved to these addresses, which hold until `fresh_until`.
    pub fn resolved(addresses: &[IpAddr], fresh_until: Time) -> Self {
        Self { known: Some(Known { addresses: addresses.into(), fresh_until }), ..Self::default() }
    }

    /// When the addresses of the target name run out, if it resolved.
    pub fn fresh_until(&self) -> Option<Time> {
        self.known.as_ref().map(|known| known.fresh_until)
    }

    /// The addresses of the target name, unless they have run out.
    pub fn fresh(&self, now: Time) -> Option<Arc<[IpAddr]>> {
        self.known.as_ref().filter(|known| now < known.fresh_until).map(|known| Arc::clone(&known.addresses))
    }

    /// The addresses that the name resolved to last, run out or not.
    pub fn last_known(&self) -> &[IpAddr] {
        self.known.as_ref().map_or(&[], |known| &known.addresses)
    }

    /// The target is to be resolved again by the next round; until then its addresses are as they were.
    pub fn run_out(&mut self) {
        if let Some(known) = &mut self.known {
            known.fresh_until = Time(0);
        }
    }

    /// Families that passed count as not probed.
    pub fn forget_passes(&mut self) {
        self.last = self.last.map(|last| last.filter(|ending| *ending != Ending::Passed));
    }

    /// How the probes of a family ended in this round.
    pub fn note(&mut self, address: IpAddr, failed: Option<Stage>) {
        let last = &mut self.last[index(Family::of(address))];
        match failed {
            Some(stage) => *last = Some(Ending::Failed(address, stage)),
            None if last.is_none() => *last = Some(Ending::Passed),
            None => {}
        }
    }

    /// What is known of its bot rules.
    pub fn guises(&self) -> guise::Known {
        self.guises.clone().unwrap_or_default()
    }

    /// Whether this round asks as a browser too, each `every`th one at least.
    pub fn asks_browser(&self, every: u32) -> bool {
        self.guises().asks_browser(self.turn, every)
    }

    /// What one address of this round taught of its bot rules.
    pub fn note_guises(&mut self, known: guise::Known) {
        self.guises = Some(match self.guises.take() {
            Some(before) => before.join(known),
            None => known,
        });
    }

    /// Takes over what a round has learnt. Rounds that ran together each move the rotation on.
    pub fn learn(&mut self, learnt: Self) {
        self.turn = self.turn.wrapping_add(1);
        if learnt.known.is_some() {
            self.known = learnt.known;
        }
        self.guises = match (self.guises.take(), learnt.guises) {
            (Some(before), Some(later)) => Some(before.followed_by(later)),
            (before, later) => later.or(before),
        };
        for (mine, theirs) in self.last.iter_mut().zip(learnt.last) {
            *mine = theirs.or(*mine);
        }
    }

    /// The addresses to probe in this round, out of all that the target has.
    pub fn choose(&self, all: &[IpAddr], cause: Cause) -> Vec<IpAddr> {
        let failed_somewhere = self.last.iter().any(|last| matches!(last, Some(Ending::Failed(..))));
        let mut chosen = Vec::new();
        for family in Family::ALL {
            let members: Vec<IpAddr> = all.iter().copied().filter(|address| Family::of(*address) == family).collect();
            let last = self.last[index(family)];
            match (cause, last) {
                (Cause::Paced, _) => chosen.extend(self.rotated(&members).take(PACED_ADDRESSES)),
                (Cause::Reprobe, Some(Ending::Failed(address, stage))) => {
                    chosen.extend(self.again(&members, address, stage));
                }
                (Cause::Reprobe, _) if failed_somewhere => {}
                (Cause::Reprobe | Cause::Sibling, _) => chosen.extend(self.rotated(&members).take(1)),
            }
        }
        chosen
    }

    /// One address to look at again after `failed` did.
    fn again(&self, members: &[IpAddr], failed: IpAddr, stage: Stage) -> Option<IpAddr> {
        let wants_other = matches!(stage, Stage::Connect | Stage::Timeout);
        let other = self.rotated(members).find(|address| (*address == failed) != wants_other);
        other.or_else(|| members.first().copied())
    }

    /// The members once around, from where the rotation stands.
    fn rotated<'a>(&self, members: &'a [IpAddr]) -> impl Iterator<Item = IpAddr> + use<'a> {
        let steps = usize::try_from(self.turn).unwrap_or(0).wrapping_mul(PACED_ADDRESSES);
        let start = if members.len() > PACED_ADDRESSES { steps % members.len() } else { 0 };
        members.iter().copied().cycle().skip(start).take(members.len())
    }
}

fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn addresses(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
    }

    #[test]
    fn paced_rounds_take_two_of_each_family_and_visit_all() {
        let all = addresses("192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 2001:db8::1");
        let mut memory = Memory::default();
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let chosen = memory.choose(&all, Cause::Paced);
            assert_eq!(chosen.len(), 3, "two of v4, the one of v6");
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 3);
            seen.extend(chosen);
            memory.learn(Memory::default());
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn re_probes_go_to_another_address_or_to_the_same_as_the_stage_asks() {
        let all = addresses("192.0.2.1 192.0.2.2 2001:db8::1");
        let failed: IpAddr = "192.0.2.1".parse().expect("an address");
        for (stage, expected) in [
            (Stage::Connect, "192.0.2.2"),
            (Stage::Timeout, "192.0.2.2"),
            (Stage::Status, "192.0.2.1"),
            (Stage::Body, "192.0.2.1"),
            (Stage::Tls, "192.0.2.1"),
            (Stage::Slow, "192.0.2.1"),
        ] {
            let mut memory = Memory::default();
            let mut round = Memory::default();
            round.note(failed, Some(stage));
            round.note("192.0.2.2".parse().expect("an address"), None);
            round.note("2001:db8::1".parse().expect("an address"), None);
            memory.learn(round);
            assert_eq!(memory.choose(&all, Cause::Reprobe), addresses(expected), "{stage:?}");
        }
    }

    #[test]
    fn where_there_is_no_other_the_same_address_is_asked_again() {
        let mut memory = Memory::default();
        let only = addresses("192.0.2.1");
        memory.note(only[0], Some(Stage::Connect));
        assert_eq!(memory.choose(&only, Cause::Reprobe), only);
        // The address that failed has left the set.
        let new = addresses("192.0.2.9");
        assert_eq!(memory.choose(&new, Cause::Reprobe), new);
    }

    #[test]
    fn re_probes_without_a_known_failure_and_siblings_take_one_of_each_family() {
        let all = addresses("192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2");
        for cause in [Cause::Reprobe, Cause::Sibling] {
            let chosen = Memory::default().choose(&all, cause);
            assert_eq!(chosen, addresses("192.0.2.1 2001:db8::1"), "{cause:?}");
        }
        assert!(Memory::default().choose(&[], Cause::Paced).is_empty());
    }

    #[test]
    fn addresses_run_out() {
        let all = addresses("192.0.2.1");
        let memory = Memory::resolved(&all, Time(100));
        assert_eq!(memory.fresh(Time(99)).as_deref(), Some(&all[..]));
        assert_eq!(memory.fresh(Time(100)), None);
        assert_eq!(memory.last_known(), all);
    }
}
