//! When which candidate is probed: a pure table of due times, without clock, sockets or random source.
//!
//! | what | when |
//! | --- | --- |
//! | first probe of a new candidate | at once |
//! | second | after 10 to 100 % of `every`, so that checks which came together spread out |
//! | each later one | 90 to 100 % of `every` after the start of the one before |
//! | one-off | when the controller says, whatever the pace does |
//! | refresh | when the addresses of a target name run out before the next probe |
//!
//! What is paced is a check; the candidates that ask the same share its pace, its rotation and its addresses. A check
//! keeps its pace as long as any candidate has it. One that joins later is probed at once, by a one-off of its own.
//!
//! The pace never stretches by itself: a fault is seen at most `every` after it began, plus one probe. Two paced rounds of
//! one check never run together; one that falls due while the last still runs starts when that ends. Where the prober
//! takes less than falls due, it stretches for all alike (`pace`): what is due first is taken first, and the next falls due
//! by when the last was taken. 100,000 checks are one heap and a few maps, not 100,000 tasks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, Plan};
use super::jitter::{Chance, on_grid};
use super::one_offs::{OneOff, OneOffs};
use super::rotation::{Memory, PACED_ADDRESSES};
use crate::steer::observation::{CandidateKey, Cause, Family};
use crate::steer::policy::Target;
use crate::steer::time::Time;

/// One check that is planned. One that left and came back is another slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

/// What is to be done for a check.
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
            Self::OneOff(one_off) => Some(one_off.cause()),
            Self::Refresh => None,
        }
    }
}

/// One thing that is due now.
#[derive(Clone, Debug)]
pub struct Due {
    pub slot: Slot,
    pub task: Task,
    pub check: Arc<Check>,
    /// Whom to tell what its probes see; never empty.
    pub candidates: Arc<[CandidateKey]>,
    /// All who have this check: whom to tell what its target resolves to.
    pub all: Arc<[CandidateKey]>,
    pub memory: Memory,
    /// How long ago a paced round fell due. First rounds are in time, since all of a plan fall due at once.
    pub late: Duration,
}

/// All planned checks and when they are due.
#[derive(Debug)]
pub struct Schedule {
    slots: HashMap<Slot, Entry>,
    by_check: HashMap<Arc<Check>, Slot>,
    by_key: HashMap<CandidateKey, Slot>,
    /// Earliest first. Items whose slot is gone, or whose time is no longer the entry's, are passed over.
    queue: BinaryHeap<Reverse<(Time, Slot, Task)>>,
    next: u64,
    chance: Chance,
}

#[derive(Debug)]
struct Entry {
    check: Arc<Check>,
    /// Sorted; none while the plan that it came with is being taken up.
    candidates: Arc<[CandidateKey]>,
    due: Time,
    paced: Paced,
    started_before: bool,
    one_offs: OneOffs,
    refresh: Option<Time>,
    memory: Memory,
}

/// Where the paced round of a check is.
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
        Self {
            slots: HashMap::new(),
            by_check: HashMap::new(),
            by_key: HashMap::new(),
            queue: BinaryHeap::new(),
            next: 0,
            chance: Chance(seed),
        }
    }

    /// Takes up a new plan: new and changed candidates are due at once, those as before keep their pace, others stop.
    /// Of two plans for one candidate the last counts.
    pub fn plan(&mut self, plans: Vec<Plan>, now: Time) {
        let mut by_key = HashMap::with_capacity(plans.len());
        for plan in plans {
            let (candidate, check) = plan.split();
            let slot = match self.by_check.get(&check) {
                Some(slot) => *slot,
                None => self.begin(check, now),
            };
            by_key.insert(candidate, slot);
        }
        let mut members: HashMap<Slot, Vec<CandidateKey>> = HashMap::new();
        for (key, slot) in &by_key {
            members.entry(*slot).or_default().push(key.clone());
        }
        let before = std::mem::replace(&mut self.by_key, by_key);
        let Self { slots, by_check, queue, .. } = self;
        slots.retain(|slot, entry| match members.remove(slot) {
            Some(candidates) => {
                if entry.shared_by(candidates, |key| before.get(key) == Some(slot), now) {
                    queue.push(Reverse((now, *slot, Task::OneOff(OneOff::First))));
                }
                true
            }
            None => {
                by_check.remove(&entry.check);
                false
            }
        });
    }

    fn begin(&mut self, check: Check, now: Time) -> Slot {
        let (slot, check) = (Slot(self.next), Arc::new(check));
        self.next += 1;
        self.by_check.insert(Arc::clone(&check), slot);
        self.slots.insert(
            slot,
            Entry {
                check,
                candidates: Arc::new([]),
                due: now,
                paced: Paced::Waiting,
                started_before: false,
                one_offs: OneOffs::default(),
                refresh: None,
                memory: Memory::default(),
            },
        );
        self.queue.push(Reverse((now, slot, Task::Paced)));
        slot
    }

    /// Orders one probe out of pace, not before `at`; one that waits may answer it too. Nothing happens for a candidate
    /// that is not planned, or when too many wait. `Paced` as a cause is an order to bring the paced probe forward.
    pub fn order(&mut self, candidate: &CandidateKey, cause: Cause, at: Time, now: Time) {
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
        if let Some(at) = entry.one_offs.ask(one_off, candidate, at, now) {
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
            let Reverse((at, slot, task)) = self.queue.pop()?;
            let Some(entry) = self.slots.get_mut(&slot) else { continue };
            let mut candidates = Arc::clone(&entry.candidates);
            let mut late = Duration::ZERO;
            match task {
                Task::Paced if entry.paced == Paced::Running => {
                    entry.paced = Paced::Overdue;
                    continue;
                }
                Task::Paced => {
                    let from = if entry.started_before { 0.91 } else { 0.1 };
                    late = if entry.started_before { now.since(at) } else { Duration::ZERO };
                    entry.started_before = true;
                    entry.paced = Paced::Running;
                    let every = entry.check.probe.every;
                    entry.due = on_grid(now.after(self.chance.between(every, from)), every);
                    self.queue.push(Reverse((entry.due, slot, Task::Paced)));
                }
                Task::OneOff(one_off) => {
                    candidates = entry.begin_one_off(one_off, at, |key| self.by_key.get(key) == Some(&slot));
                    if candidates.is_empty() {
                        continue;
                    }
                }
                Task::Refresh => entry.refresh = None,
            }
            let (check, all) = (Arc::clone(&entry.check), Arc::clone(&entry.candidates));
            return Some(Due { slot, task, check, candidates, all, memory: entry.memory.clone(), late });
        }
        None
    }

    /// What was taken has ended; what it learnt is remembered.
    pub fn ended(&mut self, slot: Slot, task: Task, mut learnt: Memory, now: Time) {
        let Some(entry) = self.slots.get_mut(&slot) else { return };
        // Others ask here too: their pass does not hide the address that a re-probe is to look at again.
        let of_others = matches!(task, Task::OneOff(OneOff::First | OneOff::Sibling));
        if of_others && entry.one_offs.any(OneOff::Reprobe) {
            learnt.forget_passes();
        }
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

    /// Requests that are under way at once when all last as long as they may.
    pub fn needs(&self) -> usize {
        let thousandths: u64 = self.slots.values().map(|entry| entry.check.needs()).sum();
        usize::try_from(thousandths.div_ceil(1_000)).unwrap_or(usize::MAX)
    }

    /// Checks that are planned, each of which sends one round of requests at a time.
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
            Task::OneOff(one_off) => entry.one_offs.wait_for(one_off, at),
            Task::Refresh => entry.refresh == Some(at),
        }
    }
}

impl Check {
    /// Requests of its paced rounds that are under way on average when all last as long as they may, in thousandths.
    fn needs(&self) -> u64 {
        let addresses = match &self.target {
            Target::Name(_) => PACED_ADDRESSES * Family::ALL.len(),
            Target::Addresses(all) => {
                let of = |family| all.iter().filter(|address| Family::of(**address) == family).count();
                Family::ALL.map(|family| of(family).min(PACED_ADDRESSES)).iter().sum()
            }
        };
        let every = self.probe.every.as_millis().max(1);
        // A round never begins before the last has ended.
        let lasts = self.probe.timeout.as_millis().min(every);
        u64::try_from(addresses as u128 * lasts * 1_000 / every).unwrap_or(u64::MAX)
    }
}

impl Entry {
    /// These have the check now. Tells whether there is to be a first probe of some that join others.
    fn shared_by(&mut self, mut candidates: Vec<CandidateKey>, had: impl Fn(&CandidateKey) -> bool, now: Time) -> bool {
        let is_new = self.candidates.is_empty();
        candidates.sort_unstable();
        if *self.candidates == *candidates {
            return false;
        }
        self.candidates = candidates.into();
        let joined = self.candidates.iter().filter(|key| !is_new && !had(key));
        let asked: Vec<Time> = joined.filter_map(|key| self.one_offs.ask(OneOff::First, key, now, now)).collect();
        !asked.is_empty()
    }

    /// Takes what was asked for `at`, for those who have this check still. What begins for a candidate that joined
    /// resolves the target anew, since it was not told what the others were.
    fn begin_one_off(&mut self, one_off: OneOff, at: Time, has: impl Fn(&CandidateKey) -> bool) -> Arc<[CandidateKey]> {
        let mut asked: Vec<CandidateKey> = self.one_offs.take(one_off, at).into_iter().filter(has).collect();
        if one_off == OneOff::First {
            self.memory.run_out();
        }
        if asked.len() == self.candidates.len() {
            return Arc::clone(&self.candidates);
        }
        asked.sort_unstable();
        asked.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::steer::observation::Stage;
    use crate::steer::policy::{ProbeRule, Scheme};

    const EVERY: Duration = Duration::from_secs(10);

    fn key(number: usize) -> CandidateKey {
        CandidateKey { name: format!("n{number}.shop.example.").into(), candidate: "bunny".into() }
    }

    /// One that asks what no other asks.
    fn plan(number: usize, every: Duration) -> Plan {
        let mut plan = shared(number, every);
        plan.probe.host = format!("n{number}.shop.example");
        plan
    }

    /// One that asks what all others of this pace ask.
    fn shared(number: usize, every: Duration) -> Plan {
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

    fn whom(due: &[Due]) -> Vec<CandidateKey> {
        due.iter().flat_map(|due| due.candidates.iter().cloned()).collect()
    }

    /// Takes what is due and ends it at once.
    fn carry_out(schedule: &mut Schedule, now: Time) -> Vec<Due> {
        let taken = take_all(schedule, now);
        for due in &taken {
            schedule.ended(due.slot, due.task, Memory::default(), now);
        }
        taken
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
        let keys = whom(&take_all(&mut schedule, Time(50)));
        assert_eq!(keys, [key(3)], "the new one alone starts at once");
        let keys = whom(&take_all(&mut schedule, Time(10_050)));
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
        assert_eq!(new.check.probe.every, EVERY * 2);
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
    fn one_offs_come_when_they_are_ordered() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![plan(1, EVERY)], Time(0));
        let due = schedule.take(Time(0)).expect("due");
        schedule.order(&key(1), Cause::Reprobe, Time(500), Time(5));
        schedule.order(&key(2), Cause::Reprobe, Time(500), Time(5));
        assert!(schedule.take(Time(499)).is_none());
        let one_off = schedule.take(Time(500)).expect("due, though the paced one still runs");
        assert_eq!(one_off.task.cause(), Some(Cause::Reprobe));
        schedule.ended(due.slot, due.task, Memory::default(), Time(600));
        for _ in 0..100 {
            schedule.order(&key(1), Cause::Sibling, Time(700), Time(700));
        }
        assert_eq!(take_all(&mut schedule, Time(700)).len(), 1);
        assert!(schedule.next_due().is_some_and(|at| at > Time(600) && at <= Time(10_000)));
    }

    #[test]
    fn what_many_ask_alike_is_asked_once_for_all() {
        let mut schedule = Schedule::new(3);
        let alike = |from: usize| (from..from + 500).map(|number| shared(number, EVERY));
        let mut other = shared(1_000, EVERY);
        other.probe.expect = vec![(200, 200)];
        schedule.plan(alike(0).chain([other]).chain(alike(500)).collect(), Time(0));
        let first = carry_out(&mut schedule, Time(0));
        let mut sizes: Vec<usize> = first.iter().map(|due| due.candidates.len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1_000]);
        // All look again; some, and one asked twice, were asked for as siblings.
        for number in 0..1_000 {
            schedule.order(&key(number), Cause::Reprobe, Time(1_010), Time(10));
        }
        for number in [7, 3, 7] {
            schedule.order(&key(number), Cause::Sibling, Time(10), Time(10));
        }
        let siblings = take_all(&mut schedule, Time(10));
        assert_eq!((siblings.len(), whom(&siblings)), (1, vec![key(3), key(7)]));
        let again = take_all(&mut schedule, Time(1_010));
        assert_eq!((again.len(), again[0].candidates.len()), (1, 1_000));
        assert!(Arc::ptr_eq(&again[0].candidates, &again[0].all));
    }

    #[test]
    fn what_is_under_way_answers_nobody_who_asks_later() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![shared(1, EVERY), shared(2, EVERY)], Time(0));
        carry_out(&mut schedule, Time(0));
        schedule.order(&key(1), Cause::Sibling, Time(50), Time(50));
        let under_way = schedule.take(Time(50)).expect("due");
        schedule.order(&key(2), Cause::Sibling, Time(50), Time(50));
        let another = schedule.take(Time(50)).expect("a request of its own");
        assert_eq!(whom(&[under_way, another]), [key(1), key(2)]);
    }

    #[test]
    fn checks_split_and_merge_and_keep_their_pace() {
        let mut schedule = Schedule::new(5);
        schedule.plan(vec![shared(1, EVERY), shared(2, EVERY)], Time(0));
        let slot = carry_out(&mut schedule, Time(0))[0].slot;
        let next = schedule.next_due().expect("planned");
        // One leaves for a pace of its own: it alone begins at once.
        schedule.plan(vec![shared(1, EVERY), shared(2, EVERY * 100)], Time(100));
        assert_eq!(whom(&carry_out(&mut schedule, Time(100))), [key(2)]);
        // It comes back and brings another one: the two are probed at once, for themselves.
        schedule.plan(vec![shared(3, EVERY), shared(1, EVERY), shared(2, EVERY)], Time(200));
        let joined = carry_out(&mut schedule, Time(200));
        assert_eq!((joined.len(), joined[0].task.cause()), (1, Some(Cause::Paced)));
        assert_eq!((whom(&joined), joined[0].all.len()), (vec![key(2), key(3)], 3));
        assert_eq!((schedule.len(), schedule.next_due()), (1, Some(next)), "the pace is as before");
        // The one that was there first leaves: the pace is the others' now.
        schedule.plan(vec![shared(2, EVERY), shared(3, EVERY)], Time(300));
        let paced = carry_out(&mut schedule, next);
        assert_eq!((paced[0].slot, paced[0].task, whom(&paced)), (slot, Task::Paced, vec![key(2), key(3)]));
    }

    #[test]
    fn what_was_asked_for_by_one_that_left_is_for_nobody() {
        let mut schedule = Schedule::new(5);
        schedule.plan(vec![shared(1, EVERY), shared(2, EVERY)], Time(0));
        carry_out(&mut schedule, Time(0));
        schedule.order(&key(1), Cause::Reprobe, Time(500), Time(0));
        schedule.order(&key(1), Cause::Reprobe, Time(600), Time(0));
        schedule.order(&key(2), Cause::Reprobe, Time(600), Time(0));
        schedule.plan(vec![shared(1, EVERY * 100), shared(2, EVERY)], Time(10));
        carry_out(&mut schedule, Time(10));
        assert_eq!(whom(&take_all(&mut schedule, Time(500))), []);
        assert_eq!(whom(&take_all(&mut schedule, Time(600))), [key(2)]);
    }

    #[test]
    fn those_who_join_are_told_what_the_target_resolves_to() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![shared(1, EVERY)], Time(0));
        let due = schedule.take(Time(0)).expect("due");
        let known = || Memory::resolved(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], Time(300_000));
        schedule.ended(due.slot, due.task, known(), Time(1));
        schedule.plan(vec![shared(1, EVERY), shared(2, EVERY)], Time(100));
        let first = schedule.take(Time(100)).expect("due");
        assert_eq!((first.memory.fresh(Time(100)), first.memory.last_known().len()), (None, 1));
        // It did not resolve: the next round tries again.
        schedule.ended(first.slot, first.task, Memory::default(), Time(110));
        let next = schedule.next_due().expect("planned");
        assert_eq!(schedule.take(next).map(|due| due.memory.fresh(next)), Some(None));
    }

    #[test]
    fn a_pass_that_others_asked_for_does_not_hide_what_is_to_be_looked_at_again() {
        for (asked_again, expected) in [(true, 2), (false, 1)] {
            let mut schedule = Schedule::new(3);
            schedule.plan(vec![shared(1, EVERY), shared(2, EVERY)], Time(0));
            let all: Vec<IpAddr> = [1, 2].map(|last| IpAddr::from([127, 0, 0, last])).to_vec();
            let due = schedule.take(Time(0)).expect("due");
            let mut failed = Memory::default();
            failed.note(all[1], Some(Stage::Status));
            schedule.ended(due.slot, due.task, failed, Time(10));
            if asked_again {
                schedule.order(&key(1), Cause::Reprobe, Time(1_010), Time(10));
            }
            schedule.order(&key(2), Cause::Sibling, Time(20), Time(20));
            let sibling = schedule.take(Time(20)).expect("due");
            let mut passed = Memory::default();
            passed.note(all[0], None);
            schedule.ended(sibling.slot, sibling.task, passed, Time(30));
            schedule.order(&key(1), Cause::Reprobe, Time(1_010), Time(30));
            let again = schedule.take(Time(1_010)).expect("due");
            assert_eq!(again.memory.choose(&all, Cause::Reprobe), [IpAddr::from([127, 0, 0, expected])]);
        }
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

    #[test]
    fn requests_that_all_time_out_are_what_is_needed_at_once() {
        let mut schedule = Schedule::new(3);
        // One address each, 3 s of every 10.
        schedule.plan((0..1_000).map(|number| plan(number, EVERY)).collect(), Time(0));
        assert_eq!(schedule.needs(), 300);
        let [mut name, mut both] = [plan(1, EVERY), plan(2, Duration::from_secs(1))];
        name.target = Target::Name("shop.b-cdn.net.".into());
        both.target = Target::Addresses((1..4).map(|last| IpAddr::from([127, 0, 0, last])).collect());
        // Up to two of each family; a round that lasts longer than the pace does not begin twice.
        schedule.plan(vec![name, both], Time(0));
        assert_eq!(schedule.needs(), 4, "4 * 3 / 10, and 2");
    }

    #[test]
    fn only_paced_rounds_after_the_first_are_late() {
        let mut schedule = Schedule::new(3);
        schedule.plan(vec![plan(1, EVERY)], Time(0));
        let first = schedule.take(Time(4_000)).expect("due");
        assert_eq!(first.late, Duration::ZERO);
        schedule.ended(first.slot, first.task, Memory::default(), Time(4_100));
        schedule.order(&key(1), Cause::Sibling, Time(4_200), Time(4_200));
        assert_eq!(
            schedule.take(Time(4_900)).map(|due| (due.task.cause(), due.late)),
            Some((Some(Cause::Sibling), Duration::ZERO))
        );
        let due = schedule.next_due().expect("planned");
        let second = schedule.take(due.after(Duration::from_millis(1_234))).expect("due");
        assert_eq!((second.task, second.late), (Task::Paced, Duration::from_millis(1_234)));
    }

    proptest! {
        /// Whoever takes half of what falls due stretches the pace of all alike, of slow and of fast ones.
        #[test]
        fn where_not_all_can_begin_all_wait_alike(seed: u64) {
            let mut schedule = Schedule::new(seed);
            let every = |number: usize| if number.is_multiple_of(10) { EVERY * 2 } else { EVERY };
            schedule.plan((0..200).map(|number| plan(number, every(number))).collect(), Time(0));
            let mut starts: BTreeMap<CandidateKey, Vec<u64>> = BTreeMap::new();
            // 19 a second fall due, 10 are taken.
            for now in (0..300_000).step_by(100) {
                let Some(due) = schedule.take(Time(now)) else { continue };
                starts.entry(due.candidates[0].clone()).or_default().push(now);
                schedule.ended(due.slot, due.task, Memory::default(), Time(now + 50));
            }
            let mut waits = BTreeMap::new();
            for number in 0..200 {
                let pairs = starts[&key(number)].windows(2).map(|pair| pair[1] - pair[0]).skip(2);
                let longest = pairs.max().expect("probed often");
                waits.entry(every(number)).or_insert_with(Vec::new).push(longest);
            }
            for (every, longest) in waits {
                let (least, most) = (longest.iter().min().expect("some"), longest.iter().max().expect("some"));
                prop_assert!(most - least < 3_000, "every {every:?}: {least} to {most} ms");
                prop_assert!(Duration::from_millis(*most) < every + EVERY * 5 / 4, "every {every:?}: {most} ms");
            }
        }

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
