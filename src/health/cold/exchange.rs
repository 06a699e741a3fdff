//! One question to one authoritative server: over UDP, then over TCP where the answer is cut off or none comes.
//!
//! Without RD (RFC 1034, section 4.3.1): a cache that stands in the place of an authority then gives itself away. A
//! socket of its own for each question, connected, so that the port is random and only that server is heard.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Query};
use hickory_resolver::proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::health::fault;

/// How long an answer may take, over each transport.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// What fits into one datagram without fragments (DNS flag day 2020).
const MAX_DATAGRAM: u16 = 1_232;

/// The answer. None: there is none that fits the question. The error: this machine could not ask, which says nothing of
/// the server.
pub async fn ask(server: SocketAddr, name: &Name, rtype: RecordType) -> Result<Option<Message>, String> {
    ask_for(server, name, rtype, None).await
}

/// The same, on behalf of a client's subnet (RFC 7871).
pub async fn ask_for(
    server: SocketAddr,
    name: &Name,
    rtype: RecordType,
    subnet: Option<ClientSubnet>,
) -> Result<Option<Message>, String> {
    let question = question(name, rtype, subnet);
    let octets = question.to_vec().map_err(|error| error.to_string())?;
    let over_udp = match in_time(udp(server, &octets, &question)).await {
        Ok(answer) if !answer.metadata.truncation => return Ok(Some(answer)),
        Ok(_) => None,
        Err(error) => cannot_ask(&error),
    };
    match in_time(tcp(server, &octets, &question)).await {
        Ok(answer) => Ok(answer),
        Err(error) => cannot_ask(&error).or(over_udp).map_or(Ok(None), Err),
    }
}

async fn in_time<T>(asking: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, asking).await?
}

/// Why this machine could not ask, if that is what went wrong: nothing left to ask with, no way there, or its own filter.
fn cannot_ask(error: &io::Error) -> Option<String> {
    let no_way = matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EPERM));
    fault::own_fault(error).or_else(|| no_way.then(|| error.to_string()))
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
    let is_answer = answer.metadata.message_type == MessageType::Response;
    (is_answer && answer.metadata.id == question.metadata.id && fits).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_not_the_servers_silence() {
        for (code, own) in [
            (libc::EMFILE, true),
            (libc::ENOBUFS, true),
            (libc::EADDRNOTAVAIL, true),
            (libc::ENETUNREACH, true),
            (libc::EHOSTUNREACH, true),
            (libc::ECONNREFUSED, false),
            (libc::ETIMEDOUT, false),
        ] {
            assert_eq!(cannot_ask(&io::Error::from_raw_os_error(code)).is_some(), own, "{code}");
        }
    }

    #[test]
    fn a_question_that_comes_back_is_no_answer() {
        let question = question(&Name::from_ascii("shop.cdn.example.").expect("a name"), RecordType::A, None);
        let mut answer = question.clone();
        assert_eq!(answer_to(&question, &answer.to_vec().expect("octets")), None);
        answer.metadata.message_type = MessageType::Response;
        assert!(answer_to(&question, &answer.to_vec().expect("octets")).is_some());
    }
}
