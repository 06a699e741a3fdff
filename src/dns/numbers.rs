//! Fresh numbers for draws: SplitMix64, seeded by the system. Quick, and nobody gains by foreseeing a draw.

pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new() -> Self {
        Self(getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
