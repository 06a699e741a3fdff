//! The zones that are served, and how a reload changes them: all or nothing, for each zone by itself.
//!
//! | the file now | served so far | kept text | then |
//! | --- | --- | --- | --- |
//! | good | anything | | the file: serving |
//! | broken | a zone | | that zone goes on: stale |
//! | broken | nothing | good | the kept text: stale |
//! | broken | nothing | none, or broken too | SERVFAIL: broken |
//! | gone, the folder readable | anything | | no longer served |
//! | the folder unreadable | anything | | everything goes on as it is |

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::view::ZoneState;
use crate::image::{self, CompiledZone, Image};
use crate::steer::policy::SteeredName;
use crate::steer::time::Time;
use crate::store::KeptTexts;
use crate::zone::diagnostic::{Diagnostic, Severity};
use crate::zone::folder::{Known, Loaded, Plan, Settings, load_folder_as, load_texts};
use crate::zone::name::Name;
use crate::zone::texts::Texts;

/// All zones by origin: presentation format, lower case, absolute.
pub type Zones = BTreeMap<Box<str>, Entry>;

/// One zone as it is served now. There may be 100,000 of them: what most zones have in common, or have not, takes little room.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is served; none: SERVFAIL.
    pub zone: Option<Arc<CompiledZone>>,
    pub state: ZoneState,
    /// When what is served was read.
    pub loaded: Option<Time>,
    folder: Arc<Path>,
    /// Its path below the folder.
    file: Box<str>,
    /// None where it would be empty.
    about: Option<Box<About>>,
    /// Of the text that is served.
    digest: u64,
    /// Of the settings that it was read against.
    settings: u64,
}

/// What most files have nothing of.
#[derive(Clone, Debug)]
struct About {
    /// What there is to say of the file as it is now.
    diagnostics: Vec<Diagnostic>,
    /// The files that it includes.
    included: Vec<String>,
}

impl About {
    fn new(diagnostics: Vec<Diagnostic>, included: Vec<String>) -> Option<Box<Self>> {
        let is_some = !diagnostics.is_empty() || !included.is_empty();
        is_some.then(|| Box::new(Self { diagnostics, included }))
    }
}

impl Entry {
    pub fn file(&self) -> PathBuf {
        self.folder.join(&*self.file)
    }

    /// What there is to say of the file as it is now.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        self.about.as_ref().map_or(&[], |about| &about.diagnostics)
    }

    /// How many errors the file has now.
    pub fn errors(&self) -> usize {
        count(self.diagnostics(), Severity::Error)
    }

    pub fn warnings(&self) -> usize {
        count(self.diagnostics(), Severity::Warning)
    }

    fn included(&self) -> &[String] {
        self.about.as_ref().map_or(&[], |about| &about.included)
    }

    /// Whether it is of the file at this path.
    fn is_of(&self, path: &Path) -> bool {
        path.parent() == Some(&*self.folder) && path.file_name().is_some_and(|name| name == &*self.file)
    }
}

/// What a load starts from; it runs on a blocking thread.
#[derive(Clone, Debug)]
pub struct Load {
    pub folder: Arc<Path>,
    pub zones: Settings,
    pub image: image::Settings,
    pub current: Arc<Zones>,
    /// The texts that zones were last good with.
    pub kept: KeptTexts,
    pub now: Time,
    /// How many threads read and compile.
    pub threads: NonZeroUsize,
}

/// What a load found: the whole of what is served from now on.
#[derive(Debug)]
pub struct LoadOutcome {
    pub zones: Zones,
    pub image: Image,
    pub steered: Vec<Arc<SteeredName>>,
    /// The folder could be read: what is not in `zones` is served no longer.
    pub folder_read: bool,
    /// Good texts that differ from what was served, or could not be kept before: to be kept.
    pub fresh: Vec<(String, Texts)>,
    /// Zone files that were read.
    pub read: usize,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// One line each.
    pub errors: Vec<String>,
    pub warnings: usize,
}

impl Load {
    /// Reads the folder and compiles what comes of it.
    pub fn run(self) -> LoadOutcome {
        let mut outcome = LoadOutcome {
            zones: Zones::new(),
            image: Image::default(),
            steered: Vec::new(),
            folder_read: false,
            fresh: Vec::new(),
            read: 0,
            changed: Vec::new(),
            removed: Vec::new(),
            errors: Vec::new(),
            warnings: 0,
        };
        match std::fs::read_dir(&self.folder) {
            Ok(_) => self.read_folder(&mut outcome),
            Err(error) => self.keep_all(&mut outcome, &error),
        }
        let served: Vec<Arc<CompiledZone>> = outcome.zones.values().filter_map(|entry| entry.zone.clone()).collect();
        let broken = outcome.zones.iter().filter(|(_, entry)| entry.zone.is_none());
        let broken: Vec<Name> = broken.filter_map(|(origin, _)| name_of(origin)).collect();
        outcome.image = Image::build(&served, &broken, &self.image);
        outcome.steered = steered(&served);
        // What is wrong with two files together is said of the folder, and of each.
        let mut told = BTreeSet::new();
        outcome.errors.retain(|error| told.insert(error.clone()));
        outcome
    }

    fn read_folder(&self, outcome: &mut LoadOutcome) {
        outcome.folder_read = true;
        let settings = settings_digest(&self.zones);
        let compile = |zone| Arc::new(CompiledZone::compile(zone));
        let known = |origin: &Name, file: &Path| self.known(origin, file, settings);
        let plan = Plan { threads: self.threads, compile: &compile, known: &known };
        let folder = load_folder_as(&self.folder, &self.zones, &plan);
        outcome.errors.extend(folder.diagnostics.iter().map(Diagnostic::to_string));
        outcome.read = folder.zones.len();
        let mut entries = Vec::with_capacity(folder.zones.len());
        for loaded in folder.zones {
            if loaded.origin.is_root() && loaded.zone.is_none() {
                // The name of the file is no origin: there is no zone that it could be an error of.
                outcome.errors.extend(loaded.diagnostics.iter().map(Diagnostic::to_string));
                continue;
            }
            let origin = loaded.origin.to_lowercase().to_string();
            let entry = self.entry(&origin, loaded, settings, outcome);
            outcome.warnings += entry.warnings();
            entries.push((origin.into_boxed_str(), entry));
        }
        // Made of all at once, its nodes are full; made one by one they are half empty.
        outcome.zones = entries.into_iter().collect();
        let gone = self.current.keys().filter(|origin| !outcome.zones.contains_key(*origin));
        outcome.removed = gone.map(ToString::to_string).collect();
    }

    /// What is served of a file need not be read again, unless its octets or the settings are others.
    fn known(&self, origin: &Name, file: &Path, settings: u64) -> Option<Known<'_, Arc<CompiledZone>>> {
        let origin = origin.to_lowercase().to_string();
        let entry = self.current.get(&*origin)?;
        let same = entry.state == ZoneState::Serving && entry.settings == settings && entry.is_of(file);
        // A text that could not be kept is read once more, to be handed over again.
        let same = same && !self.kept.lacks(&origin);
        let zone = entry.zone.as_ref().filter(|_| same)?;
        let (included, diagnostics) = (entry.included(), entry.diagnostics());
        Some(Known { digest: entry.digest, included, zone, diagnostics })
    }

    fn entry(
        &self,
        origin: &str,
        loaded: Loaded<Arc<CompiledZone>>,
        settings: u64,
        outcome: &mut LoadOutcome,
    ) -> Entry {
        let current = self.current.get(origin);
        let Some(zone) = loaded.zone else {
            let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
            outcome.errors.extend(errors.map(Diagnostic::to_string));
            return self.entry_of_broken(origin, loaded, settings);
        };
        let unchanged = current.filter(|entry| entry.digest == loaded.digest && entry.zone.is_some());
        if unchanged.is_none() {
            outcome.changed.push(origin.to_owned());
        }
        if !loaded.unchanged && (unchanged.is_none() || self.kept.lacks(origin)) {
            outcome.fresh.push((origin.to_owned(), loaded.texts));
        }
        Entry {
            // The text may be the same and still say something else, where defaults have changed.
            zone: Some(zone),
            state: ZoneState::Serving,
            folder: self.folder.clone(),
            file: self.file_of(&loaded.path),
            loaded: unchanged.map_or(Some(self.now), |entry| entry.loaded),
            about: About::new(loaded.diagnostics, loaded.included),
            digest: loaded.digest,
            settings,
        }
    }

    /// The file is broken: what is served goes on, else what is kept, else nothing.
    fn entry_of_broken(&self, origin: &str, loaded: Loaded<Arc<CompiledZone>>, settings: u64) -> Entry {
        let mut entry = Entry {
            zone: None,
            state: ZoneState::Broken,
            folder: self.folder.clone(),
            file: self.file_of(&loaded.path),
            loaded: None,
            about: About::new(loaded.diagnostics, loaded.included),
            digest: 0,
            settings,
        };
        if let Some(current) = self.current.get(origin).filter(|current| current.zone.is_some()) {
            entry.zone.clone_from(&current.zone);
            entry.loaded = current.loaded;
            entry.digest = current.digest;
        } else if let Some((zone, digest, _)) = self.kept_zone(origin, &loaded.origin) {
            entry.zone = Some(Arc::new(zone));
            entry.loaded = Some(self.now);
            entry.digest = digest;
        }
        if entry.zone.is_some() {
            entry.state = ZoneState::Stale;
        }
        entry
    }

    /// A path in the folder as entries have it.
    fn file_of(&self, path: &Path) -> Box<str> {
        path.strip_prefix(&self.folder).unwrap_or(path).to_string_lossy().into()
    }

    fn kept_zone(&self, origin: &str, name: &Name) -> Option<(CompiledZone, u64, String)> {
        let texts = self.kept.get(origin)?;
        let loaded = load_texts(name, &texts, &self.zones);
        Some((CompiledZone::compile(loaded.zone?), loaded.digest, texts.main))
    }

    /// The folder cannot be read: everything goes on, at a start with the kept texts.
    fn keep_all(&self, outcome: &mut LoadOutcome, error: &std::io::Error) {
        outcome.errors.push(format!("the zones folder {} cannot be read: {error}", self.folder.display()));
        outcome.zones = Zones::clone(&self.current);
        for entry in outcome.zones.values_mut().filter(|entry| entry.zone.is_some()) {
            entry.state = ZoneState::Stale;
        }
        let kept = if self.current.is_empty() { self.kept.origins() } else { Vec::new() };
        for origin in kept {
            let Some(name) = name_of(&origin) else { continue };
            if let Some((zone, digest, main)) = self.kept_zone(&origin, &name) {
                let entry = Entry {
                    zone: Some(Arc::new(zone)),
                    state: ZoneState::Stale,
                    folder: self.folder.clone(),
                    file: main.into(),
                    loaded: Some(self.now),
                    about: None,
                    digest,
                    settings: settings_digest(&self.zones),
                };
                outcome.zones.entry(origin.into()).or_insert(entry);
            }
        }
    }
}

/// All steered names. A name that stands in a deeper zone too is that zone's.
fn steered(zones: &[Arc<CompiledZone>]) -> Vec<Arc<SteeredName>> {
    let mut names: BTreeMap<&str, &Arc<SteeredName>> = BTreeMap::new();
    for name in zones.iter().flat_map(|zone| zone.steered()) {
        let before = names.entry(&name.name).or_insert(name);
        if before.zone.len() < name.zone.len() {
            *before = name;
        }
    }
    names.into_values().cloned().collect()
}

/// An origin as keys have it.
fn name_of(origin: &str) -> Option<Name> {
    Name::from_text(origin.as_bytes(), &Name::root()).ok()
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
}

/// Tells settings apart within one run of the program.
fn settings_digest(settings: &Settings) -> u64 {
    FixedState::default().hash_one(format!("{settings:?}"))
}
