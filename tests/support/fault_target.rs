//! An HTTP(S) target that does what a mode says: answers well, badly, too slowly, too much, or not at all.
//!
//! | modes | what is wrong |
//! | --- | --- |
//! | `200`, `204`, `500`, ... `302-loop` | a status code |
//! | `silent`, `close`, `rst`, `100-only`, `slow-header` | no answer comes |
//! | `http09`, `bad-status-line`, `binary`, `h2-preface`, `nul-header`, `negative-length`, `two-lengths` | it is no HTTP |
//! | `endless-headers`, `huge-header`, `many-headers`, `endless-body`, `endless-chunks`, `gzip-bomb`, `huge-body` | too much |
//! | `slow-body`, `body-never-comes` | the body does not come |
//! | `half-body`, `half-after-marker`, `half-chunks`, `huge-length`, `bad-chunk` | it comes, but not whole |
//! | `late:MS`, `flap:N`, `ok-then-fail:N` | it changes with time or with the count of requests |
//! | `challenge`, `challenge-200`, `waf-202`, `unclaimed`, `blocked` | it is somebody else's page |
//! | `page:NAME` | it is the page of `tests/pages/NAME.http` |
//! | `no-agents`, `no-browsers` | it is a challenge for those who say what they are, or for browsers |
//! | `own-script`, `redirect:URL`, `hsts:VALUE` | odd, but HTTP |
//! | `empty`, `wrong`, `bom`, `utf16`, `lf-header`, `until-close` | odd, but HTTP |

// Each test takes what it needs.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The body of a good answer.
pub const BODY: &str = r#"{"status":"ok"}"#;
/// What a visitor with bot score 0 gets from Cloudflare, in short.
const CHALLENGE: &[u8] = b"<title>Just a moment...</title><script>window._cf_chl_opt = {};</script>";
/// Octets that a flood sends at most.
const FLOOD: usize = 256 << 20;
/// How long a mode that hangs holds its connection.
const HOLD: Duration = Duration::from_secs(60);

/// A target on loopback; gone when dropped.
pub struct FaultTarget {
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    mode: Mutex<String>,
    requests: AtomicUsize,
    browsers: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    head: Mutex<String>,
}

impl FaultTarget {
    pub async fn http(mode: &str) -> Self {
        Self::start("127.0.0.1:0", mode, None).await
    }

    pub async fn https(mode: &str, tls: Arc<ServerConfig>) -> Self {
        Self::start("127.0.0.1:0", mode, Some(tls)).await
    }

    pub async fn start(at: &str, mode: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(at).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State { mode: Mutex::new(mode.to_owned()), ..State::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&state), tls.map(TlsAcceptor::from)));
        Self { address, state, task }
    }

    /// From now on.
    pub fn set(&self, mode: &str) {
        mode.clone_into(&mut self.state.mode.lock().expect("not poisoned"));
    }

    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Requests with a browser's headers.
    pub fn browsers(&self) -> usize {
        self.state.browsers.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections that stand now, and the most that ever stood at a time.
    pub fn open(&self) -> (usize, usize) {
        (self.state.open.load(Ordering::SeqCst), self.state.most_open.load(Ordering::SeqCst))
    }

    /// The head of the last request.
    pub fn head(&self) -> String {
        self.state.head.lock().expect("not poisoned").clone()
    }
}

impl Drop for FaultTarget {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (state, tls) = (Arc::clone(&state), tls.clone());
        tokio::spawn(async move {
            state.connections.fetch_add(1, Ordering::SeqCst);
            let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
            state.most_open.fetch_max(open, Ordering::SeqCst);
            // The prober may hang up at any moment: that is no failure of the target.
            let _ = serve(stream, &state, tls).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(stream: TcpStream, state: &State, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    let mode = state.mode.lock().expect("not poisoned").clone();
    if mode == "rst" || mode == "rst-at-once" {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    match mode.as_str() {
        "rst-at-once" | "close-at-once" => return Ok(()),
        "silent-at-once" => {
            tokio::time::sleep(HOLD).await;
            return Ok(());
        }
        _ => {}
    }
    match tls {
        Some(acceptor) => talk(acceptor.accept(stream).await?, state, &mode).await,
        None => talk(stream, state, &mode).await,
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, state: &State, mode: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let seen = state.requests.fetch_add(1, Ordering::SeqCst) + 1;
    *state.head.lock().expect("not poisoned") = String::from_utf8_lossy(&head).into_owned();
    let browser = String::from_utf8_lossy(&head).contains("Mozilla/");
    state.browsers.fetch_add(usize::from(browser), Ordering::SeqCst);
    let mode = match mode {
        "no-agents" => {
            if browser {
                "200"
            } else {
                "challenge"
            }
        }
        "no-browsers" => {
            if browser {
                "challenge"
            } else {
                "200"
            }
        }
        mode => mode,
    };
    answer(&mut stream, mode, seen).await?;
    stream.flush().await?;
    if mode == "rst" {
        return Ok(());
    }
    stream.shutdown().await
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, mode: &str, seen: usize) -> std::io::Result<()> {
    let (kind, value) = mode.split_once(':').unwrap_or((mode, ""));
    let number = value.parse::<usize>().unwrap_or(3);
    let ok = response(200, "", BODY.as_bytes());
    match kind {
        "challenge" => stream.write_all(&response(403, "cf-mitigated: challenge\r\n", CHALLENGE)).await,
        "challenge-200" => stream.write_all(&html(200, "", CHALLENGE)).await,
        "waf-202" => stream.write_all(&response(202, "x-amzn-waf-action: challenge\r\n", b"")).await,
        "unclaimed" => stream.write_all(&html(500, "", b"Fastly error: unknown domain: www.shop.example.")).await,
        "blocked" => stream.write_all(&html(403, "", b"<title>Attention Required! | Cloudflare</title>")).await,
        "own-script" => {
            stream.write_all(&html(200, "", b"<script src=/cdn-cgi/challenge-platform/h/b/jsd/r></script>ok")).await
        }
        "page" => stream.write_all(&page(value)).await,
        "redirect" => stream.write_all(&response(301, &format!("Location: {value}\r\n"), b"")).await,
        "hsts" => {
            stream.write_all(&response(200, &format!("Strict-Transport-Security: {value}\r\n"), BODY.as_bytes())).await
        }
        "302-loop" => stream.write_all(&response(302, "Location: /\r\n", b"")).await,
        "100-only" => hold(stream, b"HTTP/1.1 100 Continue\r\n\r\n").await,
        "silent" => hold(stream, b"").await,
        "close" | "rst" => Ok(()),
        "slow-header" => drip(stream, &ok).await,
        "slow-body" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await?;
            drip(stream, &[b'x'; 500]).await
        }
        "half-body" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").await,
        "body-never-comes" => hold(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await,
        "half-after-marker" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await?;
            stream.write_all(BODY.as_bytes()).await
        }
        "half-chunks" => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await,
        "until-close" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            stream.write_all(BODY.as_bytes()).await
        }
        "huge-length" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nabc").await,
        "negative-length" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc").await,
        "two-lengths" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde").await
        }
        "bad-chunk" => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n").await,
        "endless-chunks" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            flood(stream, &[&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat()).await
        }
        "endless-body" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            flood(stream, &[b'x'; 65536]).await
        }
        "endless-headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            flood(stream, &[&b"X-A: "[..], &[b'y'; 1000], b"\r\n"].concat()).await
        }
        "huge-header" => {
            stream.write_all(&response(200, &format!("X-A: {}\r\n", "y".repeat(1 << 20)), BODY.as_bytes())).await
        }
        "many-headers" => stream.write_all(&response(200, &"X-A: b\r\n".repeat(1000), BODY.as_bytes())).await,
        "nul-header" => stream.write_all(b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n").await,
        "binary" => stream.write_all(&noise()).await,
        "http09" => stream.write_all(b"<html>ok</html>").await,
        "bad-status-line" => stream.write_all(b"HTTP/1.1 2000 OK\r\n\r\n").await,
        "h2-preface" => stream.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\0\0\0\0\0").await,
        "gzip-bomb" => stream.write_all(&response(200, "Content-Encoding: gzip\r\n", &gzip_bomb(512 << 20))).await,
        "huge-body" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 32 << 20);
            stream.write_all(head.as_bytes()).await?;
            flood(stream, &[b'x'; 65536]).await
        }
        "lf-header" => stream.write_all(&response(200, "X-A: b\nSet-Cookie: c=d\r\n", BODY.as_bytes())).await,
        "ok-then-fail" if seen > number => stream.write_all(&response(500, "", b"")).await,
        "flap" if (seen - 1) / number % 2 == 1 => stream.write_all(&response(500, "", b"")).await,
        "late" => {
            tokio::time::sleep(Duration::from_millis(number as u64)).await;
            stream.write_all(&ok).await
        }
        "empty" => stream.write_all(&response(200, "", b"")).await,
        "wrong" => stream.write_all(&response(200, "", b"{\"status\":")).await,
        "deep" => stream.write_all(&response(200, "", &[b'['; 400_000])).await,
        "bom" => stream.write_all(&response(200, "", format!("\u{feff}{BODY}").as_bytes())).await,
        "utf16" => {
            let octets: Vec<u8> = BODY.encode_utf16().flat_map(u16::to_le_bytes).collect();
            stream.write_all(&response(200, "", &octets)).await
        }
        "long-body" => {
            let body = [&vec![b'x'; number][..], BODY.as_bytes()].concat();
            stream.write_all(&response(200, "", &body)).await
        }
        status => match status.parse() {
            Ok(code) => stream.write_all(&response(code, "", BODY.as_bytes())).await,
            Err(_) => stream.write_all(&ok).await,
        },
    }
}

/// A response as it stands in its file, below what it is, with the headers of this connection.
fn page(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(format!("{name}.http"));
    let text = std::fs::read_to_string(file).expect("a page");
    let (_, response) = text.split_once('\n').expect("a first line");
    let (head, body) = response.split_once("\n\n").expect("a head and a body");
    let head = head.replace('\n', "\r\n");
    format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

fn html(code: u16, extra: &str, body: &[u8]) -> Vec<u8> {
    let text = response(code, extra, body);
    String::from_utf8_lossy(&text).replacen("text/plain", "text/html", 1).into_bytes()
}

fn response(code: u16, extra: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {code} X\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{extra}\r\n");
    [head.as_bytes(), body].concat()
}

async fn hold<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> std::io::Result<()> {
    stream.write_all(octets).await?;
    stream.flush().await?;
    tokio::time::sleep(HOLD).await;
    Ok(())
}

/// An octet each 100 ms.
async fn drip<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> std::io::Result<()> {
    for octet in octets {
        stream.write_all(&[*octet]).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn flood<S: AsyncWrite + Unpin>(stream: &mut S, chunk: &[u8]) -> std::io::Result<()> {
    for _ in 0..FLOOD / chunk.len() {
        stream.write_all(chunk).await?;
    }
    Ok(())
}

/// Octets without meaning, the same each time.
fn noise() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut octets = Vec::new();
    while octets.len() < 4096 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets
}

/// Gzip of `zeros` zero octets, by hand (RFC 1951, section 3.2.6): one literal, then runs of 258 in 13 bits each.
fn gzip_bomb(zeros: usize) -> Vec<u8> {
    let mut octets = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut held) = (0_u32, 0);
    let mut push = |value: u32, count: u32, reversed: bool| {
        let value = if reversed { value.reverse_bits() >> (32 - count) } else { value };
        bits |= value << held;
        held += count;
        while held >= 8 {
            octets.push((bits & 0xff) as u8);
            bits >>= 8;
            held -= 8;
        }
    };
    push(1, 1, false); // the last block
    push(1, 2, false); // fixed codes
    push(0x30, 8, true); // the literal 0
    for _ in 0..zeros / 258 {
        push(0b1100_0101, 8, true); // length 258
        push(0, 5, true); // distance 1
    }
    push(0, 7, true); // the end
    push(0, 7, false);
    octets
}
