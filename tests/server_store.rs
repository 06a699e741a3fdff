//! The store may be damaged or missing: the server serves, and says so everywhere.

#[path = "support/server.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use support::{Server, Site, Targets, eventually, said};

const NAME: &str = "www.shop.example.";

fn shop() -> (Site, Targets) {
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &targets.steered("www", ""));
    (site, targets)
}

/// What is told of the store: by `/health`, by `/v1/status`, and by the metric.
fn told(server: &Server) -> (String, String, Option<f64>) {
    let health = server.get("/health").json();
    let check = &health["checks"]["store"][0];
    assert_eq!(health["status"], check["status"].as_str().expect("a word"), "{health}");
    let state = server.document("/v1/status")["store"]["state"].as_str().expect("a word").to_owned();
    (check["status"].as_str().expect("a word").to_owned(), state, server.metric("pointsman_store_ok"))
}

#[test]
fn a_damaged_store_is_set_aside_and_said() {
    let (site, targets) = shop();
    let server = site.start();
    server.wait_ready();
    assert_eq!(told(&server), ("pass".to_owned(), "ok".to_owned(), Some(1.0)));
    site.json(&["drain", "bunny", "--reason", "before"]);
    server.stop();
    let db = site.data().join("store/db");
    let mut octets = fs::read(&db).expect("sled's log");
    octets.iter_mut().step_by(97).for_each(|octet| *octet ^= 0x5a);
    fs::write(&db, octets).expect("it is damaged");

    let server = site.start();
    server.wait_ready();
    assert_eq!(told(&server), ("warn".to_owned(), "set-aside".to_owned(), Some(0.0)));
    assert!(server.log().contains("the store was damaged and is set aside"), "{}", server.log());
    let aside = fs::read_dir(site.data()).expect("a folder").filter_map(Result::ok);
    assert!(aside.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("store.damaged-")));
    // The new one keeps what it is given.
    server.wait_for(NAME, targets.address(0));
    assert_eq!(site.json(&["drain", "bunny", "--reason", "after"])["stored"], true);
    server.stop();
    let server = site.start();
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    server.wait_ready();
    assert_eq!(told(&server).1, "ok");
    server.stop();
}

#[test]
fn a_file_in_the_place_of_the_store_is_set_aside() {
    let (site, _targets) = shop();
    fs::create_dir_all(site.data()).expect("a folder");
    fs::write(site.data().join("store"), "no folder").expect("a file in the way");
    let server = site.start();
    server.wait_ready();
    assert_eq!(told(&server), ("warn".to_owned(), "set-aside".to_owned(), Some(0.0)));
    assert_eq!(site.json(&["drain", "bunny", "--reason", "a new store"])["stored"], true);
    server.stop();
}

#[test]
fn without_a_store_the_server_serves_and_says_that_it_forgets() {
    let (site, targets) = shop();
    fs::create_dir_all(site.data()).expect("a folder");
    // Nobody can make a folder there, root neither; nor a new store beside it.
    for link in ["store", "store.new"] {
        std::os::unix::fs::symlink("/proc/none", site.data().join(link)).expect("a link that leads nowhere");
    }
    let server = site.start();
    server.wait_ready();
    assert_eq!(told(&server), ("warn".to_owned(), "gone".to_owned(), Some(0.0)));
    let placed = site.json(&["drain", "bunny", "--reason", "all the same"]);
    assert_eq!(placed["stored"], false, "{placed}");
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    let table = site.run(&["drain", "*/fastly*", "--reason", "nothing to drain"]);
    assert_eq!(table.status.code(), Some(2));
    assert_eq!(server.document("/v1/overrides"), json!([placed]));

    // The history is told from memory, page after page.
    let all = server.document("/v1/events?limit=1000")["events"].as_array().expect("a list").clone();
    assert!(all.len() >= 3, "{all:?}");
    let mut paged = Vec::new();
    let mut path = "/v1/events?limit=1".to_owned();
    while paged.len() <= all.len() {
        let page = server.document(&path);
        paged.extend(page["events"].as_array().expect("a list").clone());
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/events?limit=1&before={next}");
    }
    assert_eq!(paged, all);
    server.stop();
}

#[test]
fn a_disk_that_fills_up_stops_no_answer_and_no_order() {
    let (site, targets) = shop();
    site.start().stop();
    // No file may grow beyond what the store has now, as on a disk that is full.
    let blocks = fs::metadata(site.data().join("store/db")).expect("sled's log").len() / 512;
    let server = site.start_limited(blocks);
    server.wait_ready();
    let mut stored = true;
    for number in 0..20_000 {
        let placed = server.order("POST", "/v1/overrides", &order(number)).json();
        stored = placed["stored"].as_bool().expect("yes or no");
        if !stored {
            break;
        }
        assert_eq!(server.order("DELETE", "/v1/overrides/bunny?reason=done", "").status, 200);
    }
    assert!(!stored, "the log has room for all of it?");
    assert_eq!(server.look(NAME), [targets.address(1).to_string()], "in force all the same");
    assert_eq!(told(&server), ("warn".to_owned(), "gone".to_owned(), Some(0.0)));
    targets.set(1, 500);
    server.wait_standing(NAME, "cloudflare", "down");
    server.stop();
}

/// A drain with a reason that fills the log.
fn order(number: usize) -> String {
    let reason: String =
        (0..490).map(|at| char::from(b'a' + u8::try_from((at * number + at) % 23).unwrap_or(0))).collect();
    json!({"order": "drain", "subject": "bunny", "reason": reason}).to_string()
}

#[test]
fn texts_that_cannot_be_kept_are_said_and_kept_when_they_can() {
    let site = Site::new();
    site.zone("a.example", "www 60 IN A 192.0.2.1\n");
    fs::create_dir_all(site.data()).expect("a folder");
    fs::write(site.data().join("zone-texts"), "a file in the way").expect("it is written");
    let server = site.start();
    eventually("it is said", || told(&server) == ("warn".to_owned(), "without-texts".to_owned(), Some(0.0)));
    assert!(server.log().contains("the last good texts of zones are not kept"), "{}", server.log());
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    // The next load hands over what is lacking, changed or not.
    fs::remove_file(site.data().join("zone-texts")).expect("it is removed");
    assert_eq!(server.reload()["changed"], json!([]));
    eventually("all is well", || told(&server).1 == "ok");
    server.stop();
    site.zone("a.example", "www 60 IN A nonsense\n");
    let server = site.start();
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    // A zone that leaves takes its text with it, also where no server ran.
    server.stop();
    fs::remove_file(site.zone_file("a.example")).expect("it is removed");
    site.zone("b.example", "www 60 IN A 192.0.2.2\n");
    site.start().stop();
    let left: Vec<_> = fs::read_dir(site.data().join("zone-texts")).expect("a folder").collect();
    let names: Vec<_> = left.into_iter().map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["b.example.text"]);
}

/// A load balancer must not send questions to a server that refuses them all.
#[test]
fn without_zones_it_is_not_ready_and_says_why() {
    let site = Site::new();
    let zones = site.path("zones");
    fs::rename(&zones, site.path("elsewhere")).expect("it is moved");
    let server = site.start();
    let unready = server.get("/readyz");
    assert_eq!(unready.status, 503, "{}", unready.body);
    assert!(unready.body.contains("no zone is served: the zones folder"), "{}", unready.body);
    assert!(unready.body.contains("No such file"), "{}", unready.body);
    assert_eq!(server.metric("pointsman_ready"), Some(0.0));
    assert!(said(&site.run(&["status"])).contains("not ready: no zone is served"));
    fs::rename(site.path("elsewhere"), &zones).expect("it is back");
    site.zone("a.example", "www 60 IN A 192.0.2.1\n");
    server.wait_ready();
    assert!(said(&site.run(&["zones"])).contains("a.example."));
    server.stop();
    // What was kept is as good: it answers.
    fs::rename(&zones, site.path("elsewhere")).expect("it is moved");
    let server = site.start();
    server.wait_ready();
    assert_eq!(server.look("www.a.example."), ["192.0.2.1"]);
    server.stop();
}

#[test]
fn a_store_whose_files_cannot_be_written_is_said() {
    let (site, targets) = shop();
    site.start().stop();
    // Where root runs this, modes bind nobody; a folder in the place of the log does.
    let db = site.data().join("store/db");
    fs::rename(&db, site.data().join("kept-db")).expect("it is moved");
    fs::create_dir(&db).expect("a folder in the way");
    fs::set_permissions(&db, fs::Permissions::from_mode(0o000)).expect("modes");
    let server = site.start();
    server.wait_for(NAME, targets.address(0));
    let (status, state, ok) = told(&server);
    assert!(status == "warn" && state != "ok" && ok == Some(0.0), "{status} {state} {ok:?}");
    server.stop();
}
