//! Steered names as tables: all in short, or one with all that is known of its candidates.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;

use super::table::{Align, Cell, Table, style_of};
use super::text::{clean, relative, time};
use crate::api::health::{answer, answer_in_area, percent};
use crate::controller::view::{AreaAddresses, AreaView, CandidateView, NameView, RampView};
use crate::steer::observation::Fault;
use crate::steer::transition::Standing;

/// A line a name.
pub fn short(names: &[NameView], now: Timestamp, terminal: Option<usize>) -> String {
    let columns = [("NAME", Align::Left), ("ANSWER", Align::Left), ("SINCE", Align::Left), ("CANDIDATES", Align::Left)];
    let mut table = Table::new(&columns);
    for view in names {
        let standings: Vec<String> =
            view.candidates.iter().map(|candidate| format!("{} {}", candidate.id, standing(candidate))).collect();
        let answering = Cell::styled(short_answer(view), serving_style(view));
        let since = relative(view.since, now);
        let standings = Cell::styled(standings.join(", "), worst_style(view));
        table.row(vec![Cell::new(&view.name), answering, Cell::new(since), standings]);
    }
    table.render(terminal)
}

/// What answers everywhere else, and in how many areas another one does.
fn short_answer(view: &NameView) -> String {
    let plain = answer(view);
    match view.areas.iter().filter(|area| answer_in_area(area) != plain).count() {
        0 => plain,
        1 => format!("{plain}; 1 area differs"),
        others => format!("{plain}; {others} areas differ"),
    }
}

/// One name: what it answers and why, and its candidates.
pub fn whole(view: &NameView, now: Timestamp, terminal: Option<usize>) -> String {
    let style = serving_style(view);
    let since = time(view.since, now);
    let mut text =
        format!("{}  {}, TTL {} s, zone {}\n", clean(&view.name), clean(&view.shape), view.ttl, clean(&view.zone));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "answers {style}{}{style:#} since {since}", clean(&answer(view)));
    let _ = writeln!(text, "because {}\n", clean(&view.rule));
    for area in &view.areas {
        text.push_str(&of_area(area, now));
    }
    text + &candidates(view, now, terminal) + &details(view, now)
}

/// What the clients of one area rule are answered.
fn of_area(area: &AreaView, now: Timestamp) -> String {
    let terms = area.terms.replace('=', " ").replace(" only", "; only");
    let style = if area.usable { Style::new() } else { style_of(Standing::Down) };
    let (clients, answer) = (area.clients.join(", "), answer_in_area(area));
    format!(
        "for clients in {}: {}\nanswers {style}{}{style:#} since {}, TTL {} s\nbecause {}\n\n",
        clean(&clients),
        clean(&terms),
        clean(&answer),
        time(area.since, now),
        area.ttl,
        clean(&area.rule)
    )
}

/// The candidates of a name in a table.
pub fn candidates(view: &NameView, now: Timestamp, terminal: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("CANDIDATE", Align::Left),
        ("HOME", Align::Left),
        ("STANDING", Align::Left),
        ("SHARE", Align::Right),
        ("SINCE", Align::Left),
        ("LATENCY", Align::Right),
        ("FAILED", Align::Right),
        ("TARGET", Align::Left),
        ("WHY", Align::Left),
    ]);
    for candidate in &view.candidates {
        table.row(candidate_row(candidate, now));
    }
    table.render(terminal)
}

fn candidate_row(candidate: &CandidateView, now: Timestamp) -> Vec<Cell> {
    let standby = if candidate.standby { " (standby)" } else { "" };
    let (failed, of) = candidate.recent_failures;
    vec![
        Cell::new(named(candidate) + standby),
        Cell::new(&candidate.home),
        Cell::standing(candidate.standing),
        Cell::new(percent(candidate.share)),
        Cell::new(relative(candidate.since, now)),
        Cell::new(candidate.last_latency_ms.map_or_else(|| "-".to_owned(), |latency| format!("{latency} ms"))),
        Cell::new(format!("{failed}/{of}")),
        Cell::new(&candidate.target),
        Cell::new(&candidate.reason),
    ]
}

/// `up`, `up (at risk)`.
fn standing(candidate: &CandidateView) -> String {
    let at_risk = if candidate.risks.is_empty() { "" } else { " (at risk)" };
    format!("{}{at_risk}", candidate.standing)
}

/// What does not fit a row: what would break, the last fault, the clean window, the addresses.
fn details(view: &NameView, now: Timestamp) -> String {
    let mut text = String::new();
    for candidate in &view.candidates {
        let id = clean(&candidate.id);
        let since = candidate.at_risk_since.map(|since| format!(" since {}", time(since, now))).unwrap_or_default();
        for risk in &candidate.risks {
            let _ = writeln!(text, "{id}: at risk{since}: {}", clean(risk));
        }
        if let Some(certificate) = &candidate.certificate {
            let issuer = clean(&certificate.issuer);
            let _ = writeln!(text, "{id}: certificate from {issuer} until {}", time(certificate.until, now));
        }
        if let Some(last) = &candidate.last_fault {
            let at = last.address.as_deref().map(|address| format!(" at {}", clean(address))).unwrap_or_default();
            let _ = writeln!(text, "{id}: last fault {}{at}: {}", time(last.at, now), fault_line(&last.fault));
        }
        if candidate.failures_in_row > 0 {
            let passed = candidate.last_pass.map_or_else(|| "never".to_owned(), |pass| time(pass, now));
            let _ = writeln!(text, "{id}: {} failures in a row; last pass {passed}", candidate.failures_in_row);
        }
        if let Some(end) = candidate.clean_until {
            let _ = writeln!(text, "{id}: its clean window ends {}", time(end, now));
        }
        if let Some(ramp) = &candidate.ramp {
            let RampView { percent, until, next_percent, ends } = ramp;
            let (until, ends) = (time(*until, now), time(*ends, now));
            let _ = writeln!(text, "{id}: {percent} % of its share, {next_percent} % {until}, all of it {ends}");
        }
        if !candidate.addresses.is_empty() {
            let _ = writeln!(text, "{id}: addresses {}", clean(&candidate.addresses.join(", ")));
        }
        for AreaAddresses { area, network, addresses, ttl } in &candidate.addresses_by_area {
            let (area, network, addresses) = (clean(area), clean(network), clean(&addresses.join(", ")).into_owned());
            let _ = writeln!(text, "{id}: addresses for {area} ({network}, {ttl} s): {addresses}");
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// The candidate's id, with its provider where that has another one.
fn named(candidate: &CandidateView) -> String {
    if candidate.id == candidate.provider {
        candidate.id.clone()
    } else {
        format!("{} [{}]", candidate.id, candidate.provider)
    }
}

/// The reason, with the stage in front where it does not say it itself.
fn fault_line(fault: &Fault) -> String {
    let (stage, reason) = (fault.stage.word(), clean(&fault.reason));
    if reason.starts_with(stage) { reason.into_owned() } else { format!("{stage}: {reason}") }
}

/// The colour of the candidate that needs somebody most.
fn worst_style(view: &NameView) -> Style {
    use Standing::{Down, Impaired, Ramping, Recovering, Unknown, Up};
    let order = [Down, Recovering, Ramping, Impaired, Unknown, Up];
    let has = |standing: &Standing| view.candidates.iter().any(|candidate| candidate.standing == *standing);
    order.into_iter().find(has).map_or(Style::new(), style_of)
}

/// The colour of the best candidate that serves.
fn serving_style(view: &NameView) -> Style {
    let serving = view.candidates.iter().filter(|candidate| candidate.share > 0.0);
    let best = serving.map(|candidate| candidate.standing).min_by_key(|standing| standing.verdict());
    best.map_or(Style::new(), style_of)
}
