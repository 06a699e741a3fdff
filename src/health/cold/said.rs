//! What one authoritative server says of a name: its message, read.
//!
//! | the message | says |
//! | --- | --- |
//! | addresses of the name, or of where its CNAMEs lead | addresses |
//! | CNAMEs that lead further, without addresses | an alias, to be asked about |
//! | NOERROR and authoritative, nothing of this type | no data |
//! | not authoritative, NS records of a zone above the name and below what was asked | a referral |
//! | NXDOMAIN and authoritative, SERVFAIL, REFUSED, another code | that |
//! | not authoritative otherwise | lame |
//! | none that fits the question | no answer |

use std::fmt;
use std::net::IpAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

/// CNAMEs that are followed within one message.
const MAX_CHAIN: usize = 16;

/// What a server says of a name, for one record type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Addresses(Vec<IpAddr>),
    Alias(Name),
    NoData,
    Referral(Referral),
    Wrong(Wrong),
}

/// Other servers know more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    pub zone: Name,
    pub servers: Vec<NameServer>,
}

/// One authoritative server, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    pub name: Name,
    /// Its addresses, where they are known already.
    pub glue: Vec<IpAddr>,
}

/// Ways in which a server is of no use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// It has neither A nor AAAA for the name.
    Empty,
    /// No answer over UDP nor TCP.
    Silent,
    /// Its own name has no address.
    Nowhere,
    /// It answers, but not as an authority.
    Lame,
    Refused,
    NxDomain,
    ServFail,
    Other(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no addresses",
            Self::Silent => "nothing",
            Self::Nowhere => "nothing, having no address",
            Self::Lame => "that they are no authority",
            Self::Refused => "REFUSED",
            Self::NxDomain => "NXDOMAIN",
            Self::ServFail => "SERVFAIL",
            Self::Other(code) => code,
        })
    }
}

impl Wrong {
    /// As labels of metrics write it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Silent => "silent",
            Self::Nowhere => "nowhere",
            Self::Lame | Self::Refused => "lame",
            Self::NxDomain => "nxdomain",
            Self::ServFail => "servfail",
            Self::Other(_) => "other",
        }
    }
}

/// Reads an answer of a server of `zone` to a question about `name`.
pub fn read(message: &Message, zone: &Name, name: &Name, rtype: RecordType) -> Said {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        ResponseCode::ServFail => return Said::Wrong(Wrong::ServFail),
        ResponseCode::Refused => return Said::Wrong(Wrong::Refused),
        other => return Said::Wrong(Wrong::Other(format!("{other}"))),
    }
    if !message.metadata.authoritative {
        return referral(message, zone, name).map_or(Said::Wrong(Wrong::Lame), Said::Referral);
    }
    let end = end_of_chain(message, name);
    let addresses: Vec<IpAddr> =
        message.answers.iter().filter(|record| record.name == end).filter_map(|record| address(&record.data)).collect();
    let is_asked = |address: &IpAddr| address.is_ipv4() == (rtype == RecordType::A);
    let addresses: Vec<IpAddr> = addresses.into_iter().filter(is_asked).collect();
    if !addresses.is_empty() {
        return Said::Addresses(addresses);
    }
    // A code tells of the end of the chain (RFC 6604, section 3), which others may know better.
    if end != *name {
        return Said::Alias(end);
    }
    match message.metadata.response_code {
        ResponseCode::NXDomain => Said::Wrong(Wrong::NxDomain),
        _ => Said::NoData,
    }
}

fn end_of_chain(message: &Message, name: &Name) -> Name {
    let mut end = name.clone();
    for _ in 0..MAX_CHAIN {
        let next = message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(to) if record.name == end => Some(to.0.clone()),
            _ => None,
        });
        match next {
            Some(next) => end = next,
            None => break,
        }
    }
    end
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(v4) => Some(IpAddr::V4(v4.0)),
        RData::AAAA(v6) => Some(IpAddr::V6(v6.0)),
        _ => None,
    }
}

fn referral(message: &Message, zone: &Name, name: &Name) -> Option<Referral> {
    let leads_down = |cut: &Name| zone.zone_of(cut) && zone != cut && cut.zone_of(name);
    let cut =
        message.authorities.iter().find(|record| matches!(record.data, RData::NS(_)) && leads_down(&record.name))?;
    let zone = cut.name.clone();
    let servers =
        message.authorities.iter().filter(|record| record.name == zone).filter_map(|record| match &record.data {
            RData::NS(server) => Some(NameServer { name: server.0.clone(), glue: glue(message, &server.0) }),
            _ => None,
        });
    Some(Referral { servers: servers.collect(), zone })
}

fn glue(message: &Message, server: &Name) -> Vec<IpAddr> {
    message
        .additionals
        .iter()
        .filter(|record| record.name == *server)
        .filter_map(|record| address(&record.data))
        .collect()
}
