//! One candidate's judgement: observations in, a standing out.
//!
//! A candidate is judged in each address family that it is probed in, by itself (`track`), and this table makes one
//! standing of two. It is the test's table too. The order of the two does not matter; `leaves out` is the family that
//! address answers do without. `alone` marks what is impaired in one family alone, which answers like up.
//!
//! | one | other | candidate | leaves out |
//! | --- | --- | --- | --- |
//! | up | up | up | |
//! | up | impaired | impaired | |
//! | up | down | impaired alone | other |
//! | up | recovering | impaired alone | other |
//! | up | ramping | up | |
//! | up | unknown | up | |
//! | impaired | impaired | impaired | |
//! | impaired | down | impaired | other |
//! | impaired | recovering | impaired | other |
//! | impaired | ramping | impaired | |
//! | impaired | unknown | impaired | |
//! | down | down | down | |
//! | down | recovering | recovering | one |
//! | down | ramping | ramping | one |
//! | down | unknown | down | |
//! | recovering | recovering | recovering | |
//! | recovering | ramping | ramping | one |
//! | recovering | unknown | recovering | |
//! | ramping | ramping | ramping | |
//! | ramping | unknown | ramping | |
//! | unknown | unknown | unknown | |
//!
//! A family ramps only while no other serves: where one is up or impaired, the clients are there already, and the return
//! of the other moves nobody. Of two that ramp the one that has come further says how far the candidate has.
//!
//! A family is tracked once an observation with an address of it has come, and no longer when none came for three
//! rounds while the other was seen. An observation without an address (the target does not resolve) counts for every
//! tracked family; where none is tracked yet it is kept on a track without a family, which the first family takes over.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::listening::Heard;
use super::observation::{Family, Fault, Observation, Outcome};
use super::policy::Candidate;
pub use super::ramp::Ramp;
use super::readiness::ReadinessMemory;
use super::tally::{COUNTED_FOR, Entry, Fallen, FaultClass, TOGETHER};
use super::time::Time;
use super::together::Outage;
use super::track::Track;
pub use super::track::TrackMemory;
pub(super) use super::track::silence as silence_of;
use super::transition::{Standing, Verdict as Believed};

/// What a restart needs to know of a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CandidateMemory {
    pub standing: Standing,
    pub since: Time,
    /// One for each tracked family.
    pub tracks: Vec<TrackMemory>,
    /// Of the target and the probe rule that it was judged by; with others it starts anew.
    pub fingerprint: u64,
    /// When it fell last, if that counts for its provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fell_with_provider: Option<Time>,
    /// Until when it was up before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_until: Option<Time>,
    /// It counts as fallen for its provider.
    pub fallen: bool,
    /// What would break at the moment of need.
    #[serde(skip_serializing_if = "ReadinessMemory::is_empty")]
    pub readiness: ReadinessMemory,
}

/// A candidate as it stands now: what views and explanations show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateState {
    pub standing: Standing,
    pub since: Time,
    /// The most of all tracked families.
    pub failures_in_row: u32,
    /// Of the last paced probes: how many failed, of how many, over all tracked families.
    pub recent: (u32, u32),
    /// When a probe passed last.
    pub last_pass: Option<Time>,
    pub last_latency: Option<Duration>,
    pub last_fault: Option<SeenFault>,
    /// When its clean window ends, while it recovers; the later one of two.
    pub clean_until: Option<Time>,
    /// How far its share has grown back, while it ramps.
    pub ramp: Option<Ramp>,
    /// Each tracked family with its own standing.
    pub families: Vec<(Family, Standing)>,
    /// The family that address answers leave out.
    pub left_out: Option<Family>,
    /// Why it counts as down though it has not fallen itself: `provider cloudflare is down (...)`.
    pub counts_as_down: Option<String>,
    memory: CandidateMemory,
}

impl CandidateState {
    /// What a restart needs to know.
    pub fn memory(&self) -> CandidateMemory {
        self.memory.clone()
    }

    /// The same; readiness is known beside the judgement.
    pub(super) fn with_readiness(mut self, readiness: ReadinessMemory) -> Self {
        self.memory.readiness = readiness;
        self
    }
}

/// A failure that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFault {
    pub at: Time,
    pub address: Option<IpAddr>,
    pub fault: Fault,
}

/// A fall of a candidate that was up before.
#[derive(Clone, Debug)]
pub(super) struct Fell {
    pub(super) at: Time,
    /// Until when it was up before: a relapse in its clean window makes it no longer.
    pub(super) up_until: Time,
    /// When its failures began.
    pub(super) began: Time,
    /// Not known any more after a restart.
    pub(super) fault: Option<Fault>,
    /// Whether it counts for its provider; none as long as that cannot be told.
    pub(super) counts: Option<bool>,
}

/// The standing of a candidate over its families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) standing: Standing,
    /// Impaired in one address family alone.
    pub(super) alone: bool,
    pub(super) left_out: Option<Family>,
    /// The last probe of a family that is not down has failed.
    pub(super) failing: bool,
    /// How far its share has grown back, while it ramps.
    pub(super) ramp: Option<Ramp>,
}

/// One candidate under judgement.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    tracks: Vec<Track>,
    fingerprint: u64,
    pub(super) summary: Summary,
    pub(super) since: Time,
    /// Probes that began before were about another target, or another rule.
    created: Time,
    /// The standing before this one.
    previous: Standing,
    /// A probe has been seen since the start.
    pub(super) observed: bool,
    /// Of the families' last runs of failures the later one began then.
    run_began: Option<Time>,
    /// When the passing probe that began last began; when the last one ended, and its latency.
    last_pass: Option<(Time, Time, Duration)>,
    pub(super) last_fault: Option<SeenFault>,
    /// The fault that the present standing came from.
    pub(super) fault_of_standing: Option<Fault>,
    /// The re-probe that was asked for last.
    asked: Option<Time>,
    /// Taken up or begun anew, and not as it is stored.
    pub(super) unsaved: bool,
    /// The standing that it had by another rule or at another target, until that is told.
    pub(super) lost: Option<Standing>,
    /// Its last fall from being up.
    pub(super) fell: Option<Fell>,
    /// What it adds to its provider's account now.
    pub(super) entry: Entry,
    /// It counts as down by its provider.
    pub(super) outage: Option<Arc<Outage>>,
}

/// What one observation, or time, did to a candidate.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) change: Option<StandingChange>,
    pub(super) reprobe: Option<Time>,
    /// The first failure of a run, in any family.
    pub(super) first_failure: bool,
    /// It was down in all families and passed.
    pub(super) revived: bool,
    pub(super) remember: bool,
    /// What the name decides by has changed.
    pub(super) matters: bool,
    /// The families that fell: which, and what was remembered of each before.
    pub(super) fell: Vec<TrackMemory>,
}

/// A candidate's standing changed.
#[derive(Debug)]
pub(super) struct StandingChange {
    pub(super) from: Standing,
    pub(super) to: Standing,
    pub(super) why: String,
    pub(super) fault: Option<Fault>,
}

impl Judge {
    pub(super) fn new(candidate: &Candidate, now: Time) -> Self {
        Self {
            tracks: Vec::new(),
            fingerprint: fingerprint(candidate),
            summary: Summary::default(),
            since: now,
            created: now,
            previous: Standing::Unknown,
            observed: false,
            run_began: None,
            last_pass: None,
            last_fault: None,
            fault_of_standing: None,
            asked: None,
            unsaved: false,
            lost: None,
            fell: None,
            entry: Entry::default(),
            outage: None,
        }
    }

    /// In the place of one with this standing that was judged by another rule or at another target.
    pub(super) fn anew(before: Standing, candidate: &Candidate, now: Time) -> Self {
        let lost = (before != Standing::Unknown).then_some(before);
        Self { unsaved: true, lost, ..Self::new(candidate, now) }
    }

    /// The same where another provider answers for it: what the one before had to do with it says nothing of this one.
    pub(super) fn at_another_provider(&self) -> Self {
        Self { fell: None, outage: None, entry: Entry::default(), unsaved: true, ..self.clone() }
    }

    /// Taken up after a restart; anew where it was judged by another rule or at another target.
    pub(super) fn restored(memory: &CandidateMemory, candidate: &Candidate, now: Time) -> Self {
        let mut judge = Self::new(candidate, now);
        if memory.fingerprint != judge.fingerprint {
            return Self::anew(memory.standing, candidate, now);
        }
        if !memory.tracks.is_empty() {
            judge.tracks = memory.tracks.iter().take(2).map(|&track| Track::restored(track, candidate, now)).collect();
            judge.since = memory.since.min(now);
            judge.summary = judge.summarise();
        }
        let fell = memory.fell_with_provider.filter(|_| judge.summary.standing.verdict() == Believed::Down);
        judge.fell = fell.map(|fell| {
            let began = fell.min(now);
            let up_until = memory.up_until.map_or(began, |until| until.min(began));
            // What counted when the server stopped counts until others have had time to be heard.
            let at = if memory.fallen { now } else { began };
            Fell { at, up_until, began, fault: None, counts: Some(true) }
        });
        judge.unsaved = judge.memory() != CandidateMemory { readiness: ReadinessMemory::default(), ..memory.clone() };
        judge
    }

    pub(super) fn memory(&self) -> CandidateMemory {
        let fell = self.fell.as_ref().filter(|fell| fell.counts == Some(true));
        CandidateMemory {
            standing: self.summary.standing,
            since: self.since,
            tracks: self.tracks.iter().map(|track| track.memory).collect(),
            fingerprint: self.fingerprint,
            fell_with_provider: fell.map(|fell| fell.at),
            up_until: fell.map(|fell| fell.up_until),
            fallen: fell.is_some() && self.entry.fallen.is_some(),
            readiness: ReadinessMemory::default(),
        }
    }

    pub(super) fn state(&self) -> CandidateState {
        let recent = self.tracks.iter().map(|track| track.recent.counts()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        CandidateState {
            standing: self.summary.standing,
            since: self.since,
            failures_in_row: self.tracks.iter().map(|track| track.in_row).max().unwrap_or(0),
            recent,
            last_pass: self.last_pass.map(|(_, ended, _)| ended),
            last_latency: self.last_pass.map(|(_, _, latency)| latency),
            last_fault: self.last_fault.clone(),
            clean_until: self.clean_until(),
            ramp: self.summary.ramp,
            families: self.tracks.iter().filter_map(|t| Some((t.memory.family?, t.standing()))).collect(),
            left_out: self.summary.left_out,
            counts_as_down: self.outage.as_ref().map(|outage| outage.words.clone()),
            memory: self.memory(),
        }
    }

    pub(super) fn clean_until(&self) -> Option<Time> {
        self.tracks.iter().filter_map(|track| track.memory.clean_until).max()
    }

    /// Whether it has passed in a probe that began at `since` or later.
    pub(super) fn has_passed_since(&self, since: Time) -> bool {
        self.last_pass.is_some_and(|(began, _, _)| began >= since)
    }

    /// When the first failing probe of its last run of failures began.
    pub(super) fn run_began(&self) -> Option<Time> {
        self.run_began
    }

    /// When what keeps it from answering began: its own failures, or its provider's.
    pub(super) fn trouble_began(&self) -> Option<Time> {
        self.run_began().max(self.outage.as_ref().map(|outage| outage.began))
    }

    /// Whether it has passed in a probe that began at `since` or later, or has failed since.
    pub(super) fn is_heard_since(&self, since: Time) -> bool {
        self.has_passed_since(since) || self.failing_since(since).is_some()
    }

    /// What was heard of it in probes that began at `since` or later.
    pub(super) fn heard_since(&self, since: Time) -> Heard {
        match self.last_pass {
            Some((began, ended, _)) if began >= since => Heard::Passed(ended),
            _ if self.failing_since(since).is_some() => Heard::Failed,
            _ => Heard::Nothing,
        }
    }

    /// Whether fewer failures than else made it down: the others may not have been heard of yet.
    pub(super) fn is_hasty(&self) -> bool {
        self.tracks.iter().any(|track| track.hasty)
    }

    /// Whether it has passed in a probe that ended at `since` or later, and its last one has not failed.
    pub(super) fn passes_since(&self, since: Time) -> bool {
        self.last_pass.is_some_and(|(_, ended, _)| ended >= since) && !self.summary.failing
    }

    /// Whether any probe of it has ended at `since` or later.
    pub(super) fn is_seen_since(&self, since: Time) -> bool {
        let passed = self.last_pass.is_some_and(|(_, ended, _)| ended >= since);
        passed || self.last_fault.as_ref().is_some_and(|seen| seen.at >= since)
    }

    /// Whether it counts as down by its provider alone: it has not fallen itself, and passes since that fell.
    pub(super) fn passes_amid(&self, outage: &Outage) -> bool {
        self.summary.standing != Standing::Down && self.passes_since(outage.at)
    }

    /// What it adds to its provider's account. Where the provider is not up, who fell goes on to count while it is down.
    pub(super) fn entry(&self, provider: Believed, now: Time) -> Entry {
        let down = self.summary.standing == Standing::Down;
        let (counted, not_counted) = (Entry { counted: true, fallen: None, down }, Entry { down, ..Entry::default() });
        match (self.summary.standing.verdict(), &self.fell) {
            (Believed::Up | Believed::Impaired, _) => counted,
            (Believed::Down, Some(fell)) if now.since(fell.up_until) < COUNTED_FOR => match fell.counts {
                Some(true) => {
                    let stays =
                        self.entry.fallen.is_some() && down && matches!(provider, Believed::Impaired | Believed::Down);
                    let fallen = Fallen { class: FaultClass::of(fell.fault.as_ref()), began: fell.began };
                    let fallen = (stays || now.since(fell.at) < TOGETHER).then_some(fallen);
                    Entry { fallen, ..counted }
                }
                // It was up a moment ago.
                None => counted,
                Some(false) => not_counted,
            },
            _ => not_counted,
        }
    }

    /// The families that it is tracked in; IPv4 where nothing has resolved yet.
    pub(super) fn families(&self) -> Vec<Family> {
        let known: Vec<Family> = self.tracks.iter().filter_map(|track| track.memory.family).collect();
        if known.is_empty() { vec![Family::V4] } else { known }
    }

    /// A failure that counts nothing was seen: the families are watched all the same.
    pub(super) fn touch(&mut self, families: &[Family], now: Time) {
        let of = |track: &&mut Track| track.memory.family.is_none_or(|family| families.contains(&family));
        self.tracks.iter_mut().filter(of).for_each(|track| track.seen = now);
    }

    /// A run of failures that began in this time was the vantage's.
    pub(super) fn forgive(&mut self, family: Family, from: Time, until: Time) {
        for track in self.tracks.iter_mut().filter(|track| track.memory.family.is_none_or(|of| of == family)) {
            let was_then = track.run_began.is_some_and(|began| began >= from && began <= until);
            if was_then && track.standing() != Standing::Down {
                track.in_row = 0;
            }
        }
    }

    /// A fall was the vantage's: what was believed before is believed again.
    pub(super) fn take_back(&mut self, before: TrackMemory, now: Time) -> Verdict {
        let mut verdict = Verdict::default();
        let track = self.tracks.iter_mut().find(|track| track.memory.family == before.family);
        let Some(track) = track.filter(|track| track.standing() == Standing::Down) else { return verdict };
        track.memory = before;
        track.in_row = 0;
        verdict.remember = true;
        self.settle(&[(before.family, "its fall is taken back: it was the vantage's".to_owned())], now, &mut verdict);
        verdict
    }

    /// Whether it was up or impaired at `time`, as far as is remembered.
    pub(super) fn was_ready_at(&self, time: Time) -> bool {
        let standing = if self.since > time { self.previous } else { self.summary.standing };
        matches!(standing, Standing::Up | Standing::Impaired | Standing::Ramping)
    }

    /// Its last fault, if it has failed since and its last probe was not a pass.
    pub(super) fn failing_since(&self, since: Time) -> Option<&Fault> {
        let seen = self.last_fault.as_ref()?;
        let passed_later = self.last_pass.is_some_and(|(_, ended, _)| ended > seen.at);
        (seen.at >= since && !passed_later).then_some(&seen.fault)
    }

    /// Whether what the probe saw is about the present target and rule.
    pub(super) fn is_about(&self, seen: &Observation) -> bool {
        seen.began >= self.created
    }

    /// Its fall looked like the origin's fault. Tells whether that is new.
    pub(super) fn absolve(&mut self, until: Time) -> bool {
        let mut changed = false;
        for track in &mut self.tracks {
            let before = track.memory;
            track.absolve(until);
            changed |= before != track.memory;
        }
        changed
    }

    pub(super) fn is_absolved(&self) -> bool {
        self.tracks.iter().any(|track| track.memory.absolved_until.is_some())
    }

    /// Takes in what a probe saw. `hasty`: its provider is impaired or down, two failures in a row are enough.
    pub(super) fn observe(&mut self, seen: &Observation, candidate: &Candidate, hasty: bool, now: Time) -> Verdict {
        if !self.is_about(seen) {
            return Verdict::default();
        }
        let first = !std::mem::replace(&mut self.observed, true);
        self.note(seen);
        let mut verdict = Verdict { matters: first, ..Verdict::default() };
        let family = seen.address.map(Family::of);
        verdict.remember |= self.prepare(family, candidate, now);
        let was_down = self.summary.standing == Standing::Down;
        let mut whys = Vec::new();
        for track in &mut self.tracks {
            if family.is_some() && track.memory.family != family {
                continue;
            }
            let before = track.memory;
            track.hasty = hasty;
            let step = track.observe(seen, candidate, now);
            if before.standing != Standing::Down && track.standing() == Standing::Down {
                verdict.fell.push(before);
            }
            verdict.remember |= before != track.memory;
            verdict.first_failure |= step.first_failure;
            if let Some(pause) = step.reprobe {
                let at = now.after(pause);
                verdict.reprobe = Some(verdict.reprobe.map_or(at, |other: Time| other.min(at)));
            }
            whys.extend(step.why.map(|why| (track.memory.family, why)));
        }
        self.run_began = self.tracks.iter().filter_map(|track| track.run_began).max();
        verdict.revived = was_down && matches!(seen.outcome, Outcome::Pass { .. });
        // A re-probe that has not begun yet sees what this failure saw.
        if self.asked.is_some_and(|asked| asked > now) {
            verdict.reprobe = None;
        }
        self.asked = verdict.reprobe.or(self.asked);
        verdict.remember |= self.end_ramps(&mut whys, now);
        self.settle(&whys, now, &mut verdict);
        self.leave_outage(seen, candidate, now, &mut verdict);
        verdict
    }

    /// Its own evidence outweighs its provider's: it passed, or fell itself. Who was kept away for longer than a brief
    /// outage comes back as others do: caches went cold, and the load returns to one provider.
    fn leave_outage(&mut self, seen: &Observation, candidate: &Candidate, now: Time, verdict: &mut Verdict) {
        let Some(outage) = &self.outage else { return };
        let fell = self.summary.standing == Standing::Down;
        let passes = matches!(seen.outcome, Outcome::Pass { .. }) && seen.began >= outage.at && !self.summary.failing;
        if !fell && (!passes || outage.all) {
            return;
        }
        let long = !outage.is_brief(now);
        self.outage = None;
        verdict.matters = true;
        if fell || !long || self.tracks.iter().any(|track| track.standing() == Standing::Impaired) {
            return;
        }
        let ramps =
            self.tracks.iter_mut().filter_map(|track| Some((track.memory.family, track.ramp_up(candidate, now)?)));
        let whys: Vec<_> = ramps.collect();
        // One observation is one change.
        let from = verdict.change.take().map(|change| change.from);
        self.settle(&whys, now, verdict);
        if let (Some(change), Some(from)) = (&mut verdict.change, from) {
            change.from = from;
        }
    }

    /// Time has come to `now`. In a family that is frozen no window ends by time: it is not watched.
    pub(super) fn tick(&mut self, candidate: &Candidate, frozen: [bool; 2], now: Time) -> Verdict {
        let mut whys = Vec::new();
        let mut verdict = Verdict::default();
        for track in &mut self.tracks {
            if track.memory.family.map_or(frozen != [false; 2], |family| frozen[family as usize]) {
                continue;
            }
            let before = track.memory;
            whys.extend(track.tick(candidate, now).map(|why| (track.memory.family, why)));
            verdict.remember |= before != track.memory;
        }
        verdict.remember |= self.end_ramps(&mut whys, now);
        self.settle(&whys, now, &mut verdict);
        verdict
    }

    /// When `tick` has something to do.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        // Who is up in all families has neither a window nor a ramp: most need not be looked into.
        if self.summary.standing == Standing::Up {
            return None;
        }
        self.tracks.iter().filter_map(|track| track.due(now)).min()
    }

    /// No family ramps beside one that serves. Tells whether one did.
    fn end_ramps(&mut self, whys: &mut Vec<(Option<Family>, String)>, now: Time) -> bool {
        let serves = |track: &Track| matches!(track.standing(), Standing::Up | Standing::Impaired);
        if !self.tracks.iter().any(serves) {
            return false;
        }
        let mut ended = false;
        for track in &mut self.tracks {
            let family = track.memory.family;
            if track.end_ramp(now) {
                ended = true;
                whys.retain(|(other, _)| *other != family);
                whys.push((family, "its clean window is over, and the other family serves".to_owned()));
            }
        }
        ended
    }

    fn note(&mut self, seen: &Observation) {
        match &seen.outcome {
            Outcome::Pass { latency } => {
                // A slow pass that began earlier does not make an older one of it.
                let began = self.last_pass.map_or(seen.began, |(began, ..)| began.max(seen.began));
                self.last_pass = Some((began, seen.ended, *latency));
            }
            Outcome::Fail(fault) => {
                self.last_fault = Some(SeenFault { at: seen.ended, address: seen.address, fault: fault.clone() });
            }
        }
    }

    /// Sees to it that the family is tracked, and that one not seen for long is not. Tells whether that changed anything.
    fn prepare(&mut self, family: Option<Family>, candidate: &Candidate, now: Time) -> bool {
        let Some(family) = family else {
            if self.tracks.is_empty() {
                self.tracks.reserve_exact(1);
                self.tracks.push(Track::new(None, now));
                return true;
            }
            return false;
        };
        let tracked = self.tracks.len();
        let quiet = silence_of(candidate);
        self.tracks
            .retain(|track| track.memory.family.is_none_or(|other| other == family) || now.since(track.seen) <= quiet);
        let dropped = self.tracks.len() < tracked;
        if self.tracks.iter().any(|track| track.memory.family == Some(family)) {
            return dropped;
        }
        if let Some(track) = self.tracks.iter_mut().find(|track| track.memory.family.is_none()) {
            track.memory.family = Some(family);
            return true;
        }
        let track = match self.tracks.first() {
            Some(other) if matches!(other.standing(), Standing::Down | Standing::Recovering | Standing::Ramping) => {
                other.for_sibling_family(family, now)
            }
            _ => Track::new(Some(family), now),
        };
        // One is the rule: room for four would be a fifth of all memory where there are many candidates.
        self.tracks.reserve_exact(1);
        self.tracks.push(track);
        self.tracks.sort_by_key(|track| track.memory.family);
        true
    }

    /// Makes one standing of the tracks, and notes what changed.
    fn settle(&mut self, whys: &[(Option<Family>, String)], now: Time, verdict: &mut Verdict) {
        let before = self.summary;
        let after = self.summarise();
        self.summary = after;
        verdict.matters |= before != after;
        if before.standing == after.standing {
            return;
        }
        self.note_fall(before.standing, after.standing, now);
        self.since = now;
        self.previous = before.standing;
        verdict.remember = true;
        self.fault_of_standing = match after.standing {
            Standing::Up | Standing::Ramping | Standing::Unknown => None,
            Standing::Impaired | Standing::Down | Standing::Recovering => {
                self.last_fault.as_ref().map(|s| s.fault.clone())
            }
        };
        let why = match whys {
            [] => "a family is no longer probed".to_owned(),
            [(Some(family), why)] if self.tracks.len() > 1 => format!("{family}: {why}"),
            [(_, why), ..] => why.clone(),
        };
        verdict.change = Some(StandingChange {
            from: before.standing,
            to: after.standing,
            why,
            fault: self.fault_of_standing.clone(),
        });
    }

    fn note_fall(&mut self, from: Standing, to: Standing, now: Time) {
        let was_up = matches!(from, Standing::Up | Standing::Ramping | Standing::Impaired);
        let relapses = from == Standing::Recovering && self.fell.is_some();
        match to {
            Standing::Down if was_up || relapses => {
                let fault = self.last_fault.as_ref().map(|seen| seen.fault.clone());
                let own = fault.as_ref().is_some_and(Fault::is_own_configuration);
                let began = self.run_began().unwrap_or(now);
                let up_until = self.fell.as_ref().filter(|_| relapses).map_or(now, |fell| fell.up_until);
                self.fell = Some(Fell { at: now, up_until, began, fault, counts: own.then_some(false) });
            }
            Standing::Up | Standing::Ramping | Standing::Impaired | Standing::Unknown => self.fell = None,
            Standing::Down | Standing::Recovering => {}
        }
    }

    fn summarise(&self) -> Summary {
        let mut summary = match self.tracks.as_slice() {
            [] => Summary::default(),
            [one] => Summary { standing: one.standing(), ..Summary::default() },
            [one, other, ..] => join(one, other),
        };
        let ramps = || self.tracks.iter().filter_map(Track::ramp).max_by_key(|ramp| (ramp.percent, ramp.until));
        summary.ramp = (summary.standing == Standing::Ramping).then(ramps).flatten();
        summary.failing = self.tracks.iter().any(|track| track.in_row > 0 && track.standing() != Standing::Down);
        summary
    }
}

/// The table above.
fn join(one: &Track, other: &Track) -> Summary {
    use Standing::{Down, Impaired, Ramping, Recovering, Unknown, Up};
    let (standing, alone, out) = match (one.standing(), other.standing()) {
        (Up, Down | Recovering) => (Impaired, true, Some(other)),
        (Down | Recovering, Up) => (Impaired, true, Some(one)),
        (Impaired, Down | Recovering) => (Impaired, false, Some(other)),
        (Down | Recovering, Impaired) => (Impaired, false, Some(one)),
        (Down, Recovering) => (Recovering, false, Some(one)),
        (Recovering, Down) => (Recovering, false, Some(other)),
        (Ramping, Down | Recovering) => (Ramping, false, Some(other)),
        (Down | Recovering, Ramping) => (Ramping, false, Some(one)),
        (Up, Impaired) | (Impaired, Up) => (Impaired, false, None),
        (Ramping, serves @ (Up | Impaired)) => (serves, false, None),
        (a, Unknown) => (a, false, None),
        (Unknown, b) => (b, false, None),
        (a, _) => (a, false, None),
    };
    Summary { standing, alone, left_out: out.and_then(|track| track.memory.family), ..Summary::default() }
}

/// Of the target and the probe rule, the same over restarts of one build.
pub(super) fn fingerprint(candidate: &Candidate) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    candidate.target.hash(&mut hasher);
    candidate.probe.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::readiness::Risk;
    use super::*;

    fn track(family: Family, word: &str) -> Track {
        let mut track = Track::new(Some(family), Time(0));
        use Standing::{Down, Impaired, Ramping, Recovering, Unknown, Up};
        let standings = [Up, Impaired, Down, Recovering, Ramping, Unknown];
        track.memory.standing = *standings.iter().find(|standing| standing.as_str() == word).expect("a standing");
        track
    }

    #[test]
    fn the_table_holds_in_both_orders() {
        let rows: Vec<&str> = include_str!("judge.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("one |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 21);
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            for (one, other) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
                let tracks = (track(one, cells[0]), track(other, cells[1]));
                let summary = if one < other { join(&tracks.0, &tracks.1) } else { join(&tracks.1, &tracks.0) };
                let alone = if summary.alone { " alone" } else { "" };
                assert_eq!(format!("{}{alone}", summary.standing), cells[2], "{row}");
                let left_out = match cells[3] {
                    "one" => Some(one),
                    "other" => Some(other),
                    _ => None,
                };
                assert_eq!(summary.left_out, left_out, "{row}");
            }
        }
    }

    #[test]
    fn a_memory_outlives_json_and_one_without_new_fields_is_read() {
        let memory = CandidateMemory {
            standing: Standing::Recovering,
            since: Time(5),
            tracks: vec![TrackMemory {
                family: Some(Family::V6),
                clean_until: Some(Time(9)),
                ..TrackMemory::default()
            }],
            fingerprint: 7,
            fell_with_provider: Some(Time(6)),
            up_until: Some(Time(4)),
            fallen: true,
            readiness: ReadinessMemory { risks: vec![Risk::NotRenewed { until: Time(8) }], since: Time(7), edge: None },
        };
        let json = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<CandidateMemory>(&json).unwrap(), memory);
        let older: CandidateMemory = serde_json::from_str(r#"{"standing":"down","since":3}"#).unwrap();
        assert_eq!((older.standing, older.since, older.tracks.len()), (Standing::Down, Time(3), 0));
    }
}
