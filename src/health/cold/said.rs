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

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NS};

    use super::*;

    const V4: [u8; 4] = [192, 0, 2, 1];

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn message(code: ResponseCode, authoritative: bool, answers: Vec<(&str, RData)>) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.authoritative = authoritative;
        message.add_answers(answers.into_iter().map(|(owner, data)| Record::from_rdata(name(owner), 20, data)));
        message
    }

    fn says(message: &Message) -> Said {
        read(message, &name("cdn.example."), &name("shop.cdn.example."), RecordType::A)
    }

    fn alias(to: &str) -> RData {
        RData::CNAME(CNAME(name(to)))
    }

    #[test]
    fn the_table_holds() {
        use ResponseCode::{FormErr, NXDomain, NoError, Refused, ServFail};
        let address = || RData::A(A(V4.into()));
        let wrong = Said::Wrong;
        for (message, expected) in [
            (message(NoError, true, vec![("Shop.cdn.example.", address())]), Said::Addresses(vec![V4.into()])),
            (
                message(
                    NoError,
                    true,
                    vec![("e1.cdn.example.", address()), ("shop.cdn.example.", alias("e1.cdn.example."))],
                ),
                Said::Addresses(vec![V4.into()]),
            ),
            (
                message(NXDomain, true, vec![("shop.cdn.example.", alias("e1.edge.example."))]),
                Said::Alias(name("e1.edge.example.")),
            ),
            (message(NoError, true, vec![("other.cdn.example.", address())]), Said::NoData),
            (
                message(
                    NoError,
                    true,
                    vec![("shop.cdn.example.", RData::AAAA(AAAA([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into())))],
                ),
                Said::NoData,
            ),
            (message(NXDomain, true, vec![]), wrong(Wrong::NxDomain)),
            (message(NXDomain, false, vec![]), wrong(Wrong::Lame)),
            (message(NoError, false, vec![("shop.cdn.example.", address())]), wrong(Wrong::Lame)),
            (message(ServFail, false, vec![]), wrong(Wrong::ServFail)),
            (message(Refused, false, vec![]), wrong(Wrong::Refused)),
            (message(FormErr, false, vec![]), wrong(Wrong::Other(FormErr.to_string()))),
        ] {
            assert_eq!(says(&message), expected, "{message}");
        }
    }

    #[test]
    fn circles_of_aliases_end() {
        let circle =
            vec![("shop.cdn.example.", alias("b.cdn.example.")), ("b.cdn.example.", alias("shop.cdn.example."))];
        let said = says(&message(ResponseCode::NoError, true, circle));
        assert!(matches!(said, Said::Alias(_) | Said::NoData), "{said:?}");
    }

    /// A server that refers upwards or to where it was asked itself knows nothing of the zone (RFC 1034, 4.3.2).
    #[test]
    fn a_referral_leads_down() {
        for (zone, leads) in [("shop.cdn.example.", true), ("cdn.example.", false), ("example.", false), (".", false)] {
            let mut message = message(ResponseCode::NoError, false, vec![]);
            message.add_authority(Record::from_rdata(name(zone), 20, RData::NS(NS(name("ns.example.")))));
            message.add_additional(Record::from_rdata(name("ns.example."), 20, RData::A(A(V4.into()))));
            let server = NameServer { name: name("ns.example."), glue: vec![V4.into()] };
            let expected = Said::Referral(Referral { zone: name(zone), servers: vec![server] });
            let said = says(&message);
            assert_eq!(said, if leads { expected } else { Said::Wrong(Wrong::Lame) }, "{zone}");
        }
    }
}
