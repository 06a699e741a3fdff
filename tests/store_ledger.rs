//! The ledger in the store: what it says of a time, what is forgotten, and how much room it takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use pointsman::steer::ledger::{Account, DAY, HOUR, KeptLedger, Ledger, Party, Run, Span};
use pointsman::steer::shares::POINTS;
use pointsman::steer::time::Time;
use pointsman::store::kept::Write;
use pointsman::store::{Served, ServedQuery, Store};
use support::*;

const NAMES: usize = 10_000;

/// The begin of a day.
const MIDNIGHT: Time = Time(20_000 * DAY);

fn account(name: &Arc<str>, provider: &str, home: &str) -> Account {
    let party = Party { provider: provider.into(), home: home.parse().unwrap() };
    Account { name: name.clone(), rule: "".into(), party: Some(party) }
}

fn at(hours: u64, seconds: u64) -> Time {
    Time(MIDNIGHT.0 + hours * HOUR + seconds * 1000)
}

/// What the ledger has to write until then.
fn writes(ledger: &mut Ledger, from: Time, until: Time) -> Vec<Write> {
    let mut writes: Vec<Write> = ledger.changes(until).into_iter().map(Write::Ledger).collect();
    writes.push(Write::Run(Run { from, until, clean: false, lacking: false }));
    writes
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
        store.write(writes(&mut ledger, begin, at(23, 0))).await.unwrap();
        let split = vec![(account(&name, "bunny", "si"), POINTS / 4), (account(&name, "fastly", "us"), POINTS / 4 * 3)];
        ledger.decide(&name, vec![split], at(24, 0));
        ledger.decide(&name, vec![vec![(account(&name, "fastly", "us"), POINTS)]], at(50, 0));
        let now = at(50, 1800);
        store.write(writes(&mut ledger, begin, now)).await.unwrap();

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

        // Without hours the day of the first one is told whole, and the second too.
        store.write(vec![Write::ForgetPages(Span::Hour, u32::try_from(at(48, 0).0 / HOUR).unwrap())]).await.unwrap();
        let day = served(&store, at(30, 0), at(40, 0), None).await;
        assert_eq!((day.from, day.until, day.by_day), (at(24, 0), at(48, 0), true));
        assert_eq!(millis(&day), [("bunny".to_owned(), hours(6)), ("fastly".to_owned(), hours(18))]);
        assert_eq!(millis(&served(&store, at(0, 0), now, None).await), expected);
        store.write(vec![Write::ForgetPages(Span::Day, 20_001)]).await.unwrap();
        assert_eq!(millis(&served(&store, at(0, 0), at(24, 0), None).await), []);
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
        opened.store.write(writes(&mut ledger, at(10, 0), at(10, 600))).await.unwrap();
        opened.store.close().await.unwrap();
    });
    // What came after the last write is gone; the next run begins in the next hour.
    let opened = open(&folder);
    assert_eq!(opened.kept.latest(), at(10, 600));
    assert_eq!(opened.kept.ledger.used.len(), 1);
    let mut ledger = Ledger::restore(&opened.kept.ledger, at(11, 60));
    ledger.decide(&name, bunny(), at(11, 60));
    runtime().block_on(async {
        opened.store.write(writes(&mut ledger, at(11, 60), at(11, 90))).await.unwrap();
        let all = served(&opened.store, at(0, 0), at(24, 0), None).await;
        assert_eq!(millis(&all), [("bunny".to_owned(), 630_000)]);
        assert_eq!(
            all.runs.iter().map(|run| (run.from, run.until)).collect::<Vec<_>>(),
            [(at(10, 0), at(10, 600)), (at(11, 60), at(11, 90))]
        );
        opened.store.close().await.unwrap();
    });
}

/// The figure of `docs/OPERATIONS.md`. Every name answers now and then; one in ten splits.
#[test]
fn a_day_of_ten_thousand_names_has_a_bound() {
    const HOURS: u64 = 48;
    const WRITES: u64 = 20;
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let opened = open(&folder);
    let mut ledger = Ledger::restore(&KeptLedger::default(), MIDNIGHT);
    let names: Vec<Arc<str>> = (0..NAMES).map(|at| format!("www{at}.shop.example.").into()).collect();
    for (at, name) in names.iter().enumerate() {
        let (bunny, fastly) = (account(name, "bunny", "si"), account(name, "fastly", "us"));
        let points = if at % 10 == 0 { vec![(bunny, 45_000), (fastly, 20_536)] } else { vec![(bunny, POINTS)] };
        ledger.decide(name, vec![points], MIDNIGHT);
    }
    let accounts: Vec<u32> = names.iter().map(|name| ledger.account(account(name, "bunny", "si"))).collect();
    let mut after_accounts = 0;
    runtime().block_on(async {
        for hour in 0..HOURS {
            for write in 0..WRITES {
                let turn = usize::try_from(hour * WRITES + write).unwrap();
                accounts.iter().skip(turn % 7).step_by(7).for_each(|account| ledger.count(*account, 3));
                let now = at(hour, write * 3600 / WRITES);
                opened.store.write(writes(&mut ledger, MIDNIGHT, now)).await.unwrap();
            }
            if hour == 0 {
                after_accounts = octets(&folder);
            }
        }
        let all = served(&opened.store, MIDNIGHT, at(HOURS, 0), None).await;
        let millis: u64 = all.sums.values().map(|sum| sum.0).sum();
        assert_eq!(millis, NAMES as u64 * (at(HOURS - 1, 3600 - 3600 / WRITES).0 - MIDNIGHT.0));
        opened.store.close().await.unwrap();
    });
    let day = (octets(&folder) - after_accounts) * 24 / (HOURS - 1);
    eprintln!("{NAMES} names: {after_accounts} octets after the first hour, {day} more a day");
    assert!(after_accounts < 16 << 20 && day < 32 << 20, "{after_accounts} {day}");
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
