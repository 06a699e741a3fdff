//! What a provider's verdict does to its candidates, and how their falls reach its account.
//!
//! | the provider becomes | its candidates that have not fallen |
//! | --- | --- |
//! | impaired | are probed at once, and the siblings of those that serve; two failures in a row make them down |
//! | down | the same; after 5 s those that have not passed since count as down |
//! | down with 80 % and more fallen | count as down at once, be it that they pass |
//! | up or impaired again | are what their own track says, once they have passed since it fell; after more than a minute with the next pass, and their share grows back |
//!
//! A step touches the names of the provider that it is about, and no others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::blame::{apart, blame};
use super::effects::{Effects, ProbeWanted};
use super::name::NameState;
use super::observation::Cause;
use super::sharing::Sharing;
use super::steering::{Steering, remember};
use super::tally::{Account, COUNTED_FOR, ProviderState, TOGETHER};
use super::time::Time;
use super::track::BRIEF_OUTAGE;
use super::transition::{Change, Standing, Transition, Verdict};

/// A probe that was asked for when a provider fell has this long to pass; and a pass this old is as good.
const EXCUSED_BY: Duration = Duration::from_secs(5);

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
}

impl Steering {
    /// How a provider stands as a whole. None where no steered name has a candidate of it.
    pub fn provider(&self, id: &str) -> Option<ProviderState> {
        self.tallies.accounts.get(id).filter(|account| !account.members.is_empty()).map(Account::state)
    }

    /// The accounts of these names as they are installed, from nothing.
    pub(super) fn recount(&mut self, names: &[Arc<str>], now: Time, effects: &mut Effects) {
        for account in self.tallies.accounts.values_mut() {
            account.empty();
        }
        self.tallies.due.clear();
        let mut providers = Vec::new();
        for name in names {
            let Some(state) = self.names.get_mut(name) else { continue };
            for (at, candidate) in state.rules.candidates.iter().enumerate() {
                let account = match self.tallies.accounts.get_mut(&candidate.provider) {
                    Some(account) => account,
                    None => self.tallies.accounts.entry(Arc::clone(&candidate.provider)).or_default(),
                };
                if account.members.is_empty() {
                    providers.push(Arc::clone(&candidate.provider));
                }
                account.members.push((Arc::clone(name), at));
            }
            state.judges.iter_mut().for_each(|judge| judge.entry.counted = false);
        }
        self.tallies.accounts.retain(|_, account| !account.members.is_empty());
        for name in names {
            self.enter(name, true, now, effects);
        }
        for provider in providers {
            self.judge_provider(&provider, now, effects);
            let account = self.tallies.accounts.get(&provider);
            if account.is_some_and(|account| account.verdict == Verdict::Down && account.acts_at.is_none()) {
                // Those that are new, or are judged anew.
                self.take_hold(&provider, now, effects);
            }
        }
    }

    /// The candidates of a name may add something else to the accounts of their providers.
    pub(super) fn retally(&mut self, name: &Arc<str>, now: Time, effects: &mut Effects) {
        for provider in self.enter(name, false, now, effects) {
            self.judge_provider(&provider, now, effects);
        }
    }

    /// Enters what the candidates of a name add now. Returns the providers for which that changed anything.
    fn enter(&mut self, name: &Arc<str>, anew: bool, now: Time, effects: &mut Effects) -> Vec<Arc<str>> {
        let mut touched: Vec<Arc<str>> = Vec::new();
        let Some(state) = self.names.get_mut(name) else { return touched };
        attribute(state, now, effects);
        let rules = Arc::clone(&state.rules);
        let mut kept: Vec<usize> = Vec::new();
        for (at, (judge, candidate)) in state.judges.iter_mut().zip(&rules.candidates).enumerate() {
            let verdict = self.tallies.verdict(&candidate.provider);
            let after = judge.entry(verdict, now);
            let before = std::mem::replace(&mut judge.entry, after);
            if before.fallen.is_some() != after.fallen.is_some() {
                kept.push(at);
            }
            let before = if anew { Default::default() } else { before };
            if self.tallies.change(&candidate.provider, &rules.zone, before, after)
                && !touched.contains(&candidate.provider)
            {
                touched.push(Arc::clone(&candidate.provider));
            }
            // Without a verdict nothing ends by time; `follow` sees to it once there is one.
            let fell = judge.fell.as_ref().filter(|_| verdict != Verdict::Unknown && after.counted);
            let ends = fell.and_then(|fell| {
                let ends = [fell.at.after(TOGETHER), fell.up_until.after(COUNTED_FOR)];
                ends.into_iter().find(|&end| end > now)
            });
            self.tallies.due.extend(ends.map(|end| (end, Arc::clone(name))));
        }
        kept.into_iter().for_each(|at| remember(effects, state.key(at)));
        // What cannot be told by then is told by time.
        let open = state.judges.iter().filter_map(|judge| judge.fell.as_ref()).filter(|fell| fell.counts.is_none());
        let told = apart(&rules.candidates).saturating_add(Duration::from_millis(1));
        let told = open.map(|fell| fell.at.after(told)).min().filter(|&at| at > now);
        self.tallies.due.extend(told.map(|at| (at, Arc::clone(name))));
        touched
    }

    /// What the counts of a provider come to.
    fn judge_provider(&mut self, provider: &Arc<str>, now: Time, effects: &mut Effects) {
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
            }
            return;
        }
        (account.verdict, account.since, account.all, account.acts_at) = (verdict, now, all, None);
        if (before, verdict) != (Verdict::Up, Verdict::Unknown) {
            let change = Change::Provider { subject: provider.to_string(), from: before, to: verdict };
            effects.transitions.push(Transition { at: now, change, why: account.evidence().into() });
        }
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

    /// How are those that have not fallen, and the siblings of those of them that serve?
    fn ask(&self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get(provider) else { return };
        let mut last: Option<(&Arc<str>, BTreeSet<usize>)> = None;
        for (name, at) in &account.members {
            let Some(state) = self.names.get(name) else { continue };
            if state.judges.get(*at).is_none_or(|judge| judge.summary.standing == Standing::Down) {
                continue;
            }
            let mut asked = match last.take() {
                Some((before, asked)) if before == name => asked,
                _ => BTreeSet::new(),
            };
            let all = if state.serves(*at) { 0..state.judges.len() } else { *at..*at + 1 };
            for i in all.filter(|&i| asked.insert(i)) {
                effects.probes.push(ProbeWanted { candidate: state.key(i), cause: Cause::Sibling, at: now });
            }
            last = Some((name, asked));
        }
    }

    /// Time has come to `now`: falls are too old to count, and what a provider's fall waited for has had its time.
    pub(super) fn tick_providers(&mut self, now: Time, effects: &mut Effects) {
        while self.tallies.due.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, name)) = self.tallies.due.pop_first() {
                self.retally(&name, now, effects);
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
        }
    }

    /// Those that have not fallen count as down, but for those that are excused.
    fn take_hold(&mut self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get(provider) else { return };
        let words = format!("provider {provider} is down ({})", account.evidence());
        let (since, all) = (account.since.before(EXCUSED_BY), account.all);
        let outage = Arc::new(Outage { words, began: account.began, at: account.since, all });
        self.over_members(provider, now, effects, |state, at| {
            let judge = &mut state.judges[at];
            let falls = judge.summary.standing != Standing::Down && (all || !judge.passes_since(since));
            let changes = falls && judge.outage.as_ref() != Some(&outage);
            if changes {
                judge.outage = Some(Arc::clone(&outage));
            }
            changes
        });
    }

    /// The provider is no longer down: each is what its own track says with its next pass; at once if it has passed since
    /// the provider fell, and that was a moment ago.
    fn let_go(&mut self, provider: &str, now: Time, effects: &mut Effects) {
        self.over_members(provider, now, effects, |state, at| {
            let judge = &mut state.judges[at];
            let Some(outage) = judge.outage.take() else { return false };
            if !outage.is_brief(now) || !judge.passes_since(outage.at) {
                let words = "its provider was down, and it has not passed since".to_owned();
                judge.outage = Some(Arc::new(Outage { words, all: false, ..Outage::clone(&outage) }));
            }
            true
        });
    }

    /// Decides anew the names of a provider for whose candidate `changes` says so.
    fn over_members(
        &mut self,
        provider: &str,
        now: Time,
        effects: &mut Effects,
        mut changes: impl FnMut(&mut NameState, usize) -> bool,
    ) {
        let Some(account) = self.tallies.accounts.get_mut(provider) else { return };
        let members = std::mem::take(&mut account.members);
        let (mut sharing, mut names) = (Sharing::of_many(), Vec::new());
        for (name, at) in &members {
            let Some(state) = self.names.get_mut(name).filter(|state| *at < state.judges.len()) else { continue };
            if changes(state, *at) && names.last() != Some(&name) {
                names.push(name);
            }
        }
        for name in names {
            self.redecide(name, now, &mut sharing, effects);
        }
        if let Some(account) = self.tallies.accounts.get_mut(provider) {
            account.members = members;
        }
    }

    /// The entries of all its candidates, after its verdict changed.
    fn follow(&mut self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get_mut(provider) else { return };
        let members = std::mem::take(&mut account.members);
        let mut others = BTreeSet::new();
        for (name, _) in &members {
            others.extend(self.enter(name, false, now, effects));
        }
        if let Some(account) = self.tallies.accounts.get_mut(provider) {
            account.members = members;
        }
        // Fewer of its own have fallen by that, so that it remains up. But whose fault others fell by may be told now.
        others.remove(provider);
        for other in others {
            self.judge_provider(&other, now, effects);
        }
    }
}

/// Whose fault the falls of this name are, as far as it can be told by now. What is told once stays so, but that it may
/// turn out as the origin's while the candidates of the name may still notice one fault.
fn attribute(state: &mut NameState, now: Time, effects: &mut Effects) {
    state.unblamed = false;
    if state.judges.iter().all(|judge| judge.fell.is_none()) {
        return;
    }
    state.origin.look(now);
    let apart = apart(&state.rules.candidates);
    for at in 0..state.judges.len() {
        let Some(fell) = &state.judges[at].fell else { continue };
        let open = fell.fault.is_some()
            && match fell.counts {
                None => true,
                Some(true) => now.since(fell.at) <= apart,
                Some(false) => false,
            };
        if !open {
            continue;
        }
        // A sibling whose probe nobody asked for is heard of within a round; after that nobody can tell.
        let counts = blame(at, &state.judges, &state.origin, apart).counts_for_provider();
        let counts = counts.or((now.since(fell.at) > apart).then_some(true));
        state.unblamed |= counts.is_none();
        let key = state.key(at);
        if let Some(fell) = &mut state.judges[at].fell
            && fell.counts != counts
            && counts.is_some()
        {
            fell.counts = counts;
            remember(effects, key);
        }
    }
}
