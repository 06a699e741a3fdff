//! However its folder is damaged, the store opens in time and takes writes; what it gives is all of what was kept, or
//! nothing and a word about it.
//!
//! Each damaged folder is opened by a process of its own (this binary, with `POINTSMAN_STORE_DAMAGED` set), for a
//! panic in one of sled's threads stays with the process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pointsman::store::kept::{Event, Kept, Write};
use pointsman::store::{EventFilter, OpenState, Opened, Settings, Store, StoreError};
use support::*;

const DAMAGED: &str = "POINTSMAN_STORE_DAMAGED";
const LIMIT: Duration = Duration::from_secs(6);
const EVENTS: u64 = 4_000;
/// Single octets changed, beside the ways in the table.
const FLIPS: u64 = 24;

/// A way to damage a store, given its folder.
type Way = (String, Box<dyn Fn(&Path)>);

#[rustfmt::skip]
fn ways() -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    let mut way = |name: &str, damage: Box<dyn Fn(&Path)>| ways.push((name.to_owned(), damage));
    way("nothing", Box::new(|_| {}));
    for (name, part) in [("to nothing", 0), ("to a tenth", 10), ("to a half", 50), ("to nine tenths", 90), ("by one percent", 99)] {
        way(&format!("db cut {name}"), Box::new(move |folder| cut(&folder.join("db"), part)));
    }
    way("db cut by 1 octet", Box::new(|folder| resize(&folder.join("db"), |length| length - 1)));
    way("db longer by a segment of zeros", Box::new(|folder| resize(&folder.join("db"), |length| length + 512 * 1024)));
    for (name, from, until) in [("head", 0, 4096), ("first segment", 0, 524_288), ("second segment", 524_288, 1_048_576), ("a page between", 700_000, 704_096)] {
        way(&format!("db {name} zero"), Box::new(move |folder| fill(&folder.join("db"), from, until, 0)));
        way(&format!("db {name} all ones"), Box::new(move |folder| fill(&folder.join("db"), from, until, 0xff)));
    }
    way("db: the last segment as the first", Box::new(|folder| double(&folder.join("db"))));
    way("db of another time", Box::new(|folder| copy_file(&earlier(folder).join("db"), &folder.join("db"))));
    way("db and snap of another time", Box::new(|folder| {
        fs::remove_file(snap(folder)).unwrap();
        for file in ["db".into(), snap(&earlier(folder)).file_name().unwrap().to_owned()] {
            copy_file(&earlier(folder).join(&file), &folder.join(&file));
        }
    }));
    way("db gone", Box::new(|folder| fs::remove_file(folder.join("db")).unwrap()));
    way("db a folder", Box::new(|folder| into_folder(&folder.join("db"))));
    way("conf gone", Box::new(|folder| fs::remove_file(folder.join("conf")).unwrap()));
    way("conf empty", Box::new(|folder| cut(&folder.join("conf"), 0)));
    way("conf garbage", Box::new(|folder| fs::write(folder.join("conf"), "segment_size: banana\n\u{7f}\0\0\0\0").unwrap()));
    way("conf of another segment size", Box::new(|folder| other_size(&folder.join("conf"))));
    way("conf a folder", Box::new(|folder| into_folder(&folder.join("conf"))));
    way("blobs gone", Box::new(|folder| fs::remove_dir_all(folder.join("blobs")).unwrap()));
    way("blobs a file", Box::new(|folder| { fs::remove_dir_all(folder.join("blobs")).unwrap(); fs::write(folder.join("blobs"), "x").unwrap(); }));
    way("blobs with a stranger", Box::new(|folder| fs::write(folder.join("blobs/lost+found"), "x").unwrap()));
    way("snap gone", Box::new(|folder| fs::remove_file(snap(folder)).unwrap()));
    way("snap cut", Box::new(|folder| cut(&snap(folder), 50)));
    way("snap garbage", Box::new(|folder| fill(&snap(folder), 0, 1 << 30, 0x5a)));
    way("a second snap, garbage", Box::new(|folder| fs::write(folder.join("snap.7FFFFFFFFFFFFFFF"), "garbage, and enough of it").unwrap()));
    way("a snap half written", Box::new(|folder| fs::write(folder.join("snap.0000000000000001.generating"), "garbage, and enough of it").unwrap()));
    way("tip gone", Box::new(|folder| fs::remove_file(folder.join("tip")).unwrap()));
    way("tip garbage", Box::new(|folder| fill(&folder.join("tip"), 0, 16, 0x5a)));
    way("tip a folder", Box::new(|folder| into_folder(&folder.join("tip"))));
    way("all but the tip gone", Box::new(|folder| {
        let tip = fs::read(folder.join("tip")).unwrap();
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("tip"), tip).unwrap();
    }));
    way("the store a file", Box::new(|folder| { fs::remove_dir_all(folder).unwrap(); fs::write(folder, "x").unwrap(); }));
    way("no rights to the folder", Box::new(|folder| fs::set_permissions(folder, Permissions::from_mode(0o0)).unwrap()));
    way("no rights to db", Box::new(|folder| fs::set_permissions(folder.join("db"), Permissions::from_mode(0o0)).unwrap()));
    way("conf a pipe, which hangs", Box::new(|folder| into_pipe(&folder.join("conf"))));
    way("a snap a pipe, which hangs", Box::new(|folder| into_pipe(&snap(folder))));
    way("a value gone", Box::new(|folder| change_value(folder, |_| None)));
    way("a value of another time", Box::new(|folder| {
        let old = sled::open(earlier(folder)).unwrap();
        change_value(folder, |key| old.get(key).unwrap());
    }));
    way("a value changed", Box::new(|folder| change_value(folder, |_| Some(sled::IVec::from(b"not what was written")))));
    way("the seal gone", Box::new(|folder| drop(sled::open(folder).unwrap().remove(b"s\0\0\0\0").unwrap())));
    for number in 0..FLIPS {
        way(&format!("db one octet changed, {number}"), Box::new(move |folder| flip(&folder.join("db"), number)));
        // Without its snapshot sled reads the whole log again, and passes over what it finds damaged.
        way(&format!("snap gone, db one octet changed, {number}"), Box::new(move |folder| {
            fs::remove_file(snap(folder)).unwrap();
            flip(&folder.join("db"), number);
        }));
    }
    way("snap gone, db: the last segment as the first", Box::new(|folder| {
        fs::remove_file(snap(folder)).unwrap();
        double(&folder.join("db"));
    }));
    ways
}

#[test]
fn every_damaged_store_opens() {
    let scratch = tempfile::tempdir().unwrap();
    let sound = scratch.path().join("sound/store");
    build(&sound);
    let mut counts = [0, 0];
    for (number, (name, damage)) in ways().into_iter().enumerate() {
        let folder = scratch.path().join(number.to_string()).join("store");
        copy(&sound, &folder);
        copy(&earlier(&sound), &earlier(&folder));
        damage(&folder);
        let began = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "opener", "--nocapture", "--test-threads=1"])
            .env(DAMAGED, &folder)
            .output()
            .unwrap();
        let took = began.elapsed();
        let told = String::from_utf8_lossy(&output.stdout);
        let state = told.lines().find(|line| line.starts_with("state ")).unwrap_or("state: none told");
        eprintln!("{name}: {state}, {took:.0?}");
        assert!(output.status.success(), "{name}: {told}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(took < LIMIT * 5, "{name}");
        counts[usize::from(state != "state Fine")] += 1;
        if ["nothing", "tip gone", "snap gone", "conf gone", "blobs gone"].contains(&&*name) {
            assert_eq!(state, "state Fine", "{name}: what is left is enough");
        }
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
    eprintln!("{} intact, {} set aside", counts[0], counts[1]);
    assert!(counts[0] > 0 && counts[1] > 20);
}

/// Opens a damaged store; looks at what it gives; writes, closes, and opens it again.
#[test]
fn opener() {
    let Ok(folder) = std::env::var(DAMAGED) else { return };
    let folder = PathBuf::from(folder);
    let began = Instant::now();
    let opened = open_within(&folder);
    assert!(began.elapsed() < LIMIT * 2);
    println!("\nstate {:?}", opened.state);
    assert_eq!(opened.unreadable, []);
    let runtime = runtime();
    let events = runtime.block_on(all_events(&opened.store)).unwrap();
    match opened.state {
        OpenState::Fine => assert_kept(&opened.kept, &events, EVENTS),
        OpenState::SetAside { moved_to, .. } => {
            assert!(moved_to.exists() && moved_to != folder);
            assert_kept(&opened.kept, &events, 0);
        }
        other => panic!("{other:?}"),
    }
    let next = opened.kept.last_event + 1;
    runtime.block_on(opened.store.write(step(next))).unwrap();
    runtime.block_on(opened.store.close()).unwrap();
    let again = open_fine(&folder);
    assert_eq!(again.kept.last_event, next);
    assert_eq!(again.kept.overrides.last(), Some(&drain(next, "kept")));
}

fn open_within(folder: &Path) -> Opened {
    pointsman::store::open(Settings { open_limit: LIMIT, ..Settings::new(folder) }, NOW)
}

async fn all_events(store: &Store) -> Result<Vec<Event>, StoreError> {
    let mut filter = EventFilter { limit: 1000, ..EventFilter::default() };
    let mut events = Vec::new();
    loop {
        let page = store.events(filter.clone()).await?;
        events.extend(page.events);
        filter.before = page.next;
        if page.next.is_none() {
            return Ok(events);
        }
    }
}

fn step(number: u64) -> Vec<Write> {
    let name = format!("www{}.example.", number % 100);
    let mut batch = vec![
        Write::Event(event(number, NOW.0 + number, &name, "bunny")),
        Write::Candidate(candidate(&name, "bunny"), memory(number)),
        Write::Generation(number),
        Write::Override(drain(number, "kept")),
    ];
    if number > 30 {
        batch.push(Write::ForgetOverride(number - 30));
    }
    if number.is_multiple_of(500) {
        batch.push(Write::Decision("shop.example.".to_owned(), large((number / 500) as u8, 300_000)));
    }
    batch
}

fn assert_kept(kept: &Kept, events: &[Event], until: u64) {
    assert_eq!((kept.generation, kept.last_event, kept.last_override), (until, until, until));
    let name = |number: u64| format!("www{}.example.", number % 100);
    let expected: Vec<Event> = (1..=until).rev().map(|id| event(id, NOW.0 + id, &name(id), "bunny")).collect();
    assert_eq!(events, expected);
    let placed: Vec<_> = (until.saturating_sub(29).max(1)..=until).map(|id| drain(id, "kept")).collect();
    assert_eq!(kept.overrides, placed);
    assert_eq!(kept.decisions.len(), usize::from(until > 0));
    for (name, decision) in &kept.decisions {
        assert_eq!((name.as_str(), decision), ("shop.example.", &large((until / 500) as u8, 300_000)));
    }
    assert_eq!(kept.candidates.len(), if until > 0 { 100 } else { 0 });
    for number in (until + 1).saturating_sub(100).max(1)..=until {
        assert!(kept.candidates.contains(&(candidate(&name(number), "bunny"), memory(number))));
    }
}

/// Makes a store of several segments, and a copy of an earlier time beside it.
fn build(folder: &Path) {
    let runtime = runtime();
    for part in [1..=EVENTS / 2, EVENTS / 2 + 1..=EVENTS - 500, EVENTS - 499..=EVENTS] {
        if *part.start() == EVENTS - 499 {
            copy(folder, &earlier(folder));
        }
        let store = open_fine(folder).store;
        let write = async {
            for from in part.step_by(50) {
                store.write((from..from + 50).flat_map(step).collect()).await.unwrap();
            }
            store.close().await.unwrap();
        };
        runtime.block_on(write);
    }
    // One more opening, so that the newest snapshot is of the end.
    runtime.block_on(open_fine(folder).store.close()).unwrap();
}

fn earlier(folder: &Path) -> PathBuf {
    folder.parent().unwrap().join("earlier")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { copy_file(&path, &target) }
    }
}

fn copy_file(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn snap(folder: &Path) -> PathBuf {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).unwrap()
}

fn resize(path: &Path, to: impl Fn(u64) -> u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(to(file.metadata().unwrap().len())).unwrap();
}

fn cut(path: &Path, percent: u64) {
    resize(path, |length| length * percent / 100);
}

fn fill(path: &Path, from: u64, until: u64, octet: u8) {
    let file = File::options().write(true).open(path).unwrap();
    let until = until.min(file.metadata().unwrap().len());
    file.write_all_at(&vec![octet; (until - from) as usize], from).unwrap();
}

fn double(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let last = (file.metadata().unwrap().len() - 1) / (512 * 1024);
    let mut segment = vec![0; 64 * 1024];
    file.read_exact_at(&mut segment, last * 512 * 1024).unwrap();
    file.write_all_at(&segment, 0).unwrap();
}

/// Changes one octet that is neither 0 nor filling, at a place spread over the file by its number.
fn flip(path: &Path, number: u64) {
    let mut octets = fs::read(path).unwrap();
    let from = octets.len() * number as usize / FLIPS as usize;
    let at = (from..octets.len()).find(|at| ![0, octets[from.max(1) - 1]].contains(&octets[*at])).unwrap_or(from);
    octets[at] ^= 1 << (number % 8);
    fs::write(path, octets).unwrap();
}

fn other_size(path: &Path) {
    let mut octets = fs::read(path).unwrap();
    let at = octets.windows(6).position(|window| window == b"524288").unwrap();
    octets[at..at + 6].copy_from_slice(b"262144");
    fs::write(path, octets).unwrap();
}

/// Puts another value, or none, in the place of a candidate's, by sled's own hand.
fn change_value(folder: &Path, to: impl Fn(&[u8]) -> Option<sled::IVec>) {
    let tree = sled::open(folder).unwrap();
    let (key, old) = tree.scan_prefix(b"c").next().unwrap().unwrap();
    let new = to(&key);
    assert_ne!(new.as_ref(), Some(&old));
    match new {
        Some(new) => drop(tree.insert(key, new).unwrap()),
        None => drop(tree.remove(key).unwrap()),
    }
    tree.flush().unwrap();
}

fn into_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn into_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}
