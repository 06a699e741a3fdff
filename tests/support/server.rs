//! The program itself as an operator runs it: `pointsman serve` on free ports, small HTTP targets on addresses of their
//! own in 127.0.0.0/8, and clients of its DNS, its API and its command line.

#![allow(dead_code)] // Each test binary uses its part.
#![allow(clippy::panic)] // Nothing but tests is here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde_json::Value;
use tempfile::TempDir;

/// What a step may take on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer; fails the test at the end of its patience.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "it never came true: {what}");
        sleep(PAUSE);
    }
}

/// The same for a condition.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

/// A folder with zones, data and a configuration.
pub struct Site {
    folder: TempDir,
    /// More for the command line.
    pub words: Vec<String>,
    /// UDP threads for each address.
    pub threads: usize,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        std::fs::create_dir(folder.path().join("zones")).expect("a folder for zones");
        let site = Self { folder, words: Vec::new(), threads: 1 };
        site.configure("");
        site
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn zone_file(&self, origin: &str) -> PathBuf {
        self.path("zones").join(format!("{origin}.zone"))
    }

    /// Writes a zone in place, below an SOA and an NS.
    pub fn zone(&self, origin: &str, records: &str) {
        std::fs::write(self.zone_file(origin), zone_text(records)).expect("the zone is written");
    }

    /// The configuration: `probe` may stand in it once only, so private targets are allowed here.
    pub fn configure(&self, text: &str) {
        // No test asks the Internet.
        let text = format!("[probe]\nallow_private = true\nanchors = {{ tcp = [] }}\n{text}");
        std::fs::write(self.path("pointsman.toml"), text).expect("the configuration is written");
    }

    /// `pointsman WORDS` for this site.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(words).arg("--config").arg(self.path("pointsman.toml")).arg("--data").arg(self.data());
        command.env_remove("RUST_LOG").env("RUST_BACKTRACE", "0").current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// The same, run to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the program runs")
    }

    /// The same, which must succeed and print JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--format", "json"]).collect();
        let output = self.run(&words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {}", said(&output)))
    }

    fn serve_command(&self) -> Command {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        command.args(["--threads", &self.threads.to_string()]);
        command.arg("--zones").arg(self.path("zones")).args(&self.words);
        command
    }

    /// Starts the server, which must come up.
    pub fn start(&self) -> Server {
        Server::start(self.serve_command(), self.data())
    }

    /// Starts the server; none of its files may grow beyond so many blocks of 512 octets.
    pub fn start_limited(&self, blocks: u64) -> Server {
        let serve = self.serve_command();
        let mut command = Command::new("sh");
        // Without the trap the signal of that name would end the program; with it, writes fail.
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        command.arg(serve.get_program()).args(serve.get_args()).current_dir(self.folder.path());
        command.env_remove("RUST_LOG").env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        Server::start(command, self.data())
    }

    /// Starts a server that must not come up: its exit code, and what it said.
    pub fn start_fails(&self, more: &[&str]) -> (Option<i32>, String) {
        let mut command = self.serve_command();
        command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let limit = Instant::now() + PATIENCE;
        while child.try_wait().expect("it can be waited for").is_none() {
            if Instant::now() >= limit {
                child.kill().expect("it can be killed");
                panic!("it runs on");
            }
            sleep(PAUSE);
        }
        let output = child.wait_with_output().expect("it has ended");
        (output.status.code(), said(&output))
    }
}

/// Records below an SOA and an NS.
pub fn zone_text(records: &str) -> String {
    format!("@ 60 IN SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ 60 IN NS ns1\nns1 60 IN A 192.0.2.53\n{records}")
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A server that runs; killed where a test ends before it.
pub struct Server {
    child: Child,
    pub dns: SocketAddr,
    pub api: SocketAddr,
    data: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(mut command: Command, data: PathBuf) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("it has a standard error"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        // A thread, since reading a pipe knows no limit of time. It ends with the program.
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().expect("nobody panics with it").push(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, dns: nowhere, api: nowhere, data, log, reader: Some(reader) };
        server.dns = server.address_after("answering over UDP and TCP");
        server.api = server.address_after("the API listens");
        server
    }

    fn address_after(&mut self, message: &str) -> SocketAddr {
        until(message, || {
            let found = self.events(message).first().and_then(|line| line["address"].as_str()?.parse().ok());
            let ended = self.child.try_wait().expect("it can be waited for");
            assert!(found.is_some() || ended.is_none(), "it ended ({ended:?}):\n{}", self.log());
            found
        })
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").join("\n")
    }

    /// Log lines with this message; each line must be JSON.
    pub fn events(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lock().expect("nobody panics with it").clone();
        let parsed = lines.iter().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
        });
        parsed.filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(message))).collect()
    }

    /// Waits for a line that says this.
    pub fn logs(&self, part: &str) {
        eventually(&format!("`{part}` in the log"), || self.log().contains(part));
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill runs").success());
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        until("the end of the program", || self.child.try_wait().expect("it can be waited for"))
    }

    /// SIGTERM, and the end, which must be a good one.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// All that it logged until its end.
    pub fn last_words(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        self.log()
    }

    pub fn ask(&self, name: &str, rtype: RecordType) -> Message {
        ask_from(self.dns, Ipv4Addr::LOCALHOST, name, rtype)
    }

    /// The record data of the answer section, sorted.
    pub fn look(&self, name: &str) -> Vec<String> {
        data_of(&self.ask(name, RecordType::A))
    }

    pub fn rcode(&self, name: &str) -> ResponseCode {
        self.ask(name, RecordType::A).response_code
    }

    /// Waits until a name has this one address.
    pub fn wait_for(&self, name: &str, address: IpAddr) {
        let wanted = vec![address.to_string()];
        eventually(&format!("{name} is {address}; now {:?}\n{}", self.look(name), self.log()), || {
            self.look(name) == wanted
        });
    }

    /// Waits until the first round of probes is over.
    pub fn wait_ready(&self) {
        eventually("it is ready", || self.get("/readyz").status == 200);
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("token")).expect("the token file was made").trim_end().to_owned()
    }

    pub fn get(&self, path: &str) -> Response {
        self.http("GET", path, "", "")
    }

    /// A document that must be there.
    pub fn document(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.json()
    }

    /// With the token.
    pub fn order(&self, method: &str, path: &str, body: &str) -> Response {
        self.http(method, path, &format!("Authorization: Bearer {}\r\n", self.token()), body)
    }

    pub fn http(&self, method: &str, path: &str, head: &str, body: &str) -> Response {
        http(self.api, method, path, head, body)
    }

    /// POST /v1/reload: the report.
    pub fn reload(&self) -> Value {
        let response = self.order("POST", "/v1/reload", "");
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// Of a candidate of a name.
    pub fn standing(&self, name: &str, candidate: &str) -> String {
        let view = self.document(&format!("/v1/names/{name}"));
        let candidates = view["candidates"].as_array().expect("a list").clone();
        let found = candidates.into_iter().find(|view| view["id"] == candidate).expect("it is one of the name's");
        found["standing"].as_str().expect("a word").to_owned()
    }

    pub fn wait_standing(&self, name: &str, candidate: &str, standing: &str) {
        eventually(&format!("{name}/{candidate} is {standing}"), || self.standing(name, candidate) == standing);
    }

    pub fn zone(&self, origin: &str) -> Value {
        let zones = self.document("/v1/zones");
        zones.as_array().expect("a list").iter().find(|view| view["origin"] == origin).cloned().unwrap_or(Value::Null)
    }

    /// The value of a metric's line, without its labels' braces cut: `pointsman_queries_total{transport="udp"}`.
    pub fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").body;
        let lines: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok()).collect();
        assert!(lines.len() <= 1, "{sample} is there {} times", lines.len());
        lines.first().copied()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One answer of the API.
#[derive(Debug)]
pub struct Response {
    /// 0 where none came.
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

pub fn http(address: SocketAddr, method: &str, path: &str, head: &str, body: &str) -> Response {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}");
    if !body.is_empty() {
        text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text += &format!("\r\n{body}");
    let mut octets = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time limit");
        // A server that is stopping may close before it has read all.
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.read_to_end(&mut octets);
    }
    let text = String::from_utf8(octets).expect("answers are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

pub fn question(id: u16, name: &str, rtype: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), rtype));
    message.to_vec().expect("it can be written")
}

/// Asks over UDP from a source address of this machine; once more where a datagram was lost.
pub fn ask_from(server: SocketAddr, source: Ipv4Addr, name: &str, rtype: RecordType) -> Message {
    let socket = UdpSocket::bind((source, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket takes a time limit");
    for id in 1..=5 {
        socket.send_to(&question(id, name, rtype), server).expect("it is sent");
        let mut octets = [0; 4096];
        if let Ok(len) = socket.recv(&mut octets) {
            return Message::from_vec(&octets[..len]).expect("a DNS message");
        }
    }
    panic!("no answer to {name} {rtype}");
}

pub fn data_of(message: &Message) -> Vec<String> {
    let mut data: Vec<_> = message.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    data
}

/// Addresses that no other test of this process uses, and hardly one of another.
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % 250;
    let process = std::process::id();
    let [.., c, b] = process.to_be_bytes();
    Ipv4Addr::new(127, 64 + c % 128, b, u8::try_from(number + 2).expect("below 253"))
}

/// HTTP targets on one port of several addresses, one for each candidate.
pub struct Targets {
    pub port: u16,
    targets: Vec<Target>,
}

struct Target {
    address: Ipv4Addr,
    status: Arc<AtomicU16>,
    requests: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
}

impl Targets {
    /// All answer 200.
    pub fn new(count: usize) -> Self {
        until("a port that is free on all addresses", || {
            let addresses: Vec<_> = (0..count).map(|_| own_address()).collect();
            let first = TcpListener::bind((addresses[0], 0)).ok()?;
            let port = first.local_addr().ok()?.port();
            let rest = addresses[1..].iter().map(|address| TcpListener::bind((*address, port)).ok());
            let listeners = std::iter::once(Some(first)).chain(rest).collect::<Option<Vec<_>>>()?;
            let targets =
                addresses.into_iter().zip(listeners).map(|(address, listener)| Target::new(address, listener));
            Some(Self { port, targets: targets.collect() })
        })
    }

    pub fn address(&self, at: usize) -> IpAddr {
        self.targets[at].address.into()
    }

    /// What one answers from now on.
    pub fn set(&self, at: usize, status: u16) {
        self.targets[at].status.store(status, Ordering::SeqCst);
    }

    /// How many requests one has seen.
    pub fn requests(&self, at: usize) -> usize {
        self.targets[at].requests.load(Ordering::SeqCst)
    }

    pub fn set_all(&self, status: u16) {
        self.targets.iter().for_each(|target| target.status.store(status, Ordering::SeqCst));
    }

    /// A name steered over these: the first in Europe, the others in the US, probed fast.
    pub fn steered(&self, owner: &str, more: &str) -> String {
        let (port, first) = (self.port, self.address(0));
        let mut text = format!(
            "{owner} 60 IN A {first}\n_steer.{owner} 60 IN TXT \
             \"v=steer1 ttl=20 probe=http:{port}:/ every=300ms timeout=2s fall=2 clean=1h {more}\"\n"
        );
        for (at, id) in ["bunny", "cloudflare", "fastly", "cloudfront"].iter().take(self.targets.len()).enumerate() {
            text += &format!("_steer.{owner} 60 IN TXT \"cdn={id} to={}\"\n", self.address(at));
        }
        text
    }
}

impl Target {
    fn new(address: Ipv4Addr, listener: TcpListener) -> Self {
        let (status, end) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicBool::new(false)));
        let (says, ends) = (Arc::clone(&status), Arc::clone(&end));
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                seen.fetch_add(1, Ordering::SeqCst);
                // A probe that went away is no fault of the target.
                let _ = answer(&stream, says.load(Ordering::SeqCst));
            }
        });
        Self { address, status, requests, end }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
    }
}

fn answer(stream: &TcpStream, status: u16) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    (&*stream).write_all(format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
}

/// Replaces a file as editors do: another one is renamed over it.
pub fn rename_over(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    std::fs::write(&beside, text).expect("it is written");
    std::fs::rename(&beside, path).expect("it is renamed");
}
