//! What the ledger says of a time.
//!
//! Whole days that are over are told by their pages, what lies at the ends by those of hours, and the open hour by the journal.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::files::{self, Pages};
use super::journal::{self, Book};
use super::{Damage, page};
use crate::steer::ledger::{Account, DAY, HOUR, Line, Run, number};
use crate::steer::time::Time;

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
    /// Pages of that time are damaged, or tell of accounts that nobody knows any longer: that is not in the sums.
    pub lacking: bool,
}

/// When the server ran.
pub(super) fn runs(folder: &Path) -> Result<Vec<Run>, Damage> {
    Ok(journal::read(&folder.join(files::JOURNAL))?.unwrap_or_default().runs)
}

/// Adds up the pages of a time.
pub(super) fn served(folder: &Path, query: &ServedQuery) -> Result<Served, Damage> {
    let Some(book) = journal::read(&folder.join(files::JOURNAL))? else { return Ok(Served::default()) };
    let mut pages = Pages::list(folder)?;
    // The open hour's is none, and those behind it are of a crash.
    pages.hours.split_off(&book.hour);
    let accounts = accounts(folder, query.name.as_deref())?;
    let counted = book.runs.last().map_or(Time(0), |run| run.until);
    let hours_from = Time(u64::from(hours_from(&pages, book.hour)) * HOUR);
    let until = query.until.min(counted);
    let from = query.from.min(until);
    let mut served = Served {
        from: Time(from.0 / unit(from, hours_from) * unit(from, hours_from)),
        until: Time(until.0.div_ceil(unit(until, hours_from)) * unit(until, hours_from)),
        by_day: from < hours_from,
        ..Served::default()
    };
    for lines in parts(folder, &pages, &book, served.from, served.until) {
        let lines = match lines {
            Err(why) if !why.is_of_the_disk() => {
                tracing::warn!(%why, "a page of the ledger is damaged and left out of what is told");
                served.lacking = true;
                continue;
            }
            lines => lines?,
        };
        for line in lines {
            let account = accounts.get(&line.account);
            served.lacking |= account.is_none();
            let Some(account) = account.into_iter().flatten().next() else { continue };
            let sum = served.sums.entry(account.clone()).or_default();
            sum.0 += line.millis(counted);
            sum.1 += line.answers;
        }
    }
    served.until = served.until.min(counted);
    served.runs = book.runs;
    Ok(served)
}

/// The first hour from which on all is told by the hour. Hours of a day that could not be made a page stay longer than others.
fn hours_from(pages: &Pages, open: u32) -> u32 {
    let has_hours = |day: &u32| pages.hours.range(day * 24..(day + 1) * 24).next().is_some();
    let alone = pages.days.iter().rfind(|day| !has_hours(day));
    let first = pages.hours.first().unwrap_or(&open);
    alone.map_or(*first, |day| ((day + 1) * 24).max(*first))
}

/// How finely a time can be told.
fn unit(time: Time, hours_from: Time) -> u64 {
    if time < hours_from { DAY } else { HOUR }
}

/// The lines of each page that tells of the time.
fn parts<'a>(
    folder: &'a Path,
    pages: &'a Pages,
    book: &'a Book,
    from: Time,
    until: Time,
) -> impl Iterator<Item = Result<Vec<Line>, Damage>> + 'a {
    let whole = from.0.div_ceil(DAY)..until.0 / DAY;
    let is_whole = move |day: &u32| whole.contains(&u64::from(*day)) && pages.days.contains(day);
    let days = pages.days.iter().copied().filter(is_whole.clone()).map(files::day);
    let within = number(from, HOUR)..number(until, HOUR);
    let open = within.contains(&book.hour).then(|| Ok(book.lines.values().copied().collect()));
    let hours = pages.hours.iter().copied().filter(move |hour| within.contains(hour) && !is_whole(&(hour / 24)));
    let read = |name: String| page::read(&folder.join(&name)).map_err(|why| why.of(&name));
    days.chain(hours.map(files::hour)).map(read).chain(open)
}

/// All accounts; none for those of other names.
fn accounts(folder: &Path, name: Option<&str>) -> Result<HashMap<u32, Option<Account>>, Damage> {
    let (all, _) = files::read_accounts(folder)?;
    let asked = |account: &Account| name.is_none_or(|name| *account.name == *name);
    Ok(all.into_iter().map(|(number, account)| (number, Some(account).filter(asked))).collect())
}
