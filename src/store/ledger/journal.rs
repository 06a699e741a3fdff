//! The journal: the open hour, as records that are appended.
//!
//! ```text
//! "PMBOOK" (6)  version (1)  record  record  ...
//! record:  length (4)  checksum (8)  what it says
//! ```
//!
//! The first record says all of the hour until then, and the runs before this one. Each further one says what is new: lines in place of
//! those before, and answers that came to others. A record whose length or checksum is wrong ends the journal: it is what a
//! crash left of the last write. Numbers are `octets.rs`'.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Damage;
use super::files::is_none;
use super::octets::{put, put_accounts, take, take_accounts, take_small};
use crate::steer::ledger::{HOUR, Line, Open, Run, Running};
use crate::steer::time::Time;
use crate::store::value::checksum;

const MARK: &[u8; 7] = b"PMBOOK\x01";
const CLEAN: u64 = 1;
const LACKING: u64 = 2;

/// What a journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) hour: u32,
    pub(super) runs: Vec<Run>,
    pub(super) lines: BTreeMap<u32, Line>,
    /// Octets at its end that are no record.
    pub(super) torn: usize,
}

/// A journal that begins: `open` is the whole hour, `runs` are all, the one that goes on last.
pub(super) fn begin(open: &Open, runs: &[Run]) -> Vec<u8> {
    let mut says = Vec::new();
    put(&mut says, open.hour.into());
    put(&mut says, runs.len() as u64);
    runs.iter().for_each(|run| put_run(&mut says, run));
    put_lines(&mut says, open);
    [&MARK[..], &record(&says)].concat()
}

/// What is appended.
pub(super) fn next(open: &Open, run: &Run) -> Vec<u8> {
    let mut says = Vec::new();
    put_run(&mut says, run);
    put_lines(&mut says, open);
    record(&says)
}

fn record(says: &[u8]) -> Vec<u8> {
    let length = u32::try_from(says.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&length[..], &checksum(MARK, says).to_le_bytes(), says].concat()
}

fn put_run(says: &mut Vec<u8>, run: &Run) {
    put(says, run.from.0);
    put(says, run.until.0.saturating_sub(run.from.0));
    put(says, if run.clean { CLEAN } else { 0 } | if run.lacking { LACKING } else { 0 });
}

fn take_run(says: &mut &[u8]) -> Result<Run, Damage> {
    let from = Time(take(says)?);
    let until = Time(from.0.saturating_add(take(says)?));
    let marks = take(says)?;
    Ok(Run { from, until, clean: marks & CLEAN != 0, lacking: marks & LACKING != 0 })
}

fn put_lines(says: &mut Vec<u8>, open: &Open) {
    let begin = u64::from(open.hour) * HOUR;
    put_accounts(says, open.lines.iter().map(|line| line.account));
    for line in &open.lines {
        put(says, line.millis * 2 + u64::from(line.running.is_some()));
        put(says, line.answers);
        if let Some(Running { since, points: (from, to) }) = line.running {
            put(says, since.0.saturating_sub(begin));
            put(says, from.into());
            put(says, to.into());
        }
    }
    put_accounts(says, open.answers.iter().map(|(account, _)| *account));
    open.answers.iter().for_each(|(_, answers)| put(says, *answers));
}

impl Book {
    fn take_lines(&mut self, says: &mut &[u8]) -> Result<(), Damage> {
        let begin = u64::from(self.hour) * HOUR;
        for account in take_accounts(says)?.into_iter().flatten() {
            let head = take(says)?;
            let (millis, answers) = (head / 2, take(says)?);
            let running = match head % 2 {
                0 => None,
                _ => {
                    let since = Time(begin.saturating_add(take(says)?));
                    Some(Running { since, points: (take_small(says)?, take_small(says)?) })
                }
            };
            self.lines.insert(account, Line { account, millis, answers, running });
        }
        for account in take_accounts(says)?.into_iter().flatten() {
            let line = self.lines.entry(account).or_insert(Line { account, ..Line::default() });
            line.answers = line.answers.saturating_add(take(says)?);
        }
        Ok(())
    }

    fn take_first(&mut self, mut says: &[u8]) -> Result<(), Damage> {
        self.hour = take_small(&mut says)?;
        for _ in 0..take(&mut says)? {
            self.runs.push(take_run(&mut says)?);
        }
        self.take_lines(&mut says)
    }

    fn take_next(&mut self, mut says: &[u8]) -> Result<(), Damage> {
        let run = take_run(&mut says)?;
        match self.runs.last_mut().filter(|last| last.from == run.from) {
            Some(last) => *last = run,
            None => self.runs.push(run),
        }
        self.take_lines(&mut says)
    }
}

/// Reads a journal, up to the first octet that is none of a record.
///
/// # Errors
/// What it begins with is damaged, or of another version.
pub(super) fn decode(octets: &[u8]) -> Result<Book, Damage> {
    let mut rest = match octets.split_first_chunk::<7>() {
        Some((MARK, rest)) => rest,
        Some(([mark @ .., other], _)) if *mark == MARK[..6] => return Err(Damage::Version(*other)),
        _ => return Err(Damage::Octets("it is no journal")),
    };
    let mut book = Book::default();
    let first = take_record(&mut rest).ok_or(Damage::Octets("its first record is damaged"))?;
    book.take_first(first)?;
    while let Some(says) = take_record(&mut rest) {
        book.take_next(says)?;
    }
    book.torn = rest.len();
    Ok(book)
}

fn take_record<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (sum, after) = after.split_first_chunk::<8>()?;
    let (says, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (checksum(MARK, says).to_le_bytes() == *sum).then(|| {
        *rest = after;
        says
    })
}

/// Reads the file; none where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Book>, Damage> {
    match fs::read(path) {
        Ok(octets) => decode(&octets).map(Some),
        Err(why) if is_none(why.kind()) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_NUMBER: u32 = 490_000;

    fn opens() -> impl Strategy<Value = Open> {
        let time = 0..HOUR;
        let points = (0..65_536_u32, 0..65_537_u32).prop_map(|(a, b)| (a.min(b), a.max(b)));
        let since = time.clone().prop_map(|time| Time(u64::from(HOUR_NUMBER) * HOUR + time));
        let running = prop::option::of((since, points).prop_map(|(since, points)| Running { since, points }));
        let lines = prop::collection::btree_map(0..40_u32, (time, 0..1_000_u64, running), 0..20);
        (lines, prop::collection::btree_map(0..40_u32, 1..1_000_u64, 0..20)).prop_map(|(lines, answers)| {
            let line = |(account, (millis, answers, running))| Line { account, millis, answers, running };
            Open {
                hour: HOUR_NUMBER,
                whole: false,
                lines: lines.into_iter().map(line).collect(),
                answers: answers.into_iter().collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn cut_at_any_octet_it_says_what_its_whole_records_do(opens in prop::collection::vec(opens(), 1..5)) {
            let run = |until: usize| Run { from: Time(5), until: Time(6 + until as u64), clean: false, lacking: until == 2 };
            let (mut model, mut states, mut ends) = (Book { hour: HOUR_NUMBER, ..Book::default() }, Vec::new(), Vec::new());
            let mut octets = Vec::new();
            for (at, open) in opens.iter().enumerate() {
                octets.extend(if at == 0 { begin(open, &[run(0)]) } else { next(open, &run(at)) });
                model.lines.extend(open.lines.iter().map(|line| (line.account, *line)));
                for (account, answers) in &open.answers {
                    model.lines.entry(*account).or_insert(Line { account: *account, ..Line::default() }).answers += answers;
                }
                model.runs = vec![run(at)];
                states.push(model.clone());
                ends.push(octets.len());
            }
            for cut in 0..=octets.len() {
                let whole = ends.iter().filter(|end| **end <= cut).count();
                match decode(&octets[..cut]) {
                    Err(_) => prop_assert_eq!(whole, 0),
                    Ok(book) => {
                        prop_assert_eq!(book.torn, cut - ends[whole - 1]);
                        prop_assert_eq!(Book { torn: 0, ..book }, states[whole - 1].clone());
                    }
                }
            }
        }

        #[test]
        fn what_is_no_journal_is_no_panic(octets: Vec<u8>) {
            drop(decode(&[&MARK[..], &record(&octets)].concat()));
        }
    }
}
