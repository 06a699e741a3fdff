//! What is known of the readiness of one name's candidates, and the step that takes facts up.
//!
//! Facts come with nearly every probe and are nearly always those of the probe before: then nothing is done. They are
//! kept by address, since edges differ, and judged anew when one differs, and every ten seconds, since time and what the
//! others show count too.
//!
//! What is a risk is kept over a restart, the facts are not: they come again with the first probe that passes. Until then
//! the candidate is at the risk that it was at, so that it is not used before others for a moment, and nothing is told again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::areas::PLAIN;
use super::effects::Effects;
use super::judge::{CandidateMemory, fingerprint};
use super::name::NameState;
use super::observation::CandidateKey;
use super::policy::{Candidate, SteeredName};
use super::readiness::{Case, Certificate, Facts, Page, Readiness, ReadinessMemory, Risk, readiness};
use super::sharing::Sharing;
use super::steering::{Steering, remember};
use super::time::Time;
use super::transition::{Change, Transition};

/// Addresses of a candidate whose facts are kept; more are in rotation rarely, and the newest tell.
const ADDRESSES: usize = 8;
/// What an address showed is forgotten when it has not been seen for so long, while others were.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// The same facts are judged anew so often.
const AGAIN: Duration = Duration::from_secs(10);
/// A risk from before the start that nothing was seen of holds so long, while other facts come: twice as long as what
/// DNS says of a name, and longer than a start with 100,000 names takes to ask for all.
const KEPT: Duration = Duration::from_secs(7_200);

/// The readiness of a name's candidates; those of which nothing is known have no entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Readied(Vec<Known>);

#[derive(Clone, Debug)]
struct Known {
    candidate: Arc<str>,
    /// Newest first.
    facts: Vec<(IpAddr, Time, Arc<Facts>)>,
    judged: Time,
    readiness: Readiness,
    /// What a restart needs to know of it.
    memory: ReadinessMemory,
    /// Risks from before the start whose facts have not been seen since, and until when they hold.
    kept: (Vec<Risk>, Time),
}

impl Known {
    fn new(candidate: &Arc<str>, now: Time) -> Self {
        Self {
            candidate: Arc::clone(candidate),
            facts: Vec::new(),
            judged: Time(0),
            readiness: Readiness::Unknown,
            memory: ReadinessMemory::default(),
            kept: (Vec::new(), now),
        }
    }

    /// The certificate that ends first, and where it was shown.
    fn certificate(&self) -> Option<(IpAddr, &Certificate)> {
        let shown = self.facts.iter().filter_map(|(at, _, facts)| Some((*at, facts.certificate.as_deref()?)));
        shown.min_by_key(|(at, certificate)| (certificate.until, *at))
    }

    /// The edge that showed the certificate of a risk from before the start has not been seen since.
    fn edge_unseen(&self) -> bool {
        let is_unseen = |edge: IpAddr| self.facts.iter().all(|(at, ..)| *at != edge);
        self.kept.0.iter().any(|risk| risk.certificate_ends().is_some()) && self.memory.edge.is_some_and(is_unseen)
    }

    /// Notes what a restart is to know. Whether that is new.
    fn note(&mut self, now: Time) -> bool {
        let risks = self.readiness.risks().to_vec();
        let since = match (risks.is_empty(), self.memory.is_empty()) {
            (true, _) => Time::default(),
            (false, true) => now,
            (false, false) => self.memory.since,
        };
        let edge = risks.iter().find_map(Risk::certificate_ends).and_then(|ends| match self.certificate() {
            Some((at, certificate)) if certificate.until <= ends => Some(at),
            _ => self.memory.edge,
        });
        let memory = ReadinessMemory { risks, since, edge };
        let is_new = memory != self.memory;
        self.memory = memory;
        is_new
    }
}

impl Readied {
    /// Takes up what a restart kept of a candidate, if that was asked the same of the same target.
    pub(super) fn restore(&mut self, memory: &CandidateMemory, candidate: &Candidate, now: Time) {
        let kept = &memory.readiness;
        if kept.is_empty() || memory.fingerprint != fingerprint(candidate) {
            return;
        }
        self.0.push(Known {
            readiness: Readiness::AtRisk(kept.risks.clone()),
            memory: ReadinessMemory { since: kept.since.min(now), ..kept.clone() },
            kept: (kept.risks.clone(), now.after(KEPT)),
            ..Known::new(&candidate.id, now)
        });
    }

    /// What a restart needs to know of a candidate.
    pub(super) fn memory(&self, candidate: &str) -> ReadinessMemory {
        self.known(candidate).map(|known| known.memory.clone()).unwrap_or_default()
    }

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
            self.0.reserve_exact(1);
            self.0.push(Known::new(candidate, now));
            self.0.len() - 1
        });
        let known = &mut self.0[at];
        let before = known.facts.iter().position(|(of, ..)| *of == address).map(|at| known.facts.remove(at));
        let same = before.is_some_and(|(.., before)| Arc::ptr_eq(&before, facts) || before == *facts);
        // Few candidates have more than one address, and there may be many candidates.
        known.facts.reserve_exact(1);
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
        let (judged, unseen) = state.judge_readiness(at, now);
        let Some(known) = state.readied.0.iter_mut().find(|known| known.candidate == key.candidate) else {
            return effects;
        };
        known.judged = now;
        known.kept.0 = unseen;
        let before = std::mem::replace(&mut known.readiness, judged);
        if known.note(now) {
            remember(&mut effects, key.clone());
        }
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

    /// Since when a candidate has been at risk; none while it is not.
    pub fn at_risk_since(&self, key: &CandidateKey) -> Option<Time> {
        let known = self.names.get(&key.name)?.readied.known(&key.candidate)?;
        (!known.memory.is_empty()).then_some(known.memory.since)
    }

    /// The certificate that a candidate showed last; of several edges the one that ends first.
    pub fn certificate(&self, key: &CandidateKey) -> Option<&Certificate> {
        let (_, certificate) = self.names.get(&key.name)?.readied.known(&key.candidate)?.certificate()?;
        Some(certificate)
    }
}

/// That nothing is wrong is told only where something was; that it is at risk, when the kind of a reason changes.
fn is_told(before: &Readiness, after: &Readiness) -> bool {
    let words = |readiness: &Readiness| readiness.risks().iter().map(Risk::word).collect::<Vec<_>>();
    words(before) != words(after) || before.is_used_last() != after.is_used_last()
}

impl NameState {
    /// With the risks from before the start that nothing was seen of yet.
    fn judge_readiness(&self, at: usize, now: Time) -> (Readiness, Vec<Risk>) {
        let candidate = &self.rules.candidates[at];
        let known = self.readied.known(&candidate.id);
        let facts: Vec<&Facts> = known.iter().flat_map(|known| &known.facts).map(|(.., facts)| &**facts).collect();
        let same_host = |other: &&Candidate| other.id != candidate.id && other.probe.host == candidate.probe.host;
        let others = self.rules.candidates.iter().filter(same_host);
        let others: Vec<(&str, &str)> = others.map(|other| (&*other.id, &*other.provider)).collect();
        let case = Case {
            facts: &facts,
            provider: &candidate.provider,
            others: &others,
            serves: self.serves(at),
            reference: self.reference(candidate),
            kept: known.filter(|known| now < known.kept.1).map(|known| &known.kept.0[..]).unwrap_or_default(),
            edge_unseen: known.is_some_and(Known::edge_unseen),
            now,
        };
        (readiness(&case), case.unseen().cloned().collect())
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
    use proptest::prelude::*;

    use super::super::fixture::{at, key, serving};
    use super::super::readiness::{BotRules, ReadinessState, RenewalDns};
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

    /// What the store kept of a core, taken up by another one `later`.
    fn restarted(steering: &Steering, later: Time) -> Steering {
        let stored = |key: CandidateKey| {
            let memory = serde_json::to_string(&steering.candidate(&key).unwrap().memory()).unwrap();
            (key, serde_json::from_str(&memory).unwrap())
        };
        let rules = Arc::clone(steering.name(NAME).unwrap());
        let kept =
            rules.candidates.iter().map(|one| stored(CandidateKey { name: NAME.into(), candidate: one.id.clone() }));
        let last = steering.last(NAME).map(|last| (NAME.to_owned(), last));
        let mut restarted = Steering::new();
        restarted.restore(kept.collect(), last.into_iter().collect(), Vec::new());
        restarted.install(&[rules], later);
        restarted
    }

    #[test]
    fn a_restart_uses_nobody_first_who_was_used_last_and_tells_nothing_again() {
        let mut steering = serving(3);
        let ending = with(2 * DAY, None, at(100));
        let effects = steering.readied(&key(0), here(), &ending, at(100));
        assert_eq!(effects.remembered, [key(0)]);
        assert_eq!(steering.at_risk_since(&key(0)), Some(at(100)));
        let mut after = restarted(&steering, at(900));
        assert_eq!(after.readiness(&key(0)), steering.readiness(&key(0)));
        assert_eq!((after.at_risk_since(&key(0)), share(&after, 0)), (Some(at(100)), 0.0));
        assert!(share(&after, 1) > 0.0, "the others serve");
        assert_eq!(after.certificate(&key(0)), None, "facts come with the first probe");
        // The same is seen again: no news.
        let effects = after.readied(&key(0), here(), &ending, at(901));
        assert_eq!((effects.transitions.len(), effects.remembered.len()), (0, 0), "{effects:?}");
        assert_eq!((after.at_risk_since(&key(0)), share(&after, 0)), (Some(at(100)), 0.0));
        // It was renewed while the server was down: that is told, and kept.
        let mut after = restarted(&steering, at(900));
        let effects = after.readied(&key(0), here(), &with(80 * DAY, None, at(901)), at(901));
        assert!(matches!(effects.transitions[0].change, Change::Readiness { to: ReadinessState::Ready, .. }));
        assert_eq!((effects.remembered, after.at_risk_since(&key(0))), (vec![key(0)], None));
        assert_eq!(restarted(&after, at(999)).readiness(&key(0)), None);
        // Another edge was renewed; the one at risk is not seen any more.
        let mut after = restarted(&steering, at(900));
        let elsewhere = IpAddr::from([192, 0, 2, 2]);
        let renewed = with(80 * DAY, None, at(901));
        for (seconds, told) in [(1, 0), (7_000, 0), (7_300, 1)] {
            let now = at(900).after(Duration::from_secs(seconds));
            let effects = after.readied(&key(0), elsewhere, &renewed, now);
            let readiness = effects.transitions.iter().filter(|t| matches!(t.change, Change::Readiness { .. }));
            assert_eq!((readiness.count(), share(&after, 0) > 0.0), (told, told > 0), "after {seconds} s");
        }
        // Another target: what was kept of the one before says nothing of it.
        let mut rules = SteeredName::clone(steering.name(NAME).unwrap());
        rules.candidates[0].probe.path = "/other".to_owned();
        let kept = steering.candidate(&key(0)).unwrap().memory();
        let mut elsewhere = Steering::new();
        elsewhere.restore(vec![(key(0), kept)], Vec::new(), Vec::new());
        elsewhere.install(&[Arc::new(rules)], at(900));
        assert_eq!(elsewhere.readiness(&key(0)), None);
    }

    #[test]
    fn risks_of_facts_that_come_late_outlive_those_that_come_at_once_for_a_while() {
        let forbids = |from: Time| {
            let dns = RenewalDns { allowed: Some(vec!["digicert.com".to_owned()]), challenge: None };
            Arc::new(Facts { dns: Some(Arc::new(dns)), ..(*with(80 * DAY, None, from)).clone() })
        };
        let mut steering = serving(3);
        steering.readied(&key(0), here(), &forbids(at(100)), at(100));
        let risks = |steering: &Steering| steering.readiness(&key(0)).unwrap().risks().to_vec();
        assert_eq!(risks(&steering).len(), 1);
        let start = at(900);
        let mut after = restarted(&steering, start);
        // The certificate is seen with the first probe, DNS later: nothing is told meanwhile.
        let plain = with(80 * DAY, None, start);
        let effects = after.readied(&key(0), here(), &plain, start);
        assert_eq!((effects.transitions.len(), risks(&after)), (0, risks(&steering)));
        let mut unheard = after.clone();
        let effects = after.readied(&key(0), here(), &forbids(start), start.after(Duration::from_secs(60)));
        assert_eq!((effects.transitions.len(), risks(&after)), (0, risks(&steering)));
        // Seen again, it holds as long as its facts do.
        let effects = after.readied(&key(0), here(), &plain, start.after(Duration::from_secs(120)));
        assert_eq!((effects.transitions.len(), risks(&after).len()), (1, 0));
        // Never seen again, it is given up.
        let effects = unheard.readied(&key(0), here(), &plain, start.after(KEPT - AGAIN));
        assert_eq!(effects.transitions.len(), 0);
        let effects = unheard.readied(&key(0), here(), &plain, start.after(KEPT));
        assert_eq!((effects.transitions.len(), risks(&unheard).len()), (1, 0));
    }

    #[test]
    fn two_that_want_one_challenge_are_both_at_risk() {
        let mut rules = SteeredName::clone(serving(3).name(NAME).unwrap());
        for (candidate, provider) in rules.candidates.iter_mut().zip(["fastly", "cloudflare", "bunny"]) {
            candidate.provider = provider.into();
        }
        let words = |rules: SteeredName| {
            let mut steering = Steering::new();
            steering.install(&[Arc::new(rules)], at(0));
            let dns = RenewalDns { allowed: None, challenge: Some("x.fastly-validations.com.".to_owned()) };
            let facts = Arc::new(Facts { dns: Some(Arc::new(dns)), ..(*with(80 * DAY, None, at(1))).clone() });
            (0..3).for_each(|at_risk| drop(steering.readied(&key(at_risk), here(), &facts, at(1))));
            [0, 1, 2].map(|of| steering.readiness(&key(of)).unwrap().words())
        };
        let [holds, lacks, other] = words(rules.clone());
        let expected = "`_acme-challenge` leads to its provider (x.fastly-validations.com.), and gcore wants it too: only one \
                        can renew";
        assert_eq!(holds, expected);
        let expected = "its provider wants `_acme-challenge` to lead to .dcv.cloudflare.com., it leads to \
                        x.fastly-validations.com.";
        assert_eq!((lacks.as_str(), other.as_str()), (expected, ""));
        // Probed by another host name, it wants another challenge.
        rules.candidates[1].probe.host = "img.shop.example".to_owned();
        assert_eq!(words(rules)[0], "");
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

    fn facts() -> impl Strategy<Value = Facts> {
        let certificate = prop::option::of((0..90_u64, any::<bool>()));
        let dns = prop::option::of((any::<bool>(), prop::option::of(0..3_usize)));
        let page = prop::option::of((prop::sample::select(vec![200_u16, 301]), any::<bool>(), any::<bool>()));
        (certificate, dns, page, 0..4_u8).prop_map(|(certificate, dns, page, bots)| {
            let word = |given: bool| given.then(|| "x".to_owned());
            let certificate = certificate.map(|(left, known)| {
                let issuer = if known { "Let's Encrypt" } else { "Company Internal CA" }.to_owned();
                let until = Time(at(0).0 + left * DAY);
                Arc::new(Certificate { issuer, from: until.before(Duration::from_millis(90 * DAY)), until })
            });
            let challenge =
                |of: usize| ["x.fastly-validations.com.", "x.dcv.cloudflare.com.", "x.example."][of].to_owned();
            let dns = dns.map(|(forbids, of)| {
                let allowed = forbids.then(|| vec!["digicert.com".to_owned()]);
                Arc::new(RenewalDns { allowed, challenge: of.map(challenge) })
            });
            let page = page.map(|(status, location, hsts)| Page { status, location: word(location), hsts: word(hsts) });
            let bot_rules = match bots {
                0 => Some(BotRules::AgainstTheAgent("status 403".to_owned())),
                1 => Some(BotRules::AgainstBrowsers("status 429".to_owned())),
                _ => None,
            };
            Facts { certificate, page, dns, bot_rules, asked_as_browser: bots < 3 }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever was learnt in whichever order: what is a risk is kept and read back equal, and when the same facts are
        /// seen again after the restart, nothing is told again.
        #[test]
        fn what_is_kept_is_read_back_equal(seen in prop::collection::vec((0..3_usize, facts()), 1..30)) {
            let mut steering = serving(3);
            let mut last: [Arc<Facts>; 3] = Default::default();
            let mut kept: Vec<ReadinessMemory> = vec![ReadinessMemory::default(); 3];
            // All are seen twice at the end, so that what they show is held against what the others show now.
            let learnt = seen.into_iter().map(|(of, facts)| (of, Some(facts)));
            let settled = (0..6).map(|step| (step % 3, None));
            for (step, (of, facts)) in (1..).zip(learnt.chain(settled)) {
                last[of] = facts.map_or_else(|| Arc::clone(&last[of]), Arc::new);
                let effects = steering.readied(&key(of), here(), &last[of], at(step * 20_000));
                let memory = |of: usize| steering.candidate(&key(of)).unwrap().memory().readiness;
                for (of, kept) in kept.iter_mut().enumerate() {
                    prop_assert!(effects.remembered.contains(&key(of)) || *kept == memory(of), "it is not kept");
                    *kept = memory(of);
                }
            }
            let now = at(10_000_000);
            let mut after = restarted(&steering, now);
            let risks = |steering: &Steering, of: usize| {
                steering.readiness(&key(of)).map(|readiness| readiness.risks().to_vec()).unwrap_or_default()
            };
            for (of, kept) in kept.iter().enumerate() {
                prop_assert_eq!(risks(&after, of), risks(&steering, of));
                prop_assert_eq!(after.at_risk_since(&key(of)), steering.at_risk_since(&key(of)));
                prop_assert_eq!(&after.candidate(&key(of)).unwrap().memory().readiness, kept);
            }
            for (of, last) in last.iter().enumerate() {
                let effects = after.readied(&key(of), here(), last, now);
                let told = effects.transitions.iter().find(|told| matches!(told.change, Change::Readiness { .. }));
                prop_assert_eq!(told, None);
                prop_assert_eq!(risks(&after, of), risks(&steering, of));
            }
        }
    }
}
