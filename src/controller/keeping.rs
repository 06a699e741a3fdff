//! What goes to the store, and what is forgotten there.
//!
//! The core drops names that are no longer steered without a word, so this knows what the store holds: what leaves with a
//! reload is forgotten there too. What belongs to a zone that is broken now is kept; it may be back with the next file.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::steer::observation::CandidateKey;
use crate::store::kept::{Kept, Write};
use crate::store::{Store, StoreError};
use crate::zone::texts::Texts;

/// Texts of zones from this size on are a batch each: a batch is kept whole or not at all, and one zone that is too large
/// must not take others with it.
const OWN_BATCH: usize = 256 * 1024;

/// The way to the store, and what it holds.
pub(super) struct Keeping {
    store: Store,
    candidates: HashSet<CandidateKey>,
    decisions: HashSet<Arc<str>>,
    zones: BTreeSet<String>,
}

impl Keeping {
    pub(super) fn new(store: Store, kept: &Kept) -> Self {
        Self {
            store,
            candidates: kept.candidates.iter().map(|(key, _)| key.clone()).collect(),
            decisions: kept.decisions.iter().map(|(name, _)| name.as_str().into()).collect(),
            zones: kept.zones.iter().map(|(origin, _)| origin.clone()).collect(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps these soon; nobody waits for it.
    pub(super) fn post(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        self.note(&writes);
        match self.store.post(writes) {
            // A store that is gone has said so once.
            Ok(()) | Err(StoreError::Gone(_) | StoreError::Closed) => {}
            Err(error) => tracing::warn!(%error, "verdicts and events are not stored"),
        }
    }

    /// Keeps these after all that was posted before; the future ends when they are on the disk.
    pub(super) fn submit(&mut self, writes: Vec<Write>) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        self.note(&writes);
        self.store.submit(writes)
    }

    /// Keeps the texts of zones.
    pub(super) fn post_zones(&mut self, fresh: Vec<(String, Texts)>) {
        let mut together = Vec::new();
        for (origin, texts) in fresh {
            let size = texts.files.values().map(Vec::len).sum::<usize>();
            let write = Write::Zone(origin, texts);
            if size < OWN_BATCH {
                together.push(write);
            } else {
                self.post(vec![write]);
            }
        }
        self.post(together);
    }

    /// Forgets what is served no longer.
    pub(super) fn forget_others(
        &mut self,
        candidate: impl Fn(&CandidateKey) -> bool,
        name: impl Fn(&str) -> bool,
        zone: impl Fn(&str) -> bool,
    ) {
        let candidates = self.candidates.iter().filter(|key| !candidate(key)).cloned().map(Write::ForgetCandidate);
        let decisions = self.decisions.iter().filter(|of| !name(of)).map(|of| Write::ForgetDecision(of.to_string()));
        let zones = self.zones.iter().filter(|origin| !zone(origin)).cloned().map(Write::ForgetZone);
        let writes = candidates.chain(decisions).chain(zones).collect();
        self.post(writes);
    }

    fn note(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Candidate(key, _) if !self.candidates.contains(key) => {
                    self.candidates.insert(key.clone());
                }
                Write::Decision(name, _) if !self.decisions.contains(name.as_str()) => {
                    self.decisions.insert(name.as_str().into());
                }
                Write::Zone(origin, _) if !self.zones.contains(origin) => {
                    self.zones.insert(origin.clone());
                }
                Write::ForgetCandidate(key) => drop(self.candidates.remove(key)),
                Write::ForgetDecision(name) => drop(self.decisions.remove(name.as_str())),
                Write::ForgetZone(origin) => drop(self.zones.remove(origin)),
                _ => {}
            }
        }
    }
}
