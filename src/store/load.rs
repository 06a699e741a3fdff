//! Opening one folder: sled, the count against the seal, and what a start takes up.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Unreadable;
use super::event::StoredEvent;
use super::failure::Failure;
use super::folder::Folder;
use super::kept::Kept;
use super::key::{EntryKey, Kind};
use super::seal::{Census, Seal, Tip};
use super::stored::{StoredCandidate, StoredDecision};
use super::value::{self, Illegible, Joining};
use crate::steer::overrides::Override;
use crate::zone::texts::Texts;

/// Memory for pages of the log.
const CACHE: u64 = 16 * 1024 * 1024;
/// How long a store that is in use is asked for again: who has it may be just ending.
pub(super) const IN_USE_PATIENCE: Duration = Duration::from_secs(1);
/// How long this process's own log may take to let go of its lock: a busy machine gives its threads no time for a while, and
/// nobody else is going to have it.
const OWN_LOG_PATIENCE: Duration = Duration::from_secs(10);
/// Values named one by one when they cannot be read; more are counted.
const UNREADABLE_NAMED: usize = 100;

/// A store that is open and counted.
pub(super) struct Loaded {
    pub(super) db: sled::Db,
    /// The log again: what is synced after each flush.
    pub(super) log: File,
    pub(super) tip: Tip,
    pub(super) seal: Seal,
    pub(super) kept: Kept,
    /// Texts of zones, which an earlier version kept here.
    pub(super) zones: Vec<(String, Texts)>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// Opens what the folder holds; an empty folder becomes an empty store.
pub(super) fn load(folder: &Folder) -> Result<Loaded, Failure> {
    let path = folder.path();
    let (tip, acknowledged) = Tip::open(&path)?;
    let expected = rehearse(&path, acknowledged)?;
    let db = reopen_log(&path)?;
    let mut reading = Reading::default();
    for entry in db.iter() {
        let (key, piece) = entry?;
        reading.take(&key, &piece)?;
    }
    reading.finish_entry();
    let seal = reading.verified_seal(expected)?;
    let log = sync_files(folder, &path)?;
    tip.write(seal.sequence)?;
    let mut kept = reading.kept;
    (kept.generation, kept.last_event, kept.last_override) = (seal.generation, seal.last_event, seal.last_override);
    Ok(Loaded { db, log, tip, seal, kept, zones: reading.zones, unreadable: reading.unreadable })
}

/// Without sled's own flusher. Its cleaning of segments, which hangs on it, moves pages without a sync between; and it
/// makes no room: 2 million events took 366 MB without it, and 361 MB with it.
fn open_log(path: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None).open()
}

/// Opens the log that was closed a moment ago: sled's threads hold it, and its lock, until they have had time to end.
fn reopen_log(path: &Path) -> Result<sled::Db, Failure> {
    let began = Instant::now();
    loop {
        match open_log(path).map_err(Failure::from) {
            Err(Failure::InUse) if began.elapsed() < OWN_LOG_PATIENCE => thread::sleep(Duration::from_millis(1)),
            opened => return opened,
        }
    }
}

/// Makes a commit that changes nothing but its own number, which the next opening must find; gives that number.
///
/// A damaged octet may stand where nothing lives any more, in the segment that the log ends with. All values are
/// there then, but recovery would stop at that octet, and every commit from now on be lost at the next start.
fn rehearse(path: &Path, acknowledged: u64) -> Result<u64, Failure> {
    let db = open_log(path)?;
    let mut joining = Joining::default();
    for entry in db.scan_prefix(EntryKey::seal().0) {
        let (key, piece) = entry?;
        if let Some((_, number)) = EntryKey::of_piece(&key).filter(|_| value::is_sound(&key, &piece)) {
            joining.add(number, &piece);
        }
    }
    // No seal, or none that can be read: what that means, the count will tell.
    let Some(mut seal) = joining.finish().and_then(|octets| value::decode::<Seal>(&octets).ok()) else {
        return Ok(acknowledged);
    };
    if seal.sequence < acknowledged {
        return Err(cut_short(seal.sequence, acknowledged));
    }
    seal.sequence += 1;
    let mut batch = sled::Batch::default();
    for (key, piece) in seal.pieces().map_err(|why| Failure::Damaged(why.to_string()))? {
        batch.insert(key, piece);
    }
    db.apply_batch(batch)?;
    db.flush()?;
    Ok(seal.sequence)
}

fn cut_short(last: u64, expected: u64) -> Failure {
    Failure::Damaged(format!("its log ends with commit {last}, and commit {expected} was made"))
}

/// sled syncs neither its settings nor its folder, so this does; and gives the log, open for being synced.
fn sync_files(folder: &Folder, path: &Path) -> Result<File, Failure> {
    File::open(path.join("conf"))?.sync_all()?;
    File::open(path.join("blobs"))?.sync_all()?;
    let log = File::open(path.join("db"))?;
    log.sync_all()?;
    folder.sync()?;
    Ok(log)
}

/// The pass over all pieces, which come in the order of their keys.
#[derive(Default)]
struct Reading {
    census: Census,
    /// The entry whose pieces are being read.
    current: Option<(EntryKey, Joining)>,
    seal: Option<Result<Seal, Illegible>>,
    kept: Kept,
    zones: Vec<(String, Texts)>,
    unreadable: Vec<Unreadable>,
    /// The highest numbers met, for a seal that cannot be read.
    last_event: u64,
    last_override: u64,
}

impl Reading {
    fn take(&mut self, key: &[u8], piece: &[u8]) -> Result<(), Failure> {
        let Some((entry, number)) = EntryKey::of_piece(key).filter(|_| value::is_sound(key, piece)) else {
            return Err(Failure::Damaged(format!(
                "the value under key {} is not what was written",
                key.escape_ascii()
            )));
        };
        if entry.kind() != Some(Kind::Seal) {
            self.census.add(piece);
        }
        if self.current.as_ref().is_none_or(|(current, _)| *current != entry) {
            self.finish_entry();
        }
        self.current.get_or_insert_with(|| (entry, Joining::default())).1.add(number, piece);
        Ok(())
    }

    fn finish_entry(&mut self) {
        let Some((entry, joining)) = self.current.take() else { return };
        let octets = joining.finish().ok_or(Illegible::Incomplete);
        if entry.kind() == Some(Kind::Seal) {
            self.seal = Some(octets.and_then(|octets| value::decode(&octets)));
        } else if let Err(why) = octets.and_then(|octets| self.keep(&entry, &octets)) {
            self.report(&entry, &why);
        }
    }

    fn keep(&mut self, entry: &EntryKey, octets: &[u8]) -> Result<(), Illegible> {
        match entry.kind() {
            Some(Kind::Candidate) => {
                let StoredCandidate { key, memory } = value::decode(octets)?;
                self.kept.candidates.push((key, memory));
            }
            Some(Kind::Decision) => {
                let StoredDecision { name, decision } = value::decode(octets)?;
                self.kept.decisions.push((name, decision));
            }
            Some(Kind::Override) => {
                let placed: Override = value::decode(octets)?;
                self.last_override = self.last_override.max(placed.id);
                self.kept.overrides.push(placed);
            }
            Some(Kind::Drill) => self.kept.drills.push(value::decode(octets)?),
            Some(Kind::Zone) => self.zones.push(value::decode_zone(octets)?),
            // Events are read when somebody asks for them.
            Some(Kind::Event) => {
                StoredEvent::check_version(octets)?;
                self.last_event = self.last_event.max(entry.number().unwrap_or(0));
            }
            Some(Kind::Seal) => {}
            None => return Err(Illegible::Content("it is of a kind that this program does not know".to_owned())),
        }
        Ok(())
    }

    fn report(&mut self, entry: &EntryKey, why: &Illegible) {
        let what = match (entry.kind(), entry.number()) {
            (Some(Kind::Event), Some(id)) => format!("event {id}"),
            (Some(Kind::Override), Some(id)) => format!("override {id}"),
            (Some(Kind::Drill), Some(id)) => format!("drill {id}"),
            (Some(kind), _) => format!("{kind:?} {}", entry.0.escape_ascii()).to_lowercase(),
            (None, _) => format!("entry {}", entry.0.escape_ascii()),
        };
        tracing::warn!(what, %why, "a stored value cannot be read and is passed over");
        if self.unreadable.len() < UNREADABLE_NAMED {
            self.unreadable.push(Unreadable { what, why: why.to_string() });
        }
    }

    /// The seal, once it says of the rest what was counted.
    fn verified_seal(&mut self, expected: u64) -> Result<Seal, Failure> {
        let damaged = |why: String| Err(Failure::Damaged(why));
        match self.seal.take() {
            None if self.census != Census::default() => damaged("its seal is missing".to_owned()),
            None if expected > 0 => damaged(format!("all of its {expected} commits are missing")),
            None => Ok(Seal::default()),
            Some(Err(Illegible::Version(version))) => {
                self.report(&EntryKey::seal(), &Illegible::Version(version));
                let (census, last_event, last_override) = (self.census, self.last_event, self.last_override);
                Ok(Seal { sequence: expected, census, generation: 0, last_event, last_override })
            }
            Some(Err(why)) => damaged(format!("its seal: {why}")),
            Some(Ok(seal)) if seal.census != self.census => damaged(format!(
                "its seal tells of {} values, and {} are there or some are of another time",
                seal.census.pieces, self.census.pieces
            )),
            Some(Ok(seal)) if seal.sequence < expected => Err(cut_short(seal.sequence, expected)),
            Some(Ok(seal)) => Ok(seal),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tempfile::TempDir;

    use super::*;
    use crate::steer::drill_report::DrillReport;
    use crate::steer::observation::CandidateKey;
    use crate::steer::overrides::Order;
    use crate::steer::time::Time;
    use crate::steer::transition::{Change, Transition};
    use crate::store::kept::{Event, LastDecision, Write};
    use crate::store::{EventFilter, OpenState, Opened, Settings, open};

    const NOW: Time = Time(1_764_921_600_000);

    fn store(scratch: &TempDir) -> Opened {
        let opened = open(Settings::new(scratch.path().join("store")), NOW);
        assert_eq!(opened.state, OpenState::Fine);
        opened
    }

    fn frozen(id: u64) -> Override {
        let (author, reason) = ("anna".to_owned(), "audit".to_owned());
        Override { id, order: Order::Freeze, author, reason, placed: NOW, until: None, empty: None }
    }

    fn some_writes() -> Vec<Write> {
        let key = CandidateKey { name: "www.a.".into(), candidate: "bunny".into() };
        vec![
            Write::Candidate(key, Default::default()),
            Write::Decision(
                "www.a.".to_owned(),
                LastDecision { intervals: vec![(65_536, "bunny".to_owned())], areas: Vec::new() },
            ),
            Write::Override(frozen(1)),
            Write::Override(frozen(2)),
        ]
    }

    /// Opens sled. A child that another test is just starting holds the lock of every open file until its program runs,
    /// so a lock that is held is asked for again; `open` does the same.
    fn unlocked(folder: &std::path::Path) -> sled::Db {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match sled::open(folder) {
                Err(sled::Error::Io(error)) if std::time::Instant::now() < deadline => {
                    assert!(error.to_string().contains("could not acquire lock"), "{error}");
                    std::thread::yield_now();
                }
                opened => return opened.unwrap(),
            }
        }
    }

    /// Closes the store, lets `change` work on its entries as a program of another version would, and opens it again.
    async fn reopened(scratch: &TempDir, opened: Opened, change: impl Fn(&mut BTreeMap<EntryKey, Vec<u8>>)) -> Opened {
        opened.store.close().await.unwrap();
        let tree = unlocked(&scratch.path().join("store"));
        let mut entries: BTreeMap<EntryKey, Vec<u8>> = BTreeMap::new();
        for pair in tree.iter() {
            let (key, piece) = pair.unwrap();
            let (entry, number) = EntryKey::of_piece(&key).unwrap();
            entries.entry(entry).or_default().extend(&piece[if number == 0 { 12 } else { 8 }..]);
        }
        change(&mut entries);
        tree.clear().unwrap();
        let sealed = entries.get(&EntryKey::seal()).and_then(|seal| value::decode::<Seal>(seal).ok());
        let mut census = Census::default();
        for (entry, octets) in entries {
            for (key, piece) in value::cut(&entry, &octets) {
                if entry != EntryKey::seal() {
                    census.add(&piece);
                }
                tree.insert(key, piece).unwrap();
            }
        }
        for (key, piece) in sealed.map(|seal| Seal { census, ..seal }.pieces().unwrap()).unwrap_or_default() {
            tree.insert(key, piece).unwrap();
        }
        tree.flush().unwrap();
        drop(tree);
        store(scratch)
    }

    #[tokio::test]
    async fn values_of_a_newer_program_are_told_and_passed_over() {
        let scratch = tempfile::tempdir().unwrap();
        let opened = store(&scratch);
        opened.store.write(some_writes()).await.unwrap();
        let opened = reopened(&scratch, opened, |entries| {
            entries.get_mut(&EntryKey::placed(1)).unwrap()[0] = 9;
            *entries.get_mut(&EntryKey::decision("www.a.")).unwrap() = b"\x01{\"name\": 5}".to_vec();
            entries.insert(EntryKey(b"quorum".to_vec()), vec![1, 2, 3]);
        })
        .await;
        let told: Vec<&str> = opened.unreadable.iter().map(|unreadable| unreadable.what.as_str()).collect();
        assert!(
            matches!(told[..], [decision, "override 1", "entry quorum"] if decision.starts_with("decision d")),
            "{told:?}"
        );
        assert_eq!(opened.unreadable[1].why, "it is of version 9, and this program knows version 1");
        assert_eq!(opened.kept.overrides, [frozen(2)]);
        assert_eq!((opened.kept.candidates.len(), opened.kept.decisions.len(), opened.kept.last_override), (1, 0, 2));

        // What is written over them is read again; what is not stays for the newer program.
        opened.store.write(some_writes()).await.unwrap();
        opened.store.close().await.unwrap();
        let again = store(&scratch);
        assert_eq!(again.kept.overrides, [frozen(1), frozen(2)]);
        assert_eq!(again.unreadable.len(), 1);
    }

    #[tokio::test]
    async fn records_of_drills_are_taken_up_and_forgotten() {
        let scratch = tempfile::tempdir().unwrap();
        let opened = store(&scratch);
        let record = |id: u64, state: &str| -> DrillReport {
            let text = format!(
                r#"{{"id":{id},"program":"0","vantage":"a","drill":{{"provider":"bunny","per_mille":10}},"author":"anna",
                "reason":"audit","planned":5,"until":9,"state":"{state}","why":"{}"}}"#,
                "x".repeat(10_000)
            );
            serde_json::from_str(&text).unwrap()
        };
        let write = |id, state| Write::Drill(Box::new(record(id, state)));
        opened.store.write(vec![write(1, "running"), write(2, "did-not-begin")]).await.unwrap();
        opened.store.write(vec![write(1, "over"), write(3, "missed"), Write::ForgetDrill(2)]).await.unwrap();
        let opened = reopened(&scratch, opened, |entries| entries.get_mut(&EntryKey::drill(3)).unwrap()[0] = 9).await;
        assert_eq!(opened.kept.drills, [record(1, "over")]);
        assert_eq!(opened.unreadable[0].what, "drill 3");
    }

    #[tokio::test]
    async fn texts_that_an_earlier_version_kept_here_become_files() {
        let scratch = tempfile::tempdir().unwrap();
        let opened = store(&scratch);
        opened.store.write(some_writes()).await.unwrap();
        let texts = |text: &str| Texts { main: "a".to_owned(), files: [("a".to_owned(), text.into())].into() };
        opened.store.texts().post(vec![("b.".to_owned(), texts("newer"))], Vec::new());
        let opened = reopened(&scratch, opened, |entries| {
            for origin in ["a.", "b."] {
                entries.insert(EntryKey::zone(origin), value::encode_zone(origin, &texts("old")));
            }
        })
        .await;
        assert_eq!(opened.store.texts().get("a."), Some(texts("old")));
        assert_eq!(opened.store.texts().get("b."), Some(texts("newer")));
        let opened = reopened(&scratch, opened, |entries| {
            assert!(entries.keys().all(|entry| entry.kind() != Some(Kind::Zone)));
        })
        .await;
        assert_eq!(opened.store.texts().get("a."), Some(texts("old")));
        assert_eq!(opened.kept.overrides.len(), 2);
    }

    #[tokio::test]
    async fn a_seal_of_a_newer_program_is_made_anew() {
        let scratch = tempfile::tempdir().unwrap();
        let opened = store(&scratch);
        opened.store.write(some_writes()).await.unwrap();
        let opened = reopened(&scratch, opened, |entries| entries.get_mut(&EntryKey::seal()).unwrap()[0] = 9).await;
        assert_eq!(opened.unreadable[0].what, "seal s");
        assert_eq!((opened.kept.overrides.len(), opened.kept.last_override), (2, 2));
        opened.store.write(vec![Write::Generation(7)]).await.unwrap();
        opened.store.close().await.unwrap();
        let again = store(&scratch);
        assert_eq!((again.unreadable.len(), again.kept.generation, again.kept.last_override), (0, 7, 2));
    }

    #[tokio::test]
    async fn an_event_of_a_newer_program_is_left_out_of_pages_and_trimmed_by_its_number() {
        let scratch = tempfile::tempdir().unwrap();
        let settings = Settings { keep_events: 2, ..Settings::new(scratch.path().join("store")) };
        let opened = open(settings.clone(), NOW);
        let change = Change::Decision { subject: "www.a.".into(), from: "static".into(), to: "bunny".into() };
        let event = |id| Event {
            id,
            generation: id,
            transition: Transition { at: NOW, change: change.clone(), why: "".into() },
        };
        opened.store.write(vec![Write::Event(event(1)), Write::Event(event(2))]).await.unwrap();
        let opened = reopened(&scratch, opened, |entries| entries.get_mut(&EntryKey::event(1)).unwrap()[0] = 9).await;
        assert_eq!(opened.unreadable[0].what, "event 1");
        let all = EventFilter { limit: 10, ..EventFilter::default() };
        assert_eq!(opened.store.events(all.clone()).await.unwrap().events, [event(2)]);
        opened.store.close().await.unwrap();

        let opened = open(settings, NOW);
        opened.store.write(vec![Write::Event(event(3))]).await.unwrap();
        opened.store.write(vec![Write::Event(event(4))]).await.unwrap();
        assert_eq!(opened.store.events(all).await.unwrap().events, [event(4), event(3)]);
        assert_eq!(opened.store.health().counts.trimmed, 2);
    }
}
