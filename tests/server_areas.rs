//! Areas in the running server: the database of countries, named sets, subnets over the wire, and what is told of it all.

#[path = "support/mmdb.rs"]
mod mmdb;
#[path = "support/server.rs"]
mod support;

use std::net::UdpSocket;

use hickory_proto::rr::RecordType;
use mmdb::{NETWORKS, Shape, database};
use serde_json::{Value, json};
use support::{PATIENCE, Server, Site, Targets, eventually, question, said};

const SETS: &str = "[areas.sets]\noffice = [\"198.51.100.128/25\"]\nbenelux = [\"country-be\", \"country-nl\"]\n";

fn configure(site: &Site, sets: &str) {
    let file = site.path("countries.mmdb");
    site.configure(&format!("[areas]\ndatabase = \"{}\"\n{sets}", file.display()));
}

/// Over another that is there, by a rename.
fn put(site: &Site, octets: &[u8]) {
    std::fs::write(site.path("countries.new"), octets).expect("it is written");
    std::fs::rename(site.path("countries.new"), site.path("countries.mmdb")).expect("it is renamed");
}

fn good() -> Vec<u8> {
    database(Shape::Nested, 6, 24, NETWORKS)
}

fn site() -> (Site, Targets) {
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &("plain 60 IN A 192.0.2.7\n".to_owned() + &targets.steered("www", "prefer.benelux=eu")));
    configure(&site, SETS);
    (site, targets)
}

fn areas(server: &Server) -> Value {
    server.document("/v1/status")["areas"].clone()
}

/// The step that says where a client is.
fn whereabouts(server: &Server, client: &str) -> String {
    let explanation = server.document(&format!("/v1/explain?name=www.shop.example&client={client}"));
    explanation["steps"][0].as_str().expect("a step").to_owned()
}

/// The octets of the answer to a question with an EDNS option.
fn ask_with(server: &Server, name: &str, option: &[u8]) -> Vec<u8> {
    let mut query = question(7, name, RecordType::A);
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, u8::try_from(option.len()).expect("short")]);
    query.extend_from_slice(option);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.send_to(&query, server.dns).expect("it is sent");
    let mut answer = [0; 1232];
    let len = socket.recv(&mut answer).expect("an answer");
    answer[..len].to_vec()
}

#[test]
fn a_database_is_read_told_of_and_answers() {
    let (site, _targets) = site();
    put(&site, &good());
    let server = site.start();
    server.wait_ready();
    let view = areas(&server);
    assert_eq!((&view["error"], &view["loaded"]["kind"]), (&Value::Null, &json!("Pointsman-Test-Country")), "{view}");
    assert_eq!((&view["loaded"]["prefixes"], &view["loaded"]["built"]), (&json!(11), &json!("2025-12-01T00:00:00Z")));
    assert_eq!(
        whereabouts(&server, "198.51.100.130"),
        "198.51.100.130 is in 198.51.100.128/25: office, eu27, eea, country-de, continent-eu"
    );
    assert_eq!(
        whereabouts(&server, "2a00:0:0:1::/64"),
        "2a00:0:0:1::/64 is in 2a00::/12: benelux, eu27, eea, country-nl, continent-eu"
    );
    // The scope is the longer of the prefix that the client is in and the one that is hashed.
    let option = [0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 101];
    let answer = ask_with(&server, "www.shop.example.", &option);
    assert!(answer.ends_with(&[0, 8, 0, 7, 0, 1, 24, 24, 198, 51, 101]), "{answer:?}");
    let answer = ask_with(&server, "plain.shop.example.", &option);
    assert!(answer.ends_with(&option), "{answer:?}");
    let answer = ask_with(&server, "plain.shop.example.", &[0, 8, 0, 7, 0, 1, 24, 24, 198, 51, 101]);
    assert_eq!(answer[3] & 0x0f, 1, "a scope in a question is a format error");
    assert_eq!(server.metric("pointsman_areas_database_ok"), Some(1.0));
    assert_eq!(server.metric("pointsman_areas_database_prefixes"), Some(11.0));
    assert_eq!(server.metric("pointsman_areas_database_build_time_seconds"), Some(1_764_547_200.0));
    assert_eq!(server.document("/health")["checks"]["areas"][0]["status"], "pass");
    let told = said(&site.run(&["status"]));
    assert!(told.contains("Pointsman-Test-Country") && told.contains("11 networks"), "{told}");
    let told = said(&site.run(&["explain", "www.shop.example", "--client", "203.0.113.0/26"]));
    assert!(told.contains("203.0.113.0/26 is in 203.0.113.0/26: eu27, eea, country-fr, continent-eu"), "{told}");
    assert_eq!(site.run(&["explain", "www.shop.example", "--client", "203.0.113.0/33"]).status.code(), Some(2));
    assert_eq!(server.get("/v1/explain?name=www.shop.example&client=203.0.113.0%2F33").status, 400);
    server.stop();
}

/// Missing, damaged, good, changed, damaged, no longer configured.
#[test]
fn whatever_happens_to_the_database_the_server_serves() {
    let (site, _targets) = site();
    let server = site.start();
    server.wait_ready();
    let missing = areas(&server)["error"].as_str().expect("an error").to_owned();
    assert!(missing.contains("countries.mmdb: it cannot be read: No such file"), "{missing}");
    assert_eq!(whereabouts(&server, "198.51.100.1"), "198.51.100.1 is in 198.51.100.0/25: no area that is known");
    assert_eq!(server.metric("pointsman_areas_database_ok"), Some(0.0));
    let health = server.document("/health");
    assert_eq!(
        (&health["status"], &health["checks"]["areas"][0]["status"]),
        (&json!("warn"), &json!("warn")),
        "{health}"
    );
    let status = said(&site.run(&["status"]));
    assert!(status.contains("no country is known"), "{status}");
    assert_eq!(server.look("plain.shop.example."), ["192.0.2.7"]);

    put(&site, b"no database");
    eventually("it is seen to be damaged", || {
        areas(&server)["error"].as_str().is_some_and(|why| why.contains("damaged"))
    });
    put(&site, &good());
    eventually("it is read", || areas(&server)["error"].is_null());
    assert!(whereabouts(&server, "198.51.100.1").ends_with("country-de, continent-eu"));

    put(&site, &database(Shape::Flat, 6, 32, &[("198.51.100.0/24", "FR")]));
    eventually("the other is read", || whereabouts(&server, "198.51.100.1").ends_with("country-fr, continent-eu"));

    put(&site, &good()[..1_000]);
    eventually("it is seen to be cut off", || !areas(&server)["error"].is_null());
    assert!(whereabouts(&server, "198.51.100.1").ends_with("country-fr, continent-eu"), "what was read goes on");
    // New sets are in force although the database is not to be had.
    configure(&site, "[areas.sets]\nbenelux = [\"country-be\"]\nlab = [\"198.51.100.0/28\"]\n");
    server.reload();
    assert_eq!(
        whereabouts(&server, "198.51.100.1"),
        "198.51.100.1 is in 198.51.100.0/28: lab, eu27, eea, country-fr, continent-eu"
    );

    site.configure("[areas.sets]\nbenelux = [\"198.51.100.0/24\"]\n");
    let report = server.reload();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(whereabouts(&server, "198.51.100.1"), "198.51.100.1 is in 198.51.100.0/24: benelux");
    assert_eq!(areas(&server)["database"], Value::Null);
    server.stop();
}

/// `only.<area>` must not hold for nobody since a machine restarted beside half a database.
#[test]
fn the_last_good_database_outlives_a_restart() {
    let (site, _targets) = site();
    put(&site, &good());
    site.start().stop();
    put(&site, b"no database");
    let server = site.start();
    server.wait_ready();
    assert!(whereabouts(&server, "198.51.100.1").ends_with("country-de, continent-eu"));
    let alerts = server.document("/v1/status")["alerts"].to_string();
    assert!(alerts.contains("countries.mmdb: it is no database") && alerts.contains("the last good one"), "{alerts}");
    assert!(alerts.contains("built 2025-12-01) goes on, as it was kept in"), "{alerts}");
    assert_eq!(server.metric("pointsman_areas_database_ok"), Some(0.0));
    put(&site, &database(Shape::Flat, 6, 32, &[("198.51.100.0/24", "FR")]));
    eventually("the new one is read", || areas(&server)["error"].is_null());
    server.stop();
    put(&site, b"");
    let server = site.start();
    assert!(whereabouts(&server, "198.51.100.1").ends_with("country-fr, continent-eu"), "the later one was kept");
    server.stop();
    // Where none is wanted none comes back.
    site.configure("[areas.sets]\nbenelux = [\"198.51.100.0/24\"]\n");
    site.start().stop();
    configure(&site, SETS);
    let server = site.start();
    assert!(whereabouts(&server, "198.51.100.1").ends_with("no area that is known"));
    server.stop();
}

#[test]
fn checks_tell_of_a_database_that_cannot_be_used() {
    let (site, _targets) = site();
    let file = site.path("pointsman.toml");
    let file = file.to_str().expect("a plain path");
    let both = |site: &Site| [site.run(&["check", "--zones", "zones"]), site.run(&["config", "--check", file])];
    for output in both(&site) {
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("countries.mmdb") && told.contains("No such file"), "{told}");
    }
    put(&site, &good());
    assert!(said(&site.run(&["config", "--check", file])).contains("good"));
}

#[test]
fn a_set_that_a_zone_names_must_be_there() {
    let (site, _targets) = site();
    put(&site, &good());
    let server = site.start();
    assert_eq!(server.zone("shop.example.")["state"], "serving");
    configure(&site, "");
    let report = server.reload();
    assert_eq!((&report["ok"], &server.zone("shop.example.")["state"]), (&json!(false), &json!("stale")), "{report}");
    configure(&site, "[areas.sets]\nOdd = [\"198.51.100.1/24\", \"country-uk\"]\n");
    let report = server.reload();
    let errors = report["errors"].to_string();
    for part in ["`Odd` is no name of a set", "bits beyond its length", "`uk` is no country's code"] {
        assert!(errors.contains(part), "{errors}");
    }
    server.stop();
}
