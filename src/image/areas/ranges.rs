//! From an address to its range, in a few memory reads.
//!
//! The address space is cut where the place changes; neighbours differ, so every range is as long as it can be. A tree of
//! slots leads to the range: a node spreads the span of its own cuts evenly over slots, a quarter as many as it has cuts, and
//! each slot says where its cuts begin and how many there are. Where more fall into one slot than fit a cache line, a
//! node of its own stands there. Prefixes cluster, those of IPv6 heavily, and the nodes follow: a node spans nothing but
//! its cuts, which is what path compression is to a trie.
//!
//! ```text
//!   address --(- base, >> shift)--> slot --(node)--> slot ... --> at most LINE octets of cuts --> place
//! ```
//!
//! Prefixes are not kept: the longest uniform one around an address is as wide as both neighbouring cuts allow.

use super::Found;

/// The most ranges of one family.
pub const MAX_RANGES: usize = 1 << INDEX_BITS;

/// Bits of a slot that say where its cuts begin; above them stand their count, and whether it is a node.
const INDEX_BITS: u32 = 24;
const INDEX: u32 = (1 << INDEX_BITS) - 1;
const NODE: u32 = 1 << 31;
/// How many cuts a slot of a node has on the average: they share a line, and slots that are read seldom are not in the cache.
const CUTS_FOR_EACH_SLOT: usize = 4;
/// The least that a node spreads its cuts over, so that each level is smaller than the one above.
const LEAST_SLOTS: usize = 8;
/// Octets of cuts that one slot may hold: a cache line.
const LINE: usize = 64;

/// An address, or a part of one.
pub(super) trait Key: Copy + Ord + Default {
    const BITS: u8;
    /// `(self - base) >> shift`; 0 where `self` is below `base`.
    fn slot(self, base: Self, shift: u8) -> usize;
    /// How many of the leading bits are the same.
    fn common(self, other: Self) -> u8;
    /// One less; the highest of all where there is none.
    fn before(self) -> Self;
}

macro_rules! key {
    ($type:ty) => {
        impl Key for $type {
            const BITS: u8 = <$type>::BITS as u8;
            #[inline]
            fn slot(self, base: Self, shift: u8) -> usize {
                usize::try_from(self.saturating_sub(base) >> shift).unwrap_or(usize::MAX)
            }
            #[inline]
            fn common(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
            #[inline]
            fn before(self) -> Self {
                self.wrapping_sub(1)
            }
        }
    };
}
key!(u32);
key!(u64);

/// Ranges of addresses with their places.
#[derive(Debug)]
pub(super) struct Ranges<K> {
    /// Where ranges begin, sorted; the first at 0.
    starts: Vec<K>,
    /// Of each range.
    places: Vec<u16>,
    slots: Vec<u32>,
    /// The first is the root.
    nodes: Vec<Node<K>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node<K> {
    base: K,
    /// Its first slot.
    first: u32,
    /// How many slots it has beside that one.
    last: u32,
    shift: u8,
}

/// One range, as [`Ranges::locate`] finds it.
pub(super) struct Located<K> {
    pub(super) place: u16,
    pub(super) start: K,
    /// Where the next range begins; none for the last.
    pub(super) next: Option<K>,
}

impl<K: Key> Default for Ranges<K> {
    fn default() -> Self {
        Self::new(vec![(K::default(), 0)])
    }
}

impl<K: Key> Ranges<K> {
    /// From changes that are sorted, begin at 0 and are at most [`MAX_RANGES`].
    pub(super) fn new(changes: Vec<(K, u16)>) -> Self {
        let (starts, places) = changes.into_iter().unzip();
        let mut ranges = Self { starts, places, slots: Vec::new(), nodes: Vec::new() };
        ranges.node(1, ranges.starts.len());
        ranges.slots.shrink_to_fit();
        ranges.nodes.shrink_to_fit();
        ranges
    }

    #[inline]
    pub(super) fn find(&self, key: K) -> Found {
        let Located { place, start, next } = self.locate(key);
        Found { place, prefix: uniform(key, start, next) }
    }

    #[inline]
    pub(super) fn locate(&self, key: K) -> Located<K> {
        let at = self.index(key).unwrap_or(0);
        Located {
            place: self.places.get(at).copied().unwrap_or(0),
            start: self.starts.get(at).copied().unwrap_or_default(),
            next: self.starts.get(at + 1).copied(),
        }
    }

    /// Which range an address is in. There is always one.
    #[inline]
    fn index(&self, key: K) -> Option<usize> {
        let mut node = self.nodes.first()?;
        loop {
            let slot = key.slot(node.base, node.shift).min(node.last as usize);
            let slot = *self.slots.get(node.first as usize + slot)?;
            if slot & NODE == 0 {
                let (at, count) = ((slot & INDEX) as usize, (slot >> INDEX_BITS) as usize);
                let cuts = self.starts.get(at + 1..at + 1 + count)?;
                return Some(at + cuts.iter().filter(|cut| **cut <= key).count());
            }
            node = self.nodes.get((slot & !NODE) as usize)?;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.starts.len() * size_of::<K>()
            + self.places.len() * size_of::<u16>()
            + self.slots.len() * size_of::<u32>()
            + self.nodes.len() * size_of::<Node<K>>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, u16)> {
        self.starts.iter().copied().zip(self.places.iter().copied())
    }

    /// Makes the node of the cuts `from..to`, which are those of one slot or all. Its span is that of its cuts, at most
    /// one slot of its parent, so the tree is no deeper than a key has bits.
    fn node(&mut self, from: usize, to: usize) -> u32 {
        let cuts = self.starts.get(from..to).unwrap_or_default();
        let (Some(&base), Some(&end)) = (cuts.first(), cuts.last()) else { return self.node_without_cuts() };
        let spread = (cuts.len().next_power_of_two() / CUTS_FOR_EACH_SLOT).max(LEAST_SLOTS);
        let shift = (0..K::BITS).find(|shift| end.slot(base, *shift) < spread).unwrap_or(K::BITS - 1);
        let (last, first) = (end.slot(base, shift), self.slots.len());
        let index = self.nodes.len();
        self.nodes.push(Node { base, first: first as u32, last: last as u32, shift });
        self.slots.resize(first + last + 1, 0);
        let mut at = from;
        for slot in 0..=last {
            let rest = self.starts.get(at..to).unwrap_or_default();
            let count = rest.iter().take_while(|cut| cut.slot(base, shift) == slot).count();
            let value = if count <= LINE / size_of::<K>() {
                // Before the cuts of a slot stands the range that reaches into it.
                (at - 1) as u32 | (count as u32) << INDEX_BITS
            } else {
                NODE | self.node(at, at + count)
            };
            if let Some(place) = self.slots.get_mut(first + slot) {
                *place = value;
            }
            at += count;
        }
        index as u32
    }

    /// One range from end to end.
    fn node_without_cuts(&mut self) -> u32 {
        self.nodes.push(Node { first: self.slots.len() as u32, ..Node::default() });
        self.slots.push(0);
        0
    }
}

/// The length of the longest prefix around `key` that lies within `start` and `next`.
#[inline]
pub(super) fn uniform<K: Key>(key: K, start: K, next: Option<K>) -> u8 {
    let below = if start == K::default() { 0 } else { key.common(start.before()) + 1 };
    let above = next.map_or(0, |next| key.common(next) + 1);
    below.max(above)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(changes: &[(u32, u16)], key: u32) -> Found {
        let place_at = |key: u32| changes.iter().rev().find(|(start, _)| *start <= key).expect("one at 0").1;
        let place = place_at(key);
        let uniform = |length: u32| {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let (low, high) = (key & mask, key | !mask);
            place_at(low) == place && !changes.iter().any(|(start, _)| *start > low && *start <= high)
        };
        let prefix = (0..=32).find(|length| uniform(*length)).expect("an address is uniform");
        Found { place, prefix: u8::try_from(prefix).expect("at most 32") }
    }

    /// Cuts that cluster, as prefixes do.
    fn changes() -> impl Strategy<Value = Vec<(u32, u16)>> {
        let cut = prop_oneof![any::<u32>(), 0..64u32, Just(u32::MAX), (0..4000u32).prop_map(|low| 0x0a00_0000 + low)];
        prop::collection::btree_map(cut, 0..3u16, 0..400).prop_map(|mut cuts| {
            cuts.insert(0, 0);
            let mut changes: Vec<_> = cuts.into_iter().collect();
            changes.dedup_by_key(|(_, place)| *place);
            changes
        })
    }

    proptest! {
        #[test]
        fn ranges_are_found(changes in changes(), keys in prop::collection::vec(any::<u32>(), 20)) {
            let ranges = Ranges::new(changes.clone());
            let edges = changes.iter().flat_map(|(start, _)| [*start, start.wrapping_sub(1), start.wrapping_add(1)]);
            for key in keys.into_iter().chain(edges) {
                prop_assert_eq!(ranges.find(key), naive(&changes, key), "{}", key);
            }
            prop_assert_eq!(ranges.iter().collect::<Vec<_>>(), changes);
        }
    }

    #[test]
    fn nothing_but_one_range_is_all_of_it() {
        assert_eq!(Ranges::<u32>::default().find(7), Found { place: 0, prefix: 0 });
        assert_eq!(Ranges::<u64>::default().find(u64::MAX), Found { place: 0, prefix: 0 });
    }

    /// Each outlier makes a level: the worst there is.
    #[test]
    fn clusters_within_clusters_are_no_trouble() {
        let mut cuts = std::collections::BTreeSet::from([0]);
        for level in 0..60u32 {
            cuts.extend((0..9).map(|step: u64| (1u64 << level).saturating_mul(step + 1)));
        }
        let changes: Vec<_> = cuts.into_iter().enumerate().map(|(at, cut)| (cut, u16::from(at % 2 == 1))).collect();
        let ranges = Ranges::new(changes.clone());
        for window in changes.windows(2) {
            let [(start, place), (next, _)] = window else { panic!("two") };
            assert_eq!((ranges.find(*start).place, ranges.find(next - 1).place), (*place, *place), "{start}");
        }
    }
}
