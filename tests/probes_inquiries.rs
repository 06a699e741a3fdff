//! Inquiries over real sockets: origins that work, fail and hang; anchors of which all, some or none answer; each family by
//! itself; and that none of it holds up a paced probe.

#![allow(clippy::panic)]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;
#[path = "support/steered.rs"]
mod steered;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use pointsman::health::Settings;
use pointsman::health::anchors::Anchors;
use pointsman::health::check::Check;
use pointsman::health::message::{Asked, Command, Question, Report};
use pointsman::steer::inquiry::{Finding, Inquiry};
use pointsman::steer::observation::{Family, Outcome, Stage};
use pointsman::steer::policy::{Scheme, Shape, Sticky};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use certificates::{Authority, HOST};
use fault_target::FaultTarget;
use probing::{Probing, at, fault, loopback, now};
use scripted_resolver::{Says, ScriptedResolver};

const NAME: &str = "www.shop.example.";

/// The inquiry after the origin of this name, which has this URL.
fn origin(name: &str, url: &str, timeout: Duration) -> Asked {
    let mut rules = steered::steered(name, "shop.example.", Shape::Cname, Sticky::Yes, &["shop.b-cdn.net."]);
    rules.policy.origin = Some(url.to_owned());
    rules.candidates[0].probe.host = HOST.to_owned();
    rules.candidates[0].probe.timeout = timeout;
    let check = Check::of_origin(&rules).expect("it has an origin");
    Asked { inquiry: Inquiry::Origin(name.into()), question: Question::Origin(check) }
}

fn anchors(family: Family) -> Asked {
    Asked { inquiry: Inquiry::Anchors(family), question: Question::Anchors(family) }
}

async fn found(probing: &mut Probing) -> Vec<Finding> {
    loop {
        if let Report::Found(findings) = probing.report().await {
            return findings;
        }
    }
}

async fn found_of(probing: &mut Probing, asked: Asked) -> Outcome {
    let before = now();
    let inquiry = asked.inquiry.clone();
    probing.command(Command::Inquire(vec![asked])).await;
    let findings = found(probing).await;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].inquiry, inquiry);
    assert!(findings[0].began >= before && findings[0].ended >= findings[0].began);
    findings[0].outcome.clone()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_passes_fails_or_hangs() {
    let resolver = ScriptedResolver::start().await;
    resolver.says("origin.shop.example.", Says::Addresses(vec![loopback(1)], 60));
    let target = FaultTarget::http("200").await;
    let port = target.address.port();
    let mut probing = Probing::start(Settings { resolvers: vec![resolver.address], ..Settings::default() });
    let url = format!("http://origin.shop.example:{port}/up?x=1");
    let passed = found_of(&mut probing, origin(NAME, &url, LONG)).await;
    assert!(matches!(passed, Outcome::Pass { .. }), "{passed:?}");
    let head = target.head();
    assert!(head.starts_with("GET /up?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains(&format!("\r\nhost: origin.shop.example:{port}\r\n")), "{head}");

    // An address finds its virtual host by the steered name.
    let by_address = format!("http://127.0.0.1:{port}/");
    let passed = found_of(&mut probing, origin(NAME, &by_address, LONG)).await;
    assert!(matches!(passed, Outcome::Pass { .. }), "{passed:?}");
    let head = target.head();
    assert!(head.to_ascii_lowercase().contains(&format!("\r\nhost: {HOST}:{port}\r\n")), "{head}");

    for (mode, limit, stage, reason) in [
        ("500", LONG, Stage::Status, "status 500"),
        ("silent", Duration::from_millis(300), Stage::Timeout, "timed out after 300 ms waiting for headers"),
        ("half-body", LONG, Stage::Body, "the body broke off after 3 octets: connection closed"),
    ] {
        target.set(mode);
        let fault = fault(found_of(&mut probing, origin(NAME, &url, limit)).await);
        assert_eq!((fault.stage, fault.reason.as_str()), (stage, reason));
    }
    let fault = fault(found_of(&mut probing, origin(NAME, "http://gone.shop.example/", LONG)).await);
    assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Resolve, "NXDOMAIN"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_over_https_needs_a_certificate_for_its_name() {
    let authority = Authority::new();
    let resolver = ScriptedResolver::start().await;
    for name in ["www.shop.example.", "origin.shop.example."] {
        resolver.says(name, Says::Addresses(vec![loopback(1)], 60));
    }
    let target = FaultTarget::https("200", authority.server("good")).await;
    let port = target.address.port();
    let mut probing = Probing::start(Settings {
        resolvers: vec![resolver.address],
        extra_ca: vec![authority.file.clone()],
        ports: [(443, port)].into(),
        ..Settings::default()
    });
    for url in [format!("https://{HOST}/"), "https://127.0.0.1/".to_owned(), format!("https://127.0.0.1:{port}/")] {
        let outcome = found_of(&mut probing, origin(NAME, &url, LONG)).await;
        assert!(matches!(outcome, Outcome::Pass { .. }), "{url}: {outcome:?}");
    }
    let fault = fault(found_of(&mut probing, origin(NAME, "https://origin.shop.example/", LONG)).await);
    let expected = "certificate is for www.shop.example, not origin.shop.example";
    assert_eq!((fault.stage, fault.reason.as_str()), (Stage::Tls, expected));
}

/// One family that fails does not make the origin fail; v6 loopback may be missing, v4 answers all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_works_if_one_family_does() {
    let resolver = ScriptedResolver::start().await;
    let target = FaultTarget::http("200").await;
    resolver.says("origin.shop.example.", Says::Addresses(vec![loopback(1), Ipv6Addr::LOCALHOST.into()], 60));
    let mut probing = Probing::start(Settings { resolvers: vec![resolver.address], ..Settings::default() });
    let url = format!("http://origin.shop.example:{}/", target.address.port());
    let outcome = found_of(&mut probing, origin(NAME, &url, LONG)).await;
    assert!(matches!(outcome, Outcome::Pass { .. }), "{outcome:?}");
}

/// An origin that may not be asked is no finding: it would look like an origin that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_is_no_finding() {
    let target = FaultTarget::http("200").await;
    let settings = Settings { anchors: some(vec![]), ..Settings::default() };
    let mut probing = Probing::start_exactly(settings, 10);
    let url = format!("http://{}/", target.address);
    probing.command(Command::Inquire(vec![origin(NAME, &url, LONG)])).await;
    // Begun later, so it ends later.
    let outcome = found_of(&mut probing, anchors(Family::V4)).await;
    assert!(matches!(outcome, Outcome::Pass { .. }), "without anchors nothing is blamed: {outcome:?}");
    assert_eq!(target.connections(), 0);
}

/// Names with one origin are one request, and however often it is asked, it is not asked again within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_origin_is_asked_once_for_all() {
    let target = FaultTarget::http("200").await;
    let url = format!("http://{}/", target.address);
    let mut probing = Probing::start(Settings::default());
    let all: Vec<Asked> = (0..300).map(|name| origin(&format!("n{name}.shop.example."), &url, LONG)).collect();
    probing.command(Command::Inquire(all.clone())).await;
    let first = found(&mut probing).await;
    assert_eq!((first.len(), target.requests()), (300, 1));
    for _ in 0..10 {
        probing.command(Command::Inquire(all.clone())).await;
    }
    let second = found(&mut probing).await;
    assert_eq!((second.len(), target.requests()), (300, 2));
    assert!(second[0].began.since(first[0].began) >= Duration::from_secs(1));
}

/// Far more origins hang than are asked at once; paced probes go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_that_hang_hold_up_no_probe() {
    let hanging = FaultTarget::http("silent").await;
    let edge = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings { in_flight: Some(2), ..Settings::default() });
    let url = |path: usize| format!("http://{}/{path}", hanging.address);
    let asked = (0..200).map(|path| origin(&format!("n{path}.shop.example."), &url(path), Duration::from_secs(60)));
    probing.command(Command::Inquire(asked.collect())).await;
    let mut plan = at("bunny", Scheme::Http, edge.address);
    plan.probe.every = Duration::from_millis(100);
    probing.plan(vec![plan]).await;
    for _ in 0..5 {
        assert!(matches!(probing.observation().await.outcome, Outcome::Pass { .. }));
    }
}

fn some(tcp: Vec<SocketAddr>) -> Anchors {
    Anchors { tcp, ..Anchors::default() }
}

/// Listens, or holds a port on which nobody does.
enum Anchor {
    Answers(TcpListener),
    Refuses(TcpSocket),
}

impl Anchor {
    async fn answers() -> Self {
        Self::Answers(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    fn refuses() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        Self::Refuses(socket)
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Answers(listener) => listener.local_addr(),
            Self::Refuses(socket) => socket.local_addr(),
        }
        .expect("an address")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anchors_pass_when_enough_answer() {
    for (answering, passes) in [(5, true), (2, true), (1, false), (0, false)] {
        let mut all = Vec::new();
        for at in 0..5 {
            all.push(if at < answering { Anchor::answers().await } else { Anchor::refuses() });
        }
        let settings = Settings { anchors: some(all.iter().map(Anchor::address).collect()), ..Settings::default() };
        let mut probing = Probing::start(settings);
        match found_of(&mut probing, anchors(Family::V4)).await {
            Outcome::Pass { .. } => assert!(passes, "{answering} of 5 answer"),
            Outcome::Fail(fault) => {
                assert!(!passes, "{answering} of 5 answer: {}", fault.reason);
                assert_eq!(fault.stage, Stage::Connect);
                assert!(fault.reason.contains(" of 5 v4 anchors answer, 2 must: 127.0.0.1:"), "{}", fault.reason);
                assert!(fault.reason.contains(" connection refused"), "{}", fault.reason);
            }
        }
    }
}

/// A listener whose queue is full answers no SYN.
async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(500);
    while let Ok(Ok(stream)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    (listener, waiting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anchors_that_hang_fail_when_the_time_is_over_and_no_sooner_than_enough_answer() {
    let (hole, _waiting) = black_hole().await;
    let address = hole.local_addr().expect("an address");
    let timeout = Duration::from_millis(400);
    let settings = |tcp| Settings { anchors: Anchors { timeout, ..some(tcp) }, ..Settings::default() };
    let mut probing = Probing::start(settings(vec![address; 3]));
    let fault = fault(found_of(&mut probing, anchors(Family::V4)).await);
    assert!(fault.reason.starts_with("0 of 3 v4 anchors answer, 2 must: "), "{}", fault.reason);
    assert!(fault.reason.contains("timed out after 400 ms connecting"), "{}", fault.reason);

    let good = [Anchor::answers().await, Anchor::answers().await];
    let all = vec![address, good[0].address(), good[1].address(), address];
    let mut probing = Probing::start(settings(all));
    let Outcome::Pass { latency } = found_of(&mut probing, anchors(Family::V4)).await else { panic!("two answer") };
    assert!(latency < timeout, "{latency:?}: those that hang are not waited for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn families_are_asked_apart() {
    let v4 = [Anchor::answers().await, Anchor::answers().await];
    let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
        return println!("skipped: needs ::1 (Linux with IPv6)");
    };
    let v6 = v6.local_addr().expect("an address");
    let refusing = SocketAddr::new(v6.ip(), Anchor::refuses().address().port());
    let settings =
        Settings { anchors: some(vec![v4[0].address(), v4[1].address(), v6, refusing]), ..Settings::default() };
    let mut probing = Probing::start(settings);
    assert!(matches!(found_of(&mut probing, anchors(Family::V4)).await, Outcome::Pass { .. }));
    let fault = fault(found_of(&mut probing, anchors(Family::V6)).await);
    assert!(fault.reason.contains(" of 2 v6 anchors answer, 2 must: [::1]:"), "{}", fault.reason);
}

/// The limited broadcast address is never a way out of the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_without_a_route_fails_at_once() {
    let nowhere = SocketAddr::from((Ipv4Addr::BROADCAST, 53));
    let anchors_of = Anchors { timeout: Duration::from_secs(600), ..some(vec![nowhere; 2]) };
    let mut probing = Probing::start(Settings { anchors: anchors_of, ..Settings::default() });
    let fault = fault(found_of(&mut probing, anchors(Family::V4)).await);
    assert_eq!(fault.reason, "0 of 2 v4 anchors answer, 2 must: 255.255.255.255:53 no route");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_anchor_answers_by_any_status_under_a_good_certificate() {
    let authority = Authority::new();
    let resolver = ScriptedResolver::start().await;
    resolver.says(NAME, Says::Addresses(vec![loopback(1)], 60));
    for (mode, kind, failure) in [
        ("503", "good", None),
        ("half-body", "good", None),
        ("200", "expired", Some("www.shop.example certificate expired on ")),
        ("200", "wrong-host", Some("www.shop.example certificate is for ")),
    ] {
        let target = FaultTarget::https(mode, authority.server(kind)).await;
        let anchors_of = Anchors { https: vec![HOST.to_owned()], least: 1, timeout: LONG, ..some(vec![]) };
        let mut probing = Probing::start(Settings {
            resolvers: vec![resolver.address],
            extra_ca: vec![authority.file.clone()],
            ports: [(443, target.address.port())].into(),
            anchors: anchors_of,
            ..Settings::default()
        });
        match (found_of(&mut probing, anchors(Family::V4)).await, failure) {
            (Outcome::Pass { .. }, None) => {}
            (Outcome::Fail(fault), Some(words)) => assert!(fault.reason.contains(words), "{}", fault.reason),
            (outcome, _) => panic!("{mode} {kind}: {outcome:?}"),
        }
        let without = found_of(&mut probing, anchors(Family::V6)).await;
        assert!(matches!(without, Outcome::Pass { .. }), "a host without IPv6 is no anchor of it: {without:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_fails_is_no_answer_of_an_anchor_unless_there_is_no_other() {
    let resolver = ScriptedResolver::start().await;
    resolver.says(NAME, Says::Code(ResponseCode::ServFail));
    let anchor = Anchor::answers().await;
    for (tcp, expected) in
        [(vec![anchor.address()], None), (vec![], Some("0 of 1 v4 anchors answer, 1 must: www.shop.example SERVFAIL"))]
    {
        let anchors_of = Anchors { https: vec![HOST.to_owned()], least: 2, timeout: LONG, ..some(tcp) };
        let settings = Settings { resolvers: vec![resolver.address], anchors: anchors_of, ..Settings::default() };
        match (found_of(&mut Probing::start(settings), anchors(Family::V4)).await, expected) {
            (Outcome::Pass { .. }, None) => {}
            (Outcome::Fail(fault), Some(words)) => assert_eq!(fault.reason, words),
            (outcome, _) => panic!("{outcome:?}"),
        }
    }
}
