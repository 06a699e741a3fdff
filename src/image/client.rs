//! Which point of the circle of shares a client stands at.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

/// A keyed hash of the client's prefix, /24 of IPv4 and /56 of IPv6, so that the resolvers of one network agree.
pub(super) fn point(key: [u8; 16], client: IpAddr) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&key);
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            hasher.write(&[4, a, b, c]);
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, ..] = address.octets();
            hasher.write(&[6, a, b, c, d, e, f, g]);
        }
    }
    hasher.finish()
}

/// How many bits of a client's address [`point`] hashes.
pub(super) fn hashed(client: IpAddr) -> u8 {
    if client.to_canonical().is_ipv4() { 24 } else { 56 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_prefix_is_one_point() {
        let at = |client: &str| point([7; 16], client.parse().expect("an address"));
        assert_eq!(at("192.0.2.1"), at("192.0.2.254"));
        assert_eq!(at("192.0.2.1"), at("::ffff:192.0.2.77"));
        assert_ne!(at("192.0.2.1"), at("192.0.3.1"));
        assert_eq!(at("2001:db8:0:100::1"), at("2001:db8:0:1ff::1"));
        assert_ne!(at("2001:db8:0:100::1"), at("2001:db8:0:200::1"));
        assert_ne!(at("192.0.2.1"), point([8; 16], "192.0.2.1".parse().expect("an address")));
    }
}
