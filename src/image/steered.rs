//! The answers that move: what a steered name answers under the decision in force.
//!
//! | shape | A, AAAA | HTTPS | ANY | other types |
//! | --- | --- | --- | --- | --- |
//! | CNAME | the CNAME, alone | the CNAME | the CNAME | the CNAME |
//! | addresses | the candidate's | the owner's own, if it fits | its A, else its AAAA | the owner's own, CNAME aside |
//! | flattened | the candidate's own, or what its target resolved to (`by_area`) | its target's, else as above | as above | as above |
//! | any, `static` | the owner's own, TTLs capped | the same | the owner's own | the owner's own |
//!
//! Which decision that is depends on the client's place, for a name with `prefer.<area>` or `only.<area>` alone: others
//! never ask where the client is.
//!
//! HTTPS beside addresses is that of the candidate which they come from (`service`), if its target has any. An HTTPS or SVCB record of the owner's own that names
//! another target, addresses in hints that are not answered, or a provider's keys, would lead clients past the decision: it is not answered there.
//!
//! A decision computed for another set of candidates than the image has is no cause for a panic or an empty answer: what does not fit falls back to the owner's own records.

use std::net::IpAddr;

use super::answer::{Asker, Reply};
use super::areas::Found as Located;
use super::by_area::ForClient;
use super::node::{FIXED, Node, Slot, Target};
use super::published::{Published, SelectedAreas};
use super::query::{Edns, LowerName};
use super::quick::{Question, Room};
use super::service::Service;
use super::tally::Cell;
use super::walk::{A, AAAA, ANY, CNAME, HTTPS, Next, Observer, Outcome, SVCB, Walk, text};
use super::writer::Full;
use super::{Found, client};
use crate::steer::decision::{Decision, Source};
use crate::steer::observation::Family;
use crate::steer::policy::{self, Shape, SteeredName, Sticky};
use crate::steer::shares::Shares;
use crate::zone::svcb::stays;

/// The smallest TTL of an answer made of resolved addresses (design, section 2).
const MIN_FLATTENED_TTL: u32 = 5;

/// Addresses to answer with.
struct Addresses<'a> {
    all: &'a [IpAddr],
    left_out: Option<Family>,
    ttl: u32,
    service: Option<&'a Service>,
    /// Of a target's set: which part of it.
    of_set: Option<ForClient<'a>>,
}

impl Addresses<'_> {
    /// The family that is left out; none where nothing else is there.
    fn leaves_out(&self) -> Option<Family> {
        self.left_out.filter(|family| self.all.iter().any(|address| Family::of(*address) != *family))
    }

    fn answers(&self, address: IpAddr) -> bool {
        self.all.contains(&address) && self.leaves_out() != Some(Family::of(address))
    }
}

/// The answer at a name that is steered and was asked for itself, copied; none where it is not that simple.
///
/// The records were compiled ahead, candidate by candidate; only the TTL is the decision's.
#[inline(always)]
#[expect(clippy::needless_pass_by_value, reason = "three words, which stay in registers")]
pub(super) fn quick(
    published: &Published,
    (zone, node): (u32, Node<'_>),
    question: Question<'_>,
    edns: Option<&Edns>,
    asker: &Asker,
    room: Room<'_>,
) -> Option<Reply> {
    let image = &*published.image;
    let compiled = node.slot()?;
    let slot = image.slot(zone, compiled)?;
    let selected = published.selection.0.get(slot)?;
    let (brief, prefix) = match &selected.areas {
        None => (selected.brief()?, 0),
        // A scope is told to those alone who sent a subnet.
        Some(areas) if edns.is_none_or(|edns| edns.subnet.is_none()) => {
            (areas.brief(published.areas.place(asker.client))?, 0)
        }
        Some(areas) => {
            let located = published.areas.find(asker.client);
            (areas.brief(located.place)?, located.prefix.max(1))
        }
    };
    let (picked, hashed) = if brief.is_whole {
        (brief.pick(0), 0)
    } else if compiled.draws() {
        (brief.pick(asker.number), 0)
    } else {
        (brief.pick(published.image.points.of(asker.client)), client::hashed(asker.client))
    };
    let scope = prefix.max(hashed);
    let outcome = Outcome { authoritative: true, scope, cell: Some(brief.cells.of(picked)), ..Outcome::default() };
    let set = match compiled.target(picked)? {
        Target::Cname(set) if compiled.is_cname => set,
        _ if compiled.is_cname || !matches!(question.qtype, A | AAAA) => return None,
        Target::Addresses { v4, v6 } => {
            if question.qtype == A {
                v4
            } else {
                v6
            }
        }
        Target::Resolved => {
            let set = published.flattened.0.get(slot)?.get(usize::from(picked))?.as_ref()?;
            // Which addresses they are depends on where the client is: left to the walk.
            if set.by_area.is_some() {
                return None;
            }
            let ttl = flattened_ttl(brief.ttl, set.ttl);
            question.copy(room.out, room.most, &[])?;
            let records = room.out.get_mut(question.end()..room.most)?;
            let (answer, len) = put_addresses(&set.addresses, ttl, question.qtype, records)?;
            return question.close(image, edns, &Outcome { answer, ..outcome }, len, room.out);
        }
        Target::Cname(_) => return None,
    };
    if set.count == 0 {
        return None;
    }
    let place = question.copy(room.out, room.most, set.records)?;
    let ttl = brief.ttl.to_be_bytes();
    *place.get_mut(6..)?.first_chunk_mut()? = ttl;
    if set.count > 1 {
        for record in place.chunks_mut(set.records.len() / usize::from(set.count)) {
            record.get_mut(6..10)?.copy_from_slice(&ttl);
        }
    }
    question.close(image, edns, &Outcome { answer: set.count, ..outcome }, set.records.len(), room.out)
}

/// The records of one family, written: for addresses that were resolved that costs no more than to copy records compiled ahead.
fn put_addresses(addresses: &[IpAddr], ttl: u32, rtype: u16, out: &mut [u8]) -> Option<(u16, usize)> {
    let [l0, l1, l2, l3] = ttl.to_be_bytes();
    let (mut at, mut count) = (0, 0);
    let mut put = |octets: &[u8]| {
        let after = at + FIXED + octets.len();
        let (head, data) = out.get_mut(at..after)?.split_at_mut_checked(FIXED)?;
        head.copy_from_slice(&[0xc0, 12, 0, rtype as u8, 0, 1, l0, l1, l2, l3, 0, octets.len() as u8]);
        data.copy_from_slice(octets);
        (at, count) = (after, count + 1);
        Some(())
    };
    for address in addresses {
        match address {
            IpAddr::V4(address) if rtype == A => put(&address.octets())?,
            IpAddr::V6(address) if rtype == AAAA => put(&address.octets())?,
            _ => {}
        }
    }
    (count > 0).then_some((count, at))
}

/// TTL of addresses that a target resolved to.
fn flattened_ttl(ttl: u32, of_target: u32) -> u32 {
    ttl.min(of_target).max(MIN_FLATTENED_TTL)
}

/// The decision in force for one client.
struct InForce<'a> {
    decision: &'a Decision,
    /// What its answers count for.
    cells: Cell,
    /// Where the name answers places differently: how that of this client was found.
    by_area: Option<ByArea<'a>>,
}

struct ByArea<'a> {
    areas: &'a SelectedAreas,
    located: Located,
    rule: usize,
}

impl InForce<'_> {
    /// How many bits of the client's address the answer depends on (RFC 7871, section 7.2.1).
    #[inline]
    fn scope(&self, asker: &Asker, slot: Slot<'_>) -> u8 {
        let hashed = match &self.decision.source {
            Source::Candidates(shares) if !shares.is_whole() && !slot.draws() => client::hashed(asker.client),
            _ => 0,
        };
        // Scope 0 would hold for both families, and clients of the other one may be in another place.
        hashed.max(self.by_area.as_ref().map_or(0, |by_area| by_area.located.prefix.max(1)))
    }
}

/// The decision in force for a slot: that of the client's place, where the name answers places differently.
#[inline]
fn decision<'a>(published: &'a Published, slot: usize, asker: &Asker) -> Option<InForce<'a>> {
    let selected = published.selection.0.get(slot)?;
    let Some(areas) = &selected.areas else {
        return Some(InForce { decision: &selected.plain, cells: selected.cells(), by_area: None });
    };
    let located = published.areas.find(asker.client);
    // An `only` may hang on it: what does not fit is not answered by the plain rule.
    let (rule, decision) = areas.at(located.place)?;
    Some(InForce { decision, cells: areas.cells(rule), by_area: Some(ByArea { areas, located, rule }) })
}

/// The candidate at the client's point, or at a draw. Address answers never draw: A and AAAA of one client come from the same candidate. Where one
/// holds all points, the client's does not matter.
#[inline]
fn pick(published: &Published, asker: &Asker, slot: Slot<'_>, shares: &Shares) -> u16 {
    if shares.is_whole() {
        return shares.pick(0);
    }
    let number = if slot.draws() { asker.number } else { published.image.points.of(asker.client) };
    shares.pick(number)
}

impl<'a, O: Observer> Walk<'a, O> {
    /// The answer at a steered name.
    pub(super) fn steered(&mut self, found: Found<'a>, compiled: Slot<'a>, name: &LowerName) -> Result<Next, Full> {
        let (published, node) = (self.published, found.node);
        let slot = self.image.slot(found.zone, compiled);
        let Some((slot, steered)) = slot.and_then(|slot| Some((slot, self.image.steered.get(slot)?))) else {
            return self.own_data(node, name, u32::MAX);
        };
        let Some(in_force) = decision(published, slot, self.asker) else {
            self.observer.step(|| format!("{} is steered, but nothing is decided yet", text(name.as_wire())));
            self.observer.steered(slot, None);
            return self.own_data(node, name, steered.policy.ttl);
        };
        self.outcome.scope = self.outcome.scope.max(in_force.scope(self.asker, compiled));
        if let Some(by_area) = &in_force.by_area {
            self.tell_area(steered, by_area);
        }
        let decision = in_force.decision;
        let Source::Candidates(shares) = &decision.source else {
            self.observer.step(|| format!("{} answers its own records: {}", text(name.as_wire()), decision.rule));
            self.observer.steered(slot, None);
            self.count(steered.shape, in_force.cells);
            return self.own_data(node, name, decision.ttl);
        };
        let picked = pick(published, self.asker, compiled, shares);
        self.tell_pick(slot, steered, decision, picked);
        self.count(steered.shape, in_force.cells.of(picked));
        match steered.shape {
            Shape::Cname => self.steered_cname(node, compiled.target(picked), &in_force, name),
            Shape::Addresses | Shape::Flattened => self.steered_addresses(node, slot, &in_force, picked, name),
        }
    }

    /// What the answer counts for; of types that the decision does not decide, nothing.
    fn count(&mut self, shape: Shape, cell: Cell) {
        self.outcome.cell =
            (shape == Shape::Cname || matches!(self.qtype, A | AAAA | SVCB | HTTPS | ANY)).then_some(cell);
    }

    fn tell_area(&mut self, steered: &SteeredName, by_area: &ByArea<'_>) {
        let (published, client) = (self.published, self.asker.client.to_canonical());
        let ByArea { areas, located, rule } = by_area;
        self.observer.step(|| {
            let names = published.areas.places().get(usize::from(located.place)).map_or(&[][..], |place| &place.areas);
            let place = if names.is_empty() { "no area that is known".to_owned() } else { names.join(", ") };
            let whose = areas.rules().whose(&[*rule]).unwrap_or_else(|| "all clients".to_owned());
            let terms = areas.rules().terms(*rule, &steered.policy);
            format!("{client} is in {place} (prefix length {}): for {whose} the rule is {terms}", located.prefix)
        });
    }

    fn tell_pick(&mut self, slot: usize, steered: &SteeredName, decision: &Decision, picked: u16) {
        self.observer.steered(slot, Some(picked));
        self.observer.step(|| {
            let id = steered.candidates.get(usize::from(picked)).map_or("?", |candidate| &candidate.id);
            let reason = decision.reasons.get(usize::from(picked)).map_or("", |reason| &reason.reason);
            let how = if steered.policy.sticky == Sticky::No && steered.shape == Shape::Cname {
                "by a draw"
            } else {
                "by the client's prefix"
            };
            format!("{} is steered ({}); {how} the candidate is {id}: {reason}", steered.name, decision.rule)
        });
    }

    /// A CNAME to the candidate's target, alone, never chased, whatever the type.
    fn steered_cname(
        &mut self,
        node: Node<'a>,
        target: Option<Target<'a>>,
        in_force: &InForce<'a>,
        name: &LowerName,
    ) -> Result<Next, Full> {
        let decision = in_force.decision;
        let Some(Target::Cname(set)) = target else {
            self.observer.step(|| "the candidate has no name to answer with".to_owned());
            self.outcome.cell = Some(in_force.cells);
            return self.own_data(node, name, decision.ttl);
        };
        self.outcome.answer += self.writer.compiled(name.as_wire(), set, decision.ttl)?;
        Ok(Next::Done)
    }

    fn steered_addresses(
        &mut self,
        node: Node<'a>,
        slot: usize,
        in_force: &InForce<'a>,
        picked: u16,
        name: &LowerName,
    ) -> Result<Next, Full> {
        let decision = in_force.decision;
        if !matches!(self.qtype, A | AAAA | ANY | SVCB | HTTPS) {
            return self.other_data(node, name, decision.ttl, |_| true);
        }
        let addresses = self.addresses(slot, decision, usize::from(picked)).or_else(|| {
            let serving = decision.reasons.iter().enumerate().filter(|(_, reason)| reason.share > 0.0);
            let mut others = serving.filter_map(|(other, _)| Some((other, self.addresses(slot, decision, other)?)));
            let (other, addresses) = others.next()?;
            self.observer.step(|| format!("it has no addresses yet; candidate {other} has"));
            if let Ok(other) = u16::try_from(other) {
                self.observer.steered(slot, Some(other));
                self.outcome.cell = Some(in_force.cells.of(other));
            }
            Some(addresses)
        });
        let Some(addresses) = addresses else {
            self.observer.step(|| "no candidate has addresses yet".to_owned());
            self.observer.steered(slot, None);
            self.outcome.cell = Some(in_force.cells);
            return self.own_data(node, name, decision.ttl);
        };
        if let Some(of_set) = &addresses.of_set {
            self.outcome.scope = self.outcome.scope.max(of_set.prefix);
            if of_set.is_told() {
                self.observer.step(|| of_set.words());
            }
        }
        if !matches!(self.qtype, SVCB | HTTPS) {
            return self.append_addresses(node, name, &addresses);
        }
        if let Some(service) = addresses.service.filter(|_| self.qtype == HTTPS) {
            let records = service.records(addresses.leaves_out());
            let ttl = decision.ttl.min(service.ttl).max(MIN_FLATTENED_TTL);
            let written = self.writer.rrset(name.as_wire(), HTTPS, ttl, records.iter())?;
            if written > 0 {
                self.observer.step(|| "its HTTPS records are those of the candidate's target".to_owned());
                self.outcome.answer += written;
                return Ok(Next::Done);
            }
        }
        let alone = self.image.steered.get(slot).is_some_and(|name| name.candidates.len() == 1);
        let is_answered = |address| addresses.answers(address);
        self.other_data(node, name, decision.ttl, |rdata| stays(rdata, name.as_wire(), is_answered, alone))
    }

    /// What a candidate answers with; none where it has nothing yet.
    fn addresses(&self, slot: usize, decision: &Decision, candidate: usize) -> Option<Addresses<'a>> {
        let image = self.image;
        let left_out = decision.reasons.get(candidate).and_then(|reason| reason.left_out);
        match &image.steered.get(slot)?.candidates.get(candidate)?.target {
            policy::Target::Addresses(all) => {
                Some(Addresses { all, left_out, ttl: decision.ttl, service: None, of_set: None })
            }
            policy::Target::Name(_) => {
                let set = self.published.flattened.0.get(slot)?.get(candidate)?.as_ref()?;
                let of_set = ForClient::of(set, &self.published.areas, self.asker.client);
                let ttl = flattened_ttl(decision.ttl, of_set.ttl);
                Some(Addresses { all: of_set.addresses, left_out, ttl, service: of_set.service, of_set: Some(of_set) })
            }
        }
    }

    fn append_addresses(&mut self, node: Node<'a>, name: &LowerName, addresses: &Addresses) -> Result<Next, Full> {
        let families: &[Family] = match self.qtype {
            A => &[Family::V4],
            AAAA => &[Family::V6],
            _ => &Family::ALL,
        };
        for &family in families {
            if addresses.leaves_out() == Some(family) {
                self.observer.step(|| format!("{family:?} is left out: it alone is down"));
                continue;
            }
            let owner = name.as_wire();
            let written = match family {
                Family::V4 => self.writer.rrset(owner, A, addresses.ttl, addresses.all.iter().filter_map(v4))?,
                Family::V6 => self.writer.rrset(owner, AAAA, addresses.ttl, addresses.all.iter().filter_map(v6))?,
            };
            if written > 0 {
                self.outcome.answer += written;
                return Ok(Next::Done);
            }
        }
        self.observer.step(|| "it has no such address: NODATA".to_owned());
        self.negative(node, addresses.ttl)
    }

    /// Data beside the steered types. A CNAME of the owner's own would contradict the addresses; so may others, which do not `fit`.
    fn other_data(
        &mut self,
        node: Node<'a>,
        name: &LowerName,
        ttl: u32,
        fit: impl Fn(&[u8]) -> bool,
    ) -> Result<Next, Full> {
        let set = node.rrset(self.qtype).filter(|set| set.rtype() != CNAME);
        let fits = set.is_some_and(|set| set.rdatas().all(|rdata| fit(rdata.octets)));
        if fits {
            return self.own_data(node, name, ttl);
        }
        match set {
            Some(_) => self.observer.step(|| "its own records lead elsewhere than its addresses: NODATA".to_owned()),
            None => self.observer.step(|| format!("{} has no such records: NODATA", text(name.as_wire()))),
        }
        self.negative(node, ttl)
    }
}

fn v4(address: &IpAddr) -> Option<[u8; 4]> {
    match address {
        IpAddr::V4(address) => Some(address.octets()),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: &IpAddr) -> Option<[u8; 16]> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address.octets()),
    }
}
