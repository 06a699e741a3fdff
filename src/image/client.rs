//! Which point of the circle of shares a client stands at.

//!
//! The hash is SipHash-1-3, written out for the one or two words that a prefix is: a general one reads octets of any number, which is more work than the
//! hash itself.

use std::net::IpAddr;

use crate::steer::shares::POINTS;

/// From clients to points, keyed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points([u64; 4]);

impl Default for Points {
    fn default() -> Self {
        Self::new([0; 16])
    }
}

impl Points {
    pub(super) fn new(key: [u8; 16]) -> Self {
        let (low, high) = (u128::from_le_bytes(key) as u64, (u128::from_le_bytes(key) >> 64) as u64);
        // "somepseudorandomlygeneratedbytes": what SipHash begins with.
        Self([
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ])
    }

    /// A keyed hash of the client's prefix, /24 of IPv4 and /56 of IPv6, so that the resolvers of one network agree.
    #[inline]
    pub(super) fn of(&self, client: IpAddr) -> u64 {
        // The last word ends with how many octets there are.
        match client.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                self.hash([u64::from_le_bytes([4, a, b, c, 0, 0, 0, 4])])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                self.hash([u64::from_le_bytes([6, a, b, c, d, e, f, g]), 8 << 56])
            }
        }
    }

    #[inline(always)]
    fn hash<const N: usize>(&self, words: [u64; N]) -> u64 {
        let mut state = self.0;
        for word in words {
            state[3] ^= word;
            state = mixed(state);
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        state = mixed(mixed(mixed(state)));
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

/// A round of SipHash.
#[inline(always)]
fn mixed([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// The point that a client stands at under this key, below [`POINTS`], and how many bits of its address are hashed.
pub fn client_point(key: [u8; 16], client: IpAddr) -> (u32, u8) {
    let point = Points::new(key).of(client) % u64::from(POINTS);
    (u32::try_from(point).unwrap_or(0), hashed(client))
}

/// How many bits of a client's address [`Points::of`] hashes.
pub(super) fn hashed(client: IpAddr) -> u8 {
    if client.to_canonical().is_ipv4() { 24 } else { 56 }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    proptest! {
        #[test]
        fn points_are_those_of_siphash(key: [u8; 16], v4: [u8; 4], v6: [u8; 16]) {
            let (points, known) = (Points::new(key), SipHasher13::new_with_key(&key));
            prop_assert_eq!(points.of(Ipv4Addr::from(v4).into()), known.hash(&[4, v4[0], v4[1], v4[2]]));
            let v6 = Ipv6Addr::from(v6);
            prop_assume!(v6.to_ipv4_mapped().is_none());
            prop_assert_eq!(points.of(v6.into()), known.hash(&[&[6], &v6.octets()[..7]].concat()));
        }
    }

    #[test]
    fn one_prefix_is_one_point() {
        let at = |client: &str| Points::new([7; 16]).of(client.parse().expect("an address"));
        assert_eq!(at("192.0.2.1"), at("192.0.2.254"));
        assert_eq!(at("192.0.2.1"), at("::ffff:192.0.2.77"));
        assert_ne!(at("192.0.2.1"), at("192.0.3.1"));
        assert_eq!(at("2001:db8:0:100::1"), at("2001:db8:0:1ff::1"));
        assert_ne!(at("2001:db8:0:100::1"), at("2001:db8:0:200::1"));
        assert_ne!(at("192.0.2.1"), Points::new([8; 16]).of("192.0.2.1".parse().expect("an address")));
    }
}
