//! The gauges that the controller is asked for at each scrape, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::ask::ask;
use super::health::family_word;
use super::health::unready;
use super::metrics::{METRICS, find};
use super::problem::Problem;
use crate::controller::message::{Request, Sender};
use crate::controller::view::{
    AreasView, Counts, NameView, Overview, ProviderView, StandingCounts, StoreState, ZoneState, ZoneView,
};
use crate::steer::observation::Family;
use crate::steer::readiness::ReadinessState;
use crate::steer::transition::{Standing, Verdict};
use crate::steer::vantage::Doubted;

/// All gauges. Never fails: a controller that does not answer is a value too.
pub async fn render(controller: &Sender) -> String {
    match State::of(controller).await {
        Ok(state) => state.render(),
        Err(problem) => {
            tracing::warn!(why = problem.detail, "a scrape goes without the controller's gauges");
            let mut samples = Samples::default();
            samples.add("pointsman_controller_answers", &[], 0.0);
            samples.render()
        }
    }
}

struct State {
    overview: Overview,
    providers: Vec<ProviderView>,
    names: Vec<NameView>,
    zones: Vec<ZoneView>,
}

impl State {
    async fn of(controller: &Sender) -> Result<Self, Problem> {
        let (overview, providers, names, zones) = tokio::try_join!(
            ask(controller, Request::Overview),
            ask(controller, Request::Providers),
            ask(controller, |reply| Request::Names(None, reply)),
            ask(controller, Request::Zones),
        )?;
        Ok(Self { overview, providers, names, zones })
    }

    /// Lets go of each part as soon as it is rendered: with 100,000 candidates each way to say all of it is 100 MB.
    fn render(self) -> String {
        let mut samples = Samples::default();
        samples.add("pointsman_controller_answers", &[], 1.0);
        of_overview(&mut samples, &self.overview);
        self.zones.into_iter().for_each(|zone| of_zone(&mut samples, &zone));
        self.names.into_iter().for_each(|name| of_name(&mut samples, &name));
        self.providers.iter().for_each(|provider| of_provider(&mut samples, provider));
        samples.render()
    }
}

fn of_overview(samples: &mut Samples, overview: &Overview) {
    samples.add("pointsman_build_info", &[&overview.version, &overview.vantage], 1.0);
    samples.add("pointsman_start_time_seconds", &[], overview.started.as_millisecond() as f64 / 1_000.0);
    samples.add("pointsman_ready", &[], flag(unready(overview).is_none()));
    samples.add("pointsman_generation", &[], overview.generation as f64);
    samples.add("pointsman_frozen", &[], flag(overview.frozen));
    for what in Doubted::ALL.map(Doubted::word) {
        let frozen = overview.doubts.iter().any(|doubt| doubt.what == what);
        samples.add("pointsman_vantage_frozen", &[what], flag(frozen));
    }
    samples.add("pointsman_store_ok", &[], flag(overview.store == StoreState::Ok));
    of_areas(samples, &overview.areas);
    samples.add("pointsman_alerts", &[], overview.alerts.len() as f64);
    samples.add("pointsman_overrides", &[], overview.overrides_in_force as f64);
    samples.add("pointsman_overrides_on_down", &[], overview.overrides_on_down.len() as f64);
    samples.add("pointsman_drill_running", &[], flag(overview.drill.is_some()));
    for (provider, next) in next_drills(overview) {
        samples.add("pointsman_drill_next_time_seconds", &[provider], next);
    }
    if let Some(reload) = &overview.last_reload {
        samples.add("pointsman_last_reload_ok", &[], flag(reload.ok));
        samples.add("pointsman_last_reload_time_seconds", &[], reload.at.as_millisecond() as f64 / 1_000.0);
        samples.add("pointsman_last_reload_seconds", &[], reload.seconds);
    }
    for family in Family::ALL {
        let routed = !overview.families_without_route.contains(&family);
        samples.add("pointsman_family_routed", &[family_word(family)], flag(routed));
    }
    let Counts { serving, stale, broken } = overview.zones;
    for (state, count) in [("serving", serving), ("stale", stale), ("broken", broken)] {
        samples.add("pointsman_zones", &[state], count as f64);
    }
    samples.add("pointsman_names", &[], overview.names.steered as f64);
    let lost = overview.names.without_usable + overview.names.without_usable_in_area;
    samples.add("pointsman_names_without_usable_candidate", &[], lost as f64);
    for (standing, count) in by_standing(&overview.candidates) {
        samples.add("pointsman_candidates", &[standing], count as f64);
    }
}

/// When each provider's next drill is due; a provider may have several.
fn next_drills(overview: &Overview) -> BTreeMap<&str, f64> {
    let mut drills = BTreeMap::new();
    for planned in &overview.planned_drills {
        if let Some(next) = planned.next {
            let next = next.as_millisecond() as f64 / 1_000.0;
            let known = drills.entry(planned.provider.as_str()).or_insert(next);
            *known = next.min(*known);
        }
    }
    drills
}

fn of_areas(samples: &mut Samples, areas: &AreasView) {
    samples.add("pointsman_areas_database_ok", &[], flag(areas.error.is_none()));
    if let Some(database) = &areas.loaded {
        samples.add(
            "pointsman_areas_database_build_time_seconds",
            &[],
            database.built.as_millisecond() as f64 / 1_000.0,
        );
        samples.add("pointsman_areas_database_prefixes", &[], database.prefixes as f64);
    }
    for (family, ranges) in [(Family::V4, areas.ipv4_ranges), (Family::V6, areas.ipv6_ranges)] {
        samples.add("pointsman_areas_ranges", &[family_word(family)], ranges as f64);
    }
    samples.add("pointsman_areas_places", &[], areas.places as f64);
}

fn of_zone(samples: &mut Samples, zone: &ZoneView) {
    for (word, state) in [("serving", ZoneState::Serving), ("stale", ZoneState::Stale), ("broken", ZoneState::Broken)] {
        samples.add("pointsman_zone_state", &[&zone.origin, word], flag(zone.state == state));
    }
    samples.add("pointsman_zone_serial", &[&zone.origin], f64::from(zone.serial));
    samples.add("pointsman_zone_records", &[&zone.origin], zone.records as f64);
}

fn of_name(samples: &mut Samples, view: &NameView) {
    samples.add("pointsman_name_static", &[&view.name], flag(view.static_answer));
    for candidate in &view.candidates {
        let labels = [view.name.as_str(), &candidate.id, &candidate.provider];
        let [name, id, provider] = labels;
        samples.add("pointsman_name_share", &labels, candidate.share);
        for standing in STANDINGS {
            let has = flag(candidate.standing == standing);
            samples.add("pointsman_candidate_standing", &[name, id, provider, standing.as_str()], has);
        }
        if candidate.readiness != ReadinessState::Unknown {
            samples.add("pointsman_candidate_ready", &labels, flag(candidate.readiness == ReadinessState::Ready));
        }
        if let Some(certificate) = &candidate.certificate {
            let end = certificate.until.as_second() as f64;
            samples.add("pointsman_candidate_certificate_end_time_seconds", &labels, end);
        }
        if let Some(latency) = candidate.last_latency_ms {
            samples.add("pointsman_candidate_latency_seconds", &labels, latency as f64 / 1_000.0);
        }
    }
}

fn of_provider(samples: &mut Samples, view: &ProviderView) {
    for (standing, count) in by_standing(&view.candidates) {
        samples.add("pointsman_provider_candidates", &[&view.id, standing], count as f64);
    }
    if let Some(whole) = &view.whole {
        for verdict in [Verdict::Up, Verdict::Impaired, Verdict::Down, Verdict::Unknown] {
            samples.add("pointsman_provider_verdict", &[&view.id, verdict.as_str()], flag(whole.verdict == verdict));
        }
    }
    samples.add("pointsman_provider_serving_names", &[&view.id], view.serving_names as f64);
    samples.add("pointsman_provider_drained", &[&view.id], flag(view.drained_by.is_some()));
}

const STANDINGS: [Standing; 6] =
    [Standing::Up, Standing::Impaired, Standing::Down, Standing::Recovering, Standing::Ramping, Standing::Unknown];

fn by_standing(counts: &StandingCounts) -> [(&'static str, usize); 6] {
    let StandingCounts { up, impaired, down, recovering, ramping, unknown } = *counts;
    [
        ("up", up),
        ("impaired", impaired),
        ("down", down),
        ("recovering", recovering),
        ("ramping", ramping),
        ("unknown", unknown),
    ]
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// The lines of each metric; rendered in the order of [`METRICS`].
#[derive(Default)]
struct Samples(BTreeMap<&'static str, String>);

impl Samples {
    /// One sample. `labels` are the values, in the order that [`METRICS`] gives.
    fn add(&mut self, name: &'static str, labels: &[&str], value: f64) {
        let line = self.0.entry(name).or_default();
        line.push_str(name);
        let keys = find(name).map_or(&[][..], |metric| metric.labels);
        debug_assert_eq!(keys.len(), labels.len(), "{name} has other labels in the table");
        for (at, (key, value)) in keys.iter().zip(labels).enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            // Writing to a string cannot fail.
            let _ = write!(line, "{open}{key}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            line.push('}');
        }
        let _ = writeln!(line, " {value}");
    }

    fn render(mut self) -> String {
        let mut text = String::new();
        for metric in METRICS {
            let Some(lines) = self.0.remove(metric.name) else { continue };
            text.reserve(lines.len() + 1_024);
            let (name, help, word) = (metric.name, metric.help, metric.kind.word());
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {word}\n{lines}");
        }
        text
    }
}

/// A label's value (Prometheus' text format, version 0.0.4).
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_stand_together_and_are_escaped() {
        let mut samples = Samples::default();
        samples.add("pointsman_zone_serial", &["a\\032\"b\n."], 7.0);
        samples.add("pointsman_frozen", &[], 0.0);
        samples.add("pointsman_zone_serial", &["c."], 4_294_967_295.0);
        let expected = "# HELP pointsman_frozen 1 while a freeze is in force\n# TYPE pointsman_frozen gauge\n\
            pointsman_frozen 0\n\n# HELP pointsman_zone_serial The serial of the zone's SOA\n\
            # TYPE pointsman_zone_serial gauge\npointsman_zone_serial{zone=\"a\\\\032\\\"b\\n.\"} 7\n\
            pointsman_zone_serial{zone=\"c.\"} 4294967295\n\n";
        assert_eq!(samples.render(), expected);
    }
}
