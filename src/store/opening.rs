//! Opening: within a time limit, past panics, and past a store that is damaged.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::folder::{self, Folder};
use super::health::Shared;
use super::kept::{Kept, Write};
use super::load::{self, Loaded};
use super::writer::{Clock, Writer};
use super::{KeptLedgerFiles, Settings, Store, Unreadable};
use crate::steer::ledger::KeptLedger;
use crate::steer::time::Time;
use crate::zone::texts::Texts;

/// What opening gave.
#[derive(Debug)]
pub struct Opened {
    /// Refuses all writes where the state is `Gone` or `InUse`.
    pub store: Store,
    pub kept: Kept,
    pub state: OpenState,
    /// Single values that could not be read and are passed over: of a newer version, say. At most 100.
    pub unreadable: Vec<Unreadable>,
}

/// How opening went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenState {
    Fine,
    /// The store was damaged: it was moved, and a new one is in use.
    SetAside {
        why: String,
        moved_to: PathBuf,
    },
    /// No store could be opened, and nothing was moved.
    Gone {
        why: String,
    },
    /// Another process has the folder. Nothing is wrong with the store, but two servers must not share it.
    InUse,
}

/// Opens the store in `settings.folder`, or makes it; `now` is the time of the call. Blocks for at most
/// `settings.open_limit`. It never fails and never panics: what went wrong is in the state, and the store that comes
/// with it refuses writes.
pub fn open(settings: Settings, now: Time) -> Opened {
    let settings = Arc::new(settings);
    let deadline = Instant::now() + settings.open_limit;
    // A store that hangs leaves the last third of the time to the new one.
    match patient_attempt(&settings.folder, settings.open_limit * 2 / 3) {
        Ok((folder, loaded)) => running(&settings, now, folder, loaded, OpenState::Fine),
        Err(Failure::Damaged(why)) => begin_anew(&settings, now, deadline, why),
        Err(Failure::Unable(why)) => without(&settings, OpenState::Gone { why }),
        Err(Failure::InUse) => without(&settings, OpenState::InUse),
    }
}

/// Opens one folder, and asks again for a while if it is in use.
fn patient_attempt(path: &Path, limit: Duration) -> Result<(Folder, Loaded), Failure> {
    let began = Instant::now();
    loop {
        let result = attempt(path, limit.saturating_sub(began.elapsed()));
        if !matches!(result, Err(Failure::InUse)) || began.elapsed() > load::IN_USE_PATIENCE.min(limit) {
            return result;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a new store beside the damaged one, and only when that works puts it in its place.
fn begin_anew(settings: &Arc<Settings>, now: Time, deadline: Instant, damage: String) -> Opened {
    let beside = folder::beside(&settings.folder);
    let left = deadline.saturating_duration_since(Instant::now());
    let made = clear(&beside).and_then(|()| patient_attempt(&beside, left));
    let swapped = made.and_then(|made| match folder::swap(&settings.folder, &beside, now) {
        Ok(moved_to) => Ok((made, moved_to)),
        Err(why) => Err(Failure::Unable(format!("{} cannot be moved: {why}", settings.folder.display()))),
    });
    match swapped {
        Ok(((folder, loaded), moved_to)) => {
            tracing::error!(why = damage, moved_to = %moved_to.display(), "the store was damaged and is set aside");
            running(settings, now, folder, loaded, OpenState::SetAside { why: damage, moved_to })
        }
        Err(Failure::Damaged(why) | Failure::Unable(why)) => {
            without(settings, OpenState::Gone { why: format!("{damage}; and a new one cannot be made: {why}") })
        }
        Err(Failure::InUse) => without(settings, OpenState::InUse),
    }
}

/// Removes what an earlier start left of a new store.
fn clear(beside: &Path) -> Result<(), Failure> {
    if !beside.exists() {
        return Ok(());
    }
    let held = Folder::hold(beside)?;
    let cleared = fs::remove_dir_all(beside).map_err(Failure::from);
    drop(held);
    cleared
}

/// Opens one folder in a thread of its own, which is left to itself when it takes too long.
fn attempt(path: &Path, limit: Duration) -> Result<(Folder, Loaded), Failure> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .map_err(|why| Failure::Unable(format!("{} cannot be made: {why}", parent.display())))?;
    }
    let folder = Folder::hold(path)?;
    let (done, result) = mpsc::sync_channel(1);
    let name = path.to_owned();
    let opening = move || {
        let loaded = catch_unwind(AssertUnwindSafe(|| load::load(&folder)));
        let loaded = loaded
            .unwrap_or_else(|panic| Err(Failure::Damaged(format!("opening it panicked: {}", panic_text(&*panic)))))
            .map_err(|why| why.named(|why| folder.named(why, &name)));
        // A result that comes too late has no taker: the store closes here, and lets go of the folder after that.
        if let Err(mpsc::SendError((loaded, folder))) = done.send((loaded, folder)) {
            drop(loaded);
            drop(folder);
        }
    };
    let spawned = thread::Builder::new().name("store-open".to_owned()).spawn(opening);
    spawned.map_err(|why| Failure::Unable(format!("no thread to open it: {why}")))?;
    match result.recv_timeout(limit) {
        Ok((loaded, folder)) => Ok((folder, loaded?)),
        Err(RecvTimeoutError::Timeout) => Err(Failure::Damaged(format!("opening it took longer than {limit:?}"))),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::Damaged("opening it ended without a result".to_owned())),
    }
}

fn running(settings: &Arc<Settings>, now: Time, folder: Folder, loaded: Loaded, state: OpenState) -> Opened {
    let Loaded { db, log, tip, seal, mut kept, zones, unreadable } = loaded;
    let (ledger, kept_ledger) = KeptLedgerFiles::open(&settings.ledger, settings.write_limit);
    kept.ledger = kept_ledger;
    let shared = Arc::new(Shared::new(Some(db.clone()), settings.write_limit));
    let clock = Clock { opened: now, since: Instant::now() };
    let writer =
        Writer { db, log, tip, seal, folder, settings: settings.clone(), shared: shared.clone(), clock, oldest: None };
    match Store::start(settings, shared, writer, &ledger) {
        Ok(store) => {
            take_over(&store, zones);
            Opened { store, kept, state, unreadable }
        }
        Err(why) => without(settings, OpenState::Gone { why: format!("no thread to write it: {why}") }),
    }
}

/// Texts of zones that an earlier version kept in the store become files, once. Where that fails they stay, and the next start
/// tries again.
fn take_over(store: &Store, zones: Vec<(String, Texts)>) {
    if zones.is_empty() {
        return;
    }
    let forget: Vec<Write> = zones.iter().map(|(origin, _)| Write::ForgetZone(origin.clone())).collect();
    let count = zones.len();
    let taken = store.texts().take_over(zones).and_then(|()| store.post(forget).map_err(|why| why.to_string()));
    match taken {
        Ok(()) => tracing::info!(count, "the texts of zones that stood in the store are files now"),
        Err(why) => tracing::error!(why, "the texts of zones that stand in the store cannot be made files"),
    }
}

fn without(settings: &Arc<Settings>, state: OpenState) -> Opened {
    let why = match &state {
        OpenState::Gone { why } => why.clone(),
        _ => format!("{} is in use by another process", settings.folder.display()),
    };
    let shared = Arc::new(Shared::new(None, settings.write_limit));
    shared.fail(&why);
    let (ledger, kept_ledger) = match &state {
        // Its folder is the other's, too.
        OpenState::InUse => (KeptLedgerFiles::refusing(&settings.ledger, settings.write_limit), KeptLedger::default()),
        _ => KeptLedgerFiles::open(&settings.ledger, settings.write_limit),
    };
    let kept = Kept { ledger: kept_ledger, ..Kept::default() };
    Opened { store: Store::refusing(settings, shared, &ledger), kept, state, unreadable: Vec::new() }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
