//! Domain names in wire format (RFC 1035, section 3.1), uncompressed, in the case they were written in.

use std::fmt;

/// The longest name, in octets of wire format (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label, in octets (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// An absolute domain name. Compares, orders and hashes as its octets do; for DNS equality compare
/// [`Name::to_lowercase`] of both (RFC 4343).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// A text or a sequence of octets that is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a label is empty")]
    EmptyLabel,
    #[error("a label is longer than 63 octets")]
    LongLabel,
    #[error("the name is longer than 255 octets")]
    LongName,
    #[error("an escape is neither `\\DDD` (000 to 255) nor a backslash and one character")]
    BadEscape,
    #[error("the octets are not one uncompressed name")]
    BadWire,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// From the octets of one uncompressed name, the final zero included.
    pub fn from_wire(octets: &[u8]) -> Result<Self, InvalidName> {
        let mut rest = octets;
        loop {
            match rest {
                [0] => break,
                [len, tail @ ..] if (1..=MAX_LABEL).contains(&usize::from(*len)) && tail.len() > usize::from(*len) => {
                    rest = tail.get(usize::from(*len)..).unwrap_or_default();
                }
                _ => return Err(InvalidName::BadWire),
            }
        }
        if octets.len() > MAX_NAME { Err(InvalidName::LongName) } else { Ok(Self(octets.into())) }
    }

    /// From presentation format (RFC 1035, section 5.1): `\.`, `\DDD`. A text without a final dot is taken below
    /// `origin`, `@` is `origin` itself.
    pub fn from_text(text: &[u8], origin: &Self) -> Result<Self, InvalidName> {
        let mut wire = Vec::with_capacity(text.len() + 1 + origin.0.len());
        append_text(text, origin, &mut wire)?;
        Ok(Self(wire.into()))
    }

    /// The octets, the final zero included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the left, without the root label.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first()?;
            let label = tail.get(..usize::from(*len)).filter(|label| !label.is_empty())?;
            rest = tail.get(usize::from(*len)..)?;
            Some(label)
        })
    }

    /// The name without its first label; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let first = usize::from(*self.0.first()?);
        if first == 0 { None } else { self.0.get(first + 1..).map(|rest| Self(rest.into())) }
    }

    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether the first label is `*` (RFC 4592, section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Whether this name is `other` or below it, ASCII case aside.
    pub fn is_within(&self, other: &Self) -> bool {
        let mut rest = &self.0[..];
        while rest.len() > other.0.len() {
            let skip = rest.first().map_or(1, |len| usize::from(*len) + 1);
            rest = rest.get(skip..).unwrap_or_default();
        }
        rest.eq_ignore_ascii_case(&other.0)
    }

    /// The same name in lower case. Length octets are below `A`, so mapping every octet is right.
    #[must_use]
    pub fn to_lowercase(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

/// Puts a name in presentation format behind what `wire` holds, as [`Name::from_text`] reads it. After an error `wire`
/// may hold a part of it.
#[inline]
pub(super) fn append_text(text: &[u8], origin: &Name, wire: &mut Vec<u8>) -> Result<(), InvalidName> {
    let begin = wire.len();
    if append_labels(text, wire)? == Written::Relative {
        wire.extend_from_slice(&origin.0);
    }
    // The origin itself is a name.
    if wire.len() - begin > MAX_NAME { Err(InvalidName::LongName) } else { Ok(()) }
}

/// How a name was written: with a dot at its end, or below the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Absolute,
    Relative,
}

/// Puts what a text says of a name behind what `wire` holds: the whole of an absolute name, of a relative one the labels
/// below the origin. Whether the name is too long is left to the caller.
#[inline]
pub(super) fn append_labels(text: &[u8], wire: &mut Vec<u8>) -> Result<Written, InvalidName> {
    match text {
        b"@" => return Ok(Written::Relative),
        b"." => {
            wire.push(0);
            return Ok(Written::Absolute);
        }
        _ => {}
    }
    // Where no escapes are, the wire format is the text moved by one octet: each dot makes room for the next length.
    let begin = wire.len();
    wire.push(0);
    wire.extend_from_slice(text);
    let octets = wire.get_mut(begin..).unwrap_or_default();
    let mut label = 0;
    for (at, octet) in (1..).zip(text) {
        if *octet == b'.' {
            let length = length(at - label - 1)?;
            octets[label] = length;
            label = at;
        } else if *octet == b'\\' {
            wire.truncate(begin);
            return append_escaped(text, wire);
        }
    }
    let last = text.len() - label;
    if last == 0 && label > 0 {
        octets[label] = 0;
        return Ok(Written::Absolute);
    }
    octets[label] = length(last)?;
    Ok(Written::Relative)
}

/// For each octet its lower case; zero for those that a text does not take for themselves.
const PLAIN: [u8; 256] = {
    let mut plain = [0; 256];
    let mut octet = 1;
    while octet < 256 {
        plain[octet] = (octet as u8).to_ascii_lowercase();
        octet += 1;
    }
    plain[b'.' as usize] = 0;
    plain[b'\\' as usize] = 0;
    plain
};

/// Puts a text that is one label as it stands, as most owners are, into `wire` in lower case. False for any other, after
/// which `wire` holds nothing of use.
#[inline]
pub(super) fn one_label(text: &[u8], wire: &mut Vec<u8>) -> bool {
    if !(1..=MAX_LABEL).contains(&text.len()) || text == b"@" {
        return false;
    }
    wire.clear();
    wire.push(text.len() as u8);
    let mut plain = true;
    wire.extend(text.iter().map(|octet| {
        let folded = PLAIN[usize::from(*octet)];
        plain &= folded != 0;
        folded
    }));
    plain
}

/// The octet that begins a label of so many.
#[inline]
fn length(octets: usize) -> Result<u8, InvalidName> {
    match octets {
        0 => Err(InvalidName::EmptyLabel),
        1..=MAX_LABEL => Ok(octets as u8),
        _ => Err(InvalidName::LongLabel),
    }
}

/// The same for a text that has escapes.
fn append_escaped(text: &[u8], wire: &mut Vec<u8>) -> Result<Written, InvalidName> {
    let mut label = wire.len();
    let mut absolute = false;
    wire.push(0);
    let mut octets = text.iter().copied();
    while let Some(octet) = octets.next() {
        absolute = octet == b'.';
        match octet {
            b'.' => {
                close_label(wire, label)?;
                label = wire.len();
                wire.push(0);
            }
            b'\\' => wire.push(unescape(&mut octets)?),
            other => wire.push(other),
        }
    }
    // After a last dot, the octet pushed for the next label is the root label already.
    if absolute {
        return Ok(Written::Absolute);
    }
    close_label(wire, label)?;
    Ok(Written::Relative)
}

fn close_label(wire: &mut [u8], at: usize) -> Result<(), InvalidName> {
    let length = length(wire.len() - at - 1)?;
    if let Some(octet) = wire.get_mut(at) {
        *octet = length;
    }
    Ok(())
}

/// The value of an escape whose backslash was read: `DDD`, or the next octet as it is.
pub(super) fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, InvalidName> {
    let first = octets.next().ok_or(InvalidName::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit).ok_or(InvalidName::BadEscape)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| InvalidName::BadEscape)
}

impl fmt::Display for Name {
    /// Presentation format, absolute, escaped where RFC 1035, section 5.1 asks for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                    0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text.as_bytes(), &Name::root()).expect("a good name")
    }

    #[test]
    fn text_becomes_wire_and_back() {
        let origin = name("example.");
        for (text, absolute) in [
            ("www", "www.example."),
            ("www.", "www."),
            ("@", "example."),
            (".", "."),
            ("a\\.b", "a\\.b.example."),
            ("a\\046b", "a\\.b.example."),
            ("\\000", "\\000.example."),
            ("*.x", "*.x.example."),
        ] {
            let parsed = Name::from_text(text.as_bytes(), &origin).expect(text);
            assert_eq!(parsed.to_string(), absolute);
            assert_eq!(Name::from_wire(parsed.as_wire()), Ok(parsed.clone()));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let longer = "abcdefg.".repeat(32);
        for (text, error) in [
            ("", InvalidName::EmptyLabel),
            ("a..b", InvalidName::EmptyLabel),
            (".a", InvalidName::EmptyLabel),
            (&long, InvalidName::LongLabel),
            (&longer, InvalidName::LongName),
            ("a\\", InvalidName::BadEscape),
            ("a\\25", InvalidName::BadEscape),
            ("a\\256", InvalidName::BadEscape),
        ] {
            assert_eq!(Name::from_text(text.as_bytes(), &Name::root()), Err(error), "{text}");
        }
        for wire in [&b""[..], b"\x01", b"\x01a", b"\x00\x00", b"\xc0\x0c", b"\x40a"] {
            assert!(Name::from_wire(wire).is_err());
        }
    }

    #[test]
    fn below_means_whole_labels() {
        assert!(name("a.B.example.").is_within(&name("b.EXAMPLE.")));
        assert!(name("b.example.").is_within(&name("b.example.")));
        assert!(!name("ab.example.").is_within(&name("b.example.")));
        assert!(!name("example.").is_within(&name("b.example.")));
        assert!(name("x.").is_within(&Name::root()));
    }
}
