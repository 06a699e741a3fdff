//! What goes to the store, and what is forgotten there.
//!
//! The core drops names that are no longer steered without a word, so this knows what the store holds: what leaves with a
//! reload is forgotten there too. What belongs to a zone that is broken now is kept; it may be back with the next file.

use std::collections::HashSet;
use std::sync::Arc;

use crate::steer::observation::CandidateKey;
use crate::store::kept::{Kept, Write};
use crate::store::{KeptTexts, Store, StoreError};
use crate::zone::texts::Texts;

/// Writes of one batch. What 100,000 names have to keep when a provider falls is many batches: each value stands for itself,
/// and a commit has a limit of time.
const BATCH: usize = 4_096;

/// The way to the store, and what it holds.
pub(super) struct Keeping {
    store: Store,
    candidates: HashSet<CandidateKey>,
    decisions: HashSet<Arc<str>>,
    /// Texts of zones that left while no server ran are gone.
    swept: bool,
}

impl Keeping {
    pub(super) fn new(store: Store, kept: &Kept) -> Self {
        Self {
            store,
            candidates: kept.candidates.iter().map(|(key, _)| key.clone()).collect(),
            decisions: kept.decisions.iter().map(|(name, _)| name.as_str().into()).collect(),
            swept: false,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps these soon; nobody waits for it.
    pub(super) fn post(&mut self, writes: Vec<Write>) {
        self.note(&writes);
        let mut writes = writes.into_iter();
        while writes.len() > 0 {
            match self.store.post(writes.by_ref().take(BATCH).collect()) {
                Ok(()) => {}
                // A store that is gone has said so once.
                Err(StoreError::Gone(_) | StoreError::Closed) => return,
                Err(error) => tracing::warn!(%error, "verdicts and events are not stored"),
            }
        }
    }

    /// Keeps these after all that was posted before; the future ends when the first [`BATCH`] of them are on the disk. An
    /// order stands before what follows from it.
    pub(super) fn submit(
        &mut self,
        mut writes: Vec<Write>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let rest = writes.split_off(BATCH.min(writes.len()));
        self.note(&writes);
        let kept = self.store.submit(writes);
        self.post(rest);
        kept
    }

    pub(super) fn texts(&self) -> &KeptTexts {
        self.store.texts()
    }

    /// Keeps the texts of these zones, and forgets those of zones that left; `served` are all there are, where they are
    /// known: where the zones folder was read.
    pub(super) fn post_texts<'a>(
        &mut self,
        fresh: Vec<(String, Texts)>,
        left: Vec<String>,
        served: Option<impl Iterator<Item = &'a str>>,
    ) {
        let texts = self.store.texts();
        if let Some(served) = served.filter(|_| !self.swept) {
            texts.post_sweep(served);
            self.swept = true;
        }
        texts.post(fresh, left);
    }

    /// Forgets what is served no longer.
    pub(super) fn forget_others(&mut self, candidate: impl Fn(&CandidateKey) -> bool, name: impl Fn(&str) -> bool) {
        let candidates = self.candidates.iter().filter(|key| !candidate(key)).cloned().map(Write::ForgetCandidate);
        let decisions = self.decisions.iter().filter(|of| !name(of)).map(|of| Write::ForgetDecision(of.to_string()));
        let writes = candidates.chain(decisions).collect();
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
                Write::ForgetCandidate(key) => drop(self.candidates.remove(key)),
                Write::ForgetDecision(name) => drop(self.decisions.remove(name.as_str())),
                _ => {}
            }
        }
    }
}
