//! A controller that answers with canned values, the API in front of it on real sockets, and a client that sees octets.

#![allow(dead_code)] // Each test binary uses its part.
#![allow(clippy::panic)] // Nothing but tests is here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use pointsman::api::{self, Settings};
use pointsman::controller::drills::view::{
    ClientMove, DrillClientView, DrillError, DrillFilter, DrillLine, DrillMoveView, DrillPage, DrillView, HeldView,
    PlannedView,
};
use pointsman::controller::jurisdiction::{Gap, Jurisdiction, Named, Share};
use pointsman::controller::message::{
    EventFilter, ExplainError, ExplainQuery, NewOverride, OverrideError, Release, ReleaseWhich, Request, ServedQuery,
};
use pointsman::controller::past::{PastAnswer, PastCandidate, PastExplanation};
use pointsman::controller::view::{
    AreaShare, AreaView, AreasView, BlastRadius, CandidateView, CertificateView, Counts, EventPage, EventView,
    Explanation, FaultView, FirstRound, LoadedDatabase, MoveView, NameCounts, NameView, OverrideView, Overview,
    ProviderVerdictView, ProviderView, ReloadCounts, ReloadReport, Serving, StandingCounts, StoreState, ZoneState,
    ZoneView,
};
use pointsman::steer::drill_report::Span;
use pointsman::steer::observation::{Fault, Stage};
use pointsman::steer::overrides::Order;
use pointsman::steer::readiness::ReadinessState;
use pointsman::steer::time::Time;
use pointsman::steer::transition::{Standing, Verdict};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How the fake controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// Takes requests and never replies.
    Silent,
    /// Its task has ended.
    Gone,
}

/// What the fake controller was asked that it records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Events(EventFilter),
    Explain(ExplainQuery),
    Jurisdiction(ServedQuery),
    Drills(DrillFilter),
    Place(NewOverride),
    Rehearse(NewOverride),
    Release(Release),
    Reload,
}

/// The API on loopback and a control socket, before a fake controller. Stops when dropped.
pub struct Server {
    pub folder: TempDir,
    pub address: SocketAddr,
    pub overview: Arc<Mutex<Overview>>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(Manner::Answers, |_| ())
    }

    pub fn with(manner: Manner, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut settings = Settings::in_folder(folder.path());
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (sender, receiver) = mpsc::channel(16);
        let overview = Arc::new(Mutex::new(overview()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        match manner {
            Manner::Gone => drop(receiver),
            _ => drop(runtime.spawn(controller(receiver, manner, Arc::clone(&overview), Arc::clone(&asked)))),
        }
        let bound = api::bind(&settings).expect("loopback and a scratch folder can be bound");
        let address = bound.address();
        let stop = CancellationToken::new();
        let renderer = api::metrics::install().expect("a recorder");
        let task = {
            let _inside = runtime.enter();
            bound.serve(sender, renderer, stop.clone())
        };
        Self { folder, address, overview, asked, stop, task: Some(task), runtime: Some(runtime) }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    pub fn token(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("token")).expect("the token file was made");
        text.trim_end().to_owned()
    }

    /// Stops it and waits for the end.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let (Some(runtime), Some(task)) = (&self.runtime, self.task.take()) {
            runtime.block_on(task).expect("the API ends without a panic");
        }
    }

    /// One request over TCP, with the right `Host`; `head` holds further lines, each with its CRLF.
    pub fn tcp(&self, method: &str, path: &str, head: &str, body: &str) -> Response {
        let host = self.address;
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{}", tail(head, body)))
    }

    pub fn get(&self, path: &str) -> Response {
        self.tcp("GET", path, "", "")
    }

    /// The same with the token.
    pub fn authorized(&self, method: &str, path: &str, body: &str) -> Response {
        self.tcp(method, path, &format!("Authorization: Bearer {}\r\n", self.token()), body)
    }

    /// One request over the control socket.
    pub fn control(&self, method: &str, path: &str, body: &str) -> Response {
        let mut stream = UnixStream::connect(self.socket()).expect("the control socket is there");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes a time limit");
        let text = format!("{method} {path} HTTP/1.1\r\nHost: pointsman\r\n{}", tail("", body));
        stream.write_all(text.as_bytes()).expect("it takes a request");
        Response::read(&mut stream)
    }

    /// Octets as they are over TCP, and all that comes back.
    pub fn raw(&self, text: &str) -> Response {
        let mut stream = self.connect();
        // A server that refuses early may close before it has read all.
        let _ = stream.write_all(text.as_bytes());
        Response::read(&mut stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the API listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes a time limit");
        stream
    }

    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panicked with it"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

fn tail(head: &str, body: &str) -> String {
    let content = match body {
        "" => String::new(),
        _ => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    format!("{head}{content}Connection: close\r\n\r\n{body}")
}

/// One answer, taken apart.
#[derive(Debug)]
pub struct Response {
    /// 0 where none came.
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn read(stream: &mut impl Read) -> Self {
        let mut octets = Vec::new();
        // A reset after the answer loses nothing that was read before.
        let _ = stream.read_to_end(&mut octets);
        let text = String::from_utf8(octets).expect("answers are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let is = |key: &str| key.eq_ignore_ascii_case(name);
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| is(key)).map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The detail of a problem of this status.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!((&document["status"], &document["type"]), (&status.into(), &"about:blank".into()));
        assert!(document["title"].is_string());
        document["detail"].as_str().expect("a detail").to_owned()
    }
}

async fn controller(
    mut requests: mpsc::Receiver<Request>,
    manner: Manner,
    overview: Arc<Mutex<Overview>>,
    asked: Arc<Mutex<Vec<Asked>>>,
) {
    let mut unanswered = Vec::new();
    while let Some(request) = requests.recv().await {
        match manner {
            Manner::Silent => unanswered.push(request),
            _ => answer(request, &overview, &asked),
        }
    }
}

fn answer(request: Request, overview: &Mutex<Overview>, asked: &Mutex<Vec<Asked>>) {
    let record = |what| asked.lock().expect("nobody panicked with it").push(what);
    match request {
        Request::Overview(reply) => drop(reply.send(overview.lock().expect("nobody panicked with it").clone())),
        Request::Providers(reply) => drop(reply.send(providers())),
        Request::Names(None, reply) => drop(reply.send(names())),
        Request::Names(Some(name), reply) => {
            drop(reply.send(names().into_iter().filter(|view| view.name == name).collect()));
        }
        Request::Zones(reply) => drop(reply.send(zones())),
        Request::Explain(query, reply) => {
            record(Asked::Explain(query.clone()));
            drop(reply.send(explain(&query)));
        }
        Request::ExplainPast(name, at, reply) => drop(reply.send(Ok(past(name, at)))),
        Request::Events(query, reply) => {
            let page = events(&query);
            record(Asked::Events(query));
            drop(reply.send(page));
        }
        Request::Jurisdiction(query, reply) => {
            let told = jurisdiction(&query);
            record(Asked::Jurisdiction(query));
            drop(reply.send(Ok(told)));
        }
        Request::Drills(filter, reply) => {
            record(Asked::Drills(filter));
            drop(reply.send(DrillPage {
                planned: vec![planned_drill()],
                drills: vec![drill_line(), missed()],
                next: None,
            }));
        }
        Request::Drill(id, client, reply) => drop(reply.send(match id {
            7 => Ok(DrillView { client: client.map(|client| drill_client(client.addr())), ..drill() }),
            id => Err(DrillError::NoSuchDrill(id)),
        })),
        Request::Overrides(reply) => drop(reply.send(vec![in_force()])),
        Request::Place(new, reply) => {
            let placed = place(&new);
            record(Asked::Place(new));
            drop(reply.send(placed));
        }
        Request::Rehearse(new, reply) => {
            let told = place(&new).map(|view| BlastRadius {
                order: view.order,
                subject: view.subject,
                names: view.names,
                moves: 1,
                answers_per_second: Some(20.0),
                moved_per_second: Some(12.5),
                measured_seconds: 90.0,
                of: vec![MoveView {
                    name: "www.shop.example.".to_owned(),
                    clients: None,
                    from: "bunny 100%".to_owned(),
                    to: "gcore 100%".to_owned(),
                    why: "up, level 2 (any)".to_owned(),
                    usable: true,
                    share: 1.0,
                    answers_per_second: Some(12.5),
                    flows: Vec::new(),
                }],
                notes: vec!["it would keep clients on www.shop.example./gcore, which is down".to_owned()],
            });
            record(Asked::Rehearse(new));
            drop(reply.send(told));
        }
        Request::Release(release, reply) => {
            let released = self::release(&release);
            record(Asked::Release(release));
            drop(reply.send(released));
        }
        Request::Reload(reply) => {
            record(Asked::Reload);
            drop(reply.send(reload()));
        }
    }
}

fn past(name: String, at_time: Time) -> PastExplanation {
    let answer = PastAnswer {
        answer: "gcore 100%".to_owned(),
        since: Some(at("08:47:12")),
        why: Some("bunny is down".to_owned()),
        event: 7,
    };
    let candidate = PastCandidate {
        id: "bunny".to_owned(),
        standing: "down".to_owned(),
        since: Some(at("08:47:12")),
        why: Some("3 failures in a row, last: status 500".to_owned()),
    };
    PastExplanation {
        name,
        at: pointsman::controller::timestamp(at_time),
        answers: vec![answer],
        no_answer: None,
        steps: vec!["since 2025-12-05T08:47:12Z, event 7: gcore 100%: bunny is down".to_owned()],
        candidates: vec![candidate],
        overrides: Vec::new(),
        history_since: Some(at("06:00:00")),
    }
}

fn jurisdiction(query: &ServedQuery) -> Jurisdiction {
    let share = |provider: &str, home: Option<&str>, seconds, answers| Share {
        provider: provider.to_owned(),
        home: home.map(|home| home.parse().expect("a home")),
        seconds,
        answers,
    };
    let served = vec![
        share("static", None, 1.5, 0),
        share("bunny", Some("si"), 3000.0, 120),
        share("fastly", Some("us"), 298.5, 9),
    ];
    let name = query.name.clone().unwrap_or_else(|| "www.shop.example.".to_owned());
    let area = Named {
        name: name.clone(),
        rule: Some("prefer=eu,us only=eu".to_owned()),
        served: vec![share("bunny", Some("si"), 3300.0, 40)],
    };
    let gap =
        Gap { from: at("08:20:00"), until: at("08:25:00"), seconds: 300.0, why: "the server was stopped".to_owned() };
    Jurisdiction {
        from: at("08:00:00"),
        until: at("09:00:00"),
        resolution: "hour".to_owned(),
        exact: true,
        lacking: false,
        covered_seconds: 3300.0,
        gaps: vec![gap],
        totals: served.clone(),
        names: vec![Named { name, rule: None, served }, area],
    }
}

pub fn at(text: &str) -> Timestamp {
    format!("2025-12-05T{text}Z").parse().expect("a time of that day")
}

pub fn overview() -> Overview {
    Overview {
        version: "0.1.0".to_owned(),
        vantage: "fra1".to_owned(),
        started: at("06:00:00"),
        now: at("08:50:00"),
        generation: 42,
        serving: Serving::Serving,
        first_round: FirstRound::Done,
        zones: Counts { serving: 2, stale: 1, broken: 0 },
        names: NameCounts { steered: 2, without_usable: 0, without_usable_in_area: 0 },
        candidates: StandingCounts { up: 2, impaired: 0, down: 1, recovering: 1, ramping: 0, unknown: 0 },
        overrides_in_force: 1,
        frozen: false,
        overrides_on_down: Vec::new(),
        drill: Some(drill_line()),
        planned_drills: vec![planned_drill()],
        store: StoreState::Ok,
        areas: areas(),
        families_without_route: Vec::new(),
        udp_dropped: 0,
        tcp_connections: 0,
        doubts: Vec::new(),
        alerts: vec!["zone clinic.example.: 1 error, the last good text is served".to_owned()],
        last_reload: Some(reload()),
        reloading: None,
    }
}

fn planned_drill() -> PlannedView {
    PlannedView {
        provider: "bunny".to_owned(),
        share_percent: 1.0,
        seconds: 600.0,
        at: "0 10 * * TUE#1 Europe/Berlin".to_owned(),
        reason: "monthly drill".to_owned(),
        next: Some("2026-01-06T09:00:00Z".parse().expect("a time")),
    }
}

fn drill_line() -> DrillLine {
    DrillLine {
        id: 7,
        provider: "bunny".to_owned(),
        share_percent: 1.0,
        state: "running".to_owned(),
        why: String::new(),
        planned: at("08:45:00"),
        began: Some(at("08:45:00")),
        until: at("08:55:00"),
        ended: None,
        author: "schedule".to_owned(),
        reason: "monthly drill".to_owned(),
        schedule: Some("0 10 * * TUE#1 Europe/Berlin".to_owned()),
        order: Some(12),
        names: 1,
    }
}

fn missed() -> DrillLine {
    DrillLine {
        id: 6,
        state: "missed".to_owned(),
        why: "the server did not run, or was too busy, when it was due".to_owned(),
        planned: "2025-11-04T09:00:00Z".parse().expect("a time"),
        began: None,
        until: "2025-11-04T09:10:00Z".parse().expect("a time"),
        order: None,
        names: 0,
        ..drill_line()
    }
}

fn drill() -> DrillView {
    let held = |id: &str, before, during, after, answers| HeldView {
        id: id.to_owned(),
        provider: id.to_owned(),
        before,
        during,
        after: Some(after),
        answers: Some(answers),
    };
    let (ended, why) =
        (Some(at("08:50:00")), "the drill is ended: www.shop.example./gcore is down: status 500".to_owned());
    DrillView {
        drill: DrillLine { state: "aborted".to_owned(), ended, why, ..drill_line() },
        program: "0.1.0".to_owned(),
        vantage: "fra1".to_owned(),
        moves: vec![DrillMoveView {
            name: "www.shop.example.".to_owned(),
            rule: None,
            clients: None,
            sticky: true,
            before: "bunny 70%, gcore 30%".to_owned(),
            during: "bunny 69%, gcore 31%".to_owned(),
            after: Some("bunny 100%".to_owned()),
            share: 0.007,
            away: at("08:45:00"),
            back: Some(at("08:50:00")),
            candidates: vec![held("bunny", 0.7, 0.693, 1.0, 4_200), held("gcore", 0.3, 0.307, 0.0, 1_830)],
            cohort: vec![Span { start: 45_416, end: 45_875, from: "bunny".into(), to: "gcore".into() }],
        }],
        more_moves: 0,
        events: events(&EventFilter { limit: 1, ..EventFilter::default() }).events.into_iter().take(1).collect(),
        more_events: 3,
        restarts: vec![at("08:47:00")],
        counted_from: Some(at("08:47:00")),
        client: None,
    }
}

fn drill_client(client: std::net::IpAddr) -> DrillClientView {
    DrillClientView {
        client: client.to_string(),
        prefix: "192.0.2.0/24".to_owned(),
        point: Some(45_500),
        moved: vec![ClientMove {
            name: "www.shop.example.".to_owned(),
            from: "bunny".to_owned(),
            to: "gcore".to_owned(),
            away: at("08:45:00"),
            back: Some(at("08:50:00")),
        }],
        notes: vec!["which area it is in is looked up as it is known now".to_owned()],
    }
}

fn areas() -> AreasView {
    let file = "/var/lib/pointsman/countries.mmdb".to_owned();
    let (kind, built) = ("Countries".to_owned(), "2025-12-01T00:00:00Z".parse().expect("a time"));
    AreasView {
        database: Some(file.clone()),
        loaded: Some(LoadedDatabase { file, kind, built, prefixes: 400_834 }),
        error: None,
        places: 240,
        ipv4_ranges: 304_828,
        ipv6_ranges: 123_964,
        octets: 4_400_000,
    }
}

fn reload() -> ReloadReport {
    ReloadReport {
        at: at("08:00:00"),
        generation: 40,
        ok: false,
        changed: vec!["shop.example.".to_owned()],
        removed: Vec::new(),
        errors: vec!["clinic.example.".to_owned()],
        warnings: 1,
        counts: ReloadCounts { read: 3, changed: 1, removed: 0, errors: 1 },
        seconds: 0.25,
    }
}

pub fn providers() -> Vec<ProviderView> {
    let provider = |id: &str, name: &str, home: &str, candidates, serving_names, drained_by| ProviderView {
        id: id.to_owned(),
        name: name.to_owned(),
        home: home.to_owned(),
        status_page: Some(format!("https://status.{id}.example/")),
        candidates,
        serving_names,
        drained_by,
        whole: Some(ProviderVerdictView {
            verdict: Verdict::Unknown,
            since: at("06:00:01"),
            counted: 2,
            fallen: 0,
            zones: 0,
            evidence: "0 of 2 counted candidates fell within 10 min".to_owned(),
        }),
    };
    let none = StandingCounts::default();
    vec![
        provider("bunny", "bunny.net", "si", StandingCounts { up: 2, ..none }, 2, None),
        provider("cloudflare", "Cloudflare", "us", StandingCounts { down: 1, ..none }, 0, None),
        provider("gcore", "Gcore", "lu", StandingCounts { recovering: 1, ..none }, 0, Some(3)),
    ]
}

fn candidate(id: &str, home: &str, target: &str, standing: Standing, share: f64) -> CandidateView {
    CandidateView {
        id: id.to_owned(),
        provider: id.to_owned(),
        home: home.to_owned(),
        target: target.to_owned(),
        verdict: standing.verdict(),
        standing,
        since: at("06:00:01"),
        share,
        reason: "up, first level (eu)".to_owned(),
        standby: false,
        clean_until: None,
        ramp: None,
        failures_in_row: 0,
        recent_failures: (0, 20),
        last_pass: Some(at("08:49:55")),
        last_latency_ms: Some(31),
        last_fault: None,
        addresses: vec!["192.0.2.10".to_owned(), "2001:db8::10".to_owned()],
        honours_subnets: None,
        addresses_by_area: Vec::new(),
        readiness: ReadinessState::Ready,
        risks: Vec::new(),
        at_risk_since: None,
        certificate: Some(CertificateView {
            issuer: "Let's Encrypt".to_owned(),
            until: "2026-02-20T00:00:00Z".parse().expect("a time"),
        }),
    }
}

pub fn names() -> Vec<NameView> {
    let fault = Fault {
        stage: Stage::Status,
        status: Some(500),
        certificate: None,
        page: None,
        reason: "status 500".to_owned(),
    };
    let down = CandidateView {
        since: at("08:47:12"),
        reason: "down since 08:47:12: status 500".to_owned(),
        failures_in_row: 17,
        recent_failures: (17, 20),
        last_pass: Some(at("08:46:50")),
        last_fault: Some(FaultView { at: at("08:49:52"), address: Some("192.0.2.20".to_owned()), fault }),
        addresses: vec!["192.0.2.20".to_owned()],
        ..candidate("cloudflare", "us", "shop.cdn.cloudflare.net.", Standing::Down, 0.0)
    };
    let recovering = CandidateView {
        since: at("08:40:00"),
        reason: "recovering until 09:00:00".to_owned(),
        clean_until: Some(at("09:00:00")),
        ..candidate("gcore", "lu", "cl-shop.gcdn.co.", Standing::Recovering, 0.0)
    };
    let name = |name: &str, zone: &str, shape: &str, candidates| NameView {
        name: name.to_owned(),
        zone: zone.to_owned(),
        shape: shape.to_owned(),
        ttl: 30,
        rule: "first level (eu): 1 of 2 up".to_owned(),
        since: at("08:47:12"),
        static_answer: false,
        usable: true,
        candidates,
        areas: Vec::new(),
    };
    let bunny = || candidate("bunny", "si", "shop.b-cdn.net.", Standing::Up, 1.0);
    vec![
        name("www.shop.example.", "shop.example.", "cname", vec![bunny(), recovering, down]),
        NameView { areas: vec![in_america()], ..name("paper.example.", "paper.example.", "flattened", vec![bunny()]) },
    ]
}

/// What clients in North America are answered.
fn in_america() -> AreaView {
    let shares = vec![AreaShare { id: "bunny".to_owned(), share: 1.0, reason: "up, last level".to_owned() }];
    AreaView {
        clients: vec!["continent-na".to_owned()],
        terms: "prefer=us,eu only=any".to_owned(),
        ttl: 5,
        rule: "up, last level".to_owned(),
        since: at("08:47:14"),
        static_answer: true,
        usable: true,
        shares,
    }
}

fn zones() -> Vec<ZoneView> {
    let zone = |origin: &str, state, errors, diagnostics| ZoneView {
        origin: origin.to_owned(),
        serial: 2_025_120_501,
        state,
        file: format!("zones/{origin}zone"),
        records: 12,
        steered_names: 1,
        loaded: Some(at("08:00:00")),
        errors,
        warnings: 0,
        diagnostics,
    };
    let error = "clinic.example.zone:7:1: error: CNAME beside other data".to_owned();
    vec![
        zone("shop.example.", ZoneState::Serving, 0, Vec::new()),
        zone("clinic.example.", ZoneState::Stale, 1, vec![error]),
    ]
}

fn explain(query: &ExplainQuery) -> Result<Explanation, ExplainError> {
    match query.name.as_str() {
        "www.shop.example." | "www.shop.example" => Ok(Explanation {
            name: "www.shop.example.".to_owned(),
            rtype: query.rtype.clone(),
            client: query.client.addr().to_string(),
            rcode: "NOERROR".to_owned(),
            answer: vec!["www.shop.example. 30 IN CNAME shop.b-cdn.net.".to_owned()],
            steps: vec!["zone shop.example.".to_owned(), "the name is steered, as CNAME".to_owned()],
            candidate: Some("bunny".to_owned()),
            steered: names().into_iter().next(),
        }),
        "a..b" => Err(ExplainError::BadName(query.name.clone())),
        _ if query.rtype == "NOTYPE" => Err(ExplainError::BadType(query.rtype.clone())),
        _ => Err(ExplainError::NotOurs(query.name.clone())),
    }
}

fn events(query: &EventFilter) -> EventPage {
    let event = |id, generation, time: &str, kind: &str, subject: &str, from: &str, to: &str, why: &str| EventView {
        id,
        generation,
        at: at(time),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        why: why.to_owned(),
        fault: None,
    };
    let all = vec![
        event(9, 42, "08:47:12", "decision", "www.shop.example.", "cloudflare 100%", "bunny 100%", "1 of 3 up"),
        event(
            8,
            42,
            "08:47:12",
            "verdict",
            "www.shop.example./cloudflare",
            "up",
            "down",
            "3 failures in a row, last: status 500",
        ),
        event(7, 41, "08:30:00", "override", "gcore", "absent", "in-force", "anna: maintenance\u{1b}[2J"),
    ];
    let fits = |event: &EventView| query.before.is_none_or(|before| event.id < before);
    let mut events: Vec<EventView> = all.into_iter().filter(fits).collect();
    let more = events.len() > query.limit;
    events.truncate(query.limit);
    let next = events.last().filter(|_| more).map(|event| event.id);
    EventPage { events, next }
}

fn in_force() -> OverrideView {
    OverrideView {
        id: 3,
        order: "drain".to_owned(),
        subject: "gcore".to_owned(),
        author: "anna".to_owned(),
        reason: "maintenance".to_owned(),
        placed: at("08:30:00"),
        until: Some(at("09:30:00")),
        names: 1,
        stored: true,
        empty: None,
        left_percent: None,
        on_down: Vec::new(),
        on_down_total: 0,
    }
}

fn place(new: &NewOverride) -> Result<OverrideView, OverrideError> {
    let (order, subject) = match &new.order {
        Order::Drain(subject) => ("drain", subject_text(subject)),
        Order::Pin(key) => ("pin", key.to_string()),
        Order::Freeze => ("freeze", "everything".to_owned()),
        Order::FreezeIn(scope) => ("freeze", scope.to_string()),
        Order::Drill(drill) => ("drill", drill.provider.to_string()),
    };
    let subject_is_stored = subject != "disk";
    match subject.as_str() {
        "nobody" => Err(OverrideError::NoSuchSubject(subject)),
        "past" => Err(OverrideError::EndsInThePast),
        "many" => Err(OverrideError::TooMany(1_000)),
        "clinic.example./cloudflare" => {
            Err(OverrideError::Forbidden { name: "clinic.example.".to_owned(), candidate: "cloudflare".to_owned() })
        }
        _ => Ok(OverrideView {
            id: 4,
            order: order.to_owned(),
            subject,
            author: new.author.clone(),
            reason: new.reason.clone(),
            placed: at("08:50:00"),
            // The real end hangs on the clock; tests look at what was asked.
            until: new.until.map(|_| at("09:20:00")),
            names: 1,
            stored: subject_is_stored,
            empty: new.over.map(|_| at("09:00:00")),
            left_percent: new.over.map(|_| 100),
            on_down: Vec::new(),
            on_down_total: 0,
        }),
    }
}

fn subject_text(subject: &pointsman::steer::overrides::DrainSubject) -> String {
    use pointsman::steer::overrides::DrainSubject::{Candidate, Glob, In, Provider};
    match subject {
        Provider(id) => id.to_string(),
        Candidate(key) => key.to_string(),
        Glob(glob) => glob.clone(),
        In(scope) => scope.to_string(),
    }
}

fn release(release: &Release) -> Result<Vec<OverrideView>, OverrideError> {
    match &release.which {
        ReleaseWhich::Id(3) => Ok(vec![in_force()]),
        ReleaseWhich::Subject(subject) if subject == "gcore" => Ok(vec![in_force()]),
        ReleaseWhich::Id(id) => Err(OverrideError::NotInForce(id.to_string())),
        ReleaseWhich::Subject(subject) => Err(OverrideError::NotInForce(format!("of {subject}"))),
    }
}
