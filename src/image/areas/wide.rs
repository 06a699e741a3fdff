//! Ranges of IPv6 addresses: found by their first 64 bits, and by all 128 only where a /64 is not all one place.

use super::Found;
use super::ranges::{Located, Ranges, uniform};

/// In the place of a place: the rest of the address decides. No place has this number.
pub(super) const SPLIT: u16 = u16::MAX;

/// Ranges of addresses with their places.
#[derive(Debug, Default)]
pub(super) struct Wide {
    high: Ranges<u64>,
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
        Self { high: Ranges::new(high), low }
    }

    #[inline]
    pub(super) fn find(&self, address: u128) -> Found {
        let key = first(address);
        let Located { place, start, next } = self.high.locate(key);
        if place == SPLIT { self.find_low(address) } else { Found { place, prefix: uniform(key, start, next) } }
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
        Found { place, prefix: 64 + uniform(rest(address), rest(start), next.map(rest)) }
    }

    pub(super) fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.high.octets() + self.low.len() * size_of::<(u128, u16)>()
    }

    /// All changes, in order. Neighbours may be equal.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, u16)> {
        self.high.iter().flat_map(|(block, place)| {
            let start = u128::from(block) << 64;
            let split = if place == SPLIT { self.low_of(block) } else { &[] };
            let whole = (place != SPLIT).then_some((start, place));
            whole.into_iter().chain(split.iter().copied())
        })
    }

    fn low_of(&self, block: u64) -> &[(u128, u16)] {
        let from = self.low.partition_point(|(start, _)| first(*start) < block);
        let to = self.low.partition_point(|(start, _)| first(*start) <= block);
        self.low.get(from..to).unwrap_or_default()
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
