//! HTTP, HTTPS and TCP probes against targets that misbehave in every way we know: each leads to its verdict, with the
//! right stage and reason, in time.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pointsman::health::Settings;
use pointsman::health::message::Plan;
use pointsman::steer::observation::{CertificateFault, Outcome, Stage};
use pointsman::steer::policy::{Scheme, Target};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use certificates::{Authority, HOST};
use fault_target::FaultTarget;
use probing::{Probing, at, fault, loopback};

/// What a probe should come to.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Pass,
    /// This stage, and a reason that contains this.
    Fail(Stage, &'static str),
}

use Expected::{Fail, Pass};

/// Mode, marker, what should be seen. `-` is no marker: status and framing decide.
const MODES: &[(&str, &str, Expected)] = &[
    ("200", "-", Pass),
    ("200", "\"ok\"", Pass),
    ("200", "absent", Fail(Stage::Body, "the body does not contain `absent`")),
    ("204", "-", Pass),
    ("301", "-", Pass),
    ("302-loop", "-", Pass),
    ("401", "-", Fail(Stage::Status, "status 401")),
    ("404", "-", Fail(Stage::Status, "status 404")),
    ("418", "-", Fail(Stage::Status, "status 418")),
    ("500", "-", Fail(Stage::Status, "status 500")),
    ("500", "\"ok\"", Fail(Stage::Status, "status 500")),
    ("503", "-", Fail(Stage::Status, "status 503")),
    ("999", "-", Fail(Stage::Status, "status 999")),
    ("100-only", "-", Fail(Stage::Timeout, "waiting for headers")),
    ("silent", "-", Fail(Stage::Timeout, "waiting for headers")),
    ("slow-header", "-", Fail(Stage::Timeout, "waiting for headers")),
    ("late:60000", "-", Fail(Stage::Timeout, "waiting for headers")),
    ("close", "-", Fail(Stage::Status, "no HTTP answer: connection closed")),
    ("close-at-once", "-", Fail(Stage::Status, "no HTTP answer: connection")),
    ("rst", "-", Fail(Stage::Status, "no HTTP answer: connection reset")),
    ("http09", "-", Fail(Stage::Status, "no HTTP answer: invalid HTTP version")),
    ("bad-status-line", "-", Fail(Stage::Status, "no HTTP answer: invalid HTTP status-code")),
    ("binary", "-", Fail(Stage::Status, "no HTTP answer: invalid HTTP")),
    ("h2-preface", "-", Fail(Stage::Status, "no HTTP answer: ")),
    ("nul-header", "-", Fail(Stage::Status, "no HTTP answer: invalid HTTP header")),
    ("negative-length", "-", Fail(Stage::Status, "no HTTP answer: invalid content-length")),
    ("two-lengths", "-", Fail(Stage::Status, "no HTTP answer: invalid content-length")),
    ("endless-headers", "-", Fail(Stage::Status, "no HTTP answer: its headers are too large")),
    ("huge-header", "-", Fail(Stage::Status, "no HTTP answer: its headers are too large")),
    ("many-headers", "-", Fail(Stage::Status, "no HTTP answer: its headers are too large")),
    ("lf-header", "-", Pass),
    ("slow-body", "-", Fail(Stage::Timeout, "reading the body")),
    ("slow-body", "\"ok\"", Fail(Stage::Timeout, "reading the body")),
    ("body-never-comes", "-", Fail(Stage::Timeout, "reading the body")),
    ("half-body", "-", Fail(Stage::Body, "the body broke off after 3 octets: connection closed")),
    ("half-body", "\"ok\"", Fail(Stage::Body, "the body broke off after 3 octets")),
    ("half-after-marker", "\"ok\"", Fail(Stage::Body, "the body broke off after 15 octets")),
    ("huge-length", "-", Fail(Stage::Body, "the body broke off after 3 octets")),
    ("huge-length", "\"ok\"", Fail(Stage::Body, "the body broke off after 3 octets")),
    ("bad-chunk", "-", Fail(Stage::Body, "the body broke off after 0 octets")),
    ("half-chunks", "-", Fail(Stage::Body, "the body broke off after 3 octets")),
    ("bad-chunk", "\"ok\"", Fail(Stage::Body, "the body broke off after 0 octets")),
    ("endless-body", "-", Pass),
    ("endless-body", "\"ok\"", Fail(Stage::Body, "the first 64 KiB of the body do not contain")),
    ("endless-chunks", "-", Pass),
    ("endless-chunks", "\"ok\"", Fail(Stage::Body, "the first 64 KiB of the body do not contain")),
    ("gzip-bomb", "-", Pass),
    ("gzip-bomb", "\"ok\"", Fail(Stage::Body, "the first 64 KiB of the body do not contain")),
    ("huge-body", "-", Pass),
    ("huge-body", "\"ok\"", Fail(Stage::Body, "the first 64 KiB of the body do not contain")),
    ("deep", "\"ok\"", Fail(Stage::Body, "the first 64 KiB of the body do not contain")),
    ("long-body:65521", "\"ok\"", Pass),
    ("long-body:65531", "\"ok\"", Fail(Stage::Body, "the first 64 KiB of the body do not contain")),
    ("empty", "-", Pass),
    ("304", "-", Pass),
    ("until-close", "-", Pass),
    ("until-close", "\"ok\"", Pass),
    ("empty", "\"ok\"", Fail(Stage::Body, "the body does not contain")),
    ("wrong", "\"ok\"", Fail(Stage::Body, "the body does not contain")),
    ("bom", "\"ok\"", Pass),
    ("utf16", "\"ok\"", Fail(Stage::Body, "the body does not contain")),
];

/// Long enough for a pass on a busy machine, short where the time is to run out.
fn timeout(expected: Expected) -> Duration {
    match expected {
        // All handshakes run at once: on a busy machine they alone take most of a second.
        Fail(Stage::Timeout, _) => Duration::from_secs(3),
        _ => Duration::from_secs(20),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_leads_to_its_verdict_over_http() {
    check_modes(Scheme::Http, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_leads_to_its_verdict_over_https() {
    check_modes(Scheme::Https, Some(&Authority::new())).await;
}

async fn check_modes(scheme: Scheme, authority: Option<&Authority>) {
    let extra_ca = authority.iter().map(|authority| authority.file.clone()).collect();
    let mut probing = Probing::start(Settings { extra_ca, ..Settings::default() });
    let tls = authority.map(|authority| authority.server_with_alpn(&["http/1.1"]));
    let mut targets = Vec::new();
    let mut plans = Vec::new();
    for (row, (mode, marker, expected)) in MODES.iter().enumerate() {
        let target = FaultTarget::start("127.0.0.1:0", mode, tls.clone()).await;
        let mut plan = at(&row.to_string(), scheme, target.address);
        plan.probe.timeout = timeout(*expected);
        plan.probe.body = (*marker != "-").then(|| (*marker).to_owned());
        targets.push(target);
        plans.push(plan);
    }
    probing.plan(plans).await;
    let mut wrong = Vec::new();
    for _ in MODES {
        let observation = probing.observation().await;
        let row: usize = observation.candidate.candidate.parse().expect("a row");
        let (mode, marker, expected) = MODES[row];
        // What over plain HTTP ends between two packets may end in the TLS handshake here.
        let in_handshake = scheme == Scheme::Https && mode.ends_with("-at-once");
        let right = match (&observation.outcome, expected) {
            (Outcome::Pass { .. }, Pass) => true,
            (Outcome::Fail(fault), Fail(..)) if in_handshake => fault.stage == Stage::Tls,
            (Outcome::Fail(fault), Fail(stage, reason)) => fault.stage == stage && fault.reason.contains(reason),
            _ => false,
        };
        if !right {
            wrong.push(format!("{mode} {marker}: expected {expected:?}, saw {:?}", observation.outcome));
        }
        let took = observation.ended.since(observation.began);
        // Far from any other limit, and room for a busy machine.
        assert!(took < timeout(expected) + Duration::from_secs(20), "{mode}: {took:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_certificate_leads_to_its_verdict() {
    let authority = Authority::new();
    let stranger = Authority::called("a stranger");
    let impostor = Authority::new();
    let mut probing = Probing::start(Settings { extra_ca: vec![authority.file.clone()], ..Settings::default() });
    let tls = |kind: &str| authority.server(kind);
    let unknown = Some(CertificateFault::UnknownIssuer);
    for (kind, server, expected, certificate) in [
        ("good", tls("good"), Pass, None),
        ("wildcard", tls("wildcard"), Pass, None),
        (
            "expired",
            tls("expired"),
            Fail(Stage::Tls, "certificate expired on 2020-02-01"),
            Some(CertificateFault::Expired),
        ),
        (
            "not yet valid",
            tls("not-yet-valid"),
            Fail(Stage::Tls, "certificate is not valid before 2040-01-01"),
            Some(CertificateFault::NotYetValid),
        ),
        (
            "wrong host",
            tls("wrong-host"),
            Fail(Stage::Tls, "certificate is for wrong.example, not www.shop.example"),
            Some(CertificateFault::WrongName),
        ),
        (
            "no name",
            tls("no-name"),
            Fail(Stage::Tls, "certificate is for no name, not www.shop.example"),
            Some(CertificateFault::WrongName),
        ),
        (
            "client only",
            tls("client-only"),
            Fail(Stage::Tls, "certificate is not for servers"),
            Some(CertificateFault::WrongPurpose),
        ),
        ("untrusted", stranger.server("good"), Fail(Stage::Tls, "certificate is from an unknown issuer"), unknown),
        (
            "impostor",
            impostor.server("good"),
            Fail(Stage::Tls, "certificate is not signed by the issuer that it names"),
            unknown,
        ),
        ("self-signed", tls("self-signed"), Fail(Stage::Tls, "certificate is self-signed"), unknown),
        ("self-signed authority", tls("self-signed-ca"), Fail(Stage::Tls, "certificate is self-signed"), unknown),
        (
            "no common protocol",
            authority.server_with_alpn(&["foo"]),
            Fail(Stage::Tls, "TLS alert: no application protocol"),
            None,
        ),
        (
            "asks for a certificate",
            authority.server_that_asks_for_a_certificate(),
            Fail(Stage::Tls, "TLS alert: certificate required"),
            None,
        ),
    ] {
        let target = FaultTarget::https("200", server).await;
        let outcome = probing.outcome_of(at(kind, Scheme::Https, target.address)).await;
        match (outcome, expected) {
            (Outcome::Pass { .. }, Pass) => {}
            (Outcome::Fail(fault), Fail(stage, reason)) => {
                assert_eq!((fault.stage, fault.certificate), (stage, certificate), "{kind}: {}", fault.reason);
                assert!(fault.reason.contains(reason), "{kind}: {}", fault.reason);
            }
            (outcome, expected) => panic!("{kind}: expected {expected:?}, saw {outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_speaks_no_tls_is_a_tls_fault() {
    let authority = Authority::new();
    let mut probing = Probing::start(Settings { extra_ca: vec![authority.file.clone()], ..Settings::default() });
    // Over plain TCP; the target waits for a head that never ends, so these modes do not wait for one.
    for (mode, stage, reason) in [
        ("close-at-once", Stage::Tls, "during the TLS handshake"),
        ("rst-at-once", Stage::Tls, "connection reset"),
        ("silent-at-once", Stage::Timeout, "timed out after 500 ms in the TLS handshake"),
    ] {
        let target = FaultTarget::http(mode).await;
        let mut plan = at(mode, Scheme::Https, target.address);
        if stage == Stage::Timeout {
            plan.probe.timeout = Duration::from_millis(500);
        }
        let fault = fault(probing.outcome_of(plan).await);
        // A reset may arrive before the connection is seen to stand.
        let early = mode == "rst-at-once" && fault.stage == Stage::Connect;
        assert!(fault.stage == stage || early, "{mode}: {fault:?}");
        assert!(fault.reason.contains(reason), "{mode}: {}", fault.reason);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.expect("written");
        stream
    });
    let fault = fault(probing.outcome_of(at("plain", Scheme::Https, address)).await);
    assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Tls, "what the port speaks is not TLS"));
    plain.await.expect("served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_a_connect_fault() {
    let mut probing = Probing::start(Settings::default());
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    for scheme in [Scheme::Http, Scheme::Https, Scheme::Tcp] {
        let fault = fault(probing.outcome_of(at(&format!("{scheme:?}"), scheme, closed)).await);
        assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Connect, "connection refused"), "{scheme:?}");
    }
}

/// A listener whose queue is full drops what comes next, as a black hole does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_times_out_connecting() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(0).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    let mut probing = Probing::start(Settings::default());
    for scheme in [Scheme::Http, Scheme::Https, Scheme::Tcp] {
        let mut plan = at(&format!("{scheme:?}"), scheme, address);
        plan.probe.timeout = Duration::from_millis(300);
        let fault = fault(probing.outcome_of(plan).await);
        assert_eq!(
            (fault.stage, fault.reason.as_str()),
            (Stage::Timeout, "timed out after 300 ms connecting"),
            "{scheme:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_asks_for_a_connection_and_no_more() {
    let target = FaultTarget::http("silent").await;
    let mut probing = Probing::start(Settings::default());
    let outcome = probing.outcome_of(at("tcp", Scheme::Tcp, target.address)).await;
    assert!(matches!(outcome, Outcome::Pass { .. }), "{outcome:?}");
    assert_eq!(target.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_sees_the_customers_name_and_path_whatever_the_port() {
    let authority = Authority::new();
    let target = FaultTarget::https("200", authority.server_with_alpn(&["http/1.1"])).await;
    let mut probing = Probing::start(Settings {
        extra_ca: vec![authority.file.clone()],
        ports: [(443, target.address.port())].into(),
        headers: vec![("X-Probe".to_owned(), "yes".to_owned())],
        ..Settings::default()
    });
    let mut plan = at("mapped", Scheme::Https, "127.0.0.1:443".parse().expect("an address"));
    plan.probe.path = "/healthz?full=1".to_owned();
    let outcome = probing.outcome_of(plan).await;
    assert!(matches!(outcome, Outcome::Pass { .. }), "{outcome:?}");
    let head = target.head().to_ascii_lowercase();
    assert!(head.starts_with("get /healthz?full=1 http/1.1\r\n"), "{head}");
    for line in [&format!("host: {HOST}\r\n"), "x-probe: yes\r\n", "user-agent: pointsman/", "accept: */*\r\n"] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} is not in {head}");
    }
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_spoken_where_the_edge_speaks_it() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(authority.server_with_alpn(&["h2"]));
    let (heads, mut seen) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let heads = heads.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let heads = heads.clone();
                async move {
                    let host = request.headers().get("host").map(|host| host.to_str().unwrap_or("?").to_owned());
                    heads.send((request.version(), request.uri().to_string(), host)).await.expect("room");
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"all is ok"))))
                }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    let mut probing = Probing::start(Settings {
        extra_ca: vec![authority.file.clone()],
        ports: [(443, address.port())].into(),
        ..Settings::default()
    });
    let mut plan = at("h2", Scheme::Https, "127.0.0.1:443".parse().expect("an address"));
    plan.probe.body = Some("is ok".to_owned());
    let outcome = probing.outcome_of(plan).await;
    assert!(matches!(outcome, Outcome::Pass { .. }), "{outcome:?}");
    let (version, uri, host) = seen.recv().await.expect("a request");
    assert_eq!((version, uri), (Version::HTTP_2, format!("https://{HOST}/")));
    assert!(host.is_none_or(|host| host == HOST));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_right_but_slow_fails_when_the_rule_says_so() {
    let target = FaultTarget::http("late:200").await;
    let mut probing = Probing::start(Settings::default());
    let mut plan = at("slow", Scheme::Http, target.address);
    plan.probe.slow = Some(Duration::from_millis(150));
    let fault = fault(probing.outcome_of(plan.clone()).await);
    assert_eq!(fault.stage, Stage::Slow);
    assert!(fault.reason.starts_with("answered after ") && fault.reason.ends_with(", slower than 150 ms"), "{fault:?}");
    plan.probe.slow = Some(Duration::from_secs(15));
    let Outcome::Pass { latency } = probing.outcome_of(plan).await else { panic!("failed") };
    assert!(latency >= Duration::from_millis(200), "{latency:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_marker_fails() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings::default());
    let mut plan = at("forbidden", Scheme::Http, target.address);
    plan.probe.not_body = Some("\"status\"".to_owned());
    let fault = fault(probing.outcome_of(plan.clone()).await);
    assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Body, "the body contains `\"status\"`"));
    plan.probe.not_body = Some("maintenance".to_owned());
    assert!(matches!(probing.outcome_of(plan.clone()).await, Outcome::Pass { .. }));
    // What lies beyond the first 64 KiB is not looked at.
    target.set("long-body:65536");
    plan.probe.not_body = Some("\"ok\"".to_owned());
    assert!(matches!(probing.outcome_of(plan).await, Outcome::Pass { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_unless_allowed() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start_exactly(Settings::default(), 100);
    let fault = fault(probing.outcome_of(at("private", Scheme::Http, target.address)).await);
    assert_eq!(fault.stage, Stage::Connect);
    assert_eq!(fault.reason, "address 127.0.0.1 is loopback and probe.allow_private is off");
    assert_eq!(target.connections(), 0);
}

/// Nothing of one probe is left for the next: neither a connection nor a TLS session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_probe_has_a_connection_of_its_own() {
    let authority = Authority::new();
    let target = FaultTarget::https("200", authority.server_with_alpn(&["http/1.1"])).await;
    let mut probing = Probing::start(Settings { extra_ca: vec![authority.file.clone()], ..Settings::default() });
    let mut plan = at("fresh", Scheme::Https, target.address);
    plan.probe.every = Duration::from_millis(100);
    probing.plan(vec![plan]).await;
    for _ in 0..10 {
        assert!(matches!(probing.observation().await.outcome, Outcome::Pass { .. }));
    }
    assert!(target.connections() >= 10);
    assert_eq!(target.connections(), target.requests().max(target.connections()));
    probing.stop().await;
    let deadline = Instant::now() + probing::PATIENCE;
    while target.open().0 > 0 {
        assert!(Instant::now() < deadline, "{} connections are left", target.open().0);
        tokio::task::yield_now().await;
    }
}

/// Two edges, one name: each probe must see the edge that it was sent to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_of_one_name_never_reach_another_edge() {
    let good = FaultTarget::start("127.0.0.1:0", "200", None).await;
    let port = good.address.port();
    let bad = FaultTarget::start(&format!("127.0.0.2:{port}"), "500", None).await;
    let mut probing = Probing::start(Settings::default());
    let plan = |candidate: &str, last: u8| {
        let mut plan: Plan = at(candidate, Scheme::Http, good.address);
        plan.target = Target::Addresses(vec![loopback(last)]);
        plan.probe.every = Duration::from_millis(50);
        plan
    };
    probing.plan(vec![plan("good", 1), plan("bad", 2)]).await;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for _ in 0..200 {
        let observation = probing.observation().await;
        let candidate = observation.candidate.candidate.to_string();
        assert_eq!(candidate == "good", matches!(observation.outcome, Outcome::Pass { .. }), "{observation:?}");
        *seen.entry(candidate).or_default() += 1;
    }
    assert!(seen.len() == 2 && bad.requests() > 0, "{seen:?}");
}
