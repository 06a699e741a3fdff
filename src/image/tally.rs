//! The tally: how many answers each candidate of each steered name has given, counted by the threads that answer.
//!
//! A thread counts in an array of its own, on cache lines that no other thread writes, with a plain addition: no lock, no
//! allocation, no atomic addition. What is counted is a cell: one for each steered name, area rule and candidate, and one
//! more for the owner's own records. Cells are numbered when an image is published, so a tally lives as long as the states
//! that hold it; who folds it reads it once more when no thread holds such a state any longer.
//!
//! A cell is 4 octets in each thread's array. It may run over: who folds looks at least once in 2^32 answers and goes by
//! differences. 100,000 names of 3 candidates are 1.6 MB a thread.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

/// Cells in a pair of cache lines: lines are fetched in pairs, so no pair is shared.
const LINE: usize = 32;

/// What an answer counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(NonZeroU32);

impl Cell {
    /// The first of a row of cells, and the one that stands for the owner's own records.
    pub const FIRST: Self = Self(NonZeroU32::MIN);
    /// Of names that nobody counts.
    pub(super) const NONE: Self = Self(NonZeroU32::MAX);

    /// The cell of the candidate with this index, in the row that begins with this one.
    #[inline(always)]
    pub(super) fn of(self, candidate: u16) -> Self {
        Self(self.0.saturating_add(u32::from(candidate) + 1))
    }

    /// So many cells further on.
    #[must_use]
    pub fn after(self, cells: usize) -> Self {
        Self(self.0.saturating_add(u32::try_from(cells).unwrap_or(u32::MAX)))
    }

    /// Its place among all cells.
    #[inline(always)]
    pub fn index(self) -> usize {
        self.0.get() as usize
    }
}

/// The arrays of all threads.
#[derive(Debug, Default)]
pub struct Tally {
    lanes: Box<[Box<[Line]>]>,
    /// Cells before this one exist.
    end: usize,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU32; LINE]);

impl Tally {
    /// For so many threads, and the cells before `end`.
    pub fn new(threads: usize, end: Cell) -> Self {
        let lines = end.index().div_ceil(LINE);
        let lanes = (0..threads).map(|_| (0..lines).map(|_| Line::default()).collect()).collect();
        Self { lanes, end: end.index() }
    }

    /// Counts an answer; to be called with its own number by each thread.
    #[inline(always)]
    pub fn count(&self, thread: usize, cell: Cell) {
        let line = self.lanes.get(thread).and_then(|lines| lines.get(cell.index() / LINE));
        if let Some(count) = line.and_then(|line| line.0.get(cell.index() % LINE)) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// What came to each cell since `seen` was left by the last call, as (index, answers); it begins empty.
    pub fn fold(&self, seen: &mut Vec<u32>) -> Vec<(usize, u32)> {
        seen.resize(self.end, 0);
        let mut news = Vec::new();
        for (index, before) in seen.iter_mut().enumerate() {
            let of = |lines: &[Line]| {
                lines
                    .get(index / LINE)
                    .map_or(0, |line| line.0.get(index % LINE).map_or(0, |count| count.load(Ordering::Relaxed)))
            };
            let now = self.lanes.iter().fold(0_u32, |sum, lines| sum.wrapping_add(of(lines)));
            if now != *before {
                news.push((index, now.wrapping_sub(*before)));
                *before = now;
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_is_folded_once() {
        let row = Cell::FIRST.after(40);
        let tally = Tally::new(2, row.after(4));
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let tally = &tally;
                scope.spawn(move || (0..1000).for_each(|_| tally.count(thread, row.of(2))));
            }
        });
        tally.count(1, row);
        assert_eq!(tally.fold(&mut seen), [(row.index(), 1), (row.index() + 3, 2000)]);
        assert_eq!(tally.fold(&mut seen), []);
        tally.count(0, row.of(0));
        assert_eq!(tally.fold(&mut seen), [(row.index() + 1, 1)]);
    }

    #[test]
    fn what_has_no_place_is_not_counted() {
        let tally = Tally::new(1, Cell::FIRST.after(2));
        tally.count(0, Cell::NONE.of(3));
        tally.count(1, Cell::FIRST);
        Tally::default().count(0, Cell::FIRST);
        assert_eq!(tally.fold(&mut Vec::new()), []);
    }

    #[test]
    fn a_count_may_run_over() {
        let tally = Tally::new(1, Cell::FIRST.after(1));
        tally.lanes[0][0].0[1].store(u32::MAX, Ordering::Relaxed);
        let mut seen = vec![0, u32::MAX - 1];
        tally.count(0, Cell::FIRST);
        assert_eq!(tally.fold(&mut seen), [(1, 2)]);
    }
}
