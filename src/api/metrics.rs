//! What is measured: one table, which describes the metrics to Prometheus and to `docs/METRICS.md`.
//!
//! Counters and histograms are kept by the process through the `metrics` facade and rendered by [`install`]'s renderer.
//! Gauges about providers, names, candidates and zones are not kept at all: `scrape` asks the controller for each
//! scrape, so that what Prometheus sees and what the API says cannot differ, and a name that is gone leaves no series.
//!
//! Names begin with `pointsman_`, units are base units and stand in the name, counters end in `_total`.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Renders what the process has counted, in Prometheus' text format.
pub type Renderer = Arc<dyn Fn() -> String + Send + Sync>;

/// What kind of metric it is, and where its value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counted by the process.
    Counter,
    /// Spread over [`BUCKETS`], by the process.
    Histogram,
    /// Set by the process.
    Gauge,
    /// A gauge that the controller is asked for at each scrape.
    Scraped,
}

impl Kind {
    /// Prometheus' word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Gauge | Self::Scraped => "gauge",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// `seconds`, `octets`, or empty for a plain number.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Upper bounds of the buckets of histograms, in seconds.
pub const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

/// All metrics. A test keeps the code, this table and `docs/METRICS.md` equal.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    metric("pointsman_build_info", Kind::Scraped, "", &["version", "vantage"], "Always 1; its labels say what runs here"),
    metric("pointsman_controller_answers", Kind::Scraped, "", &[], "1 if the controller answered this scrape; if 0, every other gauge that it is asked for is missing"),
    metric("pointsman_start_time_seconds", Kind::Scraped, "seconds", &[], "When the server started, since the Unix epoch"),
    metric("pointsman_ready", Kind::Scraped, "", &[], "1 while /readyz says yes"),
    metric("pointsman_generation", Kind::Scraped, "", &[], "The generation that is published; counts up with each change"),
    metric("pointsman_frozen", Kind::Scraped, "", &[], "1 while a freeze is in force"),
    metric("pointsman_vantage_frozen", Kind::Scraped, "", &["what"], "1 while failures of this kind count nothing, since the vantage itself is at fault: v4, v6, clock"),
    metric("pointsman_store_ok", Kind::Scraped, "", &[], "1 while all is kept, in the store that was opened first"),
    metric("pointsman_areas_database_ok", Kind::Scraped, "", &[], "1 while the database of countries that is configured is in force, or none is"),
    metric("pointsman_areas_database_build_time_seconds", Kind::Scraped, "seconds", &[], "When the database of countries in force was built, since the Unix epoch"),
    metric("pointsman_areas_database_prefixes", Kind::Scraped, "", &[], "Prefixes that the database of countries in force knows the country of"),
    metric("pointsman_areas_ranges", Kind::Scraped, "", &["family"], "Ranges of addresses that are told apart"),
    metric("pointsman_areas_places", Kind::Scraped, "", &[], "Combinations of areas that clients may be in"),
    metric("pointsman_alerts", Kind::Scraped, "", &[], "Lines that need an operator"),
    metric("pointsman_overrides", Kind::Scraped, "", &[], "Overrides in force"),
    metric("pointsman_overrides_on_down", Kind::Scraped, "", &[], "Overrides in force that keep clients on a candidate that is down"),
    metric("pointsman_drill_running", Kind::Scraped, "", &[], "1 while a drill is in force"),
    metric("pointsman_drill_next_time_seconds", Kind::Scraped, "seconds", &["provider"], "When the provider's next scheduled drill is due, since the Unix epoch"),
    metric("pointsman_last_reload_ok", Kind::Scraped, "", &[], "1 if everything was good at the last reload; missing before the first"),
    metric("pointsman_last_reload_time_seconds", Kind::Scraped, "seconds", &[], "When the last reload was, since the Unix epoch"),
    metric("pointsman_last_reload_seconds", Kind::Scraped, "seconds", &[], "How long the last reload took, until answers came from it"),
    metric("pointsman_family_routed", Kind::Scraped, "", &["family"], "1 if the vantage has a route for the address family; without one it is not probed"),
    metric("pointsman_zones", Kind::Scraped, "", &["state"], "Zones by state: serving, stale, broken"),
    metric("pointsman_zone_state", Kind::Scraped, "", &["zone", "state"], "1 for the state that the zone is in, 0 for the others"),
    metric("pointsman_zone_serial", Kind::Scraped, "", &["zone"], "The serial of the zone's SOA"),
    metric("pointsman_zone_records", Kind::Scraped, "", &["zone"], "Records of the zone"),
    metric("pointsman_names", Kind::Scraped, "", &[], "Steered names"),
    metric("pointsman_names_without_usable_candidate", Kind::Scraped, "", &[], "Steered names for which no candidate is usable, be it for the clients of one area alone"),
    metric("pointsman_name_share", Kind::Scraped, "", &["name", "candidate", "provider"], "The candidate's share of the name's clients, 0 to 1; areas with a rule of their own aside"),
    metric("pointsman_name_static", Kind::Scraped, "", &["name"], "1 while the owner's own records answer; areas with a rule of their own aside"),
    metric("pointsman_candidates", Kind::Scraped, "", &["standing"], "Candidates by standing"),
    metric("pointsman_candidate_standing", Kind::Scraped, "", &["name", "candidate", "provider", "standing"], "1 for the standing that the candidate has, 0 for the others"),
    metric("pointsman_candidate_ready", Kind::Scraped, "", &["name", "candidate", "provider"], "1 if nothing is known that would break the candidate at the moment of need, 0 if it is at risk; missing while nothing is known"),
    metric("pointsman_candidate_certificate_end_time_seconds", Kind::Scraped, "seconds", &["name", "candidate", "provider"], "When the certificate that the candidate showed ends, or its chain, since the Unix epoch"),
    metric("pointsman_candidate_latency_seconds", Kind::Scraped, "seconds", &["name", "candidate", "provider"], "Latency of the candidate's last probe that passed"),
    metric("pointsman_provider_candidates", Kind::Scraped, "", &["provider", "standing"], "The provider's candidates by standing"),
    metric("pointsman_provider_verdict", Kind::Scraped, "", &["provider", "verdict"], "1 for what is believed of the provider as a whole, 0 for the others: up, impaired, down, unknown"),
    metric("pointsman_provider_serving_names", Kind::Scraped, "", &["provider"], "Steered names that the provider serves a share of"),
    metric("pointsman_provider_drained", Kind::Scraped, "", &["provider"], "1 while an override drains the provider"),
    metric("pointsman_queries_total", Kind::Counter, "", &["transport"], "Messages received, by transport: udp, tcp"),
    metric("pointsman_queries_dropped_total", Kind::Counter, "", &[], "Messages that no answer is due to"),
    metric("pointsman_responses_total", Kind::Counter, "", &["rcode"], "Answers, by response code"),
    metric("pointsman_responses_truncated_total", Kind::Counter, "", &[], "Answers with TC"),
    metric("pointsman_responses_unsent_total", Kind::Counter, "", &[], "Answers that the system did not take"),
    metric("pointsman_udp_dropped_total", Kind::Counter, "", &[], "Datagrams that the kernel dropped, since the receive buffer of a UDP socket was full"),
    metric("pointsman_tcp_connections", Kind::Gauge, "", &[], "TCP connections that are open"),
    metric("pointsman_tcp_refused_total", Kind::Counter, "", &[], "TCP connections that were closed at once, since their client had too many"),
    metric("pointsman_tcp_evicted_total", Kind::Counter, "", &[], "TCP connections that were closed to make room for new ones"),
    metric("pointsman_probes_total", Kind::Counter, "", &["outcome", "stage"], "Requests of probes that ended, by outcome and the stage they failed at; candidates that ask the same share them"),
    metric("pointsman_probe_duration_seconds", Kind::Histogram, "seconds", &["outcome"], "From the beginning of such a request to its end"),
    metric("pointsman_probes_in_flight", Kind::Gauge, "", &[], "Such requests under way"),
    metric("pointsman_probes_in_flight_limit", Kind::Gauge, "", &[], "Such requests that may be under way at once"),
    metric("pointsman_probes_behind_seconds", Kind::Gauge, "seconds", &[], "How late rounds of probes began, at most, in the last 10 s; 0 while none is late by a tenth of its pace"),
    metric("pointsman_probe_requests_dropped_total", Kind::Counter, "", &[], "Probes out of pace that were not asked for, since too many waited"),
    metric("pointsman_inquiries_total", Kind::Counter, "", &["kind", "outcome"], "Questions to origins and anchors, by kind (origin, anchors-v4, anchors-v6) and outcome: pass, fail; not-sent where this machine could not ask; dropped where too many waited"),
    metric("pointsman_authoritative_looks_total", Kind::Counter, "", &["outcome"], "Targets looked at by their authoritative servers, by outcome: resolves, fails, family-gone; unknown where nothing could be concluded"),
    metric("pointsman_authoritative_answers_total", Kind::Counter, "", &["outcome"], "Authoritative servers asked about a target, by what they said: good, empty, silent, nowhere, lame, nxdomain, servfail, other"),
    metric("pointsman_area_lookups_total", Kind::Counter, "", &["outcome"], "Targets of flattened names asked for on behalf of an area, by outcome: answered, failed"),
    metric("pointsman_area_probes_total", Kind::Counter, "", &["outcome"], "Probes of addresses that such a target has for an area, by outcome: pass, fail; no verdict rests on them"),
    metric("pointsman_transitions_total", Kind::Counter, "", &["kind"], "Transitions by kind: verdict, decision, provider, vantage, readiness, override, drill"),
    metric("pointsman_drills_total", Kind::Counter, "", &["outcome"], "Drills that ended, or did not come about: over, released, aborted, cut-short, did-not-begin, missed"),
    metric("pointsman_store_writes_total", Kind::Counter, "", &[], "Batches that are on the disk"),
    metric("pointsman_store_write_seconds", Kind::Histogram, "seconds", &[], "From the beginning of a commit to the end of its sync"),
    metric("pointsman_store_dropped_total", Kind::Counter, "", &[], "Batches that were not kept"),
    metric("pointsman_api_requests_total", Kind::Counter, "", &["route", "status"], "Requests to the API"),
    metric("pointsman_api_request_seconds", Kind::Histogram, "seconds", &["route"], "From the head of an API request to the beginning of its answer"),
];

/// The entry of a metric.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// Installs the process's recorder, once; later calls give the same renderer.
pub fn install() -> Result<Renderer, BuildError> {
    static INSTALLED: OnceLock<Renderer> = OnceLock::new();
    if let Some(renderer) = INSTALLED.get() {
        return Ok(Arc::clone(renderer));
    }
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
    let handle = recorder.handle();
    FOLDED.get_or_init(|| handle.clone());
    let renderer: Renderer = Arc::new(move || {
        handle.run_upkeep();
        handle.render()
    });
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; what this process counts is not shown");
    }
    describe();
    Ok(Arc::clone(INSTALLED.get_or_init(|| renderer)))
}

/// What [`fold`] folds.
static FOLDED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Folds the single values that histograms have collected into their buckets: to be called now and then, or they pile up
/// where nobody scrapes.
pub fn fold() {
    if let Some(handle) = FOLDED.get() {
        handle.run_upkeep();
    }
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            // Never recorded; rendered by hand.
            Kind::Scraped => {}
        }
    }
}

/// The table of `docs/METRICS.md`.
pub fn markdown() -> String {
    let mut text = "| metric | type | unit | labels | what |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, word, unit, help) = (metric.name, metric.kind.word(), metric.unit, metric.help);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {word} | {unit} | {} | {help} |", labels.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_rules() {
        for (at, metric) in METRICS.iter().enumerate() {
            let name = metric.name;
            assert!(name.starts_with("pointsman_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), metric.unit == "seconds", "{name}");
            assert!(!metric.help.contains(['|', '\n', '\\']) && !metric.help.ends_with('.'), "{name}");
            assert!(METRICS[..at].iter().all(|other| other.name != name), "{name} stands twice");
        }
    }
}
