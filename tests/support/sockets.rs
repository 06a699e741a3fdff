//! What the tests of sockets share: a server on free ports, and questions over TCP.
#![allow(dead_code)] // Each test takes what it needs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pointsman::dns::{self, Running, TcpSettings};
use pointsman::image::Settings;

use super::support::{Message, published, query, zone};

pub const A: u16 = 1;
pub const TXT: u16 = 16;
/// Long enough for any answer on a busy machine; waited for only where a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server on free ports, with its runtime.
pub struct Server {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(listen: &str, tcp: TcpSettings) -> Self {
        let mut text = "@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A 192.0.2.1\nwww 60 A 192.0.2.2\n".to_owned();
        for line in 0..100 {
            text += &format!("huge 60 TXT \"{line} {}\"\n", "x".repeat(240));
        }
        let published = published(&[zone("s.test.", &text, Vec::new())], &[], &Settings::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let settings = dns::Settings {
            listen: vec![listen.parse().expect("an address")],
            threads: 2,
            tcp,
            ..dns::Settings::default()
        };
        let bound = dns::bind(&settings).expect("free ports");
        let running =
            runtime.block_on(async { bound.serve(Arc::new(ArcSwap::from_pointee(published))) }).expect("started");
        let address = running.addresses()[0];
        Self { runtime, running: Some(running), address }
    }

    pub fn local() -> Self {
        Self::start("127.0.0.1:0", TcpSettings::default())
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("not stopped")
    }

    pub fn stop(&mut self) {
        let running = self.running.take().expect("not stopped");
        self.runtime.block_on(running.stop(PATIENCE));
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time");
        stream
    }

    /// Waits until the counters say so.
    pub fn until(&self, what: &str, holds: impl Fn(&dns::Counters) -> bool) {
        let start = Instant::now();
        while !holds(&self.running().counters()) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.running().counters());
            std::thread::yield_now();
        }
    }
}

pub fn framed(query: &[u8]) -> Vec<u8> {
    [&u16::try_from(query.len()).expect("short").to_be_bytes()[..], query].concat()
}

pub fn read_framed(stream: &mut TcpStream) -> std::io::Result<Message> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut octets)?;
    Ok(Message::read(&octets).expect("a message"))
}

pub fn ask(stream: &mut TcpStream) -> std::io::Result<Message> {
    stream.write_all(&framed(&query("www.s.test.", A)))?;
    read_framed(stream)
}

/// Whether the other side has closed, after `limit` at the latest.
pub fn closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(len) => len == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
