//! Whether the vantage itself is to be doubted: its own network, in one address family, or its own clock.
//!
//! A provider is *dark* in a family if one of its candidates failed there and none has passed since. Anchors are hosts
//! that no configured provider carries (`Inquiry::Anchors`). *At once* is as far apart as candidates may notice one
//! fault: the longest round and limit of a probe of the providers that are dark, and 2 s; 2 min at most. By default 15 s.
//!
//! The tables are the tests' tables too. In their examples `a+9` is a candidate of the provider `a` that passes in a probe
//! of second 9, `a-9` one that fails; `a+9/12` took from 9 to 12; `a+20..50` passes every 10 s. `anchors+9` and `anchors-9`
//! are what asking them came to; `@9` is time alone. All is probed every 10 s with a limit of 3 s, `(60)` every 60 s.
//! *It* is the last failure of the example.
//!
//! | dark | for example | it | the anchors are |
//! | --- | --- | --- | --- |
//! | one of several providers | a+0 b+0 anchors+0 a-10 | counts | not asked |
//! | the only provider there is | a+0 anchors+0 a-10 | counts | asked |
//! | two, not at once | a+0 b+0 anchors+0 a-10 b-26 | counts | asked |
//! | two at once | a+0 b+0 anchors+0 a-10 b-25 | waits | asked |
//! | ... where rounds are longer | (60) a+0 b+0 anchors+0 a-10 b-75 | waits | asked |
//! | ... and not so long | (60) a+0 b+0 anchors+0 a-10 b-76 | counts | asked |
//! | two, and the anchors say nothing for 5 s | a+0 b+0 anchors+0 a-10 b-12 @17 b-18 | counts | not asked |
//! | ... for a minute more | a+0 b+0 anchors+0 a-10 b-12 @17 b-77 | waits | asked |
//! | two, and the anchors pass since | a+0 b+0 anchors+0 a-10 b-12 anchors+12 b-16 | counts | not asked |
//! | ... for 5 s | a+0 b+0 anchors+0 a-10 b-12 anchors+12 b-17 | waits | asked |
//! | ... and again, for twice as long | a+0 b+0 anchors+0 a-10 b-12 anchors+12 b-17 anchors+17 b-26 | counts | not asked |
//! | ... and no longer | a+0 b+0 anchors+0 a-10 b-12 anchors+12 b-17 anchors+17 b-27 | waits | asked |
//! | another since the anchors passed | a+0 b+0 c+0 anchors+0 a-10 b-12 anchors+12 c-14 | waits | asked |
//! | one that passed in between | a+0 b+0 anchors+0 a-10 b-12 anchors+12 b+13 b-14 | waits | asked |
//! | one more, long after the others | a+0 b+0 c+0 anchors+0 a-10 b-12 anchors+12 c-90 | counts | asked |
//! | two, and the anchors fail | a+0 b+0 anchors+0 a-10 b-12 anchors-14 b-15 | counts nothing | not asked |
//! | the only one, and the anchors fail | a+0 anchors+0 a-10 anchors-12 a-13 | counts nothing | not asked |
//! | two, and the anchors have never passed | a+0 b+0 anchors-2 a-10 b-12 anchors-14 b-15 | counts | not asked |
//! | two, and nothing at all has ever passed | a-10 b-12 anchors-14 b-15 | counts nothing | not asked |
//! | two, and the anchors fail, who were overruled | a+0 b+0 anchors+0 a-10 b-12 anchors-14 a+20..140 b-150 a-152 anchors-154 a-155 | counts | not asked |
//!
//! Anchors that have never passed are no evidence: a firewall may let nobody out to them. So they are asked at the first
//! pass of a candidate, and each minute until they have passed once. Anchors that pass while providers stay dark are
//! believed for 5 s, then for twice as long each time, up to 10 min: what has failed for a day waits for nobody, and
//! nobody is asked about it all day.
//!
//! Where failures count nothing the family is *frozen*, until somebody shows that the network works:
//!
//! | frozen, and | for example | it is |
//! | --- | --- | --- |
//! | nobody passes | a+0 b+0 anchors+0 a-10 b-12 anchors-14 anchors-21 | frozen |
//! | the anchors pass | a+0 b+0 anchors+0 a-10 b-12 anchors-14 anchors+19 | over |
//! | two providers pass | a+0 b+0 anchors+0 a-10 b-12 anchors-14 a+20 b+21 | over |
//! | ... one in a probe from before | a+0 b+0 anchors+0 a-10 b-12 anchors-14 a+20 b+13/21 | frozen |
//! | one of several does | a+0 b+0 anchors+0 a-10 b-12 anchors-14 a+20..130 | frozen |
//! | ... for 2 min | a+0 b+0 anchors+0 a-10 b-12 anchors-14 a+20..140 | over |
//! | ... with a gap | a+0 b+0 anchors+0 a-10 b-12 anchors-14 a+20..60 a+80..190 | frozen |
//! | one does, and the other was dark long before | a+0 b+0 anchors+0 a-10 b-60 anchors-62 b+63 | over |
//! | only the one that was dark before does | a+0 b+0 anchors+0 a-10 b-60 anchors-62 a+63 | frozen |
//! | the only provider passes | a+0 anchors+0 a-10 anchors-12 a+13 | over |
//! | one does, and the anchors never have | a-10 b-12 anchors-14 a+20 | over |
//!
//! So anchors that fail for good hold nobody for long: after 2 min in which a provider passes without a gap they are
//! overruled, and no evidence until they pass again.
//!
//! The clock is doubted where certificates are expired or not yet valid (`a!9`) at several providers alike:
//!
//! | certificates | for example | it |
//! | --- | --- | --- |
//! | one provider's | b+0 a!10 | counts |
//! | one provider's, of one that is probed over TLS | a!10 | counts |
//! | two providers' | a!10 b!12 | counts nothing |
//! | two providers', and a third passes | c+0 a!10 b!12 | counts |
//! | two providers', of which one passed in between | a!10 b!12 b+13 a!14 | counts |

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::inquiry::{Finding, Inquiry};
use super::observation::{CandidateKey, Family, Outcome};
use super::policy::SteeredName;
use super::time::Time;
use super::track::TrackMemory;

/// Providers that must be dark, or have certificates out of time, before the vantage is doubted though others exist.
const SEVERAL: usize = 2;
/// What waits for the anchors waits so long.
const WAITS: Duration = Duration::from_secs(5);
/// That the anchors pass is believed for so long at first, if nobody else goes dark ...
const TRUSTED_FOR: Duration = Duration::from_secs(5);
/// ... and for so long at most, when they have said so often.
const TRUSTED_AT_MOST: Duration = Duration::from_secs(600);
/// After anchors that nobody heard of, nothing waits for them for so long.
const GIVEN_UP_FOR: Duration = Duration::from_secs(60);
/// While frozen the anchors are asked at this pace.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// Until the anchors have passed once they are asked at this pace, at passes of candidates.
const MEASURED_EVERY: Duration = Duration::from_secs(60);
/// A provider that passes for so long while the anchors fail overrules them: a network that has to find another way does
/// within a minute or two.
const OVERRULED_AFTER: Duration = Duration::from_secs(120);
/// Candidates notice one fault as far apart as a round and the limit of a probe, and this: jitter, and what resolving takes.
const SLACK: Duration = Duration::from_secs(2);
/// What is further apart is never taken for one moment, however long the rounds.
const AT_ONCE_AT_MOST: Duration = Duration::from_secs(120);
/// Falls that are remembered, so that they can be taken back: by time, and how many at most. Longer than what is at once,
/// and the time that anchors take.
const FALLS_FOR: Duration = Duration::from_secs(180);
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
    paces: Paces,
}

/// By provider that is probed: the longest round and limit of a probe of its candidates.
#[derive(Clone, Debug, Default)]
struct Paces(BTreeMap<Arc<str>, Duration>);

#[derive(Clone, Debug, Default)]
struct Network {
    sights: BTreeMap<Arc<str>, Sight>,
    dark: usize,
    /// When the one that went dark last did.
    youngest: Time,
    /// An inquiry is under way since.
    asked: Option<Time>,
    /// Nothing as long as they have never passed, or were overruled.
    trust: Option<Trust>,
    /// When the anchors were asked last for no other reason than whether they ever answer.
    measured: Option<Time>,
    /// Inquiries that failed before any passed.
    in_vain: u32,
    given_up_until: Time,
    frozen: Option<Frozen>,
    /// The last freeze: from when failures count nothing, and until when.
    over: Option<(Time, Time)>,
}

/// The anchors have passed.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// When the last inquiry that passed began.
    began: Time,
    holds: Duration,
}

/// One provider in one family.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    /// When the passing probe that began last began.
    passed: Option<Time>,
    dark_since: Option<Time>,
    /// While frozen: since when it has passed without a gap.
    lit_since: Option<Time>,
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
            let (here, asks) = self.networks[family as usize].fails(provider, &self.paces, began, now);
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
        let turn = network.passes(family, provider, &self.paces, began, now);
        (turn, network.is_to_be_measured(now).then_some(Inquiry::Anchors(family)))
    }

    /// Inquiries to the anchors of this family that failed, while none has ever passed, or since they were overruled.
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
        let since = now.before(self.paces.at_once(self.clock.passes.keys()));
        (Worth::Nothing, Some(Turn::Frozen { what: Doubted::Clock, since, evidence }))
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
        self.networks[family as usize].found(family, finding, &self.paces, now)
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

    /// These names are steered: what is seen of other providers says nothing any more.
    pub(super) fn install<'a>(&mut self, names: impl Iterator<Item = &'a SteeredName>) {
        self.paces = Paces::of(names);
        let is_probed = |provider: &Arc<str>| self.paces.0.contains_key(provider);
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

impl Paces {
    fn of<'a>(names: impl Iterator<Item = &'a SteeredName>) -> Self {
        let mut paces = BTreeMap::new();
        for candidate in names.flat_map(|name| &name.candidates) {
            let pace = candidate.probe.every.saturating_add(candidate.probe.timeout);
            match paces.get_mut(&candidate.provider) {
                Some(longest) => *longest = pace.max(*longest),
                None => drop(paces.insert(Arc::clone(&candidate.provider), pace)),
            }
        }
        Self(paces)
    }

    /// How far apart these may notice one fault.
    fn at_once<'a>(&self, providers: impl Iterator<Item = &'a Arc<str>>) -> Duration {
        let longest = providers.filter_map(|provider| self.0.get(provider)).max().copied().unwrap_or_default();
        longest.saturating_add(SLACK).min(AT_ONCE_AT_MOST)
    }
}

impl Sight {
    /// A probe passed. `gap`: passes that are further apart do not go on from one another.
    fn light_up(&mut self, began: Time, frozen: Option<Time>, gap: impl FnOnce() -> Duration) {
        if frozen.is_some_and(|frozen| began >= frozen) {
            let goes_on = self.lit_since.is_some() && self.passed.is_some_and(|before| began.since(before) <= gap());
            self.lit_since = self.lit_since.filter(|_| goes_on).or(Some(began));
        }
        self.passed = self.passed.max(Some(began));
    }
}

impl Trust {
    fn covers(&self, youngest: Time, now: Time) -> bool {
        self.began >= youngest && now.since(self.began) < self.holds
    }
}

impl Network {
    fn fails(&mut self, provider: &Arc<str>, paces: &Paces, began: Time, now: Time) -> (Worth, bool) {
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
        let worth = if several && self.went_dark_at_once(paces) { Worth::Waits } else { Worth::Counts };
        if self.asked.is_some() {
            return (worth, false);
        }
        let is_covered = self.trust.is_some_and(|trust| trust.covers(self.youngest, now));
        if is_covered || now < self.given_up_until {
            return (Worth::Counts, false);
        }
        self.asked = Some(now);
        (worth, true)
    }

    /// Others went dark with the youngest. What one provider does while another has been dark for long waits for nobody.
    fn went_dark_at_once(&self, paces: &Paces) -> bool {
        let from = self.dark_at_once_since(paces);
        self.sights.values().filter(|sight| sight.dark_since.is_some_and(|since| since >= from)).count() >= SEVERAL
    }

    /// Who went dark no earlier did so at once with the youngest.
    fn dark_at_once_since(&self, paces: &Paces) -> Time {
        let dark = self.sights.iter().filter(|(_, sight)| sight.dark_since.is_some());
        self.youngest.before(paces.at_once(dark.map(|(provider, _)| provider)))
    }

    /// The only provider there is has gone dark.
    fn is_alone(&self) -> bool {
        self.dark == 1 && self.sights.len() == 1
    }

    fn passes(&mut self, family: Family, provider: &Arc<str>, paces: &Paces, began: Time, now: Time) -> Option<Turn> {
        if !self.sights.contains_key(provider) {
            self.sights.insert(Arc::clone(provider), Sight::default());
        }
        let frozen = self.frozen.as_ref().map(|frozen| frozen.since);
        let sight = self.sights.get_mut(provider)?;
        sight.light_up(began, frozen, || paces.at_once([provider].into_iter()));
        let is_new_light = sight.dark_since.is_some_and(|since| began >= since);
        if is_new_light {
            sight.dark_since = None;
            self.dark -= 1;
        }
        match &self.frozen {
            Some(frozen) => {
                let (since, began_at) = (frozen.since, frozen.began);
                if let Some(why) = self.light_since(since, began_at) {
                    return self.thaws(family, &why, now);
                }
                let why = self.overrules(provider)?;
                // No evidence any more, until they pass again.
                (self.trust, self.in_vain) = (None, 0);
                self.thaws(family, &why, now)
            }
            None => (is_new_light && self.dark < SEVERAL).then_some(Turn::Released(family)),
        }
    }

    /// Why the network works whatever the anchors say: enough providers have passed probes that began since. Who was dark
    /// before it all began is not waited for.
    fn light_since(&self, frozen: Time, began: Time) -> Option<String> {
        let passed = self.sights.iter().filter(|(_, sight)| sight.passed.is_some_and(|passed| passed >= frozen));
        let whose: Vec<&str> = passed.map(|(id, _)| &**id).collect();
        let awaited = self.sights.values().filter(|sight| sight.dark_since.is_none_or(|since| since >= began)).count();
        let enough = if self.trust.is_none() { 1 } else { awaited.clamp(1, SEVERAL) };
        (whose.len() >= enough).then(|| format!("candidates of {} pass again", whose.join(" and ")))
    }

    /// Why the anchors are not to be believed any more: this provider has passed for long, and they fail all the same.
    fn overrules(&self, provider: &Arc<str>) -> Option<String> {
        let sight = self.sights.get(provider)?;
        let lasts = sight.passed?.since(sight.lit_since?);
        (lasts >= OVERRULED_AFTER)
            .then(|| format!("candidates of {provider} have passed for {} s, and the anchors fail", lasts.as_secs()))
    }

    fn thaws(&mut self, family: Family, why: &str, now: Time) -> Option<Turn> {
        let frozen = self.frozen.take()?;
        self.over = Some((frozen.began, now));
        self.dark = 0;
        self.sights.values_mut().for_each(|sight| (sight.dark_since, sight.lit_since) = (None, None));
        let why = format!("{why} after {} s", now.since(frozen.since).as_secs());
        Some(Turn::Thawed { what: Doubted::Network(family), why })
    }

    /// Whether the anchors are to be asked whether they ever answer. They are taken to be.
    fn is_to_be_measured(&mut self, now: Time) -> bool {
        let is_due = self.measured.is_none_or(|at| now.since(at) >= MEASURED_EVERY);
        let asks = self.trust.is_none() && self.asked.is_none() && is_due;
        if asks {
            self.measured = Some(now);
        }
        asks
    }

    /// That they fail says nothing: they have never passed, or were overruled, though candidates have passed.
    fn anchors_say_nothing(&self) -> bool {
        self.trust.is_none() && self.sights.values().any(|sight| sight.passed.is_some())
    }

    fn found(&mut self, family: Family, finding: &Finding, paces: &Paces, now: Time) -> Option<Turn> {
        if matches!(finding.outcome, Outcome::Pass { .. }) {
            self.trust(finding.began);
        } else if self.trust.is_none() {
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
                let began = self.dark_at_once_since(paces);
                let ask_at = now.after(ASKED_EVERY);
                self.frozen = Some(Frozen { since: now, began, evidence: evidence.clone(), ask_at });
                Some(Turn::Frozen { what: Doubted::Network(family), since: began, evidence })
            }
        }
    }

    /// The anchors passed. What they say once more about the same dark providers is believed for longer.
    fn trust(&mut self, began: Time) {
        let trust = match self.trust {
            Some(before) if before.began >= began => before,
            Some(before) if before.began >= self.youngest => {
                Trust { began, holds: before.holds.saturating_mul(2).min(TRUSTED_AT_MOST) }
            }
            _ => Trust { began, holds: TRUSTED_FOR },
        };
        (self.trust, self.in_vain) = (Some(trust), 0);
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

#[cfg(test)]
mod tests {
    use super::super::fixture::{START, candidate, steered};
    use super::super::observation::{Fault, Stage};
    use super::*;

    /// The cells of the table whose head begins so.
    fn table(head: &str) -> Vec<Vec<&'static str>> {
        let lines = include_str!("vantage.rs").lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
        let of_table = lines.skip_while(|line| !line.starts_with(&format!("| {head} |")));
        let rows = of_table.skip(2).take_while(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    fn at(seconds: &str) -> Time {
        START.after(Duration::from_secs(seconds.parse().expect("seconds")))
    }

    fn outcome(passes: bool) -> Outcome {
        let fault =
            Fault { stage: Stage::Connect, status: None, certificate: None, page: None, reason: "nobody".to_owned() };
        if passes { Outcome::Pass { latency: Duration::ZERO } } else { Outcome::Fail(fault) }
    }

    /// A vantage to which an example happens.
    struct Example {
        vantage: Vantage,
        /// What the last failure came to, and whether the anchors are asked because of it.
        worth: Worth,
        asks: bool,
        /// When the anchors were asked last.
        asked: Time,
        inquiries: usize,
    }

    impl Example {
        fn new(every: u64) -> Self {
            let mut vantage = Vantage::default();
            let candidates = ["a", "b", "c"].map(|id| {
                let mut candidate = candidate(id, "si", 3);
                candidate.probe.every = Duration::from_secs(every);
                candidate
            });
            vantage.install([steered("www.shop.example.", candidates.to_vec())].iter());
            Self { vantage, worth: Worth::Counts, asks: false, asked: START, inquiries: 0 }
        }

        fn of(text: &str) -> Self {
            let mut example = Self::new(if text.starts_with("(60)") { 60 } else { 10 });
            text.trim_start_matches("(60)").split_whitespace().for_each(|event| example.happens(event));
            example
        }

        fn happens(&mut self, event: &str) {
            if let Some(now) = event.strip_prefix('@') {
                return self.time_comes(at(now));
            }
            let (who, when) = event.split_at(event.find(['+', '-', '!']).expect("a sign"));
            let (sign, when) = when.split_at(1);
            let (began, ended) = when.split_once('/').unwrap_or((when, when));
            match (who, began.split_once("..")) {
                ("anchors", _) => self.found(sign == "+", at(ended)),
                (_, Some((from, until))) => {
                    let (mut now, until) = (at(from), at(until));
                    while now <= until {
                        self.seen(who, sign, now, now);
                        now = now.after(Duration::from_secs(10));
                    }
                }
                (_, None) => self.seen(who, sign, at(began), at(ended)),
            }
        }

        fn time_comes(&mut self, now: Time) {
            let (_, inquiries) = self.vantage.tick(now);
            self.note(inquiries.len(), now);
        }

        fn note(&mut self, inquiries: usize, now: Time) {
            self.inquiries += inquiries;
            if inquiries > 0 {
                self.asked = now;
            }
        }

        fn found(&mut self, passes: bool, now: Time) {
            self.time_comes(now);
            let (inquiry, began) = (Inquiry::Anchors(Family::V4), self.asked);
            self.vantage.found(Family::V4, &Finding { inquiry, began, ended: now, outcome: outcome(passes) }, now);
        }

        fn seen(&mut self, who: &str, sign: &str, began: Time, now: Time) {
            self.time_comes(now);
            let who: Arc<str> = who.into();
            let inquiries = match sign {
                "+" => {
                    self.vantage.passes_tls(&who);
                    self.vantage.passes(&who, Family::V4, began, now).1.into_iter().count()
                }
                "-" => {
                    let (worth, inquiries) = self.vantage.fails(&who, &[Family::V4], began, now);
                    (self.worth, self.asks) = (worth, !inquiries.is_empty());
                    inquiries.len()
                }
                _ => {
                    self.worth = self.vantage.out_of_time(&who, "expired", now).0;
                    0
                }
            };
            self.note(inquiries, now);
        }

        fn words(&self) -> &'static str {
            match self.worth {
                Worth::Counts => "counts",
                Worth::Waits => "waits",
                Worth::Nothing => "counts nothing",
            }
        }
    }

    #[test]
    fn what_a_failure_is_worth() {
        let rows = table("dark");
        assert_eq!(rows.len(), 20);
        for row in rows {
            let example = Example::of(row[1]);
            let asked = if example.asks { "asked" } else { "not asked" };
            assert_eq!((example.words(), asked), (row[2], row[3]), "{row:?}");
        }
    }

    #[test]
    fn what_ends_a_freeze() {
        let rows = table("frozen, and");
        assert_eq!(rows.len(), 11);
        for row in rows {
            let example = Example::of(row[1]);
            let is = if example.vantage.frozen()[0] { "frozen" } else { "over" };
            assert_eq!(is, row[2], "{row:?}");
            assert!(is == "frozen" || example.vantage.last_freeze(Family::V4).is_some(), "it was frozen: {row:?}");
        }
    }

    #[test]
    fn what_certificates_out_of_time_are_worth() {
        let rows = table("certificates");
        assert_eq!(rows.len(), 5);
        for row in rows {
            assert_eq!(Example::of(row[1]).words(), row[2], "{row:?}");
        }
    }

    /// Two providers are gone for a week, each with a candidate that fails every 10 s, and the anchors always pass.
    #[test]
    fn what_stays_dark_asks_the_anchors_ever_less_often() {
        let mut example = Example::of("a+0 b+0 anchors+0");
        let before = example.inquiries;
        let (mut now, mut waits) = (at("10"), 0);
        while now < at("604800") {
            for who in ["a", "b"] {
                example.seen(who, "-", now, now);
                waits += usize::from(example.worth == Worth::Waits);
                if example.asks {
                    example.found(true, now);
                }
            }
            now = now.after(Duration::from_secs(10));
        }
        let asked = example.inquiries - before;
        assert!(asked <= 7 + 604_800 / 600, "asked {asked} times");
        assert!(waits <= asked, "only what asks waits");
        // One more, at once, is asked about as ever.
        example.seen("b", "+", now, now);
        example.seen("b", "-", now.after(Duration::from_secs(1)), now.after(Duration::from_secs(1)));
        assert!(example.asks);
    }
}
