//! Many texts put on the disk together.
//!
//! ```text
//! write each beside its place -> sync all -> rename each into its place -> remove what goes -> sync the folder
//! ```
//!
//! Up to [`EACH`] files are synced one by one; more of them by one `syncfs`, since 100,000 syncs take minutes and one of the
//! whole file system takes as long as its writing.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::folder::sync_parent;
use super::Changes;
use super::file::{self, Head};
use crate::zone::texts::Texts;

/// Files that are synced one by one.
const EACH: usize = 32;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) changes: Changes,
    /// The names of the files that may stay; others, and unfinished ones, go.
    pub(super) only: Option<HashSet<String>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.only.is_none()
    }

    /// The origins that have a text to keep.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().filter(|(_, texts)| texts.is_some()).map(|(origin, _)| origin.as_str())
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Files written; those whose text was there already are not among them.
    pub(super) written: usize,
    /// Zones whose text, or its absence, is on the disk.
    pub(super) settled: Vec<String>,
    pub(super) lacking: BTreeSet<String>,
    /// The first reason why one is lacking.
    pub(super) why: Option<String>,
}

/// A text beside its place.
struct Written {
    origin: String,
    name: String,
    /// Where files are synced one by one: no descriptor is held for each of 100,000.
    file: Option<File>,
}

/// Carries a batch out.
pub(super) fn keep(folder: &Path, batch: Batch) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(only) = &batch.only {
        sweep(folder, only);
    }
    let mut written = write_all(folder, batch.changes, &mut outcome);
    if let Err(why) = sync_all(folder, &written) {
        written.drain(..).for_each(|text| outcome.give_up(folder, text.origin, &text.name, &why));
    }
    for text in written {
        match fs::rename(folder.join(file::unfinished(&text.name)), folder.join(&text.name)) {
            Ok(()) => {
                outcome.written += 1;
                outcome.settled.push(text.origin);
            }
            Err(why) => outcome.give_up(folder, text.origin, &text.name, &why),
        }
    }
    if outcome.written > 0
        && let Err(why) = File::open(folder).and_then(|folder| folder.sync_all())
    {
        let settled = std::mem::take(&mut outcome.settled);
        outcome.lacking.extend(settled);
        outcome.why.get_or_insert_with(|| format!("{}: {why}", folder.display()));
    }
    outcome
}

/// Writes what is not there already beside its place, and removes what goes. Each text is let go of when it is written.
fn write_all(folder: &Path, changes: Changes, outcome: &mut Outcome) -> Vec<Written> {
    let mut written = Vec::new();
    let mut full = make(folder).err();
    let few = changes.len() <= EACH;
    for (origin, texts) in changes {
        let name = file::name(&origin);
        let Some(texts) = texts else {
            forget(&folder.join(&name));
            outcome.settled.push(origin);
            continue;
        };
        if let Some(why) = &full {
            outcome.give_up(folder, origin, &name, why);
            continue;
        }
        let head = Head::of(&origin, &texts);
        if file::holds(&folder.join(&name), &head) {
            outcome.settled.push(origin);
            continue;
        }
        match write(&folder.join(file::unfinished(&name)), &head, &texts) {
            Ok(file) => written.push(Written { origin, name, file: few.then_some(file) }),
            Err(why) => {
                outcome.give_up(folder, origin, &name, &why);
                full = takes_no_more(&why).then_some(why);
            }
        }
    }
    written
}

impl Outcome {
    /// The zone keeps the text that it had, if any.
    fn give_up(&mut self, folder: &Path, origin: String, name: &str, why: &io::Error) {
        let beside = folder.join(file::unfinished(name));
        if self.why.is_none() {
            self.why = Some(format!("{}: {why}", beside.display()));
        }
        // One that was not begun is not there.
        let _ = fs::remove_file(beside);
        self.lacking.insert(origin);
    }
}

/// Whether the next file would fare no better.
fn takes_no_more(why: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(why.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied)
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => sync_parent(folder),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(why) => Err(why),
    }
}

fn write(path: &Path, head: &Head, texts: &Texts) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file::write(&file, head, texts)?;
    Ok(file)
}

fn sync_all(folder: &Path, written: &[Written]) -> io::Result<()> {
    if written.iter().all(|text| text.file.is_some()) {
        return written.iter().filter_map(|text| text.file.as_ref()).try_for_each(File::sync_all);
    }
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            // It is tried again with the next start.
            tracing::warn!(file = %path.display(), %why, "the text of a zone that left cannot be removed");
        }
        _ => {}
    }
}

/// Removes texts that are not among these, and what a crash left unfinished.
fn sweep(folder: &Path, only: &HashSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let stays = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| only.contains(name));
    let gone = paths.filter(|path| file::is_unfinished(path) || (file::is_text(path) && !stays(path)));
    gone.collect::<Vec<PathBuf>>().iter().for_each(|path| forget(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Texts {
        Texts { main: "a".to_owned(), files: [("a".to_owned(), text.as_bytes().to_vec())].into() }
    }

    fn batch(count: usize, text: &str) -> Batch {
        let changes = (0..count).map(|number| (format!("{number}."), Some(texts(text)))).collect();
        Batch { changes, only: None }
    }

    #[test]
    fn many_are_kept_as_few_are() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        for (count, text, written) in [(EACH, "1", EACH), (EACH + 9, "1", 9), (EACH + 9, "2", EACH + 9)] {
            let outcome = keep(&folder, batch(count, text));
            assert_eq!((outcome.written, outcome.settled.len(), outcome.why), (written, count, None));
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), EACH + 9);
        assert_eq!(file::read(&folder.join("7.text"), "7.").unwrap(), Some(texts("2")));
    }

    #[test]
    fn one_that_cannot_take_its_place_stops_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        fs::create_dir_all(folder.join("1.text/in the way")).unwrap();
        let outcome = keep(&folder, batch(3, "1"));
        assert_eq!(outcome.settled, ["0.", "2."]);
        assert_eq!(outcome.lacking, ["1.".to_owned()].into());
        assert!(outcome.why.is_some_and(|why| why.contains("1.text")));
        assert!(!folder.join("1.text.new").exists());
    }

    #[test]
    fn without_a_folder_nothing_is_kept_and_all_is_lacking() {
        let scratch = tempfile::tempdir().unwrap();
        let outcome = keep(&scratch.path().join("none/texts"), batch(3, "1"));
        assert_eq!((outcome.settled.len(), outcome.lacking.len()), (0, 3));
    }
}
