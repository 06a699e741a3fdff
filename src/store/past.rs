//! The past of a name: what the history says of one moment, in one pass through the events.

use std::collections::BTreeMap;
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
    /// Decisions of the name until then, newest first, at most 100.
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

/// Decisions until the moment that are kept: the last one of each area rule is among them.
const DECISIONS: usize = 100;

/// Looks at all events: there are at most as many as the settings say. When the server ran is not among them.
pub(super) fn past(tree: &sled::Tree, name: &str, at: Time) -> Result<Past, StoreError> {
    let mut past = Past::default();
    let mut ended = Vec::new();
    for entry in Backwards::from(tree, u64::MAX) {
        let (id, octets) = entry.map_err(|why| StoreError::Gone(why.to_string()))?;
        let Some(event) = octets.and_then(|octets| StoredEvent::decode(id, &octets).ok()) else { continue };
        past.oldest = Some(event.transition.at);
        let before = event.transition.at <= at;
        match &event.transition.change {
            Change::Decision { subject, .. } if *subject == *name => match before {
                false => past.next_decision = Some(event),
                true if past.decisions.len() < DECISIONS => past.decisions.push(event),
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
                _ => ended.push(*id),
            },
            _ => {}
        }
    }
    Ok(past)
}
