//! What steered names answer, shape by shape.

#[path = "support/steered.rs"]
mod by_hand;
#[path = "support/answers.rs"]
mod support;

use std::net::IpAddr;
use std::sync::Arc;

use by_hand::{decision, select, steered, whole};
use pointsman::image::published::{
    FAR_CLIENTS, FlattenedSet, FlattenedSets, Published, Selected, SelectedAreas, Selection,
};
use pointsman::image::service::{Service, ServiceRecord};
use pointsman::image::{Settings, Transport, explain};
use pointsman::steer::areas::AreaRules;
use pointsman::steer::decision::{CandidateReason, Source};
use pointsman::steer::observation::Family;
use pointsman::steer::policy::{AreaPolicy, Preference, Shape, Sticky};
use pointsman::steer::shares::Shares;
use pointsman::zone::record::Rtype;
use proptest::prelude::*;
use support::{AA, Message, ask_as, lines, name, published, query, tcp, zone};

const A: u16 = 1;
const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const ANY: u16 = 255;

const ZONE: &str = r#"
$TTL 3600
@       IN SOA ns1 hostmaster 7 7200 3600 1209600 300
@       IN NS  ns1
@       IN MX  10 ns1
@       IN A   192.0.2.99
ns1     IN A   192.0.2.1
www     IN CNAME static.example.
app     IN A   192.0.2.98
app     IN TXT "beside"
app     IN HTTPS 1 . alpn=h2
hints   IN A   192.0.2.97
hints   IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.97
named   IN A   192.0.2.97
named   IN HTTPS 1 other.example. alpn=h2
keys    IN A   192.0.2.97
keys    IN HTTPS 1 . alpn=h2 ech=qrs=
bound   IN A   192.0.2.15
bound   IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.15
bound   IN SVCB 1 . ipv4hint=192.0.2.15
alias   IN CNAME www
alias2  IN CNAME app
deep    IN DNAME app
*.dyn   IN CNAME static.example.
"#;

const WWW: usize = 0;
const APP: usize = 1;
const APEX: usize = 2;
const DYN: usize = 3;
const NEW: usize = 4;

/// Every shape; all clients for the first candidate.
fn served() -> Published {
    let zone = zone(
        "shop.test.",
        ZONE,
        vec![
            steered(
                "www.shop.test.",
                "shop.test.",
                Shape::Cname,
                Sticky::Yes,
                &["shop.b-cdn.net.", "x.www.shop.test."],
            ),
            steered(
                "app.shop.test.",
                "shop.test.",
                Shape::Addresses,
                Sticky::No,
                &["192.0.2.10,2001:db8::10", "192.0.2.11"],
            ),
            steered(
                "shop.test.",
                "shop.test.",
                Shape::Flattened,
                Sticky::Yes,
                &["a.cdn.example.", "b.cdn.example.", "192.0.2.12"],
            ),
            steered("*.dyn.shop.test.", "shop.test.", Shape::Cname, Sticky::Yes, &["dyn.b-cdn.net."]),
            steered("new.shop.test.", "shop.test.", Shape::Cname, Sticky::Yes, &["new.b-cdn.net."]),
            steered("hints.shop.test.", "shop.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.13"]),
            steered("named.shop.test.", "shop.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.14"]),
            steered("keys.shop.test.", "shop.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.14", "192.0.2.16"]),
            steered("bound.shop.test.", "shop.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.15", "192.0.2.16"]),
        ],
    );
    let mut published = published(&[zone], &[], &Settings::default());
    select(&mut published, [2, 2, 3, 1, 1, 1, 1, 2, 2].map(|of| whole(0, of, 30, None)).to_vec());
    published
}

fn choose(published: &mut Published, slot: usize, decision: Arc<pointsman::steer::decision::Decision>) {
    let mut decisions: Vec<_> = published.selection.0.iter().map(|selected| selected.plain.clone()).collect();
    decisions[slot] = decision;
    select(published, decisions);
}

fn answers(published: &Published, qname: &str, qtype: u16) -> Vec<String> {
    let message = tcp(published, qname, qtype);
    assert_eq!((message.rcode(), message.has(AA)), (0, true), "{qname} {qtype}");
    lines(&message.answer)
}

fn denial(published: &Published, qname: &str, qtype: u16) -> Vec<String> {
    assert!(answers(published, qname, qtype).is_empty(), "{qname} {qtype}");
    lines(&tcp(published, qname, qtype).authority)
}

#[test]
fn slots_are_told_by_name() {
    let image = served().image;
    assert_eq!(image.slot_of(&name("WWW.shop.test.")), Some(WWW));
    assert_eq!(image.slot_of(&name("*.dyn.shop.test.")), Some(DYN));
    assert_eq!(image.slot_of(&name("x.dyn.shop.test.")), None);
    assert_eq!(image.slot_of(&name("ns1.shop.test.")), None);
    assert_eq!(&*image.slots()[APEX].name, "shop.test.");
}

#[test]
fn a_cname_answers_every_type_alone() {
    let published = served();
    for qtype in [A, AAAA, CNAME, TXT, HTTPS, ANY, 65280] {
        assert_eq!(answers(&published, "wWw.shop.test.", qtype), ["www.shop.test. 30 5 shop.b-cdn.net."]);
    }
}

#[test]
fn a_steered_cname_is_never_chased() {
    let mut published = served();
    choose(&mut published, WWW, whole(1, 2, 5, None));
    assert_eq!(answers(&published, "www.shop.test.", A), ["www.shop.test. 5 5 x.www.shop.test."]);
}

#[test]
fn chains_lead_to_steered_answers() {
    let published = served();
    assert_eq!(
        answers(&published, "alias.shop.test.", A),
        ["alias.shop.test. 3600 5 www.shop.test.", "www.shop.test. 30 5 shop.b-cdn.net."]
    );
    assert_eq!(
        answers(&published, "alias2.shop.test.", AAAA),
        ["alias2.shop.test. 3600 5 app.shop.test.", "app.shop.test. 30 28 2001:db8::10"]
    );
}

#[test]
fn a_steered_wildcard_is_synthesised() {
    let published = served();
    for qname in ["a.dyn.shop.test.", "a.b.dyn.shop.test.", "*.dyn.shop.test."] {
        assert_eq!(answers(&published, qname, A), [format!("{qname} 30 5 dyn.b-cdn.net.")]);
    }
}

#[test]
fn an_owner_without_records_of_its_own_is_there() {
    assert_eq!(answers(&served(), "new.shop.test.", A), ["new.shop.test. 30 5 new.b-cdn.net."]);
}

#[test]
fn addresses_are_the_candidates() {
    let mut published = served();
    assert_eq!(answers(&published, "app.shop.test.", A), ["app.shop.test. 30 1 192.0.2.10"]);
    assert_eq!(answers(&published, "app.shop.test.", AAAA), ["app.shop.test. 30 28 2001:db8::10"]);
    assert_eq!(answers(&published, "app.shop.test.", ANY), ["app.shop.test. 30 1 192.0.2.10"]);
    assert_eq!(answers(&published, "app.shop.test.", TXT), ["app.shop.test. 3600 16 beside"]);
    assert_eq!(denial(&published, "app.shop.test.", MX), ["shop.test. 30 6 serial 7"]);
    choose(&mut published, APP, whole(1, 2, 5, None));
    assert_eq!(denial(&published, "app.shop.test.", AAAA), ["shop.test. 5 6 serial 7"]);
}

#[test]
fn a_place_has_the_decision_of_its_area_rule() {
    let mut published = served();
    let mut policy = published.image.slots()[WWW].policy.clone();
    let us = vec![Preference::Home("us".parse().expect("a home"))];
    policy.areas.insert("lab".to_owned(), AreaPolicy { prefer: Some(us.clone()), only: Some(us) });
    // Everyone is in place 0, and that is in the lab; a place more is not.
    let rules = |places: &[&[&str]]| {
        let places: Vec<Vec<Arc<str>>> =
            places.iter().map(|areas| areas.iter().map(|area| Arc::from(*area)).collect()).collect();
        Arc::new(AreaRules::of(&policy, &places))
    };
    let (plain, area) = (whole(0, 2, 30, None), whole(1, 2, 5, None));
    for (rules, decisions, answered) in [
        (rules(&[&["lab"], &[]]), vec![plain.clone(), area.clone()], "www.shop.test. 5 5 x.www.shop.test."),
        (rules(&[&[], &["lab"]]), vec![plain.clone(), area.clone()], "www.shop.test. 30 5 shop.b-cdn.net."),
        // What does not fit together is not answered by a rule of others.
        (rules(&[&["lab"]]), vec![plain.clone()], "www.shop.test. 30 5 static.example."),
    ] {
        let mut selected = published.selection.0.clone();
        selected[WWW] = Selected::new(plain.clone(), Some(Arc::new(SelectedAreas::new(rules, decisions))));
        published.selection = Arc::new(Selection(selected));
        assert_eq!(answers(&published, "www.shop.test.", A), [answered]);
    }
    let mut selected = published.selection.0.clone();
    let areas = SelectedAreas::new(rules(&[&["lab"], &[]]), [plain.clone(), area]);
    selected[WWW] = Selected::new(plain, Some(Arc::new(areas)));
    published.selection = Arc::new(Selection(selected));
    let trace =
        explain(&published, &name("www.shop.test."), Rtype(A), "192.0.2.1".parse::<IpAddr>().expect("an address"), 0);
    let told =
        "192.0.2.1 is in no area that is known (prefix length 0): for clients in lab the rule is prefer=us only=us";
    assert!(trace.steps.iter().any(|step| step == told), "{:?}", trace.steps);
}

/// How often each of three candidates is answered to 100,000 questions, in percent.
fn split(published: &Published, qname: &str, asker: impl Fn(u32) -> (String, u64)) -> [f64; 3] {
    let question = query(qname, A);
    let mut seen = [0_u32; 3];
    for i in 0..100_000 {
        let (client, number) = asker(i);
        let octets = ask_as(published, &question, Transport::Udp, &client, number).expect("an answer");
        // The target is the last name of the answer: `c0.cdn.example.`
        let at = octets.windows(3).rposition(|three| three[0] == 2 && three[1] == b'c').expect("a target");
        seen[usize::from(octets[at + 2] - b'0')] += 1;
    }
    seen.map(|count| f64::from(count) / 1000.0)
}

#[test]
fn clients_and_draws_are_split_by_weight_within_a_percent() {
    let targets = ["c0.cdn.example.", "c1.cdn.example.", "c2.cdn.example."];
    let name = |owner, sticky| steered(owner, "shop.test.", Shape::Cname, sticky, &targets);
    let names = vec![name("new.shop.test.", Sticky::Yes), name("drawn.shop.test.", Sticky::No)];
    let mut published = published(&[zone("shop.test.", ZONE, names)], &[], &Settings::default());
    // As it is after a candidate has left and come back: the circle is no longer in one piece.
    let away = Shares::build(&[70, 0, 10], None);
    let shares = Shares::build(&[70, 20, 10], away.as_ref()).expect("weights");
    let reasons = whole(0, 3, 30, None).reasons.clone();
    select(&mut published, vec![decision(Source::Candidates(shares), 30, reasons); 2]);

    let (one, drawn) = ("192.0.2.1".to_owned(), |i: u32| u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17);
    let splits = [
        split(&published, "new.shop.test.", |i| (format!("10.{}.{}.1", i >> 8 & 255, i & 255), 0)),
        split(&published, "new.shop.test.", |i| {
            (format!("{}.{}.{}.1", 11 + (i >> 16), i >> 8 & 255, i & 255), drawn(i))
        }),
        split(&published, "new.shop.test.", |i| (format!("2001:db8:{:x}:{:x}00::1", i >> 8, i & 255), drawn(i))),
        split(&published, "drawn.shop.test.", |i| (one.clone(), drawn(i))),
    ];
    for split in splits {
        for (seen, wanted) in split.iter().zip([70.0, 20.0, 10.0]) {
            assert!((seen - wanted).abs() < 1.0, "{splits:?}");
        }
    }
    // A sticky client keeps its candidate, whatever is drawn.
    let sticky = split(&published, "new.shop.test.", |i| (one.clone(), drawn(i)));
    assert!(sticky.contains(&100.0), "{sticky:?}");
}

#[test]
fn an_https_record_never_leads_past_the_decision() {
    let mut published = served();
    assert_eq!(answers(&published, "app.shop.test.", HTTPS).len(), 1);
    for (slot, qname) in [(5, "hints.shop.test."), (6, "named.shop.test."), (7, "keys.shop.test.")] {
        assert_eq!(denial(&published, qname, HTTPS), ["shop.test. 30 6 serial 7"], "{qname}");
        choose(&mut published, slot, decision(Source::Static, 30, Vec::new()));
        assert_eq!(answers(&published, qname, HTTPS).len(), 1, "{qname}: static is the owner's own");
    }
    // Hints of what is answered stay, for as long as that is; a cache holds them no longer than the addresses.
    for qtype in [SVCB, HTTPS] {
        choose(&mut published, 8, whole(0, 2, 30, None));
        let own = answers(&published, "bound.shop.test.", qtype);
        assert!(own.len() == 1 && own[0].starts_with(&format!("bound.shop.test. 30 {qtype} ")), "{own:?}");
        choose(&mut published, 8, whole(1, 2, 30, None));
        assert_eq!(denial(&published, "bound.shop.test.", qtype), ["shop.test. 30 6 serial 7"]);
    }
}

/// The addresses in the hints of HTTPS record data with the target `.`.
fn hints(rdata: &[u8]) -> Vec<IpAddr> {
    assert_eq!(rdata[..3], [0, 1, 0], "the owner itself");
    let (mut rest, mut all) = (&rdata[3..], Vec::new());
    while let [k0, k1, l0, l1, values @ ..] = rest {
        let (value, others) = values.split_at(usize::from(u16::from_be_bytes([*l0, *l1])));
        match [*k0, *k1] {
            [0, 4] => all.extend(value.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets))),
            [0, 6] => all.extend(value.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets))),
            _ => {}
        }
        rest = others;
    }
    all
}

/// What a client is answered: addresses, and those in hints; none where it gets no HTTPS record.
fn told(published: &Published, client: &str) -> (Vec<IpAddr>, Option<Vec<IpAddr>>) {
    let ask = |qtype| {
        let octets = ask_as(published, &query("shop.test.", qtype), Transport::Tcp, client, 0).expect("an answer");
        Message::read(&octets).expect("a message").answer
    };
    let mut addresses: Vec<IpAddr> =
        ask(A).iter().map(|record| IpAddr::from(<[u8; 4]>::try_from(&*record.rdata).expect("4 octets"))).collect();
    addresses.extend(ask(AAAA).iter().map(|record| IpAddr::from(<[u8; 16]>::try_from(&*record.rdata).expect("16"))));
    (addresses, ask(HTTPS).first().map(|record| hints(&record.rdata)))
}

/// A set of candidate `c`, whose target has an HTTPS record with hints of its own, or none.
fn set_with_hints(c: u8, v4: u8, v6: u8, has_service: bool) -> Arc<FlattenedSet> {
    let v4s = (0..v4).map(|i| IpAddr::from([203, 0, 113, 16 * c + i]));
    let v6s = (0..v6).map(|i| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, c.into(), i.into()]));
    let addresses: Vec<IpAddr> = v4s.chain(v6s).collect();
    // alpn=h2 ipv4hint=192.0.2.99 ipv6hint=::99: what the target's owner says, elsewhere than where it resolves to.
    let mut rdata = b"\0\x01\0\0\x01\0\x03\x02h2\0\x04\0\x04\xc0\0\x02\x63\0\x06\0\x10".to_vec();
    rdata.extend([0; 15]);
    rdata.push(0x99);
    let record = ServiceRecord { owner: b"\x01t\0".as_slice().into(), rdata: rdata.into() };
    let service = has_service.then(|| Service::compile(&[record], 60, &addresses).expect("it fits").into());
    Arc::new(FlattenedSet { addresses, ttl: 60, service, honours_subnets: None, by_area: None })
}

proptest! {
    /// In each state that is published, and so before and after a move, to one place or gradually.
    #[test]
    fn addresses_and_hints_of_a_client_are_of_one_candidate(
        sets in prop::array::uniform3((1_u8..4, 0_u8..4, any::<bool>())),
        has_set in prop::array::uniform3(any::<bool>()),
        moves in prop::collection::vec((prop::array::uniform3(0_u64..4), prop::option::of(prop::bool::ANY)), 1..6),
        clients in prop::collection::vec(any::<u32>(), 8),
    ) {
        let targets = ["a.cdn.example.", "b.cdn.example.", "c.cdn.example."];
        let name = steered("shop.test.", "shop.test.", Shape::Flattened, Sticky::No, &targets);
        let mut published = published(&[zone("shop.test.", ZONE, vec![name])], &[], &Settings::default());
        let compiled = (0..).zip(sets).zip(has_set);
        let compiled = compiled.map(|((c, (v4, v6, service)), has)| has.then(|| set_with_hints(c, v4, v6, service)));
        published.flattened = Arc::new(FlattenedSets(vec![compiled.collect()]));
        let mut before = None;
        for (weights, left_out) in moves {
            let Some(shares) = Shares::build(&weights, before.as_ref()) else { continue };
            before = Some(shares.clone());
            let left_out = left_out.map(|v4| if v4 { Family::V4 } else { Family::V6 });
            let reason = |weight: &u64| CandidateReason { share: *weight as f64, left_out, reason: String::new() };
            let reasons = weights.iter().map(reason).collect();
            select(&mut published, vec![decision(Source::Candidates(shares), 30, reasons)]);
            for client in &clients {
                let (addresses, hints) = told(&published, &std::net::Ipv4Addr::from(*client).to_string());
                let own = addresses == [IpAddr::from([192, 0, 2, 99])];
                let of = |address: &IpAddr| match address {
                    IpAddr::V4(v4) => usize::from(v4.octets()[3] / 16),
                    IpAddr::V6(v6) => usize::from(v6.segments()[6]),
                };
                prop_assert!(!addresses.is_empty());
                match (own, hints) {
                    (true, hints) => prop_assert_eq!(hints, None),
                    (false, Some(hints)) => prop_assert_eq!(hints, addresses),
                    (false, None) => prop_assert!(!sets[of(&addresses[0])].2, "{:?}", addresses),
                }
            }
        }
    }
}

#[test]
fn address_answers_do_not_draw() {
    let published = served();
    let ask = |number| ask_as(&published, &query("app.shop.test.", A), Transport::Udp, "192.0.2.1", number);
    assert!((0..64).all(|number| ask(number << 12) == ask(0)));
}

#[test]
fn a_family_that_alone_is_down_is_left_out() {
    let mut published = served();
    choose(&mut published, APP, whole(0, 2, 30, Some(Family::V6)));
    assert_eq!(denial(&published, "app.shop.test.", AAAA), ["shop.test. 30 6 serial 7"]);
    assert_eq!(answers(&published, "app.shop.test.", A), ["app.shop.test. 30 1 192.0.2.10"]);
    choose(&mut published, APP, whole(1, 2, 30, Some(Family::V4)));
    assert_eq!(
        answers(&published, "app.shop.test.", A),
        ["app.shop.test. 30 1 192.0.2.11"],
        "else nothing would be left"
    );
}

#[test]
fn flattened_names_answer_what_targets_resolved_to() {
    let mut published = served();
    let set = |addresses: &[&str], ttl| {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        Some(Arc::new(FlattenedSet { addresses, ttl, service: None, honours_subnets: None, by_area: None }))
    };
    let sets = |sets: Vec<Option<Arc<FlattenedSet>>>| Arc::new(FlattenedSets(vec![Vec::new(), Vec::new(), sets]));
    // Nothing has resolved: the owner's own.
    assert_eq!(answers(&published, "shop.test.", A), ["shop.test. 30 1 192.0.2.99"]);
    published.flattened = sets(vec![set(&["203.0.113.1", "203.0.113.2", "2001:db8::2"], 20), set(&["203.0.113.3"], 1)]);
    assert_eq!(answers(&published, "shop.test.", A), ["shop.test. 20 1 203.0.113.1", "shop.test. 20 1 203.0.113.2"]);
    assert_eq!(answers(&published, "shop.test.", AAAA), ["shop.test. 20 28 2001:db8::2"]);
    assert_eq!(answers(&published, "shop.test.", MX), ["shop.test. 3600 15 000a036e73310473686f70047465737400"]);
    assert_eq!(answers(&published, "shop.test.", 6), ["shop.test. 3600 6 serial 7"]);
    let mut told = FlattenedSet::clone(published.flattened.0[APEX][0].as_ref().expect("a set"));
    told.honours_subnets = Some(false);
    published.flattened = sets(vec![Some(Arc::new(told)), published.flattened.0[APEX][1].clone()]);
    let client: IpAddr = "192.0.2.1".parse().expect("an address");
    let trace = explain(&published, &name("shop.test."), Rtype(A), client, 0);
    assert!(trace.steps.iter().any(|step| step == FAR_CLIENTS), "{:?}", trace.steps);
    choose(&mut published, APEX, whole(1, 3, 30, None));
    assert_eq!(answers(&published, "shop.test.", A), ["shop.test. 5 1 203.0.113.3"], "5 s at the least");
    assert_eq!(denial(&published, "shop.test.", AAAA), ["shop.test. 5 6 serial 7"]);
    choose(&mut published, APEX, whole(2, 3, 30, None));
    assert_eq!(answers(&published, "shop.test.", A), ["shop.test. 30 1 192.0.2.12"]);
    // The chosen one has no set yet, another that holds a share has.
    published.flattened = sets(vec![None, set(&["203.0.113.3"], 60)]);
    let mut reasons = whole(0, 3, 30, None).reasons.clone();
    reasons[1].share = 0.5;
    let Source::Candidates(shares) = whole(0, 3, 30, None).source.clone() else { panic!("shares") };
    choose(&mut published, APEX, decision(Source::Candidates(shares), 30, reasons));
    assert_eq!(answers(&published, "shop.test.", A), ["shop.test. 30 1 203.0.113.3"]);
}

#[test]
fn static_is_the_owners_own_at_the_decisions_ttl() {
    let mut published = served();
    for slot in [WWW, APP, APEX, DYN, NEW] {
        choose(&mut published, slot, decision(Source::Static, 7, Vec::new()));
    }
    assert_eq!(answers(&published, "www.shop.test.", A), ["www.shop.test. 7 5 static.example."]);
    assert_eq!(answers(&published, "app.shop.test.", A), ["app.shop.test. 7 1 192.0.2.98"]);
    assert_eq!(answers(&published, "x.dyn.shop.test.", A), ["x.dyn.shop.test. 7 5 static.example."]);
    assert_eq!(answers(&published, "shop.test.", MX), ["shop.test. 3600 15 000a036e73310473686f70047465737400"]);
    assert_eq!(denial(&published, "app.shop.test.", AAAA), ["shop.test. 7 6 serial 7"]);
    assert_eq!(denial(&published, "new.shop.test.", A), ["shop.test. 7 6 serial 7"]);
}

#[test]
fn decisions_that_do_not_fit_the_image_fall_back_to_the_owners_own() {
    let mut published = served();
    select(&mut published, Vec::new());
    assert_eq!(answers(&published, "www.shop.test.", A), ["www.shop.test. 30 5 static.example."]);
    assert_eq!(answers(&published, "app.shop.test.", A), ["app.shop.test. 30 1 192.0.2.98"]);
    select(&mut published, vec![whole(9, 0, 30, None); 5]);
    assert_eq!(answers(&published, "www.shop.test.", A), ["www.shop.test. 30 5 static.example."]);
    assert_eq!(answers(&published, "app.shop.test.", A), ["app.shop.test. 30 1 192.0.2.98"]);
    assert_eq!(answers(&published, "shop.test.", A), ["shop.test. 30 1 192.0.2.99"]);
}

#[test]
fn explain_says_what_is_answered_and_why() {
    let published = served();
    let client: IpAddr = "192.0.2.1".parse().expect("an address");
    for qname in [
        "www.shop.test.",
        "alias.shop.test.",
        "app.shop.test.",
        "x.dyn.shop.test.",
        "nx.shop.test.",
        "shop.test.",
        "deep.shop.test.",
        "example.",
    ] {
        for rtype in [A, AAAA, TXT, MX, ANY] {
            let trace = explain(&published, &name(qname), Rtype(rtype), client, 3);
            let answer = ask_as(&published, &query(qname, rtype), Transport::Tcp, "192.0.2.1", 3).expect("an answer");
            let answer = Message::read(&answer).expect("a message");
            assert_eq!(trace.rcode, answer.rcode(), "{qname} {rtype}");
            let told: Vec<_> = trace
                .answer
                .iter()
                .map(|record| {
                    (
                        record.owner.to_lowercase().to_string(),
                        record.ttl,
                        record.rtype.0,
                        record.rdata.to_ascii_lowercase(),
                    )
                })
                .collect();
            let given: Vec<_> = answer
                .answer
                .iter()
                .map(|record| (record.owner.clone(), record.ttl, record.rtype, record.rdata.to_ascii_lowercase()))
                .collect();
            assert_eq!(told, given, "{qname} {rtype}");
            assert!(!trace.steps.is_empty(), "{qname} {rtype}");
        }
    }
    assert_eq!(explain(&published, &name("alias.shop.test."), Rtype::A, client, 0).steered, Some((WWW, Some(0))));
    assert_eq!(explain(&published, &name("ns1.shop.test."), Rtype::A, client, 0).steered, None);
}
