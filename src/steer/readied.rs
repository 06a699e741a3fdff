//! What is known of the readiness of one name's candidates, and the step that takes facts up.
//!
//! Facts come with nearly every probe and are nearly always those of the probe before: then nothing is done. They are
//! kept by address, since edges differ, and judged anew when one differs, and every ten seconds, since time and what the
//! others show count too.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::areas::PLAIN;
use super::effects::Effects;
use super::name::NameState;
use super::observation::CandidateKey;
use super::policy::{Candidate, SteeredName};
use super::readiness::{Case, Certificate, Facts, Page, Readiness, Risk, readiness};
use super::sharing::Sharing;
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, Transition};

/// Addresses of a candidate whose facts are kept; more are in rotation rarely, and the newest tell.
const ADDRESSES: usize = 8;
/// What an address showed is forgotten when it has not been seen for so long, while others were.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// The same facts are judged anew so often.
const AGAIN: Duration = Duration::from_secs(10);

/// The readiness of a name's candidates; those without facts have no entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Readied(Vec<Known>);

#[derive(Clone, Debug)]
struct Known {
    candidate: Arc<str>,
    /// Newest first.
    facts: Vec<(IpAddr, Time, Arc<Facts>)>,
    judged: Time,
    readiness: Readiness,
}

impl Readied {
    pub(super) fn of(&self, candidate: &str) -> Option<&Readiness> {
        self.known(candidate).map(|known| &known.readiness)
    }

    /// Whether anything is known against any of them.
    pub(super) fn is_at_risk(&self) -> bool {
        self.0.iter().any(|known| !known.readiness.risks().is_empty())
    }

    /// Whether the candidate is used after all of its rank that are ready.
    pub(super) fn is_used_last(&self, candidate: &str) -> bool {
        self.of(candidate).is_some_and(Readiness::is_used_last)
    }

    /// What is still known under new rules: of candidates that are asked the same of the same target.
    pub(super) fn under(mut self, old: &SteeredName, new: &SteeredName) -> Self {
        let find = |rules: &SteeredName, id: &str| {
            let found = rules.candidates.iter().find(|candidate| *candidate.id == *id)?;
            Some((found.target.clone(), found.probe.clone()))
        };
        self.0.retain(|known| {
            find(new, &known.candidate).is_some_and(|new| find(old, &known.candidate).as_ref() == Some(&new))
        });
        self
    }

    fn known(&self, candidate: &str) -> Option<&Known> {
        self.0.iter().find(|known| *known.candidate == *candidate)
    }

    /// Takes up what one address showed. Whether it is to be judged.
    fn take(&mut self, candidate: &Arc<str>, address: IpAddr, facts: &Arc<Facts>, now: Time) -> bool {
        let at = self.0.iter().position(|known| known.candidate == *candidate).unwrap_or_else(|| {
            let candidate = Arc::clone(candidate);
            let readiness = Readiness::Unknown;
            self.0.push(Known { candidate, facts: Vec::new(), judged: Time(0), readiness });
            self.0.len() - 1
        });
        let known = &mut self.0[at];
        let before = known.facts.iter().position(|(of, ..)| *of == address).map(|at| known.facts.remove(at));
        let same = before.is_some_and(|(.., before)| Arc::ptr_eq(&before, facts) || before == *facts);
        known.facts.insert(0, (address, now, Arc::clone(facts)));
        known.facts.retain(|(_, seen, _)| now.since(*seen) <= FORGOTTEN);
        known.facts.truncate(ADDRESSES);
        !same || now.since(known.judged) >= AGAIN
    }
}

impl Steering {
    /// A probe of a candidate learnt this beside whether it passed.
    pub fn readied(&mut self, key: &CandidateKey, address: IpAddr, facts: &Arc<Facts>, now: Time) -> Effects {
        let mut effects = Effects::default();
        let Some(state) = self.names.get_mut(&key.name) else { return effects };
        let Some(at) = state.position(&key.candidate) else { return effects };
        if !state.readied.take(&key.candidate, address, facts, now) {
            return effects;
        }
        let judged = state.judge_readiness(at, now);
        let Some(known) = state.readied.0.iter_mut().find(|known| known.candidate == key.candidate) else {
            return effects;
        };
        known.judged = now;
        let before = std::mem::replace(&mut known.readiness, judged);
        if before == known.readiness {
            return effects;
        }
        let after = &known.readiness;
        if is_told(&before, after) {
            let change = Change::Readiness { subject: key.clone(), from: before.state(), to: after.state() };
            let why = if after.risks().is_empty() { "nothing is wrong any more".into() } else { after.words().into() };
            effects.transitions.push(Transition { at: now, change, why });
        }
        let name = Arc::clone(&state.rules.name);
        self.redecide(&name, now, &mut Sharing::default(), &mut effects);
        effects
    }

    /// Whether a candidate can be relied on at the moment of need.
    pub fn readiness(&self, key: &CandidateKey) -> Option<&Readiness> {
        self.names.get(&key.name)?.readied.of(&key.candidate)
    }

    /// The certificate that a candidate showed last; of several edges the one that ends first.
    pub fn certificate(&self, key: &CandidateKey) -> Option<&Certificate> {
        let known = self.names.get(&key.name)?.readied.known(&key.candidate)?;
        let certificates = known.facts.iter().filter_map(|(.., facts)| facts.certificate.as_deref());
        certificates.min_by_key(|certificate| certificate.until)
    }
}

/// That nothing is wrong is told only where something was; that it is at risk, when the kind of a reason changes.
fn is_told(before: &Readiness, after: &Readiness) -> bool {
    let words = |readiness: &Readiness| readiness.risks().iter().map(Risk::word).collect::<Vec<_>>();
    words(before) != words(after) || before.is_used_last() != after.is_used_last()
}

impl NameState {
    fn judge_readiness(&self, at: usize, now: Time) -> Readiness {
        let candidate = &self.rules.candidates[at];
        let facts = self.readied.known(&candidate.id).map(|known| &known.facts[..]).unwrap_or_default();
        let facts: Vec<&Facts> = facts.iter().map(|(.., facts)| &**facts).collect();
        let serves = self.serves(at);
        readiness(&Case {
            facts: &facts,
            provider: &candidate.provider,
            serves,
            reference: self.reference(candidate),
            now,
        })
    }

    /// Who has most of the clients and asks the same page as this candidate, with the head of what came back there.
    fn reference(&self, candidate: &Candidate) -> Option<(&str, &Page)> {
        let reasons = &self.answers.get(PLAIN)?.decision.as_ref()?.reasons;
        let asks_the_same = |other: &Candidate| {
            let (a, b) = (&other.probe, &candidate.probe);
            other.id != candidate.id && (a.scheme, a.port) == (b.scheme, b.port) && a.path == b.path && a.host == b.host
        };
        let serving = self
            .rules
            .candidates
            .iter()
            .zip(reasons)
            .filter(|(other, reason)| reason.share > 0.0 && asks_the_same(other));
        let (most, _) = serving.max_by(|(_, a), (_, b)| a.share.total_cmp(&b.share))?;
        let (.., facts) = self.readied.known(&most.id)?.facts.first()?;
        Some((&most.id, facts.page.as_ref()?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, key, serving};
    use super::super::readiness::{BotRules, ReadinessState};
    use super::*;

    const DAY: u64 = 86_400_000;
    const NAME: &str = super::super::fixture::NAME;

    fn here() -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }

    fn with(left: u64, page: Option<Page>, now: Time) -> Arc<Facts> {
        let until = Time(now.0 + left);
        let certificate = Certificate { issuer: "Let's Encrypt".to_owned(), from: Time(now.0 - 80 * DAY), until };
        Arc::new(Facts { certificate: Some(Arc::new(certificate)), page, ..Facts::default() })
    }

    fn share(steering: &Steering, candidate: usize) -> f64 {
        steering.decision(NAME, PLAIN).unwrap().reasons[candidate].share
    }

    #[test]
    fn a_certificate_about_to_end_is_used_last_and_returns_when_it_is_renewed() {
        let mut steering = serving(3);
        let now = at(100);
        assert!(share(&steering, 0) > 0.0);
        let effects = steering.readied(&key(0), here(), &with(2 * DAY, None, now), now);
        assert_eq!(effects.transitions.len(), 2, "the readiness and the decision: {:?}", effects.transitions);
        let change = &effects.transitions[0].change;
        let (from, to) = (ReadinessState::Unknown, ReadinessState::AtRisk);
        assert_eq!(*change, Change::Readiness { subject: key(0), from, to });
        assert_eq!(share(&steering, 0), 0.0);
        // The same again says nothing.
        assert_eq!(steering.readied(&key(0), here(), &with(2 * DAY, None, now), at(200)), Effects::default());
        // When the others are at the same risk, all are as before.
        for other in [1, 2] {
            steering.readied(&key(other), here(), &with(2 * DAY, None, now), at(300));
        }
        assert!(share(&steering, 0) > 0.0);
        let effects = steering.readied(&key(0), here(), &with(80 * DAY, None, now), at(400));
        assert!(matches!(effects.transitions[0].change, Change::Readiness { to: ReadinessState::Ready, .. }));
        assert_eq!(share(&steering, 0), 1.0);
    }

    #[test]
    fn time_alone_makes_a_risk_and_an_edge_that_was_renewed_does_not_hide_another() {
        let mut steering = serving(3);
        let (start, old) = (at(100), with(15 * DAY, None, at(100)));
        assert!(steering.readied(&key(0), here(), &old, start).transitions.is_empty(), "ready is no news");
        assert_eq!(steering.readiness(&key(0)), Some(&Readiness::Ready));
        let later = Time(start.0 + 2 * DAY);
        steering.readied(&key(0), here(), &old, later);
        assert_eq!(steering.readiness(&key(0)).unwrap().state(), ReadinessState::AtRisk);
        steering.readied(&key(0), IpAddr::from([192, 0, 2, 2]), &with(80 * DAY, None, later), Time(later.0 + 1));
        assert_eq!(steering.readiness(&key(0)).unwrap().state(), ReadinessState::AtRisk);
        // The old edge is gone.
        let hours = Time(later.0 + 3_700_000);
        steering.readied(&key(0), IpAddr::from([192, 0, 2, 2]), &with(80 * DAY, None, later), hours);
        assert_eq!(steering.readiness(&key(0)), Some(&Readiness::Ready));
    }

    #[test]
    fn facts_are_forgotten_with_the_target_that_they_are_of() {
        let mut steering = serving(3);
        steering.readied(&key(1), here(), &with(2 * DAY, None, at(100)), at(100));
        let mut rules = SteeredName::clone(steering.name(NAME).unwrap());
        rules.policy.ttl += 1;
        steering.install(&[Arc::new(rules.clone())], at(200));
        assert!(steering.readiness(&key(1)).is_some());
        rules.candidates[1].probe.path = "/other".to_owned();
        steering.install(&[Arc::new(rules)], at(300));
        assert_eq!(steering.readiness(&key(1)), None);
    }

    #[test]
    fn reasons_are_told_in_the_decision_and_bot_rules_move_nobody() {
        let mut steering = serving(3);
        let rules = BotRules::AgainstTheAgent("status 403".to_owned());
        let facts = Arc::new(Facts { bot_rules: Some(rules), ..Facts::default() });
        let effects = steering.readied(&key(0), here(), &facts, at(100));
        assert_eq!((effects.transitions.len(), effects.decided.len()), (1, 1));
        assert!(share(&steering, 0) > 0.0);
        let reason = &steering.decision(NAME, PLAIN).unwrap().reasons[0].reason;
        assert!(reason.contains("at risk: the honest probe fails (status 403)"), "{reason}");
    }
}
