//! Sockets: the UDP loop and the TCP accept loop, both on the one function from question to answer.
//!
//! ```text
//!   UDP   a std thread a socket (SO_REUSEPORT): receive a batch, answer, send            counters of its own
//!   TCP   a std thread a core, all its connections in one poll: frames in, frames out    the same
//!               both read:  ArcSwap<Published>
//! ```

mod bind;
mod counters;
mod descriptors;
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

pub use self::bind::{BindError, Bound, bind};
pub use self::counters::Counters;
use self::counters::Shared;
pub use self::sys::{give_back_memory, keep_large_memory_apart, told_when_readable};
use crate::image::published::Published;

/// Where to listen, and how much may be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// UDP and TCP both. Port 0 is a free port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP threads and TCP threads, so many of each, each with a socket for each address; at least 1.
    pub threads: usize,
    /// Octets of queries that the kernel holds for each UDP socket.
    pub receive_buffer: usize,
    /// Whether each UDP thread stays on one core.
    pub pin: bool,
    pub tcp: TcpSettings,
}

/// Limits on TCP (RFC 7766, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Connections in all; for further ones those are closed that have been idle longest. Fewer where the limit of open files is too low.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, an IPv6 /56.
    pub per_client: usize,
    /// Time for the next whole query, the first one too.
    pub idle: Duration,
    /// Time for a client to take the answers that wait for it.
    pub unread: Duration,
    /// Octets of answers that may wait for one client, and one answer more, before its next query is read.
    pub pending: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5300))],
            threads,
            receive_buffer: 4 << 20,
            pin: false,
            tcp: TcpSettings::default(),
        }
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
    tcp: tcp::Threads,
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Bound {
    /// Threads that will answer, each with a number of its own in the published tally.
    pub fn threads(&self) -> usize {
        self.shared.lanes()
    }

    /// A reader of the counters that outlives this, and the server too.
    pub fn reader(&self) -> impl Fn() -> Counters + Clone + Send + Sync + 'static + use<> {
        let shared = self.shared.clone();
        move || shared.fold()
    }

    /// Starts answering, on threads of its own.
    ///
    /// # Errors
    /// A thread cannot be started, or a listener not be polled.
    pub fn serve(self, published: Arc<ArcSwap<Published>>) -> io::Result<Running> {
        let addresses = self.addresses();
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let shared = self.shared;
        let mut threads = Vec::new();
        let lanes = shared.udp_lanes().zip(self.cores);
        for (index, (socket, (lane, core))) in self.udp.into_iter().zip(lanes).enumerate() {
            threads.push(udp::start(index, socket, core, published.clone(), lane, stop.clone())?);
        }
        let (settings, stop_tcp, abort_tcp) = (self.tcp_settings, stop.clone(), abort.clone());
        let parts = tcp::Parts { settings, published, shared: shared.clone(), stop: stop_tcp, abort: abort_tcp };
        let tcp = tcp::start(self.tcp, &parts)?;
        Ok(Running { addresses, shared, threads, tcp, stop, abort })
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
    pub fn reader(&self) -> impl Fn() -> Counters + Clone + Send + Sync + 'static + use<> {
        let shared = self.shared.clone();
        move || shared.fold()
    }

    /// Stops taking connections, answers what was received, closes. Connections that are not done after `grace` are cut.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        self.tcp.wake();
        let joined = |threads: Vec<std::thread::JoinHandle<()>>| {
            tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())))
        };
        let udp = joined(self.threads);
        let mut tcp = joined(std::mem::take(&mut self.tcp.handles));
        if tokio::time::timeout(grace, &mut tcp).await.is_err() {
            self.abort.cancel();
            self.tcp.wake();
            drop(tcp.await);
        }
        drop(udp.await);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Instant;

    use super::*;

    /// An image may be hundreds of MiB: no thread keeps the one before until somebody asks it.
    #[test]
    fn threads_that_nobody_asks_let_go_of_what_was_published_before() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let bound = bind(&Settings { listen, threads: 2, ..Settings::default() }).expect("loopback is free");
        let published: Arc<ArcSwap<Published>> = Arc::default();
        let first: Weak<Published> = Arc::downgrade(&published.load());
        let running = runtime.block_on(async { bound.serve(published.clone()) }).expect("started");
        published.store(Arc::default());
        let limit = Instant::now() + Duration::from_secs(20);
        while first.strong_count() > 0 && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(first.strong_count(), 0, "so many threads hold it still");
        runtime.block_on(running.stop(Duration::from_secs(20)));
    }
}
