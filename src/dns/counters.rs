//! What the transports count. Each UDP thread writes counters of its own, on cache lines of their own; a reader folds them.
//!
//! One thread alone writes a UDP lane, so it counts with a plain addition in memory: an atomic one would lock its line each time, at some 20
//! cycles. What the kernel dropped is asked of the socket when somebody reads, and of its thread once that has ended and closed it.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::sys;
use crate::image::Reply;
use crate::image::tally::Tally;

/// Response codes that are told apart: 0 to 23, as far as the registry goes (RFC 6895, section 2.3).
pub const RCODES: usize = 24;

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages received over UDP.
    pub udp: u64,
    /// Messages received over TCP.
    pub tcp: u64,
    /// Answers by response code.
    pub rcodes: [u64; RCODES],
    /// Answers with TC.
    pub truncated: u64,
    /// Messages that no answer is due to.
    pub dropped: u64,
    /// Answers that the system did not take.
    pub unsent: u64,
    /// Datagrams that the kernel dropped before anybody saw them, since a UDP socket's receive buffer was full.
    pub udp_dropped: u64,
    /// TCP connections that are open now.
    pub tcp_open: u64,
    /// TCP connections that were closed at once, since their client had too many.
    pub tcp_refused: u64,
    /// TCP connections that were closed to make room for newcomers: those that had waited longest.
    pub tcp_evicted: u64,
}

/// The counters of one thread, which alone writes them. Lines are fetched in pairs, so no pair is shared.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Lane {
    /// Among the lanes of all threads.
    number: usize,
    received: AtomicU64,
    rcodes: [AtomicU64; RCODES],
    truncated: AtomicU64,
    dropped: AtomicU64,
    unsent: AtomicU64,
    /// What the kernel had dropped when the socket was closed.
    kernel_dropped: AtomicU64,
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Shared {
    udp: Vec<Udp>,
    /// By TCP thread.
    tcp: Vec<Arc<Lane>>,
    pub(super) tcp_open: AtomicU64,
    pub(super) tcp_refused: AtomicU64,
    pub(super) tcp_evicted: AtomicU64,
}

/// One UDP thread.
#[derive(Debug)]
struct Udp {
    lane: Arc<Lane>,
    /// Its thread closes it when it ends; no reader of counters keeps it open.
    socket: Weak<UdpSocket>,
}

impl Lane {
    /// Counts one message and what became of it.
    pub(super) fn count(&self, reply: Reply, tally: &Tally) {
        add(&self.received, 1);
        match reply {
            Reply::Silence => add(&self.dropped, 1),
            Reply::Message { rcode, truncated, cell, .. } => {
                // A truncated one carries no records: its client asks again over TCP.
                if let (Some(cell), false) = (cell, truncated) {
                    tally.count(self.number, cell);
                }
                if let Some(count) = self.rcodes.get(usize::from(rcode)) {
                    add(count, 1);
                }
                if truncated {
                    add(&self.truncated, 1);
                }
            }
        }
    }

    /// Answers that the system did not take.
    pub(super) fn count_unsent(&self, answers: u64) {
        if answers > 0 {
            add(&self.unsent, answers);
        }
    }

    /// To be called by the thread of the socket, before it closes it.
    pub(super) fn keep_drops(&self, socket: &UdpSocket) {
        self.kernel_dropped.store(drops(socket), Ordering::Release);
    }

    /// Messages received.
    #[cfg(test)]
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Adds where nobody else writes.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl Udp {
    fn kernel_dropped(&self) -> u64 {
        match self.socket.upgrade() {
            Some(socket) => drops(&socket),
            None => self.lane.kernel_dropped.load(Ordering::Acquire),
        }
    }
}

/// A system too old to tell (Linux before 4.12) counts none.
fn drops(socket: &UdpSocket) -> u64 {
    sys::drops(socket).unwrap_or_default().into()
}

impl Shared {
    /// With these UDP sockets, and so many TCP threads.
    pub(super) fn new(sockets: &[Arc<UdpSocket>], tcp: usize) -> Self {
        let lane = |number| Arc::new(Lane { number, ..Lane::default() });
        let udp = sockets.iter().enumerate();
        let udp = udp.map(|(number, socket)| Udp { lane: lane(number), socket: Arc::downgrade(socket) }).collect();
        let tcp = (sockets.len()..sockets.len() + tcp).map(lane).collect();
        Self { udp, tcp, ..Self::default() }
    }

    /// The lanes of the UDP threads, in the order of the sockets.
    pub(super) fn udp_lanes(&self) -> impl Iterator<Item = Arc<Lane>> {
        self.udp.iter().map(|udp| udp.lane.clone())
    }

    /// The lanes of the TCP threads.
    pub(super) fn tcp_lanes(&self) -> impl Iterator<Item = Arc<Lane>> {
        self.tcp.iter().cloned()
    }

    /// How many threads there are.
    pub(super) fn lanes(&self) -> usize {
        self.udp.len() + self.tcp.len()
    }

    pub(super) fn fold(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sum = Counters {
            tcp: self.tcp.iter().map(|lane| read(&lane.received)).sum(),
            tcp_open: read(&self.tcp_open),
            tcp_refused: read(&self.tcp_refused),
            tcp_evicted: read(&self.tcp_evicted),
            ..Counters::default()
        };
        sum.udp = self.udp.iter().map(|udp| read(&udp.lane.received)).sum();
        sum.udp_dropped = self.udp.iter().map(Udp::kernel_dropped).sum();
        for lane in self.udp.iter().map(|udp| &udp.lane).chain(&self.tcp) {
            sum.rcodes.iter_mut().zip(&lane.rcodes).for_each(|(sum, count)| *sum += read(count));
            sum.truncated += read(&lane.truncated);
            sum.dropped += read(&lane.dropped);
            sum.unsent += read(&lane.unsent);
        }
        sum
    }
}
