//! Flattened names in the running server: the target's DNS is asked on behalf of each area, and clients there are answered what it has for them.

#[path = "support/authoritative.rs"]
mod authoritative;
#[path = "support/mmdb.rs"]
mod mmdb;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;
#[path = "support/server.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use hickory_proto::rr::RecordType;
use mmdb::{NETWORKS, Shape, database};
use serde_json::json;
use tokio::runtime::Runtime;

use authoritative::{Answers, AuthoritativeServer};
use scripted_resolver::{Says, ScriptedResolver};
use support::{PATIENCE, Server, Site, Targets, ask_from, data_of, eventually, question, said};

const APEX: &str = "news.example.";
const TARGET: &str = "shop.b-cdn.net.";
/// Clients in Germany, the US, and nowhere that is known.
const GERMANY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const AMERICA: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);

/// One apex at one provider, whose DNS says this to its own servers.
struct World {
    site: Site,
    targets: Targets,
    servers: Vec<AuthoritativeServer>,
    _resolver: ScriptedResolver,
    _runtime: Runtime,
}

impl World {
    /// The target has address 0 for this server.
    fn new(answers: impl Fn(&Targets) -> Answers) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (resolver, servers) =
            runtime.block_on(async { (ScriptedResolver::start().await, AuthoritativeServer::start_all(1).await) });
        let (site, targets) = (Site::new(), Targets::new(3));
        resolver.says(TARGET, Says::Addresses(vec![targets.address(0)], 60));
        resolver.says("b-cdn.net.", Says::Zone(&["ns.b-cdn.net."], 300));
        resolver.says("ns.b-cdn.net.", Says::Addresses(vec![servers[0].address.ip()], 300));
        servers[0].answers(TARGET, answers(&targets));
        std::fs::write(site.path("countries.mmdb"), database(Shape::Nested, 6, 24, NETWORKS)).expect("it is written");
        let policy = format!("v=steer1 probe=http:{}:/ every=300ms timeout=1s fall=2", targets.port);
        let records = format!(
            "@ 60 IN A 192.0.2.99\n_steer 60 IN TXT \"{policy}\"\n_steer 60 IN TXT \"cdn=bunny to={TARGET}\"\n"
        );
        site.zone("news.example", &records);
        let world = Self { site, targets, servers, _resolver: resolver, _runtime: runtime };
        world.configure(true);
        world
    }

    fn configure(&self, with_areas: bool) {
        let (resolver, port) = (self._resolver.address, self.servers[0].address.port());
        let areas = format!("[areas]\ndatabase = \"{}\"\n", self.site.path("countries.mmdb").display());
        let areas = if with_areas { &areas } else { "" };
        self.site.configure(&format!("resolvers = [\"{resolver}\"]\nports = {{ 53 = {port} }}\n{areas}"));
    }

    fn is(&self, server: &Server, client: Ipv4Addr, at: usize) -> bool {
        data_of(&ask_from(server.dns, client, APEX, RecordType::A)) == [self.targets.address(at).to_string()]
    }

    fn explain(&self, client: &str) -> String {
        said(&self.site.run(&["explain", "news.example", "--client", client]))
    }
}

/// Address 1 in Germany and 2 in the US.
fn apart(targets: &Targets) -> Answers {
    let own = vec![("127.0.0.0/9", vec![targets.address(1)]), ("127.128.0.0/9", vec![targets.address(2)])];
    Answers::ByNetwork(own, vec![targets.address(0)])
}

/// Family, lengths and address of the subnet option in an answer over UDP.
fn subnet_of_answer(server: &Server, network: [u8; 3]) -> Vec<u8> {
    let option = [&[0, 8, 0, 7, 0, 1, 24, 0][..], &network].concat();
    let mut query = question(7, APEX, RecordType::A);
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11]);
    query.extend_from_slice(&option);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.send_to(&query, server.dns).expect("it is sent");
    let mut answer = [0; 1232];
    let len = socket.recv(&mut answer).expect("an answer");
    answer[len - 7..len].to_vec()
}

#[test]
fn clients_of_two_areas_get_two_sets() {
    let world = World::new(apart);
    let server = world.site.start();
    eventually("both areas have their own", || world.is(&server, GERMANY, 1) && world.is(&server, AMERICA, 2));
    // The address of this place stays that of all others.
    let told = world.explain("192.88.99.1");
    assert!(told.contains(&format!("A {}", world.targets.address(0))), "{told}");
    assert!(told.contains("none of this client's area are known to work"), "{told}");
    let told = world.explain("127.0.0.1");
    let step = "its addresses are those that its DNS has for country-de, asked for 127.64.1.0/24";
    assert!(told.contains(step) && told.contains("for 20 s"), "{told}");
    assert!(told.contains(&format!("A {}", world.targets.address(1))), "{told}");
    // The scope is that of the area, longer than the network that was asked for where the area is smaller.
    assert_eq!(subnet_of_answer(&server, [127, 0, 0]), [0, 1, 24, 9, 127, 0, 0]);
    assert_eq!(subnet_of_answer(&server, [198, 51, 100])[..4], [0, 1, 24, 23]);
    let scope = subnet_of_answer(&server, [203, 0, 114])[3];
    assert!(scope > 0, "elsewhere it depends on the client too");
    let view = server.document("/v1/names/news.example.")["candidates"][0].clone();
    assert_eq!(view["honours_subnets"], json!(true));
    let areas = view["addresses_by_area"].as_array().expect("a list").clone();
    let of = |name: &str| areas.iter().find(|area| area["area"] == name).cloned().expect("it is there");
    assert_eq!(of("country-de")["addresses"], json!([world.targets.address(1).to_string()]));
    assert_eq!((&of("country-us")["ttl"], &of("country-us")["network"]), (&json!(20), &json!("127.192.0.0/24")));
    let status = said(&world.site.run(&["status", "news.example"]));
    let line = format!("bunny: addresses for country-us (127.192.0.0/24, 20 s): {}", world.targets.address(2));
    assert!(status.contains(&line), "{status}");
    assert!(server.metric("pointsman_area_lookups_total{outcome=\"answered\"}").is_some_and(|count| count >= 2.0));
    assert!(server.metric("pointsman_area_probes_total{outcome=\"pass\"}").is_some_and(|count| count >= 2.0));
    server.stop();
}

/// An edge that fails takes nothing with it but its area; a provider that fails is judged as ever.
#[test]
fn an_area_whose_edge_fails_gets_everybodys_addresses() {
    let world = World::new(apart);
    let server = world.site.start();
    eventually("both areas have their own", || world.is(&server, GERMANY, 1) && world.is(&server, AMERICA, 2));
    world.targets.set(2, 503);
    eventually("the area has everybody's", || world.is(&server, AMERICA, 0));
    assert!(world.is(&server, GERMANY, 1));
    assert_eq!(server.standing(APEX, "bunny"), "up");
    world.targets.set(2, 200);
    eventually("it is back", || world.is(&server, AMERICA, 2));
    world.targets.set_all(503);
    server.wait_standing(APEX, "bunny", "down");
    // The only candidate: it answers as it did.
    assert!(world.is(&server, GERMANY, 1) || world.is(&server, GERMANY, 0));
    server.stop();
}

#[test]
fn where_nothing_depends_on_the_network_all_get_the_same() {
    let everybodys = |targets: &Targets| Answers::Addresses(vec![targets.address(1)]);
    let world = World::new(everybodys);
    let server = world.site.start();
    server.logs("its DNS does not honour client subnets");
    for client in [GERMANY, AMERICA] {
        assert!(world.is(&server, client, 0));
    }
    assert_eq!(subnet_of_answer(&server, [127, 0, 0])[3], 0);
    let view = server.document("/v1/names/news.example.")["candidates"][0].clone();
    assert_eq!((&view["honours_subnets"], &view["addresses_by_area"]), (&json!(false), &json!(null)));
    server.stop();
}

/// Areas that go and come back take their sets with them, in the publication that they come with.
#[test]
fn areas_may_change_while_it_runs() {
    let world = World::new(apart);
    world.configure(false);
    let server = world.site.start();
    server.wait_for(APEX, world.targets.address(0));
    eventually("it is known that subnets are honoured", || {
        server.document("/v1/names/news.example.")["candidates"][0]["honours_subnets"] == json!(true)
    });
    assert!(world.is(&server, AMERICA, 0) && subnet_of_answer(&server, [127, 0, 0])[3] == 0);
    world.configure(true);
    assert_eq!(server.reload()["ok"], true);
    eventually("both areas have their own", || world.is(&server, GERMANY, 1) && world.is(&server, AMERICA, 2));
    world.configure(false);
    assert_eq!(server.reload()["ok"], true);
    assert!(world.is(&server, GERMANY, 0) && world.is(&server, AMERICA, 0));
    server.stop();
}

/// The address of a client does not matter where it asks for somebody else.
#[test]
fn whom_a_resolver_asks_for_decides() {
    let world = World::new(apart);
    let server = world.site.start();
    eventually("both areas have their own", || world.is(&server, GERMANY, 1) && world.is(&server, AMERICA, 2));
    let told: IpAddr = world.targets.address(2);
    assert!(world.explain("127.200.7.0/24").contains(&format!("A {told}")));
    server.stop();
}
