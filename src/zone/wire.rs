//! Whether octets can be the record data of a type: for what a zone file gives as `\# ...` (RFC 3597, section 5).

use std::collections::BTreeMap;

use super::name::{MAX_LABEL, MAX_NAME};
use super::record::Rtype;
use super::rtype::Field;
use super::svcb;

/// Checks the octets against the fields of the type. A type without fields takes anything.
pub(super) fn check(rtype: Rtype, octets: &[u8]) -> Result<(), String> {
    let Some(fields) = rtype.fields() else { return Ok(()) };
    let mut rest = octets;
    for field in fields {
        skip(*field, &mut rest)?;
    }
    if !rest.is_empty() {
        return Err(format!("{} octets too many", rest.len()));
    }
    lengths(rtype, octets)
}

/// Digests of known kinds have one length (RFC 4509, RFC 6605, RFC 4255, RFC 6594); text and octets alike.
pub(super) fn lengths(rtype: Rtype, octets: &[u8]) -> Result<(), String> {
    let (kind, digest) = match (rtype.0, octets) {
        // A CDS record `0 0 0 00` asks for removal (RFC 8078, section 4).
        (59, [0, 0, 0, 0, _]) => return Ok(()),
        (43 | 59, [_, _, _, kind, digest @ ..]) => (*kind, digest),
        (44, [_, kind @ 1..=2, digest @ ..]) => (*kind, digest),
        _ => return Ok(()),
    };
    let expected = match kind {
        1 => 20,
        2 => 32,
        4 => 48,
        _ => return Ok(()),
    };
    if digest.len() == expected {
        return Ok(());
    }
    Err(format!("a digest of type {kind} has {expected} octets, this one {}", digest.len()))
}

fn skip(field: Field, rest: &mut &[u8]) -> Result<(), String> {
    match field {
        Field::U8 | Field::Algorithm => take(rest, 1),
        Field::U16 | Field::CertificateType | Field::Type => take(rest, 2),
        Field::U32 | Field::Period | Field::Moment | Field::Ipv4 => take(rest, 4),
        Field::Ipv6 => take(rest, 16),
        Field::Locator => take(rest, 8),
        Field::Location => location(rest),
        Field::Eui(octets) => take(rest, usize::from(octets)),
        Field::Name => name(rest),
        Field::OptionalText if rest.is_empty() => Ok(()),
        Field::Text | Field::OptionalText | Field::Salt | Field::Hash => counted(rest),
        Field::Tag => tag(rest),
        Field::Texts => {
            counted(rest)?;
            while !rest.is_empty() {
                counted(rest)?;
            }
            Ok(())
        }
        Field::Hex | Field::Base64 if rest.is_empty() => Err("its last field is empty".to_owned()),
        Field::Long | Field::Hex | Field::Base64 => {
            *rest = &[];
            Ok(())
        }
        Field::Types => types(rest),
        Field::Parameters => parameters(rest),
        Field::Prefixes => prefixes(rest),
    }
}

fn take(rest: &mut &[u8], octets: usize) -> Result<(), String> {
    *rest = rest.get(octets..).ok_or_else(|| format!("{} octets too few", octets - rest.len()))?;
    Ok(())
}

fn counted(rest: &mut &[u8]) -> Result<(), String> {
    let length = rest.first().map_or(0, |length| usize::from(*length));
    take(rest, 1 + length)
}

fn tag(rest: &mut &[u8]) -> Result<(), String> {
    let before = *rest;
    counted(rest)?;
    let tag = before.get(1..before.len() - rest.len()).unwrap_or_default();
    if tag.is_empty() || !tag.iter().all(u8::is_ascii_alphanumeric) {
        return Err("its tag has other than letters and digits".to_owned());
    }
    Ok(())
}

fn name(rest: &mut &[u8]) -> Result<(), String> {
    let before = rest.len();
    loop {
        let length = rest.first().map_or(MAX_LABEL + 1, |length| usize::from(*length));
        if length > MAX_LABEL {
            return Err("a name in it does not end, or is compressed".to_owned());
        }
        take(rest, 1 + length)?;
        if before - rest.len() > MAX_NAME {
            return Err("a name in it is longer than 255 octets".to_owned());
        }
        if length == 0 {
            return Ok(());
        }
    }
}

fn location(rest: &mut &[u8]) -> Result<(), String> {
    if rest.first() != Some(&0) {
        return Err("its version is not 0".to_owned());
    }
    take(rest, 16)
}

fn types(rest: &mut &[u8]) -> Result<(), String> {
    let mut last = None;
    while let [window, length, ..] = **rest {
        if !(1..=32).contains(&length) || last.is_some_and(|last| last >= window) {
            return Err("its type bitmap is malformed".to_owned());
        }
        last = Some(window);
        take(rest, 2 + usize::from(length))?;
    }
    Ok(())
}

fn parameters(rest: &mut &[u8]) -> Result<(), String> {
    let mut all = BTreeMap::new();
    let mut last = None;
    while let [k0, k1, l0, l1, ref values @ ..] = **rest {
        let (key, length) = (u16::from_be_bytes([k0, k1]), usize::from(u16::from_be_bytes([l0, l1])));
        if last.is_some_and(|last| last >= key) {
            return Err("its parameters are not in order".to_owned());
        }
        last = Some(key);
        let value = values.get(..length).ok_or_else(|| "a parameter is cut off".to_owned())?;
        let fits = match key {
            0 => length >= 2 && length.is_multiple_of(2),
            2 => length == 0,
            3 => length == 2,
            4 => length >= 4 && length.is_multiple_of(4),
            6 => length >= 16 && length.is_multiple_of(16),
            _ => true,
        };
        if !fits {
            return Err(format!("parameter {key} has a length it cannot have"));
        }
        all.insert(key, value.to_vec());
        take(rest, 4 + length)?;
    }
    svcb::consistent(&all)
}

fn prefixes(rest: &mut &[u8]) -> Result<(), String> {
    while let [f0, f1, bits, length, ..] = **rest {
        let octets = usize::from(length & 0x7f);
        let fits = match u16::from_be_bytes([f0, f1]) {
            1 => bits <= 32 && octets <= 4,
            2 => bits <= 128 && octets <= 16,
            _ => true,
        };
        if !fits {
            return Err("an address prefix is too long".to_owned());
        }
        take(rest, 4 + octets)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_of_known_types() {
        let ok: &[(u16, &[u8])] = &[
            (1, &[192, 0, 2, 1]),
            (2, &[0]),
            (15, &[0, 10, 1, b'a', 0]),
            (16, &[0]),
            (16, &[1, b'a', 1, b'b']),
            (64, &[0, 1, 0, 0, 3, 0, 2, 1, 187]),
            (47, &[0, 0, 1, 0x40]),
            (65_280, &[]),
        ];
        for (rtype, octets) in ok {
            assert_eq!(check(Rtype(*rtype), octets), Ok(()), "{rtype} {octets:?}");
        }
        let bad: &[(u16, &[u8])] = &[
            (1, &[192, 0, 2]),
            (1, &[192, 0, 2, 1, 0]),
            (2, &[1, b'a']),
            (2, &[0xc0, 0x0c]),
            (16, &[]),
            (16, &[2, b'a']),
            (64, &[0, 1, 0, 0, 3, 0, 2, 1]),
            (64, &[0, 1, 0, 0, 3, 0, 2, 1, 187, 0, 1, 0, 0]),
            (43, &[0, 1, 13, 2, 0xff]),
            (257, &[0, 0]),
        ];
        for (rtype, octets) in bad {
            assert!(check(Rtype(*rtype), octets).is_err(), "{rtype} {octets:?}");
        }
    }
}
