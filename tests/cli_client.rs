//! The commands that ask the API, run as programs: over the control socket, and over TCP with a token.

#[path = "support/api.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use pointsman::controller::message::{Release, ReleaseWhich};
use pointsman::controller::view::StoreState;
use pointsman::steer::observation::Family;
use pointsman::steer::overrides::{DrainSubject, Drill, Order, Scope};
use support::{Asked, Manner, Server};

/// Runs the program in an empty environment, as a pipe sees it.
fn pointsman(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman")).args(args).env_clear().output().expect("the program runs")
}

/// Over the control socket.
fn by_socket(server: &Server, args: &[&str]) -> Output {
    let data = server.folder.path().to_str().expect("a plain path");
    pointsman(&[args, &["--data", data]].concat())
}

/// Over TCP with the token.
fn by_tcp(server: &Server, args: &[&str]) -> Output {
    let url = format!("http://{}", server.address);
    let token = server.folder.path().join("token");
    pointsman(&[args, &["--api", &url, "--token-file", token.to_str().expect("a plain path")]].concat())
}

/// What it printed, when it ended well.
fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What it said when it ended with this code.
fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn tables_are_as_ever_whichever_way_they_come() {
    let server = Server::start();
    for (name, args) in [
        ("status", &["status"][..]),
        ("status_name", &["status", "www.shop.example"]),
        ("status_zone", &["status", "clinic.example"]),
        ("zones", &["zones"]),
        ("status_areas", &["status", "paper.example."]),
        ("status_provider", &["status", "gcore"]),
        ("drills", &["drill", "list"]),
        ("drill", &["drill", "report", "7", "--client", "192.0.2.1"]),
        ("explain", &["explain", "www.shop.example", "--client", "192.0.2.1"]),
        ("events", &["events", "--limit", "2"]),
        ("events_last_page", &["events", "--before", "8"]),
    ] {
        let text = printed(&by_socket(&server, args));
        assert_eq!(text, printed(&by_tcp(&server, args)), "{name}");
        assert!(!text.contains('\u{1b}'), "no colours, and nothing that steers a terminal: {text}");
        insta::assert_snapshot!(name, text);
    }
}

/// anstream's word for "as if it were a terminal" is `CLICOLOR_FORCE`.
#[test]
fn colours_are_for_terminals() {
    let server = Server::start();
    let data = server.folder.path().to_str().expect("a plain path");
    let with = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let output = command.args(["status", "--data", data]).env_clear().envs(variables.iter().copied()).output();
        printed(&output.expect("the program runs"))
    };
    assert!(with(&[("CLICOLOR_FORCE", "1")]).contains("\u{1b}[31m1\u{1b}[0m"), "a candidate that is down is red");
    for variables in [&[][..], &[("NO_COLOR", "1")], &[("TERM", "xterm-256color")]] {
        assert!(!with(variables).contains('\u{1b}'), "{variables:?}");
    }
}

#[test]
fn a_server_in_trouble_says_so() {
    let server = Server::start();
    {
        let mut overview = server.overview.lock().expect("nobody panicked with it");
        overview.frozen = true;
        overview.store = StoreState::Gone { why: "disk full".to_owned() };
        overview.families_without_route = vec![Family::V6];
        overview.names.without_usable = 1;
        overview.tcp_connections = 2;
        overview.reloading = Some(1.25);
        overview.first_round = pointsman::controller::view::FirstRound::Pending;
    }
    insta::assert_snapshot!("status_in_trouble", printed(&by_socket(&server, &["status"])));
}

#[test]
fn json_is_the_document_of_the_api() {
    let server = Server::start();
    for (args, path) in [
        (&["status", "www.shop.example"][..], "/v1/names/www.shop.example"),
        (&["events"], "/v1/events?limit=50"),
        (&["zones"], "/v1/zones"),
        (&["explain", "www.shop.example"], "/v1/explain?name=www.shop.example"),
    ] {
        let text = printed(&by_socket(&server, &[args, &["--format", "json"]].concat()));
        assert_eq!(text.trim_end(), server.get(path).body.trim_end());
    }
    let whole: serde_json::Value =
        serde_json::from_str(&printed(&by_tcp(&server, &["status", "--format", "json"]))).expect("JSON");
    for (key, path) in [
        ("status", "/v1/status"),
        ("overrides", "/v1/overrides"),
        ("providers", "/v1/providers"),
        ("names", "/v1/names"),
    ] {
        assert_eq!(whole[key], server.get(path).json(), "{key}");
    }
    let provider = printed(&by_socket(&server, &["status", "gcore", "--format", "json"]));
    let provider: serde_json::Value = serde_json::from_str(&provider).expect("JSON");
    assert_eq!(provider["names"][0]["candidates"][0]["provider"], "gcore");
}

#[test]
fn orders_reach_the_server_with_their_author() {
    let server = Server::start();
    let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id runs").stdout).expect("UTF-8");
    let drain = ["drain", "www.shop.example/bunny", "--reason", "slow", "--for", "30m"];
    assert_eq!(
        printed(&by_socket(&server, &drain)),
        format!(
            "override 4: drain www.shop.example./bunny, until 2025-12-05 09:20:00 UTC, by {}: slow (touches 1 name)\n",
            user.trim()
        )
    );
    let [Asked::Place(new)] = &server.asked()[..] else { panic!("one order") };
    assert!(matches!(&new.order, Order::Drain(DrainSubject::Candidate(_))) && new.until.is_some());
    assert_eq!(
        printed(&by_tcp(&server, &["pin", "www.shop.example", "gcore", "--reason", "test"])),
        "override 4: pin www.shop.example./gcore, until it is released, by token: test (touches 1 name)\n"
    );
    let frozen = printed(&by_tcp(
        &server,
        &["freeze", "--reason", "look", "--until", "2099-01-01T00:00:00Z", "--format", "json"],
    ));
    assert!(frozen.contains("\"order\":\"freeze\""), "{frozen}");
    let [Asked::Place(pin), Asked::Place(freeze)] = &server.asked()[..] else { panic!("two orders") };
    assert!(matches!(&pin.order, Order::Pin(key) if key.to_string() == "www.shop.example./gcore"));
    assert_eq!(freeze.order, Order::Freeze);
}

#[test]
fn gradual_drains_scopes_and_drills_reach_the_server() {
    let server = Server::start();
    let told = printed(&by_tcp(&server, &["drain", "bunny", "--reason", "slow", "--over", "10m"]));
    assert!(told.ends_with("drains gradually: 100 % left, nothing at 2025-12-05 09:00:00 UTC\n"), "{told}");
    let [Asked::Place(new)] = &server.asked()[..] else { panic!("one order") };
    assert_eq!(new.over, Some(std::time::Duration::from_secs(600)));
    for (args, order) in [
        (&["freeze", "zone:shop.example"][..], Order::FreezeIn(Scope::Zone("shop.example.".into()))),
        (&["freeze", "shop.example"][..], Order::FreezeIn(Scope::Domain("shop.example.".into()))),
        (&["drain", "Shop.example"][..], Order::Drain(DrainSubject::In(Scope::Domain("shop.example.".into())))),
        (
            &["drill", "bunny", "--share", "0.5%", "--for", "10m"][..],
            Order::Drill(Drill { provider: "bunny".into(), per_mille: 5 }),
        ),
    ] {
        printed(&by_tcp(&server, &[args, &["--reason", "x"]].concat()));
        let [Asked::Place(new)] = &server.asked()[..] else { panic!("one order") };
        assert_eq!(new.order, order);
    }
    let pin = ["pin", "www.shop.example", "gcore", "--reason", "x", "--over", "10m"];
    assert!(failed(&by_tcp(&server, &pin), 2).contains("--over"));
    for (args, part) in [
        (&["--share", "60%", "--for", "10m"][..], "from 0.1 % to 50 %"),
        (&["--share", "1%", "--for", "25h"][..], "at most 24 h"),
    ] {
        let told = failed(&by_tcp(&server, &[&["drill", "bunny", "--reason", "x"], args].concat()), 2);
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn records_of_drills_are_asked_for_and_an_order_needs_all_it_needs() {
    let server = Server::start();
    for args in [&["drill", "report", "7", "--json"][..], &["drill", "report", "7", "--format", "json"]] {
        let json: serde_json::Value = serde_json::from_str(&printed(&by_socket(&server, args))).expect("JSON");
        assert_eq!((&json["id"], &json["state"]), (&7.into(), &"aborted".into()));
    }
    assert!(
        printed(&by_tcp(&server, &["drill", "list", "--json", "--limit", "3", "--before", "9"])).contains("planned")
    );
    let [Asked::Drills(filter)] = &server.asked()[..] else { panic!("one question") };
    assert_eq!((filter.before, filter.limit), (Some(9), 3));
    assert!(failed(&by_tcp(&server, &["drill", "report", "8"]), 2).contains("there is no record of a drill 8"));
    assert!(failed(&by_tcp(&server, &["drill", "report", "7", "--client", "x"]), 2).contains("`x` is neither"));
    for (args, part) in [
        (&["drill"][..], "--share"),
        (&["drill", "bunny", "--share", "1%"], "--reason"),
        (&["drill", "--share", "1%", "--reason", "x"], "PROVIDER"),
        (&["drill", "report"], "ID"),
    ] {
        assert!(failed(&by_tcp(&server, args), 2).contains(part), "{args:?}");
    }
}

#[test]
fn a_dry_run_tells_what_would_move_and_places_nothing() {
    let server = Server::start();
    let told = printed(&by_socket(&server, &["drain", "bunny", "--reason", "slow", "--dry-run"]));
    for part in [
        "dry run: drain bunny: nothing was placed\n",
        "it is about 1 name, and 1 answer would change\n",
        "12 of 20 answers/s would move, as measured over 90 s\n",
        "WARNING: it would keep clients on www.shop.example./gcore, which is down\n",
        "www.shop.example.   100%         12  bunny 100%  gcore 100%  up, level 2 (any)\n",
    ] {
        assert!(told.contains(part), "{part}{told}");
    }
    assert!(matches!(&server.asked()[..], [Asked::Rehearse(_)]));
    let json = printed(&by_tcp(&server, &["freeze", "--reason", "x", "--dry-run", "--format", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["of"][0]["to"], "gcore 100%");
}

#[test]
fn releases_reach_the_server() {
    let server = Server::start();
    for (which, expected) in [
        ("3", ReleaseWhich::Id(3)),
        ("gcore", ReleaseWhich::Subject("gcore".to_owned())),
        ("*.shop.example./bunny", ReleaseWhich::Subject("*.shop.example./bunny".to_owned())),
        ("everything", ReleaseWhich::Subject("everything".to_owned())),
    ] {
        let output = by_tcp(&server, &["release", which, "--reason", "it is over & done"]);
        if matches!(which, "3" | "gcore") {
            assert_eq!(
                printed(&output),
                "released override 3: drain gcore, until 2025-12-05 09:30:00 UTC, by anna: maintenance (touches 1 name)\n"
            );
        } else {
            assert!(failed(&output, 2).contains("in force"));
        }
        let release = Release { which: expected, author: "token".to_owned(), reason: "it is over & done".to_owned() };
        assert_eq!(server.asked(), [Asked::Release(release)]);
    }
}

#[test]
fn bad_input_exits_with_2_and_says_what_is_wrong() {
    let server = Server::start();
    for (args, part) in [
        (&["drain", "bunny"][..], "--reason"),
        (&["drain", "bunny", "--reason", "x", "--for", "1h", "--until", "2099-01-01T00:00:00Z"], "cannot be used with"),
        (&["drain", "bunny", "--reason", "x", "--for", "soon"], "not a span of time"),
        (&["drain", "nobody", "--reason", "x"], "matches no candidate"),
        (&["drain", "bunny", "--reason", " "], "`reason` is empty"),
        (&["pin", "www.shop.example", "B", "--reason", "x"], "is not an id"),
        (&["release", "7", "--reason", "x"], "no override 7 is in force"),
        (&["status", "other.example"], "`other.example.` is in no zone here: its questions are REFUSED"),
        (&["status", "txt.shop.example"], "`txt.shop.example.` is not steered: it is in zone shop.example."),
        (&["status", "nobody"], "`nobody` is no provider here"),
        (&["explain", "other.example"], "no zone here holds"),
        (&["events", "--since", "yesterday"], "neither a span"),
        (&["events", "--limit", "0"], "not in 1..=1000"),
        (&["events", "--kind", "odd"], "verdict"),
        (&["status", "--format", "xml"], "table, json"),
    ] {
        let said = failed(&by_socket(&server, args), 2);
        assert!(said.contains(part), "{args:?}: {said}");
    }
    assert!(failed(&pointsman(&[]), 2).contains("Usage"));
    assert!(failed(&pointsman(&["status", "--api", "127.0.0.1:8053"]), 2).contains("is not a URL"));
    for option in ["--data", "--config"] {
        let said = failed(&pointsman(&["demo", "--once", option, "x"]), 2);
        assert!(said.contains(&format!("the demo takes no `{option}`")), "{said}");
    }
}

/// What one reads at three in the morning.
#[test]
fn a_server_that_cannot_be_reached_exits_with_1_and_says_what_to_try() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let data = folder.path().to_str().expect("a plain path");
    let status = |more: &[&str]| failed(&pointsman(&[&["status"], more].concat()), 1);
    let socket = folder.path().join("control.sock");
    let expected = format!("error: no server answers at {} (is it running? give --data or --api)\n", socket.display());
    assert_eq!(status(&["--data", data]), expected);
    drop(UnixListener::bind(&socket).expect("a socket that nobody listens at any more"));
    assert_eq!(status(&["--data", data]), expected);
    fs::remove_file(&socket).expect("it goes");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address")
    };
    let said = status(&["--api", &format!("http://{closed}")]);
    assert!(said.contains(&format!("no answer from http://{closed}")) && said.contains("refused"), "{said}");
    let said = status(&["--api", &format!("http://{closed}"), "--token-file", "/nothing/here"]);
    assert!(said.contains("/nothing/here"), "{said}");
}

#[test]
fn the_server_s_own_refusals_are_passed_on() {
    let server = Server::start();
    let url = format!("http://{}", server.address);
    let said = failed(&pointsman(&["freeze", "--reason", "x", "--api", &url]), 1);
    assert!(said.contains("needs `Authorization: Bearer TOKEN`"), "{said}");
    let silent = Server::with(Manner::Silent, |_| ());
    let said = failed(&by_socket(&silent, &["status"]), 1);
    assert!(said.contains("did not answer within 2 s"), "{said}");
}

/// Asked by an ordinary user, since no mode keeps root out.
#[test]
fn a_socket_of_others_is_told_apart_from_none() {
    let server = Server::start();
    fs::set_permissions(server.socket(), fs::Permissions::from_mode(0o000)).expect("modes can be set");
    let data = server.folder.path();
    fs::set_permissions(data, fs::Permissions::from_mode(0o755)).expect("modes can be set");
    let Some(output) = as_nobody(data) else {
        assert!(
            std::env::var("POINTSMAN_PEERS").as_deref() != Ok("required"),
            "setpriv is missing (Debian: util-linux)"
        );
        eprintln!("skipped: needs setpriv (Debian: util-linux)");
        return;
    };
    let said = failed(&output, 1);
    assert!(said.contains("permission denied at"), "{said}");
}

/// `status` as an ordinary user: ourselves, or `nobody` where we are root.
fn as_nobody(data: &Path) -> Option<Output> {
    use std::os::unix::fs::MetadataExt;
    let data_text = data.to_str().expect("a plain path");
    if fs::metadata("/proc/self").expect("Linux").uid() != 0 {
        return Some(pointsman(&["status", "--data", data_text]));
    }
    let copy = data.join("pointsman");
    fs::copy(env!("CARGO_BIN_EXE_pointsman"), &copy).expect("it can be copied where nobody may run it");
    let ids = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let mut command = Command::new("setpriv");
    command.args(ids).arg(copy).args(["status", "--data", data_text]).env_clear().output().ok()
}

#[test]
fn help_names_every_command() {
    let help = printed(&pointsman(&["--help"]));
    for command in ["status", "zones", "explain", "drain", "pin", "freeze", "release", "events"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        assert!(printed(&pointsman(&[command, "--help"])).contains("--data"), "{command}");
    }
    assert_eq!(printed(&pointsman(&["--version"])), format!("pointsman {}\n", env!("CARGO_PKG_VERSION")));
}
