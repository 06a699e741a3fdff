//! The prober: one task that owns the schedule, on a thread of its own.
//!
//! A runtime of one thread is deliberate: a probe is a handful of short steps, and handing each from thread to thread
//! costs as much as the step itself. It also keeps a burst of TLS handshakes away from the threads that answer.
//!
//! The task never waits for the controller: reports are sent by the rounds. When all places are taken (`places`), no more
//! rounds begin, commands are still taken. Whether the pace is kept so is watched, and told when it is not (`pace`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::by_area::ByArea;
use super::cold::Cold;
use super::flatten::Flattening;
use super::http::Http;
use super::inquire;
use super::inquiries::{AT_ONCE, Inquiries};
use super::message::{Command, Question, Report};
use super::pace::{self, Behind, Held, Pace};
use super::places::{Full, Places};
use super::reach::Routes;
use super::renewal::Renewals;
use super::resolve::Targets;
use super::rotation::Memory;
use super::round::Rounds;
use super::schedule::{Due, Schedule, Slot, Task};
use super::settings::{Settings, StartError};
use crate::steer::observation::Family;
use crate::steer::time::Time;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Rounds that are begun before others have their turn.
const BUNCH: usize = 64;
/// A sleep when nothing is planned; commands wake the task anyway.
const IDLE: Duration = Duration::from_secs(3600);

/// A prober that runs.
#[derive(Debug)]
pub struct Running {
    ended: oneshot::Receiver<()>,
    routes: Arc<Routes>,
    behind: watch::Receiver<Option<Behind>>,
}

impl Running {
    /// Address families that this machine has no route for now; their addresses are not probed.
    pub fn families_without_route(&self) -> Vec<Family> {
        self.routes.missing()
    }

    /// The same, for those who outlive this handle.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes)
    }

    /// Why probes do not keep their pace, while they do not.
    pub fn behind(&self) -> watch::Receiver<Option<Behind>> {
        self.behind.clone()
    }

    /// Returns when the prober has stopped.
    pub async fn ended(self) {
        // An error means that its thread is gone, which is an end too.
        let _ = self.ended.await;
    }
}

/// Starts the prober. It stops when `stop` is cancelled, or when the sender of commands is gone; probes under way are
/// dropped then.
pub fn start(
    settings: Settings,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    reports: mpsc::Sender<Report>,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    if settings.in_flight == Some(0) {
        return Err(StartError::NothingInFlight);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let prober = {
        let _inside = runtime.enter();
        Prober::new(settings, clock, reports)?
    };
    let (routes, told) = (Arc::clone(&prober.rounds.routes), prober.behind.subscribe());
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("probes".to_owned())
        .spawn(move || {
            runtime.block_on(prober.run(commands, stop));
            runtime.shutdown_background();
            // Nobody may care any more.
            let _ = done.send(());
        })
        .map_err(StartError::Thread)?;
    Ok(Running { ended, routes, behind: told })
}

/// A seed for the jitter; chance is all it is for.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}

struct Prober {
    rounds: Arc<Rounds>,
    schedule: Schedule,
    pace: Pace,
    behind: watch::Sender<Option<Behind>>,
    running: JoinSet<Memory>,
    /// What each running task was taken for, so that one that panics is given back too.
    tasks: HashMap<Id, (Slot, Task)>,
    inquiries: Inquiries,
    asking: JoinSet<()>,
    /// What each running inquiry asks.
    questions: HashMap<Id, Arc<Question>>,
    flattening: Flattening,
}

impl Prober {
    /// Made inside a tokio runtime.
    fn new(settings: Settings, clock: Clock, reports: mpsc::Sender<Report>) -> Result<Self, StartError> {
        let targets = Targets::new(&settings.resolvers)?;
        let rounds = Rounds {
            http: Http::new(&settings)?,
            cold: Cold::new(settings.authoritative_every),
            by_area: ByArea::default(),
            renewals: Renewals::new(targets.clone()),
            targets,
            routes: Arc::new(Routes::checked()),
            places: Places::new(settings.in_flight, settings.other_files),
            settings,
            clock,
            reports,
        };
        Ok(Self {
            rounds: Arc::new(rounds),
            schedule: Schedule::new(seed()),
            pace: Pace::default(),
            behind: watch::Sender::new(None),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            inquiries: Inquiries::default(),
            asking: JoinSet::new(),
            questions: HashMap::new(),
            flattening: Flattening::default(),
        })
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut window = tokio::time::interval(pace::WINDOW);
        loop {
            let wait = self.begin_what_is_due().min(self.begin_inquiries()).min(self.flattening.begin(&self.rounds));
            tokio::select! {
                () = stop.cancelled() => break,
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => self.end_all(ended),
                () = self.rounds.places.freed() => {}
                Some(ended) = self.asking.join_next_with_id() => self.end_inquiry(ended),
                () = self.flattening.ended(&self.rounds.clock) => {}
                () = tokio::time::sleep(wait) => {}
                _ = window.tick() => {
                    self.rounds.routes.check();
                    self.end_window();
                }
            }
        }
        debug!("the prober stops");
    }

    fn now(&self) -> Time {
        (self.rounds.clock)()
    }

    /// Begins rounds as long as there is room, and says how long to wait for the next.
    fn begin_what_is_due(&mut self) -> Duration {
        let now = self.now();
        for _ in 0..BUNCH {
            let wait = self.schedule.next_due().map_or(IDLE, |at| at.since(now));
            if !wait.is_zero() {
                return wait;
            }
            if let Some(full) = self.rounds.places.full() {
                return self.hold(full);
            }
            let Some(due) = self.schedule.take(now) else { continue };
            self.begin(due);
        }
        Duration::ZERO
    }

    /// What is due cannot begin: a place that is given back wakes the task.
    fn hold(&mut self, full: Full) -> Duration {
        self.pace.held(match full {
            Full::Busy => Held::Machine,
            Full::Taken if self.rounds.reports.capacity() == 0 => Held::Listener,
            Full::Taken => Held::InFlight,
        });
        if full == Full::Busy {
            self.rounds.places.measure();
        }
        IDLE
    }

    /// Tells whether the pace is kept, in the metrics each time and in the log when that changes.
    fn end_window(&mut self) {
        let now = self.now();
        let waits = self.schedule.next_due().map_or(Duration::ZERO, |at| now.since(at));
        let (by, behind) = self.pace.end_window(waits, self.rounds.places.most());
        gauge!("pointsman_probes_behind_seconds").set(by.as_secs_f64());
        match (self.behind.send_replace(behind), behind) {
            (None, Some(behind)) => warn!("{behind}"),
            (Some(_), None) => info!("probes keep their pace again"),
            _ => {}
        }
    }

    /// The same for inquiries, whose room is their own.
    fn begin_inquiries(&mut self) -> Duration {
        let now = self.now();
        while self.asking.len() < AT_ONCE {
            let Some((question, asked_by)) = self.inquiries.take(now) else {
                return self.inquiries.next_due().map_or(IDLE, |at| at.since(now));
            };
            let (rounds, asked) = (Arc::clone(&self.rounds), Arc::clone(&question));
            let handle = self.asking.spawn(async move { inquire::carry_out(&rounds, &asked, asked_by).await });
            self.questions.insert(handle.id(), question);
        }
        IDLE
    }

    fn end_inquiry(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(failed) => {
                error!(error = %failed, "an inquiry broke off");
                failed.id()
            }
        };
        if let Some(question) = self.questions.remove(&id) {
            let now = self.now();
            self.inquiries.ended(&question, now);
        }
    }

    fn begin(&mut self, due: Due) {
        let what = (due.slot, due.task);
        if due.task == Task::Paced {
            self.pace.began(due.late, due.check.probe.every);
        }
        let (rounds, place, ready) = (Arc::clone(&self.rounds), self.rounds.places.take(), Instant::now());
        let handle = self.running.spawn(async move {
            rounds.places.had_turn(ready);
            rounds.run(&due, &place).await
        });
        self.tasks.insert(handle.id(), what);
    }

    /// Those that have ended meanwhile too: they end in bunches.
    fn end_all(&mut self, first: Result<(Id, Memory), tokio::task::JoinError>) {
        self.end(first);
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.end(ended);
        }
    }

    fn end(&mut self, ended: Result<(Id, Memory), tokio::task::JoinError>) {
        let (id, learnt) = match ended {
            Ok((id, learnt)) => (id, learnt),
            Err(failed) => {
                error!(error = %failed, "a probe broke off");
                (failed.id(), Memory::default())
            }
        };
        if let Some((slot, task)) = self.tasks.remove(&id) {
            let now = self.now();
            self.schedule.ended(slot, task, learnt, now);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Plan(plans) => {
                self.schedule.plan(plans, now);
                self.rounds.places.make_for(self.schedule.needs());
            }
            Command::Probe(wanted) => {
                for one in wanted {
                    self.schedule.order(&one.candidate, one.cause, one.at, now);
                }
            }
            Command::Flatten { targets, networks } => {
                self.flattening.plan(targets, networks, now);
                self.rounds.by_area.keep(|target| self.flattening.has(target));
            }
            Command::Inquire(all) => {
                for asked in all {
                    let question = asked.question.clone();
                    if !self.inquiries.ask(asked, now) {
                        inquire::count(&question, "dropped");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::message::Plan;
    use super::*;
    use crate::steer::observation::CandidateKey;
    use crate::steer::policy::{ProbeRule, Scheme, Target};

    const EVERY: Duration = Duration::from_secs(10);

    /// One that asks what no other asks.
    fn plan(number: usize) -> Plan {
        Plan {
            candidate: CandidateKey { name: format!("n{number}.shop.example.").into(), candidate: "bunny".into() },
            target: Target::Addresses(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            probe: ProbeRule {
                scheme: Scheme::Tcp,
                port: 443,
                path: String::new(),
                host: format!("n{number}.shop.example"),
                expect: vec![(200, 399)],
                body: None,
                not_body: None,
                slow: None,
                every: EVERY,
                timeout: Duration::from_secs(3),
            },
        }
    }

    /// Rounds begin, and none of them ever comes to an end, since nothing lets them run.
    fn prober(in_flight: Option<usize>, reports: &mpsc::Sender<Report>, now: &Arc<AtomicU64>) -> Prober {
        let now = Arc::clone(now);
        let clock: Clock = Arc::new(move || Time(now.load(Ordering::Relaxed)));
        Prober::new(Settings { in_flight, other_files: 0, ..Settings::default() }, clock, reports.clone())
            .expect("it starts")
    }

    #[tokio::test]
    async fn what_holds_probes_up_is_told_and_so_is_its_end() {
        for (room, held) in [(1, Held::InFlight), (0, Held::Listener)] {
            let (reports, _taken_in) = mpsc::channel(1);
            let _full = (room == 0).then(|| reports.clone().try_reserve_owned().expect("room for one"));
            let now = Arc::new(AtomicU64::new(1_000));
            let mut prober = prober(Some(2), &reports, &now);
            let told = prober.behind.subscribe();
            prober.obey(Command::Plan((0..3).map(plan).collect()));
            let window = |prober: &mut Prober, seconds: u64| {
                now.fetch_add(seconds * 1_000, Ordering::Relaxed);
                prober.begin_what_is_due();
                prober.end_window();
                *told.borrow()
            };
            let behind = Behind { by: Duration::from_secs(30), held, in_flight: 2 };
            let seen = [0, 10, 10, 10].map(|seconds| window(&mut prober, seconds));
            assert_eq!(seen, [None, None, None, Some(behind)]);
            assert_eq!(prober.running.len(), 2);
            // They are gone, and the third begins.
            prober.running.shutdown().await;
            assert_eq!(window(&mut prober, 0), None);
            assert_eq!(prober.running.len(), 1);
        }
    }

    #[tokio::test]
    async fn a_round_takes_little_before_it_sends_anything() {
        let (reports, _taken_in) = mpsc::channel(1);
        let mut prober = prober(None, &reports, &Arc::new(AtomicU64::new(0)));
        prober.obey(Command::Plan(vec![plan(1)]));
        let (due, place) = (prober.schedule.take(Time(0)).expect("due"), prober.rounds.places.take());
        let octets = size_of_val(&prober.rounds.run(&due, &place));
        assert!(octets < 4_096, "{octets}");
    }

    #[tokio::test]
    async fn places_follow_the_plan() {
        let (reports, _taken_in) = mpsc::channel(1);
        let mut prober = prober(None, &reports, &Arc::new(AtomicU64::new(0)));
        assert_eq!(prober.rounds.places.most(), 256);
        // 3 s of every 10 s each.
        prober.obey(Command::Plan((0..1_000).map(plan).collect()));
        assert_eq!(prober.rounds.places.most(), 300);
        prober.begin_what_is_due();
        assert_eq!(prober.running.len(), BUNCH, "others have their turn in between");
        while prober.begin_what_is_due().is_zero() {}
        assert_eq!(prober.running.len(), 300);
    }
}
