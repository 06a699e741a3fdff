//! The prober: one task that owns the schedule, on a thread of its own.
//!
//! A runtime of one thread is deliberate: a probe is a handful of short steps, and handing each from thread to thread
//! costs as much as the step itself. It also keeps a burst of TLS handshakes away from the threads that answer.
//!
//! The task never waits for the controller: reports are sent by the rounds. When `in_flight` rounds stand, no more
//! begin, commands are still taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::by_area::ByArea;
use super::cold::Cold;
use super::flatten::Flattening;
use super::http::Http;
use super::inquire;
use super::inquiries::{AT_ONCE, Inquiries};
use super::message::{Command, Question, Report};
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

/// How often the routes of this machine are looked at.
const ROUTE_CHECK: Duration = Duration::from_secs(10);
/// A sleep when nothing is planned; commands wake the task anyway.
const IDLE: Duration = Duration::from_secs(3600);

/// A prober that runs.
#[derive(Debug)]
pub struct Running {
    ended: oneshot::Receiver<()>,
    routes: Arc<Routes>,
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
    if settings.in_flight == 0 {
        return Err(StartError::NothingInFlight);
    }
    let http = Http::new(&settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let targets = {
        let _inside = runtime.enter();
        Targets::new(&settings.resolvers)?
    };
    let routes = Arc::new(Routes::checked());
    let turns = Semaphore::new(settings.in_flight.min(Semaphore::MAX_PERMITS));
    let cold = Cold::new(settings.authoritative_every);
    let renewals = Renewals::new(targets.clone());
    let (by_area, routes_of_rounds) = (ByArea::default(), Arc::clone(&routes));
    let rounds =
        Rounds { settings, cold, by_area, http, targets, renewals, routes: routes_of_rounds, turns, clock, reports };
    let prober = Prober {
        rounds: Arc::new(rounds),
        schedule: Schedule::new(seed()),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        inquiries: Inquiries::default(),
        asking: JoinSet::new(),
        questions: HashMap::new(),
        flattening: Flattening::default(),
    };
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
    Ok(Running { ended, routes })
}

/// A seed for the jitter; chance is all it is for.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}

struct Prober {
    rounds: Arc<Rounds>,
    schedule: Schedule,
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
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut routes = tokio::time::interval(ROUTE_CHECK);
        loop {
            let wait = self.begin_what_is_due().min(self.begin_inquiries()).min(self.flattening.begin(&self.rounds));
            tokio::select! {
                () = stop.cancelled() => break,
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => self.end(ended),
                Some(ended) = self.asking.join_next_with_id() => self.end_inquiry(ended),
                () = self.flattening.ended(&self.rounds.clock) => {}
                () = tokio::time::sleep(wait) => {}
                _ = routes.tick() => self.rounds.routes.check(),
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
        while self.running.len() < self.rounds.settings.in_flight {
            let Some(due) = self.schedule.take(now) else {
                return self.schedule.next_due().map_or(IDLE, |at| at.since(now));
            };
            self.begin(due);
        }
        IDLE
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
        let rounds = Arc::clone(&self.rounds);
        let handle = self.running.spawn(async move { rounds.run(&due).await });
        self.tasks.insert(handle.id(), what);
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
            Command::Plan(plans) => self.schedule.plan(plans, now),
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
