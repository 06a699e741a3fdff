//! One candidate in one address family: the state machine from observations to a standing.
//!
//! ```text
//!                                       more than half of `share` failed
//!                 first pass            ------------------------------>
//!    unknown ---------------------> up  <------------------------------ impaired
//!       |                           ^ |      none of twice `share` failed  |
//!       | `fall` in a row,          | | `fall` in a row, `share`           | the same
//!       | `share`                   | v                                    |
//!       '-------------------------> down <---------------------------------'
//!                                   ^ |
//!          a confirmed failure      | | first pass
//!                                   | v
//!                                recovering --- clean window over ---> ramping --- ramp over ---> up
//!                                   ^                                     |
//!          a confirmed failure      '--------------- down <---------------'
//! ```
//!
//! A failure counts for `fall` only if its probe began after the failure counted before it ended: two addresses probed
//! in one round fail at one moment, and one moment is no row. Why each number is what it is stands in
//! `docs/VERDICTS.md`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observation::{Cause, Family, Fault, Observation, Outcome, Stage};
use super::policy::Candidate;
use super::ramp::{PASSES, Ramp};
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
pub(super) const BRIEF_OUTAGE: Duration = Duration::from_secs(60);
/// ... and not twice within this ...
const BRIEF_ONCE_WITHIN: Duration = Duration::from_secs(3600);
/// ... asks for this window only.
const BRIEF_WINDOW: Duration = Duration::from_secs(120);
/// With its provider impaired or down so many failures in a row are enough: one alone may be a lost packet.
const HASTY_FALL: u32 = 2;
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
    /// Its last outage was brief, and so are its window and its ramp.
    pub brief: bool,
    /// While ramping: how far it has come. While down: how far it had come when it fell.
    pub ramp: Option<Ramp>,
    /// Failures in the window, or in the ramp, that a re-probe did not confirm.
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
    /// A failure in the clean window, or in the ramp, is being looked at again.
    suspect: bool,
    /// Its provider is impaired or down: a failure that is confirmed once is enough.
    pub(super) hasty: bool,
    /// Rounds of probes that have passed on this rung of the ramp.
    passes: u32,
    /// When the last of them ended, or the rung began.
    passed: Time,
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
    /// The clock may have been wrong when the memory was stored: nothing lies in the future but the end of a window, or
    /// of an absolution, and that no further than the longest.
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
        // Whether it is still the origin's fault, new failures tell.
        memory.absolved_until = memory.absolved_until.map(|until| until.min(now.after(LONGEST_WINDOW)));
        memory.ramp = memory.ramp.map(|ramp| ramp.restored(&candidate.judgement, now));
        Self { memory, seen: now, passed: now, ..Self::default() }
    }

    /// A family seen for the first time beside this one, which is down, recovering or ramping: it has to earn its return
    /// alike.
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
            Outcome::Pass { .. } => self.pass(paced, observation, candidate, now),
            Outcome::Fail(fault) => self.fail(paced, observation, fault, candidate, now),
        }
    }

    /// When its clean window ends, or its rung of the ramp, if that is still to come.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        self.memory.clean_until.or(self.ramp().map(|ramp| ramp.until)).filter(|&until| until > now)
    }

    /// Time has come to `now`. A window, or a rung, ends only under watch: after a silence the next pass ends it.
    pub(super) fn tick(&mut self, candidate: &Candidate, now: Time) -> Option<String> {
        if self.last_pass.is_none_or(|pass| now.since(pass) > silence(candidate)) {
            return None;
        }
        if self.window_is_over(now) { Some(self.rise(candidate, now)) } else { self.climb(candidate, now) }
    }

    /// How far it has come, while it ramps.
    pub(super) fn ramp(&self) -> Option<Ramp> {
        self.memory.ramp.filter(|_| self.memory.standing == Standing::Ramping)
    }

    /// It need not ramp. Tells whether it did.
    pub(super) fn end_ramp(&mut self, now: Time) -> bool {
        let ramps = self.memory.standing == Standing::Ramping;
        if ramps {
            self.become_up(now);
        }
        ramps
    }

    /// Its clients were away though it was up all the time: its share grows back as after a window. Tells why, if it does.
    pub(super) fn ramp_up(&mut self, candidate: &Candidate, now: Time) -> Option<String> {
        let ramp = Ramp::begin(&candidate.judgement, false, now).filter(|_| self.memory.standing == Standing::Up)?;
        self.stand(Standing::Ramping, now);
        self.stand_on(Some(ramp), now);
        Some(format!("its provider is no longer down; its share grows back until {}", ramp.ends))
    }

    /// Its fall looked like the origin's fault, for a pass up to `until`.
    pub(super) fn absolve(&mut self, until: Time) {
        if self.memory.standing == Standing::Down {
            self.memory.absolved_until = Some(until);
        }
    }

    fn pass(&mut self, paced: bool, seen: &Observation, candidate: &Candidate, now: Time) -> Step {
        self.in_row = 0;
        self.last_pass = Some(now);
        if self.memory.standing == Standing::Down {
            self.recent.clear();
        }
        if paced {
            self.recent.push(false, &candidate.judgement);
        }
        let why = match self.memory.standing {
            Standing::Unknown => {
                self.become_up(now);
                Some("first pass".to_owned())
            }
            Standing::Up => None,
            Standing::Impaired => self.recent.is_clean(&candidate.judgement).then(|| {
                self.become_up(now);
                format!("none of the last {} paced probes failed", Recent::clean_again(&candidate.judgement))
            }),
            Standing::Down => Some(self.begin_recovery(candidate, now)),
            Standing::Recovering => self.pass_in_window(candidate, now),
            Standing::Ramping => self.pass_in_ramp(seen, candidate, now),
        };
        Step { why, ..Step::default() }
    }

    fn pass_in_window(&mut self, candidate: &Candidate, now: Time) -> Option<String> {
        if std::mem::take(&mut self.suspect)
            && let Some(why) = self.was_not_confirmed("in its clean window", candidate, now)
        {
            return Some(why);
        }
        self.window_is_over(now).then(|| self.rise(candidate, now))
    }

    /// After a failure that was not confirmed the rung's passes are counted anew; two addresses probed in one round are one pass.
    fn pass_in_ramp(&mut self, seen: &Observation, candidate: &Candidate, now: Time) -> Option<String> {
        if std::mem::take(&mut self.suspect) {
            if let Some(why) = self.was_not_confirmed("while it ramped", candidate, now) {
                return Some(why);
            }
            (self.passes, self.passed) = (0, now);
        }
        if seen.began >= self.passed {
            self.passes = self.passes.saturating_add(1);
            self.passed = seen.ended;
        }
        self.climb(candidate, now)
    }

    /// One more failure that a re-probe did not confirm: a fall, if they are too many by now.
    fn was_not_confirmed(&mut self, when: &str, candidate: &Candidate, now: Time) -> Option<String> {
        self.memory.unconfirmed += 1;
        let failed = self.memory.unconfirmed;
        (failed > self.unconfirmed_allowed(candidate, now))
            .then(|| self.fall(format!("{failed} failures {when}, none confirmed, are too many"), now))
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
            Standing::Ramping if self.recent.is_down(rule) => step.why = Some(self.fall_by_share(fault, now)),
            Standing::Recovering | Standing::Ramping if !counts => {}
            standing @ (Standing::Recovering | Standing::Ramping) if self.suspect => {
                let when = if standing == Standing::Ramping { "while it ramped" } else { "in its clean window" };
                let why = format!("failed {when}, and when looked at again: {}", fault.reason);
                step.why = Some(self.fall(why, now));
            }
            Standing::Recovering | Standing::Ramping => {
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
        if self.in_row >= if self.hasty { rule.fall.min(HASTY_FALL) } else { rule.fall } {
            let row = match self.in_row {
                1 => "1 failure".to_owned(),
                many => format!("{many} failures in a row, last"),
            };
            return Some(self.fall(format!("{row}: {reason}"), now));
        }
        if self.recent.is_down(rule) {
            return Some(self.fall_by_share(fault, now));
        }
        (self.memory.standing == Standing::Up && self.recent.is_impaired(rule)).then(|| {
            self.stand(Standing::Impaired, now);
            format!("{failed} of the last {of} paced probes failed, last: {reason}")
        })
    }

    fn fall_by_share(&mut self, fault: &Fault, now: Time) -> String {
        let (failed, of) = self.recent.counts();
        let why = self.fall(format!("{failed} of the last {of} paced probes failed, last: {}", fault.reason), now);
        self.memory.partial = true;
        why
    }

    fn fall(&mut self, why: String, now: Time) -> String {
        let memory = &mut self.memory;
        let relapse = matches!(memory.standing, Standing::Recovering | Standing::Ramping)
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
            return self.take_up_again(candidate, now);
        }
        self.memory.brief = self.was_brief(now);
        let window = self.window(candidate, now);
        let until = now.after(window);
        self.stand(Standing::Recovering, now);
        self.memory.clean_until = Some(until);
        format!("passes again; its clean window ends at {until} if it stays clean ({} s)", window.as_secs())
    }

    /// As it was before its fall, which looked like the origin's fault: up, or on its rung of the ramp.
    fn take_up_again(&mut self, candidate: &Candidate, now: Time) -> String {
        self.memory.doublings = self.memory.doublings.saturating_sub(u8::from(self.memory.relapsed));
        match self.memory.ramp {
            Some(ramp) => {
                self.stand(Standing::Ramping, now);
                self.stand_on(Some(ramp.again(&candidate.judgement, now)), now);
            }
            None => self.become_up(now),
        }
        "passes again; its fall looked like the origin's fault".to_owned()
    }

    /// Whether the outage that ends now was brief, and no other speaks against it.
    fn was_brief(&self, now: Time) -> bool {
        let memory = &self.memory;
        let brief = memory.fell.is_some_and(|fell| now.since(fell) < BRIEF_OUTAGE);
        let twice = match (memory.fell, memory.fell_before) {
            (Some(fell), Some(before)) => fell.since(before) < BRIEF_ONCE_WITHIN,
            _ => false,
        };
        brief && !twice && !memory.partial && !memory.relapsed
    }

    /// How long it must be clean.
    fn window(&self, candidate: &Candidate, now: Time) -> Duration {
        let clean = candidate.judgement.clean;
        let memory = &self.memory;
        if memory.brief {
            return clean.min(BRIEF_WINDOW);
        }
        let doublings = if memory.is_forgiven(now) { 0 } else { memory.doublings };
        let factor = 1_u32.checked_shl(u32::from(doublings)).unwrap_or(u32::MAX);
        clean.saturating_mul(factor).min(LONGEST_WINDOW.max(clean))
    }

    fn window_is_over(&self, now: Time) -> bool {
        !self.suspect && self.memory.clean_until.is_some_and(|until| until <= now)
    }

    /// Of the probes that the window, or the ramp, has room for; a ramp that is held back has room for more.
    fn unconfirmed_allowed(&self, candidate: &Candidate, now: Time) -> u32 {
        let since = self.memory.since;
        let window = match (self.memory.clean_until, self.ramp()) {
            (Some(until), _) => until.since(since),
            (None, Some(ramp)) => now.since(since).max(Ramp::length(&candidate.judgement, ramp.brief)),
            (None, None) => Duration::ZERO,
        };
        let window = window.as_millis();
        let probes = window / candidate.probe.every.as_millis().max(1);
        u32::try_from(probes * u128::from(UNCONFIRMED_PERCENT) / 100).unwrap_or(u32::MAX).max(1)
    }

    /// Its clean window is over: it ramps, or is up.
    fn rise(&mut self, candidate: &Candidate, now: Time) -> String {
        match Ramp::begin(&candidate.judgement, self.memory.brief, now) {
            Some(ramp) => {
                self.stand(Standing::Ramping, now);
                self.stand_on(Some(ramp), now);
                format!("its clean window is over; its share grows back until {}", ramp.ends)
            }
            None => {
                self.become_up(now);
                "its clean window is over".to_owned()
            }
        }
    }

    /// To the next rung of the ramp, if its time has come and its probes have passed. Who waits for its turn need not
    /// pass for it: its window was clean.
    fn climb(&mut self, candidate: &Candidate, now: Time) -> Option<String> {
        let ramp = self.ramp()?;
        if self.suspect || ramp.until > now || (self.passes < PASSES && ramp.percent > 0) {
            return None;
        }
        let next = ramp.climb(&candidate.judgement, now);
        if next.is_some() {
            self.stand_on(next, now);
            return None;
        }
        self.become_up(now);
        Some("its ramp is over".to_owned())
    }

    /// On a rung of the ramp from now on.
    fn stand_on(&mut self, ramp: Option<Ramp>, now: Time) {
        self.memory.ramp = ramp;
        self.passes = 0;
        self.passed = now;
    }

    fn become_up(&mut self, now: Time) {
        if matches!(self.memory.standing, Standing::Recovering | Standing::Ramping) {
            self.memory.returned = Some(now);
        }
        self.stand(Standing::Up, now);
    }

    fn stand(&mut self, standing: Standing, now: Time) {
        self.suspect = false;
        // A fall leaves it, for the case that the origin was at fault.
        if standing != Standing::Down {
            self.memory.ramp = None;
        }
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
