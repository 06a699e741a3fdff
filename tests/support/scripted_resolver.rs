//! A recursive resolver that says what a script says: addresses with a TTL, a chain of CNAMEs, an error, nothing.

// Each test takes what it needs.
#![allow(dead_code)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME, HTTPS, NS, SVCB};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What the resolver says of one name.
#[derive(Clone, Debug)]
pub enum Says {
    /// These addresses, with this TTL.
    Addresses(Vec<IpAddr>, u32),
    /// First a CNAME with this TTL, then what it says of that name.
    Alias(&'static str, u32),
    Code(ResponseCode),
    /// A zone begins here, with these servers; nothing else stands here.
    Zone(&'static [&'static str], u32),
    /// Who may issue certificates: `issue`.
    Caa(&'static str),
    /// These addresses, and this HTTPS record, with this TTL.
    Serves(Vec<IpAddr>, SVCB, u32),
    /// The name exists, without addresses.
    Nothing,
    Silence,
    /// One thing for A, another for AAAA.
    ByType(Box<Says>, Box<Says>),
}

type Script = Arc<Mutex<HashMap<String, Says>>>;

pub struct ScriptedResolver {
    pub address: SocketAddr,
    script: Script,
    questions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl ScriptedResolver {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let script = Script::default();
        let questions = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(socket, Arc::clone(&script), Arc::clone(&questions)));
        Self { address, script, questions, task }
    }

    /// From now on, of this absolute name.
    pub fn says(&self, name: &str, says: Says) {
        self.script.lock().expect("not poisoned").insert(name.to_owned(), says);
    }

    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedResolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, script: Script, questions: Arc<AtomicUsize>) {
    let mut packet = [0; 1500];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet).await else { continue };
        questions.fetch_add(1, Ordering::SeqCst);
        let question = Message::from_vec(&packet[..length]).expect("a question");
        let answer = answer(&question, &script.lock().expect("not poisoned"));
        if let Some(answer) = answer {
            let octets = answer.to_vec().expect("an answer");
            socket.send_to(&octets, client).await.expect("sent");
        }
    }
}

fn answer(question: &Message, script: &HashMap<String, Says>) -> Option<Message> {
    let query = question.queries.first()?.clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.metadata.recursion_desired = true;
    let rtype = query.query_type();
    let mut owner = query.name().clone();
    answer.add_query(query);
    loop {
        let mut says = script.get(&owner.to_ascii().to_ascii_lowercase()).cloned();
        if let Some(Says::ByType(v4, v6)) = says {
            says = Some(if rtype == RecordType::A { *v4 } else { *v6 });
        }
        if let Some(Says::Serves(addresses, service, ttl)) = says {
            if rtype == RecordType::HTTPS {
                answer.add_answer(Record::from_rdata(owner, ttl, RData::HTTPS(HTTPS(service))));
                return Some(answer);
            }
            says = Some(Says::Addresses(addresses, ttl));
        }
        match says {
            Some(Says::Addresses(addresses, ttl)) => {
                let data = addresses.into_iter().filter_map(|address| match (address, rtype) {
                    (IpAddr::V4(v4), RecordType::A) => Some(RData::A(A(v4))),
                    (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(AAAA(v6))),
                    _ => None,
                });
                answer.add_answers(data.map(|data| Record::from_rdata(owner.clone(), ttl, data)));
            }
            Some(Says::Alias(to, ttl)) => {
                let to = Name::from_ascii(to).expect("a name");
                answer.add_answer(Record::from_rdata(owner, ttl, RData::CNAME(CNAME(to.clone()))));
                if rtype == RecordType::CNAME {
                    return Some(answer);
                }
                owner = to;
                continue;
            }
            Some(Says::Zone(servers, ttl)) if rtype == RecordType::NS => {
                let server = |name: &&str| RData::NS(NS(Name::from_ascii(name).expect("a name")));
                let records = servers.iter().map(|name| Record::from_rdata(owner.clone(), ttl, server(name)));
                answer.add_answers(records);
            }
            Some(Says::Zone(..)) => {}
            Some(Says::Caa(issuer)) if rtype == RecordType::CAA => {
                let mut caa = CAA::new_issue(false, None, Vec::new());
                caa.value = issuer.as_bytes().to_vec();
                answer.add_answer(Record::from_rdata(owner, 60, RData::CAA(caa)));
            }
            Some(Says::Caa(_)) => {}
            Some(Says::Code(code)) => answer.metadata.response_code = code,
            Some(Says::Nothing) => {}
            Some(Says::Silence) => return None,
            Some(Says::ByType(..) | Says::Serves(..)) | None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        return Some(answer);
    }
}
