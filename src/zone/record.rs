//! Records as the rest of the house takes them: owner, type, TTL, RDATA in wire format.

use std::sync::Arc;

use super::name::Name;
use super::records::Records;
use crate::steer::policy::SteeredName;

/// A record type by its number (RFC 1035, section 3.2.2, and the IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rtype(pub u16);

impl Rtype {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const PTR: Self = Self(12);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const DNAME: Self = Self(39);
    pub const OPT: Self = Self(41);
    pub const DS: Self = Self(43);
    pub const RRSIG: Self = Self(46);
    pub const NSEC: Self = Self(47);
    pub const DNSKEY: Self = Self(48);
    pub const SVCB: Self = Self(64);
    pub const HTTPS: Self = Self(65);
    pub const TKEY: Self = Self(249);
    pub const TSIG: Self = Self(250);
    pub const IXFR: Self = Self(251);
    pub const AXFR: Self = Self(252);
    pub const MAILB: Self = Self(253);
    pub const MAILA: Self = Self(254);
    pub const ANY: Self = Self(255);
}

/// One record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: Name,
    pub rtype: Rtype,
    /// Seconds, at most 2^31 - 1 (RFC 2181, section 8).
    pub ttl: u32,
    /// Wire format; names in it are not compressed.
    pub rdata: Box<[u8]>,
}

/// One zone that checked out.
#[derive(Clone, Debug)]
pub struct Zone {
    pub origin: Name,
    /// All of them, the hidden `_steer` ones too; no doubles; every RRset has one TTL.
    pub records: Records,
    /// What its steering records say, sorted by name.
    pub steered: Vec<Arc<SteeredName>>,
}

impl Zone {
    /// The serial of its SOA (RFC 1035, section 3.3.13).
    pub fn serial(&self) -> u32 {
        let soa = self.records.owners().next().and_then(|apex| apex.sets().find(|set| set.rtype() == Rtype::SOA));
        let serial = soa.and_then(|soa| soa.rdatas().next()).and_then(|rdata| {
            let at = rdata.len().checked_sub(20)?;
            rdata.get(at..at + 4)?.try_into().ok()
        });
        serial.map_or(0, u32::from_be_bytes)
    }
}

/// Whether a name is hidden from the public: one of its labels is `_steer` (design, section 2).
pub fn is_hidden(name: &Name) -> bool {
    name.labels().any(is_hidden_label)
}

/// Whether a label hides all names at and below it.
pub(super) fn is_hidden_label(label: &[u8]) -> bool {
    label.eq_ignore_ascii_case(b"_steer")
}
