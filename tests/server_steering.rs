//! The server as it runs: probes over real sockets move answers, operators outrank them, and restarts change nothing.

#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;
#[path = "support/server.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::svcb::{Alpn, IpHint, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, SVCB};
use hickory_proto::rr::{Name, RecordType};
use scripted_resolver::{Says, ScriptedResolver};
use support::{Server, Site, Targets, ask_from, data_of, eventually, said, until};

const NAME: &str = "www.shop.example.";

/// A shop with one steered name over so many targets, and its server once it is ready.
fn shop(count: usize, policy: &str) -> (Site, Targets, Server) {
    let (site, targets) = (Site::new(), Targets::new(count));
    site.zone("shop.example", &targets.steered("www", policy));
    let server = site.start();
    server.wait_ready();
    (site, targets, server)
}

#[test]
fn an_answer_leaves_a_candidate_that_says_500() {
    let (_site, targets, server) = shop(2, "");
    server.wait_for(NAME, targets.address(0));
    targets.set(0, 500);
    server.wait_for(NAME, targets.address(1));
    assert_eq!(server.standing(NAME, "bunny"), "down");

    // Answers move first; then it is counted, logged and stored.
    eventually("both transitions are logged", || {
        !server.events("decision").is_empty() && server.events("verdict").iter().any(|line| line["to"] == "down")
    });
    let verdicts = server.events("verdict");
    let down = verdicts.iter().find(|line| line["to"] == "down").expect("a line for the transition");
    assert_eq!((&down["subject"], &down["from"]), (&"www.shop.example./bunny".into(), &"up".into()));
    assert!(down["why"].as_str().is_some_and(|why| why.contains("500")), "{down}");
    assert!(server.events("decision").iter().any(|line| line["subject"] == NAME));
    eventually("all three verdicts are counted", || {
        server.metric("pointsman_transitions_total{kind=\"verdict\"}").is_some_and(|count| count >= 3.0)
    });

    // It passes again: it recovers, and its clean window keeps it out.
    targets.set(0, 200);
    server.wait_standing(NAME, "bunny", "recovering");
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    server.stop();
}

/// What a name was last decided to answer, and with which generation that was published.
fn last_decision(server: &Server, name: &str) -> (String, u64) {
    let page = server.document(&format!("/v1/events?kind=decision&subject={name}&limit=1"));
    let last = &page["events"][0];
    (last["to"].as_str().unwrap_or_default().to_owned(), last["generation"].as_u64().unwrap_or_default())
}

/// Names that ask one target the same are judged by one request, and move together.
#[test]
fn names_that_share_a_check_share_its_requests_and_move_as_one() {
    const NAMES: [&str; 3] = ["www", "api", "img"];
    let (site, targets) = (Site::new(), Targets::new(2));
    let zone = |every: &str| {
        let policy = format!("host=check.shop.example every={every}");
        let names = NAMES.map(|owner| targets.steered(owner, "").replace("every=300ms", &policy));
        site.zone("shop.example", &names.concat());
    };
    zone("1h");
    let server = site.start();
    server.wait_ready();
    for owner in NAMES {
        server.wait_standing(&format!("{owner}.shop.example."), "bunny", "up");
        server.wait_standing(&format!("{owner}.shop.example."), "cloudflare", "up");
    }
    assert_eq!([targets.requests(0), targets.requests(1)], [1, 1], "one request a round, for three names");
    let passed = "pointsman_probes_total{outcome=\"pass\",stage=\"none\"}";
    eventually("the metrics count requests", || server.metric(passed).is_some_and(|count| (2.0..6.0).contains(&count)));

    zone("300ms");
    assert_eq!(server.reload()["ok"], true);
    eventually("the new pace", || targets.requests(0) > 3);
    targets.set(0, 500);
    for owner in NAMES {
        server.wait_for(&format!("{owner}.shop.example."), targets.address(1));
        assert_eq!(server.standing(&format!("{owner}.shop.example."), "bunny"), "down");
    }
    let generations = until("all moves are stored", || {
        let last = NAMES.map(|owner| last_decision(&server, &format!("{owner}.shop.example.")));
        last.iter().all(|(to, _)| to.starts_with("cloudflare")).then(|| last.map(|(_, generation)| generation))
    });
    assert!(generations.iter().all(|generation| *generation == generations[0]), "one publication: {generations:?}");
    server.stop();
}

#[test]
fn when_all_fail_alike_nothing_moves_over_a_restart_too() {
    let (site, targets, server) = shop(2, "");
    server.wait_for(NAME, targets.address(0));
    targets.set(0, 500);
    server.wait_for(NAME, targets.address(1));
    targets.set(1, 500);
    server.wait_standing(NAME, "cloudflare", "down");
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    let health = server.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (503, &"fail".into()));

    // What a crash is to leave must be stored first.
    eventually("the last verdict is stored", || {
        let page = server.document("/v1/events?kind=verdict&subject=www.shop.example./cloudflare&limit=1");
        page["events"][0]["to"] == "down"
    });
    // The second candidate answered last, and so it does after the restart: not the first, though it is preferred.
    server.kill();
    let server = site.start();
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    for candidate in ["bunny", "cloudflare"] {
        assert_eq!(server.standing(NAME, candidate), "down", "the verdict is taken up");
    }
    server.wait_ready();
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    assert!(server.events("decision").is_empty(), "{}", server.log());
    server.stop();
}

#[test]
fn orders_over_the_control_socket_hold_over_a_kill() {
    let (site, targets, server) = shop(3, "");
    server.wait_for(NAME, targets.address(0));
    let drain = site.json(&["drain", "bunny", "--reason", "slow in Vienna"]);
    assert_eq!(
        (&drain["order"], &drain["subject"], &drain["stored"]),
        (&"drain".into(), &"bunny".into(), &true.into())
    );
    assert!(drain["author"].as_str().is_some_and(|author| !author.is_empty()), "{drain}");
    let looks = server.look(NAME);
    assert!(!looks.contains(&targets.address(0).to_string()), "the answer moves before the order is acknowledged");
    for (name, candidate, says) in [
        ("www.shop.example", "nope", "www.shop.example. has no candidate `nope`: it has bunny,"),
        ("other.example", "bunny", "other.example. is not a steered name here"),
    ] {
        let refused = site.run(&["pin", name, candidate, "--reason", "a trial"]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && told.contains(says), "{told}");
    }
    let pin = site.json(&["pin", "www.shop.example", "fastly", "--reason", "a trial"]);
    assert_eq!(server.look(NAME), [targets.address(2).to_string()]);
    let freeze = site.json(&["freeze", "--reason", "a change of theirs", "--for", "1h"]);

    server.kill();
    let server = site.start();
    assert_eq!(server.look(NAME), [targets.address(2).to_string()]);
    let kept = server.document("/v1/overrides");
    assert_eq!(kept, serde_json::json!([drain, pin, freeze]));
    site.json(&["release", "everything", "--reason", "done"]);
    site.json(&["release", &pin["id"].to_string(), "--reason", "done"]);
    assert!(!server.look(NAME).contains(&targets.address(0).to_string()), "the drain holds");
    site.json(&["release", "bunny", "--reason", "done"]);
    server.wait_for(NAME, targets.address(0));

    // What was released stays so, and ids are not used again.
    server.kill();
    let server = site.start();
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([]));
    let next = site.json(&["drain", "bunny", "--reason", "again"]);
    assert!(next["id"].as_u64() > freeze["id"].as_u64(), "{next}");
    server.stop();
}

#[test]
fn a_dry_run_places_nothing_and_a_gradual_drain_outlives_a_kill() {
    let (site, targets, server) = shop(2, "");
    server.wait_for(NAME, targets.address(0));
    let told = site.json(&["drain", "bunny", "--reason", "look", "--dry-run"]);
    assert_eq!((told["names"].as_u64(), told["moves"].as_u64()), (Some(1), Some(1)), "{told}");
    let of = &told["of"][0];
    assert_eq!((&of["name"], &of["from"], &of["to"]), (&NAME.into(), &"bunny 100%".into(), &"cloudflare 100%".into()));
    assert_eq!(of["flows"][0]["share"], 1.0, "{told}");
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([]));
    assert_eq!(server.look(NAME), [targets.address(0).to_string()]);

    let refused = site.run(&["drain", "nope.example", "--reason", "look", "--dry-run"]);
    assert!(said(&refused).contains("nope.example. is neither a steered name here nor a zone"), "{refused:?}");
    let late = site.run(&["drain", "bunny", "--over", "2h", "--for", "1h", "--reason", "look"]);
    assert!(said(&late).contains("would end before it has drained"), "{late:?}");
    let drain = site.json(&["drain", "bunny", "--over", "20h", "--reason", "maintenance"]);
    let freeze = site.json(&["freeze", "shop.example", "--reason", "look"]);
    assert_eq!((&drain["left_percent"], &freeze["subject"]), (&100.into(), &"zone:shop.example.".into()));
    server.kill();
    let server = site.start();
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([drain, freeze]));
    site.json(&["release", "shop.example", "--reason", "done"]);
    site.json(&["release", "bunny", "--reason", "done"]);
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([]));
    server.stop();
}

#[test]
fn a_drill_outlives_a_kill_and_ends_when_who_took_the_clients_fails() {
    let (site, targets, server) = shop(2, "");
    server.wait_for(NAME, targets.address(0));
    let drill = site.json(&["drill", "bunny", "--share", "50%", "--for", "1h", "--reason", "monthly"]);
    assert_eq!((&drill["order"], &drill["subject"]), (&"drill".into(), &"bunny".into()));
    let second = site.run(&["drill", "bunny", "--share", "1%", "--for", "1h", "--reason", "again"]);
    assert!(said(&second).contains("is a drill of bunny already"), "{second:?}");
    let share = |server: &Server| server.document("/v1/names/www.shop.example")["candidates"][0]["share"].as_f64();
    assert_eq!(share(&server), Some(0.5));
    server.kill();
    let server = site.start();
    server.wait_ready();
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([drill]));
    assert_eq!(share(&server), Some(0.5));
    targets.set(1, 500);
    eventually("the drill ends", || server.document("/v1/overrides") == serde_json::json!([]));
    assert_eq!(share(&server), Some(1.0));
    // What a crash is to leave must be stored first: a question about the past waits for that.
    server.document(&format!("/v1/explain?name={NAME}&at={}", jiff::Timestamp::now()));
    let events = server.document("/v1/events?kind=override&limit=1");
    assert_eq!(events["events"][0]["to"], "aborted", "{events}");
    server.kill();
    let server = site.start();
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([]), "it was forgotten in the store too");
    server.stop();
}

#[test]
fn an_order_that_keeps_clients_on_what_is_down_is_told_as_long_as_it_does() {
    let (site, targets, server) = shop(2, "");
    server.wait_for(NAME, targets.address(0));
    let check = |server: &Server| server.document("/health")["checks"]["overrides"][0].clone();
    site.json(&["pin", "www.shop.example", "bunny", "--reason", "a trial"]);
    assert_eq!(check(&server)["status"], "pass");
    targets.set(0, 500);
    eventually("health fails", || check(&server)["status"] == "fail");
    let says = "keeps clients on www.shop.example./bunny, which is down";
    assert!(check(&server)["output"].as_str().is_some_and(|output| output.contains(says)));
    assert_eq!(server.metric("pointsman_overrides_on_down"), Some(1.0));
    assert!(server.document("/v1/status")["alerts"].to_string().contains(says));
    assert_eq!(server.document("/v1/overrides")[0]["on_down"][0], "www.shop.example./bunny");
    let again = site.run(&["pin", "www.shop.example", "bunny", "--reason", "I insist"]);
    let told = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(told.contains("WARNING: it keeps clients on what is down: www.shop.example./bunny"), "{told}");
    site.json(&["release", "www.shop.example/bunny", "--reason", "done"]);
    assert_eq!(check(&server)["status"], "pass");
    server.stop();
}

#[test]
fn orders_over_http_need_the_token() {
    let (_site, targets, server) = shop(2, "");
    let body = r#"{"order": "drain", "subject": "bunny", "reason": "slow"}"#;
    assert_eq!(server.http("POST", "/v1/overrides", "", body).status, 401);
    assert_eq!(server.look(NAME), [targets.address(0).to_string()]);
    let placed = server.order("POST", "/v1/overrides", body);
    assert_eq!((placed.status, placed.json()["stored"].as_bool()), (201, Some(true)), "{placed:?}");
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    let released = server.order("DELETE", "/v1/overrides/bunny?reason=done", "");
    assert_eq!(released.status, 200, "{released:?}");
    assert_eq!(server.look(NAME), [targets.address(0).to_string()]);
    assert_eq!(server.order("DELETE", "/v1/overrides/bunny?reason=done", "").status, 404);
    assert_eq!(server.order("POST", "/v1/overrides", &body.replace("bunny", "nobody")).status, 404);
    server.stop();
}

#[test]
fn an_order_ends_by_itself_even_while_the_server_is_away() {
    let (site, targets, server) = shop(2, "");
    site.json(&["drain", "bunny", "--reason", "short", "--for", "1s"]);
    assert_eq!(server.look(NAME), [targets.address(1).to_string()]);
    server.wait_for(NAME, targets.address(0));
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([]));

    let placed = site.json(&["drain", "bunny", "--reason", "short", "--for", "1s"]);
    server.kill();
    let until: jiff::Timestamp = placed["until"].as_str().expect("a time").parse().expect("RFC 3339");
    eventually("the end of the order", || jiff::Timestamp::now() > until);
    let server = site.start();
    assert_eq!(server.document("/v1/overrides"), serde_json::json!([]));
    server.wait_for(NAME, targets.address(0));
    let events = server.document("/v1/events?kind=override&limit=1");
    assert_eq!(events["events"][0]["to"], "expired", "{events}");
    server.stop();
}

#[test]
fn a_client_keeps_its_candidate_over_a_restart() {
    let (site, _targets, server) = shop(4, "prefer=any");
    let ask = |server: &Server| -> BTreeMap<u8, Vec<String>> {
        let source = |network: u8| Ipv4Addr::new(127, 200, network, 1);
        (0..64).map(|n| (n, data_of(&ask_from(server.dns, source(n), NAME, RecordType::A)))).collect()
    };
    let before = ask(&server);
    assert!(before.values().any(|answer| *answer != before[&0]), "clients are shared out");
    let key = std::fs::metadata(site.data().join("client-key")).expect("the key is kept");
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.permissions());
    assert_eq!(mode & 0o777, 0o600, "who knows the key can choose a candidate");
    server.stop();
    let server = site.start();
    assert_eq!(ask(&server), before);
    server.stop();
}

#[test]
fn a_private_target_is_refused_unless_allowed() {
    let (site, targets) = (Site::new(), Targets::new(2));
    std::fs::write(site.path("pointsman.toml"), "").expect("it is written");
    site.zone("shop.example", &targets.steered("www", ""));
    let server = site.start();
    server.wait_standing(NAME, "bunny", "down");
    let view = server.document("/v1/names/www.shop.example");
    let reason = view["candidates"][0]["last_fault"]["reason"].as_str().expect("a fault").to_owned();
    assert!(reason.contains("loopback"), "{reason}");
    server.stop();
}

#[test]
fn events_are_filtered_and_paged() {
    let (site, targets, server) = shop(2, "");
    for _ in 0..3 {
        site.json(&["drain", "bunny", "--reason", "a round"]);
        site.json(&["release", "bunny", "--reason", "a round"]);
    }
    targets.set(0, 500);
    server.wait_standing(NAME, "bunny", "down");
    let all = until("the last verdict is stored", || {
        let page = server.document("/v1/events?limit=1000");
        let events = page["events"].as_array().expect("a list").clone();
        events.iter().any(|event| event["to"] == "down").then_some(events)
    });
    let ids: Vec<_> = all.iter().map(|event| event["id"].as_u64().expect("a number")).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "newest first: {ids:?}");

    let mut paged = Vec::new();
    let mut path = "/v1/events?kind=override&limit=4".to_owned();
    loop {
        let page = server.document(&path);
        let events = page["events"].as_array().expect("a list").clone();
        assert!(events.len() <= 4 && events.iter().all(|event| event["kind"] == "override"), "{page}");
        paged.extend(events);
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/events?kind=override&limit=4&before={next}");
    }
    let expected: Vec<_> = all.iter().filter(|event| event["kind"] == "override").cloned().collect();
    assert_eq!((paged.len(), paged), (6, expected));

    let of_candidate = site.json(&["events", "--subject", "www.shop.example/bunny", "--kind", "verdict"]);
    let subjects = of_candidate["events"].as_array().expect("a list");
    assert!(!subjects.is_empty() && subjects.iter().all(|event| event["subject"] == "www.shop.example./bunny"));
    assert_eq!(server.get("/v1/events?kind=odd").status, 400);
    let table = site.run(&["events", "--limit", "3"]);
    assert!(table.status.success() && said(&table).contains("www.shop.example./bunny"), "{}", said(&table));
    server.stop();
}

#[test]
fn an_apex_has_the_addresses_of_its_target_and_never_those_of_one_that_it_had() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let resolver = runtime.block_on(ScriptedResolver::start());
    let (site, targets) = (Site::new(), Targets::new(2));
    resolver.says("old.b-cdn.net.", Says::Addresses(vec![targets.address(0)], 60));
    resolver.says("new.b-cdn.net.", Says::Silence);
    site.configure(&format!("resolvers = [\"{}\"]\n", resolver.address));
    let zone = |target: &str| {
        let policy = format!("v=steer1 probe=http:{}:/ every=300ms timeout=1s fall=2", targets.port);
        let records = format!(
            "@ 60 IN A 192.0.2.99\n_steer 60 IN TXT \"{policy}\"\n_steer 60 IN TXT \"cdn=bunny to={target}\"\n"
        );
        site.zone("news.example", &records);
    };
    zone("old.b-cdn.net.");
    let server = site.start();
    server.wait_for("news.example.", targets.address(0));
    let ttl = server.ask("news.example.", RecordType::A).answers[0].ttl;
    assert!((1..=30).contains(&ttl), "{ttl}");
    zone("new.b-cdn.net.");
    assert_eq!(server.reload()["ok"], true);
    assert!(!server.look("news.example.").contains(&targets.address(0).to_string()));
    resolver.says("new.b-cdn.net.", Says::Addresses(vec![targets.address(1)], 60));
    server.wait_for("news.example.", targets.address(1));
    server.stop();
}

/// Flattened over two providers whose HTTPS records have hints of their own, elsewhere than where they resolve to: each client's
/// hints are its addresses, before and after each move, from the first answer on.
#[test]
fn https_records_of_a_flattened_name_come_with_its_addresses() {
    const APEX: &str = "news.example.";
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let resolver = runtime.block_on(ScriptedResolver::start());
    let (site, targets) = (Site::new(), Targets::new(2));
    let service = |ttl, at: usize| {
        let hint = SvcParamValue::Ipv4Hint(IpHint(vec![A(Ipv4Addr::new(192, 0, 2, 9))]));
        let alpn = SvcParamValue::Alpn(Alpn(vec!["h2".to_owned()]));
        let record = SVCB::new(1, Name::root(), vec![(SvcParamKey::Alpn, alpn), (SvcParamKey::Ipv4Hint, hint)]);
        Says::Serves(vec![targets.address(at)], record, ttl)
    };
    resolver.says("a.b-cdn.net.", Says::Alias("edge.b-cdn.net.", 60));
    resolver.says("edge.b-cdn.net.", service(60, 0));
    resolver.says("a.gcdn.co.", service(60, 1));
    site.configure(&format!("resolvers = [\"{}\"]\nauthoritative_every = \"0s\"\n", resolver.address));
    let policy = format!("v=steer1 prefer=any probe=http:{}:/ every=300ms timeout=1s fall=2", targets.port);
    let mut records = format!("@ 60 IN A 192.0.2.99\n_steer 60 IN TXT \"{policy}\"\n");
    for candidate in ["cdn=bunny to=a.b-cdn.net.", "cdn=gcore to=a.gcdn.co."] {
        records += &format!("_steer 60 IN TXT \"{candidate}\"\n");
    }
    site.zone("news.example", &records);
    let server = site.start();
    let ask = |network: u8| {
        let source = Ipv4Addr::new(127, 200, network, 1);
        let [addresses, service] =
            [RecordType::A, RecordType::HTTPS].map(|rtype| data_of(&ask_from(server.dns, source, APEX, rtype)));
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        (addresses[0].clone(), service)
    };
    let agree = |address: &str| vec![format!("1 . alpn=h2 ipv4hint={address}")];
    let rid = |text: &str| text.replace([',', '"'], "");
    eventually("both providers serve, with their HTTPS records", || {
        let all: Vec<_> = (0..32).map(ask).collect();
        let has = |at: usize| all.iter().any(|(address, _)| *address == targets.address(at).to_string());
        has(0) && has(1) && all.iter().all(|(_, service)| !service.is_empty())
    });
    let check = |serving: &[usize]| {
        for network in 0..32 {
            let (address, service) = ask(network);
            let service: Vec<String> = service.iter().map(|record| rid(record)).collect();
            assert_eq!(service, agree(&address));
            assert!(serving.iter().any(|&at| targets.address(at).to_string() == address), "{address}");
        }
    };
    check(&[0, 1]);
    for (drained, left) in [("bunny", 1), ("gcore", 0)] {
        site.json(&["drain", drained, "--reason", "a trial"]);
        check(&[left]);
        site.json(&["release", drained, "--reason", "done"]);
    }
    let told = said(&site.run(&["explain", "news.example", "--type", "HTTPS"]));
    assert!(told.contains("its HTTPS records are those of the candidate's target"), "{told}");
    server.stop();
}
