//! Names, candidates and observations for the tests of this room.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::observation::{CandidateKey, Cause, Family, Fault, Observation, Outcome, Stage};
use super::overrides::{Order, Override};
use super::policy::{
    Candidate, Empty, JudgementRule, Policy, Preference, ProbeRule, Scheme, Shape, SteeredName, Sticky, Target,
};
use super::steering::Steering;
use super::time::Time;

pub(super) const NAME: &str = "www.shop.example.";
pub(super) const IDS: [&str; 4] = ["bunny", "gcore", "fastly", "akamai"];
pub(super) const START: Time = Time(1_764_892_800_000);

/// A name with these candidates, all on one level.
pub(super) fn steered(name: &str, candidates: Vec<Candidate>) -> SteeredName {
    SteeredName {
        name: name.into(),
        zone: "shop.example.".into(),
        policy: Policy {
            prefer: vec![Preference::Any],
            only: None,
            areas: BTreeMap::new(),
            ttl: 30,
            sticky: Sticky::Yes,
            empty: Empty::Last,
            origin: None,
        },
        candidates,
        shape: Shape::Cname,
    }
}

/// A candidate at the provider of its id, probed every 10 s with a limit of 3 s.
pub(super) fn candidate(id: &str, home: &str, fall: u32) -> Candidate {
    Candidate {
        id: id.into(),
        provider: id.into(),
        home: home.parse().unwrap(),
        target: Target::Name(format!("shop.{id}.example.").into()),
        weight: 1,
        max: None,
        standby: false,
        probe: ProbeRule {
            scheme: Scheme::Https,
            port: 443,
            path: "/".to_owned(),
            host: "www.shop.example".to_owned(),
            expect: vec![(200, 399)],
            body: None,
            not_body: None,
            slow: None,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
        },
        judgement: JudgementRule {
            fall,
            share_percent: 30,
            share_of: 20,
            clean: Duration::from_secs(300),
            ramp: Duration::ZERO,
            step: None,
        },
    }
}

/// A candidate of `NAME` by its place in `IDS`.
pub(super) fn key(at: usize) -> CandidateKey {
    CandidateKey { name: NAME.into(), candidate: IDS[at].into() }
}

/// What a probe of a moment saw: a pass, or a status; a target that does not resolve where there is no family.
pub(super) fn seen(at: usize, family: Option<Family>, cause: Cause, status: Option<u16>, now: Time) -> Observation {
    let address = |family| match family {
        Family::V4 => "192.0.2.1".parse::<IpAddr>().unwrap(),
        Family::V6 => "2001:db8::1".parse().unwrap(),
    };
    let fault = |status| Fault {
        stage: if family.is_some() { Stage::Status } else { Stage::Resolve },
        status: family.and(Some(status)),
        certificate: None,
        page: None,
        reason: format!("status {status}"),
    };
    Observation {
        candidate: key(at),
        vantage: "here".into(),
        cause,
        address: family.map(address),
        began: now,
        ended: now,
        holds: Duration::from_secs(30),
        outcome: status.map_or(Outcome::Pass { latency: Duration::from_millis(20) }, |s| Outcome::Fail(fault(s))),
    }
}

/// So many milliseconds after the start.
pub(super) fn at(millis: u64) -> Time {
    START.after(Duration::from_millis(millis))
}

/// Three candidates on one level that have all passed.
pub(super) fn serving(fall: u32) -> Steering {
    let candidates = IDS[..3].iter().map(|id| candidate(id, "si", fall)).collect();
    let mut steering = Steering::new();
    steering.install(&[Arc::new(steered(NAME, candidates))], START);
    for i in 0..3 {
        steering.observe(&seen(i, Some(Family::V4), Cause::Paced, None, at(10)), at(10));
    }
    steering
}

pub(super) fn order(id: u64, order: Order, until: Option<Time>) -> Override {
    Override { id, order, author: "anna".to_owned(), reason: "a drill".to_owned(), placed: START, until, empty: None }
}
