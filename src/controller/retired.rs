//! What was published and is so no longer: kept until nobody reads it, and let go of where no query waits.
//!
//! Who drops the last `Arc` of a state frees it, and an image may be hundreds of MiB. Readers never hold the last one: this
//! holds every state from the moment that it is replaced, looks once a second whether others still do, and drops what
//! nobody else has on a blocking thread.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How often it is looked whether others let go.
const LOOK: Duration = Duration::from_secs(1);
/// States held before it is looked at once: under many transitions a second each state is a copy of the selection.
const MOST: usize = 16;

/// States that were replaced.
#[derive(Default)]
pub(super) struct Retired {
    held: Vec<Arc<dyn Any + Send + Sync>>,
    look: Option<Instant>,
}

impl Retired {
    /// Takes a state that is published no longer, or anything large that nobody new can come by.
    pub(super) fn add(&mut self, state: Arc<dyn Any + Send + Sync>, now: Instant) {
        self.held.push(state);
        if self.held.len() >= MOST {
            self.let_go(now);
        }
        self.look.get_or_insert(now + LOOK);
    }

    /// When to look next; none while nothing is held.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look
    }

    /// Looks, if it is time.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.look.is_some_and(|look| look <= now) {
            self.let_go(now);
        }
    }

    fn let_go(&mut self, now: Instant) {
        // A state that nobody else holds stays so: it is not published, so nobody can come by it.
        let free: Vec<_> = self.held.extract_if(.., |state| Arc::strong_count(state) == 1).collect();
        if !free.is_empty() {
            tokio::task::spawn_blocking(move || drop(free));
        }
        self.look = (!self.held.is_empty()).then(|| now + LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use arc_swap::{ArcSwap, Cache};

    use super::*;

    /// Tells the thread that it is dropped on.
    struct State(mpsc::Sender<ThreadId>);

    impl Drop for State {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[tokio::test]
    async fn the_last_drop_is_neither_the_readers_nor_the_controllers() {
        let (dropped, drops) = mpsc::channel();
        let published = Arc::new(ArcSwap::from_pointee(State(dropped.clone())));
        let mut reader = Cache::new(published.clone());
        reader.load();
        let mut retired = Retired::default();
        let now = Instant::now();
        retired.add(published.swap(Arc::new(State(dropped))), now);

        retired.tick(now + LOOK);
        assert!(retired.next_look().is_some(), "the reader holds it still");
        let reader = thread::spawn(move || {
            reader.load();
            (reader, thread::current().id())
        });
        let (_reader, read_on) = reader.join().unwrap();
        assert!(drops.try_recv().is_err(), "the reader was not the last");
        retired.tick(now + LOOK);
        assert!(drops.try_recv().is_err(), "not before its time");
        retired.tick(now + 2 * LOOK);
        assert_eq!(retired.next_look(), None);
        let dropped_on = drops.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(dropped_on != read_on && dropped_on != thread::current().id());
    }

    #[tokio::test]
    async fn many_are_not_held_until_their_time() {
        let mut retired = Retired::default();
        let now = Instant::now();
        (0..10 * MOST).for_each(|_| retired.add(Arc::new(()), now));
        assert!(retired.held.len() < MOST);
    }
}
