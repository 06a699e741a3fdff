//! The ledger of the running server: what was asked over its sockets and how long who answered, over reloads, stops and kills.

#[path = "support/server.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::rr::RecordType;
use serde_json::Value;
use support::{PATIENCE, Server, Site, Targets, question, rename_over, said, until, zone_text};

const NAME: &str = "www.shop.example.";
/// What a crash may lose, in milliseconds.
const LOST: u64 = 10_000;

fn shop(targets: &Targets, policy: &str) -> (Site, Server) {
    let mut site = Site::new();
    site.threads = 2;
    site.zone("shop.example", &targets.steered("www", policy));
    let server = site.start();
    server.wait_ready();
    (site, server)
}

/// What the ledger says of all until now: for who asks again within a second nothing is written, and nothing newer is told.
fn told(server: &Server) -> Value {
    let now = millis();
    until("a document of all until now", || {
        let told = server.document("/v1/jurisdiction");
        (time(&told["until"]) >= now).then_some(told)
    })
}

/// Seconds and answers of a provider for the name, under an area rule or the plain one.
fn served(told: &Value, rule: Option<&str>, provider: &str) -> (f64, u64) {
    let names = told["names"].as_array().expect("a list");
    let named = names.iter().find(|named| named["name"] == NAME && named["rule"].as_str() == rule);
    let shares = named.and_then(|named| named["served"].as_array()).cloned().unwrap_or_default();
    let share = shares.iter().find(|share| share["provider"] == provider);
    share.map_or((0.0, 0), |share| {
        (share["seconds"].as_f64().expect("a number"), share["answers"].as_u64().expect("a number"))
    })
}

fn answers(told: &Value) -> u64 {
    ["static", "bunny", "cloudflare"].iter().map(|provider| served(told, None, provider).1).sum()
}

fn seconds(told: &Value) -> f64 {
    ["static", "bunny", "cloudflare"].iter().map(|provider| served(told, None, provider).0).sum()
}

fn by_udp(server: &Server, count: u64) {
    // A socket for each, so that both threads have some.
    (0..count).for_each(|_| drop(server.ask(NAME, RecordType::A)));
}

/// Over one connection.
fn by_tcp(server: &Server, count: u64) {
    let mut stream = TcpStream::connect(server.dns).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    for _ in 0..count {
        let query = question(7, NAME, RecordType::AAAA);
        let length = u16::try_from(query.len()).expect("short").to_be_bytes();
        stream.write_all(&[&length[..], &query].concat()).expect("it is sent");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("an answer");
        stream.read_exact(&mut vec![0; usize::from(u16::from_be_bytes(length))]).expect("all of it");
    }
}

fn millis() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis()).expect("not so late")
}

fn time(value: &Value) -> u64 {
    let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("RFC 3339");
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

#[test]
fn answers_of_both_transports_are_counted_and_a_reload_loses_none() {
    let targets = Targets::new(2);
    let (site, server) = shop(&targets, "");
    server.wait_for(NAME, targets.address(0));
    let before = answers(&told(&server));
    by_udp(&server, 60);
    by_tcp(&server, 30);
    assert_eq!(answers(&told(&server)), before + 90);

    // Slots change: names come before it. What was counted under the old ones stays.
    by_udp(&server, 20);
    let more = ["a", "b", "c"].map(|owner| targets.steered(owner, "")).concat() + &targets.steered("www", "prefer=us");
    rename_over(&site.zone_file("shop.example"), &zone_text(&more));
    server.reload();
    by_udp(&server, 10);
    by_tcp(&server, 10);
    let after = told(&server);
    assert_eq!(answers(&after), before + 130);
    assert_eq!(served(&after, None, "cloudflare").1, 20, "from the reload on");
    // Other types at the name are no answers of a provider's.
    server.ask(NAME, RecordType::TXT);
    assert_eq!(answers(&told(&server)), before + 130);
    server.stop();
}

#[test]
fn seconds_go_by_shares_and_follow_the_decision() {
    let targets = Targets::new(2);
    let (_site, server) = shop(&targets, "prefer=any");
    let split = until("some time under both", || {
        let told = told(&server);
        (served(&told, None, "cloudflare").0 > 0.5).then_some(told)
    });
    let (bunny, cloudflare) = (served(&split, None, "bunny").0, served(&split, None, "cloudflare").0);
    assert!((bunny - cloudflare).abs() < 0.01, "{split}");
    assert!((seconds(&split) - split["covered_seconds"].as_f64().expect("a number")).abs() < 0.001, "{split}");

    targets.set(0, 500);
    // The client may have had the other one before.
    server.wait_standing(NAME, "bunny", "down");
    let moved = told(&server);
    let later = until("some time after the move", || {
        let told = told(&server);
        (served(&told, None, "cloudflare").0 > served(&moved, None, "cloudflare").0 + 0.5).then_some(told)
    });
    assert_eq!(served(&later, None, "bunny").0, served(&moved, None, "bunny").0);
    let homes: Vec<_> = later["totals"].as_array().expect("a list").iter().map(|share| share["home"].clone()).collect();
    assert!(homes.contains(&"si".into()) && homes.contains(&"us".into()), "{homes:?}");
    assert_eq!(later["exact"], true);
    server.stop();
}

#[test]
fn area_rules_are_counted_apart() {
    let targets = Targets::new(2);
    let mut site = Site::new();
    site.threads = 2;
    site.configure("[areas.sets]\nlab = [\"127.0.0.0/8\"]\n");
    site.zone("shop.example", &targets.steered("www", "prefer.lab=us"));
    let server = site.start();
    server.wait_ready();
    server.wait_for(NAME, targets.address(1));
    let rule = Some("prefer=us");
    let before = served(&told(&server), rule, "cloudflare").1;
    by_udp(&server, 25);
    let told = told(&server);
    assert_eq!(served(&told, rule, "cloudflare").1, before + 25);
    assert_eq!(answers(&told), 0, "nobody asks from elsewhere");
    let (plain, lab) = (seconds(&told), served(&told, rule, "cloudflare").0 + served(&told, rule, "bunny").0);
    assert!(plain > 0.0 && (plain - lab).abs() < 0.001, "both run: {told}");
    server.stop();
}

#[test]
fn a_clean_stop_loses_nothing_and_the_time_until_the_next_start_is_a_gap() {
    let targets = Targets::new(2);
    let (site, server) = shop(&targets, "");
    server.wait_for(NAME, targets.address(0));
    let before = told(&server);
    by_udp(&server, 40);
    by_tcp(&server, 7);
    server.stop();
    let stopped = millis();

    let server = site.start();
    let after = told(&server);
    assert_eq!(answers(&after), answers(&before) + 47);
    assert_eq!(after["exact"], true);
    let covered = after["covered_seconds"].as_f64().expect("a number");
    assert!((seconds(&after) - covered).abs() < 0.001, "{after}");
    assert!(covered >= seconds(&before));
    let gaps: Vec<Value> = after["gaps"].as_array().expect("a list").clone();
    let [first, gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(first["why"], "before the first time that is known");
    assert_eq!(gap["why"], "the server was stopped");
    assert!(time(&gap["from"]) <= stopped && time(&gap["until"]) >= stopped, "{gap}");
    server.stop();
}

#[test]
fn a_crash_loses_ten_seconds_at_most_and_the_document_says_so() {
    let targets = Targets::new(2);
    let (site, server) = shop(&targets, "");
    server.wait_for(NAME, targets.address(0));
    let before = answers(&told(&server));
    // Longer than it may lose; nobody asks for the ledger meanwhile, which would have it written.
    let (began, mut asked) = (millis(), Vec::new());
    while millis() < began + LOST + 3_000 {
        server.ask(NAME, RecordType::A);
        asked.push(millis());
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = millis();
    server.kill();

    let server = site.start();
    let after = told(&server);
    assert_eq!(after["exact"], false);
    let gap = after["gaps"].as_array().and_then(|gaps| gaps.last()).expect("a gap").clone();
    assert!(gap["why"].as_str().is_some_and(|why| why.contains("without a clean stop")), "{gap}");
    assert!(time(&gap["from"]) >= killed - LOST && time(&gap["from"]) <= killed, "{gap}, killed {killed}");
    let sure = asked.iter().filter(|at| **at < killed - LOST).count() as u64;
    let counted = answers(&after) - before;
    assert!(sure > 0 && counted >= sure && counted <= asked.len() as u64, "{counted} of {}, {sure} sure", asked.len());
    let covered = after["covered_seconds"].as_f64().expect("a number");
    assert!((seconds(&after) - covered).abs() < 0.001, "{after}");

    // What comes after is exact again.
    by_udp(&server, 5);
    assert_eq!(answers(&told(&server)), answers(&after) + 5);
    server.stop();
}

#[test]
fn the_command_tells_what_the_api_does() {
    let targets = Targets::new(2);
    let (site, server) = shop(&targets, "");
    by_udp(&server, 3);
    told(&server);
    let json = site.json(&["jurisdiction", "--from", "2h", "--name", "WWW.shop.example"]);
    assert!(served(&json, None, "bunny").1 >= 3, "{json}");
    let table = site.run(&["jurisdiction"]);
    assert!(table.status.success(), "{}", said(&table));
    for part in ["counted ", ", exactly\n", "HOME", NAME, "bunny", " si "] {
        assert!(said(&table).contains(part), "{part}: {}", said(&table));
    }
    let csv = site.run(&["jurisdiction", "--format", "csv"]);
    assert!(said(&csv).starts_with("from,until,exact,name,rule,provider,home,seconds,answers\r\n"), "{}", said(&csv));
    assert!(said(&csv).contains(",true,www.shop.example.,,bunny,si,"), "{}", said(&csv));
    for words in [&["jurisdiction", "--from", "yesterday"][..], &["jurisdiction", "--from", "1h", "--to", "2h"]] {
        assert_eq!(site.run(words).status.code(), Some(2), "{words:?}");
    }
    assert_eq!(site.json(&["jurisdiction", "--name", "other.shop.example"])["names"], Value::Array(Vec::new()));
    server.stop();
}
