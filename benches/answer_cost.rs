//! What one answer costs, inside the answer function only: `benches/answer-cost` counts the instructions of each case under callgrind.
//!
//! ```text
//! benches/answer-cost                 instructions per answer
//! cargo bench --bench answer_cost     nanoseconds per answer, on this machine as it is now
//! ```
//!
//! Each case is a function of its own, never inlined, so that callgrind collects inside it and nowhere else. Keys and questions are fixed:
//! two runs of one binary count alike.
#![allow(clippy::panic)] // A benchmark that cannot be set up has failed.

#[path = "../tests/support/answers.rs"]
mod answers;
#[path = "../tests/support/steered.rs"]
mod by_hand;

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use pointsman::image::published::Published;
use pointsman::image::{MAX_UDP, Reply, Settings, Transport, answer};
use pointsman::steer::decision::Source;
use pointsman::steer::policy::{Shape, SteeredName, Sticky};
use pointsman::steer::shares::Shares;

use answers::{AA, Message, TC, query, with_edns};

/// Answers counted in each case; `benches/answer-cost` divides by it.
const CALLS: usize = 1_000;
/// Names of the large zone.
const NAMES: usize = 10_000;
/// How long a case is repeated where time is told.
const WINDOW: Duration = Duration::from_millis(200);

const A: u16 = 1;
const TXT: u16 = 16;
const NXDOMAIN: u16 = 3;
const PAYLOAD: u16 = 1232;
/// Client subnet 198.51.100.0/24 (RFC 7871, section 6).
const SUBNET: [u8; 11] = [0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100];

/// Functions that callgrind tells apart: what is collected is what happens in them.
mod counted {
    use std::hint::black_box;
    use std::net::IpAddr;

    use pointsman::image::published::Published;
    use pointsman::image::{Reply, Transport, answer};

    macro_rules! cases {
        ($($name:ident),*) => {
            $(
                #[inline(never)]
                pub(super) fn $name(published: &Published, query: &[u8], client: IpAddr, number: u64, out: &mut [u8]) -> Reply {
                    // Functions with equal bodies would become one: each looks at its own name.
                    black_box(stringify!($name));
                    answer(published, query, client, Transport::Udp, number, out)
                }
            )*
        };
    }

    cases!(
        hit,
        hit_edns,
        alias_away,
        steered_address,
        steered_address_subnet,
        steered_cname,
        nxdomain,
        referral,
        truncated
    );
}

struct Case {
    name: &'static str,
    counted: fn(&Published, &[u8], IpAddr, u64, &mut [u8]) -> Reply,
    question: fn(usize) -> Vec<u8>,
    /// Whether an answer is the one that the case is about.
    right: fn(&Message) -> bool,
}

const CASES: [Case; 9] = [
    Case {
        name: "hit",
        counted: counted::hit,
        question: |i| query(&hit_name(i), A),
        right: |message| message.has(AA) && message.answer.len() == 1 && message.opt.is_none(),
    },
    Case {
        name: "hit_edns",
        counted: counted::hit_edns,
        question: |i| with_edns(query(&hit_name(i), A), PAYLOAD, 0, &[]),
        right: |message| message.has(AA) && message.answer.len() == 1 && message.opt.is_some(),
    },
    Case {
        name: "alias_away",
        counted: counted::alias_away,
        question: |i| query(&format!("away{:02}.static.example.", i % 100), A),
        right: |message| message.has(AA) && message.answer.len() == 1 && message.answer[0].rtype == 5,
    },
    Case {
        name: "steered_address",
        counted: counted::steered_address,
        question: |i| query(&format!("n{:04}.steer.example.", i % CALLS), A),
        right: |message| message.answer.len() == 1 && message.answer[0].ttl == 30,
    },
    Case {
        name: "steered_address_subnet",
        counted: counted::steered_address_subnet,
        question: |i| with_edns(query(&format!("n{:04}.steer.example.", i % CALLS), A), PAYLOAD, 0, &SUBNET),
        right: |message| message.answer.len() == 1 && message.answer[0].ttl == 30 && message.opt.is_some(),
    },
    Case {
        name: "steered_cname",
        counted: counted::steered_cname,
        question: |i| query(&format!("c{:04}.steer.example.", i % CALLS), A),
        right: |message| message.answer.len() == 1 && message.answer[0].rtype == 5,
    },
    Case {
        name: "nxdomain",
        counted: counted::nxdomain,
        question: |i| query(&format!("x{:07}.static.example.", i * (NAMES / CALLS)), A),
        right: |message| message.rcode() == NXDOMAIN && message.authority.len() == 1,
    },
    Case {
        name: "referral",
        counted: counted::referral,
        question: |i| query(&format!("host{i}.cut{:02}.static.example.", i % 100), A),
        right: |message| !message.has(AA) && message.authority.len() == 2 && message.additional.len() == 2,
    },
    Case {
        name: "truncated",
        counted: counted::truncated,
        question: |i| query(&format!("long{:02}.static.example.", i % 100), TXT),
        right: |message| message.has(TC),
    },
];

fn main() {
    let published = published();
    let once = std::env::args().any(|argument| argument == "--once");
    for case in &CASES {
        let asked: Vec<Asked> = (0..CALLS).map(|i| Asked::new(&published, case, i)).collect();
        if once {
            run(case, &published, &asked);
        } else {
            println!("{:24} {:7.1} ns", case.name, nanoseconds(case, &published, &asked));
        }
    }
    if once {
        println!("{CALLS} calls of {}", CASES.map(|case| case.name).join(" "));
    }
}

/// One question, and who puts it.
struct Asked {
    octets: Vec<u8>,
    client: IpAddr,
    number: u64,
}

impl Asked {
    /// Ends the program where the answer is not what the case is about.
    fn new(published: &Published, case: &Case, i: usize) -> Self {
        let client = Ipv4Addr::from(0xc000_0200 | (i as u32) << 8);
        let number = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
        let asked = Self { octets: (case.question)(i), client: client.into(), number };
        let mut out = vec![0; MAX_UDP];
        // From outside of the case: not counted.
        let reply = answer(published, &asked.octets, asked.client, Transport::Udp, asked.number, &mut out);
        let Reply::Message { len, .. } = reply else { panic!("{}: no answer", case.name) };
        let message = Message::read(&out[..len]).expect("a message");
        assert!((case.right)(&message), "{}: {message:?}", case.name);
        asked
    }
}

fn run(case: &Case, published: &Published, asked: &[Asked]) {
    let mut out = vec![0; MAX_UDP];
    for asked in asked {
        black_box((case.counted)(published, &asked.octets, asked.client, asked.number, &mut out));
    }
}

fn nanoseconds(case: &Case, published: &Published, asked: &[Asked]) -> f64 {
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < WINDOW {
        run(case, published, asked);
        rounds += 1;
    }
    start.elapsed().as_secs_f64() * 1e9 / (f64::from(rounds) * CALLS as f64)
}

/// The large zone, and one with two steered names of each kind for each call. The only place that builds an image.
fn published() -> Published {
    let names = (0..CALLS).flat_map(|i| [steered_by_address(i), steered_by_name(i)]).collect();
    let zones = [
        answers::zone("static.example.", &static_zone(), Vec::new()),
        answers::zone("steer.example.", &head("steer.example."), names),
    ];
    let settings = Settings { seed: 7, client_key: [7; 16], ..Settings::default() };
    let mut published = answers::published(&zones, &[], &settings);
    let shares = || Source::Candidates(Shares::build(&[70, 30], None).expect("weights"));
    let reasons = by_hand::whole(0, 2, 30, None).reasons.clone();
    let decisions = (0..2 * CALLS).map(|_| by_hand::decision(shares(), 30, reasons.clone())).collect();
    by_hand::select(&mut published, decisions);
    published
}

fn head(origin: &str) -> String {
    format!(
        "$ORIGIN {origin}\n$TTL 300\n@ IN SOA ns1 host 2000000001 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
    )
}

/// Names of one label, a hundred aliases of names elsewhere, cuts with glue, and RRsets that no plain UDP answer holds.
fn static_zone() -> String {
    let mut text = head("static.example.");
    for i in 0..NAMES {
        let [_, b, c, d] = (i as u32).to_be_bytes();
        writeln!(text, "h{i:07} IN A 10.{b}.{c}.{d}").expect("a string");
    }
    for i in 0..100 {
        let string = "x".repeat(200);
        write!(
            text,
            "cut{i:02} IN NS ns1.cut{i:02}\ncut{i:02} IN NS ns2.cut{i:02}\n\
             ns1.cut{i:02} IN A 192.0.2.1\nns2.cut{i:02} IN A 192.0.2.2\n\
             away{i:02} IN CNAME shop{i:02}.b-cdn.example.net.\n\
             long{i:02} IN TXT \"a{string}\"\nlong{i:02} IN TXT \"b{string}\"\nlong{i:02} IN TXT \"c{string}\"\n"
        )
        .expect("a string");
    }
    text
}

fn hit_name(i: usize) -> String {
    format!("h{:07}.static.example.", i * (NAMES / CALLS))
}

fn steered_by_address(i: usize) -> SteeredName {
    let targets = ["192.0.2.10", "192.0.2.11"];
    by_hand::steered(&format!("n{i:04}.steer.example."), "steer.example.", Shape::Addresses, Sticky::Yes, &targets)
}

fn steered_by_name(i: usize) -> SteeredName {
    let (eu, us) = (format!("n{i:04}.eu-cdn.example.net."), format!("n{i:04}.us-cdn.example.org."));
    by_hand::steered(&format!("c{i:04}.steer.example."), "steer.example.", Shape::Cname, Sticky::Yes, &[&eu, &us])
}
