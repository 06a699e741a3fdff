//! One question to one authoritative server: over UDP, then over TCP where the answer is cut off or none comes.
//!
//! Without RD (RFC 1034, section 4.3.1): a cache that stands in the place of an authority then gives itself away. A
//! socket of its own for each question, connected, so that the port is random and only that server is heard.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, Query};
use hickory_resolver::proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How long an answer may take, over each transport.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// What fits into one datagram without fragments (DNS flag day 2020).
const MAX_DATAGRAM: u16 = 1_232;

/// The answer. None: there is none that fits the question.
pub async fn ask(server: SocketAddr, name: &Name, rtype: RecordType) -> Option<Message> {
    ask_for(server, name, rtype, None).await
}

/// The same, on behalf of a client's subnet (RFC 7871).
pub async fn ask_for(
    server: SocketAddr,
    name: &Name,
    rtype: RecordType,
    subnet: Option<ClientSubnet>,
) -> Option<Message> {
    let question = question(name, rtype, subnet);
    let octets = question.to_vec().ok()?;
    let over_udp = tokio::time::timeout(PATIENCE, udp(server, &octets, &question)).await;
    match over_udp {
        Ok(Ok(answer)) if !answer.metadata.truncation => Some(answer),
        _ => tokio::time::timeout(PATIENCE, tcp(server, &octets, &question)).await.ok()?.ok()?,
    }
}

fn question(name: &Name, rtype: RecordType, subnet: Option<ClientSubnet>) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    if let Some(subnet) = subnet {
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
    }
    message.set_edns(edns);
    message
}

async fn udp(server: SocketAddr, octets: &[u8], question: &Message) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(octets).await?;
    let mut datagram = [0; MAX_DATAGRAM as usize];
    loop {
        let length = socket.recv(&mut datagram).await?;
        if let Some(answer) = datagram.get(..length).and_then(|octets| answer_to(question, octets)) {
            return Ok(answer);
        }
    }
}

async fn tcp(server: SocketAddr, octets: &[u8], question: &Message) -> io::Result<Option<Message>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], octets].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer_to(question, &answer))
}

/// The message in these octets, if it answers this question.
fn answer_to(question: &Message, octets: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(octets).ok()?;
    // Some servers leave the question out where they refuse it.
    let fits = answer.queries == question.queries || answer.queries.is_empty();
    (answer.metadata.id == question.metadata.id && fits).then_some(answer)
}
