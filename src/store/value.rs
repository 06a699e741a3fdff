//! Values: what stands in the tree under an entry's keys.
//!
//! An entry's octets begin with the version of their encoding and are cut into pieces:
//!
//! ```text
//! piece 0:      checksum (8)  length of the whole entry (4)  octets (at most 4,096)
//! piece 1, ..:  checksum (8)                                 octets (at most 4,096)
//! ```
//!
//! The checksum covers the key too, so that a piece which turns up in another's place is found out. A version that this
//! program does not know, or octets that do not read as what their version says, are that entry's fault alone: it is
//! reported and passed over. A wrong checksum is not: then the store did not keep what it was given (`seal.rs`).

use std::hash::Hasher;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::key::EntryKey;
use crate::zone::texts::Texts;

/// The encoding that this program writes.
pub(super) const VERSION: u8 = 1;
/// Octets of an entry in one piece.
const PIECE: usize = 4096;
const SUM: usize = 8;
const LENGTH: usize = 4;

/// The checksum of a piece, from its key and what follows the checksum.
pub(super) fn checksum(key: &[u8], rest: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key);
    hasher.write(rest);
    hasher.finish()
}

/// The checksum that stands in a piece.
pub(super) fn stated_checksum(piece: &[u8]) -> Option<u64> {
    piece.first_chunk::<SUM>().map(|sum| u64::from_le_bytes(*sum))
}

/// Whether a piece is as it was written.
pub(super) fn is_sound(key: &[u8], piece: &[u8]) -> bool {
    stated_checksum(piece).is_some_and(|sum| sum == checksum(key, &piece[SUM..]))
}

/// A piece with its key.
pub(super) type KeyedPiece = (Vec<u8>, Vec<u8>);

/// Cuts an entry into what stands in the tree: keys and pieces.
pub(super) fn cut(entry: &EntryKey, octets: &[u8]) -> Vec<KeyedPiece> {
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut pieces = Vec::with_capacity(octets.len() / PIECE + 1);
    for (number, part) in (0_u32..).zip(octets.chunks(PIECE)) {
        let key = entry.piece(number);
        let rest = if number == 0 { [&length[..], part].concat() } else { part.to_vec() };
        let piece = [&checksum(&key, &rest).to_le_bytes()[..], &rest].concat();
        pieces.push((key, piece));
    }
    pieces
}

/// Puts an entry's octets together from its pieces, which come in order.
#[derive(Debug, Default)]
pub(super) struct Joining {
    octets: Vec<u8>,
    length: usize,
    next: u32,
    broken: bool,
}

impl Joining {
    pub(super) fn add(&mut self, number: u32, piece: &[u8]) {
        let skip = if number == 0 { SUM + LENGTH } else { SUM };
        if number != self.next || piece.len() < skip {
            self.broken = true;
            return;
        }
        if let (0, Some(length)) = (number, piece.get(SUM..).and_then(|rest| rest.first_chunk::<LENGTH>())) {
            self.length = u32::from_le_bytes(*length) as usize;
        }
        self.octets.extend_from_slice(&piece[skip..]);
        self.next += 1;
    }

    /// What has come so far.
    pub(super) fn begun(&self) -> &[u8] {
        &self.octets
    }

    /// The whole entry; none where pieces are missing.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.broken && self.octets.len() == self.length).then_some(self.octets)
    }
}

/// Why an entry cannot be read, though it is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Illegible {
    #[error("it is of version {0}, and this program knows version {VERSION}")]
    Version(u8),
    #[error("it does not read as what it should be: {0}")]
    Content(String),
    #[error("pieces of it are missing")]
    Incomplete,
}

/// Encodes a value as JSON, behind the version.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut octets = vec![VERSION];
    serde_json::to_writer(&mut octets, value)?;
    Ok(octets)
}

pub(super) fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Illegible> {
    serde_json::from_slice(content(octets)?).map_err(|why| Illegible::Content(why.to_string()))
}

/// The head of a zone's entry, as an earlier version kept it: version, length of the head (4), head, the files' octets.
#[derive(Serialize, Deserialize)]
struct ZoneHead {
    origin: String,
    main: String,
    files: Vec<(String, usize)>,
}

pub(super) fn decode_zone(octets: &[u8]) -> Result<(String, Texts), Illegible> {
    let (length, rest) = content(octets)?.split_first_chunk::<4>().ok_or(Illegible::Incomplete)?;
    let (head, mut rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Illegible::Incomplete)?;
    let head: ZoneHead = serde_json::from_slice(head).map_err(|why| Illegible::Content(why.to_string()))?;
    let mut files = Vec::with_capacity(head.files.len());
    for (path, length) in head.files {
        let file;
        (file, rest) = rest.split_at_checked(length).ok_or(Illegible::Incomplete)?;
        files.push((path, file.to_vec()));
    }
    Ok((head.origin, Texts { main: head.main, files: files.into_iter().collect() }))
}

/// What stands behind a version that this program knows.
fn content(octets: &[u8]) -> Result<&[u8], Illegible> {
    match octets.split_first() {
        Some((&VERSION, content)) => Ok(content),
        Some((&other, _)) => Err(Illegible::Version(other)),
        None => Err(Illegible::Incomplete),
    }
}

/// A zone's entry as that version wrote it.
#[cfg(test)]
pub(super) fn encode_zone(origin: &str, texts: &Texts) -> Vec<u8> {
    let files = texts.files.iter().map(|(path, octets)| (path.to_owned(), octets.len())).collect();
    let head = serde_json::to_vec(&ZoneHead { origin: origin.to_owned(), main: texts.main.clone(), files }).unwrap();
    let length = u32::try_from(head.len()).unwrap().to_le_bytes();
    let mut octets = [&[VERSION][..], &length, &head].concat();
    octets.extend(texts.files.iter().flat_map(|(_, octets)| octets));
    octets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn join(pieces: &[KeyedPiece]) -> Option<Vec<u8>> {
        let mut joining = Joining::default();
        for (key, piece) in pieces {
            joining.add(EntryKey::of_piece(key).unwrap().1, piece);
        }
        joining.finish()
    }

    proptest! {
        #[test]
        fn what_is_cut_joins_again(length in 1..20_000_usize, seed: u8) {
            let octets: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(seed)).collect();
            let pieces = cut(&EntryKey::event(7), &octets);
            prop_assert!(pieces.iter().all(|(key, piece)| is_sound(key, piece) && piece.len() <= SUM + LENGTH + PIECE));
            prop_assert_eq!(join(&pieces), Some(octets));
            // Without its first, its last, or one between it is not whole.
            for gone in [0, pieces.len() / 2, pieces.len() - 1] {
                let mut fewer = pieces.clone();
                fewer.remove(gone);
                prop_assert!(fewer.is_empty() || join(&fewer).is_none());
            }
        }

        #[test]
        fn one_changed_bit_is_found(at in 0..60_usize, bit in 0..8_u8) {
            let (key, mut piece) = cut(&EntryKey::event(7), &[1; 50]).remove(0);
            let at = at % piece.len();
            piece[at] ^= 1 << bit;
            prop_assert!(!is_sound(&key, &piece));
        }
    }

    #[test]
    fn a_piece_in_another_place_is_found() {
        let (_, piece) = cut(&EntryKey::event(7), &[1; 50]).remove(0);
        assert!(!is_sound(&EntryKey::event(8).piece(0), &piece));
    }

    #[test]
    fn an_unknown_version_is_told() {
        let mut octets = encode(&"x").unwrap();
        octets[0] = 9;
        assert_eq!(decode::<String>(&octets), Err(Illegible::Version(9)));
    }

    #[test]
    fn zones_of_an_earlier_version_are_read() {
        let files = [("a.zone".to_owned(), vec![0xff, 0, b'"']), ("b.inc".to_owned(), Vec::new())].into();
        let texts = Texts { main: "a.zone".to_owned(), files };
        let octets = encode_zone("a.", &texts);
        assert_eq!(decode_zone(&octets), Ok(("a.".to_owned(), texts)));
        assert_eq!(decode_zone(&octets[..octets.len() - 1]), Err(Illegible::Incomplete));
    }
}
