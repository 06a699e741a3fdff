//! Whether the DNS of a target tells clients apart by the subnet that is asked for (EDNS Client Subnet, RFC 7871).
//!
//! Its authoritative servers are asked for three networks far from each other. A scope above 0, in the answer of any zone on the way, says that answers
//! depend on the network; none, or no such option, that all get what is right for who asks: this machine.
//!
//! | the zones on the way | then |
//! | --- | --- |
//! | one gives a scope above 0 | it honours them |
//! | they lead to addresses, none gives one | it does not |
//! | they lead nowhere, or nobody answers | nothing is known |

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::exchange;
use super::look::{MAX_STEPS, Servers};
use super::said::{Referral, Said, read};
use crate::health::round::Rounds;

/// Networks of root servers that stand for America, Europe and Asia: they keep their numbers, and databases know where they are registered.
const NETWORKS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 41, 0, 0), Ipv4Addr::new(193, 0, 14, 0), Ipv4Addr::new(202, 12, 27, 0)];
/// Bits of a network that are told (RFC 7871, section 11.1).
const PREFIX: u8 = 24;

/// Whether answers depend on the client's subnet; none where that cannot be told.
pub async fn honours_subnets(rounds: &Arc<Rounds>, target: &str) -> Option<bool> {
    let mut name = Name::from_ascii(target).ok()?;
    let mut referred: Option<Servers> = None;
    for _ in 0..MAX_STEPS {
        let servers = match referred.take() {
            Some(servers) => servers,
            None => rounds.servers_of(&name).await.ok()?,
        };
        let ask = |network| ask(rounds, &servers, &name, network);
        let [first, second, third] = NETWORKS;
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

/// The answer of the first server that can be asked and gives one, of two at most.
async fn ask(rounds: &Arc<Rounds>, servers: &Servers, name: &Name, network: Ipv4Addr) -> Option<Message> {
    for server in servers.servers.iter().take(2) {
        let Ok(Some(Some(at))) = rounds.way_to(server).await else { continue };
        let subnet = ClientSubnet::new(IpAddr::V4(network), PREFIX, 0);
        if let Ok(Some(answer)) = exchange::ask_for(at, name, RecordType::A, Some(subnet)).await {
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
