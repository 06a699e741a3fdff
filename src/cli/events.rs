//! `pointsman events`: what changed, newest first.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ServerArgs, with_query};
use super::table::{Align, Cell, Table, style_of, terminal};
use super::text::time;
use super::{BadInput, Format, Globals, print};
use crate::api::span::{now, parse_moment, parse_span};
use crate::controller::view::{EventPage, EventView, Overview};
use crate::steer::time::Time;
use crate::steer::transition::Standing;

#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// Only of this subject: a name (and its candidates), NAME/CANDIDATE, a provider's id
    #[arg(long)]
    subject: Option<String>,
    /// Only of this kind
    #[arg(long, value_parser = ["verdict", "decision", "provider", "vantage", "readiness", "override", "drill"])]
    kind: Option<String>,
    /// Only from then on: a span before now (`1h`), or a time (`2025-12-05T08:47:00Z`)
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<String>,
    /// Only until then
    #[arg(long, value_name = "SPAN|TIME")]
    until: Option<String>,
    /// Only with a lower id: the way to the next page
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print an incident file of what failed in that time, for `pointsman replay`: all pages of it
    #[arg(long, conflicts_with_all = ["kind", "before", "limit", "format"])]
    export: bool,
    /// How to print it: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &EventsArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let moment = |text: &Option<String>| text.as_deref().map(|text| moment(text, now())).transpose();
    let params = [
        ("subject", args.subject.clone()),
        ("kind", args.kind.clone()),
        ("since", moment(&args.since)?),
        ("until", moment(&args.until)?),
        ("before", args.before.map(|before| before.to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let client = Client::find(&args.server, globals)?;
    if args.export {
        return export(args, &client);
    }
    let text = client.text(&with_query("/v1/events", &params))?;
    if args.format == Format::Json {
        print::json(&text)?;
    } else {
        let now = client.document::<Overview>("/v1/status")?.now;
        print::out(&render(&client.parse(&text)?, now, terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All pages, as one incident file.
fn export(args: &EventsArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let now = client.document::<Overview>("/v1/status")?.now;
    let moment = |text: &Option<String>| -> anyhow::Result<Option<Timestamp>> {
        text.as_deref().map(|text| Ok(moment(text, crate::api::span::now())?.parse()?)).transpose()
    };
    let (since, until) = (moment(&args.since)?, moment(&args.until)?);
    let mut events = Vec::new();
    let mut before: Option<u64> = None;
    loop {
        let params = [
            ("subject", args.subject.clone()),
            ("since", since.map(|since| since.to_string())),
            ("until", until.map(|until| until.to_string())),
            ("before", before.map(|before| before.to_string())),
            ("limit", Some("1000".to_owned())),
        ];
        let page: EventPage = client.document(&with_query("/v1/events", &params))?;
        events.extend(page.events);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    print::out(&super::export::incident(&events, since, until.unwrap_or(now).min(now))?)?;
    Ok(ExitCode::SUCCESS)
}

/// RFC 3339, from a span before `now` or from itself.
pub fn moment(text: &str, now: Time) -> anyhow::Result<String> {
    if let Ok(span) = parse_span(text) {
        let millis = i64::try_from(now.before(span).0)?;
        return Ok(Timestamp::from_millisecond(millis)?.to_string());
    }
    let unfit =
        || BadInput(format!("`{text}` is neither a span (`30m`, `1h30m`, `2d`) nor a time (`2025-12-05T08:47:00Z`)"));
    parse_moment(text).map_err(|_| unfit())?;
    Ok(text.to_owned())
}

fn render(page: &EventPage, now: Timestamp, terminal: Option<usize>) -> String {
    if page.events.is_empty() {
        return "no events\n".to_owned();
    }
    let columns = ["ID", "TIME", "KIND", "SUBJECT", "CHANGE", "WHY"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for event in &page.events {
        let change = format!("{} -> {}", event.from, event.to);
        table.row(vec![
            Cell::new(event.id.to_string()),
            Cell::new(time(event.at, now)),
            Cell::new(&event.kind),
            Cell::new(&event.subject),
            Cell::styled(change, style(event)),
            Cell::new(&event.why),
        ]);
    }
    let mut text = table.render(terminal);
    if let Some(next) = page.next {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "there are more: --before {next}");
    }
    text
}

/// Verdicts have the colour of where they went.
fn style(event: &EventView) -> anstyle::Style {
    use Standing::{Down, Impaired, Ramping, Recovering, Unknown, Up};
    let standings = [Up, Impaired, Down, Recovering, Ramping, Unknown];
    let to = standings.into_iter().find(|standing| standing.as_str() == event.to);
    to.map_or_else(anstyle::Style::new, style_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spans_before_now_or_times() {
        let now = Time(7_200_000);
        assert_eq!(moment("1h", now).expect("a span"), "1970-01-01T01:00:00Z");
        assert_eq!(moment("2025-12-05T08:47:00Z", now).expect("a time"), "2025-12-05T08:47:00Z");
        assert_eq!(moment("9h", now).expect("before all"), "1970-01-01T00:00:00Z");
        assert!(moment("yesterday", now).expect_err("neither").is::<BadInput>());
    }
}
