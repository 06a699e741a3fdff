//! The store: what is kept over a restart, in sled 0.34.
//!
//! Verdicts, the last decision of each name, the history and overrides in sled; the last good text of each zone (`texts`) and
//! the ledger (`ledger`) in files beside it. None of it is read while a question is answered, and the server serves without it:
//! whatever goes wrong here ends in a state that is told, never in a panic or a wait.
//!
//! # What stands where
//!
//! All in one tree, since sled's batches are atomic within a tree only. A key is the entry's kind, what tells it from
//! others of its kind, and the number of a piece (4 octets, big-endian); numbers are big-endian, so that entries
//! stand in their order.
//!
//! | key | entry | written |
//! | --- | --- | --- |
//! | `c` hash of name and candidate (16) | a candidate's memory: `{key, memory}` | with each change of a verdict |
//! | `d` hash of the name (16) | the last non-empty decision: `{name, decision}` | with each decision |
//! | `e` id (8) | an event: its time, `{generation, transition}` | once; removed when it is too old, or one too many |
//! | `o` id (8) | an override | when placed; removed when released or expired |
//! | `r` id (8) | the record of a drill | when it begins, something happens to it, or it ends; removed when one too many |
//! | `z` hash of the origin (16) | a zone's text, of an earlier version | never; made a file when the store opens, and removed |
//! | `s` | the seal: what all others must be, and the numbers that only count up | with every commit |
//!
//! Each entry begins with a version, is cut into pieces of 4 KiB, and each piece has a checksum (`value.rs`). In the
//! folder stand sled's own `db` (the log), `conf`, `blobs/` (empty always: no page of ours grows to 128 KiB) and
//! `snap.*`, and beside them our `tip`, the number of the last commit that was acknowledged (`seal.rs`).
//!
//! # One thread writes
//!
//! Handles send batches through a bounded channel; one thread takes what waits, and commits it as one batch
//! (`writer.rs`). Thus:
//!
//! - the order of writes is the order of sending, with no lock;
//! - a sync is shared by all that waited for it: a sync costs the same for one verdict as for the thousand of a
//!   provider that falls;
//! - the seal can be kept: it is the sum over all that is there, so two writers would each undo the other's;
//! - sled may panic or wait for ever when its file or one of its threads fails. Then it is this thread that is lost,
//!   and not a task that serves. Every commit is timed; one that takes too long ends the store (`health.rs`).
//!
//! Reading (the start, pages of events) needs no such order and goes past the thread.
//!
//! # What a crash leaves behind
//!
//! A commit is: apply the batch, flush, **`fdatasync` the log**, write the tip, acknowledge. sled's flush ends with
//! `sync_file_range`, which says nothing of the file's length nor of the disk's cache; the `fdatasync` is ours. So
//! when the process or the machine stops
//!
//! - before the flush: nothing of the batch is there;
//! - within the flush or before the sync: all of the batch or nothing. sled puts a marker before a batch that tells
//!   where it must end, and its recovery stops at a batch whose end is not there;
//! - after the sync: all of it is there, acknowledged or not. Who got no answer must look.
//!
//! Batches that were posted are committed like all others, as soon as the thread comes to them: at most one commit
//! later. What is lost with them, at worst, the next probe finds again.
//!
//! A sync that fails is not tried again: after it, the page cache may call clean what the disk never took. The store
//! is gone until the next start, and writes say so.
//!
//! # What damage leaves behind
//!
//! Opening runs in a thread of its own with a time limit (`opening.rs`), rehearses a commit, opens again, reads every
//! entry once, and counts it against the seal (`load.rs`). If sled fails, panics or hangs, if a checksum or the sum is wrong, or the log ends before the
//! tip, then the store is set aside: a new one is made in `<folder>.new`, and when that works, the old is renamed to
//! `<folder>.damaged-<time>` and the new one takes its place. At most 5 are kept so. If no new one can be made
//! either, nothing is moved. A disk that is full or read-only, or a folder that another process holds, is no damage:
//! the store stays where it is, and this start has none.
//!
//! A value of a version that this program does not know is passed over, reported, and left for the program that wrote
//! it.

mod event;
mod failure;
mod folder;
mod health;
pub mod kept;
mod key;
mod ledger;
mod load;
mod opening;
mod past;
mod seal;
mod stored;
mod texts;
mod value;
mod writer;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

pub use event::{EVENTS_LIMIT, EVENTS_SCANNED, EventFilter, EventsPage};
pub use failure::StoreError;
pub use folder::SET_ASIDE_KEPT;
pub use health::{Condition, Counts, Health};
pub use ledger::{DAYS_KEPT, HOURS_KEPT, KeptLedgerFiles, Served, ServedQuery};
pub use opening::{OpenState, Opened, open};
pub use past::{Past, clients};
pub use texts::KeptTexts;

use crate::steer::time::Time;
use health::Shared;
use kept::Write;
use opening::panic_text;
use writer::{Order, Writer};

/// What the store must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it stands: `<data>/store`.
    pub folder: PathBuf,
    /// Where the texts of zones stand: `<data>/zone-texts`.
    pub texts: PathBuf,
    /// Where the ledger stands: `<data>/ledger`.
    pub ledger: PathBuf,
    /// How long opening may take in all.
    pub open_limit: Duration,
    /// How long one commit may take, or a look through the events; after a commit that takes longer the store counts
    /// as gone.
    pub write_limit: Duration,
    /// Events kept by number ...
    pub keep_events: u64,
    /// ... and by age.
    pub keep_days: u32,
    /// Batches that may wait.
    pub queue: usize,
}

impl Settings {
    /// The defaults: texts in `zone-texts` and the ledger in `ledger` beside the store, 30 s to open, 30 s to write, 100,000 events, 90 days, 1,024
    /// batches waiting.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            texts: folder.with_file_name("zone-texts"),
            ledger: folder.with_file_name("ledger"),
            folder,
            open_limit: Duration::from_secs(30),
            write_limit: Duration::from_secs(30),
            keep_events: 100_000,
            keep_days: 90,
            queue: 1024,
        }
    }
}

/// A value that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// `event 12`, `override 3`, `zone z\x01...`.
    pub what: String,
    pub why: String,
}

/// The handle to the store. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct Store {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    texts: KeptTexts,
    ledger: KeptLedgerFiles,
    queue: usize,
    write_limit: Duration,
}

impl Store {
    /// The last good texts of zones. They are kept where nothing else can be, too.
    pub fn texts(&self) -> &KeptTexts {
        &self.texts
    }

    /// The ledger. It is kept where nothing else can be, too.
    pub fn ledger(&self) -> &KeptLedgerFiles {
        &self.ledger
    }

    /// Keeps all of the batch or nothing. The future ends when it is on the disk, flushed and synced. Dropping the
    /// future does not call the batch back.
    ///
    /// # Errors
    /// `TooLarge` and `Unencodable`: nothing is kept, the store goes on. `Gone` and `Closed`: nothing is kept.
    /// `Late`: not known.
    pub async fn write(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        self.shared.check()?;
        let (reply, answer) = oneshot::channel();
        let kept = async {
            let order = Order::Write(batch, Some(reply));
            self.orders.send(order).await.map_err(|_| self.ended())?;
            answer.await.unwrap_or_else(|_| Err(self.ended()))
        };
        self.watched(kept).await
    }

    /// As `write`, but the batch has its place in the order of all when this returns, not when the future is polled: who
    /// leaves the waiting to another task still has its batches kept one after the other.
    ///
    /// # Errors
    /// Those of `write`; `Full` where too many batches wait already.
    pub fn submit(&self, batch: Vec<Write>) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let placed = self.place(Order::Write(batch, Some(reply)));
        let store = self.clone();
        async move {
            placed?;
            store.watched(async { answer.await.unwrap_or_else(|_| Err(store.ended())) }).await
        }
    }

    /// Keeps all of the batch or nothing, soon: nobody waits for the disk. Order among writes and posts is kept.
    ///
    /// # Errors
    /// `Full`, `Gone`, `Closed`: the batch is dropped, and counted.
    pub fn post(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let posted = self.place(Order::Write(batch, None));
        if posted.is_err() {
            self.shared.drop_one();
        }
        posted
    }

    /// Events, newest first. Looks at no more than 20,000 of them; the page says where to go on.
    ///
    /// # Errors
    /// `Gone`, `Closed`; `Late` where the disk does not answer.
    pub async fn events(&self, filter: EventFilter) -> Result<EventsPage, StoreError> {
        self.read(move |tree| event::page(tree, &filter)).await
    }

    /// What the ledger says of a time: all that was handed over before this was called.
    ///
    /// # Errors
    /// `Gone` where it is not kept or cannot be read, `Closed`; `Late` where the disk does not answer.
    pub async fn served(&self, query: ServedQuery) -> Result<Served, StoreError> {
        let ledger = self.ledger.clone();
        self.blocking(move || ledger.served(&query)).await
    }

    /// What the history says of a name at one moment.
    ///
    /// # Errors
    /// `Gone`, `Closed`; `Late` where the disk does not answer.
    pub async fn past(&self, name: String, at: Time) -> Result<Past, StoreError> {
        self.write(Vec::new()).await?;
        let ledger = self.ledger.clone();
        self.read(move |tree| Ok(Past { runs: ledger.runs()?, ..past::past(tree, &name, at)? })).await
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&sled::Tree) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check()?;
        let shared = self.shared.clone();
        let look = move || {
            let tree = shared.tree.read().unwrap_or_else(PoisonError::into_inner);
            tree.as_ref().map_or(Err(StoreError::Closed), |tree| look(tree))
        };
        self.blocking(look).await
    }

    /// Waits for a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.write_limit, tokio::task::spawn_blocking(look)).await {
            Ok(Ok(found)) => found,
            Ok(Err(failed)) => Err(StoreError::Gone(match failed.try_into_panic() {
                Ok(panic) => format!("reading panicked: {}", panic_text(&*panic)),
                Err(_) => "the program is ending".to_owned(),
            })),
            Err(_) => Err(StoreError::Late(self.write_limit)),
        }
    }

    /// Keeps what was written and posted before, texts and ledger too, and closes: the folder is free for another process then.
    /// Other handles get `Closed` from now on.
    ///
    /// # Errors
    /// `Gone`, where the store had failed or fails now; `Late`.
    pub async fn close(self) -> Result<(), StoreError> {
        let (texts, limit) = (self.texts.clone(), self.write_limit);
        if !tokio::task::spawn_blocking(move || texts.settle(limit)).await.unwrap_or(false) {
            tracing::error!("texts of zones are still being written: they are kept with the next start");
        }
        let ledger = self.ledger.clone();
        match tokio::task::spawn_blocking(move || ledger.close(limit)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::error!(%why, "the ledger's last seconds are not stored"),
            Err(why) => tracing::error!(%why, "the ledger did not close well"),
        }
        self.shared.check()?;
        let (reply, answer) = oneshot::channel();
        let closed = async {
            self.orders.send(Order::Close(reply)).await.map_err(|_| self.ended())?;
            answer.await.map_err(|_| self.ended())?;
            self.shared.check()
        };
        self.watched(closed).await
    }

    /// How it is, without waiting.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Starts the thread.
    fn start(settings: &Settings, shared: Arc<Shared>, writer: Writer, ledger: &KeptLedgerFiles) -> io::Result<Self> {
        let (orders, received) = mpsc::channel(settings.queue.max(1));
        thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(received))?;
        Ok(Self::with(orders, shared, settings, ledger))
    }

    /// A store that keeps nothing; `shared` has failed already.
    fn refusing(settings: &Settings, shared: Arc<Shared>, ledger: &KeptLedgerFiles) -> Self {
        let (orders, _) = mpsc::channel(1);
        Self::with(orders, shared, settings, ledger)
    }

    fn with(orders: mpsc::Sender<Order>, shared: Arc<Shared>, settings: &Settings, ledger: &KeptLedgerFiles) -> Self {
        let (texts, ledger) = (KeptTexts::new(&settings.texts), ledger.clone());
        Self { orders, shared, texts, ledger, queue: settings.queue, write_limit: settings.write_limit }
    }

    /// Gives an order its place among those that wait.
    fn place(&self, order: Order) -> Result<(), StoreError> {
        self.shared.check()?;
        self.orders.try_send(order).map_err(|why| match why {
            TrySendError::Full(_) => StoreError::Full(self.queue),
            TrySendError::Closed(_) => self.ended(),
        })
    }

    /// Waits for the thread as long as it gets on: many batches may stand before this one, but each commit has its
    /// limit.
    async fn watched(&self, answer: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
        let mut answer = pin!(answer);
        loop {
            match tokio::time::timeout(self.write_limit / 4, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) if self.shared.check().is_err() => return Err(StoreError::Late(self.write_limit)),
                Err(_) => {}
            }
        }
    }

    /// Why the thread has ended.
    fn ended(&self) -> StoreError {
        self.shared.check().err().unwrap_or(StoreError::Closed)
    }
}
