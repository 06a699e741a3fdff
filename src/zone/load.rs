//! One zone from its text: read, checked, its steering records understood.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::faults;
use super::name::Name;
use super::reader::{self, Reading};
use super::record::Zone;
use super::sources::{self, Library, Sources};
use super::steering::defaults::Defaults;
use super::steering::targets::{self, Contents, Site};
use super::steering::{self, Draft, Known, Rules};
use super::texts::{Shelf, Texts};
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

/// One zone, good or not; `C` is what was made of it.
#[derive(Clone, Debug)]
pub struct Loaded<C = Zone> {
    pub origin: Name,
    pub path: PathBuf,
    /// Empty where nothing has changed.
    pub texts: Texts,
    /// Tells the texts apart from others within one run of the program.
    pub digest: u64,
    /// The files that the main one includes, by their paths relative to the zones folder.
    pub included: Vec<String>,
    /// The texts are those that were known, and nothing was read but they.
    pub unchanged: bool,
    /// None when there is any error.
    pub zone: Option<C>,
    pub diagnostics: Vec<Diagnostic>,
}

impl<C> Loaded<C> {
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// Nothing could be read.
    pub(super) fn failed(origin: Name, path: PathBuf, diagnostic: Diagnostic) -> Self {
        Self {
            origin,
            path,
            texts: Texts::default(),
            digest: 0,
            included: Vec::new(),
            unchanged: false,
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
    let octets = texts.files.get(&texts.main).unwrap_or_default().to_vec();
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
    let mut one = Unfinished::read(sources, library, origin, path, settings);
    check_targets::<Zone>(&mut [&mut one], &[]);
    one.finish(&Shelf::default(), |zone, _| zone)
}

/// A zone whose targets have not been followed: that needs all zones that are read together.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub origin: Name,
    pub path: PathBuf,
    reading: Reading,
    steered: Vec<Draft>,
}

impl Unfinished {
    pub(super) fn read(
        sources: Sources,
        library: &Library<'_>,
        origin: Name,
        path: PathBuf,
        settings: &Settings,
    ) -> Self {
        let mut reading = reader::read(sources, library, &origin);
        faults::check(&mut reading, &origin);
        let known = Known { providers: &settings.providers, areas: &settings.areas };
        let rules = Rules { known, defaults: &settings.defaults };
        let steered = steering::read(&mut reading, &origin, rules);
        Self { origin, path, reading, steered }
    }

    /// The keys of the files that its main one includes.
    pub(super) fn included(&self) -> Vec<String> {
        self.reading.sources.keys().skip(1).map(str::to_owned).collect()
    }

    /// Whether its targets may still turn out to be wrong, or its records are needed for following those of others.
    pub(super) fn waits(&self) -> bool {
        !self.steered.is_empty() || self.reading.log.errors() > 0
    }

    /// What `make` makes of the zone, if it is good, and of the digest of its texts; these go to the shelf.
    pub(super) fn finish<C>(self, shelf: &Shelf, make: impl FnOnce(Zone, u64) -> C) -> Loaded<C> {
        let Self { origin, path, reading, steered } = self;
        let Reading { mut records, index, places, sources, log, .. } = reading;
        let good = log.errors() == 0;
        let diagnostics = log.diagnostics(&sources);
        let digest = sources.digest();
        let included = sources.keys().skip(1).map(str::to_owned).collect();
        // What is made of the records takes as much room as they: all else goes first.
        drop((index, places));
        let zone = good.then(|| {
            records.shrink();
            let steered = steered.into_iter().map(|draft| Arc::new(draft.name)).collect();
            make(Zone { origin: origin.clone(), records, steered }, digest)
        });
        let texts = sources.into_texts(shelf);
        Loaded { origin, path, texts, digest, included, unchanged: false, zone, diagnostics }
    }
}

/// Follows the targets of steered names through all these zones.
pub(super) fn check_targets<C: Contents>(zones: &mut [&mut Unfinished], compiled: &[&C]) {
    if zones.iter().all(|zone| zone.steered.is_empty()) {
        return;
    }
    let read = zones.iter().map(|zone| Site::Read { names: zone.reading.names(), drafts: &zone.steered });
    let compiled = compiled.iter().map(|zone| Site::Compiled(*zone));
    let sites: Vec<Site<'_>> = read.chain(compiled).collect();
    for finding in targets::check(&sites) {
        if let Some(zone) = zones.get_mut(finding.zone) {
            finding.tell(&mut zone.reading.log);
        }
    }
}
