//! Failures that wait for what the anchors say, in the order in which they came, and by candidate.
//!
//! Each pass asks whether something of its candidate waits, and while the vantage is in doubt tens of thousands may. So
//! what waits of one candidate is found by its key, and what waits in a family by going through all once, when the
//! anchors have had their say.

use std::collections::{BTreeMap, HashMap};

use foldhash::quality::FixedState;

use super::observation::{CandidateKey, Family, Observation};

/// Failures that wait at most; what comes beyond counts nothing.
const MAX_WAITING: usize = 65_536;

/// Failures that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    /// By their number, which rises: each with the families that it is of.
    failures: BTreeMap<u64, (Vec<Family>, Observation)>,
    /// The numbers of each candidate's failures.
    of: HashMap<CandidateKey, Vec<u64>, FixedState>,
    next: u64,
}

impl Waiting {
    /// One more, if there is room for it.
    pub(super) fn push(&mut self, families: Vec<Family>, failure: Observation) {
        if self.failures.len() >= MAX_WAITING {
            return;
        }
        self.of.entry(failure.candidate.clone()).or_default().push(self.next);
        self.failures.insert(self.next, (families, failure));
        self.next += 1;
    }

    /// What waited of this candidate, first come first: it waits no longer.
    pub(super) fn take_of(&mut self, key: &CandidateKey) -> Vec<Observation> {
        let numbers = self.of.remove(key).unwrap_or_default();
        numbers.iter().filter_map(|number| self.failures.remove(number)).map(|(_, failure)| failure).collect()
    }

    /// What waited in this family, first come first: it waits no longer.
    pub(super) fn take_in(&mut self, family: Family) -> Vec<Observation> {
        let all = std::mem::take(&mut self.failures).into_iter();
        let (taken, stay): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|(_, (families, _))| families.contains(&family));
        self.failures = stay;
        for (number, (_, failure)) in &taken {
            if let Some(numbers) = self.of.get_mut(&failure.candidate) {
                numbers.retain(|known| known != number);
                if numbers.is_empty() {
                    self.of.remove(&failure.candidate);
                }
            }
        }
        taken.into_values().map(|(_, failure)| failure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, key, seen};
    use super::super::observation::Cause;
    use super::*;

    fn waiting(failures: &[(usize, &[Family])]) -> Waiting {
        let mut waiting = Waiting::default();
        for (millis, (candidate, families)) in (1..).zip(failures) {
            let failure = seen(*candidate, families.first().copied(), Cause::Paced, Some(500), at(millis));
            waiting.push(families.to_vec(), failure);
        }
        waiting
    }

    fn ended(taken: &[Observation]) -> Vec<u64> {
        taken.iter().map(|seen| seen.ended.0 - at(0).0).collect()
    }

    #[test]
    fn what_waits_is_taken_once_in_its_order() {
        use Family::{V4, V6};
        let all: [(usize, &[Family]); 5] = [(0, &[V4]), (1, &[V4]), (0, &[V6]), (1, &[V4, V6]), (0, &[V4])];
        let mut of_candidate = waiting(&all);
        assert_eq!(ended(&of_candidate.take_of(&key(0))), [1, 3, 5]);
        assert_eq!(ended(&of_candidate.take_of(&key(0))), [0; 0]);
        assert_eq!(ended(&of_candidate.take_in(V4)), [2, 4]);
        let mut of_family = waiting(&all);
        assert_eq!(ended(&of_family.take_in(V6)), [3, 4]);
        assert_eq!(ended(&of_family.take_of(&key(1))), [2]);
        assert_eq!(ended(&of_family.take_in(V4)), [1, 5]);
        assert!(of_family.failures.is_empty() && of_family.of.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_for_more_when_they_are_gone() {
        let mut waiting = Waiting::default();
        for millis in 0..MAX_WAITING as u64 + 5 {
            let failure = seen((millis % 4) as usize, Some(Family::V4), Cause::Paced, Some(500), at(millis));
            waiting.push(vec![Family::V4], failure);
        }
        assert_eq!(waiting.failures.len(), MAX_WAITING);
        assert_eq!(waiting.take_of(&key(0)).len(), MAX_WAITING / 4);
        waiting.push(vec![Family::V4], seen(0, Some(Family::V4), Cause::Paced, Some(500), at(9)));
        assert_eq!(ended(&waiting.take_of(&key(0))), [9]);
    }
}
