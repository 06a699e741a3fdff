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
//! that is the same for everyone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The code of the option.
pub(super) const OPTION: u16 = 8;
/// Octets before the address: family, both lengths.
const FIXED: usize = 4;
/// Bits before an IPv4 address that is mapped into IPv6.
const MAPPED: u8 = 96;

/// The option of a question, found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    /// As they came; the address filled up with zeros.
    octets: [u8; FIXED + 16],
    len: u8,
}

impl Subnet {
    /// Reads the data of an option; none: FORMERR.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let [family0, family1, source, scope, address @ ..] = data else { return None };
        let bits = match u16::from_be_bytes([*family0, *family1]) {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        let beyond = match (*source % 8, address.last()) {
            (0, _) => 0,
            (used, last) => last? & (0xff >> used),
        };
        if *source > bits || *scope != 0 || address.len() != usize::from(source.div_ceil(8)) || beyond != 0 {
            return None;
        }
        let mut octets = [0; FIXED + 16];
        octets.get_mut(..data.len())?.copy_from_slice(data);
        Some(Self { octets, len: u8::try_from(data.len()).ok()? })
    }

    /// The first address of the prefix; none where the client is not to be located.
    pub(super) fn client(&self) -> Option<IpAddr> {
        let [_, family, source, _, address @ ..] = self.octets;
        match (family, source) {
            (_, 0) => None,
            (1, _) => address.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
            _ => Some(Ipv6Addr::from(address).into()),
        }
    }

    /// Octets of the option's data in an answer.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The data of the option in an answer that depends on so many bits of the client's canonical address.
    pub(super) fn answer(&self, scope: u8) -> ([u8; FIXED + 16], usize) {
        let mut octets = self.octets;
        let (client, [_, family, _, place, ..]) = (self.client(), &mut octets);
        *place = match client {
            None => 0,
            Some(client) if *family == 2 && client.to_canonical().is_ipv4() && scope != 0 => MAPPED + scope.min(32),
            Some(_) => scope,
        };
        (octets, self.len())
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
            let (octets, len) = Subnet::read(data).expect("a good option").answer(scope);
            octets[..len].to_vec()
        };
        assert_eq!(answer(&[0, 1, 16, 0, 198, 51], 24), [0, 1, 16, 24, 198, 51]);
        assert_eq!(answer(&[0, 1, 0, 0], 24), [0, 1, 0, 0], "who is not located gets no scope");
        assert_eq!(answer(&[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8], 56), [0, 2, 32, 56, 0x20, 1, 0xd, 0xb8]);
        let mapped = [&[0, 2, 128, 0][..], &[0; 10], &[255, 255, 198, 51, 100, 7]].concat();
        assert_eq!(answer(&mapped, 24)[..4], [0, 2, 128, 120]);
        assert_eq!(answer(&mapped, 0)[..4], [0, 2, 128, 0]);
    }
}
