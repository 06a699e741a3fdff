//! How many requests of probes may be under way at once, and how many rounds.
//!
//! | what | at most |
//! | --- | --- |
//! | requests | `in_flight`. Without it as many as it takes when all last their whole `timeout`, within 256 and 4,096, as far as the limit of open files goes |
//! | rounds that hold a place | as many as requests |
//! | rounds that stand aside, since they wait for DNS | as many again; more of them keep their places |
//! | rounds that hold a place while this machine is busy | 256 |
//! | look-ups of targets by the ordinary resolver | 256 |
//!
//! The need is reckoned from the time limits, not from how long requests take as a rule: on the day on which half of the
//! candidates fall silent, the others must be probed at their pace all the same.
//!
//! Many requests under way are good where they wait for the network, and bad where they wait for this machine: then each
//! takes longer by those before it, until those that are fine run into their time limit. So what is begun beyond 256
//! depends on how long a step that is ready waits for its turn on this thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::warn;

/// Requests under way that there is always room for, where the configuration does not say less.
pub const LEAST: usize = 256;
/// ... and at most, where it does not say more. One takes some 45 KiB, and one of this machine's ports at its address.
pub const MOST: usize = 4_096;
/// A step that was ready waited so long for its turn: this machine is busy. A probe has some ten steps, so that it loses 200 ms
/// of its time limit; with 50 ms, 4,096 under way on a busy machine took 1.4 s each, and a few ran into 3 s.
const BUSY: Duration = Duration::from_millis(20);
/// Look-ups of targets at once: a resolver that is asked more at a time begins to drop.
const LOOK_UPS: usize = 256;

/// Why no round begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many are under way as may be.
    Taken,
    /// This machine is busy with those that are.
    Busy,
}

/// All places. Their number grows with what the plans need; it never shrinks.
#[derive(Debug)]
pub struct Places {
    configured: Option<usize>,
    /// Descriptors that are for all but probes.
    other_files: u64,
    most: AtomicUsize,
    requests: Semaphore,
    look_ups: Semaphore,
    rounds: AtomicUsize,
    aside: AtomicUsize,
    /// How long the last step waited for its turn, in microseconds.
    lag: AtomicU64,
    freed: Notify,
}

impl Places {
    /// `configured`: `in_flight`, where the configuration gives it. `other_files`: descriptors that are for all but probes.
    pub fn new(configured: Option<usize>, other_files: u64) -> Arc<Self> {
        let places = Self {
            configured,
            other_files,
            most: AtomicUsize::new(0),
            requests: Semaphore::new(0),
            look_ups: Semaphore::new(LOOK_UPS),
            rounds: AtomicUsize::new(0),
            aside: AtomicUsize::new(0),
            lag: AtomicU64::new(0),
            freed: Notify::new(),
        };
        places.grow_to(places.with_files(configured.unwrap_or(LEAST)));
        Arc::new(places)
    }

    /// A plan needs so many requests at once, if all take as long as they may.
    pub fn make_for(&self, needed: usize) {
        if self.configured.is_none() {
            self.grow_to(self.with_files(needed.clamp(LEAST, MOST)));
        }
    }

    /// Requests that may be under way at once.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Why no round may begin, if none may.
    pub fn full(&self) -> Option<Full> {
        let (rounds, most) = (self.rounds.load(Ordering::Relaxed), self.most());
        if rounds >= most {
            return Some(Full::Taken);
        }
        (rounds >= LEAST && self.is_busy()).then_some(Full::Busy)
    }

    /// For a round that begins.
    pub fn take(self: &Arc<Self>) -> Place {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// For one request; waits for it. None when the prober stops.
    pub async fn request(&self) -> Option<SemaphorePermit<'_>> {
        self.requests.acquire().await.ok()
    }

    /// For one look-up; waits for it. None when the prober stops.
    pub async fn look_up(&self) -> Option<SemaphorePermit<'_>> {
        self.look_ups.acquire().await.ok()
    }

    /// A step that was ready at this moment has its turn now.
    pub fn had_turn(&self, ready: Instant) {
        self.lag.store(u64::try_from(ready.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Finds out how long a step waits for its turn; `freed` tells when that is known.
    pub fn measure(self: &Arc<Self>) {
        let (places, ready) = (Arc::clone(self), Instant::now());
        tokio::spawn(async move {
            places.had_turn(ready);
            places.freed.notify_one();
        });
    }

    /// Returns when there may be room again without a round having ended.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn is_busy(&self) -> bool {
        Duration::from_micros(self.lag.load(Ordering::Relaxed)) > BUSY
    }

    fn grow_to(&self, wanted: usize) {
        let wanted = wanted.min(Semaphore::MAX_PERMITS);
        let before = self.most.fetch_max(wanted, Ordering::Relaxed);
        self.requests.add_permits(wanted.saturating_sub(before));
        gauge!("pointsman_probes_in_flight_limit").set(self.most() as f64);
    }

    /// So many, or as many as there are descriptors for. Raises the soft limit as far as that takes and the hard one goes.
    fn with_files(&self, wanted: usize) -> usize {
        let needed = self.other_files + wanted as u64;
        let limit = match rlimit::getrlimit(rlimit::Resource::NOFILE) {
            Ok((soft, hard)) if soft < needed => {
                let raised = needed.min(hard);
                rlimit::setrlimit(rlimit::Resource::NOFILE, raised, hard).map_or(soft, |()| raised)
            }
            Ok((soft, _)) => soft,
            Err(_) => return wanted,
        };
        let room = room(wanted, self.other_files, limit);
        if room < wanted {
            warn!(
                wanted,
                room,
                limit,
                "the limit of open files is too low for probes: fewer run at a time (systemd: LimitNOFILE={needed})"
            );
        }
        room
    }
}

/// The others come first, but with few descriptors probes share with them.
fn room(wanted: usize, others: u64, limit: u64) -> usize {
    let room = limit.saturating_sub(others).max(limit / 4);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

/// The place of one round, for as long as it stands.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Place {
    /// The round waits for DNS: another may have its place meanwhile. None where too many stand aside already.
    pub fn stand_aside(&self) -> Option<Aside<'_>> {
        let places = &*self.0;
        if places.aside.load(Ordering::Relaxed) >= places.most() {
            return None;
        }
        places.aside.fetch_add(1, Ordering::Relaxed);
        places.rounds.fetch_sub(1, Ordering::Relaxed);
        places.freed.notify_one();
        Some(Aside(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.rounds.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A round that waits without a place. It has its own again when this is dropped, though all be taken: what it sends
/// then is bounded as requests are.
#[derive(Debug)]
pub struct Aside<'a>(&'a Places);

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.rounds.fetch_add(1, Ordering::Relaxed);
        self.0.aside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(span: Duration) -> Instant {
        Instant::now().checked_sub(span).expect("the machine has run so long")
    }

    #[test]
    fn the_number_follows_what_plans_need_unless_it_is_configured() {
        let by_itself = Places::new(None, 0);
        assert_eq!(by_itself.most(), LEAST);
        for (needed, most) in [(10, LEAST), (700, 700), (300, 700), (1_000_000, MOST)] {
            by_itself.make_for(needed);
            assert_eq!((by_itself.most(), by_itself.requests.available_permits()), (most, most), "{needed}");
        }
        let configured = Places::new(Some(5), 0);
        configured.make_for(700);
        assert_eq!((configured.most(), configured.requests.available_permits()), (5, 5));
    }

    #[test]
    fn others_keep_their_descriptors() {
        for (wanted, others, limit, expected) in [
            (256, 1_512, 2_024, 256),
            (4_096, 1_512, 65_536, 4_096),
            (4_096, 1_512, 4_096, 2_584),
            (4_096, 100_000, 65_536, 4_096),
            (4_096, 1_512, 1_024, 256),
            (256, 1_512, 0, 1),
        ] {
            assert_eq!(room(wanted, others, limit), expected, "{wanted} of {limit}");
        }
    }

    #[test]
    fn who_waits_for_dns_lets_another_begin() {
        let places = Places::new(Some(2), 0);
        let (first, second) = (places.take(), places.take());
        assert_eq!(places.full(), Some(Full::Taken));
        let aside = (first.stand_aside().expect("room"), second.stand_aside().expect("room"));
        assert_eq!(places.full(), None);
        let (third, fourth) = (places.take(), places.take());
        assert!(third.stand_aside().is_none(), "as many wait as may");
        assert_eq!(places.full(), Some(Full::Taken));
        // They come back though all places are taken, and all are given back in the end.
        drop(aside);
        assert_eq!((places.full(), places.rounds.load(Ordering::Relaxed)), (Some(Full::Taken), 4));
        drop((first, second, third));
        assert_eq!(places.full(), None);
        drop(fourth);
        assert_eq!((places.rounds.load(Ordering::Relaxed), places.aside.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_busy_machine_takes_no_more_than_the_least() {
        let places = Places::new(Some(1_000), 0);
        let mut held: Vec<Place> = (0..LEAST - 1).map(|_| places.take()).collect();
        places.had_turn(ago(BUSY * 2));
        assert_eq!(places.full(), None);
        held.push(places.take());
        assert_eq!(places.full(), Some(Full::Busy));
        places.had_turn(Instant::now() + BUSY);
        assert_eq!(places.full(), None);
        held.extend((0..1_000 - LEAST).map(|_| places.take()));
        assert_eq!(places.full(), Some(Full::Taken));
    }

    #[tokio::test]
    async fn a_measure_tells_when_a_step_no_longer_waits() {
        let places = Places::new(Some(1_000), 0);
        let _held: Vec<Place> = (0..LEAST).map(|_| places.take()).collect();
        places.had_turn(ago(BUSY * 2));
        while places.full().is_some() {
            places.measure();
            places.freed().await;
        }
    }
}
