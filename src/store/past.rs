//! The past of a name: what the history says of one moment, in one pass through the events.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::event::{Backwards, StoredEvent};
use super::failure::StoreError;
use super::kept::Event;
use crate::steer::ledger::Run;
use crate::steer::time::Time;
use crate::steer::transition::{Change, OverrideState};

/// What is known of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The last decision of the name until then for each group of clients that its reason begins with, newest first, at most 100.
    pub decisions: Vec<Event>,
    /// The first one after it.
    pub next_decision: Option<Event>,
    /// The last verdict of each candidate until then, and where there is none the first one after it.
    pub verdicts: BTreeMap<Arc<str>, Event>,
    /// Overrides that were in force then.
    pub overrides: Vec<Event>,
    /// The oldest event that is kept.
    pub oldest: Option<Time>,
    /// When the server ran.
    pub runs: Vec<Run>,
}

/// Decisions until the moment that are kept: one for each group of clients.
const DECISIONS: usize = 100;

/// Looks at all events: there are at most as many as the settings say. When the server ran is not among them.
pub(super) fn past(tree: &sled::Tree, name: &str, at: Time) -> Result<Past, StoreError> {
    let mut past = Past::default();
    let (mut ended, mut told) = (HashSet::new(), HashSet::new());
    for entry in Backwards::from(tree, u64::MAX) {
        let (id, octets) = entry.map_err(|why| StoreError::Gone(why.to_string()))?;
        let Some(event) = octets.and_then(|octets| StoredEvent::decode(id, &octets).ok()) else { continue };
        past.oldest = Some(event.transition.at);
        let before = event.transition.at <= at;
        match &event.transition.change {
            Change::Decision { subject, .. } if **subject == *name => match before {
                false => past.next_decision = Some(event),
                true if past.decisions.len() < DECISIONS && told.insert(clients(&event.transition.why).to_owned()) => {
                    past.decisions.push(event);
                }
                true => {}
            },
            Change::Verdict { subject, .. } if *subject.name == *name => {
                let known = past.verdicts.get(&subject.candidate).is_some_and(|known| known.transition.at <= at);
                if !known {
                    past.verdicts.insert(subject.candidate.clone(), event);
                }
            }
            Change::Override { id, from, to, .. } if before => match (from, to) {
                (OverrideState::Absent, _) if !ended.contains(id) => past.overrides.push(event),
                (_, OverrideState::InForce | OverrideState::OnDown) => {}
                _ => drop(ended.insert(*id)),
            },
            _ => {}
        }
    }
    Ok(past)
}

/// Whose clients a decision is for, as its reason begins; nothing where it is for all.
pub fn clients(why: &str) -> &str {
    match why.strip_prefix("for ").and_then(|rest| rest.split_once(": ")) {
        Some((whose, _)) if whose.starts_with("clients in") || whose.starts_with("all other clients") => whose,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::EntryKey;
    use super::super::value::cut;
    use super::*;
    use crate::steer::transition::Transition;

    #[test]
    fn a_rule_that_decides_again_and_again_hides_no_other() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let tree = db.open_tree("events").unwrap();
        for id in 1..=500_u64 {
            let whose = if id == 1 { "all other clients" } else { "clients in eu" };
            let change = Change::Decision { subject: "a.".into(), from: "".into(), to: id.to_string().into() };
            let transition = Transition { at: Time(id), change, why: format!("for {whose}: it was so").into() };
            let event = Event { id, generation: id, transition };
            for (key, piece) in cut(&EntryKey::event(id), &StoredEvent::encode(&event).unwrap()) {
                tree.insert(key, piece).unwrap();
            }
        }
        let told = past(&tree, "a.", Time(400)).unwrap();
        assert_eq!(told.decisions.iter().map(|event| event.id).collect::<Vec<_>>(), [400, 1]);
        assert_eq!(told.next_decision.unwrap().id, 401);
    }
}
