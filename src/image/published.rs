//! What is published: one `Arc` that readers load once a batch (design, section 3).

use std::net::IpAddr;
use std::sync::Arc;

use super::Image;
use super::areas::Areas;
use crate::steer::areas::AreaRules;
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

/// The decisions in force for each steered name, by its slot in the image.
#[derive(Clone, Debug, Default)]
pub struct Selection(pub Vec<Selected>);

/// The decisions in force for one steered name.
#[derive(Clone, Debug)]
pub struct Selected {
    /// That of the plain area rule.
    pub plain: Arc<Decision>,
    /// None where all clients are under the plain rule: then nobody needs to know where they are.
    pub areas: Option<Arc<SelectedAreas>>,
}

/// The decisions of a name that answers some places differently.
#[derive(Clone, Debug)]
pub struct SelectedAreas {
    /// Which place of the published [`Areas`] leads to which rule.
    pub rules: Arc<AreaRules>,
    /// By the number of the area rule, the plain one too.
    pub decisions: Vec<Arc<Decision>>,
}

impl From<Arc<Decision>> for Selected {
    fn from(plain: Arc<Decision>) -> Self {
        Self { plain, areas: None }
    }
}

impl SelectedAreas {
    /// The number of the area rule for the clients of a place, and its decision. None where the parts do not fit together.
    pub fn at(&self, place: u16) -> Option<(usize, &Arc<Decision>)> {
        let rule = self.rules.at(place);
        Some((rule, self.decisions.get(rule)?))
    }
}

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
