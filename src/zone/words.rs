//! Words of record data that stand for numbers: decimals, hexadecimal groups, times, mnemonics.

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
    fn decimals() {
        assert_eq!((decimal(b"0"), decimal(b"4294967295")), (Some(0), Some(u32::MAX)));
        for text in ["", "+1", "-1", "4294967296", "1x", "99999999999999999999999"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }
}
