//! Zones, compiled: nothing is lost, everything is found, and of nested zones the deepest answers.

#[path = "support/answers.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pointsman::image::{CompiledZone, Settings, Transport};
use pointsman::zone::name::Name;
use pointsman::zone::record::{Record, Rtype, Zone};
use pointsman::zone::records::Records;
use proptest::prelude::*;
use support::{AA, Message, ask, lines, name, published, query, question, tcp, zone};

const ORIGIN: &str = "zone.test.";

/// Few labels, so that names have ancestors and meet each other.
fn owners() -> impl Strategy<Value = Name> {
    let labels = prop::sample::select(vec!["a", "b", "c", "long-label-of-24-octets-x", "1234567", "12345678", "é"]);
    prop::collection::vec(labels, 0..4).prop_map(|labels| owner(&labels))
}

/// The same with labels that mean something.
fn odd_owners() -> impl Strategy<Value = Name> {
    let labels = prop::sample::select(vec!["a", "B", "*", "_steer", "12345678"]);
    prop::collection::vec(labels, 0..5).prop_map(|labels| owner(&labels))
}

fn owner(labels: &[&str]) -> Name {
    let mut wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.extend_from_slice(name(ORIGIN).as_wire());
    Name::from_wire(&wire).expect("a short name")
}

/// A name in record data: in the zone or out of it, in either case.
fn targets() -> impl Strategy<Value = Vec<u8>> {
    let outside = prop::sample::select(vec!["ns.other.example.", "A.other.example.", "Other.EXAMPLE.", "."]);
    let shouted = odd_owners().prop_map(|name| name.as_wire().to_ascii_uppercase());
    prop_oneof![
        odd_owners().prop_map(|name| name.as_wire().to_vec()),
        shouted,
        outside.prop_map(|text| name(text).as_wire().to_vec())
    ]
}

fn rdatas() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let mx = (any::<[u8; 2]>(), targets()).prop_map(|(preference, name)| [&preference[..], &name].concat());
    let soa = (targets(), targets(), any::<[u8; 20]>()).prop_map(|(a, b, c)| [&a[..], &b, &c].concat());
    let octets = prop::collection::vec(any::<u8>(), 0..40);
    // Data of another make; a zone is read without pointers in it.
    let no_names = prop::collection::vec(0..0xc0_u8, 0..12);
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| (1, octets.to_vec())),
        any::<[u8; 16]>().prop_map(|octets| (28, octets.to_vec())),
        (prop::sample::select(vec![2, 5, 12, 39]), targets()),
        mx.prop_map(|octets| (15, octets)),
        soa.prop_map(|octets| (6, octets)),
        (prop::sample::select(vec![16, 65280]), octets),
        (prop::sample::select(vec![2, 6, 15]), no_names),
    ]
}

fn compiled(records: Vec<Record>) -> CompiledZone {
    let origin = name(ORIGIN);
    CompiledZone::compile(Zone { records: Records::new(&origin, records), origin, steered: Vec::new() })
}

fn record(owner: Name, rtype: u16, rdata: &[u8]) -> Record {
    Record { owner, rtype: Rtype(rtype), ttl: 60 + u32::from(rtype), rdata: rdata.into() }
}

fn soa() -> Record {
    record(name(ORIGIN), 6, &[name("ns.zone.test.").as_wire(), b"\x01h\0", &[0; 19], &[9]].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_comes_back(all in prop::collection::vec((odd_owners(), rdatas()), 0..40)) {
        let records: Vec<_> = all.iter().map(|(owner, (rtype, rdata))| record(owner.clone(), *rtype, rdata)).collect();
        let line = |record: &Record| (record.owner.to_lowercase(), record.rtype, record.ttl, record.rdata.clone());
        let mut expected: Vec<_> = records.iter().map(line).collect();
        let zone = compiled(records);
        prop_assert_eq!(zone.len(), expected.len());
        let mut found: Vec<_> = zone.records().map(|record| line(&record)).collect();
        prop_assert!(found.iter().rposition(|record| record.0 == name(ORIGIN)) < Some(all.len().max(1)));
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn look_ups_are_those_of_a_map(
        all in prop::collection::vec((owners(), prop::sample::select(vec![1, 16, 28])), 0..30),
        asked in prop::collection::vec((owners(), prop::sample::select(vec![1, 16, 28])), 30),
        seed: u64,
    ) {
        let mut map: BTreeMap<Name, BTreeSet<u16>> = BTreeMap::from([(name(ORIGIN), BTreeSet::from([6]))]);
        let mut records = vec![soa()];
        for (owner, rtype) in &all {
            if map.entry(owner.to_lowercase()).or_default().insert(*rtype) {
                records.push(record(owner.clone(), *rtype, &vec![*rtype as u8; usize::from(*rtype)]));
            }
        }
        let published = published(&[Arc::new(compiled(records))], &[], &Settings { seed, ..Settings::default() });
        for (owner, rtype) in all.iter().chain(&asked) {
            let lower = owner.to_lowercase();
            let loud = Name::from_wire(&owner.as_wire().to_ascii_uppercase()).expect("a name");
            let octets = ask(&published, &question(&loud, *rtype, 1, 0), Transport::Udp).expect("an answer");
            let message = Message::read(&octets).expect("a message");
            let there = map.keys().any(|known| known.is_within(&lower));
            prop_assert_eq!(message.rcode(), if there { 0 } else { 3 }, "{}", owner);
            let has = map.get(&lower).is_some_and(|types| types.contains(rtype));
            prop_assert_eq!((message.answer.len(), message.authority.len()), if has { (1, 0) } else { (0, 1) });
            if has {
                prop_assert_eq!(&message.answer[0].owner, &lower.to_string());
                prop_assert_eq!(&message.answer[0].rdata, &vec![*rtype as u8; usize::from(*rtype)]);
            } else {
                prop_assert_eq!((&*message.authority[0].owner, message.authority[0].ttl), (ORIGIN, 9));
            }
        }
    }
}

#[test]
fn an_rrset_that_fits_no_message_is_kept_and_not_answered() {
    let many = (0..6000_u32).map(|i| record(name("big.zone.test."), 1, &i.to_be_bytes()));
    let long = record(name("long.zone.test."), 65280, &vec![7; 65_535]);
    let zone = compiled([soa(), long].into_iter().chain(many).collect());
    assert_eq!(zone.records().filter(|record| record.rtype == Rtype::A).count(), 6000);
    assert_eq!(zone.records().filter(|record| record.rdata.len() == 65_535).count(), 1);
    let published = published(&[Arc::new(zone)], &[], &Settings::default());
    for (qname, qtype) in [("big.zone.test.", 1), ("long.zone.test.", 65280)] {
        assert_eq!(tcp(&published, qname, qtype).rcode(), 2, "{qname}");
        let udp = ask(&published, &query(qname, qtype), Transport::Udp).expect("an answer");
        assert!(Message::read(&udp).is_some_and(|message| message.flags & 0x0200 != 0), "{qname}: TC");
    }
}

#[test]
fn of_a_thousand_zones_the_deepest_answers() {
    let text =
        |address: String| format!("@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A 192.0.2.1\nwww 60 A {address}\n");
    let mut zones = Vec::new();
    for i in 0..500 {
        let address = |last: u32| format!("10.{}.{}.{last}", i / 250, i % 250);
        let above = text(address(1))
            + "inner NS ns.inner\nns.inner 60 A 192.0.2.2\nwww.inner 60 A 192.0.2.3\nx.y 60 A 192.0.2.4\n";
        zones.push(zone(&format!("z{i}.test."), &above, Vec::new()));
        zones.push(zone(&format!("inner.z{i}.test."), &text(address(2)), Vec::new()));
    }
    let published = published(&zones, &[name("broken.z7.test.")], &Settings { seed: 5, ..Settings::default() });
    assert_eq!(published.image.served().len(), 1001);
    for i in 0..500 {
        for (qname, last) in [(format!("www.z{i}.test."), 1), (format!("www.inner.z{i}.test."), 2)] {
            let message = tcp(&published, &qname, 1);
            assert!(message.has(AA), "{qname}");
            assert_eq!(lines(&message.answer), [format!("{qname} 60 1 10.{}.{}.{last}", i / 250, i % 250)]);
        }
        let message = tcp(&published, &format!("nx.inner.z{i}.test."), 1);
        assert_eq!((message.rcode(), message.authority[0].owner.clone()), (3, format!("inner.z{i}.test.")));
        let message = tcp(&published, &format!("a.nx.z{i}.test."), 1);
        assert_eq!((message.rcode(), message.authority[0].owner.clone()), (3, format!("z{i}.test.")));
        assert_eq!(tcp(&published, &format!("y.z{i}.test."), 1).rcode(), 0, "an empty non-terminal");
        // DS of the inner apex is data of the zone above: there is none.
        let message = tcp(&published, &format!("inner.z{i}.test."), 43);
        assert_eq!((message.rcode(), message.authority[0].owner.clone()), (0, format!("z{i}.test.")));
    }
    assert_eq!(tcp(&published, "a.broken.z7.test.", 1).rcode(), 2);
    assert_eq!(tcp(&published, "z500.test.", 1).rcode(), 5);
}

#[test]
fn the_first_of_two_zones_with_one_origin_counts() {
    let text = |address: &str| format!("@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A {address}\n");
    let zones = ["192.0.2.1", "192.0.2.2"].map(|address| zone("Twice.test.", &text(address), Vec::new()));
    let published = published(&zones, &[name("twice.TEST.")], &Settings::default());
    assert_eq!(lines(&tcp(&published, "ns.twice.test.", 1).answer), ["ns.twice.test. 60 1 192.0.2.1"]);
    assert_eq!((published.image.zones().len(), published.image.served().len()), (1, 1));
}

#[test]
fn the_root_is_a_zone_like_others() {
    let root = zone(".", "@ 60 SOA ns.x. h. 1 1 1 1 5\n@ 60 NS ns.x.\nns.x. 60 A 192.0.2.1\n", Vec::new());
    let published = published(&[root], &[], &Settings::default());
    assert_eq!(lines(&tcp(&published, ".", 2).answer), [". 60 2 ns.x."]);
    assert_eq!(lines(&tcp(&published, "ns.x.", 1).answer), ["ns.x. 60 1 192.0.2.1"]);
    for (qname, rcode) in [("x.", 0), ("nx.", 3), ("a.nx.", 3), (".", 0)] {
        let message = tcp(&published, qname, 16);
        assert_eq!((message.rcode(), lines(&message.authority)), (rcode, vec![". 5 6 serial 1".to_owned()]), "{qname}");
    }
}
