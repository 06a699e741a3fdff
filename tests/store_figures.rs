//! What the store costs: the room that a long history takes on the disk stays bounded, and a write takes milliseconds.
//!
//! `POINTSMAN_STORE_EVENTS=200000 cargo test --release --test store_figures -- --nocapture` gives the figures of the
//! full size: so many events into a history of 100,000.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pointsman::store::kept::Write;
use pointsman::store::{EventFilter, KeptTexts, Settings, Store};
use support::*;

/// Events in one batch, as when a provider falls.
const BATCH: u64 = 100;

#[test]
fn a_long_history_takes_bounded_room() {
    let events = std::env::var("POINTSMAN_STORE_EVENTS").map_or(20_000, |events| events.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings { keep_events: events / 2, ..Settings::new(scratch.path().join("store")) };
    let store = pointsman::store::open(settings.clone(), NOW).store;
    runtime().block_on(async {
        let began = Instant::now();
        write(&store, 1..events / 2).await;
        let half = size(&settings.folder);
        write(&store, events / 2..events).await;
        let full = size(&settings.folder);
        write(&store, events..events * 3 / 2).await;
        let more = size(&settings.folder);
        eprintln!("{} events written in {:.1?}, {:?}", events * 3 / 2, began.elapsed(), store.health().counts);
        eprintln!(
            "on the disk: {half} octets after {}, {full} after {events}, {more} after {}",
            events / 2,
            events * 3 / 2
        );
        assert!(full / half < 3 && more < full * 3 / 2, "{half}, {full}, {more}");
        latencies(&store).await;
        let began = Instant::now();
        let nothing = EventFilter { subject: Some("nothing".to_owned()), limit: 10, ..EventFilter::default() };
        store.events(nothing).await.unwrap();
        eprintln!("a query that finds nothing: {:.1?}", began.elapsed());
        store.close().await.unwrap();
    });
    let began = Instant::now();
    drop(pointsman::store::open(settings.clone(), NOW));
    eprintln!("opened in {:.1?}, {} octets on the disk", began.elapsed(), size(&settings.folder));
}

#[test]
fn values_written_again_and_again_take_bounded_room() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings::new(scratch.path().join("store"));
    let store = pointsman::store::open(settings.clone(), NOW).store;
    runtime().block_on(async {
        for round in 0..100_u64 {
            let candidates =
                (0..200).map(|at| Write::Candidate(candidate(&format!("n{at}."), "bunny"), memory(round * 200 + at)));
            store.write(candidates.collect()).await.unwrap();
            store.write(vec![Write::Decision("a.".to_owned(), large(round as u8, 1_000_000))]).await.unwrap();
            if round % 20 == 19 {
                eprintln!(
                    "{} values of 1 MB, one after the other: {} octets on the disk",
                    round + 1,
                    size(&settings.folder)
                );
            }
        }
        assert!(size(&settings.folder) < 30_000_000);
        store.close().await.unwrap();
    });
}

/// `POINTSMAN_STORE_ZONES=100000` gives the figures of the full size.
#[test]
fn texts_of_many_zones_and_of_a_large_one_are_kept() {
    let zones = std::env::var("POINTSMAN_STORE_ZONES").map_or(2_000, |zones| zones.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let small = |number: usize| (format!("z{number}.example."), texts(vec![number as u8; 300]));
    let large = ("large.example.".to_owned(), texts((0..30_000_000_u32).map(|at| (at ^ (at >> 8)) as u8).collect()));
    for turn in ["new", "the same again"] {
        let kept = KeptTexts::new(scratch.path().join("zone-texts"));
        for (what, fresh) in [("small ones", (0..zones).map(small).collect()), ("one of 30 MB", vec![large.clone()])] {
            let count = fresh.len();
            let (began, before) = (Instant::now(), memory_kib("VmHWM"));
            kept.post(fresh, Vec::new());
            let posted = began.elapsed();
            assert!(kept.settle(Duration::from_secs(600)));
            let more = memory_kib("VmHWM").saturating_sub(before);
            eprintln!(
                "{count} {what}, {turn}: handed over in {posted:.1?}, kept after {:.1?}, {more} KiB more",
                began.elapsed()
            );
        }
        assert_eq!((kept.failing(), kept.origins().len()), (None, zones + 1));
    }
    let kept = KeptTexts::new(scratch.path().join("zone-texts"));
    assert!(kept.get("large.example.") == Some(large.1));
    assert_eq!(kept.get("z7.example."), Some(small(7).1));
}

fn memory_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn write(store: &Store, ids: std::ops::Range<u64>) {
    for from in ids.step_by(BATCH as usize) {
        let batch = (from..from + BATCH).flat_map(|id| {
            let name = format!("www{}.shop.example.", id % 500);
            [
                Write::Event(event(id, NOW.0 + id, &name, "bunny")),
                Write::Candidate(candidate(&name, "bunny"), memory(id)),
            ]
        });
        store.write(batch.collect()).await.unwrap();
    }
}

async fn latencies(store: &Store) {
    let mut took = Vec::new();
    for number in 1..=300 {
        let began = Instant::now();
        store.write(vec![Write::Override(drain(number, "measured"))]).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    let at = |percent: usize| took[took.len() * percent / 100];
    eprintln!("a write of one override: median {:.1?}, 90 % {:.1?}, 99 % {:.1?}", at(50), at(90), at(99));
    assert!(at(50) < Duration::from_secs(1));
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let sizes =
        entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() });
    sizes.sum()
}
