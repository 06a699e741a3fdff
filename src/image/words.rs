//! Names eight octets at a time: read, brought to lower case, hashed.
//!
//! A label is read as words of eight octets, its length octet first; the last word is read backwards, so that it ends where the label ends, and
//! the octets before it are shifted out. For that there must be eight octets before each label: a message has its header there, a compiled zone
//! its head.
//!
//! ```text
//!   |  header ...  | 8 | h 0 0 5 3 0 5 | 3 | ...
//!                  |<- first word  ->|
//!                      |<-  read   ->|  of which the last octet counts: the second word
//! ```
//!
//! The hash of a name is a polynomial of the hashes of its labels, `l1 * c^(n-1) + ... + ln` modulo 2^64. So a name is hashed while its labels
//! are checked from the left, the hash of its parent falls out beside it, and a name of a zone is hashed from its own labels and the hash of the origin.
//! A label's hash folds each word with a 128-bit product, as foldhash does; all factors come from a key, so nobody outside can look for collisions,
//! and equal hashes decide nothing: names are compared.

use crate::zone::name::{MAX_LABEL, MAX_NAME};

/// Octets that stand before any label that is read here.
pub(super) const BEFORE: usize = 8;

/// What keys the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    first: u64,
    factor: u64,
    /// `c`: odd, so that no label's part is lost.
    step: u64,
    last: u64,
}

/// A polynomial of labels, not mixed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

/// A well-formed name in a message, or in octets that look like one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Where it ends.
    pub(super) end: usize,
    /// Octets of its first label, the length octet counted; 0 for the root.
    pub(super) first: usize,
    /// Hashes of the name, and of the name without its first label.
    pub(super) whole: u64,
    pub(super) parent: u64,
}

/// All suffixes of a name.
pub(super) struct Suffixes {
    each: [(usize, u64); MAX_LABELS + 1],
    count: usize,
}

impl Suffixes {
    /// Where each begins, and its hash; the longest first.
    pub(super) fn all(&self) -> &[(usize, u64)] {
        self.each.get(..self.count).unwrap_or_default()
    }
}

/// Labels of a name at most, the root's not counted.
const MAX_LABELS: usize = 127;

impl Default for Keys {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Keys {
    /// All keys follow from one number, so that the same work is done for the same number.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ word >> 31
        };
        Self { first: next(), factor: next() | 1, step: next() | 1, last: next() }
    }

    /// Reads and hashes the uncompressed name at `at`; none where no name is.
    #[inline(always)]
    pub(super) fn read(&self, octets: &[u8], at: usize) -> Option<Read> {
        let start = at;
        let first = usize::from(*octets.get(at)?);
        if first == 0 {
            return Some(Read { end: at + 1, first: 0, whole: self.mix(Sum(0)), parent: 0 });
        }
        let head = self.label(octets, at, first)?;
        let mut at = at + first + 1;
        let (mut tail, mut power) = (0_u64, 1_u64);
        loop {
            let len = usize::from(*octets.get(at)?);
            if len == 0 {
                break;
            }
            let label = self.label(octets, at, len)?;
            tail = tail.wrapping_mul(self.step).wrapping_add(label);
            power = power.wrapping_mul(self.step);
            at += len + 1;
        }
        if at + 1 - start > MAX_NAME {
            return None;
        }
        let whole = head.wrapping_mul(power).wrapping_add(tail);
        Some(Read { end: at + 1, first: first + 1, whole: self.mix(Sum(whole)), parent: self.mix(Sum(tail)) })
    }

    /// Where each suffix of the well-formed name at `at` begins, and its hash, the longest first, the root's last.
    pub(super) fn suffixes(&self, octets: &[u8], mut at: usize) -> Suffixes {
        let mut all = Suffixes { each: [(0, 0); MAX_LABELS + 1], count: 0 };
        while let Some(len) = octets.get(at).map(|len| usize::from(*len)) {
            let label = if len == 0 { Some(0) } else { self.label(octets, at, len) };
            let (Some(place), Some(label)) = (all.each.get_mut(all.count), label) else { break };
            *place = (at, label);
            all.count += 1;
            if len == 0 {
                break;
            }
            at += len + 1;
        }
        let (mut tail, mut power) = (0_u64, 1_u64);
        for (place, hash) in all.each.iter_mut().take(all.count).rev() {
            // The root is no label.
            if octets.get(*place) != Some(&0) {
                tail = tail.wrapping_add(hash.wrapping_mul(power));
                power = power.wrapping_mul(self.step);
            }
            *hash = self.mix(Sum(tail));
        }
        all
    }

    /// The sum over labels without a root label behind them, and `c` to the power of their number.
    pub(super) fn sum(&self, octets: &[u8], mut at: usize, end: usize) -> (Sum, u64) {
        let (mut sum, mut power) = (0_u64, 1_u64);
        while at < end {
            let Some(len) = octets.get(at).map(|len| usize::from(*len)).filter(|len| *len != 0) else { break };
            let Some(label) = self.label(octets, at, len) else { break };
            sum = sum.wrapping_mul(self.step).wrapping_add(label);
            power = power.wrapping_mul(self.step);
            at += len + 1;
        }
        (Sum(sum), power)
    }

    /// The hash of labels in front of a name with this sum, of so many labels.
    pub(super) fn joined(&self, labels: Sum, rest: (Sum, u64)) -> u64 {
        self.mix(Sum(labels.0.wrapping_mul(rest.1).wrapping_add(rest.0.0)))
    }

    /// The hash of a label of so many octets at `at`; none where it is no label. Its length octet is hashed with it.
    #[inline(always)]
    fn label(&self, octets: &[u8], mut at: usize, len: usize) -> Option<u64> {
        if len > MAX_LABEL {
            return None;
        }
        let mut left = len + 1;
        let mut hash = self.first;
        while left > 8 {
            hash = fold(hash ^ lower(word(octets, at)?), self.factor);
            at += 8;
            left -= 8;
        }
        Some(fold(hash ^ lower(short_word(octets, at, left)?), self.factor))
    }

    #[inline]
    fn mix(&self, sum: Sum) -> u64 {
        fold(sum.0 ^ self.last, self.factor)
    }
}

/// The product of both, its halves folded into one.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn word(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

/// The last word of something: `len` octets, 1 to 8, read with those before them.
#[inline(always)]
fn short_word(octets: &[u8], at: usize, len: usize) -> Option<u64> {
    let eight = octets.get(..at + len)?.last_chunk()?;
    Some(u64::from_le_bytes(*eight) >> ((64 - 8 * len) & 63))
}

const EACH: u64 = 0x0101_0101_0101_0101;

/// ASCII letters in lower case, eight at a time.
#[inline(always)]
fn lower(word: u64) -> u64 {
    // In nearly all questions no octet has bit 6 without bit 5, as upper case has.
    if word & !(word << 1) & (0x40 * EACH) == 0 { word } else { lowered(word) }
}

/// Bit 5 is set where an octet is from `A` to `Z`.
fn lowered(word: u64) -> u64 {
    let low = word & (0x7f * EACH);
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let above_z = low + (0x7f - b'Z' as u64) * EACH;
    let letters = from_a & !above_z & !word & (0x80 * EACH);
    word | letters >> 2
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn padded(name: &[u8]) -> Vec<u8> {
        [&[0xff; BEFORE], name].concat()
    }

    fn read(keys: &Keys, name: &[u8]) -> Option<Read> {
        keys.read(&padded(name), BEFORE)
    }

    proptest! {
        #[test]
        fn letters_alone_are_lowered(octets in any::<[u8; 8]>()) {
            let mut expected = octets;
            expected.make_ascii_lowercase();
            prop_assert_eq!(lower(u64::from_le_bytes(octets)), u64::from_le_bytes(expected));
        }

        #[test]
        fn hashes_of_parents_and_of_joined_names_agree(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 1..8), seed: u64, cut: prop::sample::Index) {
            let wire = |labels: &[Vec<u8>]| labels.iter().flat_map(|label| [vec![label.len() as u8], label.clone()].concat()).collect::<Vec<u8>>();
            let keys = Keys::new(seed);
            let whole = [wire(&labels), vec![0]].concat();
            let parent = [wire(&labels[1..]), vec![0]].concat();
            let found = read(&keys, &whole).expect("a name");
            prop_assert_eq!(found.end, BEFORE + whole.len());
            prop_assert_eq!(found.first, labels[0].len() + 1);
            prop_assert_eq!(found.parent, read(&keys, &parent).expect("a name").whole);
            prop_assert_eq!(found.whole, read(&keys, &whole.to_ascii_uppercase()).expect("a name").whole);
            let suffixes = keys.suffixes(&padded(&whole), BEFORE);
            prop_assert_eq!(suffixes.all().len(), labels.len() + 1);
            for (at, hash) in suffixes.all() {
                prop_assert_eq!(*hash, keys.read(&padded(&whole), *at).expect("a name").whole);
            }
            let (front, back) = labels.split_at(cut.index(labels.len()));
            let sum = |labels: &[Vec<u8>]| { let wire = wire(labels); keys.sum(&padded(&wire), BEFORE, BEFORE + wire.len()) };
            prop_assert_eq!(keys.joined(sum(front).0, sum(back)), found.whole);
        }
    }

    #[test]
    fn what_is_no_name_is_not_read() {
        let keys = Keys::new(1);
        let long = [[&[63][..], &[b'a'; 63]].concat().repeat(4), vec![0]].concat();
        for octets in [&b""[..], b"\x01", b"\x01a", b"\x40a\0", b"\x01a\xc0\x0c", &long] {
            assert!(read(&keys, octets).is_none(), "{octets:?}");
        }
        assert!(read(&keys, b"\0").is_some_and(|read| read.first == 0 && read.end == BEFORE + 1));
    }

    #[test]
    fn counted_names_spread() {
        let keys = Keys::new(0);
        let hashes: Vec<u64> = (0..20_000)
            .filter_map(|i| read(&keys, format!("\x06h{i:05}\x01x\0").as_bytes()))
            .map(|read| read.whole)
            .collect();
        for shift in [0, 20, 40, 48] {
            // 20,000 balls in 65,536 places fill some 17,200.
            let places: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 0xffff).collect();
            assert!((16_900..17_500).contains(&places.len()), "{shift}: {}", places.len());
        }
    }
}
