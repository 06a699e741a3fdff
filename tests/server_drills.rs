//! Drills as evidence: scheduled and ordered ones, over real sockets and over restarts.

#[path = "support/server.rs"]
mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use jiff::Timestamp;
use serde_json::{Value, json};
use support::{Server, Site, Targets, ask_from, data_of, eventually, said, until};

const NAME: &str = "www.shop.example.";

/// A shop with one steered name over two targets, and its server once it is ready and answers with the first.
fn shop() -> (Site, Targets, Server) {
    let (site, targets) = (Site::new(), Targets::new(2));
    site.zone("shop.example", &targets.steered("www", ""));
    let server = site.start();
    server.wait_ready();
    server.wait_for(NAME, targets.address(0));
    server.wait_standing(NAME, "cloudflare", "up");
    (site, targets, server)
}

fn scheduled(at: Timestamp, span: &str) -> String {
    format!("[[drill]]\nprovider = \"bunny\"\nshare = \"50%\"\nfor = \"{span}\"\nat = \"{at}\"\nreason = \"monthly\"\n")
}

/// Schedules a drill for the next moment of which the server learns in time.
fn schedule_soon(site: &Site, server: &Server, span: &str) {
    configure_soon(site, server, |at| scheduled(at, span));
}

/// A configuration for that moment.
fn configure_soon(site: &Site, server: &Server, configuration: impl Fn(Timestamp) -> String) {
    until("the schedule is taken before its time", || {
        let at = Timestamp::now() + Duration::from_secs(2);
        site.configure(&configuration(at));
        assert_eq!(server.reload()["ok"], true);
        let page = server.document("/v1/drills");
        let known = page["planned"][0]["next"].is_string() || page["drills"][0].is_object();
        known.then_some(())
    });
}

/// The record of the first drill once it has this state.
fn record(server: &Server, state: &str) -> Value {
    until(&format!("the drill is {state}: {}", server.document("/v1/drills")), || {
        let known = server.document("/v1/drills")["drills"][0].is_object();
        known.then(|| server.document("/v1/drills/1")).filter(|record| record["state"] == state)
    })
}

/// Waits until all that was handed to the store is on the disk: a question about the past does.
fn wait_stored(server: &Server) {
    server.document(&format!("/v1/explain?name={NAME}&at={}", Timestamp::now()));
}

fn share(server: &Server) -> Option<f64> {
    server.document("/v1/names/www.shop.example")["candidates"][0]["share"].as_f64()
}

#[test]
fn a_drill_makes_room_for_the_one_that_is_planned_for_its_end() {
    let (site, _targets, server) = shop();
    let span = Duration::from_secs(3);
    configure_soon(&site, &server, |at| scheduled(at, "3s") + &scheduled(at + span, "3s"));
    for id in [1, 2] {
        until(&format!("drill {id} is over"), || {
            let known = server.document("/v1/drills")["drills"].as_array().is_some_and(|drills| drills.len() >= id);
            known.then(|| server.document(&format!("/v1/drills/{id}"))).filter(|record| record["state"] == "over")
        });
    }
}

#[test]
fn a_scheduled_drill_moves_clients_and_back_and_its_record_outlives_a_restart() {
    let (site, _targets, server) = shop();
    schedule_soon(&site, &server, "2s");
    let over = record(&server, "over");
    assert_eq!(share(&server), Some(1.0));
    for (field, value) in [
        ("provider", json!("bunny")),
        ("share_percent", json!(50.0)),
        ("author", json!("schedule")),
        ("reason", json!("monthly")),
        ("why", json!("its time was over")),
        ("names", json!(1)),
        ("more_moves", json!(0)),
    ] {
        assert_eq!(over[field], value, "{field}: {over}");
    }
    let moment = |field: &str| over[field].as_str().expect("a time").parse::<Timestamp>().expect("a time");
    assert!(moment("planned") <= moment("began") && moment("began") < moment("ended"), "{over}");
    let of = &over["moves"][0];
    assert_eq!([&of["name"], &of["before"], &of["after"]], [NAME, "bunny 100%", "bunny 100%"], "{of}");
    assert_eq!((of["during"].as_str(), of["share"].as_f64()), (Some("bunny 50%, cloudflare 50%"), Some(0.5)), "{of}");
    assert_eq!((&of["away"], &of["back"]), (&over["began"], &over["ended"]));
    assert_eq!(server.metric("pointsman_drills_total{outcome=\"over\"}"), Some(1.0));

    wait_stored(&server);
    let events = server.document("/v1/events?kind=drill");
    let told: Vec<_> = events["events"].as_array().expect("a list").iter().map(|event| event["to"].clone()).collect();
    assert_eq!(told, ["over", "running"], "{events}");
    server.kill();
    let server = site.start();
    assert_eq!(server.document("/v1/drills/1"), over);
    let page = server.document("/v1/drills");
    assert_eq!(
        (page["drills"].as_array().map(Vec::len), &page["planned"][0]["next"]),
        (Some(1), &Value::Null),
        "{page}"
    );
    let printed = site.run(&["drill", "report", "1"]);
    for part in ["drill 1: 50% of the clients of bunny: over\n", "by schedule (", "WHAT MOVED\n", "bunny>cloudflare"] {
        assert!(printed.status.success() && said(&printed).contains(part), "{part}: {}", said(&printed));
    }
    assert!(said(&site.run(&["drill", "list"])).contains("never again"));
    server.stop();
}

#[test]
fn whether_a_client_was_in_a_drill_is_told_by_its_prefix() {
    let (site, targets, server) = shop();
    let placed = site.json(&["drill", "bunny", "--share", "50%", "--for", "1h", "--reason", "audit"]);
    let sources: Vec<_> = (1..=32).map(|third| Ipv4Addr::new(127, 0, third, 1)).collect();
    let asked = |source: &Ipv4Addr| data_of(&ask_from(server.dns, *source, NAME, RecordType::A));
    let was_moved: Vec<bool> = sources.iter().map(|source| asked(source) == [targets.address(1).to_string()]).collect();
    assert!(was_moved.contains(&true) && was_moved.contains(&false), "32 prefixes on half of the circle");
    assert!(said(&site.run(&["status"])).contains("bunny lends 50% of its clients, of 1 name"));
    site.json(&["release", "bunny", "--reason", "seen enough"]);
    let record = record(&server, "released");
    assert_eq!((&record["override"], &record["planned"]), (&placed["id"], &placed["placed"]));
    assert!(record["why"].as_str().is_some_and(|why| why.contains("seen enough")), "{record}");
    let answers: Vec<u64> = (0..2).filter_map(|at| record["moves"][0]["candidates"][at]["answers"].as_u64()).collect();
    let moved = was_moved.iter().filter(|moved| **moved).count() as u64;
    // A question whose answer was late is asked again.
    assert!(answers[1] >= moved && answers[0] >= 32 - moved && answers[0] + answers[1] < 64, "{answers:?}, {moved}");
    for (source, was_moved) in sources.iter().zip(was_moved) {
        let client = format!("/v1/drills/1?client={source}");
        let told = server.document(&client)["client"].clone();
        assert_eq!(told["moved"].as_array().map(Vec::len), Some(usize::from(was_moved)), "{told}");
        assert_eq!(told["prefix"], format!("127.0.{}.0/24", source.octets()[2]));
        if was_moved {
            assert_eq!([&told["moved"][0]["from"], &told["moved"][0]["to"]], ["bunny", "cloudflare"]);
        }
    }
    let wide = server.get("/v1/drills/1?client=127.0.0.0%2F16");
    assert!(wide.status == 400 && wide.body.contains("give a /24 or longer"), "{wide:?}");
    assert_eq!(server.get("/v1/drills/2").status, 404);
    // With another key nobody can tell.
    server.stop();
    std::fs::remove_file(site.data().join("client-key")).expect("the key was there");
    let server = site.start();
    let told = server.document("/v1/drills/1?client=127.0.1.1")["client"].clone();
    assert_eq!((&told["point"], told["moved"].as_array().map(Vec::len)), (&Value::Null, Some(0)), "{told}");
    server.stop();
}

#[test]
fn a_scheduled_drill_that_would_not_be_safe_is_told() {
    let (site, targets, server) = shop();
    targets.set(1, 500);
    server.wait_standing(NAME, "cloudflare", "down");
    schedule_soon(&site, &server, "10m");
    let record = record(&server, "did-not-begin");
    let why = "www.shop.example. has no other candidate that is up and ready";
    assert!(record["why"].as_str().is_some_and(|told| told.contains(why)), "{record}");
    assert_eq!((&record["began"], &record["override"]), (&Value::Null, &Value::Null));
    assert_eq!(server.document("/v1/overrides"), json!([]));
    let alerts = server.document("/v1/status")["alerts"].to_string();
    assert!(alerts.contains("drill 1 of bunny") && alerts.contains("did not begin"), "{alerts}");
    wait_stored(&server);
    let events = server.document("/v1/events?kind=drill");
    assert_eq!((&events["events"][0]["to"], &events["events"][1]), (&json!("did-not-begin"), &Value::Null), "{events}");
    assert_eq!(server.metric("pointsman_drills_total{outcome=\"did-not-begin\"}"), Some(1.0));
    // An order is refused for the same reason, to who gives it: that is no record.
    let ordered = site.run(&["drill", "bunny", "--share", "1%", "--for", "1h", "--reason", "made up for"]);
    assert!(ordered.status.code() == Some(2) && said(&ordered).contains(why), "{}", said(&ordered));
    assert_eq!(server.document("/v1/drills")["drills"].as_array().map(Vec::len), Some(1));
    server.stop();
}

#[test]
fn a_drill_goes_on_after_a_kill_and_is_aborted_by_a_fault() {
    let (site, targets, server) = shop();
    schedule_soon(&site, &server, "1h");
    let running = record(&server, "running");
    assert_eq!((share(&server), &running["ended"], &running["restarts"]), (Some(0.5), &Value::Null, &json!([])));
    assert_eq!(server.document("/v1/status")["drill"]["id"], 1);
    assert_eq!(server.metric("pointsman_drill_running"), Some(1.0));
    wait_stored(&server);
    server.kill();
    let server = site.start();
    server.wait_ready();
    assert_eq!(share(&server), Some(0.5));
    assert_eq!(record(&server, "running")["restarts"].as_array().map(Vec::len), Some(1));
    targets.set(1, 500);
    let aborted = record(&server, "aborted");
    assert!(
        aborted["why"].as_str().is_some_and(|why| why.contains("www.shop.example./cloudflare is down")),
        "{aborted}"
    );
    let events = aborted["events"].as_array().expect("a list");
    let is_fault = |event: &Value| event["subject"] == "www.shop.example./cloudflare" && event["to"] == "down";
    assert!(events.iter().any(is_fault), "{aborted}");
    assert_eq!(events.last().map(|event| event["to"].clone()), Some(json!("aborted")), "{aborted}");
    assert_eq!((share(&server), &aborted["moves"][0]["back"]), (Some(1.0), &aborted["ended"]));
    assert!(server.document("/v1/status")["alerts"].to_string().contains("was aborted"));
    server.stop();
}

#[test]
fn a_drill_that_was_due_while_the_server_was_stopped_is_not_made_up_for() {
    let (site, _targets, server) = shop();
    server.stop();
    let at = Timestamp::now() + Duration::from_millis(500);
    site.configure(&scheduled(at, "1h"));
    eventually("its time has come", || Timestamp::now() > at);
    let server = site.start();
    let missed = record(&server, "missed");
    let planned: Timestamp = missed["planned"].as_str().expect("a time").parse().expect("a time");
    assert_eq!(planned.as_millisecond(), at.as_millisecond());
    assert_eq!(server.document("/v1/overrides"), json!([]));
    // It is told once.
    server.stop();
    let server = site.start();
    assert_eq!(server.document("/v1/drills")["drills"].as_array().map(Vec::len), Some(1));
    server.stop();
}

#[test]
fn a_configuration_with_a_wrong_drill_is_not_taken() {
    let (site, _targets, server) = shop();
    let good = scheduled(Timestamp::now() + Duration::from_secs(3_600), "10m");
    site.configure(&good.replace("bunny", "nobody").replace("50%", "51%"));
    let report = server.reload();
    let errors = report["errors"].to_string();
    for part in ["`nobody` is no provider that is known", "`share` is from 0.1 % to 50 %"] {
        assert!(report["ok"] == false && errors.contains(part), "{part}: {report}");
    }
    assert_eq!(server.document("/v1/drills"), json!({"planned": [], "drills": [], "next": null}));
    site.configure(&good);
    assert_eq!(server.reload()["ok"], true);
    assert_eq!(server.document("/v1/drills")["planned"][0]["provider"], "bunny");
    server.stop();
}
