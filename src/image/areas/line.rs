//! A cache line of ranges: the last thing a look-up reads, and from the second level on the only one.
//!
//! A line is about an aligned block of addresses. Cuts are kept as multiples of the unit that they all have in common, so
//! that those of IPv4 take two octets and those of IPv6 four:
//!
//! ```text
//!   key = | the block's own bits, the same in all of it | C::BITS bits, compared | scale bits, 0 in every cut |
//! ```
//!
//! How long the longest prefix of one place is around an address is known from the cuts on both sides of it. Where one of
//! them is outside of the block, it differs from all addresses of the block at the same bit: two octets say at which.

use super::Found;

/// A cut as a line keeps it.
pub(super) trait Cut: Copy + Ord + Default {
    const BITS: u32;
    /// The low bits.
    fn of(key: u64) -> Self;
    /// How many cuts are at most `key`. All are compared: there is no branch to be guessed wrong.
    fn rank(cuts: &[Self], key: Self) -> usize;
    /// How many of the leading bits are the same.
    fn common(self, other: Self) -> u8;
    /// One unit less; not asked for of 0.
    fn before(self) -> Self;
    fn key(self) -> u64;
}

macro_rules! cut {
    ($type:ty) => {
        impl Cut for $type {
            const BITS: u32 = <$type>::BITS;
            #[inline]
            fn of(key: u64) -> Self {
                key as $type
            }
            #[inline]
            fn rank(cuts: &[Self], key: Self) -> usize {
                // Counted in numbers of the same width, so that nothing is widened.
                cuts.iter().map(|cut| <$type>::from(*cut <= key)).sum::<$type>() as usize
            }
            #[inline]
            fn common(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
            #[inline]
            fn before(self) -> Self {
                self.wrapping_sub(1)
            }
            fn key(self) -> u64 {
                self.into()
            }
        }
    };
}
cut!(u16);
cut!(u32);

/// In the place of a count: the line leads to a table, or to a run.
const TABLE: u8 = 254;
const RUN: u8 = 255;

/// What a line says; at most `N` cuts.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line<C, const N: usize> {
    cuts: [C; N],
    /// Of each range: the one that reaches in, then those that begin at the cuts. Where the line leads on: to where.
    first: u16,
    places: [u16; N],
    /// How many cuts, [`TABLE`] or [`RUN`].
    count: u8,
    /// How far a key is shifted to compare it, or to get its slot.
    scale: u8,
    edges: Edges,
}

/// The length of the shortest prefix around the block's addresses that is clear of what lies outside on either side: 0
/// where nothing does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Edges {
    /// Clear of the range before the one that reaches in.
    pub(super) below: u8,
    /// Clear of the range after the one that reaches out.
    pub(super) above: u8,
}

/// Where a line leads.
pub(super) enum Way {
    /// To its own cuts.
    Here,
    /// To this line.
    On(usize),
    /// To ranges that are kept apart: the first, and how many.
    Run(usize, usize),
}

impl<C: Cut, const N: usize> Default for Line<C, N> {
    fn default() -> Self {
        // What is no cut is above all keys, or counted beyond the last.
        let cuts = [C::of(u64::MAX); N];
        Self { cuts, first: 0, places: [0; N], count: 0, scale: 0, edges: Edges::default() }
    }
}

impl<C: Cut, const N: usize> Line<C, N> {
    /// The ranges of a block of `bits` bits: the place that reaches in, and the cuts within. None where they do not fit.
    pub(super) fn of_cuts(bits: u32, place: u16, cuts: &[(u64, u16)], edges: Edges) -> Option<Self> {
        if !Self::fits(bits, cuts) {
            return None;
        }
        let scale = bits.saturating_sub(C::BITS) as u8;
        let mut line = Self { first: place, count: cuts.len() as u8, scale, edges, ..Self::default() };
        for ((at, slot), (key, place)) in line.cuts.iter_mut().zip(&mut line.places).zip(cuts) {
            (*at, *slot) = (C::of(key >> scale), *place);
        }
        Some(line)
    }

    /// Whether the cuts of a block of `bits` bits fit a line.
    pub(super) fn fits(bits: u32, cuts: &[(u64, u16)]) -> bool {
        let scale = bits.saturating_sub(C::BITS);
        cuts.len() <= N && cuts.iter().all(|(cut, _)| cut.trailing_zeros() >= scale)
    }

    /// Leads on to a table of `1 << spread` lines, by the bits of the key above `shift`.
    pub(super) fn to_table(table: u32, spread: u32, shift: u32) -> Self {
        Self { count: TABLE, scale: shift as u8, ..Self::leading(table, (1 << spread) - 1) }
    }

    /// Leads on to ranges that are kept apart.
    pub(super) fn to_run(first: u32, length: u32, edges: Edges) -> Self {
        Self { count: RUN, edges, ..Self::leading(first, length) }
    }

    fn leading(to: u32, size: u32) -> Self {
        let mut line = Self::default();
        for (place, half) in line.places.iter_mut().zip([to, to >> 16, size, size >> 16]) {
            *place = half as u16;
        }
        line
    }

    #[inline]
    pub(super) fn way(&self, key: u64) -> Way {
        if usize::from(self.count) <= N {
            return Way::Here;
        }
        let [low, high, size, above, ..] = self.places.as_slice() else { return Way::Here };
        let to = usize::from(*low) | usize::from(*high) << 16;
        let size = usize::from(*size) | usize::from(*above) << 16;
        match self.count {
            TABLE => Way::On(to + ((key >> self.scale) as usize & size)),
            _ => Way::Run(to, size),
        }
    }

    /// How many bits of a key choose the line of the table that this one leads to.
    pub(super) fn spread(&self) -> u32 {
        let [.., size, above] = self.places.first_chunk::<4>().copied().unwrap_or_default();
        (u32::from(size) | u32::from(above) << 16).trailing_ones()
    }

    pub(super) fn edges(&self) -> Edges {
        self.edges
    }

    /// What its own cuts say of a key of its block.
    #[inline]
    pub(super) fn find(&self, key: u64) -> Found {
        let (key, count) = (C::of(key >> self.scale), usize::from(self.count));
        if count == 0 {
            // Most of the address space, and seldom where clients are.
            return Found { place: self.first, prefix: self.edges.below.max(self.edges.above) };
        }
        // Those too that are none, hence the limit.
        let at = C::rank(&self.cuts, key).min(count);
        let before = at.wrapping_sub(1);
        let place = self.places.get(before).copied().unwrap_or(self.first);
        // Nothing compared is the same: a cut is at most the key, the next is above it.
        let apart = (u64::BITS - C::BITS + 1) as u8 - self.scale;
        let below = self.cuts.get(before).map_or(self.edges.below, |cut| apart + key.common(cut.before()));
        let next = self.cuts.get(at).filter(|_| at < count);
        let above = next.map_or(self.edges.above, |cut| apart + key.common(*cut));
        Found { place, prefix: below.max(above) }
    }

    /// The place alone.
    #[inline]
    pub(super) fn place(&self, key: u64) -> u16 {
        let at = C::rank(&self.cuts, C::of(key >> self.scale)).min(usize::from(self.count));
        self.places.get(at.wrapping_sub(1)).copied().unwrap_or(self.first)
    }

    /// Its ranges, given where its block begins.
    pub(super) fn iter(&self, start: u64) -> impl Iterator<Item = (u64, u16)> {
        let span = u64::MAX.checked_shl(C::BITS + u32::from(self.scale)).unwrap_or(0);
        let (scale, block) = (self.scale, start & span);
        let count = usize::from(self.count).min(N);
        let cuts = self.cuts.iter().zip(&self.places).take(count);
        [(start, self.first)].into_iter().chain(cuts.map(move |(cut, place)| (block | cut.key() << scale, *place)))
    }
}
