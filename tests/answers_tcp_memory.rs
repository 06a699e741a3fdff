//! What an idle TCP connection holds: counted by the allocator itself, so without noise.
#![allow(unsafe_code)] // An allocator cannot be had without; it only counts and hands on.

#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/answers.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicIsize, Ordering};

use pointsman::dns::TcpSettings;
use sockets::{A, Server, TXT, ask, framed, read_framed};
use support::query;

const CONNECTIONS: usize = 200;
/// Octets of the heap that one idle connection may hold.
const BOUND: isize = 512;
/// Octets that threads may lay out once and for all, when they answer for the first time meanwhile: which thread takes a
/// connection is chance.
const THREADS: isize = 128 * 1024;

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Each has had a small answer, a large one, and a query in two parts; none of that leaves anything behind.
#[test]
fn an_idle_connection_holds_no_buffers() {
    let limits = TcpSettings { per_client: CONNECTIONS + 1, ..TcpSettings::default() };
    let server = Server::start("127.0.0.1:0", TcpSettings { idle: std::time::Duration::from_secs(600), ..limits });
    ask(&mut server.connect()).expect("an answer");
    let mut streams: Vec<TcpStream> = Vec::with_capacity(CONNECTIONS);
    let before = HELD.load(Ordering::Relaxed);
    for _ in 0..CONNECTIONS {
        let mut stream = server.connect();
        ask(&mut stream).expect("an answer");
        stream.write_all(&framed(&query("huge.s.test.", TXT))).expect("sent");
        drop(read_framed(&mut stream).expect("an answer"));
        stream.set_nodelay(true).expect("an option");
        let halves = framed(&query("www.s.test.", A));
        stream.write_all(&halves[..9]).expect("sent");
        stream.write_all(&halves[9..]).expect("sent");
        drop(read_framed(&mut stream).expect("an answer"));
        streams.push(stream);
    }
    let held = HELD.load(Ordering::Relaxed) - before;
    let bound = CONNECTIONS.cast_signed() * BOUND + THREADS;
    assert!((1..=bound).contains(&held), "{held} octets for {CONNECTIONS} connections");
    assert!(streams.iter_mut().all(|stream| ask(stream).is_ok()), "all of them are open");
}
