//! Names hashed to nodes: one open-addressing table over all zones, made once and never changed.
//!
//! An entry is eight octets: a part of the hash, the zone, and where in the zone its node begins. How many bits each gets is settled when the table
//! is made, from the number of zones and the size of the largest: the hash gets what is left, 12 bits at the least, mostly above 30. So a miss
//! seldom looks at a node, and eight entries share a cache line.
//!
//! ```text
//!   63                            0
//!   |  hash  |  zone  |  offset   |        0: free; no node begins at 0
//! ```
//!
//! Two thirds of the entries are in use: a name that is there is found at the second entry in the mean, one that is not at the fifth. The upper half
//! of the hash, multiplied by the number of entries, gives the first one to look at, so the number need be no power of two.

/// Entries for each 2 names.
const ENTRIES_FOR_TWO: usize = 3;
/// Zones have at most 2^20 numbers, nodes 2^32 offsets.
const MAX_ZONE_BITS: u32 = 20;
const MAX_OFFSET_BITS: u32 = 32;

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Index of the zone in the image.
    pub(super) zone: u32,
    /// Where in the zone's octets.
    pub(super) offset: u32,
}

/// A hash table from names to places.
#[derive(Debug)]
pub(super) struct Table {
    entries: Box<[u64]>,
    offset_bits: u32,
    zone_bits: u32,
    offset_mask: u64,
}

/// A look-up on its way.
pub(super) struct Probe {
    at: usize,
    /// The part of the hash that an entry has, in its place.
    wanted: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(0, 0, 0)
    }
}

impl Table {
    /// A table for at most `names` names in `zones` zones, in each of which nodes begin below `octets`.
    pub(super) fn new(names: usize, zones: usize, octets: usize) -> Self {
        let size = (names * ENTRIES_FOR_TWO).div_ceil(2) + 2;
        let bits = |count: usize| usize::BITS - count.leading_zeros();
        let (zone_bits, offset_bits) = (bits(zones).min(MAX_ZONE_BITS), bits(octets).min(MAX_OFFSET_BITS));
        let offset_mask = (1 << offset_bits) - 1;
        Self { entries: vec![0; size].into(), offset_bits, zone_bits, offset_mask }
    }

    /// Adds a name that is not in it. One whose place has more bits than there are is left out.
    pub(super) fn insert(&mut self, hash: u64, place: Place) {
        let shift = self.offset_bits + self.zone_bits;
        let (zone, offset) = (u64::from(place.zone), u64::from(place.offset));
        if offset == 0 || offset >> self.offset_bits != 0 || zone >> self.zone_bits != 0 {
            return;
        }
        let mut at = self.first(hash);
        for _ in 0..self.entries.len() {
            if let Some(entry) = self.entries.get_mut(at).filter(|entry| **entry == 0) {
                *entry = hash << shift | zone << self.offset_bits | offset;
                return;
            }
            at = self.after(at);
        }
    }

    /// Where names with this hash may be: [`Self::next`] tells.
    #[inline(always)]
    pub(super) fn probe(&self, hash: u64) -> Probe {
        Probe { at: self.first(hash), wanted: hash << (self.offset_bits + self.zone_bits) }
    }

    /// The next place that a name may be at; none when it is in none.
    #[inline(always)]
    pub(super) fn next(&self, probe: &mut Probe) -> Option<Place> {
        let place = self.offset_bits + self.zone_bits;
        loop {
            let entry = *self.entries.get(probe.at)?;
            if entry == 0 {
                return None;
            }
            probe.at = self.after(probe.at);
            if (entry ^ probe.wanted) >> place == 0 {
                let zone = (entry ^ probe.wanted) >> self.offset_bits;
                return Some(Place { zone: zone as u32, offset: (entry & self.offset_mask) as u32 });
            }
        }
    }

    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.entries.len() as u128) >> 64) as usize
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.entries.len() { at + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Keys;
    use super::*;

    fn places(table: &Table, hash: u64) -> impl Iterator<Item = Place> {
        let mut probe = table.probe(hash);
        std::iter::from_fn(move || table.next(&mut probe))
    }

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let keys = Keys::new(7);
        let hash = |i: u32| keys.hash(format!("01234567\x05n{i:04}\0").as_bytes(), 8, 15);
        for (zones, octets) in [(1_u32, 100_000), (1 << 20, 1 << 30), (20, u32::MAX)] {
            let place = |i: u32| Place { zone: i * 7 % zones, offset: 17 + i * 99 };
            let mut table = Table::new(1000, zones as usize, octets as usize);
            for i in 0..1000 {
                table.insert(hash(i), place(i));
            }
            for i in 0..1000 {
                assert!(places(&table, hash(i)).any(|found| found == place(i)));
            }
            let looked_at = (1000..9000).filter(|i| places(&table, hash(*i)).next().is_some()).count();
            assert!(looked_at < 80, "{zones}: {looked_at}");
        }
        assert_eq!(places(&Table::default(), 1).next(), None);
    }

    #[test]
    fn what_has_no_room_in_an_entry_is_left_out() {
        let mut table = Table::new(3, 1, 100);
        for place in [Place { zone: 2, offset: 17 }, Place { zone: 0, offset: 128 }, Place { zone: 0, offset: 0 }] {
            table.insert(5, place);
        }
        assert_eq!(places(&table, 5).next(), None);
    }
}
