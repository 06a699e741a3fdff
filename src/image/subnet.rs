//! EDNS Client Subnet (RFC 7871): for whom a resolver asks, and for whom an answer holds.
//!
//! | option in a question | answer | rule |
//! | --- | --- | --- |
//! | none | none in the answer | section 7.2.2 |
//! | shorter than its fixed part | FORMERR | section 6 |
//! | family 1 or 2, a length beyond the family's 32 or 128 bits | FORMERR | section 6 |
//! | more or fewer octets of address than the length needs, bits beyond it | FORMERR | section 6 |
//! | a scope other than 0 | FORMERR | section 6 |
//! | family 0, length 0, no address | as length 0: what `dig +subnet=0` sends | as BIND |
//! | any other family | FORMERR | as BIND and gdnsd |
//! | several options | the first counts | as BIND and Knot |
//! | in a version of EDNS above 0 | not read: BADVERS | RFC 6891, section 6.1.3 |
//! | length 0 | the sender's own address decides; scope 0 | section 7.1.2 |
//! | any other length | the prefix is the client | section 7.2.1 |
//!
//! The answer repeats family, length and address, and adds a scope: how many bits of the address it depends on, be they more
//! than were told or fewer (section 7.2.1). Referrals and negative answers have scope 0 (section 7.4), and so has all
//! that is the same for everyone. That holds for NODATA at a steered name too, though its candidates may have different
//! families: resolvers take any negative answer as one for all clients, whatever its scope says. It lasts no longer than
//! the decision's TTL, and the addresses of the other family, which have a scope, are answered beside it.
//!
//! A FORMERR for what is no option has an OPT record, without options: it says that EDNS is known here (RFC 6891,
//! section 7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answer::OPTION_FIXED;

/// The code of the option.
pub(super) const OPTION: u16 = 8;
/// Octets before the address: family, both lengths.
const FIXED: usize = 4;
/// Octets of the longest option, its code and length counted.
pub(super) const MOST: usize = OPTION_FIXED + FIXED + 16;
/// Bits before an IPv4 address that is mapped into IPv6.
const MAPPED: u8 = 96;

/// The option of a question, found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    family: u8,
    /// Bits of the prefix.
    source: u8,
    /// The address from its first octet on, filled up with zeros.
    address: [u64; 2],
}

impl Subnet {
    /// Reads the data of an option; none: FORMERR.
    #[inline]
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (&[family0, family, source, scope], address) = data.split_first_chunk::<FIXED>()?;
        let bits = match [family0, family] {
            [0, 0] => 0,
            [0, 1] => 32,
            [0, 2] => 128,
            _ => return None,
        };
        if source > bits || scope != 0 || address.len() != usize::from(source.div_ceil(8)) {
            return None;
        }
        let (high, low) = address.split_at_checked(8).unwrap_or((address, &[]));
        let subnet = Self { family, source, address: [filled(high), filled(low)] };
        let beyond = subnet.bits().checked_shl(source.into()).unwrap_or(0);
        (beyond == 0).then_some(subnet)
    }

    #[inline]
    fn bits(&self) -> u128 {
        let [high, low] = self.address;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The first address of the prefix; none where the client is not to be located.
    #[inline]
    pub(super) fn client(&self) -> Option<IpAddr> {
        match (self.family, self.source) {
            (_, 0) => None,
            (1, _) => Some(Ipv4Addr::from_bits((self.address[0] >> 32) as u32).into()),
            _ => Some(Ipv6Addr::from_bits(self.bits()).into()),
        }
    }

    /// Octets of the whole option in an answer.
    #[inline]
    pub(super) fn len(&self) -> usize {
        OPTION_FIXED + FIXED + usize::from(self.source.div_ceil(8))
    }

    /// The option in an answer that depends on so many bits of the client's canonical address, and zeros behind its [`Self::len`] octets.
    #[inline]
    pub(super) fn answer(&self, scope: u8) -> [u8; MOST] {
        let [high, low] = self.address;
        let is_mapped = self.family == 2 && high == 0 && low >> 32 == 0xffff;
        let scope = match self.source {
            0 => 0,
            _ if is_mapped && scope != 0 => MAPPED + scope.min(32),
            _ => scope,
        };
        let [_, len] = ((self.len() - OPTION_FIXED) as u16).to_be_bytes();
        let mut octets = [0; MOST];
        let (head, rest) = octets.split_at_mut(OPTION_FIXED + FIXED);
        head.copy_from_slice(&[0, OPTION as u8, 0, len, 0, self.family, self.source, scope]);
        rest.copy_from_slice(&self.bits().to_be_bytes());
        octets
    }
}

/// At most eight octets as a word, the first one highest, filled up with zeros.
#[inline]
fn filled(octets: &[u8]) -> u64 {
    let left = 64 - 8 * octets.len() as u32;
    match (octets.first_chunk(), octets.last_chunk()) {
        // Where both overlap they say the same.
        (Some(first), Some(last)) => {
            u64::from(u32::from_be_bytes(*first)) << 32 | u64::from(u32::from_be_bytes(*last)) << left
        }
        _ => octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)).checked_shl(left).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Option<Option<IpAddr>> {
        Subnet::read(data).map(|subnet| subnet.client())
    }

    /// The table of the file's head.
    #[test]
    fn options_are_read_as_the_table_says() {
        let address = |text: &str| Some(Some(text.parse().expect("an address")));
        assert_eq!(read(&[0, 1, 24, 0, 198, 51, 100]), address("198.51.100.0"));
        assert_eq!(read(&[0, 1, 32, 0, 198, 51, 100, 7]), address("198.51.100.7"));
        assert_eq!(read(&[0, 1, 20, 0, 198, 51, 0x60]), address("198.51.96.0"));
        assert_eq!(read(&[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0]), address("2001:db8::"));
        for unlocated in [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0]] {
            assert_eq!(read(&unlocated), Some(None), "{unlocated:?}");
        }
        let long = [&[0, 2, 129, 0][..], &[0; 17]].concat();
        for (data, why) in [
            (&[][..], "nothing"),
            (&[0, 1, 0], "short"),
            (&[0, 1, 24, 0, 198, 51], "too few octets"),
            (&[0, 1, 24, 0, 198, 51, 100, 0], "too many octets"),
            (&[0, 1, 0, 0, 0], "an octet for length 0"),
            (&[0, 1, 20, 0, 198, 51, 0x68], "bits beyond the length"),
            (&[0, 1, 33, 0, 198, 51, 100, 7, 0], "longer than the family's"),
            (&long, "longer than the family's"),
            (&[0, 1, 24, 24, 198, 51, 100], "a scope"),
            (&[0, 0, 8, 0, 198], "an address without a family"),
            (&[0, 3, 0, 0], "an unknown family"),
            (&[1, 1, 0, 0], "an unknown family"),
        ] {
            assert_eq!(read(data), None, "{why}");
        }
    }

    #[test]
    fn answers_repeat_the_option_with_a_scope() {
        let answer = |data: &[u8], scope| {
            let subnet = Subnet::read(data).expect("a good option");
            let (octets, len) = (subnet.answer(scope), subnet.len());
            assert!(octets[len..].iter().all(|octet| *octet == 0));
            assert_eq!(octets[..4], [0, 8, 0, len as u8 - 4]);
            octets[4..len].to_vec()
        };
        assert_eq!(answer(&[0, 1, 16, 0, 198, 51], 24), [0, 1, 16, 24, 198, 51]);
        assert_eq!(answer(&[0, 1, 0, 0], 24), [0, 1, 0, 0], "who is not located gets no scope");
        assert_eq!(answer(&[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8], 56), [0, 2, 32, 56, 0x20, 1, 0xd, 0xb8]);
        let mapped = [&[0, 2, 128, 0][..], &[0; 10], &[255, 255, 198, 51, 100, 7]].concat();
        assert_eq!(answer(&mapped, 24)[..4], [0, 2, 128, 120]);
        assert_eq!(answer(&mapped, 0)[..4], [0, 2, 128, 0]);
    }
}
