//! Simulated CDN edges: real TLS and HTTP on loopback addresses, one listener for each address.
//!
//! All TLS listeners share one port number, all plain ones another, since the prober maps ports and not addresses
//! (`[probe] ports = {443 = N}`). An edge shows a customer's certificate to whoever asks for that name and serves its
//! page; strangers get the provider's own certificate and a 404. The provider's own test page, `/edge-test`, is green
//! as long as connections open at all: on 5 December 2025 such pages stayed green while every customer's was a 500.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, SERVER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cast::{Cast, Player, Site};
use super::certificates::{Authority, CertificateError, Shelf, Validity};
use super::mode::{Mode, Modes, UnknownProvider};

/// The provider's own test page, on every host.
pub const TEST_PAGE: &str = "/edge-test";
/// How late an edge in mode `slow` answers: within the usual time limit of a probe (3 s).
pub const SLOW: Duration = Duration::from_millis(2500);

/// Open connections of one provider; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 256;
const MAX_CONNECTION_LIFE: Duration = Duration::from_secs(60);
const MAX_HANDSHAKE: Duration = Duration::from_secs(5);
/// How often a free port number is looked for that is free on every address.
const PORT_TRIES: usize = 20;
/// The pause before an address is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// All edges of all providers. They stop when this is dropped.
#[derive(Debug)]
pub struct Edges {
    https_port: u16,
    http_port: u16,
    served: BTreeMap<Arc<str>, Arc<Served>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Requests that were answered.
#[derive(Debug, Default)]
struct Served {
    pages: AtomicU64,
    test_pages: AtomicU64,
}

/// Why edges do not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    #[error("no port is free on all loopback addresses of the simulated edges: {0}")]
    NoPort(io::Error),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Provider(#[from] UnknownProvider),
}

impl Edges {
    /// Starts the edges of every provider of the cast. Must be called inside a tokio runtime.
    pub async fn start(cast: &Cast, authority: &Authority, modes: &Modes) -> Result<Self, EdgeError> {
        let addresses: Vec<_> = cast.players.iter().flat_map(|player| player.addresses.iter().copied()).collect();
        let mut secure = bind_all(&addresses).await.map_err(EdgeError::NoPort)?;
        let mut plain = bind_all(&addresses).await.map_err(EdgeError::NoPort)?;
        let mut edges = Self {
            https_port: secure.port,
            http_port: plain.port,
            served: BTreeMap::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        for player in &cast.players {
            let served = Arc::new(Served::default());
            edges.served.insert(player.id.clone(), served.clone());
            let context = Arc::new(Context::new(player, authority, served, edges.stop.clone())?);
            for &address in &player.addresses {
                for (listeners, layer) in [(&mut secure, Layer::Tls), (&mut plain, Layer::Plain)] {
                    let Some(listener) = listeners.open.remove(&address) else { continue };
                    let edge = Edge {
                        at: SocketAddrV4::new(address, listeners.port),
                        layer,
                        mode: modes.watch(&player.id)?,
                        context: context.clone(),
                        tasks: edges.tasks.clone(),
                    };
                    edges.tasks.spawn(edge.run(listener));
                }
            }
        }
        Ok(edges)
    }

    /// The port that every edge speaks TLS on.
    pub fn https_port(&self) -> u16 {
        self.https_port
    }

    /// The port that every edge speaks plain HTTP on.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// How many requests for customers' pages, right or wrong, a provider has answered; 0 for an unknown one.
    pub fn pages(&self, id: &str) -> u64 {
        self.served.get(id).map_or(0, |served| served.pages.load(Ordering::Relaxed))
    }

    /// How many requests for its test page a provider has answered; 0 for an unknown one.
    pub fn test_pages(&self, id: &str) -> u64 {
        self.served.get(id).map_or(0, |served| served.test_pages.load(Ordering::Relaxed))
    }

    /// Closes every listener and connection, and waits until they are closed.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Edges {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Listeners on several addresses, all with one port number.
struct Listeners {
    port: u16,
    open: BTreeMap<Ipv4Addr, TcpListener>,
}

async fn bind_all(addresses: &[Ipv4Addr]) -> io::Result<Listeners> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        match try_bind_all(addresses).await {
            Ok(listeners) => return Ok(listeners),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// The kernel chooses the port for the first address; the others must have it free too.
async fn try_bind_all(addresses: &[Ipv4Addr]) -> io::Result<Listeners> {
    let mut listeners = Listeners { port: 0, open: BTreeMap::new() };
    for &address in addresses {
        let listener = TcpListener::bind((address, listeners.port)).await?;
        listeners.port = listener.local_addr()?.port();
        listeners.open.insert(address, listener);
    }
    Ok(listeners)
}

#[derive(Clone, Copy)]
enum Layer {
    Tls,
    Plain,
}

/// What all edges of one provider share.
struct Context {
    id: Arc<str>,
    sites: BTreeMap<String, Site>,
    right: TlsAcceptor,
    wrong_name: TlsAcceptor,
    expired: TlsAcceptor,
    ending: TlsAcceptor,
    served: Arc<Served>,
    connections: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Context {
    fn new(
        player: &Player,
        authority: &Authority,
        served: Arc<Served>,
        stop: CancellationToken,
    ) -> Result<Self, CertificateError> {
        Ok(Self {
            id: player.id.clone(),
            sites: player.sites.clone(),
            right: tls(player, authority, Some(Validity::Now))?.into(),
            wrong_name: tls(player, authority, None)?.into(),
            expired: tls(player, authority, Some(Validity::Past))?.into(),
            ending: tls(player, authority, Some(Validity::Ending))?.into(),
            served,
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            stop,
        })
    }
}

/// A TLS configuration with certificates for all customers, or, without a validity, for none of them.
fn tls(
    player: &Player,
    authority: &Authority,
    validity: Option<Validity>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let own = authority.issue(&format!("{}.edge.invalid", player.id), Validity::Now)?;
    let mut shelf = Shelf { by_name: Default::default(), otherwise: own };
    for host in player.sites.keys() {
        if let Some(validity) = validity {
            shelf.by_name.insert(host.clone(), authority.issue(host, validity)?);
        }
    }
    shelf.server_config()
}

/// One address that accepts connections.
struct Edge {
    at: SocketAddrV4,
    layer: Layer,
    mode: watch::Receiver<Mode>,
    context: Arc<Context>,
    tasks: TaskTracker,
}

impl Edge {
    async fn run(mut self, listener: TcpListener) {
        let stop = self.context.stop.clone();
        let _ = stop.run_until_cancelled_owned(self.accept_for_ever(listener)).await;
    }

    async fn accept_for_ever(&mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            if *self.mode.borrow_and_update() == Mode::Refuse {
                // The kernel refuses where nobody listens.
                listener = None;
                if self.mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let open = match listener.take() {
                Some(open) => open,
                None => self.listen_again().await,
            };
            let open = listener.insert(open);
            tokio::select! {
                changed = self.mode.changed() => if changed.is_err() { return },
                accepted = open.accept() => match accepted {
                    Ok((stream, _)) => self.take(stream).await,
                    Err(_) => sleep(PAUSE).await,
                },
            }
        }
    }

    async fn listen_again(&self) -> TcpListener {
        loop {
            match TcpListener::bind(SocketAddr::from(self.at)).await {
                Ok(listener) => return listener,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn take(&self, stream: TcpStream) {
        let Ok(permit) = self.context.connections.clone().acquire_owned().await else { return };
        let connection = Connection { at: self.at, mode: self.mode.clone(), context: self.context.clone() };
        let layer = self.layer;
        let stop = self.context.stop.clone();
        self.tasks.spawn(async move {
            let serving = timeout(MAX_CONNECTION_LIFE, connection.serve(stream, layer));
            // However it ended, the client has seen it.
            let _ = stop.run_until_cancelled_owned(serving).await;
            drop(permit);
        });
    }
}

/// One connection.
#[derive(Clone)]
struct Connection {
    at: SocketAddrV4,
    mode: watch::Receiver<Mode>,
    context: Arc<Context>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream, layer: Layer) {
        let mode = *self.mode.borrow_and_update();
        if mode == Mode::Blackhole {
            // Held open in silence until the fault is over.
            let _ = self.mode.wait_for(|mode| *mode != Mode::Blackhole).await;
            return;
        }
        match layer {
            Layer::Plain => self.speak_http(stream).await,
            Layer::Tls => {
                let acceptor = match mode {
                    Mode::WrongCert => &self.context.wrong_name,
                    Mode::ExpiredCert => &self.context.expired,
                    Mode::EndingCert => &self.context.ending,
                    _ => &self.context.right,
                };
                let acceptor = acceptor.clone();
                if let Ok(Ok(stream)) = timeout(MAX_HANDSHAKE, acceptor.accept(stream)).await {
                    self.speak_http(stream).await;
                }
            }
        }
    }

    async fn speak_http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request| {
            let connection = self.clone();
            async move { Ok::<_, Infallible>(connection.answer(&request).await) }
        });
        // A client that breaks off is no fault of the edge.
        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == TEST_PAGE {
            self.context.served.test_pages.fetch_add(1, Ordering::Relaxed);
            return self.page(200, format!("edge={} at={} status=ok\n", self.context.id, self.at.ip()));
        }
        let host = host_of(request);
        let Some(site) = self.context.sites.get(&host) else {
            return self.page(404, format!("{host} is no customer of {}\n", self.context.id));
        };
        self.context.served.pages.fetch_add(1, Ordering::Relaxed);
        let mode = *self.mode.borrow();
        match mode {
            Mode::Status(status) => self.page(status, format!("{} has an internal problem\n", self.context.id)),
            Mode::EmptyBody => self.page(200, String::new()),
            Mode::NoMarker => self.page(200, "Please wait while we check that you are human.\n".to_owned()),
            Mode::Challenge => self.challenge(),
            Mode::Unclaimed => self.page(500, format!("Fastly error: unknown domain: {host}.\n")),
            Mode::Slow => {
                sleep(SLOW).await;
                self.page(site.status, self.content(&host, site))
            }
            _ => self.page(site.status, self.content(&host, site)),
        }
    }

    /// A customer's page as it should be.
    fn content(&self, host: &str, site: &Site) -> String {
        let markers: Vec<_> = site.markers.iter().map(String::as_str).collect();
        let (id, at) = (&self.context.id, self.at.ip());
        format!("<!doctype html>\n<h1>{host}</h1>\n<p>{}</p>\n<p>Served by {id} at {at}.</p>\n", markers.join(" "))
    }

    /// What a visitor with bot score 0 gets.
    fn challenge(&self) -> Response<Full<Bytes>> {
        let body = "<!doctype html>\n<title>Just a moment...</title>\n<script>window._cf_chl_opt = {};</script>\n";
        let mut response = self.page(403, body.to_owned());
        response.headers_mut().insert("cf-mitigated", hyper::header::HeaderValue::from_static("challenge"));
        response
    }

    fn page(&self, status: u16, body: String) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/html; charset=utf-8"));
        if let Ok(id) = self.context.id.parse() {
            headers.insert(SERVER, id);
        }
        response
    }
}

/// The host that is asked for, without a port, in lower case: `:authority` of HTTP/2, else the `Host` field.
fn host_of(request: &Request<Incoming>) -> String {
    let field = || request.headers().get(HOST)?.to_str().ok();
    let authority =
        request.uri().authority().map(hyper::http::uri::Authority::as_str).or_else(field).unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.to_ascii_lowercase()
}
