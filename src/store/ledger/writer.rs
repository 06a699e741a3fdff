//! What is written of the ledger, and in which order.
//!
//! ```text
//! new accounts, synced -> pages of hours that are over, synced -> the journal, synced
//! ```
//!
//! The journal is last: with it all that it builds on is there. With a new hour it is another file, put in the place of the one before,
//! so that a crash leaves the hour before as it was, open, or the hour before as a page and a journal of the new one.
//!
//! What fails stays here and is tried again with the next changes. After a journal that failed nothing is appended to it: who
//! writes asks for the open hour as a whole, and that begins another one.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use super::files::{self, Pages};
use super::{Batch, DAYS_KEPT, Damage, HOURS_KEPT, journal, page};
use crate::steer::ledger::{Account, DAY, Line, Run};
use crate::store::failure::Failure;
use crate::store::folder::Folder;

/// A journal that grew by so many octets begins again with the whole hour.
const LONG: u64 = 1 << 20;
/// Pages that wait for a disk that takes none; of more, the oldest is given up.
const HOURS_WAITING: usize = 72;
/// Runs that are kept: a server that falls again and again is told for as long.
const RUNS: usize = 10_000;
/// How long another who holds the folder is waited for: it may be just ending.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands on the disk, and what is to come there.
#[derive(Debug, Default)]
pub(super) struct Writer {
    path: PathBuf,
    held: Option<Held>,
    /// All accounts, where their file is to be written anew.
    anew: Option<Vec<(u32, Account)>>,
    accounts_waiting: Vec<u8>,
    hours_waiting: VecDeque<(u32, Vec<u8>)>,
    runs: Vec<Run>,
    /// Something of this run could not be kept.
    lacking: bool,
    /// What the last run left.
    left: Left,
    /// The hour that old pages were looked for in.
    tended: u32,
}

/// The folder while it is this process's.
#[derive(Debug)]
struct Held {
    folder: Folder,
    accounts: File,
    accounts_length: u64,
    journal: Option<Journal>,
}

/// What the run before left as the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Left {
    #[default]
    Nothing,
    /// A journal of this hour: pages of it or of later ones have none that follows from them.
    Open(u32),
    Damaged,
}

#[derive(Debug)]
struct Journal {
    file: File,
    hour: u32,
    grown: u64,
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    All,
    /// All, and the open hour is to be written as a whole the next time.
    Long,
}

impl Writer {
    /// `anew` are all accounts, where their file is to be written anew.
    pub(super) fn new(path: &Path, runs: Vec<Run>, anew: Option<Vec<(u32, Account)>>, left: Left) -> Self {
        Self { path: path.to_owned(), runs, anew, lacking: left == Left::Damaged, left, ..Self::default() }
    }

    /// Puts a batch on the disk, and what waited.
    ///
    /// # Errors
    /// Not all of it is there. What the open hour says is lost then, and the next batch must have all of it.
    pub(super) fn keep(&mut self, batch: Batch, reading: &RwLock<()>) -> Result<Kept, Failure> {
        let run = self.take(&batch);
        let Some(open) = batch.open else {
            self.close_journal();
            return Err(Failure::Unable("too much waited".to_owned()));
        };
        let kept = self.hold().and_then(|()| {
            self.write_accounts()?;
            self.write_hours()?;
            let octets = if open.whole { journal::begin(&open, &self.runs) } else { journal::next(&open, &run) };
            self.write_journal(open.hour, open.whole, &octets)
        });
        if kept.is_err() {
            self.close_journal();
        } else if std::mem::replace(&mut self.tended, open.hour) != open.hour
            && let Err(why) = self.tend(open.hour, reading)
        {
            tracing::warn!(%why, folder = %self.path.display(), "old hours of the ledger cannot be made days");
        }
        kept
    }

    /// What waits from now on; and the run as it is to be written.
    fn take(&mut self, batch: &Batch) -> Run {
        if let Some(anew) = &mut self.anew {
            anew.extend(batch.accounts.iter().cloned());
        } else {
            self.accounts_waiting.extend(files::encode_accounts(batch.accounts.iter()));
        }
        self.hours_waiting.extend(batch.hours.iter().map(|(hour, lines)| (*hour, page::encode(lines))));
        while self.hours_waiting.len() > HOURS_WAITING {
            self.hours_waiting.pop_front();
            self.lacking = true;
        }
        let run = Run { lacking: batch.run.lacking || self.lacking, ..batch.run };
        match self.runs.last_mut().filter(|last| last.from == run.from) {
            Some(last) => *last = run,
            None => self.runs.push(run),
        }
        let horizon = run.until.0.saturating_sub(u64::from(DAYS_KEPT) * DAY);
        let many = self.runs.len().saturating_sub(RUNS);
        let old = self.runs.iter().take_while(|run| run.until.0 < horizon).count();
        self.runs.drain(..many.max(old));
        run
    }

    /// Takes the folder, made if it is not there, and clears what a crash left.
    fn hold(&mut self) -> Result<(), Failure> {
        if self.held.is_some() {
            return Ok(());
        }
        let folder = patiently(&self.path)?;
        let path = folder.path();
        let pages = Pages::list(&path)?;
        pages.unfinished.iter().try_for_each(fs::remove_file)?;
        match std::mem::take(&mut self.left) {
            Left::Nothing => {}
            Left::Open(hour) => {
                pages.hours.range(hour..).try_for_each(|hour| fs::remove_file(path.join(files::hour(*hour))))?;
            }
            Left::Damaged => fs::rename(path.join(files::JOURNAL), path.join("journal.damaged"))?,
        }
        let accounts = path.join(files::ACCOUNTS);
        if let Some(all) = &self.anew {
            files::put(&path, files::ACCOUNTS, &files::encode_accounts(all.iter()))?;
            self.anew = None;
        }
        let accounts = OpenOptions::new().append(true).create(true).mode(0o600).open(accounts)?;
        folder.sync()?;
        let accounts_length = accounts.metadata()?.len();
        self.held = Some(Held { folder, accounts, accounts_length, journal: None });
        Ok(())
    }

    fn held(&mut self) -> Result<&mut Held, Failure> {
        self.held.as_mut().ok_or(Failure::InUse)
    }

    fn close_journal(&mut self) {
        self.held.iter_mut().for_each(|held| held.journal = None);
    }

    fn write_accounts(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.accounts_waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let held = self.held()?;
        let written = held.accounts.write_all(&waiting).and_then(|()| held.accounts.sync_data());
        match written {
            Ok(()) => held.accounts_length += waiting.len() as u64,
            Err(why) => {
                // Half a line would spoil the next one.
                let _ = held.accounts.set_len(held.accounts_length);
                self.accounts_waiting = waiting;
                return Err(why.into());
            }
        }
        Ok(())
    }

    fn write_hours(&mut self) -> Result<(), Failure> {
        while let Some((hour, octets)) = self.hours_waiting.front() {
            let Some(held) = &self.held else { return Err(Failure::InUse) };
            files::put(&held.folder.path(), &files::hour(*hour), octets)?;
            self.hours_waiting.pop_front();
        }
        Ok(())
    }

    fn write_journal(&mut self, hour: u32, whole: bool, octets: &[u8]) -> Result<Kept, Failure> {
        let held = self.held()?;
        if whole {
            held.journal = None;
            let file = files::put(&held.folder.path(), files::JOURNAL, octets)?;
            held.journal = Some(Journal { file, hour, grown: 0 });
            return Ok(Kept::All);
        }
        let journal = held.journal.as_mut().filter(|journal| journal.hour == hour);
        let journal = journal.ok_or_else(|| Failure::Unable("the open hour is to be written anew".to_owned()))?;
        journal.file.write_all(octets)?;
        journal.file.sync_data()?;
        journal.grown += octets.len() as u64;
        Ok(if journal.grown >= LONG { Kept::Long } else { Kept::All })
    }

    /// Once an hour: days that are over become pages, and what is too old goes.
    fn tend(&self, hour: u32, reading: &RwLock<()>) -> Result<(), Damage> {
        let Some(held) = &self.held else { return Ok(()) };
        let path = held.folder.path();
        let Pages { hours, mut days, .. } = Pages::list(&path)?;
        let today = hour / 24;
        let (hours_from, days_from) = (today.saturating_sub(HOURS_KEPT) * 24, today.saturating_sub(DAYS_KEPT));
        let of_hours = hours.iter().map(|hour| hour / 24);
        let mut over: Vec<u32> = of_hours.filter(|day| (days_from..today).contains(day)).collect();
        over.dedup();
        over.retain(|day| !days.contains(day));
        for day in over {
            match sum(&path, hours.range(day * 24..(day + 1) * 24).map(|hour| files::hour(*hour))) {
                Ok(sum) => drop(files::put(&path, &files::day(day), &page::encode(&sum))?),
                Err(why) => {
                    tracing::warn!(%why, day, "the hours of this day stay until all can be read: it is tried again in an hour");
                    continue;
                }
            }
            days.insert(day);
        }
        // The hours of a day that is not written are all that tells of it.
        let is_told = |hour: &&u32| days.contains(&(**hour / 24)) || **hour / 24 < days_from;
        let old = hours.range(..hours_from).filter(is_told).map(|hour| files::hour(*hour));
        let old: Vec<String> = old.chain(days.range(..days_from).map(|day| files::day(*day))).collect();
        if !old.is_empty() {
            let _nobody_reads = reading.write().unwrap_or_else(PoisonError::into_inner);
            old.iter().try_for_each(|name| fs::remove_file(path.join(name)))?;
        }
        Ok(())
    }
}

/// The sum of pages.
fn sum(folder: &Path, pages: impl Iterator<Item = String>) -> Result<Vec<Line>, Damage> {
    let mut sums: BTreeMap<u32, Line> = BTreeMap::new();
    for name in pages {
        for line in page::read(&folder.join(&name)).map_err(|why| why.of(&name))? {
            let sum = sums.entry(line.account).or_insert(Line { account: line.account, ..Line::default() });
            sum.millis += line.millis;
            sum.answers = sum.answers.saturating_add(line.answers);
        }
    }
    Ok(sums.into_values().collect())
}

fn patiently(path: &Path) -> Result<Folder, Failure> {
    let began = Instant::now();
    loop {
        match Folder::hold(path) {
            Err(Failure::InUse) if began.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(20)),
            held => return held,
        }
    }
}
