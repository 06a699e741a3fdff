//! A small internet on loopback addresses: CDN edges that can be broken at will, and the DNS of their providers.
//!
//! The demo and tests need providers that fail on command, as real ones do not. What is simulated ends at the socket:
//! the prober meets real DNS messages, real TCP, real TLS with real certificates, real HTTP.
//!
//! ```text
//!   steered names ---> cast        who plays: each provider's addresses, target names and customers
//!                        |
//!        control ---> mode         what is wrong with each provider now
//!                      /    \
//!                  edge      provider_dns        certificates: the authority behind the edges
//!                      \    /
//!                   the real Pointsman
//!                        |
//!        play  ------> ask         tells the story: breaks and heals, and asks the DNS what it says
//! ```
//!
//! `replay` needs no sockets: it drives the core alone through `incidents`, in simulated time.

pub mod ask;
pub mod cast;
pub mod certificates;
pub mod control;
pub mod demo;
pub mod edge;
pub mod examples;
pub mod incidents;
pub mod internet;
pub mod mode;
pub mod play;
pub mod provider_dns;
pub mod replay;
pub mod story;
