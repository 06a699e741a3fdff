//! What is published: one `Arc` that readers load once a batch (design, section 3).

use std::net::IpAddr;
use std::sync::Arc;

use super::Image;
use super::areas::Areas;
use crate::steer::decision::Decision;

/// Everything that answers need. A new one for each change; readers keep theirs as long as they like.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Counts up by one with each change, over restarts too.
    pub generation: u64,
    pub image: Arc<Image>,
    pub flattened: Arc<FlattenedSets>,
    pub selection: Arc<Selection>,
    pub areas: Arc<Areas>,
}

/// The decision in force for each steered name, by its slot in the image.
#[derive(Clone, Debug, Default)]
pub struct Selection(pub Vec<Arc<Decision>>);

/// The addresses that target names resolved to: by slot, then by candidate. Holds an entry for every candidate of a flattened name
/// whose target is a name and has resolved.
#[derive(Clone, Debug, Default)]
pub struct FlattenedSets(pub Vec<Vec<Option<Arc<FlattenedSet>>>>);

/// One target's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlattenedSet {
    /// Sorted, without doubles, not empty.
    pub addresses: Vec<IpAddr>,
    /// Seconds that the target's own TTL allows, 5 at the least.
    pub ttl: u32,
}
