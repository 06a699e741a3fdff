//! What leads from a node to others, written when all nodes have their places: the field of each, slots with their targets, referrals.

use std::sync::Arc;

use super::super::node::{self, NO_COPY, Node, Octets, REFERRAL, Rrset, SLOT, TARGET, flag};
use super::super::rdata::Spelled;
use super::super::writer::{FAR, QUESTION, Writer};
use super::{Compiler, Specials, below, pointers, saturated, to_u32};
use crate::steer::policy::{Shape, SteeredName, Sticky, Target};
use crate::zone::name::Name;
use crate::zone::record::Rtype;

/// One address RRset of a name server of a cut.
struct Glue<'o> {
    /// The server's name as the NS record spells it.
    server: Spelled,
    owner: Node<'o>,
    set: Rrset<'o>,
    /// Where the RRset begins.
    at: usize,
    /// In or below the delegated name.
    required: bool,
}

/// Glue as it is copied into a referral.
struct Copied {
    records: u16,
    octets: Vec<u8>,
    /// Where pointers stand, counted from the first NS record on.
    pointers: Vec<u16>,
}

impl Compiler<'_> {
    /// Fills in the fields of a node.
    pub(super) fn fields(&mut self, at: usize, flags: u16, fields: usize, steered: &[Arc<SteeredName>]) {
        let Some(node) = Octets(&self.out).node(at) else { return };
        let labels = node.labels().to_vec();
        let wildcard = [b"\x01*", &*labels].concat();
        let mut place = fields;
        for field in [flag::BARRIER, flag::WILDCARD, flag::SLOT, flag::REFERRAL] {
            if flags & field == 0 {
                continue;
            }
            let leads_to = match field {
                flag::BARRIER => self.barrier(&labels).map_or(0, |special| special.node),
                flag::WILDCARD => self.special.get(&*wildcard).map_or(0, |special| special.node),
                flag::SLOT => self.slot(&labels, steered),
                _ => self.referral(at),
            };
            self.patch(place, &to_u32(leads_to).to_le_bytes());
            place += 4;
        }
    }

    /// Writes what steers a name, and returns where.
    fn slot(&mut self, labels: &[u8], steered: &[Arc<SteeredName>]) -> usize {
        let number = self.special.get(labels).and_then(|special| special.slot);
        let Some((number, steered)) = number.and_then(|number| Some((number, steered.get(number)?))) else { return 0 };
        let at = self.out.len();
        self.out.extend_from_slice(&to_u32(number).to_le_bytes());
        self.out.push(u8::from(steered.shape == Shape::Cname));
        self.out.push(u8::from(steered.policy.sticky == Sticky::Yes));
        self.u16(steered.candidates.len());
        self.out.resize(at + SLOT + 4 * steered.candidates.len(), 0);
        for (index, candidate) in steered.candidates.iter().enumerate() {
            let target = to_u32(self.out.len());
            self.patch(at + SLOT + 4 * index, &target.to_le_bytes());
            self.target(labels, steered.shape, &candidate.target);
        }
        at
    }

    fn target(&mut self, labels: &[u8], shape: Shape, target: &Target) {
        let at = self.out.len();
        self.out.resize(at + TARGET, 0);
        let (kind, a, b) = match target {
            Target::Name(text) if shape == Shape::Cname => {
                if let Ok(name) = Name::from_text(text.as_bytes(), &Name::root()) {
                    self.compressed(labels, Rtype::CNAME.0, 0, std::iter::once(name.as_wire()));
                }
                (node::CNAME_TARGET, self.out.len() - at - TARGET, 0)
            }
            Target::Name(_) => (node::RESOLVED_TARGET, 0, 0),
            Target::Addresses(addresses) => {
                for address in addresses {
                    if let std::net::IpAddr::V4(address) = address {
                        self.record(Rtype::A.0, 0, &address.octets());
                    }
                }
                let v4 = self.out.len() - at - TARGET;
                for address in addresses {
                    if let std::net::IpAddr::V6(address) = address {
                        self.record(Rtype::AAAA.0, 0, &address.octets());
                    }
                }
                (node::ADDRESS_TARGET, v4, self.out.len() - at - TARGET - v4)
            }
        };
        self.patch(at, &[kind]);
        self.patch(at + 1, &to_u32(a).to_le_bytes());
        self.patch(at + 5, &to_u32(b).to_le_bytes());
    }

    /// Writes what a referral at a cut has beside the NS records. Returns where.
    fn referral(&mut self, cut: usize) -> usize {
        let Some(labels) = Octets(&self.out).node(cut).map(|cut| cut.labels().to_vec()) else { return 0 };
        let start = self.question(&labels, 0);
        let Some(cut) = Octets(&self.out).node(cut) else { return 0 };
        let glue = glue(cut, &self.special);
        let Copied { records, octets, pointers } = copied(cut, &glue, &mut self.scratch, start).unwrap_or_default();
        let mut block = Vec::with_capacity(REFERRAL + 2 * pointers.len() + octets.len() + node::GLUE * glue.len());
        for count in [records, saturated(octets.len()), saturated(pointers.len()), saturated(glue.len())] {
            block.extend_from_slice(&count.to_le_bytes());
        }
        block.extend(pointers.iter().flat_map(|at| at.to_le_bytes()));
        block.extend_from_slice(&octets);
        for Glue { owner, at, required, .. } in &glue {
            block.extend_from_slice(&to_u32(owner.at).to_le_bytes());
            block.extend_from_slice(&to_u32(*at).to_le_bytes());
            block.push(u8::from(*required));
        }
        let at = self.out.len();
        self.out.extend_from_slice(&block);
        at
    }
}

/// The address RRsets in the zone of a cut's name servers, those in the delegated name first.
fn glue<'o>(cut: Node<'o>, special: &Specials<'_>) -> Vec<Glue<'o>> {
    let mut found = Vec::new();
    for rdata in cut.rrset(Rtype::NS.0).into_iter().flat_map(Rrset::rdatas) {
        let Some((server, _)) = rdata.name(0) else { continue };
        let lower = server.as_wire().to_ascii_lowercase();
        let Some(labels) = below(&lower, cut.zone.origin()) else { continue };
        let owner = special.get(labels).map(|special| special.node).filter(|node| *node != 0);
        let Some(owner) = owner.and_then(|owner| cut.zone.node(owner)) else { continue };
        let required = below(labels, cut.labels()).is_some();
        let sets = owner.placed().filter(|(_, set)| matches!(set.rtype(), 1 | 28));
        found.extend(sets.map(|(at, set)| Glue { server, owner, set, at, required }));
    }
    found.sort_by_key(|glue| !glue.required);
    found
}

/// Glue behind a question for the cut, which ends at `start`, and its NS records. None where these are not as they were compiled, or a pointer could get
/// out of reach behind a longer question.
fn copied(cut: Node<'_>, glue: &[Glue<'_>], scratch: &mut [u8], start: usize) -> Option<Copied> {
    let servers = cut.rrset(Rtype::NS.0)?;
    let mut writer = Writer::compiling(scratch, start);
    for server in servers.rdatas() {
        let (name, end) = server.name(0)?;
        writer.put(&[0xc0, QUESTION as u8]).ok()?;
        writer.record_data(Rtype::NS.0, servers.ttl(), name.as_wire()).ok()?;
        if end != server.octets.len() {
            return None;
        }
    }
    let middle = writer.position();
    let mut records = 0;
    for Glue { server, set, .. } in glue {
        let rdatas = set.rdatas().map(|rdata| rdata.octets);
        records += writer.rrset(server.as_wire(), set.rtype(), set.ttl(), rdatas).ok()?;
    }
    let end = writer.position();
    let whole = scratch.get(start..end).filter(|_| end <= FAR)?;
    let (same, octets) = whole.split_at_checked(middle - start)?;
    (same == servers.records).then(|| Copied { records, octets: octets.to_vec(), pointers: pointers(whole) })
}

/// Nothing that could be copied.
impl Default for Copied {
    fn default() -> Self {
        Self { records: NO_COPY, octets: Vec::new(), pointers: Vec::new() }
    }
}
