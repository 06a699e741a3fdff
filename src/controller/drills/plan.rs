//! Which scheduled drills have come: from schedules, the time until which was looked, and now.
//!
//! | a time of the schedule | what it is |
//! | --- | --- |
//! | looked at already, or to come | nothing |
//! | since then, not longer ago than the patience | due |
//! | since then, longer ago | missed: told, and not made up for |
//! | several of one schedule | the last may be due; those before are missed, and told together |
//!
//! After a restart there is no patience: what came while the server did not run is missed.

use std::time::Duration;

use crate::config::PlannedDrill;
use crate::steer::time::Time;

/// How late a drill may begin: the task may be busy, and a drill a minute late is still that drill.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Times of one schedule that are counted as missed at most.
const MOST_MISSED: usize = 1_000;

/// What is scheduled.
#[derive(Debug, Default)]
pub(super) struct Plan {
    entries: Vec<Entry>,
    next: Option<Time>,
}

#[derive(Debug)]
struct Entry {
    planned: PlannedDrill,
    /// Until then nothing is to come any more.
    looked: Time,
    /// The first time after it.
    next: Option<Time>,
}

/// A scheduled drill whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::controller) struct Come {
    pub(super) planned: PlannedDrill,
    /// The last of the times that this is about.
    pub(super) at: Time,
    /// It is to begin; else it was missed.
    pub(super) is_due: bool,
    /// How many times this is about.
    pub(super) times: usize,
}

impl Plan {
    /// These are scheduled from now on. What is new among them is looked at from `since` on.
    pub(super) fn take(&mut self, planned: Vec<PlannedDrill>, since: Time) {
        let known = std::mem::take(&mut self.entries);
        let looked = |planned: &PlannedDrill| {
            known.iter().find(|entry| entry.planned == *planned).map_or(since, |entry| entry.looked)
        };
        let entry = |planned| Entry { looked: looked(&planned), next: None, planned };
        self.entries = planned.into_iter().map(entry).collect();
        self.look_ahead();
    }

    /// What has come until `now`, in order. Each is told once.
    pub(super) fn come(&mut self, now: Time, patience: Duration) -> Vec<Come> {
        let mut come: Vec<Come> = Vec::new();
        for Entry { planned, looked, .. } in &mut self.entries {
            let next = |after: &Time| planned.schedule.next(*after).filter(|at| *at <= now);
            let times: Vec<Time> = std::iter::successors(next(looked), next).take(MOST_MISSED).collect();
            *looked = now;
            let due = times.last().copied().filter(|at| now.since(*at) <= patience && !patience.is_zero());
            let missed = times.len() - usize::from(due.is_some());
            let told = |at, is_due, times| Come { planned: planned.clone(), at, is_due, times };
            come.extend(missed.checked_sub(1).and_then(|last| times.get(last)).map(|at| told(*at, false, missed)));
            come.extend(due.map(|at| told(at, true, 1)));
        }
        come.sort_by_key(|come| come.at);
        self.look_ahead();
        come
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }

    /// All that are scheduled, each with when it is due next.
    pub(super) fn all(&self) -> impl Iterator<Item = (&PlannedDrill, Option<Time>)> {
        self.entries.iter().map(|entry| (&entry.planned, entry.next))
    }

    fn look_ahead(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.next = entry.planned.schedule.next(entry.looked));
        self.next = self.all().filter_map(|(_, next)| next).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Schedule;
    use crate::steer::overrides::Drill;

    const MINUTE: u64 = 60_000;
    /// Thursday, 1 January 1970, 10:00.
    const TEN: Time = Time(600 * MINUTE);

    fn planned(at: &str) -> PlannedDrill {
        let drill = Drill { provider: "bunny".into(), per_mille: 10 };
        let schedule = Schedule::parse(at).expect(at);
        PlannedDrill { drill, span: Duration::from_secs(600), schedule, reason: "monthly".to_owned() }
    }

    fn after(time: Time, millis: u64) -> Time {
        Time(time.0 + millis)
    }

    #[test]
    fn the_table_holds() {
        let late = PATIENCE.as_millis() as u64;
        for (at, looked, now, patience, expected) in [
            ("0 10 * * *", Time(0), Time(TEN.0 - 1), PATIENCE, vec![]),
            ("0 10 * * *", TEN, after(TEN, 1), PATIENCE, vec![]),
            ("0 10 * * *", Time(0), TEN, PATIENCE, vec![(TEN, true, 1)]),
            ("0 10 * * *", Time(0), after(TEN, late), PATIENCE, vec![(TEN, true, 1)]),
            ("0 10 * * *", Time(0), after(TEN, late + 1), PATIENCE, vec![(TEN, false, 1)]),
            ("0 10 * * *", Time(0), after(TEN, 1), Duration::ZERO, vec![(TEN, false, 1)]),
            ("0 10 * * *", Time(0), TEN, Duration::ZERO, vec![(TEN, false, 1)]),
            ("1970-01-01T10:00:00Z", Time(0), after(TEN, 5), PATIENCE, vec![(TEN, true, 1)]),
            (
                "*/30 * * * *",
                after(TEN, 1),
                after(TEN, 90 * MINUTE + 5),
                PATIENCE,
                vec![(after(TEN, 60 * MINUTE), false, 2), (after(TEN, 90 * MINUTE), true, 1)],
            ),
            (
                "*/30 * * * *",
                after(TEN, 1),
                after(TEN, 89 * MINUTE),
                PATIENCE,
                vec![(after(TEN, 60 * MINUTE), false, 2)],
            ),
        ] {
            let mut plan = Plan::default();
            plan.take(vec![planned(at)], looked);
            let come = plan.come(now, patience);
            let told: Vec<_> = come.iter().map(|come| (come.at, come.is_due, come.times)).collect();
            assert_eq!(told, expected, "{at}");
            assert_eq!(plan.come(now, patience), [], "{at}: told once");
            assert!(plan.next().is_none_or(|next| next > now), "{at}");
        }
    }

    #[test]
    fn a_reload_begins_with_what_is_new() {
        let mut plan = Plan::default();
        plan.take(vec![planned("0 10 * * *")], Time(0));
        assert_eq!(plan.next(), Some(TEN));
        // Half past nine is over when its schedule comes; ten o'clock was known before.
        plan.take(vec![planned("30 9 * * *"), planned("0 10 * * *")], after(TEN, 5));
        let come = plan.come(after(TEN, 10), PATIENCE);
        assert_eq!(come.iter().map(|come| (come.at, come.is_due)).collect::<Vec<_>>(), [(TEN, true)]);
        assert_eq!(plan.next(), Some(after(TEN, (24 * 60 - 30) * MINUTE)));
        plan.take(Vec::new(), TEN);
        assert_eq!((plan.next(), plan.all().count()), (None, 0));
    }

    #[test]
    fn a_long_stop_is_counted_to_a_limit() {
        let mut plan = Plan::default();
        plan.take(vec![planned("* * * * *")], Time(0));
        let come = plan.come(Time(100_000 * MINUTE), Duration::ZERO);
        assert_eq!(come.iter().map(|come| come.times).collect::<Vec<_>>(), [MOST_MISSED]);
    }
}
