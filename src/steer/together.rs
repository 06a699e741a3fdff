//! What a provider's verdict does to its candidates. How their falls reach its account: `accounts.rs`.
//!
//! | the provider becomes | its candidates that have not fallen |
//! | --- | --- |
//! | impaired | are probed at once, and the siblings of those that serve; two failures in a row make them down |
//! | down | the same; after 5 s those that were heard of since, and do not pass, count as down, and siblings are asked again where none has passed since |
//! | ... for 30 s | those too that were not heard of; two failures in a row made them down before |
//! | down with 80 % and more fallen | count as down at once, be it that they pass; siblings are asked as above |
//! | up or impaired again | are what their own track says, once they have passed since it fell; after more than a minute with the next pass, and their share grows back |
//!
//! Which of them count as down, at a moment after a provider fell. This table is the test's table too; all is in seconds since
//! the fall, those before it with a minus:
//!
//! | fallen | its own probes | at | counts as down |
//! | --- | --- | --- | --- |
//! | half | none | 5 | not yet |
//! | half | none | 29 | not yet |
//! | half | none | 30 | yes |
//! | half | none, and verdicts are frozen | 30 | not yet |
//! | half | passed -5 | 5 | no |
//! | half | passed -6 | 5 | not yet |
//! | half | passed -6 | 30 | yes |
//! | half | passed 4 | 5 | no |
//! | half | failed 2 | 5 | yes |
//! | half | failed 2, and verdicts are frozen | 5 | yes |
//! | half | passed 2, failed 4 | 5 | yes |
//! | half | failed 2, passed 4 | 5 | no |
//! | half | failed 1, failed 2, failed 3 | 5 | no: it is down itself |
//! | 80 % | passed 4 | 5 | yes |
//! | 80 % | failed 1, failed 2, failed 3 | 5 | no: it is down itself |
//!
//! A step touches the names of the provider that it is about, and no others.

use std::sync::Arc;
use std::time::Duration;

use super::effects::{Effects, ProbeWanted};
use super::judge::Judge;
use super::observation::Cause;
use super::sharing::Sharing;
use super::steering::{Steering, siblings};
use super::tally::{Account, Member, ProviderState};
use super::time::Time;
use super::track::BRIEF_OUTAGE;
use super::transition::{Change, Standing, Transition, Verdict};

/// A probe that was asked for when a provider fell has this long to pass; and a pass this old is as good.
const EXCUSED_BY: Duration = Duration::from_secs(5);
/// One that has not ended by then has so long: ten thousand names are not asked within five seconds.
const HEARD_BY: Duration = Duration::from_secs(30);

/// A provider is down, for candidates that have not fallen themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    /// `provider cloudflare is down (7 of 12 counted candidates fell ...)`.
    pub(super) words: String,
    /// When it began: where the clients go must have passed since.
    pub(super) began: Time,
    /// A pass that began before is no evidence against it.
    pub(super) at: Time,
    /// A pass is no evidence at all, as long as it lasts.
    pub(super) all: bool,
}

impl Outage {
    /// Whether it has lasted no longer than what caches bear.
    pub(super) fn is_brief(&self, now: Time) -> bool {
        now.since(self.at) < BRIEF_OUTAGE
    }

    /// Whether this candidate counts as down by it now. None as long as a word of it is waited for; while verdicts are
    /// frozen there is none to be had.
    fn holds(&self, judge: &Judge, frozen: bool, now: Time) -> Option<bool> {
        let excused_from = self.at.before(EXCUSED_BY);
        match () {
            () if judge.summary.standing == Standing::Down => Some(false),
            () if self.all => Some(true),
            () if judge.passes_since(excused_from) => Some(false),
            () if judge.is_seen_since(excused_from) || (!frozen && now >= self.at.after(HEARD_BY)) => Some(true),
            () => None,
        }
    }

    /// Whether this is about the same fall of the provider, and as strict.
    fn is_as(&self, other: &Self) -> bool {
        (self.at, self.all) == (other.at, other.all)
    }
}

impl Steering {
    /// How a provider stands as a whole. None where no steered name has a candidate of it.
    pub fn provider(&self, id: &str) -> Option<ProviderState> {
        self.tallies.accounts.get(id).filter(|account| !account.members.is_empty()).map(Account::state)
    }

    /// What the counts of a provider come to.
    pub(super) fn judge_provider(&mut self, provider: &Arc<str>, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get_mut(provider) else { return };
        if account.verdict == Verdict::Unknown && account.judge() != Verdict::Unknown {
            // Without a verdict no fall grew too old to count. That there is one at all is no news.
            (account.verdict, account.since) = (Verdict::Up, now);
            self.follow(provider, now, effects);
        }
        let Some(account) = self.tallies.accounts.get_mut(provider) else { return };
        let before = account.verdict;
        let verdict = account.judge();
        let all = verdict == Verdict::Down && (account.has_lost_all() || (before == verdict && account.all));
        if before == verdict {
            if all && !account.all {
                (account.all, account.acts_at) = (true, None);
                self.take_hold(provider, now, effects);
                self.ask_for_waiting(provider, now, effects);
            }
            return self.tell(provider, now, effects);
        }
        (account.verdict, account.since, account.all, account.acts_at) = (verdict, now, all, None);
        self.tell(provider, now, effects);
        if before == Verdict::Down {
            self.let_go(provider, now, effects);
        }
        match verdict {
            Verdict::Down if all => {
                self.ask(provider, now, effects);
                self.take_hold(provider, now, effects);
            }
            Verdict::Down => {
                self.ask(provider, now, effects);
                if let Some(account) = self.tallies.accounts.get_mut(provider) {
                    account.acts_at = Some(now.after(EXCUSED_BY));
                }
            }
            Verdict::Impaired if before != Verdict::Down => self.ask(provider, now, effects),
            Verdict::Impaired => {}
            // What was kept while it was not up, and what ends by time, is counted anew.
            Verdict::Up | Verdict::Unknown => self.follow(provider, now, effects),
        }
    }

    /// Tells what is believed of a provider, if that is news.
    pub(super) fn tell(&mut self, provider: &Arc<str>, now: Time, effects: &mut Effects) {
        let Some((from, to)) = self.tallies.tell(provider) else { return };
        let evidence = self.tallies.accounts.get(provider).map(Account::evidence);
        let why = evidence.map_or_else(|| "no candidate is its any more".into(), Into::into);
        let change = Change::Provider { subject: provider.to_string(), from, to };
        effects.transitions.push(Transition { at: now, change, why });
    }

    /// How are those that have not fallen, and the siblings of those of them that serve?
    fn ask(&self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get(provider) else { return };
        for members in by_name(&account.members) {
            let own = || members.iter().filter(|member| !member.down).map(|member| member.at);
            let state = own().next().and_then(|_| self.names.get_index(members.first()?.name));
            let Some((_, state)) = state else { continue };
            let ask = |at| {
                effects.probes.push(ProbeWanted { candidate: state.key(at), cause: Cause::Sibling, at: now });
            };
            match own().any(|at| state.serves(at)) {
                true => (0..state.judges.len()).for_each(ask),
                false => own().for_each(ask),
            }
        }
    }

    /// Time has come to `now`: falls are too old to count, and what a provider's fall waited for has had its time.
    pub(super) fn tick_providers(&mut self, now: Time, effects: &mut Effects) {
        while self.tallies.due.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, name)) = self.tallies.due.pop_first() {
                self.retally(name, now, effects);
            }
        }
        let is_due = |account: &Account| account.acts_at.is_some_and(|at| at <= now);
        let accounts = self.tallies.accounts.iter();
        let mut due: Vec<Arc<str>> =
            accounts.filter(|(_, account)| is_due(account)).map(|(id, _)| Arc::clone(id)).collect();
        due.sort_unstable();
        for provider in due {
            if let Some(account) = self.tallies.accounts.get_mut(&provider) {
                account.acts_at = None;
            }
            self.take_hold(&provider, now, effects);
            self.ask_for_waiting(&provider, now, effects);
        }
    }

    /// Where can those go that count as down? Who passed when the provider fell may have done so before the failures that
    /// are counted now.
    fn ask_for_waiting(&self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get(provider) else { return };
        for member in &account.members {
            let state = self.names.get_index(member.name).map(|(_, state)| state);
            let Some(state) = state.filter(|state| state.is_waiting() && state.serves(member.at)) else { continue };
            if state.judges.get(member.at).is_some_and(|judge| judge.outage.is_some()) {
                effects.probes.extend(siblings(state, member.at, now, |_| true));
            }
        }
    }

    /// Those that have not fallen count as down, but for those that are excused, or are not heard of yet.
    pub(super) fn take_hold(&mut self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get(provider) else { return };
        let words = format!("provider {provider} is down ({})", account.evidence());
        let outage = Arc::new(Outage { words, began: account.began, at: account.since, all: account.all });
        let (mut waits, frozen) = (false, !self.vantage().is_empty());
        self.over_members(provider, now, effects, |judge| {
            let holds = outage.holds(judge, frozen, now);
            waits |= holds.is_none();
            let changes = holds == Some(true) && !judge.outage.as_ref().is_some_and(|known| known.is_as(&outage));
            if changes {
                judge.outage = Some(Arc::clone(&outage));
            }
            changes
        });
        if waits && let Some(account) = self.tallies.accounts.get_mut(provider) {
            account.acts_at = Some(outage.at.after(HEARD_BY).max(now.after(EXCUSED_BY)));
        }
    }

    /// The provider is no longer down: each is what its own track says with its next pass; at once if it has passed since
    /// the provider fell, and that was a moment ago.
    fn let_go(&mut self, provider: &str, now: Time, effects: &mut Effects) {
        // Nearly all were held by one outage, and wait for a pass by one.
        let mut over: Option<(Arc<Outage>, Arc<Outage>)> = None;
        self.over_members(provider, now, effects, |judge| {
            let Some(outage) = judge.outage.take() else { return false };
            if outage.is_brief(now) && judge.passes_since(outage.at) {
                return true;
            }
            let known =
                over.as_ref().filter(|(before, _)| Arc::ptr_eq(before, &outage)).map(|(_, after)| Arc::clone(after));
            judge.outage = Some(known.unwrap_or_else(|| {
                let words = "its provider was down, and it has not passed since".to_owned();
                let after = Arc::new(Outage { words, all: false, ..Outage::clone(&outage) });
                over = Some((outage, Arc::clone(&after)));
                after
            }));
            true
        });
    }

    /// Decides anew the names of a provider for whose candidate `changes` says so. Those that are down themselves are not
    /// looked at: what their provider does is nothing to them.
    fn over_members(
        &mut self,
        provider: &str,
        now: Time,
        effects: &mut Effects,
        mut changes: impl FnMut(&mut Judge) -> bool,
    ) {
        let Some(account) = self.tallies.accounts.get_mut(provider) else { return };
        let members = std::mem::take(&mut account.members);
        let mut sharing = Sharing::of_many();
        // Copied once as it grows, what is told of ten thousand names is a tenth of the step.
        let mut room = members.iter().filter(|member| !member.down).count();
        for of_name in by_name(&members) {
            let mut changed = false;
            for &Member { name, at, .. } in of_name.iter().filter(|member| !member.down) {
                let judge = self.names.get_index_mut(name).and_then(|(_, state)| state.judges.get_mut(at));
                changed |= judge.is_some_and(&mut changes);
            }
            if let Some(member) = of_name.first().filter(|_| changed) {
                effects.transitions.reserve(room);
                effects.decided.reserve(room);
                room = 0;
                self.redecide_at(member.name, now, &mut sharing, effects);
            }
        }
        if let Some(account) = self.tallies.accounts.get_mut(provider) {
            account.members = members;
        }
    }
}

/// Members are in the order of names, so those of one name stand together.
pub(super) fn by_name(members: &[Member]) -> impl Iterator<Item = &[Member]> {
    members.chunk_by(|one, next| one.name == next.name)
}

#[cfg(test)]
mod tests {
    use super::super::areas::PLAIN;
    use super::super::fixture::{IDS, START, at, candidate, seen, steered};
    use super::super::observation::Family;
    use super::super::policy::{Candidate, SteeredName};
    use super::*;

    /// Twenty names that answer with the first of two candidates.
    struct Names(Steering);

    impl Names {
        fn passing() -> Self {
            Self::with(vec![Candidate { standby: true, ..candidate(IDS[1], "us", 3) }])
        }

        fn with(others: Vec<Candidate>) -> Self {
            let candidates = [vec![candidate(IDS[0], "si", 3)], others].concat();
            let rules = |number| Arc::new(steered(&name(number), candidates.clone()));
            let all: Vec<Arc<SteeredName>> = (0..20).map(rules).collect();
            let mut names = Self(Steering::new());
            names.0.install(&all, START);
            for number in 0..20 {
                (0..candidates.len()).for_each(|candidate| names.see(number, candidate, None, 1));
            }
            names
        }

        /// It fails, and its sibling, which is asked then, passes.
        fn fail(&mut self, number: usize, seconds: u64) {
            self.see(number, 0, Some(500), seconds);
            self.see(number, 1, None, seconds);
        }

        fn see(&mut self, number: usize, candidate: usize, status: Option<u16>, seconds: u64) {
            self.see_at(number, candidate, status, at(seconds * 1_000));
        }

        fn see_at(&mut self, number: usize, candidate: usize, status: Option<u16>, now: Time) {
            let mut observation = seen(candidate, Some(Family::V4), Cause::Sibling, status, now);
            observation.candidate.name = name(number).into();
            self.0.observe(&observation, now);
        }

        fn tick(&mut self, seconds: u64) {
            assert_eq!(self.0.next_tick(), Some(at(seconds * 1_000)));
            self.0.tick(at(seconds * 1_000));
        }

        /// Those that answer with the first candidate.
        fn staying(&self) -> Vec<usize> {
            let stays = |number: &usize| self.0.decision(&name(*number), PLAIN).unwrap().reasons[0].share > 0.0;
            (0..20).filter(stays).collect()
        }
    }

    fn name(number: usize) -> String {
        format!("w{number}.shop.example.")
    }

    #[test]
    fn the_table_of_who_counts_as_down_holds() {
        let rows: Vec<Vec<&str>> = include_str!("together.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .map(|row| row.trim_end_matches(" |").split(" | ").collect())
            .filter(|cells: &Vec<&str>| cells.len() == 4 && !matches!(cells[0], "fallen" | "---"))
            .collect();
        assert_eq!(rows.len(), 15);
        let fell = 100_u64;
        let second = |text: &str| fell.checked_add_signed(text.parse().expect("seconds")).expect("a time");
        for row in rows {
            let mut names = Names::passing();
            let mut frozen = false;
            for part in row[1].split(", ") {
                match part.split_once(' ') {
                    None if part == "none" => {}
                    Some(("passed", at)) => names.see(0, 0, None, second(at)),
                    Some(("failed", at)) => names.see(0, 0, Some(500), second(at)),
                    _ if part == "and verdicts are frozen" => frozen = true,
                    _ => panic!("{part}"),
                }
            }
            let at_fall = at(fell * 1_000);
            let outage = Outage { words: String::new(), began: at_fall, at: at_fall, all: row[0] == "80 %" };
            let judge = &names.0.names.get_index(0).expect("a name").1.judges[0];
            let expected = match row[3] {
                "not yet" => None,
                "yes" => Some(true),
                "no" | "no: it is down itself" => Some(false),
                other => panic!("{other}"),
            };
            assert_eq!(outage.holds(judge, frozen, at(second(row[2]) * 1_000)), expected, "{row:?}");
        }
    }

    /// The same bits of who has passed are not the same circumstances where the moment counts.
    #[test]
    fn names_whose_others_passed_a_moment_ago_wait_for_the_silent_one_and_the_rest_leave() {
        let mut names = Names::with(vec![candidate(IDS[1], "us", 3), candidate(IDS[2], "us", 3)]);
        for seconds in 100..=102 {
            for number in 0..10 {
                names.fail(number, seconds);
                names.see(number, 2, None, seconds);
            }
        }
        assert_eq!(names.0.provider(IDS[0]).unwrap().verdict, Verdict::Down);
        (10..20).for_each(|number| names.see(number, 0, Some(500), 104));
        (10..15).for_each(|number| names.see(number, 1, None, 104));
        (15..20).for_each(|number| names.see_at(number, 1, None, at(106_500)));
        names.tick(107);
        assert_eq!(names.staying(), (15..20).collect::<Vec<_>>());
        names.0.tick(at(107_500));
        assert!(names.staying().is_empty());
    }

    #[test]
    fn who_is_not_heard_of_when_a_provider_falls_stays_for_a_while() {
        let mut names = Names::passing();
        for seconds in 100..=102 {
            (0..10).for_each(|number| names.fail(number, seconds));
        }
        assert_eq!(names.0.provider(IDS[0]).unwrap().verdict, Verdict::Down);
        // All are asked; but of most no word has come within five seconds.
        (10..20).for_each(|number| names.see(number, 1, None, 103));
        names.see(10, 0, None, 104);
        names.fail(11, 104);
        assert_eq!(names.staying(), (10..20).collect::<Vec<_>>());
        names.tick(107);
        assert_eq!(names.staying(), [10, 12, 13, 14, 15, 16, 17, 18, 19], "one failure, and no pass");
        // Later words count as they come: one failure may be a lost packet, two in a row are a fall.
        names.fail(12, 110);
        names.see(13, 0, None, 110);
        names.fail(14, 110);
        assert_eq!(names.staying(), [10, 12, 13, 14, 15, 16, 17, 18, 19]);
        names.fail(12, 111);
        names.see(14, 0, None, 111);
        assert_eq!(names.staying(), [10, 13, 14, 15, 16, 17, 18, 19]);
        (15..20).for_each(|number| names.see(number, 1, None, 120));
        names.tick(132);
        assert_eq!(names.staying(), [10, 13, 14], "of the others nobody knows");
    }
}
