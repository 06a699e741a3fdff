//! The answers that move: what a steered name answers under the decision in force.
//!
//! | shape | A, AAAA | ANY | other types |
//! | --- | --- | --- | --- |
//! | CNAME | the CNAME, alone | the CNAME | the CNAME |
//! | addresses | the candidate's | its A, else its AAAA | the owner's own, CNAME aside |
//! | flattened | the candidate's own, or what its target resolved to | as above | as above |
//! | any, `static` | the owner's own, TTLs capped | the owner's own | the owner's own |
//!
//! Which decision that is depends on the client's place, for a name with `prefer.<area>` or `only.<area>` alone: others
//! never ask where the client is.
//!
//! An HTTPS record of the owner's own that names another target, or addresses in hints, would lead clients past the decision: it is not answered
//! where addresses are.
//!
//! A decision computed for another set of candidates than the image has is no cause for a panic or an empty answer: what does not fit falls back to the owner's own records.

use std::net::IpAddr;

use super::areas::Found;
use super::client;
use super::node::{Compiled, Node};
use super::published::SelectedAreas;
use super::query::LowerName;
use super::walk::{A, AAAA, ANY, CNAME, HTTPS, Next, Observer, Walk, text};
use super::writer::Full;
use crate::steer::decision::{Decision, Source};
use crate::steer::observation::Family;
use crate::steer::policy::{Shape, SteeredName, Sticky, Target};
use crate::zone::svcb::leads_elsewhere;

/// The smallest TTL of an answer made of resolved addresses (design, section 2).
const MIN_FLATTENED_TTL: u32 = 5;

/// Addresses to answer with.
struct Addresses<'a> {
    all: &'a [IpAddr],
    left_out: Option<Family>,
    ttl: u32,
}

impl<'a, O: Observer> Walk<'a, O> {
    /// The answer at a steered name. `exact` where the name is the owner itself, not one that its wildcard stands for.
    pub(super) fn steered(&mut self, node: &'a Node, slot: usize, name: &LowerName, exact: bool) -> Result<Next, Full> {
        let Some(steered) = self.image.steered.get(slot) else { return self.own_data(node, name, u32::MAX) };
        let Some((decision, bits)) = self.decision(slot, steered) else {
            self.observer.step(|| format!("{} is steered, but nothing is decided yet", text(name.as_wire())));
            self.observer.steered(slot, None);
            return self.own_data(node, name, steered.policy.ttl);
        };
        self.outcome.scope = self.outcome.scope.max(bits.max(self.hashed_bits(steered, decision)));
        let Source::Candidates(shares) = &decision.source else {
            self.observer.step(|| format!("{} answers its own records: {}", text(name.as_wire()), decision.rule));
            self.observer.steered(slot, None);
            return self.own_data(node, name, decision.ttl);
        };
        let picked = shares.pick(self.number(steered));
        self.tell_pick(slot, steered, decision, picked);
        match steered.shape {
            Shape::Cname => self.steered_cname(node, slot, decision, picked, name, exact),
            Shape::Addresses | Shape::Flattened => self.steered_addresses(node, slot, decision, picked, name),
        }
    }

    /// The decision for this client, that of its place where the name answers places differently; and how many bits of the
    /// client's address that hangs on.
    fn decision(&mut self, slot: usize, steered: &SteeredName) -> Option<(&'a Decision, u8)> {
        let published = self.published;
        let selected = published.selection.0.get(slot)?;
        let Some(areas) = &selected.areas else { return Some((&selected.plain, 0)) };
        let found = published.areas.find(self.asker.client);
        // An `only` may hang on it: what does not fit is not answered by the plain rule.
        let (rule, decision) = areas.at(found.place)?;
        self.tell_area(steered, areas, found, rule);
        Some((decision, found.prefix))
    }

    /// The client's point, or a draw. Address answers never draw: A and AAAA of one client come from the same candidate.
    fn number(&self, steered: &SteeredName) -> u64 {
        match (steered.policy.sticky, steered.shape) {
            (Sticky::No, Shape::Cname) => self.asker.number,
            _ => client::point(self.image.settings.client_key, self.asker.client),
        }
    }

    fn tell_area(&mut self, steered: &SteeredName, areas: &SelectedAreas, found: Found, rule: usize) {
        let (published, client) = (self.published, self.asker.client.to_canonical());
        self.observer.step(|| {
            let names = published.areas.places().get(usize::from(found.place)).map_or(&[][..], |place| &place.areas);
            let place = if names.is_empty() { "no area that is known".to_owned() } else { names.join(", ") };
            let whose = areas.rules.whose(&[rule]).unwrap_or_else(|| "all clients".to_owned());
            let terms = areas.rules.terms(rule, &steered.policy);
            format!("{client} is in {place} (prefix length {}): for {whose} the rule is {terms}", found.prefix)
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
        node: &'a Node,
        slot: usize,
        decision: &Decision,
        picked: u16,
        name: &LowerName,
        exact: bool,
    ) -> Result<Next, Full> {
        let image = self.image;
        let target = image.slots.get(slot).and_then(|slot| slot.targets.get(usize::from(picked)));
        let Some(Compiled::Name { wire, exact: compiled }) = target else {
            self.observer.step(|| "the candidate has no name to answer with".to_owned());
            return self.own_data(node, name, decision.ttl);
        };
        let compiled = image.octets(*compiled);
        if exact && self.outcome.answer == 0 && !compiled.is_empty() {
            let at = self.writer.position();
            self.writer.put(compiled)?;
            self.writer.patch(at + 6, &decision.ttl.to_be_bytes());
            self.outcome.answer = 1;
        } else {
            self.outcome.answer += self.writer.rrset(name.as_wire(), CNAME, decision.ttl, std::iter::once(wire))?;
        }
        Ok(Next::Done)
    }

    fn steered_addresses(
        &mut self,
        node: &'a Node,
        slot: usize,
        decision: &'a Decision,
        picked: u16,
        name: &LowerName,
    ) -> Result<Next, Full> {
        if !matches!(self.qtype, A | AAAA | ANY) {
            return self.other_data(node, name, decision.ttl);
        }
        let addresses = self.addresses(slot, decision, usize::from(picked)).or_else(|| {
            let serving = decision.reasons.iter().enumerate().filter(|(_, reason)| reason.share > 0.0);
            let mut others = serving.filter_map(|(other, _)| Some((other, self.addresses(slot, decision, other)?)));
            let (other, addresses) = others.next()?;
            self.observer.step(|| format!("it has no addresses yet; candidate {other} has"));
            if let Ok(other) = u16::try_from(other) {
                self.observer.steered(slot, Some(other));
            }
            Some(addresses)
        });
        let Some(addresses) = addresses else {
            self.observer.step(|| "no candidate has addresses yet".to_owned());
            self.observer.steered(slot, None);
            return self.own_data(node, name, decision.ttl);
        };
        self.append_addresses(node, name, &addresses)
    }

    /// What a candidate answers with; none where it has nothing yet.
    fn addresses(&self, slot: usize, decision: &Decision, candidate: usize) -> Option<Addresses<'a>> {
        let image = self.image;
        let left_out = decision.reasons.get(candidate).and_then(|reason| reason.left_out);
        match &image.steered.get(slot)?.candidates.get(candidate)?.target {
            Target::Addresses(all) => Some(Addresses { all, left_out, ttl: decision.ttl }),
            Target::Name(_) => {
                let set = self.published.flattened.0.get(slot)?.get(candidate)?.as_ref()?;
                let ttl = decision.ttl.min(set.ttl).max(MIN_FLATTENED_TTL);
                Some(Addresses { all: &set.addresses, left_out, ttl })
            }
        }
    }

    fn append_addresses(&mut self, node: &Node, name: &LowerName, addresses: &Addresses) -> Result<Next, Full> {
        let families: &[Family] = match self.qtype {
            A => &[Family::V4],
            AAAA => &[Family::V6],
            _ => &Family::ALL,
        };
        for &family in families {
            let others = addresses.all.iter().any(|address| Family::of(*address) != family);
            if addresses.left_out == Some(family) && others {
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

    /// Data beside the steered types. A CNAME of the owner's own would contradict the addresses, an HTTPS record may.
    fn other_data(&mut self, node: &'a Node, name: &LowerName, ttl: u32) -> Result<Next, Full> {
        let image = self.image;
        let set = image.rrset(node, self.qtype).filter(|set| {
            set.rtype != CNAME
                && (set.rtype != HTTPS || !image.rdatas(set).any(|rdata| leads_elsewhere(rdata, name.as_wire())))
        });
        if set.is_some() {
            return self.own_data(node, name, ttl);
        }
        self.observer.step(|| format!("{} has no such records: NODATA", text(name.as_wire())));
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
