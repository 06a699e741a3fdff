//! The ledger: for how long, and how often, each provider answered for each steered name.
//!
//! An account is what is told apart: a name, the area rule, and who answered: a provider with its home, or the owner's own
//! records. For each name and area rule a clock runs while the server does. Its time goes to the accounts by the shares of
//! the decision in force, so that a name that splits 70/30 for 100 s gives 70 s and 30 s. The parts of a span are cut at
//! the points that the shares are cut at, rounded down, so that they add up to the span to the millisecond.
//!
//! | what happens | what the ledger does |
//! | --- | --- |
//! | a decision | the time so far goes to the accounts of the one before; the clock runs on under the new one |
//! | a name leaves | its time so far goes to the accounts; its clock is gone |
//! | answers | go to an account by its number |
//! | an hour ends | all time so far goes to the accounts; the hour's lines are written for good |
//! | every few seconds | what changed in the open hour is to be written, with the time until which all holds |
//! | a restart | what ran goes on until the last time that was written; from there on nothing is counted |
//!
//! Time that is not written costs nothing: a line of the open hour says since when the account has which points, so that it
//! is written again when a decision changes, and not because time goes by. Answers are written as what came to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::home::Home;
use super::shares::POINTS;
use super::time::Time;

/// Milliseconds.
pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;

/// What is told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The steered name.
    pub name: Arc<str>,
    /// What the area rule says (`prefer=eu only=eu`); empty for the plain one.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub rule: Arc<str>,
    /// None: the owner's own records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
}

/// A provider under one jurisdiction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Party {
    pub provider: Arc<str>,
    pub home: Home,
}

/// Accounts with points of one clock: who holds which, one after the other. The points of all add up to all there are.
pub type Points = Vec<(Account, u32)>;

/// A time for which the server ran and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub from: Time,
    /// Until here all is counted.
    pub until: Time,
    /// It ended as it should, so that nothing came after.
    pub clean: bool,
    /// Something of it could not be kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacking: bool,
}

/// One account's part of an hour or a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub account: u32,
    /// Milliseconds that are over.
    pub millis: u64,
    pub answers: u64,
    /// Time that runs on.
    pub running: Option<Running>,
}

/// Points that an account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    pub since: Time,
    /// The first point, and where they end.
    pub points: (u32, u32),
}

/// What is to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Accounts that are new, by number.
    pub accounts: Vec<(u32, Account)>,
    /// Hours that are over, in order, by their number since the epoch: all their lines, in the order of accounts.
    pub hours: Vec<(u32, Vec<Line>)>,
    pub open: Open,
}

/// What is new in the open hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Which it is.
    pub hour: u32,
    /// The lines are all of it: so it is where the hour is another one than the last time.
    pub whole: bool,
    /// Lines in place of those before, in the order of accounts.
    pub lines: Vec<Line>,
    /// Answers that others have more, in the order of accounts.
    pub answers: Vec<(u32, u64)>,
}

/// What a restart takes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLedger {
    pub accounts: Vec<(u32, Account)>,
    /// Numbers below this one may be in use, whether or not their accounts are known.
    pub next: u32,
    /// In the order of time.
    pub runs: Vec<Run>,
    /// The hour that was open.
    pub hour: u32,
    pub lines: Vec<Line>,
}

/// The books of the hour that is open.
#[derive(Debug, Default)]
pub struct Ledger {
    numbers: HashMap<Account, u32>,
    next: u32,
    clocks: HashMap<Arc<str>, Vec<Clock>>,
    hour: u32,
    open: BTreeMap<u32, Sum>,
    /// Accounts of which a line is to be written ...
    changed: BTreeSet<u32>,
    /// ... or answers alone.
    counted: BTreeMap<u32, u64>,
    /// The open hour is to be written as a whole.
    whole: bool,
    /// Accounts and hours that are to be written.
    accounts_due: Vec<(u32, Account)>,
    hours_due: Vec<(u32, Vec<Line>)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    millis: u64,
    answers: u64,
}

/// The time of one area rule of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clock {
    since: Time,
    /// Accounts with where their points end.
    ends: Vec<(u32, u32)>,
}

impl Running {
    /// The milliseconds of this account until `now`.
    pub fn millis(&self, now: Time) -> u64 {
        let span = u128::from(now.0.saturating_sub(self.since.0));
        let cut = |point: u32| (span * u128::from(point) / u128::from(POINTS)) as u64;
        cut(self.points.1) - cut(self.points.0.min(self.points.1))
    }
}

impl Line {
    /// The milliseconds until `now`.
    pub fn millis(&self, now: Time) -> u64 {
        self.millis + self.running.map_or(0, |running| running.millis(now))
    }
}

/// The number of the hour, or of the day.
pub fn number(time: Time, span: u64) -> u32 {
    u32::try_from(time.0 / span).unwrap_or(u32::MAX)
}

impl Ledger {
    /// Takes up what was kept; nothing runs. Time counts from `now` on.
    pub fn restore(kept: &KeptLedger, now: Time) -> Self {
        let numbers: HashMap<_, _> = kept.accounts.iter().map(|(number, account)| (account.clone(), *number)).collect();
        let next = kept.accounts.iter().map(|(number, _)| number.saturating_add(1)).fold(kept.next, u32::max);
        let mut ledger = Self { numbers, next, hour: number(now, HOUR), whole: true, ..Self::default() };
        let Some(until) = kept.runs.last().map(|run| run.until) else { return ledger };
        ledger.hour = number(until, HOUR);
        // What ran then runs no longer.
        let sum = |line: &Line| (line.account, Sum { millis: line.millis(until), answers: line.answers });
        if ledger.hour == kept.hour {
            ledger.open = kept.lines.iter().map(sum).collect();
        }
        ledger.roll(now);
        ledger
    }

    /// What a name answers from now on, for each of its area rules.
    pub fn decide(&mut self, name: &Arc<str>, rules: Vec<Points>, now: Time) {
        self.roll(now);
        let clocks: Vec<Clock> =
            rules.into_iter().map(|points| Clock { since: now, ends: self.ends(points) }).collect();
        let same = |old: &Vec<Clock>| old.iter().map(|clock| &clock.ends).eq(clocks.iter().map(|clock| &clock.ends));
        if self.clocks.get(name).is_some_and(same) {
            return;
        }
        if let Some(before) = self.clocks.insert(Arc::clone(name), clocks.clone()) {
            before.iter().for_each(|clock| self.settle(clock, now));
        }
        self.changed.extend(clocks.iter().flat_map(|clock| &clock.ends).map(|(account, _)| *account));
    }

    /// One place for each account, also where a provider stands twice.
    fn ends(&mut self, points: Points) -> Vec<(u32, u32)> {
        let mut held: Vec<(u32, u32)> = Vec::with_capacity(points.len());
        for (account, points) in points.into_iter().filter(|(_, points)| *points > 0) {
            let number = self.account(account);
            match held.iter_mut().find(|(known, _)| *known == number) {
                Some((_, sum)) => *sum += points,
                None => held.push((number, points)),
            }
        }
        let mut end = 0;
        held.iter_mut().for_each(|(_, points)| {
            end += *points;
            *points = end;
        });
        held
    }

    /// Names that are steered no longer have no clock.
    pub fn retain(&mut self, stays: impl Fn(&str) -> bool, now: Time) {
        self.roll(now);
        let gone: Vec<_> = self.clocks.extract_if(|name, _| !stays(name)).collect();
        gone.iter().flat_map(|(_, clocks)| clocks).for_each(|clock| self.settle(clock, now));
    }

    /// All that runs ends.
    pub fn stop(&mut self, now: Time) {
        self.retain(|_| false, now);
    }

    /// The number of an account.
    pub fn account(&mut self, account: Account) -> u32 {
        if let Some(number) = self.numbers.get(&account) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.accounts_due.push((number, account.clone()));
        self.numbers.insert(account, number);
        number
    }

    /// The number of an account that there is already.
    pub fn known(&self, account: &Account) -> Option<u32> {
        self.numbers.get(account).copied()
    }

    /// Answers that an account gave since they were counted last.
    pub fn count(&mut self, account: u32, answers: u64) {
        self.open.entry(account).or_default().answers += answers;
        *self.counted.entry(account).or_default() += answers;
    }

    /// What is to be written, so that all until `now` is kept.
    pub fn changes(&mut self, now: Time) -> Changes {
        self.roll(now);
        let whole = std::mem::take(&mut self.whole);
        let changed = std::mem::take(&mut self.changed);
        let mut counted = std::mem::take(&mut self.counted);
        let lines = match (whole, changed.is_empty()) {
            (true, _) => self.lines(|_| true),
            (false, true) => BTreeMap::new(),
            (false, false) => self.lines(|account| changed.contains(account)),
        };
        counted.retain(|account, _| !lines.contains_key(account));
        let (lines, answers) = (lines.into_values().collect(), counted.into_iter().collect());
        Changes {
            accounts: std::mem::take(&mut self.accounts_due),
            hours: std::mem::take(&mut self.hours_due),
            open: Open { hour: self.hour, whole, lines, answers },
        }
    }

    /// The next changes are to have the open hour as a whole: what was written of it is lost, or long.
    pub fn write_whole(&mut self) {
        self.whole = true;
    }

    /// The open hour's lines of these accounts.
    fn lines(&self, is_in: impl Fn(&u32) -> bool) -> BTreeMap<u32, Line> {
        let open = self.open.iter().filter(|(account, _)| is_in(account));
        let mut lines: BTreeMap<u32, Line> = open.map(|(account, sum)| (*account, sum.line(*account))).collect();
        for clock in self.clocks.values().flatten() {
            for (account, points) in clock.points().filter(|(account, _)| is_in(account)) {
                let line = lines.entry(account).or_insert(Line { account, ..Line::default() });
                line.running = Some(Running { since: clock.since, points });
            }
        }
        lines
    }

    /// Closes the hours that are over.
    fn roll(&mut self, now: Time) {
        let current = number(now, HOUR);
        while self.hour < current {
            let end = Time((u64::from(self.hour) + 1) * HOUR);
            let mut clocks = std::mem::take(&mut self.clocks);
            for clock in clocks.values_mut().flatten() {
                self.settle(clock, end);
                clock.since = clock.since.max(end);
            }
            self.clocks = clocks;
            self.close();
            // Where nothing runs there is nothing to tell of the hours between.
            self.hour = if self.clocks.is_empty() { current } else { self.hour + 1 };
        }
    }

    /// The open hour is over.
    fn close(&mut self) {
        let lines: Vec<Line> = std::mem::take(&mut self.open).iter().map(|(account, sum)| sum.line(*account)).collect();
        if !lines.is_empty() {
            self.hours_due.push((self.hour, lines));
        }
        self.changed.clear();
        self.counted.clear();
        self.whole = true;
    }

    fn settle(&mut self, clock: &Clock, now: Time) {
        for (account, points) in clock.points() {
            let millis = Running { since: clock.since, points }.millis(now);
            self.open.entry(account).or_default().millis += millis;
            self.changed.insert(account);
        }
    }
}

impl Clock {
    /// Accounts with their points.
    fn points(&self) -> impl Iterator<Item = (u32, (u32, u32))> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        self.ends.iter().zip(starts).map(|((account, end), start)| (*account, (start, *end)))
    }
}

impl Sum {
    fn line(self, account: u32) -> Line {
        Line { account, millis: self.millis, answers: self.answers, running: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGIN: Time = Time(490_000 * HOUR + 1_234_567);

    /// What a store holds.
    #[derive(Clone, Debug, Default)]
    struct Disk {
        accounts: BTreeMap<u32, Account>,
        hours: BTreeMap<u32, Vec<Line>>,
        hour: u32,
        lines: BTreeMap<u32, Line>,
        runs: Vec<Run>,
    }

    impl Disk {
        fn keep(&mut self, ledger: &mut Ledger, from: Time, now: Time, clean: bool) {
            let Changes { accounts, hours, open } = ledger.changes(now);
            self.accounts.extend(accounts);
            for (hour, lines) in hours {
                assert!(self.hours.insert(hour, lines).is_none(), "an hour is over once");
            }
            assert!(open.whole || open.hour == self.hour);
            if open.whole {
                self.lines.clear();
            }
            self.hour = open.hour;
            self.lines.extend(open.lines.into_iter().map(|line| (line.account, line)));
            for (account, answers) in open.answers {
                self.lines.entry(account).or_insert(Line { account, ..Line::default() }).answers += answers;
            }
            self.runs.retain(|run| run.from != from);
            self.runs.push(Run { from, until: now, clean, lacking: false });
        }

        fn kept(&self) -> KeptLedger {
            KeptLedger {
                accounts: self.accounts.clone().into_iter().collect(),
                next: 0,
                runs: self.runs.clone(),
                hour: self.hour,
                lines: self.lines.values().copied().collect(),
            }
        }

        fn until(&self) -> Time {
            self.runs.last().unwrap().until
        }

        /// Milliseconds and answers by account.
        fn sums(&self) -> BTreeMap<Account, (u64, u64)> {
            let mut sums: BTreeMap<Account, (u64, u64)> = BTreeMap::new();
            for line in self.hours.values().flatten().chain(self.lines.values()) {
                let sum = sums.entry(self.accounts[&line.account].clone()).or_default();
                sum.0 += line.millis(self.until());
                sum.1 += line.answers;
            }
            sums
        }
    }

    fn party(at: usize) -> Option<Party> {
        let (provider, home) = [("bunny", "si"), ("gcore", "lu"), ("fastly", "us")].get(at).copied()?;
        Some(Party { provider: provider.into(), home: home.parse().unwrap() })
    }

    fn account(name: &str, rule: &str, at: usize) -> Account {
        Account { name: name.into(), rule: rule.into(), party: party(at) }
    }

    fn points(name: &str, rule: &str, shares: &[u32]) -> Points {
        shares.iter().enumerate().map(|(at, points)| (account(name, rule, at), *points)).collect()
    }

    #[test]
    fn a_split_of_70_and_30_for_100_s_is_70_s_and_30_s() {
        let (mut ledger, mut disk) = (Ledger::restore(&KeptLedger::default(), BEGIN), Disk::default());
        ledger.decide(&"a.".into(), vec![points("a.", "", &[45_875, 19_661])], BEGIN);
        disk.keep(&mut ledger, BEGIN, Time(BEGIN.0 + 100_000), false);
        let sums = disk.sums();
        let of = |at| sums[&account("a.", "", at)].0;
        assert_eq!((of(0), of(1)), (69_999, 30_001));
    }

    #[test]
    fn the_clocks_of_area_rules_run_beside_each_other_and_a_provider_that_stands_twice_is_one_account() {
        let (mut ledger, mut disk) = (Ledger::restore(&KeptLedger::default(), BEGIN), Disk::default());
        let mut plain = points("a.", "", &[0, 30_000, 15_536]);
        plain.push((account("a.", "", 1), 20_000));
        ledger.decide(&"a.".into(), vec![plain, points("a.", "only=eu", &[POINTS])], BEGIN);
        disk.keep(&mut ledger, BEGIN, Time(BEGIN.0 + 65_536), true);
        let sums = disk.sums();
        let expected =
            [(account("a.", "", 2), 15_536), (account("a.", "", 1), 50_000), (account("a.", "only=eu", 0), 65_536)];
        assert_eq!(sums.into_iter().map(|(account, sum)| (account, sum.0)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn time_alone_writes_nothing_and_answers_what_came() {
        let mut ledger = Ledger::restore(&KeptLedger::default(), BEGIN);
        ledger.decide(&"a.".into(), vec![points("a.", "", &[POINTS])], BEGIN);
        let first = ledger.changes(BEGIN);
        assert_eq!((first.accounts.len(), first.open.lines.len(), first.open.whole), (1, 1, true));
        let hour = number(BEGIN, HOUR);
        let nothing = Changes { open: Open { hour, ..Open::default() }, ..Changes::default() };
        assert_eq!(ledger.changes(Time(BEGIN.0 + 7_000)), nothing);
        ledger.decide(&"a.".into(), vec![points("a.", "", &[POINTS])], Time(BEGIN.0 + 8_000));
        assert_eq!(ledger.changes(Time(BEGIN.0 + 9_000)), nothing, "the same decision again");
        [3, 4].into_iter().for_each(|answers| ledger.count(0, answers));
        assert_eq!(ledger.changes(Time(BEGIN.0 + 9_000)).open.answers, [(0, 7)]);
        ledger.write_whole();
        assert_eq!(ledger.changes(Time(BEGIN.0 + 9_000)).open.lines[0].answers, 7);
        let next = ledger.changes(Time((u64::from(hour) + 1) * HOUR));
        assert_eq!((next.hours.len(), next.hours[0].0, next.hours[0].1[0].running), (1, hour, None));
        assert_eq!((next.open.hour, next.open.whole, next.open.lines[0].running.is_some()), (hour + 1, true, true));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Decide(usize, [u32; 3]),
        Leave(usize),
        Answer(usize, usize, u64),
        Pass(u64),
        Keep,
        Crash(u64),
        Stop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let shares = (0..=POINTS, 0..=POINTS).prop_map(|(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            [a, b - a, POINTS - b]
        });
        let pass = prop_oneof![0..10_000_u64, 0..3 * HOUR, Just(26 * HOUR)];
        prop_oneof![
            4 => (0..3_usize, shares).prop_map(|(name, shares)| Step::Decide(name, shares)),
            1 => (0..3_usize).prop_map(Step::Leave),
            2 => (0..3_usize, 0..4_usize, 1..1_000_u64).prop_map(|(name, at, count)| Step::Answer(name, at, count)),
            4 => pass.clone().prop_map(Step::Pass),
            3 => Just(Step::Keep),
            1 => pass.clone().prop_map(Step::Crash),
            1 => pass.prop_map(Step::Stop),
        ]
    }

    /// The plainest way to count.
    #[derive(Clone, Default)]
    struct Model {
        steered: BTreeSet<usize>,
        millis: [u64; 3],
        answers: u64,
    }

    proptest! {
        #[test]
        fn seconds_add_up_to_the_time_that_passed(steps in prop::collection::vec(step(), 1..60)) {
            const NAMES: [&str; 3] = ["a.", "b.", "c."];
            let (mut ledger, mut disk) = (Ledger::restore(&KeptLedger::default(), BEGIN), Disk::default());
            let (mut now, mut from) = (BEGIN, BEGIN);
            disk.keep(&mut ledger, from, now, false);
            let (mut model, mut kept) = (Model::default(), Model::default());
            for step in steps {
                match step {
                    Step::Decide(name, shares) => {
                        ledger.decide(&NAMES[name].into(), vec![points(NAMES[name], "", &shares)], now);
                        model.steered.insert(name);
                    }
                    Step::Leave(name) => {
                        ledger.retain(|of| of != NAMES[name], now);
                        model.steered.remove(&name);
                    }
                    Step::Answer(name, at, answers) => {
                        let account = ledger.account(account(NAMES[name], "", at));
                        ledger.count(account, answers);
                        model.answers += answers;
                    }
                    Step::Pass(millis) => {
                        now.0 += millis;
                        model.steered.iter().for_each(|name| model.millis[*name] += millis);
                    }
                    Step::Keep => {
                        disk.keep(&mut ledger, from, now, false);
                        kept = model.clone();
                    }
                    Step::Crash(gap) | Step::Stop(gap) => {
                        if matches!(step, Step::Stop(_)) {
                            ledger.stop(now);
                            disk.keep(&mut ledger, from, now, true);
                            kept = model.clone();
                        }
                        now.0 += gap + 1;
                        from = now;
                        ledger = Ledger::restore(&disk.kept(), now);
                        disk.keep(&mut ledger, from, now, false);
                        kept.steered.clear();
                        model = kept.clone();
                    }
                }
            }
            disk.keep(&mut ledger, from, now, false);
            let sums = disk.sums();
            for (at, name) in NAMES.iter().enumerate() {
                let millis: u64 = sums.iter().filter(|(account, _)| *account.name == **name).map(|(_, sum)| sum.0).sum();
                prop_assert_eq!(millis, model.millis[at], "{}", name);
            }
            prop_assert_eq!(sums.values().map(|sum| sum.1).sum::<u64>(), model.answers);
        }

        #[test]
        fn no_part_is_off_by_more_than_a_millisecond(cuts in prop::collection::btree_set(1..POINTS, 0..6), millis in 0..100 * HOUR) {
            let mut ends: Vec<u32> = cuts.into_iter().collect();
            ends.push(POINTS);
            let clock = Clock { since: BEGIN, ends: ends.iter().map(|end| (*end, *end)).collect() };
            let now = Time(BEGIN.0 + millis);
            let parts: Vec<_> = clock.points().map(|(_, points)| (points, Running { since: BEGIN, points }.millis(now))).collect();
            prop_assert_eq!(parts.iter().map(|(_, millis)| millis).sum::<u64>(), millis);
            for ((from, to), part) in parts {
                let fair = millis as f64 * f64::from(to - from) / f64::from(POINTS);
                prop_assert!((part as f64 - fair).abs() <= 1.0);
            }
        }
    }
}
