//! The pure core: observations become verdicts, verdicts become decisions.
//!
//! ```text
//! Observation -> track (one address family) -> judge (one candidate) -> name (blame, who, shares) -> Decision
//!                                                                          ^
//! Override ----------------------------------------------------------------'
//! ```
//!
//! Verdicts are one for all clients; decisions are one for each area rule of a name (`areas`).
//!
//! `steering` holds the whole mutable state and is what the controller drives. Nothing here reads a clock, draws a
//! number, waits or writes: `now` comes in, `Effects` go out. Every number of the judgement stands in
//! `docs/VERDICTS.md` with its reason.

mod answering;
pub mod areas;
mod blame;
#[cfg(test)]
mod cases;
pub mod decision;
pub mod effects;
#[cfg(test)]
mod fixture;
pub mod home;
pub mod judge;
mod name;
pub mod observation;
pub mod orders;
pub mod overrides;
pub mod policy;
#[cfg(test)]
mod properties;
pub mod provider;
mod reasons;
mod recent;
pub mod shares;
mod sharing;
pub mod steering;
pub mod time;
mod track;
pub mod transition;
mod who;
