//! Watching the zones folder and the configuration: a change is a reload.
//!
//! Folders are watched, not files: editors and configuration systems replace a file by renaming another over it. A burst of
//! changes is one reload: 200 ms after the last of them, at the latest 2 s after the first. Where watching is not to be
//! had, that is said once, it is tried again every 2 s, and SIGHUP still reloads. When it is to be had again, all is
//! loaded again: nobody knows what changed in between.
//!
//! The database of countries is not watched but looked at, every 2 s: whether it is the file that was read last.
//!
//! The kernel watches a folder, not its path. So every 2 s it is looked whether the path still leads to that folder: one
//! that comes later, is made anew, or is a link that now leads elsewhere is watched from then on.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use super::areas::DatabaseFile;
use super::folders::Folders;
use super::message::{Request, Sender};

const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(2);

/// What is watched. Made before the zones are read, so that no change falls between.
pub struct Watch {
    paths: Paths,
    seen: Seen,
    /// None: nothing is watched now.
    folders: Option<Folders>,
    /// That is said.
    said: bool,
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
    /// Begins to watch. Needs a runtime.
    pub fn begin(
        zones: PathBuf,
        config: Option<PathBuf>,
        data: PathBuf,
        database: watch::Receiver<Option<DatabaseFile>>,
    ) -> Self {
        let paths = Paths { zones, config, data };
        let mut watch = Self { seen: Seen::now(&paths), folders: None, said: false, paths, database };
        watch.watch();
        watch
    }

    /// Asks `controller` for a reload after each burst of changes, until `stop`.
    pub async fn run(mut self, controller: Sender, stop: CancellationToken) {
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed() => {}
                _ = look.tick() => if !self.leads_elsewhere().await { continue },
            }
            let latest = Instant::now() + LONGEST;
            while let Ok(()) = timeout_at((Instant::now() + QUIET).min(latest), self.changed()).await {}
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

    /// Waits for the next change; for ever, where nothing is watched.
    async fn changed(&mut self) {
        let Some(folders) = &mut self.folders else { return std::future::pending().await };
        if let Err(error) = folders.changed().await {
            self.folders = None;
            self.say(&error);
        }
    }

    /// Looks where the paths lead, and at the database; watches anew where a path has changed.
    async fn leads_elsewhere(&mut self) -> bool {
        let (paths, database) = (self.paths.clone(), self.database.borrow().clone());
        let look = move || (Seen::now(&paths), database.is_some_and(|database| database.has_changed()));
        // A disk that is gone may hold up whoever asks.
        let Ok((now, other_database)) = spawn_blocking(look).await else { return false };
        let moved = now.zones != self.seen.zones;
        let other = now != self.seen;
        self.seen = now;
        let blind = self.folders.is_none();
        if moved || blind {
            self.watch();
        }
        other || other_database || (blind && self.folders.is_some())
    }

    fn watch(&mut self) {
        match folders(&self.paths) {
            Ok(folders) => {
                self.folders = Some(folders);
                if std::mem::take(&mut self.said) {
                    tracing::info!("the zones folder is watched again");
                }
            }
            Err(error) => {
                self.folders = None;
                self.say(&error);
            }
        }
    }

    fn say(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(%error, "the zones folder is not watched: a reload needs SIGHUP; it is tried again");
        }
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

fn folders(paths: &Paths) -> io::Result<Folders> {
    let zones = fs::canonicalize(&paths.zones)?;
    let mut folders = Folders::new(fs::canonicalize(&paths.data).unwrap_or_else(|_| paths.data.clone()))?;
    folders.watch(&zones)?;
    let config = paths.config.as_deref().and_then(|config| Some((config.parent()?, config.file_name()?)));
    if let Some((folder, name)) = config {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Ok(folder) = fs::canonicalize(folder) {
            folders.watch_file(&folder, name)?;
        }
    }
    Ok(folders)
}
