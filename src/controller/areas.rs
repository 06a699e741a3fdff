//! What is known of clients' places: compiled from the configuration's sets and the database of countries, on the blocking
//! thread that reads zones.
//!
//! | the database | read before | then |
//! | --- | --- | --- |
//! | not configured | anything | no country is known |
//! | as it was | that one | nothing is read; changed sets are compiled with the countries known |
//! | good | anything | its countries |
//! | missing, damaged, too large | one | an error; the countries of that one go on |
//! | missing, damaged, too large | none, but one was kept in the data folder | an error; the countries of the kept one |
//! | missing, damaged, too large | none | an error; no country is known: everyone whom no prefix of a set matches is in one area |
//!
//! A database that was read well is copied to `<data>/kept-countries.mmdb`, where that is not the same already: a restart beside a
//! database that is broken by then must not let `only.<area>` hold for nobody.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::view::{AreasView, LoadedDatabase};
use crate::config::Config;
use crate::health::reach::special_kind;
use crate::image::areas::database::Database;
use crate::image::areas::{Areas, Countries, Sets};

/// What the last good database is called in the data folder.
const KEPT: &str = "kept-countries.mmdb";
/// Octets compared at a time.
const CHUNK: usize = 64 * 1024;

/// What tells one state of a file from the next: device, inode, length, times of data and inode.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// A database as it was when it was read: what the watch compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    path: PathBuf,
    /// None: it was not there.
    stamp: Option<Stamp>,
}

impl DatabaseFile {
    fn look(path: &Path) -> Self {
        let stamp = fs::metadata(path).ok().map(|meta| {
            let times = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
            (meta.dev(), meta.ino(), meta.len(), times.0, times.1)
        });
        Self { path: path.to_owned(), stamp }
    }

    /// Whether the file is another one now. Blocks.
    pub(super) fn has_changed(&self) -> bool {
        Self::look(&self.path) != *self
    }
}

/// Areas in force, and what they were made of.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownAreas {
    pub(super) areas: Arc<Areas>,
    pub(super) file: Option<DatabaseFile>,
    loaded: Option<LoadedDatabase>,
    sets: Sets,
    /// Why what is configured is not in force.
    pub(super) error: Option<String>,
}

impl KnownAreas {
    /// What the configuration and the database say now. Blocks.
    pub(super) fn renewed(&self, config: &Config) -> Self {
        let (sets, path) = (config.area_sets(), config.area_database());
        // Looked at before it is read: a change while reading is seen as one.
        let file = path.as_deref().map(DatabaseFile::look);
        let same_file = file == self.file && self.error.is_none();
        if same_file && sets == self.sets {
            return self.clone();
        }
        let kept = config.server.data.join(KEPT);
        let (countries, loaded, error) = match &path {
            None => {
                forget(&kept);
                (Countries::default(), None, None)
            }
            Some(_) if same_file => (self.areas.countries(), self.loaded.clone(), None),
            Some(path) => match Database::read(path) {
                Ok(database) => {
                    let loaded = describe(path, &database);
                    keep(file.as_ref(), &kept);
                    (database.countries, Some(loaded), None)
                }
                Err(error) => {
                    let error = format!("the database of countries {}: {error}", path.display());
                    match self.or_kept(&kept) {
                        Some((countries, loaded)) => (countries, Some(loaded), Some(error)),
                        None => (Countries::default(), None, Some(error)),
                    }
                }
            },
        };
        // What no probe may be sent to is told to nobody either.
        let may_be_told = |address| config.probe.allow_private || special_kind(address).is_none();
        match Areas::build(&sets, &countries).map(|areas| areas.with_networks(&sets, may_be_told)) {
            Ok(areas) => Self { areas: Arc::new(areas), file, loaded, sets, error },
            Err(wrong) => Self { file, error: error.or(Some(format!("areas: {wrong}"))), ..self.clone() },
        }
    }

    /// What was read before, else what was kept of it.
    fn or_kept(&self, kept: &Path) -> Option<(Countries, LoadedDatabase)> {
        if let Some(loaded) = &self.loaded {
            return Some((self.areas.countries(), loaded.clone()));
        }
        let database = Database::read(kept).inspect_err(|error| {
            if kept.exists() {
                tracing::warn!(file = %kept.display(), %error, "the kept database of countries cannot be used");
            }
        });
        let database = database.ok()?;
        let loaded = describe(kept, &database);
        Some((database.countries, loaded))
    }

    /// Whether the countries are those of the database that was kept, not of the one that is configured.
    pub(super) fn is_kept(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| Path::new(&loaded.file).file_name() == Some(KEPT.as_ref()))
            && self.error.is_some()
    }

    pub(super) fn view(&self) -> AreasView {
        let (ipv4_ranges, ipv6_ranges) = self.areas.ranges();
        AreasView {
            database: self.file.as_ref().map(|file| file.path.display().to_string()),
            loaded: self.loaded.clone(),
            error: self.error.clone(),
            places: self.areas.places().len(),
            ipv4_ranges,
            ipv6_ranges,
            octets: self.areas.octets(),
        }
    }
}

fn describe(path: &Path, database: &Database) -> LoadedDatabase {
    let built = i64::try_from(database.built).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    LoadedDatabase {
        file: path.display().to_string(),
        kind: database.kind.clone(),
        built: built.unwrap_or(Timestamp::UNIX_EPOCH),
        prefixes: database.prefixes,
    }
}

/// Keeps a database that was read well: whole or not at all.
fn keep(file: Option<&DatabaseFile>, kept: &Path) {
    let Some(file) = file.filter(|file| !are_same(&file.path, kept)) else { return };
    let beside = kept.with_extension("mmdb.new");
    let copy = || {
        fs::copy(&file.path, &beside)?;
        // One that has changed since it was read may be half a database.
        if file.has_changed() {
            return fs::remove_file(&beside);
        }
        fs::File::open(&beside)?.sync_all()?;
        fs::rename(&beside, kept)
    };
    if let Err(error) = copy() {
        tracing::warn!(file = %kept.display(), %error, "the database of countries is not kept for a restart");
        // One that was not begun is not there.
        let _ = fs::remove_file(&beside);
    }
}

/// Whether two files have the same octets; not where one cannot be read.
fn are_same(one: &Path, other: &Path) -> bool {
    let open = |path| fs::File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (Ok((length, one)), Ok((other_length, other))) = (open(one), open(other)) else { return false };
    if length != other_length {
        return false;
    }
    let (mut one, mut other) = (BufReader::with_capacity(CHUNK, one), BufReader::with_capacity(CHUNK, other));
    loop {
        let (Ok(left), Ok(right)) = (one.fill_buf(), other.fill_buf()) else { return false };
        let common = left.len().min(right.len());
        if common == 0 {
            return left.is_empty() && right.is_empty();
        }
        if left.get(..common) != right.get(..common) {
            return false;
        }
        one.consume(common);
        other.consume(common);
    }
}

/// Without a database in the configuration none is to come back.
fn forget(kept: &Path) {
    if let Err(error) = fs::remove_file(kept)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(file = %kept.display(), %error, "the kept database of countries cannot be removed");
    }
}
