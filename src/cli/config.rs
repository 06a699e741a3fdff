//! `pointsman config`: print the configuration with every default and its meaning, or check a file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::BadInput;
use crate::config::{COMMENTED, Config};
use crate::image::areas::database::Database;
use crate::zone::diagnostic::{Diagnostic, Severity};

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
    let config = Config::load(file)?;
    if let Some(fault) = faults(&config).first() {
        return Err(BadInput(format!("{}: areas.database: {}: {}", file.display(), fault.file, fault.message)).into());
    }
    anstream::println!("{}: good", file.display());
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the files that a configuration leads to: the server would start, and say the same.
pub fn faults(config: &Config) -> Vec<Diagnostic> {
    let database = config.area_database().into_iter();
    let faults = database.filter_map(|path| {
        let error = Database::read(&path).err()?;
        let message = format!("the database of countries cannot be used: {error}");
        Some(Diagnostic::of_file(Severity::Error, path.display().to_string(), message))
    });
    faults.collect()
}
