//! The ramp: how the share of a candidate that returns grows back.
//!
//! ```text
//! 100 %                                                    ,------  up
//!  50 %                                          ,---------'
//!  25 %                                ,---------'
//!  10 %                      ,---------'
//!   5 %            ,---------'
//!   1 %  ,---------'
//!        |<- a 5th ->|   of `ramp`, each under watch
//! ```
//!
//! Each rung lasts a fifth of `ramp`, and until two rounds of probes have passed on it. After a failure that a
//! re-probe does not confirm those two are counted anew, so that it puts the rung's end off by no more than they take; a
//! confirmed one is a fall (`track`).
//!
//! **Herd.** A provider's `step` says how much of its names' traffic may come back to it within a minute. Each candidate
//! there takes no more of its own share than that in any 60 s, so all of them together take no more of theirs, whatever
//! traffic each name has; nobody needs to count. Rungs that are too high are parted, those too close are moved apart, and
//! the names begin spread over a minute, each at the place that a hash of it gives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::{JudgementRule, ProviderStep};
use super::shares::POINTS;
use super::time::Time;

/// The rungs, in percent of the candidate's share. At the last one it is up.
const RUNGS: [u8; 6] = [1, 5, 10, 25, 50, 100];
/// The ramp after a brief outage: caches that stood idle for a minute are still warm.
const BRIEF_RAMP: Duration = Duration::from_secs(120);
/// Rounds of probes that must pass on a rung: one may be luck, and the shortest rung, 24 s, has room for two.
pub(super) const PASSES: u32 = 2;
/// What a provider's `step` is reckoned by.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A ramp under way, with all that a restart needs to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ramp {
    /// How much of its share the candidate may hold now; 0 while it waits for its turn.
    pub percent: u8,
    /// The next rung comes at this time, or later if probes do not pass.
    pub until: Time,
    /// How much of its share the next rung gives.
    pub next: u8,
    /// When it is up, if nothing delays it.
    pub ends: Time,
    /// After a brief outage.
    pub brief: bool,
}

impl Ramp {
    /// The first rung; none where the whole share comes back at once.
    pub(super) fn begin(rule: &JudgementRule, brief: bool, now: Time) -> Option<Self> {
        match rule.step {
            Some(step) if !step.turn.is_zero() => Self::on(0, rule, brief, now),
            _ => {
                let first = *plan(rule, brief).first()?;
                Self::on(first.percent, rule, brief, now)
            }
        }
    }

    /// The next rung; none where that is the whole share.
    pub(super) fn climb(&self, rule: &JudgementRule, now: Time) -> Option<Self> {
        let next = plan(rule, self.brief).into_iter().find(|rung| rung.percent > self.percent)?;
        Self::on(next.percent, rule, self.brief, now)
    }

    /// This rung from its beginning.
    pub(super) fn again(&self, rule: &JudgementRule, now: Time) -> Self {
        Self::on(self.percent, rule, self.brief, now).unwrap_or(*self)
    }

    /// Taken up after a restart, which has not made the rung longer, nor the clock that was wrong before it.
    pub(super) fn restored(&self, rule: &JudgementRule, now: Time) -> Self {
        let anew = self.again(rule, now);
        let until = self.until.min(anew.until);
        Self { until, ends: until.max(now).after(anew.ends.since(anew.until)), ..anew }
    }

    /// As long as it takes if nothing delays it.
    pub(super) fn length(rule: &JudgementRule, brief: bool) -> Duration {
        plan(rule, brief).last().map_or(Duration::ZERO, |rung| rung.at)
    }

    /// How much of its share the candidate may hold, in points of the whole.
    pub(super) fn part(&self) -> u32 {
        (POINTS * u32::from(self.percent) + 50) / 100
    }

    /// Begins the rung of `percent`; none where that is the whole share.
    fn on(percent: u8, rule: &JudgementRule, brief: bool, now: Time) -> Option<Self> {
        let plan = plan(rule, brief);
        let at = plan.iter().position(|rung| rung.percent > percent)?;
        let began = at.checked_sub(1).map_or(Duration::ZERO, |before| plan[before].at);
        let turn = rule.step.filter(|_| percent == 0).map_or(Duration::ZERO, |step| step.turn);
        let after = |at: Duration| now.after(turn).after(at.saturating_sub(began));
        Some(Self { percent, until: after(plan[at].at), next: plan[at].percent, ends: after(plan.last()?.at), brief })
    }
}

/// One rung: how much of the share, and how long after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rung {
    percent: u8,
    at: Duration,
}

/// All rungs of a ramp; the last one is the whole share.
fn plan(rule: &JudgementRule, brief: bool) -> Vec<Rung> {
    let length = if brief { rule.ramp.min(BRIEF_RAMP) } else { rule.ramp };
    let goals = if length.is_zero() { &RUNGS[RUNGS.len() - 1..] } else { &RUNGS };
    let each = length / 5;
    let most = rule.step.map_or(100, |ProviderStep { percent, .. }| percent.clamp(1, 100));
    let mut rungs: Vec<Rung> = Vec::new();
    for (goal, number) in goals.iter().zip(0_u32..) {
        let mut percent = rungs.last().map_or(0, |rung| rung.percent);
        while percent < *goal {
            let rise = most.min(goal - percent);
            let at = rungs.last().map_or(Duration::ZERO, |rung| rung.at).max(each * number);
            let at = if rule.step.is_some() { soonest(&rungs, rise, most, at) } else { at };
            percent += rise;
            rungs.push(Rung { percent, at });
        }
    }
    rungs
}

/// The first moment from `at` on at which so much more stays within the step: what rises within any minute is at most
/// `most`.
fn soonest(rungs: &[Rung], rise: u8, most: u8, mut at: Duration) -> Duration {
    let mut before = 0;
    for rung in rungs {
        let own = rung.percent - before;
        before = rung.percent;
        let of_that_minute: u8 = rungs.last().map_or(0, |last| last.percent) - before + own;
        if rung.at + MINUTE > at && of_that_minute + rise > most {
            at = rung.at + MINUTE;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(ramp: u64, step: Option<u8>) -> JudgementRule {
        let step = step.map(|percent| ProviderStep { percent, turn: Duration::ZERO });
        JudgementRule {
            fall: 3,
            share_percent: 30,
            share_of: 20,
            clean: Duration::from_secs(1200),
            ramp: Duration::from_secs(ramp),
            step,
        }
    }

    fn rungs(rule: &JudgementRule, brief: bool) -> Vec<(u8, u64)> {
        plan(rule, brief).iter().map(|rung| (rung.percent, rung.at.as_secs())).collect()
    }

    #[test]
    fn rungs_are_equally_long_and_parted_where_a_step_is_smaller() {
        let plain = [(1, 0), (5, 240), (10, 480), (25, 720), (50, 960), (100, 1200)];
        assert_eq!(rungs(&rule(1200, None), false), plain);
        assert_eq!(rungs(&rule(1200, Some(50)), false), plain);
        assert_eq!(rungs(&rule(1200, None), true), [(1, 0), (5, 24), (10, 48), (25, 72), (50, 96), (100, 120)]);
        assert_eq!(rungs(&rule(60, None), true), rungs(&rule(60, None), false), "no longer than the plain one");
        assert_eq!(rungs(&rule(0, None), false), [(100, 0)]);
        assert_eq!(rungs(&rule(0, Some(40)), false), [(40, 0), (80, 60), (100, 120)]);
        let parted =
            [(1, 0), (5, 240), (10, 480), (25, 720), (45, 960), (50, 1020), (70, 1200), (90, 1260), (100, 1320)];
        assert_eq!(rungs(&rule(1200, Some(20)), false), parted);
    }

    #[test]
    fn a_ramp_goes_from_rung_to_rung_and_ends() {
        let rule = rule(1200, None);
        let mut now = Time(100_000_000);
        let mut ramp = Ramp::begin(&rule, false, now).unwrap();
        let end = ramp.ends;
        let mut seen = vec![ramp.percent];
        while let Some(next) = ramp.climb(&rule, ramp.until) {
            (now, ramp) = (ramp.until, next);
            assert_eq!(ramp.ends, end);
            seen.push(ramp.percent);
        }
        assert_eq!((seen, ramp.until, ramp.next), (RUNGS[..5].to_vec(), end, 100));
        // A restart at a clock that had run ahead.
        let back = ramp.restored(&rule, now.before(Duration::from_secs(9_000)));
        assert_eq!(back.until, now.before(Duration::from_secs(8_760)));
        // One that took longer than the rung.
        let late = ramp.restored(&rule, end.after(Duration::from_secs(5)));
        assert_eq!((late.percent, late.until, late.ends), (50, end, end.after(Duration::from_secs(5))));
        assert_eq!(Ramp::begin(&self::rule(0, None), false, now), None);
    }

    #[test]
    fn who_waits_for_its_turn_holds_nothing() {
        let turn = Duration::from_secs(17);
        let rule = JudgementRule { step: Some(ProviderStep { percent: 50, turn }), ..rule(1200, None) };
        let waiting = Ramp::begin(&rule, false, Time(0)).unwrap();
        assert_eq!((waiting.percent, waiting.next, waiting.part()), (0, 1, 0));
        assert_eq!((waiting.until, waiting.ends), (Time(17_000), Time(1_217_000)));
        assert_eq!(waiting.climb(&rule, waiting.until).unwrap().percent, 1);
    }

    proptest! {
        #[test]
        fn no_minute_brings_more_than_the_step(ramp in 0..4_000_u64, step in 1..=100_u8, brief: bool) {
            let plan = plan(&rule(ramp, Some(step)), brief);
            prop_assert_eq!(plan.last().map(|rung| rung.percent), Some(100));
            prop_assert!(plan.windows(2).all(|two| two[0].percent < two[1].percent && two[0].at <= two[1].at));
            for (first, rung) in plan.iter().enumerate() {
                let before = first.checked_sub(1).map_or(0, |before| plan[before].percent);
                let last = plan.iter().rfind(|later| later.at < rung.at + MINUTE).unwrap();
                prop_assert!(last.percent - before <= step, "{:?}", plan);
            }
        }
    }
}
