//! `pointsman explain NAME`: what would be answered, and every step why.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ServerArgs, with_query};
use super::table::terminal;
use super::text::clean;
use super::{Format, Globals, names, print};
use crate::controller::view::{Explanation, Overview};

#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The name that is asked for
    name: String,
    /// The record type that is asked for
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    rtype: String,
    /// The client that asks [default: this machine]
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// How to print it: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &ExplainArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    let params = [
        ("name", Some(args.name.clone())),
        ("type", Some(args.rtype.clone())),
        ("client", args.client.map(|client| client.to_string())),
    ];
    let text = client.text(&with_query("/v1/explain", &params))?;
    if args.format == Format::Json {
        print::json(&text)?;
    } else {
        let now = client.document::<Overview>("/v1/status")?.now;
        print::out(&render(&client.parse(&text)?, now, terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
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
