//! What stands at a name, read where it lies: one run of octets for each zone.
//!
//! ```text
//! zone   | head | origin | SOA of denials | node | node | ... | slots, targets, referrals |
//!
//! head   first node u32 | end of nodes u32 | SOA's octets u16 | its pointers 3 * u16 | octets of the origin u8
//! node   octets of labels u8 | flags u16 | labels | fields | RRsets
//! field  u32 each, as the flags say: where the walk is stopped, `*.` below, the slot, the referral
//! RRset  octets u32, bit 31: the last | records u16 | records
//! record as it stands behind a question for its owner: c00c | type | class | TTL | length | data
//! slot   number u32 | shape u8 | sticky u8 | candidates u16 | where each stands u32
//! target kind u8 | octets of the CNAME or of A u32 | of AAAA u32 | records
//! referral   records of glue u16 | their octets u16 | pointers u16 | RRsets of glue u16 | where each pointer is u16 | records | each RRset:
//!            node of the owner u32, where it is u32, required u8
//! ```
//!
//! Numbers of ours are little-endian, those in records big-endian. An address record of a nine-octet label takes 34 octets: a name in a cache line,
//! and a million of them in 33 MiB. Labels are those below the origin, in lower case. Names in record data are compressed where that changes no
//! octet: they point at the owner's name or into the RRset, so one form serves answers, which copy it, and transfers, which decode it. The
//! glue of a referral stands once more as it is sent, behind a question for the cut and its NS records, with a list of where pointers are in both.
//!
//! Hidden names (`_steer`) have nodes too, for transfers; no table leads to them, and no node between them and the apex is made for them.
//!
//! All is read with `get`: octets that made no sense would be names without data, never a panic.

use super::rdata::Rdata;
use super::words::same;
use crate::zone::name::Name;

/// Octets of the head of a zone.
pub(super) const HEAD: usize = 17;
/// Octets of a node before its labels, of an RRset before its records, of a slot before its candidates, of a target before its records, of a
/// referral before its pointers, of an RRset of glue.
pub(super) const NODE: usize = 3;
pub(super) const RRSET: usize = 6;
pub(super) const SLOT: usize = 8;
pub(super) const TARGET: usize = 9;
pub(super) const REFERRAL: usize = 8;
pub(super) const GLUE: usize = 9;
/// As many records of glue: a referral that is written name by name.
pub(super) const NO_COPY: u16 = u16::MAX;
/// Kinds of targets.
pub(super) const CNAME_TARGET: u8 = 0;
pub(super) const ADDRESS_TARGET: u8 = 1;
pub(super) const RESOLVED_TARGET: u8 = 2;
/// Octets of a record before its data, its owner a pointer: pointer, type, class, TTL, length.
pub(super) const FIXED: usize = 12;
/// In the length of an RRset: it is the node's last.
pub(super) const LAST: u32 = 1 << 31;

/// Flags of a node; those of the fields first, in their order.
pub(super) mod flag {
    pub(in crate::image) const BARRIER: u16 = 1;
    pub(in crate::image) const WILDCARD: u16 = 1 << 1;
    pub(in crate::image) const SLOT: u16 = 1 << 2;
    pub(in crate::image) const REFERRAL: u16 = 1 << 3;
    pub(in crate::image) const FIELDS: u16 = 0x0f;
    /// No RRsets.
    pub(in crate::image) const EMPTY: u16 = 1 << 4;
    pub(in crate::image) const APEX: u16 = 1 << 5;
    /// An owner of NS below the apex.
    pub(in crate::image) const CUT: u16 = 1 << 6;
    /// For transfers only.
    pub(in crate::image) const HIDDEN: u16 = 1 << 7;
    /// The apex of a zone of which nothing good is known.
    pub(in crate::image) const BROKEN: u16 = 1 << 8;
    /// Its records cannot be copied behind a question: an owner that no pointer should lead to, the root.
    pub(in crate::image) const NO_COPY: u16 = 1 << 9;
}

/// The octets of one zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

/// One name of one zone: an owner, or an empty non-terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) zone: Octets<'a>,
    pub(super) at: usize,
    pub(super) flags: u16,
    labels: u8,
}

/// One RRset of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rrset<'a> {
    pub(super) owner: Node<'a>,
    pub(super) count: u16,
    /// Whole records.
    pub(super) records: &'a [u8],
}

/// The candidates of a steered name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    pub(super) owner: Node<'a>,
    at: usize,
    /// Among the zone's.
    pub(super) number: u32,
    candidates: u16,
    pub(super) is_cname: bool,
    pub(super) is_sticky: bool,
}

/// What a candidate answers with, compiled, its TTLs to be set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Cname(Rrset<'a>),
    Addresses {
        v4: Rrset<'a>,
        v6: Rrset<'a>,
    },
    /// A name that addresses are resolved for.
    Resolved,
}

/// What a referral has beside the NS records of its cut, as it stands behind them and a question for the cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Referral<'a> {
    pub(super) glue: &'a [u8],
    /// Records of glue.
    pub(super) count: u16,
    /// Where pointers stand, counted from the first NS record on; little-endian.
    pub(super) pointers: &'a [[u8; 2]],
}

/// One address RRset of a name server below or beside a cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glue<'a> {
    pub(super) set: Rrset<'a>,
    /// In or below the delegated name: a referral without it is truncated (RFC 9471, section 3).
    pub(super) required: bool,
}

/// The SOA of negative answers, its TTL min(TTL, MINIMUM), as it stands behind a question for the origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Denial<'a> {
    pub(super) record: &'a [u8],
    /// Where pointers stand in it; 0xffff where none does.
    pub(super) pointers: [u16; 3],
}

impl Denial<'_> {
    /// Seconds.
    pub(super) fn ttl(self) -> u32 {
        let at = self.ttl_at();
        self.record.get(at..at + 4).map_or(0, |ttl| u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]))
    }

    /// The owner is a pointer, or the root.
    #[inline]
    pub(super) fn ttl_at(self) -> usize {
        if self.record.first() == Some(&0) { 5 } else { 6 }
    }
}

impl<'a> Octets<'a> {
    /// The origin in wire format and lower case.
    #[inline(always)]
    pub(super) fn origin(self) -> &'a [u8] {
        let len = self.0.get(HEAD - 1).map_or(0, |len| usize::from(*len));
        self.0.get(HEAD..HEAD + len).unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn node(self, at: usize) -> Option<Node<'a>> {
        let [labels, f0, f1] = *self.0.get(at..)?.first_chunk::<NODE>()?;
        Some(Node { zone: self, at, flags: u16::from_le_bytes([f0, f1]), labels })
    }

    /// The apex.
    pub(super) fn apex(self) -> Option<Node<'a>> {
        self.node(self.u32(0)? as usize)
    }

    /// All nodes, the hidden ones too.
    pub(super) fn nodes(self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let end = self.u32(4).unwrap_or(0) as usize;
        let mut at = self.u32(0).unwrap_or(0) as usize;
        std::iter::from_fn(move || {
            let node = self.node(at).filter(|_| at < end)?;
            at = node.end();
            Some(node)
        })
    }

    /// None for a broken zone.
    #[inline]
    pub(super) fn denial(self) -> Option<Denial<'a>> {
        let len = usize::from(self.u16(8)?);
        let at = HEAD + usize::from(*self.0.get(HEAD - 1)?);
        let record = self.0.get(at..at + len).filter(|record| record.len() > FIXED)?;
        Some(Denial { record, pointers: [self.u16(10)?, self.u16(12)?, self.u16(14)?] })
    }

    /// The whole RRset that begins at an offset, and whether it is its node's last.
    #[inline(always)]
    fn rrset(self, owner: Node<'a>, at: usize) -> Option<(Rrset<'a>, bool)> {
        let len = self.u32(at)?;
        let count = self.u16(at + 4)?;
        let from = at + RRSET;
        let records = self.0.get(from..from + (len & !LAST) as usize)?;
        Some((Rrset { owner, count, records }, len & LAST != 0))
    }

    #[inline(always)]
    fn u16(self, at: usize) -> Option<u16> {
        self.0.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two))
    }

    #[inline(always)]
    fn u32(self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
    }
}

impl<'a> Node<'a> {
    #[inline]
    pub(super) fn is(self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// Its labels below the origin, in lower case.
    #[inline(always)]
    pub(super) fn labels(self) -> &'a [u8] {
        self.zone.0.get(self.at + NODE..self.at + NODE + usize::from(self.labels)).unwrap_or_default()
    }

    /// Octets of the whole name.
    #[inline(always)]
    pub(super) fn name_len(self) -> usize {
        usize::from(self.labels) + self.zone.0.get(HEAD - 1).map_or(0, |len| usize::from(*len))
    }

    /// Whether this is its name: `len` octets at `at`, case aside.
    #[inline(always)]
    pub(super) fn is_named(self, octets: &[u8], at: usize, len: usize) -> bool {
        let (zone, labels) = (self.zone.0, usize::from(self.labels));
        let origin = zone.get(HEAD - 1).map_or(0, |len| usize::from(*len));
        if len != labels + origin {
            return false;
        }
        let own = (zone.get(..self.at + NODE + labels), zone.get(..HEAD + origin));
        match (own, octets.get(..at + labels), octets.get(..at + len)) {
            ((Some(own), Some(own_origin)), Some(front), Some(whole)) => {
                same(own, front, labels) && same(own_origin, whole, origin)
            }
            _ => false,
        }
    }

    /// Where the walk from the apex to this name, itself included, is stopped first: a zone cut, or an owner of a DNAME.
    pub(super) fn barrier(self) -> Option<Node<'a>> {
        self.zone.node(self.field(flag::BARRIER)?)
    }

    /// `*.` below this name.
    pub(super) fn wildcard(self) -> Option<Node<'a>> {
        self.zone.node(self.field(flag::WILDCARD)?)
    }

    /// What steers it.
    #[inline]
    pub(super) fn slot(self) -> Option<Slot<'a>> {
        let at = self.field(flag::SLOT)?;
        // Number, shape, stickiness, candidates.
        let head = u64::from_le_bytes(*self.zone.0.get(at..)?.first_chunk::<SLOT>()?);
        let (is_cname, is_sticky) = (head >> 32 & 0xff != 0, head >> 40 & 0xff != 0);
        Some(Slot { owner: self, at, number: head as u32, candidates: (head >> 48) as u16, is_cname, is_sticky })
    }

    /// For a cut: what is copied; none where a referral is written name by name.
    #[inline]
    pub(super) fn referral(self) -> Option<Referral<'a>> {
        let at = self.field(flag::REFERRAL)?;
        let [count, octets, pointers, _] = self.referral_head(at)?;
        let from = at + REFERRAL;
        let glue = from + 2 * usize::from(pointers);
        let (pointers, _) = self.zone.0.get(from..glue)?.as_chunks();
        let glue = self.zone.0.get(glue..glue + usize::from(octets))?;
        (count != NO_COPY).then_some(Referral { glue, count, pointers })
    }

    /// For a cut: address records of its name servers, those in the delegated name first.
    pub(super) fn glue(self) -> impl Iterator<Item = Glue<'a>> + use<'a> {
        let zone = self.zone;
        let head = self.field(flag::REFERRAL).and_then(|at| Some((at, self.referral_head(at)?)));
        let (at, [_, octets, pointers, sets]) = head.unwrap_or_default();
        let first = at + REFERRAL + 2 * usize::from(pointers) + usize::from(octets);
        (0..usize::from(sets)).filter_map(move |entry| {
            let at = first + entry * GLUE;
            let owner = zone.node(zone.u32(at)? as usize)?;
            let (set, _) = zone.rrset(owner, zone.u32(at + 4)? as usize)?;
            Some(Glue { set, required: zone.0.get(at + 8) != Some(&0) })
        })
    }

    /// Records of glue, their octets, pointers, RRsets of glue.
    #[inline]
    fn referral_head(self, at: usize) -> Option<[u16; 4]> {
        let (head, _) = self.zone.0.get(at..)?.first_chunk::<REFERRAL>()?.as_chunks();
        let &[a, b, c, d] = head else { return None };
        Some([a, b, c, d].map(u16::from_le_bytes))
    }

    /// Its RRsets, by type.
    #[inline(always)]
    pub(super) fn rrsets(self) -> impl Iterator<Item = Rrset<'a>> + use<'a> {
        self.placed().map(|(_, set)| set)
    }

    /// Its RRsets, with where they begin.
    #[inline(always)]
    pub(super) fn placed(self) -> impl Iterator<Item = (usize, Rrset<'a>)> + use<'a> {
        let mut next = if self.is(flag::EMPTY) { None } else { Some(self.fields_end()) };
        std::iter::from_fn(move || {
            let at = next?;
            let (set, last) = self.zone.rrset(self, at)?;
            next = if last { None } else { Some(at + RRSET + set.records.len()) };
            Some((at, set))
        })
    }

    pub(super) fn rrset(self, rtype: u16) -> Option<Rrset<'a>> {
        self.rrsets().find(|set| set.rtype() == rtype)
    }

    /// The RRset of a type, or the first one of another type that comes before it in the node and matters as much.
    #[inline(always)]
    pub(super) fn rrset_or(self, rtype: u16, other: u16) -> Option<Rrset<'a>> {
        if self.is(flag::EMPTY) {
            return None;
        }
        let (mut at, zone) = (self.fields_end(), self.zone.0);
        loop {
            // Length, count, the first owner's pointer; the type.
            let [h0, h1, h2, h3, h4, h5, h6, h7, t0, t1] = *zone.get(at..)?.first_chunk()?;
            let head = u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]);
            let (len, count, found) = (head as u32, (head >> 32) as u16, u16::from_be_bytes([t0, t1]));
            let from = at + RRSET;
            at = from + (len & !LAST) as usize;
            if found == rtype || found == other {
                return Some(Rrset { owner: self, count, records: zone.get(from..at)? });
            }
            if len & LAST != 0 {
                return None;
            }
        }
    }

    /// Where the next node begins.
    pub(super) fn end(self) -> usize {
        self.rrsets().fold(self.fields_end(), |at, set| at + RRSET + set.records.len())
    }

    /// The whole name, for sentences and transfers.
    pub(super) fn name(self) -> Name {
        let wire = [self.labels(), self.zone.origin()].concat();
        Name::from_wire(&wire).unwrap_or_else(|_| Name::root())
    }

    /// Where its fields begin.
    pub(super) fn fields(self) -> usize {
        self.at + NODE + usize::from(self.labels)
    }

    #[inline]
    fn fields_end(self) -> usize {
        match self.flags & flag::FIELDS {
            0 => self.fields(),
            fields => self.fields() + 4 * fields.count_ones() as usize,
        }
    }

    #[inline]
    fn field(self, field: u16) -> Option<usize> {
        if !self.is(field) {
            return None;
        }
        let before = (self.flags & (field - 1)).count_ones() as usize;
        let at = self.zone.u32(self.fields() + 4 * before)?;
        (at != 0).then_some(at as usize)
    }
}

impl<'a> Slot<'a> {
    /// Whether each query draws its candidate.
    #[inline]
    pub(super) fn draws(self) -> bool {
        self.is_cname && !self.is_sticky
    }

    /// What a candidate answers with.
    #[inline(always)]
    pub(super) fn target(self, candidate: u16) -> Option<Target<'a>> {
        let zone = self.owner.zone;
        if candidate >= self.candidates {
            return None;
        }
        let at = zone.u32(self.at + SLOT + 4 * usize::from(candidate))? as usize;
        let [kind, a0, a1, a2, a3, b0, b1, b2, b3] = *zone.0.get(at..)?.first_chunk::<TARGET>()?;
        let (a, b) = (u32::from_le_bytes([a0, a1, a2, a3]) as usize, u32::from_le_bytes([b0, b1, b2, b3]) as usize);
        let from = at + TARGET;
        let set = |from: usize, len: usize, each: usize| {
            Some(Rrset { owner: self.owner, count: (len / each) as u16, records: zone.0.get(from..from + len)? })
        };
        match kind {
            CNAME_TARGET if a > 0 => Some(Target::Cname(Rrset { count: 1, ..set(from, a, a)? })),
            ADDRESS_TARGET => {
                Some(Target::Addresses { v4: set(from, a, FIXED + 4)?, v6: set(from + a, b, FIXED + 16)? })
            }
            RESOLVED_TARGET => Some(Target::Resolved),
            _ => None,
        }
    }
}

impl<'a> Rrset<'a> {
    #[inline(always)]
    pub(super) fn rtype(self) -> u16 {
        self.records.first_chunk().map_or(0, |[_, _, t0, t1]| u16::from_be_bytes([*t0, *t1]))
    }

    #[inline]
    pub(super) fn ttl(self) -> u32 {
        self.records.get(6..10).map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    }

    /// The data of each record. Names in it may be compressed: [`Rdata::name`] reads them.
    pub(super) fn rdatas(self) -> impl Iterator<Item = Rdata<'a>> + use<'a> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let len = self.records.get(at + 10..at + FIXED)?;
            let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
            let octets = self.records.get(at + FIXED..at + FIXED + len)?;
            let rdata = Rdata { set: self, octets };
            at += FIXED + len;
            Some(rdata)
        })
    }
}
