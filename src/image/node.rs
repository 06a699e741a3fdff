//! What stands at a name.

use crate::zone::name::Name;

/// No node, no slot.
pub(super) const NONE: u32 = u32::MAX;

/// One name of one zone: an owner, or an empty non-terminal.
#[derive(Debug)]
pub(super) struct Node {
    /// In lower case.
    pub(super) name: Box<[u8]>,
    /// Its zone, by index.
    pub(super) zone: u32,
    /// The first of its RRsets.
    pub(super) rrsets: u32,
    pub(super) rrset_count: u16,
    pub(super) kind: Kind,
    /// Where the walk from the apex to this name, itself included, is stopped first: a zone cut, or an owner of a DNAME. `NONE` where it is not.
    pub(super) barrier: u32,
    /// The node of `*.` below this name.
    pub(super) wildcard: u32,
    pub(super) slot: u32,
    /// For an apex: the node of the same name in the zone above, which answers for DS (RFC 4035, section 3.1.4.1).
    pub(super) parent_side: u32,
    /// For a cut: its glue.
    pub(super) glue: u32,
    pub(super) glue_count: u16,
}

/// What a node means to the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Apex,
    /// An owner of NS below the apex.
    Cut,
    /// The apex of a zone of which nothing good is known.
    Broken,
}

impl Node {
    pub(super) fn slot(&self) -> Option<usize> {
        index(self.slot)
    }
}

/// An index that may be `NONE`.
pub(super) fn index(stored: u32) -> Option<usize> {
    (stored != NONE).then_some(stored as usize)
}

/// A piece of the image's compiled octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: usize,
    pub(super) len: u32,
}

/// One RRset, compiled twice where names in it compress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rrset {
    pub(super) rtype: u16,
    pub(super) count: u16,
    pub(super) ttl: u32,
    /// Whole records, their owner a pointer to the question, names in their data not compressed.
    pub(super) raw: Span,
    /// The same as it stands right behind a question for its owner. Empty where that would not fit a message.
    pub(super) exact: Span,
}

/// One address RRset of a name server below or beside a cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glue {
    /// The node of the name server.
    pub(super) owner: u32,
    /// Index of the RRset.
    pub(super) rrset: u32,
    /// In or below the delegated name: a referral without it is truncated (RFC 9471, section 3).
    pub(super) required: bool,
}

/// What the walk needs of a zone.
#[derive(Debug)]
pub(super) struct ZoneNode {
    /// In lower case.
    pub(super) origin: Name,
    /// Index of the SOA's RRset; `NONE` for a broken zone.
    pub(super) soa: u32,
    /// TTL of negative answers: min(TTL, MINIMUM) of the SOA (RFC 2308, section 5).
    pub(super) negative_ttl: u32,
}

/// What a steered name needs compiled: by candidate.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) targets: Vec<Compiled>,
}

/// A candidate's target as it is answered.
#[derive(Debug)]
pub(super) enum Compiled {
    /// A name: in wire format, and the whole CNAME record as it stands behind a question for the owner.
    Name { wire: Box<[u8]>, exact: Span },
    /// Addresses stand in the steered name itself.
    Addresses,
}

/// Octets of a record before its data, its owner a pointer: pointer, type, class, TTL, length.
pub(super) const FIXED: usize = 12;

/// The data of each of whole records whose owners are pointers.
pub(super) fn rdatas(records: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let len = rest.get(10..FIXED)?;
        let len = usize::from(u16::from_be_bytes([*len.first()?, *len.get(1)?]));
        let rdata = rest.get(FIXED..FIXED + len)?;
        rest = rest.get(FIXED + len..)?;
        Some(rdata)
    })
}
