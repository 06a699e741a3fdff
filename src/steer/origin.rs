//! What is known of a name's own origin, where its policy says how to ask it (`origin=`).
//!
//! This table is the test's table too. Its examples are in seconds since the fault of a candidate began: `passes@-60` is an inquiry of
//! the origin that began and ended then, `asked@0` one that is under way since, `now@4` the moment that the row is about.
//!
//! | the origin | for example | what follows | asked again |
//! | --- | --- | --- | --- |
//! | was never asked | now@2 | nothing | no |
//! | has never passed: a firewall may let nobody in but the providers | fails@-60 asked@0 fails@1 now@2 | nothing | no |
//! | was asked less than 5 s ago | passes@-60 asked@0 now@4 | the name waits | no |
//! | ... and has never passed | fails@-60 asked@0 now@4 | nothing | no |
//! | was asked 5 s ago | passes@-60 asked@0 now@5 | nothing | no |
//! | failed before the fault began alone | passes@-60 fails@-1 now@2 | nothing | no |
//! | fails | passes@-60 asked@0 fails@1 now@2 | it is the origin's fault | at 10 |
//! | failed 30 s ago | passes@-60 asked@0 fails@1 now@31 | it is the origin's fault | at 10 |
//! | failed longer ago | passes@-60 asked@0 fails@1 now@32 | nothing | at 10 |
//! | has failed for 10 min before | passes@-700 fails@-600 asked@0 fails@1 now@2 | it is the origin's fault | at 10 |
//! | ... for longer: its certificate may have ended long ago | passes@-700 fails@-601 asked@0 fails@1 now@2 | its fault where no other candidate passes | at 10 |
//! | ... but with a pass in between | passes@-700 fails@-601 passes@-300 asked@0 fails@1 now@2 | it is the origin's fault | at 10 |
//! | passes again, less than 5 s ago: are those back that failed with it? | passes@-60 asked@0 fails@1 asked@10 passes@11 now@15 | the name waits | no |
//! | passes again, 5 s ago | passes@-60 asked@0 fails@1 asked@10 passes@11 now@16 | it is not the origin's fault | no |
//! | passes | passes@-60 asked@0 passes@1 now@2 | it is not the origin's fault | no |
//! | failed in an inquiry that began before one that passed | passes@-60 passes@2 fails@1 now@3 | it is not the origin's fault | no |
//!
//! Where nothing follows the name moves as one without `origin=`. It is asked at the first pass of a candidate, so that its
//! failure says something; at the first failure of a candidate that serves; and while it fails, every 10 s.

use std::time::Duration;

use super::observation::Outcome;
use super::time::Time;

/// A name waits so long for what its origin says: the longest that an inquiry may take, and some.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// A finding older than this says nothing of now.
const HOLDS: Duration = Duration::from_secs(30);
/// While it fails it is asked at this pace.
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// Caches hide an origin's fault for a while. One that began so much earlier is not what made a candidate fall.
const HIDDEN_FOR: Duration = Duration::from_secs(600);

/// One name's origin.
#[derive(Clone, Debug, Default)]
pub(super) struct OriginWatch {
    /// An inquiry is under way since.
    asked: Option<Time>,
    asked_last: Option<Time>,
    has_passed: bool,
    /// It passes again since.
    back: Option<Time>,
    seen: Option<Seen>,
    /// It has failed in a row since.
    fails_from: Option<Time>,
    /// The moment that the questions below are about.
    now: Time,
}

#[derive(Clone, Debug)]
struct Seen {
    began: Time,
    ended: Time,
    fault: Option<String>,
}

impl OriginWatch {
    /// The moment is this one from now on.
    pub(super) fn look(&mut self, now: Time) {
        self.now = now;
    }

    /// Whether it should be asked now; it is taken to be.
    pub(super) fn ask(&mut self, now: Time) -> bool {
        let due = self.asked.is_none_or(|asked| now.since(asked) >= WAITED_FOR);
        if due {
            (self.asked, self.asked_last) = (Some(now), Some(now));
        }
        due
    }

    /// Whether nothing has been asked yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.asked_last.is_none()
    }

    /// What came of asking it. Tells whether it passes again.
    pub(super) fn found(&mut self, began: Time, ended: Time, outcome: &Outcome) -> bool {
        if self.seen.as_ref().is_some_and(|seen| seen.began > began) {
            return false;
        }
        self.asked = None;
        let fault = match outcome {
            Outcome::Pass { .. } => None,
            Outcome::Fail(fault) => Some(fault.reason.clone()),
        };
        let failed = self.has_passed && self.seen.as_ref().is_some_and(|seen| seen.fault.is_some());
        let is_back = failed && fault.is_none();
        self.back = is_back.then_some(ended);
        self.has_passed |= fault.is_none();
        self.fails_from = fault.is_some().then(|| self.fails_from.unwrap_or(began));
        self.seen = Some(Seen { began, ended, fault });
        is_back
    }

    /// What it fails with, if it does since `began`.
    pub(super) fn fails_since(&self, began: Time) -> Option<&str> {
        let seen = self.seen.as_ref().filter(|seen| seen.began >= began && self.now.since(seen.ended) <= HOLDS)?;
        seen.fault.as_deref().filter(|_| self.has_passed)
    }

    /// Whether it has failed for so long that a fault that began then is another one.
    pub(super) fn failed_long_before(&self, began: Time) -> bool {
        self.fails_from.is_some_and(|from| from.after(HIDDEN_FOR) < began)
    }

    pub(super) fn passes_since(&self, began: Time) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.began >= began && seen.fault.is_none())
    }

    /// Whether a word of it is still to be waited for, or of those that failed with it.
    pub(super) fn is_awaited(&self) -> bool {
        self.waits_until().is_some_and(|until| self.now < until)
    }

    /// Whether it fails and is to be asked again. It is taken to be.
    pub(super) fn asks_again(&mut self, now: Time) -> bool {
        self.again_at().is_some_and(|at| at <= now) && self.ask(now)
    }

    /// When time alone changes something.
    pub(super) fn due(&self) -> Option<Time> {
        self.waits_until().filter(|&waits| waits > self.now).or_else(|| self.again_at())
    }

    fn waits_until(&self) -> Option<Time> {
        let asked = self.asked.filter(|_| self.has_passed);
        asked.max(self.back).map(|from| from.after(WAITED_FOR))
    }

    fn again_at(&self) -> Option<Time> {
        let fails = self.has_passed && self.seen.as_ref().is_some_and(|seen| seen.fault.is_some());
        self.asked_last.filter(|_| fails).map(|asked| asked.after(ASKED_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::seen;
    use super::super::observation::{Cause, Family};
    use super::*;

    /// When the fault began.
    const BEGAN: Time = Time(1_764_892_800_000);

    fn second(text: &str) -> Time {
        let seconds: i64 = text.parse().expect("seconds");
        let span = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { BEGAN.before(span) } else { BEGAN.after(span) }
    }

    fn example(text: &str) -> OriginWatch {
        let mut origin = OriginWatch::default();
        let fault = seen(0, Some(Family::V4), Cause::Paced, Some(503), BEGAN).outcome;
        for event in text.split_whitespace() {
            let (word, when) = event.split_once('@').expect("a word and when");
            let now = second(when);
            match word {
                "asked" => assert!(origin.ask(now), "{text}"),
                "passes" => drop(origin.found(now, now, &Outcome::Pass { latency: Duration::ZERO })),
                "fails" => drop(origin.found(now, now, &fault)),
                "now" => origin.look(now),
                other => panic!("no word of the table: {other}"),
            }
        }
        origin
    }

    /// As `blame` and `answering` ask.
    fn follows(origin: &OriginWatch) -> &'static str {
        match () {
            () if origin.fails_since(BEGAN).is_some() && origin.failed_long_before(BEGAN) => {
                "its fault where no other candidate passes"
            }
            () if origin.fails_since(BEGAN).is_some() => "it is the origin's fault",
            () if origin.is_awaited() => "the name waits",
            () if origin.passes_since(BEGAN) => "it is not the origin's fault",
            () => "nothing",
        }
    }

    #[test]
    fn the_table_holds() {
        let rows: Vec<&str> = include_str!("origin.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("the origin |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 16);
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let mut origin = example(cells[1]);
            assert_eq!(follows(&origin), cells[2], "{row}");
            match cells[3].strip_prefix("at ") {
                None => assert!(!origin.asks_again(second("9999")), "{row}"),
                Some(when) => {
                    let when = second(when);
                    assert!(!origin.asks_again(when.before(Duration::from_millis(1))), "{row}");
                    assert!(origin.asks_again(when), "{row}");
                    assert!(!origin.asks_again(when), "it is under way: {row}");
                }
            }
        }
    }

    /// What time changes is due when it changes.
    #[test]
    fn what_waits_is_due_when_it_has_waited() {
        for (text, due) in [
            ("now@2", None),
            ("passes@-60 asked@0 now@4", Some("5")),
            ("passes@-60 asked@0 now@5", None),
            ("passes@-60 asked@0 fails@1 now@2", Some("10")),
            ("passes@-60 asked@0 fails@1 asked@10 passes@11 now@12", Some("16")),
        ] {
            assert_eq!(example(text).due(), due.map(second), "{text}");
        }
    }
}
