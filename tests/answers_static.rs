//! What static names answer, point by point, seen in octets.

#[path = "support/answers.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use pointsman::image::published::Published;
use pointsman::image::{CompiledZone, MAX_UDP, Settings, Transport};
use pointsman::zone::record::{Record, Rtype, Zone};
use pointsman::zone::records::Records;
use support::{AA, AD, CD, Message, RA, RD, TC, ask, lines, name, published, query, question, tcp, with_edns, zone};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const DS: u16 = 43;
const ANY: u16 = 255;

const ZONE: &str = r#"
$TTL 3600
@       IN SOA ns1 hostmaster 7 7200 3600 1209600 300
@       IN NS  ns1
@       IN MX  10 mail
ns1     IN A   192.0.2.1
mail    IN A   192.0.2.25
www     IN A   192.0.2.80
www     IN AAAA 2001:db8::80
Upper   IN A   192.0.2.81
deep.er.ent IN A 192.0.2.30
*.wild  IN A   192.0.2.40
*.wild  IN MX  10 mail
sub.*.wild IN TXT "below an asterisk"
here.wild IN TXT "here"
alias   IN CNAME www
chain   IN CNAME alias
out     IN CNAME www.outside.example.
gone    IN CNAME nothere
loop1   IN CNAME loop2
loop2   IN CNAME loop1
cross   IN CNAME www.other.test.
dead    IN CNAME www.broken.test.
dn      IN DNAME target
x.target IN A  192.0.2.50
child   IN NS  ns.child
child   IN NS  ns.sibling
child   IN DS  1 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ns.child IN A  192.0.2.60
sibling IN NS  ns.sibling
ns.sibling IN AAAA 2001:db8::61
nested  IN NS  ns.nested
nested  IN DS  2 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ns.nested IN A 192.0.2.62
odd     IN TYPE65280 \# 3 010203
_steer.www IN TXT "v=steer1"
_steer.only IN TXT "v=steer1"
"#;

const NESTED: &str = r#"
$TTL 600
@   IN SOA ns hostmaster 9 7200 3600 1209600 60
@   IN NS  ns
ns  IN A   192.0.2.62
"#;

const OTHER: &str = r#"
$TTL 60
@   IN SOA ns hostmaster 8 7200 3600 1209600 300
@   IN NS  ns
ns  IN A   198.51.100.1
www IN A   198.51.100.80
"#;

fn served(settings: &Settings) -> Published {
    let without_steering = ZONE.lines().filter(|line| !line.starts_with("_steer")).collect::<Vec<_>>().join("\n");
    let conf = zone("conf.test.", &without_steering, Vec::new());
    let hidden = ["_steer.www.conf.test.", "_steer.only.conf.test."].map(|owner| Record {
        owner: name(owner),
        rtype: Rtype::TXT,
        ttl: 60,
        rdata: (*b"\x08v=steer1").into(),
    });
    let records = Records::new(conf.origin(), conf.records().chain(hidden));
    let conf = Zone { origin: conf.origin().clone(), records, steered: Vec::new() };
    let zones = [
        Arc::new(CompiledZone::compile(conf)),
        zone("other.test.", OTHER, Vec::new()),
        zone("nested.conf.test.", NESTED, Vec::new()),
    ];
    published(&zones, &[name("broken.test.")], settings)
}

fn plain() -> Published {
    served(&Settings::default())
}

/// Name, type; rcode, AA, answer, authority.
type Row = (&'static str, u16, u16, bool, &'static [&'static str], &'static [&'static str]);

const SOA: &str = "conf.test. 300 6 serial 7";

const TABLE: &[Row] = &[
    // Exact names.
    ("www.conf.test.", A, 0, true, &["www.conf.test. 3600 1 192.0.2.80"], &[]),
    ("WWW.conf.TEST.", AAAA, 0, true, &["www.conf.test. 3600 28 2001:db8::80"], &[]),
    ("upper.conf.test.", A, 0, true, &["upper.conf.test. 3600 1 192.0.2.81"], &[]),
    ("conf.test.", NS, 0, true, &["conf.test. 3600 2 ns1.conf.test."], &[]),
    ("conf.test.", MX, 0, true, &["conf.test. 3600 15 000a046d61696c04636f6e66047465737400"], &[]),
    ("odd.conf.test.", 65280, 0, true, &["odd.conf.test. 3600 65280 010203"], &[]),
    // NODATA and NXDOMAIN: the SOA at min(TTL, MINIMUM) (RFC 2308).
    ("www.conf.test.", TXT, 0, true, &[], &[SOA]),
    ("www.conf.test.", 65281, 0, true, &[], &[SOA]),
    ("nx.conf.test.", A, 3, true, &[], &[SOA]),
    ("a.b.c.nx.conf.test.", A, 3, true, &[], &[SOA]),
    ("nx.www.conf.test.", A, 3, true, &[], &[SOA]),
    // Empty non-terminals (RFC 8020).
    ("ent.conf.test.", A, 0, true, &[], &[SOA]),
    ("er.ent.conf.test.", A, 0, true, &[], &[SOA]),
    ("x.ent.conf.test.", A, 3, true, &[], &[SOA]),
    // Wildcards (RFC 4592).
    ("x.wild.conf.test.", A, 0, true, &["x.wild.conf.test. 3600 1 192.0.2.40"], &[]),
    ("a.b.wild.conf.test.", A, 0, true, &["a.b.wild.conf.test. 3600 1 192.0.2.40"], &[]),
    ("x.wild.conf.test.", TXT, 0, true, &[], &[SOA]),
    ("*.wild.conf.test.", A, 0, true, &["*.wild.conf.test. 3600 1 192.0.2.40"], &[]),
    ("here.wild.conf.test.", A, 0, true, &[], &[SOA]),
    ("x.here.wild.conf.test.", A, 3, true, &[], &[SOA]),
    ("x.*.wild.conf.test.", A, 3, true, &[], &[SOA]),
    ("sub.*.wild.conf.test.", TXT, 0, true, &["sub.*.wild.conf.test. 3600 16 below an asterisk"], &[]),
    // CNAME chains.
    (
        "chain.conf.test.",
        A,
        0,
        true,
        &[
            "chain.conf.test. 3600 5 alias.conf.test.",
            "alias.conf.test. 3600 5 www.conf.test.",
            "www.conf.test. 3600 1 192.0.2.80",
        ],
        &[],
    ),
    ("chain.conf.test.", CNAME, 0, true, &["chain.conf.test. 3600 5 alias.conf.test."], &[]),
    ("alias.conf.test.", TXT, 0, true, &["alias.conf.test. 3600 5 www.conf.test."], &[SOA]),
    ("out.conf.test.", A, 0, true, &["out.conf.test. 3600 5 www.outside.example."], &[]),
    // RFC 6604: the code is that of the last name.
    ("gone.conf.test.", A, 3, true, &["gone.conf.test. 3600 5 nothere.conf.test."], &[SOA]),
    (
        "loop1.conf.test.",
        A,
        0,
        true,
        &["loop1.conf.test. 3600 5 loop2.conf.test.", "loop2.conf.test. 3600 5 loop1.conf.test."],
        &[],
    ),
    (
        "cross.conf.test.",
        A,
        0,
        true,
        &["cross.conf.test. 3600 5 www.other.test.", "www.other.test. 60 1 198.51.100.80"],
        &[],
    ),
    ("dead.conf.test.", A, 0, true, &["dead.conf.test. 3600 5 www.broken.test."], &[]),
    // DNAME (RFC 6672).
    (
        "x.dn.conf.test.",
        A,
        0,
        true,
        &[
            "dn.conf.test. 3600 39 target.conf.test.",
            "x.dn.conf.test. 3600 5 x.target.conf.test.",
            "x.target.conf.test. 3600 1 192.0.2.50",
        ],
        &[],
    ),
    ("dn.conf.test.", 39, 0, true, &["dn.conf.test. 3600 39 target.conf.test."], &[]),
    ("dn.conf.test.", A, 0, true, &[], &[SOA]),
    // Zone cuts: no AA; DS is the parent's (RFC 4035, section 3.1.4.1).
    (
        "child.conf.test.",
        A,
        0,
        false,
        &[],
        &["child.conf.test. 3600 2 ns.child.conf.test.", "child.conf.test. 3600 2 ns.sibling.conf.test."],
    ),
    (
        "a.b.child.conf.test.",
        DS,
        0,
        false,
        &[],
        &["child.conf.test. 3600 2 ns.child.conf.test.", "child.conf.test. 3600 2 ns.sibling.conf.test."],
    ),
    ("sibling.conf.test.", DS, 0, true, &[], &[SOA]),
    (
        "ns.child.conf.test.",
        A,
        0,
        false,
        &[],
        &["child.conf.test. 3600 2 ns.child.conf.test.", "child.conf.test. 3600 2 ns.sibling.conf.test."],
    ),
    // A zone of ours below a zone of ours.
    ("ns.nested.conf.test.", A, 0, true, &["ns.nested.conf.test. 600 1 192.0.2.62"], &[]),
    ("nx.nested.conf.test.", A, 3, true, &[], &["nested.conf.test. 60 6 serial 9"]),
    // ANY is one RRset (RFC 8482).
    ("www.conf.test.", ANY, 0, true, &["www.conf.test. 3600 1 192.0.2.80"], &[]),
    ("alias.conf.test.", ANY, 0, true, &["alias.conf.test. 3600 5 www.conf.test."], &[]),
    ("ent.conf.test.", ANY, 0, true, &[], &[SOA]),
    // Steering records are absent.
    ("_steer.www.conf.test.", TXT, 3, true, &[], &[SOA]),
    ("_steer.only.conf.test.", TXT, 3, true, &[], &[SOA]),
    ("only.conf.test.", A, 3, true, &[], &[SOA]),
    // Not ours; not known.
    ("www.example.", A, 5, false, &[], &[]),
    ("test.", A, 5, false, &[], &[]),
    (".", NS, 5, false, &[], &[]),
    ("broken.test.", A, 2, false, &[], &[]),
    ("a.b.broken.test.", A, 2, false, &[], &[]),
    // Meta types.
    ("www.conf.test.", 252, 5, false, &[], &[]),
    ("www.conf.test.", 251, 5, false, &[], &[]),
    ("www.conf.test.", 41, 1, false, &[], &[]),
    ("www.conf.test.", 250, 1, false, &[], &[]),
    ("www.conf.test.", 249, 1, false, &[], &[]),
    ("www.conf.test.", 253, 4, false, &[], &[]),
    ("www.conf.test.", 254, 4, false, &[], &[]),
];

#[test]
fn the_table() {
    let published = plain();
    for (qname, qtype, rcode, aa, answer, authority) in TABLE {
        let message = tcp(&published, qname, *qtype);
        let told = format!("{qname} {qtype}");
        assert_eq!(message.rcode(), *rcode, "{told}");
        assert_eq!(message.has(AA), *aa, "{told}");
        assert_eq!(lines(&message.answer), *answer, "{told}");
        assert_eq!(lines(&message.authority), *authority, "{told}");
        assert_eq!(message.questions, [(name(qname).as_wire().to_vec(), *qtype, 1)], "{told}: the case is kept");
        assert!(!message.has(TC) && !message.has(RA) && !message.has(AD), "{told}");
    }
}

#[test]
fn ds_at_a_cut_is_the_parents() {
    for cut in ["child.conf.test.", "nested.conf.test."] {
        let message = tcp(&plain(), cut, DS);
        assert!(message.has(AA) && message.answer.len() == 1, "{message:?}");
    }
}

#[test]
fn a_referral_carries_glue() {
    let message = tcp(&plain(), "x.child.conf.test.", A);
    assert_eq!(
        lines(&message.additional),
        ["ns.child.conf.test. 3600 1 192.0.2.60", "ns.sibling.conf.test. 3600 28 2001:db8::61"]
    );
}

#[test]
fn a_dname_that_makes_too_long_a_name_is_yxdomain() {
    let labels = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.".repeat(4);
    let message = tcp(&plain(), &format!("{}dn.conf.test.", &labels[5..]), A);
    assert_eq!((message.rcode(), message.answer.len()), (3, 2), "it still fits, and does not exist");
    let zone = zone(
        "t.",
        "@ 60 SOA n h 1 1 1 1 1\n@ 60 NS n\nn 60 A 192.0.2.1\nd 60 DNAME target.with.a.long.name.example.\n",
        Vec::new(),
    );
    let message = tcp(&published(&[zone], &[], &Settings::default()), &format!("{}d.t.", &labels[5..]), A);
    assert_eq!((message.rcode(), message.has(AA)), (6, true));
    assert_eq!(lines(&message.answer), ["d.t. 60 39 target.with.a.long.name.example."]);
}

#[test]
fn header_bits_are_copied_or_clear() {
    let published = plain();
    for (sent, kept) in [(RD, RD), (CD, CD), (RD | CD | AD | RA | AA | TC, RD | CD | AA), (0, 0)] {
        let message =
            ask(&published, &question(&name("www.conf.test."), A, 1, sent), Transport::Tcp).expect("an answer");
        let message = Message::read(&message).expect("a message");
        assert_eq!((message.id, message.flags), (0x1234, 0x8000 | AA | kept));
    }
}

#[test]
fn responses_and_stumps_get_silence() {
    let published = plain();
    assert_eq!(ask(&published, &question(&name("www.conf.test."), A, 1, 0x8000), Transport::Udp), None);
    for len in 0..12 {
        assert_eq!(ask(&published, &query("www.conf.test.", A)[..len], Transport::Udp), None);
    }
}

#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in 1..16_u16 {
        let sent = question(&name("conf.test."), 6, 1, opcode << 11 | RD);
        let got = ask(&plain(), &sent, Transport::Udp).expect("an answer");
        assert_eq!(got, [0x12, 0x34, 0x81 | (opcode << 3) as u8, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// A TSIG of the key `key.` with a MAC of so many octets.
fn signature(mac: u8) -> Vec<u8> {
    let algorithm = b"\x0bhmac-sha256\0";
    let mut octets = b"\x03key\0\x00\xfa\x00\xff\0\0\0\0\0".to_vec();
    octets.push(13 + 16 + mac);
    octets.extend_from_slice(algorithm);
    octets.extend_from_slice(&[0, 0, 0x67, 1, 2, 3, 1, 44, 0, mac]);
    octets.extend(std::iter::repeat_n(9, mac.into()));
    octets.extend_from_slice(&[0x12, 0x34, 0, 0, 0, 0]);
    octets
}

#[test]
fn a_signed_question_has_no_key_of_ours() {
    let published = plain();
    for (sent, records) in [
        (query("www.conf.test.", A), 1),
        (with_edns(query("www.conf.test.", A), 1232, 0, &[]), 2),
        (query("www.example.", A), 1),
    ] {
        let mut sent = [sent, signature(32)].concat();
        sent[11] += 1;
        let got = ask(&published, &sent, Transport::Udp).expect("an answer");
        let message = Message::read(&got).expect("a message");
        assert_eq!((message.rcode(), message.has(AA), message.answer.len()), (9, false, 0), "NOTAUTH");
        assert_eq!(usize::from(got[11]), records);
        let expected = [signature(0)[..signature(0).len() - 3].to_vec(), vec![17, 0, 0]].concat();
        assert_eq!(message.additional.len(), 1);
        assert!(got.ends_with(&expected), "BADKEY, no MAC, time and fudge as asked");
    }
    // A key's name so long that no room is left for it.
    let long = [&[63; 64][..], &[63; 64], &[63; 64], &[61; 62], &[0]].concat();
    let mut sent = [query(&format!("{}conf.test.", "a.".repeat(100)), A), long, signature(32)[5..].to_vec()].concat();
    sent[11] += 1;
    let got = ask(&published, &sent, Transport::Udp).expect("an answer");
    let message = Message::read(&got).expect("a message");
    assert_eq!((message.rcode(), message.additional.len()), (9, 0));
}

#[test]
fn what_is_malformed_is_formerr() {
    let published = plain();
    let good = query("www.conf.test.", A);
    let opt: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let named_opt: &[u8] = &[1, b'a', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let edit = |at: usize, value: u8, tail: &[u8]| {
        let mut octets = good.clone();
        octets[at] = value;
        octets.extend_from_slice(tail);
        octets
    };
    let tsig: &[u8] = &signature(0);
    for (what, octets, questions) in [
        ("no question", edit(5, 0, b""), 0),
        ("two questions", edit(5, 2, &good[12..]), 0),
        ("a cut name", good[..20].to_vec(), 0),
        ("a cut type", good[..good.len() - 3].to_vec(), 0),
        ("a pointer", edit(12, 0xc0, b""), 0),
        ("a long label", edit(12, 0x41, b""), 0),
        ("an answer", edit(7, 1, opt), 1),
        ("an authority", edit(9, 1, opt), 1),
        ("octets left over", edit(5, 1, b"x"), 1),
        ("a missing record", edit(11, 1, b""), 1),
        ("two OPT", edit(11, 2, &[opt, opt].concat()), 1),
        ("an OPT with an owner", edit(11, 1, named_opt), 1),
        ("a cut option", with_edns(good.clone(), 1232, 0, &[0, 3, 0, 9, 1]), 1),
        ("a TSIG that is not last", edit(11, 2, &[tsig, opt].concat()), 1),
        ("two TSIG", edit(11, 2, &[tsig, tsig].concat()), 1),
        ("a TSIG without data", edit(11, 1, &[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]), 1),
        ("a TSIG of class IN", edit(11, 1, &[&tsig[..8], &[1], &tsig[9..]].concat()), 1),
    ] {
        let got = ask(&published, &octets, Transport::Udp).expect(what);
        let message = Message::read(&got).expect(what);
        assert_eq!((message.rcode(), message.questions.len(), message.has(AA)), (1, questions, false), "{what}");
        // RFC 6891, section 7: one for a fault in its options. For other faults BIND, NSD and Knot have none.
        assert_eq!(message.opt.is_some(), what == "a cut option", "{what}");
    }
}

#[test]
fn classes_other_than_in_are_refused_and_chaos_is_off() {
    let published = plain();
    for (qname, qclass) in
        [("www.conf.test.", 3), ("www.conf.test.", 4), ("www.conf.test.", 255), ("version.bind.", 3), ("id.server.", 3)]
    {
        let got = ask(&published, &question(&name(qname), TXT, qclass, 0), Transport::Udp).expect("an answer");
        let message = Message::read(&got).expect("a message");
        assert_eq!((message.rcode(), message.answer.len()), (5, 0), "{qname} {qclass}");
    }
}

#[test]
fn chaos_answers_what_the_settings_tell() {
    let settings = Settings { version: Some("v".into()), identity: Some("n1".into()), ..Settings::default() };
    let published = served(&settings);
    for (qname, text) in
        [("Version.Bind.", "v"), ("version.server.", "v"), ("id.server.", "n1"), ("hostname.bind.", "n1")]
    {
        let got = ask(&published, &question(&name(qname), TXT, 3, 0), Transport::Udp).expect("an answer");
        let message = Message::read(&got).expect("a message");
        assert_eq!(lines(&message.answer), [format!("{} 0 16 {text}", qname.to_lowercase())]);
        assert_eq!(message.answer[0].class, 3);
    }
}

#[test]
fn edns_is_echoed() {
    let settings = Settings { nsid: Some(b"fra1".to_vec()), ..Settings::default() };
    let published = served(&settings);
    let edns = |ttl, options: &[u8], qname| {
        let sent = with_edns(query(qname, A), 4096, ttl, options);
        Message::read(&ask(&published, &sent, Transport::Udp).expect("an answer")).expect("a message")
    };
    let opt = |message: &Message| message.opt.as_ref().map(|opt| (opt.class, opt.ttl));
    let message = edns(0, &[], "www.conf.test.");
    assert_eq!((opt(&message), message.option(3)), (Some((MAX_UDP as u16, 0)), None));
    let message = edns(0x8000, &[0, 3, 0, 0, 0xff, 0xfe, 0, 1, 9], "www.conf.test.");
    assert_eq!(
        (opt(&message), message.option(3)),
        (Some((MAX_UDP as u16, 0x8000)), Some(b"fra1".to_vec())),
        "DO, NSID; unknown options ignored"
    );
    let message = edns(0x0001_0000, &[], "www.conf.test.");
    assert_eq!(
        (message.rcode(), message.answer.len(), opt(&message)),
        (16, 0, Some((MAX_UDP as u16, 0x0100_0000))),
        "BADVERS"
    );
    assert_eq!(edns(0, &[], "www.example.").option(15), Some(vec![0, 20]), "Not Authoritative");
    assert_eq!(edns(0, &[], "www.broken.test.").option(15), Some(vec![0, 14]), "Not Ready");
    assert!(
        Message::read(&ask(&published, &query("www.example.", A), Transport::Udp).expect("an answer"))
            .expect("a message")
            .opt
            .is_none()
    );
}

/// RFC 7828: over TCP, to who asks for it, in tenths of a second.
#[test]
fn the_time_of_an_idle_connection_is_told_over_tcp_alone() {
    let told = |idle: Option<Duration>, transport, options: &[u8], qname: &str| {
        let published = served(&Settings { tcp_idle: idle, nsid: Some(b"n".to_vec()), ..Settings::default() });
        let sent = with_edns(query(qname, A), 1232, 0, options);
        let got = ask(&published, &sent, transport).expect("an answer");
        Message::read(&got).expect("a message").option(11)
    };
    let (asks, ten) = (&[0, 11, 0, 0][..], Some(Duration::from_secs(10)));
    for qname in ["www.conf.test.", "nx.conf.test.", "x.sub.conf.test.", "www.example.", "www.broken.test."] {
        assert_eq!(told(ten, Transport::Tcp, asks, qname), Some(vec![0, 100]), "{qname}");
        assert_eq!(told(ten, Transport::Udp, asks, qname), None, "{qname}");
        assert_eq!(told(ten, Transport::Tcp, &[], qname), None, "{qname}");
        assert_eq!(told(None, Transport::Tcp, asks, qname), None, "{qname}");
    }
    let long = Some(Duration::from_secs(100_000));
    assert_eq!(told(long, Transport::Tcp, asks, "www.conf.test."), Some(vec![255, 255]), "as much as can be said");
    let more = [asks, &[0, 3, 0, 0]].concat();
    assert_eq!(told(ten, Transport::Tcp, &more, "www.conf.test."), Some(vec![0, 100]), "beside others");
}

#[test]
fn truncation_keeps_whole_rrsets() {
    let mut text = ZONE.lines().filter(|line| !line.starts_with("_steer")).collect::<Vec<_>>().join("\n");
    for host in 0..60 {
        text += &format!("\nbig IN A 198.51.100.{host}\nmany IN NS ns{host}.many\nns{host}.many IN A 203.0.113.{host}");
    }
    text += "\ntobig IN CNAME big\n";
    let published = published(&[zone("conf.test.", &text, Vec::new())], &[], &Settings::default());
    let udp = |qname: &str, payload: Option<u16>| {
        let sent = payload.map_or_else(|| query(qname, A), |payload| with_edns(query(qname, A), payload, 0, &[]));
        let got = ask(&published, &sent, Transport::Udp).expect("an answer");
        let limit = usize::from(payload.unwrap_or(512).clamp(512, 1232));
        assert!(got.len() <= limit, "{qname} {payload:?}: {}", got.len());
        Message::read(&got).expect("a message")
    };
    for payload in [None, Some(0), Some(512), Some(900)] {
        let message = udp("big.conf.test.", payload);
        assert_eq!((message.has(TC), message.answer.len()), (true, 0), "{payload:?}");
        let message = udp("tobig.conf.test.", payload);
        assert_eq!((message.has(TC), message.answer.len()), (true, 1), "{payload:?}: the CNAME fits");
    }
    assert_eq!(udp("big.conf.test.", Some(65535)).answer.len(), 60, "60 * 16 octets fit in 1232");
    // RFC 9471: all glue in the delegated name, or TC.
    for payload in [None, Some(1232), Some(4096)] {
        assert!(udp("x.many.conf.test.", payload).has(TC));
    }
    let whole = tcp(&published, "x.many.conf.test.", A);
    assert_eq!((whole.has(TC), whole.authority.len(), whole.additional.len()), (false, 60, 60));
}

#[test]
fn names_are_compressed() {
    let size = |qname: &str, qtype| ask(&plain(), &query(qname, qtype), Transport::Tcp).expect("an answer").len();
    let head = |qname: &str| 12 + name(qname).as_wire().len() + 4;
    assert_eq!(size("conf.test.", NS), head("conf.test.") + 12 + 6, "ns1 and a pointer");
    assert_eq!(size("nx.conf.test.", A), head("nx.conf.test.") + 12 + 6 + 13 + 20, "SOA");
    assert_eq!(size("chain.conf.test.", A), head("chain.conf.test.") + (12 + 8) + (12 + 6) + 16, "a chain");
}
