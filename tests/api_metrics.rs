//! Metrics: what is rendered, what the table says and what `docs/METRICS.md` says are one.

#[path = "support/api.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use pointsman::api::metrics::{Kind, METRICS, find, markdown};
use support::Server;

#[test]
fn the_page_holds_the_table() {
    let page = include_str!("../docs/METRICS.md");
    assert!(page.contains(&markdown()), "docs/METRICS.md should hold this table:\n{}", markdown());
}

#[test]
fn a_scrape_shows_every_metric_of_the_api_and_promtool_finds_no_fault() {
    let server = Server::start();
    server.get("/v1/names");
    server.get("/nothing/at/all");
    let text = server.get("/metrics").body;
    for metric in METRICS {
        let scraped = metric.kind == Kind::Scraped || metric.name.starts_with("pointsman_api_");
        let line = format!("# TYPE {} {}\n", metric.name, metric.kind.word());
        assert!(!scraped || text.contains(&line), "{} is missing:\n{text}", metric.name);
    }
    for line in [
        "pointsman_candidate_standing{name=\"www.shop.example.\",candidate=\"cloudflare\",provider=\"cloudflare\",standing=\"down\"} 1\n",
        "pointsman_candidate_standing{name=\"www.shop.example.\",candidate=\"cloudflare\",provider=\"cloudflare\",standing=\"up\"} 0\n",
        "pointsman_name_share{name=\"www.shop.example.\",candidate=\"bunny\",provider=\"bunny\"} 1\n",
        "pointsman_zone_state{zone=\"clinic.example.\",state=\"stale\"} 1\n",
        "pointsman_generation 42\n",
        "pointsman_store_ok 1\n",
        "pointsman_api_requests_total{route=\"/v1/names\",status=\"200\"}",
        "pointsman_api_requests_total{route=\"none\",status=\"404\"}",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    assert!(!text.contains("/nothing/at/all"), "paths make no series");
    promtool(&text);
}

fn promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(
            std::env::var("POINTSMAN_PEERS").as_deref() != Ok("required"),
            "promtool is missing (Debian: prometheus)"
        );
        eprintln!("skipped: needs promtool (Debian: prometheus)");
        return;
    };
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Whatever the program counts stands in the table, with its kind; whatever the table calls counted is counted.
#[test]
fn the_source_and_the_table_name_the_same_metrics() {
    let mut used = BTreeSet::new();
    read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut used);
    for (kind, name) in &used {
        let metric = find(name).unwrap_or_else(|| panic!("{name} is not in api::metrics::METRICS"));
        assert_eq!(metric.kind.word(), kind, "{name}");
    }
    for metric in METRICS.iter().filter(|metric| metric.kind != Kind::Scraped) {
        assert!(used.iter().any(|(_, name)| name == metric.name), "nothing counts {}", metric.name);
    }
}

fn read(folder: &Path, used: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("the source is here") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            read(&path, used);
        } else {
            let text = std::fs::read_to_string(&path).expect("source is UTF-8");
            for kind in ["counter", "gauge", "histogram"] {
                let opening = format!("{kind}!(");
                let names = text.split(&opening).skip(1).filter_map(|call| call.trim_start().strip_prefix('"'));
                let names = names.filter_map(|call| call.split_once('"')).map(|(name, _)| name);
                let ours = names.filter(|name| name.starts_with("pointsman_"));
                used.extend(ours.map(|name| (kind.to_owned(), name.to_owned())));
            }
        }
    }
}
