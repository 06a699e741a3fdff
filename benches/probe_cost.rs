//! CPU for each probe: 1,000 candidates at 10 s against a target in another process, over HTTP and over HTTPS.
//!
//! ```text
//! cargo bench --bench probe_cost [-- SECONDS [CANDIDATES]]
//! ```
//!
//! The CPU of the whole process over the window is divided by the probes that were observed in it. Each HTTPS probe is
//! a full handshake.

#[path = "../tests/support/certificates.rs"]
mod certificates;
#[path = "../tests/support/probing.rs"]
mod probing;

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pointsman::health::Settings;
use pointsman::health::message::{Plan, Report};
use pointsman::steer::observation::Outcome;
use pointsman::steer::policy::{Scheme, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use certificates::Authority;
use probing::{Probing, at};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(scheme) = arguments.first().and_then(|first| first.strip_prefix("serve-")) {
        serve(scheme);
        return;
    }
    let number = |place: usize, default| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, candidates) = (number(0, 20), number(1, 1_000));
    for scheme in [Scheme::Http, Scheme::Https] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(measure(scheme, Duration::from_secs(seconds), candidates));
    }
}

/// The target, until its standard input ends. Says where it listens, and which authority signed its certificate.
fn serve(scheme: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let authority = Authority::new();
        let tls = (scheme == "https").then(|| authority.server_with_alpn(&["http/1.1"]));
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        // Probes come in bunches of some hundred.
        let listener = socket.listen(4_096).expect("listening");
        println!("{} {}", listener.local_addr().expect("an address").port(), authority.file.display());
        tokio::spawn(accept(listener, tls.map(TlsAcceptor::from)));
        let wait = || std::io::stdin().read(&mut [0]);
        tokio::task::spawn_blocking(wait).await.expect("waited").expect("an end");
    });
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let tls = tls.clone();
        tokio::spawn(async move {
            // The prober may hang up at any moment.
            let _ = match tls {
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => answer(stream).await,
                    Err(error) => Err(error),
                },
                None => answer(stream).await,
            };
        });
    }
}

/// One good answer for as little as it takes; then the connection stays until the client closes it, as an edge's would.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    let (mut head, mut read) = ([0; 2_048], 0);
    while !head[..read].ends_with(b"\r\n\r\n") {
        match stream.read(&mut head[read..]).await? {
            0 => return Ok(()),
            more => read += more,
        }
    }
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}",
        )
        .await?;
    while stream.read(&mut head).await? > 0 {}
    Ok(())
}

async fn measure(scheme: Scheme, window: Duration, candidates: u64) {
    let (mut child, port, authority) = start_target(scheme);
    let mut probing = Probing::start(Settings { extra_ca: vec![authority], ..Settings::default() });
    let plans = (0..candidates).map(|number| candidate(scheme, port, number));
    probing.plan(plans.collect()).await;
    // The first round comes at once and is not measured; the second one spreads.
    observe(&mut probing, Instant::now() + Duration::from_secs(10)).await;
    let before = cpu();
    let count = observe(&mut probing, Instant::now() + window).await;
    let each = (cpu() - before).as_secs_f64() * 1e6 / f64::from(count);
    println!("{scheme:?}: {count} probes in {} s, {each:.1} us CPU each", window.as_secs());
    probing.stop().await;
    drop(child.stdin.take());
    child.wait().expect("ended");
}

async fn observe(probing: &mut Probing, until: Instant) -> u32 {
    let mut count = 0;
    while let Ok(Some(report)) = tokio::time::timeout_at(until.into(), probing.reports.recv()).await {
        let Report::Observed { observation, .. } = report else { continue };
        assert!(matches!(observation.outcome, Outcome::Pass { .. }), "{observation:?}");
        count += 1;
    }
    count
}

fn start_target(scheme: Scheme) -> (Child, u16, PathBuf) {
    let role = if scheme == Scheme::Https { "serve-https" } else { "serve-http" };
    let program = std::env::current_exe().expect("this program");
    let command = Command::new(program).arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = command.expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let (port, authority) = line.trim().split_once(' ').expect("two words");
    (child, port.parse().expect("a port"), authority.into())
}

fn candidate(scheme: Scheme, port: u16, number: u64) -> Plan {
    let address = IpAddr::from([127, 78, 1 + (number / 250) as u8, 1 + (number % 250) as u8]);
    let mut plan = at(&number.to_string(), scheme, SocketAddr::new(address, port));
    plan.target = Target::Addresses(vec![address]);
    plan.probe.every = Duration::from_secs(10);
    plan
}

/// CPU that this process has used: user and system time in ticks of 10 ms, fields 14 and 15 of `/proc/self/stat`.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
