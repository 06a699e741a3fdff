//! What follows when the vantage is doubted: failures wait or count nothing, and falls are taken back; and what came of
//! the core's inquiries.

use std::sync::Arc;

use super::effects::{Effects, ProbeWanted};
use super::inquiry::{Finding, Inquiry};
use super::judge::{Judge, silence_of};
use super::observation::{CandidateKey, Cause, Family, Observation, Outcome};
use super::policy::{Scheme, SteeredName};
use super::steering::{Steering, note, remember};
use super::time::Time;
use super::transition::{Change, Transition, Trust};
use super::vantage::{Doubted, Fall, Turn, VantageDoubt, Worth};

impl Steering {
    /// What this vantage is wrong about, with the evidence. Nothing, as a rule.
    pub fn vantage(&self) -> Vec<VantageDoubt> {
        self.vantage.doubts()
    }

    /// Inquiries to the anchors of this family that failed, while none has ever passed: they are no evidence.
    pub fn anchors_asked_in_vain(&self, family: Family) -> u32 {
        self.vantage.asked_in_vain(family)
    }

    /// What is known of the origin's fault for a name whose answer stays because of it. None where it is nobody's or
    /// somebody else's.
    pub fn origin_fault(&self, name: &str) -> Option<&str> {
        self.names.get(name)?.answers.iter().find_map(|answered| answered.origin_fault.as_deref())
    }

    /// An inquiry has ended.
    pub fn found(&mut self, finding: &Finding, now: Time) -> Effects {
        let mut effects = Effects::default();
        match &finding.inquiry {
            Inquiry::Origin(name) => self.origin_found(name, finding, now, &mut effects),
            Inquiry::Anchors(family) => {
                if let Some(turn) = self.vantage.found(*family, finding, now) {
                    self.turn(turn, now, &mut effects);
                }
            }
        }
        self.watch_drill(now, &mut effects);
        effects
    }

    fn origin_found(&mut self, name: &Arc<str>, finding: &Finding, now: Time, effects: &mut Effects) {
        let Some((name, _, state)) = self.names.get_full_mut(name) else { return };
        if state.rules.policy.origin.is_none() {
            return;
        }
        if state.origin.found(finding.began, finding.ended, &finding.outcome) {
            // Are those that failed with it back too? Who does not follow within a few rounds was at fault itself.
            let rules = Arc::clone(&state.rules);
            for (at, candidate) in rules.candidates.iter().enumerate() {
                let judge = &mut state.judges[at];
                if !judge.is_absolved() {
                    continue;
                }
                let changes = judge.absolve(now.after(silence_of(candidate)));
                let key = state.key(at);
                effects.probes.push(ProbeWanted { candidate: key.clone(), cause: Cause::Sibling, at: now });
                if changes {
                    remember(effects, key);
                }
            }
        }
        self.retally(name, now, effects);
        self.redecide_alone(name, now, effects);
    }

    /// What an observation is worth, before the candidate is judged by it. What it tells of the vantage follows at once.
    pub(super) fn weigh(
        &mut self,
        seen: &Observation,
        rules: &SteeredName,
        at: usize,
        now: Time,
        effects: &mut Effects,
    ) -> Worth {
        let candidate = &rules.candidates[at];
        let provider = &candidate.provider;
        let over_tls = candidate.probe.scheme == Scheme::Https;
        match &seen.outcome {
            Outcome::Pass { .. } => {
                // What waited of this candidate counts before what comes now.
                let waited = self.waiting.take_of(&seen.candidate);
                self.count(&waited, now, effects);
                let mut turns: Vec<Turn> =
                    over_tls.then(|| self.vantage.passes_tls(provider)).flatten().into_iter().collect();
                if let Some(family) = seen.address.map(Family::of) {
                    let (turn, inquiry) = self.vantage.passes(provider, family, seen.began, now);
                    turns.extend(turn);
                    effects.inquiries.extend(inquiry);
                }
                turns.into_iter().for_each(|turn| self.turn(turn, now, effects));
                Worth::Counts
            }
            Outcome::Fail(fault) => {
                let families = match seen.address {
                    Some(address) => vec![Family::of(address)],
                    None => self.judge_of(&seen.candidate).map_or_else(Vec::new, |judge| judge.families()),
                };
                let (mut worth, inquiries) = self.vantage.fails(provider, &families, seen.began, now);
                effects.inquiries.extend(inquiries);
                if fault.is_out_of_time() {
                    let (of_clock, turn) = self.vantage.out_of_time(provider, &fault.reason, now);
                    worth = worth.max(of_clock);
                    turn.into_iter().for_each(|turn| self.turn(turn, now, effects));
                }
                if worth != Worth::Counts
                    && let Some(judge) = self.judge_of(&seen.candidate)
                {
                    judge.touch(&families, now);
                }
                if worth == Worth::Waits {
                    self.waiting.push(families, seen.clone());
                }
                worth
            }
        }
    }

    /// The vantage's own word in time: nothing waits for ever, and what is frozen is asked about.
    pub(super) fn tick_vantage(&mut self, now: Time, effects: &mut Effects) {
        let (turns, inquiries) = self.vantage.tick(now);
        effects.inquiries.extend(inquiries);
        turns.into_iter().for_each(|turn| self.turn(turn, now, effects));
    }

    /// A run of failures of the time when failures counted nothing is none.
    pub(super) fn forgive(&mut self, key: &CandidateKey) {
        for family in Family::ALL {
            if let Some((from, until)) = self.vantage.last_freeze(family)
                && let Some(judge) = self.judge_of(key)
            {
                judge.forgive(family, from, until);
            }
        }
    }

    fn turn(&mut self, turn: Turn, now: Time, effects: &mut Effects) {
        match turn {
            // Failures that waited count, in the order in which they came.
            Turn::Released(family) => {
                let waited = self.waiting.take_in(family);
                self.count(&waited, now, effects);
            }
            Turn::Frozen { what, since, evidence } => {
                told(what, Trust::Trusted, Trust::Frozen, evidence, now, effects);
                if let Doubted::Network(family) = what {
                    drop(self.waiting.take_in(family));
                }
                let falls = self.vantage.taken_back(what, since);
                falls.iter().for_each(|fall| self.take_back(fall, now, effects));
            }
            Turn::Thawed { what, why } => told(what, Trust::Frozen, Trust::Trusted, why, now, effects),
        }
    }

    fn count(&mut self, waited: &[Observation], now: Time, effects: &mut Effects) {
        for seen in waited {
            self.judge(seen, now, effects);
        }
    }

    /// A fall was the vantage's. Where an answer has changed since, it stays: taking it back would move it again.
    fn take_back(&mut self, fall: &Fall, now: Time, effects: &mut Effects) {
        let Some((name, _, state)) = self.names.get_full_mut(&fall.key.name) else { return };
        let moved =
            state.answers.iter().filter_map(|answered| answered.decision.as_ref()).any(|d| d.since > fall.began);
        let Some(at) = state.position(&fall.key.candidate).filter(|_| !moved) else { return };
        let verdict = state.judges[at].take_back(fall.before, now);
        note(state, at, verdict, now, effects);
        self.retally(name, now, effects);
        self.redecide_alone(name, now, effects);
    }

    fn judge_of(&mut self, key: &CandidateKey) -> Option<&mut Judge> {
        let state = self.names.get_mut(&key.name)?;
        let at = state.position(&key.candidate)?;
        state.judges.get_mut(at)
    }
}

fn told(what: Doubted, from: Trust, to: Trust, why: String, now: Time, effects: &mut Effects) {
    let change = Change::Vantage { subject: what.word().to_owned(), from, to };
    effects.transitions.push(Transition { at: now, change, why: why.into() });
}
