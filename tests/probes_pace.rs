//! The prober as a whole: pace, plans that change, probes out of pace, the bound on probes in flight, a slow listener.

#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman::health::{self, Settings, StartError};
use pointsman::steer::observation::{Cause, Outcome};
use pointsman::steer::policy::Scheme;
use pointsman::steer::time::Time;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use fault_target::FaultTarget;
use probing::{PATIENCE, Probing, apart, at, now};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_keep_their_pace() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings { vantage: "test".into(), ..Settings::default() });
    let mut plan = at("paced", Scheme::Http, target.address);
    plan.probe.every = Duration::from_millis(500);
    plan.probe.timeout = Duration::from_secs(5);
    probing.plan(vec![plan]).await;
    let mut starts = Vec::new();
    for _ in 0..6 {
        let observation = probing.observation().await;
        assert_eq!((&*observation.vantage, observation.cause), ("test", Cause::Paced));
        assert_eq!(observation.holds, Duration::from_millis(6_500));
        starts.push(observation.began);
    }
    for pair in starts[1..].windows(2) {
        let apart = pair[1].since(pair[0]);
        // No upper bound: a busy machine may stretch it. That the pace itself never stretches is a property of the schedule.
        assert!(apart >= Duration::from_millis(440), "{apart:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_come_and_go() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings::default());
    let plan = |candidate: &str, every: u64| {
        let mut plan = at(candidate, Scheme::Http, target.address);
        plan.probe.every = Duration::from_millis(every);
        plan
    };
    probing.plan(vec![plan("rare", 3_600_000), plan("left", 50)]).await;
    let mut seen: HashMap<String, usize> = HashMap::new();
    while seen.get("left").copied().unwrap_or(0) < 5 || !seen.contains_key("rare") {
        *seen.entry(probing.observation().await.candidate.candidate.to_string()).or_default() += 1;
    }
    probing.plan(vec![plan("rare", 3_600_000), plan("new", 50)]).await;
    let mut after = Vec::new();
    while after.iter().filter(|candidate| *candidate == "new").count() < 20 {
        after.push(probing.observation().await.candidate.candidate.to_string());
    }
    let first_new = after.iter().position(|candidate| candidate == "new").expect("probed");
    assert!(!after[first_new + 3..].contains(&"left".to_owned()), "{after:?}");
    assert!(!after.contains(&"rare".to_owned()), "what is as before keeps its pace: {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_out_of_pace_comes_when_it_is_ordered() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings::default());
    probing.plan(vec![at("bunny", Scheme::Http, target.address)]).await;
    assert_eq!(probing.observation().await.cause, Cause::Paced);
    let when = now().after(Duration::from_millis(400));
    probing.order("bunny", Cause::Reprobe, when).await;
    probing.order("bunny", Cause::Sibling, Time(0)).await;
    probing.order("nobody", Cause::Sibling, Time(0)).await;
    let sibling = probing.observation().await;
    assert_eq!(sibling.cause, Cause::Sibling);
    assert!(sibling.began < when);
    let again = probing.observation().await;
    assert_eq!(again.cause, Cause::Reprobe);
    assert!(again.began >= when);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_probes_are_in_flight_than_allowed() {
    let target = FaultTarget::http("late:100").await;
    let mut probing = Probing::start(Settings { in_flight: Some(5), ..Settings::default() });
    let plans = (0..40).map(|number| apart(at(&number.to_string(), Scheme::Http, target.address))).collect();
    probing.plan(plans).await;
    for _ in 0..40 {
        assert!(matches!(probing.observation().await.outcome, Outcome::Pass { .. }));
    }
    // A connection is closed a moment after its probe has ended, so the target may see a few more than stand.
    let (_, most) = target.open();
    assert!((4..=10).contains(&most), "{most}");
}

/// The controller reads nothing for a while: probing stands still instead of piling up, and goes on afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_listener_holds_probing_up_without_a_pile() {
    let target = FaultTarget::http("200").await;
    let settings = Settings { allow_private: true, in_flight: Some(4), ..Settings::default() };
    let mut probing = Probing::start_exactly(settings, 2);
    let plan = |candidate: usize, every: u64| {
        let mut plan = apart(at(&candidate.to_string(), Scheme::Http, target.address));
        plan.probe.every = Duration::from_millis(every);
        plan
    };
    probing.plan((0..20).map(|candidate| plan(candidate, 20)).collect()).await;
    // Two reports fit into the channel, four rounds hold one each: the count stands still there.
    let deadline = Instant::now() + PATIENCE;
    while target.requests() < 6 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // Commands are taken all the same: more than their channel holds.
    for _ in 0..40 {
        probing.order("0", Cause::Sibling, Time(0)).await;
        probing.plan((0..20).map(|candidate| plan(candidate, 20)).collect()).await;
    }
    assert_eq!(target.requests(), 6);
    for _ in 0..100 {
        probing.observation().await;
    }
    probing.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_when_told_even_with_probes_under_way_and_reports_unread() {
    let target = FaultTarget::http("silent").await;
    let probing = Probing::start_exactly(Settings { allow_private: true, ..Settings::default() }, 1);
    probing.plan((0..50).map(|number| apart(at(&number.to_string(), Scheme::Http, target.address))).collect()).await;
    let deadline = Instant::now() + PATIENCE;
    while target.requests() < 50 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    probing.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_when_nobody_commands_it_any_more() {
    let (commands, commands_in) = mpsc::channel(1);
    let (reports_out, mut reports) = mpsc::channel(1);
    let running = health::start(Settings::default(), Arc::new(now), commands_in, reports_out, CancellationToken::new())
        .expect("it starts");
    drop(commands);
    tokio::time::timeout(PATIENCE, running.ended()).await.expect("it stops");
    assert!(reports.recv().await.is_none());
}

#[test]
fn what_cannot_work_does_not_start() {
    let start = |settings| {
        let (_commands, commands_in) = mpsc::channel(1);
        let (reports_out, _reports) = mpsc::channel(1);
        health::start(settings, Arc::new(now), commands_in, reports_out, CancellationToken::new()).map(|_| ())
    };
    let bad_header = Settings { headers: vec![("Host".to_owned(), "x".to_owned())], ..Settings::default() };
    assert!(matches!(start(bad_header), Err(StartError::BadHeader { .. })));
    let no_ca = Settings { extra_ca: vec!["/nonexistent/ca.pem".into()], ..Settings::default() };
    assert!(matches!(start(no_ca), Err(StartError::ExtraCaUnreadable { .. })));
    let nothing = Settings { in_flight: Some(0), ..Settings::default() };
    assert!(matches!(start(nothing), Err(StartError::NothingInFlight)));
}
