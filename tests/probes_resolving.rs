//! Targets that are names: what they resolve to, how long that holds, and what happens when they do not resolve.

#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use pointsman::health::Settings;
use pointsman::health::message::{Plan, Report};
use pointsman::steer::observation::{Cause, Outcome, Stage};
use pointsman::steer::policy::Scheme;

use fault_target::FaultTarget;
use probing::{Probing, fault, loopback, named, now, rule};
use scripted_resolver::{Says, ScriptedResolver};

const TARGET: &str = "shop.cdn.example.";

fn settings(resolver: &ScriptedResolver) -> Settings {
    // Questions are counted: those for authoritative servers would be among them.
    Settings { resolvers: vec![resolver.address], authoritative_every: Duration::ZERO, ..Settings::default() }
}

fn plan(port: u16) -> Plan {
    let mut plan = named("bunny", TARGET, rule(Scheme::Http, port));
    plan.probe.every = Duration::from_millis(200);
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_does_not_resolve_is_a_resolving_fault() {
    let resolver = ScriptedResolver::start().await;
    for (says, reason, timeout) in [
        (Says::Code(ResponseCode::ServFail), "SERVFAIL", 10_000),
        (Says::Code(ResponseCode::Refused), "REFUSED", 10_000),
        (Says::Code(ResponseCode::NXDomain), "NXDOMAIN", 10_000),
        (Says::Nothing, "no addresses", 10_000),
        (Says::Silence, "resolver timed out", 300),
        (Says::Silence, "resolver timed out", 9_000),
    ] {
        resolver.says(TARGET, says);
        let mut probing = Probing::start(settings(&resolver));
        let mut probed = plan(80);
        probed.probe.timeout = Duration::from_millis(timeout);
        probing.plan(vec![probed]).await;
        let Report::Observed { observation, .. } = probing.report().await else { panic!("it resolved") };
        assert_eq!(observation.address, None);
        let fault = fault(observation.outcome);
        assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Resolve, reason));
    }
}

/// A resolver that is silent must not hold up the probes of targets that need none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_waits_for_the_resolver_holds_no_place() {
    let (edge, resolver) = (FaultTarget::http("200").await, ScriptedResolver::start().await);
    resolver.says(TARGET, Says::Silence);
    let mut probing = Probing::start(Settings { in_flight: Some(1), ..settings(&resolver) });
    let addresses = probing::at("gcore", Scheme::Http, edge.address);
    probing.plan(vec![plan(80), addresses]).await;
    let seen = [probing.observation().await, probing.observation().await].map(|seen| seen.candidate.candidate);
    assert_eq!(seen, ["gcore".into(), "bunny".into()], "the one that was begun first waits a second at least");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_families_and_chains_are_followed_and_reported() {
    let edge = FaultTarget::http("200").await;
    let resolver = ScriptedResolver::start().await;
    resolver.says(TARGET, Says::Alias("eu.cdn.example.", 40));
    resolver.says("eu.cdn.example.", Says::Alias("edge.cdn.example.", 20));
    let v6: IpAddr = "::1".parse().expect("an address");
    resolver.says("edge.cdn.example.", Says::Addresses(vec![loopback(1), v6], 60));
    let mut probing = Probing::start(settings(&resolver));
    probing.plan(vec![plan(edge.address.port())]).await;
    let Report::Resolved { candidates, addresses, ttl } = probing.report().await else { panic!("not resolved") };
    assert_eq!(*candidates, [probing::key("bunny")]);
    assert_eq!(addresses, [loopback(1), v6]);
    assert!(ttl <= Duration::from_secs(20) && ttl > Duration::from_secs(10), "the shortest of the chain: {ttl:?}");
    let observation = probing.observation().await;
    assert!(observation.address.is_some_and(|address| addresses.contains(&address)));
}

/// Candidates that ask the same share what their target resolves to. One that joins them is told at once: flattened answers
/// wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_joins_others_is_told_what_they_know() {
    let edge = FaultTarget::http("200").await;
    let resolver = ScriptedResolver::start().await;
    resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 300));
    let mut probing = Probing::start(settings(&resolver));
    let plan = |candidate: &str| {
        let mut plan = named(candidate, TARGET, rule(Scheme::Http, edge.address.port()));
        plan.probe.every = Duration::from_secs(3_600);
        plan
    };
    let all = ["bunny", "gcore", "ovh"].map(probing::key);
    for known in [2, 3] {
        probing.plan(["bunny", "gcore", "ovh"][..known].iter().map(|candidate| plan(candidate)).collect()).await;
        let Report::Resolved { candidates, addresses, .. } = probing.report().await else { panic!("not resolved") };
        assert_eq!((&*candidates, addresses), (&all[..known], vec![loopback(1)]));
        let Report::Observed { candidates, observation, .. } = probing.report().await else { panic!("not probed") };
        let new = if known == 2 { &all[..2] } else { &all[2..] };
        assert_eq!((&*candidates, observation.cause), (new, Cause::Paced), "who was there before keeps its pace");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_used_for_its_ttl_and_a_change_is_seen_after_it() {
    let old = FaultTarget::http("500").await;
    let port = old.address.port();
    let _new = FaultTarget::start(&format!("127.0.0.2:{port}"), "200", None).await;
    let resolver = ScriptedResolver::start().await;
    resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 1));
    let mut probing = Probing::start(settings(&resolver));
    probing.plan(vec![plan(port)]).await;
    let began = Instant::now();
    let first = probing.observation().await;
    assert_eq!(first.address, Some(loopback(1)));
    resolver.says(TARGET, Says::Addresses(vec![loopback(2)], 1));
    let mut probes = 0;
    loop {
        match probing.report().await {
            Report::Resolved { addresses, .. } => {
                assert_eq!(addresses, [loopback(2)]);
                break;
            }
            Report::Observed { observation, .. } => {
                assert_eq!(observation.address, Some(loopback(1)));
                probes += 1;
            }
            Report::Found(_) | Report::Service { .. } | Report::ByArea { .. } => {
                unreachable!("nothing was inquired, nothing is flattened")
            }
        }
    }
    // A TTL below 5 s counts as 5 s.
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(4_900) && waited < Duration::from_secs(8), "{waited:?}");
    assert!(probes > 10, "{probes}");
    assert_eq!(resolver.questions(), 4, "two families, twice");
    assert!(matches!(probing.observation().await.outcome, Outcome::Pass { .. }));
}

/// The addresses are wanted by flattened answers too, so they are renewed between probes that are far apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_renewed_between_probes() {
    let edge = FaultTarget::http("200").await;
    let resolver = ScriptedResolver::start().await;
    resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 5));
    let mut probing = Probing::start(settings(&resolver));
    let mut rare = plan(edge.address.port());
    rare.probe.every = Duration::from_secs(3600);
    probing.plan(vec![rare]).await;
    probing.observation().await;
    resolver.says(TARGET, Says::Addresses(vec![loopback(1), loopback(2)], 5));
    let Report::Resolved { addresses, .. } = probing.report().await else { panic!("probed instead") };
    assert_eq!(addresses, [loopback(1), loopback(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_family_that_fails_does_not_spoil_the_other() {
    let edge = FaultTarget::http("200").await;
    let resolver = ScriptedResolver::start().await;
    let v4 = Box::new(Says::Addresses(vec![loopback(1)], 60));
    resolver.says(TARGET, Says::ByType(v4, Box::new(Says::Code(ResponseCode::ServFail))));
    let mut probing = Probing::start(settings(&resolver));
    probing.plan(vec![plan(edge.address.port())]).await;
    let Report::Resolved { addresses, ttl, .. } = probing.report().await else { panic!("not resolved") };
    assert_eq!((addresses, ttl), (vec![loopback(1)], Duration::from_secs(5)));
}

/// Of two addresses one is dead: a re-probe after its failure goes to the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_re_probe_after_a_connect_fault_takes_another_address() {
    let edge = FaultTarget::http("200").await;
    let resolver = ScriptedResolver::start().await;
    resolver.says(TARGET, Says::Addresses(vec![loopback(1), loopback(9)], 60));
    let mut probing = Probing::start(settings(&resolver));
    let mut rare = plan(edge.address.port());
    rare.probe.every = Duration::from_secs(3600);
    probing.plan(vec![rare]).await;
    let both = [probing.observation().await, probing.observation().await];
    let dead = both.iter().find(|seen| seen.address == Some(loopback(9))).expect("two addresses are probed");
    assert_eq!(fault(dead.outcome.clone()).stage, Stage::Connect);
    probing.order("bunny", Cause::Reprobe, now()).await;
    let again = probing.observation().await;
    assert_eq!((again.cause, again.address), (Cause::Reprobe, Some(loopback(1))));
    assert!(matches!(again.outcome, Outcome::Pass { .. }));
}

/// A failing resolver is noticed when the addresses run out, and nothing is reported as resolved then; recovery is seen
/// by the next probe, since failures are not cached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resolving_that_begins_to_fail_is_a_failure_and_recovers_at_once() {
    let edge = FaultTarget::http("200").await;
    let resolver = ScriptedResolver::start().await;
    resolver.says(TARGET, Says::Code(ResponseCode::NXDomain));
    let mut probing = Probing::start(settings(&resolver));
    probing.plan(vec![plan(edge.address.port())]).await;
    for _ in 0..3 {
        assert_eq!(fault(probing.observation().await.outcome).reason, "NXDOMAIN");
    }
    resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 60));
    let recovered = loop {
        let observation = probing.observation().await;
        if matches!(observation.outcome, Outcome::Pass { .. }) {
            break observation;
        }
    };
    assert_eq!(recovered.address, Some(loopback(1)));
}
