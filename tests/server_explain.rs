//! What the server tells of its answers and of itself: explanations and metrics.

#[path = "support/server.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};
use support::{Server, Site, Targets, eventually, question, said, until};

fn site() -> (Site, Targets, Server) {
    let (site, targets) = (Site::new(), Targets::new(2));
    let plain = "plain 60 IN A 192.0.2.7\n*.wild 60 IN A 192.0.2.8\nmail 60 IN MX 10 plain\n";
    site.zone("shop.example", &(plain.to_owned() + &targets.steered("www", "")));
    let server = site.start();
    server.wait_ready();
    (site, targets, server)
}

fn steps(explanation: &Value) -> String {
    let steps = explanation["steps"].as_array().expect("a list");
    assert!(!steps.is_empty(), "{explanation}");
    steps.iter().map(|step| step.as_str().expect("text").to_owned() + "\n").collect()
}

#[test]
fn explanations_say_what_the_dns_says() {
    let (site, targets, server) = site();
    for (name, rcode) in [
        ("plain.shop.example", "NOERROR"),
        ("a.wild.shop.example", "NOERROR"),
        ("mail.shop.example", "NOERROR"),
        ("none.shop.example", "NXDOMAIN"),
        ("www.shop.example", "NOERROR"),
    ] {
        let explanation = server.document(&format!("/v1/explain?name={name}&client=127.0.0.1"));
        let asked = server.ask(&format!("{name}."), RecordType::A);
        assert_eq!(explanation["rcode"], rcode, "{explanation}");
        assert_eq!(asked.response_code == ResponseCode::NXDomain, rcode == "NXDOMAIN");
        let records = explanation["answer"].as_array().expect("a list");
        let said: Vec<_> = records.iter().map(|line| line.as_str().expect("text").to_owned()).collect();
        let heard = asked.answers.iter().map(|record| format!("{} {} IN A {}", record.name, record.ttl, record.data));
        assert_eq!(said, heard.collect::<Vec<_>>(), "{name}");
        steps(&explanation);
    }
    let wildcard = server.document("/v1/explain?name=a.wild.shop.example");
    assert!(steps(&wildcard).contains("*.wild.shop.example."), "{wildcard}");
    let steered = server.document("/v1/explain?name=WWW.shop.EXAMPLE&type=a&client=198.51.100.7");
    assert_eq!((&steered["candidate"], &steered["client"]), (&json!("bunny"), &json!("198.51.100.7")), "{steered}");
    assert_eq!(steered["steered"]["name"], "www.shop.example.");
    assert!(steered["answer"][0].as_str().expect("a record").ends_with(&targets.address(0).to_string()));
    let mx = server.document("/v1/explain?name=mail.shop.example&type=MX");
    assert_eq!(mx["answer"], json!(["mail.shop.example. 60 IN MX 10 plain.shop.example."]));
    assert_eq!(server.get("/v1/explain?name=www.elsewhere.example").status, 404);
    assert_eq!(server.get("/v1/explain?name=www.shop.example&type=ODD").status, 400);
    let table = site.run(&["explain", "www.shop.example"]);
    assert!(table.status.success() && String::from_utf8_lossy(&table.stdout).contains("bunny"));
    assert_eq!(site.run(&["explain", "www.elsewhere.example"]).status.code(), Some(2));
    server.stop();
}

#[test]
fn metrics_are_well_formed_and_count() {
    let (_site, _targets, server) = site();
    let before = server.metric("pointsman_queries_total{transport=\"udp\"}").unwrap_or(0.0);
    for _ in 0..10 {
        server.ask("plain.shop.example.", RecordType::A);
    }
    server.ask("none.shop.example.", RecordType::A);
    let query = question(1, "plain.shop.example.", RecordType::A);
    let mut stream = TcpStream::connect(server.dns).expect("it listens");
    stream.write_all(&u16::try_from(query.len()).expect("short").to_be_bytes()).expect("it is sent");
    stream.write_all(&query).expect("it is sent");
    stream.read_exact(&mut [0; 14]).expect("an answer");
    // A datagram that was lost and asked for again may count twice.
    // And an answer may come before it is counted.
    eventually("all are counted", || {
        let udp = server.metric("pointsman_queries_total{transport=\"udp\"}").expect("it is there");
        let tcp = server.metric("pointsman_queries_total{transport=\"tcp\"}");
        let nxdomain = server.metric("pointsman_responses_total{rcode=\"3\"}");
        udp - before >= 11.0 && tcp == Some(1.0) && nxdomain.is_some_and(|count| count >= 1.0)
    });
    assert_eq!(server.metric("pointsman_store_ok"), Some(1.0));
    assert_eq!(server.metric("pointsman_ready"), Some(1.0));
    well_formed(&server.get("/metrics").body);
    server.stop();
}

/// Each metric is declared once, before its samples, which stand together; no sample is there twice.
fn well_formed(text: &str) {
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    let mut samples: BTreeMap<String, usize> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            current = declared.split(' ').next().expect("a name").to_owned();
            *types.entry(current.clone()).or_default() += 1;
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(sample.starts_with(&current), "{line} stands below {current}");
            *samples.entry(sample.to_owned()).or_default() += 1;
        }
    }
    let doubled: Vec<_> = types.iter().chain(&samples).filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert!(types.len() > 20 && types.keys().all(|name| name.starts_with("pointsman_")), "{types:?}");
}

/// The history outlives restarts, and says how far it reaches.
#[test]
fn the_past_is_explained_from_the_events_and_exported_as_an_incident() {
    const NAME: &str = "www.shop.example.";
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &targets.steered("www", ""));
    let server = site.start();
    server.wait_ready();
    server.wait_standing(NAME, "bunny", "up");
    server.wait_standing(NAME, "cloudflare", "up");
    let nothing = site.run(&["events", "--export"]);
    assert_eq!(nothing.status.code(), Some(2), "nothing failed yet: {}", said(&nothing));
    targets.set(0, 500);
    server.wait_for(NAME, targets.address(1));
    let decisions = || {
        let page = server.document(&format!("/v1/events?kind=decision&subject={NAME}"));
        page["events"].as_array().expect("a list").clone()
    };
    let moved = until("the move is stored", || {
        let last = decisions().first().cloned()?;
        (last["to"] == "cloudflare 100%").then_some(last)
    });
    server.stop();

    let server = site.start();
    let at = |time: &str| server.document(&format!("/v1/explain?name=WWW.shop.example&at={time}"));
    let time: jiff::Timestamp = moved["at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    let told = at(&time.to_string());
    assert_eq!(told["answers"][0]["answer"], "cloudflare 100%", "{told}");
    assert_eq!((&told["answers"][0]["event"], &told["answers"][0]["why"]), (&moved["id"], &moved["why"]));
    let bunny = told["candidates"].as_array().expect("a list").iter().find(|candidate| candidate["id"] == "bunny");
    assert!(bunny.is_some_and(|bunny| bunny["standing"] == "down" && bunny["why"].as_str().is_some()), "{told}");
    let before = at(&(time - std::time::Duration::from_millis(1)).to_string());
    assert_eq!(before["answers"][0]["answer"], "bunny 100%", "{before}");
    let long_ago = at("2020-01-01T00:00:00Z");
    assert_eq!(long_ago["answers"], serde_json::json!([]));
    assert!(long_ago["steps"][0].as_str().is_some_and(|step| step.contains("not known")), "{long_ago}");
    assert_eq!(server.get(&format!("/v1/explain?name={NAME}&at={time}&type=A")).status, 400);

    let table = site.run(&["explain", NAME, "--at", &time.to_string()]);
    for part in ["cloudflare 100%", "bunny down since", "events reach back to"] {
        assert!(said(&table).contains(part), "{part}: {}", said(&table));
    }
    let output = site.run(&["events", "--export", "--since", "1h"]);
    assert!(output.status.success(), "{}", said(&output));
    let file: toml::Table = String::from_utf8_lossy(&output.stdout).parse().expect("TOML");
    let span = &file["span"][0];
    assert_eq!((span["candidate"].as_str(), span["status"].as_integer()), (Some("www.shop.example./bunny"), Some(500)));
    assert!(span["from"].as_str() < span["until"].as_str(), "{span}");
    server.stop();

    // What happened here is an incident of one's own: played with the zones of that time it moves the same name.
    let history = site.path("history.toml");
    std::fs::write(&history, &output.stdout).expect("the file is written");
    let (history, zones) = (history.display().to_string(), site.path("zones").display().to_string());
    let replayed = site.json(&["replay", &history, "--zones", &zones, "--seeds", "2"]);
    assert_eq!(replayed["names"][0]["name"], NAME, "{replayed}");
    assert_eq!(replayed["total"]["hit"], 2, "{replayed}");
    let flip = &replayed["flips"][0];
    assert_eq!((&flip["name"], &flip["after"]), (&json!(NAME), &json!("cloudflare 100%")), "{replayed}");
}
