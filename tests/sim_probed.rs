//! The real prober before the simulated providers: each mode is seen as what it stands for.

#[path = "support/sim.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pointsman::health::message::{Command, Plan, Report};
use pointsman::health::{self, Settings};
use pointsman::sim::internet::Internet;
use pointsman::sim::mode::Mode;
use pointsman::steer::observation::{CandidateKey, CertificateFault, Observation, Outcome, Stage};
use pointsman::steer::policy::SteeredName;
use pointsman::steer::provider::Providers;
use pointsman::steer::time::Time;
use support::{steered, to};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A mode, and how it must look: nothing where it must pass, else stage, status and certificate fault.
type Expected = (Mode, Option<(Stage, Option<u16>, Option<CertificateFault>)>);

const EXPECTED: [Expected; 14] = [
    (Mode::Right, None),
    (Mode::Status(500), Some((Stage::Status, Some(500), None))),
    (Mode::Status(503), Some((Stage::Status, Some(503), None))),
    (Mode::Refuse, Some((Stage::Connect, None, None))),
    (Mode::Blackhole, Some((Stage::Timeout, None, None))),
    (Mode::WrongCert, Some((Stage::Tls, None, Some(CertificateFault::WrongName)))),
    (Mode::ExpiredCert, Some((Stage::Tls, None, Some(CertificateFault::Expired)))),
    (Mode::EmptyBody, Some((Stage::Body, Some(200), None))),
    (Mode::NoMarker, Some((Stage::Body, Some(200), None))),
    (Mode::Challenge, Some((Stage::Status, Some(403), None))),
    (Mode::Unclaimed, Some((Stage::Status, Some(500), None))),
    (Mode::EndingCert, None),
    (Mode::Servfail, Some((Stage::Resolve, None, None))),
    (Mode::Nxdomain, Some((Stage::Resolve, None, None))),
];

#[tokio::test]
async fn each_mode_is_seen_as_what_it_is() {
    for (mode, expected) in EXPECTED {
        let seen = first_observation(mode, None).await;
        match (&seen.outcome, expected) {
            (Outcome::Pass { .. }, None) => {}
            (Outcome::Fail(fault), Some((stage, status, certificate))) => {
                assert_eq!((fault.stage, fault.certificate), (stage, certificate), "{mode}: {fault:?}");
                if stage == Stage::Status {
                    assert_eq!(fault.status, status, "{mode}: {fault:?}");
                }
            }
            (outcome, _) => panic!("{mode} is seen as {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn slow_passes_unless_the_zone_says_what_slow_is() {
    assert!(matches!(first_observation(Mode::Slow, None).await.outcome, Outcome::Pass { .. }));
    let seen = first_observation(Mode::Slow, Some(Duration::from_secs(2))).await;
    assert!(matches!(&seen.outcome, Outcome::Fail(fault) if fault.stage == Stage::Slow), "{seen:?}");
}

/// What the prober sees first of a provider that is in this mode from the start.
async fn first_observation(mode: Mode, slow: Option<Duration>) -> Observation {
    let mut name = steered("www.shop.example.", "shop-is-open", &[("bunny", to("shop.b-cdn.net."))]);
    Arc::make_mut(&mut name).candidates[0].probe.slow = slow;
    let internet = Internet::start(std::slice::from_ref(&name), &Providers::known()).await.expect("it starts");
    internet.modes.put("bunny", mode).expect("it plays");
    if mode == Mode::Refuse {
        let address = (internet.cast.players[0].addresses[1], internet.edges.https_port());
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, internet.authority.pem()).expect("written");
    let settings = Settings {
        resolvers: vec![internet.dns.address()],
        extra_ca: vec![authority],
        allow_private: true,
        ports: internet.ports().collect(),
        ..Settings::default()
    };
    let (to_prober, commands) = mpsc::channel(8);
    let (reports, mut from_prober) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let _stop_in_the_end = stop.clone().drop_guard();
    let _prober = health::start(settings, Arc::new(now), commands, reports, stop).expect("it starts");
    to_prober.send(Command::Plan(vec![plan(&name)])).await.expect("it listens");
    let first = async {
        loop {
            if let Report::Observed { observation, .. } = from_prober.recv().await.expect("it reports") {
                return observation;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), first).await.expect("in time")
}

fn plan(name: &SteeredName) -> Plan {
    let candidate = &name.candidates[0];
    Plan {
        candidate: CandidateKey { name: name.name.clone(), candidate: candidate.id.clone() },
        target: candidate.target.clone(),
        probe: candidate.probe.clone(),
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch");
    Time(since.as_millis().try_into().expect("not so far"))
}
