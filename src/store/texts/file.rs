//! One text as a file, and the file's name.
//!
//! ```text
//! "PMTEXT" (6)  0 (1)  version (1)  length of the head (4)  checksum of the head (8)  head  texts, one after the other
//! ```
//!
//! The head is JSON: origin, main file, and of each file its key and its length; and the digest of all that is kept. The
//! digest does two things: it tells whether a text is the one that is there already, and whether what is read is what was
//! written. Lengths are little-endian.
//!
//! A file is named by its origin where that is a plain name, `shop.example.text`; by a hash of it where the origin is
//! long, is the root or holds other octets, `=<32 hex digits>.text`. The head has the origin in full, and reading compares it.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128};

use crate::zone::texts::Texts;

const MARK: &[u8; 7] = b"PMTEXT\0";
const VERSION: u8 = 1;
const ENDING: &str = ".text";
/// What a file is called until it is whole and synced.
const UNFINISHED: &str = ".text.new";
/// What the marker of a text that is none any more is called.
const GONE: &str = ".gone";
/// Octets of a plain name: with its endings it stays below the 255 that file systems take.
const PLAIN: usize = 200;
/// Octets of a head: 1,000 files with the longest paths take less.
const HEAD_LIMIT: u32 = 16 << 20;
/// Octets read at a time where only the digest is wanted.
const CHUNK: usize = 64 * 1024;

/// Why a file is no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is of version {0}, and this program knows version {VERSION}")]
    Version(u8),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it is the text of {0}")]
    OfAnother(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    origin: String,
    main: String,
    files: Vec<(String, u64)>,
    /// In hexadecimal: JSON has no numbers that large.
    digest: String,
}

impl Head {
    pub(super) fn of(origin: &str, texts: &Texts) -> Self {
        let files = texts.files.iter().map(|(key, octets)| (key.to_owned(), octets.len() as u64)).collect();
        let mut head = Self { origin: origin.to_owned(), main: texts.main.clone(), files, digest: String::new() };
        let mut digest = head.begin_digest();
        texts.files.iter().for_each(|(_, octets)| digest.write(octets));
        head.digest = finish(&digest);
        head
    }

    /// The digest of all that is not octets of files; those follow.
    fn begin_digest(&self) -> sip128::SipHasher13 {
        let mut digest = sip128::SipHasher13::new();
        let mut word = |word: &str, number: u64| {
            digest.write_u64(word.len() as u64);
            digest.write(word.as_bytes());
            digest.write_u64(number);
        };
        word(&self.origin, 0);
        word(&self.main, self.files.len() as u64);
        self.files.iter().for_each(|(key, length)| word(key, *length));
        digest
    }
}

fn finish(digest: &sip128::SipHasher13) -> String {
    format!("{:032x}", digest.finish128().as_u128())
}

/// The name of a zone's file.
pub(super) fn name(origin: &str) -> String {
    let plain = origin.strip_suffix('.').unwrap_or(origin);
    let is_plain = !plain.is_empty()
        && plain.len() <= PLAIN
        && !plain.starts_with(['.', '-'])
        && plain.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if is_plain {
        return format!("{plain}{ENDING}");
    }
    let mut hash = sip128::SipHasher13::new();
    hash.write(origin.as_bytes());
    format!("={}{ENDING}", finish(&hash))
}

/// What the file with this name is called until it is whole.
pub(super) fn unfinished(name: &str) -> String {
    format!("{name}.new")
}

/// What stands where the text with this name is none any more, though the pack has one.
pub(super) fn gone(name: &str) -> String {
    format!("{}{GONE}", name.strip_suffix(ENDING).unwrap_or(name))
}

/// The name of the text that a marker says is none any more.
pub(super) fn named_gone(marker: &str) -> Option<String> {
    Some(format!("{}{ENDING}", marker.strip_suffix(GONE)?))
}

/// Whether it is called as a text is.
pub(super) fn is_text(name: &str) -> bool {
    name.ends_with(ENDING)
}

/// Whether it is called as a text that is being written.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

/// Writes a text. Its octets go there as they stand in memory.
pub(super) fn write(to: &mut impl Write, head: &Head, texts: &Texts) -> io::Result<()> {
    to.write_all(&begin(head)?)?;
    texts.files.iter().try_for_each(|(_, octets)| to.write_all(octets))
}

/// Whether these octets are this very text.
pub(super) fn is(octets: &[u8], head: &Head, texts: &Texts) -> bool {
    let Some(rest) = begin(head).ok().and_then(|begin| octets.strip_prefix(&*begin)) else { return false };
    let rest = texts.files.iter().try_fold(rest, |rest, (_, octets)| rest.strip_prefix(octets));
    rest.is_some_and(<[u8]>::is_empty)
}

/// All that stands before the octets of a text.
fn begin(head: &Head) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let length = u32::try_from(head.len()).ok().filter(|length| *length <= HEAD_LIMIT);
    let length = length.ok_or_else(|| io::Error::other("the paths of its files are too long"))?;
    let mut begin = Vec::with_capacity(20 + head.len());
    begin.extend_from_slice(MARK);
    begin.push(VERSION);
    begin.extend_from_slice(&length.to_le_bytes());
    begin.extend_from_slice(&checksum(&head).to_le_bytes());
    begin.extend_from_slice(&head);
    Ok(begin)
}

/// Reads the text of a zone; none where there is no such file.
pub(super) fn read(path: &Path, origin: &str) -> Result<Option<Texts>, Unreadable> {
    let Some((mut file, size)) = open(path)? else { return Ok(None) };
    read_from(&mut file, size, origin).map(Some)
}

/// Reads the text of a zone that is so many octets long.
pub(super) fn read_from(from: &mut impl Read, size: u64, origin: &str) -> Result<Texts, Unreadable> {
    let (head, _) = read_head(from, size)?;
    if head.origin != origin {
        return Err(Unreadable::OfAnother(head.origin));
    }
    let mut digest = head.begin_digest();
    let mut files = Vec::with_capacity(head.files.len());
    for (key, length) in &head.files {
        // The head is of a text that is as long as this says.
        let mut octets = vec![0; usize::try_from(*length).unwrap_or(usize::MAX)];
        from.read_exact(&mut octets)?;
        digest.write(&octets);
        files.push((key.clone(), octets));
    }
    if finish(&digest) != head.digest {
        return Err(Unreadable::Damaged("its digest is wrong"));
    }
    Ok(Texts { main: head.main, files: files.into_iter().collect() })
}

/// The origin that a file says it is of.
pub(super) fn origin(path: &Path) -> Option<String> {
    let (mut file, size) = open(path).ok()??;
    origin_of(&mut file, size)
}

/// The origin that a text so many octets long says it is of.
pub(super) fn origin_of(from: &mut impl Read, size: u64) -> Option<String> {
    Some(read_head(from, size).ok()?.0.origin)
}

/// Whether the file is this very text, every octet of it.
pub(super) fn holds(path: &Path, head: &Head) -> bool {
    let Ok(Some((mut file, size))) = open(path) else { return false };
    let Ok((there, mut left)) = read_head(&mut file, size) else { return false };
    if there != *head {
        return false;
    }
    let mut digest = head.begin_digest();
    let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
    while left > 0 {
        let next = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
        let Some(chunk) = chunk.get_mut(..next) else { return false };
        if file.read_exact(chunk).is_err() {
            return false;
        }
        digest.write(chunk);
        left -= next as u64;
    }
    finish(&digest) == head.digest
}

/// A file and how long it is; none where there is none.
fn open(path: &Path) -> Result<Option<(BufReader<File>, u64)>, Unreadable> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why.into()),
    };
    let size = file.metadata()?.len();
    Ok(Some((BufReader::new(file), size)))
}

/// The head of a text that is so many octets long, and how many follow it.
fn read_head(from: &mut impl Read, size: u64) -> Result<(Head, u64), Unreadable> {
    let (mut mark, mut version, mut length, mut sum) = ([0; 7], [0; 1], [0; 4], [0; 8]);
    from.read_exact(&mut mark)?;
    if mark != *MARK {
        return Err(Unreadable::Damaged("it does not begin as a text does"));
    }
    from.read_exact(&mut version)?;
    if version != [VERSION] {
        return Err(Unreadable::Version(version[0]));
    }
    from.read_exact(&mut length)?;
    from.read_exact(&mut sum)?;
    let length = u32::from_le_bytes(length);
    if length > HEAD_LIMIT || u64::from(length) > size {
        return Err(Unreadable::Damaged("its head is too long"));
    }
    let mut head = vec![0; length as usize];
    from.read_exact(&mut head)?;
    if checksum(&head) != u64::from_le_bytes(sum) {
        return Err(Unreadable::Damaged("its head is not what was written"));
    }
    let head: Head = serde_json::from_slice(&head).map_err(|_| Unreadable::Damaged("its head does not read"))?;
    let octets = head.files.iter().try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length));
    let octets = octets.filter(|octets| octets.checked_add(20 + u64::from(length)) == Some(size));
    let octets = octets.ok_or(Unreadable::Damaged("it has another length than its head says"))?;
    Ok((head, octets))
}

pub(super) fn checksum(octets: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(octets);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn write_to(path: &Path, origin: &str, texts: &Texts) -> Head {
        let head = Head::of(origin, texts);
        write(&mut File::create(path).unwrap(), &head, texts).unwrap();
        head
    }

    fn texts(main: &str, files: &[(&str, &[u8])]) -> Texts {
        let files = files.iter().map(|(key, octets)| (key.to_string(), octets.to_vec())).collect();
        Texts { main: main.to_owned(), files }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(files: Vec<(String, Vec<u8>)>, main: String, origin: String) {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("x.text");
            let texts = Texts { main, files: files.into_iter().collect() };
            let head = write_to(&path, &origin, &texts);
            prop_assert!(holds(&path, &head) && is(&std::fs::read(&path).unwrap(), &head, &texts));
            prop_assert_eq!(read(&path, &origin).unwrap(), Some(texts));
        }

        #[test]
        fn one_changed_bit_or_octet_less_is_found(at: prop::sample::Index, bit in 0..8_u8, octets: Vec<u8>) {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("x.text");
            let texts = texts("a", &[("a", &octets), ("b", b"text")]);
            let head = write_to(&path, "a.", &texts);
            let whole = std::fs::read(&path).unwrap();
            let at = at.index(whole.len());
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            for wrong in [&damaged[..], &whole[..at], &[&whole[..], b"x"].concat()] {
                std::fs::write(&path, wrong).unwrap();
                prop_assert!(read(&path, "a.").is_err());
                prop_assert!(!holds(&path, &head) && !is(wrong, &head, &texts));
            }
        }

        #[test]
        fn names_are_short_stay_in_the_folder_and_differ(origins: HashSet<String>) {
            let names: HashSet<String> = origins.iter().map(|origin| name(&format!("{origin}."))).collect();
            prop_assert_eq!(names.len(), origins.len());
            for name in names {
                prop_assert!(unfinished(&name).len() <= 255 && !name.contains(['/', '\0']) && !name.starts_with('.'));
                prop_assert!(is_text(&name) && is_unfinished(&unfinished(&name)));
                prop_assert_eq!(named_gone(&gone(&name)), Some(name));
            }
        }
    }

    #[test]
    fn a_text_in_the_place_of_another_is_none() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.text");
        write_to(&path, "b.", &texts("b", &[("b", b"1")]));
        assert!(matches!(read(&path, "a."), Err(Unreadable::OfAnother(other)) if other == "b."));
    }

    #[test]
    fn octets_that_move_from_one_file_to_the_next_are_another_text() {
        let first = Head::of("a.", &texts("a", &[("a", b"12"), ("b", b"3")]));
        let second = Head::of("a.", &texts("a", &[("a", b"1"), ("b", b"23")]));
        assert_ne!(first.digest, second.digest);
    }

    #[test]
    fn a_newer_version_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.text");
        write_to(&path, "a.", &texts("a", &[("a", b"1")]));
        let mut octets = std::fs::read(&path).unwrap();
        octets[7] = 9;
        std::fs::write(&path, octets).unwrap();
        assert!(matches!(read(&path, "a."), Err(Unreadable::Version(9))));
    }
}
