//! Steered names and decisions by hand, for tests of answers.
#![allow(dead_code)] // Each test takes what it needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pointsman::image::published::{Published, Selected, Selection};
use pointsman::steer::decision::{CandidateReason, Decision, Source};
use pointsman::steer::observation::Family;
use pointsman::steer::policy::{
    Candidate, Empty, JudgementRule, Policy, ProbeRule, Scheme, Shape, SteeredName, Sticky, Target,
};
use pointsman::steer::shares::Shares;
use pointsman::steer::time::Time;

/// A steered name; each target is a name or addresses separated by commas.
pub fn steered(owner: &str, zone: &str, shape: Shape, sticky: Sticky, targets: &[&str]) -> SteeredName {
    let policy = Policy {
        prefer: Vec::new(),
        only: None,
        areas: BTreeMap::new(),
        ttl: 30,
        sticky,
        empty: Empty::Last,
        origin: None,
    };
    let candidates = targets.iter().enumerate().map(|(index, target)| candidate(index, target)).collect();
    SteeredName { name: owner.into(), zone: zone.into(), policy, candidates, shape }
}

fn candidate(index: usize, target: &str) -> Candidate {
    let addresses: Result<Vec<_>, _> = target.split(',').map(str::parse).collect();
    let probe = ProbeRule {
        scheme: Scheme::Https,
        port: 443,
        path: "/".into(),
        host: "host".into(),
        expect: vec![(200, 399)],
        body: None,
        not_body: None,
        slow: None,
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
    };
    let minutes = Duration::from_secs(20 * 60);
    Candidate {
        id: format!("c{index}").into(),
        provider: "bunny".into(),
        home: "eu".parse().expect("a home"),
        target: addresses.map_or_else(|_| Target::Name(target.into()), Target::Addresses),
        weight: 1,
        max: None,
        standby: false,
        probe,
        judgement: JudgementRule {
            fall: 3,
            share_percent: 30,
            share_of: 20,
            clean: minutes,
            ramp: minutes,
            step: None,
        },
    }
}

/// All clients for one of so many candidates.
pub fn whole(candidate: u16, of: usize, ttl: u32, left_out: Option<Family>) -> Arc<Decision> {
    let reasons = (0..of)
        .map(|index| CandidateReason {
            share: if index == usize::from(candidate) { 1.0 } else { 0.0 },
            left_out: left_out.filter(|_| index == usize::from(candidate)),
            reason: "up".into(),
        })
        .collect();
    decision(Source::Candidates(Shares::whole(candidate)), ttl, reasons)
}

pub fn decision(source: Source, ttl: u32, reasons: Vec<CandidateReason>) -> Arc<Decision> {
    Arc::new(Decision { source, ttl, rule: "by hand".into(), reasons, since: Time(0) })
}

pub fn select(published: &mut Published, decisions: Vec<Arc<Decision>>) {
    published.selection = Arc::new(Selection(decisions.into_iter().map(Selected::from).collect()));
}
