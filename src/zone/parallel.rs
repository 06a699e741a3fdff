//! The same work for many things, on several threads.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// What `work` makes of each item, in the order of the items. Threads take one item after another, so that a large one
/// holds up nothing but its own thread. Threads that cannot be had are done without. A panic in one is a panic here.
pub(super) fn parallel<T: Send, R: Send>(items: Vec<T>, threads: NonZeroUsize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.get().min(items.len());
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_all = || std::iter::from_fn(&next).map(|(at, item)| (at, work(item))).collect::<Vec<_>>();
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let another = |_| std::thread::Builder::new().spawn_scoped(scope, take_all).ok();
        let others: Vec<_> = (1..threads).map_while(another).collect();
        let mut done = Vec::with_capacity(count);
        done.extend(take_all());
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        for threads in [1, 2, 7] {
            for count in [0, 1, 2, 1_000] {
                let threads = NonZeroUsize::new(threads).expect("not zero");
                let squares = parallel((0..count).collect(), threads, |item: u64| item * item);
                assert_eq!(squares, (0..count).map(|item| item * item).collect::<Vec<_>>());
            }
        }
    }
}
