//! `pointsman status [NAME|ZONE|PROVIDER]`: the state of the server, its providers and names, or of one of them.

use std::fmt::Write as _;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ClientError, ServerArgs, encoded};
use super::print::{self, ALERT};
use super::table::{Align, Cell, Table, style_of, terminal};
use super::text::{clean, count, relative, span, time};
use super::{BadInput, Format, Globals, drills, names, zones};
use crate::api::health::{family_word, unready};
use crate::controller::view::{
    Counts, LoadedDatabase, NameView, OverrideView, Overview, ProviderView, Serving, StandingCounts, StoreState,
};
use crate::steer::transition::{Standing, Verdict};

#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// A steered name or a zone (it has a dot), or a provider's id; without it, everything in short
    #[arg(value_name = "NAME|ZONE|PROVIDER")]
    subject: Option<String>,
    /// How to print it: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &StatusArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    match args.subject.as_deref() {
        None => whole(&client, args.format),
        Some(name) if name.contains('.') => of_name(&client, name, args.format),
        Some(id) => of_provider(&client, id, args.format),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn whole(client: &Client, format: Format) -> anyhow::Result<()> {
    let (status, overrides) = (client.text("/v1/status")?, client.text("/v1/overrides")?);
    let (providers, steered) = (client.text("/v1/providers")?, client.text("/v1/names")?);
    if format == Format::Json {
        return print::json(&format!(
            "{{\"status\":{status},\"overrides\":{overrides},\"providers\":{providers},\"names\":{steered}}}"
        ));
    }
    let overview: Overview = client.parse(&status)?;
    let overrides: Vec<OverrideView> = client.parse(&overrides)?;
    let providers: Vec<ProviderView> = client.parse(&providers)?;
    let steered: Vec<NameView> = client.parse(&steered)?;
    let (now, width) = (overview.now, terminal());
    let mut text = head(&overview);
    if !overrides.is_empty() {
        text.push('\n');
        text.push_str(&override_table(&overrides, now, width));
    }
    text.push('\n');
    text.push_str(&provider_table(&providers, width));
    text.push('\n');
    text.push_str(&names::short(&steered, now, width));
    print::out(&text)
}

fn of_name(client: &Client, name: &str, format: Format) -> anyhow::Result<()> {
    let text = match client.text(&format!("/v1/names/{}", encoded(name))) {
        Err(error @ ClientError::Refused { status: 404, .. }) => return zones::instead(client, name, format, error),
        other => other?,
    };
    if format == Format::Json {
        return print::json(&text);
    }
    let view: NameView = client.parse(&text)?;
    let overview: Overview = client.document("/v1/status")?;
    print::out(&names::whole(&view, overview.now, terminal()))
}

fn of_provider(client: &Client, id: &str, format: Format) -> anyhow::Result<()> {
    let providers: Vec<ProviderView> = client.document("/v1/providers")?;
    let Some(provider) = providers.into_iter().find(|provider| provider.id == id) else {
        return Err(BadInput(format!("`{id}` is no provider here; a name has a dot (`{id}.`)")).into());
    };
    let mut steered: Vec<NameView> = client.document("/v1/names")?;
    for view in &mut steered {
        view.candidates.retain(|candidate| candidate.provider == id);
    }
    steered.retain(|view| !view.candidates.is_empty());
    if format == Format::Json {
        return print::json(&serde_json::json!({"provider": provider, "names": steered}).to_string());
    }
    let overview: Overview = client.document("/v1/status")?;
    let mut text = format!("{}, home {}", clean(&provider.name), provider.home);
    if let Some(page) = &provider.status_page {
        // Writing to a string cannot fail.
        let _ = write!(text, ", its own word: {}", clean(page));
    }
    text.push_str("\n\n");
    text.push_str(&provider_table(std::slice::from_ref(&provider), terminal()));
    for view in &steered {
        let _ = write!(text, "\n{}\n{}", clean(&view.name), names::candidates(view, overview.now, terminal()));
    }
    print::out(&text)
}

/// What runs here, how it goes, and what needs somebody.
fn head(overview: &Overview) -> String {
    let Overview { version, vantage, now, generation, names, .. } = overview;
    let up = span((now.as_second() - overview.started.as_second()).max(0).unsigned_abs());
    let mut text = format!("pointsman {} at {}, up {up}, generation {generation}\n", clean(version), clean(vantage));
    let mut line = |title: &str, value: String, style: Style| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title:<11} {style}{}{style:#}", clean(&value));
    };
    line("server", serving(overview), attention(unready(overview).is_none()));
    line("store", store(&overview.store), attention(overview.store == StoreState::Ok));
    if overview.areas.database.is_some() {
        line("areas", areas(overview), attention(overview.areas.error.is_none()));
    }
    let Counts { serving, stale, broken } = overview.zones;
    line("zones", format!("{serving} serving, {stale} stale, {broken} broken"), attention(stale + broken == 0));
    let mut usable = format!("{} steered, {} without a usable candidate", names.steered, names.without_usable);
    if names.without_usable_in_area > 0 {
        usable += &format!(", {} in some area", names.without_usable_in_area);
    }
    line("names", usable, attention(names.without_usable + names.without_usable_in_area == 0));
    if overview.tcp_connections > 0 {
        let open = count(usize::try_from(overview.tcp_connections).unwrap_or(usize::MAX), "connection");
        line("tcp", format!("{open} open"), Style::new());
    }
    line("candidates", standings(&overview.candidates), Style::new());
    if let Some(drill) = &overview.drill {
        line("drill", drills::in_force(drill, *now), Style::new());
    }
    if let Some(next) = drills::next(&overview.planned_drills, *now) {
        line("next drill", next, Style::new());
    }
    if overview.frozen {
        line("frozen", "answers stay as they are until the freeze is released".to_owned(), ALERT);
    }
    for doubt in &overview.doubts {
        let since = relative(doubt.since, *now);
        line(
            "in doubt",
            format!("{} since {since}, such failures count nothing: {}", doubt.what, doubt.evidence),
            ALERT,
        );
    }
    for family in &overview.families_without_route {
        line("no route", format!("{} is not probed", family_word(*family)), ALERT);
    }
    if overview.udp_dropped > 0 {
        let datagrams = if overview.udp_dropped == 1 { "datagram" } else { "datagrams" };
        let dropped = format!("{} {datagrams}: the kernel's receive buffer was full", overview.udp_dropped);
        line("dropped", dropped, ALERT);
    }
    if let Some(reload) = &overview.last_reload {
        let how =
            if reload.ok { "all good".to_owned() } else { format!("with errors in {}", reload.errors.join(", ")) };
        let (read, changed, seconds) = (reload.counts.read, reload.counts.changed, reload.seconds);
        let removed = match reload.counts.removed {
            0 => String::new(),
            removed => format!(", {removed} removed"),
        };
        let how = format!("{how}; {} read, {changed} changed{removed}, in {seconds:.2} s", count(read, "zone"));
        line("last reload", format!("{}, {how}", time(reload.at, *now)), attention(reload.ok));
    }
    if let Some(seconds) = overview.reloading {
        line("reload", format!("one runs, for {seconds:.1} s so far"), Style::new());
    }
    for alert in &overview.alerts {
        let _ = writeln!(text, "{ALERT}!{ALERT:#} {}", clean(alert));
    }
    text
}

fn attention(fine: bool) -> Style {
    if fine { Style::new() } else { ALERT }
}

fn serving(overview: &Overview) -> String {
    match overview.serving {
        Serving::Starting => "starting".to_owned(),
        Serving::Stopping => "stopping".to_owned(),
        Serving::Serving => match unready(overview) {
            None => "serving, ready".to_owned(),
            Some(why) => format!("serving, {why}"),
        },
    }
}

fn store(state: &StoreState) -> String {
    match state {
        StoreState::Ok => "ok".to_owned(),
        StoreState::SetAside { why, moved_to } => format!("a new one: the old was set aside to {moved_to}: {why}"),
        StoreState::WithoutTexts { why } => format!("ok, but the last good texts of zones are not kept: {why}"),
        StoreState::WithoutLedger { why } => format!("ok, but the ledger is not kept: {why}"),
        StoreState::Gone { why } => format!("none, nothing is kept over a restart: {why}"),
    }
}

/// Which countries are known, and how old that is.
fn areas(overview: &Overview) -> String {
    let known = match &overview.areas.loaded {
        None => "no country is known".to_owned(),
        Some(LoadedDatabase { kind, built, prefixes, .. }) => {
            format!("{kind}, built {}, {}", relative(*built, overview.now), count(*prefixes, "network"))
        }
    };
    match &overview.areas.error {
        None => known,
        Some(error) => format!("{known}: {error}"),
    }
}

fn standings(counts: &StandingCounts) -> String {
    let words = by_standing(counts).map(|(standing, count)| (count > 0).then(|| format!("{count} {standing}")));
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn by_standing(counts: &StandingCounts) -> [(Standing, usize); 6] {
    let StandingCounts { up, impaired, down, recovering, ramping, unknown } = *counts;
    [
        (Standing::Up, up),
        (Standing::Impaired, impaired),
        (Standing::Down, down),
        (Standing::Recovering, recovering),
        (Standing::Ramping, ramping),
        (Standing::Unknown, unknown),
    ]
}

/// Overrides in force.
pub fn override_table(overrides: &[OverrideView], now: Timestamp, terminal: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("OVERRIDE", Align::Right),
        ("ORDER", Align::Left),
        ("SUBJECT", Align::Left),
        ("NAMES", Align::Right),
        ("BY", Align::Left),
        ("PLACED", Align::Left),
        ("ENDS", Align::Left),
        ("REASON", Align::Left),
    ]);
    for view in overrides {
        table.row(vec![
            Cell::new(view.id.to_string()),
            Cell::new(match view.left_percent {
                Some(left) if left > 0 => format!("{}, {left}% left", view.order),
                _ => view.order.clone(),
            }),
            Cell::new(&view.subject),
            Cell::new(view.names.to_string()),
            Cell::new(&view.author),
            Cell::new(relative(view.placed, now)),
            Cell::new(view.until.map_or_else(|| "never".to_owned(), |until| relative(until, now))),
            Cell::new(match view.on_down.first() {
                Some(first) => format!("KEEPS CLIENTS ON WHAT IS DOWN ({first}): {}", view.reason),
                None => view.reason.clone(),
            }),
        ]);
    }
    table.render(terminal)
}

fn provider_table(providers: &[ProviderView], terminal: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("PROVIDER", Align::Left),
        ("HOME", Align::Left),
        ("UP", Align::Right),
        ("IMPAIRED", Align::Right),
        ("DOWN", Align::Right),
        ("RECOVERING", Align::Right),
        ("RAMPING", Align::Right),
        ("UNKNOWN", Align::Right),
        ("SERVES", Align::Left),
    ]);
    for view in providers {
        let mut cells = vec![Cell::new(&view.id), Cell::new(&view.home)];
        cells.extend(by_standing(&view.candidates).map(|(standing, count)| match count {
            0 => Cell::new("-"),
            _ => Cell::styled(count.to_string(), style_of(standing)),
        }));
        let drained = view.drained_by.map(|id| format!(", drained by override {id}")).unwrap_or_default();
        let whole = view.whole.as_ref().filter(|whole| matches!(whole.verdict, Verdict::Impaired | Verdict::Down));
        let whole =
            whole.map(|whole| format!(", {} as a whole: {}", whole.verdict, whole.evidence)).unwrap_or_default();
        cells.push(Cell::new(count(view.serving_names, "name") + &drained + &whole));
        table.row(cells);
    }
    table.render(terminal)
}
