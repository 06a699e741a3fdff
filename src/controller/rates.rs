//! How many answers a second each account of the ledger gives: what a rehearsal tells of an order.
//!
//! Two windows of a minute each, the one that runs and the one before: a rate is of the last one to two minutes, so that
//! the quiet of a second is not taken for the traffic of a name.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::steer::time::Time;

/// The length of a window, in milliseconds.
const WINDOW: u64 = 60_000;

/// Answers of two windows, by number of the account.
#[derive(Debug, Default)]
pub(super) struct Rates {
    running: HashMap<u32, u64, FixedState>,
    before: HashMap<u32, u64, FixedState>,
    began: Time,
    before_began: Option<Time>,
    /// Until when it was counted.
    until: Time,
}

impl Rates {
    pub(super) fn new(now: Time) -> Self {
        Self { began: now, until: now, ..Self::default() }
    }

    /// So many more answers.
    pub(super) fn count(&mut self, account: u32, answers: u64) {
        *self.running.entry(account).or_default() += answers;
    }

    /// All answers until now were counted.
    pub(super) fn counted(&mut self, now: Time) {
        self.until = now;
        if now.0.saturating_sub(self.began.0) >= WINDOW {
            self.before = std::mem::take(&mut self.running);
            self.before_began = Some(std::mem::replace(&mut self.began, now));
        }
    }

    /// The time that the rates are of, in seconds.
    pub(super) fn span(&self) -> f64 {
        self.until.since(self.before_began.unwrap_or(self.began)).as_secs_f64()
    }

    /// Answers a second. None while nothing was measured.
    pub(super) fn of(&self, account: u32) -> Option<f64> {
        let answers = |window: &HashMap<u32, u64, FixedState>| window.get(&account).copied().unwrap_or(0);
        let span = self.span();
        (span > 0.0).then(|| (answers(&self.running) + answers(&self.before)) as f64 / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_one_to_two_minutes() {
        let mut rates = Rates::new(Time(0));
        assert_eq!(rates.of(1), None);
        for second in 1..=600 {
            rates.count(1, 50);
            rates.count(2, u64::from(second <= 300));
            rates.counted(Time(second * 1000));
            assert_eq!(rates.of(1), Some(50.0), "after {second} s");
            assert!(rates.span() <= 120.0);
        }
        assert_eq!((rates.of(2), rates.of(3)), (Some(0.0), Some(0.0)));
    }
}
