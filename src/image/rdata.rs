//! Where names stand in record data.
//!
//! Only the types of RFC 1035 may be compressed (RFC 3597, section 4; for DNAME RFC 6672, section 2.5 says so again).

/// The octets before the first name, and how many names follow there; none for a type whose names are not compressed.
pub(super) fn names(rtype: u16) -> Option<(usize, usize)> {
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2..=5 | 7..=9 | 12 => Some((0, 1)),
        // SOA, MINFO
        6 | 14 => Some((0, 2)),
        // MX
        15 => Some((2, 1)),
        _ => None,
    }
}

/// The octets of the uncompressed name that `octets` begin with.
pub(super) fn name_at(octets: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let len = *octets.get(at)?;
        at += usize::from(len) + 1;
        if len == 0 {
            return octets.get(..at);
        }
        if len > 63 {
            return None;
        }
    }
}
