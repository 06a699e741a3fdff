//! What is known of clients' places: compiled from the configuration's sets and the database of countries, on the blocking
//! thread that reads zones.
//!
//! | the database | read before | then |
//! | --- | --- | --- |
//! | not configured | anything | no country is known |
//! | as it was | that one | nothing is read; changed sets are compiled with the countries known |
//! | good | anything | its countries |
//! | missing, damaged, too large | one | an error; the countries of that one go on |
//! | missing, damaged, too large | none | an error; no country is known: everyone whom no prefix of a set matches is in one area |

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::view::{AreasView, LoadedDatabase};
use crate::config::Config;
use crate::image::areas::database::Database;
use crate::image::areas::{Areas, Countries, Sets};

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
        let (countries, loaded, error) = match &path {
            None => (Countries::default(), None, None),
            Some(_) if same_file => (self.areas.countries(), self.loaded.clone(), None),
            Some(path) => match Database::read(path) {
                Ok(database) => {
                    let loaded = describe(path, &database);
                    (database.countries, Some(loaded), None)
                }
                Err(error) => {
                    let error = format!("the database of countries {}: {error}", path.display());
                    (self.areas.countries(), self.loaded.clone(), Some(error))
                }
            },
        };
        match Areas::build(&sets, &countries) {
            Ok(areas) => Self { areas: Arc::new(areas), file, loaded, sets, error },
            Err(wrong) => Self { file, error: error.or(Some(format!("areas: {wrong}"))), ..self.clone() },
        }
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
