//! Whether the vantage itself is to be doubted: its own network, in one address family, or its own clock.
//!
//! A provider is *dark* in a family if one of its candidates failed there and none has passed since. Anchors are hosts
//! that no configured provider carries (`Inquiry::Anchors`).
//!
//! | dark | anchors | failures of the family |
//! | --- | --- | --- |
//! | one of several providers | not asked | count |
//! | the only provider there is | asked | count until the anchors fail |
//! | two or more, not at once (15 s) | asked | count until the anchors fail |
//! | two or more at once | asked, and no word yet | wait, 5 s at most |
//! | two or more | passed, in an inquiry that began after the youngest went dark, within 5 s | count |
//! | two or more | nobody answered | count, and wait for nobody for a minute |
//! | two or more, or the only one | failed, and have never passed, though a candidate has | count, and wait for nobody for a minute |
//! | two or more, or the only one | failed | count nothing: the family is frozen |
//!
//! Anchors that have never passed are no evidence: a firewall may let nobody out to them. So they are asked at the first
//! pass of a candidate, and each minute until they have passed once.
//!
//! | frozen, and | then |
//! | --- | --- |
//! | the anchors pass | it is over |
//! | two providers have passed, in probes that began since | it is over |
//! | the only provider has, or any where the anchors have never passed | it is over |
//!
//! The clock is doubted when certificates are expired or not yet valid at two providers or more, and no provider has
//! passed over TLS since: then failures of that kind count nothing until one passes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::inquiry::{Finding, Inquiry};
use super::observation::{CandidateKey, Family, Outcome};
use super::time::Time;
use super::track::TrackMemory;

/// Providers that must be dark, or have certificates out of time, before the vantage is doubted though others exist.
const SEVERAL: usize = 2;
/// What waits for the anchors waits so long.
const WAITS: Duration = Duration::from_secs(5);
/// That the anchors pass is believed for so long, if nobody else goes dark.
const TRUSTED_FOR: Duration = Duration::from_secs(5);
/// After anchors that nobody heard of, nothing waits for them for so long.
const GIVEN_UP_FOR: Duration = Duration::from_secs(60);
/// While frozen the anchors are asked at this pace.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// Until the anchors have passed once they are asked at this pace, at passes of candidates.
const MEASURED_EVERY: Duration = Duration::from_secs(60);
/// Candidates notice one fault so far apart: a round and the limit of a probe by default, and some.
const AT_ONCE: Duration = Duration::from_secs(15);
/// Falls that are remembered, so that they can be taken back: by time, and how many at most.
const FALLS_FOR: Duration = Duration::from_secs(60);
const MAX_FALLS: usize = 100_000;

/// What a vantage may be wrong about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubted {
    /// Its network in one address family.
    Network(Family),
    Clock,
}

impl Doubted {
    pub const ALL: [Self; 3] = [Self::Network(Family::V4), Self::Network(Family::V6), Self::Clock];

    /// As transitions and documents write it: `v4`, `v6`, `clock`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Network(Family::V4) => "v4",
            Self::Network(Family::V6) => "v6",
            Self::Clock => "clock",
        }
    }
}

/// Failures that count nothing, since the vantage itself is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VantageDoubt {
    pub what: Doubted,
    pub since: Time,
    /// `candidates of bunny and gcore fail at once, and the anchors do too: ...`.
    pub evidence: String,
}

/// What a failure is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    Counts,
    /// It waits for what the anchors say.
    Waits,
    Nothing,
}

/// What follows for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing waits any more in this family.
    Released(Family),
    /// What fell since is taken back, and failures count nothing.
    Frozen {
        what: Doubted,
        since: Time,
        evidence: String,
    },
    Thawed {
        what: Doubted,
        why: String,
    },
}

/// A fall that may be taken back.
#[derive(Clone, Debug)]
pub(super) struct Fall {
    pub(super) at: Time,
    /// When its failures began.
    pub(super) began: Time,
    pub(super) key: CandidateKey,
    pub(super) family: Option<Family>,
    pub(super) before: TrackMemory,
    /// A certificate was expired or not yet valid.
    pub(super) out_of_time: bool,
}

/// All that is known of the vantage.
#[derive(Clone, Debug, Default)]
pub(super) struct Vantage {
    networks: [Network; 2],
    clock: Clock,
    falls: VecDeque<Fall>,
}

#[derive(Clone, Debug, Default)]
struct Network {
    sights: BTreeMap<Arc<str>, Sight>,
    dark: usize,
    /// When the one that went dark last did.
    youngest: Time,
    /// An inquiry is under way since.
    asked: Option<Time>,
    /// When the last inquiry that passed began.
    trusted: Option<Time>,
    /// When the anchors were asked last for no other reason than whether they ever answer.
    measured: Option<Time>,
    /// Inquiries that failed before any passed.
    in_vain: u32,
    given_up_until: Time,
    frozen: Option<Frozen>,
    /// The last freeze: from when failures count nothing, and until when.
    over: Option<(Time, Time)>,
}

/// One provider in one family.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    /// When the passing probe that began last began.
    passed: Option<Time>,
    dark_since: Option<Time>,
}

#[derive(Clone, Debug)]
struct Frozen {
    since: Time,
    /// Failures that began no earlier are the vantage's.
    began: Time,
    evidence: String,
    ask_at: Time,
}

#[derive(Clone, Debug, Default)]
struct Clock {
    /// By provider: whether its last word over TLS was a pass, and not a certificate out of time.
    passes: BTreeMap<Arc<str>, bool>,
    frozen: Option<(Time, String)>,
}

impl Vantage {
    /// A candidate of this provider failed.
    pub(super) fn fails(
        &mut self,
        provider: &Arc<str>,
        families: &[Family],
        began: Time,
        now: Time,
    ) -> (Worth, Vec<Inquiry>) {
        let (mut worth, mut inquiries) = (None, Vec::new());
        for &family in families {
            let (here, asks) = self.networks[family as usize].fails(provider, began, now);
            // What fails in all families fails also in the one that is best believed.
            worth = Some(worth.map_or(here, |known: Worth| known.min(here)));
            inquiries.extend(asks.then_some(Inquiry::Anchors(family)));
        }
        (worth.unwrap_or(Worth::Counts), inquiries)
    }

    /// A candidate of this provider passed.
    pub(super) fn passes(
        &mut self,
        provider: &Arc<str>,
        family: Family,
        began: Time,
        now: Time,
    ) -> (Option<Turn>, Option<Inquiry>) {
        let network = &mut self.networks[family as usize];
        let turn = network.passes(family, provider, began, now);
        (turn, network.is_to_be_measured(now).then_some(Inquiry::Anchors(family)))
    }

    /// Inquiries to the anchors of this family that failed, while none has ever passed.
    pub(super) fn asked_in_vain(&self, family: Family) -> u32 {
        self.networks[family as usize].in_vain
    }

    /// A certificate of this provider is expired or not yet valid.
    pub(super) fn out_of_time(&mut self, provider: &Arc<str>, reason: &str, now: Time) -> (Worth, Option<Turn>) {
        let passes = &mut self.clock.passes;
        passes.insert(Arc::clone(provider), false);
        if self.clock.frozen.is_some() {
            return (Worth::Nothing, None);
        }
        if passes.len() < SEVERAL || passes.values().any(|passes| *passes) {
            return (Worth::Counts, None);
        }
        let whose: Vec<&str> = passes.keys().map(|id| &**id).collect();
        let evidence =
            format!("certificates are out of time at {} alike, and nowhere good: {reason}", whose.join(" and "));
        self.clock.frozen = Some((now, evidence.clone()));
        (Worth::Nothing, Some(Turn::Frozen { what: Doubted::Clock, since: now.before(AT_ONCE), evidence }))
    }

    /// A candidate of this provider passed over TLS.
    pub(super) fn passes_tls(&mut self, provider: &Arc<str>) -> Option<Turn> {
        match self.clock.passes.get_mut(provider) {
            Some(passes) => *passes = true,
            None => drop(self.clock.passes.insert(Arc::clone(provider), true)),
        }
        self.clock.frozen.take()?;
        Some(Turn::Thawed { what: Doubted::Clock, why: format!("a certificate of {provider} is good again") })
    }

    /// What came of asking the anchors.
    pub(super) fn found(&mut self, family: Family, finding: &Finding, now: Time) -> Option<Turn> {
        self.networks[family as usize].found(family, finding, now)
    }

    /// Time has come to `now`.
    pub(super) fn tick(&mut self, now: Time) -> (Vec<Turn>, Vec<Inquiry>) {
        let (mut turns, mut inquiries) = (Vec::new(), Vec::new());
        for (network, family) in self.networks.iter_mut().zip(Family::ALL) {
            turns.extend(network.gives_up(now).then_some(Turn::Released(family)));
            inquiries.extend(network.asks_again(now).then_some(Inquiry::Anchors(family)));
        }
        (turns, inquiries)
    }

    /// When `tick` has something to do.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.networks.iter().filter_map(Network::due).min()
    }

    /// The families whose failures count nothing.
    pub(super) fn frozen(&self) -> [bool; 2] {
        std::array::from_fn(|at| self.networks[at].frozen.is_some())
    }

    /// When failures in this family counted nothing last, if that is over: from, and until.
    pub(super) fn last_freeze(&self, family: Family) -> Option<(Time, Time)> {
        self.networks[family as usize].over
    }

    pub(super) fn doubts(&self) -> Vec<VantageDoubt> {
        let networks = self.networks.iter().zip(Family::ALL).filter_map(|(network, family)| {
            let Frozen { since, evidence, .. } = network.frozen.as_ref()?;
            Some(VantageDoubt { what: Doubted::Network(family), since: *since, evidence: evidence.clone() })
        });
        let clock = self.clock.frozen.iter();
        let clock = clock.map(|(since, evidence)| VantageDoubt {
            what: Doubted::Clock,
            since: *since,
            evidence: evidence.clone(),
        });
        networks.chain(clock).collect()
    }

    /// Only these providers are probed.
    pub(super) fn keep(&mut self, is_probed: impl Fn(&str) -> bool) {
        for network in &mut self.networks {
            network.sights.retain(|provider, _| is_probed(provider));
            network.dark = network.sights.values().filter(|sight| sight.dark_since.is_some()).count();
        }
        self.clock.passes.retain(|provider, _| is_probed(provider));
    }

    /// Notes a fall.
    pub(super) fn fell(&mut self, fall: Fall) {
        let now = fall.at;
        while self.falls.len() >= MAX_FALLS || self.falls.front().is_some_and(|first| now.since(first.at) > FALLS_FOR) {
            self.falls.pop_front();
        }
        self.falls.push_back(fall);
    }

    /// The falls that are now known to be the vantage's.
    pub(super) fn taken_back(&mut self, what: Doubted, since: Time) -> Vec<Fall> {
        let is = |fall: &Fall| match what {
            Doubted::Network(family) => fall.family.is_none_or(|of| of == family),
            Doubted::Clock => fall.out_of_time,
        };
        let (back, stay): (Vec<Fall>, Vec<Fall>) =
            std::mem::take(&mut self.falls).into_iter().partition(|fall| fall.began >= since && is(fall));
        self.falls = stay.into();
        back
    }
}

impl Network {
    fn fails(&mut self, provider: &Arc<str>, began: Time, now: Time) -> (Worth, bool) {
        if self.frozen.is_some() {
            return (Worth::Nothing, false);
        }
        if self.over.is_some_and(|(from, until)| began >= from && began < until) {
            // Its probe was under way when the freeze ended.
            return (Worth::Nothing, false);
        }
        if !self.sights.contains_key(provider) {
            self.sights.insert(Arc::clone(provider), Sight::default());
        }
        if let Some(sight) = self.sights.get_mut(provider)
            && sight.dark_since.is_none()
            && sight.passed.is_none_or(|passed| began > passed)
        {
            sight.dark_since = Some(began);
            self.dark += 1;
            self.youngest = self.youngest.max(began);
        }
        let several = self.dark >= SEVERAL;
        if !several && !self.is_alone() {
            return (Worth::Counts, false);
        }
        let worth = if several && self.went_dark_at_once() { Worth::Waits } else { Worth::Counts };
        if self.asked.is_some() {
            return (worth, false);
        }
        let trusted = self.trusted.is_some_and(|at| at >= self.youngest && now.since(at) < TRUSTED_FOR);
        if trusted || now < self.given_up_until {
            return (Worth::Counts, false);
        }
        self.asked = Some(now);
        (worth, true)
    }

    /// Others went dark with the youngest. What one provider does while another has been dark for long waits for nobody.
    fn went_dark_at_once(&self) -> bool {
        let from = self.youngest.before(AT_ONCE);
        self.sights.values().filter(|sight| sight.dark_since.is_some_and(|since| since >= from)).count() >= SEVERAL
    }

    /// The only provider there is has gone dark.
    fn is_alone(&self) -> bool {
        self.dark == 1 && self.sights.len() == 1
    }

    fn passes(&mut self, family: Family, provider: &Arc<str>, began: Time, now: Time) -> Option<Turn> {
        if !self.sights.contains_key(provider) {
            self.sights.insert(Arc::clone(provider), Sight::default());
        }
        let sight = self.sights.get_mut(provider)?;
        sight.passed = sight.passed.max(Some(began));
        let is_new_light = sight.dark_since.is_some_and(|since| began >= since);
        if is_new_light {
            sight.dark_since = None;
            self.dark -= 1;
        }
        match &self.frozen {
            Some(frozen) => {
                let why = self.light_since(frozen.since)?;
                self.thaws(family, &why, now)
            }
            None => (is_new_light && self.dark < SEVERAL).then_some(Turn::Released(family)),
        }
    }

    /// Why the network works whatever the anchors say: enough providers have passed probes that began since.
    fn light_since(&self, frozen: Time) -> Option<String> {
        let passed = self.sights.iter().filter(|(_, sight)| sight.passed.is_some_and(|passed| passed >= frozen));
        let whose: Vec<&str> = passed.map(|(id, _)| &**id).collect();
        let enough = if self.trusted.is_none() { 1 } else { SEVERAL.min(self.sights.len()) };
        (whose.len() >= enough).then(|| format!("candidates of {} pass again", whose.join(" and ")))
    }

    fn thaws(&mut self, family: Family, why: &str, now: Time) -> Option<Turn> {
        let frozen = self.frozen.take()?;
        self.over = Some((frozen.began, now));
        self.dark = 0;
        self.sights.values_mut().for_each(|sight| sight.dark_since = None);
        let why = format!("{why} after {} s", now.since(frozen.since).as_secs());
        Some(Turn::Thawed { what: Doubted::Network(family), why })
    }

    /// Whether the anchors are to be asked whether they ever answer. They are taken to be.
    fn is_to_be_measured(&mut self, now: Time) -> bool {
        let is_due = self.measured.is_none_or(|at| now.since(at) >= MEASURED_EVERY);
        let asks = self.trusted.is_none() && self.asked.is_none() && is_due;
        if asks {
            self.measured = Some(now);
        }
        asks
    }

    /// That they fail says nothing: they have never passed, though candidates have.
    fn anchors_say_nothing(&self) -> bool {
        self.trusted.is_none() && self.sights.values().any(|sight| sight.passed.is_some())
    }

    fn found(&mut self, family: Family, finding: &Finding, now: Time) -> Option<Turn> {
        let passes = matches!(finding.outcome, Outcome::Pass { .. });
        if passes {
            self.trusted = self.trusted.max(Some(finding.began));
            self.in_vain = 0;
        } else if self.trusted.is_none() {
            self.in_vain = self.in_vain.saturating_add(1);
        }
        if self.frozen.is_none() && self.asked.is_some_and(|asked| finding.began < asked) {
            // It began before what is waited for was asked.
            return None;
        }
        let was_asked = self.asked.take().is_some();
        self.given_up_until = Time(0);
        match &finding.outcome {
            Outcome::Pass { .. } if self.frozen.is_none() => Some(Turn::Released(family)),
            Outcome::Pass { .. } => self.thaws(family, "the anchors answer again", now),
            Outcome::Fail(_) if self.frozen.is_none() && self.anchors_say_nothing() => {
                if was_asked {
                    self.given_up_until = now.after(GIVEN_UP_FOR);
                }
                Some(Turn::Released(family))
            }
            Outcome::Fail(fault) => {
                if let Some(frozen) = &mut self.frozen {
                    frozen.ask_at = now.after(ASKED_EVERY);
                    return None;
                }
                if self.dark < SEVERAL && !self.is_alone() {
                    return Some(Turn::Released(family));
                }
                let whose: Vec<&str> =
                    self.sights.iter().filter(|(_, sight)| sight.dark_since.is_some()).map(|(id, _)| &**id).collect();
                let evidence = format!(
                    "candidates of {} fail at once, and the anchors too: {}",
                    whose.join(" and "),
                    fault.reason
                );
                let began = self.youngest.before(AT_ONCE);
                let ask_at = now.after(ASKED_EVERY);
                self.frozen = Some(Frozen { since: now, began, evidence: evidence.clone(), ask_at });
                Some(Turn::Frozen { what: Doubted::Network(family), since: began, evidence })
            }
        }
    }

    fn gives_up(&mut self, now: Time) -> bool {
        let over = self.frozen.is_none() && self.asked.is_some_and(|asked| now >= asked.after(WAITS));
        if over {
            self.asked = None;
            self.given_up_until = now.after(GIVEN_UP_FOR);
        }
        over
    }

    fn asks_again(&mut self, now: Time) -> bool {
        let Some(frozen) = self.frozen.as_mut().filter(|frozen| frozen.ask_at <= now) else { return false };
        frozen.ask_at = now.after(ASKED_EVERY);
        true
    }

    fn due(&self) -> Option<Time> {
        match &self.frozen {
            Some(frozen) => Some(frozen.ask_at),
            None => self.asked.map(|asked| asked.after(WAITS)),
        }
    }
}
