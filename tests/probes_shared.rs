//! Candidates that ask the same of the same target share one request, and each is told what it saw.

#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman::health::Settings;
use pointsman::health::message::{Plan, Report};
use pointsman::steer::effects::ProbeWanted;
use pointsman::steer::observation::{CandidateKey, Cause, Observation, Outcome};
use pointsman::steer::policy::Scheme;

use fault_target::FaultTarget;
use probing::{PATIENCE, Probing, at, key, now};

/// The next report of a request, and whom it was for.
async fn seen(probing: &mut Probing) -> (Observation, Arc<[CandidateKey]>) {
    match probing.report().await {
        Report::Observed { observation, candidates, .. } => (observation, candidates),
        Report::Resolved { .. } | Report::Found(_) | Report::Service { .. } | Report::ByArea { .. } => {
            unreachable!("no target is a name")
        }
    }
}

/// Probed once, and after that only when ordered.
fn rare(candidate: &str, target: &FaultTarget) -> Plan {
    let mut plan = at(candidate, Scheme::Http, target.address);
    plan.probe.every = Duration::from_secs(3_600);
    plan
}

fn wanted(candidate: usize, cause: Cause, at: pointsman::steer::time::Time) -> ProbeWanted {
    ProbeWanted { candidate: key(&candidate.to_string()), cause, at }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_candidates_of_four_targets_are_four_requests_a_round() {
    let mut targets = Vec::new();
    for _ in 0..4 {
        targets.push(FaultTarget::http("200").await);
    }
    // Room for two reports: a request for a thousand takes no more of it than one for one.
    let mut probing = Probing::start_exactly(Settings { allow_private: true, ..Settings::default() }, 2);
    let plan = |number: usize| {
        let mut plan = at(&number.to_string(), Scheme::Http, targets[number % 4].address);
        plan.probe.every = Duration::from_millis(300);
        plan
    };
    probing.plan((0..1_000).map(plan).collect()).await;
    let mut told = BTreeSet::new();
    for report in 0..40 {
        let (observation, candidates) = seen(&mut probing).await;
        assert_eq!((candidates.len(), &observation.candidate), (250, &candidates[0]));
        assert!(matches!(observation.outcome, Outcome::Pass { .. }));
        if report < 4 {
            told.extend(candidates.iter().cloned());
        }
    }
    assert_eq!(told.len(), 1_000, "the first round told all of them");
    let requests: usize = targets.iter().map(FaultTarget::requests).sum();
    assert!((40..=48).contains(&requests), "a report each, but for those that still wait: {requests}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_a_thousand_share_is_looked_at_again_once() {
    let target = FaultTarget::http("500").await;
    let mut probing = Probing::start(Settings::default());
    probing.plan((0..1_000).map(|number| rare(&number.to_string(), &target)).collect()).await;
    for again in 1..=3 {
        let (observation, candidates) = seen(&mut probing).await;
        assert!(matches!(observation.outcome, Outcome::Fail(_)));
        assert_eq!((candidates.len(), target.requests()), (1_000, again));
        let when = now().after(Duration::from_millis(100));
        probing.order_all((0..1_000).map(|number| wanted(number, Cause::Reprobe, when)).collect()).await;
        let deadline = Instant::now() + PATIENCE;
        while target.requests() == again {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        assert!(now() >= when, "not before it was asked for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_something_else_is_asked_for_alone() {
    let target = FaultTarget::http("500").await;
    let mut probing = Probing::start(Settings::default());
    let plain = rare("plain", &target);
    let mut plans = vec![plain.clone(), plain];
    plans[1].candidate = key("alike");
    let mut change = |candidate: &str, change: &dyn Fn(&mut Plan)| {
        let mut plan = rare(candidate, &target);
        change(&mut plan);
        plans.push(plan);
    };
    change("expect", &|plan| plan.probe.expect = vec![(500, 500)]);
    change("host", &|plan| plan.probe.host = "other.shop.example".to_owned());
    change("path", &|plan| plan.probe.path = "/other".to_owned());
    change("body", &|plan| plan.probe.body = Some("ok".to_owned()));
    change("not-body", &|plan| plan.probe.not_body = Some("ok".to_owned()));
    change("slow", &|plan| plan.probe.slow = Some(Duration::from_secs(1)));
    change("timeout", &|plan| plan.probe.timeout = Duration::from_secs(9));
    change("every", &|plan| plan.probe.every = Duration::from_secs(3_000));
    probing.plan(plans).await;
    let mut sizes = Vec::new();
    for _ in 0..9 {
        let (observation, candidates) = seen(&mut probing).await;
        let passed = matches!(observation.outcome, Outcome::Pass { .. });
        assert_eq!(passed, observation.candidate == key("expect"), "{observation:?}");
        sizes.push(candidates.len());
    }
    sizes.sort_unstable();
    assert_eq!((sizes, target.requests()), (vec![1, 1, 1, 1, 1, 1, 1, 1, 2], 9));
}

/// Evidence for a move is a pass whose probe began after the fault: one that is under way is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_that_is_asked_for_later_is_not_answered_by_a_probe_from_before() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings::default());
    probing.plan((0..3).map(|number| rare(&number.to_string(), &target)).collect()).await;
    assert_eq!(seen(&mut probing).await.1.len(), 3);
    target.set("late:300");
    probing.order_all(vec![wanted(0, Cause::Sibling, now())]).await;
    let deadline = Instant::now() + PATIENCE;
    while target.requests() < 2 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // The fault begins now, in the millisecond after the one in which the first probe was seen.
    let fault = now().after(Duration::from_millis(1));
    while now() < fault {
        tokio::task::yield_now().await;
    }
    probing.order_all(vec![wanted(1, Cause::Sibling, fault), wanted(2, Cause::Sibling, fault)]).await;
    let both = [seen(&mut probing).await, seen(&mut probing).await];
    for (observation, told) in both {
        assert_eq!(observation.cause, Cause::Sibling);
        if observation.began < fault {
            assert_eq!(*told, [key("0")]);
        } else {
            assert_eq!(*told, [key("1"), key("2")]);
        }
    }
    assert_eq!(target.requests(), 3);
}
