//! Whatever comes in: no panic, no answer to a response, nothing too long, nothing that is no message; and `explain` says what `answer` does.

#[path = "support/steered.rs"]
mod by_hand;
#[path = "support/answers.rs"]
mod support;

use std::sync::{Arc, LazyLock};

use by_hand::{select, steered, whole};
use pointsman::image::areas::{Areas, Countries, Sets};
use pointsman::image::by_area::ForArea;
use pointsman::image::published::{FlattenedSet, FlattenedSets, Published};
use pointsman::image::{CompiledZone, MAX_TCP, MAX_UDP, Reply, Settings, Transport, answer, explain};
use pointsman::steer::policy::{Shape, Sticky};
use pointsman::zone::load;
use pointsman::zone::name::Name;
use pointsman::zone::record::Rtype;
use proptest::prelude::*;
use support::{Message, ask, ask_as, name, published, question, with_edns, zone};

const STEERED: &str = "@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A 192.0.2.1\nwww 60 CNAME x.\napp 60 A 192.0.2.2\n\
                       to 60 CNAME www\nd 60 DNAME app\n*.w 60 CNAME www\nloop 60 DNAME loop.d\nc 60 NS ns.c\nns.c 60 A 192.0.2.3\n\
                       e 60 NS E\ne 30 A 192.0.2.4\ne 60 NS Ns.e\nns.E 60 A 192.0.2.5\nns.e 60 AAAA 2001:db8::5\n\
                       e 60 NS ns.c\ne 60 NS ns\ne 60 NS ns.elsewhere.example.\nf.g.e 60 NS ns\n\
                       h.i.j 60 NS ns.k.h.i.j\nh.i.j 60 NS k.h.i.j\nk.h.i.j 60 A 192.0.2.6\nns.k.h.i.j 60 A 192.0.2.7\n\
                       far 60 NS ns.elsewhere.example.\nlong 60 TXT LONG\n";

/// The zone of the comparison with other servers, and one with every shape of steering.
static SERVED: LazyLock<Published> = LazyLock::new(|| {
    let text = include_bytes!("conformance/conf.test.zone");
    let conf = load::read_text(&name("conf.test."), text, &load::Settings::default()).zone.expect("a good zone");
    let names = vec![
        steered("www.s.test.", "s.test.", Shape::Cname, Sticky::No, &["a.example.", "b.example."]),
        steered("app.s.test.", "s.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.10,2001:db8::10"]),
        steered("s.test.", "s.test.", Shape::Flattened, Sticky::Yes, &["a.example.", "192.0.2.12"]),
        steered("*.s.s.test.", "s.test.", Shape::Cname, Sticky::Yes, &["a.example."]),
    ];
    let zones = [Arc::new(CompiledZone::compile(conf)), zone("s.test.", &steered_zone(), names)];
    let settings = Settings { nsid: Some(vec![b'n'; 300]), version: Some("v".repeat(300)), ..Settings::default() };
    let mut published = published(&zones, &[name("broken.test.")], &settings);
    select(
        &mut published,
        vec![whole(1, 2, 30, None), whole(0, 1, 30, None), whole(0, 2, 30, None), whole(7, 1, 30, None)],
    );
    let set = FlattenedSet {
        addresses: vec!["203.0.113.1".parse().expect("an address")],
        ttl: 60,
        service: None,
        honours_subnets: None,
        by_area: None,
    };
    // Some clients get other addresses.
    let sets = Sets::with([("east".into(), vec!["192.0.2.0/24".parse().expect("a prefix")])]);
    let areas = Areas::build(&sets, &Countries::default()).expect("few areas").with_networks(&sets, |_| true);
    let of_area = ForArea {
        of: areas.networks()[0].clone(),
        addresses: vec!["203.0.113.2".parse().expect("an address"), "2001:db8::2".parse().expect("an address")],
        ttl: 20,
    };
    let set = set.with_areas(areas.networks(), &[of_area], (&[], 0));
    published.areas = Arc::new(areas);
    published.flattened = Arc::new(FlattenedSets(vec![vec![], vec![], vec![Some(Arc::new(set))]]));
    published
});

/// With texts of 700 octets, and a cut with 20 name servers of its own.
fn steered_zone() -> String {
    let long = format!("\"{0}\" \"{0}\" \"{0}\"", "x".repeat(230));
    let many = (0..20).map(|i| format!("many 60 NS n{i}.many\nn{i}.many 60 A 192.0.2.{i}\n"));
    STEERED.replace("LONG", &long) + &many.collect::<String>()
}

fn names() -> impl Strategy<Value = Name> {
    let known: Vec<Name> =
        SERVED.image.zones().iter().flat_map(|zone| zone.records().map(|record| record.owner)).collect();
    let labels = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..63), 0..6);
    (labels, prop::sample::select(known), any::<bool>()).prop_filter_map("a name", |(labels, known, below)| {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(label.len() as u8);
            wire.extend(label);
        }
        wire.extend_from_slice(if below { known.as_wire() } else { b"\0" });
        Name::from_wire(&wire).ok()
    })
}

fn types() -> impl Strategy<Value = u16> {
    prop_oneof![prop::sample::select(vec![1, 2, 5, 6, 15, 16, 28, 33, 39, 43, 65, 255]), any::<u16>()]
}

fn queries() -> impl Strategy<Value = Vec<u8>> {
    let edns = prop::option::of((any::<u16>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..12)));
    (names(), types(), 0..5_u16, any::<u16>(), edns).prop_map(|(qname, qtype, qclass, flags, edns)| {
        let plain = question(&qname, qtype, if qclass == 2 { 3 } else { 1 }, flags & 0x01f0);
        match edns {
            Some((payload, nsid, options)) => {
                with_edns(plain, payload, 0x8000, if nsid { &[0, 3, 0, 0] } else { &options })
            }
            None => plain,
        }
    })
}

/// A query with a few octets changed, cut or appended.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (queries(), edits, prop::option::of(any::<prop::sample::Index>()), prop::collection::vec(any::<u8>(), 0..8))
        .prop_map(|(mut octets, edits, cut, tail)| {
            for (at, value) in edits {
                let at = at.index(octets.len());
                octets[at] = value;
            }
            if let Some(cut) = cut {
                octets.truncate(cut.index(octets.len()));
            }
            octets.extend(tail);
            octets
        })
}

fn holds(query: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let Some(octets) = ask(&SERVED, query, transport) else {
        let due = query.len() >= 12 && query[2] & 0x80 == 0;
        prop_assert!(!due, "every whole query is answered");
        return Ok(());
    };
    prop_assert!(query[2] & 0x80 == 0, "no answer to a response");
    let limit = if transport == Transport::Udp { MAX_UDP } else { MAX_TCP };
    prop_assert!(octets.len() <= limit);
    prop_assert!(octets[2] & 0x80 != 0 && octets[..2] == query[..2]);
    let message = Message::read(&octets);
    prop_assert!(message.is_some(), "{octets:02x?}");
    let message = message.expect("read");
    prop_assert!(message.opt.is_some() || transport == Transport::Tcp || octets.len() <= 512);
    prop_assert_eq!(message.flags & 0x00a0, 0, "RA and AD are clear");
    let opcode = octets[2] >> 3 & 0x0f;
    if opcode == 0 {
        let parsed = hickory_proto::op::Message::from_vec(&octets);
        prop_assert!(parsed.is_ok(), "{parsed:?}: {octets:02x?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_octets(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        holds(&octets, Transport::Udp)?;
    }

    #[test]
    fn questions(octets in queries()) {
        holds(&octets, Transport::Udp)?;
        holds(&octets, Transport::Tcp)?;
    }

    #[test]
    fn mutated_questions(octets in mutated()) {
        holds(&octets, Transport::Udp)?;
        holds(&octets, Transport::Tcp)?;
    }

    #[test]
    fn any_room_is_respected(octets in queries(), room in 0..600_usize) {
        let mut out = vec![0xaa; room + 8];
        let client = "192.0.2.1".parse().expect("an address");
        let reply = answer(&SERVED, &octets, client, Transport::Udp, 0, &mut out[..room]);
        if let Reply::Message { len, .. } = reply {
            prop_assert!(len <= room);
            prop_assert!(Message::read(&out[..len]).is_some());
        }
    }

    #[test]
    fn what_fits_udp_is_what_tcp_says(octets in queries()) {
        let (udp, tcp) = (ask(&SERVED, &octets, Transport::Udp), ask(&SERVED, &octets, Transport::Tcp));
        if udp.as_ref().is_some_and(|udp| udp[2] & 2 == 0) {
            let read = |octets: Option<Vec<u8>>| Message::read(&octets.expect("an answer")).expect("a message");
            let (udp, tcp) = (read(udp), read(tcp));
            prop_assert_eq!((udp.flags, udp.answer, udp.authority), (tcp.flags, tcp.answer, tcp.authority));
        }
    }

    /// A record that means nothing takes a question off the short cuts: the answer is the same.
    #[test]
    fn a_short_cut_leads_to_the_same_answer(octets in queries()) {
        let mut longer = octets.clone();
        longer[11] += 1;
        longer.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]);
        for transport in [Transport::Udp, Transport::Tcp] {
            let read = |octets: &[u8]| {
                let message = Message::read(&ask(&SERVED, octets, transport)?)?;
                let told = |records: &[support::Record]| {
                    let lower = |record: &support::Record| (record.to_string(), record.rdata.to_ascii_lowercase());
                    records.iter().map(lower).collect::<Vec<_>>()
                };
                let sections = [&message.answer, &message.authority, &message.additional].map(|section| told(section));
                Some((message.flags, message.questions, sections, message.opt.map(|opt| (opt.class, opt.ttl, opt.rdata))))
            };
            prop_assert_eq!(read(&octets), read(&longer), "{:?}", transport);
        }
    }

    #[test]
    fn explain_is_honest(qname in names(), qtype in types(), number in any::<u64>(), client in any::<[u8; 4]>()) {
        let address = std::net::IpAddr::from(client);
        let octets = ask_as(&SERVED, &question(&qname, qtype, 1, 0), Transport::Tcp, &address.to_string(), number);
        let message = Message::read(&octets.expect("an answer")).expect("a message");
        let trace = explain(&SERVED, &qname, Rtype(qtype), address, number);
        prop_assert_eq!(trace.rcode, message.rcode());
        let told: Vec<_> = trace.answer.iter().map(|r| (r.owner.to_lowercase().to_string(), r.rtype.0, r.ttl, r.rdata.to_ascii_lowercase())).collect();
        let given: Vec<_> = message.answer.iter().map(|r| (r.owner.clone(), r.rtype, r.ttl, r.rdata.to_ascii_lowercase())).collect();
        prop_assert_eq!(told, given);
    }
}
