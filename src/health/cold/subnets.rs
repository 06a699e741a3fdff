//! Whether the DNS of a target tells clients apart by the subnet that is asked for (EDNS Client Subnet, RFC 7871), and what it has for one.
//!
//! Its authoritative servers are asked for three networks far from each other. A scope above 0, in the answer of any zone on the way, says that answers
//! depend on the network; none, or no such option, that all get what is right for who asks: this machine.
//!
//! | the zones on the way | then |
//! | --- | --- |
//! | one gives a scope above 0 | it honours them |
//! | they lead to addresses, none gives one | it does not |
//! | they lead nowhere, or nobody answers | nothing is known |
//!
//! What it has for one network is asked zone by zone alike, since a CNAME may depend on the network too: A along the way, and AAAA where the addresses are. It is
//! asked of authoritative servers, since resolvers tell them the network of who asks, not one that is told them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_resolver::proto::rr::{Name, RecordType};
use ipnet::{IpNet, Ipv4Net};

use super::exchange;
use super::look::MAX_STEPS;
use super::said::{Referral, Said, read};
use super::way::{Servers, Way};

/// Bits of a network that are told (RFC 7871, section 11.1).
const PREFIX: u8 = 24;
/// Servers of a zone that are asked at most.
const SERVERS: usize = 2;

/// Networks of root servers that stand for America, Europe and Asia: they keep their numbers, and databases know where they are registered.
pub const DISTANT: [IpNet; 3] = [distant([198, 41, 0, 0]), distant([193, 0, 14, 0]), distant([202, 12, 27, 0])];

const fn distant(octets: [u8; 4]) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), PREFIX))
}

/// What the DNS of a target has for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForNetwork {
    /// Sorted, without doubles, not empty.
    pub addresses: Vec<IpAddr>,
    /// The least of all records on the way.
    pub ttl: Duration,
    /// The longest scope of all answers on the way: above 0, they depend on the network.
    pub scope: u8,
}

/// Whether answers depend on the client's subnet; none where that cannot be told.
pub async fn honours_subnets(way: Way<'_>, target: &str) -> Option<bool> {
    let mut name = Name::from_ascii(target).ok()?;
    let mut referred: Option<Servers> = None;
    for _ in 0..MAX_STEPS {
        let servers = next_servers(way, &name, &mut referred).await?;
        let ask = |network| ask(way, &servers, 0, &name, RecordType::A, network);
        let [first, second, third] = DISTANT;
        let answers = tokio::join!(ask(first), ask(second), ask(third));
        let answers: Vec<Message> = [answers.0, answers.1, answers.2].into_iter().flatten().collect();
        if answers.iter().any(|answer| scope(answer) > 0) {
            return Some(true);
        }
        // They say the same, or it would have a scope.
        match read(answers.first()?, &servers.zone, &name, RecordType::A) {
            Said::Addresses(_) => return Some(false),
            Said::Alias(to) => name = to,
            Said::Referral(Referral { zone, servers }) => referred = Some(Servers { zone, servers }),
            Said::NoData | Said::Wrong(_) => return None,
        }
    }
    None
}

/// What it has for the clients of a network; none where that cannot be told, or it has nothing. `turn` says which servers are asked.
pub async fn answer_for(way: Way<'_>, target: &str, network: IpNet, turn: usize) -> Option<ForNetwork> {
    let mut name = Name::from_ascii(target).ok()?;
    let mut referred: Option<Servers> = None;
    let (mut ttl, mut widest) = (u32::MAX, 0);
    for _ in 0..MAX_STEPS {
        let servers = next_servers(way, &name, &mut referred).await?;
        let answer = ask(way, &servers, turn, &name, RecordType::A, network).await?;
        (ttl, widest) = (ttl.min(least_ttl(&answer)), widest.max(scope(&answer)));
        let mut addresses = match read(&answer, &servers.zone, &name, RecordType::A) {
            Said::Addresses(addresses) => addresses,
            Said::NoData => Vec::new(),
            Said::Alias(to) => {
                name = to;
                continue;
            }
            Said::Referral(Referral { zone, servers }) => {
                referred = Some(Servers { zone, servers });
                continue;
            }
            Said::Wrong(_) => return None,
        };
        if let Some(answer) = ask(way, &servers, turn, &name, RecordType::AAAA, network).await
            && let Said::Addresses(more) = read(&answer, &servers.zone, &name, RecordType::AAAA)
        {
            (ttl, widest) = (ttl.min(least_ttl(&answer)), widest.max(scope(&answer)));
            addresses.extend(more);
        }
        addresses.sort_unstable();
        addresses.dedup();
        let found = ForNetwork { addresses, ttl: Duration::from_secs(ttl.into()), scope: widest };
        return (!found.addresses.is_empty()).then_some(found);
    }
    None
}

async fn next_servers(way: Way<'_>, name: &Name, referred: &mut Option<Servers>) -> Option<Servers> {
    match referred.take() {
        Some(servers) => Some(servers),
        None => way.servers_of(name).await.ok(),
    }
}

/// The answer of the first server that can be asked and gives one, of two at most.
async fn ask(
    way: Way<'_>,
    servers: &Servers,
    turn: usize,
    name: &Name,
    rtype: RecordType,
    network: IpNet,
) -> Option<Message> {
    let start = turn.checked_rem(servers.servers.len())?;
    for server in servers.servers.iter().cycle().skip(start).take(SERVERS.min(servers.servers.len())) {
        let Ok(Some(Some(at))) = way.to(server).await else { continue };
        let subnet = ClientSubnet::new(network.network(), network.prefix_len(), 0);
        if let Ok(Some(answer)) = exchange::ask_for(at, name, rtype, Some(subnet)).await {
            return Some(answer);
        }
    }
    None
}

fn scope(answer: &Message) -> u8 {
    let option = answer.edns.as_ref().and_then(|edns| edns.options().get(EdnsCode::Subnet));
    match option {
        Some(EdnsOption::Subnet(subnet)) => subnet.scope_prefix(),
        _ => 0,
    }
}

/// Of the records of an answer; none: as long as can be.
fn least_ttl(answer: &Message) -> u32 {
    answer.answers.iter().map(|record| record.ttl).min().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distant_networks_may_be_told_to_anybody() {
        for network in DISTANT {
            let IpAddr::V4(_) = network.addr() else { unreachable!("all are of IPv4") };
            assert_eq!((network, crate::health::reach::special_kind(network.addr())), (network.trunc(), None));
        }
    }
}
