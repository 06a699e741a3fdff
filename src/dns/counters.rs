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
    /// TCP connections that were closed at once, since their client had too many.
    pub tcp_refused: u64,
    /// TCP connections that were closed to make room for newcomers: those that had waited longest.
    pub tcp_evicted: u64,
}

/// The counters of one thread.
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
#[derive(Debug, Default)]
pub(super) struct Shared {
    udp: Vec<Lane>,
    tcp: Vec<Lane>,
    /// For threads that are none of these.
    spare: Lane,
    pub(super) tcp_open: AtomicU64,
    pub(super) tcp_refused: AtomicU64,
    pub(super) tcp_evicted: AtomicU64,
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
    /// With so many UDP threads, and so many TCP threads.
    pub(super) fn new(udp: usize, tcp: usize) -> Self {
        let lanes = |threads| (0..threads).map(|_| Lane::default()).collect();
        Self { udp: lanes(udp), tcp: lanes(tcp), ..Self::default() }
    }

    pub(super) fn lane(&self, index: usize) -> &Lane {
        self.udp.get(index).unwrap_or(&self.spare)
    }

    pub(super) fn tcp_lane(&self, index: usize) -> &Lane {
        self.tcp.get(index).unwrap_or(&self.spare)
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
        sum.udp = self.udp.iter().map(|lane| read(&lane.received)).sum();
        for lane in self.udp.iter().chain(&self.tcp) {
            sum.rcodes.iter_mut().zip(&lane.rcodes).for_each(|(sum, count)| *sum += read(count));
            sum.truncated += read(&lane.truncated);
            sum.dropped += read(&lane.dropped);
            sum.unsent += read(&lane.unsent);
        }
        sum
    }
}
