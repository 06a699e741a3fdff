//! The records of one zone become its octets ([`super::node`] has their layout).
//!
//! Two passes over the records, none over what stands in memory twice. The first looks for names that something hangs on: ancestors of others,
//! zone cuts and owners of DNAME, parents of wildcards, name servers of cuts, steered names. They are few beside all owners of an ordinary zone,
//! and only they are kept in a map. The second writes node after node. What leads from one node to another is filled in at the end, when all
//! have their places (`links`).

mod links;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::node::{self, HEAD, LAST, NODE, Octets, RRSET, flag};
use super::rdata;
use super::writer::{QUESTION, Writer};
use crate::steer::policy::SteeredName;
use crate::zone::name::Name;
use crate::zone::record::{Rtype, Zone};
use crate::zone::records::{Owner, Records, Rrset};

/// Octets in which RRsets are compiled, at least.
const SCRATCH: usize = 1 << 16;
/// No pointer.
const NOWHERE: u16 = u16::MAX;

/// What a zone became.
pub(super) struct Compiled {
    pub(super) octets: Box<[u8]>,
    /// Names that can be found.
    pub(super) names: usize,
    /// The most labels that one of them has.
    pub(super) max_labels: usize,
}

/// Compiles a zone.
pub(super) fn compile(zone: &Zone) -> Compiled {
    let mut compiler = Compiler::new(&zone.records);
    for owner in zone.records.owners() {
        compiler.survey(owner);
    }
    for (number, steered) in zone.steered.iter().enumerate() {
        compiler.survey_steered(number, steered);
    }
    compiler.write(&zone.steered)
}

/// The octets of a zone of which nothing good is known: its apex.
pub(super) fn broken(origin: &Name) -> Compiled {
    let records = Records::new(origin, []);
    let mut compiler = Compiler::new(&records);
    compiler.head(&[]);
    compiler.node(&[], flag::APEX | flag::BROKEN, None);
    compiler.finish(&[])
}

/// A name that something hangs on.
#[derive(Debug, Default)]
struct Special {
    /// Where its node begins; 0 while it has none.
    node: usize,
    /// An owner of visible records, one of its ancestors, or steered: it needs a node.
    exists: bool,
    /// A zone cut, or an owner of a DNAME.
    stops: bool,
    /// `*.` below it exists.
    wildcard: bool,
    slot: Option<usize>,
}

/// By labels below the origin, in lower case.
type Specials<'a> = HashMap<Cow<'a, [u8]>, Special, FixedState>;

struct Compiler<'a> {
    records: &'a Records,
    origin: Name,
    out: Vec<u8>,
    scratch: Vec<u8>,
    special: Specials<'a>,
    /// Whether any name stops the walk.
    stops: bool,
    names: usize,
    max_labels: usize,
    /// At least the octets that will be written.
    size: usize,
}

impl<'a> Compiler<'a> {
    fn new(records: &'a Records) -> Self {
        let origin = records.origin().clone();
        let size = HEAD + 3 * origin.as_wire().len() + 1024;
        Self {
            records,
            origin,
            out: Vec::new(),
            scratch: Vec::new(),
            special: HashMap::default(),
            stops: false,
            names: 0,
            max_labels: 0,
            size,
        }
    }

    /// Looks for what hangs on other names.
    fn survey(&mut self, owner: Owner<'a>) {
        let labels = owner.labels();
        self.size += NODE + labels.len() + 4;
        let (mut stops, mut servers) = (false, None);
        for set in owner.sets() {
            let octets: usize = set.rdatas().map(|rdata| node::FIXED + rdata.len()).sum();
            self.size += RRSET + octets;
            if set.rtype() == Rtype::NS && !labels.is_empty() {
                servers = Some(set);
            }
            stops |= set.rtype() == Rtype::DNAME;
        }
        if owner.is_hidden() {
            return;
        }
        if stops || servers.is_some() {
            self.stops = true;
            self.special.entry(labels.into()).or_default().stops = true;
        }
        if let Some(servers) = servers {
            self.survey_servers(servers);
        }
        self.survey_ancestors(labels);
    }

    /// The ancestors of a name exist where it does; a wildcard is known to its parent.
    fn survey_ancestors(&mut self, labels: &'a [u8]) {
        let mut rest = labels;
        while !rest.is_empty() {
            let parent = parent_of(rest);
            if rest.starts_with(b"\x01*") {
                self.special.entry(rest.into()).or_default().exists = true;
                self.special.entry(parent.into()).or_default().wildcard = true;
            }
            if !parent.is_empty() {
                self.special.entry(parent.into()).or_default().exists = true;
            }
            rest = parent;
        }
    }

    fn survey_servers(&mut self, servers: Rrset<'a>) {
        for server in servers.rdatas() {
            let lower = server.to_ascii_lowercase();
            if let Some(labels) = below(&lower, self.origin.as_wire()) {
                self.special.entry(Cow::Owned(labels.to_vec())).or_default();
            }
        }
    }

    fn survey_steered(&mut self, number: usize, steered: &SteeredName) {
        let Some(labels) = self.labels_of(steered) else { return };
        let mut rest = &*labels;
        while !rest.is_empty() {
            let parent = parent_of(rest);
            self.special.entry(Cow::Owned(rest.to_vec())).or_default().exists = true;
            if rest.starts_with(b"\x01*") {
                self.special.entry(Cow::Owned(parent.to_vec())).or_default().wildcard = true;
            }
            rest = parent;
        }
        self.special.entry(Cow::Owned(labels)).or_default().slot = Some(number);
    }

    /// The labels of a steered name below the origin; none where it is out of the zone.
    fn labels_of(&self, steered: &SteeredName) -> Option<Vec<u8>> {
        let name = Name::from_text(steered.name.as_bytes(), &Name::root()).ok()?.to_lowercase();
        below(name.as_wire(), self.origin.as_wire()).map(<[u8]>::to_vec)
    }

    fn write(mut self, steered: &[Arc<SteeredName>]) -> Compiled {
        self.out.reserve_exact(self.size);
        let records = self.records;
        let apex = records.owners().next().filter(|owner| owner.labels().is_empty());
        let denial = self.denial(apex).unwrap_or_default();
        self.head(&denial);
        let shown = apex.filter(|apex| !apex.is_hidden());
        self.node(&[], flag::APEX, shown);
        for owner in records.owners() {
            if owner.is_hidden() {
                self.node(owner.labels(), flag::HIDDEN, Some(owner));
            } else if !owner.labels().is_empty() {
                self.node(owner.labels(), 0, Some(owner));
            }
        }
        let empty = self.special.iter().filter(|(_, special)| special.exists && special.node == 0);
        let mut empty: Vec<_> = empty.map(|(labels, _)| labels.clone()).collect();
        empty.sort_unstable();
        for labels in empty {
            self.node(&labels, 0, None);
        }
        self.finish(steered)
    }

    /// The head, the origin, and the SOA of denials. The places of nodes follow in `finish`.
    fn head(&mut self, denial: &[u8]) {
        let mut places = [NOWHERE; 3];
        for (pointer, at) in places.iter_mut().zip(pointers(denial)) {
            *pointer = at;
        }
        self.out.extend_from_slice(&[0; 8]);
        self.u16(denial.len());
        for place in places {
            self.out.extend_from_slice(&place.to_le_bytes());
        }
        let origin = self.origin.as_wire();
        self.out.push(origin.len() as u8);
        self.out.extend_from_slice(origin);
        self.out.extend_from_slice(denial);
        let first = to_u32(self.out.len());
        self.patch(0, &first.to_le_bytes());
    }

    /// The SOA with the TTL of negative answers: min(TTL, MINIMUM) (RFC 2308, section 5).
    fn denial(&mut self, apex: Option<Owner<'a>>) -> Option<Vec<u8>> {
        let soa = apex.filter(|apex| !apex.is_hidden())?.sets().find(|set| set.rtype() == Rtype::SOA)?;
        let minimum = soa.rdatas().next()?.last_chunk().map_or(0, |minimum| u32::from_be_bytes(*minimum));
        let origin = self.origin.clone();
        let (mut writer, start) = self.writer(&[], SCRATCH);
        writer.rrset(origin.as_wire(), Rtype::SOA.0, soa.ttl().min(minimum), soa.rdatas()).ok()?;
        let end = writer.position();
        self.scratch.get(start..end).map(<[u8]>::to_vec)
    }

    /// A node; its fields follow in `finish`.
    fn node(&mut self, labels: &[u8], flags: u16, owner: Option<Owner<'a>>) {
        let at = self.out.len();
        let mut flags = flags;
        if flags & flag::HIDDEN == 0 {
            self.names += 1;
            self.max_labels = self.max_labels.max(count_labels(labels) + count_labels(self.origin.as_wire()));
            flags |= self.fields_of(labels, owner);
            if !self.special.is_empty()
                && let Some(special) = self.special.get_mut(labels)
            {
                special.node = at;
            }
        }
        if owner.is_none() {
            flags |= flag::EMPTY;
        }
        if labels.is_empty() && self.origin.is_root() {
            flags |= flag::NO_COPY;
        }
        let [f0, f1] = flags.to_le_bytes();
        self.out.extend_from_slice(&[labels.len() as u8, f0, f1]);
        self.out.extend_from_slice(labels);
        for _ in 0..(flags & flag::FIELDS).count_ones() {
            self.out.extend_from_slice(&[0; 4]);
        }
        if let Some(owner) = owner {
            self.rrsets(labels, owner);
        }
    }

    /// Which fields a name has, and whether it is a cut.
    fn fields_of(&self, labels: &[u8], owner: Option<Owner<'a>>) -> u16 {
        if self.special.is_empty() {
            return 0;
        }
        let mut flags = 0;
        if self.stops && self.barrier(labels).is_some() {
            flags |= flag::BARRIER;
        }
        let Some(special) = self.special.get(labels) else { return flags };
        if special.wildcard {
            flags |= flag::WILDCARD;
        }
        if special.slot.is_some() {
            flags |= flag::SLOT;
        }
        if !labels.is_empty() && owner.is_some_and(|owner| owner.sets().any(|set| set.rtype() == Rtype::NS)) {
            flags |= flag::CUT | flag::REFERRAL;
        }
        flags
    }

    /// The highest name that stops the walk to this one.
    fn barrier(&self, labels: &[u8]) -> Option<&Special> {
        let mut found = None;
        let mut rest = labels;
        loop {
            found = self.special.get(rest).filter(|special| special.stops).or(found);
            if rest.is_empty() {
                return found;
            }
            rest = parent_of(rest);
        }
    }

    fn rrsets(&mut self, labels: &[u8], owner: Owner<'a>) {
        let mut last = None;
        for set in owner.sets() {
            let at = self.out.len();
            let count = u16::try_from(set.rdatas().len()).unwrap_or(u16::MAX);
            self.out.extend_from_slice(&[0; 4]);
            self.out.extend_from_slice(&count.to_le_bytes());
            if rdata::names(set.rtype().0).is_some() {
                self.compressed(labels, set.rtype().0, set.ttl(), set.rdatas());
            } else {
                for rdata in set.rdatas() {
                    self.record(set.rtype().0, set.ttl(), rdata);
                }
            }
            last = Some((at, self.close(at, RRSET)));
        }
        if let Some((at, len)) = last {
            self.patch(at, &(len | LAST).to_le_bytes());
        }
    }

    /// Sets the length of what began at `at`, its head not counted.
    fn close(&mut self, at: usize, head: usize) -> u32 {
        let len = to_u32(self.out.len() - at - head);
        self.patch(at, &len.to_le_bytes());
        len
    }

    /// One record behind a question for its owner.
    fn record(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) {
        let ([t0, t1], [l0, l1, l2, l3]) = (rtype.to_be_bytes(), ttl.to_be_bytes());
        let [r0, r1] = u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes();
        self.out.extend_from_slice(&[0xc0, QUESTION as u8, t0, t1, 0, 1, l0, l1, l2, l3, r0, r1]);
        self.out.extend_from_slice(rdata);
    }

    /// Records whose data has names that compress.
    fn compressed<'r>(&mut self, labels: &[u8], rtype: u16, ttl: u32, rdatas: impl Iterator<Item = &'r [u8]> + Clone) {
        let size: usize = rdatas.clone().map(|rdata| node::FIXED + rdata.len()).sum();
        let (mut writer, start) = self.writer(labels, size);
        for rdata in rdatas {
            // There is room for all of it uncompressed.
            let _ = writer.put(&[0xc0, QUESTION as u8]).and_then(|()| writer.record_data(rtype, ttl, rdata));
        }
        let end = writer.position();
        self.out.extend_from_slice(self.scratch.get(start..end).unwrap_or_default());
    }

    /// A message with a question for a name of the zone, and where that ends. Room for so many octets follows.
    fn writer(&mut self, labels: &[u8], size: usize) -> (Writer<'_>, usize) {
        let start = self.question(labels, size);
        (Writer::compiling(&mut self.scratch, start), start)
    }

    /// Lays out such a message; where the question ends.
    fn question(&mut self, labels: &[u8], size: usize) -> usize {
        let origin = self.origin.as_wire();
        let name = QUESTION + labels.len();
        let start = name + origin.len() + 4;
        if self.scratch.len() < start + size {
            self.scratch.resize((start + size).max(SCRATCH), 0);
        }
        if let Some(place) = self.scratch.get_mut(QUESTION..name) {
            place.copy_from_slice(labels);
        }
        if let Some(place) = self.scratch.get_mut(name..name + origin.len()) {
            place.copy_from_slice(origin);
        }
        start
    }

    /// Fills in where things are.
    fn finish(mut self, steered: &[Arc<SteeredName>]) -> Compiled {
        let end = self.out.len();
        self.patch(4, &to_u32(end).to_le_bytes());
        let mut at = Octets(&self.out).apex().map_or(end, |apex| apex.at);
        while at < end {
            let Some(node) = Octets(&self.out).node(at) else { break };
            let (flags, fields, next) = (node.flags, node.fields(), node.end());
            if flags & flag::FIELDS != 0 {
                self.fields(at, flags, fields, steered);
            }
            at = next;
        }
        let octets = self.out.into_boxed_slice();
        Compiled { octets, names: self.names, max_labels: self.max_labels }
    }

    fn u16(&mut self, count: usize) {
        self.out.extend_from_slice(&saturated(count).to_le_bytes());
    }

    fn patch(&mut self, at: usize, octets: &[u8]) {
        if let Some(place) = self.out.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    }
}

/// Where pointers stand in whole records: their owners, and names in their data.
fn pointers(records: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    let mut pass = |mut at: usize| {
        while let Some(len) = records.get(at).copied().filter(|len| *len != 0) {
            if len >= 0xc0 {
                found.push(saturated(at));
                return at + 2;
            }
            at += usize::from(len) + 1;
        }
        at + 1
    };
    let mut at = 0;
    while at < records.len() {
        at = pass(at);
        let Some([t0, t1, _, _, _, _, _, _, l0, l1]) = records.get(at..).and_then(<[u8]>::first_chunk) else { break };
        let data = at + 10;
        if let Some((before, names)) = rdata::names(u16::from_be_bytes([*t0, *t1])) {
            (0..names).fold(data + before, |at, _| pass(at));
        }
        at = data + usize::from(u16::from_be_bytes([*l0, *l1]));
    }
    found
}

/// The labels of a wire name in front of `origin`; none where it is not in it. Both in lower case, or cut off alike.
fn below<'n>(name: &'n [u8], origin: &[u8]) -> Option<&'n [u8]> {
    let mut rest = name;
    while rest.len() > origin.len() {
        rest = parent_of(rest);
    }
    (rest == origin).then(|| name.get(..name.len() - rest.len())).flatten()
}

fn parent_of(labels: &[u8]) -> &[u8] {
    labels.first().and_then(|len| labels.get(usize::from(*len) + 1..)).unwrap_or_default()
}

/// How many labels those are, the root's not counted.
fn count_labels(labels: &[u8]) -> usize {
    let mut rest = labels;
    let mut count = 0;
    while rest.first().is_some_and(|len| *len != 0) {
        rest = parent_of(rest);
        count += 1;
    }
    count
}

/// What does not fit is 0, which leads nowhere: a zone of more than 4 GiB has names that are not found.
fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(0)
}

fn saturated(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
