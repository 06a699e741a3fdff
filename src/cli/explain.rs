//! `pointsman explain NAME`: what would be answered, and every step why.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use ipnet::IpNet;
use jiff::Timestamp;

use super::client::{Client, ServerArgs, with_query};
use super::table::terminal;
use super::text::{absolute, clean};
use super::{Format, Globals, events, names, print};
use crate::controller::past::{NoAnswer, PastExplanation};
use crate::controller::view::{Explanation, Overview};

#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The name that is asked for
    name: String,
    /// The record type that is asked for
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    rtype: String,
    /// What it answered then, from the history: a span before now (`2h`), or a time (`2025-12-05T08:47:00Z`)
    #[arg(long, value_name = "SPAN|TIME", conflicts_with_all = ["rtype", "client"])]
    at: Option<String>,
    /// The client that asks, or the prefix that a resolver asks for [default: this machine]
    #[arg(long, value_name = "ADDRESS|PREFIX", value_parser = client)]
    client: Option<String>,
    /// How to print it: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// Checked here, so that it is told as bad usage.
fn client(text: &str) -> Result<String, String> {
    let known = text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok();
    if known {
        Ok(text.to_owned())
    } else {
        Err("expected an address such as 192.0.2.7, or a prefix such as 192.0.2.0/24".to_owned())
    }
}

pub fn run(args: &ExplainArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    if let Some(at) = &args.at {
        return past(args, &client, at);
    }
    let params =
        [("name", Some(args.name.clone())), ("type", Some(args.rtype.clone())), ("client", args.client.clone())];
    let text = client.text(&with_query("/v1/explain", &params))?;
    if args.format == Format::Json {
        print::json(&text)?;
    } else {
        let now = client.document::<Overview>("/v1/status")?.now;
        print::out(&render(&client.parse(&text)?, now, terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn past(args: &ExplainArgs, client: &Client, at: &str) -> anyhow::Result<ExitCode> {
    let at = events::moment(at, crate::api::span::now())?;
    let text = client.text(&with_query("/v1/explain", &[("name", Some(args.name.clone())), ("at", Some(at))]))?;
    match args.format {
        Format::Json => print::json(&text)?,
        Format::Table => print::out(&render_past(&client.parse(&text)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn render_past(told: &PastExplanation) -> String {
    let answers: Vec<_> = told.answers.iter().map(|answer| clean(&answer.answer)).collect();
    let answers = match told.no_answer.filter(|_| answers.is_empty()) {
        Some(NoAnswer::NotRunning) => "nothing, the server did not run".to_owned(),
        Some(NoAnswer::NotSteered) => "nothing, it was not steered".to_owned(),
        Some(NoAnswer::NotOver) => "that is not over yet".to_owned(),
        Some(NoAnswer::NotKnown) => "not known".to_owned(),
        None => answers.join("; "),
    };
    let mut text = format!("{} at {}: {answers}\n\nwhy\n", clean(&told.name), absolute(told.at));
    for (at, step) in told.steps.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>3}. {}", at + 1, clean(step));
    }
    if !told.candidates.is_empty() {
        text.push_str("\ncandidates then\n");
    }
    for candidate in &told.candidates {
        let since = candidate.since.map_or_else(String::new, |since| format!(" since {}", absolute(since)));
        let why = candidate.why.as_deref().map_or_else(String::new, |why| format!(": {why}"));
        let _ = writeln!(text, "    {} {}{since}{}", clean(&candidate.id), candidate.standing, clean(&why));
    }
    if !told.overrides.is_empty() {
        text.push_str("\noverrides in force then\n");
    }
    for event in &told.overrides {
        let _ = writeln!(text, "    {}: {}", clean(&event.subject), clean(&event.why));
    }
    match told.history_since {
        Some(since) => writeln!(text, "\nevents reach back to {}", absolute(since)),
        None => writeln!(text, "\nthere are no events"),
    }
    .unwrap_or_default();
    text
}

fn render(explanation: &Explanation, now: Timestamp, terminal: Option<usize>) -> String {
    let Explanation { name, rtype, client, rcode, .. } = explanation;
    let mut text = format!("{} {} for {}: {}\n", clean(name), clean(rtype), clean(client), clean(rcode));
    for record in &explanation.answer {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {}", clean(record));
    }
    if explanation.answer.is_empty() {
        text.push_str("    no records\n");
    }
    text.push_str("\nwhy\n");
    for (at, step) in explanation.steps.iter().enumerate() {
        let _ = writeln!(text, "{:>3}. {}", at + 1, clean(step));
    }
    if let Some(candidate) = &explanation.candidate {
        let _ = writeln!(text, "\nthis client gets {}", clean(candidate));
    }
    if let Some(steered) = &explanation.steered {
        let _ = write!(text, "\n{}", names::whole(steered, now, terminal));
    }
    text
}
