//! UDP and TCP over real sockets: source addresses, descriptors, and an orderly stop. `answers_tcp.rs` has more of TCP.
#![allow(clippy::panic)] // A test that cannot be set up has failed.

#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/answers.rs"]
mod support;

use std::io::{BufRead, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use pointsman::dns::TcpSettings;
use sockets::{A, PATIENCE, Server, TXT, ask, closed, framed, read_framed};
use support::{Message, lines, query};

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
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < PATIENCE / 4, "a stop does not wait for a connection that is idle");
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

/// The server of [`with_few_descriptors_newcomers_are_served`], in a process of its own: tells its address, ends with its input.
#[test]
fn child_with_few_descriptors() {
    if std::env::var_os("FEW_DESCRIPTORS").is_none() {
        return;
    }
    let server = Server::local();
    println!("address {}", server.address);
    drop(std::io::stdin().read(&mut [0; 1]));
}

/// Starts [`child_with_few_descriptors`] under these limits, and runs `with` on its address.
fn with_child(limits: &str, with: impl FnOnce(SocketAddr, u32)) {
    let program = std::env::current_exe().expect("this test");
    let mut child = std::process::Command::new("sh")
        .args(["-c", &format!("{limits}; exec \"$0\" --exact child_with_few_descriptors --nocapture")])
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
    with(address.expect("the server's address"), child.id());
    drop(child.stdin.take());
    lines.for_each(drop);
    assert!(child.wait().expect("ended").success());
}

#[test]
fn with_few_descriptors_newcomers_are_served() {
    with_child("ulimit -n 40", |address, _| {
        let connect = || {
            let stream = TcpStream::connect(address).expect("the system takes it, if not the server");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time");
            stream
        };
        // 49 of one client are within its share, but not all of them within 40 descriptors.
        let served = |_| {
            let mut stream = connect();
            ask(&mut stream).expect("a newcomer is served");
            stream
        };
        let mut streams: Vec<TcpStream> = (0..49).map(served).collect();
        assert_eq!(ask_udp(&udp(address)).answer.len(), 1, "UDP goes on");
        let open = streams.iter_mut().filter_map(|stream| ask(stream).ok()).count();
        assert!((10..=20).contains(&open), "{open} of 40 descriptors");
    });
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    with_child("ulimit -S -n 64", |_, process| {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("files");
        let values: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [soft, hard] = values[..] else { panic!("{line}") };
        assert_eq!(soft, hard.min(1000 + 1024), "what 1,000 connections and all else need");
    });
}
