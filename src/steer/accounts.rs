//! How the falls of candidates reach the accounts of their providers, and by whose fault they are.
//!
//! A candidate adds an entry to its provider's account (`tally`). It is entered anew when the candidate changed, when its
//! fall grew too old to count, and when the provider's verdict changed; what follows from the account stands in `together`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::blame::{apart, blame};
use super::effects::Effects;
use super::name::NameState;
use super::steering::{Steering, remember};
use super::tally::{COUNTED_FOR, Member, TOGETHER};
use super::time::Time;
use super::together::by_name;
use super::transition::Verdict;

impl Steering {
    /// The accounts of all names as they are installed, from nothing.
    pub(super) fn recount(&mut self, now: Time, effects: &mut Effects) {
        for account in self.tallies.accounts.values_mut() {
            account.empty();
        }
        self.tallies.due.clear();
        let mut providers = Vec::new();
        for (name, state) in self.names.values_mut().enumerate() {
            for (at, candidate) in state.rules.candidates.iter().enumerate() {
                let account = match self.tallies.accounts.get_mut(&candidate.provider) {
                    Some(account) => account,
                    None => self.tallies.accounts.entry(Arc::clone(&candidate.provider)).or_default(),
                };
                if account.members.is_empty() {
                    providers.push(Arc::clone(&candidate.provider));
                }
                account.members.push(Member { name, at, down: false });
            }
            state.judges.iter_mut().for_each(|judge| judge.entry.counted = false);
        }
        self.tallies.accounts.retain(|_, account| !account.members.is_empty());
        for provider in self.tallies.vanished() {
            self.tell(&provider, now, effects);
        }
        for name in 0..self.names.len() {
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
    pub(super) fn retally(&mut self, name: usize, now: Time, effects: &mut Effects) {
        for provider in self.enter(name, false, now, effects) {
            self.judge_provider(&provider, now, effects);
        }
    }

    /// Enters what the candidates of a name add now. Returns the providers for which that changed anything.
    fn enter(&mut self, name: usize, anew: bool, now: Time, effects: &mut Effects) -> Vec<Arc<str>> {
        let mut touched: Vec<Arc<str>> = Vec::new();
        let Some((_, state)) = self.names.get_index_mut(name) else { return touched };
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
            if before.down != after.down {
                self.tallies.mark(&candidate.provider, name, at, after.down);
            }
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
            self.tallies.due.extend(ends.map(|end| (end, name)));
        }
        kept.into_iter().for_each(|at| remember(effects, state.key(at)));
        // What cannot be told by then is told by time.
        let open = state.judges.iter().filter_map(|judge| judge.fell.as_ref()).filter(|fell| fell.counts.is_none());
        let told = apart(&rules.candidates).saturating_add(Duration::from_millis(1));
        let told = open.map(|fell| fell.at.after(told)).min().filter(|&at| at > now);
        self.tallies.due.extend(told.map(|at| (at, name)));
        touched
    }

    /// The entries of all its candidates that fell, after its verdict changed.
    pub(super) fn follow(&mut self, provider: &str, now: Time, effects: &mut Effects) {
        let Some(account) = self.tallies.accounts.get_mut(provider) else { return };
        let members = std::mem::take(&mut account.members);
        let mut others = BTreeSet::new();
        for of_name in by_name(&members) {
            let Some(name) = of_name.first().map(|member| member.name) else { continue };
            // What others add does not hang on the verdict.
            let fell = |state: &NameState| state.judges.iter().any(|judge| judge.fell.is_some());
            if self.names.get_index(name).is_some_and(|(_, state)| fell(state)) {
                others.extend(self.enter(name, false, now, effects));
            }
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
