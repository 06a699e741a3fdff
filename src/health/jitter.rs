//! Jitter: what is paced alike spreads out over the pace, and falls due in small bunches all the same.

use std::time::Duration;

use crate::steer::time::Time;

/// The last point of the grid that is not after `at`. Probes that share a pace fall due together, a hundredth of `every`
/// (100 ms at most) apart from the next: waking up costs as much as a probe, so a few at a time are cheaper.
pub fn on_grid(at: Time, every: Duration) -> Time {
    let step = u64::try_from(every.as_millis() / 100).unwrap_or(100).clamp(1, 100);
    Time(at.0 - at.0 % step)
}

/// A stream of numbers that look random: SplitMix64.
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A span between `from` and 1 times `whole`.
    pub fn between(&mut self, whole: Duration, from: f64) -> Duration {
        let unit = f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        whole.mul_f64(from + (1.0 - from) * unit)
    }
}
