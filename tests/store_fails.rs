//! A store that cannot be had, or fails while it runs: a clear word, no panic, and nothing lost that was acknowledged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pointsman::store::kept::Write;
use pointsman::store::{Condition, EventFilter, OpenState, Settings, Store, StoreError};
use support::*;

const LIMITED: &str = "POINTSMAN_STORE_LIMITED";

async fn assert_refuses(store: &Store) {
    assert!(matches!(store.write(vec![Write::Generation(1)]).await, Err(StoreError::Gone(_))));
    assert!(matches!(store.post(vec![Write::Generation(1)]), Err(StoreError::Gone(_))));
    assert!(matches!(store.events(EventFilter::default()).await, Err(StoreError::Gone(_))));
    assert!(matches!(store.health().condition, Condition::Gone { .. }));
    assert_eq!(store.health().counts.dropped, 1);
    assert!(matches!(store.clone().close().await, Err(StoreError::Gone(_))));
}

#[test]
fn a_store_in_use_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let first = open_fine(&folder).store;
    runtime().block_on(async {
        first.write(vec![Write::Generation(5)]).await.unwrap();
        let second = open(&folder);
        assert_eq!(second.state, OpenState::InUse);
        assert_refuses(&second.store).await;
        first.write(vec![Write::Generation(6)]).await.unwrap();
        first.close().await.unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing was set aside");
        assert_eq!(open_fine(&folder).kept.generation, 6);
    });
}

#[test]
fn a_store_that_cannot_be_made_is_gone() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("data"), "a file where a folder must be").unwrap();
    let opened = open(&scratch.path().join("data/store"));
    assert!(matches!(opened.state, OpenState::Gone { .. }), "{:?}", opened.state);
    runtime().block_on(assert_refuses(&opened.store));
}

#[test]
fn no_time_to_open_moves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    runtime().block_on(async {
        let store = open_fine(&folder).store;
        store.write(vec![Write::Generation(5)]).await.unwrap();
        store.close().await.unwrap();
    });
    let began = Instant::now();
    let opened = pointsman::store::open(Settings { open_limit: Duration::ZERO, ..Settings::new(&folder) }, NOW);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(matches!(opened.state, OpenState::Gone { .. }), "{:?}", opened.state);
    // The opening that was given up lets go of the folder when it ends.
    let deadline = Instant::now() + Duration::from_secs(20);
    let again = loop {
        let again = open(&folder);
        if again.state != OpenState::InUse || Instant::now() > deadline {
            break again;
        }
        std::thread::yield_now();
    };
    assert_eq!((again.state, again.kept.generation), (OpenState::Fine, 5));
}

#[test]
fn a_full_queue_drops_and_counts() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings { queue: 4, ..Settings::new(scratch.path().join("store")) };
    let store = pointsman::store::open(settings, NOW).store;
    let value = |octet| vec![Write::Decision("a.".to_owned(), large(octet, 1_000_000))];
    let dropped = (0..100).filter(|octet| store.post(value(*octet)) == Err(StoreError::Full(4))).count() as u64;
    assert!(dropped > 0);
    runtime().block_on(async {
        store.write(vec![Write::Generation(1)]).await.unwrap();
        let counts = store.health().counts;
        assert_eq!((counts.dropped, counts.written), (dropped, 101 - dropped));
        assert_eq!(store.health().condition, Condition::Ok);
    });
}

#[test]
fn a_closed_store_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open_fine(&scratch.path().join("store")).store;
    let other = store.clone();
    store.post(vec![Write::Generation(7)]).unwrap();
    runtime().block_on(async {
        store.close().await.unwrap();
        assert_eq!(other.write(vec![]).await, Err(StoreError::Closed));
        assert_eq!(other.post(vec![]), Err(StoreError::Closed));
        assert_eq!(other.events(EventFilter::default()).await, Err(StoreError::Closed));
        assert_eq!(other.close().await, Err(StoreError::Closed));
    });
    assert_eq!(open_fine(&scratch.path().join("store")).kept.generation, 7, "what was posted before is kept");
}

#[test]
fn a_store_whose_handles_are_all_gone_keeps_what_was_posted() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = open_fine(&folder).store;
    store.post(vec![Write::Generation(7)]).unwrap();
    drop(store);
    let deadline = Instant::now() + Duration::from_secs(20);
    while open(&folder).state == OpenState::InUse && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let kept = loop {
        let opened = open(&folder);
        if opened.state == OpenState::Fine || Instant::now() > deadline {
            break opened.kept;
        }
        std::thread::yield_now();
    };
    assert_eq!(kept.generation, 7);
}

/// Writes until the limit on the size of its files, set by the parent, makes sled fail.
#[test]
fn limited() {
    let Ok(folder) = std::env::var(LIMITED) else { return };
    let store = open_fine(Path::new(&folder)).store;
    let mut acknowledged = 0;
    runtime().block_on(async {
        for number in 1..=10_000_u64 {
            let batch =
                vec![Write::Generation(number), Write::Decision(format!("{number}."), large(number as u8, 50_000))];
            match store.write(batch).await {
                Ok(()) => acknowledged = number,
                Err(why) => {
                    println!("\nfailed {why}");
                    break;
                }
            }
        }
        assert!(acknowledged < 10_000, "the limit was not met");
        assert!(matches!(store.health().condition, Condition::Gone { .. }));
        assert!(matches!(store.write(vec![Write::Generation(1)]).await, Err(StoreError::Gone(_))));
        println!("acknowledged {acknowledged}");
    });
}

#[test]
fn a_file_that_cannot_grow_ends_the_store_and_not_the_process() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" --exact limited --nocapture --test-threads=1"])
        .arg(std::env::current_exe().unwrap())
        .env(LIMITED, &folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged: u64 = told.lines().find_map(|line| line.strip_prefix("acknowledged ")).unwrap().parse().unwrap();
    assert!(acknowledged > 10);
    let opened = open_fine(&folder);
    assert!(opened.kept.generation >= acknowledged);
    assert_eq!(opened.kept.decisions.len() as u64, opened.kept.generation);
}
