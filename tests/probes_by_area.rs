//! Targets of flattened names whose DNS tells clients apart: what it has for each area, as far as it was seen to work.

#[path = "support/authoritative.rs"]
mod authoritative;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use pointsman::health::Settings;
use pointsman::health::message::{Command, Report};
use pointsman::image::areas::AreaNetwork;
use pointsman::steer::observation::Outcome;
use pointsman::steer::policy::Scheme;

use authoritative::{Answers, AuthoritativeServer};
use fault_target::FaultTarget;
use probing::{Probing, loopback, named, rule};
use scripted_resolver::{Says, ScriptedResolver};

const TARGET: &str = "shop.cdn.example.";
const EAST: &str = "192.0.2.0/24";
const WEST: &str = "2001:db8:1::/56";

/// Where the edges of the areas stand; that of this place is on 127.0.0.1.
fn edge(last: u8) -> IpAddr {
    IpAddr::from([127, 77, 0, last])
}

fn networks(all: &[(&str, &str)]) -> Arc<[AreaNetwork]> {
    let network = |(area, network): &(&str, &str)| AreaNetwork {
        area: (*area).into(),
        network: network.parse().expect("a network"),
    };
    all.iter().map(network).collect()
}

struct Site {
    here: FaultTarget,
    resolver: ScriptedResolver,
    _servers: Vec<AuthoritativeServer>,
    probing: Probing,
}

impl Site {
    /// A flattened name's target, probed every 200 ms, whose authoritative servers say this.
    async fn new(answers: Answers, networks: Arc<[AreaNetwork]>) -> Self {
        Self::with(answers, networks, "200").await
    }

    async fn with(answers: Answers, networks: Arc<[AreaNetwork]>, here: &str) -> Self {
        let (here, resolver) = (FaultTarget::http(here).await, ScriptedResolver::start().await);
        let servers = AuthoritativeServer::start_all(1).await;
        resolver.says(TARGET, Says::Addresses(vec![loopback(1)], 300));
        resolver.says("cdn.example.", Says::Zone(&["ns1.cdn.example."], 300));
        resolver.says("edge.example.", Says::Zone(&["ns1.cdn.example."], 300));
        resolver.says("ns1.cdn.example.", Says::Addresses(vec![servers[0].address.ip()], 300));
        servers[0].answers(TARGET, answers);
        servers[0].answers("e.edge.example.", by_network());
        let probing = Probing::start(Settings {
            resolvers: vec![resolver.address],
            ports: [(53, servers[0].address.port())].into(),
            ..Settings::default()
        });
        let mut plan = named("bunny", TARGET, rule(Scheme::Http, here.address.port()));
        plan.probe.every = Duration::from_millis(200);
        plan.probe.timeout = Duration::from_secs(2);
        probing.plan(vec![plan]).await;
        probing.command(Command::Flatten { targets: vec![TARGET.into()], networks }).await;
        Self { here, resolver, _servers: servers, probing }
    }

    /// Another edge, on the port of the one here.
    async fn edge(&self, last: u8, mode: &str) -> FaultTarget {
        FaultTarget::start(&format!("{}:{}", edge(last), self.here.address.port()), mode, None).await
    }

    /// What the controller is told next of areas; all that is observed meanwhile must have passed.
    async fn told(&mut self) -> Vec<(String, Vec<IpAddr>)> {
        loop {
            match self.probing.report().await {
                Report::ByArea { target, areas } => {
                    assert_eq!(&*target, TARGET);
                    assert!(areas.iter().all(|area| area.ttl == 20), "{areas:?}");
                    let mut told: Vec<_> =
                        areas.into_iter().map(|area| (area.of.area.to_string(), area.addresses)).collect();
                    told.sort();
                    return told;
                }
                Report::Observed { observation, .. } => {
                    assert!(matches!(observation.outcome, Outcome::Pass { .. }), "{observation:?}");
                    assert_eq!(observation.address, Some(loopback(1)), "no verdict rests on an area's address");
                }
                _ => {}
            }
        }
    }

    /// The same, when it is this.
    async fn told_at_last(&mut self, expected: &[(&str, u8)]) {
        let expected: Vec<_> = expected.iter().map(|(area, last)| ((*area).to_owned(), vec![edge(*last)])).collect();
        while self.told().await != expected {}
    }
}

fn by_network() -> Answers {
    let own = vec![(EAST, vec![edge(1)]), ("2001:db8:1::/48", vec![edge(2)])];
    Answers::ByNetwork(own, vec![loopback(1)])
}

#[tokio::test]
async fn each_area_has_its_own_addresses_once_they_have_worked() {
    let mut site = Site::new(by_network(), networks(&[("east", EAST), ("west", WEST)])).await;
    let _east = site.edge(1, "200").await;
    let west = site.edge(2, "500").await;
    site.told_at_last(&[("east", 1)]).await;
    west.set("200");
    site.told_at_last(&[("east", 1), ("west", 2)]).await;
    assert!(west.requests() >= 2);
}

/// Each zone on the way may tell them apart.
#[tokio::test]
async fn aliases_are_followed_for_each_network() {
    let mut site = Site::new(Answers::Alias("e.edge.example."), networks(&[("east", EAST), ("west", WEST)])).await;
    let _edges = (site.edge(1, "200").await, site.edge(2, "200").await);
    site.told_at_last(&[("east", 1), ("west", 2)]).await;
}

#[tokio::test]
async fn other_networks_are_asked_for_at_once() {
    let mut site = Site::new(by_network(), networks(&[("east", EAST)])).await;
    let _edges = (site.edge(1, "200").await, site.edge(2, "200").await);
    site.told_at_last(&[("east", 1)]).await;
    let networks = networks(&[("west", WEST)]);
    site.probing.command(Command::Flatten { targets: vec![TARGET.into()], networks }).await;
    site.told_at_last(&[("west", 2)]).await;
}

/// Where the candidate itself fails its areas are not probed: nothing is to be learnt there.
#[tokio::test]
async fn nothing_is_told_where_nothing_depends_on_the_network_or_nothing_works() {
    for (answers, here) in [
        (Answers::Addresses(vec![edge(1)]), "200"),
        (Answers::Scoped(vec![edge(1)], 0), "200"),
        (Answers::Code(ResponseCode::Refused), "200"),
        (by_network(), "500"),
    ] {
        let mut site = Site::with(answers.clone(), networks(&[("east", EAST)]), here).await;
        let east = site.edge(1, "200").await;
        let mut rounds = 0;
        while rounds < 10 {
            match site.probing.report().await {
                Report::ByArea { areas, .. } => assert!(areas.is_empty(), "{answers:?}: {areas:?}"),
                Report::Observed { .. } => rounds += 1,
                _ => {}
            }
        }
        assert!(site.resolver.questions() > 0);
        assert_eq!(east.requests(), 0, "{answers:?}");
    }
}
