//! `pointsman serve`: run the server until a signal stops it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Globals;
use crate::config::{Config, ConfigError, ConfigFile};
use crate::server::{self, Server};

/// How long the end waits for threads that block.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Run the server
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The folder of the zone files [default: ./zones]
    #[arg(long, value_name = "DIR")]
    pub zones: Option<PathBuf>,
    /// Answer on this address, over UDP and TCP; may be given more than once [default: 127.0.0.1:5300]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Where the JSON API listens [default: 127.0.0.1:8053]
    #[arg(long, value_name = "ADDR:PORT")]
    pub api: Option<SocketAddr>,
    /// Threads that answer UDP; 0 is one for each core [default: 0]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// The configuration file in force, if there is one, and what it says.
pub fn load_config(globals: &Globals) -> Result<(Config, Option<ConfigFile>), ConfigError> {
    let Some(path) = globals.config() else { return Ok((Config::default(), None)) };
    let config = Config::load(&path)?;
    Ok((config.clone(), Some(ConfigFile { path, at_start: config })))
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let (mut config, file) = load_config(globals)?;
    apply(args, globals.data(), &mut config);
    super::log::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(config, file));
    // A thread that reads zones from a disk which is gone would hold up the end for ever.
    runtime.shutdown_timeout(LAST_MOMENT);
    ended.map(|()| ExitCode::SUCCESS)
}

/// What the command line says wins over the file.
fn apply(args: &ServeArgs, data: Option<&Path>, config: &mut Config) {
    if let Some(zones) = &args.zones {
        config.server.zones.clone_from(zones);
    }
    if let Some(data) = data {
        config.server.data = data.to_owned();
    }
    if !args.listen.is_empty() {
        config.dns.listen.clone_from(&args.listen);
    }
    if let Some(api) = args.api {
        config.api.listen = api;
    }
    if let Some(threads) = args.threads {
        config.dns.threads = threads;
    }
}

async fn serve(config: Config, file: Option<ConfigFile>) -> anyhow::Result<()> {
    // Listened for before anything else: without that, SIGHUP ends the program.
    let mut signals = Signals::new()?;
    let server = tokio::select! {
        server = server::start(config, file) => server?,
        () = signals.end() => return Ok(()),
    };
    for address in server.dns_addresses() {
        tracing::info!(%address, "answering over UDP and TCP");
    }
    tracing::info!(address = %server.api_address(), "the API listens");
    notify(&[sd_notify::NotifyState::Ready]);
    signals.reload_until_end(&server).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => Ok(()),
        () = signals.end() => anyhow::bail!("a second signal cut the stop short"),
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns on SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The same, and asks for a reload on SIGHUP meanwhile; a reload that takes long holds up no stop.
    async fn reload_until_end(&mut self, server: &Server) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => server.ask_for_reload(),
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}

/// Tells systemd; without it, nobody.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}
