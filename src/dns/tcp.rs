//! TCP: an accept loop that nothing ends but a stop, and a task for each connection (RFC 7766).
//!
//! A connection reads what has come, answers all whole queries in it, writes the answers in one go, and reads on. Since an answer is a look-up,
//! none is ever slow, and answers leave in the order of their questions. What waits for a client that does not read is bounded by `pending` and one
//! message; while it waits nothing more is read, and after `unread` the connection is cut.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::TcpSettings;
use super::counters::Shared;
use super::numbers::Numbers;
use crate::image::published::Published;
use crate::image::{MAX_TCP, Reply, Transport, answer};

/// Pause after an error that lasts, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for octets that have arrived, but were not told of yet.
const LAST_READ: Duration = Duration::from_millis(50);
/// Octets that are asked for at a time; a longer query grows the buffer to its size.
const READ: usize = 2048;

thread_local! {
    /// Room for one answer. Connections that wait need none.
    static ANSWER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_TCP].into());
}

/// What all connections share.
pub(super) struct Gate {
    settings: TcpSettings,
    published: Arc<ArcSwap<Published>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    abort: CancellationToken,
    /// Open connections by client.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place; given back when dropped.
struct Place {
    gate: Arc<Gate>,
    client: IpAddr,
}

impl Gate {
    pub(super) fn new(
        settings: &TcpSettings,
        published: Arc<ArcSwap<Published>>,
        shared: Arc<Shared>,
        stop: CancellationToken,
        abort: CancellationToken,
    ) -> Self {
        Self { settings: settings.clone(), published, shared, stop, abort, clients: Mutex::default() }
    }

    /// A place for one more connection, if the limits leave one.
    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = network(client);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let open = clients.values().sum::<usize>();
        let of_client = clients.entry(client).or_default();
        if open >= self.settings.connections || *of_client >= self.settings.per_client {
            clients.retain(|_, open| *open > 0);
            self.shared.tcp_refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *of_client += 1;
        self.shared.tcp_open.fetch_add(1, Ordering::Relaxed);
        Some(Place { gate: self.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.gate.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
        self.gate.shared.tcp_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one client: an IPv4 address, an IPv6 /56.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() >> 72 << 72).into(),
    }
}

/// Takes connections until the stop.
pub(super) async fn accept(listener: TcpListener, gate: Arc<Gate>, tasks: TaskTracker) {
    let stop = gate.stop.clone();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                failing = false;
                if let Some(place) = gate.admit(client.ip()) {
                    let gate = gate.clone();
                    tasks.spawn(async move {
                        // How a connection ended is its client's matter.
                        drop(serve(stream, client.ip(), &gate).await);
                        drop(place);
                    });
                }
            }
            // A connection that went before it was taken is no fault of the listener.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                // Once, not ten times a second as long as it lasts.
                if !failing {
                    tracing::warn!(%error, "cannot take a TCP connection");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, client: IpAddr, gate: &Gate) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, client, input: Vec::new(), output: Vec::new(), numbers: Numbers::new() };
    tokio::select! {
        () = gate.abort.cancelled() => Ok(()),
        ended = connection.run(gate) => ended,
    }
}

struct Connection {
    stream: TcpStream,
    client: IpAddr,
    /// What was read and not yet answered.
    input: Vec<u8>,
    /// Answers that were not yet written.
    output: Vec<u8>,
    numbers: Numbers,
}

impl Connection {
    async fn run(&mut self, gate: &Gate) -> io::Result<()> {
        let mut deadline = Instant::now() + gate.settings.idle;
        loop {
            let open = tokio::select! {
                biased;
                open = timeout_at(deadline, self.read()) => open??,
                () = gate.stop.cancelled() => return self.last_words(gate).await,
            };
            // Only queries that are answered win time.
            if self.answer_all(gate).await? {
                deadline = Instant::now() + gate.settings.idle;
            }
            if !open {
                return self.stream.shutdown().await;
            }
        }
    }

    /// Answers what the system holds already, and closes.
    async fn last_words(&mut self, gate: &Gate) -> io::Result<()> {
        while let Ok(Ok(true)) = timeout(LAST_READ, self.read()).await {
            self.answer_all(gate).await?;
        }
        self.stream.shutdown().await
    }

    /// Reads what there is; false at the end of the stream.
    async fn read(&mut self) -> io::Result<bool> {
        self.input.reserve(READ);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    /// Answers all whole queries that were read; whether there was one that an answer is due to.
    async fn answer_all(&mut self, gate: &Gate) -> io::Result<bool> {
        let (mut at, mut answered) = (0, false);
        while let Some(len) = frame(&self.input, at) {
            answered |= self.answer_one(gate, at + 2, at + 2 + len);
            at += 2 + len;
            if self.output.len() >= gate.settings.pending {
                self.flush(gate.settings.unread).await?;
            }
        }
        self.input.drain(..at);
        self.flush(gate.settings.unread).await?;
        // A connection that waits holds no room for what it once carried.
        self.input.shrink_to(READ);
        self.output.shrink_to(READ);
        Ok(answered)
    }

    /// Whether the message is a query, which an answer is due to.
    fn answer_one(&mut self, gate: &Gate, from: usize, to: usize) -> bool {
        let query = self.input.get(from..to).unwrap_or_default();
        let number = self.numbers.next();
        ANSWER.with_borrow_mut(|out| {
            let reply = answer(&gate.published.load(), query, self.client, Transport::Tcp, number, out);
            gate.shared.tcp.count(reply);
            if let Reply::Message { len, .. } = reply {
                let octets = out.get(..len).unwrap_or_default();
                self.output.extend_from_slice(&(octets.len() as u16).to_be_bytes());
                self.output.extend_from_slice(octets);
            }
            matches!(reply, Reply::Message { .. })
        })
    }

    async fn flush(&mut self, limit: Duration) -> io::Result<()> {
        if !self.output.is_empty() {
            timeout(limit, self.stream.write_all(&self.output)).await??;
            self.output.clear();
        }
        Ok(())
    }
}

/// The length of the whole query whose length field is at `at`.
fn frame(input: &[u8], at: usize) -> Option<usize> {
    let len = usize::from(u16::from_be_bytes([*input.get(at)?, *input.get(at + 1)?]));
    (input.len() >= at + 2 + len).then_some(len)
}
