//! TCP over real sockets: pipelining, queries in parts, clients that do not read, limits, and what an orderly stop still answers.

#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/answers.rs"]
mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pointsman::dns::TcpSettings;
use sockets::{A, PATIENCE, Server, TXT, ask, closed, framed, read_framed};
use support::query;

/// A framed query with a message ID of its own.
fn numbered(name: &str, qtype: u16, id: u16) -> Vec<u8> {
    let mut query = query(name, qtype);
    query[..2].copy_from_slice(&id.to_be_bytes());
    framed(&query)
}

#[test]
fn queries_are_pipelined() {
    let server = Server::local();
    let mut stream = server.connect();
    let many: Vec<u8> = (0..500).flat_map(|id| numbered("www.s.test.", A, id)).collect();
    stream.write_all(&many).expect("sent");
    let ids = (0..500).map(|_| read_framed(&mut stream).expect("an answer").id);
    assert!(ids.eq(0..500), "in the order of the questions");
    // What is no answerable message is passed over.
    stream.write_all(&[framed(&[1, 2, 3]), framed(b""), framed(&query("www.s.test.", A))].concat()).expect("sent");
    assert_eq!(read_framed(&mut stream).expect("an answer").answer.len(), 1);
}

#[test]
fn connections_are_limited_by_client() {
    let server = Server::start("127.0.0.1:0", TcpSettings { per_client: 2, ..TcpSettings::default() });
    let mut kept = [server.connect(), server.connect()];
    server.until("two are open", |counters| counters.tcp_open == 2);
    assert!(closed(&mut server.connect()));
    server.until("one was refused", |counters| counters.tcp_refused == 1);
    for stream in &mut kept {
        ask(stream).expect("an answer");
    }
    // Another client has its own share.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("loopback is a /8");
    socket.connect(&server.address.into()).expect("a listener");
    ask(&mut socket.into()).expect("an answer");
    drop(kept);
    server.until("all are gone", |counters| counters.tcp_open == 0);
    ask(&mut server.connect()).expect("an answer");
}

#[test]
fn at_the_limit_the_idlest_connection_makes_room() {
    let server = Server::start("127.0.0.1:0", TcpSettings { connections: 3, ..TcpSettings::default() });
    let [mut first, mut second, mut third] = [1, 2, 3].map(|open| {
        let stream = server.connect();
        server.until("it is open", |counters| counters.tcp_open == open);
        stream
    });
    ask(&mut first).expect("an answer");
    let mut newcomer = server.connect();
    ask(&mut newcomer).expect("an answer");
    assert!(closed(&mut second), "it has waited longest");
    ask(&mut third).expect("an answer");
    ask(&mut first).expect("an answer");
    let counters = server.running().counters();
    assert_eq!((counters.tcp_refused, counters.tcp_evicted, counters.tcp_open), (0, 1, 3));
    // However many come, each is served, and no more than three stay.
    for _ in 0..100 {
        ask(&mut server.connect()).expect("an answer");
    }
    server.until("three are left at most", |counters| counters.tcp_open <= 3);
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
fn queries_may_come_in_parts() {
    let server = Server::local();
    let mut stream = server.connect();
    stream.set_nodelay(true).expect("an option");
    let one = numbered("www.s.test.", A, 1);
    let two = [&one[..], &numbered("ns.s.test.", A, 2)].concat();
    for split in 1..two.len() {
        let before = server.running().counters().tcp;
        let (first, rest) = two.split_at(split);
        stream.write_all(first).expect("sent");
        // A whole query is answered before the rest of the next one comes.
        let whole = u64::from(split >= one.len());
        server.until("the first part is answered", |counters| counters.tcp >= before + whole);
        stream.write_all(rest).expect("sent");
        assert_eq!([1, 2].map(|_| read_framed(&mut stream).expect("an answer").id), [1, 2], "split at {split}");
    }
    // Octet by octet.
    for octet in &two {
        stream.write_all(&[*octet]).expect("sent");
    }
    assert_eq!([1, 2].map(|_| read_framed(&mut stream).expect("an answer").id), [1, 2]);
}

/// The longest message there is, in one part and in many.
#[test]
fn a_long_query_is_read_to_its_end() {
    let server = Server::local();
    let mut stream = server.connect();
    let mut long = query("www.s.test.", A);
    long.resize(usize::from(u16::MAX), 0);
    for part in [usize::MAX, 30_000, 1_000] {
        for octets in framed(&long).chunks(part.min(70_000)) {
            stream.write_all(octets).expect("sent");
        }
        assert_eq!(read_framed(&mut stream).expect("an answer").rcode(), 1, "octets behind the question are FORMERR");
        assert_eq!(ask(&mut stream).expect("an answer").answer.len(), 1, "and the next query is found");
    }
}

/// More answers than the system and the server hold for a client wait for it, and come whole and in order when it reads.
#[test]
fn a_client_that_reads_late_loses_nothing() {
    const QUERIES: u16 = 1_500;
    let server = Server::local();
    let stream = server.connect();
    let mut writing = stream.try_clone().expect("a descriptor");
    let writer = std::thread::spawn(move || {
        for id in 0..QUERIES {
            writing.write_all(&numbered("huge.s.test.", TXT, id)).expect("sent");
        }
        writing.shutdown(std::net::Shutdown::Write).expect("an open stream");
    });
    // 37 MB of answers: the server stops to read before they are all made.
    let mut last = 0;
    let mut same_since = Instant::now();
    while same_since.elapsed() < Duration::from_millis(300) {
        let now = server.running().counters().tcp;
        if now != last {
            (last, same_since) = (now, Instant::now());
        }
        std::thread::yield_now();
    }
    assert!((1..u64::from(QUERIES)).contains(&last), "{last} answered while nothing was read");
    let mut stream = std::io::BufReader::new(stream);
    for id in 0..QUERIES {
        let mut len = [0; 2];
        stream.read_exact(&mut len).expect("an answer");
        let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut octets).expect("an answer");
        assert_eq!((octets.len() > 20_000, &octets[..2]), (true, &id.to_be_bytes()[..]));
    }
    assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0, "its end is heard, and answered with the server's");
    writer.join().expect("all sent");
}

#[test]
fn a_client_that_has_ended_its_side_gets_its_answers() {
    let server = Server::local();
    let mut stream = server.connect();
    stream.write_all(&framed(&query("www.s.test.", A)).repeat(3)).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("an open stream");
    for _ in 0..3 {
        read_framed(&mut stream).expect("an answer");
    }
    assert!(closed(&mut stream));
}

#[test]
fn a_stop_lets_slow_clients_take_their_answers_within_the_grace() {
    let mut server = Server::local();
    let mut slow = server.connect();
    slow.write_all(&framed(&query("huge.s.test.", TXT)).repeat(400)).expect("sent");
    let mut half = server.connect();
    half.write_all(&framed(&query("www.s.test.", A))[..9]).expect("sent");
    server.until("they are open", |counters| counters.tcp_open == 2 && counters.tcp > 0);
    let reader = std::thread::spawn(move || (0..400).map_while(|_| read_framed(&mut slow).ok()).count());
    server.stop();
    let answers = reader.join().expect("read");
    assert!(answers > 0 && closed(&mut half), "{answers}");
    assert_eq!(answers, 400, "the system held all the queries");
}
