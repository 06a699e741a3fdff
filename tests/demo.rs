//! `pointsman demo` as a user runs it: the story once, and a demo that goes on and takes orders.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use pointsman::sim::ask::{Answer, ask};
use tempfile::TempDir;

/// For anything that a busy machine may take its time for.
const PATIENCE: Duration = Duration::from_secs(60);

fn pointsman(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("POINTSMAN_DATA").env_remove("POINTSMAN_CONFIG");
    command
}

/// A demo with a folder of its own for temporary files, and any free ports.
fn demo(scratch: &TempDir, more: &[&str]) -> Command {
    let mut command = pointsman(&["demo", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--socket"]);
    command.arg(socket(scratch)).args(more).env("TMPDIR", scratch.path());
    command
}

fn socket(scratch: &TempDir) -> PathBuf {
    scratch.path().join("demo.sock")
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn the_story_comes_true() {
    let scratch = scratch();
    let output = demo(&scratch, &["--once"]).output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "dig @127.0.0.1 -p ",
        "every=1s (usually 10s), clean=10s (usually 20m)",
        "edge: https://www.shop.example/healthz through cloudflare: 500",
        "edge: https://www.shop.example/edge-test through cloudflare: 200",
        "DNS: 40 of 40 clients hear CNAME shop.b-cdn.net.",
        "DNS: only the clients of cloudflare moved",
        "API: cloudflare: down since ",
        "DNS: every client is back where it was",
        "www.shop.example./cloudflare: recovering -> up",
        "All of it came true.",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert!(!said.contains('\x1b'), "colours where there is no terminal");
    assert!(is_empty(scratch.path()), "something was left behind");
}

#[test]
fn a_running_demo_takes_orders_until_it_is_interrupted() {
    let scratch = scratch();
    let taken_udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let taken_tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let dns_port = taken_udp.local_addr().expect("an address").port();
    let api_port = taken_tcp.local_addr().expect("an address").port();
    let (dns, api) = (format!("127.0.0.1:{dns_port}"), format!("127.0.0.1:{api_port}"));
    let mut command = pointsman(&["demo", "--listen", &dns, "--api", &api, "--socket"]);
    command.arg(socket(&scratch)).env("TMPDIR", scratch.path()).stdout(Stdio::piped());
    let running = Running::start(command);

    let banner = running.read_until("Names");
    assert!(banner.contains(&format!("port {dns_port} is taken: DNS is on ")), "{banner}");
    assert!(banner.contains(&format!("port {api_port} is taken: the API is on ")), "{banner}");
    let server = dig_line(&banner);
    running.read_until("It goes on until Ctrl-C");

    // The apex of the newspaper is flattened to edges of its two European providers.
    let apex = look(server, "news.example.", RecordType::A);
    assert_eq!(apex.rcode, ResponseCode::NoError);
    assert!(
        !apex.records.is_empty() && apex.records.iter().all(|record| record.data.starts_with("127.53.")),
        "{apex:?}"
    );

    let output = order(&scratch, &["break", "gcore"]);
    assert_eq!((output.status.code(), text(&output).trim()), (Some(0), "gcore: right -> 500"));
    running.read_until("gcore is now 500");
    // Impaired already moves the name; only what was down comes back as recovering.
    while !running.read_until("img.shop.example./gcore: ").trim_end().ends_with("-> down") {}
    wait_for_target(server, "img.shop.example.", "img.shop.example.web.cdn.anycast.me.");
    let output = order(&scratch, &["state"]);
    assert!(text(&output).contains("gcore: 500") && text(&output).contains("bunny: right"), "{}", text(&output));
    let output = order(&scratch, &["heal", "gcore"]);
    assert_eq!((output.status.code(), text(&output).trim()), (Some(0), "gcore: 500 -> right"));
    running.read_until("img.shop.example./gcore: recovering -> up");

    let output = order(&scratch, &["break", "edgio"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("there are: bunny, cloudflare, cloudfront, fastly, gcore, myra, ovh"));
    assert_eq!(order(&scratch, &["break", "bunny", "dead"]).status.code(), Some(2));

    assert_eq!(running.interrupt(), Some(0));
    assert!(is_empty(scratch.path()), "something was left behind");
    assert_eq!(order(&scratch, &["state"]).status.code(), Some(1));
}

#[test]
fn zones_that_cannot_be_played_are_told_apart() {
    let scratch = scratch();
    let zones = tempfile::tempdir().expect("a folder");
    let write = |text: &str| std::fs::write(zones.path().join("a.example.zone"), text).expect("written");
    let run = || {
        let output = demo(&scratch, &["--once", "--zones"]).arg(zones.path()).output().expect("it runs");
        (output.status.code(), text(&output))
    };
    let head = "@ 60 IN SOA ns1 h 1 2h 15m 2w 5m\n@ 60 IN NS ns1\nns1 60 IN A 192.0.2.53\n";

    write(&format!("{head}www 60 IN CNAME\n"));
    let (code, said) = run();
    assert!(code == Some(2) && said.contains("a.example.zone:4"), "{code:?} {said}");

    write(head);
    let (code, said) = run();
    assert!(code == Some(2) && said.contains("steer no name"), "{code:?} {said}");

    // All candidates are European: there is nothing to tell.
    let steering = "_steer.www 60 IN TXT \"v=steer1\"\n_steer.www 60 IN TXT \"cdn=bunny to=a.b-cdn.net.\"\n";
    write(&format!("{head}www 60 IN CNAME a.b-cdn.net.\n{steering}"));
    let (code, said) = run();
    assert!(code == Some(1) && said.contains("no name for the story"), "{code:?} {said}");
    assert!(is_empty(scratch.path()), "something was left behind");
}

/// A demo under way; it is killed if a test ends before it.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        // A thread, since reading a pipe knows no limit of time. It ends with the program.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// All that it says up to the line with this part.
    fn read_until(&self, part: &str) -> String {
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            assert!(line.is_ok(), "no `{part}` ({line:?}) in:\n{said}");
            let line = line.unwrap_or_default();
            let found = line.contains(part);
            said += &line;
            said.push('\n');
            if found {
                return said;
            }
        }
    }

    fn interrupt(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn order(scratch: &TempDir, words: &[&str]) -> Output {
    pointsman(&["demo"]).args(words).arg("--socket").arg(socket(scratch)).output().expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().expect("a folder").next().is_none()
}

/// The server in `dig @ADDRESS -p PORT NAME`.
fn dig_line(banner: &str) -> SocketAddr {
    let words: Vec<_> = banner.split_once("dig @").expect("a dig line").1.split_whitespace().take(3).collect();
    format!("{}:{}", words[0], words[2]).parse().expect("an address")
}

fn look(server: SocketAddr, name: &str, rtype: RecordType) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(ask(server, Ipv4Addr::LOCALHOST.into(), name, rtype)).expect("an answer")
}

fn wait_for_target(server: SocketAddr, name: &str, target: &str) {
    let limit = Instant::now() + PATIENCE;
    while look(server, name, RecordType::A).records.first().map(|record| record.data.as_str()) != Some(target) {
        assert!(Instant::now() < limit, "{name} never came to {target}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
