//! Changes as entries: what each `Write` puts under which key.

use serde::{Deserialize, Serialize};

use super::event::StoredEvent;
use super::failure::StoreError;
use super::kept::{LastDecision, Write};
use super::key::EntryKey;
use super::value;
use crate::steer::judge::CandidateMemory;
use crate::steer::observation::CandidateKey;

/// The most octets that one value may take.
const VALUE_LIMIT: usize = 1024 * 1024;

/// A candidate's entry. Keys of the tree hold a hash alone, so the entry says of whom it is.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredCandidate {
    pub(super) key: CandidateKey,
    pub(super) memory: CandidateMemory,
}

/// A decision's entry.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredDecision {
    pub(super) name: String,
    pub(super) decision: LastDecision,
}

/// One change of the tree, and of the numbers that only count up.
#[derive(Debug)]
pub(super) enum Change {
    /// The entry's octets, or none where it goes.
    Entry(EntryKey, Option<Vec<u8>>),
    /// Id, generation and octets.
    Event(u64, u64, Vec<u8>),
    Generation(u64),
}

/// Encodes one write.
///
/// # Errors
/// `TooLarge` above 1 MiB; `Unencodable`.
pub(super) fn change(write: &Write) -> Result<Change, StoreError> {
    let (entry, octets) = match write {
        Write::Candidate(key, memory) => {
            let stored = StoredCandidate { key: key.clone(), memory: memory.clone() };
            (EntryKey::candidate(key), value::encode(&stored))
        }
        Write::Decision(name, decision) => {
            let stored = StoredDecision { name: name.clone(), decision: decision.clone() };
            (EntryKey::decision(name), value::encode(&stored))
        }
        Write::Event(event) => (EntryKey::event(event.id), StoredEvent::encode(event)),
        Write::Override(placed) => (EntryKey::placed(placed.id), value::encode(placed)),
        Write::ForgetCandidate(key) => return Ok(Change::Entry(EntryKey::candidate(key), None)),
        Write::ForgetDecision(name) => return Ok(Change::Entry(EntryKey::decision(name), None)),
        Write::ForgetOverride(id) => return Ok(Change::Entry(EntryKey::placed(*id), None)),
        Write::Drill(report) => (EntryKey::drill(report.id), value::encode(report)),
        Write::ForgetDrill(id) => return Ok(Change::Entry(EntryKey::drill(*id), None)),
        Write::ForgetZone(origin) => return Ok(Change::Entry(EntryKey::zone(origin), None)),
        Write::Generation(generation) => return Ok(Change::Generation(*generation)),
    };
    let octets = octets.map_err(|why| StoreError::Unencodable { what: what(write), why: why.to_string() })?;
    if octets.len() > VALUE_LIMIT {
        return Err(StoreError::TooLarge { what: what(write), size: octets.len(), limit: VALUE_LIMIT });
    }
    Ok(match write {
        Write::Event(event) => Change::Event(event.id, event.generation, octets),
        _ => Change::Entry(entry, Some(octets)),
    })
}

/// A write's name for people.
fn what(write: &Write) -> String {
    match write {
        Write::Candidate(key, _) | Write::ForgetCandidate(key) => format!("candidate {key}"),
        Write::Decision(name, _) | Write::ForgetDecision(name) => format!("decision of {name}"),
        Write::Event(event) => format!("event {}", event.id),
        Write::Override(placed) => format!("override {}", placed.id),
        Write::ForgetOverride(id) => format!("override {id}"),
        Write::Drill(report) => format!("drill {}", report.id),
        Write::ForgetDrill(id) => format!("drill {id}"),
        Write::ForgetZone(origin) => format!("zone {origin}"),
        Write::Generation(generation) => format!("generation {generation}"),
    }
}
