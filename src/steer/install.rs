//! How the core comes to its names: what a restart kept is taken up, names are installed, and places are settled.
//!
//! What survives is small: a candidate's memory, a name's last shares, the overrides. `restore` takes them up, then
//! `install` decides every name from them, before the first probe.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::areas::{Places, Resolver};
use super::classes::Alike;
use super::decision::LastShares;
use super::effects::Effects;
use super::judge::CandidateMemory;
use super::name::NameState;
use super::observation::CandidateKey;
use super::orders::orders_of;
use super::overrides::{Order, Override};
use super::policy::SteeredName;
use super::sharing::Sharing;
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, Standing, Transition};

impl Steering {
    /// Takes up what a restart kept; call before `install`. Overrides that have ended meanwhile end in `install`.
    pub fn restore(
        &mut self,
        candidates: Vec<(CandidateKey, CandidateMemory)>,
        last: Vec<(String, LastShares)>,
        overrides: Vec<Override>,
    ) {
        self.memories.extend(candidates);
        self.last.extend(last);
        let pinned = |order: &Override| match &order.order {
            Order::Pin(key) => Some(Arc::clone(&key.name)),
            _ => None,
        };
        self.pinned.extend(overrides.iter().filter_map(pinned));
        self.overrides.extend(overrides.into_iter().map(|order| (order.id, order)));
    }

    /// These are the steered names from now on; others are no longer steered, and their state is gone.
    pub fn install(&mut self, names: &[Arc<SteeredName>], now: Time) -> Effects {
        // What is due comes first; from here on it is reckoned anew.
        let mut effects = self.tick(now);
        let mut before = std::mem::take(&mut self.names);
        self.due.clear();
        let places = Arc::clone(&self.places);
        let (mut resolver, mut sharing) = (Resolver::new(&places), Sharing::of_many());
        let mut alike = Alike::default();
        self.names.reserve(names.len());
        for rules in deepest(names) {
            let areas = resolver.resolve(&rules.policy);
            let memory = |key: &CandidateKey| self.memories.remove(key);
            let mut other_areas = false;
            let mut state = match before.swap_remove(&rules.name) {
                Some(state) => {
                    other_areas = state.areas != areas;
                    effects.remembered.extend(state.gone_with(rules));
                    state.adopt(rules, areas, memory, now)
                }
                None => {
                    let pinned = self.pinned.remove(&rules.name);
                    NameState::new(rules, areas, memory, self.last.remove(&*rules.name).as_ref(), pinned, now)
                }
            };
            state.due = None;
            state.alike = alike.number(rules);
            state.orders = orders_of(&self.overrides, rules, now);
            for at in 0..state.judges.len() {
                let key = state.key(at);
                if let Some(from) = state.judges[at].lost.take() {
                    let change = Change::Verdict { subject: key.clone(), from, to: Standing::Unknown, fault: None };
                    let why = "its target or its probe has changed".into();
                    effects.transitions.push(Transition { at: now, change, why });
                }
                if std::mem::take(&mut state.judges[at].unsaved) {
                    effects.remembered.push(key);
                }
            }
            let (number, _) = self.names.insert_full(Arc::clone(&rules.name), state);
            self.redecide_at(number, now, &mut sharing, &mut effects);
            if other_areas {
                told(&mut effects, &rules.name);
            }
        }
        self.forget(before.into_values().collect(), &mut effects);
        self.recount(now, &mut effects);
        self.vantage.install(self.names.values().map(|state| &*state.rules));
        effects
    }

    /// Clients are in these places from now on. Names that do not have the same area rules in them are decided anew.
    pub fn settle(&mut self, places: Arc<Places>, now: Time) -> Effects {
        let mut effects = self.tick(now);
        self.places = places;
        let places = Arc::clone(&self.places);
        let mut names: Vec<Arc<SteeredName>> =
            self.names().filter(|name| !name.policy.areas.is_empty()).cloned().collect();
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let (mut resolver, mut sharing) = (Resolver::new(&places), Sharing::of_many());
        for rules in &names {
            let areas = resolver.resolve(&rules.policy);
            let Some(state) = self.names.get_mut(&rules.name).filter(|state| state.areas != areas) else { continue };
            state.settle(areas);
            self.redecide(&rules.name, now, &mut sharing, &mut effects);
            told(&mut effects, &rules.name);
        }
        effects
    }

    /// These are steered no longer. What a restart kept of candidates that their name does without goes too; what it
    /// kept of names that are not here stays, since their zone may only not have loaded.
    fn forget(&mut self, mut gone: Vec<NameState>, effects: &mut Effects) {
        gone.sort_unstable_by(|a, b| a.rules.name.cmp(&b.rules.name));
        for state in gone {
            self.unstick(&state);
            effects.remembered.extend((0..state.judges.len()).map(|at| state.key(at)));
            effects.decided.push(Arc::clone(&state.rules.name));
        }
        let names = &self.names;
        let mut left: Vec<CandidateKey> =
            self.memories.keys().filter(|key| names.contains_key(&key.name)).cloned().collect();
        left.sort_unstable();
        for key in left {
            self.memories.remove(&key);
            effects.remembered.push(key);
        }
    }
}

/// The names without doubles. A name that two zones steer is answered from the deeper one, so its rules hold.
fn deepest(names: &[Arc<SteeredName>]) -> impl Iterator<Item = &Arc<SteeredName>> {
    let mut deepest: HashMap<&str, &Arc<SteeredName>, FixedState> = HashMap::default();
    for rules in names {
        let known = deepest.entry(&rules.name).or_insert(rules);
        if rules.zone.len() > known.zone.len() {
            *known = rules;
        }
    }
    names.iter().filter(move |rules| deepest.get(&*rules.name).is_some_and(|known| Arc::ptr_eq(known, rules)))
}

/// The decisions of this name, which was decided last, are to be published and kept, though none may have changed.
fn told(effects: &mut Effects, name: &Arc<str>) {
    if effects.decided.last() != Some(name) {
        effects.decided.push(Arc::clone(name));
    }
}
