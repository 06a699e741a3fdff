//! How the store is: one small record that its handles and its thread share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::failure::StoreError;

/// How the store is at this moment. Metrics: `pointsman_store_writes_total`,
/// `pointsman_store_write_seconds`, `pointsman_store_dropped_total`; `pointsman_store_ok` is the API's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub condition: Condition,
    pub counts: Counts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Ok,
    /// Nothing is kept any more, until the next start.
    Gone {
        why: String,
    },
}

/// Since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that are on the disk.
    pub written: u64,
    /// Syncs; each covers all batches that waited.
    pub commits: u64,
    /// Batches that were posted and not kept: the queue was full, the store gone, the value too large.
    pub dropped: u64,
    /// Events removed by number or age.
    pub trimmed: u64,
}

/// What handles and thread share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Open until the store closes. Readers hold the lock as long as they read, so that closing waits for them.
    pub(super) tree: RwLock<Option<sled::Db>>,
    failed: OnceLock<String>,
    limit: Duration,
    began: Instant,
    /// When the commit under way began, in milliseconds since `began` and at least 1; 0 where none is.
    busy_since: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) trimmed: AtomicU64,
}

impl Shared {
    pub(super) fn new(tree: Option<sled::Db>, limit: Duration) -> Self {
        Self {
            tree: RwLock::new(tree),
            failed: OnceLock::new(),
            limit,
            began: Instant::now(),
            busy_since: AtomicU64::new(0),
            written: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            trimmed: AtomicU64::new(0),
        }
    }

    /// Nothing is kept from now on. The first reason stays.
    pub(super) fn fail(&self, why: &str) {
        if self.failed.set(why.to_owned()).is_ok() {
            tracing::error!(why, "the store is gone; nothing is kept until the next start");
        }
    }

    /// Fails where the store has failed, or has been at one commit for longer than the limit.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let since = self.busy_since.load(Ordering::Relaxed);
        if since > 0 && self.millis().saturating_sub(since) > self.limit.as_millis().try_into().unwrap_or(u64::MAX) {
            self.fail(&format!("a commit has taken longer than {:?}", self.limit));
        }
        self.failed.get().map_or(Ok(()), |why| Err(StoreError::Gone(why.clone())))
    }

    /// Runs one commit, watched by `check`.
    pub(super) fn watched<T>(&self, commit: impl FnOnce() -> T) -> T {
        self.busy_since.store(self.millis().max(1), Ordering::Relaxed);
        let done = commit();
        self.busy_since.store(0, Ordering::Relaxed);
        done
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("pointsman_store_dropped_total").increment(1);
    }

    pub(super) fn health(&self) -> Health {
        let condition = match self.check() {
            Err(StoreError::Gone(why)) => Condition::Gone { why },
            _ => Condition::Ok,
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = Counts {
            written: read(&self.written),
            commits: read(&self.commits),
            dropped: read(&self.dropped),
            trimmed: read(&self.trimmed),
        };
        Health { condition, counts }
    }

    /// Closes the tree when all who read it have done so; its last changes are flushed by that.
    pub(super) fn close_tree(&self) {
        drop(self.tree.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_takes_too_long_ends_the_store() {
        let shared = Shared::new(None, Duration::from_millis(20));
        shared.watched(|| assert_eq!(shared.check(), Ok(())));
        shared.watched(|| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
            assert!(matches!(shared.health().condition, Condition::Gone { .. }));
        });
        assert!(matches!(shared.check(), Err(StoreError::Gone(_))), "and stays gone when it ends after all");
    }

    #[test]
    fn the_first_reason_stays() {
        let shared = Shared::new(None, Duration::from_secs(1));
        shared.fail("the disk is full");
        shared.fail("it panicked");
        assert_eq!(shared.check(), Err(StoreError::Gone("the disk is full".to_owned())));
    }
}
