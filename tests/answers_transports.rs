//! UDP and TCP over real sockets: source addresses, pipelining, limits, and an orderly stop.

#[path = "support/answers.rs"]
mod support;

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pointsman::dns::{self, Running, TcpSettings};
use pointsman::image::Settings;
use support::{Message, lines, published, query, zone};

const A: u16 = 1;
const TXT: u16 = 16;
/// Long enough for any answer on a busy machine; waited for only where a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on free ports, with its runtime.
struct Server {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    address: SocketAddr,
}

impl Server {
    fn start(listen: &str, tcp: TcpSettings) -> Self {
        let mut text = "@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A 192.0.2.1\nwww 60 A 192.0.2.2\n".to_owned();
        for line in 0..100 {
            text += &format!("huge 60 TXT \"{line} {}\"\n", "x".repeat(240));
        }
        let published = published(&[zone("s.test.", &text, Vec::new())], &[], &Settings::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let settings = dns::Settings { listen: vec![listen.parse().expect("an address")], threads: 2, tcp };
        let bound = dns::bind(&settings).expect("free ports");
        let running =
            runtime.block_on(async { bound.serve(Arc::new(ArcSwap::from_pointee(published))) }).expect("started");
        let address = running.addresses()[0];
        Self { runtime, running: Some(running), address }
    }

    fn local() -> Self {
        Self::start("127.0.0.1:0", TcpSettings::default())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("not stopped")
    }

    fn stop(&mut self) {
        let running = self.running.take().expect("not stopped");
        self.runtime.block_on(running.stop(PATIENCE));
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time");
        stream
    }

    /// Waits until the counters say so.
    fn until(&self, what: &str, holds: impl Fn(&dns::Counters) -> bool) {
        let start = Instant::now();
        while !holds(&self.running().counters()) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.running().counters());
            std::thread::yield_now();
        }
    }
}

fn udp(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).expect("a port");
    // A connected socket takes answers from the address that it asked, and from no other.
    socket.connect(to).expect("a route");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    socket
}

fn ask_udp(socket: &UdpSocket) -> Message {
    socket.send(&query("www.s.test.", A)).expect("sent");
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).expect("an answer from the address that was asked");
    Message::read(&buffer[..len]).expect("a message")
}

fn framed(query: &[u8]) -> Vec<u8> {
    [&u16::try_from(query.len()).expect("short").to_be_bytes()[..], query].concat()
}

fn read_framed(stream: &mut TcpStream) -> std::io::Result<Message> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut octets)?;
    Ok(Message::read(&octets).expect("a message"))
}

/// Whether the other side has closed, after `limit` at the latest.
fn closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(len) => len == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn udp_and_tcp_answer_on_one_port() {
    let mut server = Server::local();
    assert_eq!(lines(&ask_udp(&udp(server.address)).answer), ["www.s.test. 60 1 192.0.2.2"]);
    let mut stream = server.connect();
    stream.write_all(&framed(&query("huge.s.test.", TXT))).expect("sent");
    assert_eq!(read_framed(&mut stream).expect("an answer").answer.len(), 100);
    let socket = udp(server.address);
    socket.send(&query("huge.s.test.", TXT)).expect("sent");
    socket.send(&[0; 5]).expect("sent");
    server.until("all are counted", |counters| (counters.udp, counters.tcp) == (3, 1));
    let counters = server.running().counters();
    assert_eq!((counters.rcodes[0], counters.truncated, counters.dropped, counters.tcp_open), (3, 1, 1, 1));
    server.stop();
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let server = Server::start("0.0.0.0:0", TcpSettings::default());
    for address in ["127.0.0.1", "127.0.0.2", "127.9.9.9"] {
        let address: IpAddr = address.parse().expect("an address");
        ask_udp(&udp((address, server.address.port()).into()));
    }
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("skipped: needs IPv6 on loopback");
        return;
    }
    let server = Server::start("[::]:0", TcpSettings::default());
    ask_udp(&udp(("::1".parse::<IpAddr>().expect("an address"), server.address.port()).into()));
}

#[test]
fn queries_are_pipelined() {
    let server = Server::local();
    let mut stream = server.connect();
    let many: Vec<u8> = (0..500_u16)
        .flat_map(|id| {
            let mut query = query("www.s.test.", A);
            query[..2].copy_from_slice(&id.to_be_bytes());
            framed(&query)
        })
        .collect();
    stream.write_all(&many).expect("sent");
    let mut ids: Vec<u16> = (0..500).map(|_| read_framed(&mut stream).expect("an answer").id).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..500));
    // Octet by octet.
    for octet in framed(&query("www.s.test.", A)) {
        stream.write_all(&[octet]).expect("sent");
    }
    assert_eq!(read_framed(&mut stream).expect("an answer").answer.len(), 1);
    // What is no answerable message is passed over.
    stream.write_all(&[framed(&[1, 2, 3]), framed(b""), framed(&query("www.s.test.", A))].concat()).expect("sent");
    assert_eq!(read_framed(&mut stream).expect("an answer").answer.len(), 1);
}

#[test]
fn connections_are_limited_in_all_and_by_client() {
    for limits in [
        TcpSettings { connections: 2, ..TcpSettings::default() },
        TcpSettings { per_client: 2, ..TcpSettings::default() },
    ] {
        let server = Server::start("127.0.0.1:0", limits);
        let mut kept = [server.connect(), server.connect()];
        server.until("two are open", |counters| counters.tcp_open == 2);
        assert!(closed(&mut server.connect()));
        server.until("one was refused", |counters| counters.tcp_refused == 1);
        for stream in &mut kept {
            stream.write_all(&framed(&query("www.s.test.", A))).expect("sent");
            read_framed(stream).expect("an answer");
        }
        drop(kept);
        server.until("both are gone", |counters| counters.tcp_open == 0);
        let mut stream = server.connect();
        stream.write_all(&framed(&query("www.s.test.", A))).expect("sent");
        read_framed(&mut stream).expect("an answer");
    }
}

#[test]
fn idle_connections_and_slow_queries_are_closed() {
    let limits = TcpSettings { idle: Duration::from_millis(200), ..TcpSettings::default() };
    let server = Server::start("127.0.0.1:0", limits);
    assert!(closed(&mut server.connect()), "without a query");
    let mut stream = server.connect();
    stream.write_all(&framed(&query("www.s.test.", A))).expect("sent");
    read_framed(&mut stream).expect("an answer");
    assert!(closed(&mut stream), "after a query");
    let mut stream = server.connect();
    let start = Instant::now();
    // Part of a query wins no time.
    let dripped =
        framed(&query("www.s.test.", A)).iter().cycle().take_while(|_| start.elapsed() < PATIENCE).any(|_| {
            stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
            stream.write_all(&[9]).is_err() || closed(&mut stream)
        });
    assert!(dripped, "an endless query");
    let mut stream = server.connect();
    let start = Instant::now();
    let unanswered = [framed(b""), framed(&[0; 5]), framed(&[0x80; 12])];
    let passed = unanswered.iter().cycle().take_while(|_| start.elapsed() < PATIENCE).any(|frame| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
        stream.write_all(frame).is_err() || closed(&mut stream)
    });
    assert!(passed, "messages that are no queries win no time");
    server.until("all are gone", |counters| counters.tcp_open == 0);
}

#[test]
fn a_client_that_never_reads_is_cut() {
    let limits = TcpSettings { unread: Duration::from_millis(200), ..TcpSettings::default() };
    let server = Server::start("127.0.0.1:0", limits);
    let mut stream = server.connect();
    let query = framed(&query("huge.s.test.", TXT));
    let start = Instant::now();
    while stream.write_all(&query).is_ok() {
        assert!(start.elapsed() < PATIENCE, "it is cut");
    }
    server.until("it is gone", |counters| counters.tcp_open == 0);
    let answered = server.running().counters().tcp;
    assert!(answered < 2_000, "answering stops while nothing is read: {answered} of 25,000 octets each");
}

#[test]
fn resets_do_not_end_the_listener() {
    // However many of them are not taken yet, there is a place for one more.
    let server = Server::start("127.0.0.1:0", TcpSettings { per_client: 1000, ..TcpSettings::default() });
    for _ in 0..200 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_linger(Some(Duration::ZERO)).expect("an option");
        socket.connect(&server.address.into()).expect("a listener");
    }
    server.until("all are gone", |counters| counters.tcp_open == 0);
    let mut stream = server.connect();
    stream.write_all(&framed(&query("www.s.test.", A))).expect("sent");
    read_framed(&mut stream).expect("an answer");
}

#[test]
fn a_stop_answers_what_was_received() {
    let mut server = Server::local();
    let sockets: Vec<UdpSocket> = (0..50).map(|_| udp(server.address)).collect();
    let mut stream = server.connect();
    stream.write_all(&framed(&query("www.s.test.", A))).expect("sent");
    read_framed(&mut stream).expect("an answer");
    for socket in &sockets {
        socket.send(&query("www.s.test.", A)).expect("sent");
    }
    stream.write_all(&framed(&query("www.s.test.", A)).repeat(20)).expect("sent");
    server.stop();
    for socket in &sockets {
        let mut buffer = [0; 512];
        socket.recv(&mut buffer).expect("an answer");
    }
    for _ in 0..20 {
        read_framed(&mut stream).expect("an answer");
    }
    assert!(closed(&mut stream));
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens");
}

#[test]
fn a_stop_does_not_wait_for_the_end_of_a_flood() {
    let mut server = Server::local();
    let address = server.address;
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood: Vec<_> = (0..4)
        .map(|_| {
            let (socket, over) = (udp(address), over.clone());
            std::thread::spawn(move || {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    // Once nobody listens, an ICMP message comes back.
                    drop(socket.send(&query("huge.s.test.", TXT)));
                }
            })
        })
        .collect();
    server.until("the flood is on", |counters| counters.udp > 1000);
    let start = Instant::now();
    server.stop();
    let took = start.elapsed();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.into_iter().for_each(|thread| thread.join().expect("sent"));
    assert!(took < PATIENCE / 2, "{took:?}");
}

/// The server of [`too_many_open_files_are_waited_out`], in a process with few descriptors: tells its address, ends with its input.
#[test]
fn child_with_few_descriptors() {
    if std::env::var_os("FEW_DESCRIPTORS").is_none() {
        return;
    }
    let server = Server::local();
    println!("address {}", server.address);
    drop(std::io::stdin().read(&mut [0; 1]));
}

#[test]
fn too_many_open_files_are_waited_out() {
    let program = std::env::current_exe().expect("this test");
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\" --exact child_with_few_descriptors --nocapture"])
        .arg(program)
        .env("FEW_DESCRIPTORS", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    // Kept open to the end: the child's test says more.
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = lines
        .by_ref()
        .map(|line| line.expect("text"))
        .find_map(|line| line.split_once("address ").map(|(_, address)| address.parse().expect("an address")));
    let address: SocketAddr = address.expect("the server's address");
    let connect = || {
        let stream = TcpStream::connect(address).expect("the system takes it, if not the server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream
    };
    let mut streams: Vec<TcpStream> = (0..60).map(|_| connect()).collect();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(&framed(&query("www.s.test.", A))).expect("sent");
        read_framed(stream)
    };
    assert!(ask(&mut streams[0]).is_ok(), "connections that are open go on");
    streams[59].set_read_timeout(Some(Duration::from_millis(500))).expect("a time");
    assert!(ask(&mut streams[59]).is_err(), "no descriptor is left for the last one");
    assert_eq!(ask_udp(&udp(address)).answer.len(), 1, "UDP goes on");
    streams.drain(..40);
    let last = streams.last_mut().expect("20 are left");
    last.set_read_timeout(Some(PATIENCE)).expect("a time");
    assert!(read_framed(last).is_ok(), "it is taken as soon as there is room");
    assert!(ask(&mut connect()).is_ok());
    drop(child.stdin.take());
    lines.for_each(drop);
    assert!(child.wait().expect("ended").success());
}
