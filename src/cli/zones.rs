//! `pointsman zones`: what is served, and whether it is what the files say.

use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ClientError, ServerArgs};
use super::print::{self, ALERT};
use super::table::{Align, Cell, Table, terminal};
use super::text::{clean, relative};
use super::{BadInput, Format, Globals};
use crate::api::subject::parse_name;
use crate::controller::view::{Overview, ZoneState, ZoneView};

#[derive(Clone, Debug, Args)]
pub struct ZonesArgs {
    /// How to print them: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &ZonesArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    let text = client.text("/v1/zones")?;
    if args.format == Format::Json {
        print::json(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let zones: Vec<ZoneView> = client.parse(&text)?;
    let overview: Overview = client.document("/v1/status")?;
    if zones.is_empty() {
        print::out("no zone is served: every question is REFUSED\n")?;
    } else {
        print::out(&table(&zones, overview.now, terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What stands at a name that is not steered: the zone that begins there, or what the name is instead.
pub fn instead(client: &Client, name: &str, format: Format, error: ClientError) -> anyhow::Result<()> {
    let Ok(name) = parse_name(name) else { return Err(error.into()) };
    let zones: Vec<ZoneView> = client.document("/v1/zones")?;
    if let Some(zone) = zones.iter().find(|zone| zone.origin == name) {
        if format == Format::Json {
            return print::json(&serde_json::json!({ "zone": zone }).to_string());
        }
        let overview: Overview = client.document("/v1/status")?;
        let mut text = table(std::slice::from_ref(zone), overview.now, terminal());
        text.push_str(&format!("\nfile {}\n", clean(&zone.file)));
        zone.diagnostics.iter().for_each(|said| text.push_str(&format!("{}\n", clean(said))));
        return print::out(&text);
    }
    let above = zones.iter().filter(|zone| is_below(&name, &zone.origin)).max_by_key(|zone| zone.origin.len());
    let says = match above {
        Some(zone) => format!(
            "`{name}` is not steered: it is in zone {}, and `pointsman explain {name}` says what is answered",
            zone.origin
        ),
        None => {
            format!("`{name}` is in no zone here: its questions are REFUSED; `pointsman zones` lists those there are")
        }
    };
    Err(BadInput(says).into())
}

/// Whether a name is in a zone that begins above it.
fn is_below(name: &str, origin: &str) -> bool {
    origin == "." || name.strip_suffix(origin).is_some_and(|labels| labels.ends_with('.'))
}

fn table(zones: &[ZoneView], now: Timestamp, terminal: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("ZONE", Align::Left),
        ("STATE", Align::Left),
        ("SERIAL", Align::Right),
        ("RECORDS", Align::Right),
        ("STEERED", Align::Right),
        ("LOADED", Align::Left),
        ("ERRORS", Align::Right),
        ("WARNINGS", Align::Right),
    ]);
    for zone in zones {
        let (state, style) = match zone.state {
            ZoneState::Serving => ("serving", Style::new()),
            ZoneState::Stale => ("stale", ALERT),
            ZoneState::Broken => ("broken", ALERT),
        };
        table.row(vec![
            Cell::new(&zone.origin),
            Cell::styled(state, style),
            Cell::new(zone.serial.to_string()),
            Cell::new(zone.records.to_string()),
            Cell::new(zone.steered_names.to_string()),
            Cell::new(zone.loaded.map_or_else(|| "never".to_owned(), |loaded| relative(loaded, now))),
            Cell::new(zone.errors.to_string()),
            Cell::new(zone.warnings.to_string()),
        ]);
    }
    table.render(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_the_zone_above_it() {
        for (name, origin, is) in [
            ("www.shop.example.", "shop.example.", true),
            ("www.shop.example.", ".", true),
            ("www.workshop.example.", "shop.example.", false),
            ("shop.example.", "www.shop.example.", false),
        ] {
            assert_eq!(is_below(name, origin), is, "{name} {origin}");
        }
    }
}
