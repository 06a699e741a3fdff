//! Before a write is acknowledged, all of the log that was written for it is synced: seen from outside, by strace.
//!
//! sled's own flush ends with `sync_file_range`, which tells neither the file's length nor the disk's cache. What
//! counts is the `fdatasync` behind it. The traced process is this test binary itself, with `POINTSMAN_STORE_TRACED`
//! set.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pointsman::store::kept::Write;
use support::*;

const TRACED: &str = "POINTSMAN_STORE_TRACED";
const WRITES: u64 = 40;

#[test]
fn traced() {
    let Ok(folder) = std::env::var(TRACED) else { return };
    let store = open_fine(Path::new(&folder)).store;
    let mut out = std::io::stdout();
    writeln!(out).unwrap();
    runtime().block_on(async {
        for number in 1..=WRITES {
            let mut batch = vec![Write::Override(drain(number, "traced")), Write::Generation(number)];
            if number % 10 == 0 {
                // Spans several of sled's segments of 512 KiB.
                let large = |part| Write::Decision(format!("{part}.example."), large(number as u8, 1_000_000));
                batch.extend((0..3).map(large));
            }
            store.write(batch).await.unwrap();
            // One text, so many small ones that they make a pack, so many large ones that they are synced together.
            let (zones, size) = match number % 10 {
                5 => (40, 100_000),
                odd if odd % 2 == 1 => (40, 100),
                _ => (1, 100),
            };
            let zone = |at: u64| (format!("{at}.example."), texts(vec![number as u8; size]));
            store.texts().post((0..zones).map(zone).collect(), Vec::new());
            assert!(store.texts().settle(Duration::from_secs(60)));
            writeln!(out, "ack {number}").unwrap();
            out.flush().unwrap();
        }
        store.close().await.unwrap();
    });
}

#[test]
fn the_sync_comes_before_the_acknowledgement() {
    if Command::new("strace").arg("-V").output().is_err() {
        let needs = "needs strace (Debian: strace)";
        assert_ne!(std::env::var("POINTSMAN_PEERS").as_deref(), Ok("required"), "{needs}");
        eprintln!("skipped: {needs}");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let calls = trace(&folder, &scratch.path().join("trace"));
    check_acknowledgements(&calls);
    check_creation(&calls, &folder);
    check_texts(&calls);
    let blobs = calls.iter().filter(|call| call.file.contains("/blobs/")).count();
    assert_eq!(blobs, 0, "a page grew so large that sled put it into a file that nobody syncs");
}

/// One system call: the lines at which it began and ended, its name, the path of its file, the rest of its text.
#[derive(Debug)]
struct Call {
    began: usize,
    ended: usize,
    name: String,
    file: String,
    text: String,
}

fn trace(folder: &Path, output: &Path) -> Vec<Call> {
    let status = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "200",
            "-e",
            "trace=write,pwrite64,pwritev,writev,ftruncate,fsync,fdatasync,sync_file_range,syncfs,rename",
            "-o",
        ])
        .arg(output)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "traced", "--nocapture", "--test-threads=1"])
        .env(TRACED, folder)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    parse(&fs::read_to_string(output).unwrap())
}

/// Calls in the order in which they ended. A call that others interrupt stands in two lines: `... <unfinished ...>`
/// and `<... NAME resumed>...`.
fn parse(trace: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let (began, text) = if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (at, begun.to_owned()));
            continue;
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            let (began, begun) = unfinished.remove(thread).expect("it began before");
            (began, begun + end)
        } else {
            (at, rest.to_owned())
        };
        let Some((name, arguments)) = text.split_once('(') else { continue };
        let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(file, _)| file);
        calls.push(Call { began, ended: at, name: name.to_owned(), file: file.to_owned(), text: text.clone() });
    }
    calls
}

fn check_acknowledgements(calls: &[Call]) {
    let mut acknowledged = 0;
    let mut last_write = 0;
    let mut synced_from = None;
    for call in calls {
        assert!(!call.text.contains(" = -1"), "{call:?}");
        if call.file.ends_with("/store/db") {
            match call.name.as_str() {
                "pwrite64" | "write" | "pwritev" | "writev" | "ftruncate" => last_write = call.ended,
                "fdatasync" | "fsync" => synced_from = synced_from.max(Some(call.began)),
                _ => {}
            }
        }
        if call.name == "write" && call.text.contains("\"ack ") {
            let from = synced_from.take().expect("a sync since the last acknowledgement");
            assert!(
                from > last_write,
                "acknowledged at line {}, written at {last_write}, synced from {from}",
                call.began
            );
            acknowledged += 1;
        }
    }
    assert_eq!(acknowledged, WRITES);
}

/// A text takes its place when all of it is synced, and no text is told to be kept before the folder is synced.
fn check_texts(calls: &[Call]) {
    let mut unsynced: HashMap<&str, usize> = HashMap::new();
    let (mut renamed, mut renames, mut together) = (false, 0, 0);
    for call in calls {
        let in_texts = call.file.contains("/zone-texts");
        match call.name.as_str() {
            "write" if call.text.contains("\"ack ") => assert!(!renamed, "{call:?} before the folder was synced"),
            "write" if in_texts => drop(unsynced.insert(&call.file, call.ended)),
            "fsync" if call.file.ends_with("/zone-texts") => renamed = false,
            "fsync" => unsynced.retain(|file, written| *file != call.file || *written > call.began),
            "syncfs" => {
                together += 1;
                unsynced.retain(|_, written| *written > call.began);
            }
            "rename" if call.text.contains("/zone-texts/") => {
                let from = call.text.split('"').nth(1).expect("a path");
                assert!(!unsynced.contains_key(from), "{call:?} before it was synced");
                renamed = true;
                renames += 1;
            }
            _ => {}
        }
    }
    let large = WRITES / 10;
    assert_eq!((renames, together), (WRITES - large + large * 40, large));
}

/// The folder's entry in its parent, the folder's own entries and sled's settings are synced too, before the first
/// acknowledgement.
fn check_creation(calls: &[Call], folder: &Path) {
    let first = calls.iter().find(|call| call.text.contains("\"ack ")).expect("an acknowledgement").began;
    let folder = folder.to_string_lossy();
    let parent = folder.strip_suffix("/store").unwrap();
    for file in [parent, &folder, &format!("{folder}/conf"), &format!("{folder}/blobs"), &format!("{folder}/tip")] {
        let synced = calls.iter().any(|call| call.file == file && call.name == "fsync" && call.ended < first);
        assert!(synced, "{file} is synced before the first acknowledgement");
    }
}
