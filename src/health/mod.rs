//! Probing: the schedule, HTTP and TCP probes, resolving targets.
//!
//! ```text
//!  controller                                                     controller
//!      |  Command: what to probe, probes out of pace, inquiries       ^
//!      v                                                              |  Report: Observed, Resolved, Found
//!  prober (one task) -- schedule says who is due --> round (a task) --+
//!                                                      |  resolve the target, choose addresses
//!                                                      v
//!                                                    http / tcp: one fresh connection each
//! ```
//!
//! What is scheduled is a check: candidates that ask the same of the same target share one (`check`), and what its
//! request saw is reported for all of them.
//!
//! Probes go where users go (design, section 5): the target is resolved, each address gets a connection of its own,
//! SNI, `Host` and path are the customer's, the certificate must be valid for the name.

pub mod anchors;
mod body;
pub mod by_area;
pub mod certificate;
pub mod check;
pub mod cold;
pub mod fault;
pub mod flatten;
pub mod guise;
pub mod http;
pub mod inquire;
pub mod inquiries;
pub mod jitter;
pub mod message;
pub mod one_offs;
pub mod online;
pub mod pace;
pub mod pages;
pub mod phase;
pub mod places;
pub mod prober;
pub mod reach;
pub mod renewal;
pub mod resolve;
pub mod rotation;
pub mod round;
pub mod schedule;
pub mod settings;
pub mod trust;

pub use prober::{Clock, Running, start};
pub use settings::{Settings, StartError};
