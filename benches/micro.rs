//! Microbenchmarks for people: look-up, parse, load (`cargo bench --bench micro`). Deciding has its own (`decide.rs`).
//!
//! A name of many zones to look up is asked of the whole answer function: there is no smaller one in public. Names are asked in a scattered
//! order, so that a million of them do not stay in the cache.

#[path = "../tests/support/answers.rs"]
mod answers;

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use pointsman::image::published::Published;
use pointsman::image::{CompiledZone, MAX_UDP, Settings, Transport, answer};
use pointsman::zone::load;

use answers::{CLIENT, name, query};

const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;
/// Records of the text that is read.
const RECORDS: usize = 100_000;
/// Questions of one benchmark, put in turn.
const QUESTIONS: usize = 65_536;
const ORIGIN: &str = "static.example.";

fn main() {
    divan::main();
}

mod look_up {
    use super::*;

    #[divan::bench(args = [SMALL, LARGE], sample_count = 200, sample_size = 5_000)]
    fn hit(bencher: Bencher, names: usize) {
        ask(bencher, names, |i| format!("h{i:07}.{ORIGIN}"));
    }

    /// A name of one label that is not there: NXDOMAIN.
    #[divan::bench(args = [SMALL, LARGE], sample_count = 200, sample_size = 5_000)]
    fn miss(bencher: Bencher, names: usize) {
        ask(bencher, names, |i| format!("x{i:07}.{ORIGIN}"));
    }

    /// A name of twenty labels below one that is there: NXDOMAIN.
    #[divan::bench(args = [SMALL, LARGE], sample_count = 200, sample_size = 5_000)]
    fn deep(bencher: Bencher, names: usize) {
        ask(bencher, names, |i| format!("{}h{i:07}.{ORIGIN}", "a.".repeat(20)));
    }

    fn ask(bencher: Bencher, names: usize, owner: impl Fn(usize) -> String) {
        let published = published(names);
        let questions: Vec<Vec<u8>> = (0..QUESTIONS).map(|i| query(&owner(scattered(i, names)), 1)).collect();
        let client = CLIENT.parse().expect("an address");
        let mut out = vec![0; MAX_UDP];
        let mut at = 0;
        bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
            at = (at + 1) % QUESTIONS;
            answer(published, black_box(&questions[at]), client, Transport::Udp, 0, &mut out)
        });
    }

    /// Each size is built once.
    fn published(names: usize) -> &'static Published {
        static SMALL_IMAGE: OnceLock<Published> = OnceLock::new();
        static LARGE_IMAGE: OnceLock<Published> = OnceLock::new();
        let place = if names == SMALL { &SMALL_IMAGE } else { &LARGE_IMAGE };
        place.get_or_init(|| image(&[answers::zone(ORIGIN, &text(names), Vec::new())]))
    }
}

/// Zone text to checked records.
#[divan::bench(sample_count = 20)]
fn parse(bencher: Bencher) {
    let text = text(RECORDS);
    let origin = name(ORIGIN);
    let settings = load::Settings::default();
    bencher.counter(ItemsCount::new(RECORDS)).counter(BytesCount::of_str(&text)).bench_local(|| {
        let loaded = load::read_text(&origin, text.as_bytes(), &settings);
        assert_eq!(loaded.errors(), 0);
        loaded
    });
}

/// Zone text to an image that answers.
#[divan::bench(sample_count = 20)]
fn load(bencher: Bencher) {
    let text = text(RECORDS);
    bencher
        .counter(ItemsCount::new(RECORDS))
        .counter(BytesCount::of_str(&text))
        .bench_local(|| image(&[answers::zone(ORIGIN, &text, Vec::new())]));
}

/// The only place that builds an image.
fn image(zones: &[Arc<CompiledZone>]) -> Published {
    answers::published(zones, &[], &Settings { seed: 7, ..Settings::default() })
}

/// One zone of so many names: A, AAAA, CNAME and TXT in 70, 15, 10 and 5 of a hundred.
fn text(names: usize) -> String {
    let mut text = "$TTL 300\n@ IN SOA ns1 host 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 127.0.0.1\n".to_owned();
    for i in 0..names {
        let [_, b, c, d] = (i as u32).to_be_bytes();
        match i % 20 {
            0..14 => writeln!(text, "h{i:07} IN A 10.{b}.{c}.{d}"),
            14..17 => writeln!(text, "h{i:07} IN AAAA 2001:db8::{b:x}:{c:x}:{d:x}"),
            17..19 => writeln!(text, "h{i:07} IN CNAME h{i:07}.target.example.net."),
            _ => writeln!(text, "h{i:07} IN TXT \"v=bench1 id={i:07} some-verification-token\""),
        }
        .expect("a string");
    }
    text
}

/// The i-th of `names` numbers in an order that jumps; only names with an A record, or none would be a hit.
fn scattered(i: usize, names: usize) -> usize {
    let number = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % names;
    number - number % 20
}
