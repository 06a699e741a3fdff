//! Probing: the schedule, HTTP and TCP probes, resolving targets.

pub mod message;
