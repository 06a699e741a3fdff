//! Records become nodes and compiled RRsets.
//!
//! Each zone is compiled by itself, since a name below another zone's apex means something else there (glue, occluded data); only then it is
//! settled which zone's node the table leads to: that of the zone with the longest origin.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{Compiled, FIXED, Glue, Kind, NONE, Node, Rrset, Slot, Span, ZoneNode};
use super::table::Table;
use super::writer::{QUESTION, Writer};
use super::{CompiledZone, Image, MAX_TCP, Settings, rdata};
use crate::steer::policy::{SteeredName, Target};
use crate::zone::name::Name;
use crate::zone::record::{Rtype, Zone};
use crate::zone::records;

/// Compiles zones and the origins of broken ones.
pub(super) fn build(zones: &[Arc<CompiledZone>], broken: &[Name], settings: &Settings) -> Image {
    let mut builder = Builder::new(zones, broken, settings);
    for (index, zone) in builder.image.zones.clone().iter().enumerate() {
        builder.zone(index, &zone.zone);
    }
    for origin in builder.image.broken.clone() {
        builder.broken(&origin);
    }
    builder.finish()
}

/// The nodes of one zone by their names in lower case.
type Names = HashMap<Box<[u8]>, u32>;

struct Builder {
    image: Image,
    /// Origins of all zones, in lower case.
    origins: HashMap<Box<[u8]>, ()>,
    /// Nodes that stand at another zone's apex.
    above: HashMap<Box<[u8]>, u32>,
    /// A message in which RRsets are compiled.
    scratch: Vec<u8>,
}

impl Builder {
    fn new(zones: &[Arc<CompiledZone>], broken: &[Name], settings: &Settings) -> Self {
        let mut origins: HashMap<Box<[u8]>, ()> = HashMap::new();
        let mut first = |origin: &Name| origins.insert(origin.to_lowercase().as_wire().into(), ()).is_none();
        let mut image = Image { settings: settings.clone(), ..Image::default() };
        image.zones = zones.iter().filter(|zone| first(zone.origin())).cloned().collect();
        image.broken = broken.iter().filter(|origin| first(origin)).cloned().collect();
        Self { image, origins, above: HashMap::new(), scratch: vec![0; MAX_TCP] }
    }

    fn zone(&mut self, index: usize, zone: &Zone) {
        let origin = zone.origin.to_lowercase();
        let first = self.image.nodes.len();
        let mut names = Names::new();
        let apex = self.node(&mut names, &origin, &origin, to_u32(index));
        for owner in zone.records.owners().filter(|owner| !owner.is_hidden()) {
            let node = self.node(&mut names, &owner.name(), &origin, to_u32(index));
            self.rrsets(node, owner);
        }
        for steered in &zone.steered {
            self.slot(&mut names, steered, &origin, to_u32(index));
        }
        self.kinds(first, apex);
        self.barriers(&names, first, apex);
        self.glue(&names, first);
        self.zone_node(origin, apex);
        self.settle(first, index);
    }

    /// The node of a name of the zone, made with all nodes between it and the apex where it is not there yet.
    fn node(&mut self, names: &mut Names, name: &Name, origin: &Name, zone: u32) -> u32 {
        if let Some(node) = names.get(name.as_wire()) {
            return *node;
        }
        let node = to_u32(self.image.nodes.len());
        names.insert(name.as_wire().into(), node);
        self.image.nodes.push(empty_node(name, zone, Kind::Plain));
        if name != origin
            && let Some(parent) = name.parent()
        {
            self.node(names, &parent, origin, zone);
        }
        node
    }

    /// Compiles what stands at a node.
    fn rrsets(&mut self, at: u32, owner: records::Owner<'_>) {
        let first = to_u32(self.image.rrsets.len());
        let Some(name) = self.image.nodes.get(at as usize).map(|node| node.name.clone()) else { return };
        for set in owner.sets() {
            let compiled = self.compile(&name, set);
            self.image.rrsets.push(compiled);
        }
        if let Some(node) = self.image.nodes.get_mut(at as usize) {
            node.rrsets = first;
            node.rrset_count = u16::try_from(self.image.rrsets.len() - first as usize).unwrap_or(u16::MAX);
        }
    }

    fn compile(&mut self, owner: &[u8], set: records::Rrset<'_>) -> Rrset {
        let (rtype, ttl) = (set.rtype().0, set.ttl());
        let exact = self.compile_exact(owner, rtype, ttl, set.rdatas());
        // Where no names compress both are the same octets.
        let raw = if rdata::names(rtype).is_none() && exact.len > 0 {
            exact
        } else {
            self.compile_raw(rtype, ttl, set.rdatas())
        };
        Rrset { rtype, count: u16::try_from(set.rdatas().len()).unwrap_or(u16::MAX), ttl, raw, exact }
    }

    /// The RRset as it stands behind a question for its owner. Empty where it does not fit a message.
    fn compile_exact<'r>(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        rdatas: impl Iterator<Item = &'r [u8]>,
    ) -> Span {
        if let Some(place) = self.scratch.get_mut(QUESTION..QUESTION + owner.len()) {
            place.copy_from_slice(owner);
        }
        let start = QUESTION + owner.len() + 4;
        let mut writer = Writer::new(&mut self.scratch, start, MAX_TCP);
        // The root's own records are not to be pointed at; a compiled one always begins with a pointer.
        if owner.len() == 1 || writer.rrset(owner, rtype, ttl, rdatas).is_err() {
            return Span::default();
        }
        let end = writer.position();
        append(&mut self.image.data, self.scratch.get(start..end).unwrap_or_default())
    }

    fn compile_raw<'r>(&mut self, rtype: u16, ttl: u32, rdatas: impl Iterator<Item = &'r [u8]>) -> Span {
        let mut octets = Vec::new();
        for rdata in rdatas {
            let mut fixed = [0; FIXED];
            fixed[1] = QUESTION as u8;
            fixed[0] = 0xc0;
            fixed[2..4].copy_from_slice(&rtype.to_be_bytes());
            fixed[5] = 1;
            fixed[6..10].copy_from_slice(&ttl.to_be_bytes());
            fixed[10..].copy_from_slice(&u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
            octets.extend_from_slice(&fixed);
            octets.extend_from_slice(rdata);
        }
        append(&mut self.image.data, &octets)
    }

    /// Gives a steered name its slot, and its owner a node even where it has no records of its own.
    fn slot(&mut self, names: &mut Names, steered: &Arc<SteeredName>, origin: &Name, zone: u32) {
        let slot = to_u32(self.image.steered.len());
        let owner = Name::from_text(steered.name.as_bytes(), &Name::root()).map(|name| name.to_lowercase());
        let owner = owner.ok().filter(|name| name.is_within(origin));
        let wire: Box<[u8]> = owner.as_ref().map_or_else(|| [0].into(), |name| name.as_wire().into());
        let targets = steered.candidates.iter().map(|candidate| self.target(&wire, &candidate.target)).collect();
        self.image.slots.push(Slot { targets });
        self.image.steered.push(steered.clone());
        if let Some(name) = owner {
            let node = self.node(names, &name, origin, zone);
            if let Some(node) = self.image.nodes.get_mut(node as usize) {
                node.slot = slot;
            }
        }
    }

    fn target(&mut self, owner: &[u8], target: &Target) -> Compiled {
        let Target::Name(text) = target else { return Compiled::Addresses };
        let Ok(name) = Name::from_text(text.as_bytes(), &Name::root()) else { return Compiled::Addresses };
        let exact = self.compile_exact(owner, Rtype::CNAME.0, 0, std::iter::once(name.as_wire()));
        Compiled::Name { wire: name.as_wire().into(), exact }
    }

    fn kinds(&mut self, first: usize, apex: u32) {
        for at in first..self.image.nodes.len() {
            let Some(node) = self.image.nodes.get(at) else { continue };
            let kind = if at == apex as usize {
                Kind::Apex
            } else if self.image.rrset(node, Rtype::NS.0).is_some() {
                Kind::Cut
            } else {
                Kind::Plain
            };
            if let Some(node) = self.image.nodes.get_mut(at) {
                node.kind = kind;
            }
        }
    }

    /// Ancestors come before their descendants, so that each node takes over what stops the walk above it.
    fn barriers(&mut self, names: &Names, first: usize, apex: u32) {
        let mut order: Vec<usize> = (first..self.image.nodes.len()).collect();
        order.sort_by_cached_key(|at| self.image.nodes.get(*at).map_or(0, |node| super::count_labels(&node.name)));
        for at in order {
            let Some(node) = self.image.nodes.get(at) else { continue };
            let parent =
                if at == apex as usize { None } else { names.get(parent_of(&node.name)).map(|at| *at as usize) };
            let above = parent.and_then(|at| self.image.nodes.get(at)).map_or(NONE, |node| node.barrier);
            let stops = node.kind == Kind::Cut || self.image.rrset(node, Rtype::DNAME.0).is_some();
            let barrier = if above == NONE && stops { to_u32(at) } else { above };
            let is_wildcard = node.name.starts_with(b"\x01*");
            if let Some(node) = self.image.nodes.get_mut(at) {
                node.barrier = barrier;
            }
            if let Some(parent) = parent.filter(|_| is_wildcard).and_then(|at| self.image.nodes.get_mut(at)) {
                parent.wildcard = to_u32(at);
            }
        }
    }

    fn glue(&mut self, names: &Names, first: usize) {
        for at in first..self.image.nodes.len() {
            let glue = match self.image.nodes.get(at).filter(|node| node.kind == Kind::Cut) {
                Some(cut) => glue_of(&self.image, names, cut),
                None => continue,
            };
            let start = to_u32(self.image.glue.len());
            if let Some(node) = self.image.nodes.get_mut(at) {
                node.glue = start;
                node.glue_count = u16::try_from(glue.len()).unwrap_or(u16::MAX);
            }
            self.image.glue.extend(glue);
        }
    }

    fn zone_node(&mut self, origin: Name, apex: u32) {
        let image = &self.image;
        let sets = image.nodes.get(apex as usize).map(|node| (node.rrsets, image.rrsets(node)));
        let soa = sets.and_then(|(first, sets)| {
            let at = sets.iter().position(|set| set.rtype == Rtype::SOA.0)?;
            Some((first + to_u32(at), sets.get(at)?))
        });
        let negative_ttl = soa.map_or(0, |(_, set)| set.ttl.min(minimum(image, set)));
        self.image.zone_nodes.push(ZoneNode { origin, soa: soa.map_or(NONE, |(at, _)| at), negative_ttl });
    }

    /// Notes which of the zone's nodes stand at or below another zone's apex: the table never leads to those.
    fn settle(&mut self, first: usize, zone: usize) {
        let origin = self.image.zone_nodes.get(zone).map_or(0, |zone| zone.origin.as_wire().len());
        for at in first..self.image.nodes.len() {
            let Some(node) = self.image.nodes.get_mut(at) else { continue };
            let Some(closest) = closest_origin(&self.origins, &node.name).filter(|closest| *closest > origin) else {
                continue;
            };
            node.zone |= SHADOWED;
            if closest != node.name.len() {
                continue;
            }
            // Of several zones above, the closest answers.
            let better = self.above.get(&node.name).and_then(|other| self.image.nodes.get(*other as usize));
            let name = self.image.nodes.get(at).map(|node| node.name.clone()).unwrap_or_default();
            let depth = |node: &Node| {
                self.image
                    .zone_nodes
                    .get((node.zone & !SHADOWED) as usize)
                    .map_or(0, |zone| zone.origin.as_wire().len())
            };
            if better.is_none_or(|other| depth(other) < origin) {
                self.above.insert(name, to_u32(at));
            }
        }
    }

    fn broken(&mut self, origin: &Name) {
        let zone = to_u32(self.image.zone_nodes.len());
        let origin = origin.to_lowercase();
        self.image.nodes.push(empty_node(&origin, zone, Kind::Broken));
        self.image.zone_nodes.push(ZoneNode { origin, soa: NONE, negative_ttl: 0 });
    }

    fn finish(mut self) -> Image {
        let mut table = Table::new(self.image.nodes.len(), self.image.settings.seed);
        for (at, node) in self.image.nodes.iter_mut().enumerate() {
            if node.zone & SHADOWED != 0 {
                node.zone &= !SHADOWED;
                continue;
            }
            if matches!(node.kind, Kind::Apex | Kind::Broken) {
                node.parent_side = self.above.get(&node.name).copied().unwrap_or(NONE);
            }
            table.insert(&node.name, at);
        }
        self.image.table = table;
        self.image
    }
}

/// While building: another zone's node is found in this one's place.
const SHADOWED: u32 = 1 << 31;

fn empty_node(name: &Name, zone: u32, kind: Kind) -> Node {
    Node {
        name: name.as_wire().into(),
        zone,
        rrsets: 0,
        rrset_count: 0,
        kind,
        barrier: NONE,
        wildcard: NONE,
        slot: NONE,
        parent_side: NONE,
        glue: 0,
        glue_count: 0,
    }
}

/// The address RRsets in the zone of a cut's name servers, those in the delegated name first.
fn glue_of(image: &Image, names: &Names, cut: &Node) -> Vec<Glue> {
    let Some(servers) = image.rrset(cut, Rtype::NS.0) else { return Vec::new() };
    let mut glue = Vec::new();
    for server in image.rdatas(servers) {
        let lower = server.to_ascii_lowercase();
        let Some((owner, node)) = names.get(&*lower).and_then(|at| Some((*at, image.nodes.get(*at as usize)?))) else {
            continue;
        };
        for (at, set) in image.rrsets(node).iter().enumerate() {
            if set.rtype == Rtype::A.0 || set.rtype == Rtype::AAAA.0 {
                let required = ends_with_name(&lower, &cut.name);
                glue.push(Glue { owner, rrset: node.rrsets + to_u32(at), required });
            }
        }
    }
    glue.sort_by_key(|glue| !glue.required);
    glue
}

/// MINIMUM of a SOA: its last four octets.
fn minimum(image: &Image, soa: &Rrset) -> u32 {
    let last = image.rdatas(soa).next().and_then(|rdata| rdata.last_chunk::<4>().copied());
    last.map_or(0, u32::from_be_bytes)
}

/// The length in octets of the longest origin that a name is in.
fn closest_origin(origins: &HashMap<Box<[u8]>, ()>, name: &[u8]) -> Option<usize> {
    let mut rest = name;
    loop {
        if origins.contains_key(rest) {
            return Some(rest.len());
        }
        if rest.len() <= 1 {
            return None;
        }
        rest = parent_of(rest);
    }
}

fn parent_of(name: &[u8]) -> &[u8] {
    name.get(super::skip_label(name, 0)..).unwrap_or_default()
}

/// Whether a lower-case name is `other` or below it.
fn ends_with_name(name: &[u8], other: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > other.len() {
        rest = parent_of(rest);
    }
    rest == other
}

fn append(data: &mut Vec<u8>, octets: &[u8]) -> Span {
    let span = Span { at: data.len(), len: to_u32(octets.len()) };
    data.extend_from_slice(octets);
    span
}

/// Counts here stay far below 2^31: a node or a record takes more than 16 octets of memory.
fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}
