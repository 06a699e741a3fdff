//! Zones as answers: what is compiled, published, and looked up.
//!
//! ```text
//!   zone::record::Zone --build--> Image           new at each reload
//!                                   |
//!   octets --query--> question --table--> node --answer / walk / steered--> octets
//!                                   ^                        ^
//!                                   names, in lower case     Selection, FlattenedSets (published.rs)
//! ```
//!
//! | file | thought |
//! | --- | --- |
//! | `areas` | from a client to its part of the world |
//! | `build` | records become nodes and compiled RRsets |
//! | `table` | names hashed to nodes |
//! | `node` | what stands at a name |
//! | `query` | the octets of a question, read |
//! | `answer` | the function from question to answer: header, EDNS, what is refused |
//! | `walk` | RFC 1034, section 4.3.2: wildcards, CNAME and DNAME chains, referrals, denials |
//! | `steered` | the answers that move |
//! | `subnet` | for whom is asked, and for whom an answer holds (EDNS Client Subnet) |
//! | `writer` | octets of a message, names compressed |
//! | `explain` | the same path, with every step told |

mod answer;
pub mod areas;
mod build;
mod client;
mod explain;
mod node;
pub mod published;
mod query;
mod rdata;
mod steered;
mod subnet;
mod table;
mod walk;
mod writer;

use std::sync::Arc;

pub use self::answer::{Reply, Transport, answer};
pub use self::explain::{Answered, Trace, explain};
use self::node::{Node, Rrset, Slot, Span, ZoneNode};
use self::table::Table;
use crate::steer::policy::SteeredName;
use crate::zone::folder::Contents;
use crate::zone::name::Name;
use crate::zone::record::{Record, Rtype, Zone};

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
    /// Told for `version.bind` and `version.server` in class CH; the first 255 octets.
    pub version: Option<String>,
    /// Told for `id.server` and `hostname.bind` in class CH (RFC 4892); the first 255 octets.
    pub identity: Option<String>,
}

/// All zones, compiled. Never changes.
#[derive(Debug, Default)]
pub struct Image {
    settings: Settings,
    table: Table,
    nodes: Vec<Node>,
    rrsets: Vec<Rrset>,
    /// Compiled RRsets, one after another; [`Span`]s point into it.
    data: Vec<u8>,
    /// Glue of all cuts: indices into `rrsets`, with their owners.
    glue: Vec<node::Glue>,
    zone_nodes: Vec<ZoneNode>,
    slots: Vec<Slot>,
    steered: Vec<Arc<SteeredName>>,
    zones: Vec<Arc<CompiledZone>>,
    broken: Vec<Name>,
}

/// One zone, compiled. Never changes; images share it as long as its content stays.
#[derive(Debug)]
pub struct CompiledZone {
    zone: Zone,
}

impl CompiledZone {
    /// Compiles one zone. Slow for a large one: call it on a thread that may block.
    pub fn compile(zone: Zone) -> Self {
        Self { zone }
    }

    /// In lower case.
    pub fn origin(&self) -> &Name {
        self.zone.records.origin()
    }

    pub fn serial(&self) -> u32 {
        self.zone.serial()
    }

    /// How many records it has, the hidden ones too.
    pub fn len(&self) -> usize {
        self.zone.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, the hidden ones too, the apex's first; owners in lower case.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.zone.records.iter()
    }

    /// What its steering records say, sorted by name.
    pub fn steered(&self) -> &[Arc<SteeredName>] {
        &self.zone.steered
    }
}

impl Contents for CompiledZone {
    fn origin(&self) -> &Name {
        self.origin()
    }

    fn steered(&self) -> &[Arc<SteeredName>] {
        self.steered()
    }

    fn stands(&self, name: &[u8]) -> bool {
        self.zone.stands(name)
    }

    fn has(&self, name: &[u8], rtype: Rtype) -> bool {
        self.zone.has(name, rtype)
    }

    fn alias(&self, name: &[u8], rtype: Rtype) -> Option<Name> {
        self.zone.alias(name, rtype)
    }
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
    /// Compiles zones. `broken` are origins that must answer SERVFAIL since nothing good of them is known. Of two zones with one origin the
    /// first counts. Slow for large zones: call it on a thread that may block.
    pub fn build(zones: &[Arc<CompiledZone>], broken: &[Name], settings: &Settings) -> Self {
        build::build(zones, broken, settings)
    }

    /// The steered names by slot: `Selection` and `FlattenedSets` are indexed alike.
    pub fn slots(&self) -> &[Arc<SteeredName>] {
        &self.steered
    }

    /// The slot of the steered name that stands at exactly this name, case aside.
    pub fn slot_of(&self, name: &Name) -> Option<usize> {
        let found = self.find(name.to_lowercase().as_wire())?;
        if !found.exact {
            return None;
        }
        self.nodes.get(found.node)?.slot()
    }

    /// All zones with their records, the hidden ones too: what transfers are made of.
    pub fn zones(&self) -> &[Arc<CompiledZone>] {
        &self.zones
    }

    /// What is served, broken zones too, sorted by origin.
    pub fn served(&self) -> Vec<ServedZone> {
        let good = self.zones.iter().map(|zone| ServedZone {
            origin: zone.origin().clone(),
            serial: Some(zone.serial()),
            records: zone.len(),
        });
        let broken = self.broken.iter().map(|origin| ServedZone { origin: origin.clone(), serial: None, records: 0 });
        let mut all: Vec<_> = good.chain(broken).collect();
        all.sort_by_cached_key(|zone| zone.origin.to_lowercase());
        all
    }

    /// The node of the longest known name that is `lower` or an ancestor of it; none where no zone holds the name.
    fn find(&self, lower: &[u8]) -> Option<Found> {
        let labels = count_labels(lower);
        let mut from = 0;
        for _ in self.table.max_labels()..labels {
            from += skip_label(lower, from);
        }
        loop {
            let suffix = lower.get(from..)?;
            if let Some(node) = self.table.find(suffix, |node| self.nodes.get(node).map(|node| &*node.name)) {
                return Some(Found { node, exact: from == 0 });
            }
            if suffix.len() <= 1 {
                return None;
            }
            from += skip_label(lower, from);
        }
    }

    fn octets(&self, span: Span) -> &[u8] {
        self.data.get(span.at..span.at + span.len as usize).unwrap_or_default()
    }

    fn rrsets(&self, node: &Node) -> &[Rrset] {
        let start = node.rrsets as usize;
        self.rrsets.get(start..start + usize::from(node.rrset_count)).unwrap_or_default()
    }

    fn rrset(&self, node: &Node, rtype: u16) -> Option<&Rrset> {
        self.rrsets(node).iter().find(|set| set.rtype == rtype)
    }

    /// The records of an RRset: TTL and data apart from it, uncompressed.
    fn rdatas(&self, set: &Rrset) -> impl Iterator<Item = &[u8]> {
        node::rdatas(self.octets(set.raw))
    }
}

/// What [`Image::find`] finds.
#[derive(Clone, Copy, Debug)]
struct Found {
    node: usize,
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

/// The octets of the label at `from`, its length octet counted.
fn skip_label(wire: &[u8], from: usize) -> usize {
    wire.get(from).map_or(1, |len| usize::from(*len) + 1)
}
