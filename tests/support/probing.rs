//! A prober under test: commands in, reports out, on the real clock.

// Each test takes what it needs, and may panic.
#![allow(dead_code, clippy::panic)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pointsman::health::message::{Command, Plan, Report, of_each};
use pointsman::health::{self, Running, Settings};
use pointsman::steer::effects::ProbeWanted;
use pointsman::steer::observation::{CandidateKey, Cause, Fault, Observation, Outcome};
use pointsman::steer::policy::{ProbeRule, Scheme, Target};
use pointsman::steer::time::Time;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// More than any probe of a test takes, on a slow machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Probing {
    commands: mpsc::Sender<Command>,
    pub reports: mpsc::Receiver<Report>,
    /// Of a report that was about many candidates.
    seen: VecDeque<Observation>,
    stop: CancellationToken,
    pub running: Option<Running>,
}

impl Probing {
    /// Private addresses are allowed; everything else as `settings` say.
    pub fn start(settings: Settings) -> Self {
        Self::start_exactly(Settings { allow_private: true, ..settings }, 1_000)
    }

    pub fn start_exactly(settings: Settings, room_for_reports: usize) -> Self {
        let (commands, commands_in) = mpsc::channel(16);
        let (reports_out, reports) = mpsc::channel(room_for_reports);
        let stop = CancellationToken::new();
        let running =
            health::start(settings, Arc::new(now), commands_in, reports_out, stop.clone()).expect("the prober starts");
        Self { commands, reports, seen: VecDeque::new(), stop, running: Some(running) }
    }

    pub async fn plan(&self, plans: Vec<Plan>) {
        self.commands.send(Command::Plan(plans)).await.expect("the prober takes commands");
    }

    pub async fn command(&self, command: Command) {
        self.commands.send(command).await.expect("the prober takes commands");
    }

    pub async fn order(&self, candidate: &str, cause: Cause, at: Time) {
        self.order_all(vec![ProbeWanted { candidate: key(candidate), cause, at }]).await;
    }

    /// As the controller asks after one change.
    pub async fn order_all(&self, wanted: Vec<ProbeWanted>) {
        self.commands.send(Command::Probe(wanted)).await.expect("the prober takes commands");
    }

    pub async fn report(&mut self) -> Report {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        report.expect("a report in time").expect("the prober lives")
    }

    /// The next observation, one candidate after the other; what names resolve to is passed over.
    pub async fn observation(&mut self) -> Observation {
        while self.seen.is_empty() {
            if let Report::Observed { observation, candidates, .. } = self.report().await {
                self.seen.extend(of_each(observation, &candidates));
            }
        }
        self.seen.pop_front().expect("not empty")
    }

    /// Probes one plan alone, and returns what was seen first.
    pub async fn outcome_of(&mut self, plan: Plan) -> Outcome {
        let candidate = plan.candidate.clone();
        self.plan(vec![plan]).await;
        loop {
            let observation = self.observation().await;
            if observation.candidate == candidate {
                return observation.outcome;
            }
        }
    }

    /// Stops it, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let running = self.running.take().expect("still running");
        tokio::time::timeout(PATIENCE, running.ended()).await.expect("it stops");
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Time(u64::try_from(since.as_millis()).expect("before the year 500,000,000"))
}

pub fn key(candidate: &str) -> CandidateKey {
    CandidateKey { name: "www.shop.example.".into(), candidate: candidate.into() }
}

pub fn rule(scheme: Scheme, port: u16) -> ProbeRule {
    ProbeRule {
        scheme,
        port,
        path: "/".to_owned(),
        host: "www.shop.example".to_owned(),
        expect: vec![(200, 399)],
        body: None,
        not_body: None,
        slow: None,
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
    }
}

/// One that asks what no other asks: candidates that ask the same share their requests.
pub fn apart(mut plan: Plan) -> Plan {
    plan.probe.path = format!("/{}", plan.candidate.candidate);
    plan
}

/// A candidate whose target is one address.
pub fn at(candidate: &str, scheme: Scheme, address: SocketAddr) -> Plan {
    Plan {
        candidate: key(candidate),
        target: Target::Addresses(vec![address.ip()]),
        probe: rule(scheme, address.port()),
    }
}

/// A candidate whose target is a name.
pub fn named(candidate: &str, target: &str, probe: ProbeRule) -> Plan {
    Plan { candidate: key(candidate), target: Target::Name(target.into()), probe }
}

pub fn fault(outcome: Outcome) -> Fault {
    match outcome {
        Outcome::Fail(fault) => fault,
        Outcome::Pass { latency } => panic!("passed after {latency:?}"),
    }
}

pub fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}
