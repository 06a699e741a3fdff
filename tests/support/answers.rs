//! What the tests of answers share: images from zone text, questions in octets, and answers read without the code under test.
#![allow(dead_code)] // Each test takes what it needs.
#![allow(clippy::panic)] // A test that cannot be set up has failed.

use std::net::IpAddr;
use std::sync::Arc;

use pointsman::image::published::{FlattenedSets, Published, Selection};
use pointsman::image::{self, CompiledZone, Image, MAX_TCP, MAX_UDP, Reply, Transport, answer};
use pointsman::steer::policy::SteeredName;
use pointsman::zone::load;
use pointsman::zone::name::Name;

pub const CLIENT: &str = "192.0.2.77";

pub fn name(text: &str) -> Name {
    Name::from_text(text.as_bytes(), &Name::root()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A zone from text; its steering is given, not read.
pub fn zone(origin: &str, text: &str, steered: Vec<SteeredName>) -> Arc<CompiledZone> {
    let loaded = load::read_text(&name(origin), text.as_bytes(), &load::Settings::default());
    let errors: Vec<_> = loaded.diagnostics.iter().map(|diagnostic| format!("{diagnostic:?}")).collect();
    let mut zone = loaded.zone.unwrap_or_else(|| panic!("{origin}: {errors:#?}"));
    zone.steered = steered.into_iter().map(Arc::new).collect();
    Arc::new(CompiledZone::compile(zone))
}

pub fn published(zones: &[Arc<CompiledZone>], broken: &[Name], settings: &image::Settings) -> Published {
    Published {
        generation: 1,
        image: Arc::new(Image::build(zones, broken, settings)),
        flattened: Arc::new(FlattenedSets::default()),
        selection: Arc::new(Selection::default()),
        areas: Arc::default(),
        tally: Arc::default(),
    }
}

/// A question of class IN without EDNS; id 0x1234, RD clear.
pub fn query(qname: &str, qtype: u16) -> Vec<u8> {
    question(&name(qname), qtype, 1, 0)
}

pub fn question(qname: &Name, qtype: u16, qclass: u16, flags: u16) -> Vec<u8> {
    let [f0, f1] = flags.to_be_bytes();
    let mut octets = vec![0x12, 0x34, f0, f1, 0, 1, 0, 0, 0, 0, 0, 0];
    octets.extend_from_slice(qname.as_wire());
    octets.extend_from_slice(&qtype.to_be_bytes());
    octets.extend_from_slice(&qclass.to_be_bytes());
    octets
}

/// The same question with an OPT record.
pub fn with_edns(mut octets: Vec<u8>, payload: u16, ttl: u32, options: &[u8]) -> Vec<u8> {
    octets[11] += 1;
    octets.extend_from_slice(&[0, 0, 41]);
    octets.extend_from_slice(&payload.to_be_bytes());
    octets.extend_from_slice(&ttl.to_be_bytes());
    octets.extend_from_slice(&u16::try_from(options.len()).expect("short options").to_be_bytes());
    octets.extend_from_slice(options);
    octets
}

/// The octets of the answer; none for silence.
pub fn ask(published: &Published, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    ask_as(published, query, transport, CLIENT, 0)
}

pub fn ask_as(published: &Published, query: &[u8], transport: Transport, client: &str, number: u64) -> Option<Vec<u8>> {
    let client: IpAddr = client.parse().expect("an address");
    let mut out = vec![0xaa; if transport == Transport::Udp { MAX_UDP } else { MAX_TCP }];
    match answer(published, query, client, transport, number, &mut out) {
        Reply::Silence => None,
        Reply::Message { len, .. } => Some(out[..len].to_vec()),
    }
}

/// The answer over TCP, read.
pub fn tcp(published: &Published, qname: &str, qtype: u16) -> Message {
    Message::read(&ask(published, &query(qname, qtype), Transport::Tcp).expect("an answer")).expect("a message")
}

/// A message, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u16,
    pub flags: u16,
    /// Names as they stand, types, classes.
    pub questions: Vec<(Vec<u8>, u16, u16)>,
    pub answer: Vec<Record>,
    pub authority: Vec<Record>,
    /// Without OPT.
    pub additional: Vec<Record>,
    pub opt: Option<Record>,
}

/// A record; its owner in lower case, names in its data not compressed and in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub owner: String,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RD: u16 = 0x0100;
pub const RA: u16 = 0x0080;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;

impl Message {
    /// None where the octets are no whole message, or more than one.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let at = |at: usize| Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]));
        let mut message = Self {
            id: at(0)?,
            flags: at(2)?,
            questions: Vec::new(),
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            opt: None,
        };
        let mut here = 12;
        for _ in 0..at(4)? {
            let (qname, end) = read_name(octets, here)?;
            message.questions.push((qname, at(end)?, at(end + 2)?));
            here = end + 4;
        }
        for (section, count) in [(0, at(6)?), (1, at(8)?), (2, at(10)?)] {
            for _ in 0..count {
                let (record, end) = read_record(octets, here)?;
                here = end;
                match section {
                    0 => message.answer.push(record),
                    1 => message.authority.push(record),
                    _ if record.rtype == 41 => message.opt = Some(record),
                    _ => message.additional.push(record),
                }
            }
        }
        (here == octets.len()).then_some(message)
    }

    pub fn rcode(&self) -> u16 {
        self.flags & 0x0f | self.opt.as_ref().map_or(0, |opt| opt.ttl >> 24 << 4) as u16
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The data of an option of the OPT record.
    pub fn option(&self, code: u16) -> Option<Vec<u8>> {
        let mut rest = &self.opt.as_ref()?.rdata[..];
        while let [c0, c1, l0, l1, tail @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*l0, *l1]));
            if u16::from_be_bytes([*c0, *c1]) == code {
                return tail.get(..len).map(<[u8]>::to_vec);
            }
            rest = tail.get(len..)?;
        }
        None
    }
}

/// `owner ttl type` of each record, and its data: a name, addresses, or hex.
pub fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(ToString::to_string).collect()
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ", self.owner, self.ttl, self.rtype)?;
        match (self.rtype, &self.rdata[..]) {
            (1, [a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            (2 | 5 | 12 | 39, wire) => {
                f.write_str(&Name::from_wire(wire).map_or_else(|_| "?".into(), |name| name.to_string()))
            }
            (28, octets) if octets.len() == 16 => {
                let octets: [u8; 16] = octets.try_into().expect("16 octets");
                write!(f, "{}", std::net::Ipv6Addr::from(octets))
            }
            (6, wire) => write!(
                f,
                "serial {}",
                u32::from_be_bytes(wire[wire.len() - 20..wire.len() - 16].try_into().expect("4 octets"))
            ),
            (16, [_, text @ ..]) => write!(f, "{}", String::from_utf8_lossy(text)),
            (_, octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
        }
    }
}

fn read_record(octets: &[u8], at: usize) -> Option<(Record, usize)> {
    let (owner, fixed) = read_name(octets, at)?;
    let head: [u8; 10] = octets.get(fixed..fixed + 10)?.try_into().ok()?;
    let [t0, t1, c0, c1, l0, l1, l2, l3, r0, r1] = head;
    let rtype = u16::from_be_bytes([t0, t1]);
    let (from, end) = (fixed + 10, fixed + 10 + usize::from(u16::from_be_bytes([r0, r1])));
    let rdata = octets.get(from..end)?;
    let names = match rtype {
        2..=5 | 7..=9 | 12 | 39 => Some((0, 1)),
        6 | 14 => Some((0, 2)),
        15 => Some((2, 1)),
        _ => None,
    };
    let rdata = match names {
        None => rdata.to_vec(),
        Some((before, names)) => {
            let mut whole = rdata.get(..before)?.to_vec();
            let mut here = from + before;
            for _ in 0..names {
                let (wire, next) = read_name(octets, here)?;
                whole.extend(wire.to_ascii_lowercase());
                here = next;
            }
            whole.extend_from_slice(octets.get(here..end)?);
            whole
        }
    };
    let owner = Name::from_wire(&owner.to_ascii_lowercase()).ok()?.to_string();
    Some((
        Record { owner, rtype, class: u16::from_be_bytes([c0, c1]), ttl: u32::from_be_bytes([l0, l1, l2, l3]), rdata },
        end,
    ))
}

/// The name at `at`, and where what stands there ends. Pointers must go back.
fn read_name(octets: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut wire = Vec::new();
    let mut end = None;
    loop {
        let len = *octets.get(at)?;
        if len >= 0xc0 {
            end = end.or(Some(at + 2));
            let to = usize::from(u16::from_be_bytes([len & 0x3f, *octets.get(at + 1)?]));
            if to >= at {
                return None;
            }
            at = to;
            continue;
        }
        wire.extend_from_slice(octets.get(at..=at + usize::from(len))?);
        at += usize::from(len) + 1;
        if len == 0 {
            return (wire.len() <= 255).then_some((wire, end.unwrap_or(at)));
        }
    }
}
