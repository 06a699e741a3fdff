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

mod occlusion;
mod targets;

use std::cmp::Ordering;
use std::ops::Range;

use super::diagnostic::Severity;
use super::log::{Log, Place};
use super::name::Name;
use super::names::{Names, ancestors};
use super::places::Places;
use super::reader::Reading;
use super::record::Rtype;
use super::records::Records;
use super::rtype::Field;
use super::sources::Sources;

const NSEC3: Rtype = Rtype(50);
const KEY: Rtype = Rtype(25);
/// What a message of 65,535 octets has left behind the shortest question, and an OPT.
const MAX_RRSET: usize = 65_535 - 12 - 5 - 11;

/// Reports all faults but those that the reader reports; drops records given twice and evens out TTLs.
pub(super) fn check(reading: &mut Reading, origin: &Name) {
    let Reading { records, index, places, sources, log, .. } = reading;
    let mut zone = Zone { names: Names::new(records, index), places, sources, origin, cuts: false, dnames: false };
    let even = zone.owners(log);
    zone.occlusion(log);
    zone.targets(log);
    even.apply(records, places);
}

/// A record that is not in the zone.
pub(super) fn outside(owner: &Name, origin: &Name, place: Place, log: &mut Log) {
    log.error_with_help(
        place,
        format!("{owner} is outside the zone {origin}"),
        "the file's name says the zone's origin; a name without a dot at its end is taken below it",
    );
}

/// What to change when all is checked: the records are borrowed until then.
#[derive(Debug, Default)]
struct Evening {
    drop: Vec<usize>,
    ttls: Vec<(usize, u32)>,
}

impl Evening {
    fn apply(mut self, records: &mut Records, places: &mut Places) {
        for (at, ttl) in self.ttls {
            records.set_ttl(at, ttl);
        }
        if !self.drop.is_empty() {
            self.drop.sort_unstable();
            records.drop_all(&self.drop, &mut places.starts);
        }
    }
}

struct Zone<'a> {
    names: Names<'a>,
    places: &'a Places,
    sources: &'a Sources,
    origin: &'a Name,
    /// Whether there is any zone cut, any DNAME: where not, nothing is looked up above a name.
    cuts: bool,
    dnames: bool,
}

impl<'a> Zone<'a> {
    fn place(&self, at: usize) -> Option<Place> {
        self.places.of(at, self.sources)
    }

    fn records(&self) -> &'a Records {
        self.names.records
    }

    /// The rules for what stands at one name, name by name.
    fn owners(&mut self, log: &mut Log) -> Evening {
        let mut even = Evening::default();
        let records = self.records();
        self.apex(records.range_of(0), log);
        for (owner, range) in records.ranges() {
            let alone = range.len() == 1;
            if alone && !matches!(records.rtype(range.start), Rtype::NS | Rtype::DS | Rtype::DNAME | Rtype::SOA) {
                continue;
            }
            self.owner(owner, range.clone(), log);
            if !alone {
                self.aliases(owner, range.clone(), log);
                self.sets(owner, range, &mut even, log);
            }
        }
        even
    }

    fn apex(&self, range: Range<usize>, log: &mut Log) {
        let soa = Self::first(self.records(), range.clone(), Rtype::SOA);
        if soa.is_none() {
            log.error(None, format!("the zone {} has no SOA record at its apex", self.origin));
        }
        if Self::first(self.records(), range, Rtype::NS).is_none() {
            log.error(None, format!("the zone {} has no NS records at its apex", self.origin));
        }
    }

    /// The first record of a type among those of an owner.
    fn first(records: &Records, mut range: Range<usize>, rtype: Rtype) -> Option<usize> {
        range.find(|at| records.rtype(*at) == rtype)
    }

    fn owner(&mut self, owner: u32, range: Range<usize>, log: &mut Log) {
        let records = self.records();
        let is_apex = owner == 0;
        let first = |rtype| Self::first(records, range.clone(), rtype);
        self.soas(owner, range.clone(), log);
        if let Some(at) = first(Rtype::NS).filter(|_| !is_apex) {
            self.cuts = true;
            let name = records.name_of(owner);
            if name.is_wildcard() {
                let message = format!("{name} is a wildcard: it cannot be delegated (RFC 4592, section 4.2)");
                let at = range.clone().min_by_key(|at| self.places.start(*at)).unwrap_or(at);
                log.error(self.place(at), message);
            }
        } else if let Some(at) = first(Rtype::DS).filter(|_| is_apex || first(Rtype::NS).is_none()) {
            log.warning(self.place(at), "a DS record belongs to a delegation, and no NS records stand here");
        }
        self.dnames |= first(Rtype::DNAME).is_some();
    }

    /// One at the apex, none elsewhere.
    fn soas(&self, owner: u32, range: Range<usize>, log: &mut Log) {
        let records = self.records();
        let mut soas = range.filter(|at| records.rtype(*at) == Rtype::SOA);
        if owner != 0 {
            for at in soas {
                log.error(self.place(at), format!("a SOA record stands at the apex alone, which is {}", self.origin));
            }
            return;
        }
        let Some(apex) = soas.next() else { return };
        for at in soas.filter(|at| !same(records, apex, *at)) {
            log.error(self.place(at), "a zone has one SOA record");
        }
    }

    fn aliases(&self, owner: u32, range: Range<usize>, log: &mut Log) {
        let records = self.records();
        let is_apex = owner == 0;
        let first = |rtype| Self::first(records, range.clone(), rtype);
        let beside = |rtype: Rtype| matches!(rtype, Rtype::RRSIG | Rtype::NSEC | KEY | NSEC3);
        if let Some(cname) = first(Rtype::CNAME) {
            let others = range.clone().filter(|at| records.rtype(*at) != Rtype::CNAME && !beside(records.rtype(*at)));
            // The one that came first.
            if let Some(other) = others.min_by_key(|at| self.places.start(*at)) {
                let (name, rtype) = (records.name_of(owner), records.rtype(other));
                let message = format!("a CNAME record stands alone, but {name} has {rtype} too");
                let help = is_apex.then(|| {
                    "the apex always has SOA and NS: give it addresses, or steer it (`_steer`), which answers those of the targets"
                        .to_owned()
                });
                let later = if self.places.start(cname) > self.places.start(other) { cname } else { other };
                log.told(Severity::Error, self.place(later), message, help);
            }
        }
        for rtype in [Rtype::CNAME, Rtype::DNAME] {
            let mut set = range.clone().filter(|at| records.rtype(*at) == rtype);
            if let Some(first) = set.next()
                && let Some(at) = set.find(|at| !same(records, first, *at))
            {
                log.error(self.place(at), format!("{} has several {rtype} records", records.name_of(owner)));
            }
        }
        if let Some(at) = first(Rtype::DNAME).filter(|_| !is_apex && first(Rtype::NS).is_some()) {
            let name = records.name_of(owner);
            log.error(
                self.place(at),
                format!("{name} has NS records: a DNAME cannot stand at a cut (RFC 6672, section 2.3)"),
            );
        }
    }

    /// Records given twice, TTLs that differ.
    fn sets(&self, owner: u32, range: Range<usize>, even: &mut Evening, log: &mut Log) {
        let records = self.records();
        let mut start = range.start;
        while start < range.end {
            let rtype = records.rtype(start);
            let end = (start..range.end).find(|at| records.rtype(*at) != rtype).unwrap_or(range.end);
            if end - start > 1 {
                self.set(owner, start..end, even, log);
            }
            start = end;
        }
    }

    /// One RRset of several records.
    fn set(&self, owner: u32, set: Range<usize>, even: &mut Evening, log: &mut Log) {
        let records = self.records();
        let mut sorted: Vec<usize> = set.clone().collect();
        sorted.sort_by(|a, b| order(records, *a, *b));
        for doubles in sorted.chunk_by(|a, b| same(records, *a, *b)) {
            for at in doubles.iter().skip(1) {
                log.warning(self.place(*at), format!("this {} record is given twice", records.rtype(*at)));
                even.drop.push(*at);
            }
        }
        self.ttls(owner, set.clone(), even, log);
        self.size(owner, set, sorted.first().copied(), log);
    }

    /// Each record has a pointer to its owner, type, class, TTL and length before its data.
    fn size(&self, owner: u32, mut set: Range<usize>, told: Option<usize>, log: &mut Log) {
        let records = self.records();
        let octets: usize = set.clone().map(|at| 12 + records.rdata(at).len()).sum();
        if octets > MAX_RRSET {
            let at = told.or_else(|| set.next()).unwrap_or(0);
            let message = format!(
                "the {} records of {} have {octets} octets, more than any message: they are answered with SERVFAIL",
                records.rtype(at),
                records.name_of(owner)
            );
            log.warning(self.place(at), message);
        }
    }

    fn ttls(&self, owner: u32, set: Range<usize>, even: &mut Evening, log: &mut Log) {
        let records = self.records();
        let ttls = || set.clone().map(|at| records.ttl(at));
        let (Some(low), Some(high)) = (ttls().min(), ttls().max()) else { return };
        let rtype = records.rtype(set.start);
        // Signatures have the TTLs of what they sign.
        if low == high || rtype == Rtype::RRSIG {
            return;
        }
        let first = records.ttl(set.start);
        if let Some(at) = set.clone().find(|at| records.ttl(*at) != first) {
            let name = records.name_of(owner);
            let message = format!("the TTLs of {name} {rtype} differ ({low} to {high}): {low} is taken");
            log.warning(self.place(at), message);
        }
        even.ttls.extend(set.map(|at| (at, low)));
    }

    /// The name and those above it, without the apex.
    fn above<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'n [u8]> {
        let apex = self.origin.as_wire().len();
        ancestors(name).take_while(move |above| above.len() > apex)
    }

    fn is_cut(&self, name: &[u8]) -> bool {
        self.cuts && self.names.has(name, Rtype::NS)
    }

    fn dname_above<'n>(&self, owner: &'n [u8]) -> Option<&'n [u8]> {
        if !self.dnames {
            return None;
        }
        let apex = self.origin.as_wire().len();
        let mut above = ancestors(owner).take_while(move |above| above.len() >= apex).skip(1);
        above.find(|above| self.names.has(above, Rtype::DNAME))
    }
}

fn shown(wire: &[u8]) -> String {
    Name::from_wire(wire).map_or_else(|error| error.to_string(), |name| name.to_string())
}

/// Records of one type by their data; names in it compare without regard to case where they end it.
fn order(records: &Records, a: usize, b: usize) -> Ordering {
    let (left, right) = (records.rdata(a), records.rdata(b));
    match tail(records.rtype(a)) {
        None => left.cmp(right),
        Some(at) => {
            let folded = |rdata: &[u8]| rdata.get(at..).unwrap_or_default().to_ascii_lowercase();
            left.get(..at).cmp(&right.get(..at)).then_with(|| folded(left).cmp(&folded(right)))
        }
    }
}

fn same(records: &Records, a: usize, b: usize) -> bool {
    order(records, a, b) == Ordering::Equal
}

/// Where the names begin in data that is numbers followed by names alone.
fn tail(rtype: Rtype) -> Option<usize> {
    let fields = rtype.fields()?;
    let numbers = fields.iter().take_while(|field| **field == Field::U16).count();
    let names = fields.get(numbers..).unwrap_or_default();
    (!names.is_empty() && names.iter().all(|field| *field == Field::Name)).then_some(numbers * 2)
}
