//! A client: one DNS question over UDP, one HTTPS or HTTP request. Fresh sockets each time, and a limit on everything.
//!
//! The demo believes nothing that it has not asked for over a real socket, and so do the tests.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::DecodeError;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{error::Elapsed, timeout};
use tokio_rustls::TlsConnector;

/// How long a datagram is waited for before the question is asked again.
const PATIENCE: Duration = Duration::from_millis(700);
/// How often a question is asked.
const TRIES: usize = 3;
const MAX_DATAGRAM: usize = 4096;
const MAX_REQUEST: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 1 << 20;

/// What a DNS server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub rcode: ResponseCode,
    /// The answer section.
    pub records: Vec<AnswerRecord>,
}

/// One record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRecord {
    pub owner: String,
    /// Seconds.
    pub ttl: u32,
    pub rtype: RecordType,
    /// Presentation format.
    pub data: String,
}

impl fmt::Display for AnswerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} IN {} {}", self.owner, self.ttl, self.rtype, self.data)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("`{0}` is not a domain name")]
    BadName(String),
    #[error("the question cannot be written: {0}")]
    Question(#[from] ProtoError),
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] DecodeError),
    #[error("asking {server} failed: {source}")]
    Socket { server: SocketAddr, source: io::Error },
    #[error("{0} does not answer")]
    Silent(SocketAddr),
}

/// Asks one question over UDP, from the address `from`.
pub async fn ask(server: SocketAddr, from: IpAddr, name: &str, rtype: RecordType) -> Result<Answer, AskError> {
    let owner = Name::from_ascii(name).map_err(|_| AskError::BadName(name.to_owned()))?;
    let mut question = Message::query();
    question.add_query(Query::query(owner, rtype));
    let octets = question.to_vec()?;
    let failed = |source| AskError::Socket { server, source };
    let socket = UdpSocket::bind((from, 0)).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    for _ in 0..TRIES {
        socket.send(&octets).await.map_err(failed)?;
        if let Ok(received) = timeout(PATIENCE, receive(&socket, question.metadata.id)).await {
            return received.map_err(failed)?.map(Answer::from);
        }
    }
    Err(AskError::Silent(server))
}

/// The first datagram that answers the question with this id.
async fn receive(socket: &UdpSocket, id: u16) -> io::Result<Result<Message, AskError>> {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let len = socket.recv(&mut buffer).await?;
        let datagram = buffer.get(..len).unwrap_or_default();
        if datagram.starts_with(&id.to_be_bytes()) {
            return Ok(Message::from_vec(datagram).map_err(AskError::from));
        }
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        let records = message.answers.iter().map(|record| AnswerRecord {
            owner: record.name.to_ascii(),
            ttl: record.ttl,
            rtype: record.record_type(),
            data: record.data.to_string(),
        });
        Self { rcode: message.metadata.response_code, records: records.collect() }
    }
}

/// What an HTTP server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    /// The first MiB at most; octets that are not UTF-8 are replaced.
    pub body: String,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("`{0}` is not a host name")]
    BadHost(String),
    #[error("no TLS session: {0}")]
    Tls(io::Error),
    #[error("no HTTP answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the body breaks off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {seconds} s", seconds = MAX_REQUEST.as_secs())]
    Silent(#[from] Elapsed),
}

/// `GET https://host/path`, sent to `server` whatever the host resolves to.
pub async fn fetch_https(
    server: SocketAddr,
    host: &str,
    path: &str,
    tls: Arc<ClientConfig>,
) -> Result<Page, FetchError> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_: InvalidDnsNameError| FetchError::BadHost(host.to_owned()))?;
    let work = async {
        let stream = TcpStream::connect(server).await.map_err(FetchError::Connect)?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(FetchError::Tls)?;
        fetch_over(stream, host, path).await
    };
    timeout(MAX_REQUEST, work).await?
}

/// `GET http://host/path`, sent to `server` whatever the host resolves to.
pub async fn fetch_http(server: SocketAddr, host: &str, path: &str) -> Result<Page, FetchError> {
    let work = async {
        let stream = TcpStream::connect(server).await.map_err(FetchError::Connect)?;
        fetch_over(stream, host, path).await
    };
    timeout(MAX_REQUEST, work).await?
}

async fn fetch_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> Result<Page, FetchError> {
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(FetchError::Body)?;
        Ok(Page { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
    };
    // The connection makes no progress by itself; how it ends does not matter once the page is there.
    tokio::select! {
        page = exchange => page,
        Err(error) = connection => Err(error.into()),
    }
}
