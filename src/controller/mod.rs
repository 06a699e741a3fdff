//! The one task that owns the mutable state: the only writer of verdicts, overrides and selections.
//!
//! ```text
//!   requests (api, watch) ──┐                       ┌──> published: what dns/ answers with
//!   reports (health) ───────┼──> Task: steer/ ──────┼──> commands: what health/ probes
//!   zones (blocking load) ──┘                       └──> store: what a restart takes up
//! ```
//!
//! Whatever comes in is told to the core (`steer::steering`), and its effects go out in this order: publish first, so that
//! answers change before anything else can fail; then probes; then log and store. The task never waits for a disk, a
//! socket or a lock: zones are read and compiled on blocking threads, the store has its own thread, and an order is
//! acknowledged by a task of its own once the store says that it is kept.

mod areas;
mod books;
mod clock;
pub mod drills;
mod explain;
#[cfg(test)]
mod figures;
mod flattened;
mod folders;
mod inquire;
pub mod jurisdiction;
mod keeping;
pub mod message;
mod overrides;
pub mod past;
mod publish;
mod rates;
mod rehearsal;
mod reload;
mod retired;
mod task;
pub mod view;
mod views;
mod watch;
mod zones;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::areas::DatabaseFile;
pub use self::clock::{Clock, timestamp};
use self::message::Sender;
use self::task::Task;
use self::view::Serving;
pub use self::watch::Watch;
use crate::config::{Config, ConfigFile};
use crate::health::message::{Command, Report};
use crate::image;
use crate::image::published::Published;
use crate::steer::observation::Family;
use crate::store::Opened;

/// Requests that may wait.
const REQUESTS: usize = 1_024;

/// What the controller is made of.
pub struct Parts {
    pub config: Config,
    /// Where a reload reads the configuration from; none: it stays as it is.
    pub config_file: Option<ConfigFile>,
    pub vantage: Arc<str>,
    /// Keys the hash that brings clients to their candidates.
    pub client_key: [u8; 16],
    pub clock: Clock,
    pub opened: Opened,
    pub commands: mpsc::Sender<Command>,
    pub reports: mpsc::Receiver<Report>,
    /// Families that the vantage has no route for, as `health` sees it.
    pub families_without_route: Arc<dyn Fn() -> Vec<Family> + Send + Sync>,
    /// Why probes do not keep their pace, while they do not.
    pub probes_behind: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Datagrams that the kernel dropped before `dns` saw them.
    pub udp_dropped: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// TCP connections that are open.
    pub tcp_connections: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Threads that answer, and count in the tally that is published.
    pub threads: usize,
    pub serving: channel::Receiver<Serving>,
    /// Told of the database of countries as it was read last, so that a change of it is seen.
    pub database: channel::Sender<Option<DatabaseFile>>,
    pub stop: CancellationToken,
}

/// A controller that runs.
pub struct Running {
    pub sender: Sender,
    pub published: Arc<ArcSwap<Published>>,
    pub task: JoinHandle<()>,
}

/// Loads the zones, takes up what was kept, publishes the first answers, and starts the task.
pub async fn start(parts: Parts) -> Running {
    let (sender, requests) = mpsc::channel(REQUESTS);
    let mut task = Task::new(parts, requests);
    task.load_first().await;
    let published = task.published();
    Running { sender, published, task: tokio::spawn(task.run()) }
}

/// What `image/` needs of a configuration.
fn image_settings(config: &Config, client_key: [u8; 16]) -> image::Settings {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    image::Settings {
        nsid: text(&config.dns.nsid).map(String::into_bytes),
        tcp_idle: Some(config.dns.tcp.idle.0),
        version: text(&config.dns.version),
        identity: text(&config.dns.id),
        client_key,
        // Nobody outside can learn which names fall together; the next reload draws again.
        seed: getrandom::u64().unwrap_or_default(),
    }
}
