//! The records of one zone, compact: each owner once, all data one after another.
//!
//! A million records as structures of their own, each with its name and its data on the heap, take some 200 octets each.
//! Here a record takes 16 octets and its data, an owner its labels below the origin and 4 octets more: a zone on its way
//! from text to image fits beside the image that it replaces.

use std::ops::Range;
use std::sync::OnceLock;

use super::index::{BLOCK, Index};
use super::name::Name;
use super::names::below;
use super::record::{Record, Rtype, is_hidden, is_hidden_label};

/// Grouped by owner, the apex first, the others in the order of the files; of an owner by type.
#[derive(Clone, Debug)]
pub struct Records {
    /// In lower case.
    origin: Name,
    /// The labels of all owners below the origin, in lower case.
    labels: Vec<u8>,
    /// Where each owner's labels begin; the apex is number 0.
    owners: Vec<u32>,
    entries: Vec<Entry>,
    data: Vec<u8>,
    /// Made when an owner is first looked for by its name.
    index: OnceLock<Index>,
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
    number: u32,
    entries: &'a [Entry],
}

/// One RRset: at least one record.
#[derive(Clone, Copy, Debug)]
pub struct Rrset<'a> {
    records: &'a Records,
    entries: &'a [Entry],
}

/// The owners' labels or the data of a zone pass 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the zone has more than 4 GiB of owner names or of record data")]
pub(super) struct TooLarge;

impl Records {
    /// From records in any order. Those out of the zone are left out, and what passes 4 GiB of names or data.
    pub fn new(origin: &Name, records: impl IntoIterator<Item = Record>) -> Self {
        let mut all = Self::begin(origin, 0);
        for record in records {
            let owner = record.owner.to_lowercase();
            let Some(labels) = below(owner.as_wire(), all.origin.as_wire()) else { continue };
            let number = all.add_owner(labels);
            if number.and_then(|number| all.push(number, record.rtype, record.ttl, &record.rdata)).is_err() {
                break;
            }
        }
        all.unite();
        all.group(&mut []);
        all
    }

    /// Without any record, with room for what a text of so many octets has.
    pub(super) fn begin(origin: &Name, text: usize) -> Self {
        let mut all = Self {
            origin: origin.to_lowercase(),
            // Room that is not used is never touched, and given back in the end.
            labels: Vec::with_capacity(text / 2),
            owners: Vec::with_capacity(text / 16 + 1),
            entries: Vec::with_capacity(text / 16),
            data: Vec::with_capacity(text),
            index: OnceLock::new(),
        };
        all.owners.push(0);
        all
    }

    /// A number for the owner with these labels (lower case). Owners that do not follow each other have several until
    /// [`Self::unite`].
    #[inline]
    pub(super) fn add_owner(&mut self, labels: &[u8]) -> Result<u32, TooLarge> {
        let last = self.owner_count() - 1;
        if self.labels_of(last) == labels {
            return Ok(last);
        }
        let start = u32::try_from(self.labels.len()).map_err(|_| TooLarge)?;
        self.owners.push(start);
        self.labels.extend_from_slice(labels);
        Ok(last + 1)
    }

    /// Gives each owner one number, its first, and closes the gaps; says where owners are found by their labels.
    pub(super) fn unite(&mut self) -> Index {
        let count = self.owner_count();
        let mut index = Index::new(count as usize);
        // Empty until an owner comes again: until then numbers stay what they are.
        let mut numbers: Vec<u32> = Vec::new();
        let (mut united, mut hashes) = (0, Vec::with_capacity(BLOCK));
        // As if the last owner had one after it.
        self.owners.push(self.labels.len() as u32);
        let mut end = 0;
        for first in (0..count).step_by(BLOCK) {
            hashes.clear();
            hashes.extend((first..count).take(BLOCK).map(|number| index.hash(self.labels_of(number))));
            index.fetch(&hashes);
            for (number, hash) in (first..).zip(&hashes) {
                let (start, len) = (self.start_of(number), self.labels_of(number).len());
                match index.find_hashed(*hash, self.labels_of(number), self) {
                    Ok(known) => {
                        if numbers.is_empty() {
                            numbers.extend(0..number);
                        }
                        numbers.push(known);
                        continue;
                    }
                    Err(vacant) => index.insert(vacant, united),
                }
                if !numbers.is_empty() {
                    numbers.push(united);
                    // What is overwritten has been read: gaps only grow.
                    self.labels.copy_within(start..start + len, end);
                }
                end += len;
                self.set_start(united, end - len);
                united += 1;
                self.set_start(united, end);
            }
        }
        self.owners.truncate(united as usize);
        self.labels.truncate(end);
        if !numbers.is_empty() {
            for entry in &mut self.entries {
                entry.owner = numbers.get(entry.owner as usize).copied().unwrap_or(0);
            }
        }
        index
    }

    fn start_of(&self, owner: u32) -> usize {
        self.owners.get(owner as usize).map_or(0, |at| *at as usize)
    }

    fn set_start(&mut self, owner: u32, start: usize) {
        if let Some(at) = self.owners.get_mut(owner as usize) {
            *at = start as u32;
        }
    }

    /// Adds a record; `rdata` has at most 65,535 octets.
    #[inline]
    pub(super) fn push(&mut self, owner: u32, rtype: Rtype, ttl: u32, rdata: &[u8]) -> Result<(), TooLarge> {
        let at = u32::try_from(self.data.len()).map_err(|_| TooLarge)?;
        self.data.extend_from_slice(rdata);
        self.entries.push(Entry { owner, ttl, at, len: rdata.len() as u16, rtype });
        Ok(())
    }

    /// Brings the records of one owner together, by type and then as they came; `along` (empty, or one for each record)
    /// is moved alike.
    pub(super) fn group(&mut self, along: &mut [u32]) {
        let key = |entry: &Entry| (entry.owner, entry.rtype);
        if self.entries.is_sorted_by_key(key) {
            return;
        }
        if self.entries.is_sorted_by_key(|entry| entry.owner) {
            // As a rule an owner's records stand together, and most owners have one.
            let mut at = 0;
            while let Some(first) = self.entries.get(at) {
                let rest = self.entries.get(at..).unwrap_or_default();
                let len = rest.iter().take_while(|entry| entry.owner == first.owner).count();
                if !rest.get(..len).unwrap_or_default().is_sorted_by_key(key) {
                    self.sort(at..at + len, along);
                }
                at += len;
            }
        } else {
            self.sort(0..self.entries.len(), along);
        }
    }

    fn sort(&mut self, range: Range<usize>, along: &mut [u32]) {
        let Some(entries) = self.entries.get_mut(range.clone()) else { return };
        let Some(along) = along.get_mut(range) else {
            entries.sort_by_key(|entry| (entry.owner, entry.rtype));
            return;
        };
        let mut both: Vec<(Entry, u32)> = entries.iter().copied().zip(along.iter().copied()).collect();
        both.sort_by_key(|(entry, _)| (entry.owner, entry.rtype));
        for ((entry, other), (sorted, moved)) in entries.iter_mut().zip(along).zip(both) {
            (*entry, *other) = (sorted, moved);
        }
    }

    /// Gives back the room that is not used.
    pub(super) fn shrink(&mut self) {
        self.labels.shrink_to_fit();
        self.owners.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.data.shrink_to_fit();
    }

    /// Drops records by their indices (sorted); of `along` the same.
    pub(super) fn drop_all(&mut self, indices: &[usize], along: &mut Vec<u32>) {
        let mut at = 0..;
        self.entries.retain(|_| at.next().is_none_or(|at| indices.binary_search(&at).is_err()));
        let mut at = 0..;
        along.retain(|_| at.next().is_none_or(|at| indices.binary_search(&at).is_err()));
    }

    pub(super) fn set_ttl(&mut self, at: usize, ttl: u32) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.ttl = ttl;
        }
    }

    pub(super) fn owner_count(&self) -> u32 {
        self.owners.len() as u32
    }

    pub(super) fn rtype(&self, at: usize) -> Rtype {
        self.entries.get(at).map_or(Rtype(0), |entry| entry.rtype)
    }

    pub(super) fn ttl(&self, at: usize) -> u32 {
        self.entries.get(at).map_or(0, |entry| entry.ttl)
    }

    pub(super) fn rdata(&self, at: usize) -> &[u8] {
        self.entries.get(at).map_or(&[], |entry| self.data_of(entry))
    }

    /// The number of a record's owner.
    pub(super) fn owner_of(&self, at: usize) -> u32 {
        self.entries.get(at).map_or(0, |entry| entry.owner)
    }

    /// The owners that have records with the indices of these, in order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u32, Range<usize>)> + '_ {
        let mut at = 0;
        self.entries.chunk_by(|a, b| a.owner == b.owner).map(move |entries| {
            let start = at;
            at += entries.len();
            (entries.first().map_or(0, |entry| entry.owner), start..at)
        })
    }

    /// The indices of an owner's records.
    pub(super) fn range_of(&self, owner: u32) -> Range<usize> {
        let start = self.entries.partition_point(|entry| entry.owner < owner);
        let rest = self.entries.get(start..).unwrap_or_default();
        start..start + rest.iter().take_while(|entry| entry.owner == owner).count()
    }

    /// The index of the first record of a type at an owner.
    pub(super) fn find(&self, owner: u32, rtype: Rtype) -> Option<usize> {
        let at = self.entries.partition_point(|entry| (entry.owner, entry.rtype) < (owner, rtype));
        self.entries.get(at).filter(|entry| (entry.owner, entry.rtype) == (owner, rtype)).map(|_| at)
    }

    /// The number of an owner given in wire format and lower case.
    pub(super) fn number_of(&self, name: &[u8]) -> Option<u32> {
        let labels = below(name, self.origin.as_wire())?;
        let index = self.index.get_or_init(|| Index::of(self));
        index.find(labels, self).ok().filter(|number| !self.range_of(*number).is_empty())
    }

    /// The whole name of an owner, in lower case.
    pub(super) fn name_of(&self, owner: u32) -> Name {
        let wire = [self.labels_of(owner), self.origin.as_wire()].concat();
        Name::from_wire(&wire).unwrap_or_else(|_| self.origin.clone())
    }

    /// Whether an owner is hidden from the public.
    pub(super) fn is_hidden(&self, owner: u32) -> bool {
        is_hidden(&self.origin) || has_hidden_label(self.labels_of(owner))
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
            number: entries.first().map_or(0, |entry| entry.owner),
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

    #[inline]
    pub(super) fn labels_of(&self, owner: u32) -> &[u8] {
        let owner = owner as usize;
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
        self.records.name_of(self.number)
    }

    /// Whether it is hidden from the public: one of its labels, or of the origin's, is `_steer`.
    pub fn is_hidden(&self) -> bool {
        self.records.is_hidden(self.number)
    }

    /// Its RRsets, by type.
    pub fn sets(&self) -> impl Iterator<Item = Rrset<'a>> + use<'a> {
        let records = self.records;
        self.entries.chunk_by(|a, b| a.rtype == b.rtype).map(move |entries| Rrset { records, entries })
    }
}

/// Whether one of these labels is `_steer`.
pub(super) fn has_hidden_label(labels: &[u8]) -> bool {
    let mut rest = labels;
    while let Some((len, tail)) = rest.split_first() {
        let Some((label, tail)) = tail.split_at_checked(usize::from(*len)) else { return false };
        if is_hidden_label(label) {
            return true;
        }
        rest = tail;
    }
    false
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
