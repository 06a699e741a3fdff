//! What is asked besides candidates once something fails: evidence for whose fault it is.
//!
//! The core says what it wants to know (`Effects::inquiries`); what came of it is handed in as a [`Finding`].

use std::sync::Arc;

use super::observation::{Family, Outcome};
use super::time::Time;

/// What to ask, at once and once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Inquiry {
    /// The origin of this steered name, by the URL that its policy gives (`origin=`).
    Origin(Arc<str>),
    /// The vantage's anchors in one address family: hosts that no configured provider carries. They fail together only
    /// where the vantage's own network does.
    Anchors(Family),
}

/// What an inquiry found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub inquiry: Inquiry,
    pub began: Time,
    pub ended: Time,
    /// For anchors a failure means that too few of them answered; its reason names those that did not.
    pub outcome: Outcome,
}
