//! What an operator sees of the UDP loop: a port that is shared, drops of the kernel, threads on their cores.

#[path = "support/server.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use hickory_proto::rr::RecordType;
use socket2::{Domain, Socket, Type};
use support::{Server, Site, eventually, question, said};

const NAME: &str = "www.a.example.";

fn site() -> Site {
    let site = Site::new();
    site.zone("a.example", "www 60 IN A 192.0.2.1\n");
    site
}

/// A socket of this process, which leaves others its port; free for UDP and TCP at first.
fn shared_port(address: &str) -> UdpSocket {
    let address: SocketAddr = address.parse().expect("an address");
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("a socket");
    if address.is_ipv6() {
        socket.set_only_v6(false).expect("an option");
    }
    socket.set_reuse_port(true).expect("an option");
    socket.bind(&address.into()).expect("a free port");
    socket.into()
}

#[test]
fn a_port_that_another_process_shares_is_refused() {
    let mut site = site();
    let mut cases = vec![
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", "0.0.0.0"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "0.0.0.0"),
    ];
    if UdpSocket::bind("[::1]:0").is_ok() {
        // Such a wildcard takes IPv4 too.
        cases.extend([("[::]:0", "127.0.0.1"), ("[::]:0", "[::]"), ("[::]:0", "[::1]"), ("[::1]:0", "[::]")]);
    }
    for (theirs, ours) in cases {
        let socket = shared_port(theirs);
        let port = socket.local_addr().expect("bound").port();
        for threads in [1, 2] {
            site.threads = threads;
            let (code, said) = site.start_fails(&["--listen", &format!("{ours}:{port}")]);
            assert_eq!(code, Some(1), "{theirs} {ours}: {said}");
            let expected =
                format!("UDP {ours}:{port} is in use by another program: `ss -ulpn 'sport = :{port}'` shows which");
            assert!(said.contains(&expected), "{theirs} {ours}: {said}");
        }
    }
}

#[test]
fn addresses_that_overlap_are_refused() {
    let site = site();
    let (code, said) = site.start_fails(&["--listen", "0.0.0.0:5399", "--listen", "127.0.0.1:5399"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("127.0.0.1:5399 and 0.0.0.0:5399 overlap: one of them is enough"), "{said}");
}

/// Stops the program as a debugger would: its sockets stay.
fn paused(server: &Server, meanwhile: impl FnOnce()) {
    server.signal("STOP");
    let stat = format!("/proc/{}/stat", server.id());
    eventually("it is stopped", || {
        let stat = std::fs::read_to_string(&stat).expect("it is there");
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    });
    meanwhile();
    server.signal("CONT");
}

#[test]
fn drops_of_the_kernel_are_shown() {
    const FLOOD: u16 = 1_000;
    let site = site();
    site.configure("[dns]\nreceive_buffer = 4096\n");
    let server = site.start();
    assert_eq!(server.document("/v1/status")["udp_dropped"], 0);
    assert!(!said(&site.run(&["status"])).contains("dropped"));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    paused(&server, || {
        for id in 0..FLOOD {
            socket.send_to(&question(id, NAME, RecordType::A), server.dns).expect("sent");
        }
    });
    let received = || server.metric("pointsman_queries_total{transport=\"udp\"}").expect("it is shown");
    let dropped = server.metric("pointsman_udp_dropped_total").expect("it is shown");
    assert!(dropped > 0.0, "{dropped}");
    eventually("each is answered or counted", || (received() + dropped - f64::from(FLOOD)).abs() < 0.5);
    assert_eq!(server.document("/v1/status")["udp_dropped"].as_f64(), Some(dropped));
    let status = said(&site.run(&["status"]));
    assert!(
        status.contains(&format!("dropped     {dropped} datagrams: the kernel's receive buffer was full")),
        "{status}"
    );
    server.stop();
}

#[test]
fn a_receive_buffer_that_the_system_does_not_give_is_told_once() {
    let site = site();
    // Above what even root may have: the kernel doubles it, and stays within an int.
    site.configure("[dns]\nreceive_buffer = 1073741824\n");
    let server = site.start();
    let lines = server.events("the system gives UDP sockets less than `dns.receive_buffer`");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line["message"].as_str().expect("text").contains("sysctl -w net.core.rmem_max=1073741824"), "{line}");
    assert!(line["granted"].as_u64() < line["wanted"].as_u64(), "{line}");
    assert_eq!(server.look(NAME), ["192.0.2.1"]);
    server.stop();
}

/// The cores that each UDP thread may use, as /proc tells them.
fn cores(server: &Server) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).expect("it runs");
    let mut threads = Vec::new();
    for task in tasks {
        let folder = task.expect("it can be listed").path();
        // A thread may have ended meanwhile.
        let Ok(status) = std::fs::read_to_string(folder.join("status")) else { continue };
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        if let (Some(name), Some(cores)) = (field("Name"), field("Cpus_allowed_list"))
            && name.starts_with("udp-")
        {
            threads.push((name, cores));
        }
    }
    threads.sort();
    threads.into_iter().map(|(_, cores)| cores).collect()
}

#[test]
fn threads_stay_on_cores_of_their_own_if_told_so() {
    let mut site = site();
    site.threads = 2;
    site.words = ["--listen", "127.0.0.2:0"].map(str::to_owned).to_vec();
    let server = site.start();
    let free = cores(&server);
    assert_eq!(free.len(), 4);
    assert_eq!(free.iter().collect::<BTreeSet<_>>().len(), 1, "all may run anywhere: {free:?}");
    server.stop();
    site.configure("[dns]\npin = true\n");
    let server = site.start();
    assert_eq!(server.look(NAME), ["192.0.2.1"]);
    eventually("each is on one core", || cores(&server).iter().all(|cores| cores.parse::<usize>().is_ok()));
    let pinned = cores(&server);
    assert_eq!(pinned.len(), 4);
    assert_eq!(pinned[..2], pinned[2..], "the threads of each address begin at the first core");
    let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    assert_eq!(several, pinned[0] != pinned[1], "{pinned:?}");
    server.stop();
}
