//! Whether the pace of probes is kept, and what holds it up if it is not: counted here, without clock or sockets.
//!
//! Rounds begin in the order in which they fell due, and the next of a check falls due `every` after the last has begun.
//! So where not all can begin in time, all wait alike: `every` stretches for all by the same, and none is left out. What
//! that does to verdicts stands in `docs/VERDICTS.md` ("When the pace cannot be kept").
//!
//! | a window of 10 s is | when |
//! | --- | --- |
//! | late | a tenth of the rounds that began in it, or more, began late: by a tenth of their `every`, and by 250 ms |
//! | late | none began in it, and one has been due for that long |
//! | in time | else |
//!
//! Three late windows in a row, and it is told; one in time, and it is over. A start with very many candidates begins the
//! first rounds of all at once and needs that long to catch up; first rounds are never late.

use std::fmt;
use std::time::Duration;

use super::fault::span;

/// How often it is looked at.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Late windows before it is told.
const WINDOWS: u32 = 3;
/// Late is what is late by this part of `every` ...
const LATE_PART: u32 = 10;
/// ... and by this much.
const LATE_LEAST: Duration = Duration::from_millis(250);
/// One in so many rounds may be late.
const MANY: u64 = 10;

/// What kept rounds from beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// `in_flight`, or the limit of open files.
    InFlight,
    /// This machine has no more time for probes.
    Machine,
    /// The controller is behind with what probes saw.
    Listener,
}

/// The pace is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// How late a round began, at most, in the last window.
    pub by: Duration,
    pub held: Held,
    /// Requests that may be under way at once.
    pub in_flight: usize,
}

/// One line for people.
impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = span(Duration::from_millis(u64::try_from(self.by.as_millis() / 100 * 100).unwrap_or(u64::MAX)));
        write!(f, "probes do not keep their pace and begin up to {by} late: ")?;
        match self.held {
            Held::InFlight => write!(f, "all {} that may be under way at once are (`in_flight`)", self.in_flight),
            Held::Machine => f.write_str("this machine has no time for more"),
            Held::Listener => f.write_str("what they see is not taken in fast enough"),
        }
    }
}

/// What is counted of the window that runs, and what the last ones told.
#[derive(Debug, Default)]
pub struct Pace {
    began: u64,
    late: u64,
    most: Duration,
    held: Option<Held>,
    row: u32,
}

impl Pace {
    /// A paced round begins, so long after it fell due.
    pub fn began(&mut self, late: Duration, every: Duration) {
        self.began += 1;
        if is_late(late, every) {
            self.late += 1;
            self.most = self.most.max(late);
        }
    }

    /// What is due cannot begin for this reason.
    pub fn held(&mut self, by: Held) {
        self.held = Some(by);
    }

    /// A window ends. `waits`: how long what is due first has been. Returns how late rounds were in it, and what is to
    /// be told of it.
    pub fn end_window(&mut self, waits: Duration, in_flight: usize) -> (Duration, Option<Behind>) {
        let Self { began, late, most, held, row } = std::mem::take(self);
        let by = if began == 0 { waits } else { most };
        let is_late = if began == 0 { waits >= WINDOW } else { late > 0 && late * MANY >= began };
        self.row = if is_late { row.saturating_add(1) } else { 0 };
        let held = held.unwrap_or(Held::Machine);
        (by, (self.row >= WINDOWS).then_some(Behind { by, held, in_flight }))
    }
}

fn is_late(late: Duration, every: Duration) -> bool {
    late > LATE_LEAST && late > every / LATE_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_late_is_so_by_a_part_of_its_pace() {
        for (late, every, expected) in [
            (0, 10_000, false),
            (1_000, 10_000, false),
            (1_001, 10_000, true),
            (250, 100, false),
            (251, 100, true),
            (5_000, 60_000, false),
        ] {
            let (late, every) = (Duration::from_millis(late), Duration::from_millis(every));
            assert_eq!(is_late(late, every), expected, "{late:?} of {every:?}");
        }
    }

    #[test]
    fn three_late_windows_are_told_and_one_in_time_ends_it() {
        let mut pace = Pace::default();
        let mut window = |late: u64, in_time: u64| {
            (0..late).for_each(|number| pace.began(SECOND * 2 + SECOND * u32::try_from(number).unwrap_or(0), EVERY));
            (0..in_time).for_each(|_| pace.began(SECOND, EVERY));
            pace.held(Held::InFlight);
            pace.end_window(Duration::ZERO, 256).1
        };
        assert_eq!((window(3, 27), window(3, 27)), (None, None));
        assert_eq!(window(3, 27), Some(Behind { by: SECOND * 4, held: Held::InFlight, in_flight: 256 }));
        assert!(window(1, 0).is_some());
        assert_eq!(window(3, 28), None, "less than a tenth are late");
        assert_eq!((window(1, 0), window(1, 0)), (None, None), "counted anew");
    }

    #[test]
    fn nothing_that_begins_is_late_too() {
        let mut pace = Pace::default();
        let told: Vec<bool> = (0..3)
            .map(|_| {
                pace.held(Held::Listener);
                pace.end_window(WINDOW * 2, 8).1.is_some()
            })
            .collect();
        assert_eq!(told, [false, false, true]);
        // Nothing was due.
        assert_eq!(pace.end_window(Duration::ZERO, 8), (Duration::ZERO, None));
    }

    #[test]
    fn the_line_says_what_holds_it_up() {
        for (held, words) in [
            (Held::InFlight, "late: all 256 that may be under way at once are (`in_flight`)"),
            (Held::Machine, "late: this machine has no time for more"),
            (Held::Listener, "late: what they see is not taken in fast enough"),
        ] {
            let line = Behind { by: Duration::from_millis(12_345), held, in_flight: 256 }.to_string();
            assert!(line.starts_with("probes do not keep their pace and begin up to 12.3 s late"), "{line}");
            assert!(line.ends_with(words), "{line}");
        }
    }
}
