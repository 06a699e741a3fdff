//! Watching the zones folder and the configuration: a change is a reload.
//!
//! Folders are watched, not files: editors and configuration systems replace a file by renaming another over it. A burst of
//! changes is one reload: 200 ms after the last of them, at the latest 2 s after the first. Where watching is not to be
//! had, that is said once, and SIGHUP still reloads.
//!
//! The database of countries is not watched but looked at, every 2 s: whether it is the file that was read last.
//!
//! The kernel watches a folder, not its path. So every 2 s it is looked whether the path still leads to that folder: one
//! that comes later, is made anew, or is a link that now leads elsewhere is watched from then on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use super::areas::DatabaseFile;
use super::message::{Request, Sender};

const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(2);

/// What is watched. Made before the zones are read, so that no change falls between.
pub struct Watch {
    paths: Paths,
    seen: Seen,
    /// None: nothing is watched now.
    watcher: Option<RecommendedWatcher>,
    changes: mpsc::Sender<()>,
    changed: mpsc::Receiver<()>,
    /// As it was read last.
    database: watch::Receiver<Option<DatabaseFile>>,
}

#[derive(Clone, Debug)]
struct Paths {
    zones: PathBuf,
    config: Option<PathBuf>,
    /// What the server writes by itself is no change, should it stand in the zones folder.
    data: PathBuf,
}

/// Where the paths lead: device and inode of the folder; the same, with length and time, of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    zones: Option<(u64, u64)>,
    config: Option<(u64, u64, u64, i64, i64)>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin(
        zones: PathBuf,
        config: Option<PathBuf>,
        data: PathBuf,
        database: watch::Receiver<Option<DatabaseFile>>,
    ) -> Self {
        let paths = Paths { zones, config, data };
        // One that is full means that a reload is due anyway.
        let (changes, changed) = mpsc::channel(1);
        let mut watch = Self { seen: Seen::now(&paths), watcher: None, paths, changes, changed, database };
        watch.watch();
        watch
    }

    /// Asks `controller` for a reload after each burst of changes, until `stop`.
    pub async fn run(mut self, controller: Sender, stop: CancellationToken) {
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.changed.recv() => {}
                _ = look.tick() => if !self.leads_elsewhere().await { continue },
            }
            let latest = Instant::now() + LONGEST;
            while let Ok(Some(())) = timeout_at((Instant::now() + QUIET).min(latest), self.changed.recv()).await {}
            let (reply, report) = oneshot::channel();
            if controller.send(Request::Reload(reply)).await.is_err() {
                return;
            }
            // The next burst waits for this reload; the controller has logged how it went.
            tokio::select! {
                () = stop.cancelled() => return,
                _ = report => {}
            }
        }
    }

    /// Looks where the paths lead, and at the database; watches anew where a path has changed.
    async fn leads_elsewhere(&mut self) -> bool {
        let (paths, database) = (self.paths.clone(), self.database.borrow().clone());
        let look = move || (Seen::now(&paths), database.is_some_and(|database| database.has_changed()));
        // A disk that is gone may hold up whoever asks.
        let Ok((now, other_database)) = spawn_blocking(look).await else { return false };
        if now == self.seen {
            return other_database;
        }
        let moved = now.zones != self.seen.zones;
        self.seen = now;
        if moved || self.watcher.is_none() {
            self.watch();
        }
        true
    }

    fn watch(&mut self) {
        self.watcher = match watcher(&self.paths, self.changes.clone()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "the zones folder is not watched: a reload needs SIGHUP");
                None
            }
        };
    }
}

impl Seen {
    fn now(paths: &Paths) -> Self {
        let config = paths.config.as_ref().and_then(|config| fs::metadata(config).ok());
        Self {
            zones: fs::metadata(&paths.zones).ok().map(|meta| (meta.dev(), meta.ino())),
            config: config.map(|meta| (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())),
        }
    }
}

fn watcher(paths: &Paths, changes: mpsc::Sender<()>) -> Result<RecommendedWatcher, notify::Error> {
    let zones = fs::canonicalize(&paths.zones).map_err(notify::Error::io)?;
    let (folder, data) = (zones.clone(), fs::canonicalize(&paths.data).unwrap_or_else(|_| paths.data.clone()));
    let config = paths.config.clone();
    let concerned = move |path: &PathBuf| {
        let is_zone = path.starts_with(&folder) && !(data.starts_with(&folder) && path.starts_with(&data));
        is_zone || config.as_deref().is_some_and(|config| path.file_name() == config.file_name())
    };
    let mut watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
        // Events that were lost may have been any.
        if event.as_ref().is_ok_and(|event| !event.need_rescan() && !matters(event, &concerned)) {
            return;
        }
        let _ = changes.try_send(());
    })?;
    watcher.watch(&zones, RecursiveMode::Recursive)?;
    if let Some(folder) = paths.config.as_deref().and_then(Path::parent) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if fs::canonicalize(folder).is_ok_and(|folder| folder != zones) {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
    }
    Ok(watcher)
}

fn matters(event: &Event, concerned: &impl Fn(&PathBuf) -> bool) -> bool {
    let written = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
    written && event.paths.iter().any(concerned)
}
