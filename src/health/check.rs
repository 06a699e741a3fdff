//! A check: what is asked of whom. Candidates that ask just the same of the same target share one, so that a thousand
//! names behind one edge cost it one request a round.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use crate::steer::observation::CandidateKey;
use crate::steer::policy::{ProbeRule, Scheme, SteeredName, Target};

/// Whom to ask, and what. Equal ones are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    pub target: Target,
    pub probe: ProbeRule,
}

impl Check {
    /// What `origin=` of this name asks for, if it has one: the URL as it stands, as `curl` would ask for it. Its host is
    /// what is resolved, and the name in SNI and `Host`; where it is an address, that name is the steered name's own
    /// (`host`), since an address alone finds no virtual host and no certificate. `expect` and `timeout` are those of
    /// the name's first candidate that is asked over HTTP; body markers are not looked for.
    pub fn of_origin(name: &SteeredName) -> Option<Self> {
        let url = Url::parse(name.policy.origin.as_deref()?).ok()?;
        let rules = || name.candidates.iter().map(|candidate| &candidate.probe);
        let like = rules().find(|rule| rule.scheme != Scheme::Tcp).or(rules().next())?;
        let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
        let text = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
        let (target, host) = match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => (Target::Addresses(vec![address]), like.host.clone()),
            Err(_) => (Target::Name(format!("{text}.").into()), text),
        };
        let port = url.port_or_known_default()?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path());
        // Names whose origin is one are to share one request, however often each is probed.
        let every = Duration::ZERO;
        let probe =
            ProbeRule { scheme, port, path, host, body: None, not_body: None, slow: None, every, ..like.clone() };
        Some(Self { target, probe })
    }
}

/// One candidate to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub candidate: CandidateKey,
    pub target: Target,
    pub probe: ProbeRule,
}

impl Plan {
    /// Who asks, and what.
    pub fn split(self) -> (CandidateKey, Check) {
        (self.candidate, Check { target: self.target, probe: self.probe })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::steer::policy::{Candidate, Empty, JudgementRule, Policy, Shape, Sticky};

    fn candidate(scheme: Scheme, expect: (u16, u16)) -> Candidate {
        Candidate {
            id: "bunny".into(),
            provider: "bunny".into(),
            home: "si".parse().expect("a home"),
            target: Target::Name("shop.b-cdn.net.".into()),
            weight: 1,
            max: None,
            standby: false,
            probe: ProbeRule {
                scheme,
                port: 443,
                path: "/healthz".to_owned(),
                host: "www.shop.example".to_owned(),
                expect: vec![expect],
                body: Some("ok".to_owned()),
                not_body: None,
                slow: None,
                every: Duration::from_secs(10),
                timeout: Duration::from_secs(3),
            },
            judgement: JudgementRule {
                fall: 3,
                share_percent: 30,
                share_of: 20,
                clean: Duration::from_secs(1_200),
                ramp: Duration::ZERO,
                step: None,
            },
        }
    }

    fn name(origin: Option<&str>) -> SteeredName {
        SteeredName {
            name: "www.shop.example.".into(),
            zone: "shop.example.".into(),
            policy: Policy {
                prefer: Vec::new(),
                only: None,
                areas: BTreeMap::new(),
                ttl: 30,
                sticky: Sticky::Yes,
                empty: Empty::Last,
                origin: origin.map(str::to_owned),
            },
            candidates: vec![candidate(Scheme::Tcp, (200, 399)), candidate(Scheme::Https, (200, 204))],
            shape: Shape::Cname,
        }
    }

    #[test]
    fn a_url_says_whom_to_ask_for_what() {
        for (url, target, scheme, port, path, host) in [
            ("https://Origin.shop.example/up?x=%20", "origin.shop.example.", Scheme::Https, 443, "/up?x=%20", ""),
            ("http://origin.shop.example:8080", "origin.shop.example.", Scheme::Http, 8080, "/", ""),
            ("https://192.0.2.1/", "192.0.2.1", Scheme::Https, 443, "/", "www.shop.example"),
            ("https://[2001:db8::1]:8443?a", "2001:db8::1", Scheme::Https, 8443, "/?a", "www.shop.example"),
        ] {
            let check = Check::of_origin(&name(Some(url))).expect(url);
            let asked = match &check.target {
                Target::Name(name) => name.to_string(),
                Target::Addresses(addresses) => addresses[0].to_string(),
            };
            let host = if host.is_empty() { asked.trim_end_matches('.').to_owned() } else { host.to_owned() };
            let probe = check.probe;
            assert_eq!((asked.as_str(), probe.scheme, probe.port, probe.path.as_str()), (target, scheme, port, path));
            assert_eq!((probe.host, probe.expect, probe.body), (host, vec![(200, 204)], None), "{url}");
        }
        assert_eq!(Check::of_origin(&name(None)), None);
    }
}
