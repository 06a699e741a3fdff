//! Equal decisions of one step are one in memory: names with equal policies and verdicts share theirs.
//!
//! Steps about one name share with those before them: what goes on began when it began, so that the names of one policy come to
//! one decision each by itself. A step that touches many names also keeps what equal circumstances came to (`classes`), so
//! that most decisions are not even computed; who came from one decision is found to be alike at a glance.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::classes::Classes;
use super::decision::{Decision, Source};

/// Decisions that are kept to be shared. With more they are collected anew.
const MOST_DECISIONS: usize = 4_096;

/// Decisions by a hash of all that is in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions(HashMap<u64, Arc<Decision>, FixedState>);

/// What the names of one step share.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    pub(super) decisions: Decisions,
    /// None where the step is about one name.
    pub(super) classes: Option<Classes>,
}

impl Sharing {
    /// For a step that touches many names.
    pub(super) fn of_many() -> Self {
        Self { classes: Some(Classes::default()), ..Self::default() }
    }

    /// For a step about one name, with what the steps before it came to.
    pub(super) fn of_one(decisions: Decisions) -> Self {
        Self { decisions, classes: None }
    }

    /// This decision, or the one like it that was there before.
    pub(super) fn shared(&mut self, decision: Decision) -> Arc<Decision> {
        let known = &mut self.decisions.0;
        if known.len() >= MOST_DECISIONS {
            known.clear();
        }
        match known.entry(hash(&decision)) {
            Entry::Occupied(known) if **known.get() == decision => Arc::clone(known.get()),
            // Of two with one hash the later stands alone.
            Entry::Occupied(_) => Arc::new(decision),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(decision))),
        }
    }
}

fn hash(decision: &Decision) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    let Decision { source, ttl, rule, reasons, since } = decision;
    match source {
        Source::Candidates(shares) => shares.hash(&mut hasher),
        Source::Static => 0.hash(&mut hasher),
    }
    (ttl, rule, since).hash(&mut hasher);
    for reason in reasons {
        (reason.share.to_bits(), reason.left_out, &reason.reason).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::START;
    use super::super::shares::Shares;
    use super::*;

    #[test]
    fn equal_decisions_are_one() {
        let decision = |candidate, rule: &str| Decision {
            source: Source::Candidates(Shares::whole(candidate)),
            ttl: 30,
            rule: rule.to_owned(),
            reasons: Vec::new(),
            since: START,
        };
        let mut sharing = Sharing::default();
        let first = sharing.shared(decision(0, "up"));
        assert!(Arc::ptr_eq(&first, &sharing.shared(decision(0, "up"))));
        for other in [decision(1, "up"), decision(0, "down")] {
            assert_eq!(*sharing.shared(other.clone()), other);
            assert!(!Arc::ptr_eq(&first, &sharing.shared(other)));
        }
    }
}
