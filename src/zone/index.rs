//! Owners found by their labels while a zone is read and checked: open addressing, keyed.
//!
//! A slot has four octets. The lower bits are an owner's number plus one, zero where the slot is free; the bits above, as
//! many as the size of the table leaves, are a part of the hash, so that a slot of another owner seldom costs a look at its
//! labels. The labels themselves stand in `Records`; a table of a million owners has 8 MiB, and goes when the zone is checked.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use super::records::Records;

const SMALLEST: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Index {
    state: RandomState,
    /// A power of two of them, at most three quarters in use.
    slots: Vec<u32>,
    used: usize,
}

/// Where a name that was not found would stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacant {
    slot: usize,
    hash: u64,
}

impl Index {
    /// For about so many owners; grows where there are more.
    pub(super) fn new(owners: usize) -> Self {
        let size = (owners / 3 * 4 + 4).next_power_of_two().max(SMALLEST);
        Self { state: RandomState::default(), slots: vec![0; size], used: 0 }
    }

    /// Of owners that stand already.
    pub(super) fn of(records: &Records) -> Self {
        let mut index = Self::new(records.owner_count() as usize);
        index.used = records.owner_count() as usize;
        index.fill(index.slots.len(), records);
        index
    }

    /// The owner with these labels (lower case), among those of `records`.
    #[inline]
    pub(super) fn find(&self, labels: &[u8], records: &Records) -> Result<u32, Vacant> {
        let hash = self.hash(labels);
        let mask = self.slots.len() - 1;
        let tag = tag(hash, mask);
        let mut slot = hash as usize & mask;
        loop {
            // The mask keeps the index inside; a slot is free somewhere.
            let stored = self.slots.get(slot).copied().unwrap_or(0);
            if stored == 0 {
                return Err(Vacant { slot, hash });
            }
            let number = (stored & mask as u32) - 1;
            if stored & !(mask as u32) == tag && records.labels_of(number) == labels {
                return Ok(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Adds an owner that `find` has just not found; its labels stand in `records` already.
    pub(super) fn insert(&mut self, vacant: Vacant, number: u32, records: &Records) {
        let mask = self.slots.len() - 1;
        if let Some(slot) = self.slots.get_mut(vacant.slot) {
            *slot = tag(vacant.hash, mask) | (number + 1);
        }
        self.used += 1;
        if self.used >= self.slots.len() / 4 * 3 {
            self.fill(self.slots.len() * 2, records);
        }
    }

    fn fill(&mut self, size: usize, records: &Records) {
        self.slots.clear();
        self.slots.resize(size, 0);
        let mask = size - 1;
        for number in 0..records.owner_count() {
            let hash = self.hash(records.labels_of(number));
            let mut slot = hash as usize & mask;
            while self.slots.get(slot).is_some_and(|stored| *stored != 0) {
                slot = (slot + 1) & mask;
            }
            if let Some(stored) = self.slots.get_mut(slot) {
                *stored = tag(hash, mask) | (number + 1);
            }
        }
    }

    #[inline]
    fn hash(&self, labels: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(labels);
        hasher.finish()
    }
}

/// The upper bits of a slot; none of those that a number takes.
#[inline]
fn tag(hash: u64, mask: usize) -> u32 {
    (hash >> 32) as u32 & !(mask as u32)
}
