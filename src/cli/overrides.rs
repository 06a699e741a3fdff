//! `pointsman drain`, `pin`, `freeze`, `drill`, `release`: an operator's word, with its reason and its end.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::client::{Client, ServerArgs, encoded, with_query};
use super::drills::{self, DrillCommand};
use super::text::{absolute, clean, count};
use super::{Format, Globals, print, radius, table};
use crate::controller::view::OverrideView;

#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// `bunny`, `www.shop.example/bunny`, a pattern over NAME/CANDIDATE (`*.shop.example./bunny`), or all of a name or
    /// zone: `shop.example`, `name:shop.example`, `zone:shop.example`
    #[arg(value_name = "PROVIDER|NAME/CANDIDATE|GLOB|NAME|ZONE")]
    subject: String,
    /// Empty it gradually, a tenth at a time, over this long: `10m` [default: at once]
    #[arg(long, value_name = "SPAN")]
    over: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Clone, Debug, Args)]
pub struct PinArgs {
    /// The steered name
    name: String,
    /// The candidate that is to answer alone
    candidate: String,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Clone, Debug, Args)]
pub struct FreezeArgs {
    /// A name or a zone: `shop.example`, `name:shop.example`, `zone:shop.example` [default: everything]
    #[arg(value_name = "NAME|ZONE")]
    subject: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct DrillArgs {
    #[command(subcommand)]
    command: Option<DrillCommand>,
    /// The provider that lends a part of its clients to the others
    #[arg(required = true)]
    provider: Option<String>,
    /// How much of its share of each name: `1%`, `0.5%`; at most 50 %
    #[arg(long, required = true)]
    share: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// What all orders take.
#[derive(Clone, Debug, Args)]
struct OrderArgs {
    /// Why, in a line; it is kept and shown
    // Optional for clap alone: `drill list` goes without.
    #[arg(long, required = true)]
    reason: Option<String>,
    /// How long: `30m`, `1h30m`, `2d` [default: until it is released; a drill needs it, or --until]
    #[arg(long = "for", value_name = "SPAN", conflicts_with = "until")]
    span: Option<String>,
    /// Until when: `2025-12-05T12:00:00Z`
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Place nothing: tell what it would move
    #[arg(long)]
    dry_run: bool,
    /// How to print what was placed: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ReleaseArgs {
    /// The override's id, or its subject as it was given (`everything` for a freeze)
    #[arg(value_name = "ID|SUBJECT")]
    which: String,
    /// Why, in a line; it is kept and shown
    #[arg(long)]
    reason: String,
    /// How to print what was released: `table` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn drain(args: &DrainArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    place("drain", Some(&args.subject), args.over.as_deref(), &args.order, globals)
}

pub fn pin(args: &PinArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    place("pin", Some(&format!("{}/{}", args.name, args.candidate)), None, &args.order, globals)
}

pub fn freeze(args: &FreezeArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    place("freeze", args.subject.as_deref(), None, &args.order, globals)
}

pub fn drill(args: &DrillArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    if let Some(command) = &args.command {
        return drills::run(command, globals);
    }
    let share = args.share.as_deref().map(|share| ("share", share));
    place_with("drill", args.provider.as_deref(), share, &args.order, globals)
}

pub fn release(args: &ReleaseArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    let path = format!("/v1/overrides/{}", encoded(&args.which));
    let text = client.exchange("DELETE", &with_query(&path, &[("reason", Some(args.reason.clone()))]), None)?;
    if args.format == Format::Json {
        print::json(&text)?;
    } else {
        let released: Vec<OverrideView> = client.parse(&text)?;
        let lines: String = released.iter().map(|view| format!("released {}", line(view))).collect();
        print::out(&lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn place(
    order: &str,
    subject: Option<&str>,
    over: Option<&str>,
    args: &OrderArgs,
    globals: &Globals,
) -> anyhow::Result<ExitCode> {
    place_with(order, subject, over.map(|over| ("over", over)), args, globals)
}

fn place_with<'a>(
    order: &str,
    subject: Option<&str>,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
    args: &OrderArgs,
    globals: &Globals,
) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.server, globals)?;
    let mut body = json!({"order": order, "reason": args.reason.as_deref().unwrap_or_default()});
    let given = [("subject", subject), ("for", args.span.as_deref()), ("until", args.until.as_deref())];
    for (key, value) in given.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        body[key] = value.into();
    }
    for (key, value) in more {
        body[key] = value.into();
    }
    if args.dry_run {
        body["dry_run"] = true.into();
    }
    let text = client.exchange("POST", "/v1/overrides", Some(body.to_string()))?;
    if args.format == Format::Json {
        print::json(&text)?;
    } else if args.dry_run {
        print::out(&radius::text(&client.parse(&text)?, table::terminal()))?;
    } else {
        print::out(&line(&client.parse(&text)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `override 4: drain bunny, until 2025-12-05 09:20:00 UTC, by anna: slow (touches 1 name)`
fn line(view: &OverrideView) -> String {
    let OverrideView { id, order, subject, author, reason, .. } = view;
    let until =
        view.until.map_or_else(|| "until it is released".to_owned(), |until| format!("until {}", absolute(until)));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "override {id}: {} {}, {until}, by {}", clean(order), clean(subject), clean(author));
    let _ = writeln!(text, ": {} (touches {})", clean(reason), count(view.names, "name"));
    if let (Some(empty), Some(left)) = (view.empty, view.left_percent) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "drains gradually: {left} % left, nothing at {}", absolute(empty));
    }
    if !view.on_down.is_empty() {
        let more = view.on_down_total.saturating_sub(view.on_down.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "WARNING: it keeps clients on what is down: {}{more}", clean(&view.on_down.join(", ")));
    }
    if !view.stored {
        text.push_str("it is in force, but could not be stored: a restart forgets it\n");
    }
    text
}
