//! Owners found by their labels while a zone is checked: open addressing, keyed.
//!
//! A slot has four octets. The lower bits are an owner's number plus one, zero where the slot is free; the bits above, as
//! many as the size of the table leaves, are a part of the hash, so that a slot of another owner seldom costs a look at its
//! labels. The labels themselves stand in `Records`; a table of a million owners has 8 MiB, and goes when the zone is checked.
//! That is more than a cache holds, and a million waits for memory, one after the other, take as long as reading the text.
//! So the table is filled when all owners are read, in blocks whose slots are fetched together.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use super::records::Records;

const SMALLEST: usize = 16;
/// Owners whose slots are fetched together.
pub(super) const BLOCK: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct Index {
    state: RandomState,
    /// A power of two of them, at most three quarters in use.
    slots: Vec<u32>,
}

/// Where an owner that was not found would stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacant {
    slot: usize,
    hash: u64,
}

impl Index {
    /// For at most so many owners.
    pub(super) fn new(owners: usize) -> Self {
        let size = (owners / 3 * 4 + 4).next_power_of_two().max(SMALLEST);
        Self { state: RandomState::default(), slots: vec![0; size] }
    }

    /// Of owners that are all different.
    pub(super) fn of(records: &Records) -> Self {
        let mut index = Self::new(records.owner_count() as usize);
        for number in 0..records.owner_count() {
            if let Err(vacant) = index.find(records.labels_of(number), records) {
                index.insert(vacant, number);
            }
        }
        index
    }

    /// The owner with these labels (lower case), among those of `records`.
    pub(super) fn find(&self, labels: &[u8], records: &Records) -> Result<u32, Vacant> {
        self.find_hashed(self.hash(labels), labels, records)
    }

    #[inline]
    pub(super) fn find_hashed(&self, hash: u64, labels: &[u8], records: &Records) -> Result<u32, Vacant> {
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

    /// Adds an owner that was just not found.
    #[inline]
    pub(super) fn insert(&mut self, vacant: Vacant, number: u32) {
        let mask = self.slots.len() - 1;
        if let Some(slot) = self.slots.get_mut(vacant.slot) {
            *slot = tag(vacant.hash, mask) | (number + 1);
        }
    }

    /// Brings the slots of these hashes near; none waits for another.
    #[inline]
    pub(super) fn fetch(&self, hashes: &[u64]) {
        let mask = self.slots.len() - 1;
        let slots = hashes.iter().map(|hash| self.slots.get(*hash as usize & mask).copied().unwrap_or(0));
        std::hint::black_box(slots.fold(0, |all, slot| all ^ slot));
    }

    #[inline]
    pub(super) fn hash(&self, labels: &[u8]) -> u64 {
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
