//! Probing: the schedule, HTTP and TCP probes, resolving targets.
//!
//! ```text
//!  controller                                                     controller
//!      |  Command: what to probe, a probe out of pace                 ^
//!      v                                                              |  Report: Observed, Resolved
//!  prober (one task) -- schedule says who is due --> round (a task) --+
//!                                                      |  resolve the target, choose addresses
//!                                                      v
//!                                                    http / tcp: one fresh connection each
//! ```
//!
//! Probes go where users go (design, section 5): the target is resolved, each address gets a connection of its own,
//! SNI, `Host` and path are the customer's, the certificate must be valid for the name.

pub mod fault;
pub mod http;
pub mod message;
pub mod phase;
pub mod prober;
pub mod reach;
pub mod resolve;
pub mod rotation;
pub mod round;
pub mod schedule;
pub mod settings;
pub mod trust;

pub use prober::{Clock, Running, start};
pub use settings::{Settings, StartError};
