//! Which point of the circle of shares a client stands at.

use std::net::IpAddr;

use siphasher::sip::SipHasher13;

/// From clients to points, keyed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Points(SipHasher13);

impl Points {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// A keyed hash of the client's prefix, /24 of IPv4 and /56 of IPv6, so that the resolvers of one network agree.
    #[inline]
    pub(super) fn of(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                self.0.hash(&[4, a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                self.0.hash(&[6, a, b, c, d, e, f, g])
            }
        }
    }
}

/// How many bits of a client's address [`Points::of`] hashes.
pub(super) fn hashed(client: IpAddr) -> u8 {
    if client.to_canonical().is_ipv4() { 24 } else { 56 }
}

#[cfg(test)]
mod tests {
    use super::*;

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
