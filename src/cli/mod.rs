//! The command line: one file a subcommand.
//!
//! A subcommand is a struct of arguments and a function `run(&Args, &Globals) -> anyhow::Result<ExitCode>`. Exit codes:
//! 0 fine, 1 failed while running, 2 bad usage or input ([`BadInput`], and what the server calls bad).
//!
//! `status`, `zones`, `explain`, `events`, `jurisdiction`, `drain`, `pin`, `freeze`, `drill` and `release` are clients of the API: they find the server by
//! its control socket, or by `--api`, ask, and print a table for people or the API's documents for programs.

pub mod check;
mod client;
mod config;
mod demo;
mod drills;
mod events;
mod explain;
mod export;
mod jurisdiction;
pub mod log;
mod names;
pub mod online;
mod overrides;
mod print;
mod radius;
mod replay;
mod serve;
mod status;
mod table;
mod text;
mod zones;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use self::client::ClientError;
use crate::config::ConfigError;

/// The configuration that is read where `--config` does not say otherwise, if it is there.
pub const DEFAULT_CONFIG: &str = "/etc/pointsman/pointsman.toml";
/// The data folder where `--data` does not say otherwise.
pub const DEFAULT_DATA: &str = "./data";

/// An authoritative DNS server that steers names between CDN providers by health verdicts.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Configuration file [default: /etc/pointsman/pointsman.toml if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "POINTSMAN_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data folder: the store, the token, the control socket [default: ./data]
    #[arg(long, global = true, value_name = "FOLDER", env = "POINTSMAN_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
}

impl Globals {
    /// The configuration file: the one given, else the default one if it is there.
    pub fn config(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_CONFIG)).filter(|path| path.exists()))
    }

    /// The first of these options that was given on the command line: what the environment says is for other commands.
    pub fn given_besides_environment(&self) -> Option<&'static str> {
        let options = [("--config", &self.config, "POINTSMAN_CONFIG"), ("--data", &self.data, "POINTSMAN_DATA")];
        let mut given = options.into_iter().filter(|(_, path, variable)| {
            path.is_some() && path.as_deref() != std::env::var_os(variable).as_deref().map(Path::new)
        });
        given.next().map(|(option, ..)| option)
    }

    /// The data folder, if one was given.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Try it: simulated providers, the real server, and an outage in short
    Demo(demo::DemoArgs),
    /// Check zone files
    Check(check::CheckArgs),
    /// Show the state: the server, providers and names, or one of them
    Status(status::StatusArgs),
    /// List the zones: state, serial, records
    Zones(zones::ZonesArgs),
    /// Tell what would be answered, and every step why
    Explain(explain::ExplainArgs),
    /// Take a provider, a candidate, a name, a zone, or all that a pattern matches out of the answers
    Drain(overrides::DrainArgs),
    /// Answer a name with one candidate alone, whatever its verdict
    Pin(overrides::PinArgs),
    /// Keep all answers as they are, or those of a name or a zone
    Freeze(overrides::FreezeArgs),
    /// Move a small part of a provider's clients to the others for a while, to see that they can take them; list drills, and
    /// print the record of one
    Drill(overrides::DrillArgs),
    /// End an override
    Release(overrides::ReleaseArgs),
    /// Show what changed, newest first
    Events(events::EventsArgs),
    /// Play an outage in simulated time, and tell what visitors would have met
    Replay(replay::ReplayArgs),
    /// Tell for how long and how often which provider answered, under which law
    Jurisdiction(jurisdiction::JurisdictionArgs),
    /// Print the configuration with every default and its meaning, or check a file
    Config(config::ConfigArgs),
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// The API's documents, for programs
    Json,
}

/// What the user gave cannot be used: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// The command line as clap knows it: what documents say about it is checked against this.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments, runs the subcommand, and says with which code to exit.
pub fn run() -> ExitCode {
    // clap exits by itself: with 0 after --help and --version, with 2 after bad usage.
    let Cli { globals, command } = Cli::parse();
    dispatch(&command, &globals).unwrap_or_else(|error| {
        print::error(&error);
        ExitCode::from(code_of(&error))
    })
}

fn dispatch(command: &Command, globals: &Globals) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args, globals),
        Command::Demo(args) => demo::run(args, globals),
        Command::Check(args) => check(args, globals),
        Command::Config(args) => config::run(args),
        Command::Status(args) => status::run(args, globals),
        Command::Zones(args) => zones::run(args, globals),
        Command::Explain(args) => explain::run(args, globals),
        Command::Drain(args) => overrides::drain(args, globals),
        Command::Pin(args) => overrides::pin(args, globals),
        Command::Freeze(args) => overrides::freeze(args, globals),
        Command::Drill(args) => overrides::drill(args, globals),
        Command::Release(args) => overrides::release(args, globals),
        Command::Events(args) => events::run(args, globals),
        Command::Replay(args) => replay::run(args, globals),
        Command::Jurisdiction(args) => jurisdiction::run(args, globals),
    }
}

/// Zones are checked with the providers and defaults of the configuration, and what that leads to with them.
fn check(args: &check::CheckArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let (config, _) = serve::load_config(globals)?;
    let asking = config.health_settings(config.vantage().into());
    Ok(check::run(args, &config.zone_settings(), config::faults(&config), asking)?)
}

fn code_of(error: &anyhow::Error) -> u8 {
    let bad = error.is::<BadInput>()
        || error.is::<ConfigError>()
        || error.downcast_ref::<ClientError>().is_some_and(ClientError::is_bad_input);
    if bad { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn input_and_running_are_told_apart() {
        assert_eq!(code_of(&BadInput("no".to_owned()).into()), 2);
        assert_eq!(code_of(&anyhow::anyhow!("disk full")), 1);
        let refused = |status| ClientError::Refused { status, detail: String::new() }.into();
        for (status, code) in [(400, 2), (404, 2), (409, 2), (422, 2), (401, 1), (500, 1), (503, 1)] {
            assert_eq!(code_of(&refused(status)), code, "{status}");
        }
    }
}
