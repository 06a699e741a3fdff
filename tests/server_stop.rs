//! The beginning and the end: what stops a start, and a stop that loses nothing.

#[path = "support/server.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use support::{PATIENCE, Server, Site, eventually, question, said};

const NAME: &str = "www.a.example.";

fn site() -> Site {
    let site = Site::new();
    site.zone("a.example", "www 60 IN A 192.0.2.1\n");
    site
}

/// Keeps many queries under way, signals, and looks whether all that were sent before it are answered.
fn answers_all_before(signal: &str) {
    let site = site();
    let mut server = site.start();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket takes a time limit");
    let mut answered = BTreeSet::new();
    let mut octets = [0; 4096];
    for id in 1..=2_000 {
        socket.send_to(&question(id, NAME, RecordType::A), server.dns).expect("it is sent");
        // A few are always under way.
        if id > 128 {
            socket.recv(&mut octets).expect("an answer under load");
            answered.insert(u16::from_be_bytes([octets[0], octets[1]]));
        }
    }
    server.signal(signal);
    while answered.len() < 2_000 {
        let received = socket.recv(&mut octets);
        assert!(received.is_ok(), "{} of 2000 are answered", answered.len());
        answered.insert(u16::from_be_bytes([octets[0], octets[1]]));
    }
    let status = server.end();
    assert_eq!(status.code(), Some(0), "{}", server.last_words());
    assert!(!server.log().contains("ERROR"), "{}", server.log());
    assert!(!site.data().join("control.sock").exists(), "the control socket is gone");
}

#[test]
fn sigterm_answers_what_was_asked() {
    answers_all_before("TERM");
}

#[test]
fn sigint_answers_what_was_asked() {
    answers_all_before("INT");
}

#[test]
fn pipelined_queries_are_answered_before_the_end() {
    let site = site();
    let mut server = site.start();
    let mut stream = TcpStream::connect(server.dns).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time limit");
    let mut octets = Vec::new();
    for id in 1..=500 {
        let query = question(id, NAME, RecordType::A);
        octets.extend(u16::try_from(query.len()).expect("short").to_be_bytes());
        octets.extend(query);
    }
    stream.write_all(&octets).expect("it is sent");
    server.signal("TERM");
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("it is closed in good order");
    let mut ids = BTreeSet::new();
    let mut rest = &answers[..];
    while let Some((len, more)) = rest.split_first_chunk() {
        let (message, more) = more.split_at(usize::from(u16::from_be_bytes(*len)));
        ids.insert(Message::from_vec(message).expect("a DNS message").id);
        rest = more;
    }
    assert_eq!(ids.len(), 500);
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn readiness_turns_while_answers_go_on() {
    let site = site();
    site.configure("[server]\nlinger = \"3s\"\n");
    let mut server = site.start();
    server.wait_ready();
    let began = Instant::now();
    server.signal("TERM");
    eventually("`/readyz` turns", || server.get("/readyz").status == 503);
    assert!(server.get("/readyz").body.contains("stopping"));
    assert_eq!(server.look(NAME), ["192.0.2.1"]);
    assert_eq!(server.get("/health").json()["checks"]["server"][0]["observedValue"], "stopping");
    assert_eq!(server.end().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(3), "load balancers have had their time");
}

#[test]
fn a_second_signal_cuts_the_stop_short() {
    let site = site();
    site.configure("[server]\nlinger = \"10m\"\n");
    let mut server = site.start();
    server.signal("INT");
    server.logs("stopping");
    server.signal("INT");
    assert_eq!(server.end().code(), Some(1));
}

#[test]
fn a_fifo_among_the_zones_holds_up_neither_reload_nor_stop() {
    let site = site();
    let server = site.start();
    // Opening a FIFO waits for its writer; whoever reads it hangs.
    let fifo = site.zone_file("b.example");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    server.signal("HUP");
    server.logs("no regular file");
    server.stop();
}

#[test]
fn bad_usage_and_bad_input_end_with_2() {
    let site = site();
    let (code, text) = site.start_fails(&["--zone", "x"]);
    assert!(code == Some(2) && text.contains("--zone"), "{code:?} {text}");

    site.configure("[dns]\nthreds = 2\nlisten = [\"here\"]\n[api]\nlisten = 7\n[odd]\n[steering]\nttl = \"soon\"\n");
    let (code, text) = site.start_fails(&[]);
    assert_eq!(code, Some(2), "{text}");
    for fault in ["threds", "here", "listen = 7", "unknown section `odd`", "ttl"] {
        assert!(text.contains(fault), "no `{fault}` in:\n{text}");
    }
    std::fs::remove_file(site.path("pointsman.toml")).expect("it is removed");
    let (code, text) = site.start_fails(&[]);
    assert!(code == Some(2) && text.contains("pointsman.toml"), "{code:?} {text}");
}

#[test]
fn taken_ports_are_told() {
    let mut site = site();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for (option, address) in [("--listen", udp.local_addr()), ("--api", tcp.local_addr())] {
        let address = address.expect("an address").to_string();
        site.words = vec![option.to_owned(), address.clone()];
        let mut command = site.command(&["serve", "--zones", "zones"]);
        let other = if option == "--listen" { "--api" } else { "--listen" };
        let output = command.args([option, &address, other, "127.0.0.1:0"]).output().expect("it runs");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&address) && text.to_lowercase().contains("in use"), "{text}");
    }
}

#[test]
fn a_second_server_on_one_data_folder_is_refused() {
    let site = site();
    let server = site.start();
    let (code, text) = site.start_fails(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is another server running with this data folder?"), "{text}");
    assert_eq!(server.look(NAME), ["192.0.2.1"]);
    assert!(site.run(&["status"]).status.success(), "the first one keeps its control socket");
    server.stop();
    // The folder is free again, after SIGKILL too.
    let server: Server = site.start();
    server.kill();
    site.start().stop();
}
