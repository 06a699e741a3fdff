//! The records of one zone, compact: each owner once, all data one after another.
//!
//! A million records as structures of their own, each with its name and its data on the heap, take some 200 octets each.
//! Here a record takes 16 octets and its data, an owner its labels below the origin and 4 octets more: a zone on its way
//! from text to image fits beside the image that it replaces.

use std::collections::HashMap;

use super::name::Name;
use super::record::{Record, Rtype, is_hidden, is_hidden_label};

/// Grouped by owner, the apex first, the others in the order of the files; of an owner by type.
#[derive(Clone, Debug)]
pub struct Records {
    /// In lower case.
    origin: Name,
    /// The labels of all owners below the origin, in lower case.
    labels: Vec<u8>,
    /// Where each owner's labels begin.
    owners: Vec<u32>,
    entries: Vec<Entry>,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    owner: u32,
    ttl: u32,
    /// Where its data begins.
    at: u32,
    len: u16,
    rtype: Rtype,
}

/// One owner with its records; at least one.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    records: &'a Records,
    number: usize,
    entries: &'a [Entry],
}

/// One RRset: at least one record.
#[derive(Clone, Copy, Debug)]
pub struct Rrset<'a> {
    records: &'a Records,
    entries: &'a [Entry],
}

impl Records {
    /// From records in any order; those out of the zone are left out.
    pub fn new(origin: &Name, records: impl IntoIterator<Item = Record>) -> Self {
        let origin = origin.to_lowercase();
        let mut all = Self { origin, labels: Vec::new(), owners: vec![0], entries: Vec::new(), data: Vec::new() };
        let mut numbers: HashMap<Box<[u8]>, u32> = HashMap::from([(Box::default(), 0)]);
        for record in records {
            let owner = record.owner.to_lowercase();
            let Some(labels) =
                owner.as_wire().strip_suffix(all.origin.as_wire()).filter(|_| owner.is_within(&all.origin))
            else {
                continue;
            };
            let owner = *numbers.entry(labels.into()).or_insert_with(|| {
                all.owners.push(all.labels.len() as u32);
                all.labels.extend_from_slice(labels);
                all.owners.len() as u32 - 1
            });
            let (at, len) = (all.data.len() as u32, record.rdata.len() as u16);
            all.data.extend_from_slice(&record.rdata);
            all.entries.push(Entry { owner, ttl: record.ttl, at, len, rtype: record.rtype });
        }
        all.entries.sort_by_key(|entry| (entry.owner, entry.rtype));
        all
    }

    /// In lower case.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those that have records, the apex first.
    pub fn owners(&self) -> impl Iterator<Item = Owner<'_>> {
        self.entries.chunk_by(|a, b| a.owner == b.owner).map(|entries| Owner {
            records: self,
            number: entries.first().map_or(0, |entry| entry.owner as usize),
            entries,
        })
    }

    /// All of them, by owner and type.
    pub fn iter(&self) -> impl Iterator<Item = Record> {
        self.owners().flat_map(|owner| {
            let name = owner.name();
            owner.sets().flat_map(move |set| set.records(name.clone()))
        })
    }

    fn labels_of(&self, owner: usize) -> &[u8] {
        let start = self.owners.get(owner).map_or(0, |at| *at as usize);
        let end = self.owners.get(owner + 1).map_or(self.labels.len(), |at| *at as usize);
        self.labels.get(start..end).unwrap_or_default()
    }

    fn data_of(&self, entry: &Entry) -> &[u8] {
        let at = entry.at as usize;
        self.data.get(at..at + usize::from(entry.len)).unwrap_or_default()
    }
}

/// The same records in the same order, wherever they lie.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin && self.iter().eq(other.iter())
    }
}

impl<'a> Owner<'a> {
    /// Its labels below the origin in wire format and lower case, without the origin's; empty for the apex.
    pub fn labels(&self) -> &'a [u8] {
        self.records.labels_of(self.number)
    }

    /// The whole name, in lower case.
    pub fn name(&self) -> Name {
        let wire = [self.labels(), self.records.origin.as_wire()].concat();
        Name::from_wire(&wire).unwrap_or_else(|_| self.records.origin.clone())
    }

    /// Whether it is hidden from the public: one of its labels, or of the origin's, is `_steer`.
    pub fn is_hidden(&self) -> bool {
        if is_hidden(&self.records.origin) {
            return true;
        }
        let mut rest = self.labels();
        while let Some((len, tail)) = rest.split_first() {
            let Some((label, tail)) = tail.split_at_checked(usize::from(*len)) else { return false };
            if is_hidden_label(label) {
                return true;
            }
            rest = tail;
        }
        false
    }

    /// Its RRsets, by type.
    pub fn sets(&self) -> impl Iterator<Item = Rrset<'a>> + use<'a> {
        let records = self.records;
        self.entries.chunk_by(|a, b| a.rtype == b.rtype).map(move |entries| Rrset { records, entries })
    }
}

impl<'a> Rrset<'a> {
    pub fn rtype(&self) -> Rtype {
        self.entries.first().map_or(Rtype(0), |entry| entry.rtype)
    }

    /// Seconds.
    pub fn ttl(&self) -> u32 {
        self.entries.first().map_or(0, |entry| entry.ttl)
    }

    /// Data in wire format, names in it not compressed.
    pub fn rdatas(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let records = self.records;
        self.entries.iter().map(move |entry| records.data_of(entry))
    }

    fn records(self, owner: Name) -> impl Iterator<Item = Record> + use<'a> {
        let records = self.records;
        self.entries.iter().map(move |entry| Record {
            owner: owner.clone(),
            rtype: entry.rtype,
            ttl: entry.ttl,
            rdata: records.data_of(entry).into(),
        })
    }
}
