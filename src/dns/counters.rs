//! What the transports count. Each UDP thread writes counters of its own, on cache lines of their own; a reader folds them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::Reply;

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
    /// TCP connections that are open now.
    pub tcp_open: u64,
    /// TCP connections that were closed at once, since there were too many.
    pub tcp_refused: u64,
}

/// The counters of one thread, or of all TCP connections.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Lane {
    received: AtomicU64,
    rcodes: [AtomicU64; RCODES],
    truncated: AtomicU64,
    dropped: AtomicU64,
    pub(super) unsent: AtomicU64,
}

/// All lanes.
#[derive(Debug)]
pub(super) struct Shared {
    udp: Vec<Lane>,
    pub(super) tcp: Lane,
    pub(super) tcp_open: AtomicU64,
    pub(super) tcp_refused: AtomicU64,
}

impl Lane {
    /// Counts one message and what became of it.
    pub(super) fn count(&self, reply: Reply) {
        self.received.fetch_add(1, Ordering::Relaxed);
        match reply {
            Reply::Silence => _ = self.dropped.fetch_add(1, Ordering::Relaxed),
            Reply::Message { rcode, truncated, .. } => {
                if let Some(count) = self.rcodes.get(usize::from(rcode)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                if truncated {
                    self.truncated.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Shared {
    pub(super) fn new(threads: usize) -> Self {
        let udp = (0..threads).map(|_| Lane::default()).collect();
        Self { udp, tcp: Lane::default(), tcp_open: AtomicU64::new(0), tcp_refused: AtomicU64::new(0) }
    }

    pub(super) fn lane(&self, index: usize) -> &Lane {
        self.udp.get(index).unwrap_or(&self.tcp)
    }

    pub(super) fn fold(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sum = Counters {
            tcp: read(&self.tcp.received),
            tcp_open: read(&self.tcp_open),
            tcp_refused: read(&self.tcp_refused),
            ..Counters::default()
        };
        sum.udp = self.udp.iter().map(|lane| read(&lane.received)).sum();
        for lane in self.udp.iter().chain([&self.tcp]) {
            sum.rcodes.iter_mut().zip(&lane.rcodes).for_each(|(sum, count)| *sum += read(count));
            sum.truncated += read(&lane.truncated);
            sum.dropped += read(&lane.dropped);
            sum.unsent += read(&lane.unsent);
        }
        sum
    }
}
