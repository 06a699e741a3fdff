//! Killed at random moments while it writes, the store keeps every batch that it acknowledged, and every batch whole
//! or not at all.
//!
//! The writer is this test binary itself, started with `POINTSMAN_STORE_WRITER` set. It tells each acknowledged step
//! on its standard output; the parent kills it, opens the store and looks. SIGKILL leaves the page cache alone, so
//! this says nothing of power cuts: `store_sync.rs` does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pointsman::store::kept::{Kept, Write};
use pointsman::store::{EventFilter, OpenState, Store};
use pointsman::zone::texts::Texts;
use support::*;

const KILLS: u32 = 200;
const WRITER: &str = "POINTSMAN_STORE_WRITER";
const SEED: &str = "POINTSMAN_STORE_SEED";

/// A generator of our own, so that a seed gives the same run everywhere (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

/// What one step keeps, all of it in one batch. Every part carries the step's number, and the parts have very
/// different sizes.
fn batch(step: u64) -> Vec<Write> {
    let name = format!("www{}.shop.example.", step % 50);
    let size = if step.is_multiple_of(97) { 300_000 } else { (step as usize * 37) % 9_000 };
    let mut batch = vec![
        Write::Generation(step),
        Write::Event(event(step, NOW.0 + step, &name, "bunny")),
        Write::Candidate(candidate("a.example.", "bunny"), memory(step)),
        Write::Candidate(candidate(&name, "gcore"), memory(step)),
        Write::Decision("b.example.".to_owned(), decision(step as u32)),
        Write::Override(drain(step, &format!("step {step}"))),
        Write::Decision("shop.example.".to_owned(), large(step as u8, size)),
    ];
    if step > 20 {
        batch.push(Write::ForgetOverride(step - 20));
    }
    batch
}

/// A zone's text; its parts tell the step.
fn zone_text(zone: u64, step: u64) -> Texts {
    let number = step.to_le_bytes();
    let files = [("main".to_owned(), number.to_vec()), ("rest".to_owned(), number.repeat(100 * zone as usize + 1))];
    Texts { main: "main".to_owned(), files: files.into() }
}

#[test]
fn writer() {
    let Ok(folder) = std::env::var(WRITER) else { return };
    let opened = open(Path::new(&folder));
    assert_eq!(opened.state, OpenState::Fine, "after a kill");
    let mut step = opened.kept.generation;
    let store = opened.store;
    let mut out = std::io::stdout();
    // The test harness has begun a line of its own.
    writeln!(out).unwrap();
    runtime().block_on(async {
        // Two under way at a time, so that some kills come between two that wait for one commit.
        loop {
            let (first, second) = tokio::join!(store.write(batch(step + 1)), store.write(batch(step + 2)));
            first.and(second).unwrap();
            step += 2;
            // Now and then so many that they are synced together.
            let zones = if step.is_multiple_of(16) { 40 } else { 3 };
            let texts = |zone| (format!("{zone}.example."), zone_text(zone, step));
            store.texts().post((0..zones).map(texts).collect(), vec!["39.example.".to_owned()]);
            if step.is_multiple_of(8) {
                assert!(store.texts().settle(Duration::from_secs(60)));
                writeln!(out, "kept {step}").unwrap();
            }
            writeln!(out, "ack {step}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_0001);
    eprintln!("seed {seed} (set {SEED} for another)");
    let mut chance = Chance(seed);
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let (mut acknowledged, mut kept) = (0, 0);
    let mut openings = Vec::new();
    for kill in 0..KILLS {
        // From the first moments of opening until well into writing.
        let life = Duration::from_micros(chance.below(180_000));
        // Every other one is killed once it writes, however long this machine takes to start it.
        let told = run_and_kill(&folder, life, kill % 2 == 1);
        acknowledged = acknowledged.max(told.acknowledged);
        kept = kept.max(told.kept);
        if !folder.exists() {
            assert_eq!(acknowledged, 0);
            continue;
        }
        let began = Instant::now();
        let opened = open_fine(&folder);
        openings.push(began.elapsed());
        assert!(
            opened.kept.generation >= acknowledged,
            "kill {kill}: {acknowledged} was acknowledged, {} is there",
            opened.kept.generation
        );
        assert_whole(&opened.kept);
        let runtime = runtime();
        let all = EventFilter { limit: 1000, ..EventFilter::default() };
        let page = runtime.block_on(opened.store.events(all)).unwrap();
        let ids: Vec<u64> = page.events.iter().map(|event| event.id).collect();
        let newest = opened.kept.generation;
        assert_eq!(ids, (newest.saturating_sub(999).max(1)..=newest).rev().collect::<Vec<_>>(), "kill {kill}");
        assert_texts(&opened.store, kept, kill);
        acknowledged = newest;
        runtime.block_on(opened.store.close()).unwrap();
    }
    openings.sort();
    assert!(acknowledged > u64::from(KILLS), "the writer came to {acknowledged} steps only");
    eprintln!(
        "{KILLS} kills, {acknowledged} steps; opening after a kill: median {:?}, longest {:?}",
        openings[openings.len() / 2],
        openings[openings.len() - 1]
    );
}

/// The last steps that a writer told of.
#[derive(Default)]
struct Told {
    acknowledged: u64,
    kept: u64,
}

/// Starts a writer, kills it after `life`, and gives the last steps that it told of. Its life begins with its process, or
/// with its first step.
fn run_and_kill(folder: &Path, life: Duration, from_first_step: bool) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(WRITER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap());
    let (first_step, begun) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut last = Told::default();
        for line in told.lines().map_while(Result::ok) {
            match line.split_once(' ').map(|(word, step)| (word, step.parse())) {
                Some(("ack", Ok(step))) => {
                    last.acknowledged = step;
                    // Who does not wait for it is gone.
                    let _ = first_step.send(());
                }
                Some(("kept", Ok(step))) => last.kept = step,
                _ => {}
            }
        }
        last
    });
    if from_first_step {
        begun.recv_timeout(Duration::from_secs(60)).expect("a first step");
    }
    thread::sleep(life);
    assert_eq!(child.try_wait().unwrap(), None, "the writer ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap()
}

/// Each zone has a text of one step, whole, and no older one than was told to be kept.
fn assert_texts(store: &Store, kept: u64, kill: u32) {
    // What the kill left unfinished goes, as with the first load of a server.
    store
        .texts()
        .post_sweep((0..40).map(|zone| format!("{zone}.example.")).collect::<Vec<_>>().iter().map(String::as_str));
    assert!(store.texts().settle(Duration::from_secs(60)));
    for origin in store.texts().origins() {
        let zone: u64 = origin.strip_suffix(".example.").unwrap().parse().unwrap();
        let texts = store.texts().get(&origin).unwrap_or_else(|| panic!("kill {kill}: {origin} is damaged"));
        let step = u64::from_le_bytes(texts.files["main"][..].try_into().unwrap());
        assert_eq!(texts, zone_text(zone, step), "kill {kill}");
        assert!(zone >= 3 || step >= kept, "kill {kill}: {origin} was kept at step {kept}, and is of {step}");
    }
}

/// All that is there is what the steps up to the last one left, nothing of one without the rest of it.
fn assert_whole(kept: &Kept) {
    let step = kept.generation;
    assert_eq!((kept.last_event, kept.last_override), (step, step));
    if step == 0 {
        return;
    }
    let mut candidates = BTreeMap::new();
    let mut decisions = BTreeMap::new();
    let mut overrides = BTreeMap::new();
    for write in (step.saturating_sub(60).max(1)..=step).flat_map(batch) {
        match write {
            Write::Candidate(key, memory) => drop(candidates.insert(key, memory)),
            Write::Decision(name, decision) => drop(decisions.insert(name, decision)),
            Write::Override(placed) => drop(overrides.insert(placed.id, placed)),
            Write::ForgetOverride(id) => drop(overrides.remove(&id)),
            _ => {}
        }
    }
    let overrides: Vec<_> = overrides.into_values().filter(|placed| placed.id + 20 > step).collect();
    assert_eq!(kept.overrides, overrides);
    assert_eq!(kept.decisions.iter().cloned().collect::<BTreeMap<_, _>>(), decisions);
    assert_eq!(kept.candidates.iter().cloned().collect::<BTreeMap<_, _>>(), candidates);
}
