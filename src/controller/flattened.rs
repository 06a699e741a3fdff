//! What is known of the targets of flattened names beside their addresses: HTTPS records, and whether their DNS honours client subnets.
//!
//! Kept by target, since thousands of names may share one, and put into the set of each candidate beside its addresses: what
//! clients are told in hints and what they are answered changes with one publication.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::publish::least_ttl;
use super::task::Task;
use crate::image::published::{FAR_CLIENTS, FlattenedSet};
use crate::image::service::{Service, ServiceRecord};
use crate::steer::observation::CandidateKey;
use crate::steer::policy::{Shape, Target};

/// Targets of flattened names.
#[derive(Debug, Default)]
pub(super) struct Flattened(HashMap<Arc<str>, About>);

#[derive(Debug, Default)]
struct About {
    /// Who has it as target.
    candidates: Vec<CandidateKey>,
    records: Vec<ServiceRecord>,
    /// Seconds.
    ttl: u32,
    honours_subnets: Option<bool>,
}

impl Flattened {
    /// The targets, for the prober.
    pub(super) fn targets(&self) -> Vec<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// A set of these addresses of a target, with all else that is known of it.
    pub(super) fn set(&self, target: Option<&str>, addresses: Vec<IpAddr>, ttl: u32) -> FlattenedSet {
        let about = target.and_then(|target| self.0.get(target));
        let with_records = about.filter(|about| !about.records.is_empty());
        let service = with_records.and_then(|about| Service::compile(&about.records, about.ttl, &addresses));
        let honours_subnets = about.and_then(|about| about.honours_subnets);
        FlattenedSet { addresses, ttl, service: service.map(Arc::new), honours_subnets }
    }
}

impl Task {
    /// Whose targets are flattened from now on. What was known of them stays.
    pub(super) fn index_flattened(&mut self) {
        let mut before = std::mem::take(&mut self.flattened.0);
        for name in self.steering.names().filter(|name| name.shape == Shape::Flattened) {
            for candidate in &name.candidates {
                let Target::Name(target) = &candidate.target else { continue };
                let about = self.flattened.0.entry(target.clone()).or_insert_with(|| {
                    let known = before.remove(target).unwrap_or_default();
                    About { candidates: Vec::new(), ..known }
                });
                about.candidates.push(CandidateKey { name: name.name.clone(), candidate: candidate.id.clone() });
            }
        }
    }

    /// What was asked about a target came to this.
    pub(super) fn take_service(
        &mut self,
        target: &str,
        records: Vec<ServiceRecord>,
        ttl: Duration,
        honours_subnets: Option<bool>,
    ) {
        let ttl = if records.is_empty() { 0 } else { least_ttl(ttl) };
        let Some(about) = self.flattened.0.get_mut(target) else { return };
        if (&about.records, about.ttl, about.honours_subnets) == (&records, ttl, honours_subnets) {
            return;
        }
        if honours_subnets == Some(false) && about.honours_subnets != Some(false) {
            tracing::warn!(target_name = target, "{FAR_CLIENTS}");
        }
        (about.records, about.ttl, about.honours_subnets) = (records, ttl, honours_subnets);
        let candidates = about.candidates.clone();
        // Candidates of one target mostly share a set, and are to share the next.
        let mut last: Option<(Arc<FlattenedSet>, Arc<FlattenedSet>)> = None;
        for key in &candidates {
            let Some(before) = self.resolved_set(key) else { continue };
            let set = match &last {
                Some((from, to)) if Arc::ptr_eq(from, &before) => to.clone(),
                _ => {
                    let set = Arc::new(self.flattened.set(Some(target), before.addresses.clone(), before.ttl));
                    last = Some((before, set.clone()));
                    set
                }
            };
            self.replace_set(key, set);
        }
    }
}
