//! The last good text of each zone, as files: what a start beside a broken zone file serves.
//!
//! Texts are large (30 MiB for a million names), change seldom, and are read only when something is broken. So they are no
//! values of the store: its log would grow by each, and a start would read them all. They stand in `<data>/zone-texts`: a file a
//! zone (`file.rs`), and one pack (`pack.rs`) for small ones that came together, since 10,000 files cost the file system twenty times
//! what 10,000 texts do. They are looked at in two cases alone: the zone's own file is broken and nothing is served, or the
//! zones folder cannot be read.
//!
//! | a file of its own | a marker | in the pack | the text |
//! | --- | --- | --- | --- |
//! | there | any | any | that of the file |
//! | none | there | any | none: the zone left |
//! | none | none | there | that of the pack |
//!
//! # Written behind the answers
//!
//! What is to be kept is handed over after it is published. A thread of low priority takes all that waits, and ends when
//! nothing does: an idle server has no such thread. Of two texts of one zone that wait the later is written, so no more than
//! one text a zone is ever held for it. A text that the disk has already is not written again.
//!
//! # What a crash leaves behind
//!
//! All texts of a batch are written beside their places, synced, renamed into them, and then the folder is synced
//! (`batch.rs`); only then goes what they replace. So at any instant each zone has its old text or its new one, whole; which zones of a batch have the new one
//! is not promised, and need not be: zones stand for themselves. What a batch that broke off left beside is removed with
//! the first load.
//!
//! # What failing leaves behind
//!
//! Where the disk takes no more, that is said once, told by [`KeptTexts::failing`], and the zone is among those that lack a
//! text: the next load hands it over again, changed or not. Reading checks every octet; a text that is damaged is none.

mod batch;
mod file;
mod pack;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::batch::{Batch, Outcome};
use self::file::Unreadable;
use self::pack::Pack;
use super::panic_text;
use crate::zone::texts::Texts;

/// How much the thread that writes stands back behind those that answer.
const NICE: i32 = 10;

/// The texts of one data folder. Clones reach the same ones.
#[derive(Clone, Debug)]
pub struct KeptTexts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    state: Mutex<State>,
    /// The thread has ended: nothing waits.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// A thread writes, or is about to.
    busy: bool,
    /// Why not everything is kept.
    failing: Option<String>,
    /// Zones that have no text, or an older one.
    lacking: BTreeSet<String>,
}

impl KeptTexts {
    /// Those in this folder, which is made with the first text.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Inner { folder: folder.into(), state: Mutex::default(), idle: Condvar::new() }))
    }

    /// The text of a zone (origin: presentation format, lower case, absolute). None where there is none that is whole;
    /// blocks for as long as the disk takes.
    pub fn get(&self, origin: &str) -> Option<Texts> {
        match read(&self.0.folder, origin) {
            Ok(texts) => texts,
            Err(why) => {
                let folder = self.0.folder.display();
                tracing::warn!(origin, %folder, %why, "the kept text of a zone cannot be read");
                None
            }
        }
    }

    /// The origins of all zones that have a text, sorted.
    pub fn origins(&self) -> Vec<String> {
        let folder = &self.0.folder;
        let mut origins = BTreeSet::new();
        if let Ok(Some(pack)) = Pack::open(folder)
            && let Ok(spots) = pack.spots()
        {
            origins.extend(pack.origins(spots).into_iter().filter_map(|(_, origin)| origin));
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names: HashSet<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        if names.iter().any(|name| file::named_gone(name).is_some()) {
            origins.retain(|origin| !names.contains(&file::gone(&file::name(origin))));
        }
        let own = names.iter().filter(|name| file::is_text(name));
        origins.extend(own.filter_map(|name| file::origin(&folder.join(name))));
        origins.into_iter().collect()
    }

    /// Keeps these texts soon, and forgets those of the zones that left.
    pub fn post(&self, fresh: Vec<(String, Texts)>, left: Vec<String>) {
        if fresh.is_empty() && left.is_empty() {
            return;
        }
        let mut state = self.0.state();
        state.waiting.changes.extend(left.into_iter().map(|origin| (origin, None)));
        state.waiting.changes.extend(fresh.into_iter().map(|(origin, texts)| (origin, Some(texts))));
        self.start(state);
    }

    /// Removes, soon, what is of no zone among these, and what a crash left: once after a start.
    pub fn post_sweep<'a>(&self, zones: impl Iterator<Item = &'a str>) {
        if !self.0.folder.is_dir() {
            return;
        }
        let mut state = self.0.state();
        state.waiting.only = Some(zones.map(file::name).collect::<HashSet<_>>());
        self.start(state);
    }

    /// Keeps these now, where nothing is kept for their zones yet: texts from another place.
    ///
    /// # Errors
    /// The first reason why one of them is not kept.
    pub(super) fn take_over(&self, texts: Vec<(String, Texts)>) -> Result<(), String> {
        let kept: HashSet<String> = self.origins().into_iter().collect();
        let new = texts.into_iter().filter(|(origin, _)| !kept.contains(origin));
        let changes = new.map(|(origin, texts)| (origin, Some(texts))).collect();
        let outcome = batch::keep(&self.0.folder, Batch { changes, only: None });
        outcome.why.map_or(Ok(()), Err)
    }

    /// Whether a zone has no text, or an older one than was handed over.
    pub fn lacks(&self, origin: &str) -> bool {
        self.0.state().lacking.contains(origin)
    }

    /// Why texts are not kept; none while all are.
    pub fn failing(&self) -> Option<String> {
        self.0.state().failing.clone()
    }

    /// Whether all that was handed over is on the disk or has failed.
    pub fn are_settled(&self) -> bool {
        !self.0.state().busy
    }

    /// Waits until all that was handed over is on the disk or has failed, for so long at most. Whether it is.
    pub fn settle(&self, limit: Duration) -> bool {
        let state = self.0.state();
        let waited = self.0.idle.wait_timeout_while(state, limit, |state| state.busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn start(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.busy, true) {
            return;
        }
        let inner = self.0.clone();
        let spawned = std::thread::Builder::new().name("zone-texts".to_owned()).spawn(move || inner.work());
        if let Err(why) = spawned {
            state.busy = false;
            let changes = std::mem::take(&mut state.waiting).changes;
            let lacking = changes.into_iter().filter_map(|(origin, texts)| texts.and(Some(origin))).collect();
            state.note(Outcome { lacking, why: Some(format!("no thread to write them: {why}")), ..Outcome::default() });
        }
    }
}

impl Inner {
    fn work(&self) {
        // Refused at worst: then it writes as fast as others answer.
        let _ = rustix::process::nice(NICE);
        loop {
            let batch = {
                let mut state = self.state();
                if state.waiting.is_empty() {
                    state.busy = false;
                    self.idle.notify_all();
                    return;
                }
                std::mem::take(&mut state.waiting)
            };
            let origins: Vec<String> = batch.fresh().map(str::to_owned).collect();
            let (began, count) = (Instant::now(), origins.len());
            let kept = catch_unwind(AssertUnwindSafe(|| batch::keep(&self.folder, batch)));
            let outcome = kept.unwrap_or_else(|panic| Outcome {
                lacking: origins.into_iter().collect(),
                why: Some(format!("it panicked: {}", panic_text(&*panic))),
                ..Outcome::default()
            });
            tracing::debug!(count, written = outcome.written, took = ?began.elapsed(), "texts of zones kept");
            self.state().note(outcome);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What came of a batch.
    fn note(&mut self, outcome: Outcome) {
        for origin in &outcome.settled {
            self.lacking.remove(origin);
        }
        self.lacking.extend(outcome.lacking);
        match outcome.why {
            Some(why) => {
                if self.failing.is_none() {
                    tracing::error!(why, "the last good texts of zones are not kept");
                }
                self.failing = Some(why);
            }
            None if self.lacking.is_empty() && self.failing.is_some() => {
                tracing::info!("the last good texts of all zones are kept again");
                self.failing = None;
            }
            None => {}
        }
    }
}

/// The text of a zone, from wherever it stands; none where there is none.
fn read(folder: &Path, origin: &str) -> Result<Option<Texts>, Unreadable> {
    let name = file::name(origin);
    if let Some(texts) = file::read(&folder.join(&name), origin)? {
        return Ok(Some(texts));
    }
    if folder.join(file::gone(&name)).exists() {
        return Ok(None);
    }
    Pack::open(folder)?.map_or(Ok(None), |pack| pack.read(origin))
}

/// Texts by origin; none where they go.
type Changes = BTreeMap<String, Option<Texts>>;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn texts(text: &str) -> Texts {
        let files = [("a.zone".to_owned(), text.as_bytes().to_vec()), ("b.inc".to_owned(), vec![0xff, 0])];
        Texts { main: "a.zone".to_owned(), files: files.into() }
    }

    fn kept(scratch: &tempfile::TempDir) -> KeptTexts {
        KeptTexts::new(scratch.path().join("zone-texts"))
    }

    fn names(scratch: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(scratch.path().join("zone-texts")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_posted_is_read_again() {
        let scratch = tempfile::tempdir().unwrap();
        let all = kept(&scratch);
        let long = format!("{}.", "a".repeat(60)).repeat(4);
        let origins = [".", "shop.example.", "a\\/b.example.", "\\000\\255.", &long];
        all.post(origins.iter().map(|origin| (origin.to_string(), texts(origin))).collect(), Vec::new());
        assert!(all.settle(LIMIT));
        let again = kept(&scratch);
        for origin in origins {
            assert_eq!(again.get(origin), Some(texts(origin)), "{origin}");
        }
        assert_eq!(again.get("other.example."), None);
        let mut sorted: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        sorted.sort();
        assert_eq!(again.origins(), sorted);
        assert!(names(&scratch).contains(&"shop.example.text".to_owned()), "{:?}", names(&scratch));
    }

    #[test]
    fn of_two_texts_the_later_stays_and_what_left_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let all = kept(&scratch);
        all.post(vec![("a.".to_owned(), texts("1")), ("b.".to_owned(), texts("1"))], Vec::new());
        all.post(vec![("a.".to_owned(), texts("2"))], vec!["b.".to_owned()]);
        assert!(all.settle(LIMIT));
        assert_eq!((all.get("a."), all.get("b.")), (Some(texts("2")), None));
        assert_eq!(names(&scratch), ["a.text"]);
    }

    #[test]
    fn a_text_that_is_there_is_not_written_again_and_a_damaged_one_is() {
        use std::os::unix::fs::MetadataExt;
        let scratch = tempfile::tempdir().unwrap();
        let all = kept(&scratch);
        let path = scratch.path().join("zone-texts/a.text");
        let write = |text: &str| {
            all.post(vec![("a.".to_owned(), texts(text))], Vec::new());
            assert!(all.settle(LIMIT));
            fs::metadata(&path).unwrap().ino()
        };
        let first = write("1");
        assert_eq!(write("1"), first);
        assert_ne!(write("2"), first);
        let mut octets = fs::read(&path).unwrap();
        *octets.last_mut().unwrap() ^= 1;
        fs::write(&path, &octets).unwrap();
        assert_eq!(all.get("a."), None);
        write("2");
        assert_eq!(all.get("a."), Some(texts("2")));
    }

    #[test]
    fn leftovers_are_swept_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let all = kept(&scratch);
        all.post(vec![("a.".to_owned(), texts("1")), ("b.".to_owned(), texts("1"))], Vec::new());
        assert!(all.settle(LIMIT));
        for name in ["a.text.new", "c.text.new", "notes.md", "shop.example.zone"] {
            fs::write(scratch.path().join("zone-texts").join(name), "left").unwrap();
        }
        all.post_sweep(["a.", "never-kept."].into_iter());
        assert!(all.settle(LIMIT));
        assert_eq!(names(&scratch), ["a.text", "notes.md", "shop.example.zone"]);
    }

    #[test]
    fn what_cannot_be_kept_is_told_until_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        let all = kept(&scratch);
        fs::write(scratch.path().join("zone-texts"), "a file in the way").unwrap();
        all.post(vec![("a.".to_owned(), texts("1"))], Vec::new());
        assert!(all.settle(LIMIT));
        assert!(all.lacks("a.") && !all.lacks("b.") && all.failing().is_some());
        fs::remove_file(scratch.path().join("zone-texts")).unwrap();
        all.post(vec![("b.".to_owned(), texts("1"))], Vec::new());
        assert!(all.settle(LIMIT));
        assert!(all.failing().is_some(), "one is still missing");
        all.post(vec![("a.".to_owned(), texts("1"))], Vec::new());
        assert!(all.settle(LIMIT));
        assert_eq!((all.failing(), all.lacks("a.")), (None, false));
        assert_eq!(all.get("a."), Some(texts("1")));
    }
}
