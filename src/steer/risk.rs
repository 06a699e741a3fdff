//! What would break at the moment of need: one thing each, in words for people, and as a restart keeps it.
//!
//! A reason changes only when something does: it says days, no hours, and names what it is held against.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::time::Time;

/// One thing that would break. The order is that of the table in `readiness`, and of the reasons that people read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    EndsSoon { until: Time, last: bool },
    NotRenewed { until: Time },
    CaaForbids { issuer: String, allowed: Vec<String> },
    ChallengeWanted { by: String, points_to: String },
    ChallengeTaken { wanted: String, points_to: String },
    OtherStatus { status: u16, there: u16, at: String },
    OtherRedirect { to: String, there: String, at: String },
    OtherHsts { hsts: String, there: String, at: String },
    BotRules(BotRules),
}

/// Bot rules that treat probes and browsers unlike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BotRules {
    /// The honest probe fails for this reason, one with a browser's headers passes.
    AgainstTheAgent(String),
    /// One with a browser's headers fails for this reason and has never passed, the honest one passes.
    AgainstBrowsers(String),
}

/// What a restart needs to know of a candidate's readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadinessMemory {
    /// Empty unless it is at risk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// Since when it has been at risk.
    pub since: Time,
    /// Where the certificate was shown that it is at risk for: others may have been renewed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<IpAddr>,
}

impl ReadinessMemory {
    /// Nothing is to be kept.
    pub fn is_empty(&self) -> bool {
        self.risks.is_empty()
    }
}

impl Risk {
    /// When the certificate ends that it is about, if it is about its dates.
    pub(super) fn certificate_ends(&self) -> Option<Time> {
        match self {
            Self::EndsSoon { until, .. } | Self::NotRenewed { until } => Some(*until),
            _ => None,
        }
    }

    /// The kind, in a word: what tells one risk from another while its details change.
    pub fn word(&self) -> &'static str {
        match self {
            Self::EndsSoon { .. } => "ends soon",
            Self::NotRenewed { .. } => "not renewed",
            Self::CaaForbids { .. } => "caa",
            Self::ChallengeWanted { .. } => "challenge wanted",
            Self::ChallengeTaken { .. } => "challenge taken",
            Self::OtherStatus { .. } => "other status",
            Self::OtherRedirect { .. } => "other redirect",
            Self::OtherHsts { .. } => "other hsts",
            Self::BotRules(_) => "bot rules",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsSoon { until, last: false } => write!(f, "its certificate ends on {}", day(*until)),
            Self::EndsSoon { until, last: true } => write!(f, "its certificate ends on {}: used last", day(*until)),
            Self::NotRenewed { until } => write!(
                f,
                "its certificate, which ends on {}, should have been renewed: its provider renews only where the name leads \
                 to it",
                day(*until)
            ),
            Self::CaaForbids { issuer, allowed } if allowed.is_empty() => {
                write!(f, "its certificate is from {issuer}, and CAA allows nobody to issue")
            }
            Self::CaaForbids { issuer, allowed } => {
                write!(f, "its certificate is from {issuer}, and CAA allows only {}", allowed.join(", "))
            }
            Self::ChallengeWanted { by, points_to } => {
                write!(
                    f,
                    "`_acme-challenge` leads to its provider ({points_to}), and {by} wants it too: only one can renew"
                )
            }
            Self::ChallengeTaken { wanted, points_to } => {
                write!(f, "its provider wants `_acme-challenge` to lead to {wanted}, it leads to {points_to}")
            }
            Self::OtherStatus { status, there, at } => write!(f, "status {status}, {at} has {there}"),
            Self::OtherRedirect { to, there, at } => write!(f, "redirects to {to}, {at} to {there}"),
            Self::OtherHsts { hsts, there, at } => write!(f, "Strict-Transport-Security {hsts}, {at} has {there}"),
            Self::BotRules(BotRules::AgainstTheAgent(why)) => {
                write!(f, "the honest probe fails ({why}), a browser's passes")
            }
            Self::BotRules(BotRules::AgainstBrowsers(why)) => {
                write!(f, "a probe with a browser's headers has never passed ({why})")
            }
        }
    }
}

/// The day, UTC. Nothing shorter stands in a reason, so that it changes when something does.
fn day(at: Time) -> String {
    let millis = i64::try_from(at.0).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    millis.map_or_else(|| "a day beyond all calendars".to_owned(), |at| at.strftime("%F").to_string())
}
