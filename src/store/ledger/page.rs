//! A page: one hour or one day that is over, as a file that is written once.
//!
//! ```text
//! "PMPAGE" (6)  version (1)  length of the accounts (4)  their checksum (8)  accounts
//! checksum of what follows (8)
//! how many different times, each time in milliseconds, the most frequent first
//! per account:  which of those times  answers
//! ```
//!
//! All numbers but checksums and the length are `octets.rs`'. Names under few policies have few different times: the whole hour, a
//! quarter of it. So an account whose name decided nothing new in the hour takes 1 octet and its answers, which are 2 up to
//! 16,383 of them. Which accounts there are stands apart, since a start asks for that alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use super::Damage;
use super::octets::{put, put_accounts, take, take_accounts};
use crate::steer::ledger::Line;
use crate::store::value::checksum;

const MARK: &[u8; 6] = b"PMPAGE";
const VERSION: u8 = 1;
/// Mark, version, length and checksum.
const HEAD: usize = 19;

/// Lines that run no longer, in the order of accounts.
pub(super) fn encode(lines: &[Line]) -> Vec<u8> {
    let mut accounts = Vec::new();
    put_accounts(&mut accounts, lines.iter().map(|line| line.account));
    let mut body = Vec::with_capacity(lines.len() * 4);
    let times = times(lines);
    put(&mut body, times.len() as u64);
    times.iter().for_each(|time| put(&mut body, *time));
    let places: HashMap<u64, u64> = times.iter().copied().zip(0..).collect();
    for line in lines {
        put(&mut body, places.get(&line.millis).copied().unwrap_or(0));
        put(&mut body, line.answers);
    }
    let mut octets = [&MARK[..], &[VERSION]].concat();
    octets.extend_from_slice(&u32::try_from(accounts.len()).unwrap_or(u32::MAX).to_le_bytes());
    octets.extend_from_slice(&checksum(MARK, &accounts).to_le_bytes());
    octets.extend_from_slice(&accounts);
    octets.extend_from_slice(&checksum(MARK, &body).to_le_bytes());
    octets.extend_from_slice(&body);
    octets
}

/// The different times, the most frequent first.
fn times(lines: &[Line]) -> Vec<u64> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    lines.iter().for_each(|line| *counts.entry(line.millis).or_default() += 1);
    let mut times: Vec<(usize, u64)> = counts.into_iter().map(|(time, count)| (count, time)).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.into_iter().map(|(_, time)| time).collect()
}

pub(super) fn decode(octets: &[u8]) -> Result<Vec<Line>, Damage> {
    let (accounts, rest) = head(octets)?;
    let (sum, mut body) = rest.split_first_chunk::<8>().ok_or(Damage::Octets("it is cut short"))?;
    if checksum(MARK, body).to_le_bytes() != *sum {
        return Err(Damage::Octets("its checksum is wrong"));
    }
    let count = take(&mut body)?;
    let times = (0..count).map(|_| take(&mut body)).collect::<Result<Vec<u64>, Damage>>()?;
    let mut lines = Vec::new();
    for account in accounts.into_iter().flatten() {
        let place = usize::try_from(take(&mut body)?).ok();
        let millis = place.and_then(|place| times.get(place)).ok_or(Damage::Octets("a time in it is not there"))?;
        lines.push(Line { account, millis: *millis, answers: take(&mut body)?, running: None });
    }
    Ok(lines)
}

/// The accounts that a page tells of, and what follows them.
fn head(octets: &[u8]) -> Result<(Vec<Range<u32>>, &[u8]), Damage> {
    let short = || Damage::Octets("it is cut short");
    let (length, sum) = lengths(octets)?;
    let (accounts, rest) = octets.get(HEAD..).and_then(|rest| rest.split_at_checked(length)).ok_or_else(short)?;
    if checksum(MARK, accounts).to_le_bytes() != sum {
        return Err(Damage::Octets("the checksum of its accounts is wrong"));
    }
    Ok((take_accounts(&mut &accounts[..])?, rest))
}

fn lengths(octets: &[u8]) -> Result<(usize, [u8; 8]), Damage> {
    let short = || Damage::Octets("it is cut short");
    let (begin, rest) = octets.split_first_chunk::<7>().ok_or_else(short)?;
    match begin {
        [mark @ .., VERSION] if mark == MARK => {}
        [mark @ .., other] if mark == MARK => return Err(Damage::Version(*other)),
        _ => return Err(Damage::Octets("it is no page")),
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let sum = rest.first_chunk::<8>().ok_or_else(short)?;
    Ok((u32::from_le_bytes(*length) as usize, *sum))
}

pub(super) fn read(path: &Path) -> Result<Vec<Line>, Damage> {
    decode(&std::fs::read(path)?)
}

/// The accounts that a page tells of; no more of it is read.
pub(super) fn accounts(path: &Path) -> Result<Vec<Range<u32>>, Damage> {
    let mut file = File::open(path)?;
    let mut octets = vec![0; HEAD];
    file.read_exact(&mut octets).map_err(|why| match why.kind() {
        io::ErrorKind::UnexpectedEof => Damage::Octets("it is cut short"),
        _ => why.into(),
    })?;
    let (length, _) = lengths(&octets)?;
    file.take(length as u64).read_to_end(&mut octets)?;
    Ok(head(&octets)?.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::steer::ledger::HOUR;

    proptest! {
        #[test]
        fn a_page_reads_as_it_was_written_and_no_other_way(
            lines in prop::collection::btree_map(0..3_000_u32, (0..HOUR, prop_oneof![Just(0), any::<u64>()]), 0..60),
            at: prop::sample::Index,
        ) {
            let lines: Vec<Line> = lines.into_iter()
                .map(|(account, (millis, answers))| Line { account, millis, answers, running: None }).collect();
            let mut octets = encode(&lines);
            prop_assert_eq!(&decode(&octets).unwrap(), &lines);
            prop_assert!(decode(&octets[..at.index(octets.len())]).is_err());
            let at = at.index(octets.len());
            octets[at] ^= 1;
            prop_assert!(decode(&octets).is_err());
        }
    }

    #[test]
    fn an_hour_without_a_decision_is_three_octets_an_account() {
        let line = |account| Line { account, millis: HOUR / u64::from(1 + account % 3), answers: 500, running: None };
        let octets = encode(&(0..3000).map(line).collect::<Vec<Line>>());
        assert!(octets.len() < 9000 + 50, "{}", octets.len());
    }
}
