//! Every route of the API over a real socket, before a fake controller.

#[path = "support/api.rs"]
mod support;

use std::net::IpAddr;

use pointsman::controller::message::{EventFilter, ExplainQuery, ReleaseWhich};
use pointsman::controller::view::{Counts, FirstRound, Serving};
use pointsman::steer::overrides::{DrainSubject, Order};
use pointsman::steer::time::Time;
use support::{Asked, Server};

/// The documents as clients see them. Times and values are canned.
#[test]
fn documents_are_as_ever() {
    let server = Server::start();
    for (name, path) in [
        ("index", "/"),
        ("health", "/health"),
        ("livez", "/livez"),
        ("readyz", "/readyz"),
        ("status", "/v1/status"),
        ("providers", "/v1/providers"),
        ("names", "/v1/names"),
        ("name", "/v1/names/WWW.shop.example"),
        ("zones", "/v1/zones"),
        ("events", "/v1/events?limit=2"),
        ("explain", "/v1/explain?name=www.shop.example&client=192.0.2.1"),
        ("jurisdiction", "/v1/jurisdiction?from=2025-12-05T08:00:00Z&to=2025-12-05T09:00:00Z"),
        ("drills", "/v1/drills"),
        ("drill", "/v1/drills/7?client=192.0.2.1"),
        ("overrides", "/v1/overrides"),
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        insta::assert_json_snapshot!(name, response.json());
    }
}

#[test]
fn every_answer_carries_its_fields() {
    let server = Server::start();
    for (path, media_type) in [
        ("/", "application/json"),
        ("/health", "application/health+json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/nothing", "application/problem+json"),
    ] {
        let response = server.get(path);
        assert_eq!(response.field("content-type"), Some(media_type));
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.field("cache-control"), Some("no-store"));
        assert_eq!(response.field("access-control-allow-origin"), None);
    }
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    for path in ["/", "/health", "/readyz", "/v1/names", "/metrics"] {
        let (get, head) = (server.get(path), server.tcp("HEAD", path, "", ""));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.field("content-type"), get.field("content-type"));
    }
}

#[test]
fn readiness_follows_the_controller_and_says_why() {
    let server = Server::start();
    for (serving, first_round, part) in [
        (Serving::Starting, FirstRound::Pending, "starting"),
        (Serving::Serving, FirstRound::Pending, "first round"),
        (Serving::Stopping, FirstRound::Done, "stopping"),
    ] {
        {
            let mut overview = server.overview.lock().expect("nobody panicked with it");
            (overview.serving, overview.first_round) = (serving, first_round);
        }
        assert!(server.get("/readyz").problem(503).contains(part));
        assert_eq!(server.get("/livez").status, 200);
        let expected = if serving == Serving::Stopping { 503 } else { 200 };
        assert_eq!(server.get("/health").status, expected);
    }
    {
        let mut overview = server.overview.lock().expect("nobody panicked with it");
        (overview.serving, overview.first_round) = (Serving::Serving, FirstRound::Done);
        overview.zones = Counts { broken: 2, ..Counts::default() };
    }
    assert!(server.get("/readyz").problem(503).contains("not ready: every zone is broken and answers SERVFAIL"));
    server.overview.lock().expect("nobody panicked with it").zones = Counts::default();
    assert!(server.get("/readyz").problem(503).contains("not ready: no zone is served"));
    assert_eq!(server.get("/health").status, 503);
}

#[test]
fn questions_reach_the_controller_as_asked() {
    let server = Server::start();
    let events = "/v1/events?subject=www.shop.example%2Fbunny&kind=verdict&since=1970-01-01T00:00:01Z&before=9&limit=1";
    assert_eq!(server.get(events).json()["next"], 8);
    let explain = "/v1/explain?name=www.shop.example&type=aaaa";
    assert_eq!(server.get(explain).json()["client"], "127.0.0.1", "the client is whoever asks");
    assert_eq!(server.control("GET", "/v1/explain?name=www.shop.example&client=2001:db8::1", "").status, 200);
    let explain = |rtype: &str, client: &str| {
        let client = client.parse::<IpAddr>().expect("an address").into();
        Asked::Explain(ExplainQuery { name: "www.shop.example".to_owned(), rtype: rtype.to_owned(), client })
    };
    let query = EventFilter {
        subject: Some("www.shop.example./bunny".to_owned()),
        kind: Some("verdict".to_owned()),
        since: Some(Time(1_000)),
        until: None,
        before: Some(9),
        limit: 1,
    };
    assert_eq!(server.asked(), [Asked::Events(query), explain("AAAA", "127.0.0.1"), explain("A", "2001:db8::1")]);
}

#[test]
fn an_override_is_placed_with_its_author_and_its_end() {
    let server = Server::start();
    let body = r#"{"order":"drain","subject":"WWW.shop.example/bunny","reason":"slow","for":"30m"}"#;
    let before = pointsman::api::span::now();
    let placed = server.authorized("POST", "/v1/overrides", body);
    assert_eq!(placed.status, 201, "{placed:?}");
    insta::assert_json_snapshot!("placed", placed.json());
    let [Asked::Place(new)] = &server.asked()[..] else { panic!("one override was asked for") };
    assert!(
        matches!(&new.order, Order::Drain(DrainSubject::Candidate(key)) if key.to_string() == "www.shop.example./bunny")
    );
    assert_eq!(new.author, "token");
    let ends_in = new.until.expect("it ends").since(before).as_secs();
    assert!((1_800..1_830).contains(&ends_in), "{ends_in}");
}

#[test]
fn releases_go_by_id_and_by_subject() {
    let server = Server::start();
    for (path, which) in [
        ("/v1/overrides/3?reason=over", Some(ReleaseWhich::Id(3))),
        ("/v1/overrides/gcore?reason=over", Some(ReleaseWhich::Subject("gcore".to_owned()))),
        ("/v1/overrides/4?reason=over", None),
        ("/v1/overrides/www.shop.example./bunny?reason=over", None),
        ("/v1/overrides/www.shop.example%2Fbunny?reason=over", None),
    ] {
        let response = server.authorized("DELETE", path, "");
        let [Asked::Release(release)] = &server.asked()[..] else {
            panic!("{path} asks for one release: {response:?}")
        };
        assert_eq!((release.author.as_str(), release.reason.as_str()), ("token", "over"));
        match which {
            Some(which) => assert_eq!((response.status, &release.which), (200, &which)),
            None => assert!(response.problem(404).contains("in force")),
        }
        if path.contains("bunny") {
            assert_eq!(release.which, ReleaseWhich::Subject("www.shop.example./bunny".to_owned()));
        }
    }
}

#[test]
fn a_reload_reports() {
    let server = Server::start();
    let report = server.authorized("POST", "/v1/reload", "");
    assert_eq!((report.status, &report.json()["ok"]), (200, &false.into()));
    assert_eq!(server.asked(), [Asked::Reload]);
}

#[test]
fn the_control_socket_knows_who_is_there() {
    let server = Server::start();
    let placed = server.control("POST", "/v1/overrides", r#"{"order":"freeze","reason":"let me look"}"#);
    assert_eq!(placed.status, 201, "{placed:?}");
    let [Asked::Place(new)] = &server.asked()[..] else { panic!("one override was asked for") };
    let user = std::process::Command::new("id").arg("-un").output().expect("id runs");
    let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
    assert_eq!((new.author.as_str(), &new.order, new.until), (user.as_str(), &Order::Freeze, None));
}

/// The list at `/`, the essay and the router name the same routes.
#[test]
fn the_list_of_routes_is_true() {
    let server = Server::start();
    let essay = include_str!("../src/api/mod.rs");
    for (method, path, _) in pointsman::api::ROUTES {
        assert!(essay.contains(&format!("| {method} | `{path}` |")), "{method} {path} is not in the essay");
        let path = path.replace("{name}", "www.shop.example.").replace("{id or subject}", "3");
        let response = server.tcp(method, &path, "", "");
        assert!(![404, 405].contains(&response.status), "{method} {path}: {response:?}");
    }
}
