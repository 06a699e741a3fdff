//! The ledger in the store: what it says of a time, what is forgotten, and how much room it takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pointsman::steer::ledger::{Account, DAY, HOUR, KeptLedger, Ledger, Party, Run};
use pointsman::steer::shares::POINTS;
use pointsman::steer::time::Time;
use pointsman::store::{Served, ServedQuery, Store, StoreError};
use support::*;

const NAMES: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(60);

/// The begin of a day.
const MIDNIGHT: Time = Time(20_000 * DAY);

fn account(name: &Arc<str>, provider: &str, home: &str) -> Account {
    let party = Party { provider: provider.into(), home: home.parse().unwrap() };
    Account { name: name.clone(), rule: "".into(), party: Some(party) }
}

fn at(hours: u64, seconds: u64) -> Time {
    Time(MIDNIGHT.0 + hours * HOUR + seconds * 1000)
}

/// Writes what the ledger has to write until then, and waits for the disk.
fn write(store: &Store, ledger: &mut Ledger, from: Time, until: Time) {
    post(store, ledger, from, until);
    assert!(store.ledger().settle(LIMIT));
}

fn post(store: &Store, ledger: &mut Ledger, from: Time, until: Time) {
    if store.ledger().wants_whole() {
        ledger.write_whole();
    }
    store.ledger().post(ledger.changes(until), Run { from, until, clean: false, lacking: false });
}

fn files(scratch: &Path) -> Vec<String> {
    let entries = fs::read_dir(scratch.join("ledger")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn served(store: &Store, from: Time, until: Time, name: Option<&str>) -> Served {
    store.served(ServedQuery { from, until, name: name.map(str::to_owned) }).await.unwrap()
}

/// Milliseconds by provider.
fn millis(served: &Served) -> Vec<(String, u64)> {
    let party =
        |account: &Account| account.party.as_ref().map_or_else(|| "static".to_owned(), |p| p.provider.to_string());
    served.sums.iter().map(|(account, sum)| (party(account), sum.0)).collect()
}

#[test]
fn a_time_is_told_by_the_hour_and_by_the_day_where_hours_are_forgotten() {
    let scratch = tempfile::tempdir().unwrap();
    let opened = open(&scratch.path().join("store"));
    let store = opened.store;
    runtime().block_on(async {
        let name: Arc<str> = "www.a.".into();
        let begin = at(22, 0);
        let mut ledger = Ledger::restore(&KeptLedger::default(), begin);
        // Two hours of bunny, 26 hours of a split, then fastly, until 02:30 of the third day.
        ledger.decide(&name, vec![vec![(account(&name, "bunny", "si"), POINTS)]], begin);
        write(&store, &mut ledger, begin, at(23, 0));
        let split = vec![(account(&name, "bunny", "si"), POINTS / 4), (account(&name, "fastly", "us"), POINTS / 4 * 3)];
        ledger.decide(&name, vec![split], at(24, 0));
        ledger.decide(&name, vec![vec![(account(&name, "fastly", "us"), POINTS)]], at(50, 0));
        let now = at(50, 1800);
        write(&store, &mut ledger, begin, now);

        let hours = |count: u64| count * HOUR;
        let all = served(&store, Time(0), now, None).await;
        let expected =
            vec![("bunny".to_owned(), hours(2) + hours(26) / 4), ("fastly".to_owned(), hours(26) / 4 * 3 + HOUR / 2)];
        assert_eq!(millis(&all), expected);
        assert!(all.by_day, "nothing is known of 1970, by whatever unit");
        assert_eq!(all.until, now);
        // One hour, whatever part of it is asked for.
        let hour = served(&store, at(23, 100), at(23, 200), None).await;
        assert_eq!((hour.from, hour.until, hour.by_day), (at(23, 0), at(24, 0), false));
        assert_eq!(millis(&hour), [("bunny".to_owned(), HOUR)]);
        // Whole days and the hours at their ends are as the hours alone.
        let ends = served(&store, at(23, 0), at(50, 0), None).await;
        assert_eq!(
            millis(&ends),
            [("bunny".to_owned(), hours(1) + hours(26) / 4), ("fastly".to_owned(), hours(26) / 4 * 3)]
        );
        assert_eq!(served(&store, Time(0), now, Some("www.b.")).await.sums.len(), 0);

        // After 32 days the first two days are told whole, and after 400 not at all.
        let later = at(24 * 34, 0);
        ledger.stop(now);
        write(&store, &mut ledger, begin, later);
        let day = served(&store, at(30, 0), at(40, 0), None).await;
        assert_eq!((day.from, day.until, day.by_day), (at(24, 0), at(48, 0), true));
        assert_eq!(millis(&day), [("bunny".to_owned(), hours(6)), ("fastly".to_owned(), hours(18))]);
        assert_eq!(millis(&served(&store, at(0, 0), later, None).await), expected);
        write(&store, &mut ledger, begin, at(24 * 402, 0));
        assert_eq!(files(scratch.path()), ["accounts", "day-020002", "journal"]);
        store.close().await.unwrap();
    });
}

#[test]
fn a_restart_goes_on_where_it_ended() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let name: Arc<str> = "www.a.".into();
    let bunny = || vec![vec![(account(&name, "bunny", "si"), POINTS)]];
    let opened = open(&folder);
    let mut ledger = Ledger::restore(&opened.kept.ledger, at(10, 0));
    ledger.decide(&name, bunny(), at(10, 0));
    runtime().block_on(async {
        write(&opened.store, &mut ledger, at(10, 0), at(10, 600));
        opened.store.close().await.unwrap();
    });
    // What came after the last write is gone; the next run begins in the next hour.
    let opened = open(&folder);
    assert_eq!(opened.kept.latest(), at(10, 600));
    assert_eq!(opened.kept.ledger.accounts.len(), 1);
    let mut ledger = Ledger::restore(&opened.kept.ledger, at(11, 60));
    ledger.decide(&name, bunny(), at(11, 60));
    runtime().block_on(async {
        write(&opened.store, &mut ledger, at(11, 60), at(11, 90));
        let all = served(&opened.store, at(0, 0), at(24, 0), None).await;
        assert_eq!(millis(&all), [("bunny".to_owned(), 630_000)]);
        assert_eq!(
            all.runs.iter().map(|run| (run.from, run.until)).collect::<Vec<_>>(),
            [(at(10, 0), at(10, 600)), (at(11, 60), at(11, 90))]
        );
        opened.store.close().await.unwrap();
    });
}

/// Millisecond sums and answers of all time.
fn sums(store: &Store) -> Vec<(String, (u64, u64))> {
    let all = runtime().block_on(served(store, Time(0), Time(u64::MAX), None));
    let named = |account: &Account| format!("{} {:?}", account.name, account.party);
    all.sums.iter().map(|(account, sum)| (named(account), *sum)).collect()
}

#[test]
fn a_journal_cut_at_any_octet_goes_on_from_the_last_whole_record() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(&scratch.path().join("store")).store;
    let names: Vec<Arc<str>> = ["a.", "b.", "c."].iter().map(|name| Arc::from(*name)).collect();
    let begin = at(10, 3_500);
    let mut ledger = Ledger::restore(&KeptLedger::default(), begin);
    let journal = scratch.path().join("ledger/journal");
    let mut ends = Vec::new();
    for turn in 0..8_u64 {
        // The hour turns within.
        let now = Time(begin.0 + turn * 30_000);
        for (place, name) in names.iter().enumerate().filter(|(place, _)| turn % (*place as u64 + 2) == 0) {
            let part = POINTS / (2 + turn as u32);
            let points = vec![(account(name, "bunny", "si"), part), (account(name, "fastly", "us"), POINTS - part)];
            ledger.decide(name, vec![points], now);
            let account = ledger.account(account(name, "bunny", "si"));
            ledger.count(account, turn + place as u64);
        }
        write(&store, &mut ledger, begin, now);
        let told = sums(&store);
        ends.push((fs::metadata(&journal).unwrap().len(), now, told));
    }
    runtime().block_on(store.close()).unwrap();
    // The journal of the first hour is a page by now.
    let turned = ends.windows(2).rposition(|pair| pair[1].0 < pair[0].0).unwrap() + 1;
    let octets = fs::read(&journal).unwrap();
    for cut in usize::try_from(ends[turned].0).unwrap()..=octets.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir(copy.path().join("ledger")).unwrap();
        for name in files(scratch.path()) {
            fs::copy(scratch.path().join("ledger").join(&name), copy.path().join("ledger").join(&name)).unwrap();
        }
        fs::write(copy.path().join("ledger/journal"), &octets[..cut]).unwrap();
        let (_, until, expected) = ends[turned..].iter().rfind(|(end, ..)| *end <= cut as u64).unwrap();
        let opened = open(&copy.path().join("store"));
        assert_eq!(opened.kept.latest(), *until);
        assert_eq!(sums(&opened.store), *expected, "cut at {cut}");
        // It goes on, and what was is neither lost nor told twice.
        let start = Time(until.0 + 1_000);
        let mut ledger = Ledger::restore(&opened.kept.ledger, start);
        write(&opened.store, &mut ledger, start, Time(start.0 + 1));
        assert_eq!(sums(&opened.store), *expected, "cut at {cut}, and gone on");
        runtime().block_on(opened.store.close()).unwrap();
    }
}

#[test]
fn a_page_without_a_journal_that_follows_it_is_none() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let name: Arc<str> = "www.a.".into();
    let store = open(&folder).store;
    let mut ledger = Ledger::restore(&KeptLedger::default(), at(10, 0));
    ledger.decide(&name, vec![vec![(account(&name, "bunny", "si"), POINTS)]], at(10, 0));
    write(&store, &mut ledger, at(10, 0), at(10, 3_595));
    let journal = fs::read(scratch.path().join("ledger/journal")).unwrap();
    write(&store, &mut ledger, at(10, 0), at(11, 2));
    runtime().block_on(store.close()).unwrap();
    // As a crash leaves it between the page and the journal of the next hour.
    fs::write(scratch.path().join("ledger/journal"), journal).unwrap();
    fs::write(scratch.path().join("ledger/journal.new"), "begun").unwrap();
    let opened = open(&folder);
    assert_eq!(sums(&opened.store)[0].1.0, 3_595_000);
    let mut ledger = Ledger::restore(&opened.kept.ledger, at(12, 0));
    write(&opened.store, &mut ledger, at(12, 0), at(12, 5));
    assert_eq!(sums(&opened.store)[0].1.0, 3_595_000);
    assert_eq!(files(scratch.path()), ["accounts", "hour-00480010", "journal"]);
    runtime().block_on(opened.store.close()).unwrap();
}

#[test]
fn what_cannot_be_written_is_told_and_written_when_it_can() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(&scratch.path().join("store")).store;
    let name: Arc<str> = "www.a.".into();
    let way: PathBuf = scratch.path().join("ledger");
    fs::write(&way, "a file in the way").unwrap();
    let mut ledger = Ledger::restore(&KeptLedger::default(), at(9, 0));
    ledger.decide(&name, vec![vec![(account(&name, "bunny", "si"), POINTS)]], at(9, 0));
    write(&store, &mut ledger, at(9, 0), at(9, 10));
    write(&store, &mut ledger, at(9, 0), at(11, 10));
    assert!(store.ledger().failing().is_some());
    let query = ServedQuery { from: at(9, 0), until: at(12, 0), name: None };
    assert!(matches!(runtime().block_on(store.served(query)), Err(StoreError::Gone(_))));
    fs::remove_file(&way).unwrap();
    write(&store, &mut ledger, at(9, 0), at(11, 20));
    assert_eq!(store.ledger().failing(), None);
    assert_eq!(sums(&store)[0].1.0, 2 * HOUR + 20_000, "nothing is missing");

    // A journal that cannot be replaced while the hour turns.
    fs::create_dir(way.join("journal.new")).unwrap();
    write(&store, &mut ledger, at(9, 0), at(12, 5));
    write(&store, &mut ledger, at(9, 0), at(12, 10));
    assert!(store.ledger().failing().is_some());
    fs::remove_dir(way.join("journal.new")).unwrap();
    write(&store, &mut ledger, at(9, 0), at(12, 20));
    assert_eq!((store.ledger().failing(), sums(&store)[0].1.0), (None, 3 * HOUR + 20_000));
    runtime().block_on(store.close()).unwrap();
}

#[test]
fn accounts_that_no_page_tells_of_go_with_a_start() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let names: Vec<Arc<str>> = ["a.", "b.", "c."].iter().map(|name| Arc::from(*name)).collect();
    let store = open(&folder).store;
    let mut ledger = Ledger::restore(&KeptLedger::default(), at(1, 0));
    ledger.decide(&names[0], vec![vec![(account(&names[0], "bunny", "si"), POINTS)]], at(1, 0));
    write(&store, &mut ledger, at(1, 0), at(1, 10));
    ledger.stop(at(1, 20));
    ledger.decide(&names[1], vec![vec![(account(&names[1], "bunny", "si"), POINTS)]], at(24 * 401, 20));
    write(&store, &mut ledger, at(1, 0), at(24 * 402, 0));
    runtime().block_on(store.close()).unwrap();
    let opened = open(&folder);
    assert_eq!(opened.kept.ledger.accounts, [(1, account(&names[1], "bunny", "si"))]);
    let mut ledger = Ledger::restore(&opened.kept.ledger, at(24 * 402, 10));
    assert_eq!(ledger.account(account(&names[2], "bunny", "si")), 2);
    write(&opened.store, &mut ledger, at(24 * 402, 10), at(24 * 402, 20));
    runtime().block_on(opened.store.close()).unwrap();
    let text = fs::read_to_string(scratch.path().join("ledger/accounts")).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn accounts_that_the_disk_does_not_give_stop_the_ledger_and_nothing_is_changed() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let name: Arc<str> = "www.a.".into();
    let store = open(&folder).store;
    let mut ledger = Ledger::restore(&KeptLedger::default(), at(1, 0));
    ledger.decide(&name, vec![vec![(account(&name, "bunny", "si"), POINTS)]], at(1, 0));
    write(&store, &mut ledger, at(1, 0), at(1, 10));
    runtime().block_on(store.close()).unwrap();
    for file in ["accounts", "journal"] {
        let (path, aside) = (scratch.path().join("ledger").join(file), scratch.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        // Reading a folder is an error of the disk's kind.
        fs::create_dir(&path).unwrap();
        let before = files(scratch.path());
        let opened = open(&folder);
        assert!(opened.store.ledger().failing().is_some_and(|why| why.contains(file)));
        let mut other = Ledger::restore(&opened.kept.ledger, at(1, 20));
        other.decide(&name, vec![vec![(account(&name, "fastly", "us"), POINTS)]], at(1, 20));
        write(&opened.store, &mut other, at(1, 20), at(1, 30));
        let query = ServedQuery { from: at(1, 0), until: at(2, 0), name: None };
        assert!(matches!(runtime().block_on(opened.store.served(query)), Err(StoreError::Gone(_))));
        runtime().block_on(opened.store.close()).unwrap();
        assert_eq!(files(scratch.path()), before);
        fs::remove_dir(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    let opened = open(&folder);
    assert_eq!(opened.kept.ledger.accounts, [(0, account(&name, "bunny", "si"))]);
    assert_eq!(sums(&opened.store)[0].1.0, 10_000);
    runtime().block_on(opened.store.close()).unwrap();
}

#[test]
fn the_number_of_a_damaged_account_is_given_to_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let names: Vec<Arc<str>> = ["a.", "b.", "c."].iter().map(|name| Arc::from(*name)).collect();
    let store = open(&folder).store;
    let mut ledger = Ledger::restore(&KeptLedger::default(), at(1, 0));
    for name in &names[..2] {
        ledger.decide(name, vec![vec![(account(name, "bunny", "si"), POINTS)]], at(1, 0));
    }
    write(&store, &mut ledger, at(1, 0), at(1, 10));
    assert!(!runtime().block_on(served(&store, at(1, 0), at(2, 0), None)).lacking);
    runtime().block_on(store.close()).unwrap();
    // The last line is that of number 1.
    let path = scratch.path().join("ledger/accounts");
    let text = fs::read_to_string(&path).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.contains("[1,"), "{last}");
    fs::write(&path, text.replace(last, &last.replace("bunny", "dummy"))).unwrap();
    let opened = open(&folder);
    assert_eq!(opened.kept.ledger.accounts, [(0, account(&names[0], "bunny", "si"))]);
    let mut ledger = Ledger::restore(&opened.kept.ledger, at(1, 20));
    assert_eq!(ledger.account(account(&names[2], "bunny", "si")), 2);
    write(&opened.store, &mut ledger, at(1, 20), at(1, 30));
    let told = runtime().block_on(served(&opened.store, at(1, 0), at(2, 0), None));
    assert_eq!((told.lacking, millis(&told)), (true, vec![("bunny".to_owned(), 10_000)]));
    runtime().block_on(opened.store.close()).unwrap();
}

#[test]
fn a_day_is_not_made_of_what_cannot_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(&scratch.path().join("store")).store;
    let name: Arc<str> = "www.a.".into();
    let mut ledger = Ledger::restore(&KeptLedger::default(), at(22, 0));
    ledger.decide(&name, vec![vec![(account(&name, "bunny", "si"), POINTS)]], at(22, 0));
    write(&store, &mut ledger, at(22, 0), at(23, 10));
    let page = scratch.path().join("ledger/hour-00480022");
    let octets = fs::read(&page).unwrap();
    fs::write(&page, "nonsense").unwrap();
    write(&store, &mut ledger, at(22, 0), at(24, 10));
    assert!(!files(scratch.path()).contains(&"day-020000".to_owned()));
    let told = runtime().block_on(served(&store, at(0, 0), at(24, 0), None));
    assert_eq!((told.lacking, millis(&told)), (true, vec![("bunny".to_owned(), HOUR)]));
    // Hours of such a day stay, whatever their age.
    ledger.stop(at(24, 20));
    write(&store, &mut ledger, at(22, 0), at(24 * 40, 10));
    assert!(files(scratch.path()).contains(&"hour-00480022".to_owned()));
    fs::write(&page, octets).unwrap();
    write(&store, &mut ledger, at(22, 0), at(24 * 40 + 1, 10));
    assert!(files(scratch.path()).contains(&"day-020000".to_owned()));
    assert!(!files(scratch.path()).contains(&"hour-00480022".to_owned()));
    let told = runtime().block_on(served(&store, at(0, 0), at(24, 0), None));
    assert_eq!((told.lacking, millis(&told)), (false, vec![("bunny".to_owned(), 2 * HOUR)]));
    runtime().block_on(store.close()).unwrap();
}

/// The figure of `docs/OPERATIONS.md`: 10,000 names with 3 candidates, which all have answers in every write of the day.
#[test]
fn a_day_of_ten_thousand_names_has_a_bound() {
    const HOURS: u64 = 25;
    /// Writes of each hour, and of the first: a real server makes 514.
    const WRITES: [u64; 2] = [3, 30];
    let scratch = tempfile::tempdir().unwrap();
    let store = open(&scratch.path().join("store")).store;
    let mut ledger = Ledger::restore(&KeptLedger::default(), MIDNIGHT);
    let mut accounts = Vec::new();
    for number in 0..NAMES {
        let name: Arc<str> = format!("www{number}.shop.example.").into();
        let parties = [("bunny", "si"), ("fastly", "us"), ("gcore", "lu")];
        let part = POINTS / [2, 3, 4, 10][number % 4];
        let points = [part, part, POINTS - 2 * part];
        let held =
            parties.iter().zip(points).map(|((provider, home), points)| (account(&name, provider, home), points));
        let held: Vec<_> = held.collect();
        accounts.extend(held.iter().map(|(account, _)| ledger.account(account.clone())));
        ledger.decide(&name, vec![held], MIDNIGHT);
    }
    write(&store, &mut ledger, MIDNIGHT, MIDNIGHT);
    let begun = octets(&scratch.path().join("ledger"));
    let (mut most, mut counted, mut until) = (0, 0, MIDNIGHT);
    for hour in 0..HOURS {
        let writes = WRITES[usize::from(hour == 0)];
        for turn in 0..writes {
            let answers = |account| 15_000 / writes * (1 + u64::from(account % 40)) / 40;
            for account in &accounts {
                ledger.count(*account, answers(*account));
                counted += answers(*account);
            }
            until = at(hour, turn * 3600 / writes);
            write(&store, &mut ledger, MIDNIGHT, until);
            most = most.max(octets(&scratch.path().join("ledger")));
        }
    }
    let told = sums(&store);
    assert_eq!(told.iter().map(|(_, sum)| sum.0).sum::<u64>(), NAMES as u64 * until.since(MIDNIGHT).as_millis() as u64);
    assert_eq!(told.iter().map(|(_, sum)| sum.1).sum::<u64>(), counted);
    let page = |name: &str| fs::metadata(scratch.path().join("ledger").join(name)).unwrap().len();
    let hours: u64 = files(scratch.path()).iter().filter(|name| name.starts_with("hour-")).map(|name| page(name)).sum();
    let day = page("day-020000");
    eprintln!("{begun} octets to begin with, {most} at most; {hours} for the hours of a day, {day} for the day");
    assert!(hours + day <= 3_000_000, "{hours} {day}");
    assert!(most - begun <= 3_000_000 + (3 << 20) / 2, "with the journal: {most} {begun}");
    runtime().block_on(store.close()).unwrap();
}

/// 100 names through 70 days: hours are those of 33 days at most, the rest are days.
#[test]
fn months_do_not_add_up() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(&scratch.path().join("store")).store;
    let mut ledger = Ledger::restore(&KeptLedger::default(), MIDNIGHT);
    let mut accounts = Vec::new();
    for number in 0..100 {
        let name: Arc<str> = format!("www{number}.shop.example.").into();
        ledger.decide(&name, vec![vec![(account(&name, "bunny", "si"), POINTS)]], MIDNIGHT);
        accounts.push(ledger.account(account(&name, "bunny", "si")));
    }
    let mut sizes = Vec::new();
    for hour in 0..70 * 24 {
        accounts.iter().for_each(|account| ledger.count(*account, 500));
        write(&store, &mut ledger, MIDNIGHT, at(hour, 10));
        if hour % 24 == 1 {
            sizes.push(octets(&scratch.path().join("ledger")));
        }
    }
    let count = |begin: &str| files(scratch.path()).iter().filter(|name| name.starts_with(begin)).count();
    assert!(count("hour-") <= 33 * 24, "{}", count("hour-"));
    assert_eq!(count("day-"), 69);
    let day = (sizes[69] - sizes[40]) / 29;
    eprintln!("after {} octets in 34 days, {day} more a day", sizes[34]);
    assert!(day < 600, "one page of 100 accounts a day: {day}");
    let told = sums(&store);
    assert_eq!(told.iter().map(|(_, sum)| sum.1).sum::<u64>(), 70 * 24 * 100 * 500);
    runtime().block_on(store.close()).unwrap();
}

fn octets(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { octets(&entry.path()) } else { metadata.len() }
        })
        .sum()
}
