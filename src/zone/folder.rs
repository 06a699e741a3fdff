//! A folder of zone files: one zone a file, whose name says the origin (design, section 7).
//!
//! Not zones: dotfiles, `*~ *.bak *.orig *.swp *.tmp *.inc *.md *.toml *.json`, what another file includes, sub-folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Severity};
pub use super::load::{Loaded, Settings, load_file, load_texts, origin_of, read_text};
use super::load::{Unfinished, check_targets};
use super::name::Name;
use super::sources::{self, Library, Sources};

/// Zones of one folder.
pub const MAX_ZONES: usize = 1_000_000;

const NOT_ZONES: [&str; 9] = ["~", ".bak", ".orig", ".swp", ".tmp", ".inc", ".md", ".toml", ".json"];

/// All zones of a folder.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// By the names of their files.
    pub zones: Vec<Loaded>,
    /// Of the folder itself: unreadable, two files with one origin.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every zone file of a folder, and follows the targets of steered names through all of them.
pub fn load_folder(folder: &Path, settings: &Settings) -> Folder {
    let mut all = Folder::default();
    let files = match files(folder) {
        Ok(files) => files,
        Err(error) => {
            let message = format!("cannot read the folder: {error}");
            all.diagnostics.push(Diagnostic::of_file(Severity::Error, folder.display().to_string(), message));
            return all;
        }
    };
    let mut zones: Vec<Unfinished> = Vec::new();
    for file in files {
        match read(folder, &file, settings) {
            Ok(zone) => zones.push(zone),
            Err(failed) => all.zones.push(*failed),
        }
    }
    leave_out_included(&mut zones, &mut all.zones);
    all.diagnostics.extend(doubles(&mut zones));
    check_targets(&mut zones);
    all.zones.extend(zones.into_iter().map(Unfinished::finish));
    all.zones.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// Names of files that may be zones, sorted.
fn files(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link counts as what it leads to; a broken one is reported when it is read.
        let is_folder = fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir());
        if !is_folder && is_zone_file(&name) && files.len() < MAX_ZONES {
            files.push(name);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file with this name is taken for a zone.
pub fn is_zone_file(name: &str) -> bool {
    !name.starts_with('.') && !NOT_ZONES.iter().any(|end| name.ends_with(end))
}

fn read(folder: &Path, file: &str, settings: &Settings) -> Result<Unfinished, Box<Loaded>> {
    let path = folder.join(file);
    let shown = path.display().to_string();
    let failed = |origin: Name, message: String| {
        Box::new(Loaded::failed(origin, path.clone(), Diagnostic::of_file(Severity::Error, shown.clone(), message)))
    };
    let origin = origin_of(file).map_err(|message| failed(Name::root(), message))?;
    let octets =
        sources::read(&path).map_err(|error| failed(origin.clone(), format!("cannot read the file: {error}")))?;
    let sources = Sources::new(file.to_owned(), shown.clone(), octets);
    Ok(Unfinished::read(sources, &Library::Folder(folder), origin, path, settings))
}

/// A file that another one includes is no zone, whatever its name.
fn leave_out_included(zones: &mut Vec<Unfinished>, failed: &mut Vec<Loaded>) {
    let included: BTreeSet<String> = zones.iter().flat_map(Unfinished::included).collect();
    zones.retain(|zone| !included.contains(zone.key()));
    failed.retain(|zone| zone.path.file_name().is_none_or(|name| !included.contains(&*name.to_string_lossy())));
}

/// Two files with one origin: neither is served from its file.
fn doubles(zones: &mut [Unfinished]) -> Vec<Diagnostic> {
    let mut by_origin: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    for (at, zone) in zones.iter().enumerate() {
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
            zone.log.error(None, message.clone());
            diagnostics.push(Diagnostic::of_file(Severity::Error, zone.path.display().to_string(), message));
        }
    }
    diagnostics
}
