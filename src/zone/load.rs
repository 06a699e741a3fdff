//! One zone from its text: read, checked, its steering records understood.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::faults;
use super::log::Log;
use super::name::Name;
use super::reader::{self, Reading};
use super::record::Record;
use super::record::Zone;
use super::records::Records;
use super::sources::{self, Library, Sources};
use super::steering::defaults::Defaults;
use super::steering::targets::{self, Site};
use super::steering::{self, Draft, Known, Rules};
use super::texts::Texts;
use crate::steer::provider::Providers;

/// What zones are checked against.
#[derive(Clone, Debug)]
pub struct Settings {
    pub providers: Providers,
    /// Policy fields of the configuration.
    pub defaults: Defaults,
    /// Named sets of the configuration; `eea` and `eu27` are known besides.
    pub areas: Vec<String>,
}

impl Default for Settings {
    /// The providers that ship with the program, nothing else.
    fn default() -> Self {
        Self { providers: Providers::known(), defaults: Defaults::default(), areas: Vec::new() }
    }
}

/// One zone, good or not.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub origin: Name,
    pub path: PathBuf,
    pub texts: Texts,
    /// None when there is any error.
    pub zone: Option<Zone>,
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// Nothing could be read.
    pub(super) fn failed(origin: Name, path: PathBuf, diagnostic: Diagnostic) -> Self {
        Self {
            origin,
            path,
            texts: Texts { main: String::new(), files: std::collections::BTreeMap::new() },
            zone: None,
            diagnostics: vec![diagnostic],
        }
    }
}

/// Reads one file, whose folder is the one that includes may not leave. Without an origin, the name of the file is it.
pub fn load_file(path: &Path, origin: Option<Name>, settings: &Settings) -> Loaded {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = path.display().to_string();
    let key = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let origin = match origin.map_or_else(|| origin_of(&key), Ok) {
        Ok(origin) => origin,
        Err(message) => {
            return Loaded::failed(Name::root(), path.to_owned(), Diagnostic::of_file(Severity::Error, shown, message));
        }
    };
    match sources::read(path) {
        Ok(octets) => {
            read(Sources::new(key, shown, octets), &Library::Folder(folder), origin, path.to_owned(), settings)
        }
        Err(error) => {
            let message = format!("cannot read the file: {error}");
            Loaded::failed(origin, path.to_owned(), Diagnostic::of_file(Severity::Error, shown, message))
        }
    }
}

/// Reads a stored zone again, without its folder.
pub fn load_texts(origin: &Name, texts: &Texts, settings: &Settings) -> Loaded {
    let octets = texts.files.get(&texts.main).cloned().unwrap_or_default();
    let sources = Sources::new(texts.main.clone(), texts.main.clone(), octets);
    read(sources, &Library::Texts(texts), origin.clone(), PathBuf::from(&texts.main), settings)
}

/// Reads a text that includes nothing.
pub fn read_text(origin: &Name, text: &[u8], settings: &Settings) -> Loaded {
    let main = "text".to_owned();
    let texts = Texts { main: main.clone(), files: [(main, text.to_vec())].into() };
    load_texts(origin, &texts, settings)
}

/// The origin that a file's name says: the name with or without `.zone` (design, section 7).
pub fn origin_of(file: &str) -> Result<Name, String> {
    let stem = file.strip_suffix(".zone").unwrap_or(file);
    Name::from_text(stem.as_bytes(), &Name::root()).map_err(|error| format!("the file's name is no origin: {error}"))
}

fn read(sources: Sources, library: &Library<'_>, origin: Name, path: PathBuf, settings: &Settings) -> Loaded {
    let mut one = [Unfinished::read(sources, library, origin, path, settings)];
    check_targets(&mut one);
    let [one] = one;
    one.finish()
}

/// A zone whose targets have not been followed: that needs all zones that are read together.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub origin: Name,
    pub path: PathBuf,
    records: Vec<Record>,
    sources: Sources,
    steered: Vec<Draft>,
    pub log: Log,
}

impl Unfinished {
    pub(super) fn read(
        sources: Sources,
        library: &Library<'_>,
        origin: Name,
        path: PathBuf,
        settings: &Settings,
    ) -> Self {
        let Reading { mut records, mut places, sources, mut log } = reader::read(sources, library, &origin);
        faults::check(&mut records, &mut places, &origin, &mut log);
        let known = Known { providers: &settings.providers, areas: &settings.areas };
        let rules = Rules { known, defaults: &settings.defaults };
        let steered = steering::read(&records, &places, &sources, &origin, rules, &mut log);
        Self { origin, path, records, sources, steered, log }
    }

    /// The key of its main file, and of those that it includes.
    pub(super) fn key(&self) -> &str {
        self.sources.keys().next().unwrap_or_default()
    }

    pub(super) fn included(&self) -> Vec<String> {
        self.sources.keys().skip(1).map(str::to_owned).collect()
    }

    pub(super) fn finish(self) -> Loaded {
        let good = self.log.errors() == 0;
        let diagnostics = self.log.diagnostics(&self.sources);
        let zone = good.then(|| Zone {
            origin: self.origin.clone(),
            records: Records::new(&self.origin, self.records),
            steered: self.steered.into_iter().map(|draft| Arc::new(draft.name)).collect(),
        });
        Loaded { origin: self.origin, path: self.path, texts: self.sources.into_texts(), zone, diagnostics }
    }
}

/// Follows the targets of steered names through all these zones.
pub(super) fn check_targets(zones: &mut [Unfinished]) {
    if zones.iter().all(|zone| zone.steered.is_empty()) {
        return;
    }
    let sites: Vec<Site<'_>> = zones.iter().map(|zone| Site::new(&zone.origin, &zone.records, &zone.steered)).collect();
    for finding in targets::check(&sites) {
        if let Some(zone) = zones.get_mut(finding.zone) {
            finding.tell(&mut zone.log);
        }
    }
}
