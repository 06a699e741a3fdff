//! What `prefer` and `only` come to for the candidates of a name, everywhere and in each area.

use std::collections::BTreeSet;

use super::fields::{AreaFields, PolicyFields, Said};
use crate::steer::areas::{MAX_AREAS, Terms};
use crate::steer::policy::{Preference, SteeredName};
use crate::zone::log::{Log, Place};

/// `only` leaves a candidate, everywhere; areas are no more than the limit, and each makes a difference.
pub(super) fn check(name: &SteeredName, fields: &PolicyFields, place: Place, log: &mut Log) {
    let only = |only: &'_ Option<Said<Vec<Preference>>>| only.as_ref().map(|only| (only.value.clone(), only.place));
    for (key, (only, at)) in std::iter::once(("only".to_owned(), only(&fields.only)))
        .chain(fields.areas.iter().map(|(area, fields)| (format!("only.{area}"), only(&fields.only))))
        .filter_map(|(key, only)| Some((key, only?)))
    {
        if !name.candidates.iter().any(|candidate| only.iter().any(|entry| entry.matches(candidate))) {
            let homes: BTreeSet<String> =
                name.candidates.iter().map(|candidate| format!("{} ({})", candidate.id, candidate.home)).collect();
            let help = format!("its candidates are {}", homes.into_iter().collect::<Vec<_>>().join(", "));
            log.error_with_help(at.unwrap_or(place), format!("`{key}` leaves no candidate of {}", name.name), help);
        }
    }
    if fields.areas.len() > MAX_AREAS {
        let help = "a named set of the configuration may hold several countries";
        log.error_with_help(place, format!("a policy names at most {MAX_AREAS} areas"), help);
    }
    idle(name, fields, log);
}

/// Providers in `prefer` that no candidate stands at; `own` are the name's own fields.
pub(super) fn unmatched(name: &SteeredName, own: &PolicyFields, log: &mut Log) {
    for prefer in own.areas.values().filter_map(|fields| fields.prefer.as_ref()).chain(&own.prefer) {
        for entry in &prefer.value {
            if let Preference::Provider(id) = entry
                && !name.candidates.iter().any(|candidate| candidate.provider == *id)
            {
                log.warning(prefer.place, format!("{} has no candidate at `{id}`", name.name));
            }
        }
    }
}

/// Fields of areas that can make no difference: the plain one comes to the same, and no other area says otherwise.
fn idle(name: &SteeredName, fields: &PolicyFields, log: &mut Log) {
    let plain = Terms::plain(&name.policy);
    let (order_of_plain, allowed_by_plain) = (order(name, plain.prefer), allowed(name, plain.only));
    let prefer = |fields: &AreaFields| {
        let said = fields.prefer.as_ref()?;
        Some((order(name, &said.value) == order_of_plain, said.place))
    };
    let only = |fields: &AreaFields| {
        let said = fields.only.as_ref()?;
        Some((allowed(name, Some(&said.value)) == allowed_by_plain, said.place))
    };
    told("prefer", fields.areas.iter().filter_map(|(area, fields)| Some((area, prefer(fields)?))), log);
    told("only", fields.areas.iter().filter_map(|(area, fields)| Some((area, only(fields)?))), log);
}

fn told<'a>(kind: &str, fields: impl Iterator<Item = (&'a String, (bool, Option<Place>))>, log: &mut Log) {
    let fields: Vec<_> = fields.collect();
    // One that says what the plain one does may shield its area from that of a larger one.
    if fields.iter().any(|(_, (same, _))| !same) {
        return;
    }
    for (area, (_, place)) in fields {
        log.warning(place, format!("`{kind}.{area}` makes no difference: it comes to what `{kind}` does"));
    }
}

/// The candidates in the order of their levels: which are together, and which come before others.
fn order(name: &SteeredName, prefer: &[Preference]) -> Vec<usize> {
    let terms = Terms { prefer, only: None };
    let levels: Vec<usize> = name.candidates.iter().map(|candidate| terms.level(candidate)).collect();
    let used: BTreeSet<usize> = levels.iter().copied().collect();
    levels.iter().map(|level| used.iter().take_while(|used| *used < level).count()).collect()
}

fn allowed(name: &SteeredName, only: Option<&[Preference]>) -> Vec<bool> {
    let terms = Terms { prefer: &[], only };
    name.candidates.iter().map(|candidate| terms.allow(candidate)).collect()
}
