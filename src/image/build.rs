//! Compiled zones become an image: one table over the names of all.
//!
//! A name below another zone's apex means something else in the zone above (glue, occluded data). The table leads to the zone with the longest
//! origin; so the names of a zone with others below it are looked at one by one, and those of all other zones are taken as they are.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::client::Points;
use super::node::{Node, flag};
use super::table::{Place, Table};
use super::words::{BEFORE, Keys};
use super::{CompiledZone, Image, Settings, count_labels};
use crate::zone::name::{MAX_NAME, Name};

/// Origins in lower case, with the index of their zone.
type Origins<'z> = HashMap<&'z [u8], u32, FixedState>;

/// Puts zones and the origins of broken ones together.
pub(super) fn build(zones: &[Arc<CompiledZone>], broken: &[Name], settings: &Settings) -> Image {
    let broken = broken.iter().map(|origin| Arc::new(CompiledZone::broken(origin)));
    let (held, good) = without_doubles(zones.iter().cloned(), broken);
    let mut origins = Origins::default();
    origins.extend(held.iter().zip(0..).map(|(zone, index)| (zone.origin().as_wire(), index)));
    let above = above_others(&held, &origins);

    let keys = Keys::new(settings.seed);
    let names = held.iter().map(|zone| zone.names()).sum();
    let octets = held.iter().map(|zone| zone.octets().0.len()).max().unwrap_or(0);
    let mut builder = Builder { table: Table::new(names, held.len(), octets), keys, parent_sides: HashMap::new() };
    for (zone, (index, is_above)) in held.iter().zip((0..).zip(above)) {
        builder.zone(zone, index, is_above.then_some(&origins));
    }
    let Builder { table, keys, parent_sides } = builder;
    let mut steered = Vec::new();
    let mut slots = Vec::with_capacity(held.len());
    for zone in &held {
        slots.push(steered.len());
        steered.extend_from_slice(zone.steered());
    }
    let max_labels = held.iter().map(|zone| zone.max_labels()).max().unwrap_or(0);
    let zone_depths = held.iter().fold(0, |depths, zone| depths | 1 << count_labels(zone.origin().as_wire()).min(127));
    let parent_sides = parent_sides.into_iter().map(|(zone, (place, _))| (zone, place)).collect();
    let points = Points::new(settings.client_key);
    Image {
        settings: settings.clone(),
        keys,
        points,
        table,
        held,
        good,
        slots,
        parent_sides,
        steered,
        max_labels,
        zone_depths,
    }
}

/// All zones, the good ones first, and how many those are. Of several with one origin the first stays.
fn without_doubles(
    good: impl Iterator<Item = Arc<CompiledZone>>,
    broken: impl Iterator<Item = Arc<CompiledZone>>,
) -> (Vec<Arc<CompiledZone>>, usize) {
    let mut known: HashMap<Name, (), FixedState> = HashMap::default();
    let mut is_first = |zone: &Arc<CompiledZone>| known.insert(zone.origin().clone(), ()).is_none();
    let mut held: Vec<_> = good.filter(&mut is_first).collect();
    let count = held.len();
    held.extend(broken.filter(&mut is_first));
    (held, count)
}

/// Which zones have another one below their apex.
fn above_others(held: &[Arc<CompiledZone>], origins: &Origins<'_>) -> Vec<bool> {
    let mut above = vec![false; held.len()];
    for zone in held {
        let mut rest = parent_of(zone.origin().as_wire());
        while !rest.is_empty() {
            let found = origins.get(rest).and_then(|index| above.get_mut(*index as usize));
            if let Some(above) = found {
                *above = true;
            }
            rest = parent_of(rest);
        }
    }
    above
}

struct Builder {
    table: Table,
    keys: Keys,
    /// For the zone of an apex: the node of the same name in the zone above, and how long that one's origin is.
    parent_sides: HashMap<u32, (Place, usize)>,
}

impl Builder {
    /// Adds the names of a zone; with `origins` those that are no other zone's.
    fn zone(&mut self, zone: &CompiledZone, index: u32, origins: Option<&Origins<'_>>) {
        let octets = zone.octets();
        // Labels are laid before the origin, one name after the other: a hash wants the whole name.
        let origin = zone.origin().as_wire();
        let mut name = [0; BEFORE + 2 * MAX_NAME];
        let end = BEFORE + MAX_NAME + origin.len();
        if let Some(place) = name.get_mut(BEFORE + MAX_NAME..end) {
            place.copy_from_slice(origin);
        }
        for node in octets.nodes().filter(|node| !node.is(flag::HIDDEN)) {
            let Ok(offset) = u32::try_from(node.at) else { break };
            let leads_to = Place { zone: index, offset };
            if origins.is_some_and(|origins| self.is_shadowed(node, leads_to, origins)) {
                continue;
            }
            let at = BEFORE + MAX_NAME - node.labels().len();
            if let Some(place) = name.get_mut(at..BEFORE + MAX_NAME) {
                place.copy_from_slice(node.labels());
            }
            self.table.insert(self.keys.hash(&name, at, end), leads_to);
        }
    }

    /// Whether a name is at or below another zone's apex. If it is the apex, it is noted as the parent's side, that of the closest zone above.
    fn is_shadowed(&mut self, node: Node<'_>, place: Place, origins: &Origins<'_>) -> bool {
        let own = node.zone.origin().len();
        let name = [node.labels(), node.zone.origin()].concat();
        let mut rest = &*name;
        while rest.len() > own {
            if let Some(zone) = origins.get(rest) {
                if rest.len() == name.len() {
                    let known = self.parent_sides.entry(*zone).or_insert((place, own));
                    if known.1 < own {
                        *known = (place, own);
                    }
                }
                return true;
            }
            rest = parent_of(rest);
        }
        false
    }
}

/// A wire name without its first label; empty for the root.
fn parent_of(name: &[u8]) -> &[u8] {
    name.first().and_then(|len| name.get(usize::from(*len) + 1..)).unwrap_or_default()
}
