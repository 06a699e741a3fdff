//! Microbenchmarks for people: look-up, parse, load, decide (`cargo bench --bench micro`).
//!
//! A name of many zones to look up is asked of the whole answer function: there is no smaller one in public. Names are asked in a scattered
//! order, so that a million of them do not stay in the cache.

#[path = "../tests/support/answers.rs"]
mod answers;
#[path = "../tests/support/steered.rs"]
mod steered;

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

/// Deciding, and nothing besides: what a step of the core costs until it has said what follows. Not counted are publishing, storing
/// and logging that, which are the controller's.
///
/// Names have two candidates, every third name three. The first is at a provider that falls, the others pass. Probes are spread over
/// time as in life, so that hardly two names have been heard of in one moment.
mod decide {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use pointsman::steer::effects::Effects;
    use pointsman::steer::observation::{CandidateKey, Cause, Fault, Observation, Outcome, Stage};
    use pointsman::steer::policy::{Shape, SteeredName, Sticky};
    use pointsman::steer::steering::Steering;
    use pointsman::steer::time::Time;
    use pointsman::steer::transition::{Change, Verdict};

    use super::*;

    /// When all begin to pass, and when a part of them begins to fail.
    const PASSED: u64 = 1_764_892_800_000;
    const FELL: u64 = PASSED + 30_000;
    /// Probes of one kind are spread over so long, in milliseconds.
    const ROUND: u64 = 10_000;
    const IDS: [&str; 3] = ["fell", "away", "third"];
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// The observation by which a provider falls: half as many more have fallen, and it is asked how the others are.
    #[divan::bench(args = [10_000], sample_count = 20, sample_size = 1)]
    fn verdict_of_a_provider(bencher: Bencher, names: usize) {
        let (before, last) = falling(names, 2 * names);
        bencher.counter(ItemsCount::new(names)).with_inputs(|| before.clone()).bench_local_values(|mut steering| {
            let effects = observed(&mut steering, &last);
            assert!(effects.probes.len() >= 2 * names);
            (steering, effects)
        });
    }

    /// Those that nobody has heard of since leave it: half as many more fell themselves.
    #[divan::bench(args = [1_000, 10_000], sample_count = 20, sample_size = 1)]
    fn fall_of_a_provider(bencher: Bencher, names: usize) {
        let (before, at) = fallen(names);
        bencher.counter(ItemsCount::new(names)).with_inputs(|| before.clone()).bench_local_values(|mut steering| {
            let effects = ticked(&mut steering, at);
            assert_eq!((effects.decided.len(), moves(&effects)), (names, names));
            (steering, effects)
        });
    }

    /// The observation by which 80 % have fallen: the others leave at once, be it that they pass.
    #[divan::bench(args = [10_000], sample_count = 10, sample_size = 1)]
    fn fall_of_all(bencher: Bencher, names: usize) {
        let (before, last) = falling(4 * names, 5 * names);
        bencher.counter(ItemsCount::new(names)).with_inputs(|| before.clone()).bench_local_values(|mut steering| {
            let effects = observed(&mut steering, &last);
            assert!(moves(&effects) >= names, "{}", moves(&effects));
            (steering, effects)
        });
    }

    /// The provider is no longer down, ten minutes after its candidates fell, which pass again: as many as fell count no
    /// longer, and as many that counted as down have other reasons and wait for their next pass.
    #[divan::bench(args = [10_000], sample_count = 20, sample_size = 1)]
    fn return_of_a_provider(bencher: Bencher, names: usize) {
        let (before, at) = returning(names);
        bencher.counter(ItemsCount::new(names)).with_inputs(|| before.clone()).bench_local_values(|mut steering| {
            let effects = ticked(&mut steering, at);
            assert!(effects.decided.len() >= names);
            assert_eq!(steering.provider(IDS[0]).map(|provider| provider.verdict), Some(Verdict::Up));
            (steering, effects)
        });
    }

    /// All that comes before a verdict: the observations by which candidates fall one by one, each with its decision.
    #[divan::bench(args = [10_000], sample_count = 5, sample_size = 1)]
    fn falls_one_by_one(bencher: Bencher, names: usize) {
        let (passing, falls) = (passing(2 * names), falls(names));
        bencher.counter(ItemsCount::new(names)).with_inputs(|| passing.clone()).bench_local_values(|mut steering| {
            falls.iter().for_each(|seen| play(&mut steering, seen));
            steering
        });
    }

    /// The two steps by themselves, for tools that tell functions apart.
    #[inline(never)]
    fn observed(steering: &mut Steering, seen: &Observation) -> Effects {
        steering.observe(seen, seen.ended)
    }

    #[inline(never)]
    fn ticked(steering: &mut Steering, at: Time) -> Effects {
        steering.tick(at)
    }

    /// Answers that changed.
    fn moves(effects: &Effects) -> usize {
        effects.transitions.iter().filter(|transition| matches!(transition.change, Change::Decision { .. })).count()
    }

    /// So many of all names have fallen but for the last, and the observation by which it does. Where the clients of the others
    /// would go has passed since.
    fn falling(names: usize, all: usize) -> (Steering, Observation) {
        let mut falls = falls(names);
        let last = falls.pop().expect("a fall");
        let mut steering = passing(all);
        falls.iter().for_each(|seen| play(&mut steering, seen));
        for name in names..all {
            play(&mut steering, &pass(name, 1, last.ended.0));
        }
        (steering, last)
    }

    /// The provider fell, half a minute ago when the moment comes that is returned, and nothing is known of so many.
    fn fallen(names: usize) -> (Steering, Time) {
        let (mut steering, last) = falling(names, 2 * names);
        observed(&mut steering, &last);
        for name in names..2 * names {
            play(&mut steering, &pass(name, 1, last.ended.0 + 100 + spread(name - names, names) / 10));
        }
        (steering, Time(last.ended.0 + 30_000))
    }

    /// All that fell themselves pass again; ten minutes after the last fall nothing is left of them.
    fn returning(names: usize) -> (Steering, Time) {
        let (mut steering, at) = fallen(names);
        ticked(&mut steering, at);
        for name in 0..names {
            play(&mut steering, &pass(name, 0, at.0 + 60_000 + spread(name, names)));
        }
        let at = Time(at.0 + 600_000);
        (steering, at)
    }

    fn passing(names: usize) -> Steering {
        let mut steering = Steering::new();
        let (all, facts): (Vec<_>, _) = ((0..names).map(|name| Arc::new(rules(name))).collect(), Arc::default());
        steering.install(&all, Time(PASSED - 1_000));
        for (name, rules) in all.iter().enumerate() {
            for candidate in 0..rules.candidates.len() {
                let passed = pass(name, candidate, PASSED + spread(name, names));
                play(&mut steering, &passed);
                steering.readied(&passed.candidate, HERE, &facts, passed.ended);
            }
        }
        steering
    }

    /// Three failures of each, a second apart, and its sibling passes after the first, in the order of time.
    fn falls(names: usize) -> Vec<Observation> {
        let of_name = |name: usize| {
            let began = FELL + spread(name, names);
            let sibling = [pass(name, 1, began + 100)];
            (0..3).map(move |round| failure(name, began + round * 1_000)).chain(sibling)
        };
        let mut falls: Vec<Observation> = (0..names).flat_map(of_name).collect();
        falls.sort_by_key(|seen| seen.ended);
        falls
    }

    /// Its place in a round, in milliseconds.
    fn spread(name: usize, names: usize) -> u64 {
        name as u64 * ROUND / names as u64
    }

    /// What is due is done before, as the controller does.
    fn play(steering: &mut Steering, seen: &Observation) {
        while let Some(at) = steering.next_tick().filter(|&at| at <= seen.ended) {
            steering.tick(at);
        }
        steering.observe(seen, seen.ended);
    }

    fn rules(name: usize) -> SteeredName {
        let owner = format!("www{name}.shop.example.");
        let targets = ["a", "b", "c"].map(|target| format!("{target}{name}."));
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let targets = &targets[..2 + usize::from(name.is_multiple_of(3))];
        let mut rules = steered::steered(&owner, "shop.example.", Shape::Cname, Sticky::Yes, targets);
        for (candidate, id) in rules.candidates.iter_mut().zip(IDS) {
            (candidate.id, candidate.provider) = (id.into(), id.into());
            candidate.standby = id != IDS[0];
            candidate.weight = 1 + u32::from(id == IDS[1]);
        }
        rules
    }

    fn failure(name: usize, at: u64) -> Observation {
        let fault = Fault {
            stage: Stage::Status,
            status: Some(500),
            certificate: None,
            page: None,
            reason: "status 500".to_owned(),
        };
        seen(name, 0, Outcome::Fail(fault), at)
    }

    fn pass(name: usize, candidate: usize, at: u64) -> Observation {
        seen(name, candidate, Outcome::Pass { latency: Duration::ZERO }, at)
    }

    fn seen(name: usize, candidate: usize, outcome: Outcome, at: u64) -> Observation {
        Observation {
            candidate: CandidateKey {
                name: format!("www{name}.shop.example.").into(),
                candidate: IDS[candidate].into(),
            },
            vantage: "here".into(),
            cause: Cause::Paced,
            address: Some(HERE),
            began: Time(at),
            ended: Time(at),
            holds: Duration::from_secs(30),
            outcome,
        }
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
