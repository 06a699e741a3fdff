//! Who waits since when: the seats of a thread's connections, in two lines that keep the order of time.
//!
//! ```text
//!   idle     first -> ... -> last     waits for its client's next query: `since` the last one that was answered
//!   unread   first -> ... -> last     waits for its client to take answers: `since` they began to wait
//! ```
//!
//! All of a line have the same time to live, so its first is always the next that is over, and the one that has waited longest: no timer for each
//! connection, no search. Every step is O(1).

use std::time::Instant;

/// No seat.
const NONE: u32 = u32::MAX;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Idle,
    Unread,
}

/// Connections by number, each in one of the lines.
#[derive(Debug)]
pub(super) struct Seats<T> {
    seats: Vec<Seat<T>>,
    free: Vec<u32>,
    idle: Ends,
    unread: Ends,
}

#[derive(Debug)]
struct Seat<T> {
    /// None: a free seat.
    taken: Option<T>,
    line: Line,
    since: Instant,
    before: u32,
    behind: u32,
}

#[derive(Debug)]
struct Ends {
    first: u32,
    last: u32,
}

impl<T> Seats<T> {
    pub(super) fn new() -> Self {
        let none = || Ends { first: NONE, last: NONE };
        Self { seats: Vec::new(), free: Vec::new(), idle: none(), unread: none() }
    }

    /// Seats a newcomer at the end of the idle line; its number stays the same until it leaves.
    pub(super) fn take(&mut self, newcomer: T, now: Instant) -> u32 {
        let seat = Seat { taken: Some(newcomer), line: Line::Idle, since: now, before: NONE, behind: NONE };
        let number = self.free.pop().unwrap_or(self.seats.len() as u32);
        match self.seats.get_mut(number as usize) {
            Some(free) => *free = seat,
            None => self.seats.push(seat),
        }
        self.append(number);
        number
    }

    /// Frees a seat, and hands out who sat there.
    pub(super) fn leave(&mut self, number: u32) -> Option<T> {
        let left = self.seats.get_mut(number as usize)?.taken.take()?;
        self.unlink(number);
        self.free.push(number);
        Some(left)
    }

    /// Sends a connection to the end of a line, as of now.
    pub(super) fn queue(&mut self, number: u32, line: Line, now: Instant) {
        if self.at(number).is_none() {
            return;
        }
        self.unlink(number);
        if let Some(seat) = self.seats.get_mut(number as usize) {
            (seat.line, seat.since) = (line, now);
        }
        self.append(number);
    }

    /// Who sits there, and in which line.
    pub(super) fn at(&mut self, number: u32) -> Option<(&mut T, Line)> {
        let seat = self.seats.get_mut(number as usize)?;
        Some((seat.taken.as_mut()?, seat.line))
    }

    /// Who has waited longest in a line.
    pub(super) fn first(&self, line: Line) -> Option<(u32, Instant)> {
        let number = self.ends(line).first;
        Some((number, self.seats.get(number as usize)?.since))
    }

    /// Who has waited longest of all: for a next query if anybody does, else for answers to be taken.
    pub(super) fn idlest(&self) -> Option<(u32, Instant)> {
        self.first(Line::Idle).or_else(|| self.first(Line::Unread))
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        (0..).zip(&self.seats).filter(|(_, seat)| seat.taken.is_some()).map(|(number, _)| number).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    fn ends(&self, line: Line) -> &Ends {
        match line {
            Line::Idle => &self.idle,
            Line::Unread => &self.unread,
        }
    }

    fn ends_mut(&mut self, line: Line) -> &mut Ends {
        match line {
            Line::Idle => &mut self.idle,
            Line::Unread => &mut self.unread,
        }
    }

    /// Puts a seat that is in no line at the end of its own.
    fn append(&mut self, number: u32) {
        let Some(seat) = self.seats.get(number as usize) else { return };
        let ends = self.ends_mut(seat.line);
        let last = std::mem::replace(&mut ends.last, number);
        if last == NONE {
            ends.first = number;
        }
        if let Some(last) = self.seats.get_mut(last as usize) {
            last.behind = number;
        }
        if let Some(seat) = self.seats.get_mut(number as usize) {
            (seat.before, seat.behind) = (last, NONE);
        }
    }

    /// Takes a seat out of its line.
    fn unlink(&mut self, number: u32) {
        let Some(seat) = self.seats.get(number as usize) else { return };
        let (line, before, behind) = (seat.line, seat.before, seat.behind);
        match self.seats.get_mut(before as usize) {
            Some(before) => before.behind = behind,
            None => self.ends_mut(line).first = behind,
        }
        match self.seats.get_mut(behind as usize) {
            Some(behind) => behind.before = before,
            None => self.ends_mut(line).last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The lines are what two plain queues are.
        #[test]
        fn lines_keep_the_order_of_time(steps in prop::collection::vec((0..4_u8, 0..8_usize), 0..200)) {
            let start = Instant::now();
            let mut seats = Seats::new();
            let (mut idle, mut unread) = (VecDeque::new(), VecDeque::new());
            for (step, (action, pick)) in steps.into_iter().enumerate() {
                let now = start + Duration::from_secs(step as u64);
                let all: Vec<(u32, Instant)> = idle.iter().chain(&unread).copied().collect();
                let picked = all.get(pick % all.len().max(1)).copied();
                let mut forget = |number: u32| {
                    idle.retain(|(other, _)| *other != number);
                    unread.retain(|(other, _)| *other != number);
                };
                match (action, picked) {
                    (0, _) => idle.push_back((seats.take(step, now), now)),
                    (_, None) => {}
                    (1, Some((number, _))) => {
                        forget(number);
                        prop_assert!(seats.leave(number).is_some());
                        prop_assert!(seats.leave(number).is_none(), "nobody leaves twice");
                        seats.queue(number, Line::Idle, now);
                    }
                    (2, Some((number, _))) => {
                        forget(number);
                        idle.push_back((number, now));
                        seats.queue(number, Line::Idle, now);
                    }
                    (_, Some((number, _))) => {
                        forget(number);
                        unread.push_back((number, now));
                        seats.queue(number, Line::Unread, now);
                    }
                }
                prop_assert_eq!(seats.first(Line::Idle), idle.front().copied());
                prop_assert_eq!(seats.first(Line::Unread), unread.front().copied());
                prop_assert_eq!(seats.idlest(), idle.front().or(unread.front()).copied());
                prop_assert_eq!(seats.len(), idle.len() + unread.len());
                prop_assert_eq!(seats.numbers().len(), seats.len());
            }
            while let Some((number, since)) = seats.idlest() {
                let front = if idle.is_empty() { unread.pop_front() } else { idle.pop_front() };
                prop_assert_eq!(Some((number, since)), front);
                seats.leave(number);
            }
            prop_assert_eq!(seats.len(), 0);
        }
    }
}
