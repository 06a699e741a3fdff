//! What is asked of targets whose names are flattened alone: their HTTPS records (RFC 9460), looked up apart from probes: a resolver that stumbles over the type must not
//! hold up what is known of addresses.
//!
//! Whether their DNS honours client subnets is asked once an hour beside it: where it does, the target is resolved for each area too (`by_area`); where it does not, a
//! flattened name answers what was resolved from here, and it is told that this may be wrong for clients far away.
//!
//! One look-up a target at a time, the next when its TTL is over. What cannot be looked up is as if it had none: a client without an HTTPS
//! record goes to the same addresses.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;
use tokio::task::{Id, JoinSet};
use tracing::{debug, error};

use super::cold::honours_subnets;
use super::message::Report;
use super::prober::Clock;
use super::resolve::{MAX_TTL, MIN_TTL};
use super::round::Rounds;
use crate::image::areas::AreaNetwork;
use crate::image::service::ServiceRecord;
use crate::steer::time::Time;

/// Look-ups at once.
const AT_ONCE: usize = 32;
/// For one look-up.
const LIMIT: Duration = Duration::from_secs(3);
/// Until a target without such records is asked again.
const NONE_HOLDS: Duration = Duration::from_secs(60);
/// Until it is asked again whether client subnets are honoured.
const SUBNETS_HOLD: Duration = Duration::from_secs(3600);
/// A sleep when nothing is planned; commands wake the prober anyway.
const IDLE: Duration = Duration::from_secs(3600);

/// Which target is looked up when.
#[derive(Debug)]
pub struct Flattening {
    targets: HashMap<Arc<str>, Known>,
    order: BTreeSet<(Time, Arc<str>)>,
    running: JoinSet<Known>,
    /// What each running look-up is of, so that one that panics is given back too.
    asked: HashMap<Id, Asked>,
    /// What targets are resolved for.
    networks: Arc<[AreaNetwork]>,
}

/// What a look-up that runs is of.
#[derive(Debug)]
struct Asked {
    target: Arc<str>,
    networks: Arc<[AreaNetwork]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// None while it is looked up.
    due: Option<Time>,
    /// When its HTTPS records are to be looked up.
    services_due: Time,
    /// Whether its DNS honours client subnets, and when that is to be asked.
    honours_subnets: Option<bool>,
    subnets_due: Time,
    /// When it is to be resolved for each area.
    areas_due: Time,
}

impl Default for Flattening {
    fn default() -> Self {
        Self {
            targets: HashMap::new(),
            order: BTreeSet::new(),
            running: JoinSet::new(),
            asked: HashMap::new(),
            networks: Arc::new([]),
        }
    }
}

impl Flattening {
    /// These are all targets from now on, and the networks that they are resolved for. New ones are due at once.
    pub fn plan(&mut self, targets: Vec<Arc<str>>, networks: Arc<[AreaNetwork]>, now: Time) {
        let mut before = std::mem::take(&mut self.targets);
        let are_other = networks != self.networks;
        if are_other {
            self.networks = networks;
        }
        for target in targets {
            let mut known = before.remove(&target).unwrap_or(Known { due: Some(now), ..Known::default() });
            if are_other {
                known.is_of_other_networks(now);
            }
            self.targets.insert(target, known);
        }
        self.order = self.targets.iter().filter_map(|(target, known)| Some((known.due?, target.clone()))).collect();
    }

    /// Whether this is one of the targets.
    pub fn has(&self, target: &Arc<str>) -> bool {
        self.targets.contains_key(target)
    }

    /// Begins what is due, and says how long to wait for the next.
    pub fn begin(&mut self, rounds: &Arc<Rounds>) -> Duration {
        let now = (rounds.clock)();
        while self.running.len() < AT_ONCE {
            let Some((at, _)) = self.order.first() else { return IDLE };
            if *at > now {
                return at.since(now);
            }
            let Some((_, target)) = self.order.pop_first() else { return IDLE };
            let Some(known) = self.targets.get_mut(&target) else { continue };
            known.due = None;
            let asked = Asked { target, networks: Arc::clone(&self.networks) };
            let (rounds, known) = (Arc::clone(rounds), *known);
            let (target, networks) = (asked.target.clone(), Arc::clone(&asked.networks));
            let handle = self.running.spawn(async move { look_up(&rounds, &target, &networks, known).await });
            self.asked.insert(handle.id(), asked);
        }
        IDLE
    }

    /// Returns when a look-up has ended; never while there is none.
    pub async fn ended(&mut self, clock: &Clock) {
        let (id, mut known) = match self.running.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok(ended)) => ended,
            Some(Err(failed)) => {
                error!(error = %failed, "looking up HTTPS records broke off");
                (failed.id(), Known { due: Some(clock().after(NONE_HOLDS)), ..Known::default() })
            }
        };
        let Some(Asked { target, networks }) = self.asked.remove(&id) else { return };
        if !Arc::ptr_eq(&networks, &self.networks) {
            known.is_of_other_networks(clock());
        }
        // One that was taken out meanwhile is not asked again; one that came back since is due already.
        if let Some(at @ Known { due: None, .. }) = self.targets.get_mut(&target) {
            *at = known;
            self.order.extend(known.due.map(|due| (due, target)));
        }
    }
}

impl Known {
    /// What it was resolved for by area has changed.
    fn is_of_other_networks(&mut self, now: Time) {
        self.areas_due = now;
        self.due = self.due.map(|due| due.min(now));
    }
}

/// One look-up of what is due, reported.
async fn look_up(rounds: &Arc<Rounds>, target: &Arc<str>, networks: &Arc<[AreaNetwork]>, mut known: Known) -> Known {
    if known.services_due <= (rounds.clock)() {
        let ((records, ttl), learnt) = tokio::join!(services(rounds, target), subnets(rounds, target, known));
        known = Known { services_due: (rounds.clock)().after(ttl), ..learnt };
        let honours_subnets = known.honours_subnets;
        rounds.report(Report::Service { target: target.clone(), records, ttl, honours_subnets }).await;
    }
    known.due = Some(known.services_due);
    if known.honours_subnets != Some(true) || networks.is_empty() {
        rounds.forget_areas(target).await;
        return known;
    }
    if known.areas_due <= (rounds.clock)() {
        let holds = rounds.resolve_by_area(target, networks).await;
        known.areas_due = (rounds.clock)().after(holds);
    }
    known.due = Some(known.services_due.min(known.areas_due));
    known
}

/// The HTTPS records, and how long they hold.
async fn services(rounds: &Rounds, target: &str) -> (Vec<ServiceRecord>, Duration) {
    match tokio::time::timeout(LIMIT, rounds.targets.lookup(target, RecordType::HTTPS)).await {
        Ok(Ok(lookup)) => {
            let ttl = lookup.valid_until().saturating_duration_since(std::time::Instant::now());
            let records: Vec<ServiceRecord> = lookup.answers().iter().filter_map(service_record).collect();
            let holds = if records.is_empty() { NONE_HOLDS } else { ttl.clamp(MIN_TTL, MAX_TTL) };
            (records, holds)
        }
        Ok(Err(why)) => {
            debug!(target_name = target, %why, "no HTTPS records");
            (Vec::new(), NONE_HOLDS)
        }
        Err(_) => (Vec::new(), NONE_HOLDS),
    }
}

/// Whether the target's DNS honours client subnets, asked if that is due. What cannot be told is as it was known.
async fn subnets(rounds: &Arc<Rounds>, target: &str, known: Known) -> Known {
    let now = (rounds.clock)();
    if !rounds.cold.is_on() || now < known.subnets_due {
        return known;
    }
    let asked = tokio::time::timeout(LIMIT, honours_subnets(rounds.way(), target)).await.ok().flatten();
    let holds = if asked.is_some() { SUBNETS_HOLD } else { NONE_HOLDS };
    Known { honours_subnets: asked.or(known.honours_subnets), subnets_due: now.after(holds), ..known }
}

fn service_record(record: &hickory_resolver::proto::rr::Record) -> Option<ServiceRecord> {
    let RData::HTTPS(service) = &record.data else { return None };
    let (owner, rdata) = (record.name.to_lowercase().to_bytes().ok()?, service.to_bytes().ok()?);
    Some(ServiceRecord { owner: owner.into(), rdata: rdata.into() })
}
