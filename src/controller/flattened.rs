//! What is known of the targets of flattened names beside their addresses: HTTPS records, whether their DNS honours client subnets, and what it has for
//! the clients of areas.
//!
//! Kept by target, since thousands of names may share one, and put into the set of each candidate beside its addresses: what
//! clients are told in hints and what they are answered changes with one publication. What is known for areas goes by the networks that the areas in force
//! have: sets are made anew when those change, and are published with them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::publish::least_ttl;
use super::task::Task;
use super::view::AreaAddresses;
use crate::health::message::Command;
use crate::image::areas::AreaNetwork;
use crate::image::by_area::ForArea;
use crate::image::published::{FAR_CLIENTS, FlattenedSet};
use crate::image::service::{Service, ServiceRecord};
use crate::steer::edges::{Nearness, known};
use crate::steer::observation::CandidateKey;
use crate::steer::policy::{Shape, Target};

/// Targets of flattened names.
#[derive(Debug)]
pub(super) struct Flattened {
    targets: HashMap<Arc<str>, About>,
    /// Those of the areas in force.
    networks: Arc<[AreaNetwork]>,
}

impl Default for Flattened {
    fn default() -> Self {
        Self { targets: HashMap::new(), networks: Arc::new([]) }
    }
}

#[derive(Debug, Default)]
struct About {
    /// Who has it as target.
    candidates: Vec<CandidateKey>,
    records: Vec<ServiceRecord>,
    /// Seconds.
    ttl: u32,
    honours_subnets: Option<bool>,
    /// What works of what its DNS has for areas.
    areas: Vec<ForArea>,
}

impl Flattened {
    /// What the prober is to look up.
    pub(super) fn command(&self) -> Command {
        Command::Flatten { targets: self.targets.keys().cloned().collect(), networks: self.networks.clone() }
    }

    /// What is known for areas of a target, to be shown.
    pub(super) fn areas_view(&self, target: &str) -> Vec<AreaAddresses> {
        let view = |ForArea { of, addresses, ttl }: &ForArea| AreaAddresses {
            area: of.area.to_string(),
            network: of.network.to_string(),
            addresses: addresses.iter().map(IpAddr::to_string).collect(),
            ttl: *ttl,
        };
        self.targets.get(target).map_or_else(Vec::new, |about| about.areas.iter().map(view).collect())
    }

    /// Whether the DNS of a target honours client subnets.
    pub(super) fn honours_subnets(&self, target: &str) -> Option<bool> {
        self.targets.get(target)?.honours_subnets
    }

    /// A set of these addresses of a target, with all else that is known of it.
    pub(super) fn set(&self, target: Option<&str>, addresses: Vec<IpAddr>, ttl: u32) -> FlattenedSet {
        let about = target.and_then(|target| self.targets.get(target));
        let with_records = about.filter(|about| !about.records.is_empty());
        let service = with_records.and_then(|about| Service::compile(&about.records, about.ttl, &addresses));
        let honours_subnets = about.and_then(|about| about.honours_subnets);
        let set = FlattenedSet { addresses, ttl, service: service.map(Arc::new), honours_subnets, by_area: None };
        match about.filter(|about| !about.areas.is_empty()) {
            Some(about) => set.with_areas(&self.networks, &about.areas, (&about.records, about.ttl)),
            None => set,
        }
    }
}

impl Task {
    /// Whose targets are flattened from now on. What was known of them stays.
    pub(super) fn index_flattened(&mut self) {
        let mut before = std::mem::take(&mut self.flattened.targets);
        for name in self.steering.names().filter(|name| name.shape == Shape::Flattened) {
            for candidate in &name.candidates {
                let Target::Name(target) = &candidate.target else { continue };
                let about = self.flattened.targets.entry(target.clone()).or_insert_with(|| {
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
        let Some(about) = self.flattened.targets.get_mut(target) else { return };
        if (&about.records, about.ttl, about.honours_subnets) == (&records, ttl, honours_subnets) {
            return;
        }
        let is_anycast = known(target).is_some_and(|edges| edges.by == Nearness::Anycast);
        if honours_subnets == Some(false) && about.honours_subnets != Some(false) && !is_anycast {
            tracing::warn!(target_name = target, "{FAR_CLIENTS}");
        }
        (about.records, about.ttl, about.honours_subnets) = (records, ttl, honours_subnets);
        self.renew_sets(target);
    }

    /// What works of what the DNS of a target has for areas.
    pub(super) fn take_by_area(&mut self, target: &str, areas: Vec<ForArea>) {
        let Some(about) = self.flattened.targets.get_mut(target) else { return };
        if about.areas != areas {
            about.areas = areas;
            self.renew_sets(target);
        }
    }

    /// Other areas are in force from the next publication on, which all sets are made for.
    pub(super) fn settle_networks(&mut self) {
        let networks = self.areas.areas.networks();
        if self.flattened.networks == *networks {
            return;
        }
        self.flattened.networks = networks.clone();
        let by_area = self.flattened.targets.iter().filter(|(_, about)| !about.areas.is_empty());
        let targets: Vec<Arc<str>> = by_area.map(|(target, _)| target.clone()).collect();
        targets.iter().for_each(|target| self.renew_sets(target));
    }

    /// The sets of all candidates of a target, with what is known of it now.
    fn renew_sets(&mut self, target: &str) {
        let candidates = self.flattened.targets.get(target).map_or_else(Vec::new, |about| about.candidates.clone());
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
