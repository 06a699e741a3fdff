//! The limits that all TCP threads share: connections in all, connections of one client, and who goes when all places are taken.
//!
//! | at the limit | the newcomer | why |
//! | --- | --- | --- |
//! | `per_client` | is closed | a client has had its share |
//! | `connections` | is served; the connection that has waited longest is closed | a few idle clients must not lock others out (RFC 7766, sections 6.1 and 6.2.3; RFC 9210, section 4.2) |
//!
//! Each thread knows the order of its own connections; here it tells only since when its idlest one waits. A newcomer's thread closes its own
//! idlest, or has that of another thread closed: for that moment one connection more than `connections` is open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mio::Waker;

use crate::dns::TcpSettings;

/// A thread without connections has none that waits.
const NOBODY: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Gate {
    connections: usize,
    per_client: usize,
    start: Instant,
    open: Mutex<Open>,
    threads: Vec<Post>,
}

#[derive(Default, Debug)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// What one thread tells the others, and they it.
#[derive(Debug)]
pub(super) struct Post {
    waker: Waker,
    /// Since when its idlest connection waits, in nanoseconds after the start.
    idlest: AtomicU64,
    /// How many of its idlest connections it is to close.
    orders: AtomicUsize,
}

/// What the limits say to a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is a place.
    Place,
    /// There is one once the idlest connection of all is closed, which is with this thread.
    Instead(usize),
    /// The client has had its share.
    Refused,
}

impl Gate {
    pub(super) fn new(settings: &TcpSettings, connections: usize, wakers: Vec<Waker>) -> Self {
        let post = |waker| Post { waker, idlest: AtomicU64::new(NOBODY), orders: AtomicUsize::new(0) };
        Self {
            connections,
            per_client: settings.per_client,
            start: Instant::now(),
            open: Mutex::default(),
            threads: wakers.into_iter().map(post).collect(),
        }
    }

    /// Counts a newcomer, unless it is refused.
    pub(super) fn admit(&self, client: IpAddr) -> Admission {
        let mut open = self.open();
        let of_client = open.by_client.entry(network(client)).or_default();
        // Never 0 after a refusal, so nothing is left behind.
        if *of_client >= self.per_client.max(1) {
            return Admission::Refused;
        }
        *of_client += 1;
        open.all += 1;
        if open.all <= self.connections {
            return Admission::Place;
        }
        drop(open);
        Admission::Instead(self.idlest())
    }

    /// Gives a place back.
    pub(super) fn leave(&self, client: IpAddr) {
        let client = network(client);
        let mut open = self.open();
        open.all = open.all.saturating_sub(1);
        if let Some(of_client) = open.by_client.get_mut(&client) {
            *of_client -= 1;
            if *of_client == 0 {
                open.by_client.remove(&client);
            }
        }
    }

    /// Has another thread close its idlest connection.
    pub(super) fn order(&self, thread: usize) {
        if let Some(post) = self.threads.get(thread) {
            post.orders.fetch_add(1, Ordering::Relaxed);
            self.wake(thread);
        }
    }

    /// Which thread has the connection that has waited longest, as far as it was told.
    pub(super) fn idlest(&self) -> usize {
        let since = |(_, post): &(usize, &Post)| post.idlest.load(Ordering::Relaxed);
        self.threads.iter().enumerate().min_by_key(since).map_or(0, |(thread, _)| thread)
    }

    /// How many connections a thread is to close, as far as there are too many still.
    pub(super) fn orders(&self, thread: usize) -> usize {
        let Some(post) = self.threads.get(thread) else { return 0 };
        match post.orders.swap(0, Ordering::Relaxed) {
            0 => 0,
            orders => orders.min(self.open().all.saturating_sub(self.connections)),
        }
    }

    /// Tells since when a thread's idlest connection waits.
    pub(super) fn tell_idlest(&self, thread: usize, since: Option<Instant>) {
        let since = since.map_or(NOBODY, |since| since.duration_since(self.start).as_nanos() as u64);
        if let Some(post) = self.threads.get(thread) {
            post.idlest.store(since, Ordering::Relaxed);
        }
    }

    pub(super) fn wake_all(&self) {
        (0..self.threads.len()).for_each(|thread| self.wake(thread));
    }

    fn wake(&self, thread: usize) {
        if let Some(post) = self.threads.get(thread)
            && let Err(error) = post.waker.wake()
        {
            tracing::warn!(%error, thread, "a TCP thread cannot be woken");
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one client: an IPv4 address, an IPv6 /56.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 72 << 72).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(connections: usize, per_client: usize) -> Gate {
        let poll = mio::Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        Gate::new(&TcpSettings { per_client, ..TcpSettings::default() }, connections, vec![waker])
    }

    fn client(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_is_an_address_or_a_slash_56() {
        let gate = gate(100, 1);
        for (address, admission) in [
            ("192.0.2.1", Admission::Place),
            ("192.0.2.2", Admission::Place),
            ("::ffff:192.0.2.1", Admission::Refused),
            ("2001:db8::1", Admission::Place),
            ("2001:db8:0:00ff::1", Admission::Refused),
            ("2001:db8:0:0100::1", Admission::Place),
        ] {
            assert_eq!(gate.admit(client(address)), admission, "{address}");
        }
        gate.leave(client("2001:db8:0:7::"));
        assert_eq!(gate.admit(client("2001:db8::2")), Admission::Place);
    }

    #[test]
    fn orders_end_with_the_crowd() {
        let gate = gate(2, 10);
        let one = client("192.0.2.1");
        let admitted: Vec<Admission> = (0..4).map(|_| gate.admit(one)).collect();
        assert_eq!(admitted, [Admission::Place, Admission::Place, Admission::Instead(0), Admission::Instead(0)]);
        gate.order(0);
        gate.order(0);
        gate.leave(one);
        assert_eq!(gate.orders(0), 1, "one of them left by itself");
        gate.leave(one);
        assert_eq!((gate.orders(0), gate.admit(one)), (0, Admission::Instead(0)));
    }
}
