//! Targets as their authoritative servers have them now, beside what the caches of resolvers still hold.
//!
//! On 22 July 2021 the authoritative servers of akamaiedge.net answered SERVFAIL, while every resolver went on with what
//! it had for as long as the TTL. Who asks a resolver alone learns of such an outage when its users do.
//!
//! ```text
//!   a round asks: what is known of this target?
//!     nothing bad, and looked at within `authoritative_every`  -> it goes on as ever
//!     nothing bad, but longer ago, or it does not resolve      -> it goes on, and a look begins beside it
//!     it fails, or a family is gone                            -> a look begins, at most once a second, and it waits for it
//!   a look that turns bad is reported at once: a failure at the stage `resolve`, which the core has looked at again
//! ```
//!
//! Candidates with the same target share all of this. `look` says how a target is looked at, `known` when it counts: what
//! has never worked from here says nothing of a provider (a firewall that lets nobody but the resolver ask, for one).

mod exchange;
mod known;
mod look;
mod said;
mod subnets;
mod verdict;
mod way;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{info, warn};

use self::known::{Known, Need, Zone};
pub use self::known::{Vanished, Verdict};
use self::look::{Looked, look};
pub use self::subnets::{DISTANT, ForNetwork, answer_for, honours_subnets};
use self::way::Servers;
pub use self::way::Way;
use super::places::Place;
use super::round::Rounds;
use super::schedule::Due;
use crate::steer::policy::Target;
use crate::steer::time::Time;

/// Looks under way at once, beside all probes: those of the pace, and those of targets in doubt.
const PACED_AT_ONCE: usize = 64;
const IN_DOUBT_AT_ONCE: usize = 256;
/// Between two looks of the pace, of any targets. So many targets that a minute is not enough for all wait longer for theirs.
const LOOK_SPACING: Duration = Duration::from_millis(5);
/// ... looks that were not taken may be taken later, for so long.
const LOOK_BURST: Duration = Duration::from_secs(1);
/// For a whole look.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// How long the servers of a zone are taken from memory.
const SERVERS_HOLD: Duration = Duration::from_secs(300);
/// What was not looked at for so long is forgotten ...
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// ... when so many more are known.
const FORGET_EVERY: usize = 1_000;

/// All that is known of targets.
#[derive(Debug)]
pub struct Cold {
    every: Duration,
    targets: Mutex<Held<Arc<str>, Arc<Entry>>>,
    servers: Mutex<Held<Name, (Servers, Time)>>,
    zones: Mutex<Held<String, Zone>>,
    paced: Arc<Semaphore>,
    /// When the next look of the pace may begin.
    next_paced: Mutex<Time>,
    in_doubt: Arc<Semaphore>,
}

/// A map that is swept now and then.
#[derive(Debug)]
struct Held<K, V> {
    map: HashMap<K, V>,
    sweep_at: usize,
}

impl<K, V> Default for Held<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), sweep_at: FORGET_EVERY }
    }
}

impl<K: std::hash::Hash + Eq, V> Held<K, V> {
    fn sweep(&mut self, keep: impl Fn(&V) -> bool) {
        if self.map.len() >= self.sweep_at {
            self.map.retain(|_, value| keep(value));
            self.sweep_at = self.map.len() + FORGET_EVERY;
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    known: Mutex<Known>,
    /// Changes with each look that ends.
    ended: watch::Sender<()>,
}

impl Cold {
    /// Targets are looked at every so often; never for zero.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            targets: Mutex::default(),
            servers: Mutex::default(),
            zones: Mutex::default(),
            paced: Arc::new(Semaphore::new(PACED_AT_ONCE)),
            next_paced: Mutex::new(Time(0)),
            in_doubt: Arc::new(Semaphore::new(IN_DOUBT_AT_ONCE)),
        }
    }

    /// Whether authoritative servers are asked at all.
    pub fn is_on(&self) -> bool {
        !self.every.is_zero()
    }

    /// A place for a look of the pace, if there is one now.
    fn paced_place(&self, now: Time) -> Option<OwnedSemaphorePermit> {
        let mut next = lock(&self.next_paced);
        let place = if *next <= now { Arc::clone(&self.paced).try_acquire_owned().ok()? } else { return None };
        *next = (*next).max(now.before(LOOK_BURST)).after(LOOK_SPACING);
        Some(place)
    }

    fn entry(&self, target: &Arc<str>, now: Time) -> Arc<Entry> {
        let mut targets = lock(&self.targets);
        targets.sweep(|entry| !lock(&entry.known).is_older_than(FORGET_AFTER, now));
        Arc::clone(targets.map.entry(Arc::clone(target)).or_default())
    }

    /// The servers of the zone of a name, as they were found a while ago; later too where they cannot be found again.
    fn servers(&self, name: &Name, now: Time, however_old: bool) -> Option<Servers> {
        let servers = lock(&self.servers);
        let (found, at) = servers.map.get(name)?;
        (however_old || now.since(*at) < SERVERS_HOLD).then(|| found.clone())
    }

    fn found_servers(&self, name: Name, found: Servers, now: Time) {
        let mut servers = lock(&self.servers);
        servers.sweep(|(_, at)| now.since(*at) < FORGET_AFTER);
        servers.map.insert(name, (found, now));
    }
}

impl Rounds {
    /// The way to authoritative servers.
    pub(super) fn way(&self) -> Way<'_> {
        Way {
            settings: &self.settings,
            targets: &self.targets,
            cold: &self.cold,
            routes: &self.routes,
            clock: &self.clock,
        }
    }

    /// What is known of the target of a round, which may begin a look and wait for it, without its place.
    pub(super) async fn cold_verdict(self: &Arc<Self>, due: &Due, place: &Place) -> Verdict {
        let Some((target, entry)) = self.cold_entry(due) else { return Verdict::default() };
        let mut ended = entry.ended.subscribe();
        let need = lock(&entry.known).need(false, self.cold.every, (self.clock)());
        if matches!(need, Need::Look | Need::LookAndWait) {
            self.begin_look(target, &entry, due);
        }
        if matches!(need, Need::Wait | Need::LookAndWait) {
            let _aside = place.stand_aside();
            // One that takes longer than a probe may: it is as it was known.
            let _ = tokio::time::timeout(due.check.probe.timeout, ended.changed()).await;
        }
        lock(&entry.known).verdict().clone()
    }

    /// The target does not resolve by the ordinary way: its authoritative servers are asked soon.
    pub(super) fn doubt_target(self: &Arc<Self>, due: &Due) {
        let Some((target, entry)) = self.cold_entry(due) else { return };
        let need = lock(&entry.known).need(true, self.cold.every, (self.clock)());
        if matches!(need, Need::Look | Need::LookAndWait) {
            self.begin_look(target, &entry, due);
        }
    }

    fn cold_entry<'a>(&self, due: &'a Due) -> Option<(&'a Arc<str>, Arc<Entry>)> {
        match &due.check.target {
            Target::Name(target) if due.task.cause().is_some() && !self.cold.every.is_zero() => {
                Some((target, self.cold.entry(target, (self.clock)())))
            }
            _ => None,
        }
    }

    fn begin_look(self: &Arc<Self>, target: &Arc<str>, entry: &Arc<Entry>, due: &Due) {
        let in_doubt = lock(&entry.known).verdict().is_bad();
        let place = if in_doubt { None } else { self.cold.paced_place((self.clock)()) };
        if !in_doubt && place.is_none() {
            // The next round tries again.
            return;
        }
        lock(&entry.known).begins((self.clock)());
        let (rounds, target, under_way) = (Arc::clone(self), Arc::clone(target), UnderWay(Arc::clone(entry)));
        let all = Due { candidates: Arc::clone(&due.all), ..due.clone() };
        tokio::spawn(async move {
            // Held until it ends.
            let _place = match place {
                Some(place) => Some(place),
                None => Arc::clone(&rounds.cold.in_doubt).acquire_owned().await.ok(),
            };
            rounds.look_at(&target, under_way, &all).await;
        });
    }

    async fn look_at(self: &Arc<Self>, target: &Arc<str>, under_way: UnderWay, all: &Due) {
        let began = (self.clock)();
        let turn = lock(&under_way.0.known).next_turn(began);
        let looked = tokio::time::timeout(LOOK_LIMIT, look(self, target, turn)).await;
        let looked = looked.unwrap_or_else(|_| Looked::Unknown("it takes too long".to_owned()));
        let ended = (self.clock)();
        let (turned, verdict) = {
            let mut known = lock(&under_way.0.known);
            let before = known.verdict().clone();
            let mut zones = lock(&self.cold.zones);
            let forget_after = FORGET_AFTER.max(self.cold.every * 2);
            zones.sweep(|zone| ended.since(zone.asked) < forget_after);
            known.take(looked, &mut zones.map, self.cold.every, ended);
            drop(zones);
            let verdict = known.verdict().clone();
            log(target, &before, &verdict);
            (!before.is_bad() && verdict.is_bad(), verdict)
        };
        let outcome = if !verdict.is_known {
            "unknown"
        } else if verdict.fails.is_some() {
            "fails"
        } else if !verdict.vanished.is_empty() {
            "family-gone"
        } else {
            "resolves"
        };
        counter!("pointsman_authoritative_looks_total", "outcome" => outcome).increment(1);
        drop(under_way);
        if turned {
            self.report_cold(all, &verdict, (began, ended)).await;
        }
    }
}

/// A look that has begun; those who wait for it go on when this is dropped, be it by a panic.
struct UnderWay(Arc<Entry>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0.known).ends();
        self.0.ended.send_replace(());
    }
}

/// A line when what is known changes.
fn log(target: &str, before: &Verdict, now: &Verdict) {
    if *before == (Verdict { is_known: before.is_known, ..now.clone() }) {
        return;
    }
    let gone: Vec<&str> = now.vanished.iter().map(|vanished| vanished.reason.as_str()).collect();
    match (&now.fails, gone.as_slice(), &now.warning) {
        (Some(reason), ..) => warn!(target_name = target, reason, "the target fails at its authoritative servers"),
        (None, [_, ..], _) => warn!(target_name = target, ?gone, "an address family of the target is gone"),
        (None, [], Some(warning)) if before.warning.is_none() => {
            warn!(target_name = target, warning, "some authoritative servers of the target are of no use");
        }
        (None, [], _) if before.is_bad() => {
            info!(target_name = target, "the target's authoritative servers are as before");
        }
        _ => {}
    }
}

/// No holder of these locks can panic half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_of_the_pace_are_bounded_at_once_and_in_a_second() {
        let cold = Cold::new(Duration::from_secs(60));
        let held: Vec<_> = std::iter::from_fn(|| cold.paced_place(Time(1_000_000))).collect();
        assert_eq!(held.len(), PACED_AT_ONCE);
        drop(held);
        let count = |now| std::iter::from_fn(|| cold.paced_place(Time(now))).count();
        // All of them end at once: what is left of the burst, then one each 5 ms.
        assert_eq!(count(1_000_000), 201 - PACED_AT_ONCE);
        assert_eq!((count(1_000_004), count(1_000_005), count(1_000_015)), (0, 1, 2));
        assert_eq!(count(2_000_000), 201, "no more is saved up than a second's");
    }

    #[test]
    fn what_is_held_is_swept_when_it_grows() {
        let mut held = Held::default();
        for number in 0..10_000_usize {
            held.sweep(|kept| number - kept < 100);
            held.map.insert(number, number);
        }
        assert!(held.map.len() <= FORGET_EVERY + 100, "{}", held.map.len());
    }
}
