//! What would be answered, and every step why: the same path as [`super::answer()`], with an observer.

use ipnet::IpNet;

use super::answer::{Asker, Reply, Transport, observed};
use super::published::Published;
use super::query::HEADER;
use super::walk::Observer;
use super::{MAX_TCP, rdata};
use crate::zone::name::Name;
use crate::zone::record::Rtype;

/// An answer with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The response code (RFC 6895, section 2.3).
    pub rcode: u16,
    /// The answer section.
    pub answer: Vec<Answered>,
    /// Sentences, in order.
    pub steps: Vec<String>,
    /// The slot of the steered name that the question or its chain led to, and the candidate that answers, none where the owner's own records do.
    pub steered: Option<(usize, Option<u16>)>,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub owner: Name,
    pub rtype: Rtype,
    pub ttl: u32,
    /// Wire format, names in it not compressed.
    pub rdata: Box<[u8]>,
}

/// Answers one question as [`super::answer()`] would over TCP, and tells the steps. `client` is an address, or a prefix that a
/// resolver asks for.
pub fn explain(published: &Published, name: &Name, rtype: Rtype, client: impl Into<IpNet>, number: u64) -> Trace {
    let client = client.into().trunc();
    let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&rtype.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    let mut out = vec![0; MAX_TCP];
    let mut told = Told::default();
    if published.areas.places().len() > 1 {
        told.steps.push(whereabouts(published, client));
    }
    let asker = Asker { client: client.addr(), transport: Transport::Tcp, number };
    let reply = observed(published, &query, &asker, &mut out, &mut told);
    let message = match reply {
        Reply::Message { len, .. } => out.get(..len).unwrap_or_default(),
        Reply::Silence => &[],
    };
    let rcode = message.get(3).map_or(0, |flags| u16::from(flags & 0x0f));
    Trace { rcode, answer: answers(message, query.len()), steps: told.steps, steered: told.steered }
}

/// `198.51.100.7 is in 198.51.100.0/24: office, country-de, continent-eu`.
fn whereabouts(published: &Published, client: IpNet) -> String {
    let address = client.addr().to_canonical();
    let found = published.areas.find(address);
    let around = IpNet::new(address, found.prefix).map_or_else(|_| "?".to_owned(), |net| net.trunc().to_string());
    let areas = published.areas.areas_of(found.place).join(", ");
    let areas = if areas.is_empty() { "no area that is known" } else { &areas };
    match client.prefix_len() {
        whole if whole == client.max_prefix_len() => format!("{address} is in {around}: {areas}"),
        narrow if narrow >= found.prefix || address != client.addr() => format!("{client} is in {around}: {areas}"),
        _ => format!("{client} is wider than {around}, where its first address is: {areas}"),
    }
}

#[derive(Default)]
struct Told {
    steps: Vec<String>,
    steered: Option<(usize, Option<u16>)>,
}

impl Observer for Told {
    fn step(&mut self, tell: impl FnOnce() -> String) {
        self.steps.push(tell());
    }

    fn steered(&mut self, slot: usize, candidate: Option<u16>) {
        self.steered = Some((slot, candidate));
    }
}

/// The answer section of a message of ours whose question ends at `at`.
fn answers(message: &[u8], mut at: usize) -> Vec<Answered> {
    let count = message.get(6..8).map_or(0, |count| usize::from(u16::from_be_bytes([count[0], count[1]])));
    let mut all = Vec::new();
    while all.len() < count.min(message.len() / HEADER) {
        let Some((record, end)) = record_at(message, at) else { break };
        all.push(record);
        at = end;
    }
    all
}

fn record_at(message: &[u8], at: usize) -> Option<(Answered, usize)> {
    let (owner, fixed) = name_at(message, at)?;
    let octets: &[u8; 10] = message.get(fixed..fixed + 10)?.try_into().ok()?;
    let [t0, t1, _, _, l0, l1, l2, l3, r0, r1] = *octets;
    let (from, rtype) = (fixed + 10, u16::from_be_bytes([t0, t1]));
    let end = from + usize::from(u16::from_be_bytes([r0, r1]));
    let rdata = uncompressed(message, rtype, from, end)?;
    let owner = Name::from_wire(&owner).ok()?;
    Some((Answered { owner, rtype: Rtype(rtype), ttl: u32::from_be_bytes([l0, l1, l2, l3]), rdata: rdata.into() }, end))
}

fn uncompressed(message: &[u8], rtype: u16, from: usize, end: usize) -> Option<Vec<u8>> {
    let Some((before, names)) = rdata::names(rtype) else { return message.get(from..end).map(<[u8]>::to_vec) };
    let mut rdata = message.get(from..from + before)?.to_vec();
    let mut at = from + before;
    for _ in 0..names {
        let (name, next) = name_at(message, at)?;
        rdata.extend_from_slice(&name);
        at = next;
    }
    rdata.extend_from_slice(message.get(at..end)?);
    Some(rdata)
}

/// The name at `at`, pointers followed, and where it ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut wire = Vec::new();
    let mut end = None;
    for _ in 0..256 {
        let len = *message.get(at)?;
        if len >= 0xc0 {
            end = end.or(Some(at + 2));
            at = usize::from(u16::from_be_bytes([len & 0x3f, *message.get(at + 1)?]));
            continue;
        }
        wire.extend_from_slice(message.get(at..=at + usize::from(len))?);
        at += usize::from(len) + 1;
        if len == 0 {
            return Some((wire, end.unwrap_or(at)));
        }
    }
    None
}
