//! The owner's own records beside its steering: what an ordinary secondary answers, and the last resort.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::assemble::Zone;
use crate::steer::areas::Terms;
use crate::steer::policy::{Candidate, Shape, SteeredName, Target};
use crate::zone::log::{Log, Place};
use crate::zone::name::Name;
use crate::zone::record::Rtype;
use crate::zone::svcb::stays;

/// One of the owner's records: place, type, data.
type Own<'a> = (Place, Rtype, &'a [u8]);

/// Whether the owner has records that a CNAME answer would hide.
pub(super) fn has_other_data(zone: &Zone<'_>, owner: &Name) -> bool {
    let fallback = [Rtype::A, Rtype::AAAA, Rtype::CNAME, Rtype::HTTPS, Rtype::RRSIG, Rtype::NSEC];
    zone.names.at(owner.as_wire()).any(|at| !fallback.contains(&zone.names.records.rtype(at)))
}

/// Whether the last resort is there, is one of the candidates, and is one that may answer.
pub(super) fn check(zone: &Zone<'_>, owner: &Name, name: &SteeredName, policy: Place, log: &mut Log) {
    let mut own = zone.at(owner);
    own.retain(|(_, rtype, _)| matches!(*rtype, Rtype::A | Rtype::AAAA | Rtype::CNAME));
    let Some((place, ..)) = own.first() else {
        let help = "they are what an ordinary secondary answers, and the last resort";
        log.warning_with_help(policy, format!("{owner} has no records of its own"), help);
        return;
    };
    let equal: Vec<&Candidate> = name.candidates.iter().filter(|candidate| equals(&own, candidate)).collect();
    let areas = name.policy.areas.iter().map(|(area, said)| (format!("only.{area}"), &said.only));
    for (key, only) in std::iter::once(("only".to_owned(), &name.policy.only)).chain(areas) {
        let terms = Terms { prefer: &[], only: only.as_deref() };
        if equal.is_empty() || equal.iter().any(|candidate| terms.allow(candidate)) {
            continue;
        }
        let ids: Vec<String> =
            equal.iter().map(|candidate| format!("`{}` ({})", candidate.id, candidate.home)).collect();
        log.error(*place, format!("{owner}'s own records are those of {}, which `{key}` forbids", ids.join(", ")));
    }
    if equal.is_empty() && can_tell(&own, name) {
        let help = "they are what an ordinary secondary answers, and the last resort";
        log.warning_with_help(*place, format!("{owner}'s own records equal no candidate"), help);
    }
}

/// HTTPS and SVCB records that would lead clients past the decision; answers leave them out.
pub(super) fn https(zone: &Zone<'_>, owner: &Name, name: &SteeredName, log: &mut Log) {
    if name.shape == Shape::Cname {
        return;
    }
    let of_some = |address| {
        let addresses =
            |candidate: &Candidate| matches!(&candidate.target, Target::Addresses(all) if all.contains(&address));
        name.candidates.iter().any(addresses)
    };
    for (place, rtype, rdata) in zone.at(owner) {
        if matches!(rtype, Rtype::HTTPS | Rtype::SVCB)
            && !stays(rdata, owner.as_wire(), of_some, name.candidates.len() == 1)
        {
            log.warning_with_help(
                place,
                format!("this {rtype} record leads past the steering of {owner}: it is not answered"),
                "take `.` as its target, and no `ech`, `ipv4hint` or `ipv6hint`: clients then go to the addresses of the answer",
            );
        }
    }
}

/// Addresses beside a name target may be what it resolves to; nobody asks here.
fn can_tell(own: &[Own<'_>], name: &SteeredName) -> bool {
    let names = name.candidates.iter().any(|candidate| matches!(candidate.target, Target::Name(_)));
    !names || own.iter().any(|(_, rtype, _)| *rtype == Rtype::CNAME)
}

fn equals(own: &[Own<'_>], candidate: &Candidate) -> bool {
    match &candidate.target {
        Target::Name(name) => own.iter().any(|(_, rtype, rdata)| {
            let target = Name::from_wire(rdata).ok().filter(|_| *rtype == Rtype::CNAME);
            target.is_some_and(|target| target.to_lowercase().to_string() == **name)
        }),
        Target::Addresses(addresses) => {
            let own: BTreeSet<IpAddr> = own.iter().filter_map(|(_, rtype, rdata)| address(*rtype, rdata)).collect();
            !own.is_empty() && own.iter().all(|address| addresses.contains(address))
        }
    }
}

fn address(rtype: Rtype, rdata: &[u8]) -> Option<IpAddr> {
    match rtype {
        Rtype::A => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
        Rtype::AAAA => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
        _ => None,
    }
}
