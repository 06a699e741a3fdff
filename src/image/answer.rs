//! The function from question to answer: what is silent, what is refused, and the header and EDNS of what is answered.
//!
//! | question | answer | rule |
//! | --- | --- | --- |
//! | shorter than a header, or itself a response | none | RFC 1035, section 4.1.1 |
//! | opcode other than QUERY | NOTIMP | RFC 1035, section 4.1.1 |
//! | no question or several, a name or a record that is none, octets left over | FORMERR | RFC 9619 |
//! | two OPT, an OPT not at the root | FORMERR | RFC 6891, section 6.1.1 |
//! | an option that ends behind its OPT | FORMERR with an OPT | RFC 6891, section 7 |
//! | an EDNS Client Subnet that is none | FORMERR with an OPT | RFC 7871, section 6; see [`super::subnet`] |
//! | EDNS version above 0 | BADVERS | RFC 6891, section 6.1.3 |
//! | a TSIG | NOTAUTH, BADKEY: no keys are known here | RFC 8945, section 5.2.1 |
//! | class CH | the server's name and version if the settings tell them, else REFUSED | RFC 4892 |
//! | other classes than IN | REFUSED | |
//! | AXFR, IXFR | REFUSED | RFC 5936, section 2.2.1 |
//! | MAILA, MAILB | NOTIMP | RFC 6895, section 3.1 |
//! | OPT, TSIG, TKEY as a type | FORMERR | RFC 6895, section 3.1 |
//! | no zone of ours | REFUSED, Not Authoritative | RFC 8914, section 4.21 |
//! | a zone of which nothing good is known | SERVFAIL, Not Ready | RFC 8914, section 4.15 |
//! | all else | what [`super::walk`] finds | RFC 1034, section 4.3.2 |

use std::net::IpAddr;
use std::time::Duration;

use super::published::Published;
use super::query::{Edns, HEADER, LowerName, Malformed, OPCODE_QUERY, Query, Tsig};
use super::tally::Cell;
use super::walk::{Observer, Outcome, Unobserved, Walk};
use super::writer::{QUESTION, Writer};
use super::{Image, MAX_NSID, MAX_TCP, MAX_UDP, quick};

/// What a question came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What to send back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Silence,
    /// The first `len` octets of the buffer. The rest is for counters; `cell` is what a steered answer counts for.
    Message { len: usize, rcode: u16, truncated: bool, cell: Option<Cell> },
}

/// Response codes (RFC 6895, section 2.3).
pub(super) mod rcode {
    pub(in crate::image) const FORMERR: u16 = 1;
    pub(in crate::image) const SERVFAIL: u16 = 2;
    pub(in crate::image) const NXDOMAIN: u16 = 3;
    pub(in crate::image) const NOTIMP: u16 = 4;
    pub(in crate::image) const REFUSED: u16 = 5;
    pub(in crate::image) const YXDOMAIN: u16 = 6;
    pub(in crate::image) const NOTAUTH: u16 = 9;
    pub(in crate::image) const BADVERS: u16 = 16;
}

const CLASS_IN: u16 = 1;
const CLASS_CH: u16 = 3;
const TXT: u16 = 16;
const ANY: u16 = 255;
/// The smallest limit of a UDP answer (RFC 1035, section 4.2.1; RFC 6891, section 6.2.5).
const MIN_UDP: u16 = 512;
/// Octets of an OPT record without options, and of an option without its data.
pub(super) const OPT_FIXED: usize = 11;
pub(super) const OPTION_FIXED: usize = 4;
/// Octets of a TSIG without MAC behind its fudge.
const TSIG_FIXED: usize = 8;
/// The key is not known (RFC 8945, section 3).
const BADKEY: u8 = 17;
const OPTION_NSID: u16 = 3;
const OPTION_KEEPALIVE: u16 = 11;
const OPTION_EDE: u16 = 15;

/// The answer to one message. `out` should hold [`MAX_UDP`] octets over UDP and [`MAX_TCP`] over TCP; a smaller one truncates earlier.
///
/// `number` is a fresh random number: the draw for names that are not sticky. Never panics, allocates, locks or waits.
pub fn answer(
    published: &Published,
    query: &[u8],
    client: IpAddr,
    transport: Transport,
    number: u64,
    out: &mut [u8],
) -> Reply {
    let asker = Asker { client, transport, number };
    match quick::answer(published, query, &asker, out) {
        Some(reply) => reply,
        None => unhurried(published, query, &asker, out),
    }
}

#[inline(never)]
fn unhurried(published: &Published, query: &[u8], asker: &Asker, out: &mut [u8]) -> Reply {
    observed(published, query, asker, out, &mut Unobserved)
}

/// Who asks, and how.
pub(super) struct Asker {
    /// Whom the answer is for: the sender, or the first address of the prefix that it asks for.
    pub(super) client: IpAddr,
    pub(super) transport: Transport,
    pub(super) number: u64,
}

/// [`answer`] without its short cuts, every step told.
pub(super) fn observed(
    published: &Published,
    query: &[u8],
    asker: &Asker,
    out: &mut [u8],
    observer: &mut impl Observer,
) -> Reply {
    let Some(&[_, _, flags, ..]) = query.get(..HEADER) else { return Reply::Silence };
    if flags & 0x80 != 0 {
        return Reply::Silence;
    }
    if flags >> 3 & 0x0f != OPCODE_QUERY {
        return without_edns(query, None, rcode::NOTIMP, out);
    }
    let question = match Query::read(query) {
        Ok(question) => question,
        Err(Malformed { question_end: Some(end), edns: Some(edns) }) => {
            return faulty_edns(&published.image, query, end, edns, out);
        }
        Err(Malformed { question_end, .. }) => return without_edns(query, question_end, rcode::FORMERR, out),
    };
    let question = Query { edns: question.edns.map(|edns| edns.over(asker.transport)), ..question };
    let Some(place) = out.get_mut(..question.end) else { return Reply::Silence };
    place.copy_from_slice(query.get(..question.end).unwrap_or_default());
    let subnet = question.edns.and_then(|edns| edns.subnet);
    let asker = &Asker { client: subnet.and_then(|subnet| subnet.client()).unwrap_or(asker.client), ..*asker };
    let limit = limit(asker.transport, question.edns.map(|edns| edns.payload), out.len());
    let image = &*published.image;
    let Some(room) = limit.checked_sub(reserved(image, question.edns)).filter(|room| *room >= question.end) else {
        return Reply::Silence;
    };
    let (outcome, end) = outcome(published, query, &question, asker, out.get_mut(..room).unwrap_or_default(), observer);
    let out = out.get_mut(..limit).unwrap_or_default();
    finish(image, query, &question, &outcome, end, out)
}

/// Records behind the question, and where they end.
fn outcome(
    published: &Published,
    query: &[u8],
    question: &Query,
    asker: &Asker,
    out: &mut [u8],
    observer: &mut impl Observer,
) -> (Outcome, usize) {
    let image = &*published.image;
    let refused = match (question.qclass, question.qtype) {
        _ if question.edns.is_some_and(|edns| edns.version > 0) => Some(rcode::BADVERS),
        _ if question.tsig.is_some() => Some(rcode::NOTAUTH),
        (CLASS_CH, TXT | ANY) => return chaos(image, query, question, out),
        (CLASS_IN, 41 | 249 | 250) => Some(rcode::FORMERR),
        (CLASS_IN, 253 | 254) => Some(rcode::NOTIMP),
        (CLASS_IN, 251 | 252) => Some(rcode::REFUSED),
        (CLASS_IN, _) => None,
        _ => Some(rcode::REFUSED),
    };
    if let Some(rcode) = refused {
        return (Outcome { rcode, ..Outcome::default() }, question.end);
    }
    walked(published, query, question, asker, out, observer)
}

fn walked(
    published: &Published,
    query: &[u8],
    question: &Query,
    asker: &Asker,
    out: &mut [u8],
    observer: &mut impl Observer,
) -> (Outcome, usize) {
    let writer = Writer::new(out, question.end, usize::MAX);
    let name = LowerName::new(query.get(HEADER..question.name_end).unwrap_or_default());
    Walk::new(published, question.qtype, asker, writer, observer).run(name)
}

/// Class CH: the server itself (RFC 4892).
fn chaos(image: &Image, query: &[u8], question: &Query, out: &mut [u8]) -> (Outcome, usize) {
    let name = LowerName::new(query.get(HEADER..question.name_end).unwrap_or_default());
    let text = match name.as_wire() {
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => &image.settings.version,
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => &image.settings.identity,
        _ => &None,
    };
    let refused = (Outcome { rcode: rcode::REFUSED, ..Outcome::default() }, question.end);
    let Some(text) = text else { return refused };
    let text = text.as_bytes().get(..text.len().min(255)).unwrap_or_default();
    let mut writer = Writer::new(out, question.end, usize::MAX);
    let (len, rdata_len) = (text.len() as u8, text.len() as u16 + 1);
    let [r0, r1] = rdata_len.to_be_bytes();
    let fixed = [0xc0, QUESTION as u8, 0, 16, 0, 3, 0, 0, 0, 0, r0, r1, len];
    if writer.put(&fixed).and_then(|()| writer.put(text)).is_err() {
        return (Outcome { truncated: true, ..Outcome::default() }, question.end);
    }
    (Outcome { authoritative: true, answer: 1, ..Outcome::default() }, writer.position())
}

/// How many octets the answer may have.
#[inline]
pub(super) fn limit(transport: Transport, payload: Option<u16>, room: usize) -> usize {
    let most = match transport {
        Transport::Tcp => MAX_TCP,
        Transport::Udp => usize::from(payload.unwrap_or(0).max(MIN_UDP)).min(MAX_UDP),
    };
    most.min(room)
}

/// How many octets the OPT record may take.
pub(super) fn reserved(image: &Image, edns: Option<Edns>) -> usize {
    let Some(edns) = edns else { return 0 };
    let nsid = if edns.wants_nsid { nsid(image).map_or(0, |nsid| OPTION_FIXED + nsid.len()) } else { 0 };
    let subnet = edns.subnet.map_or(0, |subnet| subnet.len());
    let keepalive = if edns.wants_keepalive { OPTION_FIXED + 2 } else { 0 };
    OPT_FIXED + nsid + subnet + keepalive + OPTION_FIXED + 2
}

/// As RFC 7828, section 3.1, counts: in tenths of a second.
fn tenths(time: Duration) -> u16 {
    u16::try_from(time.as_millis() / 100).unwrap_or(u16::MAX)
}

fn nsid(image: &Image) -> Option<&[u8]> {
    let nsid = image.settings.nsid.as_deref()?;
    nsid.get(..nsid.len().min(MAX_NSID))
}

/// An answer to what could not be read as a question: the header, the question where there is one.
fn without_edns(query: &[u8], question_end: Option<usize>, rcode: u16, out: &mut [u8]) -> Reply {
    let end = question_end.unwrap_or(HEADER);
    let (Some(place), Some(octets)) = (out.get_mut(..end), query.get(..end)) else { return Reply::Silence };
    place.copy_from_slice(octets);
    let outcome = Outcome { rcode, ..Outcome::default() };
    header(query, &outcome, u16::from(question_end.is_some()), 0, out);
    Reply::Message { len: end, rcode, truncated: false, cell: None }
}

/// FORMERR for an OPT with faulty options.
fn faulty_edns(image: &Image, query: &[u8], end: usize, edns: Edns, out: &mut [u8]) -> Reply {
    let reply = without_edns(query, Some(end), rcode::FORMERR, out);
    let outcome = Outcome { rcode: rcode::FORMERR, ..Outcome::default() };
    let Some(out) = out.get_mut(..limit(Transport::Udp, Some(edns.payload), out.len())) else { return reply };
    if end + OPT_FIXED > out.len() {
        return reply;
    }
    let mut tail = Appender { out, at: end };
    tail.opt(image, edns, &outcome);
    let len = tail.at;
    header(query, &outcome, 1, 1, out);
    Reply::Message { len, rcode: rcode::FORMERR, truncated: false, cell: None }
}

impl Edns {
    /// What it asks for over this transport.
    #[inline]
    pub(super) fn over(self, transport: Transport) -> Self {
        Self { wants_keepalive: self.wants_keepalive && transport == Transport::Tcp, ..self }
    }
}

/// Appends OPT and TSIG and sets the header.
fn finish(image: &Image, query: &[u8], question: &Query, outcome: &Outcome, end: usize, out: &mut [u8]) -> Reply {
    let mut tail = Appender { out, at: end };
    if let Some(edns) = question.edns {
        tail.opt(image, edns, outcome);
    }
    let signed = question.tsig.as_ref().is_some_and(|tsig| tail.tsig(query, tsig));
    let len = tail.at;
    header(query, outcome, 1, u16::from(question.edns.is_some()) + u16::from(signed), out);
    Reply::Message { len, rcode: outcome.rcode, truncated: outcome.truncated, cell: outcome.cell }
}

/// Writes where room was reserved before.
pub(super) struct Appender<'a> {
    pub(super) out: &'a mut [u8],
    pub(super) at: usize,
}

impl Appender<'_> {
    fn put(&mut self, octets: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + octets.len()) {
            place.copy_from_slice(octets);
            self.at += octets.len();
        }
    }

    pub(super) fn opt(&mut self, image: &Image, edns: Edns, outcome: &Outcome) {
        let [p0, p1] = (MAX_UDP as u16).to_be_bytes();
        let dnssec = if edns.wants_dnssec { 0x80 } else { 0 };
        self.put(&[0, 0, 41, p0, p1, (outcome.rcode >> 4) as u8, 0, dnssec, 0, 0, 0]);
        let options = self.at;
        if let Some(nsid) = nsid(image).filter(|_| edns.wants_nsid) {
            self.option(OPTION_NSID, nsid);
        }
        if let Some(subnet) = edns.subnet.filter(|_| !matches!(outcome.rcode, rcode::FORMERR | rcode::BADVERS)) {
            self.put(subnet.answer(outcome.told_scope()).get(..subnet.len()).unwrap_or_default());
        }
        if let Some(idle) = image.settings.tcp_idle.filter(|_| edns.wants_keepalive) {
            self.option(OPTION_KEEPALIVE, &tenths(idle).to_be_bytes());
        }
        if let Some(info) = outcome.extended_error {
            self.option(OPTION_EDE, &info.to_be_bytes());
        }
        if self.at == options {
            return;
        }
        let len = ((self.at - options) as u16).to_be_bytes();
        if let Some(place) = self.out.get_mut(options - 2..options) {
            place.copy_from_slice(&len);
        }
    }

    /// The asker's TSIG with BADKEY and without a MAC; false where it does not fit, since no room is reserved for it.
    fn tsig(&mut self, query: &[u8], tsig: &Tsig) -> bool {
        let (Some(&[id0, id1, ..]), Some(head), Some(signed)) =
            (query.get(..HEADER), query.get(tsig.head.clone()), query.get(tsig.signed.clone()))
        else {
            return false;
        };
        if self.at + head.len() + 2 + signed.len() + TSIG_FIXED > self.out.len() {
            return false;
        }
        let [l0, l1] = ((signed.len() + TSIG_FIXED) as u16).to_be_bytes();
        self.put(head);
        self.put(&[l0, l1]);
        self.put(signed);
        self.put(&[0, 0, id0, id1, 0, BADKEY, 0, 0]);
        true
    }

    fn option(&mut self, code: u16, data: &[u8]) {
        let ([c0, c1], [l0, l1]) = (code.to_be_bytes(), (data.len() as u16).to_be_bytes());
        self.put(&[c0, c1, l0, l1]);
        self.put(data);
    }
}

/// Id, opcode, RD and CD are the question's; RA and AD are never set here.
fn header(query: &[u8], outcome: &Outcome, questions: u16, opts: u16, out: &mut [u8]) {
    let Some(&[id0, id1, flags, more, ..]) = query.get(..HEADER) else { return };
    let mut first = 0x80 | flags & 0x79;
    if outcome.authoritative {
        first |= 0x04;
    }
    if outcome.truncated {
        first |= 0x02;
    }
    let second = more & 0x10 | (outcome.rcode & 0x0f) as u8;
    let [q0, q1] = questions.to_be_bytes();
    let [a0, a1] = outcome.answer.to_be_bytes();
    let [n0, n1] = outcome.authority.to_be_bytes();
    let [r0, r1] = (outcome.additional + opts).to_be_bytes();
    if let Some(place) = out.get_mut(..HEADER) {
        place.copy_from_slice(&[id0, id1, first, second, q0, q1, a0, a1, n0, n1, r0, r1]);
    }
}
