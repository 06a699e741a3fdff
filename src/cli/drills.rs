//! `pointsman drill list` and `pointsman drill report ID`: drills as evidence, in a form that can be filed.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::client::{Client, ServerArgs, with_query};
use super::table::{Align, Cell, Table, terminal};
use super::text::{absolute, clean, count, relative, span};
use super::{Format, Globals, print};
use crate::controller::drills::view::{DrillClientView, DrillLine, DrillMoveView, DrillPage, DrillView, PlannedView};
use crate::controller::view::EventView;

/// How a cohort is known: what the record can be asked, and what it cannot.
const COHORT: &str = "A client belongs to the cohort of a name when its point lies in the points that changed hands: a keyed hash of its \
                      prefix (/24 of IPv4, /56 of IPv6). The prefixes themselves are not kept; `--client PREFIX` tells whether one was in. \
                      Answers are those to all clients of the provider; shares say how many were the cohort's. Resolvers keep an answer \
                      for its TTL, so visitors follow up to that much later.";

#[derive(Clone, Debug, Subcommand)]
pub enum DrillCommand {
    /// List what is scheduled, and the drills that were, newest first
    List(ListArgs),
    /// Print the record of a drill: what moved when, and what failed
    Report(ReportArgs),
}

#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Only with a lower id: the way to the next page
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    print: PrintArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The id of the drill, as `pointsman drill list` shows it
    id: u64,
    /// Whether this client was in it: an address, or a prefix of at least /24 (IPv4) or /56 (IPv6)
    #[arg(long, value_name = "ADDRESS|PREFIX")]
    client: Option<String>,
    #[command(flatten)]
    print: PrintArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Args)]
struct PrintArgs {
    /// How to print it: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl PrintArgs {
    fn is_json(self) -> bool {
        self.json || self.format == Format::Json
    }
}

pub fn run(command: &DrillCommand, globals: &Globals) -> anyhow::Result<ExitCode> {
    match command {
        DrillCommand::List(args) => list(args, globals),
        DrillCommand::Report(args) => report(args, globals),
    }
}

fn list(args: &ListArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    let params = [("before", args.before.map(|before| before.to_string())), ("limit", Some(args.limit.to_string()))];
    let text = client.text(&with_query("/v1/drills", &params))?;
    if args.print.is_json() {
        print::json(&text)?;
    } else {
        print::out(&listed(&client.parse(&text)?, terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(args: &ReportArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    let text = client.text(&with_query(&format!("/v1/drills/{}", args.id), &[("client", args.client.clone())]))?;
    if args.print.is_json() {
        print::json(&text)?;
    } else {
        print::out(&whole(&client.parse(&text)?, terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For `status`: the drill in force.
pub fn in_force(drill: &DrillLine, now: Timestamp) -> String {
    let DrillLine { id, provider, share_percent, names, .. } = drill;
    let left = relative(drill.until, now);
    format!(
        "{provider} lends {share_percent}% of its clients, of {}, it ends {left} (drill {id})",
        count(*names, "name")
    )
}

/// For `status`: the scheduled drill that is due next.
pub fn next(planned: &[PlannedView], now: Timestamp) -> Option<String> {
    let (next, planned) = planned.iter().filter_map(|planned| Some((planned.next?, planned))).min_by_key(|of| of.0)?;
    let what = lends(planned.share_percent, planned.seconds);
    Some(format!("{}, {what}, {} ({})", planned.provider, relative(next, now), absolute(next)))
}

/// `1% for 10 min`
fn lends(share_percent: f64, seconds: f64) -> String {
    format!("{share_percent}% for {}", span(seconds.max(0.0) as u64))
}

fn listed(page: &DrillPage, terminal: Option<usize>) -> String {
    let mut text = String::new();
    if page.planned.is_empty() {
        text.push_str("nothing is scheduled: [[drill]] of the configuration does that\n");
    } else {
        let columns = ["PROVIDER", "LENDS", "AT", "NEXT", "REASON"].map(|title| (title, Align::Left));
        let mut table = Table::new(&columns);
        for planned in &page.planned {
            table.row(vec![
                Cell::new(&planned.provider),
                Cell::new(lends(planned.share_percent, planned.seconds)),
                Cell::new(&planned.at),
                Cell::new(planned.next.map_or_else(|| "never again".to_owned(), absolute)),
                Cell::new(&planned.reason),
            ]);
        }
        text.push_str(&table.render(terminal));
    }
    text.push('\n');
    if page.drills.is_empty() {
        text.push_str("no drills are recorded\n");
        return text;
    }
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("PLANNED", Align::Left),
        ("PROVIDER", Align::Left),
        ("SHARE", Align::Right),
        ("NAMES", Align::Right),
        ("BY", Align::Left),
        ("STATE", Align::Left),
        ("WHY", Align::Left),
    ]);
    for drill in &page.drills {
        table.row(vec![
            Cell::new(drill.id.to_string()),
            Cell::new(absolute(drill.planned)),
            Cell::new(&drill.provider),
            Cell::new(format!("{}%", drill.share_percent)),
            Cell::new(drill.names.to_string()),
            Cell::new(&drill.author),
            Cell::styled(words(&drill.state), style(&drill.state)),
            Cell::new(if drill.why.is_empty() { &drill.reason } else { &drill.why }),
        ]);
    }
    text.push_str(&table.render(terminal));
    if let Some(next) = page.next {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "there are more: --before {next}");
    }
    text
}

/// The whole record. Times are UTC, and never told as how long ago: who files it reads it later.
fn whole(view: &DrillView, terminal: Option<usize>) -> String {
    let mut text = head(view);
    if let Some(client) = &view.client {
        text.push('\n');
        text.push_str(&of_client(client, away_still(view)));
    }
    if !view.moves.is_empty() {
        text.push_str("\nWHAT MOVED\n");
        text.push_str(&moves(&view.moves, away_still(view), terminal));
        if view.more_moves > 0 {
            let _ = writeln!(text, "and {} more answers, which are not kept one by one", view.more_moves);
        }
        text.push_str("\nWHO HELD WHICH PART\n");
        text.push_str(&shares(&view.moves, terminal));
    }
    if view.drill.began.is_some() {
        text.push_str("\nWHAT HAPPENED MEANWHILE\n");
        text.push_str(&events(&view.events, terminal));
        if view.more_events > 0 {
            let _ = writeln!(text, "and {} more, which are not kept here (`pointsman events`)", view.more_events);
        }
        let _ = writeln!(text, "\n{COHORT}");
    }
    text
}

fn head(view: &DrillView) -> String {
    let DrillLine { id, provider, share_percent, state, .. } = &view.drill;
    let drill = &view.drill;
    let mut text = format!("drill {id}: {share_percent}% of the clients of {}: {}\n", clean(provider), words(state));
    let mut line = |title: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title:<9} {}", clean(&value));
    };
    line("told by", format!("pointsman {} at {}", view.program, view.vantage));
    let schedule = drill.schedule.as_ref().map(|schedule| format!(" ({schedule})")).unwrap_or_default();
    line("ordered", format!("by {}{schedule}: {}", drill.author, drill.reason));
    line("planned", format!("{}, until {}", absolute(drill.planned), absolute(drill.until)));
    line("began", drill.began.map_or_else(|| "never".to_owned(), absolute));
    if let (Some(began), Some(ended)) = (drill.began, drill.ended) {
        let lasted = (ended.as_second() - began.as_second()).max(0).unsigned_abs();
        line("ended", format!("{}, after {}", absolute(ended), span(lasted)));
    }
    if !drill.why.is_empty() {
        line("how", drill.why.clone());
    }
    if let Some(order) = drill.order {
        line("override", order.to_string());
        line("moved", format!("clients of {}", count(drill.names, "name")));
    }
    for restart in &view.restarts {
        line("restart", format!("{}: answers before it are not counted", absolute(*restart)));
    }
    text
}

/// What is said of clients that are away: of a drill that runs they are to be.
fn away_still(view: &DrillView) -> &'static str {
    if view.drill.ended.is_some() { "not back" } else { "still away" }
}

fn of_client(client: &DrillClientView, still: &str) -> String {
    let DrillClientView { client, prefix, point, moved, notes } = client;
    let point = point.map_or_else(String::new, |point| format!(", which stands at point {point}"));
    let mut text = format!("client {}: {}{point}\n", clean(client), clean(prefix));
    if moved.is_empty() {
        text.push_str("  it was not in it\n");
    }
    for of in moved {
        let back = of.back.map_or_else(|| still.to_owned(), |back| format!("back {}", absolute(back)));
        let (name, from, to) = (clean(&of.name), clean(&of.from), clean(&of.to));
        let _ = writeln!(text, "  {name}: from {from} to {to}, away {}, {back}", absolute(of.away));
    }
    for note in notes {
        let _ = writeln!(text, "  ({})", clean(note));
    }
    text
}

fn moves(moves: &[DrillMoveView], still: &str, terminal: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("CLIENTS", Align::Left),
        ("MOVED", Align::Right),
        ("AWAY", Align::Left),
        ("BACK", Align::Left),
        ("POINTS", Align::Left),
    ]);
    for of in moves {
        let cohort: Vec<String> =
            of.cohort.iter().map(|span| format!("{}-{} {}>{}", span.start, span.end - 1, span.from, span.to)).collect();
        let drawn = if of.sticky { "" } else { "drawn for each question: " };
        table.row(vec![
            Cell::new(&of.name),
            Cell::new(of.clients.as_deref().unwrap_or("all")),
            Cell::new(format!("{:.2}%", of.share * 100.0)),
            Cell::new(absolute(of.away)),
            Cell::new(of.back.map_or_else(|| still.to_owned(), absolute)),
            Cell::new(format!("{drawn}{}", cohort.join(", "))),
        ]);
    }
    table.render(terminal)
}

fn shares(moves: &[DrillMoveView], terminal: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("CLIENTS", Align::Left),
        ("CANDIDATE", Align::Left),
        ("BEFORE", Align::Right),
        ("DURING", Align::Right),
        ("AFTER", Align::Right),
        ("ANSWERS", Align::Right),
        ("PROVIDER", Align::Left),
    ]);
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for of in moves {
        for held in &of.candidates {
            table.row(vec![
                Cell::new(&of.name),
                Cell::new(of.clients.as_deref().unwrap_or("all")),
                Cell::new(&held.id),
                Cell::new(percent(held.before)),
                Cell::new(percent(held.during)),
                Cell::new(known(held.after.map(percent))),
                Cell::new(known(held.answers.map(|answers| answers.to_string()))),
                Cell::new(&held.provider),
            ]);
        }
    }
    table.render(terminal)
}

fn events(events: &[EventView], terminal: Option<usize>) -> String {
    if events.is_empty() {
        return "nothing that concerns its names\n".to_owned();
    }
    let columns = ["EVENT", "TIME", "KIND", "SUBJECT", "CHANGE", "WHY"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for event in events {
        table.row(vec![
            Cell::new(event.id.to_string()),
            Cell::new(absolute(event.at)),
            Cell::new(&event.kind),
            Cell::new(&event.subject),
            Cell::new(format!("{} -> {}", event.from, event.to)),
            Cell::new(&event.why),
        ]);
    }
    table.render(terminal)
}

/// `did not begin`
fn words(state: &str) -> String {
    clean(state).replace('-', " ")
}

fn style(state: &str) -> anstyle::Style {
    match state {
        "running" | "over" | "released" => anstyle::Style::new(),
        _ => print::ALERT,
    }
}
