//! `pointsman check`: reads zone files as the server would, and tells all that is wrong with them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::online::{self, TargetReport, Used};
use crate::health::{self, StartError};
use crate::zone::diagnostic::{Colour, Diagnostic, Severity};
use crate::zone::folder::{Folder, Loaded, Settings, load_file, load_folder};
use crate::zone::name::Name;

/// Check zone files and their steering records
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// How to tell what is wrong: `text` for people, `json` for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = true)]
    pub format: CheckFormat,
    /// The origin of the zone, whatever the name of the file; takes one file
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,
    /// Ask for every target too: whether it resolves, and whether clients far from here are led to edges near them (up to 2 min)
    #[arg(long)]
    pub online: bool,
    /// The folder to check when no file is given
    #[arg(long, value_name = "DIR", default_value = "./zones")]
    pub zones: PathBuf,
    /// Zone files; without any, all of the folder
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Lines with carets, for people
    #[default]
    Text,
    /// One JSON document, for programs
    Json,
}

/// What was found; the JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Zones without errors.
    pub good: usize,
    /// Zones with errors.
    pub bad: usize,
    pub records: usize,
    pub steered_names: usize,
    pub errors: usize,
    pub warnings: usize,
    pub diagnostics: Vec<Diagnostic>,
    /// What asking for targets has found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetReport>,
    /// Targets of flattened names that asking might tell more of.
    #[serde(skip)]
    pub to_ask: usize,
}

/// Checks and prints to standard output: 0 when there are no errors, else 2.
/// `others` was found before, in what the configuration leads to; `asking` is how targets are asked for, if they are to be.
///
/// # Errors
///
/// Targets cannot be asked for from here.
pub fn run(
    args: &CheckArgs,
    settings: &Settings,
    others: Vec<Diagnostic>,
    asking: health::Settings,
) -> Result<ExitCode, StartError> {
    let folder = match read(args, settings) {
        Ok(folder) => folder,
        Err(message) => {
            let _ = writeln!(anstream::stderr(), "error: {message}");
            return Ok(ExitCode::from(2));
        }
    };
    let targets = online::targets_of(&folder);
    let mut report = Report::new(folder).with(others);
    if args.online {
        report.ask(&targets, asking)?;
    } else {
        report.to_ask = online::unknown_flattened(&targets);
    }
    let text = match args.format {
        CheckFormat::Json => report.json(),
        // What prints it takes the colours away where no terminal is.
        CheckFormat::Text => report.text(Colour::Always),
    };
    // A reader that is gone has seen what it wanted; the exit code still tells.
    let _ = anstream::stdout().write_all(text.as_bytes());
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Reads what the arguments name, and checks it.
pub fn check(args: &CheckArgs, settings: &Settings) -> Result<Report, String> {
    read(args, settings).map(Report::new)
}

fn read(args: &CheckArgs, settings: &Settings) -> Result<Folder, String> {
    let origin = args.origin.as_deref().map(origin).transpose()?;
    if origin.is_some() && args.files.len() != 1 {
        return Err("`--origin` needs one FILE".to_owned());
    }
    if args.files.is_empty() {
        return Ok(load_folder(&args.zones, settings));
    }
    let zones = args.files.iter().map(|file| file_of(file, origin.as_ref(), settings)).collect();
    Ok(Folder { zones, diagnostics: Vec::new() })
}

fn origin(text: &str) -> Result<Name, String> {
    Name::from_text(text.as_bytes(), &Name::root()).map_err(|error| format!("`{text}` is no origin: {error}"))
}

fn file_of(file: &Path, origin: Option<&Name>, settings: &Settings) -> Loaded {
    load_file(file, origin.cloned(), settings)
}

impl Report {
    fn new(folder: Folder) -> Self {
        let good: Vec<_> = folder.zones.iter().filter_map(|loaded| loaded.zone.as_ref()).collect();
        let (count, records) = (good.len(), good.iter().map(|zone| zone.records.len()).sum());
        let steered_names = good.iter().map(|zone| zone.steered.len()).sum();
        let bad = folder.zones.len() - count;
        let mut diagnostics = folder.diagnostics;
        // What the folder says of a file need not be said by the file again.
        for diagnostic in folder.zones.into_iter().flat_map(|loaded| loaded.diagnostics) {
            if diagnostic.line != 0 || !diagnostics.contains(&diagnostic) {
                diagnostics.push(diagnostic);
            }
        }
        let (errors, warnings) = counts(&diagnostics);
        let (targets, to_ask) = (Vec::new(), 0);
        Self { good: count, bad, records, steered_names, errors, warnings, diagnostics, targets, to_ask }
    }

    /// Adds what asking for targets finds.
    fn ask(&mut self, targets: &[Used], asking: health::Settings) -> Result<(), StartError> {
        let allow_private = asking.allow_private;
        let names: Vec<_> = targets.iter().map(|used| used.target.clone()).collect();
        let examined = health::online::examine(asking, &names)?;
        let (reports, diagnostics) = online::report(targets, &examined, allow_private);
        let (errors, warnings) = counts(&diagnostics);
        (self.errors, self.warnings) = (self.errors + errors, self.warnings + warnings);
        self.diagnostics.extend(diagnostics);
        self.targets = reports;
        Ok(())
    }

    /// The same with these errors before its own.
    fn with(mut self, others: Vec<Diagnostic>) -> Self {
        self.errors += others.len();
        self.diagnostics.splice(..0, others);
        self
    }

    /// For people: every diagnostic in rustc's manner, then a line that sums up.
    pub fn text(&self, colour: Colour) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&diagnostic.render(colour));
            text.push_str("\n\n");
        }
        if !self.targets.is_empty() {
            text.push_str(&online::text(&self.targets));
            text.push('\n');
        }
        if self.to_ask > 0 {
            let targets = counted(self.to_ask, "target");
            let hint = "whether clients far from this server are led to edges near them is told by `--online`";
            text.push_str(&format!("{targets} of flattened names: {hint}\n"));
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    fn summary(&self) -> String {
        let zones = counted(self.good + self.bad, "zone");
        let records = counted(self.records, "record");
        let names = counted(self.steered_names, "steered name");
        let found = format!("{}, {}", counted(self.errors, "error"), counted(self.warnings, "warning"));
        match self.bad {
            0 => format!("{zones} good: {records}, {names}; {found}"),
            bad => format!("{bad} of {zones} with errors; {found}"),
        }
    }

    /// For programs.
    pub fn json(&self) -> String {
        // Strings and numbers alone: this does not fail.
        serde_json::to_string_pretty(self).map_or_else(|error| error.to_string(), |text| text + "\n")
    }
}

/// Errors and warnings.
fn counts(diagnostics: &[Diagnostic]) -> (usize, usize) {
    let count_of = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    (count_of(Severity::Error), count_of(Severity::Warning))
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
