//! The state as the documents of the API.

use std::net::IpAddr;
use std::sync::Arc;

use super::overrides::absolute;
use super::task::Task;
use super::timestamp;
use super::view::{
    AreaShare, AreaView, CandidateView, CertificateView, Counts, DoubtView, EventPage, EventView, FaultView,
    NameCounts, NameView, Overview, ProviderVerdictView, ProviderView, RampView, StandingCounts, StoreState, ZoneState,
    ZoneView,
};
use crate::steer::areas::{AreaRule, PLAIN};
use crate::steer::decision::{CandidateReason, Source};
use crate::steer::observation::CandidateKey;
use crate::steer::overrides::{DrainSubject, Order};
use crate::steer::policy::{Candidate, Shape, SteeredName, Target};
use crate::steer::readiness::Readiness;
use crate::steer::transition::{Change, OverrideState, Standing, Verdict};
use crate::steer::vantage::VantageDoubt;
use crate::store::kept::Event;
use crate::store::{Condition, EventFilter, OpenState};
use crate::zone::diagnostic::Diagnostic;

/// Diagnostics of a zone that its document shows.
const MAX_DIAGNOSTICS: usize = 20;

impl Task {
    pub(super) fn overview(&mut self) -> Overview {
        self.look_at_first_round();
        let now = self.clock.now();
        let zones = self.zone_counts();
        let names = NameCounts {
            steered: self.steering.names().count(),
            without_usable: self.steering.names().filter(|name| !self.is_usable(&name.name)).count(),
            without_usable_in_area: self
                .steering
                .names()
                .filter(|name| self.is_usable(&name.name) && self.steering.without_usable(&name.name).is_some())
                .count(),
        };
        let mut candidates = StandingCounts::default();
        for name in self.steering.names() {
            for candidate in &name.candidates {
                candidates.count(self.standing(name, candidate));
            }
        }
        let families_without_route = (self.families_without_route)();
        let mut overview = Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            vantage: self.vantage.to_string(),
            started: timestamp(self.started),
            now: timestamp(now),
            generation: self.generation,
            serving: *self.serving.borrow(),
            first_round: self.first_round,
            zones,
            names,
            candidates,
            overrides_in_force: self.steering.overrides().count(),
            frozen: self.steering.overrides().any(|order| order.order == Order::Freeze),
            overrides_on_down: self.overrides_on_down(),
            drill: self.running_drill(),
            planned_drills: self.planned_drills(),
            store: self.store_state(),
            areas: self.areas.view(),
            families_without_route,
            udp_dropped: (self.udp_dropped)(),
            tcp_connections: (self.tcp_connections)(),
            doubts: self.doubts(),
            alerts: Vec::new(),
            last_reload: self.last_reload.clone(),
            reloading: self.loading.as_ref().map(|loading| loading.runs_since().as_secs_f64()),
        };
        overview.alerts = self.alerts(&overview);
        overview
    }

    fn doubts(&self) -> Vec<DoubtView> {
        let view = |doubt: VantageDoubt| DoubtView {
            what: doubt.what.word().to_owned(),
            since: timestamp(doubt.since),
            evidence: doubt.evidence,
        };
        self.steering.vantage().into_iter().map(view).collect()
    }

    /// What is wrong beyond single candidates: with the vantage, with a whole provider, with an origin.
    fn wide_faults(&self, overview: &Overview) -> Vec<String> {
        let mut faults: Vec<String> = overview
            .doubts
            .iter()
            .map(|doubt| match &*doubt.what {
                "clock" => format!("this machine's clock is in doubt: {}", doubt.evidence),
                family => {
                    format!("this machine's own network is in doubt, {family} counts nothing: {}", doubt.evidence)
                }
            })
            .collect();
        let providers = self.config.providers();
        faults.extend(providers.iter().filter_map(|provider| {
            let state = self.steering.provider(&provider.id)?;
            let told = matches!(state.verdict, Verdict::Impaired | Verdict::Down);
            told.then(|| format!("provider {} is {}: {}", provider.id, state.verdict, state.evidence))
        }));
        let of_name = |name: &Arc<SteeredName>| {
            Some(format!("{} stays as it is: {}", name.name, self.steering.origin_fault(&name.name)?))
        };
        let mut origins: Vec<String> = self.steering.names().filter_map(of_name).collect();
        origins.sort_unstable();
        faults.append(&mut origins);
        faults
    }

    /// What needs an operator, most urgent first.
    fn alerts(&self, overview: &Overview) -> Vec<String> {
        let mut alerts = Vec::new();
        for (origin, entry) in self.zones.iter() {
            let what = match entry.state {
                ZoneState::Broken => "is broken and answers SERVFAIL",
                ZoneState::Stale => "is stale: its last good text is served",
                ZoneState::Serving => continue,
            };
            alerts.push(format!("zone {origin} {what}; `pointsman check {}` says why", entry.file().display()));
        }
        let unusable = self.steering.names().filter_map(|name| {
            let whose = self.steering.without_usable(&name.name)?;
            let whose = if self.is_usable(&name.name) { format!(" for {whose}") } else { String::new() };
            Some(format!("{} has no usable candidate{whose}", name.name))
        });
        let mut unusable: Vec<_> = unusable.collect();
        unusable.sort_unstable();
        alerts.extend(overview.overrides_on_down.iter().cloned());
        alerts.append(&mut self.wide_faults(overview));
        alerts.extend((self.probes_behind)());
        alerts.append(&mut unusable);
        for order in self.steering.overrides() {
            if let Order::FreezeIn(scope) = &order.order {
                alerts.push(format!("decisions are frozen for {scope} (override {})", order.id));
            }
            let Order::Pin(key) = &order.order else { continue };
            if let Some(whose) = self.steering.pin_forbidden_for(key) {
                alerts.push(format!("override {} pins {key}, not for {whose}: `only` forbids it", order.id));
            }
        }
        alerts.append(&mut self.drill_alerts());
        if overview.frozen {
            alerts.push("decisions are frozen".to_owned());
        }
        match &overview.store {
            StoreState::Ok => {}
            StoreState::SetAside { why, moved_to } => {
                alerts.push(format!("the store was set aside to {moved_to}: {why}"));
            }
            StoreState::WithoutTexts { why } => {
                alerts.push(format!("the last good texts of zones are not kept: {why}"));
            }
            StoreState::WithoutLedger { why } => alerts.push(format!("the ledger is not kept: {why}")),
            StoreState::Gone { why } => alerts.push(format!("nothing is kept over a restart: {why}")),
        }
        if let Some(error) = &overview.areas.error {
            let goes_on = match &overview.areas.loaded {
                Some(loaded) if self.areas.is_kept() => format!(
                    "the last good one ({}, built {}) goes on, as it was kept in {}",
                    loaded.kind,
                    loaded.built.strftime("%Y-%m-%d"),
                    loaded.file
                ),
                Some(_) => "what was read before goes on".to_owned(),
                None => "no country is known: `only.<area>` and `prefer.<area>` hold for nobody whom no prefix of a \
                         set matches"
                    .to_owned(),
            };
            alerts.push(format!("{error}; {goes_on}"));
        }
        if let Some(reload) = self.last_reload.as_ref().filter(|reload| !reload.ok) {
            let errors = if reload.counts.errors == 1 { "error" } else { "errors" };
            alerts.push(format!("the last reload found {} {errors}", reload.counts.errors));
        }
        alerts
    }

    fn zone_counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in self.zones.values() {
            match entry.state {
                ZoneState::Serving => counts.serving += 1,
                ZoneState::Stale => counts.stale += 1,
                ZoneState::Broken => counts.broken += 1,
            }
        }
        counts
    }

    fn store_state(&self) -> StoreState {
        if let Condition::Gone { why } = self.keeping.store().health().condition {
            return StoreState::Gone { why };
        }
        match &self.open_state {
            OpenState::Fine => match (self.keeping.store().ledger().failing(), self.keeping.texts().failing()) {
                (Some(why), _) => StoreState::WithoutLedger { why },
                (None, Some(why)) => StoreState::WithoutTexts { why },
                (None, None) => StoreState::Ok,
            },
            OpenState::SetAside { why, moved_to } => {
                StoreState::SetAside { why: why.clone(), moved_to: moved_to.display().to_string() }
            }
            OpenState::Gone { why } => StoreState::Gone { why: why.clone() },
            // The server does not start then.
            OpenState::InUse => StoreState::Gone { why: "in use by another process".to_owned() },
        }
    }

    pub(super) fn providers(&self) -> Vec<ProviderView> {
        let known = self.config.providers();
        let views = known.iter().map(|provider| {
            let mut candidates = StandingCounts::default();
            let mut serving_names = 0;
            for name in self.steering.names() {
                let own = name.candidates.iter().enumerate().filter(|(_, candidate)| candidate.provider == provider.id);
                let mut serves = false;
                for (index, candidate) in own {
                    candidates.count(self.standing(name, candidate));
                    serves |= self.serves(name, index);
                }
                serving_names += usize::from(serves);
            }
            let drain = self
                .steering
                .overrides()
                .find(|order| matches!(&order.order, Order::Drain(DrainSubject::Provider(id)) if *id == provider.id));
            ProviderView {
                id: provider.id.to_string(),
                name: provider.name.clone(),
                home: provider.home.to_string(),
                status_page: provider.status_page.clone(),
                candidates,
                serving_names,
                drained_by: drain.map(|order| order.id),
                whole: self.steering.provider(&provider.id).map(|state| ProviderVerdictView {
                    verdict: state.verdict,
                    since: timestamp(state.since),
                    counted: state.counted,
                    fallen: state.fallen,
                    zones: state.zones,
                    evidence: state.evidence,
                }),
            }
        });
        // Those that no zone names are of no interest, and there are many.
        views.filter(|view| view.candidates.sum() > 0 || view.drained_by.is_some()).collect()
    }

    pub(super) fn names(&self, wanted: Option<&str>) -> Vec<NameView> {
        match wanted {
            Some(name) => self.steering.name(&absolute(name)).map(|name| self.name_view(name)).into_iter().collect(),
            None => {
                let mut names: Vec<_> = self.steering.names().collect();
                names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                names.into_iter().map(|name| self.name_view(name)).collect()
            }
        }
    }

    pub(super) fn name_view(&self, name: &Arc<SteeredName>) -> NameView {
        let decision = self.steering.decision(&name.name, PLAIN);
        let candidates = name.candidates.iter().enumerate();
        NameView {
            name: name.name.to_string(),
            zone: name.zone.to_string(),
            shape: match name.shape {
                Shape::Cname => "cname",
                Shape::Addresses => "addresses",
                Shape::Flattened => "flattened",
            }
            .to_owned(),
            ttl: decision.map_or(name.policy.ttl, |decision| decision.ttl),
            rule: decision.map_or_else(String::new, |decision| decision.rule.clone()),
            since: timestamp(decision.map_or(self.started, |decision| decision.since)),
            static_answer: decision.is_some_and(|decision| decision.source == Source::Static),
            usable: self.is_usable(&name.name),
            candidates: candidates.map(|(index, candidate)| self.candidate_view(name, index, candidate)).collect(),
            areas: self.area_views(name),
        }
    }

    fn area_views(&self, name: &SteeredName) -> Vec<AreaView> {
        let rules = self.steering.areas(&name.name).into_iter().flat_map(|rules| rules.others());
        let view = |(number, rule): (usize, &AreaRule)| {
            let decision = self.steering.decision(&name.name, number)?;
            let shares = name.candidates.iter().zip(&decision.reasons).map(|(candidate, reason)| AreaShare {
                id: candidate.id.to_string(),
                share: reason.share,
                reason: reason.reason.clone(),
            });
            Some(AreaView {
                clients: rule.clients.clone(),
                terms: rule.terms().to_string(),
                ttl: decision.ttl,
                rule: decision.rule.clone(),
                since: timestamp(decision.since),
                static_answer: decision.source == Source::Static,
                usable: self.steering.usable(&name.name, number),
                shares: shares.collect(),
            })
        };
        rules.filter_map(view).collect()
    }

    /// Whether any candidate of the name can be used, for clients in whatever area.
    fn is_usable(&self, name: &str) -> bool {
        (0..self.area_count(name)).any(|area| self.steering.usable(name, area))
    }

    /// Whether a candidate serves clients in any area.
    fn serves(&self, name: &SteeredName, index: usize) -> bool {
        let decisions = (0..self.area_count(&name.name)).filter_map(|area| self.steering.decision(&name.name, area));
        decisions.filter_map(|decision| decision.reasons.get(index)).any(|reason| reason.share > 0.0)
    }

    fn area_count(&self, name: &str) -> usize {
        self.steering.areas(name).map_or(0, |rules| rules.count())
    }

    fn candidate_view(&self, name: &SteeredName, index: usize, candidate: &Candidate) -> CandidateView {
        let key = CandidateKey { name: name.name.clone(), candidate: candidate.id.clone() };
        let state = self.steering.candidate(&key);
        let reason = self.reason(name, index);
        let standing = state.as_ref().map_or(Standing::Unknown, |state| state.standing);
        let addresses = match &candidate.target {
            Target::Addresses(addresses) => addresses.as_slice(),
            Target::Name(_) => self.resolved.get(&key).map_or(&[][..], |resolved| resolved.addresses()),
        };
        let flattened = match &candidate.target {
            Target::Name(target) if name.shape == Shape::Flattened => Some(&**target),
            _ => None,
        };
        CandidateView {
            id: candidate.id.to_string(),
            provider: candidate.provider.to_string(),
            home: candidate.home.to_string(),
            target: target_text(&candidate.target),
            verdict: standing.verdict(),
            standing,
            since: timestamp(state.as_ref().map_or(self.started, |state| state.since)),
            share: reason.map_or(0.0, |reason| reason.share),
            reason: reason.map_or_else(String::new, |reason| reason.reason.clone()),
            standby: candidate.standby,
            clean_until: state.as_ref().and_then(|state| state.clean_until).map(timestamp),
            ramp: state.as_ref().and_then(|state| state.ramp).map(|ramp| RampView {
                percent: ramp.percent,
                until: timestamp(ramp.until),
                next_percent: ramp.next,
                ends: timestamp(ramp.ends),
            }),
            failures_in_row: state.as_ref().map_or(0, |state| state.failures_in_row),
            recent_failures: state.as_ref().map_or((0, 0), |state| state.recent),
            last_pass: state.as_ref().and_then(|state| state.last_pass).map(timestamp),
            last_latency_ms: state
                .as_ref()
                .and_then(|state| state.last_latency)
                .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
            last_fault: state.as_ref().and_then(|state| state.last_fault.as_ref()).map(|seen| FaultView {
                at: timestamp(seen.at),
                address: seen.address.map(|address| address.to_string()),
                fault: seen.fault.clone(),
            }),
            addresses: addresses.iter().map(IpAddr::to_string).collect(),
            honours_subnets: flattened.and_then(|target| self.flattened.honours_subnets(target)),
            addresses_by_area: flattened.map_or_else(Vec::new, |target| self.flattened.areas_view(target)),
            readiness: self.steering.readiness(&key).map(Readiness::state).unwrap_or_default(),
            risks: self.steering.readiness(&key).map_or_else(Vec::new, Readiness::reasons),
            at_risk_since: self.steering.at_risk_since(&key).map(timestamp),
            certificate: self.steering.certificate(&key).map(|certificate| CertificateView {
                issuer: certificate.issuer.clone(),
                until: timestamp(certificate.until),
            }),
        }
    }

    fn standing(&self, name: &SteeredName, candidate: &Candidate) -> Standing {
        let key = CandidateKey { name: name.name.clone(), candidate: candidate.id.clone() };
        self.steering.candidate(&key).map_or(Standing::Unknown, |state| state.standing)
    }

    fn reason(&self, name: &SteeredName, index: usize) -> Option<&CandidateReason> {
        self.steering.decision(&name.name, PLAIN).and_then(|decision| decision.reasons.get(index))
    }

    pub(super) fn zones(&self) -> Vec<ZoneView> {
        let views = self.zones.iter().map(|(origin, entry)| ZoneView {
            origin: origin.to_string(),
            serial: entry.zone.as_ref().map_or(0, |zone| zone.serial()),
            state: entry.state,
            file: entry.file().display().to_string(),
            records: entry.zone.as_ref().map_or(0, |zone| zone.len()),
            steered_names: entry.zone.as_ref().map_or(0, |zone| zone.steered().len()),
            loaded: entry.loaded.map(timestamp),
            errors: entry.errors(),
            warnings: entry.warnings(),
            diagnostics: entry.diagnostics().iter().take(MAX_DIAGNOSTICS).map(Diagnostic::to_string).collect(),
        });
        views.collect()
    }
}

fn target_text(target: &Target) -> String {
    match target {
        Target::Name(name) => name.to_string(),
        Target::Addresses(addresses) => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(","),
    }
}

impl StandingCounts {
    fn count(&mut self, standing: Standing) {
        *match standing {
            Standing::Up => &mut self.up,
            Standing::Impaired => &mut self.impaired,
            Standing::Down => &mut self.down,
            Standing::Recovering => &mut self.recovering,
            Standing::Ramping => &mut self.ramping,
            Standing::Unknown => &mut self.unknown,
        } += 1;
    }

    /// All of them.
    pub fn sum(&self) -> usize {
        self.up + self.impaired + self.down + self.recovering + self.ramping + self.unknown
    }
}

/// The newest events that are still in memory.
pub(super) fn recent_page(recent: &[Arc<Event>], filter: &EventFilter) -> EventPage {
    let older = |event: &Event| filter.before.is_none_or(|before| event.id < before);
    let mut fitting = recent.iter().rev().filter(|event| older(event) && filter.takes(event));
    let events: Vec<EventView> = fitting.by_ref().take(filter.limit).map(|found| event(found)).collect();
    let next = fitting.next().and_then(|_| events.last().map(|last| last.id));
    EventPage { events, next }
}

pub(super) fn event(event: &Event) -> EventView {
    let (kind, subject, from, to, fault) = match &event.transition.change {
        Change::Verdict { subject, from, to, fault } => {
            ("verdict", subject.to_string(), from.to_string(), to.to_string(), fault.clone())
        }
        Change::Readiness { subject, from, to } => {
            ("readiness", subject.to_string(), from.to_string(), to.to_string(), None)
        }
        Change::Decision { subject, from, to } => {
            ("decision", subject.to_string(), from.to_string(), to.to_string(), None)
        }
        Change::Provider { subject, from, to } => ("provider", subject.clone(), from.to_string(), to.to_string(), None),
        Change::Vantage { subject, from, to } => ("vantage", subject.clone(), from.to_string(), to.to_string(), None),
        Change::Override { id, subject, from, to } => {
            ("override", format!("{subject} (override {id})"), state_word(*from), state_word(*to), None)
        }
        Change::Drill { id, subject, from, to } => {
            ("drill", format!("{subject} (drill {id})"), from.to_string(), to.to_string(), None)
        }
    };
    EventView {
        id: event.id,
        generation: event.generation,
        at: timestamp(event.transition.at),
        kind: kind.to_owned(),
        subject,
        from,
        to,
        why: event.transition.why.to_string(),
        fault,
    }
}

pub(super) fn state_word(state: OverrideState) -> String {
    match state {
        OverrideState::Absent => "absent",
        OverrideState::InForce => "in force",
        OverrideState::OnDown => "in force, on what is down",
        OverrideState::Aborted => "aborted",
        OverrideState::Released => "released",
        OverrideState::Expired => "expired",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::figures::Site;
    use super::*;

    #[tokio::test]
    async fn probes_that_are_late_need_an_operator() {
        let mut site = Site::new().await;
        let line = "probes do not keep their pace".to_owned();
        assert!(!site.task.overview().alerts.contains(&line));
        let told = line.clone();
        site.task.probes_behind = Arc::new(move || Some(told.clone()));
        assert!(site.task.overview().alerts.contains(&line));
    }
}
