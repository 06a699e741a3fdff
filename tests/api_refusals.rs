//! What the API refuses, and how: always in time, always as a problem that says what was wrong.

#[path = "support/api.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use pointsman::api::{self, BindError, Settings};
use support::{Manner, Response, Server};

const FREEZE: &str = r#"{"order":"freeze","reason":"x"}"#;

#[test]
fn what_is_not_there_is_a_problem() {
    let server = Server::start();
    assert!(server.get("/v1/nothing").problem(404).contains("/v1/nothing"));
    assert!(server.get("/v1/names/other.example").problem(404).contains("`other.example.` is not a steered name"));
    assert!(server.get("/v1/names/a..b").problem(400).contains("not a domain name"));
    assert!(server.get("/v1/explain?name=other.example").problem(404).contains("no zone here"));
    assert!(server.get("/v1/explain?name=a..b").problem(400).contains("not a domain name"));
    assert!(server.get("/v1/explain?name=x.example&type=notype").problem(400).contains("`NOTYPE`"));
    assert!(server.get("/v1/explain").problem(400).contains("`name` is required"));
    assert!(server.get("/v1/explain?name=x.example&client=me").problem(400).contains("`client`"));
    assert!(server.get("/v1/names/%ff").problem(400).contains("UTF-8"));
}

#[test]
fn unknown_parameters_are_named() {
    let server = Server::start();
    for path in [
        "/",
        "/health",
        "/livez",
        "/readyz",
        "/v1/status",
        "/v1/providers",
        "/v1/names",
        "/v1/zones",
        "/v1/events",
        "/v1/explain",
        "/v1/overrides",
        "/metrics",
        "/v1/names/www.shop.example",
    ] {
        let detail = server.get(&format!("{path}?colour=red")).problem(400);
        assert!(detail.contains("unknown query parameter `colour`"), "{path}: {detail}");
    }
    let detail = server.authorized("POST", "/v1/reload?zone=a", "").problem(400);
    assert!(detail.contains("`zone`"), "{detail}");
    assert!(server.get("/v1/events?limit=1&limit=2").problem(400).contains("stands twice"));
    assert!(server.asked().is_empty(), "nothing was done");
}

#[test]
fn methods_that_do_not_fit_are_told_which_do() {
    let server = Server::start();
    for (method, path, allow) in [
        ("POST", "/health", "GET,HEAD"),
        ("DELETE", "/v1/overrides", "GET,HEAD,POST"),
        ("OPTIONS", "/v1/overrides", "GET,HEAD,POST"),
        ("GET", "/v1/overrides/3", "DELETE"),
        ("GET", "/v1/reload", "POST"),
        ("BREW", "/", "GET,HEAD"),
    ] {
        let response = server.tcp(method, path, "", "");
        assert!(response.problem(405).contains(method));
        assert_eq!(response.field("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn nobody_changes_state_over_tcp_without_a_token() {
    let server = Server::start();
    let near = server.token().chars().rev().collect::<String>();
    for (head, part) in [
        (String::new(), "needs `Authorization"),
        ("Authorization: Basic dG9rZW4=\r\n".to_owned(), "needs `Authorization"),
        ("Authorization: Bearer \r\n".to_owned(), "needs `Authorization"),
        ("Authorization: Bearer wrong\r\n".to_owned(), "not known"),
        (format!("Authorization: Bearer {near}\r\n"), "not known"),
        (format!("Authorization: Bearer {}0\r\n", server.token()), "not known"),
        (format!("Authorization: Bearer {0}\r\nAuthorization: Bearer {0}\r\n", server.token()), "needs `Authorization"),
    ] {
        for (method, path, body) in
            [("POST", "/v1/overrides", FREEZE), ("DELETE", "/v1/overrides/3?reason=x", ""), ("POST", "/v1/reload", "")]
        {
            let response = server.tcp(method, path, &head, body);
            let detail = response.problem(401);
            assert!(detail.contains(part), "{head}: {detail}");
            assert!(response.field("www-authenticate").is_some_and(|field| field.starts_with("Bearer")));
        }
    }
    assert!(server.asked().is_empty(), "nothing was done");
}

#[test]
fn tokens_are_read_again_when_the_file_changes() {
    let server = Server::start();
    let path = server.folder.path().join("token");
    let old = server.token();
    let new = "n".repeat(40);
    fs::write(&path, format!("ben:{new}\n")).expect("the file can be written");
    let with = |token: &str| server.tcp("POST", "/v1/overrides", &format!("Authorization: Bearer {token}\r\n"), FREEZE);
    assert_eq!(with(&old).status, 401);
    assert_eq!(with(&new).json()["author"], "ben");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("modes can be set");
    assert!(with(&new).problem(503).contains("token file"));
    assert_eq!(server.control("POST", "/v1/overrides", FREEZE).status, 201, "the socket needs no token");
}

#[test]
fn bodies_that_do_not_fit_are_refused() {
    let server = Server::start();
    let post = |body: &str| server.authorized("POST", "/v1/overrides", body);
    assert!(post("{").problem(400).contains("JSON"));
    assert!(post(r#"{"order":"freeze","reason":"x","colour":"red"}"#).problem(422).contains("unknown field `colour`"));
    assert!(post(r#"{"order":"drain","subject":"bunny"}"#).problem(422).contains("missing field `reason`"));
    assert!(post(r#"{"order":"drain","subject":"bunny","reason":" "}"#).problem(400).contains("empty"));
    assert!(post(r#"{"order":"drain","subject":"a b","reason":"x"}"#).problem(400).contains("not an id"));
    let plain = format!(
        "Authorization: Bearer {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n",
        server.token(),
        FREEZE.len()
    );
    let text =
        format!("POST /v1/overrides HTTP/1.1\r\nHost: {}\r\n{plain}Connection: close\r\n\r\n{FREEZE}", server.address);
    server.raw(&text).problem(415);
    let reason = "x".repeat(64 * 1024);
    assert!(post(&format!(r#"{{"order":"freeze","reason":"{reason}"}}"#)).problem(413).contains("65536 octets"));
    assert!(server.asked().is_empty(), "nothing was done");
}

#[test]
fn refusals_of_the_controller_have_their_status() {
    let server = Server::start();
    for (subject, status) in [("nobody", 404), ("past", 422), ("many", 409), ("clinic.example./cloudflare", 409)] {
        let body = format!(r#"{{"order":"drain","subject":"{subject}","reason":"x"}}"#);
        server.authorized("POST", "/v1/overrides", &body).problem(status);
    }
    server.authorized("DELETE", "/v1/overrides/3", "").problem(400);
    server.authorized("DELETE", "/v1/overrides/a%20b?reason=x", "").problem(400);
}

#[test]
fn foreign_hosts_are_misdirected() {
    let server = Server::with(Manner::Answers, |settings| settings.hosts = vec!["ops.example".to_owned()]);
    let port = server.address.port();
    let with = |host: &str| server.raw(&format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    for host in
        [format!("localhost:{port}"), format!("[::1]:{port}"), "ops.example".to_owned(), format!("OPS.example:{port}")]
    {
        assert_eq!(with(&host).status, 200, "{host}");
    }
    for host in ["localhost".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")] {
        assert!(with(&host).problem(421).contains("Host"), "{host}");
    }
    server.raw("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n").problem(400);
    let whole =
        format!("GET http://evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    server.raw(&whole).problem(421);
}

#[test]
fn a_controller_that_is_silent_or_gone_is_a_503() {
    let silent = Server::with(Manner::Silent, |_| ());
    let began = Instant::now();
    assert!(silent.get("/v1/status").problem(503).contains("within 2 s"));
    let took = began.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(30)).contains(&took), "{took:?}");
    assert_eq!(silent.get("/livez").status, 200);
    let metrics = silent.get("/metrics");
    assert!(metrics.body.contains("pointsman_controller_answers 0\n"), "{}", metrics.body);
    let gone = Server::with(Manner::Gone, |_| ());
    for path in ["/livez", "/readyz", "/health", "/v1/names"] {
        assert!(gone.get(path).problem(503).contains("stopped"), "{path}");
    }
}

/// A head that trickles in, a body that never comes, and a connection that stays silent.
#[test]
fn slow_clients_are_cut_off() {
    let limit = Duration::from_millis(300);
    let server = Server::with(Manner::Answers, |settings| {
        settings.limits.head_time = limit;
        settings.limits.request_time = limit;
    });
    let token = server.token();
    let body = format!(
        "POST /v1/overrides HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        server.address
    );
    for (start, status) in [("GET / HTTP/1.1\r\nHost: ", 0), ("", 0), (body.as_str(), 408)] {
        let began = Instant::now();
        let mut stream = server.connect();
        stream.write_all(start.as_bytes()).expect("the server reads");
        let response = Response::read(&mut stream);
        let took = began.elapsed();
        assert_eq!(response.status, status, "{start}: {response:?}");
        assert!(took >= limit && took < limit + Duration::from_secs(30), "{start}: {took:?}");
    }
}

#[test]
fn heads_have_their_limits() {
    let server = Server::start();
    let long = format!("X: {}\r\n", "x".repeat(32 * 1024));
    assert_eq!(server.tcp("GET", "/livez", &long, "").status, 431);
    let many = (0..100).map(|at| format!("X{at}: x\r\n")).collect::<String>();
    assert_eq!(server.tcp("GET", "/livez", &many, "").status, 431);
    assert_eq!(server.raw("nonsense\r\n\r\n").status, 400);
    assert_eq!(server.get("/livez").status, 200);
}

/// Whatever comes, the server answers with a refusal or closes, and goes on.
#[test]
fn octets_that_are_no_request_do_no_harm() {
    let server = Server::start();
    let method = || proptest::string::string_regex("(GET|POST|[ -~]{0,8}) /[ -~]{0,20}").expect("a good pattern");
    let head = || proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200);
    let mut runner = proptest::test_runner::TestRunner::new(proptest::test_runner::Config::with_cases(100));
    let run = runner.run(&(method(), head()), |(start, rest)| {
        let mut stream = server.connect();
        let _ = stream.write_all(start.as_bytes()).and_then(|()| stream.write_all(&rest));
        let _ = stream.write_all(b"\r\n\r\n");
        // It may have closed before.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let ended = match stream.read_to_end(&mut answer) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        proptest::prop_assert!(ended, "it neither answers nor closes");
        proptest::prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", answer);
        Ok(())
    });
    run.expect("no harm is done");
    assert_eq!(server.get("/livez").status, 200);
    assert!(server.asked().is_empty(), "nothing was done");
}

/// The last connection waits until one of those before it goes; the control socket has places of its own.
#[test]
fn connections_have_their_limit() {
    let server = Server::with(Manner::Answers, |settings| {
        settings.limits.connections = 2;
        settings.limits.head_time = Duration::from_secs(60);
    });
    let mut first = server.connect();
    let _second = server.connect();
    // Each of the two is in its place once it is answered, and stays there.
    let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    for mut stream in [&first, &_second] {
        stream.write_all(request.as_bytes()).expect("it is read");
        assert!(stream.read(&mut [0; 1_024]).expect("it is answered") > 0);
    }
    let mut third = server.connect();
    third
        .write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("the kernel takes it");
    third.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
    assert!(third.read(&mut [0; 1]).is_err(), "there is no place for it");
    assert_eq!(server.control("GET", "/livez", "").status, 200);
    first.shutdown(std::net::Shutdown::Both).expect("it goes");
    third.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    assert_eq!(Response::read(&mut third).status, 200);
    // Ends the borrow of a stream that had only to be there.
    let _ = first.read(&mut [0; 1]);
}

#[test]
fn a_stop_ends_what_is_open_and_removes_the_socket() {
    let mut server = Server::start();
    let mut idle = server.connect();
    idle.write_all(format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes()).expect("it is read");
    assert!(idle.read(&mut [0; 1_024]).expect("it is answered") > 0);
    assert!(server.socket().exists());
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(3), "an idle connection holds nothing up");
    assert_eq!(idle.read(&mut [0; 1]).expect("an orderly end"), 0);
    assert!(!server.socket().exists());
}

#[test]
fn files_have_their_modes() {
    let server = Server::start();
    let mode = |name: &str| fs::metadata(server.folder.path().join(name)).expect("it is there").mode() & 0o7777;
    assert_eq!(mode("token"), 0o600);
    assert_eq!(mode("control.sock"), 0o660);
}

#[test]
fn what_cannot_be_bound_is_told() {
    let server = Server::start();
    let settings =
        Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::in_folder(server.folder.path()) };
    assert!(matches!(api::bind(&settings), Err(BindError::InUse(_))), "another server is there");
    let folder = tempfile::tempdir().expect("a scratch folder");
    let settings = Settings { listen: server.address, ..Settings::in_folder(folder.path()) };
    assert!(matches!(api::bind(&settings), Err(BindError::Listen { .. })));
    assert!(!settings.socket.exists(), "what was bound before goes again");
    fs::set_permissions(folder.path().join("token"), fs::Permissions::from_mode(0o640)).expect("modes can be set");
    assert!(matches!(api::bind(&settings), Err(BindError::Token(_))));
    let odd = Settings { hosts: vec!["a b".to_owned()], ..settings.clone() };
    assert!(matches!(api::bind(&odd), Err(BindError::Host(_))));
    fs::write(&settings.socket, "not a socket").expect("a file");
    let error = api::bind(&settings).expect_err("something else stands there");
    assert!(error.to_string().contains("something else stands there"), "{error}");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::in_folder(&folder.path().join("new/data"))
    };
    let first = api::bind(&settings).expect("folders are made");
    let parked = folder.path().join("parked");
    fs::rename(&settings.socket, &parked).expect("it moves");
    drop(first);
    fs::rename(&parked, &settings.socket).expect("it is left behind, with nobody there");
    drop(api::bind(&settings).expect("it is replaced"));
}
