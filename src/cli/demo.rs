//! `pointsman demo`: providers that fail on command, the real server before them, and the story of 5 December 2025.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::{BadInput, Globals};
use crate::config::{LogFormat, LogSection};
use crate::sim::control::{self, Order};
use crate::sim::demo::{Demo, DemoError, Options, SHORTENED};
use crate::sim::mode::Mode;
use crate::sim::play::{self, Outcome, Told};
use crate::sim::story::Story;
use crate::steer::policy::SteeredName;
use crate::zone::diagnostic::Colour;

/// Try it: simulated providers, the real server, and an outage in short
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    #[command(subcommand)]
    order: Option<DemoOrder>,
    /// Play the story once and leave: exit code 0 if all of it came true, 1 if not
    #[arg(long)]
    once: bool,
    /// Serve the zone files of this folder in the place of the examples
    #[arg(long, value_name = "DIR")]
    zones: Option<PathBuf>,
    /// Answer on this address, over UDP and TCP; a free port is taken where this one is not free
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5300")]
    listen: SocketAddrV4,
    /// Where the JSON API listens; a free port is taken where this one is not free
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8053")]
    api: SocketAddrV4,
    /// Where orders from another terminal are taken
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Orders to a demo that runs in another terminal
#[derive(Clone, Debug, Subcommand)]
enum DemoOrder {
    /// Let a provider fail
    Break {
        /// As the demo lists them: bunny, fastly, ...
        provider: String,
        /// A status from 400 to 599, or one of: refuse, blackhole, slow, wrong-cert, expired-cert, empty-body,
        /// no-marker, challenge, unclaimed, ending-cert, servfail, nxdomain
        #[arg(default_value_t = Mode::DEFAULT_FAULT)]
        mode: Mode,
        #[command(flatten)]
        to: To,
    },
    /// Let a provider work again
    Heal {
        /// As the demo lists them: bunny, fastly, ...
        provider: String,
        #[command(flatten)]
        to: To,
    },
    /// Show what is wrong with whom
    State {
        #[command(flatten)]
        to: To,
    },
}

/// Which demo is meant
#[derive(Args, Clone, Debug)]
struct To {
    /// Where the demo takes orders, if it said so
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

const HEADING: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// How often the demo looks for news to tell once the story is over.
const POLL: Duration = Duration::from_millis(300);

/// Runs the demo, or gives an order to one that runs.
pub fn run(args: &DemoArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    if let Some(option) = globals.given_besides_environment() {
        let says = "it has a configuration and a folder of its own, and leaves nothing behind";
        return Err(BadInput(format!("the demo takes no `{option}`: {says}")).into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    match &args.order {
        Some(order) => runtime.block_on(give(order)),
        None => {
            // What the log says is told better below; RUST_LOG brings it back.
            super::log::start(&LogSection { level: "error".to_owned(), format: LogFormat::Text });
            runtime.block_on(demonstrate(args))
        }
    }
}

async fn give(order: &DemoOrder) -> anyhow::Result<ExitCode> {
    let (order, to) = match order.clone() {
        DemoOrder::Break { provider, mode, to } => (Order::Break { provider, mode }, to),
        DemoOrder::Heal { provider, to } => (Order::Heal { provider }, to),
        DemoOrder::State { to } => (Order::State, to),
    };
    let reply = control::give(&to.socket.unwrap_or_else(control::default_path), &order).await?;
    anstream::println!("{reply}");
    Ok(ExitCode::SUCCESS)
}

async fn demonstrate(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let (zones, socket) = (args.zones.clone(), args.socket.clone());
    let options = Options { zones, listen: args.listen, api: args.api, socket };
    let demo = Demo::start(&options).await.map_err(told_apart)?;
    let code = tokio::select! {
        code = show(&demo, &options, args.once) => Ok(code),
        interrupted = until_interrupted() => interrupted.map(|()| ExitCode::SUCCESS),
    };
    demo.stop().await;
    code
}

/// Zones that cannot be served are bad input; everything that is wrong with them is told.
fn told_apart(error: DemoError) -> anyhow::Error {
    if let DemoError::Zones(faults) = &error {
        for fault in faults {
            anstream::eprintln!("{}", fault.render(Colour::Never));
        }
    }
    match error {
        DemoError::Zones(_) | DemoError::NothingSteered(_) => BadInput(error.to_string()).into(),
        other => other.into(),
    }
}

/// Returns when Ctrl-C is pressed, or SIGTERM comes.
async fn until_interrupted() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    anstream::println!();
    Ok(())
}

/// The banner, the story, and with `once` its outcome; else all that happens until somebody ends it.
async fn show(demo: &Demo, options: &Options, once: bool) -> ExitCode {
    let story = Story::with(&demo.names);
    banner(demo, options, story.as_ref());
    let outcome = match &story {
        Some(story) => tell(demo, story).await,
        None => {
            anstream::println!(
                "These zones have no name for the story: it needs one that answers with CNAMEs, and whose"
            );
            anstream::println!("first level of candidates holds a provider of the European Union and one of the US.\n");
            Outcome::Failed
        }
    };
    if once {
        return if outcome == Outcome::CameTrue { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    anstream::println!("It goes on until Ctrl-C, and tells what happens. From another terminal:\n");
    for order in ["break bunny", "break fastly nxdomain", "break gcore expired-cert", "heal bunny"] {
        anstream::println!("  {} demo {order}{}", program(), socket_option(demo));
    }
    anstream::println!();
    follow(demo).await
}

fn banner(demo: &Demo, options: &Options, story: Option<&Story>) {
    anstream::println!(
        "{HEADING}Pointsman{HEADING:#}: the real server before simulated providers, on this machine alone\n"
    );
    ways_in(demo, options, story);
    anstream::println!("\n{HEADING}Names{HEADING:#}\n");
    for name in &demo.names {
        row(name.name.trim_end_matches('.'), &candidates(name));
    }
    anstream::println!(
        "\n{HEADING}Providers{HEADING:#}, on port {} instead of 443\n",
        demo.internet.edges.https_port()
    );
    for player in &demo.internet.cast.players {
        let addresses: Vec<_> = player.addresses.iter().map(ToString::to_string).collect();
        row(&player.id, &format!("{:18} {}  {}", player.name, player.home, addresses.join(", ")));
    }
    for left_out in &demo.internet.cast.left_out {
        row("left out", &format!("{left_out}: its addresses are not on this machine"));
    }
    anstream::println!();
}

fn ways_in(demo: &Demo, options: &Options, story: Option<&Story>) {
    let (dns, api) = (demo.dns_address(), demo.api_address());
    let name = story.map(|story| &story.name).or_else(|| demo.names.first().map(|name| &name.name));
    let name = name.map_or(".", |name| name.trim_end_matches('.'));
    row("ask it", &format!("dig @{} -p {} {name}", dns.ip(), dns.port()));
    row("its API", &format!("curl 'http://{api}/v1/explain?name={name}'"));
    for (what, wanted, got) in [("DNS", options.listen.port(), dns.port()), ("the API", options.api.port(), api.port())]
    {
        if wanted != got && wanted != 0 {
            row("", &format!("port {wanted} is taken: {what} is on {got}"));
        }
    }
    let shortened = SHORTENED.map(|(field, ours, usual)| format!("{field}={ours} (usually {usual})"));
    row("shortened", &format!("{}, for the demo alone", shortened.join(", ")));
    row("its state", &format!("{} --data {} status", program(), demo.data_folder().display()));
}

fn row(left: &str, right: &str) {
    anstream::println!("  {left:22} {right}");
}

/// `prefer any: bunny 60, cloudflare 40, gcore on standby`.
fn candidates(name: &SteeredName) -> String {
    let each = name.candidates.iter().map(|candidate| match candidate.standby {
        true => format!("{} on standby", candidate.id),
        false => format!("{} {}", candidate.id, candidate.weight),
    });
    let prefer: Vec<_> = name.policy.prefer.iter().map(ToString::to_string).collect();
    format!("prefer {}: {}", prefer.join(", "), each.collect::<Vec<_>>().join(", "))
}

async fn tell(demo: &Demo, story: &Story) -> Outcome {
    anstream::println!("{HEADING}5 December 2025, in short{HEADING:#}\n");
    let outcome = play::play(story, demo.stage(), |told| print(&told)).await;
    match outcome {
        Outcome::CameTrue => anstream::println!("\n  {GOOD}All of it came true.{GOOD:#}\n"),
        Outcome::Failed => anstream::println!("\n  {BAD}The story did not come true.{BAD:#}\n"),
    }
    outcome
}

fn print(told: &Told) {
    match told {
        Told::Step { at, says } => anstream::println!("{}  {HEADING}{says}{HEADING:#}", clock(*at)),
        Told::Saw { at, what } => print_seen(*at, what),
        Told::Missed { at, why } => anstream::println!("{}    {BAD}no: {why}{BAD:#}", clock(*at)),
    }
}

fn print_seen(at: Duration, what: &str) {
    let (seen, explained) = what.split_once('\n').unwrap_or((what, ""));
    anstream::println!("{QUIET}{}{QUIET:#}    {seen}", clock(at));
    if !explained.is_empty() {
        anstream::println!("{:21}{QUIET}{explained}{QUIET:#}", "");
    }
}

/// Seconds since the beginning.
fn clock(at: Duration) -> String {
    format!("{:6.1} s", at.as_secs_f64())
}

/// Tells of orders and of what Pointsman makes of them, for ever.
async fn follow(demo: &Demo) -> ! {
    let began = Instant::now();
    let modes =
        || demo.internet.modes.iter().map(|(id, mode)| (id.clone(), mode)).collect::<BTreeMap<Arc<str>, Mode>>();
    let mut before = modes();
    let mut seen = None;
    loop {
        let now = modes();
        for (id, mode) in now.iter().filter(|(id, mode)| before.get(*id) != Some(*mode)) {
            print(&Told::Step { at: began.elapsed(), says: format!("{id} is now {mode}") });
        }
        before = now;
        if let Ok(events) = play::events(demo.api_address()).await {
            let last = events.last().map(|event| event.id);
            // What was there before is the story's, and was told.
            for event in events.iter().filter(|event| seen.is_some_and(|seen| event.id > seen)) {
                print(&Told::Saw { at: began.elapsed(), what: play::describe(event) });
            }
            seen = Some(last.or(seen).unwrap_or(0));
        }
        sleep(POLL).await;
    }
}

/// How this program was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "pointsman".to_owned())
}

/// What an order must say where the usual socket belongs to another demo.
fn socket_option(demo: &Demo) -> String {
    let path = demo.control.path();
    if path == control::default_path() { String::new() } else { format!(" --socket {}", path.display()) }
}
