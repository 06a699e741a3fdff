//! Many small texts in one file: 10,000 files take half a second to make, and one takes little more than its octets.
//!
//! ```text
//! "PMPACK" (6)  0 (1)  version (1)  how many (8)  where the index begins (8)  checksum of the two (8)  texts  index
//! ```
//!
//! A text stands in it as in a file of its own (`file.rs`), so each has its own checksum and digest. The index has 24 octets a
//! text: the hash of its origin (8), where it begins (8) and its length (8), in the order of the hashes; one text is found by
//! halving. Numbers are little-endian. A pack is never changed: another one takes its place.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use siphasher::sip::SipHasher13;

use super::file::{self, Head, Unreadable, checksum};
use crate::zone::texts::Texts;

/// What the pack is called.
pub(super) const NAME: &str = "small.pack";
/// What it is called until it is whole and synced.
pub(super) const UNFINISHED: &str = "small.pack.new";

const MARK: &[u8; 7] = b"PMPACK\0";
const VERSION: u8 = 1;
/// Octets before the first text.
const BEGIN: u64 = 32;
/// Octets of an entry of the index.
const ENTRY: usize = 24;
/// Octets of a zone's files and of their paths: a zone that has more has a file of its own.
const SMALL: usize = 64 * 1024;
/// A small text is no longer than this with its head, whatever JSON makes of the paths.
const LONGEST: u64 = 1 << 20;
/// Octets read and written at a time.
const CHUNK: usize = 256 * 1024;

/// Where one text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) hash: u64,
    place: u64,
    length: u64,
}

/// What an origin is found by. Two origins may have one hash: the text's head says whose it is.
pub(super) fn hash(origin: &str) -> u64 {
    let mut hash = SipHasher13::new();
    hash.write(origin.as_bytes());
    hash.finish()
}

/// Whether the text is for a pack.
pub(super) fn is_small(texts: &Texts) -> bool {
    let mut left = Some(SMALL);
    for (key, octets) in texts.files.iter() {
        left = left.and_then(|left| left.checked_sub(key.len() + octets.len()));
    }
    left.is_some()
}

/// A whole pack.
#[derive(Debug)]
pub(super) struct Pack {
    file: File,
    count: u64,
    /// Where the index begins.
    index: u64,
}

impl Pack {
    /// Opens the pack of a folder; none where there is none.
    pub(super) fn open(folder: &Path) -> Result<Option<Self>, Unreadable> {
        let file = match File::open(folder.join(NAME)) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let mut begin = [0; BEGIN as usize];
        match file.read_exact_at(&mut begin, 0) {
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Unreadable::Damaged("it is shorter than its beginning"));
            }
            other => other?,
        }
        let (mark, rest) = begin.split_at(MARK.len());
        let (version, rest) = rest.split_at(1);
        if mark != MARK {
            return Err(Unreadable::Damaged("it does not begin as a pack does"));
        }
        if version != [VERSION] {
            return Err(Unreadable::Version(version.first().copied().unwrap_or(0)));
        }
        let (numbers, sum) = rest.split_at(16);
        let (count, index) = (number(numbers, 0), number(numbers, 8));
        let length = count.checked_mul(ENTRY as u64).and_then(|octets| octets.checked_add(index));
        if checksum(numbers) != number(sum, 0) || length != Some(file.metadata()?.len()) {
            return Err(Unreadable::Damaged("it has another length than it says"));
        }
        Ok(Some(Self { file, count, index }))
    }

    /// The text of a zone; none where it is not in here.
    pub(super) fn read(&self, origin: &str) -> Result<Option<Texts>, Unreadable> {
        let hash = hash(origin);
        let mut at = self.first(hash)?;
        let mut wrong = None;
        while let Some(spot) = self.spot(at)?.filter(|spot| spot.hash == hash) {
            let octets = self.octets(spot)?;
            match file::read_from(&mut &*octets, spot.length, origin) {
                Ok(texts) => return Ok(Some(texts)),
                Err(Unreadable::OfAnother(_)) => {}
                Err(why) => wrong = Some(why),
            }
            at += 1;
        }
        wrong.map_or(Ok(None), Err)
    }

    /// Where every text stands, by hash. Spots beyond the pack are left out: their texts are lost.
    pub(super) fn spots(&self) -> io::Result<Vec<Spot>> {
        let mut octets = vec![0; usize::try_from(self.count).unwrap_or(0) * ENTRY];
        self.file.read_exact_at(&mut octets, self.index)?;
        let spots = octets.chunks_exact(ENTRY).map(Spot::of).filter(|spot| self.holds(*spot));
        let mut spots: Vec<Spot> = spots.collect();
        spots.sort_unstable();
        Ok(spots)
    }

    /// All texts with their origins; none for those that are damaged.
    pub(super) fn origins(&self, mut spots: Vec<Spot>) -> Vec<(Spot, Option<String>)> {
        spots.sort_unstable_by_key(|spot| spot.place);
        let mut reading = Reading::new(self);
        let mut origin = |spot: Spot| file::origin_of(&mut reading.octets(spot).ok()?, spot.length);
        spots.into_iter().map(|spot| (spot, origin(spot))).collect()
    }

    /// The first entry that has this hash or a higher one.
    fn first(&self, hash: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)?.hash < hash {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    fn spot(&self, at: u64) -> Result<Option<Spot>, Unreadable> {
        if at >= self.count {
            return Ok(None);
        }
        let spot = self.entry(at)?;
        if self.holds(spot) { Ok(Some(spot)) } else { Err(Unreadable::Damaged("its index leads out of it")) }
    }

    fn entry(&self, at: u64) -> io::Result<Spot> {
        let mut octets = [0; ENTRY];
        self.file.read_exact_at(&mut octets, self.index + at * ENTRY as u64)?;
        Ok(Spot::of(&octets))
    }

    fn holds(&self, spot: Spot) -> bool {
        let end = spot.place.checked_add(spot.length);
        spot.length <= LONGEST && spot.place >= BEGIN && end.is_some_and(|end| end <= self.index)
    }

    fn octets(&self, spot: Spot) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; usize::try_from(spot.length).unwrap_or(0)];
        self.file.read_exact_at(&mut octets, spot.place)?;
        Ok(octets)
    }
}

impl Spot {
    fn of(entry: &[u8]) -> Self {
        Self { hash: number(entry, 0), place: number(entry, 8), length: number(entry, 16) }
    }

    fn entry(self) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        for (place, number) in entry.chunks_exact_mut(8).zip([self.hash, self.place, self.length]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        entry
    }

    /// The order in which reading goes forward only.
    pub(super) fn place(self) -> u64 {
        self.place
    }
}

/// Texts of a pack, read in the order of their places: many with one system call.
pub(super) struct Reading<'p> {
    pack: &'p Pack,
    begin: u64,
    octets: Vec<u8>,
}

impl<'p> Reading<'p> {
    pub(super) fn new(pack: &'p Pack) -> Self {
        Self { pack, begin: 0, octets: Vec::new() }
    }

    /// One text with its head.
    pub(super) fn octets(&mut self, spot: Spot) -> io::Result<&[u8]> {
        let length = usize::try_from(spot.length).unwrap_or(0);
        if self.at(spot, length).is_none() {
            let most = usize::try_from(self.pack.index.saturating_sub(spot.place)).unwrap_or(CHUNK);
            self.octets.resize(CHUNK.max(length).min(most), 0);
            self.begin = spot.place;
            let read = self.pack.file.read_exact_at(&mut self.octets, spot.place);
            if let Err(why) = read {
                self.octets.clear();
                return Err(why);
            }
        }
        self.at(spot, length).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn at(&self, spot: Spot, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(spot.place.checked_sub(self.begin)?).ok()?;
        self.octets.get(from..from.checked_add(length)?)
    }
}

/// A pack that is being written.
pub(super) struct Writing {
    file: BufWriter<File>,
    spots: Vec<Spot>,
    end: u64,
}

impl Writing {
    pub(super) fn new(mut file: File) -> io::Result<Self> {
        file.seek(io::SeekFrom::Start(BEGIN))?;
        Ok(Self { file: BufWriter::with_capacity(CHUNK, file), spots: Vec::new(), end: BEGIN })
    }

    /// A text of another pack, as it stands there.
    pub(super) fn copy(&mut self, hash: u64, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)?;
        self.add(hash, octets.len() as u64);
        Ok(())
    }

    pub(super) fn put(&mut self, origin: &str, texts: &Texts) -> io::Result<()> {
        let mut octets = Vec::new();
        file::write(&mut octets, &Head::of(origin, texts), texts)?;
        self.copy(hash(origin), &octets)
    }

    /// The whole pack, which is not synced yet.
    pub(super) fn finish(mut self) -> io::Result<File> {
        self.spots.sort_unstable();
        self.spots.iter().try_for_each(|spot| self.file.write_all(&spot.entry()))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let numbers = [(self.spots.len() as u64).to_le_bytes(), self.end.to_le_bytes()].concat();
        let sum = checksum(&numbers).to_le_bytes();
        file.write_all_at(&[MARK, &[VERSION][..], &numbers, &sum].concat(), 0)?;
        Ok(file)
    }

    fn add(&mut self, hash: u64, length: u64) {
        self.spots.push(Spot { hash, place: self.end, length });
        self.end += length;
    }
}

/// The number in eight octets; callers give as many.
fn number(octets: &[u8], at: usize) -> u64 {
    octets.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn texts(octets: &[u8]) -> Texts {
        Texts { main: "a".to_owned(), files: [("a".to_owned(), octets.to_vec())].into() }
    }

    fn write(folder: &Path, all: &HashMap<String, Texts>) {
        let mut writing = Writing::new(File::create(folder.join(NAME)).unwrap()).unwrap();
        all.iter().for_each(|(origin, texts)| writing.put(origin, texts).unwrap());
        writing.finish().unwrap();
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(all: HashMap<String, Vec<u8>>, other: String) {
            let scratch = tempfile::tempdir().unwrap();
            let all: HashMap<String, Texts> = all.iter().map(|(origin, octets)| (origin.clone(), texts(octets))).collect();
            write(scratch.path(), &all);
            let pack = Pack::open(scratch.path()).unwrap().unwrap();
            for (origin, texts) in &all {
                prop_assert_eq!(pack.read(origin).unwrap(), Some(texts.clone()));
            }
            prop_assert_eq!(pack.read(&other).unwrap(), all.get(&other).cloned());
            let mut origins: Vec<_> =
                pack.origins(pack.spots().unwrap()).into_iter().map(|(_, origin)| origin.unwrap()).collect();
            origins.sort();
            let mut expected: Vec<_> = all.into_keys().collect();
            expected.sort();
            prop_assert_eq!(origins, expected);
        }

        #[test]
        fn damage_costs_texts_and_gives_no_other(at: prop::sample::Index, bit in 0..8_u8, cut: bool) {
            let scratch = tempfile::tempdir().unwrap();
            let all: HashMap<String, Texts> = (0..9).map(|zone| (format!("{zone}."), texts(&[zone; 99]))).collect();
            write(scratch.path(), &all);
            let path = scratch.path().join(NAME);
            let mut octets = fs::read(&path).unwrap();
            let at = at.index(octets.len());
            if cut { octets.truncate(at) } else { octets[at] ^= 1 << bit }
            fs::write(&path, octets).unwrap();
            let pack = Pack::open(scratch.path());
            prop_assert!(pack.is_err() || !cut);
            let Ok(Some(pack)) = pack else { return Ok(()) };
            let read = all.iter().filter(|(origin, texts)| match pack.read(origin) {
                Ok(Some(read)) => { assert_eq!(read, **texts); true }
                _ => false,
            });
            // An entry whose hash is another one may hide others from the halving.
            prop_assert!(read.count() < all.len());
            pack.origins(pack.spots().unwrap());
        }
    }

    #[test]
    fn what_is_large_or_has_many_files_is_not_for_a_pack() {
        assert!(is_small(&texts(&[0; SMALL - 1])) && !is_small(&texts(&[0; SMALL])));
        let paths =
            Texts { main: String::new(), files: (0..9).map(|at| (at.to_string().repeat(8_000), vec![])).collect() };
        assert!(!is_small(&paths));
        let mut longest = Vec::new();
        let odd = Texts { main: "\u{1}".repeat(32_000), files: [("\u{1}".repeat(SMALL - 1), vec![0])].into() };
        file::write(&mut longest, &Head::of(&"\u{1}".repeat(1_000), &odd), &odd).unwrap();
        assert!(is_small(&odd) && (longest.len() as u64) < LONGEST);
    }

    #[test]
    fn reading_forward_takes_many_texts_at_once() {
        let scratch = tempfile::tempdir().unwrap();
        let all: HashMap<String, Texts> =
            (0..300).map(|zone: u64| (format!("{zone}."), texts(&vec![zone as u8; zone as usize * 150]))).collect();
        write(scratch.path(), &all);
        let pack = Pack::open(scratch.path()).unwrap().unwrap();
        let mut spots = pack.spots().unwrap();
        spots.sort_unstable_by_key(|spot| spot.place());
        let mut reading = Reading::new(&pack);
        for spot in spots {
            let read = reading.octets(spot).unwrap().to_vec();
            assert_eq!(read, pack.octets(spot).unwrap());
        }
    }
}
