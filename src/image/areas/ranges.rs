//! From an address to its range, in two memory reads for nearly all.
//!
//! The address space is cut where the place changes; neighbours differ, so every range is as long as it can be. The first 16
//! bits of an address lead to the lines of its block: one, or by the bits that follow as many as its cuts need, a power of
//! two. A line holds cuts and places together. Where too many cuts fall to one line it leads on to a table of lines of its
//! own, and where tables do not help (clusters within clusters) to a sorted run.
//!
//! ```text
//!   address --first 16 bits--> root --the next 0 to 16--> line --cuts--> place
//!                                                           |--> table --the next--> line ...
//!                                                           `--> run
//! ```
//!
//! Blocks without a cut share a line where they say the same.

use std::collections::HashMap;

use super::Found;
use super::line::{Cut, Edges, Line, Way};

/// The most ranges of one family.
pub const MAX_RANGES: usize = 1 << 24;

/// Of IPv4: cuts of 16 bits, so that all fit a line.
pub(super) type Narrow = Ranges<u16, 14>;
/// Of the first half of IPv6: cuts of 32 bits, so that prefixes up to a /48 fit the first line.
pub(super) type High = Ranges<u32, 9>;

/// Bits of a key that the root is read by.
const ROOT_BITS: u32 = 16;
/// Bits of a key that tables below the root are read by, in all.
const REST_BITS: u32 = u64::BITS - ROOT_BITS;
/// Bits of a root's entry that say how many of the key's bits choose the line; above them stands the first line.
const SHIFT_BITS: u32 = 6;
/// Up to so many ranges are a run and no more: its memory is small, and so is its depth.
const FEW: usize = 64;
/// The most bits that choose a line of one table.
const MAX_SPREAD: u32 = 16;
/// Tables below each other; what does not fit the last is a run.
const MAX_DEPTH: u32 = 4;

/// Ranges of addresses with their places. Keys are the first 64 bits of an address; IPv4 has but 32 and zeros.
#[derive(Debug)]
pub(super) struct Ranges<C, const N: usize> {
    /// By the first bits: the first line of the block, and the shift that makes a slot of the other bits of a key.
    root: Vec<u32>,
    lines: Vec<Line<C, N>>,
    /// What fits no line, run after run.
    runs: Vec<(u64, u16)>,
    ranges: usize,
}

/// Where a look-up ends.
enum Lead<'a, C, const N: usize> {
    Line(&'a Line<C, N>),
    /// A sorted run: the first, how many, and the edges of its block.
    Run(usize, usize, Edges),
}

impl<C: Cut, const N: usize> Default for Ranges<C, N> {
    fn default() -> Self {
        Self::new(&[(0, 0)])
    }
}

impl<C: Cut, const N: usize> Ranges<C, N> {
    /// From changes that are sorted, begin at 0 and are at most [`MAX_RANGES`].
    pub(super) fn new(changes: &[(u64, u16)]) -> Self {
        if changes.len() > FEW {
            return Builder { changes, lines: Vec::new(), runs: Vec::new(), shared: HashMap::new() }.build();
        }
        Self { root: Vec::new(), lines: Vec::new(), runs: changes.to_vec(), ranges: changes.len() }
    }

    #[inline]
    pub(super) fn find(&self, key: u64) -> Found {
        match self.lead(key) {
            Lead::Line(line) => line.find(key),
            Lead::Run(from, length, edges) => self.find_in_run(key, from, length, edges),
        }
    }

    /// The place alone.
    #[inline]
    pub(super) fn place(&self, key: u64) -> u16 {
        match self.lead(key) {
            Lead::Line(line) => line.place(key),
            Lead::Run(from, length, edges) => self.find_in_run(key, from, length, edges).place,
        }
    }

    /// What knows of a key.
    #[inline]
    fn lead(&self, key: u64) -> Lead<'_, C, N> {
        let whole = Lead::Run(0, self.runs.len(), Edges::default());
        let Some(entry) = self.root.get((key >> REST_BITS) as usize) else { return whole };
        let rest = key << ROOT_BITS >> 1;
        let mut at = (entry >> SHIFT_BITS) as usize + (rest >> (entry & ((1 << SHIFT_BITS) - 1))) as usize;
        while let Some(line) = self.lines.get(at) {
            match line.way(key) {
                Way::Here => return Lead::Line(line),
                Way::On(next) => at = next,
                Way::Run(from, length) => return Lead::Run(from, length, line.edges()),
            }
        }
        // No line leads to one that is not there.
        whole
    }

    #[cold]
    fn find_in_run(&self, key: u64, from: usize, length: usize, edges: Edges) -> Found {
        let run = self.runs.get(from..from + length).unwrap_or_default();
        let after = run.partition_point(|(start, _)| *start <= key);
        let before = after.wrapping_sub(1);
        let place = run.get(before).map_or(0, |(_, place)| *place);
        // The first of a run is the one that reaches in.
        let start = run.get(before).filter(|_| before > 0);
        let below = start.map_or(edges.below, |(start, _)| clear(key, start - 1));
        let above = run.get(after).map_or(edges.above, |(next, _)| clear(key, *next));
        Found { place, prefix: below.max(above) }
    }

    pub(super) fn len(&self) -> usize {
        self.ranges
    }

    pub(super) fn octets(&self) -> usize {
        size_of_val(&*self.root) + size_of_val(&*self.lines) + size_of_val(&*self.runs)
    }

    /// All changes, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u16)> {
        let mut all = if self.root.is_empty() { self.runs.clone() } else { Vec::new() };
        for (block, entry) in self.root.iter().enumerate() {
            let start = (block as u64) << REST_BITS;
            let shift = entry & ((1 << SHIFT_BITS) - 1);
            self.walk((entry >> SHIFT_BITS) as usize, u64::BITS - 1 - shift, start, REST_BITS, &mut all);
        }
        all.dedup_by_key(|(_, place)| *place);
        all.into_iter()
    }

    /// The ranges of a table of `1 << spread` lines about a block of `bits` bits.
    fn walk(&self, table: usize, spread: u32, start: u64, bits: u32, all: &mut Vec<(u64, u16)>) {
        let bits = bits - spread;
        for (slot, line) in (0..1u64 << spread).zip(self.lines.get(table..).unwrap_or_default()) {
            let start = start + (slot << bits);
            match line.way(start) {
                Way::Here => all.extend(line.iter(start)),
                Way::On(next) => self.walk(next, line.spread(), start, bits, all),
                Way::Run(from, length) => {
                    let run = self.runs.get(from..from + length).unwrap_or_default();
                    let begin = |(key, place): &(u64, u16)| ((*key).max(start), *place);
                    all.extend(run.iter().map(begin));
                }
            }
        }
    }
}

/// How long a prefix around `key` must be to be clear of `other`.
#[inline]
pub(super) fn clear(key: u64, other: u64) -> u8 {
    (key ^ other).leading_zeros() as u8 + 1
}

/// Of the cuts of a block of `bits` bits, those within: one at its start is no cut.
fn own(cuts: &[(u64, u16)], bits: u32) -> &[(u64, u16)] {
    let at_start = cuts.first().is_some_and(|(cut, _)| cut.trailing_zeros() >= bits);
    cuts.get(usize::from(at_start)..).unwrap_or_default()
}

struct Builder<'a, C, const N: usize> {
    changes: &'a [(u64, u16)],
    lines: Vec<Line<C, N>>,
    runs: Vec<(u64, u16)>,
    /// Lines without a cut.
    shared: HashMap<(u16, Edges), u32>,
}

/// A block of addresses, and which changes lie within; one at its very start does not.
#[derive(Clone, Copy)]
struct Block {
    start: u64,
    bits: u32,
    from: usize,
    to: usize,
}

impl<C: Cut, const N: usize> Builder<'_, C, N> {
    fn build(mut self) -> Ranges<C, N> {
        let mut root = Vec::with_capacity(1 << ROOT_BITS);
        let mut from = 0;
        for block in 0..1u64 << ROOT_BITS {
            let block = self.block(block << REST_BITS, REST_BITS, from, self.changes.len());
            from = block.to;
            root.push(self.entry(block));
        }
        self.lines.shrink_to_fit();
        Ranges { root, lines: self.lines, runs: self.runs, ranges: self.changes.len() }
    }

    /// A block, given the changes that it may have.
    fn block(&self, start: u64, bits: u32, from: usize, to: usize) -> Block {
        let changes = self.changes.get(from..to).unwrap_or_default();
        let end = start | u64::MAX >> (u64::BITS - bits);
        let within = from + changes.partition_point(|(key, _)| *key <= start);
        Block { start, bits, from: within, to: from + changes.partition_point(|(key, _)| *key <= end) }
    }

    fn cuts(&self, block: Block) -> &[(u64, u16)] {
        self.changes.get(block.from..block.to).unwrap_or_default()
    }

    /// The place that reaches into a block.
    fn place(&self, block: Block) -> u16 {
        block.from.checked_sub(1).and_then(|at| self.changes.get(at)).map_or(0, |(_, place)| *place)
    }

    /// Prefixes of any address of the block, since what lies outside differs from all at the same bit.
    fn edges(&self, block: Block) -> Edges {
        let start = block.from.checked_sub(1).and_then(|at| self.changes.get(at)).map_or(0, |(start, _)| *start);
        let below = start.checked_sub(1).map_or(0, |before| clear(block.start, before));
        let above = self.changes.get(block.to).map_or(0, |(next, _)| clear(block.start, *next));
        Edges { below, above }
    }

    /// A root's entry.
    fn entry(&mut self, block: Block) -> u32 {
        let entry = |first, spread| first << SHIFT_BITS | (u64::BITS - 1 - spread);
        if block.from < block.to {
            let spread = self.spread(block);
            return entry(self.table(block, spread, 0), spread);
        }
        let key = (self.place(block), self.edges(block));
        let known = self.shared.get(&key).copied();
        let first = known.unwrap_or_else(|| {
            let made = self.table(block, 0, 0);
            self.shared.insert(key, made);
            made
        });
        entry(first, 0)
    }

    /// Makes a table of `1 << spread` lines; returns the first.
    fn table(&mut self, block: Block, spread: u32, depth: u32) -> u32 {
        let first = self.lines.len();
        self.lines.resize(first + (1 << spread), Line::default());
        let bits = block.bits - spread;
        let mut from = block.from;
        for slot in 0..1usize << spread {
            let part = self.block(block.start + ((slot as u64) << bits), bits, from, block.to);
            from = part.to;
            let line = self.line(part, depth);
            if let Some(place) = self.lines.get_mut(first + slot) {
                *place = line;
            }
        }
        first as u32
    }

    fn line(&mut self, block: Block, depth: u32) -> Line<C, N> {
        let (place, edges) = (self.place(block), self.edges(block));
        if let Some(line) = Line::of_cuts(block.bits, place, self.cuts(block), edges) {
            return line;
        }
        let spread = if depth < MAX_DEPTH { self.spread(block) } else { 0 };
        if spread > 0 {
            let table = self.table(block, spread, depth + 1);
            return Line::to_table(table, spread, block.bits - spread);
        }
        let first = self.runs.len();
        self.runs.push((block.start, place));
        self.runs.extend_from_slice(self.changes.get(block.from..block.to).unwrap_or_default());
        Line::to_run(first as u32, (self.runs.len() - first) as u32, edges)
    }

    /// By how many bits a block is best divided: few lines, few cuts that fit none.
    ///
    /// No more lines are made than cuts come to fit, but one: in all there are at most twice as many as cuts, and the root's.
    fn spread(&self, block: Block) -> u32 {
        let cuts = self.cuts(block);
        let cost = |spread: u32| {
            let bits = block.bits - spread;
            let slots = cuts.chunk_by(|(a, _), (b, _)| a >> bits == b >> bits);
            let misfits: usize =
                slots.map(|slot| own(slot, bits)).filter(|cuts| !Line::<C, N>::fits(bits, cuts)).map(<[_]>::len).sum();
            (1 << spread) + misfits
        };
        let most = cuts.len().checked_ilog2().unwrap_or(0).min(MAX_SPREAD).min(block.bits.saturating_sub(1));
        (0..=most).min_by_key(|spread| cost(*spread)).unwrap_or(0)
    }
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

    fn key(address: u32) -> u64 {
        u64::from(address) << 32
    }

    /// Cuts that cluster, as prefixes do.
    fn changes() -> impl Strategy<Value = Vec<(u32, u16)>> {
        let cut = prop_oneof![any::<u32>(), 0..64u32, Just(u32::MAX), (0..4000u32).prop_map(|low| 0x0a00_0000 + low)];
        prop::collection::btree_map(cut, 0..3u16, 0..600).prop_map(|mut cuts| {
            cuts.insert(0, 0);
            let mut changes: Vec<_> = cuts.into_iter().collect();
            changes.dedup_by_key(|(_, place)| *place);
            changes
        })
    }

    proptest! {
        // A tree has a root of its full size, however few its ranges.
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn ranges_are_found(changes in changes(), keys in prop::collection::vec(any::<u32>(), 200)) {
            let keys64: Vec<_> = changes.iter().map(|(start, place)| (key(*start), *place)).collect();
            let (narrow, high) = (Narrow::new(&keys64), High::new(&keys64));
            let edges = changes.iter().flat_map(|(start, _)| [*start, start.wrapping_sub(1), start.wrapping_add(1)]);
            for address in keys.into_iter().chain(edges) {
                let expected = naive(&changes, address);
                prop_assert_eq!(narrow.find(key(address)), expected, "{}", address);
                prop_assert_eq!(high.find(key(address)), expected, "{}", address);
                let places = (narrow.place(key(address)), high.place(key(address)));
                prop_assert_eq!(places, (expected.place, expected.place), "{}", address);
            }
            prop_assert_eq!(narrow.iter().collect::<Vec<_>>(), &*keys64);
            prop_assert_eq!(high.iter().collect::<Vec<_>>(), keys64);
        }
    }

    #[test]
    fn nothing_but_one_range_is_all_of_it() {
        assert_eq!(Narrow::default().find(key(7)), Found { place: 0, prefix: 0 });
        assert_eq!(High::new(&[(0, 3)]).find(u64::MAX), Found { place: 3, prefix: 0 });
        assert_eq!(High::default().iter().collect::<Vec<_>>(), [(0, 0)]);
    }

    /// More levels than tables may have: the rest are runs.
    #[test]
    fn clusters_within_clusters_are_no_trouble() {
        let mut cuts = std::collections::BTreeSet::from([0]);
        for level in 0..60u32 {
            cuts.extend((0..9).map(|step: u64| (1u64 << level).saturating_mul(step + 1)));
        }
        let changes: Vec<_> = cuts.into_iter().enumerate().map(|(at, cut)| (cut, u16::from(at % 2 == 1))).collect();
        let ranges = High::new(&changes);
        for window in changes.windows(2) {
            let [(start, place), (next, _)] = window else { panic!("two") };
            assert_eq!((ranges.find(*start).place, ranges.find(next - 1).place), (*place, *place), "{start}");
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), changes);
    }
}
