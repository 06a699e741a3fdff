//! Reloading: by watch, by signal and by order; each zone by itself, the configuration as a whole or not at all.

#[path = "support/server.rs"]
mod support;

use std::fs;
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};
use support::{Server, Site, Targets, eventually, rename_over, zone_text};

const BROKEN: &str = "www 60 IN A not-an-address\n";

/// Waits until a name has this one address.
fn wait(server: &Server, name: &str, address: &str) {
    server.wait_for(name, address.parse().expect("an address"));
}

/// Two zones, and the server; what it has read at its start is over.
fn two_zones() -> (Site, Server) {
    let site = Site::new();
    site.zone("a.example", "www 60 IN A 192.0.2.1\n");
    site.zone("b.example", "www 60 IN A 192.0.2.1\n");
    let server = site.start();
    wait(&server, "www.a.example.", "192.0.2.1");
    (site, server)
}

fn lines(report: &Value, field: &str) -> String {
    report[field].as_array().expect("a list").iter().map(|line| line.as_str().unwrap_or_default()).collect()
}

#[test]
fn a_changed_zone_is_seen_whichever_way_it_was_written() {
    let (site, server) = two_zones();
    site.zone("a.example", "www 60 IN A 192.0.2.2\n");
    wait(&server, "www.a.example.", "192.0.2.2");
    rename_over(&site.zone_file("a.example"), &zone_text("www 60 IN A 192.0.2.3\n"));
    wait(&server, "www.a.example.", "192.0.2.3");
    site.zone("c.example", "www 60 IN A 192.0.2.4\n");
    wait(&server, "www.c.example.", "192.0.2.4");
    fs::remove_file(site.zone_file("c.example")).expect("it is removed");
    eventually("the zone is gone", || server.rcode("www.c.example.") == ResponseCode::Refused);
    assert_eq!(server.look("www.b.example."), ["192.0.2.1"]);
    server.stop();
}

#[test]
fn a_folder_that_is_replaced_is_followed() {
    let site = Site::new();
    // What is deployed by a link that moves from one release to the next.
    fs::remove_dir(site.path("zones")).expect("it is empty");
    for release in ["one", "two"] {
        fs::create_dir(site.path(release)).expect("a folder");
        let number = if release == "one" { 1 } else { 2 };
        let text = zone_text(&format!("www 60 IN A 192.0.2.{number}\n"));
        fs::write(site.path(release).join("a.example.zone"), text).expect("it is written");
    }
    std::os::unix::fs::symlink("one", site.path("zones")).expect("a link");
    let server = site.start();
    wait(&server, "www.a.example.", "192.0.2.1");
    std::os::unix::fs::symlink("two", site.path("next")).expect("a link");
    fs::rename(site.path("next"), site.path("zones")).expect("it is swapped");
    wait(&server, "www.a.example.", "192.0.2.2");
    fs::write(site.path("two").join("a.example.zone"), zone_text("www 60 IN A 192.0.2.3\n")).expect("it is written");
    wait(&server, "www.a.example.", "192.0.2.3");
    server.stop();
}

#[test]
fn signals_and_orders_reload_where_nothing_is_watched() {
    let site = Site::new();
    // Outside the zones folder, so that no watch sees it.
    let elsewhere = site.path("elsewhere");
    fs::write(&elsewhere, zone_text("www 60 IN A 192.0.2.1\n")).expect("it is written");
    std::os::unix::fs::symlink(&elsewhere, site.zone_file("a.example")).expect("a link");
    let server = site.start();
    wait(&server, "www.a.example.", "192.0.2.1");
    fs::write(&elsewhere, zone_text("www 60 IN A 192.0.2.2\n")).expect("it is written");
    server.signal("HUP");
    wait(&server, "www.a.example.", "192.0.2.2");
    fs::write(&elsewhere, zone_text("www 60 IN A 192.0.2.3\n")).expect("it is written");
    assert_eq!(server.http("POST", "/v1/reload", "", "").status, 401);
    let report = server.reload();
    assert_eq!((&report["ok"], &report["changed"]), (&json!(true), &json!(["a.example."])), "{report}");
    assert_eq!(server.look("www.a.example."), ["192.0.2.3"], "published before it is reported");
    server.stop();
}

#[test]
fn a_reload_of_many_names_loses_no_query() {
    let site = Site::new();
    let names: String = (0..50_000).map(|name| format!("h{name} 60 IN A 192.0.2.1\n")).collect();
    site.zone("a.example", &names);
    let server = site.start();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.dns).expect("an address");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let (over, is_over) = mpsc::channel();
    let (asked, slowest) = std::thread::scope(|scope| {
        let socket = &socket;
        let asking = scope.spawn(move || ask_steadily(socket, &is_over));
        for address in ["192.0.2.2", "192.0.2.3"] {
            site.zone("a.example", &names.replace("192.0.2.1", address));
            let report = server.reload();
            assert_eq!((&report["ok"], &report["counts"]["read"]), (&json!(true), &json!(1)), "{report}");
            assert!(report["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
            assert_eq!(server.look("h49999.a.example."), [address]);
        }
        over.send(()).expect("it asks still");
        asking.join().expect("every query was answered")
    });
    assert!(asked > 100, "{asked}");
    eprintln!("{asked} queries during two reloads, the slowest took {slowest:.1?}");
    assert!(server.metric("pointsman_last_reload_seconds").is_some_and(|seconds| seconds > 0.0));
    server.stop();
}

/// A query each millisecond, each answered before the next; how many there were, and the longest wait.
fn ask_steadily(socket: &UdpSocket, is_over: &mpsc::Receiver<()>) -> (u16, Duration) {
    let (mut asked, mut slowest, mut answer) = (0_u16, Duration::ZERO, [0; 512]);
    while is_over.recv_timeout(Duration::from_millis(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
        asked = asked.wrapping_add(1);
        let mut query = asked.to_be_bytes().to_vec();
        query.extend(b"\0\0\0\x01\0\0\0\0\0\0\x02h7\x01a\x07example\0\0\x01\0\x01");
        let began = Instant::now();
        socket.send(&query).expect("it is sent");
        let len = socket.recv(&mut answer).expect("no query is lost");
        assert!(len > 12 && answer[..2] == query[..2] && answer[3] & 15 == 0 && answer[7] == 1, "{:?}", &answer[..len]);
        slowest = slowest.max(began.elapsed());
    }
    (asked, slowest)
}

#[test]
fn a_broken_zone_changes_nothing_and_stops_no_other() {
    let (site, server) = two_zones();
    site.zone("a.example", BROKEN);
    site.zone("b.example", "www 60 IN A 192.0.2.2\n");
    let report = server.reload();
    assert_eq!(report["ok"], false);
    assert!(lines(&report, "errors").contains("a.example.zone:4"), "{report}");
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    assert_eq!(server.look("www.b.example."), ["192.0.2.2"]);
    let view = server.zone("a.example.");
    assert_eq!((&view["state"], &view["errors"]), (&json!("stale"), &json!(1)), "{view}");
    assert_eq!(server.get("/health").json()["checks"]["zones"][0]["status"], "warn");
    assert_eq!(server.metric("pointsman_zones{state=\"stale\"}"), Some(1.0));

    // Beside the broken file a restart serves the kept text.
    server.stop();
    let server = site.start();
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    assert_eq!(server.zone("a.example.")["state"], "stale");
    site.zone("a.example", "www 60 IN A 192.0.2.9\n");
    wait(&server, "www.a.example.", "192.0.2.9");
    assert_eq!(server.zone("a.example.")["state"], "serving");
    server.stop();
}

#[test]
fn a_zone_that_was_never_good_is_servfail_while_others_serve() {
    let site = Site::new();
    site.zone("a.example", BROKEN);
    site.zone("b.example", "www 60 IN A 192.0.2.1\n");
    let server = site.start();
    assert_eq!(server.rcode("www.a.example."), ResponseCode::ServFail);
    assert_eq!(server.look("www.b.example."), ["192.0.2.1"]);
    assert_eq!(server.zone("a.example.")["state"], "broken");
    assert_eq!(server.get("/health").status, 503);
    server.stop();
}

#[test]
fn without_its_folder_all_goes_on() {
    let (site, server) = two_zones();
    fs::rename(site.path("zones"), site.path("away")).expect("it is moved");
    let report = server.reload();
    assert_eq!(report["ok"], false, "{report}");
    for name in ["www.a.example.", "www.b.example."] {
        assert_eq!(server.look(name), ["192.0.2.1"]);
    }
    // At a start too, from what was kept.
    server.stop();
    let server = site.start();
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    assert_eq!(server.zone("a.example.")["state"], "stale");
    // It is seen when it comes back, though there was nothing to watch.
    fs::write(site.path("away").join("a.example.zone"), zone_text("www 60 IN A 192.0.2.2\n")).expect("it is written");
    fs::rename(site.path("away"), site.path("zones")).expect("it is moved");
    wait(&server, "www.a.example.", "192.0.2.2");
    server.stop();
}

#[test]
fn two_files_with_one_origin_are_both_at_fault() {
    let (site, server) = two_zones();
    fs::write(site.path("zones").join("A.example"), zone_text("www 60 IN A 192.0.2.7\n")).expect("it is written");
    let report = server.reload();
    let errors = report["errors"].as_array().expect("a list");
    assert!(errors.len() == 2 && lines(&report, "errors").contains("two files have the origin a.example."), "{report}");
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    assert_eq!(server.zone("a.example.")["state"], "stale");
    server.stop();
}

#[test]
fn a_broken_configuration_is_reported_and_not_taken() {
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &targets.steered("www", ""));
    site.configure("[steering]\nempty = \"static\"\n");
    let server = site.start();
    server.wait_ready();
    assert_eq!(server.reload()["ok"], true);

    // Both candidates are European by this: they share the clients.
    site.configure("[provider.cloudflare]\nhome = \"de\"\n[steering]\nempty = \"open\"\n");
    assert_eq!(server.reload()["ok"], true);
    let homes = |server: &Server| -> Vec<Value> {
        let view = server.document("/v1/names/www.shop.example");
        view["candidates"].as_array().expect("a list").iter().map(|view| view["home"].clone()).collect()
    };
    assert_eq!(homes(&server), ["si", "de"]);
    let share = server.document("/v1/names/www.shop.example")["candidates"][1]["share"].as_f64();
    assert_eq!(share, Some(0.5));

    site.configure("[provider.cloudflare]\nhome = \"us\"\n[dns]\nthread = 3\n");
    let report = server.reload();
    assert_eq!(report["ok"], false);
    assert!(lines(&report, "errors").contains("thread"), "{report}");
    assert_eq!(homes(&server), ["si", "de"], "as a whole or not at all");

    site.configure("[provider.cloudflare]\nhome = \"de\"\n[dns]\nversion = \"mine\"\n");
    let report = server.reload();
    assert!(lines(&report, "errors").contains("[dns] has changed and takes effect with the next start"), "{report}");
    server.stop();
}

#[test]
fn a_change_of_the_configuration_is_seen() {
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &targets.steered("www", ""));
    let server = site.start();
    server.wait_for("www.shop.example.", targets.address(0));
    site.configure("[provider.bunny]\nhome = \"us\"\n[provider.cloudflare]\nhome = \"de\"\n");
    server.wait_for("www.shop.example.", targets.address(1));
    server.stop();
}

#[test]
fn what_left_is_forgotten_and_what_stays_keeps_its_state() {
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &(targets.steered("www", "") + &targets.steered("img", "")));
    let server = site.start();
    server.wait_ready();
    targets.set(0, 500);
    server.wait_standing("www.shop.example.", "bunny", "down");
    server.wait_standing("img.shop.example.", "bunny", "down");
    server.wait_for("img.shop.example.", targets.address(1));
    targets.set(0, 200);
    server.wait_standing("img.shop.example.", "bunny", "recovering");
    site.zone("shop.example", &targets.steered("www", ""));
    assert_eq!(server.reload()["ok"], true);
    server.wait_standing("www.shop.example.", "bunny", "recovering");
    assert_eq!(server.rcode("img.shop.example."), ResponseCode::NXDomain);
    server.stop();

    // The name comes back with no past: bunny serves at once, and has no clean window to wait for.
    site.zone("shop.example", &(targets.steered("www", "") + &targets.steered("img", "")));
    let server = site.start();
    server.wait_ready();
    assert_eq!(server.standing("www.shop.example.", "bunny"), "recovering");
    assert_eq!(server.standing("img.shop.example.", "bunny"), "up");
    server.stop();
}

#[test]
fn a_name_of_two_zones_is_steered_by_the_deeper_one() {
    let (site, targets) = (Site::new(), Targets::new(2));
    // In the order of text the outer zone comes last.
    site.zone("zz.example", &targets.steered("www.aa", "prefer=us"));
    site.zone("aa.zz.example", &targets.steered("www", "prefer=eu"));
    let server = site.start();
    server.wait_ready();
    let name = "www.aa.zz.example.";
    server.wait_for(name, targets.address(0));
    targets.set(0, 500);
    server.wait_for(name, targets.address(1));
    assert_eq!(server.document("/v1/names/www.aa.zz.example")["zone"], "aa.zz.example.");
    assert_eq!(server.ask(name, RecordType::A).answers.len(), 1);
    server.stop();
}

#[test]
fn a_zone_that_did_not_change_is_told_what_came_with_another() {
    let (site, targets) = (Site::new(), Targets::new(2));
    let inner = "_steer.www IN TXT \"cdn=bunny id=inner to=x.b.example.\"\n";
    site.zone("a.example", &(targets.steered("www", "") + inner));
    site.zone("b.example", "x 60 IN A 192.0.2.7\n");
    let server = site.start();
    let report = server.reload();
    assert_eq!((&report["ok"], &report["changed"]), (&json!(true), &json!([])), "{report}");
    site.zone("b.example", &targets.steered("x", ""));
    let report = server.reload();
    assert!(lines(&report, "errors").contains("the target x.b.example. is itself steered"), "{report}");
    assert_eq!(
        (server.zone("a.example.")["state"].as_str(), server.zone("b.example.")["state"].as_str()),
        (Some("stale"), Some("serving"))
    );
    site.zone("b.example", "x 60 IN A 192.0.2.7\n");
    assert_eq!(server.reload()["ok"], true);
    assert_eq!(server.zone("a.example.")["state"], "serving");
    server.stop();
}
