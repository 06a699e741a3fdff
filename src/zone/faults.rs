//! The faults of a zone as a whole, after its records have been read.
//!
//! | fault | severity |
//! | --- | --- |
//! | a record outside the zone; no SOA, several, or one not at the apex; no NS at the apex | error |
//! | a CNAME beside other data, several CNAMEs or DNAMEs at a name, a DNAME beside NS below the apex | error |
//! | records below a DNAME (RFC 6672, section 2.4); NS at a wildcard (RFC 4592, section 4.2) | error |
//! | an NS target in the zone without an address; glue missing for a nameserver of the zone itself | error |
//! | glue missing for a delegation (the rest of the zone works); targets of NS, MX and SRV that are CNAMEs, of MX and SRV without an address | warning |
//! | a CNAME to a name of the zone that does not exist | warning |
//! | records below a cut, or at it, that nobody sees; DS where no cut is | warning |
//! | an RRset that no message holds (RFC 1035, section 4.2.2) | warning |
//! | RRsets with differing TTLs (the lowest is taken); records given twice (one is kept) | warning |

mod targets;

use std::cmp::Ordering;

use super::diagnostic::Severity;
use super::log::{Log, Place};
use super::name::Name;
use super::names::{Names, ancestors};
use super::record::{Record, Rtype, is_hidden};
use super::rtype::Field;

const NSEC3: Rtype = Rtype(50);
const KEY: Rtype = Rtype(25);
/// What a message of 65,535 octets has left behind the shortest question, and an OPT.
const MAX_RRSET: usize = 65_535 - 12 - 5 - 11;

/// Reports all faults; drops records given twice and evens out TTLs.
pub(super) fn check(records: &mut Vec<Record>, places: &mut Vec<Place>, origin: &Name, log: &mut Log) {
    let outside = outside(records, places, origin, log);
    let names = Names::new(records, &outside);
    let zone = Zone { records, places, names, origin };
    zone.apex(log);
    let mut even = Evening::default();
    let (mut cuts, mut dnames) = (Vec::new(), Vec::new());
    for (first, alone) in zone.names.owners() {
        zone.owner(first, alone, &mut even, &mut cuts, &mut dnames, log);
    }
    zone.occlusion(!cuts.is_empty(), !dnames.is_empty(), log);
    for (at, record) in zone.records.iter().enumerate() {
        match record.rtype {
            Rtype::NS => zone.nameserver(at, record, log),
            Rtype::MX | Rtype::SRV => zone.exchange(at, record, log),
            Rtype::CNAME => zone.alias(at, record, log),
            _ => {}
        }
    }
    even.apply(records, places);
}

/// Records that are not in the zone.
fn outside(records: &[Record], places: &[Place], origin: &Name, log: &mut Log) -> Vec<u32> {
    let mut outside = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if !record.owner.is_within(origin) {
            log.error_with_help(
                places.get(at).copied(),
                format!("{} is outside the zone {origin}", record.owner),
                "the file's name says the zone's origin; a name without a dot at its end is taken below it",
            );
            outside.push(at as u32);
        }
    }
    outside
}

/// What to change when all is checked: the records are borrowed until then.
#[derive(Debug, Default)]
struct Evening {
    drop: Vec<usize>,
    ttls: Vec<(usize, u32)>,
}

impl Evening {
    fn apply(mut self, records: &mut Vec<Record>, places: &mut Vec<Place>) {
        for (at, ttl) in self.ttls {
            if let Some(record) = records.get_mut(at) {
                record.ttl = ttl;
            }
        }
        if self.drop.is_empty() {
            return;
        }
        self.drop.sort_unstable();
        let mut at = 0..;
        records.retain(|_| at.next().is_none_or(|at| self.drop.binary_search(&at).is_err()));
        let mut at = 0..;
        places.retain(|_| at.next().is_none_or(|at| self.drop.binary_search(&at).is_err()));
    }
}

struct Zone<'a> {
    records: &'a [Record],
    places: &'a [Place],
    names: Names<'a>,
    origin: &'a Name,
}

impl Zone<'_> {
    fn place(&self, at: usize) -> Option<Place> {
        self.places.get(at).copied()
    }

    fn apex(&self, log: &mut Log) {
        let soas = self.records.iter().enumerate().filter(|(_, record)| record.rtype == Rtype::SOA);
        let mut apex: Option<&Record> = None;
        for (at, record) in soas {
            if !record.owner.is_within(self.origin) {
                continue;
            }
            if !self.origin.is_within(&record.owner) {
                log.error(self.place(at), format!("a SOA record stands at the apex alone, which is {}", self.origin));
            } else if apex.is_some_and(|first| !same(first, record)) {
                log.error(self.place(at), "a zone has one SOA record");
            } else {
                apex = Some(record);
            }
        }
        if apex.is_none() {
            log.error(None, format!("the zone {} has no SOA record at its apex", self.origin));
        }
        if !self.names.has(self.origin.as_wire(), Rtype::NS) {
            log.error(None, format!("the zone {} has no NS records at its apex", self.origin));
        }
    }

    /// The rules for what stands at one name.
    fn owner(
        &self,
        first: usize,
        alone: bool,
        even: &mut Evening,
        cuts: &mut Vec<usize>,
        dnames: &mut Vec<usize>,
        log: &mut Log,
    ) {
        let Some(record) = self.records.get(first) else { return };
        let owner = record.owner.as_wire();
        let is_apex = owner.len() == self.origin.as_wire().len();
        let has = |rtype| if alone { record.rtype == rtype } else { self.names.has(owner, rtype) };
        if has(Rtype::NS) && !is_apex {
            cuts.push(first);
            if record.owner.is_wildcard() {
                let message = format!("{} is a wildcard: it cannot be delegated (RFC 4592, section 4.2)", record.owner);
                log.error(self.place(first), message);
            }
        } else if has(Rtype::DS) {
            let at =
                self.names.at(owner).find(|at| self.records.get(*at).is_some_and(|record| record.rtype == Rtype::DS));
            log.warning(
                at.and_then(|at| self.place(at)),
                "a DS record belongs to a delegation, and no NS records stand here",
            );
        }
        if has(Rtype::DNAME) {
            dnames.push(first);
        }
        if alone {
            return;
        }
        self.aliases(owner, is_apex, log);
        self.sets(owner, even, log);
    }

    fn aliases(&self, owner: &[u8], is_apex: bool, log: &mut Log) {
        let all: Vec<(usize, &Record)> =
            self.names.at(owner).filter_map(|at| Some((at, self.records.get(at)?))).collect();
        let beside = |rtype: Rtype| matches!(rtype, Rtype::RRSIG | Rtype::NSEC | KEY | NSEC3);
        let cname = all.iter().find(|(_, record)| record.rtype == Rtype::CNAME);
        if let Some((cname_at, cname)) = cname {
            let other = all.iter().find(|(_, record)| record.rtype != Rtype::CNAME && !beside(record.rtype));
            if let Some((at, other)) = other {
                let message = format!("a CNAME record stands alone, but {} has {} too", cname.owner, other.rtype);
                let help = is_apex.then(|| {
                    "the apex always has SOA and NS: give it addresses, or steer it (`_steer`), which answers those of the targets"
                        .to_owned()
                });
                log.told(Severity::Error, self.place(*cname_at.max(at)), message, help);
            }
        }
        for rtype in [Rtype::CNAME, Rtype::DNAME] {
            let mut set = all.iter().filter(|(_, record)| record.rtype == rtype);
            if let Some((_, first)) = set.next()
                && let Some((at, record)) = set.find(|(_, record)| !same(first, record))
            {
                log.error(self.place(*at), format!("{} has several {rtype} records", record.owner));
            }
        }
        let dname = all.iter().find(|(_, record)| record.rtype == Rtype::DNAME);
        if let Some((at, record)) = dname.filter(|_| !is_apex && self.names.has(owner, Rtype::NS)) {
            log.error(
                self.place(*at),
                format!("{} has NS records: a DNAME cannot stand at a cut (RFC 6672, section 2.3)", record.owner),
            );
        }
    }

    /// Records given twice, TTLs that differ.
    fn sets(&self, owner: &[u8], even: &mut Evening, log: &mut Log) {
        let mut all: Vec<(usize, &Record)> =
            self.names.at(owner).filter_map(|at| Some((at, self.records.get(at)?))).collect();
        all.sort_by(|(_, a), (_, b)| order(a, b));
        for set in all.chunk_by(|(_, a), (_, b)| a.rtype == b.rtype) {
            if set.len() == 1 {
                continue;
            }
            for doubles in set.chunk_by(|(_, a), (_, b)| same(a, b)) {
                for (at, record) in doubles.iter().skip(1) {
                    log.warning(self.place(*at), format!("this {} record is given twice", record.rtype));
                    even.drop.push(*at);
                }
            }
            self.ttls(set, even, log);
            self.size(set, log);
        }
    }

    /// Each record has a pointer to its owner, type, class, TTL and length before its data.
    fn size(&self, set: &[(usize, &Record)], log: &mut Log) {
        let octets: usize = set.iter().map(|(_, record)| 12 + record.rdata.len()).sum();
        if let Some((at, record)) = set.first().filter(|_| octets > MAX_RRSET) {
            let message = format!(
                "the {} records of {} have {octets} octets, more than any message: they are answered with SERVFAIL",
                record.rtype, record.owner
            );
            log.warning(self.place(*at), message);
        }
    }

    fn ttls(&self, set: &[(usize, &Record)], even: &mut Evening, log: &mut Log) {
        let ttls = || set.iter().map(|(_, record)| record.ttl);
        let (Some(low), Some(high)) = (ttls().min(), ttls().max()) else { return };
        // Signatures have the TTLs of what they sign.
        if low == high || set.iter().any(|(_, record)| record.rtype == Rtype::RRSIG) {
            return;
        }
        let first = set.iter().min_by_key(|(at, _)| *at).map_or(low, |(_, record)| record.ttl);
        let other = set.iter().filter(|(_, record)| record.ttl != first).min_by_key(|(at, _)| *at);
        if let Some((at, record)) = other {
            let message =
                format!("the TTLs of {} {} differ ({low} to {high}): {low} is taken", record.owner, record.rtype);
            log.warning(self.place(*at), message);
        }
        even.ttls.extend(set.iter().map(|(at, _)| (*at, low)));
    }

    /// Records that a cut or a DNAME above them hides.
    fn occlusion(&self, cuts: bool, dnames: bool, log: &mut Log) {
        if !cuts && !dnames {
            return;
        }
        let glue: std::collections::HashSet<Vec<u8>> = self
            .records
            .iter()
            .filter(|record| record.rtype == Rtype::NS)
            .map(|record| record.rdata.to_ascii_lowercase())
            .collect();
        for (at, record) in self.records.iter().enumerate() {
            let owner = record.owner.as_wire();
            if !record.owner.is_within(self.origin) || is_hidden(&record.owner) {
                continue;
            }
            let is_glue = matches!(record.rtype, Rtype::A | Rtype::AAAA) && glue.contains(&owner.to_ascii_lowercase());
            let at_cut = matches!(record.rtype, Rtype::NS | Rtype::DS | Rtype::NSEC | Rtype::RRSIG);
            let below = self.above(owner).skip(1).find(|above| self.names.has(above, Rtype::NS));
            if dnames && let Some(dname) = self.dname_above(owner) {
                let message =
                    format!("{} is below the DNAME record at {} (RFC 6672, section 2.4)", record.owner, shown(dname));
                log.error(self.place(at), message);
            } else if let Some(cut) = below {
                if !is_glue {
                    log.warning(
                        self.place(at),
                        format!("{} is below the delegation at {}: nobody sees this record", record.owner, shown(cut)),
                    );
                }
            } else if !is_glue && !at_cut && self.is_cut(owner) {
                log.warning(
                    self.place(at),
                    format!("{} is delegated: nobody sees its {} record", record.owner, record.rtype),
                );
            }
        }
    }

    /// The name and those above it, without the apex.
    fn above<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'n [u8]> {
        let apex = self.origin.as_wire().len();
        ancestors(name).take_while(move |above| above.len() > apex)
    }

    fn dname_above<'n>(&self, owner: &'n [u8]) -> Option<&'n [u8]> {
        let apex = self.origin.as_wire().len();
        let mut above = ancestors(owner).take_while(move |above| above.len() >= apex).skip(1);
        above.find(|above| self.names.has(above, Rtype::DNAME))
    }

    fn is_cut(&self, owner: &[u8]) -> bool {
        owner.len() > self.origin.as_wire().len() && self.names.has(owner, Rtype::NS)
    }
}

fn shown(wire: &[u8]) -> String {
    Name::from_wire(wire).map_or_else(|error| error.to_string(), |name| name.to_string())
}

/// By type, then by data; names in the data compare without regard to case where they end it.
fn order(a: &Record, b: &Record) -> Ordering {
    a.rtype.cmp(&b.rtype).then_with(|| match tail(a.rtype) {
        None => a.rdata.cmp(&b.rdata),
        Some(at) => {
            let folded = |record: &Record| record.rdata.get(at..).unwrap_or_default().to_ascii_lowercase();
            a.rdata.get(..at).cmp(&b.rdata.get(..at)).then_with(|| folded(a).cmp(&folded(b)))
        }
    })
}

fn same(a: &Record, b: &Record) -> bool {
    order(a, b) == Ordering::Equal
}

/// Where the names begin in data that is numbers followed by names alone.
fn tail(rtype: Rtype) -> Option<usize> {
    let fields = rtype.fields()?;
    let numbers = fields.iter().take_while(|field| **field == Field::U16).count();
    let names = fields.get(numbers..).unwrap_or_default();
    (!names.is_empty() && names.iter().all(|field| *field == Field::Name)).then_some(numbers * 2)
}
