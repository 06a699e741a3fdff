//! The ledger on the disk: files in `<data>/ledger`, beside the store.
//!
//! It is written every few seconds, all day. sled keeps what was written over for a long while: 21 MB a day where 2 MB are of use. So
//! the ledger stands in files of its own (`files.rs`): what is new in the open hour is appended to a journal, an hour that is
//! over becomes a page that is never written again, and the hours of a day become a page of that day. Hours are kept for 32 days:
//! last month can be told by the hour until the end of the next report. Days are kept for 400: a year and the time to ask for it.
//!
//! # Written behind the answers
//!
//! Changes are handed over; a thread writes all that waits, and ends when nothing does. Where too much waits, what is to be said of the
//! open hour is dropped, since it can be said anew, as a whole.
//!
//! # What a crash leaves behind
//!
//! Each batch is one record of the journal, synced: it is there whole or not at all, and says until when all is counted. What is torn at
//! the end is passed over. So a start goes on from the last record, and what came after it is the gap that the runs tell of.
//!
//! # What failing leaves behind
//!
//! Where the disk takes nothing, that is said once and told by [`KeptLedgerFiles::failing`]; everything is tried again with each
//! batch, and when it works again nothing is missing, as long as the server runs on.
//!
//! # What cannot be read at the start
//!
//! | what | then |
//! | --- | --- |
//! | the disk does not give the accounts or the journal | nothing is kept or changed until the next start: other accounts would get the numbers of those that are not known |
//! | the journal is damaged | it is set aside, and this run lacks something |
//! | accounts are damaged | their numbers are given to nobody; a time in which they answered lacks something |

mod files;
mod journal;
mod octets;
mod page;
mod served;
mod writer;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

pub use served::{Served, ServedQuery};

use self::files::Pages;
use self::writer::{Kept, Left, Writer};
use super::failure::{Failure, StoreError};
use super::panic_text;
use crate::steer::ledger::{Account, Changes, KeptLedger, Line, Open, Run};

/// Hours are kept for so many days.
pub const HOURS_KEPT: u32 = 32;
/// Days are kept for so many.
pub const DAYS_KEPT: u32 = 400;
/// Batches that wait; with more of them the open hour is to be written as a whole.
const WAITING: usize = 64;

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is of version {0}, which this program does not know")]
    Version(u8),
    #[error("it is damaged: {0}")]
    Octets(&'static str),
    #[error("{0}: {1}")]
    Of(String, Box<Damage>),
}

impl Damage {
    fn of(self, file: &str) -> Self {
        Self::Of(file.to_owned(), Box::new(self))
    }

    /// Whether the disk did not give what stands there: it may the next time.
    fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Io(_) => true,
            Self::Of(_, why) => why.is_of_the_disk(),
            Self::Version(_) | Self::Octets(_) => false,
        }
    }
}

/// The ledger of one data folder. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct KeptLedgerFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// After a write that takes longer it counts as failing.
    limit: Duration,
    state: Mutex<State>,
    /// The thread has ended: nothing waits.
    idle: Condvar,
    writer: Mutex<Writer>,
    /// Held while pages are read, and by who removes some.
    reading: RwLock<()>,
    /// Held by who adds up a time: it reads all its pages, and one after the other is soon enough.
    adding_up: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Batch>,
    /// A thread writes, or is about to; since when.
    busy: Option<Instant>,
    failing: Option<String>,
    wants_whole: bool,
    closed: bool,
}

/// What was handed over at once.
#[derive(Debug)]
struct Batch {
    accounts: Vec<(u32, Account)>,
    hours: Vec<(u32, Vec<Line>)>,
    /// None where it was dropped.
    open: Option<Open>,
    run: Run,
}

impl KeptLedgerFiles {
    /// Takes up what stands in the folder; nothing is changed before the first batch. Blocks for as long as the disk takes.
    pub(super) fn open(folder: &Path, limit: Duration) -> (Self, KeptLedger) {
        let mut state = State::default();
        let (kept, writer) = take_up(folder).unwrap_or_else(|why| {
            tracing::error!(%why, folder = %folder.display(), "the ledger cannot be read: nothing of it is kept until the next start");
            state.failing = Some(format!("{}: {why}", folder.display()));
            state.closed = true;
            (KeptLedger::default(), Writer::default())
        });
        let state = Mutex::new(state);
        let inner = Inner {
            folder: folder.to_owned(),
            limit,
            state,
            idle: Condvar::new(),
            writer: Mutex::new(writer),
            reading: RwLock::default(),
            adding_up: Mutex::default(),
        };
        (Self(Arc::new(inner)), kept)
    }

    /// One that takes nothing: the folder is another process's.
    pub(super) fn refusing(folder: &Path, limit: Duration) -> Self {
        let ledger = Self::open(folder, limit).0;
        ledger.0.state().closed = true;
        ledger
    }

    /// Keeps these soon, with the time that all until now are of. Order is kept.
    pub fn post(&self, changes: Changes, run: Run) {
        let mut state = self.0.state();
        if state.closed {
            return;
        }
        let Changes { accounts, hours, open } = changes;
        state.waiting.push(Batch { accounts, hours, open: Some(open), run });
        if state.waiting.len() > WAITING {
            state.give_up_open();
        }
        self.start(state);
    }

    /// Whether the next batch is to have the open hour as a whole.
    pub fn wants_whole(&self) -> bool {
        self.0.state().wants_whole
    }

    /// Why it is not kept; none while it is.
    pub fn failing(&self) -> Option<String> {
        let state = self.0.state();
        let late = state.busy.filter(|since| since.elapsed() > self.0.limit);
        state.failing.clone().or_else(|| late.map(|_| format!("a write has taken longer than {:?}", self.0.limit)))
    }

    /// Waits until all that was handed over is on the disk or has failed, for so long at most. Whether it is.
    pub fn settle(&self, limit: Duration) -> bool {
        let state = self.0.state();
        let waited = self.0.idle.wait_timeout_while(state, limit, |state| state.busy.is_some());
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Keeps what was handed over, and lets go of the folder.
    ///
    /// # Errors
    /// `Late`; `Gone` where not all of it is on the disk.
    pub(super) fn close(&self, limit: Duration) -> Result<(), StoreError> {
        self.settled(limit)?;
        self.0.state().closed = true;
        let last = std::mem::take(&mut *self.0.writer.lock().unwrap_or_else(PoisonError::into_inner));
        drop(last);
        Ok(())
    }

    /// What was handed over until now, and before, of a time. Blocks.
    ///
    /// # Errors
    /// `Gone` where it is not kept, or the disk does not give a page; `Busy` while another is told; `Late`; `Closed`.
    pub(super) fn served(&self, query: &ServedQuery) -> Result<Served, StoreError> {
        let _alone = match self.0.adding_up.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy),
        };
        self.settled(self.0.limit)?;
        self.read(|folder| served::served(folder, query))
    }

    /// When the server ran, as far as that is on the disk.
    pub(super) fn runs(&self) -> Result<Vec<Run>, StoreError> {
        self.read(served::runs)
    }

    fn read<T>(&self, look: impl FnOnce(&Path) -> Result<T, Damage>) -> Result<T, StoreError> {
        let state = self.0.state();
        if state.closed {
            let gone = |why| StoreError::Gone(format!("the ledger is not kept: {why}"));
            return Err(state.failing.clone().map_or(StoreError::Closed, gone));
        }
        drop(state);
        let _stays = self.0.reading.read().unwrap_or_else(PoisonError::into_inner);
        look(&self.0.folder).map_err(|why| StoreError::Gone(format!("the ledger: {why}")))
    }

    fn settled(&self, limit: Duration) -> Result<(), StoreError> {
        if !self.settle(limit) {
            return Err(StoreError::Late(limit));
        }
        let failing = self.0.state().failing.clone();
        failing.map_or(Ok(()), |why| Err(StoreError::Gone(format!("the ledger is not kept: {why}"))))
    }

    fn start(&self, mut state: MutexGuard<'_, State>) {
        if state.busy.is_some() {
            return;
        }
        state.busy = Some(Instant::now());
        let inner = self.0.clone();
        let spawned = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || inner.work());
        if let Err(why) = spawned {
            // What waits goes with the next batch.
            state.busy = None;
            state.fail(&format!("no thread to write it: {why}"));
        }
    }
}

impl Inner {
    fn work(&self) {
        loop {
            let batches = {
                let mut state = self.state();
                if state.waiting.is_empty() {
                    state.busy = None;
                    self.idle.notify_all();
                    return;
                }
                state.busy = Some(Instant::now());
                std::mem::take(&mut state.waiting)
            };
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            for batch in batches {
                let kept = catch_unwind(AssertUnwindSafe(|| writer.keep(batch, &self.reading)));
                let kept = kept.unwrap_or_else(|panic| Err(Failure::Damaged(panic_text(&*panic))));
                self.state().note(kept, &self.folder);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, kept: Result<Kept, Failure>, folder: &Path) {
        self.wants_whole = kept != Ok(Kept::All);
        match kept {
            Ok(_) if self.failing.take().is_some() => tracing::info!("the ledger is kept again"),
            Ok(_) => {}
            Err(Failure::InUse) => self.fail(&format!("{} is in use by another process", folder.display())),
            Err(Failure::Damaged(why) | Failure::Unable(why)) => self.fail(&format!("{}: {why}", folder.display())),
        }
    }

    fn fail(&mut self, why: &str) {
        if self.failing.is_none() {
            tracing::error!(why, "the ledger is not kept; it is tried again");
            self.failing = Some(why.to_owned());
        }
    }

    /// Keeps of all that waits what cannot be said again.
    fn give_up_open(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.wants_whole = true;
        let united = waiting.into_iter().reduce(|mut all, batch| {
            all.accounts.extend(batch.accounts);
            all.hours.extend(batch.hours);
            Batch { run: batch.run, open: None, ..all }
        });
        self.waiting.extend(united);
    }
}

/// What a start takes up, and who goes on writing.
///
/// # Errors
/// The disk does not give what stands there.
fn take_up(folder: &Path) -> Result<(KeptLedger, Writer), Damage> {
    let (book, left) = match journal::read(&folder.join(files::JOURNAL)) {
        Ok(None) => (journal::Book::default(), Left::Nothing),
        Ok(Some(book)) => {
            let left = Left::Open(book.hour);
            (book, left)
        }
        Err(why) if why.is_of_the_disk() => return Err(why.of(files::JOURNAL)),
        Err(why) => {
            tracing::error!(%why, folder = %folder.display(), "the ledger's open hour cannot be read and is set aside");
            (journal::Book::default(), Left::Damaged)
        }
    };
    if book.torn > 0 {
        tracing::warn!(octets = book.torn, "the ledger's last write was torn by a crash");
    }
    let (all, damaged) = files::read_accounts(folder).map_err(|why| why.of(files::ACCOUNTS))?;
    if damaged > 0 {
        tracing::error!(damaged, "accounts of the ledger are damaged: what they answered is told of nobody");
    }
    let (used, unread) = used(folder, &book);
    let (count, next) = (all.len(), used.last().map_or(0, |run| run.end));
    // Those that no page tells of any longer go.
    let accounts: Vec<_> = all.into_iter().filter(|(number, _)| unread || is_in(&used, *number)).collect();
    let anew = (damaged > 0 || accounts.len() < count).then(|| accounts.clone());
    let writer = Writer::new(folder, book.runs.clone(), anew, left);
    let lines = book.lines.into_values().collect();
    Ok((KeptLedger { accounts, next, runs: book.runs, hour: book.hour, lines }, writer))
}

/// The accounts that pages tell of, as runs of numbers in order; and whether there may be others, in pages that cannot be read.
fn used(folder: &Path, book: &journal::Book) -> (Vec<Range<u32>>, bool) {
    let (pages, mut unread) = match Pages::list(folder) {
        Ok(pages) => (pages, false),
        Err(why) => (Pages::default(), !files::is_none(why.kind())),
    };
    let of_days = pages.days.iter().map(|day| files::day(*day));
    let names = of_days
        .chain(pages.hours.iter().filter(|hour| !pages.days.contains(&(*hour / 24))).map(|hour| files::hour(*hour)));
    let mut runs: BTreeSet<(u32, u32)> =
        book.lines.keys().map(|account| (*account, account.saturating_add(1))).collect();
    for name in names {
        match page::accounts(&folder.join(&name)) {
            Ok(accounts) => runs.extend(accounts.into_iter().map(|run| (run.start, run.end))),
            Err(why) => {
                tracing::warn!(%why, file = name, "a page of the ledger cannot be read");
                unread = true;
            }
        }
    }
    let mut united: Vec<Range<u32>> = Vec::new();
    for (start, end) in runs {
        match united.last_mut().filter(|last| start <= last.end) {
            Some(last) => last.end = last.end.max(end),
            None => united.push(start..end),
        }
    }
    (united, unread)
}

fn is_in(runs: &[Range<u32>], number: u32) -> bool {
    let at = runs.partition_point(|run| run.end <= number);
    runs.get(at).is_some_and(|run| run.contains(&number))
}
