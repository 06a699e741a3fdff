//! Pointsman: an authoritative DNS server that steers names between CDN providers by health verdicts.
//!
//! *Observations become verdicts, and verdicts become decisions, ahead of any question; a question becomes an answer by
//! look-up alone.*
//!
//! ```text
//!             zone files                probes                       operator
//!                 |                        |                            |
//!               zone                    health                       api  cli
//!                 |  records              |  Observation                |  Override
//!                 v                        v                            v
//!               image  <---- controller: the only writer of verdicts, overrides, selections ----> store
//!                 |              \
//!                 |               steer  pure: verdicts and decisions, no clock, no I/O, no locks
//!                 v
//!               dns   question + what is published -> answer
//! ```
//!
//! Who may import whom, lowest first: `steer` < `zone` < `image` < `store`, `health`, `dns` (never each other) < `config` <
//! `controller` < `api` < `server` < `sim` < `cli`. A test keeps the rule. `docs/ARCHITECTURE.md` walks through a query, a
//! probe, an override, a reload and a restart.

pub mod api;
pub mod cli;
pub mod config;
pub mod controller;
pub mod dns;
pub mod health;
pub mod image;
pub mod server;
pub mod sim;
pub mod steer;
pub mod store;
pub mod zone;
