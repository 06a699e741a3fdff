//! The last paced probes of one candidate in one family: how many of how many failed.

use std::collections::VecDeque;

use super::policy::JudgementRule;

/// A ring of outcomes; `true` is a failure. Counts are absolute: a ring that is not yet full needs as many failures.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    outcomes: VecDeque<bool>,
    failed: u32,
    /// Passes since the last failure.
    clean: u32,
}

impl Recent {
    /// Takes one more and lets the oldest beyond `rule.share_of` go.
    pub(super) fn push(&mut self, failed: bool, rule: &JudgementRule) {
        self.outcomes.push_back(failed);
        self.failed += u32::from(failed);
        self.clean = if failed { 0 } else { self.clean.saturating_add(1) };
        while self.outcomes.len() > usize::from(rule.share_of) {
            let oldest = self.outcomes.pop_front().unwrap_or(false);
            self.failed -= u32::from(oldest);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many failed, of how many.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.failed, u32::try_from(self.outcomes.len()).unwrap_or(u32::MAX))
    }

    /// Whether as many failed as make it down.
    pub(super) fn is_down(&self, rule: &JudgementRule) -> bool {
        self.failed >= needed(rule)
    }

    /// How many passes in a row make an impaired one up again: twice the ring.
    pub(super) fn clean_again(rule: &JudgementRule) -> u32 {
        u32::from(rule.share_of) * 2
    }

    /// Whether as many have passed in a row.
    pub(super) fn is_clean(&self, rule: &JudgementRule) -> bool {
        self.clean >= Self::clean_again(rule)
    }

    /// Whether more than half as many failed as make it down; one at the least.
    pub(super) fn is_impaired(&self, rule: &JudgementRule) -> bool {
        self.failed * 2 > needed(rule)
    }
}

/// Failures that make a candidate down: the percentage of the whole ring, rounded up, one at the least.
fn needed(rule: &JudgementRule) -> u32 {
    (u32::from(rule.share_percent) * u32::from(rule.share_of)).div_ceil(100).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rule(share_percent: u8, share_of: u16) -> JudgementRule {
        JudgementRule {
            fall: 3,
            share_percent,
            share_of,
            clean: Duration::from_secs(1200),
            ramp: Duration::ZERO,
            step: None,
        }
    }

    #[test]
    fn counts_are_absolute_and_rounded_up() {
        for (percent, of, down, impaired) in
            [(30, 20, 6, 4), (25, 10, 3, 2), (1, 5, 1, 1), (100, 4, 4, 3), (50, 20, 10, 6)]
        {
            let rule = rule(percent, of);
            let mut recent = Recent::default();
            for failures in 1..=u32::from(of) {
                recent.push(true, &rule);
                assert_eq!(recent.is_down(&rule), failures >= down, "{percent}/{of} after {failures}");
                assert_eq!(recent.is_impaired(&rule), failures >= impaired, "{percent}/{of} after {failures}");
            }
        }
    }

    #[test]
    fn the_oldest_leave_and_a_smaller_ring_forgets() {
        let mut recent = Recent::default();
        for failed in [true, true, false, false, false] {
            recent.push(failed, &rule(30, 4));
        }
        assert_eq!(recent.counts(), (1, 4));
        recent.push(false, &rule(30, 2));
        assert_eq!(recent.counts(), (0, 2));
    }

    #[test]
    fn twice_the_ring_must_pass_in_a_row() {
        let rule = rule(30, 4);
        let mut recent = Recent::default();
        for failed in [true, false, false, true].into_iter().chain([false; 7]) {
            recent.push(failed, &rule);
            assert!(!recent.is_clean(&rule));
        }
        recent.push(false, &rule);
        assert!(recent.is_clean(&rule));
    }
}
