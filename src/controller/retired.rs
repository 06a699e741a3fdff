//! What was published and is so no longer: kept until nobody reads it, and let go of where no query waits.
//!
//! Who drops the last `Arc` of a state frees it, and an image may be hundreds of MiB. Readers never hold the last one: this
//! holds every state from the moment that it is replaced, looks once a second whether others still do, and drops what
//! nobody else has on a blocking thread.
//!
//! What a load worked with is given back to the system at once. When the states before it are gone too, and what it left to write
//! is written, so is the memory that these took. Other states are small beside it, and come too often for that.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dns::give_back_memory;

/// How often it is looked whether others let go.
const LOOK: Duration = Duration::from_secs(1);
/// The same after a load: large memory waits for it.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// States held before it is looked at once: under many transitions a second each state is a copy of the selection.
const MOST: usize = 16;

/// States that were replaced.
#[derive(Default)]
pub(super) struct Retired {
    held: Vec<Held>,
    look: Option<Instant>,
    /// A load is over, and its memory is not given back yet.
    give_back: bool,
    /// Not even that which it worked with.
    just_over: bool,
}

struct Held {
    state: Arc<dyn Any + Send + Sync>,
    /// Replaced by a load.
    of_load: bool,
}

impl Retired {
    /// Takes a state that is published no longer, or anything large that nobody new can come by.
    pub(super) fn add(&mut self, state: Arc<dyn Any + Send + Sync>, now: Instant) {
        self.held.push(Held { state, of_load: false });
        if self.held.len() >= MOST {
            self.let_go(now, false);
        }
        self.look.get_or_insert(now + LOOK);
    }

    /// All that is held now was replaced by a load, or before it.
    pub(super) fn load_is_over(&mut self, now: Instant) {
        self.held.iter_mut().for_each(|held| held.of_load = true);
        (self.give_back, self.just_over) = (true, true);
        self.look = Some(now);
    }

    /// When to look next; none while nothing is held.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look
    }

    /// Looks, if it is time. `written`: a load has left nothing to write.
    pub(super) fn tick(&mut self, now: Instant, written: impl FnOnce() -> bool) {
        if self.look.is_some_and(|look| look <= now) {
            self.let_go(now, self.give_back && written());
        }
    }

    fn let_go(&mut self, now: Instant, written: bool) {
        // A state that nobody else holds stays so: it is not published, so nobody can come by it.
        let free: Vec<_> = self.held.extract_if(.., |held| Arc::strong_count(&held.state) == 1).collect();
        let give_back = written && self.give_back && !self.held.iter().any(|held| held.of_load);
        self.give_back &= !give_back;
        let just_over = std::mem::take(&mut self.just_over);
        if give_back || just_over || !free.is_empty() {
            tokio::task::spawn_blocking(move || {
                drop(free);
                if give_back || just_over {
                    give_back_memory();
                }
            });
        }
        let next = if self.give_back { LOOK_SOON } else { LOOK };
        self.look = (self.give_back || !self.held.is_empty()).then(|| now + next);
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

        retired.tick(now + LOOK, || true);
        assert!(retired.next_look().is_some(), "the reader holds it still");
        let reader = thread::spawn(move || {
            reader.load();
            (reader, thread::current().id())
        });
        let (_reader, read_on) = reader.join().unwrap();
        assert!(drops.try_recv().is_err(), "the reader was not the last");
        retired.tick(now + LOOK, || true);
        assert!(drops.try_recv().is_err(), "not before its time");
        retired.tick(now + 2 * LOOK, || true);
        assert_eq!(retired.next_look(), None);
        let dropped_on = drops.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(dropped_on != read_on && dropped_on != thread::current().id());
    }

    #[tokio::test]
    async fn memory_is_given_back_when_the_states_of_a_load_are_gone_and_all_is_written() {
        let now = Instant::now();
        let mut retired = Retired::default();
        let (of_load, later) = (Arc::new(()), Arc::new(()));
        retired.add(of_load.clone(), now);
        retired.load_is_over(now);
        retired.add(later.clone(), now);
        assert_eq!(retired.next_look(), Some(now), "what it worked with goes at once");
        retired.tick(now, || false);
        assert_eq!(retired.next_look(), Some(now + LOOK_SOON));
        retired.tick(now + LOOK, || true);
        assert!(retired.give_back, "a reader holds the state still");
        drop(of_load);
        retired.tick(now + 2 * LOOK, || false);
        assert!(retired.give_back, "texts are written still");
        retired.tick(now + 3 * LOOK, || true);
        assert!(!retired.give_back, "a state that came later holds up nothing");
        drop(later);
        retired.tick(now + 4 * LOOK, || unreachable!("nothing is due"));
        assert_eq!(retired.next_look(), None);
    }

    #[tokio::test]
    async fn many_are_not_held_until_their_time() {
        let mut retired = Retired::default();
        let now = Instant::now();
        (0..10 * MOST).for_each(|_| retired.add(Arc::new(()), now));
        assert!(retired.held.len() < MOST);
    }
}
