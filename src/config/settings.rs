//! From sections to each room's own Settings.

use std::path::PathBuf;
use std::sync::Arc;

use super::{AnchorsSection, Config, PlannedDrill, Schedule, TcpSection};
use crate::health::anchors::Anchors;
use crate::image::areas::Sets;
use crate::steer::overrides::Drill;
use crate::{dns, health, store, zone};

/// Descriptors for all but TCP connections and the requests of probes: look-ups, the API, the store, zone files.
const OTHER_FILES: u64 = 544;

impl Config {
    /// What this Pointsman calls the place that it probes from: as configured, else the machine's host name.
    pub fn vantage(&self) -> String {
        if !self.server.vantage.is_empty() {
            return self.server.vantage.clone();
        }
        // The second for a unit that sees of /proc nothing but processes.
        let names = ["/proc/sys/kernel/hostname", "/etc/hostname"].map(std::fs::read_to_string);
        let mut names = names.iter().flatten().map(|name| name.trim()).filter(|name| !name.is_empty());
        names.next().unwrap_or("local").to_owned()
    }

    pub fn zone_settings(&self) -> zone::folder::Settings {
        // Reading the configuration has seen that the defaults are good.
        let defaults = self.defaults().unwrap_or_default();
        zone::folder::Settings { providers: self.providers(), defaults, areas: self.area_names() }
    }

    /// The named sets that steering records may name beside those that ship.
    pub fn area_names(&self) -> Vec<String> {
        self.areas.sets.keys().cloned().collect()
    }

    /// All named sets.
    pub fn area_sets(&self) -> Sets {
        // Reading the configuration has seen that the entries are good.
        let entries = |texts: &[String]| texts.iter().filter_map(|text| text.parse().ok()).collect();
        Sets::with(self.areas.sets.iter().map(|(name, texts)| (name.as_str().into(), entries(texts))))
    }

    /// The database of countries, if there is to be one.
    pub fn area_database(&self) -> Option<PathBuf> {
        (!self.areas.database.as_os_str().is_empty()).then(|| self.areas.database.clone())
    }

    pub fn dns_settings(&self) -> dns::Settings {
        let TcpSection { connections, per_client, idle } = self.dns.tcp.clone();
        let defaults = dns::Settings::default();
        dns::Settings {
            listen: self.dns.listen.clone(),
            threads: if self.dns.threads == 0 { defaults.threads } else { self.dns.threads },
            receive_buffer: self.dns.receive_buffer,
            pin: self.dns.pin,
            tcp: dns::TcpSettings { connections, per_client, idle: idle.0, ..defaults.tcp },
        }
    }

    pub fn health_settings(&self, vantage: Arc<str>) -> health::Settings {
        let AnchorsSection { tcp, https, least, timeout } = self.probe.anchors.clone();
        health::Settings {
            vantage,
            resolvers: self.probe.resolvers.clone(),
            extra_ca: self.probe.extra_ca.clone(),
            user_agent: self.probe.user_agent.clone(),
            headers: self.probe.headers.clone().into_iter().collect(),
            allow_private: self.probe.allow_private,
            ports: self.probe.ports.clone(),
            in_flight: (self.probe.in_flight > 0).then_some(self.probe.in_flight),
            other_files: self.dns.tcp.connections as u64 + OTHER_FILES,
            authoritative_every: self.probe.authoritative_every.0,
            anchors: Anchors { tcp, https, least, timeout: timeout.0 },
            browser_every: self.probe.browser_every,
            ..health::Settings::default()
        }
    }

    pub fn store_settings(&self) -> store::Settings {
        store::Settings {
            open_limit: self.store.open_limit.0,
            keep_events: self.store.events,
            keep_days: self.store.days,
            ..store::Settings::new(self.store_folder())
        }
    }

    /// The drills that are scheduled.
    pub fn planned_drills(&self) -> Vec<PlannedDrill> {
        // Reading the configuration has seen that all of them are good.
        let planned = |section: &super::DrillSection| {
            let per_mille = Drill::parse_share(&section.share)?;
            Some(PlannedDrill {
                drill: Drill { provider: section.provider.as_str().into(), per_mille },
                span: section.span?.0,
                schedule: Schedule::parse(&section.at).ok()?,
                reason: match section.reason.trim() {
                    "" => "a scheduled drill".to_owned(),
                    reason => reason.to_owned(),
                },
            })
        };
        self.drill.iter().filter_map(planned).collect()
    }

    fn store_folder(&self) -> PathBuf {
        self.server.data.join("store")
    }
}
