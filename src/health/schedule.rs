//! When which candidate is probed: a pure table of due times, without clock, sockets or random source.
//!
//! | what | when |
//! | --- | --- |
//! | first probe of a new candidate | at once |
//! | second | after 10 to 100 % of `every`, so that candidates which came together spread out |
//! | each later one | 90 to 100 % of `every` after the start of the one before |
//! | one-off | when the controller says, whatever the pace does |
//! | refresh | when the addresses of a target name run out before the next probe |
//!
//! The pace never stretches: a fault is seen at most `every` after it began, plus one probe. Two paced rounds of one
//! candidate never run together; one that falls due while the last still runs starts when that ends. 100,000
//! candidates are one heap and one map, not 100,000 tasks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::message::Plan;
use super::rotation::Memory;
use crate::steer::observation::{CandidateKey, Cause};
use crate::steer::time::Time;

/// One-off probes of one candidate that may wait at a time; more are dropped.
pub const MAX_ONE_OFFS: u8 = 8;

/// One planned candidate. A plan that changes is another slot, so that what was begun for the old one says nothing
/// about the new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

/// What is to be done for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    Paced,
    OneOff(OneOff),
    /// Resolve the target name again, probe nothing.
    Refresh,
}

impl Task {
    /// Why its probes are sent; none for a refresh, which sends none.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Paced => Some(Cause::Paced),
            Self::OneOff(OneOff::Reprobe) => Some(Cause::Reprobe),
            Self::OneOff(OneOff::Sibling) => Some(Cause::Sibling),
            Self::Refresh => None,
        }
    }
}

/// Why a probe is sent out of pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OneOff {
    Reprobe,
    Sibling,
}

/// One thing that is due now.
#[derive(Clone, Debug)]
pub struct Due {
    pub slot: Slot,
    pub task: Task,
    pub plan: Arc<Plan>,
    pub memory: Memory,
}

/// All planned candidates and when they are due.
#[derive(Debug)]
pub struct Schedule {
    slots: HashMap<Slot, Entry>,
    by_key: HashMap<CandidateKey, Slot>,
    /// Earliest first. Items whose slot is gone, or whose time is no longer the entry's, are passed over.
    queue: BinaryHeap<Reverse<(Time, Slot, Task)>>,
    next: u64,
    chance: Chance,
}

#[derive(Debug)]
struct Entry {
    plan: Arc<Plan>,
    due: Time,
    paced: Paced,
    started_before: bool,
    one_offs: u8,
    refresh: Option<Time>,
    memory: Memory,
}

/// Where the paced round of a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paced {
    Waiting,
    Running,
    /// The next one fell due while it ran.
    Overdue,
}

impl Schedule {
    /// An empty one. Equal seeds give equal jitter.
    pub fn new(seed: u64) -> Self {
        Self { slots: HashMap::new(), by_key: HashMap::new(), queue: BinaryHeap::new(), next: 0, chance: Chance(seed) }
    }

    /// Takes up a new plan: new and changed candidates are due at once, those as before keep their pace, others stop.
    /// Of two plans for one candidate the last counts.
    pub fn plan(&mut self, plans: Vec<Plan>, now: Time) {
        let mut left = std::mem::take(&mut self.by_key);
        for plan in plans {
            let before = left.remove(&plan.candidate).or_else(|| self.by_key.remove(&plan.candidate));
            let key = plan.candidate.clone();
            let slot = match before {
                Some(slot) if self.slots.get(&slot).is_some_and(|entry| *entry.plan == plan) => slot,
                Some(slot) => {
                    self.slots.remove(&slot);
                    self.begin(plan, now)
                }
                None => self.begin(plan, now),
            };
            self.by_key.insert(key, slot);
        }
        for slot in left.into_values() {
            self.slots.remove(&slot);
        }
    }

    fn begin(&mut self, plan: Plan, now: Time) -> Slot {
        let slot = Slot(self.next);
        self.next += 1;
        self.slots.insert(
            slot,
            Entry {
                plan: Arc::new(plan),
                due: now,
                paced: Paced::Waiting,
                started_before: false,
                one_offs: 0,
                refresh: None,
                memory: Memory::default(),
            },
        );
        self.queue.push(Reverse((now, slot, Task::Paced)));
        slot
    }

    /// Orders one probe out of pace, not before `at`. Nothing happens for a candidate that is not planned, or when
    /// [`MAX_ONE_OFFS`] wait already. `Paced` as a cause is an order to bring the paced probe forward.
    pub fn order(&mut self, candidate: &CandidateKey, cause: Cause, at: Time) {
        let Some(slot) = self.by_key.get(candidate).copied() else { return };
        let Some(entry) = self.slots.get_mut(&slot) else { return };
        let one_off = match cause {
            Cause::Reprobe => OneOff::Reprobe,
            Cause::Sibling => OneOff::Sibling,
            Cause::Paced => {
                if at < entry.due && entry.paced == Paced::Waiting {
                    entry.due = at;
                    self.queue.push(Reverse((at, slot, Task::Paced)));
                }
                return;
            }
        };
        if entry.one_offs < MAX_ONE_OFFS {
            entry.one_offs += 1;
            self.queue.push(Reverse((at, slot, Task::OneOff(one_off))));
        }
    }

    /// When something is due next.
    pub fn next_due(&mut self) -> Option<Time> {
        while let Some(Reverse((at, slot, task))) = self.queue.peek().copied() {
            if self.is_current(at, slot, task) {
                return Some(at);
            }
            self.queue.pop();
        }
        None
    }

    /// Takes the next thing that is due at `now`. Each one taken is to be given back to [`Schedule::ended`].
    pub fn take(&mut self, now: Time) -> Option<Due> {
        while self.next_due()? <= now {
            let Reverse((_, slot, task)) = self.queue.pop()?;
            let Some(entry) = self.slots.get_mut(&slot) else { continue };
            match task {
                Task::Paced if entry.paced == Paced::Running => {
                    entry.paced = Paced::Overdue;
                    continue;
                }
                Task::Paced => {
                    let from = if entry.started_before { 0.91 } else { 0.1 };
                    entry.started_before = true;
                    entry.paced = Paced::Running;
                    let every = entry.plan.probe.every;
                    entry.due = on_grid(now.after(self.chance.between(every, from)), every);
                    self.queue.push(Reverse((entry.due, slot, Task::Paced)));
                }
                Task::OneOff(_) => entry.one_offs -= 1,
                Task::Refresh => entry.refresh = None,
            }
            return Some(Due { slot, task, plan: Arc::clone(&entry.plan), memory: entry.memory.clone() });
        }
        None
    }

    /// What was taken has ended; what it learnt is remembered.
    pub fn ended(&mut self, slot: Slot, task: Task, learnt: Memory, now: Time) {
        let Some(entry) = self.slots.get_mut(&slot) else { return };
        entry.memory.learn(learnt);
        if task == Task::Paced {
            if entry.paced == Paced::Overdue {
                entry.due = now;
                self.queue.push(Reverse((now, slot, Task::Paced)));
            }
            entry.paced = Paced::Waiting;
        }
        if let Some(fresh_until) = entry.memory.fresh_until() {
            let is_needed = fresh_until > now && fresh_until < entry.due && entry.refresh != Some(fresh_until);
            if is_needed {
                entry.refresh = Some(fresh_until);
                self.queue.push(Reverse((fresh_until, slot, Task::Refresh)));
            }
        }
    }

    /// Candidates that are planned.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn is_current(&self, at: Time, slot: Slot, task: Task) -> bool {
        let Some(entry) = self.slots.get(&slot) else { return false };
        match task {
            Task::Paced => entry.due == at && entry.paced != Paced::Overdue,
            Task::OneOff(_) => true,
            Task::Refresh => entry.refresh == Some(at),
        }
    }
}

/// The last point of the grid that is not after `at`. Probes that share a pace fall due together, a hundredth of `every`
/// (100 ms at most) apart from the next: waking up costs as much as a probe, so a few at a time are cheaper.
fn on_grid(at: Time, every: Duration) -> Time {
    let step = u64::try_from(every.as_millis() / 100).unwrap_or(100).clamp(1, 100);
    Time(at.0 - at.0 % step)
}

/// A stream of numbers that look random: SplitMix64.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A span between `from` and 1 times `whole`.
    fn between(&mut self, whole: Duration, from: f64) -> Duration {
        let unit = f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        whole.mul_f64(from + (1.0 - from) * unit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::steer::policy::{ProbeRule, Scheme, Target};

    const EVERY: Duration = Duration::from_secs(10);

    fn key(number: usize) -> CandidateKey {
        CandidateKey { name: format!("n{number}.shop.example.").into(), candidate: "bunny".into() }
    }

    fn plan(number: usize, every: Duration) -> Plan {
        Plan {
            candidate: key(number),
            target: Target::Addresses(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            probe: ProbeRule {
                scheme: Scheme::Tcp,
                port: 443,
                path: String::new(),
                host: "shop.example".to_owned(),
                expect: vec![(200, 399)],
                body: None,
                not_body: None,
                slow: None,
                every,
                timeout: Duration::from_secs(3),
            },
        }
    }

    fn take_all(schedule: &mut Schedule, now: Time) -> Vec<Due> {
        std::iter::from_fn(|| schedule.take(now)).collect()
    }

    #[test]
    fn the_first_probe_comes_at_once_and_the_next_ones_spread() {
        let mut schedule = Schedule::new(7);
        schedule.plan((0..1000).map(|n| plan(n, EVERY)).collect(), Time(5_000));
        let first = take_all(&mut schedule, Time(5_000));
        assert_eq!(first.len(), 1000);
        for due in first {
            schedule.ended(due.slot, due.task, Memory::default(), Time(5_010));
        }
        let mut by_second = BTreeMap::new();
        for second in 5..15 {
            let taken = take_all(&mut schedule, Time(second * 1000 + 999));
            *by_second.entry(second).or_insert(0) += taken.len();
        }
        // Nine seconds share a thousand candidates: none has more than twice its part.
        assert!(by_second.values().all(|count| *count < 230), "{by_second:?}");
    }

    #[test]
    fn what_is_as_before_keeps_its_pace_and_what_left_stops() {
        let mut schedule = Schedule::new(1);
        schedule.plan(vec![plan(1, EVERY), plan(2, EVERY)], Time(0));
        for due in take_all(&mut schedule, Time(0)) {
            schedule.ended(due.slot, due.task, Memory::default(), Time(1));
        }
        schedule.plan(vec![plan(2, EVERY), plan(3, EVERY)], Time(50));
        let keys: Vec<_> =
            take_all(&mut schedule, Time(50)).into_iter().map(|due| due.plan.candidate.clone()).collect();
        assert_eq!(keys, [key(3)], "the new one alone starts at once");
        let keys: Vec<_> =
            take_all(&mut schedule, Time(10_050)).into_iter().map(|due| due.plan.candidate.clone()).collect();
        assert!(!keys.contains(&key(1)), "the one that left is probed no more");
        assert!(keys.contains(&key(2)));
        assert_eq!(schedule.len(), 2);
    }

    #[test]
    fn a_changed_rule_starts_anew_and_forgets_what_still_runs() {
        let mut schedule = Schedule::new(1);
        schedule.plan(vec![plan(1, EVERY)], Time(0));
        let old = schedule.take(Time(0)).expect("due");
        schedule.plan(vec![plan(1, EVERY * 2)], Time(10));
        let new = schedule.take(Time(10)).expect("due at once");
        assert_eq!(new.plan.probe.every, EVERY * 2);
        schedule.ended(old.slot, old.task, Memory::default(), Time(20));
        assert!(schedule.take(Time(20)).is_none());
        schedule.plan(vec![], Time(30));
        assert!(schedule.is_empty());
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn two_paced_rounds_never_run_together() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![plan(1, Duration::from_secs(1))], Time(0));
        let due = schedule.take(Time(0)).expect("due");
        assert!(schedule.take(Time(2_900)).is_none());
        assert_eq!(schedule.next_due(), None);
        schedule.ended(due.slot, due.task, Memory::default(), Time(3_000));
        assert_eq!(schedule.next_due(), Some(Time(3_000)));
        assert_eq!(schedule.take(Time(3_000)).map(|due| due.task), Some(Task::Paced));
    }

    #[test]
    fn one_offs_come_when_they_are_ordered_and_are_bounded() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![plan(1, EVERY)], Time(0));
        let due = schedule.take(Time(0)).expect("due");
        schedule.order(&key(1), Cause::Reprobe, Time(500));
        schedule.order(&key(2), Cause::Reprobe, Time(500));
        assert!(schedule.take(Time(499)).is_none());
        let one_off = schedule.take(Time(500)).expect("due, though the paced one still runs");
        assert_eq!(one_off.task.cause(), Some(Cause::Reprobe));
        schedule.ended(due.slot, due.task, Memory::default(), Time(600));
        for _ in 0..100 {
            schedule.order(&key(1), Cause::Sibling, Time(700));
        }
        assert_eq!(take_all(&mut schedule, Time(700)).len(), usize::from(MAX_ONE_OFFS));
        assert!(schedule.next_due().is_some_and(|at| at > Time(600) && at <= Time(10_000)));
    }

    #[test]
    fn addresses_are_renewed_when_they_run_out_before_the_next_probe() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![plan(1, Duration::from_secs(600))], Time(0));
        let due = schedule.take(Time(0)).expect("due");
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let known = Memory::resolved(&addresses, Time(5_000));
        schedule.ended(due.slot, due.task, known, Time(10));
        assert!(schedule.take(Time(4_999)).is_none());
        let refresh = schedule.take(Time(5_000)).expect("due");
        assert_eq!(refresh.task, Task::Refresh);
        assert_eq!(refresh.task.cause(), None);
        // Resolving failed: nothing was learnt, and nothing more is due before the next probe.
        schedule.ended(refresh.slot, refresh.task, Memory::default(), Time(5_010));
        assert!(schedule.next_due().is_some_and(|at| at >= Time(60_000)));
    }

    proptest! {
        /// Whatever the seed, the pace and the length of rounds that end in time: a start follows the last one by 90
        /// to 100 % of `every`, and the first two by 10 to 100 %.
        #[test]
        fn the_pace_never_stretches(seed: u64, every in 1_000_u64..100_000, lasts in 0_u64..900) {
            let mut schedule = Schedule::new(seed);
            schedule.plan(vec![plan(1, Duration::from_millis(every))], Time(0));
            let mut starts = Vec::new();
            while starts.len() < 50 {
                let now = schedule.next_due().expect("planned");
                let due = schedule.take(now).expect("due");
                starts.push(now.0);
                schedule.ended(due.slot, due.task, Memory::default(), Time(now.0 + lasts.min(every / 10 - 1)));
            }
            prop_assert!(starts[1] - starts[0] + every / 100 + 1 >= every / 10 && starts[1] - starts[0] <= every);
            for pair in starts[1..].windows(2) {
                prop_assert!(pair[1] - pair[0] + 1 >= every * 9 / 10, "{pair:?}");
                prop_assert!(pair[1] - pair[0] <= every, "{pair:?}");
            }
        }
    }
}
