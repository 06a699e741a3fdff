//! What a drill leaves behind: a record that an auditor can file.
//!
//! It tells who ordered what, whose clients went where and when they were back, and what happened meanwhile. It is built as
//! the drill goes on, from the decisions before and after each step, so that a crash leaves what was known until then.
//!
//! | when | what is written into it |
//! | --- | --- |
//! | it begins | the answers that it changes: before, meanwhile, and which points of the circle changed hands |
//! | a transition that concerns its names | the transition; decisions of the first step and of the last aside, which are in the answers |
//! | a restart | when |
//! | it ends | how and why, the answers after it, and whether the clients are back |
//!
//! A client belongs to the cohort of a name when its point (a keyed hash of its prefix, `shares`) lies in what changed
//! hands. Prefixes themselves are not known, and not kept: whether one was in is asked of the record ([`DrillReport::of_point`]).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drill_moves::Moved;
use super::overrides::Drill;
use super::time::Time;
use super::transition::{Change, Transition};

/// Transitions of one drill that are kept, the first ones. All are counted.
pub const MOST_EVENTS: usize = 200;
/// Octets that the answers, and the transitions, may take at most in about: a value of the store has a limit, and the
/// record is one.
pub(super) const MOST_OCTETS: usize = 256 << 10;
/// Restarts that are kept.
const MOST_RESTARTS: usize = 20;

/// One drill, or one that did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Counts up by one with each, never used again.
    pub id: u64,
    /// The version of the program that wrote it.
    pub program: String,
    /// The Pointsman that it was at.
    pub vantage: String,
    pub drill: Drill,
    /// As the configuration has it; none where somebody ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    pub author: String,
    pub reason: String,
    /// When it was due, or ordered.
    pub planned: Time,
    /// The override that it was; none where it did not begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Time>,
    /// When it was to end.
    pub until: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    pub state: DrillState,
    /// How it ended, or why it did not begin, in one line; empty while it runs.
    pub why: String,
    /// Tells whether clients are hashed with the same key still.
    #[serde(default)]
    pub key_print: u64,
    /// Names of which it moved clients.
    #[serde(default)]
    pub names: usize,
    /// Answers that it changed, by name and area rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<DrillMove>,
    /// More of them, which are not kept.
    #[serde(default)]
    pub more_moves: usize,
    /// Transitions while it ran that concern its names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Noted>,
    #[serde(default)]
    pub more_events: usize,
    /// When the server began anew while it ran, the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Time>,
    /// Answers to clients are counted from then on: a restart forgets those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_from: Option<Time>,
}

/// Where a drill is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillState {
    Planned,
    Running,
    /// Its time was over.
    Over,
    /// Somebody ended it before.
    Released,
    /// Something went wrong, or another override was placed.
    Aborted,
    /// A restart did not know of its override any longer.
    CutShort,
    /// It would not have been safe.
    DidNotBegin,
    /// The server did not run when it was due.
    Missed,
}

/// How one answer changed, for the clients of one area rule of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillMove {
    pub name: Arc<str>,
    /// What the area rule says (`prefer=eu only=eu`); empty for the plain one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// Whose clients: `clients in eu27`; none where all are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
    /// Whether a client keeps its candidate; else each question is a draw, and no client belongs to a cohort.
    pub sticky: bool,
    /// `bunny 70%, gcore 30%`.
    pub before: String,
    pub during: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// When its clients moved away.
    pub away: Time,
    /// When all of them were back; none where some are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Time>,
    /// One entry for each candidate of the name that held clients before or meanwhile.
    pub held: Vec<Held>,
    /// The points that changed hands, in order.
    pub cohort: Vec<Span>,
}

/// What a candidate held, in points of the circle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub candidate: Arc<str>,
    pub provider: Arc<str>,
    pub before: u32,
    pub during: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Answers that its provider gave for the name under this rule while the drill ran, to all clients. Candidates at one
    /// provider and home are counted together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
}

/// Points that went from one candidate to another; `static` is the owner's own records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub start: u32,
    /// Not in it any longer.
    pub end: u32,
    pub from: Arc<str>,
    pub to: Arc<str>,
}

/// A transition with the id of its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    pub event: u64,
    /// The generation that was published with it.
    pub generation: u64,
    pub transition: Transition,
}

impl DrillState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Over => "over",
            Self::Released => "released",
            Self::Aborted => "aborted",
            Self::CutShort => "cut-short",
            Self::DidNotBegin => "did-not-begin",
            Self::Missed => "missed",
        }
    }

    /// Whether it is a drill that left no proof: it is to be looked at, or made up for.
    pub fn lacks(self) -> bool {
        matches!(self, Self::Aborted | Self::CutShort | Self::DidNotBegin | Self::Missed)
    }
}

impl fmt::Display for DrillState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DrillReport {
    /// It begins: these are the answers that it changed.
    pub fn begin(&mut self, order: u64, moved: Moved, now: Time) {
        (self.state, self.order, self.began, self.counted_from) =
            (DrillState::Running, Some(order), Some(now), Some(now));
        (self.names, self.moves, self.more_moves) = (moved.names, moved.moves, moved.more);
    }

    /// Something happened that concerns its names. Whether it is kept; it is counted anyway.
    pub fn note(&mut self, event: u64, generation: u64, transition: &Transition) -> bool {
        let octets: usize = self.events.iter().map(|noted| octets_of(&noted.transition)).sum();
        if self.events.len() == MOST_EVENTS || octets + octets_of(transition) > MOST_OCTETS {
            self.more_events += 1;
            return false;
        }
        self.events.push(Noted { event, generation, transition: transition.clone() });
        true
    }

    /// The server began anew while it ran.
    pub fn restarted(&mut self, now: Time) {
        if self.restarts.len() < MOST_RESTARTS {
            self.restarts.push(now);
        }
        self.counted_from = Some(now);
    }

    /// It is over, or never began.
    pub fn end(&mut self, state: DrillState, now: Time, why: impl Into<String>) {
        (self.state, self.ended, self.why) = (state, self.began.map(|_| now), why.into());
    }

    /// The answers that moved for clients at this point, and from whom to whom.
    pub fn of_point(&self, point: u32) -> impl Iterator<Item = (&DrillMove, &Span)> {
        let at = move |span: &&Span| (span.start..span.end).contains(&point);
        self.moves.iter().filter_map(move |of| Some((of, of.cohort.iter().find(at)?)))
    }
}

/// What a transition takes in the store in about; names and reasons may hold octets that are escaped.
fn octets_of(transition: &Transition) -> usize {
    let change = match &transition.change {
        Change::Verdict { subject, fault, .. } => {
            subject.name.len() + fault.as_ref().map_or(0, |fault| 100 + fault.reason.len())
        }
        Change::Readiness { subject, .. } => subject.name.len(),
        Change::Decision { subject, from, to } => subject.len() + from.len() + to.len(),
        Change::Provider { subject, .. }
        | Change::Vantage { subject, .. }
        | Change::Override { subject, .. }
        | Change::Drill { subject, .. } => subject.len(),
    };
    200 + 2 * (change + transition.why.len())
}
