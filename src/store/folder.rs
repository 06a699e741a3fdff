//! The store's folder: held by one process, reached by descriptor, set aside when it is damaged.
//!
//! sled is given the folder as `/proc/self/fd/N`. Such a path goes with the folder when that is renamed: an opening
//! that was given up and wakes later, or a store that is swapped for another, writes to its own folder and never to
//! the one that has taken its name.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::failure::Failure;
use crate::steer::time::Time;

/// Folders set aside that are kept; of more, the oldest go.
pub const SET_ASIDE_KEPT: usize = 5;

/// A folder that this process holds, and no other.
#[derive(Debug)]
pub(super) struct Folder(File);

impl Folder {
    /// Opens the folder, made if it is not there (mode 0700), and takes it for this process.
    pub(super) fn hold(path: &Path) -> Result<Self, Failure> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => sync_parent(path)?,
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(Failure::Unable(format!("{} cannot be made: {why}", path.display()))),
        }
        if !path.is_dir() {
            return Err(Failure::Damaged(format!("{} is not a folder", path.display())));
        }
        let folder = File::open(path)?;
        match folder.try_lock() {
            Ok(()) => Ok(Self(folder)),
            Err(TryLockError::WouldBlock) => Err(Failure::InUse),
            Err(TryLockError::Error(why)) => {
                Err(Failure::Unable(format!("{} cannot be locked: {why}", path.display())))
            }
        }
    }

    /// A path that stays good while this lives, whatever the folder is called.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Puts on the disk which files the folder holds.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// `why` with the folder's own name instead of the descriptor's.
    pub(super) fn named(&self, why: &str, name: &Path) -> String {
        why.replace(&*self.path().to_string_lossy(), &name.to_string_lossy())
    }
}

/// Where a new store is made before it takes the place of a damaged one.
pub(super) fn beside(folder: &Path) -> PathBuf {
    sibling(folder, "new")
}

/// Moves `folder` to `<folder>.damaged-<time>` and `new` to its place. Where the second step fails, the first is
/// undone.
pub(super) fn swap(folder: &Path, new: &Path, now: Time) -> io::Result<PathBuf> {
    let aside = free_name(folder, now);
    fs::rename(folder, &aside)?;
    if let Err(why) = fs::rename(new, folder) {
        fs::rename(&aside, folder)?;
        return Err(why);
    }
    sync_parent(folder)?;
    forget_oldest(folder);
    Ok(aside)
}

/// Puts on the disk that `path` stands in its folder.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// The folders set aside, oldest first.
pub(super) fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let prefix = sibling(folder, "damaged-");
    let Some(Ok(entries)) = folder.parent().map(fs::read_dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.as_os_str().as_encoded_bytes().starts_with(prefix.as_os_str().as_encoded_bytes()))
        .collect();
    found.sort();
    found
}

fn forget_oldest(folder: &Path) {
    let aside = set_aside(folder);
    for oldest in &aside[..aside.len().saturating_sub(SET_ASIDE_KEPT)] {
        tracing::warn!(folder = %oldest.display(), "removing the oldest of more than {SET_ASIDE_KEPT} stores set aside");
        let removed = if oldest.is_dir() { fs::remove_dir_all(oldest) } else { fs::remove_file(oldest) };
        if let Err(why) = removed {
            tracing::warn!(folder = %oldest.display(), %why, "it cannot be removed");
        }
    }
}

/// `<folder>.damaged-20260131T120000Z`, with a number behind it that makes it the last of those with that time.
fn free_name(folder: &Path, now: Time) -> PathBuf {
    let at = i64::try_from(now.0).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let stamp = at.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y%m%dT%H%M%SZ");
    let first = sibling(folder, &format!("damaged-{stamp}"));
    let others = (2..).map(|number| sibling(folder, &format!("damaged-{stamp}-{number:03}")));
    std::iter::once(first.clone()).chain(others).find(|path| !path.exists()).unwrap_or(first)
}

fn sibling(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        let held = Folder::hold(&path).unwrap();
        assert!(matches!(Folder::hold(&path), Err(Failure::InUse)));
        drop(held);
        Folder::hold(&path).unwrap();
    }

    #[test]
    fn the_path_goes_with_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let held = Folder::hold(&scratch.path().join("store")).unwrap();
        fs::rename(scratch.path().join("store"), scratch.path().join("moved")).unwrap();
        fs::write(held.path().join("file"), "x").unwrap();
        assert!(scratch.path().join("moved/file").exists());
    }

    #[test]
    fn five_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        let mut moved = Vec::new();
        for second in [1, 1, 1, 2, 3, 4, 5] {
            fs::create_dir(beside(&path)).unwrap();
            if !path.exists() {
                fs::create_dir(&path).unwrap();
            }
            moved.push(swap(&path, &beside(&path), Time(second * 1000)).unwrap());
        }
        assert_eq!(set_aside(&path), moved[2..]);
        assert!(moved[0].to_string_lossy().ends_with("store.damaged-19700101T000001Z"));
    }

    #[test]
    fn a_swap_that_fails_is_undone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        fs::create_dir(&path).unwrap();
        assert!(swap(&path, &beside(&path), Time(0)).is_err());
        assert!(path.is_dir());
    }
}
