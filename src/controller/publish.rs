//! Publishing: a new `Arc` for every change, copied and swapped.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::task::Task;
use crate::image::Image;
use crate::image::published::{FlattenedSet, FlattenedSets, Published, Selected, SelectedAreas, Selection};
use crate::image::tally::Tally;
use crate::steer::areas::PLAIN;
use crate::steer::observation::CandidateKey;
use crate::steer::policy::{Shape, SteeredName, Target};
use crate::steer::time::Time;
use crate::store::kept::Write;

/// How long the addresses of a target stay in use while it does not resolve.
const KEEP_SET: Duration = Duration::from_secs(3_600);
/// The least TTL of a flattened answer, in seconds.
const LEAST_TTL: u64 = 5;

/// What a target name resolved to, and when.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    set: Arc<FlattenedSet>,
    at: Time,
}

impl Resolved {
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.set.addresses
    }
}

/// Seconds that resolved records may be told for.
pub(super) fn least_ttl(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs().max(LEAST_TTL)).unwrap_or(u32::MAX)
}

impl Task {
    /// These candidates share the target that resolved, and so the set.
    pub(super) fn take_resolved(
        &mut self,
        candidates: &[CandidateKey],
        mut addresses: Vec<IpAddr>,
        ttl: Duration,
        now: Time,
    ) {
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return;
        }
        let target = candidates.first().and_then(|key| match self.target(key)? {
            Target::Name(target) => Some(&**target),
            Target::Addresses(_) => None,
        });
        let set = Arc::new(self.flattened.set(target, addresses, least_ttl(ttl)));
        for key in candidates {
            self.take_set(key, &set, now);
        }
    }

    fn take_set(&mut self, key: &CandidateKey, set: &Arc<FlattenedSet>, now: Time) {
        // A report may come after its candidate has left, or has got addresses of its own.
        let Some(Target::Name(_)) = self.target(key) else { return };
        if let Some(known) = self.resolved.get_mut(key).filter(|known| known.set == *set) {
            known.at = now;
            return;
        }
        self.needs_sets(&key.name);
        self.resolved.insert(key.clone(), Resolved { set: Arc::clone(set), at: now });
    }

    /// The set of a candidate.
    pub(super) fn resolved_set(&self, key: &CandidateKey) -> Option<Arc<FlattenedSet>> {
        self.resolved.get(key).map(|resolved| resolved.set.clone())
    }

    /// The same addresses with something else beside them: they are as old as they were.
    pub(super) fn replace_set(&mut self, key: &CandidateKey, set: Arc<FlattenedSet>) {
        if let Some(known) = self.resolved.get_mut(key).filter(|known| known.set != set) {
            known.set = set;
            self.needs_sets(&key.name);
        }
    }

    /// Lets go of sets that were not renewed for [`KEEP_SET`].
    pub(super) fn forget_old_sets(&mut self, now: Time) {
        let old = self.resolved.extract_if(|_, resolved| now.since(resolved.at) > KEEP_SET);
        let names: Vec<Arc<str>> = old.map(|(key, _)| key.name).collect();
        names.iter().for_each(|name| self.needs_sets(name));
    }

    /// A set of this name is another one now.
    fn needs_sets(&mut self, name: &Arc<str>) {
        if self.steering.name(name).is_some_and(|name| name.shape == Shape::Flattened) {
            self.sets_changed.insert(name.clone());
        }
    }

    /// The targets that sets are of.
    pub(super) fn resolved_targets(&self) -> HashMap<CandidateKey, Target> {
        self.resolved.keys().filter_map(|key| Some((key.clone(), self.target(key)?.clone()))).collect()
    }

    /// Lets go of the sets of candidates that have left, or have another target than `before`.
    pub(super) fn forget_sets_of_others(&mut self, before: &HashMap<CandidateKey, Target>) {
        let mut resolved = std::mem::take(&mut self.resolved);
        resolved.retain(|key, _| self.target(key).is_some_and(|now| before.get(key) == Some(now)));
        self.resolved = resolved;
    }

    fn target(&self, key: &CandidateKey) -> Option<&Target> {
        let name = self.steering.name(&key.name)?;
        name.candidates.iter().find(|candidate| candidate.id == key.candidate).map(|candidate| &candidate.target)
    }

    /// A new image with the decisions of its names.
    pub(super) fn publish_image(&mut self, image: Image) {
        let image = Arc::new(image);
        let slots = image.slots();
        // `install` has decided every name that the image holds.
        let tally = self.open_books(&image);
        let decisions = (0..).zip(slots).map_while(|(slot, name)| self.selected(&name.name, slot)).collect();
        // A zone may hold a name that stands in a deeper zone too; only the one that answers is steered.
        let steered =
            |name: &Arc<SteeredName>| self.steering.name(&name.name).is_some_and(|own| Arc::ptr_eq(own, name));
        let slots = slots.iter().enumerate().filter(|(_, name)| steered(name));
        self.slots = slots.map(|(slot, name)| (name.name.clone(), slot)).collect();
        self.sets_changed.clear();
        let flattened = FlattenedSets(image.slots().iter().map(|name| self.sets_of(name)).collect());
        self.publish(image, Arc::new(flattened), Arc::new(Selection(decisions)), tally);
        self.book_decisions(None);
    }

    /// The same image with new decisions for these names, and new sets for those whose sets changed. What changed for no
    /// name is not copied.
    pub(super) fn publish_decisions(&mut self, names: &[Arc<str>]) {
        let published = self.published.load_full();
        let selection = if names.is_empty() { published.selection.clone() } else { self.selection(&published, names) };
        let flattened = match std::mem::take(&mut self.sets_changed) {
            names if names.is_empty() => published.flattened.clone(),
            names => self.flattened(&published, &names),
        };
        self.publish(published.image.clone(), flattened, selection, published.tally.clone());
        self.book_decisions(Some(names));
    }

    fn publish(
        &mut self,
        image: Arc<Image>,
        flattened: Arc<FlattenedSets>,
        selection: Arc<Selection>,
        tally: Arc<Tally>,
    ) {
        self.generation += 1;
        let areas = self.areas.areas.clone();
        let new = Published { generation: self.generation, image, flattened, selection, areas, tally };
        let old = self.published.swap(Arc::new(new));
        self.retired.add(old, Instant::now());
    }

    fn selection(&self, published: &Published, names: &[Arc<str>]) -> Arc<Selection> {
        let mut selection = published.selection.0.clone();
        for name in names {
            let Some(&slot) = self.slots.get(name) else { continue };
            if let (Some(entry), Some(selected)) = (selection.get_mut(slot), self.selected(name, slot)) {
                *entry = selected;
            }
        }
        Arc::new(Selection(selection))
    }

    /// The decisions of the name in a slot, for all its area rules.
    fn selected(&self, name: &str, slot: usize) -> Option<Selected> {
        let plain = self.steering.decision(name, PLAIN)?.clone();
        let rules = self.steering.areas(name).filter(|rules| !rules.is_plain());
        let areas = rules.map(|rules| {
            let decisions = (0..rules.count()).map_while(|area| self.steering.decision(name, area).cloned());
            Arc::new(SelectedAreas::new(rules.clone(), decisions))
        });
        let candidates = self.steering.name(name).map_or(0, |name| name.candidates.len());
        let selected = Selected::new(plain, areas);
        Some(match self.books.cells(slot) {
            Some(first) => selected.counted(first, candidates),
            None => selected,
        })
    }

    fn flattened(&self, published: &Published, names: &HashSet<Arc<str>>) -> Arc<FlattenedSets> {
        let mut sets = published.flattened.0.clone();
        for name in names {
            let slot = self.slots.get(name).and_then(|slot| sets.get_mut(*slot));
            if let (Some(entry), Some(name)) = (slot, self.steering.name(name)) {
                *entry = self.sets_of(name);
            }
        }
        Arc::new(FlattenedSets(sets))
    }

    /// The sets of a name, by candidate; none for one that is not flattened.
    fn sets_of(&self, name: &SteeredName) -> Vec<Option<Arc<FlattenedSet>>> {
        if name.shape != Shape::Flattened {
            return Vec::new();
        }
        let set = |id: &Arc<str>| {
            let key = CandidateKey { name: name.name.clone(), candidate: id.clone() };
            self.resolved.get(&key).map(|resolved| resolved.set.clone())
        };
        name.candidates.iter().map(|candidate| set(&candidate.id)).collect()
    }

    /// What to keep of a name's decisions: the last shares that were not empty.
    pub(super) fn last_decision(&self, name: &str) -> Write {
        match self.steering.last(name) {
            Some(last) => Write::Decision(name.to_owned(), last.into()),
            None => Write::ForgetDecision(name.to_owned()),
        }
    }
}
