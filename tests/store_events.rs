//! The history: filters, pages, and what is trimmed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use pointsman::steer::time::Time;
use pointsman::steer::transition::{Change, OverrideState, Transition};
use pointsman::store::kept::{Event, Write};
use pointsman::store::{EVENTS_SCANNED, EventFilter, Settings, Store};
use support::*;

const DAY: u64 = 86_400_000;

fn of_decision(id: u64, at: u64, name: &str) -> Event {
    let change = Change::Decision { subject: name.into(), from: "bunny 100%".into(), to: "gcore 100%".into() };
    Event { id, generation: id, transition: Transition { at: Time(at), change, why: "bunny is down".into() } }
}

fn of_override(id: u64, at: u64, subject: &str) -> Event {
    let (from, to) = (OverrideState::Absent, OverrideState::InForce);
    let change = Change::Override { id, subject: subject.to_owned(), from, to };
    Event { id, generation: id, transition: Transition { at: Time(at), change, why: "x".repeat(10_000).into() } }
}

async fn ids(store: &Store, filter: EventFilter) -> (Vec<u64>, Option<u64>) {
    let page = store.events(filter).await.unwrap();
    (page.events.iter().map(|event| event.id).collect(), page.next)
}

#[test]
fn filters() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open_fine(&scratch.path().join("store")).store;
    let events = [
        event(1, 10, "www.example.", "bunny"),
        event(2, 20, "www.example.", "gcore"),
        of_decision(3, 30, "www.example."),
        event(4, 40, "w.example.", "bunny"),
        of_override(5, 50, "bunny"),
        of_override(6, 60, "www.example./bunny"),
        of_decision(7, 70, "www.example.org."),
        of_override(8, 80, "*.example./bunny"),
    ];
    let subject =
        |subject: &str| EventFilter { subject: Some(subject.to_owned()), limit: 100, ..EventFilter::default() };
    let kind = |kind: &str| EventFilter { kind: Some(kind.to_owned()), limit: 100, ..EventFilter::default() };
    let time = |since, until| EventFilter { since, until, limit: 100, ..EventFilter::default() };
    #[rustfmt::skip]
    let table: [(EventFilter, &[u64]); 18] = [
        (time(None, None),                          &[8, 7, 6, 5, 4, 3, 2, 1]),
        (subject("www.example."),                   &[6, 3, 2, 1]),
        (subject("www.example./bunny"),             &[6, 1]),
        (subject("www.example./gcore"),             &[2]),
        (subject("www.example./"),                  &[]),
        (subject("www.example"),                    &[]),
        (subject("bunny"),                          &[5]),
        (subject("*.example./bunny"),               &[8]),
        (subject(""),                               &[]),
        (subject("ww"),                             &[]),
        (kind("verdict"),                           &[4, 2, 1]),
        (kind("decision"),                          &[7, 3]),
        (kind("override"),                          &[8, 6, 5]),
        (kind("nothing"),                           &[]),
        (time(Some(Time(30)), None),                &[8, 7, 6, 5, 4, 3]),
        (time(None, Some(Time(30))),                &[2, 1]),
        (EventFilter { before: Some(3), ..time(None, None) }, &[2, 1]),
        (EventFilter { kind: Some("verdict".to_owned()), since: Some(Time(20)), ..subject("www.example.") }, &[2]),
    ];
    runtime().block_on(async {
        store.write(events.iter().cloned().map(Write::Event).collect()).await.unwrap();
        for (filter, expected) in table {
            assert_eq!(ids(&store, filter.clone()).await, (expected.to_vec(), None), "{filter:?}");
        }
        let page = store.events(time(None, None)).await.unwrap();
        assert!(page.events.iter().rev().eq(&events), "all of each event comes back");
    });
}

#[test]
fn pages() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open_fine(&scratch.path().join("store")).store;
    runtime().block_on(async {
        let all =
            (1..=2500).map(|id| Write::Event(event(id, NOW.0 + id, "a.", if id % 7 == 0 { "gcore" } else { "bunny" })));
        store.write(all.collect()).await.unwrap();
        for (limit, expected) in [(0, 1), (1, 1), (300, 300), (1000, 1000), (usize::MAX, 1000)] {
            let (page, next) = ids(&store, EventFilter { limit, ..EventFilter::default() }).await;
            assert_eq!((page.len(), next), (expected, Some(2501 - expected as u64)), "limit {limit}");
        }
        let mut filter = EventFilter { subject: Some("a./gcore".to_owned()), limit: 100, ..EventFilter::default() };
        let mut found = Vec::new();
        loop {
            let (page, next) = ids(&store, filter.clone()).await;
            found.extend(page);
            filter.before = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(found, (1..=2500).rev().filter(|id| id % 7 == 0).collect::<Vec<_>>());
    });
}

#[test]
fn a_query_that_finds_little_looks_at_so_many_and_says_where_to_go_on() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open_fine(&scratch.path().join("store")).store;
    let count = EVENTS_SCANNED as u64 + 5;
    runtime().block_on(async {
        let name = |id| if id == 3 { "rare." } else { "a." };
        let all = (1..=count).map(|id| Write::Event(event(id, NOW.0 + id, name(id), "bunny")));
        store.write(all.collect()).await.unwrap();
        let rare = EventFilter { subject: Some("rare.".to_owned()), limit: 10, ..EventFilter::default() };
        assert_eq!(ids(&store, rare.clone()).await, (vec![], Some(6)));
        assert_eq!(ids(&store, EventFilter { before: Some(6), ..rare }).await, (vec![3], None));
    });
}

#[test]
fn trimmed_by_number() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings { keep_events: 100, ..Settings::new(scratch.path().join("store")) };
    let store = pointsman::store::open(settings.clone(), NOW).store;
    runtime().block_on(async {
        for from in (1..=5_000).step_by(10) {
            store
                .write((from..from + 10).map(|id| Write::Event(event(id, NOW.0 + id, "a.", "bunny"))).collect())
                .await
                .unwrap();
            let (page, _) = ids(&store, EventFilter { limit: 1000, ..EventFilter::default() }).await;
            // Trimming is part of the commit, and looks at what stood there before it.
            assert!(page.len() <= 110, "{} at {from}", page.len());
        }
        store.write(vec![Write::Generation(9_999)]).await.unwrap();
        let (page, next) = ids(&store, EventFilter { limit: 1000, ..EventFilter::default() }).await;
        assert_eq!((page, next), ((4_901..=5_000).rev().collect(), None));
        assert_eq!(store.health().counts.trimmed, 4_900);
        store.close().await.unwrap();
        let opened = pointsman::store::open(settings, NOW);
        assert_eq!((opened.state, opened.kept.last_event), (pointsman::store::OpenState::Fine, 5_000));
    });
}

#[test]
fn trimmed_by_age() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings::new(scratch.path().join("store"));
    runtime().block_on(async {
        let store = pointsman::store::open(settings.clone(), NOW).store;
        // One event a day, the last of them half a day ago.
        let all = (1..=200).map(|id| Write::Event(event(id, NOW.0 - (200 - id) * DAY - DAY / 2, "a.", "bunny")));
        store.write(all.collect()).await.unwrap();
        store.write(vec![Write::Generation(201)]).await.unwrap();
        let (page, _) = ids(&store, EventFilter { limit: 1000, ..EventFilter::default() }).await;
        assert_eq!(page, (111..=200).rev().collect::<Vec<_>>());
        store.close().await.unwrap();

        // Ten days later, and a year later: the ids go on where they were, though no event is left.
        for (later, oldest) in [(10, Some(121)), (365, None)] {
            let opened = pointsman::store::open(settings.clone(), Time(NOW.0 + later * DAY));
            assert_eq!(opened.kept.last_event, 200);
            opened.store.write(vec![Write::Generation(201 + later)]).await.unwrap();
            let (page, _) = ids(&opened.store, EventFilter { limit: 1000, ..EventFilter::default() }).await;
            assert_eq!(page.last().copied(), oldest);
            opened.store.close().await.unwrap();
        }
    });
}
