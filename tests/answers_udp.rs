//! The UDP loop over real sockets. Queries that wait in the sockets before anybody reads them make whole batches, every time.
#![allow(clippy::panic)] // A client that is lost has failed its test.

#[path = "support/answers.rs"]
mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pointsman::dns::{self, Bound, Counters, Running};
use pointsman::image::Settings;
use pointsman::image::published::Published;
use support::{Message, lines, published, query, with_edns, zone};

const A: u16 = 1;
const TXT: u16 = 16;
/// Waited for only where a test fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// Hosts of the zone: `h0` has 10.0.0.0, and so on. Few enough for their answers to wait in three clients' receive buffers.
const HOSTS: u16 = 150;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn zone_published() -> Published {
    let mut text = "@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n".to_owned();
    for host in 0..HOSTS {
        text += &format!("h{host} 60 A {}\n", address_of(host));
    }
    for line in 0..100 {
        text += &format!("huge 60 TXT \"{line} {}\"\n", "x".repeat(240));
        if line < 4 {
            text += &format!("large 60 TXT \"{line} {}\"\n", "x".repeat(240));
        }
    }
    published(&[zone("s.test.", &text, Vec::new())], &[], &Settings::default())
}

fn address_of(host: u16) -> Ipv4Addr {
    let [high, low] = host.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

/// Open sockets that nobody reads yet.
fn bind(listen: &[SocketAddr], threads: usize) -> Bound {
    let settings = dns::Settings { listen: listen.to_vec(), threads, ..dns::Settings::default() };
    dns::bind(&settings).expect("free ports")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn serve(runtime: &tokio::runtime::Runtime, bound: Bound) -> Running {
    runtime.block_on(async { bound.serve(Arc::new(ArcSwap::from_pointee(zone_published()))) }).expect("started")
}

/// Takes answers from the address that it asks, and from no other.
fn client(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).expect("a port");
    socket.connect(to).expect("a route");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    socket
}

fn asks(host: u16) -> Vec<u8> {
    let mut query = query(&format!("h{host}.s.test."), A);
    query[..2].copy_from_slice(&host.to_be_bytes());
    query
}

fn receive(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).expect("an answer from the address that was asked");
    Message::read(&buffer[..len]).expect("a message")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// Asks for every host, from a few clients in turn, with all kinds of other messages between; then lets the server begin.
fn answers_reach_their_own_clients(listen: SocketAddr, asked: &[IpAddr]) {
    let runtime = runtime();
    let bound = bind(&[listen], 1);
    let port = bound.addresses()[0].port();
    let clients: Vec<UdpSocket> = asked.iter().map(|ip| client((*ip, port).into())).collect();
    let of = |host: u16| &clients[usize::from(host) % clients.len()];
    for host in 0..HOSTS {
        let others: [&[u8]; 4] = [&[], &[1, 2, 3], &[0x80; 12], &[0; 2000]];
        // Silence for the first three; the fourth is cut, and no query in any case.
        of(host + 1).send(others[usize::from(host) % 3]).expect("sent");
        of(host).send(&asks(host)).expect("sent");
        if host % 7 == 0 {
            // Of other lengths: cut to 512 octets, and a thousand of them.
            of(host).send(&query("huge.s.test.", TXT)).expect("sent");
            of(host).send(&with_edns(query("large.s.test.", TXT), 1232, 0, &[])).expect("sent");
        }
        if host % 50 == 0 {
            of(host).send(others[3]).expect("sent");
        }
    }
    let running = serve(&runtime, bound);
    for host in 0..HOSTS {
        let message = receive(of(host));
        assert_eq!(
            (message.id, lines(&message.answer)),
            (host, vec![format!("h{host}.s.test. 60 1 {}", address_of(host))])
        );
        if host % 7 == 0 {
            let huge = receive(of(host));
            assert_eq!((huge.id, huge.answer.len()), (0x1234, 0));
            assert_eq!(receive(of(host)).answer.len(), 4);
        }
        if host % 50 == 0 {
            let cut = receive(of(host));
            assert_eq!((cut.id, cut.answer.len()), (0, 0));
        }
    }
    let counters = running.counters();
    let (more, cut) = (u64::from(HOSTS.div_ceil(7)), u64::from(HOSTS.div_ceil(50)));
    let expected = Counters {
        udp: 2 * u64::from(HOSTS) + 2 * more + cut,
        dropped: u64::from(HOSTS),
        truncated: more,
        rcodes: counters.rcodes,
        ..Counters::default()
    };
    assert_eq!(counters, expected);
    assert_eq!((counters.rcodes[0], counters.rcodes[1]), (u64::from(HOSTS) + 2 * more, cut));
    runtime.block_on(running.stop(PATIENCE));
}

#[test]
fn answers_of_a_batch_reach_their_own_clients() {
    answers_reach_their_own_clients(address("127.0.0.1:0"), &[Ipv4Addr::LOCALHOST.into(); 3]);
}

#[test]
fn each_answer_of_a_batch_leaves_from_the_address_that_was_asked() {
    let asked = ["127.0.0.1", "127.0.0.2", "127.9.9.9"].map(|ip| ip.parse().expect("an address"));
    answers_reach_their_own_clients(address("0.0.0.0:0"), &asked);
}

#[test]
fn so_it_is_with_ipv6() {
    let loopback: IpAddr = "::1".parse().expect("an address");
    if UdpSocket::bind((loopback, 0)).is_err() {
        eprintln!("skipped: needs IPv6 on loopback");
        return;
    }
    answers_reach_their_own_clients(address("[::1]:0"), &[loopback; 3]);
    let others = addresses_v6().into_iter().filter(|other| !is_link_local(*other)).map(|other| IpAddr::V6(*other.ip()));
    let asked: Vec<IpAddr> = others.collect();
    let asked: Vec<IpAddr> = asked.iter().copied().cycle().take(asked.len().max(3)).collect();
    answers_reach_their_own_clients(address("[::]:0"), &asked);
}

#[test]
fn link_local_addresses_are_answered_from_and_to() {
    let Some(own) = addresses_v6().into_iter().find(|address| is_link_local(*address)) else {
        eprintln!("skipped: needs a link-local address");
        return;
    };
    for listen in [address("[::]:0"), own.into()] {
        let runtime = runtime();
        let running = serve(&runtime, bind(&[listen], 1));
        let port = running.addresses()[0].port();
        let to = SocketAddrV6::new(*own.ip(), port, 0, own.scope_id());
        let client = client(to.into());
        client.send(&asks(3)).expect("sent");
        assert_eq!(receive(&client).id, 3);
        runtime.block_on(running.stop(PATIENCE));
    }
}

/// The addresses of this machine's interfaces, on port 0.
fn addresses_v6() -> Vec<SocketAddrV6> {
    let table = std::fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let bits = u128::from_str_radix(words.next()?, 16).ok()?;
        let index = u32::from_str_radix(words.next()?, 16).ok()?;
        Some(SocketAddrV6::new(bits.into(), 0, 0, index))
    };
    table.lines().filter_map(address).filter(|address| UdpSocket::bind(address).is_ok()).collect()
}

fn is_link_local(address: SocketAddrV6) -> bool {
    address.ip().is_unicast_link_local()
}

#[test]
fn several_addresses_are_answered_on() {
    let runtime = runtime();
    let running = serve(&runtime, bind(&[address("127.0.0.1:0"), address("127.0.0.2:0"), address("127.0.0.1:0")], 2));
    for (id, address) in (0..).zip(running.addresses()) {
        let client = client(*address);
        client.send(&asks(id)).expect("sent");
        assert_eq!(receive(&client).id, id);
    }
    runtime.block_on(running.stop(PATIENCE));
}

#[test]
fn what_the_kernel_drops_is_counted_to_the_last_and_to_the_end() {
    const FLOOD: u64 = 1_000;
    let runtime = runtime();
    let listen = vec![address("127.0.0.1:0")];
    let settings = dns::Settings { listen, threads: 2, receive_buffer: 4096, ..dns::Settings::default() };
    let bound = dns::bind(&settings).expect("free ports");
    let (counters, to) = (bound.reader(), bound.addresses()[0]);
    for _ in 0..FLOOD / 10 {
        // Ports of their own, so that the kernel spreads them over both sockets.
        let client = client(to);
        (0..10).for_each(|_| _ = client.send(&asks(1)).expect("sent"));
    }
    let dropped = counters().udp_dropped;
    assert!(dropped > 0 && dropped < FLOOD, "{dropped}");
    let running = serve(&runtime, bound);
    until("those that it held are answered", || running.counters().udp + dropped == FLOOD);
    runtime.block_on(running.stop(PATIENCE));
    assert_eq!((counters().udp, counters().udp_dropped), (FLOOD - dropped, dropped));
    drop(UdpSocket::bind(to).expect("a reader of counters keeps no port"));
}

/// Clients that ask one question after the other until one is refused. On loopback a datagram is taken or refused at once, so one
/// that gets neither answer nor refusal was received and lost.
///
/// Again and again, since what a careless end loses comes within microseconds.
fn a_stop_under_load_loses_no_query(listen: SocketAddr, ask: IpAddr) {
    (0..20).for_each(|_| one_stop_under_load(listen, ask));
}

fn one_stop_under_load(listen: SocketAddr, ask: IpAddr) {
    let runtime = runtime();
    let running = serve(&runtime, bind(&[listen], 2));
    let to = SocketAddr::from((ask, running.addresses()[0].port()));
    let counters = {
        let clients: Vec<_> = (0..24)
            .map(|_| {
                let socket = client(to);
                std::thread::spawn(move || {
                    let mut answered = 0_u64;
                    let mut buffer = [0; 2048];
                    loop {
                        let asked = socket.send(&asks(7)).and_then(|_| socket.recv(&mut buffer));
                        match asked {
                            Ok(_) => answered += 1,
                            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return answered,
                            Err(error) => panic!("neither answered nor refused after {answered} answers: {error}"),
                        }
                    }
                })
            })
            .collect();
        until("they are under way", || running.counters().udp > 500);
        let counters = running.reader();
        runtime.block_on(running.stop(PATIENCE));
        let answered: u64 = clients.into_iter().map(|client| client.join().expect("none is lost")).sum();
        assert_eq!(counters().rcodes[0], answered);
        counters()
    };
    assert_eq!((counters.unsent, counters.udp_dropped), (0, 0));
    assert_eq!(counters.udp, counters.rcodes[0]);
}

#[test]
fn a_stop_under_load_loses_no_query_of_one_address() {
    a_stop_under_load_loses_no_query(address("127.0.0.1:0"), Ipv4Addr::LOCALHOST.into());
}

#[test]
fn a_stop_under_load_loses_no_query_of_a_wildcard() {
    a_stop_under_load_loses_no_query(address("0.0.0.0:0"), "127.0.0.3".parse().expect("an address"));
    let loopback: IpAddr = "::1".parse().expect("an address");
    if UdpSocket::bind((loopback, 0)).is_ok() {
        a_stop_under_load_loses_no_query(address("[::]:0"), loopback);
    }
}

#[test]
fn a_stop_answers_all_that_the_sockets_hold() {
    let runtime = runtime();
    let bound = bind(&[address("127.0.0.1:0")], 2);
    let clients: Vec<UdpSocket> = (0..HOSTS).map(|_| client(bound.addresses()[0])).collect();
    for (client, host) in clients.iter().zip(0..) {
        client.send(&asks(host)).expect("sent");
    }
    let running = serve(&runtime, bound);
    runtime.block_on(running.stop(PATIENCE));
    for (client, host) in clients.iter().zip(0..) {
        assert_eq!(receive(client).id, host);
    }
}

#[test]
fn what_is_published_takes_effect_under_load() {
    let runtime = runtime();
    let bound = bind(&[address("127.0.0.1:0")], 1);
    let published = Arc::new(ArcSwap::from_pointee(Published::default()));
    let running = runtime.block_on(async { bound.serve(published.clone()) }).expect("started");
    let to = running.addresses()[0];
    let over = Arc::new(AtomicBool::new(false));
    let load = {
        let (socket, over) = (client(to), over.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                socket.send(&asks(1)).expect("sent");
                receive(&socket);
            }
        })
    };
    let socket = client(to);
    socket.send(&asks(5)).expect("sent");
    assert_eq!(receive(&socket).answer.len(), 0, "nothing is known yet");
    published.store(Arc::new(zone_published()));
    socket.send(&asks(5)).expect("sent");
    assert_eq!(receive(&socket).answer.len(), 1);
    over.store(true, Ordering::Relaxed);
    load.join().expect("all are answered");
    runtime.block_on(running.stop(PATIENCE));
}

/// What is longer than the room for a query is not taken for what its first octets say.
#[test]
fn a_datagram_that_is_too_long_is_a_format_error() {
    let runtime = runtime();
    let bound = bind(&[address("127.0.0.1:0")], 1);
    let client = client(bound.addresses()[0]);
    let running = serve(&runtime, bound);
    let padded = |octets: u16| {
        with_edns(asks(7), 1232, 0, &[&[0, 12], &octets.to_be_bytes()[..], &vec![0; octets.into()]].concat())
    };
    let fits = 1472 - padded(0).len() as u16;
    // Whole as far as it is kept: what follows it is the fault.
    let followed = [padded(fits), vec![0; 9]].concat();
    for (query, rcode, questions) in
        [(padded(fits), 0, 1), (padded(fits + 1), 1, 0), (padded(30_000), 1, 0), (followed, 1, 0), (asks(7), 0, 1)]
    {
        client.send(&query).expect("sent");
        let answer = receive(&client);
        let expected = (7, rcode, questions, usize::from(rcode == 0));
        let said = (answer.id, answer.rcode(), answer.questions.len(), answer.answer.len());
        assert_eq!(said, expected, "{} octets", query.len());
    }
    runtime.block_on(running.stop(PATIENCE));
}
