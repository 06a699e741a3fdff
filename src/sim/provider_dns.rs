//! The providers' own DNS: their target names resolve to their edges' addresses, or fail as the provider's mode says.
//!
//! One server on one loopback port stands for the authoritative servers of all providers; the prober's resolver is
//! pointed at it. It is hickory-server's Catalog: two of them, one with the addresses and one in which no name exists, so
//! that `nxdomain` is a proper negative answer with an SOA. The zones are top-level domains, since one target may well
//! lie below another.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Header, HeaderCounts, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record};
use hickory_server::Server;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

use super::cast::{Cast, Player};
use super::mode::{Mode, Modes};

/// TTL of the addresses, in seconds: what CDNs give, or less.
pub const TTL: u32 = 20;
/// How long a name's absence may be remembered, in seconds.
pub const NEGATIVE_TTL: u32 = 5;

const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_ANSWERS_WAITING: usize = 16;
const PORT_TRIES: usize = 20;

/// The running server. It stops when this is dropped.
pub struct ProviderDns {
    address: SocketAddr,
    server: Server<Switch>,
}

/// Why the providers' DNS does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProviderDnsError {
    #[error("no loopback port is free for the providers' DNS: {0}")]
    NoPort(io::Error),
    #[error("the target `{target}` cannot be served: {why}")]
    Target { target: String, why: String },
}

impl ProviderDns {
    /// Starts on a free port of 127.0.0.1, over UDP and TCP. Must be called inside a tokio runtime.
    pub async fn start(cast: &Cast, modes: &Modes) -> Result<Self, ProviderDnsError> {
        let switch = Switch::new(cast, modes.clone())?;
        let (udp, tcp) = bind_both().await.map_err(ProviderDnsError::NoPort)?;
        let address = udp.local_addr().map_err(ProviderDnsError::NoPort)?;
        let mut server = Server::new(switch);
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS_WAITING);
        Ok(Self { address, server })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops answering.
    pub async fn stop(&mut self) {
        // What a task of it died of concerns nobody any more.
        let _ = self.server.shutdown_gracefully().await;
    }
}

/// UDP and TCP with one port number.
async fn bind_both() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Chooses by the provider's mode what its names answer.
struct Switch {
    /// Whose target it is.
    owners: BTreeMap<LowerName, Arc<str>>,
    modes: Modes,
    present: Catalog,
    absent: Catalog,
}

impl Switch {
    fn new(cast: &Cast, modes: Modes) -> Result<Self, ProviderDnsError> {
        let mut owners = BTreeMap::new();
        let mut zones: BTreeMap<Name, Vec<Record>> = BTreeMap::new();
        for player in &cast.players {
            for target in &player.targets {
                let name = Name::from_ascii(target).map_err(|error| bad_target(target, &error))?;
                zones.entry(name.trim_to(1)).or_default().extend(addresses(player, &name));
                owners.insert(LowerName::from(name), player.id.clone());
            }
        }
        let (mut present, mut absent) = (Catalog::new(), Catalog::new());
        for (origin, records) in zones {
            present.upsert(LowerName::from(&origin), vec![zone(&origin, records)?]);
            absent.upsert(LowerName::from(&origin), vec![zone(&origin, Vec::new())?]);
        }
        Ok(Self { owners, modes, present, absent })
    }

    fn mode(&self, name: &LowerName) -> Mode {
        self.owners.get(name).and_then(|id| self.modes.current(id).ok()).unwrap_or_default()
    }
}

#[async_trait::async_trait]
impl RequestHandler for Switch {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let mode = request.queries.queries().first().map_or(Mode::Right, |query| self.mode(query.name()));
        match mode {
            Mode::Nxdomain => self.absent.handle_request::<R, T>(request, to).await,
            Mode::Servfail => {
                let message = MessageResponseBuilder::from_message_request(request)
                    .error_msg(&request.metadata, ResponseCode::ServFail);
                match to.send_response(message).await {
                    Ok(info) => info,
                    // Nobody waits for it any more.
                    Err(_) => {
                        ResponseInfo::from(Header { metadata: request.metadata, counts: HeaderCounts::default() })
                    }
                }
            }
            _ => self.present.handle_request::<R, T>(request, to).await,
        }
    }
}

/// The addresses of a target.
fn addresses(player: &Player, name: &Name) -> impl Iterator<Item = Record> {
    player
        .addresses
        .iter()
        .take(player.resolved)
        .map(|address| Record::from_rdata(name.clone(), TTL, RData::A(A(*address))))
}

/// A zone of these records and an SOA.
fn zone(origin: &Name, records: Vec<Record>) -> Result<Arc<dyn ZoneHandler>, ProviderDnsError> {
    const SERIAL: u32 = 1;
    let mut zone =
        InMemoryZoneHandler::<TokioRuntimeProvider>::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(origin.clone(), origin.clone(), SERIAL, 3600, 600, 86_400, NEGATIVE_TTL);
    let soa = Record::from_rdata(origin.clone(), NEGATIVE_TTL, RData::SOA(soa));
    for record in std::iter::once(soa).chain(records) {
        let target = record.name.to_ascii();
        if !zone.upsert_mut(record, SERIAL) {
            return Err(ProviderDnsError::Target { target, why: format!("it does not fit into the zone {origin}") });
        }
    }
    Ok(Arc::new(zone))
}

fn bad_target(target: &str, why: &dyn std::error::Error) -> ProviderDnsError {
    ProviderDnsError::Target { target: target.to_owned(), why: why.to_string() }
}
