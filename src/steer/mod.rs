//! The pure core: observations become verdicts, verdicts become decisions.
//!
//! ```text
//! Observation -> vantage (does it count?) -> track (one address family) -> judge (one candidate)
//!                                                                               |        |
//!                                           tally (one provider) <--- blame ----'        |
//!                                                   |                                    v
//! Override -----------------------------------------+------------------> name (who, cohorts, shares) -> Decision
//! ```
//!
//! Verdicts are one for all clients; decisions are one for each area rule of a name (`areas`).
//!
//! `steering` holds the whole mutable state and is what the controller drives. Nothing here reads a clock, draws a
//! number, waits or writes: `now` comes in, `Effects` go out. Every number of the judgement stands in
//! `docs/VERDICTS.md` with its reason.

mod accounts;
mod answering;
pub mod areas;
mod blame;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod chain;
mod classes;
mod cohorts;
pub mod decision;
mod doubt;
pub mod drill_moves;
pub mod drill_report;
mod drills;
pub mod edges;
pub mod effects;
#[cfg(test)]
mod fixture;
pub mod home;
pub mod inquiry;
mod install;
pub mod issuers;
pub mod judge;
pub mod ledger;
mod listening;
mod name;
pub mod observation;
pub mod orders;
mod origin;
pub mod overrides;
pub mod policy;
#[cfg(test)]
mod properties;
pub mod provider;
mod ramp;
mod readied;
pub mod readiness;
mod reasons;
mod recent;
pub mod rehearsal;
pub mod renewal;
#[cfg(test)]
mod returns;
mod risk;
pub mod shares;
mod sharing;
pub mod steering;
mod stuck;
pub mod tally;
pub mod time;
mod together;
mod track;
pub mod transition;
pub mod vantage;
mod waiting;
mod who;
#[cfg(test)]
mod world;
