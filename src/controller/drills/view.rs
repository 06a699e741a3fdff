//! Records of drills as documents, and whether a client was in one.

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::PlannedDrill;
use crate::controller::task::Task;
use crate::controller::view::EventView;
use crate::controller::{timestamp, views};
use crate::image::client_point;
use crate::steer::drill_report::{DrillMove, DrillReport, Held, Noted, Span};
use crate::steer::shares::POINTS;
use crate::steer::time::Time;
use crate::store::kept::Event;

/// `GET /v1/drills`: what is scheduled, and records, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrillPage {
    pub planned: Vec<PlannedView>,
    pub drills: Vec<DrillLine>,
    /// `before` for the next page; none at the end.
    pub next: Option<u64>,
}

/// A drill that the configuration schedules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedView {
    pub provider: String,
    /// How much of its clients, in percent.
    pub share_percent: f64,
    /// How long.
    pub seconds: f64,
    /// As the configuration has it.
    pub at: String,
    pub reason: String,
    /// When it is due; none where that was the last time.
    pub next: Option<Timestamp>,
}

/// One drill in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillLine {
    pub id: u64,
    pub provider: String,
    pub share_percent: f64,
    /// `running`, `over`, `released`, `aborted`, `cut-short`, `did-not-begin`, `missed`.
    pub state: String,
    /// How it ended, or why it did not begin; empty while it runs.
    pub why: String,
    /// When it was due, or ordered.
    pub planned: Timestamp,
    pub began: Option<Timestamp>,
    /// When it is to end, or was.
    pub until: Timestamp,
    pub ended: Option<Timestamp>,
    pub author: String,
    pub reason: String,
    /// As the configuration had it; none where somebody ordered it.
    pub schedule: Option<String>,
    /// The id of the override that it was.
    #[serde(rename = "override")]
    pub order: Option<u64>,
    /// Names of which it moved clients.
    pub names: usize,
}

/// `GET /v1/drills/{id}`: all that is kept of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillView {
    #[serde(flatten)]
    pub drill: DrillLine,
    /// The version of the program that wrote it.
    pub program: String,
    pub vantage: String,
    /// Answers that it changed, the first 200 by name.
    pub moves: Vec<DrillMoveView>,
    pub more_moves: usize,
    /// Transitions while it ran that concern its names, the first 200.
    pub events: Vec<EventView>,
    pub more_events: usize,
    /// When the server began anew while it ran.
    pub restarts: Vec<Timestamp>,
    /// Answers are counted from then on: a restart forgets those before.
    pub counted_from: Option<Timestamp>,
    /// Whether the client that was asked about was in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<DrillClientView>,
}

/// How one answer changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillMoveView {
    pub name: String,
    /// What the area rule says: `prefer=eu only=eu`; none for clients without one of their own.
    pub rule: Option<String>,
    /// Whose clients these are: `clients in eu27`; none where all are alike.
    pub clients: Option<String>,
    /// Whether clients keep their candidate; else each question is a draw, and no client belongs to a cohort.
    pub sticky: bool,
    /// `bunny 70%, gcore 30%`.
    pub before: String,
    pub during: String,
    pub after: Option<String>,
    /// How many of these clients moved, 0 to 1.
    pub share: f64,
    /// When they moved away, and when all of them were back.
    pub away: Timestamp,
    pub back: Option<Timestamp>,
    pub candidates: Vec<HeldView>,
    /// The points of the circle that changed hands; a client's point is a keyed hash of its prefix (/24, /56), of 65,536.
    pub cohort: Vec<Span>,
}

/// What one candidate held, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldView {
    pub id: String,
    pub provider: String,
    pub before: f64,
    pub during: f64,
    pub after: Option<f64>,
    /// Answers that its provider gave for the name under this rule while the drill ran, to all of its clients.
    pub answers: Option<u64>,
}

/// What a drill was to one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillClientView {
    pub client: String,
    /// What is hashed of it: a /24 or a /56.
    pub prefix: String,
    /// Where that stands on the circle, 0 to 65,535. None where it is not known any longer.
    pub point: Option<u32>,
    /// Names of which it was with another candidate.
    pub moved: Vec<ClientMove>,
    /// How far this can be relied on, a line each.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMove {
    pub name: String,
    pub from: String,
    pub to: String,
    pub away: Timestamp,
    pub back: Option<Timestamp>,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrillFilter {
    /// Only those with a lower id.
    pub before: Option<u64>,
    pub limit: usize,
}

/// Why a record is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrillError {
    #[error("there is no record of a drill {0}; the latest 200 are kept")]
    NoSuchDrill(u64),
    #[error("{client} is wider than what clients are told apart by: give a /{least} or longer, or an address")]
    TooWide { client: IpNet, least: u8 },
}

impl Task {
    pub(in crate::controller) fn drills(&self, filter: DrillFilter) -> DrillPage {
        let before = filter.before.unwrap_or(u64::MAX);
        let mut reports = self.drills.reports.range(..before).rev().map(|(_, report)| report);
        let drills: Vec<DrillLine> = reports.by_ref().take(filter.limit).map(line).collect();
        let next = reports.next().and_then(|_| drills.last().map(|line| line.id));
        DrillPage { planned: self.planned_drills(), drills, next }
    }

    pub(in crate::controller) fn planned_drills(&self) -> Vec<PlannedView> {
        self.drills.plan.all().map(|(planned, next)| planned_view(planned, next)).collect()
    }

    pub(in crate::controller) fn running_drill(&self) -> Option<DrillLine> {
        self.drills.running().map(line)
    }

    pub(in crate::controller) fn drill(&self, id: u64, client: Option<IpNet>) -> Result<DrillView, DrillError> {
        let report = self.drills.reports.get(&id).ok_or(DrillError::NoSuchDrill(id))?;
        let client = client.map(|client| self.client_of(report, client)).transpose()?;
        let event = |noted: &Noted| {
            let Noted { event: id, generation, transition } = noted.clone();
            views::event(&Event { id, generation, transition })
        };
        Ok(DrillView {
            drill: line(report),
            program: report.program.clone(),
            vantage: report.vantage.clone(),
            moves: report.moves.iter().map(move_view).collect(),
            more_moves: report.more_moves,
            events: report.events.iter().map(event).collect(),
            more_events: report.more_events,
            restarts: report.restarts.iter().copied().map(timestamp).collect(),
            counted_from: report.counted_from.map(timestamp),
            client,
        })
    }

    /// Whether a client was in it. Its area is looked up as it is known now.
    fn client_of(&self, report: &DrillReport, client: IpNet) -> Result<DrillClientView, DrillError> {
        let address = client.addr().to_canonical();
        let (point, least) = client_point(self.client_key, address);
        // An IPv4 address in IPv6 (RFC 4291, section 2.5.5.2) has 96 bits before it.
        let length =
            if address == client.addr() { client.prefix_len() } else { client.prefix_len().saturating_sub(96) };
        if length < least {
            return Err(DrillError::TooWide { client, least });
        }
        let prefix = IpNet::new(address, least).map_or_else(|_| address.to_string(), |net| net.trunc().to_string());
        let mut view = DrillClientView {
            client: if length == IpNet::from(address).prefix_len() { address.to_string() } else { client.to_string() },
            prefix,
            point: Some(point),
            moved: Vec::new(),
            notes: Vec::new(),
        };
        if report.key_print != self.drills.key_print {
            view.point = None;
            view.notes.push("clients are hashed with another key since: whether it was in cannot be told".to_owned());
            return Ok(view);
        }
        let place = self.areas.areas.place(address);
        let mut by_area = false;
        for (of, span) in report.of_point(point) {
            let rule = self.steering.areas(&of.name).filter(|areas| !areas.is_plain());
            by_area |= rule.is_some() || !of.rule.is_empty();
            let rule = rule.and_then(|areas| areas.rule(areas.at(place)));
            let says = rule.map_or_else(String::new, |rule| rule.terms().to_string());
            if of.sticky && says == of.rule {
                let (name, from, to) = (of.name.to_string(), span.from.to_string(), span.to.to_string());
                let (away, back) = (timestamp(of.away), of.back.map(timestamp));
                view.moved.push(ClientMove { name, from, to, away, back });
            }
        }
        if by_area {
            view.notes.push("which area it is in is looked up as it is known now".to_owned());
        }
        let drawn = report.moves.iter().filter(|of| !of.sticky).count();
        if drawn > 0 {
            view.notes.push(format!("{drawn} of the answers are a draw for each question: nobody belongs to them"));
        }
        if report.more_moves > 0 {
            view.notes.push(format!("{} more answers changed, which are not kept one by one", report.more_moves));
        }
        Ok(view)
    }
}

fn planned_view(planned: &PlannedDrill, next: Option<Time>) -> PlannedView {
    PlannedView {
        provider: planned.drill.provider.to_string(),
        share_percent: percent(planned.drill.per_mille),
        seconds: planned.span.as_secs_f64(),
        at: planned.schedule.to_string(),
        reason: planned.reason.clone(),
        next: next.map(timestamp),
    }
}

fn line(report: &DrillReport) -> DrillLine {
    DrillLine {
        id: report.id,
        provider: report.drill.provider.to_string(),
        share_percent: percent(report.drill.per_mille),
        state: report.state.to_string(),
        why: report.why.clone(),
        planned: timestamp(report.planned),
        began: report.began.map(timestamp),
        until: timestamp(report.until),
        ended: report.ended.map(timestamp),
        author: report.author.clone(),
        reason: report.reason.clone(),
        schedule: report.schedule.clone(),
        order: report.order,
        names: report.names,
    }
}

fn move_view(of: &DrillMove) -> DrillMoveView {
    let held = |held: &Held| HeldView {
        id: held.candidate.to_string(),
        provider: held.provider.to_string(),
        before: share(held.before),
        during: share(held.during),
        after: held.after.map(share),
        answers: held.answers,
    };
    DrillMoveView {
        name: of.name.to_string(),
        rule: Some(of.rule.clone()).filter(|rule| !rule.is_empty()),
        clients: of.whose.clone(),
        sticky: of.sticky,
        before: of.before.clone(),
        during: of.during.clone(),
        after: of.after.clone(),
        share: share(of.cohort.iter().map(|span| span.end - span.start).sum()),
        away: timestamp(of.away),
        back: of.back.map(timestamp),
        candidates: of.held.iter().map(held).collect(),
        cohort: of.cohort.clone(),
    }
}

fn share(points: u32) -> f64 {
    f64::from(points) / f64::from(POINTS)
}

fn percent(per_mille: u16) -> f64 {
    f64::from(per_mille) / 10.0
}
