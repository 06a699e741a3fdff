//! What fails at one place over time, for one seed: cut into pieces in which the same faults are there.
//!
//! A probe asks what it meets at a moment; visitors ask how many seconds between two moments were lost to them. Both
//! look a piece up by its beginning, so that a history of ten thousand spans costs no more than an outage of one.

use std::sync::Arc;

use super::draw::{Draw, keyed, unit};
use super::incident::{Hits, Span};
use crate::steer::observation::{Family, Stage};
use crate::steer::time::Time;

/// What is wrong at one place.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    /// In order; the first begins with the first fault, the last is empty.
    pieces: Vec<Piece>,
}

/// One fault without a pause.
#[derive(Clone, Debug)]
pub struct Fault {
    from: Time,
    until: Time,
    fails: (f64, f64),
    hits: Hits,
    /// None: both.
    families: Option<Vec<Family>>,
    pub stage: Stage,
    pub status: Option<u16>,
    pub reason: Arc<str>,
}

#[derive(Clone, Debug)]
struct Piece {
    from: Time,
    /// Numbers of faults.
    present: Vec<usize>,
    /// The part of visitors' requests that fail, at its beginning and its end.
    visitors: (f64, f64),
    /// Visitor-seconds lost before it.
    lost: f64,
}

impl Faults {
    /// From spans that concern this place. What comes and goes is drawn by `key`: the same for all who share it.
    pub fn new<'a>(spans: impl Iterator<Item = (&'a Span, &'a str)>, seed: u64) -> Self {
        let mut faults = Vec::new();
        for (span, key) in spans {
            let whole = Fault {
                from: span.from,
                until: span.until,
                fails: span.fails,
                hits: span.hits,
                families: None,
                stage: span.stage,
                status: span.status,
                reason: Arc::clone(&span.reason),
            };
            match span.slots {
                None => faults.push(whole),
                Some((every, chance)) => {
                    let mut number = 0;
                    let mut from = span.from;
                    while from < span.until {
                        let until = from.after(every).min(span.until);
                        if unit(keyed(seed, &["slot", key], span.from.0 ^ number)) < chance {
                            faults.push(whole.within(from, until));
                        }
                        (number, from) = (number + 1, until);
                    }
                }
            }
        }
        Self::cut(faults)
    }

    /// The same for one family alone.
    #[must_use]
    pub fn of_families(mut self, families: &[Family]) -> Self {
        for fault in &mut self.faults {
            fault.families = Some(families.to_vec());
        }
        self
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.faults.extend(others.faults);
        Self::cut(self.faults)
    }

    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// What a probe of a family that begins at a moment meets.
    pub fn meets(&self, at: Time, family: Option<Family>, draw: &mut Draw) -> Option<&Fault> {
        let piece = self.piece(at)?;
        piece.present.iter().filter_map(|&number| self.faults.get(number)).find(|fault| {
            let concerned = fault.hits != Hits::Visitors
                && (family.is_none_or(|family| fault.families.as_ref().is_none_or(|all| all.contains(&family))));
            concerned && draw.unit() < fault.fails_at(at)
        })
    }

    /// The part of visitors' requests that fail at a moment.
    pub fn visitors_at(&self, at: Time) -> f64 {
        self.index(at).map_or(0.0, |index| self.part_at(index, at))
    }

    /// Visitor-seconds lost between two moments, of one visitor who asks all the time.
    pub fn lost(&self, from: Time, until: Time) -> f64 {
        if self.pieces.is_empty() || until <= from { 0.0 } else { self.lost_before(until) - self.lost_before(from) }
    }

    /// From when and until when visitors lose anything.
    pub fn trouble(&self) -> Option<(Time, Time)> {
        let lossy = |piece: &&[Piece]| piece[0].visitors.0 > 0.0 || piece[0].visitors.1 > 0.0;
        let from = self.pieces.windows(2).find(lossy)?[0].from;
        let until = self.pieces.windows(2).rev().find(lossy)?[1].from;
        Some((from, until))
    }

    /// Each fault without a pause: from, until, the largest part that fails, and why.
    pub fn spans(&self) -> impl Iterator<Item = (Time, Time, f64, &str)> {
        self.faults.iter().map(|fault| (fault.from, fault.until, fault.fails.0.max(fault.fails.1), &*fault.reason))
    }

    /// When anything changes next after a moment.
    pub fn next_change(&self, at: Time) -> Option<Time> {
        self.pieces.get(self.pieces.partition_point(|piece| piece.from <= at)).map(|piece| piece.from)
    }

    fn cut(faults: Vec<Fault>) -> Self {
        let mut cuts: Vec<Time> = faults.iter().flat_map(|fault| [fault.from, fault.until]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut begins: Vec<usize> = (0..faults.len()).collect();
        begins.sort_unstable_by_key(|&number| faults[number].from);
        let mut coming = begins.into_iter().peekable();
        let mut present: Vec<usize> = Vec::new();
        let mut pieces: Vec<Piece> = Vec::with_capacity(cuts.len());
        let mut lost = 0.0;
        for (number, &from) in cuts.iter().enumerate() {
            present.retain(|&number| faults[number].until > from);
            while let Some(next) = coming.next_if(|&next| faults[next].from <= from) {
                present.push(next);
            }
            let until = cuts.get(number + 1).copied().unwrap_or(from);
            let visitors = (part(&faults, &present, from), part(&faults, &present, until));
            pieces.push(Piece { from, present: present.clone(), visitors, lost });
            lost += until.since(from).as_secs_f64() * (visitors.0 + visitors.1) / 2.0;
        }
        Self { faults, pieces }
    }

    fn index(&self, at: Time) -> Option<usize> {
        self.pieces.partition_point(|piece| piece.from <= at).checked_sub(1)
    }

    fn piece(&self, at: Time) -> Option<&Piece> {
        self.pieces.get(self.index(at)?)
    }

    fn part_at(&self, index: usize, at: Time) -> f64 {
        let piece = &self.pieces[index];
        let Some(next) = self.pieces.get(index + 1) else { return 0.0 };
        let passed = at.since(piece.from).as_secs_f64() / next.from.since(piece.from).as_secs_f64();
        piece.visitors.0 + (piece.visitors.1 - piece.visitors.0) * passed.min(1.0)
    }

    fn lost_before(&self, at: Time) -> f64 {
        let Some(index) = self.index(at) else { return 0.0 };
        let piece = &self.pieces[index];
        piece.lost + at.since(piece.from).as_secs_f64() * (piece.visitors.0 + self.part_at(index, at)) / 2.0
    }
}

/// The part of visitors' requests that fail with these faults.
fn part(faults: &[Fault], present: &[usize], at: Time) -> f64 {
    let of_visitors =
        present.iter().filter_map(|&number| faults.get(number)).filter(|fault| fault.hits != Hits::Probes);
    1.0 - of_visitors.map(|fault| 1.0 - fault.fails_at(at)).product::<f64>()
}

impl Fault {
    fn within(&self, from: Time, until: Time) -> Self {
        Self { from, until, fails: (self.fails_at(from), self.fails_at(until)), ..self.clone() }
    }

    fn fails_at(&self, at: Time) -> f64 {
        let passed = at.since(self.from).as_secs_f64() / self.until.since(self.from).as_secs_f64();
        self.fails.0 + (self.fails.1 - self.fails.0) * passed.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::replay::incident::Incident;

    fn faults(spans: &str) -> Faults {
        let text = spans.replace("DAY ", "2026-01-01T");
        let incident = Incident::parse(&format!("title = \"x\"\n{text}"), "x", "x").expect("an incident");
        Faults::new(incident.spans.iter().map(|span| (span, "bunny")), 1)
    }

    fn at(seconds: u64) -> Time {
        Time(1_767_261_600_000 + seconds * 1000)
    }

    const HOUR: &str = "[[span]]\nprovider = \"bunny\"\nfrom = \"DAY 10:00:00Z\"\nuntil = \"DAY 11:00:00Z\"\n";

    #[test]
    fn seconds_are_lost_as_the_parts_say() {
        let table = [
            (HOUR.to_owned(), 0, 3600, 3600.0),
            (HOUR.to_owned(), 1800, 5000, 1800.0),
            (format!("{HOUR}fails = 0.5\n"), 0, 3600, 1800.0),
            (format!("{HOUR}fails = 0.5\n{HOUR}fails = 0.5\n"), 0, 3600, 2700.0),
            (format!("{HOUR}fails_at_end = 0.0\n"), 0, 1800, 1350.0),
            (format!("{HOUR}fails_at_end = 0.0\n"), 1800, 9000, 450.0),
            (format!("{HOUR}hits = \"probes\"\n"), 0, 3600, 0.0),
        ];
        for (text, from, until, expected) in table {
            let lost = faults(&text).lost(at(from), at(until));
            assert!((lost - expected).abs() < 1e-6, "{text}{from} to {until}: {lost}");
        }
    }

    #[test]
    fn what_comes_and_goes_is_there_half_of_the_time() {
        let lost: Vec<f64> = (0..200)
            .map(|seed| {
                let text = format!("title = \"x\"\n{HOUR}every = \"5m\"\n").replace("DAY ", "2026-01-01T");
                let incident = Incident::parse(&text, "x", "x").expect("an incident");
                Faults::new(incident.spans.iter().map(|span| (span, "bunny")), seed).lost(at(0), at(3600))
            })
            .collect();
        assert!(lost.iter().all(|lost| lost % 300.0 < 1e-6));
        let mean = lost.iter().sum::<f64>() / 200.0;
        assert!((1650.0..1950.0).contains(&mean), "{mean}");
    }

    #[test]
    fn probes_meet_what_is_there() {
        let faults = faults(&format!("{HOUR}fails = 0.25\nstage = \"connect\"\n"));
        let mut draw = Draw::new(1, "a test");
        let mut met = |second| (0..4000).filter(|_| faults.meets(at(second), None, &mut draw).is_some()).count();
        assert_eq!((met(7200), faults.trouble()), (0, Some((at(0), at(3600)))));
        assert!((900..1100).contains(&met(60)));
    }
}
