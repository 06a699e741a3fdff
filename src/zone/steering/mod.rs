//! Steering records: what TXT records at `_steer` names say about the names beside them (design, section 2).
//!
//! ```text
//! TXT record -> Statement (fields with places) -> PolicyFields / CandidateFields (values) -> SteeredName (all filled in)
//! ```
//!
//! The grammar, every field and every error stand in `docs/STEERING-RECORDS.md`.

pub mod areas;
mod assemble;
pub mod defaults;
mod fields;
mod limits;
mod own;
mod renewals;
mod sites;
mod statement;
pub(super) mod targets;
mod values;

pub(super) use assemble::{Draft, Rules, read};
pub(super) use fields::Known;
