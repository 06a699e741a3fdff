//! A replay as JSON (`--format json`); its shape stands in `docs/REPLAY.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::budget::Held;
use super::peers::Peer;
use super::report::{Figures, NameReport, Report, Spread};
use crate::steer::home::Home;
use crate::steer::time::Time;

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    incident: Head<'a>,
    seeds: u32,
    total: Total,
    names: Vec<Named>,
    untouched: &'a [Arc<str>],
    /// By home: hours of visitors' time, a name and a seed on average.
    home_hours: BTreeMap<Home, f64>,
    load: Load<'a>,
    /// Of the first seed.
    flips: Vec<OneFlip<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budget: Vec<Condition<'a>>,
}

#[derive(Debug, Serialize)]
struct Head<'a> {
    name: &'a str,
    title: &'a str,
    begin: Timestamp,
    end: Timestamp,
    fault_begin: Timestamp,
    fault_end: Timestamp,
    sources: &'a [super::incident::Source],
    assumptions: &'a [String],
}

#[derive(Debug, Serialize)]
struct Named {
    name: Arc<str>,
    #[serde(flatten)]
    total: Total,
    home_hours: BTreeMap<Home, f64>,
}

#[derive(Debug, Serialize)]
struct Total {
    /// Names and seeds, and in how many of them visitors were hit.
    played: usize,
    hit: usize,
    error_seconds: MeanWorst,
    doing_nothing_seconds: MeanWorst,
    unavoidable_seconds: MeanWorst,
    against: BTreeMap<&'static str, Rule>,
    detected_seconds: Option<MeanWorst>,
    flips: MeanWorst,
    stray_flips: MeanWorst,
    early_returns: MeanWorst,
    back_seconds: Option<MeanWorst>,
    never_back: usize,
    first_five_minutes: Option<MeanWorst>,
}

#[derive(Debug, Serialize)]
struct Rule {
    error_seconds: MeanWorst,
    flips: MeanWorst,
}

#[derive(Debug, Serialize)]
struct MeanWorst {
    mean: f64,
    worst: f64,
}

#[derive(Debug, Serialize)]
struct Load<'a> {
    step_seconds: u32,
    /// By provider: the part of all visitors in each step, over all seeds.
    providers: BTreeMap<&'a str, Vec<f64>>,
}

#[derive(Debug, Serialize)]
struct OneFlip<'a> {
    from: Timestamp,
    until: Timestamp,
    name: &'a str,
    before: &'a str,
    after: &'a str,
}

#[derive(Debug, Serialize)]
struct Condition<'a> {
    condition: &'a str,
    held: bool,
    is: &'a str,
}

impl<'a> Document<'a> {
    /// Of a report, with what came of a budget.
    pub fn new(report: &'a Report, budget: &'a [Held]) -> Self {
        let incident = &report.incident;
        let (from, until) = incident.trouble();
        let moment = |seconds: f64| timestamp(Time(incident.begin.0 + (seconds * 1000.0) as u64));
        Self {
            incident: Head {
                name: &incident.name,
                title: &incident.title,
                begin: timestamp(incident.begin),
                end: timestamp(incident.end),
                fault_begin: timestamp(from),
                fault_end: timestamp(until),
                sources: &incident.sources,
                assumptions: &incident.assumptions,
            },
            seeds: report.seeds,
            total: Total::new(&report.total, &report.against),
            names: report.names.iter().map(|name| Named::new(name, &report.against)).collect(),
            untouched: &report.untouched,
            home_hours: hours(&report.homes),
            load: Load {
                step_seconds: 60,
                providers: report
                    .load
                    .iter()
                    .map(|(id, parts)| (&**id, parts.iter().copied().map(brief).collect()))
                    .collect(),
            },
            flips: report
                .shown
                .flips
                .iter()
                .map(|flip| OneFlip {
                    from: moment(flip.from),
                    until: moment(flip.until),
                    name: &flip.name,
                    before: &flip.before,
                    after: &flip.after,
                })
                .collect(),
            budget: budget
                .iter()
                .map(|held| Condition { condition: &held.condition, held: held.held, is: &held.is })
                .collect(),
        }
    }

    pub fn json(&self) -> String {
        // Strings and numbers alone: this does not fail.
        serde_json::to_string_pretty(self).unwrap_or_else(|error| error.to_string())
    }
}

impl Named {
    fn new(name: &NameReport, against: &[Peer]) -> Self {
        let total = Total::new(&name.figures, against);
        Self { name: Arc::clone(&name.name), total, home_hours: hours(&name.homes) }
    }
}

impl Total {
    fn new(figures: &Figures, against: &[Peer]) -> Self {
        let any = |spread: Spread| (spread.count > 0).then(|| spread.into());
        let rule = |(peer, (errors, flips)): (&Peer, &(Spread, Spread))| {
            (peer.word(), Rule { error_seconds: (*errors).into(), flips: (*flips).into() })
        };
        Self {
            played: figures.of,
            hit: figures.hit,
            error_seconds: figures.errors.into(),
            doing_nothing_seconds: figures.nothing.into(),
            unavoidable_seconds: figures.unavoidable.into(),
            against: against.iter().zip(&figures.against).map(rule).collect(),
            detected_seconds: any(figures.detected),
            flips: figures.flips.into(),
            stray_flips: figures.stray.into(),
            early_returns: figures.early.into(),
            back_seconds: any(figures.back),
            never_back: figures.away,
            first_five_minutes: any(figures.first_minutes),
        }
    }
}

impl From<Spread> for MeanWorst {
    fn from(spread: Spread) -> Self {
        Self { mean: brief(spread.mean), worst: brief(spread.worst) }
    }
}

fn hours(homes: &BTreeMap<Home, f64>) -> BTreeMap<Home, f64> {
    homes.iter().map(|(home, seconds)| (*home, brief(seconds / 3600.0))).collect()
}

/// Three digits after the point say all that there is to say.
fn brief(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn timestamp(at: Time) -> Timestamp {
    i64::try_from(at.0).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(Timestamp::MAX)
}
