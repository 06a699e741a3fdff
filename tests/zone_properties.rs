//! Properties of the reader: it takes any octets, loses nothing, and agrees with hickory-proto where both can read.

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use proptest::prelude::*;

use pointsman::zone::diagnostic::Colour;
use pointsman::zone::folder::{Loaded, Settings, load_texts, read_text};
use pointsman::zone::name::Name;
use pointsman::zone::record::{Record, Rtype};

const HEAD: &str = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";

fn read(text: &[u8]) -> Loaded {
    let origin = Name::from_text(b"example.", &Name::root()).expect("a good name");
    read_text(&origin, text, &Settings::default())
}

/// Words that zone files are made of, so that random texts reach deep.
const WORDS: &[&str] = &[
    "$ORIGIN",
    "$TTL",
    "$INCLUDE",
    "$GENERATE",
    "1-3",
    "0-65535",
    "${0,3,d}",
    "$",
    "@",
    "a",
    "*",
    "_steer",
    "_steer.www",
    "shop._steer",
    "www",
    "example.",
    "..",
    "\\000",
    "\\",
    "\\#",
    "4",
    "0a000001",
    "IN",
    "CH",
    "60",
    "1h",
    "A",
    "AAAA",
    "NS",
    "CNAME",
    "DNAME",
    "SOA",
    "MX",
    "TXT",
    "SRV",
    "HTTPS",
    "LOC",
    "APL",
    "NSEC",
    "RRSIG",
    "DS",
    "TYPE1",
    "TYPE65280",
    "192.0.2.1",
    "2001:db8::1",
    "10",
    "N",
    "E",
    "1:192.0.2.0/24",
    "alpn=h2",
    "mandatory=alpn",
    "\"",
    "\"v=steer1 ttl=3\"",
    "\"cdn=bunny to=a.b-cdn.net.\"",
    "\"v=steer1 use=shop only=us\"",
    "\"cdn=gcore to=192.0.2.1\"",
    "(",
    ")",
    ";",
    "\n",
    "\n",
    "\n ",
    "\r\n",
    "\t",
    "\u{e9}",
];

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec(prop::sample::select(WORDS), 0..60);
    let spaced = words.prop_map(|words| words.join(" ").into_bytes());
    let with_head = words_after_head();
    prop_oneof![prop::collection::vec(any::<u8>(), 0..400), spaced, with_head]
}

fn words_after_head() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(WORDS), 0..60)
        .prop_map(|words| format!("{HEAD}{}", words.join(" ")).into_bytes())
}

fn escaped(name: &Name) -> String {
    name.to_string()
}

fn generic(record: &Record) -> String {
    let hex: String = record.rdata.iter().map(|octet| format!("{octet:02x}")).collect();
    let Rtype(number) = record.rtype;
    format!("{} {} CLASS1 TYPE{number} \\# {} {hex}\n", escaped(&record.owner), record.ttl, record.rdata.len())
}

fn names() -> impl Strategy<Value = Name> {
    let label = prop::collection::vec(any::<u8>(), 1..20);
    prop::collection::vec(label, 0..5).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(u8::try_from(label.len()).expect("short"));
            wire.extend(label);
        }
        wire.extend(b"\x07example\x00");
        Name::from_wire(&wire).expect("a good name")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_octets_are_read_and_told_of(text in texts()) {
        let loaded = read(&text);
        prop_assert_eq!(loaded.zone.is_none(), loaded.errors() > 0);
        for diagnostic in &loaded.diagnostics {
            prop_assert!(!diagnostic.render(Colour::Never).is_empty());
        }
        // Stored texts read alike.
        let again = load_texts(&loaded.origin, &loaded.texts, &Settings::default());
        prop_assert_eq!(again.diagnostics, loaded.diagnostics);
    }

    #[test]
    fn names_survive_their_text(name in names()) {
        prop_assert_eq!(Name::from_text(name.to_string().as_bytes(), &Name::root()), Ok(name));
    }

    #[test]
    fn generic_form_is_identity(owner in names(), number in 260_u16..65_000, rdata in prop::collection::vec(any::<u8>(), 0..300), ttl in 0_u32..1 << 31) {
        prop_assume!(!pointsman::zone::record::is_hidden(&owner));
        prop_assume!(number != 32_769);
        let record = Record { owner, rtype: Rtype(number), ttl, rdata: rdata.into() };
        let loaded = read(format!("{HEAD}{}", generic(&record)).as_bytes());
        let zone = loaded.zone.expect("a good zone");
        let read = zone.records.iter().find(|read| read.rtype == record.rtype);
        prop_assert_eq!(read, Some(Record { owner: record.owner.to_lowercase(), ..record }));
    }
}

/// Every record of the corpus, written in generic form and read again, is the same: what the text form makes passes the
/// check of octets.
#[test]
fn the_text_form_makes_octets_that_pass() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zones/good");
    let origin = Name::from_text(b"good.test.", &Name::root()).expect("a good name");
    let mut seen = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "zone") {
            continue;
        }
        let loaded = pointsman::zone::folder::load_file(&path, Some(origin.clone()), &Settings::default());
        let zone = loaded.zone.expect("a good zone");
        let text: String = zone.records.iter().map(|record| generic(&record)).collect();
        let again = read_text(&origin, text.as_bytes(), &Settings::default());
        assert_eq!(again.zone.map(|zone| zone.records), Some(zone.records.clone()), "{}", path.display());
        seen.extend(zone.records.iter().map(|record| record.rtype));
    }
    assert!(seen.len() >= 40, "the corpus has {} types", seen.len());
}

#[test]
fn hickory_reads_the_same() {
    for (rtype, text) in [
        (RecordType::A, "192.0.2.1"),
        (RecordType::AAAA, "2001:db8::ff"),
        (RecordType::NS, "ns1.example."),
        (RecordType::CNAME, "a\\.b.example."),
        (RecordType::PTR, "x."),
        (RecordType::MX, "10 mail.example."),
        (RecordType::TXT, "\"one\" \"two three\""),
        (RecordType::SRV, "1 2 443 www.example."),
        (RecordType::CAA, "0 issue \"ca.example\""),
        (RecordType::HINFO, "\"cpu\" \"os\""),
        (RecordType::NAPTR, "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:info@conf.test!\" ."),
        (RecordType::SSHFP, "1 1 123456789abcdef67890123456789abcdef67890"),
        (RecordType::TLSA, "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        (RecordType::SMIMEA, "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        (RecordType::OPENPGPKEY, "AQIDBA=="),
        (RecordType::CERT, "1 2 8 AQIDBA=="),
        (RecordType::CSYNC, "66 3 A NS AAAA"),
        (RecordType::HTTPS, "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.80 ipv6hint=2001:db8::80"),
        (RecordType::SVCB, "0 www.example."),
    ] {
        let theirs = RData::try_from_str(rtype, text).and_then(|rdata| Ok(rdata.to_bytes()?));
        let theirs = theirs.unwrap_or_else(|error| panic!("{rtype} {text}: {error}"));
        let loaded = read(format!("{HEAD}x.y {rtype} {text}\n").as_bytes());
        let zone = loaded.zone.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let ours = zone.records.iter().last().map(|record| record.rdata.to_vec());
        assert_eq!(ours, Some(theirs), "{rtype} {text}");
    }
}
