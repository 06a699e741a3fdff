//! The UDP loop: a std thread for each socket, which blocks, answers, sends, and shares nothing that is written.
//!
//! The sockets of one address share its port (SO_REUSEPORT); the system spreads clients over them. To stop, a thread takes what its socket still
//! holds without waiting, answers it, and ends: no query that was received is lost, unless a flood brings more than it can answer meanwhile.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use tokio_util::sync::CancellationToken;

use super::counters::{Lane, Shared};
use super::numbers::Numbers;
use super::sys::{self, Destination};
use crate::image::published::Published;
use crate::image::{MAX_UDP, Reply, Transport, answer};

/// How long a thread without queries waits before it looks whether it is to stop.
const WAKE: Duration = Duration::from_millis(200);
/// The most octets of a query over UDP; what is longer is cut, and then malformed. Larger than any that EDNS needs.
const MAX_QUERY: usize = 4096;
/// Pause after an error of the system, so that a lasting one does not spin.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a thread that is to stop answers what its socket still holds: under a flood there is always more.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// Starts a thread for a socket.
pub(super) fn start(
    index: usize,
    socket: UdpSocket,
    published: Arc<ArcSwap<Published>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    socket.set_read_timeout(Some(WAKE))?;
    let wildcard = socket.local_addr()?.ip().is_unspecified();
    std::thread::Builder::new().name(format!("udp-{index}")).spawn(move || {
        let mut worker = Worker { socket, wildcard, published: Cache::new(published), numbers: Numbers::new() };
        // The answer path does not panic; if it did, it would cost one answer and not a thread.
        while catch_unwind(AssertUnwindSafe(|| worker.run(shared.lane(index), &stop))).is_err() {
            tracing::error!("an answer panicked");
        }
    })
}

struct Worker {
    socket: UdpSocket,
    wildcard: bool,
    published: Cache<Arc<ArcSwap<Published>>, Arc<Published>>,
    numbers: Numbers,
}

impl Worker {
    fn run(&mut self, lane: &Lane, stop: &CancellationToken) {
        let mut query = [0; MAX_QUERY];
        let mut out = [0; MAX_UDP];
        while !stop.is_cancelled() {
            match self.one(&mut query, &mut out, lane) {
                Ok(()) => {}
                Err(error) if waits(&error) => {}
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        if self.socket.set_nonblocking(true).is_ok() {
            let until = Instant::now() + LAST_ANSWERS;
            while Instant::now() < until && self.one(&mut query, &mut out, lane).is_ok() {}
        }
    }

    /// Receives, answers and sends. An error is one of receiving.
    fn one(&mut self, query: &mut [u8], out: &mut [u8], lane: &Lane) -> io::Result<()> {
        let (len, client, destination) = self.receive(query)?;
        let published = self.published.load();
        let query = query.get(..len).unwrap_or_default();
        let reply = answer(published, query, client.ip(), Transport::Udp, self.numbers.next(), out);
        lane.count(reply);
        if let Reply::Message { len, .. } = reply {
            let octets = out.get(..len).unwrap_or_default();
            if self.send(octets, client, destination.as_ref()).is_err() {
                lane.unsent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn receive(&self, query: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<Destination>)> {
        if self.wildcard {
            let (len, client, destination) = sys::receive(&self.socket, query)?;
            return Ok((len, client, Some(destination)));
        }
        let (len, client) = self.socket.recv_from(query)?;
        Ok((len, client, None))
    }

    fn send(&self, octets: &[u8], client: SocketAddr, from: Option<&Destination>) -> io::Result<usize> {
        match from {
            Some(from) => sys::send(&self.socket, octets, client, from),
            None => self.socket.send_to(octets, client),
        }
    }
}

/// Whether there was just nothing to receive.
fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
