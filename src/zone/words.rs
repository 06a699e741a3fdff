//! Words of record data that stand for numbers: decimals, hexadecimal groups, times, mnemonics.

use std::net::Ipv6Addr;

/// A number in decimal digits alone.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut value: u32 = 0;
    for octet in text {
        let digit = octet.is_ascii_digit().then(|| octet - b'0')?;
        value = value.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    Some(value)
}

/// An IPv4 address: four numbers up to 255, without leading zeros, as the standard library reads them.
#[inline]
pub(super) fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let mut address = [0_u8; 4];
    let mut octets = text.iter();
    for (at, part) in address.iter_mut().enumerate() {
        let mut value = u32::from(digit(*octets.next()?)?);
        let leading_zero = value == 0;
        loop {
            match octets.next() {
                Some(b'.') if at < 3 => break,
                None if at == 3 => break,
                Some(octet) if !leading_zero => value = value * 10 + u32::from(digit(*octet)?),
                _ => return None,
            }
            if value > 255 {
                return None;
            }
        }
        *part = value as u8;
    }
    Some(address)
}

/// An IPv6 address (RFC 4291, section 2.2), as the standard library reads it.
pub(super) fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    if text.contains(&b'.') {
        let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
        return Some(address.octets());
    }
    let mut groups = [0_u16; 8];
    let (mut count, mut gap) = (0, None);
    let mut rest = text;
    if let [b':', b':', tail @ ..] = rest {
        (gap, rest) = (Some(0), tail);
    }
    while !rest.is_empty() || count == 0 && gap.is_none() {
        let digits = rest.iter().take(5).take_while(|octet| octet.is_ascii_hexdigit());
        let (value, len) = digits.fold((0_u32, 0), |(value, len), octet| (value << 4 | hex_digit(*octet), len + 1));
        *groups.get_mut(count).filter(|_| (1..=4).contains(&len))? = value as u16;
        count += 1;
        rest = match rest.get(len..)? {
            [] => &[],
            [b':', b':', tail @ ..] if gap.is_none() => {
                gap = Some(count);
                tail
            }
            [b':', tail @ ..] if !tail.is_empty() => tail,
            _ => return None,
        };
    }
    match gap {
        None if count == 8 => {}
        // At least one group is left out.
        Some(at) if count < 8 => {
            groups.get_mut(at..)?.rotate_right(8 - count);
        }
        _ => return None,
    }
    let mut address = [0_u8; 16];
    for (to, group) in address.chunks_exact_mut(2).zip(groups) {
        to.copy_from_slice(&group.to_be_bytes());
    }
    Some(address)
}

/// The value of a hexadecimal digit.
fn hex_digit(octet: u8) -> u32 {
    u32::from(if octet.is_ascii_digit() { octet - b'0' } else { (octet | 0x20) - b'a' + 10 })
}

#[inline]
fn digit(octet: u8) -> Option<u8> {
    Some(octet.wrapping_sub(b'0')).filter(|digit| *digit < 10)
}

pub(super) fn hex_group(text: &[u8], digits: usize) -> Option<u16> {
    let plain = text.len() == digits && text.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(text).ok().filter(|_| plain)?;
    u16::from_str_radix(text, 16).ok()
}

/// `YYYYMMDDHHmmSS` in UTC as seconds since 1970, modulo 2^32 (RFC 4034, section 3.1.5).
pub(super) fn calendar(text: &[u8]) -> Option<u32> {
    let part = |from: usize, to: usize| text.get(from..to).and_then(decimal);
    let (year, month, day) = (i64::from(part(0, 4)?), i64::from(part(4, 6)?), i64::from(part(6, 8)?));
    let (hour, minute, second) = (i64::from(part(8, 10)?), i64::from(part(10, 12)?), i64::from(part(12, 14)?));
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 with the year taken to begin in March, so that the leap day comes last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    u32::try_from(seconds & 0xffff_ffff).ok()
}

/// RFC 4034, appendix A.1, and the IANA registry.
pub(super) const ALGORITHMS: &[(u16, &str)] = &[
    (0, "DELETE"),
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// RFC 4398, section 2.1.
pub(super) const CERTIFICATE_TYPES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(calendar(b"19700101000000"), Some(0));
        assert_eq!(calendar(b"20240229120000"), Some(1_709_208_000));
        assert_eq!(calendar(b"21060207062816"), Some(0));
        for text in ["20260001000000", "20261301000000", "20260101240000", "2026010100000x"] {
            assert_eq!(calendar(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_those_of_the_standard_library() {
        for text in [
            "0.0.0.0",
            "192.0.2.1",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.",
            ".1.2.3",
            "01.2.3.4",
            "1.2.3.04",
            "00.0.0.0",
            "1..2.3",
            "",
            "1.2.3.4 ",
            "1.2.3.a",
            "-1.2.3.4",
            "+1.2.3.4",
            "1.2.3.1000",
            "1.2.3.4.",
        ] {
            let expected = text.parse::<std::net::Ipv4Addr>().ok().map(|address| address.octets());
            assert_eq!(ipv4(text.as_bytes()), expected, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5_000))]

        #[test]
        fn so_are_those_with_colons(text in "(:|::|[0-9a-fA-F]{1,5}|0|f:|g|1:2:|::ffff:|1.2.3.4){0,9}") {
            let expected = text.parse::<Ipv6Addr>().ok().map(|address| address.octets());
            proptest::prop_assert_eq!(ipv6(text.as_bytes()), expected);
        }

        #[test]
        fn written_addresses_are_read(octets in proptest::prelude::any::<[u8; 16]>(), zeros in 0..=u16::MAX) {
            let mut octets = octets;
            for (at, group) in octets.chunks_exact_mut(2).enumerate().filter(|(at, _)| zeros >> at & 1 == 1) {
                group.fill(u8::from(at > 7));
            }
            let text = Ipv6Addr::from(octets).to_string();
            proptest::prop_assert_eq!(ipv6(text.as_bytes()), Some(octets));
        }
    }

    #[test]
    fn decimals() {
        assert_eq!((decimal(b"0"), decimal(b"4294967295")), (Some(0), Some(u32::MAX)));
        for text in ["", "+1", "-1", "4294967296", "1x", "99999999999999999999999"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }
}
