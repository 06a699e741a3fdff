//! One candidate's judgement: observations in, a standing out.

use serde::{Deserialize, Serialize};

use super::time::Time;
use super::transition::Standing;

/// What a restart needs to know of a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateMemory {
    pub standing: Standing,
    pub since: Time,
}
