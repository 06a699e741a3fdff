//! How many of a provider's candidates fell together, and the verdict on the provider that follows.
//!
//! A candidate *counts* if it was up within the last 24 h and has not fallen by a fault that is not its provider's (its
//! origin's, its own configuration). It has *fallen* if it fell within the last 10 min and is not up again, or if it fell
//! so and has been down ever since, as long as its provider is not up.
//!
//! This table is the test's table too. `zones` are those of the counted candidates, `in` those of the fallen ones.
//!
//! | before | counted | fallen | zones | in | verdict |
//! | --- | --- | --- | --- | --- | --- |
//! | up | 2 | 2 | 2 | 2 | unknown |
//! | down | 2 | 2 | 2 | 2 | unknown |
//! | unknown | 3 | 0 | 1 | 0 | up |
//! | up | 3 | 2 | 2 | 2 | up |
//! | up | 3 | 3 | 1 | 1 | down |
//! | up | 12 | 3 | 4 | 1 | up |
//! | up | 12 | 3 | 4 | 2 | impaired |
//! | up | 12 | 3 | 1 | 1 | impaired |
//! | up | 30 | 3 | 4 | 2 | impaired |
//! | up | 31 | 3 | 4 | 2 | up |
//! | up | 12 | 5 | 4 | 3 | impaired |
//! | up | 12 | 6 | 4 | 3 | down |
//! | impaired | 12 | 6 | 4 | 2 | down |
//! | impaired | 12 | 5 | 4 | 2 | impaired |
//! | impaired | 12 | 2 | 4 | 2 | up |
//! | down | 12 | 5 | 4 | 2 | down |
//! | down | 12 | 3 | 4 | 1 | down |
//! | down | 20 | 4 | 4 | 2 | down |
//! | down | 20 | 3 | 4 | 2 | impaired |
//! | down | 12 | 2 | 4 | 2 | up |
//!
//! All of it is counted as candidates change, never by looking at all names: a change costs a few additions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;

use super::observation::{Fault, Stage};
use super::time::Time;
use super::transition::Verdict;

/// Candidates that fell within this span fell together.
pub(super) const TOGETHER: Duration = Duration::from_secs(600);
/// A candidate that was not up for so long says nothing of its provider.
pub(super) const COUNTED_FOR: Duration = Duration::from_secs(86_400);
/// With fewer counted candidates there is no verdict.
const LEAST_COUNTED: u32 = 3;
/// Fewer fallen ones make no verdict.
const LEAST_FALLEN: u32 = 3;
/// Shares of the counted candidates, in percent: impaired from, down from, up again below, and from here on those too
/// count as down that pass.
const IMPAIRED_FROM: u32 = 10;
const DOWN_FROM: u32 = 50;
const UP_BELOW: u32 = 20;
const ALL_FROM: u32 = 80;
/// Fallen candidates must be in so many zones, if the counted ones are.
const LEAST_ZONES: u32 = 2;

/// How a provider stands as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderState {
    /// Unknown as long as fewer than 3 candidates count.
    pub verdict: Verdict,
    pub since: Time,
    /// Candidates that were up within the last 24 h.
    pub counted: u32,
    /// Those of them that fell within 10 min.
    pub fallen: u32,
    /// How many zones the fallen ones are in.
    pub zones: u32,
    /// `7 of 12 counted candidates fell within 10 min, in 4 zones: status 500`.
    pub evidence: String,
}

/// What one candidate adds to its provider's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) counted: bool,
    pub(super) fallen: Option<Fallen>,
    /// It is down itself, counted or not.
    pub(super) down: bool,
}

/// A fall that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fallen {
    pub(super) class: FaultClass,
    /// When its failures began.
    pub(super) began: Time,
}

/// Faults that are counted as one kind; nothing where it is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FaultClass(Option<(Stage, Option<u16>)>);

impl FaultClass {
    pub(super) fn of(fault: Option<&Fault>) -> Self {
        Self(fault.map(|fault| (fault.stage, fault.status)))
    }

    fn words(self) -> String {
        match self.0 {
            Some((_, Some(status))) => format!("status {status}"),
            Some((stage, None)) => stage.word().to_owned(),
            None => "seen before the start".to_owned(),
        }
    }
}

/// One candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The number of its name, and its place under it.
    pub(super) name: usize,
    pub(super) at: usize,
    /// It is down itself, so that what its provider does need not be looked at there.
    pub(super) down: bool,
}

/// One provider's account.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Its candidates, in the order of `install`.
    pub(super) members: Vec<Member>,
    counted: u32,
    fallen: u32,
    /// By zone: how many count, and how many have fallen.
    zones: HashMap<Arc<str>, (u32, u32), FixedState>,
    zones_fallen: u32,
    classes: BTreeMap<FaultClass, u32>,
    /// When the failures of who fell last began.
    pub(super) began: Time,
    pub(super) verdict: Verdict,
    pub(super) since: Time,
    /// It is down for all its candidates, be it that they pass.
    pub(super) all: bool,
    /// When being down takes hold of those who have not fallen.
    pub(super) acts_at: Option<Time>,
}

impl Account {
    /// What the table says of the counts as they are.
    pub(super) fn judge(&self) -> Verdict {
        let zones = u32::try_from(self.zones.len()).unwrap_or(u32::MAX);
        judge(self.verdict, self.counted, self.fallen, zones, self.zones_fallen)
    }

    /// Whether so many fell that a pass is no excuse.
    pub(super) fn has_lost_all(&self) -> bool {
        is_part(self.fallen, self.counted, ALL_FROM)
    }

    pub(super) fn state(&self) -> ProviderState {
        let Self { verdict, since, counted, .. } = *self;
        if verdict == Verdict::Unknown {
            let evidence = format!("{counted} counted are too few, {LEAST_COUNTED} make a verdict");
            return ProviderState { verdict, since, counted, fallen: 0, zones: 0, evidence };
        }
        ProviderState {
            verdict: self.verdict,
            since: self.since,
            counted: self.counted,
            fallen: self.fallen,
            zones: self.zones_fallen,
            evidence: self.evidence(),
        }
    }

    /// `7 of 12 counted candidates fell within 10 min, in 4 zones: status 500`, with the most frequent fault.
    pub(super) fn evidence(&self) -> String {
        let Self { fallen, counted, zones_fallen, .. } = self;
        let candidates = if *counted == 1 { "candidate" } else { "candidates" };
        let mut words = format!("{fallen} of {counted} counted {candidates} fell within 10 min");
        if *fallen > 0 {
            let zones = if *zones_fallen == 1 { "zone" } else { "zones" };
            words += &format!(", in {zones_fallen} {zones}");
        }
        if let Some((class, _)) = self.classes.iter().max_by_key(|(_, count)| **count) {
            words += ": ";
            words += &class.words();
        }
        words
    }

    /// Nobody is counted any more; the verdict stays.
    pub(super) fn empty(&mut self) {
        let (began, verdict, since, all, acts_at) = (self.began, self.verdict, self.since, self.all, self.acts_at);
        *self = Self { began, verdict, since, all, acts_at, ..Self::default() };
    }

    /// One of its candidates is down itself from now on, or no longer.
    fn mark(&mut self, name: usize, at: usize, down: bool) {
        if let Ok(place) = self.members.binary_search_by_key(&(name, at), |member| (member.name, member.at)) {
            self.members[place].down = down;
        }
    }

    fn change(&mut self, zone: &Arc<str>, before: Entry, after: Entry) {
        add(&mut self.counted, before.counted, after.counted);
        add(&mut self.fallen, before.fallen.is_some(), after.fallen.is_some());
        let of_zone = self.zones.entry(Arc::clone(zone)).or_default();
        let had = of_zone.1 > 0;
        add(&mut of_zone.0, before.counted, after.counted);
        add(&mut of_zone.1, before.fallen.is_some(), after.fallen.is_some());
        let has = of_zone.1 > 0;
        add(&mut self.zones_fallen, had, has);
        if *of_zone == (0, 0) {
            self.zones.remove(zone);
        }
        if let Some(fallen) = before.fallen
            && let Some(count) = self.classes.get_mut(&fallen.class)
        {
            *count -= 1;
            if *count == 0 {
                self.classes.remove(&fallen.class);
            }
        }
        if let Some(fallen) = after.fallen {
            *self.classes.entry(fallen.class).or_default() += 1;
            self.began = self.began.max(fallen.began);
        }
    }
}

/// All accounts, by provider id.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies {
    pub(super) accounts: HashMap<Arc<str>, Account, FixedState>,
    /// When a name's candidates no longer have fallen, or no longer count, by the name's number.
    pub(super) due: BTreeSet<(Time, usize)>,
    /// By provider id, what was told of it last, where that is not that it is up.
    told: BTreeMap<Arc<str>, Verdict>,
}

impl Tallies {
    /// A candidate adds something else now. Tells whether anything changed.
    pub(super) fn change(&mut self, provider: &str, zone: &Arc<str>, before: Entry, after: Entry) -> bool {
        let changed = before != after;
        if changed && let Some(account) = self.accounts.get_mut(provider) {
            account.change(zone, before, after);
        }
        changed
    }

    /// A candidate is down itself from now on, or no longer.
    pub(super) fn mark(&mut self, provider: &str, name: usize, at: usize, down: bool) {
        if let Some(account) = self.accounts.get_mut(provider) {
            account.mark(name, at, down);
        }
    }

    /// What is believed of a provider.
    pub(super) fn verdict(&self, provider: &str) -> Verdict {
        self.accounts.get(provider).map_or(Verdict::Unknown, |account| account.verdict)
    }

    /// What is to be told of a provider: what was told last, and what is believed now. Nothing where that is the same. So what is told of one provider
    /// is a chain without a gap. That a verdict begins to exist, or no longer does, where all was well is no news.
    pub(super) fn tell(&mut self, provider: &Arc<str>) -> Option<(Verdict, Verdict)> {
        let now = self.verdict(provider);
        let before = self.told.get(provider).copied().unwrap_or(Verdict::Up);
        if before == now || (before, now) == (Verdict::Up, Verdict::Unknown) {
            return None;
        }
        match now {
            Verdict::Up => drop(self.told.remove(provider)),
            _ => drop(self.told.insert(Arc::clone(provider), now)),
        }
        Some((before, now))
    }

    /// The providers of which something was told last that is not so any more, since no candidate is theirs.
    pub(super) fn vanished(&self) -> Vec<Arc<str>> {
        let told = self.told.iter().filter(|(_, verdict)| **verdict != Verdict::Unknown);
        told.map(|(id, _)| id).filter(|id| !self.accounts.contains_key(*id)).cloned().collect()
    }

    /// Whether fewer failures than else make a candidate of this provider down.
    pub(super) fn is_hasty(&self, provider: &str) -> bool {
        matches!(self.verdict(provider), Verdict::Impaired | Verdict::Down)
    }

    /// When time alone changes something.
    pub(super) fn next_due(&self) -> Option<Time> {
        let acts = self.accounts.values().filter_map(|account| account.acts_at).min();
        self.due.first().map(|(due, _)| *due).into_iter().chain(acts).min()
    }
}

/// The table above.
fn judge(before: Verdict, counted: u32, fallen: u32, zones: u32, zones_fallen: u32) -> Verdict {
    let spread = zones < LEAST_ZONES || zones_fallen >= LEAST_ZONES;
    let falls = fallen >= LEAST_FALLEN && spread;
    match () {
        () if counted < LEAST_COUNTED => Verdict::Unknown,
        () if falls && is_part(fallen, counted, DOWN_FROM) => Verdict::Down,
        () if before == Verdict::Down && is_part(fallen, counted, UP_BELOW) => Verdict::Down,
        () if falls && is_part(fallen, counted, IMPAIRED_FROM) => Verdict::Impaired,
        () => Verdict::Up,
    }
}

fn is_part(part: u32, whole: u32, percent: u32) -> bool {
    u64::from(part) * 100 >= u64::from(whole) * u64::from(percent)
}

fn add(count: &mut u32, before: bool, after: bool) {
    *count = (*count + u32::from(after)).saturating_sub(u32::from(before));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(word: &str) -> Verdict {
        use Verdict::{Down, Impaired, Unknown, Up};
        *[Up, Impaired, Down, Unknown].iter().find(|verdict| verdict.as_str() == word).expect("a verdict")
    }

    #[test]
    fn the_table_holds() {
        let rows: Vec<&str> = include_str!("tally.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("before |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 20);
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let number = |at: usize| cells[at].parse().expect("a number");
            let judged = judge(verdict(cells[0]), number(1), number(2), number(3), number(4));
            assert_eq!(judged, verdict(cells[5]), "{row}");
        }
    }

    #[test]
    fn what_is_told_is_a_chain() {
        use Verdict::{Down, Impaired, Unknown, Up};
        let bunny: Arc<str> = "bunny".into();
        let mut tallies = Tallies::default();
        // What is believed, and what is told of it.
        for (believed, told) in [
            (Unknown, None),
            (Up, None),
            (Unknown, None),
            (Down, Some((Up, Down))),
            (Down, None),
            (Unknown, Some((Down, Unknown))),
            (Up, Some((Unknown, Up))),
            (Impaired, Some((Up, Impaired))),
            (Unknown, Some((Impaired, Unknown))),
            (Down, Some((Unknown, Down))),
            (Up, Some((Down, Up))),
        ] {
            tallies.accounts.entry(Arc::clone(&bunny)).or_default().verdict = believed;
            assert_eq!(tallies.tell(&bunny), told, "{believed}");
            assert!(tallies.vanished().is_empty());
        }
        tallies.accounts.entry(Arc::clone(&bunny)).or_default().verdict = Down;
        tallies.tell(&bunny);
        tallies.accounts.clear();
        assert_eq!(tallies.vanished(), [Arc::clone(&bunny)]);
        assert_eq!((tallies.tell(&bunny), tallies.tell(&bunny)), (Some((Down, Unknown)), None));
        assert!(tallies.vanished().is_empty());
    }

    #[test]
    fn an_account_counts_up_and_down_and_names_its_evidence() {
        let mut account = Account::default();
        let fault = |status| Fault {
            stage: Stage::Status,
            status: Some(status),
            certificate: None,
            page: None,
            reason: String::new(),
        };
        let fell = |status| Entry {
            counted: true,
            fallen: Some(Fallen { class: FaultClass::of(Some(&fault(status))), began: Time(7) }),
            down: true,
        };
        let (nothing, up) = (Entry::default(), Entry { counted: true, ..Entry::default() });
        let zones: [Arc<str>; 2] = ["a.example.".into(), "b.example.".into()];
        for at in 0..4 {
            account.change(&zones[at % 2], nothing, up);
        }
        assert_eq!(account.state().evidence, "4 counted are too few, 3 make a verdict");
        account.verdict = Verdict::Up;
        assert_eq!(
            (account.judge(), &*account.evidence()),
            (Verdict::Up, "0 of 4 counted candidates fell within 10 min")
        );
        for (at, status) in [500, 502, 500].into_iter().enumerate() {
            account.change(&zones[at % 2], up, fell(status));
        }
        assert_eq!(account.judge(), Verdict::Down);
        assert_eq!(account.evidence(), "3 of 4 counted candidates fell within 10 min, in 2 zones: status 500");
        assert!(!account.has_lost_all() && account.began == Time(7));
        for (at, status) in [500, 502, 500].into_iter().enumerate() {
            account.change(&zones[at % 2], fell(status), nothing);
        }
        assert_eq!((account.judge(), account.state().fallen, account.state().zones), (Verdict::Unknown, 0, 0));
        account.change(&zones[1], up, nothing);
        assert!(account.zones.is_empty() && account.classes.is_empty());
    }
}
