//! The owner's own records beside its steering: what an ordinary secondary answers, and the last resort.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::assemble::Zone;
use crate::steer::areas::Terms;
use crate::steer::policy::{Candidate, Shape, SteeredName, Target};
use crate::zone::log::{Log, Place};
use crate::zone::name::Name;
use crate::zone::record::{Record, Rtype};
use crate::zone::svcb::leads_elsewhere;

/// Whether the owner has records that a CNAME answer would hide.
pub(super) fn has_other_data(zone: &Zone<'_>, owner: &Name) -> bool {
    let fallback = [Rtype::A, Rtype::AAAA, Rtype::CNAME, Rtype::HTTPS, Rtype::RRSIG, Rtype::NSEC];
    let mut all = zone.names.at(owner.as_wire()).filter_map(|at| zone.records.get(at));
    all.any(|record| !fallback.contains(&record.rtype))
}

/// Whether the last resort is there, is one of the candidates, and is one that may answer.
pub(super) fn check(zone: &Zone<'_>, owner: &Name, name: &SteeredName, policy: Place, log: &mut Log) {
    let own: Vec<(Place, &Record)> = zone
        .names
        .at(owner.as_wire())
        .filter_map(|at| Some((*zone.places.get(at)?, zone.records.get(at)?)))
        .filter(|(_, record)| matches!(record.rtype, Rtype::A | Rtype::AAAA | Rtype::CNAME))
        .collect();
    let Some((place, _)) = own.first() else {
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

/// HTTPS records that would lead clients past the decision; answers leave them out.
pub(super) fn https(zone: &Zone<'_>, owner: &Name, name: &SteeredName, log: &mut Log) {
    if name.shape == Shape::Cname {
        return;
    }
    for at in zone.names.at(owner.as_wire()) {
        let (Some(record), Some(place)) = (zone.records.get(at), zone.places.get(at)) else { continue };
        if record.rtype == Rtype::HTTPS && leads_elsewhere(&record.rdata, owner.as_wire()) {
            log.warning_with_help(
                *place,
                format!("this HTTPS record leads past the steering of {owner}: it is not answered"),
                "take `.` as its target, and no `ipv4hint` or `ipv6hint`: clients then go to the addresses of the answer",
            );
        }
    }
}

/// Addresses beside a name target may be what it resolves to; nobody asks here.
fn can_tell(own: &[(Place, &Record)], name: &SteeredName) -> bool {
    let names = name.candidates.iter().any(|candidate| matches!(candidate.target, Target::Name(_)));
    !names || own.iter().any(|(_, record)| record.rtype == Rtype::CNAME)
}

fn equals(own: &[(Place, &Record)], candidate: &Candidate) -> bool {
    match &candidate.target {
        Target::Name(name) => own.iter().any(|(_, record)| {
            let target = Name::from_wire(&record.rdata).ok().filter(|_| record.rtype == Rtype::CNAME);
            target.is_some_and(|target| target.to_lowercase().to_string() == **name)
        }),
        Target::Addresses(addresses) => {
            let own: BTreeSet<IpAddr> = own.iter().filter_map(|(_, record)| address(record)).collect();
            !own.is_empty() && own.iter().all(|address| addresses.contains(address))
        }
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match record.rtype {
        Rtype::A => <[u8; 4]>::try_from(&*record.rdata).ok().map(IpAddr::from),
        Rtype::AAAA => <[u8; 16]>::try_from(&*record.rdata).ok().map(IpAddr::from),
        _ => None,
    }
}
