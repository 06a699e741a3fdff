//! Many texts put on the disk together.
//!
//! ```text
//! write beside the places -> sync all -> rename into the places -> sync the folder -> remove what goes -> sync the folder
//! ```
//!
//! | texts | where they go |
//! | --- | --- |
//! | large ones; up to [`EACH`] small ones; fewer than a quarter of what the pack has | a file each |
//! | other small ones | a new pack, with those of the old one that stay |
//! | small ones, where the pack cannot be read now: the disk does not give it, or it is of a newer version | a file each; the pack stays as it is |
//! | those of zones that left | their files are removed; where the pack has one, a marker says that it is none |
//!
//! So a pack is written anew only for a batch that is worth it, and of two texts of one zone that of its own file is the newer.
//! Up to [`EACH`] files are synced one by one; more of them by one `syncfs`, since 100,000 syncs take minutes and one of the
//! whole file system takes as long as its writing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::folder::sync_parent;
use super::Changes;
use super::file::{self, Head, Unreadable};
use super::pack::{self, Pack, Reading, Spot, Writing};
use crate::zone::texts::Texts;

/// Files that are synced one by one, and small texts that have a file each.
const EACH: usize = 32;
/// A pack is written anew for so many parts of what it holds.
const PART: usize = 4;

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
    /// Texts written; those that were there already are not among them.
    pub(super) written: usize,
    /// Zones whose text, or its absence, is on the disk.
    pub(super) settled: Vec<String>,
    pub(super) lacking: BTreeSet<String>,
    /// The first reason why one is lacking.
    pub(super) why: Option<String>,
}

impl Outcome {
    /// The zone keeps the text that it had, if any.
    fn give_up(&mut self, origin: String, beside: &Path, why: &io::Error) {
        if self.why.is_none() {
            self.why = Some(format!("{}: {why}", beside.display()));
        }
        self.lacking.insert(origin);
    }
}

/// Carries a batch out.
pub(super) fn keep(folder: &Path, batch: Batch) -> Outcome {
    let mut outcome = Outcome::default();
    let Batch { changes, only } = batch;
    if !changes.is_empty()
        && let Err(why) = make(folder)
    {
        let lacking = changes.into_iter().filter(|(_, texts)| texts.is_some());
        lacking.for_each(|(origin, _)| outcome.give_up(origin, folder, &why));
        return outcome;
    }
    let mut there = There::look(folder);
    if let Some(only) = &only {
        there.sweep(only);
    }
    let mut work = Work { there, outcome, ..Work::default() };
    work.sort_out(changes);
    work.carry_out();
    work.outcome
}

/// What a folder holds.
#[derive(Debug, Default)]
struct There {
    folder: PathBuf,
    /// The names of texts that have a file.
    own: HashSet<String>,
    /// The names of texts that are none any more, whatever the pack says.
    gone: HashSet<String>,
    unfinished: Vec<String>,
    pack: Option<Pack>,
    /// There is a pack that this program, or the disk, cannot read now. It stays as it is, and none is put in its place.
    sealed: bool,
    /// By hash.
    spots: Vec<Spot>,
    /// Texts of the pack that are of no zone.
    dead: HashSet<u64>,
    /// Something was removed since the folder was synced.
    removed: bool,
}

impl There {
    fn look(folder: &Path) -> Self {
        let mut there = Self { folder: folder.to_owned(), ..Self::default() };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if file::is_text(&name) {
                there.own.insert(name);
            } else if file::is_unfinished(&name) || name == pack::UNFINISHED {
                there.unfinished.push(name);
            } else if let Some(name) = file::named_gone(&name) {
                there.gone.insert(name);
            }
        }
        let pack = Pack::open(folder).and_then(|pack| {
            let spots = pack.as_ref().map_or(Ok(Vec::new()), Pack::spots)?;
            Ok((pack, spots))
        });
        match pack {
            Ok((pack, spots)) => (there.pack, there.spots) = (pack, spots),
            Err(why) => {
                tracing::warn!(file = %folder.join(pack::NAME).display(), %why, "kept texts of zones cannot be read");
                // All that is served is handed over with the next load, and nothing stands in its way.
                if matches!(why, Unreadable::Damaged(_)) {
                    forget(&folder.join(pack::NAME));
                } else {
                    there.sealed = true;
                }
            }
        }
        there
    }

    /// Removes texts that are not among these, and what a crash left unfinished.
    fn sweep(&mut self, only: &HashSet<String>) {
        let mut gone = std::mem::take(&mut self.unfinished);
        gone.extend(self.own.extract_if(|name| !only.contains(name)));
        if self.pack.is_none() && !self.sealed {
            gone.extend(self.gone.drain().map(|name| file::gone(&name)));
        }
        self.removed |= !gone.is_empty();
        gone.iter().for_each(|name| forget(&self.folder.join(name)));
        let Some(pack) = &self.pack else { return };
        let spots = pack.origins(self.spots.clone()).into_iter();
        let dead =
            spots.filter(|(_, origin)| !origin.as_ref().is_some_and(|origin| only.contains(&file::name(origin))));
        self.dead = dead.map(|(spot, _)| spot.hash).collect();
    }

    fn spot(&self, origin: &str) -> Option<Spot> {
        let hash = pack::hash(origin);
        let at = self.spots.binary_search_by_key(&hash, |spot| spot.hash).ok()?;
        self.spots.get(at).copied()
    }
}

/// A batch under way.
#[derive(Default)]
struct Work {
    there: There,
    outcome: Outcome,
    /// Texts that have, or get, files of their own although they are small.
    loose: Vec<Loose>,
    beside: Vec<Beside>,
    leaving: Vec<String>,
    /// The disk takes no more.
    full: Option<io::Error>,
}

/// A small text.
struct Loose {
    origin: String,
    texts: Texts,
    /// Its own file holds it already.
    held: bool,
}

/// A text beside its place.
struct Beside {
    origin: String,
    name: String,
    /// Where files are synced one by one: no descriptor is held for each of 100,000.
    file: Option<File>,
}

impl Work {
    /// Finds out what is new. Large texts are written, and let go of, at once.
    fn sort_out(&mut self, changes: Changes) {
        let few = changes.len() <= EACH;
        let mut packed = Vec::new();
        for (origin, texts) in changes {
            let Some(texts) = texts else {
                self.leaving.push(origin);
                continue;
            };
            let name = file::name(&origin);
            let own = self.there.own.contains(&name);
            let spot = self.there.spot(&origin).filter(|_| !own && !self.there.gone.contains(&name));
            if let Some(spot) = spot {
                packed.push((spot, origin, texts));
                continue;
            }
            let held = own && file::holds(&self.there.folder.join(&name), &Head::of(&origin, &texts));
            if pack::is_small(&texts) {
                self.loose.push(Loose { origin, texts, held });
            } else if held {
                self.outcome.settled.push(origin);
            } else {
                self.write(origin, &texts, few);
            }
        }
        self.compare(packed, few);
    }

    /// Which of these are the texts that the pack has.
    fn compare(&mut self, mut packed: Vec<(Spot, String, Texts)>, few: bool) {
        let Some(pack) = self.there.pack.take() else { return };
        packed.sort_unstable_by_key(|(spot, ..)| spot.place());
        let mut reading = Reading::new(&pack);
        for (spot, origin, texts) in packed {
            let octets = reading.octets(spot);
            if octets.is_ok_and(|octets| file::is(octets, &Head::of(&origin, &texts), &texts)) {
                self.outcome.settled.push(origin);
            } else if pack::is_small(&texts) {
                self.loose.push(Loose { origin, texts, held: false });
            } else {
                self.write(origin, &texts, few);
            }
        }
        self.there.pack = Some(pack);
    }

    fn carry_out(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        let many = !self.there.sealed && loose.len() > EACH && loose.len() * PART >= self.there.spots.len();
        let packing = if many || !self.there.dead.is_empty() { loose } else { self.write_each(loose) };
        let packed = if packing.is_empty() && self.there.dead.is_empty() { None } else { self.pack(packing) };
        if let Err(why) = self.sync(packed.as_ref()) {
            let beside = std::mem::take(&mut self.beside);
            beside.into_iter().for_each(|text| self.give_up(text.origin, &text.name, &why));
            if let Some(packed) = packed {
                self.give_up_pack(packed.origins, &why);
            }
            return;
        }
        let settled = self.outcome.settled.len();
        let stale = self.rename(packed);
        self.sync_folder(settled);
        self.remove(&stale);
    }

    /// Small texts to files of their own. None is left for a pack.
    fn write_each(&mut self, loose: Vec<Loose>) -> Vec<Loose> {
        let few = loose.len() <= EACH;
        for Loose { origin, texts, held } in loose {
            if held {
                self.outcome.settled.push(origin);
            } else {
                self.write(origin, &texts, few);
            }
        }
        Vec::new()
    }

    fn write(&mut self, origin: String, texts: &Texts, few: bool) {
        let name = file::name(&origin);
        let path = self.there.folder.join(file::unfinished(&name));
        if let Some(why) = &self.full {
            return self.outcome.give_up(origin, &path, why);
        }
        match write(&path, &Head::of(&origin, texts), texts) {
            Ok(file) => self.beside.push(Beside { origin, name, file: few.then_some(file) }),
            Err(why) => {
                self.give_up(origin, &name, &why);
                self.full = takes_no_more(&why).then_some(why);
            }
        }
    }

    /// Writes a pack beside its place.
    fn pack(&mut self, loose: Vec<Loose>) -> Option<Packed> {
        let fresh: HashMap<u64, &str> = loose.iter().map(|text| (pack::hash(&text.origin), &*text.origin)).collect();
        let written = self.written_pack(&loose, &fresh);
        let written_now = loose.iter().filter(|text| !text.held).count();
        let origins: Vec<String> = loose.into_iter().map(|text| text.origin).collect();
        match written {
            Ok(file) => Some(Packed { file, origins, fresh: written_now }),
            Err(why) => {
                self.give_up_pack(origins, &why);
                None
            }
        }
    }

    /// What stays of the old pack, and these.
    fn written_pack(&self, loose: &[Loose], fresh: &HashMap<u64, &str>) -> io::Result<File> {
        let mut writing = Writing::new(create(&self.there.folder.join(pack::UNFINISHED))?)?;
        if let Some(pack) = &self.there.pack {
            let leaving: HashSet<u64> = self.leaving.iter().map(|origin| pack::hash(origin)).collect();
            let mut spots = self.there.spots.clone();
            spots.retain(|spot| {
                let replaced = fresh.contains_key(&spot.hash) || leaving.contains(&spot.hash);
                !replaced && !self.there.dead.contains(&spot.hash)
            });
            spots.sort_unstable_by_key(|spot| spot.place());
            let mut reading = Reading::new(pack);
            for spot in spots {
                let octets = reading.octets(spot)?;
                let name = file::origin_of(&mut &*octets, octets.len() as u64).map(|origin| file::name(&origin));
                // A file of its own is newer, and a marker too.
                if name.is_some_and(|name| !self.there.own.contains(&name) && !self.there.gone.contains(&name)) {
                    writing.copy(spot.hash, octets)?;
                }
            }
        }
        loose.iter().try_for_each(|text| writing.put(&text.origin, &text.texts))?;
        writing.finish()
    }

    fn sync(&self, packed: Option<&Packed>) -> io::Result<()> {
        if let Some(packed) = packed {
            packed.file.sync_all()?;
        }
        if self.beside.iter().all(|text| text.file.is_some()) {
            return self.beside.iter().filter_map(|text| text.file.as_ref()).try_for_each(File::sync_all);
        }
        Ok(rustix::fs::syncfs(File::open(&self.there.folder)?)?)
    }

    /// All to their places. What no longer counts is to be removed then: these names.
    fn rename(&mut self, packed: Option<Packed>) -> Vec<String> {
        let mut stale = Vec::new();
        for text in std::mem::take(&mut self.beside) {
            let folder = &self.there.folder;
            match fs::rename(folder.join(file::unfinished(&text.name)), folder.join(&text.name)) {
                Ok(()) => {
                    self.outcome.written += 1;
                    self.outcome.settled.push(text.origin);
                    if self.there.gone.remove(&text.name) {
                        stale.push(file::gone(&text.name));
                    }
                    self.there.own.insert(text.name);
                }
                Err(why) => self.give_up(text.origin, &text.name, &why),
            }
        }
        let Some(packed) = packed else { return stale };
        let folder = &self.there.folder;
        if let Err(why) = fs::rename(folder.join(pack::UNFINISHED), folder.join(pack::NAME)) {
            self.give_up_pack(packed.origins, &why);
            return stale;
        }
        self.outcome.written += packed.fresh;
        stale.extend(self.there.gone.drain().map(|name| file::gone(&name)));
        stale.extend(packed.origins.iter().filter_map(|origin| self.there.own.take(&file::name(origin))));
        self.outcome.settled.extend(packed.origins);
        // Those that leave are not in it.
        self.there.spots.clear();
        stale
    }

    /// Those settled from here on are so only when this is done.
    fn sync_folder(&mut self, settled: usize) {
        if self.outcome.settled.len() == settled {
            return;
        }
        if let Err(why) = sync(&self.there.folder) {
            let lacking = self.outcome.settled.split_off(settled);
            self.outcome.lacking.extend(lacking);
            self.outcome.why.get_or_insert_with(|| format!("{}: {why}", self.there.folder.display()));
        }
    }

    /// What no longer counts, and the texts of zones that left.
    fn remove(&mut self, stale: &[String]) {
        let mut removed = self.there.removed || !stale.is_empty();
        stale.iter().for_each(|name| forget(&self.there.folder.join(name)));
        for origin in std::mem::take(&mut self.leaving) {
            let name = file::name(&origin);
            let packed = self.there.sealed || self.there.spot(&origin).is_some();
            let packed = packed && !self.there.gone.contains(&name);
            // The marker first: without it an older text would count.
            if packed && let Err(why) = create(&self.there.folder.join(file::gone(&name))) {
                // It is tried again with the next start.
                tracing::warn!(origin, %why, "the text of a zone that left cannot be removed");
            }
            let own = self.there.own.remove(&name);
            if own {
                forget(&self.there.folder.join(&name));
            }
            removed |= packed || own;
            self.outcome.settled.push(origin);
        }
        if removed && let Err(why) = sync(&self.there.folder) {
            tracing::warn!(folder = %self.there.folder.display(), %why, "what was removed may come back with a power cut");
        }
    }

    fn give_up(&mut self, origin: String, name: &str, why: &io::Error) {
        let beside = self.there.folder.join(file::unfinished(name));
        self.outcome.give_up(origin, &beside, why);
        // One that was not begun is not there.
        let _ = fs::remove_file(beside);
    }

    fn give_up_pack(&mut self, origins: Vec<String>, why: &io::Error) {
        let beside = self.there.folder.join(pack::UNFINISHED);
        for origin in origins {
            self.outcome.give_up(origin, &beside, why);
        }
        let _ = fs::remove_file(beside);
    }
}

/// A pack beside its place.
struct Packed {
    file: File,
    /// Of the texts that came to it.
    origins: Vec<String>,
    /// How many of them are new.
    fresh: usize,
}

/// Whether the next file would fare no better.
fn takes_no_more(why: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(why.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied)
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => sync_parent(folder),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(why) => Err(why),
    }
}

fn write(path: &Path, head: &Head, texts: &Texts) -> io::Result<File> {
    let mut file = create(path)?;
    file::write(&mut file, head, texts)?;
    Ok(file)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Texts {
        Texts { main: "a".to_owned(), files: [("a".to_owned(), text.as_bytes().to_vec())].into() }
    }

    /// The same of another version.
    fn newer(pack: &[u8]) -> Vec<u8> {
        let mut octets = pack.to_vec();
        octets[7] += 1;
        octets
    }

    fn batch(range: std::ops::Range<usize>, text: &str) -> Batch {
        let changes = range.map(|number| (format!("{number}."), Some(texts(text)))).collect();
        Batch { changes, only: None }
    }

    fn leaving(range: std::ops::Range<usize>) -> Batch {
        Batch { changes: range.map(|number| (format!("{number}."), None)).collect(), only: None }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    fn read(folder: &Path, origin: &str) -> Option<Texts> {
        super::super::read(folder, origin).unwrap()
    }

    #[test]
    fn few_have_a_file_each_and_many_are_packed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        for (count, text, written, files) in
            [(EACH, "1", EACH, EACH), (EACH + 9, "1", 9, 1), (EACH + 9, "1", 0, 1), (EACH + 9, "2", EACH + 9, 1)]
        {
            let outcome = keep(&folder, batch(0..count, text));
            assert_eq!((outcome.written, outcome.settled.len(), outcome.why), (written, count, None));
            assert_eq!(names(&folder).len(), files, "{:?}", names(&folder));
            assert!((0..count).all(|number| read(&folder, &format!("{number}.")) == Some(texts(text))));
        }
        assert_eq!(names(&folder), [pack::NAME]);
    }

    #[test]
    fn a_pack_is_written_anew_only_where_it_is_worth_it() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..1_000, "1"));
        let outcome = keep(&folder, batch(0..200, "2"));
        assert_eq!((outcome.written, outcome.why), (200, None));
        assert_eq!(names(&folder).len(), 201, "a fifth");
        assert_eq!((read(&folder, "199."), read(&folder, "200.")), (Some(texts("2")), Some(texts("1"))));
        let outcome = keep(&folder, batch(0..300, "3"));
        assert_eq!((outcome.written, outcome.why), (300, None));
        assert_eq!(names(&folder), [pack::NAME]);
        assert_eq!((read(&folder, "199."), read(&folder, "999.")), (Some(texts("3")), Some(texts("1"))));
    }

    #[test]
    fn what_left_a_pack_is_none_and_may_come_back() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..100, "1"));
        keep(&folder, batch(1..2, "2"));
        assert_eq!(names(&folder), ["1.text", pack::NAME]);
        keep(&folder, leaving(0..2));
        assert_eq!(names(&folder), ["0.gone", "1.gone", pack::NAME]);
        assert_eq!((read(&folder, "0."), read(&folder, "1."), read(&folder, "2.")), (None, None, Some(texts("1"))));
        assert_eq!(keep(&folder, batch(0..1, "1")).written, 1);
        assert_eq!(names(&folder), ["0.text", "1.gone", pack::NAME]);
        assert_eq!(read(&folder, "0."), Some(texts("1")));
        keep(&folder, batch(0..100, "3"));
        assert_eq!(names(&folder), [pack::NAME]);
        assert!((0..100).all(|number| read(&folder, &format!("{number}.")) == Some(texts("3"))));
    }

    #[test]
    fn a_sweep_leaves_what_is_of_a_zone() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..100, "1"));
        keep(&folder, batch(0..3, "2"));
        keep(&folder, leaving(5..6));
        fs::write(folder.join(pack::UNFINISHED), "x").unwrap();
        let only = [0, 1, 5, 60].map(|number| format!("{number}.text")).into();
        keep(&folder, Batch { changes: Changes::new(), only: Some(only) });
        assert_eq!(names(&folder), ["0.text", "1.text", pack::NAME]);
        let there = (0..100).filter(|number| read(&folder, &format!("{number}.")).is_some());
        assert_eq!(there.collect::<Vec<_>>(), [0, 1, 60], "what was gone does not come back");
    }

    #[test]
    fn small_and_large_ones_change_places() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        let large = "x".repeat(100_000);
        for text in ["1", &large, "2", &large] {
            assert_eq!(keep(&folder, batch(0..40, text)).settled.len(), 40);
            assert!((0..40).all(|number| read(&folder, &format!("{number}.")) == Some(texts(text))));
        }
        assert_eq!(names(&folder).len(), 41);
    }

    #[test]
    fn what_a_crash_left_at_any_step_is_an_old_text_or_a_new_one() {
        // The steps of a batch that packs texts which had files of their own, one after the other.
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..9, "1"));
        let old: Vec<(String, Vec<u8>)> =
            names(&folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect();
        keep(&folder, batch(0..99, "2"));
        // The pack is in its place, and some files are not removed yet.
        for (name, octets) in old.iter().take(4) {
            fs::write(folder.join(name), octets).unwrap();
        }
        let expected = |number| if number < 4 { "1" } else { "2" };
        assert!((0..99).all(|number| read(&folder, &format!("{number}.")) == Some(texts(expected(number)))));
        // The next load hands all over again.
        assert_eq!(keep(&folder, batch(0..99, "2")).written, 4);
        assert!((0..99).all(|number| read(&folder, &format!("{number}.")) == Some(texts("2"))));
    }

    #[test]
    fn a_damaged_pack_is_written_anew() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..99, "1"));
        fs::write(folder.join(pack::NAME), "nonsense").unwrap();
        assert!(super::super::read(&folder, "7.").is_err());
        assert_eq!(keep(&folder, batch(0..99, "1")).written, 99);
        assert_eq!(read(&folder, "7."), Some(texts("1")));
    }

    #[test]
    fn a_pack_of_another_version_stays_as_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..99, "1"));
        let old = fs::read(folder.join(pack::NAME)).unwrap();
        fs::write(folder.join(pack::NAME), newer(&old)).unwrap();
        let outcome = keep(&folder, batch(0..99, "2"));
        assert_eq!((outcome.written, outcome.settled.len(), outcome.why), (99, 99, None));
        assert_eq!(fs::read(folder.join(pack::NAME)).unwrap(), newer(&old));
        assert!((0..99).all(|number| read(&folder, &format!("{number}.")) == Some(texts("2"))));
        // What leaves in the meantime does not come back with it.
        keep(&folder, leaving(0..1));
        fs::write(folder.join(pack::NAME), &old).unwrap();
        assert_eq!((read(&folder, "0."), read(&folder, "1.")), (None, Some(texts("2"))));
    }

    #[test]
    fn one_that_cannot_take_its_place_stops_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        fs::create_dir_all(folder.join("1.text/in the way")).unwrap();
        let outcome = keep(&folder, batch(0..3, "1"));
        assert_eq!(outcome.settled, ["0.", "2."]);
        assert_eq!(outcome.lacking, ["1.".to_owned()].into());
        assert!(outcome.why.is_some_and(|why| why.contains("1.text")));
        assert!(!folder.join("1.text.new").exists());
    }

    #[test]
    fn a_pack_that_cannot_be_written_is_lacking_and_nothing_is_lost() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("texts");
        keep(&folder, batch(0..99, "1"));
        fs::create_dir_all(folder.join(pack::UNFINISHED).join("in the way")).unwrap();
        let outcome = keep(&folder, batch(0..99, "2"));
        assert_eq!((outcome.written, outcome.settled.len(), outcome.lacking.len()), (0, 0, 99));
        assert!(outcome.why.is_some_and(|why| why.contains(pack::UNFINISHED)));
        assert_eq!(read(&folder, "7."), Some(texts("1")));
    }

    #[test]
    fn without_a_folder_nothing_is_kept_and_all_is_lacking() {
        let scratch = tempfile::tempdir().unwrap();
        let outcome = keep(&scratch.path().join("none/texts"), batch(0..3, "1"));
        assert_eq!((outcome.settled.len(), outcome.lacking.len()), (0, 3));
    }
}
