//! Observations: what one probe saw.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// Which candidate: a steered name and the candidate's id under it. Written `NAME/CANDIDATE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CandidateKey {
    /// The steered name: presentation format, lower case, absolute (`www.shop.example.`).
    pub name: Arc<str>,
    /// The candidate's id, the provider's where the record gives none (`bunny`).
    pub candidate: Arc<str>,
}

impl fmt::Display for CandidateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.candidate)
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        })
    }
}

/// Why a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The candidate's own pace, `every`.
    Paced,
    /// A failure was seen and is looked at again.
    Reprobe,
    /// A sibling that serves has failed: could the name move here?
    Sibling,
}

/// How far a probe came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The target does not resolve: SERVFAIL, NXDOMAIN, nothing.
    Resolve,
    /// No TCP connection.
    Connect,
    /// No TLS session, or a certificate that is not good for the name.
    Tls,
    /// The time limit ran out.
    Timeout,
    /// A status code that `expect` does not hold, or no HTTP answer at all.
    Status,
    /// A body without its marker, with a forbidden one, or broken off.
    Body,
    /// Right, but slower than `slow`.
    Slow,
}

impl Stage {
    /// As documents, labels and tables write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Body => "body",
            Self::Slow => "slow",
        }
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateFault {
    Expired,
    NotYetValid,
    WrongName,
    UnknownIssuer,
    WrongPurpose,
    Revoked,
    Other,
}

/// Whose page came in the place of the customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageFault {
    /// A test that tells people from bots.
    Challenge,
    /// A refusal.
    Blocked,
    /// The provider does not know the hostname.
    Unclaimed,
}

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub stage: Stage,
    /// The HTTP status code, where one was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageFault>,
    /// One line for people: `status 500`, `certificate expired on 2020-02-01`.
    pub reason: String,
}

impl Fault {
    /// Whether it is the customer's own configuration at this provider that is wrong: a certificate that is not good, or a
    /// hostname that the provider does not know (421, RFC 9110 section 15.5.20, or by the page it shows). Of the provider it
    /// says nothing.
    pub fn is_own_configuration(&self) -> bool {
        self.certificate.is_some() || self.status == Some(421) || self.page == Some(PageFault::Unclaimed)
    }

    /// Whether a certificate is expired or not yet valid.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self.certificate, Some(CertificateFault::Expired | CertificateFault::NotYetValid))
    }

    /// Whether two faults look alike from outside: the same stage and the same class of status (`5xx`).
    pub fn is_like(&self, other: &Self) -> bool {
        self.stage == other.stage && self.status.map(|s| s / 100) == other.status.map(|s| s / 100)
    }
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// All was as the probe rule asks; from the first SYN to the last byte that was needed.
    Pass {
        latency: Duration,
    },
    Fail(Fault),
}

/// What one probe saw, from one vantage, at one time, and how long that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub candidate: CandidateKey,
    /// The place that the probe was sent from.
    pub vantage: Arc<str>,
    pub cause: Cause,
    /// The address that was probed; none where the target did not resolve.
    pub address: Option<IpAddr>,
    pub began: Time,
    pub ended: Time,
    /// After this span from `ended` it says nothing any more.
    pub holds: Duration,
    pub outcome: Outcome,
}
