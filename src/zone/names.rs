//! The owners of a zone and the records of each, found by name whatever its case.

use std::ops::Range;

use super::index::Index;
use super::name::MAX_NAME;
use super::record::Rtype;
use super::records::Records;

/// A view of grouped records; made anew when these change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub records: &'a Records,
    index: &'a Index,
}

impl<'a> Names<'a> {
    pub(super) fn new(records: &'a Records, index: &'a Index) -> Self {
        Self { records, index }
    }

    /// The number of an owner given in wire format.
    pub(super) fn number(&self, name: &[u8]) -> Option<u32> {
        let mut folded = [0_u8; MAX_NAME];
        let folded = folded.get_mut(..name.len())?;
        folded.copy_from_slice(name);
        folded.make_ascii_lowercase();
        self.index.find(below(folded, self.records.origin().as_wire())?, self.records).ok()
    }

    /// Which records stand at a name given in wire format: their indices, by type and then as they were read.
    pub(super) fn at(&self, name: &[u8]) -> Range<usize> {
        self.number(name).map_or(0..0, |number| self.records.range_of(number))
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        !self.at(name).is_empty()
    }

    pub(super) fn has(&self, name: &[u8], rtype: Rtype) -> bool {
        self.number(name).is_some_and(|number| self.records.find(number, rtype).is_some())
    }

    /// The data of the first record of one type at a name.
    pub(super) fn first(&self, name: &[u8], rtype: Rtype) -> Option<&'a [u8]> {
        self.records.find(self.number(name)?, rtype).map(|at| self.records.rdata(at))
    }

    pub(super) fn has_address(&self, name: &[u8]) -> bool {
        let has = |number, rtype| self.records.find(number, rtype).is_some();
        self.number(name).is_some_and(|number| has(number, Rtype::A) || has(number, Rtype::AAAA))
    }

    /// Whether the name is steered: records stand at `_steer` below it.
    pub(super) fn is_steered(&self, name: &[u8]) -> bool {
        self.contains(&[b"\x06_steer", name].concat())
    }
}

/// The labels of a name below an origin; none where it is not in it. Both in wire format and lower case.
#[inline]
pub(super) fn below<'n>(name: &'n [u8], origin: &[u8]) -> Option<&'n [u8]> {
    let labels = name.strip_suffix(origin)?;
    // The suffix has to begin where a label does.
    let mut rest = labels;
    while let [length, tail @ ..] = rest {
        rest = tail.get(usize::from(*length)..)?;
    }
    Some(labels)
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
