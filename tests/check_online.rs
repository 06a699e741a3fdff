//! `pointsman check --online` as an operator or a CI runs it, against a resolver and authoritative servers on loopback.

#[path = "support/authoritative.rs"]
mod authoritative;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;
#[path = "support/server.rs"]
mod support;

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use authoritative::{Answers, AuthoritativeServer};
use scripted_resolver::{Says, ScriptedResolver};
use support::{Site, said};

const EDGE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));

struct World {
    site: Site,
    resolver: ScriptedResolver,
    server: AuthoritativeServer,
    _runtime: Runtime,
}

impl World {
    /// An apex and an ordinary name, each steered to one target, below `cdn.example` and `azurefd.net`.
    fn new(apex: &str, www: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (resolver, mut servers) =
            runtime.block_on(async { (ScriptedResolver::start().await, AuthoritativeServer::start_all(1).await) });
        let server = servers.remove(0);
        for zone in ["cdn.example.", "azurefd.net."] {
            resolver.says(zone, Says::Zone(&["ns.cdn.example."], 300));
        }
        resolver.says("ns.cdn.example.", Says::Addresses(vec![server.address.ip()], 300));
        let site = Site::new();
        let steered = |owner: &str, target: &str| {
            let cdn = if target.ends_with("azurefd.net.") { "azure" } else { "bunny" };
            format!("_steer{owner} 60 IN TXT \"v=steer1\"\n_steer{owner} 60 IN TXT \"cdn={cdn} to={target}\"\n")
        };
        let own = format!("@ 60 IN A 192.0.2.99\nwww 60 IN CNAME {www}\n");
        let records = own + &steered("", apex) + &steered(".www", www);
        site.zone("news.example", &records);
        let world = Self { site, resolver, server, _runtime: runtime };
        world.configure(&world.probe());
        world
    }

    fn probe(&self) -> String {
        format!("resolvers = [\"{}\"]\nports = {{ 53 = {} }}\n", self.resolver.address, self.server.address.port())
    }

    fn configure(&self, probe: &str) {
        self.site.configure(probe);
    }

    /// A target that resolves, and what its authoritative servers say.
    fn target(&self, name: &'static str, answers: Answers) {
        self.resolver.says(name, Says::Addresses(vec![EDGE], 300));
        self.server.answers(name, answers);
    }

    fn check(&self) -> (Option<i32>, String) {
        let output = self.site.run(&["check", "--online"]);
        (output.status.code(), said(&output))
    }
}

/// Whether each of these is found in a text, with the text where not.
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn targets_that_are_near_everybody_are_good() {
    let world = World::new("a.cdn.example.", "b.z01.azurefd.net.");
    let networks = vec![("198.41.0.0/16", vec![EDGE]), ("202.0.0.0/8", vec![IpAddr::from([127, 0, 0, 2])])];
    world.target("a.cdn.example.", Answers::ByNetwork(networks, vec![EDGE]));
    world.target("b.z01.azurefd.net.", Answers::Addresses(vec![EDGE]));
    let (code, text) = world.check();
    assert_eq!(code, Some(0), "{text}");
    says(
        &text,
        &[
            "a.cdn.example.: resolves to 127.0.0.1; honours client subnets; other addresses for networks far from each other",
            "b.z01.azurefd.net.: resolves to 127.0.0.1; does not honour client subnets; anycast, says its provider (https://",
            "0 errors, 0 warnings",
        ],
    );
    let told = world.site.json(&["check", "--online"]);
    let apex = &told["targets"][0];
    assert_eq!((&apex["target"], &apex["flattened"]), (&json!("a.cdn.example."), &json!(true)));
    assert_eq!((&apex["honours_subnets"], &apex["same_for_all"]), (&json!(true), &json!(false)));
    assert_eq!((&apex["candidates"], &apex["provider_says"]), (&json!(["news.example./bunny"]), &Value::Null));
    let networks = apex["networks"].as_array().expect("a list");
    assert_eq!((networks.len(), &networks[0]["network"]), (3, &json!("198.41.0.0/24")));
    assert_eq!((&networks[2]["addresses"], &networks[2]["scope"]), (&json!(["127.0.0.2"]), &json!(24)));
    assert_eq!(told["targets"][1]["provider_says"]["by"], "anycast");
    // Without asking there is a hint, for the target that nothing is known of.
    let output = world.site.run(&["check"]);
    assert_eq!(output.status.code(), Some(0));
    says(&said(&output), &["1 target of flattened names: whether clients far from this server", "`--online`"]);
    assert_eq!(world.site.json(&["check"]).get("targets"), None);
}

#[test]
fn a_flattened_target_that_tells_no_clients_apart_is_a_warning() {
    let world = World::new("a.cdn.example.", "b.cdn.example.");
    world.target("a.cdn.example.", Answers::Addresses(vec![EDGE]));
    world.target("b.cdn.example.", Answers::Addresses(vec![EDGE]));
    let (code, text) = world.check();
    assert_eq!(code, Some(0), "{text}");
    says(
        &text,
        &[
            "the target a.cdn.example. (news.example./bunny) is flattened, its DNS does not honour client subnets (ECS), and it is not known",
            "anycast looks like that, and so does an answer for who asks",
            "0 errors, 1 warning",
        ],
    );
    // Of the other each client's resolver asks by itself.
    assert!(!text.contains("the target b.cdn.example."), "{text}");
    // Nobody answers whom to ask.
    world.server.answers("a.cdn.example.", Answers::Code(ResponseCode::Refused));
    let (code, text) = world.check();
    assert_eq!(code, Some(0), "{text}");
    says(&text, &["did not tell whether they honour client subnets", "0 errors, 1 warning"]);
}

#[test]
fn a_target_that_nobody_could_be_sent_to_is_an_error() {
    let world = World::new("a.cdn.example.", "b.cdn.example.");
    world.target("a.cdn.example.", Answers::Scoped(vec![EDGE], 24));
    world.resolver.says("b.cdn.example.", Says::Code(ResponseCode::NXDomain));
    let (code, text) = world.check();
    assert_eq!(code, Some(2), "{text}");
    says(&text, &["the target b.cdn.example. (www.news.example./bunny) does not resolve: NXDOMAIN", "1 error"]);
    world.resolver.says("b.cdn.example.", Says::Nothing);
    assert_eq!(world.check().0, Some(2));
    // A resolver that stumbles says nothing of the zone.
    world.resolver.says("b.cdn.example.", Says::Code(ResponseCode::ServFail));
    let (code, text) = world.check();
    assert_eq!(code, Some(0), "{text}");
    says(&text, &["could not be resolved from here: SERVFAIL", "0 errors, 1 warning"]);
}

/// A zone decides where such questions go, so they do not go into the operator's own networks.
#[test]
fn private_addresses_are_refused_unless_they_are_allowed() {
    let world = World::new("a.cdn.example.", "b.cdn.example.");
    world.target("a.cdn.example.", Answers::Scoped(vec![EDGE], 24));
    world.target("b.cdn.example.", Answers::Scoped(vec![EDGE], 24));
    assert_eq!(world.check().0, Some(0));
    let asked = world.server.questions();
    assert!(asked > 0);
    std::fs::write(world.site.path("pointsman.toml"), format!("[probe]\n{}", world.probe())).expect("it is written");
    let (code, text) = world.check();
    assert_eq!(code, Some(2), "{text}");
    says(&text, &["resolves to 127.0.0.1, which is loopback: no probe is sent there", "allow_private", "2 errors"]);
    assert_eq!(world.server.questions(), asked, "nor are servers at such addresses asked");
}

#[test]
fn faults_of_the_zone_are_told_as_ever() {
    let world = World::new("a.cdn.example.", "b.cdn.example.");
    world.site.zone("broken.example", "www 60 IN CNAM shop.example.\n");
    world.target("a.cdn.example.", Answers::Scoped(vec![EDGE], 24));
    world.target("b.cdn.example.", Answers::Scoped(vec![EDGE], 24));
    let (code, text) = world.check();
    assert_eq!(code, Some(2), "{text}");
    says(&text, &["1 of 2 zones with errors", "a.cdn.example.: resolves to 127.0.0.1"]);
}
