//! The octets of a question, read: header, one question, EDNS, TSIG (RFC 1035, section 4.1; RFC 6891; RFC 8945).

use std::ops::Range;

use super::rdata;
use super::subnet::{self, Subnet};
use crate::zone::name::{MAX_LABEL, MAX_NAME};

/// Octets of a header.
pub(super) const HEADER: usize = 12;
const OPT: u16 = 41;
const TSIG: u16 = 250;
const CLASS_ANY: u16 = 255;
const IXFR: u16 = 251;
const NSID: u16 = 3;
const KEEPALIVE: u16 = 11;

/// The opcode of an ordinary question.
pub(super) const OPCODE_QUERY: u8 = 0;

/// A well-formed question.
pub(super) struct Query {
    /// Where its name ends.
    pub(super) name_end: usize,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// Where the question section ends.
    pub(super) end: usize,
    pub(super) edns: Option<Edns>,
    pub(super) tsig: Option<Tsig>,
}

/// Where the parts of the asker's TSIG stand that an error says again (RFC 8945, section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tsig {
    /// The key's name, type, class, TTL.
    pub(super) head: Range<usize>,
    /// Algorithm, time, fudge.
    pub(super) signed: Range<usize>,
}

/// The asker's OPT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edns {
    pub(super) payload: u16,
    pub(super) version: u8,
    /// DNSSEC OK (RFC 3225).
    pub(super) wants_dnssec: bool,
    pub(super) wants_nsid: bool,
    /// To be told how long a connection may be idle (RFC 7828); over UDP that means nothing (section 3.2.1).
    pub(super) wants_keepalive: bool,
    /// For whom the asker asks, if it says so.
    pub(super) subnet: Option<Subnet>,
}

/// A name in lower case, in a place of its own, as far behind its beginning as a question's name is in a message.
#[derive(Clone, Copy)]
pub(super) struct LowerName {
    octets: [u8; HEADER + 256],
    end: usize,
}

/// What is wrong with a question: FORMERR. Where the question section could still be read it is echoed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) question_end: Option<usize>,
    /// The asker's OPT, where the fault is in its options: the answer has one too, so that nobody takes this for a server without EDNS (RFC
    /// 6891, section 7).
    pub(super) edns: Option<Edns>,
}

impl LowerName {
    /// From an uncompressed wire name. What is longer than a name can be becomes the root; nothing that was checked is.
    pub(super) fn new(wire: &[u8]) -> Self {
        Self::joined(wire, &[]).unwrap_or(Self { octets: [0; HEADER + 256], end: HEADER + 1 })
    }

    /// `first`, the labels before a name, in front of `rest`; none where the name would be too long.
    pub(super) fn joined(first: &[u8], rest: &[u8]) -> Option<Self> {
        let end = HEADER + first.len() + rest.len();
        if end > HEADER + MAX_NAME {
            return None;
        }
        let mut name = Self { octets: [0; HEADER + 256], end };
        name.octets.get_mut(HEADER..HEADER + first.len())?.copy_from_slice(first);
        name.octets.get_mut(HEADER + first.len()..end)?.copy_from_slice(rest);
        name.octets.get_mut(HEADER..end)?.make_ascii_lowercase();
        Some(name)
    }

    #[inline]
    pub(super) fn as_wire(&self) -> &[u8] {
        self.octets.get(HEADER..self.end).unwrap_or(&[0])
    }

    /// The name behind so many octets as a header has.
    pub(super) fn as_message(&self) -> &[u8] {
        self.octets.get(..self.end).unwrap_or_default()
    }
}

impl Query {
    /// Reads a message of opcode QUERY whose header is whole.
    pub(super) fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let count = |at: usize| u16_at(octets, at).unwrap_or(0);
        // One question (RFC 9619). A pointer in its name has nothing to point at.
        if count(4) != 1 {
            return Err(Malformed::default());
        }
        let name_end = name_end(octets).ok_or(Malformed::default())?;
        let &[t0, t1, c0, c1] =
            octets.get(name_end..name_end + 4).and_then(<[u8]>::first_chunk).ok_or(Malformed::default())?;
        let (qtype, qclass) = (u16::from_be_bytes([t0, t1]), u16::from_be_bytes([c0, c1]));
        let end = name_end + 4;
        let mut bad = None;
        let (edns, tsig) =
            read_sections(octets, qtype, end, &mut bad).ok_or(Malformed { question_end: Some(end), edns: bad })?;
        Ok(Self { name_end, qtype, qclass, end, edns, tsig })
    }
}

/// Where the question's name ends; none where no name is, or one with a pointer, which has nothing to point at.
#[inline(always)]
pub(super) fn name_end(octets: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let len = usize::from(*octets.get(at)?);
        at += len + 1;
        if len == 0 {
            return (at <= HEADER + MAX_NAME).then_some(at);
        }
        if len > MAX_LABEL {
            return None;
        }
    }
}

/// EDNS and TSIG of what follows the question; none where that is malformed. An OPT with faulty options is told.
fn read_sections(
    octets: &[u8],
    qtype: u16,
    end: usize,
    bad: &mut Option<Edns>,
) -> Option<(Option<Edns>, Option<Tsig>)> {
    // A question has records in no other section, but an IXFR its SOA in authority (RFC 1995, section 3).
    let authority = u16_at(octets, 8)?;
    if u16_at(octets, 6)? != 0 || (authority != 0 && (qtype != IXFR || authority != 1)) {
        return None;
    }
    let mut records = Records { octets, at: end };
    if authority == 1 {
        records.next()?;
    }
    let found = read_additional(&mut records, u16_at(octets, 10)?, bad)?;
    (records.at == octets.len()).then_some(found)
}

/// EDNS and TSIG of the additional section; none where the section is malformed.
fn read_additional(records: &mut Records, count: u16, bad: &mut Option<Edns>) -> Option<(Option<Edns>, Option<Tsig>)> {
    let (mut edns, mut tsig) = (None, None);
    for left in (0..count).rev() {
        let start = records.at;
        let record = records.next()?;
        match record.rtype {
            // One OPT, at the root (RFC 6891, section 6.1.1).
            OPT if edns.is_none() && record.root => {
                edns = read_edns(record.class, record.ttl, record.rdata);
                if edns.is_none() {
                    *bad = read_edns(record.class, record.ttl, &[]);
                    return None;
                }
            }
            OPT => return None,
            // A TSIG is the last record (RFC 8945, section 5.1).
            TSIG if left != 0 => return None,
            TSIG => tsig = Some(read_tsig(&record, records, start)?),
            _ => {}
        }
    }
    Some((edns, tsig))
}

/// A TSIG that begins at `start` (RFC 8945, section 4.2); its names are not compressed.
fn read_tsig(record: &Record, records: &Records, start: usize) -> Option<Tsig> {
    let owner = rdata::name_at(records.octets.get(start..)?)?.len();
    let data = records.at - record.rdata.len();
    if record.class != CLASS_ANY || record.ttl != 0 || start + owner + 10 != data {
        return None;
    }
    // Time and fudge have 8 octets; behind the MAC stand id, error, and what more there is to say of it.
    let mac = rdata::name_at(record.rdata)?.len() + 8;
    let other = mac + 2 + usize::from(u16_at(record.rdata, mac)?) + 4;
    let end = other + 2 + usize::from(u16_at(record.rdata, other)?);
    (end == record.rdata.len()).then(|| Tsig { head: start..data - 2, signed: data..data + mac })
}

/// Reads the class, the TTL and the data of an OPT; none: FORMERR.
#[inline]
pub(super) fn read_edns(class: u16, ttl: u32, rdata: &[u8]) -> Option<Edns> {
    let [_, version, flags, _] = ttl.to_be_bytes();
    let wants_dnssec = flags & 0x80 != 0;
    let mut edns =
        Edns { payload: class, version, wants_dnssec, wants_nsid: false, wants_keepalive: false, subnet: None };
    let mut rest = rdata;
    while !rest.is_empty() {
        let (&[c0, c1, l0, l1], tail) = rest.split_first_chunk()?;
        let (data, others) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        match u16::from_be_bytes([c0, c1]) {
            // What options mean is known of version 0 alone.
            subnet::OPTION if version == 0 && edns.subnet.is_none() => edns.subnet = Some(Subnet::read(data)?),
            NSID => edns.wants_nsid = true,
            KEEPALIVE => edns.wants_keepalive = true,
            _ => {}
        }
        rest = others;
    }
    Some(edns)
}

/// Records of a message, one after another.
struct Records<'a> {
    octets: &'a [u8],
    at: usize,
}

struct Record<'a> {
    root: bool,
    rtype: u16,
    class: u16,
    ttl: u32,
    rdata: &'a [u8],
}

impl<'a> Records<'a> {
    fn next(&mut self) -> Option<Record<'a>> {
        let root = *self.octets.get(self.at)? == 0;
        let fixed = skip_name(self.octets, self.at)?;
        let rtype = u16_at(self.octets, fixed)?;
        let class = u16_at(self.octets, fixed + 2)?;
        let ttl = u32::from(u16_at(self.octets, fixed + 4)?) << 16 | u32::from(u16_at(self.octets, fixed + 6)?);
        let from = fixed + 10;
        let end = from + usize::from(u16_at(self.octets, fixed + 8)?);
        let rdata = self.octets.get(from..end)?;
        self.at = end;
        Some(Record { root, rtype, class, ttl, rdata })
    }
}

fn skip_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += usize::from(len) + 1,
            0xc0.. => return octets.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}
