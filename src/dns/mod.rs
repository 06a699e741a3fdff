//! Sockets: the UDP loop and the TCP accept loop, both on the one function from question to answer.
//!
//! ```text
//!   UDP   a std thread a socket (SO_REUSEPORT): receive, answer, send          counters of its own
//!   TCP   one accept loop an address, a task a connection: frames in, frames out
//!               both read:  ArcSwap<Published>
//! ```

mod bind;
mod counters;
mod numbers;
mod sys;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::bind::{BindError, Bound, bind};
pub use self::counters::Counters;
use self::counters::Shared;
use crate::image::published::Published;

/// Where to listen, and how much may be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// UDP and TCP both. Port 0 is a free port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP threads, each with a socket for each address; at least 1.
    pub threads: usize,
    pub tcp: TcpSettings,
}

/// Limits on TCP (RFC 7766, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Connections in all; further ones are closed at once.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, an IPv6 /56.
    pub per_client: usize,
    /// Time for the next whole query, the first one too.
    pub idle: Duration,
    /// Time for a client to take the answers that wait for it.
    pub unread: Duration,
    /// Octets of answers that may wait for one client before its next query is read.
    pub pending: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { listen: vec![SocketAddr::from(([127, 0, 0, 1], 5300))], threads, tcp: TcpSettings::default() }
    }
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            connections: 1000,
            per_client: 50,
            idle: Duration::from_secs(10),
            unread: Duration::from_secs(10),
            pending: 16 * 1024,
        }
    }
}

/// The transports at work. Dropping it stops nothing; [`Running::stop`] does.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Bound {
    /// Starts answering. Call it inside a tokio runtime: TCP runs on that, UDP on threads of its own.
    ///
    /// # Errors
    /// A thread cannot be started, or a listener not be registered with the runtime.
    pub fn serve(self, published: Arc<ArcSwap<Published>>) -> io::Result<Running> {
        let addresses = self.addresses();
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let shared = Arc::new(Shared::new(self.udp.len()));
        let tasks = TaskTracker::new();
        let mut threads = Vec::new();
        for (index, socket) in self.udp.into_iter().enumerate() {
            threads.push(udp::start(index, socket, published.clone(), shared.clone(), stop.clone())?);
        }
        let gate = Arc::new(tcp::Gate::new(&self.tcp_settings, published, shared.clone(), stop.clone(), abort.clone()));
        for listener in self.tcp {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tasks.spawn(tcp::accept(listener, gate.clone(), tasks.clone()));
        }
        tasks.close();
        Ok(Running { addresses, shared, threads, tasks, stop, abort })
    }
}

impl Running {
    /// The addresses that are listened on, free ports filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.shared.fold()
    }

    /// A reader of the counters that outlives this handle.
    pub fn reader(&self) -> impl Fn() -> Counters + Send + Sync + 'static + use<> {
        let shared = self.shared.clone();
        move || shared.fold()
    }

    /// Stops taking connections, answers what was received, closes. Connections that are not done after `grace` are cut.
    pub async fn stop(self, grace: Duration) {
        self.stop.cancel();
        let threads = self.threads;
        let udp = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
        drop(udp.await);
    }
}
