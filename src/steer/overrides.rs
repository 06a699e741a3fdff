//! Overrides: an operator's word that outranks verdicts.
//!
//! | override | subject | effect |
//! | --- | --- | --- |
//! | drain | a provider, a candidate, or a glob over `NAME/CANDIDATE` | these candidates do not answer |
//! | pin | one candidate | its name answers with it alone, whatever its verdict |
//! | freeze | everything | decisions stay as they are |
//!
//! Each has an author, a reason and may have an expiry. `only` stands above them: a pin that `only` forbids has no effect.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::observation::CandidateKey;
use super::time::Time;

/// One override in force, or one that has been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Unique, never used again; given by the controller, counting up from 1.
    pub id: u64,
    #[serde(flatten)]
    pub order: Order,
    pub author: String,
    pub reason: String,
    pub placed: Time,
    /// When it ends by itself; never, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What an override orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "order", content = "subject")]
pub enum Order {
    Drain(DrainSubject),
    Pin(CandidateKey),
    Freeze,
}

/// What a drain empties.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainSubject {
    /// All candidates of one provider.
    Provider(Arc<str>),
    /// One candidate.
    Candidate(CandidateKey),
    /// All candidates whose `NAME/CANDIDATE` the pattern matches: `*` any run of characters, `?` any one.
    Glob(String),
}
