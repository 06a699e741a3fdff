//! APL: lists of address prefixes, `[!]family:address/length` (RFC 3123).

use std::net::IpAddr;

use super::rdata::{Fault, Writer};
use super::words::decimal;

pub(super) fn read(writer: &mut Writer<'_, '_>) -> Result<(), Fault> {
    while !writer.at_end() {
        let (token, text) = writer.word("an address prefix")?;
        let item = item(text)
            .ok_or_else(|| Fault::new(token, "expected a prefix such as `1:192.0.2.0/24` or `!2:2001:db8::/32`"))?;
        writer.out.extend_from_slice(&item);
    }
    Ok(())
}

fn item(text: &[u8]) -> Option<Vec<u8>> {
    let (negated, text) = match text.strip_prefix(b"!") {
        Some(rest) => (0x80, rest),
        None => (0, text),
    };
    let (family, text) = text.split_at_checked(2)?;
    let (address, length) = std::str::from_utf8(text).ok()?.split_once('/')?;
    let (number, bits, mut octets) = match (family, address.parse().ok()?) {
        (b"1:", IpAddr::V4(address)) => (1_u8, 32, address.octets().to_vec()),
        (b"2:", IpAddr::V6(address)) => (2, 128, address.octets().to_vec()),
        _ => return None,
    };
    let length = decimal(length.as_bytes()).filter(|length| *length <= bits)?;
    // Zero octets at the end are left out (section 4).
    while octets.last() == Some(&0) {
        octets.pop();
    }
    let mut item = vec![0, number, length as u8, negated | octets.len() as u8];
    item.extend_from_slice(&octets);
    Some(item)
}
