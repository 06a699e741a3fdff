//! Authoritative servers on loopback addresses of one port, over UDP and TCP, that say what a script says.

// Each test takes what it needs, and may panic.
#![allow(dead_code, clippy::panic)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// What a server says of one name.
#[derive(Clone, Debug)]
pub enum Answers {
    Addresses(Vec<IpAddr>),
    /// The same; a client subnet that it was asked for is answered with this scope.
    Scoped(Vec<IpAddr>, u8),
    /// Those of the network that a client subnet is in, with scope 24; the last ones for all others.
    ByNetwork(Vec<(&'static str, Vec<IpAddr>)>, Vec<IpAddr>),
    /// A CNAME, alone.
    Alias(&'static str),
    Code(ResponseCode),
    /// Addresses, without authority.
    Lame(Vec<IpAddr>),
    Silence,
    /// Addresses over TCP; over UDP the answer is cut off.
    CutOff(Vec<IpAddr>),
    /// A zone below, its server's name and address.
    Referral(&'static str, &'static str, IpAddr),
}

type Script = Arc<Mutex<HashMap<String, Answers>>>;

/// One server; gone when dropped.
pub struct AuthoritativeServer {
    pub address: SocketAddr,
    script: Script,
    questions: Arc<AtomicUsize>,
    tasks: [JoinHandle<()>; 2],
}

impl AuthoritativeServer {
    /// So many, on 127.0.0.2 and the following, all with one port.
    pub async fn start_all(count: u8) -> Vec<Self> {
        for _ in 0..50 {
            let mut all: Vec<Self> = Vec::new();
            for last in 2..2 + count {
                let port = all.first().map_or(0, |first| first.address.port());
                all.extend(Self::start(SocketAddr::from(([127, 0, 0, last], port))).await);
            }
            if all.len() == usize::from(count) {
                return all;
            }
        }
        panic!("no port is free on all addresses");
    }

    async fn start(at: SocketAddr) -> Option<Self> {
        let udp = UdpSocket::bind(at).await.ok()?;
        let address = udp.local_addr().ok()?;
        let tcp = TcpListener::bind(address).await.ok()?;
        let (script, questions) = (Script::default(), Arc::new(AtomicUsize::new(0)));
        let over_udp = tokio::spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&questions)));
        let over_tcp = tokio::spawn(serve_tcp(tcp, Arc::clone(&script), Arc::clone(&questions)));
        Some(Self { address, script, questions, tasks: [over_udp, over_tcp] })
    }

    /// From now on, of this absolute name.
    pub fn answers(&self, name: &str, answers: Answers) {
        self.script.lock().expect("not poisoned").insert(name.to_owned(), answers);
    }

    /// Questions that were read, and answered by now unless with silence.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl Drop for AuthoritativeServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve_udp(socket: UdpSocket, script: Script, questions: Arc<AtomicUsize>) {
    let mut packet = [0; 1500];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet).await else { continue };
        let answer = answer(&packet[..length], &script, true);
        if let Some(octets) = answer {
            socket.send_to(&octets, client).await.expect("sent");
        }
        questions.fetch_add(1, Ordering::SeqCst);
    }
}

async fn serve_tcp(listener: TcpListener, script: Script, questions: Arc<AtomicUsize>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve_connection(stream, Arc::clone(&script), Arc::clone(&questions)));
    }
}

async fn serve_connection(mut stream: TcpStream, script: Script, questions: Arc<AtomicUsize>) -> Option<()> {
    let mut question = vec![0; stream.read_u16().await.ok()?.into()];
    stream.read_exact(&mut question).await.ok()?;
    let answer = answer(&question, &script, false);
    questions.fetch_add(1, Ordering::SeqCst);
    match answer {
        Some(octets) => {
            stream.write_u16(octets.len().try_into().expect("short")).await.ok()?;
            stream.write_all(&octets).await.ok()
        }
        // Until the client has had enough.
        None => stream.read_u8().await.ok().map(drop),
    }
}

fn answer(octets: &[u8], script: &Script, is_udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(octets).expect("a question");
    assert!(!question.metadata.recursion_desired, "authoritative servers are asked without RD");
    let query = question.queries.first()?.clone();
    let (owner, rtype) = (query.name().clone(), query.query_type());
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.authoritative = true;
    answer.add_query(query);
    let says = script.lock().expect("not poisoned").get(&owner.to_ascii().to_ascii_lowercase()).cloned();
    match says {
        Some(Answers::Silence) => return None,
        Some(Answers::Code(code)) => answer.metadata.response_code = code,
        Some(Answers::Addresses(all)) => add(&mut answer, &owner, rtype, all),
        Some(Answers::Scoped(all, scope)) => {
            add(&mut answer, &owner, rtype, all);
            tell_scope(&question, &mut answer, scope);
        }
        Some(Answers::ByNetwork(networks, others)) => {
            let client = subnet(&question).map(ClientSubnet::addr);
            let is_in = |network: &str| {
                let network: IpNet = network.parse().expect("a network");
                client.is_some_and(|client| network.contains(&client))
            };
            let own = networks.into_iter().find(|(network, _)| is_in(network)).map(|(_, addresses)| addresses);
            add(&mut answer, &owner, rtype, own.unwrap_or(others));
            tell_scope(&question, &mut answer, 24);
        }
        Some(Answers::Lame(all)) => {
            answer.metadata.authoritative = false;
            add(&mut answer, &owner, rtype, all);
        }
        Some(Answers::CutOff(_)) if is_udp => answer.metadata.truncation = true,
        Some(Answers::CutOff(all)) => add(&mut answer, &owner, rtype, all),
        Some(Answers::Alias(to)) => {
            let to = Name::from_ascii(to).expect("a name");
            answer.add_answer(Record::from_rdata(owner, 20, RData::CNAME(CNAME(to))));
        }
        Some(Answers::Referral(zone, server, address)) => {
            answer.metadata.authoritative = false;
            let (zone, server) = (Name::from_ascii(zone).expect("a name"), Name::from_ascii(server).expect("a name"));
            answer.add_authority(Record::from_rdata(zone, 3_600, RData::NS(NS(server.clone()))));
            answer.add_additional(Record::from_rdata(server, 3_600, data(address)));
        }
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(answer.to_vec().expect("an answer"))
}

fn subnet(question: &Message) -> Option<&ClientSubnet> {
    match question.edns.as_ref()?.options().get(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(subnet),
        _ => None,
    }
}

fn tell_scope(question: &Message, answer: &mut Message, scope: u8) {
    if let Some(subnet) = subnet(question) {
        let mut edns = Edns::new();
        let told = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), scope);
        edns.options_mut().insert(EdnsOption::Subnet(told));
        answer.set_edns(edns);
    }
}

fn add(answer: &mut Message, owner: &Name, rtype: RecordType, addresses: Vec<IpAddr>) {
    let of_type = addresses.into_iter().filter(|address| address.is_ipv4() == (rtype == RecordType::A));
    answer.add_answers(of_type.map(|address| Record::from_rdata(owner.clone(), 20, data(address))));
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}
