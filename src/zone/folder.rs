//! A folder of zone files: one zone a file, whose name says the origin (design, section 7).
//!
//! Not zones: dotfiles, `*~ *.bak *.orig *.swp *.tmp *.inc *.md *.toml *.json`, what another file includes, sub-folders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Severity};
pub use super::load::{Loaded, Settings, load_file, load_texts, origin_of, read_text};
use super::load::{Unfinished, check_targets};
use super::name::Name;
use super::names::ancestors;
use super::parallel::parallel;
use super::record::Zone;
use super::sources::{self, Library, Sources};
pub use super::steering::targets::Contents;
use super::steering::targets::wire;
use super::texts::{Shelf, Texts};
use crate::steer::policy::{SteeredName, Target};

/// Zones of one folder.
pub const MAX_ZONES: usize = 1_000_000;

const NOT_ZONES: [&str; 9] = ["~", ".bak", ".orig", ".swp", ".tmp", ".inc", ".md", ".toml", ".json"];

/// All zones of a folder; `C` is what was made of each.
#[derive(Clone, Debug)]
pub struct Folder<C = Zone> {
    /// By the names of their files.
    pub zones: Vec<Loaded<C>>,
    /// Of the folder itself: unreadable, two files with one origin.
    pub diagnostics: Vec<Diagnostic>,
}

impl<C> Default for Folder<C> {
    fn default() -> Self {
        Self { zones: Vec::new(), diagnostics: Vec::new() }
    }
}

impl<C> Folder<C> {
    /// The first files, so many at most; that there are others is told.
    fn limited(&mut self, folder: &Path, mut files: Vec<Listed>, most: usize) -> Vec<Listed> {
        if files.len() > most {
            let message = format!("{} zone files are more than {most}: the last ones are not read", files.len());
            self.diagnostics.push(Diagnostic::of_file(Severity::Error, folder.display().to_string(), message));
            files.truncate(most);
        }
        files
    }
}

/// What a zone's files came to when they were read last, against the same settings and without an error.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a, C> {
    /// [`Loaded::digest`] of then.
    pub digest: u64,
    pub included: &'a [String],
    pub zone: &'a C,
    pub diagnostics: &'a [Diagnostic],
}

/// How a folder is loaded. Both functions are called on many threads.
pub struct Plan<'a, C> {
    /// At most so many threads.
    pub threads: NonZeroUsize,
    /// What to make of a good zone.
    pub compile: &'a (dyn Fn(Zone) -> C + Sync),
    /// What is known of the file at this path with this origin.
    pub known: &'a (dyn Fn(&Name, &Path) -> Option<Known<'a, C>> + Sync),
}

/// Reads every zone file of a folder on all cores, and follows the targets of steered names through all of them.
pub fn load_folder(folder: &Path, settings: &Settings) -> Folder {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    load_folder_as(folder, settings, &Plan { threads, compile: &|zone| zone, known: &|_, _| None })
}

/// The same, with something made of each zone as soon as it is known to be good, and only where its files have changed.
///
/// What is known is taken as it is where the octets of all the zone's files are the same; a zone that has steered names
/// is read again where its targets may lead elsewhere than before, but is not made again.
pub fn load_folder_as<C>(folder: &Path, settings: &Settings, plan: &Plan<'_, C>) -> Folder<C>
where
    C: Contents + Clone + Send + Sync,
{
    let mut all = Folder::default();
    let files = match files(folder) {
        Ok(files) => all.limited(folder, files, MAX_ZONES),
        Err(error) => {
            let message = format!("cannot read the folder: {error}");
            all.diagnostics.push(Diagnostic::of_file(Severity::Error, folder.display().to_string(), message));
            return all;
        }
    };
    // Without it each file is opened by its path.
    let opened = File::open(folder).ok();
    let (origins, shelf) = (OnceLock::new(), Shelf::default());
    let load = Load { folder, opened, settings, plan, files: &files, origins, shelf };
    let mut steps = parallel(files.iter().collect(), plan.threads, |file| load.step(file));
    leave_out_included(&mut steps);
    follow_targets(&mut steps);
    all.zones = parallel(steps, plan.threads, |step| load.finish(step));
    all.diagnostics.extend(doubles(&mut all.zones));
    all
}

/// A file that may be a zone.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    name: String,
    /// The folder says that it is a file, and no link or device.
    is_file: bool,
}

/// Files that may be zones, sorted.
fn files(folder: &Path) -> std::io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link counts as what it leads to; a broken one is reported when it is read.
        let kind = entry.file_type()?;
        let is_folder = kind.is_dir() || (kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|it| it.is_dir()));
        if !is_folder && is_zone_file(&name) {
            files.push(Listed { name, is_file: kind.is_file() });
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file with this name is taken for a zone.
pub fn is_zone_file(name: &str) -> bool {
    !name.starts_with('.') && !NOT_ZONES.iter().any(|end| name.ends_with(end))
}

/// One load of a folder.
struct Load<'a, 'k, C> {
    folder: &'a Path,
    opened: Option<File>,
    settings: &'a Settings,
    plan: &'a Plan<'k, C>,
    files: &'a [Listed],
    /// Of all files, in wire format and lower case; made when it is first asked for.
    origins: OnceLock<HashSet<Name>>,
    shelf: Shelf,
}

/// How far one file has come.
enum Step<C> {
    Done(Loaded<C>),
    /// Its targets, or those that lead to it, have to be followed.
    Waiting(Box<Unfinished>),
}

impl<C: Contents + Clone> Load<'_, '_, C> {
    fn step(&self, Listed { name: file, is_file }: &Listed) -> Step<C> {
        let path = self.folder.join(file);
        let shown = path.display().to_string();
        let failed = |origin: Name, message: String| {
            Step::Done(Loaded::failed(
                origin,
                path.clone(),
                Diagnostic::of_file(Severity::Error, shown.clone(), message),
            ))
        };
        let origin = match origin_of(file) {
            Ok(origin) => origin,
            Err(message) => return failed(Name::root(), message),
        };
        let octets = match self.opened.as_ref().filter(|_| *is_file) {
            Some(folder) => sources::read_in(folder, file),
            None => sources::read(&path),
        };
        let octets = match octets {
            Ok(octets) => octets,
            Err(error) => return failed(origin, format!("cannot read the file: {error}")),
        };
        if let Some(known) = (self.plan.known)(&origin, &path).filter(|known| self.holds(known, file, &octets)) {
            return Step::Done(Loaded {
                origin,
                path,
                digest: known.digest,
                included: known.included.to_vec(),
                unchanged: true,
                zone: Some(known.zone.clone()),
                diagnostics: known.diagnostics.to_vec(),
                texts: Texts::default(),
            });
        }
        let sources = Sources::new(file.clone(), shown, octets);
        let zone = Unfinished::read(sources, &Library::Folder(self.folder), origin, path, self.settings);
        if zone.waits() { Step::Waiting(Box::new(zone)) } else { Step::Done(self.make(zone)) }
    }

    /// Whether reading a zone again would come to what is known of it. Whatever is said of its targets depends on other
    /// zones; where nothing is said and none of them is in any zone here, there will be nothing to say.
    fn holds(&self, known: &Known<'_, C>, file: &str, octets: &[u8]) -> bool {
        let same = sources::digest_of(self.folder, file, octets, known.included) == Some(known.digest);
        let steered = known.zone.steered();
        same && (steered.is_empty() || (known.diagnostics.is_empty() && !self.leads_to_ours(steered)))
    }

    fn leads_to_ours(&self, steered: &[Arc<SteeredName>]) -> bool {
        let origins = self.origins.get_or_init(|| {
            self.files
                .iter()
                .filter_map(|file| origin_of(&file.name).ok())
                .map(|origin| origin.to_lowercase())
                .collect()
        });
        let mut targets = steered.iter().flat_map(|name| &name.candidates).filter_map(|one| match &one.target {
            Target::Name(name) => wire(name).map(|name| name.to_lowercase()),
            Target::Addresses(_) => None,
        });
        targets.any(|name| {
            ancestors(name.as_wire()).any(|above| Name::from_wire(above).is_ok_and(|above| origins.contains(&above)))
        })
    }

    fn finish(&self, step: Step<C>) -> Loaded<C> {
        match step {
            Step::Done(loaded) => loaded,
            Step::Waiting(zone) => self.make(*zone),
        }
    }

    fn make(&self, zone: Unfinished) -> Loaded<C> {
        let known = (self.plan.known)(&zone.origin, &zone.path);
        zone.finish(&self.shelf, |zone, digest| match known.filter(|known| known.digest == digest) {
            Some(known) => known.zone.clone(),
            None => (self.plan.compile)(zone),
        })
    }
}

impl<C> Step<C> {
    fn path(&self) -> &Path {
        match self {
            Self::Done(loaded) => &loaded.path,
            Self::Waiting(zone) => &zone.path,
        }
    }

    /// In lower case.
    fn origin(&self) -> Name {
        match self {
            Self::Done(loaded) => loaded.origin.to_lowercase(),
            Self::Waiting(zone) => zone.origin.to_lowercase(),
        }
    }

    fn included(&self) -> Vec<String> {
        match self {
            Self::Done(loaded) => loaded.included.clone(),
            Self::Waiting(zone) => zone.included(),
        }
    }
}

/// A file that another one includes is no zone, whatever its name.
fn leave_out_included<C>(steps: &mut Vec<Step<C>>) {
    let included: BTreeSet<String> = steps.iter().flat_map(Step::included).collect();
    if !included.is_empty() {
        steps.retain(|step| step.path().file_name().is_none_or(|name| !included.contains(&*name.to_string_lossy())));
    }
}

/// Of two files with one origin neither is served, so nothing leads from or to them.
fn follow_targets<C: Contents>(steps: &mut [Step<C>]) {
    if !steps.iter().any(|step| matches!(step, Step::Waiting(_))) {
        return;
    }
    let mut files: HashMap<Name, usize> = HashMap::new();
    for step in &*steps {
        *files.entry(step.origin()).or_default() += 1;
    }
    let (mut read, mut compiled) = (Vec::new(), Vec::new());
    for step in steps.iter_mut().filter(|step| files.get(&step.origin()) == Some(&1)) {
        match step {
            Step::Waiting(zone) => read.push(&mut **zone),
            Step::Done(loaded) => compiled.extend(&loaded.zone),
        }
    }
    check_targets(&mut read, &compiled);
}

/// Two files with one origin: neither is served from its file.
fn doubles<C>(zones: &mut [Loaded<C>]) -> Vec<Diagnostic> {
    let mut by_origin: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    for (at, zone) in zones.iter().enumerate().filter(|(_, zone)| !zone.texts.files.is_empty() || zone.unchanged) {
        by_origin.entry(zone.origin.to_lowercase()).or_default().push(at);
    }
    let mut diagnostics = Vec::new();
    for (origin, same) in by_origin.into_iter().filter(|(_, same)| same.len() > 1) {
        let paths: Vec<PathBuf> = same.iter().filter_map(|at| zones.get(*at)).map(|zone| zone.path.clone()).collect();
        for at in same {
            let Some(zone) = zones.get_mut(at) else { continue };
            let others: Vec<String> =
                paths.iter().filter(|path| **path != zone.path).map(|path| path.display().to_string()).collect();
            let message = format!("two files have the origin {origin}: this one and {}", others.join(", "));
            let told = Diagnostic::of_file(Severity::Error, zone.path.display().to_string(), message);
            // Those of the file as a whole come first.
            let place = zone.diagnostics.iter().position(|diagnostic| diagnostic.line != 0);
            zone.diagnostics.insert(place.unwrap_or(zone.diagnostics.len()), told.clone());
            zone.zone = None;
            diagnostics.push(told);
        }
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beyond_the_limit_are_told_of() {
        let names = |names: &[&str]| -> Vec<Listed> {
            names.iter().map(|name| Listed { name: (*name).to_owned(), is_file: true }).collect()
        };
        let all_three = || names(&["a", "b", "c"]);
        let mut all: Folder = Folder::default();
        assert_eq!(all.limited(Path::new("zones"), all_three(), 3), all_three());
        assert!(all.diagnostics.is_empty());
        assert_eq!(all.limited(Path::new("zones"), all_three(), 2), names(&["a", "b"]));
        assert_eq!(all.diagnostics[0].message, "3 zone files are more than 2: the last ones are not read");
    }
}
