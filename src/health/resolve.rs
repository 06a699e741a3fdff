//! Resolving target names, by the resolvers that the configuration names or the system's.
//!
//! Both families are asked for at once. What one family fails with does not spoil the other: its last known addresses
//! stay for as long as the other answers, so that a resolver that stumbles over AAAA does not look like a provider
//! that left IPv6.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tracing::warn;

use super::settings::StartError;
use crate::steer::observation::Family;

/// A resolved set holds at least this long, whatever its TTL.
pub const MIN_TTL: Duration = Duration::from_secs(5);
/// ... and at most this long.
pub const MAX_TTL: Duration = Duration::from_secs(300);
/// For one question to one resolver.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Answers kept for other candidates with the same target.
const CACHED_ANSWERS: u64 = 8_192;
/// Questions on one connection to a resolver at a time.
const MAX_QUESTIONS: usize = 1_024;

/// Addresses of a target, and how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Sorted, without doubles, not empty.
    pub addresses: Vec<IpAddr>,
    /// Between [`MIN_TTL`] and [`MAX_TTL`].
    pub ttl: Duration,
}

/// The way to the resolvers.
#[derive(Clone)]
pub struct Targets(TokioResolver);

impl Targets {
    /// Made inside a tokio runtime. An empty list means the system's resolvers; if it names none, the one on this
    /// machine, as libc does.
    pub fn new(resolvers: &[SocketAddr]) -> Result<Self, StartError> {
        let mut builder = if resolvers.is_empty() {
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                warn!(%error, "/etc/resolv.conf names no resolver: asking 127.0.0.1");
                configured(&[SocketAddr::from(([127, 0, 0, 1], 53))])
            })
        } else {
            configured(resolvers)
        };
        let options = builder.options_mut();
        options.timeout = QUESTION_TIMEOUT;
        options.attempts = 2;
        options.cache_size = CACHED_ANSWERS;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_min_ttl = Some(MIN_TTL);
        options.positive_max_ttl = Some(MAX_TTL);
        // A re-probe must not be told yesterday's NXDOMAIN.
        options.negative_max_ttl = Some(Duration::ZERO);
        options.max_active_requests = MAX_QUESTIONS;
        builder.build().map(Self).map_err(|error| StartError::Resolvers(error.to_string()))
    }

    /// One question.
    pub(super) async fn lookup(&self, name: &str, rtype: RecordType) -> Result<Lookup, NetError> {
        self.0.lookup(name, rtype).await
    }

    /// Resolves an absolute name within `limit`. `last_known` are the addresses that it had before.
    ///
    /// The error is the reason for people: `NXDOMAIN`, `SERVFAIL`, `no addresses`, `resolver timed out`.
    pub async fn resolve(&self, name: &str, last_known: &[IpAddr], limit: Duration) -> Result<Found, String> {
        self.find(name, last_known, limit).await.map_err(|nothing| nothing.to_string())
    }

    /// The same, for who must know whether it is the resolver that fails.
    pub(super) async fn find(&self, name: &str, last_known: &[IpAddr], limit: Duration) -> Result<Found, Nothing> {
        let both = async { tokio::join!(self.0.lookup(name, RecordType::A), self.0.lookup(name, RecordType::AAAA)) };
        let (v4, v6) = tokio::time::timeout(limit, both).await.map_err(|_| Nothing::Timeout)?;
        merge([answer(v4), answer(v6)], last_known)
    }
}

impl Targets {
    /// The names of the servers of the zone that begins at this name, sorted; none where no zone does.
    pub async fn name_servers(&self, zone: &Name) -> Result<Vec<Name>, String> {
        let lookup = match self.0.lookup(zone.clone(), RecordType::NS).await {
            Ok(lookup) => lookup,
            Err(error) => {
                return match nothing(&error) {
                    Nothing::NoData | Nothing::NoName => Ok(Vec::new()),
                    other => Err(format!("NS of {zone}: {other}")),
                };
            }
        };
        // A CNAME leads to the servers of another name.
        let own = lookup.answers().iter().filter(|record| record.name == *zone);
        let mut names: Vec<Name> = own
            .filter_map(|record| match &record.data {
                RData::NS(server) => Some(server.0.to_lowercase()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

fn configured(resolvers: &[SocketAddr]) -> hickory_resolver::ResolverBuilder<TokioRuntimeProvider> {
    let servers = resolvers.iter().map(|address| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    });
    let config = ResolverConfig::from_name_servers(servers.collect());
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
}

/// Why a name, or one family of it, has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Nothing {
    /// The name exists without them: no failure by itself.
    #[error("no addresses")]
    NoData,
    #[error("resolver timed out")]
    Timeout,
    /// No answer came, for another reason.
    #[error("{0}")]
    Unreached(String),
    #[error("{0}")]
    Other(String),
    #[error("NXDOMAIN")]
    NoName,
}

impl Nothing {
    /// No resolver has answered: it says nothing of the name.
    pub(super) fn is_unheard(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unreached(_))
    }

    /// A resolver has answered that there are none.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::NoData | Self::NoName)
    }
}

fn answer(result: Result<Lookup, NetError>) -> Result<Found, Nothing> {
    let lookup = result.map_err(|error| nothing(&error))?;
    let addresses: Vec<IpAddr> = lookup.answers().iter().filter_map(|record| address(&record.data)).collect();
    let ttl = lookup.valid_until().saturating_duration_since(std::time::Instant::now());
    if addresses.is_empty() { Err(Nothing::NoData) } else { Ok(Found { addresses, ttl }) }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(v4) => Some(IpAddr::V4(v4.0)),
        RData::AAAA(v6) => Some(IpAddr::V6(v6.0)),
        _ => None,
    }
}

fn nothing(error: &NetError) -> Nothing {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Nothing::NoName,
            ResponseCode::NoError => Nothing::NoData,
            code => Nothing::Other(code_words(code)),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Nothing::Other(code_words(*code)),
        NetError::Timeout => Nothing::Timeout,
        NetError::NoConnections => Nothing::Unreached("no resolver can be reached".to_owned()),
        other => Nothing::Unreached(format!("resolving failed: {other}")),
    }
}

fn code_words(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => format!("resolver answered {other}"),
    }
}

/// One set of both families: see the module's head.
fn merge(answers: [Result<Found, Nothing>; 2], last_known: &[IpAddr]) -> Result<Found, Nothing> {
    let mut addresses = Vec::new();
    let mut ttl = MAX_TTL;
    for (family, answer) in Family::ALL.into_iter().zip(&answers) {
        match answer {
            Ok(found) => {
                addresses.extend_from_slice(&found.addresses);
                ttl = ttl.min(found.ttl);
            }
            Err(Nothing::NoData | Nothing::NoName) => {}
            Err(_) if answers.iter().any(Result::is_ok) => {
                addresses.extend(last_known.iter().filter(|address| Family::of(**address) == family));
                ttl = MIN_TTL;
            }
            Err(_) => {}
        }
    }
    if addresses.is_empty() {
        let worst = answers.into_iter().filter_map(Result::err).max();
        return Err(worst.unwrap_or(Nothing::NoData));
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(Found { addresses, ttl: ttl.clamp(MIN_TTL, MAX_TTL) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str, ttl: u64) -> Result<Found, Nothing> {
        Ok(Found { addresses: vec![address.parse().expect("an address")], ttl: Duration::from_secs(ttl) })
    }

    fn other() -> Result<Found, Nothing> {
        Err(Nothing::Other("SERVFAIL".to_owned()))
    }

    #[test]
    fn families_are_merged() {
        let known: [IpAddr; 2] = [[192, 0, 2, 9].into(), "2001:db8::9".parse().expect("an address")];
        for (answers, expected) in [
            ([found("192.0.2.1", 60), found("2001:db8::1", 30)], Ok(("192.0.2.1 2001:db8::1", 30))),
            ([found("192.0.2.1", 60), Err(Nothing::NoData)], Ok(("192.0.2.1", 60))),
            ([found("192.0.2.1", 60), other()], Ok(("192.0.2.1 2001:db8::9", 5))),
            ([Err(Nothing::Timeout), found("2001:db8::1", 60)], Ok(("192.0.2.9 2001:db8::1", 5))),
            ([found("192.0.2.1", 1), Err(Nothing::NoData)], Ok(("192.0.2.1", 5))),
            ([found("192.0.2.1", 9999), Err(Nothing::NoData)], Ok(("192.0.2.1", 300))),
            ([Err(Nothing::NoData), Err(Nothing::NoData)], Err("no addresses")),
            ([Err(Nothing::NoName), Err(Nothing::NoName)], Err("NXDOMAIN")),
            ([other(), Err(Nothing::NoData)], Err("SERVFAIL")),
            ([Err(Nothing::Timeout), Err(Nothing::NoData)], Err("resolver timed out")),
        ] {
            let merged = merge(answers, &known).map(|found| {
                let list: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
                (list.join(" "), found.ttl.as_secs())
            });
            let merged = merged.map_err(|nothing| nothing.to_string());
            assert_eq!(merged, expected.map(|(list, ttl)| (list.to_owned(), ttl)).map_err(str::to_owned));
        }
    }
}
