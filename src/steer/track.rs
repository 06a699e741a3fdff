//! One candidate in one address family: the state machine from observations to a standing.
//!
//! ```text
//!                                           half of `share` failed
//!                 first pass            ------------------------------>
//!    unknown ---------------------> up  <------------------------------ impaired
//!       |                           ^ |         none of `share` failed     |
//!       | `fall` in a row,          | | `fall` in a row, `share`           | the same
//!       | `share`                   | v                                    |
//!       '-------------------------> down <---------------------------------'
//!                                   ^ |
//!          a confirmed failure      | | first pass
//!                                   | v
//!                                recovering --- clean window over ---> up
//! ```
//!
//! A failure counts for `fall` only if its probe began after the failure counted before it ended: two addresses probed
//! in one round fail at one moment, and one moment is no row. Why each number is what it is stands in
//! `docs/VERDICTS.md`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observation::{Cause, Family, Fault, Observation, Outcome, Stage};
use super::policy::Candidate;
use super::recent::Recent;
use super::time::Time;
use super::transition::Standing;

/// Pause before the first re-probe of a run, and before each one after a fault that a server has answered with.
const REPROBE_PAUSE: Duration = Duration::from_secs(1);
/// Longest clean window, unless `clean` itself is longer.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);
/// A fall this soon after recovering began, or after the return, is a relapse.
const RELAPSE_WITHIN: Duration = Duration::from_secs(3600);
/// After this long without a fall the window is a single `clean` again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(86_400);
/// Down for less than this ...
const BRIEF_OUTAGE: Duration = Duration::from_secs(60);
/// ... and not twice within this ...
const BRIEF_ONCE_WITHIN: Duration = Duration::from_secs(3600);
/// ... asks for this window only.
const BRIEF_WINDOW: Duration = Duration::from_secs(120);
/// Share of the window's probes, in percent, that may fail without being confirmed.
const UNCONFIRMED_PERCENT: u64 = 5;

/// What a restart needs to know of one track. Changes with its standing and little else, so that it is seldom written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackMemory {
    /// None as long as the target has never resolved.
    pub family: Option<Family>,
    pub standing: Standing,
    pub since: Time,
    /// When it fell last, and the time before.
    pub fell: Option<Time>,
    pub fell_before: Option<Time>,
    /// It fell by `share`, so a single pass says little.
    pub partial: bool,
    /// It fell again in its clean window, or soon after its return: then no fall is brief.
    pub relapsed: bool,
    /// When it returned to up last.
    pub returned: Option<Time>,
    /// How often the clean window has been doubled.
    pub doublings: u8,
    /// End of the clean window, while recovering.
    pub clean_until: Option<Time>,
    /// Failures in the window that a re-probe did not confirm.
    pub unconfirmed: u32,
    /// Its fall looked like the origin's fault: a pass up to this time brings it back without a window.
    pub absolved_until: Option<Time>,
}

impl TrackMemory {
    /// Whether its last fall is so long ago that the window is a single `clean` again.
    fn is_forgiven(&self, now: Time) -> bool {
        self.fell.is_some_and(|fell| now.since(fell) >= FORGIVEN_AFTER)
    }
}

/// One candidate in one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    pub(super) memory: TrackMemory,
    pub(super) in_row: u32,
    /// When the first failing probe of the last run of failures began.
    pub(super) run_began: Option<Time>,
    pub(super) recent: Recent,
    /// When an observation of this family came last.
    pub(super) seen: Time,
    last_pass: Option<Time>,
    /// When the failure that was counted last ended.
    counted: Time,
    /// A failure in the clean window is being looked at again.
    suspect: bool,
}

/// What one observation did to a track.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Why its standing changed, if it did.
    pub(super) why: Option<String>,
    /// A re-probe is wanted after this pause.
    pub(super) reprobe: Option<Duration>,
    /// This was the first failure of a run.
    pub(super) first_failure: bool,
}

impl Track {
    pub(super) fn new(family: Option<Family>, now: Time) -> Self {
        Self { memory: TrackMemory { family, since: now, ..TrackMemory::default() }, seen: now, ..Self::default() }
    }

    /// Taken up after a restart. Time that nobody watched is no clean time: a window has at least the brief one left.
    /// The clock may have been wrong when the memory was stored: nothing lies in the future but the end of a window, and
    /// that no further than the longest.
    pub(super) fn restored(mut memory: TrackMemory, candidate: &Candidate, now: Time) -> Self {
        let clean = candidate.judgement.clean;
        let (least, most) = (now.after(BRIEF_WINDOW.min(clean)), now.after(LONGEST_WINDOW.max(clean)));
        memory.clean_until = memory.clean_until.map(|until| until.max(least).min(most));
        memory.since = memory.since.min(now);
        memory.returned = memory.returned.map(|returned| returned.min(now));
        // When it fell is not known then; that it was a brief outage is not to be believed.
        let known = |fell: Time| if fell > now { now.before(BRIEF_OUTAGE) } else { fell };
        memory.fell = memory.fell.map(known);
        memory.fell_before = memory.fell_before.map(known);
        Self { memory, seen: now, ..Self::default() }
    }

    /// A family seen for the first time beside this one, which is down or recovering: it has to earn its return alike.
    pub(super) fn for_sibling_family(&self, family: Family, now: Time) -> Self {
        let memory = TrackMemory { family: Some(family), ..self.memory };
        Self { memory, seen: now, recent: Recent::default(), last_pass: None, ..self.clone() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.memory.standing
    }

    pub(super) fn observe(&mut self, observation: &Observation, candidate: &Candidate, now: Time) -> Step {
        self.seen = now;
        let paced = observation.cause == Cause::Paced;
        match &observation.outcome {
            Outcome::Pass { .. } => self.pass(paced, candidate, now),
            Outcome::Fail(fault) => self.fail(paced, observation, fault, candidate, now),
        }
    }

    /// When its clean window ends, if that is still to come.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        self.memory.clean_until.filter(|&until| until > now)
    }

    /// Time has come to `now`. A window ends only under watch: after a silence the next pass ends it.
    pub(super) fn tick(&mut self, candidate: &Candidate, now: Time) -> Option<String> {
        let watched = self.last_pass.is_some_and(|pass| now.since(pass) <= silence(candidate));
        (watched && self.window_is_over(now)).then(|| self.rise(now))
    }

    /// Its fall looked like the origin's fault, for a pass up to `until`.
    pub(super) fn absolve(&mut self, until: Time) {
        if self.memory.standing == Standing::Down {
            self.memory.absolved_until = Some(until);
        }
    }

    fn pass(&mut self, paced: bool, candidate: &Candidate, now: Time) -> Step {
        self.in_row = 0;
        self.last_pass = Some(now);
        if self.memory.standing == Standing::Down {
            self.recent.clear();
        }
        if paced {
            self.recent.push(false, &candidate.judgement);
        }
        let why = match self.memory.standing {
            Standing::Unknown => Some(self.become_up("first pass".to_owned(), now)),
            Standing::Up => None,
            Standing::Impaired => self.recent.is_clean(&candidate.judgement).then(|| {
                let (_, of) = self.recent.counts();
                self.become_up(format!("none of the last {of} paced probes failed"), now)
            }),
            Standing::Down => Some(self.begin_recovery(candidate, now)),
            Standing::Recovering => self.pass_in_window(candidate, now),
        };
        Step { why, ..Step::default() }
    }

    fn pass_in_window(&mut self, candidate: &Candidate, now: Time) -> Option<String> {
        if std::mem::take(&mut self.suspect) {
            self.memory.unconfirmed += 1;
            if self.memory.unconfirmed > self.unconfirmed_allowed(candidate) {
                let failed = self.memory.unconfirmed;
                return Some(
                    self.fall(format!("{failed} failures in its clean window, none confirmed, are too many"), now),
                );
            }
        }
        self.window_is_over(now).then(|| self.rise(now))
    }

    fn fail(&mut self, paced: bool, seen: &Observation, fault: &Fault, candidate: &Candidate, now: Time) -> Step {
        let rule = &candidate.judgement;
        if paced {
            self.recent.push(true, rule);
        }
        let first_failure = self.in_row == 0;
        let counts = first_failure || seen.began >= self.counted;
        if first_failure {
            self.run_began = Some(seen.began);
        }
        if counts {
            self.in_row = self.in_row.saturating_add(1);
            self.counted = seen.ended;
        }
        let mut step = Step { first_failure, ..Step::default() };
        match self.memory.standing {
            Standing::Down => {}
            Standing::Recovering if !counts => {}
            Standing::Recovering if self.suspect => {
                let why = format!("failed in its clean window, and when looked at again: {}", fault.reason);
                step.why = Some(self.fall(why, now));
            }
            Standing::Recovering => {
                self.suspect = true;
                step.reprobe = Some(REPROBE_PAUSE);
            }
            Standing::Up | Standing::Impaired | Standing::Unknown => {
                step.why = self.weigh(fault, candidate, now);
                step.reprobe =
                    (counts && self.memory.standing != Standing::Down).then(|| pause(fault.stage, self.in_row));
            }
        }
        step
    }

    /// A failure of a candidate that is not down: is it down now, or impaired?
    fn weigh(&mut self, fault: &Fault, candidate: &Candidate, now: Time) -> Option<String> {
        let rule = &candidate.judgement;
        let (failed, of) = self.recent.counts();
        let reason = &fault.reason;
        if self.in_row >= rule.fall {
            let row = match self.in_row {
                1 => "1 failure".to_owned(),
                many => format!("{many} failures in a row, last"),
            };
            return Some(self.fall(format!("{row}: {reason}"), now));
        }
        if self.recent.is_down(rule) {
            let why = self.fall(format!("{failed} of the last {of} paced probes failed, last: {reason}"), now);
            self.memory.partial = true;
            return Some(why);
        }
        (self.memory.standing == Standing::Up && self.recent.is_impaired(rule)).then(|| {
            self.stand(Standing::Impaired, now);
            format!("{failed} of the last {of} paced probes failed, last: {reason}")
        })
    }

    fn fall(&mut self, why: String, now: Time) -> String {
        let memory = &mut self.memory;
        let relapse = memory.standing == Standing::Recovering
            || memory.returned.is_some_and(|returned| now.since(returned) < RELAPSE_WITHIN);
        if memory.is_forgiven(now) {
            memory.doublings = 0;
        }
        memory.doublings = memory.doublings.saturating_add(u8::from(relapse));
        memory.relapsed = relapse;
        memory.fell_before = memory.fell.replace(now);
        memory.partial = false;
        self.stand(Standing::Down, now);
        why
    }

    fn begin_recovery(&mut self, candidate: &Candidate, now: Time) -> String {
        if self.memory.absolved_until.is_some_and(|until| now <= until) {
            return self.become_up("passes again; its fall looked like the origin's fault".to_owned(), now);
        }
        let window = self.window(candidate, now);
        let until = now.after(window);
        self.stand(Standing::Recovering, now);
        self.memory.clean_until = Some(until);
        format!("passes again; up at {until} if it stays clean ({} s)", window.as_secs())
    }

    /// How long it must be clean.
    fn window(&self, candidate: &Candidate, now: Time) -> Duration {
        let clean = candidate.judgement.clean;
        let memory = &self.memory;
        let brief = memory.fell.is_some_and(|fell| now.since(fell) < BRIEF_OUTAGE);
        let twice = match (memory.fell, memory.fell_before) {
            (Some(fell), Some(before)) => fell.since(before) < BRIEF_ONCE_WITHIN,
            _ => false,
        };
        if brief && !twice && !memory.partial && !memory.relapsed {
            return clean.min(BRIEF_WINDOW);
        }
        let doublings = if memory.is_forgiven(now) { 0 } else { memory.doublings };
        let factor = 1_u32.checked_shl(u32::from(doublings)).unwrap_or(u32::MAX);
        clean.saturating_mul(factor).min(LONGEST_WINDOW.max(clean))
    }

    fn window_is_over(&self, now: Time) -> bool {
        !self.suspect && self.memory.clean_until.is_some_and(|until| until <= now)
    }

    fn unconfirmed_allowed(&self, candidate: &Candidate) -> u32 {
        let until = self.memory.clean_until.unwrap_or(self.memory.since);
        let window = until.since(self.memory.since).as_millis();
        let probes = window / candidate.probe.every.as_millis().max(1);
        u32::try_from(probes * u128::from(UNCONFIRMED_PERCENT) / 100).unwrap_or(u32::MAX).max(1)
    }

    fn rise(&mut self, now: Time) -> String {
        self.become_up("its clean window is over".to_owned(), now)
    }

    fn become_up(&mut self, why: String, now: Time) -> String {
        if self.memory.standing == Standing::Recovering {
            self.memory.returned = Some(now);
        }
        self.stand(Standing::Up, now);
        why
    }

    fn stand(&mut self, standing: Standing, now: Time) {
        self.suspect = false;
        let memory = &mut self.memory;
        memory.standing = standing;
        memory.since = now;
        memory.clean_until = None;
        memory.unconfirmed = 0;
        memory.absolved_until = None;
    }
}

/// After this long without an observation a family is no longer watched: three rounds, and the limit of one probe.
pub(super) fn silence(candidate: &Candidate) -> Duration {
    candidate.probe.every.saturating_mul(3).saturating_add(candidate.probe.timeout)
}

/// The pause before the next re-probe. Where a server answered, asking again costs little and tells at once; where
/// none did, the network may need a moment.
fn pause(stage: Stage, in_row: u32) -> Duration {
    match stage {
        Stage::Status | Stage::Body | Stage::Tls | Stage::Slow => REPROBE_PAUSE,
        Stage::Connect | Stage::Timeout | Stage::Resolve => REPROBE_PAUSE * (1 << in_row.saturating_sub(1).min(2)),
    }
}
