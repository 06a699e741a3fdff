//! What is known of a name's own origin, where its policy says how to ask it (`origin=`).
//!
//! | the origin, since the fault began | what follows |
//! | --- | --- |
//! | never passed, as far as is known | it is no evidence: a firewall may let nobody in but the providers |
//! | was asked less than 5 s ago | the name waits |
//! | failed, not more than 30 s ago | it is the origin's fault: nothing moves |
//! | fails for 10 min longer than the fault lasts, and another candidate passes | it is no excuse: its certificate may have ended long ago |
//! | passes again, less than 5 s ago | the name waits: its candidates are being asked whether they do |
//! | passed | it is not the origin's fault |
//! | nobody has answered | the name moves as one without `origin=` |
//!
//! It is asked at the first pass of a candidate, so that its failure says something; at the first failure of a candidate
//! that serves; and while it fails, every 10 s.

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
