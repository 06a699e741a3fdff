//! One round: resolve the target if that is due, choose addresses, probe each, report what was seen.
//!
//! A report is sent as soon as its probe has ended, not when the round has. A probe gives its turn back before it
//! reports, so a controller that is slow holds up rounds, not connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::by_area::ByArea;
use super::cold::{Cold, Vanished, Verdict};
use super::fault::{self, Seen, fault, timed_out};
use super::guise::{self, Guise};
use super::http::{self, Http};
use super::message::Report;
use super::phase::Phase;
use super::places::{Place, Places};
use super::prober::Clock;
use super::reach::{self, Routes};
use super::renewal::Renewals;
use super::resolve::Targets;
use super::rotation::{Memory, PACED_ADDRESSES};
use super::schedule::Due;
use super::settings::Settings;
use crate::steer::issuers;
use crate::steer::observation::{Cause, Observation, Outcome, Stage};
use crate::steer::policy::{ProbeRule, Scheme, Target};
use crate::steer::readiness::{Certificate, Facts};
use crate::steer::time::Time;

/// Paced probes that may be missed before an observation says nothing any more.
const HOLDS_ROUNDS: u32 = 3;
/// The kernel and the resolver count time apart: what is resolved again a moment after it ran out is new.
const AFTER_TTL: Duration = Duration::from_millis(2);

/// What came of the requests to one address.
struct Probed {
    seen: Seen,
    facts: Option<Facts>,
    guises: guise::Known,
}

/// The addresses of a target, what is to be remembered of them, and how long the resolver took.
struct Resolved {
    addresses: Arc<[IpAddr]>,
    learnt: Memory,
    lasted: Duration,
}

/// Why it has none, and how long the resolver took to say so.
struct Unresolved {
    reason: String,
    lasted: Duration,
}

/// What all rounds share.
pub struct Rounds {
    pub settings: Settings,
    pub http: Http,
    pub targets: Targets,
    pub cold: Cold,
    pub by_area: ByArea,
    pub renewals: Renewals,
    pub routes: Arc<Routes>,
    pub places: Arc<Places>,
    pub clock: Clock,
    pub reports: mpsc::Sender<Report>,
}

impl Rounds {
    /// Carries out what is due, and returns what was learnt.
    pub async fn run(self: &Arc<Self>, due: &Due, place: &Place) -> Memory {
        let began = Instant::now();
        let cold = self.cold_verdict(due, place).await;
        if let Some(reason) = cold.fails {
            self.report_unresolved(due, began.elapsed(), reason).await;
            return Memory::default();
        }
        let Resolved { addresses, mut learnt, lasted } = match self.addresses(due, place).await {
            Ok(resolved) => resolved,
            Err(Unresolved { reason, lasted }) => {
                self.doubt_target(due);
                self.report_unresolved(due, lasted, reason).await;
                return Memory::default();
            }
        };
        let Some(cause) = due.task.cause() else { return learnt };
        for vanished in &cold.vanished {
            learnt.note(vanished.address, Some(Stage::Resolve));
            self.report_vanished(due, cause, vanished).await;
        }
        let addresses = without(addresses, &cold.vanished);
        let limit = due.check.probe.timeout.saturating_sub(lasted);
        let chosen = due.memory.choose(&addresses, cause);
        // Each in a piece of memory of its own: a round has room for four, most have one, and thousands may be under way.
        let probe = |place: usize| {
            let probe = chosen.get(place).map(|&address| {
                Box::pin(async move { Some((address, self.probe_and_report(due, address, cause, limit).await?)) })
            });
            async move { probe?.await }
        };
        // Two of each family at most: see `rotation`.
        const { assert!(PACED_ADDRESSES == 2) };
        let ended = tokio::join!(probe(0), probe(1), probe(2), probe(3));
        let mut seen = Vec::new();
        for (address, (outcome, guises)) in [ended.0, ended.1, ended.2, ended.3].into_iter().flatten() {
            seen.push((address, stage(&outcome).is_none()));
            learnt.note(address, stage(&outcome));
            learnt.note_guises(guises);
        }
        if cause == Cause::Paced {
            self.prove_areas(due, &seen);
        }
        learnt
    }

    /// All addresses of the target. Where the resolver is asked, the round waits for it without its place.
    async fn addresses(&self, due: &Due, place: &Place) -> Result<Resolved, Unresolved> {
        let known = |addresses| Resolved { addresses, learnt: Memory::default(), lasted: Duration::ZERO };
        let name = match &due.check.target {
            Target::Addresses(addresses) => return Ok(known(addresses.as_slice().into())),
            Target::Name(name) => name,
        };
        if let Some(fresh) = due.memory.fresh((self.clock)()) {
            return Ok(known(fresh));
        }
        let (found, lasted) = {
            let _aside = place.stand_aside();
            let _turn = self.places.look_up().await;
            let began = Instant::now();
            (self.targets.resolve(name, due.memory.last_known(), due.check.probe.timeout).await, began.elapsed())
        };
        let found = found.map_err(|reason| Unresolved { reason, lasted })?;
        let learnt = Memory::resolved(&found.addresses, (self.clock)().after(found.ttl + AFTER_TTL));
        let addresses: Arc<[IpAddr]> = found.addresses.as_slice().into();
        let candidates = Arc::clone(&due.all);
        self.report(Report::Resolved { candidates, addresses: found.addresses, ttl: found.ttl }).await;
        Ok(Resolved { addresses, learnt, lasted })
    }

    /// A target that does not resolve is a failure of the candidate; for a refresh, which probes nothing, it is none.
    async fn report_unresolved(&self, due: &Due, lasted: Duration, reason: String) {
        debug!(candidate = first(due), of = due.candidates.len(), reason, "the target does not resolve");
        let Some(cause) = due.task.cause() else { return };
        let outcome = Outcome::Fail(fault(Stage::Resolve, reason));
        count(&outcome, lasted);
        let ended = (self.clock)();
        self.observed(due, cause, None, (ended.before(lasted), ended), outcome, None).await;
    }

    /// An address family that the target no longer has is a failure of that family.
    async fn report_vanished(&self, due: &Due, cause: Cause, vanished: &Vanished) {
        let outcome = Outcome::Fail(fault(Stage::Resolve, &*vanished.reason));
        count(&outcome, Duration::ZERO);
        let now = (self.clock)();
        self.observed(due, cause, Some(vanished.address), (now, now), outcome, None).await;
    }

    /// What a look beside all rounds has just found, told to all who have this check.
    pub(super) async fn report_cold(&self, due: &Due, verdict: &Verdict, times: (Time, Time)) {
        match &verdict.fails {
            Some(reason) => {
                let outcome = Outcome::Fail(fault(Stage::Resolve, &**reason));
                count(&outcome, times.1.since(times.0));
                self.observed(due, Cause::Paced, None, times, outcome, None).await;
            }
            None => {
                for vanished in &verdict.vanished {
                    self.report_vanished(due, Cause::Paced, vanished).await;
                }
            }
        }
    }

    /// Probes one address. Nothing where it cannot be probed from here.
    async fn probe_and_report(
        &self,
        due: &Due,
        address: IpAddr,
        cause: Cause,
        limit: Duration,
    ) -> Option<(Outcome, guise::Known)> {
        if !self.routes.reach(address) {
            debug!(candidate = first(due), of = due.candidates.len(), %address, "not probed: no route");
            return None;
        }
        let turn = self.places.request().await?;
        let in_flight = InFlight::begin();
        let (began, clock) = ((self.clock)(), Instant::now());
        let Probed { seen, facts, guises } = self.probe(due, address, limit).await;
        let (ended, lasted) = ((self.clock)(), clock.elapsed());
        drop((in_flight, turn));
        match seen {
            Seen::Outcome(outcome) => {
                let of = due.candidates.len();
                debug!(candidate = first(due), of, %address, ?cause, ?outcome, ?lasted, "probed");
                count(&outcome, lasted);
                let facts = facts.map(Arc::new);
                self.observed(due, cause, Some(address), (began, ended), outcome.clone(), facts).await;
                Some((outcome, guises))
            }
            Seen::Nothing(why) => {
                warn!(candidate = first(due), of = due.candidates.len(), %address, why, "a probe could not be sent");
                counter!("pointsman_probes_total", "outcome" => "not-sent", "stage" => "none").increment(1);
                None
            }
        }
    }

    async fn probe(&self, due: &Due, address: IpAddr, limit: Duration) -> Probed {
        let rule = &due.check.probe;
        let plain = |seen| Probed { seen, facts: None, guises: due.memory.guises() };
        if let Some(refused) = self.refuse(address) {
            return plain(refused);
        }
        let mut probed = match rule.scheme {
            Scheme::Https | Scheme::Http => self.in_guises(due, address, limit).await,
            Scheme::Tcp => plain(self.tcp(rule, address, limit).await),
        };
        probed.seen = self.doubt_route(probed.seen, address);
        probed
    }

    /// One request as itself: what origins are asked.
    pub(super) async fn ask(&self, rule: &ProbeRule, address: IpAddr, limit: Duration) -> Seen {
        if let Some(refused) = self.refuse(address) {
            return refused;
        }
        let seen = match rule.scheme {
            Scheme::Https | Scheme::Http => self.http.probe(rule, address, limit, Guise::Itself).await.0,
            Scheme::Tcp => self.tcp(rule, address, limit).await,
        };
        self.doubt_route(seen, address)
    }

    /// Addresses that are not asked: those of private networks, unless that is allowed.
    fn refuse(&self, address: IpAddr) -> Option<Seen> {
        let kind = reach::special_kind(address).filter(|_| !self.settings.allow_private)?;
        let reason = format!("address {address} is {kind} and probe.allow_private is off");
        Some(Seen::fault(fault(Stage::Connect, reason)))
    }

    /// As itself, and as a browser where that is due or would tell a challenge from a fault.
    async fn in_guises(&self, due: &Due, address: IpAddr, limit: Duration) -> Probed {
        let (rule, began) = (&due.check.probe, Instant::now());
        let (itself, mut learnt) = self.http.probe(rule, address, limit, Guise::Itself).await;
        let passes = matches!(itself, Seen::Outcome(Outcome::Pass { .. }));
        let left = limit.saturating_sub(began.elapsed());
        let every = self.settings.browser_every;
        let asks = (passes && due.memory.asks_browser(every)) || (every > 0 && guise::challenge(&itself).is_some());
        let mut browser = None;
        // With little time left a probe would fail for that alone.
        if asks && left >= limit / 2 {
            let (seen, of_browser) = self.http.probe(rule, address, left, Guise::Browser).await;
            learnt = if passes { learnt } else { of_browser };
            browser = Some(seen);
        }
        let (seen, guises) = due.memory.guises().judge(itself, browser);
        let facts = matches!(seen, Seen::Outcome(Outcome::Pass { .. })).then(|| {
            let known = |certificate: &Arc<Certificate>| issuers::is_known(&certificate.issuer);
            let dns =
                learnt.certificate.as_ref().filter(|found| known(found)).and_then(|_| self.renewals.of(&rule.host));
            Facts { dns, bot_rules: guises.bot_rules(), asked_as_browser: guises.has_asked_browser(), ..learnt }
        });
        Probed { seen, facts, guises }
    }

    /// `tcp`: a connection, closed at once.
    async fn tcp(&self, rule: &ProbeRule, address: IpAddr, limit: Duration) -> Seen {
        let port = self.settings.ports.get(&rule.port).copied().unwrap_or(rule.port);
        let began = Instant::now();
        match tokio::time::timeout(limit, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(Ok(_)) => http::pass(rule, began.elapsed()),
            Ok(Err(error)) => fault::of_connect(&error),
            Err(_) => Seen::fault(timed_out(rule.timeout, Phase::Connecting)),
        }
    }

    /// A connection that failed because the route of this machine has just gone says nothing of the candidate.
    fn doubt_route(&self, seen: Seen, address: IpAddr) -> Seen {
        let failed_to_connect = matches!(&seen, Seen::Outcome(Outcome::Fail(fault)) if fault.stage == Stage::Connect);
        if failed_to_connect && !reach::is_routed(address) {
            self.routes.check();
            return Seen::Nothing(format!("no route to {address}"));
        }
        seen
    }

    /// Reports what was seen, for all who are to be told.
    async fn observed(
        &self,
        due: &Due,
        cause: Cause,
        address: Option<IpAddr>,
        (began, ended): (Time, Time),
        outcome: Outcome,
        facts: Option<Arc<Facts>>,
    ) {
        let Some(candidate) = due.candidates.first().cloned() else { return };
        let vantage = Arc::clone(&self.settings.vantage);
        let holds = due.check.probe.every * HOLDS_ROUNDS + due.check.probe.timeout;
        let observation = Observation { candidate, vantage, cause, address, began, ended, holds, outcome };
        self.report(Report::Observed { candidates: Arc::clone(&due.candidates), observation, facts }).await;
    }

    /// Waits while the controller is behind. One that is gone stops the prober anyway.
    pub(super) async fn report(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            debug!("nobody listens to reports");
        }
    }
}

/// The addresses of families that are still there.
fn without(addresses: Arc<[IpAddr]>, vanished: &[Vanished]) -> Arc<[IpAddr]> {
    let is_gone = |address: &IpAddr| vanished.iter().any(|gone| gone.address.is_ipv4() == address.is_ipv4());
    if vanished.is_empty() {
        addresses
    } else {
        addresses.iter().copied().filter(|address| !is_gone(address)).collect()
    }
}

/// One of those that a round is for, to be logged.
fn first(due: &Due) -> Option<String> {
    due.candidates.first().map(ToString::to_string)
}

fn stage(outcome: &Outcome) -> Option<Stage> {
    match outcome {
        Outcome::Pass { .. } => None,
        Outcome::Fail(fault) => Some(fault.stage),
    }
}

fn count(outcome: &Outcome, lasted: Duration) {
    let (label, stage) = match stage(outcome) {
        None => ("pass", "none"),
        Some(stage) => ("fail", stage.word()),
    };
    counter!("pointsman_probes_total", "outcome" => label, "stage" => stage).increment(1);
    histogram!("pointsman_probe_duration_seconds", "outcome" => label).record(lasted);
}

/// Counts one probe in flight for as long as it stands, also when it is dropped half way.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        gauge!("pointsman_probes_in_flight").increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("pointsman_probes_in_flight").decrement(1);
    }
}
