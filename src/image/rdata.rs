//! Record data, and the names in it: where they stand, and how they are read where they lie compressed in a zone's octets.
//!
//! Only the types of RFC 1035 may be compressed (RFC 3597, section 4; for DNAME RFC 6672, section 2.5 says so again).

use super::node::Rrset;
use super::writer::QUESTION;
use crate::zone::name::MAX_NAME;

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

/// The data of one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rdata<'a> {
    pub(super) set: Rrset<'a>,
    /// As they are copied.
    pub(super) octets: &'a [u8],
}

/// A name out of record data, in the case it was written in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spelled {
    octets: [u8; MAX_NAME],
    len: usize,
}

impl Spelled {
    pub(super) fn as_wire(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[0])
    }

    fn push(&mut self, octets: &[u8]) -> Option<()> {
        self.octets.get_mut(self.len..self.len + octets.len())?.copy_from_slice(octets);
        self.len += octets.len();
        Some(())
    }
}

impl<'a> Rdata<'a> {
    /// The name that begins `from` octets into the data, pointers followed, and where in the data it ends. None where no name is.
    pub(super) fn name(&self, from: usize) -> Option<(Spelled, usize)> {
        let mut name = Spelled { octets: [0; MAX_NAME], len: 0 };
        let mut rest = self.octets.get(from..)?;
        let (mut end, mut in_owner) = (None, false);
        // A name has at most 127 labels, and before each one pointer.
        for _ in 0..256 {
            match *rest {
                [0, ref tail @ ..] => {
                    name.push(&[0])?;
                    return Some((name, end.unwrap_or_else(|| self.octets.len() - tail.len())));
                }
                [p0 @ 0xc0..=0xff, p1, ref tail @ ..] => {
                    end = end.or_else(|| Some(self.octets.len() - tail.len()));
                    (rest, in_owner) = self.set.pointed_at(usize::from(u16::from_be_bytes([p0 & 0x3f, p1])))?;
                }
                // The owner's labels go on with the origin's.
                [] if in_owner => (rest, in_owner) = (self.set.owner.zone.origin(), false),
                [len @ 1..=63, ..] => {
                    let (label, tail) = rest.split_at_checked(usize::from(len) + 1)?;
                    name.push(label)?;
                    rest = tail;
                }
                _ => return None,
            }
        }
        None
    }

    /// The data with its names not compressed.
    pub(super) fn uncompressed(&self) -> Vec<u8> {
        let Some((before, names)) = names(self.set.rtype()) else { return self.octets.to_vec() };
        let mut whole = self.octets.get(..before).unwrap_or(self.octets).to_vec();
        let mut at = before;
        for _ in 0..names {
            // Data of another make (RFC 3597) is as it is.
            let Some((name, end)) = self.name(at) else { break };
            whole.extend_from_slice(name.as_wire());
            at = end;
        }
        whole.extend_from_slice(self.octets.get(at..).unwrap_or_default());
        whole
    }
}

impl<'a> Rrset<'a> {
    /// What stands at an offset of a message whose question is for the owner and that the RRset follows, and whether that is among the owner's labels.
    fn pointed_at(self, at: usize) -> Option<(&'a [u8], bool)> {
        let (labels, origin) = (self.owner.labels(), self.owner.zone.origin());
        let at = at.checked_sub(QUESTION)?;
        if at < labels.len() {
            return Some((labels.get(at..)?, true));
        }
        let name = labels.len() + origin.len();
        let octets =
            if at < name { origin.get(at - labels.len()..) } else { self.records.get(at.checked_sub(name + 4)?..) };
        Some((octets?, false))
    }
}
