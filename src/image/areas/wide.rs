//! Ranges of IPv6 addresses: found by their first 64 bits, and by all 128 only where a /64 is not all one place.

use super::Found;
use super::ranges::{High, clear};

/// In the place of a place: the rest of the address decides. No place has this number.
pub(super) const SPLIT: u16 = u16::MAX;

/// Ranges of addresses with their places.
#[derive(Debug, Default)]
pub(super) struct Wide {
    high: High,
    /// The ranges of each /64 that is split, sorted; the first of each begins with it.
    low: Vec<(u128, u16)>,
}

impl Wide {
    /// From changes that are sorted, begin at 0, and whose neighbours differ.
    pub(super) fn new(changes: &[(u128, u16)]) -> Self {
        let (mut high, mut low) = (Vec::new(), Vec::new());
        let mut reaching = 0;
        let groups = changes.chunk_by(|(a, _), (b, _)| first(*a) == first(*b));
        for group in groups {
            let (Some(&(start, place)), Some(&(_, last))) = (group.first(), group.last()) else { continue };
            let block = first(start);
            // What reached into this block ends before it, where a split one did not end right there.
            if group.len() == 1 && rest(start) == 0 {
                put(&mut high, block, place);
            } else {
                put(&mut high, block, SPLIT);
                if rest(start) != 0 {
                    low.push((u128::from(block) << 64, reaching));
                }
                low.extend_from_slice(group);
                if let Some(after) = block.checked_add(1) {
                    put(&mut high, after, last);
                }
            }
            reaching = last;
        }
        Self { high: High::new(&high), low }
    }

    #[inline]
    pub(super) fn find(&self, address: u128) -> Found {
        let found = self.high.find(first(address));
        if found.place == SPLIT { self.find_low(address) } else { found }
    }

    #[inline]
    pub(super) fn place(&self, address: u128) -> u16 {
        match self.high.place(first(address)) {
            SPLIT => self.find_low(address).place,
            place => place,
        }
    }

    /// In a /64 that is split, so that no prefix reaches out of it.
    #[cold]
    fn find_low(&self, address: u128) -> Found {
        let after = self.low.partition_point(|(start, _)| *start <= address);
        let range = after.checked_sub(1).and_then(|at| self.low.get(at));
        let Some(&(start, place)) = range.filter(|(start, _)| first(*start) == first(address)) else {
            return Found { place: 0, prefix: 128 };
        };
        let next = self.low.get(after).map(|(next, _)| *next).filter(|next| first(*next) == first(address));
        let below = rest(start).checked_sub(1).map_or(0, |before| clear(rest(address), before));
        let above = next.map_or(0, |next| clear(rest(address), rest(next)));
        Found { place, prefix: 64 + below.max(above) }
    }

    pub(super) fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.high.octets() + self.low.len() * size_of::<(u128, u16)>()
    }

    /// All changes, in order. Neighbours may be equal.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, u16)> {
        let whole = self.high.iter().filter(|(_, place)| *place != SPLIT);
        let mut all: Vec<_> = whole.map(|(block, place)| (u128::from(block) << 64, place)).collect();
        all.extend_from_slice(&self.low);
        all.sort_unstable();
        all.into_iter()
    }
}

/// Adds a change, or replaces the one at the same block.
fn put(high: &mut Vec<(u64, u16)>, block: u64, place: u16) {
    match high.last_mut() {
        Some(last) if last.0 == block => last.1 = place,
        _ => high.push((block, place)),
    }
}

#[inline]
fn first(address: u128) -> u64 {
    (address >> 64) as u64
}

#[inline]
fn rest(address: u128) -> u64 {
    address as u64
}
