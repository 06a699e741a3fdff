//! Pointsman: an authoritative DNS server that steers names between CDN providers by health verdicts.

pub mod controller;
pub mod health;
pub mod image;
pub mod steer;
pub mod store;
pub mod zone;
