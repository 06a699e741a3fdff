//! Folders that are watched for changes, straight from the kernel (inotify(7)).
//!
//! Watched is what changes a file or its name, and nothing else: a watch that hears of files being opened, as most do, wakes once
//! for each zone that a load reads. Folders below are watched too, those that come later from when they come. Where a link leads to
//! a folder, that one is watched. Events wait in the kernel until they are asked for; there is no thread.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::dns::told_when_readable;

/// Octets of events that are read at once; the longest takes 272.
const EVENTS: usize = 8 * 1024;
/// Folders in each other: links may lead round.
const DEEPEST: usize = 64;

/// Folders under watch.
#[derive(Debug)]
pub(super) struct Folders {
    kernel: AsyncFd<OwnedFd>,
    watched: HashMap<i32, Watched>,
    /// What was asked for: watched anew where events were lost.
    roots: Vec<Watched>,
    /// Nothing in here is a change.
    except: PathBuf,
}

#[derive(Clone, Debug)]
struct Watched {
    folder: PathBuf,
    /// Only a file with this name is of interest, and no folder below.
    only: Option<OsString>,
    depth: usize,
}

impl Folders {
    /// Watches nothing yet. Changes in `except`, an absolute path, are none. Needs a runtime.
    pub(super) fn new(except: PathBuf) -> io::Result<Self> {
        let kernel = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { kernel: told_when_readable(kernel)?, watched: HashMap::new(), roots: Vec::new(), except })
    }

    /// Watches a folder (an absolute path) and all below.
    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<()> {
        self.add_root(Watched { folder: folder.to_owned(), only: None, depth: 0 })
    }

    /// Watches one file by its name in its folder.
    pub(super) fn watch_file(&mut self, folder: &Path, name: &OsStr) -> io::Result<()> {
        self.add_root(Watched { folder: folder.to_owned(), only: Some(name.to_owned()), depth: 0 })
    }

    /// Waits for the next change. Nothing is lost where this is given up and asked again.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.kernel.readable().await?;
            ready.clear_ready();
            drop(ready);
            if self.take_events()? {
                return Ok(());
            }
        }
    }

    fn add_root(&mut self, watched: Watched) -> io::Result<()> {
        self.add(watched.clone())?;
        self.roots.push(watched);
        Ok(())
    }

    fn add(&mut self, watched: Watched) -> io::Result<()> {
        let flags = WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&self.kernel, &watched.folder, flags)?;
        let known = self.watched.get(&number).filter(|known| known.only.is_none());
        if known.is_some_and(|known| watched.only.is_some() || is_same(&known.folder, &watched.folder)) {
            // By another path, which is as good. One that leads there no longer was renamed, and so were those below.
            return Ok(());
        }
        let depth = watched.depth + 1;
        let mut below = Vec::new();
        if watched.only.is_none() && depth < DEEPEST {
            below = folders_in(&watched.folder);
            below.retain(|folder| !folder.starts_with(&self.except));
        }
        self.watched.insert(number, watched);
        below.into_iter().try_for_each(|folder| self.add_below(Watched { folder, only: None, depth }))
    }

    /// One that was a folder a moment ago. One that may not be read is passed over, as zones in it are.
    fn add_below(&mut self, watched: Watched) -> io::Result<()> {
        use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        match self.add(watched) {
            Err(why) if matches!(why.kind(), NotFound | NotADirectory | PermissionDenied) => Ok(()),
            other => other,
        }
    }

    /// Events were lost: folders may have come, gone or got other names.
    fn watch_anew(&mut self) -> io::Result<()> {
        self.watched.clear();
        self.roots.clone().into_iter().try_for_each(|root| self.add(root))
    }

    /// Takes all events that wait; whether any is a change.
    fn take_events(&mut self) -> io::Result<bool> {
        let (mut changed, mut lost, mut new, mut gone) = (false, false, Vec::new(), Vec::new());
        let mut octets = [MaybeUninit::uninit(); EVENTS];
        let mut events = Reader::new(&self.kernel, &mut octets);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(why) => return Err(why.into()),
            };
            let kind = event.events();
            lost |= kind.contains(ReadFlags::QUEUE_OVERFLOW);
            if kind.contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            }
            let (Some(watched), Some(name)) = (self.watched.get(&event.wd()), event.file_name()) else { continue };
            let name = OsStr::from_bytes(name.to_bytes());
            let path = watched.folder.join(name);
            if watched.only.as_ref().is_some_and(|only| only != name) || path.starts_with(&self.except) {
                continue;
            }
            changed = true;
            let came = kind.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            if came && watched.only.is_none() && watched.depth + 1 < DEEPEST && path.is_dir() {
                new.push(Watched { folder: path, only: None, depth: watched.depth + 1 });
            }
        }
        gone.iter().for_each(|number| drop(self.watched.remove(number)));
        if lost {
            self.watch_anew()?;
        } else {
            new.into_iter().try_for_each(|folder| self.add_below(folder))?;
        }
        // Events that were lost may have been any.
        Ok(changed || lost)
    }
}

/// Whether two paths lead to one folder now.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    one == other || place(one).is_some_and(|one| Some(one) == place(other))
}

/// The folders in a folder, and the links that lead to one. One that cannot be read has none.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_folder = |entry: &fs::DirEntry| match entry.file_type() {
        // What the folder says costs nothing; there may be 100,000 files.
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir()),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    };
    entries.flatten().filter(is_folder).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Change<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

    fn folders(scratch: &tempfile::TempDir) -> (Folders, PathBuf) {
        let zones = scratch.path().canonicalize().unwrap().join("zones");
        fs::create_dir_all(zones.join("data")).unwrap();
        fs::create_dir_all(zones.join("below/deeper")).unwrap();
        fs::write(zones.join("a.example"), "a").unwrap();
        let mut folders = Folders::new(zones.join("data")).unwrap();
        folders.watch(&zones).unwrap();
        (folders, zones)
    }

    /// Events are there when the call that caused them returns.
    fn changed(folders: &mut Folders) -> bool {
        folders.take_events().unwrap()
    }

    #[tokio::test]
    async fn whatever_changes_a_file_or_its_name_is_a_change() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut folders, zones) = folders(&scratch);
        assert!(!changed(&mut folders));
        let changes: [(&str, Change<'_>); 6] = [
            ("written", &|zones| fs::write(zones.join("a.example"), "b")),
            ("made", &|zones| fs::write(zones.join("b.example"), "b")),
            ("moved", &|zones| fs::rename(zones.join("b.example"), zones.join("c.example"))),
            ("removed", &|zones| fs::remove_file(zones.join("c.example"))),
            ("below", &|zones| fs::write(zones.join("below/deeper/x.inc"), "b")),
            ("linked", &|zones| symlink("a.example", zones.join("d.example"))),
        ];
        for (what, change) in changes {
            change(&zones).unwrap();
            folders.changed().await.unwrap();
            assert!(!changed(&mut folders), "{what}: told once");
        }
    }

    #[tokio::test]
    async fn reading_is_no_event_and_what_the_server_writes_is_no_change() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut folders, zones) = folders(&scratch);
        fs::read(zones.join("a.example")).unwrap();
        fs::read_dir(&zones).unwrap().count();
        let mut octets = [MaybeUninit::uninit(); EVENTS];
        let nothing = Reader::new(&folders.kernel, &mut octets).next().map(|event| event.events());
        assert_eq!(nothing.unwrap_err(), Errno::AGAIN, "a load wakes nobody");
        fs::write(zones.join("data/token"), "x").unwrap();
        fs::remove_dir_all(zones.join("data")).unwrap();
        fs::create_dir(zones.join("data")).unwrap();
        fs::write(zones.join("data/token"), "x").unwrap();
        assert!(!changed(&mut folders));
    }

    #[tokio::test]
    async fn folders_that_come_are_watched_and_those_that_go_are_not() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut folders, zones) = folders(&scratch);
        let other = scratch.path().join("other");
        fs::create_dir_all(other.join("inner")).unwrap();
        fs::rename(&other, zones.join("moved")).unwrap();
        assert!(changed(&mut folders));
        fs::write(zones.join("moved/inner/x"), "x").unwrap();
        assert!(changed(&mut folders), "below one that was moved here");
        let before = folders.watched.len();
        fs::remove_dir_all(zones.join("moved")).unwrap();
        assert!(changed(&mut folders));
        assert_eq!(folders.watched.len(), before - 2);
    }

    #[tokio::test]
    async fn a_folder_that_got_another_name_is_watched_by_that() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut folders, zones) = folders(&scratch);
        fs::rename(zones.join("below"), zones.join("other")).unwrap();
        assert!(changed(&mut folders));
        fs::create_dir(zones.join("other/deeper/new")).unwrap();
        assert!(changed(&mut folders));
        fs::write(zones.join("other/deeper/new/x"), "x").unwrap();
        assert!(changed(&mut folders), "one that came below it is found");
    }

    #[tokio::test]
    async fn where_events_were_lost_all_is_watched_anew() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut folders, zones) = folders(&scratch);
        let before = folders.watched.len();
        folders.watched.clear();
        folders.watch_anew().unwrap();
        assert_eq!(folders.watched.len(), before);
        fs::write(zones.join("below/deeper/x"), "x").unwrap();
        assert!(changed(&mut folders));
    }

    #[tokio::test]
    async fn links_are_followed_and_may_lead_round() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut folders, zones) = folders(&scratch);
        let other = scratch.path().join("other");
        fs::create_dir(&other).unwrap();
        symlink(&zones, zones.join("below/round")).unwrap();
        symlink(&other, zones.join("there")).unwrap();
        assert!(changed(&mut folders));
        fs::write(other.join("x.example"), "x").unwrap();
        assert!(changed(&mut folders));
    }

    #[tokio::test]
    async fn of_one_file_others_are_no_change() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folders = Folders::new("/nowhere".into()).unwrap();
        folders.watch_file(scratch.path(), OsStr::new("a.toml")).unwrap();
        fs::write(scratch.path().join("b.toml"), "x").unwrap();
        fs::create_dir(scratch.path().join("below")).unwrap();
        assert!(!changed(&mut folders) && folders.watched.len() == 1);
        fs::write(scratch.path().join("a.new"), "x").unwrap();
        fs::rename(scratch.path().join("a.new"), scratch.path().join("a.toml")).unwrap();
        assert!(changed(&mut folders));
        assert!(folders.watch(&scratch.path().join("a.toml")).is_err(), "no folder");
    }
}
