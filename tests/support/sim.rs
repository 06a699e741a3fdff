//! Steered names for tests of the simulation, as plain values.

use std::sync::Arc;
use std::time::Duration;

use pointsman::steer::policy::{
    Candidate, Empty, JudgementRule, Policy, Preference, ProbeRule, Scheme, Shape, SteeredName, Sticky, Target,
};
use pointsman::steer::provider::Providers;

/// A name with all candidates on one level: provider id and target.
pub fn steered(name: &str, marker: &str, candidates: &[(&str, Target)]) -> Arc<SteeredName> {
    let host = name.trim_end_matches('.');
    let candidates = candidates.iter().map(|(provider, target)| candidate(provider, target.clone(), host, marker));
    Arc::new(SteeredName {
        name: name.into(),
        zone: name.split_once('.').map_or(name, |(_, zone)| zone).into(),
        policy: Policy {
            prefer: vec![Preference::Any],
            only: None,
            areas: Default::default(),
            ttl: 30,
            sticky: Sticky::Yes,
            empty: Empty::Last,
            origin: None,
        },
        candidates: candidates.collect(),
        shape: Shape::Cname,
    })
}

/// A target that is a name.
pub fn to(name: &str) -> Target {
    Target::Name(name.into())
}

fn candidate(provider: &str, target: Target, host: &str, marker: &str) -> Candidate {
    let home = Providers::known().find(provider).expect("a known provider").home;
    Candidate {
        id: provider.into(),
        provider: provider.into(),
        home,
        target,
        weight: 1,
        max: None,
        standby: false,
        probe: ProbeRule {
            scheme: Scheme::Https,
            port: 443,
            path: "/".to_owned(),
            host: host.to_owned(),
            expect: vec![(200, 399)],
            body: Some(marker.to_owned()),
            not_body: None,
            slow: None,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
        },
        judgement: JudgementRule {
            fall: 3,
            share_percent: 30,
            share_of: 20,
            clean: Duration::from_secs(10),
            ramp: Duration::ZERO,
            step: None,
        },
    }
}
