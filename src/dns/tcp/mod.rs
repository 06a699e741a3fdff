//! TCP: a thread a core, each with a listener for each address and the connections that came to it (RFC 7766).
//!
//! ```text
//!   thread 0   listeners (SO_REUSEPORT)   epoll   Desk   Seats: connections, those that wait longest first
//!   thread 1   ...                                                              \
//!                                                                 Gate: limits over all threads
//! ```
//!
//! The system spreads connections over the listeners; a connection stays with its thread, so that no query crosses threads. The thread sleeps
//! until something is ready, and gives each ready connection a turn (`connection.rs`): one call to read, one to write. A connection that
//! waits is a seat of some hundred octets, without buffers, task or timer.
//!
//! A connection that had no query answered for `idle`, or has not taken its answers for `unread`, is closed; octets of a query that does not end
//! win no time. To stop, a thread takes the connections and the queries that the system holds already, and ends when their answers are taken.

mod connection;
mod gate;
mod seats;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio_util::sync::CancellationToken;

use self::connection::{Connection, Desk, Then, Turn};
use self::gate::{Admission, Gate};
use self::seats::{Line, Seats};
use super::TcpSettings;
use super::counters::{Lane, Shared};
use super::descriptors;
use crate::image::published::Published;

/// Pause after an error that lasts, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Times that are over are looked for this much later, so that many end together.
const SLACK: Duration = Duration::from_millis(20);
/// How long a thread that is to stop answers clients that send without end.
const LAST_ANSWERS: Duration = Duration::from_millis(100);
/// Connections that are taken at a time, so that a flood of them leaves the others their turns.
const ACCEPTS: usize = 64;
/// Events that are fetched at a time.
const EVENTS: usize = 256;
/// Listeners have the numbers from 0 on, connections those from here on.
const CONNECTIONS: usize = 1 << 32;
const WAKER: Token = Token(usize::MAX);

/// What the threads are started with.
pub(super) struct Parts {
    pub(super) settings: TcpSettings,
    pub(super) published: Arc<ArcSwap<Published>>,
    pub(super) shared: Arc<Shared>,
    /// Ends the threads, once what was received is answered.
    pub(super) stop: CancellationToken,
    /// Ends them at once.
    pub(super) abort: CancellationToken,
}

/// The threads at work.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) handles: Vec<JoinHandle<()>>,
    gate: Arc<Gate>,
}

/// Starts a thread for each set of listeners.
pub(super) fn start(listeners: Vec<Vec<std::net::TcpListener>>, parts: &Parts) -> io::Result<Threads> {
    let polls = listeners.iter().map(|_| Poll::new()).collect::<io::Result<Vec<Poll>>>()?;
    let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), WAKER)).collect::<io::Result<Vec<Waker>>>()?;
    let connections = descriptors::make_room(parts.settings.connections);
    let gate = Arc::new(Gate::new(&parts.settings, connections, wakers));
    let mut handles = Vec::new();
    let lanes = parts.shared.tcp_lanes();
    for (index, ((poll, listeners), lane)) in polls.into_iter().zip(listeners).zip(lanes).enumerate() {
        let mut worker = Worker::new((index, lane), poll, listeners, parts, gate.clone())?;
        handles.push(std::thread::Builder::new().name(format!("tcp-{index}")).spawn(move || worker.run())?);
    }
    Ok(Threads { handles, gate })
}

impl Threads {
    /// Has the threads look at the tokens.
    pub(super) fn wake(&self) {
        self.gate.wake_all();
    }
}

/// One thread.
struct Worker {
    index: usize,
    /// Its own counters.
    lane: Arc<Lane>,
    poll: Poll,
    listeners: Vec<TcpListener>,
    /// When to ask the listeners again though nothing was told of them.
    accept_at: Option<Instant>,
    /// Whether the last connection could not be taken, which was logged then.
    failing: bool,
    seats: Seats<Connection>,
    /// Connections that are due for another turn.
    due: Vec<u32>,
    desk: Desk,
    gate: Arc<Gate>,
    settings: TcpSettings,
    shared: Arc<Shared>,
    stop: CancellationToken,
    abort: CancellationToken,
    /// The time of this round.
    now: Instant,
}

impl Worker {
    fn new(
        (index, lane): (usize, Arc<Lane>),
        poll: Poll,
        listeners: Vec<std::net::TcpListener>,
        parts: &Parts,
        gate: Arc<Gate>,
    ) -> io::Result<Self> {
        let mut listeners: Vec<TcpListener> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (number, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(number), Interest::READABLE)?;
        }
        Ok(Self {
            index,
            lane,
            poll,
            listeners,
            accept_at: None,
            failing: false,
            seats: Seats::new(),
            due: Vec::new(),
            desk: Desk::new(parts.settings.pending, parts.published.clone()),
            gate,
            settings: parts.settings.clone(),
            shared: parts.shared.clone(),
            stop: parts.stop.clone(),
            abort: parts.abort.clone(),
            now: Instant::now(),
        })
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stop.is_cancelled() {
            self.round(&mut events);
        }
        self.last_answers();
        self.close_answered();
        while !self.abort.is_cancelled() && self.seats.len() > 0 {
            self.round(&mut events);
            self.close_answered();
        }
    }

    /// Waits until something is ready, and does it.
    fn round(&mut self, events: &mut Events) {
        if let Err(error) = self.poll.poll(events, self.patience())
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "a TCP thread cannot wait");
            std::thread::sleep(PAUSE);
        }
        self.now = Instant::now();
        for event in events.iter() {
            match event.token() {
                WAKER => {}
                Token(number) => match number.checked_sub(CONNECTIONS) {
                    Some(number) => self.ready(number as u32, event),
                    None => self.accept_at = Some(self.now),
                },
            }
        }
        self.due.sort_unstable();
        self.due.dedup();
        for number in std::mem::take(&mut self.due) {
            self.turn(number, true);
        }
        if self.accept_at.is_some_and(|at| at <= self.now) {
            self.accept_at = self.accept();
        }
        for _ in 0..self.gate.orders(self.index) {
            self.obey();
        }
        self.end_times();
        self.tell_idlest();
    }

    /// How long there is nothing to do if nothing happens.
    fn patience(&self) -> Option<Duration> {
        if !self.due.is_empty() {
            return Some(Duration::ZERO);
        }
        let left = |line, limit: Duration| {
            let (_, since) = self.seats.first(line)?;
            Some(limit.saturating_sub(self.now.duration_since(since)).saturating_add(SLACK))
        };
        let accept = self.accept_at.map(|at| at.saturating_duration_since(self.now));
        [left(Line::Idle, self.settings.idle), left(Line::Unread, self.settings.unread), accept]
            .into_iter()
            .flatten()
            .min()
    }

    /// A turn for a connection that something was told of, unless it waits for something else.
    fn ready(&mut self, number: u32, event: &Event) {
        let Some((connection, _)) = self.seats.at(number) else { return };
        if !connection.is_unread() {
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.turn(number, event.is_read_closed());
            }
        } else if event.is_writable() || event.is_write_closed() || event.is_error() {
            self.turn(number, true);
        }
    }

    fn turn(&mut self, number: u32, to_the_end: bool) {
        let Some((connection, line)) = self.seats.at(number) else { return };
        let turn = connection.turn(&mut self.desk, &self.lane, to_the_end);
        match turn {
            Ok(Turn { then: Then::End, .. }) => self.close(number),
            // Answers that wait since before keep their time.
            Ok(Turn { then: Then::Write, answered }) if line == Line::Idle || answered => {
                self.seats.queue(number, Line::Unread, self.now);
            }
            Ok(Turn { then: Then::Write, .. }) => {}
            Ok(Turn { then, answered }) => {
                // Only queries that are answered win time.
                if answered || line == Line::Unread {
                    self.seats.queue(number, Line::Idle, self.now);
                }
                if then == Then::Turn {
                    self.due.push(number);
                }
            }
            // How a connection ended is its client's matter.
            Err(_) => self.close(number),
        }
    }

    /// Takes connections; when to do so again, if not when told.
    fn accept(&mut self) -> Option<Instant> {
        let mut again = None;
        for number in 0..self.listeners.len() {
            for taken in 0.. {
                if taken == ACCEPTS {
                    again = Some(self.now);
                    break;
                }
                let Some(accepted) = self.listeners.get(number).map(TcpListener::accept) else { break };
                match accepted {
                    Ok((stream, client)) => {
                        self.failing = false;
                        self.admit(Connection::new(stream, client.ip()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A connection that went before it was taken is no fault of the listener.
                    Err(error) if gone(&error) => {}
                    Err(error) => {
                        // Once, not ten times a second as long as it lasts.
                        if !self.failing {
                            tracing::warn!(%error, "cannot take a TCP connection");
                        }
                        self.failing = true;
                        return Some(self.now + PAUSE);
                    }
                }
            }
        }
        again
    }

    fn admit(&mut self, connection: Connection) {
        let client = connection.client;
        match self.gate.admit(client) {
            Admission::Refused => {
                self.shared.tcp_refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Admission::Instead(thread) if thread == self.index => self.close_idlest(),
            Admission::Instead(thread) => self.gate.order(thread),
            Admission::Place => {}
        }
        let number = self.seats.take(connection, self.now);
        // Before it is counted, so that a full house always knows whom to close.
        self.tell_idlest();
        let Some((connection, _)) = self.seats.at(number) else { return };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(CONNECTIONS + number as usize);
        let registered = self.poll.registry().register(&mut connection.stream, token, interest);
        self.shared.tcp_open.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = registered {
            tracing::warn!(%error, "cannot wait for a TCP connection");
            self.close(number);
        }
    }

    fn close(&mut self, number: u32) {
        // Closing takes it out of the poll as well.
        if let Some(connection) = self.seats.leave(number) {
            self.gate.leave(connection.client);
            self.shared.tcp_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Closes the connection that has waited longest, for one that comes.
    fn close_idlest(&mut self) {
        if let Some((number, _)) = self.seats.idlest() {
            self.close(number);
            self.shared.tcp_evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes the idlest connection of all, or passes the order on: since it was given, that may have become one of another thread.
    fn obey(&mut self) {
        self.tell_idlest();
        match self.gate.idlest() {
            thread if thread == self.index => self.close_idlest(),
            thread => self.gate.order(thread),
        }
    }

    /// Closes those whose time is over.
    fn end_times(&mut self) {
        for (line, limit) in [(Line::Idle, self.settings.idle), (Line::Unread, self.settings.unread)] {
            while let Some((number, since)) = self.seats.first(line)
                && self.now.duration_since(since) >= limit
            {
                self.close(number);
            }
        }
    }

    fn tell_idlest(&self) {
        self.gate.tell_idlest(self.index, self.seats.idlest().map(|(_, since)| since));
    }

    /// Closes who waits for no answer.
    fn close_answered(&mut self) {
        while let Some((number, _)) = self.seats.first(Line::Idle) {
            self.close(number);
        }
    }

    /// Takes what the system holds of connections and queries, answers it, and listens no more.
    fn last_answers(&mut self) {
        self.now = Instant::now();
        let until = self.now + LAST_ANSWERS;
        self.accept_at = self.accept();
        while self.accept_at.take().is_some_and(|at| at <= self.now) && Instant::now() < until {
            self.accept_at = self.accept();
        }
        self.listeners.clear();
        self.due = self.seats.numbers();
        while !self.due.is_empty() {
            for number in std::mem::take(&mut self.due) {
                self.turn(number, true);
            }
            if Instant::now() >= until {
                self.due.clear();
            }
        }
    }
}

/// Whether a connection was gone before it was taken.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
