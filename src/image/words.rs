//! Names eight octets at a time: hashed, and compared.
//!
//! Blocks are read from the front; the last one ends where the name ends, and so overlaps the one before. What is shorter than a word is read with
//! octets before it, which are shifted out. For that there must be eight octets before any name: a message has its header there, a compiled zone
//! its head.
//!
//! A hash folds two words with one 128-bit product, as foldhash and wyhash do, keyed with what is known so far; all keys follow from a number that
//! nobody outside knows, so nobody can look for collisions. Bit 5 of each octet is set beforehand: that makes letters of both cases alike at the cost
//! of an instruction. Other octets become alike too, among them none that two host names differ in. Equal hashes decide nothing: names are
//! compared, and there exactly letters of both cases are the same.

/// Octets that stand before any name that is read here.
pub(super) const BEFORE: usize = 8;

/// What keys the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    first: u64,
    word: u64,
    last: u64,
}

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
        Self { first: next(), word: next(), last: next() | 1 }
    }

    /// The hash of the name from `at`, 8 at the least, to `end`, which are in the octets.
    #[inline(always)]
    pub(super) fn hash(&self, octets: &[u8], at: usize, end: usize) -> u64 {
        let upto = octets.get(..end).unwrap_or_default();
        let name = upto.get(at..).unwrap_or_default();
        let (blocks, rest) = name.as_chunks::<16>();
        let mut sum = self.first ^ name.len() as u64;
        for [a0, a1, a2, a3, a4, a5, a6, a7, b @ ..] in blocks {
            sum = self.fold(word(&[*a0, *a1, *a2, *a3, *a4, *a5, *a6, *a7]), word(b), sum);
        }
        let (a, b) = match (rest.first_chunk(), rest.last_chunk()) {
            (Some(first), Some(last)) => (word(first), word(last)),
            _ => (upto.last_chunk().map_or(0, |last| word(last) >> ((64 - 8 * rest.len()) & 63)), 0),
        };
        fold(self.fold(a, b, sum), self.last)
    }

    #[inline(always)]
    fn fold(&self, a: u64, b: u64, sum: u64) -> u64 {
        fold((a | LOWER) ^ self.word, (b | LOWER) ^ sum)
    }
}

/// The product of both, its halves folded into one.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn word(octets: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*octets)
}

/// Whether two names, or the labels that they begin with, are the same: the `len` octets where both end. Those of `asked` may be in any case, those
/// of `known` are in lower case. Where they are fewer than eight, others stand before them in both.
#[inline(always)]
pub(super) fn same(known: &[u8], asked: &[u8], len: usize) -> bool {
    let (Some(k_last), Some(a_last)) = (known.last_chunk(), asked.last_chunk()) else { return false };
    let (k_last, a_last) = (word(k_last), word(a_last));
    if len < 8 {
        let beyond = (64 - 8 * len as u32) & 63;
        return len == 0 || alike(k_last >> beyond, a_last >> beyond);
    }
    let (Some(known), Some(asked)) = (tail(known, len), tail(asked, len)) else { return false };
    let (Some(k_first), Some(a_first)) = (known.first_chunk(), asked.first_chunk()) else { return false };
    if !alike(k_last, a_last) || !alike(word(k_first), word(a_first)) {
        return false;
    }
    len <= 16 || all_alike(known, asked)
}

#[inline(always)]
fn tail(octets: &[u8], len: usize) -> Option<&[u8]> {
    octets.get(octets.len().checked_sub(len)?..)
}

#[inline(always)]
fn alike(known: u64, asked: u64) -> bool {
    known == asked || known == lowered(asked)
}

/// For names of more than two words.
fn all_alike(known: &[u8], asked: &[u8]) -> bool {
    known.as_chunks().0.iter().zip(asked.as_chunks().0).all(|(k, a)| alike(word(k), word(a)))
}

const EACH: u64 = 0x0101_0101_0101_0101;
const LOWER: u64 = 0x20 * EACH;

/// ASCII letters in lower case, eight at a time: bit 5 is set where an octet is from `A` to `Z`.
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

    fn hash(keys: &Keys, name: &[u8]) -> u64 {
        keys.hash(&padded(name), BEFORE, BEFORE + name.len())
    }

    proptest! {
        #[test]
        fn letters_alone_are_lowered(octets in any::<[u8; 8]>()) {
            let mut expected = octets;
            expected.make_ascii_lowercase();
            prop_assert_eq!(lowered(u64::from_le_bytes(octets)), u64::from_le_bytes(expected));
        }

        #[test]
        fn a_hash_is_of_the_name_alone_and_of_no_case(
            name in prop::collection::vec(any::<u8>(), 1..255), seed: u64,
            before in prop::collection::vec(any::<u8>(), 8..40), after in prop::collection::vec(any::<u8>(), 0..40),
            other: prop::sample::Index,
        ) {
            let keys = Keys::new(seed);
            let message = [&*before, &name, &after].concat();
            prop_assert_eq!(keys.hash(&message, before.len(), before.len() + name.len()), hash(&keys, &name));
            prop_assert_eq!(hash(&keys, &name), hash(&keys, &name.to_ascii_uppercase()));
            let mut changed = name.clone();
            changed[other.index(name.len())] ^= 0x41;
            prop_assert_ne!(hash(&keys, &name), hash(&keys, &changed));
            prop_assert_ne!(hash(&keys, &name), hash(&keys, &[&name[..], b"a"].concat()));
        }

        #[test]
        fn octets_are_the_same_case_aside(
            name in prop::collection::vec(any::<u8>(), 1..70), cases in any::<[bool; 8]>(), flip in any::<u8>(), at: prop::sample::Index,
        ) {
            let known = name.to_ascii_lowercase();
            let mut asked = name.clone();
            for (octet, upper) in asked.iter_mut().zip(cases.iter().cycle()) {
                if *upper {
                    octet.make_ascii_uppercase();
                }
            }
            let compare = |asked: &[u8]| {
                let (known, asked) = (padded(&known), [&[1; BEFORE + 3], asked].concat());
                same(&known, &asked, known.len() - BEFORE)
            };
            prop_assert!(compare(&asked));
            asked[at.index(name.len())] ^= flip;
            prop_assert_eq!(compare(&asked), asked.eq_ignore_ascii_case(&known));
        }
    }

    #[test]
    fn counted_names_spread() {
        let keys = Keys::new(0);
        let hashes: Vec<u64> = (0..20_000).map(|i| hash(&keys, format!("\x06h{i:05}\x01x\0").as_bytes())).collect();
        for shift in [0, 20, 40, 48] {
            // 20,000 balls in 65,536 places fill some 17,200.
            let places: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 0xffff).collect();
            assert!((16_900..17_500).contains(&places.len()), "{shift}: {}", places.len());
        }
    }
}
