//! The JSON API: what the controller tells, and the orders of operators, over HTTP/1.1.
//!
//! It is a thin house. It asks the controller through one bounded channel and never sees its state; what comes back are
//! the documents of `controller::view`, written out as they are. A controller that is silent for 2 s is a 503. No query
//! passes through here: when the API is overrun or dead, answers go on.
//!
//! | method | path | what |
//! | --- | --- | --- |
//! | GET | `/` | this list |
//! | GET | `/health` | the verdict on everything, `application/health+json`; 503 when it is `fail` |
//! | GET | `/livez` | 200 while the process and its controller run |
//! | GET | `/readyz` | 200 while it serves a zone and the first round of probes is over, else 503 with the reason |
//! | GET | `/v1/status` | the state in short |
//! | GET | `/v1/providers` | providers with what is believed of their candidates |
//! | GET | `/v1/names` | all steered names with their candidates |
//! | GET | `/v1/names/{name}` | one of them |
//! | GET | `/v1/zones` | zones, and what is wrong with their files |
//! | GET | `/v1/events` | history, newest first: `subject`, `kind`, `since`, `until`, `before`, `limit` |
//! | GET | `/v1/explain` | what would be answered, and why: `name`, `type`, `client`; or what was: `name`, `at` |
//! | GET | `/v1/jurisdiction` | seconds and answers by name, provider and home: `from`, `to`, `name` |
//! | GET | `/v1/drills` | what is scheduled, and records of drills, newest first: `before`, `limit` |
//! | GET | `/v1/drills/{id}` | the record of one; whether a client was in it: `client` |
//! | GET | `/v1/overrides` | overrides in force |
//! | POST | `/v1/overrides` | drain, pin, freeze, drill; with `dry_run` what it would move |
//! | DELETE | `/v1/overrides/{id or subject}` | release, with `reason` |
//! | POST | `/v1/reload` | read configuration and zones again |
//! | GET | `/metrics` | for Prometheus |
//!
//! HEAD goes wherever GET does. Failures are `application/problem+json`. A query parameter that a route does not know
//! is a failure that names it, so that a slip of the pen never means "everything".
//!
//! # Two ways in
//!
//! The **control socket** in the data folder, mode 0660: the kernel says who is there, so nobody needs a token, and it
//! works when the network does not. **TCP**, on loopback unless configured otherwise: anybody who reaches it may read;
//! what changes state needs a token of the token file. Either way the author is recorded. A browser is kept out in three
//! ways: `Host` must be an address or name that we go by (else 421: a foreign name that points here is DNS rebinding),
//! there are no CORS fields, and no cookie or ambient login counts for anything.
//!
//! # Limits
//!
//! [`Limits`] has a number for each: connections, the time for a head, a request and a stalled write, the size of heads
//! and bodies. Each way in has its own connections, so that a crowd on TCP cannot lock out the operator.

mod accept;
mod ask;
mod author;
mod change;
mod drills;
pub mod health;
mod host;
mod jurisdiction;
pub mod metrics;
mod params;
pub mod problem;
mod read;
mod routes;
mod scrape;
pub mod span;
pub mod subject;
pub mod token;

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::token::{TokenError, Tokens};
use crate::controller::message::Sender;

pub use self::author::Peer;
pub use self::metrics::Renderer;
pub use self::routes::ROUTES;

/// Connections that the kernel keeps for us before they are accepted.
const BACKLOG: i32 = 128;
/// Mode of the control socket: the owner and the group.
const SOCKET_MODE: u32 = 0o660;

/// What the API needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Names that clients may use in `Host`, beside loopback and the address they came to: `NAME` or `NAME:PORT`.
    pub hosts: Vec<String>,
    /// The control socket.
    pub socket: PathBuf,
    /// Made with a random token if it is not there.
    pub token_file: PathBuf,
    pub limits: Limits,
}

impl Settings {
    /// The defaults for a data folder.
    pub fn in_folder(data: &Path) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8053)),
            hosts: Vec::new(),
            socket: data.join("control.sock"),
            token_file: data.join("token"),
            limits: Limits::default(),
        }
    }
}

/// How much a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections over TCP at one time; more wait in the backlog.
    pub connections: usize,
    /// The same for the control socket.
    pub control_connections: usize,
    /// From the first moment, or the end of the last answer, to the end of a request's head.
    pub head_time: Duration,
    /// From the end of the head to the beginning of the answer; a reload may take longer.
    pub request_time: Duration,
    /// How long an answer may wait for a client that does not read.
    pub stalled_write: Duration,
    /// Octets of a request's head, and header fields in it.
    pub head_octets: usize,
    pub head_fields: usize,
    /// Octets of a request's body.
    pub body_octets: usize,
    /// What a stop waits for requests in flight.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            control_connections: 32,
            head_time: Duration::from_secs(5),
            request_time: Duration::from_secs(5),
            stalled_write: Duration::from_secs(5),
            head_octets: 16 * 1024,
            head_fields: 64,
            body_octets: 64 * 1024,
            stop_time: Duration::from_secs(3),
        }
    }
}

/// Why the API does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the control socket {} cannot be made: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("another server answers at {}; give this one its own --data", .0.display())]
    InUse(PathBuf),
    #[error("`{0}` in `hosts` of the API is neither NAME nor NAME:PORT")]
    Host(String),
    #[error("the token file cannot be used: {0}")]
    Token(#[from] TokenError),
}

/// Sockets that are bound, before anything is served. Dropping it closes them.
#[derive(Debug)]
pub struct Bound {
    tcp: TcpListener,
    address: SocketAddr,
    control: ControlSocket,
    tokens: Tokens,
    settings: Settings,
}

/// What the handlers share: the way to the controller, and what guards it.
pub(crate) struct Shared {
    controller: Sender,
    tokens: Tokens,
    metrics: Renderer,
    hosts: Vec<String>,
    limits: Limits,
}

/// Opens both sockets and the token file. Needs no runtime; folders that are missing are made with mode 0750.
pub fn bind(settings: &Settings) -> Result<Bound, BindError> {
    if let Some(host) = settings.hosts.iter().find(|text| !host::can_be_configured(text)) {
        return Err(BindError::Host(host.clone()));
    }
    let control = ControlSocket::bind(&settings.socket)?;
    let token_folder = settings.token_file.parent().map_or(Ok(()), make_folder);
    token_folder.map_err(|source| TokenError::Io { path: settings.token_file.clone(), source })?;
    let tokens = Tokens::open(&settings.token_file)?;
    let listen = |source| BindError::Listen { address: settings.listen, source };
    let tcp = bind_tcp(settings.listen).map_err(listen)?;
    let address = tcp.local_addr().map_err(listen)?;
    Ok(Bound { tcp, address, control, tokens, settings: settings.clone() })
}

impl Bound {
    /// The TCP address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets requests in flight end, for [`Limits::stop_time`] at most. Call it inside a runtime.
    /// `metrics` renders what the process has counted, in Prometheus' text format.
    pub fn serve(self, controller: Sender, metrics: Renderer, stop: CancellationToken) -> JoinHandle<()> {
        let Self { tcp, address, control, tokens, settings } = self;
        let Settings { hosts, limits, .. } = settings;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the API listens beyond loopback: whoever reaches it can read the state");
        }
        let shared = Arc::new(Shared { controller, tokens, metrics, hosts, limits });
        tokio::spawn(accept::run(tcp, control, shared, stop))
    }
}

/// The control socket; its file goes when this does.
#[derive(Debug)]
struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    fn bind(path: &Path) -> Result<Self, BindError> {
        let error = |source| BindError::Socket { path: path.to_owned(), source };
        path.parent().map_or(Ok(()), make_folder).map_err(error)?;
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(error)?;
        socket.bind(&SockAddr::unix(path).map_err(error)?).map_err(error)?;
        // The mode comes before `listen`: until then nobody can connect.
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(error)?;
        socket.listen(BACKLOG).map_err(error)?;
        socket.set_nonblocking(true).map_err(error)?;
        let inode = fs::symlink_metadata(path).map_err(error)?.ino();
        Ok(Self { listener: UnixListener::from(std::os::fd::OwnedFd::from(socket)), path: path.to_owned(), inode })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Not the socket of a server that came after us.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket that a server which is gone left behind; nothing else.
fn clear(path: &Path) -> Result<(), BindError> {
    let error = |source| BindError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(other) => Err(error(other)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(error(io::Error::new(io::ErrorKind::AlreadyExists, "something else stands there")))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(error),
            Err(other) => Err(error(other)),
            Ok(_) => Err(BindError::InUse(path.to_owned())),
        },
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the last connections of the one before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o750).create(folder)
}
