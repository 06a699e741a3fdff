//! Numbers that look random and are the same for the same seed: SplitMix64.
//!
//! What the world does is drawn by key (seed, provider, slot), not in a row, so that every rule that is compared meets the
//! same outage. What one request meets is drawn in a row.

/// A row of numbers.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The row of this seed for this purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self(keyed(seed, &[purpose], 0))
    }

    /// A number within 0 and 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        unit(mixed(self.0))
    }
}

/// The number of a key.
pub fn keyed(seed: u64, words: &[&str], number: u64) -> u64 {
    let mut hash = mixed(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
    for word in words {
        for &octet in word.as_bytes() {
            hash = mixed(hash ^ u64::from(octet));
        }
        hash = mixed(hash ^ 0x100);
    }
    mixed(hash ^ number)
}

/// The upper 53 bits as a number within 0 and 1.
pub fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_even_and_repeat() {
        let row = |seed| {
            let mut draw = Draw::new(seed, "a test");
            (0..10_000).map(move |_| draw.unit()).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        let mean = row(1).iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        assert_ne!(keyed(1, &["ab", "c"], 0), keyed(1, &["a", "bc"], 0));
    }
}
