//! One connection's turn: frames in, answers out, and nothing kept but what is left over.
//!
//! ```text
//!   the thread's Desk            the connection
//!   [ ... partial | read 16 KiB ]   <- input    the begin of a query whose end has not come, or queries that wait for room
//!   [ answers, `pending` + 64 KiB ]  -> output   answers that the client has not taken yet
//! ```
//!
//! A turn reads what the system has, answers all whole queries in it, and writes the answers with one call. Since an answer is a look-up, none is
//! ever slow, and answers leave in the order of their questions (RFC 7766, section 6.2.1.1). While answers wait for the client nothing more is
//! read. So a client makes the server hold at most `pending` and one answer of 64 KiB, and one query of 64 KiB or one read; an idle one nothing.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwap;
use mio::net::TcpStream;

use crate::dns::counters::Lane;
use crate::dns::numbers::Numbers;
use crate::image::published::Published;
use crate::image::{MAX_TCP, Reply, Transport, answer};

/// Octets that are asked for at a time.
const READ: usize = 16 * 1024;
/// Room before them for the begin of a query: all of the longest but its last octet, or a read that could not be answered yet.
const HEAD: usize = 2 + u16::MAX as usize;
/// Reads in a turn, so that a client that sends without end leaves the others theirs.
const READS: usize = 8;

/// What a thread's connections share: room to read to and to answer in, and what is answered with.
pub(super) struct Desk {
    input: Box<[u8]>,
    output: Box<[u8]>,
    pending: usize,
    /// Loaded for the queries of one read and let go of after them: a thread that nobody asks holds no old image.
    published: Arc<ArcSwap<Published>>,
    numbers: Numbers,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) client: IpAddr,
    /// What was read and not yet answered.
    input: Vec<u8>,
    /// Answers that were not yet written.
    output: Vec<u8>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whether there was a query that an answer is due to.
    pub(super) answered: bool,
    pub(super) then: Then,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// More to read.
    Read,
    /// Room to write.
    Write,
    /// Its next turn: there may be more to read, but others are due.
    Turn,
    /// Nothing: its client has ended it, and has its answers.
    End,
}

impl Desk {
    pub(super) fn new(pending: usize, published: Arc<ArcSwap<Published>>) -> Self {
        Self {
            input: vec![0; HEAD + READ].into(),
            output: vec![0; pending + 2 + MAX_TCP].into(),
            pending,
            published,
            numbers: Numbers::new(),
        }
    }

    /// Answers one query behind `end`: where its answer ends, the same if none is due.
    fn answer(
        &mut self,
        published: &Published,
        query: (usize, usize),
        client: IpAddr,
        end: usize,
        lane: &Lane,
    ) -> usize {
        let query = self.input.get(query.0..query.1).unwrap_or_default();
        let number = self.numbers.next();
        let Some((prefix, out)) = self.output.get_mut(end..).and_then(|rest| rest.split_at_mut_checked(2)) else {
            return end;
        };
        // The answer path does not panic; if it did, it would cost one answer and not a thread.
        let reply = catch_unwind(AssertUnwindSafe(|| answer(published, query, client, Transport::Tcp, number, out)));
        let reply = reply.unwrap_or_else(|_| {
            tracing::error!("an answer panicked");
            Reply::Silence
        });
        lane.count(reply, &published.tally);
        match reply {
            Reply::Silence => end,
            Reply::Message { len, .. } => {
                prefix.copy_from_slice(&(len as u16).to_be_bytes());
                end + 2 + len
            }
        }
    }

    /// Lays what a connection had left over before the `got` octets that were just read. The place where both begin; none if all of it is still
    /// only a part of a query, and then the connection has it.
    fn join(&mut self, left: &mut Vec<u8>, got: usize) -> Option<usize> {
        let read = self.input.get(HEAD..HEAD + got).unwrap_or_default();
        let mut octets = left.iter().chain(read);
        let whole = match (octets.next(), octets.next()) {
            (Some(high), Some(low)) => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => usize::MAX,
        };
        if left.len() + got < whole {
            // Nothing of a long query that comes in small parts is copied twice.
            left.extend_from_slice(read);
            return None;
        }
        let from = HEAD.checked_sub(left.len())?;
        self.input.get_mut(from..HEAD)?.copy_from_slice(left);
        *left = Vec::new();
        Some(from)
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, client: IpAddr) -> Self {
        Self { stream, client, input: Vec::new(), output: Vec::new() }
    }

    /// Whether answers wait for the client to take them.
    pub(super) fn is_unread(&self) -> bool {
        !self.output.is_empty()
    }

    /// Writes, reads and answers as far as it goes without waiting.
    ///
    /// The system tells of what arrives once. A read that was not filled has taken all of it, and spares asking again; `to_the_end` asks
    /// again nevertheless, where something may have been told meanwhile, or the end of the stream was.
    pub(super) fn turn(&mut self, desk: &mut Desk, lane: &Lane, to_the_end: bool) -> io::Result<Turn> {
        let mut turn = Turn { answered: false, then: Then::Turn };
        self.write_rest()?;
        let (mut got, mut reads) = (0, 0);
        loop {
            if !self.is_unread()
                && let Some(from) = desk.join(&mut self.input, got)
            {
                turn.answered |= self.answer_all(desk, lane, from, HEAD + got)?;
            }
            if self.is_unread() {
                return Ok(Turn { then: Then::Write, ..turn });
            }
            if reads > 0 && got < READ && !to_the_end {
                return Ok(Turn { then: Then::Read, ..turn });
            }
            if reads == READS {
                return Ok(turn);
            }
            reads += 1;
            got = match read(&mut self.stream, desk.input.get_mut(HEAD..).unwrap_or_default()) {
                Ok(0) => return Ok(Turn { then: Then::End, ..turn }),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Turn { then: Then::Read, ..turn });
                }
                Err(error) => return Err(error),
            };
        }
    }

    /// Answers all whole queries from `from` to `to` on the desk, keeps the rest; whether there was one that an answer is due to.
    fn answer_all(&mut self, desk: &mut Desk, lane: &Lane, from: usize, to: usize) -> io::Result<bool> {
        let (mut at, mut end, mut answered) = (from, 0, false);
        let published = desk.published.load();
        while let Some(len) = frame(desk.input.get(at..to).unwrap_or_default()) {
            let after = desk.answer(&published, (at + 2, at + 2 + len), self.client, end, lane);
            answered |= after > end;
            (at, end) = (at + 2 + len, after);
            if end >= desk.pending {
                self.write(desk.output.get(..end).unwrap_or_default())?;
                end = 0;
                if self.is_unread() {
                    break;
                }
            }
        }
        self.write(desk.output.get(..end).unwrap_or_default())?;
        self.input.extend_from_slice(desk.input.get(at..to).unwrap_or_default());
        Ok(answered)
    }

    /// Writes answers; keeps what the client does not take. Nothing may be kept from before.
    fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            match self.stream.write(octets) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => octets = octets.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.output = octets.to_vec();
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what was kept.
    fn write_rest(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.output);
        self.write(&rest)
    }
}

/// The length of the first query, if it is whole.
fn frame(octets: &[u8]) -> Option<usize> {
    let (prefix, rest) = octets.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes(*prefix));
    (rest.len() >= len).then_some(len)
}

/// A read that a signal broke off is done again: it says nothing of the connection.
fn read(stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Broken off twice, then an octet.
    struct Interrupted(usize);

    impl Read for Interrupted {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 <= 2 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            into[0] = 7;
            Ok(1)
        }
    }

    #[test]
    fn a_read_that_is_broken_off_is_done_again() {
        let mut octets = [0; 4];
        assert_eq!(read(&mut Interrupted(0), &mut octets).expect("an octet"), 1);
        assert_eq!(octets, [7, 0, 0, 0]);
    }
}
