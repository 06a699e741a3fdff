//! Targets as their authoritative servers have them, while a resolver's cache goes on with what it had: July 2021 on
//! loopback.

#![allow(clippy::panic)]

#[path = "support/authoritative.rs"]
mod authoritative;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use pointsman::health::Settings;
use pointsman::health::message::{Command, Report};
use pointsman::steer::observation::{Cause, Observation, Outcome, Stage};
use pointsman::steer::policy::Scheme;

use authoritative::{Answers, AuthoritativeServer};
use fault_target::FaultTarget;
use probing::{PATIENCE, Probing, fault, loopback, named, now, rule};
use scripted_resolver::{Says, ScriptedResolver};

const TARGET: &str = "shop.cdn.example.";
const SERVERS: &[&str] = &["ns1.cdn.example.", "ns2.cdn.example.", "ns3.cdn.example.", "ns4.cdn.example."];

/// An edge that works, a resolver that has the target in its cache, and four authoritative servers of its zone.
struct Site {
    edge: FaultTarget,
    resolver: ScriptedResolver,
    servers: Vec<AuthoritativeServer>,
}

impl Site {
    async fn new() -> Self {
        let (edge, resolver) = (FaultTarget::http("200").await, ScriptedResolver::start().await);
        let servers = AuthoritativeServer::start_all(4).await;
        resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 300));
        resolver.says("cdn.example.", Says::Zone(SERVERS, 300));
        for (name, server) in SERVERS.iter().zip(&servers) {
            resolver.says(name, Says::Addresses(vec![server.address.ip()], 300));
        }
        let site = Self { edge, resolver, servers };
        site.all_answer(TARGET, &Answers::Addresses(vec![loopback(1)]));
        site
    }

    fn all_answer(&self, name: &str, answers: &Answers) {
        self.servers.iter().for_each(|server| server.answers(name, answers.clone()));
    }

    fn questions(&self) -> usize {
        self.servers.iter().map(AuthoritativeServer::questions).sum()
    }

    fn settings(&self, every: Duration) -> Settings {
        Settings {
            resolvers: vec![self.resolver.address],
            ports: [(53, self.servers[0].address.port())].into(),
            authoritative_every: every,
            ..Settings::default()
        }
    }

    /// Probes the target every 200 ms, and looks at it so often.
    async fn probe(&self, every: Duration) -> Probing {
        let probing = Probing::start(self.settings(every));
        let mut plan = named("bunny", TARGET, rule(Scheme::Http, self.edge.address.port()));
        plan.probe.every = Duration::from_millis(200);
        probing.plan(vec![plan]).await;
        probing
    }

    /// Waits until so many more questions have been asked; all that was seen meanwhile must have passed.
    async fn pass_until(&self, probing: &mut Probing, questions: usize) {
        let enough = self.questions() + questions;
        while self.questions() < enough {
            let seen = probing.observation().await;
            assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{:?}", seen.outcome);
        }
    }
}

const OFTEN: Duration = Duration::from_millis(300);
const SELDOM: Duration = Duration::from_secs(3_600);

async fn first(probing: &mut Probing, mut is_it: impl FnMut(&Observation) -> bool) -> Observation {
    let search = async {
        loop {
            let observation = probing.observation().await;
            if is_it(&observation) {
                return observation;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("in time")
}

fn failed(observation: &Observation) -> bool {
    matches!(observation.outcome, Outcome::Fail(_))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_fails_when_all_its_authoritative_servers_do_though_a_cache_has_it() {
    for (answers, says) in [
        (Answers::Code(ResponseCode::ServFail), "SERVFAIL"),
        (Answers::Code(ResponseCode::NXDomain), "NXDOMAIN"),
        (Answers::Code(ResponseCode::Refused), "REFUSED"),
        (Answers::Addresses(vec![]), "no addresses"),
        (Answers::Lame(vec![loopback(1)]), "that they are no authority"),
        (Answers::Silence, "nothing"),
    ] {
        let site = Site::new().await;
        let mut probing = site.probe(OFTEN).await;
        site.pass_until(&mut probing, 4).await;
        site.all_answer(TARGET, &answers);
        let seen = first(&mut probing, failed).await;
        assert_eq!(seen.address, None, "it is nobody's address that fails");
        let fault = fault(seen.outcome);
        let expected = format!("authoritative servers of cdn.example say {says} (4 of 4)");
        assert_eq!((fault.stage, fault.reason), (Stage::Resolve, expected));
        // A re-probe looks again, and sees the same.
        let before = site.questions();
        probing.order("bunny", Cause::Reprobe, now().after(Duration::from_secs(1))).await;
        let again = first(&mut probing, |seen| seen.cause == Cause::Reprobe).await;
        assert!(failed(&again) && site.questions() > before, "{says}: {again:?}");
        site.all_answer(TARGET, &Answers::Addresses(vec![loopback(1)]));
        first(&mut probing, |seen| !failed(seen)).await;
    }
}

/// Others are probed while a round waits for a look that takes seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_waits_for_a_look_holds_no_place() {
    let site = Site::new().await;
    let mut probing = Probing::start(Settings { in_flight: Some(1), ..site.settings(OFTEN) });
    let mut plans = [
        named("bunny", TARGET, rule(Scheme::Http, site.edge.address.port())),
        probing::at("gcore", Scheme::Http, site.edge.address),
    ];
    for plan in &mut plans {
        plan.probe.every = Duration::from_millis(200);
    }
    probing.plan(plans.to_vec()).await;
    site.pass_until(&mut probing, 4).await;
    site.all_answer(TARGET, &Answers::Code(ResponseCode::ServFail));
    first(&mut probing, failed).await;
    site.all_answer(TARGET, &Answers::Silence);
    // With its place kept, the other would be probed once between two of its rounds, twice at most.
    let mut passes = 0;
    first(&mut probing, |seen| {
        passes = if failed(seen) { 0 } else { passes + 1 };
        passes >= 4
    })
    .await;
}

/// Resolvers ask the next one, and so do looks. Each of the four is the first to be asked in its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_of_four_that_fails_is_no_failure() {
    for bad in [Answers::Code(ResponseCode::ServFail), Answers::Lame(vec![]), Answers::Code(ResponseCode::NXDomain)] {
        let site = Site::new().await;
        let mut probing = site.probe(OFTEN).await;
        site.pass_until(&mut probing, 4).await;
        site.servers[2].answers(TARGET, bad);
        site.pass_until(&mut probing, 30).await;
        assert!(site.servers[2].questions() > 0, "it was asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_that_vanishes_fails_alone() {
    let site = Site::new().await;
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    site.resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 300));
    site.all_answer(TARGET, &Answers::Addresses(vec![loopback(1), v6]));
    let mut probing = site.probe(OFTEN).await;
    site.pass_until(&mut probing, 4).await;
    site.all_answer(TARGET, &Answers::Addresses(vec![loopback(1)]));
    let seen = first(&mut probing, failed).await;
    assert_eq!(seen.address, Some(v6));
    let fault = fault(seen.outcome);
    let expected = "its v6 addresses are gone: authoritative servers of cdn.example say no addresses (4 of 4)";
    assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Resolve, expected));
    let other = first(&mut probing, |seen| seen.address == Some(loopback(1))).await;
    assert!(!failed(&other), "{other:?}");
    // It comes back.
    site.all_answer(TARGET, &Answers::Addresses(vec![loopback(1), v6]));
    let enough = site.questions() + 20;
    while site.questions() < enough {
        probing.observation().await;
    }
    for _ in 0..5 {
        assert!(!failed(&probing.observation().await));
    }
}

/// A CNAME leads to another zone, whose servers refer to one below; its server is known by glue alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_and_referrals_are_followed() {
    let site = Site::new().await;
    site.resolver.says("edge.example.", Says::Zone(&["ns2.cdn.example."], 300));
    for server in &site.servers[..2] {
        server.answers(TARGET, Answers::Alias("e1.map.edge.example."));
    }
    for server in &site.servers[2..] {
        server.answers(TARGET, Answers::Alias("e1.map.edge.example."));
    }
    let fourth = site.servers[3].address.ip();
    site.servers[1]
        .answers("e1.map.edge.example.", Answers::Referral("map.edge.example.", "ns.map.edge.example.", fourth));
    site.servers[3].answers("e1.map.edge.example.", Answers::Addresses(vec![loopback(1)]));
    let mut probing = site.probe(OFTEN).await;
    site.pass_until(&mut probing, 12).await;
    site.servers[3].answers("e1.map.edge.example.", Answers::Code(ResponseCode::ServFail));
    let fault = fault(first(&mut probing, failed).await.outcome);
    assert_eq!(fault.reason, "authoritative servers of map.edge.example say SERVFAIL (1 of 1)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_off_is_asked_for_over_tcp() {
    let site = Site::new().await;
    site.all_answer(TARGET, &Answers::CutOff(vec![loopback(1)]));
    let mut probing = site.probe(OFTEN).await;
    // Two over UDP and two over TCP for each look: none asks a second server.
    site.pass_until(&mut probing, 8).await;
    site.all_answer(TARGET, &Answers::Code(ResponseCode::ServFail));
    let seen = first(&mut probing, failed).await;
    assert!(fault(seen.outcome).reason.ends_with("SERVFAIL (4 of 4)"), "it had worked before");
}

/// A network that lets nobody but the resolver out says nothing of the provider.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_never_worked_is_no_failure() {
    for answers in [Answers::Code(ResponseCode::Refused), Answers::Lame(vec![loopback(1)])] {
        let site = Site::new().await;
        site.all_answer(TARGET, &answers);
        let mut probing = site.probe(OFTEN).await;
        site.pass_until(&mut probing, 24).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_with_one_target_share_its_looks() {
    let site = Site::new().await;
    let mut probing = Probing::start(site.settings(SELDOM));
    let plan = |candidate: &str| {
        let mut plan = probing::apart(named(candidate, TARGET, rule(Scheme::Http, site.edge.address.port())));
        plan.probe.every = Duration::from_millis(100);
        plan
    };
    probing.plan(["bunny", "gcore", "ovh"].map(plan).into()).await;
    for _ in 0..30 {
        assert!(!failed(&probing.observation().await));
    }
    assert_eq!(site.questions(), 2, "A and AAAA of one server");
}

/// A target that no longer resolves by the ordinary way is looked at at once, whatever the pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubt_does_not_wait_for_the_pace() {
    let site = Site::new().await;
    site.resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 5));
    let mut probing = site.probe(SELDOM).await;
    site.pass_until(&mut probing, 2).await;
    site.resolver.says(TARGET, Says::Code(ResponseCode::ServFail));
    site.all_answer(TARGET, &Answers::Code(ResponseCode::ServFail));
    let reason = |seen: &Observation| match &seen.outcome {
        Outcome::Fail(fault) => fault.reason.clone(),
        Outcome::Pass { .. } => String::new(),
    };
    let ordinary = first(&mut probing, failed).await;
    assert_eq!(reason(&ordinary), "SERVFAIL");
    let cold = first(&mut probing, |seen| reason(seen) != "SERVFAIL").await;
    assert_eq!(reason(&cold), "authoritative servers of cdn.example say SERVFAIL (4 of 4)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_turned_off() {
    let site = Site::new().await;
    let mut probing = site.probe(Duration::ZERO).await;
    for _ in 0..10 {
        assert!(!failed(&probing.observation().await));
    }
    assert_eq!(site.questions(), 0);
}

/// Whether the target of a flattened name is found to honour client subnets.
async fn honours_subnets(site: &Site) -> Option<bool> {
    let mut probing = Probing::start(site.settings(Duration::from_secs(60)));
    probing.command(Command::Flatten { targets: vec![TARGET.into()], networks: Arc::new([]) }).await;
    loop {
        if let Report::Service { target, records, honours_subnets, .. } = probing.report().await {
            assert_eq!((&*target, records.len()), (TARGET, 0));
            probing.stop().await;
            return honours_subnets;
        }
    }
}

/// The table of `src/health/cold/subnets.rs`.
#[tokio::test]
async fn a_scope_says_that_client_subnets_are_honoured() {
    let site = Site::new().await;
    let all = || vec![loopback(1)];
    for (answers, expected) in [
        (Answers::Scoped(all(), 24), Some(true)),
        (Answers::Scoped(all(), 0), Some(false)),
        (Answers::Addresses(all()), Some(false)),
        (Answers::Addresses(Vec::new()), None),
        (Answers::Code(ResponseCode::ServFail), None),
    ] {
        site.all_answer(TARGET, &answers);
        assert_eq!(honours_subnets(&site).await, expected, "{answers:?}");
    }
    // The zone where the addresses are may be another one.
    site.all_answer(TARGET, &Answers::Alias("edge.cdn.example."));
    for (scope, expected) in [(24, Some(true)), (0, Some(false))] {
        site.all_answer("edge.cdn.example.", &Answers::Scoped(all(), scope));
        assert_eq!(honours_subnets(&site).await, expected);
    }
}
