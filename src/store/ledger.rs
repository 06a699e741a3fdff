//! The ledger's pages: how they are written, and what they say of a time.
//!
//! A page is the version (1), then numbers, each as 7-bit groups, the lowest first (LEB128):
//!
//! ```text
//! whole                                    milliseconds of the account that has most: nearly all have these or none
//! per account:
//!   step * 2 + runs    missing  answers    step from the number of the account before; missing = whole - milliseconds
//!   if it runs:        since  from  to     milliseconds after the hour began; points
//! ```
//!
//! So an account whose provider served the whole hour without a question is three octets.
//!
//! A question about a time takes the pages of whole days for whole days that are over, and those of hours at the ends.
//! Hours are kept for 32 days: last month can be told by the hour until the end of the next report. Days are kept for 400:
//! a year and the time to ask for it.

use std::collections::{BTreeMap, HashMap};

use super::key::{EntryKey, Kind, page_kind};
use super::value::{self, Illegible, Joining, VERSION};
use crate::steer::ledger::{Account, BLOCK, DAY, HOUR, KeptLedger, Line, Page, PageKey, Run, Running, Span, number};
use crate::steer::time::Time;

/// Hours are kept for so many days.
pub const HOURS_KEPT: u32 = 32;
/// Days are kept for so many.
pub const DAYS_KEPT: u32 = 400;

/// What is asked of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedQuery {
    pub from: Time,
    pub until: Time,
    /// Of one steered name.
    pub name: Option<String>,
}

/// What the ledger says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Milliseconds and answers by account.
    pub sums: BTreeMap<Account, (u64, u64)>,
    /// All runs that are known, in order.
    pub runs: Vec<Run>,
    /// The time that the sums are of: what was asked for, widened to whole hours, or to days where no hours are kept.
    pub from: Time,
    pub until: Time,
    /// Whether it was widened to days somewhere.
    pub by_day: bool,
}

/// A page's octets.
pub(super) fn encode(key: PageKey, page: &Page) -> Vec<u8> {
    let mut octets = vec![VERSION];
    let whole = page.0.iter().map(|line| line.millis).max().unwrap_or(0);
    put(&mut octets, whole);
    let mut next = key.block * BLOCK;
    for line in &page.0 {
        let step = u64::from(line.account.saturating_sub(next));
        put(&mut octets, step * 2 + u64::from(line.running.is_some()));
        put(&mut octets, whole - line.millis);
        put(&mut octets, line.answers);
        if let Some(Running { since, points: (from, to) }) = line.running {
            let begin = beginning(key);
            [since.0.saturating_sub(begin.0), from.into(), to.into()]
                .into_iter()
                .for_each(|part| put(&mut octets, part));
        }
        next = line.account + 1;
    }
    octets
}

/// The page in an entry's octets.
pub(super) fn decode(key: PageKey, octets: &[u8]) -> Result<Page, Illegible> {
    let mut rest = match octets.split_first() {
        Some((&VERSION, rest)) => rest,
        Some((&other, _)) => return Err(Illegible::Version(other)),
        None => return Err(Illegible::Incomplete),
    };
    let whole = take(&mut rest)?;
    let mut lines = Vec::new();
    let mut next = u64::from(key.block) * u64::from(BLOCK);
    while !rest.is_empty() {
        let head = take(&mut rest)?;
        let account = next + head / 2;
        let odd = || Illegible::Content("a number in it is too large".to_owned());
        let (missing, answers) = (take(&mut rest)?, take(&mut rest)?);
        let point = |rest: &mut &[u8]| u32::try_from(take(rest)?).map_err(|_| odd());
        let running = if head % 2 == 1 {
            let since = Time(beginning(key).0.saturating_add(take(&mut rest)?));
            Some(Running { since, points: (point(&mut rest)?, point(&mut rest)?) })
        } else {
            None
        };
        let millis = whole.checked_sub(missing).ok_or_else(odd)?;
        lines.push(Line { account: u32::try_from(account).map_err(|_| odd())?, millis, answers, running });
        next = account + 1;
    }
    Ok(Page(lines))
}

fn put(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

fn take(octets: &mut &[u8]) -> Result<u64, Illegible> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (octet, rest) = octets.split_first().ok_or(Illegible::Incomplete)?;
        *octets = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Illegible::Content("a number in it does not end".to_owned()))
}

/// When the time of a page begins.
fn beginning(key: PageKey) -> Time {
    Time(u64::from(key.number) * length(key.span))
}

fn length(span: Span) -> u64 {
    match span {
        Span::Hour => HOUR,
        Span::Day => DAY,
    }
}

/// A start goes on with the latest hour and the latest day. Pages come in the order of their time.
pub(super) fn take_latest(kept: &mut KeptLedger, key: PageKey, page: Page) {
    kept.used.extend(page.0.iter().map(|line| line.account));
    let latest = match key.span {
        Span::Hour => &mut kept.hour,
        Span::Day => &mut kept.day,
    };
    match latest {
        Some((number, lines)) if *number == key.number => lines.extend(page.0),
        _ => *latest = Some((key.number, page.0)),
    }
}

/// Keys of the pieces of all pages of a span before this number.
pub(super) fn pages_before(
    tree: &sled::Tree,
    span: Span,
    before: u32,
) -> impl Iterator<Item = sled::Result<sled::IVec>> {
    let first = |number| EntryKey::page(PageKey { span, number, block: 0 }).0;
    tree.range(first(0)..first(before)).keys()
}

/// Adds up the pages of a time.
pub(super) fn served(tree: &sled::Tree, query: &ServedQuery) -> Result<Served, Illegible> {
    let accounts = accounts(tree, query.name.as_deref())?;
    let runs: Vec<Run> = entries(tree, vec![Kind::Run as u8], |_, octets| value::decode(octets))?;
    let counted = runs.last().map_or(Time(0), |run| run.until);
    let hours_from = Time(u64::from(first_hour(tree)?.unwrap_or(number(counted, HOUR))) * HOUR);
    let until = query.until.min(counted);
    let from = query.from.min(until);
    let mut served = Served {
        from: Time(from.0 / unit(from, hours_from) * unit(from, hours_from)),
        until: Time(until.0.div_ceil(unit(until, hours_from)) * unit(until, hours_from)),
        by_day: from < hours_from,
        runs,
        ..Served::default()
    };
    let mut at = served.from.0;
    while at < served.until.0 {
        let of_day = at.is_multiple_of(DAY) && at + DAY <= served.until.0 && at / DAY < counted.0 / DAY;
        let span = if of_day { Span::Day } else { Span::Hour };
        let number = number(Time(at), length(span));
        let prefix = EntryKey::page(PageKey { span, number, block: 0 }).0;
        let prefix = prefix.get(..5).unwrap_or(&prefix).to_vec();
        let pages =
            entries(tree, prefix, |entry, octets| decode(entry.page_key().ok_or(Illegible::Incomplete)?, octets))?;
        for line in pages.iter().flat_map(|page| &page.0) {
            let Some(account) = accounts.get(&line.account) else { continue };
            let sum = served.sums.entry(account.clone()).or_default();
            sum.0 += line.millis(counted);
            sum.1 += line.answers;
        }
        at += length(span);
    }
    served.until = served.until.min(counted);
    Ok(served)
}

/// How finely a time can be told.
fn unit(time: Time, hours_from: Time) -> u64 {
    if time < hours_from { DAY } else { HOUR }
}

fn accounts(tree: &sled::Tree, name: Option<&str>) -> Result<HashMap<u32, Account>, Illegible> {
    let read = |entry: &EntryKey, octets: &[u8]| {
        let number = entry.number().and_then(|number| u32::try_from(number).ok());
        Ok((number.unwrap_or(u32::MAX), value::decode::<Account>(octets)?))
    };
    let all = entries(tree, vec![Kind::Account as u8], read)?;
    Ok(all.into_iter().filter(|(_, account)| name.is_none_or(|name| *account.name == *name)).collect())
}

fn first_hour(tree: &sled::Tree) -> Result<Option<u32>, Illegible> {
    let Some(first) = tree.scan_prefix([page_kind(Span::Hour) as u8]).keys().next() else { return Ok(None) };
    let key = first.map_err(|why| Illegible::Content(why.to_string()))?;
    Ok(EntryKey::of_piece(&key).and_then(|(entry, _)| entry.page_key()).map(|key| key.number))
}

/// Entries of which all is there, in order. What this program cannot read was reported when the store opened.
pub(super) fn entries<T>(
    tree: &sled::Tree,
    prefix: Vec<u8>,
    read: impl Fn(&EntryKey, &[u8]) -> Result<T, Illegible>,
) -> Result<Vec<T>, Illegible> {
    let mut found = Vec::new();
    let mut current: Option<(EntryKey, Joining)> = None;
    let mut end = |current: Option<(EntryKey, Joining)>| {
        let entry = current.and_then(|(entry, joining)| Some((entry, joining.finish()?)));
        found.extend(entry.and_then(|(entry, octets)| read(&entry, &octets).ok()));
    };
    for pair in tree.scan_prefix(prefix) {
        let (key, piece) = pair.map_err(|why| Illegible::Content(why.to_string()))?;
        let Some((entry, part)) = EntryKey::of_piece(&key).filter(|_| value::is_sound(&key, &piece)) else { continue };
        if current.as_ref().is_none_or(|(known, _)| *known != entry) {
            end(current.replace((entry, Joining::default())));
        }
        if let Some((_, joining)) = &mut current {
            joining.add(part, &piece);
        }
    }
    end(current);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let points = (0..65_536_u32, 0..65_537_u32).prop_map(|(a, b)| (a.min(b), a.max(b)));
        let running = prop::option::of((0..HOUR, points));
        let line = (0..HOUR, prop_oneof![Just(0), any::<u64>()], running);
        prop::collection::btree_map(0..BLOCK, line, 0..40).prop_map(|lines| {
            let lines = lines.into_iter().map(|(account, (millis, answers, running))| Line {
                account: 3 * BLOCK + account,
                millis,
                answers,
                running: running.map(|(since, points)| Running { since: Time(7 * HOUR + since), points }),
            });
            lines.collect()
        })
    }

    proptest! {
        #[test]
        fn a_page_reads_as_it_was_written(lines in lines()) {
            let key = PageKey { span: Span::Hour, number: 7, block: 3 };
            let page = Page(lines);
            let octets = encode(key, &page);
            prop_assert_eq!(decode(key, &octets), Ok(page));
            prop_assert!(octets.len() <= 2 || decode(key, &octets[..octets.len() - 1]).is_err() || octets[octets.len() - 1] < 0x80);
        }

        #[test]
        fn what_is_no_page_is_no_panic(octets: Vec<u8>, block: u32) {
            let octets = [&[VERSION][..], &octets].concat();
            drop(decode(PageKey { span: Span::Day, number: u32::MAX, block }, &octets));
        }
    }

    #[test]
    fn an_hour_without_a_question_is_three_octets_an_account() {
        let line = |account| Line { account, millis: HOUR, ..Line::default() };
        let key = PageKey { span: Span::Hour, number: 1, block: 0 };
        assert_eq!(encode(key, &Page((0..1000).map(line).collect())).len(), 1 + 4 + 3000);
    }
}
