//! Zones as answers: what is compiled, published, and looked up.
//!
//! ```text
//!   zone::record::Zone --compile--> CompiledZone   new when its content changes
//!                                        | build
//!                                      Image          new at each reload
//!                                        |
//!   octets --quick, or else query and walk--> table --> node --> octets
//!                                                   ^
//!                                                   Selection, FlattenedSets (published.rs)
//! ```
//!
//! | file | thought |
//! | --- | --- |
//! | `areas` | from a client to its part of the world |
//! | `compiled` | one zone, shared by images |
//! | `compile` | its records become nodes and compiled RRsets |
//! | `node` | what stands at a name, and how that lies in memory |
//! | `build` | zones become an image |
//! | `table` | names hashed to nodes |
//! | `words` | names hashed and compared, eight octets at a time |
//! | `query` | the octets of a question, read |
//! | `answer` | the function from question to answer: header, EDNS, what is refused |
//! | `quick` | the ordinary answers, by copying |
//! | `walk` | all others: RFC 1034, section 4.3.2: wildcards, CNAME and DNAME chains, referrals, denials |
//! | `steered` | the answers that move |
//! | `service` | HTTPS records of a target, right at a flattened name |
//! | `by_area` | which addresses of a target the clients of an area get |
//! | `tally` | which candidate answered how often |
//! | `subnet` | for whom is asked, and for whom an answer holds (EDNS Client Subnet) |
//! | `writer` | octets of a message, names compressed |
//! | `explain` | the same path, with every step told |

mod answer;
pub mod areas;
mod build;
pub mod by_area;
mod client;
mod compile;
mod compiled;
mod explain;
mod node;
pub mod published;
mod query;
mod quick;
mod rdata;
pub mod service;
mod steered;
mod subnet;
mod table;
pub mod tally;
mod walk;
mod words;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::answer::{Reply, Transport, answer};
pub use self::client::client_point;
pub use self::compiled::CompiledZone;
pub use self::explain::{Answered, Trace, explain};
use self::node::Node;
use self::query::LowerName;
use self::table::{Place, Table};
use self::words::Keys;
use crate::steer::policy::SteeredName;
use crate::zone::name::Name;

/// The most octets that a UDP answer has (RFC 9715, section 3: no fragments on any path).
pub const MAX_UDP: usize = 1232;
/// The most octets that an answer over TCP has (RFC 1035, section 4.2.2).
pub const MAX_TCP: usize = 65_535;
/// The most octets of an NSID that are told.
pub const MAX_NSID: usize = 64;

/// What answers depend on beside the zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Keys the hash of names. Drawn anew for each image; zero only in tests.
    pub seed: u64,
    /// Keys the hash of a client's prefix. Kept over restarts, so that clients keep their candidates.
    pub client_key: [u8; 16],
    /// Told to who asks for it (RFC 5001); the first 64 octets.
    pub nsid: Option<Vec<u8>>,
    /// How long a TCP connection may be idle: told over TCP to who asks for it (RFC 7828).
    pub tcp_idle: Option<Duration>,
    /// Told for `version.bind` and `version.server` in class CH; the first 255 octets.
    pub version: Option<String>,
    /// Told for `id.server` and `hostname.bind` in class CH (RFC 4892); the first 255 octets.
    pub identity: Option<String>,
}

/// All zones, compiled. Never changes.
#[derive(Debug, Default)]
pub struct Image {
    settings: Settings,
    keys: Keys,
    points: client::Points,
    table: Table,
    /// The good zones, then the broken ones.
    held: Vec<Arc<CompiledZone>>,
    good: usize,
    /// The slot of each zone's first steered name.
    slots: Vec<usize>,
    steered: Vec<Arc<SteeredName>>,
    /// By the zone of an apex: the node of the same name in the zone above, which answers for DS (RFC 4035, section 3.1.4.1).
    parent_sides: HashMap<u32, Place>,
    /// The most labels that a name has.
    max_labels: usize,
    /// How many labels origins have: bit n is set where one has n. A name has 127 at most (RFC 1035, section 2.3.4).
    zone_depths: u128,
}

/// One served zone, for tables and documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedZone {
    pub origin: Name,
    /// None where the zone is broken and answers SERVFAIL.
    pub serial: Option<u32>,
    /// How many records it has, the hidden ones too.
    pub records: usize,
}

impl Image {
    /// Puts zones together. `broken` are origins that must answer SERVFAIL since nothing good of them is known. Of two zones with one origin the
    /// first counts. Slow for many names: call it on a thread that may block.
    pub fn build(zones: &[Arc<CompiledZone>], broken: &[Name], settings: &Settings) -> Self {
        build::build(zones, broken, settings)
    }

    /// The steered names by slot: `Selection` and `FlattenedSets` are indexed alike.
    pub fn slots(&self) -> &[Arc<SteeredName>] {
        &self.steered
    }

    /// The slot of the steered name that stands at exactly this name, case aside.
    pub fn slot_of(&self, name: &Name) -> Option<usize> {
        let name = LowerName::new(name.as_wire());
        let octets = name.as_message();
        let found = self.find(octets, query::HEADER, octets.len()).filter(|found| found.exact)?;
        self.slot(found.zone, found.node.slot()?)
    }

    /// All zones with their records, the hidden ones too: what transfers are made of.
    pub fn zones(&self) -> &[Arc<CompiledZone>] {
        self.held.get(..self.good).unwrap_or_default()
    }

    /// What is served, broken zones too, sorted by origin.
    pub fn served(&self) -> Vec<ServedZone> {
        let mut all: Vec<_> = self
            .held
            .iter()
            .enumerate()
            .map(|(index, zone)| ServedZone {
                origin: zone.origin().clone(),
                serial: (index < self.good).then(|| zone.serial()),
                records: zone.len(),
            })
            .collect();
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        all
    }

    /// The node of the longest known name that is the one from `at` to `end`, 8 or more octets before it, or an ancestor of it; none where no
    /// zone holds the name. The name is well-formed, in any case.
    fn find(&self, octets: &[u8], at: usize, end: usize) -> Option<Found<'_>> {
        match self.named(octets, at, end) {
            Some((zone, node)) => Some(Found { zone, node, exact: true }),
            None => self.find_above(octets, at, end),
        }
    }

    /// The same for a name that is not known itself.
    #[inline(never)]
    fn find_above(&self, octets: &[u8], mut at: usize, end: usize) -> Option<Found<'_>> {
        let mut labels = count_labels(octets.get(at..end)?);
        while labels > 0 {
            at += usize::from(*octets.get(at)?) + 1;
            labels -= 1;
            if labels <= self.max_labels
                && let Some((zone, node)) = self.named(octets, at, end)
            {
                return Some(Found { zone, node, exact: false });
            }
        }
        None
    }

    /// Whether the name from `at` to `end`, which is not known itself, is in no zone of ours. Costs a look-up for each number of labels
    /// that origins have, mostly one.
    fn is_elsewhere(&self, octets: &[u8], mut at: usize, end: usize) -> Option<bool> {
        let mut labels = count_labels(octets.get(at..end)?);
        while labels > 0 {
            at += usize::from(*octets.get(at)?) + 1;
            labels -= 1;
            // Where a name stands, a zone does.
            if self.zone_depths >> labels.min(127) & 1 == 1 && self.named(octets, at, end).is_some() {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The node of exactly the name from `at` to `end`.
    #[inline(always)]
    fn named(&self, octets: &[u8], at: usize, end: usize) -> Option<(u32, Node<'_>)> {
        let mut probe = self.table.probe(self.keys.hash(octets, at, end));
        while let Some(place) = self.table.next(&mut probe) {
            let node = self.node(place)?;
            if node.is_named(octets, at, end - at) {
                return Some((place.zone, node));
            }
        }
        None
    }

    #[inline(always)]
    fn node(&self, place: Place) -> Option<Node<'_>> {
        self.held.get(place.zone as usize)?.octets().node(place.offset as usize)
    }

    /// The slot of a steered name of a zone.
    #[inline]
    fn slot(&self, zone: u32, slot: node::Slot<'_>) -> Option<usize> {
        Some(self.slots.get(zone as usize)? + slot.number as usize)
    }
}

/// What [`Image::find`] finds.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    zone: u32,
    node: Node<'a>,
    exact: bool,
}

/// How many labels a well-formed wire name has, the root's not counted.
fn count_labels(wire: &[u8]) -> usize {
    let mut at = 0;
    let mut labels = 0;
    while let Some(len) = wire.get(at).filter(|len| **len != 0) {
        at += usize::from(*len) + 1;
        labels += 1;
    }
    labels
}
