//! `pointsman replay`: an outage in simulated time, and what visitors would have met.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::table::{Align, Cell, Table};
use super::{BadInput, Globals, print, serve};
use crate::sim::incidents;
use crate::sim::replay::budget::{Budget, Held};
use crate::sim::replay::document::Document;
use crate::sim::replay::incident::{Incident, IncidentError, MAX_FILE};
use crate::sim::replay::peers::Peer;
use crate::sim::replay::picture::{self, span};
use crate::sim::replay::report::{Figures, Report, Spread};
use crate::sim::replay::{MAX_SEEDS, Replay};
use crate::steer::policy::SteeredName;
use crate::zone::diagnostic::Colour;
use crate::zone::folder::{Settings, load_folder};
use crate::zone::load::read_text;
use crate::zone::name::Name;

/// The most names of the table.
const MAX_ROWS: usize = 20;

/// Play an outage in simulated time, and tell what visitors would have met
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// A shipped incident (`--list` tells which), or a file
    #[arg(value_name = "INCIDENT", required_unless_present = "list")]
    incident: Option<String>,
    /// List the shipped incidents
    #[arg(long, conflicts_with = "incident")]
    list: bool,
    /// Replay it with the zone files of this folder, in the place of six names that prefer the provider that fails
    #[arg(long, value_name = "DIR")]
    zones: Option<PathBuf>,
    /// What the rules of others would have done: gdnsd, route53, powerdns, joined by commas
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    against: Vec<Peer>,
    /// How often, each time with other chances
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEEDS)))]
    seeds: u32,
    /// Another part of requests that fail, wherever a provider does: 28%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fails: Option<f64>,
    /// Conditions on the means over the seeds: exit code 1 if one is missed (errors<30s,flips<=2)
    #[arg(long, value_name = "CONDITIONS")]
    budget: Option<Budget>,
    /// How to tell it: `table` for people, `json` for programs, `svg` for a post-mortem
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = true)]
    format: ReplayFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// For people
    #[default]
    Table,
    /// One document, for programs
    Json,
    /// A picture
    Svg,
}

/// Replays and prints: 0, or 1 when the budget is missed.
pub fn run(args: &ReplayArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let Some(wanted) = args.incident.as_deref().filter(|_| !args.list) else {
        print::out(&list()?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let incident = find(wanted)?;
    let incident = args.fails.map_or(incident.clone(), |fails| incident.with_fails(fails));
    let (config, _) = serve::load_config(globals)?;
    let names = names(args.zones.as_deref(), incident.suggested(), &config.zone_settings())?;
    let mut against = args.against.clone();
    against.sort_unstable();
    against.dedup();
    let replay = Replay::new(incident, names, against, args.seeds).map_err(|error| BadInput(error.to_string()))?;
    let report = replay.run(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    let held = args.budget.as_ref().map(|budget| budget.check(&report)).unwrap_or_default();
    match args.format {
        ReplayFormat::Table => print::out(&table(&report, &held))?,
        ReplayFormat::Json => print::json(&Document::new(&report, &held).json())?,
        ReplayFormat::Svg => print::out(&picture::draw(&report))?,
    }
    let missed: Vec<&Held> = held.iter().filter(|held| !held.held).collect();
    for held in &missed {
        print::warning(&format!("the budget is missed: {} is not so, it is {}", held.condition, held.is));
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list() -> anyhow::Result<String> {
    let mut table = Table::new(&[("INCIDENT", Align::Left), ("WHAT", Align::Left)]);
    for name in incidents::names() {
        let incident = incidents::find(name).transpose()?;
        let title = incident.map_or(String::new(), |incident| incident.title);
        table.row(vec![Cell::new(name), Cell::new(title)]);
    }
    Ok(table.render(None))
}

/// A shipped incident, or the one of a file.
fn find(wanted: &str) -> Result<Incident, BadInput> {
    if let Some(shipped) = incidents::find(wanted) {
        return shipped.map_err(|error| BadInput(error.to_string()));
    }
    let path = Path::new(wanted);
    if !path.is_file() {
        let known: Vec<&str> = incidents::names().collect();
        let known = known.join(", ");
        return Err(BadInput(format!("`{wanted}` is neither a file nor one of the shipped incidents: {known}")));
    }
    read(path).map_err(|error| BadInput(error.to_string()))
}

fn read(path: &Path) -> Result<Incident, IncidentError> {
    let file = path.display().to_string();
    let not_read = |error| IncidentError::NotRead { file: file.clone(), error };
    if std::fs::metadata(path).map_err(not_read)?.len() > MAX_FILE as u64 {
        return Err(IncidentError::TooLarge { file });
    }
    let text = std::fs::read_to_string(path).map_err(not_read)?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("incident");
    Incident::parse(&text, name, &file)
}

/// The names of a folder of zones, or those that ship for this purpose.
fn names(zones: Option<&Path>, preferred: &str, settings: &Settings) -> Result<Vec<Arc<SteeredName>>, BadInput> {
    let Some(folder) = zones else {
        let origin = Name::from_text(incidents::ORIGIN.as_bytes(), &Name::root());
        let origin = origin.map_err(|error| BadInput(error.to_string()))?;
        let loaded = read_text(&origin, incidents::zone(preferred).as_bytes(), settings);
        return match loaded.zone {
            Some(zone) => Ok(zone.steered),
            None => Err(faults("the provider is not known to the configuration", &loaded.diagnostics)),
        };
    };
    let loaded = load_folder(folder, settings);
    let broken: Vec<_> = loaded
        .diagnostics
        .into_iter()
        .chain(loaded.zones.iter().filter(|zone| zone.zone.is_none()).flat_map(|zone| zone.diagnostics.clone()))
        .collect();
    if !broken.is_empty() {
        return Err(faults("the zone files cannot be replayed", &broken));
    }
    Ok(loaded.zones.into_iter().filter_map(|loaded| loaded.zone).flat_map(|zone| zone.steered).collect())
}

fn faults(what: &str, diagnostics: &[crate::zone::diagnostic::Diagnostic]) -> BadInput {
    let faults: Vec<String> = diagnostics.iter().map(|fault| fault.render(Colour::Never)).collect();
    BadInput(format!("{what}:\n{}", faults.join("\n")))
}

fn table(report: &Report, held: &[Held]) -> String {
    let mut text = head(report);
    text.push_str(&figures(report).render(None));
    text.push('\n');
    text.push_str(&rules(report).render(None));
    text.push_str(&homes(report));
    if !report.untouched.is_empty() {
        let names: Vec<&str> = report.untouched.iter().take(MAX_ROWS).map(|name| name.trim_end_matches('.')).collect();
        let more = report.untouched.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "\nuntouched: {}{more}", names.join(", "));
    }
    for held in held {
        let _ = writeln!(text, "\nbudget {held}");
    }
    text
}

fn head(report: &Report) -> String {
    let incident = &report.incident;
    let (from, until) = incident.trouble();
    let clock = |at: crate::steer::time::Time| {
        i64::try_from(at.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .map_or(String::new(), super::text::absolute)
    };
    let mut text = format!("{} ({})\n", incident.title, incident.name);
    let _ = writeln!(
        text,
        "fault from {} to {}, {}",
        clock(from),
        clock(until),
        super::text::count(report.seeds as usize, "seed")
    );
    if report.total.hit == 0 {
        text.push_str("no visitor is hit: figures are about all names\n");
    }
    text.push('\n');
    text
}

/// Name by name, and all together.
fn figures(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("HIT", Align::Right),
        ("ERRORS", Align::Right),
        ("WORST", Align::Right),
        ("NOTHING", Align::Right),
        ("DETECTED", Align::Right),
        ("FLIPS", Align::Right),
        ("WORST", Align::Right),
        ("BACK", Align::Right),
        ("FIRST 5 MIN", Align::Left),
    ]);
    for name in report.names.iter().take(MAX_ROWS) {
        table.row(row(name.name.trim_end_matches('.'), &name.figures));
    }
    if report.names.len() > MAX_ROWS {
        table.row(row(&format!("({} more)", report.names.len() - MAX_ROWS), &Figures::default()));
    }
    table.row(row("all", &report.total));
    table
}

fn row(name: &str, figures: &Figures) -> Vec<Cell> {
    let time = |spread: Spread| if spread.count == 0 { "-".to_owned() } else { span(spread.mean) };
    let back = match figures.away {
        0 => time(figures.back),
        away => format!("{} ({away} not)", time(figures.back)),
    };
    let first = figures.first_minutes;
    [
        name.to_owned(),
        format!("{}/{}", figures.hit, figures.of),
        span(figures.errors.mean),
        span(figures.errors.worst),
        span(figures.nothing.mean),
        time(figures.detected),
        format!("{:.2}", figures.flips.mean),
        format!("{:.0}", figures.flips.worst),
        back,
        if first.count == 0 { "-".to_owned() } else { format!("{:.0}%", first.mean * 100.0) },
    ]
    .map(Cell::new)
    .to_vec()
}

/// What each rule cost a visitor.
fn rules(report: &Report) -> Table {
    let total = &report.total;
    let mut table = Table::new(&[
        ("RULE", Align::Left),
        ("ERRORS", Align::Right),
        ("WORST", Align::Right),
        ("OF THE TIME", Align::Right),
        ("FLIPS", Align::Right),
        ("WORST", Align::Left),
    ]);
    let part = |spread: Spread| format!("{:.2}%", 100.0 * spread.mean / report.trouble_seconds().max(1.0));
    let mut add = |rule: &str, errors: Spread, flips: Spread| {
        let cells = [
            rule.to_owned(),
            span(errors.mean),
            span(errors.worst),
            part(errors),
            format!("{:.2}", flips.mean),
            format!("{:.0}", flips.worst),
        ];
        table.row(cells.map(Cell::new).to_vec());
    };
    add("pointsman", total.errors, total.flips);
    add("doing nothing", total.nothing, Spread::default());
    for (peer, (errors, flips)) in report.against.iter().zip(&total.against) {
        add(peer.word(), *errors, *flips);
    }
    table
}

fn homes(report: &Report) -> String {
    let all: f64 = report.homes.values().sum();
    let parts: Vec<String> = report
        .homes
        .iter()
        .map(|(home, seconds)| format!("{home} {} ({:.1}%)", span(*seconds), 100.0 * seconds / all.max(1.0)))
        .collect();
    format!("\nvisitors' time by home: {}\n", parts.join(", "))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let part = number.map(|percent| percent / 100.0).filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| format!("`{text}` is not a percentage: expected `28%`"))
}
