//! All owners of a zone and the records of each, found by name whatever its case.
//!
//! The names are borrowed from the records: a zone of a million names costs one map entry and a few numbers for each.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;

use super::record::{Record, Rtype};

const NONE: u32 = u32::MAX;

/// Octets of a name that compare and hash without regard to ASCII case. Length octets are below `A`.
#[derive(Clone, Copy, Debug)]
struct Folded<'a>(&'a [u8]);

impl PartialEq for Folded<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Folded<'_> {}

impl Hash for Folded<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut folded = [0_u8; 256];
        for (to, from) in folded.iter_mut().zip(self.0) {
            *to = from.to_ascii_lowercase();
        }
        state.write(folded.get(..self.0.len()).unwrap_or(&folded));
    }
}

/// What is known of one owner without going through its records.
#[derive(Clone, Copy, Debug)]
struct Owner {
    first: u32,
    last: u32,
    /// A bit for each type that is asked for often: a question costs the same beside a million records.
    types: u8,
}

/// The bit of a type; 0 for those without one.
fn bit(rtype: Rtype) -> u8 {
    match rtype {
        Rtype::NS => 1,
        Rtype::A => 2,
        Rtype::AAAA => 4,
        Rtype::CNAME => 8,
        Rtype::DNAME => 16,
        Rtype::DS => 32,
        _ => 0,
    }
}

#[derive(Debug)]
pub(super) struct Names<'a> {
    records: &'a [Record],
    owners: HashMap<Folded<'a>, Owner, RandomState>,
    /// For each record the next one with its owner.
    next: Vec<u32>,
}

impl<'a> Names<'a> {
    /// Leaves out records that `skip` names by their index (sorted).
    pub(super) fn new(records: &'a [Record], skip: &[u32]) -> Self {
        let owners = HashMap::with_capacity_and_hasher(records.len(), RandomState::default());
        let mut names = Self { records, owners, next: vec![NONE; records.len()] };
        let mut skip = skip.iter().copied().peekable();
        for (at, record) in (0_u32..).zip(records) {
            if skip.next_if_eq(&at).is_none() {
                names.insert(at, record);
            }
        }
        names
    }

    fn insert(&mut self, at: u32, record: &'a Record) {
        let new = Owner { first: at, last: at, types: 0 };
        let owner = self.owners.entry(Folded(record.owner.as_wire())).or_insert(new);
        owner.types |= bit(record.rtype);
        if owner.last != at {
            if let Some(next) = self.next.get_mut(owner.last as usize) {
                *next = at;
            }
            owner.last = at;
        }
    }

    /// The indices of the records at a name given in wire format, in order.
    pub(super) fn at(&self, owner: &[u8]) -> impl Iterator<Item = usize> + '_ {
        let first = self.owners.get(&Folded(owner)).map_or(NONE, |owner| owner.first);
        self.chain(first)
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = usize> + '_ {
        let mut at = first;
        std::iter::from_fn(move || {
            let here = (at != NONE).then_some(at as usize)?;
            at = self.next.get(here).copied().unwrap_or(NONE);
            Some(here)
        })
    }

    /// The first record of each owner, in no order, with whether it is the only one.
    pub(super) fn owners(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.owners.values().map(|owner| (owner.first as usize, owner.first == owner.last))
    }

    pub(super) fn contains(&self, owner: &[u8]) -> bool {
        self.owners.contains_key(&Folded(owner))
    }

    pub(super) fn has(&self, owner: &[u8], rtype: Rtype) -> bool {
        match bit(rtype) {
            0 => self.of_type(owner, rtype).next().is_some(),
            bit => self.owners.get(&Folded(owner)).is_some_and(|owner| owner.types & bit != 0),
        }
    }

    /// The record data of one type at a name.
    pub(super) fn of_type(&self, owner: &[u8], rtype: Rtype) -> impl Iterator<Item = &'a Record> + '_ {
        self.at(owner).filter_map(|at| self.records.get(at)).filter(move |record| record.rtype == rtype)
    }

    pub(super) fn has_address(&self, owner: &[u8]) -> bool {
        self.has(owner, Rtype::A) || self.has(owner, Rtype::AAAA)
    }

    /// Whether the name is steered: records stand at `_steer` below it.
    pub(super) fn is_steered(&self, owner: &[u8]) -> bool {
        self.contains(&[b"\x06_steer", owner].concat())
    }
}

/// The names above a name in wire format, itself first, the root last.
pub(super) fn ancestors(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let here = rest.filter(|here| !here.is_empty())?;
        let length = here.first().map_or(0, |length| usize::from(*length));
        rest = if length == 0 { None } else { here.get(length + 1..) };
        Some(here)
    })
}
