//! What is asked of targets whose names are flattened alone: their HTTPS records (RFC 9460), looked up apart from probes: a resolver that stumbles over the type must not
//! hold up what is known of addresses.
//!
//! Whether their DNS honours client subnets is asked once an hour beside it: a flattened name answers what was resolved from here, and it is told where
//! that may be wrong for clients far away.
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
#[derive(Debug, Default)]
pub struct Flattening {
    targets: HashMap<Arc<str>, Known>,
    order: BTreeSet<(Time, Arc<str>)>,
    running: JoinSet<Known>,
    /// What each running look-up is of, so that one that panics is given back too.
    asked: HashMap<Id, Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// None while it is looked up.
    due: Option<Time>,
    /// Whether its DNS honours client subnets, and when that is to be asked.
    honours_subnets: Option<bool>,
    subnets_due: Time,
}

impl Flattening {
    /// These are all targets from now on. New ones are due at once.
    pub fn plan(&mut self, targets: Vec<Arc<str>>, now: Time) {
        let mut before = std::mem::take(&mut self.targets);
        for target in targets {
            let known = before.remove(&target).unwrap_or(Known { due: Some(now), ..Known::default() });
            self.targets.insert(target, known);
        }
        self.order = self.targets.iter().filter_map(|(target, known)| Some((known.due?, target.clone()))).collect();
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
            let (rounds, asked, known) = (Arc::clone(rounds), target.clone(), *known);
            let handle = self.running.spawn(async move { look_up(&rounds, &asked, known).await });
            self.asked.insert(handle.id(), target);
        }
        IDLE
    }

    /// Returns when a look-up has ended; never while there is none.
    pub async fn ended(&mut self, clock: &Clock) {
        let (id, known) = match self.running.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok(ended)) => ended,
            Some(Err(failed)) => {
                error!(error = %failed, "looking up HTTPS records broke off");
                (failed.id(), Known { due: Some(clock().after(NONE_HOLDS)), ..Known::default() })
            }
        };
        let Some(target) = self.asked.remove(&id) else { return };
        // One that was taken out meanwhile is not asked again; one that came back since is due already.
        if let Some(at @ Known { due: None, .. }) = self.targets.get_mut(&target) {
            *at = known;
            self.order.extend(known.due.map(|due| (due, target)));
        }
    }
}

/// One look-up, reported.
async fn look_up(rounds: &Arc<Rounds>, target: &Arc<str>, known: Known) -> Known {
    let ((records, ttl), known) = tokio::join!(services(rounds, target), subnets(rounds, target, known));
    let honours_subnets = known.honours_subnets;
    rounds.report(Report::Service { target: target.clone(), records, ttl, honours_subnets }).await;
    Known { due: Some((rounds.clock)().after(ttl)), ..known }
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
    let asked = tokio::time::timeout(LIMIT, honours_subnets(rounds, target)).await.ok().flatten();
    let holds = if asked.is_some() { SUBNETS_HOLD } else { NONE_HOLDS };
    Known { honours_subnets: asked.or(known.honours_subnets), subnets_due: now.after(holds), ..known }
}

fn service_record(record: &hickory_resolver::proto::rr::Record) -> Option<ServiceRecord> {
    let RData::HTTPS(service) = &record.data else { return None };
    let (owner, rdata) = (record.name.to_lowercase().to_bytes().ok()?, service.to_bytes().ok()?);
    Some(ServiceRecord { owner: owner.into(), rdata: rdata.into() })
}
