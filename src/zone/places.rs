//! Where each record stands in the texts: four octets a record, and more only where that does not tell all.
//!
//! Kept is where a record begins, counted through all files of the zone (`Sources::base`). Where it ends is found by
//! reading its tokens again, which happens only for what is told. A record that begins inside parentheses cannot be read
//! again from its beginning: the end of such a one is kept.

use std::collections::BTreeMap;

use super::lexer::{Kind, Lexer};
use super::log::Place;
use super::sources::Sources;

/// One place for each record, in the order of the records.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub starts: Vec<u32>,
    /// The ends of records that begin inside parentheses, by their start.
    ends: BTreeMap<u32, u32>,
}

/// The place of a record that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub place: Place,
    /// It begins inside parentheses.
    pub enclosed: bool,
}

impl Places {
    pub(super) fn with_capacity(records: usize) -> Self {
        Self { starts: Vec::with_capacity(records), ends: BTreeMap::new() }
    }

    /// Of the next record. `base` is that of its file.
    #[inline]
    pub(super) fn push(&mut self, spot: Spot, base: u32) {
        let start = base + spot.place.start;
        if spot.enclosed {
            self.ends.insert(start, spot.place.end);
        }
        self.starts.push(start);
    }

    /// Tells which of two records came first; not where, across files.
    pub(super) fn start(&self, at: usize) -> u32 {
        self.starts.get(at).copied().unwrap_or(0)
    }

    pub(super) fn of(&self, at: usize, sources: &Sources) -> Option<Place> {
        let start = *self.starts.get(at)?;
        let (file, base) = sources.file_at(start);
        let begin = start - base;
        let end = self.ends.get(&start).copied().unwrap_or_else(|| end(sources.octets(file), begin));
        Some(Place { file, start: begin, end })
    }
}

/// Where the record that begins at `start` ends.
fn end(text: &[u8], start: u32) -> u32 {
    let mut lexer = Lexer::new(text.get(start as usize..).unwrap_or_default());
    while !matches!(lexer.next().kind, Kind::Newline | Kind::End | Kind::Fault(_)) {}
    start + lexer.taken()
}
