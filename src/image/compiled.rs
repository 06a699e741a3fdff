//! One zone, compiled: all its records in one run of octets, for answers and for transfers.

use std::sync::{Arc, OnceLock};

use super::compile;
use super::node::{Node, Octets, Rrset};
use crate::steer::policy::SteeredName;
use crate::zone::folder::Contents;
use crate::zone::name::Name;
use crate::zone::record::{Record, Rtype, Zone};

/// One zone, compiled. Never changes; images share it as long as its content stays.
#[derive(Debug)]
pub struct CompiledZone {
    octets: Box<[u8]>,
    names: usize,
    max_labels: usize,
    origin: Name,
    serial: u32,
    records: usize,
    steered: Vec<Arc<SteeredName>>,
    /// Where its nodes begin, by their labels; made when another zone's targets lead here.
    by_labels: OnceLock<Box<[u32]>>,
}

impl CompiledZone {
    /// Compiles one zone. Slow for a large one: call it on a thread that may block. The records are let go at the end: for that long
    /// they stand in memory beside what they become.
    pub fn compile(zone: Zone) -> Self {
        let compiled = compile::compile(&zone);
        Self {
            octets: compiled.octets,
            names: compiled.names,
            max_labels: compiled.max_labels,
            origin: zone.records.origin().clone(),
            serial: zone.serial(),
            records: zone.records.len(),
            steered: zone.steered,
            by_labels: OnceLock::new(),
        }
    }

    /// An apex that answers SERVFAIL.
    pub(super) fn broken(origin: &Name) -> Self {
        let origin = origin.to_lowercase();
        let compile::Compiled { octets, names, max_labels } = compile::broken(&origin);
        Self {
            octets,
            names,
            max_labels,
            origin,
            serial: 0,
            records: 0,
            steered: Vec::new(),
            by_labels: OnceLock::new(),
        }
    }

    /// In lower case.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many records it has, the hidden ones too.
    pub fn len(&self) -> usize {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, the hidden ones too, the apex's first; owners in lower case.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.octets().nodes().flat_map(|node| {
            let owner = node.name();
            node.rrsets().flat_map(move |set| records(&owner, set))
        })
    }

    /// What its steering records say, sorted by name.
    pub fn steered(&self) -> &[Arc<SteeredName>] {
        &self.steered
    }

    #[inline]
    pub(super) fn octets(&self) -> Octets<'_> {
        Octets(&self.octets)
    }

    /// How many names can be found in it.
    pub(super) fn names(&self) -> usize {
        self.names
    }

    /// The most labels that one of them has.
    pub(super) fn max_labels(&self) -> usize {
        self.max_labels
    }
}

/// For targets of other zones that lead here.
impl Contents for CompiledZone {
    fn origin(&self) -> &Name {
        self.origin()
    }

    fn steered(&self) -> &[Arc<SteeredName>] {
        self.steered()
    }

    fn stands(&self, name: &[u8]) -> bool {
        self.owner(name).is_some_and(|node| node.rrsets().next().is_some())
    }

    fn has(&self, name: &[u8], rtype: Rtype) -> bool {
        self.owner(name).is_some_and(|node| node.rrset(rtype.0).is_some())
    }

    fn alias(&self, name: &[u8], rtype: Rtype) -> Option<Name> {
        let rdata = self.owner(name)?.rrset(rtype.0)?.rdatas().next()?;
        Name::from_wire(&rdata.uncompressed()).ok()
    }
}

impl CompiledZone {
    /// The node of a name in lower case.
    fn owner(&self, name: &[u8]) -> Option<Node<'_>> {
        let labels = name.strip_suffix(self.origin.as_wire())?;
        let octets = self.octets();
        let of = |at: &u32| octets.node(*at as usize).map_or(&[][..], Node::labels);
        let by_labels = self.by_labels.get_or_init(|| {
            let mut all: Vec<u32> = octets.nodes().filter_map(|node| u32::try_from(node.at).ok()).collect();
            all.sort_unstable_by_key(of);
            all.into()
        });
        let at = by_labels.binary_search_by_key(&labels, of).ok()?;
        octets.node(*by_labels.get(at)? as usize)
    }
}

fn records<'a>(owner: &Name, set: Rrset<'a>) -> impl Iterator<Item = Record> + use<'a> {
    let owner = owner.clone();
    set.rdatas().map(move |rdata| Record {
        owner: owner.clone(),
        rtype: Rtype(set.rtype()),
        ttl: set.ttl(),
        rdata: rdata.uncompressed().into(),
    })
}
