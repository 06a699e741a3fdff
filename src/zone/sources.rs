//! The texts of one zone while it is read, and where `$INCLUDE` finds more.
//!
//! Every file has a key: its path below the zones folder, with `/` between the parts and no `.` or `..` in it. An
//! `$INCLUDE` is relative to the file it stands in. It never leaves the folder: not by an absolute path, not by `..`, not
//! by a symbolic link. A stored zone is read from its texts by the same keys.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::quality::{FixedState, FoldHasher};

use super::texts::{Shelf, Texts};

/// The largest file, in octets.
pub const MAX_FILE: u64 = 512 << 20;
/// All files of one zone together, in octets; a file counts as often as it is included.
pub const MAX_TOTAL: usize = 1 << 30;
/// `$INCLUDE`s of one zone, those of one file counted each time: ten files that include the next one ten times are 10^10.
pub const MAX_INCLUDES: usize = 10_000;
/// Files of one zone.
pub const MAX_FILES: usize = 1_000;

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("an absolute path leaves the zones folder")]
    Absolute,
    #[error("the path leaves the zones folder")]
    Outside,
    #[error("the path is no text")]
    NotText,
    #[error("it is not among the stored texts of the zone")]
    NotStored,
    #[error("it is no regular file")]
    NotAFile,
    #[error("it is larger than 512 MiB")]
    TooLarge,
    #[error("the files of the zone are larger than 1 GiB together")]
    AllTooLarge,
    #[error("the zone has more than 1,000 files")]
    TooMany,
    #[error("the zone includes files more than 10,000 times")]
    TooOften,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Where files are looked up.
#[derive(Debug)]
pub(super) enum Library<'a> {
    Folder(&'a Path),
    Texts(&'a Texts),
}

#[derive(Debug)]
struct Source {
    key: String,
    shown: String,
    octets: Arc<Vec<u8>>,
    /// How many octets the files before it have.
    base: u32,
}

/// The files read so far; number 0 is the main one.
#[derive(Debug)]
pub(super) struct Sources {
    files: Vec<Source>,
    includes: usize,
    /// What was read, or is read again, so far.
    total: usize,
}

impl Sources {
    pub(super) fn new(key: String, shown: String, octets: Vec<u8>) -> Self {
        let total = octets.len();
        Self { files: vec![Source { key, shown, octets: Arc::new(octets), base: 0 }], includes: 0, total }
    }

    /// Where a file begins, all of the zone's taken as one text: [`MAX_TOTAL`] fits 32 bits.
    pub(super) fn base(&self, file: u16) -> u32 {
        self.files.get(usize::from(file)).map_or(0, |source| source.base)
    }

    /// The file that an octet of that text is in, with its base.
    pub(super) fn file_at(&self, at: u32) -> (u16, u32) {
        // An empty file has the base of the one after it.
        let file = self.files.partition_point(|source| source.base <= at).saturating_sub(1);
        (file as u16, self.files.get(file).map_or(0, |source| source.base))
    }

    pub(super) fn shown(&self, file: u16) -> &str {
        self.files.get(usize::from(file)).map_or("", |source| &source.shown)
    }

    /// The keys of all files, that of the main one first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|source| source.key.as_str())
    }

    pub(super) fn octets(&self, file: u16) -> &[u8] {
        self.files.get(usize::from(file)).map_or(&[], |source| &source.octets)
    }

    /// The text for reading it while others are added.
    pub(super) fn shared(&self, file: u16) -> Arc<Vec<u8>> {
        self.files.get(usize::from(file)).map(|source| Arc::clone(&source.octets)).unwrap_or_default()
    }

    /// Brings in what an `$INCLUDE` in `from` names; a file that was read before is not read again.
    pub(super) fn include(&mut self, library: &Library<'_>, from: u16, path: &[u8]) -> Result<u16, Unreadable> {
        let from = self.files.get(usize::from(from)).map_or("", |source| &source.key);
        let key = key(from, path)?;
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            return Err(Unreadable::TooOften);
        }
        if let Some((at, source)) = self.files.iter().enumerate().find(|(_, source)| source.key == key) {
            self.total = within(self.total, source.octets.len())?;
            return u16::try_from(at).map_err(|_| Unreadable::TooMany);
        }
        if self.files.len() >= MAX_FILES {
            return Err(Unreadable::TooMany);
        }
        let (shown, octets) = match library {
            Library::Folder(root) => (root.join(&key).display().to_string(), read_below(root, &key)?),
            Library::Texts(texts) => (key.clone(), texts.files.get(&key).ok_or(Unreadable::NotStored)?.to_vec()),
        };
        self.total = within(self.total, octets.len())?;
        let base = self.files.last().map_or(0, |last| last.base + last.octets.len() as u32);
        self.files.push(Source { key, shown, octets: Arc::new(octets), base });
        u16::try_from(self.files.len() - 1).map_err(|_| Unreadable::TooMany)
    }

    /// Tells the texts apart from others within one run of the program.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        for source in &self.files {
            digest.take(&source.key, &source.octets);
        }
        digest.finish()
    }

    pub(super) fn into_texts(self, shelf: &Shelf) -> Texts {
        let main = self.files.first().map(|source| source.key.clone()).unwrap_or_default();
        let files = self.files.into_iter().map(|source| {
            let octets = Arc::try_unwrap(source.octets).unwrap_or_else(|shared| shared.as_ref().clone());
            (source.key, shelf.put(octets))
        });
        Texts { main, files: files.collect() }
    }
}

/// The hash of texts with their keys, in the order in which the zone's files name them.
struct Digest(FoldHasher<'static>);

impl Default for Digest {
    fn default() -> Self {
        Self(FixedState::default().build_hasher())
    }
}

impl Digest {
    fn take(&mut self, key: &str, octets: &[u8]) {
        for part in [key.as_bytes(), octets] {
            self.0.write_usize(part.len());
            self.0.write(part);
        }
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// The digest of the files in a folder now, as [`Sources::digest`] has it; none where one of them cannot be had.
pub(super) fn digest_of(folder: &Path, main: &str, octets: &[u8], included: &[String]) -> Option<u64> {
    let mut digest = Digest::default();
    digest.take(main, octets);
    for key in included {
        digest.take(key, &read_below(folder, key).ok()?);
    }
    Some(digest.finish())
}

/// The sum, if it is no more than a zone may have.
fn within(total: usize, more: usize) -> Result<usize, Unreadable> {
    total.checked_add(more).filter(|total| *total <= MAX_TOTAL).ok_or(Unreadable::AllTooLarge)
}

/// The key of `path` as seen from the file with the key `from`.
fn key(from: &str, path: &[u8]) -> Result<String, Unreadable> {
    let path = std::str::from_utf8(path).map_err(|_| Unreadable::NotText)?;
    if path.contains('\0') {
        return Err(Unreadable::NotText);
    }
    if path.starts_with('/') {
        return Err(Unreadable::Absolute);
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(Unreadable::Outside)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Reads a file whose true path, links followed, is below the folder.
fn read_below(root: &Path, key: &str) -> Result<Vec<u8>, Unreadable> {
    let root = root.canonicalize()?;
    let path: PathBuf = root.join(key).canonicalize()?;
    if !path.starts_with(&root) {
        return Err(Unreadable::Outside);
    }
    read(&path)
}

/// Reads a regular file of at most [`MAX_FILE`] octets, whatever it grows to meanwhile.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    // Asked before opening, since opening a device may do something.
    if !fs::metadata(path)?.is_file() {
        return Err(Unreadable::NotAFile);
    }
    read_opened(fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?)
}

/// The same of a file that its folder says is a regular one: with four system calls, since there may be 100,000.
pub(super) fn read_in(folder: &File, name: &str) -> Result<Vec<u8>, Unreadable> {
    use rustix::fs::{Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    read_opened(File::from(openat(folder, name, flags, Mode::empty()).map_err(std::io::Error::from)?))
}

/// Opened without waiting, should it be a FIFO by now, and asked again what it is.
fn read_opened(file: File) -> Result<Vec<u8>, Unreadable> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Unreadable::NotAFile);
    }
    if meta.len() > MAX_FILE {
        return Err(Unreadable::TooLarge);
    }
    let length = usize::try_from(meta.len()).unwrap_or(0);
    let mut octets = vec![0; length + 1];
    let first = (&file).read(&mut octets)?;
    octets.truncate(first);
    if first != length {
        // It is about to change, or a file system that reads in parts.
        file.take(MAX_FILE + 1 - first as u64).read_to_end(&mut octets)?;
    }
    if octets.len() as u64 > MAX_FILE { Err(Unreadable::TooLarge) } else { Ok(octets) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_leave_the_folder() {
        for (from, path, expected) in [
            ("a.zone", "b.inc", Some("b.inc")),
            ("sub/a.inc", "b.inc", Some("sub/b.inc")),
            ("sub/a.inc", "../b.inc", Some("b.inc")),
            ("a.zone", "./sub//x/../b.inc", Some("sub/b.inc")),
            ("a.zone", "../b.inc", None),
            ("sub/a.inc", "../../b.inc", None),
            ("a.zone", "sub/../../zones/b.inc", None),
            ("a.zone", "/etc/passwd", None),
        ] {
            assert_eq!(key(from, path.as_bytes()).ok().as_deref(), expected, "{from} {path}");
        }
    }
}
