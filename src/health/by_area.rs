//! Targets of flattened names whose DNS tells clients apart, resolved for each area by a network that stands for it.
//!
//! ```text
//!   a look: each network is asked for at the target's authoritative servers   (flatten says when)
//!     addresses that nobody has probed  --a probe passes-->  addresses that work  --> told to the controller
//!                                       <--two in a row fail--
//! ```
//!
//! Nobody is answered an address that was not seen to work. They are probed by the checks of the target's candidates: a few after each paced round in which an
//! address of the candidate's own has passed. What fails there is told to nobody: an edge on the other side of the world that cannot be reached from
//! here, or is down, is no fault of the candidate; its area gets everybody's addresses, which the verdict is about.
//!
//! | | then |
//! | --- | --- |
//! | a look finds nothing, or nobody answers | the area keeps what it had for an hour |
//! | all addresses of an area fail | the area gets everybody's |
//! | all addresses of the candidate fail | nothing is concluded of the areas: the candidate is judged |
//! | an address comes and goes in answers | what is known of it holds for 10 min |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::debug;

use super::cold::{ForNetwork, answer_for};
use super::fault::Seen;
use super::message::Report;
use super::resolve::{MAX_TTL, MIN_TTL};
use super::round::Rounds;
use super::schedule::Due;
use crate::image::areas::AreaNetwork;
use crate::image::by_area::ForArea;
use crate::steer::observation::{Family, Outcome};
use crate::steer::policy::{ProbeRule, Target};
use crate::steer::time::Time;

/// Targets that are resolved by area; others have one set for all.
const MAX_TARGETS: usize = 1_000;
/// Networks that are asked for at once, of all targets.
const ASKED_AT_ONCE: usize = 32;
/// For one of them.
const LIMIT: Duration = Duration::from_secs(10);
/// Failures after which the others of a target are given up, where none was answered.
const GIVEN_UP_AFTER: usize = 4;
/// What was found holds as long as its TTL says, and so long at least and at most.
const MIN_HOLD: Duration = Duration::from_secs(30);
const MAX_HOLD: Duration = Duration::from_secs(300);
/// Until what was not found is asked again.
const NONE_HOLDS: Duration = Duration::from_secs(60);
/// What an area had stays for so long while looks find nothing.
const KEPT_FOR: Duration = Duration::from_secs(3_600);
/// Addresses of one family that are taken for an area.
const MAX_OF_FAMILY: usize = 8;
/// Addresses of a target that are known at once.
const MAX_ADDRESSES: usize = 96;
/// What is known of an address that is in no answer holds for so long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Addresses that a round probes beside its own.
const PROBED_AT_ONCE: usize = 4;
/// Requests to them at once: places of their own, so that no re-probe waits for an edge far away.
const REQUESTS_AT_ONCE: usize = 32;
/// Rounds whose areas' addresses are probed at once; those of others wait for a later round.
const ROUNDS_AT_ONCE: usize = 64;
/// Paces of a check between two probes of an address that works, of all checks together; of one that is not known to, one.
const WORKS_FOR: u32 = 3;
/// Failures in a row that make an address one that does not work.
const FALL: u8 = 2;

/// All targets that are resolved by area.
#[derive(Debug)]
pub struct ByArea {
    targets: Mutex<HashMap<Arc<str>, Known>>,
    asking: Semaphore,
    probing: Arc<Semaphore>,
    requests: Semaphore,
}

impl Default for ByArea {
    fn default() -> Self {
        Self {
            targets: Mutex::default(),
            asking: Semaphore::new(ASKED_AT_ONCE),
            probing: Arc::new(Semaphore::new(ROUNDS_AT_ONCE)),
            requests: Semaphore::new(REQUESTS_AT_ONCE),
        }
    }
}

impl ByArea {
    /// Lets go of all other targets.
    pub fn keep(&self, is_kept: impl Fn(&Arc<str>) -> bool) {
        self.lock().retain(|target, _| is_kept(target));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        // No holder of the lock can panic half way.
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rounds {
    /// Resolves a target for each network, and says how long that holds.
    pub(super) async fn resolve_by_area(
        self: &Arc<Self>,
        target: &Arc<str>,
        networks: &Arc<[AreaNetwork]>,
    ) -> Duration {
        {
            let mut targets = self.by_area.lock();
            if targets.len() >= MAX_TARGETS && !targets.contains_key(target) {
                return MAX_HOLD;
            }
            targets.entry(target.clone()).or_default();
        }
        let mut asking = JoinSet::new();
        for number in 0..networks.len() {
            let (rounds, target, networks) = (Arc::clone(self), target.clone(), Arc::clone(networks));
            asking.spawn(async move {
                let network = networks.get(number)?;
                let _place = rounds.by_area.asking.acquire().await.ok()?;
                let asked = answer_for(rounds.way(), &target, network.network, number);
                let found = tokio::time::timeout(LIMIT, asked).await.ok().flatten();
                let outcome = if found.is_some() { "answered" } else { "failed" };
                counter!("pointsman_area_lookups_total", "outcome" => outcome).increment(1);
                Some((number, found?))
            });
        }
        let mut found = Vec::new();
        let mut failed = 0;
        while let Some(ended) = asking.join_next().await {
            // One that broke off has found nothing.
            match ended.ok().flatten() {
                Some(answer) => found.push(answer),
                None => failed += 1,
            }
            // Servers that say nothing are not to hold up what others wait for.
            if found.is_empty() && failed >= GIVEN_UP_AFTER {
                asking.abort_all();
            }
        }
        debug!(target_name = &**target, found = found.len(), of = networks.len(), "resolved by area");
        let holds = found.iter().map(|(_, found)| found.ttl).min();
        if let Some(known) = self.by_area.lock().get_mut(target) {
            known.take(networks, found, (self.clock)());
        }
        self.tell_areas(target).await;
        holds.map_or(NONE_HOLDS, |ttl| ttl.clamp(MIN_HOLD, MAX_HOLD))
    }

    /// A target that does not tell clients apart any more.
    pub(super) async fn forget_areas(&self, target: &Arc<str>) {
        let was_told = self.by_area.lock().remove(target).is_some_and(|known| !known.told.is_empty());
        if was_told {
            self.report(Report::ByArea { target: target.clone(), areas: Vec::new() }).await;
        }
    }

    /// After the probes of a paced round: `seen` are its addresses, and which of them passed. Areas' addresses are probed beside the rounds, so that none
    /// of them waits for an edge far away.
    pub(super) fn prove_areas(self: &Arc<Self>, due: &Due, seen: &[(IpAddr, bool)]) {
        let Target::Name(target) = &due.check.target else { return };
        // Where all fail it is no matter of the address.
        if !seen.iter().any(|(_, passed)| *passed) {
            return;
        }
        let now = (self.clock)();
        let (place, chosen) = {
            let mut targets = self.by_area.lock();
            let Some(known) = targets.get_mut(target) else { return };
            seen.iter().for_each(|(address, passed)| known.note(*address, *passed, now));
            let Ok(place) = Arc::clone(&self.by_area.probing).try_acquire_owned() else { return };
            (place, known.choose(due.check.probe.every, now))
        };
        let (rounds, target, check) = (Arc::clone(self), Arc::clone(target), Arc::clone(&due.check));
        tokio::spawn(async move {
            rounds.probe_areas(&target, &check.probe, &chosen).await;
            drop(place);
        });
    }

    async fn probe_areas(&self, target: &Arc<str>, rule: &ProbeRule, chosen: &[IpAddr]) {
        let probe = |place: usize| {
            let address = chosen.get(place).copied();
            async move { Some((address?, self.works(rule, address?).await?)) }
        };
        const { assert!(PROBED_AT_ONCE == 4) };
        let ended = tokio::join!(probe(0), probe(1), probe(2), probe(3));
        let ended = [ended.0, ended.1, ended.2, ended.3];
        if let Some(known) = self.by_area.lock().get_mut(target) {
            let now = (self.clock)();
            ended.into_iter().flatten().for_each(|(address, passed)| known.note(address, passed, now));
        }
        self.tell_areas(target).await;
    }

    /// Whether a probe of an address passes. None: it could not be sent.
    async fn works(&self, rule: &ProbeRule, address: IpAddr) -> Option<bool> {
        if !self.routes.reach(address) {
            return None;
        }
        let turn = self.by_area.requests.acquire().await.ok()?;
        let seen = self.ask(rule, address, rule.timeout).await;
        drop(turn);
        let Seen::Outcome(outcome) = seen else { return None };
        let passed = matches!(outcome, Outcome::Pass { .. });
        debug!(%address, ?outcome, "an area's address probed");
        let word = if passed { "pass" } else { "fail" };
        counter!("pointsman_area_probes_total", "outcome" => word).increment(1);
        Some(passed)
    }

    /// Tells the controller what works, where that is something else than it was told.
    async fn tell_areas(&self, target: &Arc<str>) {
        let changed = self.by_area.lock().get_mut(target).and_then(Known::changed);
        if let Some(areas) = changed {
            self.report(Report::ByArea { target: target.clone(), areas }).await;
        }
    }
}

/// What is known of one target.
#[derive(Debug, Default)]
struct Known {
    answers: Vec<Answer>,
    addresses: BTreeMap<IpAddr, Address>,
    /// What the controller knows.
    told: Vec<ForArea>,
}

/// What a look found for an area.
#[derive(Debug)]
struct Answer {
    of: AreaNetwork,
    addresses: Vec<IpAddr>,
    ttl: u32,
    at: Time,
}

#[derive(Clone, Copy, Debug)]
struct Address {
    /// When it was in an answer.
    seen: Time,
    probed: Option<Time>,
    /// Failures in a row of one that works; none of one that is not known to.
    works: Option<u8>,
}

impl Known {
    /// What a look found, by the number of the network.
    fn take(&mut self, networks: &[AreaNetwork], found: Vec<(usize, ForNetwork)>, now: Time) {
        for (number, found) in found {
            let Some(of) = networks.get(number) else { continue };
            let ttl = u32::try_from(found.ttl.clamp(MIN_TTL, MAX_TTL).as_secs()).unwrap_or(u32::MAX);
            let answer = Answer { of: of.clone(), addresses: some_of(&found.addresses), ttl, at: now };
            match self.answers.iter_mut().find(|answer| answer.of == *of) {
                Some(known) => *known = answer,
                None => self.answers.push(answer),
            }
        }
        self.answers.retain(|answer| networks.contains(&answer.of) && now.since(answer.at) < KEPT_FOR);
        let kept = self.answers.iter().filter(|answer| answer.at < now);
        let kept: BTreeSet<IpAddr> = kept.flat_map(|answer| answer.addresses.iter().copied()).collect();
        self.addresses.retain(|address, known| now.since(known.seen) < REMEMBERED || kept.contains(address));
        let wanted = self.wanted();
        // First all that are known, so that none of them makes room.
        for address in &wanted {
            if let Some(known) = self.addresses.get_mut(address) {
                known.seen = now;
            }
        }
        for address in wanted {
            if !self.addresses.contains_key(&address) && self.has_room(now) {
                self.addresses.insert(address, Address { seen: now, probed: None, works: None });
            }
        }
    }

    /// Addresses that are to be known: each area's first of each family, before any area's second.
    fn wanted(&self) -> Vec<IpAddr> {
        let mut ranked: Vec<(usize, IpAddr)> = Vec::new();
        for answer in &self.answers {
            let (mut v4, mut v6) = (0.., 0..);
            ranked.extend(answer.addresses.iter().filter_map(|address| {
                let rank = if address.is_ipv4() { v4.next() } else { v6.next() };
                Some((rank?, *address))
            }));
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        let mut met = BTreeSet::new();
        ranked
            .into_iter()
            .map(|(_, address)| address)
            .filter(|address| met.insert(*address))
            .take(MAX_ADDRESSES)
            .collect()
    }

    /// Whether one more address can be known, which may take the place of one that no answer has.
    fn has_room(&mut self, now: Time) -> bool {
        if self.addresses.len() < MAX_ADDRESSES {
            return true;
        }
        let oldest = self.addresses.iter().min_by_key(|(_, address)| address.seen);
        let gone = oldest.filter(|(_, address)| address.seen < now).map(|(address, _)| *address);
        gone.is_some_and(|address| self.addresses.remove(&address).is_some())
    }

    /// What a check of this pace is to probe now: one that is not known to work, one that is, in turn, and of each kind the one that was probed longest ago.
    fn choose(&mut self, every: Duration, now: Time) -> Vec<IpAddr> {
        let due = |address: &Address| {
            let pause = if address.works == Some(0) { every * WORKS_FOR } else { every };
            address.probed.is_none_or(|probed| now.since(probed) >= pause)
        };
        let mut due: Vec<(IpAddr, Address)> =
            self.addresses.iter().filter(|(_, known)| due(known)).map(|(address, known)| (*address, *known)).collect();
        due.sort_by_key(|(_, known)| known.probed);
        let (works, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, known)| known.works.is_some());
        let (mut works, mut others) = (works.into_iter(), others.into_iter());
        let in_turn = std::iter::from_fn(|| Some([others.next(), works.next()]));
        let chosen: Vec<IpAddr> = in_turn
            .take_while(|pair| pair.iter().any(Option::is_some))
            .flatten()
            .flatten()
            .map(|(address, _)| address)
            .take(PROBED_AT_ONCE)
            .collect();
        // Other checks leave it alone meanwhile.
        for address in &chosen {
            if let Some(known) = self.addresses.get_mut(address) {
                known.probed = Some(now);
            }
        }
        chosen
    }

    /// How a probe of an address ended.
    fn note(&mut self, address: IpAddr, passed: bool, now: Time) {
        let Some(known) = self.addresses.get_mut(&address) else { return };
        known.probed = Some(now);
        known.works = match known.works {
            _ if passed => Some(0),
            Some(failures) if failures + 1 < FALL => Some(failures + 1),
            _ => None,
        };
    }

    /// What clients may be answered.
    fn proven(&self) -> Vec<ForArea> {
        let works = |address: &&IpAddr| self.addresses.get(*address).is_some_and(|known| known.works.is_some());
        let of_area = |answer: &Answer| ForArea {
            of: answer.of.clone(),
            addresses: answer.addresses.iter().filter(works).copied().collect(),
            ttl: answer.ttl,
        };
        self.answers.iter().map(of_area).filter(|area| !area.addresses.is_empty()).collect()
    }

    /// The same, where it was not told before.
    fn changed(&mut self) -> Option<Vec<ForArea>> {
        let proven = self.proven();
        (proven != self.told).then(|| self.told.clone_from(&proven)).map(|()| proven)
    }
}

/// So many of each family.
fn some_of(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let of = |family| addresses.iter().copied().filter(move |address| Family::of(*address) == family);
    Family::ALL.into_iter().flat_map(|family| of(family).take(MAX_OF_FAMILY)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_secs(10);

    fn networks(count: u8) -> Vec<AreaNetwork> {
        let network = |at: u8| AreaNetwork {
            area: format!("a{at}").into(),
            network: format!("192.0.{at}.0/24").parse().expect("a network"),
        };
        (0..count).map(network).collect()
    }

    fn found(addresses: impl IntoIterator<Item = IpAddr>) -> ForNetwork {
        ForNetwork { addresses: addresses.into_iter().collect(), ttl: Duration::from_secs(20), scope: 24 }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    fn told(known: &Known) -> Vec<(String, Vec<IpAddr>)> {
        known.proven().into_iter().map(|area| (area.of.area.to_string(), area.addresses)).collect()
    }

    const fn at(seconds: u64) -> Time {
        Time(seconds * 1_000)
    }

    #[test]
    fn only_what_was_seen_to_work_is_told() {
        let (mut known, networks) = (Known::default(), networks(2));
        known.take(&networks, vec![(0, found([ip(1), ip(2)])), (1, found([ip(3)]))], at(0));
        assert_eq!(known.changed(), None, "nothing works yet, and nothing was told");
        assert_eq!(known.choose(PACE, at(0)), [ip(1), ip(2), ip(3)]);
        assert!(known.choose(PACE, at(1)).is_empty(), "they are being probed");
        known.note(ip(1), true, at(1));
        known.note(ip(2), false, at(1));
        known.note(ip(3), true, at(1));
        assert_eq!(told(&known), [("a0".to_owned(), vec![ip(1)]), ("a1".to_owned(), vec![ip(3)])]);
        assert!(known.changed().is_some() && known.changed().is_none(), "told once");
        assert_eq!(known.choose(PACE, at(11)), [ip(2)], "what works is not probed so soon");
        // One failure is not yet one too many.
        known.note(ip(3), false, at(31));
        assert_eq!(known.changed(), None);
        known.note(ip(3), false, at(36));
        assert_eq!(told(&known), [("a0".to_owned(), vec![ip(1)])]);
        known.note(ip(3), true, at(41));
        assert_eq!(told(&known).len(), 2);
        // Nobody's address.
        known.note(ip(9), true, at(41));
        assert_eq!(told(&known).len(), 2);
    }

    #[test]
    fn what_works_and_what_does_not_take_turns() {
        let (mut known, networks) = (Known::default(), networks(1));
        known.take(&networks, vec![(0, found((1..=8).map(ip)))], at(0));
        (1..=4).for_each(|last| known.note(ip(last), true, at(u64::from(last))));
        assert_eq!(known.choose(PACE, at(100)), [ip(5), ip(1), ip(6), ip(2)]);
        assert_eq!(known.choose(PACE, at(100)), [ip(7), ip(3), ip(8), ip(4)]);
        // All are probed again and again, however many fail.
        assert_eq!(known.choose(PACE, at(110)), [ip(5), ip(6), ip(7), ip(8)]);
        assert_eq!(known.choose(PACE, at(131)), [ip(5), ip(1), ip(6), ip(2)]);
    }

    #[test]
    fn an_area_keeps_what_it_had_for_an_hour() {
        let (mut known, networks) = (Known::default(), networks(2));
        known.take(&networks, vec![(0, found([ip(1)])), (1, found([ip(2)]))], at(0));
        (1..=2).for_each(|last| known.note(ip(last), true, at(1)));
        for seconds in (300..3_600).step_by(300).chain([3_599]) {
            known.take(&networks, vec![(1, found([ip(2)]))], at(seconds));
            assert_eq!(told(&known).len(), 2, "{seconds}");
        }
        known.take(&networks, vec![(1, found([ip(2)]))], at(3_600));
        assert_eq!(told(&known), [("a1".to_owned(), vec![ip(2)])]);
        // A network that stands for nobody any more.
        known.take(&networks[..1], vec![(0, found([ip(1)]))], at(3_700));
        assert_eq!(told(&known), [("a0".to_owned(), vec![ip(1)])]);
    }

    #[test]
    fn answers_that_rotate_need_not_be_proven_each_time() {
        let (mut known, networks) = (Known::default(), networks(1));
        for (seconds, address, works) in [(0, 1, false), (300, 2, false), (599, 1, true), (1_300, 2, false)] {
            known.take(&networks, vec![(0, found([ip(address)]))], at(seconds));
            assert_eq!(!told(&known).is_empty(), works, "{seconds}");
            known.note(ip(address), true, at(seconds));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (mut known, networks) = (Known::default(), networks(40));
        for round in 0..10_u64 {
            let all = (0..40_usize).map(|number| {
                let of = |last: u64| IpAddr::from([10, round as u8, number as u8, last as u8]);
                (number, found((0..20).map(of)))
            });
            known.take(&networks, all.collect(), at(round * 30));
            assert_eq!(known.addresses.len(), MAX_ADDRESSES);
            let has_one = |answer: &Answer| known.addresses.contains_key(&answer.addresses[0]);
            assert!(known.answers.iter().all(has_one), "no area goes without");
            assert!(known.answers.iter().all(|answer| answer.addresses.len() == MAX_OF_FAMILY));
            assert!(
                known.addresses.values().all(|address| address.seen == at(round * 30)),
                "new ones take old ones' places"
            );
        }
    }
}
