//! The writer: the one thread that changes the store.
//!
//! ```text
//! take what waits -> one batch for sled, seal included -> flush -> sync the log -> write the tip -> acknowledge all
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::event;
use super::failure::StoreError;
use super::folder::Folder;
use super::health::Shared;
use super::kept::Write;
use super::key::{EntryKey, Kind};
use super::seal::{Seal, Tip};
use super::stored::{self, Change};
use super::{Settings, panic_text, value};
use crate::steer::time::Time;

/// A group takes no further batch once it holds so many octets: a commit stays short, and its memory small.
const GROUP_OCTETS: usize = 1024 * 1024;
/// Events that one commit removes at most, beside two for each that it adds: so no commit waits for a long clean-up.
const TRIMMED_AT_ONCE: usize = 256;

/// What goes to the thread.
#[derive(Debug)]
pub(super) enum Order {
    /// Keep these; the reply comes when they are on the disk. Without a reply nobody waits.
    Write(Vec<Write>, Option<oneshot::Sender<Result<(), StoreError>>>),
    /// Keep what was ordered before, close the tree and end.
    Close(oneshot::Sender<()>),
}

/// The thread's own things.
pub(super) struct Writer {
    pub(super) db: sled::Db,
    pub(super) log: File,
    pub(super) tip: Tip,
    pub(super) seal: Seal,
    pub(super) folder: Folder,
    pub(super) settings: Arc<Settings>,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    /// Id and time of the oldest event, where known.
    pub(super) oldest: Option<(u64, Time)>,
}

/// The time, from one reading and the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) opened: Time,
    pub(super) since: Instant,
}

impl Clock {
    fn now(self) -> Time {
        self.opened.after(self.since.elapsed())
    }
}

type Reply = Option<oneshot::Sender<Result<(), StoreError>>>;

/// What one commit changes: pieces by key, none where one goes; and the numbers after it.
struct Group {
    pieces: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    octets: usize,
    seal: Seal,
    events: usize,
    trimmed: usize,
    replies: Vec<Reply>,
}

impl Writer {
    /// Runs until the store is closed or fails.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut closing = None;
        while let Some(first) = orders.blocking_recv() {
            closing = match catch_unwind(AssertUnwindSafe(|| self.serve(first, &mut orders))) {
                Ok(closing) => closing,
                Err(panic) => {
                    self.shared.fail(&format!("it panicked: {}", panic_text(&*panic)));
                    None
                }
            };
            if closing.is_some() || self.shared.check().is_err() {
                break;
            }
        }
        // Whoever still waits is told by the end of the channel.
        drop(orders);
        self.end(closing);
    }

    fn end(self, closing: Option<oneshot::Sender<()>>) {
        let Self { db, log, folder, shared, .. } = self;
        drop(db);
        // sled may panic or wait for ever here if one of its threads died; it does so in this thread alone.
        let closed = catch_unwind(AssertUnwindSafe(|| shared.close_tree()));
        if closed.is_err() {
            shared.fail("it panicked while closing");
        }
        if let Err(why) = log.sync_data() {
            shared.fail(&format!("its last sync failed: {why}"));
        }
        drop(folder);
        if let Some(reply) = closing {
            // Who asked may have stopped waiting.
            let _ = reply.send(());
        }
    }

    /// Commits the first order and what waits behind it. Gives back who asked for the end, if somebody did.
    fn serve(&mut self, first: Order, orders: &mut mpsc::Receiver<Order>) -> Option<oneshot::Sender<()>> {
        let shared = self.shared.clone();
        shared.watched(|| {
            let mut group = Group::after(&self.seal);
            let mut closing = None;
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Write(batch, reply) => self.take(&mut group, &batch, reply),
                    Order::Close(reply) => closing = Some(reply),
                }
                let full = group.octets >= GROUP_OCTETS;
                next = if closing.is_some() || full { None } else { orders.try_recv().ok() };
            }
            self.commit(group);
            closing
        })
    }

    /// Adds a batch to the group, whole or not at all.
    fn take(&self, group: &mut Group, batch: &[Write], reply: Reply) {
        let changes = batch.iter().map(stored::change);
        let staged = changes.collect::<Result<Vec<Change>, StoreError>>().and_then(|changes| {
            changes.into_iter().try_for_each(|change| group.add(&self.db, change)).map_err(|why| self.failed(&why))
        });
        match (staged, reply) {
            (Ok(()), reply) => group.replies.push(reply),
            (Err(why), Some(reply)) => drop(reply.send(Err(why))),
            (Err(why), None) => {
                tracing::warn!(%why, "a batch is not kept");
                self.shared.drop_one();
            }
        }
    }

    fn commit(&mut self, mut group: Group) {
        let began = Instant::now();
        let kept = self.keep(&mut group);
        let count = group.replies.len() as u64;
        match &kept {
            Ok(()) => {
                self.shared.written.fetch_add(count, Ordering::Relaxed);
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                self.shared.trimmed.fetch_add(group.trimmed as u64, Ordering::Relaxed);
                metrics::counter!("pointsman_store_writes_total").increment(count);
                metrics::histogram!("pointsman_store_write_seconds").record(began.elapsed());
            }
            Err(_) => group.replies.iter().filter(|reply| reply.is_none()).for_each(|_| self.shared.drop_one()),
        }
        for reply in group.replies.into_iter().flatten() {
            // Who asked may have stopped waiting.
            let _ = reply.send(kept.clone());
        }
    }

    /// Puts the group on the disk.
    fn keep(&mut self, group: &mut Group) -> Result<(), StoreError> {
        self.shared.check()?;
        self.trim(group).map_err(|why| self.failed(&why))?;
        if group.is_nothing(&self.seal) {
            return Ok(());
        }
        let batch = group.seal_and_batch(&self.db).map_err(|why| self.failed(&why))?;
        self.db.apply_batch(batch).and_then(|()| self.db.flush()).map_err(|why| self.failed(&why))?;
        // After a sync that failed, what the page cache says of the file is not what the disk holds: it is not tried
        // again.
        self.log.sync_data().map_err(|why| self.failed(&why))?;
        self.tip.write(group.seal.sequence).map_err(|why| self.failed(&why))?;
        self.seal = group.seal.clone();
        Ok(())
    }

    /// Removes the oldest events above the number or the age that is kept.
    fn trim(&mut self, group: &mut Group) -> sled::Result<()> {
        let lowest = (group.seal.last_event + 1).saturating_sub(self.settings.keep_events);
        let horizon =
            self.clock.now().before(std::time::Duration::from_secs(u64::from(self.settings.keep_days) * 86_400));
        if self.oldest.is_some_and(|(id, time)| id >= lowest && time >= horizon) {
            return Ok(());
        }
        let trim = event::oldest(&self.db, lowest, horizon, TRIMMED_AT_ONCE + 2 * group.events)?;
        for key in trim.keys {
            // One that this group has just written anew stays.
            group.pieces.entry(key).or_insert(None);
        }
        group.trimmed = trim.events;
        self.oldest = trim.rest;
        Ok(())
    }

    fn failed(&self, why: &impl ToString) -> StoreError {
        let why = self.folder.named(&why.to_string(), &self.settings.folder);
        self.shared.fail(&why);
        StoreError::Gone(why)
    }
}

impl Group {
    fn after(seal: &Seal) -> Self {
        Self { pieces: BTreeMap::new(), octets: 0, seal: seal.clone(), events: 0, trimmed: 0, replies: Vec::new() }
    }

    fn is_nothing(&self, before: &Seal) -> bool {
        self.pieces.is_empty() && self.seal == *before
    }

    fn add(&mut self, tree: &sled::Tree, change: Change) -> sled::Result<()> {
        match change {
            Change::Generation(generation) => self.seal.generation = self.seal.generation.max(generation),
            Change::Event(id, generation, octets) => {
                self.seal.generation = self.seal.generation.max(generation);
                self.put(tree, &EntryKey::event(id), Some(&octets))?;
                self.seal.last_event = self.seal.last_event.max(id);
                self.events += 1;
            }
            Change::Entry(entry, octets) => {
                if let (Some(Kind::Override), Some(id), Some(_)) = (entry.kind(), entry.number(), &octets) {
                    self.seal.last_override = self.seal.last_override.max(id);
                }
                self.put(tree, &entry, octets.as_deref())?;
            }
        }
        Ok(())
    }

    /// Stages an entry in place of what stood there, in the tree or in this group.
    fn put(&mut self, tree: &sled::Tree, entry: &EntryKey, octets: Option<&[u8]>) -> sled::Result<()> {
        let new_event = entry.kind() == Some(Kind::Event) && entry.number() > Some(self.seal.last_event);
        if !new_event {
            for key in tree.scan_prefix(&entry.0).keys() {
                self.pieces.insert(key?.to_vec(), None);
            }
            let staged = self.pieces.range_mut(entry.piece(0)..=entry.piece(u32::MAX));
            staged.for_each(|(_, piece)| *piece = None);
        }
        for (key, piece) in octets.map(|octets| value::cut(entry, octets)).unwrap_or_default() {
            self.octets += piece.len();
            self.pieces.insert(key, Some(piece));
        }
        Ok(())
    }

    /// Brings the seal up to date and makes the batch; what is in the tree already is left out.
    fn seal_and_batch(&mut self, tree: &sled::Tree) -> Result<sled::Batch, StoreError> {
        let mut batch = sled::Batch::default();
        for (key, piece) in &self.pieces {
            let old = tree.get(key).map_err(|why| StoreError::Gone(why.to_string()))?;
            if old.as_deref() == piece.as_deref() {
                continue;
            }
            old.iter().for_each(|old| self.seal.census.take(old));
            match piece {
                Some(piece) => {
                    self.seal.census.add(piece);
                    batch.insert(&key[..], &piece[..]);
                }
                None => batch.remove(&key[..]),
            }
        }
        self.seal.sequence += 1;
        let seal = self.seal.pieces();
        let what = || "the seal".to_owned();
        for (key, piece) in seal.map_err(|why| StoreError::Unencodable { what: what(), why: why.to_string() })? {
            batch.insert(key, piece);
        }
        Ok(batch)
    }
}
