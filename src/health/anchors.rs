//! Anchors: hosts that no provider carries. Where they fail too, it is this vantage's own network that fails.
//!
//! | anchor | answers when |
//! | --- | --- |
//! | an address and port | a TCP connection stands |
//! | an HTTPS host | any HTTP answer comes, whatever its status, under a certificate that is good for the name |
//!
//! A host without an address of a family is no anchor of that family, and one that the resolver cannot find says nothing,
//! unless there is no other anchor: then it is this machine's resolver that fails. A family passes as soon as `least` of its anchors have answered, and fails as soon as so many no longer can. What this
//! machine could not even try (no file descriptor left) counts neither way.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::{self, Seen, fault, timed_out};
use super::guise::Guise;
use super::phase::Phase;
use super::reach::is_routed;
use super::round::Rounds;
use crate::steer::observation::{Family, Outcome, Stage};
use crate::steer::policy::{ProbeRule, Scheme};

/// Anchors of one kind at most.
pub const MAX_ANCHORS: usize = 32;
const DNS: u16 = 53;

/// Root servers of five operators that carry their own networks: A (Verisign), I (Netnod), K (RIPE NCC), L (ICANN), M
/// (WIDE). E and F stand in part at a CDN. Source: the root hints, `https://www.internic.net/domain/named.root`; each of
/// these addresses has been the same for ten years and more.
const ROOT_SERVERS_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(198, 41, 0, 4),
    Ipv4Addr::new(192, 36, 148, 17),
    Ipv4Addr::new(193, 0, 14, 129),
    Ipv4Addr::new(199, 7, 83, 42),
    Ipv4Addr::new(202, 12, 27, 33),
];
const ROOT_SERVERS_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30),
    Ipv6Addr::new(0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53),
    Ipv6Addr::new(0x2001, 0x7fd, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35),
];

/// The `[probe.anchors]` section, all defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors {
    /// Of both families, each for its own.
    pub tcp: Vec<SocketAddr>,
    /// Host names, without the final dot; asked in each family.
    pub https: Vec<String>,
    /// So many must answer for a family to pass.
    pub least: usize,
    /// The limit for all of them, which are asked at once.
    pub timeout: Duration,
}

impl Default for Anchors {
    fn default() -> Self {
        let v4 = ROOT_SERVERS_V4.map(|address| SocketAddr::new(address.into(), DNS));
        let v6 = ROOT_SERVERS_V6.map(|address| SocketAddr::new(address.into(), DNS));
        Self { tcp: v4.into_iter().chain(v6).collect(), https: Vec::new(), least: 2, timeout: Duration::from_secs(2) }
    }
}

/// What came of asking one anchor.
enum Answered {
    Yes,
    /// With what went wrong.
    No(String),
    NotAsked(String),
    /// It has no address of this family.
    IsNone,
    /// The resolver fails.
    NotFound(String),
}

/// Asks the anchors of one family.
pub async fn ask(rounds: &Arc<Rounds>, family: Family) -> Seen {
    let anchors = &rounds.settings.anchors;
    let mut asking = JoinSet::new();
    for address in anchors.tcp.iter().copied().filter(|address| Family::of(address.ip()) == family) {
        let rounds = Arc::clone(rounds);
        asking.spawn(async move { (address.to_string(), rounds.tcp_anchor(address).await) });
    }
    for host in anchors.https.iter().cloned() {
        let rounds = Arc::clone(rounds);
        asking.spawn(async move { (host.clone(), rounds.https_anchor(host, family).await) });
    }
    let (began, all) = (Instant::now(), asking.len());
    let (mut answered, mut failed, mut not_found) = (0, Vec::new(), Vec::new());
    // Of those that may be anchors of this family: some turn out not to be.
    let mut of = all;
    // Dropping the set ends those that are no longer needed.
    while answered < anchors.least.min(of) && answered + asking.len() >= anchors.least.min(of) {
        match asking.join_next().await {
            Some(Ok((_, Answered::Yes))) => answered += 1,
            Some(Ok((anchor, Answered::No(why)))) => failed.push((anchor, why)),
            Some(Ok((_, Answered::IsNone))) => of -= 1,
            Some(Ok((anchor, Answered::NotFound(why)))) => {
                of -= 1;
                not_found.push((anchor, why));
            }
            Some(Ok((_, Answered::NotAsked(why)))) => return Seen::Nothing(why),
            Some(Err(broken)) => return Seen::Nothing(broken.to_string()),
            None => break,
        }
    }
    if of == 0 {
        // Nothing else can tell.
        of = not_found.len();
        failed.append(&mut not_found);
    }
    let least = anchors.least.min(of);
    if answered >= least {
        return Seen::Outcome(Outcome::Pass { latency: began.elapsed() });
    }
    failed.sort();
    let failed: Vec<String> = failed.into_iter().map(|(anchor, why)| format!("{anchor} {why}")).collect();
    let reason = format!("{answered} of {of} {family} anchors answer, {least} must: {}", failed.join(", "));
    Seen::fault(fault(Stage::Connect, reason))
}

impl Rounds {
    async fn tcp_anchor(&self, address: SocketAddr) -> Answered {
        if !is_routed(address.ip()) {
            return Answered::No("no route".to_owned());
        }
        let limit = self.settings.anchors.timeout;
        let seen = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Answered::Yes,
            Ok(Err(error)) => fault::of_connect(&error),
            Err(_) => Seen::fault(timed_out(limit, Phase::Connecting)),
        };
        answered(seen)
    }

    async fn https_anchor(&self, host: String, family: Family) -> Answered {
        let (began, limit) = (Instant::now(), self.settings.anchors.timeout);
        let found = match self.targets.find(&format!("{host}."), &[], limit).await {
            Ok(found) => found.addresses,
            Err(nothing) if nothing.is_told() => return Answered::IsNone,
            Err(nothing) => return Answered::NotFound(nothing.to_string()),
        };
        let mut addresses = found.into_iter().filter(|address| Family::of(*address) == family);
        let Some(address) = addresses.next() else { return Answered::IsNone };
        if !is_routed(address) {
            return Answered::No("no route".to_owned());
        }
        let rule = any_answer(host, limit);
        answered(self.http.probe(&rule, address, limit.saturating_sub(began.elapsed()), Guise::Itself).await.0)
    }
}

fn answered(seen: Seen) -> Answered {
    match seen {
        Seen::Outcome(Outcome::Pass { .. }) => Answered::Yes,
        // It has answered; how its body ends says nothing of the way there.
        Seen::Outcome(Outcome::Fail(fault)) if fault.stage == Stage::Body => Answered::Yes,
        Seen::Outcome(Outcome::Fail(fault)) => Answered::No(fault.reason),
        Seen::Nothing(why) => Answered::NotAsked(why),
    }
}

fn any_answer(host: String, timeout: Duration) -> ProbeRule {
    ProbeRule {
        scheme: Scheme::Https,
        port: 443,
        path: "/".to_owned(),
        host,
        expect: vec![(100, 599)],
        body: None,
        not_body: None,
        slow: None,
        every: Duration::ZERO,
        timeout,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::health::reach::special_kind;

    #[test]
    fn the_defaults_are_five_root_servers_of_each_family_and_not_those_at_a_cdn() {
        let anchors = Anchors::default();
        for family in Family::ALL {
            assert_eq!(anchors.tcp.iter().filter(|anchor| Family::of(anchor.ip()) == family).count(), 5);
        }
        let at_a_cdn = ["192.203.230.10", "192.5.5.241", "2001:500:a8::e", "2001:500:2f::f"];
        let at_a_cdn = at_a_cdn.map(|text| text.parse::<IpAddr>().expect("an address"));
        for anchor in &anchors.tcp {
            assert!(!at_a_cdn.contains(&anchor.ip()) && special_kind(anchor.ip()).is_none() && anchor.port() == 53);
        }
    }
}
