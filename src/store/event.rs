//! Events: the history of transitions, newest first, by pages.

use serde::{Deserialize, Serialize};

use super::failure::StoreError;
use super::kept::Event;
use super::key::{EntryKey, Kind};
use super::value::{self, Illegible, Joining};
use crate::steer::time::Time;
use crate::steer::transition::{Change, Transition};

/// Events that one query looks at; a query that finds too little among them says where to go on.
pub const EVENTS_SCANNED: usize = 20_000;
/// The longest page.
pub const EVENTS_LIMIT: usize = 1_000;

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events of this subject, as it is written there; a name also means its candidates (`NAME/CANDIDATE`).
    pub subject: Option<String>,
    /// Only this kind: `verdict`, `decision`, `provider`, `vantage`, `readiness`, `override`, `drill`.
    pub kind: Option<String>,
    /// Not before this time.
    pub since: Option<Time>,
    /// Before this time.
    pub until: Option<Time>,
    /// Only events with a lower id.
    pub before: Option<u64>,
    /// At most this many; below 1 is taken as 1, above 1,000 as 1,000.
    pub limit: usize,
}

impl EventFilter {
    /// Whether the event is asked for; the page aside.
    pub fn takes(&self, event: &Event) -> bool {
        let at = event.transition.at;
        self.kind.as_deref().is_none_or(|kind| kind == kind_of(&event.transition.change))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.subject.as_deref().is_none_or(|subject| is_about(&event.transition.change, subject))
    }
}

/// Some events, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsPage {
    pub events: Vec<Event>,
    /// `before` for the next page; none where there is no older event. A page may be short, even empty, and yet have
    /// a next one.
    pub next: Option<u64>,
}

/// An event's entry: version, its time (8), this as JSON. The time stands apart so that trimming need not read the
/// rest. The id is in the key alone: a transition of an override has an `id` too, and stands beside it in the JSON of
/// an `Event`.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEvent {
    generation: u64,
    transition: Transition,
}

impl StoredEvent {
    pub(super) fn encode(event: &Event) -> Result<Vec<u8>, serde_json::Error> {
        let mut octets = vec![value::VERSION];
        octets.extend(event.transition.at.0.to_le_bytes());
        let stored = Self { generation: event.generation, transition: event.transition.clone() };
        serde_json::to_writer(&mut octets, &stored)?;
        Ok(octets)
    }

    pub(super) fn decode(id: u64, octets: &[u8]) -> Result<Event, Illegible> {
        let (_, json) = Self::split(octets)?;
        let stored: Self = serde_json::from_slice(json).map_err(|why| Illegible::Content(why.to_string()))?;
        Ok(Event { id, generation: stored.generation, transition: stored.transition })
    }

    /// When it was.
    pub(super) fn time(octets: &[u8]) -> Result<Time, Illegible> {
        Ok(Self::split(octets)?.0)
    }

    pub(super) fn check_version(octets: &[u8]) -> Result<(), Illegible> {
        Self::split(octets).map(drop)
    }

    fn split(octets: &[u8]) -> Result<(Time, &[u8]), Illegible> {
        match octets.split_first() {
            Some((&value::VERSION, rest)) => {
                let (time, json) = rest.split_first_chunk::<8>().ok_or(Illegible::Incomplete)?;
                Ok((Time(u64::from_le_bytes(*time)), json))
            }
            Some((&other, _)) => Err(Illegible::Version(other)),
            None => Err(Illegible::Incomplete),
        }
    }
}

/// Looks through the history from its newest end.
pub(super) fn page(tree: &sled::Tree, filter: &EventFilter) -> Result<EventsPage, StoreError> {
    let limit = filter.limit.clamp(1, EVENTS_LIMIT);
    let newest = filter.before.map_or(u64::MAX, |before| before.saturating_sub(1));
    let mut page = EventsPage::default();
    for (scanned, entry) in Backwards::from(tree, newest).enumerate() {
        let (id, octets) = entry.map_err(|why| StoreError::Gone(why.to_string()))?;
        if page.events.len() == limit || scanned == EVENTS_SCANNED {
            page.next = Some(id + 1);
            break;
        }
        // One that cannot be read was reported when the store opened.
        let Some(event) = octets.and_then(|octets| StoredEvent::decode(id, &octets).ok()) else { continue };
        if filter.takes(&event) {
            page.events.push(event);
        }
    }
    Ok(page)
}

/// Entries of events by falling id: the id, and the octets unless pieces are missing.
pub(super) struct Backwards {
    pieces: sled::Iter,
    /// Pieces of one event, the last first.
    gathered: Vec<(u32, sled::IVec)>,
}

impl Backwards {
    pub(super) fn from(tree: &sled::Tree, newest: u64) -> Self {
        let bounds = EntryKey::event(0).piece(0)..=EntryKey::event(newest).piece(u32::MAX);
        Self { pieces: tree.range(bounds), gathered: Vec::new() }
    }
}

impl Iterator for Backwards {
    type Item = sled::Result<(u64, Option<Vec<u8>>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.gathered.clear();
        let mut sound = true;
        loop {
            let (key, piece) = match self.pieces.next_back()? {
                Ok(pair) => pair,
                Err(why) => return Some(Err(why)),
            };
            let Some((entry, number)) = EntryKey::of_piece(&key) else { continue };
            sound &= value::is_sound(&key, &piece);
            self.gathered.push((number, piece));
            if number == 0 {
                let id = entry.number().unwrap_or(0);
                return Some(Ok((id, sound.then(|| self.join()).flatten())));
            }
        }
    }
}

impl Backwards {
    fn join(&self) -> Option<Vec<u8>> {
        let mut joining = Joining::default();
        self.gathered.iter().rev().for_each(|(number, piece)| joining.add(*number, piece));
        joining.finish()
    }
}

/// The oldest events that are to go: those with an id below `lowest`, or from before `horizon`; at most `most`.
pub(super) fn oldest(tree: &sled::Tree, lowest: u64, horizon: Time, most: usize) -> sled::Result<Trim> {
    let mut trim = Trim::default();
    for pair in tree.scan_prefix([Kind::Event as u8]) {
        let (key, piece) = pair?;
        let Some((entry, number)) = EntryKey::of_piece(&key) else { continue };
        if number == 0 {
            let stays_from = first_to_stay(&entry, &piece, lowest, horizon);
            if stays_from.is_some() || trim.events == most {
                trim.rest = stays_from;
                return Ok(trim);
            }
            trim.events += 1;
        }
        trim.keys.push(key.to_vec());
    }
    Ok(trim)
}

/// What `oldest` found.
#[derive(Debug, Default)]
pub(super) struct Trim {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) events: usize,
    /// Id and time of the oldest event that stays, where it was reached.
    pub(super) rest: Option<(u64, Time)>,
}

fn first_to_stay(entry: &EntryKey, piece: &[u8], lowest: u64, horizon: Time) -> Option<(u64, Time)> {
    let id = entry.number()?;
    let mut joining = Joining::default();
    joining.add(0, piece);
    // An event of a newer version tells no time; it goes by its number alone.
    let time = StoredEvent::time(joining.begun()).unwrap_or(Time(u64::MAX));
    (id >= lowest && time >= horizon).then_some((id, time))
}

fn kind_of(change: &Change) -> &'static str {
    match change {
        Change::Verdict { .. } => "verdict",
        Change::Decision { .. } => "decision",
        Change::Provider { .. } => "provider",
        Change::Vantage { .. } => "vantage",
        Change::Readiness { .. } => "readiness",
        Change::Override { .. } => "override",
        Change::Drill { .. } => "drill",
    }
}

fn is_about(change: &Change, asked: &str) -> bool {
    let within = |subject: &str| {
        subject.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && rest.len() > 1))
    };
    match change {
        Change::Verdict { subject, .. } | Change::Readiness { subject, .. } => match asked.strip_prefix(&*subject.name)
        {
            Some("") => true,
            Some(rest) => rest.strip_prefix('/') == Some(&*subject.candidate),
            None => false,
        },
        Change::Decision { subject, .. } => within(subject),
        Change::Provider { subject, .. }
        | Change::Vantage { subject, .. }
        | Change::Override { subject, .. }
        | Change::Drill { subject, .. } => within(subject),
    }
}
