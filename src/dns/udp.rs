//! The UDP loop: a std thread for each socket, which blocks, answers, sends, and shares nothing that is written.
//!
//! # What a datagram costs
//!
//! Nearly all of it is the kernel's: on a quiet loopback 1.8 us for receiving and sending one in a batch, 1.9 us alone. Of our own time, which
//! is what batches save (0.12 us of 0.13 us in a responder that does nothing), the answer takes nine tenths; what stands around it
//! is some 85 instructions a datagram of a full batch, counted by callgrind:
//!
//! | step | where | how it is kept small |
//! | --- | --- | --- |
//! | into the kernel and out again | `recvmmsg`, `sendmmsg` | twice for a batch of 32, not twice for a query |
//! | headers, names, buffers | [`Batch`] | laid out once; only lengths are set again; answers lie one behind the other |
//! | what is published | [`Cache`] | loaded once a batch: one comparison, no count that cores fight for |
//! | the client | [`Batch::next`] | its address alone is read; the name goes back as it came |
//! | the answer | [`answer`] | a look-up, see `image/` |
//! | counting | [`Lane`] | plain additions on a line of the thread's own |
//!
//! # Batches never wait
//!
//! A thread waits for its first datagram and takes what else is there (`MSG_WAITFORONE`). So a batch is one query on an idle server, which is
//! answered at once, and grows by itself to 32 when the thread falls behind: the more there is to do, the less each costs. No timer
//! and no threshold decides.
//!
//! # What is slow
//!
//! Nothing is yet. All that the answer function says is a look-up, which cannot wait, so this loop has no way aside. Where an answer
//! ever needs more (an update, a transfer, a signature of the moment), its query leaves the batch for a task of its own.
//!
//! # The end
//!
//! A socket that is closed takes the queries that it holds along. So the thread first shuts the door: it connects the socket to itself, after
//! which the system gives it nothing new and refuses clients at once; then it answers what is inside, and closes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use tokio_util::sync::CancellationToken;

use super::counters::Lane;
use super::numbers::Numbers;
use super::sys::{self, Batch};
use crate::image::published::Published;
use crate::image::{Reply, Transport, answer};

/// How long a thread without queries waits before it looks whether it is to stop, and what is published now.
const WAKE: Duration = Duration::from_millis(200);
/// Pause after an error of the system, so that a lasting one does not spin.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a socket that takes no more waits for a datagram that was on its way into it.
const LAST_DATAGRAM: Duration = Duration::from_millis(2);
/// How long a thread that is to stop answers what its socket still holds, at most.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Starts a thread for a socket, on `core` alone if there is one.
pub(super) fn start(
    index: usize,
    socket: Arc<UdpSocket>,
    core: Option<usize>,
    published: Arc<ArcSwap<Published>>,
    lane: Arc<Lane>,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    socket.set_read_timeout(Some(WAKE))?;
    let address = socket.local_addr()?;
    std::thread::Builder::new().name(format!("udp-{index}")).spawn(move || {
        if let Some(Err(error)) = core.map(sys::pin) {
            tracing::warn!(%error, core, "a UDP thread cannot be pinned: it runs wherever there is time");
        }
        let batch = Batch::new(address.is_ipv6(), address.ip().is_unspecified());
        let mut worker = Worker { socket, batch, published: Cache::new(published), numbers: Numbers::new(), lane };
        // The answer path does not panic; if it did, it would cost one answer and neither its batch nor a thread.
        while catch_unwind(AssertUnwindSafe(|| worker.run(&stop))).is_err() {
            tracing::error!("an answer panicked");
        }
        worker.lane.keep_drops(&worker.socket);
    })
}

struct Worker {
    socket: Arc<UdpSocket>,
    batch: Batch,
    published: Cache<Arc<ArcSwap<Published>>, Arc<Published>>,
    numbers: Numbers,
    lane: Arc<Lane>,
}

impl Worker {
    fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.turn() {
                Ok(()) => {}
                // Who is not asked holds no old image.
                Err(error) if waits(&error) => {
                    self.published.load();
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        self.end();
    }

    /// Receives, answers and sends a batch. An error is one of receiving.
    fn turn(&mut self) -> io::Result<()> {
        // After a panic the rest of a batch is still there.
        if self.batch.is_over() {
            self.batch.receive(&self.socket)?;
        }
        let published = self.published.load();
        while let Some((query, client, out)) = self.batch.next() {
            let reply = answer(published, query, client, Transport::Udp, self.numbers.next(), out);
            self.lane.count(reply, &published.tally);
            if let Reply::Message { len, .. } = reply {
                self.batch.answer(len);
            }
        }
        self.lane.count_unsent(self.batch.send(&self.socket));
        Ok(())
    }

    /// Shuts the door, and answers all who are inside.
    fn end(&mut self) {
        let until = Instant::now() + LAST_ANSWERS;
        // Should the door not shut, what comes after the last look is lost.
        drop(self.shut());
        if self.socket.set_read_timeout(Some(LAST_DATAGRAM)).is_ok() {
            while Instant::now() < until {
                match self.turn() {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                    _ => {}
                }
            }
        }
    }

    /// Connects the socket to itself. It keeps what it holds and can send to anyone, but the system gives it no more datagrams: those go to the
    /// other sockets of the port while there are some, and are refused after, so that their clients ask elsewhere at once.
    fn shut(&self) -> io::Result<()> {
        let mut own = self.socket.local_addr()?;
        match own {
            SocketAddr::V4(address) if address.ip().is_unspecified() => own.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SocketAddr::V6(address) if address.ip().is_unspecified() => own.set_ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            _ => {}
        }
        self.socket.connect(own)
    }
}

/// Whether there was just nothing to receive.
fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Settings, bind};

    #[test]
    fn the_system_spreads_clients_over_the_threads() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let settings =
            Settings { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], threads: 2, ..Settings::default() };
        let bound = bind(&settings).expect("loopback is free");
        let (to, shared) = (bound.addresses()[0], bound.shared.clone());
        let running = runtime.block_on(async { bound.serve(Arc::default()) }).expect("started");
        // All of 64 clients with one thread: one chance in 2^63.
        for _ in 0..64 {
            let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
            client.send_to(&[0; 12], to).expect("sent");
            client.recv(&mut [0; 512]).expect("an answer");
        }
        runtime.block_on(running.stop(Duration::from_secs(20)));
        let counts: Vec<u64> = shared.udp_lanes().map(|lane| lane.received()).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert_eq!(counts.iter().sum::<u64>(), 64);
    }
}
