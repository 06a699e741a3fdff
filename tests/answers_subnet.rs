//! EDNS Client Subnet (RFC 7871): what is taken for a client, what is sent back, and what is refused.

#[path = "support/steered.rs"]
mod by_hand;
#[path = "support/mmdb.rs"]
mod mmdb;
#[path = "support/answers.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use by_hand::{decision, steered, whole};
use ipnet::IpNet;
use pointsman::image::areas::database::Database;
use pointsman::image::areas::{Areas, Sets};
use pointsman::image::published::{Published, Selected, SelectedAreas, Selection};
use pointsman::image::{Settings, Transport, explain};
use pointsman::steer::areas::AreaRules;
use pointsman::steer::decision::{CandidateReason, Source};
use pointsman::steer::policy::{AreaPolicy, Preference, Shape, Sticky};
use pointsman::steer::shares::Shares;
use pointsman::zone::record::Rtype;
use support::{Message, ask_as, name, published, query, question, with_edns, zone};

const A: u16 = 1;
const AAAA: u16 = 28;
const SUBNET: u16 = 8;
const FORMERR: u16 = 1;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

const ZONE: &str = "
$TTL 3600
@      IN SOA ns1 hostmaster 7 7200 3600 1209600 300
@      IN NS  ns1
ns1    IN A   192.0.2.1
plain  IN A   192.0.2.9
alias  IN CNAME both
sub    IN NS  ns.elsewhere.example.
one    IN A   192.0.2.98
both   IN A   192.0.2.98
draw   IN CNAME static.example.
area   IN A   192.0.2.98
static IN A   192.0.2.98
";

/// `one`: one candidate serves all. `both`: two share by prefix. `draw`: two share by a draw. `area`: as `one`, with areas.
/// `static`: the owner's own records.
fn served() -> Published {
    let of = |owner: &str, shape, sticky, targets: &[&str]| {
        steered(&format!("{owner}.shop.test."), "shop.test.", shape, sticky, targets)
    };
    let addresses = &["192.0.2.10", "192.0.2.11"];
    let mut with_areas = of("area", Shape::Addresses, Sticky::Yes, addresses);
    let us = AreaPolicy { prefer: Some(vec![Preference::Home("us".parse().expect("a home"))]), only: None };
    with_areas.policy.areas = BTreeMap::from([("country-de".into(), us)]);
    let steered = vec![
        of("one", Shape::Addresses, Sticky::Yes, addresses),
        of("both", Shape::Addresses, Sticky::Yes, addresses),
        of("draw", Shape::Cname, Sticky::No, &["a.cdn.example.", "b.cdn.example."]),
        with_areas.clone(),
        of("static", Shape::Addresses, Sticky::Yes, addresses),
    ];
    let zone = zone("shop.test.", ZONE, steered);
    let settings = Settings { nsid: Some(vec![b'n'; 64]), client_key: [7; 16], ..Settings::default() };
    let mut published = published(&[zone], &[name("broken.test.")], &settings);
    let reasons = vec![CandidateReason { share: 0.5, left_out: None, reason: "up".into() }; 2];
    let half = Source::Candidates(Shares::build(&[1, 1], None).expect("weights"));
    let halves = decision(half, 30, reasons);
    let own = decision(Source::Static, 30, Vec::new());
    let one = whole(0, 2, 30, None);
    let database = Database::parse(&mmdb::database(mmdb::Shape::Nested, 6, 24, mmdb::NETWORKS)).expect("it is good");
    let office = ("office".into(), vec!["198.51.100.128/25".parse().expect("a prefix")]);
    published.areas = Arc::new(Areas::build(&Sets::with([office]), &database.countries).expect("few places"));
    let places: Vec<_> = published.areas.places().iter().map(|place| place.areas.clone()).collect();
    let rules = Arc::new(AreaRules::of(&with_areas.policy, &places));
    let areas = SelectedAreas::new(rules, [one.clone(), one.clone()]);
    let [both, draw] = [halves.clone(), halves].map(Selected::from);
    let area = Selected::new(one.clone(), Some(Arc::new(areas)));
    published.selection = Arc::new(Selection(vec![one.into(), both, draw, area, own.into()]));
    published
}

fn option(data: &[u8]) -> Vec<u8> {
    let mut octets = vec![0, 8, 0, u8::try_from(data.len()).expect("short")];
    octets.extend_from_slice(data);
    octets
}

fn subnet(prefix: &str) -> Vec<u8> {
    let net: IpNet = prefix.parse().expect("a prefix");
    let (family, octets) = match net {
        IpNet::V4(net) => (1, net.addr().octets().to_vec()),
        IpNet::V6(net) => (2, net.addr().octets().to_vec()),
    };
    let mut data = vec![0, family, net.prefix_len(), 0];
    data.extend_from_slice(&octets[..usize::from(net.prefix_len().div_ceil(8))]);
    data
}

fn ask(published: &Published, qname: &str, qtype: u16, options: &[u8], sender: &str) -> Message {
    let query = with_edns(query(qname, qtype), 1232, 0, options);
    let answer = ask_as(published, &query, Transport::Udp, sender, 3).expect("an answer");
    Message::read(&answer).expect("a message")
}

/// The option of the answer to a question for this prefix.
fn echo(published: &Published, qname: &str, qtype: u16, prefix: &str) -> Option<Vec<u8>> {
    ask(published, qname, qtype, &option(&subnet(prefix)), "10.0.0.1").option(SUBNET)
}

#[test]
fn the_option_is_repeated_with_the_bits_that_the_answer_depends_on() {
    let published = served();
    for (qname, prefix, scope) in [
        ("plain.shop.test.", "198.51.100.0/24", 0),
        ("one.shop.test.", "198.51.100.0/24", 0),
        ("static.shop.test.", "198.51.100.0/24", 0),
        ("draw.shop.test.", "198.51.100.0/24", 0),
        ("both.shop.test.", "198.51.100.0/24", 24),
        ("both.shop.test.", "198.51.0.0/16", 24),
        ("both.shop.test.", "198.51.100.7/32", 24),
        ("alias.shop.test.", "198.51.100.0/24", 24),
        ("both.shop.test.", "2001:db8::/32", 56),
        ("both.shop.test.", "2001:db8::/64", 56),
        ("area.shop.test.", "198.51.101.0/24", 24),
        ("area.shop.test.", "198.51.100.200/32", 25),
        ("area.shop.test.", "203.0.113.0/24", 26),
        ("area.shop.test.", "8.8.8.0/24", 2),
        ("area.shop.test.", "2001:db8::/56", 48),
        ("area.shop.test.", "2001:db8:2:3::/64", 65),
        ("area.shop.test.", "::ffff:198.51.101.0/120", 120),
        ("both.shop.test.", "0.0.0.0/0", 0),
        ("area.shop.test.", "::/0", 0),
        ("sub.shop.test.", "198.51.100.0/24", 0),
    ] {
        let mut expected = subnet(prefix);
        expected[3] = scope;
        assert_eq!(echo(&published, qname, A, prefix), Some(expected), "{qname} {prefix}");
    }
}

/// Scope 0 would be for all clients of both families (RFC 7871, section 7.3.1), and here those of the other one are elsewhere.
#[test]
fn an_answer_that_depends_on_the_family_alone_does_not_hold_for_all() {
    let mut published = served();
    let german = steered("area.shop.test.", "shop.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.10"]);
    let mut policy = german.policy;
    policy.areas = BTreeMap::from([(
        "country-de".into(),
        AreaPolicy { prefer: None, only: Some(vec![Preference::Home("eu".parse().expect("a home"))]) },
    )]);
    // A database of one family, as some are sold: nothing is known of the other.
    for (networks, client) in [(&[("192.0.0.0/8", "DE")], "2001:db8::/56"), (&[("2000::/3", "DE")], "198.51.100.0/24")]
    {
        let database = mmdb::database(mmdb::Shape::Nested, 6, 24, networks);
        let database = Database::parse(&database).expect("it is good");
        published.areas = Arc::new(Areas::build(&Sets::default(), &database.countries).expect("few places"));
        let places: Vec<_> = published.areas.places().iter().map(|place| place.areas.clone()).collect();
        let rules = Arc::new(AreaRules::of(&policy, &places));
        let decisions: Vec<_> = (0..rules.count()).map(|rule| whole(rule as u16, 2, 30, None)).collect();
        let mut selection = published.selection.0.clone();
        selection[3] = Selected::new(decisions[0].clone(), Some(Arc::new(SelectedAreas::new(rules, decisions))));
        published.selection = Arc::new(Selection(selection));
        let scope = echo(&published, "area.shop.test.", A, client).expect("an option")[3];
        assert_eq!(scope, 1, "{client}");
    }
}

/// RFC 7871, section 7.4.
#[test]
fn negative_answers_hold_for_everyone() {
    let published = served();
    for (qname, qtype, rcode) in [
        ("both.shop.test.", AAAA, 0),
        ("none.shop.test.", A, NXDOMAIN),
        ("elsewhere.test.", A, REFUSED),
        ("broken.test.", A, 2),
    ] {
        let answer = ask(&published, qname, qtype, &option(&subnet("198.51.100.0/24")), "10.0.0.1");
        assert_eq!((answer.rcode(), answer.option(SUBNET)), (rcode, Some(subnet("198.51.100.0/24"))), "{qname}");
    }
}

#[test]
fn who_sends_none_gets_none() {
    let published = served();
    assert_eq!(ask(&published, "both.shop.test.", A, &[], "10.0.0.1").option(SUBNET), None);
    let answer = ask_as(&published, &query("both.shop.test.", A), Transport::Udp, "10.0.0.1", 3).expect("an answer");
    assert_eq!(Message::read(&answer).expect("a message").opt, None);
}

#[test]
fn the_prefix_is_the_client() {
    let published = served();
    let mut seen = BTreeSet::new();
    for third in 0..=255 {
        let prefix = format!("198.51.{third}.0/24");
        let asked = ask(&published, "both.shop.test.", A, &option(&subnet(&prefix)), "10.0.0.1").answer;
        // The same as if the client itself had asked, whoever asks for it.
        let direct = ask(&published, "both.shop.test.", A, &[], &format!("198.51.{third}.77")).answer;
        assert_eq!(asked, direct, "{prefix}");
        let elsewhere = ask(&published, "both.shop.test.", A, &option(&subnet(&prefix)), "2001:db8::1").answer;
        assert_eq!(asked, elsewhere, "{prefix}");
        // Who is not to be located is the sender.
        let unlocated = option(&[0, 1, 0, 0]);
        let sender = ask(&published, "both.shop.test.", A, &unlocated, &format!("198.51.{third}.77")).answer;
        assert_eq!(sender, direct, "{prefix}");
        seen.insert(asked.iter().map(ToString::to_string).collect::<String>());
    }
    assert_eq!(seen.len(), 2, "both candidates answer");
}

#[test]
fn what_is_no_option_is_a_format_error() {
    let published = served();
    for data in [
        &[][..],
        &[0, 1, 24, 0, 198, 51],
        &[0, 1, 24, 0, 198, 51, 100, 0],
        &[0, 1, 33, 0, 198, 51, 100, 0, 0],
        &[0, 1, 23, 0, 198, 51, 101],
        &[0, 1, 24, 24, 198, 51, 100],
        &[0, 9, 24, 0, 198, 51, 100],
    ] {
        for qname in ["plain.shop.test.", "both.shop.test.", "elsewhere.test."] {
            let answer = ask(&published, qname, A, &option(data), "10.0.0.1");
            // With an OPT, which says that EDNS is known here (RFC 6891, section 7).
            let opt = answer.opt.as_ref().map(|opt| (opt.class, opt.ttl, opt.rdata.len()));
            assert_eq!(
                (answer.rcode(), opt, answer.answer.len()),
                (FORMERR, Some((1232, 0, 0)), 0),
                "{qname} {data:?}"
            );
        }
    }
}

#[test]
fn of_several_options_the_first_counts() {
    let published = served();
    let both = [option(&subnet("198.51.100.0/24")), option(&subnet("203.0.113.0/24"))].concat();
    let answer = ask(&published, "plain.shop.test.", A, &both, "10.0.0.1");
    assert_eq!(answer.opt.as_ref().expect("an OPT").rdata, option(&subnet("198.51.100.0/24")));
}

#[test]
fn a_later_version_is_told_so_and_nothing_else() {
    let published = served();
    let query = with_edns(query("both.shop.test.", A), 1232, 1 << 16, &option(&[9, 9]));
    let answer = ask_as(&published, &query, Transport::Udp, "10.0.0.1", 3).expect("an answer");
    let answer = Message::read(&answer).expect("a message");
    assert_eq!((answer.rcode(), answer.option(SUBNET)), (BADVERS, None));
}

#[test]
fn other_classes_repeat_it_too() {
    let published = served();
    let query = with_edns(question(&name("version.bind."), 16, 3, 0), 1232, 0, &option(&subnet("198.51.100.0/24")));
    let answer = ask_as(&published, &query, Transport::Udp, "10.0.0.1", 3).expect("an answer");
    assert_eq!(Message::read(&answer).expect("a message").option(SUBNET), Some(subnet("198.51.100.0/24")));
}

/// The longest options and as many records as 512 octets hold: what was reserved is there.
#[test]
fn there_is_room_for_it_in_every_answer() {
    let long = format!("{}.", ["x".repeat(60), "y".repeat(60), "shop".into(), "test".into()].join("."));
    for records in 1..40 {
        let label = &long[..121];
        let lines = (1..=records).map(|at| format!("{label} IN A 192.0.2.{at}\n"));
        let zone = zone("shop.test.", &(ZONE.to_owned() + &lines.collect::<String>()), Vec::new());
        let settings = Settings { nsid: Some(vec![b'n'; 64]), ..Settings::default() };
        let published = published(&[zone], &[], &settings);
        let options = [vec![0, 3, 0, 0], option(&subnet("2001:db8::1/128"))].concat();
        let query = with_edns(query(&long, A), 512, 0, &options);
        let answer = ask_as(&published, &query, Transport::Udp, "10.0.0.1", 3).expect("an answer");
        let message = Message::read(&answer).expect("a message");
        assert!(answer.len() <= 512, "{} octets", answer.len());
        assert_eq!(message.option(SUBNET), Some(subnet("2001:db8::1/128")), "{records} records");
        assert_eq!(message.option(3).map(|nsid| nsid.len()), Some(64), "{records} records");
    }
}

#[test]
fn explain_says_where_the_client_is() {
    let published = served();
    let first = |client: &str| {
        let net = client.parse::<IpNet>().ok().or_else(|| client.parse::<IpAddr>().ok().map(IpNet::from));
        let client = net.expect("a client");
        explain(&published, &name("area.shop.test."), Rtype(A), client, 0).steps.remove(0)
    };
    let areas = "eu27, eea, country-de, continent-eu";
    assert_eq!(first("198.51.100.7"), format!("198.51.100.7 is in 198.51.100.0/25: {areas}"));
    assert_eq!(first("198.51.100.130"), format!("198.51.100.130 is in 198.51.100.128/25: office, {areas}"));
    assert_eq!(first("198.51.101.0/24"), format!("198.51.101.0/24 is in 198.51.101.0/24: {areas}"));
    assert_eq!(
        first("198.51.100.0/24"),
        format!("198.51.100.0/24 is wider than 198.51.100.0/25, where its first address is: {areas}")
    );
    assert_eq!(first("2001:db8:1::7"), "2001:db8:1::7 is in 2001:db8:1::/48: country-jp, continent-as");
    assert_eq!(first("8.8.8.8"), "8.8.8.8 is in 0.0.0.0/2: no area that is known");
}
