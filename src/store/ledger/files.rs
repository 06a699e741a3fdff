//! The ledger's folder: which files stand in it, and how they come there.
//!
//! | file | what it is | written |
//! | --- | --- | --- |
//! | `accounts` | names, area rules, providers and homes by number, a JSON line behind its checksum | appended with each new one |
//! | `journal` | the open hour (`journal.rs`) | appended every few seconds; anew with each hour, and when it is long |
//! | `hour-<number>` | an hour that is over (`page.rs`) | once; removed after 32 days |
//! | `day-<number>` | the sum of a day's hours | once, when the day is over; removed after 400 days |
//! | `*.new` | one of them that is not finished | renamed when it is whole and synced |
//!
//! Hours count since the epoch, and so do days. An hour is over for good when the journal is of a later one: a page of the journal's own
//! hour or a later one was written just before a crash, and is none.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Damage;
use crate::steer::ledger::Account;
use crate::store::value::checksum;

pub(super) const ACCOUNTS: &str = "accounts";
pub(super) const JOURNAL: &str = "journal";
const HOUR: &str = "hour-";
const DAY: &str = "day-";
const UNFINISHED: &str = ".new";

pub(super) fn hour(number: u32) -> String {
    format!("{HOUR}{number:08}")
}

pub(super) fn day(number: u32) -> String {
    format!("{DAY}{number:06}")
}

/// The pages that stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) hours: BTreeSet<u32>,
    pub(super) days: BTreeSet<u32>,
    pub(super) unfinished: Vec<PathBuf>,
}

impl Pages {
    pub(super) fn list(folder: &Path) -> io::Result<Self> {
        let mut pages = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let number = |rest: &str| rest.parse::<u32>().ok();
            if name.ends_with(UNFINISHED) {
                pages.unfinished.push(path);
            } else if let Some(hour) = name.strip_prefix(HOUR).and_then(number) {
                pages.hours.insert(hour);
            } else if let Some(day) = name.strip_prefix(DAY).and_then(number) {
                pages.days.insert(day);
            }
        }
        Ok(pages)
    }
}

/// Puts a file on the disk in place of the one before, whole or not at all; and gives it, open at its end.
pub(super) fn put(folder: &Path, name: &str, octets: &[u8]) -> io::Result<File> {
    let (path, beside) = (folder.join(name), folder.join(format!("{name}{UNFINISHED}")));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Accounts as octets of their file.
pub(super) fn encode_accounts<'a>(accounts: impl Iterator<Item = &'a (u32, Account)>) -> Vec<u8> {
    let mut octets = Vec::new();
    for account in accounts {
        // Strings and numbers: JSON takes them all.
        let Ok(line) = serde_json::to_vec(account) else { continue };
        octets.extend_from_slice(format!("{:016x} ", checksum(ACCOUNTS.as_bytes(), &line)).as_bytes());
        octets.extend_from_slice(&line);
        octets.push(b'\n');
    }
    octets
}

/// The accounts in their file; lines that are damaged are passed over, and counted.
pub(super) fn read_accounts(folder: &Path) -> Result<(Vec<(u32, Account)>, usize), Damage> {
    let octets = match fs::read(folder.join(ACCOUNTS)) {
        Ok(octets) => octets,
        Err(why) if is_none(why.kind()) => return Ok((Vec::new(), 0)),
        Err(why) => return Err(why.into()),
    };
    let lines = octets.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    let (mut accounts, mut damaged) = (Vec::new(), 0);
    for line in lines {
        match account(line) {
            Some(account) => accounts.push(account),
            None => damaged += 1,
        }
    }
    Ok((accounts, damaged))
}

/// Whether that says that there is no such file: where the folder is none there is none either.
pub(super) fn is_none(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn account(line: &[u8]) -> Option<(u32, Account)> {
    let (sum, line) = line.split_at_checked(17)?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    (sum == checksum(ACCOUNTS.as_bytes(), line)).then(|| serde_json::from_slice(line).ok())?
}
