//! What others ask of the controller: bounded channel in, one-shot reply out.

use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};

use super::drills::view::{DrillError, DrillFilter, DrillPage, DrillView};
use super::jurisdiction::Jurisdiction;
use super::past::PastExplanation;
use super::view::{
    BlastRadius, EventPage, Explanation, NameView, OverrideView, Overview, ProviderView, ReloadReport, ZoneView,
};
use crate::steer::overrides::Order;
use crate::steer::time::Time;
pub use crate::store::{EventFilter, ServedQuery, StoreError};

/// The way to the controller.
pub type Sender = mpsc::Sender<Request>;
/// The way back.
pub type Reply<T> = oneshot::Sender<T>;

/// One question or order. A reply whose receiver is gone is dropped without a word.
#[derive(Debug)]
pub enum Request {
    Overview(Reply<Overview>),
    Providers(Reply<Vec<ProviderView>>),
    /// All steered names, or the one given (presentation format; case and the final dot do not matter).
    Names(Option<String>, Reply<Vec<NameView>>),
    Zones(Reply<Vec<ZoneView>>),
    Explain(ExplainQuery, Reply<Result<Explanation, ExplainError>>),
    /// What a name (as it is kept: lower case, absolute) answered at a time.
    ExplainPast(String, Time, Reply<Result<PastExplanation, StoreError>>),
    /// Newest first.
    Events(EventFilter, Reply<EventPage>),
    /// Who answered for how long.
    Jurisdiction(ServedQuery, Reply<Result<Jurisdiction, StoreError>>),
    /// What is scheduled, and records of drills, newest first.
    Drills(DrillFilter, Reply<DrillPage>),
    /// One of them; with a client, whether that was in it.
    Drill(u64, Option<IpNet>, Reply<Result<DrillView, DrillError>>),
    Overrides(Reply<Vec<OverrideView>>),
    Place(NewOverride, Reply<Result<OverrideView, OverrideError>>),
    /// What it would move, if it were placed; nothing changes.
    Rehearse(NewOverride, Reply<Result<BlastRadius, OverrideError>>),
    Release(Release, Reply<Result<Vec<OverrideView>, OverrideError>>),
    /// Read configuration and zones again; the reply comes when what was good is published.
    Reload(Reply<ReloadReport>),
}

/// `GET /v1/explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainQuery {
    pub name: String,
    /// `A` if the question gives none.
    pub rtype: String,
    /// An address is a prefix of all its bits.
    pub client: IpNet,
}

/// Why there is no explanation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error("`{0}` is not a domain name")]
    BadName(String),
    #[error("`{0}` is not a record type")]
    BadType(String),
    #[error("no zone here holds `{0}`")]
    NotOurs(String),
}

/// An order that is to become an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOverride {
    pub order: Order,
    pub author: String,
    pub reason: String,
    pub until: Option<Time>,
    /// A drain that takes so long.
    pub over: Option<Duration>,
}

/// Which overrides are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub which: ReleaseWhich,
    pub author: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseWhich {
    Id(u64),
    /// As it was given when the override was placed: `bunny`, `www.shop.example./bunny`, a glob, `everything`.
    Subject(String),
}

/// Why an override was not placed or released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    #[error("{0} matches no candidate")]
    NoSuchSubject(String),
    #[error("{name} has no candidate `{candidate}`: it has {}", .has.join(", "))]
    NoSuchCandidate { name: String, candidate: String, has: Vec<String> },
    #[error("{0} is not a steered name here")]
    NotSteered(String),
    #[error("no override {0} is in force")]
    NotInForce(String),
    #[error("`only` of {name} forbids {candidate}")]
    Forbidden { name: String, candidate: String },
    #[error("{0} is neither a steered name here nor a zone that has some")]
    NoSuchDomain(String),
    #[error("{subject} could mean {}: write which", .meant.join(" or "))]
    Ambiguous { subject: String, meant: Vec<String> },
    #[error("the override would end before it begins")]
    EndsInThePast,
    #[error("the drain would end before it has drained: `over` is longer than what is left until its end")]
    EndsWhileDraining,
    #[error("the drill would not be safe: {0}")]
    Unsafe(String),
    #[error("there are {0} overrides in force already, which is the limit")]
    TooMany(usize),
}
