//! The task itself: what comes in, and where its effects go.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::areas::{DatabaseFile, KnownAreas};
use super::books::Books;
use super::drills::Drills;
use super::flattened::Flattened;
use super::keeping::Keeping;
use super::message::{EventFilter, Reply, Request};
use super::publish::Resolved;
use super::reload::{Loading, loaded};
use super::retired::Retired;
use super::view::{EventPage, FirstRound, ReloadReport, Serving};
use super::zones::Zones;
use super::{Clock, Parts, views};
use crate::config::{Config, ConfigFile};
use crate::health::message::{Command, Plan, Report};
use crate::image::published::Published;
use crate::steer::effects::Effects;
use crate::steer::observation::{CandidateKey, Family};
use crate::steer::steering::Steering;
use crate::steer::time::Time;
use crate::steer::transition::{Change, OverrideState, Transition};
use crate::store::OpenState;
use crate::store::kept::{Event, Kept, Write};

/// Observations taken in before their effects are published as one change. One report is never divided: what one request
/// saw moves all its names at once.
const BATCH: usize = 256;
/// Reports that come so soon after others wait for each other: probes end in bunches, and waking a thread costs more than
/// taking a report in.
const GATHER: Duration = Duration::from_millis(5);
/// Events held in memory, for when the store is gone.
const RECENT_EVENTS: usize = 1_000;
/// Transitions of one batch that are logged, a line each. A provider that falls moves all its names at once; 100,000 lines
/// would hold up the task for as long as who reads the log takes.
const LOGGED_TRANSITIONS: usize = 200;
/// What has no time of its own is looked at so often.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// The state, and the ways in and out.
pub(super) struct Task {
    pub(super) config: Config,
    pub(super) config_file: Option<ConfigFile>,
    pub(super) vantage: Arc<str>,
    pub(super) client_key: [u8; 16],
    pub(super) clock: Clock,
    pub(super) started: Time,
    pub(super) steering: Steering,
    /// Shared with the load that runs.
    pub(super) zones: Arc<Zones>,
    pub(super) areas: KnownAreas,
    pub(super) database: watch::Sender<Option<DatabaseFile>>,
    pub(super) resolved: HashMap<CandidateKey, Resolved>,
    pub(super) flattened: Flattened,
    /// Where the image holds each steered name.
    pub(super) slots: HashMap<Arc<str>, usize>,
    pub(super) published: Arc<ArcSwap<Published>>,
    /// Names for which answers need other sets than those that are published.
    pub(super) sets_changed: HashSet<Arc<str>>,
    /// What was published before.
    pub(super) retired: Retired,
    pub(super) generation: u64,
    pub(super) keeping: Keeping,
    pub(super) books: Books,
    pub(super) open_state: OpenState,
    pub(super) next_override: u64,
    pub(super) next_event: u64,
    pub(super) drills: Drills,
    pub(super) recent: VecDeque<Arc<Event>>,
    pub(super) first_round: FirstRound,
    pub(super) last_reload: Option<ReloadReport>,
    pub(super) kept: Option<Kept>,
    pub(super) families_without_route: Arc<dyn Fn() -> Vec<Family> + Send + Sync>,
    pub(super) probes_behind: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    pub(super) udp_dropped: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(super) tcp_connections: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(super) serving: watch::Receiver<Serving>,
    requests: mpsc::Receiver<Request>,
    pub(super) commands: mpsc::Sender<Command>,
    /// The prober has not been told of the candidates as they are now.
    pub(super) plan_due: bool,
    reports: mpsc::Receiver<Report>,
    stop: CancellationToken,
    pub(super) loading: Option<Loading>,
    /// Reloads that were asked for while one runs: the next one answers them all.
    pub(super) waiting: Vec<Reply<ReloadReport>>,
}

impl Task {
    pub(super) fn new(parts: Parts, requests: mpsc::Receiver<Request>) -> Self {
        let started = parts.clock.now();
        let mut kept = parts.opened.kept;
        let drills = Drills::new(std::mem::take(&mut kept.drills), &parts.client_key);
        Self {
            config: parts.config,
            config_file: parts.config_file,
            vantage: parts.vantage,
            client_key: parts.client_key,
            clock: parts.clock,
            started,
            steering: Steering::new(),
            zones: Arc::default(),
            areas: KnownAreas::default(),
            database: parts.database,
            resolved: HashMap::new(),
            flattened: Flattened::default(),
            slots: HashMap::new(),
            published: Arc::new(ArcSwap::from_pointee(Published::default())),
            sets_changed: HashSet::new(),
            retired: Retired::default(),
            generation: kept.generation,
            keeping: Keeping::new(parts.opened.store, &kept),
            books: Books::new(&kept.ledger, parts.threads, started),
            open_state: parts.opened.state,
            next_override: kept.last_override + 1,
            next_event: kept.last_event + 1,
            drills,
            recent: VecDeque::new(),
            first_round: FirstRound::Pending,
            last_reload: None,
            kept: Some(kept),
            families_without_route: parts.families_without_route,
            probes_behind: parts.probes_behind,
            udp_dropped: parts.udp_dropped,
            tcp_connections: parts.tcp_connections,
            serving: parts.serving,
            requests,
            commands: parts.commands,
            plan_due: false,
            reports: parts.reports,
            stop: parts.stop,
            loading: None,
            waiting: Vec::new(),
        }
    }

    pub(super) fn published(&self) -> Arc<ArcSwap<Published>> {
        self.published.clone()
    }

    /// Runs until it is stopped or every sender is gone.
    pub(super) async fn run(mut self) {
        let commands = self.commands.clone();
        let mut housekeeping = Instant::now() + HOUSEKEEPING;
        let mut not_before = Instant::now();
        loop {
            let tick = self.steering.next_tick().map(|tick| self.clock.instant(tick));
            let next = self.retired.next_look().into_iter().chain(self.next_drill());
            let wake = tick.into_iter().chain(next).fold(housekeeping, Instant::min);
            let wake = wake.min(self.books.next());
            tokio::select! {
                () = self.stop.cancelled() => return self.close_books(),
                Some(request) = self.requests.recv() => self.answer(request),
                Some(report) = next_report(&mut self.reports, not_before) => {
                    self.take_in(report);
                    not_before = Instant::now() + GATHER;
                }
                outcome = loaded(&mut self.loading) => self.finish_loading(outcome),
                // A prober that is busy must not hold up answers.
                room = commands.reserve(), if self.plan_due => self.plan(room.ok()),
                () = tokio::time::sleep_until(wake) => {
                    if housekeeping <= Instant::now() {
                        housekeeping = Instant::now() + HOUSEKEEPING;
                        self.forget_old_sets(self.clock.now());
                    }
                    if self.books.next() <= Instant::now() {
                        self.keep_books();
                    }
                    let texts = self.keeping.texts();
                    self.retired.tick(Instant::now(), || texts.are_settled());
                    self.tick();
                    self.begin_drills();
                }
            }
        }
    }

    fn answer(&mut self, request: Request) {
        // A receiver that is gone has lost interest: that is no fault.
        match request {
            Request::Overview(reply) => drop(reply.send(self.overview())),
            Request::Providers(reply) => drop(reply.send(self.providers())),
            Request::Names(name, reply) => drop(reply.send(self.names(name.as_deref()))),
            Request::Zones(reply) => drop(reply.send(self.zones())),
            Request::Explain(query, reply) => drop(reply.send(self.explain(&query))),
            Request::ExplainPast(name, at, reply) => self.explain_past(name, at, reply),
            Request::Events(query, reply) => self.events(query, reply),
            Request::Jurisdiction(query, reply) => self.jurisdiction(query, reply),
            Request::Drills(filter, reply) => drop(reply.send(self.drills(filter))),
            Request::Drill(id, client, reply) => drop(reply.send(self.drill(id, client))),
            Request::Overrides(reply) => drop(reply.send(self.overrides_in_force())),
            Request::Place(order, reply) => self.place(order, reply),
            Request::Rehearse(order, reply) => self.rehearse(order, reply),
            Request::Release(release, reply) => self.release(&release, reply),
            Request::Reload(reply) => self.reload(vec![reply]),
        }
    }

    fn take_in(&mut self, first: Report) {
        let mut effects = Effects::default();
        let (mut report, mut taken) = (Some(first), 0);
        while let Some(next) = report {
            // One moment for all that one request saw: what they ask of the prober for then is one request again.
            let now = self.clock.now();
            match next {
                Report::Observed { candidates, mut observation, facts } => {
                    taken += candidates.len();
                    for candidate in &*candidates {
                        observation.candidate = candidate.clone();
                        // First, so that after a restart nobody moves to one at risk for a moment.
                        if let (Some(facts), Some(address)) = (&facts, observation.address) {
                            effects.append(self.steering.readied(candidate, address, facts, now));
                        }
                        effects.append(self.steering.observe(&observation, now));
                    }
                }
                Report::Resolved { candidates, addresses, ttl } => {
                    taken += candidates.len();
                    self.take_resolved(&candidates, addresses, ttl, now);
                }
                Report::Service { target, records, ttl, honours_subnets } => {
                    taken += 1;
                    self.take_service(&target, records, ttl, honours_subnets);
                }
                Report::ByArea { target, areas } => {
                    taken += 1;
                    self.take_by_area(&target, areas);
                }
                Report::Found(findings) => {
                    taken += findings.len();
                    for finding in &findings {
                        effects.append(self.steering.found(finding, now));
                        self.warn_of_anchors(finding);
                    }
                }
            }
            report = if taken < BATCH { self.reports.try_recv().ok() } else { None };
        }
        self.apply(effects);
    }

    fn tick(&mut self) {
        let effects = self.steering.tick(self.clock.now());
        self.apply(effects);
    }

    /// Publish, probe, log, store: in this order.
    pub(super) fn apply(&mut self, effects: Effects) {
        let writes = self.carry_out(effects);
        self.keeping.post(writes);
    }

    /// The same up to what is to be stored.
    pub(super) fn carry_out(&mut self, effects: Effects) -> Vec<Write> {
        let mut writes = Vec::new();
        if !effects.decided.is_empty() || !self.sets_changed.is_empty() {
            self.publish_decisions(&effects.decided);
            writes.push(Write::Generation(self.generation));
        }
        self.follow_up(effects, &mut writes);
        writes
    }

    /// Probes and logs what was published, and says what is to be stored.
    pub(super) fn follow_up(&mut self, effects: Effects, writes: &mut Vec<Write>) {
        // All together, so that the prober sees which of them are one request.
        let wanted = effects.probes.len();
        if wanted > 0 && self.commands.try_send(Command::Probe(effects.probes)).is_err() {
            let dropped = u64::try_from(wanted).unwrap_or(u64::MAX);
            metrics::counter!("pointsman_probe_requests_dropped_total").increment(dropped);
        }
        self.inquire(effects.inquiries);
        // Of many steps in one batch the last is what is kept.
        let decided: BTreeSet<Arc<str>> = effects.decided.into_iter().collect();
        writes.extend(decided.iter().map(|name| self.last_decision(name)));
        let remembered: BTreeSet<CandidateKey> = effects.remembered.into_iter().collect();
        for key in remembered {
            let candidate = self.steering.candidate(&key);
            writes.push(match candidate {
                Some(candidate) => Write::Candidate(key, candidate.memory()),
                None => Write::ForgetCandidate(key),
            });
        }
        let transitions = self.follow_drill(effects.transitions, writes);
        let (many, held) = (transitions.len(), transitions.len().saturating_sub(RECENT_EVENTS));
        for (at, transition) in transitions.into_iter().enumerate() {
            if let Change::Override { id, to: OverrideState::Expired | OverrideState::Aborted, .. } = transition.change
            {
                writes.push(Write::ForgetOverride(id));
            }
            count(&transition);
            if at < LOGGED_TRANSITIONS {
                log_transition(&transition);
            }
            let event = Event { id: self.next_event, generation: self.generation, transition };
            self.next_event += 1;
            if at >= held {
                self.hold(event.clone());
            }
            writes.push(Write::Event(event));
        }
        if let Some(more) = many.checked_sub(LOGGED_TRANSITIONS).filter(|more| *more > 0) {
            tracing::warn!(more, "more transitions at the same time: `pointsman events` tells each");
        }
    }

    fn hold(&mut self, event: Event) {
        if self.recent.len() == RECENT_EVENTS {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::new(event));
    }

    fn events(&self, filter: EventFilter, reply: Reply<EventPage>) {
        let store = self.keeping.store().clone();
        let recent: Vec<Arc<Event>> = self.recent.iter().cloned().collect();
        tokio::spawn(async move {
            let page = match store.events(filter.clone()).await {
                Ok(page) => EventPage { events: page.events.iter().map(views::event).collect(), next: page.next },
                // The store is gone: what is in memory is told.
                Err(_) => views::recent_page(&recent, &filter),
            };
            drop(reply.send(page));
        });
    }

    /// Tells the prober all candidates; there is nobody to tell where there is no room to come.
    fn plan(&mut self, room: Option<mpsc::Permit<'_, Command>>) {
        self.plan_due = false;
        let Some(room) = room else { return };
        let candidates = self.steering.names().flat_map(|name| {
            name.candidates.iter().map(|candidate| Plan {
                candidate: CandidateKey { name: name.name.clone(), candidate: candidate.id.clone() },
                target: candidate.target.clone(),
                probe: candidate.probe.clone(),
            })
        });
        room.send(Command::Plan(candidates.collect()));
        self.index_flattened();
        // Once more where there is no room: telling the same twice changes nothing.
        self.plan_due = self.commands.try_send(self.flattened.command()).is_err();
    }

    /// The first round is over, once and for all, when that of every name is. A name that answers what it did before a
    /// restart has none.
    pub(super) fn look_at_first_round(&mut self) {
        if self.first_round == FirstRound::Pending
            && !self.steering.names().any(|name| self.steering.in_first_round(&name.name))
        {
            self.first_round = FirstRound::Done;
        }
    }
}

/// The next report, not before this moment.
async fn next_report(reports: &mut mpsc::Receiver<Report>, not_before: Instant) -> Option<Report> {
    if Instant::now() < not_before {
        tokio::time::sleep_until(not_before).await;
    }
    reports.recv().await
}

/// Counted before it is logged: who has read the line finds it in the metrics.
fn count(transition: &Transition) {
    let kind = match transition.change {
        Change::Verdict { .. } => "verdict",
        Change::Decision { .. } => "decision",
        Change::Provider { .. } => "provider",
        Change::Vantage { .. } => "vantage",
        Change::Readiness { .. } => "readiness",
        Change::Override { .. } => "override",
        Change::Drill { .. } => "drill",
    };
    metrics::counter!("pointsman_transitions_total", "kind" => kind).increment(1);
}

/// One line: subject, from, to and why.
fn log_transition(transition: &Transition) {
    let why = &*transition.why;
    match &transition.change {
        Change::Verdict { subject, from, to, .. } => tracing::warn!(%subject, %from, %to, why, "verdict"),
        Change::Decision { subject, from, to } => {
            tracing::warn!(subject = &**subject, from = &**from, to = &**to, why, "decision");
        }
        Change::Provider { subject, from, to } => tracing::warn!(subject, %from, %to, why, "provider"),
        Change::Vantage { subject, from, to } => tracing::warn!(subject, %from, %to, why, "vantage"),
        Change::Readiness { subject, from, to } => tracing::warn!(%subject, %from, %to, why, "readiness"),
        Change::Override { id, subject, from, to } => {
            let (from, to) = (views::state_word(*from), views::state_word(*to));
            tracing::warn!(id, subject, from, to, why, "override");
        }
        Change::Drill { id, subject, from, to } => tracing::warn!(id, subject, %from, %to, why, "drill"),
    }
}
