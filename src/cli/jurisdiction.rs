//! `pointsman jurisdiction`: for how long and how often which provider, under which law, answered for which name.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::client::{Client, ServerArgs, with_query};
use super::table::{Align, Cell, Table, terminal};
use super::text::{absolute, count, span};
use super::{Globals, events, print};
use crate::api::span::now;
use crate::controller::jurisdiction::{Jurisdiction, Named, Share};

/// Gaps that are shown one by one.
const GAPS: usize = 20;

#[derive(Clone, Debug, Args)]
pub struct JurisdictionArgs {
    /// From then on: a span before now (`30d`), or a time (`2025-12-01T00:00:00Z`) [default: 30 days before `--to`]
    #[arg(long, value_name = "SPAN|TIME")]
    from: Option<String>,
    /// Until then [default: now]
    #[arg(long, value_name = "SPAN|TIME")]
    to: Option<String>,
    /// Only of this steered name
    #[arg(long)]
    name: Option<String>,
    /// How to print it: `table` for people, `json` for programs, `csv` for sheets
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

pub fn run(args: &JurisdictionArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let moment = |text: &Option<String>| text.as_deref().map(|text| events::moment(text, now())).transpose();
    let params = [("from", moment(&args.from)?), ("to", moment(&args.to)?), ("name", args.name.clone())];
    let client = Client::find(&args.server, globals)?;
    let text = client.text(&with_query("/v1/jurisdiction", &params))?;
    match args.format {
        Format::Json => print::json(&text)?,
        Format::Csv => print::out(&csv(&client.parse(&text)?))?,
        Format::Table => print::out(&render(&client.parse(&text)?, terminal()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn render(told: &Jurisdiction, terminal: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "from  {}\nuntil {}", absolute(told.from), absolute(told.until));
    let _ = writeln!(text, "counted {} of it, {}", span(told.covered_seconds as u64), exactness(told));
    for gap in told.gaps.iter().take(GAPS) {
        let (from, until) = (absolute(gap.from), absolute(gap.until));
        let _ = writeln!(text, "gap: {from} to {until} ({:.1} s): {}", gap.seconds, gap.why);
    }
    if told.gaps.len() > GAPS {
        let _ = writeln!(text, "and {} more: --format json", count(told.gaps.len() - GAPS, "gap"));
    }
    if told.names.is_empty() {
        text.push_str("\nno steered name was answered for\n");
        return text;
    }
    let _ = write!(text, "\n{}\n{}", totals(&told.totals).render(terminal), names(&told.names).render(terminal));
    text
}

fn exactness(told: &Jurisdiction) -> &'static str {
    match (told.exact, told.lacking) {
        (true, _) => "exactly",
        (false, false) => "not exactly: some seconds before a gap are lost",
        (false, true) => "not exactly: some of it could not be stored or read, and is not in the sums",
    }
}

fn totals(totals: &[Share]) -> Table {
    let mut table = Table::new(&[
        ("PROVIDER", Align::Left),
        ("HOME", Align::Left),
        ("NAME-SECONDS", Align::Right),
        ("SHARE", Align::Right),
        ("ANSWERS", Align::Left),
    ]);
    served(totals).for_each(|cells| table.row(cells));
    table
}

fn names(names: &[Named]) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("CLIENTS UNDER", Align::Left),
        ("PROVIDER", Align::Left),
        ("HOME", Align::Left),
        ("SECONDS", Align::Right),
        ("SHARE", Align::Right),
        ("ANSWERS", Align::Left),
    ]);
    for named in names {
        let rule = named.rule.as_deref().unwrap_or("");
        for cells in served(&named.served) {
            table.row([Cell::new(&named.name), Cell::new(rule)].into_iter().chain(cells).collect());
        }
    }
    table
}

/// Provider, home, seconds, their share, and answers.
fn served(shares: &[Share]) -> impl Iterator<Item = Vec<Cell>> {
    let all: f64 = shares.iter().map(|share| share.seconds).sum();
    shares.iter().map(move |share| {
        let part = if all > 0.0 { share.seconds / all * 100.0 } else { 0.0 };
        vec![
            Cell::new(&share.provider),
            Cell::new(home(share)),
            Cell::new(format!("{:.3}", share.seconds)),
            Cell::new(format!("{part:.2}%")),
            Cell::new(share.answers.to_string()),
        ]
    })
}

fn home(share: &Share) -> String {
    share.home.map_or_else(String::new, |home| home.to_string())
}

/// A line for each name, area rule, provider and home, and how far it is to be trusted in each (RFC 4180).
fn csv(told: &Jurisdiction) -> String {
    let mut text = "from,until,exact,name,rule,provider,home,seconds,answers\r\n".to_owned();
    let (from, until, exact) = (told.from, told.until, told.exact);
    for named in &told.names {
        for share in &named.served {
            let (name, rule) = (field(&named.name), field(named.rule.as_deref().unwrap_or("")));
            let (provider, home) = (field(&share.provider), home(share));
            let _ = write!(
                text,
                "{from},{until},{exact},{name},{rule},{provider},{home},{:.3},{}\r\n",
                share.seconds, share.answers
            );
        }
    }
    text
}

/// In quotes where it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::jurisdiction::Gap;

    fn told() -> Jurisdiction {
        let share = |provider: &str, home: Option<&str>, seconds, answers| Share {
            provider: provider.to_owned(),
            home: home.map(|home| home.parse().expect("a home")),
            seconds,
            answers,
        };
        let served = vec![
            share("static", None, 10.0, 1),
            share("bunny", Some("si"), 70.5, 7),
            share("fastly", Some("us"), 19.5, 2),
        ];
        let at = |second| jiff::Timestamp::from_second(second).expect("in range");
        Jurisdiction {
            from: at(0),
            until: at(3600),
            resolution: "hour".to_owned(),
            exact: false,
            lacking: false,
            covered_seconds: 100.0,
            gaps: vec![Gap {
                from: at(100),
                until: at(3600),
                seconds: 3500.0,
                why: "the server was stopped".to_owned(),
            }],
            totals: served.clone(),
            names: vec![
                Named { name: "www.shop.example.".to_owned(), rule: None, served },
                Named {
                    name: "www.shop.example.".to_owned(),
                    rule: Some("prefer=eu,any only=eu".to_owned()),
                    served: vec![share("bunny", Some("si"), 100.0, 3)],
                },
            ],
        }
    }

    #[test]
    fn a_table_says_how_far_it_is_to_be_trusted() {
        let text = anstream::adapter::strip_str(&render(&told(), None)).to_string();
        for part in [
            "from  1970-01-01 00:00:00 UTC\nuntil 1970-01-01 01:00:00 UTC\ncounted 1 min of it, not exactly",
            "gap: 1970-01-01 00:01:40 UTC to 1970-01-01 01:00:00 UTC (3500.0 s): the server was stopped\n",
            "bunny     si          70.500  70.50%  7\n",
            "www.shop.example.  prefer=eu,any only=eu  bunny     si    100.000  100.00%  3\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let lacking = render(&Jurisdiction { lacking: true, ..told() }, None);
        assert!(
            lacking.contains("counted 1 min of it, not exactly: some of it could not be stored or read"),
            "{lacking}"
        );
    }

    #[test]
    fn a_sheet_has_a_line_for_each() {
        let text = csv(&told());
        assert_eq!(text.lines().count(), 5);
        assert!(
            text.contains(
                "\r\n1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,false,www.shop.example.,,static,,10.000,1\r\n"
            )
        );
        assert!(text.contains(",www.shop.example.,\"prefer=eu,any only=eu\",bunny,si,100.000,3\r\n"), "{text}");
    }
}
