//! Answers beside BIND, NSD and Knot: the same zone, the same questions, asked live over UDP and TCP.
//!
//! Code and flags, answer, authority, and a referral's glue are judged one by one. Each must be what at least two of the three say, or else what one
//! of them says: where they differ, the RFCs leave a choice.

#[path = "support/peers.rs"]
mod peers;
#[path = "support/answers.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pointsman::dns;
use pointsman::image::{CompiledZone, Settings, Transport};
use pointsman::zone::load;
use pointsman::zone::name::Name;
use pointsman::zone::record::Rtype;
use support::{AA, AD, Message, RA, TC, name, published, question, with_edns};

const ORIGIN: &str = "conf.test.";
const TYPES: [u16; 18] = [1, 28, 2, 6, 15, 16, 5, 39, 43, 33, 65, 12, 13, 35, 48, 255, 65280, 65534];
/// Labels put in front of every name.
const LABELS: [&[u8]; 5] = [b"nx", b"*", b"A", b"_x", b"x\0y"];
/// Patience with one answer; a lost datagram is asked for again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Differences that are told before the test fails.
const TOLD: usize = 20;

#[test]
fn answers_are_those_of_bind_nsd_or_knot() {
    if let Some(needs) = peers::missing() {
        assert!(std::env::var("POINTSMAN_PEERS").as_deref() != Ok("required"), "needs {needs}");
        eprintln!("skipped: needs {needs}");
        return;
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/conf.test.zone");
    let zone = read(&file);
    let folder = tempfile::tempdir().expect("a folder");
    let peers = peers::start(folder.path(), ORIGIN, &file, &question(&name(ORIGIN), 6, 1, 0));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let address = runtime.block_on(async { serve(&zone) });
    let queries = queries(&zone);
    let addresses: Vec<SocketAddr> = peers.iter().map(|peer| peer.address).chain([address]).collect();
    let mut faults = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        let answers = ask_all(&addresses, &queries, transport);
        faults.extend(judge(&queries, &answers, transport));
    }
    for peer in &peers {
        eprintln!("asked {} at {}", peer.name, peer.address);
    }
    eprintln!("{} questions over TCP and UDP, {} differences", queries.len(), faults.len());
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults[..faults.len().min(TOLD)].join("\n"));
}

fn read(file: &Path) -> Arc<CompiledZone> {
    let loaded = load::load_file(file, Some(name(ORIGIN)), &load::Settings::default());
    Arc::new(CompiledZone::compile(loaded.zone.expect("a good zone")))
}

fn serve(zone: &Arc<CompiledZone>) -> SocketAddr {
    let settings = dns::Settings {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        threads: 1,
        ..dns::Settings::default()
    };
    let published = published(std::slice::from_ref(zone), &[], &Settings::default());
    let running = dns::bind(&settings).expect("a free port").serve(Arc::new(ArcSwap::from_pointee(published)));
    running.expect("started").addresses()[0]
}

/// Every name of the zone, its ancestors and what its records point at, and names beside and below those, by every type; then what EDNS, sizes,
/// classes and faults change.
fn queries(zone: &CompiledZone) -> Vec<Vec<u8>> {
    let names = names(zone);
    let mut queries: Vec<_> =
        names.iter().flat_map(|name| TYPES.iter().map(move |qtype| question(name, *qtype, 1, 0))).collect();
    for name in &names {
        for (payload, ttl) in [(700, 0), (4096, 0x8000)] {
            for qtype in [1, 16] {
                queries.push(with_edns(question(name, qtype, 1, 0x0110), payload, ttl, &[]));
            }
        }
    }
    queries.extend(odd());
    queries
}

fn names(zone: &CompiledZone) -> BTreeSet<Name> {
    let origin = name(ORIGIN);
    let mut names: BTreeSet<Name> = ["test.", ".", "sib.test.", "xconf.test."].map(name).into();
    let owners = zone.records().map(|record| record.owner);
    let targets = zone.records().filter(|record| [2, 5, 12, 39].contains(&record.rtype.0));
    let targets = targets.filter_map(|record| Name::from_wire(&record.rdata).ok());
    for owner in owners.chain(targets).collect::<BTreeSet<_>>() {
        let mut here = Some(owner);
        while let Some(at) = here.filter(|at| at.is_within(&origin)) {
            for label in LABELS {
                let below = [&[label.len() as u8], label, at.as_wire()].concat();
                names.extend(Name::from_wire(&below));
            }
            names.extend(Name::from_wire(&[b"\x01a\x01b\x01c", at.as_wire()].concat()));
            here = at.parent();
            names.insert(at);
        }
    }
    names
}

/// Questions that are no ordinary ones: classes, versions, meta types, faults.
fn odd() -> Vec<Vec<u8>> {
    let www = name("www.conf.test.");
    let plain = || question(&www, 1, 1, 0);
    let mut odd = vec![
        question(&www, 1, 4, 0),
        question(&www, 1, 0, 0),
        question(&www, 0, 1, 0),
        with_edns(plain(), 1232, 0x0001_0000, &[]),
        with_edns(plain(), 1232, 0x00ff_8000, &[]),
        with_edns(plain(), 1232, 0, &[0xff, 0xf0, 0, 2, 1, 2]),
        with_edns(plain(), 0, 0, &[]),
        with_edns(with_edns(plain(), 1232, 0, &[]), 1232, 0, &[]),
        question(&www, 41, 1, 0),
        question(&www, 249, 1, 0),
        question(&www, 250, 1, 0),
        question(&www, 253, 1, 0),
        question(&www, 254, 1, 0),
        question(&name("www.example."), 1, 1, 0),
        question(&www, 1, 1, 2 << 11),
        question(&www, 1, 1, 6 << 11),
        question(&www, 1, 1, 15 << 11),
        [&plain()[..], b"left over"].concat(),
        signed(plain()),
    ];
    for (at, value) in [(5, 0), (7, 1), (9, 1), (11, 1), (12, 0x80)] {
        let mut broken = plain();
        broken[at] = value;
        odd.push(broken);
    }
    for len in [12, 14, 25, 27, 29] {
        odd.push(plain()[..len].to_vec());
    }
    odd
}

/// The answers of each server, each asked by a thread of its own.
/// With a TSIG of a key that nobody knows.
fn signed(mut query: Vec<u8>) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(
        b"\x05nokey\0\x00\xfa\x00\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0\0\0\x67\x01\x02\x03\x01\x2c\0\x20",
    );
    query.extend_from_slice(&[9; 32]);
    query.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    query
}

fn ask_all(servers: &[SocketAddr], queries: &[Vec<u8>], transport: Transport) -> Vec<Vec<View>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = servers
            .iter()
            .map(|server| {
                scope.spawn(move || {
                    let mut asker = Asker { server: *server, transport, udp: None, tcp: None };
                    queries.iter().map(|query| View::of(asker.ask(query).as_deref())).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

struct Asker {
    server: SocketAddr,
    transport: Transport,
    udp: Option<UdpSocket>,
    tcp: Option<TcpStream>,
}

impl Asker {
    /// None where there is no answer; what is malformed gets one try, since silence may be the answer.
    fn ask(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let good = query[2] == 0 && Message::read(query).is_some_and(|message| message.questions.len() == 1);
        (0..if good { 3 } else { 1 }).find_map(|_| {
            let patience = if good { PATIENCE } else { PATIENCE / 10 };
            let answer = match self.transport {
                Transport::Udp => self.over_udp(query, patience),
                Transport::Tcp => self.over_tcp(query, patience),
            };
            if answer.is_err() {
                (self.udp, self.tcp) = (None, None);
            }
            answer.ok()
        })
    }

    fn over_udp(&mut self, query: &[u8], patience: Duration) -> std::io::Result<Vec<u8>> {
        if self.udp.is_none() {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(self.server)?;
            self.udp = Some(socket);
        }
        let socket = self.udp.as_ref().ok_or(std::io::ErrorKind::NotConnected)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(query)?;
        let mut buffer = [0; 4096];
        let len = socket.recv(&mut buffer)?;
        Ok(buffer[..len].to_vec())
    }

    fn over_tcp(&mut self, query: &[u8], patience: Duration) -> std::io::Result<Vec<u8>> {
        if self.tcp.is_none() {
            let stream = TcpStream::connect(self.server)?;
            stream.set_nodelay(true)?;
            self.tcp = Some(stream);
        }
        let stream = self.tcp.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
        stream.set_read_timeout(Some(patience))?;
        let len = u16::try_from(query.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        stream.write_all(&[&len.to_be_bytes()[..], query].concat())?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut octets)?;
        Ok(octets)
    }
}

/// What is judged of an answer. The order of records is free.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    core: String,
    answer: Vec<String>,
    authority: Vec<String>,
    glue: Vec<String>,
}

impl View {
    fn of(octets: Option<&[u8]>) -> Self {
        let nothing = |core: &str| Self { core: core.into(), answer: vec![], authority: vec![], glue: vec![] };
        let Some(octets) = octets else { return nothing("silence") };
        let Some(message) = Message::read(octets) else { return nothing("no message") };
        let flags = [(AA, " AA"), (TC, " TC"), (RA, " RA"), (AD, " AD")];
        let flags: String = flags.iter().filter(|(flag, _)| message.has(*flag)).map(|(_, told)| *told).collect();
        let opt = message.opt.as_ref().map_or(String::new(), |opt| format!(" OPT ttl {:08x}", opt.ttl & 0x00ff_ffff));
        let sorted = |records: &[support::Record]| {
            let mut lines: Vec<_> = records.iter().map(|record| format!("{record} {:02x?}", record.rdata)).collect();
            lines.sort();
            lines
        };
        let referral = message.rcode() == 0 && !message.has(AA) && !message.has(TC);
        Self {
            core: format!("rcode {}{flags}{opt}", message.rcode()),
            answer: sorted(&message.answer),
            authority: sorted(&message.authority),
            glue: if referral { sorted(&message.additional) } else { vec![] },
        }
    }
}

/// A line for each section that is neither what two references say, nor what one says. `answers` has ours last.
fn judge(queries: &[Vec<u8>], answers: &[Vec<View>], transport: Transport) -> Vec<String> {
    let Some((ours, references)) = answers.split_last() else { return vec![] };
    let mut faults = Vec::new();
    for (at, query) in queries.iter().enumerate() {
        let asked: Vec<&View> = references.iter().map(|answers| &answers[at]).collect();
        let mut section = |what: &str, of: &dyn Fn(&View) -> String| {
            let said: Vec<String> = asked.iter().map(|view| of(view)).collect();
            let agreed = said.iter().any(|one| said.iter().filter(|other| *other == one).count() >= 2);
            let mine = of(&ours[at]);
            if agreed && !said.contains(&mine) {
                faults.push(format!(
                    "{} over {transport:?}: {what}\n  ours {mine}\n  {}",
                    told(query),
                    said.join("\n  ")
                ));
            }
        };
        section("core", &|view| view.core.clone());
        section("answer", &|view| format!("{:?}", view.answer));
        section("authority", &|view| format!("{:?}", view.authority));
        section("glue", &|view| format!("{:?}", view.glue));
    }
    faults
}

fn told(query: &[u8]) -> String {
    Message::read(query)
        .and_then(|message| {
            let (qname, qtype, qclass) = message.questions.first()?.clone();
            let opt = message.opt.map_or(String::new(), |opt| format!(" payload {} ttl {:08x}", opt.class, opt.ttl));
            Some(format!(
                "{} type {} class {qclass}{opt} flags {:04x}",
                Name::from_wire(&qname).ok()?,
                Rtype(qtype).0,
                message.flags
            ))
        })
        .unwrap_or_else(|| format!("{query:02x?}"))
}
