//! Verdicts and transitions: what is believed, and the record of its changes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drill_report::DrillState;
use super::observation::{CandidateKey, Fault};
use super::readiness::ReadinessState;
use super::time::Time;

/// What is believed of a candidate after many observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Up,
    Impaired,
    Down,
    #[default]
    Unknown,
}

impl Verdict {
    /// The word for it: `up`, `impaired`, `down`, `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Impaired => "impaired",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change that is stored, logged and published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub at: Time,
    #[serde(flatten)]
    pub change: Change,
    /// One line for people: `3 failures in a row, last: status 500`. Names that leave a provider together share theirs.
    pub why: Arc<str>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// A candidate's verdict, or whether it is recovering or ramping.
    Verdict {
        subject: CandidateKey,
        from: Standing,
        to: Standing,
        /// What the last failing probe saw.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
    /// What a name answers.
    Decision {
        /// The steered name.
        subject: Arc<str>,
        /// `bunny 70%, gcore 30%`, or `static`.
        from: Arc<str>,
        to: Arc<str>,
    },
    /// What is believed of a provider as a whole.
    Provider {
        /// The provider's id.
        subject: String,
        from: Verdict,
        to: Verdict,
    },
    /// Whether this vantage believes what it sees.
    Vantage {
        /// `v4`, `v6` or `clock`.
        subject: String,
        from: Trust,
        to: Trust,
    },
    /// Whether a candidate can be relied on at the moment of need.
    Readiness { subject: CandidateKey, from: ReadinessState, to: ReadinessState },
    /// An override was placed, released, or ended by itself.
    Override { id: u64, subject: String, from: OverrideState, to: OverrideState },
    /// A drill began, ended, or did not come about. The id is its record's, the subject the provider.
    Drill { id: u64, subject: String, from: DrillState, to: DrillState },
}

/// A verdict with its shade: `down` and `recovering` are told apart, though both are the verdict down, and so are `up`
/// and `ramping`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Up,
    Impaired,
    Down,
    /// Was down, passes again, its clean window is not over.
    Recovering,
    /// Was down, its clean window is over, its share is growing back.
    Ramping,
    #[default]
    Unknown,
}

impl Standing {
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Up | Self::Ramping => Verdict::Up,
            Self::Impaired => Verdict::Impaired,
            Self::Down | Self::Recovering => Verdict::Down,
            Self::Unknown => Verdict::Unknown,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Ramping => "ramping",
            other => other.verdict().as_str(),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether failures that a vantage sees count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    Trusted,
    /// They count nothing: the vantage itself is at fault.
    Frozen,
}

impl Trust {
    /// The word for it: `trusted`, `frozen`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Frozen => "frozen",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an override is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverrideState {
    Absent,
    InForce,
    /// In force, and it keeps clients on what is down.
    #[serde(rename = "on-down")]
    OnDown,
    Released,
    Expired,
    /// A drill that was ended since something went wrong.
    Aborted,
}
