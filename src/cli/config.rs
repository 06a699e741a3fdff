//! `pointsman config`: print the configuration with every default and its meaning, or check a file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{COMMENTED, Config};

/// Print the configuration with every default and its meaning
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Check this file instead
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let Some(file) = &args.check else {
        anstream::print!("{COMMENTED}");
        return Ok(ExitCode::SUCCESS);
    };
    Config::load(file)?;
    anstream::println!("{}: good", file.display());
    Ok(ExitCode::SUCCESS)
}
