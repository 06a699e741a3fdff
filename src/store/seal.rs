//! The seal: one entry that says what all the others must be, and the tip: which seal was acknowledged last.
//!
//! sled checks each message of its log, but where one is damaged it passes over the rest of that 512 KiB segment, and
//! opens without a word: entries vanish, or stand there as they were before. So each commit also writes how many
//! pieces there are and the sum (modulo 2^64) of their checksums; opening counts again. A piece lost, or one of
//! another time, changes the sum.
//!
//! What the seal cannot show is a log cut short: then an earlier state comes back whole, seal and all. The number of
//! the commit stands therefore in a file beside the log too, `tip`, written after the log is synced and before anyone
//! is told. A log whose seal has a lower number than the tip has lost acknowledged writes. The tip itself is not
//! synced (that would double the cost of a commit): a power cut may bring back an older tip, which says less but
//! nothing wrong.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::key::EntryKey;
use super::value::{self, KeyedPiece};

/// What all entries must be, and the numbers that only count up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// Commits so far.
    pub(super) sequence: u64,
    /// All pieces but the seal's own.
    pub(super) census: Census,
    pub(super) generation: u64,
    pub(super) last_event: u64,
    pub(super) last_override: u64,
}

impl Seal {
    /// Its place in the tree, and its octets there.
    pub(super) fn pieces(&self) -> Result<Vec<KeyedPiece>, serde_json::Error> {
        Ok(value::cut(&EntryKey::seal(), &value::encode(self)?))
    }
}

/// How many pieces there are, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Census {
    pub(super) pieces: u64,
    pub(super) sum: u64,
}

impl Census {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.pieces = self.pieces.wrapping_add(1);
        self.sum = self.sum.wrapping_add(value::stated_checksum(piece).unwrap_or(0));
    }

    pub(super) fn take(&mut self, piece: &[u8]) {
        self.pieces = self.pieces.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(value::stated_checksum(piece).unwrap_or(0));
    }
}

/// The file `tip`: a commit's number (8) and its checksum (8).
#[derive(Debug)]
pub(super) struct Tip(File);

impl Tip {
    /// Opens the tip in the folder, or makes it; and the number that it holds, 0 where it holds none.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, u64)> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(folder.join("tip"))?;
        let mut octets = [0; 16];
        let sequence = match file.read_exact_at(&mut octets, 0) {
            Ok(()) => Self::parse(octets).unwrap_or(0),
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(why) => return Err(why),
        };
        file.sync_all()?;
        Ok((Self(file), sequence))
    }

    pub(super) fn write(&self, sequence: u64) -> io::Result<()> {
        let number = sequence.to_le_bytes();
        let octets = [number, value::checksum(b"tip", &number).to_le_bytes()].concat();
        self.0.write_all_at(&octets, 0)
    }

    fn parse(octets: [u8; 16]) -> Option<u64> {
        let (number, sum) = octets.split_first_chunk::<8>()?;
        (value::checksum(b"tip", number).to_le_bytes() == sum).then(|| u64::from_le_bytes(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_census_is_back_where_it_was_when_all_that_came_has_gone() {
        let pieces = value::cut(&EntryKey::event(1), &[3; 9000]);
        let mut census = Census::default();
        pieces.iter().for_each(|(_, piece)| census.add(piece));
        assert_eq!(census.pieces, 3);
        pieces.iter().rev().for_each(|(_, piece)| census.take(piece));
        assert_eq!(census, Census::default());
    }

    #[test]
    fn the_tip_holds_a_number_and_takes_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (tip, sequence) = Tip::open(folder.path()).unwrap();
        assert_eq!(sequence, 0);
        tip.write(7).unwrap();
        assert_eq!(Tip::open(folder.path()).unwrap().1, 7);
        let path = folder.path().join("tip");
        let mut octets = std::fs::read(&path).unwrap();
        octets[1] ^= 1;
        std::fs::write(&path, octets).unwrap();
        assert_eq!(Tip::open(folder.path()).unwrap().1, 0);
    }
}
